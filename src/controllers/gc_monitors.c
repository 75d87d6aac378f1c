/* See gc_monitors.h. */
#include "controllers/gc_monitors.h"

#include "object/served.h"

#include <stdlib.h>

struct gc_monitor {
	struct gc_monitors *of;
	const struct resource *res;
	struct informer *informer;
};

bool gc_monitors_synced(const struct gc_monitors *m)
{
	bool synced = true;

	for (size_t i = 0; synced && i < m->list.n; i++)
		synced = informer_synced(m->list.p[i]->informer);
	return synced;
}

bool gc_monitors_behind(const struct gc_monitors *m, int64_t since_ns)
{
	return m->changing || (m->changed_ns && m->changed_ns > since_ns && !gc_monitors_synced(m));
}

static void added(struct obj *o, void *ctx)
{
	struct gc_monitor *m = ctx;

	pthread_mutex_lock(m->of->lock);
	gc_graph_put(m->of->graph, m->res, o);
	pthread_mutex_unlock(m->of->lock);
}

static void deleted(struct obj *o, void *ctx)
{
	struct gc_monitor *m = ctx;

	pthread_mutex_lock(m->of->lock);
	gc_graph_del(m->of->graph, obj_uid(o));
	pthread_mutex_unlock(m->of->lock);
}

static void updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!sv_eq(obj_uid(old), obj_uid(neu)))
		deleted(old, ctx);
	added(neu, ctx);
}

/* Events own nothing and are many; other versions of a kind show the same objects. */
static bool gc_watched(const struct resource *r)
{
	unsigned need = 1 << VERB_LIST | 1 << VERB_WATCH | 1 << VERB_DELETE;

	if ((r->verbs & need) != need || strcmp(r->plural, "events") == 0)
		return false;
	return resource_late(r) || resource_served_first(r);
}

static void gc_monitor(struct gc_monitors *of, const struct resource *r)
{
	struct gc_monitor *m;

	if (!gc_watched(r))
		return;
	m = xcalloc(1, sizeof(*m));
	*m = (struct gc_monitor){ of, r, informer_get(of->ctx->informers, r, NULL, NULL, NULL) };
	informer_add_handler(m->informer, &(struct informer_handler){ added, updated, deleted }, m);
	pthread_mutex_lock(of->lock);
	vec_push(&of->list, m);
	pthread_mutex_unlock(of->lock);
}

/* No event of r reaches the graph any more; what it had of it is for the caller. */
static void gc_unmonitor(struct gc_monitors *of, const struct resource *r)
{
	struct gc_monitor *m = NULL;

	pthread_mutex_lock(of->lock);
	for (size_t i = 0; i < of->list.n && !m; i++) {
		if (of->list.p[i]->res == r) {
			m = of->list.p[i];
			of->list.p[i] = vec_pop(&of->list);
		}
	}
	pthread_mutex_unlock(of->lock);
	if (m)
		informer_end(of->ctx->informers, m->informer);
	free(m);
}

static void gc_kinds_changed(const struct api_set *was, const struct api_set *now, void *ctx)
{
	struct gc_monitors *m = ctx;

	if (informer_factory_stopped(m->ctx->informers))
		return;
	pthread_mutex_lock(m->lock);
	m->changing = true;
	pthread_mutex_unlock(m->lock);
	/* Of a kind in several versions one tells of all its objects. */
	for (size_t i = 0; i < was->n_custom; i++)
		if (!api_has(now, was->custom[i].resource) && api_kind_first(was->custom[i].resource))
			gc_unmonitor(m, was->custom[i].resource);
	pthread_mutex_lock(m->lock);
	for (size_t i = 0; i < was->n_custom; i++)
		if (!api_has(now, was->custom[i].resource))
			gc_graph_forget(m->graph, was->custom[i].resource);
	api_set_unref(m->api);
	m->api = api_set_ref(now);
	pthread_mutex_unlock(m->lock);
	for (size_t i = 0; i < now->n_custom; i++)
		if (!api_has(was, now->custom[i].resource) && api_kind_first(now->custom[i].resource))
			gc_monitor(m, now->custom[i].resource);
	pthread_mutex_lock(m->lock);
	m->changing = false;
	m->changed_ns = env_mono_ns(m->ctx->env);
	gc_graph_look_again(m->graph);
	pthread_mutex_unlock(m->lock);
}

void gc_monitors_start(struct gc_monitors *m, struct controller_ctx *ctx, pthread_mutex_t *lock, struct gc_graph *graph)
{
	m->ctx = ctx;
	m->lock = lock;
	m->graph = graph;
	m->api = api_set_built_in();
	for (size_t i = 0; i < resource_count; i++)
		gc_monitor(m, &resource_all[i]);
}

void gc_monitors_follow(struct gc_monitors *m)
{
	m->listener = (struct api_listener){ .changed = gc_kinds_changed, .ctx = m };
	api_current_listen(m->ctx->opts->kinds, &m->listener);
}

void gc_monitors_stay(struct gc_monitors *m)
{
	api_current_unlisten(m->ctx->opts->kinds, &m->listener);
}

void gc_monitors_release(struct gc_monitors *m)
{
	while (m->list.n)
		free(vec_pop(&m->list));
	vec_release(&m->list);
	api_set_unref(m->api);
}
