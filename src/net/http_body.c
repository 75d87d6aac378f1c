/* Request bodies and large heads, and what they may cost while they are not complete.
 *
 * The handler sees a request only with its whole body, so nobody knows yet who sends it: what one
 * connection and all together may fill is bounded, and so is the time. A request over a bound is
 * refused and its bytes are dropped, the others go on. What is kept of bodies that stream counts as well. A connection
 * may fill an eighth of what all leave free: so a hundred that fill what they can leave as much to the next one as each
 * of them has. */
#include "net/http-internal.h"

#include <stdlib.h>

#define CONN_PART 8			   /* of the server's bytes that are free */
#define TOLD_PART 4			   /* of what is kept of a body that streams: so much of it told is let go */
#define HEAD_SMALL ((size_t)4 * 1024)	   /* is not counted: an idle connection costs more */
#define PROGRESS_BYTES ((size_t)32 * 1024) /* that earn another time limit: less than 550 bytes a second do not */

/* Counts what r holds now, which may be nothing any more. */
static bool body_count(struct http_rq *r, size_t bytes)
{
	struct http_conn *c = r->conn;
	struct http_server *s = c->lane->srv;

	if (bytes > r->counted) {
		size_t more = bytes - r->counted, all = atomic_load(&s->bodies), max = s->o.max_incomplete;

		if (all + more > max || c->bodies + more > (max - all) / CONN_PART)
			return false;
		c->bodies += more;
		atomic_fetch_add(&s->bodies, more);
	} else {
		c->bodies -= r->counted - bytes;
		atomic_fetch_sub(&s->bodies, r->counted - bytes);
	}
	r->counted = bytes;
	return true;
}

/* Its body takes `cap` from now on; with the head, where that is large. */
static bool body_takes(struct http_rq *r, size_t cap)
{
	return body_count(r, cap + (r->header_bytes > HEAD_SMALL ? r->header_bytes : 0));
}

bool rq_head_add(struct http_rq *r, size_t n)
{
	r->header_bytes += n;
	return r->header_bytes <= HEAD_SMALL || body_takes(r, r->body_cap);
}

int rq_body_add(struct http_rq *r, struct sv bytes)
{
	size_t n = r->pub.body.n, max = r->conn->lane->srv->o.max_body;

	if (bytes.n > max - n)
		return 413;
	if (n + bytes.n > r->body_cap) {
		/* An announced length is believed step by step, so that announcing costs nothing. */
		size_t cap = MAX(n + bytes.n, r->body_cap * 2);

		if (r->body_expected >= 0)
			cap = MAX(MIN((size_t)r->body_expected, MAX(cap, 64 * 1024)), n + bytes.n);
		if (!body_takes(r, cap))
			return 429;
		r->body = xrealloc(r->body, cap);
		r->body_cap = cap;
	}
	if (bytes.n)
		memcpy(r->body + n, bytes.p, bytes.n);
	r->pub.body = sv_make(r->body, n + bytes.n);
	r->conn->body_news += bytes.n;
	return 0;
}

/* What is told makes room for what comes once it is a part of all: no byte is moved more than three times, and a peer
 * that fills its window whenever that opens has a third of it held besides. */
static void body_shift(struct http_rq *r)
{
	if (!r->up_told || r->up_telling || r->up_told < r->up_kept / TOLD_PART)
		return;
	r->up_kept -= r->up_told;
	memmove(r->body, r->body + r->up_told, r->up_kept);
	r->up_told = 0;
}

/* In steps, for a peer's window bounds it. */
bool rq_body_keep(struct http_rq *r, struct sv bytes)
{
	if (bytes.n > r->body_cap - r->up_kept)
		body_shift(r);
	if (bytes.n > r->body_cap - r->up_kept) {
		size_t cap = r->up_kept + MAX(bytes.n, HTTP_BODY_AHEAD);

		if (!body_takes(r, cap))
			return false;
		r->body = xrealloc(r->body, cap);
		r->body_cap = cap;
	}
	memcpy(r->body + r->up_kept, bytes.p, bytes.n);
	r->up_kept += bytes.n;
	return true;
}

void rq_body_done(struct http_rq *r)
{
	body_count(r, 0);
	r->conn->body_news = PROGRESS_BYTES;
}

void rq_body_drop(struct http_rq *r)
{
	rq_body_done(r);
	free(TAKE(r->body));
	r->body_cap = r->up_kept = r->up_told = 0;
	r->pub.body = SV_NULL;
}

void http_conn_wait_body(struct http_conn *c)
{
	if (c->waiting == HTTP_WAIT_BODY && c->body_news < PROGRESS_BYTES)
		return;
	c->body_news = 0;
	http_conn_wait(c, HTTP_WAIT_BODY);
}
