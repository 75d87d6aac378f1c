/* proxy.h - the service proxy: Services, EndpointSlices and host ports as one nftables table of maps.
 *
 *	informers ─▶ change tracker ─▶ desired rules ─diff▶ one nft transaction of map elements
 *
 * The table (inet caravel) is made once; afterwards only map and set elements change, never
 * chains of other Services. A periodic check puts the table back when somebody flushed it.
 *
 * A table left by an earlier run serves on until the first sync has another in its place. Changes reach the kernel at
 * once; bursts are folded into one sync per 10 to 50 ms. What libnftables needs for a transaction is forty times its
 * text, so a sync of many Services is several transactions, each of whole Services. Where that would be seen (the first
 * sync beside a table that serves), they fill another table, TABLE-spare, that nothing leads to until it is complete:
 *
 *	TABLE serves ─▶ fill the spare ─▶ spare serves, TABLE is gone ─▶ fill TABLE ─▶ TABLE serves, spare is gone
 *
 * Each arrow is atomic. After a crash on the way one of the two serves, and the next first sync goes on from there.
 *
 * Threads: everything runs as tasks of the env; the functions below may be called from any thread.
 */
#pragma once

#include "client/client.h"
#include "proxy/change.h"

struct informer_factory;
struct proxy;
struct proxy_config; /* proxy_config.h */
struct proxy_health; /* health.h */

/* Where rules go: the kernel through libnftables, or a recorder in tests. Calls come one at a time. */
struct proxy_backend {
	/* Before the first apply, and again when there are Pods with IPv6 addresses: the host's settings that services
	 * need (forwarding, bridged packets passing our rules). What cannot be set is no failure. *ret_bridge_nf: the
	 * latter is the case. */
	void (*prepare)(struct proxy_backend *b, bool v6, bool *ret_bridge_nf);
	/* Applies one transaction of nft commands atomically. */
	int (*apply)(struct proxy_backend *b, struct sv commands, struct err *err);
	/* True when our table is there as we left it. */
	bool (*intact)(struct proxy_backend *b);
	/* True when a table of that name is there, whoever made it, and connections meet it. */
	bool (*serves)(struct proxy_backend *b, const char *table);
	/* Drops the kernel's memory of flows through these frontends to endpoints they no longer have: of UDP and SCTP,
	 * and of TCP those that nobody has answered. */
	int (*forget_flows)(struct proxy_backend *b, struct flow_frontend *u, size_t n, struct err *err);
	/* Calls fn for each client that a set of that table remembers, and for how much longer; none when there is no
	 * such set. */
	void (*clients)(struct proxy_backend *b, const char *table, const char *set,
			void (*fn)(struct ip_addr a, uint64_t ms, void *ctx), void *ctx);
	/* Gives the host its own settings back. */
	void (*restore)(struct proxy_backend *b);
	void (*free)(struct proxy_backend *b);
};
/* The kernel's, for the network namespace of the calling process. Needs CAP_NET_ADMIN. settings: a file in a
 * directory of /run, to keep what the host's settings were; or NULL. */
struct proxy_backend *proxy_backend_nft_new(const char *table, const char *settings, struct err *err);

/* The limits of conntrack that c names, given back with the other settings. What cannot be set is no failure. */
void proxy_backend_nft_conntrack(struct proxy_backend *b, const struct proxy_config *c);

struct proxy_opts {
	struct env *env;
	struct client *client;		    /* system:kube-proxy's or the node's; or */
	struct informer_factory *informers; /* shared, after proxy_keep(); stopped before proxy_free() */
	struct client *pod_client;	    /* may read this node's Pods (the node's may): their host ports are served;
					     * NULL: they are left to somebody else, as the CNI plugin portmap */
	struct proxy_backend *backend;	    /* taken, also when proxy_new() fails */
	const char *node_name;
	const char *cluster_cidr; /* to tell pod traffic from outside: masquerade; may be NULL or "v4,v6" */
	const char *table;	  /* nft table name; NULL: "caravel" */
	bool replaces;		  /* upstream's proxy, whose tables of that name go in the first sync */
	/* Checked; of it count masquerading, who is a Pod, and which addresses serve node ports. NULL: the defaults.
	 * Borrowed for the call. */
	const struct proxy_config *config;
	struct proxy_health *health; /* told how it goes; borrowed, outlives the proxy; NULL: nobody asks */
	/* "ns/name" of a Service whose endpoint on this node is this very process: when the proxy is freed, the last
	 * thing it writes is that the others serve, if there are any. NULL: there is none. Borrowed for the proxy's
	 * life. */
	const char *own_service;
};

struct proxy *proxy_new(const struct proxy_opts *o, struct err *err); /* strings are copied */
/* Says what of the cluster's objects proxies read: for who shares f among several. */
void proxy_keep(struct informer_factory *f);
bool proxy_synced(struct proxy *p); /* rules of the first sync are in the kernel */
/* Waits for a sync under way. Without remove_rules, services go on working as they are, but for own_service. */
struct proxy *proxy_free(struct proxy *p, bool remove_rules);

/* The name of the table that serves while that one is filled; the caller's to free. */
char *proxy_spare_table(const char *table);
/* Removes upstream's tables of that name. */
int proxy_cleanup_foreign(const char *table, struct err *err);
/* Removes the table of a proxy that is gone (`caravel cleanup`): 1; none is no failure: 0. The host gets back the
 * settings kept in the file, unless another proxy still needs them: one with a file that matches heirs beside its own.
 */
int proxy_cleanup(const char *table, const char *settings, const char *heirs, struct err *err);
