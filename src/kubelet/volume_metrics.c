#include "kubelet/volume_metrics.h"

#include <string.h>

static const double operation_bounds[] = { 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600 };

// clang-format off: a metric each
const struct metric_family volume_families[_VM_MAX] = {
	[VM_OPERATION] = { "storage_operation_duration_seconds", "How long work on volumes took, in seconds.",
			   .type = METRIC_HISTOGRAM, METRIC_BOUNDS(operation_bounds),
			   .labels = { "migrated", "operation_name", "status", "volume_plugin" } },
	[VM_CSI_CALL] = { "csi_operations_seconds", "How long calls of drivers of volumes took, in seconds.",
			  .type = METRIC_HISTOGRAM, METRIC_BOUNDS(operation_bounds),
			  .labels = { "driver_name", "grpc_status_code", "method_name", "migrated" } },
	[VM_TOTAL] = { "volume_manager_total_volumes", "Volumes of this node's pods, wanted and there.",
		       .type = METRIC_GAUGE, .labels = { "plugin_name", "state" } },
};
// clang-format on

void volume_operation_counted(struct metric_set *s, const char *plugin, const char *what, bool ok, int64_t ns)
{
	const struct sv values[] = { SV("false"), sv_from(what), ok ? SV("success") : SV("fail-unknown"),
				     sv_from(plugin) };

	metric_observe_ns(s, &volume_families[VM_OPERATION], values, ns);
}

/* As it stands in what Go's clients, and ours, say of a failure. */
static struct sv grpc_code_of(const struct err *err)
{
	static const char before[] = "rpc error: code = ";
	const char *at = err ? strstr(err_msg(err), before) : NULL;

	if (!err)
		return SV("OK");
	if (!at)
		return SV("Unknown");
	at += strlen(before);
	return sv_make(at, strcspn(at, " "));
}

void volume_csi_call_counted(struct metric_set *s, const char *driver, const char *method, const struct err *err,
			     int64_t ns)
{
	const struct sv values[] = { sv_from(driver), grpc_code_of(err), sv_from(method), SV("false") };

	metric_observe_ns(s, &volume_families[VM_CSI_CALL], values, ns);
}
