/* The store seam's conformance suite: every sentence of store.h, on every backend. STORE=name
 * picks one backend, otherwise all run. */
#include "etcd_kit.h"
#include "store/etcd/etcd.h"
#include "store/lease.h"
#include "store_kit.h"
#include "store_tests.h"
#include "toy_transform.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct store *open_mem(_unused_ const char *dir, _unused_ struct err *err)
{
	return store_mem_new(&thread_env);
}

static struct store *open_disk(const char *dir, struct err *err)
{
	return store_disk_open(&thread_env, dir, (size_t)1 << 30, err);
}

static struct store *open_mem_transformed(_unused_ const char *dir, _unused_ struct err *err)
{
	return store_transformed(store_mem_new(&thread_env), &toy_transform);
}

static struct store *open_disk_transformed(const char *dir, struct err *err)
{
	struct store *s = open_disk(dir, err);

	return s ? store_transformed(s, &toy_transform) : NULL;
}

static struct store *open_disk_leased(const char *dir, struct err *err)
{
	struct store *s = open_disk(dir, err);

	return s ? store_leased(s, err) : NULL;
}

/* One cluster at a time: that of the directory that was asked for last. Its bounds are raised to those of store.h. */
static struct etcd_cluster etcd;
static char etcd_dir[64];

static void clean_etcd(void)
{
	etcd_cluster_stop(&etcd);
	etcd_dir[0] = '\0';
}

static struct store *open_etcd(const char *dir, struct err *err)
{
	if (strcmp(dir, etcd_dir) != 0) {
		clean_etcd();
		etcd = (struct etcd_cluster){ .more = { "--max-txn-ops=5000", "--max-request-bytes=8000000" } };
		etcd_cluster_start(&etcd, 1, dir);
		snprintf(etcd_dir, sizeof(etcd_dir), "%s", dir);
	}
	return store_etcd_open(
	    &thread_env, &(struct store_etcd_opts){ .endpoints = etcd.endpoints, .patience = ETCD_PATIENCE }, err);
}

static struct store *open_etcd_transformed(const char *dir, struct err *err)
{
	struct store *s = open_etcd(dir, err);

	return s ? store_transformed(s, &toy_transform) : NULL;
}

static const struct backend backends[] = {
	{ "mem", false, open_mem, false, NULL },
	{ "disk", true, open_disk, false, NULL },
	{ "mem-transformed", false, open_mem_transformed, false, NULL },
	{ "disk-transformed", true, open_disk_transformed, false, NULL },
	{ "disk-leased", true, open_disk_leased, false, NULL },
	{ "etcd", true, open_etcd, true, clean_etcd },
	{ "etcd-transformed", true, open_etcd_transformed, true, clean_etcd },
};

static const struct backend *current_backend;

static int setup(void **state)
{
	return kit_setup(state, current_backend);
}

#define STORE(state) (((struct kit *)*(state))->s)

static void test_fresh(void **state)
{
	struct store *s = STORE(state);
	struct store_stats st;
	struct err err = ERR_INIT;
	int64_t rev = -5;

	assert_int_equal(store_range(s, SV("a"), SV("z"), 0, 0, kit_list_one, NULL, &rev, &err), 0);
	assert_int_equal(rev, 1);
	assert_true(store_healthy(s, &err));
	assert_int_equal(err.reason, ERR_NONE);
	store_stats(s, &st);
	assert_int_equal(st.rev, 1);
	assert_int_equal(st.compact_rev, 0);
	assert_int_equal(st.keys, 0);
	assert_int_equal(put(s, "a", "1", 0), 2);
}

static void test_revisions(void **state)
{
	struct store *s = STORE(state);

	assert_int_equal(put(s, "a", "1", 0), 2);
	assert_int_equal(put(s, "b", "1", STORE_ANY_REV), 3);
	assert_int_equal(put(s, "a", "2", 2), 4);
	assert_int_equal(put(s, "a", "3", STORE_ANY_REV), 5);
	assert_list(s, "", "z", 0, 0, "a=3@2/5 b=1@3/3 ");
	assert_int_equal(del(s, "a", 5), 6);
	assert_list(s, "", "z", 0, 0, "b=1@3/3 ");
	assert_int_equal(put(s, "a", "4", 0), 7); /* a new life */
	assert_list(s, "", "z", 0, 0, "a=4@7/7 b=1@3/3 ");
	assert_int_equal(now_rev(s), 7);
}

struct answer {
	struct flight f;
	enum store_outcome outcome;
	bool has_current;
	int64_t mod_rev, create_rev;
	char value[16];
	enum err_reason why;
};

static void answer_done(const struct store_result *r, void *ctx)
{
	struct answer *a = ctx;

	a->outcome = r->outcome;
	a->has_current = r->current;
	a->why = r->err ? r->err->reason : ERR_NONE;
	if (r->current) {
		a->mod_rev = r->current->mod_rev;
		a->create_rev = r->current->create_rev;
		assert_false(r->current->deleted);
		snprintf(a->value, sizeof(a->value), "%.*s", SV_ARG(r->current->value));
	}
	flight_done(r, &a->f);
}

static struct answer ask(struct store *s, const char *key, bool tombstone, int64_t expect)
{
	struct answer a = { .f = FLIGHT_INIT };
	struct store_write w = {
		.key = sv_from(key), .value = SV("new"), .expect_rev = expect, .tombstone = tombstone
	};

	a.f.open = 1;
	store_commit(s, &w, answer_done, &a);
	flight_wait(&a.f, 0);
	return a;
}

static void test_cas(void **state)
{
	static const struct {
		const char *key;
		bool tombstone;
		int64_t expect;
		bool ok, current;
	} rows[] = {
		/* "k" lives at 3 since 2, "gone" was deleted, "never" never was. */
		{ "k", false, 0, false, true },
		{ "k", false, 2, false, true },
		{ "k", false, 4, false, true },
		{ "k", false, 99, false, true },
		{ "k", true, 2, false, true },
		{ "k", true, 0, false, true },
		{ "gone", false, 4, false, false },
		{ "gone", false, 5, false, false },
		{ "gone", true, 5, false, false },
		{ "gone", true, STORE_ANY_REV, false, false },
		{ "gone", true, 0, false, false },
		{ "never", false, 1, false, false },
		{ "never", true, 1, false, false },
		{ "never", true, STORE_ANY_REV, false, false },
		{ "never", true, 0, false, false },
		{ "k", false, 3, true, false },
		{ "gone", false, 0, true, false },
		{ "never", false, STORE_ANY_REV, true, false },
		{ "k", true, STORE_ANY_REV, true, false },
	};
	struct store *s = STORE(state);
	int64_t rev;

	assert_int_equal(put(s, "k", "old", 0), 2);
	assert_int_equal(put(s, "k", "mid", 2), 3);
	assert_int_equal(put(s, "gone", "x", 0), 4);
	assert_int_equal(del(s, "gone", 4), 5);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer a;

		rev = now_rev(s);
		a = ask(s, rows[i].key, rows[i].tombstone, rows[i].expect);
		if (rows[i].ok) {
			assert_int_equal(a.outcome, STORE_OK);
			assert_int_equal(a.f.last_rev, rev + 1);
		} else {
			assert_int_equal(a.outcome, STORE_MISMATCH);
			assert_int_equal(a.has_current, rows[i].current);
			if (a.has_current) {
				assert_int_equal(a.mod_rev, 3);
				assert_int_equal(a.create_rev, 2);
				assert_string_equal(a.value, "mid");
			}
			assert_int_equal(now_rev(s), rev); /* a mismatch spends no revision */
		}
	}
	assert_list(s, "", "z", 0, 0, "gone=new@7/7 never=new@8/8 ");
}

static int stop_at_two(_unused_ const struct store_kv *kv, void *ctx)
{
	return ++*(int *)ctx == 2;
}

static void test_range_bounds(void **state)
{
	struct store *s = STORE(state);
	int calls = 0;

	put(s, "/p/b", "2", 0);
	put(s, "/p/", "0", 0);
	put(s, "/p/a", "1", 0);
	put(s, "/p", "x", 0);
	put(s, "/p0", "y", 0);
	put(s, "/p/\xff", "3", 0);
	put(s, "/p/a/deep", "4", 0);
	assert_list(s, "/p/", "/p0", 0, 0, "/p/=0@3/3 /p/a=1@4/4 /p/a/deep=4@8/8 /p/b=2@2/2 /p/\xff=3@7/7 ");
	assert_list(s, "/p/", "/p0", 0, 2, "/p/=0@3/3 /p/a=1@4/4 ");
	assert_list(s, "/p/a", "/p/b", 0, 0, "/p/a=1@4/4 /p/a/deep=4@8/8 "); /* from is in, to is not */
	assert_list(s, "/p/a", "", 0, 0, "/p/a=1@4/4 ");		     /* one key */
	assert_list(s, "/p/c", "", 0, 0, "");
	assert_list(s, "/p/a", "/p/a", 0, 0, "");
	assert_list(s, "/p0", "/p/", 0, 0, "");
	assert_list(s, "/q", "/z", 0, 0, "");
	assert_list(s, "", "/p/", 0, 0, "/p=x@5/5 ");
	assert_list(s, "/p/\xff", "/p0", 0, 0, "/p/\xff=3@7/7 ");
	assert_int_equal(store_range(s, SV("/p/"), SV("/p0"), 0, 0, stop_at_two, &calls, NULL, NULL), 0);
	assert_int_equal(calls, 2);
}

/* What a function below finds on its stack. */
static __attribute__((noinline)) void litter(void)
{
	volatile char stack[8192];

	for (size_t i = 0; i < sizeof(stack); i++)
		stack[i] = 0x22;
}

/* A key of which some versions have been put elsewhere (tables, pages) and newer ones not yet. */
static void test_range_old_of_what_moves(void **state)
{
	enum { ROUNDS = 3, FILLERS = 12, FILLER = 512 * 1024 };
	struct store *s = STORE(state);
	char *filler = xmalloc(FILLER + 1);
	int64_t at[ROUNDS];

	memset(filler, 'x', FILLER);
	filler[FILLER] = '\0';
	for (int i = 0; i < ROUNDS; i++) {
		at[i] = put(s, "a", i ? "later" : "first", STORE_ANY_REV);
		for (int k = 0; k < FILLERS; k++)
			assert_true(put(s, "f", filler, STORE_ANY_REV) > 0);
	}
	assert_true(put(s, "a", "last", STORE_ANY_REV) > 0);
	for (int i = 0; i < ROUNDS; i++) {
		char *wanted = xasprintf("a=%s@%" PRId64 "/%" PRId64 " ", i ? "later" : "first", at[0], at[i]), *got;

		litter();
		got = list_n(s, SV("a"), SV("b"), at[i], 0);
		assert_string_equal(got, wanted);
		free(got);
		free(wanted);
	}
	free(filler);
}

static void test_read(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct store *s = STORE(state);
	struct store_found f;

	put(s, "a", "1", 0);		 /* 2 */
	put(s, "a", "2", STORE_ANY_REV); /* 3 */
	put(s, "ab", "", 0);		 /* 4 */
	assert_int_equal(store_read(s, &a, SV("a"), &f, NULL), 0);
	assert_sv(f.value, "2");
	assert_int_equal(f.rev, 3);
	assert_int_equal(f.at, 4);
	assert_int_equal(store_read(s, &a, SV("ab"), &f, NULL), 0);
	assert_true(f.value.p && !f.value.n);
	assert_int_equal(f.rev, 4);
	/* Not one that begins with it; and what was found before is none. */
	assert_int_equal(store_read(s, &a, SV("aba"), &f, NULL), 0);
	assert_true(!f.value.p && !f.rev);
	assert_int_equal(f.at, 4);
}

static void test_range_old(void **state)
{
	struct store *s = STORE(state);

	put(s, "a", "1", 0);		 /* 2 */
	put(s, "b", "1", 0);		 /* 3 */
	put(s, "a", "2", 2);		 /* 4 */
	del(s, "b", 3);			 /* 5 */
	put(s, "c", "1", 0);		 /* 6 */
	put(s, "b", "2", 0);		 /* 7 */
	put(s, "a", "3", STORE_ANY_REV); /* 8 */
	assert_list(s, "a", "z", 1, 0, "");
	assert_list(s, "a", "z", 2, 0, "a=1@2/2 ");
	assert_list(s, "a", "z", 3, 0, "a=1@2/2 b=1@3/3 ");
	assert_list(s, "a", "z", 4, 0, "a=2@2/4 b=1@3/3 ");
	assert_list(s, "a", "z", 5, 0, "a=2@2/4 ");
	assert_list(s, "a", "z", 6, 0, "a=2@2/4 c=1@6/6 ");
	assert_list(s, "a", "z", 6, 1, "a=2@2/4 ");
	assert_list(s, "b", "z", 6, 1, "c=1@6/6 "); /* the limit counts live keys only */
	assert_list(s, "a", "z", 7, 0, "a=2@2/4 b=2@7/7 c=1@6/6 ");
	assert_list(s, "b", "", 5, 0, "");
	assert_list(s, "b", "", 4, 0, "b=1@3/3 ");
	assert_list(s, "a", "z", 8, 0, "a=3@2/8 b=2@7/7 c=1@6/6 ");
	assert_list(s, "a", "z", 9, 0, "BadRequest");
	assert_list(s, "a", "z", -1, 0, "BadRequest");
}

static void test_limits(void **state)
{
	struct store *s = STORE(state);
	char *big = xmalloc(STORE_VALUE_MAX + 1), *got;
	char key[STORE_KEY_MAX + 2];
	struct err err = ERR_INIT;
	struct store_write w = { .value = SV("v"), .expect_rev = STORE_ANY_REV };
	int64_t rev = now_rev(s);

	memset(key, 'k', sizeof(key));
	assert_true(put_n(s, sv_make(key, STORE_KEY_MAX), SV("v"), 0) > 0);
	w.key = sv_make(key, STORE_KEY_MAX + 1);
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	w.key = SV("");
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	w.key = SV("neg");
	w.expect_rev = -2;
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);

	for (size_t i = 0; i < STORE_VALUE_MAX + 1; i++)
		big[i] = (char)('a' + i % 23);
	assert_true(put_n(s, SV("big"), sv_make(big, STORE_VALUE_MAX), 0) > 0);
	w = (struct store_write){ .key = SV("huge"), .value = sv_make(big, STORE_VALUE_MAX + 1) };
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	err_release(&err);
	assert_list(s, "huge", "", 0, 0, "");
	got = list_n(s, SV("big"), SV(""), 0, 0);
	assert_memory_equal(got + 4, big, STORE_VALUE_MAX);
	assert_string_equal(got + 4 + STORE_VALUE_MAX, "@3/3 ");
	free(got);
	free(big);

	assert_int_equal(put(s, "empty", "", 0), rev + 3); /* refused writes spend no revision */
	assert_list(s, "empty", "", 0, 0, "empty=@4/4 ");
	assert_true(put_n(s, SV("nul\0a"), SV("v\0w"), 0) > 0);
	assert_true(put_n(s, SV("nul\0b"), SV("v\0w"), 0) > 0);
	assert_true(put_n(s, SV("nul\0a"), SV("v\0w"), 0) == 0);
	got = list_n(s, SV("nul"), SV("nul\0b"), 0, 0);
	assert_memory_equal(got, "nul\0a=v\0w@5/5 ", 15);
	free(got);
}

static void test_stats(void **state)
{
	struct kit *k = *state;
	struct store_stats st;

	for (int i = 0; i < 10; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		put(k->s, key, "value", 0);
		put(k->s, key, "value2", STORE_ANY_REV);
	}
	del(k->s, "k3", STORE_ANY_REV);
	stats_of_keys(k->s, 9, &st);
	assert_int_equal(st.rev, 22);
	assert_int_equal(st.compact_rev, 0);
	assert_true(st.bytes >= 9 * 6);
	assert_int_equal(store_compact(k->s, 22, NULL), 0);
	stats_of_keys(k->s, 9, &st);
	assert_int_equal(st.compact_rev, 22);
	if (!k->backend->persistent)
		return;
	kit_reopen(k);
	stats_of_keys(k->s, 9, &st);
	assert_int_equal(st.rev, 22);
	assert_int_equal(st.compact_rev, 22);
}

/* A completion and a watch callback may commit again: it is queued and runs after. */
struct reentry {
	struct store *s;
	struct flight f;
	int left;
};

static void reentry_done(const struct store_result *r, void *ctx)
{
	struct reentry *e = ctx;
	struct store_write w = { .key = SV("chain"), .value = SV("v"), .expect_rev = r->rev };

	assert_int_equal(r->outcome, STORE_OK);
	if (e->left-- > 0) {
		int before = e->left;

		pthread_mutex_lock(&e->f.mu);
		e->f.open++;
		pthread_mutex_unlock(&e->f.mu);
		store_commit(e->s, &w, reentry_done, e);
		assert_int_equal(before, e->left); /* not inside the call */
	}
	flight_done(r, &e->f);
}

static void reentry_change(const struct store_change *c, void *ctx)
{
	struct reentry *e = ctx;
	struct store_write w = { .key = SV("echo"), .value = c->kv.value, .expect_rev = STORE_ANY_REV };

	if (!sv_is(c->kv.key, "echo"))
		flight_commit(&e->f, e->s, &w);
}

static void test_reentry(void **state)
{
	static const struct store_watch_cb cb = { .change = reentry_change };
	struct reentry e = { .s = STORE(state), .f = FLIGHT_INIT, .left = 20 };
	struct store_write w = { .key = SV("chain"), .value = SV("v") };
	struct store_watch *watch;

	e.f.open = 1;
	store_commit(e.s, &w, reentry_done, &e);
	flight_wait(&e.f, 0);
	assert_int_equal(e.f.ok, 21);
	assert_list(e.s, "", "z", 0, 0, "chain=v@2/22 ");

	assert_int_equal(store_watch(e.s, SV(""), SV("z"), 22, &cb, &e, &watch, NULL), 0);
	w.value = SV("again");
	w.expect_rev = 22;
	flight_commit(&e.f, e.s, &w);
	flight_wait_ok(&e.f, 23); /* the answer to the first may come before its change does */
	store_unwatch(e.s, watch);
	assert_list(e.s, "", "z", 0, 0, "chain=again@2/23 echo=again@24/24 ");
}

struct counter {
	struct store *s;
	int rounds;
	int64_t wins;
};

static int counter_get(const struct store_kv *kv, void *ctx)
{
	int64_t *got = ctx;

	BUG_ON(!(sv_to_i64(kv->value, &got[0])));
	got[1] = kv->mod_rev;
	return 0;
}

static void *counter_run(void *arg)
{
	struct counter *c = arg;

	for (int i = 0; i < c->rounds; i++) {
		int64_t got[2] = { 0, 0 }, rev;
		char text[24];

		do {
			BUG_ON(store_range(c->s, SV("n"), SV(""), 0, 0, counter_get, got, NULL, NULL) != 0);
			snprintf(text, sizeof(text), "%" PRId64, got[0] + 1);
			rev = put(c->s, "n", text, got[1]);
			BUG_ON(!(rev >= 0));
		} while (rev == 0);
		BUG_ON(!(rev > got[1])); /* what was read is older than what was written */
		c->wins++;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct counter c[4];
	pthread_t t[4];

	assert_int_equal(put(STORE(state), "n", "0", 0), 2);
	for (int i = 0; i < 4; i++) {
		c[i] = (struct counter){ STORE(state), 100, 0 };
		assert_int_equal(pthread_create(&t[i], NULL, counter_run, &c[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(c[i].wins, 100);
	}
	assert_list(STORE(state), "n", "", 0, 0, "n=400@2/402 "); /* no lost update, no wasted revision */
}

static void test_in_flight(void **state)
{
	struct store *s = STORE(state);
	struct flight f = FLIGHT_INIT;
	char key[32], value[3000];
	char *got;

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 3000; i++) {
		struct store_write w = { .key = sv_make(key, (size_t)snprintf(key, sizeof(key), "f/%d", i % 2000)),
					 .value = sv_make(value, (size_t)i) };

		flight_commit(&f, s, &w); /* key and value are copied */
	}
	memset(value, 'x', sizeof(value));
	flight_wait(&f, 0);
	assert_int_equal(f.ok, 2000);
	assert_int_equal(f.mismatch, 1000); /* also against writes of the same group */
	assert_int_equal(f.last_rev, 2001);
	assert_int_equal(now_rev(s), 2001);
	got = list_n(s, SV("f/7"), SV(""), 0, 0);
	if (((struct kit *)*state)->backend->shared) /* the first of its key, in any order among the others */
		assert_memory_equal(got, "f/7=vvvvvvv@", 12);
	else
		assert_string_equal(got, "f/7=vvvvvvv@9/9 ");
	free(got);
}

static void gather_some(struct store *s, struct flight *f, int from, int to)
{
	char key[32];

	store_gather(s, true);
	for (int i = from; i < to; i++) {
		struct store_write w = { .key = sv_make(key, (size_t)snprintf(key, sizeof(key), "g/%04d", i)),
					 .value = SV("v") };

		flight_commit(f, s, &w);
	}
}

/* Gathered writes are answered once the gathering is over, more of them than one sync takes. */
static void test_gather(void **state)
{
	struct kit *k = *state;
	struct flight f = FLIGHT_INIT;
	size_t ok;

	gather_some(k->s, &f, 0, 700);
	ok = flight_ok(&f);
	assert_in_range(now_rev(k->s), ok + 1, 701); /* reading goes on, and sees what was answered */
	store_gather(k->s, false);
	flight_wait(&f, 0);
	assert_int_equal(f.ok, 700);
	if (!k->backend->shared)
		assert_list(k->s, "g/0699", "", 0, 0, "g/0699=v@701/701 ");
	assert_int_equal(put(k->s, "g/after", "v", 0), 702); /* and no write waits any more */

	gather_some(k->s, &f, 700, 800); /* closing does not wait for the gatherer */
	k->s = store_close(k->s);
	assert_int_equal(f.open, 0);
	assert_int_equal(f.ok, 800);
	k->s = kit_open(k);
}

static void test_close_finishes(void **state)
{
	struct kit *k = *state;
	struct flight f = FLIGHT_INIT;
	struct seen n;
	char key[32];

	seen_watch(&n, k->s, "c/", "c0", 1);
	for (int i = 0; i < 200; i++) {
		struct store_write w = { .key = sv_make(key, (size_t)snprintf(key, sizeof(key), "c/%03d", i)),
					 .value = SV("v") };

		flight_commit(&f, k->s, &w);
	}
	k->s = store_close(k->s);
	assert_int_equal(f.open, 0); /* nothing is left to come */
	assert_int_equal(f.ok, 200);
	assert_int_equal(n.revs.n, 200);
	assert_true(n.ended);
	assert_int_equal(n.why, ERR_UNAVAILABLE);
	seen_release(&n);
	k->s = kit_open(k);
	if (k->backend->persistent)
		assert_int_equal(now_rev(k->s), 201);
	if (k->backend->persistent && !k->backend->shared)
		assert_list(k->s, "c/199", "", 0, 0, "c/199=v@201/201 ");
}

static void test_reopen(void **state)
{
	struct kit *k = *state;
	char key[32], text[64];

	if (!k->backend->persistent)
		return; /* nothing to check; cmocka reports skipped tests as failed in TAP */
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 50; i++) {
			snprintf(key, sizeof(key), "r/%02d", i);
			assert_int_equal(put(k->s, key, round ? "next" : "first", STORE_ANY_REV), 2 + round * 50 + i);
		}
		kit_reopen(k);
	}
	assert_int_equal(now_rev(k->s), 201);
	assert_list(k->s, "r/07", "", 0, 0, "r/07=next@9/159 ");
	for (int round = 0; round < 4; round++) {
		snprintf(text, sizeof(text), "r/49=%s@51/%d ", round ? "next" : "first", 51 + round * 50);
		assert_list(k->s, "r/49", "", 51 + round * 50, 0, text);
	}
	assert_int_equal(store_compact(k->s, 101, NULL), 0);
	kit_reopen(k);
	assert_list(k->s, "r/49", "", 100, 0, "Expired");
	assert_list(k->s, "r/49", "", 101, 0, "r/49=next@51/101 ");
	assert_list(k->s, "r/00", "r/02", 110, 0, "r/00=next@2/102 r/01=next@3/103 ");
	assert_int_equal(put(k->s, "r/49", "last", 201), 202);
	kit_reopen(k);
	assert_list(k->s, "r/49", "", 0, 0, "r/49=last@51/202 ");
}

static void test_lock(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	char text[160], path[96];
	struct stat st;

	if (!k->backend->persistent || k->backend->shared)
		return; /* nothing to check; cmocka reports skipped tests as failed in TAP */
	assert_null(k->backend->open(k->dir, &err));
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	snprintf(text, sizeof(text), "data directory '%s' is in use by process %d", k->dir, (int)getpid());
	assert_string_equal(err_msg(&err), text);
	err_release(&err);
	snprintf(path, sizeof(path), "%s/lock", k->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	kit_reopen(k); /* and it is given up */
}

struct later {
	struct flight f;
	struct buf text;
	int64_t rev;
	enum err_reason why;
	pthread_t asked_by;
	bool elsewhere, once;
};

static int later_one(const struct store_kv *kv, void *ctx)
{
	struct later *l = ctx;

	l->elsewhere = !pthread_equal(pthread_self(), l->asked_by);
	return kit_list_one(kv, &l->text);
}

static void later_done(int r, int64_t rev, const struct err *err, void *ctx)
{
	struct later *l = ctx;

	pthread_mutex_lock(&l->f.mu);
	assert_false(l->once);
	l->once = true;
	l->rev = rev;
	l->why = r < 0 ? err->reason : ERR_NONE;
	l->f.open--;
	pthread_cond_broadcast(&l->f.cond);
	pthread_mutex_unlock(&l->f.mu);
}

static void later_list(struct store *s, const char *from, const char *to, int64_t rev, size_t limit, const char *want,
		       enum err_reason why)
{
	struct later l = { .f = FLIGHT_INIT, .text = BUF_INIT, .asked_by = pthread_self() };
	char *keys = xasprintf("%s%s", from, to);

	l.f.open = 1;
	store_range_async(s, ENV_REQUESTS, sv_make(keys, strlen(from)), sv_make(keys + strlen(from), strlen(to)), rev,
			  limit, later_one, later_done, &l);
	memset(keys, 'x', strlen(keys)); /* it has its own */
	free(keys);
	flight_wait(&l.f, 0);
	assert_string_equal(buf_cstr(&l.text), want);
	assert_int_equal(l.why, why);
	if (*want) {
		assert_true(l.elsewhere);
		assert_int_equal(l.rev, rev ? rev : now_rev(s));
	}
	buf_release(&l.text);
}

/* A range for which nobody waits brings what one brings that is waited for. */
static void test_range_async(void **state)
{
	struct store *s = STORE(state);

	put(s, "a", "1", 0);
	put(s, "b", "1", 0);
	put(s, "a", "2", 2);
	later_list(s, "a", "z", 0, 0, "a=2@2/4 b=1@3/3 ", ERR_NONE);
	later_list(s, "a", "z", 3, 0, "a=1@2/2 b=1@3/3 ", ERR_NONE);
	later_list(s, "a", "z", 0, 1, "a=2@2/4 ", ERR_NONE);
	later_list(s, "b", "", 0, 0, "b=1@3/3 ", ERR_NONE);
	later_list(s, "a", "z", 9, 0, "", ERR_BAD_REQUEST);
	assert_int_equal(store_compact(s, 4, NULL), 0);
	later_list(s, "a", "z", 3, 0, "", ERR_EXPIRED);
}

static void sync_told(int64_t rev, const struct err *err, void *ctx)
{
	struct later *l = ctx;

	pthread_mutex_lock(&l->f.mu);
	l->rev = rev;
	l->why = err ? err->reason : ERR_NONE;
	l->f.open--;
	pthread_cond_broadcast(&l->f.cond);
	pthread_mutex_unlock(&l->f.mu);
}

/* Behind a sync live watches have been told all that was answered before it, by whichever way it was written. */
static void test_sync(void **state)
{
	struct store *s = STORE(state);
	struct seen n;

	if (!store_shared(s))
		return; /* nothing to check; cmocka reports skipped tests as failed in TAP */
	seen_watch(&n, s, "s/", "s0", 1);
	seen_wait_progress(&n, 1);
	for (int i = 0; i < 50; i++) {
		struct later l = { .f = FLIGHT_INIT };

		l.f.open = 1;
		put(s, "s/a", "v", STORE_ANY_REV);
		store_sync(s, sync_told, &l);
		flight_wait(&l.f, 0);
		assert_int_equal(l.why, ERR_NONE);
		assert_int_equal(l.rev, i + 2);
		pthread_mutex_lock(&n.mu);
		assert_int_equal(n.revs.n, i + 1);
		pthread_mutex_unlock(&n.mu);
	}
	seen_stop(&n, s);
}

/* A key goes by itself where there is such a thing, and another that was written so and then not stays. */
static void test_ttl(void **state)
{
	struct store *s = STORE(state);
	struct store_write w = { .key = SV("a"), .value = SV("1"), .ttl_s = -1 };
	struct store_write beside = { .key = SV("c"), .value = SV("1"), .ttl_s = 1 };
	struct err err = ERR_INIT;
	struct seen n;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
		err_release(&err);
		w.ttl_s = i ? 1 : STORE_TTL_MAX + 1;
		w.also = &beside;
		w.n_also = i;
	}
	seen_watch(&n, s, "a", "z", 1);
	w.n_also = 0;
	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	w.key = SV("b");
	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	assert_int_equal(put(s, "b", "2", 3), 4);
	w.tombstone = true; /* of which it says nothing */
	w.key = SV("x");
	w.expect_rev = STORE_ANY_REV;
	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 0);
	seen_wait_progress(&n, store_has_ttl(s) ? 5 : 4);
	assert_string_equal(buf_cstr(&n.text), store_has_ttl(s) ? "a=1@2/2 b=1@3/3 b=2@3/4<1@3 a=@0/5!<1@2 "
								: "a=1@2/2 b=1@3/3 b=2@3/4<1@3 ");
	seen_stop(&n, s);
	assert_list(s, "", "z", 0, 0, store_has_ttl(s) ? "b=2@3/4 " : "a=1@2/2 b=2@3/4 ");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fresh, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_revisions, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_cas, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_read, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_range_bounds, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_range_old, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_range_old_of_what_moves, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_range_async, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_stats, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_reentry, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_in_flight, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_gather, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_close_finishes, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_changes_meanwhile, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_watch_basic, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_watch_many, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_watch_order, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_watch_cookie, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_watch_old, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_watch_future, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_watch_meanwhile, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_unwatch, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_compact, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_compact_tombstones, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_compact_lagging_watch, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_model, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_also, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_also_mismatch, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_also_limits, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_also_guards, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_also_threads, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_ttl, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_sync, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_reopen, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, kit_teardown),
	};
	const char *only = getenv("STORE");
	int failed = 0, ran = 0;

	if (only && strncmp(only, "etcd", 4) == 0 && !etcd_installed()) {
		puts("# there is no etcd: install etcd-server");
		return 77;
	}
	for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
		if (only ? strcmp(only, backends[i].name) != 0 : backends[i].shared && !etcd_installed())
			continue;
		current_backend = &backends[i];
		failed += cmocka_run_group_tests_name(backends[i].name, tests, NULL, NULL);
		ran++;
	}
	return failed || !ran;
}
