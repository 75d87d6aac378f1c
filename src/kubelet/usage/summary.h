/* summary.h - the document of /stats/summary (kubelet's stats/v1alpha1 Summary). */
#pragma once

#include "codec/doc.h"
#include "kubelet/usage/usage.h"

/* only: processor and memory alone, as ?only_cpu_and_memory=true asks. */
struct val *usage_summary(struct kubelet *k, struct arena *a, const struct usage_node *n, bool only);
