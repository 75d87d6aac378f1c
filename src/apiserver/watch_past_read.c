/* The store's log, read for watches that start in the past: by a few tasks in turn, a portion for each watch, and not
 * on the store's thread, which has writes to do. A thousand watches from yesterday cost others no more than these
 * tasks.
 *
 * What memory does not hold may be of a namespace that was deleted, and whoever has its name now is somebody else, with
 * other rights: of a watch within a namespace that is younger than the watch's revision nothing is read. Upstream's
 * memory tells it, and so does ours; its log is not asked.
 *
 * Lifetimes: a read is its watch's until that closes it, and the queue's while it is in it or at hand: who comes last
 * frees it. The set is the cache's and its tasks'. */
#include "apiserver/watch_past.h"

#include "apiserver/storekey.h"
#include "base/log.h"
#include "base/quarantine.h"

#include <stdlib.h>

#define TASKS_MAX 2	    /* of ENV_REQUESTS */
#define LOOK_REVISIONS 1000 /* of any keys, before another watch has its turn */
/* What is read and not written out, of all and of one user: beyond it only who holds nothing gets a portion. From half
 * of it on portions are small. */
#define WAITING_BYTES ((size_t)32 * 1024 * 1024)
#define OWNER_BYTES (WAITING_BYTES / 4)
#define AHEAD_BYTES (WAITING_BYTES / 4)
#define SMALL_BYTES ((size_t)32 * 1024)

struct past_read {
	struct list link; /* in the queue, or among those of its user that are held up */
	struct wc_pasts *of;
	struct wc_owner *owner; /* for as long as past is there */
	struct wc_past *past;	/* guarded by of->mu; NULL: closed */
	char *from, *to;	/* keys */
	size_t from_n, to_n;
	bool queued, busy; /* guarded by of->mu; */
	size_t waiting;	   /* bytes of it that are not written out; too */
	int64_t until;	   /* guarded as well: the store's newest when it was asked for */
	char *ns_key;	   /* of its namespace, until that was looked at; NULL: it has none */
	int64_t ns_since;  /* which is no younger than this */
	/* Whose it is at hand. */
	int64_t since;
	struct past_portion got;
	size_t most;
	bool lost, former;
};

struct wc_pasts {
	struct env *env;
	struct store *store;
	pthread_mutex_t mu; /* before any watch's */
	pthread_cond_t cond;
	/* Guarded by it. */
	unsigned refs;
	struct list queue;
	struct list held; /* users below their own bound, of whom some are held up by all's */
	int tasks, busy;
	bool stopped;
	size_t waiting;
	char *damage_told;
	uint64_t opened, revisions;
};

struct wc_pasts *wc_pasts_new(struct apiserver *s)
{
	struct wc_pasts *of = xcalloc(1, sizeof(*of));

	of->env = s->env;
	of->store = s->store;
	of->refs = 1;
	pthread_mutex_init(&of->mu, NULL);
	pthread_cond_init(&of->cond, NULL);
	list_init(&of->queue);
	list_init(&of->held);
	return of;
}

/* Lock held; given up. */
static void pasts_unref(struct wc_pasts *of)
{
	bool last = --of->refs == 0;

	pthread_mutex_unlock(&of->mu);
	if (!last)
		return;
	pthread_mutex_destroy(&of->mu);
	pthread_cond_destroy(&of->cond);
	free(of->damage_told);
	free(of);
}

void wc_pasts_stop(struct wc_pasts *of)
{
	pthread_mutex_lock(&of->mu);
	of->stopped = true;
	while (of->busy)
		pthread_cond_wait(&of->cond, &of->mu);
	pthread_mutex_unlock(&of->mu);
}

void wc_pasts_free(struct wc_pasts *of)
{
	pthread_mutex_lock(&of->mu);
	pasts_unref(of);
}

void wc_past_count(struct watchcache *c)
{
	pthread_mutex_lock(&c->s->pasts->mu);
	c->s->pasts->opened++;
	pthread_mutex_unlock(&c->s->pasts->mu);
}

void wc_past_metrics(struct watchcache *c, struct buf *b)
{
	struct wc_pasts *of = c->s->pasts;

	pthread_mutex_lock(&of->mu);
	buf_printf(
	    b,
	    "# HELP caravel_watches_from_log_total Watches that began before what memory holds, and were told by "
	    "the store's log first.\n# TYPE caravel_watches_from_log_total counter\n"
	    "caravel_watches_from_log_total %" PRIu64 "\n"
	    "# HELP caravel_watch_log_revisions_total Revisions that were read for them.\n"
	    "# TYPE caravel_watch_log_revisions_total counter\ncaravel_watch_log_revisions_total %" PRIu64 "\n"
	    "# HELP caravel_watch_log_bytes Bytes of what was read for them and is not written out to their clients "
	    "yet.\n"
	    "# TYPE caravel_watch_log_bytes gauge\ncaravel_watch_log_bytes %zu\n",
	    of->opened, of->revisions, of->waiting);
	pthread_mutex_unlock(&of->mu);
}

/* --- a portion --- */

void past_drop(struct past_portion *p)
{
	for (size_t i = 0; i < p->changes.n; i++) {
		free(p->changes.p[i].value);
		free(p->changes.p[i].prev);
	}
	vec_clear(&p->changes);
	p->bytes = 0;
}

/* Copies the change. False: of what cannot be opened nobody may say that it is gone, nor what it was. */
static bool past_take(struct past_portion *p, const struct store_change *ch)
{
	struct past_change c = { .rev = ch->kv.mod_rev };

	if (quarantine_has(ch->kv.key)) /* as if it were not there */
		return true;
	if (ch->kv.why || (ch->prev && ch->prev->why))
		return false;
	if (!ch->kv.deleted) {
		c.value = xmemdup(ch->kv.value.p, ch->kv.value.n);
		c.value_n = ch->kv.value.n;
	}
	if (ch->prev) {
		c.prev = xmemdup(ch->prev->value.p, ch->prev->value.n);
		c.prev_n = ch->prev->value.n;
		c.prev_rev = ch->prev->mod_rev;
	}
	vec_push(&p->changes, c);
	p->bytes += c.value_n + c.prev_n;
	return true;
}

static int read_change(const struct store_change *ch, void *ctx)
{
	struct past_read *r = ctx;

	if (!past_take(&r->got, ch)) {
		r->lost = true;
		return 1;
	}
	return !ch->more && (r->got.changes.n >= PORTION_CHANGES || r->got.bytes >= r->most);
}

/* Nobody else would say that the disk is damaged, and the next start refuses it. Each time for another place of it.
 * Lock held. */
static void pasts_tell_damage(struct wc_pasts *of, const struct err *why)
{
	if (why->reason != ERR_STORE_READ || (of->damage_told && strcmp(of->damage_told, err_msg(why)) == 0))
		return;
	free(of->damage_told);
	of->damage_told = xstrdup(err_msg(why));
	log_error("store", "what is stored is damaged", "why", "%s", of->damage_told);
}

static void read_free(struct past_read *r)
{
	past_drop(&r->got);
	vec_release(&r->got.changes);
	free(r->from);
	free(r->to);
	free(r->ns_key);
	free(r);
}

/* Its reader's turn: what was read, or that it is lost. Lock held. */
static void read_hand_over(struct past_read *r)
{
	struct wc_past *p = r->past;

	r->waiting += r->got.bytes;
	r->owner->past_bytes += r->got.bytes;
	r->of->waiting += r->got.bytes;
	pthread_mutex_lock(&p->watch->lock);
	vec_release(&p->got.changes);
	p->got = r->got;
	p->upto = r->since;
	p->lost = r->lost;
	p->former = r->former;
	p->complete = true;
	wc_watch_wake(p->watch);
	pthread_mutex_unlock(&p->watch->lock);
	r->got = (struct past_portion){ 0 };
}

static void pasts_queue(struct wc_pasts *of, struct past_read *r);
static void pasts_start(struct wc_pasts *of);

static int ns_born(const struct store_kv *kv, void *ctx)
{
	*(int64_t *)ctx = kv->create_rev;
	return 1;
}

/* Where its namespace is younger than the watch: it is lost. One that is gone has nobody's rights in it. */
static int read_namespace(struct past_read *r, struct err *err)
{
	int64_t born = 0;

	if (!r->ns_key)
		return 0;
	if (store_range(r->of->store, sv_from(r->ns_key), SV(""), 0, 1, ns_born, &born, NULL, err) < 0)
		return -1;
	r->former = r->lost = born > r->ns_since;
	free(TAKE(r->ns_key));
	return 0;
}

/* A portion, or that it is lost. False: there is nobody to ask at the moment. Of no lock. */
static bool read_portion(struct past_read *r, int64_t *upto, struct err *why)
{
	int rc = read_namespace(r, why);

	if (rc == 0 && !r->lost)
		rc = store_changes(r->of->store, sv_make(r->from, r->from_n), sv_make(r->to, r->to_n), r->since,
				   LOOK_REVISIONS, read_change, r, upto, why);
	if (rc < 0 && (why->reason == ERR_UNAVAILABLE || why->reason == ERR_TIMEOUT))
		return false;
	r->lost = r->lost || rc < 0;
	return true;
}

/* One portion of r; lock held, given up meanwhile. */
static void pasts_read(struct wc_pasts *of, struct past_read *r)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t upto = r->since;
	bool there;

	r->busy = true;
	of->busy++;
	r->most = of->waiting < WAITING_BYTES / 2 ? PORTION_BYTES : SMALL_BYTES;
	pthread_mutex_unlock(&of->mu);
	there = read_portion(r, &upto, &why);
	pthread_mutex_lock(&of->mu);
	of->revisions += (uint64_t)(upto - r->since);
	r->since = upto;
	r->busy = false;
	if (--of->busy == 0)
		pthread_cond_broadcast(&of->cond);
	pasts_tell_damage(of, &why);
	if (!r->past)
		read_free(r);
	else if (!there || (!r->lost && !r->got.changes.n && upto < r->until))
		pasts_queue(of, r); /* nothing of its own so far: others first */
	else
		read_hand_over(r);
}

/* --- whose turn it is; the lock is held --- */

/* Who holds nothing gets a portion whatever others hold, so nobody is kept waiting by them. */
static bool owner_has_room(const struct wc_pasts *of, const struct wc_owner *o)
{
	return !o->past_bytes || (of->waiting < WAITING_BYTES && o->past_bytes < OWNER_BYTES);
}

/* Held up: by its own bytes, and comes back when some of them are taken, or by those of all. */
static void owner_hold(struct wc_pasts *of, struct wc_owner *o)
{
	if (!list_empty(&o->past_held) && o->past_bytes < OWNER_BYTES && list_empty(&o->past_link))
		list_add_tail(&of->held, &o->past_link);
}

/* One of its reads goes back to the queue. */
static void owner_let(struct wc_pasts *of, struct wc_owner *o)
{
	struct list *first = o->past_held.next;

	list_del(&o->past_link);
	if (list_empty(&o->past_held))
		return;
	list_del(first);
	list_add_tail(&of->queue, first);
	owner_hold(of, o);
}

/* The next whose user has room; NULL: none. */
static struct past_read *pasts_next(struct wc_pasts *of)
{
	while (!list_empty(&of->queue)) {
		struct past_read *r = LIST_ENTRY(of->queue.next, struct past_read, link);

		list_del(&r->link);
		if (owner_has_room(of, r->owner))
			return r;
		list_add_tail(&r->owner->past_held, &r->link);
		owner_hold(of, r->owner);
	}
	return NULL;
}

/* There may be room again. */
static void pasts_let(struct wc_pasts *of)
{
	if (list_empty(&of->queue) && !list_empty(&of->held) && of->waiting < WAITING_BYTES)
		owner_let(of, LIST_ENTRY(of->held.next, struct wc_owner, past_link));
}

/* So much was taken, or nobody wants it any more. */
static void pasts_less(struct past_read *r, size_t bytes)
{
	struct wc_pasts *of = r->of;
	struct wc_owner *o = r->owner;

	bytes = MIN(bytes, r->waiting);
	r->waiting -= bytes;
	o->past_bytes -= bytes;
	of->waiting -= bytes;
	if (owner_has_room(of, o))
		owner_let(of, o);
	else
		owner_hold(of, o);
	pasts_let(of);
	pasts_start(of);
}

/* A task; one portion, then others of its class. */
static void pasts_run(void *ctx)
{
	struct wc_pasts *of = ctx;
	struct past_read *r;

	pthread_mutex_lock(&of->mu);
	r = of->stopped ? NULL : pasts_next(of);
	if (r) {
		r->queued = false;
		pasts_read(of, r);
	}
	pasts_let(of);
	if (!of->stopped && !list_empty(&of->queue)) {
		env_post_next(of->env, ENV_REQUESTS, pasts_run, of);
		pthread_mutex_unlock(&of->mu);
		return;
	}
	of->tasks--;
	pasts_unref(of);
}

/* Lock held. */
static void pasts_start(struct wc_pasts *of)
{
	if (of->tasks >= TASKS_MAX || of->stopped || list_empty(&of->queue))
		return;
	of->tasks++;
	of->refs++;
	env_post(of->env, ENV_REQUESTS, pasts_run, of);
}

/* Lock held. */
static void pasts_queue(struct wc_pasts *of, struct past_read *r)
{
	list_add_tail(&of->queue, &r->link);
	r->queued = true;
	pasts_start(of);
}

/* --- for the reader --- */

struct past_read *past_read_new(struct wc_past *p)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct past_read *r = xcalloc(1, sizeof(*r));
	struct sv from = storekey_first(&a, p->watch->in->res, p->watch->ns), to = storekey_behind(&a, from);

	r->of = p->watch->in->cache->s->pasts;
	r->past = p;
	r->owner = p->watch->owner;
	r->from = xmemdup(from.p, from.n);
	r->from_n = from.n;
	r->to = xmemdup(to.p, to.n);
	r->to_n = to.n;
	if (p->watch->ns.n) {
		struct sv ns = storekey(&a, RES(core_namespaces), SV(""), p->watch->ns);

		r->ns_key = xstrndup(ns.p, ns.n);
		r->ns_since = p->watch->since;
	}
	list_init(&r->link);
	return r;
}

void past_read_ask(struct past_read *r, int64_t since)
{
	struct store_stats st;

	store_stats(r->of->store, &st);
	pthread_mutex_lock(&r->of->mu);
	r->since = since;
	r->until = st.rev;
	r->lost = false;
	pasts_queue(r->of, r);
	pthread_mutex_unlock(&r->of->mu);
}

void past_read_taken(struct past_read *r, size_t bytes)
{
	pthread_mutex_lock(&r->of->mu);
	pasts_less(r, bytes);
	pthread_mutex_unlock(&r->of->mu);
}

bool past_read_ahead(struct past_read *r)
{
	bool ahead;

	pthread_mutex_lock(&r->of->mu);
	ahead = r->of->waiting < AHEAD_BYTES;
	pthread_mutex_unlock(&r->of->mu);
	return ahead;
}

void past_read_close(struct past_read *r)
{
	struct wc_pasts *of;
	bool busy;

	if (!r)
		return;
	of = r->of;
	pthread_mutex_lock(&of->mu);
	r->past = NULL;
	if (r->queued)
		list_del(&r->link);
	r->queued = false;
	if (list_empty(&r->owner->past_held))
		list_del(&r->owner->past_link);
	pasts_less(r, r->waiting);
	r->owner = NULL; /* it may go with its last watch */
	busy = r->busy;	 /* then who is at it frees it */
	pthread_mutex_unlock(&of->mu);
	if (!busy)
		read_free(r);
}
