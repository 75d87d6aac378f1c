/* When the node looks after what it made of its machine. */
#include "agent.h"

#include "kubelet/kubelet-internal.h"
#include "kubelet/node_repair.h"
#include "kubelet/node_status.h"

static void repair_soon(struct kubelet *k)
{
	node_repair_soon(k);
}

/* An env in which a timer, once, has just begun to run when it is to be stopped: too late, and it is let go of. */
static struct late {
	struct env env;
	struct env *real;
	bool now;
	struct env_timer *begun;
	int twice;
} late;

static int64_t late_now(struct env *e)
{
	(void)e;
	return env_now_ns(late.real);
}

static int64_t late_mono(struct env *e)
{
	(void)e;
	return env_mono_ns(late.real);
}

static void late_random(struct env *e, void *p, size_t n)
{
	(void)e;
	env_random(late.real, p, n);
}

static void late_post(struct env *e, enum env_class class, env_fn *fn, void *ctx)
{
	(void)e;
	env_post(late.real, class, fn, ctx);
}

static struct env_timer *late_after(struct env *e, enum env_class class, int64_t delay_ns, env_fn *fn, void *ctx)
{
	(void)e;
	return env_after(late.real, class, delay_ns, fn, ctx);
}

static bool late_cancel(struct env *e, struct env_timer *t)
{
	(void)e;
	if (late.now) {
		late.now = false;
		late.begun = t;
		return false;
	}
	if (t != late.begun)
		return env_timer_stop(late.real, t);
	late.twice++;
	return false;
}

static int late_thread(struct env *e, const char *name, env_fn *fn, void *ctx)
{
	(void)e;
	return env_thread(late.real, name, fn, ctx);
}

static int late_repair(void *ctx, struct buf *said)
{
	(void)said;
	++*(int *)ctx;
	return 0;
}

/* Whoever wants a run sooner lets go of the timer once, also when the run begins at that moment. */
static void test_hurry_at_the_last_moment(void **state)
{
	static const struct env_ops ops = { .now_ns = late_now,
					    .mono_ns = late_mono,
					    .random = late_random,
					    .post = late_post,
					    .after = late_after,
					    .timer_cancel = late_cancel,
					    .thread = late_thread };
	void (*const hurry[])(struct kubelet *) = { node_status_hurry, repair_soon };
	struct world *w = *state;
	int repairs = 0;

	w->k = kubelet_free(w->k);
	late = (struct late){ .env = { .ops = &ops }, .real = w->rig->env };
	w->k = kubelet_new(&(struct kubelet_opts){ .env = &late.env,
						   .client = w->client,
						   .runtime = w->rt,
						   .host = &host,
						   .node_name = "n1",
						   .repair = late_repair,
						   .repair_ctx = &repairs,
						   .port = -1 },
			   NULL);
	assert_non_null(w->k);
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_int_equal(repairs, 1);
	for (size_t i = 0; i < ARRAY_LEN(hurry); i++) {
		late.now = true;
		hurry[i](w->k);
		assert_false(late.now);
		rig_run(w->rig, 20 * NS_PER_SEC);
		assert_int_equal(late.twice, 0);
		late.begun = env_timer_cancel(late.real, late.begun);
	}
	w->k = kubelet_free(w->k);
}

static struct {
	struct kubelet *k;
	int looks, rc;
} endless;

static int endless_repair(void *ctx, struct buf *said)
{
	(void)ctx;
	buf_adds(said, "eth0");
	endless.looks++;
	node_repair_soon(endless.k); /* the kernel tells of what was put back, or taken away again */
	return endless.rc;
}

/* What is put back again and again, or cannot be, is not a program every second. */
static void test_repairs_without_end(void **state)
{
	struct world *w = *state;

	for (int rc = -1; rc <= 1; rc += 2) {
		w->k = kubelet_free(w->k);
		w->k = kubelet_new(&(struct kubelet_opts){ .env = w->rig->env,
							   .client = w->client,
							   .runtime = w->rt,
							   .host = &host,
							   .node_name = "n1",
							   .repair = endless_repair,
							   .port = -1 },
				   NULL);
		endless.k = w->k;
		endless.looks = 0;
		endless.rc = rc;
		for (int i = 0; i < 60; i++) {
			rig_run(w->rig, NS_PER_SEC / 2);
			node_repair_soon(w->k);
		}
		assert_int_equal(endless.looks, 3);
	}
	w->k = kubelet_free(w->k);
}

/* Links that changed are looked at a second later, however many did. */
static void test_links_changed(void **state)
{
	struct world *w = *state;
	int repairs = 0;

	w->k = kubelet_free(w->k);
	w->k = kubelet_new(&(struct kubelet_opts){ .env = w->rig->env,
						   .client = w->client,
						   .runtime = w->rt,
						   .host = &host,
						   .node_name = "n1",
						   .repair = late_repair,
						   .repair_ctx = &repairs,
						   .port = -1 },
			   NULL);
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_int_equal(repairs, 1);
	for (int i = 0; i < 5; i++) {
		node_repair_soon(w->k);
		rig_run(w->rig, NS_PER_SEC / 10);
	}
	assert_int_equal(repairs, 1);
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(repairs, 2);
	rig_run(w->rig, 9 * NS_PER_SEC);
	assert_int_equal(repairs, 2);
	rig_run(w->rig, NS_PER_SEC);
	assert_int_equal(repairs, 3);
	w->k = kubelet_free(w->k);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_hurry_at_the_last_moment),
		T(test_links_changed),
		T(test_repairs_without_end),
	};

	return cmocka_run_group_tests_name("node_repair", tests, NULL, NULL);
}
