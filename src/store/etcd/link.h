/* link.h - the way to an etcd cluster: several endpoints, a connection to one of them, requests that survive its loss.
 *
 *	endpoints ─▶ grpc_mux to one ─ends, does not answer, has no leader─▶ the next one, again and again
 *
 * A request is asked until somebody answers it or its time is up. What failed in a way that passes (no connection, no
 * leader, a deadline) is asked again, at another member where there is one. Whether the first member has done it
 * nevertheless its asker cannot know; `ambiguous` says that there is such a doubt. What a member answers to questions
 * about members (Cluster) is no reason to leave it: no other one would say anything else.
 *
 * Every three seconds the member is asked something that only a member of a majority can answer, and for its alarms: so
 * one that is stopped or cut off from the others is left within five seconds, although its kernel keeps the connection.
 *
 * Threads: the loop's, but for link_healthy() and link_bytes().
 */
#pragma once

#include "base/list.h"
#include "net/grpc_mux.h"

#define LINK_ENDPOINTS_MAX 16
#define LINK_MESSAGE_MAX ((size_t)64 << 20) /* bytes of an answer */

struct link;

struct link_endpoint {
	char *host; /* owned */
	int port;
	bool tls;
};
/* "http://10.0.0.1:2379,https://[::1]:2379,name:2379,unix:/path": a port that is missing is 2379, a scheme is http. At
 * most LINK_ENDPOINTS_MAX; -1 with words that name the wrong one. */
int link_endpoints_read(struct sv text, struct link_endpoint *ret, size_t *ret_n, struct err *err);
void link_endpoints_free(struct link_endpoint *e, size_t n);

/* Embedded in what asks; the link's from link_request() until done(). */
struct link_req {
	const char *method;
	struct buf request; /* the asker's to release */
	int64_t until_ns;   /* of the loop's clock */
	/* answer: borrowed, where e->code is GRPC_OK. */
	void (*done)(struct link_req *r, const struct grpc_end *e, struct sv answer);
	void (*doubt)(struct link_req *r); /* it is asked again, as its answer is lost; may be NULL */
	bool ambiguous;			   /* a member may have begun with it whose answer never came */
	/* The link's own. */
	struct list link;
	struct link *of;
	struct grpc_call *call;
	struct buf answer;
	bool answered;
	int64_t since_ns;
};

struct link_cb {
	void (*up)(struct link *l, void *ctx);
	void (*down)(struct link *l, void *ctx);    /* after calls on it have ended */
	void (*stopped)(struct link *l, void *ctx); /* last, by link_stop(): it may be freed */
};

/* Endpoints are the caller's. patience: as etcd.h has it. */
struct link *link_new(struct env *env, struct ev_loop *loop, const struct link_endpoint *e, size_t n,
		      struct tls_ctx *tls, int patience, const struct link_cb *cb, void *ctx);
void link_start(struct link *l);
void link_grow(struct link *l, size_t n); /* the caller has put more behind his endpoints */
void link_request(struct link *l, struct link_req *r);
struct grpc_mux *link_mux(struct link *l);	  /* NULL: there is no connection */
void link_leave(struct link *l, const char *why); /* this member is of no use: the next one */
/* Nobody waits for long any more: a request has a second, and when one had no answer in it all others end, and those
 * that come, with GRPC_UNAVAILABLE. */
void link_hurry(struct link *l);
bool link_over(const struct link *l); /* that was so */
/* All requests end with GRPC_UNAVAILABLE, then the connection. */
void link_stop(struct link *l);
struct link *link_free(struct link *l);

/* As store_healthy() has it. */
bool link_healthy(struct link *l, struct err *why);
uint64_t link_bytes(struct link *l);
