/* render.h - desired rules as text for nft.
 *
 * The table, in the order a new connection meets it:
 *
 *	guard      (raw)       nobody outside may speak to or as 127.0.0.0/8
 *	firewall   (dstnat-10) loadBalancerSourceRanges, of this node's own connections as well
 *	prerouting, output (dstnat)
 *	   inside   ─▶ vmap @inside_ips, @inside_nodeports      pods and this node, where policies differ
 *	   services ─▶ vmap @service_ips, and on this node's addresses @own_ips, @nodeports, @hostports
 *	                  │ goto tcp_outside_3        "3 endpoints, clients from outside are masqueraded"
 *	                  └▶ dnat to  address . port . (random mod 3)  map @tcp_endpoints
 *	prerouting, output (dstnat+1): the same again, for a packet that met a commit half-way
 *	input, forward, output (filter) ─▶ refuse ─▶ vmap @refused_ips, @refused_nodeports; @cluster_ips
 *	postrouting (srcnat)   masquerade: hairpins, marked connections, pods to the outside
 *
 * The table is of the family inet; maps and sets exist once for IPv4 and once, with a 6 at the end of the name, for
 * IPv6; so do chains that translate ("tcp6_outside_3").
 *
 * A Service is elements only. The chains they go to are shared by all frontends with the same number
 * of endpoints, the same protocol and masquerading; only session affinity has chains of its own.
 */
#pragma once

#include "base/buf.h"
#include "proxy/elem.h"

#define PROXY_MARK 0x4000 /* kube-proxy's: masquerade this connection */

struct render_cfg {
	const char *table;
	const char *spare; /* its other name, which serves while this one is filled in parts; NULL: there is none */
	struct families cluster;   /* pod addresses, as far as they are known */
	bool bridge_nf;		   /* bridged packets pass our rules, so replies between pods of one bridge do */
	bool masq_all;		   /* whoever calls a ClusterIP is masqueraded, pods as well */
	bool chosen_nodeports[2];  /* [v6]: node ports answer on the addresses of nodeport_ips only, not on all of the
				      node's */
	bool replaces;		   /* tables of this name of the families ip and ip6, upstream's proxy's, go */
	const char *local_devices; /* of Pods, where they are told by those: "cni0", "veth*"; else NULL */
	uint32_t mark;		   /* of connections to masquerade; 0: PROXY_MARK */
};

/* What ClientIP affinity needs of one frontend beyond elements. Endpoint arrays are owned by whoever holds it. */
struct affinity {
	struct frontend_key key;
	uint32_t timeout_s;
	enum masq_mode masq;
	struct endpoints outer, inside; /* inside is empty unless the frontend is split */
};

/* Puts a table without elements in place of any old one of its name; nothing leads to it yet. */
void render_base(struct buf *b, const struct render_cfg *c);
void render_hooks(struct buf *b, const struct render_cfg *c); /* makes it the one that serves, in place of the spare */
bool render_is_fixed(struct sv chain);			      /* one of that part: never changed afterwards */
void render_remove(struct buf *b, const char *table);
void render_remove_foreign(struct buf *b, const char *table); /* tables of the families ip and ip6 */
void render_del_elems(struct buf *b, const struct render_cfg *c, const struct elem *e, size_t n);
void render_add_elems(struct buf *b, const struct render_cfg *c, const struct elem *e, size_t n);

/* The chain an element's verdict goes to, e.g. "tcp_outside_3"; false when it goes to none that is shared. */
bool render_chain_name(char out[48], const struct elem *e);
void render_add_chain(struct buf *b, const struct render_cfg *c, const struct elem *e);
void render_del_chain(struct buf *b, const struct render_cfg *c, const char *name);

/* The name of the set that remembers who was sent to ep. */
void render_client_set(struct buf *b, struct frontend_key k, struct endpoint ep);
/* A client that it remembers. */
void render_client(struct buf *b, const struct render_cfg *c, const char *set, uint32_t timeout_s,
		   struct ip_addr client, uint64_t expires_ms);
/* From old to neu, either of which may be NULL. Client addresses remembered for endpoints that stay, stay. */
void render_affinity(struct buf *b, const struct render_cfg *c, const struct affinity *old, const struct affinity *neu);
