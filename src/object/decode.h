/* decode.h - from a client's document to a typed one.
 *
 * Takes the raw document of a request body and a schema, and returns a new document in the
 * canonical form that all later steps rely on: known fields only, in schema order, right
 * types, quantities and times canonical. Encoded, it is what Go's encoder would write: zero
 * values are left out where the Go type says omitempty and present elsewhere ("status":{},
 * "rules":null, "eventTime":null), kind and apiVersion come first. Fields of features that are
 * off (FF_OFF) are read and left out, as upstream drops them: kept, they would promise.
 *
 * Strict field validation (KEP-2885): unknown and duplicate fields are collected as
 * messages, and the caller decides by fieldValidation whether they are errors ("strict
 * decoding error: unknown field \"spec.foo\""), Warning headers or ignored.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"
#include "codec/doc.h"
#include "object/schema.h"

#define STRICT_MAX 100			       /* messages kept of one body, as upstream */
#define STRICT_BYTES_MAX ((size_t)1024 * 1024) /* and no more once they are so long: each may repeat a long name */

struct decode_report {
	VEC(struct sv) strict; /* "unknown field \"spec.foo\"", arena-owned, in the order of the text */
	/* What the parser knows of the text: paths of members given more than once; and whether its members count
	 * in the order of their names (YAML, which upstream turns into JSON first). */
	const struct sv *repeated;
	size_t n_repeated;
	bool sorted;
	/* Asked of decode_typed(): errors say what is wrong and not in which object, as of a patch; and in the words of
	 * upstream's converter from maps to structs, which makes objects of strategic merge patches. */
	bool bare, converter;
	/* Told by it: lists or maps are in the result that are empty, where Go keeps those apart from absent ones until
	 * they are stored. Who they belong to depends on it; empty_to_null() comes next. */
	bool has_empty;
};

/* Of custom kinds (schema.custom) members keep their order and may be of any type: see structural.h, which all
 * functions here leave such documents to.
 *
 * NULL on a type error: ERR_BAD_REQUEST with upstream's text ("json: cannot unmarshal string
 * into Go struct field PodSpec.spec.containers of type []v1.Container", wrapped as
 * "Pod in version \"v1\" cannot be handled as a Pod: ..."). report may be NULL. The result
 * shares strings with raw. */
struct val *decode_typed(struct arena *a, const struct schema *s, const struct val *raw, struct decode_report *report,
			 struct err *err);

/* The same of a type that is no custom kind's. */
struct val *decode_plain(struct arena *a, const struct schema *s, const struct val *raw, struct decode_report *report,
			 struct err *err);

/* decode_plain()'s own: fills report->strict. */
void strict_report(struct arena *a, const struct schema *s, const struct val *raw, struct decode_report *report);

/* Puts the members of doc and of everything below it into the schema's order, in place; members
 * the schema does not have come last. Code that adds fields to a decoded document may call it
 * before publishing. Nodes are copied into a, strings stay where they are. */
void order_typed(struct arena *a, const struct schema *s, struct val *doc);

/* Adds the members of doc, and of everything below it, that Go writes although they are zero: fields without omitempty,
 * structs by value. A document that decode_typed() made has them; one that code built or took members from gets them
 * back. New members stand last until order_typed(): true when there are any. */
bool zero_typed(struct arena *a, const struct schema *s, struct val *doc);
/* The same, quicker, of a document that is in order but for little that was added since. */
bool zero_ordered(struct arena *a, const struct schema *s, struct val *doc);
/* Makes null what decode_typed() left empty (has_empty). */
void empty_to_null(struct arena *a, const struct schema *s, struct val *doc);
/* The zero of one value of a field's kind: null, false, 0, "" or a struct with its own. */
struct val *zero_value(struct arena *a, const struct field *f);

/* Declared defaults of the schema (field.json_default) wherever the parent struct is present.
 * Conditional defaults of a kind are its strategy's business. */
void default_typed(struct arena *a, const struct schema *s, struct val *doc);
/* The same, new members last: for who has more to add before order_typed(). */
void default_members(struct arena *a, const struct schema *s, struct val *doc);
