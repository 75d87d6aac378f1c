/* What expressions of webhooks and policies know of a request besides documents: what it asks for, and who may do what.
 */
#include "apiserver/admission/webhooks.h"
#include "apiserver/authz.h"
#include "base/budget.h"
#include "codec/json.h"
#include "object/cel/func.h"

/* Questions of expressions are the request's: whoever is asked about those may take his time. */
static int hook_check(struct cel_authz *z, struct arena *a, const struct cel_authz_ask *ask,
		      struct cel_authz_answer *ret)
{
	struct hook_authz *ha = CONTAINER_OF(z, struct hook_authz, z);
	struct api_req *q = ha->q;
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

struct val *hook_request(const struct resource *as, const struct hook_event *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct hook hook = { .review = "admission.k8s.io/v1" };
	const struct hook_match m = { .hook = &hook, .as = as };
	struct val *review, *request;

	hook_review_write(&b, &m, e, NULL, NULL, "");
	review = json_decode(e->q->arena, buf_sv(&b), NULL, NULL);
	request = val_member_sv_mut(review, SV("request"));
	(void)val_del_sv(request, SV("uid"));
	(void)val_del_sv(request, SV("object"));
	(void)val_del_sv(request, SV("oldObject"));
	return request;
}

void hook_authz_init(struct hook_authz *ha, struct api_req *q)
{
	*ha = (struct hook_authz){ .z = { .check = hook_check }, .q = q };
}

struct cel_value hook_request_resource(struct hook_authz *ha, const struct hook_event *e)
{
	const struct cel_authz_ask about = {
		.resource_request = true,
		.group = e->resource[0],
		.resource = e->resource[2],
		.subresource = e->sub,
		.ns = e->ns,
		.name = e->name,
	};

	return cel_authz_request_resource(e->q->arena, &ha->z, &about);
}
