/* defaults.h - the FlowSchemas and PriorityLevelConfigurations that every cluster has: upstream's, by name and value.
 *
 * Two of each are mandatory, "exempt" and "catch-all": they count even while their objects are gone. */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

#define FLOW_AUTOUPDATE "apf.kubernetes.io/autoupdate-spec"

/* The i-th, the mandatory ones first; NULL behind the last. Objects as a client would create them, in the arena. */
struct val *flow_default_schema(struct arena *a, size_t i);
struct val *flow_default_level(struct arena *a, size_t i);
#define FLOW_MANDATORY 2
