/* What HAProxy reads and is told; where it is installed, whether it takes all of it. */
#include "ingress_kit.h"

#include "base/file.h"
#include "ev/ev.h"
#include "ingress/apr1.h"
#include "ingress/annotations.h"
#include "ingress/command.h"
#include "net/tls.h"

#include <unistd.h>

#define ALL                                                                                                            \
	"'" KIT_N "affinity':'cookie','" KIT_N "session-cookie-max-age':'60','" KIT_N "enable-cors':'true','" KIT_N    \
	"cors-allow-origin':'%[src] \\\"x\\\" ${HOME}','" KIT_N "auth-type':'basic','" KIT_N                           \
	"auth-secret':'users','" KIT_N "auth-realm':'a \\\"b\\\" \\u0027c\\u0027 %[src] ; }','" KIT_N                  \
	"limit-rps':'5','" KIT_N "limit-rpm':'9','" KIT_N "limit-connections':'3','" KIT_N                             \
	"whitelist-source-range':'10.0.0.0/8,fd00::/8','" KIT_N "denylist-source-range':'10.1.0.0/16','" KIT_N         \
	"proxy-body-size':'8m','" KIT_N "app-root':'/x%20y','" KIT_N "rewrite-target':'/$2','" KIT_N                   \
	"force-ssl-redirect':'true','" KIT_N "upstream-vhost':'in.example','" KIT_N "x-forwarded-prefix':'/p','" KIT_N \
	"load-balance':'least_conn','" KIT_N "proxy-read-timeout':'300'"

static void fill(struct kit *k)
{
	kit_add(k, KIT_CLASS);
	kit_add(k, KIT_SERVICE("a"));
	kit_add(k, KIT_SERVICE("b"));
	kit_add(k, "{'kind':'Service','metadata':{'namespace':'d','name':'x'},'spec':{'type':'ExternalName','"
		   "externalName':'up.example'}}");
	/* ann:$1$abc$..., bob:$apr1$abc$... */
	kit_add(k,
		"{'kind':'Secret','metadata':{'namespace':'d','name':'users'},'data':{'auth':'"
		"YW5uOiQxJGFiYyRhYmNkZWZnaGlqa2xtbm9wcXJzdHV2CmJvYjokYXByMSRhYmMkYWJjZGVmZ2hpamtsbW5vcHFyc3R1dg=='}}");
	kit_add(k, KIT_SLICE("a", "a1", KIT_ENDPOINT("10.0.0.1", "") "," KIT_ENDPOINT("10.0.0.2", "")));
	kit_add(k, KIT_INGRESS(
		       "plain", "1", "",
		       KIT_RULE("x.org", KIT_PATH("/", "Prefix", "a") "," KIT_PATH("/y", "Exact", "b")) "," KIT_RULE(
			   "*.x.org", KIT_PATH("/", "Prefix", "a"))));
	kit_add(
	    k, KIT_INGRESS("all", "2", ALL, KIT_RULE("y.org", KIT_PATH("/q(/|$)(.*)", "ImplementationSpecific", "a"))));
	kit_add(k, KIT_INGRESS("h2", "2", "'" KIT_N "backend-protocol':'GRPC'",
			       KIT_RULE("g.org", KIT_PATH("/", "Prefix", "a"))));
	kit_add(k, KIT_INGRESS("ssl", "2", "'" KIT_N "backend-protocol':'HTTPS'",
			       KIT_RULE("s.org", KIT_PATH("/", "Prefix", "x"))));
	kit_add(k, KIT_INGRESS("ssl2", "2",
			       "'" KIT_N "backend-protocol':'GRPCS','" KIT_N "permanent-redirect':'https://n.org/'",
			       KIT_RULE("s2.org", KIT_PATH("/", "Prefix", "a"))));
	kit_add(k, KIT_INGRESS("canary", "3",
			       "'" KIT_N "canary':'true','" KIT_N "canary-weight':'20','" KIT_N
			       "canary-by-header':'X-C','" KIT_N "canary-by-header-value':'v 1','" KIT_N
			       "canary-by-cookie':'cc'",
			       KIT_RULE("x.org", KIT_PATH("/", "Prefix", "b"))));
	kit_model(k);
}

static const struct ing_listen both = {
	.http_port = 8080, .https_port = 8443, .v6 = true, .name_servers = true, .threads = 1, .max_connections = 100
};

static void render(struct kit *k, struct ing_names *names, struct ing_conf *c)
{
	ing_render(&k->a, names, &k->m, &both, c);
}

/* Names of ours and numbers; texts of users in the map of values alone. */
static void test_text(_unused_ void **state)
{
	static const char *const texts[] = { "HOME", "bob",	   "x.org",    "y.org", "n.org",    "x%20y",
					     "v 1",  "in.example", "realm; }", "d/a",	"https://n" };
	struct kit k = { .m = { 0 } };
	struct ing_names names = { .next = 0 };
	struct ing_conf c;

	fill(&k);
	render(&k, &names, &c);
	assert_string_equal(buf_cstr(&k.said), "");
	assert_sv(c.maps[ING_MAP_EXACT], "x.org/y b2\n");
	assert_sv(c.maps[ING_MAP_PREFIX], "*.x.org/ b1\ng.org/ b5\ns.org/ b6\ns2.org/ b7\nx.org/ s3\ny.org/q/ b4\n");
	assert_sv(c.maps[ING_MAP_VALUES], "b4.headers "
					  "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,"
					  "Content-Type,Range,Authorization\n"
					  "b4.host in.example\n"
					  "b4.methods GET, PUT, POST, DELETE, PATCH, OPTIONS\n"
					  "b4.origin %[src] \"x\" ${HOME}\n"
					  "b4.path /\n"
					  "b4.prefix /p\n"
					  "b4.realm a \"b\" 'c' %[src] ; }\n"
					  "b4.root /x%20y\n"
					  "b4.user.bob $apr1$abc$abcdefghijklmnopqrstuv\n"
					  "b7.redirect https://n.org/\n"
					  "s3.v1 v 1\n"
					  "s3.w1 200000\n");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (sv_find_sv(c.config, sv_from(texts[i])) >= 0)
			fail_msg("'%s' is in the configuration", texts[i]);
	assert_true(sv_find_sv(c.config, SV("  server e1 10.0.0.1:8080 weight 1\n")) > 0);
	assert_true(sv_find_sv(c.config, SV("  http-request do-resolve(txn.to,host) str(up.example)\n")) > 0);
	assert_true(
	    sv_find_sv(c.config, SV("status 503 if { var(txn.to) -m ip 0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 ")) > 0);
	assert_true(sv_find_sv(c.config, SV("  server e1 0.0.0.0:80 ssl verify none\n")) > 0);
	assert_int_equal(sv_find_sv(c.shape, SV("10.0.0.1")), -1);
	kit_release(&k);
	ing_names_release(&names);
}

/* A model that nobody judged: what may not stand somewhere does not, and is counted; the rest is there. */
static void test_unjudged(_unused_ void **state)
{
	struct ing_certificate certificates[] = {
		{ SV("d/good"), SV("-----BEGIN\n") },
		{ SV("d/none"), SV("-----BEGIN\n") }, /* nor for the names that it has itself */
		{ SV("d/pem"), SV("-----BEGIN\n\nshow info\n") },
		{ SV("d/any"), SV("-----BEGIN\n") },
	};
	struct ing_shown shown[] = {
		{ 0, SV("b.org"), 0, NULL },	  { 0, SV("a.org\nevil.pem"), 0, NULL }, { 0, SV("!c.org"), 0, NULL },
		{ 0, SV("d.org evil"), 1, NULL }, { 0, SV("e.org"), 2, NULL },		 { 0, SV(""), 3, NULL },
		{ 9443, SV("f.org"), 1, NULL },
	};
	struct ing_header headers[] = { { SV("X-A"), SV("fine") },
					{ SV("Connection"), SV("close") },
					{ SV("X-B"), SV("a\nb") },
					{ SV("X C"), SV("x") } };
	struct ing_user users[] = { { SV("u"), SV("x' evil") }, { SV("v\n"), SV("$1$abc$abcdefghijklmnopqrstuv") } };
	struct ing_gate_filters gate = { .id = SV("id"), .request_set = { headers, 4 } };
	struct ing_filters filters = { .auth = true,
				       .realm = SV("r"),
				       .users = users,
				       .n_users = 2,
				       .sticky = true,
				       .cookie = SV("c; evil"),
				       .gate = &gate };
	struct ing_backend external = { .key = SV("d/x:80"), .external = SV("x) evil"), .external_port = 80 };
	struct ing_route routes[] = {
		{ .path = SV("/a"), .filters = &filters, .targets = { { .backend = &external } }, .n_targets = 1 },
		{ .path = SV("/b c"), .filters = &filters, .targets = { { .backend = &external } }, .n_targets = 1 },
	};
	struct ing_model m = { .routes = routes,
			       .n_routes = 2,
			       .certificates = certificates,
			       .n_certificates = 4,
			       .shown = shown,
			       .n_shown = ARRAY_LEN(shown) };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct ing_names names = { .next = 0 };
	struct ing_conf c;

	ing_render(&a, &names, &m, &both, &c);
	assert_int_equal(sv_find_sv(c.config, SV("evil")), -1);
	assert_int_equal(sv_find_sv(c.config, SV("Connection ")), -1);
	assert_true(sv_find_sv(c.config, SV("  http-request set-header X-A ")) > 0);
	assert_true(sv_find_sv(c.config, SV("  http-request return status 503\n")) > 0);
	assert_sv(c.maps[ING_MAP_PREFIX], "*/a/ b1\n");
	assert_sv(c.maps[ING_MAP_VALUES], "b1.qs0 fine\nb1.realm r\n");
	assert_int_equal(c.n_pems, 2);
	assert_int_equal(c.n_lists, 1);
	assert_sv(c.lists[0].file, "crt-list-8443.txt");
	assert_sv(c.lists[0].text, "c2.pem nobody.invalid\n" ING_DEFAULT_PEM "\nc3.pem b.org\n");
	assert_true(c.refused >= 8);
	ing_names_release(&names);
}

/* HAProxy itself, on all that fill() asks for; also with proxies before it. */
static void haproxy_takes(bool proxies)
{
	static const char *const argv[] = { "/usr/sbin/haproxy", "-c", "-f", "haproxy.cfg", NULL };
	static const char *const names_of[] = { "h", NULL };
	struct cert_opts cert = { .common_name = "h",
				  .dns_names = names_of,
				  .not_before_ns = CLOCK_FLOOR_NS,
				  .not_after_ns = INT64_MAX / 2,
				  .server = true };
	char dir[] = "/tmp/test-ingress-XXXXXX";
	struct ing_listen listen = both;
	struct kit k = { .m = { 0 } };
	struct ing_names names = { .next = 0 };
	_cleanup_(buf_release) struct buf out = BUF_INIT, errout = BUF_INIT;
	struct err err = ERR_INIT;
	struct sv pem, key;
	struct ing_conf c;
	int status = -1;

	if (access(argv[0], X_OK) < 0)
		skip();
	fill(&k);
	if (proxies)
		assert_true(ing_nets_parse(&k.a, SV("10.0.0.0/8,192.168.1.1/32,fd00::/8"), &listen.trusted));
	listen.proxy_protocol = proxies;
	ing_render(&k.a, &names, &k.m, &listen, &c);
	assert_int_equal(sv_find_sv(c.config, SV(" acl trusted src 10.0.0.0/8 192.168.1.1/32 fd00::/8\n")) >= 0,
			 proxies);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(cert_make(&k.a, &cert, SV(""), SV(""), &pem, &key, &err), 0);
	for (int i = 0; i < ING_MAPS; i++)
		assert_int_equal(
		    file_write_again(arena_printf(&k.a, "%s/%s", dir, ing_map_names[i]), c.maps[i], 0600, &err), 0);
	assert_int_equal(file_write_again(arena_printf(&k.a, "%s/haproxy.cfg", dir), c.config, 0600, &err), 0);
	assert_int_equal(
	    file_write_again(arena_printf(&k.a, "%s/" ING_APR1_LUA, dir), sv_from(ing_apr1_lua), 0600, &err), 0);
	for (size_t i = 0; i < c.n_lists; i++)
		assert_int_equal(file_write_again(arena_printf(&k.a, "%s/%.*s", dir, SV_ARG(c.lists[i].file)),
						  c.lists[i].text, 0600, &err),
				 0);
	assert_int_equal(file_write_again(arena_printf(&k.a, "%s/" ING_DEFAULT_PEM, dir),
					  arena_svf(&k.a, "%.*s%.*s", SV_ARG(pem), SV_ARG(key)), 0600, &err),
			 0);
	assert_int_equal(
	    child_run(
		&(struct child_opts){ .argv = argv, .cwd = dir, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
		60 * NS_PER_SEC, 1 << 16, &out, &errout, &status, &err),
	    0);
	if (status || errout.n)
		fail_msg("%s%s", buf_cstr(&out), buf_cstr(&errout));
	assert_int_equal(tree_remove(dir, &err), 0);
	kit_release(&k);
	ing_names_release(&names);
}

/* As text, "#" for the version. */
static void test_haproxy_takes_it(_unused_ void **state)
{
	haproxy_takes(false);
	haproxy_takes(true);
}

static const char *steps(struct kit *k, const struct ing_conf *was, const struct ing_conf *is)
{
	struct buf b = BUF_INIT;
	struct ing_steps s;

	if (!ing_steps_between(&k->a, was, is, &s))
		return "anew";
	for (size_t i = 0; i < s.n; i++)
		buf_addsv(&b, s.p[i].text);
	for (size_t i = 0; i < b.n; i++)
		b.p[i] = b.p[i] == ING_VERSION ? '#' : b.p[i];
	arena_defer(&k->a, free, b.p);
	return b.n ? b.p : "";
}

static void test_commands(_unused_ void **state)
{
	struct kit k = { .m = { 0 } };
	struct ing_names names = { .next = 0 };
	struct ing_conf c[6];

	kit_add(&k, KIT_CLASS);
	kit_add(&k, KIT_SERVICE("a"));
	kit_add(&k, KIT_SLICE("a", "a1", KIT_ENDPOINT("10.0.0.1", "") "," KIT_ENDPOINT("10.0.0.2", "")));
	kit_add(&k, KIT_INGRESS("i", "1", "", KIT_RULE("x.org", KIT_PATH("/", "Prefix", "a"))));
	kit_model(&k);
	render(&k, &names, &c[0]);
	kit_model(&k);
	render(&k, &names, &c[1]);
	assert_string_equal(steps(&k, &c[0], &c[1]), "");
	/* One goes, one ends, one comes into the place of the first. */
	k.slices.n = 0;
	kit_add(&k,
		KIT_SLICE("a", "a1",
			  KIT_ENDPOINT("10.0.0.2", "'ready':false,'serving':true,'terminating':true") "," KIT_ENDPOINT(
			      "10.0.0.3", "")));
	kit_model(&k);
	render(&k, &names, &c[2]);
	assert_string_equal(
	    steps(&k, &c[1], &c[2]),
	    "set server b1/e1 state maint;set server b1/e1 addr 10.0.0.3 port 8080;set server b1/e1 weight 1;"
	    "set server b1/e1 state ready;set server b1/e2 weight 0\n");
	/* Another host for the same section. */
	kit_add(&k, KIT_INGRESS("j", "2", "", KIT_RULE("z.org", KIT_PATH("/", "Exact", "a"))));
	kit_model(&k);
	render(&k, &names, &c[3]);
	assert_string_equal(steps(&k, &c[2], &c[3]), "add map exact.map <<\nz.org/ b1\n\n");
	/* One that goes: all of the map, in one instant. */
	assert_string_equal(steps(&k, &c[3], &c[2]), "prepare map exact.map\ncommit map @# exact.map\n");
	/* Other filters: another section. */
	kit_add(&k, KIT_INGRESS("l", "3", "'" KIT_N "app-root':'/x'", KIT_RULE("l.org", KIT_PATH("/", "Prefix", "a"))));
	kit_model(&k);
	render(&k, &names, &c[4]);
	assert_string_equal(steps(&k, &c[3], &c[4]), "anew");
	kit_release(&k);
	ing_names_release(&names);
}

/* Of a state that has to be read: what it says of servers that are there already. */
static void test_endpoints_meanwhile(_unused_ void **state)
{
	struct kit k = { .m = { 0 } };
	struct ing_names names = { .next = 0 };
	struct ing_steps s;
	struct ing_conf c[3];

	kit_add(&k, KIT_CLASS);
	for (int i = 0; i < 2; i++)
		kit_add(&k, i ? KIT_SERVICE("b") : KIT_SERVICE("a"));
	kit_add(&k, KIT_SLICE("a", "a1", KIT_ENDPOINT("10.0.0.1", "") "," KIT_ENDPOINT("10.0.0.2", "")));
	kit_add(&k, KIT_INGRESS("i", "1", "", KIT_RULE("x.org", KIT_PATH("/", "Prefix", "a"))));
	kit_model(&k);
	render(&k, &names, &c[0]);
	k.slices.n = 0;
	kit_add(&k, KIT_SLICE("a", "a1", KIT_ENDPOINT("10.0.0.2", "")));
	kit_add(&k, KIT_INGRESS("j", "2", "", KIT_RULE("y.org", KIT_PATH("/", "Prefix", "b"))));
	kit_model(&k);
	render(&k, &names, &c[1]);
	assert_string_equal(steps(&k, &c[0], &c[1]), "anew");
	ing_steps_endpoints(&k.a, &c[0], &c[1], &s);
	assert_int_equal(s.n, 1);
	assert_sv(s.p[0].text, "set server b1/e1 state maint\n");
	ing_steps_endpoints(&k.a, &c[0], &c[1], &s); /* known from now on */
	assert_int_equal(s.n, 0);
	/* Back to the first: what was told is taken back. */
	k.slices.n = 0;
	k.ingresses.n--;
	kit_add(&k, KIT_SLICE("a", "a1", KIT_ENDPOINT("10.0.0.1", "") "," KIT_ENDPOINT("10.0.0.2", "")));
	kit_model(&k);
	render(&k, &names, &c[2]);
	assert_string_equal(
	    steps(&k, &c[0], &c[2]),
	    "set server b1/e1 addr 10.0.0.1 port 8080;set server b1/e1 weight 1;set server b1/e1 state ready\n");
	kit_release(&k);
	ing_names_release(&names);
}

#define CANARY(weight)                                                                                              \
	KIT_INGRESS("c", "3", "'" KIT_N "canary':'true','" KIT_N "canary-weight':'" weight "'",                     \
		    KIT_RULE("x.org", KIT_PATH("/", "Prefix", "b") "," KIT_PATH("/y", "Prefix", "b")) "," KIT_RULE( \
			"z.org", KIT_PATH("/", "Prefix", "b")))

/* Weights are values: HAProxy is told them while it runs, all of them in one instant. */
static void test_canary_weights(_unused_ void **state)
{
	struct kit k = { .m = { 0 } };
	struct ing_names names = { .next = 0 };
	struct ing_conf c[4];

	kit_add(&k, KIT_CLASS);
	kit_add(&k, KIT_SERVICE("a"));
	kit_add(&k, KIT_SERVICE("b"));
	kit_add(&k, KIT_INGRESS("i", "1", "",
				KIT_RULE("x.org", KIT_PATH("/", "Prefix", "a") "," KIT_PATH("/y", "Prefix", "a"))));
	kit_add(&k, KIT_INGRESS("j", "2", "", KIT_RULE("z.org", KIT_PATH("/", "Prefix", "a"))));
	kit_add(&k, CANARY("20"));
	kit_model(&k);
	render(&k, &names, &c[0]);
	assert_string_equal(buf_cstr(&k.said), "");
	assert_sv(c[0].maps[ING_MAP_VALUES], "s3.w1 200000\n"); /* one choice for all three */
	k.ingresses.n--;
	kit_add(&k, CANARY("0"));
	kit_model(&k);
	render(&k, &names, &c[1]);
	assert_sv(c[1].maps[ING_MAP_VALUES], "s3.w1 0\n");
	assert_string_equal(steps(&k, &c[0], &c[1]),
			    "prepare map values.map\nadd map @# values.map <<\ns3.w1 0\n\ncommit map @# values.map\n");
	k.ingresses.n--;
	kit_add(&k, CANARY("100"));
	kit_model(&k);
	render(&k, &names, &c[2]);
	assert_sv(c[2].maps[ING_MAP_VALUES], "s3.w1 1000000\n");
	/* Another canary beside another route has a weight of its own. */
	k.ingresses.n--;
	kit_add(&k, KIT_INGRESS("c", "3", "'" KIT_N "canary':'true','" KIT_N "canary-weight':'1'",
				KIT_RULE("x.org", KIT_PATH("/", "Prefix", "b"))));
	kit_add(&k, KIT_INGRESS("d", "3", "'" KIT_N "canary':'true','" KIT_N "canary-weight':'2'",
				KIT_RULE("z.org", KIT_PATH("/", "Prefix", "b"))));
	kit_model(&k);
	render(&k, &names, &c[3]);
	assert_sv(c[3].maps[ING_MAP_VALUES], "s3.w1 10000\ns4.w1 20000\n");
	kit_release(&k);
	ing_names_release(&names);
}

/* What is not meant any more has no name: neither sections, nor choices, nor certificates. */
static void test_names_go(_unused_ void **state)
{
	struct ing_names names = { .next = 0 };
	uint64_t last = 0;

	for (int round = 0; round < 3; round++) {
		struct kit k = { .m = { 0 } };
		struct ing_certificate cert = { .key = SV("d/t"), .pem = SV("x\n") };
		struct ing_shown shown = { .host = SV("x.org") };
		struct ing_conf c;

		fill(&k);
		cert.key = arena_svf(&k.a, "d/t%d", round);
		k.m.certificates = &cert;
		k.m.n_certificates = 1;
		k.m.shown = &shown;
		k.m.n_shown = 1;
		render(&k, &names, &c);
		assert_int_equal(names.numbers.n, 2); /* a choice and a certificate */
		assert_true(names.next > last);
		last = names.next;
		k.m.n_routes = k.m.n_certificates = k.m.n_shown = 0;
		render(&k, &names, &c);
		assert_int_equal(names.numbers.n, 0);
		assert_int_equal(names.sections.n, 0);
		kit_release(&k);
	}
	ing_names_release(&names);
}

static void test_answers(_unused_ void **state)
{
	static const struct {
		enum ing_answer of;
		const char *text;
		bool fine;
	} rows[] = {
		{ ING_ANSWER_EMPTY, "\n", true },
		{ ING_ANSWER_EMPTY, "Unknown map identifier.\n", false },
		{ ING_ANSWER_SERVER,
		  "\nIP changed from '0.0.0.0' to '10.0.0.1', port changed from '1' to '80' by 'stats socket "
		  "command'\n\n",
		  true },
		{ ING_ANSWER_SERVER, "no need to change the addr, no need to change the port\n", true },
		{ ING_ANSWER_SERVER, "\nNo such server.\n", false },
		{ ING_ANSWER_VERSION, "New version created: 12\n", true },
		{ ING_ANSWER_VERSION, "Permission denied\n", false },
		{ ING_ANSWER_SUCCESS, "Committing c1.pem.\nSuccess!\n", true },
		{ ING_ANSWER_SUCCESS, "Can't replace a certificate which is not referenced by the configuration!\n",
		  false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ing_step s = { .answer = rows[i].of };
		uint64_t version = 0;

		if (ing_step_answered(&s, sv_from(rows[i].text), &version) != rows[i].fine)
			fail_msg("%s", rows[i].text);
		assert_true(rows[i].of != ING_ANSWER_VERSION || !rows[i].fine || version == 12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_unjudged),
		cmocka_unit_test(test_haproxy_takes_it),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_endpoints_meanwhile),
		cmocka_unit_test(test_canary_weights),
		cmocka_unit_test(test_names_go),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
