#include "proxy/elem_use.h"

#include <stdlib.h>

/* Chains without users are kept for the next time somebody has that number of endpoints, up to this many. */
#define IDLE_CHAINS_MAX 32

void elem_uses_release(struct elem_uses *u)
{
	strmap_release(&u->shared);
	strmap_release(&u->chains);
	u->idle_chains = 0;
}

void elem_changes_release(struct elem_changes *c)
{
	vec_release(&c->dels.v);
	vec_release(&c->adds.v);
	buf_release(&c->chains);
}

/* Pods serve several Services and a ClusterIP several ports: the element is there while anybody needs it. */
static bool is_shared(const struct elem *e)
{
	return elem_table(e) == ELEM_HAIRPINS || elem_table(e) == ELEM_CLUSTER_IPS;
}

struct shared_key {
	uint8_t table;
	struct ip_addr addr;
};

static void **shared_slot(struct elem_uses *u, const struct elem *e)
{
	struct shared_key key = { e->table, e->addr };

	return strmap_slot(&u->shared, sv_make((const char *)&key, sizeof(key)));
}

static void shared_forget(struct elem_uses *u, const struct elem *e)
{
	struct shared_key key = { e->table, e->addr };

	strmap_del(&u->shared, sv_make((const char *)&key, sizeof(key)));
}

static void chain_use(struct elem_changes *c, const struct elem *e, int by)
{
	struct elem_uses *u = c->uses;
	char name[48];
	uintptr_t n;
	void **slot;

	if (!render_chain_name(name, e))
		return;
	slot = strmap_slot(&u->chains, sv_from(name));
	n = (uintptr_t)*slot;
	if (n == 0) {
		render_add_chain(&c->chains, c->cfg, e);
		n = 1;
		u->idle_chains++;
	}
	if (by > 0 && n == 1)
		u->idle_chains--;
	n = by > 0 ? n + 1 : n - 1;
	if (n == 1)
		u->idle_chains++;
	*slot = (void *)n;
}

void elem_changes_del(struct elem_changes *c, const struct elem *e)
{
	if (is_shared(e)) {
		void **slot = shared_slot(c->uses, e);
		uintptr_t n = (uintptr_t)*slot - 1;

		*slot = (void *)n;
		if (n)
			return;
		shared_forget(c->uses, e);
	}
	chain_use(c, e, -1);
	vec_push(&c->dels.v, *e);
}

static void elem_changes_add(struct elem_changes *c, const struct elem *e)
{
	if (is_shared(e)) {
		void **slot = shared_slot(c->uses, e);
		uintptr_t n = (uintptr_t)*slot + 1;

		*slot = (void *)n;
		if (n > 1)
			return;
	}
	chain_use(c, e, 1);
	vec_push(&c->adds.v, *e);
}

void elem_changes_diff(struct elem_changes *c, const struct elems *old, const struct elems *neu, bool dels)
{
	size_t i = 0, j = 0;

	while (i < old->v.n || j < neu->v.n) {
		int cmp = i == old->v.n ? 1 : j == neu->v.n ? -1 : elem_cmp_key(&old->v.p[i], &neu->v.p[j]);
		bool same = cmp == 0 && elem_same_value(&old->v.p[i], &neu->v.p[j]);

		if (cmp <= 0 && !same && dels)
			elem_changes_del(c, &old->v.p[i]);
		if (cmp >= 0 && !same && !dels)
			elem_changes_add(c, &neu->v.p[j]);
		i += cmp <= 0;
		j += cmp >= 0;
	}
}

static void drop_idle_chains(struct elem_changes *c, struct buf *out)
{
	VEC(char *) idle = VEC_INIT;

	if (c->uses->idle_chains <= IDLE_CHAINS_MAX)
		return;
	STRMAP_EACH(&c->uses->chains, e) {
		if ((uintptr_t)e->value == 1)
			vec_push(&idle, xstrdup(e->key));
	}
	for (size_t i = 0; i < idle.n; i++) {
		render_del_chain(out, c->cfg, idle.p[i]);
		strmap_del(&c->uses->chains, sv_from(idle.p[i]));
		free(idle.p[i]);
	}
	vec_release(&idle);
	c->uses->idle_chains = 0;
}

static int cmp_elem(const void *a, const void *b)
{
	return elem_cmp_key(a, b);
}

void elem_changes_write_dels(struct elem_changes *c, struct buf *out)
{
	if (c->dels.v.n)
		qsort(c->dels.v.p, c->dels.v.n, sizeof(*c->dels.v.p), cmp_elem);
	render_del_elems(out, c->cfg, c->dels.v.p, c->dels.v.n);
}

void elem_changes_write_adds(struct elem_changes *c, struct buf *out)
{
	if (c->adds.v.n)
		qsort(c->adds.v.p, c->adds.v.n, sizeof(*c->adds.v.p), cmp_elem);
	buf_addsv(out, buf_sv(&c->chains));
	render_add_elems(out, c->cfg, c->adds.v.p, c->adds.v.n);
	drop_idle_chains(c, out);
}
