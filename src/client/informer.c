/* One informer is a small state machine driven by tasks of the env:
 *
 *	list_task ──▶ replace the store, open a watch ──▶ events ... end ──────┐
 *	    ▲  ▲ failed: after back-off                                        │ expired, or watching
 *	    └──┴───────────────────────────────────────────────────────────────┘ again failed
 *
 * Changes go into the store at once and into a queue of notices; informer_drain_task, one at a time,
 * reports the notices to the handlers. So handlers may be slow, may look things up, and see
 * events in order, while the store is never behind the watch.
 *
 * Reference counting as in workq.c: the factory holds one reference, each task and timer in
 * the env's hands another. */
#include "client/informer-internal.h"

#include "base/buf.h"
#include "base/log.h"
#include "object/api_kind.h"

#include <stdlib.h>

/* Upstream's, for what a server that is there has to do for it. One that nobody is at costs nothing to ask, and the
 * longer it was away the later would all be back. */
static const struct retry_policy informer_retry = { .first_ns = 100 * NS_PER_MS, .max_ns = 30 * NS_PER_SEC };
static const struct retry_policy away_retry = { .first_ns = 100 * NS_PER_MS, .max_ns = 3 * NS_PER_SEC };

static void list_task(void *ctx);
static void informer_drain_task(void *ctx);

static void informer_unref_locked(struct informer *i)
{
	bool last = --i->refs == 0;

	pthread_mutex_unlock(&i->lock);
	if (!last)
		return;
	index_release(&i->index);
	vec_release(&i->handlers);
	vec_release(&i->notices);
	pthread_mutex_destroy(&i->lock);
	pthread_cond_destroy(&i->quiet);
	free(i->ns);
	free(i->labels);
	free(i->fields);
	keep_unref(i->keep);
	resource_unref(i->res);
	free(i);
}

static void busy_end_locked(struct informer *i)
{
	if (--i->busy == 0)
		pthread_cond_broadcast(&i->quiet);
}

static void post_locked(struct informer *i, env_fn *fn)
{
	i->refs++;
	env_post_next(i->env, i->client->class, fn, i);
}

static void notify_locked(struct informer *i, struct notice n)
{
	vec_push(&i->notices, n);
	if (!i->draining) {
		i->draining = true;
		post_locked(i, informer_drain_task);
	}
}

static void run_notice(const struct notice *n, const struct handler *h)
{
	if (n->neu && n->old && h->ops.update)
		h->ops.update(n->old, n->neu, h->ctx);
	else if (n->neu && !n->old && h->ops.add)
		h->ops.add(n->neu, h->ctx);
	else if (!n->neu && n->old && h->ops.del)
		h->ops.del(n->old, h->ctx);
}

/* Reports everything queued, one batch per task. */
static void informer_drain_task(void *ctx)
{
	struct informer *i = ctx;
	VEC(struct notice) batch = VEC_INIT;
	VEC(struct handler) handlers = VEC_INIT;
	void (*on_unserved)(void *ctx);
	void *on_unserved_ctx;

	pthread_mutex_lock(&i->lock);
	i->busy++;
	on_unserved = i->on_unserved;
	on_unserved_ctx = i->on_unserved_ctx;
	if (!i->stopping) {
		batch.p = i->notices.p;
		batch.n = i->notices.n;
		i->notices.p = NULL;
		i->notices.n = i->notices.cap = 0;
		for (size_t k = 0; k < i->handlers.n; k++)
			vec_push(&handlers, i->handlers.p[k]);
	}
	pthread_mutex_unlock(&i->lock);

	for (size_t k = 0; k < batch.n; k++) {
		struct notice *n = &batch.p[k];

		if (n->kind == NOTICE_SYNCED) {
			pthread_mutex_lock(&i->lock);
			i->synced = true;
			pthread_mutex_unlock(&i->lock);
		} else if (n->kind == NOTICE_UNSERVED) {
			if (on_unserved)
				on_unserved(on_unserved_ctx);
		} else if (n->kind == NOTICE_HANDLER) {
			run_notice(n, &handlers.p[n->handler]);
		} else {
			/* A handler added later gets its own notices for what was known then. */
			for (size_t h = 0; h < handlers.n && h < n->handler; h++)
				run_notice(n, &handlers.p[h]);
		}
		obj_unref(n->old);
		obj_unref(n->neu);
	}
	vec_release(&batch);
	vec_release(&handlers);

	pthread_mutex_lock(&i->lock);
	if (i->notices.n && !i->stopping)
		post_locked(i, informer_drain_task);
	else
		i->draining = false;
	busy_end_locked(i);
	informer_unref_locked(i);
}

static void change_locked(struct informer *i, struct obj *old_take, struct obj *neu)
{
	notify_locked(i, (struct notice){
			     .kind = NOTICE_CHANGE, .old = old_take, .neu = obj_ref(neu), .handler = i->handlers.n });
}

/* Puts a full list into the store: what is new or changed is reported, what is gone too. */
static void replace_locked(struct informer *i, const struct obj_list *l)
{
	VEC(struct obj *) gone = VEC_INIT;

	i->generation++;
	for (size_t k = 0; k < l->n; k++) {
		struct obj *o = l->items[k], *old;
		struct index_entry *e;

		old = index_put(&i->index, o, &e);
		e->mark = i->generation;
		if (old && obj_same_version(old, o)) {
			obj_unref(old);
			continue;
		}
		change_locked(i, old, o);
	}
	STRMAP_EACH(&i->index.entries, e) {
		const struct index_entry *x = e->value;

		if (x->mark != i->generation)
			vec_push(&gone, obj_ref(x->obj));
	}
	for (size_t k = 0; k < gone.n; k++) {
		change_locked(i, index_del(&i->index, obj_ns(gone.p[k]), obj_name(gone.p[k])), NULL);
		obj_unref(gone.p[k]);
	}
	vec_release(&gone);
	i->rev = l->rev;
	if (!i->listed) {
		i->listed = true;
		notify_locked(i, (struct notice){ .kind = NOTICE_SYNCED });
	}
}

static void retry_task(void *ctx)
{
	struct informer *i = ctx;

	pthread_mutex_lock(&i->lock);
	i->retry = env_timer_cancel(i->env, i->retry);
	if (!i->stopping)
		post_locked(i, list_task);
	informer_unref_locked(i);
}

static void retry_locked(struct informer *i, const struct err *why)
{
	bool away = why->reason == ERR_UNAVAILABLE && why->errnum; /* of a socket, and no server's answer */
	int64_t now = env_mono_ns(i->env),
		d = env_jitter(i->env, retry_failed(away ? &away_retry : &informer_retry, &i->failed, now), 1000);

	i->refs++;
	i->retry = env_after(i->env, i->client->class, d, retry_task, i);
}

static void informer_on_event(enum watch_type t, struct obj *o, void *ctx)
{
	struct informer *i = ctx;
	struct obj *old;

	pthread_mutex_lock(&i->lock);
	if (i->stopping) {
		pthread_mutex_unlock(&i->lock);
		return;
	}
	i->rev = MAX(i->rev, obj_rev(o));
	retry_forget(&i->failed);
	switch (t) {
	case WATCH_ADDED:
	case WATCH_MODIFIED: {
		struct index_entry *e;

		old = index_put(&i->index, o, &e);
		e->mark = i->generation;
		change_locked(i, old, o);
		break;
	}
	case WATCH_DELETED:
		old = index_del(&i->index, obj_ns(o), obj_name(o));
		if (old) {
			/* Report the final version, which carries the deletion's revision. */
			obj_unref(old);
			change_locked(i, obj_ref(o), NULL);
		}
		break;
	case WATCH_BOOKMARK:
		break;
	}
	pthread_mutex_unlock(&i->lock);
}

/* Whatever ended the watch, list again: the store stays as it is meanwhile, and only real
 * differences are reported. A watch that merely timed out costs one list; servers time them
 * out after half an hour or more. */
static void informer_on_end(const struct err *why, void *ctx)
{
	struct informer *i = ctx;
	struct client_watch *w;

	pthread_mutex_lock(&i->lock);
	w = TAKE(i->watch);
	if (!i->stopping) {
		if (!why || why->reason == ERR_NONE || why->reason == ERR_EXPIRED)
			post_locked(i, list_task);
		else
			retry_locked(i, why);
	}
	pthread_mutex_unlock(&i->lock);
	client_unwatch(i->client, w);
}

static void list_task(void *ctx)
{
	static const struct client_watch_cb cb = { .event = informer_on_event, .end = informer_on_end };
	struct informer *i = ctx;
	struct client_list_opts o = { .label_selector = i->labels, .field_selector = i->fields, .keep = i->keep };
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(obj_list_release) struct obj_list list = { 0 };
	bool unserved;
	int rc;

	pthread_mutex_lock(&i->lock);
	if (i->stopping) {
		informer_unref_locked(i);
		return;
	}
	i->busy++;
	pthread_mutex_unlock(&i->lock);

	rc = client_list(i->client, i->res, sv_from(i->ns), &o, &list, &err);

	pthread_mutex_lock(&i->lock);
	unserved = rc < 0 && err.reason == ERR_NOT_FOUND;
	if (unserved && !i->unserved && !i->stopping)
		notify_locked(i, (struct notice){ .kind = NOTICE_UNSERVED });
	i->unserved = unserved;
	if (rc == 0 && !i->stopping) {
		replace_locked(i, &list);
		o.resource_version = list.rev;
		/* Under our lock, so that no event comes before i->watch is set. Watch callbacks
		 * are tasks of their own and simply wait for it. */
		rc = client_watch(i->client, i->res, sv_from(i->ns), &o, &cb, i, &i->watch, &err);
	}
	if (rc < 0 && !i->stopping) {
		log_debug("informer", "cannot list or watch, will retry", i->res->plural, "%s", err_msg(&err));
		retry_locked(i, &err);
	}
	busy_end_locked(i);
	informer_unref_locked(i);
}

/* --- life --- */

struct informer *informer_new(struct client *c, const struct resource *r, const char *ns, const char *labels,
			      const char *fields, struct keep *keep_take)
{
	struct informer *i = xcalloc(1, sizeof(*i));

	i->client = c;
	i->env = c->env;
	i->res = resource_ref(r);
	i->ns = xstrdup(ns ? ns : "");
	i->labels = labels ? xstrdup(labels) : NULL;
	i->fields = fields ? xstrdup(fields) : NULL;
	i->keep = keep_take;
	retry_forget(&i->failed);
	i->refs = 1;
	pthread_mutex_init(&i->lock, NULL);
	pthread_cond_init(&i->quiet, NULL);
	index_init(&i->index);
	return i;
}

void informer_on_unserved(struct informer *i, void (*fn)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&i->lock);
	i->on_unserved = fn;
	i->on_unserved_ctx = ctx;
	if (fn && i->unserved) /* it was quicker than us */
		notify_locked(i, (struct notice){ .kind = NOTICE_UNSERVED });
	pthread_mutex_unlock(&i->lock);
}

bool informer_unserved(struct informer *i)
{
	bool ret;

	pthread_mutex_lock(&i->lock);
	ret = i->unserved;
	pthread_mutex_unlock(&i->lock);
	return ret;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool informer_is(const struct informer *i, const struct resource *r, const char *ns, const char *labels,
		 const char *fields)
{
	return i->res == r && same_text(i->ns, ns) && same_text(i->labels, labels) && same_text(i->fields, fields);
}

void informer_start(struct informer *i)
{
	pthread_mutex_lock(&i->lock);
	if (!i->started) {
		i->started = true;
		post_locked(i, list_task);
	}
	pthread_mutex_unlock(&i->lock);
}

void informer_stop(struct informer *i)
{
	struct client_watch *w;

	pthread_mutex_lock(&i->lock);
	if (i->stopping) {
		pthread_mutex_unlock(&i->lock);
		return;
	}
	i->stopping = true;
	if (i->retry && env_timer_stop(i->env, TAKE(i->retry)))
		i->refs--;
	w = TAKE(i->watch);
	pthread_mutex_unlock(&i->lock);
	client_unwatch(i->client, w);

	pthread_mutex_lock(&i->lock);
	while (i->busy)
		pthread_cond_wait(&i->quiet, &i->lock);
	/* A list that was under way may have opened a watch after we looked: it checks
	 * `stopping` under the lock, so it has not. */
	for (size_t k = 0; k < i->notices.n; k++) {
		obj_unref(i->notices.p[k].old);
		obj_unref(i->notices.p[k].neu);
	}
	vec_clear(&i->notices);
	pthread_mutex_unlock(&i->lock);
}

void informer_unref(struct informer *i)
{
	pthread_mutex_lock(&i->lock);
	informer_unref_locked(i);
}

void informer_add_handler(struct informer *i, const struct informer_handler *h, void *ctx)
{
	struct handler handler = { .ops = *h, .ctx = ctx };

	pthread_mutex_lock(&i->lock);
	vec_push(&i->handlers, handler);
	STRMAP_EACH(&i->index.entries, e) {
		struct index_entry *x = e->value;

		notify_locked(
		    i, (struct notice){ .kind = NOTICE_HANDLER, .neu = obj_ref(x->obj), .handler = i->handlers.n - 1 });
	}
	pthread_mutex_unlock(&i->lock);
}
