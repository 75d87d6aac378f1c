/* What the API and the kubelet say: Namespaces, policies, pods, and who has which address. */
#include "base/ip.h"
#include "netd/policy/netpol.h"
#include "netd/policy/track-internal.h"

#include <stdlib.h>

struct netpol_track *netpol_track_new(const char *table, const char *node_name, const char *bridge)
{
	struct netpol_track *t = xcalloc(1, sizeof(*t));

	t->table = table;
	t->node = node_name;
	t->bridge = bridge;
	t->unknown = true;
	return t;
}

/* --- addresses --- */

struct sv np_ip_key(const struct ip_addr *ip)
{
	return sv_make((const char *)ip->b, sizeof(ip->b));
}

void np_addr_dirty(struct netpol_track *t, struct np_addr *a)
{
	if (!a->dirty)
		vec_push(&t->dirty, a);
	a->dirty = true;
}

void np_addr_free(void *v)
{
	struct np_addr *a = v;

	vec_release(&a->pods);
	vec_release(&a->have);
	free(a);
}

static void known_claim(struct netpol_track *t, struct np_pod *p, struct ip_addr ip)
{
	void **slot = strmap_slot(&t->addrs, np_ip_key(&ip));
	struct np_addr *a = *slot;

	if (!a) {
		*slot = a = xcalloc(1, sizeof(*a));
		a->ip = ip;
	}
	vec_push(&a->pods, p);
	np_addr_dirty(t, a);
}

static void known_left(struct netpol_track *t, const struct ip_addr *ip)
{
	if (t->policies.n > 0) /* else nobody asks who is connected */
		strmap_set(&t->left, np_ip_key(ip), t);
}

struct strmap *netpol_track_left(struct netpol_track *t)
{
	return &t->left;
}

static void known_unclaim(struct netpol_track *t, const struct np_pod *p, struct ip_addr ip)
{
	struct np_addr *a = strmap_get(&t->addrs, np_ip_key(&ip));

	for (size_t i = 0; a && i < a->pods.n; i++)
		if (a->pods.p[i] == p) {
			vec_remove(&a->pods, i);
			np_addr_dirty(t, a);
			known_left(t, &ip);
			return;
		}
}

static void known_pod_dirty(struct netpol_track *t, const struct np_pod *p)
{
	for (unsigned i = 0; i < p->n_ips; i++)
		np_addr_dirty(t, strmap_get(&t->addrs, np_ip_key(&p->ips[i])));
}

static bool known_has(const struct ip_addr *list, unsigned n, struct ip_addr ip)
{
	for (unsigned i = 0; i < n; i++)
		if (ip_eq(list[i], ip))
			return true;
	return false;
}

static void known_set_ips(struct netpol_track *t, struct np_pod *p, const struct ip_addr *ips, unsigned n)
{
	for (unsigned i = 0; i < p->n_ips; i++)
		if (!known_has(ips, n, p->ips[i]))
			known_unclaim(t, p, p->ips[i]);
	for (unsigned i = 0; i < n; i++)
		if (!known_has(p->ips, p->n_ips, ips[i]))
			known_claim(t, p, ips[i]);
	for (unsigned i = 0; i < n; i++)
		p->ips[i] = ips[i];
	p->n_ips = n;
}

static unsigned known_status_ips(const struct obj *o, struct ip_addr ret[NETPOL_IPS_MAX])
{
	unsigned n = 0;

	VAL_EACH(obj_get(o, F_status, F_podIPs), v)
		if (n < NETPOL_IPS_MAX && ip_parse(val_get_str(v, F_ip), &ret[n]) && !known_has(ret, n, ret[n]))
			n++;
	return n;
}

/* The kubelet knows better than the status it has not written yet. */
static void known_find_ips(struct netpol_track *t, struct np_pod *p)
{
	struct ip_addr ips[NETPOL_IPS_MAX];
	unsigned n = 0;

	if (p->ready > 0) {
		n = p->n_told;
		memcpy(ips, p->told, n * sizeof(*ips));
	} else if (!p->down)
		n = known_status_ips(p->o, ips);
	known_set_ips(t, p, ips, netpol_pod_speaks(p->o) ? n : 0);
}

/* --- Namespaces --- */

static struct np_ns *known_ns(struct netpol_track *t, struct sv name)
{
	void **slot = strmap_slot(&t->namespaces, name);
	struct np_ns *ns = *slot;

	if (!ns) {
		*slot = ns = xcalloc(1, sizeof(*ns));
		ns->name = xstrndup(name.p, name.n);
	}
	return ns;
}

static void known_ns_free(struct np_ns *ns)
{
	obj_unref(ns->o);
	vec_release(&ns->pods);
	vec_release(&ns->versions);
	free(ns->name);
	free(ns);
}

static void known_ns_tidy(struct netpol_track *t, struct np_ns *ns)
{
	if (ns->o || ns->pods.n || ns->versions.n)
		return;
	strmap_del(&t->namespaces, sv_from(ns->name));
	known_ns_free(ns);
}

void netpol_track_namespace(struct netpol_track *t, struct sv name, struct obj *o)
{
	struct np_ns *ns = known_ns(t, name);
	bool same = ns->o && o && val_equal(obj_labels(ns->o), obj_labels(o));

	obj_unref(ns->o);
	ns->o = obj_ref(o);
	for (size_t i = 0; i < ns->pods.n && !same; i++)
		known_pod_dirty(t, ns->pods.p[i]);
	known_ns_tidy(t, ns);
}

/* --- nodes --- */

/* Of this family; IP_NONE: it has none that the rule lets in by the node's address. */
static struct ip_addr known_end(const struct netpol_rule *r, const struct netd_node *n, int family)
{
	struct ip_addr end = n->range[family].addr;

	if (ip_is_none(end) || ip_is_none(n->addr[family]) || !netpol_in_ranges(r, n->addr[family]) ||
	    netpol_in_ranges(r, end))
		return IP_NONE;
	return end;
}

void np_rule_ends(const struct netpol_track *t, const struct netpol_rule *r, np_ends *ret)
{
	size_t n = 0;

	if (r->n_ranges > 0)
		STRMAP_EACH(&t->nodes, e)
			for (int f = 0; f < NETD_FAMILIES; f++) {
				struct ip_addr end = known_end(r, e->value, f);

				if (!ip_is_none(end))
					vec_push(ret, end);
			}
	if (ret->n > 1)
		qsort(ret->p, ret->n, sizeof(*ret->p), ip_order);
	for (size_t i = 0; i < ret->n; i++)
		if (n == 0 || !ip_eq(ret->p[n - 1], ret->p[i]))
			ret->p[n++] = ret->p[i];
	ret->n = n;
}

/* Does a rule that the kernel has let its end in? */
static bool known_node_counts(const struct netpol_track *t, const struct netd_node *n)
{
	STRMAP_EACH(&t->policies, e) {
		const struct np_version *v = e->value;

		for (size_t i = 0; v->in_kernel && i < v->p.n_rules[NETPOL_INGRESS]; i++)
			for (int f = 0; f < NETD_FAMILIES; f++)
				if (!ip_is_none(known_end(&v->p.rules[NETPOL_INGRESS][i], n, f)))
					return true;
	}
	return false;
}

bool netpol_track_node(struct netpol_track *t, struct sv name, struct obj *node)
{
	struct netd_node *old = strmap_get(&t->nodes, name), *neu = NULL;
	bool same, counts;

	if (node && !sv_is(name, t->node)) {
		neu = xcalloc(1, sizeof(*neu));
		netd_node_read(node, neu);
	}
	same = old && neu && netd_node_same(old, neu);
	counts = !same && ((old && known_node_counts(t, old)) || (neu && known_node_counts(t, neu)));
	free(neu ? strmap_set(&t->nodes, name, neu) : strmap_del(&t->nodes, name));
	return counts;
}

/* --- policies --- */

static void known_here_dirty(struct netpol_track *t, const struct np_ns *ns)
{
	for (size_t i = 0; i < ns->pods.n && ns->n_here > 0; i++)
		if (ns->pods.p[i]->here)
			known_pod_dirty(t, ns->pods.p[i]);
}

static struct sv known_version_key(struct buf *b, const struct np_version *v)
{
	return obj_path(b, v->p.ns, v->p.name);
}

static void known_drop_version(struct netpol_track *t, struct np_ns *ns, struct np_version *v)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;

	strmap_del(&t->policies, known_version_key(&key, v));
	ns->n_sets -= v->p.n_sets;
	vec_remove_swap(&ns->versions, v->at);
	if (v->at < ns->versions.n)
		ns->versions.p[v->at]->at = v->at;
	known_here_dirty(t, ns);
	np_version_unref(v);
}

void netpol_track_policy(struct netpol_track *t, struct sv name_space, struct sv name, struct obj *o, bool keep)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct np_version *v = strmap_get(&t->policies, obj_path(&key, name_space, name));
	struct np_ns *ns = known_ns(t, name_space);

	if (v && !o && keep && ns->n_here > 0) {
		v->kept = true;
		return;
	}
	if (v && o && !v->kept && obj_same_version(o, v->o))
		return;
	if (v)
		known_drop_version(t, ns, v);
	if (o) {
		v = np_version_new(t, ns, o);
		ns->n_sets += v->p.n_sets;
		v->at = ns->versions.n;
		vec_push(&ns->versions, v);
		strmap_set(&t->policies, known_version_key(&key, v), v);
		known_here_dirty(t, ns);
	}
	known_ns_tidy(t, ns);
}

size_t netpol_track_policies(const struct netpol_track *t)
{
	return t->policies.n;
}

bool netpol_track_has_pods(const struct netpol_track *t, struct sv ns)
{
	const struct np_ns *n = strmap_get(&t->namespaces, ns);

	return n && n->n_here > 0;
}

/* --- pods --- */

static void known_here(struct netpol_track *t, struct np_pod *p, bool here)
{
	if (p->here == here)
		return;
	p->here = here;
	if (here) {
		p->ns->n_here++;
		return;
	}
	if (--p->ns->n_here > 0)
		return;
	for (size_t i = p->ns->versions.n; i-- > 0;)
		if (p->ns->versions.p[i]->kept)
			known_drop_version(t, p->ns, p->ns->versions.p[i]);
}

static void known_pod_free(struct netpol_track *t, struct np_pod *p)
{
	struct np_ns *ns = p->ns;

	known_set_ips(t, p, NULL, 0);
	vec_remove_swap(&ns->pods, p->at);
	if (p->at < ns->pods.n)
		ns->pods.p[p->at]->at = p->at;
	known_here(t, p, false);
	if (strmap_get(&t->by_uid, obj_uid(p->o)) == p)
		strmap_del(&t->by_uid, obj_uid(p->o));
	known_ns_tidy(t, ns);
	obj_unref(p->o);
	free(p->key);
	free(p);
}

/* The API has it no more. Its containers may run on for a moment, when nobody waited for the kubelet. */
static void known_vanished(struct netpol_track *t, struct np_pod *p)
{
	strmap_del(&t->pods, sv_from(p->key));
	p->ghost = p->here && p->ready > 0;
	if (p->ghost)
		known_pod_dirty(t, p);
	else
		known_pod_free(t, p);
}

static struct np_pod *known_pod(struct netpol_track *t, struct obj *o)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct np_pod *p = strmap_get(&t->pods, obj_path(&key, obj_ns(o), obj_name(o)));

	if (p && !sv_eq(obj_uid(p->o), obj_uid(o))) {
		known_vanished(t, p);
		p = NULL;
	}
	if (!p) {
		p = strmap_get(&t->by_uid, obj_uid(o));
		if (p)
			p->ghost = false; /* it was behind, or gone for a list */
	}
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->key = xstrndup(buf_sv(&key).p, buf_sv(&key).n);
		p->ns = known_ns(t, obj_ns(o));
		p->at = p->ns->pods.n;
		vec_push(&p->ns->pods, p);
		p->o = obj_ref(o);
		strmap_set(&t->by_uid, obj_uid(o), p);
	}
	strmap_set(&t->pods, sv_from(p->key), p);
	return p;
}

static void known_replace(struct np_pod *p, struct obj *o)
{
	obj_ref(o);
	obj_unref(p->o);
	p->o = o;
}

void netpol_track_pod(struct netpol_track *t, struct sv ns, struct sv name, struct obj *o)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct np_pod *p;
	bool labels;

	if (!o) {
		p = strmap_get(&t->pods, obj_path(&key, ns, name));
		if (p)
			known_vanished(t, p);
		return;
	}
	p = known_pod(t, o);
	labels = !val_equal(obj_labels(p->o), obj_labels(o));
	known_replace(p, o);
	known_here(t, p, p->ready > 0 || val_is(obj_get(o, F_spec, F_nodeName), t->node));
	known_find_ips(t, p);
	if (labels)
		known_pod_dirty(t, p);
}

void netpol_track_ready(struct netpol_track *t, struct obj *o, const struct ip_addr *ips, size_t n)
{
	struct np_pod *p = known_pod(t, o);
	struct ip_addr said[NETPOL_IPS_MAX];
	unsigned n_said;

	/* The watch may be ahead of the kubelet's. */
	if (obj_rev(o) > obj_rev(p->o))
		known_replace(p, o);
	p->ready = ++t->last_ready;
	p->down = false;
	p->n_told = 0;
	for (size_t i = 0; i < n; i++)
		if (p->n_told < NETPOL_IPS_MAX && !known_has(p->told, p->n_told, ips[i]))
			p->told[p->n_told++] = ips[i];
	/* What a sandbox has that no status said is new; after our restart the kubelet tells of old ones. */
	n_said = known_status_ips(p->o, said);
	for (unsigned i = 0; i < p->n_told; i++)
		if (!known_has(said, n_said, p->told[i]))
			known_left(t, &p->told[i]);
	known_here(t, p, true);
	known_find_ips(t, p);
	known_pod_dirty(t, p);
}

void netpol_track_gone(struct netpol_track *t, struct sv uid)
{
	struct np_pod *p = strmap_get(&t->by_uid, uid);

	if (!p)
		return;
	if (p->ghost) {
		known_pod_free(t, p);
		return;
	}
	p->ready = 0;
	p->down = true;
	known_find_ips(t, p);
}

bool netpol_track_isolates(const struct netpol_track *t, const struct obj *pod)
{
	const struct np_ns *ns = strmap_get(&t->namespaces, obj_ns(pod));

	for (size_t i = 0; ns && i < ns->versions.n; i++)
		if (selector_matches(ns->versions.p[i]->p.pods, obj_labels(pod)))
			return true;
	return false;
}

static void known_deny(struct netpol_track *t, const struct ip_addr *ips, size_t n, enum netpol_dir d)
{
	for (size_t i = 0; i < n; i++) {
		const struct np_addr *a = strmap_get(&t->addrs, np_ip_key(&ips[i]));

		for (size_t k = 0; a && k < a->pods.n; k++) {
			struct np_pod *p = a->pods.p[k];

			if (p->here && p->ready == 0 && (!p->ns->o || obj_deleting(p->ns->o))) {
				p->deny[d] = true;
				known_pod_dirty(t, p);
			}
		}
	}
}

void netpol_track_deny(struct netpol_track *t, const struct netpol_left *left)
{
	known_deny(t, left->ingress.p, left->ingress.n, NETPOL_INGRESS);
	known_deny(t, left->egress.p, left->egress.n, NETPOL_EGRESS);
}

/* --- the end --- */

struct netpol_track *netpol_track_free(struct netpol_track *t)
{
	if (!t)
		return NULL;
	STRMAP_EACH(&t->addrs, e) {
		struct np_addr *a = e->value;

		for (int d = 0; d < NETPOL_DIRS; d++)
			if (a->combo[d])
				np_combo_put(t, a->combo[d]);
	}
	STRMAP_EACH(&t->namespaces, e) {
		struct np_ns *ns = e->value;

		for (size_t i = 0; i < ns->versions.n; i++)
			np_version_unref(ns->versions.p[i]);
		for (size_t i = 0; i < ns->pods.n; i++) {
			obj_unref(ns->pods.p[i]->o);
			free(ns->pods.p[i]->key);
			free(ns->pods.p[i]);
		}
		known_ns_free(ns);
	}
	np_dead_clear(t);
	vec_release(&t->dead.combos);
	vec_release(&t->dead.versions);
	vec_release(&t->dead.sets);
	vec_release(&t->sets);
	vec_release(&t->dirty);
	strmap_release(&t->namespaces);
	strmap_release(&t->pods);
	strmap_release(&t->policies);
	strmap_release(&t->by_uid);
	strmap_release(&t->by_key);
	strmap_release(&t->combos);
	strmap_release(&t->left);
	strmap_release_with(&t->addrs, np_addr_free);
	strmap_release_with(&t->nodes, free);
	free(t);
	return NULL;
}
