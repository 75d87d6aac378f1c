/* Order, first difference decides; the first named goes first:
 *	1. not assigned to a node		5. more peers on its node
 *	2. Pending, then unknown, then Running	6. ready for a shorter time
 *	3. not ready				7. more restarts
 *	4. lower deletion cost			8. younger
 * Times are compared by their binary logarithm, and then by uid, so that scaling down spreads
 * over the pods of one age instead of always hitting the newest (KEP-2185). */
#include "controllers/replicaset_rank.h"
#include "base/strmap.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdlib.h>

struct ranked {
	struct obj *pod;
	size_t peers;
	int64_t now_ns;
};

static int phase_rank(const struct obj *pod)
{
	struct sv phase = val_str(obj_get(pod, F_status, F_phase));

	return sv_is(phase, "Pending") ? 0 : sv_is(phase, "Running") ? 2 : 1;
}

static int64_t log2_age(int64_t since, int64_t now)
{
	return now - since <= 0 ? -1 : 63 - __builtin_clzll((unsigned long long)(now - since));
}

static int cmp_int(int64_t x, int64_t y)
{
	return (x > y) - (x < y);
}

/* Younger first, in steps of powers of two. */
static int cmp_age(const struct ranked *x, const struct ranked *y, int64_t xt, int64_t yt)
{
	int c = cmp_int(log2_age(xt, x->now_ns), log2_age(yt, y->now_ns));

	return c ? c : sv_cmp(obj_uid(x->pod), obj_uid(y->pod));
}

static int rank_compare(const void *px, const void *py)
{
	const struct ranked *x = px, *y = py;
	bool x_node = val_str(obj_get(x->pod, F_spec, F_nodeName)).n,
	     y_node = val_str(obj_get(y->pod, F_spec, F_nodeName)).n;
	bool x_ready = pod_is_ready(x->pod), y_ready = pod_is_ready(y->pod);
	int64_t xt = 0, yt = 0;
	int c;

	if ((c = cmp_int(x_node, y_node)) || (c = cmp_int(phase_rank(x->pod), phase_rank(y->pod))) ||
	    (c = cmp_int(x_ready, y_ready)) || (c = cmp_int(pod_deletion_cost(x->pod), pod_deletion_cost(y->pod))) ||
	    (c = cmp_int((int64_t)y->peers, (int64_t)x->peers)))
		return c;
	if (x_ready && y_ready) {
		(void)pod_ready_since(x->pod, &xt);
		(void)pod_ready_since(y->pod, &yt);
		if (xt != yt)
			return cmp_age(x, y, xt, yt);
	}
	if ((c = cmp_int(pod_restarts(y->pod), pod_restarts(x->pod))))
		return c;
	xt = yt = 0;
	(void)time_get(obj_get(x->pod, F_metadata, F_creationTimestamp), &xt);
	(void)time_get(obj_get(y->pod, F_metadata, F_creationTimestamp), &yt);
	if (xt != yt)
		return cmp_age(x, y, xt, yt);
	return sv_cmp(obj_name(x->pod), obj_name(y->pod)); /* a total order keeps runs repeatable */
}

void rank_pods_for_deletion(struct arena *a, struct obj **pods, size_t n, struct obj *const *peers, size_t n_peers,
			    int64_t now_ns)
{
	struct strmap on_node = STRMAP_INIT;
	struct ranked *r = ARENA_ARRAY(a, struct ranked, n);

	for (size_t i = 0; i < n_peers; i++) {
		void **slot = strmap_slot(&on_node, val_str(obj_get(peers[i], F_spec, F_nodeName)));

		*slot = (void *)((uintptr_t)*slot + 1);
	}
	for (size_t i = 0; i < n; i++)
		r[i] = (struct ranked){
			.pod = pods[i],
			.peers = (uintptr_t)strmap_get(&on_node, val_str(obj_get(pods[i], F_spec, F_nodeName))),
			.now_ns = now_ns,
		};
	if (n > 1)
		qsort(r, n, sizeof(*r), rank_compare);
	for (size_t i = 0; i < n; i++)
		pods[i] = r[i].pod;
	strmap_release(&on_node);
}
