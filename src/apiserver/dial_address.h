/* dial_address.h - where the API server lets itself be sent.
 *
 * The addresses of nodes and pods are what nodes report, and whoever reaches the API server's proxies chooses the port:
 * an address that leads back to this machine's loopback, to its link or to the API server itself would reach with the
 * API server's means what its bearer cannot. One function says no, before anything is dialled. It takes addresses only:
 * a name would be looked up twice, and lead elsewhere the second time.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct dial_own {
	const char *const *addresses; /* of this machine, NULL-terminated; NULL: none */
	int port;		      /* the API server's; refused at each of them */
	/* The address of this machine's node where that is a loopback address, for want of a network; else NULL. Nodes
	 * may be reached by it: a certificate proves who answers. */
	const char *loopback_node;
};

struct apiserver;
/* What of this machine proxies and webhooks must not lead to (dial_own.c). */
const struct dial_own *dial_own(struct apiserver *s, struct dial_own *ret);

enum dial_what {
	DIAL_NODE,
	DIAL_POD,
	DIAL_GIVEN, /* an address that an administrator wrote down as one: loopback, too, but for our own port */
};

/* 0, or -1 with ERR_BAD_REQUEST in upstream's words. */
int dial_allowed(enum dial_what what, struct sv address, int port, const struct dial_own *own, struct err *err);
