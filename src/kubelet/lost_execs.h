/* lost_execs.h - what hooks, probes and `kubectl exec` ran in containers when their containerd ended.
 *
 * containerd ends such a process when the call that asked for it is given up, but containers outlive containerd, and
 * so do these: its successor does not know of them. Nobody hears them any more, no timeout applies to them, and a hook
 * that was interrupted is run again beside itself. The shim writes the pid of each into the container's bundle,
 * <64 hex digits>.pid beside the container's own init.pid, until containerd has it removed.
 *
 * What such a process left behind on purpose in the container is not its own and stays.
 */
#pragma once

/* Kills those of the containerd at socket, whose bundles are the directories in `bundles` (shims.h); for while none of
 * it runs. Returns how many. */
int lost_execs_end(const char *socket, const char *bundles);
