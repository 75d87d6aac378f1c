#include "kubelet/usage/rates.h"

#include "base/arena.h"
#include "base/strmap.h"
#include "base/vec.h"

#include <pthread.h>
#include <stdlib.h>

struct reading {
	uint64_t counter;
	int64_t at_ns, used_ns;
	struct rate rate;
};

struct rates {
	pthread_mutex_t lock;
	struct strmap by_thing; /* -> struct reading *, owned */
	int64_t swept_ns;
};

struct rates *rates_new(void)
{
	struct rates *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	return r;
}

struct rates *rates_free(struct rates *r)
{
	if (!r)
		return NULL;
	strmap_release_with(&r->by_thing, free);
	pthread_mutex_destroy(&r->lock);
	free(r);
	return NULL;
}

/* Each sweep looks at all, and there is one each two minutes at most. */
static void rates_sweep(struct rates *r, int64_t mono_ns)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	VEC(struct sv) old = VEC_INIT;

	if (mono_ns - r->swept_ns < RATES_FORGET_NS)
		return;
	r->swept_ns = mono_ns;
	STRMAP_EACH(&r->by_thing, e) {
		const struct reading *d = e->value;

		if (mono_ns - d->used_ns > RATES_FORGET_NS)
			vec_push(&old, arena_sv(&a, sv_make(e->key, e->key_n)));
	}
	for (size_t i = 0; i < old.n; i++)
		free(strmap_del(&r->by_thing, old.p[i]));
	vec_release(&old);
}

struct rate rates_read(struct rates *r, struct sv thing, uint64_t counter, int64_t mono_ns)
{
	struct rate rate = { 0 };
	struct reading *d;
	void **slot;

	pthread_mutex_lock(&r->lock);
	rates_sweep(r, mono_ns);
	slot = strmap_slot(&r->by_thing, thing);
	d = *slot;
	if (d && mono_ns <= d->at_ns) { /* somebody has read it later, and was here first */
		rate = d->rate;
		pthread_mutex_unlock(&r->lock);
		return rate;
	}
	if (!d || counter < d->counter || mono_ns - d->used_ns > RATES_FORGET_NS) {
		free(d);
		*slot = d = xcalloc(1, sizeof(*d));
		d->counter = counter;
		d->at_ns = mono_ns;
	} else if (mono_ns - d->at_ns >= RATES_STEP_NS) {
		d->rate.known = true;
		d->rate.window_ns = mono_ns - d->at_ns;
		d->rate.per_second =
		    (uint64_t)((double)(counter - d->counter) * (double)NS_PER_SEC / (double)d->rate.window_ns);
		d->counter = counter;
		d->at_ns = mono_ns;
	}
	d->used_ns = mono_ns;
	rate = d->rate;
	pthread_mutex_unlock(&r->lock);
	return rate;
}

bool rates_ready(struct rates *r, struct sv thing, int64_t mono_ns)
{
	const struct reading *d;
	bool ready;

	pthread_mutex_lock(&r->lock);
	d = strmap_get(&r->by_thing, thing);
	ready = d && mono_ns - d->used_ns <= RATES_FORGET_NS && (d->rate.known || mono_ns - d->at_ns >= RATES_STEP_NS);
	pthread_mutex_unlock(&r->lock);
	return ready;
}
