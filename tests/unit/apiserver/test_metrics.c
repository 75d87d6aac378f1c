/* /metrics: the table of upstream's, and that what it says is so. */
#include "harness.h"
#include "metrics_table.h"

#include "apiserver/flow/flow_families.h"
#include "apiserver/metrics.h"
#include "base/metric_page.h"
#include "client/workq_metrics.h"

#include <stdio.h>

static void test_the_table(void **state)
{
	(void)state;
	/* Every row has its family, and every family its row: those of the page's own are ours. */
	assert_int_equal(metrics_table_check(api_metrics, _AM_MAX, "apiserver"), _AM_MAX - 2);
	assert_int_equal(metrics_table_check(flow_families, _FM_MAX, "flow"), _FM_MAX - 1); /* one is alpha */
	assert_int_equal(metrics_table_check(api_metrics, _AM_MAX, "slis"), 2);
	assert_int_equal(metrics_table_check(workq_families, _WQ_MAX, "client"), _WQ_MAX);
}

/* --- the page --- */

static char *page(struct rig *r, const char *path)
{
	struct answer *a = api(r, "GET", path);
	char *text;

	assert_int_equal(a->code, 200);
	assert_string_equal(a->content_type, METRICS_TYPE);
	text = xstrdup(buf_cstr(&a->body));
	answer_free(a);
	return text;
}

static void has(const char *text, const char *line)
{
	if (!strstr(text, line))
		print_error("# without: %s\n", line);
	assert_non_null(strstr(text, line));
}

static void ask_ok(struct rig *r, const char *method, const char *path, const char *body)
{
	struct answer *a = api(r, method, path, .body = body);

	assert_true(a->code < 300);
	answer_free(a);
}

static void test_requests(void **state)
{
	struct rig *r = *state;
	struct answer *w;
	char *text;

	ask_ok(r, "POST", "/api/v1/namespaces/default/configmaps?dryRun=All", "{\"metadata\":{\"name\":\"a\"}}");
	ask_ok(r, "POST", "/api/v1/namespaces/default/configmaps", "{\"metadata\":{\"name\":\"a\"}}");
	ask_ok(r, "GET", "/api/v1/namespaces/default/configmaps/a", NULL);
	ask_ok(r, "GET", "/api/v1/namespaces/default/configmaps", NULL);
	ask_ok(r, "GET", "/api/v1/configmaps", NULL);
	ask_ok(r, "GET", "/api/v1/namespaces/default/status", NULL);
	ask_ok(r, "GET", "/api/v1/endpoints", NULL);
	ask_ok(r, "GET", "/livez", NULL);
	w = api(r, "GET", "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=0");
	text = page(r, "/metrics");
#define OF(scope, sub, verb)                                                                          \
	"group=\"\",resource=\"configmaps\",scope=\"" scope "\",subresource=\"" sub "\",verb=\"" verb \
	"\",version=\"v1\"}"
	has(text,
	    "apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"All\"," OF("resource", "", "POST"));
	has(text,
	    "apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"\"," OF("resource", "", "POST"));
	has(text, "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\"," OF("resource", "",
												  "GET") " 1");
	has(text,
	    "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\"," OF("namespace", "", "LIST"));
	has(text,
	    "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\"," OF("cluster", "", "LIST"));
	has(text, "apiserver_request_duration_seconds_count{component=\"apiserver\",dry_run=\"\"," OF("resource", "",
												      "GET") " 1");
	has(text, "apiserver_longrunning_requests{component=\"apiserver\"," OF("namespace", "", "WATCH") " 1");
	has(text, "apiserver_watch_events_total{group=\"\",resource=\"configmaps\",version=\"v1\"} ");
	has(text, "apiserver_watch_events_sizes_count{group=\"\",resource=\"configmaps\",version=\"v1\"} ");
	has(text, "subresource=\"status\",verb=\"GET\"");
	has(text, "subresource=\"/livez\",verb=\"GET\"");
	has(text, "apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"endpoints\","
		  "subresource=\"\",version=\"v1\"} 1\n");
	has(text, "apiserver_storage_objects{resource=\"configmaps\"} ");
	has(text, "apiserver_storage_events_received_total{group=\"\",resource=\"configmaps\"} ");
	has(text, "apiserver_admission_step_admission_duration_seconds_count{operation=\"CREATE\",rejected=\"false\","
		  "type=\"admit\"}");
	has(text, "name=\"NamespaceLifecycle\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"");
	has(text, "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n");
	has(text, "kubernetes_build_info{build_date=\"\",compiler=");
	has(text, "kubernetes_feature_enabled{name=\"ComponentStatusz\",stage=\"BETA\"} 1\n");
	has(text, "# TYPE registered_metrics_total counter\n");
	free(text);
	answer_gone(w);
	text = page(r, "/metrics");
	has(text, "apiserver_longrunning_requests{component=\"apiserver\"," OF("namespace", "", "WATCH") " 0");
	free(text);
}

/* Each sample belongs to the family it stands under, each family is there once, and names are in order. */
static void test_its_form(void **state)
{
	struct rig *r = *state;
	char *text = page(r, "/metrics"), last[128] = "";
	struct sv rest = sv_from(text), line, family = SV_NULL;

	while (sv_split(&rest, '\n', &line)) {
		if (sv_starts(line, SV("# HELP "))) {
			struct sv words = sv_sub(line, 7, line.n);

			(void)sv_split(&words, ' ', &family);
			assert_true(sv_cmp(sv_from(last), family) < 0);
			(void)snprintf(last, sizeof(last), "%.*s", SV_ARG(family));
		} else if (line.n && line.p[0] != '#') {
			assert_true(sv_starts(line, family));
		}
	}
	free(text);
}

static void test_refused_by_admission(void **state)
{
	struct rig *r = *state;
	struct answer *a =
	    api(r, "POST", "/api/v1/namespaces/none/configmaps", .body = "{\"metadata\":{\"name\":\"a\"}}");
	char *text;

	assert_int_equal(a->code, 404);
	answer_free(a);
	text = page(r, "/metrics");
	has(text, "apiserver_admission_controller_admission_duration_seconds_count{name=\"NamespaceLifecycle\","
		  "operation=\"CREATE\",rejected=\"true\",type=\"admit\"} 1\n");
	has(text, "apiserver_admission_step_admission_duration_seconds_count{operation=\"CREATE\",rejected=\"true\","
		  "type=\"admit\"} 1\n");
	free(text);
}

/* What such a histogram has of the plugin and the kind of question; 0: there is none. */
static int64_t times_asked(struct rig *r, const char *name, const char *type)
{
	char *text = page(r, "/metrics");
	char head[256];
	const char *at;
	int64_t n;

	(void)snprintf(
	    head, sizeof(head),
	    "\napiserver_admission_controller_admission_duration_seconds_count{name=\"%s\",operation=\"CREATE\","
	    "rejected=\"false\",type=\"%s\"} ",
	    name, type);
	at = strstr(text, head);
	n = at ? strtoll(at + strlen(head), NULL, 10) : 0;
	free(text);
	return n;
}

/* Each plugin is counted once for each create, whether its time is measured alone or in a row with others. */
static void test_each_plugin_is_counted(void **state)
{
	static const char *const asked[][2] = {
		{ "NamespaceLifecycle", "admit" },
		{ "LimitRanger", "admit" },
		{ "MutatingAdmissionWebhook", "admit" },
		{ "Priority", "admit" },
		{ "LimitRanger", "validate" },
		{ "PodSecurity", "validate" },
		{ "ValidatingAdmissionPolicy", "validate" },
		{ "ValidatingAdmissionWebhook", "validate" },
		{ "ResourceQuota", "validate" },
	};
	int64_t before[ARRAY_LEN(asked)];
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		before[i] = times_asked(r, asked[i][0], asked[i][1]);
	for (int i = 0; i < 2; i++) {
		struct answer *a = api(r, "POST", "/api/v1/namespaces/default/configmaps",
				       .body = "{\"metadata\":{\"generateName\":\"a-\"}}");

		assert_int_equal(a->code, 201);
		answer_free(a);
	}
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		assert_int_equal(times_asked(r, asked[i][0], asked[i][1]), before[i] + 2);
}

/* --- health --- */

static void says(struct rig *r, const char *path, int code, const char *body)
{
	struct answer *a = api(r, "GET", path);

	assert_int_equal(a->code, code);
	if (body)
		assert_string_equal(buf_cstr(&a->body), body);
	answer_free(a);
}

static void test_health(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	char *text;

	says(r, "/livez", 200, "ok");
	says(r, "/livez/ping", 200, "ok");
	says(r, "/readyz/etcd-readiness", 200, "ok");
	says(r, "/livez/etcd-readiness", 404, NULL);
	says(r, "/livez/nothing", 404, NULL);
	says(r, "/readyz/poststarthook/rbac/bootstrap-roles", 200, "ok");
	a = api(r, "GET", "/readyz?verbose&exclude=etcd&exclude=zz&exclude=no&exclude=zz");
	has(buf_cstr(&a->body), "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n");
	has(buf_cstr(&a->body), "[+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for "
				"\"no\",\"zz\"\nreadyz check passed\n");
	answer_free(a);
	text = page(r, "/metrics/slis");
	has(text, "kubernetes_healthcheck{name=\"ping\",type=\"readyz\"} 1\n");
	has(text, "kubernetes_healthchecks_total{name=\"log\",status=\"success\",type=\"livez\"} 1\n");
	assert_null(strstr(text, "name=\"etcd\",type=\"readyz\""));
	free(text);
	/* What everybody may read keeps the reason back. */
	apiserver_shutdown(r->server);
	a = api(r, "GET", "/readyz");
	assert_int_equal(a->code, 500);
	has(buf_cstr(&a->body), "[-]shutdown failed: reason withheld\n");
	has(buf_cstr(&a->body), "readyz check failed\n");
	answer_free(a);
	says(r, "/readyz/shutdown", 500, "internal server error: process is shutting down\n");
	says(r, "/livez", 200, "ok");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table),
		cmocka_unit_test_setup_teardown(test_requests, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_its_form, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refused_by_admission, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_each_plugin_is_counted, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_health, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
