/* One line for each: what a thread of which kind was held by, for how long, and while it is held where it is. */
#include "cli/stalls.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/timefmt.h"

#include <stdio.h>

static const char *stalls_text(struct buf *b)
{
	buf_addc(b, '\0');
	return b->p;
}

static void stalls_add_ms(struct buf *b, int64_t ns)
{
	duration_format(b, ns / NS_PER_MS * NS_PER_MS);
}

static void add_stack(struct buf *b, const struct run_report *r)
{
	char name[STACK_NAME_MAX];

	for (size_t i = 0; i < r->n_frames; i++)
		buf_printf(b, "%s%s", i ? " < " : "", stack_name(r->frames[i], i > 0, name));
	if (!r->n_frames)
		buf_adds(b, "the thread does not answer: it waits in the kernel, or the machine is overloaded");
}

void stalls_log(const struct run_report *r, void *ctx)
{
	_cleanup_(buf_release) struct buf took = BUF_INIT, ran = BUF_INIT, most = BUF_INIT, stack = BUF_INIT,
					  thread = BUF_INIT;
	char bytes[24], works[24], missing[24];

	(void)ctx;
	stalls_add_ms(&took, r->ns);
	if (!*r->what)
		buf_printf(&ran, "nothing that was written down");
	else
		buf_printf(&ran, "%s%s", r->what, r->after ? ", or near it" : "");
	if (r->what_ns) {
		stalls_add_ms(&most, r->what_ns);
		buf_printf(&most, "%s%s", r->step ? " until " : "", r->step ? r->step : "");
	} else if (r->step) {
		buf_printf(&most, "since %s", r->step);
	}
	buf_printf(&thread, "%s/%d", r->thread, r->tid);
	(void)snprintf(bytes, sizeof(bytes), "%zu", r->bytes);
	(void)snprintf(works, sizeof(works), "%u", r->works);
	(void)snprintf(missing, sizeof(missing), "%u", r->missing);
	if (r->running) {
		add_stack(&stack, r);
		log_kv(LVL_WARN, "watchdog", "a thread is held", "kind", run_kind_name(r->kind), "for",
		       stalls_text(&took), "by", stalls_text(&ran), "bytes", bytes, "step", stalls_text(&most),
		       "called", r->called, "thread", stalls_text(&thread), "stack", stalls_text(&stack), "unsaid",
		       missing, NULL);
	} else {
		log_kv(LVL_WARN, "watchdog", "a thread was held", "kind", run_kind_name(r->kind), "for",
		       stalls_text(&took), "by", stalls_text(&ran), "bytes", bytes, "longest", stalls_text(&most),
		       "works", works, "called", r->called, "thread", stalls_text(&thread), "unsaid", missing, NULL);
	}
}

void stalls_watch(void)
{
	if (watchdog_start(&(struct watchdog_opts){ .report = stalls_log }) < 0)
		log_kv(LVL_WARN, "watchdog", "there is no thread for it: nobody tells of threads that are held", NULL);
}

void stalls_unwatch(void)
{
	watchdog_stop();
}
