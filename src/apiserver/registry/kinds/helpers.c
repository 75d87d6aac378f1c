/* What the handlers of several subresources begin and end with. */
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
