/* netd_kit.h - Nodes as tests of netd write them. */
#pragma once

#include "proxy/proxy_kit.h"

#include "netd/model.h"

#define KIT_ADDR(ip) "{'type':'InternalIP','address':'" ip "'}"
#define KIT_PEER(name, ranges, addresses)                                           \
	"{'kind':'Node','metadata':{'name':'" name "'},'spec':{'podCIDRs':[" ranges \
	"]},'status':{'addresses':[" addresses ",{'type':'Hostname','address':'" name "'}]}}"

static _unused_ struct ip_addr kit_ip(const char *s)
{
	struct ip_addr a;

	if (!ip_parse(sv_from(s), &a))
		fail_msg("'%s' is no address", s);
	return a;
}

static _unused_ struct netd_node kit_node(const char *json)
{
	_cleanup_obj_ struct obj *o = kit_obj(json, 1), *kept = NULL;
	struct keep *k = keep_new();
	struct netd_node n;

	keep_add(k, netd_node_paths);
	kept = kit_kept(o, k);
	keep_unref(k);
	netd_node_read(kept, &n);
	return n;
}

/* "route 10.42.7.0/24 by 10.42.7.0", "neigh 10.42.7.0 at ee:ca:…", "fdb ee:ca:… by 192.0.2.7"; a link as " link 3". */
static _unused_ const char *kit_entry(struct arena *a, const struct net_entry *e)
{
	const uint8_t *m = e->key.type == NET_FDB ? e->key.mac : e->value.mac;
	const char *mac = arena_printf(a, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	struct ip_net net = { e->key.addr, e->key.bits };

	if (e->key.type == NET_NEIGH)
		return arena_printf(a, "neigh %s at %s", ip_text(e->key.addr).s, mac);
	if (e->key.type == NET_FDB)
		return arena_printf(a, "fdb %s by %s", mac, ip_text(e->value.via).s);
	return arena_printf(a, "route %s/%u by %s%s", ip_text(net.addr).s, ip_net_len(net), ip_text(e->value.via).s,
			    e->value.link ? arena_printf(a, " link %d", (int)e->value.link) : "");
}
