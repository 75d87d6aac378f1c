/* History is kept for an interval: then one of the servers forgets what is older, as upstream's do.
 *
 * Each interval each server tries to move one record on, `compact_rev_key`: the value is the revision that was the
 * newest then, the version of the key the time by which they agree. Whoever moves it compacts at the revision that was
 * the newest when this round began for it; the others learn the new time and try again an interval later. An upstream
 * server on the same cluster takes part in that.
 *
 * Source: k8s.io/apiserver pkg/storage/etcd3/compact.go, by what it stores. */
#include "store/etcd/etcd-internal.h"

#include "base/log.h"

#include <stdlib.h>

#define RECORD SV("compact_rev_key")

struct compactor {
	struct es *es;
	int64_t interval_ns;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	struct env_timer *timer;
	bool armed, stopping;
	int64_t version, rev; /* the record's as last seen; what is to be forgotten next */
};

int es_compact(struct store *s, int64_t rev, struct err *err)
{
	_cleanup_(buf_release) struct buf answer = BUF_INIT, request = BUF_INIT;
	struct es *es = ES(s);
	struct err why = ERR_INIT;
	int rc;

	if (rev < 0)
		return err_set(err, ERR_BAD_REQUEST, "cannot compact at revision %" PRId64, rev);
	if (rev == 0)
		return 0;
	etcd_compact_write(&request, rev);
	rc = es_ask(es, "/etcdserverpb.KV/Compact", &request, ES_READ_NS, &answer, &why);
	if (rc < 0 && why.reason == ERR_EXPIRED) { /* long done */
		err_release(&why);
		rc = 0;
	} else if (rc < 0) {
		return err_move(err, &why);
	}
	pthread_mutex_lock(&es->mu);
	if (rev > es->compact_rev) {
		es->compact_rev = rev;
		es->expire = true;
		es_wake(es);
	}
	pthread_mutex_unlock(&es->mu);
	return rc;
}

static void compactor_tick(void *ctx);

static void compactor_arm(struct compactor *c)
{
	c->armed = true;
	c->timer = env_after(c->es->store.env, ENV_SLOW, c->interval_ns, compactor_tick, c);
}

/* One round: what is kept of the last one, and the next. */
static int compactor_round(struct compactor *c, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;
	char text[U64_TEXT_MAX];
	struct etcd_txn_said said;
	int64_t rev = c->rev;
	struct sv value;

	etcd_txn_record_write(&request, RECORD, c->version, u64_text((uint64_t)rev, text));
	if (es_ask(c->es, "/etcdserverpb.KV/Txn", &request, ES_READ_NS, &answer, err) < 0)
		return -1;
	if (!etcd_txn_read(buf_sv(&answer), &said))
		return err_set(err, ERR_INTERNAL, "etcd: the answer to a transaction cannot be read");
	c->rev = said.rev; /* of now: to be forgotten in a round */
	if (!said.applied) {
		c->version = etcd_txn_record_read(&said, &value);
		return 0;
	}
	c->version++;
	return rev > 0 ? es_compact(&c->es->store, rev, err) : 0;
}

static void compactor_tick(void *ctx)
{
	struct compactor *c = ctx;
	struct err err = ERR_INIT;

	if (compactor_round(c, &err) < 0)
		log_warn("etcd", "history is not forgotten, until the next time", "error", "%s", err_msg(&err));
	err_release(&err);
	pthread_mutex_lock(&c->mu);
	c->timer = env_timer_cancel(c->es->store.env, c->timer);
	c->armed = false;
	if (!c->stopping)
		compactor_arm(c);
	pthread_cond_broadcast(&c->cond);
	pthread_mutex_unlock(&c->mu);
}

struct compactor *compactor_start(struct es *es, int64_t interval_ns)
{
	struct compactor *c = xcalloc(1, sizeof(*c));

	c->es = es;
	c->interval_ns = interval_ns;
	pthread_mutex_init(&c->mu, NULL);
	pthread_cond_init(&c->cond, NULL);
	pthread_mutex_lock(&c->mu);
	compactor_arm(c);
	pthread_mutex_unlock(&c->mu);
	return c;
}

struct compactor *compactor_stop(struct compactor *c)
{
	if (!c)
		return NULL;
	pthread_mutex_lock(&c->mu);
	c->stopping = true;
	if (c->timer && env_timer_stop(c->es->store.env, c->timer))
		c->armed = false;
	c->timer = NULL;
	while (c->armed)
		pthread_cond_wait(&c->cond, &c->mu);
	pthread_mutex_unlock(&c->mu);
	pthread_cond_destroy(&c->cond);
	pthread_mutex_destroy(&c->mu);
	free(c);
	return NULL;
}
