/* Calls of a driver that last until they are given up: whose volumes wait for them, and whose do not. In virtual time,
 * where a task can stand still while others go on. */
#include "csi.h"

#include "base/vec.h"
#include "sim/env_sim.h"

#define LONG_NS (120 * NS_PER_SEC) /* then a call is given up */

struct world {
	struct rig *rig;
	struct client *client, *admin;
	struct csi *csi;
	char dir[32];
	char *socket;
	VEC(struct obj *) pods;
	int hanging; /* calls under way that do */
	bool hangs;  /* those about namespaces that begin so do: "evil" */
};
static struct world *W;

static bool pod_known(_unused_ void *ctx, struct sv uid)
{
	for (size_t i = 0; i < W->pods.n; i++)
		if (sv_eq(uid, obj_uid(W->pods.p[i])))
			return true;
	return false;
}

static bool evil_path(struct sv path)
{
	for (size_t i = 0; i < W->pods.n; i++)
		if (sv_starts(obj_ns(W->pods.p[i]), SV("evil")) && sv_starts(obj_name(W->pods.p[i]), SV("hangs")) &&
		    sv_find_sv(path, obj_uid(W->pods.p[i])) >= 0)
			return true;
	return false;
}

static int ask(void *ctx, struct arena *a, const char *socket, const char *method, struct sv request,
	       int64_t timeout_ns, int stop_fd, struct sv *ret, struct err *err)
{
	struct sv path = !strcmp(method, CSI_NODE_PUBLISH)     ? pb_get_sv(request, 4)
			 : !strcmp(method, CSI_NODE_UNPUBLISH) ? pb_get_sv(request, 2)
							       : SV("");

	if (!W->hangs || !evil_path(path))
		return driver_ask(ctx, a, socket, method, request, timeout_ns, stop_fd, ret, err);
	W->hanging++;
	env_sim_wait(W->rig->env, timeout_ns);
	W->hanging--;
	return err_set(err, ERR_TIMEOUT, "rpc error: code = DeadlineExceeded desc = context deadline exceeded");
}

static void namespace_is(struct world *w, const char *name)
{
	expect(w->rig, 201, "POST", "/api/v1/namespaces",
	       arena_printf(&w->rig->arena,
			    "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", name));
	expect(w->rig, 201, "POST", arena_printf(&w->rig->arena, "/api/v1/namespaces/%s/serviceaccounts", name),
	       "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"}}");
}

static struct obj *pod_is(struct world *w, const char *ns, const char *name)
{
	struct obj *o = NULL;

	expect(w->rig, 201, "POST", arena_printf(&w->rig->arena, "/api/v1/namespaces/%s/pods", ns),
	       arena_printf(&w->rig->arena,
			    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\"},\"spec\":{"
			    "\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"image\":\"x\"}],\"volumes\":[{"
			    "\"name\":\"own\",\"csi\":{\"driver\":\"test.csi.io\"}}]}}",
			    name));
	assert_int_equal(client_get(w->admin, RES(core_pods), sv_from(ns), sv_from(name), &o, NULL), 0);
	vec_push(&w->pods, o);
	return o;
}

static int want(struct world *w, struct obj *pod)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct csi_place place;
	struct csi_want one = { .pod = pod, .volume = val_at(obj_get(pod, F_spec, F_volumes), 0) };

	return csi_want(w->csi, &w->rig->arena, &one, &place, &err);
}

static struct obj *wanted(struct world *w, const char *ns, const char *name)
{
	struct obj *pod = pod_is(w, ns, name);

	assert_int_equal(want(w, pod), 1);
	return pod;
}

static void many_hang(struct world *w, const char *ns, int n)
{
	for (int i = 0; i < n; i++)
		(void)wanted(w, ns, arena_printf(&w->rig->arena, "hangs-%d", i));
}

static int begin(void **state)
{
	static const char *const nodes[] = { "system:nodes", NULL }, *const masters[] = { "system:masters", NULL };
	struct world *w = W = xcalloc(1, sizeof(*w));

	if (rig_setup_with_keys(state))
		return -1;
	w->rig = *state;
	*state = w;
	env_sim_let_wait(w->rig->env);
	strcpy(w->dir, "/tmp/caravel-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->socket = xasprintf("%s/plugins_registry/test-reg.sock", w->dir);
	driver = (struct driver){ .name = "test.csi.io",
				  .type = "CSIPlugin",
				  .version = "1.0.0",
				  .endpoint = "/run/test.sock",
				  .node_id = "node-7" };
	expect(w->rig, 201, "POST", "/api/v1/nodes",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}");
	expect(w->rig, 201, "POST", "/apis/storage.k8s.io/v1/csidrivers",
	       "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"CSIDriver\",\"metadata\":{\"name\":\"test.csi.io\"},"
	       "\"spec\":{\"attachRequired\":false,\"volumeLifecycleModes\":[\"Ephemeral\"]}}");
	namespace_is(w, "good");
	namespace_is(w, "evil");
	w->client = apiserver_client(w->rig->server, "kubelet", "system:node:n1", nodes);
	w->admin = apiserver_client(w->rig->server, "admin", "admin", masters);
	w->csi = csi_new(&(struct csi_opts){ .env = w->rig->env,
					     .client = w->client,
					     .node_name = "n1",
					     .root_dir = w->dir,
					     .ask = ask,
					     .pod_known = pod_known,
					     .mounted = driver_mounted });
	rig_run(w->rig, 6 * NS_PER_SEC);
	socket_make(w->socket);
	rig_run(w->rig, 6 * NS_PER_SEC);
	assert_int_equal(driver.registered, 1);
	w->hangs = true;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;

	w->hangs = false;
	rig_run(w->rig, 2 * LONG_NS); /* in real time calls are given up when the agent ends */
	w->csi = csi_free(w->csi);
	client_free(w->client);
	client_free(w->admin);
	for (size_t i = 0; i < w->pods.n; i++)
		obj_unref(w->pods.p[i]);
	vec_release(&w->pods);
	driver_forget();
	(void)tree_remove(w->dir, NULL);
	free(w->socket);
	*state = w->rig;
	free(w);
	return rig_teardown(state);
}

/* Of one driver: a namespace has its share of calls, and the next one's come at once. */
static void test_a_namespace_has_a_share(void **state)
{
	struct world *w = *state;
	struct obj *fine;

	many_hang(w, "evil", 12);
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(w->hanging, 4);
	fine = wanted(w, "good", "fine");
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(want(w, fine), 0);
	assert_int_equal(w->hanging, 4);
	/* Who waits for a share says so, and goes on waiting. */
	assert_int_equal(want(w, w->pods.p[11]), 1);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_int_equal(want(w, w->pods.p[0]), 1); /* it is being asked for */
	assert_int_equal(want(w, w->pods.p[11]), -1);
	w->hangs = false;
	rig_run(w->rig, 2 * LONG_NS);
	assert_int_equal(want(w, w->pods.p[11]), 0);
}

/* What hung comes behind what did not, also in its own namespace. */
static void test_what_hung_is_behind(void **state)
{
	struct world *w = *state;
	struct obj *fine;

	many_hang(w, "evil", 12);
	rig_run(w->rig, 9 * LONG_NS); /* each has hung once: four of them first, then as of a namespace that is late */
	assert_int_equal(w->hanging, 1);
	fine = wanted(w, "evil", "fine");
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(want(w, fine), 0);
	/* And all of them come when it is well again. */
	w->hangs = false;
	rig_run(w->rig, 5 * LONG_NS);
	for (size_t i = 0; i < w->pods.n; i++)
		assert_int_equal(want(w, w->pods.p[i]), 0);
}

/* As many as there are places: what is ready is taken away all the same, and its pod goes. */
static void test_ends_go_on(void **state)
{
	struct world *w = *state;
	struct obj *fine = wanted(w, "good", "fine"), *late;

	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(want(w, fine), 0);
	many_hang(w, "evil", 4);
	for (int i = 0; i < 6; i++) {
		const char *ns = arena_printf(&w->rig->arena, "evil-%d", i);

		namespace_is(w, ns);
		many_hang(w, ns, 4);
	}
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(w->hanging, 24);
	late = wanted(w, "good", "late");
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(want(w, late), 1); /* it waits, as those before it do */
	assert_true(csi_drop_pod(w->csi, obj_uid(fine)));
	rig_run(w->rig, NS_PER_SEC);
	assert_false(csi_drop_pod(w->csi, obj_uid(fine)));
	rig_run(w->rig, LONG_NS);
	assert_int_equal(want(w, late), 0); /* in line before all that have hung */
}

/* Pods made anew in namespaces whose calls hung are not new: all of them together have a part, and others' volumes come
 * at once. */
static void test_made_anew(void **state)
{
	struct world *w = *state;
	struct obj *fine;

	for (int i = 0; i < 6; i++) {
		const char *ns = arena_printf(&w->rig->arena, "evil-%d", i);

		namespace_is(w, ns);
		many_hang(w, ns, 4);
	}
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(w->hanging, 24);
	rig_run(w->rig, LONG_NS);
	for (size_t i = 0; i < w->pods.n; i++)
		(void)csi_drop_pod(w->csi, obj_uid(w->pods.p[i]));
	for (int i = 0; i < 6; i++)
		for (int k = 0; k < 4; k++)
			(void)wanted(w, arena_printf(&w->rig->arena, "evil-%d", i),
				     arena_printf(&w->rig->arena, "hangs-anew-%d", k));
	for (int i = 0; i < 4; i++) {
		fine = wanted(w, "good", arena_printf(&w->rig->arena, "fine-%d", i));
		rig_run(w->rig, NS_PER_SEC);
		assert_int_equal(want(w, fine), 0);
	}
	assert_true(w->hanging <= 8 + 6); /* of beginnings and ends */
}

/* Taking away hangs, too, and has shares as well. */
static void test_ends_that_hang(void **state)
{
	struct world *w = *state;
	struct obj *fine = wanted(w, "good", "fine");

	w->hangs = false;
	many_hang(w, "evil", 8);
	rig_run(w->rig, 2 * NS_PER_SEC);
	w->hangs = true;
	for (size_t i = 0; i < w->pods.n; i++) {
		assert_int_equal(want(w, w->pods.p[i]), 0);
		if (w->pods.p[i] != fine)
			assert_true(csi_drop_pod(w->csi, obj_uid(w->pods.p[i])));
	}
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(w->hanging, 4);
	assert_true(csi_drop_pod(w->csi, obj_uid(fine)));
	rig_run(w->rig, NS_PER_SEC);
	assert_false(csi_drop_pod(w->csi, obj_uid(fine)));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = { T(test_a_namespace_has_a_share), T(test_what_hung_is_behind),
						   T(test_ends_go_on), T(test_made_anew), T(test_ends_that_hang) };

	return cmocka_run_group_tests_name("kubelet/csi_hangs", tests, NULL, NULL);
}
