/* facts.h - what holds for all nodes of the cluster, and how a joined one is told.
 *
 * The server's flags say it; it writes them into the ConfigMap kube-system/caravel-config at every start, which
 * bootstrap tokens and nodes may read, and everybody with kubectl can look at. Its keys are the flags' names:
 *
 *	cluster-cidr  service-cidr  cluster-domain  cluster-dns  disable  disable-kube-proxy  disable-network-policy
 *	egress-selector-mode  flannel-backend  ingress-trusted-proxies  ingress-proxy-protocol
 *
 * A ConfigMap and not an endpoint of our own: RBAC, watching and kubectl come with it. What is read is checked as a
 * flag would be, for it decides what a node does as root. A key nobody knows is a newer server's, and passed over.
 *
 * To add a fact: a member, and a row in facts.c; the server's flag writes into the member. Agents have the same flag
 * then: not to set anything, but to be told when it differs from the server's.
 */
#pragma once

#include "cli/cli.h"
#include "client/client.h"

#define FACTS_NS "kube-system"
#define FACTS_NAME "caravel-config"

/* Texts live as long as whoever holds it. */
struct cluster_facts {
	const char *cluster_cidr, *service_cidr, *cluster_domain;
	const char *cluster_dns;     /* NULL: pods get the host's name servers */
	const char *flannel_backend; /* "vxlan", "host-gw", "none"; NULL: vxlan */
	const char *egress; /* how the server reaches kubelets; NULL: by their address, else by what they opened */
	const char
	    *ingress_trusted; /* ranges of proxies before Ingresses whose X-Forwarded headers count; NULL: none */
	bool ingress_proxy_protocol;	    /* these speak it */
	bool disable_proxy, disable_policy; /* Services; NetworkPolicies: somebody else's */
	struct string_list disable;	    /* add-ons that are left out, by k3s's names */
};

#define FACTS_MAX 16 /* rows */

bool facts_disabled(const struct cluster_facts *f, const char *addon);
bool facts_no_gateway(const struct cluster_facts *f); /* --disable gateway, or the whole of Ingress */
bool facts_no_ingress(const struct cluster_facts *f); /* --disable ingress, and for scripts of k3s its own one's name */

/* As a ConfigMap's data: a map of texts. */
struct val *facts_data(struct arena *a, const struct cluster_facts *f);
/* -1: a value that no server's flag can have. f is complete, and everything in a. */
int facts_parse(struct arena *a, const struct val *data, struct cluster_facts *ret, struct err *err);
void facts_release(struct cluster_facts *f);

/* Makes the ConfigMap, or brings it up to date. */
int facts_publish(struct client *c, const struct cluster_facts *f, struct err *err);
int facts_fetch(struct client *c, struct arena *a, struct cluster_facts *ret, struct err *err);

/* Of a further server of one cluster: what its flags leave open is theirs, in a. -1 with the first that says something
 * else, and both values. */
int facts_agree(struct arena *a, struct cluster_facts *mine, const struct cluster_facts *theirs, struct err *err);

/* Rows for an agent's table of options, each a text of its own in said; how many. */
struct facts_said {
	const char *text[FACTS_MAX];
};
size_t facts_option_table(struct facts_said *said, struct option *t);
/* -1 with the first flag that says something else than the cluster, and both values. */
int facts_compare(const struct facts_said *said, const struct cluster_facts *f, struct err *err);
