#include "store/disk/overlay.h"

#include "base/strmap.h"
#include "store/disk/crc32c.h"

#include <endian.h>
#include <stdlib.h>

#define REC_PAD ((size_t)7)

struct rec *rec_new(struct sv key, struct sv value, bool tombstone)
{
	size_t n = key.n + value.n;
	struct rec *r = xmalloc(sizeof(*r) + ((n + REC_PAD) & ~REC_PAD));

	memset(r, 0, sizeof(*r));
	list_init(&r->link);
	if (key.n)
		memcpy(r->data, key.p, key.n);
	if (value.n)
		memcpy(r->data + key.n, value.p, value.n);
	memset(r->data + n, 0, ((n + REC_PAD) & ~REC_PAD) - n);
	r->head.key_n = (uint32_t)key.n;
	r->head.value_n = (uint32_t)value.n;
	r->head.flags = tombstone ? WAL_TOMBSTONE : 0;
	r->data_crc = crc32c(0, r->data, n);
	r->key_hash = strmap_hash(rec_key(r));
	return r;
}

struct rec *rec_free(struct rec *r)
{
	if (!r)
		return NULL;
	if (r->why) {
		err_release(r->why);
		free(r->why);
	}
	free(r);
	return NULL;
}

size_t rec_disk_bytes(const struct rec *r)
{
	return wal_record_bytes(&r->head);
}

int rec_order(const void *a, const void *b)
{
	struct rec *const *x = a, *const *y = b;
	int cmp = sv_cmp(rec_key(*x), rec_key(*y));

	return cmp ? cmp : (*x)->head.rev > (*y)->head.rev ? -1 : 1;
}

struct store_kv rec_kv(const struct rec *r)
{
	return (struct store_kv){ .key = rec_key(r),
				  .value = sv_make(r->data + r->head.key_n, r->head.value_n),
				  .create_rev = (int64_t)r->head.create_rev,
				  .mod_rev = (int64_t)r->head.rev,
				  .deleted = r->head.flags & WAL_TOMBSTONE };
}

struct gen *gen_new(int slot, uint64_t seq, int64_t base_rev, uint64_t live, uint64_t live_bytes)
{
	struct gen *g = xcalloc(1, sizeof(*g));

	list_init(&g->link);
	g->refs = 1;
	g->slot = slot;
	g->seq = seq;
	g->base_rev = base_rev;
	g->live = live;
	g->live_bytes = live_bytes;
	return g;
}

struct gen *gen_free(struct gen *g)
{
	if (!g)
		return NULL;
	for (size_t i = 0; i < g->recs.n; i++)
		rec_free(g->recs.p[i]);
	vec_release(&g->recs);
	recmap_release(&g->keys);
	free(g);
	return NULL;
}

void gen_add(struct gen *g, struct rec *r_take)
{
	BUG_ON((int64_t)r_take->head.rev != gen_last_rev(g) + 1);
	recmap_put(&g->keys, r_take);
	vec_push(&g->recs, r_take);
	g->bytes += rec_disk_bytes(r_take);
}

struct rec *gen_rev(const struct gen *g, int64_t rev)
{
	return rev > g->base_rev && rev <= gen_last_rev(g) ? g->recs.p[rev - g->base_rev - 1] : NULL;
}

/* A key to be sorted: what follows the bytes that all have in common, as a number, tells most of them apart. */
struct sort_key {
	uint64_t head;
	struct rec *r;
};

static int sort_key_cmp(const void *a, const void *b)
{
	const struct sort_key *x = a, *y = b;

	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	return sv_cmp(rec_key(x->r), rec_key(y->r));
}

static uint64_t sort_head(struct sv key, size_t at)
{
	unsigned char b[8] = { 0 };
	uint64_t head;

	memcpy(b, key.p + at, MIN(sizeof(b), key.n - at));
	memcpy(&head, b, sizeof(head));
	return be64toh(head);
}

/* How many bytes all keys begin alike with. */
static size_t gen_common(const struct gen *g)
{
	struct sv first = g->recs.n ? rec_key(g->recs.p[0]) : SV_NULL;
	size_t same = first.n;

	for (size_t i = 1; i < g->recs.n; i++) {
		struct sv key = rec_key(g->recs.p[i]);
		size_t n = 0;

		same = MIN(same, key.n);
		while (n < same && key.p[n] == first.p[n])
			n++;
		same = n;
	}
	return same;
}

void gen_sorted(const struct gen *g, gen_recs *ret)
{
	size_t same = gen_common(g);
	VEC(struct sort_key) all = VEC_INIT;

	for (size_t i = 0; i < g->keys.cap; i++) {
		struct rec *r = g->keys.slots[i].r;

		if (r) {
			struct sort_key k = { sort_head(rec_key(r), same), r };

			vec_push(&all, k);
		}
	}
	if (all.n)
		qsort(all.p, all.n, sizeof(all.p[0]), sort_key_cmp);
	for (size_t i = 0; i < all.n; i++)
		vec_push(ret, all.p[i].r);
	vec_release(&all);
}
