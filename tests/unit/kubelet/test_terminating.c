/* Pods and containers that are being stopped: what is asked of them, what is told of them, who goes first. */
#include "agent.h"

#define MAIN "\"containers\":[{\"name\":\"a\",\"image\":\"demo\""
#define PRESTOP(seconds) ",\"lifecycle\":{\"preStop\":{\"sleep\":{\"seconds\":" #seconds "}}}"
#define EXEC "{\"exec\":{\"command\":[\"x\"]},\"periodSeconds\":"

/* Deletes it; grace_s < 0: with the grace period of its spec. */
static void delete_pod(struct world *w, const char *name, int grace_s)
{
	char path[160];

	snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%s", name);
	if (grace_s >= 0)
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "?gracePeriodSeconds=%d", grace_s);
	expect(w->rig, 200, "DELETE", path, NULL);
}

/* One that stays readable when the agent is done with it. */
static void make_held(struct world *w, const char *name, const char *spec)
{
	make(w, name, spec);
	expect_type(w->rig, 200, "PATCH", arena_printf(&w->rig->arena, "/api/v1/namespaces/default/pods/%s", name),
		    "application/merge-patch+json", "{\"metadata\":{\"finalizers\":[\"example.com/held\"]}}");
}

static const struct val *init_status(const struct val *p, size_t i)
{
	return val_at(val_get(p, F_status, F_initContainerStatuses), i);
}

static const struct val *condition(const struct val *p, const char *type)
{
	VAL_EACH(val_get(p, F_status, F_conditions), c)
		if (val_is(val_member(c, F_type), type))
			return c;
	return NULL;
}

static void assert_ready(const struct val *p, bool ready)
{
	assert_val(cond(p, "Ready"), ready ? "True" : "False");
	assert_val(cond(p, "ContainersReady"), ready ? "True" : "False");
	assert_int_equal(val_get_bool(cs(p, 0), F_ready), ready);
	assert_non_null(val_get(cs(p, 0), F_state, F_running));
}

/* Readiness goes on and is told; liveness is over. */
static void test_probes_of_a_terminating_pod(void **state)
{
	struct world *w = *state;
	size_t runs;

	runtime_fake_exec_result(w->rt, 0, "");
	make(w, "web",
	     "\"terminationGracePeriodSeconds\":60," MAIN PRESTOP(50) ",\"readinessProbe\":" EXEC
								      "2},\"livenessProbe\":" EXEC "1}}]");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_ready(pod(w, "web"), true);
	delete_pod(w, "web", -1);
	rig_run(w->rig, NS_PER_SEC);
	assert_ready(pod(w, "web"), true);
	runs = runtime_fake_calls(w->rt, "exec_sync");
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "exec_sync") - runs, 5);
	runtime_fake_exec_result(w->rt, 1, "");
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_ready(pod(w, "web"), false);
	assert_val(val_member(condition(pod(w, "web"), "Ready"), F_reason), "ContainersNotReady");
	assert_int_equal(events(w, "web", "Killing", "Stopping container a"), 1);
	assert_int_equal(events(w, "web", "Killing", "Container a failed liveness probe, will be restarted"), 0);
	runtime_fake_exec_result(w->rt, 0, "");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_ready(pod(w, "web"), true);
	assert_int_equal(val_get_int(cs(pod(w, "web"), 0), 0, F_restartCount), 0);
	rig_run(w->rig, 30 * NS_PER_SEC);
	gone(w, "web");
	runs = runtime_fake_calls(w->rt, "exec_sync");
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "exec_sync"), runs);
}

/* Without a probe: ready while it runs, and its end is told before it goes. */
static void test_ready_until_it_ends(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make_held(w, "web", MAIN PRESTOP(10) "}]");
	rig_run(w->rig, NS_PER_SEC);
	delete_pod(w, "web", -1);
	rig_run(w->rig, 9 * NS_PER_SEC);
	p = pod(w, "web");
	assert_ready(p, true);
	assert_val(phase(p), "Running");
	rig_run(w->rig, 3 * NS_PER_SEC);
	p = pod(w, "web");
	assert_val(phase(p), "Succeeded");
	assert_val(cond(p, "Ready"), "False");
	assert_val(val_member(condition(p, "Ready"), F_reason), "PodCompleted");
	assert_false(val_get_bool(cs(p, 0), F_ready));
	assert_int_equal(val_get_int(cs(p, 0), -1, F_state, F_terminated, F_exitCode), 0);
}

/* One that had not started up when it was deleted is not taken for started. */
static void test_startup_is_not_forgiven(void **state)
{
	struct world *w = *state;

	runtime_fake_exec_result(w->rt, 1, "");
	make(w, "web", MAIN PRESTOP(20) ",\"startupProbe\":" EXEC "1,\"failureThreshold\":100}}]");
	rig_run(w->rig, 3 * NS_PER_SEC);
	delete_pod(w, "web", -1);
	runtime_fake_exec_result(w->rt, 0, "");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_ready(pod(w, "web"), false);
}

/* An agent that was away: nobody becomes unready for it, and what terminates is asked on. */
static void test_readiness_outlives_the_agent(void **state)
{
	struct world *w = *state;
	struct sv since;

	runtime_fake_exec_result(w->rt, 0, "");
	make(w, "web",
	     "\"terminationGracePeriodSeconds\":100," MAIN PRESTOP(90) ",\"readinessProbe\":" EXEC
								       "5},\"startupProbe\":" EXEC "5}}]");
	rig_run(w->rig, 15 * NS_PER_SEC);
	assert_ready(pod(w, "web"), true);
	since = val_get_str(condition(pod(w, "web"), "Ready"), F_lastTransitionTime);
	restart_kubelet(w, 3 * NS_PER_SEC);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_ready(pod(w, "web"), true);
	assert_true(val_get_bool(cs(pod(w, "web"), 0), F_started));
	assert_sv(val_get_str(condition(pod(w, "web"), "Ready"), F_lastTransitionTime),
		  arena_cstr(&w->rig->arena, since));
	delete_pod(w, "web", -1);
	rig_run(w->rig, 5 * NS_PER_SEC);
	restart_kubelet(w, 3 * NS_PER_SEC);
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_ready(pod(w, "web"), true);
	assert_sv(val_get_str(condition(pod(w, "web"), "Ready"), F_lastTransitionTime),
		  arena_cstr(&w->rig->arena, since));
	runtime_fake_exec_result(w->rt, 1, "");
	rig_run(w->rig, 20 * NS_PER_SEC);
	assert_ready(pod(w, "web"), false);
}

/* The initial delay is the container's, not the agent's. */
static void test_initial_delay_is_over_once(void **state)
{
	struct world *w = *state;

	runtime_fake_exec_result(w->rt, 0, "");
	make(w, "web", MAIN ",\"readinessProbe\":" EXEC "1,\"initialDelaySeconds\":100}}]");
	rig_run(w->rig, 90 * NS_PER_SEC);
	assert_ready(pod(w, "web"), false);
	restart_kubelet(w, 3 * NS_PER_SEC);
	rig_run(w->rig, 15 * NS_PER_SEC);
	assert_ready(pod(w, "web"), true);
}

/* A container alone is replaced: it is ready until it has really stopped. */
static void test_ready_until_it_is_replaced(void **state)
{
	static const struct {
		const char *name, *spec, *patch;
	} table[] = {
		{ "changed", MAIN "}]", "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"demo:2\"}]}}" },
		{ "unlively", MAIN ",\"livenessProbe\":" EXEC "1}}]", NULL },
	};
	struct world *w = *state;
	const struct val *p;

	runtime_fake_ignore_term(w->rt, true);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *path = arena_printf(&w->rig->arena, "/api/v1/namespaces/default/pods/%s", table[i].name);
		size_t stops;
		struct sv since;

		runtime_fake_exec_result(w->rt, 0, "");
		make(w, table[i].name, table[i].spec);
		rig_run(w->rig, 3 * NS_PER_SEC);
		since = val_get_str(condition(pod(w, table[i].name), "Ready"), F_lastTransitionTime);
		stops = runtime_fake_calls(w->rt, "stop_container");
		runtime_fake_exec_result(w->rt, 1, "");
		if (table[i].patch)
			expect_type(w->rig, 200, "PATCH", path, "application/strategic-merge-patch+json",
				    table[i].patch);
		rig_run(w->rig, 20 * NS_PER_SEC);
		assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), stops + 1);
		p = pod(w, table[i].name);
		assert_ready(p, true);
		assert_sv(val_get_str(condition(p, "Ready"), F_lastTransitionTime), arena_cstr(&w->rig->arena, since));
		assert_int_equal(val_get_int(cs(p, 0), -1, F_restartCount), 0);
		runtime_fake_exec_result(w->rt, 0, "");
		assert_true(runtime_fake_exit(w->rt, uid_of(p), SV("a"), 7, "Error"));
		rig_run(w->rig, 2 * NS_PER_SEC);
		p = pod(w, table[i].name);
		assert_ready(p, true);
		assert_int_equal(val_get_int(cs(p, 0), 0, F_restartCount), 1);
		assert_int_equal(val_get_int(cs(p, 0), 0, F_lastState, F_terminated, F_exitCode), 7);
		delete_pod(w, table[i].name, 0);
		rig_run(w->rig, 5 * NS_PER_SEC);
	}
}

/* Its deadline is over: unready at once, as one that failed, while its containers run. */
static void test_overdue_is_unready(void **state)
{
	struct world *w = *state;
	const struct val *p;

	runtime_fake_ignore_term(w->rt, true);
	make(w, "late", "\"activeDeadlineSeconds\":5,\"terminationGracePeriodSeconds\":20," MAIN "}]");
	rig_run(w->rig, 10 * NS_PER_SEC);
	p = pod(w, "late");
	assert_val(phase(p), "Running");
	assert_val(cond(p, "Ready"), "False");
	assert_val(val_member(condition(p, "Ready"), F_reason), "PodFailed");
	assert_true(val_get_bool(cs(p, 0), F_ready));
}

#define SIDECARS                                                                                   \
	"\"initContainers\":[{\"name\":\"s1\",\"image\":\"demo\",\"restartPolicy\":\"Always\"%s}," \
	"{\"name\":\"s2\",\"image\":\"demo\",\"restartPolicy\":\"Always\"%s}]," MAIN "%s}]"

static void make_with_sidecars(struct world *w, const char *name, int grace_s, const char *more)
{
	make_held(
	    w, name,
	    arena_printf(&w->rig->arena, "\"terminationGracePeriodSeconds\":%d," SIDECARS, grace_s, more, more, more));
	rig_run(w->rig, 3 * NS_PER_SEC);
	assert_val(cond(pod(w, name), "Ready"), "True");
}

/* TERM: the main container, then the sidecars from the last to the first, each when the one before it has ended. */
static void test_sidecars_go_last(void **state)
{
	struct world *w = *state;
	const struct val *p;
	struct sv uid;

	runtime_fake_ignore_term(w->rt, true);
	make_with_sidecars(w, "web", 30, "");
	uid = uid_of(pod(w, "web"));
	delete_pod(w, "web", -1);
	rig_run(w->rig, 3 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 1);
	assert_true(runtime_fake_exit(w->rt, uid, SV("a"), 0, "Completed"));
	rig_run(w->rig, 3 * NS_PER_SEC);
	p = pod(w, "web"); /* nobody is started again */
	assert_val(phase(p), "Running");
	assert_non_null(val_get(cs(p, 0), F_state, F_terminated));
	assert_non_null(val_get(init_status(p, 0), F_state, F_running));
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 2);
	assert_true(runtime_fake_exit(w->rt, uid, SV("s2"), 3, "Error"));
	rig_run(w->rig, 3 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 3);
	assert_true(runtime_fake_exit(w->rt, uid, SV("s1"), 0, "Completed"));
	rig_run(w->rig, 3 * NS_PER_SEC);
	p = pod(w, "web");
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 3);
	assert_val(phase(p), "Succeeded"); /* how sidecars end does not count */
	assert_int_equal(val_get_int(init_status(p, 1), 0, F_state, F_terminated, F_exitCode), 3);
}

/* The grace period is the whole pod's: when it is over, everybody who waited gets TERM, and two seconds. */
static void test_sidecars_share_the_grace_period(void **state)
{
	struct world *w = *state;

	runtime_fake_ignore_term(w->rt, true);
	make_with_sidecars(w, "web", 10, "");
	delete_pod(w, "web", -1);
	rig_run(w->rig, 9 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 1);
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 1 + 3); /* KILL, and TERM for two */
	assert_val(phase(pod(w, "web")), "Running");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 1 + 3 + 2);
	assert_val(phase(pod(w, "web")), "Failed");
	assert_int_equal(val_get_int(cs(pod(w, "web"), 0), 0, F_state, F_terminated, F_exitCode), 137);
}

/* preStop is about the pod's end, not the container's turn: all at once. TERM waits for both. */
static void test_hooks_of_sidecars_run_at_once(void **state)
{
	struct world *w = *state;

	runtime_fake_exec_result(w->rt, 0, "");
	make_with_sidecars(w, "exec", 30, ",\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"x\"]}}}");
	runtime_fake_ignore_term(w->rt, true);
	delete_pod(w, "exec", -1);
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "exec_sync"), 3);
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 1);
	rig_run(w->rig, 40 * NS_PER_SEC);
	assert_val(phase(pod(w, "exec")), "Failed");
	runtime_fake_ignore_term(w->rt, false);
	make_with_sidecars(w, "sleep", 30, PRESTOP(8));
	delete_pod(w, "sleep", -1);
	rig_run(w->rig, 7 * NS_PER_SEC);
	assert_val(phase(pod(w, "sleep")), "Running");
	rig_run(w->rig, 3 * NS_PER_SEC);
	assert_val(phase(pod(w, "sleep")), "Succeeded");
	assert_int_equal(runtime_fake_calls(w->rt, "exec_sync"), 3);
}

/* A second delete may only shorten it. */
static void test_shorter_second_delete(void **state)
{
	struct world *w = *state;

	runtime_fake_ignore_term(w->rt, true);
	make_held(w, "slow", "\"terminationGracePeriodSeconds\":300," MAIN PRESTOP(200) "}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	delete_pod(w, "slow", -1);
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_int_equal(val_get_int(pod(w, "slow"), 0, F_metadata, F_deletionGracePeriodSeconds), 300);
	delete_pod(w, "slow", 5);
	rig_run(w->rig, 4 * NS_PER_SEC);
	assert_int_equal(val_get_int(pod(w, "slow"), 0, F_metadata, F_deletionGracePeriodSeconds), 5);
	assert_ready(pod(w, "slow"), true);
	rig_run(w->rig, 4 * NS_PER_SEC); /* the hook's time is over, two seconds are left for TERM */
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), 2);
	assert_val(phase(pod(w, "slow")), "Failed");
}

/* Nor may an agent in between prolong it again. */
static void test_shorter_period_outlives_the_agent(void **state)
{
	struct world *w = *state;

	runtime_fake_ignore_term(w->rt, true);
	make_held(w, "slow", "\"terminationGracePeriodSeconds\":300," MAIN PRESTOP(200) "}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	delete_pod(w, "slow", -1);
	rig_run(w->rig, 10 * NS_PER_SEC);
	delete_pod(w, "slow", 5);
	rig_run(w->rig, 3 * NS_PER_SEC);
	restart_kubelet(w, NS_PER_SEC);
	rig_run(w->rig, NS_PER_SEC / 2);
	assert_ready(pod(w, "slow"), true);
	rig_run(w->rig, 4 * NS_PER_SEC);
	assert_val(phase(pod(w, "slow")), "Failed");
}

/* Evicted by the agent itself: ready while it runs, then failed for that reason. */
static void test_evicted(void **state)
{
	struct world *w = *state;
	const struct val *p;

	runtime_fake_ignore_term(w->rt, true);
	emptydir_size = 0;
	make(w, "full", MAIN "}],\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"sizeLimit\":\"1Mi\"}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	emptydir_size = 2 << 20;
	for (int i = 0; i < 200 && runtime_fake_calls(w->rt, "stop_container") == 0; i++)
		rig_run(w->rig, NS_PER_SEC / 10);
	p = pod(w, "full");
	assert_val(phase(p), "Running");
	assert_ready(p, true);
	rig_run(w->rig, 5 * NS_PER_SEC);
	p = pod(w, "full");
	assert_val(phase(p), "Failed");
	assert_val(val_get(p, F_status, F_reason), "Evicted");
	assert_val(cond(p, "Ready"), "False");
	assert_val(val_member(condition(p, "Ready"), F_reason), "PodFailed");
	emptydir_size = 0;
}

static void assert_unknown(const struct val *status)
{
	assert_int_equal(val_get_int(status, 0, F_state, F_terminated, F_exitCode), 137);
	assert_val(val_get(status, F_state, F_terminated, F_reason), "ContainerStatusUnknown");
	assert_val(val_get(status, F_state, F_terminated, F_message),
		   "The container could not be located when the pod was terminated");
}

/* What never ran and could have: accounted for as a failure. What waited for initialisation: left waiting. */
static void test_containers_that_never_started(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make_held(w, "pulling", MAIN "},{\"name\":\"b\",\"image\":\"x:1\",\"imagePullPolicy\":\"Never\"}]");
	make_held(w, "first",
		  "\"initContainers\":[{\"name\":\"i\",\"image\":\"demo\"},{\"name\":\"j\",\"image\":\"demo\"}]," MAIN
		  "}]");
	make_held(w, "none",
		  "\"initContainers\":[{\"name\":\"i\",\"image\":\"x:1\",\"imagePullPolicy\":\"Never\"}]," MAIN "}]");
	rig_run(w->rig, 3 * NS_PER_SEC);
	delete_pod(w, "pulling", -1);
	delete_pod(w, "first", -1);
	delete_pod(w, "none", -1);
	rig_run(w->rig, 3 * NS_PER_SEC);
	p = pod(w, "pulling");
	assert_val(phase(p), "Failed");
	assert_int_equal(val_get_int(cs(p, 0), -1, F_state, F_terminated, F_exitCode), 0);
	assert_unknown(cs(p, 1));
	p = pod(w, "first");
	assert_val(phase(p), "Failed");
	assert_int_equal(val_get_int(init_status(p, 0), -1, F_state, F_terminated, F_exitCode), 0);
	assert_val(val_get(init_status(p, 1), F_state, F_waiting, F_reason), "PodInitializing");
	assert_val(val_get(cs(p, 0), F_state, F_waiting, F_reason), "PodInitializing");
	p = pod(w, "none");
	assert_val(phase(p), "Failed");
	assert_unknown(init_status(p, 0));
	assert_val(val_get(cs(p, 0), F_state, F_waiting, F_reason), "PodInitializing");
}

/* One that waited to be restarted will not be: how it ended is told, while another still runs. */
static void test_no_back_off_at_the_end(void **state)
{
	struct world *w = *state;
	const struct val *p;
	struct sv uid;

	make(w, "web", MAIN "},{\"name\":\"b\",\"image\":\"demo\"" PRESTOP(20) "}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	uid = uid_of(pod(w, "web"));
	for (int i = 0; i < 2; i++) {
		assert_true(runtime_fake_exit(w->rt, uid, SV("a"), 9, "Error"));
		rig_run(w->rig, NS_PER_SEC);
	}
	assert_val(val_get(cs(pod(w, "web"), 0), F_state, F_waiting, F_reason), "CrashLoopBackOff");
	delete_pod(w, "web", -1);
	rig_run(w->rig, 5 * NS_PER_SEC);
	p = pod(w, "web");
	assert_int_equal(val_get_int(cs(p, 0), 0, F_state, F_terminated, F_exitCode), 9);
	assert_non_null(val_get(cs(p, 1), F_state, F_running));
	assert_true(val_get_bool(cs(p, 1), F_ready));
	assert_val(phase(p), "Running");
}

/* Hooks that sleep, also those of an agent before, hold their pod until they are over. */
static int sleep_out(void **state)
{
	struct world *w = *state;

	rig_run(w->rig, 210 * NS_PER_SEC);
	return teardown(state);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, sleep_out)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_probes_of_a_terminating_pod),
		T(test_ready_until_it_ends),
		T(test_startup_is_not_forgiven),
		T(test_readiness_outlives_the_agent),
		T(test_initial_delay_is_over_once),
		T(test_ready_until_it_is_replaced),
		T(test_overdue_is_unready),
		T(test_sidecars_go_last),
		T(test_sidecars_share_the_grace_period),
		T(test_hooks_of_sidecars_run_at_once),
		T(test_shorter_second_delete),
		T(test_shorter_period_outlives_the_agent),
		T(test_evicted),
		T(test_containers_that_never_started),
		T(test_no_back_off_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
