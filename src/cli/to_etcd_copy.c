/* All is written to an etcd that runs, one revision after the other: for where there is no program that makes one of a
 * file (to_etcd_file.c). */
#include "base/arena.h"
#include "base/log.h"
#include "base/vec.h"
#include "cli/to_etcd-internal.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SYS "server"
#define BUMPS 64 /* at once; of different keys, as those of one key wait for each other */
#define BUMP_KEYS "/caravel/moving/"
#define STEP INT64_C(20000) /* of counting up, behind which etcd forgets those before: its file stays small */
#define TELL_NS (10 * NS_PER_SEC)

struct moved {
	struct sv key;
	int64_t rev;
};

struct move {
	struct arena a;
	struct store *from, *to;
	VEC(struct moved) keys;
	struct arena values; /* of the revision at hand */
	int64_t rev;	     /* that `to` is at */
	size_t bump_keys;    /* so many of them exist */
	int64_t newest;	     /* that it is to be at in the end */
	int64_t began_ns, told_ns;

	pthread_mutex_t mu;
	pthread_cond_t cond;
	size_t open;
	struct err failed;
};

static int move_found(const struct store_kv *kv, void *ctx)
{
	struct move *m = ctx;

	vec_push(&m->keys, ((struct moved){ arena_sv(&m->a, kv->key), kv->mod_rev }));
	return 0;
}

static int moved_order(const void *a, const void *b)
{
	const struct moved *x = a, *y = b;

	return (x->rev > y->rev) - (x->rev < y->rev);
}

static void bump_done(const struct store_result *r, void *ctx)
{
	struct move *m = ctx;

	pthread_mutex_lock(&m->mu);
	if (r->outcome == STORE_FAILED && m->failed.reason == ERR_NONE)
		err_copy(&m->failed, r->err);
	m->open--;
	pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->mu);
}

static void move_tell(struct move *m, int64_t rev)
{
	int64_t now = env_mono_ns(m->from->env);

	if (now - m->told_ns < TELL_NS)
		return;
	m->told_ns = now;
	log_info(SYS, "the move into etcd goes on", "revision",
		 "%" PRId64 " of %" PRId64 ", some %" PRId64 " s are left", rev, m->newest,
		 (int64_t)((double)(m->newest - rev) / (double)rev * (double)(now - m->began_ns) / NS_PER_SEC));
}

/* Writes that mean nothing, until `to` is at rev. Their order is nobody's concern. */
static int move_step(struct move *m, int64_t rev, struct err *err)
{
	int64_t left = rev - m->rev;
	int rc = 0;

	for (int64_t i = 0; i < left; i++) {
		char key[sizeof(BUMP_KEYS) + 8];
		struct store_write w = { .expect_rev = STORE_ANY_REV, .value = SV("") };

		if (i % BUMPS == 0 && (rc = to_etcd_goes_on(err)) < 0)
			break;
		if (i % BUMPS == 0)
			move_tell(m, m->rev + i);
		(void)snprintf(key, sizeof(key), BUMP_KEYS "%02u", (unsigned)(i % BUMPS));
		m->bump_keys = MAX(m->bump_keys, (size_t)(i % BUMPS) + 1);
		w.key = sv_from(key);
		pthread_mutex_lock(&m->mu);
		while (m->open >= BUMPS && m->failed.reason == ERR_NONE)
			pthread_cond_wait(&m->cond, &m->mu);
		if (m->failed.reason != ERR_NONE) {
			pthread_mutex_unlock(&m->mu);
			break;
		}
		m->open++;
		pthread_mutex_unlock(&m->mu);
		store_commit(m->to, &w, bump_done, m);
	}
	pthread_mutex_lock(&m->mu);
	while (m->open)
		pthread_cond_wait(&m->cond, &m->mu);
	pthread_mutex_unlock(&m->mu);
	if (rc < 0)
		return rc;
	if (m->failed.reason != ERR_NONE)
		return err_move(err, &m->failed);
	m->rev += MAX(left, (int64_t)0);
	return 0;
}

/* However far rev is: etcd has no room for the history of millions of writes, and nobody asks for it. */
static int move_bump(struct move *m, int64_t rev, struct err *err)
{
	while (rev - m->rev > STEP) {
		if (move_step(m, m->rev + STEP, err) < 0 || store_compact(m->to, m->rev, err) < 0)
			return -1;
	}
	return move_step(m, rev, err);
}

static int move_read(struct move *m, const struct moved *k, struct store_write *ret, struct err *err)
{
	struct store_found f;

	if (store_read(m->from, &m->values, k->key, &f, err) < 0)
		return -1;
	if (!f.rev)
		return err_set(err, ERR_STORE_READ, "the database changes while it is read");
	*ret = (struct store_write){ .key = k->key, .value = f.value };
	return 0;
}

/* The n keys of one revision, which what comes from an etcd may have: one write, as that gives a write one revision. */
static int move_revision(struct move *m, const struct moved *k, size_t n, struct err *err)
{
	struct store_write *w;
	int64_t rev = 0;
	int rc;

	if (to_etcd_goes_on(err) < 0 || move_bump(m, k->rev - 1, err) < 0)
		return -1;
	arena_reset(&m->values);
	w = ARENA_ARRAY(&m->values, struct store_write, n);
	for (size_t i = 0; i < n; i++) {
		if (move_read(m, &k[i], &w[i], err) < 0)
			return -1;
		if (w[i].value.n > w[0].value.n) { /* the longest is the write itself: those beside it are bounded */
			struct store_write first = w[0];

			w[0] = w[i];
			w[i] = first;
		}
	}
	w[0].also = n > 1 ? w + 1 : NULL;
	w[0].n_also = n - 1;
	rc = store_commit_wait(m->to, &w[0], &rev, err);
	if (rc < 0)
		return err_wrap(err, "writing '%.*s'", SV_ARG(w[0].key));
	if (rc == 0 || rev != k->rev)
		return err_set(err, ERR_INTERNAL,
			       "etcd gives '%.*s' the revision %" PRId64 " instead of %" PRId64
			       ": somebody else writes to it",
			       SV_ARG(w[0].key), rev, k->rev);
	m->rev = rev;
	return 0;
}

/* What was counted up with goes, in one write, and its history: a watch from the newest revision goes on. */
static int move_tidy(struct move *m, struct err *err)
{
	struct store_write gone[BUMPS];
	int64_t rev;

	if (!m->bump_keys)
		return 0;
	for (size_t i = 0; i < m->bump_keys; i++)
		gone[i] = (struct store_write){ .key = arena_svf(&m->a, BUMP_KEYS "%02zu", i),
						.expect_rev = STORE_ANY_REV,
						.tombstone = true };
	gone[0].also = gone + 1;
	gone[0].n_also = m->bump_keys - 1;
	if (store_commit_wait(m->to, &gone[0], &rev, err) < 0)
		return -1;
	m->rev = rev;
	return store_compact(m->to, m->newest, err);
}

int to_etcd_copy(struct store *from, struct store *to, size_t *ret_keys, int64_t *ret_rev, struct err *err)
{
	struct move m = { .from = from, .to = to, .mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct store_stats stats;
	int rc;

	store_stats(to, &stats);
	m.rev = stats.rev;
	m.began_ns = m.told_ns = env_mono_ns(from->env);
	rc = store_range(from, STORE_ALL_FROM, STORE_ALL_TO, 0, 0, move_found, &m, &m.newest, err);
	if (rc == 0 && m.keys.n)
		qsort(m.keys.p, m.keys.n, sizeof(*m.keys.p), moved_order);
	if (rc == 0 && m.rev != 1)
		rc = err_set(err, ERR_INTERNAL, "the etcd that all is to be written to is not a fresh one");
	for (size_t i = 0, n; rc == 0 && i < m.keys.n; i += n) {
		for (n = 1; i + n < m.keys.n && m.keys.p[i + n].rev == m.keys.p[i].rev; n++)
			;
		rc = move_revision(&m, &m.keys.p[i], n, err);
	}
	if (rc == 0)
		rc = move_bump(&m, m.newest, err);
	if (rc == 0)
		rc = move_tidy(&m, err);
	*ret_keys = m.keys.n;
	*ret_rev = m.rev;
	vec_release(&m.keys);
	arena_release(&m.values);
	arena_release(&m.a);
	err_release(&m.failed);
	pthread_mutex_destroy(&m.mu);
	pthread_cond_destroy(&m.cond);
	return rc;
}
