/* shims.h - containerd's shims, found by what their command lines say.
 *
 * A shim outlives its containerd on purpose. One that was being started when containerd was stopped is known to
 * nobody afterwards and would stay for ever. A killed one leaves its socket, which is not where our other things
 * are, but in /run/containerd/s, under a name made of containerd's own socket and the sandbox.
 */
#pragma once

#include "kubelet/runtime.h"

/* Kills the shims of the containerd at socket, except those of the sandboxes in keep, and removes their sockets.
 * containerd, when it runs, then ends what they held, with a short-lived "shim ... delete" that must not be killed,
 * too: spare_deletes. Returns how many. */
int shims_kill(const char *socket, const struct rt_sandbox *keep, size_t n_keep, bool spare_deletes);
/* Where the shim of a sandbox of the containerd at socket listens. */
const char *shims_socket(struct arena *a, const char *socket, struct sv sandbox_id);
/* Whether a process is a child of one of the shims of the containerd at socket. */
bool shims_have_child(const char *socket, int pid);
/* 0 when somebody listens on the Unix socket at path, else why not: ECONNREFUSED is a socket that was left behind. */
int shims_call(const char *path);
/* A shim may have been ended between its socket and its life, and then no process tells of it; its bundle does, a
 * directory with the sandbox's name, until the next containerd removes it. Removes the sockets on which nobody listens
 * of the sandboxes in `bundles`; for while no containerd of ours runs. Returns how many. */
int shims_drop_dead(const char *socket, const char *bundles);
#define SHIM_BUNDLES "io.containerd.runtime.v2.task/k8s.io" /* below containerd's state and root directories */
/* The containerd that was started with this configuration file; 0 when there is none. */
int shims_find_daemon(const char *config);
/* Removes what shims share with those of other containerds on the machine: sockets that were left behind before
 * `now_ns` (Unix time) and a few seconds, whoever's they were, and the directories if they are empty then. A containerd
 * that is ended while it starts a shim kills what made the socket and removes the bundle, and then nothing tells whose
 * it was. */
void shims_tidy(int64_t now_ns);
