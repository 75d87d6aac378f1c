/* api_set.h - which kinds there are, as one immutable snapshot.
 *
 *	generated tables ──▶ built-in set          (no copies, never freed)
 *	                          │ api_set_with(kinds)     api_set_without(kinds)
 *	                          ▼
 *	                     set 1 ─────▶ set 2 ─────▶ ...  each freed with its last holder
 *	                                    ▲
 *	              struct api_current ───┘  api_current_get(): a counted reference, without a lock
 *
 * A request takes the current set once, at its start, and finds everything in it; so it sees the kinds of one moment
 * whatever changes meanwhile. A set holds its kinds, a kind holds its types.
 *
 * Threads: a set may be used by any thread. api_current_get() takes no lock: it is one atomic addition, or, while
 * there are only built-in kinds, one load. Changes are made by one thread at a time, see api_current_change().
 */
#pragma once

#include "base/err.h"
#include "object/api_kind.h"
#include "object/openapi.h"
#include "object/schema.h"

struct api_version {
	const char *group, *version;
	int version_priority;
	const struct resource *const *resources; /* as they were declared */
	size_t n;
};

struct api_group {
	const char *name; /* "" for core */
	int priority;
	const struct api_version *versions; /* preferred first */
	size_t n;
};

struct api_set {
	/* Those that are served: built-in ones in the order of their ids, then by group and plural. */
	const struct resource *const *resources;
	size_t n_resources;
	const struct api_group *groups; /* as discovery orders them; only those with resources */
	size_t n_groups;
	const struct openapi_custom *custom; /* those that are not built in, for openapi.h */
	size_t n_custom;
	size_t n_late; /* kinds that are not built in, also those without a served version; 0: the built-in set */
};

const struct api_set *api_set_built_in(void);
const struct api_set *api_set_ref(const struct api_set *s);
void api_set_unref(const struct api_set *s); /* NULL is fine */

/* old and these kinds, of which there is one at least, each with all its versions: kinds are named by their storage
 * versions, here and below. NULL: *err names the one that old has already (ERR_ALREADY_EXISTS). */
const struct api_set *api_set_with(const struct api_set *old, struct api_kind *const *kinds, size_t n, struct err *err);
/* old without these kinds; those that it has not are passed over. */
const struct api_set *api_set_without(const struct api_set *old, struct api_kind *const *kinds, size_t n);

/* What a server keeps with a set, made before anybody else has the set; freed with it. Not for the built-in one. */
void api_set_attach(const struct api_set *s, void *state, void (*state_free)(void *state));
void *api_set_state(const struct api_set *s); /* NULL: none */

/* --- lookups; s NULL: the built-in set. Results live as long as s. --- */

const struct resource *api_find_late(const struct api_set *s, struct sv group, struct sv version,
				     struct sv plural); /* only of kinds that are not built in */
static inline const struct resource *api_find(const struct api_set *s, struct sv group, struct sv version,
					      struct sv plural)
{
	const struct resource *r = resource_find(group, version, plural);

	return r || !s || !s->n_custom ? r : api_find_late(s, group, version, plural);
}
const struct resource *api_find_kind(const struct api_set *s, struct sv group, struct sv version, struct sv kind);
/* Of two versions by their names, as discovery orders them: v2 before v1 before v1beta2; negative: x comes first. */
int api_version_order(const char *x, const char *y);
/* Is r's kind there? Also of a version that is not served: it is known of what is stored, and found by nobody. */
bool api_has(const struct api_set *s, const struct resource *r);
const struct api_group *api_group_of(const struct api_set *s, struct sv group); /* NULL: nobody serves it */
const struct api_version *api_served(const struct api_set *s, struct sv group, struct sv version);

#define API_EACH(s, r)                                                         \
	for (const struct resource *const *r##_at = (s)->resources, *r = NULL; \
	     r##_at < (s)->resources + (s)->n_resources && (r = *r##_at); r##_at++)

/* --- the current one of a server --- */

struct api_current; /* opaque */

struct api_current *api_current_new(void); /* holds the built-in set */
struct api_current *api_current_free(struct api_current *c);
/* A reference for the caller. c NULL: the built-in set. */
const struct api_set *api_current_get(struct api_current *c);

/* Changes come one at a time: who makes one holds this from before it reads what there is until after the swap.
 * Listeners run within. */
void api_current_change(struct api_current *c); /* NULL is fine for both */
void api_current_done(struct api_current *c);
/* now_take becomes the current set, and listeners hear of it in the order they came. */
void api_current_swap(struct api_current *c, const struct api_set *now_take);

/* Told of every change, on the thread that makes it; must not make one itself. Both sets live during the call. */
struct api_listener {
	void (*changed)(const struct api_set *was, const struct api_set *now, void *ctx);
	void *ctx;
	struct api_listener *next; /* ours */
};
/* From now on l hears of changes; first, within the call, of what there is now as a change from the built-in set,
 * unless it is that. c NULL for both: nothing ever changes. */
void api_current_listen(struct api_current *c, struct api_listener *l);
void api_current_unlisten(struct api_current *c, struct api_listener *l); /* no call runs after it returns */
