/* Instances that the end of the agent or of its runtime cut off, and what of them counts as a restart. */
#include "agent.h"

/* An instance that the agent's end cut off before it ran has not failed, and is no restart. */
static void test_cut_off_start(void **state)
{
	struct world *w = *state;

	runtime_fake_fail(w->rt, "start_container", 1);
	make(w, "cut", "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC / 10);
	w->k = kubelet_free(w->k);
	rig_run(w->rig, NS_PER_SEC);
	start_kubelet(w);
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(phase(pod(w, "cut")), "Running");
	assert_int_equal(val_get_int(cs(pod(w, "cut"), 0), -1, F_restartCount), 0);
}

static size_t instances(struct world *w, const char *name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_container *c;
	size_t n = 0;

	assert_int_equal(w->rt->ops->list_containers(w->rt, &a, uid_of(pod(w, name)), &c, &n, NULL), 0);
	return n;
}

/* Whatever the runtime knows of an instance whose start got no answer: while nobody saw it run its successor has its
 * number, and one that runs is adopted. With and without another agent meanwhile, at the first start and at a later. */
static void test_start_without_an_answer(void **state)
{
	static const enum rt_state left[] = { RT_CREATED, RT_EXITED, RT_UNKNOWN, RT_RUNNING };
	struct world *w = *state;

	for (int i = 0; i < (int)ARRAY_LEN(left) * 4; i++) {
		bool other_agent = i & 1, later = i & 2;
		char name[16];

		snprintf(name, sizeof(name), "p%d", i);
		if (!later)
			runtime_fake_cut_starts(w->rt, 1, left[i / 4]);
		make(w, name, "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
		rig_run(w->rig, NS_PER_SEC / 10);
		if (later) {
			runtime_fake_cut_starts(w->rt, 1, left[i / 4]);
			assert_true(runtime_fake_exit(w->rt, uid_of(pod(w, name)), SV("a"), 1, "Error"));
			rig_run(w->rig, NS_PER_SEC / 10);
		}
		if (other_agent)
			restart_kubelet(w, NS_PER_SEC);
		rig_run(w->rig, 30 * NS_PER_SEC);
		assert_val(phase(pod(w, name)), "Running");
		assert_non_null(val_get(cs(pod(w, name), 0), F_state, F_running));
		assert_int_equal(val_get_int(cs(pod(w, name), 0), -1, F_restartCount), later);
		assert_int_equal(instances(w, name), later ? 2 : 1);
		if (later)
			assert_val(val_get(cs(pod(w, name), 0), F_lastState, F_terminated, F_reason), "Error");
		else
			assert_null(val_get(cs(pod(w, name), 0), F_lastState, F_terminated));
	}
}

/* An instance without a record is ended before the next one begins, and was a life when it was told of. */
static void test_record_is_lost(void **state)
{
	struct world *w = *state;
	const struct val *s;

	make(w, "lost", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	make(w, "never", "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	make(w, "goes", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	for (int i = 1; i <= 2; i++) { /* the second has a predecessor with a date */
		assert_true(runtime_fake_lose(w->rt, uid_of(pod(w, "lost")), SV("a")));
		if (i == 1) {
			assert_true(runtime_fake_lose(w->rt, uid_of(pod(w, "never")), SV("a")));
			assert_true(runtime_fake_lose(w->rt, uid_of(pod(w, "goes")), SV("a")));
			expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/goes", NULL);
		}
		restart_kubelet(w, NS_PER_SEC);
		rig_run(w->rig, 60 * NS_PER_SEC);
		s = cs(pod(w, "lost"), 0);
		assert_non_null(val_get(s, F_state, F_running));
		assert_int_equal(val_get_int(s, -1, F_restartCount), i);
		assert_non_null(val_get(s, F_lastState, F_terminated));
	}
	assert_val(phase(pod(w, "never")), "Succeeded"); /* the fake one ends well when asked to */
	assert_int_equal(events(w, "lost", "Killing", "Container is in unknown state, try killing it before restart"),
			 2);
	expect(w->rig, 404, "GET", "/api/v1/namespaces/default/pods/goes", NULL);
}

/* A node that was cleaned up while its agent was away: what ran there is told as ended, though nobody knows how; what
 * was told as ended stays so. */
static void test_cleaned_up_meanwhile(void **state)
{
	struct world *w = *state;
	struct rt_container *c;
	struct rt_sandbox *b;
	const struct val *s;
	size_t n;

	make(w, "ran", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	make(w, "ended", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	for (int i = 0; i < 2; i++) {
		assert_true(runtime_fake_exit(w->rt, uid_of(pod(w, "ended")), SV("a"), 5, "Error"));
		rig_run(w->rig, NS_PER_SEC);
	}
	assert_int_equal(val_get_int(cs(pod(w, "ended"), 0), 0, F_lastState, F_terminated, F_exitCode), 5);
	assert_non_null(val_get(cs(pod(w, "ended"), 0), F_state, F_waiting)); /* a moment before its next life */
	w->k = kubelet_free(w->k);
	assert_int_equal(w->rt->ops->list_containers(w->rt, &w->rig->arena, SV(""), &c, &n, NULL), 0);
	while (n-- > 0) {
		(void)w->rt->ops->stop_container(w->rt, c[n].id, 0, 0, NULL);
		assert_int_equal(w->rt->ops->remove_container(w->rt, c[n].id, NULL), 0);
	}
	assert_int_equal(w->rt->ops->list_sandboxes(w->rt, &w->rig->arena, SV(""), &b, &n, NULL), 0);
	while (n-- > 0) {
		(void)w->rt->ops->stop_sandbox(w->rt, b[n].id, NULL);
		assert_int_equal(w->rt->ops->remove_sandbox(w->rt, b[n].id, NULL), 0);
	}
	rig_run(w->rig, NS_PER_SEC);
	start_kubelet(w);
	rig_run(w->rig, 60 * NS_PER_SEC);
	s = cs(pod(w, "ran"), 0);
	assert_non_null(val_get(s, F_state, F_running));
	assert_int_equal(val_get_int(s, -1, F_restartCount), 1);
	assert_val(val_get(s, F_lastState, F_terminated, F_reason), "ContainerStatusUnknown");
	assert_int_equal(val_get_int(s, 0, F_lastState, F_terminated, F_exitCode), 137);
	s = cs(pod(w, "ended"), 0);
	assert_non_null(val_get(s, F_state, F_running));
	assert_val(val_get(s, F_lastState, F_terminated, F_reason), "Error");
	assert_int_equal(val_get_int(s, 0, F_lastState, F_terminated, F_exitCode), 5);
}

/* One that never ran does not end a pod together with its sandbox, nor a debugging container for ever. */
static void test_never_ran_elsewhere(void **state)
{
	struct world *w = *state;

	runtime_fake_cut_starts(w->rt, 1, RT_CREATED);
	make(w, "box", "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC / 10);
	assert_true(runtime_fake_kill_sandbox(w->rt, uid_of(pod(w, "box"))));
	restart_kubelet(w, NS_PER_SEC);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_val(phase(pod(w, "box")), "Running");
	assert_int_equal(val_get_int(cs(pod(w, "box"), 0), -1, F_restartCount), 0);

	runtime_fake_cut_starts(w->rt, 1, RT_UNKNOWN);
	expect_type(w->rig, 200, "PATCH", "/api/v1/namespaces/default/pods/box/ephemeralcontainers",
		    "application/strategic-merge-patch+json",
		    "{\"spec\":{\"ephemeralContainers\":[{\"name\":\"d\",\"image\":\"demo\"}]}}");
	rig_run(w->rig, NS_PER_SEC / 10);
	restart_kubelet(w, NS_PER_SEC);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_non_null(
	    val_get(val_at(val_get(pod(w, "box"), F_status, F_ephemeralContainerStatuses), 0), F_state, F_running));
}

/* While the runtime is still at it nothing is made beside it. */
static void test_removal_is_refused(void **state)
{
	struct world *w = *state;
	size_t made;

	runtime_fake_fail(w->rt, "remove_container", 1000);
	runtime_fake_cut_starts(w->rt, 1, RT_CREATED);
	make(w, "busy", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC / 10);
	made = runtime_fake_calls(w->rt, "create_container");
	restart_kubelet(w, NS_PER_SEC);
	rig_run(w->rig, NS_PER_SEC / 2);
	assert_int_equal(runtime_fake_calls(w->rt, "create_container"), made);
	runtime_fake_fail(w->rt, "remove_container", 0);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_non_null(val_get(cs(pod(w, "busy"), 0), F_state, F_running));
	assert_int_equal(val_get_int(cs(pod(w, "busy"), 0), -1, F_restartCount), 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_cut_off_start),	      T(test_start_without_an_answer), T(test_record_is_lost),
		T(test_cleaned_up_meanwhile), T(test_never_ran_elsewhere),     T(test_removal_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
