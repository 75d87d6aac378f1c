#include "proxy/flows.h"

#include "base/strmap.h"
#include "base/vec.h"
#include "nft/conntrack.h"

#include <ifaddrs.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

struct flows {
	struct strmap by_key;	 /* frontend_key bytes -> struct flow_frontend, its endpoints sorted */
	bool any[2];		 /* frontends of IPv4, of IPv6 */
	bool answered;		 /* what was answered goes, too: there are frontends of UDP or SCTP */
	VEC(struct ip_addr) own; /* this machine's addresses */
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

static const struct flow_frontend *flow_of(const struct flows *f, uint8_t proto, struct ip_addr addr, uint16_t port,
					   bool node_port)
{
	struct frontend_key k = { .addr = node_port ? IP_NONE : addr, .port = port, .proto = proto };

	k.v6 = node_port && !ip_is_v4(addr);
	return strmap_get(&f->by_key, sv_make((const char *)&k, sizeof(k)));
}

/* Whether a frontend should translate what this flow's clients send, and did not, or to an endpoint that is gone. */
static bool is_stale(const struct flows *f, const struct ct_direction *orig, const struct ct_direction *reply,
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

static bool flow_is_stale(const struct ct_flow *f, void *ctx)
{
	if (f->orig.proto == IPPROTO_TCP && (f->status & IPS_SEEN_REPLY))
		return false; /* it goes on until its ends end it */
	return (f->orig.proto == IPPROTO_TCP || f->orig.proto == IPPROTO_UDP || f->orig.proto == IPPROTO_SCTP) &&
	       is_stale(ctx, &f->orig, &f->reply, f->status & IPS_DST_NAT);
}

int flows_forget(struct mnl_socket *s, struct flow_frontend *u, size_t n, struct err *err)
{
	struct flows f = { .own = VEC_INIT };
	int deleted = 0;

	/* The kernel may track a million flows: each is looked up, not searched for. */
	for (size_t i = 0; i < n; i++) {
		if (u[i].now.n)
			qsort(u[i].now.p, u[i].now.n, sizeof(*u[i].now.p), flow_cmp_endpoint);
		strmap_set(&f.by_key, sv_make((const char *)&u[i].key, sizeof(u[i].key)), &u[i]);
		f.any[frontend_v6(&u[i].key)] = true;
		f.answered |= u[i].key.proto != IPPROTO_TCP;
	}
	own_addresses(&f);
	for (int v6 = 0; v6 < 2 && deleted >= 0; v6++) {
		int more = f.any[v6] ? conntrack_forget(s, v6, !f.answered, flow_is_stale, &f, err) : 0;

		deleted = more < 0 ? -1 : deleted + more;
	}
	vec_release(&f.own);
	strmap_release(&f.by_key);
	return deleted;
}
