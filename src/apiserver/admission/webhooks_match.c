/* Is a webhook asked about this? Cheap things first: rules, then the object's labels, then the namespace's. */
#include "apiserver/admission/webhooks.h"
#include "apiserver/registry/registry.h"
#include "apiserver/versions.h"
#include "object/served.h"

/* Of the group of admission's own configurations none: who breaks one must be able to mend it. */
static bool hook_exempt(const struct resource *r)
{
	static const char *const kinds[] = { "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
					     "ValidatingAdmissionPolicy",      "ValidatingAdmissionPolicyBinding",
					     "MutatingAdmissionPolicy",	       "MutatingAdmissionPolicyBinding" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(r->group, "admissionregistration.k8s.io") == 0 && strcmp(r->kind, kinds[i]) == 0)
			return true;
	return false;
}

/* The request itself does that: what the server does on the way of another one is not asked about. */
static bool hook_requested(const struct admission *a)
{
	const struct api_req *q = a->q;

	if (!q->user.name.n || q->res != a->res)
		return false;
	switch (a->op) {
	case ADMIT_CREATE:
		return q->verb == VERB_CREATE || q->verb == VERB_UPDATE || q->verb == VERB_PATCH;
	case ADMIT_UPDATE:
		return q->verb == VERB_UPDATE || q->verb == VERB_PATCH;
	case ADMIT_DELETE:
		return q->verb == VERB_DELETE || q->verb == VERB_DELETECOLLECTION;
	case ADMIT_CONNECT:
		return true;
	}
	return false;
}

static void hook_kind_of(struct hook_event *e, const struct val *doc)
{
	struct sv av = val_get_str(doc, F_apiVersion), kind = val_get_str(doc, F_kind);
	const struct resource *r = e->a->res;
	ssize_t slash;

	e->kind[0] = sv_from(r->group);
	e->kind[1] = sv_from(r->version);
	e->kind[2] = sv_from(r->kind);
	if (!e->sub.n || !av.n || !kind.n)
		return;
	slash = sv_find(av, '/');
	e->kind[0] = slash < 0 ? SV("") : sv_sub(av, 0, (size_t)slash);
	e->kind[1] = slash < 0 ? av : sv_sub(av, (size_t)slash + 1, av.n);
	e->kind[2] = kind;
}

bool hook_event_init(struct hook_event *e, const struct admission *a)
{
	static const struct sv names[] = { [ADMIT_CREATE] = { "CREATE", 6 },
					   [ADMIT_UPDATE] = { "UPDATE", 6 },
					   [ADMIT_DELETE] = { "DELETE", 6 },
					   [ADMIT_CONNECT] = { "CONNECT", 7 } };
	struct api_req *q = a->q;

	if (!hook_requested(a))
		return false;
	*e = (struct hook_event){
		.a = a,
		.q = q,
		.sub = a->subresource,
		.ns = a->ns,
		.name = q->verb == VERB_DELETECOLLECTION || a->generated ? SV("") : a->name,
		.doc = a->doc,
		.old = a->old,
		.operation = names[a->op],
		.config = hook_exempt(a->res),
	};
	/* A Scale is another view of the object that is written. */
	if (!e->sub.n && a->op == ADMIT_UPDATE && sv_is(q->subresource, "scale")) {
		e->sub = SV("scale");
		e->doc = registry_scale_of(q->arena, a->res, a->doc);
		e->old = registry_scale_of(q->arena, a->res, a->old);
	}
	if (a->res == RES(core_namespaces))
		e->ns = a->name;
	e->resource[0] = sv_from(a->res->group);
	e->resource[1] = sv_from(a->res->version);
	e->resource[2] = sv_from(a->res->plural);
	hook_kind_of(e, e->doc ? e->doc : e->old);
	return true;
}

/* --- compiling --- */

static unsigned hook_operations(const struct val *list)
{
	static const char *const names[] = { [ADMIT_CREATE] = "CREATE",
					     [ADMIT_UPDATE] = "UPDATE",
					     [ADMIT_DELETE] = "DELETE",
					     [ADMIT_CONNECT] = "CONNECT" };
	unsigned bits = 0;

	VAL_EACH(list, op) {
		if (val_is(op, "*"))
			bits = ~0U;
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (val_is(op, names[i]))
				bits |= 1U << i;
	}
	return bits;
}

static void hook_scope_rules(struct arena *a, const struct val *list, struct hook_rule **ret, size_t *ret_n)
{
	*ret = ARENA_ARRAY(a, struct hook_rule, val_len(list) + 1);
	VAL_EACH(list, r) {
		struct sv scope = val_get_str(r, F_scope);

		(*ret)[(*ret_n)++] = (struct hook_rule){
			.operations = hook_operations(val_get(r, F_operations)),
			.groups = val_get(r, F_apiGroups),
			.versions = val_get(r, F_apiVersions),
			.resources = val_get(r, F_resources),
			.names = val_get(r, F_resourceNames),
			.scope = sv_is(scope, "Namespaced") ? HOOK_NAMESPACED
				 : sv_is(scope, "Cluster")  ? HOOK_CLUSTER
							    : HOOK_ANY_SCOPE,
		};
	}
}

static const struct selector *hook_scope_selector(struct arena *a, struct hook_scope *s, const struct val *ls)
{
	const struct selector *sel;

	if (!ls)
		return NULL;
	sel = selector_from_label_selector(a, ls, s->wrong.reason ? NULL : &s->wrong);
	return sel && selector_empty(sel) ? NULL : sel;
}

void hook_scope_compile(struct arena *a, const struct val *from, const struct val *rules, const struct val *except,
			struct hook_scope *ret)
{
	*ret = (struct hook_scope){ .equivalent = !val_is(val_get(from, F_matchPolicy), "Exact") };
	hook_scope_rules(a, rules, &ret->rules, &ret->n_rules);
	hook_scope_rules(a, except, &ret->except, &ret->n_except);
	ret->of_namespace = hook_scope_selector(a, ret, val_get(from, F_namespaceSelector));
	ret->of_object = hook_scope_selector(a, ret, val_get(from, F_objectSelector));
}

/* --- rules --- */

static bool hook_listed(const struct val *list, struct sv what)
{
	VAL_EACH(list, v)
		if (val_is(v, "*") || sv_eq(val_str(v), what))
			return true;
	return false;
}

static bool hook_resource_listed(const struct val *list, struct sv plural, struct sv sub)
{
	VAL_EACH(list, v) {
		struct sv res = val_str(v), of = SV("");
		ssize_t slash = sv_find(res, '/');

		if (slash >= 0) {
			of = sv_sub(res, (size_t)slash + 1, res.n);
			res = sv_sub(res, 0, (size_t)slash);
		}
		if ((sv_is(res, "*") || sv_eq(res, plural)) && (sv_is(of, "*") || sv_eq(of, sub)))
			return true;
	}
	return false;
}

static bool hook_named(const struct val *list, struct sv name)
{
	VAL_EACH(list, v)
		if (sv_eq(val_str(v), name))
			return true;
	return false;
}

static bool hook_rule_takes(const struct hook_rule *r, const struct hook_event *e, const struct resource *as)
{
	bool cluster = e->a->res == RES(core_namespaces) || !e->ns.n;

	if (val_len(r->names) && !hook_named(r->names, e->name))
		return false;
	if (!(r->operations & 1U << e->a->op) || (r->scope == HOOK_NAMESPACED && cluster) ||
	    (r->scope == HOOK_CLUSTER && !cluster))
		return false;
	return hook_listed(r->groups, sv_from(as->group)) && hook_listed(r->versions, sv_from(as->version)) &&
	       hook_resource_listed(r->resources, sv_from(as->plural), e->sub);
}

static bool hook_rules_take(const struct hook_rule *rules, size_t n, const struct hook_event *e,
			    const struct resource *as)
{
	for (size_t i = 0; i < n; i++)
		if (hook_rule_takes(&rules[i], e, as))
			return true;
	return false;
}

/* Do these rules mean the request, or, where equivalents count, another version of the same (*ret_as)? */
static bool hook_rules_mean(const struct hook_scope *s, const struct hook_rule *rules, size_t n,
			    const struct hook_event *e, const struct resource **ret_as)
{
	const struct versions *v;

	*ret_as = NULL;
	if (!n || hook_rules_take(rules, n, e, e->a->res))
		return n > 0;
	v = s->equivalent ? versions_of(e->a->res) : NULL;
	for (size_t i = 0; v && i < v->n; i++) {
		if (v->all[i].res != e->a->res && resource_served(v->all[i].res) &&
		    hook_rules_take(rules, n, e, v->all[i].res)) {
			*ret_as = v->all[i].res;
			return true;
		}
	}
	return false;
}

/* --- selectors --- */

static bool hook_object_fits(const struct selector *sel, const struct val *doc)
{
	const struct val *meta = val_member(doc, F_metadata);

	return val_type(meta) == VAL_MAP && selector_matches(sel, val_member(meta, F_labels));
}

static int hook_namespace_fits(const struct hook_scope *h, struct hook_event *e, struct err *err)
{
	const struct resource *namespaces = RES(core_namespaces);

	if (!e->ns.n && e->a->res != namespaces)
		return 1;
	/* One that is being made is not there yet, and one that changes is as it will be. */
	if (e->a->res == namespaces && !e->sub.n && e->doc)
		return selector_matches(h->of_namespace, val_get(e->doc, F_metadata, F_labels));
	if (!e->ns_obj)
		e->ns_obj = registry_peek(e->q, namespaces, SV(""), e->ns);
	if (!e->ns_obj)
		return err_not_found(err, namespaces, e->ns);
	return selector_matches(h->of_namespace, obj_labels(e->ns_obj));
}

int hook_scope_matches(const struct hook_scope *s, struct hook_event *e, const struct resource **ret_as,
		       struct err *err)
{
	const struct resource *but;

	*ret_as = NULL;
	if (hook_rules_mean(s, s->except, s->n_except, e, &but) ||
	    (!s->any && !hook_rules_mean(s, s->rules, s->n_rules, e, ret_as)))
		return 0;
	if (s->wrong.reason)
		return err_copy(err, &s->wrong);
	if (s->of_object && !hook_object_fits(s->of_object, e->doc) && !hook_object_fits(s->of_object, e->old))
		return 0;
	return s->of_namespace ? hook_namespace_fits(s, e, err) : 1;
}

int hook_matches(const struct hook *h, struct hook_event *e, struct hook_match *ret, struct err *err)
{
	struct err why = ERR_INIT;
	int rc;

	*ret = (struct hook_match){ .hook = h };
	rc = hook_scope_matches(&h->scope, e, &ret->as, &why);
	if (rc < 0)
		return h->scope.wrong.reason ? hook_internal(&why, err) : err_move(err, &why);
	return rc;
}
