/* controllers-internal.h - the controllers that controllers.c starts, one a file. */
#pragma once

#include "controllers/controllers.h"

extern const struct controller_ops replicaset_controller, deployment_controller;
