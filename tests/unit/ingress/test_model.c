/* From objects to routes, and which route a request finds. */
#include "ingress_kit.h"

static void services(struct kit *k)
{
	kit_add(k, KIT_CLASS);
	kit_add(k, KIT_SERVICE("a"));
	kit_add(k, KIT_SERVICE("b"));
	kit_add(k, KIT_SERVICE("c"));
	kit_add(k, KIT_SLICE("a", "a1", KIT_ENDPOINT("10.0.0.1", "'ready':true") "," KIT_ENDPOINT("10.0.0.2", "")));
}

/* "a", the service of the first target; "404", "503" */
static const char *found(struct kit *k, const char *host, const char *path)
{
	const struct ing_route *r = ing_model_match(&k->m, sv_from(host), sv_from(path));
	struct sv key;

	if (!r)
		return "404";
	if (!r->targets[0].backend)
		return "503";
	key = sv_sub(r->targets[0].backend->key, 2, SIZE_MAX);
	return arena_strndup(&k->a, key.p, (size_t)sv_find(key, ':'));
}

static void test_precedence(_unused_ void **state)
{
	static const char *const rows[][3] = {
		{ "x.org", "/", "a" },	      { "x.org", "/foo", "c" },	   { "x.org", "/foo/", "b" },
		{ "x.org", "/foo/bar", "b" }, { "x.org", "/foobar", "a" }, { "y.x.org", "/", "c" },
		{ "z.y.x.org", "/", "404" },  { "x.org.", "/", "404" },	   { "other", "/any/x", "b" },
		{ "other", "/anyx", "404" },  { "y.x.org", "/any", "c" },
	};
	struct kit k = { .m = { 0 } };

	services(&k);
	kit_add(&k,
		KIT_INGRESS("one", "1", "",
			    KIT_RULE("x.org",
				     KIT_PATH("/", "Prefix", "a") "," KIT_PATH("/foo/", "Prefix", "b") "," KIT_PATH(
					 "/foo", "Exact", "c")) "," KIT_RULE("*.x.org", KIT_PATH("/", "Prefix", "c"))));
	kit_add(&k, KIT_INGRESS("any", "2", "",
				"{'http':{'paths':[" KIT_PATH("/any", "ImplementationSpecific", "b") "]}}"));
	kit_model(&k);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(found(&k, rows[i][0], rows[i][1]), rows[i][2]) != 0)
			fail_msg("%s%s leads to %s, not %s", rows[i][0], rows[i][1], found(&k, rows[i][0], rows[i][1]),
				 rows[i][2]);
	assert_string_equal(buf_cstr(&k.said), "");
	kit_add(&k, "{'kind':'Ingress','metadata':{'namespace':'d','name':'back','creationTimestamp':'2026-01-03T00:00:"
		    "00Z'},'spec':{"
		    "'defaultBackend':{'service':{'name':'c','port':{'name':'web'}}}}}");
	kit_model(&k);
	assert_string_equal(found(&k, "z.y.x.org", "/"), "c");
	assert_string_equal(found(&k, "x.org", "/"), "a");
	kit_release(&k);
}

static void test_conflicts(_unused_ void **state)
{
	struct kit k = { .m = { 0 } };

	services(&k);
	kit_add(&k, KIT_INGRESS("young", "5", "", KIT_RULE("x.org", KIT_PATH("/", "Prefix", "b"))));
	kit_add(&k, KIT_INGRESS("old", "2", "", KIT_RULE("x.org", KIT_PATH("/", "Prefix", "a"))));
	kit_model(&k);
	assert_int_equal(k.m.n_routes, 1);
	assert_string_equal(found(&k, "x.org", "/"), "a");
	assert_string_equal(buf_cstr(&k.said), "young: x.org/ is served by ingress d/old, which is older\n");
	kit_release(&k);
}

/* Of two namespaces the older one's Ingress has more rules than there are routes. */
static void test_room_for_others(_unused_ void **state)
{
	struct kit k = { .m = { 0 } };
	struct buf b = BUF_INIT;

	services(&k);
	for (unsigned i = 0; i < 21000; i++)
		buf_printf(
		    &b, "%s{'path':'/%u','pathType':'Exact','backend':{'service':{'name':'a','port':{'number':80}}}}",
		    i ? "," : "", i);
	kit_add(&k, arena_printf(&k.a,
				 "{'kind':'Ingress','metadata':{'name':'greedy','namespace':'old','creationTimestamp':"
				 "'2020-01-01T00:00:00Z'},'spec':{'rules':[{'host':'g.org','http':{'paths':[%s]}}]}}",
				 buf_cstr(&b)));
	buf_release(&b);
	kit_add(&k, KIT_INGRESS("young", "5", "", KIT_RULE("x.org", KIT_PATH("/", "Prefix", "b"))));
	kit_model(&k);
	assert_int_equal(k.m.n_routes, 5001);
	assert_string_equal(found(&k, "x.org", "/"), "b");
	assert_non_null(strstr(buf_cstr(&k.said), "greedy: there are more routes than HAProxy is given here"));
	kit_release(&k);
}

static void test_classes(_unused_ void **state)
{
	static const char *const specs[] = { "'ingressClassName':'caravel'", "'ingressClassName':'foreign'",
					     "'ingressClassName':'nosuch'", "'rules':[]" };
	static const bool ours[] = { true, false, false, true };
	struct kit k = { .m = { 0 } };
	struct ing_source s;

	kit_add(&k, KIT_CLASS);
	kit_add(&k, "{'kind':'IngressClass','metadata':{'name':'foreign'},'spec':{'controller':'example.org/x'}}");
	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		kit_add(&k, arena_printf(&k.a, "{'kind':'Ingress','metadata':{'namespace':'d','name':'i'},'spec':{%s}}",
					 specs[i]));
	kit_add(&k, "{'kind':'Ingress','metadata':{'namespace':'d','name':'i','annotations':{'kubernetes.io/"
		    "ingress.class':'nginx'}},'spec':{}}");
	s = kit_source(&k);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		assert_int_equal(ingress_is_ours(s.classes, obj_root(k.ingresses.p[i])), ours[i]);
	assert_false(ingress_is_ours(s.classes, obj_root(k.ingresses.p[ARRAY_LEN(ours)])));
	k.classes.n = 0;
	s = kit_source(&k);
	assert_false(ingress_is_ours(s.classes, obj_root(k.ingresses.p[3])));
	kit_release(&k);
}

static void test_endpoints(_unused_ void **state)
{
	struct kit k = { .m = { 0 } };
	const struct ing_backend *b;

	services(&k);
	kit_add(&k,
		KIT_SLICE("a", "a2",
			  KIT_ENDPOINT("10.0.0.2", "'ready':true") "," KIT_ENDPOINT(
			      "10.0.0.3",
			      "'ready':false,'serving':true,'"
			      "terminating':true") "," KIT_ENDPOINT("10.0.0.4",
								    "'ready':false") "," KIT_ENDPOINT("nonsense",
												      "'ready':true")));
	kit_add(&k, KIT_SLICE("b", "b1", KIT_ENDPOINT("10.0.0.9", "'ready':false,'serving':true,'terminating':true")));
	kit_add(&k, "{'kind':'Service','metadata':{'namespace':'d','name':'x'},'spec':{'type':'ExternalName','"
		    "externalName':'up.example.'}}");
	kit_add(&k, "{'kind':'Service','metadata':{'namespace':'d','name':'l'},'spec':{'type':'ExternalName','"
		    "externalName':'localhost'}}");
	kit_add(&k, "{'kind':'Service','metadata':{'namespace':'d','name':'n'},'spec':{'type':'ExternalName','"
		    "externalName':'127.0.0.1'}}");
	kit_add(&k, KIT_INGRESS(
			"i", "1", "",
			KIT_RULE("x.org",
				 KIT_PATH("/a", "Prefix", "a") "," KIT_PATH("/b", "Prefix", "b") "," KIT_PATH(
				     "/x", "Prefix",
				     "x") "," KIT_PATH("/l", "Prefix",
						       "l") "," KIT_PATH("/n", "Prefix",
									 "n") "," KIT_PATH("/g", "Prefix", "gone"))));
	kit_model(&k);
	b = k.m.routes[0].targets[0].backend;
	assert_int_equal(b->n, 3);
	assert_string_equal(ip_text(b->endpoints[2].ip).s, "10.0.0.3");
	assert_true(b->endpoints[2].draining);
	assert_false(b->endpoints[0].draining);
	assert_int_equal(b->endpoints[0].port, 8080);
	b = k.m.routes[1].targets[0].backend;
	assert_int_equal(b->n, 1);
	assert_false(b->endpoints[0].draining); /* there is nobody else */
	assert_sv(k.m.routes[2].targets[0].backend->external, "up.example");
	assert_int_equal(k.m.routes[3].targets[0].backend->external.n, 0);
	assert_int_equal(k.m.routes[4].targets[0].backend->external.n, 0);
	assert_non_null(strstr(buf_cstr(&k.said), "i: service d/gone:80 is not there: it answers 503\n"));
	assert_non_null(
	    strstr(buf_cstr(&k.said), "service d/l:80 has an externalName that is no name of another machine"));
	kit_release(&k);
}

static void test_canary(_unused_ void **state)
{
	struct kit k = { .m = { 0 } };

	services(&k);
	/* older than what it stands beside */
	kit_add(&k, KIT_INGRESS("canary", "1", "'" KIT_N "canary':'true','" KIT_N "canary-weight':'20'",
				KIT_RULE("x.org", KIT_PATH("/", "Prefix", "b") "," KIT_PATH("/none", "Prefix", "b"))));
	kit_add(&k, KIT_INGRESS("main", "2", "", KIT_RULE("x.org", KIT_PATH("/", "Prefix", "a"))));
	kit_model(&k);
	assert_int_equal(k.m.n_routes, 1);
	assert_int_equal(k.m.routes[0].n_targets, 2);
	assert_int_equal(k.m.routes[0].targets[0].weight, 80);
	assert_int_equal(k.m.routes[0].targets[1].weight, 20);
	assert_string_equal(buf_cstr(&k.said), "canary: canary for x.org/none/: no other ingress serves it\n");
	kit_release(&k);
}

static void test_protection_closes(_unused_ void **state)
{
	static const char *const rows[] = {
		"'" KIT_N "auth-type':'basic'",
		"'" KIT_N "auth-type':'basic','" KIT_N "auth-secret':'nosuch'",
		"'" KIT_N "auth-type':'basic','" KIT_N "auth-secret':'other/users'",
		"'" KIT_N "auth-type':'other'",
		"'" KIT_N "whitelist-source-range':'all'",
		"'" KIT_N "auth-url':'https://auth.example/validate'",
		"'" KIT_N "auth-tls-secret':'d/ca'",
		"'" KIT_N "enable-global-auth':'true'",
		"'traefik.ingress.kubernetes.io/router.middlewares':'d-auth@kubernetescrd'",
		"'traefik.ingress.kubernetes.io/router.tls.options':'d-mtls@kubernetescrd'",
		"'haproxy.org/client-ca':'d/ca'",
		"'ingress.kubernetes.io/whitelist-source-range':'10.0.0.0/8'",
		"'nginx.org/basic-auth-secret':'users'",
		"'konghq.com/plugins':'key-auth'",
		"'alb.ingress.kubernetes.io/inbound-cidrs':'10.0.0.0/8'",
	};
	/* What is unknown and keeps nobody out, or is switched off, or means nothing to a controller. */
	static const char *const open[] = {
		"'" KIT_N "server-snippet':'proxy_ssl_verify off;'",
		"'" KIT_N "enable-global-auth':'false'",
		"'" KIT_N "auth-tls-verify-client':'off'",
		"'konghq.com/strip-path':'true'",
		"'cert-manager.io/auth':'x'",
		"'" KIT_N "auth-realm':'nobody asks'",
	};
	struct kit k = { .m = { 0 } };

	services(&k);
	kit_add(&k, "{'kind':'Secret','metadata':{'namespace':'other','name':'users'},'data':{'auth':'YTpi'}}");
	for (size_t i = 0; i < ARRAY_LEN(rows) + ARRAY_LEN(open); i++)
		kit_add(&k, arena_printf(&k.a,
					 "{'kind':'Ingress','metadata':{'namespace':'d','name':'i%02zu','annotations':"
					 "{%s}},'spec':{'rules':["
					 "{'host':'h%02zu','http':{'paths':[" KIT_PATH("/", "Prefix", "a") "]}}]}}",
					 i, i < ARRAY_LEN(rows) ? rows[i] : open[i - ARRAY_LEN(rows)], i));
	kit_model(&k);
	assert_int_equal(k.m.n_routes, ARRAY_LEN(rows) + ARRAY_LEN(open));
	for (size_t i = 0; i < k.m.n_routes; i++) {
		size_t at = (size_t)atoi(k.m.routes[i].host.p + 1);
		bool closes = k.m.routes[i].filters && k.m.routes[i].filters->refused;

		if (closes != (at < ARRAY_LEN(rows)))
			fail_msg("%s %s", at < ARRAY_LEN(rows) ? rows[at] : open[at - ARRAY_LEN(rows)],
				 closes ? "closes" : "lets in");
	}
	assert_non_null(
	    strstr(buf_cstr(&k.said), "auth-url has no effect: it is not one that is known here, and as it"));
	kit_release(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_precedence),	  cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_room_for_others),	  cmocka_unit_test(test_classes),
		cmocka_unit_test(test_endpoints),	  cmocka_unit_test(test_canary),
		cmocka_unit_test(test_protection_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
