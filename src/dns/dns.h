/* dns.h - the cluster's name server on this node.
 *
 *	informers ─▶ names (tasks): entries of changed Services, ranges of nodes, configuration
 *	                │ posted to the loop, which owns what it reads: no locks
 *	                ▼
 *	UDP, TCP ─▶ loop (a thread of its own): allowed? cluster name: answered at once
 *	                                        other name: forward ─▶ cache, upstream servers
 *
 * Serves on all addresses of the machine at a port that the Node's annotation caravel.io/dns-port tells
 * (controllers/cluster_dns.c leads the Service kube-dns there). Changes of a Service are answered at most
 * 100 ms after the API told them.
 *
 * Threads: any.
 */
#pragma once

#include "client/client.h"

#define DNS_PORT 10053 /* else a free one */
/* Between two batches of changes: the longest that one waits. */
#define DNS_REST_NS (20 * NS_PER_MS)
#define DNS_PORT_ANNOTATION "caravel.io/dns-port"

struct dns;
struct informer_factory;

struct dns_opts {
	struct env *env;
	struct client *client; /* reads Services, EndpointSlices, Nodes, and ConfigMaps of a Corefile if it may */
	/* For all but the ConfigMaps: shared, after dns_keep(); stopped before dns_stop(). NULL: one of its own. */
	struct informer_factory *informers;
	struct client *node_client; /* writes the annotation of its Node */
	const char *node_name, *domain;
	const char *cluster_dns; /* "ADDR[,ADDR]": never asked as an upstream server, and ns.dns.DOMAIN */
	const char *cluster_cidr, *service_cidr; /* comma-separated; may be NULL */
	const char *resolv_conf;		 /* the machine's, or NULL: resolv_conf_host_file() */
	int port;				 /* 0: DNS_PORT, else a free one */
	int kept_fd;				 /* > 0: dns_fd() of an earlier process, taken */
};

void dns_keep(struct informer_factory *f); /* says what of the cluster's objects is read */
/* Strings are copied. Fails where no port can be had. */
struct dns *dns_start(const struct dns_opts *o, struct err *err);
int dns_port(const struct dns *d);
struct buf;
void dns_metrics(const struct dns *d, struct buf *b); /* appends text for Prometheus; any thread */
/* The socket for datagrams: while a copy is kept, questions wait for the next process. */
int dns_fd(const struct dns *d);
struct dns *dns_stop(struct dns *d); /* NULL is fine; returns NULL */
