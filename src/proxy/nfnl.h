/* nfnl.h - the few netfilter netlink messages that libnftables does not send, or only together with all elements of all
 * sets: the ruleset's generation number, the shape of a table, members of one set, and conntrack entries.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "proxy/change.h"

struct mnl_socket;

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

/* Calls fn for each address in a set of table inet, with what is left of its time; 0: it has no end. */
int nfnl_set_members(struct mnl_socket *s, const char *table, const char *set,
		     void (*fn)(struct ip_addr a, uint64_t ms, void *ctx), void *ctx, struct err *err);

/* Deletes the conntrack entries of UDP and SCTP flows through a frontend that do not go to one of its endpoints.
 * Returns how many. Endpoints of u are sorted meanwhile. */
int nfnl_forget_flows(struct mnl_socket *s, struct flow_frontend *u, size_t n, struct err *err);
