#include "proxy/flows.h"

#include "base/strmap.h"
#include "base/vec.h"
#include "nft/nfnl.h"

#include <errno.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#define LOOKS_MAX 5 /* at entries that should go; the second finds nothing but for a rare race */
#define CT_GET (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET)
#define CT_DELETE (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE)

struct flows {
	struct strmap by_key;		 /* frontend_key bytes -> struct flow_frontend, its endpoints sorted */
	bool any[2];			 /* frontends of IPv4, of IPv6 */
	VEC(struct ip_addr) own;	 /* this machine's addresses */
	VEC(struct nfnl_request) doomed; /* each deletes one entry */
};

static void own_addresses(struct flows *f)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct ip_addr a = i->ifa_addr ? ip_of_sockaddr(i->ifa_addr) : IP_NONE;

		if (!ip_is_none(a))
			vec_push(&f->own, a);
	}
	freeifaddrs(all);
}

static bool is_own(const struct flows *f, struct ip_addr addr)
{
	for (size_t i = 0; i < f->own.n; i++) {
		if (ip_eq(f->own.p[i], addr))
			return true;
	}
	return ip_is_loopback(addr);
}

static int flow_cmp_endpoint(const void *a, const void *b)
{
	return endpoint_cmp(a, b);
}

static bool still_there(const struct flow_frontend *u, struct ip_addr addr, uint16_t port)
{
	struct endpoint e = { .addr = addr, .port = port };

	return u->now.n && bsearch(&e, u->now.p, u->now.n, sizeof(e), flow_cmp_endpoint);
}

/* One direction of an entry: who sends to whom. */
struct direction {
	struct ip_addr src, dst;
	uint16_t src_port, dst_port;
	uint8_t proto;
};

static bool flow_direction(const struct nlattr *tuple, struct direction *ret)
{
	const struct nlattr *proto = nfnl_attr_in(tuple, CTA_TUPLE_PROTO), *ip = nfnl_attr_in(tuple, CTA_TUPLE_IP);

	return nfnl_u8(nfnl_attr_in(proto, CTA_PROTO_NUM), &ret->proto) &&
	       (ret->proto == IPPROTO_UDP || ret->proto == IPPROTO_SCTP) &&
	       nfnl_be16(nfnl_attr_in(proto, CTA_PROTO_SRC_PORT), &ret->src_port) &&
	       nfnl_be16(nfnl_attr_in(proto, CTA_PROTO_DST_PORT), &ret->dst_port) &&
	       nfnl_ip(nfnl_attr_in(ip, CTA_IP_V4_SRC), nfnl_attr_in(ip, CTA_IP_V6_SRC), &ret->src) &&
	       nfnl_ip(nfnl_attr_in(ip, CTA_IP_V4_DST), nfnl_attr_in(ip, CTA_IP_V6_DST), &ret->dst);
}

static const struct flow_frontend *flow_of(const struct flows *f, uint8_t proto, struct ip_addr addr, uint16_t port,
					   bool node_port)
{
	struct frontend_key k = { .addr = node_port ? IP_NONE : addr, .port = port, .proto = proto };

	k.v6 = node_port && !ip_is_v4(addr);
	return strmap_get(&f->by_key, sv_make((const char *)&k, sizeof(k)));
}

/* Whether a frontend should translate what this flow's clients send, and did not, or to an endpoint that is gone. */
static bool is_stale(const struct flows *f, const struct direction *orig, const struct direction *reply,
		     bool translated)
{
	const struct flow_frontend *u = flow_of(f, orig->proto, orig->dst, orig->dst_port, false);

	if (u && !still_there(u, reply->src, reply->src_port))
		return true;
	/* A node port is on any of our addresses. What was sent there before there was a frontend was not translated,
	 * and would not be as long as the sender goes on. */
	u = flow_of(f, orig->proto, orig->dst, orig->dst_port, true);
	if (u && (translated || is_own(f, orig->dst)))
		return !still_there(u, reply->src, reply->src_port);
	/* The same flow seen from the other end: a program on the node spoke first, or its answer was under way while
	 * we forgot that it was one. The client's packets are replies then, which nothing translates. */
	u = flow_of(f, orig->proto, orig->src, orig->src_port, true);
	return u && !translated && is_own(f, orig->src);
}

/* What names the entry, as the kernel told it. Some have no zone. */
static void flow_name(struct nlmsghdr *delete, const struct nlattr *a)
{
	if (a)
		(void)mnl_attr_put_check(delete, sizeof(struct nfnl_request), a->nla_type, mnl_attr_get_payload_len(a),
					 mnl_attr_get_payload(a));
}

static void on_flow(const struct nlmsghdr *h, void *ctx)
{
	const struct nlattr *orig = nfnl_attr(h, CTA_TUPLE_ORIG);
	struct direction there, back;
	struct nfnl_request r;
	struct nlmsghdr *delete;
	struct flows *f = ctx;
	uint32_t status = 0;

	if (!flow_direction(orig, &there) || !flow_direction(nfnl_attr(h, CTA_TUPLE_REPLY), &back))
		return;
	(void)nfnl_be32(nfnl_attr(h, CTA_STATUS), &status);
	if (!is_stale(f, &there, &back, status & IPS_DST_NAT))
		return;
	delete = nfnl_begin(&r, CT_DELETE, NLM_F_ACK, ip_is_v4(there.dst) ? AF_INET : AF_INET6);
	flow_name(delete, orig);
	flow_name(delete, nfnl_attr(h, CTA_ID));
	flow_name(delete, nfnl_attr(h, CTA_ZONE));
	vec_push(&f->doomed, r);
}

/* One look; how many entries were deleted, or -1. */
static int forget_once(struct mnl_socket *s, struct flows *f, struct err *err)
{
	int rc = 0, deleted = 0;

	for (int v6 = 0; v6 < 2 && rc == 0; v6++) {
		struct nfnl_request all;

		if (!f->any[v6])
			continue;
		nfnl_begin(&all, CT_GET, NLM_F_DUMP, v6 ? AF_INET6 : AF_INET);
		rc = nfnl_call(s, &all, on_flow, f, err);
	}
	for (size_t i = 0; i < f->doomed.n && rc == 0; i++) {
		struct err gone = ERR_INIT;

		if (nfnl_call(s, &f->doomed.p[i], NULL, NULL, &gone) == 0)
			deleted++;
		else if (gone.errnum != ENOENT) /* it may have timed out meanwhile */
			rc = err_move(err, &gone);
		err_release(&gone);
	}
	vec_release(&f->doomed);
	return rc < 0 ? -1 : deleted;
}

int flows_forget(struct mnl_socket *s, struct flow_frontend *u, size_t n, struct err *err)
{
	struct flows f = { .own = VEC_INIT, .doomed = VEC_INIT };
	int deleted = 0, more;

	/* The kernel may track a million flows: each is looked up, not searched for. */
	for (size_t i = 0; i < n; i++) {
		if (u[i].now.n)
			qsort(u[i].now.p, u[i].now.n, sizeof(*u[i].now.p), flow_cmp_endpoint);
		strmap_set(&f.by_key, sv_make((const char *)&u[i].key, sizeof(u[i].key)), &u[i]);
		f.any[frontend_v6(&u[i].key)] = true;
	}
	own_addresses(&f);
	/* An answer that was under way while its entry went makes a new one, the wrong way round: we look again. */
	for (int look = 0; look < LOOKS_MAX; look++) {
		more = forget_once(s, &f, err);
		if (more <= 0)
			break;
		deleted += more;
	}
	vec_release(&f.own);
	strmap_release(&f.by_key);
	return more < 0 ? -1 : deleted;
}
