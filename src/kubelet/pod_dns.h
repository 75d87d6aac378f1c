/* pod_dns.h - the resolv.conf of a pod: its dnsPolicy, the machine's own file, and its dnsConfig on top. Pure but for
 * the functions that read files. What is more than resolvers read is cut, and the pod's owner told. */
#pragma once

#include "base/err.h"
#include "base/resolv_conf.h"

struct val;

#define POD_DNS_SEARCH_BYTES 2048

struct pod_dns_cluster {
	const char *servers; /* separated by commas; NULL: there are none, ClusterFirst is Default */
	const char *domain;
	const char *host_file; /* of resolv_conf_host_file(); NULL: the machine has nothing to say */
};

/* Fails when the pod needs chosen (NULL: nothing was chosen) and it cannot be read: without name servers of ours the
 * runtime would give the pod the machine's. */
int pod_dns_ready(struct arena *a, const struct val *pod, const char *chosen, struct err *err);

/* What the pod gets. Texts live in a or belong to pod and cluster. */
void pod_dns_form(struct arena *a, const struct val *pod, struct sv ns, const struct pod_dns_cluster *cluster,
		  struct resolv_conf *ret);
