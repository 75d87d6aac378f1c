/* grpc_mux.h - a gRPC client on a loop: one connection (tcp or unix socket, plain or TLS with certificates of
 * clients), many calls on it at once, streaming both ways.
 *
 * up() means that the peer has spoken: a kernel takes connections for a process that is stopped, too.
 *
 * For peers that are asked much and all the time, and told of changes (etcd). Whoever asks seldom and may block takes
 * grpc.h. A connection is not made anew here: its owner hears down() and opens another one, perhaps to another peer.
 *
 *	grpc_mux_open() ──▶ up() ──▶ calls, each: message()* end() ──▶ down()
 *
 * A peer that says nothing for ping_ns while calls are under way is pinged; one that does not answer that for
 * ping_timeout_ns is gone, whatever its kernel acknowledges (a stopped process).
 *
 * No limit of time counts what this loop itself stood (ev/limit.h): what came meanwhile is heard first.
 *
 * Flow control: what arrives for a call is taken, unless grpc_call_hold() says otherwise: then the peer may send
 * as much as the call's window has (GRPC_MUX_WINDOW) and waits. The other calls go on.
 *
 * Lifetimes: end() comes once, last, and the call is gone when it returns; not after grpc_call_cancel(), with which it
 * is gone at once. down() comes once, last, after all calls have ended, never from inside another call, and the
 * connection is gone when it returns. Every function may be called from every callback. Loop thread only.
 */
#pragma once

#include "ev/ev.h"
#include "net/grpc_wire.h"
#include "net/tls.h"

struct grpc_mux;
struct grpc_call;

#define GRPC_MUX_WINDOW (1024 * 1024) /* bytes of a call that is held */

struct grpc_mux_opts {
	const char *host; /* name, address or "unix:/path" */
	int port;
	struct tls_ctx *tls; /* client context; NULL: plain */
	int64_t connect_timeout_ns;
	int64_t ping_ns, ping_timeout_ns; /* 0: no pings. Seconds: the resolution is one */
	size_t message_max;		  /* bytes of one message; larger ones end their call */
};

struct grpc_mux_cb {
	void (*up)(struct grpc_mux *m, void *ctx);
	void (*down)(struct grpc_mux *m, const struct err *why, void *ctx); /* why NULL: closed by us */
};

/* All of o is copied, but the context of TLS, which is referenced. */
struct grpc_mux *grpc_mux_open(struct ev_loop *l, const struct grpc_mux_opts *o, const struct grpc_mux_cb *cb,
			       void *ctx);
void grpc_mux_close(struct grpc_mux *m); /* ends calls with GRPC_UNAVAILABLE */

struct grpc_end {
	int code;	     /* enum grpc_code; GRPC_UNAVAILABLE also where the connection ended */
	const char *message; /* never NULL */
	bool begun;	     /* the peer may have begun with it; false: certainly not */
	bool by_peer;	     /* it is the peer's own answer */
};

struct grpc_call_cb {
	void (*message)(struct grpc_call *c, struct sv message, void *ctx); /* borrowed */
	void (*end)(struct grpc_call *c, const struct grpc_end *e, void *ctx);
};

struct grpc_call_opts {
	const char *method;		   /* "/etcdserverpb.KV/Range" */
	const char *header, *header_value; /* one header more; NULL: none */
	int64_t timeout_ns;		   /* <= 0: none */
	bool streams;			   /* grpc_call_send() follows; else the request is all */
};

/* The request is copied. */
struct grpc_call *grpc_mux_call(struct grpc_mux *m, const struct grpc_call_opts *o, struct sv request,
				const struct grpc_call_cb *cb, void *ctx);
void grpc_call_send(struct grpc_call *c, struct sv message); /* copied */
void grpc_call_hold(struct grpc_call *c, bool held);
void grpc_call_cancel(struct grpc_call *c);
