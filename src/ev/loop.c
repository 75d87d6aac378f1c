/* A libuv loop plus a queue of functions from other threads. The queue is swapped out whole
 * under its lock and run unlocked, so a post from a post runs in the next turn and a burst
 * costs one wake-up: only the post that finds the queue empty signals. */
#include "ev/ev-internal.h"
#include "ev/watchdog.h"

#include <stdlib.h>

static void loop_run_posts(struct ev_loop *l)
{
	VEC(struct ev_post) batch = VEC_INIT;
	bool stop;

	pthread_mutex_lock(&l->lock);
	batch.p = l->posts.p;
	batch.n = l->posts.n;
	batch.cap = l->posts.cap;
	l->posts.p = NULL;
	l->posts.n = l->posts.cap = 0;
	stop = l->wanted_stop;
	l->wanted_stop = false;
	pthread_mutex_unlock(&l->lock);

	for (size_t i = 0; i < batch.n; i++) {
		run_calls(batch.p[i].fn);
		batch.p[i].fn(batch.p[i].ctx);
	}

	/* Keep a small array for the next burst; a large one is given back. */
	pthread_mutex_lock(&l->lock);
	if (!l->posts.p && batch.cap <= 256) {
		l->posts.p = batch.p;
		l->posts.cap = batch.cap;
		batch.p = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	free(batch.p);
	if (stop)
		uv_stop(&l->uv);
}

static void loop_on_wake(uv_async_t *h)
{
	ev_loop_busy(h->data);
	loop_run_posts(h->data);
}

static void loop_on_prepare(uv_prepare_t *h)
{
	struct ev_loop *l = h->data;

	if (l->net.before_poll)
		l->net.before_poll(l->net.state);
	ev_loop_rest(l);
}

struct ev_loop *ev_loop_new(struct err *err)
{
	struct ev_loop *l = xcalloc(1, sizeof(*l));
	int r;

	r = uv_loop_init(&l->uv);
	if (r < 0) {
		free(l);
		(void)err_set_errno(err, -r, "event loop");
		return NULL;
	}
	r = uv_async_init(&l->uv, &l->wake, loop_on_wake);
	if (r < 0) {
		(void)uv_loop_close(&l->uv);
		free(l);
		(void)err_set_errno(err, -r, "event loop's wake-up");
		return NULL;
	}
	l->wake.data = l;
	BUG_ON(uv_prepare_init(&l->uv, &l->prepare) != 0);
	l->prepare.data = l;
	BUG_ON(uv_prepare_start(&l->prepare, loop_on_prepare) != 0);
	pthread_mutex_init(&l->lock, NULL);
	list_init(&l->timers);
	list_init(&l->signals);
	return l;
}

void ev_loop_run(struct ev_loop *l)
{
	atomic_store(&l->thread, pthread_self());
	uv_run(&l->uv, UV_RUN_DEFAULT);
	ev_loop_rest(l);
	atomic_store(&l->thread, 0);
}

void ev_loop_stop(struct ev_loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->wanted_stop = true;
	/* Inside the lock: once it is seen, the loop's owner may free l. */
	uv_async_send(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

void ev_loop_post(struct ev_loop *l, env_fn *fn, void *ctx)
{
	pthread_mutex_lock(&l->lock);
	vec_push(&l->posts, ((struct ev_post){ fn, ctx }));
	if (l->posts.n == 1)
		uv_async_send(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

bool ev_loop_is_current(const struct ev_loop *l)
{
	pthread_t t = atomic_load(&((struct ev_loop *)l)->thread);

	return t && pthread_equal(t, pthread_self());
}

void *ev_loop_uv(struct ev_loop *l)
{
	return &l->uv;
}

int64_t ev_loop_now_ns(struct ev_loop *l)
{
	return (int64_t)uv_now(&l->uv) * NS_PER_MS;
}

struct ev_loop *ev_loop_free(struct ev_loop *l)
{
	if (!l)
		return NULL;
	/* What was posted still runs, so that references riding along are dropped. */
	atomic_store(&l->thread, pthread_self());
	while (l->posts.n)
		loop_run_posts(l);
	if (l->net.free)
		l->net.free(l->net.state);
	ev_timers_release(l);
	ev_signals_release(l);
	uv_close((uv_handle_t *)&l->wake, NULL);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	BUG_ON(uv_loop_close(&l->uv) != 0); /* somebody's handle is still open */
	vec_release(&l->posts);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}
