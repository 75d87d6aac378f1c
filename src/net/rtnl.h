/* rtnl.h - the kernel asked and told about links, addresses, routes and neighbours (rtnetlink), in the network
 * namespace of the calling process.
 *
 * Who calls makes the messages with libmnl; here is the socket. The kernel answers within the call, so a request
 * waits for nobody but the kernel's own lock; a bound of five seconds is for bugs.
 *
 * Threads: one call at a time.
 */
#pragma once

#include "base/err.h"

struct nlmsghdr;
struct rtnl;

struct rtnl *rtnl_open(struct err *err); /* or NULL */
struct rtnl *rtnl_close(struct rtnl *r); /* NULL is fine */

/* Sends the request, whose sequence number is set here and whose flags gain NLM_F_REQUEST and, unless it is a dump,
 * NLM_F_ACK; fn (may be NULL) gets each message of the answer, whole and of a checked length. 0, or -1 with the
 * kernel's word in err->errnum: ENODEV, EEXIST, ... A dump that changes interrupted is -1 with EINTR: begin anew. */
int rtnl_call(struct rtnl *r, struct nlmsghdr *request, void (*fn)(const struct nlmsghdr *h, void *ctx), void *ctx,
	      struct err *err);
