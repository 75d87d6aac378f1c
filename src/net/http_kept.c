#include "net/http_kept.h"

#include "net/stream.h"

#include <pthread.h>
#include <stdlib.h>

struct http_kept {
	pthread_mutex_t lock;
	pthread_cond_t fewer;
	struct list resting; /* most recently used first; those of a loop are that loop's to take out */
	size_t n, refs;
	bool closing;
};

struct http_kept *http_kept_new(void)
{
	struct http_kept *k = xcalloc(1, sizeof(*k));

	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->fewer, NULL);
	list_init(&k->resting);
	k->refs = 1;
	return k;
}

static void kept_unref(struct http_kept *k)
{
	size_t left;

	pthread_mutex_lock(&k->lock);
	left = --k->refs;
	pthread_mutex_unlock(&k->lock);
	if (left)
		return;
	pthread_cond_destroy(&k->fewer);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

struct http_kept *http_kept_free(struct http_kept *k)
{
	if (!k)
		return NULL;
	pthread_mutex_lock(&k->lock);
	k->closing = true;
	pthread_mutex_unlock(&k->lock);
	kept_unref(k);
	return NULL;
}

size_t http_kept_resting(struct http_kept *k)
{
	size_t n;

	pthread_mutex_lock(&k->lock);
	n = k->n;
	pthread_mutex_unlock(&k->lock);
	return n;
}

/* --- one --- */

struct http_kept_conn *http_kept_conn_new(struct ev_loop *l, const struct http_endpoint *ep)
{
	struct http_kept_conn *c = xcalloc(1, sizeof(*c));

	list_init(&c->link);
	c->loop = l;
	if (!ep->kept)
		return c;
	c->kept = ep->kept;
	http_place_init(&c->place, ep);
	pthread_mutex_lock(&c->kept->lock);
	c->kept->refs++;
	pthread_mutex_unlock(&c->kept->lock);
	return c;
}

/* Out of the list, if it is in there. The lock is held. */
static void kept_leave(struct http_kept_conn *c)
{
	struct http_kept *k = c->kept;

	if (list_empty(&c->link))
		return;
	list_del(&c->link);
	k->n--;
	pthread_cond_broadcast(&k->fewer);
}

void http_kept_conn_free(struct http_kept_conn *c)
{
	c->idle = ev_timer_stop(c->idle);
	if (c->kept) {
		pthread_mutex_lock(&c->kept->lock);
		kept_leave(c);
		pthread_mutex_unlock(&c->kept->lock);
		kept_unref(c->kept);
	}
	http_place_release(&c->place);
	free(c);
}

static bool kept_leads_to(const struct http_kept_conn *c, const struct ev_loop *l, const struct http_endpoint *ep)
{
	return c->loop == l && http_place_leads_to(&c->place, ep);
}

struct http_kept_conn *http_kept_take(struct ev_loop *l, const struct http_endpoint *ep)
{
	struct http_kept *k = ep->kept;
	struct http_kept_conn *found = NULL;

	pthread_mutex_lock(&k->lock);
	LIST_EACH(&k->resting, it) {
		struct http_kept_conn *c = LIST_ENTRY(it, struct http_kept_conn, link);

		if (kept_leads_to(c, l, ep) && !stream_closing(c->stream)) {
			found = c;
			break;
		}
	}
	if (found)
		kept_leave(found);
	pthread_mutex_unlock(&k->lock);
	if (found)
		found->idle = ev_timer_stop(found->idle);
	return found;
}

static void kept_idle(void *ctx)
{
	struct http_kept_conn *c = ctx;

	stream_abort(c->stream);
}

bool http_kept_put(struct http_kept_conn *c)
{
	const struct http_endpoint ep = http_place_endpoint(&c->place);
	struct http_kept *k = c->kept;
	size_t same = 0;
	bool fits;

	if (!k || stream_closing(c->stream))
		return false;
	pthread_mutex_lock(&k->lock);
	LIST_EACH(&k->resting, it)
		same += kept_leads_to(LIST_ENTRY(it, struct http_kept_conn, link), c->loop, &ep);
	fits = !k->closing && k->n < KEPT_MAX && same < KEPT_PEER_MAX;
	if (fits) {
		list_add_head(&k->resting, &c->link);
		k->n++;
	}
	pthread_mutex_unlock(&k->lock);
	if (!fits)
		return false;
	c->used = true;
	stream_pause(c->stream, false); /* it is heard when its peer ends it */
	c->idle = ev_timer_start(c->loop, KEPT_IDLE_NS, 0, kept_idle, c);
	return true;
}

/* --- the end --- */

struct kept_end {
	struct http_kept *k;
	struct ev_loop *loop;
	struct http_kept_conn *conns[KEPT_MAX];
	size_t n;
};

/* On the loop: nobody else ends its connections. */
static void kept_end_on_loop(void *ctx)
{
	struct kept_end *e = ctx;
	struct http_kept *k = e->k;

	pthread_mutex_lock(&k->lock);
	LIST_EACH(&k->resting, it) {
		struct http_kept_conn *c = LIST_ENTRY(it, struct http_kept_conn, link);

		if (c->loop == e->loop && e->n < KEPT_MAX)
			e->conns[e->n++] = c;
	}
	pthread_mutex_unlock(&k->lock);
	for (size_t i = 0; i < e->n; i++)
		stream_abort(e->conns[i]->stream);
	kept_unref(k);
	free(e);
}

void http_kept_close(struct http_kept *k)
{
	pthread_mutex_lock(&k->lock);
	k->closing = true;
	/* A post for each, though one is enough for a loop: they are few. */
	LIST_EACH(&k->resting, it) {
		struct kept_end *e = xcalloc(1, sizeof(*e));

		e->k = k;
		e->loop = LIST_ENTRY(it, struct http_kept_conn, link)->loop;
		k->refs++;
		ev_loop_post(e->loop, kept_end_on_loop, e);
	}
	while (k->n)
		pthread_cond_wait(&k->fewer, &k->lock);
	pthread_mutex_unlock(&k->lock);
}
