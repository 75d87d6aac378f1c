/* local_path-internal.h - shared by local_path.c (life, making, taking away), local_path_grow.c and
 * local_path_common.c. */
#pragma once

#include "client/events.h"
#include "client/informer.h"
#include "client/workq.h"
#include "kubelet/local/local_volume.h"
#include "kubelet/local_path.h"

struct local_path {
	struct env *env;
	struct client *client;
	char *node, *dir;
	struct local_store store; /* below dir */
	struct informer_factory *informers;
	struct informer *claims, *volumes, *classes;
	struct workq *claim_q, *volume_q;
	struct recorder *recorder;
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
