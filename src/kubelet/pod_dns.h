/* pod_dns.h - the resolv.conf of a pod: its dnsPolicy, the machine's own file, and its dnsConfig on top. Pure but for
 * the functions that read files. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct val;

/* What the resolvers of C libraries read; more is cut, and the pod's owner told. */
#define POD_DNS_SERVERS 3
#define POD_DNS_SEARCHES 32
#define POD_DNS_SEARCH_BYTES 2048
#define POD_DNS_OPTIONS 20

struct pod_dns {
	struct sv servers[POD_DNS_SERVERS], searches[POD_DNS_SEARCHES], options[POD_DNS_OPTIONS];
	size_t n_servers, n_searches, n_options;
	bool servers_cut, searches_cut; /* there were more */
};

/* Adds what a resolv.conf says. The texts are borrowed. */
void pod_dns_parse(struct sv text, struct pod_dns *d);

/* A machine's resolver may listen on the machine alone, where pods do not reach it (systemd-resolved's stub). */
bool pod_dns_has_loopback(const struct pod_dns *d);

/* The file that pods of the policy Default get: chosen when there is one, else /etc/resolv.conf, or systemd-resolved's
 * file of the servers behind its stub where that is in there. *ret_loopback (may be NULL): pods do not reach what it
 * names. */
const char *pod_dns_host_file(struct arena *a, const char *chosen, bool *ret_loopback);

/* The first of the files, a list that ends with NULL, whose servers pods reach; else the first of all. */
const char *pod_dns_host_of(struct arena *a, const char *const *files, bool *ret_loopback);

struct pod_dns_cluster {
	const char *servers; /* separated by commas; NULL: there are none, ClusterFirst is Default */
	const char *domain;
	const char *host_file; /* of pod_dns_host_file(); NULL: the machine has nothing to say */
};

/* Fails when the pod needs chosen (NULL: nothing was chosen) and it cannot be read: without name servers of ours the
 * runtime would give the pod the machine's. */
int pod_dns_ready(struct arena *a, const struct val *pod, const char *chosen, struct err *err);

/* What the pod gets. Texts live in a or belong to pod and cluster. */
void pod_dns_form(struct arena *a, const struct val *pod, struct sv ns, const struct pod_dns_cluster *cluster,
		  struct pod_dns *ret);
