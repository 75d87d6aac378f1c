/* controllers-internal.h - the controllers that controllers.c starts, one a file. */
#pragma once

#include "controllers/controllers.h"

extern const struct controller_ops deployment_controller, endpoints_controller, endpointslice_controller, gc_controller,
    namespace_controller, replicaset_controller, root_ca_controller, serviceaccount_controller;
