/* nfnl.h - the few netfilter netlink messages that libnftables does not send, or only together with all elements of all
 * sets: the ruleset's generation number, the shape of a table, members of one set; and what others are made with.
 *
 * Threads: one at a time on each socket.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "base/ip.h"

#include <linux/netlink.h>

struct mnl_socket;
struct nlattr;

struct mnl_socket *nfnl_open(struct err *err); /* or NULL */
struct mnl_socket *nfnl_close(struct mnl_socket *s);

/* The number of the ruleset's current generation: every commit by anybody is another one. */
int nfnl_generation(struct mnl_socket *s, uint32_t *ret, struct err *err);

/* What the chains of a table of family inet look like, elements of sets aside: equal hashes, equal chains. */
struct nfnl_shape {
	bool there;	     /* the table has chains at all */
	uint64_t fixed, all; /* of those that is_fixed() names, of all */
};
int nfnl_shape(struct mnl_socket *s, const char *table, bool (*is_fixed)(struct sv chain), struct nfnl_shape *ret,
	       struct err *err);

/* Anybody's chain whose policy drops what is forwarded of that family (Docker's, a firewall's), as nft names it: "ip
 * filter FORWARD". 1: there is one, 0: none. Its rules are not looked at: one of them may let pass what is asked for.
 */
#define NFNL_CHAIN_BYTES 160
int nfnl_forward_drop(struct mnl_socket *s, bool v6, char ret[NFNL_CHAIN_BYTES], struct err *err);

/* Calls fn for each address in a set of table inet, or for each that a map has as key, with what is left of its time;
 * 0: it has no end. */
int nfnl_set_members(struct mnl_socket *s, const char *table, const char *set,
		     void (*fn)(struct ip_addr a, uint64_t ms, void *ctx), void *ctx, struct err *err);

/* --- making requests --- */

/* Ours are small. */
struct nfnl_request {
	_Alignas(NLMSG_ALIGNTO) char mem[512];
};
struct nlmsghdr *nfnl_begin(struct nfnl_request *r, uint16_t type, uint16_t flags, uint8_t family);

typedef void nfnl_reply_fn(const struct nlmsghdr *h, void *ctx);
/* Sends r and reads until the kernel says that it is done; what asks for neither a dump nor an acknowledgement has one
 * reply. fn may be NULL. */
int nfnl_call(struct mnl_socket *s, const struct nfnl_request *r, nfnl_reply_fn *fn, void *ctx, struct err *err);

/* Reading attributes; a may be NULL. False when they are missing or of another size than they should be. */
const struct nlattr *nfnl_attr(const struct nlmsghdr *h, uint16_t type); /* NULL: there is none */
const struct nlattr *nfnl_attr_in(const struct nlattr *nest, uint16_t type);
bool nfnl_u8(const struct nlattr *a, uint8_t *ret);
bool nfnl_be16(const struct nlattr *a, uint16_t *ret);
bool nfnl_be32(const struct nlattr *a, uint32_t *ret);
/* Of either family; their attributes have different numbers. */
bool nfnl_ip(const struct nlattr *v4, const struct nlattr *v6, struct ip_addr *ret);
