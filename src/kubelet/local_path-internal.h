/* local_path-internal.h - shared by local_path.c (life, making, taking away), local_path_grow.c, local_path_source.c
 * (what a volume is filled from), local_path_snap.c (snapshots) and local_path_common.c. */
#pragma once

#include "client/events.h"
#include "client/informer.h"
#include "client/workq.h"
#include "kubelet/local/local_volume.h"
#include "kubelet/local_path.h"
#include "volsnap/watch.h"

struct local_path {
	struct env *env;
	struct client *client;
	char *node, *dir;
	struct local_store store; /* below dir */
	struct informer_factory *informers;
	struct informer *claims, *volumes, *classes;
	struct workq *claim_q, *volume_q;
	struct recorder *recorder;
	struct volsnap_watch *snaps; /* from when there is a volume of ours, or a claim that comes from a snapshot */
	struct workq *snap_q;	     /* contents, by name */
};

/* Parameters of a class. */
#define PARAM_ENFORCEMENT "enforcement" /* a name of local_limit_names */
#define PARAM_ARCHIVE "archiveOnDelete" /* "true", "false" */
/* What a volume says of itself. */
#define ANN_ENFORCEMENT "local-path.caravel.io/enforcement"
#define ANN_ARCHIVE "local-path.caravel.io/archive-on-delete"

void local_path_claim_event(struct local_path *l, const struct obj *claim, const char *type, const char *reason,
			    const char *fmt, ...) _printf_(5, 6);
/* The name of its files, when the volume is one that this node made; NULL: it is not. */
const char *local_path_name(struct local_path *l, struct arena *a, const struct obj *volume);
/* A bound claim: made as large as it asks to be. */
int local_path_grow(struct local_path *l, struct obj *claim, struct reconcile_result *ret, struct err *err);

/* What the claim is to be filled from; neither is set where it is new and empty. 1: from what another node has, which
 * the scheduler will be told. -1: in upstream's words. */
int local_path_source(struct local_path *l, struct arena *a, const struct obj *claim, struct local_source *ret,
		      struct err *err);

void local_path_snap_new(struct local_path *l);
void local_path_snap_begin(struct local_path *l); /* contents are watched from here on */
void local_path_snap_free(struct local_path *l);  /* after volsnap_watch_stop() */
/* A content of ours: the name of its files, in the arena; NULL: another node's, or another driver's. */
const char *local_path_snap_name(struct local_path *l, struct arena *a, const struct obj *content);
