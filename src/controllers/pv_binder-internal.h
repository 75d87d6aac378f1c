/* pv_binder-internal.h - shared by pv_binder.c (events, queues, binding), pv_claims.c and pv_volumes.c (what is to be
 * done about a claim, and about a volume). */
#pragma once

#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "pod/volume_match.h"

struct pv_binder {
	struct controller_ctx *ctx;
	struct informer *claims, *volumes, *classes, *pods;
	struct workq *claim_q, *volume_q;
};

int pv_claim_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err);
int pv_volume_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err);

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
