/* A query is answered in the turn in which it was read, into the buffer that the socket sends; only what an upstream
 * server has to be asked for leaves something behind (struct pending), which holds the query and where it came from. */
#include "dns/serve.h"

#include "base/bucket.h"
#include "base/log.h"
#include "dns/answer.h"
#include "dns/forward.h"
#include "dns/rate.h"
#include "net/dgram.h"
#include "net/framed.h"

#include <errno.h>
#include <stdlib.h>

#define PORTS 16 /* that are tried before any free one */
#define CACHE_BYTES ((size_t)4 << 20)
#define CONNS_MAX 128
#define PEER_CONNS_MAX 16
#define CONN_ASKED_MAX 32
#define CONN_IDLE_NS (10 * NS_PER_SEC)
#define TCP_TIMEOUT_NS (3 * NS_PER_SEC)
#define HOST_LOOK_NS (5 * NS_PER_SEC)
#define STALE_TTL_S 30
#define LOG_BURST 5
#define LOG_EVERY_NS (10 * NS_PER_SEC)

struct dns_serve {
	struct dns_serve_opts o;
	struct dgram_server *udp;
	struct framed_server *tcp;
	struct zone_table *zone;
	struct dns_config *cfg;
	struct dns_clients *clients;
	struct dns_forwarder *forward;
	struct ev_timer *wake;
	uint8_t *big; /* an answer by TCP */
	struct bucket log;
	struct dns_counts own_counts; /* where nobody asks */
	struct dns_rate rate;
	uint32_t serial;
	int64_t looked_ns;
	bool complete, begun;
};

/* A query whose answer comes from elsewhere. */
struct pending {
	struct dns_serve *s;
	struct dns_query q;
	struct dns_name target;
	struct dgram_peer udp;
	struct framed_peer tcp;
	bool inside; /* still in the call that asked: the answer goes into p */
	uint8_t *p;
	size_t room, n;
};

static struct dns_view serve_view(const struct dns_serve *s)
{
	return (struct dns_view){ .zone = s->zone, .cfg = s->cfg, .serial = s->serial };
}

/* --- the log --- */

static void serve_log(struct dns_serve *s, const struct dns_query *q, struct ip_addr from, const uint8_t *p, size_t n)
{
	_cleanup_(buf_release) struct buf name = BUF_INIT;
	char type[12];

	if (!s->cfg->log_queries)
		return;
	dns_name_text(&q->name, &name);
	log_kv(LVL_INFO, "dns", "query", "client", ip_text(from).s, "name", buf_cstr(&name), "type",
	       dns_type_text(q->type, type), "code",
	       n > 3 && (p[3] & 15) == DNS_NXDOMAIN ? "NXDOMAIN"
	       : n > 3 && (p[3] & 15)		    ? "failed"
						    : "NOERROR",
	       NULL);
}

static void serve_log_failure(struct dns_serve *s, const struct dns_name *target)
{
	_cleanup_(buf_release) struct buf name = BUF_INIT;
	unsigned missing;

	if (!s->cfg->log_errors || !bucket_take(&s->log, LOG_BURST, LOG_EVERY_NS, env_mono_ns(s->o.env), &missing))
		return;
	dns_name_text(target, &name);
	log_warn("dns", "no upstream server knows an answer", "name", "%s (and %u others)", buf_cstr(&name), missing);
}

/* --- answers --- */

static void serve_reply(struct dns_serve *s, const struct pending *w, const uint8_t *p, size_t n)
{
	struct sv bytes = sv_make((const char *)p, n);

	serve_log(s, &w->q, w->q.tcp ? w->tcp.addr : w->udp.addr, p, n);
	dns_count_response(s->o.counts, p, n);
	if (w->q.tcp)
		framed_send(s->tcp, &w->tcp, bytes);
	else
		dgram_send(s->udp, &w->udp, bytes);
}

static void serve_forwarded(void *ctx, struct dns_msg *m, uint32_t age_s, bool stale)
{
	struct pending *w = ctx;
	struct dns_serve *s = w->s;
	struct dns_view view = serve_view(s);
	uint32_t ttl_max = stale ? STALE_TTL_S : s->cfg->cache_max_s;
	uint8_t small[DGRAM_MAX], *p = w->inside ? w->p : w->q.tcp ? s->big : small;
	size_t room = w->inside ? w->room : w->q.tcp ? FRAMED_MAX : sizeof(small);

	if (!m)
		serve_log_failure(s, &w->target);
	if (m && dns_name_eq(&w->target, &w->q.lower))
		w->n = dns_msg_write(m, &w->q, age_s, ttl_max, p, room);
	else
		w->n = dns_answer_rest(&view, &w->q, m, age_s, ttl_max, p, room);
	if (w->inside)
		return;
	serve_reply(s, w, p, w->n);
	free(w);
}

static size_t serve_elsewhere(struct dns_serve *s, const struct dns_query *q, const struct dns_name *target,
			      const struct dgram_peer *udp, const struct framed_peer *tcp, uint8_t *p, size_t room)
{
	struct pending *w = xcalloc(1, sizeof(*w));
	struct dns_key key = { .name = *target, .type = q->type, .cd = q->cd, .want_dnssec = q->want_dnssec };
	int64_t now = env_mono_ns(s->o.env);
	struct dns_forward_stats stats;
	size_t n;

	if (now - s->looked_ns >= HOST_LOOK_NS) {
		s->looked_ns = now;
		s->o.look_at_host(s->o.ctx);
	}
	*w = (struct pending){ .s = s, .q = *q, .target = *target, .inside = true, .p = p, .room = room };
	if (udp)
		w->udp = *udp;
	if (tcp)
		w->tcp = *tcp;
	dns_forward_ask(s->forward, &key, udp ? udp->addr : tcp->addr, serve_forwarded, w);
	stats = dns_forward_stats(s->forward);
	dns_count_forward(s->o.counts, &stats);
	w->inside = false;
	n = w->n;
	if (n)
		free(w);
	return n;
}

static size_t serve_one(struct dns_serve *s, struct sv bytes, const struct dgram_peer *udp,
			const struct framed_peer *tcp, uint8_t *p, size_t room, bool *ret_later)
{
	struct dns_view view = serve_view(s);
	struct dns_name target;
	struct dns_query q;
	enum dns_rcode rcode;
	size_t n, before;

	*ret_later = false;
	switch (dns_query_read(bytes, tcp != NULL, &q, &rcode)) {
	case DNS_READ_DROP:
		return 0;
	case DNS_READ_REFUSE:
		dns_count_request(s->o.counts, tcp, !ip_is_v4(udp ? udp->addr : tcp->addr), 0);
		return dns_answer_code(&q, rcode, p, room);
	case DNS_READ_OK:
		break;
	}
	dns_count_request(s->o.counts, tcp, !ip_is_v4(udp ? udp->addr : tcp->addr), q.type);
	if (!s->complete && dns_name_within(&q.lower, &s->cfg->domain, &before))
		return dns_answer_code(&q, DNS_SERVFAIL, p, room);
	if (dns_answer(&view, &q, p, room, &n, &target) == DNS_ELSEWHERE) {
		n = serve_elsewhere(s, &q, &target, udp, tcp, p, room);
		*ret_later = n == 0;
	}
	if (n)
		serve_log(s, &q, udp ? udp->addr : tcp->addr, p, n);
	return n;
}

/* The bytes of the answer; 0: there is none, or it comes later (*ret_later). */
static size_t serve_query(struct dns_serve *s, struct sv bytes, const struct dgram_peer *udp,
			  const struct framed_peer *tcp, uint8_t *p, size_t room, bool *ret_later)
{
	size_t n = serve_one(s, bytes, udp, tcp, p, room, ret_later);

	dns_count_response(s->o.counts, p, n);
	return n;
}

/* What comes from the address that it goes to comes from this machine: the kernel takes no such packet from a wire. */
static bool serve_allowed(void *ctx, struct ip_addr from, struct ip_addr local)
{
	return ip_eq(from, local) || dns_clients_has(((struct dns_serve *)ctx)->clients, from);
}

static size_t serve_datagram(void *ctx, const struct dgram_peer *from, struct sv bytes, uint8_t *p, size_t room)
{
	struct dns_serve *s = ctx;
	bool later;

	if (!serve_allowed(s, from->addr, from->local) ||
	    (!ip_eq(from->addr, from->local) && !dns_rate_take(&s->rate, from->addr, ev_loop_now_ns(s->o.loop))))
		return 0;
	return serve_query(s, bytes, from, NULL, p, room, &later);
}

static void serve_message(void *ctx, const struct framed_peer *from, struct sv bytes)
{
	struct dns_serve *s = ctx;
	bool later;
	size_t n = serve_query(s, bytes, NULL, from, s->big, FRAMED_MAX, &later);

	if (n)
		framed_send(s->tcp, from, sv_make((const char *)s->big, n));
	else if (!later)
		framed_drop(s->tcp, from);
}

/* --- upstream servers --- */

struct serve_call {
	struct dns_serve *s;
	struct dns_try *t;
	struct dgram_call *udp;
	struct framed_call *tcp;
};

static int64_t serve_now(void *ctx)
{
	return env_mono_ns(((struct dns_serve *)ctx)->o.env);
}

static void serve_random(void *ctx, void *p, size_t n)
{
	env_random(((struct dns_serve *)ctx)->o.env, p, n);
}

static void serve_got_datagram(struct sv bytes, int error, void *ctx)
{
	struct serve_call *c = ctx;

	(void)error;
	dns_forward_got(c->s->forward, c->t, bytes);
}

static void serve_got_message(struct sv bytes, void *ctx)
{
	struct serve_call *c = ctx;

	dns_forward_got(c->s->forward, c->t, bytes);
}

static bool serve_send(void *ctx, struct dns_try *t, struct ip_addr addr, uint16_t port, bool tcp, struct sv bytes,
		       void **ret_call)
{
	struct dns_serve *s = ctx;
	struct serve_call *c = xcalloc(1, sizeof(*c));

	c->s = s;
	c->t = t;
	if (tcp)
		c->tcp = framed_call(s->o.loop, addr, port, bytes, TCP_TIMEOUT_NS, serve_got_message, c);
	else
		c->udp = dgram_call(s->o.loop, addr, port, bytes, serve_got_datagram, c, NULL);
	if (!c->tcp && !c->udp) {
		free(c);
		return false;
	}
	*ret_call = c;
	return true;
}

static void serve_end_call(void *ctx, void *call)
{
	struct serve_call *c = call;

	(void)ctx;
	dgram_end(c->udp);
	framed_end(c->tcp);
	free(c);
}

static void serve_wake(void *p)
{
	dns_forward_tick(((struct dns_serve *)p)->forward);
}

static void serve_wake_at(void *ctx, int64_t at_ns)
{
	struct dns_serve *s = ctx;

	ev_timer_stop(s->wake);
	s->wake = ev_timer_start(s->o.loop, MAX(at_ns - serve_now(s), 0), 0, serve_wake, s);
}

/* --- changes --- */

void dns_update_free(struct dns_update *u)
{
	for (size_t i = 0; i < u->names.n; i++) {
		zone_entry_free(u->names.p[i].entry);
		free(u->names.p[i].key);
	}
	vec_release(&u->names);
	dns_config_free(u->cfg);
	dns_clients_free(u->clients);
	free(u);
}

static void serve_change(struct dns_serve *s, struct dns_name_change *c)
{
	struct sv key = sv_make(c->key, c->key_n);

	if (zone_entry_same(zone_table_get(s->zone, key), c->entry))
		return;
	zone_entry_free(zone_table_set(s->zone, key, TAKE(c->entry)));
	s->serial++;
}

void dns_serve_update(struct dns_serve *s, struct dns_update *u)
{
	for (size_t i = 0; i < u->names.n; i++)
		serve_change(s, &u->names.p[i]);
	s->complete |= u->complete;
	if (u->cfg) {
		struct dns_config *old = s->cfg;
		struct dns_clients *old_clients = s->clients;

		s->cfg = TAKE(u->cfg);
		s->clients = TAKE(u->clients);
		dns_forwarder_use(s->forward, s->cfg);
		dns_config_free(old);
		dns_clients_free(old_clients);
	}
	dns_update_free(u);
	if (s->complete)
		dns_serve_begin(s);
}

/* --- life --- */

static struct framed_server *serve_listen_tcp(struct dns_serve *s, int port, struct err *err)
{
	return framed_listen(&(struct framed_server_opts){ .loop = s->o.loop,
							   .port = port,
							   .max_conns = CONNS_MAX,
							   .max_peer_conns = PEER_CONNS_MAX,
							   .max_asked = CONN_ASKED_MAX,
							   .idle_ns = CONN_IDLE_NS,
							   .allowed = serve_allowed,
							   .asked = serve_message,
							   .ctx = s },
			     err);
}

/* The same port for both. */
static int serve_listen(struct dns_serve *s, int port, int fd, struct err *err)
{
	s->udp = dgram_listen(
	    &(struct dgram_server_opts){ .loop = s->o.loop, .port = port, .fd = fd, .asked = serve_datagram, .ctx = s },
	    err);
	if (!s->udp)
		return -1;
	s->tcp = serve_listen_tcp(s, dgram_port(s->udp), err);
	if (s->tcp)
		return 0;
	s->udp = dgram_close(s->udp);
	return -1;
}

/* The usual port, one of those behind it, or any. */
static int serve_find_port(struct dns_serve *s, struct err *err)
{
	if (s->o.fd > 0) {
		struct err why = ERR_INIT;

		if (serve_listen(s, 0, s->o.fd, &why) == 0)
			return 0;
		err_release(&why);
	}
	for (int i = 0; i <= PORTS; i++) {
		struct err why = ERR_INIT;

		if (serve_listen(s, s->o.port && i < PORTS ? s->o.port + i : 0, 0, &why) == 0)
			return 0;
		if (why.errnum != EADDRINUSE || i == PORTS)
			return err_move(err, &why);
		err_release(&why);
	}
	return -1;
}

struct dns_serve *dns_serve_new(const struct dns_serve_opts *o, struct err *err)
{
	struct dns_serve *s = xcalloc(1, sizeof(*s));
	uint32_t now_s = (uint32_t)(env_now_ns(o->env) / NS_PER_SEC);

	s->o = *o;
	if (!s->o.counts)
		s->o.counts = &s->own_counts;
	s->serial = now_s;
	s->looked_ns = INT64_MIN / 2;
	s->zone = zone_table_new();
	s->cfg = dns_config_new(SV("cluster.local")); /* until the first update */
	s->big = xmalloc(FRAMED_MAX);
	s->forward = dns_forwarder_new(&(struct dns_transport){ .now_ns = serve_now,
								.random = serve_random,
								.send = serve_send,
								.end = serve_end_call,
								.wake_at = serve_wake_at,
								.ctx = s },
				       CACHE_BYTES);
	if (dns_wire_need(err) < 0 || serve_find_port(s, err) < 0)
		return dns_serve_free(s);
	return s;
}

int dns_serve_port(const struct dns_serve *s)
{
	return dgram_port(s->udp);
}

int dns_serve_fd(const struct dns_serve *s)
{
	return dgram_fd(s->udp);
}

void dns_serve_begin(struct dns_serve *s)
{
	if (s->begun)
		return;
	s->begun = true;
	dgram_begin(s->udp);
	framed_begin(s->tcp);
}

struct dns_serve *dns_serve_free(struct dns_serve *s)
{
	if (!s)
		return NULL;
	s->forward = dns_forwarder_free(s->forward);
	ev_timer_stop(s->wake);
	framed_close(s->tcp);
	dgram_close(s->udp);
	zone_table_free(s->zone);
	dns_config_free(s->cfg);
	dns_clients_free(s->clients);
	free(s->big);
	free(s);
	return NULL;
}
