/* proxy.h - the service proxy: Services and EndpointSlices as one nftables table of maps.
 *
 *	informers ─▶ change tracker ─▶ desired rules ─diff▶ one nft transaction of map elements
 *
 * The table (inet caravel) is made once; afterwards only map and set elements change, never
 * chains of other Services. A periodic check puts the table back when somebody flushed it.
 */
#pragma once

#include "client/client.h"

struct proxy;

/* Where rules go: the kernel through libnftables, or a recorder in tests. */
struct proxy_backend {
	/* Applies one transaction of nft commands atomically. */
	int (*apply)(struct proxy_backend *b, struct sv commands, struct err *err);
	/* True when our table is there as we left it. */
	bool (*intact)(struct proxy_backend *b);
	void (*free)(struct proxy_backend *b);
};
struct proxy_backend *proxy_backend_nft_new(struct err *err);

struct proxy_opts {
	struct env *env;
	struct client *client;	       /* system:kube-proxy or the node's */
	struct proxy_backend *backend; /* taken */
	const char *node_name;
	const char *cluster_cidr; /* to tell pod traffic from outside: masquerade */
	const char *node_ip;
	const char *table; /* nft table name; "caravel" */
};

struct proxy *proxy_new(const struct proxy_opts *o, struct err *err);
bool proxy_synced(struct proxy *p); /* rules of the first sync are in the kernel */
struct proxy *proxy_free(struct proxy *p, bool remove_rules);
