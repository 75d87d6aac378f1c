/* controllers-internal.h - the controllers that controllers.c starts, one a file. */
#pragma once

#include "controllers/controllers.h"

extern const struct controller_ops attach_detach_controller;
extern const struct controller_ops bootstrap_signer_controller;
extern const struct controller_ops cluster_dns_controller;
extern const struct controller_ops clusterrole_aggregation_controller;
extern const struct controller_ops cronjob_controller;
extern const struct controller_ops csr_approving_controller;
extern const struct controller_ops csr_cleaner_controller;
extern const struct controller_ops csr_signing_controller;
extern const struct controller_ops daemonset_controller;
extern const struct controller_ops deployment_controller;
extern const struct controller_ops disruption_controller;
extern const struct controller_ops endpoints_controller;
extern const struct controller_ops endpointslice_controller;
extern const struct controller_ops endpointslice_mirroring_controller;
extern const struct controller_ops ephemeral_volumes_controller;
extern const struct controller_ops gateway_controller;
extern const struct controller_ops gc_controller;
extern const struct controller_ops hpa_controller;
extern const struct controller_ops ingress_controller;
extern const struct controller_ops job_controller;
extern const struct controller_ops legacy_token_cleaner_controller;
extern const struct controller_ops namespace_controller;
extern const struct controller_ops node_ipam_controller;
extern const struct controller_ops node_lifecycle_controller;
extern const struct controller_ops node_role_controller;
extern const struct controller_ops node_ttl_controller;
extern const struct controller_ops pod_certificates_controller;
extern const struct controller_ops podgc_controller;
extern const struct controller_ops policy_status_controller;
extern const struct controller_ops pv_binder_controller;
extern const struct controller_ops pv_protection_controller;
extern const struct controller_ops vac_protection_controller;
extern const struct controller_ops pvc_protection_controller;
extern const struct controller_ops replicaset_controller;
extern const struct controller_ops replicationcontroller_controller;
extern const struct controller_ops resourcequota_controller;
extern const struct controller_ops root_ca_controller;
extern const struct controller_ops service_cidrs_controller;
extern const struct controller_ops service_lb_controller;
extern const struct controller_ops serviceaccount_controller;
extern const struct controller_ops snapshot_controller;
extern const struct controller_ops statefulset_controller;
extern const struct controller_ops storage_migration_controller;
extern const struct controller_ops taint_eviction_controller;
extern const struct controller_ops token_cleaner_controller;
extern const struct controller_ops token_secrets_controller;
extern const struct controller_ops trust_bundle_controller;
extern const struct controller_ops ttl_after_finished_controller;
extern const struct controller_ops volume_expand_controller;
