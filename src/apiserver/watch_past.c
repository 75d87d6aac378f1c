/* Watches that start before the ring of recent changes.
 *
 * The ring is small, the store's log keeps minutes, or as long as --history says. Who starts from an older revision is
 * told by the log first, portion by portion, and joins the others when the ring reaches back to where he is:
 *
 *	log ──copies──▶ portion (bounded) ─wake─▶ reader: parse ─▶ queue ─▶ next portion … ─▶ join
 *
 * Who reads the log only copies bytes: a few tasks in turn (watch_past_read.c). What they mean is found out on the
 * reader's thread, which asks for the next portion when the last one is written out, or, while all such readers
 * together hold little, beside that. What it holds counts until it is written out, and so does the last portion, with
 * which it joins: a client that takes nothing holds a portion, or, where many do, waits with nothing (and is ended as
 * others that take nothing, watch_sweep.c). Between portions nothing is missed: each begins at the revision where the
 * one before ended. Nodes are told nothing of it (user_is_of_today()). */
#include "apiserver/storekey.h"
#include "apiserver/watch_past.h"

#include <stdlib.h>

static int past_ask(struct wc_past *p, struct err *err)
{
	struct store_stats st;

	store_stats(p->watch->in->cache->s->store, &st);
	if (p->again && p->upto < st.compact_rev) { /* then without it */
		p->again = 0;
		p->upto++;
	}
	if (p->upto < st.compact_rev)
		return err_too_old(err, p->upto, st.compact_rev);
	p->asked = true;
	past_read_ask(p->read, p->upto);
	return 0;
}

int wc_past_open(struct wc_watch *w, struct err *err)
{
	struct wc_past *p = xcalloc(1, sizeof(*p));

	p->watch = w;
	p->upto = w->since;
	if (store_shared(w->in->cache->s->store) && p->upto > 1)
		p->again = p->upto--;
	w->past = p;
	p->read = past_read_new(p);
	wc_past_count(w->in->cache);
	if (past_ask(p, err) == 0)
		return 0;
	wc_past_close(w);
	return -1;
}

void wc_past_close(struct wc_watch *w)
{
	struct wc_past *p = w->past;

	if (!p)
		return;
	past_read_close(p->read);
	past_drop(&p->got);
	vec_release(&p->got.changes);
	free(p);
	w->past = NULL;
}

/* The change as watchers know it: what cannot be read is not there (set_aside.h). NULL when nothing is left of it.
 * spoilt: what was an object is none now, but it is there. */
static struct wc_change *past_parse(const struct wc_resource *r, const struct past_change *pc, bool *ret_spoilt)
{
	struct wc_change *c = xcalloc(1, sizeof(*c));

	atomic_init(&c->refs, 1);
	c->rev = pc->rev;
	if (pc->prev)
		c->prev = stored_parse(r->res, sv_make(pc->prev, pc->prev_n), pc->prev_rev);
	if (pc->value)
		c->o = stored_parse(r->res, sv_make(pc->value, pc->value_n), pc->rev);
	*ret_spoilt = pc->value && !c->o && c->prev;
	c->deleted = !c->o;
	if (!pc->value && c->prev)
		c->o = obj_new(obj_root(c->prev), pc->rev);
	if (c->o)
		return c;
	wc_change_unref(c);
	return NULL;
}

/* Of the reader's thread alone: what is collected is its own until the next portion is asked for. False: it has to
 * start over. */
static bool past_deliver(struct wc_past *p)
{
	struct wc_watch *w = p->watch;
	size_t first = 0;
	bool spoilt;

	/* One change is all of its revision: the client has it. */
	if (p->got.changes.n && p->got.changes.p[0].rev == p->again &&
	    (p->got.changes.n == 1 || p->got.changes.p[1].rev != p->again))
		first = 1;
	p->again = 0;
	for (size_t i = first; i < p->got.changes.n; i++) {
		struct wc_change *c = past_parse(w->in, &p->got.changes.p[i], &spoilt);

		if (spoilt)
			return false;
		if (!c)
			continue;
		pthread_mutex_lock(&w->lock);
		wc_watch_push(w, c);
		pthread_mutex_unlock(&w->lock);
		wc_change_unref(c);
	}
	return true;
}

/* Told the client; 0: it goes on, or has joined the others; -1: it cannot. */
static int past_portion_tell(struct wc_past *p, struct err *why)
{
	struct wc_watch *w = p->watch;

	p->asked = false;
	if (p->former)
		return err_set(why, ERR_EXPIRED,
			       "namespace \"%.*s\" of revision %" PRId64 " was another one, or none: list it again",
			       SV_ARG(w->ns), w->since);
	if (p->lost && p->again && p->upto < p->again) {
		/* Compacted meanwhile by who shares the store: without the revision of which it may have a part. */
		p->again = 0;
		p->upto++;
		p->lost = p->complete = false;
		past_read_taken(p->read, p->got.bytes);
		past_drop(&p->got);
		return past_ask(p, why);
	}
	if (p->lost || !past_deliver(p))
		return err_set(why, ERR_EXPIRED, "the changes after revision %" PRId64 " are gone", w->since);
	w->since = p->upto;
	p->told = p->got.bytes;
	past_drop(&p->got);
	p->complete = false;
	p->joined = wc_watch_join(w);
	if (!p->joined && past_read_ahead(p->read))
		return past_ask(p, why);
	return 0;
}

/* The queue is empty: what was told last is written out. */
bool wc_past_step(struct wc_watch *w)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct wc_past *p = w->past;
	bool complete;

	if (p->told)
		past_read_taken(p->read, p->told);
	p->told = 0;
	if (p->joined) {
		wc_past_close(w);
		return false;
	}
	pthread_mutex_lock(&w->lock);
	complete = p->complete;
	pthread_mutex_unlock(&w->lock);
	if (!complete && p->asked)
		return false;
	if ((complete ? past_portion_tell(p, &why) : past_ask(p, &why)) == 0)
		return complete;
	w->lost = why.reason == ERR_EXPIRED;
	wc_watch_end(w, &why);
	wc_past_close(w);
	return true;
}

bool wc_watch_lost(const struct wc_watch *w)
{
	return w->lost;
}
