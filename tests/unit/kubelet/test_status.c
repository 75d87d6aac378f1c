#include "kit.h"

#include "kubelet/pod_spec.h"
#include "kubelet/probes.h"
#include "kubelet/status.h"

static struct arena A;

#define RUN                                                                  \
	{                                                                    \
		.id = SV("r"), .state = RT_RUNNING, .started_ns = NS_PER_SEC \
	}
#define END(code)                                                                                 \
	{                                                                                         \
		.id = SV("e"), .state = RT_EXITED, .exit_code = (code), .started_ns = NS_PER_SEC, \
		.finished_ns = 2 * NS_PER_SEC                                                     \
	}

static struct rt_container running = RUN, ok = END(0), bad = END(3);

struct phase_case {
	const char *policy;
	const char *init; /* per init container: r running, o ended well, f failed, - not begun, s sidecar up, S sidecar
			   * not, e one that ended */
	const char *main; /* per container: r, o, f, -, w: ended and held back */
	bool terminal;
	const char *phase;
};

static const struct phase_case phases[] = {
	{ "Always", "", "-", false, "Pending" },    { "Always", "", "r", false, "Running" },
	{ "Always", "", "r-", false, "Pending" },   { "Always", "", "rf", false, "Running" },
	{ "Always", "", "f", false, "Running" },    { "Always", "", "o", false, "Running" },
	{ "Always", "", "w", false, "Running" },    { "OnFailure", "", "o", false, "Succeeded" },
	{ "OnFailure", "", "f", false, "Running" }, { "OnFailure", "", "of", false, "Running" },
	{ "Never", "", "o", false, "Succeeded" },   { "Never", "", "f", false, "Failed" },
	{ "Never", "", "of", false, "Failed" },	    { "Never", "", "or", false, "Running" },
	{ "Always", "-", "-", false, "Pending" },   { "Always", "r", "-", false, "Pending" },
	{ "Always", "o", "-", false, "Pending" },   { "Always", "o", "r", false, "Running" },
	{ "Always", "f", "-", false, "Pending" },   { "Never", "f", "-", false, "Failed" },
	{ "Always", "s", "r", false, "Running" },   { "Always", "S", "-", false, "Pending" },
	{ "Always", "", "o", true, "Succeeded" },   { "Always", "", "f", true, "Failed" },
	{ "Always", "", "-", true, "Failed" },	    { "Never", "s", "o", true, "Succeeded" },
	{ "Never", "s", "o", false, "Running" },    { "Never", "s", "f", false, "Running" },
	{ "Never", "e", "o", true, "Succeeded" },   { "Never", "sf", "-", false, "Pending" },
	{ "Never", "sf", "-", true, "Failed" },
};

static struct val *compute(const struct phase_case *pc)
{
	struct status_container c[8];
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct status_input in = { .c = c, .now_ns = 5 * NS_PER_SEC, .terminal = pc->terminal, .sandbox_ready = true };

	buf_printf(&b, "{'spec':{'restartPolicy':'%s','containers':[{'name':'a'}]}}", pc->policy);
	in.pod = doc(&A, buf_cstr(&b));
	for (const char *p = pc->init; *p; p++)
		c[in.n++] = (struct status_container){ .spec = doc(&A, *p == 's' || *p == 'S' || *p == 'e'
									   ? "{'name':'i','restartPolicy':'Always'}"
									   : "{'name':'i'}"),
						       .init = true,
						       .sidecar = *p == 's' || *p == 'S' || *p == 'e',
						       .started = *p == 's',
						       .ready = *p == 's',
						       .cur = *p == 'r' || *p == 's'   ? &running
							      : *p == 'o' || *p == 'e' ? &ok
							      : *p == 'f'	       ? &bad
										       : NULL };
	for (const char *p = pc->main; *p; p++)
		c[in.n++] = (struct status_container){ .spec = doc(&A, "{'name':'a'}"),
						       .cur = *p == 'r'		       ? &running
							      : *p == 'o'	       ? &ok
							      : *p == 'f' || *p == 'w' ? &bad
										       : NULL,
						       .started = *p == 'r',
						       .ready = *p == 'r',
						       .waiting = *p == 'w',
						       .wait_reason = *p == 'w' ? "CrashLoopBackOff" : NULL };
	return status_compute(&A, &in);
}

static void test_phases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
		struct val *st = compute(&phases[i]);

		if (!val_is(val_member(st, F_phase), phases[i].phase))
			fail_msg("%s init '%s' main '%s'%s: %.*s, not %s", phases[i].policy, phases[i].init,
				 phases[i].main, phases[i].terminal ? " terminal" : "",
				 SV_ARG(val_get_str(st, F_phase)), phases[i].phase);
	}
}

static const struct val *cond(const struct val *st, const char *type)
{
	VAL_EACH(val_member(st, F_conditions), c)
		if (val_is(val_member(c, F_type), type))
			return c;
	return NULL;
}

static void test_conditions_keep_their_times(void **state)
{
	struct status_container c = {
		.spec = doc(&A, "{'name':'a'}"), .cur = &running, .started = true, .ready = true
	};
	struct status_input in = {
		.pod =
		    doc(&A, "{'metadata':{'generation':4},'spec':{'containers':[{'name':'a'}]},'status':{'conditions':["
			    "{'type':'Ready','status':'True','lastTransitionTime':'2020-01-01T00:00:00Z'},"
			    "{'type':'Initialized','status':'False','lastTransitionTime':'2020-01-01T00:00:00Z'}]}}"),
		.c = &c,
		.n = 1,
		.now_ns = INT64_C(1767225600) * NS_PER_SEC,
		.sandbox_ready = true
	};
	struct val *st = status_compute(&A, &in);

	(void)state;
	assert_sv(val_get_str(cond(st, "Ready"), F_lastTransitionTime), "2020-01-01T00:00:00Z");
	assert_sv(val_get_str(cond(st, "Initialized"), F_lastTransitionTime), "2026-01-01T00:00:00Z");
	assert_int_equal(val_get_int(st, 0, F_observedGeneration), 4);
	c.ready = false;
	st = status_compute(&A, &in);
	assert_sv(val_get_str(cond(st, "Ready"), F_message), "containers with unready status: [a]");
	assert_sv(val_get_str(cond(st, "Ready"), F_lastTransitionTime), "2026-01-01T00:00:00Z");
}

static void test_readiness_gates(void **state)
{
	struct status_container c = {
		.spec = doc(&A, "{'name':'a'}"), .cur = &running, .started = true, .ready = true
	};
	struct status_input in = {
		.pod = doc(&A, "{'spec':{'readinessGates':[{'conditionType':'x/y'}],'containers':[{'name':'a'}]}}"),
		.c = &c,
		.n = 1,
		.now_ns = 1
	};
	struct val *st = status_compute(&A, &in);

	(void)state;
	assert_sv(val_get_str(cond(st, "Ready"), F_reason), "ReadinessGatesNotReady");
	assert_sv(val_get_str(cond(st, "ContainersReady"), F_status), "True");
	in.pod = doc(
	    &A,
	    "{'spec':{'readinessGates':[{'conditionType':'x/y'}],'containers':[{'name':'a'}]},'status':{'conditions':"
	    "[{'type':'x/y','status':'True'}]}}");
	assert_sv(val_get_str(cond(status_compute(&A, &in), "Ready"), F_status), "True");
}

static void test_lost_container(void **state)
{
	struct status_container c = { .spec = doc(&A, "{'name':'a'}") };
	struct status_input in = {
		.pod = doc(&A, "{'spec':{'containers':[{'name':'a'}]},'status':{'containerStatuses':[{'name':'a',"
			       "'state':{'running':{'startedAt':'2020-01-01T00:00:00Z'}}}]}}"),
		.c = &c,
		.n = 1,
		.terminal = true,
		.now_ns = 1
	};
	const struct val *s = val_at(val_member(status_compute(&A, &in), F_containerStatuses), 0);

	(void)state;
	assert_sv(val_get_str(s, F_state, F_terminated, F_reason), "ContainerStatusUnknown");
	assert_int_equal(val_get_int(s, 0, F_state, F_terminated, F_exitCode), 137);
	/* The pod goes on: its next instance is a restart, and that is said before it is there. */
	in.terminal = false;
	c.restart_count = 2;
	s = val_at(val_member(status_compute(&A, &in), F_containerStatuses), 0);
	assert_non_null(val_get(s, F_state, F_waiting));
	assert_sv(val_get_str(s, F_lastState, F_terminated, F_reason), "ContainerStatusUnknown");
	assert_int_equal(val_get_int(s, 0, F_restartCount), 3);
}

/* The same where the next instance runs before anybody was told, because the API was away. */
static void test_lost_and_replaced(void **state)
{
	static const struct {
		const char *old, *reason;
		int code, count;
	} rows[] = {
		{ "'state':{'running':{}}", "ContainerStatusUnknown", 137, 1 },
		{ "'state':{'terminated':{'exitCode':3,'reason':'Error'}}", "Error", 3, 1 },
		{ "'state':{'waiting':{}},'lastState':{'terminated':{'exitCode':4,'reason':'Error'}}", "Error", 4, 1 },
		{ "'state':{'waiting':{}},'restartCount':1,'lastState':{'terminated':{'exitCode':5,'reason':'Error'}}",
		  "Error", 5, 1 },
		{ "'state':{'waiting':{}}", "", 0, 0 }, /* its first */
	};
	struct rt_container next = { .id = SV("next"), .state = RT_RUNNING };
	struct status_container c = { .spec = doc(&A, "{'name':'a'}"), .cur = &next };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct status_input in = {
			.pod =
			    doc(&A, arena_printf(&A,
						 "{'spec':{'containers':[{'name':'a'}]},'status':{'containerStatuses':"
						 "[{'name':'a','containerID':'containerd://was',%s}]}}",
						 rows[i].old)),
			.c = &c,
			.n = 1,
			.now_ns = 1
		};
		const struct val *s;

		c.restart_count = rows[i].count;
		s = val_at(val_member(status_compute(&A, &in), F_containerStatuses), 0);
		assert_sv(val_get_str(s, F_lastState, F_terminated, F_reason), rows[i].reason);
		assert_int_equal(val_get_int(s, 0, F_lastState, F_terminated, F_exitCode), rows[i].code);
		assert_int_equal(val_get_int(s, -1, F_restartCount), rows[i].count);
	}
}

/* What never starts again ended: its reason is not hidden behind that of a wait. */
static void test_failed_start(void **state)
{
	struct rt_container dead = { .id = SV("e"), .state = RT_EXITED, .exit_code = 128, .reason = SV("StartError") };
	struct status_container c = {
		.spec = doc(&A, "{'name':'a'}"), .cur = &dead, .waiting = true, .wait_reason = "RunContainerError"
	};
	struct status_input in = { .pod = doc(&A, "{'spec':{'restartPolicy':'Never','containers':[{'name':'a'}]}}"),
				   .c = &c,
				   .n = 1,
				   .now_ns = 1 };
	const struct val *s = val_at(val_member(status_compute(&A, &in), F_containerStatuses), 0);

	(void)state;
	assert_sv(val_get_str(s, F_state, F_terminated, F_reason), "StartError");
	assert_null(val_get(s, F_lastState, F_terminated));
	in.pod = doc(&A, "{'spec':{'restartPolicy':'Always','containers':[{'name':'a'}]}}");
	s = val_at(val_member(status_compute(&A, &in), F_containerStatuses), 0);
	assert_sv(val_get_str(s, F_state, F_waiting, F_reason), "RunContainerError");
	assert_sv(val_get_str(s, F_lastState, F_terminated, F_reason), "StartError");
}

static void test_patch(void **state)
{
	struct val *old = doc(
	    &A, "{'phase':'Pending','reason':'x','podIPs':[{'ip':'1'}],'conditions':[{'type':'Ready','status':'False',"
		"'message':'m','lastProbeTime':null},{'type':'other','status':'True'}],'hostIP':''}");
	struct val *want = doc(
		       &A, "{'phase':'Running','podIPs':[{'ip':'2'}],'conditions':[{'type':'Ready','status':'True'}]}"),
		   *p;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	p = status_patch(&A, old, want);
	json_encode(&b, p);
	assert_sv(buf_sv(&b),
		  "{\"phase\":\"Running\",\"reason\":null,\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
		  "\"message\":null}],\"podIPs\":[{\"$patch\":\"replace\"},{\"ip\":\"2\"}]}");
	assert_null(status_patch(&A, want, want));
	assert_null(status_patch(
	    &A,
	    doc(&A, "{'phase':'Running','podIPs':[{'ip':'2'}],'conditions':[{'type':'Ready','status':'True',"
		    "'lastProbeTime':null}]}"),
	    want));
}

static void test_backoff(void **state)
{
	int64_t now = 1000, s = NS_PER_SEC;
	struct retry r = { 0 };

	(void)state;
	assert_int_equal(retry_left_ns(&kcont_retry, &r, 0, 0), 0);
	for (int64_t want = 10; want < 300; want = MIN(want * 2, 300)) {
		assert_int_equal(retry_failed(&kcont_retry, &r, now * s), want * s);
		assert_int_equal(retry_left_ns(&kcont_retry, &r, now * s, (now + want - 1) * s), s);
		assert_int_equal(retry_left_ns(&kcont_retry, &r, now * s, (now + want) * s), 0);
		now += want;
	}
	assert_int_equal(retry_failed(&kcont_retry, &r, r.failed_ns + 300 * s), 300 * s);
	assert_int_equal(retry_failed(&kcont_retry, &r, r.failed_ns + 300 * s), 300 * s);
	assert_int_equal(retry_failed(&kcont_retry, &r, r.failed_ns + 601 * s), 10 * s); /* ten quiet minutes */
}

static void test_probe_thresholds(void **state)
{
	enum probe_result result = PROBE_SUCCESS, last = PROBE_UNKNOWN;
	int64_t streak = 0;

	(void)state;
	result = probe_step(result, &last, &streak, PROBE_FAILURE, 2, 3);
	result = probe_step(result, &last, &streak, PROBE_FAILURE, 2, 3);
	assert_int_equal(result, PROBE_SUCCESS);
	result = probe_step(result, &last, &streak, PROBE_SUCCESS, 2, 3); /* in a row, or not at all */
	result = probe_step(result, &last, &streak, PROBE_FAILURE, 2, 3);
	result = probe_step(result, &last, &streak, PROBE_FAILURE, 2, 3);
	assert_int_equal(result, PROBE_SUCCESS);
	result = probe_step(result, &last, &streak, PROBE_UNKNOWN, 2, 3); /* says nothing */
	result = probe_step(result, &last, &streak, PROBE_FAILURE, 2, 3);
	assert_int_equal(result, PROBE_FAILURE);
	result = probe_step(result, &last, &streak, PROBE_SUCCESS, 2, 3);
	assert_int_equal(result, PROBE_FAILURE);
	result = probe_step(result, &last, &streak, PROBE_SUCCESS, 2, 3);
	assert_int_equal(result, PROBE_SUCCESS);
}

static void test_spec(void **state)
{
	struct val *g =
	    doc(&A, "{'spec':{'containers':[{'name':'a','resources':{'limits':{'cpu':'1','memory':'1Gi'}}}]}}");
	struct val *b = doc(
	    &A,
	    "{'spec':{'initContainers':[{'name':'i','resources':{'requests':{'cpu':'2'}}},{'name':'s','restartPolicy':"
	    "'Always','resources':{'requests':{'cpu':'100m'}}}],'containers':[{'name':'a','resources':{'requests':"
	    "{'cpu':'500m','memory':'1Gi'}},'ports':[{'name':'http','containerPort':80}]},{'name':'b'}]}}");
	struct val *rules =
	    doc(&A, "{'name':'a','restartPolicy':'Never','restartPolicyRules':[{'action':'Restart','exitCodes':"
		    "{'operator':'In','values':[42]}}]}");
	const struct val *a = val_at(val_get(b, F_spec, F_containers), 0);
	struct cgroup_limits l;

	(void)state;
	assert_int_equal(pod_qos(g), QOS_GUARANTEED);
	assert_int_equal(pod_qos(b), QOS_BURSTABLE);
	assert_int_equal(pod_qos(doc(&A, "{'spec':{'containers':[{'name':'a'}]}}")), QOS_BEST_EFFORT);
	pod_cgroup_limits(b, &l);
	assert_int_equal(l.cpu_milli_request, 2000);
	assert_int_equal(l.memory_limit_bytes, 0);
	pod_cgroup_limits(g, &l);
	assert_int_equal(l.cpu_milli_limit, 1000);
	assert_int_equal(l.memory_limit_bytes, 1 << 30);
	assert_int_equal(container_port(a, doc(&A, "'http'")), 80);
	assert_int_equal(container_port(a, doc(&A, "8080")), 8080);
	assert_int_equal(container_port(a, doc(&A, "'nope'")), -1);
	assert_int_equal(container_port(a, doc(&A, "70000")), -1);
	assert_true(container_should_restart(b, rules, false, 42));
	assert_false(container_should_restart(b, rules, false, 1));
	assert_int_equal(container_oom_score_adj(g, a, 1 << 30), -997);
	assert_int_equal(container_oom_score_adj(b, a, INT64_C(4) << 30), 750);
	assert_int_equal(cgroup_cpu_shares(500), 512);
	assert_int_equal(cgroup_cpu_shares(0), 2);
	assert_int_equal(cgroup_cpu_quota(5, 100000), 1000);
	assert_string_equal(cgroup_pod_path(&A, "", QOS_BURSTABLE, SV("u")), "/kubepods/burstable/podu");
}

static int done(void **state)
{
	(void)state;
	arena_release(&A);
	return 0;
}

/* It was made and could not start: the runtime's beginning of time, as upstream writes it. */
static void test_never_started(void **state)
{
	struct rt_container cur = { .id = SV("c"),
				    .state = RT_EXITED,
				    .exit_code = 128,
				    .reason = SV("StartError"),
				    .finished_ns = 2 * NS_PER_SEC };
	struct status_container c = { .spec = doc(&A, "{'name':'a'}"), .cur = &cur };
	struct status_input in = {
		.pod = doc(&A, "{'spec':{'restartPolicy':'Never','containers':[{'name':'a'}]}}"),
		.c = &c,
		.n = 1,
		.now_ns = 5 * NS_PER_SEC,
	};
	const struct val *t;

	(void)state;
	t = val_get(val_at(val_get(status_compute(&A, &in), F_containerStatuses), 0), F_state, F_terminated);
	assert_string_equal(arena_cstr(&A, val_get_str(t, F_startedAt)), "1970-01-01T00:00:00Z");
	assert_string_equal(arena_cstr(&A, val_get_str(t, F_finishedAt)), "1970-01-01T00:00:02Z");
}

/* An init container's own policy and rules say whether its failure is the pod's. */
static void test_init_policy(void **state)
{
	static const struct {
		const char *pod, *init, *phase;
	} cases[] = {
		{ "Always", "{'name':'i','restartPolicy':'Never'}", "Failed" },
		{ "Never", "{'name':'i','restartPolicy':'OnFailure'}", "Pending" },
		{ "Never",
		  "{'name':'i','restartPolicy':'Never','restartPolicyRules':[{'action':'Restart','exitCodes':"
		  "{'operator':'In','values':[3]}}]}",
		  "Pending" },
		{ "Always",
		  "{'name':'i','restartPolicy':'Never','restartPolicyRules':[{'action':'Restart','exitCodes':"
		  "{'operator':'NotIn','values':[3]}}]}",
		  "Failed" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct status_container c[] = { { .spec = doc(&A, cases[i].init), .init = true, .cur = &bad },
						{ .spec = doc(&A, "{'name':'a'}") } };
		struct status_input in = { .c = c, .n = 2, .now_ns = 5 * NS_PER_SEC };

		in.pod = doc(
		    &A, arena_printf(&A, "{'spec':{'restartPolicy':'%s','containers':[{'name':'a'}]}}", cases[i].pod));
		assert_string_equal(arena_cstr(&A, val_get_str(status_compute(&A, &in), F_phase)), cases[i].phase);
	}
}

/* What the pod as a whole was given, told when its spec says something of it. */
static void test_pod_level(void **state)
{
	struct status_container c = { .spec = doc(&A, "{'name':'a'}"), .cur = &running };
	struct status_input in = {
		.pod =
		    doc(&A, "{'spec':{'resources':{'requests':{'cpu':'1'},'limits':{'cpu':'2'}},'containers':[{'name':"
			    "'a'}]}}"),
		.c = &c,
		.n = 1,
		.now_ns = 5 * NS_PER_SEC,
	};
	const struct val *st = status_compute(&A, &in);
	const struct val *patch = status_patch(&A, val_new_map(&A), st);

	(void)state;
	assert_true(val_is(val_get(patch, F_qosClass), "Burstable"));
	assert_true(val_is(val_member_sv(val_get(patch, F_allocatedResources), SV("cpu")), "1"));
	assert_true(val_is(val_member_sv(val_get(patch, F_resources, F_limits), SV("cpu")), "2"));
	in.pod = doc(&A, "{'spec':{'containers':[{'name':'a'}]}}");
	assert_null(val_get(status_compute(&A, &in), F_resources));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_conditions_keep_their_times),
		cmocka_unit_test(test_readiness_gates),
		cmocka_unit_test(test_lost_container),
		cmocka_unit_test(test_lost_and_replaced),
		cmocka_unit_test(test_failed_start),
		cmocka_unit_test(test_patch),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_probe_thresholds),
		cmocka_unit_test(test_never_started),
		cmocka_unit_test(test_init_policy),
		cmocka_unit_test(test_pod_level),
		cmocka_unit_test(test_spec),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
