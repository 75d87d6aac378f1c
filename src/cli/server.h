/* server.h - what `caravel server` was asked to do, and its two halves. */
#pragma once

#include "apiserver/apiserver.h"
#include "cli/cli.h"
#include "ev/ev.h"
#include "kubelet/claim.h"

struct server_opts {
	const char *data_dir, *bind_address, *kubeconfig, *kubeconfig_mode, *advertise_address, *node_name, *node_ip;
	const char *cluster_cidr, *service_cidr, *node_port_range, *cluster_domain, *cluster_dns, *resolv_conf,
	    *log_level;
	const char *token, *token_auth_file;
	const char *runtime_endpoint, *kubelet_root, *pause_image, *storage_dir;
	int port, kubelet_port, pod_max_pids;
	bool disable_agent, disable_scheduler, disable_controllers, disable_proxy, no_supervise, anonymous_auth,
	    profiling, debug, accept_database;
	struct string_list tls_sans, node_labels, node_taints, disable;
};

/* Refuses what cannot work, by the name of the flag, before anything is touched. */
int server_check(const struct server_opts *o, struct err *err);
/* Refuses a database that is not the pki's, or gone while the pki is in use; and a pki that lacks its CA or its key of
 * service accounts while there is a database. */
int database_check(struct arena *a, const struct server_opts *o, struct err *err);
/* Notes whose CA the database's clients know. */
int database_mark(struct arena *a, const struct server_opts *o, struct sv ca, struct err *err);
/* Says what to do about a failed bind; returns -1. */
int server_explain_bind(const struct server_opts *o, struct err *err);

/* Whether a signal to end waits until the start is over: for what takes long in it. */
bool server_is_to_end(void);

/* The node half: containerd, kubelet, proxy. Started beside a running API server. */
struct agent;
struct agent *agent_start(struct env *env, struct apiserver *api, const struct server_opts *o, struct err *err);
/* Stops the processes of the agent; pods and Service rules stay (see `caravel cleanup`). */
struct agent *agent_stop(struct agent *a);

/* Names derived from the data directory, so that clusters run side by side: "caravel-1a2b3c4d". The default
 * data directory gives plain "caravel". */
#define DEFAULT_DATA_DIR "/var/lib/caravel"
const char *cluster_tag(struct arena *a, const char *data_dir);
const char *cluster_cgroup(struct arena *a, const char *data_dir); /* "/caravel-1a2b3c4d": that of all its pods */
/* Where pods have their files when no flag says so. */
struct claim_dirs cluster_dirs(struct arena *a, const char *data_dir);
/* Of the claims of all clusters on this machine: containerd_run_dir() */
#define ALL_CLAIMS "/run/caravel-*/" CLAIM_FILE
/* Absolute, without symbolic links, dots or doubled slashes, however little of it exists: names are made of it. */
const char *full_path(struct arena *a, const char *path);
/* The address other machines and pods reach this one by; NULL when only loopback is there. */
const char *host_address(struct arena *a);
/* All addresses of this machine, NULL-terminated; NULL when they cannot be told. */
const char *const *host_addresses(struct arena *a);
bool host_has_address(struct arena *a, const char *address); /* true when they cannot be told */
/* A port nothing listens on just now; 0 when there is none. Objects name the server's port before it listens. */
int host_free_port(const char *address);
