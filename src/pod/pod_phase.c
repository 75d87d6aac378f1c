/* See pod_phase.h. */
#include "pod/pod_phase.h"

bool pod_phase_terminal(const struct val *pod)
{
	const struct val *phase = val_get(pod, F_status, F_phase);

	return val_is(phase, "Succeeded") || val_is(phase, "Failed");
}
