/* Classes of work on a node: what hangs in one leaves the others, and the node's lease, alone. */
#include "agent.h"

static char renewed_at[64];

static const char *renewed(struct world *w)
{
	struct sv t = val_get_str(
	    expect(w->rig, 200, "GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", NULL),
	    F_spec, F_renewTime);

	snprintf(renewed_at, sizeof(renewed_at), "%.*s", SV_ARG(t));
	return renewed_at;
}

static void lease_goes_on(struct world *w)
{
	char before[64];

	snprintf(before, sizeof(before), "%s", renewed(w));
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_string_not_equal(renewed(w), before);
}

static void is_phase(struct world *w, const char *name, const char *want)
{
	struct sv got = val_str(phase(pod(w, name)));

	if (!sv_eq(got, sv_from(want)))
		fail_msg("%s is %.*s, not %s", name, SV_ARG(got), want);
}

/* Pulls that never end: what needs none starts and ends as ever. */
static void test_slow_is_blocked(void **state)
{
	struct world *w = *state;

	runtime_fake_add_image(w->rt, "registry.example/here:1");
	env_sim_hold(w->rig->env, ENV_SLOW);
	for (int i = 0; i < 20; i++) {
		char name[24];

		snprintf(name, sizeof(name), "pulls-%d", i);
		make(w, name, "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"imagePullPolicy\":\"Always\"}]");
	}
	make(w, "local",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"registry.example/"
	     "here:1\",\"imagePullPolicy\":\"IfNotPresent\"}]");
	lease_goes_on(w);
	is_phase(w, "local", "Running");
	is_phase(w, "pulls-0", "Pending");
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/local", NULL);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/pulls-19", NULL);
	lease_goes_on(w);
	gone(w, "local");
	gone(w, "pulls-19");
	env_sim_release(w->rig->env, ENV_SLOW);
	rig_run(w->rig, 10 * NS_PER_SEC);
	for (int i = 0; i < 19; i++) {
		char name[24];

		snprintf(name, sizeof(name), "pulls-%d", i);
		is_phase(w, name, "Running");
	}
}

/* A runtime that hangs: no pod starts, and the node still says that it lives. */
static void test_node_is_blocked(void **state)
{
	struct world *w = *state;

	env_sim_hold(w->rig->env, ENV_NODE);
	make(w, "waits", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	lease_goes_on(w);
	is_phase(w, "waits", "Pending");
	env_sim_release(w->rig->env, ENV_NODE);
	rig_run(w->rig, 10 * NS_PER_SEC);
	is_phase(w, "waits", "Running");
}

/* Controllers and scheduler that hang, and requests that do: pods of the node start and end. */
static void test_the_rest_is_blocked(void **state)
{
	static const enum env_class rest[] = { ENV_CONTROL, ENV_REQUESTS };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
		char before[64];

		make(w, "runs", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
		snprintf(before, sizeof(before), "%s", renewed(w));
		env_sim_hold(w->rig->env, rest[i]);
		rig_run(w->rig, 10 * NS_PER_SEC);
		env_sim_release(w->rig->env, rest[i]); /* the tests' own requests are of one of them */
		is_phase(w, "runs", "Running");
		expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/runs", NULL);
		env_sim_hold(w->rig->env, rest[i]);
		rig_run(w->rig, 60 * NS_PER_SEC);
		env_sim_release(w->rig->env, rest[i]);
		gone(w, "runs");
		rig_run(w->rig, 60 * NS_PER_SEC);
		assert_string_not_equal(renewed(w), before);
	}
}

static const char *node_ready(struct world *w)
{
	const struct val *node = expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL);

	VAL_EACH(val_get(node, F_status, F_conditions), c)
		if (val_is(val_get(c, F_type), "Ready"))
			return arena_cstr(&w->rig->arena, val_get_str(c, F_status));
	return "";
}

/* What the control plane writes of a node that it does not hear any more. */
static void given_up(struct world *w)
{
	answer_free(api(w->rig, "PATCH", "/api/v1/nodes/n1/status", .type = "application/strategic-merge-patch+json",
			.body = "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"Unknown\",\"reason\":"
				"\"NodeStatusUnknown\"}]}}"));
	assert_string_equal(node_ready(w), "Unknown");
}

/* A node that was not heard for a while, and given up, says what it is as soon as it is heard, though nothing of it has
 * changed. */
static void test_silent_for_a_while(void **state)
{
	struct world *w = *state;

	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_string_equal(node_ready(w), "True");
	env_sim_hold(w->rig->env, ENV_CONTROL); /* the lease's */
	rig_run(w->rig, 60 * NS_PER_SEC);
	given_up(w);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_string_equal(node_ready(w), "Unknown");
	env_sim_release(w->rig->env, ENV_CONTROL);
	rig_run(w->rig, 15 * NS_PER_SEC);
	assert_string_equal(node_ready(w), "True");
}

/* The same of one that was never heard again since it registered. */
static void test_silent_from_the_start(void **state)
{
	struct world *w = *state;

	w->k = kubelet_free(w->k);
	start_kubelet(w);
	env_sim_hold(w->rig->env, ENV_CONTROL);
	rig_run(w->rig, 60 * NS_PER_SEC);
	given_up(w);
	env_sim_release(w->rig->env, ENV_CONTROL);
	rig_run(w->rig, 15 * NS_PER_SEC);
	assert_string_equal(node_ready(w), "True");
}

/* Deleted, with its lease, which the garbage collector takes along: it is there again within a lease's period. */
static void test_deleted_under_it(void **state)
{
	struct world *w = *state;

	rig_run(w->rig, 30 * NS_PER_SEC);
	expect(w->rig, 200, "DELETE", "/api/v1/nodes/n1", NULL);
	expect(w->rig, 200, "DELETE", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", NULL);
	rig_run(w->rig, 25 * NS_PER_SEC);
	assert_string_equal(node_ready(w), "True");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_slow_is_blocked),    T(test_node_is_blocked),	   T(test_the_rest_is_blocked),
		T(test_silent_for_a_while), T(test_silent_from_the_start), T(test_deleted_under_it),
	};

	return cmocka_run_group_tests_name("kubelet/classes", tests, NULL, NULL);
}
