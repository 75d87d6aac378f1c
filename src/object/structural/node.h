/* node.h - the compiled schema itself; only for the files of this folder.
 *
 * A node is one schema, wherever it stands: of the object, of a property, of elements, in a junctor. It keeps the value
 * it was made of (src) and has of it what every walk asks for. What only validation asks for is behind bounds, which
 * most nodes do not have.
 *
 * props are the names that the schema says something about, sorted: its properties, and what it only requires (node
 * NULL). So one pass over an object's members, a binary search each, answers all questions about names.
 */
#pragma once

#include "object/oas_format.h"
#include "object/structural.h"

#include <stdatomic.h>
#include <stdlib.h>

enum snode_type { ST_ANY, ST_OBJECT, ST_ARRAY, ST_STRING, ST_INTEGER, ST_NUMBER, ST_BOOLEAN, ST_INT_OR_STRING };
enum snode_list { SL_NONE, SL_ATOMIC, SL_SET, SL_MAP };

enum snode_flag {
	SN_NULLABLE = 1 << 0,
	SN_PRESERVE = 1 << 1,	/* x-kubernetes-preserve-unknown-fields */
	SN_EMBEDDED = 1 << 2,	/* x-kubernetes-embedded-resource */
	SN_ADDITIONAL = 1 << 3, /* additionalProperties is there: true, false or a schema */
	SN_CLOSED = 1 << 4,	/* and is false */
	SN_DEFAULTS = 1 << 5,	/* it or something below it has a default */
	SN_EMBEDS = 1 << 6,	/* it or something below it is an embedded resource */
	SN_LISTS = 1 << 7,	/* it or something below it is a set or a map */
	SN_RULES = 1 << 8,	/* it or something below it has rules, junctors included */
};

struct snode;

struct sprop {
	struct sv name;
	const struct snode *node;
};

enum sbound_flag {
	SB_MAX = 1 << 0,
	SB_MAX_EXCLUSIVE = 1 << 1,
	SB_MIN = 1 << 2,
	SB_MIN_EXCLUSIVE = 1 << 3,
	SB_MULTIPLE = 1 << 4,
	SB_MAX_LENGTH = 1 << 5,
	SB_MIN_LENGTH = 1 << 6,
	SB_MAX_ITEMS = 1 << 7,
	SB_MIN_ITEMS = 1 << 8,
	SB_MAX_PROPERTIES = 1 << 9,
	SB_MIN_PROPERTIES = 1 << 10,
	SB_UNIQUE = 1 << 11,
};

struct sjunctor {
	const struct snode *const *of;
	size_t n;
};

struct sbounds {
	unsigned flags; /* enum sbound_flag */
	double max, min, multiple;
	int64_t max_length, min_length, max_items, min_items, max_properties, min_properties;
	const struct val *one_of_values; /* enum; NULL: none */
	const uint32_t *required;	 /* places in props, in the schema's order */
	size_t n_required;
	struct sv pattern;
	const struct oas_format *format; /* of text */
	struct sv format_name;		 /* also of numbers: "int32", "double"; empty when it means nothing */
	struct sjunctor any, one, all;
	const struct snode *never; /* not */
};

struct snode {
	const struct val *src;
	const struct sprop *props;
	const struct snode *items, *additional;
	struct sbounds *bounds;	   /* NULL: none */
	const struct val *dflt;	   /* default, pruned; NULL: none */
	const struct val *map_key; /* list-map-keys; of SL_MAP */
	uint32_t dflt_weight;	   /* what dflt adds to a document: its values, and some for its texts */
	uint32_t rules;		   /* number of its rule set, from 1 (rules.h); 0: it has no rules itself */
	uint32_t n_props;
	uint16_t flags; /* enum snode_flag */
	uint8_t type;	/* enum snode_type */
	uint8_t list;	/* enum snode_list */
};

/* A whole schema, in an arena of its own. */
struct stree {
	struct arena arena;
	struct snode *root;
	uint32_t n_rules; /* nodes with rules */
};

struct rules;

struct structural {
	const struct val *openapi;     /* it is made of this; NULL: an object of any members */
	_Atomic(struct stree *) tree;  /* compiled when it is first asked for, a large one at once */
	_Atomic(struct rules *) rules; /* compiled when an object is first validated */
};
DEFINE_CLEANUP(struct structural *, structural_releasep, structural_release)

/* That of s, compiled now or before: most kinds of a cluster have no objects, and need none. */
const struct stree *structural_tree(const struct structural *s);
void stree_free(struct stree *t); /* NULL is fine */

/* Place of a name in n->props, or -1. */
ssize_t snode_find(const struct snode *n, struct sv name);
/* The schema of a member: of its property, or of all others; NULL: nothing is said about it. */
const struct snode *snode_member(const struct snode *n, struct sv name);
/* Of a property alone. */
const struct snode *snode_property(const struct snode *n, struct sv name);

/* Which of n->props are there: a set of their places. Small ones live on the stack. */
struct sprop_set {
	uint64_t few[8], *bits;
};
static inline void sprop_set_release(struct sprop_set *s)
{
	if (s->bits != s->few)
		free(s->bits);
}
void sprop_set_init(struct sprop_set *s, const struct snode *n);
static inline void sprop_set_add(struct sprop_set *s, size_t i)
{
	s->bits[i / 64] |= UINT64_C(1) << i % 64;
}
static inline bool sprop_set_has(const struct sprop_set *s, size_t i)
{
	return s->bits[i / 64] >> i % 64 & 1;
}

/* The path of errors about the whole object, as upstream prints it. */
extern const struct fpath snode_nowhere;
static inline const struct fpath *snode_path(const struct fpath *at)
{
	return at ? at : &snode_nowhere;
}
