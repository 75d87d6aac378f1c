/* apply-internal.h - typed walks for server-side apply; shared by the apply files.
 *
 * The rules are those of structured-merge-diff: a document is a tree of granular maps, of
 * lists whose items have an identity (set: the value; map: its keys), and of leaves: scalars
 * and everything atomic. A struct val of VAL_NULL is a value that is there and null, a NULL
 * pointer is absence; the difference decides who owns a container.
 */
#pragma once

#include "object/apply.h"
#include "object/fieldset.h"
#include "object/schema.h"

enum shape { SHAPE_LEAF, SHAPE_STRUCT, SHAPE_MAP, SHAPE_SET, SHAPE_KEYED, SHAPE_DEDUCED };

/* What stands at a place of a document. */
struct ftype {
	enum shape shape;
	const struct schema *schema; /* SHAPE_STRUCT */
	const struct field *field;   /* SHAPE_MAP, SHAPE_SET, SHAPE_KEYED: whose elements */
};

struct ftype ftype_root(const struct schema *s);
struct ftype ftype_member(struct ftype t, enum sym sym, struct sv key); /* of a struct, map or deduced */
struct ftype ftype_item(struct ftype t);				/* of a list or map */
/* What an edge of a field set leads to from there. *ret_declared: to a member that a struct declares. */
struct ftype ftype_edge(struct ftype t, struct sv text, bool *ret_declared);

static inline bool ftype_is_list(struct ftype t)
{
	return t.shape == SHAPE_SET || t.shape == SHAPE_KEYED;
}

/* Members of container v, or items of list v, each with its path element; sorted by text. */
struct fpart {
	struct sv text;
	const struct val *v;
	struct ftype type;
	enum sym sym;
	struct sv key;
	bool declared; /* a struct has it */
	size_t index;
};
struct fparts {
	struct fpart *p;
	size_t n;
};
/* With zeros, members that the Go struct would always print are there although the document
 * leaves them out: managers' sets are compared as upstream sees objects. */
void fparts_of(struct arena *a, struct ftype t, const struct val *v, bool zeros, struct fparts *ret);
/* "k:{...}" of an item of f's list. The keys' defaults count as set, so that a configuration that leaves "protocol"
 * out means the TCP port. Fails for an item that is no map and, if strict, for one without a key that has no default.
 */
int fpart_keys_text(struct arena *a, const struct field *f, const struct val *item, bool strict, struct sv *ret,
		    struct err *err);
/* "v:..." of an item of a set. */
struct sv fpart_value_text(struct arena *a, const struct val *v);
void fparts_sort(struct fparts *ps);
bool ftype_is_container(struct ftype t, const struct val *v); /* v non-empty and of t's form */

/* apply_check.c: fails when v has undeclared members, values of another form, or items of a list that are not told from
 * each other, at any depth: also below what is atomic, where the other walks do not look. The message names all of
 * them, until it is long. Of no schema everything is. err may be NULL. */
int typed_check(struct arena *a, const struct schema *s, const struct val *v, struct err *err);

/* The paths that v sets. */
const struct fset *typed_fields(struct arena *a, struct ftype t, const struct val *v);

struct comparison {
	const struct fset *added, *removed, *modified;
};
struct comparison typed_compare(struct arena *a, struct ftype t, const struct val *was, const struct val *now);

/* Paths of containers declared in a struct become members where something below them is. */
const struct fset *typed_ensure_named(struct arena *a, struct ftype t, const struct fset *s);
/* over merged into base, over winning; list order as structured-merge-diff merges orders. */
const struct val *typed_merge(struct arena *a, struct ftype t, const struct val *base, const struct val *over);
/* v without the paths of gone; containers that lose all become null. */
const struct val *typed_remove(struct arena *a, struct ftype t, const struct val *v, const struct fset *gone);
/* The same of a custom object that is going to be converted: a map that loses all stays, empty. Either names the place,
 * and a null would not come through where its schema has a default or takes no null. */
const struct val *typed_remove_custom(struct arena *a, struct ftype t, const struct val *v, const struct fset *gone);
/* v without null members, except inside opaque values. */
const struct val *typed_drop_nulls(struct arena *a, struct ftype t, const struct val *v);

/* apply_kubectl.c: what the manager "kubectl" may take from others without force, given what its client-side apply left
 * in live; NULL: nothing. */
const struct fset *kubectl_may_take(struct arena *a, struct ftype t, const struct val *live);
/* Brings that annotation of doc, if there, up to config. Nodes are copied before they are changed. */
void kubectl_renew(struct arena *a, const struct val *config, struct val *doc);

/* --- managers: apply_managers.c --- */

struct manager {
	struct sv name, subresource, api_version;
	bool applied;
	int64_t time_ns; /* 0: none */
	const struct fset *set;
	struct sv text;		       /* of the set, when it is known already; set may be NULL then */
	const struct comparison *seen; /* what the request does, in this one's version */
};

struct managers {
	struct manager *p;
	size_t n, cap;
};

struct manager *managers_add(struct arena *a, struct managers *ms, struct manager m);
bool managers_same(const struct manager *x, const struct manager *y);
struct manager *managers_find(const struct managers *ms, const struct manager *like);
/* False when any entry is malformed: the caller then takes none, as upstream does. */
bool managers_read(struct arena *a, const struct val *list, struct managers *ret);
int managers_order(const void *x, const void *y); /* in which they are written; for qsort() */
/* Into doc, which has no managedFields. */
void managers_write(struct arena *a, struct managers *ms, struct val *doc);
/* The oldest updaters become one when there are many. */
void managers_cap(struct arena *a, struct managers *ms);

/* --- forms of new documents: apply_known.c --- */

#define KNOWN_FORM_MAX 1536

struct known_form {
	size_t n;
	char p[KNOWN_FORM_MAX];
};
/* All that says what a creator owns of doc, which has no managedFields. False when that is too much, or not said by
 * the types of a built-in kind: then it is to be found out. */
bool known_form(struct known_form *ret, const struct schema *s, const struct val *doc, const char *const *reset_fields);
/* The fields as JSON, held by a; false when they are not known. Any thread. */
bool known_find(struct arena *a, const struct known_form *form, struct sv *ret);
void known_keep(const struct known_form *form, struct sv text);

/* --- versions: apply_prune.c --- */

/* doc, of type s if it is in the request's version, as `version` has it. 0, -1, APPLY_NO_VERSION, or what says that it
 * is to be asked again. */
int apply_as(const struct apply_opts *o, const struct schema *s, const struct val *doc, struct sv version,
	     struct apply_version *ret, struct err *err);
/* *merged becomes what is left of it without what only the manager's last configuration wanted, in its version then;
 * wanted: what this one does, which ms has. The same answers, but APPLY_NO_VERSION: then all is left. */
int apply_prune(struct arena *a, const struct schema *s, const struct val **merged, const struct fset *wanted,
		const struct fset *last, struct sv last_version, struct managers *ms, const struct apply_opts *o,
		struct err *err);
