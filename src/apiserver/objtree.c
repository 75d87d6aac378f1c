#include "apiserver/objtree.h"

#include <stdlib.h>

/* Compares a/b as the keys "ns/name": the shorter namespace is followed by '/'. */
static int key_cmp(const struct objtree_entry *e, struct sv ns, struct sv name)
{
	size_t common = MIN((size_t)e->ns_n, ns.n);
	int c = common ? memcmp(e->ns, ns.p, common) : 0;

	if (c)
		return c;
	if (e->ns_n != ns.n) {
		/* Cluster-scoped keys have no namespace part at all; they never meet namespaced ones. */
		unsigned char l = e->ns_n > common ? (unsigned char)e->ns[common] : '/';
		unsigned char r = ns.n > common ? (unsigned char)ns.p[common] : '/';

		return (int)l - (int)r;
	}
	return sv_cmp(sv_make(e->name, e->name_n), name);
}

static bool objtree_find(const struct objtree *t, struct sv ns, struct sv name, struct objtree_pos *ret)
{
	size_t lo = 0, hi = t->n_blocks;
	const struct objtree_block *b;

	/* The last block whose first entry is not greater. */
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (key_cmp(&t->blocks[mid]->e[0], ns, name) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = (struct objtree_pos){ lo ? lo - 1 : 0, 0 };
	if (!t->n_blocks)
		return false;
	b = t->blocks[ret->block];
	lo = 0;
	hi = b->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = key_cmp(&b->e[mid], ns, name);

		if (c == 0) {
			ret->at = mid;
			return true;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	ret->at = lo;
	return false;
}

static struct objtree_entry entry_of(struct obj *o)
{
	struct sv ns = obj_ns(o), name = obj_name(o);

	return (struct objtree_entry){
		.o = o, .ns = ns.p, .name = name.p, .ns_n = (uint32_t)ns.n, .name_n = (uint32_t)name.n
	};
}

static void insert_block(struct objtree *t, size_t at, struct objtree_block *b)
{
	if (t->n_blocks == t->cap_blocks) {
		t->cap_blocks = t->cap_blocks ? t->cap_blocks * 2 : 4;
		t->blocks = xrealloc(t->blocks, t->cap_blocks * sizeof(*t->blocks));
	}
	memmove(t->blocks + at + 1, t->blocks + at, (t->n_blocks - at) * sizeof(*t->blocks));
	t->blocks[at] = b;
	t->n_blocks++;
}

struct obj *objtree_put(struct objtree *t, struct obj *o)
{
	struct objtree_pos p;
	struct objtree_block *b;

	if (objtree_find(t, obj_ns(o), obj_name(o), &p)) {
		struct objtree_entry *e = &t->blocks[p.block]->e[p.at];
		struct obj *was = e->o;

		*e = entry_of(o);
		t->bytes += obj_bytes(o) - obj_bytes(was);
		return was;
	}
	if (!t->n_blocks)
		insert_block(t, 0, xcalloc(1, sizeof(*b)));
	b = t->blocks[p.block];
	if (b->n == OBJTREE_BLOCK) {
		struct objtree_block *right = xcalloc(1, sizeof(*right));
		/* Keys that only grow (generated names, times) fill blocks to the brim. */
		size_t keep = p.at == OBJTREE_BLOCK ? OBJTREE_BLOCK : OBJTREE_BLOCK / 2;

		right->n = b->n - keep;
		memcpy(right->e, b->e + keep, right->n * sizeof(b->e[0]));
		b->n = keep;
		insert_block(t, p.block + 1, right);
		if (p.at >= keep) {
			p.block++;
			p.at -= keep;
			b = right;
		}
	}
	memmove(b->e + p.at + 1, b->e + p.at, (b->n - p.at) * sizeof(b->e[0]));
	b->e[p.at] = entry_of(o);
	b->n++;
	t->count++;
	t->bytes += obj_bytes(o);
	return NULL;
}

struct obj *objtree_del(struct objtree *t, struct sv ns, struct sv name)
{
	struct objtree_pos p;
	struct objtree_block *b;
	struct obj *was;

	if (!objtree_find(t, ns, name, &p))
		return NULL;
	b = t->blocks[p.block];
	was = b->e[p.at].o;
	memmove(b->e + p.at, b->e + p.at + 1, (b->n - p.at - 1) * sizeof(b->e[0]));
	b->n--;
	t->count--;
	t->bytes -= obj_bytes(was);
	if (!b->n) {
		free(b);
		memmove(t->blocks + p.block, t->blocks + p.block + 1, (t->n_blocks - p.block - 1) * sizeof(*t->blocks));
		t->n_blocks--;
	}
	return was;
}

struct obj *objtree_get(const struct objtree *t, struct sv ns, struct sv name)
{
	struct objtree_pos p;

	return objtree_find(t, ns, name, &p) ? t->blocks[p.block]->e[p.at].o : NULL;
}

int objtree_cmp(const struct obj *o, struct sv ns, struct sv name)
{
	struct objtree_entry e = entry_of((struct obj *)(uintptr_t)o);

	return key_cmp(&e, ns, name);
}

struct objtree_pos objtree_seek(const struct objtree *t, struct sv ns, struct sv name)
{
	struct objtree_pos p;

	(void)objtree_find(t, ns, name, &p);
	if (p.block < t->n_blocks && p.at == t->blocks[p.block]->n)
		p = (struct objtree_pos){ p.block + 1, 0 };
	return p;
}

const struct objtree_entry *objtree_at(const struct objtree *t, struct objtree_pos p)
{
	if (p.block >= t->n_blocks || p.at >= t->blocks[p.block]->n)
		return NULL;
	return &t->blocks[p.block]->e[p.at];
}

struct objtree_pos objtree_next(const struct objtree *t, struct objtree_pos p)
{
	if (++p.at >= t->blocks[p.block]->n)
		p = (struct objtree_pos){ p.block + 1, 0 };
	return p;
}

void objtree_release(struct objtree *t)
{
	for (size_t i = 0; i < t->n_blocks; i++) {
		for (size_t k = 0; k < t->blocks[i]->n; k++)
			obj_unref(t->blocks[i]->e[k].o);
		free(t->blocks[i]);
	}
	free(t->blocks);
	*t = (struct objtree){ 0 };
}
