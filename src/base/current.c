/* One word: which it is, and how many references were taken there.
 *
 *	63         48 47                     1   0
 *	 taken here    address, 16 aligned     for ever: nothing is counted
 *
 * What is current has BIAS references more than it should, so that those given back meanwhile are never the last. */
#include "base/current.h"

#define TAKEN_ONE (UINT64_C(1) << 48)
#define TAKEN_MANY 0x4000 /* then they are moved to what was taken: the field has 16 bits */
#define FOREVER UINT64_C(1)
#define BIAS (INT64_C(1) << 40)

static struct current_ref *current_of(uint64_t w)
{
	return (struct current_ref *)(uintptr_t)(w & (TAKEN_ONE - 1) & ~FOREVER);
}

void current_ref_init(struct current_ref *r, void (*release)(struct current_ref *r))
{
	atomic_init(&r->refs, 1);
	r->release = release;
}

void current_hold(struct current_ref *r)
{
	if (r->release)
		atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}

static uint64_t current_word(struct current_ref *r)
{
	uint64_t w = (uint64_t)(uintptr_t)r;

	BUG_ON(w >= TAKEN_ONE || (w & FOREVER));
	if (!r->release)
		return w | FOREVER;
	atomic_fetch_add_explicit(&r->refs, BIAS - 1, memory_order_relaxed); /* the caller's becomes this one */
	return w;
}

static void current_drop(struct current_ref *r, int64_t n)
{
	if (r->release && atomic_fetch_sub_explicit(&r->refs, n, memory_order_acq_rel) == n)
		r->release(r);
}

void current_put(struct current_ref *r)
{
	current_drop(r, 1);
}

/* Moves what was counted in the word to r, of which the caller has a reference: that keeps it. */
static void current_settle(struct current *c, struct current_ref *r)
{
	uint64_t w = atomic_load_explicit(&c->word, memory_order_acquire);
	int64_t taken = (int64_t)(w >> 48);

	if (current_of(w) != r)
		return; /* replaced, and counted with that */
	atomic_fetch_add_explicit(&r->refs, taken, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&c->word, &w, w - (uint64_t)taken * TAKEN_ONE,
						      memory_order_acq_rel, memory_order_acquire)) {
		if (current_of(w) == r && (int64_t)(w >> 48) >= taken)
			continue;
		/* Somebody else moved them. */
		atomic_fetch_sub_explicit(&r->refs, taken, memory_order_acq_rel);
		return;
	}
}

struct current_ref *current_get(struct current *c)
{
	uint64_t w = atomic_load_explicit(&c->word, memory_order_acquire);

	if (w & FOREVER)
		return current_of(w);
	w = atomic_fetch_add_explicit(&c->word, TAKEN_ONE, memory_order_acq_rel);
	if ((w >> 48) + 1 >= TAKEN_MANY)
		current_settle(c, current_of(w));
	return current_of(w);
}

void current_init(struct current *c, struct current_ref *first_take)
{
	atomic_init(&c->word, current_word(first_take));
}

static void current_retire(uint64_t w)
{
	current_drop(current_of(w), BIAS - (int64_t)(w >> 48));
}

void current_swap(struct current *c, struct current_ref *next_take)
{
	current_retire(atomic_exchange_explicit(&c->word, current_word(next_take), memory_order_acq_rel));
}

void current_end(struct current *c)
{
	current_retire(atomic_load(&c->word));
}
