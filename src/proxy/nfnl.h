/* nfnl.h - the few netfilter netlink messages that libnftables does not send: the ruleset's
 * generation number, and conntrack entries.
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

/* Calls fn for each address in a set of table inet, with what is left of its time; 0: it has no end. */
int nfnl_set_members(struct mnl_socket *s, const char *table, const char *set,
		     void (*fn)(struct ip_addr a, uint64_t ms, void *ctx), void *ctx, struct err *err);

/* Deletes the conntrack entries of UDP and SCTP flows through a frontend that do not go to one of its endpoints.
 * Returns how many. */
int nfnl_forget_flows(struct mnl_socket *s, const struct flow_frontend *u, size_t n, struct err *err);
