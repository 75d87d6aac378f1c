/* value.h - values of expressions, 24 bytes each.
 *
 * A value is a number, a time, a view of a string, or a pointer to something immutable. Documents (struct val) are not
 * converted: a list, map or object made of one is the node and its type, and members become values as they are read.
 * Values are copied freely and own nothing: what they point at lives in the arena of the run, in the document, or in
 * the program. All of it is valid until the run's arena is reset.
 *
 * Types are trees of struct cel_type; those of schemas carry the largest size that the schema allows, which estimates
 * use and checks ignore. Compare types by cel_type_same(), never by pointer.
 *
 * Threads: values and types are immutable once made.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "codec/doc.h"

enum cel_kind {
	CEL_NULL,
	CEL_BOOL,
	CEL_INT,
	CEL_UINT,
	CEL_DOUBLE,
	CEL_STRING,
	CEL_BYTES,
	CEL_LIST,
	CEL_MAP,
	CEL_OBJECT, /* a document's map, or a literal, with declared fields */
	CEL_TIMESTAMP,
	CEL_DURATION,
	CEL_OPTIONAL,
	CEL_TYPE,   /* the value of type(x); as a type: type(T) */
	CEL_OPAQUE, /* a library's own: quantity, IP address, authorizer */
	/* Of types only. */
	CEL_DYN,
	CEL_PARAM,   /* a letter in a function's declaration */
	CEL_ERRTYPE, /* of a node that has an error already: goes with everything */
	_CEL_KIND_MAX
};

/* List semantics of x-kubernetes-list-type: what == and + mean. */
enum cel_list_type { CEL_LIST_ATOMIC, CEL_LIST_SET, CEL_LIST_MAP };

#define CEL_SIZE_UNKNOWN UINT64_MAX

struct cel_type {
	uint8_t kind;	   /* enum cel_kind */
	uint8_t list_type; /* enum cel_list_type */
	bool int_or_string;
	bool preserve;	     /* of objects: any field is there, of type dyn (mutating policies' Object) */
	uint8_t n_list_keys; /* of CEL_LIST_MAP */
	uint16_t weight;     /* types it is made of; what expressions make and is heavier than 1,000 becomes dyn */
	uint32_t n_fields;
	uint64_t max_size;		  /* most elements, code points, bytes; CEL_SIZE_UNKNOWN */
	uint64_t min_serialized;	  /* fewest bytes of such a value in a request; estimates divide by it */
	struct sv name;			  /* of objects, opaque types and parameters */
	const struct cel_type *params[2]; /* list, optional, type: one; map: key and value */
	const struct cel_field *fields;	  /* sorted by name */
	const struct sv *list_keys;	  /* as the document spells them */
	const struct cel_opaque *opaque;
	const struct cel_type *owner; /* of a schema: what it is in; the full name is the owner's, a dot, name */
};

struct cel_field {
	struct sv name; /* as expressions write it, escaped */
	struct sv key;	/* as the document has it */
	const struct cel_type *type;
	bool required;
	const struct val *dflt; /* default of the schema or NULL */
};

/* What a library says of its own type. */
struct cel_opaque {
	struct cel_type type; /* kind CEL_OPAQUE, name; opaque points back here */
	bool (*equal)(const void *a, const void *b);
	struct sv (*text)(struct arena *a, const void *p); /* for messages; may be NULL */
};

enum {
	CEL_V_DOC = 1,	  /* list, map, object: doc below */
	CEL_V_LAZY = 2,	  /* object: fields come from a function */
	CEL_V_JOINED = 4, /* list: of two lists, so that + costs nothing; read it by cel_at() alone */
};

struct cel_call;
struct cel_value;

/* An object whose fields are computed when asked for; field() returns 0, -1 with cel_fail(), or CEL_LATER. The owner
 * remembers what it computed. *ret is left alone and 1 returned when there is no such field. */
struct cel_lazy {
	int (*field)(struct cel_lazy *l, struct cel_call *c, struct sv name, struct cel_value *ret);
};

struct cel_value {
	uint8_t kind; /* enum cel_kind */
	uint8_t flags;
	uint32_t n;		     /* bytes of text, elements, entries; nanoseconds of a timestamp */
	const struct cel_type *type; /* list, map, object, opaque: may be NULL for lists and maps: dyn */
	union {
		bool b;
		int64_t i; /* int; duration: nanoseconds; timestamp: seconds since 1970 */
		uint64_t u;
		double d;
		const char *s; /* not NUL-terminated */
		const struct val *doc;
		const struct cel_value *items; /* list (see flags); optional: the value or NULL for none */
		const struct cel_map *map;     /* map, and object of a literal */
		struct cel_lazy *lazy;
		const void *p;		      /* opaque */
		const struct cel_type *named; /* CEL_TYPE */
	};
};

struct cel_entry {
	struct cel_value key, value;
};
/* A map that an expression made: entries in the order they came, found by hash. */
struct cel_map {
	uint32_t n, n_slots; /* slots: a power of two, or 0 for a map of few entries */
	const struct cel_entry *entries;
	const uint32_t *slots; /* entry + 1, 0 empty */
};

/* --- making --- */

#define CEL_VALUE(k, field, v) ((struct cel_value){ .kind = (k), .field = (v) })
static inline struct cel_value cel_null(void)
{
	return (struct cel_value){ .kind = CEL_NULL };
}
static inline struct cel_value cel_bool(bool b)
{
	return CEL_VALUE(CEL_BOOL, b, b);
}
static inline struct cel_value cel_int(int64_t i)
{
	return CEL_VALUE(CEL_INT, i, i);
}
static inline struct cel_value cel_uint(uint64_t u)
{
	return CEL_VALUE(CEL_UINT, u, u);
}
static inline struct cel_value cel_double(double d)
{
	return CEL_VALUE(CEL_DOUBLE, d, d);
}
static inline struct cel_value cel_duration(int64_t ns)
{
	return CEL_VALUE(CEL_DURATION, i, ns);
}
static inline struct cel_value cel_timestamp(int64_t sec, uint32_t ns)
{
	return (struct cel_value){ .kind = CEL_TIMESTAMP, .n = ns, .i = sec };
}
/* Views: s must live as long as the run. Well-formed UTF-8, at most 4 GB (documents are smaller). */
static inline struct cel_value cel_string(struct sv s)
{
	return (struct cel_value){ .kind = CEL_STRING, .n = (uint32_t)s.n, .s = s.p ? s.p : "" };
}
static inline struct cel_value cel_bytes(struct sv s)
{
	return (struct cel_value){ .kind = CEL_BYTES, .n = (uint32_t)s.n, .s = s.p ? s.p : "" };
}
static inline struct cel_value cel_list(const struct cel_value *items, size_t n)
{
	return (struct cel_value){ .kind = CEL_LIST, .n = (uint32_t)n, .items = items };
}
static inline struct cel_value cel_none(void)
{
	return (struct cel_value){ .kind = CEL_OPTIONAL };
}
struct cel_value cel_some(struct arena *a, struct cel_value v); /* optional of v */
static inline struct cel_value cel_opaque(const struct cel_opaque *o, const void *p)
{
	return (struct cel_value){ .kind = CEL_OPAQUE, .type = &o->type, .p = p };
}
/* Of entries in an arena, keys all different: false and *dup the first that is not. */
bool cel_map_make(struct arena *a, const struct cel_entry *e, size_t n, struct cel_value *ret, struct cel_value *dup);

/* A document as a value of the type; type NULL or dyn: as what it is (maps with string keys, lists, ...). A document
 * that does not fit its type is read as what it is. doc NULL is null. Text of dates, durations and base64 is read here:
 * what is malformed stays a string, as upstream validates formats apart from rules. */
struct cel_value cel_from_doc(struct arena *a, const struct val *doc, const struct cel_type *type);
/* The way back, for results: NULL when the value has no JSON (types, opaque ones), timestamps and durations are text,
 * bytes base64, and map keys text. Not deeper than JSON_DEPTH_MAX. Optionals: their value; none is NULL. */
struct val *cel_to_doc(struct arena *a, const struct cel_value *v);

/* --- reading --- */

static inline struct sv cel_text(const struct cel_value *v) /* of strings and bytes */
{
	return sv_make(v->s, v->n);
}
/* Elements of a list (0 of others), entries of maps and fields of objects. */
size_t cel_count(const struct cel_value *v);
/* Element i < cel_count() of a list. */
struct cel_value cel_at(struct arena *a, const struct cel_value *list, size_t i);
/* Code points of a string. */
size_t cel_runes(struct sv s);
/* What cel-go's size() says: runes of strings, bytes, elements, entries; 1 for all else. The unit of run-time cost. */
uint64_t cel_size(const struct cel_value *v);

/* Equality as == has it: numbers across int, uint and double; lists by their list type; documents of unlike types are
 * unequal. Recursion is bounded by the depth of documents and expressions. Work is linear in the smaller value. */
bool cel_equal(struct arena *a, const struct cel_value *x, const struct cel_value *y);
uint64_t cel_hash(struct arena *a, const struct cel_value *v); /* equal values have equal ones */
/* Order of two numbers, strings, bytes, bools, timestamps, durations: -1, 0, 1; CEL_UNORDERED for unlike kinds and NaN.
 */
#define CEL_UNORDERED 2
int cel_compare(const struct cel_value *x, const struct cel_value *y);

/* The value's type as an expression names it: "int", "list", "google.protobuf.Timestamp", "net.IP". */
struct sv cel_type_name_of(const struct cel_value *v);

/* --- types --- */

extern const struct cel_type cel_t_null, cel_t_bool, cel_t_int, cel_t_uint, cel_t_double, cel_t_string, cel_t_bytes,
    cel_t_timestamp, cel_t_duration, cel_t_dyn, cel_t_error, cel_t_list_dyn, cel_t_map_dyn, cel_t_list_string;

const struct cel_type *cel_type_list(struct arena *a, const struct cel_type *elem);
const struct cel_type *cel_type_map(struct arena *a, const struct cel_type *key, const struct cel_type *value);
const struct cel_type *cel_type_optional(struct arena *a, const struct cel_type *t);
const struct cel_type *cel_type_type(struct arena *a, const struct cel_type *t);
/* An object type of fields in any order; name as errors and type(x) write it. Copies neither names nor types. */
const struct cel_type *cel_type_object(struct arena *a, struct sv name, const struct cel_field *fields, size_t n);
const struct cel_field *cel_type_field(const struct cel_type *t, struct sv name); /* by escaped name; NULL */
bool cel_type_same(const struct cel_type *a, const struct cel_type *b);
/* As errors write it: "list(int)", "map(string, dyn)", "timestamp", "optional_type(string)". */
void cel_type_write(struct buf *b, const struct cel_type *t);
