/* MutatingAdmissionPolicy: the plugin. Which policies, bindings and parameters are asked is found out first, for the
 * object as it came; then they change it one after the other, each mutation seeing what those before it made.
 *
 *	collect ─▶ call ─▶ conditions ─▶ mutation ─▶ patch ─▶ the object ─┐
 *			    ▲──────────────────────────────────────────────┘
 *
 * When one has changed the object all plugins are asked once more (chain.c), and of the policies those that want it. */
#include "apiserver/admission/policy/policy.h"
#include "base/budget.h"
#include "object/patch.h"

/* A policy with a binding and a parameter. */
struct policy_call {
	size_t index; /* of the policy, in the set */
	const struct policy *policy;
	const struct policy_binding *binding;
	const struct resource *as;
	const struct val *param;
};

/* Why the request is refused; the first gives its words, all are causes. */
struct policy_fault {
	struct sv text;
	bool invalid;
	struct policy_fault *next;
};

static void fault(struct policy_turn *t, const struct policy *p, const struct policy_binding *b, bool invalid,
		  struct sv why)
{
	struct arena *a = t->e.q->arena;
	struct policy_fault *f;

	if (p->ignore)
		return;
	f = ARENA_NEW(a, struct policy_fault);
	f->invalid = invalid;
	f->text = b ? arena_svf(a, "policy '%.*s' with binding '%.*s' denied request: %.*s", SV_ARG(p->name),
				SV_ARG(b->name), SV_ARG(why))
		    : arena_svf(a, "policy \"%.*s\" denied request: %.*s", SV_ARG(p->name), SV_ARG(why));
	*t->last_fault = f;
	t->last_fault = &f->next;
}

static void fault_config(struct policy_turn *t, const struct policy *p, const struct policy_binding *b, struct err *why)
{
	fault(t, p, b, false,
	      arena_svf(t->e.q->arena, "failed to configure %s: %s", b ? "binding" : "policy", err_msg(why)));
	err_release(why);
}

/* --- who is asked --- */

static void collect_call(struct policy_turn *t, const struct policy_call *c)
{
	if (t->n_calls == t->room) {
		struct policy_call *more;

		t->room = t->room ? 2 * t->room : 4;
		more = ARENA_ARRAY(t->e.q->arena, struct policy_call, t->room);
		if (t->n_calls)
			memcpy(more, t->calls, t->n_calls * sizeof(*more));
		t->calls = more;
	}
	t->calls[t->n_calls++] = *c;
}

static int collect_policy(struct policy_turn *t, size_t index)
{
	const struct policy_bound *of = &t->set->all[index];
	struct policy_call c = { .index = index, .policy = of->policy };
	struct err why = ERR_INIT;
	int rc = hook_scope_matches(&of->policy->scope, &t->e, &c.as, &why);

	if (rc > 0 && policy_params_known(t, of->policy, &why) < 0)
		rc = -1;
	if (rc < 0)
		fault_config(t, of->policy, NULL, &why);
	for (size_t i = 0; rc > 0 && i < of->n; i++) {
		const struct policy_binding *b = &of->bindings[i];
		const struct val *const *params;
		const struct resource *other;
		size_t n;
		int fits = b->has_scope ? hook_scope_matches(&b->scope, &t->e, &other, &why) : 1;

		if (fits == 0)
			continue;
		fits = fits > 0 ? policy_params(t, of->policy, b, &params, &n, &why) : fits;
		if (fits == REQ_LATER)
			return fits;
		if (fits < 0) {
			fault_config(t, of->policy, b, &why);
			continue;
		}
		c.binding = b;
		for (size_t k = 0; k < n; k++) {
			c.param = params[k];
			collect_call(t, &c);
		}
	}
	return 0;
}

static int calls_collect(struct policy_turn *t)
{
	int rc = 0;

	t->n_calls = t->at = t->mutation = 0;
	t->faults = NULL;
	t->last_fault = &t->faults;
	for (size_t i = 0; rc == 0 && i < policy_turn_asked(t); i++)
		if (!t->second || t->wanted[i])
			rc = collect_policy(t, i);
	t->collected = rc == 0;
	return rc;
}

/* --- what a mutation makes --- */

/* Literals name their types by where they stand: Object.spec is in spec of Object. False: *why says which does not. */
static bool names_fit(struct arena *a, const struct cel_value *v, struct sv path, struct sv *why)
{
	if (v->kind == CEL_LIST && !(v->flags & CEL_V_DOC)) {
		for (size_t i = 0, n = cel_count(v); i < n; i++) {
			struct cel_value item = cel_at(a, v, i);

			if (!names_fit(a, &item, path, why))
				return false;
		}
		return true;
	}
	if (v->kind != CEL_OBJECT || (v->flags & (CEL_V_DOC | CEL_V_LAZY)) || !v->map)
		return true;
	if (!sv_eq(v->type->name, path)) {
		*why = arena_svf(a,
				 "type mismatch: unexpected type name \"%.*s\", expected \"%.*s\", which matches field "
				 "name path from root Object type",
				 SV_ARG(v->type->name), SV_ARG(path));
		return false;
	}
	for (uint32_t i = 0; i < v->map->n; i++) {
		const struct cel_entry *e = &v->map->entries[i];

		if (!names_fit(a, &e->value, arena_svf(a, "%.*s.%.*s", SV_ARG(path), SV_ARG(cel_text(&e->key))), why))
			return false;
	}
	return true;
}

static const struct val *make_applied(struct policy_turn *t, const struct schema *s, const struct val *doc,
				      const struct cel_value *v, struct sv *why)
{
	struct arena *a = t->e.q->arena;
	const struct val *config, *out;
	struct err err = ERR_INIT;

	if (v->kind != CEL_OBJECT || !names_fit(a, v, SV("Object"), why)) {
		if (v->kind != CEL_OBJECT)
			*why = arena_svf(a, "unsupported return type from ApplyConfiguration expression: %.*s",
					 SV_ARG(cel_type_name_of(v)));
		return NULL;
	}
	config = cel_to_doc(a, v);
	if (!config) {
		*why = SV("error applying patch: the ApplyConfiguration has values that no object can have");
		return NULL;
	}
	out = apply_mutation(a, s, doc, config, &err);
	if (!out)
		*why = arena_svf(a, "error applying patch: %s", err_msg(&err));
	err_release(&err);
	return out;
}

static const struct val *make_patched(struct policy_turn *t, const struct val *doc, const struct cel_value *v,
				      struct sv *why)
{
	struct arena *a = t->e.q->arena;
	struct val *list = v->kind == CEL_LIST ? cel_to_doc(a, v) : NULL;
	struct sv words = SV_NULL;
	struct err err = ERR_INIT;
	const struct val *out;

	if (!list) {
		*why = SV("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch");
		return NULL;
	}
	for (uint32_t i = 0; i < list->n; i++) {
		struct val *op = val_at_mut(list, i);

		if (val_type(op) == VAL_MAP && !val_get_str(op, F_from).n)
			(void)val_del(op, F_from);
	}
	out = patch_json_why(a, doc, list, &words, &err);
	/* A test that fails means that nothing is to be changed. */
	if (!out && sv_ends(words, SV("test failed")))
		out = doc;
	else if (!out)
		*why = words.n ? arena_svf(a, "JSON Patch: %.*s", SV_ARG(words))
			       : arena_svf(a, "JSON Patch: %s", err_msg(&err));
	err_release(&err);
	return out;
}

static const struct schema *mutate_schema(const struct policy_turn *t, const struct policy_call *c)
{
	const struct api_req *q = t->e.q;

	if (c->as)
		return c->as->schema;
	return t->e.sub.n && q->sub && q->sub->schema ? q->sub->schema : t->e.a->res->schema;
}

/* --- how the object changes --- */

static void note_change(struct policy_turn *t)
{
	t->changed = true;
	for (size_t i = 0; i < t->set->n; i++) {
		t->wanted[i] |= t->invoked[i];
		t->invoked[i] = false;
	}
}

/* The object becomes `out`, of the request's version. */
static void put(struct policy_turn *t, struct val *out)
{
	const struct admission *a = t->e.a;

	t->forms = NULL;
	if (sv_is(t->e.sub, "scale") && !a->subresource.n) {
		(void)registry_scale_set(t->e.q->arena, a->res, a->doc, val_get_int(out, 0, F_spec, F_replicas));
		t->e.doc = registry_scale_of(t->e.q->arena, a->res, a->doc);
		return;
	}
	out->sym = a->doc->sym;
	*a->doc = *out;
}

static int put_back(struct policy_turn *t, const struct policy_call *c, struct err *err)
{
	struct conversion *back = &t->back;
	int rc;

	if (c->as && sv_is(t->e.kind[2], t->e.a->res->kind)) {
		if (!back->of) {
			t->back_in[0] = t->patched;
			*back = (struct conversion){ .q = t->e.q,
						     .a = t->e.q->arena,
						     .of = versions_of(t->e.a->res),
						     .from = c->as,
						     .to = t->e.a->res,
						     .docs = t->back_in,
						     .n = 1,
						     .out = t->back_out };
		}
		rc = conversion_run(back, err);
		if (rc)
			return rc;
		t->patched = t->back_out[0];
		back->of = NULL;
	}
	put(t, t->patched);
	t->patched = NULL;
	t->mutation++;
	return 0;
}

/* The mutation t->mutation of a call. 1: the call is over, *why (n 0: nothing) says what is wrong. */
static int mutate_one(struct policy_turn *t, const struct policy_call *c, struct sv *why, struct err *err)
{
	const struct policy_mutation *m = &c->policy->mutations[t->mutation];
	const struct schema *s = mutate_schema(t, c);
	uint64_t budget = CEL_BUDGET_OBJECT;
	const struct val *made;
	struct policy_form *form;
	struct policy_run run;
	struct cel_value v;
	struct err wrong = ERR_INIT;
	struct val *out;
	int rc = policy_form_get(t, c->as, &form, err);

	if (rc == 0)
		rc = policy_run_init(&run, t, c->policy, form, c->param, err);
	if (rc)
		return rc;
	if (t->mutation == 0 && c->policy->n_conditions) {
		rc = policy_conditions_hold(&run, why);
		if (rc != 1)
			return rc == REQ_LATER ? rc : 1;
	}
	switch (policy_eval(&run, &m->expr, &budget, &v, why)) {
	case POLICY_WAITS:
		return REQ_LATER;
	case POLICY_FAILED:
	case POLICY_SPENT:
		return 1;
	case POLICY_VALUE:
		break;
	}
	t->invoked[c->index] |= c->policy->again;
	made = m->patch ? make_patched(t, form->doc, &v, why) : make_applied(t, s, form->doc, &v, why);
	if (!made)
		return 1;
	if (made == form->doc || val_same(made, form->doc)) {
		t->mutation++;
		return 0;
	}
	out = hook_patched(t->e.q, c->as ? c->as : t->e.a->res, s, form->doc, made, &wrong);
	if (!out) {
		*why = arena_sv(t->e.q->arena, sv_from(err_msg(&wrong)));
		err_release(&wrong);
		return 1;
	}
	t->invoked[c->index] = false;
	note_change(t);
	t->invoked[c->index] = c->policy->again;
	t->patched = out;
	return put_back(t, c, err);
}

static int mutate_call(struct policy_turn *t, const struct policy_call *c, struct err *err)
{
	struct sv why = SV("");
	int rc = t->patched ? put_back(t, c, err) : 0;

	while (rc == 0 && t->mutation < c->policy->n_mutations)
		rc = mutate_one(t, c, &why, err);
	if (rc == REQ_LATER || rc < 0)
		return rc;
	if (why.n)
		fault(t, c->policy, c->binding, true, why);
	t->at++;
	t->mutation = 0;
	return 0;
}

static int mutate_refused(const struct policy_turn *t, struct err *err)
{
	const struct admission *a = t->e.a;

	if (!t->faults)
		return 0;
	err_set(err, ERR_FORBIDDEN, "%.*s", SV_ARG(t->faults->text));
	(void)err_set_object(err, sv_from(a->res->group), sv_from(a->res->plural), a->name);
	if (err && t->faults->invalid) {
		err->reason = ERR_INVALID;
		err->code = err_reason_code(ERR_FORBIDDEN);
	}
	for (const struct policy_fault *f = t->faults; err && f; f = f->next)
		err_add_cause(err, "", SV_NULL, "%.*s", SV_ARG(f->text));
	return -1;
}

/* --- the plugin --- */

bool admission_policies_again(const struct admission *a, bool others)
{
	struct policy_turn *t = a->q->policies;
	bool changed = t && t->changed && !t->second;

	if (t && !t->second && (changed || others)) {
		t->second = true;
		t->collected = false;
		t->forms = NULL;
		/* Have the plugins in between changed it? Then all are wanted that may be asked again. */
		if (!t->last || !a->doc || !val_same(t->last, a->doc))
			note_change(t);
	}
	return changed;
}

static int policies_mutate(const struct admission *a, struct err *err)
{
	struct api_req *q = a->q;
	struct policy_turn *t = q->policies ? q->policies : policy_turn_new(a, true);
	int rc = 0;

	if (!t)
		return 0;
	q->policies = t;
	policy_turn_refresh(t, a);
	if (!t->collected)
		rc = calls_collect(t);
	while (rc == 0 && t->at < t->n_calls) {
		/* Parameters may be many, and nobody may be waiting any more. */
		rc = t->at ? req_over(q, err) : 0;
		if (rc == 0)
			rc = mutate_call(t, &t->calls[t->at], err);
	}
	if (rc)
		return rc;
	if (!t->second)
		t->last = val_clone_nodes(q->arena, a->doc);
	return mutate_refused(t, err);
}

const struct admission_plugin admission_mutating_policies = {
	.name = "MutatingAdmissionPolicy",
	.mutates = ON_CREATE | ON_UPDATE | ON_SUBRESOURCES,
	.mutate = policies_mutate,
	.slow = true,
};
