/* Roles and their bindings: nobody gives more than he has. */
#include "apiserver/authz.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/registry/kinds/kinds.h"

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
 * its rules, or be allowed to bind it. 0: he may, 1: he may not, also when who was asked refuses or does not know. */
static int may(struct api_req *q, const char *verb, const struct resource *r, struct sv ns, struct sv name)
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
	_cleanup_(err_release) struct err refused = ERR_INIT;
	struct sv reason;
	int rc = authz_ask(q, &at, &reason, &refused);

	return rc < 0 ? 1 : rc;
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

static int permit_role(struct api_req *q, const struct val *old, const struct val *doc, struct err *err)
{
	struct err why = ERR_INIT;
	int rc = same_rights(old, doc) ? 0 : may(q, "escalate", q->res, q->ns, q->name);

	if (rc != 1)
		return rc;
	if (val_get(doc, F_aggregationRule) &&
	    authz_covers(q->server, q->arena, &q->user, q->ns, every_rule(q->arena), NULL) < 0) {
		err_set(&why, ERR_FORBIDDEN, "must have cluster-admin privileges to use the aggregationRule");
		return forbid(q, doc, err, &why);
	}
	if (authz_covers(q->server, q->arena, &q->user, q->ns, val_get(doc, F_rules), &why) == 0)
		return 0;
	return forbid(q, doc, err, &why);
}

static int permit_binding(struct api_req *q, const struct val *old, const struct val *doc, struct err *err)
{
	const struct val *ref = val_get(doc, F_roleRef);
	bool role = val_is(val_get(ref, F_kind), "Role");
	const struct resource *res = role ? RES(rbac_roles) : RES(rbac_clusterroles);
	struct sv name = val_get_str(ref, F_name), ns = val_get_str(doc, F_metadata, F_namespace);
	struct err why = ERR_INIT;
	struct obj *o;
	int rc;

	if (old && val_equal(val_get(old, F_subjects), val_get(doc, F_subjects)))
		return 0;
	rc = may(q, "bind", res, ns, name);
	if (rc != 1)
		return rc;
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
	.permit = permit_role,
	.observe = observe_role,
};
const struct strategy clusterrole_strategy = {
	.res = RES(rbac_clusterroles),
	.name_check = fmt_path_segment,
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.permit = permit_role,
	.observe = observe_clusterrole,
};
const struct strategy rolebinding_strategy = {
	.res = RES(rbac_rolebindings),
	.name_check = fmt_path_segment,
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = subject_defaults,
	.permit = permit_binding,
	.observe = observe_rolebinding,
};
const struct strategy clusterrolebinding_strategy = {
	.res = RES(rbac_clusterrolebindings),
	.name_check = fmt_path_segment,
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = subject_defaults,
	.permit = permit_binding,
	.observe = observe_clusterrolebinding,
};
