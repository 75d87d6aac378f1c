/* Room for a critical pod: what this node needs to be a node must run on it, so less important pods go. As few and
 * as small ones as do, of the lowest classes of service first. */
#include "kubelet/kpod.h"
#include "kubelet/pod_admit.h"
#include "kubelet/pod_spec.h"

#include <stdlib.h>

#define CRITICAL_PRIORITY INT64_C(2000000000)

struct victim {
	struct kpod *p;
	struct res_list requests; /* "pods" included */
	enum qos_class qos;
	bool may_go, going, chosen; /* going: of itself, or chosen */
};

static int64_t priority(const struct val *pod)
{
	return val_get_int(pod, 0, F_spec, F_priority);
}

/* Takes v off what is missing (or, -1, puts it back); what is not above 0 is met. */
static void subtract(struct res_list *missing, const struct victim *v, int sign)
{
	for (size_t i = 0; i < missing->n; i++)
		missing->p[i].amount -= sign * res_list_get(&v->requests, missing->p[i].name);
}

static bool met(const struct res_list *missing)
{
	for (size_t i = 0; i < missing->n; i++)
		if (missing->p[i].amount > 0)
			return false;
	return true;
}

/* How far from enough it would still be without v: the sum of squares of the shares left over. */
static double distance(const struct res_list *missing, const struct victim *v)
{
	double sum = 0;

	for (size_t i = 0; i < missing->n; i++) {
		int64_t left = missing->p[i].amount - res_list_get(&v->requests, missing->p[i].name);

		if (missing->p[i].amount > 0 && left > 0)
			sum += ((double)left / (double)missing->p[i].amount) *
			       ((double)left / (double)missing->p[i].amount);
	}
	return sum;
}

static bool smaller(const struct victim *x, const struct victim *y)
{
	const struct sv names[] = { SV("memory"), SV("cpu") };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int64_t a = res_list_get(&x->requests, names[i]), b = res_list_get(&y->requests, names[i]);

		if (a != b)
			return a < b;
	}
	return false;
}

/* Of one class, the nearest to what is missing first, until it is met or none is left. */
static void choose(struct res_list *missing, struct victim *v, size_t n, enum qos_class qos)
{
	while (!met(missing)) {
		struct victim *best = NULL;
		double least = 0;

		for (size_t i = 0; i < n; i++) {
			double d;

			if (!v[i].may_go || v[i].going || v[i].qos != qos)
				continue;
			d = distance(missing, &v[i]);
			if (!best || d < least || (d == least && smaller(&v[i], best))) {
				best = &v[i];
				least = d;
			}
		}
		if (!best)
			return;
		best->going = best->chosen = true;
		subtract(missing, best, 1);
	}
}

/* Whom of each class, given that all of lower classes go anyway: a higher class gives only what they cannot. */
static bool choose_all(struct res_list *missing, struct victim *v, size_t n)
{
	for (enum qos_class q = QOS_GUARANTEED;; q--) {
		for (size_t i = 0; i < n; i++)
			if (v[i].may_go && !v[i].going && v[i].qos < q)
				subtract(missing, &v[i], 1);
		choose(missing, v, n, q);
		if (q == QOS_GUARANTEED && !met(missing))
			return false;
		for (size_t i = 0; i < n; i++)
			if (v[i].may_go && !v[i].going && v[i].qos < q)
				subtract(missing, &v[i], -1);
		if (q == QOS_BEST_EFFORT)
			return true;
	}
}

static void victim_read(struct victim *v, struct kpod *p, const struct val *pod, int64_t below)
{
	v->p = p;
	v->qos = pod_qos(pod);
	v->may_go = priority(pod) < below;
	pod_requests(val_member(pod, F_spec), RES_AS_WRITTEN, &v->requests);
	res_list_add(&v->requests, SV("pods"), 1);
	pthread_mutex_lock(&p->lock);
	v->going = p->preempted || p->vanished || obj_deleting(p->obj);
	pthread_mutex_unlock(&p->lock);
}

bool preempt_for(struct admission *r, const struct val *pod, struct kpod *const *others, const struct val *const *docs,
		 size_t n)
{
	struct victim *v;
	bool ok;

	if (priority(pod) < CRITICAL_PRIORITY)
		return false;
	v = ARENA_ARRAY(r->a, struct victim, n);
	for (size_t i = 0; i < n; i++) {
		victim_read(&v[i], others[i], docs[i], priority(pod));
		if (v[i].going)
			subtract(&r->missing, &v[i], 1);
	}
	ok = choose_all(&r->missing, v, n);
	if (!ok) {
		r->reason = "UnexpectedAdmissionError";
		r->message = arena_printf(r->a,
					  "Unexpected error while attempting to recover from admission failure: "
					  "preemption: error finding a set of pods to preempt: no set of running pods "
					  "found to reclaim resources: %s",
					  r->message);
	}
	for (size_t i = 0; i < n; i++) {
		if (ok && v[i].chosen) {
			pthread_mutex_lock(&v[i].p->lock);
			v[i].p->preempted = true;
			pthread_mutex_unlock(&v[i].p->lock);
			kpod_kick(v[i].p);
		}
		res_list_release(&v[i].requests);
	}
	return ok;
}
