/* framed.h - messages over TCP, each behind its length in two bytes (as of RFC 1035, 4.2.2), on a loop.
 *
 * The server bounds what a peer can hold: connections in all and of one address, messages of a connection that are not
 * answered yet (it is not read meanwhile), bytes that it does not take, and the time without a whole message. Beyond
 * the connections there are, the one that rests the longest gives its place up.
 *
 * An answer may come later, and in any order: struct framed_peer names a connection by a number that is never used
 * again, so that one that is gone meanwhile is no matter.
 *
 * Loop thread only. Callbacks may call everything here.
 */
#pragma once

#include "base/ip.h"
#include "ev/ev.h"

#define FRAMED_MAX 65535

struct framed_peer {
	uint64_t id;
	struct ip_addr addr;
};

struct framed_server;

struct framed_server_opts {
	struct ev_loop *loop;
	int port;	       /* on all addresses of the machine, as a dgram_server */
	size_t max_conns;      /* in all */
	size_t max_peer_conns; /* from one address */
	size_t max_asked;      /* of a connection, not answered yet */
	int64_t idle_ns;       /* without a whole message */
	/* NULL: all. Others are closed before a byte is read. local: which address of ours was asked. */
	bool (*allowed)(void *ctx, struct ip_addr from, struct ip_addr local);
	/* Each message is answered by framed_send(), now or later, or given up by framed_drop(). Bytes are borrowed. */
	void (*asked)(void *ctx, const struct framed_peer *from, struct sv bytes);
	void *ctx;
};
struct framed_server *framed_listen(const struct framed_server_opts *o, struct err *err);
void framed_begin(struct framed_server *s); /* from now on connections are taken: until then they wait */
void framed_send(struct framed_server *s, const struct framed_peer *to, struct sv bytes);
void framed_drop(struct framed_server *s, const struct framed_peer *to); /* no answer: closes it */
/* Ends all connections; the memory goes when the loop has run on, at the latest when it is freed. */
struct framed_server *framed_close(struct framed_server *s); /* NULL is fine; returns NULL */

struct framed_call;

/* Connects, sends one message, and takes one: got() once, bytes SV_NULL when that failed or timeout_ns is over. Not
 * from within. */
struct framed_call *framed_call(struct ev_loop *l, struct ip_addr addr, uint16_t port, struct sv bytes,
				int64_t timeout_ns, void (*got)(struct sv bytes, void *ctx), void *ctx);
struct framed_call *framed_end(struct framed_call *c); /* before or after got(), once; NULL is fine; returns NULL */
