/* The second it is for marks, whose seconds rise whatever the clock does.
 *
 * A clock that is behind the last mark is waited for: by a minute for as long as it takes, by more for ten minutes, in
 * which a machine that has started without a clock is told the time. Then the clock is believed and not the marks: they
 * were of a clock that had been ahead, for a moment or for years.
 *
 *	marks	10:00 10:05 | 2036 2036		the clock: 10:30
 *		10:00 10:05 | 10:30 (gap)	in memory at once, in the store (history_mend.c) before anything else is
 *
 * So who asks for a time between is told that nobody saw when those revisions came. */
#include "apiserver/history/history-internal.h"

#include "apiserver/apiserver-internal.h"
#include "base/log.h"

#define WAIT_NS (10 * 60 * NS_PER_SEC)

int64_t history_clock_s(struct history *h)
{
	return MAX(env_now_ns(h->s->env) / NS_PER_SEC, 0);
}

/* Marks from `now` on become one. Lock held. */
static void clock_cut(struct history *h, int64_t now)
{
	struct mark cut = { .sec = now, .rev = vec_last(&h->m).rev, .gap = true };
	size_t n = marks_before(h->m.p, h->m.n, now);

	log_warn("history", "the clock was ahead: nobody knows any more when the last revisions came", "ahead_s",
		 "%" PRId64, vec_last(&h->m).sec - now);
	h->m.n = n;
	vec_push(&h->m, cut);
	h->mend_s = h->mend_s ? MIN(h->mend_s, now) : now;
	h->own_rev = 0;
	if (!n)
		h->written = 0; /* which goes */
}

int64_t history_now_s(struct history *h)
{
	int64_t now = history_clock_s(h), last = h->m.n ? vec_last(&h->m).sec : 0, mono;

	if (last <= now + HISTORY_AHEAD_S) {
		h->behind_ns = 0;
		return MAX(now, last);
	}
	mono = MAX(env_mono_ns(h->s->env), 1);
	if (!h->behind_ns)
		h->behind_ns = mono;
	if (mono - h->behind_ns < WAIT_NS)
		return last;
	clock_cut(h, now);
	h->behind_ns = 0;
	return now;
}
