/* openapi.h - OpenAPI documents of the API, generated from the schema tables.
 *
 * Version 3 has one document a group version (KEP-2896) below /openapi/v3, listed by an index
 * that carries a hash of each, so that clients cache them for ever. Version 2 is one document
 * for everything at /openapi/v2. kubectl explain, apply and diff read version 3; older clients
 * read version 2.
 *
 * Custom resources take part with the schema of their CustomResourceDefinition as it was
 * written; their struct resource describes the paths, its `schema` may be NULL.
 *
 * Everything is appended to a buffer as compact JSON; caching is the caller's job. Version 2, which has all kinds in
 * one document of megabytes, comes in pieces of some ten kilobytes. The legacy paths below /watch/ are not described.
 * Functions are pure; any thread.
 */
#pragma once

#include "base/buf.h"
#include "codec/doc.h"
#include "object/schema.h"

struct openapi_custom {
	const struct resource *resource;
	const struct val *schema; /* openAPIV3Schema of the version, or NULL */
	uint64_t hash;		  /* of the definition that made it, for the index */
};

/* {"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=..."},...}}, custom group versions too. */
void openapi_v3_index(struct buf *b, const struct openapi_custom *custom, size_t n);

/* The document of one group version; false, with nothing written, when nobody serves it. */
bool openapi_v3(struct buf *b, struct sv group, struct sv version, const struct openapi_custom *custom, size_t n);

/* The version 2 document. Custom kinds are described as objects of any content: version 2 cannot
 * say what their schemas may. */
/* piece, which may be NULL, is called each time b holds whole pieces, and may take what is in b and clear it. */
typedef void openapi_piece_fn(struct buf *b);
void openapi_v2(struct buf *b, const struct openapi_custom *custom, size_t n, openapi_piece_fn *piece);

/* The same as protobuf (openapi.v2.Document of gnostic). */
void openapi_v2_proto(struct buf *b, const struct openapi_custom *custom, size_t n, openapi_piece_fn *piece);

/* Members of one of its sections ("paths", "definitions", "parameters", "responses"), JSON without the braces, behind
 * such a message: as protobuf has it, that is the message with these in it. What is no such JSON adds nothing. */
void openapi_v2_proto_more(struct buf *b, const char *section, struct sv members);

/* What the index's URL ends in: "?hash=" and this. All zeros when nobody serves the group version. */
uint64_t openapi_v3_hash(struct sv group, struct sv version, const struct openapi_custom *custom, size_t n);
