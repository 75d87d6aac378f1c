/* Transactions: what changes and nothing else, who has an address, and what holds when objects go. */
#include "policy_kit.h"

#include "costs.h"
#include "netd/policy/netpol.h"

#define WEB "'podSelector':{'matchLabels':{'pod':'a'}}"
#define FROM_B "'ingress':[{'from':[{'podSelector':{'matchLabels':{'pod':'b'}}}]}]"

static void ready(struct pworld *w, struct arena *a, const char *pod, const char *uid, const char *labels,
		  const char *ip)
{
	_cleanup_obj_ struct obj *o =
	    kit_obj(arena_printf(a,
				 "{'kind':'Pod','metadata':{'name':'%s','namespace':'x','uid':'%s','labels':{%s}},"
				 "'spec':{'nodeName':'n1'},'status':{}}",
				 pod, uid, labels),
		    ++w->rev);
	struct ip_addr addr = kit_ip(ip);

	netpol_track_ready(w->t, o, &addr, 1);
	commit(w);
}

static void test_what_is_written(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	/* an earlier run's table goes, and no other comes before it is needed */
	assert_string_equal(buf_cstr(&w.last), REMOVED);
	put(&w, POLICY("x", "one", "'podSelector':{}," FROM_B));
	assert_true(last_has(&w, "table inet tab {\n"));
	assert_false(last_has(&w, "delete"));
	/* each direction twice, by chains of its own: a packet that a commit overtakes in one does not get through both
	 */
	for (int i = 0; i < 4; i++) {
		static const char *const chains[] = { "egress", "ingress", "egress_again", "ingress_again" };

		assert_true(last_has(&w, arena_printf(&a,
						      "\tchain %s {\n"
						      "\t\ttype filter hook forward priority %d; policy accept;\n",
						      chains[i], 5 + i)));
	}
	assert_int_equal(last_count(&w, "\t\tip daddr vmap @ingress_4\n"), 2);
	assert_int_equal(last_count(&w, "\t\tip saddr vmap @egress_4\n"), 2);
	assert_int_equal(last_count(&w, "add chain inet tab pi"), 1); /* three pods share it */
	assert_int_equal(last_count(&w, "add set inet tab p"), 2);    /* a set of each family */
	assert_true(last_has(&w, " comment \"x/one\"\n"));
	assert_int_equal(last_count(&w, " : goto pi"), 6);
	/* the same selection is the same set, whoever asks */
	put(&w, POLICY("x", "two", WEB "," FROM_B));
	assert_false(last_has(&w, "add set"));
	assert_int_equal(last_count(&w, "add chain inet tab pi"), 1); /* of both */
	/* what selects nobody here is not in the kernel, nor are its peers */
	put(&w, POLICY("x", "three",
		       "'podSelector':{'matchLabels':{'pod':'none'}},'ingress':[{'from':[{"
		       "'namespaceSelector':{}}]}]"));
	assert_int_equal(w.last.n, 0);
	/* a peer comes, and goes */
	put(&w, pod_text(&a, 'x', 'd', "'pod':'b','more':'1'", ""));
	assert_int_equal(last_count(&w, "\n"), 6);
	assert_true(last_has(&w, "_4 { 192.168.1.4 }\n"));
	assert_true(last_has(&w, "add element inet tab self_6 { fd00::1:4 . fd00::1:4 }\n"));
	drop_pod(&w, "x", "d");
	assert_int_equal(last_count(&w, "delete element"), 6);
	assert_int_equal(last_count(&w, "\n"), 6);
	/* so does everything else */
	drop_policy(&w, "x", "two");
	assert_int_equal(last_count(&w, "delete chain"), 2);
	assert_false(last_has(&w, "delete set"));
	put(&w, POLICY("x", "one", "'podSelector':{}")); /* another version: its chains, and no set any more */
	assert_int_equal(last_count(&w, "delete chain"), 2);
	assert_int_equal(last_count(&w, "delete set"), 2);
	drop_policy(&w, "x", "one"); /* nobody is restricted any more: with the table all of it goes */
	assert_string_equal(buf_cstr(&w.last), REMOVED);
	assert_false(netpol_track_there(w.t));
	commit(&w);
	assert_int_equal(w.last.n, 0);
	expect(&w, TCP, 80, "+*/*>*/*");
	put(&w, POLICY("x", "one", "'podSelector':{}," FROM_B)); /* and begins anew */
	assert_true(sv_starts(buf_sv(&w.last), SV("table inet tab {\n")));
	assert_int_equal(last_count(&w, " : goto pi"), 6);
	expect(&w, TCP, 80, "-*/*>x/* +x/b>x/*");
	pworld_release(&w);
}

/* n rules, each with a selection and two names of ports of its own. */
static const char *wide_policy(struct arena *a, const char *name, unsigned n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (unsigned i = 0; i < n; i++)
		buf_printf(&b,
			   "%s{'from':[{'podSelector':{'matchLabels':{'%s':'%u'}}}],'ports':[{'port':'%s-%u'},"
			   "{'port':'%s-%u','protocol':'UDP'}]}",
			   i ? "," : "", name, i, name, i, name, i);
	return arena_printf(a,
			    "{'kind':'NetworkPolicy','metadata':{'name':'%s','namespace':'x'},'spec':{'podSelector':{},"
			    "'policyTypes':['Ingress'],'ingress':[%s]}}",
			    name, buf_cstr(&b));
}

/* What is over still isolates, and allows nothing. */
static void test_bounded(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, wide_policy(&a, "p", 50));
	assert_int_equal(last_count(&w, "add set inet tab p"), 2 * 150);
	put(&w, wide_policy(&a, "q", 1000));
	assert_int_equal(last_count(&w, "add set inet tab p"), 2 * NETPOL_POLICY_SETS_MAX);
	for (int i = 0; i < 20; i++)
		put(&w, wide_policy(&a, arena_printf(&a, "r%d", i), 100));
	assert_int_equal(last_count(&w, "add set inet tab p"), 0);
	/* The other namespace has its own. */
	put(&w, POLICY("y", "one", "'podSelector':{}," FROM_B));
	assert_int_equal(last_count(&w, "add set inet tab p"), 2);
	/* Some go: there is room again. */
	drop_policy(&w, "x", "p");
	drop_policy(&w, "x", "q");
	put(&w, wide_policy(&a, "s", 10));
	assert_int_equal(last_count(&w, "add set inet tab p"), 2 * 30);
	pworld_release(&w);
}

static void test_all_anew(_unused_ void **state)
{
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "one", "'podSelector':{}," FROM_B));
	netpol_track_reset(w.t);
	commit(&w);
	assert_true(sv_starts(buf_sv(&w.last), SV("add table inet tab\ndelete table inet tab\ntable inet tab {\n")));
	assert_int_equal(last_count(&w, " : goto pi"), 6);
	expect(&w, TCP, 80, "-*/*>x/* +x/b>x/*");
	pworld_release(&w);
}

static void test_an_address_before_the_status(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "one", WEB "," FROM_B));
	ready(&w, &a, "new", "u1", "'pod':'a'", "192.168.9.1");
	assert_true(last_has(&w, "192.168.9.1 : goto pi"));
	/* the watch brings the pod without an address, of before: nothing changes */
	put(&w, "{'kind':'Pod','metadata':{'name':'new','namespace':'x','uid':'u1','labels':{'pod':'a'}},"
		"'spec':{'nodeName':'n1'},'status':{}}");
	assert_int_equal(w.last.n, 0);
	put(&w, "{'kind':'Pod','metadata':{'name':'new','namespace':'x','uid':'u1','labels':{'pod':'a'}},"
		"'spec':{'nodeName':'n1'},'status':{'podIPs':[{'ip':'192.168.9.1'}]}}");
	assert_int_equal(w.last.n, 0);
	/* a sandbox that is made again has another one, whatever the status says still */
	ready(&w, &a, "new", "u1", "'pod':'a'", "192.168.9.2");
	assert_true(last_has(&w, "delete element inet tab ingress_4 { 192.168.9.1"));
	assert_true(last_has(&w, "add element inet tab ingress_4 { 192.168.9.2"));
	netpol_track_gone(w.t, SV("u1"));
	commit(&w);
	assert_true(last_has(&w, "delete element inet tab ingress_4 { 192.168.9.2"));
	assert_false(last_has(&w, "192.168.9.1"));
	pworld_release(&w);
}

/* Whoever was made ready last has it, though others' objects still say that it is theirs. */
static void test_an_address_used_again(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "one", WEB "," FROM_B));
	expect(&w, TCP, 80, "-*/*>x/a +x/b>x/a");
	/* x/a's address is a pod's that nothing restricts, x/b's one's that is no peer */
	ready(&w, &a, "free", "u1", "'pod':'q'", "192.168.1.1");
	assert_true(last_has(&w, "delete element inet tab ingress_4 { 192.168.1.1 : goto pi"));
	assert_true(netpol_track_allows(w.t, ip_of("z/c", false), ip_of("x/a", false), 0, 80));
	ready(&w, &a, "other", "u2", "'pod':'a'", "192.168.1.2");
	assert_true(last_has(&w, "add element inet tab ingress_4 { 192.168.1.2 : goto pi"));
	assert_false(netpol_track_allows(w.t, ip_of("x/a", false), ip_of("x/b", false), 0, 80));
	/* the end of the one that had it before is not the end of the one that has it */
	drop_pod(&w, "x", "a");
	assert_true(netpol_track_allows(w.t, ip_of("z/c", false), ip_of("x/a", false), 0, 80));
	drop_pod(&w, "x", "b");
	assert_false(netpol_track_allows(w.t, ip_of("z/c", false), ip_of("x/b", false), 0, 80));
	pworld_release(&w);
}

/* A forced deletion: the containers may run on. It is nobody's peer any more, and stays restricted. */
static void test_gone_from_the_api_alone(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "one", "'podSelector':{}," FROM_B));
	ready(&w, &a, "late", "u1", "'pod':'b'", "192.168.9.1");
	drop_pod(&w, "x", "late");
	assert_false(last_has(&w, "ingress_4"));
	assert_true(last_has(&w, "_4 { 192.168.9.1 }\n")); /* the set */
	netpol_track_gone(w.t, SV("u1"));
	commit(&w);
	assert_true(last_has(&w, "delete element inet tab ingress_4 { 192.168.9.1"));
	netpol_track_gone(w.t, SV("u1"));
	pworld_release(&w);
}

static void test_a_namespace_goes(_unused_ void **state)
{
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "one", "'podSelector':{}," FROM_B));
	put(&w, "{'kind':'Namespace','metadata':{'name':'x','labels':{'ns':'x'},'deletionTimestamp':'2026-01-01T00:00:"
		"00Z'}}");
	netpol_track_policy(w.t, SV("x"), SV("one"), NULL, true);
	commit(&w);
	assert_int_equal(w.last.n, 0);
	expect(&w, TCP, 80, "-*/*>x/* +x/b>x/*");
	drop_pod(&w, "x", "a");
	drop_pod(&w, "x", "b");
	assert_true(netpol_track_has_pods(w.t, SV("x")));
	assert_int_equal(netpol_track_policies(w.t), 1);
	drop_pod(&w, "x", "c"); /* the last one */
	assert_int_equal(netpol_track_policies(w.t), 0);
	assert_string_equal(buf_cstr(&w.last), REMOVED);
	/* without pods here there is nothing to keep */
	put(&w, POLICY("q", "one", "'podSelector':{}"));
	netpol_track_policy(w.t, SV("q"), SV("one"), NULL, true);
	assert_int_equal(netpol_track_policies(w.t), 0);
	pworld_release(&w);
}

/* After a restart in between: what the old table isolated, of pods in namespaces that are going, is denied. */
static void test_denied_after_a_restart(_unused_ void **state)
{
	_cleanup_(netpol_left_release) struct netpol_left left = { .ingress = VEC_INIT };
	struct pworld w;

	vec_push(&left.ingress, kit_ip("192.168.1.1"));
	vec_push(&left.ingress, kit_ip("fd00::1:1"));
	vec_push(&left.ingress, kit_ip("192.168.2.1")); /* its policy went, and its namespace stays */
	vec_push(&left.egress, kit_ip("192.168.1.2"));
	vec_push(&left.egress, kit_ip("fd00::1:2"));
	vec_push(&left.egress, kit_ip("192.168.7.7")); /* nobody's */
	pworld_init(&w);
	nine_pods(&w);
	put(&w, "{'kind':'Namespace','metadata':{'name':'x','labels':{'ns':'x'},'deletionTimestamp':'2026-01-01T00:00:"
		"00Z'}}");
	netpol_track_deny(w.t, &left);
	commit(&w);
	expect(&w, TCP, 80, "-*/*>x/a -x/b>*/*");
	drop_pod(&w, "x", "a");
	drop_pod(&w, "x", "b");
	expect(&w, TCP, 80, "");
	pworld_release(&w);
}

/* --- costs --- */

#ifdef CARAVEL_COUNT_COSTS

static void many_pods(struct pworld *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		tell(w, arena_printf(
			    &a,
			    "{'kind':'Pod','metadata':{'name':'p%u','namespace':'x','uid':'u%u','labels':{'n':'%u'}},"
			    "'spec':{'nodeName':'%s'},'status':{'podIPs':[{'ip':'10.42.%u.%u'}]}}",
			    i, i, i % 100, i % 100 ? "n2" : "n1", i >> 8, i & 255));
	}
}

/* A pod among n others, under 100 policies with a selection each. */
static uint64_t cost_of_a_pod(unsigned n, size_t *ret_lines)
{
	struct pworld w;
	uint64_t before, cost;

	pworld_init(&w);
	tell(&w, "{'kind':'Namespace','metadata':{'name':'x'}}");
	many_pods(&w, n);
	for (unsigned i = 0; i < 100; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		tell(&w, arena_printf(
			     &a,
			     "{'kind':'NetworkPolicy','metadata':{'name':'p%u','namespace':'x'},'spec':{'podSelector':"
			     "{},'ingress':[{'from':[{'podSelector':{'matchLabels':{'n':'%u'}}}]}]}}",
			     i, i));
	}
	commit(&w);
	before = costs;
	put(&w, "{'kind':'Pod','metadata':{'name':'new','namespace':'x','uid':'new','labels':{'n':'7'}},"
		"'spec':{'nodeName':'n1'},'status':{'podIPs':[{'ip':'10.43.0.1'}]}}");
	cost = costs - before;
	*ret_lines = last_count(&w, "\n");
	pworld_release(&w);
	return cost;
}

static void test_costs(_unused_ void **state)
{
	size_t lines[2];
	uint64_t few = cost_of_a_pod(500, &lines[0]), many = cost_of_a_pod(10000, &lines[1]);

	assert_int_equal(lines[0], 3); /* its map's, its set's, itself */
	assert_int_equal(lines[1], 3);
	print_message("# a pod costs %" PRIu64 " steps among 500, %" PRIu64 " among 10000\n", few, many);
	assert_true(many < few * 2);
}

#else

static void test_costs(_unused_ void **state)
{
	print_message("# steps are counted in debug builds\n");
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_all_anew),
		cmocka_unit_test(test_an_address_before_the_status),
		cmocka_unit_test(test_an_address_used_again),
		cmocka_unit_test(test_gone_from_the_api_alone),
		cmocka_unit_test(test_a_namespace_goes),
		cmocka_unit_test(test_denied_after_a_restart),
		cmocka_unit_test(test_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
