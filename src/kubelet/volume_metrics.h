/* volume_metrics.h - what the agent counts of its work on volumes, under upstream's names; all of them are ALPHA there.
 *
 *	storage_operation_duration_seconds	mounting and unmounting, by kind of volume
 *	csi_operations_seconds			calls of drivers
 *	volume_manager_total_volumes		volumes of this node's pods, when it is asked
 *
 * Threads: any.
 */
#pragma once

#include "base/err.h"
#include "base/metric.h"

enum volume_metric { VM_OPERATION, VM_CSI_CALL, VM_TOTAL, _VM_MAX };
extern const struct metric_family volume_families[_VM_MAX];

/* what: "volume_mount"... plugin: "kubernetes.io/nfs", "kubernetes.io/csi:DRIVER". s NULL: nobody counts. */
void volume_operation_counted(struct metric_set *s, const char *plugin, const char *what, bool ok, int64_t ns);
/* err: how it failed; NULL: it did not. */
void volume_csi_call_counted(struct metric_set *s, const char *driver, const char *method, const struct err *err,
			     int64_t ns);
