/* What the scheduler tells the API, one call a job, several jobs at a time. */
#include "base/log.h"
#include "base/timefmt.h"
#include "scheduler/scheduler-internal.h"

#include <stdlib.h>

/* Explanations under way at a time: as many as bindings would take the server, its disk and the processors from those
 * who create the Pods. */
#define EXPLAINERS 2
/* And how many of them begin: so many at once, then one every so often, as upstream's client does it (50 a second).
 * Each is a write of a Pod, which nobody waits for but who looks at it. */
#define EXPLAIN_BURST 100
#define EXPLAIN_EVERY_NS (20 * NS_PER_MS)

void bind_job_free(struct job *j)
{
	obj_unref(j->obj);
	claim_works_release(&j->claims);
	free(j->node);
	free(j->message);
	free(j);
}

static int bind_pod(struct scheduler *s, const struct job *j, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_map(&a), *m;

	val_set_cstr(&a, doc, F_apiVersion, "v1");
	val_set_cstr(&a, doc, F_kind, "Binding");
	m = val_set_map(&a, doc, F_metadata);
	val_set_str(&a, m, F_name, obj_name(j->obj));
	val_set_str(&a, m, F_namespace, obj_ns(j->obj));
	val_set_str(&a, m, F_uid, obj_uid(j->obj));
	m = val_set_map(&a, doc, F_target);
	val_set_cstr(&a, m, F_kind, "Node");
	val_set_cstr(&a, m, F_name, j->node);
	return client_create_sub(s->client, RES(core_pods), obj_ns(j->obj), obj_name(j->obj), "binding", doc, NULL,
				 err);
}

static void bind_finish_locked(struct scheduler *s, struct job *j, int rc, const struct err *err)
{
	struct pod_info *p = j->pod;
	int64_t now = env_mono_ns(s->env);

	p->binding = false;
	sched_count_attempt(&s->counts, rc == 0 ? RESULT_SCHEDULED : RESULT_ERROR, now - j->since_ns);
	sched_count_point(&s->counts, POINT_BIND, rc == 0 ? RESULT_SCHEDULED : RESULT_ERROR, now - j->begun_ns);
	if (rc == 0)
		sched_count_pod(&s->counts, p->attempts, now - p->queued_ns);
	if (p->gone) {
		pod_info_free(&s->cache, p);
		return;
	}
	if (rc == 0) {
		cache_binding_done(&s->cache, p, now);
		recorder_event(s->recorder, RES(core_pods), obj_root(j->obj), "Normal", "Scheduled",
			       "Successfully assigned %.*s/%.*s to %s", SV_ARG(obj_ns(j->obj)),
			       SV_ARG(obj_name(j->obj)), j->node);
		return;
	}
	/* Deleted, or bound by somebody else meanwhile: nothing is left to be done for it. */
	if (err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT)
		log_warn("scheduler", "binding failed, will be tried again", "why", "%.*s/%.*s to %s: %s",
			 SV_ARG(obj_ns(j->obj)), SV_ARG(obj_name(j->obj)), j->node, err_msg(err));
	if (!p->assumed)
		return; /* it happened after all: the informer was faster than the answer */
	/* Not bound, or the answer was lost: try again later. If it was bound, the informer will
	 * say so before long and take the Pod out of the queue. */
	cache_remove_pod(&s->cache, p);
	scheduler_event_locked(s, &(struct sched_change){ .what = EV_POD_DELETE, .pod = p });
	queue_retry(&s->queue, p, now);
	scheduler_kick_locked(s);
}

/* --- conditions --- */

static int patch_status(struct scheduler *s, const struct job *j, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	static const struct client_write_opts opts = { .subresource = "status" };
	struct val *doc = val_new_map(&a), *m, *status, *list, *c = val_new_map(&a);
	char now[TIME_TEXT_MAX];
	bool was_false = false;

	m = val_set_map(&a, doc, F_metadata);
	val_set_str(&a, m, F_uid, obj_uid(j->obj)); /* a Pod of the same name made meanwhile is left alone */
	val_set_cstr(&a, c, F_type, "PodScheduled");
	val_set_cstr(&a, c, F_status, "False");
	val_set_cstr(&a, c, F_reason, "Unschedulable");
	val_set_cstr(&a, c, F_message, j->message);
	VAL_EACH(obj_get(j->obj, F_status, F_conditions), have)
		if (val_is(val_get(have, F_type), "PodScheduled") && val_is(val_get(have, F_status), "False"))
			was_false = true;
	if (!was_false)
		val_set_str(&a, c, F_lastTransitionTime, time_format(env_now_ns(s->env), false, now));
	status = val_set_map(&a, doc, F_status);
	if (j->node)
		val_set_cstr(&a, status, F_nominatedNodeName, j->node);
	list = val_set_list(&a, status, F_conditions);
	val_push(&a, list, c);
	return client_patch(s->client, RES(core_pods), obj_ns(j->obj), obj_name(j->obj), PATCH_STRATEGIC, doc, &opts,
			    NULL, err);
}

/* --- victims --- */

static int bind_evict(struct scheduler *s, const struct job *j, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	static const struct client_write_opts opts = { .subresource = "status" };
	struct client_delete_opts del = CLIENT_DELETE_OPTS;
	struct val *doc = val_new_map(&a), *m, *list, *c = val_new_map(&a);
	char now[TIME_TEXT_MAX];

	m = val_set_map(&a, doc, F_metadata);
	val_set_str(&a, m, F_uid, obj_uid(j->obj));
	val_set_cstr(&a, c, F_type, "DisruptionTarget");
	val_set_cstr(&a, c, F_status, "True");
	val_set_cstr(&a, c, F_reason, "PreemptionByScheduler");
	val_set_strf(&a, c, F_message, "%s: preempting to accommodate a higher priority pod", s->name);
	val_set_str(&a, c, F_lastTransitionTime, time_format(env_now_ns(s->env), false, now));
	m = val_set_map(&a, doc, F_status);
	list = val_set_list(&a, m, F_conditions);
	val_push(&a, list, c);
	if (client_patch(s->client, RES(core_pods), obj_ns(j->obj), obj_name(j->obj), PATCH_STRATEGIC, doc, &opts, NULL,
			 err) < 0)
		return -1;
	del.precondition_uid = obj_uid(j->obj);
	return client_delete(s->client, RES(core_pods), obj_ns(j->obj), obj_name(j->obj), &del, err);
}

/* --- jobs --- */

static void job_task(void *ctx);

static void bind_drop(struct job *j)
{
	list_del(&j->link);
	bind_job_free(j);
}

/* Says why a Pod waits, and no more: a nomination is for others to go by. */
static bool explains(const struct job *j)
{
	return j->kind == JOB_STATUS && !j->node;
}

static void job_begin_locked(struct scheduler *s, int most)
{
	if (s->stopping || s->job_tasks >= most)
		return;
	s->job_tasks++;
	s->refs++;
	env_post(s->env, ENV_CONTROL, job_task, s);
}

static void explain_timer_task(void *ctx)
{
	struct scheduler *s = ctx;

	pthread_mutex_lock(&s->lock);
	/* Usually this very timer; when it came too late to be stopped, its successor. */
	if (s->explain_timer && env_timer_stop(s->env, TAKE(s->explain_timer)))
		s->refs--;
	if (!list_empty(&s->explanations))
		job_begin_locked(s, MIN(EXPLAINERS, s->parallelism));
	scheduler_unref_locked(s);
}

/* When the next explanation may begin; <= now: at once. */
static int64_t explain_due_locked(const struct scheduler *s)
{
	return s->explained_ns - EXPLAIN_BURST * EXPLAIN_EVERY_NS;
}

/* May one begin? Else it is looked again when one may. */
static bool may_explain_locked(struct scheduler *s)
{
	int64_t now = env_mono_ns(s->env), due = explain_due_locked(s);

	if (due <= now)
		return true;
	if (!s->explain_timer) {
		s->refs++;
		s->explain_timer = env_after(s->env, ENV_CONTROL, due - now, explain_timer_task, s);
	}
	return false;
}

static void enqueue_locked(struct scheduler *s, struct job *j)
{
	/* Why Pods wait can wait itself, as long as others can be bound. */
	list_add_tail(explains(j) ? &s->explanations : &s->jobs, &j->link);
	if (!explains(j))
		job_begin_locked(s, s->parallelism);
	else if (!s->stopping && may_explain_locked(s))
		job_begin_locked(s, MIN(EXPLAINERS, s->parallelism));
}

void bind_job_add_locked(struct scheduler *s, struct job *j)
{
	struct pod_info *p = j->pod;
	struct job *was = p && p->wanted && p->wanted->kind == JOB_STATUS ? p->wanted : NULL;

	if (p)
		p->wanted = j;
	/* Two calls about one Pod could arrive in the wrong order. */
	if (!p || !p->making) {
		/* Whose reason has changed keeps his turn: else, where reasons change faster than they are told, only
		 * the first would ever be told theirs. */
		if (was && explains(was) && explains(j))
			list_add_tail(&was->link, &j->link);
		else
			enqueue_locked(s, j);
	}
	if (was)
		bind_drop(was);
}

void bind_job_forget_locked(struct pod_info *p)
{
	if (p->wanted && p->wanted->kind == JOB_STATUS)
		bind_drop(TAKE(p->wanted));
}

/* The claims will not be told: their volumes are free again, and the Pod looks for another way. */
static void claims_failed_locked(struct scheduler *s, struct job *j, const struct err *err)
{
	int64_t now = env_mono_ns(s->env);

	if (err->reason != ERR_CONFLICT && err->reason != ERR_NOT_FOUND)
		log_warn("scheduler", "claims were not bound", "why", "%.*s/%.*s: %s", SV_ARG(obj_ns(j->obj)),
			 SV_ARG(obj_name(j->obj)), err_msg(err));
	volumes_unpromise(&s->cache.volumes, j->claims.p, j->claims.n);
	if (!j->pod || j->pod->place != POD_UNSCHEDULABLE)
		return;
	queue_remove(&s->queue, j->pod);
	queue_retry(&s->queue, j->pod, now);
	scheduler_kick_locked(s);
}

void bind_job_gone_locked(struct pod_info *p)
{
	bind_job_forget_locked(p);
	if (p->making && p->making->kind != JOB_BIND)
		TAKE(p->making)->pod = NULL;
}

/* What is to be done now, or NULL. */
static struct list *next_from_locked(struct scheduler *s)
{
	if (s->stopping)
		return NULL;
	if (!list_empty(&s->jobs))
		return &s->jobs;
	return !list_empty(&s->explanations) && s->explaining < EXPLAINERS && may_explain_locked(s) ? &s->explanations
												    : NULL;
}

static struct job *next_locked(struct scheduler *s)
{
	struct list *from = next_from_locked(s);
	struct job *j;

	if (!from)
		return NULL;
	j = LIST_ENTRY(from->next, struct job, link);
	list_del(&j->link);
	if (explains(j)) {
		s->explaining++;
		s->explained_ns = MAX(s->explained_ns, env_mono_ns(s->env)) + EXPLAIN_EVERY_NS;
	}
	if (j->pod) {
		j->pod->making = j;
		j->pod->wanted = NULL;
	}
	s->running++;
	return j;
}

static void finish_locked(struct scheduler *s, struct job *j, int rc, const struct err *err)
{
	struct pod_info *p = j->pod;

	s->running--;
	s->explaining -= explains(j);
	if (p) {
		p->making = NULL;
		if (p->wanted)
			enqueue_locked(s, p->wanted);
	}
	if (j->kind == JOB_BIND)
		bind_finish_locked(s, j, rc, err); /* p may be gone after it */
	else if (j->kind == JOB_CLAIMS && rc < 0)
		claims_failed_locked(s, j, err);
	if (s->running == 0)
		pthread_cond_broadcast(&s->quiet);
	bind_job_free(j);
}

static void job_task(void *ctx)
{
	struct scheduler *s = ctx;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct job *j;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	j = next_locked(s);
	if (!j) {
		s->job_tasks--;
		scheduler_unref_locked(s);
		return;
	}
	pthread_mutex_unlock(&s->lock);

	switch (j->kind) {
	case JOB_BIND:
		j->begun_ns = env_mono_ns(s->env);
		rc = bind_pod(s, j, &err);
		break;
	case JOB_STATUS:
		rc = patch_status(s, j, &err);
		break;
	case JOB_CLAIMS:
		rc = bind_claims(s, j, &err);
		break;
	case JOB_EVICT:
		rc = bind_evict(s, j, &err);
		break;
	}
	if (rc < 0 && j->kind != JOB_BIND && j->kind != JOB_CLAIMS && err.reason != ERR_NOT_FOUND &&
	    err.reason != ERR_CONFLICT)
		log_kv(LVL_WARN, "scheduler", j->kind == JOB_EVICT ? "preemption failed" : "status was not written",
		       "error", err_msg(&err), NULL);

	pthread_mutex_lock(&s->lock);
	finish_locked(s, j, rc, &err);
	if (next_from_locked(s)) {
		env_post_next(s->env, ENV_CONTROL, job_task, s); /* the task's reference goes on */
		pthread_mutex_unlock(&s->lock);
		return;
	}
	s->job_tasks--;
	scheduler_unref_locked(s);
}
