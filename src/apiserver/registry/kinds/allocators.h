/* allocators.h - which addresses and node ports are free, as far as this server knows; shared by services.c,
 * service_claims.c and service_repair.c only.
 *
 * A number counts as taken while one of these says so:
 *
 *	shown		a stored Service that this server has seen has it
 *	reserved	a request of this server is about to store one
 *	held		an unreadable Service (services_unread.c) may have it
 *	foreign		another server's claim was met, whose Service has not been seen yet
 *
 * This is a hint where to try. What counts is the claim in the store (service_claims.h).
 *
 * Threads: any; functions that do not say otherwise take the lock themselves. The ranges never change.
 */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/registry/kinds/kinds.h"
#include "base/strmap.h"
#include "base/vec.h"

#define IPS_MAX ((uint32_t)1 << 20) /* larger ranges are used up to here */
#define IP_RANGES_MAX 2		    /* one a family */

enum number_kind { NUMBER_IP, NUMBER_PORT, _NUMBER_KIND_MAX };

/* A number by its place in its range; addresses of a second range (dual stack) are counted on behind the first's. */
struct number {
	enum number_kind kind;
	uint32_t at;
};
typedef VEC(struct number) number_list;

struct bitmap {
	uint64_t *shown, *reserved, *held, *foreign;
	uint32_t n;
};

struct ip_range {
	struct ip_net net;
	uint32_t first, n; /* numbers */
};

struct allocators {
	pthread_mutex_t lock;
	struct bitmap of[_NUMBER_KIND_MAX]; /* addresses of the ranges, ports from first_port on */
	uint64_t *mine;			    /* of ports: those that the Service at hand has; empty without the lock */
	struct strmap again;		    /* number -> how many Services show it besides the first; mostly empty */
	struct ip_range ranges[IP_RANGES_MAX]; /* of cluster IPs, of different families; the first is the default */
	size_t n_ranges;
	int first_port;
	struct strmap unread; /* store key -> struct service_numbers */
	struct strmap stale;  /* store key of a claim that nobody has any more -> its revision; service_claims.c */
	struct recorder *recorders[_NUMBER_KIND_MAX]; /* service_repair.c; from its first words on */
	struct client *client;
};

static inline struct allocators *allocators_of(struct apiserver *s)
{
	return s->strategies;
}

/* Within the ranges? */
bool number_of_address(const struct allocators *al, struct ip_addr ip, struct number *ret);
bool number_of_ip(const struct allocators *al, struct sv text, struct number *ret);
bool number_of_port(const struct allocators *al, int64_t port, struct number *ret);
/* As people write it: "10.43.0.10", "30080". In the arena. */
struct sv number_text(struct arena *a, const struct allocators *al, struct number n);

/* What svc (may be NULL) has within the ranges, each once, in order; in the arena. No lock. */
struct number *numbers_of(struct arena *a, const struct allocators *al, const struct val *svc, size_t *ret_n);

/* Lock held. */
bool number_taken(const struct allocators *al, struct number n);
/* A free one at or after a random place becomes reserved. False: all are taken. */
bool number_take(struct allocators *al, enum number_kind kind, uint64_t chance, struct number *ret);
/* An address of this range likewise; its lower part is used last, as it is left to those who ask for an address
 * (KEP-3070). */
bool number_take_ip(struct allocators *al, const struct ip_range *r, uint64_t chance, struct number *ret);
void number_mark(uint64_t *words, struct number n, bool on);
bool number_marked(const uint64_t *words, struct number n);

/* Does any stored Service but one show n? */
bool number_shown_again(struct allocators *al, struct number n);
void number_foreign(struct allocators *al, struct number n);
/* What was learned of others' claims is forgotten; it is learned again where it matters. */
void allocators_forget_foreign(struct allocators *al);

/* The range of "IPv4" or "IPv6"; NULL: this cluster has none. */
const struct ip_range *range_of_family(const struct allocators *al, struct sv family);
const char *ip_family(struct ip_addr ip);
/* What upstream makes of ipFamilyPolicy, ipFamilies and clusterIPs of a Service: the policy is filled in, families
 * follow from it and from the addresses, a second address is given up or asked for (it is missing in clusterIPs then).
 * services_families.c. */
int service_families(struct api_req *q, const struct allocators *al, const struct val *old, struct val *doc,
		     struct err *err);

/* The strategy's. */
void service_observe(struct apiserver *s, struct obj *old, struct obj *neu);
void service_unread(struct apiserver *s, struct sv key, struct sv value, const struct obj *last);
