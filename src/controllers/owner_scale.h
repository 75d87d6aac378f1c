/* owner_scale.h - the size of a workload whose kind is no workload of ours, by its scale subresource.
 *
 * Asked of the API each time, as the controller whose client it is: what is not in any informer cannot be stale. The
 * role needs get on scale of all kinds. May wait for another server (aggregation): for workers alone.
 */
#pragma once

#include "base/arena.h"
#include "client/client.h"
#include "object/api_set.h"

/* The Scale of an object of any kind that has one, as whoever's client it is. In a. */
int scale_read(struct client *c, struct arena *a, const struct resource *res, struct sv ns, struct sv name,
	       const struct val **ret, struct err *err);
/* What ref, a controller reference of an object in ns, names. 0: *ret_replicas is its size; 1: there is no such object
 * (any more), or of its kind nothing is known; -1: its kind has no size, or the API did not say. */
int owner_scale(struct client *c, struct api_current *kinds, struct arena *a, struct sv ns, const struct val *ref,
		int64_t *ret_replicas, struct err *err);
