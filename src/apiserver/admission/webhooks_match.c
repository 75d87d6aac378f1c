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

	if (hook_exempt(a->res) || !hook_requested(a))
		return false;
	*e = (struct hook_event){
		.a = a,
		.q = q,
		.sub = a->subresource,
		.ns = a->ns,
		.name = q->verb == VERB_DELETECOLLECTION ? SV("") : a->name,
		.doc = a->doc,
		.old = a->old,
		.operation = names[a->op],
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

static bool hook_rule_takes(const struct hook_rule *r, const struct hook_event *e, const struct resource *as)
{
	bool cluster = e->a->res == RES(core_namespaces) || !e->ns.n;

	if (!(r->operations & 1U << e->a->op) || (r->scope == HOOK_NAMESPACED && cluster) ||
	    (r->scope == HOOK_CLUSTER && !cluster))
		return false;
	return hook_listed(r->groups, sv_from(as->group)) && hook_listed(r->versions, sv_from(as->version)) &&
	       hook_resource_listed(r->resources, sv_from(as->plural), e->sub);
}

static bool hook_rules_take(const struct hook *h, const struct hook_event *e, const struct resource *as)
{
	for (size_t i = 0; i < h->n_rules; i++)
		if (hook_rule_takes(&h->rules[i], e, as))
			return true;
	return false;
}

/* Another version of the same that the rules speak of. */
static const struct resource *hook_equivalent(const struct hook *h, const struct hook_event *e)
{
	const struct versions *v = versions_of(e->a->res);

	for (size_t i = 0; v && i < v->n; i++)
		if (v->all[i].res != e->a->res && resource_served(v->all[i].res) &&
		    hook_rules_take(h, e, v->all[i].res))
			return v->all[i].res;
	return NULL;
}

/* --- selectors --- */

static bool hook_object_fits(const struct selector *sel, const struct val *doc)
{
	const struct val *meta = val_member(doc, F_metadata);

	return val_type(meta) == VAL_MAP && selector_matches(sel, val_member(meta, F_labels));
}

static int hook_namespace_fits(const struct hook *h, struct hook_event *e, struct err *err)
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

int hook_matches(const struct hook *h, struct hook_event *e, struct hook_match *ret, struct err *err)
{
	*ret = (struct hook_match){ .hook = h };
	if (!hook_rules_take(h, e, e->a->res)) {
		if (h->equivalent)
			ret->as = hook_equivalent(h, e);
		if (!ret->as)
			return 0;
	}
	if (h->wrong.reason) {
		struct err why = ERR_INIT;

		err_copy(&why, &h->wrong);
		return hook_internal(&why, err);
	}
	if (h->of_object && !hook_object_fits(h->of_object, e->doc) && !hook_object_fits(h->of_object, e->old))
		return 0;
	return h->of_namespace ? hook_namespace_fits(h, e, err) : 1;
}
