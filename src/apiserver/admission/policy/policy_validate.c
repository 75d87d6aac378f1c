/* ValidatingAdmissionPolicy: the plugin. All policies are asked, whatever the first ones say: of several refusals the
 * first counts, but warnings and notes are everybody's. */
#include "apiserver/admission/policy/policy.h"
#include "apiserver/metrics.h"
#include "base/budget.h"
#include "codec/json.h"

struct told {
	struct sv key, text; /* key "": a warning */
	struct told *next;
};

/* What has been found in this run; told when it is over. */
struct verdicts {
	struct policy_turn *turn;
	struct arena *arena;
	struct told *first, **last;
	bool denied;
	struct sv message, reason;
	int64_t since_ns;  /* monotonic: the check at hand, */
	const char *error; /* and what went wrong with it, as metrics have it */
};

static void verdict_tell(struct verdicts *v, struct sv key, struct sv text)
{
	struct told *n = ARENA_NEW(v->arena, struct told);

	n->key = key;
	n->text = text;
	*v->last = n;
	v->last = &n->next;
}

static void policy_deny(struct verdicts *v, const struct policy *p, const struct policy_binding *b, struct sv message,
			struct sv reason)
{
	if (v->denied)
		return;
	v->denied = true;
	v->reason = reason;
	v->message =
	    b ? arena_svf(v->arena, "ValidatingAdmissionPolicy '%.*s' with binding '%.*s' denied request: %.*s",
			  SV_ARG(p->name), SV_ARG(b->name), SV_ARG(message))
	      : arena_svf(v->arena, "ValidatingAdmissionPolicy '%.*s' denied request: %.*s", SV_ARG(p->name),
			  SV_ARG(message));
}

/* The policy or its binding cannot be used. */
static void deny_config(struct verdicts *v, const struct policy *p, const struct policy_binding *b, struct err *why)
{
	if (!p->ignore)
		policy_deny(v, p, b,
			    arena_svf(v->arena, "failed to configure %s: %s", b ? "binding" : "policy", err_msg(why)),
			    SV(""));
	err_release(why);
}

/* --- a rule that does not hold --- */

static void verdict_count(const struct verdicts *v, const struct policy *p, const struct policy_binding *b,
			  const char *action)
{
	struct apiserver *s = v->turn->e.q->server;
	const struct sv values[] = { sv_from(action), sv_from(v->error), p->name, b->name };

	metric_observe_ns(s->counted, API_METRIC(POLICY_DURATION), values, env_mono_ns(s->env) - v->since_ns);
	metric_add(s->counted, API_METRIC(POLICY_TOTAL), values, 1);
}

static void verdict_begin(struct verdicts *v)
{
	v->since_ns = env_mono_ns(v->turn->e.q->server->env);
	v->error = "no_error";
}

/* What came of the check at hand. */
static void verdict_ran(struct verdicts *v, const struct policy_expr *e, enum policy_ran how)
{
	v->error = how == POLICY_VALUE	 ? "no_error"
		   : how == POLICY_SPENT ? "out_of_budget"
		   : e->program		 ? "invalid_error"
					 : "compile_error";
}

static void verdict_note(struct verdicts *v, const struct policy *p, const struct policy_binding *b, size_t index,
			 struct sv message)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	buf_adds(&text, "[{\"message\":");
	json_encode_str(&text, message);
	buf_adds(&text, ",\"policy\":");
	json_encode_str(&text, p->name);
	buf_adds(&text, ",\"binding\":");
	json_encode_str(&text, b->name);
	buf_printf(&text, ",\"expressionIndex\":%zu,\"validationActions\":", index);
	json_encode(&text, b->action_names);
	buf_adds(&text, "}]");
	verdict_tell(v, SV("validation.policy.admission.k8s.io/validation_failure"), arena_sv(v->arena, buf_sv(&text)));
}

static void verdict_refuse(struct verdicts *v, const struct policy *p, const struct policy_binding *b, size_t index,
			   struct sv message, struct sv reason)
{
	if (b->actions & POLICY_DENY) {
		policy_deny(v, p, b, message, reason);
		verdict_count(v, p, b, "deny");
	}
	if (b->actions & POLICY_AUDIT) {
		verdict_note(v, p, b, index, message);
		verdict_count(v, p, b, "audit");
	}
	if (b->actions & POLICY_WARN)
		verdict_count(v, p, b, "warn");
	if (b->actions & POLICY_WARN)
		verdict_tell(
		    v, SV(""),
		    arena_svf(v->arena,
			      "Validation failed for ValidatingAdmissionPolicy '%.*s' with binding '%.*s': %.*s",
			      SV_ARG(p->name), SV_ARG(b->name), SV_ARG(message)));
}

/* What its messageExpression makes, when that is fit to be told. -1: the budget is used up, *ret says so; REQ_LATER. */
static int verdict_message(struct policy_run *r, const struct policy_rule *rule, uint64_t *budget, struct sv *ret)
{
	struct cel_value v;
	struct sv why, text;

	*ret = rule->said.n ? rule->said
			    : arena_svf(r->arena, "failed expression: %.*s", SV_ARG(sv_trim(rule->expr.text)));
	if (!rule->message.program)
		return 0;
	switch (policy_eval(r, &rule->message, budget, &v, &why)) {
	case POLICY_WAITS:
		return REQ_LATER;
	case POLICY_SPENT:
		*ret = arena_svf(r->arena, "failed messageExpression: %.*s", SV_ARG(why));
		return -1;
	case POLICY_FAILED:
		return 0;
	case POLICY_VALUE:
		break;
	}
	text = v.kind == CEL_STRING ? sv_trim(cel_text(&v)) : SV("");
	if (text.n && text.n <= POLICY_MESSAGE_MAX && sv_find(text, '\n') < 0)
		*ret = text;
	return 0;
}

static int rules_judge(struct verdicts *v, struct policy_run *r, const struct policy_binding *b)
{
	const struct policy *p = r->policy;
	uint64_t budget = CEL_BUDGET_OBJECT;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];
		struct cel_value value;
		struct sv why;
		enum policy_ran how;

		verdict_begin(v);
		how = policy_eval(r, &rule->expr, &budget, &value, &why);
		if (how == POLICY_WAITS)
			return REQ_LATER;
		verdict_ran(v, &rule->expr, how);
		if (how == POLICY_VALUE && value.kind == CEL_BOOL && value.b)
			continue;
		if (how == POLICY_VALUE) {
			int rc = verdict_message(r, rule, &budget, &why);

			if (rc == REQ_LATER)
				return rc;
			if (rc == 0 || !p->ignore)
				verdict_refuse(v, p, b, i, why, rule->reason);
			continue;
		}
		if (!p->ignore)
			verdict_refuse(v, p, b, i, why, rule->reason);
		else
			verdict_count(v, p, b,
				      "allow"); /* as upstream: only where it is let through despite an error */
		if (how == POLICY_SPENT)
			break;
	}
	return 0;
}

/* --- auditAnnotations --- */

/* Values of one key, of several bindings and parameters, become one. */
static void note_add(struct verdicts *v, struct sv key, struct sv text)
{
	for (struct told *n = v->first; n; n = n->next) {
		if (sv_eq(n->key, key)) {
			if (n->text.n < POLICY_NOTE_MAX && !sv_eq(n->text, text))
				n->text = arena_svf(v->arena, "%.*s, %.*s", SV_ARG(n->text), SV_ARG(text));
			return;
		}
	}
	verdict_tell(v, key, text);
}

static int notes_make(struct verdicts *v, struct policy_run *r, const struct policy_binding *b)
{
	const struct policy *p = r->policy;
	uint64_t budget = CEL_BUDGET_OBJECT;

	for (size_t i = 0; i < p->n_notes; i++) {
		struct cel_value value;
		struct sv why, text;
		enum policy_ran how = policy_eval(r, &p->notes[i].expr, &budget, &value, &why);

		if (how == POLICY_WAITS)
			return REQ_LATER;
		if (how != POLICY_VALUE) {
			if (!p->ignore)
				policy_deny(v, p, b, why, SV(""));
			if (how == POLICY_SPENT)
				break;
			continue;
		}
		text = value.kind == CEL_STRING ? sv_trim(cel_text(&value)) : SV("");
		if (text.n)
			note_add(v, arena_svf(v->arena, "%.*s/%.*s", SV_ARG(p->name), SV_ARG(p->notes[i].name)),
				 sv_sub(text, 0, POLICY_NOTE_MAX));
	}
	return 0;
}

/* --- a policy --- */

static int policy_judge(struct verdicts *v, const struct policy *p, const struct policy_binding *b,
			const struct policy_form *form, const struct val *params, struct err *err)
{
	struct policy_run run;
	struct sv why;
	int rc = policy_run_init(&run, v->turn, p, form, params, err);

	if (rc < 0)
		return rc;
	verdict_begin(v);
	rc = p->n_conditions ? policy_conditions_hold(&run, &why) : 1;
	if (rc < 0) {
		v->error = "invalid_error";
		verdict_refuse(v, p, b, 0, why, SV(""));
		return 0;
	}
	if (rc != 1)
		return rc;
	rc = rules_judge(v, &run, b);
	return rc ? rc : notes_make(v, &run, b);
}

static int binding_judge(struct verdicts *v, const struct policy *p, const struct policy_binding *b,
			 const struct resource *as, struct err *err)
{
	const struct val *const *params;
	const struct resource *other;
	struct policy_form *form;
	struct err why = ERR_INIT;
	size_t n;
	int rc = b->has_scope ? hook_scope_matches(&b->scope, &v->turn->e, &other, &why) : 1;

	if (rc > 0)
		rc = policy_params(v->turn, p, b, &params, &n, &why);
	else if (rc == 0)
		return 0;
	if (rc < 0) {
		deny_config(v, p, b, &why);
		return 0;
	}
	if (rc == 0)
		rc = policy_form_get(v->turn, as, &form, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		/* Parameters may be many, and nobody may be waiting any more. */
		rc = i ? req_over(v->turn->e.q, err) : 0;
		if (rc == 0)
			rc = policy_judge(v, p, b, form, params[i], err);
	}
	return rc;
}

static int bound_judge(struct verdicts *v, const struct policy_bound *of, struct err *err)
{
	const struct resource *as;
	struct err why = ERR_INIT;
	int rc = hook_scope_matches(&of->policy->scope, &v->turn->e, &as, &why);

	if (rc == 0)
		return 0;
	if (rc < 0 || policy_params_known(v->turn, of->policy, &why) < 0) {
		deny_config(v, of->policy, NULL, &why);
		return 0;
	}
	rc = 0;
	for (size_t i = 0; rc == 0 && i < of->n; i++)
		rc = binding_judge(v, of->policy, &of->bindings[i], as, err);
	return rc;
}

/* --- the plugin --- */

static int judged(const struct admission *a, const struct verdicts *v, struct err *err)
{
	for (const struct told *n = v->first; n; n = n->next) {
		if (n->key.n)
			api_req_annotate(a->q, n->key, n->text);
		else
			api_req_warn(a->q, "%.*s", SV_ARG(n->text));
	}
	if (!v->denied)
		return 0;
	admission_forbid(a, err, "%.*s", SV_ARG(v->message));
	if (err) {
		enum err_reason reason = err_reason_from(v->reason);

		err->reason = reason ? reason : ERR_INVALID;
		err_add_cause(err, "", SV_NULL, "%.*s", SV_ARG(v->message));
	}
	return -1;
}

int admission_policies_validate(const struct admission *a, struct err *err)
{
	struct api_req *q = a->q;
	struct policy_turn *t = q->policies ? q->policies : policy_turn_new(a, false);
	struct verdicts v = { .turn = t, .arena = q->arena };
	int rc = 0;

	if (!t)
		return 0;
	v.last = &v.first;
	q->policies = t;
	policy_turn_refresh(t, a);
	for (size_t i = 0; rc == 0 && i < policy_turn_asked(t); i++)
		rc = bound_judge(&v, &t->set->all[i], err);
	if (rc == REQ_LATER)
		return rc;
	q->policies = NULL;
	return rc ? rc : judged(a, &v, err);
}

const struct admission_plugin admission_validating_policies = {
	.name = "ValidatingAdmissionPolicy",
	.validate = admission_policies_validate,
	.slow = true,
};
