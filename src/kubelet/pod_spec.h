/* pod_spec.h - reading Pods: the questions the kubelet asks of a spec again and again. Pure functions. */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"
#include "kubelet/cgroups.h"

enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };

/* The container's own policy where it has one (KEP-5307), else the pod's; init containers of pods that restart
 * always restart on failure. */
enum restart_policy container_restart_policy(const struct val *pod, const struct val *spec, bool init);
/* Shall a container that ended with that code run again? Honours restartPolicyRules. */
bool container_should_restart(const struct val *pod, const struct val *spec, bool init, int exit_code);
bool container_is_sidecar(const struct val *spec); /* an init container with restartPolicy Always */
bool container_is_ephemeral(const struct val *pod, const struct val *spec); /* spec: a view into pod */
enum qos_class pod_qos(const struct val *pod);
const struct val *pod_container(const struct val *pod, struct sv name, bool *ret_init); /* NULL: none */
/* What its status says of that container, of whichever kind; NULL: nothing. */
const struct val *pod_container_status(const struct val *pod, struct sv name);
struct sv status_container_id(const struct val *status); /* the runtime's, a view; "": none */
/* Does it tell that this instance ran, or how it ended? One that was only made has an ID there, too. */
bool status_tells_run(const struct val *status, struct sv id);
int64_t pod_grace_seconds(const struct val *pod); /* of its deletion, else of its spec */
bool pod_host_network(const struct val *pod);
/* Thousandths of a core, bytes; 0: not set. kind F_requests or F_limits. */
int64_t container_cpu_milli(const struct val *spec, enum sym kind);
int64_t container_memory(const struct val *spec, enum sym kind);
/* What the container may use: its own limit, else that of the pod as a whole; 0: no limit. */
int64_t container_limit(const struct val *pod, const struct val *spec, struct sv resource);
void pod_cgroup_limits(const struct val *pod, struct cgroup_limits *ret);
int64_t container_oom_score_adj(const struct val *pod, const struct val *spec, int64_t machine_memory);
uint64_t container_hash(const struct val *spec); /* of what cannot change while it runs: name and image */
/* A port of a container by number or name; -1 when unknown. */
int container_port(const struct val *spec, const struct val *port);
