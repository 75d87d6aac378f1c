/* http-internal.h - the inside of the HTTP server, for http_*.c, http1.c and http2.c only.
 *
 *	http_server	listeners, lanes, start and stop
 *	  lane		what one loop has of a server: connections, spare requests, timeouts
 *	    http_conn	a stream and a protocol: http1.c, http2.c, or a tunnel
 *	      http_rq	a request with its queue of response bytes
 *
 * A connection lives until its stream is closed and its last request is gone; a server until
 * its last connection is.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/vec.h"
#include "ev/ev-internal.h"
#include "net/http.h"
#include "net/http1_parse.h"
#include "net/stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define HTTP_DATE_LEN 29

enum http_wait {
	HTTP_WAIT_NONE,
	HTTP_WAIT_HEAD, /* handshake, request head */
	HTTP_WAIT_BODY, /* a piece of a request body */
	HTTP_WAIT_IDLE, /* the next request */
	_HTTP_WAIT_MAX
};

/* On its way to the loop. */
struct rq_post {
	struct http_req *r; /* reference */
	void (*fn)(struct http_req *r, void *p);
	void *ctx;
	bool copied; /* fn gets the copy instead */
	void *copy[HTTP_POST_COPY / sizeof(void *)];
};
struct rq_posts {
	struct rq_post *p;
	size_t n, cap;
};

struct lane {
	struct http_server *srv;
	struct ev_loop *loop;
	struct list conns;
	_Atomic int n_conns;
	struct list waits[_HTTP_WAIT_MAX]; /* struct http_conn.wait, soonest first */
	size_t n_heads;			   /* of them, in HTTP_WAIT_HEAD */
	struct list stalls;		   /* struct http_rq.stall: complete responses not sent yet, soonest first */
	struct ev_timer *timer;		   /* for the soonest of them all; NULL: none */
	int64_t timer_due_ns;
	struct list spare; /* struct http_rq.link */
	size_t n_spare;
	pthread_mutex_t posts_lock; /* struct http_conn.posts, of all of its connections, and the next */
	struct rq_posts spare_posts;
	int64_t date_s;
	char date[HTTP_DATE_LEN + 1];
	bool stopping, aborting;
};

struct http_server {
	_Atomic int refs;      /* the owner's, and one each connection */
	_Atomic size_t bodies; /* bytes of requests that are not complete: bodies and large heads */
	struct http_server_opts o;
	bool closed;	      /* by its owner */
	pthread_mutex_t lock; /* tls, n_conns, stopped */
	pthread_cond_t changed;
	struct tls_ctx *tls;
	int n_conns;
	size_t listening, lanes_done; /* listeners not closed yet; lane_abort() ran */
	char *unix_path;
	int fd, port;
	uv_poll_t accept;	 /* on lanes[0] */
	struct ev_timer *resume; /* accept paused: out of descriptors */
	bool full;		 /* accept paused: max_connections */
	size_t n_lanes;
	struct lane lanes[];
};

/* A piece of a response on its way. */
struct rq_chunk {
	struct rq_chunk *next;
	struct http_chunk c;
	size_t off;
};

enum rq_state {
	RQ_READING,   /* the request is not complete */
	RQ_HANDLING,  /* the handler has it */
	RQ_STREAMING, /* http_stream_begin() */
	RQ_FINISHING, /* all of the response is queued */
	RQ_DONE,      /* sent, or the peer is gone */
};

struct http_rq {
	struct http_req pub;
	struct arena arena;
	struct http_conn *conn;
	struct list link; /* conn->rqs, or lane->spare */
	_Atomic int refs;
	_Atomic bool gone;
	enum rq_state state;
	int32_t stream_id; /* HTTP/2 */
	struct rq_chunk *q, *q_tail;
	struct rq_chunk first; /* saves an allocation where there is one chunk */
	bool first_used;
	size_t queued;		 /* bytes in q */
	struct http_source *src; /* makes what comes behind q; NULL: nothing does */
	struct list stall;	 /* lane->stalls */
	int64_t stall_due_ns;
	uint64_t stall_sent; /* the connection's bytes when the limit began */
	bool moved;	     /* the peer took something since */
	bool over;	     /* on_drain() is owed */
	bool deferred;	     /* HTTP/2: nghttp2 waits for data */
	bool torn;	     /* http_stream_abort() */
	bool no_body;	     /* HEAD, 204, 304: the headers are all */
	bool refused;	     /* answered before its body came: the rest is not read */
	bool too_long;	     /* HTTP/2: its body is over the limit, and dropped as it comes */
	size_t dropped;	     /* bytes of it */
	size_t headers_cap, header_bytes;
	int bad_status; /* answer this instead of calling the handler */
	char *body;
	size_t body_cap, counted; /* bytes allocated; and counted in conn->bodies, with a large head */
	int64_t body_expected;	  /* Content-Length, -1 unknown */
	uint64_t body_got;	  /* bytes of it that were taken from the connection */
	/* One that streams (http_upload.c): bytes of `body` that are kept, and of them, from its
	 * front, told already. */
	const struct http_body_cb *up; /* NULL: nobody asked yet, or any more */
	void *up_ctx;
	size_t up_kept, up_told;
	bool up_left, up_paused;  /* by the handler */
	bool up_whole, up_broken; /* its end came; it was no body */
	bool up_telling, up_ended;
	bool up_asked, up_due; /* HTTP/2: ever; and not looked at since */
	_Alignas(8) char mem[HTTP_REQ_MEM];
};

enum http_proto { PROTO_NEW, PROTO_H1, PROTO_H2, PROTO_TUNNEL };

/* What a protocol does, so that requests and connections need not know which it is. */
struct http_ops {
	void (*data)(struct http_conn *c, struct sv bytes);
	void (*pull)(struct http_conn *c);   /* the stream has room */
	void (*eof)(struct http_conn *c);    /* NULL: the connection is closed */
	void (*stop)(struct http_conn *c);   /* no further request */
	void (*idle)(struct http_conn *c);   /* says goodbye and closes; NULL: it is closed without a word */
	void (*closed)(struct http_conn *c); /* the stream is gone; NULL: nothing to do */
	/* content_length -1: streamed. has_body: there is something behind the headers, now or later. */
	void (*respond)(struct http_rq *r, int status, const struct http_header *headers, size_t n_headers,
			int64_t content_length, bool has_body);
	void (*resume)(struct http_rq *r);     /* there is more to send, or the end; NULL: pull() sees that */
	void (*reset)(struct http_rq *r);      /* ends one request; NULL: that ends the connection */
	void (*body_asked)(struct http_rq *r); /* of one that streams more is wanted, maybe for the first time */
	void (*body_told)(struct http_rq *r, size_t n); /* n bytes that were kept are told; NULL: none are kept */
};

struct http_tunnel {
	struct http_tunnel_cb cb;
	void *ctx;
	bool closed;
	bool paused;
};

/* What clients need little of (http_odd.c). */
enum http_odd {
	ODD_RESET,
	ODD_RESET_SENT, /* for whatever reason: a peer can cause them all */
	ODD_INVALID,	/* what is answered by a reset or is ignored */
	ODD_PING,
	ODD_SETTINGS,
	ODD_EMPTY,  /* DATA without data or an end */
	ODD_WINDOW, /* an update that no body was sent for */
	ODD_PRIORITY,
	ODD_CONTINUATION,
	ODD_HEADERS, /* a block over the limit */
	ODD_OTHER,   /* kinds that nobody knows, and GOAWAY */
	_ODD_MAX
};

struct http_odds {
	int64_t tokens, filled_ns;
	int64_t windows; /* updates that what was sent pays for */
	uint32_t answered;
	uint32_t seen[_ODD_MAX];
	bool over; /* the bucket was empty once */
};

struct http_conn {
	struct lane *lane;
	struct stream *s; /* NULL once closed */
	int refs;	  /* the stream's, and one each request */
	enum http_proto proto;
	const struct http_ops *ops;
	struct list link; /* lane->conns */
	struct list wait; /* lane->waits[waiting] */
	enum http_wait waiting;
	size_t bodies;	  /* its part of the server's */
	size_t body_news; /* that came since the time limit for bodies began */
	int64_t deadline_ns;
	struct list rqs; /* requests being read or answered */
	size_t n_rqs;
	struct rq_posts posts; /* guarded by lane->posts_lock; those of other threads for its requests */
	struct http_peer peer;
	char *peer_mem; /* owned: the certificate's strings */
	char address[64];

	/* HTTP/1: one request at a time. */
	struct http_rq *cur;
	struct buf in; /* not parsed yet */
	struct h1_scan scan;
	struct h1_head head;
	struct h1_chunks chunks;
	bool in_body, keep_alive, chunked_out;
	size_t ahead; /* bytes of input at hand that are not taken yet */
	struct http_tunnel tunnel;

	/* HTTP/2 */
	struct nghttp2_session *h2;
	size_t n_reading; /* requests not complete */
	struct http_odds odd;
	unsigned int continuations;
	size_t n_sources; /* long answers under way */
	size_t pieces;	  /* of them, in this pull */
	bool held;	  /* and it stopped because the turn is over */
	bool up_due;	  /* somebody asked for a body that streams */
	bool h2_receiving, greeted, goaway, calmed;
};

/* --- http_lane.c --- */
void http_conn_wait(struct http_conn *c, enum http_wait w); /* starts that time limit anew */
void http_rq_limit(struct http_rq *r);			    /* the same, for the peer to take of a complete response */
void http_lane_shed(struct lane *ln);			    /* connections that are slow to begin give way */
void http_conn_unref(struct http_conn *c);
void http_server_unref(struct http_server *s);
struct sv lane_date(struct lane *ln); /* the Date header's text */

/* --- http_req.c --- */
struct http_rq *rq_new(struct http_conn *c);
void rq_header_add(struct http_rq *r, struct sv name, struct sv value); /* views must last */
void rq_dispatch(struct http_rq *r);					/* complete: to the handler */
void rq_refuse_body(struct http_rq *r, int status);			/* 413 in the server's way, or 429 */
void rq_done(struct http_rq *r);					/* answered: the connection's reference goes */
void rq_shed(struct http_rq *r);		    /* who reads slowly holds no more than the answer */
void rq_peer_gone(struct http_rq *r);		    /* the same, but not answered */
void rq_fill(struct http_rq *r, size_t want);	    /* lets the source make chunks until the queue holds `want` bytes */
void rq_consume(struct http_rq *r, size_t n);	    /* n bytes of the queue's first chunk are taken */
struct http_chunk rq_take_chunk(struct http_rq *r); /* the whole first chunk, not partly sent */
void rq_check_drain(struct http_rq *r);
const char *http_status_text(int status);

/* --- http_body.c --- */
bool rq_head_add(struct http_rq *r, size_t n);	     /* n bytes more of its head; false: there is no room for them */
int rq_body_add(struct http_rq *r, struct sv bytes); /* 0, or the status to refuse it with */
void rq_body_done(struct http_rq *r);		     /* it is complete, or not wanted any more */
void rq_body_drop(struct http_rq *r);		     /* what came of it is forgotten */
void http_conn_wait_body(struct http_conn *c);	     /* a time limit that only progress starts anew */

bool rq_body_keep(struct http_rq *r, struct sv bytes); /* of one that streams; false: there is no room */

/* --- http_upload.c --- */
bool rq_streams(struct http_rq *r);		       /* its head says so: it is to be dispatched without its body */
bool rq_body_open(const struct http_rq *r);	       /* it streams, and its end has not come */
bool rq_body_taken(const struct http_rq *r);	       /* what comes now is to be told, not kept */
bool rq_body_left(const struct http_rq *r);	       /* nobody wants what still comes */
void rq_body_tell(struct http_rq *r, struct sv bytes); /* of one that is taken */
void rq_body_end(struct http_rq *r, bool whole);
void rq_body_go_on(struct http_rq *r); /* what is kept and the end are told, if they may be */

/* --- http_odd.c --- */

void http_odd_init(struct http_conn *c);
/* Counts one. False: it has been too much, the connection is to end (reported once). */
bool http_odd(struct http_conn *c, enum http_odd what);
bool http_odd_window(struct http_conn *c);	       /* the same for a window update */
void http_odd_over(struct http_conn *c);	       /* too much by some other measure */
void http_odd_sent(struct http_conn *c, size_t bytes); /* of a body: what windows are updated for */
void http_odd_answered(struct http_conn *c);	       /* a request was heard out */

/* --- http1.c --- */
extern const struct http_ops h1_ops;

/* --- http2.c --- */
extern const struct http_ops h2_ops;
void h2_start(struct http_conn *c); /* it is one from here on */
