/* Asking admission webhooks, as two plugins of the chain.
 *
 *	mutating	next that matches ─▶ call ─▶ later ─▶ judge, patch ─┐
 *			    ▲───────────────────────────────────────────────┘
 *	validating	all that match ─▶ calls ─▶ later ─▶ judge each, in order
 *
 * When a webhook has changed the object, all plugins are asked once more (chain.c), and of the webhooks those that want
 * it: a webhook with reinvocationPolicy IfNeeded that was asked before a change of somebody else's. */
#include "apiserver/admission/webhooks.h"
#include "apiserver/registry/registry.h"
#include "apiserver/versions.h"
#include "base/log.h"

#include <stdlib.h>

/* --- judging --- */

static void hook_tell(struct api_req *q, const struct hook *h, const struct hook_verdict *v)
{
	VAL_EACH(v->warnings, w)
		if (val_str(w).n)
			api_req_warn(q, "%.*s", SV_ARG(val_str(w)));
	VAL_EACH_MEMBER(v->annotations, m)
		api_req_annotate(q, arena_svf(q->arena, "%.*s/%.*s", SV_ARG(h->name), SV_ARG(m.key)), val_str(m.value));
}

/* For the audit, under the keys that upstream has: which round, and which webhook of it. */
static void hook_note(struct hook_turn *t, const char *what, size_t index, struct sv value)
{
	struct api_req *q = t->e.q;

	api_req_annotate(q,
			 arena_svf(q->arena, "%s%s.webhook.admission.k8s.io/round_%d_index_%zu", what,
				   t->mutating ? "mutation" : "validating", t->second, index),
			 value);
}

static void hook_note_asked(struct hook_turn *t, const struct hook_ask *ask, bool changed)
{
	struct arena *a = t->e.q->arena;

	hook_note(t, "", ask->index,
		  arena_svf(a, "{\"configuration\":\"%.*s\",\"webhook\":\"%.*s\",\"mutated\":%s}",
			    SV_ARG(ask->m.hook->config), SV_ARG(ask->m.hook->name), changed ? "true" : "false"));
}

/* 1: it failed, and that does not matter. code: its answer's, or 503 for none and for a bad one. */
static int hook_failed(struct hook_turn *t, const struct hook_ask *ask, int code, struct err *why, struct err *err)
{
	const struct hook *h = ask->m.hook;

	err_wrap(why, "failed calling webhook \"%.*s\"", SV_ARG(h->name));
	if (!h->ignore) {
		hook_count_refused(t->e.q->server, h, t->mutating, t->e.operation, "calling_webhook_error", code);
		return hook_internal(why, err);
	}
	log_f(LVL_WARN, "admission", "a webhook failed, and its failure policy lets the request pass", "why", "%s",
	      err_msg(why));
	hook_note(t, "failed-open.", ask->index, h->name);
	hook_count_open(t->e.q->server, h, t->mutating);
	err_release(why);
	return 1;
}

/* 0: v; 1: nothing was said that counts; -1: the request is refused. */
static int hook_judge(struct hook_turn *t, struct hook_ask *ask, struct hook_slot *s, struct hook_verdict *v,
		      struct err *err)
{
	const struct hook *h = ask->m.hook;
	struct api_req *q = t->e.q;
	int code = s->answer->status >= 400 ? s->answer->status : err_reason_code(ERR_UNAVAILABLE), rc;
	struct err why = ERR_INIT;

	*v = (struct hook_verdict){ 0 };
	if (s->answer->err.reason) {
		err_copy(&why, &s->answer->err);
		err_wrap(&why, "failed to call webhook");
		rc = hook_failed(t, ask, code, &why, err);
	} else if (hook_review_read(q->arena, buf_sv(&s->answer->body), h->review, s->uid, t->mutating, v, &why) < 0) {
		rc = v->broken ? err_move(err, &why) : hook_failed(t, ask, code, &why, err);
		if (v->broken)
			hook_count_refused(q->server, h, t->mutating, t->e.operation, "apiserver_internal_error", 0);
	} else {
		hook_tell(q, h, v);
		rc = v->allowed ? 0 : hook_refusal(h, v->status, err);
		code = rc < 0 ? err_code(err) : 200;
		if (rc < 0)
			hook_count_refused(q->server, h, t->mutating, t->e.operation, "no_error", code);
	}
	hook_count(q->server, h, t->mutating, t->e.operation, code, rc < 0, s->took_ns);
	return rc;
}

/* --- matching --- */

static void hook_turn_refresh(struct hook_turn *t, const struct admission *a)
{
	bool scale = sv_is(t->e.sub, "scale") && !a->subresource.n;

	t->e.a = a;
	if (!scale) {
		t->e.doc = a->doc;
		t->e.old = a->old;
	}
}

/* How many of the set may be asked at all. */
static size_t hook_asked(const struct hook_turn *t)
{
	return t->e.config ? t->set->n_files : t->set->n;
}

/* Adds the webhook at `index` to those to be asked, when it is one. */
static int hook_consider(struct hook_turn *t, size_t index, struct err *err)
{
	struct hook_match m;
	int rc;

	if (t->second && !t->wanted[index])
		return 0;
	rc = hook_matches(&t->set->hooks[index], &t->e, &m, err);
	if (rc <= 0)
		return rc;
	/* Most requests have none. None is being converted yet: they may move. */
	if (t->n_asks == t->room) {
		struct hook_ask *more;

		t->room = t->mutating ? 1 : MAX(2 * t->room, (size_t)2);
		more = ARENA_ARRAY(t->e.q->arena, struct hook_ask, t->room);
		if (t->n_asks)
			memcpy(more, t->asks, t->n_asks * sizeof(*more));
		t->asks = more;
	}
	t->asks[t->n_asks++] = (struct hook_ask){ .m = m, .index = index, .doc = t->e.doc, .old = t->e.old };
	return 0;
}

/* --- other versions --- */

static int hook_convert(struct hook_turn *t, struct hook_ask *ask, struct err *err)
{
	struct conversion *c = &ask->there;
	int rc;

	/* A subresource with a kind of its own has no versions of its object's. */
	if (ask->converted || !ask->m.as || !sv_is(t->e.kind[2], t->e.a->res->kind)) {
		ask->converted = true;
		return 0;
	}
	if (!c->of) {
		*c = (struct conversion){ .q = t->e.q,
					  .a = t->e.q->arena,
					  .of = versions_of(t->e.a->res),
					  .from = t->e.a->res,
					  .to = ask->m.as,
					  .docs = ask->in,
					  .out = ask->out };
		if (ask->doc)
			ask->in[c->n++] = ask->doc;
		if (ask->old)
			ask->in[c->n++] = ask->old;
	}
	rc = conversion_run(c, err);
	if (rc)
		return rc;
	if (ask->old)
		ask->old = ask->out[c->n - 1];
	if (ask->doc)
		ask->doc = ask->out[0];
	ask->converted = true;
	return 0;
}

/* The last questions before it is asked, which want the object as it will see it. HOOK_DROP: it is not asked. */
#define HOOK_DROP 100

static int hook_ready(struct hook_turn *t, struct hook_ask *ask, struct err *err)
{
	const struct hook *h = ask->m.hook;
	struct err why = ERR_INIT;
	int rc = hook_convert(t, ask, err);

	if (rc)
		return rc;
	rc = h->n_conditions ? hook_conditions_hold(&ask->m, &t->e, ask->doc, ask->old, err) : 1;
	if (rc != 1)
		return rc ? rc : HOOK_DROP;
	if (t->e.q->dry_run && !h->dry)
		return err_set(err, ERR_BAD_REQUEST, "admission webhook \"%.*s\" does not support dry run",
			       SV_ARG(h->name));
	if (h->review)
		return 0;
	err_set(&why, ERR_UNAVAILABLE,
		"could not create admission objects: webhook does not accept known AdmissionReview versions (v1, "
		"v1beta1)");
	return hook_failed(t, ask, err_reason_code(ERR_UNAVAILABLE), &why, err) < 0 ? -1 : HOOK_DROP;
}

/* --- what mutating ones change --- */

static void hook_note_change(struct hook_turn *t)
{
	t->changed = true;
	for (size_t i = 0; i < t->set->n; i++) {
		t->wanted[i] |= t->invoked[i];
		t->invoked[i] = false;
	}
}

/* The object becomes `out`, of the request's version. */
static void hook_put(struct hook_turn *t, struct val *out)
{
	const struct admission *a = t->e.a;
	struct api_req *q = t->e.q;

	if (sv_is(t->e.sub, "scale") && !a->subresource.n) {
		(void)registry_scale_set(q->arena, a->res, a->doc, val_get_int(out, 0, F_spec, F_replicas));
		t->e.doc = registry_scale_of(q->arena, a->res, a->doc);
		return;
	}
	out->sym = a->doc->sym;
	*a->doc = *out;
}

static int hook_patch_back(struct hook_turn *t, struct hook_ask *ask, struct err *err)
{
	struct conversion *c = &ask->back;
	int rc = 0;

	if (ask->there.of) {
		if (!c->of) {
			*c = ask->there;
			c->from = ask->m.as;
			c->to = t->e.a->res;
			c->half = NULL;
			ask->in[0] = ask->patched;
			c->n = 1;
		}
		rc = conversion_run(c, err);
		if (rc)
			return rc;
		ask->patched = ask->out[0];
	}
	hook_put(t, ask->patched);
	ask->patched = NULL;
	return 0;
}

static const struct schema *hook_schema(const struct hook_turn *t, const struct hook_ask *ask)
{
	const struct api_req *q = t->e.q;

	if (ask->there.of)
		return ask->m.as->schema;
	if (t->e.sub.n && q->sub && q->sub->schema)
		return q->sub->schema;
	return t->e.a->res->schema;
}

static int hook_apply(struct hook_turn *t, struct hook_ask *ask, const struct hook_verdict *v, bool *ret_changed,
		      struct err *err)
{
	const struct hook *h = ask->m.hook;
	struct err why = ERR_INIT;
	struct val *out;

	if (!val_len(v->patch))
		return 0;
	if (!t->e.doc || t->e.a->op == ADMIT_CONNECT || t->e.a->op == ADMIT_DELETE) {
		err_set(&why, ERR_INTERNAL,
			"admission webhook \"%.*s\" attempted to modify the object, which is not supported for this "
			"operation",
			SV_ARG(h->name));
		return hook_internal(&why, err);
	}
	out = hook_patch(t->e.q, ask->there.of ? ask->m.as : t->e.a->res, hook_schema(t, ask), ask->doc, v->patch, err);
	if (!out) {
		hook_count_refused(t->e.q->server, h, true, t->e.operation, "apiserver_internal_error", 0);
		return -1;
	}
	*ret_changed = !val_same(ask->doc, out);
	if (*ret_changed)
		hook_note_change(t);
	ask->patched = out;
	return 0;
}

/* --- the two plugins --- */

static void drop_set(void *p)
{
	hook_set_unref(p);
}

static struct hook_turn *hook_turn_new(const struct admission *a, bool mutating)
{
	struct hook_set *set = hook_set_get(a->q->server, mutating);
	struct hook_event e;
	struct hook_turn *t;

	if (!set)
		return NULL;
	if (!hook_event_init(&e, a) || (e.config && !set->n_files)) {
		hook_set_unref(set);
		return NULL;
	}
	t = ARENA_NEW(a->q->arena, struct hook_turn);
	t->set = set;
	arena_defer(a->q->arena, drop_set, set);
	t->e = e;
	t->mutating = mutating;
	if (mutating) {
		t->invoked = ARENA_ARRAY(a->q->arena, bool, set->n);
		t->wanted = ARENA_ARRAY(a->q->arena, bool, set->n);
	}
	return t;
}

/* The answer of the one that was asked: 0: the next; else as a step's. */
static int hook_mutated(struct hook_turn *t, struct err *err)
{
	struct hook_ask *ask = &t->asks[0];
	struct hook_verdict v;
	bool changed = false;
	int rc;

	if (!ask->judged) {
		ask->judged = true;
		rc = hook_judge(t, ask, &t->batch->slots[0], &v, err);
		t->batch = NULL;
		if (rc == 0)
			rc = hook_apply(t, ask, &v, &changed, err);
		hook_note_asked(t, ask, changed);
		if (rc < 0)
			return rc;
		t->e.q->has_result = false;
		if (ask->m.hook->again)
			t->invoked[ask->index] = true;
	}
	rc = ask->patched ? hook_patch_back(t, ask, err) : 0;
	if (rc == 0)
		t->n_asks = 0;
	return rc;
}

int admission_webhooks_mutate(const struct admission *a, struct err *err)
{
	struct api_req *q = a->q;
	struct hook_turn *t = q->hooks;
	int rc;

	if (!t)
		t = hook_turn_new(a, true);
	if (!t)
		return 0;
	q->hooks = t;
	hook_turn_refresh(t, a);
	for (;;) {
		struct hook_ask *ask = t->asks;

		if (t->n_asks && (ask->judged || t->batch)) {
			rc = hook_mutated(t, err);
		} else if (t->n_asks) {
			rc = hook_ready(t, ask, err);
			if (rc == 0)
				return hook_call_all(t);
			if (rc == HOOK_DROP)
				t->n_asks = 0;
			rc = rc == HOOK_DROP ? 0 : rc;
		} else if (t->next < hook_asked(t)) {
			rc = hook_consider(t, t->next++, err);
		} else {
			break;
		}
		if (rc)
			return rc;
	}
	if (t->changed && !t->second && a->doc)
		t->last = val_clone_nodes(q->arena, a->doc);
	return 0;
}

bool admission_webhooks_again(const struct admission *a)
{
	struct hook_turn *t = a->q->hooks;

	if (!t || !t->changed || t->second)
		return false;
	t->second = true;
	return true;
}

/* Of the second round: have the plugins in between changed it? Then all are wanted that may be asked again. */
static void hook_second(struct hook_turn *t, const struct admission *a)
{
	if (!t->last)
		return;
	if (!val_same(t->last, a->doc))
		hook_note_change(t);
	t->last = NULL;
	t->next = 0;
}

static int hooks_mutate(const struct admission *a, struct err *err)
{
	if (a->q->hooks && a->q->hooks->second)
		hook_second(a->q->hooks, a);
	return admission_webhooks_mutate(a, err);
}

/* Of a deletion mutating ones are asked, too, as upstream does; there is nothing that they could change. */
static int hooks_mutate_deletion(const struct admission *a, struct err *err)
{
	int rc;

	if (a->op != ADMIT_DELETE)
		return 0;
	rc = admission_webhooks_mutate(a, err);
	if (rc != REQ_LATER)
		a->q->hooks = NULL;
	return rc;
}

static int hooks_validated(struct hook_turn *t, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < t->n_asks; i++) {
		_cleanup_(err_release) struct err other = ERR_INIT;
		struct hook_verdict v;

		/* What the others said is told and counted all the same. */
		if (hook_judge(t, &t->asks[i], &t->batch->slots[i], &v, rc < 0 ? &other : err) < 0)
			rc = -1;
	}
	return rc;
}

int admission_webhooks_validate(const struct admission *a, struct err *err)
{
	struct api_req *q = a->q;
	struct hook_turn *t = q->hooks;
	int rc = 0;

	if (!t)
		t = hook_turn_new(a, false);
	if (!t)
		return 0;
	q->hooks = t;
	hook_turn_refresh(t, a);
	if (t->batch) {
		rc = hooks_validated(t, err);
		q->hooks = NULL;
		return rc;
	}
	while (rc == 0 && t->next < hook_asked(t))
		rc = hook_consider(t, t->next++, err);
	while (rc == 0 && t->ready < t->n_asks) {
		rc = hook_ready(t, &t->asks[t->ready], err);
		if (rc == 0)
			t->asks[t->kept++] = t->asks[t->ready]; /* its conversion is done: it may move */
		if (rc == 0 || rc == HOOK_DROP) {
			t->ready++;
			rc = 0;
		}
	}
	if (rc == 0)
		t->n_asks = t->kept;
	if (rc == 0 && t->n_asks)
		return hook_call_all(t);
	if (rc != REQ_LATER)
		q->hooks = NULL;
	return rc;
}

const struct admission_plugin admission_mutating_webhooks = {
	.name = "MutatingAdmissionWebhook",
	.mutates = ON_CREATE | ON_UPDATE | ON_SUBRESOURCES,
	.mutate = hooks_mutate,
	.validate = hooks_mutate_deletion,
	.slow = true,
};

const struct admission_plugin admission_validating_webhooks = {
	.name = "ValidatingAdmissionWebhook",
	.validate = admission_webhooks_validate,
	.slow = true,
};
