/* Assuming, confirming and expiring; nodes that come and go under their Pods; the queue's times. */
#include "kit.h"

#include "scheduler/queue.h"

#define CPU1 "'containers':[{'resources':{'requests':{'cpu':'1'}}}]"
#define SEC NS_PER_SEC

static void test_assume_and_expire(void **state)
{
	struct kit *k = *state;
	struct node_info *n = kit_node(k, "n1", "");
	struct pod_info *a = kit_pod(k, NULL, "a", "", CPU1), *b = kit_pod(k, NULL, "b", "", CPU1);

	cache_assume(&k->cache, a, n);
	cache_assume(&k->cache, b, n);
	assert_int_equal(resvec_get(&n->requested, RES_CPU), 2000);
	assert_int_equal(n->n_pods, 2);
	/* Nothing expires while the binding is under way. */
	assert_null(cache_expired(&k->cache, 1000000 * SEC));
	cache_binding_done(&k->cache, a, 10 * SEC);
	cache_binding_done(&k->cache, b, 20 * SEC);
	assert_true(cache_next_expiry(&k->cache) == 10 * SEC + CACHE_ASSUME_TTL_NS);
	cache_confirm(&k->cache, a);
	assert_null(cache_expired(&k->cache, 19 * SEC + CACHE_ASSUME_TTL_NS));
	assert_ptr_equal(cache_expired(&k->cache, 20 * SEC + CACHE_ASSUME_TTL_NS), b);
	assert_null(b->node);
	assert_int_equal(resvec_get(&n->requested, RES_CPU), 1000);
	assert_true(cache_next_expiry(&k->cache) == 0);
}

static void test_node_after_its_pods(void **state)
{
	struct kit *k = *state;
	struct pod_info *a = kit_pod(k, "n1", "a", "", CPU1),
			*p = kit_pod(k, NULL, "p", "", "'containers':[{'resources':{'requests':{'cpu':'3500m'}}}]");
	size_t n;

	/* Its Node is not known yet: not a place to go, but what runs there counts once it is. */
	assert_null(cache_node(&k->cache, SV("n1")));
	cache_order(&k->cache, &n);
	assert_int_equal(n, 0);
	kit_node(k, "n1", "");
	kit_refused(k, p, "0/1 nodes are available: 1 Insufficient cpu.");
	/* And the other way: the Node goes first. */
	assert_true(cache_remove_node(&k->cache, SV("n1")));
	assert_false(cache_remove_node(&k->cache, SV("n1")));
	assert_int_equal(k->cache.nodes.n, 1);
	kit_remove(k, a);
	assert_int_equal(k->cache.nodes.n, 0);
	kit_node(k, "n2", "");
	assert_string_equal(kit_find(k, p), "n2");
}

static void test_node_events(void **state)
{
	static const struct {
		const char *labels, *spec, *status;
		uint32_t want;
	} steps[] = {
		{ "", "", ROOMY, EV_NODE_ADD },
		{ "", "", ROOMY ",'conditions':[{'type':'Ready'}]", 0 },
		{ "", "", "'allocatable':{'cpu':'8'}", EV_NODE_ALLOCATABLE },
		{ "'a':'b'", "", "'allocatable':{'cpu':'8'}", EV_NODE_LABELS },
		{ "'a':'b'", "'unschedulable':true", "'allocatable':{'cpu':'8'}", EV_NODE_TAINTS },
		{ "", "", ROOMY, EV_NODE_ALLOCATABLE | EV_NODE_LABELS | EV_NODE_TAINTS },
	};
	struct kit *k = *state;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct obj *o = kit_obj("{'metadata':{'name':'n','labels':{%s}},'spec':{%s},'status':{%s}}",
					steps[i].labels, steps[i].spec, steps[i].status);
		uint32_t ev = 99;

		cache_set_node(&k->cache, o, &ev);
		obj_unref(o);
		assert_int_equal(ev, steps[i].want);
	}
}

/* --- the queue --- */

static struct queue *make(struct kit *k)
{
	struct queue *q = xcalloc(1, sizeof(*q));

	queue_init(q, &k->cache);
	return q;
}

static void unmake(struct kit *k, struct queue *q)
{
	for (size_t i = 0; i < k->pods.n; i++)
		queue_remove(q, k->pods.p[i]);
	queue_release(q);
	free(q);
}

static void test_order(void **state)
{
	struct kit *k = *state;
	struct queue *q = make(k);
	struct pod_info *a = kit_pod(k, NULL, "a", "", "'priority':0"), *b = kit_pod(k, NULL, "b", "", "'priority':10");
	struct pod_info *c = kit_pod(k, NULL, "c", "", "'priority':0");
	struct pod_info *g = kit_pod(k, NULL, "g", "", "'priority':99,'schedulingGates':[{'name':'x'}]");

	queue_add(q, a, 1 * SEC);
	queue_add(q, c, 1 * SEC);
	queue_add(q, b, 2 * SEC);
	queue_add(q, g, 0);
	assert_int_equal(g->place, POD_GATED);
	assert_ptr_equal(queue_pop(q), b);
	assert_ptr_equal(queue_pop(q), a);
	assert_ptr_equal(queue_pop(q), c);
	assert_null(queue_pop(q));
	unmake(k, q);
}

static void test_backoff(void **state)
{
	static const int64_t waits[] = { 1, 2, 4, 8, 10, 10 };
	struct kit *k = *state;
	struct queue *q = make(k);
	struct pod_info *a = kit_pod(k, NULL, "a", "", "");
	int64_t now = 100 * SEC;

	queue_add(q, a, now);
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		assert_ptr_equal(queue_pop(q), a);
		queue_retry(q, a, now);
		assert_int_equal(a->place, POD_BACKOFF);
		assert_true(queue_next_tick(q) == now + waits[i] * SEC);
		queue_tick(q, now + waits[i] * SEC - 1);
		assert_null(queue_pop(q));
		now += waits[i] * SEC;
		queue_tick(q, now);
	}
	unmake(k, q);
}

static void test_parked_until_it_may_help(void **state)
{
	struct kit *k = *state;
	struct queue *q = make(k);
	struct node_info *big = kit_node(k, "big", "");
	struct node_info *small = kit_node_full(k, "small", "", "", "'allocatable':{'cpu':'500m','pods':'9'}");
	struct pod_info *a = kit_pod(k, NULL, "a", "", CPU1), *other = kit_pod(k, NULL, "o", "", "");
	int64_t now = 100 * SEC;

	queue_add(q, a, now);
	assert_ptr_equal(queue_pop(q), a);
	queue_park(q, a, 1u << PLUGIN_NODE_RESOURCES_FIT, now);
	/* Labels do not make room, nor does a node that is too small. */
	assert_int_equal(queue_event(q, &(struct sched_change){ .what = EV_NODE_LABELS, .node = big }, now), 0);
	assert_int_equal(queue_event(q, &(struct sched_change){ .what = EV_NODE_ADD, .node = small }, now), 0);
	assert_int_equal(queue_event(q, &(struct sched_change){ .what = EV_POD_ADD, .pod = other }, now), 0);
	assert_int_equal(queue_event(q, &(struct sched_change){ .what = EV_NODE_DELETE }, now), 0);
	/* Something that may help, but too early: the rest of the back-off first. */
	assert_int_equal(queue_event(q, &(struct sched_change){ .what = EV_POD_DELETE, .pod = other }, now + SEC / 2),
			 1);
	assert_int_equal(a->place, POD_BACKOFF);
	assert_true(queue_next_tick(q) == now + SEC);
	queue_tick(q, now + SEC - 1);
	assert_int_equal(a->place, POD_BACKOFF);
	queue_tick(q, now + SEC);
	assert_int_equal(a->place, POD_ACTIVE);
	assert_ptr_equal(queue_pop(q), a);
	/* Nobody else to be scheduled: no reason to wait. Somebody else: he goes first. */
	queue_park(q, a, 1u << PLUGIN_NODE_RESOURCES_FIT, now);
	assert_int_equal(queue_event(q, &(struct sched_change){ .what = EV_POD_DELETE, .pod = other }, now + 1), 1);
	assert_int_equal(a->place, POD_BACKOFF);
	queue_add(q, other, now);
	assert_ptr_equal(queue_pop(q), other);
	assert_true(queue_has_next(q));
	assert_ptr_equal(queue_pop(q), a);
	assert_false(queue_has_next(q));
	/* Late enough: at once. */
	queue_park(q, a, 1u << PLUGIN_NODE_RESOURCES_FIT, now);
	assert_int_equal(queue_event(q, &(struct sched_change){ .what = EV_NODE_ADD, .node = big }, now + 10 * SEC), 1);
	assert_ptr_equal(queue_pop(q), a);
	/* Nothing happens at all: five minutes. */
	queue_park(q, a, 1u << PLUGIN_NODE_RESOURCES_FIT, now);
	assert_true(queue_next_tick(q) == now + QUEUE_FLUSH_NS);
	queue_tick(q, now + QUEUE_FLUSH_NS - 1);
	assert_null(queue_pop(q));
	queue_tick(q, now + QUEUE_FLUSH_NS);
	assert_ptr_equal(queue_pop(q), a);
	unmake(k, q);
}

static void test_hints(void **state)
{
	struct kit *k = *state;
	struct queue *q = make(k);
	struct node_info *ssd = kit_node(k, "ssd", "'disk':'ssd'");
	struct node_info *tainted = kit_node_full(k, "t", "", "'taints':[{'key':'k','effect':'NoSchedule'}]", ROOMY);
	struct pod_info *p =
	    kit_pod(k, NULL, "p", "'app':'x'",
		    "'nodeSelector':{'disk':'ssd'},'affinity':{'podAntiAffinity':{'"
		    "requiredDuringSchedulingIgnoredDuringExecution':[{'labelSelector':{'matchLabels':{'app':'x'}},'"
		    "topologyKey':'kubernetes.io/hostname'}]}},"
		    "'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'kubernetes.io/"
		    "hostname','whenUnsatisfiable':'DoNotSchedule','labelSelector':{'matchLabels':{'app':'x'}}}]");
	struct pod_info *same = kit_pod(k, NULL, "same", "'app':'x'", ""),
			*other = kit_pod(k, NULL, "other", "'app':'y'", "");
	const struct {
		enum plugin_id by;
		struct sched_change change;
		bool want;
	} rows[] = {
		{ PLUGIN_NODE_AFFINITY, { .what = EV_NODE_ADD, .node = ssd }, true },
		{ PLUGIN_NODE_AFFINITY, { .what = EV_NODE_LABELS, .node = tainted }, false },
		{ PLUGIN_TAINT_TOLERATION, { .what = EV_NODE_TAINTS, .node = ssd }, true },
		{ PLUGIN_TAINT_TOLERATION, { .what = EV_NODE_TAINTS, .node = tainted }, false },
		{ PLUGIN_TAINT_TOLERATION, { .what = EV_POD_DELETE, .pod = same }, false },
		{ PLUGIN_INTER_POD_AFFINITY, { .what = EV_POD_DELETE, .pod = same }, true },
		{ PLUGIN_INTER_POD_AFFINITY, { .what = EV_POD_DELETE, .pod = other }, false },
		{ PLUGIN_INTER_POD_AFFINITY, { .what = EV_POD_ADD, .pod = same }, false },
		{ PLUGIN_POD_TOPOLOGY_SPREAD, { .what = EV_POD_ADD, .pod = same }, true },
		{ PLUGIN_POD_TOPOLOGY_SPREAD, { .what = EV_POD_ADD, .pod = other }, false },
		{ PLUGIN_POD_TOPOLOGY_SPREAD, { .what = EV_NODE_DELETE }, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		queue_park(q, p, 1u << rows[i].by, 0);
		assert_int_equal(queue_event(q, &rows[i].change, 100 * SEC), rows[i].want);
		queue_remove(q, p);
	}
	/* Rejected by nothing in particular: anything may help. */
	queue_park(q, p, 0, 0);
	assert_int_equal(queue_event(q, &(struct sched_change){ .what = EV_NODE_ADD, .node = tainted }, 100 * SEC), 1);
	unmake(k, q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KIT_TEST(test_assume_and_expire),
		KIT_TEST(test_node_after_its_pods),
		KIT_TEST(test_node_events),
		KIT_TEST(test_order),
		KIT_TEST(test_backoff),
		KIT_TEST(test_parked_until_it_may_help),
		KIT_TEST(test_hints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
