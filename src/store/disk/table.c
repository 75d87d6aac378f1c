#include "store/disk/table.h"

#include "base/strmap.h"
#include "store/disk/damage.h"
#include "store/disk/table-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define AREA_MAX (UINT64_C(1) << 30)
#define BLOCK_MAX (UINT32_C(64) << 20)

char *table_path(const char *dir, uint64_t number)
{
	return xasprintf("%s/t.%" PRIu64, dir, number);
}

/* All n bytes, or words. */
static int table_read(const struct table *t, void *p, size_t n, uint64_t off, struct err *err)
{
	char *at = p;

	while (n) {
		ssize_t got = table_io.pread(t->fd, at, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return damage_set(err, t->path, off, "cannot read: %s", strerror(errno));
		if (got == 0)
			return damage_set(err, t->path, off, "the file ends here");
		at += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static int table_read_head(struct table *t, uint64_t number, uint64_t store_id, const uint32_t *crc, struct err *err)
{
	struct table_head *h = &t->head;
	struct stat st;

	if (table_read(t, h, sizeof(*h), 0, err) < 0)
		return -1;
	if (h->magic != TABLE_MAGIC || h->crc != table_head_crc(h))
		return damage_set(err, t->path, 0, "the head fails its checksum");
	if (h->version != TABLE_VERSION && h->version != TABLE_VERSION_CRC)
		return err_set(err, ERR_STORE_READ,
			       "'%s' has format %u, this program knows %u: use the version of Caravel that wrote it",
			       t->path, h->version, TABLE_VERSION);
	if (store_id && h->store_id != store_id)
		return damage_file(err, t->path, "belongs to another store");
	if (h->number != number || (crc && *crc != h->crc))
		return damage_file(err, t->path, "is another file of this store than the manifest names");
	if (fstat(t->fd, &st) < 0)
		return err_set_errno(err, errno, "cannot stat '%s'", t->path);
	if ((uint64_t)st.st_size != h->size)
		return damage_set(err, t->path, MIN((uint64_t)st.st_size, h->size),
				  "the file has %" PRIu64 " bytes, %" PRIu64 " were written", (uint64_t)st.st_size,
				  h->size);
	if (h->area_at < TABLE_HEAD_BYTES || h->area_at > h->size || h->size - h->area_at > AREA_MAX)
		return damage_set(err, t->path, 0, "the head contradicts itself");
	return 0;
}

/* The area's checksum held, so what follows only guards against a head that was made to lie. */
static int table_read_area(struct table *t, struct err *err)
{
	const struct table_head *h = &t->head;
	size_t n = (size_t)(h->size - h->area_at), at = 0;

	t->area = xmalloc(n + 1);
	if (table_read(t, t->area, n, h->area_at, err) < 0)
		return -1;
	if (crc32c(0, t->area, n) != h->area_crc)
		return damage_set(err, t->path, h->area_at, "the index fails its checksum");
	if (h->blocks > n / TABLE_ENTRY_BYTES || h->rev_blocks > n / TABLE_REVS_ENTRY)
		return damage_set(err, t->path, h->area_at, "the index contradicts the head");
	t->at = xmalloc(((size_t)h->blocks + 1) * sizeof(*t->at));
	for (size_t i = 0; i <= h->blocks; i++) {
		uint64_t off;
		uint32_t bytes;
		uint16_t key_n;

		if (n - at < TABLE_ENTRY_BYTES)
			return damage_set(err, t->path, h->area_at + at, "the index contradicts the head");
		t->at[i] = (uint32_t)at;
		memcpy(&off, t->area + at, 8);
		memcpy(&bytes, t->area + at + 8, 4);
		memcpy(&key_n, t->area + at + 12, 2);
		at += TABLE_ENTRY_BYTES;
		if (key_n > n - at || bytes > BLOCK_MAX || off > h->area_at || bytes > h->area_at - off)
			return damage_set(err, t->path, h->area_at + at, "the index contradicts the head");
		at += key_n;
	}
	if (n - at != h->rev_blocks * TABLE_REVS_ENTRY + h->filter_n || !h->filter_n)
		return damage_set(err, t->path, h->area_at + at, "the index contradicts the head");
	t->revs = t->area + at;
	t->filter = t->revs + h->rev_blocks * TABLE_REVS_ENTRY;
	return 0;
}

struct table *table_open(const char *dir, uint64_t number, uint64_t store_id, const uint32_t *crc, struct err *err)
{
	struct table *t = xcalloc(1, sizeof(*t));

	atomic_init(&t->refs, 1);
	t->path = table_path(dir, number);
	t->fd = open(t->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (t->fd < 0) {
		if (errno == ENOENT)
			damage_file(err, t->path, "is missing");
		else
			err_set_errno(err, errno, "cannot open '%s'", t->path);
	} else if (table_read_head(t, number, store_id, crc, err) == 0 && table_read_area(t, err) == 0) {
		return t;
	}
	table_unref(t);
	return NULL;
}

struct table *table_ref(struct table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void table_unref(struct table *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	close_fdp(&t->fd);
	free(t->path);
	free(t->area);
	free(t->at);
	free(t);
}

struct table_entry table_entry(const struct table *t, size_t i)
{
	const unsigned char *p = t->area + t->at[i];
	struct table_entry e;
	uint16_t key_n;

	memcpy(&e.off, p, 8);
	memcpy(&e.bytes, p + 8, 4);
	memcpy(&key_n, p + 12, 2);
	e.first_key = sv_make((const char *)p + TABLE_ENTRY_BYTES, key_n);
	return e;
}

/* A key's versions may begin at the end of the block before the one whose first key it is. */
size_t table_seek(const struct table *t, struct sv key)
{
	size_t lo = 0, hi = t->head.blocks; /* blocks before lo begin before key, those from hi on do not */

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sv_cmp(table_entry(t, mid).first_key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? lo - 1 : 0;
}

void table_hold_release(struct table_hold *h)
{
	free(h->p);
	*h = (struct table_hold){ 0 };
}

/* Reads and checks a block; what the hold has already is not read again. */
static int table_load(const struct table *t, uint64_t off, uint32_t bytes, uint32_t magic, struct table_hold *h,
		      struct err *err)
{
	struct table_block b;

	if (h->t == t && h->off == off)
		return 0;
	h->t = NULL;
	if (bytes < sizeof(b))
		return damage_set(err, t->path, off, "the index contradicts the block");
	if (h->cap < bytes) {
		free(h->p);
		h->cap = bytes;
		h->p = xmalloc(bytes);
	}
	if (table_read(t, h->p, bytes, off, err) < 0)
		return -1;
	memcpy(&b, h->p, sizeof(b));
	if (b.magic != magic || b.bytes != bytes - sizeof(b) ||
	    b.crc != table_block_crc(t->head.salt, off, &b, h->p + sizeof(b)))
		return damage_set(err, t->path, off, "the block of %u bytes fails its checksum", bytes);
	h->t = t;
	h->off = off;
	h->bytes = b.bytes;
	h->count = b.count;
	return 0;
}

static int table_load_block(const struct table *t, size_t i, struct table_hold *h, struct err *err)
{
	struct table_entry e = table_entry(t, i);

	return table_load(t, e.off, e.bytes, TABLE_BLOCK_MAGIC, h, err);
}

/* The record at *at of a held block; moves *at behind it. */
static int table_record(const struct table_hold *h, uint32_t *at, struct wal_record *ret, struct sv *ret_key,
			struct sv *ret_value, struct err *err)
{
	ssize_t n = wal_record_peek(h->p + sizeof(struct table_block) + *at, h->bytes - *at, ret, ret_key, ret_value);

	if (n < 0)
		return damage_set(err, h->t->path, h->off + sizeof(struct table_block) + *at, "malformed record");
	*at += (uint32_t)MIN(TABLE_PAD((size_t)n), (size_t)(h->bytes - *at));
	return 0;
}

struct table_key table_key(uint64_t store_id, struct sv key)
{
	/* The store's number is random, and nobody outside knows it. */
	return (struct table_key){ key, (uint32_t)strmap_hash_with(store_id, key) };
}

static bool table_may_have(const struct table *t, const struct table_key *want)
{
	uint32_t hash = t->head.version == TABLE_VERSION_CRC ? crc32c(0, want->key.p, want->key.n) : want->hash;

	for (int i = 0; i < TABLE_PROBES; i++) {
		uint64_t bit = table_filter_bit(hash, i, t->head.filter_n);

		if (!(t->filter[bit / 8] >> bit % 8 & 1))
			return false;
	}
	return true;
}

int table_find(const struct table *t, const struct table_key *want, uint64_t max_rev, struct table_hold *hold,
	       struct wal_record *ret, struct sv *ret_key, struct sv *ret_value, struct err *err)
{
	struct sv key = want->key;

	if (max_rev < t->head.first_rev || !table_may_have(t, want))
		return 0;
	for (size_t i = table_seek(t, key); i < t->head.blocks && sv_cmp(table_entry(t, i).first_key, key) <= 0; i++) {
		uint32_t at = 0;

		if (table_load_block(t, i, hold, err) < 0)
			return -1;
		for (uint32_t k = 0; k < hold->count; k++) {
			int cmp;

			if (table_record(hold, &at, ret, ret_key, ret_value, err) < 0)
				return -1;
			cmp = sv_cmp(*ret_key, key);
			if (cmp > 0)
				return 0;
			if (cmp == 0 && ret->rev <= max_rev)
				return 1;
		}
	}
	return 0;
}

/* The block of revisions in which rev would be, or -1. */
static ssize_t table_seek_revs(const struct table *t, uint64_t rev, uint64_t *ret_off, uint32_t *ret_bytes)
{
	size_t lo = 0, hi = t->head.rev_blocks;
	uint64_t first;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		memcpy(&first, t->revs + mid * TABLE_REVS_ENTRY, 8);
		if (first <= rev)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return -1;
	memcpy(ret_off, t->revs + (lo - 1) * TABLE_REVS_ENTRY + 8, 8);
	memcpy(ret_bytes, t->revs + (lo - 1) * TABLE_REVS_ENTRY + 16, 4);
	return (ssize_t)lo - 1;
}

int table_find_rev(const struct table *t, uint64_t rev, size_t min_block, struct table_hold *hold,
		   struct wal_record *ret, struct sv *ret_key, struct sv *ret_value, struct err *err)
{
	struct table_rev r;
	uint32_t lo = 0, hi, bytes, at = 0;
	uint64_t off;

	if (rev < t->head.first_rev || rev > t->head.last_rev || table_seek_revs(t, rev, &off, &bytes) < 0)
		return 0;
	if (off > t->head.area_at || bytes > t->head.area_at - off)
		return damage_set(err, t->path, t->head.area_at, "the index contradicts the head");
	if (table_load(t, off, bytes, TABLE_REVS_MAGIC, hold, err) < 0)
		return -1;
	hi = (uint32_t)(hold->bytes / sizeof(r));
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		memcpy(&r, hold->p + sizeof(struct table_block) + mid * sizeof(r), sizeof(r));
		if (r.rev < rev)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == hold->bytes / sizeof(r))
		return 0;
	memcpy(&r, hold->p + sizeof(struct table_block) + lo * sizeof(r), sizeof(r));
	if (r.rev != rev || r.block < min_block)
		return 0;
	if (r.block >= t->head.blocks)
		return damage_set(err, t->path, off, "revision %" PRIu64 " is in no block", rev);
	if (table_load_block(t, r.block, hold, err) < 0)
		return -1;
	for (uint32_t k = 0; k < hold->count; k++) {
		if (table_record(hold, &at, ret, ret_key, ret_value, err) < 0)
			return -1;
		if (ret->rev == rev)
			return 1;
	}
	return damage_set(err, t->path, hold->off, "revision %" PRIu64 " is not in its block", rev);
}

/* Loads blocks until there is a record to be at. */
static int table_iter_load(struct table_iter *it, struct err *err)
{
	while (it->left == 0) {
		struct err why = ERR_INIT;

		if (it->block >= it->t->head.blocks)
			return 0;
		it->at = 0;
		if (table_load_block(it->t, it->block++, &it->hold, &why) == 0) {
			it->left = it->hold.count;
			continue;
		}
		if (!it->skip)
			return err_move(err, &why);
		it->skip(it->t, it->block - 1, &why, it->skip_ctx);
		err_release(&why);
	}
	return 1;
}

int table_iter_next(struct table_iter *it, struct err *err)
{
	uint32_t at;
	int r = table_iter_load(it, err);

	if (r <= 0)
		return r;
	at = it->at;
	if (table_record(&it->hold, &it->at, &it->h, &it->key, &it->value, err) < 0)
		return -1;
	it->left--;
	it->raw = it->hold.p + sizeof(struct table_block) + at;
	it->raw_n = sizeof(it->h) + it->key.n + it->value.n;
	return 1;
}

int table_iter_seek(struct table_iter *it, struct sv from, struct err *err)
{
	int r;

	it->block = table_seek(it->t, from);
	it->left = 0;
	do
		r = table_iter_next(it, err);
	while (r > 0 && sv_cmp(it->key, from) < 0);
	return r;
}

void table_iter_release(struct table_iter *it)
{
	table_hold_release(&it->hold);
	table_unref(it->t);
	it->t = NULL;
}
