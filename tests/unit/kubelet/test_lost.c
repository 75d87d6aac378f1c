/* Pods that run here and that a restored cluster does not know. A restore is made by what the kubelet remembers of
 * revisions: as if it had seen greater ones. */
#include "agent.h"

#include "kubelet/kubelet-internal.h"

#define GRACE (600 * NS_PER_SEC)
#define SPEC "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]"
#define NOW "?gracePeriodSeconds=0"

static char dir[] = "/tmp/caravel-lost-XXXXXX";
static char file[64];

static void begin(struct world *w)
{
	struct err err = ERR_INIT;

	w->k = kubelet_free(w->k);
	w->k = kubelet_new(&(struct kubelet_opts){ .env = w->rig->env,
						   .client = w->client,
						   .runtime = w->rt,
						   .host = &host,
						   .node_name = "n1",
						   .node_ips = "192.0.2.1",
						   .revision_file = file,
						   .restore_grace_ns = GRACE,
						   .network_ready = network_ready,
						   .network_gone = network_gone,
						   .port = -1 },
			   &err);
	assert_non_null(w->k);
	rig_run(w->rig, 15 * NS_PER_SEC);
}

static int lost_setup(void **state)
{
	memcpy(dir, "/tmp/caravel-lost-XXXXXX", sizeof(dir));
	if (!mkdtemp(dir) || setup(state) < 0)
		return -1;
	(void)snprintf(file, sizeof(file), "%s/revision", dir);
	begin(*state);
	return 0;
}

static int lost_teardown(void **state)
{
	return teardown(state) < 0 ? -1 : tree_remove(dir, NULL);
}

static void restore(struct world *w)
{
	w->k->restored.rev += RESTORED_FILE_EVERY * 100;
}

static void delete_now(struct world *w, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%s" NOW, name);
	expect(w->rig, 200, "DELETE", path, NULL);
}

static size_t running(struct world *w, struct sv uid)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_container *c;
	size_t n, run = 0;

	assert_int_equal(w->rt->ops->list_containers(w->rt, &a, uid, &c, &n, NULL), 0);
	for (size_t i = 0; i < n; i++)
		run += c[i].state == RT_RUNNING;
	return run;
}

static int told(struct world *w, const char *reason, const char *name)
{
	int n = 0;

	rig_run(w->rig, NS_PER_SEC);
	VAL_EACH(val_member(expect(w->rig, 200, "GET", "/api/v1/events", NULL), F_items), e)
		if (val_is(val_member(e, F_reason), reason) && val_is(val_get(e, F_involvedObject, F_kind), "Node") &&
		    sv_find_sv(val_get_str(e, F_message), sv_from(name)) >= 0)
			n += (int)val_get_int(e, 1, F_count);
	return n;
}

static struct sv uid_kept(struct world *w, const char *name)
{
	static char text[64];

	snprintf(text, sizeof(text), "%.*s", SV_ARG(uid_of(pod(w, name))));
	return sv_from(text);
}

static void lost_pods_are_kept_told_and_ended(void **state)
{
	struct world *w = *state;
	struct sv uid;

	make(w, "late", SPEC);
	make(w, "early", SPEC);
	rig_run(w->rig, 5 * NS_PER_SEC);
	uid = uid_kept(w, "late");
	restore(w);
	delete_now(w, "late");
	rig_run(w->rig, 120 * NS_PER_SEC);
	assert_int_equal(running(w, uid), 1);
	assert_val(phase(pod(w, "early")), "Running");
	assert_int_equal(told(w, "KeptAfterRestore", "default/late"), 1);
	assert_int_equal(network.gone, 0); /* what restricts its connections stays in force */
	assert_int_equal(told(w, "KeptAfterRestore", "default/early"), 0);
	/* What is deleted of what the restored cluster knows goes as ever. */
	uid = uid_kept(w, "early");
	delete_now(w, "early");
	rig_run(w->rig, 20 * NS_PER_SEC);
	assert_int_equal(running(w, uid), 0);
	assert_int_equal(running(w, SV("")), 1);
	rig_run(w->rig, GRACE);
	assert_int_equal(running(w, SV("")), 0);
	assert_int_equal(told(w, "EndedAfterRestore", "default/late"), 1);
	assert_in_range(network.gone, 2, 3);
}

/* The agent was away, too: it has nothing but its file. And a second start begins the grace anew. */
static void kept_over_starts_of_the_agent(void **state)
{
	struct world *w = *state;
	struct sv uid;

	make(w, "late", SPEC);
	rig_run(w->rig, 5 * NS_PER_SEC);
	uid = uid_kept(w, "late");
	w->k = kubelet_free(w->k);
	delete_now(w, "late");
	assert_int_equal(file_write(file, SV("90000000\n"), 0600, NULL), 0);
	for (int i = 0; i < 3; i++) {
		begin(w);
		rig_run(w->rig, GRACE - 60 * NS_PER_SEC);
		assert_int_equal(running(w, uid), 1);
	}
	rig_run(w->rig, 120 * NS_PER_SEC);
	assert_int_equal(running(w, uid), 0);
	begin(w);
	assert_false(restored_holds(&w->k->restored, env_mono_ns(w->rig->env)));
}

static void another_pod_of_the_name_replaces_it(void **state)
{
	struct world *w = *state;
	struct sv uid;

	make(w, "web-0", SPEC);
	rig_run(w->rig, 5 * NS_PER_SEC);
	uid = uid_kept(w, "web-0");
	restore(w);
	delete_now(w, "web-0");
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_int_equal(running(w, uid), 1);
	make(w, "web-0", SPEC);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_int_equal(running(w, uid), 0);
	assert_val(phase(pod(w, "web-0")), "Running");
	assert_int_equal(running(w, SV("")), 1);
}

static void a_pod_that_was_ending_ends(void **state)
{
	struct world *w = *state;
	struct sv uid;

	make(w, "late", SPEC);
	rig_run(w->rig, 5 * NS_PER_SEC);
	uid = uid_kept(w, "late");
	runtime_fake_ignore_term(w->rt, true);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/late", NULL);
	rig_run(w->rig, 5 * NS_PER_SEC);
	restore(w);
	delete_now(w, "late");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_int_equal(running(w, uid), 1);
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_int_equal(running(w, uid), 0);
	assert_int_equal(told(w, "KeptAfterRestore", "late"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lost_pods_are_kept_told_and_ended, lost_setup, lost_teardown),
		cmocka_unit_test_setup_teardown(kept_over_starts_of_the_agent, lost_setup, lost_teardown),
		cmocka_unit_test_setup_teardown(another_pod_of_the_name_replaces_it, lost_setup, lost_teardown),
		cmocka_unit_test_setup_teardown(a_pod_that_was_ending_ends, lost_setup, lost_teardown),
	};

	return cmocka_run_group_tests_name("lost", tests, NULL, NULL);
}
