/* Gates as HAProxy is given them: which come after which, in which order those of a place are asked, and that texts are
 * values. Whether its Lua does what they say is in tests/e2e/test_gateway.py. */
#include "gates_kit.h"

#include "base/file.h"
#include "base/tree.h"
#include "ev/ev.h"
#include "ingress/command.h"
#include "ingress/gate_lua.h"
#include "ingress/gate_rule.h"

#include <unistd.h>

/* A place goes on to the nearest that its path is below, of its own host and port. */
static void test_chains(_unused_ void **state)
{
	struct rig r = rig_new();
	struct ing_conf c;

	rig_add(&r, ROUTE("HTTPRoute", "r", ",'hostnames':['x.org']",
			  "{'matches':[{" PATH("PathPrefix", "/") "},{" PATH("PathPrefix", "/a/b/") "},{" PATH(
			      "Exact", "/a/b") "},{" PATH("PathPrefix",
							  "/a/bc") "},{" PATH("Exact", "/a/b/c") "}]," BACK("a") "}"));
	rig_add(&r, ROUTE("HTTPRoute", "s", "", "{'matches':[{" PATH("PathPrefix", "/a") "}]," BACK("a") "}"));
	rig_render(&r, &c);
	assert_sv(c.maps[ING_MAP_GATES],
		  "e8080|*|x.org/a/b/c| c6\ne8080|*|x.org/a/b| c4\n" LISTENERS
		  "p8080|*|*/a/ c7\np8080|*|x.org/ c1\np8080|*|x.org/a/b/ c3\np8080|*|x.org/a/bc/ c5\n");
	assert_sv(c.maps[ING_MAP_VALUES],
		  "c1 1\nc1.1 b:b2=1\nc3 1 c1\nc3.1 b:b2=1\nc4 1 c3\nc4.1 b:b2=1\nc5 1 c1\nc5.1 b:b2=1\n"
		  "c6 1 c3\nc6.1 b:b2=1\nc7 1\nc7.1 b:b2=1\n");
	rig_end(&r);
}

/* Upstream's: method, headers, query, then who is older and comes first. */
static void test_order(_unused_ void **state)
{
	struct rig r = rig_new();
	struct ing_conf c;

	rig_add(&r, ROUTE("HTTPRoute", "r", "",
			  "{'matches':[{},{'queryParams':[{'name':'q','value':'1'}]},{'headers':[{'name':'A','value':'"
			  "x y'},{'name':'a',"
			  "'value':'z'}]},{'method':'GET'}]," BACK("a") "}"));
	rig_add(&r,
		ROUTE("HTTPRoute", "s", "",
		      "{'matches':[{'headers':[{'name':'b','value':'1'},{'name':'c','value':'|'}]}]," BACK("b") "}"));
	rig_render(&r, &c);
	assert_sv(c.maps[ING_MAP_GATES], LISTENERS "p8080|*|*/ c1\n");
	assert_sv(c.maps[ING_MAP_VALUES], "c1 5\nc1.1 b:b2=1 m:GET\nc1.2 b:b3=1 h:b:1 h:c:%7C\nc1.3 b:b2=1 h:a:x%20y\n"
					  "c1.4 b:b2=1 q:q:1\nc1.5 b:b2=1\n");
	rig_end(&r);
}

/* What changes a match or a weight changes maps alone; another filter does not go by commands. */
static void test_changes(_unused_ void **state)
{
	static const char *const rules[] = {
		"{'matches':[{" PATH(
		    "Exact", "/a") "}],'backendRefs':[{'name':'a','port':80,'weight':1},{'name':'b','port':80}]}",
		"{'matches':[{" PATH(
		    "Exact",
		    "/b") ",'method':'PUT'}],'backendRefs':[{'name':'a','port':80,'weight':9},{'name':'b','port':80}]}",
		"{'matches':[{" PATH("Exact", "/b") "}],'timeouts':{'request':'1s'},'backendRefs':[{'name':'a','port':"
						    "80},{'name':'b','port':80}]}",
	};
	struct rig r = rig_new();
	struct ing_conf was, is;

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		_cleanup_free_ char *text = xasprintf(ROUTE("HTTPRoute", "r", "", "%s"), rules[i]);
		struct ing_steps steps;

		r.objects[GW_HTTPROUTES].n = 0;
		rig_add(&r, text);
		rig_render(&r, &is);
		if (i)
			assert_int_equal(ing_steps_between(&r.k.a, &was, &is, &steps), i == 1);
		was = is;
	}
	rig_end(&r);
}

/* The text with each %s of it replaced. */
static char *fill(const char *text, const char *with)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (; *text; text++)
		if (text[0] == '%' && text[1] == 's') {
			buf_adds(&b, with);
			text++;
		} else {
			buf_addc(&b, *text);
		}
	return xasprintf("%s", buf_cstr(&b));
}

/* What is said to be accepted is served, all of it, and what is refused is not. */
static void test_accepted_is_served(_unused_ void **state)
{
	static const char label[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const struct {
		const char *host, *rule;
		size_t gates; /* 0: refused */
	} cases[] = {
		{ "a.org", "", 1 },
		{ "%s.org", "", 1 },
		{ "a%s.org", "", 0 },
		{ "a.org", "'matches':[{'method':'PUT'},{'path':{'type':'Exact','value':'/a%2'}}]", 2 },
		{ "a.org", "'matches':[{'method':'P T'}]", 0 },
		{ "a.org", "'matches':[{'path':{'type':'Exact','value':'/a '}}]", 0 },
		{ "a.org", "'filters':[{'type':'URLRewrite','urlRewrite':{'hostname':'%s.org'}}]", 1 },
		{ "a.org", "'filters':[{'type':'URLRewrite','urlRewrite':{'hostname':'a%s.org'}}]", 0 },
		{ "a.org", "'filters':[{'type':'RequestRedirect','requestRedirect':{'hostname':'%s.org'}}]", 1 },
		{ "a.org", "'filters':[{'type':'RequestRedirect','requestRedirect':{'hostname':'a%s.org'}}]", 0 },
		{ "a.org", "'filters':[{'type':'CORS','cors':{'allowOrigins':['http://%s','http://b']}}]", 1 },
		{ "a.org", "'filters':[{'type':'CORS','cors':{'allowOrigins':['http://a','http://b c']}}]", 0 },
		{ "a.org", "'filters':[{'type':'ExternalAuth'}]", 0 },
	};
	struct rig r = rig_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_free_ char *host = fill(cases[i].host, label), *rule = fill(cases[i].rule, label);
		_cleanup_free_ char *text =
		    xasprintf(ROUTE("HTTPRoute", "r", ",'hostnames':['%s']", "{%s%s" BACK("a") "}"), host, rule,
			      rule[0] ? "," : "");
		const struct ing_filters *t;
		struct ing_conf c;

		r.objects[GW_HTTPROUTES].n = 0;
		rig_add(&r, text);
		rig_render(&r, &c);
		if (r.accepted != (cases[i].gates > 0) || r.k.m.n_gates != cases[i].gates)
			fail_msg("%s: accepted %d, %zu gates", text, r.accepted, r.k.m.n_gates);
		if (!cases[i].gates)
			continue;
		assert_sv(r.k.m.gates[0].host, host);
		t = r.k.m.gates[0].targets[0].filters;
		assert_int_equal(strstr(rule, "urlRewrite") != NULL, t->vhost.n > 0);
		assert_int_equal(strstr(rule, "requestRedirect") != NULL, t->gate->host.n > 0);
		assert_int_equal(strstr(rule, "http://b'") != NULL, sv_ends(t->gate->cors_origins, SV(" http://b")));
	}
	rig_end(&r);
}

static void test_durations(_unused_ void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = { { "500ms", 500 },	 { "1h1m1s1ms", 3661001 },
		      { "0s", 0 },	 { "0h0m0s0ms", 0 },
		      { "", -1 },	 { "10", -1 },
		      { "1d", -1 },	 { "s", -1 },
		      { "999999s", -1 }, { "99999h99999h99999h", INT64_C(86400000) },
		      { "1m", 60000 },	 { "99999h", INT64_C(86400000) } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(ing_gate_duration_ms(sv_from(cases[i].text)), cases[i].ms);
}

/* Zero is not nothing: upstream turns the timeout off. */
static void test_timeouts(_unused_ void **state)
{
	static const struct {
		const char *timeouts, *line;
	} cases[] = {
		{ "", "  timeout server 60s\n" },
		{ ",'timeouts':{}", "  timeout server 60s\n" },
		{ ",'timeouts':{'request':'0s'}", "  timeout server 86400000ms\n" },
		{ ",'timeouts':{'backendRequest':'0ms'}", "  timeout server 86400000ms\n" },
		{ ",'timeouts':{'request':'0s','backendRequest':'0s'}", "  timeout server 86400000ms\n" },
		{ ",'timeouts':{'request':'0s','backendRequest':'5s'}", "  timeout server 5000ms\n" },
		{ ",'timeouts':{'request':'7s','backendRequest':'0s'}", "  timeout server 7000ms\n" },
		{ ",'timeouts':{'request':'7s','backendRequest':'5s'}", "  timeout server 5000ms\n" },
		{ ",'timeouts':{'request':'7s'}", "  timeout server 7000ms\n" },
	};
	struct rig r = rig_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_free_ char *text =
		    xasprintf(ROUTE("HTTPRoute", "r", "", "{" BACK("a") "%s}"), cases[i].timeouts);
		struct ing_conf c;
		ssize_t at;

		r.objects[GW_HTTPROUTES].n = 0;
		rig_add(&r, text);
		rig_render(&r, &c);
		at = sv_find_sv(c.config, SV("\nbackend b"));
		assert_true(at >= 0);
		assert_true(sv_find_sv(c.config, SV("\n  timeout client 60s\n")) > 0); /* all hosts' */
		if (sv_find_sv(sv_sub(c.config, (size_t)at, c.config.n), sv_from(cases[i].line)) < 0)
			fail_msg("%s: no %s in %.*s", cases[i].timeouts, cases[i].line, SV_ARG(c.config));
	}
	rig_end(&r);
}

/* The program itself, too. */
static void test_haproxy_takes_it(_unused_ void **state)
{
	static const char *const argv[] = { "/usr/sbin/haproxy", "-c", "-f", "haproxy.cfg", NULL };
	char dir[] = "/tmp/test-gates-XXXXXX";
	struct rig r = rig_new();
	struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf out = BUF_INIT, errout = BUF_INIT;
	struct ing_conf c;
	int status = -1;

	if (access(argv[0], X_OK) < 0) {
		rig_end(&r);
		skip();
	}
	rig_add(&r, ROUTE("HTTPRoute", "r", "",
			  "{'matches':[{" PATH("PathPrefix", "/p") "}]," BACK(
			      "a") ",'timeouts':{'request':'10ms'},'filters':["
				   "{'type':'RequestHeaderModifier','requestHeaderModifier':{'set':[{'name':'A','value'"
				   ":'%[x] \\\" #'}],"
				   "'add':[{'name':'B','value':'1'}],'remove':['C']}},"
				   "{'type':'ResponseHeaderModifier','responseHeaderModifier':{'set':[{'name':'A','"
				   "value':'b'}],'remove':['C']}},"
				   "{'type':'URLRewrite','urlRewrite':{'hostname':'n.org','path':{'type':'"
				   "ReplacePrefixMatch','replacePrefixMatch':'/'}}},"
				   "{'type':'CORS','cors':{'allowOrigins':['*'],'allowMethods':['*'],'allowHeaders':['"
				   "x'],'exposeHeaders':['y'],"
				   "'allowCredentials':true,'maxAge':3}}]},"
				   "{'filters':[{'type':'RequestRedirect','requestRedirect':{'scheme':'https','"
				   "statusCode':308}}]}"));
	rig_add(&r, ROUTE("GRPCRoute", "g", "",
			  "{'matches':[{'method':{'service':'a.B','method':'C'}},{'method':{'method':'D'}}]," BACK(
			      "a") "}"));
	rig_add(&r, ROUTE("TLSRoute", "t", ",'hostnames':['t.org']", "{" BACK("a") "}"));
	rig_render(&r, &c);
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < ING_MAPS; i++)
		assert_int_equal(
		    file_write_again(arena_printf(&r.k.a, "%s/%s", dir, ing_map_names[i]), c.maps[i], 0600, &err), 0);
	assert_int_equal(file_write_again(arena_printf(&r.k.a, "%s/haproxy.cfg", dir), c.config, 0600, &err), 0);
	assert_int_equal(
	    file_write_again(arena_printf(&r.k.a, "%s/" ING_GATE_LUA, dir), sv_from(ing_gate_lua), 0600, &err), 0);
	assert_int_equal(
	    child_run(
		&(struct child_opts){ .argv = argv, .cwd = dir, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
		60 * NS_PER_SEC, 1 << 16, &out, &errout, &status, &err),
	    0);
	if (status || errout.n)
		fail_msg("%s%s", buf_cstr(&out), buf_cstr(&errout));
	assert_int_equal(tree_remove(dir, &err), 0);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chains),		cmocka_unit_test(test_order),

		cmocka_unit_test(test_changes),		cmocka_unit_test(test_accepted_is_served),
		cmocka_unit_test(test_durations),	cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_haproxy_takes_it)
	};

	return cmocka_run_group_tests_name("ingress_gates", tests, NULL, NULL);
}
