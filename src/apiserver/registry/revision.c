/* The resourceVersion of a read: read, and waited for. */
#include "apiserver/registry/registry.h"

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
	struct api_req *q;
	void (*fn)(struct api_req *q);
	struct env_timer *timer;
	int64_t rev;
	int steps;
};

static void rev_again(struct api_req *q, void *ctx)
{
	struct rev_wait *w = ctx;
	struct err err = ERR_INIT;

	env_timer_cancel(q->server->env, w->timer);
	w->timer = NULL;
	if (wc_rev(q->server->wc) >= w->rev) {
		w->fn(q);
	} else if (w->steps++ < REV_WAIT_STEPS && !atomic_load(&q->server->stopping)) {
		wait_for_rev(q, w->rev, w->fn);
	} else {
		err_too_large_rev(&err, w->rev, wc_rev(q->server->wc));
		api_req_fail(q, &err);
	}
}

static void rev_tick(void *ctx)
{
	struct rev_wait *w = ctx;

	api_req_post(w->q, rev_again, w);
}

void wait_for_rev(struct api_req *q, int64_t rev, void (*fn)(struct api_req *q))
{
	struct rev_wait *w = q->stream;

	if (!w) {
		w = q->stream = ARENA_NEW(q->arena, struct rev_wait);
		w->q = q;
		w->rev = rev;
		w->fn = fn;
	}
	w->timer = env_after(q->server->env, ENV_REQUESTS, REV_WAIT_STEP_NS, rev_tick, w);
}
