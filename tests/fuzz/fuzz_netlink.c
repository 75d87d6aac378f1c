/* What claims to be the kernel's word on links, addresses, routes and neighbours is read within its length, and what
 * was read is within bounds. */
#include "netd/message.h"
#include "nlmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message_link link;
	struct message_route route;
	struct net_entry entry;
	struct netd_addr addr;
	struct nlmsghdr *h = nlmsg_copy(data, size);
	uint8_t bits;

	if (!h)
		return 0;
	if (message_read_link(h, &link))
		BUG_ON(link.index <= 0 || strnlen(link.name, sizeof(link.name)) == sizeof(link.name) || link.mtu < 0);
	if (message_read_route(h, &route))
		BUG_ON(route.entry.key.bits > 128 || route.entry.value.link <= 0);
	if (message_read_addr(h, &addr, &bits))
		BUG_ON(bits > 128 || addr.link < 0);
	if (message_read_neigh(h, 9, &entry))
		BUG_ON(entry.key.type != NET_NEIGH && entry.key.type != NET_FDB);
	free(h);
	return 0;
}
