/* controllers-internal.h - the controllers that controllers.c starts, one a file. */
#pragma once

#include "controllers/controllers.h"

extern const struct controller_ops clusterrole_aggregation_controller, daemonset_controller, deployment_controller,
    endpoints_controller, endpointslice_controller, endpointslice_mirroring_controller, gc_controller, job_controller,
    namespace_controller, disruption_controller, node_ipam_controller, node_lifecycle_controller, podgc_controller,
    replicaset_controller, root_ca_controller, serviceaccount_controller, statefulset_controller,
    taint_eviction_controller;
