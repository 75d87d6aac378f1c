/* Bodies of requests that are handled while they come.
 *
 *	head --streams()--> handler --http_body_start()--> data() ... data() --> end()
 *
 * Nothing is told before it is asked for, and nothing while it is paused: HTTP/1 leaves its input where it is then and
 * stops reading, HTTP/2 keeps what still comes (http_body.c counts it) while its peer's window is shut by as much. What
 * is there already when it is asked for is told from the loop, not from inside the call that asks. */
#include "net/http-internal.h"

static struct http_rq *up_rq(const struct http_req *r)
{
	return (struct http_rq *)(uintptr_t)r;
}

bool rq_streams(struct http_rq *r)
{
	const struct http_server_opts *o = &r->conn->lane->srv->o;

	if (!o->streams || !o->streams(&r->pub, o->ctx))
		return false;
	r->pub.body_streams = true;
	r->pub.body_length = r->body_expected;
	return true;
}

bool rq_body_open(const struct http_rq *r)
{
	return r->pub.body_streams && !r->up_whole && !r->up_broken;
}

bool rq_body_left(const struct http_rq *r)
{
	return r->up_left || r->state == RQ_FINISHING || r->state == RQ_DONE;
}

/* May anything be told? */
static bool up_may_tell(const struct http_rq *r)
{
	return r->up && !r->up_paused && !r->up_telling && !r->up_ended && !rq_body_left(r);
}

bool rq_body_taken(const struct http_rq *r)
{
	return up_may_tell(r) && r->up_told == r->up_kept;
}

void rq_body_tell(struct http_rq *r, struct sv bytes)
{
	r->up_telling = true;
	r->up->data(&r->pub, bytes, r->up_ctx);
	r->up_telling = false;
}

void rq_body_end(struct http_rq *r, bool whole)
{
	if (!rq_body_open(r))
		return;
	r->up_whole = whole;
	r->up_broken = !whole;
	rq_body_go_on(r);
}

void rq_body_go_on(struct http_rq *r)
{
	http_req_ref(&r->pub);
	while (up_may_tell(r) && r->up_told < r->up_kept) {
		struct sv piece = sv_sub(sv_make(r->body, r->up_kept), r->up_told, HTTP_BODY_AHEAD);

		r->up_told += piece.n;
		rq_body_tell(r, piece);
		if (r->conn->s && r->conn->ops->body_told)
			r->conn->ops->body_told(r, piece.n);
	}
	if (r->up_kept && r->up_told == r->up_kept)
		rq_body_drop(r);
	if (up_may_tell(r) && !r->up_kept && !rq_body_open(r)) {
		r->up_ended = true;
		r->up->end(&r->pub, r->up_whole, r->up_ctx);
	}
	http_req_unref(&r->pub);
}

/* --- what the handler says --- */

static void up_ask(struct http_rq *r)
{
	if (r->conn->s && !r->up_paused && !rq_body_left(r))
		r->conn->ops->body_asked(r);
}

void http_body_start(struct http_req *pub, const struct http_body_cb *cb, void *ctx)
{
	struct http_rq *r = up_rq(pub);

	if (!pub->body_streams || r->up || r->up_left)
		return;
	r->up = cb;
	r->up_ctx = ctx;
	up_ask(r);
}

void http_body_pause(struct http_req *pub, bool paused)
{
	struct http_rq *r = up_rq(pub);

	if (!r->up || r->up_paused == paused)
		return;
	r->up_paused = paused;
	up_ask(r);
}

void http_body_leave(struct http_req *pub)
{
	struct http_rq *r = up_rq(pub);

	if (!pub->body_streams)
		return;
	r->up = NULL;
	r->up_left = true;
	if (!r->up_telling)
		rq_body_drop(r);
}
