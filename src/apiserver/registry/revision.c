/* The resourceVersion of a read: read, and waited for. */
#include "apiserver/registry/registry.h"

#include <stdlib.h>

#define REV_WAIT_STEP_NS (50 * NS_PER_MS)
#define REV_WAIT_STEPS 60 /* 3 s in all, as upstream's watch cache */

bool list_rev_parse(struct sv s, int64_t *ret)
{
	*ret = 0;
	return !s.n || (sv_to_i64(s, ret) && *ret >= 0);
}

int err_bad_rev(struct err *err, struct sv s)
{
	return err_set(err, ERR_BAD_REQUEST,
		       "resourceVersion: Invalid value: \"%.*s\": strconv.ParseUint: parsing \"%.*s\": invalid syntax",
		       SV_ARG(s), SV_ARG(s));
}

/* Somebody asks for a revision that does not exist yet: another server's, or an invented one. */
struct rev_wait {
	struct apiserver *s;
	struct env *env;
	struct req_ticket *ticket;
	pthread_mutex_t lock; /* of the timer, which may be due before it is known */
	struct env_timer *timer;
	void (*fn)(struct api_req *q);
	void (*fail)(struct api_req *q, struct err *err);
	int64_t rev;
	int steps;
	atomic_int refs; /* the timer's, and the request's */
	atomic_bool over;
};

static void rev_unref(void *ctx)
{
	struct rev_wait *w = ctx;

	if (atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static void rev_cancel(void *ctx)
{
	struct rev_wait *w = ctx;

	atomic_store(&w->over, true);
	rev_unref(w);
}

static void rev_tick(void *ctx);

static void rev_arm(struct rev_wait *w)
{
	pthread_mutex_lock(&w->lock);
	env_timer_cancel(w->env, w->timer);
	w->timer = env_after(w->env, ENV_REQUESTS, REV_WAIT_STEP_NS, rev_tick, w);
	pthread_mutex_unlock(&w->lock);
}

static void rev_disarm(struct rev_wait *w)
{
	pthread_mutex_lock(&w->lock);
	w->timer = env_timer_cancel(w->env, w->timer);
	pthread_mutex_unlock(&w->lock);
}

static void rev_tick(void *ctx)
{
	struct rev_wait *w = ctx;

	if (atomic_load(&w->over)) {
		rev_disarm(w);
		req_ticket_unref(w->ticket);
		rev_unref(w);
	} else if (wc_rev(w->s->wc) < w->rev && w->steps++ < REV_WAIT_STEPS) {
		rev_arm(w);
	} else {
		rev_disarm(w);
		(void)req_resume(w->ticket, w, rev_unref);
	}
}

static void rev_woken(struct api_req *q, void *ctx)
{
	struct rev_wait *w = ctx;
	struct err err = ERR_INIT;

	if (req_woken(q, &err) < 0) {
		api_req_fail(q, &err);
	} else if (wc_rev(q->server->wc) < w->rev) {
		void (*fail)(struct api_req * q, struct err * err) = w->fail;

		err_too_large_rev(&err, w->rev, wc_rev(q->server->wc));
		rev_unref(w);
		fail(q, &err);
	} else {
		void (*fn)(struct api_req * q) = w->fn;

		rev_unref(w);
		q->has_result = false; /* of this wait; who is asked next has not waited */
		fn(q);
	}
}

void wait_for_rev(struct api_req *q, int64_t rev, void (*fn)(struct api_req *q),
		  void (*fail)(struct api_req *q, struct err *err))
{
	struct rev_wait *w = xcalloc(1, sizeof(*w));

	w->s = q->server;
	w->env = q->server->env;
	w->rev = rev;
	w->fn = fn;
	w->fail = fail;
	atomic_init(&w->refs, 2);
	w->ticket = req_suspend(q, "a revision to come", rev_cancel, w);
	pthread_mutex_init(&w->lock, NULL);
	rev_arm(w);
	if (req_park(q, rev_woken, w))
		rev_woken(q, w);
}
