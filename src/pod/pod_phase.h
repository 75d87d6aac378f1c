/* pod_phase.h - how far a Pod is, by what its status says. Pure. */
#pragma once

#include "codec/doc.h"

/* It has ended, one way or the other, and runs nothing any more. */
bool pod_phase_terminal(const struct val *pod);
