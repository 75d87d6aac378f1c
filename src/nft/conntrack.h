/* conntrack.h - what the kernel remembers of flows, and making it forget some.
 *
 * The kernel may track a million of them, and a look is a copy of all: bundle what is to be forgotten.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "base/ip.h"

struct mnl_socket;

/* One direction of a flow: who sends to whom. */
struct ct_direction {
	struct ip_addr src, dst;
	uint16_t src_port, dst_port; /* 0 where the protocol has none */
	uint8_t proto;
};

struct ct_flow {
	struct ct_direction orig, reply; /* as the first packet was sent, and as answers to it come */
	uint32_t status;		 /* IPS_... of conntrack */
};

/* Deletes the entries of a family that are stale, as fn says of each; unanswered: of those alone to which no answer was
 * seen, which costs little where few are. Entries that were on their way in meanwhile are looked for once more. It
 * takes a megabyte, however many are stale: where that is not enough it looks more often. Returns how many it deleted,
 * or -1. s: nfnl_open() */
int conntrack_forget(struct mnl_socket *s, bool v6, bool unanswered, bool (*stale)(const struct ct_flow *f, void *ctx),
		     void *ctx, struct err *err);
