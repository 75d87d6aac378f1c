#include "apiserver/authz/node.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/authz/rbac.h"
#include "apiserver/registry/strategy.h"

#define NODE_PREFIX SV("system:node:")

struct sv node_identity(const struct user_info *u)
{
	if (!sv_starts(u->name, NODE_PREFIX) || !user_in_group(u, SV("system:nodes")))
		return SV_NULL;
	return sv_sub(u->name, NODE_PREFIX.n, u->name.n);
}

struct search {
	struct sv node, name;
	const struct resource *res;
	bool found;
};

static bool volume_refers(const struct val *v, const struct search *f)
{
	if (f->res == RES(core_secrets)) {
		if (sv_eq(val_get_str(v, F_secret, F_secretName), f->name))
			return true;
	} else if (sv_eq(val_get_str(v, F_configMap, F_name), f->name)) {
		return true;
	}
	VAL_EACH(val_get(v, F_projected, F_sources), src)
		if (sv_eq(val_get_str(src, f->res == RES(core_secrets) ? F_secret : F_configMap, F_name), f->name))
			return true;
	return false;
}

static bool env_refers(const struct val *containers, const struct search *f)
{
	bool secret = f->res == RES(core_secrets);

	VAL_EACH(containers, c) {
		VAL_EACH(val_get(c, F_envFrom), e)
			if (sv_eq(val_get_str(e, secret ? F_secretRef : F_configMapRef, F_name), f->name))
				return true;
		VAL_EACH(val_get(c, F_env), e)
			if (sv_eq(val_get_str(e, F_valueFrom, secret ? F_secretKeyRef : F_configMapKeyRef, F_name),
				  f->name))
				return true;
	}
	return false;
}

static int pod_refers(struct obj *o, void *ctx)
{
	struct search *f = ctx;
	const struct val *spec = obj_get(o, F_spec);

	if (!sv_eq(val_get_str(spec, F_nodeName), f->node))
		return 0;
	if (f->res == RES(core_serviceaccounts)) {
		f->found = sv_eq(val_get_str(spec, F_serviceAccountName), f->name);
		return f->found;
	}
	VAL_EACH(val_get(spec, F_volumes), v)
		f->found = f->found || volume_refers(v, f);
	VAL_EACH(val_get(spec, F_imagePullSecrets), s)
		f->found = f->found || (f->res == RES(core_secrets) && sv_eq(val_get_str(s, F_name), f->name));
	f->found = f->found || env_refers(val_get(spec, F_containers), f) ||
		   env_refers(val_get(spec, F_initContainers), f) ||
		   env_refers(val_get(spec, F_ephemeralContainers), f);
	return f->found;
}

/* Does any pod bound to the node use the object? */
static bool pod_uses(struct apiserver *s, struct sv node, const struct resource *res, struct sv ns, struct sv name)
{
	struct search f = { .node = node, .name = name, .res = res };

	if (name.n == 0 || ns.n == 0)
		return false;
	registry_each(s, RES(core_pods), ns, pod_refers, &f);
	return f.found;
}

bool node_allowed(struct apiserver *s, struct sv node, const struct authz_attrs *at, struct arena *a,
		  struct sv *ret_reason)
{
	bool core = at->group.n == 0;

	if (!rbac_role_allows(s->authz->rbac, SV("system:node"), at))
		return false;
	if (!at->resource_request)
		return true;
	if (core && (sv_is(at->resource, "secrets") || sv_is(at->resource, "configmaps"))) {
		const struct resource *res = sv_is(at->resource, "secrets") ? RES(core_secrets) : RES(core_configmaps);

		if (pod_uses(s, node, res, at->ns, at->name))
			return true;
		*ret_reason = arena_svf(a, "no relationship found between node '%.*s' and this object", SV_ARG(node));
		return false;
	}
	if (core && sv_is(at->resource, "serviceaccounts") && sv_is(at->subresource, "token"))
		return pod_uses(s, node, RES(core_serviceaccounts), at->ns, at->name);
	if (sv_is(at->group, "coordination.k8s.io") && sv_is(at->resource, "leases"))
		return sv_is(at->ns, "kube-node-lease") && (at->name.n == 0 || sv_eq(at->name, node));
	if (core && sv_is(at->resource, "nodes") && at->name.n && !sv_is(at->verb, "get") && !sv_eq(at->name, node)) {
		*ret_reason = arena_svf(a, "node '%.*s' cannot change another node", SV_ARG(node));
		return false;
	}
	return true;
}
