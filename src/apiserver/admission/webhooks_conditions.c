/* matchConditions: expressions that must all hold for a webhook to be asked. One that is false says no, whatever others
 * failed with; else a failure counts as the webhook's failure policy says. */
#include "apiserver/admission/webhooks.h"
#include "apiserver/authz.h"
#include "base/budget.h"
#include "codec/json.h"
#include "object/cel/authz.h"
#include "object/cel/cel.h"

enum { VAR_OBJECT, VAR_OLD, VAR_REQUEST, VAR_AUTHORIZER, VAR_RESOURCE, VARS };

struct hook_condition {
	struct sv name, text;
	struct cel_program *program; /* NULL: it does not compile, */
	struct sv broken;	     /* and why */
};

void hook_conditions_compile(struct arena *a, const struct val *list, struct hook_condition **ret, size_t *ret_n)
{
	const struct cel_var vars[VARS] = {
		[VAR_OBJECT] = { SV("object"), &cel_t_dyn },
		[VAR_OLD] = { SV("oldObject"), &cel_t_dyn },
		[VAR_REQUEST] = { SV("request"), &cel_t_dyn },
		[VAR_AUTHORIZER] = { SV("authorizer"), cel_t_authorizer },
		[VAR_RESOURCE] = { SV("authorizer.requestResource"), cel_t_resource_check },
	};
	const struct cel_env env = { .release = CEL_V(1, 37), .stored = true, .vars = vars, .n_vars = VARS };

	*ret = ARENA_ARRAY(a, struct hook_condition, val_len(list) + 1);
	*ret_n = 0;
	VAL_EACH(list, v) {
		struct hook_condition *c = &(*ret)[(*ret_n)++];
		struct cel_issues issues = CEL_ISSUES(a);

		c->name = val_get_str(v, F_name);
		c->text = val_get_str(v, F_expression);
		c->program = cel_compile(&env, c->text, &issues);
		if (!c->program)
			c->broken =
			    arena_svf(a, "compilation failed: %.*s", SV_ARG(cel_issues_text(a, &issues, c->text)));
	}
}

void hook_conditions_release(struct hook_condition *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		c[i].program = cel_program_unref(c[i].program);
}

/* Questions of expressions are the request's: whoever is asked about those may take his time. */
struct condition_authz {
	struct cel_authz z;
	struct api_req *q;
};

static int condition_check(struct cel_authz *z, struct arena *a, const struct cel_authz_ask *ask,
			   struct cel_authz_answer *ret)
{
	struct condition_authz *ca = CONTAINER_OF(z, struct condition_authz, z);
	struct api_req *q = ca->q;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct user_info account = { 0 };
	struct authz_attrs at = {
		.user = &q->user,
		.verb = ask->verb,
		.resource_request = ask->resource_request,
		.group = ask->group,
		.version = SV("*"),
		.resource = ask->resource,
		.subresource = ask->subresource,
		.ns = ask->ns,
		.name = ask->name,
		.path = ask->path,
	};
	struct sv reason = SV_NULL;
	int rc;

	if (ask->account.n) {
		struct sv *groups = ARENA_ARRAY(a, struct sv, 3);

		groups[0] = SV("system:serviceaccounts");
		groups[1] = arena_svf(a, "system:serviceaccounts:%.*s", SV_ARG(ask->account_namespace));
		groups[2] = SV("system:authenticated");
		account = (struct user_info){ .name = arena_svf(a, "system:serviceaccount:%.*s:%.*s",
								SV_ARG(ask->account_namespace), SV_ARG(ask->account)),
					      .groups = groups,
					      .n_groups = 3 };
		at.user = &account;
	}
	rc = authz_ask(q, &at, &reason, &err);
	if (rc == REQ_LATER)
		return CEL_LATER;
	*ret = (struct cel_authz_answer){ .allowed = rc == 0, .reason = reason };
	if (rc < 0)
		ret->error = arena_sv(a, sv_from(err_msg(&err)));
	return 0;
}

static struct val *condition_request(const struct hook_match *m, const struct hook_event *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *review, *request;

	hook_review_write(&b, m, e, NULL, NULL, "");
	review = json_decode(e->q->arena, buf_sv(&b), NULL, NULL);
	request = val_member_sv_mut(review, SV("request"));
	(void)val_del_sv(request, SV("uid"));
	(void)val_del_sv(request, SV("object"));
	(void)val_del_sv(request, SV("oldObject"));
	return request;
}

static struct cel_value condition_document(struct arena *a, const struct val *doc)
{
	return doc ? cel_from_doc(a, doc, &cel_t_dyn) : cel_null();
}

/* Another failure, behind those before it. */
static struct sv condition_failed(struct arena *a, struct sv so_far, const struct hook_condition *c, struct sv why)
{
	struct sv one =
	    c->program ? arena_svf(a, "expression '%.*s' resulted in error: %.*s", SV_ARG(c->text), SV_ARG(why)) : why;

	return so_far.n ? arena_svf(a, "%.*s, %.*s", SV_ARG(so_far), SV_ARG(one)) : one;
}

int hook_conditions_hold(const struct hook_match *m, const struct hook_event *e, const struct val *doc,
			 const struct val *old, struct err *err)
{
	struct api_req *q = e->q;
	struct arena *a = q->arena;
	struct condition_authz ca = { .z = { .check = condition_check }, .q = q };
	const struct cel_authz_ask about = {
		.resource_request = true,
		.group = e->resource[0],
		.resource = e->resource[2],
		.subresource = e->sub,
		.ns = e->ns,
		.name = e->name,
	};
	const struct cel_value vars[VARS] = {
		[VAR_OBJECT] = condition_document(a, doc),
		[VAR_OLD] = condition_document(a, old),
		[VAR_REQUEST] = condition_document(a, condition_request(m, e)),
		[VAR_AUTHORIZER] = cel_authz_authorizer(a, &ca.z),
		[VAR_RESOURCE] = cel_authz_request_resource(a, &ca.z, &about),
	};
	uint64_t budget = CEL_BUDGET_MATCH;
	struct sv failed = SV_NULL;
	size_t failures = 0;

	for (size_t i = 0; i < m->hook->n_conditions; i++) {
		const struct hook_condition *c = &m->hook->conditions[i];
		struct cel_run run = { .arena = a, .vars = vars, .limit = CEL_LIMIT_CALL, .budget = &budget };
		struct cel_value v;
		enum cel_outcome how = c->program ? cel_eval(c->program, &run, &v) : CEL_FAILED;

		if (how == CEL_WAITS)
			return REQ_LATER;
		if (how == CEL_DONE && v.kind == CEL_BOOL && !v.b)
			return 0;
		if (how == CEL_DONE && v.kind == CEL_BOOL)
			continue;
		failures++;
		failed = condition_failed(a, failed, c,
					  !c->program	    ? c->broken
					  : how != CEL_DONE ? run.error
							    : SV("the result is no boolean"));
	}
	if (!failures)
		return 1;
	if (m->hook->ignore)
		return 0;
	return admission_forbid(e->a, err, failures > 1 ? "[%.*s]" : "%.*s", SV_ARG(failed));
}
