#include "sim/event_log.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/vec.h"

#include <errno.h>
#include <stdlib.h>

struct observer {
	void (*fn)(const struct store_change *c, void *ctx);
	void *ctx;
};

struct event_log {
	struct env *env;
	struct store *store;
	struct store_watch *watch;
	FILE *file;
	uint64_t hash, changes;
	VEC(struct observer) observers;
};

/* FNV-1a: not strong, but any difference in any byte shows. */
static void hash_bytes(struct event_log *l, const void *p, size_t n)
{
	const unsigned char *at = p;

	for (size_t i = 0; i < n; i++)
		l->hash = (l->hash ^ at[i]) * UINT64_C(0x100000001b3);
}

static void line(struct event_log *l, struct sv text, struct sv value)
{
	int64_t now = env_mono_ns(l->env);

	hash_bytes(l, &now, sizeof(now));
	hash_bytes(l, text.p, text.n);
	hash_bytes(l, value.p, value.n);
	if (!l->file)
		return;
	fprintf(l->file, "%" PRId64 ".%09" PRId64 " %.*s%s%.*s\n", now / NS_PER_SEC, now % NS_PER_SEC, SV_ARG(text),
		value.n ? " " : "", SV_ARG(value));
}

static void event_log_on_change(const struct store_change *c, void *ctx)
{
	struct event_log *l = ctx;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	l->changes++;
	buf_printf(&b, "%s %" PRId64 " ", c->kv.deleted ? "DELETE" : c->prev ? "UPDATE" : "CREATE", c->kv.mod_rev);
	buf_addsv(&b, c->kv.key);
	line(l, buf_sv(&b), c->kv.deleted ? SV("") : c->kv.value);
	for (size_t i = 0; i < l->observers.n; i++)
		l->observers.p[i].fn(c, l->observers.p[i].ctx);
}

static void on_log_line(struct sv text, void *ctx)
{
	struct event_log *l = ctx;

	line(l, text, SV(""));
}

struct event_log *event_log_open(struct env *env, struct store *store, const char *file, struct err *err)
{
	static const struct store_watch_cb cb = { .change = event_log_on_change, .wants_prev = true };
	struct event_log *l = xcalloc(1, sizeof(*l));

	l->env = env;
	l->store = store;
	l->hash = UINT64_C(0xcbf29ce484222325);
	if (file && !(l->file = fopen(file, "we"))) {
		err_set_errno(err, errno, "opening '%s'", file);
		free(l);
		return NULL;
	}
	if (store_watch(store, SV("/"), SV("0"), 0, &cb, l, &l->watch, err) < 0)
		return event_log_close(l);
	/* What components log belongs to the story, and must repeat as well. */
	log_set_sink(on_log_line, l);
	return l;
}

struct event_log *event_log_close(struct event_log *l)
{
	if (!l)
		return NULL;
	log_set_sink(NULL, NULL);
	if (l->watch)
		store_unwatch(l->store, l->watch);
	if (l->file)
		fclose(l->file);
	vec_release(&l->observers);
	free(l);
	return NULL;
}

void event_log_observe(struct event_log *l, void (*fn)(const struct store_change *c, void *ctx), void *ctx)
{
	vec_push(&l->observers, ((struct observer){ fn, ctx }));
}

void event_log_note(struct event_log *l, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	va_list ap;

	buf_adds(&b, "SIM ");
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	line(l, buf_sv(&b), SV(""));
}

uint64_t event_log_hash(const struct event_log *l)
{
	return l->hash;
}

uint64_t event_log_changes(const struct event_log *l)
{
	return l->changes;
}
