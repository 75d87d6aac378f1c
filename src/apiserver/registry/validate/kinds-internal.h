/* kinds-internal.h - shared by the files of this folder. */
#pragma once

#include "policy/policy_compile.h"
#include "apiserver/registry/validate/validate_kinds.h"
#include "base/strmap.h"

#define MSG_NONNEGATIVE "must be greater than or equal to 0"
#define MSG_PORT "must be between 1 and 65535, inclusive"
#define MSG_ID "must be between 0 and 2147483647, inclusive"

/* The paths of what differs between the two, the first few of them: "spec.nodeName, spec.containers[0].name"
 * (changes.c). */
struct sv changed_fields(struct arena *a, const struct fpath *at, const struct val *was, const struct val *now);

/* --- small checks (common.c) --- */

static inline bool is_sub(const char *sub, const char *name)
{
	return sub && strcmp(sub, name) == 0;
}

/* A required pointer that is not there is written out as null. */
static inline bool is_set(const struct val *v)
{
	return v && v->type != VAL_NULL;
}

/* Integer members that must not be negative; names end with SYM_NONE. */
void check_nonnegative(struct field_errs *fe, const struct val *v, const struct fpath *at, const enum sym *names);
#define CHECK_NONNEGATIVE(fe, v, at, ...) \
	check_nonnegative((fe), (v), (at), (const enum sym[]){ __VA_ARGS__, SYM_NONE })
void check_range(struct field_errs *fe, const struct val *v, const struct fpath *at, int64_t min, int64_t max);
/* Absent is fine; otherwise one of the NULL-terminated list. */
void check_one_of(struct field_errs *fe, const struct val *v, const struct fpath *at, const char *const *list);
#define CHECK_ONE_OF(fe, v, at, ...) check_one_of((fe), (v), (at), (const char *const[]){ __VA_ARGS__, NULL })
/* Exactly one member of u; returns the one that counts, SYM_NONE when there is none. */
enum sym check_union(struct field_errs *fe, const struct schema_union *u, const struct val *v, const struct fpath *at);
void check_required(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name);
/* Set and of the format. */
void check_required_text(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name,
			 const char *(*fmt)(struct sv));
void check_text(struct field_errs *fe, const struct val *v, const struct fpath *at, const char *(*fmt)(struct sv));
/* Each text of a list, at its index. */
void check_texts(struct field_errs *fe, const struct val *list, const struct fpath *at, const char *(*fmt)(struct sv));
void check_port_or_name(struct field_errs *fe, const struct val *v, const struct fpath *at);
void check_int_or_percent(struct field_errs *fe, const struct val *v, const struct fpath *at, bool max_100);
/* A percentage or a number as one value: 0 for absent, 0 and "0%". */
int64_t int_or_percent_number(const struct val *v);
bool has_dotdot(struct sv path); /* has ".." between its slashes */
void check_rel_path(struct field_errs *fe, const struct val *v, const struct fpath *at);
/* "example.com/name"; empty is required. */
void check_domain_path(struct field_errs *fe, const struct val *v, const struct fpath *at);
/* Adds the elements of a list under their names, the first of each. A list is as long as a client likes: what would
 * search it once an element of another asks the map. */
void index_by_name(struct strmap *m, const struct val *list);
bool text_in(struct sv s, const char *const *list, size_t n);
#define IN(s, list) text_in((s), (list), ARRAY_LEN(list))
/* Sets the member, or removes it when v is NULL. */
void put_member(struct arena *a, struct val *map, enum sym name, const struct val *v);
struct sv lower_case(struct arena *a, struct sv s); /* of ASCII */
/* An error for each item that was there before. */
void check_unique(struct field_errs *fe, const struct val *list, const struct fpath *at);
/* Equal or "field is immutable". */
void check_immutable(struct field_errs *fe, const struct val *doc, const struct val *old, const struct fpath *up,
		     enum sym name);
void check_status_counters(struct field_errs *fe, const struct val *status, const struct fpath *at,
			   const enum sym *below_replicas);

/* --- shared parts of pods --- */

/* Where a PodSpec stands: what is completed later is not asked for yet. */
enum pod_place {
	POD,
	TEMPLATE,
	TEMPLATE_WITH_CLAIMS, /* of a StatefulSet: volumes of its claims come with each pod */
};
struct pod_ctx {
	const struct val *spec, *volumes;
	/* To struct val; targets are the containers and init containers together. */
	struct strmap volumes_by_name, claims_by_name, targets_by_name;
	enum pod_place place;
};
/* NULL: the spec has no volume of that name. */
const struct val *pod_volume_named(const struct pod_ctx *pc, struct sv name);
/* was: as it is stored, NULL on create. */
void validate_pod_spec(struct field_errs *fe, const struct val *spec, const struct val *was, const struct fpath *at,
		       enum pod_place place);
void validate_pod_template(struct field_errs *fe, const struct val *tmpl, const struct val *was, const struct fpath *at,
			   enum pod_place place);
/* Annotations that mean something for pods; at is theirs. */
void validate_pod_annotations(struct field_errs *fe, const struct val *annotations, const struct val *spec,
			      const struct fpath *at);
/* What nobody changes of them. */
void validate_pod_annotations_kept(struct field_errs *fe, const struct val *now, const struct val *was,
				   const struct fpath *at);
/* requests and limits: amounts, requests below limits. */
void validate_requirements(struct field_errs *fe, const struct val *res, const struct fpath *at);
void validate_containers(struct field_errs *fe, const struct pod_ctx *pc, const struct fpath *at);
/* pod_gated.c: fields that are there only when a gate is set. */
void validate_gated_fields(struct field_errs *fe, const struct pod_ctx *pc, const struct fpath *at);
/* Its variables, and the references in them; up is the container's place. */
void validate_container_env(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c,
			    const struct fpath *up);
void validate_volumes(struct field_errs *fe, const struct pod_ctx *pc, const struct fpath *at);
/* legacy_ip.c: texts that the stored object has and that stay valid; made by fill() only when one is asked for. */
struct old_texts {
	const struct val *doc; /* NULL: there are none */
	void (*fill)(struct strmap *texts, const struct val *doc);
	struct strmap texts;
	bool filled;
};
void old_texts_release(struct old_texts *old);
/* For fill(): the texts of a list, or those of a member of its items. */
void old_texts_add(struct strmap *texts, const struct val *list, enum sym name);
/* True: an address (a network) that is plain enough, or an old one. old and ret_v6 may be NULL. */
bool check_legacy_ip(struct field_errs *fe, struct sv s, const struct fpath *at, struct old_texts *old, bool *ret_v6);
/* addresses.c: an address with the length of its network, "10.9.8.7/24". */
void check_interface_address(struct field_errs *fe, const struct val *v, const struct fpath *at);
bool check_legacy_cidr(struct field_errs *fe, struct sv s, const struct fpath *at, struct old_texts *old, bool *ret_v6);
/* Of a file in a volume: relative, and not beginning with "..", which the writer uses itself. */
void check_volume_path(struct field_errs *fe, const struct val *v, const struct fpath *at);
/* projected_certificates.c; up is the source's place, of a signer's name its parent's: "example.com/name", a domain of
 * two parts or more, and a path. */
/* The one source that v has, if it is of those in volumes_elsewhere.c. */
void validate_volume_elsewhere(struct field_errs *fe, const struct val *v, const struct fpath *at);
void validate_signer_name(struct field_errs *fe, const struct val *parent, const struct fpath *up);
void validate_trust_bundle(struct field_errs *fe, const struct val *src, const struct fpath *up);
/* What a pod's user says to his signer. */
void validate_signer_annotations(struct field_errs *fe, const struct val *notes, const struct fpath *at);
void validate_pod_certificate(struct field_errs *fe, const struct val *src, const struct fpath *up);
void validate_tolerations(struct field_errs *fe, const struct val *list, const struct fpath *at);
/* One term. strict: values are labels' values; preferred terms with others are kept, they just never match. */
void validate_node_term(struct field_errs *fe, const struct val *term, const struct fpath *at, bool strict);
void validate_node_selector(struct field_errs *fe, const struct val *sel, const struct fpath *at);
void validate_pod_security(struct field_errs *fe, const struct val *spec, const struct fpath *at);
void validate_security_profiles(struct field_errs *fe, const struct val *sc, const struct fpath *at);
void validate_sysctl(struct field_errs *fe, const struct val *spec, const struct val *name, const struct fpath *at);
void check_driver_name(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name);
bool is_semver(struct sv s); /* as semver.org has it */
/* A qualified name, and without a domain one of the names that some place knows. */
void check_resource_name(struct field_errs *fe, const struct fpath *at, struct sv name);
/* conditions.c: as meta/v1.Condition, no type twice; at most max of them, 0: any number. */
void validate_conditions(struct field_errs *fe, const struct val *list, const struct fpath *at, size_t max);
/* webhooks.c: one way of reaching somebody; what an admission plugin is asked of, with the operations there are; and
 * expressions that say when. */
void validate_webhook_client(struct field_errs *fe, const struct val *config, const struct fpath *at);
void validate_admission_rule(struct field_errs *fe, const struct val *rule, const struct fpath *at,
			     const char *const *operations);
struct expressions;
void validate_match_conditions(struct field_errs *fe, struct expressions *x, const struct val *list,
			       const struct fpath *at);
/* expressions.c: expressions of an object, and those that it had before. */
struct expressions {
	struct policy_compiler compiler;
	struct strmap stored;
};
void expressions_stored(struct expressions *x, const struct val *list, enum sym member);
void expressions_release(struct expressions *x);
/* ret NULL: whoever asks needs no program; else a reference, or NULL. */
void validate_expression(struct field_errs *fe, struct expressions *x, enum policy_use use, const struct val *v,
			 const struct fpath *at, struct cel_program **ret);
/* Of what containers may ask for. */
void check_container_resource_name(struct field_errs *fe, const struct fpath *at, struct sv name);
bool quota_resource(struct sv name); /* a standard one of quotas */
bool quota_counts(struct sv name);   /* in whole objects */
void validate_resource_list(struct field_errs *fe, const struct val *list, const struct fpath *at);
void validate_field_ref(struct field_errs *fe, const struct val *ref, const struct fpath *at, bool in_volume);
void validate_resource_ref(struct field_errs *fe, const struct val *ref, const struct fpath *at, bool in_volume);
void validate_job_status(struct field_errs *fe, const struct val *doc, const struct val *old);
void validate_job_policies(struct field_errs *fe, const struct val *spec, const struct fpath *at);
/* No update of a pod adds or removes containers; false with the error when one does. */
bool containers_kept(struct field_errs *fe, const struct val *now, const struct val *was, const struct fpath *at);
void validate_pod_resize(struct field_errs *fe, const struct val *doc, const struct val *old);
void validate_indexed_name(struct field_errs *fe, const struct val *doc);
void validate_pvc_spec(struct field_errs *fe, const struct val *spec, const struct fpath *at);

/* --- one a kind --- */

validate_kind_fn validate_pod, validate_pod_template_kind, validate_replication_controller, validate_deployment,
    validate_replica_set, validate_daemon_set, validate_stateful_set, validate_controller_revision, validate_job,
    validate_cron_job, validate_service, validate_config_map, validate_secret, validate_namespace, validate_node,
    validate_role, validate_cluster_role, validate_role_binding, validate_cluster_role_binding, validate_pdb,
    validate_network_policy, validate_ingress, validate_pvc, validate_pv, validate_storage_class, validate_lease,
    validate_event, validate_endpoint_slice, validate_endpoints, validate_priority_class, validate_resource_quota,
    validate_limit_range, validate_binding, validate_csi_driver, validate_csi_node, validate_csi_storage_capacity,
    validate_volume_attachment, validate_volume_attributes_class, validate_ingress_class, validate_service_cidr,
    validate_ip_address, validate_crd, validate_csr, validate_autoscaler, validate_webhook_configuration,
    validate_api_service, validate_runtime_class, validate_flow_schema, validate_priority_level,
    validate_resource_claim, validate_resource_claim_template, validate_device_class, validate_resource_slice,
    validate_device_taint_rule, validate_resource_pool_request, validate_cluster_trust_bundle,
    validate_pod_certificate_request, validate_lease_candidate, validate_storage_version,
    validate_storage_version_migration, validate_workload, validate_pod_group, validate_composite_pod_group,
    validate_eviction_request, validate_lifecycle_eviction, validate_admission_policy, validate_admission_binding,
    validate_mutating_policy, validate_mutating_binding;
