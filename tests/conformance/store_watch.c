/* The store suite, continued: watches and compaction. */
#include "store_kit.h"
#include "store_tests.h"

#include <sched.h>
#include <stdlib.h>

#define STORE(state) (((struct kit *)*(state))->s)

void test_watch_basic(void **state)
{
	struct store *s = STORE(state);
	struct seen n;

	put(s, "w/a", "0", 0); /* 2: before the watch */
	seen_watch(&n, s, "w/", "w0", 2);
	put(s, "w/a", "1", 2);	/* 3 */
	put(s, "w", "out", 0);	/* 4 */
	put(s, "w0", "out", 0); /* 5 */
	put(s, "w/b", "1", 0);	/* 6 */
	put(s, "w/b", "no", 3); /* mismatch: nobody is told */
	del(s, "w/a", 3);	/* 7 */
	put(s, "w/a", "2", 0);	/* 8: prev is not the tombstone */
	del(s, "never", STORE_ANY_REV);
	put(s, "x", "out", 0);	   /* 9 */
	seen_wait_progress(&n, 9); /* progress goes on although 9 was not for us */
	assert_string_equal(n.text.p, "w/a=1@2/3<0@2 w/b=1@6/6 w/a=@0/7!<1@3 w/a=2@8/8 ");
	assert_false(n.ended);
	seen_stop(&n, s);

	seen_watch(&n, s, "w/b", "", 9); /* a single key */
	put(s, "w/b/c", "out", 0);
	put(s, "w/b", "2", 6);
	seen_wait_progress(&n, 11);
	assert_string_equal(n.text.p, "w/b=2@6/11<1@6 ");
	seen_stop(&n, s);
}

void test_watch_many(void **state)
{
	struct store *s = STORE(state);
	struct flight f = FLIGHT_INIT;
	struct seen n[5];
	size_t in_b = 0;
	int64_t last;
	char key[32];

	for (size_t i = 0; i < ARRAY_LEN(n); i++)
		seen_watch(&n[i], s, i == 4 ? "b/" : "a/", i == 4 ? "b0" : "c0", 1);
	for (int i = 0; i < 1500; i++) {
		struct store_write w = { .key = sv_make(
					     key, (size_t)snprintf(key, sizeof(key), "%c/%d", 'a' + i % 3, i % 77)),
					 .value = SV("v"),
					 .expect_rev = STORE_ANY_REV,
					 .tombstone = i % 5 == 4 };

		flight_commit(&f, s, &w);
	}
	flight_wait(&f, 0);
	last = now_rev(s);
	assert_int_equal(last, f.ok + 1);
	for (size_t i = 0; i < ARRAY_LEN(n); i++)
		seen_wait_progress(&n[i], last);
	assert_int_equal(n[0].revs.n, f.ok); /* each change, exactly once, in order */
	for (size_t i = 0; i < n[0].revs.n; i++)
		assert_int_equal(n[0].revs.p[i], 2 + (int64_t)i);
	for (size_t i = 1; i < 4; i++)
		assert_string_equal(n[i].text.p, n[0].text.p);
	for (const char *p = n[0].text.p; p; p = strchr(p, ' '), p = p ? p + 1 : NULL)
		in_b += strncmp(p, "b/", 2) == 0;
	assert_int_equal(n[4].revs.n, in_b);
	assert_true(in_b > 100);
	for (size_t i = 0; i < ARRAY_LEN(n); i++)
		seen_stop(&n[i], s);
}

/* Everything that happens to two watches and the completions, as one text. */
struct journal {
	struct flight f;
	struct buf text; /* one callback runs at a time: no lock */
	int64_t last;
};

struct journal_watch {
	struct journal *j;
	char name;
};

static void journal_change(const struct store_change *c, void *ctx)
{
	struct journal_watch *w = ctx;

	assert_true(c->kv.mod_rev >= w->j->last); /* across all watches */
	w->j->last = c->kv.mod_rev;
	buf_printf(&w->j->text, "%c%" PRId64 " ", w->name, c->kv.mod_rev);
}

static void journal_done(const struct store_result *r, void *ctx)
{
	struct journal *j = ctx;

	buf_printf(&j->text, "d%" PRId64 " ", r->rev);
	flight_done(r, &j->f);
}

void test_watch_order(void **state)
{
	static const struct store_watch_cb cb = { .change = journal_change };
	struct store *s = STORE(state);
	struct journal j = { .f = FLIGHT_INIT };
	struct journal_watch a = { &j, 'a' }, b = { &j, 'b' };
	struct store_watch *wa, *wb;
	struct seen sync;
	char want[16];

	assert_int_equal(store_watch(s, SV(""), SV("z"), 1, &cb, &a, &wa, NULL), 0);
	assert_int_equal(store_watch(s, SV(""), SV("z"), 1, &cb, &b, &wb, NULL), 0);
	put(s, "first", "", 0);
	seen_watch(&sync, s, "", "z", 1); /* by the time it has caught up, so have the others */
	seen_wait_progress(&sync, 2);
	for (int i = 0; i < 300; i++) {
		struct store_write w = { .key = SV("k"), .value = SV("v"), .expect_rev = STORE_ANY_REV };

		pthread_mutex_lock(&j.f.mu);
		j.f.open++;
		pthread_mutex_unlock(&j.f.mu);
		store_commit(s, &w, journal_done, &j);
	}
	flight_wait(&j.f, 0);
	for (int rev = 3; rev < 303; rev++) {
		const char *at[3];

		for (int i = 0; i < 3; i++) {
			snprintf(want, sizeof(want), "%c%d ", "abd"[i], rev);
			at[i] = strstr(j.text.p, want);
			assert_non_null(at[i]);
			assert_null(strstr(at[i] + 1, want));
		}
		assert_true(at[0] < at[2] && at[1] < at[2]); /* the writer hears last */
	}
	store_unwatch(s, wa);
	store_unwatch(s, wb);
	seen_stop(&sync, s);
	buf_release(&j.text);
}

void test_watch_cookie(void **state)
{
	struct store *s = STORE(state);
	struct flight f = FLIGHT_INIT;
	struct seen n, late;
	int x, y;
	struct store_write w = { .key = SV("k"), .value = SV("v"), .cookie = &x };

	seen_watch(&n, s, "", "z", 1);
	seen_wait_progress(&n, 1); /* caught up */
	flight_commit(&f, s, &w);
	flight_wait(&f, 0);
	w.expect_rev = 2;
	w.cookie = &y;
	flight_commit(&f, s, &w);
	flight_wait(&f, 0);
	put(s, "k", "w", 3);
	seen_wait_progress(&n, 4);
	assert_int_equal(n.cookies.n, 3);
	assert_ptr_equal(n.cookies.p[0], &x);
	assert_ptr_equal(n.cookies.p[1], &y);
	assert_null(n.cookies.p[2]);
	seen_watch(&late, s, "", "z", 1); /* the writer may have dropped it since */
	seen_wait_progress(&late, 4);
	assert_int_equal(late.cookies.n, 3);
	assert_null(late.cookies.p[0]);
	seen_stop(&n, s);
	seen_stop(&late, s);
}

void test_watch_old(void **state)
{
	struct kit *k = *state;
	struct seen n;

	put(k->s, "a", "1", 0); /* 2 */
	put(k->s, "b", "1", 0); /* 3 */
	put(k->s, "a", "2", 2); /* 4 */
	del(k->s, "a", 4);	/* 5 */
	put(k->s, "a", "3", 0); /* 6 */
	for (int pass = 0; pass < 2; pass++) {
		seen_watch(&n, k->s, "a", "", 0);
		seen_wait_progress(&n, 6);
		assert_string_equal(n.text.p, "a=1@2/2 a=2@2/4<1@2 a=@0/5!<2@4 a=3@6/6 ");
		seen_stop(&n, k->s);
		seen_watch(&n, k->s, "", "z", 3);
		seen_wait_progress(&n, 6);
		assert_string_equal(n.text.p, "a=2@2/4<1@2 a=@0/5!<2@4 a=3@6/6 ");
		seen_stop(&n, k->s);
		seen_watch(&n, k->s, "", "z", 6);
		seen_wait_progress(&n, 6);
		assert_int_equal(n.revs.n, 0);
		seen_stop(&n, k->s);
		if (!k->backend->persistent)
			break;
		kit_reopen(k); /* the same from disk */
	}
}

static int changes_one(const struct store_change *c, void *ctx)
{
	struct buf *b = ctx;

	(void)kit_list_one(&c->kv, b);
	if (c->prev) {
		b->n--;
		buf_printf(b, "<%.*s@%" PRId64 " ", SV_ARG(c->prev->value), c->prev->mod_rev);
	}
	assert_null(c->cookie);
	return sv_is(c->kv.value, "stop");
}

static void assert_changes(struct store *s, const char *from, const char *to, int64_t since, size_t most, int64_t upto,
			   const char *text)
{
	struct buf b = BUF_INIT;
	struct err err = ERR_INIT;
	int64_t got = -1;

	if (store_changes(s, sv_from(from), sv_from(to), since, most, changes_one, &b, &got, &err) < 0)
		buf_adds(&b, err_reason_name(err.reason));
	assert_string_equal(buf_cstr(&b), text);
	assert_int_equal(got, upto);
	err_release(&err);
	buf_release(&b);
}

/* The past, told to who asks. */
void test_changes(void **state)
{
	struct kit *k = *state;

	assert_changes(k->s, "", "z", 0, 10, 1, "");
	put(k->s, "a", "1", 0); /* 2 */
	put(k->s, "b", "1", 0); /* 3 */
	put(k->s, "a", "2", 2); /* 4 */
	del(k->s, "a", 4);	/* 5 */
	put(k->s, "a", "3", 0); /* 6 */
	put(k->s, "a", "stop", 6);
	put(k->s, "b", "2", 3); /* 8 */
	for (int pass = 0; pass < 3; pass++) {
		assert_changes(k->s, "a", "", 0, 5, 6, "a=1@2/2 a=2@2/4<1@2 a=@0/5!<2@4 a=3@6/6 ");
		assert_changes(k->s, "", "z", 3, 2, 5, "a=2@2/4<1@2 a=@0/5!<2@4 ");
		assert_changes(k->s, "", "z", 5, 100, 7, "a=3@6/6 a=stop@6/7<3@6 "); /* by who is told */
		assert_changes(k->s, "", "z", 7, 100, 8, "b=2@3/8<1@3 ");
		assert_changes(k->s, "", "z", 8, 100, 8, "");
		assert_changes(k->s, "x", "z", 2, 3, 5, ""); /* of others it is said how far it has looked */
		assert_changes(k->s, "", "z", 20, 100, 20, "");
		assert_changes(k->s, "", "z", -1, 100, -1, "BadRequest");
		if (!k->backend->persistent)
			break;
		kit_reopen(k); /* the same from disk */
	}
	assert_int_equal(store_compact(k->s, 4, NULL), 0);
	assert_changes(k->s, "", "z", 3, 100, -1, "Expired");
	assert_changes(k->s, "a", "", 4, 2, 6, "a=@0/5!<2@4 a=3@6/6 "); /* with what was before the compaction */
}

/* While others write: each change once, in order, whatever the store moves about meanwhile. */
void test_changes_meanwhile(void **state)
{
	enum { N = 6000 };
	struct store *s = STORE(state);
	struct flight f = FLIGHT_INIT;
	static char value[3000];
	int64_t upto = 1, last = 0;
	struct buf b = BUF_INIT;
	char key[16];

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < N; i++) {
		struct store_write w = { .value = sv_make(value, sizeof(value)), .expect_rev = STORE_ANY_REV };

		w.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "%c%d", i % 10 ? 'n' : 'a', i % 97));
		flight_commit(&f, s, &w);
		if (i % 50)
			continue;
		buf_clear(&b);
		assert_int_equal(store_changes(s, SV("a"), SV("b"), upto, 97, changes_one, &b, &upto, NULL), 0);
	}
	flight_wait(&f, 0);
	last = now_rev(s);
	upto = 1;
	for (size_t n = 0; upto < last;) {
		struct sv rest, one;

		buf_clear(&b);
		assert_int_equal(store_changes(s, SV("a"), SV("b"), upto, 97, changes_one, &b, &upto, NULL), 0);
		rest = buf_sv(&b);
		while (sv_split(&rest, ' ', &one) && one.n)
			n++;
		if (upto == last)
			assert_int_equal(n, N / 10);
	}
	buf_release(&b);
}

void test_watch_future(void **state)
{
	struct store *s = STORE(state);
	struct seen n;
	struct err err = ERR_INIT;

	seen_watch(&n, s, "", "z", 4);
	for (int i = 0; i < 5; i++)
		put(s, "k", "v", STORE_ANY_REV);
	seen_wait_progress(&n, 6);
	assert_string_equal(n.text.p, "k=v@2/5<v@4 k=v@2/6<v@5 ");
	seen_stop(&n, s);
	assert_int_equal(store_watch(s, SV(""), SV("z"), -1, &seen_cb, &n, &n.w, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
}

/* Watches opened at all sorts of revisions while a thread keeps writing. */
static void *writer_run(void *arg)
{
	struct store *s = arg;
	struct flight f = FLIGHT_INIT;
	char key[16];

	for (int i = 0; i < 6000; i++) {
		struct store_write w = { .key = sv_make(key, (size_t)snprintf(key, sizeof(key), "m/%d", i % 50)),
					 .value = SV("value"),
					 .expect_rev = STORE_ANY_REV };

		flight_commit(&f, s, &w);
		flight_wait(&f, 100);
	}
	flight_wait(&f, 0);
	BUG_ON(f.ok != 6000);
	return NULL;
}

void test_watch_meanwhile(void **state)
{
	struct store *s = STORE(state);
	struct seen n[12];
	int64_t since[12];
	pthread_t t;

	for (int i = 0; i < 2000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "m/%d", i % 50);
		if (i % 100 == 0)
			put(s, key, "old", STORE_ANY_REV);
	}
	assert_int_equal(pthread_create(&t, NULL, writer_run, s), 0);
	for (size_t i = 0; i < ARRAY_LEN(n); i++) {
		int64_t rev = now_rev(s);

		since[i] = i % 3 == 0 ? 1 : i % 3 == 1 ? MAX(rev / 2, 1) : rev;
		seen_watch(&n[i], s, "m/", "m0", since[i]);
		while (now_rev(s) < MIN(rev + 400, 6000))
			sched_yield();
	}
	pthread_join(t, NULL);
	for (size_t i = 0; i < ARRAY_LEN(n); i++) {
		int64_t last = now_rev(s);

		seen_wait_progress(&n[i], last);
		assert_int_equal(n[i].revs.n, last - since[i]);
		for (size_t j = 0; j < n[i].revs.n; j++)
			assert_int_equal(n[i].revs.p[j], since[i] + 1 + (int64_t)j);
		seen_stop(&n[i], s);
	}
}

struct guard {
	pthread_mutex_t mu;
	bool closed;
	size_t calls;
};

static void guard_change(_unused_ const struct store_change *c, void *ctx)
{
	struct guard *g = ctx;

	pthread_mutex_lock(&g->mu);
	assert_false(g->closed);
	g->calls++;
	pthread_mutex_unlock(&g->mu);
}

static void guard_progress(_unused_ int64_t rev, void *ctx)
{
	guard_change(NULL, ctx);
}

void test_unwatch(void **state)
{
	static const struct store_watch_cb cb = { .change = guard_change, .progress = guard_progress };
	struct store *s = STORE(state);
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, writer_run, s), 0);
	for (int i = 0; i < 60; i++) {
		struct guard g = { .mu = PTHREAD_MUTEX_INITIALIZER };
		struct store_watch *w;
		int64_t rev = now_rev(s);

		assert_int_equal(store_watch(s, SV(""), SV("z"), i % 2 ? 1 : rev, &cb, &g, &w, NULL), 0);
		while (now_rev(s) < MIN(rev + i, 6000))
			sched_yield();
		store_unwatch(s, w);
		pthread_mutex_lock(&g.mu);
		g.closed = true;
		pthread_mutex_unlock(&g.mu);
		/* Whoever calls now touches a dead frame; the sanitizers would see it. */
	}
	pthread_join(t, NULL);
}

void test_compact(void **state)
{
	struct store *s = STORE(state);
	struct err err = ERR_INIT;
	struct store_stats st;
	struct seen n;

	put(s, "a", "1", 0); /* 2 */
	put(s, "b", "1", 0); /* 3 */
	put(s, "a", "2", 2); /* 4 */
	put(s, "c", "1", 0); /* 5 */
	put(s, "a", "3", 4); /* 6 */
	put(s, "b", "2", 3); /* 7 */
	assert_int_equal(store_compact(s, 8, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	assert_int_equal(store_compact(s, 5, &err), 0);
	assert_int_equal(store_compact(s, 5, &err), 0);
	assert_int_equal(store_compact(s, 3, &err), 0); /* long done */
	store_stats(s, &st);
	assert_int_equal(st.compact_rev, 5);
	assert_int_equal(st.rev, 7);
	assert_list(s, "", "z", 4, 0, "Expired");
	assert_list(s, "", "z", 1, 0, "Expired");
	assert_list(s, "", "z", 5, 0, "a=2@2/4 b=1@3/3 c=1@5/5 "); /* older than the compaction, but current at it */
	assert_list(s, "", "z", 6, 0, "a=3@2/6 b=1@3/3 c=1@5/5 ");
	assert_list(s, "", "z", 0, 0, "a=3@2/6 b=2@3/7 c=1@5/5 ");

	assert_int_equal(store_watch(s, SV(""), SV("z"), 4, &seen_cb, &n, &n.w, &err), -1);
	assert_int_equal(err.reason, ERR_EXPIRED);
	err_release(&err);
	seen_watch(&n, s, "", "z", 5); /* watch again from where it may */
	seen_wait_progress(&n, 7);
	assert_string_equal(n.text.p, "a=3@2/6<2@4 b=2@3/7<1@3 ");
	assert_int_equal(store_compact(s, 7, &err), 0); /* a watch that has caught up does not mind */
	assert_list(s, "", "z", 6, 0, "Expired");
	assert_list(s, "", "z", 7, 0, "a=3@2/6 b=2@3/7 c=1@5/5 ");
	put(s, "c", "2", 5); /* 8 */
	seen_wait_progress(&n, 8);
	assert_string_equal(n.text.p, "a=3@2/6<2@4 b=2@3/7<1@3 c=2@5/8<1@5 ");
	assert_false(n.ended);
	seen_stop(&n, s);
}

void test_compact_tombstones(void **state)
{
	struct kit *k = *state;

	put(k->s, "a", "1", 0); /* 2 */
	put(k->s, "b", "1", 0); /* 3 */
	del(k->s, "a", 2);	/* 4 */
	del(k->s, "b", 3);	/* 5 */
	put(k->s, "b", "2", 0); /* 6 */
	put(k->s, "c", "1", 0); /* 7 */
	del(k->s, "c", 7);	/* 8 */
	assert_int_equal(store_compact(k->s, 5, NULL), 0);
	assert_list(k->s, "", "z", 5, 0, "");
	assert_list(k->s, "", "z", 6, 0, "b=2@6/6 ");
	assert_list(k->s, "", "z", 7, 0, "b=2@6/6 c=1@7/7 ");
	assert_list(k->s, "", "z", 8, 0, "b=2@6/6 ");
	assert_int_equal(put(k->s, "a", "2", 4), 0);
	assert_int_equal(put(k->s, "a", "2", 0), 9);
	assert_int_equal(store_compact(k->s, 9, NULL), 0);
	assert_list(k->s, "", "z", 0, 0, "a=2@9/9 b=2@6/6 ");
	assert_int_equal(put(k->s, "c", "2", 0), 10);
	assert_list(k->s, "", "z", 9, 0, "a=2@9/9 b=2@6/6 ");
	assert_list(k->s, "", "z", 10, 0, "a=2@9/9 b=2@6/6 c=2@10/10 ");
	if (k->backend->persistent) {
		kit_reopen(k);
		assert_list(k->s, "", "z", 10, 0, "a=2@9/9 b=2@6/6 c=2@10/10 ");
		assert_list(k->s, "", "z", 8, 0, "Expired");
	}
}

/* A watch held up in its callback while the compaction passes it by. */
struct gate {
	struct seen seen;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	bool reached, open;
	struct store *s;
	struct store_watch *w;
};

static void gate_change(const struct store_change *c, void *ctx)
{
	struct gate *g = ctx;

	seen_change(c, &g->seen);
	pthread_mutex_lock(&g->mu);
	g->reached = true;
	pthread_cond_broadcast(&g->cond);
	while (!g->open)
		pthread_cond_wait(&g->cond, &g->mu);
	pthread_mutex_unlock(&g->mu);
}

static void gate_end(const struct err *why, void *ctx)
{
	struct gate *g = ctx;

	seen_end(why, &g->seen);
}

static void *gate_watch(void *arg)
{
	static const struct store_watch_cb cb = { .change = gate_change, .end = gate_end };
	struct gate *g = arg;

	BUG_ON(store_watch(g->s, SV("l/"), SV("l0"), 1, &cb, g, &g->w, NULL) != 0);
	return NULL;
}

static void *gate_compact(void *arg)
{
	struct store *s = arg;

	BUG_ON(store_compact(s, now_rev(s), NULL) != 0);
	return NULL;
}

void test_compact_lagging_watch(void **state)
{
	struct store *s = STORE(state);
	struct gate g = { .mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .s = s };
	struct flight f = FLIGHT_INIT;
	struct err err = ERR_INIT;
	pthread_t watcher, compactor;

	for (int i = 0; i < 4000; i++) {
		struct store_write w = { .key = SV("l/k"), .value = SV("v"), .expect_rev = STORE_ANY_REV };

		flight_commit(&f, s, &w);
	}
	flight_wait(&f, 0);
	seen_init(&g.seen);
	assert_int_equal(pthread_create(&watcher, NULL, gate_watch, &g), 0);
	pthread_mutex_lock(&g.mu);
	while (!g.reached)
		pthread_cond_wait(&g.cond, &g.mu);
	pthread_mutex_unlock(&g.mu);
	assert_int_equal(pthread_create(&compactor, NULL, gate_compact, s), 0);
	while (store_range(s, SV("x"), SV(""), 1, 0, kit_list_one, NULL, NULL, &err) == 0)
		sched_yield();
	assert_int_equal(err.reason, ERR_EXPIRED);
	err_release(&err);
	pthread_mutex_lock(&g.mu);
	g.open = true;
	pthread_cond_broadcast(&g.cond);
	pthread_mutex_unlock(&g.mu);
	seen_wait_end(&g.seen);
	assert_int_equal(g.seen.why, ERR_EXPIRED);
	assert_true(g.seen.revs.n >= 1 && g.seen.revs.n < 4000);
	for (size_t i = 0; i < g.seen.revs.n; i++) /* never silently skipped */
		assert_int_equal(g.seen.revs.p[i], 2 + (int64_t)i);
	pthread_join(watcher, NULL);
	pthread_join(compactor, NULL);
	store_unwatch(s, g.w);
	seen_release(&g.seen);
}
