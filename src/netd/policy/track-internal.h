/* track-internal.h - what the tracker's files share. Nobody else includes it.
 *
 *	version   a policy as of one edit; its chains are in the kernel while a combo names it
 *	set       what a rule selects, or a port's name; in the kernel while such a version needs it
 *	combo     the policies of one direction that select some pods of this node: their chain
 *	address   which sets it is in, which combos it meets
 */
#pragma once

#include "base/strmap.h"
#include "base/vec.h"
#include "netd/model.h"
#include "netd/policy/track.h"

#define NETPOL_IPS_MAX 4 /* of one pod; the API allows one of each family */

struct np_set {
	uint32_t id;
	size_t at;	/* in t->sets */
	unsigned users; /* versions in the kernel */
	bool in_kernel;
	char *key; /* in t->by_key */
	size_t key_n;
	/* One of the two: */
	struct np_version *donor; /* whose memory the selection is in, counted; NULL: a port's name */
	const struct netpol_rule *rule;
	unsigned proto;
	struct sv name; /* view into key */
};

struct np_version {
	uint32_t id;
	size_t at;	 /* in the namespace's */
	unsigned refs;	 /* the namespace, combos, and sets whose donor it is */
	unsigned active; /* combos */
	bool in_kernel;
	struct arena a;
	struct obj *o; /* strings of p */
	struct netpol_policy p;
	/* While active, for each rule, from first[direction][rule] on: its selection's or NULL, then one for each name
	 * of each protocol's ports. */
	VEC(struct np_set *) sets;
	size_t *first[NETPOL_DIRS];
	bool *has_ports_chain[NETPOL_DIRS]; /* in the kernel, of each rule */
	bool kept;			    /* it is gone, and its namespace is going */
};

struct np_combo {
	uint32_t id;
	enum netpol_dir dir;
	unsigned refs; /* addresses */
	bool in_kernel;
	char *key;
	size_t key_n;
	VEC(struct np_version *) versions; /* none: everything is denied */
};

struct np_ns {
	char *name;
	struct obj *o; /* or NULL */
	VEC(struct np_pod *) pods;
	VEC(struct np_version *) versions;
	size_t n_here; /* pods of this node */
	size_t n_sets; /* of versions */
};

struct np_pod {
	char *key; /* "ns/name" */
	struct np_ns *ns;
	size_t at; /* in ns->pods */
	struct obj *o;
	bool here;
	bool ghost; /* the API has it no more, the kubelet does */
	bool down;  /* its sandbox is gone: what its status says of addresses is old */
	bool deny[NETPOL_DIRS];
	uint64_t ready; /* when the kubelet told its addresses: the higher, the later; 0: it has not */
	struct ip_addr ips[NETPOL_IPS_MAX], told[NETPOL_IPS_MAX];
	unsigned n_ips, n_told;
};

struct np_elem {
	uint32_t set;
	uint32_t value; /* of a named port: protocol's number << 16 | port */
};

struct np_addr {
	struct ip_addr ip;
	VEC(struct np_pod *) pods;
	VEC(struct np_elem) have; /* sorted */
	struct np_combo *combo[NETPOL_DIRS], *next[NETPOL_DIRS];
	bool dirty;
};

/* One element that comes or goes. */
struct np_change {
	enum np_table { NP_SET, NP_INGRESS, NP_EGRESS, NP_SELF } table;
	uint32_t id;	/* the set's, or the combo's */
	uint32_t value; /* as in struct np_elem; 0: a selection's, or no set's */
	struct ip_addr ip;
};
struct np_changes {
	VEC(struct np_change) add, del;
};

struct np_chain {
	uint32_t id;
	enum netpol_dir dir;
};
struct np_dead {
	VEC(struct np_chain) combos;
	VEC(struct np_version *) versions; /* counted */
	VEC(struct np_set *) sets;	   /* owned */
};

struct netpol_track {
	const char *table, *node, *bridge;
	uint32_t last_id;
	uint64_t last_ready;
	struct strmap namespaces, policies /* "ns/name" */, pods /* the same */, by_uid, addrs /* 16 bytes */,
	    by_key /* sets */, combos, left /* as addrs */, nodes /* name -> struct netd_node *, of the others */;
	VEC(struct np_addr *) dirty;
	VEC(struct np_set *) sets;
	struct np_dead dead;
	bool there;   /* our table is in the kernel, as far as we know */
	bool unknown; /* an earlier one may be */
};

/* known.c: addresses */
struct sv np_ip_key(const struct ip_addr *ip); /* in t->addrs; view */
void np_addr_dirty(struct netpol_track *t, struct np_addr *a);
void np_addr_free(void *a);

/* known.c: ends of nodes that the rule's ipBlocks let in and do not name: sorted, once each. */
typedef VEC(struct ip_addr) np_ends;
void np_rule_ends(const struct netpol_track *t, const struct netpol_rule *r, np_ends *ret);

/* sets.c: lifetimes of versions, sets and combos */
struct np_version *np_version_new(struct netpol_track *t, const struct np_ns *ns, struct obj *o);
void np_version_unref(struct np_version *v);
struct np_combo *np_combo_get(struct netpol_track *t, const struct np_pod *p, enum netpol_dir d); /* NULL: free */
void np_combo_put(struct netpol_track *t, struct np_combo *c);
void np_dead_clear(struct netpol_track *t); /* they are gone from the kernel */
/* Is the pod in it, and as what (values of struct np_elem)? How many, at most max. */
size_t np_set_values(const struct np_set *s, const struct np_pod *p, uint32_t *ret, size_t max);

/* render.c: text for nft */
void np_render_base(struct buf *b, const struct netpol_track *t);
void np_render_remove(struct buf *b, const char *table); /* also when there is none */
void np_render_set(struct buf *b, const struct netpol_track *t, const struct np_set *s);
void np_render_version(struct buf *b, const struct netpol_track *t, struct np_version *v);
void np_render_combo(struct buf *b, const struct netpol_track *t, const struct np_combo *c);
void np_render_changes(struct buf *b, const struct netpol_track *t, struct np_change *c, size_t n, const char *verb);
void np_render_dead(struct buf *b, const struct netpol_track *t);
