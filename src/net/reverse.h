/* reverse.h - connections that the other side opens: to reach a server behind an address that cannot be dialled.
 *
 *	near: who wants to connect				far: who is to be reached, and can only dial out
 *
 *	reverse_park() ◀──── HTTP upgrade, any number ────────── reverse_far_open()
 *	reverse_dial() ─▶ a descriptor
 *	     └─ the first bytes ──────────────────────────────▶ connects to a port of its own machine
 *	        and from then on bytes both ways ◀────────────▶
 *
 * One parked connection becomes one connection to the far server: nothing is multiplexed, so TCP's flow control is all
 * there is, and one that stalls holds up no other. There is no protocol either: whoever dials speaks first (TLS does),
 * and that wakes the far side, which opens another to be parked. Whose name a connection is parked under is the
 * caller's business; what is spoken through it should know who answers (a certificate), as with any connection.
 *
 * Bounded: REVERSE_PARKED_MAX a name wait, REVERSE_USED_MAX a name are in use, with a queue of 64 KiB each way. The one
 * parked last is used first, and one too many takes the place of the oldest: of a far side that was cut off and is back
 * those from before may still look alive (for half a minute: stream.h), and must not be in the way.
 *
 * Threads: the hub is for any; everything of one connection happens on its own loop.
 */
#pragma once

#include "net/http_client.h"

#define REVERSE_PARKED_MAX 8
#define REVERSE_USED_MAX 256
#define REVERSE_PROTOCOL "caravel-reverse" /* in Upgrade: */

/* --- near --- */

struct reverse_hub;
struct reverse_near; /* one connection, parked or in use; on its request's loop */
struct reverse_hub *reverse_hub_new(void);
/* Parked connections are closed, and there will be no more: before the HTTP server that they are of is stopped. */
void reverse_hub_close(struct reverse_hub *h);
/* Closes. The loops of what is parked may run on; nothing is parked or dialled any more. Returns NULL. */
struct reverse_hub *reverse_hub_free(struct reverse_hub *h);

/* Answers the request with 101 and keeps its connection under a name. NULL: it asked for no such upgrade
 * (ERR_BAD_REQUEST), or the hub is closed (ERR_UNAVAILABLE); then the caller answers. On r's loop. over(), once, when
 * the connection has ended, as the last that is heard of it and of r. */
struct reverse_near *reverse_park(struct reverse_hub *h, struct http_req *r, struct sv name,
				  void (*over)(struct http_req *r, void *ctx), void *ctx, struct err *err);
/* Ends it, parked or in use; over() may be called within. On r's loop, before over(). */
void reverse_near_close(struct reverse_near *c);
/* A connection to what is behind the name, as a descriptor (non-blocking, the caller's); -1 with ERR_UNAVAILABLE: none
 * is parked just now. Any thread. */
int reverse_dial(struct reverse_hub *h, struct sv name, struct err *err);
/* How many are parked under the name. */
int reverse_parked(struct reverse_hub *h, struct sv name);

/* A mark at the name, which is the caller's to set and to read; 0: never, or since then all its connections were gone.
 */
void reverse_prefer(struct reverse_hub *h, struct sv name, int64_t until_ns);
int64_t reverse_preferred(struct reverse_hub *h, struct sv name);

/* --- far --- */

struct reverse_far; /* loop thread only */
struct reverse_far_cb {
	void (*parked)(void *ctx); /* the near side has accepted it */
	void (*used)(void *ctx);   /* somebody has dialled */
	/* Once, last. err NULL: it was used, or closed in good order. ERR_NOT_FOUND, ERR_FORBIDDEN: the near side wants
	 * none; ERR_TOO_MANY_REQUESTS: not now; others: it was not reached. */
	void (*closed)(const struct err *err, void *ctx);
};
/* Opens one at path of near, and connects to host:port when somebody dials. */
struct reverse_far *reverse_far_open(struct ev_loop *l, const struct http_endpoint *near, const char *path,
				     const char *host, int port, const struct reverse_far_cb *cb, void *ctx);
void reverse_far_close(struct reverse_far *f); /* closed() follows */
