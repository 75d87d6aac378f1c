/* allocators.h - which addresses and node ports are free, as far as this server knows, and which ranges they come from;
 * shared by services.c, services_families.c, service_claims.c and service_repair.c only.
 *
 * A number counts as taken while one of these says so:
 *
 *	shown		a stored Service that this server has seen has it
 *	others'		an IPAddress is there for it that is not ours
 *	reserved	a request of this server is about to store one
 *	held		an unreadable Service (services_unread.c) may have it
 *	foreign		another server's claim was met, whose Service has not been seen yet
 *
 * This is a hint where to try. What counts is the claim in the store (service_claims.h).
 *
 * Addresses are taken from the ServiceCIDRs that are ready, that of the flags first, in the families that the flags
 * name. Which addresses are claimed does not depend on ranges: those come and go.
 *
 * Threads: any; functions that do not say otherwise take the lock themselves. The node ports' range never changes.
 */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/registry/kinds/kinds.h"
#include "base/strmap.h"
#include "base/vec.h"

#define SERVICE_CIDR_DEFAULT "kubernetes" /* the ServiceCIDR of the flags */

enum number_kind { NUMBER_IP, NUMBER_PORT, _NUMBER_KIND_MAX };

/* An address, or a port as the IPv4 address of that number. Bytes alone: a key of maps. */
struct number {
	enum number_kind kind;
	struct ip_addr ip;
};
typedef VEC(struct number) number_list;

static inline struct sv number_key(const struct number *n)
{
	return sv_make((const char *)n, sizeof(*n));
}

/* A ServiceCIDR. */
struct service_range {
	struct ip_net net[2];
	size_t n;
	bool open; /* ready, and not being deleted */
};

struct allocators {
	pthread_mutex_t lock;
	struct strmap seen;	/* number -> how many Services show it, and what IPAddress it has (allocators.c) */
	struct strmap reserved; /* sets of numbers: */
	struct strmap held, foreign;
	struct strmap mine;	/* of ports: those that the Service at hand has; empty without the lock */
	struct strmap nameless; /* addresses that a Service shows and whose IPAddress has gone: the repair makes it */
	struct strmap ranges;	/* name of a ServiceCIDR -> struct service_range */
	struct ip_net flags[2]; /* of addresses, by the server's options: the first is of the family that a Service has
				   which does not say */
	size_t n_flags;
	int first_port, n_ports;
	struct strmap unread; /* store key -> struct service_numbers */
	struct strmap stale;  /* store key of a claim that nobody has any more -> its revision; service_claims.c */
	struct recorder *recorders[_NUMBER_KIND_MAX]; /* service_repair.c; from its first words on */
	struct client *client;
};

static inline struct allocators *allocators_of(struct apiserver *s)
{
	return s->strategies;
}

/* An address at all; within the ports' range? (*ret is the port's also when it is not.) */
bool number_of_ip(struct sv text, struct number *ret);
bool number_of_port(const struct allocators *al, int64_t port, struct number *ret);
int64_t number_port(struct number n);
int number_cmp(const struct number *a, const struct number *b);
/* As people write it: "10.43.0.10", "30080". In the arena. */
struct sv number_text(struct arena *a, struct number n);

/* What svc (may be NULL) has, ports outside the range excluded, each once, in order; in the arena. No lock. */
struct number *numbers_of(struct arena *a, const struct allocators *al, const struct val *svc, size_t *ret_n);

/* The flags' range of "IPv4" or "IPv6"; NULL: this cluster does not have that family. No lock. */
const struct ip_net *range_of_family(const struct allocators *al, struct sv family);
const char *ip_family(struct ip_addr ip);
/* Lock held: is it in a range from which addresses are given? ret_bounds (may be NULL): the range that has it, but
 * where it is one that nobody is given, its first address or the last one of IPv4; else empty. */
bool number_in_range(const struct allocators *al, struct number n, struct sv *ret_bounds, struct arena *a);
/* Within any ServiceCIDR at all? Takes the lock. */
bool number_has_range(struct allocators *al, struct number n);

/* Lock held. */
bool number_taken(const struct allocators *al, struct number n);
/* Is it a Service's that this server sees, or about to be? */
bool number_used(const struct allocators *al, struct number n);
void number_reserve(struct allocators *al, struct number n, bool on);
/* A free one becomes reserved. False: all are taken. */
bool number_take_ip(struct allocators *al, bool v6, uint64_t chance, struct number *ret);
bool number_take_port(struct allocators *al, uint64_t chance, struct number *ret);

/* A number in a set. */
void number_mark(struct strmap *set, struct number n, bool on);
bool number_marked(const struct strmap *set, struct number n);

/* Does any stored Service but one show n? */
bool number_shown_again(struct allocators *al, struct number n);
void number_foreign(struct allocators *al, struct number n);
/* What was learned of others' claims is forgotten; it is learned again where it matters. */
void allocators_forget_foreign(struct allocators *al);

/* What upstream makes of ipFamilyPolicy, ipFamilies and clusterIPs of a Service: the policy is filled in, families
 * follow from it and from the addresses, a second address is given up or asked for (it is missing in clusterIPs then).
 * services_families.c. */
int service_families(struct api_req *q, const struct allocators *al, const struct val *old, struct val *doc,
		     struct err *err);

/* The strategy's. */
void service_observe(struct apiserver *s, struct obj *old, struct obj *neu);
void service_unread(struct apiserver *s, struct sv key, struct sv value, const struct obj *last);
