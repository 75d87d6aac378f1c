/* Writes a table, front to back, in pieces of a few hundred KiB. */
#include "store/disk/table-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)16 * 1024)	 /* of payload, and then one more record */
#define PIECE_BYTES ((size_t)256 * 1024) /* of one write(2) */
#define REVS_BLOCK 1024			 /* entries */
#define FILTER_BITS 16			 /* a key: one look-up in a thousand is for nothing */

struct table_io table_io = { pwrite, pread, fdatasync, fsync };

int table_sync_dir(const char *dir, struct err *err)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || table_io.fsync(fd) < 0)
		return err_set_errno(err, errno, "cannot sync '%s'", dir);
	return 0;
}

int table_sync_parent(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = slash ? xstrndup(path, MAX((size_t)(slash - path), (size_t)1)) : xstrdup(".");

	return table_sync_dir(parent, err);
}

int table_out_begin(struct table_out *o, const char *dir, const struct table_head *head, struct err *err)
{
	*o = (struct table_out){ .path = table_path(dir, head->number),
				 .head = *head,
				 .off = TABLE_HEAD_BYTES,
				 .flushed = TABLE_HEAD_BYTES };
	o->head.magic = TABLE_MAGIC;
	o->head.version = TABLE_VERSION;
	/* What a crash left under this name was never named by a manifest. */
	o->fd = open(o->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (o->fd < 0)
		return err_set_errno(err, errno, "cannot make '%s'", o->path);
	return 0;
}

static int table_out_write(struct table_out *o, const void *p, size_t n, uint64_t off, struct err *err)
{
	const char *at = p;

	while (n) {
		ssize_t wrote = table_io.pwrite(o->fd, at, n, (off_t)off);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return err_set_errno(err, wrote ? errno : EIO, "cannot write '%s'", o->path);
		at += wrote;
		off += (uint64_t)wrote;
		n -= (size_t)wrote;
	}
	return 0;
}

static int table_out_flush(struct table_out *o, size_t at_least, struct err *err)
{
	if (o->out.n < at_least)
		return 0;
	if (table_out_write(o, o->out.p, o->out.n, o->flushed, err) < 0)
		return -1;
	o->flushed += o->out.n;
	buf_clear(&o->out);
	return 0;
}

static void table_out_entry(struct table_out *o, uint64_t off, uint32_t bytes, struct sv key)
{
	uint16_t key_n = (uint16_t)key.n;

	buf_add(&o->area, &off, 8);
	buf_add(&o->area, &bytes, 4);
	buf_add(&o->area, &key_n, 2);
	buf_addsv(&o->area, key);
}

static uint32_t table_out_seal(struct table_out *o, uint32_t magic, uint32_t count, struct sv payload)
{
	struct table_block b = { .magic = magic, .bytes = (uint32_t)payload.n, .count = count };
	uint32_t total = (uint32_t)(sizeof(b) + payload.n);

	b.crc = table_block_crc(o->head.salt, o->off, &b, payload.p);
	buf_add(&o->out, &b, sizeof(b));
	buf_addsv(&o->out, payload);
	o->off += total;
	return total;
}

static int table_out_block(struct table_out *o, struct err *err)
{
	uint64_t off = o->off;

	if (!o->block_count)
		return 0;
	table_out_entry(o, off, table_out_seal(o, TABLE_BLOCK_MAGIC, o->block_count, buf_sv(&o->block)),
			buf_sv(&o->first_key));
	o->head.blocks++;
	o->block_count = 0;
	buf_clear(&o->block);
	return table_out_flush(o, PIECE_BYTES, err);
}

int table_out_add(struct table_out *o, const void *raw, size_t n, struct err *err)
{
	static const char zeros[8];
	struct wal_record h;
	struct sv key, value;

	/* The last look before it becomes the only copy: what memory has garbled must not be sealed as sound. */
	if (wal_record_parse(raw, n, &h, &key, &value) != (ssize_t)n)
		return err_set(
		    err, ERR_STORE_READ,
		    "a version in memory fails its checksum and was not written to '%s': check the machine's "
		    "memory; what is on disk is whole, a restart reads it again",
		    o->path);
	if (!o->block_count) {
		buf_clear(&o->first_key);
		buf_addsv(&o->first_key, key);
	}
	if (!o->head.entries || !sv_eq(buf_sv(&o->last_key), key)) {
		buf_clear(&o->last_key);
		buf_addsv(&o->last_key, key);
		vec_push(&o->hashes, table_key(o->head.store_id, key).hash);
	}
	if (h.rev > o->head.hist_rev) {
		struct table_rev r = { h.rev, o->head.blocks, 0 };

		vec_push(&o->revs, r);
	}
	buf_add(&o->block, raw, n);
	buf_add(&o->block, zeros, TABLE_PAD(n) - n);
	o->block_count++;
	o->head.entries++;
	return o->block.n >= BLOCK_BYTES ? table_out_block(o, err) : 0;
}

uint64_t table_out_bytes(const struct table_out *o)
{
	return o->off + o->block.n;
}

static int table_rev_cmp(const void *a, const void *b)
{
	const struct table_rev *x = a, *y = b;

	return x->rev < y->rev ? -1 : x->rev > y->rev;
}

static int table_out_revs(struct table_out *o, struct buf *index, struct err *err)
{
	if (o->revs.n)
		qsort(o->revs.p, o->revs.n, sizeof(o->revs.p[0]), table_rev_cmp);
	for (size_t i = 0; i < o->revs.n; i += REVS_BLOCK) {
		size_t n = MIN((size_t)REVS_BLOCK, o->revs.n - i);
		uint64_t off = o->off;
		uint32_t bytes = table_out_seal(o, TABLE_REVS_MAGIC, (uint32_t)n,
						sv_make((const char *)&o->revs.p[i], n * sizeof(o->revs.p[0])));

		buf_add(index, &o->revs.p[i].rev, 8);
		buf_add(index, &off, 8);
		buf_add(index, &bytes, 4);
		o->head.rev_blocks++;
		if (table_out_flush(o, PIECE_BYTES, err) < 0)
			return -1;
	}
	return 0;
}

static void table_out_filter(struct table_out *o)
{
	uint32_t n = (uint32_t)(o->hashes.n * FILTER_BITS / 8 + 8);
	unsigned char *f = (unsigned char *)buf_extend(&o->area, n);

	memset(f, 0, n);
	for (size_t i = 0; i < o->hashes.n; i++)
		for (int k = 0; k < TABLE_PROBES; k++) {
			uint64_t bit = table_filter_bit(o->hashes.p[i], k, n);

			f[bit / 8] |= (unsigned char)(1 << bit % 8);
		}
	o->head.filter_n = n;
}

int table_out_end(struct table_out *o, struct err *err)
{
	_cleanup_(buf_release) struct buf revs = BUF_INIT;
	_cleanup_free_ char *first = xcalloc(1, TABLE_HEAD_BYTES);

	if (table_out_block(o, err) < 0)
		return -1;
	table_out_entry(o, o->off, 0, buf_sv(&o->last_key));
	if (table_out_revs(o, &revs, err) < 0)
		return -1;
	buf_addsv(&o->area, buf_sv(&revs));
	table_out_filter(o);
	o->head.area_at = o->off;
	o->head.area_crc = crc32c(0, o->area.p, o->area.n);
	o->head.size = o->off + o->area.n;
	o->head.crc = table_head_crc(&o->head);
	memcpy(first, &o->head, sizeof(o->head));
	if (table_out_flush(o, 0, err) < 0 || table_out_write(o, o->area.p, o->area.n, o->off, err) < 0 ||
	    table_out_write(o, first, TABLE_HEAD_BYTES, 0, err) < 0)
		return -1;
	if (table_io.fdatasync(o->fd) < 0)
		return err_set_errno(err, errno, "cannot write '%s'", o->path);
	close_fdp(&o->fd);
	o->fd = -1;
	free(TAKE(o->path)); /* it stays */
	table_out_abort(o);
	return 0;
}

struct table *table_out_open(struct table_out *o, const char *dir, struct err *err)
{
	struct table_head h = o->head;
	struct table *t;

	if (table_out_end(o, err) < 0) {
		table_out_abort(o);
		return NULL;
	}
	t = table_open(dir, h.number, h.store_id, NULL, err);
	if (!t) {
		_cleanup_free_ char *path = table_path(dir, h.number);

		(void)unlink(path); /* no manifest names it, and its room may be what is short */
	}
	return t;
}

void table_out_abort(struct table_out *o)
{
	if (o->path) {
		close_fdp(&o->fd);
		(void)unlink(o->path);
		free(o->path);
	}
	buf_release(&o->out);
	buf_release(&o->block);
	buf_release(&o->area);
	buf_release(&o->first_key);
	buf_release(&o->last_key);
	vec_release(&o->hashes);
	vec_release(&o->revs);
	*o = (struct table_out){ .fd = -1 };
}
