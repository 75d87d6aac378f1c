/* How much of the past is kept, and which revision was when: on virtual time, across restarts and wrong clocks. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/history/history-internal.h"
#include "apiserver/watchcache.h"

#include <stdio.h>

#define CMS "/api/v1/namespaces/default/configmaps"
#define MINUTE (60 * NS_PER_SEC)
#define HOUR (60 * MINUTE)

/* --- marks --- */

static void test_marks_text(_unused_ void **state)
{
	static const struct mark m[] = { { 100, 5, false, false },
					 { 101, 6, false, false },
					 { 4000, 7, true, false },
					 { 4060, 1000, false, true } };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct stretch s;

	marks_format(&b, 77, UINT64_C(1) << 40, m, ARRAY_LEN(m));
	assert_string_equal(buf_cstr(&b), "1 77 1099511627776\n100 5\n1 1\n? 3899 1\n+ 60 993\n");
	assert_true(marks_parse(buf_sv(&b), &s));
	assert_int_equal(s.run_s, 77);
	assert_int_equal(s.bytes, UINT64_C(1) << 40);
	assert_int_equal(s.m.n, ARRAY_LEN(m));
	for (size_t i = 0; i < ARRAY_LEN(m); i++) {
		assert_int_equal(s.m.p[i].sec, m[i].sec);
		assert_int_equal(s.m.p[i].rev, m[i].rev);
		assert_int_equal(s.m.p[i].gap, m[i].gap);
		assert_int_equal(s.m.p[i].open, m[i].open);
	}
	assert_int_equal(marks_before(m, ARRAY_LEN(m), 100), 0);
	assert_int_equal(marks_before(m, ARRAY_LEN(m), 101), 1);
	assert_int_equal(marks_before(m, ARRAY_LEN(m), 4000), 2);
	assert_int_equal(marks_before(m, ARRAY_LEN(m), INT64_MAX), 4);
	vec_release(&s.m);
}

static void test_marks_refused(_unused_ void **state)
{
	static const char *const wrong[] = {
		"",
		"1 0 0\n",
		"2 0 0\n1 1\n",
		"1 0\n1 1\n",
		"1 0 0 0\n1 1\n",
		"1 0 0\n1\n",
		"1 0 0\n1 1 1\n",
		"1 0 0\n-1 1\n",
		"1 0 0\n1 0\n",
		"1 0 0\n1 1\n0 1\n", /* twice the same second */
		"1 0 0\n1 1\n1 x\n",
		"1 0 0\n1 1\n\n",
		"1 0 0\n?1 1\n",
		"1 0 0\n+ ? 1 1\n",
		"1 0 0\n+1 1\n",
		"1 0 0\n9223372036854775807 1\n1 1\n",
		"1 0 0\n1 9223372036854775807\n1 1\n",
		"1 0 0\n99999999999999999999 1\n",
	};
	char key[MARKS_KEY_MAX];
	struct stretch s;
	int64_t rev;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		if (marks_parse(sv_from(wrong[i]), &s))
			fail_msg("taken: %s", wrong[i]);
		vec_release(&s.m);
	}
	assert_true(marks_key_rev(marks_key(0x1234abcd, key), &rev));
	assert_int_equal(rev, 0x1234abcd);
	assert_false(marks_key_rev(SV("/caravel/history/000000000000000"), &rev));
	assert_false(marks_key_rev(SV("/caravel/history/000000000000000G"), &rev));
	assert_false(marks_key_rev(SV("/caravel/history/0000000000000000"), &rev));
	assert_false(marks_key_rev(SV("/caravel/history/ffffffffffffffff"), &rev));
	assert_false(marks_key_rev(SV("/caravel/layout"), &rev));
}

/* --- a server --- */

static int64_t now_s(struct rig *r)
{
	return env_now_ns(r->clock ? r->clock : r->env) / NS_PER_SEC;
}

/* A write; the revision. */
static int64_t put(struct rig *r, const char *name, const char *value)
{
	char body[256];

	(void)snprintf(
	    body, sizeof(body),
	    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"},\"data\":{\"v\":\"%s\"}}",
	    name, value);
	return rev_of(expect_type(r, 200, "PATCH", arena_printf(&r->arena, CMS "/%s?fieldManager=t&force=true", name),
				  "application/apply-patch+yaml", body));
}

static int64_t make(struct rig *r, const char *name)
{
	return rev_of(expect(r, 201, "POST", CMS, arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"}}", name)));
}

/* The revision that was at sec; -1: expired, -2: in the future. */
static int64_t at(struct rig *r, int64_t sec)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t rev, doubt;

	if (history_rev_at(r->server->history, sec, &rev, &doubt, &err) == 0)
		return rev;
	assert_true(err.reason == ERR_EXPIRED || err.reason == ERR_BAD_REQUEST);
	return err.reason == ERR_EXPIRED ? -1 : -2;
}

static int64_t doubt_at(struct rig *r, int64_t sec)
{
	int64_t rev, doubt;

	assert_int_equal(history_rev_at(r->server->history, sec, &rev, &doubt, NULL), 0);
	return doubt;
}

static int count_one(const struct store_kv *kv, void *ctx)
{
	(void)kv;
	++*(size_t *)ctx;
	return 0;
}

static size_t stretches(struct rig *r)
{
	size_t n = 0;

	assert_int_equal(store_range(r->store, SV(MARKS_ROOT), SV(MARKS_BEHIND), 0, 0, count_one, &n, NULL, NULL), 0);
	return n;
}

static int64_t compacted(struct rig *r)
{
	struct store_stats st;

	store_stats(r->store, &st);
	return st.compact_rev;
}

static int history_setup(void **state)
{
	struct rig *r;

	if (rig_setup(state) < 0)
		return -1;
	r = *state;
	r->history_ns = 2 * HOUR;
	r->history_bytes = HISTORY_BYTES_MIN;
	rig_restart(r);
	return 0;
}

static void test_seconds(void **state)
{
	struct rig *r = *state;
	int64_t t[6], rev[6];

	assert_int_equal(at(r, now_s(r) + 1), -2);
	assert_int_equal(at(r, now_s(r) - 3600), -1);
	for (int i = 0; i < 6; i++) {
		rig_run(r, 2 * NS_PER_SEC);
		t[i] = now_s(r);
		rev[i] = make(r, arena_printf(&r->arena, "c%d", i));
	}
	rig_run(r, NS_PER_SEC);
	for (int i = 0; i < 6; i++) {
		assert_true(at(r, t[i]) < rev[i]); /* what was begun in that second is not in it */
		assert_int_equal(at(r, t[i] + 1), rev[i]);
	}
	assert_int_equal(stretches(r), 0);
	/* The same from the store, by another server. */
	rig_restart(r);
	assert_int_equal(stretches(r), 1);
	for (int i = 0; i < 6; i++) {
		assert_true(at(r, t[i]) < rev[i]);
		assert_int_equal(at(r, t[i] + 1), rev[i]);
		assert_int_equal(doubt_at(r, t[i] + 1), 0);
	}
}

static void test_idle_writes_nothing(void **state)
{
	struct rig *r = *state;
	struct store_stats before, after;
	size_t n;

	rig_run(r, 10 * MINUTE);
	store_stats(r->store, &before);
	n = stretches(r);
	rig_run(r, HOUR);
	store_stats(r->store, &after);
	assert_int_equal(before.rev, after.rev);
	for (int i = 0; i < 3; i++)
		rig_restart(r);
	rig_run(r, 10 * MINUTE);
	store_stats(r->store, &after);
	assert_int_equal(stretches(r), n);
	assert_int_equal(before.rev, after.rev);
}

/* A long time, and many values: the search finds each. */
static void test_many(void **state)
{
	enum { N = 200 };
	struct rig *r = *state;
	int64_t t[N], rev[N];

	make(r, "c");
	rig_run(r, NS_PER_SEC);
	for (int i = 0; i < N; i++) {
		t[i] = now_s(r);
		rev[i] =
		    i % 7 ? put(r, "c", arena_printf(&r->arena, "%d", i)) : make(r, arena_printf(&r->arena, "n%d", i));
		rig_run(r, 17 * NS_PER_SEC);
	}
	assert_true(stretches(r) > 40);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++)
			/* Of that write, or behind it one of marks in the same second. */
			assert_in_range(at(r, t[i] + 1), rev[i], i + 1 < N ? rev[i + 1] - 1 : INT64_MAX);
		rig_restart(r);
	}
}

static void test_kept_for_a_time(void **state)
{
	struct rig *r = *state;
	int64_t first = make(r, "c"), t = now_s(r) + 1, rev = 0, last_t = 0;

	for (int i = 0; i < 119; i++) {
		rig_run(r, MINUTE);
		rev = put(r, "c", i % 2 ? "a" : "b");
		last_t = now_s(r) + 1;
	}
	assert_int_equal(at(r, t), first);
	assert_true(compacted(r) < first);
	rig_run(r, 10 * MINUTE);
	assert_int_equal(at(r, t), -1);
	assert_true(compacted(r) > first);
	assert_int_equal(at(r, last_t), rev);
	for (int i = 0; i < 300; i++) {
		rig_run(r, MINUTE);
		rev = put(r, "c", i % 2 ? "a" : "b");
	}
	assert_true(stretches(r) < 130); /* old marks go, too */
	assert_true(at(r, now_s(r) - 110 * 60) > 0);
	assert_int_equal(at(r, now_s(r) - 130 * 60), -1);
}

/* Watches from as far back as there is history, selectors that objects have left meanwhile included. */
static void test_watches(void **state)
{
	struct rig *r = *state;
	struct answer *w;
	int64_t first;

	expect(r, 201, "POST", CMS, "{\"metadata\":{\"name\":\"c\",\"labels\":{\"k\":\"1\"}}}");
	first = rev_of(expect(r, 200, "GET", CMS, NULL));
	rig_run(r, 10 * MINUTE);
	expect_type(r, 200, "PATCH", CMS "/c", "application/merge-patch+json",
		    "{\"metadata\":{\"labels\":{\"k\":\"2\"}}}");
	rig_run(r, HOUR);
	expect(r, 200, "DELETE", CMS "/c", NULL);
	rig_run(r, 30 * MINUTE);
	w = api(r, "GET", arena_printf(&r->arena, CMS "?watch=1&resourceVersion=%" PRId64, first));
	rig_run(r, 0);
	assert_int_equal(stream_lines(w), 2);
	assert_val(val_get(stream_line(w, 0), F_type), "MODIFIED");
	assert_val(val_get(stream_line(w, 1), F_type), "DELETED");
	answer_gone(w);
	w = api(r, "GET", arena_printf(&r->arena, CMS "?watch=1&labelSelector=k%%3D1&resourceVersion=%" PRId64, first));
	rig_run(r, 0);
	assert_int_equal(stream_lines(w), 1);
	assert_val(val_get(stream_line(w, 0), F_type), "DELETED");
	answer_gone(w);
	/* Further back there is nothing to tell. */
	rig_run(r, 2 * HOUR);
	make(r, "d");
	rig_run(r, 3 * HOUR);
	w = api(r, "GET", arena_printf(&r->arena, CMS "?watch=1&resourceVersion=%" PRId64, first));
	rig_run(r, 0);
	assert_val(val_get(stream_line(w, 0), F_object, F_reason), "Expired");
	answer_free(w);
}

/* A night in which nothing ran does not count. */
static void test_pause(void **state)
{
	struct rig *r = *state;
	int64_t rev = make(r, "c"), t = now_s(r) + 1;

	rig_run(r, HOUR);
	put(r, "c", "b");
	rig_run(r, 2 * MINUTE);
	rig_stop(r);
	rig_run(r, 100 * HOUR);
	rig_start(r);
	put(r, "c", "c");
	rig_run(r, 10 * MINUTE);
	assert_int_equal(at(r, t), rev);
	assert_true(at(r, t + 50 * 3600) > rev); /* and what was in that time is known */
	assert_int_equal(doubt_at(r, t + 50 * 3600), 0);
}

static void test_bytes(void **state)
{
	static char value[200 * 1024];
	struct rig *r = *state;
	struct store_write w = { .key = SV("/registry/configmaps/default/big"), .expect_rev = STORE_ANY_REV };
	int64_t first = make(r, "c"), t = now_s(r) + 1, rev = 0;
	size_t n = 0;

	memset(value, 'x', sizeof(value));
	w.value = sv_make(value, sizeof(value));
	for (; n < 70; n++) { /* 14 MB */
		rig_run(r, NS_PER_SEC);
		assert_int_equal(store_commit_wait(r->store, &w, &rev, NULL), 1);
	}
	rig_run(r, NS_PER_SEC);
	assert_int_equal(at(r, t), first);
	for (; n < 300; n++) {
		rig_run(r, NS_PER_SEC / 100); /* faster than any minute */
		assert_int_equal(store_commit_wait(r->store, &w, &rev, NULL), 1);
	}
	rig_run(r, 0);
	assert_int_equal(at(r, t), -1);
	/* Not more than the bound and a sixteenth of it (88), nor much less; marks and their end are revisions, too. */
	assert_true(rev - compacted(r) <= 88 + 2 * 88 / 5);
	assert_true(rev - compacted(r) >= 70);
}

/* Keys count as values do, and what was deleted is kept for the same price. */
static void test_bytes_of_keys(void **state)
{
	struct rig *r = *state;
	struct store_write w = { .key = SV("/registry/configmaps/default/0123456789"),
				 .expect_rev = STORE_ANY_REV,
				 .value = SV("{}") };
	size_t one = w.key.n + w.value.n, before;

	rig_run(r, 0);
	before = atomic_load(&r->server->history->bytes);
	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	rig_run(r, 0);
	assert_in_range(atomic_load(&r->server->history->bytes) - before, one + 1, one + 100);
	before = atomic_load(&r->server->history->bytes);
	w.tombstone = true;
	w.value = SV("");
	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	rig_run(r, 0);
	assert_in_range(atomic_load(&r->server->history->bytes) - before, w.key.n + 1, w.key.n + 100);
}

/* Changes of which nobody knows when they came. */
static void test_unseen(void **state)
{
	struct store_write w = { .key = SV("/registry/leases/a/b"), .value = SV("{}"), .expect_rev = STORE_ANY_REV };
	struct rig *r = *state;
	int64_t rev = make(r, "c"), t = now_s(r) + 1, unseen, before;

	rig_run(r, 3 * MINUTE);
	rig_stop(r);
	before = now_s(r);
	rig_run(r, 30 * MINUTE);
	assert_int_equal(store_commit_wait(r->store, &w, &unseen, NULL), 1);
	rig_run(r, 30 * MINUTE);
	rig_start(r);
	rig_run(r, 5 * MINUTE);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(at(r, t), rev);
		assert_true(at(r, before + 600) < unseen);
		assert_int_equal(doubt_at(r, before + 600), unseen);
		assert_true(at(r, now_s(r) - 60) >= unseen);
		assert_int_equal(doubt_at(r, now_s(r) - 60), 0);
		rig_restart(r);
	}
}

/* One that ended in a second, and the next that began in it and died: that second nobody knows all of. */
static void test_one_second(void **state)
{
	struct store_write w = { .key = SV("/registry/none/x"), .value = SV("{}"), .expect_rev = STORE_ANY_REV };
	struct rig *r = *state;
	int64_t rev = make(r, "c"), t = now_s(r), unseen;

	rig_stop(r);
	assert_int_equal(store_commit_wait(r->store, &w, &unseen, NULL), 1);
	rig_run(r, 10 * NS_PER_SEC);
	rig_start(r);
	assert_int_equal(at(r, t + 1), rev);
	assert_int_equal(doubt_at(r, t + 1), unseen);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(doubt_at(r, now_s(r)), 0);
}

static void test_spoilt_marks(void **state)
{
	static const char *const spoilt[] = { "0000000000000003", "0000000000000fff", "zz" };
	struct rig *r = *state;
	int64_t rev = make(r, "c"), t = now_s(r) + 1;

	rig_run(r, 3 * MINUTE);
	for (size_t i = 0; i < ARRAY_LEN(spoilt); i++) {
		struct store_write w = { .expect_rev = STORE_ANY_REV, .value = SV("what?") };

		w.key = arena_svf(&r->arena, MARKS_ROOT "%s", spoilt[i]);
		assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	}
	rig_restart(r);
	assert_int_equal(at(r, t), rev);
}

/* Passes questions on, and looks how much they want. */
struct looked {
	struct store store;
	struct store *inner;
	size_t ranges;
};

static int looked_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
			void *ctx, int64_t *ret_rev, struct err *err)
{
	struct looked *l = CONTAINER_OF(s, struct looked, store);

	l->ranges++;
	assert_int_equal(limit, 1);
	return store_range(l->inner, from, to, rev, limit, fn, ctx, ret_rev, err);
}

static void looked_stats(struct store *s, struct store_stats *ret)
{
	store_stats(CONTAINER_OF(s, struct looked, store)->inner, ret);
}

/* Each step of the search wants one stretch. */
static void test_search_wants_little(void **state)
{
	static const struct store_ops ops = { .name = "looked", .range = looked_range, .stats = looked_stats };
	struct rig *r = *state;
	struct looked l = { .store = { &ops, r->store->env }, .inner = r->store };
	int64_t rev = make(r, "c"), t = now_s(r) + 1;

	rig_run(r, 3 * MINUTE);
	rig_restart(r);
	r->server->store = &l.store;
	assert_int_equal(at(r, t), rev);
	r->server->store = l.inner;
	assert_true(l.ranges > 0);
}

static void test_short(void **state)
{
	struct rig *r = *state;
	int64_t rev, t;
	size_t n;

	r->history_ns = 0;
	rig_restart(r);
	n = stretches(r); /* of before */
	rev = make(r, "c");
	t = now_s(r) + 1;
	rig_run(r, 4 * MINUTE);
	assert_int_equal(at(r, t), rev);
	for (int i = 0; i < 3000; i++) {
		put(r, "c", i % 2 ? "a" : "b");
		rig_run(r, NS_PER_SEC);
	}
	assert_int_equal(at(r, t), -1);
	assert_true(at(r, now_s(r) - 200) > 0);
	assert_int_equal(stretches(r), n); /* nothing is written */
	assert_true(r->server->history->m.cap <= 2048);
}

/* --- clocks --- */

static struct wrong_clock {
	struct env env;
	struct env *real;
	int64_t off_ns;
} wrong;

static int64_t wrong_now(_unused_ struct env *e)
{
	return env_now_ns(wrong.real) + wrong.off_ns;
}

static int64_t wrong_mono(_unused_ struct env *e)
{
	return env_mono_ns(wrong.real);
}

static void wrong_random(_unused_ struct env *e, void *p, size_t n)
{
	env_random(wrong.real, p, n);
}

static void wrong_post(_unused_ struct env *e, enum env_class c, env_fn *fn, void *ctx)
{
	env_post(wrong.real, c, fn, ctx);
}

static struct env_timer *wrong_after(_unused_ struct env *e, enum env_class c, int64_t ns, env_fn *fn, void *ctx)
{
	return env_after(wrong.real, c, ns, fn, ctx);
}

static bool wrong_cancel(_unused_ struct env *e, struct env_timer *t)
{
	return env_timer_stop(wrong.real, t);
}

static int wrong_thread(_unused_ struct env *e, const char *name, env_fn *fn, void *ctx)
{
	return env_thread(wrong.real, name, fn, ctx);
}

static const struct env_ops wrong_ops = { .now_ns = wrong_now,
					  .mono_ns = wrong_mono,
					  .random = wrong_random,
					  .post = wrong_post,
					  .after = wrong_after,
					  .timer_cancel = wrong_cancel,
					  .thread = wrong_thread };

static void wrong_setup(struct rig *r)
{
	wrong = (struct wrong_clock){ .env = { .ops = &wrong_ops }, .real = r->env };
	r->clock = &wrong.env;
	rig_restart(r);
}

/* Seconds and revisions of all that is stored rise, and none is later than now. */
static int check_one(const struct store_kv *kv, void *ctx)
{
	struct mark *last = ctx;
	struct stretch s;

	assert_true(marks_parse(kv->value, &s));
	for (size_t i = 0; i < s.m.n; i++) {
		assert_true(s.m.p[i].sec >= last->sec + (i > 0));
		assert_true(s.m.p[i].rev >= last->rev);
		*last = s.m.p[i];
	}
	vec_release(&s.m);
	return 0;
}

static void check_stored(struct rig *r)
{
	struct mark last = { 0 };

	assert_int_equal(store_range(r->store, SV(MARKS_ROOT), SV(MARKS_BEHIND), 0, 0, check_one, &last, NULL, NULL),
			 0);
	assert_true(last.sec <= now_s(r));
}

/* A little is waited for. */
static void test_clock_back_a_little(void **state)
{
	struct rig *r = *state;
	int64_t a, b, c, t, jump;

	wrong_setup(r);
	a = make(r, "a");
	t = now_s(r) + 1;
	rig_run(r, 50 * NS_PER_SEC);
	b = make(r, "b");
	jump = now_s(r);
	wrong.off_ns = -40 * NS_PER_SEC;
	c = make(r, "c");
	for (int round = 0; round < 2; round++) {
		assert_in_range(at(r, t), a, b - 1); /* it is the first one, for good */
		assert_in_range(at(r, jump), a, b - 1);
		assert_int_equal(doubt_at(r, t), 0);
		rig_run(r, 15 * MINUTE);
		assert_true(at(r, jump + 1) >= c);
		assert_int_equal(doubt_at(r, jump + 1), 0);
		check_stored(r);
		rig_restart(r);
	}
}

/* An hour that comes twice: for some minutes it is the first one, as the clock may not have been set yet, and then the
 * second. */
static void test_clock_back(void **state)
{
	struct rig *r = *state;
	int64_t a, b, c, d, t, before, again;

	wrong_setup(r);
	before = make(r, "before");
	rig_run(r, 40 * MINUTE);
	a = make(r, "a");
	t = now_s(r) + 1;
	rig_run(r, 30 * MINUTE);
	b = make(r, "b");
	rig_run(r, MINUTE);
	wrong.off_ns = -HOUR; /* the last hour comes again */
	c = make(r, "c");
	for (int round = 0; round < 2; round++) {
		assert_in_range(at(r, t), a, b - 1);
		assert_in_range(at(r, t + 60), a, b - 1);
		rig_run(r, 5 * MINUTE);
		rig_restart(r);
	}
	rig_run(r, 12 * MINUTE);
	again = now_s(r);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(at(r, t), -2); /* to come */
		assert_true(at(r, again) >= c);
		assert_int_equal(doubt_at(r, again), 0);
		/* What was marked after what the clock says has no time any more, and who asks is told. */
		assert_in_range(at(r, again - 5 * 60), before, a - 1);
		assert_true(doubt_at(r, again - 5 * 60) >= c);
		check_stored(r);
		rig_restart(r);
	}
	d = make(r, "d");
	rig_run(r, HOUR);
	assert_in_range(at(r, t), d, INT64_MAX);
	assert_int_equal(doubt_at(r, t), 0);
	assert_true(compacted(r) <= before);
}

/* Some minutes in another century forget nothing, and are not waited for: the map goes on when the clock is right
 * again. */
static void test_clock_ahead(void **state)
{
	struct rig *r = *state;
	int64_t a, b, t, back, now;

	wrong_setup(r);
	a = make(r, "a");
	t = now_s(r) + 1;
	rig_run(r, 5 * MINUTE);
	wrong.off_ns = 10 * 365 * 24 * HOUR;
	rig_run(r, 10 * MINUTE);
	b = make(r, "b");
	rig_run(r, 10 * MINUTE);
	wrong.off_ns = 0;
	back = now_s(r);
	rig_run(r, 5 * MINUTE);
	for (int round = 0; round < 2; round++) {
		assert_true(compacted(r) <= a);
		assert_int_equal(at(r, t), a);
		/* Until it is believed b has no time. */
		assert_true(at(r, back) < b);
		assert_true(doubt_at(r, back) >= b);
		assert_true(doubt_at(r, now_s(r)) >= b);
		rig_restart(r);
	}
	rig_run(r, 12 * MINUTE);
	now = now_s(r);
	put(r, "b", "more");
	rig_run(r, MINUTE);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(at(r, t), a);
		assert_int_equal(doubt_at(r, t), 0);
		assert_true(at(r, now) >= b);
		assert_int_equal(doubt_at(r, now), 0);
		assert_true(at(r, back) < b); /* and here nobody saw it */
		assert_true(doubt_at(r, back) >= b);
		check_stored(r);
		rig_restart(r);
	}
}

/* One second of it is enough, and so it is where marks are in memory alone. */
static void test_clock_ahead_for_a_second(void **state)
{
	struct rig *r = *state;
	int64_t a, b, c, t;

	r->history_ns = 0;
	wrong_setup(r);
	a = make(r, "a");
	t = now_s(r);
	rig_run(r, NS_PER_SEC);
	wrong.off_ns = 10 * 365 * 24 * HOUR;
	b = make(r, "b");
	wrong.off_ns = 0;
	rig_run(r, MINUTE);
	c = make(r, "c");
	assert_in_range(at(r, t + 30), a, b - 1);
	assert_true(doubt_at(r, t + 30) >= c);
	rig_run(r, HOUR / 6);
	(void)make(r, "d");
	rig_run(r, MINUTE);
	assert_true(at(r, now_s(r) - 30) > c);
	assert_int_equal(doubt_at(r, now_s(r) - 30), 0);
}

/* A clock that was ahead for so long that more is stored of it than goes with one write; and one that is not set when
 * the machine starts is not believed at once. */
static void test_clock_ahead_for_long(void **state)
{
	struct rig *r = *state;
	int64_t a, t, back;

	r->history_ns = 24 * HOUR;
	wrong_setup(r);
	a = make(r, "a");
	t = now_s(r) + 1;
	rig_run(r, 2 * MINUTE);
	wrong.off_ns = 24 * HOUR;
	for (int i = 0; i < 2 * FORGET_MAX + 10; i++) {
		put(r, "a", i % 2 ? "x" : "y");
		rig_run(r, MINUTE);
	}
	assert_true(stretches(r) > 2 * FORGET_MAX);
	rig_stop(r);
	wrong.off_ns = -30 * 365 * 24 * HOUR; /* 1996 */
	rig_start(r);
	put(r, "a", "then");
	rig_run(r, 5 * MINUTE);
	wrong.off_ns = 0;
	back = now_s(r);
	rig_run(r, 5 * MINUTE);
	assert_true(stretches(r) > 2 * FORGET_MAX); /* nothing is cut yet */
	rig_run(r, 10 * MINUTE);
	assert_true(stretches(r) < 10);
	for (int round = 0; round < 2; round++) {
		check_stored(r);
		assert_int_equal(at(r, t), a);
		assert_true(at(r, now_s(r)) > a + 2 * FORGET_MAX);
		assert_true(doubt_at(r, back) > a);
		rig_restart(r);
	}
}

int main(void)
{
#define ON_RIG(fn) cmocka_unit_test_setup_teardown(fn, history_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks_text),
		cmocka_unit_test(test_marks_refused),
		ON_RIG(test_seconds),
		ON_RIG(test_idle_writes_nothing),
		ON_RIG(test_many),
		ON_RIG(test_kept_for_a_time),
		ON_RIG(test_watches),
		ON_RIG(test_pause),
		ON_RIG(test_bytes),
		ON_RIG(test_bytes_of_keys),
		ON_RIG(test_unseen),
		ON_RIG(test_one_second),
		ON_RIG(test_spoilt_marks),
		ON_RIG(test_search_wants_little),
		ON_RIG(test_short),
		ON_RIG(test_clock_back_a_little),
		ON_RIG(test_clock_back),
		ON_RIG(test_clock_ahead),
		ON_RIG(test_clock_ahead_for_a_second),
		ON_RIG(test_clock_ahead_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
