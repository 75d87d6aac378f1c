/* doc.h - the generic document: one JSON-like value tree, 16 bytes a node.
 *
 * A document is built in an arena by its one owner, then usually published as a struct obj
 * (object/obj.h), after which nobody changes it. There are no generated C structs per API
 * type; code reads fields by symbol:
 *
 *	const struct val *n = val_get(pod, F_spec, F_nodeName);
 *	struct sv node = val_str(n);        // "" when absent or not a string
 *
 * Every reader accepts NULL and the wrong type and answers "absent", so paths can be
 * followed without checks; what a schema promises has been checked at decoding.
 *
 * Keys. Field names known at build time are symbols (enum sym, generated from the api
 * folder's schemas: F_metadata, ...). Every other key (label keys, data keys) is a string, but
 * for names that became symbols while the process ran (symbol.h). A key that is a built-in symbol's
 * name is always stored as that symbol, whatever map it stands in; one that became a symbol later is
 * stored either way, and is the same key to every function here. The functions taking a struct sv look
 * that up first.
 *
 * Representation. A map's children are one array of nodes; a member with a string key
 * takes two: a VAL_KEY node holding the key, then the value with sym 0. Only this header's
 * functions need to know. Member order is insertion order. Arrays of children are made by
 * these functions alone (never point items at an array of your own and then change it): see
 * doc_items.h. A pointer to a member is good until another member is added to the same map, as
 * the array may move: take pointers to children after the last new member. The arrays of a
 * published object are frozen: val_set(), val_push() and the like on a shallow copy of such a map
 * copy its array first, functions without an arena (val_del, val_*_mut below it) abort rather than
 * change what others read.
 *
 * Depth. A decoded document is at most JSON_DEPTH_MAX levels deep, so functions may recurse
 * along it. Code that nests decoded documents into each other without a bound (patches) asks
 * val_deeper_than() before it goes on.
 *
 * Numbers are int64 when they are written without fraction or exponent and fit, else double
 * (as apimachinery decodes into interface{}). VAL_RAW is JSON text kept unparsed
 * (metav1.FieldsV1, RawExtension): valid JSON, compact, encoded as it is.
 *
 * Threads: a document under construction belongs to one thread; an immutable one to all.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "base/budget.h"
#include "symbols.h" /* generated: enum sym, SYM_NONE = 0, SYM_MAX */

enum val_type {
	VAL_NULL,
	VAL_BOOL,
	VAL_INT,
	VAL_FLOAT,
	VAL_STR,
	VAL_RAW,
	VAL_LIST,
	VAL_MAP,
	VAL_KEY, /* internal, never seen outside doc.c and codecs */
	_VAL_TYPE_MAX
};

struct val {
	uint32_t sym;	   /* enum sym of the member this is, or 0 */
	uint32_t type : 4; /* enum val_type */
	uint32_t n : 28;   /* bytes of a string, child nodes of a list or map */
	union {
		bool b;
		int64_t i;
		double d;
		const char *s; /* VAL_STR, VAL_RAW, VAL_KEY: not NUL-terminated */
		struct val *items;
	};
};

/* --- symbols --- */

enum sym sym_find(struct sv name); /* SYM_NONE when name is no symbol */
struct sv sym_name(enum sym s);	   /* "" when there is none of that number */

/* --- reading --- */

const char *val_type_name(enum val_type t); /* "string", "object", "array", ... */

static inline enum val_type val_type(const struct val *v)
{
	return v ? (enum val_type)v->type : VAL_NULL;
}

/* Member of a map; NULL when v is no map or has none. */
const struct val *val_member(const struct val *v, enum sym key);
const struct val *val_member_sv(const struct val *v, struct sv key);

/* val_get(v, F_spec, F_replicas): follows members by symbol. */
#define val_get(v, ...) val_path((v), (const enum sym[]){ __VA_ARGS__, SYM_NONE })
const struct val *val_path(const struct val *v, const enum sym *path);

static inline struct sv val_str(const struct val *v)
{
	return v && v->type == VAL_STR ? sv_make(v->s, v->n) : sv_make("", 0);
}

static inline int64_t val_int_or(const struct val *v, int64_t or_else)
{
	return v && v->type == VAL_INT ? v->i : or_else;
}

static inline bool val_bool(const struct val *v) /* false when absent */
{
	return v && v->type == VAL_BOOL && v->b;
}

double val_num(const struct val *v); /* int or float, else 0 */
struct sv val_raw(const struct val *v);

static inline bool val_is(const struct val *v, const char *s)
{
	return v && v->type == VAL_STR && sv_is(sv_make(v->s, v->n), s);
}

/* Shorthands for the commonest reads. */
#define val_get_str(v, ...) val_str(val_get((v), __VA_ARGS__))
#define val_get_int(v, or_else, ...) val_int_or(val_get((v), __VA_ARGS__), (or_else))
#define val_get_bool(v, ...) val_bool(val_get((v), __VA_ARGS__))

size_t val_len(const struct val *v);			 /* elements of a list, members of a map; else 0 */
const struct val *val_at(const struct val *v, size_t i); /* list element or NULL */

/* Elements of a list: VAL_EACH(containers, c) use(c); nothing when it is no list. */
#define VAL_EACH(list, it)                                                             \
	for (const struct val *it = val_type(list) == VAL_LIST ? (list)->items : NULL, \
			      *it##_end = it ? it + (list)->n : NULL;                  \
	     it != it##_end; it++)

/* Members of a map, in order: VAL_EACH_MEMBER(labels, m) use(m.key, m.value); */
struct val_iter {
	const struct val *at, *end;
	enum sym sym;  /* SYM_NONE for a string key, which may be the name of a late symbol */
	struct sv key; /* always set */
	struct val *value;
};
struct val_iter val_iter(const struct val *map);
bool val_iter_next(struct val_iter *it);
int val_iter_order(const void *a, const void *b); /* of two, by key, for qsort() */
#define VAL_EACH_MEMBER(map, m) for (struct val_iter m = val_iter(map); val_iter_next(&m);)

/* Deep equality: maps as sets of members, an int and a float as doubles, raw by its parsed value. */
bool val_equal(const struct val *a, const struct val *b);
/* Deep equality where an absent member, a null and an empty string, list or map are one: what the API leaves out
 * or writes out as it likes. */
bool val_same(const struct val *x, const struct val *y);

/* Equal values (val_equal) have equal hashes; seeded as the maps of base/strmap.h are. */
uint64_t val_hash(const struct val *v);

/* A document from a client may have so many values; the largest objects in use, CustomResourceDefinitions, have some
 * 25,000. Members below fieldsV1 are not counted: they name what the document has once more for each manager. Decoders
 * count when they are told to, with a budget of this limit, and so do those who make one document of two. */
#define DOC_VALUES_MAX 100000
extern const struct budget_limit doc_values_limit; /* ERR_TOO_LARGE */
/* How many values v is made of, itself included: pays for them. 0 or -1. */
int val_count(struct budget *b, const struct val *v, struct err *err);

/* Is v nested more than depth levels of lists and maps? Itself looks no deeper than that. */
bool val_deeper_than(const struct val *v, unsigned depth);

/* As Go prints the decoded value with %v: "map[a:1 b:[x y]]". */
struct sv val_go_text(struct arena *a, const struct val *v);

/* --- building; a is the arena the document lives in --- */

struct val *val_new_map(struct arena *a);
struct val *val_new_list(struct arena *a);
struct val *val_new_str(struct arena *a, struct sv s);	   /* copies s */
struct val *val_new_str_ref(struct arena *a, struct sv s); /* borrows s for the arena's life */
struct val *val_new_strf(struct arena *a, const char *fmt, ...) _printf_(2, 3);
struct val *val_new_int(struct arena *a, int64_t i);
struct val *val_new_float(struct arena *a, double d);
struct val *val_new_bool(struct arena *a, bool b);
struct val *val_new_null(struct arena *a);
struct val *val_new_raw(struct arena *a, struct sv json); /* copies */

/* Sets member key of map to a shallow copy of *v and returns the copy's place inside map:
 * a view until the next member is added to map (members move when their array grows). To fill a
 * nested map, build it first or use val_set_map()'s return value before adding siblings.
 * v's children become shared: do not go on changing v through the old pointer. v NULL sets null. */
struct val *val_set(struct arena *a, struct val *map, enum sym key, const struct val *v);
struct val *val_set_sv(struct arena *a, struct val *map, struct sv key, const struct val *v); /* copies key */
struct val *val_push(struct arena *a, struct val *list, const struct val *v);		      /* same rules */

void val_set_str(struct arena *a, struct val *map, enum sym key, struct sv s); /* copies s */
void val_set_cstr(struct arena *a, struct val *map, enum sym key, const char *s);
void val_set_strf(struct arena *a, struct val *map, enum sym key, const char *fmt, ...) _printf_(4, 5);
void val_set_int(struct arena *a, struct val *map, enum sym key, int64_t i);
void val_set_bool(struct arena *a, struct val *map, enum sym key, bool b);
struct val *val_set_map(struct arena *a, struct val *map, enum sym key);	   /* new empty map member */
struct val *val_set_list(struct arena *a, struct val *map, enum sym key);	   /* new empty list member */
void val_set_str_sv(struct arena *a, struct val *map, struct sv key, struct sv s); /* labels, data */
/* The member, made an empty map when absent (or not a map). */
struct val *val_ensure_map(struct arena *a, struct val *map, enum sym key);
struct val *val_ensure_list(struct arena *a, struct val *map, enum sym key);

bool val_del(struct val *map, enum sym key); /* true when it was there; order kept */
bool val_del_sv(struct val *map, struct sv key);
/* Removes the members for which drop() says so, all in one pass; it may change what a member holds. */
void val_del_if(struct val *map, bool (*drop)(const struct val_iter *m, void *ctx), void *ctx);
void val_list_remove(struct val *list, size_t i);
void val_list_insert(struct arena *a, struct val *list, size_t i, const struct val *v);

/* For changing a document in place: the same lookups on a mutable tree. */
struct val *val_member_mut(struct val *v, enum sym key);
struct val *val_member_sv_mut(struct val *v, struct sv key);
struct val *val_path_mut(struct val *v, const enum sym *path);
#define val_get_mut(v, ...) val_path_mut((v), (const enum sym[]){ __VA_ARGS__, SYM_NONE })
struct val *val_at_mut(struct val *v, size_t i);

/* Deep copy into a: nodes and strings. The way from an immutable document to one to change. */
struct val *val_clone(struct arena *a, const struct val *v);
/* Nodes copied, strings borrowed from v, which must outlive the arena (see arena_defer). */
struct val *val_clone_nodes(struct arena *a, const struct val *v);
/* The same with every map's members in the order of their keys' bytes: what Go's encoder makes of a map. */
struct val *val_sorted(struct arena *a, const struct val *v);
/* Copies in place what of v is frozen, nodes alone, so that all of it can be changed. NULL is fine. */
void val_thaw(struct arena *a, struct val *v);
