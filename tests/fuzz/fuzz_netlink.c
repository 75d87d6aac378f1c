/* What claims to be the kernel's word on links, addresses, routes and neighbours is read within its length, and what
 * was read is within bounds. */
#include "netd/message.h"

#include <libmnl/libmnl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message_link link;
	struct message_route route;
	struct net_entry entry;
	struct netd_addr addr;
	struct nlmsghdr *h;
	uint8_t bits;
	char *copy;

	if (size < sizeof(*h) || size > 65536)
		return 0;
	copy = xmalloc(size); /* aligned, and exactly as long */
	memcpy(copy, data, size);
	h = (struct nlmsghdr *)(void *)copy;
	h->nlmsg_len = (uint32_t)size; /* as mnl_nlmsg_ok() had it */
	if (message_read_link(h, &link))
		BUG_ON(link.index <= 0 || strnlen(link.name, sizeof(link.name)) == sizeof(link.name) || link.mtu < 0);
	if (message_read_route(h, &route))
		BUG_ON(route.entry.key.bits > 128 || route.entry.value.link <= 0);
	if (message_read_addr(h, &addr, &bits))
		BUG_ON(bits > 128 || addr.link < 0);
	if (message_read_neigh(h, 9, &entry))
		BUG_ON(entry.key.type != NET_NEIGH && entry.key.type != NET_FDB);
	free(copy);
	return 0;
}
