/* Life on virtual time, with a scripted cluster and a recorder. */
#include "policy_kit.h"

#include "base/log.h"
#include "netd/policy/backend_recorder.h"
#include "netd/policy/netpol.h"
#include "sim/env_sim.h"

struct world {
	struct env *env;
	struct kit kit;
	struct netpol_record *rec;
	struct netpol *n;
};

static void quiet(_unused_ struct sv line, _unused_ void *ctx)
{
}

static void prepare(struct world *w)
{
	w->env = env_sim_new(3, 0, false);
	kit_init(&w->kit, w->env);
	w->kit.c.name = "netpol";
}

static void begin_with(struct world *w, struct netpol_backend *b)
{
	struct netpol_opts o = { .env = w->env, .client = &w->kit.c, .node_name = "n1", .table = "tab", .backend = b };
	struct err err = ERR_INIT;

	w->n = netpol_new(&o, &err);
	assert_non_null(w->n);
}

static void begin(struct world *w)
{
	prepare(w);
	begin_with(w, netpol_backend_recorder_new(&w->rec));
}

static void end(struct world *w)
{
	w->n = netpol_free(w->n);
	env_sim_run(w->env, NS_PER_SEC);
	kit_release(&w->kit);
	env_sim_free(w->env);
}

static bool has(struct world *w, const char *text)
{
	return strstr(buf_cstr(&w->rec->last), text) != NULL;
}

#define NS(name, more) "{'kind':'Namespace','metadata':{'name':'" name "'" more "}}"
#define GOING ",'deletionTimestamp':'2026-01-01T00:00:00Z'"
#define APOD(name, ips)                                                                                                \
	"{'kind':'Pod','metadata':{'name':'" name "','namespace':'x','uid':'u-" name "','labels':{'pod':'" name "'}}," \
	"'spec':{'nodeName':'n1'},'status':{" ips "}}"
#define IPS(ip) "'podIPs':[{'ip':'" ip "'}]"
#define DENY POLICY("x", "deny", "'podSelector':{}")

static int ask(struct world *w, const char *pod, const char *ip, struct err *err)
{
	_cleanup_obj_ struct obj *o = kit_obj(pod, 1);
	struct sv ips[] = { sv_from(ip) };

	return netpol_ready(w->n, o, ips, 1, err);
}

static void must(struct world *w, const char *pod, const char *ip)
{
	struct err err = ERR_INIT;

	if (ask(w, pod, ip, &err) < 0)
		fail_msg("%s", err_msg(&err));
}

static void must_not(struct world *w, const char *pod, const char *ip, const char *why)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(ask(w, pod, ip, &err), -1);
	assert_non_null(strstr(err_msg(&err), why));
}

static void test_nothing_to_do(_unused_ void **state)
{
	struct world w;
	size_t watches = 0;

	begin(&w);
	must_not(&w, APOD("a", ""), "10.0.0.1", "not known yet");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(netpol_synced(w.n));
	must(&w, APOD("a", ""), "10.0.0.1");
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(w.rec->applied, 0);
	for (size_t i = 0; i < ARRAY_LEN(w.kit.watches); i++)
		watches += w.kit.watches[i] != NULL;
	assert_int_equal(watches, 1); /* nobody watches Pods */
	end(&w);
}

static void test_in_force(_unused_ void **state)
{
	struct world w;

	begin(&w);
	env_sim_run(w.env, NS_PER_SEC);
	kit_put(&w.kit, NS("x", ""));
	kit_put(&w.kit, APOD("a", IPS("10.0.0.1")));
	kit_put(&w.kit, DENY);
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 1);
	assert_true(has(&w, "10.0.0.1 : goto pi"));
	/* before the watch has brought the pod at all; when it answers, the kernel has it */
	must(&w, APOD("b", ""), "10.0.0.2");
	assert_int_equal(w.rec->applied, 2);
	assert_true(has(&w, "10.0.0.2 : goto pi"));
	must(&w, APOD("b", ""), "10.0.0.2"); /* asked again */
	assert_int_equal(w.rec->applied, 2);
	kit_put(&w.kit, POLICY("x", "out", "'podSelector':{},'policyTypes':['Egress']"));
	env_sim_run(w.env, NS_PER_SEC);
	must(&w, APOD("c", ""), "10.0.0.3");
	assert_true(has(&w, "egress_4 { 10.0.0.3 : goto pe"));
	assert_int_equal(w.rec->applied, 4);
	kit_put(&w.kit, APOD("b", IPS("10.0.0.2")));
	kit_put(&w.kit, APOD("c", IPS("10.0.0.3")));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 4);
	/* a pod that is gone */
	kit_del(&w.kit, "Pod", "a");
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 5);
	assert_true(has(&w, "delete element inet tab ingress_4 { 10.0.0.1"));
	end(&w);
}

static void test_failures(_unused_ void **state)
{
	struct world w;

	begin(&w);
	kit_put(&w.kit, NS("x", ""));
	kit_put(&w.kit, DENY);
	env_sim_run(w.env, NS_PER_SEC);
	w.rec->fail_next = 2;
	must_not(&w, APOD("a", ""), "10.0.0.1", "cannot be written: told to fail");
	must_not(&w, APOD("a", ""), "10.0.0.1", "cannot be written");
	must(&w, APOD("a", ""), "10.0.0.1");
	assert_true(has(&w, "table inet tab {\n")); /* all of it */
	/* a pod that no policy selects may start whatever the kernel says */
	kit_put(&w.kit, POLICY("x", "deny",
			       "'podSelector':{'matchLabels':{'pod':'a'}},'ingress':[{'from':[{'podSelector':{}}]}]"));
	env_sim_run(w.env, NS_PER_SEC);
	w.rec->fail_next = 1;
	must(&w, APOD("z", ""), "10.0.0.9");
	assert_int_equal(w.rec->fail_next, 0);
	env_sim_run(w.env, 5 * NS_PER_SEC); /* and it is tried again by itself */
	assert_true(has(&w, "table inet tab {\n"));
	assert_true(has(&w, "10.0.0.1 : goto pi"));
	end(&w);
}

static void test_without_br_netfilter(_unused_ void **state)
{
	struct world w;

	begin(&w);
	w.rec->no_bridge_nf = true;
	kit_put(&w.kit, POLICY("x", "deny", "'podSelector':{'matchLabels':{'pod':'a'}}"));
	env_sim_run(w.env, NS_PER_SEC);
	must_not(&w, APOD("a", ""), "10.0.0.1", "modprobe br_netfilter");
	must(&w, APOD("b", ""), "10.0.0.2");
	w.rec->no_bridge_nf = false; /* somebody loads it */
	must(&w, APOD("a", ""), "10.0.0.1");
	end(&w);
}

static void test_put_back(_unused_ void **state)
{
	struct world w;
	size_t before;

	begin(&w);
	kit_put(&w.kit, NS("x", ""));
	kit_put(&w.kit, APOD("a", IPS("10.0.0.1")));
	kit_put(&w.kit, DENY);
	env_sim_run(w.env, 60 * NS_PER_SEC);
	before = w.rec->applied;
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(w.rec->applied, before);
	w.rec->intact = false;
	env_sim_run(w.env, 1100 * NS_PER_MS); /* everybody gets through until then */
	assert_int_equal(w.rec->applied, before + 1);
	assert_true(has(&w, "table inet tab {\n"));
	assert_true(has(&w, "10.0.0.1 : goto pi"));
	end(&w);
}

/* The watch of Namespaces may be behind: the API is asked. */
static void test_a_namespace_goes(_unused_ void **state)
{
	struct world w;
	size_t before;

	begin(&w);
	kit_put(&w.kit, NS("x", ""));
	kit_put(&w.kit, APOD("a", IPS("10.0.0.1")));
	kit_put(&w.kit, DENY);
	env_sim_run(w.env, NS_PER_SEC);
	before = w.rec->applied;
	kit_put(&w.kit, NS("x", GOING));
	w.kit.down = true;
	kit_del(&w.kit, "NetworkPolicy", "deny");
	env_sim_run(w.env, 30 * NS_PER_SEC); /* no answer: it counts */
	assert_int_equal(w.rec->applied, before);
	w.kit.down = false;
	env_sim_run(w.env, 30 * NS_PER_SEC); /* and so it does with this one */
	assert_int_equal(w.rec->applied, before);
	must(&w, APOD("b", ""), "10.0.0.2");
	assert_true(has(&w, "10.0.0.2 : goto pi"));
	kit_put(&w.kit, APOD("b", IPS("10.0.0.2")));
	kit_del(&w.kit, "Pod", "a");
	env_sim_run(w.env, NS_PER_SEC);
	assert_false(has(&w, "delete table"));
	kit_del(&w.kit, "Pod", "b");
	{
		_cleanup_obj_ struct obj *o = kit_obj(APOD("b", ""), 1);

		netpol_gone(w.n, o);
	}
	env_sim_run(w.env, NS_PER_SEC);
	assert_string_equal(buf_cstr(&w.rec->last), REMOVED);
	end(&w);
}

static void test_a_policy_goes(_unused_ void **state)
{
	struct world w;

	begin(&w);
	kit_put(&w.kit, NS("x", ""));
	kit_put(&w.kit, APOD("a", IPS("10.0.0.1")));
	kit_put(&w.kit, DENY);
	env_sim_run(w.env, NS_PER_SEC);
	w.kit.down = true;
	kit_del(&w.kit, "NetworkPolicy", "deny");
	env_sim_run(w.env, 3 * NS_PER_SEC);
	assert_false(has(&w, "delete table"));
	w.kit.down = false;
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_string_equal(buf_cstr(&w.rec->last), REMOVED);
	end(&w);
}

/* A request to which nobody answers takes as long as it may, and the look at the table waits behind it. */
static void test_many_policies_go(_unused_ void **state)
{
	static const char *const spaces[] = { "x", "y" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct world w;

	begin(&w);
	for (size_t i = 0; i < 16; i++) {
		const char *space = spaces[i % 2];

		if (i < 2)
			kit_put(&w.kit, arena_printf(&a, NS("%s", ""), space));
		if (i < 2)
			kit_put(&w.kit, arena_printf(&a,
						     "{'kind':'Pod','metadata':{'name':'of-%s','namespace':'%s','uid':"
						     "'%s'},'spec':{'nodeName':'n1'},'status':{" IPS("10.0.0.%zu") "}}",
						     space, space, space, i + 1));
		kit_put(&w.kit, arena_printf(&a, POLICY("%s", "p%zu", "'podSelector':{}"), i, space));
	}
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(has(&w, "table inet tab {\n"));
	w.kit.down = true;
	for (size_t i = 0; i < 16; i++)
		kit_del(&w.kit, "NetworkPolicy", arena_printf(&a, "p%zu", i));
	env_sim_run(w.env, NS_PER_SEC);
	w.kit.gets = 0;
	env_sim_run(w.env, 5 * NS_PER_SEC);
	assert_in_range(w.kit.gets, 4, 6); /* one a second */
	w.kit.down = false;
	w.kit.gets = 0;
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_int_equal(w.kit.gets, 2); /* of each namespace */
	assert_string_equal(buf_cstr(&w.rec->last), REMOVED);
	end(&w);
}

/* The old table serves until everything is known, and tells who was isolated. */
static void test_after_a_restart(_unused_ void **state)
{
	struct world w;
	struct netpol_backend *b;

	prepare(&w);
	kit_put(&w.kit, NS("x", GOING));
	kit_put(&w.kit, APOD("a", IPS("10.0.0.1")));
	b = netpol_backend_recorder_new(&w.rec);
	w.rec->table_left = true;
	vec_push(&w.rec->left.ingress, kit_ip("10.0.0.1"));
	begin_with(&w, b);
	must_not(&w, APOD("a", ""), "10.0.0.1", "not known yet");
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 1);
	assert_true(has(&w, "add table inet tab\ndelete table inet tab\ntable inet tab {\n"));
	assert_true(has(&w, "add element inet tab ingress_4 { 10.0.0.1 : goto pi"));
	end(&w);
	/* the same where the kubelet is the first to ask */
	prepare(&w);
	kit_put(&w.kit, NS("x", GOING));
	kit_put(&w.kit, APOD("a", IPS("10.0.0.1")));
	b = netpol_backend_recorder_new(&w.rec);
	w.rec->table_left = true;
	vec_push(&w.rec->left.ingress, kit_ip("10.0.0.1"));
	w.rec->fail_next = 1;
	begin_with(&w, b);
	env_sim_run(w.env, 15 * NS_PER_MS);
	must(&w, APOD("a", IPS("10.0.0.1")), "10.0.0.1");
	assert_true(has(&w, "add element inet tab ingress_4 { 10.0.0.1 : goto pi"));
	end(&w);
	/* a table that isolates nobody any more goes */
	prepare(&w);
	b = netpol_backend_recorder_new(&w.rec);
	w.rec->table_left = true;
	begin_with(&w, b);
	env_sim_run(w.env, NS_PER_SEC);
	assert_string_equal(buf_cstr(&w.rec->last), REMOVED);
	end(&w);
}

static bool forgot(struct world *w, const char *ips)
{
	bool same = sv_is(buf_sv(&w->rec->forgotten), ips);

	buf_clear(&w->rec->forgotten);
	return same;
}

static void gone(struct world *w, const char *pod)
{
	_cleanup_obj_ struct obj *o = kit_obj(pod, 1);

	netpol_gone(w->n, o);
}

/* What is established passes: what the kernel remembers of an address is not the next pod's. */
static void test_connections_of_gone_pods(_unused_ void **state)
{
	struct world w;

	begin(&w);
	env_sim_run(w.env, NS_PER_SEC);
	must(&w, APOD("a", ""), "10.0.0.1"); /* no policy: nobody asks who is connected */
	kit_put(&w.kit, NS("x", ""));
	kit_put(&w.kit, APOD("a", IPS("10.0.0.1")));
	kit_put(&w.kit, DENY);
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(forgot(&w, ""));
	/* before a new pod's containers; not of one that runs, after our restart */
	must(&w, APOD("b", ""), "10.0.0.2");
	assert_true(forgot(&w, "10.0.0.2 "));
	must(&w, APOD("a", IPS("10.0.0.1")), "10.0.0.1");
	assert_true(forgot(&w, ""));
	/* here it goes with its sandbox, elsewhere with its object, or when it has ended */
	gone(&w, APOD("b", ""));
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_true(forgot(&w, "10.0.0.2 "));
	kit_put(&w.kit, "{'kind':'Pod','metadata':{'name':'far','namespace':'x','uid':'f'},'spec':{'nodeName':'n2'},"
			"'status':{" IPS("10.0.1.1") "}}");
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_true(forgot(&w, ""));
	kit_del(&w.kit, "Pod", "far");
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_true(forgot(&w, "10.0.1.1 "));
	kit_put(&w.kit, "{'kind':'Pod','metadata':{'name':'ends','namespace':'x','uid':'e'},'spec':{'nodeName':'n2'},"
			"'status':{" IPS("10.0.1.2") "}}");
	env_sim_run(w.env, 2 * NS_PER_SEC);
	kit_put(&w.kit, "{'kind':'Pod','metadata':{'name':'ends','namespace':'x','uid':'e'},'spec':{'nodeName':'n2'},"
			"'status':{'phase':'Succeeded'," IPS("10.0.1.2") "}}");
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_true(forgot(&w, "10.0.1.2 "));
	end(&w);
}

static void test_connections_stay(_unused_ void **state)
{
	struct world w;

	begin(&w);
	kit_put(&w.kit, NS("x", ""));
	kit_put(&w.kit, DENY);
	env_sim_run(w.env, NS_PER_SEC);
	/* no pod that a policy selects starts while they cannot be forgotten */
	w.rec->fail_forgets = 1;
	must_not(&w, APOD("a", ""), "10.0.0.1", "cannot be forgotten: told to fail");
	must(&w, APOD("a", ""), "10.0.0.1");
	assert_true(forgot(&w, "10.0.0.1 "));
	/* what is not a pod's start is tried again by itself, and many go at once */
	w.rec->fail_forgets = 2;
	gone(&w, APOD("a", ""));
	env_sim_run(w.env, 5 * NS_PER_SEC);
	assert_int_equal(w.rec->fail_forgets, 0);
	assert_true(forgot(&w, "10.0.0.1 "));
	w.rec->forgets = 0;
	for (int i = 0; i < 20; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *name = arena_printf(&a, "f%d", i);

		kit_put(&w.kit, arena_printf(&a,
					     "{'kind':'Pod','metadata':{'name':'%s','namespace':'x','uid':'%s'},"
					     "'spec':{'nodeName':'n2'},'status':{'podIPs':[{'ip':'10.0.2.%d'}]}}",
					     name, name, i));
		env_sim_run(w.env, 200 * NS_PER_MS);
		kit_del(&w.kit, "Pod", name);
	}
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_in_range(w.rec->forgets, 1, 8); /* of four seconds */
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connections_of_gone_pods),
		cmocka_unit_test(test_connections_stay),
		cmocka_unit_test(test_nothing_to_do),
		cmocka_unit_test(test_in_force),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_without_br_netfilter),
		cmocka_unit_test(test_put_back),
		cmocka_unit_test(test_a_namespace_goes),
		cmocka_unit_test(test_a_policy_goes),
		cmocka_unit_test(test_many_policies_go),
		cmocka_unit_test(test_after_a_restart),
	};

	log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
