/* Correlation follows client-go's EventCorrelator:
 *	1. spam filter: per object a bucket of 25 events, refilled one every 5 minutes;
 *	2. aggregation: more than 10 different messages of one reason about one object within 10
 *	   minutes are recorded as one "(combined from similar events)";
 *	3. deduplication: an event equal to an earlier one raises that one's count.
 * The tables are bounded; when one is full it starts over, which only costs some folding. */
#include "client/events.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/strmap.h"
#include "base/timefmt.h"
#include "base/utf8.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>

#define TABLE_MAX 4096
#define QUEUE_MAX 1000
#define SPAM_BURST 25.0
#define SPAM_REFILL_NS (300 * NS_PER_SEC)
#define AGGREGATE_MAX 10
#define AGGREGATE_WINDOW_NS (600 * NS_PER_SEC)
#define WRITE_TRIES 3

/* One event still to be written. */
struct pending {
	struct list link;
	struct arena arena; /* of everything below */
	struct val *ref;    /* involvedObject */
	struct sv ns, type, reason, message;
	int64_t at_ns;
};

struct bucket {
	double tokens;
	int64_t at_ns;
};

struct group {
	struct strmap messages;
	int64_t last_ns;
};

struct seen {
	char *name; /* of the Event object */
	int64_t count, first_ns;
};

struct recorder {
	struct client *client;
	struct env *env;
	char *component, *host;
	pthread_mutex_t lock;
	pthread_cond_t quiet;
	struct list queue;
	size_t n_queue;
	bool draining, writing, stopping;
	unsigned refs;
	/* Used by the drain task only. */
	struct strmap buckets, groups, seen;
	uint64_t named_ns; /* of the last name given: names differ, and sort as the events happened */
};

static void group_free(void *p)
{
	struct group *g = p;

	strmap_release(&g->messages);
	free(g);
}

static void seen_free(void *p)
{
	struct seen *s = p;

	free(s->name);
	free(s);
}

static void unref_locked(struct recorder *r)
{
	bool last = --r->refs == 0;

	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	strmap_release_with(&r->buckets, free);
	strmap_release_with(&r->groups, group_free);
	strmap_release_with(&r->seen, seen_free);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->quiet);
	free(r->component);
	free(r->host);
	free(r);
}

static void pending_free(struct pending *p)
{
	list_del(&p->link);
	arena_release(&p->arena);
	free(p);
}

/* The entry of key, made with make() when absent. */
static void *table_get(struct strmap *m, struct sv key, size_t size, void (*free_value)(void *))
{
	void **slot;

	if (m->n >= TABLE_MAX && !strmap_has(m, key))
		strmap_release_with(m, free_value);
	slot = strmap_slot(m, key);
	if (!*slot)
		*slot = xcalloc(1, size);
	return *slot;
}

static bool spam(struct recorder *r, const struct pending *p, struct sv object_key)
{
	struct bucket *b = table_get(&r->buckets, object_key, sizeof(*b), free);

	if (b->at_ns == 0)
		b->tokens = SPAM_BURST;
	else
		b->tokens = MIN(SPAM_BURST, b->tokens + (double)(p->at_ns - b->at_ns) / (double)SPAM_REFILL_NS);
	b->at_ns = p->at_ns;
	if (b->tokens < 1)
		return true;
	b->tokens -= 1;
	return false;
}

static void aggregate(struct recorder *r, struct pending *p, struct sv object_key)
{
	struct sv key =
	    arena_svf(&p->arena, "%.*s\t%.*s\t%.*s", SV_ARG(object_key), SV_ARG(p->type), SV_ARG(p->reason));
	struct group *g = table_get(&r->groups, key, sizeof(*g), group_free);

	if (g->last_ns && p->at_ns - g->last_ns > AGGREGATE_WINDOW_NS)
		strmap_release(&g->messages);
	g->last_ns = p->at_ns;
	if (strmap_has(&g->messages, p->message))
		return;
	if (g->messages.n < AGGREGATE_MAX) {
		strmap_set(&g->messages, p->message, g);
		return;
	}
	p->message = arena_svf(&p->arena, "(combined from similar events): %.*s", SV_ARG(p->message));
}

static void recorder_set_time(struct arena *a, struct val *m, enum sym key, int64_t ns)
{
	char text[TIME_TEXT_MAX];

	val_set_str(a, m, key, time_format(ns, false, text));
}

static struct val *build_event(struct recorder *r, struct pending *p, const char *name)
{
	struct arena *a = &p->arena;
	struct val *ev = val_new_map(a), *m;

	val_set_cstr(a, ev, F_kind, "Event");
	val_set_cstr(a, ev, F_apiVersion, "v1");
	m = val_set_map(a, ev, F_metadata);
	val_set_cstr(a, m, F_name, name);
	val_set_str(a, m, F_namespace, p->ns);
	val_set(a, ev, F_involvedObject, p->ref);
	val_set_str(a, ev, F_reason, p->reason);
	val_set_str(a, ev, F_message, p->message);
	m = val_set_map(a, ev, F_source);
	val_set_cstr(a, m, F_component, r->component);
	if (r->host[0])
		val_set_cstr(a, m, F_host, r->host);
	recorder_set_time(a, ev, F_firstTimestamp, p->at_ns);
	recorder_set_time(a, ev, F_lastTimestamp, p->at_ns);
	val_set_int(a, ev, F_count, 1);
	val_set_str(a, ev, F_type, p->type);
	val_set_cstr(a, ev, F_reportingComponent, r->component);
	val_set_cstr(a, ev, F_reportingInstance, r->host);
	return ev;
}

static int bump(struct recorder *r, struct pending *p, struct seen *s, struct err *err)
{
	struct val *patch = val_new_map(&p->arena);

	val_set_int(&p->arena, patch, F_count, s->count + 1);
	recorder_set_time(&p->arena, patch, F_lastTimestamp, p->at_ns);
	val_set_str(&p->arena, patch, F_message, p->message);
	return client_patch(r->client, RES(core_events), p->ns, sv_from(s->name), PATCH_MERGE, patch, NULL, NULL, err);
}

static void write_event(struct recorder *r, struct pending *p)
{
	struct sv name = val_get_str(p->ref, F_name), key, object_key;
	struct arena *a = &p->arena;
	struct seen *s;

	object_key =
	    arena_svf(a, "%.*s\t%.*s\t%.*s\t%.*s\t%.*s", SV_ARG(val_get_str(p->ref, F_kind)), SV_ARG(p->ns),
		      SV_ARG(name), SV_ARG(val_get_str(p->ref, F_uid)), SV_ARG(val_get_str(p->ref, F_fieldPath)));
	if (spam(r, p, object_key))
		return;
	aggregate(r, p, object_key);
	key = arena_svf(a, "%.*s\t%.*s\t%.*s\t%.*s", SV_ARG(object_key), SV_ARG(p->type), SV_ARG(p->reason),
			SV_ARG(p->message));
	s = table_get(&r->seen, key, sizeof(*s), seen_free);

	for (int i = 0; i < WRITE_TRIES; i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		int rc;

		if (s->name) {
			rc = bump(r, p, s, &err);
			if (rc == 0)
				s->count++;
		} else {
			const char *ev_name;

			r->named_ns = MAX(r->named_ns + 1, (uint64_t)p->at_ns);
			ev_name = arena_printf(a, "%.*s.%" PRIx64, SV_ARG(sv_sub(name, 0, 220)), r->named_ns);
			rc = client_create(r->client, RES(core_events), p->ns, build_event(r, p, ev_name), NULL, NULL,
					   &err);
			if (rc == 0) {
				s->name = xstrdup(ev_name);
				s->count = 1;
			}
		}
		if (rc == 0)
			return;
		if (err.reason == ERR_NOT_FOUND) {
			free(TAKE(s->name)); /* expired meanwhile: start a new one */
			continue;
		}
		if (err.reason == ERR_FORBIDDEN)
			return; /* the namespace is going away */
		if (!err_retryable(&err) && err.reason != ERR_ALREADY_EXISTS) {
			log_debug("events", "event was refused", "error", "%s", err_msg(&err));
			return;
		}
	}
}

static void recorder_drain_task(void *ctx)
{
	struct recorder *r = ctx;

	pthread_mutex_lock(&r->lock);
	r->writing = true;
	while (!list_empty(&r->queue) && !r->stopping) {
		struct pending *p = LIST_ENTRY(r->queue.next, struct pending, link);

		list_del(&p->link);
		r->n_queue--;
		pthread_mutex_unlock(&r->lock);
		write_event(r, p);
		pending_free(p);
		pthread_mutex_lock(&r->lock);
	}
	r->draining = r->writing = false;
	pthread_cond_broadcast(&r->quiet);
	unref_locked(r);
}

struct recorder *recorder_new(struct client *c, const char *component, const char *host)
{
	struct recorder *r = xcalloc(1, sizeof(*r));

	r->client = c;
	r->env = c->env;
	r->component = xstrdup(component);
	r->host = xstrdup(host ? host : "");
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->quiet, NULL);
	list_init(&r->queue);
	r->refs = 1;
	return r;
}

struct recorder *recorder_free(struct recorder *r)
{
	if (!r)
		return NULL;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	while (r->writing)
		pthread_cond_wait(&r->quiet, &r->lock);
	LIST_EACH(&r->queue, it)
		pending_free(LIST_ENTRY(it, struct pending, link));
	unref_locked(r);
	return NULL;
}

static struct val *object_reference(struct arena *a, const struct resource *res, const struct val *obj,
				    const char *field_path)
{
	static const enum sym copied[] = { F_namespace, F_name, F_uid, F_resourceVersion };
	const struct val *meta = val_get(obj, F_metadata);
	struct val *ref = val_new_map(a);
	char api_version[128];

	val_set_cstr(a, ref, F_kind, res->kind);
	val_set_cstr(a, ref, F_apiVersion, resource_api_version(res, api_version, sizeof(api_version)));
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		struct sv s = val_get_str(meta, copied[i]);

		if (s.n)
			val_set_str(a, ref, copied[i], s);
	}
	if (field_path)
		val_set_cstr(a, ref, F_fieldPath, field_path);
	return ref;
}

static bool has_room_locked(const struct recorder *r)
{
	return !r->stopping && r->n_queue < QUEUE_MAX;
}

static void recorder_record(struct recorder *r, const struct resource *res, const struct val *obj,
			    const char *field_path, const char *type, const char *reason, const char *fmt, va_list ap)
{
	struct sv ns = val_get_str(obj, F_metadata, F_namespace);
	struct pending *p;
	bool room;

	/* Under a flood most are dropped: those should cost nothing. */
	pthread_mutex_lock(&r->lock);
	room = has_room_locked(r);
	pthread_mutex_unlock(&r->lock);
	if (!room)
		return;

	p = xcalloc(1, sizeof(*p));
	p->ref = object_reference(&p->arena, res, obj, field_path);
	p->ns = arena_sv(&p->arena, ns.n ? ns : SV("default"));
	p->type = arena_sv(&p->arena, sv_from(type));
	p->reason = arena_sv(&p->arena, sv_from(reason));
	p->message = utf8_cut(sv_from(arena_vprintf(&p->arena, fmt, ap)), 1024);
	p->at_ns = env_now_ns(r->env);
	list_init(&p->link);

	pthread_mutex_lock(&r->lock);
	if (!has_room_locked(r)) {
		pthread_mutex_unlock(&r->lock);
		pending_free(p);
		return;
	}
	list_add_tail(&r->queue, &p->link);
	r->n_queue++;
	if (!r->draining) {
		r->draining = true;
		r->refs++;
		env_post(r->env, r->client->class, recorder_drain_task, r);
	}
	pthread_mutex_unlock(&r->lock);
}

void recorder_event(struct recorder *r, const struct resource *res, const struct val *obj, const char *type,
		    const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	recorder_record(r, res, obj, NULL, type, reason, fmt, ap);
	va_end(ap);
}

void recorder_event_v(struct recorder *r, const struct resource *res, const struct val *obj, const char *type,
		      const char *reason, const char *fmt, va_list ap)
{
	recorder_record(r, res, obj, NULL, type, reason, fmt, ap);
}

void recorder_event_at(struct recorder *r, const struct resource *res, const struct val *obj, const char *field_path,
		       const char *type, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	recorder_record(r, res, obj, field_path, type, reason, fmt, ap);
	va_end(ap);
}
