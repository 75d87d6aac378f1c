/* Groups whose kinds are data for controllers, drivers and the API itself: flags, and versions that differ in their
 * names alone. */
#include "apiserver/flow/flow.h"
#include "apiserver/aggregator/aggregator.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/admission/manifests.h"
#include "apiserver/authz.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/versions.h"

/* Their status endpoints leave metadata alone. */
static const struct kept_on status_alone[] = {
	{ "status", (const char *const[]){ "spec", "metadata", NULL } },
	{ NULL, NULL },
};

/* --- versions: the first one is stored --- */

#define STORED(stored, list)                                                                  \
	{                                                                                     \
		.storage = RES(stored), .hub = RES(stored), .all = list, .n = ARRAY_LEN(list) \
	}

static const struct version mutating_policies[] = {
	{ RES(admissionregistration_mutatingadmissionpolicies), NULL },
	{ RES(admissionregistration_mutatingadmissionpolicies_v1beta1), NULL },
	{ RES(admissionregistration_mutatingadmissionpolicies_v1alpha1), NULL },
};
static const struct versions mutating_policy_versions =
    STORED(admissionregistration_mutatingadmissionpolicies, mutating_policies);

static const struct version mutating_bindings[] = {
	{ RES(admissionregistration_mutatingadmissionpolicybindings), NULL },
	{ RES(admissionregistration_mutatingadmissionpolicybindings_v1beta1), NULL },
	{ RES(admissionregistration_mutatingadmissionpolicybindings_v1alpha1), NULL },
};
static const struct versions mutating_binding_versions =
    STORED(admissionregistration_mutatingadmissionpolicybindings, mutating_bindings);

static const struct version trust_bundles[] = {
	{ RES(certificates_clustertrustbundles_v1beta1), NULL },
	{ RES(certificates_clustertrustbundles), NULL },
};
static const struct versions trust_bundle_versions = STORED(certificates_clustertrustbundles_v1beta1, trust_bundles);

/* v1 lacks two fields of v1beta1, which a stored object keeps as long as nobody writes it as v1. */
static const struct version pod_certificates[] = {
	{ RES(certificates_podcertificaterequests_v1beta1), NULL },
	{ RES(certificates_podcertificaterequests), NULL },
};
static const struct versions pod_certificate_versions =
    STORED(certificates_podcertificaterequests_v1beta1, pod_certificates);

static const struct version workloads[] = {
	{ RES(scheduling_workloads_v1beta1), NULL },
	{ RES(scheduling_workloads_v1alpha3), NULL },
};
static const struct versions workload_versions = STORED(scheduling_workloads_v1beta1, workloads);

static const struct version pod_groups[] = {
	{ RES(scheduling_podgroups_v1beta1), NULL },
	{ RES(scheduling_podgroups_v1alpha3), NULL },
};
static const struct versions pod_group_versions = STORED(scheduling_podgroups_v1beta1, pod_groups);

static const struct version lease_candidates[] = {
	{ RES(coordination_leasecandidates_v1beta1), NULL },
	{ RES(coordination_leasecandidates_v1alpha2), NULL },
};
static const struct versions lease_candidate_versions = STORED(coordination_leasecandidates_v1beta1, lease_candidates);

static const struct version migrations[] = {
	{ RES(storagemigration_storageversionmigrations_v1beta1), NULL },
	{ RES(storagemigration_storageversionmigrations), NULL },
};
static const struct versions migration_versions = STORED(storagemigration_storageversionmigrations_v1beta1, migrations);

/* --- policies: the server hears when they change --- */

static void mutating_policy_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	(void)old;
	(void)neu;
	admission_policies_changed(s, true);
}

static void validating_policy_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	(void)old;
	(void)neu;
	admission_policies_changed(s, false);
}

/* What this server answers itself is available from the first moment. */
static void apiservice_create(struct api_req *q, struct val *doc)
{
	if (!val_get(doc, F_spec, F_service))
		(void)aggregator_condition(q->arena, doc, "True", "Local", "Local APIServices are always available",
					   env_now_ns(q->server->env));
}

/* --- strategies --- */

#define MUTATING(id)                                                                     \
	{ .res = RES(admissionregistration_mutatingadmissionpolicies##id),               \
	  .versions = &mutating_policy_versions,                                         \
	  .validate = manifests_name_rule,                                               \
	  .permit = policy_rights_kind,                                                  \
	  .observe = mutating_policy_observe },                                          \
	{                                                                                \
		.res = RES(admissionregistration_mutatingadmissionpolicybindings##id),   \
		.versions = &mutating_binding_versions, .validate = manifests_name_rule, \
		.permit = policy_rights_mutating_ref, .observe = mutating_policy_observe \
	}
/* Of whichever version: what counts is the same in all. */
static void pod_certificate_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(certificates_podcertificaterequests), old, now);
}

#define CERTIFICATES(id)                                                                                          \
	{ .res = RES(certificates_clustertrustbundles##id),                                                       \
	  .name_check = fmt_path_segment,                                                                         \
	  .no_generation = true,                                                                                  \
	  .versions = &trust_bundle_versions },                                                                   \
	{                                                                                                         \
		.res = RES(certificates_podcertificaterequests##id), .no_generation = true, .kept = status_alone, \
		.versions = &pod_certificate_versions, .observe = pod_certificate_observe                         \
	}
#define SCHEDULING(id)                                                                                   \
	{ .res = RES(scheduling_workloads##id), .no_generation = true, .versions = &workload_versions }, \
	{                                                                                                \
		.res = RES(scheduling_podgroups##id), .no_generation = true, .kept = status_alone,       \
		.versions = &pod_group_versions                                                          \
	}
#define LEASE_CANDIDATE(id)                                                                                    \
	{                                                                                                      \
		.res = RES(coordination_leasecandidates##id), .create_on_update = true, .no_generation = true, \
		.versions = &lease_candidate_versions                                                          \
	}
#define MIGRATION(id)                                                                                    \
	{                                                                                                \
		.res = RES(storagemigration_storageversionmigrations##id), .unconditional_update = true, \
		.no_generation = true, .kept = status_alone, .versions = &migration_versions             \
	}

static void flow_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	(void)old;
	(void)neu;
	flow_changed(s);
}

const struct strategy newer_strategies[] = {
	/* A name is "v1." for the version of the core group. */
	{ .res = RES(apiregistration_apiservices),
	  .name_check = fmt_path_segment,
	  .no_generation = true,
	  .prepare_create = apiservice_create,
	  .kept = status_alone,
	  .observe = aggregator_observe },
	{ .res = RES(admissionregistration_validatingadmissionpolicies),
	  .kept = status_alone,
	  .validate = manifests_name_rule,
	  .permit = policy_rights_kind,
	  .observe = validating_policy_observe },
	{ .res = RES(admissionregistration_validatingadmissionpolicybindings),
	  .validate = manifests_name_rule,
	  .permit = policy_rights_validating_ref,
	  .observe = validating_policy_observe },
	MUTATING(),
	MUTATING(_v1beta1),
	MUTATING(_v1alpha1),
	{ .res = RES(internal_storageversions), .no_generation = true, .kept = status_alone },
	CERTIFICATES(),
	CERTIFICATES(_v1beta1),
	{ .res = RES(flowcontrol_flowschemas),
	  .unconditional_update = true,
	  .kept = status_alone,
	  .observe = flow_observe },
	{ .res = RES(flowcontrol_prioritylevelconfigurations),
	  .unconditional_update = true,
	  .kept = status_alone,
	  .observe = flow_observe },
	{ .res = RES(node_runtimeclasses), .create_on_update = true, .no_generation = true },
	SCHEDULING(_v1beta1),
	SCHEDULING(_v1alpha3),
	{ .res = RES(scheduling_compositepodgroups_v1alpha3), .no_generation = true, .kept = status_alone },
	LEASE_CANDIDATE(_v1beta1),
	LEASE_CANDIDATE(_v1alpha2),
	MIGRATION(),
	MIGRATION(_v1beta1),
	{ .res = RES(lifecycle_evictionrequests), .kept = status_alone },
	{ .res = RES(lifecycle_evictions), .kept = status_alone },
};
const size_t newer_strategies_count = ARRAY_LEN(newer_strategies);
