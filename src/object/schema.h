/* schema.h - the shape of API types and resources as constant tables.
 *
 * The .api files compile at build time (tools/gen_schema.py) into the tables declared
 * here; schema_build.h makes the same structs at run time. Generic
 * algorithms (decode and strict validation, defaulting, declarative validation, merge patch,
 * server-side apply, OpenAPI, explain, protobuf) walk them; none knows a kind by name.
 *
 * Everything here is immutable. What is made at run time lives as long as its kind (api_kind.h).
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "codec/doc.h"

enum field_kind {
	FIELD_BOOL,
	FIELD_INT32,
	FIELD_INT64,
	FIELD_FLOAT64,
	FIELD_STRING,
	FIELD_BYTES,	 /* base64 text in JSON */
	FIELD_TIME,	 /* RFC 3339, seconds; null and absent are the same */
	FIELD_MICROTIME, /* RFC 3339 with microseconds */
	FIELD_DURATION,	 /* metav1.Duration: Go duration text */
	FIELD_QUANTITY,	 /* text; a JSON number is accepted and becomes text */
	FIELD_INT_OR_STRING,
	FIELD_RAW,    /* any JSON value, kept as a document: RawExtension, JSON, FieldsV1 */
	FIELD_STRUCT, /* type */
	_FIELD_KIND_MAX
};

enum field_card { CARD_ONE, CARD_LIST, CARD_MAP /* string keys */ };

/* Server-side apply topology of lists (x-kubernetes-list-type) and maps and structs. */
enum field_topology { TOPO_DEFAULT, TOPO_ATOMIC, TOPO_SET, TOPO_MAP, TOPO_GRANULAR };

enum field_flag {
	FF_REQUIRED = 1 << 0,	 /* in OpenAPI's required list; with FF_POINTER, for one value, asked for as well */
	FF_POINTER = 1 << 1,	 /* absent and zero are distinct: zero is kept and encoded */
	FF_OMITEMPTY = 1 << 2,	 /* a zero value is left out of JSON */
	FF_PATCH_MERGE = 1 << 3, /* strategic merge patch: merge (by merge_key when set) */
	FF_PATCH_REPLACE = 1 << 4,
	FF_PATCH_RETAIN_KEYS = 1 << 5,
	FF_IMMUTABLE = 1 << 6,
	FF_ENUM = 1 << 7,	/* enum_values is a closed set, checked */
	FF_DEPRECATED = 1 << 8, /* for readers of the tables: no algorithm asks */
	FF_HIDDEN = 1 << 9,	/* not in JSON */
	FF_NONEMPTY = 1 << 10,	/* validation: absent or empty is "Required value" */
	FF_UNASKED = 1 << 11,	/* FF_REQUIRED and FF_POINTER, and still nothing asks for it when it is absent */
	FF_BOXED = 1 << 12,	/* protobuf: the list is a message of its own, { items 1 } */
};

/* Formats that the declarative validator knows (see validate.h); FMT_NONE checks nothing. */
enum field_format {
	FMT_NONE,
	FMT_DNS_LABEL,	   /* RFC 1123 label */
	FMT_DNS_SUBDOMAIN, /* RFC 1123 subdomain */
	FMT_DNS1035_LABEL,
	FMT_QUALIFIED_NAME,
	FMT_LABEL_VALUE,
	FMT_PORT,      /* 1..65535 */
	FMT_PORT_NAME, /* IANA service name */
	FMT_IP,
	FMT_CIDR,
	FMT_LABELS, /* map of qualified names to label values */
	FMT_NONNEGATIVE,
	FMT_POSITIVE,
	_FIELD_FORMAT_MAX
};

struct schema;
struct structural;

struct field {
	enum sym sym;		   /* JSON name: of any sort that codec/symbol.h knows */
	uint8_t gate;		   /* enum feature: while it is off decode_typed() leaves it out (field_on()) */
	const struct schema *type; /* FIELD_STRUCT; FIELD_RAW: the opaque type, without fields */
	const char *doc;	   /* one line, ours */
	const char
	    *json_default; /* JSON text set when absent or zero (a scalar with FF_POINTER: only when absent); or NULL */
	const enum sym *list_keys;	/* TOPO_MAP: SYM_NONE-terminated, else NULL */
	const char *const *enum_values; /* NULL-terminated, or NULL */
	enum sym merge_key;		/* strategic merge, or SYM_NONE */
	uint16_t number;		/* protobuf field number; 0: not on the wire */
	uint16_t via; /* protobuf: number of the message it is nested in (a Go inlined struct); 0: none. The high byte:
			 of one inside that, in which it is */
	uint16_t flags;	       /* enum field_flag */
	uint8_t kind;	       /* enum field_kind */
	uint8_t card;	       /* enum field_card */
	uint8_t topology;      /* enum field_topology */
	uint8_t elem_topology; /* of the struct itself: structType=atomic, or of map values */
	uint8_t format;	       /* enum field_format, of the value or of each element */
	uint8_t inner_card;    /* map of lists (UserInfo.extra): CARD_LIST, else CARD_ONE */
};

struct schema {
	const char *ref;     /* "core/v1.PodSpec", as in the api files; the machinery is "meta/v1.X" */
	const char *openapi; /* "io.k8s.api.core.v1.PodSpec" */
	const char *doc;
	const struct field *fields; /* in declaration (= JSON encoding) order, inlined types flattened */
	uint16_t n_fields;
	bool root;     /* has apiVersion and kind */
	bool atomic;   /* structType=atomic on the type */
	bool defaults; /* a field of it, at any depth, has a json_default */
	bool open;     /* objects may have members that it does not know, of any form */
	bool late;     /* made at run time (schema_build.h): documents may have its members as text */
	/* Of the root type of a custom kind: what its objects look like is said by this (structural.h), and fields are
	 * there for who owns what, for selection and OpenAPI alone. NULL: a typed kind, as most. */
	const struct structural *custom;
	uint16_t n_by_text;
	const uint16_t *by_sym;	 /* indices into fields, sorted by symbol, for binary search; NULL: search in order */
	const uint16_t *by_text; /* those whose symbol is owned (codec/symbol.h), sorted by name */
	/* Those that have a number, as they are on the wire: by the numbers on the way to them. NULL: the type is not.
	 */
	const uint16_t *by_number;
	uint16_t n_by_number;
};
#define SCHEMA_FIELDS_MAX 96 /* of a built-in type */

const struct field *schema_field(const struct schema *s, enum sym name); /* NULL when it has none */
const struct field *schema_field_late(const struct schema *s, struct sv name);

/* The field that a member of a document is: sym and key as struct val_iter has them. NULL when it is none. */
static inline const struct field *schema_member(const struct schema *s, enum sym sym, struct sv key)
{
	const struct field *f = sym ? schema_field(s, sym) : NULL;

	return f || !s || !s->late ? f : schema_field_late(s, key);
}

const struct field *schema_field_named(const struct schema *s, struct sv name);
/* Of a root type: what a writer of the object says, beside its metadata. */
static inline bool schema_own_field(const struct field *f)
{
	return f->sym != F_metadata && f->sym != F_status && f->sym != F_apiVersion && f->sym != F_kind;
}

/* The members of a map, asked for in the order of its type's fields. Documents mostly are in that order
 * (decode_typed(), order_typed()): then no member is searched for.
 *
 *	struct in_order it = in_order(a, s, map);
 *	for (size_t i = 0; i < s->n_fields; i++)
 *		v = in_order_next(&it, &s->fields[i]);
 *
 * Of others with many members it is noted first, in a, where each is: those of kinds made at run time have theirs as
 * text, and as many as their author likes. Meanwhile map may get new members, nothing else. map may be NULL. */
struct in_order {
	const struct val *map;
	const struct schema *s;
	const uint32_t *places; /* by field: the node of map, from 1; NULL: they are few */
	uint32_t at, n;		/* nodes of map: the next one, and how many there were */
	bool ordered;		/* by now: all members are fields, and in order */
};
struct in_order in_order(struct arena *a, const struct schema *s, const struct val *map);
/* The same for who knows that map is in order, as order_typed() has just been along it: nothing is looked at first. */
static inline struct in_order in_order_known(const struct schema *s, const struct val *map)
{
	return (struct in_order){ .map = map, .s = s, .n = val_type(map) == VAL_MAP ? map->n : 0, .ordered = true };
}

/* One that is not in order. */
static inline const struct val *in_order_search(const struct in_order *it, const struct field *f)
{
	uint32_t place;

	if (!it->places)
		return val_member(it->map, f->sym);
	place = it->places[f - it->s->fields];
	return place ? &it->map->items[place - 1] : NULL;
}

static inline const struct val *in_order_next(struct in_order *it, const struct field *f)
{
	if (!it->ordered)
		return in_order_search(it, f);
	return it->at < it->n && it->map->items[it->at].sym == (uint32_t)f->sym ? &it->map->items[it->at++] : NULL;
}
/* From field i on the first that the map has, or that has one of `flags` (any) or none of them (!any): over the others,
 * which are most, who goes along the fields may step. Only while no other map is asked in the same steps. */
static inline size_t in_order_skip(const struct in_order *it, size_t i, unsigned flags, bool any)
{
	uint32_t sym = it->at < it->n ? it->map->items[it->at].sym : 0;
	const struct field *f = it->s->fields;
	size_t n = it->s->n_fields;

	while (it->ordered && i < n && (uint32_t)f[i].sym != sym && ((f[i].flags & flags) != 0) != any)
		i++;
	return i;
}

/* All members of a map at once: slots, zeroed, gets each at the index of its field. False when some members are no
 * fields of the type; the others are in their slots then. map may be NULL. */
bool schema_slots(const struct schema *s, const struct val *map, const struct val **slots);

/* Members of which a type has exactly one; those of the built-in types are named in resources.h. */
struct schema_union {
	const char *noun;	 /* "volume type" */
	const enum sym *members; /* in the order in which they are looked for; ends with SYM_NONE */
};

const struct schema *schema_find(struct sv ref);
/* All types, sorted by ref; ends with NULL. */
extern const struct schema *const schema_all[];
extern const size_t schema_count;

/* --- resources --- */

enum verb {
	VERB_GET,
	VERB_LIST,
	VERB_WATCH,
	VERB_CREATE,
	VERB_UPDATE,
	VERB_PATCH,
	VERB_DELETE,
	VERB_DELETECOLLECTION,
	_VERB_MAX
};
const char *verb_name(enum verb v); /* "deletecollection" */

struct jsonpath;

/* A printer column of Table output. The cell comes from `path` when set: .a.b[0].c, alone or in age(), len(), or(),
 * names(), images(), labels() or selector() (api/README.md); else from the kind's own C printer. */
struct column {
	const char *name;
	const char *type;   /* "string", "integer", "number", "boolean", "date" */
	const char *format; /* "name" or "" */
	const char *doc;
	const char *path;	     /* NULL: src/print/ computes it */
	int priority;		     /* > 0: only with -o wide */
	const struct jsonpath *json; /* instead of path: of a kind made at run time (object/jsonpath.h) */
};

struct subresource {
	const char *name; /* "status" */
	const char *kind, *group, *version;
	const struct schema *schema; /* of its body; NULL when it has none (log, proxy) */
	uint16_t verbs;		     /* bits 1 << enum verb */
};

struct resource {
	const char *group;   /* "" for core */
	const char *version; /* "v1" */
	const char *plural, *singular, *kind, *list_kind;
	const struct schema *schema;
	const char *const *short_names; /* NULL-terminated */
	const char *const *categories;	/* NULL-terminated */
	const struct subresource *subresources;
	const struct column *columns;
	const char *const
	    *selectable_fields; /* field selector labels beyond metadata.name and .namespace; NULL-terminated */
	const char *storage_version_hash; /* base64, as in discovery; "" when not stored */
	/* What stands for it in the store's keys (apiserver/storekey.h): its plural, or what the api folder says. Of
	 * kinds that come at run time "GROUP/PLURAL". */
	const char *store_path;
	uint16_t n_subresources, n_columns;
	uint16_t verbs; /* bits 1 << enum verb */
	uint16_t id;	/* its index in resource_all; R_COUNT: made at run time (api_kind.h) */
	bool namespaced;
	bool has_status;
	bool optin;   /* its version is served only where --runtime-config says so (served.h) */
	uint8_t gate; /* enum feature: without it it is not served; FG_NONE: no condition */
};

struct group_version {
	const char *group, *version;
	int group_priority, version_priority; /* order in discovery, higher first */
};

extern const struct resource resource_all[]; /* indexed by enum resource_id (generated) */
extern const size_t resource_count;
extern const struct group_version group_version_all[];
extern const size_t group_version_count;

/* Generated ids R_<group's first label>_<plural>: R_core_pods, R_apps_deployments; with _<version> when another
 * version of the group is preferred. */
#include "resources.h" /* generated: enum resource_id, RES(id) needs resource_all */
#define RES(id) (&resource_all[R_##id])

/* Among the built-in ones that are served (served.h); see api_set.h for all. */
const struct resource *resource_find(struct sv group, struct sv version, struct sv plural);
const struct resource *resource_find_kind(struct sv group, struct sv version, struct sv kind);
const struct subresource *resource_subresource(const struct resource *r, struct sv name);

/* "v1" or "apps/v1" split into group and version; false when malformed. */
bool api_version_split(struct sv api_version, struct sv *ret_group, struct sv *ret_version);
/* The package that upstream keeps a group's types in, which its messages name: "core", "apps", "rbac". */
struct sv api_group_package(struct sv group);
const char *resource_api_version(const struct resource *r, char *out, size_t n); /* "apps/v1" */
