#include "apiserver/authz.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/authz/node.h"
#include "apiserver/authz/rbac.h"

/* By what is built in. */
static bool authz_allowed(struct apiserver *s, struct arena *a, const struct authz_attrs *at, struct sv *ret_reason)
{
	struct sv node;

	*ret_reason = SV("");
	if (user_in_group(at->user, SV("system:masters")))
		return true;
	node = node_identity(at->user);
	if (node.p && node_allowed(s, node, at, a, ret_reason))
		return true;
	return rbac_allowed(s->authz->rbac, at, at->explain ? a : NULL, ret_reason);
}

/* --- who else is asked --- */

static bool authz_same(const struct authz_attrs *a, const struct authz_attrs *b)
{
	return a->resource_request == b->resource_request && sv_eq(a->verb, b->verb) && sv_eq(a->group, b->group) &&
	       sv_eq(a->version, b->version) && sv_eq(a->resource, b->resource) &&
	       sv_eq(a->subresource, b->subresource) && sv_eq(a->ns, b->ns) && sv_eq(a->name, b->name) &&
	       sv_eq(a->path, b->path);
}

static int authz_ask_outside(struct api_req *q, const struct authz_attrs *at, struct sv *ret_reason, struct err *err)
{
	const struct req_plugins *p = q->server->plugins;
	struct authz_verdict *v;
	int rc;

	for (v = q->verdicts; v; v = v->next)
		if (sv_eq(v->user, at->user->name) && authz_same(&v->at, at)) {
			*ret_reason = v->reason;
			return v->rc;
		}
	rc = p->authorize(q, at, ret_reason, err, p->ctx);
	if (rc != 0 && rc != 1)
		return rc;
	v = ARENA_NEW(q->arena, struct authz_verdict);
	*v = (struct authz_verdict){
		.next = q->verdicts, .at = *at, .user = at->user->name, .reason = *ret_reason, .rc = rc
	};
	v->at.user = NULL;
	q->verdicts = v;
	return rc;
}

int authz_ask(struct api_req *q, const struct authz_attrs *at, struct sv *ret_reason, struct err *err)
{
	const struct req_plugins *p = q->server->plugins;
	_cleanup_(err_release) struct err why = ERR_INIT;
	bool final = false;
	struct sv outside;
	int rc;

	if (q->server->authz->chains)
		rc = authz_chains_ask(q->server->authz->chains, q, at, &final, ret_reason, &why);
	else
		rc = authz_allowed(q->server, q->arena, at, ret_reason) ? 0 : 1;
	if (rc == 0 || rc == REQ_LATER)
		return rc;
	outside = *ret_reason; /* unless he has another */
	if (!final && p && p->authorize) {
		int last = authz_ask_outside(q, at, &outside, err);

		/* Who hangs in has the last word, but for a no that only follows a failure. */
		if (rc == 1 || last == 0 || last == REQ_LATER) {
			*ret_reason = outside;
			return last;
		}
		if (last < 0)
			err_release(err);
	}
	return rc < 0 ? err_move(err, &why) : rc;
}

/* The 403 of upstream: `pods "x" is forbidden: User "u" cannot get resource "pods" in API group "" in the namespace
 * "ns"`. */
int authz_refuse(struct arena *a, const struct authz_attrs *at, struct sv reason, struct err *err)
{
	const char *colon = reason.n ? ": " : "";

	if (!at->resource_request) {
		err_set(err, ERR_FORBIDDEN, "forbidden: User \"%.*s\" cannot %.*s path \"%.*s\"%s%.*s",
			SV_ARG(at->user->name), SV_ARG(at->verb), SV_ARG(at->path), colon, SV_ARG(reason));
		return -1;
	}

	/* What the sentence is about is the object, also where something of it was asked for: `pods "p"`. */
	struct sv subject =
	    at->group.n ? arena_svf(a, "%.*s.%.*s", SV_ARG(at->resource), SV_ARG(at->group)) : at->resource;
	if (at->name.n)
		subject = arena_svf(a, "%.*s \"%.*s\"", SV_ARG(subject), SV_ARG(at->name));

	struct sv where =
	    at->ns.n ? arena_svf(a, "in the namespace \"%.*s\"", SV_ARG(at->ns)) : SV("at the cluster scope");
	struct sv what =
	    at->subresource.n ? arena_svf(a, "%.*s/%.*s", SV_ARG(at->resource), SV_ARG(at->subresource)) : at->resource;

	err_set(err, ERR_FORBIDDEN,
		"%.*s is forbidden: User \"%.*s\" cannot %.*s resource \"%.*s\" in API group \"%.*s\" %.*s%s%.*s",
		SV_ARG(subject), SV_ARG(at->user->name), SV_ARG(at->verb), SV_ARG(what), SV_ARG(at->group),
		SV_ARG(where), colon, SV_ARG(reason));
	return err_set_object(err, at->group, at->resource, at->name);
}

int authz_decide(struct api_req *q, const struct authz_attrs *at, struct sv *ret_reason, struct err *err)
{
	int rc = authz_ask(q, at, ret_reason, err);

	return rc == 1 ? authz_refuse(q->arena, at, *ret_reason, err) : rc;
}

int authz_require(struct api_req *q, const struct authz_attrs *at, struct err *err)
{
	struct sv reason;

	return authz_decide(q, at, &reason, err);
}

struct sv authz_selected_name(const struct field_selector *fields)
{
	for (size_t i = 0; fields && i < fields->n; i++) {
		struct sv name = fields->terms[i].value;

		if (fields->terms[i].negated || !sv_is(fields->terms[i].label, "metadata.name"))
			continue;
		if (!name.n || sv_is(name, ".") || sv_is(name, "..") || sv_find(name, '/') >= 0 ||
		    sv_find(name, '%') >= 0)
			return SV_NULL;
		return name;
	}
	return SV_NULL;
}

/* --- what may I do --- */

struct collect {
	struct arena *a;
	struct val *resources, *urls;
};

static int collect_rule(const struct val *rule, void *ctx)
{
	static const enum sym copied[] = { F_verbs, F_apiGroups, F_resources, F_resourceNames, F_nonResourceURLs };
	struct collect *c = ctx;
	bool url = val_len(val_get(rule, F_nonResourceURLs)) > 0;
	struct val *out = val_new_map(c->a);

	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const struct val *v = val_get(rule, copied[i]);

		if (v)
			val_set(c->a, out, copied[i], val_clone(c->a, v));
	}
	val_push(c->a, url ? c->urls : c->resources, out);
	return 0;
}

struct val *authz_rules(struct apiserver *s, struct arena *a, const struct user_info *u, struct sv ns)
{
	struct collect c = { .a = a, .resources = val_new_list(a), .urls = val_new_list(a) };
	struct val *status = val_new_map(a);
	bool node = node_identity(u).p != NULL, outside = s->plugins && s->plugins->authorize;
	struct authz_chains *chains = s->authz->chains;

	/* Of a chain what it has counts. */
	node = node && (!chains || authz_chains_has(chains, AUTHZ_NODE));
	outside = outside || (chains && authz_chains_has(chains, AUTHZ_WEBHOOK));

	if (user_in_group(u, SV("system:masters"))) {
		struct val *all = val_new_map(a), *star = val_new_list(a);

		val_push(a, star, val_new_str_ref(a, SV("*")));
		val_set(a, all, F_verbs, star);
		val_set(a, all, F_apiGroups, star);
		val_set(a, all, F_resources, star);
		val_push(a, c.resources, all);
		all = val_new_map(a);
		val_set(a, all, F_verbs, star);
		val_set(a, all, F_nonResourceURLs, star);
		val_push(a, c.urls, all);
	}
	if (!chains || authz_chains_has(chains, AUTHZ_RBAC))
		rbac_each_rule(s->authz->rbac, u, ns, collect_rule, &c);
	val_set(a, status, F_resourceRules, c.resources);
	val_set(a, status, F_nonResourceRules, c.urls);
	val_set_bool(a, status, F_incomplete, node || outside);
	if (node)
		val_set_cstr(a, status, F_evaluationError, "node authorizer does not support user rule resolution");
	else if (outside)
		val_set_cstr(a, status, F_evaluationError, "webhook authorizer does not support user rule resolution");
	return status;
}

void authz_observe_use(struct apiserver *s, const struct resource *r, struct obj *old, struct obj *now)
{
	if (!s->authz)
		return;
	if (r == RES(core_nodes) || r == RES(networking_ingresses) || r == RES(networking_ingressclasses))
		node_ingress_observe(s->authz->ingress, r, old, now);
	else
		node_graph_observe(s->authz->nodes, r, old, now);
}
