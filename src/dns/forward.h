/* forward.h - asking upstream servers for what is not the cluster's.
 *
 *	dns_forward_ask(name, type, done) ─▶ cache ─▶ a flight under way for it? ─▶ a flight: try, next try, TCP ─▶ done
 *
 * One flight a name and type, however many ask (single flight). Tries go to the servers in their order, those that
 * failed last (set aside) after the others; each has a random id and a socket, and so a source port, of its own, and
 * what comes back counts only from there and with the question repeated. Servers that say SERVFAIL or REFUSED are
 * passed over for the next; a truncated answer is asked for again by TCP; one that knows no EDNS is asked without.
 *
 * A server set aside is tried again when its time (1 s, doubling to 30 s) is over, by a probe beside a flight: nothing
 * wakes up while nobody asks.
 *
 * A stale message is answered when nobody said anything for STALE_AFTER_NS, or all have failed; the flight goes on.
 *
 * Bounds: flights, those who wait in all, and those who wait from one address. Beyond them: SERVFAIL at once.
 *
 * Sockets, time and chance are the caller's (struct dns_transport): the same code runs against a script. One thread.
 */
#pragma once

#include "dns/cache.h"
#include "dns/config.h"

#define DNS_FLIGHTS_MAX 1024
#define DNS_WAITERS_MAX 8192
#define DNS_PEER_WAITERS_MAX 128

struct dns_forwarder;
struct dns_try; /* one message to one server */

struct dns_transport {
	int64_t (*now_ns)(void *ctx); /* monotonic */
	void (*random)(void *ctx, void *p, size_t n);
	/* Sends; what comes goes to dns_forward_got(f, t, ...). False: it cannot be sent. *ret_call is for end(). */
	bool (*send)(void *ctx, struct dns_try *t, struct ip_addr addr, uint16_t port, bool tcp, struct sv bytes,
		     void **ret_call);
	void (*end)(void *ctx, void *call);
	void (*wake_at)(void *ctx, int64_t at_ns); /* dns_forward_tick() then; INT64_MAX: never */
	void *ctx;
};

struct dns_forwarder *dns_forwarder_new(const struct dns_transport *t, size_t cache_bytes);
struct dns_forwarder *dns_forwarder_free(struct dns_forwarder *f); /* who waits is told that nobody knows */
/* Borrowed until the next. Flights under way go on with the servers they know; what was learnt of servers stays. */
void dns_forwarder_use(struct dns_forwarder *f, const struct dns_config *cfg);

/* m NULL: nobody knows. Borrowed. */
typedef void dns_forward_done(void *ctx, struct dns_msg *m, uint32_t age_s, bool stale);
/* done is called once, also from within. peer: who asks. */
void dns_forward_ask(struct dns_forwarder *f, const struct dns_key *k, struct ip_addr peer, dns_forward_done *done,
		     void *ctx);

void dns_forward_got(struct dns_forwarder *f, struct dns_try *t, struct sv bytes); /* SV_NULL: it failed */
void dns_forward_tick(struct dns_forwarder *f);

struct dns_forward_stats {
	size_t flights, waiters, aside, cached;
	uint64_t asked, hits, stale, failed, refused;
};
struct dns_forward_stats dns_forward_stats(const struct dns_forwarder *f);
