#include "sim/cluster.h"
#include "codec/json.h"
#include "controllers/controllers.h"
#include "kubelet/fake_runtime.h"
#include "kubelet/kubelet.h"
#include "scheduler/scheduler.h"
#include "sim/env_sim.h"

#include <stdlib.h>

#define START_WALL_NS (INT64_C(1767225600) * NS_PER_SEC) /* 2026-01-01T00:00:00Z */
#define TASK_JITTER_NS (2 * NS_PER_MS)

/* --- the machine under a kubelet: always there, always ready --- */

static int nothing(struct kubelet *k, const struct val *pod, struct err *err)
{
	(void)k;
	(void)pod;
	(void)err;
	return 0;
}

static int no_teardown(struct kubelet *k, struct sv uid, struct err *err)
{
	(void)k;
	(void)uid;
	(void)err;
	return 0;
}

static int no_cgroup(struct kubelet *k, const struct val *pod, bool create, struct err *err)
{
	(void)k;
	(void)pod;
	(void)create;
	(void)err;
	return 0;
}

static void machine(struct kubelet *k, struct arena *a, struct val *status)
{
	struct val *cap = val_new_map(a);

	(void)k;
	val_set_str_sv(a, cap, SV("cpu"), SV("8"));
	val_set_str_sv(a, cap, SV("memory"), SV("32Gi"));
	val_set_str_sv(a, cap, SV("pods"), SV("110"));
	val_set(a, status, F_capacity, cap);
	val_set(a, status, F_allocatable, cap);
}

static const struct kubelet_host host = {
	.make_pod_dirs = nothing,
	.setup_volumes = nothing,
	.teardown_pod = no_teardown,
	.pod_cgroup = no_cgroup,
	.machine_info = machine,
};

/* --- nodes --- */

static struct client *client_as(struct cluster *c, enum env_class class, const char *name, const char *user,
				const char *const *groups)
{
	struct client *inner = apiserver_client(c->server, name, user, groups);

	inner->class = class;
	return faults_client(&c->faults, inner);
}

static struct client *cluster_controller_client(void *ctx, const char *account)
{
	struct cluster *c = ctx;

	return faults_client(&c->faults, apiserver_client_account(c->server, "kube-controller-manager", account));
}

int cluster_node_on(struct cluster *c, int i, struct err *err)
{
	struct sim_node *n = &c->nodes[i];
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *const labels[] = { arena_printf(&a, "topology.kubernetes.io/zone=zone-%d", i % 3), NULL };

	if (n->kubelet)
		return 0;
	event_log_note(c->log, "node %s is switched on", n->name);
	n->runtime = runtime_fake_new(c->env);
	n->kubelet =
	    kubelet_new(&(struct kubelet_opts){ .env = c->env,
						.client = n->client,
						.runtime = n->runtime,
						.host = &host,
						.node_name = n->name,
						.node_ips = arena_printf(&a, "192.0.%d.%d", 2 + i / 250, 1 + i % 250),
						.cluster_dns = "10.43.0.10",
						.cluster_domain = "cluster.local",
						.node_labels = labels,
						.port = -1 },
			err);
	if (!n->kubelet) {
		n->runtime->ops->free(n->runtime);
		n->runtime = NULL;
		return -1;
	}
	return 0;
}

void cluster_node_off(struct cluster *c, int i)
{
	struct sim_node *n = &c->nodes[i];

	if (!n->kubelet)
		return;
	event_log_note(c->log, "node %s loses power", n->name);
	/* Cut first: nothing it does on the way down may reach the API. */
	faults_cut(n->client, true);
	n->kubelet = kubelet_free(n->kubelet);
	n->runtime->ops->free(n->runtime);
	n->runtime = NULL;
	faults_cut(n->client, n->cut);
}

void cluster_node_cut(struct cluster *c, int i, bool cut)
{
	event_log_note(c->log, "node %s is %s", c->nodes[i].name, cut ? "cut off" : "joined again");
	c->nodes[i].cut = cut;
	faults_cut(c->nodes[i].client, cut);
}

bool cluster_node_alive(const struct cluster *c, int i)
{
	return c->nodes[i].kubelet && !c->nodes[i].cut;
}

int cluster_node_index(const struct cluster *c, struct sv name)
{
	int64_t i;

	if (!sv_starts(name, SV("node-")) || !sv_to_i64(sv_sub(name, 5, name.n), &i) || i >= c->n_nodes)
		return -1;
	return (int)i;
}

/* --- the cluster --- */

static int cluster_start(struct cluster *c, const struct cluster_opts *o, struct err *err)
{
	static const char *const masters[] = { "system:masters", NULL };
	static const char *const nodes[] = { "system:nodes", NULL };

	c->log = event_log_open(c->env, c->store, o->log, err);
	if (!c->log)
		return -1;
	c->server = apiserver_new(&(struct apiserver_opts){ .env = c->env,
							    .store = c->store,
							    .service_cidr = "10.43.0.0/16",
							    .cluster_cidr = "10.42.0.0/16",
							    .node_port_range = "30000-32767",
							    .cluster_domain = "cluster.local",
							    .advertise_address = "192.0.2.1",
							    .advertise_port = 6443,
							    .insecure_in_memory = true },
				  err);
	if (!c->server)
		return -1;
	c->client = apiserver_client(c->server, "admin", "admin", masters);
	c->controllers_client =
	    client_as(c, ENV_CONTROL, "kube-controller-manager", "system:kube-controller-manager", NULL);
	c->scheduler_client = client_as(c, ENV_CONTROL, "kube-scheduler", "system:kube-scheduler", NULL);
	c->controllers = controllers_new(&(struct controllers_opts){ .env = c->env,
								     .client = c->controllers_client,
								     .client_as = cluster_controller_client,
								     .client_ctx = c,
								     .kinds = apiserver_kinds(c->server),
								     .no_gateway = true, /* nobody serves any there */
								     .cluster_cidr = "10.42.0.0/16" });
	c->scheduler = scheduler_new(&(struct scheduler_opts){ .env = c->env, .client = c->scheduler_client });
	c->nodes = xcalloc((size_t)o->nodes, sizeof(*c->nodes));
	for (int i = 0; i < o->nodes; i++) {
		struct sim_node *n = &c->nodes[c->n_nodes++];
		_cleanup_free_ char *user = NULL;

		n->name = xasprintf("node-%d", i);
		n->index = i;
		user = xasprintf("system:node:%s", n->name);
		n->client = client_as(c, ENV_NODE, "kubelet", user, nodes);
		if (cluster_node_on(c, i, err) < 0)
			return -1;
	}
	return 0;
}

struct cluster *cluster_new(const struct cluster_opts *o, struct err *err)
{
	struct cluster *c = xcalloc(1, sizeof(*c));

	c->env = env_sim_new(o->seed, START_WALL_NS, true);
	env_sim_set_jitter(c->env, TASK_JITTER_NS);
	if (o->calls_last)
		env_sim_let_wait(c->env);
	c->faults.env = c->env;
	c->store = store_mem_new(c->env);
	return cluster_start(c, o, err) < 0 ? cluster_free(c) : c;
}

struct cluster *cluster_free(struct cluster *c)
{
	if (!c)
		return NULL;
	/* What is under way comes to its end: a component that is freed waits for none of its own. */
	c->faults.call_max_ns = 0;
	while (env_sim_waiting(c->env))
		env_sim_run(c->env, NS_PER_SEC);
	for (int i = 0; i < c->n_nodes; i++)
		cluster_node_off(c, i);
	scheduler_free(c->scheduler);
	controllers_free(c->controllers);
	/* Late tasks drop what they hold. */
	env_sim_run(c->env, 10 * NS_PER_SEC);
	for (int i = 0; i < c->n_nodes; i++) {
		client_free(c->nodes[i].client);
		free(c->nodes[i].name);
	}
	free(c->nodes);
	client_free(c->scheduler_client);
	client_free(c->controllers_client);
	client_free(c->client);
	if (c->server)
		apiserver_shutdown(c->server);
	env_sim_run(c->env, NS_PER_SEC);
	apiserver_free(c->server);
	event_log_close(c->log);
	store_close(c->store);
	env_sim_free(c->env);
	free(c);
	return NULL;
}

void cluster_run(struct cluster *c, int64_t ns)
{
	env_sim_run(c->env, ns);
}

int cluster_create(struct cluster *c, const struct resource *r, const char *ns, const char *json, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = json_decode(&a, sv_from(json), NULL, err);

	return doc ? client_create(c->client, r, sv_from(ns), doc, NULL, NULL, err) : -1;
}
