#include "store/keyidx.h"

#include <stdlib.h>

/* Fills prev[] with the link, on each level, that leads to the first entry >= key. */
static struct keyidx_node *keyidx_find(struct keyidx *x, struct sv key, struct keyidx_node **prev[KEYIDX_LEVELS])
{
	struct keyidx_node **row = x->head, *n = NULL;

	for (int l = KEYIDX_LEVELS - 1; l >= 0; l--) {
		while ((n = row[l]) && sv_cmp(n->key, key) < 0)
			row = n->next;
		prev[l] = &row[l];
	}
	return n;
}

struct keyidx_node *keyidx_seek(const struct keyidx *x, struct sv key)
{
	struct keyidx_node *const *row = x->head, *n = NULL;

	for (int l = KEYIDX_LEVELS - 1; l >= 0; l--)
		while ((n = row[l]) && sv_cmp(n->key, key) < 0)
			row = n->next;
	return n;
}

void *keyidx_get(const struct keyidx *x, struct sv key)
{
	struct keyidx_node *n = keyidx_seek(x, key);

	return n && sv_eq(n->key, key) ? n->value : NULL;
}

/* A level holds a quarter of the entries of the one below (xorshift64). */
static int keyidx_level(struct keyidx *x)
{
	int level = 1;

	if (!x->rng)
		x->rng = UINT64_C(0x9e3779b97f4a7c15);
	x->rng ^= x->rng << 13;
	x->rng ^= x->rng >> 7;
	x->rng ^= x->rng << 17;
	for (uint64_t r = x->rng; level < KEYIDX_LEVELS && (r & 3) == 0; r >>= 2)
		level++;
	return level;
}

void *keyidx_put(struct keyidx *x, struct sv key, void *value)
{
	struct keyidx_node **prev[KEYIDX_LEVELS], *n = keyidx_find(x, key, prev);
	int level;

	BUG_ON(!value);
	if (n && sv_eq(n->key, key)) {
		void *old = n->value;

		n->key = key;
		n->value = value;
		return old;
	}
	level = keyidx_level(x);
	n = xmalloc(sizeof(*n) + (size_t)level * sizeof(n->next[0]));
	n->key = key;
	n->value = value;
	for (int l = 0; l < level; l++) {
		n->next[l] = *prev[l];
		*prev[l] = n;
	}
	x->n++;
	return NULL;
}

void *keyidx_del(struct keyidx *x, struct sv key)
{
	struct keyidx_node **prev[KEYIDX_LEVELS], *n = keyidx_find(x, key, prev);
	void *value;

	if (!n || !sv_eq(n->key, key))
		return NULL;
	for (int l = 0; l < KEYIDX_LEVELS && *prev[l] == n; l++)
		*prev[l] = n->next[l];
	value = n->value;
	free(n);
	x->n--;
	return value;
}

void keyidx_release(struct keyidx *x)
{
	for (struct keyidx_node *n = x->head[0], *next; n; n = next) {
		next = n->next[0];
		free(n);
	}
	*x = (struct keyidx){ 0 };
}
