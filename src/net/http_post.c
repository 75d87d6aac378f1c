/* From other threads to a request's own.
 *
 *	any thread ─▶ posts of the connection ─(the first of them)─▶ its loop: all of them, and out with what they made
 *
 * A change that many watch is posted to thousands of requests at once. What is known of a request, of its HTTP/2 stream
 * and of its connection lies all over the memory, and reading it is what such a change costs. So posts wait with their
 * connection, not with the loop: those of one run one after another, and what they wrote is sent while it is still at
 * hand. Thousands of posts are as many wake-ups as there are connections, too.
 *
 * Order: the posts of a connection run in the order they came in. */
#include "net/http-internal.h"

#include <stdlib.h>

#define POSTS_SPARE 64 /* an array of that many is kept for the next burst, one for each lane */
#define POSTS_MANY 8   /* they are sent at once; fewer wait for the end of the turn, and for what else comes in it */
#define AHEAD 4	       /* so many posts before its turn a request is fetched into the cache */
#define FETCHED 768    /* bytes of its arena: where the handler began */

/* The lane's lock is held. */
static void posts_push(struct http_conn *c, const struct rq_post *p)
{
	struct rq_posts *spare = &c->lane->spare_posts;

	if (!c->posts.p) {
		c->posts = *spare;
		*spare = (struct rq_posts)VEC_INIT;
	}
	vec_push(&c->posts, *p);
}

static struct rq_posts posts_take(struct http_conn *c)
{
	struct rq_posts all;

	pthread_mutex_lock(&c->lane->posts_lock);
	all = c->posts;
	c->posts = (struct rq_posts)VEC_INIT;
	pthread_mutex_unlock(&c->lane->posts_lock);
	return all;
}

static void posts_give_back(struct lane *ln, struct rq_posts *all)
{
	all->n = 0;
	pthread_mutex_lock(&ln->posts_lock);
	if (!ln->spare_posts.p && all->cap <= POSTS_SPARE) {
		ln->spare_posts = *all;
		*all = (struct rq_posts)VEC_INIT;
	}
	pthread_mutex_unlock(&ln->posts_lock);
	vec_release(all);
}

/* What a post reads first: who it is for, and what comes with it. */
static void post_fetch(const struct rq_post *p)
{
	const char *rq = (const char *)p->r;

	for (size_t at = 0; at < offsetof(struct http_rq, mem) + FETCHED; at += 64)
		__builtin_prefetch(rq + at);
	if (!p->copied)
		__builtin_prefetch(p->ctx);
	for (size_t i = 0; p->copied && i < ARRAY_LEN(p->copy); i++)
		__builtin_prefetch(p->copy[i]); /* mostly addresses; to fetch another number does no harm */
}

static void post_run(struct rq_post *p)
{
	p->fn(p->r, p->copied ? (void *)p->copy : p->ctx);
	rq_shed((struct http_rq *)(uintptr_t)p->r);
	http_req_unref(p->r);
}

static void conn_run_posts(void *ctx)
{
	struct http_conn *c = ctx;
	struct rq_posts all = posts_take(c);

	c->refs++; /* the last of them may be what held it */
	for (size_t i = 0; i < MIN(all.n, AHEAD); i++)
		post_fetch(&all.p[i]);
	for (size_t i = 0; i < all.n; i++) {
		if (i + AHEAD < all.n)
			post_fetch(&all.p[i + AHEAD]);
		post_run(&all.p[i]);
	}
	if (c->s && all.n >= POSTS_MANY)
		stream_send_now(c->s);
	posts_give_back(c->lane, &all);
	http_conn_unref(c);
}

static void rq_post(struct http_req *r, struct rq_post *p)
{
	struct http_conn *c = ((struct http_rq *)r)->conn;
	bool first;

	p->r = http_req_ref(r);
	pthread_mutex_lock(&c->lane->posts_lock);
	first = c->posts.n == 0;
	posts_push(c, p);
	pthread_mutex_unlock(&c->lane->posts_lock);
	if (first) /* it holds r, and so c, until it has run */
		ev_loop_post(c->lane->loop, conn_run_posts, c);
}

void http_req_post(struct http_req *r, void (*fn)(struct http_req *r, void *ctx), void *ctx)
{
	struct rq_post p = { .fn = fn, .ctx = ctx };

	rq_post(r, &p);
}

void http_req_post_copy(struct http_req *r, void (*fn)(struct http_req *r, void *copy), const void *from, size_t n)
{
	struct rq_post p = { .fn = fn, .copied = true };

	BUG_ON(n > sizeof(p.copy));
	memcpy(p.copy, from, n);
	rq_post(r, &p);
}
