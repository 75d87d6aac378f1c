#include "base/log.h"
#include "base/buf.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX ((size_t)4096)

static const char *const level_names[] = { "ERROR", "WARN", "INFO", "DEBUG", "TRACE" };
static const char *const json_levels[] = { "error", "warning", "info", "info", "info" };
static _Atomic int level = LVL_INFO;	  /* of who has none of his own */
static _Atomic int level_some = LVL_INFO; /* the highest that any subsystem has */
static _Atomic int verbosity;
static enum log_format format = LOG_TEXT;

/* Subsystems with levels of their own. A set is never freed once it was used: readers take no lock, and somebody sets
 * it by hand. */
#define MODULES_MAX 32
struct modules {
	size_t n;
	struct {
		char pattern[32];
		enum log_level level;
	} of[MODULES_MAX];
};
static _Atomic(struct modules *) modules;
static void (*sink_fn)(struct sv line, void *ctx);
static void *sink_ctx;

/* --- which lines --- */

static void level_settle(void)
{
	const struct modules *m = atomic_load(&modules);
	int most = atomic_load(&level);

	for (size_t i = 0; m && i < m->n; i++)
		most = MAX(most, (int)m->of[i].level);
	atomic_store(&level_some, most);
}

void log_set_level(enum log_level lvl)
{
	atomic_store(&level, (int)lvl);
	level_settle();
}

static enum log_level level_of_verbosity(int64_t v)
{
	return v < 4 ? LVL_INFO : v < 8 ? LVL_DEBUG : LVL_TRACE;
}

void log_set_verbosity(int v)
{
	atomic_store(&verbosity, v);
	log_set_level(level_of_verbosity(v));
}

int log_verbosity(void)
{
	return atomic_load(&verbosity);
}

bool log_set_vmodule(struct sv text)
{
	struct modules *m = xcalloc(1, sizeof(*m));
	struct sv one;

	while (text.n && sv_split(&text, ',', &one)) {
		ssize_t eq = sv_find(one, '=');
		int64_t v;

		if (m->n == MODULES_MAX || eq <= 0 || (size_t)eq >= sizeof(m->of->pattern) ||
		    !sv_to_i64(sv_sub(one, (size_t)eq + 1, one.n), &v)) {
			free(m);
			return false;
		}
		memcpy(m->of[m->n].pattern, one.p, (size_t)eq);
		m->of[m->n++].level = level_of_verbosity(v);
	}
	atomic_store(&modules, m);
	level_settle();
	return true;
}

bool log_enabled(enum log_level lvl)
{
	return (int)lvl <= atomic_load_explicit(&level_some, memory_order_relaxed);
}

/* * is any text, ? any character; of several *, only the last one is tried again, which takes no more than the product
 * of both lengths. */
static bool log_fits(const char *pattern, const char *sys)
{
	const char *star = NULL, *from = sys;

	while (*sys) {
		if (*pattern == '*') {
			star = pattern++;
			from = sys;
		} else if (*pattern == '?' || *pattern == *sys) {
			pattern++;
			sys++;
		} else if (star) {
			pattern = star + 1;
			sys = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static bool log_wanted(enum log_level lvl, const char *sys)
{
	const struct modules *m;

	if (!log_enabled(lvl))
		return false;
	m = atomic_load_explicit(&modules, memory_order_acquire);
	for (size_t i = 0; m && i < m->n; i++)
		if (log_fits(m->of[i].pattern, sys))
			return lvl <= m->of[i].level;
	return (int)lvl <= atomic_load_explicit(&level, memory_order_relaxed);
}

void log_set_format(enum log_format f)
{
	format = f;
}

/* --- a line --- */

void log_set_sink(void (*sink)(struct sv line, void *ctx), void *ctx)
{
	sink_fn = sink;
	sink_ctx = ctx;
}

static void log_add_quoted(struct buf *b, struct sv s)
{
	bool bytes = format == LOG_JSON && !utf8_valid(s); /* what is no text is told byte by byte */

	buf_addc(b, '"');
	for (size_t i = 0; i < s.n && i < VALUE_MAX; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c < 0x20 || c == 0x7f || (bytes && c >= 0x80))
			buf_printf(b, format == LOG_JSON ? "\\u%04x" : "\\x%02x", c);
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
	if (format == LOG_JSON) {
		buf_printf(b, "{\"ts\":%" PRId64 ".%06ld,\"level\":\"%s\",\"v\":%d,\"logger\":\"%s\",\"msg\":",
			   (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000, ts.tv_nsec % 1000000, json_levels[lvl],
			   lvl <= LVL_INFO    ? 0
			   : lvl == LVL_DEBUG ? 4
					      : 8,
			   sys);
		at = b->n;
		log_add_quoted(b, sv_from(msg));
		return at;
	}
	gmtime_r(&ts.tv_sec, &tm);
	buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		   tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000000);
	at = b->n;
	buf_printf(b, "%s %s ", level_names[lvl], sys);
	log_add_quoted(b, sv_from(msg));
	return at;
}

static void log_add_pair(struct buf *b, const char *key, struct sv value)
{
	buf_printf(b, format == LOG_JSON ? ",\"%s\":" : " %s=", key);
	log_add_quoted(b, value);
}

static void log_finish(struct buf *b, size_t at)
{
	buf_adds(b, format == LOG_JSON ? "}\n" : "\n");
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

	if (!log_wanted(lvl, sys))
		return;
	at = log_begin(&b, lvl, sys, msg);
	va_start(ap, msg);
	while ((key = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);

		log_add_pair(&b, key, sv_from(value ? value : ""));
	}
	va_end(ap);
	log_finish(&b, at);
}

void log_f(enum log_level lvl, const char *sys, const char *msg, const char *key, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, value = BUF_INIT;
	va_list ap;
	size_t at;

	if (!log_wanted(lvl, sys))
		return;
	va_start(ap, fmt);
	buf_vprintf(&value, fmt, ap);
	va_end(ap);
	at = log_begin(&b, lvl, sys, msg);
	log_add_pair(&b, key, buf_sv(&value));
	log_finish(&b, at);
}
