/* The difference between what is wanted and what the kernel has, as one transaction. */
#include "netd/policy/track-internal.h"

#include <stdlib.h>

#define VALUES_MAX 64 /* ports of one name that a pod may have; more are as if they were not there */

struct np_elems {
	VEC(struct np_elem) v;
};

static int commit_elem_order(const void *a, const void *b)
{
	const struct np_elem *x = a, *y = b;

	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	return x->value < y->value ? -1 : x->value > y->value;
}

/* Who alone has the address, by the kubelet; NULL: nobody was told of. */
static struct np_pod *commit_sole(const struct np_addr *a)
{
	struct np_pod *sole = NULL;

	for (size_t i = 0; i < a->pods.n; i++)
		if (a->pods.p[i]->ready > (sole ? sole->ready : 0))
			sole = a->pods.p[i];
	return sole;
}

/* Whose policies hold for it: none, when no pod of this node has it. */
static const struct np_pod *commit_owner(const struct np_addr *a)
{
	const struct np_pod *owner = commit_sole(a);

	for (size_t i = 0; i < a->pods.n && !(owner && owner->ready); i++) {
		const struct np_pod *p = a->pods.p[i];

		if (p->here && (!owner || sv_cmp(val_str(obj_get(p->o, F_metadata, F_creationTimestamp)),
						 val_str(obj_get(owner->o, F_metadata, F_creationTimestamp))) > 0))
			owner = p;
	}
	return owner;
}

/* Its elements of some sets, unsorted. */
static void commit_members(const struct np_addr *a, struct np_set *const *sets, size_t n_sets, struct np_elems *out)
{
	const struct np_pod *sole = commit_sole(a);
	uint32_t values[VALUES_MAX];

	for (size_t i = 0; i < a->pods.n; i++) {
		const struct np_pod *p = a->pods.p[i];

		if (p->ghost || (sole && p != sole))
			continue;
		for (size_t k = 0; k < n_sets; k++) {
			size_t n = np_set_values(sets[k], p, values, VALUES_MAX);

			for (size_t j = 0; j < n; j++) {
				struct np_elem e = { sets[k]->id, values[j] };

				vec_push(&out->v, e);
			}
		}
	}
}

static void commit_tidy(struct np_elems *e)
{
	size_t n = 0;

	if (e->v.n)
		qsort(e->v.p, e->v.n, sizeof(*e->v.p), commit_elem_order);
	for (size_t i = 0; i < e->v.n; i++)
		if (n == 0 || commit_elem_order(&e->v.p[n - 1], &e->v.p[i]))
			e->v.p[n++] = e->v.p[i];
	e->v.n = n;
}

static void commit_member(struct np_changes *c, const struct np_addr *a, struct np_elem e, bool add)
{
	struct np_change x = { .table = NP_SET, .id = e.set, .value = e.value, .ip = a->ip };

	if (add)
		vec_push(&c->add, x);
	else
		vec_push(&c->del, x);
}

/* Replaces what the address has by what it is to have. */
static void commit_diff(struct np_addr *a, struct np_elems *want, struct np_changes *c)
{
	size_t i = 0, k = 0;

	while (i < a->have.n || k < want->v.n) {
		int order = i == a->have.n ? 1 : k == want->v.n ? -1 : commit_elem_order(&a->have.p[i], &want->v.p[k]);

		if (order < 0)
			commit_member(c, a, a->have.p[i], false);
		else if (order > 0)
			commit_member(c, a, want->v.p[k], true);
		i += order <= 0;
		k += order >= 0;
	}
	free(a->have.p);
	a->have.p = want->v.p;
	a->have.n = want->v.n;
	a->have.cap = want->v.cap;
	vec_tighten(&a->have);
	if (a->have.n == 0)
		vec_release(&a->have);
}

static bool commit_isolated(struct np_combo *const combo[NETPOL_DIRS])
{
	return combo[NETPOL_INGRESS] || combo[NETPOL_EGRESS];
}

static void commit_verdicts(struct netpol_track *t, struct np_addr *a, struct np_changes *c)
{
	bool was = commit_isolated(a->combo), is = commit_isolated(a->next);

	for (int d = 0; d < NETPOL_DIRS; d++) {
		struct np_change x = { .table = d == NETPOL_INGRESS ? NP_INGRESS : NP_EGRESS, .ip = a->ip };
		struct np_combo *old = a->combo[d], *neu = a->next[d];

		a->combo[d] = neu;
		a->next[d] = NULL;
		if (old != neu && old) {
			x.id = old->id;
			vec_push(&c->del, x);
		}
		if (old != neu && neu) {
			x.id = neu->id;
			vec_push(&c->add, x);
		}
		if (old)
			np_combo_put(t, old);
	}
	if (was != is) {
		struct np_change x = { .table = NP_SELF, .ip = a->ip };

		if (is)
			vec_push(&c->add, x);
		else
			vec_push(&c->del, x);
	}
}

/* Which policies select it: that makes sets. */
static void commit_choose(struct netpol_track *t)
{
	for (size_t i = 0; i < t->dirty.n; i++) {
		struct np_addr *a = t->dirty.p[i];
		const struct np_pod *owner = commit_owner(a);

		for (int d = 0; d < NETPOL_DIRS && owner; d++)
			a->next[d] = np_combo_get(t, owner, (enum netpol_dir)d);
	}
}

/* Addresses that did not change are asked about sets that are new alone. */
static void commit_new_sets(struct netpol_track *t, struct np_changes *c)
{
	VEC(struct np_set *) fresh = VEC_INIT;

	for (size_t i = 0; i < t->sets.n; i++)
		if (!t->sets.p[i]->in_kernel)
			vec_push(&fresh, t->sets.p[i]);
	if (fresh.n > 0)
		STRMAP_EACH(&t->addrs, e) {
			struct np_addr *a = e->value;
			struct np_elems more = { 0 };

			if (a->dirty)
				continue;
			commit_members(a, fresh.p, fresh.n, &more);
			commit_tidy(&more);
			/* their numbers are higher than those of all that were before */
			for (size_t i = 0; i < more.v.n; i++) {
				commit_member(c, a, more.v.p[i], true);
				vec_push(&a->have, more.v.p[i]);
			}
			vec_release(&more.v);
		}
	vec_release(&fresh);
}

static int commit_id_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Elements go with their set. */
static void commit_dead_sets(struct netpol_track *t)
{
	VEC(uint32_t) gone = VEC_INIT;

	for (size_t i = 0; i < t->dead.sets.n; i++)
		vec_push(&gone, t->dead.sets.p[i]->id);
	if (gone.n > 0) {
		qsort(gone.p, gone.n, sizeof(*gone.p), commit_id_order);
		STRMAP_EACH(&t->addrs, e) {
			struct np_addr *a = e->value;
			size_t n = 0;

			for (size_t i = 0; i < a->have.n; i++)
				if (!bsearch(&a->have.p[i].set, gone.p, gone.n, sizeof(*gone.p), commit_id_order))
					a->have.p[n++] = a->have.p[i];
			a->have.n = n;
		}
	}
	vec_release(&gone);
}

static void commit_free_addrs(struct netpol_track *t)
{
	for (size_t i = 0; i < t->dirty.n; i++) {
		struct np_addr *a = t->dirty.p[i];

		a->dirty = false;
		if (a->pods.n > 0)
			continue;
		strmap_del(&t->addrs, np_ip_key(&a->ip));
		np_addr_free(a);
	}
	vec_release(&t->dirty);
}

static void commit_render(struct netpol_track *t, struct np_changes *c, struct buf *b)
{
	/* Nobody is restricted any more: what else is in the table is dead, and packets need not pass it. */
	bool last = t->there && t->combos.n == 0;

	if (t->unknown || last)
		np_render_remove(b, t->table);
	t->unknown = false;
	if (last) {
		t->there = false;
		return;
	}
	if (t->combos.n > 0 && !t->there) {
		np_render_base(b, t);
		t->there = true;
	}
	for (size_t i = 0; i < t->sets.n; i++)
		if (!t->sets.p[i]->in_kernel) {
			np_render_set(b, t, t->sets.p[i]);
			t->sets.p[i]->in_kernel = true;
		}
	STRMAP_EACH(&t->combos, e) {
		struct np_combo *combo = e->value;

		if (combo->in_kernel)
			continue;
		for (size_t i = 0; i < combo->versions.n; i++)
			if (!combo->versions.p[i]->in_kernel) {
				np_render_version(b, t, combo->versions.p[i]);
				combo->versions.p[i]->in_kernel = true;
			}
		np_render_combo(b, t, combo);
		combo->in_kernel = true;
	}
	np_render_changes(b, t, c->del.p, c->del.n, "delete");
	np_render_changes(b, t, c->add.p, c->add.n, "add");
	np_render_dead(b, t);
}

void netpol_track_commit(struct netpol_track *t, struct buf *commands)
{
	struct np_changes c = { 0 };

	commit_choose(t);
	commit_new_sets(t, &c);
	for (size_t i = 0; i < t->dirty.n; i++) {
		struct np_elems want = { 0 };

		commit_members(t->dirty.p[i], t->sets.p, t->sets.n, &want);
		commit_tidy(&want);
		commit_diff(t->dirty.p[i], &want, &c);
	}
	for (size_t i = 0; i < t->dirty.n; i++)
		commit_verdicts(t, t->dirty.p[i], &c);
	commit_dead_sets(t);
	commit_free_addrs(t);
	commit_render(t, &c, commands);
	np_dead_clear(t);
	vec_release(&c.add);
	vec_release(&c.del);
}

void netpol_track_reset(struct netpol_track *t)
{
	STRMAP_EACH(&t->addrs, e) {
		struct np_addr *a = e->value;

		vec_release(&a->have);
		for (int d = 0; d < NETPOL_DIRS; d++) {
			if (a->combo[d])
				np_combo_put(t, a->combo[d]);
			a->combo[d] = NULL;
		}
		np_addr_dirty(t, a);
	}
	np_dead_clear(t);
	t->there = false;
	t->unknown = true;
}

void netpol_track_none(struct netpol_track *t)
{
	t->unknown = false;
}

bool netpol_track_there(const struct netpol_track *t)
{
	return t->there;
}

/* --- asking --- */

static bool commit_in_set(const struct np_addr *a, const struct np_set *s, uint32_t value)
{
	struct np_elem e = { s->id, value };

	return a && a->have.n && bsearch(&e, a->have.p, a->have.n, sizeof(e), commit_elem_order);
}

static bool commit_port_ok(const struct np_version *v, const struct netpol_rule *r, size_t first,
			   const struct np_addr *to, unsigned proto, uint16_t port)
{
	const struct netpol_ports *p = &r->ports[proto];
	size_t at = first + 1;

	if (r->any_port || p->all)
		return true;
	for (size_t i = 0; i < p->n_spans; i++)
		if (port >= p->spans[i].lo && port <= p->spans[i].hi)
			return true;
	for (unsigned k = 0; k < proto; k++)
		at += r->ports[k].n_names;
	for (size_t i = 0; i < p->n_names; i++)
		if (commit_in_set(to, v->sets.p[at + i], (uint32_t)netpol_proto_numbers[proto] << 16 | port))
			return true;
	return false;
}

static bool commit_is_end(const struct netpol_track *t, const struct netpol_rule *r, struct ip_addr ip)
{
	np_ends ends = VEC_INIT;
	bool found = false;

	np_rule_ends(t, r, &ends);
	for (size_t i = 0; i < ends.n; i++)
		found |= ip_eq(ends.p[i], ip);
	vec_release(&ends);
	return found;
}

static bool commit_peer_ok(const struct np_version *v, const struct netpol_rule *r, size_t first,
			   const struct np_addr *peer, struct ip_addr ip)
{
	if (r->any_peer || (r->n_peers && commit_in_set(peer, v->sets.p[first], 0)))
		return true;
	return netpol_in_ranges(r, ip);
}

bool netpol_track_allows(const struct netpol_track *t, struct ip_addr from, struct ip_addr to, unsigned proto,
			 uint16_t port)
{
	const struct np_addr *ends[NETPOL_DIRS] = { strmap_get(&t->addrs, np_ip_key(&to)),
						    strmap_get(&t->addrs, np_ip_key(&from)) };
	struct ip_addr peer[NETPOL_DIRS] = { from, to };

	for (int d = 0; d < NETPOL_DIRS && !ip_eq(from, to); d++) {
		const struct np_combo *c = ends[d] ? ends[d]->combo[d] : NULL;
		bool ok = !c;

		for (size_t i = 0; c && i < c->versions.n; i++) {
			const struct np_version *v = c->versions.p[i];

			for (size_t k = 0; k < v->p.n_rules[d]; k++) {
				const struct netpol_rule *r = &v->p.rules[d][k];
				size_t first = v->first[d][k];

				ok |= (commit_peer_ok(v, r, first, ends[!d], peer[d]) ||
				       (d == NETPOL_INGRESS && commit_is_end(t, r, from))) &&
				      commit_port_ok(v, r, first, ends[NETPOL_INGRESS], proto, port);
			}
		}
		if (!ok)
			return false;
	}
	return true;
}
