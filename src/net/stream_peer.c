/* Is the peer of a socket still there? What a kernel finds out by itself is not enough:
 *
 *	nothing under way	keep-alive probes ask; 30 s without an answer end the connection
 *	bytes under way		the kernel sends them again for a quarter of an hour: we give up when nothing at all
 *				was acknowledged for SILENT_NS
 *	we do not read		a paused stream waits for no event, so it would not hear that its connection is
 *				reset: we ask for the socket's state
 *
 * TCP_USER_TIMEOUT would do the second, but it also ends those who are alive and do not read (a
 * pager at the end of a log): these acknowledge our probes, and live.
 *
 * One timer a loop looks at all of its sockets, while there are any. */
#include "net/stream-internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define LOOK_NS (10 * NS_PER_SEC)
#define SILENT_NS (20 * NS_PER_SEC)

static bool peer_gone(struct stream *s, int64_t now_ns)
{
	struct tcp_info ti;
	socklen_t n = sizeof(ti);

	if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0 || n < sizeof(ti))
		return false; /* a unix socket: its peer cannot go unnoticed */
	if (ti.tcpi_state == TCP_CLOSE)
		return true;
	if (!ti.tcpi_probes && !(ti.tcpi_unacked && ti.tcpi_retransmits)) {
		s->silent_since_ns = 0;
		return false;
	}
	/* An acknowledgement since we began to wonder means: slow, or much is lost. */
	if (!s->silent_since_ns || ti.tcpi_last_ack_recv * NS_PER_MS < now_ns - s->silent_since_ns) {
		s->silent_since_ns = now_ns;
		return false;
	}
	return now_ns - s->silent_since_ns >= SILENT_NS;
}

static void stream_peer_look(void *ctx)
{
	struct stream_loop *sl = ctx;
	int64_t now_ns = ev_loop_now_ns(sl->loop);

	LIST_EACH(&sl->all, it) {
		struct stream *s = LIST_ENTRY(it, struct stream, link);
		struct err err = ERR_INIT;

		if (!s->connected || s->closing || !peer_gone(s, now_ns))
			continue;
		err_set(&err, ERR_UNAVAILABLE, "the peer is gone");
		stream_fail(s, &err);
	}
	if (list_empty(&sl->all))
		sl->look = ev_timer_stop(sl->look);
}

void stream_peer_watch(struct stream *s)
{
	const int one = 1, idle_s = 15, interval_s = 5, probes = 3;

	(void)setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	if (!s->sl->look)
		s->sl->look = ev_timer_start(s->sl->loop, LOOK_NS, LOOK_NS, stream_peer_look, s->sl);
}
