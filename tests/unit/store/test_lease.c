/* Leases over the embedded stores: what goes with one, what does not, and that neither a restart nor a power cut makes
 * a difference. Time is the test's. */
#include "mute.h"
#include "power_disk.h"
#include "store/lease.h"

#define S NS_PER_SEC

/* --- an environment whose clock stands still --- */

struct env_timer {
	struct env_timer *next;
	int64_t due;
	env_fn *fn;
	void *ctx;
	bool fired;
};

static struct {
	pthread_mutex_t mu;
	int64_t now;
	struct env_timer *timers;
} clk = { .mu = PTHREAD_MUTEX_INITIALIZER };

static int64_t clock_mono(_unused_ struct env *e)
{
	int64_t now;

	pthread_mutex_lock(&clk.mu);
	now = clk.now;
	pthread_mutex_unlock(&clk.mu);
	return now;
}

static struct env_timer *clock_after(_unused_ struct env *e, _unused_ enum env_class c, int64_t delay, env_fn *fn,
				     void *ctx)
{
	struct env_timer *t = xcalloc(1, sizeof(*t));

	pthread_mutex_lock(&clk.mu);
	*t = (struct env_timer){ clk.timers, clk.now + delay, fn, ctx, false };
	clk.timers = t;
	pthread_mutex_unlock(&clk.mu);
	return t;
}

static bool clock_cancel(_unused_ struct env *e, struct env_timer *t)
{
	bool fired;

	pthread_mutex_lock(&clk.mu);
	fired = t->fired;
	for (struct env_timer **p = &clk.timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	pthread_mutex_unlock(&clk.mu);
	free(t);
	return !fired;
}

static struct env_timer *clock_due(int64_t until)
{
	struct env_timer *first = NULL;

	for (struct env_timer *t = clk.timers; t; t = t->next)
		if (!t->fired && t->due <= until && (!first || t->due < first->due))
			first = t;
	return first;
}

/* Time goes on, and what is due runs. */
static void pass(int64_t ns)
{
	int64_t until = clk.now + ns;

	for (;;) {
		struct env_timer *t;
		env_fn *fn;
		void *ctx;

		pthread_mutex_lock(&clk.mu);
		t = clock_due(until);
		clk.now = t ? MAX(clk.now, t->due) : until;
		if (!t) {
			pthread_mutex_unlock(&clk.mu);
			return;
		}
		t->fired = true;
		fn = t->fn;
		ctx = t->ctx;
		pthread_mutex_unlock(&clk.mu);
		fn(ctx);
	}
}

static struct env_ops still_ops;
static struct env still_env = { .ops = &still_ops };

static void still_init(void)
{
	still_ops = thread_env_ops;
	still_ops.mono_ns = clock_mono;
	still_ops.after = clock_after;
	still_ops.timer_cancel = clock_cancel;
}

static struct store *open_mem(_unused_ const char *dir, struct err *err)
{
	return store_leased(store_mem_new(&still_env), err);
}

static struct store *open_disk(const char *dir, struct err *err)
{
	struct store *s = store_disk_open(&still_env, dir, (size_t)1 << 30, err);

	return s ? store_leased(s, err) : NULL;
}

static const struct backend backends[] = { { "mem", false, open_mem, false, NULL },
					   { "disk", true, open_disk, false, NULL } };

static int setup_mem(void **state)
{
	return kit_setup(state, &backends[0]);
}

static int setup_disk(void **state)
{
	return kit_setup(state, &backends[1]);
}

/* --- short forms --- */

static int64_t with(struct store *s, const char *key, int64_t lease, int64_t expect, struct err *err)
{
	struct store_write w = { .key = sv_from(key), .value = SV("v"), .expect_rev = expect, .lease = lease };
	int64_t rev = 0;
	int r = store_commit_wait(s, &w, &rev, err);

	return r == 1 ? rev : r;
}

static int64_t grant(struct store *s, int64_t ttl)
{
	struct err err = ERR_INIT;
	int64_t id = 0;

	if (store_lease_grant(s, 0, ttl, &id, &err) < 0)
		fail_msg("grant: %s", err_msg(&err));
	assert_true(id > 0);
	return id;
}

static int there_one(_unused_ const struct store_kv *kv, void *ctx)
{
	++*(int *)ctx;
	return 0;
}

static bool there(struct store *s, const char *key)
{
	int n = 0;

	assert_int_equal(store_range(s, sv_from(key), SV_NULL, 0, 0, there_one, &n, NULL, NULL), 0);
	return n;
}

static int notes(struct store *s)
{
	int n = 0;

	assert_int_equal(store_range(s, SV(STORE_LEASES), SV("/caravel/leases0"), 0, 0, there_one, &n, NULL, NULL), 0);
	return n;
}

/* --- what goes, and what stays --- */

static void test_expiry(void **state)
{
	struct kit *k = *state;
	struct store *s = k->s;
	struct err err = ERR_INIT;
	struct seen seen;
	int64_t id = grant(s, 10), ttl = 0, rev;

	seen_watch(&seen, s, "k", "p0", now_rev(s));
	assert_true(with(s, "k", id, 0, NULL) > 0);
	assert_true(with(s, "p", 0, 0, NULL) > 0);
	pass(9 * S);
	assert_int_equal(store_lease_keepalive(s, id, &ttl, NULL), 0);
	assert_int_equal(ttl, 10);
	pass(9 * S);
	assert_true(there(s, "k") && there(s, "p"));
	pass(2 * S);
	assert_true(!there(s, "k") && there(s, "p"));
	assert_int_equal(notes(s), 0);
	seen_wait_progress(&seen, seen.revs.p[seen.revs.n - 1]);
	assert_non_null(strstr(buf_cstr(&seen.text), "k=@0/"));
	seen_stop(&seen, s);
	assert_int_equal(store_lease_keepalive(s, id, &ttl, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	assert_int_equal(store_lease_revoke(s, id, NULL), -1);
	rev = now_rev(s);
	assert_int_equal(with(s, "k", id, 0, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	assert_int_equal(now_rev(s), rev);
}

static void test_ids(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	int64_t id = 0;

	assert_int_equal(store_lease_grant(k->s, 7, 5, &id, NULL), 0);
	assert_int_equal(id, 7);
	assert_int_equal(store_lease_grant(k->s, 7, 5, &id, &err), -1);
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	err_release(&err);
	assert_int_equal(store_lease_grant(k->s, 0, 0, &id, NULL), -1);
	assert_int_equal(store_lease_grant(k->s, 0, INT64_MAX, &id, NULL), -1);
	assert_int_equal(store_lease_grant(k->s, -4, 5, &id, NULL), -1);
	assert_int_equal(store_lease_revoke(k->s, 7, NULL), 0);
	assert_int_equal(store_lease_grant(k->s, 7, 5, &id, NULL), 0);
}

/* Each row on a key of its own: what is done with leases a (10 s) and b (20 s), and what is there after 15 and 25 s. */
static const struct {
	const char *key, *ops; /* +a: put with a; +: put with none; -: delete; ?a, ?: a put that does not apply */
	bool at15, at25;
} ways[] = {
	{ "w/a", "+a", false, false },		 { "w/b", "+b", true, false },
	{ "w/plain", "+", true, true },		 { "w/taken", "+a +", true, true },
	{ "w/given", "+ +a", false, false },	 { "w/twice", "+a +a", false, false },
	{ "w/moved", "+a +b", true, false },	 { "w/back", "+a +b +a", false, false },
	{ "w/round", "+a + +a", false, false },	 { "w/again", "+a - +", true, true },
	{ "w/anew", "+a - +a", false, false },	 { "w/deleted", "+a -", false, false },
	{ "w/kept", "+a ?", false, false },	 { "w/kept-b", "+a ?b", false, false },
	{ "w/kept-then", "+a ? +", true, true }, { "w/kept-on", "+a ? +a", false, false },
	{ "w/not-taken", "+ ?a", true, true },	 { "w/not-yet", "?a +", true, true },
	{ "w/never", "?a", false, false },	 { "w/between", "+a ?b +b", true, false },
};

static void go(struct store *s, const char *key, const char *ops, int64_t a, int64_t b)
{
	for (const char *p = ops; *p; p++) {
		int64_t lease = p[1] == 'a' ? a : p[1] == 'b' ? b : 0, rev;

		if (*p == '+')
			rev = with(s, key, lease, STORE_ANY_REV, NULL);
		else if (*p == '-')
			rev = del(s, key, STORE_ANY_REV);
		else if (*p == '?')
			rev = with(s, key, lease, INT64_C(1) << 40, NULL);
		else
			continue;
		assert_true(*p == '?' ? rev == 0 : rev > 0);
	}
}

static void ways_check(struct store *s, bool at25)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		if (there(s, ways[i].key) != (at25 ? ways[i].at25 : ways[i].at15))
			fail_msg("%s after %s (%d)", ways[i].key, ways[i].ops, at25);
}

static void test_ways(void **state)
{
	struct kit *k = *state;
	int64_t a = grant(k->s, 10), b = grant(k->s, 20);

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		go(k->s, ways[i].key, ways[i].ops, a, b);
	pass(15 * S);
	ways_check(k->s, false);
	pass(10 * S);
	ways_check(k->s, true);
	assert_int_equal(notes(k->s), 0);
}

/* A start gives all their full time, and knows what went with which. */
static void test_restart(void **state)
{
	struct kit *k = *state;
	int64_t a = grant(k->s, 10), b = grant(k->s, 20);

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		go(k->s, ways[i].key, ways[i].ops, a, b);
		if (i % 7 == 3)
			kit_reopen(k);
	}
	pass(9 * S);
	kit_reopen(k);
	pass(9 * S);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		assert_int_equal(there(k->s, ways[i].key),
				 ways[i].ops[strlen(ways[i].ops) - 1] != '-' && strcmp(ways[i].ops, "?a") != 0);
	pass(6 * S);
	ways_check(k->s, false);
	kit_reopen(k);
	pass(21 * S);
	ways_check(k->s, true);
	assert_int_equal(notes(k->s), 0);
	assert_int_equal(store_lease_keepalive(k->s, b, NULL, NULL), -1);
}

/* --- what cannot be read --- */

static struct store *open_below(const struct kit *k)
{
	struct store *s = store_disk_open(&still_env, k->dir, (size_t)1 << 30, NULL);

	assert_non_null(s);
	return s;
}

static void assert_no_start(struct store *s_take, const char *why)
{
	struct err err = ERR_INIT;

	assert_null(store_leased(s_take, &err));
	assert_int_equal(err.reason, ERR_STORE_READ);
	if (!strstr(err_msg(&err), why))
		fail_msg("no '%s' in: %s", why, err_msg(&err));
	err_release(&err);
}

/* A lease that cannot be read is not one that has gone: its keys would stay for good. */
static void test_unreadable(void **state)
{
	static const struct {
		const char *key, *bad, *good;
	} rows[] = {
		{ STORE_LEASES "0000000000000007", "ten", "10" },    { STORE_LEASES "0000000000000007", "0", "10" },
		{ STORE_LEASES "0000000000000007", "", "10" },	     { STORE_LEASES "0000000000000007/k", "0", "0 0" },
		{ STORE_LEASES "0000000000000007/k", "0 x", "0 0" },
	};
	struct store_transform mute = MUTE_TRANSFORM;
	struct kit *k = *state;
	int64_t rev;

	assert_int_equal(store_lease_grant(k->s, 7, 10, NULL, NULL), 0);
	assert_true(with(k->s, "k", 7, 0, NULL) > 0);
	store_close(k->s);
	assert_no_start(store_transformed(open_below(k), &mute), "cannot be read");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		k->s = open_below(k);
		rev = put(k->s, rows[i].key, rows[i].bad, STORE_ANY_REV);
		assert_no_start(TAKE(k->s), rows[i].key);
		k->s = open_below(k);
		assert_int_equal(now_rev(k->s), rev);
		assert_true(put(k->s, rows[i].key, rows[i].good, STORE_ANY_REV) > 0);
		assert_true(with(k->s, "k", 0, STORE_ANY_REV, NULL) > 0); /* behind the note */
		store_close(k->s);
	}
	k->s = kit_open(k);
	pass(9 * S);
	assert_true(there(k->s, "k"));
	pass(2 * S);
	assert_false(there(k->s, "k"));
}

static void test_many(void **state)
{
	struct kit *k = *state;
	struct flight f = FLIGHT_INIT;
	int64_t id = grant(k->s, 10);
	char key[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "m/%04d", i);
		flight_commit(&f, k->s,
			      &(struct store_write){ .key = sv_from(key), .value = SV("v"), .lease = i % 2 ? id : 0 });
	}
	flight_wait(&f, 0);
	assert_int_equal(f.ok, 1000);
	assert_int_equal(store_lease_revoke(k->s, id, NULL), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "m/%04d", i);
		assert_int_equal(there(k->s, key), i % 2 == 0);
	}
}

/* --- many at once --- */

struct crowd {
	struct store *s;
	int64_t lease;
	int n;
};

static void *crowd_main(void *arg)
{
	struct crowd *c = arg;
	char key[16];

	for (int i = 0; i < 60; i++) {
		snprintf(key, sizeof(key), "c/%d", (i * 7 + c->n) % 5);
		(void)with(c->s, key, i % 3 ? c->lease : 0, STORE_ANY_REV, NULL);
		if (i % 11 == 0)
			(void)del(c->s, key, STORE_ANY_REV);
		(void)store_lease_keepalive(c->s, c->lease, NULL, NULL);
	}
	return NULL;
}

/* Writes of all kinds on few keys from many threads, while a lease ends: then those that were written without one last
 * are there, and none with it. */
static void test_crowd(void **state)
{
	struct kit *k = *state;
	struct crowd c[4];
	pthread_t t[4];
	int64_t a = grant(k->s, 10), b = grant(k->s, 1000);

	for (int i = 0; i < 4; i++) {
		c[i] = (struct crowd){ k->s, i % 2 ? a : b, i };
		assert_int_equal(pthread_create(&t[i], NULL, crowd_main, &c[i]), 0);
	}
	assert_int_equal(store_lease_revoke(k->s, a, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 5; i++) {
		char key[16];

		snprintf(key, sizeof(key), "c/%d", i);
		assert_true(with(k->s, key, i % 2 ? b : 0, STORE_ANY_REV, NULL) > 0);
	}
	pass(1001 * S);
	for (int i = 0; i < 5; i++) {
		char key[16];

		snprintf(key, sizeof(key), "c/%d", i);
		assert_int_equal(there(k->s, key), i % 2 == 0);
	}
	assert_int_equal(notes(k->s), 0);
}

#define REFUSED 200000

struct flood {
	struct store *s;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	int refused;
};

static void flood_refused(const struct store_result *r, void *ctx)
{
	struct flood *f = ctx;

	pthread_mutex_lock(&f->mu);
	f->refused += r->outcome == STORE_FAILED && r->err->reason == ERR_NOT_FOUND;
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->mu);
}

static void flood_begin(_unused_ const struct store_result *r, void *ctx)
{
	struct flood *f = ctx;

	for (int i = 0; i < REFUSED; i++)
		store_commit(f->s, &(struct store_write){ .key = SV("f"), .value = SV("v"), .lease = 4711 },
			     flood_refused, f);
}

/* Many writes that are over as they begin wait behind one: none begins on the stack of the one before. */
static void test_flood(void **state)
{
	struct kit *k = *state;
	struct flood f = { k->s, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

	store_commit(k->s, &(struct store_write){ .key = SV("k"), .value = SV("v"), .lease = grant(k->s, 10) },
		     flood_begin, &f);
	pthread_mutex_lock(&f.mu);
	while (f.refused < REFUSED)
		pthread_cond_wait(&f.cond, &f.mu);
	pthread_mutex_unlock(&f.mu);
	assert_int_equal(put(k->s, "f", "v", 0) > 0, true);
	pthread_cond_destroy(&f.cond);
	pthread_mutex_destroy(&f.mu);
}

/* --- without power --- */

/* What was answered last of each key; doubt: another write was under way. */
struct fate {
	bool exists, leased, doubt;
};

static void power_work(struct store *s, struct fate *fates, int64_t *ids)
{
	ids[0] = ids[1] = 0;
	if (!s || store_lease_grant(s, 0, 10, &ids[0], NULL) < 0 || store_lease_grant(s, 0, 20, &ids[1], NULL) < 0)
		return;
	for (size_t step = 0; step < 3; step++)
		for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
			const char *p = ways[i].ops;
			struct fate *f = &fates[i];
			int64_t rev;

			for (size_t skip = 0; p && skip < step; skip++)
				p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL;
			if (!p)
				continue;
			f->doubt = true;
			if (*p == '-')
				rev = del(s, ways[i].key, STORE_ANY_REV);
			else
				rev = with(s, ways[i].key,
					   p[1] == 'a'	 ? ids[0]
					   : p[1] == 'b' ? ids[1]
							 : 0,
					   *p == '?' ? INT64_C(1) << 40 : STORE_ANY_REV, NULL);
			if (rev < 0)
				return;
			f->doubt = false;
			if (rev > 0) {
				f->exists = *p == '+';
				f->leased = p[1] == 'a' || p[1] == 'b';
			}
		}
}

static void power_verify(struct store *s, const struct fate *fates, long at)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		if (!fates[i].doubt && there(s, ways[i].key) != fates[i].exists)
			fail_msg("call %ld: %s after %s before the end", at, ways[i].key, ways[i].ops);
	pass(30 * S);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		if (!fates[i].doubt && there(s, ways[i].key) != (fates[i].exists && !fates[i].leased))
			fail_msg("call %ld: %s after %s", at, ways[i].key, ways[i].ops);
	assert_int_equal(notes(s), 0);
}

static long power_once(long at)
{
	struct fate fates[ARRAY_LEN(ways)] = { 0 };
	struct store *s;
	char dir[64];
	int64_t ids[2];
	long n;

	kit_mkdir(dir);
	disk_arm(dir, NONE, 0);
	s = open_disk(dir, NULL);
	assert_non_null(s);
	assert_true(put(s, "x", "x", 0) > 0);
	disk_arm(NULL, at ? DIE : NONE, at);
	power_work(s, fates, ids);
	store_close(s);
	disk.armed = false;
	n = disk.calls;
	for (size_t i = 0; i < ARRAY_LEN(disk_images); i++) {
		struct err err = ERR_INIT;
		char to[64];

		kit_mkdir(to);
		disk_image(dir, to, i);
		s = open_disk(to, &err);
		if (!s)
			fail_msg("call %ld, %s: %s", at, disk_images[i].words, err_msg(&err));
		power_verify(s, fates, at);
		store_close(s);
		kit_rmdir(to);
	}
	disk_forget();
	kit_rmdir(dir);
	return n;
}

static void test_power(void **state)
{
	const char *every = getenv("POWER_STEP");
	long n = power_once(0), step = every ? atol(every) : MAX(n / 30, 1);

	(void)state;
	assert_true(n > 50);
	for (long at = 1; at < n; at += step)
		power_once(at);
}

static void test_also(void **state)
{
	struct store *s = ((struct kit *)*state)->s;
	int64_t id = grant(s, 10);
	struct err err = ERR_INIT;
	struct store_write also = { .key = SV("held"), .value = SV("2"), .expect_rev = STORE_ANY_REV };
	struct store_write w = { .key = SV("own"), .value = SV("1"), .also = &also, .n_also = 1 };

	/* Without its note a key would lose its lease, or keep it: writes that are one leave such keys alone. */
	assert_true(with(s, "held", id, 0, &err) > 0);
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	assert_false(there(s, "own"));
	also.key = SV("free");
	also.lease = id;
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	err_release(&err);
	also.lease = 0;
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), 1);
	pass(20 * S);
	assert_false(there(s, "held"));
	assert_true(there(s, "own") && there(s, "free"));
}

/* A store that has none says so. */
static void test_none(void **state)
{
	struct store *s = store_mem_new(&thread_env);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(store_lease_grant(s, 0, 5, NULL, &err), -1);
	assert_non_null(strstr(err_msg(&err), "no leases"));
	err_release(&err);
	assert_int_equal(with(s, "k", 5, 0, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	store_close(s);
}

#define ON_BOTH(test)                                               \
	{ #test "_mem", test, setup_mem, kit_teardown, NULL },      \
	{                                                           \
#test "_disk", test, setup_disk, kit_teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(test_expiry),
		ON_BOTH(test_ids),
		ON_BOTH(test_ways),
		cmocka_unit_test_setup_teardown(test_restart, setup_disk, kit_teardown),
		ON_BOTH(test_many),
		ON_BOTH(test_crowd),
		cmocka_unit_test_setup_teardown(test_unreadable, setup_disk, kit_teardown),
		ON_BOTH(test_flood),
		cmocka_unit_test(test_power),
		ON_BOTH(test_also),
		cmocka_unit_test(test_none),
	};

	still_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
