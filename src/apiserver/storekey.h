/* storekey.h - the keys of objects in the store: made here, and taken apart here.
 *
 *	/registry/PATH/NAMESPACE/NAME	/registry/pods/default/web-0
 *	/registry/PATH/NAME		/registry/minions/node-1
 *
 * PATH is the resource's store_path (object/schema.h), and the layout upstream's, so that one could read the other's
 * database: mostly the plural alone, without a group; a few old names ("minions", "services/specs"); and with the group
 * for what extends the API, which are custom resources and their definitions ("example.com/widgets"). No path begins
 * with another and a slash: a key belongs to one resource. Forms of one object (events of both groups) have one key,
 * that of the resource whose form is stored.
 *
 * Byte order of keys is the order of lists: by namespace, then name.
 *
 * This is layout 1 (store/layout.h). One that changes a path, or what a key is made of, is the next number and says in
 * apiserver_new() which prefixes move.
 *
 * Results are in the arena.
 */
#pragma once

#include "base/arena.h"
#include "object/schema.h"
#include "object/store_key.h"

#define STOREKEY_LAYOUT 1
#define STOREKEY_PATH_PARTS ((size_t)2) /* names in a path, at most */

/* ns does not matter where r is not namespaced. */
struct sv storekey(struct arena *a, const struct resource *r, struct sv ns, struct sv name);
/* What the keys of r in ns ("": of all) begin with, and the first text behind all that begins so. */
struct sv storekey_first(struct arena *a, const struct resource *r, struct sv ns);
struct sv storekey_behind(struct arena *a, struct sv first);
/* The key of "NAMESPACE/NAME" or "NAME", as storekey_split() takes it apart. */
struct sv storekey_at(struct arena *a, const struct resource *r, struct sv rest);
void storekey_split(const struct resource *r, struct sv rest, struct sv *ret_ns, struct sv *ret_name);
/* The first `parts` names of the key behind the root, a view: the path, if that has so many. SV_NULL: it has no more
 * than these, so this is not its path. */
struct sv storekey_path(struct sv key, size_t parts);
