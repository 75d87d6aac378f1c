/* What is noted of requests: the policy's rules, what it may not say, the events of each kind of request, and what no
 * level below shows. */
#include "harness.h"

#include "apiserver/audit/audit-internal.h"
#include "apiserver/webhook/webhook.h"
#include "base/file.h"

#include <stdio.h>
#include <unistd.h>

#define SECRETS "/api/v1/namespaces/default/secrets"
#define POLICY(rules) "{\"apiVersion\":\"audit.k8s.io/v1\",\"kind\":\"Policy\",\"rules\":[" rules "]}"
#define ALL(level) POLICY("{\"level\":\"" level "\"}")

/* --- the policy --- */

static void refusals_are_upstreams(void **state)
{
	static const struct {
		const char *text, *why;
	} table[] = {
		{ "{}", "it is no Policy" },
		{ POLICY(""), "loaded illegal policy with 0 rules" },
		{ POLICY("{}"), "rules[0].level: Required value" },
		{ POLICY("{\"level\":\"Some\"}"), "rules[0].level: Unsupported value: \"Some\"" },
		{ POLICY("{\"level\":\"None\",\"verb\":[]}"), "unknown field \"verb\"" },
		{ POLICY("{\"level\":\"None\",\"users\":\"x\"}"), "users is no list" },
		{ POLICY("{\"level\":\"None\",\"users\":[1]}"), "users holds a value of another type" },
		{ POLICY("{\"level\":\"None\",\"omitStages\":[\"x\"]}"), "allowed stages are RequestReceived," },
		{ POLICY("{\"level\":\"None\",\"nonResourceURLs\":[\"x\"]}"), "must begin with a '/'" },
		{ POLICY("{\"level\":\"None\",\"nonResourceURLs\":[\"/a*b\"]}"), "must be the final character" },
		{ POLICY("{\"level\":\"None\",\"nonResourceURLs\":[\"/a\"],\"namespaces\":[\"b\"]}"),
		  "rules cannot apply to both" },
		{ POLICY("{\"level\":\"None\",\"resources\":[{\"resourceNames\":[\"a\"]}]}"),
		  "using resourceNames requires at least one resource" },
		{ POLICY("{\"level\":\"None\",\"resources\":[{\"group\":\"A_b\"}]}"), "resources[0].group" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_null(audit_policy_parse(&a, sv_from(table[i].text), &err));
		if (!strstr(err_msg(&err), table[i].why))
			fail_msg("%s: %s", table[i].text, err_msg(&err));
	}
}

static void rules_fit_as_upstreams(void **state)
{
	static const struct {
		const char *rule, *group, *plural, *sub, *ns, *name, *path;
		bool fits;
	} table[] = {
		{ "\"users\":[\"u\"]", "", "pods", "", "a", "x", NULL, true },
		{ "\"users\":[\"v\"]", "", "pods", "", "a", "x", NULL, false },
		{ "\"userGroups\":[\"g\"]", "", "pods", "", "a", "x", NULL, true },
		{ "\"verbs\":[\"list\"]", "", "pods", "", "a", "x", NULL, false },
		{ "\"verbs\":[\"get\"]", "", "pods", "", "a", "x", NULL, true },
		{ "\"namespaces\":[\"b\"]", "", "pods", "", "a", "x", NULL, false },
		{ "\"namespaces\":[\"\"]", "", "nodes", "", "", "x", NULL, true },
		{ "\"namespaces\":[\"\"]", "", "", "", "", "", "/version", false },
		{ "\"resources\":[{\"group\":\"\"}]", "", "pods", "log", "a", "x", NULL, true },
		{ "\"resources\":[{\"group\":\"apps\"}]", "", "pods", "", "a", "x", NULL, false },
		{ "\"resources\":[{\"resources\":[\"pods\"]}]", "", "pods", "log", "a", "x", NULL, false },
		{ "\"resources\":[{\"resources\":[\"pods/log\"]}]", "", "pods", "log", "a", "x", NULL, true },
		{ "\"resources\":[{\"resources\":[\"pods/log\"]}]", "", "pods", "", "a", "x", NULL, false },
		{ "\"resources\":[{\"resources\":[\"pods/*\"]}]", "", "pods", "", "a", "x", NULL, true },
		{ "\"resources\":[{\"resources\":[\"*/log\"]}]", "", "pods", "log", "a", "x", NULL, true },
		{ "\"resources\":[{\"resources\":[\"*/log\"]}]", "", "pods", "", "a", "x", NULL, false },
		{ "\"resources\":[{\"resources\":[\"*\"],\"resourceNames\":[\"y\"]}]", "", "pods", "", "a", "x", NULL,
		  false },
		{ "\"resources\":[{\"resources\":[\"*\"],\"resourceNames\":[\"x\"]}]", "", "pods", "", "a", "x", NULL,
		  true },
		{ "\"nonResourceURLs\":[\"/ver*\"]", "", "", "", "", "", "/version", true },
		{ "\"nonResourceURLs\":[\"/version\"]", "", "", "", "", "", "/version/", false },
		{ "\"nonResourceURLs\":[\"*\"]", "", "pods", "", "a", "x", NULL, false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct audit_policy *p =
		    audit_policy_parse(&a, arena_svf(&a, POLICY("{\"level\":\"Metadata\",%s}"), table[i].rule), &err);
		struct sv groups[] = { SV("g") };
		struct user_info u = { .name = SV("u"), .groups = groups, .n_groups = 1 };
		struct api_req q = { .arena = &a,
				     .resource_request = !table[i].path,
				     .verb = VERB_GET,
				     .method = SV("GET"),
				     .group = sv_from(table[i].group),
				     .plural = sv_from(table[i].plural),
				     .subresource = sv_from(table[i].sub),
				     .ns = sv_from(table[i].ns),
				     .name = sv_from(table[i].name),
				     .path = sv_from(table[i].path ? table[i].path : "") };

		assert_non_null(p);
		if ((audit_policy_ask(p, &q, &u).level == LEVEL_METADATA) != table[i].fits)
			fail_msg("%s, %s%s", table[i].rule, table[i].plural, table[i].path ? table[i].path : "");
	}
}

/* --- events --- */

static char dir[] = "/tmp/audit-XXXXXX";
static char policy[64], file[64];

static void server_with(struct rig *r, const char *text)
{
	struct err err = ERR_INIT;

	(void)snprintf(policy, sizeof(policy), "%s/policy", dir);
	(void)snprintf(file, sizeof(file), "%s/audit.log", dir);
	(void)unlink(file);
	assert_int_equal(file_write(policy, sv_from(text), 0600, &err), 0);
	r->audit.policy_file = policy;
	r->audit.log_path = file;
	rig_restart(r);
}

static struct sv text_of(struct rig *r)
{
	struct sv text;

	assert_int_equal(file_read(&r->arena, file, 1 << 20, &text, NULL), 0);
	return text;
}

/* The n-th event from the end that is about path. */
static const struct val *event(struct rig *r, const char *path, size_t from_end)
{
	struct sv rest = text_of(r), line;
	const struct val *found[64];
	size_t n = 0;

	while (rest.n && sv_split(&rest, '\n', &line)) {
		const struct val *v = line.n ? json_decode(&r->arena, line, NULL, NULL) : NULL;

		if (!line.n)
			continue;
		assert_non_null(v);
		if (n < ARRAY_LEN(found) && val_is(val_member_sv(v, SV("requestURI")), path))
			found[n++] = v;
	}
	return from_end < n ? found[n - 1 - from_end] : NULL;
}

static struct sv at(const struct val *v, const char *path)
{
	struct sv rest = sv_from(path), one;

	while (sv_split(&rest, '/', &one))
		v = val_member_sv(v, one);
	return val_str(v);
}

static void metadata_shows_who_and_what_and_no_body(void **state)
{
	static const char doc[] = "{\"metadata\":{\"name\":\"x\"},\"stringData\":{\"k\":\"plaintext\"}}";
	struct rig *r = *state;
	const struct val *e;

	server_with(r, ALL("Metadata"));
	expect(r, 201, "POST", SECRETS, doc);
	e = event(r, SECRETS, 1);
	assert_sv(at(e, "stage"), "RequestReceived");
	assert_null(val_member_sv(e, SV("responseStatus")));
	e = event(r, SECRETS, 0);
	assert_sv(at(e, "kind"), "Event");
	assert_sv(at(e, "level"), "Metadata");
	assert_sv(at(e, "stage"), "ResponseComplete");
	assert_sv(at(e, "verb"), "create");
	assert_sv(at(e, "objectRef/resource"), "secrets");
	assert_sv(at(e, "objectRef/namespace"), "default");
	assert_sv(at(e, "objectRef/name"), "x");
	assert_sv(at(e, "objectRef/apiVersion"), "v1");
	assert_sv(val_str(val_member_sv(val_member_sv(e, SV("annotations")), SV("authorization.k8s.io/decision"))),
		  "allow");
	assert_int_equal(val_int_or(val_member_sv(val_member_sv(e, SV("responseStatus")), SV("code")), 0), 201);
	assert_true(at(e, "auditID").n == 36);
	expect(r, 200, "GET", SECRETS "/x", NULL);
	expect(r, 200, "GET", SECRETS, NULL);
	assert_true(sv_find_sv(text_of(r), SV("plaintext")) < 0);
	assert_true(sv_find_sv(text_of(r), SV("cGxhaW50ZXh0")) < 0);
}

static void levels_add_the_objects(void **state)
{
	static const char doc[] = "{\"metadata\":{\"name\":\"x\"},\"data\":{\"k\":\"v\"}}";
	struct rig *r = *state;
	const struct val *e, *o;

	server_with(r, POLICY("{\"level\":\"Request\",\"verbs\":[\"create\"]},"
			      "{\"level\":\"RequestResponse\",\"omitManagedFields\":true,"
			      "\"omitStages\":[\"RequestReceived\"]}"));
	expect(r, 201, "POST", "/api/v1/namespaces/default/configmaps", doc);
	e = event(r, "/api/v1/namespaces/default/configmaps", 0);
	assert_sv(at(e, "requestObject/data/k"), "v");
	assert_sv(at(e, "requestObject/kind"), "ConfigMap");
	assert_null(val_member_sv(e, SV("responseObject")));
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/default/configmaps/x", "application/merge-patch+json",
		    "{\"data\":{\"k\":\"w\"}}");
	e = event(r, "/api/v1/namespaces/default/configmaps/x", 0);
	assert_null(event(r, "/api/v1/namespaces/default/configmaps/x", 1)); /* its stage is left out */
	assert_sv(at(e, "requestObject/data/k"), "w");
	assert_sv(at(e, "responseObject/data/k"), "w");
	o = val_member_sv(val_member_sv(e, SV("responseObject")), SV("metadata"));
	assert_non_null(val_member_sv(o, SV("uid")));
	assert_null(val_member_sv(o, SV("managedFields")));
	expect(r, 200, "GET", "/api/v1/namespaces/default/configmaps", NULL);
	e = event(r, "/api/v1/namespaces/default/configmaps", 0);
	assert_sv(at(e, "verb"), "list");
	assert_sv(at(e, "responseObject/kind"), "ConfigMapList");
}

static void refusals_are_noted(void **state)
{
	struct rig *r = *state;
	const struct val *e;

	server_with(r, ALL("Metadata"));
	answer_free(api(r, "GET", SECRETS, .user = "nobody"));
	e = event(r, SECRETS, 0);
	assert_sv(val_str(val_member_sv(val_member_sv(e, SV("annotations")), SV("authorization.k8s.io/decision"))),
		  "forbid");
	assert_sv(at(e, "user/username"), "nobody");
	assert_sv(at(e, "responseStatus/status"), "Failure");
	assert_sv(at(e, "responseStatus/reason"), "Forbidden");
	assert_int_equal(val_int_or(val_member_sv(val_member_sv(e, SV("responseStatus")), SV("code")), 0), 403);
	answer_free(api(r, "GET", SECRETS, .authorization = "Bearer nonsense"));
	e = event(r, SECRETS, 0);
	assert_sv(at(e, "stage"), "ResponseStarted");
	assert_sv(at(e, "responseStatus/message"), "Authentication failed, attempted: bearer");
	assert_true(sv_find_sv(text_of(r), SV("nonsense")) < 0);
}

static void a_watch_has_three_stages(void **state)
{
	static const char *const stages[] = { "ResponseComplete", "ResponseStarted", "RequestReceived" };
	static const char path[] = "/api/v1/namespaces/default/configmaps";
	struct rig *r = *state;
	struct answer *a;

	server_with(r, ALL("Metadata"));
	a = api_start(r, &(struct ask){ .method = "GET", .path = "/api/v1/namespaces/default/configmaps?watch=true" });
	rig_run(r, NS_PER_SEC);
	assert_sv(at(event(r, path, 0), "stage"), "ResponseStarted");
	answer_gone(a);
	for (size_t i = 0; i < ARRAY_LEN(stages); i++)
		assert_sv(at(event(r, path, i), "stage"), stages[i]);
	assert_sv(at(event(r, path, 0), "objectRef/resource"), "configmaps");
}

static void none_is_nothing(void **state)
{
	struct rig *r = *state;

	server_with(r, ALL("None"));
	expect(r, 200, "GET", SECRETS, NULL);
	assert_int_equal(text_of(r).n, 0);
}

/* --- what cannot be written --- */

static void a_full_disk_refuses_only_in_strict_mode(void **state)
{
	struct rig *r = *state;

	server_with(r, ALL("Metadata"));
	r->audit.log_path = "/dev/full";
	rig_restart(r);
	expect(r, 200, "GET", SECRETS, NULL);
	r->audit.log_mode = "blocking-strict";
	rig_restart(r);
	expect_status(r, 500, "InternalError", "audit", &(struct ask){ .method = "GET", .path = SECRETS });
	r->audit.log_mode = NULL;
	rig_restart(r);
}

static size_t files(void)
{
	char command[128];
	size_t n = 0;
	FILE *p;

	(void)snprintf(command, sizeof(command), "ls %s | grep -c '^audit-'", dir);
	p = popen(command, "r");
	assert_int_equal(fscanf(p, "%zu", &n), 1);
	(void)pclose(p);
	return n;
}

static void rotates_and_keeps_as_many_as_it_is_told(void **state)
{
	struct rig *r = *state;
	struct audit_opts o = { .log_path = arena_printf(&r->arena, "%s/audit.log", dir),
				.max_size = 1,
				.max_backup = 2,
				.compress = true };
	struct audit_log *l = audit_log_open(r->env, &o, NULL);
	char *line = arena_alloc(&r->arena, 400000);

	memset(line, 'x', 400000);
	line[399999] = '\n';
	for (int i = 0; i < 15; i++) {
		assert_int_equal(audit_log_write(l, sv_make(line, 400000), NULL), 0);
		rig_run(r, NS_PER_SEC);
	}
	assert_int_equal(files(), 2);
	audit_log_free(l);
}

/* --- a program outside --- */

static struct {
	size_t calls, fails; /* so many more */
	struct buf last;
} sink;

static void sink_call(struct webhook_call *c, const struct webhook_sent *sent, void *ctx)
{
	struct err none = ERR_INIT;

	(void)ctx;
	sink.calls++;
	buf_clear(&sink.last);
	buf_addsv(&sink.last, sent->body);
	assert_true(sv_starts(sv_from(sent->url), SV("https://audit.example:8443/sink")));
	webhook_call_answer(c, sink.fails ? 500 : 200, SV(""), SV(""), &none);
	sink.fails -= sink.fails > 0;
}

static const struct webhook_network sink_network = { .call = sink_call };

static void hooked(struct rig *r, const char *rules)
{
	static const char text[] = "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
				   "clusters: [{name: c, cluster: {server: 'https://audit.example:8443/sink'}}]\n"
				   "users: [{name: u, user: {token: secret-token}}]\n"
				   "contexts: [{name: a, context: {cluster: c, user: u}}]\n";
	const char *path = arena_printf(&r->arena, "%s/kubeconfig", dir);

	assert_int_equal(file_write(path, sv_from(text), 0600, NULL), 0);
	r->audit.hook_config = path;
	server_with(r, rules);
	webhook_set_network(r->server, &sink_network);
	sink.calls = sink.fails = 0;
}

static uint64_t lost(struct rig *r)
{
	return atomic_load(&r->server->audit->hook_errors);
}

static void batches_go_to_a_program(void **state)
{
	struct rig *r = *state;
	const struct val *list, *e;
	size_t n;

	hooked(r, ALL("Metadata"));
	expect(r, 200, "GET", SECRETS, NULL);
	assert_int_equal(sink.calls, 0);
	rig_run(r, 31 * NS_PER_SEC);
	assert_true(sink.calls >= 1);
	list = json_decode(&r->arena, buf_sv(&sink.last), NULL, NULL);
	assert_sv(at(list, "kind"), "EventList");
	n = val_len(val_member_sv(list, SV("items")));
	assert_true(n >= 2);
	e = val_at(val_member_sv(list, SV("items")), n - 1);
	assert_sv(at(e, "requestURI"), SECRETS);
	assert_sv(at(e, "stage"), "ResponseComplete");
	assert_null(val_member_sv(e, SV("kind")));
	assert_int_equal(lost(r), 0);
	/* It fails three times, and has it then. */
	n = sink.calls;
	sink.fails = 3;
	expect(r, 200, "GET", SECRETS, NULL);
	rig_run(r, 200 * NS_PER_SEC);
	assert_int_equal(sink.fails, 0);
	assert_true(sink.calls >= n + 4);
	assert_int_equal(lost(r), 0);
	/* It fails for good: that is counted. */
	sink.fails = 1000;
	expect(r, 200, "GET", SECRETS, NULL);
	rig_run(r, 600 * NS_PER_SEC);
	assert_true(lost(r) >= 2);
	sink.fails = 0;
	/* And the end sends what waits. */
	expect(r, 404, "GET", SECRETS "/the-last", NULL);
	rig_restart(r);
	assert_true(sv_find_sv(buf_sv(&sink.last), SV(SECRETS "/the-last")) >= 0);
	webhook_set_network(r->server, &sink_network);
	assert_true(sv_find_sv(text_of(r), SV("secret-token")) < 0);
	buf_release(&sink.last);
}

/* In the blocking modes each event is sent by itself, the first before anything is done. */
static void a_program_may_block(void **state)
{
	/* What the server does at its start has no network yet. */
	static const char of_admin[] = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
				       "- {level: Metadata, users: [admin]}\n";
	struct rig *r = *state;
	size_t n;

	r->audit.hook_mode = "blocking-strict";
	hooked(r, of_admin);
	expect(r, 200, "GET", SECRETS, NULL);
	assert_int_equal(sink.calls, 2);
	assert_true(sv_find_sv(buf_sv(&sink.last), SV("\"stage\":\"ResponseComplete\"")) >= 0);
	/* What cannot be noted is refused, and not done. */
	sink.fails = 1;
	expect_status(
	    r, 500, "InternalError", "audit backend failed",
	    &(struct ask){ .method = "POST", .path = SECRETS, .body = "{\"metadata\":{\"name\":\"never\"}}" });
	expect(r, 404, "GET", SECRETS "/never", NULL);
	assert_int_equal(lost(r), 1);
	/* Nor does a failure at the answer undo what is done. */
	n = sink.calls;
	expect(r, 201, "POST", SECRETS, "{\"metadata\":{\"name\":\"made\"}}");
	assert_int_equal(sink.calls, n + 2);
	/* Without strictness it goes on. */
	r->audit.hook_mode = "blocking";
	hooked(r, of_admin);
	sink.fails = 1;
	expect(r, 200, "GET", SECRETS "/made", NULL);
	assert_int_equal(lost(r), 1);
	buf_release(&sink.last);
}

static int folder(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int cleanup(void **state)
{
	(void)state;
	tree_remove(dir, NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_are_upstreams),
		cmocka_unit_test(rules_fit_as_upstreams),
		cmocka_unit_test_setup_teardown(metadata_shows_who_and_what_and_no_body, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(levels_add_the_objects, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(refusals_are_noted, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_watch_has_three_stages, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(none_is_nothing, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_refuses_only_in_strict_mode, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(batches_go_to_a_program, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_program_may_block, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(rotates_and_keeps_as_many_as_it_is_told, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, folder, cleanup);
}
