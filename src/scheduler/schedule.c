/* Taking Pods from the queue, one cycle each, and what follows from the cycle's outcome. */
#include "base/log.h"
#include "scheduler/scheduler-internal.h"

#include <stdlib.h>

#define BATCH 16 /* cycles before the lock and the thread are given to others */

static struct job *job_new(enum job_kind kind, struct pod_info *p, const char *node, struct sv message)
{
	struct job *j = xcalloc(1, sizeof(*j));

	list_init(&j->link);
	j->kind = kind;
	j->pod = kind == JOB_EVICT ? NULL : p;
	j->obj = obj_ref(p->obj);
	j->node = node ? xstrdup(node) : NULL;
	j->message = message.n ? xstrndup(message.p, message.n) : NULL;
	return j;
}

/* Does the Pod's status say this already? */
static bool status_says(const struct pod_info *p, struct sv message, struct sv nominated)
{
	if (nominated.n && !sv_eq(val_str(obj_get(p->obj, F_status, F_nominatedNodeName)), nominated))
		return false;
	VAL_EACH(obj_get(p->obj, F_status, F_conditions), c)
		if (val_is(val_get(c, F_type), "PodScheduled"))
			return val_is(val_get(c, F_status), "False") && val_is(val_get(c, F_reason), "Unschedulable") &&
			       sv_eq(val_get_str(c, F_message), message);
	return false;
}

static void start_preemption(struct scheduler *s, struct pod_info *p, const struct preemption *pre)
{
	for (size_t i = 0; i < pre->n; i++) {
		struct pod_info *v = pre->victims[i];

		if (v->deleting)
			continue;
		bind_job_add_locked(s, job_new(JOB_EVICT, v, NULL, SV("")));
		recorder_event(s->recorder, RES(core_pods), obj_root(v->obj), "Normal", "Preempted",
			       "Preempted by pod %.*s on node %s", SV_ARG(pod_uid(p)), pre->node->name);
	}
	/* Less important Pods that were promised this node have to look again. */
	for (size_t i = pre->node->nominated.n; i-- > 0;)
		if (pre->node->nominated.p[i]->shape->priority < p->shape->priority)
			cache_nominate(&s->cache, pre->node->nominated.p[i], SV(""));
	cache_nominate(&s->cache, p, sv_from(pre->node->name));
}

static void schedule_no_node(struct scheduler *s, struct cycle_state *cs, struct pod_info *p)
{
	int64_t since_ns = env_mono_ns(s->env);
	struct preemption pre = { 0 };
	struct sv message = cycle_message(cs);

	if (informer_count(s->budgets))
		cs->budgets = informer_list(s->budgets, &s->arena, SV(""), &cs->n_budgets);
	if (preemption_find(cs, &pre)) {
		sched_count_preemption(&s->counts, pre.n);
		sched_count_point(&s->counts, POINT_POSTFILTER, RESULT_SCHEDULED, env_mono_ns(s->env) - since_ns);
		start_preemption(s, p, &pre);
	} else {
		sched_count_preemption(&s->counts, 0);
		sched_count_point(&s->counts, POINT_POSTFILTER, RESULT_UNSCHEDULABLE, env_mono_ns(s->env) - since_ns);
	}
	if (pre.message.n)
		message = arena_svf(&s->arena, "%.*s %.*s", SV_ARG(message), SV_ARG(pre.message));
	recorder_event(s->recorder, RES(core_pods), obj_root(p->obj), "Warning", "FailedScheduling", "%.*s",
		       SV_ARG(message));
	if (status_says(p, message, p->nominated))
		bind_job_forget_locked(p); /* of what was true in between */
	else
		bind_job_add_locked(s, job_new(JOB_STATUS, p, p->nominated.n ? p->nominated.p : NULL, message));
	queue_park(&s->queue, p, cs->rejected_by, env_mono_ns(s->env));
}

/* The Pod's claims wait for its node: they are told, the node is kept for it, and it comes again when they are bound.
 */
static void bind_claims_first(struct scheduler *s, struct pod_info *p, struct node_info *node, claim_works *work_take)
{
	struct job *j = job_new(JOB_CLAIMS, p, node->name, SV(""));

	j->claims = *work_take;
	volumes_promise(&s->cache.volumes, j->claims.p, j->claims.n);
	cache_nominate(&s->cache, p, sv_from(node->name));
	queue_park(&s->queue, p, 1u << PLUGIN_VOLUME_BINDING, env_mono_ns(s->env));
	bind_job_add_locked(s, j);
}

/* The node of one cycle, or NULL, with how long its steps took. */
static struct node_info *schedule_find(struct scheduler *s, struct cycle_state *cs, struct pod_info *p,
				       int64_t begun_ns)
{
	enum sched_outcome first = cycle_begin(cs, &s->cache, p, &s->arena);
	int64_t filter_ns = env_mono_ns(s->env), now;
	struct node_info *node;

	sched_count_point(&s->counts, POINT_PREFILTER, first == SCHED_OK ? RESULT_SCHEDULED : RESULT_UNSCHEDULABLE,
			  filter_ns - begun_ns);
	if (first != SCHED_OK)
		return NULL;
	cs->chance = env_random_u64(s->env);
	cs->env = s->env;
	node = cycle_find(cs, &s->start);
	now = env_mono_ns(s->env);
	if (cs->score_from_ns)
		sched_count_point(&s->counts, POINT_SCORE, RESULT_SCHEDULED, now - cs->score_from_ns);
	sched_count_point(&s->counts, POINT_FILTER, node ? RESULT_SCHEDULED : RESULT_UNSCHEDULABLE,
			  (cs->score_from_ns ? cs->score_from_ns : now) - filter_ns);
	return node;
}

static void schedule_one(struct scheduler *s, struct pod_info *p)
{
	struct node_info *node;
	claim_works work = VEC_INIT;
	struct cycle_state cs;
	int64_t begun_ns;
	struct job *j;

	if (p->deleting)
		return; /* its end will be reported */
	arena_reset(&s->arena);
	begun_ns = env_mono_ns(s->env);
	node = schedule_find(s, &cs, p, begun_ns);
	if (!node) {
		schedule_no_node(s, &cs, p);
		sched_count_attempt(&s->counts, RESULT_UNSCHEDULABLE, env_mono_ns(s->env) - begun_ns);
		return;
	}
	volume_binding_work(&cs, node, &work);
	if (work.n) {
		bind_claims_first(s, p, node, &work);
		return;
	}
	cache_nominate(&s->cache, p, SV(""));
	cache_assume(&s->cache, p, node);
	p->binding = true;
	j = job_new(JOB_BIND, p, node->name, SV(""));
	j->since_ns = begun_ns;
	bind_job_add_locked(s, j);
	scheduler_event_locked(s, &(struct sched_change){ .what = EV_POD_ADD, .pod = p });
}

void scheduler_cycle_task(void *ctx)
{
	struct scheduler *s = ctx;
	struct pod_info *p;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < BATCH && !s->stopping && (p = queue_pop(&s->queue)); i++)
		schedule_one(s, p);
	s->cycling = false;
	if (!s->stopping)
		scheduler_kick_locked(s);
	scheduler_unref_locked(s);
}
