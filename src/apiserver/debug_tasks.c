/* Threads and what they do, the queues that give them work, and those of watchers. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/debug.h"
#include "apiserver/watchcache.h"
#include "base/board.h"
#include "base/lock.h"
#include "client/workq.h"
#include "ev/watchdog.h"

#include <stdio.h>
#include <stdlib.h>

static void classes(struct apiserver *s, struct debug_page *p)
{
	debug_table(p, "classes");
	for (enum env_class c = 0; c < ENV_CLASSES; c++) {
		struct env_class_stats st = env_stats(s->env, c);

		(void)debug_row(p);
		debug_text(p, "class", sv_from(env_class_name(c)));
		debug_number(p, "threads", st.threads);
		debug_number(p, "limit", st.max_threads);
		debug_number(p, "idle", st.idle);
		debug_number(p, "waiting", (int64_t)st.queued);
		debug_row_end(p);
	}
	debug_table_end(p);
}

static void thread(const struct work *w, int64_t now_ns, struct debug_page *p)
{
	int64_t since = atomic_load(&((struct work *)w)->run.since_ns);
	int depth = MIN(atomic_load(&((struct work *)w)->depth), WORK_DEPTH);
	char id[40], told[WORK_TOLD_MAX], name[STACK_NAME_MAX];

	if ((!since && depth < 1) || !debug_row(p))
		return;
	(void)snprintf(id, sizeof(id), "%.15s/%d", w->thread, atomic_load(&((struct work *)w)->tid));
	debug_text(p, "thread", sv_from(id));
	if (since) {
		debug_text(p, "kind",
			   sv_from(run_kind_name((enum run_kind)atomic_load(&((struct work *)w)->run.kind))));
		debug_time(p, "for", now_ns - since);
		if (w->run.fn)
			debug_text(p, "called", sv_from(stack_name((void *)w->run.fn, false, name)));
		debug_text(p, "step", w->run.step ? sv_from(w->run.step) : SV(""));
	}
	if (depth > 0) {
		work_tell(w, depth, told);
		debug_text(p, "works_on", sv_from(told));
	}
	debug_row_end(p);
}

void debug_tasks(struct apiserver *s, struct debug_page *p)
{
	struct work *w = xmalloc(sizeof(*w));
	int64_t now_ns = env_mono_ns(s->env);

	classes(s, p);
	debug_table(p, "running");
	for (size_t i = 0; i < board_slots(board()); i++)
		if (work_peek(i, w))
			thread(w, now_ns, p);
	debug_table_end(p);
	free(w);
}

static void one_queue(const char *name, enum env_class class, size_t waiting, int running, void *ctx)
{
	struct debug_page *p = ctx;

	if (!debug_row(p))
		return;
	debug_text(p, "queue", sv_from(name));
	debug_text(p, "class", sv_from(env_class_name(class)));
	debug_number(p, "waiting", (int64_t)waiting);
	debug_number(p, "running", running);
	debug_row_end(p);
}

void debug_queues(struct apiserver *s, struct debug_page *p)
{
	(void)s;
	debug_table(p, "queues");
	workq_each(one_queue, p);
	debug_table_end(p);
}

static void one_lock(const struct lock_site *l, void *ctx)
{
	struct debug_page *p = ctx;

	if (!debug_row(p))
		return;
	debug_text(p, "lock", sv_from(l->name));
	debug_number(p, "waiting", atomic_load(&l->waiting));
	debug_number(p, "waits", (int64_t)atomic_load(&l->waits));
	debug_time(p, "longest", atomic_load(&l->longest_ns));
	debug_time(p, "total", atomic_load(&l->total_ns));
	debug_row_end(p);
}

void debug_locks(struct apiserver *s, struct debug_page *p)
{
	(void)s;
	debug_table(p, "locks");
	lock_each(one_lock, p);
	debug_table_end(p);
}

void debug_watchers(struct apiserver *s, struct debug_page *p)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	watchers_describe(s, &b, DEBUG_LINES_BYTES);
	debug_lines(p, "watchers", buf_sv(&b));
}
