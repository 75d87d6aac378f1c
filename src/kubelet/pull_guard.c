/* See pull_guard.h. */
#include "kubelet/pull_guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>

#define KEEP_PART 20
#define KEEP_MAX_BYTES (UINT64_C(1) << 30)
/* The next look comes before a fast disk could have been filled: what is free lasts so long at two bytes a nanosecond.
 */
#define LOOK_MIN_NS (5 * NS_PER_MS)
#define LOOK_MAX_NS (NS_PER_SEC / 2)

struct pull_guard {
	struct env *env;
	char *dir;
	int stop_fd; /* -1: nobody is told */
	bool (*given_up)(void *ctx);
	void *ctx;
	pthread_mutex_t lock; /* everything below */
	struct env_timer *timer;
	bool ended;
	struct err why; /* the pull was told to stop */
	int refs;	/* the pull's, and the timer's while there is one */
};

/* How much there is above what stays free, at most INT64_MAX; -1 with *err: less. */
static int64_t pull_guard_look_at(const char *dir, struct err *err)
{
	struct statvfs fs;
	uint64_t have, keep;

	if (statvfs(dir, &fs) < 0 || fs.f_blocks == 0)
		return INT64_MAX;
	have = (uint64_t)fs.f_bavail * fs.f_frsize;
	keep = MIN((uint64_t)fs.f_blocks * fs.f_frsize / KEEP_PART, KEEP_MAX_BYTES);
	if (have >= keep)
		return (int64_t)MIN(have - keep, (uint64_t)INT64_MAX);
	return err_set(err, ERR_TOO_LARGE,
		       "%" PRIu64 " MiB are free below '%s', where %" PRIu64
		       " MiB are to stay so: remove images or other files, or use a larger disk",
		       have >> 20, dir, keep >> 20);
}

int pull_guard_room(const char *dir, struct err *err)
{
	return pull_guard_look_at(dir, err) < 0 ? -1 : 0;
}

static void pull_guard_unref(struct pull_guard *g)
{
	bool last;

	pthread_mutex_lock(&g->lock);
	last = --g->refs == 0;
	pthread_mutex_unlock(&g->lock);
	if (!last)
		return;
	close_fdp(&g->stop_fd);
	err_release(&g->why);
	pthread_mutex_destroy(&g->lock);
	free(g->dir);
	free(g);
}

static void pull_guard_look(void *ctx)
{
	struct pull_guard *g = ctx;
	int64_t left = -1;

	pthread_mutex_lock(&g->lock);
	g->timer = env_timer_cancel(g->env, g->timer);
	if (!g->ended && !(g->given_up && g->given_up(g->ctx)))
		left = pull_guard_look_at(g->dir, &g->why);
	if (left >= 0)
		g->timer =
		    env_after(g->env, ENV_NODE, MAX(MIN(left / 2, LOOK_MAX_NS), LOOK_MIN_NS), pull_guard_look, g);
	else if (!g->ended)
		(void)eventfd_write(g->stop_fd, 1);
	pthread_mutex_unlock(&g->lock);
	if (left < 0)
		pull_guard_unref(g);
}

struct pull_guard *pull_guard_begin(struct env *e, const char *dir, bool (*given_up)(void *ctx), void *ctx,
				    struct err *err)
{
	struct pull_guard *g;

	if (pull_guard_room(dir, err) < 0)
		return NULL;
	g = xcalloc(1, sizeof(*g));
	g->env = e;
	g->dir = xstrdup(dir);
	g->refs = 2;
	pthread_mutex_init(&g->lock, NULL);
	g->given_up = given_up;
	g->ctx = ctx;
	g->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_lock(&g->lock);
	g->timer = env_after(e, ENV_NODE, LOOK_MIN_NS, pull_guard_look, g);
	pthread_mutex_unlock(&g->lock);
	return g;
}

int pull_guard_stop_fd(const struct pull_guard *g)
{
	return g->stop_fd;
}

int pull_guard_end(struct pull_guard *g, struct err *err)
{
	struct env_timer *t;
	int rc = 0;

	pthread_mutex_lock(&g->lock);
	g->ended = true;
	if (g->why.reason)
		rc = err_copy(err, &g->why);
	t = TAKE(g->timer);
	pthread_mutex_unlock(&g->lock);
	if (t && env_timer_stop(g->env, t))
		pull_guard_unref(g); /* the timer's */
	pull_guard_unref(g);
	return rc;
}
