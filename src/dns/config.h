/* config.h - what the name server is told: flags, the nodes' ranges, the host's name servers, a user's Corefile.
 *
 * One immutable value: whoever changes something makes another one (dns_config_new() copies) and gives it to the
 * answering thread.
 *
 * Of a Corefile (ConfigMap kube-system/coredns, key Corefile, or its k3s companion coredns-custom) these are
 * understood, as CoreDNS documents them; a server block for "." is the server itself, one for another zone a stub domain:
 *
 *	hosts		inline entries, ttl, fallthrough
 *	rewrite		[continue|stop] name [exact|suffix] FROM TO [answer auto]
 *	forward		FROM TO... { except, force_tcp, policy sequential|random|round_robin }
 *	cache		[TTL] [ZONE...] { success, denial, serve_stale }
 *	kubernetes	ttl
 *	log, errors
 *
 * What is always so here is taken without a word (health, ready, prometheus, loop, reload, loadbalance, import), anything
 * else is left out and said so; the rest works.
 */
#pragma once

#include "base/err.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "dns/name.h"

#define DNS_UPSTREAMS_MAX 15

/* Where names of a zone are asked for. */
struct dns_forward {
	struct dns_name zone; /* lower; the root: all others */
	struct {
		struct ip_addr addr;
		uint16_t port;
	} to[DNS_UPSTREAMS_MAX];
	size_t n_to;
	VEC(struct dns_name) except;
	bool host;	/* those of the machine's resolv.conf, which change */
	bool force_tcp, shuffle; /* not in the order they stand */
};

struct dns_rewrite {
	bool suffix, stop;
	struct dns_name from, to; /* lower */
};

struct dns_hosts {
	struct strmap names; /* lower wire name -> struct dns_host_addrs * */
	struct strmap addrs; /* 16 bytes -> struct dns_name * */
	uint32_t ttl;
	bool fallthrough, any;
};
struct dns_host_addrs {
	VEC(struct ip_addr) list;
};

struct dns_config {
	/* of flags */
	struct dns_name domain;			/* "cluster.local." */
	struct ip_net ranges[8];		/* of Services and Pods: their reverse names are ours */
	size_t n_ranges;
	struct ip_addr service[2];		/* of kube-dns: the address of ns.dns.DOMAIN */
	size_t n_service;
	/* of the Corefile */
	VEC(struct dns_forward) forwards;	/* the longest zone that fits counts; the last one is the root's */
	VEC(struct dns_rewrite) rewrites;
	struct dns_hosts hosts;
	uint32_t ttl, cache_max_s, deny_max_s, stale_max_s;
	bool log_queries, log_errors;
};

struct dns_config *dns_config_new(void); /* domain cluster.local, the host's servers */
struct dns_config *dns_config_free(struct dns_config *c);

/* Adds what a Corefile says. said: one line a thing that is not understood. Never fails: a text that is no Corefile at
 * all adds nothing. */
void dns_config_corefile(struct dns_config *c, struct sv text, struct buf *said);
/* The same of directives that stand in the block of "." (k3s' *.override). */
void dns_config_override(struct dns_config *c, struct sv text, struct buf *said);

/* Where name (lower) is asked for; NULL: nowhere. */
const struct dns_forward *dns_config_forward(const struct dns_config *c, const struct dns_name *name);
