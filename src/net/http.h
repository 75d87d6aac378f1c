/* http.h - the HTTP server: HTTP/1.1 and HTTP/2 on one port, TLS or plain, unix or tcp.
 *
 * One handler gets every request with its whole body (bounded by max_body; larger answers 413
 * without calling it), or, where it has said so of the head, at once, with a body of any length that comes while it is
 * handled (http_body_start()). A request lives until its response is finished or the peer is gone;
 * the handler keeps the pointer and answers now or later, in one of three ways:
 *
 *	http_respond()			a complete response, scatter/gather
 *	http_stream_begin/write/end()	a streamed one: watch, logs, LIST in chunks
 *	http_upgrade()			HTTP/1.1 101 and then raw bytes: WebSocket, SPDY, proxying
 *
 * Threads: a request belongs to its connection's loop thread, on which the handler runs and
 * all functions here must be called; from elsewhere use http_req_post(). To survive the
 * trip, hold a reference: http_req_ref(); http_req_gone() tells whether the peer left.
 *
 * Memory: everything reachable from a request lives in req->arena until the handler's last unref.
 *
 * A peer that does not read costs a bounded amount, and not for ever: see stall_ns below.
 *
 * Protocol abuse ends the connection, never the process: header block <= 64 KiB, streams
 * <= 250 a connection; what HTTP/2 clients need little of (resets of either side, pings, settings, empty frames, window
 * updates for nothing …) comes out of one bucket per connection, and when that is empty the peer is told to calm down
 * (GOAWAY, ENHANCE_YOUR_CALM); idle handshakes, header reads and bodies that trickle time out (slowloris), and of those
 * that wait for a handshake or a head there is a bounded number; what
 * incomplete bodies and large heads may fill is bounded, and of what is free a connection has an eighth: over that 429
 * without calling the handler.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "ev/ev.h"
#include "net/tls.h"

struct http_server;
struct http_conn;

struct http_header {
	struct sv name; /* lower case */
	struct sv value;
};

/* What the verified client certificate says. */
struct http_peer {
	bool has_cert; /* presented and verified against the client CA */
	bool bad_cert; /* presented but not verifiable (expired, foreign): authn must refuse it */
	/* Presented and verified against the CA of front proxies, which says nothing of the former two: its headers may
	 * say who asks, to those who look at them. */
	bool proxy_cert;
	struct sv common_name;
	struct sv *organizations; /* n_organizations */
	size_t n_organizations;
	int64_t not_after_ns; /* its end, wall clock; connections outlive it */
	char key_hash[65];    /* of its key, as key_hash() has it (key.h) */
	char cert_hash[65];   /* SHA-256 of all of it (DER), in hex */
	struct sv uid;	   /* of the user, of the RDN that Kubernetes has for it (OID 1.3.6.1.4.1.57683.2); "": none */
	size_t n_uids;	   /* how often that RDN is there; more than once is nobody */
	struct sv address; /* "127.0.0.1:41234" */
};

/* Of its arena, bytes that come with each request: behind the headers, whoever handles it should need no more for a
 * small read or a watch, of which there are thousands. One without a body goes on with small blocks. */
#define HTTP_REQ_MEM 2000

struct http_req {
	struct arena *arena;
	struct http_server *server;
	struct sv method; /* "GET" */
	struct sv target; /* as sent */
	struct sv path;	  /* still percent-encoded, without the query */
	struct sv query;  /* without '?' */
	struct sv host;	  /* Host or :authority */
	struct http_header *headers;
	size_t n_headers;
	struct sv body;	     /* "" when it streams */
	int64_t body_length; /* of one that streams, as announced; -1: not */
	const struct http_peer *peer;
	int version; /* 1 or 2 */
	bool body_streams;
	void *user; /* the handler's own */
	/* Set by the handler when it wants to know: called once on the loop thread when the peer
	 * went away before the response was finished. Not after http_respond() or
	 * http_stream_end(): then there is nothing left to give up. A handler that answers later
	 * and holds no reference must set it, for r dies when it returns. */
	void (*on_gone)(struct http_req *r);
	/* Streaming: called when queued bytes fell below the low-water mark again. */
	void (*on_drain)(struct http_req *r);
};

struct sv http_header_get(const struct http_req *r, const char *lower_name); /* SV_NULL when absent */
/* Value of a query parameter, percent-decoded into the arena; false when absent. */
bool http_query_get(const struct http_req *r, const char *name, struct sv *ret);
/* What clients mean by a parameter that is a boolean: nothing but "0" and "false", in any case, is false. Python's say
 * True and False. */
bool http_query_true(struct sv value);
bool http_query_flag(const struct http_req *r, const char *name); /* false when absent */
struct sv http_percent_decode(struct arena *a, struct sv s, bool plus_is_space);

struct http_req *http_req_ref(struct http_req *r);
struct http_req *http_req_unref(struct http_req *r);
/* Whose it is, as a number of the caller's (0: nobody's): long answers on all connections of one get together what
 * those of another get on one. On r's loop. */
void http_req_owner(struct http_req *r, uint64_t id);
/* Its HTTP/2 connection takes no more requests after it, and says so. On the loop, before the answer. */
void http_req_last(struct http_req *r);
bool http_req_gone(const struct http_req *r); /* any thread; may turn true at any time */
/* Runs fn(r, ctx) on r's loop thread, also when the peer is gone by then. Holds a reference meanwhile. */
void http_req_post(struct http_req *r, void (*fn)(struct http_req *r, void *ctx), void *ctx);
/* The same with a copy of the n bytes at from, at most HTTP_POST_COPY, that lives while fn runs: whoever has more than
 * one thing to say need not allocate for it. */
#define HTTP_POST_COPY 24
void http_req_post_copy(struct http_req *r, void (*fn)(struct http_req *r, void *copy), const void *from, size_t n);
struct ev_loop *http_req_loop(const struct http_req *r);

/* --- a body that streams (struct http_server_opts.streams) ---
 *
 * Nothing of it is asked for before the handler does: a client that waits for "100 Continue" waits, of another at most
 * HTTP_BODY_AHEAD is kept (HTTP/2: a stream's window, 1 MiB), and so it is while it is paused. There is no limit of
 * time in here: whoever takes it has one. No callback comes from inside a call of these, nor behind the end of the
 * answer; what is left then is not read, and a connection of HTTP/1 ends when that is much. Where the peer goes before
 * the end, on_gone() says so, as always. */
#define HTTP_BODY_AHEAD ((size_t)64 * 1024)
struct http_body_cb {
	void (*data)(struct http_req *r, struct sv bytes, void *ctx); /* borrowed for the call */
	/* Once. Not whole: what came is no body; the answer is the handler's to give all the same. */
	void (*end)(struct http_req *r, bool whole, void *ctx);
};
void http_body_start(struct http_req *r, const struct http_body_cb *cb, void *ctx);
void http_body_pause(struct http_req *r, bool paused);
void http_body_leave(struct http_req *r); /* no callback any more, and nothing more is read; any request, also twice */

/* A piece of a body: bytes and what to do when they have been sent (or dropped). release NULL:
 * the bytes live in the request's arena or are constant. */
struct http_chunk {
	struct sv data;
	void (*release)(void *owner);
	void *owner;
};

/* Headers are name/value pairs; content-length and date are added here. With the last reference of the handler's the
 * request's texts and its arena go, whenever its peer takes the answer. */
void http_respond(struct http_req *r, int status, const struct http_header *headers, size_t n_headers,
		  const struct http_chunk *body, size_t n_body);
void http_respond_text(struct http_req *r, int status, const char *content_type, struct sv body); /* copies body */

/* A body that is made while it is sent, so that however long it is only the pieces at hand exist: a LIST, which is
 * known by reference, or a filter over another source. Embedded first in its maker's own struct. Loop thread only. */
struct http_source {
	int64_t total; /* bytes that next() gives in all; -1: not known, and no content-length is sent */
	/* The next piece, taken over as any chunk is; false: there is no more. */
	bool (*next)(struct http_source *s, struct http_chunk *ret);
	/* Called once: behind the last piece, or earlier when the peer is gone. The request's arena is still there. */
	void (*release)(struct http_source *s);
};
void http_respond_source(struct http_req *r, int status, const struct http_header *headers, size_t n_headers,
			 struct http_source *body_take);

/* The request's body is gone from here on. */
void http_stream_begin(struct http_req *r, int status, const struct http_header *headers, size_t n_headers);
/* Queues a chunk. Returns the bytes now queued on this response and not yet taken by the
 * kernel, so that the caller can stop at its own bound and continue in on_drain. */
size_t http_stream_write(struct http_req *r, const struct http_chunk *c);
void http_stream_end(struct http_req *r);
void http_stream_abort(struct http_req *r); /* tears it so that the client sees an error, not an end */

/* --- after an upgrade: a raw duplex byte stream on the same connection --- */

struct http_tunnel; /* opaque; loop thread only */
struct http_tunnel_cb {
	void (*data)(struct http_tunnel *t, struct sv bytes, void *ctx); /* borrowed for the call */
	void (*drain)(struct http_tunnel *t, void *ctx);		 /* queue fell below low water; may be NULL */
	void (*closed)(struct http_tunnel *t, void *ctx);		 /* exactly once, also after our own close */
};
/* HTTP/1.1 only: answers 101 with the headers and hands over the connection; NULL when it cannot.
 * The request, and its arena, stay until closed() has returned. Bytes that came right behind
 * the request are delivered like any others. */
struct http_tunnel *http_upgrade(struct http_req *r, const struct http_header *headers, size_t n_headers,
				 const struct http_tunnel_cb *cb, void *ctx);
size_t http_tunnel_write(struct http_tunnel *t, struct sv bytes);    /* copies; returns bytes queued */
void http_tunnel_pause(struct http_tunnel *t, bool paused);	     /* stop reading: back-pressure */
void http_tunnel_close(struct http_tunnel *t);			     /* after what is queued */
void http_tunnel_close_patiently(struct http_tunnel *t, int64_t ns); /* as stream_close_patiently() */

/* --- the server --- */

struct http_server_opts {
	const char *bind_address; /* "::" (all), "0.0.0.0" (of IPv4), or "unix:/path" */
	int port;		  /* 0: any; http_server_port() tells */
	int listening_fd;	  /* > 0: a socket that is bound already, taken even on failure; else bind_address is */
	struct tls_ctx *tls;	  /* borrowed; NULL: plain */
	size_t max_body;	  /* bytes; 3 MiB for the API server */
	size_t max_incomplete;	  /* bytes of requests that are not complete, of all connections; 0: 256 MiB */
	int max_connections;
	/* Connections whose handshake or first head is awaited (0: 4096): when there are more, the oldest that has had
	 * two seconds is cut, and when there are twice as many, the oldest. */
	size_t max_heads;
	/* A peer that takes nothing of a complete response for so long loses it (0: 60 s): its stream is reset, or,
	 * when the whole connection is stuck, that is cut. Streamed responses have no such limit: a paged log may rest
	 * for hours, and what it holds is bounded by back-pressure. */
	int64_t stall_ns;
	int64_t request_ns; /* for a request's head, and each part of its body (0: 30 s and 60 s) */
	void (*handler)(struct http_req *r, void *ctx);
	/* Optional: asked of a head behind which a body comes. True: it streams; max_body is not for it. */
	bool (*streams)(struct http_req *r, void *ctx);
	/* Optional: called when max_body is exceeded, to answer in the server's own format. */
	void (*too_large)(struct http_req *r, void *ctx);
	/* Optional: told once of a connection that is ended for too much of what no client needs, and of what there was
	 * of that ("3 pings, 900 resets"). On the connection's loop. */
	void (*calmed)(const struct http_peer *peer, const char *what, void *ctx);
	void *ctx;
};
/* Listens and serves on the given loops (connections are spread over them). The loops must be
 * running or be run later; call from any thread before that or from loop 0's thread. */
struct http_server *http_server_start(struct ev_loop *const *loops, size_t n_loops, const struct http_server_opts *o,
				      struct err *err);
int http_server_port(const struct http_server *s);
/* Borrowed: for whoever keeps a copy of the listening socket. http_server_stop() ends listening for all copies. */
int http_server_fd(const struct http_server *s);
void http_server_set_tls(struct http_server *s, struct tls_ctx *tls); /* any thread; new connections use it */
/* Stops accepting and says so to those who are connected (GOAWAY); what they have asked for is served. The first half
 * of the end, for who has something to do before the other. */
void http_server_close(struct http_server *s);
/* Closes, if that has not been done, waits up to grace_ns for requests to finish, closes the rest.
 * Blocks while the loops run: not from a loop thread, and before they are stopped. References to
 * requests may outlive the server, but not the loops. */
struct http_server *http_server_stop(struct http_server *s, int64_t grace_ns);
