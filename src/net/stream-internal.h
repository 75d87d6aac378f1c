/* stream-internal.h - the inside of struct stream, for stream*.c only. */
#pragma once

#include "base/list.h"
#include "base/strmap.h"
#include "ev/ev-internal.h"
#include "ev/limit.h"
#include "net/net-internal.h"
#include "net/stream.h"

#define NODE_BYTES ((size_t)16384)	      /* of a node's own data: one TLS record */
#define STREAM_READ_BYTES ((size_t)64 * 1024) /* received at once */

/* A piece of what is to be sent: copied bytes in data[], or somebody's chunk. */
struct out_node {
	struct out_node *next;
	const char *p;
	size_t off, n; /* sent, and total */
	size_t cap;    /* of data[]; 0: p is borrowed from owner */
	void (*release)(void *owner);
	void *owner;
	char data[];
};

/* What the streams of one loop share. */
struct stream_loop {
	struct ev_loop *loop;
	struct list dirty;     /* streams that want a turn before the loop sleeps */
	struct list bulk;      /* owners of those that had one and are not done */
	struct strmap owners;  /* those with an id, by it */
	bool bulk_first;       /* nothing of theirs was made in this turn: one may, whatever the time */
	int64_t bulk_until_ns; /* when this turn is over for them; 0: it has not begun */
	struct list all;
	struct ev_timer *look;	/* for peers that are gone; NULL: no stream */
	struct out_node *spare; /* nodes with cap NODE_BYTES */
	size_t n_spare;
	char *rbuf;	   /* bytes just received */
	char *plain;	   /* a decrypted record */
	struct buf cipher; /* records just encrypted, of the stream at hand */
};

struct stream_dial; /* stream_connect.c */

/* Whose a stream is (stream_owner.c). */
struct stream_owner {
	struct list link;    /* sl->bulk, or empty */
	struct list streams; /* that are not done */
	uint64_t id;	     /* 0: of one stream, and part of it */
	unsigned refs;
};

struct stream {
	uv_poll_t poll;
	struct stream_loop *sl;
	struct list link;  /* sl->all */
	struct list dirty; /* sl->dirty or owner->streams */
	struct stream_owner *owner, alone;
	const struct stream_cb *cb;
	void *ctx;
	SSL *ssl;
	struct stream_dial *dial; /* until connected */
	struct ev_limit *limit;	  /* connecting */
	struct ev_timer *timer;	  /* closing */
	struct out_node *out, *out_tail;
	size_t queued; /* bytes in out */
	struct {
		char *p; /* encrypted, not taken by the kernel */
		size_t off, n;
	} pend;
	struct {
		const char *p; /* received, not decrypted: rbuf, or saved while paused */
		size_t n;
		char *saved;
	} in;
	struct err err;
	uint64_t sent; /* bytes given to the kernel */
	uint64_t sent_seen;
	int64_t silent_since_ns; /* something is under way and nothing was acknowledged; 0: not so */
	int fd;
	int polling;	/* events that poll waits for */
	bool polled;	/* uv_poll_init() was done */
	bool connected; /* the socket is */
	bool ready;	/* and so is TLS; ready() was called */
	bool paused;
	bool eof;
	bool wanted;	     /* pull() */
	bool held;	     /* pull() heard that the turn is over */
	bool over;	     /* the queue went over its bound: drain() */
	bool shutting, shut; /* stream_close(): called; and our end was sent */
	int64_t patience_ns; /* stream_close_patiently(); 0: the usual */
	bool closing;	     /* only closed() is left */
	bool dialled;	     /* by us */
	int broken; /* an errno: nothing can be sent any more, and what the peer said before is read; 0: not so */
};

struct stream_loop *stream_loop_get(struct ev_loop *l); /* stream_loop.c */
struct stream *stream_new(struct ev_loop *l, const struct stream_cb *cb, void *ctx);
/* The socket is connected: start TLS, or be ready. */
void stream_connected(struct stream *s);
int stream_tls_start(struct stream *s, struct tls_ctx *tls); /* stream_bio.c */
void stream_poll_start(struct stream *s, int fd);	     /* takes fd */
void stream_update(struct stream *s);
void stream_touch(struct stream *s); /* a turn before the loop sleeps */
/* stream_queue.c. new: an empty one, to be pushed. sent: n more bytes are the kernel's, nodes that are done go. */
struct out_node *stream_node_new(struct stream_loop *sl);
void stream_push_node(struct stream *s, struct out_node *n);
void stream_sent(struct stream *s, size_t n);
void stream_drop_out(struct stream *s); /* all of it, encrypted or not */
/* stream_owner.c. It goes on behind those that have little to send, in turn with those of other owners. */
void stream_bulk(struct stream *s);
struct stream *stream_bulk_take(struct stream_loop *sl); /* the next one, NULL: there is none */
void stream_owner_init(struct stream *s);
void stream_owner_release(struct stream *s);
/* stream_send.c. A turn; what OpenSSL has just written, of which what the kernel refuses becomes pend. */
void stream_flush(struct stream *s);
void stream_send_cipher(struct stream *s);
/* stream_receive.c. What there is; what s->in has, to OpenSSL; what the poller told no more of. */
bool stream_receive(struct stream *s); /* true: perhaps there is more */
void stream_tls_in(struct stream *s);
void stream_on_error(struct stream *s);
/* err is moved. Ends with closed(). */
void stream_fail(struct stream *s, struct err *err);
void stream_fail_errno(struct stream *s, int errnum, const char *what);
void stream_close_now(struct stream *s);
void stream_linger(struct stream *s); /* our end is closed: the peer's is waited for, not long */
void stream_finish(struct stream *s); /* calls closed(), frees */

void stream_peer_watch(struct stream *s); /* from now on it is noticed when the peer is gone */

/* A poll event while connecting. */
void stream_dial_event(struct stream *s);
/* True when the dial still has something of its own to end and will call stream_finish(). */
bool stream_dial_abort(struct stream *s);
void stream_dial_free(struct stream *s);
