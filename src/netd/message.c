#include "netd/message.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

/* --- made --- */

static struct nlmsghdr *message_begin(struct net_message *m, uint16_t type, unsigned flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(m->mem);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)flags;
	return h;
}

static uint8_t message_family(struct ip_addr a)
{
	return ip_is_v4(a) ? AF_INET : AF_INET6;
}

/* 4 or 16 bytes. */
static void put_addr(struct nlmsghdr *h, uint16_t type, struct ip_addr a)
{
	if (ip_is_v4(a))
		mnl_attr_put(h, type, 4, a.b + 12);
	else
		mnl_attr_put(h, type, 16, a.b);
}

static struct nlmsghdr *message_link(struct net_message *m, uint16_t type, unsigned flags, int index)
{
	struct nlmsghdr *h = message_begin(m, type, flags);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

	i->ifi_index = index;
	return h;
}

struct nlmsghdr *message_link_get(struct net_message *m, const char *name, int index)
{
	struct nlmsghdr *h = message_link(m, RTM_GETLINK, 0, name ? 0 : index);

	if (name)
		mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return h;
}

struct nlmsghdr *message_link_new(struct net_message *m, const char *name, const struct netd_device *d)
{
	struct nlmsghdr *h = message_link(m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	struct nlattr *info, *data;

	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	/* One that is given is not changed by systemd (MACAddressPolicy). */
	mnl_attr_put(h, IFLA_ADDRESS, sizeof(d->mac), d->mac);
	mnl_attr_put_u32(h, IFLA_MTU, (uint32_t)d->mtu);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "vxlan");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u32(h, IFLA_VXLAN_ID, NETD_VNI);
	put_addr(h, ip_is_v4(d->local) ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, d->local);
	mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons(NETD_PORT));
	mnl_attr_put_u8(h, IFLA_VXLAN_LEARNING, 0);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return h;
}

struct nlmsghdr *message_link_set(struct net_message *m, int index, const struct netd_device *d)
{
	struct nlmsghdr *h = message_link(m, RTM_NEWLINK, 0, index);
	struct ifinfomsg *i = mnl_nlmsg_get_payload(h);

	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put(h, IFLA_ADDRESS, sizeof(d->mac), d->mac);
	mnl_attr_put_u32(h, IFLA_MTU, (uint32_t)d->mtu);
	return h;
}

struct nlmsghdr *message_link_del(struct net_message *m, int index)
{
	return message_link(m, RTM_DELLINK, 0, index);
}

struct nlmsghdr *message_addrs_get(struct net_message *m)
{
	struct nlmsghdr *h = message_begin(m, RTM_GETADDR, NLM_F_DUMP);

	(void)mnl_nlmsg_put_extra_header(h, sizeof(struct ifaddrmsg));
	return h;
}

struct nlmsghdr *message_addr(struct net_message *m, int index, struct ip_addr addr, bool add)
{
	struct nlmsghdr *h = message_begin(m, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));

	a->ifa_family = message_family(addr);
	a->ifa_prefixlen = ip_is_v4(addr) ? 32 : 128;
	a->ifa_index = (uint32_t)index;
	put_addr(h, IFA_LOCAL, addr);
	put_addr(h, IFA_ADDRESS, addr);
	if (add && !ip_is_v4(addr)) /* nobody else has it, and nobody there could say so */
		a->ifa_flags = IFA_F_NODAD;
	return h;
}

struct nlmsghdr *message_routes_get(struct net_message *m, uint8_t family, uint8_t proto)
{
	struct nlmsghdr *h = message_begin(m, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

	r->rtm_family = family;
	r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = proto;
	return h;
}

struct nlmsghdr *message_neighs_get(struct net_message *m, uint8_t family, int index)
{
	struct nlmsghdr *h = message_begin(m, RTM_GETNEIGH, NLM_F_DUMP);
	struct ndmsg *n = mnl_nlmsg_put_extra_header(h, sizeof(*n));

	n->ndm_family = family;
	if (family == AF_BRIDGE) /* the one wants its link here, the other there */
		n->ndm_ifindex = index;
	else
		mnl_attr_put_u32(h, NDA_IFINDEX, (uint32_t)index);
	return h;
}

static struct nlmsghdr *message_route(struct net_message *m, const struct net_change *c, unsigned flags, int device)
{
	const struct net_value *v = c->want ? &c->be : &c->is;
	const struct ip_net net = { c->key.addr, c->key.bits };
	struct nlmsghdr *h = message_begin(m, c->want ? RTM_NEWROUTE : RTM_DELROUTE, flags);
	struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

	r->rtm_family = message_family(net.addr);
	r->rtm_dst_len = (uint8_t)ip_net_len(net);
	r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = NETD_PROTO;
	r->rtm_scope = RT_SCOPE_UNIVERSE;
	r->rtm_type = RTN_UNICAST;
	if (c->want && !v->link) /* the device has no range in which the gateway is */
		r->rtm_flags = RTNH_F_ONLINK;
	put_addr(h, RTA_DST, net.addr);
	if (!ip_is_none(v->via))
		put_addr(h, RTA_GATEWAY, v->via);
	mnl_attr_put_u32(h, RTA_OIF, (uint32_t)(v->link ? v->link : device));
	return h;
}

static struct nlmsghdr *message_neigh(struct net_message *m, const struct net_change *c, unsigned flags, int device)
{
	const struct net_value *v = c->want ? &c->be : &c->is;
	bool fdb = c->key.type == NET_FDB;
	struct nlmsghdr *h = message_begin(m, c->want ? RTM_NEWNEIGH : RTM_DELNEIGH, flags);
	struct ndmsg *n = mnl_nlmsg_put_extra_header(h, sizeof(*n));

	n->ndm_family = fdb ? AF_BRIDGE : message_family(c->key.addr);
	n->ndm_ifindex = device;
	n->ndm_state = NUD_PERMANENT;
	n->ndm_flags = fdb ? NTF_SELF : 0;
	put_addr(h, NDA_DST, fdb ? v->via : c->key.addr);
	mnl_attr_put(h, NDA_LLADDR, 6, fdb ? c->key.mac : v->mac);
	return h;
}

struct nlmsghdr *message_change(struct net_message *m, const struct net_change *c, int device)
{
	unsigned flags = 0;

	/* A route that is not ours is not replaced; the rest is on our device. */
	if (c->want)
		flags = NLM_F_CREATE | (c->key.type == NET_ROUTE && !c->had ? NLM_F_EXCL : NLM_F_REPLACE);
	return c->key.type == NET_ROUTE ? message_route(m, c, flags, device) : message_neigh(m, c, flags, device);
}

/* --- read --- */

/* The attribute of that type between `at` and the end; the last one wins, as in the kernel's own readers. */
static const struct nlattr *message_find(const void *at, const void *end, uint16_t type)
{
	const struct nlattr *a = at, *found = NULL;

	for (; mnl_attr_ok(a, (int)((const char *)end - (const char *)a)); a = mnl_attr_next(a))
		if (mnl_attr_get_type(a) == type)
			found = a;
	return found;
}

/* Its own header; NULL: it is shorter than one. */
static const void *message_payload(const struct nlmsghdr *h, size_t extra)
{
	return mnl_nlmsg_get_payload_len(h) < extra ? NULL : mnl_nlmsg_get_payload(h);
}

static const struct nlattr *message_attr(const struct nlmsghdr *h, size_t extra, uint16_t type)
{
	/* not to the library's tail of the payload, which is rounded up: an attribute may end there, its message before
	 */
	return message_find(mnl_nlmsg_get_payload_offset(h, extra), (const char *)h + h->nlmsg_len, type);
}

static const struct nlattr *message_inner(const struct nlattr *in, uint16_t type)
{
	if (!in)
		return NULL;
	return message_find(mnl_attr_get_payload(in),
			    (const char *)mnl_attr_get_payload(in) + mnl_attr_get_payload_len(in), type);
}

static bool message_bytes(const struct nlattr *a, void *to, size_t n)
{
	if (!a || mnl_attr_get_payload_len(a) != n)
		return false;
	memcpy(to, mnl_attr_get_payload(a), n);
	return true;
}

static uint32_t message_u32(const struct nlattr *a)
{
	uint32_t v = 0;

	(void)message_bytes(a, &v, sizeof(v));
	return v;
}

static bool message_ip(const struct nlattr *a, struct ip_addr *ret)
{
	uint8_t v4[4];

	if (message_bytes(a, v4, sizeof(v4))) {
		*ret = ip_v4((uint32_t)v4[0] << 24 | (uint32_t)v4[1] << 16 | (uint32_t)v4[2] << 8 | v4[3]);
		return true;
	}
	return message_bytes(a, ret->b, sizeof(ret->b));
}

/* With or without its NUL; cut to the room. */
static void message_text(const struct nlattr *a, char *to, size_t room)
{
	size_t n = a ? MIN(mnl_attr_get_payload_len(a), room - 1) : 0;

	if (n)
		memcpy(to, mnl_attr_get_payload(a), n);
	to[n] = '\0';
}

bool message_read_link(const struct nlmsghdr *h, struct message_link *ret)
{
	const struct ifinfomsg *i = message_payload(h, sizeof(*i));
	const struct nlattr *info, *data;
	uint8_t learning = 1;
	uint16_t port = 0;
	char kind[16];

	*ret = (struct message_link){ .index = 0 };
	if (h->nlmsg_type != RTM_NEWLINK || !i || i->ifi_index <= 0)
		return false;
	info = message_attr(h, sizeof(*i), IFLA_LINKINFO);
	data = message_inner(info, IFLA_INFO_DATA);
	ret->index = i->ifi_index;
	ret->up = i->ifi_flags & IFF_UP;
	ret->mtu = (int)MIN(message_u32(message_attr(h, sizeof(*i), IFLA_MTU)), INT32_MAX);
	message_text(message_attr(h, sizeof(*i), IFLA_IFNAME), ret->name, sizeof(ret->name));
	(void)message_bytes(message_attr(h, sizeof(*i), IFLA_ADDRESS), ret->mac, sizeof(ret->mac));
	message_text(message_inner(info, IFLA_INFO_KIND), kind, sizeof(kind));
	ret->vxlan = strcmp(kind, "vxlan") == 0;
	(void)message_bytes(message_inner(data, IFLA_VXLAN_PORT), &port, sizeof(port));
	(void)message_bytes(message_inner(data, IFLA_VXLAN_LEARNING), &learning, sizeof(learning));
	if (!message_ip(message_inner(data, IFLA_VXLAN_LOCAL), &ret->local))
		(void)message_ip(message_inner(data, IFLA_VXLAN_LOCAL6), &ret->local);
	ret->right = ret->vxlan && message_u32(message_inner(data, IFLA_VXLAN_ID)) == NETD_VNI &&
		     port == htons(NETD_PORT) && !learning;
	return true;
}

bool message_read_addr(const struct nlmsghdr *h, struct netd_addr *ret, uint8_t *ret_bits)
{
	const struct ifaddrmsg *a = message_payload(h, sizeof(*a));

	if (h->nlmsg_type != RTM_NEWADDR || !a || a->ifa_index > INT32_MAX)
		return false;
	/* On a point-to-point link the other one is the peer's. */
	if (!message_ip(message_attr(h, sizeof(*a), IFA_LOCAL), &ret->addr) &&
	    !message_ip(message_attr(h, sizeof(*a), IFA_ADDRESS), &ret->addr))
		return false;
	if (a->ifa_family != message_family(ret->addr) || a->ifa_prefixlen > (a->ifa_family == AF_INET ? 32 : 128))
		return false;
	ret->link = (int)a->ifa_index;
	*ret_bits = (uint8_t)(a->ifa_prefixlen + (a->ifa_family == AF_INET ? 96 : 0));
	return true;
}

bool message_read_route(const struct nlmsghdr *h, struct message_route *ret)
{
	const struct rtmsg *r = message_payload(h, sizeof(*r));
	struct ip_addr dst, via = IP_NONE;
	const struct nlattr *at;
	unsigned bits;
	uint32_t link;

	*ret = (struct message_route){ .proto = 0 };
	if (h->nlmsg_type != RTM_NEWROUTE || !r || r->rtm_type != RTN_UNICAST || r->rtm_flags & RTM_F_CLONED ||
	    (r->rtm_family != AF_INET && r->rtm_family != AF_INET6))
		return false;
	at = message_attr(h, sizeof(*r), RTA_TABLE);
	if ((at ? message_u32(at) : r->rtm_table) != RT_TABLE_MAIN)
		return false;
	dst = r->rtm_family == AF_INET ? ip_v4(0) : IP_NONE;
	at = message_attr(h, sizeof(*r), RTA_DST);
	if (at && !message_ip(at, &dst))
		return false;
	at = message_attr(h, sizeof(*r), RTA_GATEWAY);
	if (at && !message_ip(at, &via))
		return false;
	bits = r->rtm_dst_len + (r->rtm_family == AF_INET ? 96U : 0U);
	link = message_u32(message_attr(h, sizeof(*r), RTA_OIF)); /* none: of several ways, which are not ours */
	if (bits > 128 || (r->rtm_family == AF_INET) != ip_is_v4(dst) || !link || link > INT32_MAX)
		return false;
	ret->proto = r->rtm_protocol;
	ret->entry.key = (struct net_key){ .type = NET_ROUTE, .bits = (uint8_t)bits, .addr = dst };
	ret->entry.value = (struct net_value){ .via = via, .link = (int)link };
	return true;
}

bool message_read_neigh(const struct nlmsghdr *h, int device, struct net_entry *ret)
{
	const struct ndmsg *n = message_payload(h, sizeof(*n));
	struct ip_addr dst = IP_NONE;
	uint8_t mac[6];

	*ret = (struct net_entry){ .key = { .type = 0 } };
	if (h->nlmsg_type != RTM_NEWNEIGH || !n || n->ndm_ifindex != device || !(n->ndm_state & NUD_PERMANENT) ||
	    !message_bytes(message_attr(h, sizeof(*n), NDA_LLADDR), mac, sizeof(mac)))
		return false;
	if (!message_ip(message_attr(h, sizeof(*n), NDA_DST), &dst) && n->ndm_family != AF_BRIDGE)
		return false;
	if (n->ndm_family == AF_BRIDGE) {
		*ret = (struct net_entry){ .key = { .type = NET_FDB }, .value = { .via = dst } };
		memcpy(ret->key.mac, mac, sizeof(mac));
	} else if (n->ndm_family == message_family(dst)) {
		*ret = (struct net_entry){ .key = { .type = NET_NEIGH, .addr = dst } };
		memcpy(ret->value.mac, mac, sizeof(mac));
	} else {
		return false;
	}
	return true;
}
