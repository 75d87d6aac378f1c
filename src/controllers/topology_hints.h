/* topology_hints.h - for which zone each endpoint of a Service is, by the annotation
 * service.kubernetes.io/topology-mode: Auto (KEP-2433).
 *
 * Each zone gets a share of the endpoints like its share of the processors of nodes, with endpoints of its own first,
 * and some of others where it has too few. Where that would load an endpoint a fifth more than evenly, or something
 * needed for it is not known, no endpoint has a hint, and traffic goes everywhere.
 *
 * A function of its inputs, in the order of the endpoints: the same ones get the same hints.
 */
#pragma once

#include "client/informer.h"

#define TOPOLOGY_ZONES_MAX 64

struct topology_zone {
	struct sv name;
	int64_t cpu_milli; /* of its ready nodes */
};
struct topology {
	struct topology_zone zones[TOPOLOGY_ZONES_MAX]; /* by name */
	size_t n;
	bool known; /* each ready node says its zone and its processors */
};

bool topology_wanted(const struct obj *svc);
void topology_read(struct topology *t, struct arena *a, struct informer *nodes);
/* Could another node make other hints? */
bool topology_same(const struct obj *old, const struct obj *neu);
/* Sets hints.forZones of ready endpoints, whose zone is theirs; false, and nothing set, when there are to be none. */
bool topology_hints(struct arena *a, const struct topology *t, struct val *const *endpoints, size_t n);

/* An endpoint's hints.forZones or hints.forNodes: this one. By whatever rule; copies name. */
void endpoint_hint(struct arena *a, struct val *ep, enum sym list, struct sv name);
