/* Bytes of a fuzzer as a message of netlink. */
#pragma once

#include "base/base.h"

#include <libmnl/libmnl.h>
#include <stdlib.h>

/* Aligned, and exactly as long as the bytes; free()d by the caller. NULL: too few or too many. */
static inline struct nlmsghdr *nlmsg_copy(const uint8_t *data, size_t size)
{
	struct nlmsghdr *h;

	if (size < sizeof(*h) || size > 65536)
		return NULL;
	h = xmalloc(size);
	memcpy(h, data, size);
	h->nlmsg_len = (uint32_t)size; /* as mnl_nlmsg_ok() had it */
	return h;
}
