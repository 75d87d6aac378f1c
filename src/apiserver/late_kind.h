/* late_kind.h - what this server keeps for one kind that came at run time, in one version; hung on that
 * (api_kind_attach()).
 *
 * For built-in kinds the same stands in tables by resource.id. It is made before anybody can ask for the kind, and
 * freed with the kind: who has the resource has this.
 */
#pragma once

#include "apiserver/registry/strategy.h"
#include "apiserver/set_aside.h"
#include "apiserver/versions.h"
#include "object/api_kind.h"

#include <stdatomic.h>

struct cell;
struct wc_resource;

struct late_kind {
	struct arena arena;
	struct strategy strategy;		 /* a plain one; what its status endpoint keeps is in the arena */
	struct versions versions;		 /* of the storage version, when there are several; all have it */
	void (*versions_unref)(void *ctx);	 /* of versions.ctx, which this keeps; or NULL */
	struct wc_resource *wc;			 /* watchcache_late.c; the storage version's */
	_Atomic(struct cell *) cells[_VERB_MAX]; /* metrics.c */
	struct aside_kind aside;		 /* set_aside.c; guarded by its lock */
	struct sv definition, definition_uid;	 /* name and uid; "": it has none */
	atomic_bool terminating;		 /* its definition goes: nothing new is made (crd/) */
};

/* NULL: built in, or of no server yet. */
static inline struct late_kind *late_kind_of(const struct resource *r)
{
	return resource_late(r) ? api_kind_state(api_kind_of(r)) : NULL;
}
