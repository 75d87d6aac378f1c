/* netd.h - the pods' network between nodes: routes, neighbours and a VXLAN device, as the Nodes of the API want them.
 *
 *	informer of Nodes ─▶ model ─▶ tracker ─diff▶ backend: netlink
 *	own Node, own addresses ─▶ device
 *
 * Changes reach the kernel at once; every ten seconds, and a second after the kernel says that links, addresses or
 * routes changed, it is read and put right. Entries that an earlier run left serve on and are taken over.
 *
 * A node without peers gets no device: nothing on its machine is touched.
 *
 * Threads: everything runs as tasks of the env; the functions below may be called from any thread.
 */
#pragma once

#include "client/client.h"
#include "netd/track.h"
#include "nft/nfnl.h"

struct netd;
struct recorder;

/* What the backend found of ours. */
struct netd_have {
	bool present; /* a device of our name */
	bool foreign; /* which is no VXLAN: not ours to touch */
	bool right;   /* VNI, port and learning are as they have to be; else only another device will do */
	bool up;
	struct netd_device device;
	VEC(struct net_entry) entries;
};
void netd_have_release(struct netd_have *h);

/* The kernel, or a recorder in tests. Calls come one at a time; watch()'s callback from any thread. */
struct netd_backend {
	/* This machine's addresses; own: those of our Node, whose link's MTU is told; or IP_NONE. */
	int (*look)(struct netd_backend *b, enum netd_kind kind, const struct ip_addr own[NETD_FAMILIES],
		    struct netd_machine *ret, struct err *err);
	/* The device and our entries. */
	int (*read)(struct netd_backend *b, struct netd_have *ret, struct err *err);
	/* Once the first peer is there: host settings that our Node's families need; what cannot be set is no failure.
	 */
	void (*prepare)(struct netd_backend *b, const struct netd_node *self, const int link[NETD_FAMILIES]);
	/* Makes the device, changes it, or takes it away. Its entries may be gone afterwards: read() tells. */
	int (*device)(struct netd_backend *b, const struct netd_have *have, const struct netd_device *want,
		      struct err *err);
	/* Each by itself; failed ones are marked, and the first one's reason told. How many failed. */
	size_t (*apply)(struct netd_backend *b, struct net_change *c, size_t n, struct err *err);
	/* Tells when links, addresses or routes changed, until free(). May be NULL. */
	void (*watch)(struct netd_backend *b, struct env *env, void (*changed)(void *ctx), void *ctx);
	void (*unwatch)(struct netd_backend *b); /* no call after it returned */
	/* Somebody's chain that drops what is forwarded of that family (nft/nfnl.h). May be NULL. */
	bool (*drops)(struct netd_backend *b, bool v6, char ret[NFNL_CHAIN_BYTES]);
	void (*free)(struct netd_backend *b);
};

/* device: its name, at most 15 bytes. settings: a file in a directory of /run that keeps what the host's settings were;
 * beside it, with ".ranges" appended, whose routes are ours: for cleanup. Or NULL. cluster: "v4,v6" or NULL. */
struct netd_backend *netd_backend_netlink_new(const char *device, const char *settings, const char *cluster,
					      struct err *err);

struct informer_factory;
struct netd_opts {
	struct env *env;
	struct informer_factory
	    *informers;		      /* shared, after netd_keep(); stopped before netd_free(); NULL: one of its own */
	struct client *client;	      /* may list and watch Nodes, and write Events: system:kube-proxy may */
	struct client *node_client;   /* may patch its own Node: for addresses below; else NULL */
	struct netd_backend *backend; /* taken, also when netd_new() fails */
	enum netd_kind kind;	      /* not NETD_NONE: for that there is netd_cleanup() */
	const char *node_name;
	const char *cluster_cidr; /* "v4,v6" or NULL */
	const char *addresses;	  /* "v4,v6": where peers reach this node, when it is not at its InternalIPs; or NULL */
};
/* Says what of the cluster's objects is read. */
void netd_keep(struct informer_factory *f);
struct netd *netd_new(const struct netd_opts *o, struct err *err); /* strings are copied */
bool netd_synced(struct netd *n);				   /* the first sync is done, all of it */
struct netd *netd_free(struct netd *n);				   /* what is in the kernel stays, see netd_cleanup() */

/* What a pod of this Node may send at once, by its address's link on this machine, for the CNI configuration; 0: as the
 * plugins like. */
int netd_probe_mtu(enum netd_kind kind, const struct obj *node);
void netd_device_name(const char *data_dir, char ret[16]); /* "cvl1a2b3c4d-vx" */
/* Takes away what a netd that is gone has left, and gives the host's settings back, or hands them over as
 * proxy_cleanup() does. 1: there was something, 0: nothing. */
int netd_cleanup(const char *device, const char *settings, const char *heirs, struct err *err);
