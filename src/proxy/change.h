/* change.h - the change tracker: what is in the kernel, and what must change to be as wanted.
 *
 *	frontends of the changed Services ─▶ elements, affinity ─diff─▶ one transaction's text
 *
 * The tracker remembers per Service what it last rendered; an update costs what changed, not what exists.
 * A frontend belongs to one Service: where two want the same (an external address, usually), the one that
 * has it keeps it, and the other gets it when it is released. But a ClusterIP is its Service's in any case.
 *
 * A transaction must reach the kernel or the tracker be told with change_reset(): it assumes success.
 * Not thread-safe.
 */
#pragma once

#include "base/strmap.h"
#include "proxy/render.h"

struct change_tracker;

/* The wanted frontends of one Service; n 0 when it is gone. Arrays are borrowed for the call. */
struct service_update {
	struct sv key; /* "namespace/name" */
	const struct frontend *frontends;
	size_t n;
};

/* A frontend that changed (of TCP: that was there before, and is to be told of when answers under way have come, see
 * syns.h). Of UDP and SCTP: flows through it to any other endpoint are to be forgotten, as UDP clients never open a
 * new connection that would choose again, and those of SCTP do it from the same port. Those to endpoints that serve go
 * on, as those of TCP do, also when new ones would go elsewhere: the endpoint terminates, or a policy changed. */
struct flow_frontend {
	struct frontend_key key;
	struct endpoints now;
};

/* A set of the addresses of clients that ClientIP affinity remembers, empty in a table that is put in place of another:
 * what the old one's remembers can be added. */
struct client_set {
	const char *name;
	uint32_t timeout_s;
};

struct changes {
	struct buf commands;		    /* empty: nothing to do */
	VEC(struct client_set) remembering; /* of a new table only */
	VEC(struct flow_frontend) flows;
	struct arena arena; /* flows' endpoints, sets' names */
	size_t adds, dels;  /* elements */
};
void changes_release(struct changes *c); /* for _cleanup_ */

struct change_tracker *change_tracker_new(const struct render_cfg *cfg); /* cfg is borrowed for the tracker's life */
struct change_tracker *change_tracker_free(struct change_tracker *t);

/* Forgets what is in the kernel: the next update's text begins with putting an empty table in place. It serves with the
 * end of that update, which must name all Services; with `parts`, after any number of updates that together name all,
 * with change_serve(). */
void change_reset(struct change_tracker *t, bool parts);
/* The transaction that makes the table serve, and the spare one go. */
void change_serve(struct change_tracker *t, struct changes *ret);
/* What the node itself needs; without overlaps. */
struct node_ranges {
	const struct ip_net *pods, *nodeports; /* its pods' addresses; its own that serve node ports */
	size_t n_pods, n_nodeports;
};
void change_update(struct change_tracker *t, const struct service_update *u, size_t n, const struct node_ranges *ranges,
		   struct changes *ret); /* ranges NULL: none */

/* Services left without some frontend because another has it: to be updated when one has been freed. */
void change_each_loser(struct change_tracker *t, void (*fn)(struct sv key, void *ctx), void *ctx);
bool change_freed(struct change_tracker *t);	     /* has a frontend become nobody's since this was asked last? */
size_t change_count(const struct change_tracker *t); /* Services with rules */
