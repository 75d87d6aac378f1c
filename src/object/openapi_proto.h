/* openapi_proto.h - OpenAPI documents as protobuf by tables of fields; for openapi_proto.c and openapi_proto_v3.c only.
 *
 * A document is translated from the JSON one, so there is one author of the contents. What the tables do not have is
 * left out, and so is a value of another type than its field's.
 */
#pragma once

#include "base/buf.h"
#include "codec/doc.h"

enum kind {
	STR,
	BOOL,
	NUM, /* double */
	INT,
	STRS, /* repeated string */
	ANY,  /* a message with the value as YAML */
	ANYS,
	SCALAR, /* a message of a number, boolean or text */
	MSG,
	MSGS,
	MAP,  /* a message of repeated (name, value); `wrap` is the entries' number */
	HOLD, /* a message around the message, at number `wrap` */
	TYPE, /* "string" as TypeItem */
	SCHEMA_OR_BOOL,
	PARAMS, /* by their place: body, query, path; or what they refer to */
	NAMED_PARAMS,
	/* The same of what is either the message or a reference. */
	OR_REF,
	OR_REFS,
	MAP_OR_REF,
	HOLD_OR_REF,
	OR_REF_OR_BOOL,
	RESPONSES,
	EXT, /* every x- member */
};

struct pfield {
	const char *name;
	uint32_t no;
	enum kind kind;
	const struct pfield *type; /* ends with name NULL */
	uint32_t wrap;
};

/* The fields of v's members, one behind the other. */
void openapi_proto_message(struct buf *b, const struct val *v, const struct pfield *fields);
