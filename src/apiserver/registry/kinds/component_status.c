/* componentstatuses: what `kubectl get cs` asks for. Deprecated upstream and kept for old scripts; nothing is stored.
 *
 * Of the parts it used to list only the store can be asked from here: controllers and scheduler are
 * clients like any other. */
#include "apiserver/registry/kinds/kinds.h"
#include "base/vec.h"

#define STORE_NAME "etcd-0" /* the name that scripts know */

static struct obj *store_status(struct api_req *q)
{
	struct val *doc = val_new_map(q->arena), *c = val_new_map(q->arena);
	_cleanup_(err_release) struct err why = ERR_INIT;
	bool ok = store_healthy(q->server->store, &why);

	val_set_cstr(q->arena, doc, F_kind, "ComponentStatus");
	val_set_cstr(q->arena, doc, F_apiVersion, "v1");
	val_set_cstr(q->arena, val_set_map(q->arena, doc, F_metadata), F_name, STORE_NAME);
	val_set_cstr(q->arena, c, F_type, "Healthy");
	val_set_cstr(q->arena, c, F_status, ok ? "True" : "False");
	if (ok)
		val_set_cstr(q->arena, c, F_message, "ok");
	else
		val_set_cstr(q->arena, c, F_error, err_msg(&why));
	val_push(q->arena, val_set_list(q->arena, doc, F_conditions), c);
	return obj_new(doc, 0);
}

static void read_status(struct api_req *q)
{
	struct selection_words words;
	const struct selection *sel;
	struct err err = ERR_INIT;
	struct obj **one, *o;

	if (q->verb == VERB_GET) {
		if (!sv_is(q->name, STORE_NAME)) {
			err_not_found(&err, q->res, q->name);
			api_req_fail(q, &err);
			return;
		}
		o = store_status(q);
		answer_object(q, 200, o);
		obj_unref(o);
		return;
	}
	words = selection_words(q);
	words.shard = SV_NULL; /* it has no uid */
	if (selection_make(q->arena, q->res, &words, &sel, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	o = store_status(q);
	one = ARENA_ARRAY(q->arena, struct obj *, 1);
	one[0] = o;
	if (selection_matches(sel, o)) {
		list_answer(q, q->res, one, 1, 0, SV_NULL, -1);
		return;
	}
	obj_unref(o);
	list_answer(q, q->res, one, 0, 0, SV_NULL, -1);
}

const struct strategy componentstatus_strategy = {
	.res = RES(core_componentstatuses),
	.deprecated = "v1 ComponentStatus is deprecated in v1.19+",
	.virtual_read = read_status,
};
