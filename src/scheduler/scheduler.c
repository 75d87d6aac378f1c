/* Life of the scheduler, and what the informers' news do to its queue and cache. */
#include "scheduler/scheduler-internal.h"
#include "base/buf.h"
#include "pod/pod_phase.h"

#include <stdlib.h>

#define BIND_PARALLELISM 16

/* --- Pods --- */

static struct sv pod_key(struct buf *b, const struct obj *o)
{
	return obj_path(b, obj_ns(o), obj_name(o));
}

static void scheduler_pod_gone(struct scheduler *s, struct sv key, struct pod_info *p)
{
	strmap_del(&s->pods, key);
	if (p->place == POD_ON_NODE) {
		cache_remove_pod(&s->cache, p);
		scheduler_event_locked(s, &(struct sched_change){ .what = EV_POD_DELETE, .pod = p });
	} else {
		queue_remove(&s->queue, p);
	}
	/* One less promised: whoever was kept out by it may look again. */
	if (p->nominated.n) {
		cache_nominate(&s->cache, p, SV(""));
		scheduler_event_locked(s, &(struct sched_change){ .what = EV_POD_DELETE, .pod = p });
	}
	if (p->binding) {
		p->gone = true;
		return;
	}
	bind_job_gone_locked(p);
	pod_info_free(&s->cache, p);
}

static void pod_assigned(struct scheduler *s, struct pod_info *p, struct obj *o, struct sv node)
{
	uint32_t what = EV_POD_ADD;

	if (p->place == POD_ON_NODE && !sv_is(node, p->node->name)) {
		/* Assumed on one node, bound by somebody else to another. */
		cache_remove_pod(&s->cache, p);
		scheduler_event_locked(s, &(struct sched_change){ .what = EV_POD_DELETE, .pod = p });
	}
	if (p->place == POD_ON_NODE) {
		bool deleting = p->deleting;
		struct pod_shape *shape = p->shape;

		shape->refs++; /* compared below: must not be freed and made anew in between */
		if (!p->assumed)
			what = 0;
		cache_confirm(&s->cache, p);
		cache_update_pod(&s->cache, p, o);
		if (p->shape != shape || p->deleting != deleting)
			what |= EV_POD_UPDATE;
		pod_shape_unref(&s->cache, shape);
	} else {
		queue_remove(&s->queue, p);
		bind_job_forget_locked(p);
		cache_nominate(&s->cache, p, SV(""));
		pod_info_set(&s->cache, p, o);
		cache_add_pod(&s->cache, p, node);
	}
	scheduler_event_locked(s, &(struct sched_change){ .what = what, .pod = p });
}

static size_t scheduler_gates(const struct obj *o)
{
	return val_len(obj_get(o, F_spec, F_schedulingGates));
}

static void pod_unassigned(struct scheduler *s, struct pod_info *p, struct obj *o)
{
	struct pod_shape *shape;
	enum pod_place was = p->place;
	bool same;

	if (was == POD_ON_NODE) {
		if (p->assumed) /* an older state than ours */
			cache_update_pod(&s->cache, p, o);
		return;
	}
	shape = pod_shape_after(&s->cache, p, obj_root(o));
	same = shape == p->shape && (scheduler_gates(o) > 0) == (scheduler_gates(p->obj) > 0);
	/* Mostly it is our own writing of its status. Only what scheduling asks of it matters. */
	if (!same)
		queue_remove(&s->queue, p);
	pod_info_set(&s->cache, p, o);
	pod_shape_unref(&s->cache, shape);
	if (!same && was != POD_NOWHERE)
		queue_again(&s->queue, p, env_mono_ns(s->env));
}

static void scheduler_on_pod(struct scheduler *s, struct obj *o)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv key = pod_key(&b, o), node = val_str(obj_get(o, F_spec, F_nodeName));
	struct pod_info *p = strmap_get(&s->pods, key);

	if (p && !sv_eq(pod_uid(p), obj_uid(o))) {
		scheduler_pod_gone(s, key, p);
		p = NULL;
	}
	if (pod_phase_terminal(obj_root(o)) ||
	    (!node.n && !sv_is(val_str(obj_get(o, F_spec, F_schedulerName)), s->name))) {
		if (p)
			scheduler_pod_gone(s, key, p);
		return;
	}
	if (!p) {
		p = pod_info_new(&s->cache, o);
		strmap_set(&s->pods, key, p);
		if (!node.n) {
			cache_nominate(&s->cache, p, val_str(obj_get(o, F_status, F_nominatedNodeName)));
			queue_add(&s->queue, p, env_mono_ns(s->env));
			return;
		}
	}
	if (node.n)
		pod_assigned(s, p, o, node);
	else
		pod_unassigned(s, p, o);
}

static void scheduler_pod_added(struct obj *o, void *ctx)
{
	struct scheduler *s = ctx;

	pthread_mutex_lock(&s->lock);
	scheduler_on_pod(s, o);
	scheduler_kick_locked(s);
	pthread_mutex_unlock(&s->lock);
}

static void scheduler_pod_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	scheduler_pod_added(neu, ctx);
}

static void scheduler_pod_deleted(struct obj *o, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct scheduler *s = ctx;
	struct pod_info *p;

	pthread_mutex_lock(&s->lock);
	p = strmap_get(&s->pods, pod_key(&b, o));
	if (p)
		scheduler_pod_gone(s, buf_sv(&b), p);
	scheduler_kick_locked(s);
	pthread_mutex_unlock(&s->lock);
}

/* --- nodes and namespaces --- */

static void node_set(struct obj *o, void *ctx)
{
	struct scheduler *s = ctx;
	struct sched_change change = { 0 };

	pthread_mutex_lock(&s->lock);
	change.node = cache_set_node(&s->cache, o, &change.what);
	scheduler_event_locked(s, &change);
	scheduler_kick_locked(s);
	pthread_mutex_unlock(&s->lock);
}

static void scheduler_node_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	node_set(neu, ctx);
}

static void node_deleted(struct obj *o, void *ctx)
{
	struct scheduler *s = ctx;

	pthread_mutex_lock(&s->lock);
	if (cache_remove_node(&s->cache, obj_name(o)))
		scheduler_event_locked(s, &(struct sched_change){ .what = EV_NODE_DELETE });
	scheduler_kick_locked(s);
	pthread_mutex_unlock(&s->lock);
}

static void namespace_set(struct obj *o, void *ctx)
{
	struct scheduler *s = ctx;

	pthread_mutex_lock(&s->lock);
	cache_set_namespace(&s->cache, o, false);
	scheduler_event_locked(s, &(struct sched_change){ .what = EV_NAMESPACE });
	scheduler_kick_locked(s);
	pthread_mutex_unlock(&s->lock);
}

static void scheduler_namespace_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_labels(old), obj_labels(neu)))
		namespace_set(neu, ctx);
}

static void namespace_deleted(struct obj *o, void *ctx)
{
	struct scheduler *s = ctx;

	pthread_mutex_lock(&s->lock);
	cache_set_namespace(&s->cache, o, true);
	pthread_mutex_unlock(&s->lock);
}

/* --- claims, volumes, classes --- */

static void storage_changed(struct scheduler *s, struct obj *o, bool deleted)
{
	bool claim = val_is(obj_get(o, F_kind), "PersistentVolumeClaim");
	bool attached = !deleted && val_is(obj_get(o, F_kind), "VolumeAttachment"); /* that helps no Pod */

	pthread_mutex_lock(&s->lock);
	volumes_set(&s->cache.volumes, o, deleted);
	if (!attached) {
		scheduler_event_locked(
		    s, &(struct sched_change){ .what = claim ? EV_CLAIM : EV_VOLUME, .claim = claim ? o : NULL });
		scheduler_kick_locked(s);
	}
	pthread_mutex_unlock(&s->lock);
}

static void storage_set(struct obj *o, void *ctx)
{
	storage_changed(ctx, o, false);
}

static void storage_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	storage_changed(ctx, now, false);
}

static void storage_deleted(struct obj *o, void *ctx)
{
	storage_changed(ctx, o, true);
}

/* --- Services --- */

static void scheduler_service_changed(struct scheduler *s, struct obj *o, bool deleted)
{
	pthread_mutex_lock(&s->lock);
	if (balancers_set(&s->cache.balancers, o, deleted)) {
		scheduler_event_locked(s, &(struct sched_change){ .what = EV_BALANCER });
		scheduler_kick_locked(s);
	}
	pthread_mutex_unlock(&s->lock);
}

static void scheduler_service_set(struct obj *o, void *ctx)
{
	scheduler_service_changed(ctx, o, false);
}

static void scheduler_service_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	scheduler_service_changed(ctx, neu, false);
}

static void scheduler_service_deleted(struct obj *o, void *ctx)
{
	scheduler_service_changed(ctx, o, true);
}

/* --- life --- */

struct scheduler *scheduler_new(const struct scheduler_opts *o)
{
	static const struct informer_handler pods = { scheduler_pod_added, scheduler_pod_updated,
						      scheduler_pod_deleted };
	static const struct informer_handler nodes = { node_set, scheduler_node_updated, node_deleted };
	static const struct informer_handler namespaces = { namespace_set, scheduler_namespace_updated,
							    namespace_deleted };
	static const struct informer_handler storage = { storage_set, storage_updated, storage_deleted };
	static const struct informer_handler services = { scheduler_service_set, scheduler_service_updated,
							  scheduler_service_deleted };
	const struct resource *const stored[] = { RES(storage_storageclasses),	    RES(core_persistentvolumes),
						  RES(core_persistentvolumeclaims), RES(storage_csinodes),
						  RES(storage_csidrivers),	    RES(storage_csistoragecapacities),
						  RES(storage_volumeattachments) };
	struct scheduler *s = xcalloc(1, sizeof(*s));

	s->env = o->env;
	s->client = o->client;
	s->cycle = scheduler_cycle_task;
	s->name = xstrdup(o->name ? o->name : "default-scheduler");
	s->parallelism = o->bind_parallelism > 0 ? o->bind_parallelism : BIND_PARALLELISM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->quiet, NULL);
	cache_init(&s->cache);
	queue_init(&s->queue, &s->cache);
	s->queue.counts = &s->counts;
	list_init(&s->jobs);
	list_init(&s->explanations);
	s->refs = 1;
	s->recorder = recorder_new(o->client, s->name, "");
	s->informers = informer_factory_new(o->client);
	/* Nodes first: fewer Pods then meet a node that is not known yet. */
	informer_add_handler(informer_get(s->informers, RES(core_nodes), NULL, NULL, NULL), &nodes, s);
	informer_add_handler(informer_get(s->informers, RES(core_namespaces), NULL, NULL, NULL), &namespaces, s);
	for (size_t i = 0; i < ARRAY_LEN(stored); i++)
		informer_add_handler(informer_get(s->informers, stored[i], NULL, NULL, NULL), &storage, s);
	informer_add_handler(informer_get(s->informers, RES(core_services), NULL, NULL, NULL), &services, s);
	informer_add_handler(informer_get(s->informers, RES(core_pods), NULL, NULL, NULL), &pods, s);
	s->budgets = informer_get(s->informers, RES(policy_poddisruptionbudgets), NULL, NULL, NULL);
	informer_factory_start(s->informers);
	pthread_mutex_lock(&s->lock);
	scheduler_kick_locked(s);
	pthread_mutex_unlock(&s->lock);
	return s;
}

bool scheduler_synced(struct scheduler *s)
{
	bool ready;

	pthread_mutex_lock(&s->lock);
	ready = s->ready;
	pthread_mutex_unlock(&s->lock);
	return ready;
}

static void free_jobs(struct scheduler *s, struct list *jobs)
{
	LIST_EACH(jobs, it) {
		struct job *j = LIST_ENTRY(it, struct job, link);
		struct pod_info *p = j->pod;

		list_del(&j->link);
		if (p)
			p->wanted = NULL;
		if (j->kind == JOB_BIND) {
			p->binding = false;
			if (p->gone)
				pod_info_free(&s->cache, p);
		}
		bind_job_free(j);
	}
}

struct scheduler *scheduler_free(struct scheduler *s)
{
	if (!s)
		return NULL;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_mutex_unlock(&s->lock);
	informer_factory_stop(
	    s->informers); /* no handler runs from here on; a run under way may still look things up */
	pthread_mutex_lock(&s->lock);
	if (s->timer && env_timer_stop(s->env, TAKE(s->timer)))
		s->refs--;
	if (s->explain_timer && env_timer_stop(s->env, TAKE(s->explain_timer)))
		s->refs--;
	while (s->running)
		pthread_cond_wait(&s->quiet, &s->lock);
	s->informers = informer_factory_free(s->informers);
	free_jobs(s, &s->jobs);
	free_jobs(s, &s->explanations);
	STRMAP_EACH(&s->pods, e) {
		struct pod_info *p = e->value;

		if (p->place == POD_ON_NODE)
			cache_remove_pod(&s->cache, p);
		else
			queue_remove(&s->queue, p);
		pod_info_free(&s->cache, p);
	}
	strmap_release(&s->pods);
	queue_release(&s->queue);
	sched_counts_release(&s->counts);
	cache_release(&s->cache);
	arena_release(&s->arena);
	pthread_mutex_unlock(&s->lock);
	s->recorder = recorder_free(s->recorder);
	pthread_mutex_lock(&s->lock);
	scheduler_unref_locked(s);
	return NULL;
}

void scheduler_metrics(struct scheduler *s, struct buf *b)
{
	size_t pending[_QUEUE_MAX];

	pthread_mutex_lock(&s->lock);
	pending[QUEUE_ACTIVE] = s->queue.active.n;
	pending[QUEUE_BACKOFF] = s->queue.backoff.n + s->queue.failed.n;
	pending[QUEUE_UNSCHEDULABLE] = s->queue.n_unschedulable;
	pending[QUEUE_GATED] = s->queue.n_gated;
	pthread_mutex_unlock(&s->lock);
	sched_counts_write(&s->counts, s->name, pending, b);
}
