/* A webhook that is asked about rights: SubjectAccessReviews to it, its answers for as long as they count.
 *
 * What a request was told is kept with it (struct authz_verdict, by what was asked), for its step is asked again from
 * its beginning after each wait. */
#include "apiserver/authz/chain.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/steps.h"
#include "base/budget.h"
#include "codec/json.h"

#include <stdlib.h>

#define ANSWER_MAX ((size_t)1 << 20)
#define ANSWERS_MAX 8192   /* that are remembered of a webhook; a full cache starts over */
#define QUESTION_MAX 10000 /* bytes; longer ones are asked each time, as upstream's */
#define REASON_MAX 2048	   /* bytes of a reason that are passed on */

/* One question of one request. References: the request's arena's, and that of the call. */
struct hook_asked {
	atomic_int refs;
	struct authz_chain *chain;
	struct authz_hook *hook;
	struct apiserver *s;
	char *question; /* owned */
	struct webhook_call *call;
	struct req_ticket *ticket;
	/* Before the ticket is resumed. */
	bool done;
	enum authz_says says;
	char *reason;
	struct err err;
};

static void asked_unref(void *p)
{
	struct hook_asked *k = p;

	if (atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	webhook_call_unref(k->call);
	err_release(&k->err);
	authz_chain_unref(k->chain);
	free(k->question);
	free(k->reason);
	free(k);
}

/* --- what is asked --- */

static struct val *review_texts(struct arena *a, const struct sv *list, size_t n)
{
	struct val *out = val_new_list(a);

	for (size_t i = 0; i < n; i++)
		val_push(a, out, val_new_str_ref(a, list[i]));
	return out;
}

static void review_set(struct arena *a, struct val *map, const char *name, struct sv value)
{
	if (value.n)
		val_set_str_sv(a, map, sv_from(name), value);
}

static struct val *authz_review_fields(struct arena *a, const struct field_selector *f)
{
	struct val *sel = val_new_map(a), *list = val_new_list(a);

	for (size_t i = 0; i < f->n; i++) {
		struct val *one = val_new_map(a);

		review_set(a, one, "key", f->terms[i].label);
		review_set(a, one, "operator", f->terms[i].negated ? SV("NotIn") : SV("In"));
		val_set_sv(a, one, SV("values"), review_texts(a, &f->terms[i].value, 1));
		val_push(a, list, one);
	}
	val_set_sv(a, sel, SV("requirements"), list);
	return sel;
}

static struct val *review_spec(struct arena *a, const struct authz_attrs *at, bool v1beta1)
{
	const struct user_info *u = at->user;
	struct val *spec = val_new_map(a), *what = val_new_map(a), *extra = val_new_map(a);

	review_set(a, what, "namespace", at->ns);
	review_set(a, what, "verb", at->verb);
	review_set(a, what, "group", at->group);
	review_set(a, what, "version", at->version);
	review_set(a, what, "resource", at->resource);
	review_set(a, what, "subresource", at->subresource);
	review_set(a, what, "name", at->name);
	review_set(a, what, "path", at->path);
	if (at->resource_request && at->fields && at->fields->n)
		val_set_sv(a, what, SV("fieldSelector"), authz_review_fields(a, at->fields));
	if (at->resource_request)
		(void)val_del_sv(what, SV("path"));
	val_set_sv(a, spec, at->resource_request ? SV("resourceAttributes") : SV("nonResourceAttributes"), what);
	review_set(a, spec, "user", u->name);
	if (u->n_groups)
		val_set_sv(a, spec, v1beta1 ? SV("group") : SV("groups"), review_texts(a, u->groups, u->n_groups));
	for (size_t i = 0; i < u->n_extra; i++)
		val_set_sv(a, extra, u->extra[i].key, review_texts(a, u->extra[i].values, u->extra[i].n_values));
	if (u->n_extra)
		val_set_sv(a, spec, SV("extra"), extra);
	review_set(a, spec, "uid", u->uid);
	return spec;
}

static struct sv review_text(struct arena *a, const struct val *spec, bool v1beta1)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(
	    &b,
	    "{\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/%s\",\"metadata\":{},\"spec\":",
	    v1beta1 ? "v1beta1" : "v1");
	json_encode(&b, spec);
	buf_adds(&b, ",\"status\":{\"allowed\":false}}");
	return arena_sv(a, buf_sv(&b));
}

/* 1: all hold, 0: one does not, -1: none that is evaluated says no, and one failed. */
static int review_matches(const struct authz_hook *h, struct arena *a, const struct val *spec, struct err *err)
{
	struct cel_value request = cel_from_doc(a, spec, h->type), v;
	uint64_t budget = CEL_BUDGET_MATCH;
	struct err failed = ERR_INIT;

	for (size_t i = 0; i < h->n_conditions; i++) {
		const struct authz_condition *k = &h->conditions[i];
		struct cel_run run = { .arena = a, .vars = &request, .limit = CEL_LIMIT_CALL, .budget = &budget };

		if (cel_eval(k->program, &run, &v) == CEL_DONE && v.kind == CEL_BOOL) {
			if (v.b)
				continue;
			err_release(&failed);
			return 0;
		}
		if (!failed.reason)
			err_set(&failed, ERR_INTERNAL,
				"cel evaluation error: expression '%.*s' resulted in error: %.*s", SV_ARG(k->text),
				SV_ARG(sv_sub(run.error, 0, 1000)));
	}
	return failed.reason ? err_move(err, &failed) : 1;
}

/* --- what is remembered --- */

static bool answer_known(struct authz_hook *h, struct api_req *q, struct sv question, enum authz_says *ret,
			 struct sv *ret_reason)
{
	const struct hook_verdict *v;
	bool known;

	if (question.n > QUESTION_MAX)
		return false;
	pthread_mutex_lock(&h->lock);
	v = strmap_get(&h->answers, question);
	known = v && env_mono_ns(q->server->env) < v->until_ns;
	if (known) {
		*ret = v->says;
		*ret_reason = arena_sv(q->arena, sv_from(v->reason));
	}
	pthread_mutex_unlock(&h->lock);
	return known;
}

static void answer_remember(const struct hook_asked *k)
{
	struct authz_hook *h = k->hook;
	int64_t life = k->says == AUTHZ_ALLOWS ? h->allowed_ns : h->denied_ns;
	struct hook_verdict *v;

	if (!life || strlen(k->question) > QUESTION_MAX)
		return;
	v = xcalloc(1, sizeof(*v) + strlen(k->reason) + 1);
	v->says = k->says;
	memcpy(v->reason, k->reason, strlen(k->reason) + 1);
	if (__builtin_add_overflow(env_mono_ns(k->s->env), life, &v->until_ns))
		v->until_ns = INT64_MAX;
	pthread_mutex_lock(&h->lock);
	if (h->answers.n >= ANSWERS_MAX)
		strmap_release_with(&h->answers, free);
	v = strmap_set(&h->answers, sv_from(k->question), v);
	pthread_mutex_unlock(&h->lock);
	free(v);
}

/* --- asking --- */

static void answer_read(struct hook_asked *k, struct sv body)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = webhook_answer_document(&a, body, &values, &k->err), *status;
	bool allowed, denied;

	if (!doc)
		return;
	status = val_get(doc, F_status);
	if (!val_is(val_get(doc, F_kind), "SubjectAccessReview")) {
		err_set(&k->err, ERR_INTERNAL, "the webhook's answer is no SubjectAccessReview");
		return;
	}
	allowed = val_bool(val_member_sv(status, SV("allowed")));
	denied = val_bool(val_member_sv(status, SV("denied")));
	if (allowed && denied) {
		err_set(&k->err, ERR_INTERNAL, "webhook subject access review returned both allow and deny response");
		return;
	}
	k->says = denied ? AUTHZ_DENIES : allowed ? AUTHZ_ALLOWS : AUTHZ_NO_OPINION;
	free(k->reason);
	k->reason = xasprintf("%.*s", SV_ARG(sv_sub(val_str(val_member_sv(status, SV("reason"))), 0, REASON_MAX)));
	answer_remember(k);
}

static void asked_done(struct webhook_answer *answer_take, void *ctx)
{
	struct hook_asked *k = ctx;

	if (answer_take->err.reason)
		err_move(&k->err, &answer_take->err);
	else
		answer_read(k, buf_sv(&answer_take->body));
	webhook_answer_free(answer_take);
	k->done = true;
	(void)req_resume(k->ticket, NULL, NULL);
	asked_unref(k);
}

static void asked_cancel(void *ctx)
{
	struct hook_asked *k = ctx;

	webhook_call_cancel(k->call);
}

static enum authz_says authz_hook_send(struct authz_chain *c, struct authz_hook *h, struct api_req *q,
				       struct sv question)
{
	struct hook_asked *k = xcalloc(1, sizeof(*k));
	struct authz_verdict *told = ARENA_NEW(q->arena, struct authz_verdict);

	atomic_init(&k->refs, 2);
	k->chain = authz_chain_ref(c);
	k->hook = h;
	k->s = q->server;
	k->question = xasprintf("%.*s", SV_ARG(question));
	k->reason = xstrdup("");
	k->says = AUTHZ_NO_OPINION;
	*told = (struct authz_verdict){ .next = q->verdicts, .asked = k };
	q->verdicts = told;
	arena_defer(q->arena, asked_unref, k);
	k->ticket = req_suspend(q, "an authorization webhook", asked_cancel, k);
	k->call = webhook_call(q->server, &(struct webhook_call_opts){
					      .target = h->peer.target,
					      .body = question,
					      .timeout_ns = h->timeout_ns,
					      .answer_max = ANSWER_MAX,
					      .done = asked_done,
					      .ctx = k,
					      .given = true,
					      .as = h->peer.as,
					  });
	return AUTHZ_LATER;
}

enum authz_says authz_hook_ask(struct authz_chain *c, struct authz_hook *h, struct api_req *q,
			       const struct authz_attrs *at, struct sv *ret_reason, struct err *err)
{
	const enum authz_says fails = h->deny_on_failure ? AUTHZ_DENIES : AUTHZ_NO_OPINION;
	const struct val *spec = review_spec(q->arena, at, false);
	struct sv question;
	enum authz_says says;
	int matches = review_matches(h, q->arena, spec, err);

	*ret_reason = SV("");
	if (matches <= 0)
		return matches < 0 ? fails : AUTHZ_NO_OPINION;
	question = review_text(q->arena, h->v1beta1 ? review_spec(q->arena, at, true) : spec, h->v1beta1);
	for (const struct authz_verdict *t = q->verdicts; t; t = t->next) {
		struct hook_asked *k = t->asked;

		if (!k->done || k->hook != h || !sv_is(question, k->question))
			continue;
		*ret_reason = sv_from(k->reason);
		if (!k->err.reason)
			return k->says;
		err_copy(err, &k->err);
		return fails;
	}
	if (answer_known(h, q, question, &says, ret_reason))
		return says;
	return authz_hook_send(c, h, q, question);
}
