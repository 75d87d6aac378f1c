/* current.h - something immutable that is replaced now and then, while others take references of it without a lock.
 *
 *	struct config { struct current_ref ref; ... };
 *
 *	current_ref_init(&c->ref, config_release);		one reference, the caller's
 *	c = CONTAINER_OF(current_get(&cur), ...);		one addition, on any thread
 *	...
 *	current_put(&c->ref);					the last one out calls ref.release()
 *
 *	current_swap(&cur, &next->ref);				one replacer at a time
 *
 * Taking a reference is an addition to the word that names what is current, so no swap can come between finding it and
 * counting. What was counted there is set off when it is replaced, or when the field is half full.
 *
 * Threads: current_get() and current_put() on any; the others as said.
 */
#pragma once

#include "base/base.h"

#include <stdatomic.h>

struct current_ref {
	_Alignas(16) _Atomic int64_t refs;
	/* On the thread of whoever was last. NULL: it is there for ever; nothing of it is counted, and taking it is a
	 * look at a word that nobody writes. All zeroes is such a one. */
	void (*release)(struct current_ref *r);
};
void current_ref_init(struct current_ref *r, void (*release)(struct current_ref *r));
void current_hold(struct current_ref *r); /* one more reference, beside one that the caller has */

struct current {
	_Atomic uint64_t word;
};

/* What is taken is current from now on, by a reference of the caller's. */
void current_init(struct current *c, struct current_ref *first_take);
struct current_ref *current_get(struct current *c); /* a reference, the caller's to give back */
void current_put(struct current_ref *r);
void current_swap(struct current *c, struct current_ref *next_take);
/* Nobody takes references any more. */
void current_end(struct current *c);
