/* metrics.k8s.io: of what kubelets say; the kubelets are this file. What they must not say first. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/node_usage.h"
#include "apiserver/webhook/webhook.h"

#define METRICS "/apis/metrics.k8s.io/v1beta1"
#define AT "\"time\":\"2026-12-01T01:02:03Z\""
#define USED(cores, bytes) "\"cpu\":{" AT ",\"usageNanoCores\":" #cores "},\"memory\":{\"workingSetBytes\":" #bytes "}"

static struct {
	struct arena arena;
	size_t asked;
	const char *url;
	const char *answers[3]; /* of nodes a, b, c; NULL: it is not there */
	struct webhook_call *held;
	bool hold;
	int depth, deepest; /* calls that are made from within another */
} far;

static void far_answer(struct webhook_call *c, const char *url)
{
	const char *body = far.answers[url[8] - 'a']; /* "https://a/..." */
	struct err err = ERR_INIT;

	if (body) {
		webhook_call_answer(c, 200, SV("application/json"), sv_from(body), NULL);
		return;
	}
	err_set(&err, ERR_UNAVAILABLE, "dial tcp: connection refused");
	webhook_call_answer(c, 0, SV(""), SV(""), &err);
}

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, _unused_ void *ctx)
{
	far.asked++;
	far.depth++;
	far.deepest = MAX(far.deepest, far.depth);
	far.url = arena_strdup(&far.arena, sent->url);
	assert_true(sent->get);
	if (far.hold)
		far.held = c;
	else
		far_answer(c, sent->url);
	far.depth--;
}

static const struct webhook_network far_network = { .call = far_call };

static const char *uid_of(struct rig *r, const char *pod)
{
	const struct val *o = expect(r, 200, "GET", arena_printf(&r->arena, "/api/v1/namespaces/n/pods/%s", pod), NULL);

	return arena_cstr(&r->arena, val_get_str(o, F_metadata, F_uid));
}

static void make_pod(struct rig *r, const char *name, const char *node)
{
	const char *path = arena_printf(&r->arena, "/api/v1/namespaces/n/pods/%s/status", name);

	expect(r, 201, "POST", "/api/v1/namespaces/n/pods",
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"%s\"}},\"spec\":{\"nodeName\":\"%s\","
			    "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
			    name, name, node));
	expect_type(r, 200, "PATCH", path, "application/merge-patch+json", "{\"status\":{\"phase\":\"Running\"}}");
}

static int setup(void **state)
{
	int rc = rig_setup(state);
	struct rig *r = *state;

	memset(&far, 0, sizeof(far));
	webhook_set_network(r->server, &far_network);
	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/n/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	for (int i = 0; i < 3; i++)
		expect(r, 201, "POST", "/api/v1/nodes",
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%c\",\"labels\":{\"l\":\"%c\"}}}", 'a' + i,
				    'a' + i));
	make_pod(r, "p", "a");
	make_pod(r, "q", "b");
	return rc;
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	arena_release(&far.arena);
	return rc;
}

static const char *said(struct rig *r, const char *node, const char *pods)
{
	return arena_printf(&r->arena, "{\"node\":{%s},\"pods\":[%s]}", node, pods);
}

static const char *said_pod(struct rig *r, const char *uid, const char *containers)
{
	return arena_printf(&r->arena, "{\"podRef\":{\"uid\":\"%s\"},\"containers\":[%s]}", uid, containers);
}

static void test_a_node_speaks_for_itself(void **state)
{
	struct rig *r = *state;
	const struct val *l;

	/* Node a tells of q, which runs on b. */
	far.answers[0] =
	    said(r, USED(5, 6), said_pod(r, uid_of(r, "q"), "{\"name\":\"c\"," USED(999000000, 1048576) "}"));
	l = expect(r, 200, "GET", METRICS "/pods", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 0);
	expect(r, 404, "GET", METRICS "/namespaces/n/pods/q", NULL);
}

static void test_rights(void **state)
{
	struct rig *r = *state;

	expect_status(r, 403, "Forbidden", "cannot list resource \"pods\" in API group \"metrics.k8s.io\"",
		      &(struct ask){ .method = "GET", .path = METRICS "/namespaces/n/pods", .user = "mallory" });
	assert_int_equal(far.asked, 0);
	expect(r, 405, "POST", METRICS "/namespaces/n/pods", "{}");
	expect(r, 404, "GET", METRICS "/namespaces/n/pods/none", NULL);
	expect(r, 404, "GET", METRICS "/nodes/none", NULL);
	assert_int_equal(far.asked, 0);
}

/* Calls that are answered at once, as those at the server's end are: one after the other, not one within the other. */
static void test_answered_at_once(void **state)
{
	struct rig *r = *state;

	expect(r, 200, "GET", METRICS "/nodes", NULL);
	assert_int_equal(far.asked, 3);
	assert_int_equal(far.deepest, 1);
}

static void test_nodes_and_pods(void **state)
{
	struct rig *r = *state;
	const struct val *l, *o, *c;

	far.answers[0] = said(r, USED(1500000000, 2097152),
			      said_pod(r, uid_of(r, "p"), "{\"name\":\"c\"," USED(250000000, 1048576) "}"));
	far.answers[1] = said(r, USED(7, 4096), said_pod(r, uid_of(r, "q"), "{\"name\":\"c\"}")); /* not known yet */
	l = expect(r, 200, "GET", METRICS "/nodes", NULL); /* c does not answer */
	assert_int_equal(far.asked, 3);
	assert_string_equal(far.url + 9, "/stats/summary?only_cpu_and_memory=true");
	assert_int_equal(val_len(val_get(l, F_items)), 2);
	o = val_at(val_get(l, F_items), 0);
	assert_val(val_get(o, F_metadata, F_name), "a");
	assert_val(val_member_sv(val_get(o, F_metadata, F_labels), SV("l")), "a");
	assert_val(val_get(o, F_timestamp), "2026-12-01T01:02:03Z");
	assert_val(val_get(o, F_window), "10s");
	assert_val(val_member_sv(val_get(o, F_usage), SV("cpu")), "1500m");
	assert_val(val_member_sv(val_get(o, F_usage), SV("memory")), "2Mi");
	o = expect(r, 200, "GET", METRICS "/namespaces/n/pods/p", NULL);
	assert_val(val_get(o, F_kind), "PodMetrics");
	c = val_at(val_get(o, F_containers), 0);
	assert_val(val_get(c, F_name), "c");
	assert_val(val_member_sv(val_get(c, F_usage), SV("cpu")), "250m");
	l = expect(r, 200, "GET", METRICS "/pods", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 1);
	l = expect(r, 200, "GET", METRICS "/namespaces/n/pods?labelSelector=app%3Dq", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 0);
	assert_int_equal(far.asked, 3); /* all of it is young enough, also that c did not answer */
	rig_run(r, USAGE_KEEP_NS + NS_PER_SEC);
	expect(r, 200, "GET", METRICS "/namespaces/n/pods/p", NULL);
	assert_int_equal(far.asked, 4); /* of the one node that is needed */
}

static void test_one_question_for_all_who_wait(void **state)
{
	struct rig *r = *state;
	struct answer *x, *y;

	far.answers[0] = said(r, USED(1, 2048), "");
	far.hold = true;
	x = api_start(r, &(struct ask){ .method = "GET", .path = METRICS "/nodes/a" });
	y = api_start(r, &(struct ask){ .method = "GET", .path = METRICS "/nodes?labelSelector=l%3Da" });
	rig_run(r, NS_PER_SEC);
	assert_int_equal(far.asked, 1);
	assert_int_equal(x->answers + y->answers, 0);
	far_answer(far.held, "https://a");
	rig_run(r, NS_PER_SEC);
	assert_int_equal(x->code, 200);
	assert_int_equal(val_len(val_get(api_json(y), F_items)), 1);
	answer_free(x);
	answer_free(y);
}

static void test_any_answer(void **state)
{
	static const char *const odd[] = {
		"",
		"[]",
		"{\"node\":3,\"pods\":{}}",
		"{\"pods\":[{},null,{\"podRef\":{\"uid\":7}}]}",
		"{\"node\":{\"cpu\":{" AT ",\"usageNanoCores\":-4},\"memory\":{\"workingSetBytes\":1}}}",
		"{\"node\":{\"cpu\":{\"time\":\"never\",\"usageNanoCores\":4},\"memory\":{\"workingSetBytes\":1}}}"
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		far.answers[0] = odd[i];
		expect(r, 404, "GET", METRICS "/nodes/a", NULL);
		rig_run(r, USAGE_KEEP_NS + NS_PER_SEC);
	}
	assert_int_equal(far.asked, ARRAY_LEN(odd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_node_speaks_for_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answered_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nodes_and_pods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_question_for_all_who_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_answer, setup, teardown),
	};

	return cmocka_run_group_tests_name("apiserver/node_metrics", tests, NULL, NULL);
}
