/* Kinds whose only specialities are flags and small defaults: rbac, policy, networking, storage,
 * discovery, coordination, scheduling, apiextensions. */
#include "apiserver/authz.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/registry/printers/printers.h"
#include "apiserver/registry/validate/validate_kinds.h"

/* --- rbac --- */

static void subject_defaults(struct api_req *q, struct val *doc)
{
	struct val *subjects = val_get_mut(doc, F_subjects), *ref = val_get_mut(doc, F_roleRef);

	for (size_t i = 0; i < val_len(subjects); i++) {
		struct val *s = val_at_mut(subjects, i);

		if (!val_get_str(s, F_apiGroup).n &&
		    (val_is(val_get(s, F_kind), "User") || val_is(val_get(s, F_kind), "Group")))
			val_set_cstr(q->arena, s, F_apiGroup, "rbac.authorization.k8s.io");
	}
	if (ref && !val_get_str(ref, F_apiGroup).n)
		val_set_cstr(q->arena, ref, F_apiGroup, "rbac.authorization.k8s.io");
}

/* Who writes a rule must hold it, or be allowed to escalate; who binds a role must hold all of
 * its rules, or be allowed to bind it. */
static bool may(struct api_req *q, const char *verb, const struct resource *r, struct sv ns, struct sv name)
{
	struct authz_attrs at = {
		.user = &q->user,
		.verb = sv_from(verb),
		.resource_request = true,
		.group = sv_from(r->group),
		.version = sv_from(r->version),
		.resource = sv_from(r->plural),
		.ns = ns,
		.name = name,
	};
	struct sv reason;

	return authz_allowed(q->server, q->arena, &at, &reason);
}

static int forbid(struct api_req *q, const struct val *doc, struct err *err, struct err *why)
{
	struct sv name = val_get_str(doc, F_metadata, F_name);

	err_set(err, ERR_FORBIDDEN, "%s.%s \"%.*s\" is forbidden: %s", q->res->plural, q->res->group, SV_ARG(name),
		err_msg(why));
	err_release(why);
	return err_set_object(err, sv_from(q->res->group), sv_from(q->res->plural), name);
}

/* Nothing of a role that gives rights has changed: its rules, who it collects rules from, and by which of them it
 * is collected itself (its labels). */
static bool same_rights(const struct val *old, const struct val *doc)
{
	return old && val_same(val_get(old, F_rules), val_get(doc, F_rules)) &&
	       val_same(val_get(old, F_aggregationRule), val_get(doc, F_aggregationRule)) &&
	       val_same(val_get(old, F_metadata, F_labels), val_get(doc, F_metadata, F_labels));
}

/* A role that collects the rules of others may end up with any. */
static const struct val *every_rule(struct arena *a)
{
	static const enum sym members[] = { F_apiGroups, F_resources, F_verbs };
	struct val *rules = val_new_list(a), *rule = val_new_map(a), *urls = val_new_map(a);

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		val_push(a, val_ensure_list(a, rule, members[i]), val_new_str(a, SV("*")));
	val_push(a, val_ensure_list(a, urls, F_nonResourceURLs), val_new_str(a, SV("*")));
	val_push(a, val_ensure_list(a, urls, F_verbs), val_new_str(a, SV("*")));
	val_push(a, rules, rule);
	val_push(a, rules, urls);
	return rules;
}

static int reserve_role(struct api_req *q, const struct val *old, struct val *doc, void **state, struct err *err)
{
	struct err why = ERR_INIT;

	*state = NULL;
	if (!doc || same_rights(old, doc) || may(q, "escalate", q->res, q->ns, q->name))
		return 0;
	if (val_get(doc, F_aggregationRule) &&
	    authz_covers(q->server, q->arena, &q->user, q->ns, every_rule(q->arena), NULL) < 0) {
		err_set(&why, ERR_FORBIDDEN, "must have cluster-admin privileges to use the aggregationRule");
		return forbid(q, doc, err, &why);
	}
	if (authz_covers(q->server, q->arena, &q->user, q->ns, val_get(doc, F_rules), &why) == 0)
		return 0;
	return forbid(q, doc, err, &why);
}

static int reserve_binding(struct api_req *q, const struct val *old, struct val *doc, void **state, struct err *err)
{
	const struct val *ref = val_get(doc, F_roleRef);
	bool role = val_is(val_get(ref, F_kind), "Role");
	const struct resource *res = role ? RES(rbac_roles) : RES(rbac_clusterroles);
	struct sv name = val_get_str(ref, F_name), ns = val_get_str(doc, F_metadata, F_namespace);
	struct err why = ERR_INIT;
	struct obj *o;

	*state = NULL;
	if (!doc || (old && val_equal(val_get(old, F_subjects), val_get(doc, F_subjects))))
		return 0;
	if (may(q, "bind", res, ns, name))
		return 0;
	o = registry_peek(q, res, role ? ns : SV(""), name);
	if (!o)
		return err_not_found(err, res, name);
	if (authz_covers(q->server, q->arena, &q->user, ns, obj_get(o, F_rules), &why) == 0)
		return 0;
	return forbid(q, doc, err, &why);
}

#define OBSERVER(fn, id)                                                      \
	static void fn(struct apiserver *s, struct obj *old, struct obj *neu) \
	{                                                                     \
		if (s->authz)                                                 \
			rbac_observe(s->authz->rbac, RES(id), old, neu);      \
	}
OBSERVER(observe_role, rbac_roles)
OBSERVER(observe_clusterrole, rbac_clusterroles)
OBSERVER(observe_rolebinding, rbac_rolebindings)
OBSERVER(observe_clusterrolebinding, rbac_clusterrolebindings)

const struct strategy role_strategy = {
	.res = RES(rbac_roles),
	.name_check = fmt_path_segment,
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.reserve = reserve_role,
	.observe = observe_role,
};
const struct strategy clusterrole_strategy = {
	.res = RES(rbac_clusterroles),
	.name_check = fmt_path_segment,
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.reserve = reserve_role,
	.observe = observe_clusterrole,
};
const struct strategy rolebinding_strategy = {
	.res = RES(rbac_rolebindings),
	.name_check = fmt_path_segment,
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = subject_defaults,
	.reserve = reserve_binding,
	.print = print_rolebinding,
	.observe = observe_rolebinding,
};
const struct strategy clusterrolebinding_strategy = {
	.res = RES(rbac_clusterrolebindings),
	.name_check = fmt_path_segment,
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = subject_defaults,
	.reserve = reserve_binding,
	.print = print_rolebinding,
	.observe = observe_clusterrolebinding,
};

/* --- the rest --- */

/* Which of several candidates shall lead is the business of a feature that is off at its stage (beta). What an object
 * has from elsewhere stays. */
static void lease_prepare(struct api_req *q, const struct val *old, struct val *doc)
{
	static const enum sym coordinated[] = { F_strategy, F_preferredHolder };

	(void)q;
	for (size_t i = 0; i < ARRAY_LEN(coordinated); i++)
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
	.print = print_endpointslice,
};

const struct strategy pdb_strategy = {
	.res = RES(policy_poddisruptionbudgets), .name_check = fmt_path_segment, /* upstream asks for no more */
};

static const char *const nothing_counted[] = { NULL };

const struct strategy priorityclass_strategy = {
	.counted = nothing_counted,
	.res = RES(scheduling_priorityclasses),
	.print = print_priorityclass,
	.unconditional_update = true,
};

static void ingress_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	if (!old && val_member_sv(val_get(doc, F_metadata, F_annotations), SV("kubernetes.io/ingress.class")))
		api_req_warn(
		    q, "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' "
		       "instead");
}

const struct strategy ingress_strategy = {
	.res = RES(networking_ingresses),
	.unconditional_update = true,
	.print = print_ingress,
	.warn = ingress_warn,
};

static void ingressclass_defaults(struct api_req *q, struct val *doc)
{
	struct val *p = val_get_mut(doc, F_spec, F_parameters);

	if (p && !val_get(p, F_scope))
		val_set_cstr(q->arena, p, F_scope, "Cluster");
}

const struct strategy ingressclass_strategy = {
	.res = RES(networking_ingressclasses),
	.unconditional_update = true,
	.set_defaults = ingressclass_defaults,
	.print = print_ingressclass,
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
};

const struct strategy servicecidr_strategy = {
	.res = RES(networking_servicecidrs),
	.unconditional_update = true,
	.no_generation = true,
	.print = print_servicecidr,
};

const struct strategy ipaddress_strategy = {
	.res = RES(networking_ipaddresses),
	.name_check = check_ip_name,
	.unconditional_update = true,
	.no_generation = true,
	.print = print_ipaddress,
};

const struct strategy storageclass_strategy = {
	.res = RES(storage_storageclasses),
	.unconditional_update = true,
	.no_generation = true,
	.print = print_storageclass,
};

static void attachment_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(storage_volumeattachments), old, now);
}

const struct strategy volumeattachment_strategy = {
	.res = RES(storage_volumeattachments),
	.observe = attachment_observe,
	.no_generation = true,
};

static const char *const csidriver_counted[] = { "spec.tokenRequests", "spec.requiresRepublish", "spec.seLinuxMount",
						 NULL };
const struct strategy csidriver_strategy = {
	.res = RES(storage_csidrivers),
	.late_generation = true,
	.counted = csidriver_counted,
	.print = print_csidriver,
};
const struct strategy csinode_strategy = { .res = RES(storage_csinodes), .no_generation = true };
const struct strategy csistoragecapacity_strategy = { .res = RES(storage_csistoragecapacities), .no_generation = true };

static void crd_defaults(struct api_req *q, struct val *doc)
{
	struct val *names = val_get_mut(doc, F_spec, F_names);
	struct sv kind = val_get_str(names, F_kind);

	if (!names || kind.n == 0)
		return;
	if (!val_get_str(names, F_singular).n) {
		char *lower = arena_cstr(q->arena, kind);

		for (char *c = lower; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c + ('a' - 'A'));
		val_set_cstr(q->arena, names, F_singular, lower);
	}
	if (!val_get_str(names, F_listKind).n)
		val_set_strf(q->arena, names, F_listKind, "%.*sList", SV_ARG(kind));
}

/* Objects are stored in one version; one that objects were stored in once is remembered until all are rewritten. */
static void remember_version(struct api_req *q, struct val *doc)
{
	struct val *list = val_ensure_list(q->arena, val_ensure_map(q->arena, doc, F_status), F_storedVersions);

	VAL_EACH(val_get(doc, F_spec, F_versions), v) {
		bool known = !val_get_bool(v, F_storage);

		VAL_EACH(list, s)
			known = known || sv_eq(val_str(s), val_get_str(v, F_name));
		if (!known)
			val_push(q->arena, list, val_new_str(q->arena, val_get_str(v, F_name)));
	}
}

static void crd_update(struct api_req *q, const struct val *old, struct val *doc)
{
	(void)old;
	if (!q->subresource.n)
		remember_version(q, doc);
}

const struct strategy crd_strategy = {
	.res = RES(apiextensions_customresourcedefinitions),
	.prepare_create = remember_version,
	.prepare_update = crd_update,
	.set_defaults = crd_defaults,
};
