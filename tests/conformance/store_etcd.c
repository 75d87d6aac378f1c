/* What an etcd has that no embedded store has: members that go, others that write, limits that somebody else set.
 * Against real ones. */
#include "etcd_kit.h"
#include "store/etcd/etcd-internal.h"
#include "store_kit.h"

#include "base/arena.h"
#include "ev/ev.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct place {
	struct etcd_cluster c;
	char dir[64];
};

static int place_setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	kit_mkdir(p->dir);
	*state = p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;

	etcd_cluster_stop(&p->c);
	kit_rmdir(p->dir);
	free(p);
	return 0;
}

static struct store *opened(const struct store_etcd_opts *o)
{
	struct err err = ERR_INIT;
	struct store *s = store_etcd_open(&thread_env, o, &err);

	if (!s)
		fail_msg("open: %s", err_msg(&err));
	return s;
}

static struct store *opened_at(const struct etcd_cluster *c)
{
	return opened(&(struct store_etcd_opts){ .endpoints = c->endpoints, .patience = ETCD_PATIENCE });
}

/* One that leaves members that say nothing as soon as a server does. On a loaded machine it may leave others, too, so
 * that nothing is sure to work at the first time. */
static struct store *opened_hasty(const struct etcd_cluster *c)
{
	return opened(&(struct store_etcd_opts){ .endpoints = c->endpoints, .wait_ns = 600 * NS_PER_SEC });
}

static int64_t put_once_it_works(struct store *s, const char *key, const char *value)
{
	int64_t rev;

	while ((rev = put(s, key, value, STORE_ANY_REV)) < 0)
		kit_rest();
	return rev;
}

/* --- members that go --- */

struct writer {
	struct store *s;
	pthread_t thread;
	atomic_int made; /* answered with success */
	atomic_bool stop;
};

/* Creates keys one after the other; one that fails is tried again, and may be there then. */
static void *writer_loop(void *arg)
{
	struct writer *w = arg;
	char key[32];

	for (int i = 0; !atomic_load(&w->stop); i++) {
		snprintf(key, sizeof(key), "w/%06d", i);
		while (put(w->s, key, "v", 0) < 0)
			;
		atomic_fetch_add(&w->made, 1);
	}
	return NULL;
}

static void writer_start(struct writer *w, struct store *s)
{
	*w = (struct writer){ .s = s };
	assert_int_equal(pthread_create(&w->thread, NULL, writer_loop, w), 0);
}

static void writer_wait(struct writer *w, int more)
{
	int until = atomic_load(&w->made) + more;

	while (atomic_load(&w->made) < until)
		kit_rest();
}

static int count_key(_unused_ const struct store_kv *kv, void *ctx)
{
	++*(int *)ctx;
	return 0;
}

/* Everything that was answered is there, and the watch was told of each once, in order. */
static void writer_check(struct writer *w, struct seen *n)
{
	struct store *s = w->s;
	int there = 0;

	atomic_store(&w->stop, true);
	pthread_join(w->thread, NULL);
	while (store_range(s, SV("w/"), SV("w0"), 0, 0, count_key, &there, NULL, NULL) < 0)
		there = 0;
	assert_int_equal(there, atomic_load(&w->made));
	seen_wait_progress(n, now_rev(s));
	assert_int_equal(n->revs.n, there);
	for (size_t i = 1; i < n->revs.n; i++)
		assert_true(n->revs.p[i] > n->revs.p[i - 1]);
	assert_false(n->ended);
}

static void test_members_die(void **state)
{
	struct place *p = *state;
	struct writer w;
	struct store *s;
	struct seen n;

	etcd_cluster_start(&p->c, 3, p->dir);
	s = opened_at(&p->c);
	seen_watch(&n, s, "w/", "w0", 1);
	writer_start(&w, s);
	writer_wait(&w, 50);
	for (int i = 0; i < 3; i++) { /* the one we are connected to is among them */
		etcd_member_kill(&p->c.m[i]);
		writer_wait(&w, 50);
		etcd_member_start(&p->c, i);
		writer_wait(&w, 50);
	}
	writer_check(&w, &n);
	while (!store_healthy(s, NULL)) /* in a moment at the latest */
		kit_rest();
	seen_stop(&n, s);
	store_close(s);
}

static void test_members_stop(void **state)
{
	struct place *p = *state;
	struct writer w;
	struct store *s;
	struct seen n;

	etcd_cluster_start(&p->c, 3, p->dir);
	s = opened_hasty(&p->c);
	seen_watch(&n, s, "w/", "w0", 1);
	writer_start(&w, s);
	writer_wait(&w, 50);
	for (int i = 0; i < 3; i++) { /* its kernel goes on taking what we send */
		etcd_member_signal(&p->c.m[i], SIGSTOP);
		writer_wait(&w, 50);
		etcd_member_signal(&p->c.m[i], SIGCONT);
		writer_wait(&w, 50);
	}
	writer_check(&w, &n);
	seen_stop(&n, s);
	store_close(s);
}

/* Without a majority nothing is written, health says so, and all goes on when there is one again. */
static void test_no_majority(void **state)
{
	struct place *p = *state;
	struct err err = ERR_INIT;
	struct store *s;

	etcd_cluster_start(&p->c, 3, p->dir);
	s = opened_hasty(&p->c);
	assert_true(put_once_it_works(s, "a", "1") > 0);
	etcd_member_kill(&p->c.m[1]);
	etcd_member_kill(&p->c.m[2]);
	while (store_healthy(s, NULL))
		kit_rest();
	assert_false(store_healthy(s, &err));
	assert_true(err.reason != ERR_NONE);
	err_release(&err);
	etcd_member_start(&p->c, 1);
	while (!store_healthy(s, NULL))
		kit_rest();
	assert_true(put_once_it_works(s, "a", "2") > 0);
	store_close(s);
}

static void *put_once(void *arg)
{
	return (void *)(intptr_t)put(arg, "b", "1", 0);
}

/* A process that is to end waits for nobody: neither does what was asked before, nor what comes. */
static void test_hurry(void **state)
{
	struct place *p = *state;
	struct store *s;
	pthread_t thread;
	int64_t id;
	void *said;

	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	store_hurry(s); /* which nobody notices whose store answers */
	assert_true(put(s, "a", "1", 0) > 0);
	etcd_member_signal(&p->c.m[0], SIGSTOP);
	assert_int_equal(pthread_create(&thread, NULL, put_once, s), 0);
	pthread_join(thread, &said);
	assert_int_equal((intptr_t)said, -1);
	assert_false(store_healthy(s, NULL));
	for (int i = 0; i < 100; i++) { /* of which each would have its seconds */
		assert_int_equal(put(s, "c", "1", 0), -1);
		assert_int_equal(store_range(s, SV("a"), SV(""), 0, 1, NULL, NULL, &id, NULL), -1);
		assert_int_equal(store_lease_grant(s, 0, 60, &id, NULL), -1);
	}
	store_close(s);
}

/* As an etcd says that it has forgotten what comes next. */
static void lose(void *ctx)
{
	struct es *es = ctx;

	feed_stop(&es->live);
	es->live.lost(&es->live, 1);
}

/* The end comes while the store asks where etcd is, as it was away for longer than history is kept. */
static void test_hurry_lost(void **state)
{
	struct place *p = *state;
	struct store *s;

	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	assert_true(put(s, "a", "1", 0) > 0);
	etcd_member_signal(&p->c.m[0], SIGSTOP);
	ev_loop_post(ES(s)->loop, lose, ES(s));
	store_hurry(s);
	while (store_healthy(s, NULL))
		kit_rest();
	assert_int_equal(put(s, "b", "1", 0), -1);
	store_close(s);
}

static atomic_bool a_watch_was_left_out;

static bool ends_now(void)
{
	return atomic_load(&a_watch_was_left_out);
}

/* A way to an etcd on which questions come through and watches do not: the words of a request that goes on. */
struct deaf {
	int fd, port, to;
	pthread_t thread;
	char buf[1 << 16];
};

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				     .sin_port = htons((uint16_t)port) };
}

/* One frame of HTTP/2: DATA that is not the last of its stream is left out. */
static bool deaf_ask(struct deaf *d, int in, int out)
{
	unsigned char *h = (unsigned char *)d->buf;
	size_t n;

	if (recv(in, h, 9, MSG_WAITALL) != 9)
		return false;
	n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
	if (n > sizeof(d->buf) - 9 || (n && recv(in, h + 9, n, MSG_WAITALL) != (ssize_t)n))
		return false;
	if (h[3] == 0 && !(h[4] & 1)) {
		atomic_store(&a_watch_was_left_out, true);
		return true;
	}
	return send(out, h, n + 9, MSG_NOSIGNAL) == (ssize_t)n + 9;
}

static bool deaf_answer(struct deaf *d, int in, int out)
{
	ssize_t n = recv(out, d->buf, sizeof(d->buf), 0);

	return n > 0 && send(in, d->buf, (size_t)n, MSG_NOSIGNAL) == n;
}

static void deaf_serve(struct deaf *d, int in, int out)
{
	struct pollfd fds[2] = { { in, POLLIN, 0 }, { out, POLLIN, 0 } };
	const ssize_t preface = 24;
	bool goes = recv(in, d->buf, (size_t)preface, MSG_WAITALL) == preface &&
		    send(out, d->buf, (size_t)preface, MSG_NOSIGNAL) == preface;

	while (goes && poll(fds, 2, -1) > 0)
		goes = (!fds[0].revents || deaf_ask(d, in, out)) && (!fds[1].revents || deaf_answer(d, in, out));
}

static void *deaf_run(void *arg)
{
	struct deaf *d = arg;
	struct sockaddr_in to = loopback(d->to);
	int in;

	while ((in = accept(d->fd, NULL, NULL)) >= 0) {
		int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(out, (struct sockaddr *)&to, sizeof(to)) == 0)
			deaf_serve(d, in, out);
		close(in);
		close(out);
	}
	return NULL;
}

static void deaf_start(struct deaf *d, int to)
{
	struct sockaddr_in at = loopback(0);
	socklen_t n = sizeof(at);

	d->to = to;
	d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(d->fd, 8), 0);
	assert_int_equal(getsockname(d->fd, (struct sockaddr *)&at, &n), 0);
	d->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&d->thread, NULL, deaf_run, d), 0);
}

static void deaf_stop(struct deaf *d)
{
	shutdown(d->fd, SHUT_RDWR);
	pthread_join(d->thread, NULL);
	close(d->fd);
}

/* Opening one whose history has been compacted, whose etcd answers and then says nothing of that. */
static void test_oldest_is_not_told(void **state)
{
	struct place *p = *state;
	struct err err = ERR_INIT;
	struct deaf d;
	struct store *s;
	char at[64];

	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	for (int i = 0; i < 4; i++)
		put(s, "k", "v", STORE_ANY_REV);
	assert_int_equal(store_compact(s, 3, NULL), 0);
	store_close(s);
	deaf_start(&d, p->c.m[0].client_port);
	snprintf(at, sizeof(at), "http://127.0.0.1:%d", d.port);
	s = store_etcd_open(&thread_env,
			    &(struct store_etcd_opts){ .endpoints = at, .ends = ends_now, .wait_ns = 600 * NS_PER_SEC },
			    &err);
	assert_null(s);
	assert_string_equal(err_msg(&err), "etcd does not tell how far back its history goes");
	err_release(&err);
	/* And with nobody to end it, when the time is up. */
	assert_null(store_etcd_open(&thread_env,
				    &(struct store_etcd_opts){ .endpoints = at, .wait_ns = 2 * NS_PER_SEC }, NULL));
	deaf_stop(&d);
}

/* Who asks how new the store is, again and again, has no etcd count all keys each time. */
static void test_counted_seldom(void **state)
{
	struct place *p = *state;
	int64_t began = thread_env_clock(CLOCK_MONOTONIC);
	struct store_stats st;
	struct store *s;

	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	put(s, "a", "1", 0);
	stats_of_keys(s, 1, &st);
	put(s, "b", "1", 0);
	for (int i = 0; i < 300; i++) {
		store_stats(s, &st);
		kit_rest();
	}
	assert_int_equal(st.rev, 3);
	if (thread_env_clock(CLOCK_MONOTONIC) - began < 4 * NS_PER_SEC) /* else it may have been counted again */
		assert_int_equal(st.keys, 1);
	stats_of_keys(s, 2, &st);
	store_close(s);
}

/* --- others that write --- */

static void synced(_unused_ int64_t rev, const struct err *err, void *ctx)
{
	struct flight *f = ctx;

	pthread_mutex_lock(&f->mu);
	f->failed += err != NULL;
	f->open--;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->mu);
}

static void sync_with(struct store *s)
{
	struct flight f = FLIGHT_INIT;

	f.open = 1;
	store_sync(s, synced, &f);
	flight_wait(&f, 0);
	assert_int_equal(f.failed, 0);
}

static void test_sync(void **state)
{
	struct place *p = *state;
	struct store *s[2];
	struct seen n[2];

	etcd_cluster_start(&p->c, 1, p->dir);
	for (int i = 0; i < 2; i++) {
		s[i] = opened_at(&p->c);
		seen_watch(&n[i], s[i], "", "z", 1);
		seen_wait_progress(&n[i], 1);
	}
	for (int i = 0; i < 200; i++) {
		char key[16];
		int64_t rev;

		snprintf(key, sizeof(key), "k%d", i);
		rev = put(s[i % 2], key, "v", 0);
		assert_int_equal(rev, i + 2);
		sync_with(s[1 - i % 2]);
		pthread_mutex_lock(&n[1 - i % 2].mu);
		assert_int_equal(vec_last(&n[1 - i % 2].revs), rev);
		pthread_mutex_unlock(&n[1 - i % 2].mu);
	}
	for (int i = 0; i < 2; i++) {
		seen_stop(&n[i], s[i]);
		store_close(s[i]);
	}
}

struct racer {
	struct store *s;
	pthread_t thread;
	int won;
};

static int race_get(const struct store_kv *kv, void *ctx)
{
	int64_t *got = ctx;

	BUG_ON(!(sv_to_i64(kv->value, &got[0])));
	got[1] = kv->mod_rev;
	return 0;
}

static void *racer_run(void *arg)
{
	struct racer *r = arg;

	while (r->won < 100) {
		int64_t got[2] = { 0, 0 };
		char text[24];

		BUG_ON(store_range(r->s, SV("n"), SV(""), 0, 0, race_get, got, NULL, NULL) != 0);
		snprintf(text, sizeof(text), "%" PRId64, got[0] + 1);
		r->won += put(r->s, "n", text, got[1]) > 0;
	}
	return NULL;
}

/* Two servers that write the same words over the same version: one has won, and only one thinks so. */
static void test_same_words(void **state)
{
	struct place *p = *state;
	struct racer r[2] = { { .won = 0 }, { .won = 0 } };
	struct seen n[2];

	etcd_cluster_start(&p->c, 1, p->dir);
	for (int i = 0; i < 2; i++) {
		r[i].s = opened_at(&p->c);
		seen_watch(&n[i], r[i].s, "", "z", 1);
	}
	assert_int_equal(put(r[0].s, "n", "0", 0), 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&r[i].thread, NULL, racer_run, &r[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(r[i].thread, NULL);
	assert_list(r[0].s, "n", "", 0, 0, "n=200@2/202 ");
	for (int i = 0; i < 2; i++) {
		seen_wait_progress(&n[i], 202);
		assert_int_equal(n[i].revs.n, 201);
		seen_stop(&n[i], r[i].s);
		store_close(r[i].s);
	}
}

static int past_key(const struct store_change *c, void *ctx)
{
	buf_printf(ctx, "%.*s@%" PRId64 "%s ", SV_ARG(c->kv.key), c->kv.mod_rev, c->more ? "," : "");
	return c->kv.mod_rev == 7;
}

/* History that another server has forgotten. */
static void test_compacted_by_another(void **state)
{
	struct place *p = *state;
	struct store *s, *other, *third;
	struct seen live, late;
	struct store_stats st;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int64_t upto = 0;

	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	other = opened_at(&p->c);
	third = opened_at(&p->c);
	seen_watch(&live, s, "", "z", 1);
	for (int i = 0; i < 50; i++)
		put(s, "k", "v", STORE_ANY_REV);
	seen_wait_progress(&live, 51); /* else what it has not seen yet is forgotten, and it ends */
	assert_int_equal(store_compact(other, 40, NULL), 0);
	assert_list(s, "k", "", 20, 0, "Expired");
	sync_with(third);
	assert_int_equal(store_changes(third, SV("k"), SV(""), 20, 50, past_key, &b, &upto, &err), -1);
	assert_int_equal(err.reason, ERR_EXPIRED);
	assert_int_equal(b.n, 0);
	seen_watch(&late, s, "", "z", 20); /* it does not know yet */
	seen_wait_end(&late);
	assert_int_equal(late.why, ERR_EXPIRED);
	assert_int_equal(late.revs.n, 0);
	seen_stop(&late, s);
	store_stats(s, &st);
	assert_int_equal(st.compact_rev, 40);
	assert_int_equal(store_changes(s, SV("k"), SV(""), 40, 50, past_key, &b, &upto, NULL), 0);
	assert_int_equal(upto, 51);
	seen_watch(&late, s, "", "z", 40);
	seen_wait_progress(&late, 51);
	assert_int_equal(late.revs.n, 11);
	seen_stop(&late, s);
	put(s, "k", "v", STORE_ANY_REV);
	seen_wait_progress(&live, 52);
	assert_int_equal(live.revs.n, 51);
	assert_false(live.ended);
	seen_stop(&live, s);
	store_close(other);
	store_close(third);
	s = store_close(s);
	s = opened_at(&p->c); /* and one that comes later finds out */
	store_stats(s, &st);
	assert_int_equal(st.compact_rev, 40);
	store_close(s);
}

/* --- the past --- */

/* Large revisions come in fragments, of which several are in one answer: each is told as a whole, once. */
static void test_large_past(void **state)
{
	enum { N = 24 };
	struct place *p = *state;
	char *big = malloc(1000000), want[64];
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int64_t upto = 1;
	struct store *s;
	struct seen n;
	int calls = 0;

	memset(big, 'x', 1000000);
	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	for (int i = 0; i < N; i++) {
		struct store_write also = { .key = SV("a/beside"), .value = SV("v"), .expect_rev = STORE_ANY_REV };
		struct store_write w = { .key = SV("a/k"),
					 .value = { big, 1000000 },
					 .expect_rev = STORE_ANY_REV,
					 .also = &also,
					 .n_also = 1 };

		assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	}
	seen_watch(&n, s, "a/", "a0", 1);
	seen_wait_progress(&n, N + 1);
	assert_int_equal(n.revs.n, 2 * N);
	for (size_t i = 0; i < n.revs.n; i++)
		assert_int_equal(n.revs.p[i], (int64_t)i / 2 + 2);
	seen_stop(&n, s);
	for (; upto < N + 1; calls++) {
		int64_t before = upto;

		assert_int_equal(store_changes(s, SV("a/"), SV("a0"), upto, 1000, past_key, &b, &upto, NULL), 0);
		assert_true(upto > before && upto <= N + 1);
		assert_true(before >= 7 || upto <= 7); /* where its asker had enough */
	}
	assert_true(calls > 2); /* as much as a page has, and no more */
	for (int i = 2; i < N + 2; i++) {
		snprintf(want, sizeof(want), "a/beside@%d, a/k@%d ", i, i);
		assert_non_null(strstr(buf_cstr(&b), want));
		assert_null(strstr(strstr(b.p, want) + 1, want));
	}
	store_close(s);
	free(big);
}

struct reader {
	struct store *s;
	pthread_t thread;
	int64_t from, newest;
	int told;
};

static int past_count(const struct store_change *c, void *ctx)
{
	struct reader *r = ctx;

	r->told += c->kv.mod_rev > r->from;
	return 0;
}

static void *reader_run(void *arg)
{
	struct reader *r = arg;

	for (int64_t upto = r->from; upto < r->newest;) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (store_changes(r->s, SV("w/"), SV("w0"), upto, 50, past_count, r, &upto, &err) < 0)
			assert_int_equal(err.reason, ERR_TIMEOUT); /* nobody is there for a while */
	}
	return NULL;
}

/* Many who look back at once, from different times, while the member they look at goes and comes. */
static void test_past_of_many(void **state)
{
	enum { READERS = 20, N = 400 };
	struct place *p = *state;
	struct reader r[READERS];
	struct writer w;
	struct store *s;
	int64_t newest;

	etcd_cluster_start(&p->c, 3, p->dir);
	s = opened_at(&p->c);
	writer_start(&w, s);
	writer_wait(&w, N);
	atomic_store(&w.stop, true);
	pthread_join(w.thread, NULL);
	newest = now_rev(s);
	for (int i = 0; i < READERS; i++) {
		r[i] = (struct reader){ .s = s, .from = 1 + i * N / READERS, .newest = newest };
		assert_int_equal(pthread_create(&r[i].thread, NULL, reader_run, &r[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		etcd_member_kill(&p->c.m[i]);
		etcd_member_start(&p->c, i);
	}
	for (int i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		assert_int_equal(r[i].told, newest - r[i].from);
	}
	store_close(s);
}

/* Without anybody to ask the asker is told so; who asks again later is answered. */
static void test_past_of_nobody(void **state)
{
	struct place *p = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct reader r = { .from = 1, .newest = 3 };

	etcd_cluster_start(&p->c, 1, p->dir);
	r.s = opened_hasty(&p->c);
	while (put(r.s, "w/a", "1", 0) < 0 || put(r.s, "w/b", "1", 0) < 0)
		kit_rest();
	etcd_member_kill(&p->c.m[0]);
	while (store_healthy(r.s, NULL))
		kit_rest();
	assert_int_equal(store_changes(r.s, SV("w/"), SV("w0"), 1, 50, past_count, &r, &(int64_t){ 0 }, &err), -1);
	assert_int_equal(err.reason, ERR_TIMEOUT);
	etcd_member_start(&p->c, 0);
	while (!store_healthy(r.s, NULL))
		kit_rest();
	reader_run(&r);
	assert_int_equal(r.told, 2);
	store_close(r.s);
}

/* One of two forgets what both have written, again and again. */
static void test_compact_in_turn(void **state)
{
	struct place *p = *state;
	struct env *env = env_real_new(0);
	struct store *s[2];
	struct store_stats a, b;

	etcd_cluster_start(&p->c, 1, p->dir);
	for (int i = 0; i < 2; i++)
		s[i] = store_etcd_open(env,
				       &(struct store_etcd_opts){ .endpoints = p->c.endpoints,
								  .compact_ns = (50 + 30 * i) * NS_PER_MS,
								  .patience = ETCD_PATIENCE },
				       NULL);
	do { /* whoever compacts knows at once */
		put(s[0], "k", "v", STORE_ANY_REV);
		store_stats(s[0], &a);
		store_stats(s[1], &b);
	} while (MAX(a.compact_rev, b.compact_rev) < 20);
	assert_list(s[0], "k", "", 2, 0, "Expired");
	store_close(s[0]);
	store_close(s[1]);
	env_real_free(env);
}

/* --- leases --- */

static void test_leases(void **state)
{
	struct place *p = *state;
	struct store_write w = { .key = SV("l/a"), .value = SV("v") };
	struct err err = ERR_INIT;
	struct store *s;
	struct seen n;
	int64_t id, ttl, same;

	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	seen_watch(&n, s, "l/", "l0", 1);
	seen_wait_progress(&n, 1);
	assert_int_equal(store_lease_grant(s, 0, 600, &id, NULL), 0);
	assert_true(id != 0);
	assert_int_equal(store_lease_grant(s, id, 600, &same, &err), -1);
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	err_release(&err);
	assert_int_equal(store_lease_keepalive(s, id, &ttl, NULL), 0);
	assert_int_equal(ttl, 600);
	w.lease = id;
	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	w.key = SV("l/b");
	w.lease = 4711;
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	assert_int_equal(store_lease_revoke(s, id, NULL), 0);
	sync_with(s);
	assert_string_equal(buf_cstr(&n.text), "l/a=v@2/2 l/a=@0/3!<v@2 ");
	assert_list(s, "l/", "l0", 0, 0, "");
	assert_int_equal(store_lease_revoke(s, id, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	assert_int_equal(store_lease_keepalive(s, id, &ttl, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	seen_stop(&n, s);
	store_close(s);
}

/* --- limits --- */

static void test_usual_limits(void **state)
{
	struct place *p = *state;
	char *big = malloc(2000000), keys[200][16];
	struct store_write also[200], w = { .key = SV("a"), .value = { big, 2000000 } };
	struct err err = ERR_INIT;
	struct store *s;

	memset(big, 'x', 2000000);
	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	err_release(&err);
	for (size_t i = 0; i < 200; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
		also[i] = (struct store_write){ .key = sv_from(keys[i]), .value = SV("v") };
	}
	w.value = SV("v");
	w.also = also;
	w.n_also = 200;
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	err_release(&err);
	w.n_also = 100;
	assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	/* A key twice is refused, also when others wait for it. */
	also[1].key = also[0].key;
	w.key = SV("b");
	w.n_also = 2;
	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	err_release(&err);
	assert_true(put(s, "k0", "v", STORE_ANY_REV) > 0);
	/* Many large ones come in several answers. */
	for (int i = 0; i < 12; i++) {
		char key[16];

		snprintf(key, sizeof(key), "big/%02d", i);
		assert_true(put_n(s, sv_from(key), sv_make(big, 1000000), 0) > 0);
	}
	for (int pass = 0, n = 0; pass < 2; pass++, n = 0) {
		assert_int_equal(store_range(s, SV("big/"), SV("big0"), 0, pass ? 7 : 0, count_key, &n, NULL, NULL), 0);
		assert_int_equal(n, pass ? 7 : 12);
	}
	store_close(s);
	free(big);
}

static void test_no_space(void **state)
{
	struct place *p = *state;
	char *big = malloc(1000000);
	struct err err = ERR_INIT;
	struct store *s;
	int rc = 1;

	memset(big, 'x', 1000000);
	p->c.more[0] = "--quota-backend-bytes=8000000";
	etcd_cluster_start(&p->c, 1, p->dir);
	s = opened_at(&p->c);
	assert_true(put(s, "small", "v", 0) > 0);
	for (int i = 0; i < 40 && rc == 1; i++) {
		struct store_write w = { .key = SV("big"), .value = { big, 1000000 }, .expect_rev = STORE_ANY_REV };

		rc = store_commit_wait(s, &w, NULL, &err);
	}
	assert_int_equal(rc, -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	assert_int_equal(err.errnum, ENOSPC);
	assert_true(err_no_room(&err));
	err_release(&err);
	while (store_healthy(s, &err))
		kit_rest();
	assert_int_equal(err.errnum, ENOSPC); /* reads go on */
	assert_non_null(strstr(err_msg(&err), "database space exceeded"));
	err_release(&err);
	assert_list(s, "small", "", 0, 0, "small=v@2/2 ");
	assert_true(del(s, "small", 2) > 0);
	store_close(s);
	free(big);
}

/* --- whom to trust --- */

static void write_pem(char path[128], const char *dir, const char *name, struct sv pem)
{
	FILE *f;

	snprintf(path, 128, "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(pem.p, 1, pem.n, f), pem.n);
	fclose(f);
}

static void test_tls(void **state)
{
	static const char *const names[] = { "localhost", NULL }, *const ips[] = { "127.0.0.1", NULL };
	struct place *p = *state;
	struct arena a = ARENA_INIT;
	int64_t now = time(NULL) * NS_PER_SEC;
	struct cert_opts ca = { .common_name = "ca",
				.ca = true,
				.not_before_ns = now - 3600 * NS_PER_SEC,
				.not_after_ns = now + 86400 * NS_PER_SEC };
	struct cert_opts leaf = { .common_name = "etcd",
				  .dns_names = names,
				  .ip_addrs = ips,
				  .server = true,
				  .client = true,
				  .not_before_ns = ca.not_before_ns,
				  .not_after_ns = ca.not_after_ns };
	struct sv ca_pem, ca_key, pem, key, other_ca, other_key;
	char ca_file[128], cert_file[128], key_file[128];
	struct err err = ERR_INIT;
	struct store_etcd_opts o = { .patience = ETCD_PATIENCE };
	struct store *s;

	assert_int_equal(cert_make(&a, &ca, SV(""), SV(""), &ca_pem, &ca_key, NULL), 0);
	assert_int_equal(cert_make(&a, &ca, SV(""), SV(""), &other_ca, &other_key, NULL), 0);
	assert_int_equal(cert_make(&a, &leaf, ca_pem, ca_key, &pem, &key, NULL), 0);
	write_pem(ca_file, p->dir, "ca", ca_pem);
	write_pem(cert_file, p->dir, "cert", pem);
	write_pem(key_file, p->dir, "key", key);
	p->c.ca = ca_file;
	p->c.cert = cert_file;
	p->c.key = key_file;
	etcd_cluster_start(&p->c, 1, p->dir);
	o.endpoints = p->c.endpoints;
	/* Nobody to trust, the wrong one, nothing to show. */
	assert_null(store_etcd_open(&thread_env, &o, &err));
	assert_int_equal(err.reason, ERR_INVALID);
	err_release(&err);
	o.ca_pem = ca_pem;
	o.cert_pem = pem;
	o.key_pem = key;
	s = opened(&o); /* it is there */
	assert_int_equal(put(s, "a", "1", 0), 2);
	store_close(s);
	o.patience = 1;
	o.ca_pem = other_ca;
	for (o.wait_ns = NS_PER_SEC;; o.wait_ns *= 2) { /* until it has heard of the certificate */
		bool heard;

		assert_null(store_etcd_open(&thread_env, &o, &err));
		heard = strstr(err_msg(&err), "certificate");
		err_release(&err);
		if (heard)
			break;
	}
	o.wait_ns = NS_PER_SEC;
	o.ca_pem = ca_pem;
	o.cert_pem = o.key_pem = SV("");
	assert_null(store_etcd_open(&thread_env, &o, &err));
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	err_release(&err);
	arena_release(&a);
}

static void test_nobody_there(_unused_ void **state)
{
	struct err err = ERR_INIT;

	assert_null(store_etcd_open(
	    &thread_env,
	    &(struct store_etcd_opts){ .endpoints = "http://127.0.0.1:1,http://127.0.0.1:2", .wait_ns = NS_PER_SEC },
	    &err));
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	err_release(&err);
	assert_null(store_etcd_open(&thread_env, &(struct store_etcd_opts){ .endpoints = "mysql://x" }, &err));
	assert_int_equal(err.reason, ERR_INVALID);
	err_release(&err);
}

#define PLACE(fn) cmocka_unit_test_setup_teardown(fn, place_setup, place_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		PLACE(test_nobody_there),   PLACE(test_usual_limits),
		PLACE(test_no_space),	    PLACE(test_tls),
		PLACE(test_leases),	    PLACE(test_sync),
		PLACE(test_same_words),	    PLACE(test_compacted_by_another),
		PLACE(test_large_past),	    PLACE(test_past_of_many),
		PLACE(test_past_of_nobody), PLACE(test_compact_in_turn),
		PLACE(test_members_die),    PLACE(test_members_stop),
		PLACE(test_no_majority),    PLACE(test_hurry),
		PLACE(test_hurry_lost),	    PLACE(test_oldest_is_not_told),
		PLACE(test_counted_seldom),
	};

	if (!etcd_installed()) {
		puts("# there is no etcd: install etcd-server");
		return 77;
	}
	return cmocka_run_group_tests_name("etcd", tests, NULL, NULL);
}
