/* What becomes of many Ingresses, rules, hosts, endpoints and users: ten times as many cost ten times as much. */
#include "costs.h"
#include "gates_kit.h"

#include "base/b64.h"
#include "ingress/command.h"

static const struct ing_listen both = { .http_port = 80, .https_port = 443, .threads = 1, .max_connections = 100 };

/* The whole of a sync, from one state to the next. */
static void whole(struct cost *c, struct kit *k, void (*change)(struct kit *k, size_t n), size_t n)
{
	struct ing_names names = { .next = 0 };
	struct ing_conf was, is;
	struct ing_steps steps;

	kit_model(k);
	ing_render(&k->a, &names, &k->m, &both, &was);
	change(k, n);
	cost_begin(c);
	kit_model(k);
	ing_render(&k->a, &names, &k->m, &both, &is);
	(void)ing_steps_between(&k->a, &was, &is, &steps);
	cost_end(c);
	ing_names_release(&names);
	kit_release(k);
}

static void add_ingress(struct kit *k, size_t n)
{
	kit_add(
	    k, arena_printf(&k->a,
			    "{'kind':'Ingress','metadata':{'namespace':'d','name':'i%zu','uid':'%zu'},'spec':{'rules':["
			    "{'host':'h%zu','http':{'paths':[" KIT_PATH("/", "Prefix", "a") "]}}]}}",
			    n, n, n));
}

static void cost_ingresses(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct kit k = { .m = { 0 } };

	kit_add(&k, KIT_CLASS);
	kit_add(&k, KIT_SERVICE("a"));
	for (size_t i = 0; i < n; i++)
		add_ingress(&k, i);
	whole(c, &k, add_ingress, n);
}

#define PATHS(a, b)                                                                              \
	KIT_PATH("/p" a "1", "Prefix", b)                                                        \
	"," KIT_PATH("/p" a "2", "Prefix", b) "," KIT_PATH("/p" a "3", "Exact", b) "," KIT_PATH( \
	    "/p" a "4", "Prefix", b) "," KIT_PATH("/p" a "5", "Exact", b)

/* Ten paths each, filters that are another Ingress' or its own, certificates, canaries beside all of them. */
static void add_shop(struct kit *k, size_t n)
{
	kit_add(
	    k, arena_printf(
		   &k->a,
		   "{'kind':'Ingress','metadata':{'namespace':'d','name':'i%zu','uid':'%zu','annotations':{'" KIT_N
		   "app-root':'/r%zu'}},'spec':{'tls':[{'hosts':['h%zu'],'secretName':'t%zu'}],'rules':[{'host':'h%zu',"
		   "'http':{'paths':[" PATHS("", "a") "," PATHS("x", "b") "]}}]}}",
		   n, n, n % 2 ? n : 0, n, n, n));
	kit_add(k, arena_printf(
		       &k->a,
		       "{'kind':'Ingress','metadata':{'namespace':'d','name':'c%zu','uid':'c%zu','annotations':{'" KIT_N
		       "canary':'true','" KIT_N
		       "canary-weight':'%zu'}},'spec':{'rules':[{'host':'h%zu','http':{'paths':[" KIT_PATH(
			   "/p1", "Prefix", "b") "]}}]}}",
		       n, n, n % 100, n));
}

static void cost_shops(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct kit k = { .m = { 0 } };

	kit_add(&k, KIT_CLASS);
	kit_add(&k, KIT_SERVICE("a"));
	kit_add(&k, KIT_SERVICE("b"));
	for (size_t i = 0; i < n; i++)
		add_shop(&k, i);
	whole(c, &k, add_shop, n);
}

/* One Ingress, n rules, and as many hosts with TLS; twice, so that each is in the other's way. */
static void cost_rules(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct kit k = { .m = { 0 } };
	struct buf b = BUF_INIT;

	kit_add(&k, KIT_CLASS);
	kit_add(&k, KIT_SERVICE("a"));
	for (size_t twice = 0; twice < 2; twice++) {
		buf_clear(&b);
		buf_printf(
		    &b, "{'kind':'Ingress','metadata':{'namespace':'d','name':'all%zu','uid':'%zu'},'spec':{'rules':[",
		    twice, twice);
		for (size_t i = 0; i < n; i++)
			buf_printf(&b, "%s{'host':'h%zu','http':{'paths':[" KIT_PATH("/", "Prefix", "a") "]}}",
				   i ? "," : "", i);
		buf_adds(&b, "],'tls':[{'hosts':[");
		for (size_t i = 0; i < n; i++)
			buf_printf(&b, "%s'h%zu'", i ? "," : "", i);
		buf_adds(&b, "]}]}}");
		kit_add(&k, buf_cstr(&b));
	}
	buf_release(&b);
	whole(c, &k, add_ingress, n);
}

static void add_slice(struct kit *k, size_t from, size_t to)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "{'kind':'EndpointSlice','metadata':{'namespace':'d','name':'a1','labels':{'kubernetes.io/"
		     "service-name':'a'}},"
		     "'addressType':'IPv4','ports':[{'name':'web','port':8080}],'endpoints':[");
	for (size_t i = from; i < to; i++)
		buf_printf(&b, "%s{'addresses':['10.0.%zu.%zu']}", i > from ? "," : "", i / 250, i % 250);
	buf_adds(&b, "]}");
	kit_add(k, buf_cstr(&b));
	buf_release(&b);
}

static void half_goes(struct kit *k, size_t n)
{
	k->slices.n = 0;
	add_slice(k, n / 2, n + n / 2);
}

static void cost_endpoints(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct kit k = { .m = { 0 } };

	kit_add(&k, KIT_CLASS);
	kit_add(&k, KIT_SERVICE("a"));
	add_ingress(&k, 0);
	add_slice(&k, 0, n);
	whole(c, &k, half_goes, n);
}

static void cost_users(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct kit k = { .m = { 0 } };
	struct buf b = BUF_INIT;
	struct sv text;

	kit_add(&k, KIT_CLASS);
	kit_add(&k, KIT_SERVICE("a"));
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "u%zu:$%s$abc$abcdefghijklmnopqrstuv\n", i, i % 2 ? "1" : "apr1");
	text = b64_encode(&k.a, buf_sv(&b));
	buf_release(&b);
	kit_add(&k, arena_printf(&k.a,
				 "{'kind':'Secret','metadata':{'namespace':'d','name':'users'},'data':{'auth':'%.*s'}}",
				 SV_ARG(text)));
	kit_add(&k, KIT_INGRESS("auth", "1", "'" KIT_N "auth-type':'basic','" KIT_N "auth-secret':'users'",
				KIT_RULE("x.org", KIT_PATH("/", "Prefix", "a"))));
	whole(c, &k, add_ingress, n);
}

/* Of one Gateway, at a path each, with headers; every second one for a host of its own, which an Ingress names, too. */
static void cost_routes(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct rig r = { .k = { .m = { 0 } }, .http = 8080, .https = 8443 };
	struct ing_conf conf;

	rig_add(&r, KIT_CLASS);
	rig_add(&r, CLASS);
	rig_add(&r, KIT_SERVICE("a"));
	rig_add(&r, GATEWAY);
	for (size_t i = 0; i < n; i++) {
		add_ingress(&r.k, i);
		rig_add(&r, arena_printf(&r.k.a,
					 ROUTE("HTTPRoute", "r%zu", ",'hostnames':['h%zu']",
					       "{'matches':[{" PATH(
						   "PathPrefix",
						   "/%zu") ",'headers':[{'name':'a','value':'b'}]}]," BACK("a") "}"),
					 i, i % 2 ? i : 0, i));
	}
	cost_begin(c);
	rig_render(&r, &conf);
	cost_end(c);
	rig_end(&r);
}

/* n Gateways of three listeners each, of which one is in another's way. */
static void cost_gateways(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct rig r = { .k = { .m = { 0 } }, .http = 80, .https = 443 };
	struct ing_conf conf;

	rig_add(&r, KIT_CLASS);
	rig_add(&r, CLASS);
	for (size_t i = 0; i < n; i++) {
		add_ingress(&r.k, i);
		rig_add(&r, arena_printf(&r.k.a,
					 "{'kind':'Gateway','metadata':{'namespace':'d','name':'g%zu'},'spec':{"
					 "'gatewayClassName':'c','listeners':[{'name':'a','port':80,'protocol':'HTTP',"
					 "'hostname':'h%zu'},{'name':'b','port':80,'protocol':'HTTP'},{'name':'c',"
					 "'port':%zu,'protocol':'HTTP'}]}}",
					 i, i, 1000 + i));
	}
	cost_begin(c);
	rig_render(&r, &conf);
	cost_end(c);
	rig_end(&r);
}

static void test_costs(_unused_ void **state)
{
	static const struct cost_row rows[] = {
		{ "Ingresses", cost_ingresses, NULL, 0 },
		{ "Ingresses of ten paths, with canaries", cost_shops, NULL, 50 },
		{ "rules and hosts of an Ingress", cost_rules, NULL, 0 },
		{ "endpoints of a Service", cost_endpoints, NULL, 64 },
		{ "users of a Secret", cost_users, NULL, 100 },
		{ "routes of a Gateway", cost_routes, NULL, 100 },
		{ "Gateways", cost_gateways, NULL, 100 },
	};

	expect_linear(rows, ARRAY_LEN(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
