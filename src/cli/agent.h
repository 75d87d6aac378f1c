/* agent.h - the node half: containerd, kubelet, the network's parts, proxy, storage; the same in a server and joined.
 *
 *	caravel server ─▶ struct agent_home (in-process clients, certificates made on the spot)  ─┐
 *	                                                                                          ├─▶ agent_start()
 *	caravel agent  ─▶ struct agent_home (HTTPS as system:node:NAME, certificates by request) ─┘
 *
 * What is here knows neither of the two. It is told by three things:
 *
 *	struct node_opts       what this machine was asked to do: flags that both commands have (node_opts.c)
 *	struct cluster_facts   what holds for all nodes: flags of the server, told to agents by a ConfigMap (facts.c)
 *	struct agent_home      where the API is, as whom, and with which certificate the kubelet serves
 *
 * To add a part of every node (names, routes, policies): a static start function in agent.c that takes (a, err) and
 * finds all of these in a->o, a->home and a->home->facts; a line in agent_begin(), its stop in agent_stop() in reverse
 * order. Its client: a->home->client(a->home->ctx, AGENT_NETWORK, "dns"). What it reads of Services, EndpointSlices or
 * Nodes it says in start_sharing(), and takes from a->shared.
 */
#pragma once

#include "base/env.h"
#include "base/vec.h"
#include "cli/facts.h"
#include "client/client.h"
#include "kubelet/claim.h"

struct node_opts {
	const char *data_dir, *node_name, *node_ip, *resolv_conf;
	const char *runtime_endpoint, *kubelet_root, *pause_image, *storage_dir, *registry_config_dir;
	const char *logging_format, *vmodule, *restore_grace;
	int kubelet_port, pod_max_pids, verbosity;
	int ingress_http_port, ingress_https_port; /* 0: none */
	const char *node_ip_more;  /* of the other family, by flag; NULL: found when the cluster has both */
	const char *flannel_iface; /* over which nodes reach each other's pods; NULL: that of node_ip */
	const char *pod_addresses; /* its addresses, where they are not node_ip's: "v4,v6" or NULL */
	bool node_ip_found;	   /* no flag says it: it may change while we run */
	struct string_list node_labels, node_taints, kube_proxy_args, feature_gates;
};

/* As whom a part speaks. In a server each is the user that upstream's component is; in an agent all are the node. */
enum agent_as {
	AGENT_KUBELET, /* system:node:NAME */
	AGENT_NETWORK, /* names, routes, policies, Ingresses: reads Services, slices, Nodes, Namespaces, Pods, policies,
			* Ingresses, and Secrets that these name */
	AGENT_STORAGE, /* the provisioner of local-path */
};

struct agent_home {
	struct env *env;
	const struct cluster_facts *facts;
	/* A new client, the caller's to free; its class is ENV_CONTROL until the caller sets another. name: user agent
	 * and field manager, borrowed for the client's life. NULL: this home lets nobody do that; the part is left out.
	 */
	struct client *(*client)(void *ctx, enum agent_as who, const char *name);
	/* The kubelet's serving certificate and key for its name and its addresses (agent_node_ips()), in a. Where the
	 * cluster signs it only for a Node that is there, it is a provisional one of nobody's, and agent_serve_with()
	 * brings the real one. */
	int (*serving)(void *ctx, const char *node_ips, struct arena *a, struct sv *ret_cert, struct sv *ret_key,
		       struct err *err);
	const char *const *node_annotations; /* "k=v" that the Node gets, NULL-terminated */
	struct sv ca_pem;		     /* whose clients the kubelet believes; for the agent's life */
	bool (*given_up)(void);		     /* asked while something slow is waited for: true ends that */
	void *ctx;
};

struct agent;
/* Both are borrowed for the agent's life. NULL with *err; with *ret_again set, the machine is all right and the
 * runtime was not in time: it may be tried again, after a pause. */
struct agent *agent_start(const struct agent_home *home, const struct node_opts *o, bool *ret_again, struct err *err);
/* The kubelet serves with it from now on. Any thread. */
int agent_serve_with(struct agent *a, struct sv cert, struct sv key, struct err *err);
int agent_kubelet_port(const struct agent *a);
const char *agent_node_ips(const struct agent *a); /* host_node_ips(), or what flags say */
/* Stops the processes of the agent; pods and Service rules stay (see `caravel cleanup`). NULL is fine. */
struct agent *agent_stop(struct agent *a);

/* --- flags of both commands: node_opts.c --- */

#define NODE_OPTIONS_MAX 25
/* Rows for the table of options; how many. */
size_t node_option_table(struct node_opts *o, struct option *t);
/* The log is as the flags say: before anything is written to it. */
int node_opts_log(const struct node_opts *o, bool debug, struct err *err);
/* Refuses what cannot work, by the name of the flag, before anything is touched. */
int node_opts_check(const struct node_opts *o, struct err *err);
/* The process's feature gates, as --feature-gates has them (object/feature.h). Before any thread. */
/* How long pods are kept that a restored cluster does not know; ret_ns may be NULL. */
int node_restore_grace(const struct node_opts *o, int64_t *ret_ns, struct err *err);
int node_opts_gates(const struct node_opts *o, struct err *err);
/* Fills in what no flag says; data_dir is there and absolute. node: whether there is to be one at all. */
int node_opts_complete(struct node_opts *o, struct arena *a, bool node, struct err *err);
/* The service proxy's configuration, as --kube-proxy-arg has it; the host's conntrack is left as it is unless asked. c
 * is released by the caller, also on failure. */
struct proxy_config;
int node_proxy_config(const struct node_opts *o, struct arena *a, struct proxy_config *c, struct err *err);
void node_opts_release(struct node_opts *o);

/* --- names derived from the data directory, so that clusters and nodes run side by side: "caravel-1a2b3c4d". The
 * default data directory gives plain "caravel". host.c --- */

#define DEFAULT_DATA_DIR "/var/lib/caravel"
#define DEFAULT_KUBECONFIG "/etc/caravel/kubeconfig.yaml" /* of who has the default data directory */
const char *default_data_dir(struct arena *a);		  /* root's, else one below HOME */
const char *cluster_tag(struct arena *a, const char *data_dir);
const char *cluster_cgroup(struct arena *a, const char *data_dir); /* "/caravel-1a2b3c4d": that of all its pods */
/* Beside the proxy's, what netd has changed of the host. */
const char *network_settings(struct arena *a, const char *claim_settings);
const char *policy_settings(struct arena *a, const char *claim_settings);
/* Where pods have their files when no flag says so. */
struct claim_dirs cluster_dirs(struct arena *a, const char *data_dir);
/* Absolute, without symbolic links, dots or doubled slashes, however little of it exists: names are made of it. */
const char *full_path(struct arena *a, const char *path);
/* Makes it and makes it absolute. */
int data_dir_make(struct arena *a, const char **data_dir, struct err *err);
/* The machine's, in lower case as names of Nodes are. */
const char *host_own_name(struct arena *a, const char *if_none);
/* The address other machines and pods reach this one by; NULL when only loopback is there. */
const char *host_address(struct arena *a);
/* All addresses of this machine, NULL-terminated; NULL when they cannot be told. */
const char *const *host_addresses(struct arena *a);
bool host_has_address(struct arena *a, const char *address); /* true when they cannot be told */
/* Those that a node here tells as its own, separated by blanks, one of each family that the cluster's pods have, in
 * their order: `was` where the machine still has it, else what is found (on iface, or anywhere when NULL). NULL: none
 * but loopback. */
const char *host_node_ips(struct arena *a, const char *was, const char *iface, const char *cluster_cidr);
/* A port nothing listens on just now; 0 when there is none. Objects name the server's port before it listens. */
int host_free_port(const char *address);
bool host_can_listen(const char *address, int port, struct err *why); /* now; why has errnum */
