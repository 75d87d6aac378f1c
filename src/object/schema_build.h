/* schema_build.h - struct types from an OpenAPI v3 schema, as CustomResourceDefinitions carry it.
 *
 * The other maker of struct schema beside tools/gen_schema.py. What it makes lies in the caller's arena, and its field
 * names in the caller's symbols: both must outlive whoever walks the types.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "codec/symbol.h"
#include "object/schema.h"

struct schema_maker {
	struct arena *a;
	struct sym_names *names;
	const char *group, *version, *kind; /* of the root type; in a */
	const struct structural *custom;    /* what its objects look like, or NULL */
	struct err *err;
	/* schema_build()'s own: */
	bool open;		   /* it is where unknown members are kept */
	const char *ref, *openapi; /* names of the root type */
};

/* The labels of a group the other way round, as names of definitions in OpenAPI begin: "com.example.stable". */
void schema_package(struct buf *b, struct sv group);

/* The root type: kind, apiVersion and metadata as everywhere, then the properties. openapi NULL: spec and status of
 * any form. NULL on failure. */
const struct schema *schema_build(struct schema_maker *m, const struct val *openapi);
