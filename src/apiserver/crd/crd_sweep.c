/* What is stored of a definition that is gone.
 *
 * There should be nothing, as a definition goes after its instances. But somebody may have taken its finalizer, and
 * others that follow other rules may write to the store. It would be found by nobody, and by whoever makes a definition
 * of that name: so it goes, when the definition has gone, and what is older than a definition before that is served.
 * Those keys are the kind's, then: the watch cache has entered it, which it refuses where they are another's, a
 * built-in kind's above all. */
#include "apiserver/crd/crd.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/storekey.h"

#include <stdlib.h>

#define SWEEP_STEP ((size_t)200) /* keys in one write */
#define SWEEP_TRIES 5		 /* while others write them */

struct sweep {
	struct arena arena;
	int64_t before; /* what came into being at or behind this revision stays; 0: nothing does */
	struct store_write w[SWEEP_STEP + 1];
	size_t n;
};

static int sweep_born(const struct store_kv *kv, void *ctx)
{
	int64_t *rev = ctx;

	*rev = kv->create_rev;
	return 0;
}

static int sweep_see(const struct store_kv *kv, void *ctx)
{
	struct sweep *sw = ctx;

	if (sw->before && kv->create_rev >= sw->before)
		return 0;
	sw->w[sw->n++] =
	    (struct store_write){ .key = arena_sv(&sw->arena, kv->key), .expect_rev = kv->mod_rev, .tombstone = true };
	return sw->n == SWEEP_STEP;
}

/* 1: there may be more; 0: nothing was found. */
static int sweep_round(struct apiserver *s, struct sweep *sw, const struct resource *r, struct sv crd, unsigned *tries,
		       struct err *err)
{
	struct sv from = storekey_first(&sw->arena, r, SV(""));
	struct store_write own;
	int rc;

	sw->n = 0;
	if (store_range(s->store, from, storekey_behind(&sw->arena, from), 0, 0, sweep_see, sw, NULL, err) < 0)
		return -1;
	if (!sw->n)
		return 0;
	own = sw->w[--sw->n];
	/* A definition that comes meanwhile begins with what there is then: it sweeps itself. */
	if (!sw->before)
		sw->w[sw->n++] = (struct store_write){ .key = crd, .guard = true };
	own.also = sw->w;
	own.n_also = sw->n;
	rc = store_commit_wait(s->store, &own, NULL, err);
	if (rc == 0 && ++*tries < SWEEP_TRIES)
		return 1;
	return rc;
}

int crd_sweep(struct apiserver *s, const char *name, const struct resource *r, struct err *err)
{
	struct sweep *sw = xcalloc(1, sizeof(*sw));
	struct sv crd = storekey(&sw->arena, RES(apiextensions_customresourcedefinitions), SV(""), sv_from(name));
	unsigned tries = 0;
	int rc = store_range(s->store, crd, SV(""), 0, 0, sweep_born, &sw->before, NULL, err);

	while (rc >= 0 && (rc = sweep_round(s, sw, r, crd, &tries, err)) > 0)
		;
	arena_release(&sw->arena);
	free(sw);
	return rc;
}
