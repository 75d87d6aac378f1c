/* config.h - what the name server is told: flags, the nodes' ranges, the host's name servers, a user's Corefile.
 *
 * One immutable value: whoever changes something makes another one (dns_config_new() copies) and gives it to the
 * answering thread.
 *
 * Of a Corefile (ConfigMap kube-system/coredns, key Corefile, or its k3s companion coredns-custom) these are
 * understood, as CoreDNS documents them. A server block for "." is the server itself, one for another zone a stub
 * domain:
 *
 *	hosts		[FILE] inline entries, ttl
 *	rewrite		[continue|stop] name [exact|suffix] FROM TO [answer auto]
 *	forward		FROM TO... { except, force_tcp, policy sequential (or one of CoreDNS' others: by chance) }
 *	cache		[TTL] [ZONE...] { success, denial, serve_stale }
 *	kubernetes	ttl
 *	log, errors
 *
 * What is always so here is taken without a word (health, ready, prometheus, loop, reload, loadbalance, import). All
 * else is left out and said so; the rest works.
 */
#pragma once

#include "base/err.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "dns/clients.h"
#include "dns/name.h"

struct val;

#define DNS_UPSTREAMS_MAX 15

/* Where names of a zone are asked for. */
struct dns_upstream {
	struct ip_addr addr;
	uint16_t port;
};

struct dns_forward {
	struct dns_name zone; /* lower; the root: all others */
	struct dns_upstream to[DNS_UPSTREAMS_MAX];
	size_t n_to;
	VEC(struct dns_name) except;
	bool host;		 /* those of the machine's resolv.conf, too, which change */
	bool force_tcp, shuffle; /* shuffle: not in the order they stand */
};

struct dns_rewrite {
	bool suffix, stop;
	struct dns_name from, to; /* lower */
};

/* Names of a `hosts`. Other names go on, as with its `fallthrough`. */
struct dns_hosts {
	struct strmap names; /* lower name in wire form -> struct dns_host_addrs * */
	struct strmap addrs; /* 16 bytes -> struct dns_name *, the first name there is */
	uint32_t ttl;
};
struct dns_host_addrs {
	VEC(struct ip_addr) list;
};

struct dns_config {
	/* of flags */
	struct dns_name domain;	   /* lower: "cluster.local." */
	struct ip_net ranges[8];   /* of Services and Pods: their reverse names are ours */
	struct ip_addr service[2]; /* of kube-dns: the address of ns.dns.DOMAIN */
	size_t n_ranges, n_service;
	const struct dns_clients *pods; /* borrowed: who has a name below pod.DOMAIN; NULL: nobody */
	/* of the Corefile */
	VEC(struct dns_forward *) forwards; /* those of longer zones first */
	VEC(struct dns_rewrite) rewrites;
	struct dns_hosts hosts;
	uint32_t ttl, cache_max_s, deny_max_s, stale_max_s;
	bool log_queries, log_errors;
};

struct dns_config *dns_config_new(struct sv domain); /* all else asked of the host's servers; NULL: that is no domain */
struct dns_config *dns_config_free(struct dns_config *c); /* NULL is fine; returns NULL */
/* "A[/N][,B...]": adds ranges, or the addresses of kube-dns. What is none is left out. */
void dns_config_ranges(struct dns_config *c, const char *list);
void dns_config_service(struct dns_config *c, const char *list);
/* The servers of the machine's resolv.conf, for all that are asked of the host's. */
void dns_config_host(struct dns_config *c, const struct ip_addr *servers, size_t n);

/* Adds what a Corefile says. files: a map of the texts that lie beside it (`hosts FILE`, by its last part), or NULL.
 * said: one line a thing that is not understood. Never fails: a text that is no Corefile at all adds nothing. */
void dns_config_corefile(struct dns_config *c, struct sv text, const struct val *files, struct buf *said);
/* The same of directives that stand in the block of "." (k3s' *.override). */
void dns_config_override(struct dns_config *c, struct sv text, const struct val *files, struct buf *said);

/* Where name (lower) is asked for; NULL: nowhere. */
const struct dns_forward *dns_config_forward(const struct dns_config *c, const struct dns_name *name);
/* What the rules make of a name (lower). False: it stays as it is. */
bool dns_config_rewrite(const struct dns_config *c, const struct dns_name *name, struct dns_name *ret);
/* The addresses of a name (lower) among the hosts; NULL: it is none of them. */
const struct dns_host_addrs *dns_config_host_addrs(const struct dns_config *c, const struct dns_name *name);
const struct dns_name *dns_config_host_name(const struct dns_config *c, struct ip_addr a); /* or NULL */
