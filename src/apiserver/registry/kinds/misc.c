/* Kinds whose only specialities are flags and small defaults: policy, networking, storage,
 * discovery, coordination, scheduling, apiextensions. */
#include "apiserver/authz.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/registry/validate/validate_kinds.h"
#include "object/feature.h"

/* A status endpoint that leaves all metadata alone. */
static const struct kept_on status_alone[] = {
	{ "status", (const char *const[]){ "spec", "metadata", NULL } },
	{ NULL, NULL },
};

/* Which of several candidates shall lead is the business of a feature. While that is off, what an object has from
 * elsewhere stays. */
static void lease_prepare(struct api_req *q, const struct val *old, struct val *doc)
{
	static const enum sym coordinated[] = { F_strategy, F_preferredHolder };

	(void)q;
	for (size_t i = 0; !feature_on(FG_CoordinatedLeaderElection) && i < ARRAY_LEN(coordinated); i++)
		if (val_get(doc, F_spec) && !val_get(old, F_spec, coordinated[i]))
			val_del(val_get_mut(doc, F_spec), coordinated[i]);
}

static void lease_prepare_create(struct api_req *q, struct val *doc)
{
	lease_prepare(q, NULL, doc);
}

const struct strategy lease_strategy = {
	.res = RES(coordination_leases),
	.prepare_create = lease_prepare_create,
	.prepare_update = lease_prepare,
	.create_on_update = true,
	.no_generation = true,
};

/* Topology labels are of v1beta1; in v1 there are nodeName and zone. */
static void drop_topology(struct val *doc)
{
	struct val *list = val_get_mut(doc, F_endpoints);

	for (size_t i = 0; i < val_len(list); i++)
		val_del(val_at_mut(list, i), F_deprecatedTopology);
}

static void endpointslice_create(struct api_req *q, struct val *doc)
{
	(void)q;
	drop_topology(doc);
}

static void endpointslice_update(struct api_req *q, const struct val *old, struct val *doc)
{
	(void)q;
	if (!val_same(val_get(old, F_endpoints), val_get(doc, F_endpoints)))
		drop_topology(doc);
}

static const char *const endpointslice_counted[] = { "addressType", "endpoints", "ports", "metadata.labels", NULL };

const struct strategy endpointslice_strategy = {
	.counted = endpointslice_counted,
	.res = RES(discovery_endpointslices),
	.prepare_create = endpointslice_create,
	.prepare_update = endpointslice_update,
	.unconditional_update = true,
	.warn = endpointslice_warn,
};

const struct strategy pdb_strategy = {
	.res = RES(policy_poddisruptionbudgets), .name_check = fmt_path_segment, /* upstream asks for no more */
};

static const char *const nothing_counted[] = { NULL };

const struct strategy priorityclass_strategy = {
	.counted = nothing_counted,
	.res = RES(scheduling_priorityclasses),
	.unconditional_update = true,
};

static void ingress_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	if (!old && val_member_sv(val_get(doc, F_metadata, F_annotations), SV("kubernetes.io/ingress.class")))
		api_req_warn(
		    q, "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' "
		       "instead");
}

static void ingress_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(networking_ingresses), old, now);
}

const struct strategy ingress_strategy = {
	.res = RES(networking_ingresses),
	.observe = ingress_observe,
	.unconditional_update = true,
	.warn = ingress_warn,
};

static void ingressclass_defaults(struct api_req *q, struct val *doc)
{
	struct val *p = val_get_mut(doc, F_spec, F_parameters);

	if (p && !val_get(p, F_scope))
		val_set_cstr(q->arena, p, F_scope, "Cluster");
}

static void ingressclass_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(networking_ingressclasses), old, now);
}

const struct strategy ingressclass_strategy = {
	.res = RES(networking_ingressclasses),
	.observe = ingressclass_observe,
	.unconditional_update = true,
	.set_defaults = ingressclass_defaults,
};

static void networkpolicy_defaults(struct api_req *q, struct val *doc)
{
	struct val *spec = val_get_mut(doc, F_spec), *types;

	if (!spec || val_len(val_get(spec, F_policyTypes)))
		return;
	types = val_set_list(q->arena, spec, F_policyTypes);
	val_push(q->arena, types, val_new_str_ref(q->arena, SV("Ingress")));
	if (val_len(val_get(spec, F_egress)))
		val_push(q->arena, types, val_new_str_ref(q->arena, SV("Egress")));
}

const struct strategy networkpolicy_strategy = {
	.res = RES(networking_networkpolicies),
	.unconditional_update = true,
	.set_defaults = networkpolicy_defaults,
	.warn = networkpolicy_warn,
};

const struct strategy servicecidr_strategy = {
	.res = RES(networking_servicecidrs),
	.observe = servicecidr_observe,
	.unconditional_update = true,
	.no_generation = true,
};

const struct strategy ipaddress_strategy = {
	.res = RES(networking_ipaddresses),
	.observe = ipaddress_observe,
	.name_check = check_ip_name,
	.unconditional_update = true,
	.no_generation = true,
};

const struct strategy storageclass_strategy = {
	.res = RES(storage_storageclasses),
	.returns_deleted = true,
	.unconditional_update = true,
	.no_generation = true,
};

static void attachment_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(storage_volumeattachments), old, now);
}

const struct strategy volumeattachment_strategy = {
	.res = RES(storage_volumeattachments),
	.kept = status_alone,
	.observe = attachment_observe,
	.no_generation = true,
};

static const char *const csidriver_counted[] = { "spec.tokenRequests", "spec.requiresRepublish", "spec.seLinuxMount",
						 NULL };
const struct strategy csidriver_strategy = {
	.res = RES(storage_csidrivers),
	.late_generation = true,
	.counted = csidriver_counted,
};
const struct strategy csinode_strategy = { .res = RES(storage_csinodes), .no_generation = true };
const struct strategy csistoragecapacity_strategy = { .res = RES(storage_csistoragecapacities), .no_generation = true };
