/* message.h - the kernel's messages about the device and our entries: made and read, on memory alone.
 *
 * Made ones have their type and flags; the socket's file adds what it needs (net/rtnl.h). Read ones come from the
 * kernel or a test: every length is checked, what cannot be read is false.
 */
#pragma once

#include "netd/netd.h"

struct nlmsghdr;

struct net_message {
	_Alignas(8) char mem[1024]; /* ours need less than half */
};

/* --- made --- */

struct nlmsghdr *message_link_get(struct net_message *m, const char *name, int index); /* name, or NULL: index */
struct nlmsghdr *message_link_new(struct net_message *m, const char *name, const struct netd_device *d);
/* Of the device: MAC, MTU, up. */
struct nlmsghdr *message_link_set(struct net_message *m, int index, const struct netd_device *d);
struct nlmsghdr *message_link_del(struct net_message *m, int index);
struct nlmsghdr *message_addrs_get(struct net_message *m);
struct nlmsghdr *message_addr(struct net_message *m, int index, struct ip_addr addr, bool add);
/* proto 0: all of the main table; family AF_INET, AF_INET6. */
struct nlmsghdr *message_routes_get(struct net_message *m, uint8_t family, uint8_t proto);
/* family AF_BRIDGE: the FDB. */
struct nlmsghdr *message_neighs_get(struct net_message *m, uint8_t family, int index);
/* The change of an entry on that device. */
struct nlmsghdr *message_change(struct net_message *m, const struct net_change *c, int device);

/* --- read --- */

struct message_link {
	int index, mtu;
	bool up, vxlan, right; /* right: VNI, port and learning are ours */
	uint8_t mac[6];
	char name[16];
	struct ip_addr local;
};
bool message_read_link(const struct nlmsghdr *h, struct message_link *ret);
/* ret_bits as in struct ip_net. */
bool message_read_addr(const struct nlmsghdr *h, struct netd_addr *ret, uint8_t *ret_bits);
/* A unicast route of the main table. ret->value.via IP_NONE: without a gateway. */
struct message_route {
	struct net_entry entry; /* value.link: its link */
	uint8_t proto;
};
bool message_read_route(const struct nlmsghdr *h, struct message_route *ret);
/* Of the device: a permanent neighbour or FDB entry. */
bool message_read_neigh(const struct nlmsghdr *h, int device, struct net_entry *ret);
