/* What restricts a pod's connections is in force before its first container starts, and as long as its sandbox is
 * there. */
#include "agent.h"

static size_t containers(struct world *w)
{
	struct rt_container *c;
	size_t n;

	assert_int_equal(w->rt->ops->list_containers(w->rt, &w->rig->arena, SV(""), &c, &n, NULL), 0);
	return n;
}

static size_t sandboxes(struct world *w)
{
	struct rt_sandbox *s;
	size_t n;

	assert_int_equal(w->rt->ops->list_sandboxes(w->rt, &w->rig->arena, SV(""), &s, &n, NULL), 0);
	return n;
}

#define SPEC                                                                                                           \
	"\"initContainers\":[{\"name\":\"i\",\"image\":\"demo\"}],\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}" \
	"]"

static void test_nothing_starts_before(void **state)
{
	struct world *w = *state;

	network.on = true;
	make(w, "web", SPEC);
	rig_run(w->rig, 20 * NS_PER_SEC);
	assert_int_equal(sandboxes(w), 1);
	assert_int_equal(containers(w), 0); /* the init container neither */
	assert_true(network.asked > 5);
	assert_true(strchr(network.last, '.') != NULL);
	assert_int_equal(events(w, "web", "NetworkNotReady", "network is not ready: no rules yet"), 1);
	network.on = false;
	rig_run(w->rig, 6 * NS_PER_SEC);
	assert_int_equal(containers(w), 1);
	assert_int_equal(network.gone, 0);
}

static void test_asked_once_for_a_sandbox(void **state)
{
	struct world *w = *state;
	char said[128];

	make(w, "web", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_val(phase(pod(w, "web")), "Running");
	assert_int_equal(network.asked, 1);
	snprintf(said, sizeof(said), "web %.*s", SV_ARG(val_get_str(pod(w, "web"), F_status, F_podIP)));
	assert_string_equal(network.last, said);
	/* whoever took over has not been told */
	restart_kubelet(w, NS_PER_SEC);
	network.on = true;
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_true(network.asked > 2);
	assert_val(phase(pod(w, "web")), "Running"); /* what runs, runs */
	assert_int_equal(containers(w), 1);
	network.on = false;
	rig_run(w->rig, 10 * NS_PER_SEC);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/web", NULL);
	rig_run(w->rig, 5 * NS_PER_SEC);
	gone(w, "web");
	assert_int_equal(network.gone, 1);
}

static void test_not_on_the_hosts_network(void **state)
{
	struct world *w = *state;

	network.on = true;
	make(w, "web", "\"hostNetwork\":true,\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(phase(pod(w, "web")), "Running");
	assert_int_equal(network.asked, 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_nothing_starts_before), T(test_asked_once_for_a_sandbox),
					    T(test_not_on_the_hosts_network) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
