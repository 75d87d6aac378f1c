/* pv_shelf.h - objects on shelves, each shelf in order of size: free volumes, and claims that wait for one.
 *
 * A claim that looks at every volume, and a volume that wakes every claim, are quadratic together. What must be equal
 * for two to fit (class, mode) is the shelf's name, and on it the smallest that is large enough is found by halving.
 * What a name cannot say, such as a selector, the visitor decides.
 *
 * Not thread-safe. Holds a reference on each object.
 */
#pragma once

#include "base/strmap.h"
#include "object/obj.h"

struct pv_shelf_entry {
	char *key; /* owned */
	struct obj *o;
	int64_t bytes;
	struct pv_shelf *shelf; /* NULL: it is on none */
};

struct pv_shelves {
	struct strmap shelves; /* name -> struct pv_shelf */
	struct strmap entries; /* key -> struct pv_shelf_entry */
};

void pv_shelves_release(struct pv_shelves *s);
/* Puts o on a shelf, away from where it was. An older version than what is there changes nothing. */
void pv_shelves_put(struct pv_shelves *s, struct sv shelf, struct sv key, int64_t bytes, struct obj *o);
void pv_shelves_del(struct pv_shelves *s, struct sv key);
bool pv_shelves_has(const struct pv_shelves *s, struct sv key);

/* The first that `wanted` takes: of at least min bytes from the smallest on (up), or of at most max bytes from the
 * largest on (down). Borrowed, or NULL. */
struct obj *pv_shelves_up(const struct pv_shelves *s, struct sv shelf, int64_t min,
			  bool (*wanted)(const struct obj *o, void *ctx), void *ctx);
struct obj *pv_shelves_down(const struct pv_shelves *s, struct sv shelf, int64_t max,
			    bool (*wanted)(const struct obj *o, void *ctx), void *ctx);
