/* pv_binder-internal.h - shared by pv_binder.c (events, queues), pv_claims.c and pv_volumes.c (what is to be done about
 * a claim, and about a volume), pv_bind.c (their writes), pv_match.c (which are for each other) and pv_recycle.c. */
#pragma once

#include "base/strmap.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/pv_shelf.h"
#include "pod/volume_match.h"

#include <pthread.h>

struct pv_binder {
	struct controller_ctx *ctx;
	struct informer *claims, *volumes, *classes, *pods, *nodes;
	struct workq *claim_q, *volume_q; /* claim_q: claims, and names of volumes to be offered */
	pthread_mutex_t lock;
	struct pv_shelves shelves; /* volumes: free, or reserved for a claim; guarded by lock */
	struct pv_shelves waiting; /* claims that found nothing; claim_q's worker's own */
	struct strmap refused;	   /* volumes whose recycler was refused (pv_recycle.c); volume_q's worker's own */
};

/* Pods that no node has yet, by the claims they name. */
#define PV_PODS_BY_CLAIM "awaited claim"
index_key_fn pv_pods_claims;
int pv_claim_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err);
int pv_volume_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err);

/* --- pv_match.c --- */

/* A volume as it is now, or that it is gone; one that is free is offered to those who wait. Any thread. */
void pv_volume_seen(struct pv_binder *b, struct obj *volume, bool gone);
/* The best that can serve the claim; reserved_only: none that is not reserved for it. A new reference or NULL. */
struct obj *pv_best_volume(struct pv_binder *b, const struct obj *claim, bool reserved_only);
/* It found nothing. On claim_q's worker. */
void pv_claim_waits(struct pv_binder *b, struct obj *claim);
/* Of those, the one that would leave least of a volume that is free; a new reference or NULL. On claim_q's worker. */
struct obj *pv_claim_waiting(struct pv_binder *b, const struct obj *volume);

/* --- pv_bind.c --- */

/* The two objects point at each other, and say so in their phases. Every step may have been done before. */
int pv_bind(struct pv_binder *b, struct obj *volume, struct obj *claim, struct err *err);
/* The claim's phase; of a bound one also what the volume gives. volume may be NULL. An object that has gone is no
 * failure. */
int pv_claim_set_phase(struct pv_binder *b, struct obj *claim, const char *phase, const struct obj *volume,
		       struct err *err);
int pv_volume_set_phase(struct pv_binder *b, struct obj *volume, const char *phase, const char *message,
			struct err *err);
void pv_claim_event(struct pv_binder *b, const struct obj *claim, const char *type, const char *reason, const char *fmt,
		    ...) _printf_(5, 6);
bool pv_has_annotation(const struct obj *o, const char *name);

/* --- pv_recycle.c: volumes of the policy Recycle whose claim is gone --- */

/* Is there a way to empty it? */
bool pv_recyclable(const struct obj *volume);
/* A step of that; pods' news bring it back. *ret_failed: why it cannot be emptied, in the arena or constant; NULL: it
 * is going on, or done. */
int pv_recycle(struct pv_binder *b, struct obj *volume, const char **ret_failed, struct arena *a, struct err *err);
void pv_recycle_watch(struct pv_binder *b);
void pv_recycle_forget(struct pv_binder *b, struct sv volume); /* it is gone */
void pv_recycle_free(struct pv_binder *b);
