/* plugins.h - the in-tree admission plugins; admission/chain.c puts them in order. */
#pragma once

#include "apiserver/admission/admission.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/registry/strategy.h"

extern const struct admission_plugin admission_namespace_lifecycle, admission_service_account, admission_priority,
    admission_default_tolerations, admission_limit_ranger, admission_node_restriction, admission_taint_new_nodes,
    admission_default_storage_class, admission_default_ingress_class, admission_storage_protection,
    admission_runtime_class, admission_certificate_approval, admission_certificate_signing,
    admission_certificate_subject, admission_node_key, admission_request_quota, admission_resource_quota,
    admission_mutating_webhooks, admission_validating_webhooks, admission_pod_security, admission_claim_resize,
    admission_topology_labels, admission_bundle_attest, admission_owner_references, admission_pull_images,
    admission_external_ips, admission_anti_affinity, admission_namespace_exists, admission_always_deny,
    admission_event_rate, admission_image_policy, admission_node_selector, admission_toleration_restriction,
    admission_extended_tolerations, admission_validating_policies, admission_mutating_policies, admission_pod_resize,
    admission_pod_group_workload, admission_pod_group_protection, admission_namespace_provision,
    admission_node_features;

/* A create or update of a pod itself, not of one of its subresources. */
static inline bool admits_pod(const struct admission *a)
{
	return a->res == RES(core_pods) && a->subresource.n == 0 && a->doc;
}

/* The name in messages; of what has none yet the beginning of it. */
struct sv admission_shown_name(const struct admission *a);
/* `pods "x" is forbidden: WHY`. */
int admission_forbid(const struct admission *a, struct err *err, const char *fmt, ...) _printf_(3, 4);
