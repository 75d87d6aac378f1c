#include "netd/model.h"

#include "object/annotation.h"

bool netd_kind_parse(const char *s, enum netd_kind *ret, const char **ret_why)
{
	static const struct {
		const char *name;
		enum netd_kind kind;
	} kinds[] = { { "vxlan", NETD_VXLAN }, { "host-gw", NETD_HOST_GW }, { "none", NETD_NONE } };

	*ret_why = strcmp(s, "wireguard-native") == 0
		       ? "wireguard-native is not built: vxlan and host-gw are, and with none a CNI plugin of your "
			 "choice (Calico, Cilium) encrypts"
		       : "it takes vxlan, host-gw or none";
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(s, kinds[i].name) == 0) {
			*ret = kinds[i].kind;
			return true;
		}
	return false;
}

/* --- what a Node says --- */

static void model_add_range(struct netd_node *n, struct sv text)
{
	struct ip_net net;

	if (!ip_net_parse(text, &net) || !ip_is_none(n->range[netd_family(net.addr)].addr))
		return;
	if (ip_is_none(n->range[NETD_V4].addr) && ip_is_none(n->range[NETD_V6].addr))
		n->first = netd_family(net.addr);
	n->range[netd_family(net.addr)] = net;
}

static void model_add_address(struct netd_node *n, struct sv text)
{
	struct ip_addr a;

	if (ip_parse(sv_trim(text), &a) && ip_is_none(n->addr[netd_family(a)]))
		n->addr[netd_family(a)] = a;
}

const char *const netd_node_paths[] = { "metadata annotations " NETD_ADDRESSES, "spec podCIDR", "spec podCIDRs",
					"status addresses", NULL };

void netd_node_read(const struct obj *node, struct netd_node *ret)
{
	struct sv said = annotation_of(obj_root(node), NETD_ADDRESSES), one;

	*ret = (struct netd_node){ .first = NETD_V4 };
	VAL_EACH(obj_get(node, F_spec, F_podCIDRs), c)
		model_add_range(ret, val_str(c));
	model_add_range(ret, val_str(obj_get(node, F_spec, F_podCIDR)));
	while (sv_split(&said, ',', &one))
		model_add_address(ret, one);
	VAL_EACH(obj_get(node, F_status, F_addresses), a)
		if (val_is(val_member(a, F_type), "InternalIP"))
			model_add_address(ret, val_get_str(a, F_address));
}

bool netd_node_same(const struct netd_node *a, const struct netd_node *b)
{
	for (int f = 0; f < NETD_FAMILIES; f++)
		if (!ip_eq(a->range[f].addr, b->range[f].addr) || a->range[f].bits != b->range[f].bits ||
		    !ip_eq(a->addr[f], b->addr[f]))
			return false;
	return a->first == b->first;
}

bool netd_cluster_parse(struct sv cidrs, struct ip_net ret[4], size_t *ret_n)
{
	struct sv one;

	*ret_n = 0;
	while (sv_split(&cidrs, ',', &one))
		if (*ret_n == 4 || !ip_net_parse(sv_trim(one), &ret[(*ret_n)++]))
			return false;
	return true;
}

bool netd_ranges_cover(const struct ip_net *ranges, size_t n, struct ip_net net)
{
	for (size_t i = 0; i < n; i++)
		if (ip_net_covers(ranges[i], net))
			return true;
	return n == 0;
}

/* --- this machine --- */

void netd_machine_release(struct netd_machine *m)
{
	vec_release(&m->addrs);
	vec_release(&m->onlink);
}

bool netd_machine_has(const struct netd_machine *m, struct ip_addr a)
{
	for (size_t i = 0; i < m->addrs.n; i++)
		if (ip_eq(m->addrs.p[i].addr, a))
			return true;
	return false;
}

/* The link on which that address is; the longest range decides, as in the kernel. 0: on none. */
static int model_onlink(const struct netd_machine *m, struct ip_addr a)
{
	const struct netd_onlink *best = NULL;

	for (size_t i = 0; i < m->onlink.n; i++) {
		const struct netd_onlink *o = &m->onlink.p[i];

		/* a default route without a gateway says nothing of who is on the link */
		if (ip_net_len(o->net) && ip_net_has(o->net, a) && (!best || o->net.bits > best->net.bits))
			best = o;
	}
	return best ? best->link : 0;
}

/* --- our end --- */

int netd_pod_mtu(enum netd_kind kind, int family, int mtu)
{
	/* Ethernet 14, UDP 8, VXLAN 8, IPv4 20 or IPv6 40; no pod needs less than 1280, without which there is no IPv6
	 */
	return kind != NETD_VXLAN || mtu <= 0 ? mtu : MAX(mtu - (family == NETD_V6 ? 70 : 50), 1280);
}

static void model_mac(struct ip_net range, uint8_t ret[6])
{
	uint64_t number = 0;

	/* The last 32 bits of those that say which range it is; of an IPv4 range all that there are. */
	for (unsigned i = 0; i < (ip_is_v4(range.addr) ? 128 : range.bits); i++)
		number = number << 1 | (range.addr.b[i / 8] >> (7 - i % 8) & 1);
	ret[0] = 0xee; /* of one station, and made by no manufacturer */
	ret[1] = 0xca;
	for (int i = 0; i < 4; i++)
		ret[2 + i] = (uint8_t)(number >> (24 - 8 * i));
}

int netd_underlay(const struct netd_node *self)
{
	return ip_is_none(self->addr[NETD_V4]) ? NETD_V6 : NETD_V4;
}

bool netd_model_device(const struct netd_view *v, struct netd_device *ret, const char **ret_why)
{
	const struct netd_node *self = &v->self;
	int under = netd_underlay(self);

	*ret = (struct netd_device){ .wanted = false };
	*ret_why = NULL;
	if (v->kind != NETD_VXLAN)
		return true;
	if (ip_is_none(self->range[self->first].addr)) {
		*ret_why = "this node has no Pod range yet";
		return false;
	}
	if (ip_is_none(self->addr[under]) || v->machine->mtu[under] <= 0) {
		*ret_why = "this node's InternalIP is no address of the machine";
		return false;
	}
	ret->wanted = true;
	model_mac(self->range[self->first], ret->mac);
	ret->mtu = netd_pod_mtu(v->kind, under, v->machine->mtu[under]);
	ret->local = self->addr[under];
	for (int f = 0; f < NETD_FAMILIES; f++)
		ret->vtep[f] = self->range[f].addr;
	return true;
}

bool netd_device_same(const struct netd_device *a, const struct netd_device *b)
{
	return a->wanted == b->wanted && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 && a->mtu == b->mtu &&
	       ip_eq(a->local, b->local) && ip_eq(a->vtep[NETD_V4], b->vtep[NETD_V4]) &&
	       ip_eq(a->vtep[NETD_V6], b->vtep[NETD_V6]);
}

/* --- a peer --- */

/* NULL: it may be routed to the peer. */
static const char *model_range_wrong(const struct netd_view *v, struct ip_net range)
{
	struct ip_net own = v->self.range[netd_family(range.addr)];

	if (!netd_ranges_cover(v->cluster, v->n_cluster, range))
		return "its Pod range is not in the cluster's (--cluster-cidr)";
	if (!ip_is_none(own.addr) && (ip_net_covers(own, range) || ip_net_covers(range, own)))
		return "its Pod range is this node's own";
	return NULL;
}

static const char *model_address_wrong(const struct netd_view *v, struct ip_addr a)
{
	bool many = ip_is_v4(a) ? a.b[12] >= 224 : a.b[0] == 0xff; /* of a group, or broadcast */

	if (ip_is_loopback(a) || ip_eq(a, ip_v4(0)) || many)
		return "its address is one that leads nowhere";
	if (netd_machine_has(v->machine, a))
		return "its address is this machine's own";
	return NULL;
}

static size_t model_vxlan(const struct netd_view *v, const struct netd_node *peer, struct net_entry *ret,
			  const char **ret_why)
{
	int under = netd_underlay(&v->self);
	struct ip_addr to = peer->addr[under];
	uint8_t mac[6];
	size_t n = 0;

	/* Our own Node does not say its addresses yet: nothing is known of what a peer lacks. */
	if (ip_is_none(v->self.addr[under]))
		return 0;
	if (ip_is_none(to)) {
		*ret_why = under == NETD_V4 ? "it has no IPv4 address, and this node's VXLAN is IPv4"
					    : "it has no IPv6 address, and this node's VXLAN is IPv6";
		return 0;
	}
	*ret_why = model_address_wrong(v, to);
	if (*ret_why)
		return 0;
	model_mac(peer->range[peer->first], mac);
	for (int f = 0; f < NETD_FAMILIES; f++) {
		struct ip_net range = peer->range[f];
		const char *why;

		if (ip_is_none(range.addr) || ip_is_none(v->self.range[f].addr))
			continue;
		why = model_range_wrong(v, range);
		if (why) {
			*ret_why = why;
			continue;
		}
		ret[n++] = (struct net_entry){ .key = { .type = NET_ROUTE, .bits = range.bits, .addr = range.addr },
					       .value = { .via = range.addr } };
		ret[n] = (struct net_entry){ .key = { .type = NET_NEIGH, .addr = range.addr } };
		memcpy(ret[n++].value.mac, mac, sizeof(mac));
	}
	if (n) {
		ret[n] = (struct net_entry){ .key = { .type = NET_FDB }, .value = { .via = to } };
		memcpy(ret[n++].key.mac, mac, sizeof(mac));
	}
	return n;
}

static size_t model_host_gw(const struct netd_view *v, const struct netd_node *peer, struct net_entry *ret,
			    const char **ret_why)
{
	size_t n = 0;

	for (int f = 0; f < NETD_FAMILIES; f++) {
		struct ip_net range = peer->range[f];
		struct ip_addr to = peer->addr[f];
		const char *why;
		int link = 0;

		if (ip_is_none(range.addr) || ip_is_none(v->self.range[f].addr))
			continue;
		why = model_range_wrong(v, range);
		if (!why && ip_is_none(to))
			why = "it has no address of its Pod range's family";
		if (!why)
			why = model_address_wrong(v, to);
		if (!why && !(link = model_onlink(v->machine, to)))
			why = "with --flannel-backend=host-gw nodes have to be on one link, and its address is on none "
			      "of this machine's; vxlan has no such need";
		if (why)
			*ret_why = why;
		else
			ret[n++] =
			    (struct net_entry){ .key = { .type = NET_ROUTE, .bits = range.bits, .addr = range.addr },
						.value = { .via = to, .link = link } };
	}
	return n;
}

size_t netd_model_peer(const struct netd_view *v, const struct netd_node *peer, struct net_entry ret[NETD_PEER_ENTRIES],
		       const char **ret_why)
{
	*ret_why = NULL;
	if (v->kind == NETD_NONE || ip_is_none(v->self.range[v->self.first].addr) ||
	    ip_is_none(peer->range[peer->first].addr) ||
	    (ip_is_none(peer->addr[NETD_V4]) && ip_is_none(peer->addr[NETD_V6])))
		return 0;
	return v->kind == NETD_VXLAN ? model_vxlan(v, peer, ret, ret_why) : model_host_gw(v, peer, ret, ret_why);
}
