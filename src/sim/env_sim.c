#include "sim/env_sim.h"
#include "base/heap.h"
#include "base/vec.h"
#include "sim/fiber.h"

#include <stdlib.h>

struct env_timer {
	size_t at; /* in the heap, or HEAP_NONE */
	enum env_class class;
	int64_t due_ns;
	uint64_t tie, seq;
	env_fn *fn;
	void *ctx;
	bool owned; /* the caller still has to cancel it */
	bool fired;
};

struct env_sim {
	struct env env;
	struct heap queue;
	int64_t mono_ns, wall_offset_ns, jitter_ns;
	uint64_t rng[4], seq;
	bool shuffle;
	struct fibers *fibers; /* NULL: tasks run on the caller's stack, and cannot wait */
	/* Classes that are held: what is due of them, in the order of its turns. */
	struct {
		bool held;
		VEC(struct env_timer *) due;
	} classes[ENV_CLASSES];
};

static struct env_sim *sim(struct env *e)
{
	return CONTAINER_OF(e, struct env_sim, env);
}

/* xoshiro256**, seeded by splitmix64: both by Blackman and Vigna, public domain algorithms. */
static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static uint64_t rng_next(struct env_sim *s)
{
	uint64_t *r = s->rng, result = rotl(r[1] * 5, 7) * 9, t = r[1] << 17;

	r[2] ^= r[0];
	r[3] ^= r[1];
	r[1] ^= r[2];
	r[0] ^= r[3];
	r[2] ^= t;
	r[3] = rotl(r[3], 45);
	return result;
}

static bool sim_earlier(const void *a, const void *b)
{
	const struct env_timer *x = a, *y = b;

	if (x->due_ns != y->due_ns)
		return x->due_ns < y->due_ns;
	return x->tie != y->tie ? x->tie < y->tie : x->seq < y->seq;
}

static int64_t sim_now_ns(struct env *e)
{
	return sim(e)->mono_ns + sim(e)->wall_offset_ns;
}

static int64_t sim_mono_ns(struct env *e)
{
	return sim(e)->mono_ns;
}

static void sim_random(struct env *e, void *p, size_t n)
{
	unsigned char *at = p;

	while (n) {
		uint64_t v = rng_next(sim(e));
		size_t k = MIN(n, sizeof(v));

		memcpy(at, &v, k);
		at += k;
		n -= k;
	}
}

static struct env_timer *sim_enqueue(struct env_sim *s, enum env_class class, int64_t delay_ns, env_fn *fn, void *ctx,
				     bool owned)
{
	struct env_timer *t = xcalloc(1, sizeof(*t));

	t->class = class;
	t->due_ns = s->mono_ns + MAX(delay_ns, 0);
	t->tie = s->shuffle ? rng_next(s) : 0;
	t->seq = s->seq++;
	t->fn = fn;
	t->ctx = ctx;
	t->owned = owned;
	heap_push(&s->queue, t);
	return t;
}

static void sim_post(struct env *e, enum env_class class, env_fn *fn, void *ctx)
{
	struct env_sim *s = sim(e);

	BUG_ON(class >= ENV_CLASSES);
	sim_enqueue(s, class, s->jitter_ns ? (int64_t)(rng_next(s) % (uint64_t)s->jitter_ns) : 0, fn, ctx, false);
}

static struct env_timer *sim_after(struct env *e, enum env_class class, int64_t delay_ns, env_fn *fn, void *ctx)
{
	BUG_ON(class > ENV_TIMERS);
	return sim_enqueue(sim(e), class, delay_ns, fn, ctx, true);
}

static void forget_due(struct env_sim *s, struct env_timer *t)
{
	size_t i = 0;

	while (s->classes[t->class].due.p[i] != t)
		i++;
	vec_remove(&s->classes[t->class].due, i);
}

static bool sim_timer_cancel(struct env *e, struct env_timer *t)
{
	bool prevented = !t->fired;

	BUG_ON(!t->owned);
	t->owned = false;
	if (prevented && t->at != HEAP_NONE)
		heap_remove(&sim(e)->queue, t);
	else if (prevented)
		forget_due(sim(e), t);
	free(t);
	return prevented;
}

static int sim_thread(struct env *e, const char *name, env_fn *fn, void *ctx)
{
	(void)e;
	(void)name;
	(void)fn;
	(void)ctx;
	return -1;
}

static const struct env_ops sim_ops = {
	.now_ns = sim_now_ns,
	.mono_ns = sim_mono_ns,
	.random = sim_random,
	.post = sim_post,
	.after = sim_after,
	.timer_cancel = sim_timer_cancel,
	.thread = sim_thread,
};

struct env *env_sim_new(uint64_t seed, int64_t start_wall_ns, bool shuffle)
{
	struct env_sim *s = xcalloc(1, sizeof(*s));

	s->env.ops = &sim_ops;
	s->mono_ns = NS_PER_SEC; /* not 0: a forgotten initialisation should show */
	s->wall_offset_ns = start_wall_ns - s->mono_ns;
	s->shuffle = shuffle;
	for (size_t i = 0; i < ARRAY_LEN(s->rng); i++) {
		uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		s->rng[i] = z ^ (z >> 31);
	}
	heap_init(&s->queue, offsetof(struct env_timer, at), sim_earlier);
	return &s->env;
}

struct env *env_sim_free(struct env *e)
{
	struct env_sim *s;
	struct env_timer *t;

	if (!e)
		return NULL;
	s = sim(e);
	while ((t = heap_pop(&s->queue)))
		free(t);
	for (enum env_class i = 0; i < ENV_CLASSES; i++) {
		for (size_t k = 0; k < s->classes[i].due.n; k++)
			free(s->classes[i].due.p[k]);
		vec_release(&s->classes[i].due);
	}
	heap_release(&s->queue);
	fibers_free(s->fibers);
	free(s);
	return NULL;
}

/* Stands in the queue for a task that waits: ctx is its fiber. */
static void sim_wakes(void *ctx)
{
	(void)ctx;
}

static void sim_go(struct env_sim *s, env_fn *fn, void *ctx)
{
	if (fn == sim_wakes)
		(void)fiber_resume(s->fibers, ctx);
	else if (s->fibers)
		(void)fiber_run(s->fibers, fn, ctx);
	else
		fn(ctx);
}

/* Runs the next task if it is due by `until`, or lays it aside; moves time there. */
static bool sim_step(struct env_sim *s, int64_t until)
{
	struct env_timer *t = heap_peek(&s->queue);
	env_fn *fn;
	void *ctx;

	if (!t || t->due_ns > until)
		return false;
	heap_pop(&s->queue);
	s->mono_ns = MAX(s->mono_ns, t->due_ns);
	if (t->class != ENV_TIMERS && s->classes[t->class].held) {
		vec_push(&s->classes[t->class].due, t);
		return true;
	}
	t->fired = true;
	fn = t->fn;
	ctx = t->ctx;
	if (!t->owned)
		free(t);
	sim_go(s, fn, ctx);
	return true;
}

uint64_t env_sim_run(struct env *e, int64_t duration_ns)
{
	struct env_sim *s = sim(e);
	int64_t until = s->mono_ns + duration_ns;
	uint64_t n = 0;

	while (sim_step(s, until))
		n++;
	s->mono_ns = until;
	return n;
}

bool env_sim_run_until(struct env *e, int64_t limit_ns, bool (*done)(void *ctx), void *ctx)
{
	struct env_sim *s = sim(e);
	int64_t until = s->mono_ns + limit_ns;

	while (!done(ctx))
		if (!sim_step(s, until)) {
			s->mono_ns = until;
			return done(ctx);
		}
	return true;
}

void env_sim_hold(struct env *e, enum env_class class)
{
	sim(e)->classes[class].held = true;
}

void env_sim_release(struct env *e, enum env_class class)
{
	struct env_sim *s = sim(e);

	s->classes[class].held = false;
	for (size_t i = 0; i < s->classes[class].due.n; i++) {
		struct env_timer *t = s->classes[class].due.p[i];

		t->due_ns = s->mono_ns;
		t->tie = 0; /* in their order, ahead of others */
		t->seq = s->seq++;
		heap_push(&s->queue, t);
	}
	s->classes[class].due.n = 0;
}

void env_sim_set_jitter(struct env *e, int64_t max_ns)
{
	sim(e)->jitter_ns = max_ns;
}

void env_sim_let_wait(struct env *e)
{
	if (!sim(e)->fibers)
		sim(e)->fibers = fibers_new();
}

void env_sim_wait(struct env *e, int64_t ns)
{
	struct env_sim *s = sim(e);

	if (!s->fibers || !fiber_self(s->fibers) || ns <= 0)
		return;
	sim_enqueue(s, ENV_TIMERS, ns, sim_wakes, fiber_self(s->fibers), false);
	fiber_rest(s->fibers);
}

const void *env_sim_self(struct env *e)
{
	return sim(e)->fibers ? fiber_self(sim(e)->fibers) : NULL;
}

size_t env_sim_waiting(struct env *e)
{
	return sim(e)->fibers ? fibers_resting(sim(e)->fibers) : 0;
}
