/* fieldset.h - sets of field paths, for apply.c, print/changes.c and their tests only.
 *
 * A set is a trie. An edge is one path element in the text form that fieldsV1 uses:
 *
 *	f:name			member of a struct or map
 *	k:{"name":"web"}	list item, by its keys (compact JSON, keys sorted)
 *	v:"x"			item of a set, by its value
 *	i:0			item by index
 *
 * Each edge says whether its path is in the set itself (`member`) and what is below it. Edges
 * of a node are sorted by text and unique, so the set operations are merges. In JSON (fieldsV1)
 * a node is an object, and "." marks a member that also has something below it.
 *
 * Everything lives in an arena; sets are values and may share nodes, so a node is not changed
 * after it was put into a set, except by who built it.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

struct fset;

struct fset_edge {
	struct sv text;
	bool member;
	const struct fset *sub; /* NULL: nothing below */
};

struct fset {
	struct fset_edge *edges;
	size_t n, cap;
};

struct fset *fset_new(struct arena *a);
void fset_reserve(struct arena *a, struct fset *s, size_t n); /* room for n edges, of an empty one */
/* Adds an edge; fset_seal() must follow before anything reads the node. sub may be NULL or empty. */
void fset_add(struct arena *a, struct fset *s, struct sv text, bool member, const struct fset *sub);
void fset_seal(struct arena *a, struct fset *s); /* sorts; equal edges become one */

bool fset_empty(const struct fset *s); /* NULL is empty */
bool fset_equal(const struct fset *x, const struct fset *y);
const struct fset_edge *fset_find(const struct fset *s, struct sv text);
const struct fset *fset_union(struct arena *a, const struct fset *x, const struct fset *y);
/* Of many, in any order: an edge is not gone over once for each. sets is used up. NULL: there are none. */
const struct fset *fset_union_all(struct arena *a, const struct fset **sets, size_t n);
const struct fset *fset_intersection(struct arena *a, const struct fset *x, const struct fset *y);
/* Paths of x that are not in y. */
const struct fset *fset_difference(struct arena *a, const struct fset *x, const struct fset *y);
/* The same, and what lies below a path of y goes too. */
const struct fset *fset_without(struct arena *a, const struct fset *x, const struct fset *y);

/* The edge of a struct's or map's member: "f:" and its name. */
struct sv fset_field_text(struct arena *a, struct sv name);
/* The set of one dotted path of field names ("metadata.labels"). */
const struct fset *fset_of_path(struct arena *a, const char *dotted);

/* From fieldsV1, parsed or raw; elements of unknown form are skipped. NULL when it is no object. */
const struct fset *fset_from_json(struct arena *a, const struct val *v, struct err *err);
void fset_to_json(struct buf *b, const struct fset *s);

/* Every path of the set as people read it: .spec.containers[name="web"].image; members of a
 * node first, then what is below. */
void fset_each(struct arena *a, const struct fset *s, void (*fn)(struct sv path, void *ctx), void *ctx);
void fset_path_element(struct arena *a, struct buf *b, struct sv text); /* ".spec", "[name=\"web\"]" */
