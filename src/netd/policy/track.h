/* track.h - what is known of the cluster, what of it is in the kernel, and the difference as one transaction.
 *
 * The unit is the address: whoever has it decides in which sets it is, and which chains it meets. Almost always that is
 * one pod. Where several have it (one has just ended, its address is another's already), the one that was made ready
 * here last has it alone; where none was, all are heard, and the youngest is restricted.
 *
 * A transaction must reach the kernel or the tracker be told with netpol_track_reset(): it assumes success.
 * Not thread-safe.
 */
#pragma once

#include "base/buf.h"
#include "netd/policy/model.h"

struct netpol_track;
struct netpol_left;
struct strmap;

/* bridge: that of this node's pods, or NULL. Strings are borrowed. */
struct netpol_track *netpol_track_new(const char *table, const char *node_name, const char *bridge);
struct netpol_track *netpol_track_free(struct netpol_track *t);

/* The newest version, or NULL: it is gone. */
void netpol_track_namespace(struct netpol_track *t, struct sv name, struct obj *ns);
void netpol_track_pod(struct netpol_track *t, struct sv ns, struct sv name, struct obj *pod);
/* Whatever comes from a node itself reaches pods elsewhere from its end of the pods' network, the first address of its
 * range: an ipBlock that holds the node's address lets that in, too. True: what the kernel has counts on what it was,
 * and netpol_track_reset() is due. */
bool netpol_track_node(struct netpol_track *t, struct sv name, struct obj *node);
/* keep: of one that is gone: its namespace is going, so it counts until the last pod of it here is gone. */
void netpol_track_policy(struct netpol_track *t, struct sv ns, struct sv name, struct obj *policy, bool keep);
/* Has the namespace pods on this node that are not gone? Else there is nothing to keep a policy for. */
bool netpol_track_has_pods(const struct netpol_track *t, struct sv ns);

/* As the kubelet says: it has these addresses now, whatever its status says; it has none any more. */
void netpol_track_ready(struct netpol_track *t, struct obj *pod, const struct ip_addr *ips, size_t n);
void netpol_track_gone(struct netpol_track *t, struct sv uid);
/* Does any policy select this pod? (Asked after it was made ready.) */
bool netpol_track_isolates(const struct netpol_track *t, const struct obj *pod);
/* After a restart, everything being known: pods of namespaces that are going are denied what the old table restricted.
 */
void netpol_track_deny(struct netpol_track *t, const struct netpol_left *left);

/* Addresses (16 bytes each, as in struct ip_addr) that pods have left, or just got: connections that the kernel
 * remembers of them are those of somebody who is gone. For the caller to empty when they are forgotten. */
struct strmap *netpol_track_left(struct netpol_track *t);

/* What the kernel must do to be as wanted; nothing appended: it is. Without pods here that a policy selects there is no
 * table: an earlier one is removed. */
void netpol_track_commit(struct netpol_track *t, struct buf *commands);
/* Forgets what is in the kernel: the next commit begins with putting an empty table in place of any old one. */
void netpol_track_reset(struct netpol_track *t);
/* Until the first commit one may be there, from an earlier run: but it is known that there is none. */
void netpol_track_none(struct netpol_track *t);

/* Would it pass? By the same sets, maps and chains that the kernel has, after a commit; for tests. */
bool netpol_track_allows(const struct netpol_track *t, struct ip_addr from, struct ip_addr to, unsigned proto,
			 uint16_t port);
size_t netpol_track_policies(const struct netpol_track *t);
bool netpol_track_there(const struct netpol_track *t); /* our table is in the kernel, after a commit */
bool netpol_track_is_fixed(struct sv chain);	       /* it is the same as long as the table lives */
