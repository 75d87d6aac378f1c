/* Requests that took long are told in the log, with the times of their steps. What lasts by nature is not slow, and no
 * more lines come than a person reads. */
#include "apiserver/apiserver-internal.h"
#include "base/bucket.h"
#include "base/log.h"
#include "base/timefmt.h"

#include <stdio.h>
#include <stdlib.h>

#define LINES_AT_ONCE 10
#define LINES_EVERY_NS (5 * NS_PER_SEC)

struct slow_log {
	pthread_mutex_t lock;
	struct bucket lines;
};

struct slow_log *slow_log_new(void)
{
	struct slow_log *l = xcalloc(1, sizeof(*l));

	pthread_mutex_init(&l->lock, NULL);
	return l;
}

struct slow_log *slow_log_free(struct slow_log *l)
{
	if (!l)
		return NULL;
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

static void add_ms(struct buf *b, int64_t ns)
{
	duration_format(b, ns / NS_PER_MS * NS_PER_MS);
}

/* "authenticated 1ms, admitted 1.2s, ...": each since the one before it that was noted. */
static void add_steps(struct buf *b, const struct api_req *q)
{
	int64_t before = q->start_ns;

	for (enum req_step i = STEP_RECEIVED + 1; i < _STEP_MAX; i++) {
		if (!q->step_ns[i])
			continue;
		buf_printf(b, "%s%s ", b->n ? ", " : "", req_step_name(i));
		/* A write that is tried again passes steps again, and what comes behind them has an older time. */
		add_ms(b, MAX(q->step_ns[i] - before, 0));
		before = MAX(before, q->step_ns[i]);
	}
}

void slow_log_note(struct api_req *q, int code)
{
	struct slow_log *l = q->server->slow;
	_cleanup_(buf_release) struct buf took = BUF_INIT, steps = BUF_INIT;
	char answer[16], bytes[24], missing[16];
	unsigned n;
	bool told;

	if (req_lasts(q))
		return;
	pthread_mutex_lock(&l->lock);
	told = bucket_take(&l->lines, LINES_AT_ONCE, LINES_EVERY_NS, q->step_ns[STEP_ANSWERED], &n);
	pthread_mutex_unlock(&l->lock);
	if (!told)
		return;
	add_ms(&took, q->step_ns[STEP_ANSWERED] - q->start_ns);
	add_steps(&steps, q);
	(void)snprintf(answer, sizeof(answer), "%d", code);
	(void)snprintf(bytes, sizeof(bytes), "%zu", q->body.n);
	(void)snprintf(missing, sizeof(missing), "%u", n);
	log_kv(LVL_WARN, "apiserver", "slow request", "verb", arena_cstr(q->arena, api_req_verb(q)), "url",
	       arena_cstr(q->arena, api_req_url(q)), "user", arena_cstr(q->arena, q->user.name), "bytes", bytes, "took",
	       buf_cstr(&took), "code", answer, "steps", buf_cstr(&steps), "unsaid", missing, q->why.n ? "why" : NULL,
	       arena_cstr(q->arena, q->why), NULL);
}
