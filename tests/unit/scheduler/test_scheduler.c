/* The whole scheduler on a real API server (mem store), in virtual time. */
#include "kit.h"

#include "apiserver/apiserver.h"
#include "scheduler/scheduler.h"
#include "sim/env_sim.h"

struct world {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct client *client, *sched_client;
	struct scheduler *sched;
	struct arena arena;
};

static void put(struct world *w, const struct resource *r, struct obj *o_take)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	int rc = client_create(w->client, r, obj_ns(o_take), obj_root(o_take), NULL, NULL, &err);

	if (rc < 0)
		print_message("%s\n", err_msg(&err));
	assert_int_equal(rc, 0);
	obj_unref(o_take);
}

static void merge(struct world *w, const struct resource *r, const char *ns, const char *name, struct obj *o_take)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	int rc =
	    client_patch(w->client, r, sv_from(ns), sv_from(name), PATCH_MERGE, obj_root(o_take), NULL, NULL, &err);

	if (rc < 0)
		print_message("%s\n", err_msg(&err));
	assert_int_equal(rc, 0);
	obj_unref(o_take);
}

static void add_node(struct world *w, const char *name, const char *cpu)
{
	put(w, RES(core_nodes),
	    kit_obj("{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s'},'status':{'allocatable':{'cpu':'%s',"
		    "'memory':'8Gi','pods':'110'}}}",
		    name, cpu));
	/* Born not ready; the node lifecycle controller would take the taint away. */
	merge(w, RES(core_nodes), "", name, kit_obj("{'spec':{'taints':null}}"));
}

static void add_unready(struct world *w, int i)
{
	put(w, RES(core_nodes),
	    kit_obj("{'apiVersion':'v1','kind':'Node','metadata':{'name':'n%d'},'status':{'allocatable':{"
		    "'cpu':'8','memory':'8Gi','pods':'110'}}}",
		    i));
}

static void add_pod(struct world *w, const char *name, const char *cpu, const char *more)
{
	put(w, RES(core_pods),
	    kit_obj(
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default'},'spec':{'containers':["
		"{'name':'c','image':'i','resources':{'requests':{'cpu':'%s'}}}]%s}}",
		name, cpu, more));
}

static const struct val *get_pod(struct world *w, const char *name)
{
	struct obj *o = NULL;

	if (client_get(w->client, RES(core_pods), SV("default"), sv_from(name), &o, NULL) < 0)
		return NULL;
	return obj_root(obj_link(&w->arena, o));
}

static void assert_on(struct world *w, const char *pod, const char *node)
{
	assert_sv(val_get_str(get_pod(w, pod), F_spec, F_nodeName), node);
}

static bool has_event(struct world *w, const char *pod, const char *reason, const char *message)
{
	_cleanup_(obj_list_release) struct obj_list l = { 0 };

	assert_int_equal(client_list(w->client, RES(core_events), SV("default"), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++)
		if (val_is(obj_get(l.items[i], F_involvedObject, F_name), pod) &&
		    val_is(obj_get(l.items[i], F_reason), reason) && val_is(obj_get(l.items[i], F_message), message))
			return true;
	return false;
}

static const struct val *condition(const struct val *pod, const char *type)
{
	VAL_EACH(val_get(pod, F_status, F_conditions), c)
		if (val_is(val_get(c, F_type), type))
			return c;
	return NULL;
}

static int setup_env(void **state, bool shuffle)
{
	static const char *const masters[] = { "system:masters", NULL };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct world *w = xcalloc(1, sizeof(*w));

	w->env = env_sim_new(11, INT64_C(1767225600) * NS_PER_SEC, shuffle);
	w->store = store_mem_new(w->env);
	w->server = apiserver_new(&(struct apiserver_opts){ .env = w->env,
							    .store = w->store,
							    .service_cidr = "10.43.0.0/16",
							    .cluster_cidr = "10.42.0.0/16",
							    .node_port_range = "30000-32767",
							    .cluster_domain = "cluster.local",
							    .advertise_address = "10.0.0.1",
							    .advertise_port = 6443,
							    .insecure_in_memory = true },
				  &err);
	assert_non_null(w->server);
	w->client = apiserver_client(w->server, "test", "admin", masters);
	w->sched_client = apiserver_client(w->server, "kube-scheduler", "system:kube-scheduler", NULL);
	put(w, RES(core_serviceaccounts),
	    kit_obj("{'apiVersion':'v1','kind':'ServiceAccount','metadata':{'name':'default','namespace':'default'}}"));
	w->sched = scheduler_new(&(struct scheduler_opts){ .env = w->env, .client = w->sched_client });
	*state = w;
	return 0;
}

static int setup(void **state)
{
	return setup_env(state, true);
}

/* Tasks in the order they were posted: for what is only true when news are not overtaken by all that follows. */
static int setup_in_order(void **state)
{
	return setup_env(state, false);
}

static int teardown(void **state)
{
	struct world *w = *state;

	scheduler_free(w->sched);
	client_free(w->sched_client);
	client_free(w->client);
	apiserver_shutdown(w->server);
	env_sim_run(w->env, NS_PER_SEC);
	apiserver_free(w->server);
	store_close(w->store);
	arena_release(&w->arena);
	env_sim_free(w->env);
	free(w);
	return 0;
}

static void run(struct world *w, int64_t seconds)
{
	env_sim_run(w->env, seconds * NS_PER_SEC);
}

static void test_bind_and_refuse(void **state)
{
	static const char message[] =
	    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims "
	    "found for incoming pod.";
	struct world *w = *state;
	const struct val *c;

	run(w, 2);
	assert_true(scheduler_synced(w->sched));
	add_node(w, "n1", "2");
	add_pod(w, "a", "1", "");
	run(w, 1);
	assert_on(w, "a", "n1");
	assert_sv(val_get_str(condition(get_pod(w, "a"), "PodScheduled"), F_status), "True");
	assert_true(has_event(w, "a", "Scheduled", "Successfully assigned default/a to n1"));

	add_pod(w, "b", "1500m", "");
	run(w, 1);
	assert_on(w, "b", "");
	c = condition(get_pod(w, "b"), "PodScheduled");
	assert_sv(val_get_str(c, F_status), "False");
	assert_sv(val_get_str(c, F_reason), "Unschedulable");
	assert_sv(val_get_str(c, F_message), message);
	assert_true(has_event(w, "b", "FailedScheduling", message));
	/* A node comes: no waiting for a retry. */
	run(w, 60);
	add_node(w, "n2", "2");
	run(w, 1);
	assert_on(w, "b", "n2");
}

static void test_whose_pods(void **state)
{
	struct world *w = *state;

	add_node(w, "n1", "2");
	run(w, 2);
	add_pod(w, "other", "100m", ",'schedulerName':'somebody-else'");
	add_pod(w, "gated", "100m", ",'schedulingGates':[{'name':'x/wait'}]");
	run(w, 400);
	assert_on(w, "other", "");
	assert_on(w, "gated", "");
	assert_null(condition(get_pod(w, "gated"), "FailedScheduling"));
	merge(w, RES(core_pods), "default", "gated", kit_obj("{'spec':{'schedulingGates':null}}"));
	run(w, 1);
	assert_on(w, "gated", "n1");
}

static void test_deleted_makes_room(void **state)
{
	struct world *w = *state;
	struct client_delete_opts now = CLIENT_DELETE_OPTS;

	now.grace_seconds = 0;
	add_node(w, "n1", "1");
	run(w, 2);
	add_pod(w, "a", "1", "");
	run(w, 1);
	add_pod(w, "b", "1", "");
	run(w, 60);
	assert_on(w, "b", "");
	assert_int_equal(client_delete(w->client, RES(core_pods), SV("default"), SV("a"), &now, NULL), 0);
	run(w, 1);
	assert_on(w, "b", "n1");
}

static void test_preempts(void **state)
{
	struct world *w = *state;
	struct client_delete_opts now = CLIENT_DELETE_OPTS;

	now.grace_seconds = 0;
	put(w, RES(scheduling_priorityclasses),
	    kit_obj("{'apiVersion':'scheduling.k8s.io/"
		    "v1','kind':'PriorityClass','metadata':{'name':'high'},'value':1000}"));
	add_node(w, "n1", "1");
	run(w, 2);
	add_pod(w, "low", "1", "");
	run(w, 1);
	assert_on(w, "low", "n1");
	add_pod(w, "high", "1", ",'priorityClassName':'high'");
	run(w, 1);
	/* The victim is asked to go, and its place is promised. */
	assert_true(val_get(get_pod(w, "low"), F_metadata, F_deletionTimestamp) != NULL);
	assert_sv(val_get_str(condition(get_pod(w, "low"), "DisruptionTarget"), F_reason), "PreemptionByScheduler");
	assert_sv(val_get_str(get_pod(w, "high"), F_status, F_nominatedNodeName), "n1");
	assert_on(w, "high", "");
	/* Nobody less important takes it meanwhile. */
	add_pod(w, "sneaky", "1", "");
	assert_int_equal(client_delete(w->client, RES(core_pods), SV("default"), SV("low"), &now, NULL), 0);
	run(w, 15);
	assert_on(w, "high", "n1");
	assert_on(w, "sneaky", "");
}

static const struct val *get(struct world *w, const struct resource *r, const char *ns, const char *name)
{
	struct obj *o = NULL;

	assert_int_equal(client_get(w->client, r, sv_from(ns), sv_from(name), &o, NULL), 0);
	return obj_root(obj_link(&w->arena, o));
}

static void add_claim(struct world *w, const char *name, const char *class)
{
	put(w, RES(core_persistentvolumeclaims),
	    kit_obj(
		"{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'name':'%s','namespace':'default'},'"
		"spec':{"
		"'storageClassName':'%s','accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}",
		name, class));
}

/* A Pod whose claim waits for its node: the claim is told, the node is kept, and the Pod goes there when it is bound.
 */
static void test_claims_wait_for_the_node(void **state)
{
	struct world *w = *state;
	const struct val *pv;

	put(w, RES(storage_storageclasses),
	    kit_obj("{'apiVersion':'storage.k8s.io/"
		    "v1','kind':'StorageClass','metadata':{'name':'made'},'provisioner':'x.io/p',"
		    "'volumeBindingMode':'WaitForFirstConsumer'}"));
	put(w, RES(storage_storageclasses),
	    kit_obj("{'apiVersion':'storage.k8s.io/v1','kind':'StorageClass','metadata':{'name':'local'},'provisioner':"
		    "'kubernetes.io/no-provisioner','volumeBindingMode':'WaitForFirstConsumer'}"));
	put(w, RES(core_persistentvolumes),
	    kit_obj("{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'disk'},'spec':{'capacity':{'"
		    "storage':'1Gi'},"
		    "'accessModes':['ReadWriteOnce'],'storageClassName':'local','hostPath':{'path':'/x'}}}"));
	{
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct obj *o = NULL;
		struct val *doc;

		assert_int_equal(client_get(w->client, RES(core_persistentvolumes), SV(""), SV("disk"), &o, NULL), 0);
		doc = obj_edit(&a, o);
		obj_unref(o);
		val_set_cstr(&a, val_ensure_map(&a, doc, F_status), F_phase, "Available");
		assert_int_equal(client_update_status(w->client, RES(core_persistentvolumes), doc, NULL, NULL), 0);
	}
	add_node(w, "n1", "1");
	add_claim(w, "c", "made");
	add_claim(w, "d", "local");
	run(w, 2);
	add_pod(w, "a", "600m",
		",'volumes':[{'name':'v','persistentVolumeClaim':{'claimName':'c'}},{'name':'w',"
		"'persistentVolumeClaim':{'claimName':'d'}}]");
	run(w, 5);
	assert_on(w, "a", "");
	assert_sv(val_str(val_member_sv(
		      val_get(get(w, RES(core_persistentvolumeclaims), "default", "c"), F_metadata, F_annotations),
		      SV("volume.kubernetes.io/selected-node"))),
		  "n1");
	pv = get(w, RES(core_persistentvolumes), "", "disk");
	assert_sv(val_get_str(pv, F_spec, F_claimRef, F_name), "d");
	assert_true(val_equal(val_get(pv, F_spec, F_claimRef, F_uid),
			      val_get(get(w, RES(core_persistentvolumeclaims), "default", "d"), F_metadata, F_uid)));
	/* It waits for its claims and for nothing else, and nobody takes its place. */
	assert_null(condition(get_pod(w, "a"), "PodScheduled"));
	add_pod(w, "b", "600m", "");
	run(w, 30);
	assert_on(w, "b", "");
	/* Who binds is not here: one claim after the other. */
	merge(
	    w, RES(core_persistentvolumeclaims), "default", "d",
	    kit_obj(
		"{'metadata':{'annotations':{'pv.kubernetes.io/bind-completed':'yes'}},'spec':{'volumeName':'disk'}}"));
	put(w, RES(core_persistentvolumes),
	    kit_obj("{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'new'},'spec':{'capacity':{'"
		    "storage':'1Gi'},"
		    "'accessModes':['ReadWriteOnce'],'storageClassName':'made','hostPath':{'path':'/"
		    "x'},'nodeAffinity':{'required':{"
		    "'nodeSelectorTerms':[{'matchFields':[{'key':'metadata.name','operator':'In','values':['n1']}]}]}},"
		    "'claimRef':{"
		    "'namespace':'default','name':'c'}}}"));
	run(w, 20);
	assert_on(w, "a", "");
	merge(
	    w, RES(core_persistentvolumeclaims), "default", "c",
	    kit_obj(
		"{'metadata':{'annotations':{'pv.kubernetes.io/bind-completed':'yes'}},'spec':{'volumeName':'new'}}"));
	run(w, 20);
	assert_on(w, "a", "n1");
	assert_on(w, "b", "");
}

static void test_restart(void **state)
{
	struct world *w = *state;

	add_node(w, "n1", "3");
	run(w, 2);
	add_pod(w, "a", "1", "");
	add_pod(w, "b", "1", "");
	/* Freed in the middle of things, at every step. */
	for (int i = 0; i < 30; i++) {
		w->sched = scheduler_free(w->sched);
		w->sched = scheduler_new(&(struct scheduler_opts){ .env = w->env, .client = w->sched_client });
		env_sim_run(w->env, i * NS_PER_MS);
	}
	run(w, 30);
	assert_on(w, "a", "n1");
	assert_on(w, "b", "n1");
}

/* The scheduler's client, with something happening during its first status patch. */
static struct {
	struct world *w;
	const struct client_ops *real;
	size_t patches;
} spy;

static int spy_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		     const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	if (r == RES(core_pods) && ++spy.patches == 1)
		add_node(spy.w, "n1", "8");
	return spy.real->patch(c, r, ns, name, t, patch, o, ret, err);
}

/* Many Pods wait for a node; it comes while the first of them is told. Those that are bound before it is their turn
 * are not told any more, and nobody is told after having been bound. */
static void test_explanations_give_way(void **state)
{
	enum { PODS = 40 };
	struct world *w = *state;
	struct client_ops ops = *w->sched_client->ops;
	char name[16];

	spy.w = w;
	spy.real = w->sched_client->ops;
	spy.patches = 0;
	ops.patch = spy_patch;
	w->sched_client->ops = &ops;
	scheduler_free(w->sched);
	run(w, 1);
	w->sched =
	    scheduler_new(&(struct scheduler_opts){ .env = w->env, .client = w->sched_client, .bind_parallelism = 1 });
	run(w, 1);
	for (int i = 0; i < PODS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		add_pod(w, name, "100m", "");
	}
	run(w, 60);
	for (int i = 0; i < PODS; i++) {
		const struct val *pod;

		snprintf(name, sizeof(name), "p%d", i);
		assert_on(w, name, "n1");
		pod = get_pod(w, name);
		assert_true(val_is(val_get(condition(pod, "PodScheduled"), F_status), "True"));
	}
	print_message("# %zu of %d were told\n", spy.patches, (int)PODS);
	assert_in_range(spy.patches, 1, PODS / 2);
	scheduler_free(w->sched);
	w->sched = NULL;
	w->sched_client->ops = spy.real;
}

static struct {
	struct world *w;
	const struct client_ops *real;
	int now, most, told;
} busy;

/* Everybody else goes on while this one is under way. */
static int busy_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		      const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	int rc;

	if (r != RES(core_pods)) /* an event */
		return busy.real->patch(c, r, ns, name, t, patch, o, ret, err);
	busy.now++;
	busy.most = MAX(busy.most, busy.now);
	if (busy.now < 10)
		run(busy.w, 1);
	rc = busy.real->patch(c, r, ns, name, t, patch, o, ret, err);
	busy.now--;
	busy.told++;
	return rc;
}

/* However many bindings may be under way: those who only wait are told a few at a time, and all are told. */
static void test_explanations_are_few(void **state)
{
	struct world *w = *state;
	struct client_ops ops = *w->sched_client->ops;
	char name[16];

	busy.w = w;
	busy.real = w->sched_client->ops;
	busy.now = busy.most = busy.told = 0;
	ops.patch = busy_patch;
	w->sched_client->ops = &ops;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		add_pod(w, name, "100m", "");
	}
	run(w, 60);
	assert_int_equal(busy.told, 40);
	assert_int_equal(busy.most, 2);
	scheduler_free(w->sched);
	w->sched = NULL;
	w->sched_client->ops = busy.real;
}

/* A flood of Pods that nothing can be done for takes little of the server: the first are told at once, the others one
 * after the other, and all in the end. */
static void test_explanations_take_their_time(void **state)
{
	enum { PODS = 200 };
	struct world *w = *state;
	struct client_ops ops = *w->sched_client->ops;
	char name[16];

	busy.w = w;
	busy.real = w->sched_client->ops;
	busy.most = busy.told = 0;
	busy.now = 10; /* nothing goes on meanwhile */
	ops.patch = busy_patch;
	w->sched_client->ops = &ops;
	for (int i = 0; i < PODS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		add_pod(w, name, "100m", "");
	}
	run(w, 1);
	assert_in_range(busy.told, 100, 151);
	run(w, 1);
	assert_int_equal(busy.told, PODS);
	scheduler_free(w->sched);
	w->sched = NULL;
	w->sched_client->ops = busy.real;
}

/* While nodes come that are not ready, each of which says something new to all who wait: nobody waits for his first
 * explanation because others get their next. */
static void test_explanations_in_turn(void **state)
{
	enum { PODS = 250, SECONDS = 8 };
	struct world *w = *state;
	char name[16];
	int untold = 0;

	add_node(w, "small", "500m");
	for (int i = 0; i < PODS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		add_pod(w, name, "1", "");
	}
	for (int i = 0; i < SECONDS; i++) {
		add_unready(w, i);
		run(w, 1);
	}
	for (int i = 0; i < PODS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		untold += val_is(val_get(condition(get_pod(w, name), "PodScheduled"), F_status), "False") ? 0 : 1;
	}
	assert_int_equal(untold, 0);
}

/* What was true only for a while is not told when it is no more. */
static void test_explanation_that_is_past(void **state)
{
	enum { PODS = 200 };
	struct world *w = *state;
	char name[16];

	add_node(w, "small", "500m");
	add_unready(w, 0);
	for (int i = 0; i < PODS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		add_pod(w, name, "1", "");
	}
	run(w, 5);
	add_unready(w, 1);
	run(w, 1);
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(client_delete(w->client, RES(core_nodes), SV(""), sv_from(name), NULL, NULL), 0);
	}
	add_unready(w, 2);
	run(w, 30);
	for (int i = 0; i < PODS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_memory_equal(val_get_str(condition(get_pod(w, name), "PodScheduled"), F_message).p, "0/2 ", 4);
	}
}

#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_bind_and_refuse),
		WORLD_TEST(test_whose_pods),
		WORLD_TEST(test_deleted_makes_room),
		WORLD_TEST(test_preempts),
		WORLD_TEST(test_claims_wait_for_the_node),
		WORLD_TEST(test_restart),
		cmocka_unit_test_setup_teardown(test_explanations_give_way, setup_in_order, teardown),
		WORLD_TEST(test_explanations_are_few),
		WORLD_TEST(test_explanations_take_their_time),
		WORLD_TEST(test_explanations_in_turn),
		WORLD_TEST(test_explanation_that_is_past),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
