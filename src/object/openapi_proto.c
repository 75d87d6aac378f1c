/* The version 2 document as protobuf (gnostic's openapi.v2.Document), which client-go's discovery
 * client asks for: kubectl reads it for kinds it cannot find elsewhere. Translated from the JSON one by
 * tables of fields, so there is one author of the contents. `security` is left out. */
#include "codec/json.h"
#include "codec/pbwire.h"
#include "object/openapi_write.h"

#include <string.h>

enum kind {
	STR,
	BOOL,
	STRS, /* repeated string */
	ANY,  /* a message with the value as YAML */
	ANYS,
	MSG,
	MSGS,
	MAP,  /* a message of repeated (name, value); `wrap` is the entries' number */
	HOLD, /* a message around the message, at number `wrap` */
	TYPE, /* "string" as TypeItem */
	SCHEMA_OR_BOOL,
	PARAMS, /* by their place: body, query, path; or what they refer to */
	NAMED_PARAMS,
	EXT, /* every x- member */
};

struct pfield {
	const char *name;
	uint32_t no;
	enum kind kind;
	const struct pfield *type; /* ends with name NULL */
	uint32_t wrap;
};

static const struct pfield schema[] = {
	{ "$ref", 1, STR, NULL, 0 },
	{ "format", 2, STR, NULL, 0 },
	{ "title", 3, STR, NULL, 0 },
	{ "description", 4, STR, NULL, 0 },
	{ "default", 5, ANY, NULL, 0 },
	{ "pattern", 13, STR, NULL, 0 },
	{ "uniqueItems", 16, BOOL, NULL, 0 },
	{ "required", 19, STRS, NULL, 0 },
	{ "enum", 20, ANYS, NULL, 0 },
	{ "additionalProperties", 21, SCHEMA_OR_BOOL, schema, 0 },
	{ "type", 22, TYPE, NULL, 0 },
	{ "items", 23, HOLD, schema, 1 },
	{ "allOf", 24, MSGS, schema, 0 },
	{ "properties", 25, MAP, schema, 1 },
	{ "readOnly", 27, BOOL, NULL, 0 },
	{ "", 31, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield body_parameter[] = {
	{ "description", 1, STR, NULL, 0 }, { "name", 2, STR, NULL, 0 },     { "in", 3, STR, NULL, 0 },
	{ "required", 4, BOOL, NULL, 0 },   { "schema", 5, MSG, schema, 0 }, { "", 6, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield query_parameter[] = {
	{ "required", 1, BOOL, NULL, 0 },     { "in", 2, STR, NULL, 0 },   { "description", 3, STR, NULL, 0 },
	{ "name", 4, STR, NULL, 0 },	      { "type", 6, STR, NULL, 0 }, { "format", 7, STR, NULL, 0 },
	{ "uniqueItems", 20, BOOL, NULL, 0 }, { "", 23, EXT, NULL, 0 },	   { NULL, 0, STR, NULL, 0 },
};

static const struct pfield path_parameter[] = {
	{ "required", 1, BOOL, NULL, 0 },     { "in", 2, STR, NULL, 0 },   { "description", 3, STR, NULL, 0 },
	{ "name", 4, STR, NULL, 0 },	      { "type", 5, STR, NULL, 0 }, { "format", 6, STR, NULL, 0 },
	{ "uniqueItems", 19, BOOL, NULL, 0 }, { "", 22, EXT, NULL, 0 },	   { NULL, 0, STR, NULL, 0 },
};

static const struct pfield response[] = {
	{ "description", 1, STR, NULL, 0 },
	{ "schema", 2, HOLD, schema, 1 },
	{ "", 5, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

/* What a response code maps to is a choice; value() writes its first, the response itself. */
static const struct pfield response_value[] = { { NULL, 0, STR, NULL, 0 } };

static const struct pfield operation[] = {
	{ "tags", 1, STRS, NULL, 0 },
	{ "summary", 2, STR, NULL, 0 },
	{ "description", 3, STR, NULL, 0 },
	{ "operationId", 5, STR, NULL, 0 },
	{ "produces", 6, STRS, NULL, 0 },
	{ "consumes", 7, STRS, NULL, 0 },
	{ "parameters", 8, PARAMS, NULL, 0 },
	{ "responses", 9, MAP, response_value, 1 },
	{ "schemes", 10, STRS, NULL, 0 },
	{ "deprecated", 11, BOOL, NULL, 0 },
	{ "", 13, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield path_item[] = {
	{ "get", 2, MSG, operation, 0 },    { "put", 3, MSG, operation, 0 },	  { "post", 4, MSG, operation, 0 },
	{ "delete", 5, MSG, operation, 0 }, { "options", 6, MSG, operation, 0 },  { "head", 7, MSG, operation, 0 },
	{ "patch", 8, MSG, operation, 0 },  { "parameters", 9, PARAMS, NULL, 0 }, { "", 10, EXT, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield info[] = {
	{ "title", 1, STR, NULL, 0 },
	{ "version", 2, STR, NULL, 0 },
	{ "description", 3, STR, NULL, 0 },
	{ NULL, 0, STR, NULL, 0 },
};

static const struct pfield document[] = {
	{ "swagger", 1, STR, NULL, 0 },
	{ "info", 2, MSG, info, 0 },
	{ "paths", 8, MAP, path_item, 2 },
	{ "definitions", 9, MAP, schema, 1 },
	{ "parameters", 10, NAMED_PARAMS, NULL, 0 },
	{ "responses", 11, MAP, response, 1 },
	{ NULL, 0, STR, NULL, 0 },
};

static void openapi_proto_message(struct buf *b, const struct val *v, const struct pfield *fields);

static void any(struct buf *b, uint32_t no, const struct val *v)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	size_t m = pb_open(b, no);

	json_encode(&text, v);
	pb_sv(b, 2, buf_sv(&text));
	pb_close(b, m);
}

static void value(struct buf *b, uint32_t no, const struct val *v, const struct pfield *type)
{
	size_t m = pb_open(b, no);

	if (type == response_value) {
		size_t inner = pb_open(b, 1);

		openapi_proto_message(b, v, response);
		pb_close(b, inner);
	} else {
		openapi_proto_message(b, v, type);
	}
	pb_close(b, m);
}

static void named_parameter(struct buf *b, uint32_t no, const struct val *v)
{
	struct sv in = val_str(val_member_sv(v, SV("in")));
	bool body = sv_is(in, "body"), path = sv_is(in, "path");
	size_t choice = pb_open(b, no);

	if (body) {
		value(b, 1, v, body_parameter);
	} else {
		size_t other = pb_open(b, 2);

		value(b, path ? 4 : 3, v, path ? path_parameter : query_parameter);
		pb_close(b, other);
	}
	pb_close(b, choice);
}

static void parameter(struct buf *b, uint32_t no, const struct val *v)
{
	struct sv ref = val_str(val_member_sv(v, SV("$ref")));
	size_t item = pb_open(b, no);

	if (ref.n) {
		size_t choice = pb_open(b, 2);

		pb_sv(b, 1, ref);
		pb_close(b, choice);
	} else {
		named_parameter(b, 1, v);
	}
	pb_close(b, item);
}

static void openapi_proto_field(struct buf *b, const struct pfield *f, const struct val *v)
{
	size_t m;

	switch (f->kind) {
	case STR:
		pb_sv(b, f->no, val_str(v));
		return;
	case BOOL:
		pb_bool(b, f->no, val_bool(v));
		return;
	case STRS:
		VAL_EACH(v, e)
			pb_sv_elem(b, f->no, val_str(e));
		return;
	case ANY:
		any(b, f->no, v);
		return;
	case ANYS:
		VAL_EACH(v, e)
			any(b, f->no, e);
		return;
	case MSG:
		value(b, f->no, v, f->type);
		return;
	case MSGS:
		VAL_EACH(v, e)
			value(b, f->no, e, f->type);
		return;
	case PARAMS:
		VAL_EACH(v, e)
			parameter(b, f->no, e);
		return;
	default:
		break;
	}
	m = pb_open(b, f->no);
	if (f->kind == TYPE) {
		pb_sv_elem(b, 1, val_str(v));
	} else if (f->kind == HOLD) {
		value(b, f->wrap, v, f->type);
	} else if (f->kind == SCHEMA_OR_BOOL) {
		if (val_type(v) == VAL_MAP)
			value(b, 1, v, f->type);
		else
			pb_bool(b, 2, val_bool(v));
	} else { /* MAP, NAMED_PARAMS */
		VAL_EACH_MEMBER(v, e) {
			size_t entry = pb_open(b, f->kind == MAP ? f->wrap : 1);

			pb_sv(b, 1, e.key);
			if (f->kind == MAP)
				value(b, 2, e.value, f->type);
			else
				named_parameter(b, 2, e.value);
			pb_close(b, entry);
		}
	}
	pb_close(b, m);
}

static void extension(struct buf *b, uint32_t no, struct sv name, const struct val *v)
{
	size_t m = pb_open(b, no);

	pb_sv(b, 1, name);
	any(b, 2, v);
	pb_close(b, m);
}

static void openapi_proto_message(struct buf *b, const struct val *v, const struct pfield *fields)
{
	VAL_EACH_MEMBER(v, m) {
		for (const struct pfield *f = fields; f->name; f++) {
			if (f->kind == EXT && sv_starts(m.key, SV("x-"))) {
				extension(b, f->no, m.key, m.value);
				break;
			}
			if (f->kind != EXT && sv_is(m.key, f->name)) {
				openapi_proto_field(b, f, m.value);
				break;
			}
		}
	}
}

struct proto_doc {
	struct buf *b;
	openapi_piece_fn *piece;
};

/* Members of the document, as the document that has these alone: the parts of one message, one behind the other, are
 * that message, and so are the parts of one that it has in it. So no length is known before its contents are. */
static void proto_members(struct buf *b, const char *open, struct sv members, const char *close)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	buf_adds(&text, open);
	buf_addsv(&text, members);
	buf_adds(&text, close);
	openapi_proto_message(b, json_decode(&a, buf_sv(&text), &(struct json_opts){ .borrow_text = true }, NULL),
			      document);
}

static void proto_part(enum openapi_part part, struct sv members, void *ctx)
{
	struct proto_doc *d = ctx;

	proto_members(d->b, part == OPENAPI_PATHS ? "{\"paths\":{" : "{\"definitions\":{", members, "}}");
	if (d->piece)
		d->piece(d->b);
}

void openapi_v2_proto(struct buf *b, const struct openapi_custom *custom, size_t n, openapi_piece_fn *piece)
{
	_cleanup_(buf_release) struct buf head = BUF_INIT;
	struct proto_doc d = { b, piece };

	openapi_v2_head(&head);
	proto_members(b, "{", buf_sv(&head), "}");
	openapi_v2_parts(custom, n, proto_part, &d);
	proto_members(b, "{", SV(OPENAPI_V2_TAIL), "}");
}

void openapi_v2_proto_more(struct buf *b, const char *section, struct sv members)
{
	_cleanup_free_ char *open = xasprintf("{\"%s\":{", section);

	if (members.n)
		proto_members(b, open, members, "}}");
}
