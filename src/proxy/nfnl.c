#include "proxy/nfnl.h"

#include "base/vec.h"

#include <ifaddrs.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LOOKS_MAX 5 /* at entries that should go; the second finds nothing but for a rare race */

int nfnl_open(struct err *err)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = 5 }; /* the kernel answers within the call; this is for bugs */
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0)
		return err_set_errno(err, errno, "netfilter socket");
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
		int e = errno;

		close(fd);
		return err_set_errno(err, e, "netfilter socket");
	}
	return fd;
}

/* --- attributes --- */

static const struct nlattr *attr_find(const void *p, size_t n, uint16_t type)
{
	const char *at = p;

	while (n >= sizeof(struct nlattr)) {
		const struct nlattr *a = (const void *)at;
		size_t step = NLA_ALIGN(a->nla_len);

		if (a->nla_len < sizeof(*a) || a->nla_len > n)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		if (step >= n)
			return NULL;
		at += step;
		n -= step;
	}
	return NULL;
}

static const void *attr_data(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}

static size_t attr_len(const struct nlattr *a)
{
	return a->nla_len - (size_t)NLA_HDRLEN;
}

static const struct nlattr *attr_in(const struct nlattr *a, uint16_t type)
{
	return a ? attr_find(attr_data(a), attr_len(a), type) : NULL;
}

static bool attr_u8(const struct nlattr *a, uint8_t *ret)
{
	if (!a || attr_len(a) < 1)
		return false;
	*ret = *(const uint8_t *)attr_data(a);
	return true;
}

static bool attr_u16(const struct nlattr *a, uint16_t *ret)
{
	if (!a || attr_len(a) < 2)
		return false;
	memcpy(ret, attr_data(a), 2);
	*ret = ntohs(*ret);
	return true;
}

static bool attr_u32(const struct nlattr *a, uint32_t *ret)
{
	if (!a || attr_len(a) < 4)
		return false;
	memcpy(ret, attr_data(a), 4);
	*ret = ntohl(*ret);
	return true;
}

/* --- calls --- */

typedef void reply_fn(const struct nlmsghdr *h, void *ctx);

static int send_request(int fd, uint16_t type, uint16_t flags, uint8_t family, struct sv attrs, struct err *err)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} head = {
		.h = { .nlmsg_type = type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.g = { .nfgen_family = family, .version = NFNETLINK_V0 },
	};
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	head.h.nlmsg_len = (uint32_t)(sizeof(head) + attrs.n);
	buf_add(&b, &head, sizeof(head));
	buf_addsv(&b, attrs);
	if (send(fd, b.p, b.n, 0) < 0)
		return err_set_errno(err, errno, "netfilter request");
	return 0;
}

/* Reads until the kernel says it is done, or for a request without dump and acknowledgement the one reply. */
static int read_replies(int fd, bool one, reply_fn *fn, void *ctx, struct err *err)
{
	_cleanup_free_ char *mem = xmalloc(65536);

	for (;;) {
		ssize_t got = recv(fd, mem, 65536, 0);
		size_t n;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set_errno(err, errno, "netfilter reply");
		n = (size_t)got;
		for (const struct nlmsghdr *h = (const void *)mem; n >= sizeof(*h);) {
			size_t step = NLMSG_ALIGN(h->nlmsg_len);

			if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > n)
				return err_set(err, ERR_INTERNAL, "netfilter reply is cut off");
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = NLMSG_DATA(h);

				return e->error ? err_set_errno(err, -e->error, "netfilter request") : 0;
			}
			if (fn)
				fn(h, ctx);
			if (one)
				return 0;
			if (step >= n)
				break;
			n -= step;
			h = (const void *)((const char *)h + step);
		}
	}
}

static struct sv payload(const struct nlmsghdr *h)
{
	size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));

	return h->nlmsg_len > head ? sv_make((const char *)h + head, h->nlmsg_len - head) : SV_NULL;
}

static void on_generation(const struct nlmsghdr *h, void *ctx)
{
	struct sv p = payload(h);

	(void)attr_u32(attr_find(p.p, p.n, NFTA_GEN_ID), ctx);
}

int nfnl_generation(int fd, uint32_t *ret, struct err *err)
{
	*ret = 0;
	if (send_request(fd, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, AF_UNSPEC, SV_NULL, err) < 0)
		return -1;
	return read_replies(fd, true, on_generation, ret, err);
}

/* --- conntrack --- */

struct flows {
	const struct udp_frontend *u;
	size_t n;
	VEC(uint32_t) own;	/* this machine's addresses */
	VEC(struct buf) doomed; /* attributes naming one entry each */
};

static void own_addresses(struct flows *f)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct sockaddr_in in;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
			continue;
		memcpy(&in, i->ifa_addr, sizeof(in));
		vec_push(&f->own, ntohl(in.sin_addr.s_addr));
	}
	freeifaddrs(all);
}

static bool is_own(const struct flows *f, uint32_t addr)
{
	for (size_t i = 0; i < f->own.n; i++) {
		if (f->own.p[i] == addr)
			return true;
	}
	return addr >> 24 == 127;
}

static bool still_there(const struct udp_frontend *u, uint32_t addr, uint16_t port)
{
	for (size_t i = 0; i < u->now.n; i++) {
		if (u->now.p[i].addr == addr && u->now.p[i].port == port)
			return true;
	}
	return false;
}

/* One direction of an entry: who sends to whom. */
struct direction {
	uint32_t src, dst;
	uint16_t src_port, dst_port;
};

static bool udp_direction(const struct nlattr *tuple, struct direction *ret)
{
	const struct nlattr *proto = attr_in(tuple, CTA_TUPLE_PROTO), *ip = attr_in(tuple, CTA_TUPLE_IP);
	uint8_t num;

	return attr_u8(attr_in(proto, CTA_PROTO_NUM), &num) && num == IPPROTO_UDP &&
	       attr_u16(attr_in(proto, CTA_PROTO_SRC_PORT), &ret->src_port) &&
	       attr_u16(attr_in(proto, CTA_PROTO_DST_PORT), &ret->dst_port) &&
	       attr_u32(attr_in(ip, CTA_IP_V4_SRC), &ret->src) && attr_u32(attr_in(ip, CTA_IP_V4_DST), &ret->dst);
}

/* Whether a frontend should translate what this flow's clients send, and did not, or to an endpoint that is gone. */
static bool is_stale(const struct flows *f, const struct udp_frontend *u, const struct direction *orig,
		     const struct direction *reply, bool translated)
{
	if (u->key.addr)
		return orig->dst == u->key.addr && orig->dst_port == u->key.port &&
		       !still_there(u, reply->src, reply->src_port);
	/* A node port is on any of our addresses. What was sent there before there was a frontend was not translated,
	 * and would not be as long as the sender goes on. */
	if (orig->dst_port == u->key.port && (translated || is_own(f, orig->dst)))
		return !still_there(u, reply->src, reply->src_port);
	/* The same flow seen from the other end: a program on the node spoke first, or its answer was under way while
	 * we forgot that it was one. The client's packets are replies then, which nothing translates. */
	return orig->src_port == u->key.port && !translated && is_own(f, orig->src);
}

static void on_flow(const struct nlmsghdr *h, void *ctx)
{
	struct flows *f = ctx;
	struct sv p = payload(h);
	const struct nlattr *orig = attr_find(p.p, p.n, CTA_TUPLE_ORIG), *reply = attr_find(p.p, p.n, CTA_TUPLE_REPLY);
	struct direction there, back;
	uint32_t status = 0;

	if (!udp_direction(orig, &there) || !udp_direction(reply, &back))
		return;
	(void)attr_u32(attr_find(p.p, p.n, CTA_STATUS), &status);
	for (size_t i = 0; i < f->n; i++) {
		struct buf b = BUF_INIT;
		const struct nlattr *id = attr_find(p.p, p.n, CTA_ID), *zone = attr_find(p.p, p.n, CTA_ZONE);

		if (!is_stale(f, &f->u[i], &there, &back, status & IPS_DST_NAT))
			continue;
		buf_add(&b, orig, NLA_ALIGN(orig->nla_len));
		if (id)
			buf_add(&b, id, NLA_ALIGN(id->nla_len));
		if (zone)
			buf_add(&b, zone, NLA_ALIGN(zone->nla_len));
		vec_push(&f->doomed, b);
		return;
	}
}

/* One look; how many entries were deleted, or -1. */
static int forget_once(int fd, struct flows *f, struct err *err)
{
	int rc, deleted = 0;

	rc = send_request(fd, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_INET, SV_NULL, err);
	if (rc == 0)
		rc = read_replies(fd, false, on_flow, f, err);
	for (size_t i = 0; i < f->doomed.n; i++) {
		struct err gone = ERR_INIT;

		if (rc == 0 && send_request(fd, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, NLM_F_ACK, AF_INET,
					    buf_sv(&f->doomed.p[i]), err) < 0)
			rc = -1;
		if (rc == 0) {
			if (read_replies(fd, false, NULL, NULL, &gone) == 0)
				deleted++;
			else if (gone.errnum != ENOENT) /* it may have timed out meanwhile */
				rc = err_move(err, &gone);
		}
		err_release(&gone);
		buf_release(&f->doomed.p[i]);
	}
	vec_release(&f->doomed);
	return rc < 0 ? -1 : deleted;
}

int nfnl_forget_udp(int fd, const struct udp_frontend *u, size_t n, struct err *err)
{
	struct flows f = { .u = u, .n = n, .own = VEC_INIT, .doomed = VEC_INIT };
	int deleted = 0, more;

	own_addresses(&f);
	/* An answer that was under way while its entry went makes a new one, the wrong way round: we look again. */
	for (int look = 0; look < LOOKS_MAX; look++) {
		more = forget_once(fd, &f, err);
		if (more <= 0)
			break;
		deleted += more;
	}
	vec_release(&f.own);
	return more < 0 ? -1 : deleted;
}
