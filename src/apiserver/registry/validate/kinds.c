/* kinds.c - which function validates which kind. */
#include "apiserver/registry/validate/kinds-internal.h"

static const struct {
	const char *group, *kind;
	validate_kind_fn *fn;
} kinds[] = {
	{ "", "Binding", validate_binding },
	{ "", "ConfigMap", validate_config_map },
	{ "", "Endpoints", validate_endpoints },
	{ "", "Event", validate_event },
	{ "", "LimitRange", validate_limit_range },
	{ "", "Namespace", validate_namespace },
	{ "", "Node", validate_node },
	{ "", "PersistentVolume", validate_pv },
	{ "", "PersistentVolumeClaim", validate_pvc },
	{ "", "Pod", validate_pod },
	{ "", "PodTemplate", validate_pod_template_kind },
	{ "", "ReplicationController", validate_replication_controller },
	{ "", "ResourceQuota", validate_resource_quota },
	{ "", "Secret", validate_secret },
	{ "", "Service", validate_service },
	{ "admissionregistration.k8s.io", "MutatingAdmissionPolicy", validate_mutating_policy },
	{ "admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", validate_mutating_binding },
	{ "admissionregistration.k8s.io", "MutatingWebhookConfiguration", validate_webhook_configuration },
	{ "admissionregistration.k8s.io", "ValidatingAdmissionPolicy", validate_admission_policy },
	{ "admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", validate_admission_binding },
	{ "admissionregistration.k8s.io", "ValidatingWebhookConfiguration", validate_webhook_configuration },
	{ "apiextensions.k8s.io", "CustomResourceDefinition", validate_crd },
	{ "apiregistration.k8s.io", "APIService", validate_api_service },
	{ "apps", "ControllerRevision", validate_controller_revision },
	{ "apps", "DaemonSet", validate_daemon_set },
	{ "apps", "Deployment", validate_deployment },
	{ "apps", "ReplicaSet", validate_replica_set },
	{ "apps", "StatefulSet", validate_stateful_set },
	{ "autoscaling", "HorizontalPodAutoscaler", validate_autoscaler },
	{ "batch", "CronJob", validate_cron_job },
	{ "batch", "Job", validate_job },
	{ "certificates.k8s.io", "CertificateSigningRequest", validate_csr },
	{ "certificates.k8s.io", "ClusterTrustBundle", validate_cluster_trust_bundle },
	{ "certificates.k8s.io", "PodCertificateRequest", validate_pod_certificate_request },
	{ "coordination.k8s.io", "Lease", validate_lease },
	{ "coordination.k8s.io", "LeaseCandidate", validate_lease_candidate },
	{ "discovery.k8s.io", "EndpointSlice", validate_endpoint_slice },
	{ "events.k8s.io", "Event", validate_event },
	{ "flowcontrol.apiserver.k8s.io", "FlowSchema", validate_flow_schema },
	{ "flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", validate_priority_level },
	{ "internal.apiserver.k8s.io", "StorageVersion", validate_storage_version },
	{ "lifecycle.k8s.io", "Eviction", validate_lifecycle_eviction },
	{ "lifecycle.k8s.io", "EvictionRequest", validate_eviction_request },
	{ "networking.k8s.io", "IPAddress", validate_ip_address },
	{ "networking.k8s.io", "Ingress", validate_ingress },
	{ "networking.k8s.io", "IngressClass", validate_ingress_class },
	{ "networking.k8s.io", "NetworkPolicy", validate_network_policy },
	{ "networking.k8s.io", "ServiceCIDR", validate_service_cidr },
	{ "node.k8s.io", "RuntimeClass", validate_runtime_class },
	{ "policy", "PodDisruptionBudget", validate_pdb },
	{ "rbac.authorization.k8s.io", "ClusterRole", validate_cluster_role },
	{ "rbac.authorization.k8s.io", "ClusterRoleBinding", validate_cluster_role_binding },
	{ "rbac.authorization.k8s.io", "Role", validate_role },
	{ "rbac.authorization.k8s.io", "RoleBinding", validate_role_binding },
	{ "resource.k8s.io", "DeviceClass", validate_device_class },
	{ "resource.k8s.io", "DeviceTaintRule", validate_device_taint_rule },
	{ "resource.k8s.io", "ResourceClaim", validate_resource_claim },
	{ "resource.k8s.io", "ResourceClaimTemplate", validate_resource_claim_template },
	{ "resource.k8s.io", "ResourcePoolStatusRequest", validate_resource_pool_request },
	{ "resource.k8s.io", "ResourceSlice", validate_resource_slice },
	{ "scheduling.k8s.io", "CompositePodGroup", validate_composite_pod_group },
	{ "scheduling.k8s.io", "PodGroup", validate_pod_group },
	{ "scheduling.k8s.io", "PriorityClass", validate_priority_class },
	{ "scheduling.k8s.io", "Workload", validate_workload },
	{ "storage.k8s.io", "CSIDriver", validate_csi_driver },
	{ "storage.k8s.io", "CSINode", validate_csi_node },
	{ "storage.k8s.io", "CSIStorageCapacity", validate_csi_storage_capacity },
	{ "storage.k8s.io", "StorageClass", validate_storage_class },
	{ "storage.k8s.io", "VolumeAttachment", validate_volume_attachment },
	{ "storage.k8s.io", "VolumeAttributesClass", validate_volume_attributes_class },
	{ "storagemigration.k8s.io", "StorageVersionMigration", validate_storage_version_migration },
};

validate_kind_fn *validate_kind_for(const struct resource *r)
{
	if (r->schema && r->schema->custom) /* its definition says what is valid, whatever its name reminds of */
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].group, r->group) == 0 && strcmp(kinds[i].kind, r->kind) == 0)
			return kinds[i].fn;
	return NULL;
}
