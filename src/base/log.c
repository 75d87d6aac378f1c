#include "base/log.h"
#include "base/buf.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX ((size_t)4096)

static const char *const level_names[] = { "ERROR", "WARN", "INFO", "DEBUG", "TRACE" };
static _Atomic int level = LVL_INFO;
static void (*sink_fn)(struct sv line, void *ctx);
static void *sink_ctx;

void log_set_level(enum log_level lvl)
{
	atomic_store_explicit(&level, (int)lvl, memory_order_relaxed);
}

bool log_enabled(enum log_level lvl)
{
	return (int)lvl <= atomic_load_explicit(&level, memory_order_relaxed);
}

void log_set_sink(void (*sink)(struct sv line, void *ctx), void *ctx)
{
	sink_fn = sink;
	sink_ctx = ctx;
}

static void log_add_quoted(struct buf *b, struct sv s)
{
	buf_addc(b, '"');
	for (size_t i = 0; i < s.n && i < VALUE_MAX; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else
			buf_addc(b, (char)c);
	}
	buf_addc(b, '"');
}

/* Returns where the line starts without its time stamp. */
static size_t log_begin(struct buf *b, enum log_level lvl, const char *sys, const char *msg)
{
	struct timespec ts;
	struct tm tm;
	size_t at;

	/* The one place below struct env that reads the clock: a log line is for people, and
	 * nothing that runs ever sees this time. */
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		   tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000000);
	at = b->n;
	buf_printf(b, "%s %s ", level_names[lvl], sys);
	log_add_quoted(b, sv_from(msg));
	return at;
}

static void log_finish(struct buf *b, size_t at)
{
	buf_addc(b, '\n');
	if (sink_fn)
		sink_fn(sv_make(b->p + at, b->n - at - 1), sink_ctx);
	else
		(void)!write(STDERR_FILENO, b->p, b->n);
}

void log_kv(enum log_level lvl, const char *sys, const char *msg, ...)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *key;
	va_list ap;
	size_t at;

	if (!log_enabled(lvl))
		return;
	at = log_begin(&b, lvl, sys, msg);
	va_start(ap, msg);
	while ((key = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);

		buf_printf(&b, " %s=", key);
		log_add_quoted(&b, sv_from(value ? value : ""));
	}
	va_end(ap);
	log_finish(&b, at);
}

void log_f(enum log_level lvl, const char *sys, const char *msg, const char *key, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, value = BUF_INIT;
	va_list ap;
	size_t at;

	if (!log_enabled(lvl))
		return;
	va_start(ap, fmt);
	buf_vprintf(&value, fmt, ap);
	va_end(ap);
	at = log_begin(&b, lvl, sys, msg);
	buf_printf(&b, " %s=", key);
	log_add_quoted(&b, buf_sv(&value));
	log_finish(&b, at);
}
