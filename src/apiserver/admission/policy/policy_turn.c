/* What a request's policies look at: the object in the versions that their rules speak of. */
#include "apiserver/admission/policy/policy.h"

static void turn_drop(void *p)
{
	(void)policy_set_unref(p);
}

struct policy_turn *policy_turn_new(const struct admission *a, bool mutating)
{
	struct policy_set *set = policy_set_get(a->q->server, mutating);
	struct hook_event e;
	struct policy_turn *t;

	if (!set)
		return NULL;
	if (!hook_event_init(&e, a) || (e.config && !set->n_files)) {
		policy_set_unref(set);
		return NULL;
	}
	t = ARENA_NEW(a->q->arena, struct policy_turn);
	t->set = set;
	arena_defer(a->q->arena, turn_drop, set);
	t->e = e;
	t->mutating = mutating;
	hook_authz_init(&t->authz, a->q);
	if (mutating) {
		t->invoked = ARENA_ARRAY(a->q->arena, bool, set->n);
		t->wanted = ARENA_ARRAY(a->q->arena, bool, set->n);
	}
	return t;
}

void policy_turn_refresh(struct policy_turn *t, const struct admission *a)
{
	bool scale = sv_is(t->e.sub, "scale") && !a->subresource.n;

	t->e.a = a;
	if (!scale) {
		t->e.doc = a->doc;
		t->e.old = a->old;
	}
}

static int form_convert(struct policy_turn *t, struct policy_form *f, struct err *err)
{
	struct conversion *c = &f->there;
	int rc;

	/* A subresource with a kind of its own has no versions of its object's. */
	if (!f->as || !sv_is(t->e.kind[2], t->e.a->res->kind))
		return 0;
	if (!c->of) {
		*c = (struct conversion){ .q = t->e.q,
					  .a = t->e.q->arena,
					  .of = versions_of(t->e.a->res),
					  .from = t->e.a->res,
					  .to = f->as,
					  .docs = f->in,
					  .out = f->out };
		if (f->doc)
			f->in[c->n++] = f->doc;
		if (f->old)
			f->in[c->n++] = f->old;
	}
	rc = conversion_run(c, err);
	if (rc)
		return rc;
	if (f->old)
		f->old = f->out[c->n - 1];
	if (f->doc)
		f->doc = f->out[0];
	return 0;
}

int policy_form_get(struct policy_turn *t, const struct resource *as, struct policy_form **ret, struct err *err)
{
	struct policy_form *f = t->forms;
	int rc;

	while (f && f->as != as)
		f = f->next;
	if (!f) {
		f = ARENA_NEW(t->e.q->arena, struct policy_form);
		f->as = as;
		f->doc = t->e.doc;
		f->old = t->e.old;
		f->next = t->forms;
		t->forms = f;
	}
	if (!f->ready) {
		rc = form_convert(t, f, err);
		if (rc)
			return rc;
		f->request = hook_request(as, &t->e);
		f->ready = true;
	}
	*ret = f;
	return 0;
}
