/* How a pod is run: the handler of its class, what the class adds, and what is said of a runtime that cannot. */
#include "agent.h"
#include "kubelet/cri/cri.h"

static const struct rt_handler handlers[] = { { SV(""), true, false },
					      { SV("runc"), true, true },
					      { SV("kata"), false, false } };
static const struct rt_features able = {
	.handlers = handlers, .n_handlers = 3, .told = true, .strict_groups = true, .image_volumes = true
};

static struct {
	int n;
	char handler[32];
	struct rt_room overhead, room;
} ran;

static void note_sandbox(const struct rt_sandbox_config *c, void *ctx)
{
	(void)ctx;
	ran.n++;
	snprintf(ran.handler, sizeof(ran.handler), "%.*s", SV_ARG(c->handler));
	ran.overhead = c->overhead;
	ran.room = c->room;
}

static int setup_able(void **state)
{
	struct world *w;

	setup(state);
	w = *state;
	memset(&ran, 0, sizeof(ran));
	runtime_fake_features(w->rt, &able);
	runtime_fake_on_sandbox(w->rt, note_sandbox, NULL);
	return 0;
}

static void make_class(struct world *w, const char *name, const char *handler, const char *more)
{
	char body[512];

	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"},\"handler\":\"%s\"%s}", name, handler, more);
	expect(w->rig, 201, "POST", "/apis/node.k8s.io/v1/runtimeclasses", body);
}

#define SPEC(class)                                                                                             \
	"\"runtimeClassName\":\"" class "\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{" \
					"\"requests\":{\"cpu\":\"500m\"},\"limits\":{\"memory\":\"64Mi\"}}}]"

static void test_handler_is_passed(void **state)
{
	struct world *w = *state;

	make_class(w, "vm", "kata", "");
	make(w, "p", SPEC("vm"));
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(phase(pod(w, "p")), "Running");
	assert_string_equal(ran.handler, "kata");
	assert_int_equal(ran.overhead.memory_limit_bytes, 0);
	make(w, "plain", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(phase(pod(w, "plain")), "Running");
	assert_string_equal(ran.handler, "");
	assert_int_equal(ran.n, 2);
}

/* What the class adds is the pod's, beside what its containers may use; the runtime hears of both. */
static void test_overhead(void **state)
{
	struct world *w = *state;

	make_class(w, "vm", "kata", ",\"overhead\":{\"podFixed\":{\"cpu\":\"250m\",\"memory\":\"32Mi\"}}");
	make(w, "p", SPEC("vm"));
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(phase(pod(w, "p")), "Running");
	assert_int_equal(cgroup_memory, 96 << 20);
	assert_int_equal(ran.overhead.memory_limit_bytes, 32 << 20);
	assert_int_equal(ran.overhead.cpu_shares, 256);
	assert_int_equal(ran.overhead.cpu_quota, 25000);
	assert_int_equal(ran.room.memory_limit_bytes, 64 << 20);
	assert_int_equal(ran.room.cpu_shares, 512);
	assert_int_equal(ran.room.cpu_quota, 0); /* no limit of cpu */
}

static void test_unknown_handler(void **state)
{
	struct world *w = *state;

	make_class(w, "odd", "gvisor", "");
	make(w, "p", SPEC("odd"));
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(phase(pod(w, "p")), "Pending");
	assert_true(events(w, "p", "FailedCreatePodSandBox",
			   "Failed to create pod sandbox: failed to get sandbox runtime: no runtime for \"gvisor\" is "
			   "configured") > 0);
	assert_int_equal(ran.n, 0);
}

/* Deleted between the pod's coming and its start: upstream's words; and it starts when there is one again. */
static void test_class_is_gone(void **state)
{
	struct world *w = *state;

	make_class(w, "vm", "kata", "");
	runtime_fake_network(w->rt, false);
	rig_run(w->rig, 30 * NS_PER_SEC);
	make(w, "p", SPEC("vm"));
	expect(w->rig, 200, "DELETE", "/apis/node.k8s.io/v1/runtimeclasses/vm", NULL);
	runtime_fake_network(w->rt, true);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_val(phase(pod(w, "p")), "Pending");
	assert_true(events(w, "p", "FailedCreatePodSandBox",
			   "Failed to create pod sandbox: runtimeclass.node.k8s.io \"vm\" not found") > 0);
	make_class(w, "vm", "runc", "");
	rig_run(w->rig, 2 * NS_PER_SEC); /* kicked, not at the end of a pause that has grown */
	assert_val(phase(pod(w, "p")), "Running");
	assert_string_equal(ran.handler, "runc");
}

static void test_node_tells(void **state)
{
	struct world *w = *state;
	const struct val *n, *list;

	rig_run(w->rig, 20 * NS_PER_SEC);
	n = expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL);
	list = val_get(n, F_status, F_runtimeHandlers);
	assert_int_equal(val_len(list), 3);
	assert_val(val_get(val_at(list, 1), F_name), "runc");
	assert_true(val_get_bool(val_at(list, 1), F_features, F_userNamespaces));
	assert_true(val_get_bool(val_at(list, 0), F_features, F_recursiveReadOnlyMounts));
	assert_false(val_get_bool(val_at(list, 2), F_features, F_recursiveReadOnlyMounts));
	assert_true(val_get_bool(n, F_status, F_features, F_supplementalGroupsPolicy));
	/* A runtime that does not answer is still the one that it was. */
	runtime_fake_hang(w->rt, true);
	rig_run(w->rig, 60 * NS_PER_SEC);
	n = expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL);
	assert_val(cond(n, "Ready"), "False");
	assert_int_equal(val_len(val_get(n, F_status, F_runtimeHandlers)), 3);
	/* Another one, which tells nothing. */
	runtime_fake_features(w->rt, &(struct rt_features){ 0 });
	runtime_fake_hang(w->rt, false);
	rig_run(w->rig, 60 * NS_PER_SEC);
	n = expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL);
	assert_val(cond(n, "Ready"), "True");
	assert_null(val_get(n, F_status, F_runtimeHandlers));
	assert_null(val_get(n, F_status, F_features));
}

#define RRO(class, how)                                                                                               \
	class "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"containers\":[{\"name\":\"a\",\"image\":\"demo\","    \
	      "\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\",\"readOnly\":true,\"recursiveReadOnly\":\"" how \
	      "\"},"                                                                                                  \
	      "{\"name\":\"v\",\"mountPath\":\"/w\",\"readOnly\":true}]}]"

static struct sv mount_says(struct world *w, const char *name, size_t i)
{
	return val_get_str(val_at(val_get(cs(pod(w, name), 0), F_volumeMounts), i), F_recursiveReadOnly);
}

/* As the handler can; what is told of a container that runs is what it was given. */
static void test_read_only_below(void **state)
{
	struct world *w = *state;
	const struct val *waiting;

	make_class(w, "vm", "kata", "");
	make(w, "sure", RRO("", "Enabled"));
	make(w, "maybe", RRO("", "IfPossible"));
	make(w, "plain", RRO("", "Disabled"));
	make(w, "cannot", RRO("\"runtimeClassName\":\"vm\",", "Enabled"));
	make(w, "without", RRO("\"runtimeClassName\":\"vm\",", "IfPossible"));
	rig_run(w->rig, 5 * NS_PER_SEC);
	waiting = val_get(cs(pod(w, "cannot"), 0), F_state, F_waiting);
	assert_val(val_get(waiting, F_reason), "CreateContainerConfigError");
	assert_val(val_get(waiting, F_message),
		   "volume \"v\" requested recursive read-only mode, but it is not supported by the runtime");
	restart_kubelet(w, NS_PER_SEC); /* told by another agent, of a runtime that can no more */
	runtime_fake_features(w->rt, &(struct rt_features){ 0 });
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_sv(mount_says(w, "sure", 0), "Enabled");
	assert_sv(mount_says(w, "sure", 1), "Disabled");
	assert_sv(mount_says(w, "maybe", 0), "Enabled");
	assert_sv(mount_says(w, "plain", 0), "Disabled");
	assert_val(phase(pod(w, "without")), "Running");
	assert_sv(mount_says(w, "without", 0), "Disabled");
}

static void note_groups(const struct rt_container_config *c, const struct rt_sandbox_config *sc, void *ctx)
{
	int *strict = ctx;

	*strict = c->strict_groups + sc->strict_groups;
}

static void test_strict_groups(void **state)
{
	static int strict;
	struct world *w = *state;

	rig_run(w->rig, 20 * NS_PER_SEC); /* the Node says that it can */
	runtime_fake_on_create(w->rt, note_groups, &strict);
	make(w, "strict",
	     "\"securityContext\":{\"supplementalGroupsPolicy\":\"Strict\"},\"containers\":[{\"name\":\"a\",\"image\":"
	     "\"demo\"}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(phase(pod(w, "strict")), "Running");
	assert_int_equal(strict, 2);
	make(w, "merged",
	     "\"securityContext\":{\"supplementalGroupsPolicy\":\"Merge\"},\"containers\":[{\"name\":\"a\",\"image\":"
	     "\"demo\"}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_int_equal(strict, 0);
	runtime_fake_on_create(w->rt, NULL, NULL);
}

static void note_mounts(const struct rt_container_config *c, const struct rt_sandbox_config *sc, void *ctx)
{
	struct buf *b = ctx;

	(void)sc;
	buf_addsv(b, c->name);
	for (size_t i = 0; i < c->n_mounts; i++)
		buf_printf(b, " %.*s=%.*s of %.*s%s%s", SV_ARG(c->mounts[i].container_path),
			   SV_ARG(c->mounts[i].image_sub_path), SV_ARG(c->mounts[i].image),
			   c->mounts[i].image_ref.n ? "" : " without id", c->mounts[i].readonly ? " ro" : "");
	buf_addsv(b, SV("\n"));
}

#define OF_IMAGE(reference, policy)                                                                                    \
	"\"volumes\":[{\"name\":\"v\",\"image\":{\"reference\":\"" reference "\",\"pullPolicy\":\"" policy             \
	"\"}}],\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/" \
	"all\"},"                                                                                                      \
	"{\"name\":\"v\",\"mountPath\":\"/part\",\"subPath\":\"etc\"}]},{\"name\":\"b\",\"image\":\"demo\"}]"

/* Pulled as a container's, mounted by the runtime; who does not mount it does not wait for it. */
static void test_image_volumes(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct world *w = *state;
	const struct val *waiting;

	runtime_fake_on_create(w->rt, note_mounts, &b);
	make(w, "p", OF_IMAGE("data:1", "IfNotPresent"));
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(phase(pod(w, "p")), "Running");
	if (!strstr(buf_cstr(&b),
		    "a /all= of docker.io/library/data:1 ro /part=etc of docker.io/library/data:1 ro\n") ||
	    !strstr(buf_cstr(&b), "b\n"))
		fail_msg("%s", buf_cstr(&b));
	assert_int_equal(events(w, "p", "Pulling", "Pulling image \"data:1\""), 1);
	assert_true(val_get_bool(cs(pod(w, "p"), 0), F_ready));
	runtime_fake_on_create(w->rt, NULL, NULL);

	runtime_fake_strict_images(w->rt, true);
	make(w, "absent", OF_IMAGE("none:1", "IfNotPresent"));
	make(w, "never", OF_IMAGE("none:2", "Never"));
	rig_run(w->rig, 60 * NS_PER_SEC);
	waiting = val_get(cs(pod(w, "absent"), 0), F_state, F_waiting);
	assert_val(val_get(waiting, F_reason), "ImagePullBackOff");
	assert_true(val_get(cs(pod(w, "absent"), 1), F_state, F_running) != NULL);
	waiting = val_get(cs(pod(w, "never"), 0), F_state, F_waiting);
	assert_val(val_get(waiting, F_reason), "ErrImageNeverPull");
	runtime_fake_add_image(w->rt, "docker.io/library/none:2");
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_true(val_get(cs(pod(w, "never"), 0), F_state, F_running) != NULL);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/absent", NULL);
	rig_run(w->rig, 60 * NS_PER_SEC);
	gone(w, "absent");
}

static void test_image_volumes_refused(void **state)
{
	struct world *w = *state;
	const struct val *waiting;

	runtime_fake_features(w->rt, &(struct rt_features){ .told = true });
	make(w, "p", OF_IMAGE("data:1", "IfNotPresent"));
	rig_run(w->rig, 5 * NS_PER_SEC);
	waiting = val_get(cs(pod(w, "p"), 0), F_state, F_waiting);
	assert_val(val_get(waiting, F_reason), "CreateContainerConfigError");
	assert_val(val_get(waiting, F_message),
		   "volume \"v\" of kind image cannot be given by this node's runtime: containerd mounts images since "
		   "2.1, CRI-O since 1.31");
	assert_true(val_get(cs(pod(w, "p"), 1), F_state, F_running) != NULL);
}

static void test_who_mounts_images(void **state)
{
	static const struct {
		const char *name, *version;
		bool does;
	} t[] = {
		{ "containerd", "1.6.20~ds1", false }, { "containerd", "v2.0.5", false },
		{ "containerd", "v2.1.0-rc.1", true }, { "containerd", "2.10.0", true },
		{ "containerd", "3.0.0", true },       { "cri-o", "1.30.9", false },
		{ "cri-o", "1.31.0", true },	       { "containerd", "", false },
		{ "containerd", "v", false },	       { "containerd", "x.y", false },
		{ "other", "9.9.9", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		if (cri_mounts_images(sv_from(t[i].name), sv_from(t[i].version)) != t[i].does)
			fail_msg("%s %s", t[i].name, t[i].version);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_able, teardown)
	const struct CMUnitTest tests[] = {
		T(test_handler_is_passed),
		T(test_overhead),
		T(test_unknown_handler),
		T(test_class_is_gone),
		T(test_node_tells),
		T(test_read_only_below),
		T(test_strict_groups),
		T(test_image_volumes),
		T(test_image_volumes_refused),
		cmocka_unit_test(test_who_mounts_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
