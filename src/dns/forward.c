/* A flight asks one server after the other, each a little later than the one before, and goes on listening to all of
 * them: a slow server costs its clients TRY_NS, not an answer. What a server did is remembered with the server
 * (failures in a row, until when it is set aside), which all flights and all configurations share. */
#include "dns/forward.h"

#include "base/list.h"

#include <stdlib.h>

#define TRY_NS (500 * NS_PER_MS)   /* then the next server is asked, too; doubling with each */
#define FLIGHT_NS (5 * NS_PER_SEC) /* then nobody knows */
#define PROBE_NS (2 * NS_PER_SEC)
#define STALE_AFTER_NS (1800 * NS_PER_MS) /* RFC 8767, 5 */
#define TRIES_MAX 5
#define JUNK_MAX 16			  /* wrong answers to one try: somebody guesses; then by TCP */
#define FAILED_AFTER_NS (400 * NS_PER_MS) /* who has not answered by then, when another one has, failed */
#define ASIDE_AFTER 2			  /* failures in a row */
#define ASIDE_MIN_NS NS_PER_SEC
#define ASIDE_MAX_NS (30 * NS_PER_SEC)
#define SERVERS_MAX 512
#define PEER_SLOTS 1024

struct fwd_server {
	struct dns_upstream at;
	unsigned failures;
	int64_t aside_until_ns, aside_ns; /* aside_ns 0: it is not set aside */
	bool no_edns, probed;		  /* probed: one of the flights is to learn whether it is back */
};

struct dns_try {
	struct dns_flight *flight;
	struct fwd_server *server;
	void *call; /* the transport's; NULL: over */
	int64_t sent_ns;
	uint16_t id;
	unsigned junk;
	bool tcp, edns;
};

struct dns_flight {
	struct list link; /* of all */
	struct dns_key key;
	struct list waiters;
	struct fwd_server *order[DNS_UPSTREAMS_MAX];
	size_t n_order, n_asked; /* n_asked: how often the next one was asked, in turn */
	struct dns_try tries[TRIES_MAX];
	size_t n_tries;
	int64_t began_ns, next_ns, end_ns; /* next: when the next server is asked */
	bool force_tcp, all_aside, probe;  /* probe: of one server, for nobody; not among `flights` */
	struct dns_msg *stale;		   /* what was known once */
	struct dns_msg *bad;		   /* what a server said that another may know better */
};

struct fwd_waiter {
	struct list link;
	dns_forward_done *done;
	void *ctx;
	uint16_t *slot;
};

struct dns_forwarder {
	struct dns_transport t;
	const struct dns_config *cfg;
	struct dns_cache *cache;
	struct strmap flights; /* key -> flight */
	struct list all;
	VEC(struct fwd_server *) servers;
	uint16_t peers[PEER_SLOTS]; /* who waits, by a hash of the address: collisions make the bound narrower */
	size_t n_waiters;
	int64_t wake_ns;
	struct dns_forward_stats stats;
};

static int64_t fwd_now(struct dns_forwarder *f)
{
	return f->t.now_ns(f->t.ctx);
}

/* --- servers --- */

static bool fwd_same(const struct dns_upstream *a, const struct dns_upstream *b)
{
	return a->port == b->port && ip_eq(a->addr, b->addr);
}

static bool fwd_is_used(const struct dns_config *cfg, const struct dns_upstream *u)
{
	for (size_t i = 0; i < cfg->forwards.n; i++)
		for (size_t k = 0; k < cfg->forwards.p[i]->n_to; k++)
			if (fwd_same(&cfg->forwards.p[i]->to[k], u))
				return true;
	return false;
}

/* Those that no configuration names any more go, when no flight has them. */
static void fwd_prune(struct dns_forwarder *f)
{
	if (!list_empty(&f->all))
		return;
	for (size_t i = 0; i < f->servers.n;) {
		if (fwd_is_used(f->cfg, &f->servers.p[i]->at)) {
			i++;
			continue;
		}
		free(f->servers.p[i]);
		vec_remove_swap(&f->servers, i);
	}
}

static struct fwd_server *fwd_server(struct dns_forwarder *f, const struct dns_upstream *u)
{
	struct fwd_server *s;

	for (size_t i = 0; i < f->servers.n; i++)
		if (fwd_same(&f->servers.p[i]->at, u))
			return f->servers.p[i];
	if (f->servers.n >= SERVERS_MAX)
		fwd_prune(f);
	if (f->servers.n >= SERVERS_MAX)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->at = *u;
	vec_push(&f->servers, s);
	return s;
}

static void fwd_server_failed(struct dns_forwarder *f, struct fwd_server *s)
{
	int64_t now = fwd_now(f);

	f->stats.failed++;
	if (++s->failures < ASIDE_AFTER || (s->aside_ns && s->aside_until_ns > now))
		return;
	s->aside_ns = s->aside_ns ? MIN(s->aside_ns * 2, ASIDE_MAX_NS) : ASIDE_MIN_NS;
	s->aside_until_ns = now + s->aside_ns;
}

static void fwd_server_answered(struct fwd_server *s)
{
	s->failures = 0;
	s->aside_ns = 0;
}

/* --- a flight and its tries --- */

static void fwd_wake(struct dns_forwarder *f, int64_t at_ns)
{
	if (at_ns >= f->wake_ns)
		return;
	f->wake_ns = at_ns;
	f->t.wake_at(f->t.ctx, at_ns);
}

static void fwd_try_end(struct dns_forwarder *f, struct dns_try *t)
{
	if (t->call)
		f->t.end(f->t.ctx, TAKE(t->call));
}

static bool fwd_send(struct dns_forwarder *f, struct dns_flight *fl, struct fwd_server *s, bool tcp)
{
	uint8_t bytes[DNS_UDP_PLAIN];
	struct dns_try *t;
	size_t n;

	if (fl->n_tries == ARRAY_LEN(fl->tries))
		return false;
	t = &fl->tries[fl->n_tries];
	*t = (struct dns_try){
		.flight = fl, .server = s, .sent_ns = fwd_now(f), .tcp = tcp || fl->force_tcp, .edns = !s->no_edns
	};
	f->t.random(f->t.ctx, &t->id, sizeof(t->id));
	n = dns_ask_write(bytes, t->id, &fl->key.name, fl->key.type, fl->key.cd, fl->key.want_dnssec && t->edns,
			  t->edns);
	fl->n_tries++;
	if (!f->t.send(f->t.ctx, t, s->at.addr, s->at.port, t->tcp, sv_make((const char *)bytes, n), &t->call)) {
		t->call = NULL;
		fwd_server_failed(f, s);
		return false;
	}
	return true;
}

static void fwd_tell(struct dns_forwarder *f, struct dns_flight *fl, struct dns_msg *m, uint32_t age_s, bool stale)
{
	struct list waiters;

	/* Whoever is told may ask again, and would wait for itself. */
	list_init(&waiters);
	while (!list_empty(&fl->waiters)) {
		struct list *l = fl->waiters.next;

		list_del(l);
		list_add_tail(&waiters, l);
	}
	while (!list_empty(&waiters)) {
		struct fwd_waiter *w = LIST_ENTRY(waiters.next, struct fwd_waiter, link);

		list_del(&w->link);
		f->n_waiters--;
		--*w->slot;
		f->stats.stale += stale;
		w->done(w->ctx, m, age_s, stale);
		free(w);
	}
}

static void fwd_tell_stale(struct dns_forwarder *f, struct dns_flight *fl)
{
	fwd_tell(f, fl, fl->stale, 0, true);
}

/* m: the answer, or NULL: it failed. */
static void fwd_flight_end(struct dns_forwarder *f, struct dns_flight *fl, struct dns_msg *m)
{
	char tmp[DNS_KEY_MAX];

	if (fl->probe)
		fl->order[0]->probed = false;
	else
		(void)strmap_del(&f->flights, dns_key_bytes(&fl->key, tmp));
	list_del(&fl->link);
	for (size_t i = 0; i < fl->n_tries; i++) {
		struct dns_try *t = &fl->tries[i];

		if (t->call && (!m || fwd_now(f) - t->sent_ns >= FAILED_AFTER_NS))
			fwd_server_failed(f, t->server);
		fwd_try_end(f, t);
	}
	if (m)
		fwd_tell(f, fl, m, 0, false);
	else if (fl->stale)
		fwd_tell_stale(f, fl);
	else
		fwd_tell(f, fl, fl->bad, 0, false);
	dns_msg_unref(fl->stale);
	dns_msg_unref(fl->bad);
	free(fl);
}

static bool fwd_listens(const struct dns_flight *fl)
{
	for (size_t i = 0; i < fl->n_tries; i++)
		if (fl->tries[i].call)
			return true;
	return false;
}

/* Asks the next server that can be asked. False: there was none. */
static bool fwd_ask_next(struct dns_forwarder *f, struct dns_flight *fl)
{
	int64_t now = fwd_now(f);

	while (fl->n_tries < ARRAY_LEN(fl->tries)) {
		struct fwd_server *s = fl->order[fl->n_asked % fl->n_order];
		size_t round = fl->n_asked / fl->n_order;

		fl->n_asked++;
		fl->next_ns = now + (TRY_NS << MIN(round, 3u));
		if (fwd_send(f, fl, s, false)) {
			fwd_wake(f, MIN(fl->next_ns, fl->end_ns));
			return true;
		}
	}
	fl->next_ns = INT64_MAX;
	return false;
}

/* A server has said that it does not know, or that nobody is there: the next one at once, unless each had its turn. */
static void fwd_go_on(struct dns_forwarder *f, struct dns_flight *fl)
{
	if (fl->n_asked < fl->n_order && fwd_ask_next(f, fl))
		return;
	if (!fwd_listens(fl))
		fwd_flight_end(f, fl, NULL);
}

static void fwd_answered(struct dns_forwarder *f, struct dns_flight *fl, struct dns_msg *m)
{
	const struct dns_config *cfg = f->cfg;
	uint32_t max_s = dns_msg_negative(m) ? cfg->deny_max_s : cfg->cache_max_s, life_s = MIN(dns_msg_life(m), max_s);

	if (life_s)
		dns_cache_put(f->cache, &fl->key, m, life_s, cfg->stale_max_s, fwd_now(f));
	fwd_flight_end(f, fl, m);
}

/* A server that does not know EDNS, or a message that it cannot read. True: it is asked otherwise. */
static bool fwd_without_edns(struct dns_forwarder *f, struct dns_flight *fl, struct dns_try *t, enum dns_rcode rcode)
{
	if (!t->edns || (rcode != DNS_FORMERR && rcode != DNS_NOTIMP && rcode != DNS_BADVERS))
		return false;
	t->server->no_edns = true;
	return fwd_send(f, fl, t->server, t->tcp);
}

static void fwd_try_failed(struct dns_forwarder *f, struct dns_try *t)
{
	fwd_server_failed(f, t->server);
	fwd_try_end(f, t);
	fwd_go_on(f, t->flight);
}

void dns_forward_got(struct dns_forwarder *f, struct dns_try *t, struct sv bytes)
{
	struct dns_flight *fl = t->flight;
	struct dns_msg *m;
	enum dns_rcode rcode;
	bool tc;

	if (!bytes.p) {
		fwd_try_failed(f, t);
		return;
	}
	m = dns_msg_read(bytes, t->id, &fl->key.name, fl->key.type, &tc);
	if (tc || (!m && ++t->junk >= JUNK_MAX && !t->tcp)) {
		fwd_try_end(f, t);
		if (t->tcp || !fwd_send(f, fl, t->server, true))
			fwd_go_on(f, fl);
		return;
	}
	if (!m) {
		if (t->tcp)
			fwd_try_failed(f, t);
		return;
	}
	rcode = dns_msg_rcode(m);
	fwd_server_answered(t->server);
	fwd_try_end(f, t);
	if (rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN) {
		fwd_answered(f, fl, m);
		dns_msg_unref(m);
		return;
	}
	if (fwd_without_edns(f, fl, t, rcode)) {
		dns_msg_unref(m);
		return;
	}
	dns_msg_unref(fl->bad);
	fl->bad = m;
	fwd_go_on(f, fl);
}

static void fwd_tick_flight(struct dns_forwarder *f, struct dns_flight *fl, int64_t now)
{
	if (now >= fl->end_ns) {
		fwd_flight_end(f, fl, NULL);
		return;
	}
	if (fl->stale && now >= fl->began_ns + STALE_AFTER_NS)
		fwd_tell_stale(f, fl);
	if (now >= fl->next_ns && !fwd_ask_next(f, fl) && !fwd_listens(fl))
		fwd_flight_end(f, fl, NULL);
}

static int64_t fwd_due(const struct dns_flight *fl)
{
	int64_t at = MIN(fl->next_ns, fl->end_ns);

	return fl->stale && !list_empty(&fl->waiters) ? MIN(at, fl->began_ns + STALE_AFTER_NS) : at;
}

void dns_forward_tick(struct dns_forwarder *f)
{
	int64_t now = fwd_now(f), next = INT64_MAX;

	f->wake_ns = INT64_MAX;
	LIST_EACH(&f->all, it)
		fwd_tick_flight(f, LIST_ENTRY(it, struct dns_flight, link), now);
	LIST_EACH(&f->all, it)
		next = MIN(next, fwd_due(LIST_ENTRY(it, struct dns_flight, link)));
	if (next != INT64_MAX)
		fwd_wake(f, next);
}

/* --- asking --- */

static bool fwd_is_aside(const struct fwd_server *s)
{
	return s->aside_ns > 0;
}

/* Those that answer first, each group in the configuration's order (or by chance). */
static void fwd_choose(struct dns_forwarder *f, struct dns_flight *fl, const struct dns_forward *to)
{
	struct fwd_server *aside[DNS_UPSTREAMS_MAX];
	size_t n_aside = 0, start = 0;

	if (to->shuffle && to->n_to > 1) {
		uint32_t r;

		f->t.random(f->t.ctx, &r, sizeof(r));
		start = r % to->n_to;
	}
	for (size_t i = 0; i < to->n_to; i++) {
		struct fwd_server *s = fwd_server(f, &to->to[(start + i) % to->n_to]);

		if (s && fwd_is_aside(s))
			aside[n_aside++] = s;
		else if (s)
			fl->order[fl->n_order++] = s;
	}
	fl->all_aside = fl->n_order == 0;
	for (size_t i = 0; i < n_aside; i++)
		fl->order[fl->n_order++] = aside[i];
}

static struct dns_flight *fwd_flight_new(struct dns_forwarder *f, const struct dns_key *k, int64_t patience_ns)
{
	struct dns_flight *fl = xcalloc(1, sizeof(*fl));

	fl->key = *k;
	fl->began_ns = fwd_now(f);
	fl->end_ns = fl->began_ns + patience_ns;
	list_init(&fl->waiters);
	list_add_tail(&f->all, &fl->link);
	return fl;
}

/* Whoever was set aside long enough is asked, too: how else would one learn that it is back? In a flight of its own, as
 * that of the others is over when they answer. */
static void fwd_probe(struct dns_forwarder *f, const struct dns_flight *beside)
{
	int64_t now = fwd_now(f);

	for (size_t i = 1; i < beside->n_order; i++) {
		struct fwd_server *s = beside->order[i];
		struct dns_flight *fl;

		if (!fwd_is_aside(s) || s->aside_until_ns > now || s->probed)
			continue;
		fl = fwd_flight_new(f, &beside->key, PROBE_NS);
		fl->probe = s->probed = true;
		fl->order[fl->n_order++] = s;
		if (!fwd_ask_next(f, fl))
			fwd_flight_end(f, fl, NULL);
	}
}

static uint16_t *fwd_slot(struct dns_forwarder *f, struct ip_addr peer)
{
	return &f->peers[strmap_hash(sv_make((const char *)peer.b, sizeof(peer.b))) % PEER_SLOTS];
}

static void fwd_wait(struct dns_forwarder *f, struct dns_flight *fl, struct ip_addr peer, dns_forward_done *done,
		     void *ctx)
{
	struct fwd_waiter *w = xmalloc(sizeof(*w));

	*w = (struct fwd_waiter){ .done = done, .ctx = ctx, .slot = fwd_slot(f, peer) };
	++*w->slot;
	f->n_waiters++;
	list_add_tail(&fl->waiters, &w->link);
}

void dns_forward_ask(struct dns_forwarder *f, const struct dns_key *k, struct ip_addr peer, dns_forward_done *done,
		     void *ctx)
{
	const struct dns_forward *to = f->cfg ? dns_config_forward(f->cfg, &k->name) : NULL;
	struct dns_msg *m = NULL, *stale;
	char tmp[DNS_KEY_MAX];
	struct dns_flight *fl;
	uint32_t age_s = 0;
	enum dns_cached c = dns_cache_get(f->cache, k, fwd_now(f), &m, &age_s);

	f->stats.asked++;
	if (c == DNS_CACHE_FRESH) {
		f->stats.hits++;
		done(ctx, m, age_s, false);
		return;
	}
	stale = c == DNS_CACHE_STALE ? m : NULL;
	fl = strmap_get(&f->flights, dns_key_bytes(k, tmp));
	if (!to || !to->n_to || f->n_waiters >= DNS_WAITERS_MAX || *fwd_slot(f, peer) >= DNS_PEER_WAITERS_MAX ||
	    (!fl && f->flights.n >= DNS_FLIGHTS_MAX)) {
		f->stats.refused++;
		done(ctx, stale, 0, stale != NULL);
		return;
	}
	if (fl) {
		/* Who comes late to one whose clients were given what was known gets that, too. */
		if (fl->stale && fwd_now(f) >= fl->began_ns + (fl->all_aside ? 0 : STALE_AFTER_NS))
			done(ctx, fl->stale, 0, true);
		else
			fwd_wait(f, fl, peer, done, ctx);
		return;
	}
	fl = fwd_flight_new(f, k, FLIGHT_NS);
	strmap_set(&f->flights, dns_key_bytes(k, tmp), fl);
	fl->force_tcp = to->force_tcp;
	fl->stale = stale ? dns_msg_ref(stale) : NULL;
	fwd_choose(f, fl, to);
	fwd_wait(f, fl, peer, done, ctx);
	if (!fl->n_order || !fwd_ask_next(f, fl)) {
		fwd_flight_end(f, fl, NULL);
		return;
	}
	fwd_probe(f, fl);
	if (fl->stale && fl->all_aside)
		fwd_tell_stale(f, fl);
	fwd_wake(f, fwd_due(fl));
}

/* --- life --- */

struct dns_forwarder *dns_forwarder_new(const struct dns_transport *t, size_t cache_bytes)
{
	struct dns_forwarder *f = xcalloc(1, sizeof(*f));

	f->t = *t;
	f->cache = dns_cache_new(cache_bytes);
	f->wake_ns = INT64_MAX;
	list_init(&f->all);
	return f;
}

struct dns_forwarder *dns_forwarder_free(struct dns_forwarder *f)
{
	if (!f)
		return NULL;
	while (!list_empty(&f->all))
		fwd_flight_end(f, LIST_ENTRY(f->all.next, struct dns_flight, link), NULL);
	strmap_release(&f->flights);
	for (size_t i = 0; i < f->servers.n; i++)
		free(f->servers.p[i]);
	vec_release(&f->servers);
	dns_cache_free(f->cache);
	free(f);
	return NULL;
}

void dns_forwarder_use(struct dns_forwarder *f, const struct dns_config *cfg)
{
	f->cfg = cfg;
	fwd_prune(f);
}

struct dns_forward_stats dns_forward_stats(const struct dns_forwarder *f)
{
	struct dns_forward_stats s = f->stats;

	s.flights = f->flights.n;
	s.waiters = f->n_waiters;
	s.cached = dns_cache_count(f->cache);
	for (size_t i = 0; i < f->servers.n; i++)
		s.aside += fwd_is_aside(f->servers.p[i]);
	return s;
}
