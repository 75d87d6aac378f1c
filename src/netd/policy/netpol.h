/* netpol.h - NetworkPolicies as one nftables table: which connections the pods of this node may have.
 *
 *	informers: policies, Namespaces, Pods, Nodes ─▶ track ─diff▶ backend: one transaction
 *	kubelet: netpol_ready(), netpol_gone() ──┘
 *
 * Changes reach the kernel at once; bursts are folded into one transaction per 10 to 50 ms. Every second it is looked
 * whether the table is still there. Until the first policy nothing is written, and only policies are watched.
 *
 * Threads: informers and syncs run as tasks of the env; the functions below may be called from any thread, and
 * netpol_ready() and netpol_gone() block for as long as the kernel takes for a transaction.
 */
#pragma once

#include "base/buf.h"
#include "base/ip.h"
#include "base/vec.h"
#include "client/client.h"

struct netpol;
struct strmap;

/* Addresses that the table an earlier run left isolates. */
struct netpol_left {
	VEC(struct ip_addr) ingress, egress;
};
void netpol_left_release(struct netpol_left *l); /* for _cleanup_ */

/* The kernel, or a recorder in tests. Calls come one at a time. */
struct netpol_backend {
	/* Before the first apply, and now and then: packets between pods of one bridge pass our rules from now on.
	 * False: they do not, and cannot be made to. */
	bool (*prepare)(struct netpol_backend *b);
	/* Applies one transaction of nft commands atomically. */
	int (*apply)(struct netpol_backend *b, struct sv commands, struct err *err);
	/* True when our table is there as we left it. */
	bool (*intact)(struct netpol_backend *b);
	/* 1: there is a table of ours, and this is whom it isolates; 0: there is none. */
	int (*left)(struct netpol_backend *b, struct netpol_left *ret, struct err *err);
	/* Whatever connections the kernel remembers from or to these addresses (16 bytes each), it remembers no more:
	 * it lets pass what belongs to one, and they are somebody else's now. */
	int (*forget)(struct netpol_backend *b, const struct strmap *ips, struct err *err);
	void (*free)(struct netpol_backend *b);
};
/* Of the network namespace of the calling process. settings: as for proxy_backend_nft_new(), a file of its own. */
struct netpol_backend *netpol_backend_nft_new(const char *table, const char *settings, struct err *err);

struct netpol_opts {
	struct env *env;
	struct client *client;		/* reads NetworkPolicies, Namespaces, Nodes and Pods of all namespaces */
	struct netpol_backend *backend; /* taken, also when netpol_new() fails */
	const char *node_name;
	const char *table;  /* of nftables: netpol_table() */
	const char *bridge; /* of this node's pods; NULL: somebody else's network */
};
struct netpol *netpol_new(const struct netpol_opts *o, struct err *err); /* strings are copied */
bool netpol_synced(struct netpol *n);	      /* what the API says is in force, as of the first time */
struct netpol *netpol_free(struct netpol *n); /* rules stay, see netpol_cleanup() */

/* Puts the rules of a pod with these addresses in force; the sandbox is there, no container is. -1: they are not, and
 * nothing may be started: ask again. */
int netpol_ready(struct netpol *n, struct obj *pod, const struct sv *ips, size_t n_ips, struct err *err);
/* Its sandbox is gone, and so are its addresses. */
void netpol_gone(struct netpol *n, struct obj *pod);

const char *netpol_table(struct arena *a, const char *tag); /* "caravel-1a2b3c4d-policy" */
/* Removes the table of a netpol that is gone, and gives the host's settings back as proxy_cleanup() does: 1; 0: none.
 */
int netpol_cleanup(const char *table, const char *settings, const char *heirs, struct err *err);
