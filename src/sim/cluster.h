/* cluster.h - a control plane and its nodes in one process, on virtual time.
 *
 * The real API server (on the store in memory), controllers, scheduler and kubelets, in the simulated env; only
 * the container runtime (kubelet/fake_runtime.h), the machine under a kubelet and the way to
 * the API (faults.h) are made up. A node can lose power, come back, or be cut off.
 *
 * Everything runs inside cluster_run(); the functions here are called between runs or from tasks
 * of the env.
 */
#pragma once

#include "apiserver/apiserver.h"
#include "sim/event_log.h"
#include "sim/faults.h"

struct kubelet;
struct runtime;

struct sim_node {
	char *name;
	int index;
	struct client *client;
	struct runtime *runtime;
	struct kubelet *kubelet; /* NULL: no power */
	bool cut;
};

struct cluster_opts {
	uint64_t seed;
	int nodes;
	int zones;	 /* labels of nodes; 0: 3 */
	const char *log; /* event log's file, or NULL */
	bool calls_last; /* calls may take virtual time (faults.call_max_ns) */
};

struct cluster {
	struct env *env;
	struct store *store;
	struct apiserver *server;
	struct client *client; /* the administrator's: without faults */
	struct client *controllers_client, *scheduler_client;
	struct controllers *controllers;
	struct scheduler *scheduler;
	struct faults faults; /* none until somebody sets chances */
	struct event_log *log;
	struct sim_node *nodes;
	int n_nodes;
};

struct cluster *cluster_new(const struct cluster_opts *o, struct err *err);
struct cluster *cluster_free(struct cluster *c);
void cluster_run(struct cluster *c, int64_t ns);

void cluster_node_off(struct cluster *c, int i);		 /* power is gone, and every container with it */
int cluster_node_on(struct cluster *c, int i, struct err *err);	 /* boots with nothing running */
void cluster_node_cut(struct cluster *c, int i, bool cut);	 /* runs on, but cannot reach the API */
bool cluster_node_alive(const struct cluster *c, int i);	 /* has power and a way to the API */
int cluster_node_index(const struct cluster *c, struct sv name); /* -1: none of ours */

/* Creates the object in JSON text as the administrator. */
int cluster_create(struct cluster *c, const struct resource *r, const char *ns, const char *json, struct err *err);
