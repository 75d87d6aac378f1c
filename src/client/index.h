/* index.h - the keyed object store inside an informer: objects by "namespace/name", by
 * namespace, and by any number of secondary indexes.
 *
 * An entry keeps its place while its object is replaced by newer versions, and an index is
 * touched only when the keys it takes from the object changed: status updates, the bulk of all
 * events, cost one pointer. An entry knows its places, so that leaving a bucket costs the same
 * whatever else is in it. Not thread-safe: the informer's lock protects it.
 */
#pragma once

#include "base/arena.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "object/obj.h"

/* What an index takes from an object: views into it, or into the arena for keys that are made. An empty key is none,
 * and of one that is added several times in a row the object is found once. */
struct index_keys {
	struct arena arena;
	VEC(struct sv) keys;
};
void index_keys_add(struct index_keys *k, struct sv key);
/* "ns/name", as the index "by namespace and name" of what an object refers to. */
void index_keys_add_ref(struct index_keys *k, struct sv ns, struct sv name);

typedef void index_key_fn(const struct obj *o, struct index_keys *ret);

struct index_bucket;

struct index_place {
	struct index_bucket *bucket;
	uint32_t at; /* in the bucket */
	uint32_t by; /* the index it belongs to */
};

struct index_entry {
	struct obj *obj; /* owned reference */
	unsigned mark;	 /* generation of the last full list that held it */
	uint32_t n_places, cap;
	struct index_place *places; /* owned */
};

struct index_member {
	struct index_entry *entry;
	uint32_t place; /* of the entry's, which is this one */
};

struct index_bucket {
	struct index_member *members; /* owned */
	uint32_t n, cap;
	size_t key_n;
	char key[];
};

struct index_by {
	char *name;
	index_key_fn *key_fn;
	struct strmap buckets; /* key -> struct index_bucket * */
};

struct index {
	struct strmap entries;	   /* "ns/name" -> struct index_entry * */
	VEC(struct index_by) by;   /* by.p[0] is the namespace index */
	struct index_keys was, is; /* scratch */
};

void index_init(struct index *x);
void index_release(struct index *x);
void index_add(struct index *x, const char *name, index_key_fn *fn); /* of what is there, too */
struct index_entry *index_find(const struct index *x, struct sv ns, struct sv name);
/* Stores o (a new reference). Returns the object it replaced (caller unrefs) or NULL; *ret_entry is optional. */
struct obj *index_put(struct index *x, struct obj *o, struct index_entry **ret_entry);
struct obj *index_del(struct index *x, struct sv ns, struct sv name); /* what was there (caller unrefs) or NULL */
const struct index_bucket *index_bucket(const struct index *x, const char *name, struct sv key); /* or NULL */
bool index_has_keys(const struct index *x, const char *name); /* any object with any key? */
