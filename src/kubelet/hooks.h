/* hooks.h - lifecycle hooks, and the handlers that probes share with them.
 *
 * Threads: hook_start() from a sync; handler_run() from a task of the slow class, for it waits for a program.
 */
#pragma once

#include "kubelet/kpod.h"

/* Runs as a task; kicks the pod when done. */
void hook_start(struct kpod *p, struct kcont *c, const struct val *container, const struct val *handler, bool pre_stop,
		int64_t timeout_ns);
/* Runs one handler (exec, httpGet, tcpSocket, grpc, sleep) now; shared with probes. PROBE_UNKNOWN: could not. */
enum probe_result handler_run(struct kpod *p, struct arena *a, const struct val *container, struct sv id,
			      const struct val *handler, int64_t timeout_ns, struct sv *ret_why);
