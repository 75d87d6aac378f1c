#include "net/rtnl.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#define REPLY_BYTES 32768 /* what the kernel fills at once of a dump */

struct rtnl {
	struct mnl_socket *s;
	uint32_t seq;
};

struct rtnl *rtnl_open(struct err *err)
{
	struct timeval patience = { .tv_sec = 5 };
	struct rtnl *r = xcalloc(1, sizeof(*r));
	int on = 1;

	r->s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!r->s || mnl_socket_bind(r->s, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(r->s), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
		err_set_errno(err, errno, "netlink socket for routes");
		return rtnl_close(r);
	}
	/* Dumps of what was asked for alone (since Linux 4.20); who reads them looks again. */
	(void)mnl_socket_setsockopt(r->s, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return r;
}

struct rtnl *rtnl_close(struct rtnl *r)
{
	if (r && r->s)
		(void)mnl_socket_close(r->s);
	free(r);
	return NULL;
}

struct rtnl_answer {
	void (*fn)(const struct nlmsghdr *h, void *ctx);
	void *ctx;
	uint32_t seq;
	bool dump, interrupted, done;
	int error;
};

static void rtnl_message(struct rtnl_answer *a, const struct nlmsghdr *h)
{
	int32_t e;

	if (h->nlmsg_seq != a->seq)
		return; /* the end of an earlier answer, which nobody waited for */
	a->interrupted |= (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
	if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
		a->done = true;
		if (mnl_nlmsg_get_payload_len(h) >= sizeof(e)) {
			memcpy(&e, mnl_nlmsg_get_payload(h), sizeof(e));
			a->error = -e;
		}
	} else if (h->nlmsg_type >= NLMSG_MIN_TYPE && a->fn) {
		a->fn(h, a->ctx);
	}
}

int rtnl_call(struct rtnl *r, struct nlmsghdr *request, void (*fn)(const struct nlmsghdr *h, void *ctx), void *ctx,
	      struct err *err)
{
	struct rtnl_answer a = { .fn = fn, .ctx = ctx, .seq = ++r->seq };
	_cleanup_free_ char *buf = xmalloc(REPLY_BYTES);

	a.dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	request->nlmsg_seq = a.seq;
	request->nlmsg_flags |= (uint16_t)(NLM_F_REQUEST | (a.dump ? 0 : NLM_F_ACK));
	if (mnl_socket_sendto(r->s, request, request->nlmsg_len) < 0)
		return err_set_errno(err, errno, "asking the kernel about links and routes");
	while (!a.done) {
		ssize_t got = mnl_socket_recvfrom(r->s, buf, REPLY_BYTES);
		const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)buf;
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set_errno(err, errno, "the kernel's answer about links and routes");
		for (; mnl_nlmsg_ok(h, left) && !a.done; h = mnl_nlmsg_next(h, &left))
			rtnl_message(&a, h);
	}
	if (!a.error && a.interrupted)
		a.error = EINTR;
	return a.error ? err_set_errno(err, a.error, "the kernel refuses") : 0;
}
