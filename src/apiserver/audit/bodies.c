/* What an event holds of bodies: the object of the request, that of the answer, or the Status that was answered. */
#include "apiserver/audit/audit-internal.h"
#include "codec/json.h"
#include "codec/yaml.h"

static bool drop_managed(const struct val_iter *m, void *ctx)
{
	(void)ctx;
	return sv_is(m->key, "managedFields");
}

static void audit_strip(struct val *v)
{
	struct val *meta = val_member_mut(v, F_metadata);

	if (meta)
		val_del_if(meta, drop_managed, NULL);
}

static struct sv audit_text_of(struct api_req *q, const struct val *doc)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (q->audit->verdict.omit_managed) {
		struct val *copy = val_clone_nodes(q->arena, doc), *items;

		audit_strip(copy);
		items = val_member_sv_mut(copy, SV("items"));
		for (size_t i = 0; i < val_len(items); i++)
			audit_strip(val_at_mut(items, i));
		doc = copy;
	}
	json_encode(&b, doc);
	return arena_sv(q->arena, buf_sv(&b));
}

void audit_request(struct api_req *q, const struct val *doc)
{
	struct audit_event *e = q->audit;
	const struct val *meta = val_get(doc, F_metadata);

	if (e->request.n || q->verb == VERB_PATCH || q->verb == VERB_DELETE || q->verb == VERB_DELETECOLLECTION)
		return;
	e->name = arena_sv(q->arena, val_str(val_member_sv(meta, SV("name"))));
	e->uid = arena_sv(q->arena, val_str(val_member_sv(meta, SV("uid"))));
	e->rev = arena_sv(q->arena, val_str(val_member_sv(meta, SV("resourceVersion"))));
	if (e->verdict.level >= LEVEL_REQUEST)
		e->request = audit_text_of(q, doc);
}

void audit_request_from_body(struct api_req *q)
{
	struct budget values = BUDGET(doc_values_limit);
	struct audit_event *e = q->audit;
	struct val *doc;

	if (e->verdict.level < LEVEL_REQUEST || e->request.n || !q->resource_request)
		return;
	if (!q->body.n && !q->body_doc)
		return;
	if (q->body_doc) {
		e->request = audit_text_of(q, q->body_doc);
		return;
	}
	if (sv_find_sv(q->content_type, SV("yaml")) >= 0)
		doc = yaml_decode_opts(q->arena, q->body, &(struct yaml_opts){ .values = &values }, NULL);
	else
		doc =
		    json_decode(q->arena, q->body, &(struct json_opts){ .borrow_text = true, .values = &values }, NULL);
	if (doc)
		e->request = audit_text_of(q, doc);
}

bool audit_wants_response(const struct api_req *q)
{
	return q->audit->verdict.level == LEVEL_RESPONSE;
}

/* A Status says what became of it, at every level; it is no object then. */
static bool audit_status_of(struct api_req *q, const struct val *doc)
{
	static const char *const kept[] = { "status", "message", "reason", "details", "code" };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *st;

	if (!val_is(val_member_sv(doc, SV("kind")), "Status") || !val_is(val_member_sv(doc, SV("apiVersion")), "v1"))
		return false;
	st = val_new_map(q->arena);
	(void)val_set(q->arena, st, F_metadata, val_new_map(q->arena));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const struct val *v = val_member_sv(doc, sv_from(kept[i]));

		if (v)
			(void)val_set_sv(q->arena, st, sv_from(kept[i]), v);
	}
	json_encode(&b, st);
	q->audit->status = arena_sv(q->arena, buf_sv(&b));
	return true;
}

void audit_response(struct api_req *q, struct obj *o, const struct val *doc)
{
	if (o)
		doc = obj_root(o);
	if (audit_status_of(q, doc) || !audit_wants_response(q))
		return;
	q->audit->response = audit_text_of(q, doc);
}

void audit_response_bytes(struct api_req *q, struct sv json)
{
	const struct val *doc = NULL;

	if (q->audit->verdict.omit_managed)
		doc = json_decode(q->arena, json, NULL, NULL);
	if (doc)
		q->audit->response = audit_text_of(q, doc);
	else if (json_valid(json))
		q->audit->response = arena_sv(q->arena, json);
}

void audit_failure(struct api_req *q, const struct err *err)
{
	(void)audit_status_of(q, status_failure(q->arena, err));
}
