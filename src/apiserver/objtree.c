#include "apiserver/objtree.h"

#include <endian.h>
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

/* The eight bytes of "ns/name" from `at` on. */
static uint64_t key_head(struct sv ns, struct sv name, size_t at)
{
	unsigned char b[8] = { 0 };
	size_t n = 0;
	uint64_t head;

	if (ns.n) {
		if (at < ns.n) {
			n = MIN(sizeof(b), ns.n - at);
			memcpy(b, ns.p + at, n);
			at = ns.n;
		}
		if (n < sizeof(b) && at == ns.n) {
			b[n++] = '/';
			at++;
		}
		at -= MIN(at, ns.n + 1);
	}
	if (n < sizeof(b) && at < name.n)
		memcpy(b + n, name.p + at, MIN(sizeof(b) - n, name.n - at));
	memcpy(&head, b, sizeof(head));
	return be64toh(head);
}

static size_t common_bytes(struct sv a, struct sv b)
{
	size_t n = MIN(a.n, b.n), i = 0;

	while (i < n && a.p[i] == b.p[i])
		i++;
	return i;
}

/* How many bytes e's key and the key ns/name begin alike with, at least: of two namespaces no more than theirs. */
static size_t key_common(const struct objtree_entry *e, struct sv ns, struct sv name)
{
	struct sv e_ns = sv_make(e->ns, e->ns_n);
	size_t n = common_bytes(e_ns, ns);

	if (n < e_ns.n || n < ns.n)
		return n;
	return n + (n > 0) + common_bytes(sv_make(e->name, e->name_n), name);
}

static uint64_t entry_head(const struct objtree_entry *e, size_t at)
{
	return key_head(sv_make(e->ns, e->ns_n), sv_make(e->name, e->name_n), at);
}

/* How many of n keys are not above ns/name (not below it either, with `below`): of heads[i], after `same` bytes that
 * all have in common with it, and, where that says nothing, of entry(of, i). */
static size_t keys_before(const uint64_t *heads, size_t n, size_t same, struct sv ns, struct sv name,
			  const struct objtree_entry *(*entry)(const void *of, size_t i), const void *of, bool below)
{
	uint64_t head = key_head(ns, name, same);
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = heads[mid] < head ? -1 : heads[mid] > head ? 1 : key_cmp(entry(of, mid), ns, name);

		if (c < 0 || (c == 0 && !below))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct objtree_entry *objtree_first_of(const void *tree, size_t i)
{
	const struct objtree *t = tree;

	return &t->blocks[i]->e[0];
}

static const struct objtree_entry *objtree_entry_of(const void *block, size_t i)
{
	const struct objtree_block *b = block;

	return &b->e[i];
}

/* Does ns/name, which begins as all in the tree do, also begin as all in block i do? Mostly the numbers at hand tell.
 */
static bool block_shares(const struct objtree *t, size_t i, struct sv ns, struct sv name, uint64_t head)
{
	const struct objtree_block *b = t->blocks[i];
	size_t more = b->same - MIN(b->same, t->same);

	if (more > sizeof(head))
		return key_common(&b->e[0], ns, name) >= b->same;
	return !more || (head ^ t->heads[i]) >> 8 * (sizeof(head) - more) == 0;
}

static bool objtree_find(const struct objtree *t, struct sv ns, struct sv name, struct objtree_pos *ret)
{
	const struct objtree_block *b;
	bool shares;
	size_t n;

	*ret = (struct objtree_pos){ 0, 0 };
	if (!t->n_blocks)
		return false;
	/* The last block whose first entry is not greater. What begins otherwise than all is before or behind all. */
	shares = key_common(objtree_first_of(t, 0), ns, name) >= t->same;
	if (shares)
		n = keys_before(t->heads, t->n_blocks, t->same, ns, name, objtree_first_of, t, false);
	else
		n = key_cmp(objtree_first_of(t, 0), ns, name) < 0 ? t->n_blocks : 0;
	ret->block = n ? n - 1 : 0;
	b = t->blocks[ret->block];
	if (shares && block_shares(t, ret->block, ns, name, key_head(ns, name, t->same)))
		ret->at = keys_before(b->heads, b->n, b->same, ns, name, objtree_entry_of, b, true);
	else
		ret->at = key_cmp(&b->e[0], ns, name) < 0 ? b->n : 0;
	return ret->at < b->n && b->heads[ret->at] == key_head(ns, name, b->same) &&
	       key_cmp(&b->e[ret->at], ns, name) == 0;
}

static struct objtree_entry entry_of(struct obj *o)
{
	struct sv ns = obj_ns(o), name = obj_name(o);

	return (struct objtree_entry){
		.o = o, .ns = ns.p, .name = name.p, .ns_n = (uint32_t)ns.n, .name_n = (uint32_t)name.n
	};
}

/* --- blocks --- */

#define BLOCK_FEW 8 /* the first of a tree has room for so many, at first */

static struct objtree_block *objtree_block_new(size_t cap)
{
	struct objtree_block *b = xcalloc(1, offsetof(struct objtree_block, e) + cap * sizeof(b->e[0]));

	atomic_init(&b->refs, 1);
	b->cap = cap;
	return b;
}

struct objtree_block *objtree_block_ref(struct objtree_block *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void objtree_block_unref(struct objtree_block *b)
{
	if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < b->n; i++)
		obj_unref(b->e[i].o);
	free(b);
}

struct objtree_block *objtree_block_of(struct obj *const *objs, size_t n)
{
	struct objtree_block *b = xcalloc(1, offsetof(struct objtree_block, e) + n * sizeof(b->e[0]));

	atomic_init(&b->refs, 1);
	for (size_t i = 0; i < n; i++)
		b->e[i] = entry_of(objs[i]);
	b->n = b->cap = n;
	return b;
}

/* A block of the tree with what b has, instead of it. */
static struct objtree_block *block_replace(struct objtree *t, size_t i, size_t cap)
{
	struct objtree_block *b = t->blocks[i], *own = objtree_block_new(cap);

	own->n = b->n;
	own->same = b->same;
	memcpy(own->heads, b->heads, b->n * sizeof(b->heads[0]));
	memcpy(own->e, b->e, b->n * sizeof(b->e[0]));
	for (size_t k = 0; k < own->n; k++)
		(void)obj_ref(own->e[k].o);
	t->blocks[i] = own;
	objtree_block_unref(b);
	return own;
}

/* The tree's block i, which is about to change: a copy, if somebody holds it. */
static struct objtree_block *block_own(struct objtree *t, size_t i)
{
	struct objtree_block *b = t->blocks[i];

	return atomic_load_explicit(&b->refs, memory_order_acquire) == 1 ? b : block_replace(t, i, b->cap);
}

static void insert_block(struct objtree *t, size_t at, struct objtree_block *b)
{
	if (t->n_blocks == t->cap_blocks) {
		t->cap_blocks = t->cap_blocks ? t->cap_blocks * 2 : 4;
		t->blocks = xrealloc(t->blocks, t->cap_blocks * sizeof(*t->blocks));
		t->heads = xrealloc(t->heads, t->cap_blocks * sizeof(*t->heads));
		t->counts = xrealloc(t->counts, t->cap_blocks * sizeof(*t->counts));
	}
	memmove(t->blocks + at + 1, t->blocks + at, (t->n_blocks - at) * sizeof(*t->blocks));
	memmove(t->heads + at + 1, t->heads + at, (t->n_blocks - at) * sizeof(*t->heads));
	memmove(t->counts + at + 1, t->counts + at, (t->n_blocks - at) * sizeof(*t->counts));
	t->blocks[at] = b;
	t->heads[at] = b->n ? entry_head(&b->e[0], t->same) : 0;
	t->counts[at] = (uint8_t)b->n;
	t->n_blocks++;
}

static void remove_block(struct objtree *t, size_t at)
{
	objtree_block_unref(t->blocks[at]); /* it is empty */
	memmove(t->blocks + at, t->blocks + at + 1, (t->n_blocks - at - 1) * sizeof(*t->blocks));
	memmove(t->heads + at, t->heads + at + 1, (t->n_blocks - at - 1) * sizeof(*t->heads));
	memmove(t->counts + at, t->counts + at + 1, (t->n_blocks - at - 1) * sizeof(*t->counts));
	t->n_blocks--;
}

/* Its keys have so much in common, and no more is known. */
static void block_set_same(struct objtree_block *b, size_t same)
{
	b->same = same;
	for (size_t i = 0; i < b->n; i++)
		b->heads[i] = entry_head(&b->e[i], same);
}

/* What was split has more in common; and as keys are in order, no less than its first and its last. */
static void block_settle(struct objtree_block *b)
{
	const struct objtree_entry *last = &b->e[b->n - 1];

	block_set_same(b, key_common(&b->e[0], sv_make(last->ns, last->ns_n), sv_make(last->name, last->name_n)));
}

/* The key ns/name is about to come into block b of the tree: nothing is said to be common that it has not. */
static void objtree_allow(struct objtree *t, struct objtree_block *b, struct sv ns, struct sv name)
{
	size_t whole = ns.n + (ns.n > 0) + name.n;
	size_t in_block = b->n ? MIN(b->same, key_common(&b->e[0], ns, name)) : whole;
	/* An empty block is the only one, or the one before it is full. */
	size_t in_tree = t->count ? MIN(t->same, key_common(&t->blocks[0]->e[0], ns, name)) : whole;

	if (in_block != b->same)
		block_set_same(b, in_block);
	if (in_tree == t->same)
		return;
	t->same = in_tree;
	for (size_t i = 0; i < t->n_blocks; i++)
		if (t->blocks[i]->n)
			t->heads[i] = entry_head(&t->blocks[i]->e[0], in_tree);
}

static void block_insert(struct objtree *t, size_t block, size_t at, const struct objtree_entry *e)
{
	struct objtree_block *b = block_own(t, block);

	objtree_allow(t, b, sv_make(e->ns, e->ns_n), sv_make(e->name, e->name_n));
	memmove(b->e + at + 1, b->e + at, (b->n - at) * sizeof(b->e[0]));
	memmove(b->heads + at + 1, b->heads + at, (b->n - at) * sizeof(b->heads[0]));
	b->e[at] = *e;
	b->heads[at] = entry_head(&b->e[at], b->same);
	t->counts[block] = (uint8_t)++b->n;
	if (at == 0)
		t->heads[block] = entry_head(&b->e[0], t->same);
}

struct obj *objtree_put(struct objtree *t, struct obj *o)
{
	struct objtree_entry fresh = entry_of(o);
	struct objtree_pos p;
	struct objtree_block *b;

	if (objtree_find(t, sv_make(fresh.ns, fresh.ns_n), sv_make(fresh.name, fresh.name_n), &p)) {
		struct objtree_entry *e = &block_own(t, p.block)->e[p.at];
		struct obj *was = e->o;

		*e = fresh;
		t->bytes += obj_bytes(o) - obj_bytes(was);
		return was;
	}
	if (!t->n_blocks)
		insert_block(t, 0, objtree_block_new(BLOCK_FEW));
	b = t->blocks[p.block];
	if (b->n == b->cap && b->cap < OBJTREE_BLOCK)
		b = block_replace(t, p.block, MIN(4 * b->cap, (size_t)OBJTREE_BLOCK));
	if (b->n == OBJTREE_BLOCK) {
		struct objtree_block *right = objtree_block_new(OBJTREE_BLOCK);
		/* Keys that only grow (generated names, times) fill blocks to the brim. */
		size_t keep = p.at == OBJTREE_BLOCK ? OBJTREE_BLOCK : OBJTREE_BLOCK / 2;

		b = block_own(t, p.block);
		right->n = b->n - keep;
		memcpy(right->e, b->e + keep, right->n * sizeof(b->e[0]));
		b->n = keep;
		t->counts[p.block] = (uint8_t)keep;
		if (right->n) {
			block_settle(b);
			block_settle(right);
		}
		insert_block(t, p.block + 1, right);
		if (p.at >= keep) {
			p.block++;
			p.at -= keep;
		}
	}
	block_insert(t, p.block, p.at, &fresh);
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
	b = block_own(t, p.block);
	was = b->e[p.at].o;
	memmove(b->e + p.at, b->e + p.at + 1, (b->n - p.at - 1) * sizeof(b->e[0]));
	memmove(b->heads + p.at, b->heads + p.at + 1, (b->n - p.at - 1) * sizeof(b->heads[0]));
	t->counts[p.block] = (uint8_t)--b->n;
	t->count--;
	t->bytes -= obj_bytes(was);
	if (!b->n)
		remove_block(t, p.block);
	else if (p.at == 0)
		t->heads[p.block] = entry_head(&b->e[0], t->same);
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
	for (size_t i = 0; i < t->n_blocks; i++)
		objtree_block_unref(t->blocks[i]);
	free(t->blocks);
	free(t->heads);
	free(t->counts);
	*t = (struct objtree){ 0 };
}
