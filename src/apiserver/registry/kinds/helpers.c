/* What the handlers of several subresources begin and end with; a user as several kinds show him. */
#include "apiserver/registry/kinds/kinds.h"

#include <stdio.h>

struct val *sub_body(struct api_req *q)
{
	struct err err = ERR_INIT;
	const struct subresource *sub = q->sub;
	char api_version[128];
	struct val *doc;

	BUG_ON(!sub || !sub->schema);
	snprintf(api_version, sizeof(api_version), "%s%s%s", sub->group, sub->group[0] ? "/" : "", sub->version);
	if (api_options_parse(q, q->verb == VERB_UPDATE ? "UpdateOptions" : "CreateOptions", &err) < 0) {
		api_req_fail(q, &err);
		return NULL;
	}
	doc = body_typed(q, sub->schema, sv_from(api_version), sv_from(sub->kind), &err);
	if (!doc)
		api_req_fail(q, &err);
	return doc;
}

void answer_created(struct api_req *q)
{
	struct val *doc = val_new_map(q->arena);

	val_set_cstr(q->arena, doc, F_kind, "Status");
	val_set_cstr(q->arena, doc, F_apiVersion, "v1");
	val_set_map(q->arena, doc, F_metadata);
	val_set_cstr(q->arena, doc, F_status, "Success");
	val_set_int(q->arena, doc, F_code, 201);
	answer_doc(q, 201, doc);
}

void user_describe(struct arena *a, struct val *doc, const struct user_info *u)
{
	struct val *list, *extra;

	val_set_str(a, doc, F_username, u->name);
	if (u->uid.n)
		val_set_str(a, doc, F_uid, u->uid);
	list = val_set_list(a, doc, F_groups);
	for (size_t i = 0; i < u->n_groups; i++)
		val_push(a, list, val_new_str(a, u->groups[i]));
	if (u->n_extra == 0)
		return;
	extra = val_set_map(a, doc, F_extra);
	for (size_t i = 0; i < u->n_extra; i++) {
		struct val *values = val_new_list(a);

		for (size_t k = 0; k < u->extra[i].n_values; k++)
			val_push(a, values, val_new_str(a, u->extra[i].values[k]));
		val_set_sv(a, extra, u->extra[i].key, values);
	}
}
