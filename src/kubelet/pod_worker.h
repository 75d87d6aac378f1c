/* pod_worker.h - one run of a pod's sync (client/workq.h): sees what is, does what its state calls for, tells. */
#pragma once

#include "client/workq.h"

int pod_sync(void *k, struct sv uid, struct reconcile_result *ret, struct err *err);
