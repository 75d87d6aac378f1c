/* What one loop has of a server: references, time limits, the date.
 *
 * Time limits are lists, one a kind, in the order of their deadlines (each kind has one fixed
 * duration), under one timer a loop that is armed only while a list has a member.
 */
#include "net/http-internal.h"
#include "net/net-internal.h"

#include <stdlib.h>
#include <time.h>

#define SHED_AFTER_NS (2 * NS_PER_SEC) /* when places are short, for a handshake or a head */

#define HEADS_MAX 4096 /* at once, unless asked for: each that has begun holds 40 KiB of OpenSSL's */

static const int64_t lane_wait_ns[_HTTP_WAIT_MAX] = {
	[HTTP_WAIT_HEAD] = 30 * NS_PER_SEC,
	[HTTP_WAIT_BODY] = 60 * NS_PER_SEC,
	[HTTP_WAIT_IDLE] = 120 * NS_PER_SEC,
};

static int64_t lane_wait(const struct lane *ln, enum http_wait w)
{
	int64_t asked = ln->srv->o.request_ns;

	return asked && w != HTTP_WAIT_IDLE ? asked : lane_wait_ns[w];
}

static void lane_unwait(struct http_conn *c)
{
	if (c->waiting == HTTP_WAIT_HEAD && !list_empty(&c->wait))
		c->lane->n_heads--;
	list_del(&c->wait);
	c->waiting = HTTP_WAIT_NONE;
}

void http_server_unref(struct http_server *s)
{
	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->n_lanes; i++) {
		LIST_EACH(&s->lanes[i].spare, it)
			free(LIST_ENTRY(it, struct http_rq, link));
		vec_release(&s->lanes[i].spare_posts);
		pthread_mutex_destroy(&s->lanes[i].posts_lock);
	}
	tls_ctx_unref(s->tls);
	free(s->unix_path);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s);
}

void http_conn_unref(struct http_conn *c)
{
	struct http_server *s = c->lane->srv;

	if (--c->refs > 0)
		return;
	free(c->peer.organizations);
	free(c->peer_mem);
	free(c);
	http_server_unref(s);
}

struct sv lane_date(struct lane *ln)
{
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	if (t.tv_sec != ln->date_s) {
		ln->date_s = t.tv_sec;
		gmtime_r(&t.tv_sec, &tm);
		strftime(ln->date, sizeof(ln->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return sv_make(ln->date, HTTP_DATE_LEN);
}

static void lane_on_timer(void *p);

static void lane_arm(struct lane *ln)
{
	int64_t first = INT64_MAX;

	if (ln->timer)
		return;
	for (int w = HTTP_WAIT_NONE + 1; w < _HTTP_WAIT_MAX; w++) {
		if (!list_empty(&ln->waits[w]))
			first = MIN(first, LIST_ENTRY(ln->waits[w].next, struct http_conn, wait)->deadline_ns);
	}
	if (!list_empty(&ln->stalls))
		first = MIN(first, LIST_ENTRY(ln->stalls.next, struct http_rq, stall)->stall_due_ns);
	ln->timer_due_ns = first;
	if (first != INT64_MAX)
		ln->timer =
		    ev_timer_start(ln->loop, MAX(first - ev_loop_now_ns(ln->loop), NS_PER_MS), 0, lane_on_timer, ln);
}

/* A connection's time is over. */
static void lane_conn_expired(struct http_conn *c, enum http_wait w)
{
	/* Told to go and still there: a peer that takes not even that. */
	if (w != HTTP_WAIT_IDLE || c->goaway) {
		stream_abort(c->s);
	} else if (c->ops->idle) {
		c->ops->idle(c);
		http_conn_wait(c, HTTP_WAIT_IDLE);
	} else {
		stream_close(c->s);
	}
}

/* Its time limit is over: no more of it. */
static void lane_stalled(struct http_rq *r)
{
	struct http_conn *c = r->conn;

	/* Either nothing of the connection gets through, or only this stream's window is shut. */
	if (c->ops->reset && (!stream_queued(c->s) || stream_sent_bytes(c->s) != r->stall_sent))
		c->ops->reset(r);
	else
		stream_abort(c->s);
}

/* Looks at the responses whose limit is over. One of which the peer took a part gets another: so a limit is one to two
 * times stall_ns, and sending costs a flag instead of a list's order. */
static void lane_check_stalls(struct lane *ln, int64_t now)
{
	while (!list_empty(&ln->stalls)) {
		struct http_rq *r = LIST_ENTRY(ln->stalls.next, struct http_rq, stall);

		if (r->stall_due_ns > now)
			break;
		list_del(&r->stall);
		if (r->moved)
			http_rq_limit(r);
		else
			lane_stalled(r);
	}
}

static void lane_on_timer(void *p)
{
	struct lane *ln = p;
	int64_t now = ev_loop_now_ns(ln->loop);

	ln->timer = ev_timer_stop(ln->timer);
	for (int w = HTTP_WAIT_NONE + 1; w < _HTTP_WAIT_MAX; w++) {
		while (!list_empty(&ln->waits[w])) {
			struct http_conn *c = LIST_ENTRY(ln->waits[w].next, struct http_conn, wait);

			if (c->deadline_ns > now)
				break;
			lane_unwait(c);
			lane_conn_expired(c, (enum http_wait)w);
		}
	}
	lane_check_stalls(ln, now);
	lane_arm(ln);
}

/* Sees to it that the timer runs out at due_ns or before. */
static void lane_due(struct lane *ln, int64_t due_ns)
{
	/* A timer that runs for something earlier will look again; one for something later must go. */
	if (ln->timer && due_ns < ln->timer_due_ns)
		ln->timer = ev_timer_stop(ln->timer);
	if (!ln->timer)
		lane_arm(ln);
}

void http_rq_limit(struct http_rq *r)
{
	struct lane *ln = r->conn->lane;

	list_del(&r->stall);
	if (ln->aborting || !r->conn->s || r->state == RQ_DONE)
		return;
	r->moved = false;
	r->stall_sent = stream_sent_bytes(r->conn->s);
	r->stall_due_ns = ev_loop_now_ns(ln->loop) + ln->srv->o.stall_ns;
	list_add_tail(&ln->stalls, &r->stall);
	lane_due(ln, r->stall_due_ns);
}

/* One that waits for a handshake or a head too many: the oldest goes, if it had its time, and in any case when there
 * are twice as many. */
static void lane_bound_heads(struct lane *ln)
{
	const struct http_server *s = ln->srv;
	size_t most = (s->o.max_heads ? s->o.max_heads : HEADS_MAX) / s->n_lanes;
	struct http_conn *c = LIST_ENTRY(ln->waits[HTTP_WAIT_HEAD].next, struct http_conn, wait);
	int64_t had_ns = ev_loop_now_ns(ln->loop) + lane_wait(ln, HTTP_WAIT_HEAD) - c->deadline_ns;

	most = MAX(most, (size_t)1);
	if (ln->n_heads <= most || (ln->n_heads <= 2 * most && had_ns < SHED_AFTER_NS))
		return;
	lane_unwait(c);
	stream_abort(c->s);
}

void http_conn_wait(struct http_conn *c, enum http_wait w)
{
	struct lane *ln = c->lane;

	lane_unwait(c);
	c->waiting = w;
	if (w == HTTP_WAIT_NONE || ln->aborting || !c->s)
		return;
	c->deadline_ns = ev_loop_now_ns(ln->loop) + lane_wait(ln, w);
	list_add_tail(&ln->waits[w], &c->wait);
	lane_due(ln, c->deadline_ns);
	if (w == HTTP_WAIT_HEAD) {
		ln->n_heads++;
		lane_bound_heads(ln);
	}
}

/* Gives up connections that have said nothing useful for a while: whoever opens many and does no more must not take
 * everybody's place. */
void http_lane_shed(struct lane *ln)
{
	int64_t before_ns = ev_loop_now_ns(ln->loop) - SHED_AFTER_NS + lane_wait(ln, HTTP_WAIT_HEAD);

	while (!list_empty(&ln->waits[HTTP_WAIT_HEAD])) {
		struct http_conn *c = LIST_ENTRY(ln->waits[HTTP_WAIT_HEAD].next, struct http_conn, wait);

		if (c->deadline_ns > before_ns)
			break;
		lane_unwait(c);
		stream_abort(c->s);
	}
}
