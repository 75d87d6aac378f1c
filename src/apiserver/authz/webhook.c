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

#define REASON_MAX 2048 /* bytes of a reason that are passed on */

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

/* What cannot be read selects nothing, and is told by nobody here. */
static struct val *review_labels(struct arena *a, const struct authz_attrs *at)
{
	_cleanup_(err_release) struct err ignored = ERR_INIT;

	if (val_len(at->label_requirements))
		return val_clone(a, at->label_requirements);
	return at->labels.n ? selector_requirements(a, selector_parse(a, at->labels, &ignored)) : NULL;
}

static struct val *review_spec(struct arena *a, const struct authz_attrs *at, bool v1beta1)
{
	const struct user_info *u = at->user;
	struct val *spec = val_new_map(a), *what = val_new_map(a), *extra = val_new_map(a);
	struct val *labels;

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
	labels = at->resource_request ? review_labels(a, at) : NULL;
	if (val_len(labels)) {
		struct val *sel = val_new_map(a);

		val_set_sv(a, sel, SV("requirements"), labels);
		val_set_sv(a, what, SV("labelSelector"), sel);
	}
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

/* --- answers --- */

enum authz_says authz_hook_read(struct arena *a, struct sv body, struct sv *ret_reason, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = webhook_answer_document(a, body, &values, err), *status;
	bool allowed, denied;

	if (!doc)
		return AUTHZ_LATER;
	status = val_get(doc, F_status);
	if (!val_is(val_get(doc, F_kind), "SubjectAccessReview")) {
		err_set(err, ERR_INTERNAL, "the webhook's answer is no SubjectAccessReview");
		return AUTHZ_LATER;
	}
	allowed = val_bool(val_member_sv(status, SV("allowed")));
	denied = val_bool(val_member_sv(status, SV("denied")));
	if (allowed && denied) {
		err_set(err, ERR_INTERNAL, "webhook subject access review returned both allow and deny response");
		return AUTHZ_LATER;
	}
	*ret_reason = arena_sv(a, sv_sub(val_str(val_member_sv(status, SV("reason"))), 0, REASON_MAX));
	return denied ? AUTHZ_DENIES : allowed ? AUTHZ_ALLOWS : AUTHZ_NO_OPINION;
}

/* --- asking --- */

static enum authz_says authz_hook_answered(struct authz_hook *h, struct api_req *q, struct webhook_asked *k,
					   enum authz_says fails, struct sv *ret_reason, struct err *err)
{
	enum authz_says says;
	struct sv body;

	if (webhook_asked_answer(k, &body, err) < 0)
		return fails;
	says = authz_hook_read(q->arena, body, ret_reason, err);
	if (says == AUTHZ_LATER)
		return fails;
	webhook_ask_remember(k, says == AUTHZ_ALLOWS ? h->allowed_ns : h->denied_ns);
	return says;
}

enum authz_says authz_hook_ask(struct authz_hook *h, struct api_req *q, const struct authz_attrs *at,
			       struct sv *ret_reason, struct err *err)
{
	const enum authz_says fails = h->deny_on_failure ? AUTHZ_DENIES : AUTHZ_NO_OPINION;
	const struct val *spec = review_spec(q->arena, at, false);
	struct authz_verdict *told;
	struct sv question, body;
	int matches = review_matches(h, q->arena, spec, err);

	*ret_reason = SV("");
	if (matches <= 0)
		return matches < 0 ? fails : AUTHZ_NO_OPINION;
	question = review_text(q->arena, h->v1beta1 ? review_spec(q->arena, at, true) : spec, h->v1beta1);
	for (const struct authz_verdict *t = q->verdicts; t; t = t->next)
		if (t->asked && webhook_asked_is(t->asked, h->asker, question))
			return authz_hook_answered(h, q, t->asked, fails, ret_reason, err);
	if (webhook_ask_known(h->asker, q, question, &body)) {
		enum authz_says says = authz_hook_read(q->arena, body, ret_reason, err);

		return says == AUTHZ_LATER ? fails : says;
	}
	told = ARENA_NEW(q->arena, struct authz_verdict);
	*told = (struct authz_verdict){ .next = q->verdicts,
					.asked = webhook_ask_send(h->asker, q, question, h->timeout_ns, false) };
	q->verdicts = told;
	return AUTHZ_LATER;
}
