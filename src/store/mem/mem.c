/* The store in memory: for tests and simulation. Deterministic and synchronous.
 *
 * Every version is a reference-counted record in a log ordered by revision; versions of one key
 * form a chain from the newest backwards, and an ordered index holds the newest of each key.
 *
 * Whoever calls in while nobody delivers becomes the deliverer: it takes queued writes one by
 * one, runs watch callbacks and then the completion, until nothing is queued. A commit from
 * within a callback finds a deliverer at work and only queues.
 */
#include "base/list.h"
#include "base/vec.h"
#include "store/keyidx.h"
#include "store/watchers.h"

#include <stdlib.h>

struct mem_ver {
	unsigned refs; /* log, index or successor, and whoever reads; under mem.mu */
	struct store_kv kv;
	struct mem_ver *prev; /* owned reference; NULL once compacted */
	char data[];
};

/* One key of a queued write. */
struct mem_key {
	struct mem_ver *ver;	/* what it would make */
	struct mem_ver *before; /* what was there, a reference, or NULL */
	int64_t expect_rev;
	void *cookie;
	bool guard, applied;
};

/* A queued write. */
struct mem_op {
	struct list link;
	store_done_fn *done;
	void *ctx;
	struct err why; /* refused from the start: there are no keys */
	size_t n;
	struct mem_key keys[]; /* its own is the last */
};

struct mem {
	struct store store;
	pthread_mutex_t mu;
	struct watchers watchers;
	struct keyidx keys;	   /* newest version of each key, tombstones included */
	VEC(struct mem_ver *) log; /* log.p[i] has revision log_base + i */
	int64_t log_base, rev, compact_rev;
	uint64_t live, bytes;
	struct list queue;
	bool delivering, expire;
	pthread_t deliverer;
};

#define MEM(s) CONTAINER_OF(s, struct mem, store)
#define MEM_BATCH 64 /* old changes reported between two looks at the queue */

static struct mem_ver *ver_ref(struct mem_ver *v)
{
	v->refs++;
	return v;
}

/* Not recursive: a hot key's chain may be a million long. */
static void ver_unref(struct mem_ver *v)
{
	while (v && --v->refs == 0) {
		struct mem_ver *prev = v->prev;

		free(v);
		v = prev;
	}
}

/* The version of v's key that was current at rev, or NULL. */
static struct mem_ver *ver_at(struct mem_ver *v, int64_t rev)
{
	while (v && v->kv.mod_rev > rev)
		v = v->prev;
	return v && !v->kv.deleted ? v : NULL;
}

static const struct store_kv *ver_live_kv(const struct mem_ver *v)
{
	return v && !v->kv.deleted ? &v->kv : NULL;
}

static int mem_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
		     void *ctx, int64_t *ret_rev, struct err *err)
{
	struct mem *m = MEM(s);
	VEC(struct mem_ver *) found = VEC_INIT;

	pthread_mutex_lock(&m->mu);
	if (rev == 0)
		rev = m->rev;
	if (store_check_read_rev(rev, m->rev, m->compact_rev, err) < 0) {
		pthread_mutex_unlock(&m->mu);
		return -1;
	}
	for (struct keyidx_node *n = keyidx_seek(&m->keys, from); n && store_in_range(n->key, from, to);
	     n = n->next[0]) {
		struct mem_ver *v = ver_at(n->value, rev);

		if (!v)
			continue;
		vec_push(&found, ver_ref(v));
		if (limit && found.n == limit)
			break;
	}
	pthread_mutex_unlock(&m->mu);

	/* Without the lock: fn may take long, and may even come back into the store. */
	for (size_t i = 0; i < found.n; i++)
		if (fn(&found.p[i]->kv, ctx))
			break;

	pthread_mutex_lock(&m->mu);
	for (size_t i = 0; i < found.n; i++)
		ver_unref(found.p[i]);
	pthread_mutex_unlock(&m->mu);
	vec_release(&found);
	if (ret_rev)
		*ret_rev = rev;
	return 0;
}

/* Reports old changes to a lagging watch, one portion. Called and left without the lock. */
static void mem_catch_up(struct mem *m, struct store_watch *w)
{
	struct mem_ver *batch[MEM_BATCH], *prev[MEM_BATCH];
	size_t n = 0;
	int64_t upto, now;

	pthread_mutex_lock(&m->mu);
	if (w->since < m->compact_rev) {
		int64_t compact_rev = m->compact_rev;

		pthread_mutex_unlock(&m->mu);
		watchers_give_up(&m->watchers, w, compact_rev);
		return;
	}
	now = m->rev;
	for (upto = MAX(MIN(w->since, now), m->log_base - 1); upto < now && n < MEM_BATCH; upto++) {
		struct mem_ver *v = m->log.p[upto + 1 - m->log_base];

		if (!store_in_range(v->kv.key, w->from, w->to))
			continue;
		prev[n] = v->prev ? ver_ref(v->prev) : NULL;
		batch[n++] = ver_ref(v);
	}
	pthread_mutex_unlock(&m->mu);

	for (size_t i = 0; i < n; i++) {
		struct store_change c = { .kv = batch[i]->kv, .prev = ver_live_kv(prev[i]) };

		w->cb->change(&c, w->ctx);
	}

	pthread_mutex_lock(&m->mu);
	for (size_t i = 0; i < n; i++) {
		ver_unref(batch[i]);
		ver_unref(prev[i]);
	}
	pthread_mutex_unlock(&m->mu);
	watchers_give_back(&m->watchers, w, upto, upto == now);
}

static int mem_changes(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
		       void *ctx, int64_t *ret_rev, struct err *err)
{
	struct mem *m = MEM(s);
	VEC(struct mem_ver *) found = VEC_INIT;
	int64_t upto, last;
	bool stopped = false;

	pthread_mutex_lock(&m->mu);
	if (store_check_watch_rev(since, m->compact_rev, err) < 0) {
		pthread_mutex_unlock(&m->mu);
		return -1;
	}
	upto = MAX(MIN(since, m->rev), m->log_base - 1);
	last = most < (size_t)(m->rev - upto) ? upto + (int64_t)most : m->rev;
	for (int64_t rev = upto + 1; rev <= last; rev++) {
		struct mem_ver *v = m->log.p[rev - m->log_base];

		if (!store_in_range(v->kv.key, from, to))
			continue;
		vec_push(&found, ver_ref(v));
		vec_push(&found, v->prev ? ver_ref(v->prev) : NULL);
	}
	pthread_mutex_unlock(&m->mu);

	for (size_t i = 0; i < found.n && !stopped; i += 2) {
		struct store_change c = { .kv = found.p[i]->kv, .prev = ver_live_kv(found.p[i + 1]) };

		stopped = fn(&c, ctx);
		upto = c.kv.mod_rev;
	}
	*ret_rev = stopped ? upto : MAX(last, since);

	pthread_mutex_lock(&m->mu);
	for (size_t i = 0; i < found.n; i++)
		ver_unref(found.p[i]);
	pthread_mutex_unlock(&m->mu);
	vec_release(&found);
	return 0;
}

static void mem_op_free(struct mem *m, struct mem_op *op)
{
	pthread_mutex_lock(&m->mu);
	for (size_t i = 0; i < op->n; i++) {
		ver_unref(op->keys[i].ver);
		ver_unref(op->keys[i].before);
	}
	pthread_mutex_unlock(&m->mu);
	err_release(&op->why);
	free(op);
}

/* Does k's expectation hold? Lock held. */
static bool mem_look(struct mem *m, struct mem_key *k, bool beside)
{
	struct mem_ver *cur = keyidx_get(&m->keys, k->ver->kv.key);
	int64_t cur_rev = cur && !cur->kv.deleted ? cur->kv.mod_rev : 0;

	k->before = cur ? ver_ref(cur) : NULL;
	k->applied = !k->guard && store_write_applies(k->expect_rev, k->ver->kv.deleted, cur_rev);
	return k->applied || (beside && store_write_is_idle(k->expect_rev, k->ver->kv.deleted, k->guard, cur_rev));
}

/* All expectations hold: *ret_which 0. Lock held. */
static bool mem_holds(struct mem *m, struct mem_op *op, size_t *ret_which)
{
	size_t own = op->n - 1;

	*ret_which = 0;
	if (!mem_look(m, &op->keys[own], false))
		return false;
	for (size_t i = 0; i < own; i++) {
		*ret_which = i + 1;
		if (!mem_look(m, &op->keys[i], true))
			return false;
	}
	*ret_which = 0;
	return true;
}

/* Makes k's version the newest of its key. Lock held. */
static void mem_apply(struct mem *m, struct mem_key *k)
{
	struct mem_ver *v = k->ver, *cur = k->before;
	bool was_live = cur && !cur->kv.deleted;

	v->kv.mod_rev = ++m->rev;
	v->kv.create_rev = v->kv.deleted ? 0 : was_live ? cur->kv.create_rev : v->kv.mod_rev;
	v->prev = cur; /* the index' reference moves here */
	keyidx_put(&m->keys, v->kv.key, ver_ref(v));
	vec_push(&m->log, ver_ref(v));
	m->bytes += v->kv.value.n - (was_live ? cur->kv.value.n : 0);
	m->live += (uint64_t)!v->kv.deleted - (uint64_t)was_live;
}

static void mem_run(struct mem *m, struct mem_op *op)
{
	struct store_result r = { .outcome = STORE_FAILED, .err = &op->why };
	bool holds;
	size_t which;

	if (!op->n) {
		op->done(&r, op->ctx);
		return;
	}
	pthread_mutex_lock(&m->mu);
	holds = mem_holds(m, op, &which);
	for (size_t i = 0; holds && i < op->n; i++)
		if (op->keys[i].applied)
			mem_apply(m, &op->keys[i]);
	pthread_mutex_unlock(&m->mu);
	if (holds) {
		r = (struct store_result){ .outcome = STORE_OK, .rev = op->keys[op->n - 1].ver->kv.mod_rev };
		for (size_t i = 0; i < op->n; i++) {
			const struct mem_key *k = &op->keys[i];
			struct store_change c = { .prev = ver_live_kv(k->before), .cookie = k->cookie };

			c.kv = k->ver->kv;
			if (k->applied)
				watchers_change(&m->watchers, &c);
		}
		watchers_progress(&m->watchers, r.rev);
	} else {
		const struct mem_key *k = &op->keys[which ? which - 1 : op->n - 1];

		r = (struct store_result){ .outcome = STORE_MISMATCH,
					   .which = which,
					   .current = ver_live_kv(k->before) };
	}
	op->done(&r, op->ctx);
}

/* Delivers until nothing is left to do, unless somebody already is. Lock held; so on return. */
static void mem_deliver(struct mem *m)
{
	if (m->delivering)
		return;
	m->delivering = true;
	m->deliverer = pthread_self();
	for (;;) {
		struct store_watch *w;

		if (m->expire) {
			int64_t compact_rev = m->compact_rev;

			m->expire = false;
			pthread_mutex_unlock(&m->mu);
			watchers_expire(&m->watchers, compact_rev);
			pthread_mutex_lock(&m->mu);
		} else if ((w = watchers_take_lagging(&m->watchers))) {
			pthread_mutex_unlock(&m->mu);
			mem_catch_up(m, w);
			pthread_mutex_lock(&m->mu);
		} else if (!list_empty(&m->queue)) {
			struct mem_op *op = LIST_ENTRY(m->queue.next, struct mem_op, link);

			list_del(&op->link);
			pthread_mutex_unlock(&m->mu);
			mem_run(m, op);
			mem_op_free(m, op);
			pthread_mutex_lock(&m->mu);
		} else {
			break;
		}
	}
	m->delivering = false;
}

static void mem_key_init(struct mem_key *k, const struct store_write *w)
{
	size_t value_n = w->tombstone ? 0 : w->value.n;
	struct mem_ver *v = xmalloc(sizeof(*v) + w->key.n + value_n);

	*v = (struct mem_ver){ .refs = 1 };
	memcpy(v->data, w->key.p, w->key.n);
	if (value_n)
		memcpy(v->data + w->key.n, w->value.p, value_n);
	v->kv.key = sv_make(v->data, w->key.n);
	v->kv.value = sv_make(v->data + w->key.n, value_n);
	v->kv.deleted = w->tombstone;
	k->ver = v;
	k->cookie = w->cookie;
	k->expect_rev = w->expect_rev;
	k->guard = w->guard;
}

static void mem_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct mem *m = MEM(s);
	struct err why = ERR_INIT;
	size_t n = store_write_check(w, &why) < 0 ? 0 : w->n_also + 1;
	struct mem_op *op = xcalloc(1, sizeof(*op) + n * sizeof(op->keys[0]));

	op->done = done;
	op->ctx = ctx;
	op->why = why;
	op->n = n;
	for (size_t i = 0; i < n; i++)
		mem_key_init(&op->keys[i], i < w->n_also ? &w->also[i] : w);
	pthread_mutex_lock(&m->mu);
	list_add_tail(&m->queue, &op->link);
	mem_deliver(m);
	pthread_mutex_unlock(&m->mu);
}

static int mem_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		     void *ctx, struct store_watch **ret_watch, struct err *err)
{
	struct mem *m = MEM(s);

	pthread_mutex_lock(&m->mu);
	if (store_check_watch_rev(since, m->compact_rev, err) < 0) {
		pthread_mutex_unlock(&m->mu);
		return -1;
	}
	*ret_watch = watchers_add(&m->watchers, from, to, since, cb, ctx);
	mem_deliver(m);
	pthread_mutex_unlock(&m->mu);
	return 0;
}

static void mem_unwatch(struct store *s, struct store_watch *w)
{
	struct mem *m = MEM(s);

	pthread_mutex_lock(&m->mu);
	BUG_ON(m->delivering && pthread_equal(m->deliverer, pthread_self())); /* from a callback */
	pthread_mutex_unlock(&m->mu);
	watchers_remove(&m->watchers, w);
}

/* Each version up to rev supersedes the one before it; a tombstone that nothing replaced goes
 * itself, with its key. */
static int mem_compact(struct store *s, int64_t rev, struct err *err)
{
	struct mem *m = MEM(s);
	size_t n;

	pthread_mutex_lock(&m->mu);
	if (rev > m->rev || rev < 0) {
		int64_t now = m->rev;

		pthread_mutex_unlock(&m->mu);
		return err_set(err, ERR_BAD_REQUEST, "cannot compact at revision %" PRId64 ", the store is at %" PRId64,
			       rev, now);
	}
	if (rev > m->compact_rev) {
		n = (size_t)(rev - m->log_base + 1);
		for (size_t i = 0; i < n; i++) {
			struct mem_ver *v = m->log.p[i];

			ver_unref(TAKE(v->prev));
			if (v->kv.deleted && keyidx_get(&m->keys, v->kv.key) == v) {
				keyidx_del(&m->keys, v->kv.key);
				ver_unref(v);
			}
			ver_unref(v);
		}
		memmove(m->log.p, m->log.p + n, (m->log.n - n) * sizeof(m->log.p[0]));
		m->log.n -= n;
		m->log_base = rev + 1;
		m->compact_rev = rev;
		m->expire = true;
		mem_deliver(m);
	}
	pthread_mutex_unlock(&m->mu);
	return 0;
}

static bool mem_healthy(_unused_ struct store *s, _unused_ struct err *why)
{
	return true;
}

static void mem_stats(struct store *s, struct store_stats *ret)
{
	struct mem *m = MEM(s);

	pthread_mutex_lock(&m->mu);
	*ret = (struct store_stats){ .rev = m->rev, .compact_rev = m->compact_rev, .keys = m->live, .bytes = m->bytes };
	pthread_mutex_unlock(&m->mu);
}

static void mem_close(struct store *s)
{
	struct mem *m = MEM(s);
	_cleanup_(err_release) struct err why = ERR_INIT;

	BUG_ON(m->delivering);
	err_set(&why, ERR_UNAVAILABLE, "the store is closing");
	watchers_end(&m->watchers, &why);
	watchers_release(&m->watchers);
	for (size_t i = 0; i < m->log.n; i++)
		ver_unref(m->log.p[i]);
	for (struct keyidx_node *n = keyidx_seek(&m->keys, SV_NULL); n; n = n->next[0])
		ver_unref(n->value);
	keyidx_release(&m->keys);
	vec_release(&m->log);
	pthread_mutex_destroy(&m->mu);
	free(m);
}

static const struct store_ops mem_ops = {
	.name = "mem",
	.range = mem_range,
	.commit = mem_commit,
	.watch = mem_watch,
	.unwatch = mem_unwatch,
	.changes = mem_changes,
	.compact = mem_compact,
	.healthy = mem_healthy,
	.stats = mem_stats,
	.close = mem_close,
};

struct store *store_mem_new(struct env *env)
{
	struct mem *m = xcalloc(1, sizeof(*m));

	m->store.ops = &mem_ops;
	m->store.env = env;
	pthread_mutex_init(&m->mu, NULL);
	watchers_init(&m->watchers);
	list_init(&m->queue);
	m->rev = STORE_FIRST_REV;
	m->log_base = STORE_FIRST_REV + 1;
	return &m->store;
}
