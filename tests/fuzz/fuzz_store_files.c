/* What the store reads back: a table, a manifest, the notes, segments of the log that form a chain. The first byte
 * says which; checksums are made right, so that the search gets behind them. */
#include "store/disk/db-internal.h"
#include "store/disk/table-internal.h"
#include "store/disk/wal-internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STORE_ID 7
#define MANIFEST_HEAD 96 /* bytes; its checksum is at 12, its size at 16 */

static char dir[64];

static void dir_remove(void)
{
	static const char *const names[] = { "t.1", "manifest", "wal.note", "wal.0", "wal.1", "wal.2" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, names[i]);

		(void)unlink(path);
	}
	(void)rmdir(dir);
}

static void dir_make(void)
{
	if (*dir)
		return;
	snprintf(dir, sizeof(dir), "%s/fuzz-store-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	BUG_ON(!mkdtemp(dir));
	atexit(dir_remove);
}

/* The file becomes p[0, n) at `at`, and zeros before and up to `size`. */
static int file_put(const char *name, const void *p, size_t n, size_t at, size_t size)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	BUG_ON(fd < 0 || pwrite(fd, p, n, (off_t)at) != (ssize_t)n || ftruncate(fd, (off_t)size) < 0);
	return fd;
}

/* --- a table: its head, and right behind it what comes after the head's block --- */

/* Makes the checksum of the block at off right; what is no block stays none. */
static void block_seal(unsigned char *file, const struct table_head *h, uint64_t off, uint32_t bytes, uint32_t magic)
{
	struct table_block b;

	if (bytes < sizeof(b) || off > h->area_at || bytes > h->area_at - off)
		return;
	memcpy(&b, file + off, sizeof(b));
	b.magic = magic;
	b.bytes = bytes - (uint32_t)sizeof(b);
	b.crc = table_block_crc(h->salt, off, &b, file + off + sizeof(b));
	memcpy(file + off, &b, sizeof(b));
}

static void table_seal(unsigned char *file, size_t size, struct table_head *h)
{
	size_t at;

	h->magic = TABLE_MAGIC;
	h->version = TABLE_VERSION;
	h->number = 1;
	h->store_id = STORE_ID;
	h->size = size;
	if (h->area_at >= TABLE_HEAD_BYTES && h->area_at <= size) {
		at = h->area_at;
		for (uint32_t i = 0; i <= h->blocks && size - at >= TABLE_ENTRY_BYTES; i++) {
			uint64_t off;
			uint32_t bytes;
			uint16_t key_n;

			memcpy(&off, file + at, 8);
			memcpy(&bytes, file + at + 8, 4);
			memcpy(&key_n, file + at + 12, 2);
			if (off >= TABLE_HEAD_BYTES)
				block_seal(file, h, off, bytes, TABLE_BLOCK_MAGIC);
			at += MIN(TABLE_ENTRY_BYTES + key_n, size - at);
		}
		for (uint32_t i = 0; i < h->rev_blocks && size - at >= TABLE_REVS_ENTRY; i++, at += TABLE_REVS_ENTRY) {
			uint64_t off;
			uint32_t bytes;

			memcpy(&off, file + at + 8, 8);
			memcpy(&bytes, file + at + 16, 4);
			if (off >= TABLE_HEAD_BYTES)
				block_seal(file, h, off, bytes, TABLE_REVS_MAGIC);
		}
		h->area_crc = crc32c(0, file + h->area_at, size - h->area_at);
	}
	h->crc = table_head_crc(h);
	memcpy(file, h, sizeof(*h));
}

static void table_skipped(_unused_ const struct table *t, _unused_ size_t block, _unused_ struct err *why, void *ctx)
{
	(*(int *)ctx)++;
}

/* Everything of it, as a merge, a list, a watch and a repair would. */
static void table_use(const struct table *t)
{
	struct table_hold hold = { 0 };
	struct wal_record r;
	struct sv key, value;
	struct table_key find;
	int skipped = 0;

	for (int skip = 0; skip < 2; skip++) {
		struct table_iter it = { .t = table_ref((struct table *)t) };
		struct err err = ERR_INIT;
		int got;

		if (skip) {
			it.skip = table_skipped;
			it.skip_ctx = &skipped;
		}
		for (got = table_iter_seek(&it, SV_NULL, &err); got > 0; got = table_iter_next(&it, &err)) {
			/* Touch all of it. */
			BUG_ON(it.key.n == 0 || crc32c(0, it.raw, it.raw_n) == (it.raw_n == 1));
			find = table_key(STORE_ID, it.key);
			(void)table_find(t, &find, it.h.rev, &hold, &r, &key, &value, NULL);
			(void)table_find_rev(t, it.h.rev, 0, &hold, &r, &key, &value, NULL);
		}
		err_release(&err);
		table_iter_release(&it);
	}
	for (size_t i = 0; i <= t->head.blocks; i++) {
		find = table_key(STORE_ID, table_entry(t, i).first_key);
		(void)table_find(t, &find, UINT64_MAX, &hold, &r, &key, &value, NULL);
	}
	for (uint64_t rev = t->head.first_rev, n = 0; rev <= t->head.last_rev && n < 64; rev++, n++)
		(void)table_find_rev(t, rev, 0, &hold, &r, &key, &value, NULL);
	table_hold_release(&hold);
}

static void fuzz_table(const uint8_t *p, size_t n)
{
	struct table_head h;
	struct err err = ERR_INIT;
	struct table *t;
	unsigned char *file;
	size_t size;

	if (n < sizeof(h))
		return;
	size = TABLE_HEAD_BYTES + n - sizeof(h);
	file = xcalloc(1, size);
	memcpy(&h, p, sizeof(h));
	memcpy(file + TABLE_HEAD_BYTES, p + sizeof(h), n - sizeof(h));
	table_seal(file, size, &h);
	close(file_put("t.1", file, size, 0, size));
	free(file);
	t = table_open(dir, 1, STORE_ID, NULL, &err);
	BUG_ON(!t && !err.reason);
	if (t)
		table_use(t);
	table_unref(t);
	err_release(&err);
}

/* --- the rest --- */

static void fuzz_manifest(const uint8_t *p, size_t n)
{
	_cleanup_free_ char *path = xasprintf("%s/manifest", dir);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	manifest_lines lines = VEC_INIT;
	struct err err = ERR_INIT;
	struct db_meta meta;
	unsigned char *file;

	file = xmemdup(p, n);
	if (n >= MANIFEST_HEAD) {
		uint32_t crc = 0, bytes = (uint32_t)n;

		memcpy(file + 12, &crc, 4);
		memcpy(file + 16, &bytes, 4);
		crc = crc32c(0, file, n);
		memcpy(file + 12, &crc, 4);
	}
	close(file_put("manifest", file, n, 0, n));
	free(file);
	if (manifest_parse(path, &b, &meta, &lines, &err) < 0)
		BUG_ON(!err.reason);
	for (size_t i = 0; i < lines.n; i++)
		BUG_ON(crc32c(0, lines.p[i].from.p, lines.p[i].from.n) == 1 && lines.p[i].from.n == 0);
	vec_release(&lines);
	err_release(&err);
}

/* Both copies, each sealed. */
static void notes_put(const uint8_t *p, size_t n)
{
	unsigned char file[2 * WAL_BLOCK] = { 0 };

	for (size_t i = 0; i < 2 && n >= (i + 1) * sizeof(struct wal_note); i++) {
		struct wal_note note;

		memcpy(&note, p + i * sizeof(note), sizeof(note));
		note.crc = 0;
		note.store_id = STORE_ID;
		note.crc = crc32c(0, &note, sizeof(note));
		memcpy(file + i * WAL_BLOCK, &note, sizeof(note));
	}
	close(file_put("wal.note", file, sizeof(file), 0, sizeof(file)));
}

static int log_record(const struct wal_record *r, struct sv key, struct sv value, void *ctx, _unused_ struct err *err)
{
	BUG_ON(key.n == 0 || crc32c(crc32c(0, key.p, key.n), value.p, value.n) == (r->flags == 12345));
	(*(int *)ctx)++;
	return 0;
}

static void log_segment(_unused_ int slot, _unused_ uint64_t seq, _unused_ void *ctx)
{
}

static int log_no_sync(_unused_ int fd)
{
	return 0;
}

/* Two notes, then for each slot a byte: how many groups; a head, and groups with, each, two bytes of length. */
static void fuzz_log(const uint8_t *p, size_t n)
{
	size_t at = MIN(n, 2 * sizeof(struct wal_note));
	struct err err = ERR_INIT;
	struct wal w;
	uint64_t rev = 1;
	int seen = 0;

	notes_put(p, at);
	for (int slot = 0; slot < WAL_SLOTS; slot++) {
		_cleanup_free_ char *name = xasprintf("wal.%d", slot);
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct wal_head h;
		int groups;

		if (n - at < 1 + sizeof(h)) {
			_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

			(void)unlink(path);
			continue;
		}
		groups = p[at++];
		memcpy(&h, p + at, sizeof(h));
		at += sizeof(h);
		h.magic = WAL_HEAD_MAGIC;
		h.store_id = STORE_ID;
		h.version = WAL_VERSION;
		h.crc = 0;
		h.crc = crc32c(0, &h, sizeof(h));
		memset(buf_extend(&b, WAL_BLOCK), 0, WAL_BLOCK);
		memcpy(b.p, &h, sizeof(h));
		while (groups-- > 0 && n - at >= 2) {
			size_t payload = (size_t)p[at] | (size_t)p[at + 1] << 8, block = b.n, used;
			struct wal_group g;
			unsigned char *to;

			at += 2;
			if (n - at < sizeof(g))
				break;
			memcpy(&g, p + at, sizeof(g));
			at += sizeof(g);
			payload = MIN(payload, n - at);
			used = WAL_BLOCK_UP(sizeof(g) + payload);
			memset(buf_extend(&b, used), 0, used);
			to = (unsigned char *)b.p + block;
			memcpy(to + sizeof(g), p + at, payload);
			at += payload;
			g.magic = WAL_GROUP_MAGIC;
			if (g.bytes <= used - sizeof(g))
				g.crc = crc32c(wal_group_head_crc(&g, wal_salt_crc(g.salt)), to + sizeof(g), g.bytes);
			memcpy(to, &g, sizeof(g));
		}
		close(file_put(name, b.p, b.n, 0, MAX(b.n, WAL_SEGMENT)));
	}
	wal_io.fdatasync = log_no_sync;
	wal_init(&w, dir, STORE_ID);
	if (wal_note_open(&w, false, &err) < 0 || wal_replay(&w, 0, &rev, log_segment, log_record, &seen, &err) < 0)
		BUG_ON(!err.reason);
	else
		BUG_ON(rev != (uint64_t)seen + 1);
	wal_release(&w);
	err_release(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 1 << 20)
		return 0;
	dir_make();
	switch (data[0]) {
	case 't':
		fuzz_table(data + 1, size - 1);
		break;
	case 'm':
		fuzz_manifest(data + 1, size - 1);
		break;
	case 'w':
		fuzz_log(data + 1, size - 1);
		break;
	}
	return 0;
}
