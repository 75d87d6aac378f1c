/* Spreading and affinity between Pods, and that their counters follow every change. */
#include "kit.h"

#define ZONE(z) "'topology.kubernetes.io/zone':'" z "'"
#define SPREAD(skew, key, when, more)                                                                          \
	"'topologySpreadConstraints':[{'maxSkew':" #skew ",'topologyKey':'" key "','whenUnsatisfiable':'" when \
	"','labelSelector':{'matchLabels':{'app':'web'}}" more "}]"
#define HARD(skew) SPREAD(skew, "topology.kubernetes.io/zone", "DoNotSchedule", "")
#define TERM(key) "{'labelSelector':{'matchLabels':{'app':'db'}},'topologyKey':'" key "'}"
/* One that says more than what is beside and on which node. */
#define DB_TERM(more) "{" more ",'labelSelector':{'matchLabels':{'app':'db'}},'topologyKey':'kubernetes.io/hostname'}"
#define NEAR(term) "'affinity':{'podAffinity':{" REQ term "]}}"
#define REQ "'requiredDuringSchedulingIgnoredDuringExecution':["
#define PREF(w) "'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':" #w ",'podAffinityTerm':"
#define NO_SPREAD "node(s) didn't match pod topology spread constraints"

static void zones(struct kit *k)
{
	kit_node(k, "a1", ZONE("a"));
	kit_node(k, "a2", ZONE("a"));
	kit_node(k, "b1", ZONE("b"));
}

static void test_hard_spread(void **state)
{
	struct kit *k = *state;
	struct pod_info *p, *w1, *w2;

	zones(k);
	p = kit_pod(k, NULL, "p", "'app':'web'", HARD(1));
	w1 = kit_pod(k, "a1", "w1", "'app':'web'", "");
	assert_string_equal(kit_find(k, p), "b1");
	w2 = kit_pod(k, "b1", "w2", "'app':'web'", "");
	assert_string_not_equal(kit_find(k, p), "");
	/* Others do not count, nor do Pods on their way out, nor ones of another namespace. */
	kit_pod(k, "b1", "x", "'app':'other'", "");
	kit_pod_meta(k, "b1", "d", "'labels':{'app':'web'},'deletionTimestamp':'2026-01-01T00:00:00Z'", "", "");
	kit_remove(k, w2);
	assert_string_equal(kit_find(k, p), "b1");
	/* The emptiest domain cannot take it: the others would be too full. */
	kit_node_full(k, "b1", ZONE("b"), "'unschedulable':true", ROOMY);
	kit_refused(k, p, "0/3 nodes are available: 1 node(s) were unschedulable, 2 " NO_SPREAD ".");
	kit_remove(k, w1);
	assert_string_not_equal(kit_find(k, p), "");
	assert_int_equal(k->cache.censuses.n, 1);
}

static void test_spread_details(void **state)
{
	struct kit *k = *state;
	struct pod_info *p;

	zones(k);
	kit_node(k, "nowhere", "");
	kit_pod(k, "a1", "w1", "'app':'web'", "");
	p = kit_pod(k, NULL, "p", "'app':'web'",
		    SPREAD(1, "topology.kubernetes.io/zone", "DoNotSchedule", ",'minDomains':3"));
	/* Two of three domains: the third counts as empty, so one Pod each and no more. */
	assert_string_equal(kit_find(k, p), "b1");
	kit_pod(k, "b1", "w2", "'app':'web'", "");
	kit_refused(k, p, "0/4 nodes are available: 1 " NO_SPREAD " (missing required label), 3 " NO_SPREAD ".");
	/* Nodes the Pod cannot go to are no domains (nodeAffinityPolicy Honor), unless told so. */
	kit_pod(k, "a2", "w3", "'app':'web'", "");
	p = kit_pod(k, NULL, "q", "'app':'web'", "'nodeSelector':{'kubernetes.io/hostname':'a1'}," HARD(1));
	assert_string_equal(kit_find(k, p), "a1");
	p = kit_pod(k, NULL, "r", "'app':'web'",
		    "'nodeSelector':{'kubernetes.io/hostname':'a1'}," SPREAD(
			1, "topology.kubernetes.io/zone", "DoNotSchedule", ",'nodeAffinityPolicy':'Ignore'"));
	assert_string_equal(kit_find(k, p), "");
	/* matchLabelKeys: only Pods of the same revision count. */
	p = kit_pod(k, NULL, "s", "'app':'web','rev':'2'",
		    SPREAD(1, "kubernetes.io/hostname", "DoNotSchedule", ",'matchLabelKeys':['rev']"));
	kit_pod(k, "a1", "v1", "'app':'web','rev':'2'", "");
	kit_pod(k, "a2", "v2", "'app':'web','rev':'2'", "");
	kit_pod(k, "nowhere", "v3", "'app':'web','rev':'2'", "");
	assert_string_equal(kit_find(k, p), "b1");
}

/* Domains of nodes with taints that the Pod does not stand count, unless it says that they do not. */
static void test_spread_taints(void **state)
{
	struct kit *k = *state;
	struct pod_info *p;

	zones(k);
	kit_node_full(k, "b1", ZONE("b"), "'taints':[{'key':'x','effect':'NoSchedule'}]", ROOMY);
	kit_pod(k, "a1", "w1", "'app':'web'", "");
	p = kit_pod(k, NULL, "p", "'app':'web'", HARD(1));
	kit_refused(k, p, "0/3 nodes are available: 1 node(s) had untolerated taint {x: }, 2 " NO_SPREAD ".");
	p = kit_pod(k, NULL, "q", "'app':'web'",
		    SPREAD(1, "topology.kubernetes.io/zone", "DoNotSchedule", ",'nodeTaintsPolicy':'Honor'"));
	assert_true(kit_find(k, p)[0] == 'a');
}

static void test_soft_spread(void **state)
{
	struct kit *k = *state;
	struct pod_info *p;
	char name[16];

	zones(k);
	p = kit_pod(k, NULL, "p", "'app':'web'", SPREAD(1, "topology.kubernetes.io/zone", "ScheduleAnyway", ""));
	kit_pod(k, "a1", "w1", "'app':'web'", "");
	kit_pod(k, "a2", "w2", "'app':'web'", "");
	assert_string_equal(kit_find(k, p), "b1");
	/* By default a controller's Pods go to different nodes, without asking for it. */
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "rs-%d", i);
		p = kit_pod_meta(k, NULL, name,
				 "'ownerReferences':[{'kind':'ReplicaSet','name':'rs','uid':'rs1','controller':true}]",
				 "", "");
		cache_add_pod(&k->cache, p, sv_from(kit_find(k, p)));
	}
	for (size_t i = 0; i < k->cache.slots.n; i++) {
		unsigned of_rs =
		    counts_get(&((struct census *)strmap_get(&k->cache.owners, SV("rs1")))->counts, (uint32_t)i);

		assert_int_equal(of_rs, 1);
	}
}

static void test_anti_affinity(void **state)
{
	struct kit *k = *state;
	struct pod_info *p, *db, *far;

	zones(k);
	db = kit_pod(k, "a1", "db", "'app':'db'", "");
	p = kit_pod(k, NULL, "p", "'app':'x'",
		    "'affinity':{'podAntiAffinity':{" REQ TERM("topology.kubernetes.io/zone") "]}}");
	assert_string_equal(kit_find(k, p), "b1");
	kit_pod(k, "b1", "db2", "'app':'db'", "");
	kit_refused(k, p, "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.");
	kit_remove(k, db);
	assert_string_not_equal(kit_find(k, p), "b1");
	/* The other way round: one who insists on being apart from db is there first. */
	far = kit_pod(k, "a2", "far", "'app':'x'",
		      "'affinity':{'podAntiAffinity':{" REQ TERM("topology.kubernetes.io/zone") "]}}");
	p = kit_pod(k, NULL, "db3", "'app':'db'", "");
	assert_string_equal(kit_find(k, p), "b1");
	kit_node_full(k, "b1", ZONE("b"), "'unschedulable':true", ROOMY);
	kit_refused(k, p,
		    "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy existing pods "
		    "anti-affinity rules.");
	kit_remove(k, far);
	assert_string_not_equal(kit_find(k, p), "");
	assert_int_equal(k->cache.standings.n, 1); /* of the first p, which is still known */
}

static void test_affinity(void **state)
{
	struct kit *k = *state;
	struct pod_info *p, *db;

	zones(k);
	p = kit_pod(k, NULL, "p", "'app':'x'", NEAR(TERM("topology.kubernetes.io/zone")));
	kit_refused(k, p, "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.");
	db = kit_pod(k, "b1", "db", "'app':'db'", "");
	assert_string_equal(kit_find(k, p), "b1");
	kit_remove(k, db);
	/* The first of a group that wants to be together may go anywhere. */
	p = kit_pod(k, NULL, "db", "'app':'db'", NEAR(TERM("topology.kubernetes.io/zone")));
	assert_string_not_equal(kit_find(k, p), "");
	kit_pod(k, "a2", "db0", "'app':'db'", "");
	assert_string_not_equal(kit_find(k, p), "b1");
}

static void test_preferred(void **state)
{
	struct kit *k = *state;
	struct pod_info *p;

	zones(k);
	kit_pod(k, "b1", "db", "'app':'db'", "");
	p = kit_pod(k, NULL, "p", "'app':'x'",
		    "'affinity':{'podAffinity':{" PREF(100) TERM("kubernetes.io/hostname") "}]}}");
	assert_string_equal(kit_find(k, p), "b1");
	p = kit_pod(k, NULL, "q", "'app':'x'",
		    "'affinity':{'podAntiAffinity':{" PREF(100) TERM("kubernetes.io/hostname") "}]}}");
	assert_string_not_equal(kit_find(k, p), "b1");
	/* Existing Pods' preferences draw too. */
	kit_pod(k, "a1", "r", "'app':'y'",
		"'affinity':{'podAffinity':{" PREF(100) TERM("kubernetes.io/hostname") "}]}}");
	p = kit_pod(k, NULL, "db2", "'app':'db'", "");
	assert_string_equal(kit_find(k, p), "a1");
}

static void test_namespaces(void **state)
{
	struct kit *k = *state;
	struct obj *ns = kit_obj("{'kind':'Namespace','metadata':{'name':'default','uid':'1','labels':{'team':'a'}}}");
	struct pod_info *p;

	zones(k);
	kit_pod(k, "b1", "db", "'app':'db'", "");
	p = kit_pod(k, NULL, "p", "'app':'x'", NEAR(DB_TERM("'namespaceSelector':{'matchLabels':{'team':'a'}}")));
	assert_string_equal(kit_find(k, p), "");
	/* The namespace's labels become known: what was counted is counted again. */
	cache_set_namespace(&k->cache, ns, false);
	assert_string_equal(kit_find(k, p), "b1");
	cache_set_namespace(&k->cache, ns, true);
	assert_string_equal(kit_find(k, p), "");
	obj_unref(ns);
}

static void test_terms(void **state)
{
	struct kit *k = *state;
	static const char apart[] = "'affinity':{'podAffinity':{" REQ TERM(
	    "kubernetes.io/hostname") "]},'podAntiAffinity':{" REQ DB_TERM("'mismatchLabelKeys':['rev']") "]}}";
	struct pod_info *p;

	zones(k);
	kit_pod(k, "b1", "db", "'app':'db','rev':'2'", "");
	/* Namespaces by name: only those. */
	p = kit_pod(k, NULL, "p", "'app':'x'", NEAR(DB_TERM("'namespaces':['other']")));
	assert_string_equal(kit_find(k, p), "");
	p = kit_pod(k, NULL, "q", "'app':'x'", NEAR(DB_TERM("'namespaces':['other','default']")));
	assert_string_equal(kit_find(k, p), "b1");
	/* mismatchLabelKeys: apart from other revisions, not from one's own. */
	p = kit_pod(k, NULL, "r", "'app':'db','rev':'2'", apart);
	assert_string_equal(kit_find(k, p), "b1");
	p = kit_pod(k, NULL, "s", "'app':'db','rev':'3'", apart);
	assert_string_equal(kit_find(k, p), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KIT_TEST(test_hard_spread),   KIT_TEST(test_spread_details), KIT_TEST(test_soft_spread),
		KIT_TEST(test_anti_affinity), KIT_TEST(test_affinity),	     KIT_TEST(test_preferred),
		KIT_TEST(test_namespaces),    KIT_TEST(test_terms),	     KIT_TEST(test_spread_taints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
