/* shims.h - containerd's shims, found by what their command lines say.
 *
 * A shim outlives its containerd on purpose. One that was being started when containerd was stopped is known to
 * nobody afterwards and would stay for ever.
 */
#pragma once

#include "kubelet/runtime.h"

/* Kills the shims of the containerd at socket, except those of the sandboxes in keep. containerd, when it runs, then
 * ends what they held. Returns how many. */
int shims_kill(const char *socket, const struct rt_sandbox *keep, size_t n_keep);
