/* Every kind's strategy: its own where it has one, else a plain one. */
#include "apiserver/registry/kinds/kinds.h"

#include <pthread.h>
#include <stdlib.h>

/* Kinds with a strategy of their own, declared in kinds/kinds.h. */
static const struct {
	uint16_t id;
	const struct strategy *strategy;
} own[] = {
	{ R_admissionregistration_mutatingwebhookconfigurations, &mutatingwebhookconfiguration_strategy },
	{ R_admissionregistration_validatingwebhookconfigurations, &validatingwebhookconfiguration_strategy },
	{ R_core_pods, &pod_strategy },
	{ R_core_services, &service_strategy },
	{ R_core_endpoints, &endpoints_strategy },
	{ R_core_namespaces, &namespace_strategy },
	{ R_core_nodes, &node_strategy },
	{ R_core_serviceaccounts, &serviceaccount_strategy },
	{ R_core_secrets, &secret_strategy },
	{ R_core_configmaps, &configmap_strategy },
	{ R_core_events, &event_strategy },
	{ R_events_events, &events_event_strategy },
	{ R_core_replicationcontrollers, &replicationcontroller_strategy },
	{ R_core_bindings, &binding_strategy },
	{ R_core_limitranges, &limitrange_strategy },
	{ R_core_resourcequotas, &resourcequota_strategy },
	{ R_core_persistentvolumes, &persistentvolume_strategy },
	{ R_core_persistentvolumeclaims, &persistentvolumeclaim_strategy },
	{ R_core_podtemplates, &podtemplate_strategy },
	{ R_core_componentstatuses, &componentstatus_strategy },
	{ R_metrics_nodes, &nodemetrics_strategy },
	{ R_metrics_pods, &podmetrics_strategy },
	{ R_apps_deployments, &deployment_strategy },
	{ R_apps_replicasets, &replicaset_strategy },
	{ R_apps_daemonsets, &daemonset_strategy },
	{ R_apps_statefulsets, &statefulset_strategy },
	{ R_apps_controllerrevisions, &controllerrevision_strategy },
	{ R_autoscaling_horizontalpodautoscalers, &horizontalpodautoscaler_strategy },
	{ R_autoscaling_horizontalpodautoscalers_v1, &horizontalpodautoscaler_v1_strategy },
	{ R_batch_jobs, &job_strategy },
	{ R_batch_cronjobs, &cronjob_strategy },
	{ R_authentication_tokenreviews, &tokenreview_strategy },
	{ R_authentication_selfsubjectreviews, &selfsubjectreview_strategy },
	{ R_authorization_subjectaccessreviews, &subjectaccessreview_strategy },
	{ R_authorization_localsubjectaccessreviews, &localsubjectaccessreview_strategy },
	{ R_authorization_selfsubjectaccessreviews, &selfsubjectaccessreview_strategy },
	{ R_authorization_selfsubjectrulesreviews, &selfsubjectrulesreview_strategy },
	{ R_rbac_roles, &role_strategy },
	{ R_rbac_clusterroles, &clusterrole_strategy },
	{ R_rbac_rolebindings, &rolebinding_strategy },
	{ R_rbac_clusterrolebindings, &clusterrolebinding_strategy },
	{ R_certificates_certificatesigningrequests, &csr_strategy },
	{ R_coordination_leases, &lease_strategy },
	{ R_discovery_endpointslices, &endpointslice_strategy },
	{ R_policy_poddisruptionbudgets, &pdb_strategy },
	{ R_scheduling_priorityclasses, &priorityclass_strategy },
	{ R_networking_ingresses, &ingress_strategy },
	{ R_networking_ingressclasses, &ingressclass_strategy },
	{ R_networking_networkpolicies, &networkpolicy_strategy },
	{ R_networking_servicecidrs, &servicecidr_strategy },
	{ R_networking_ipaddresses, &ipaddress_strategy },
	{ R_storage_storageclasses, &storageclass_strategy },
	{ R_storage_volumeattachments, &volumeattachment_strategy },
	{ R_storage_csidrivers, &csidriver_strategy },
	{ R_storage_csinodes, &csinode_strategy },
	{ R_storage_csistoragecapacities, &csistoragecapacity_strategy },
	{ R_apiextensions_customresourcedefinitions, &crd_strategy },
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void strategies_take(struct strategy *table, const struct strategy *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		table[s[i].res->id] = s[i];
}

static void strategies_fill(void)
{
	struct strategy *table = xcalloc(resource_count, sizeof(*table));

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		table[own[i].id] = *own[i].strategy;
	strategies_take(table, newer_strategies, newer_strategies_count);
	strategies_take(table, device_strategies, device_strategies_count);
	for (size_t i = 0; i < resource_count; i++) {
		if (table[i].res)
			continue;
		table[i] =
		    (struct strategy){ .res = &resource_all[i], .unconditional_update = true, .no_generation = true };
	}
	strategies_are(table);
}

void strategies_start(void)
{
	pthread_once(&once, strategies_fill);
}
