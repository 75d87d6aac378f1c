/* Parameters: objects that a binding names, out of the watch cache, in the version that the policy speaks of. */
#include "apiserver/set_aside.h"
#include "apiserver/admission/policy/policy.h"
#include "apiserver/watchcache.h"

static struct sv params_group(struct sv api_version, struct sv *ret_version)
{
	ssize_t slash = sv_find(api_version, '/');

	*ret_version = slash < 0 ? api_version : sv_sub(api_version, (size_t)slash + 1, api_version.n);
	return slash < 0 ? SV("") : sv_sub(api_version, 0, (size_t)slash);
}

static const struct resource *params_kind(const struct policy_turn *t, const struct policy *p, struct err *err)
{
	struct sv version, group = params_group(p->param_version, &version);
	const struct resource *r = api_find_kind(t->e.q->api, group, version, p->param_kind);

	if (!r || !wc_serves(t->e.q->server->wc, r)) {
		err_set(err, ERR_INTERNAL, "failed to find resource referenced by paramKind: '%.*s%s%.*s, Kind=%.*s'",
			SV_ARG(group), group.n ? "/" : "", SV_ARG(version), SV_ARG(p->param_kind));
		return NULL;
	}
	return r;
}

/* Where they are; "" for a kind without namespaces. */
static int params_namespace(const struct policy_turn *t, const struct resource *r, const struct val *ref,
			    struct sv *ret, struct err *err)
{
	struct sv named = val_get_str(ref, F_namespace);

	*ret = SV("");
	if (!r->namespaced)
		return named.n ? err_set(err, ERR_INTERNAL,
					 "paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
			       : 0;
	*ret = named.n ? named : t->e.a->res == RES(core_namespaces) ? t->e.name : t->e.ns;
	return ret->n
		   ? 0
		   : err_set(err, ERR_INTERNAL,
			     "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
}

struct params_found {
	struct arena *a;
	const struct selector *sel;
	const struct val **docs;
	size_t n, room;
};

static int params_take(struct obj *o, void *ctx)
{
	struct params_found *f = ctx;

	if (!selector_matches(f->sel, obj_labels(o)))
		return 0;
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 4;
		const struct val **more = ARENA_ARRAY(f->a, const struct val *, room);

		if (f->n)
			memcpy(more, f->docs, f->n * sizeof(*more));
		f->docs = more;
		f->room = room;
	}
	f->docs[f->n++] = obj_root(obj_link(f->a, obj_ref(o)));
	return 0;
}

static int params_find(struct policy_turn *t, const struct resource *r, struct sv ns, const struct val *ref,
		       struct params_found *f, struct err *err)
{
	struct sv name = val_get_str(ref, F_name);
	const struct val *ls = val_get(ref, F_selector);
	struct obj *o;

	if (name.n && ls)
		return err_set(err, ERR_INTERNAL, "paramRef.name and paramRef.selector are mutually exclusive");
	if (name.n) {
		o = registry_peek(t->e.q, r, ns, name);
		return o ? params_take(o, f) : registry_absent(t->e.q, r, ns, name, err);
	}
	if (!ls)
		return err_set(err, ERR_INTERNAL, "one of name or selector must be provided");
	f->sel = selector_from_label_selector(f->a, ls, err);
	if (!f->sel)
		return -1;
	return registry_each(t->e.q->server, r, ns, params_take, f, err);
}

/* Those that a run behind a wait finds again. */
struct policy_params {
	const struct policy_binding *of;
	const struct val **docs;
	size_t n, at; /* those before it are converted */
	struct conversion c;
	const struct val *in[1];
	struct val *out[1];
	struct policy_params *next;
};

static int params_convert(struct policy_turn *t, struct policy_params *p, const struct resource *r, struct err *err)
{
	const struct versions *v = versions_of(r);

	for (; v && p->at < p->n; p->at++) {
		const struct resource *from = versions_form(v, p->docs[p->at]);
		int rc;

		if (from == r)
			continue;
		if (!p->c.of) {
			p->in[0] = p->docs[p->at];
			p->c = (struct conversion){ .q = t->e.q,
						    .a = t->e.q->arena,
						    .of = v,
						    .from = from ? from : v->storage,
						    .to = r,
						    .docs = p->in,
						    .n = 1,
						    .out = p->out };
		}
		rc = conversion_run(&p->c, err);
		if (rc)
			return rc;
		p->docs[p->at] = p->out[0];
		p->c = (struct conversion){ 0 };
	}
	return 0;
}

int policy_params_known(const struct policy_turn *t, const struct policy *p, struct err *err)
{
	return !p->has_params || params_kind(t, p, err) ? 0 : -1;
}

int policy_params(struct policy_turn *t, const struct policy *p, const struct policy_binding *b,
		  const struct val *const **ret, size_t *ret_n, struct err *err)
{
	static const struct val *const none[] = { NULL };
	struct params_found f = { .a = t->e.q->arena };
	struct policy_params *known = t->params;
	const struct resource *r;
	struct sv ns;
	int rc;

	*ret = none;
	*ret_n = 1;
	if (!p->has_params || !b->params)
		return 0;
	r = params_kind(t, p, err);
	if (!r)
		return -1;
	while (known && known->of != b)
		known = known->next;
	if (!known) {
		if (params_namespace(t, r, b->params, &ns, err) < 0 || params_find(t, r, ns, b->params, &f, err) < 0)
			return -1;
		known = ARENA_NEW(f.a, struct policy_params);
		known->of = b;
		known->docs = f.docs;
		known->n = f.n;
		known->next = t->params;
		t->params = known;
	}
	rc = params_convert(t, known, r, err);
	if (rc)
		return rc;
	if (!known->n && val_is(val_get(b->params, F_parameterNotFoundAction), "Deny"))
		return err_set(err, ERR_INTERNAL,
			       "no params found for policy binding with `Deny` parameterNotFoundAction");
	*ret = known->docs;
	*ret_n = known->n;
	return 0;
}
