/* The manifest: a head, the meta row, and a line per table. */
#include "store/disk/crc32c.h"
#include "store/disk/db-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_MAGIC UINT64_C(0x314d41435652430a) /* "\nCRVCAM1" */

struct manifest_head {
	uint64_t magic;
	uint32_t version, crc; /* crc: of all with crc 0 */
	uint32_t bytes, parts; /* bytes: of the file */
	struct db_meta meta;
};

struct manifest_part {
	uint64_t number, age;
	uint32_t head_crc, from_n; /* the key follows */
};

_Static_assert(sizeof(struct manifest_head) == 96 && sizeof(struct manifest_part) == 24, "no holes on disk");

static int manifest_load(const char *path, struct buf *b, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	size_t got = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "cannot open '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "cannot stat '%s'", path);
	if (st.st_size < (off_t)sizeof(struct manifest_head) || st.st_size > 1 << 26)
		return damage_set(err, path, 0, "the file has %" PRId64 " bytes, a manifest has at least %zu",
				  (int64_t)st.st_size, sizeof(struct manifest_head));
	buf_reserve(b, (size_t)st.st_size + 1);
	while (got < (size_t)st.st_size) {
		ssize_t n = pread(fd, b->p + got, (size_t)st.st_size - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return damage_set(err, path, got, "cannot read: %s", n ? strerror(errno) : "the file ends");
		got += (size_t)n;
	}
	b->n = got;
	return 1;
}

static int manifest_parse_lines(const char *path, const struct buf *b, uint32_t parts, manifest_lines *ret,
				struct err *err)
{
	size_t at = sizeof(struct manifest_head);

	for (uint32_t i = 0; i < parts; i++) {
		struct manifest_part m;
		struct manifest_line line;

		if (b->n - at < sizeof(m))
			return damage_set(err, path, at, "the list of tables ends early");
		memcpy(&m, b->p + at, sizeof(m));
		at += sizeof(m);
		if (m.from_n > b->n - at)
			return damage_set(err, path, at, "the list of tables ends early");
		line = (struct manifest_line){ m.number, m.age, m.head_crc, sv_make(b->p + at, m.from_n) };
		vec_push(ret, line);
		at += m.from_n;
	}
	return 1;
}

int manifest_parse(const char *path, struct buf *b, struct db_meta *ret_meta, manifest_lines *ret, struct err *err)
{
	struct manifest_head h, plain;
	int r = manifest_load(path, b, err);

	if (r <= 0)
		return r;
	memcpy(&h, b->p, sizeof(h));
	plain = h;
	plain.crc = 0;
	if (h.magic != MANIFEST_MAGIC || h.bytes != b->n ||
	    h.crc != crc32c(crc32c(0, &plain, sizeof(plain)), b->p + sizeof(h), b->n - sizeof(h)))
		return damage_set(err, path, 0, "the manifest of %zu bytes fails its checksum", b->n);
	if (h.version != DB_FORMAT)
		return err_set(err, ERR_STORE_READ,
			       "'%s' has format %u, this program knows %u: use the version of Caravel that wrote it",
			       path, h.version, DB_FORMAT);
	if (h.meta.rev > INT64_MAX || h.meta.compact_rev > h.meta.rev)
		return damage_set(err, path, 0, "the manifest contradicts itself");
	*ret_meta = h.meta;
	return manifest_parse_lines(path, b, h.parts, ret, err);
}

int manifest_read(const char *path, const char *dir, struct db_meta *ret_meta, struct db_set **ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	manifest_lines lines = VEC_INIT;
	db_parts parts = VEC_INIT;
	int r = manifest_parse(path, &b, ret_meta, &lines, err);

	for (size_t i = 0; r > 0 && i < lines.n; i++) {
		const struct manifest_line *m = &lines.p[i];
		struct db_part p = { .age = m->age, .from = m->from };

		/* A number that may be given out once more would be the end of this table. */
		if (m->number >= ret_meta->next_number)
			damage_set(err, path, 0, "table %" PRIu64 " has a number still to come", m->number);
		else
			p.t = table_open(dir, m->number, ret_meta->store_id, &m->head_crc, err);
		if (p.t)
			vec_push(&parts, p);
		else
			r = -1;
	}
	if (r > 0)
		*ret = db_set_make(parts.p, parts.n);
	for (size_t i = 0; i < parts.n; i++)
		table_unref(parts.p[i].t);
	vec_release(&parts);
	vec_release(&lines);
	return r;
}

static int manifest_put(int fd, const struct buf *b, const char *path, struct err *err)
{
	size_t put = 0;

	while (put < b->n) {
		ssize_t n = table_io.pwrite(fd, b->p + put, b->n - put, (off_t)put);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set_errno(err, n ? errno : EIO, "cannot write '%s'", path);
		put += (size_t)n;
	}
	if (table_io.fdatasync(fd) < 0)
		return err_set_errno(err, errno, "cannot write '%s'", path);
	return 0;
}

int manifest_write(const char *path, const char *dir, const struct db_meta *meta, const struct db_set *s,
		   bool *ret_named, struct err *err)
{
	struct manifest_head h = {
		.magic = MANIFEST_MAGIC, .version = DB_FORMAT, .parts = (uint32_t)s->n, .meta = *meta
	};
	_cleanup_free_ char *next = xasprintf("%s.new", path);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_close_ int fd = -1;

	*ret_named = false;
	buf_add(&b, &h, sizeof(h));
	for (size_t i = 0; i < s->n; i++) {
		struct manifest_part m = { .number = s->p[i].t->head.number,
					   .age = s->p[i].age,
					   .head_crc = s->p[i].t->head.crc,
					   .from_n = (uint32_t)s->p[i].from.n };

		buf_add(&b, &m, sizeof(m));
		buf_addsv(&b, s->p[i].from);
	}
	h.bytes = (uint32_t)b.n;
	h.crc = crc32c(crc32c(0, &h, sizeof(h)), b.p + sizeof(h), b.n - sizeof(h));
	memcpy(b.p, &h, sizeof(h));
	fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(err, errno, "cannot write '%s'", next);
	if (manifest_put(fd, &b, next, err) < 0)
		return -1;
	/* The tables' names go to disk no later than the name that counts on them. A new database has none. */
	if (s->n && table_sync_dir(dir, err) < 0)
		return -1;
	if (rename(next, path) < 0)
		return err_set_errno(err, errno, "cannot write '%s'", path);
	*ret_named = true;
	return table_sync_dir(dir, err);
}

int db_commit(struct db *d, db_parts *parts, const struct table *fresh, struct db_meta *meta, struct db_set **ret_set,
	      struct err *err)
{
	struct db_set *s = db_set_make(parts->p, parts->n);
	bool named;

	meta->next_number = d->next_number;
	if (manifest_write(d->path, d->dir, meta, s, &named, err) < 0) {
		if (!named && fresh)
			(void)unlink(fresh->path);
		db_set_unref(s);
		return -1;
	}
	*ret_set = s;
	return 0;
}
