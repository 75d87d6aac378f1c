/* Writes: each is one transaction, many under way at once. Those of one key go one behind the other, in the order they
 * were queued: so who queues two for a key knows which counts.
 *
 * One of several keys stands in the line of each that it writes (not of those it only looks at, which may be a
 * namespace that a thousand look at); it goes when it is first in all. As all of a write's places are taken at once,
 * lines cannot wait for each other in a circle. */
#include "store/etcd/etcd-internal.h"
#include "store/store-internal.h"

#include <stdlib.h>

struct keyq {
	struct list line; /* struct ecommit_key */
};

void ecommit_unref(struct ecommit *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	buf_release(&c->req.request);
	buf_release(&c->text);
	err_release(&c->err);
	free(c);
}

/* --- answers --- */

static void ecommit_go(struct ecommit *c);

static void ecommit_leave_lines(struct ecommit *c)
{
	struct es *es = c->es;

	for (size_t i = 0; i < c->n; i++) {
		struct keyq *q = strmap_get(&es->by_key, c->keys[i].key);
		bool first;

		if (c->keys[i].guard)
			continue;
		first = q->line.next == &c->keys[i].link;
		list_del(&c->keys[i].link);
		if (list_empty(&q->line)) {
			free(strmap_del(&es->by_key, c->keys[i].key));
		} else if (first) {
			struct ecommit *next = LIST_ENTRY(q->line.next, struct ecommit_key, link)->of;

			if (next != c && --next->behind == 0)
				ecommit_go(next);
		}
	}
}

/* To the delivery. */
static void ecommit_answered(struct ecommit *c)
{
	struct es *es = c->es;

	ecommit_leave_lines(c);
	pthread_mutex_lock(&es->mu);
	atomic_store(&c->settled, true);
	list_del(&c->link);
	list_add_tail(&es->answered, &c->link);
	es_wake(es);
	pthread_mutex_unlock(&es->mu);
}

struct looking {
	struct ecommit *c;
	bool found;
};

/* The first key that is not as expected is the one. */
static int ecommit_look(size_t i, const struct etcd_kv *kv, void *ctx)
{
	struct looking *l = ctx;
	const struct ecommit_key *k = &l->c->keys[i];
	int64_t cur = kv ? kv->mod_rev : 0;

	if (i >= l->c->n)
		return 1;
	if (!k->guard && store_write_applies(k->expect_rev, k->tombstone, cur))
		return 0;
	if (i && store_write_is_idle(k->expect_rev, k->tombstone, k->guard, cur))
		return 0;
	l->found = true;
	l->c->which = i;
	l->c->has_current = kv != NULL;
	if (kv)
		l->c->current = *kv;
	return 1;
}

/* Its answer was lost once, and now the key is as it would have left it. Of a create (whose value has a name of its
 * own, a uid) and of a deletion that settles it. An update somebody else may have made with the same words, and only
 * one of the two has won: nobody knows who. */
static bool ecommit_was_made(const struct ecommit *c)
{
	const struct ecommit_key *own = &c->keys[0];

	if (!c->req.ambiguous || c->which)
		return false;
	if (own->tombstone)
		return own->expect_rev > 0 && !c->has_current;
	return own->expect_rev == 0 && c->has_current && sv_eq(c->current.value, own->value);
}

static bool ecommit_is_doubtful(const struct ecommit *c)
{
	const struct ecommit_key *own = &c->keys[0];

	return c->req.ambiguous && c->which == 0 && !own->tombstone && c->has_current &&
	       sv_eq(c->current.value, own->value);
}

static void ecommit_judge(struct ecommit *c)
{
	struct looking l = { .c = c };
	struct etcd_txn_said said;

	if (!etcd_txn_read(buf_sv(&c->text), &said)) {
		err_set(&c->err, ERR_INTERNAL, "etcd: the answer to a transaction cannot be read");
		return;
	}
	c->rev = said.rev;
	c->outcome = STORE_OK;
	if (said.applied)
		return;
	(void)etcd_txn_each_found(&said, ecommit_look, &l);
	if (!l.found) {
		c->outcome = STORE_FAILED;
		err_set(&c->err, ERR_INTERNAL, "etcd: a transaction was refused that nothing speaks against");
	} else if (ecommit_was_made(c)) {
		c->rev = c->has_current ? c->current.mod_rev : said.rev;
	} else if (ecommit_is_doubtful(c)) {
		c->outcome = STORE_FAILED;
		err_set(&c->err, ERR_UNAVAILABLE,
			"etcd: the answer was lost, and whether this was written is not known");
	} else {
		c->outcome = STORE_MISMATCH;
	}
}

/* The lease that it was given is gone; once, as another one may be had. */
static bool ecommit_lost_lease(const struct ecommit *c, const struct grpc_end *e)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (!c->lease || c->leased_anew)
		return false;
	(void)etcd_fault(e, &why);
	return why.reason == ERR_NOT_FOUND;
}

static void ecommit_done(struct link_req *r, const struct grpc_end *e, struct sv answer)
{
	struct ecommit *c = CONTAINER_OF(r, struct ecommit, req);

	if (e->code == GRPC_OK) {
		buf_addsv(&c->text, answer);
		ecommit_judge(c);
	} else if (ecommit_lost_lease(c, e)) {
		c->leased_anew = true;
		ttl_forget(c->es, c->lease);
		ttl_lease(c->es, &c->ttl);
		return;
	} else {
		etcd_fault(e, &c->err);
		if (r->ambiguous && c->err.reason == ERR_UNAVAILABLE && !c->err.errnum)
			err_wrap(&c->err, "whether it was written is not known");
	}
	ecommit_answered(c);
}

/* --- on their way --- */

static void ecommit_doubt(struct link_req *r)
{
	struct ecommit *c = CONTAINER_OF(r, struct ecommit, req);

	pthread_mutex_lock(&c->es->mu);
	atomic_store(&c->settled, true);
	es_wake(c->es);
	pthread_mutex_unlock(&c->es->mu);
}

static void ecommit_send(struct ecommit *c)
{
	c->req.method = "/etcdserverpb.KV/Txn";
	c->req.done = ecommit_done;
	c->req.doubt = ecommit_doubt;
	link_request(c->es->link, &c->req);
}

static struct store_write ecommit_key_write(const struct ecommit_key *k)
{
	return (struct store_write){ .key = k->key,
				     .value = k->value,
				     .expect_rev = k->expect_rev,
				     .tombstone = k->tombstone,
				     .guard = k->guard };
}

/* What is to be said is known with the lease. */
static void ecommit_leased(struct ttl_wait *t, int64_t lease, const struct grpc_end *e)
{
	struct ecommit *c = CONTAINER_OF(t, struct ecommit, ttl);
	struct store_write w = ecommit_key_write(&c->keys[0]), *also;

	if (!lease) {
		etcd_fault(e, &c->err);
		ecommit_answered(c);
		return;
	}
	also = c->n > 1 ? xcalloc(c->n - 1, sizeof(*also)) : NULL;
	for (size_t i = 1; i < c->n; i++)
		also[i - 1] = ecommit_key_write(&c->keys[i]);
	w.lease = c->lease = lease;
	w.also = also;
	w.n_also = c->n - 1;
	buf_clear(&c->req.request);
	etcd_txn_write(&c->req.request, &w);
	free(also);
	ecommit_send(c);
}

static void ecommit_ask_lease(struct ecommit *c)
{
	c->ttl.until_ns = c->req.until_ns;
	c->ttl.done = ecommit_leased;
	ttl_lease(c->es, &c->ttl);
}

static void ecommit_go(struct ecommit *c)
{
	if (c->ttl.ttl_s)
		ecommit_ask_lease(c);
	else
		ecommit_send(c);
}

static void ecommit_line_up(struct ecommit *c)
{
	struct es *es = c->es;
	bool twice = false;

	for (size_t i = 0; i < c->n; i++) {
		void **slot;
		struct keyq *q;

		if (c->keys[i].guard)
			continue;
		slot = strmap_slot(&es->by_key, c->keys[i].key);
		q = *slot;
		if (!q) {
			*slot = q = xmalloc(sizeof(*q));
			list_init(&q->line);
		}
		c->behind += !list_empty(&q->line);
		twice = twice || (!list_empty(&q->line) && LIST_ENTRY(q->line.prev, struct ecommit_key, link)->of == c);
		list_add_tail(&q->line, &c->keys[i].link);
	}
	if (twice) { /* etcd would refuse it, too */
		err_set(&c->err, ERR_BAD_REQUEST, "a key is written twice in one write");
		ecommit_answered(c);
	} else if (!c->behind) {
		ecommit_go(c);
	}
}

/* Loop. */
static void commits_come(void *ctx)
{
	struct es *es = ctx;

	for (;;) {
		struct ecommit *c;

		pthread_mutex_lock(&es->mu);
		c = list_empty(&es->incoming) ? NULL : LIST_ENTRY(es->incoming.next, struct ecommit, link);
		if (c)
			list_del(&c->link);
		pthread_mutex_unlock(&es->mu);
		if (!c)
			return;
		c->req.until_ns = es_in(es, es->gone ? ES_CLOSE_NS : ES_WRITE_NS);
		ecommit_line_up(c);
	}
}

static int ecommit_check(const struct store_write *w, struct err *err)
{
	struct store_write plain = *w;

	plain.lease = 0; /* etcd has them */
	if (store_write_check(&plain, err) < 0)
		return -1;
	if (w->lease && w->ttl_s)
		return err_set(err, ERR_BAD_REQUEST, "'%.*s' goes with a lease or after its time, not by both",
			       SV_ARG(w->key));
	return 0;
}

static char *ecommit_key_init(struct ecommit_key *k, struct ecommit *c, const struct store_write *w, char *at)
{
	size_t n = w->tombstone || w->guard ? 0 : w->value.n;

	memcpy(at, w->key.p, w->key.n);
	if (n)
		memcpy(at + w->key.n, w->value.p, n);
	*k = (struct ecommit_key){ .of = c,
				   .key = sv_make(at, w->key.n),
				   .value = sv_make(at + w->key.n, n),
				   .expect_rev = w->expect_rev,
				   .tombstone = w->tombstone,
				   .guard = w->guard,
				   .cookie = w->cookie };
	list_init(&k->link);
	return at + w->key.n + n;
}

static size_t ecommit_bytes(const struct store_write *w)
{
	size_t bytes = w->key.n + w->value.n;

	for (size_t i = 0; i < w->n_also; i++)
		bytes += w->also[i].key.n + w->also[i].value.n;
	return bytes;
}

void es_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct es *es = ES(s);
	struct err why = ERR_INIT;
	size_t n = ecommit_check(w, &why) < 0 ? 0 : w->n_also + 1;
	struct ecommit *c = xcalloc(1, sizeof(*c) + n * sizeof(c->keys[0]) + (n ? ecommit_bytes(w) : 0));
	char *at = (char *)&c->keys[n];
	bool first;

	c->es = es;
	c->done = done;
	c->ctx = ctx;
	c->outcome = STORE_FAILED;
	c->err = why;
	c->n = n;
	atomic_init(&c->refs, 1);
	for (size_t i = 0; i < n; i++)
		at = ecommit_key_init(&c->keys[i], c, i ? &w->also[i - 1] : w, at);
	c->ttl.ttl_s = n && !w->tombstone ? w->ttl_s : 0;
	if (n && !c->ttl.ttl_s)
		etcd_txn_write(&c->req.request, w);
	pthread_mutex_lock(&es->mu);
	es->n_commits++;
	first = list_empty(&es->incoming);
	if (n) {
		list_add_tail(&es->incoming, &c->link);
	} else {
		list_add_tail(&es->answered, &c->link);
		es_wake(es);
	}
	pthread_mutex_unlock(&es->mu);
	if (n && first)
		ev_loop_post(es->loop, commits_come, es);
}

void es_hurry_commits(struct es *es)
{
	int64_t until = es_in(es, ES_CLOSE_NS);

	es->gone = true;
	ttl_hurry(es, until);
	STRMAP_EACH(&es->by_key, e) {
		struct keyq *q = e->value;

		LIST_EACH(&q->line, it) {
			struct link_req *r = &LIST_ENTRY(it, struct ecommit_key, link)->of->req;

			r->until_ns = MIN(r->until_ns, until);
		}
	}
}

/* --- for the delivery --- */

static bool ecommit_key_is(const struct ecommit_key *k, const struct etcd_event *ev)
{
	return !k->guard && k->tombstone == !ev->kv.create_rev && sv_eq(k->key, ev->kv.key) &&
	       sv_eq(k->value, ev->kv.value);
}

struct ecommit *ecommit_of(struct es *es, const struct etcd_event *ev)
{
	struct keyq *q = strmap_get(&es->by_key, ev->kv.key);
	const struct ecommit_key *k = q ? LIST_ENTRY(q->line.next, struct ecommit_key, link) : NULL;

	if (!k || !ecommit_key_is(k, ev))
		return NULL;
	atomic_fetch_add(&k->of->refs, 1);
	return k->of;
}

/* Changes come in the order in which they were written, so each is found where the one before was. */
void *ecommit_cookie(struct ecommit *c, const struct etcd_event *ev)
{
	for (size_t i = 0; i < c->n; i++) {
		c->cookie_at = (c->cookie_at + 1) % c->n;
		if (ecommit_key_is(&c->keys[c->cookie_at], ev))
			return c->keys[c->cookie_at].cookie;
	}
	return NULL;
}

void ecommit_run(struct ecommit *c)
{
	struct es *es = c->es;
	struct store_kv current = { .key = c->current.key,
				    .value = c->current.value,
				    .create_rev = c->current.create_rev,
				    .mod_rev = c->current.mod_rev };
	struct store_result r = { .outcome = c->outcome, .rev = c->outcome == STORE_OK ? c->rev : 0 };

	if (c->outcome == STORE_MISMATCH) {
		r.which = c->which;
		r.current = c->has_current ? &current : NULL;
	}
	if (c->outcome == STORE_FAILED)
		r.err = &c->err;
	c->done(&r, c->ctx);
	ecommit_unref(c);
	pthread_mutex_lock(&es->mu);
	if (--es->n_commits == 0)
		es_wake(es);
	pthread_mutex_unlock(&es->mu);
}
