/* pod_net.h - a pod's network: its namespace, and the CNI plugins that fill it.
 *
 * Calls the plugins of the one configuration that stands first in a directory (as containerd does: .conflist, .conf, by
 * name) by the CNI specification, 1.0.0 and older: a list's plugins in order for ADD, in reverse for DEL and CHECK.
 * Results are handed on (prevResult) and kept in the pod's record, so that DEL is given what ADD gave, also after a
 * restart.
 *
 * Blocking; a plugin that lasts over a minute is killed, and the ADD undone by a DEL.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "kubelet/oci/oci_paths.h"
#include "kubelet/runtime.h"

/* Makes ns.net (unless the pod has the host's), ns.ipc, ns.uts below RUN, sets the host name and the sysctls in them.
 * Fine when they are there. */
int pod_ns_make(const struct oci_paths *p, struct sv sid, const struct rt_sandbox_config *c, struct err *err);
int pod_ns_remove(const struct oci_paths *p, struct sv sid, struct err *err);

struct pod_net_opts {
	const char *conf_dir, *bin_dir, *cache_dir;
};
/* Is there a configuration, with programs for it? *ret_why in a when not. */
bool pod_net_ready(const struct pod_net_opts *o, struct arena *a, struct sv *ret_why);
/* ips in a, primary first. */
int pod_net_add(const struct pod_net_opts *o, struct arena *a, struct sv sid, const char *netns,
		const struct rt_sandbox_config *c, struct sv **ret_ips, size_t *ret_n, struct err *err);
/* Also of what is half there, or gone. */
int pod_net_del(const struct pod_net_opts *o, struct arena *a, struct sv sid, const char *netns,
		const struct rt_sandbox_config *c, struct err *err);
