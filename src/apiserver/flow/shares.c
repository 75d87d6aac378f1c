/* How many requests each level may serve at once.
 *
 * A level's nominal limit is its share of the server's. What it does not use it lends, down to its minimum, and what
 * others do not use it borrows, up to its maximum: every ten seconds limits are divided anew, by what was asked for
 * since. A level's target is its smoothed demand: at least mean and a deviation of the last ten seconds, and slow to
 * fall. The limits are one fraction of the targets, within each level's bounds, that sums up to the server's limit.
 *
 * All that only while somebody waits, and a while longer: a server where everybody finds a seat never looks. */
#include "apiserver/flow/flow-internal.h"
#include "base/vec.h"

#include <math.h>
#include <stdlib.h>

#define SMOOTH 0.977  /* of the demand of before, each time: half of it is forgotten within 5 minutes */
#define CALM_LOOKS 60 /* without anybody who waits, until limits are the nominal ones again */

static unsigned server_limit(const struct flow *f)
{
	int n = f->s->o.max_requests_inflight + f->s->o.max_mutating_inflight;

	return (unsigned)MAX(n, 1);
}

static unsigned percent_of(unsigned n, unsigned percent)
{
	double v = round((double)n * percent / 100);

	return (unsigned)MIN(v, (double)INT32_MAX);
}

void flow_limits(struct flow *f)
{
	unsigned all = server_limit(f);
	double sum = 0;

	STRMAP_EACH(&f->levels, e)
		sum += ((struct flow_level *)e->value)->shares;
	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;

		lock_mutex(&l->lock, &flow_lock);
		l->nominal = sum > 0 ? (unsigned)ceil(l->shares * (all / sum)) : 0;
		l->min = l->nominal - percent_of(l->nominal, l->lendable_percent);
		l->max = l->borrow_percent == UINT_MAX
			     ? MAX(all, l->nominal)
			     : (unsigned)MIN((double)l->nominal + percent_of(l->nominal, l->borrow_percent),
					     (double)MAX(all, l->nominal));
		if (l->observed)
			l->limit = MAX(l->min, MIN(l->limit, l->max)); /* divided anew at the next look */
		else
			l->limit = l->nominal;
		l->width_max = MAX(MIN(l->nominal * 15 / 100, (unsigned)FLOW_WIDTH_MAX), 1U);
		pthread_mutex_unlock(&l->lock);
	}
}

void flow_fill_all(struct flow *f)
{
	VEC(struct flow_level *) levels = VEC_INIT;

	lock_mutex(&f->lock, &flow_lock);
	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;

		l->refs++;
		vec_push(&levels, l);
	}
	pthread_mutex_unlock(&f->lock);
	for (size_t i = 0; i < levels.n; i++)
		flow_level_fill(levels.p[i], f->s->env);
	lock_mutex(&f->lock, &flow_lock);
	for (size_t i = 0; i < levels.n; i++)
		flow_level_unref(f, levels.p[i]);
	pthread_mutex_unlock(&f->lock);
	vec_release(&levels);
}

/* --- dividing --- */

static double part_at(const struct flow_part *p, double fraction)
{
	return MIN(MAX(p->target * fraction, p->least), p->most);
}

/* By bisection: the sum never falls as the fraction grows. What nothing reaches stays as near as the bounds let it. */
void flow_divide(struct flow_part *parts, size_t n, double seats)
{
	double low = 0, high = 1;

	for (size_t i = 0; i < n; i++) {
		parts[i].target = MAX(parts[i].target, 1e-3); /* who asks for nothing has all the same in proportion */
		parts[i].most = MAX(parts[i].most, parts[i].least);
		high = MAX(high, parts[i].most / parts[i].target);
	}
	for (int step = 0; step < 64; step++) {
		double middle = (low + high) / 2, sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += part_at(&parts[i], middle);
		if (sum < seats)
			low = middle;
		else
			high = middle;
	}
	for (size_t i = 0; i < n; i++)
		parts[i].ret = part_at(&parts[i], high);
}

/* --- the look, every ten seconds --- */

/* What was asked for since the last one, and begins again. Level's lock held. */
static double demand_take(struct flow_level *l, int64_t now_ns, unsigned *ret_high)
{
	struct flow_demand *d = &l->demand;
	double s, mean, envelope;

	flow_demand_note(l, now_ns);
	s = (double)(now_ns - d->since_ns) / NS_PER_SEC;
	mean = s > 0 ? d->area / s : 0;
	envelope = mean + sqrt(s > 0 ? MAX(d->area2 / s - mean * mean, 0.0) : 0);
	d->smooth = MAX(envelope, SMOOTH * d->smooth + (1 - SMOOTH) * envelope);
	*ret_high = d->high;
	*d = (struct flow_demand){ .since_ns = now_ns, .at_ns = now_ns, .smooth = d->smooth };
	d->high = l->in_use + (unsigned)l->waiting_seats;
	return d->smooth;
}

static void observe(struct flow_level *l, bool yes, int64_t now_ns)
{
	l->observed = yes;
	l->demand = (struct flow_demand){ .since_ns = now_ns, .at_ns = now_ns };
	l->demand.high = l->in_use + (unsigned)l->waiting_seats;
	if (!yes)
		l->limit = l->nominal;
}

/* True while somebody waits, or did since the last look. */
static bool borrow_look(struct flow *f, int64_t now_ns)
{
	VEC(struct flow_part) parts = VEC_INIT;
	bool pressed = false;
	size_t i = 0;

	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;
		struct flow_part p = { 0 };
		unsigned high;

		lock_mutex(&l->lock, &flow_lock);
		pressed |= l->pressed || l->waiting;
		l->pressed = false;
		p.target = demand_take(l, now_ns, &high);
		p.least = MAX(l->min, MIN(l->nominal, high));
		p.target = MAX(p.target, p.least);
		p.most = l->exempt ? p.least : l->max; /* nothing holds it up: what it lends is all that counts */
		pthread_mutex_unlock(&l->lock);
		vec_push(&parts, p);
	}
	flow_divide(parts.p, parts.n, server_limit(f));
	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;

		lock_mutex(&l->lock, &flow_lock);
		l->limit = (unsigned)round(parts.p[i++].ret);
		pthread_mutex_unlock(&l->lock);
	}
	vec_release(&parts);
	return pressed;
}

static void borrow_tick(void *ctx);

/* flow.lock held. */
static void borrow_arm(struct flow *f)
{
	f->timer = env_after(f->s->env, ENV_CONTROL, FLOW_BORROW_NS, borrow_tick, f);
	f->armed = true;
}

static void borrow_all(struct flow *f, bool yes)
{
	int64_t now = env_mono_ns(f->s->env);

	f->calm = 0;
	atomic_store(&f->borrowing, yes);
	STRMAP_EACH(&f->levels, e) {
		struct flow_level *l = e->value;

		lock_mutex(&l->lock, &flow_lock);
		observe(l, yes, now);
		pthread_mutex_unlock(&l->lock);
	}
}

static void borrow_tick(void *ctx)
{
	struct flow *f = ctx;
	bool on;

	lock_mutex(&f->lock, &flow_lock);
	on = !f->stopping;
	if (on) {
		f->timer = env_timer_cancel(f->s->env, f->timer);
		f->calm = borrow_look(f, env_mono_ns(f->s->env)) ? 0 : f->calm + 1;
		if (f->calm > CALM_LOOKS)
			borrow_all(f, false);
	}
	pthread_mutex_unlock(&f->lock);
	if (on) /* an end that comes now waits until this is over */
		flow_fill_all(f);
	lock_mutex(&f->lock, &flow_lock);
	f->armed = false;
	if (atomic_load(&f->borrowing) && !f->stopping)
		borrow_arm(f);
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

void flow_borrow_begin(struct flow *f)
{
	if (atomic_load_explicit(&f->borrowing, memory_order_relaxed))
		return;
	lock_mutex(&f->lock, &flow_lock);
	if (!f->stopping && !atomic_load(&f->borrowing) && !f->armed) {
		borrow_all(f, true);
		borrow_arm(f);
	}
	pthread_mutex_unlock(&f->lock);
}

void flow_borrow_stop(struct flow *f)
{
	lock_mutex(&f->lock, &flow_lock);
	f->stopping = true;
	if (f->timer && env_timer_stop(f->s->env, f->timer))
		f->armed = false;
	f->timer = NULL;
	while (f->armed)
		pthread_cond_wait(&f->cond, &f->lock);
	pthread_mutex_unlock(&f->lock);
}
