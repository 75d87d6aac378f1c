/* The proxy on virtual time, a scripted cluster and a recorder. */
#include "costs.h"
#include "proxy_kit.h"

#include "base/log.h"
#include "base/retry.h"
#include "client/informer.h"
#include "proxy/backend_recorder.h"
#include "sim/env_sim.h"

struct world {
	struct env *env;
	struct kit kit;
	struct proxy_record *rec;
	struct proxy *p;
};

static void quiet(_unused_ struct sv line, _unused_ void *ctx)
{
}

static void start(struct world *w)
{
	struct proxy_opts o = { .node_name = "n1", .cluster_cidr = "10.42.0.0/16" };
	struct err err = ERR_INIT;

	w->env = env_sim_new(3, 0, false);
	kit_init(&w->kit, w->env);
	kit_put(&w->kit, KIT_NODE);
	o.env = w->env;
	o.client = o.pod_client = &w->kit.c;
	o.backend = proxy_backend_recorder_new(&w->rec);
	w->p = proxy_new(&o, &err);
	assert_non_null(w->p);
}

static void stop(struct world *w)
{
	w->p = proxy_free(w->p, false);
	env_sim_run(w->env, NS_PER_SEC);
	kit_release(&w->kit);
	env_sim_free(w->env);
}

static bool last_has(struct world *w, const char *text)
{
	return strstr(buf_cstr(&w->rec->last), text) != NULL;
}

#define WEB KIT_SERVICE("web", "'clusterIP':'10.43.0.1','ports':[{'port':80,'protocol':'TCP'}]")
#define WEB_EP(eps) KIT_SLICE("web", "{'port':8080,'protocol':'TCP'}", eps)

static void test_follows_the_cluster(_unused_ void **state)
{
	struct world w;

	start(&w);
	assert_false(proxy_synced(w.p));
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(proxy_synced(w.p));
	assert_int_equal(w.rec->applied, 1);
	assert_true(last_has(&w, "delete table inet caravel\ntable inet caravel {\n"));
	assert_true(last_has(&w, "add element inet caravel pod_ranges { 10.42.0.0/24 }\n"));

	/* A lone change is not kept waiting. */
	kit_put(&w.kit, WEB);
	env_sim_run(w.env, NS_PER_MS);
	assert_int_equal(w.rec->applied, 2);
	assert_false(last_has(&w, "delete table"));
	assert_true(last_has(&w, "refused_ips { 10.43.0.1 . tcp . 80 : goto refused }"));
	env_sim_run(w.env, NS_PER_SEC);

	/* A burst is folded: one at once, the rest together. */
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2")));
	env_sim_run(w.env, NS_PER_MS);
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2") "," KIT_EP("10.42.0.3")));
	env_sim_run(w.env, NS_PER_MS);
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2") "," KIT_EP("10.42.0.3") "," KIT_EP("10.42.0.4")));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 4);
	assert_true(last_has(&w, "service_ips { 10.43.0.1 . tcp . 80 : goto tcp_outside_3 }"));

	/* What changes nothing here writes nothing. */
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.4") "," KIT_EP("10.42.0.3") "," KIT_EP("10.42.0.2")));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 4);

	kit_del(&w.kit, "EndpointSlice", "web");
	kit_del(&w.kit, "Service", "web");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "delete element inet caravel"));
	assert_false(last_has(&w, "add element"));
	stop(&w);
}

static void test_put_back_when_flushed(_unused_ void **state)
{
	struct world w;

	start(&w);
	kit_put(&w.kit, WEB);
	env_sim_run(w.env, 120 * NS_PER_SEC);
	assert_int_equal(w.rec->applied, 1);
	w.rec->intact = false;
	env_sim_run(w.env, 10 * NS_PER_SEC); /* well within the 30 s that are promised */
	assert_int_equal(w.rec->applied, 2);
	assert_true(last_has(&w, "table inet caravel {\n"));
	assert_true(last_has(&w, "refused_ips { 10.43.0.1 . tcp . 80 : goto refused }"));
	stop(&w);
}

/* How long after a change at ns the rules have it. */
static int64_t followed_after(struct world *w, unsigned third)
{
	_cleanup_free_ char *slice =
	    xasprintf(KIT_SLICE("web", "{'port':8080,'protocol':'TCP'}", KIT_EP("10.42.0.%u")), third);
	_cleanup_free_ char *rule = xasprintf("10.42.0.%u . 8080", third);
	int64_t began = env_mono_ns(w->env);

	kit_put(&w->kit, slice);
	while (!last_has(w, rule)) {
		assert_true(env_mono_ns(w->env) - began < NS_PER_SEC);
		env_sim_run(w->env, NS_PER_MS);
	}
	return env_mono_ns(w->env) - began;
}

/* Names and addresses follow a change together within 100 ms. What the chain waits of its own accord leaves half of
 * that for its work: here in virtual time, in which work takes none, whenever in a burst the change comes; and at most,
 * however long a sync took. For names see unit/dns/dns. */
static void test_follows_soon(_unused_ void **state)
{
	struct world w;

	start(&w);
	kit_put(&w.kit, WEB);
	env_sim_run(w.env, NS_PER_SEC);
	for (unsigned i = 0; i < 60; i++) {
		assert_true(followed_after(&w, 2 + i) <= 50 * NS_PER_MS);
		env_sim_run(w.env, (i * 7 % 60) * NS_PER_MS);
	}
	for (int64_t took = 0; took < NS_PER_SEC; took += NS_PER_MS)
		assert_true(retry_rest_ns(took) <= 50 * NS_PER_MS);
	stop(&w);
}

/* A failed transaction leaves the kernel as it was, so the next one writes everything. */
static void test_retries(_unused_ void **state)
{
	struct world w;

	start(&w);
	w.rec->fail_next = 2;
	env_sim_run(w.env, 10 * NS_PER_SEC);
	assert_true(proxy_synced(w.p));
	assert_int_equal(w.rec->applied, 1);
	w.rec->fail_next = 1;
	kit_put(&w.kit, WEB);
	env_sim_run(w.env, 10 * NS_PER_SEC);
	assert_int_equal(w.rec->applied, 2);
	assert_true(last_has(&w, "table inet caravel {\n"));
	assert_true(last_has(&w, "refused_ips { 10.43.0.1"));
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2")));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 3);
	assert_false(last_has(&w, "delete table"));
	stop(&w);
}

/* A table that is put in place of another takes over whom that one remembered; a Service that changes does not ask. */
static void test_affinity_outlives_the_table(_unused_ void **state)
{
	struct world w;

	start(&w);
	kit_put(&w.kit,
		KIT_SERVICE("web", "'clusterIP':'10.43.0.1','sessionAffinity':'ClientIP','sessionAffinityConfig':"
				   "{'clientIP':{'timeoutSeconds':60}},'ports':[{'port':80,'protocol':'TCP'}]"));
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2")));
	env_sim_run(w.env, NS_PER_SEC);
	w.rec->client = "10.42.0.9";
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2") "," KIT_EP("10.42.0.3")));
	env_sim_run(w.env, NS_PER_SEC);
	assert_false(last_has(&w, "10.42.0.9"));
	w.rec->intact = false;
	env_sim_run(w.env, 10 * NS_PER_SEC);
	assert_true(last_has(&w, "add element inet caravel client_10.43.0.1_tcp_80_10.42.0.2_8080 "
				 "{ 10.42.0.9 timeout 60s expires 1s500ms }\n"));
	stop(&w);
}

/* IPv6 forwarding is switched on when there are Pods with such addresses, not before. */
static void test_prepares_for_ipv6(_unused_ void **state)
{
	struct world w;

	start(&w);
	env_sim_run(w.env, NS_PER_SEC);
	assert_false(w.rec->v6);
	kit_put(&w.kit, "{'kind':'Node','metadata':{'name':'n1'},'spec':{'podCIDR':'10.42.0.0/24','podCIDRs':"
			"['10.42.0.0/24','fd42:0:0:7::/64']}}");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(w.rec->v6);
	assert_true(last_has(&w, "add element inet caravel pod_ranges6 { fd42:0:0:7::/64 }\n"));
	stop(&w);
}

static void test_node(_unused_ void **state)
{
	struct world w;

	start(&w);
	kit_put(&w.kit, WEB);
	kit_put(&w.kit, WEB_EP("{'addresses':['10.42.0.2'],'hints':{'forZones':[{'name':'za'}]}},"
			       "{'addresses':['10.42.0.3'],'hints':{'forZones':[{'name':'zb'}]}}"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "10.43.0.1 . 80 . 0 : 10.42.0.2 . 8080 }"));
	kit_put(&w.kit, "{'kind':'Node','metadata':{'name':'n1','labels':{'topology.kubernetes.io/zone':'zb'}},"
			"'spec':{'podCIDR':'10.42.7.0/24'}}");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "10.43.0.1 . 80 . 0 : 10.42.0.3 . 8080 }"));
	assert_true(last_has(&w, "delete element inet caravel pod_ranges { 10.42.0.0/24 }\n"));
	assert_true(last_has(&w, "add element inet caravel pod_ranges { 10.42.7.0/24 }\n"));
	/* Its deletion is no reason to cut off pods. */
	kit_del(&w.kit, "Node", "n1");
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 2);
	stop(&w);
}

static void test_host_ports(_unused_ void **state)
{
	struct world w;

	start(&w);
	env_sim_run(w.env, NS_PER_SEC);
	kit_put(&w.kit, KIT_POD("plain", "10.42.0.9", "{'containerPort':80}"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 1);
	kit_put(&w.kit, "{'kind':'Pod','metadata':{'name':'p','namespace':'default'},'spec':{'containers':"
			"[{'ports':[{'containerPort':80,'hostPort':8080}]}]}}");
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 1); /* no address yet */
	kit_put(&w.kit, KIT_POD("p", "10.42.0.2", "{'containerPort':80,'hostPort':8080}"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "add chain inet caravel tcp_nodeport_loopback_1 {\n"
				 "\t\tip saddr 127.0.0.0/8 meta mark set meta mark | 0x4000\n"));
	assert_true(last_has(&w, "hostports { tcp . 8080 : goto tcp_nodeport_loopback_1 }"));
	assert_true(last_has(&w, "tcp_nodeport_endpoints { 8080 . 0 : 10.42.0.2 . 80 }"));
	assert_true(last_has(&w, "hairpins { 10.42.0.2 . 10.42.0.2 }"));

	/* A new sandbox with another address. */
	kit_put(&w.kit, KIT_POD("p", "10.42.0.3", "{'containerPort':80,'hostPort':8080}"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "add element inet caravel tcp_nodeport_endpoints { 8080 . 0 : 10.42.0.3 . 80 }"));

	/* Another pod for the same port waits until the first has gone, however it went. */
	kit_put(&w.kit, KIT_POD("q", "10.42.0.4", "{'containerPort':81,'hostPort':8080}"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 3);
	kit_del(&w.kit, "Pod", "p");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "add element inet caravel tcp_nodeport_endpoints { 8080 . 0 : 10.42.0.4 . 81 }"));

	/* A whole new table has it, too. */
	w.rec->intact = false;
	env_sim_run(w.env, 31 * NS_PER_SEC);
	assert_true(last_has(&w, "delete table inet caravel\n"));
	assert_true(last_has(&w, "add element inet caravel tcp_nodeport_endpoints { 8080 . 0 : 10.42.0.4 . 81 }"));
	kit_del(&w.kit, "Pod", "q");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "delete element inet caravel hostports { tcp . 8080 }"));
	assert_false(last_has(&w, "add element"));

	/* An address of its own, which counts while it is this node's. */
	kit_put(&w.kit, KIT_POD("r", "10.42.0.5",
				"{'containerPort':53,'hostPort':53,'protocol':'UDP',"
				"'hostIP':'192.0.2.1'}"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "own_ips { 192.0.2.1 . udp . 53 : goto udp_loopback_1 }"));
	assert_true(last_has(&w, "udp_endpoints { 192.0.2.1 . 53 . 0 : 10.42.0.5 . 53 }"));
	stop(&w);
}

/* So many Services that a sync takes several transactions. */
static void put_many(struct world *w, unsigned from, unsigned n, unsigned third)
{
	for (unsigned i = from; i < from + n; i++) {
		_cleanup_(buf_release) struct buf eps = BUF_INIT;
		_cleanup_free_ char *svc = xasprintf(
		    KIT_SERVICE("s%u", "'clusterIP':'10.43.%u.1','ports':[{'port':80,'protocol':'TCP'}]"), i, i);
		_cleanup_free_ char *slice = NULL;

		for (unsigned k = 0; k < 100; k++)
			buf_printf(&eps, "%s{'addresses':['10.42.%u.%u']}", k ? "," : "", third, k + 2);
		slice = xasprintf(KIT_SLICE("s%u", "{'port':8080,'protocol':'TCP'}", "%s"), i, i, buf_cstr(&eps));
		kit_put(&w->kit, svc);
		kit_put(&w->kit, slice);
	}
}

static size_t times(struct buf *b, const char *text)
{
	size_t n = 0;

	for (const char *p = buf_cstr(b); (p = strstr(p, text)); p++)
		n++;
	return n;
}

/* What libnftables is given at once is bounded, and nothing is seen half-done: the table that serves goes with the
 * transaction that makes the other one serve. */
static void test_writes_in_parts(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf all = BUF_INIT;
	struct world w;
	const char *spare, *own;
	size_t longest;

	start(&w);
	w.rec->all = &all;
	put_many(&w, 0, 60, 0);
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(proxy_synced(w.p));
	assert_in_range(w.rec->applied, 3, 10);
	assert_int_equal(times(&all, "add table inet caravel\ndelete table inet caravel\ntable inet caravel {\n"), 1);
	assert_int_equal(times(&all, "hook prerouting"), 4);
	assert_true(last_has(&w, "hook prerouting"));
	assert_false(last_has(&w, "add element"));
	assert_int_equal(times(&all, " . tcp . 80 : goto tcp_outside_100"), 60);
	longest = w.rec->longest;
	assert_in_range(longest, 1, 200000);

	/* A change of many, too; each Service as a whole. */
	buf_clear(&all);
	w.rec->applied = 0;
	put_many(&w, 0, 60, 1);
	env_sim_run(w.env, NS_PER_SEC);
	assert_in_range(w.rec->applied, 3, 10);
	assert_in_range(w.rec->longest, 1, 2 * longest);
	assert_int_equal(times(&all, "delete table"), 0);

	/* A table that serves does so until another does. */
	buf_clear(&all);
	w.rec->applied = 0;
	w.rec->intact = false;
	w.rec->serves = "caravel";
	env_sim_run(w.env, 20 * NS_PER_SEC);
	spare = strstr(buf_cstr(&all), "table inet caravel-spare {\n\tchain guard {");
	own = strstr(buf_cstr(&all), "delete table inet caravel\n");
	assert_true(own && spare && own < spare && spare - own < 100); /* one goes, the other serves, at once */
	own = strstr(spare, "add table inet caravel\n");
	spare = strstr(own, "delete table inet caravel-spare\ntable inet caravel {\n\tchain guard {");
	assert_true(own && spare && own < spare);
	assert_int_equal(times(&all, "add element inet caravel service_ips"),
			 times(&all, "add element inet caravel-spare service_ips"));
	assert_true(last_has(&w, "table inet caravel {\n\tchain guard {"));

	/* What fails on the way is begun again. */
	w.rec->intact = false;
	w.rec->fail_next = 1;
	env_sim_run(w.env, 30 * NS_PER_SEC);
	assert_true(last_has(&w, "delete table inet caravel-spare\ntable inet caravel {\n\tchain guard {"));
	stop(&w);
}

/* An address that goes from one Service to another is the other's after one sync, whichever comes first in it. */
static void test_moves_between_parts(_unused_ void **state)
{
	struct world w;

	start(&w);
	put_many(&w, 0, 60, 0);
	env_sim_run(w.env, NS_PER_SEC);
	kit_put(&w.kit, KIT_SERVICE("s3", "'clusterIP':'10.43.59.1','ports':[{'port':80,'protocol':'TCP'}]"));
	put_many(&w, 4, 55, 1);
	kit_put(&w.kit, KIT_SERVICE("s59", "'clusterIP':'10.43.3.1','ports':[{'port':80,'protocol':'TCP'}]"));
	env_sim_run(w.env, 120 * NS_PER_MS);
	assert_true(last_has(&w, "service_ips { 10.43.59.1 . tcp . 80 : goto"));
	stop(&w);
}

/* By informers that were there before, and are another's. */
static void test_shared_informers(_unused_ void **state)
{
	struct proxy_opts o = { .node_name = "n1", .cluster_cidr = "10.42.0.0/16" };
	struct informer_factory *f;
	struct world w;

	start(&w);
	kit_put(&w.kit, WEB);
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2")));
	env_sim_run(w.env, NS_PER_SEC);
	w.p = proxy_free(w.p, false);
	f = informer_factory_new(&w.kit.c);
	proxy_keep(f);
	informer_factory_start(f);
	(void)informer_get(f, RES(discovery_endpointslices), NULL, "kubernetes.io/service-name", NULL);
	env_sim_run(w.env, NS_PER_SEC);
	o.env = w.env;
	o.informers = f;
	o.pod_client = &w.kit.c;
	o.backend = proxy_backend_recorder_new(&w.rec);
	w.p = proxy_new(&o, NULL);
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 1);
	assert_true(last_has(&w, "service_ips { 10.43.0.1 . tcp . 80 : goto tcp_outside_1 }"));
	/* Another Node is nothing to it. */
	kit_put(&w.kit, "{'kind':'Node','metadata':{'name':'n2'},'spec':{'podCIDR':'10.42.9.0/24'}}");
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.3")));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->applied, 2);
	assert_false(last_has(&w, "10.42.9.0"));
	assert_true(last_has(&w, "10.42.0.3 . 8080"));
	informer_factory_stop(f);
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.4")));
	stop(&w);
	informer_factory_free(f);
}

static void test_removal(_unused_ void **state)
{
	struct proxy_opts o = { .node_name = "n1", .table = "x; flush ruleset" };
	struct world w;
	struct proxy_record *rec;
	struct err err = ERR_INIT;

	start(&w);
	env_sim_run(w.env, NS_PER_SEC);
	kit_put(&w.kit, WEB); /* a sync is on its way */
	w.p = proxy_free(w.p, true);
	env_sim_run(w.env, NS_PER_SEC);
	o.env = w.env;
	o.client = &w.kit.c;
	o.backend = proxy_backend_recorder_new(&rec);
	assert_null(proxy_new(&o, &err));
	assert_int_equal(err.reason, ERR_INVALID);
	err_release(&err);
	stop(&w);
}

static struct buf at_the_end; /* the newest transaction, which outlives the recorder here */
static int (*apply_as_ever)(struct proxy_backend *b, struct sv commands, struct err *err);

static int apply_and_keep(struct proxy_backend *b, struct sv commands, struct err *err)
{
	buf_clear(&at_the_end);
	buf_addsv(&at_the_end, commands);
	return apply_as_ever(b, commands, err);
}

/* Two nodes' endpoints, or this one's alone: what is written when a process ends that serves its own itself. */
static const char *written_at_the_end(const char *own_service, const char *slice)
{
	struct proxy_opts o = { .node_name = "n1", .cluster_cidr = "10.42.0.0/16", .own_service = own_service };
	struct err err = ERR_INIT;
	struct world w;

	w.env = env_sim_new(3, 0, false);
	kit_init(&w.kit, w.env);
	kit_put(&w.kit, KIT_NODE);
	kit_put(&w.kit, KIT_SERVICE("names", "'clusterIP':'10.43.0.10','ports':[{'port':53,'protocol':'UDP'}]"));
	kit_put(&w.kit, slice);
	o.env = w.env;
	o.client = &w.kit.c;
	o.backend = proxy_backend_recorder_new(&w.rec);
	apply_as_ever = o.backend->apply;
	o.backend->apply = apply_and_keep;
	w.p = proxy_new(&o, &err);
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(proxy_synced(w.p));
	assert_non_null(strstr(buf_cstr(&at_the_end), "10.43.0.10 . 53 . 0 : 172.16.0.1 . 10053 }"));
	buf_clear(&at_the_end);
	stop(&w);
	return buf_cstr(&at_the_end);
}

static void test_own_service_is_left_to_others(_unused_ void **state)
{
#define NAMES(eps) KIT_SLICE("names", "{'port':10053,'protocol':'UDP'}", eps)
#define NAMES_ON(ip, node) "{'addresses':['" ip "'],'nodeName':'" node "','hints':{'forNodes':[{'name':'" node "'}]}}"
	const char *said;

	said =
	    written_at_the_end("default/names", NAMES(NAMES_ON("172.16.0.1", "n1") "," NAMES_ON("172.16.0.2", "n2")));
	assert_non_null(strstr(said, "10.43.0.10 . 53 . 0 : 172.16.0.2 . 10053 }"));
	assert_null(strstr(said, "delete table"));
	/* nobody else does */
	assert_string_equal(written_at_the_end("default/names", NAMES(NAMES_ON("172.16.0.1", "n1"))), "");
	/* it is not this process that serves */
	assert_string_equal(
	    written_at_the_end(NULL, NAMES(NAMES_ON("172.16.0.1", "n1") "," NAMES_ON("172.16.0.2", "n2"))), "");
	buf_release(&at_the_end);
}

/* Of TCP what nobody answered is forgotten, when answers that were under way have come; not for what is new. */
static void test_unanswered_connections(_unused_ void **state)
{
	struct world w;

	start(&w);
	kit_put(&w.kit, WEB);
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2") "," KIT_EP("10.42.0.3")));
	env_sim_run(w.env, 10 * NS_PER_SEC);
	assert_int_equal(w.rec->flows_forgotten, 0);
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.2")));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.rec->flows_forgotten, 0);
	kit_put(&w.kit, WEB_EP(KIT_EP("10.42.0.3")));
	env_sim_run(w.env, 10 * NS_PER_SEC);
	assert_int_equal(w.rec->flows_forgotten, 1); /* both changes at once */
	kit_del(&w.kit, "Service", "web");
	env_sim_run(w.env, 10 * NS_PER_SEC);
	assert_int_equal(w.rec->flows_forgotten, 2);
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(w.rec->flows_forgotten, 2);
	w.rec->intact = false; /* all anew says nothing of endpoints */
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(w.rec->flows_forgotten, 2);
	stop(&w);
}

/* Services that change all the time keep nobody at a dead endpoint, themselves included. */
static void test_unanswered_connections_of_a_busy_cluster(_unused_ void **state)
{
	struct world w;
	size_t at_5s;

	start(&w);
	put_many(&w, 0, 2, 0);
	env_sim_run(w.env, 10 * NS_PER_SEC);
	put_many(&w, 0, 1, 1);
	for (unsigned i = 0; i < 10; i++) {
		put_many(&w, 1, 1, 2 + i);
		env_sim_run(w.env, NS_PER_SEC / 2);
	}
	at_5s = w.rec->flows_forgotten;
	assert_in_range(at_5s, 2, 4);
	for (unsigned i = 0; i < 20; i++) {
		put_many(&w, 1, 1, 20 + i);
		env_sim_run(w.env, NS_PER_SEC / 2);
	}
	assert_in_range(w.rec->flows_forgotten, at_5s + 2, at_5s + 6); /* not a look a change */
	env_sim_run(w.env, 10 * NS_PER_SEC);
	at_5s = w.rec->flows_forgotten;
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_int_equal(w.rec->flows_forgotten, at_5s);
	stop(&w);
}

/* n changes of one Service's endpoints, beside one who has n addresses and wants another's for ever. */
static void run_beside_a_loser(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(buf_release) struct buf ips = BUF_INIT;
	_cleanup_free_ char *svc = NULL;
	struct world w;

	(void)arg;
	start(&w);
	for (size_t i = 0; i < n; i++)
		buf_printf(&ips, ",'198.18.%zu.%zu'", i / 250, i % 250 + 1);
	svc = xasprintf(KIT_SERVICE("loser", "'clusterIP':'10.43.0.9','ports':[{'port':80,'protocol':'TCP'}],"
					     "'externalIPs':['10.43.0.1'%s]"),
			buf_cstr(&ips));
	kit_put(&w.kit, WEB);
	kit_put(&w.kit, svc);
	env_sim_run(w.env, NS_PER_SEC);
	cost_begin(c);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *slice = xasprintf(
		    KIT_SLICE("web", "{'port':8080,'protocol':'TCP'}", KIT_EP("10.42.%zu.%zu")), i / 250, i % 250 + 2);

		kit_put(&w.kit, slice);
		env_sim_run(w.env, 60 * NS_PER_MS);
	}
	cost_end(c);
	/* What he wants is free: he gets it. */
	kit_del(&w.kit, "Service", "web");
	env_sim_run(w.env, NS_PER_SEC);
	assert_true(last_has(&w, "{ 10.43.0.1 . tcp . 80"));
	stop(&w);
}

static void test_costs(_unused_ void **state)
{
	const struct cost_row row = { "changes beside a large Service that wants another's address", run_beside_a_loser,
				      NULL, 60 };

	expect_linear(&row, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_costs),
		cmocka_unit_test(test_unanswered_connections),
		cmocka_unit_test(test_unanswered_connections_of_a_busy_cluster),
		cmocka_unit_test(test_own_service_is_left_to_others),
		cmocka_unit_test(test_follows_the_cluster),
		cmocka_unit_test(test_put_back_when_flushed),
		cmocka_unit_test(test_follows_soon),
		cmocka_unit_test(test_retries),
		cmocka_unit_test(test_affinity_outlives_the_table),
		cmocka_unit_test(test_prepares_for_ipv6),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_host_ports),
		cmocka_unit_test(test_writes_in_parts),
		cmocka_unit_test(test_moves_between_parts),
		cmocka_unit_test(test_shared_informers),
		cmocka_unit_test(test_removal),
	};

	log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
