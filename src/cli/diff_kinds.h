/* diff_kinds.h - the kinds of a server that can be listed, as its discovery names them: for diff.c. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"
#include "client/client.h"

struct diff_kind {
	struct sv group, version, plural, kind; /* in the arena */
	bool namespaced;
	const char *base; /* "/apis/apps/v1" */
};
typedef VEC(struct diff_kind) diff_kinds;

/* Those that word means ("pods", "po", "Deployment", "deployments.apps"), the first of them; or, word NULL, all of the
 * preferred versions, but Events and Leases, which change all the time. In order of group and name. */
int diff_kinds_find(struct client *c, struct arena *a, const char *word, diff_kinds *ret, struct err *err);
