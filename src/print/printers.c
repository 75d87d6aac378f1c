/* Which kind has which printer. */
#include "print/print-internal.h"
#include "resources.h"

print_fn *printer_for(const struct resource *r)
{
	static print_fn *const printers[R_COUNT] = {
		[R_core_configmaps] = print_configmap,
		[R_core_componentstatuses] = print_componentstatus,
		[R_core_endpoints] = print_endpoints,
		[R_core_events] = print_event,
		[R_core_nodes] = print_node,
		[R_core_persistentvolumeclaims] = print_persistentvolumeclaim,
		[R_core_persistentvolumes] = print_persistentvolume,
		[R_core_pods] = print_pod,
		[R_core_resourcequotas] = print_resourcequota,
		[R_core_services] = print_service,
		[R_admissionregistration_mutatingadmissionpolicies] = print_policy,
		[R_admissionregistration_mutatingadmissionpolicies_v1alpha1] = print_policy,
		[R_admissionregistration_mutatingadmissionpolicies_v1beta1] = print_policy,
		[R_admissionregistration_mutatingadmissionpolicybindings] = print_policybinding,
		[R_admissionregistration_mutatingadmissionpolicybindings_v1alpha1] = print_policybinding,
		[R_admissionregistration_mutatingadmissionpolicybindings_v1beta1] = print_policybinding,
		[R_admissionregistration_validatingadmissionpolicies] = print_policy,
		[R_admissionregistration_validatingadmissionpolicybindings] = print_policybinding,
		[R_apiregistration_apiservices] = print_apiservice,
		[R_apps_controllerrevisions] = print_controllerrevision,
		[R_apps_deployments] = print_deployment,
		[R_apps_statefulsets] = print_statefulset,
		[R_autoscaling_horizontalpodautoscalers] = print_autoscaler,
		[R_autoscaling_horizontalpodautoscalers_v1] = print_autoscaler_v1,
		[R_batch_cronjobs] = print_cronjob,
		[R_batch_jobs] = print_job,
		[R_certificates_certificatesigningrequests] = print_csr,
		[R_certificates_podcertificaterequests] = print_podcertificaterequest,
		[R_certificates_podcertificaterequests_v1beta1] = print_podcertificaterequest,
		[R_discovery_endpointslices] = print_endpointslice,
		[R_events_events] = print_event,
		[R_flowcontrol_flowschemas] = print_flowschema,
		[R_internal_storageversions] = print_storageversion,
		[R_metrics_pods] = print_podmetrics,
		[R_networking_ingressclasses] = print_ingressclass,
		[R_networking_ingresses] = print_ingress,
		[R_networking_ipaddresses] = print_ipaddress,
		[R_networking_servicecidrs] = print_servicecidr,
		[R_rbac_clusterrolebindings] = print_rolebinding,
		[R_rbac_rolebindings] = print_rolebinding,
		[R_resource_resourceclaims] = print_resourceclaim,
		[R_resource_resourceclaims_v1beta1] = print_resourceclaim,
		[R_resource_resourceclaims_v1beta2] = print_resourceclaim,
		[R_scheduling_priorityclasses] = print_priorityclass,
		[R_storage_csidrivers] = print_csidriver,
		[R_storage_storageclasses] = print_storageclass,
		[R_storagemigration_storageversionmigrations] = print_storageversionmigration,
		[R_storagemigration_storageversionmigrations_v1beta1] = print_storageversionmigration,
	};

	return r->id < R_COUNT && r == &resource_all[r->id] ? printers[r->id] : NULL;
}
