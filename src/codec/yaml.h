/* yaml.h - YAML 1.1 text (as sigs.k8s.io/yaml reads it) to documents and back, on libyaml.
 *
 * Plain scalars resolve as yaml.v2 does: y, yes, on, n, no and off are booleans like true and
 * false, 0777 is octal, dates stay strings, infinities are an error; numbers then mean what JSON
 * would make of them (1.0 is the integer 1). Anchors, aliases and << are followed with a bound
 * on what they copy, nodes and bytes (no "billion laughs"); keys become strings; duplicate keys are an error,
 * unless yaml_opts.duplicate wants to hear of them.
 * Errors read "error converting YAML to JSON: yaml: line 3: ...", with upstream's line numbers.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

/* The documents of a stream one by one: cuts the first document off *rest (at "---" lines that
 * hold nothing else but a comment).
 * Returns false at the end. Empty documents are skipped. */
bool yaml_next_document(struct sv *rest, struct sv *ret_doc);

struct yaml_opts {
	/* Called for every key that repeats an earlier one of its map, with upstream's words, which live in the
	 * arena: `line 7: key "a" already set in map`. The last value counts. */
	void (*duplicate)(struct sv what, void *ctx);
	void *ctx;
	struct budget *values; /* as json_opts.values; what aliases copy is paid for, too */
	/* What stands behind the first document is an error. Without it, all from where a line begins further left than
	 * the first one is left out without a word, as upstream's reader does it. For files that people write. */
	bool alone;
};

/* Decodes the first document of text (null when there is none); JSON is YAML too. NULL on failure (ERR_BAD_REQUEST,
 * with line). */
struct val *yaml_decode(struct arena *a, struct sv text, struct err *err);
struct val *yaml_decode_opts(struct arena *a, struct sv text, const struct yaml_opts *opts, struct err *err);

/* Block style, keys in document order, strings quoted only where YAML would misread them. */
void yaml_encode(struct buf *b, const struct val *v);
/* The same as the next element of a list that is a member of the document: "- " and what is v. */
void yaml_encode_item(struct buf *b, const struct val *v);
