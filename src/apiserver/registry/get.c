/* GET of one object: the shortest way through the server. */
#include "apiserver/registry/registry.h"

void registry_get(struct api_req *q)
{
	struct err err = ERR_INIT;
	struct sv text;
	int64_t rev;
	struct obj *o;

	if (q->n_params && api_req_param(q, "resourceVersion", &text)) {
		if (!list_rev_parse(text, &rev)) {
			err_bad_rev(&err, text);
			api_req_fail(q, &err);
			return;
		}
		if (rev > wc_rev(q->server->wc)) {
			wait_for_rev(q, rev, registry_get);
			return;
		}
	}
	o = wc_get(q->server->wc, q->res, q->ns, q->name);
	if (!o) {
		set_aside_error(q->server, q->res, q->ns, q->name, &err);
		api_req_fail(q, &err);
		return;
	}
	answer_object(q, 200, o);
	obj_unref(o);
}
