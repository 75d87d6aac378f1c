#include "kit.h"

#define CPU(n, prio) "'priority':" #prio ",'containers':[{'resources':{'requests':{'cpu':'" #n "'}}}]"
#define STARTED(t) "'startTime':'2026-01-01T00:00:" #t "Z'"

static struct preemption try(struct kit *k, struct pod_info *p)
{
	struct preemption pre;

	assert_string_equal(kit_find(k, p), "");
	preemption_find(&k->cs, &pre);
	return pre;
}

static void test_fewest_and_least_important(void **state)
{
	struct kit *k = *state;
	struct pod_info *p = kit_pod(k, NULL, "p", "", CPU(2, 100));
	struct preemption pre;

	kit_node(k, "a", "");
	kit_node(k, "b", "");
	kit_pod(k, "a", "a1", "", CPU(2, 10));
	kit_pod(k, "a", "a2", "", CPU(2, 5));
	kit_pod(k, "b", "b1", "", CPU(2, 10));
	kit_pod(k, "b", "b2", "", CPU(2, 10));
	pre = try(k, p);
	assert_string_equal(pre.node->name, "a");
	assert_int_equal(pre.n, 1);
	assert_sv(obj_name(pre.victims[0]->obj), "a2");
	/* It was only a thought. */
	for (size_t i = 0; i < k->pods.n; i++)
		assert_true((k->pods.p[i] == p) == (k->pods.p[i]->node == NULL));
	assert_int_equal(resvec_get(&cache_node(&k->cache, SV("a"))->requested, RES_CPU), 4000);
}

static void test_who_started_last(void **state)
{
	struct kit *k = *state;
	struct pod_info *p = kit_pod(k, NULL, "p", "", CPU(4, 100));
	struct preemption pre;

	kit_node(k, "a", "");
	kit_node(k, "b", "");
	kit_pod_meta(k, "a", "old", "", CPU(4, 1), STARTED(10));
	kit_pod_meta(k, "b", "new", "", CPU(4, 1), STARTED(20));
	pre = try(k, p);
	assert_string_equal(pre.node->name, "b");
}

static void test_not_helpful(void **state)
{
	struct kit *k = *state;
	struct preemption pre;

	kit_node_full(k, "a", "", "'taints':[{'key':'k','effect':'NoSchedule'}]", ROOMY);
	kit_node(k, "b", "");
	kit_node_full(k, "c", "", "", "'allocatable':{'cpu':'1','pods':'9'}");
	kit_pod(k, "b", "b1", "", CPU(4, 200));
	pre = try(k, kit_pod(k, NULL, "p", "", CPU(2, 100)));
	assert_null(pre.node);
	assert_sv(pre.message, "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 "
			       "Preemption is not helpful for scheduling.");
	pre = try(k, kit_pod(k, NULL, "q", "", "'preemptionPolicy':'Never'," CPU(2, 300)));
	assert_null(pre.node);
	assert_sv(pre.message, "preemption: not eligible due to preemptionPolicy=Never.");
}

static void test_affinity_is_thought_away(void **state)
{
	static const char apart[] =
	    "'priority':%d,'affinity':{'podAntiAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':[{'"
	    "labelSelector':{'matchLabels':{'app':'x'}},'topologyKey':'kubernetes.io/hostname'}]}}";
	struct kit *k = *state;
	struct preemption pre;
	char spec[512];

	kit_node(k, "a", "");
	snprintf(spec, sizeof(spec), apart, 1);
	kit_pod(k, "a", "low", "'app':'x'", spec);
	kit_pod(k, "a", "innocent", "'app':'y'", CPU(1, 1));
	snprintf(spec, sizeof(spec), apart, 9);
	pre = try(k, kit_pod(k, NULL, "p", "'app':'x'", spec));
	assert_string_equal(pre.node->name, "a");
	assert_int_equal(pre.n, 1);
	assert_sv(obj_name(pre.victims[0]->obj), "low");
}

static void test_promised_room(void **state)
{
	struct kit *k = *state;
	struct pod_info *high = kit_pod(k, NULL, "high", "", CPU(4, 100));
	struct pod_info *low = kit_pod(k, NULL, "low", "", CPU(1, 1)),
			*higher = kit_pod(k, NULL, "higher", "", CPU(1, 200));

	kit_node(k, "a", "");
	cache_nominate(&k->cache, high, SV("a"));
	assert_string_equal(kit_find(k, low), "");
	assert_string_equal(kit_find(k, higher), "a"); /* goes first anyway */
	assert_string_equal(kit_find(k, high), "a");
	cache_nominate(&k->cache, high, SV(""));
	assert_string_equal(kit_find(k, low), "a");
	/* A node that goes takes its promises along. */
	cache_nominate(&k->cache, high, SV("a"));
	cache_remove_node(&k->cache, SV("a"));
	assert_int_equal(high->nominated.n, 0);
	assert_int_equal(k->cache.n_nominated, 0);
}

/* Other things being equal, those go whose budget allows it. */
static void test_budgets(void **state)
{
	struct kit *k = *state;
	struct pod_info *p = kit_pod(k, NULL, "p", "", CPU(2, 100));
	static const char pdb[] = "{'metadata':{'name':'b','namespace':'default'},'spec':{'selector':{'matchLabels':{"
				  "'app':'x'}}},'status':{'disruptionsAllowed':%d}}";
	struct obj *budget = kit_obj(pdb, 1);
	struct preemption pre;

	kit_node(k, "a", "");
	kit_node(k, "b", "");
	kit_pod(k, "a", "a1", "'app':'x'", CPU(2, 1));
	kit_pod(k, "a", "a2", "'app':'x'", CPU(2, 1));
	kit_pod(k, "b", "b1", "'app':'y'", CPU(2, 5));
	kit_pod(k, "b", "b2", "'app':'y'", CPU(2, 5));
	/* One may go: the least important node is a, as without budgets. */
	pre = try(k, p);
	assert_string_equal(pre.node->name, "a");
	k->cs.budgets = &budget;
	k->cs.n_budgets = 1;
	preemption_find(&k->cs, &pre);
	assert_string_equal(pre.node->name, "a");
	assert_int_equal(pre.n, 1);
	assert_sv(obj_name(pre.victims[0]->obj), "a1"); /* a2 would be the second */
	/* None may go: the more important ones without a budget go. */
	obj_unref(budget);
	budget = kit_obj(pdb, 0);
	preemption_find(&k->cs, &pre);
	assert_string_equal(pre.node->name, "b");
	assert_int_equal(pre.n, 1);
	obj_unref(budget);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KIT_TEST(test_fewest_and_least_important), KIT_TEST(test_who_started_last), KIT_TEST(test_not_helpful),
		KIT_TEST(test_affinity_is_thought_away),   KIT_TEST(test_promised_room),    KIT_TEST(test_budgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
