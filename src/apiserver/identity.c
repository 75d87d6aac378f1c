/* Who asks, as whom, and may they: what the pipeline asks first, and is asked again about a request that lasts. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/authn.h"
#include "apiserver/authz.h"
#include "base/board.h"

/* The same question, and its answer in the audit. */
static int audited(struct api_req *q, struct authz_attrs *at, struct err *err)
{
	struct sv reason = SV("");
	int rc;

	at->explain = true;
	rc = authz_decide(q, at, &reason, err);
	if (rc == REQ_LATER)
		return rc;
	if (rc < 0 && err->reason != ERR_FORBIDDEN) {
		api_req_annotate(q, SV("authorization.k8s.io/reason"), SV("internal error"));
		return rc;
	}
	api_req_annotate(q, SV("authorization.k8s.io/decision"), rc == 0 ? SV("allow") : SV("forbid"));
	if (rc == 0 || reason.n)
		api_req_annotate(q, SV("authorization.k8s.io/reason"), reason);
	return rc;
}

void pipeline_attrs(struct api_req *q, struct authz_attrs *ret)
{
	*ret = (struct authz_attrs){
		.user = &q->user,
		.verb = request_verb(q),
		.resource_request = q->resource_request,
		.group = q->group,
		.version = q->version,
		.resource = q->plural,
		.subresource = q->subresource,
		.ns = q->ns,
		.name = q->name,
		.path = q->path,
	};
	bool one_or_many = q->verb == VERB_LIST || q->verb == VERB_WATCH;
	struct sv fields;
	struct err ignored = ERR_INIT; /* who may ask at all is told what is wrong with the selector */

	if (q->resource_request && (one_or_many || q->verb == VERB_DELETECOLLECTION) &&
	    api_req_param(q, "fieldSelector", &fields))
		q->fields = ret->fields = field_selector_parse(q->arena, fields, &ignored);
	err_release(&ignored);
	if (q->resource_request && (one_or_many || q->verb == VERB_DELETECOLLECTION))
		(void)api_req_param(q, "labelSelector", &ret->labels);
	/* A list or watch of one name is a question about that name. */
	if (!q->name.n && one_or_many)
		ret->name = authz_selected_name(ret->fields);
}

int pipeline_authorize(struct api_req *q, struct err *err)
{
	struct authz_attrs at;

	pipeline_attrs(q, &at);
	return q->audit ? audited(q, &at, err) : authz_require(q, &at, err);
}

/* What nothing built in knows somebody else may know. */
static int identify(struct api_req *q, struct err *err)
{
	const struct req_plugins *p = q->server->plugins;
	struct err unknown = ERR_INIT;
	int rc = authn_request(q, &unknown);

	if (rc < 0 && unknown.reason == ERR_UNAUTHORIZED && q->server->authz) {
		_cleanup_(err_release) struct err why =
		    ERR_INIT; /* for a review; a client learns no more than upstream's */

		rc = authn_outside(q, &why);
		if (rc == 0 || rc == REQ_LATER) {
			err_release(&unknown);
			return rc;
		}
		rc = -1;
	}
	if (rc < 0 && unknown.reason == ERR_UNAUTHORIZED && p && p->authenticate &&
	    (rc = p->authenticate(q, err, p->ctx)) != 1) {
		err_release(&unknown);
		return rc;
	}
	return rc ? err_move(err, &unknown) : 0;
}

int pipeline_identify(struct api_req *q, struct err *err)
{
	_cleanup_(work_leave) _unused_ int mark = api_req_work(q);

	return identify(q, err);
}
