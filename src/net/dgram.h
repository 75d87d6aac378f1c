/* dgram.h - datagrams on a loop: a server that answers in batches, and calls from a socket of their own.
 *
 * The server reads and writes up to DGRAM_BATCH datagrams with one system call (recvmmsg, sendmmsg). An answer leaves
 * from the address that was asked, also on a machine with many. What the kernel does not take at once is dropped, as
 * any network may: a client asks again.
 *
 * A call has a socket, and with it a source port, of its own, connected to its peer: the kernel chooses the port at
 * random and hands over what comes from that address and port alone.
 *
 * Loop thread only. Callbacks may call everything here, also end what called them.
 */
#pragma once

#include "base/ip.h"
#include "ev/ev.h"

#define DGRAM_BATCH 32
#define DGRAM_MAX 2048 /* bytes of a datagram, either way; longer ones are dropped */

/* Who asked, and at which address: what an answer that comes later needs. A value. */
struct dgram_peer {
	struct ip_addr addr, local;
	uint16_t port;
	uint32_t iface; /* of link-local addresses */
};

struct dgram_server;

struct dgram_server_opts {
	struct ev_loop *loop;
	int port; /* 0: a free one; on all addresses of the machine, of both families where it has both */
	int fd;	  /* > 0: dgram_fd() of an earlier server, taken in place of one on port, with what waits there */
	/* What goes back at once: written into answer, of room bytes; returns how many, 0: nothing, or later. */
	size_t (*asked)(void *ctx, const struct dgram_peer *from, struct sv bytes, uint8_t *answer, size_t room);
	void *ctx;
};
/* err->errnum is EADDRINUSE where somebody has the port. From the loop's thread, or before that runs. */
struct dgram_server *dgram_listen(const struct dgram_server_opts *o, struct err *err);
int dgram_port(const struct dgram_server *s);
int dgram_fd(const struct dgram_server *s); /* the server's, for somebody to keep a copy of */
/* From now on datagrams are read: until then they wait, as many as the kernel keeps. */
void dgram_begin(struct dgram_server *s);
void dgram_send(struct dgram_server *s, const struct dgram_peer *to, struct sv bytes);
struct dgram_server *dgram_close(struct dgram_server *s); /* NULL is fine; returns NULL */

struct dgram_call;

/* Sends bytes to addr. got() comes for each datagram of the peer, until dgram_end(); with SV_NULL and an errno when
 * the network says that nobody is there. NULL: it cannot be sent. */
struct dgram_call *dgram_call(struct ev_loop *l, struct ip_addr addr, uint16_t port, struct sv bytes,
			      void (*got)(struct sv bytes, int error, void *ctx), void *ctx, struct err *err);
struct dgram_call *dgram_end(struct dgram_call *c); /* NULL is fine; returns NULL */
