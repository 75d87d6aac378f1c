#include "costs.h"
#include "proxy_kit.h"

#include "base/buf.h"
#include "proxy/model.h"
#include "proxy/own_node.h"

static struct arena A;

/* "10.43.0.1:80/6 outer=10.42.0.2:8080* inside=... flags" a line; * marks an endpoint on this node. */
static void show_endpoints(struct buf *b, const char *what, const struct endpoints *e)
{
	if (!e->n)
		return;
	buf_printf(b, " %s=", what);
	for (size_t i = 0; i < e->n; i++) {
		buf_adds(b, i ? "," : "");
		if (ip_is_v4(e->p[i].addr))
			buf_printf(b, ".%u", ip_low(e->p[i].addr) & 255);
		else
			buf_printf(b, "[%s]", ip_text(e->p[i].addr).s);
		buf_printf(b, ":%u%s", e->p[i].port, e->p[i].local ? "*" : "");
	}
}

static void show_key(struct buf *b, const struct frontend_key *k)
{
	if (frontend_v6(k))
		buf_printf(b, "[%s]:%u/%u", ip_text(k->addr).s, k->port, k->proto);
	else
		buf_printf(b, "%u.%u:%u/%u", ip_low(k->addr) >> 24, ip_low(k->addr) & 255, k->port, k->proto);
}

/* With these fields alone; paths NULL: whole. */
static struct obj *object_of(const char *text, const char *const *paths)
{
	struct obj *o = text ? kit_obj(text, 1) : NULL, *kept;
	struct keep *k;

	if (!o || !paths)
		return o;
	k = keep_new();
	keep_add(k, paths);
	kept = kit_kept(o, k);
	keep_unref(k);
	obj_unref(o);
	return kept;
}

static const char *model_text(const char *svc_text, const char *slice_text, const char *slice6_text, bool kept)
{
	static struct buf b;
	const char *const *paths = kept ? model_slice_paths : NULL;
	struct obj *svc = object_of(svc_text, kept ? model_service_paths : NULL);
	struct obj *slices[] = { object_of(slice_text, paths), object_of(slice6_text, paths) };
	static const struct ip_net external[] = { { { { [10] = 0xff, [11] = 0xff, 198, 51, 100, 1 } }, 128 } },
				   internal[] = { { { { [10] = 0xff, [11] = 0xff, 172, 16, 0, 1 } }, 128 },
						  { { { 0xfd, [15] = 1 } }, 128 } };
	struct node_view node = { SV("n1"), SV("za"), external, internal, 1, 2, false, false };
	struct frontend *f;
	size_t n;

	buf_clear(&b);
	buf_adds(&b, "");
	f = service_model(&A, svc, slices, !!slice_text + !!slice6_text, &node, &n);
	for (size_t i = 0; i < n; i++) {
		buf_adds(&b, i ? "\n" : "");
		show_key(&b, &f[i].key);
		show_endpoints(&b, "outer", &f[i].outer);
		show_endpoints(&b, "inside", &f[i].inside);
		buf_printf(&b, " masq%u%s%s%s", f[i].masq, f[i].split ? " split" : "", f[i].drop ? " drop" : "",
			   f[i].cluster_ip ? " cluster" : "");
		if (f[i].affinity_s)
			buf_printf(&b, " affinity=%u", f[i].affinity_s);
		for (size_t k = 0; k < f[i].n_ranges; k++)
			buf_printf(&b, " from=%s/%u",
				   ip_is_v4(f[i].ranges[k].addr)
				       ? arena_printf(&A, "%u", ip_low(f[i].ranges[k].addr) >> 24)
				       : ip_text(f[i].ranges[k].addr).s,
				   ip_net_len(f[i].ranges[k]));
		if (f[i].firewalled)
			buf_adds(&b, " guarded");
	}
	obj_unref(svc);
	obj_unref(slices[0]);
	obj_unref(slices[1]);
	return buf_cstr(&b);
}

/* The same of whole objects and of those that keep what is read. */
static const char *model_of(const char *svc_text, const char *slice_text, const char *slice6_text)
{
	_cleanup_free_ char *whole = xstrdup(model_text(svc_text, slice_text, slice6_text, false));
	const char *kept = model_text(svc_text, slice_text, slice6_text, true);

	assert_string_equal(kept, whole);
	return kept;
}

static const char *model(const char *svc_text, const char *slice_text)
{
	return model_of(svc_text, slice_text, NULL);
}

#define WEB "'clusterIP':'10.43.0.1','clusterIPs':['10.43.0.1'],'type':'ClusterIP'"
#define PORT "'ports':[{'port':80,'protocol':'TCP'}]"
#define HTTP "{'port':8080,'protocol':'TCP'}"

static void test_plain(_unused_ void **state)
{
	assert_string_equal(model(KIT_SERVICE("web", WEB "," PORT),
				  KIT_SLICE("web", HTTP, KIT_EP_ON("10.42.1.9", "n2") "," KIT_EP("10.42.0.2"))),
			    "10.1:80/6 outer=.2:8080*,.9:8080 masq1 drop cluster");
	assert_string_equal(model(KIT_SERVICE("web", WEB "," PORT), NULL), "10.1:80/6 masq1 cluster");
}

static void test_not_ours(_unused_ void **state)
{
	assert_string_equal(model(KIT_SERVICE("x", "'clusterIP':'None','clusterIPs':['None']," PORT), NULL), "");
	assert_string_equal(model(KIT_SERVICE("x", "'type':'ExternalName','externalName':'a.b'," PORT), NULL), "");
	assert_string_equal(model("{'kind':'Service','metadata':{'name':'x','namespace':'d','labels':"
				  "{'service.kubernetes.io/service-proxy-name':'other'}},'spec':{" WEB "," PORT "}}",
				  NULL),
			    "");
	assert_string_equal(model("{'kind':'Service','metadata':{'name':'x','namespace':'d','labels':"
				  "{'service.kubernetes.io/headless':''}},'spec':{" WEB "," PORT "}}",
				  NULL),
			    "");
}

/* What the health check's listener answers for. */
static void test_health_port(_unused_ void **state)
{
	struct node_view node = { .name = SV("n1") };
	struct obj *svc = object_of(KIT_SERVICE("lb", "'type':'LoadBalancer','externalTrafficPolicy':'Local',"
						      "'healthCheckNodePort':31000," PORT),
				    model_service_paths);
	struct obj *slice =
	    object_of(KIT_SLICE("lb", HTTP, KIT_EP("10.42.0.2") "," KIT_EP_ON("10.42.1.9", "n2")), model_slice_paths);
	size_t local;

	assert_int_equal(service_health_port(svc, &slice, 1, &node, &local), 31000);
	assert_int_equal(local, 1);
	obj_unref(slice);
	obj_unref(svc);
}

/* A Node stays until it is deleted, or the autoscaler says that it will be. */
static void test_node_stays(_unused_ void **state)
{
	static const struct {
		const char *more;
		bool stays;
	} rows[] = {
		{ "'name':'n1'},'spec':{'podCIDRs':['10.42.0.0/24']", true },
		{ "'name':'n1'},'spec':{'taints':[{'key':'node.kubernetes.io/unschedulable','effect':'NoSchedule'}]",
		  true },
		{ "'name':'n1'},'spec':{'taints':[{'key':'ToBeDeletedByClusterAutoscaler','effect':'NoSchedule'}]",
		  false },
		{ "'name':'n1','deletionTimestamp':'2026-01-01T00:00:00Z'},'spec':{'podCIDR':'10.42.0.0/24'", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct obj *node =
		    object_of(arena_printf(&a, "{'kind':'Node','metadata':{%s}}", rows[i].more), own_node_paths);

		assert_int_equal(own_node_stays(node), rows[i].stays);
		assert_true(own_node_same(node, node));
		obj_unref(node);
	}
}

/* An address of this node that a cloud translates is served where the packets come to; another node's is not. */
static void test_translated_address(_unused_ void **state)
{
#define LB(ip)                                                                                                      \
	KIT_SERVICE("lb", WEB                                                                                       \
		    ",'type':'LoadBalancer','ports':[{'port':80}]},'status':{'loadBalancer':{'ingress':[{'ip':'" ip \
		    "'}]}")
	assert_string_equal(model(LB("198.51.100.1"), NULL),
			    "10.1:80/6 masq1 cluster\n198.1:80/6 masq2\n172.1:80/6 masq2");
	assert_string_equal(model(LB("198.51.100.2"), NULL), "10.1:80/6 masq1 cluster\n198.2:80/6 masq2");
	assert_string_equal(model(LB("172.16.0.1"), NULL), "10.1:80/6 masq1 cluster\n172.1:80/6 masq2");
}

/* Ports meet by name; a slice may carry several. */
static void test_named_ports(_unused_ void **state)
{
	const char *svc =
	    KIT_SERVICE("dns", "'clusterIP':'10.43.0.10','ports':[{'name':'dns','port':53,'protocol':'UDP'},"
			       "{'name':'dns-tcp','port':53,'protocol':'TCP'}]");

	assert_string_equal(model(svc, KIT_SLICE("dns",
						 "{'name':'dns-tcp','port':5353,'protocol':'TCP'},"
						 "{'name':'dns','port':5300,'protocol':'UDP'}",
						 KIT_EP("10.42.0.2"))),
			    "10.10:53/17 outer=.2:5300* masq1 drop cluster\n"
			    "10.10:53/6 outer=.2:5353* masq1 drop cluster");
}

static void test_readiness(_unused_ void **state)
{
	const char *svc = KIT_SERVICE("web", WEB "," PORT);
	const char *down = "{'addresses':['10.42.0.3'],'conditions':{'ready':false}}";
	const char *ending =
	    "{'addresses':['10.42.0.4'],'conditions':{'ready':false,'serving':true,'terminating':true}}";
	_cleanup_free_ char *both = xasprintf(KIT_SLICE("web", HTTP, "%s,%s"), down, ending);
	_cleanup_free_ char *all = xasprintf(KIT_SLICE("web", HTTP, "%s,%s," KIT_EP("10.42.0.5")), down, ending);

	/* Terminating ones serve only while nobody is ready. */
	assert_string_equal(model(svc, both), "10.1:80/6 outer=.4:8080 masq1 drop cluster");
	assert_string_equal(model(svc, all), "10.1:80/6 outer=.5:8080* masq1 drop cluster");
	/* Unknown readiness counts as ready. */
	assert_string_equal(model(svc, KIT_SLICE("web", HTTP, "{'addresses':['10.42.0.6'],'conditions':{}}")),
			    "10.1:80/6 outer=.6:8080 masq1 drop cluster");
}

static void test_policies(_unused_ void **state)
{
	const char *eps = KIT_SLICE("web", HTTP, KIT_EP_ON("10.42.1.9", "n2") "," KIT_EP("10.42.0.2"));
	const char *far = KIT_SLICE("web", HTTP, KIT_EP_ON("10.42.1.9", "n2"));

	assert_string_equal(model(KIT_SERVICE("web", WEB ",'internalTrafficPolicy':'Local'," PORT), eps),
			    "10.1:80/6 outer=.2:8080* masq1 drop cluster");
	assert_string_equal(model(KIT_SERVICE("web", WEB ",'internalTrafficPolicy':'Local'," PORT), far),
			    "10.1:80/6 masq1 drop cluster");
#define NP "'clusterIP':'10.43.0.1','type':'NodePort','ports':[{'port':80,'nodePort':30080}]"
	assert_string_equal(model(KIT_SERVICE("web", NP ",'externalTrafficPolicy':'Cluster'"), eps),
			    "10.1:80/6 outer=.2:8080*,.9:8080 masq1 drop cluster\n"
			    "0.0:30080/6 outer=.2:8080*,.9:8080 masq2 drop");
	assert_string_equal(model(KIT_SERVICE("web", NP ",'externalTrafficPolicy':'Local'"), eps),
			    "10.1:80/6 outer=.2:8080*,.9:8080 masq1 drop cluster\n"
			    "0.0:30080/6 outer=.2:8080* inside=.2:8080*,.9:8080 masq0 split drop");
	assert_string_equal(model(KIT_SERVICE("web", NP ",'externalTrafficPolicy':'Local'"), far),
			    "10.1:80/6 outer=.9:8080 masq1 drop cluster\n"
			    "0.0:30080/6 inside=.9:8080 masq0 split drop");
}

#define ENDING_ON(ip, node, serving)                                                                   \
	"{'addresses':['" ip "'],'nodeName':'" node "','conditions':{'ready':false,'serving':" serving \
	",'terminating':true}}"

/* Each policy falls back for itself: this node's endpoint may terminate while another's is ready. */
static void test_terminating_by_policy(_unused_ void **state)
{
	const char *lone = KIT_SLICE("web", HTTP, ENDING_ON("10.42.0.2", "n1", "true"));
	const char *here =
	    KIT_SLICE("web", HTTP, ENDING_ON("10.42.0.2", "n1", "true") "," KIT_EP_ON("10.42.1.9", "n2"));
	const char *there = KIT_SLICE("web", HTTP, ENDING_ON("10.42.1.9", "n2", "true"));
	const char *over = KIT_SLICE("web", HTTP, ENDING_ON("10.42.0.2", "n1", "false"));
	const char *inside = KIT_SERVICE("web", WEB ",'internalTrafficPolicy':'Local'," PORT);
	const char *outside = KIT_SERVICE("web", NP ",'externalTrafficPolicy':'Local'");

	assert_string_equal(model(inside, lone), "10.1:80/6 outer=.2:8080* masq1 drop cluster");
	assert_string_equal(model(inside, here), "10.1:80/6 outer=.2:8080* masq1 drop cluster");
	assert_string_equal(model(inside, there), "10.1:80/6 masq1 drop cluster");
	assert_string_equal(model(inside, over), "10.1:80/6 masq1 cluster");
	assert_string_equal(model(outside, lone), "10.1:80/6 outer=.2:8080* masq1 drop cluster\n"
						  "0.0:30080/6 outer=.2:8080* inside=.2:8080* masq0 split drop");
	assert_string_equal(model(outside, here), "10.1:80/6 outer=.9:8080 masq1 drop cluster\n"
						  "0.0:30080/6 outer=.2:8080* inside=.9:8080 masq0 split drop");
	assert_string_equal(model(outside, there), "10.1:80/6 outer=.9:8080 masq1 drop cluster\n"
						   "0.0:30080/6 inside=.9:8080 masq0 split drop");
	assert_string_equal(model(outside, over), "10.1:80/6 masq1 cluster\n0.0:30080/6 masq0 split");
}

static void test_external(_unused_ void **state)
{
	const char *svc =
	    "{'kind':'Service','metadata':{'name':'web','namespace':'default'},'spec':{'type':'LoadBalancer',"
	    "'clusterIP':'10.43.0.1','externalIPs':['192.0.2.9','192.0.2.9'],'ports':[{'port':80}],"
	    "'loadBalancerSourceRanges':['20.0.0.0/9','20.0.0.0/8','30.1.2.3/8','fd00::/8']},"
	    "'status':{'loadBalancer':{'ingress':[{'ip':'192.0.2.10'},{'ip':'192.0.2.11','ipMode':'Proxy'},"
	    "{'hostname':'lb.example'}]}}}";

	assert_string_equal(model(svc, KIT_SLICE("web", HTTP, KIT_EP("10.42.0.2"))),
			    "10.1:80/6 outer=.2:8080* masq1 drop cluster\n"
			    "192.9:80/6 outer=.2:8080* masq2 drop\n"
			    "192.10:80/6 outer=.2:8080* masq2 drop from=20/8 from=30/8 guarded");
}

static void test_affinity(_unused_ void **state)
{
	assert_string_equal(model(KIT_SERVICE("web", WEB ",'sessionAffinity':'ClientIP'," PORT), NULL),
			    "10.1:80/6 masq1 cluster affinity=10800");
	assert_string_equal(model(KIT_SERVICE("web", WEB ",'sessionAffinity':'ClientIP','sessionAffinityConfig':"
							 "{'clientIP':{'timeoutSeconds':7}}," PORT),
				  NULL),
			    "10.1:80/6 masq1 cluster affinity=7");
}

#define HINTED(ip, zone) \
	"{'addresses':['" ip "'],'conditions':{'ready':true},'hints':{'forZones':[{'name':'" zone "'}]}}"
#define NODE_HINTED(ip, node)                                                                                  \
	"{'addresses':['" ip "'],'conditions':{'ready':true},'hints':{'forZones':[{'name':'za'}],'forNodes':[" \
	"{'name':'" node "'}]}}"

static void test_hints(_unused_ void **state)
{
	const char *svc = KIT_SERVICE("web", WEB "," PORT);

	assert_string_equal(model(svc, KIT_SLICE("web", HTTP, HINTED("10.42.0.2", "za") "," HINTED("10.42.0.3", "zb"))),
			    "10.1:80/6 outer=.2:8080 masq1 drop cluster");
	/* One without a hint, or none for our zone: hints are not followed. */
	assert_string_equal(model(svc, KIT_SLICE("web", HTTP, HINTED("10.42.0.2", "za") "," KIT_EP("10.42.0.3"))),
			    "10.1:80/6 outer=.2:8080,.3:8080* masq1 drop cluster");
	assert_string_equal(model(svc, KIT_SLICE("web", HTTP, HINTED("10.42.0.2", "zb"))),
			    "10.1:80/6 outer=.2:8080 masq1 drop cluster");
	assert_string_equal(
	    model(svc, KIT_SLICE("web", HTTP, NODE_HINTED("10.42.0.2", "n1") "," NODE_HINTED("10.42.0.3", "n2"))),
	    "10.1:80/6 outer=.2:8080 masq1 drop cluster");
}

/* What a client controls and the API server lets through must not hurt. */
/* Flows of UDP last at whatever serves, wherever new ones go; a question is no flow. */
static void test_lasting(_unused_ void **state)
{
	struct obj *svc = kit_obj(KIT_SERVICE("dns", "'clusterIP':'10.43.0.10','trafficDistribution':'PreferSameNode',"
						     "'ports':[{'port':53,'protocol':'UDP'}]"),
				  1);
	struct obj *slice = kit_obj(KIT_SLICE("dns", "{'port':5300,'protocol':'UDP'}",
					      NODE_HINTED("10.42.0.2", "n1") "," NODE_HINTED("10.42.0.3", "n2")),
				    1);

	for (int own = 0; own <= 1; own++) {
		struct node_view node = { .name = SV("n1"), .questions = own };
		size_t n;
		struct frontend *f = service_model(&A, svc, &slice, 1, &node, &n);

		assert_int_equal(n, 1);
		assert_int_equal(f->outer.n, 1);
		assert_int_equal(f->lasting.n, own ? 0 : 2);
	}
	obj_unref(svc);
	obj_unref(slice);
}

static void test_odd_input(_unused_ void **state)
{
	assert_string_equal(
	    model(KIT_SERVICE("web", WEB ",'ports':[{'port':0},{'port':70000},{'port':80,'protocol':'X'}]"), NULL), "");
	assert_string_equal(model(KIT_SERVICE("web", WEB "," PORT),
				  KIT_SLICE("web", "{'port':0},{},{'port':8080}",
					    "{'addresses':[]},{'addresses':['nonsense']},{'addresses':['0.0.0.0']},"
					    "{},{'addresses':['10.42.0.2']},{'addresses':['10.42.0.2']}")),
			    "10.1:80/6 outer=.2:8080 masq1 drop cluster");
}

#define SLICE6(eps)                                                                                 \
	"{'kind':'EndpointSlice','metadata':{'name':'s6'},'addressType':'IPv6','ports':[" HTTP "]," \
	"'endpoints':[" eps "]}"
#define DUAL "'clusterIP':'10.43.0.1','clusterIPs':['10.43.0.1','fd43::1']"

/* Each family by itself: a frontend leads to endpoints of its own, and what is of a family without a ClusterIP is
 * not served. */
static void test_families(_unused_ void **state)
{
	const char *four = KIT_SLICE("web", HTTP, KIT_EP("10.42.0.2")), *six = SLICE6(KIT_EP("fd42::2"));
	const char *outside = "'externalIPs':['192.0.2.9','2001:db8::9'],'type':'LoadBalancer',"
			      "'ports':[{'port':80,'protocol':'TCP','nodePort':30080}],"
			      "'loadBalancerSourceRanges':['20.0.0.0/8',' 2001:db8:1::/48 ']},"
			      "'status':{'loadBalancer':{'ingress':[{'ip':'2001:db8::7'},{'ip':'192.0.2.7'},"
			      "{'ip':'2001:db8::8','ipMode':'Proxy'}]}";

	assert_string_equal(model_of(KIT_SERVICE("web", DUAL "," PORT), four, six),
			    "10.1:80/6 outer=.2:8080* masq1 drop cluster\n"
			    "[fd43::1]:80/6 outer=[fd42::2]:8080* masq1 drop cluster");
	assert_string_equal(model_of(KIT_SERVICE("web", DUAL "," PORT), four, NULL),
			    "10.1:80/6 outer=.2:8080* masq1 drop cluster\n"
			    "[fd43::1]:80/6 masq1 cluster");
	assert_string_equal(
	    model_of(KIT_SERVICE("web", "'clusterIP':'fd43::1','clusterIPs':['fd43::1']," PORT), four, six),
	    "[fd43::1]:80/6 outer=[fd42::2]:8080* masq1 drop cluster");
	assert_string_equal(model_of(arena_printf(&A, KIT_SERVICE("web", DUAL ",%s"), outside), four, six),
			    "10.1:80/6 outer=.2:8080* masq1 drop cluster\n"
			    "192.9:80/6 outer=.2:8080* masq2 drop\n"
			    "192.7:80/6 outer=.2:8080* masq2 drop from=20/8 guarded\n"
			    "0.0:30080/6 outer=.2:8080* masq2 drop\n"
			    "[fd43::1]:80/6 outer=[fd42::2]:8080* masq1 drop cluster\n"
			    "[2001:db8::9]:80/6 outer=[fd42::2]:8080* masq2 drop\n"
			    "[2001:db8::7]:80/6 outer=[fd42::2]:8080* masq2 drop from=2001:db8:1::/48 guarded\n"
			    "[::]:30080/6 outer=[fd42::2]:8080* masq2 drop");
	assert_string_equal(
	    model_of(arena_printf(&A, KIT_SERVICE("web", "'clusterIP':'fd43::1',%s"), outside), four, six),
	    "[fd43::1]:80/6 outer=[fd42::2]:8080* masq1 drop cluster\n"
	    "[2001:db8::9]:80/6 outer=[fd42::2]:8080* masq2 drop\n"
	    "[2001:db8::7]:80/6 outer=[fd42::2]:8080* masq2 drop from=2001:db8:1::/48 guarded\n"
	    "[::]:30080/6 outer=[fd42::2]:8080* masq2 drop");
	/* An address in a slice of the other type is none. */
	assert_string_equal(model_of(KIT_SERVICE("web", DUAL "," PORT), KIT_SLICE("web", HTTP, KIT_EP("fd42::9")),
				     SLICE6(KIT_EP("10.42.0.9") "," KIT_EP("::"))),
			    "10.1:80/6 masq1 cluster\n[fd43::1]:80/6 masq1 cluster");
	/* Source ranges without one of a family let nobody of it in. */
	assert_non_null(strstr(model_of("{'kind':'Service','metadata':{'name':'web'},'spec':{" DUAL
					",'type':'LoadBalancer','ports':[{'port':80}],'loadBalancerSourceRanges':"
					"['20.0.0.0/8']},'status':{'loadBalancer':{'ingress':[{'ip':'2001:db8::7'}]}}}",
					four, six),
			       "[2001:db8::7]:80/6 outer=[fd42::2]:8080* masq2 drop guarded"));
}

static void test_ranges(_unused_ void **state)
{
	struct families f = families_parse(SV("fd00:1::/32, 10.42.3.4/16,fd01::/16,nonsense,10.0.0.0/8"));

	assert_true(f.has[0] && f.has[1]);
	assert_true(ip_eq(f.net[0].addr, ip_v4(0x0a2a0000)));
	assert_int_equal(ip_net_len(f.net[0]), 16);
	assert_string_equal(ip_text(f.net[1].addr).s, "fd00:1::");
	f = families_parse(SV("10.42.0.0/16"));
	assert_true(f.has[0] && !f.has[1]);
	f = families_parse(SV(""));
	assert_false(f.has[0] || f.has[1]);
}

/* A Service with n externalIPs, as many source ranges that cover each other, and one address of a balancer. */
static struct obj *wide_service(struct arena *a, size_t n, size_t ports)
{
	struct buf b = BUF_INIT;
	struct obj *o;

	buf_adds(&b, "{'kind':'Service','metadata':{'name':'w','namespace':'d'},'status':{'loadBalancer':{'ingress':"
		     "[{'ip':'192.0.2.1'}]}},'spec':{" WEB ",'type':'LoadBalancer','ports':[");
	for (size_t i = 0; i < ports; i++)
		buf_printf(&b, "%s{'name':'p%zu','port':%zu,'protocol':'TCP'}", i ? "," : "", i, i + 1);
	buf_adds(&b, "],'externalIPs':[");
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s'198.18.%zu.%zu'", i ? "," : "", i / 250, i % 250 + 1);
	buf_adds(&b, "],'loadBalancerSourceRanges':[");
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s'10.%zu.%zu.0/24'", i ? "," : "", i / 250, i % 250);
	buf_adds(&b, "]}}");
	o = kit_obj(arena_cstr(a, buf_sv(&b)), 1);
	buf_release(&b);
	return o;
}

static void run_wide(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *svc = wide_service(&a, n, 1);
	struct node_view node = { .name = SV("n1") };
	size_t got;

	(void)arg;
	cost_begin(c);
	(void)service_model(&a, svc, NULL, 0, &node, &got);
	cost_end(c);
	assert_int_equal(got, n + 2);
}

static void test_costs(_unused_ void **state)
{
	const struct cost_row row = { "a Service of many external addresses", run_wide, NULL, 0 };

	expect_linear(&row, 1);
}

/* Ports times addresses: a megabyte of a user's would be millions here. */
static void test_bounded(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *svc = wide_service(&a, 10000, 5000);
	struct node_view node = { .name = SV("n1") };
	struct frontend *f;
	size_t n;

	f = service_model(&a, svc, NULL, 0, &node, &n);
	assert_in_range(n, 1000, PROXY_ELEMENTS_MAX);
	assert_true(f[0].cluster_ip);
}

static void test_source_ranges(_unused_ void **state)
{
	const char *svc = "{'spec':{" WEB ",'type':'LoadBalancer'," PORT ",'loadBalancerSourceRanges':['11.0.0.0/8',"
			  "'10.0.0.0/8','10.0.0.0/9',' 10.255.255.255/32 ','10.0.0.0/8','9.0.0.0/32','fd00::/8']},"
			  "'status':{'loadBalancer':{'ingress':[{'ip':'192.0.2.1'}]}}}";

	assert_non_null(strstr(model(svc, NULL), " from=9/32 from=10/8 from=11/8 guarded"));
}

static void test_loopback_is_nobodys(_unused_ void **state)
{
	const char *svc = "{'spec':{" WEB ",'type':'LoadBalancer'," PORT ",'externalIPs':['127.0.0.1','127.9.9.9']},"
			  "'status':{'loadBalancer':{'ingress':[{'ip':'127.0.0.1'},{'ip':'127.0.0.53'}]}}}";

	assert_string_equal(model(svc, NULL), "10.1:80/6 masq1 cluster");
}

static int teardown(_unused_ void **state)
{
	arena_release(&A);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_health_port),
		cmocka_unit_test(test_node_stays),
		cmocka_unit_test(test_translated_address),
		cmocka_unit_test(test_named_ports),
		cmocka_unit_test(test_readiness),
		cmocka_unit_test(test_terminating_by_policy),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_affinity),
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_lasting),
		cmocka_unit_test(test_odd_input),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_source_ranges),
		cmocka_unit_test(test_loopback_is_nobodys),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_costs),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
