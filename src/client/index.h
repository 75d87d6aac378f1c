/* index.h - the keyed object store inside an informer: objects by "namespace/name", by
 * namespace, and by any number of secondary indexes.
 *
 * An entry keeps its place while its object is replaced by newer versions, and an index is
 * touched only when the keys it takes from the object changed: status updates, the bulk of all
 * events, cost one pointer. Not thread-safe: the informer's lock protects it.
 */
#pragma once

#include "base/arena.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "object/obj.h"

#define INDEX_KEYS_MAX 8

typedef size_t index_key_fn(const struct obj *o, struct sv keys[INDEX_KEYS_MAX]);

struct index_entry {
	struct obj *obj; /* owned reference */
	unsigned mark;	 /* generation of the last full list that held it */
};

struct index_bucket {
	VEC(struct index_entry *) entries;
};

struct index_by {
	char *name;
	index_key_fn *key_fn;
	struct strmap buckets; /* key -> struct index_bucket * */
};

struct index {
	struct strmap entries;	 /* "ns/name" -> struct index_entry * */
	VEC(struct index_by) by; /* by.p[0] is the namespace index */
};

void index_init(struct index *x);
void index_release(struct index *x);
void index_add(struct index *x, const char *name, index_key_fn *fn); /* while it is empty */
struct index_entry *index_find(const struct index *x, struct sv ns, struct sv name);
/* Stores o (a new reference). Returns the object it replaced (caller unrefs) or NULL; *ret_entry is optional. */
struct obj *index_put(struct index *x, struct obj *o, struct index_entry **ret_entry);
struct obj *index_del(struct index *x, struct sv ns, struct sv name); /* what was there (caller unrefs) or NULL */
const struct index_bucket *index_bucket(const struct index *x, const char *name, struct sv key); /* or NULL */
