/* transform.h - values that are stored as something else than they are: encrypted.
 *
 * A transformed store is another store over the first: in() on the way of each value that is written, out() on that
 * of each that is read. Keys stay as they are, and both are told the key, which they may bind the value to. That is
 * the only place: whoever has the transformed store knows nothing of it.
 *
 *	commit ─▶ in() ─▶ inner store ─▶ out() ─▶ range, changes, watch, the `current` of a mismatch
 *
 * Either may take its time (a key that has to be fetched), and either may fail for one value:
 *
 *	in() fails	the write fails with that error
 *	out() fails	the version is reported with value SV_NULL (not: empty) and the error, and who cannot do without
 *			sets it aside. ERR_UNAVAILABLE and ERR_TIMEOUT say that who could tell has not answered: the
 *			value may be fine, and is asked for again. Any other says that it is wrong.
 *
 * What passes by itself is for the transformer to try again.
 *
 * Who waits: a write and those given after it, the thread of a range, of watches and completions what comes behind:
 * so the order stays. The store's thread waits only when more than a bound is held back. What this process wrote itself
 * is not asked for again: live watches are told the value that was written.
 *
 * Threads: as store.h has it, but that callbacks and completions may run on the thread that out() answered on;
 * still one at a time, in order. A write whose in() fails is answered where in() was.
 */
#pragma once

#include "store/store.h"

/* The transformed value, borrowed until this returns, or why there is none. */
typedef void store_value_fn(struct sv value, const struct err *err, void *ctx);

struct store_transform {
	/* done is called exactly once, before this returns or later, from any thread; key and value live until then. */
	void (*in)(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx);
	void (*out)(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx);
};

/* inner's life is the new store's; t outlives it. */
struct store *store_transformed(struct store *inner_take, struct store_transform *t);
