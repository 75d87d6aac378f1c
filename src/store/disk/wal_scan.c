/* Reading the log: what is a group, where does a segment end, and is that an end or damage. */
#include "store/disk/wal-internal.h"

#include "store/disk/damage.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t wal_record_peek(const void *p, size_t n, struct wal_record *ret, struct sv *ret_key, struct sv *ret_value)
{
	size_t data;

	if (n < sizeof(*ret))
		return -1;
	memcpy(ret, p, sizeof(*ret));
	if (ret->key_n == 0 || ret->key_n > STORE_KEY_MAX || ret->value_n > STORE_VALUE_MAX)
		return -1;
	data = (size_t)ret->key_n + ret->value_n;
	if (data > n - sizeof(*ret))
		return -1;
	if (ret->rev > INT64_MAX || ret->create_rev > ret->rev || ret->prev_rev >= ret->rev)
		return -1;
	*ret_key = sv_make((const char *)p + sizeof(*ret), ret->key_n);
	*ret_value = sv_make(ret_key->p + ret->key_n, ret->value_n);
	return (ssize_t)(sizeof(*ret) + data);
}

ssize_t wal_record_parse(const void *p, size_t n, struct wal_record *ret, struct sv *ret_key, struct sv *ret_value)
{
	struct wal_record plain;
	ssize_t took = wal_record_peek(p, n, ret, ret_key, ret_value);

	if (took < 0)
		return -1;
	plain = *ret;
	wal_record_seal(&plain, crc32c(0, ret_key->p, (size_t)took - sizeof(*ret)));
	return plain.crc == ret->crc ? took : -1;
}

bool wal_head_parse(const struct wal_image *img, struct wal_head *ret)
{
	struct wal_head plain;

	if (img->n < WAL_BLOCK)
		return false;
	memcpy(ret, img->p, sizeof(*ret));
	plain = *ret;
	plain.crc = 0;
	return ret->magic == WAL_HEAD_MAGIC && ret->crc == crc32c(0, &plain, sizeof(plain));
}

bool wal_group_parse(const struct wal_image *img, size_t off, struct wal_group *ret)
{
	uint32_t crc;

	if (off > img->n || img->n - off < sizeof(*ret))
		return false;
	memcpy(ret, img->p + off, sizeof(*ret));
	if (ret->magic != WAL_GROUP_MAGIC || ret->bytes > img->n - off - sizeof(*ret))
		return false;
	crc = wal_group_head_crc(ret, wal_salt_crc(ret->salt));
	return ret->crc == crc32c(crc, img->p + off + sizeof(*ret), ret->bytes);
}

static int wal_corrupt(const struct wal_image *img, size_t off, const char *what, struct err *err)
{
	return damage_set(err, img->name, off, "%s", what);
}

static int wal_scan_group(const struct wal_image *img, size_t off, const struct wal_group *g, uint64_t *rev,
			  wal_record_fn *fn, void *ctx, struct err *err)
{
	size_t at = off + sizeof(*g), end = at + g->bytes;

	if (g->first_rev != *rev + 1)
		return wal_corrupt(img, off, "the group does not continue the history", err);
	for (uint32_t i = 0; i < g->count; i++) {
		struct wal_record r;
		struct sv key, value;
		ssize_t n = wal_record_parse(img->p + at, end - at, &r, &key, &value);

		if (n < 0 || r.rev != *rev + 1)
			return wal_corrupt(img, at, "malformed record", err);
		if (fn(&r, key, value, ctx, err) < 0)
			return -1;
		(*rev)++;
		at += MIN(((size_t)n + 7) & ~(size_t)7, end - at);
	}
	if (at != end)
		return wal_corrupt(img, at, "bytes behind the last record", err);
	return 0;
}

int wal_scan(const struct wal_image *img, const struct wal_head *h, size_t end, uint64_t *rev, wal_record_fn *fn,
	     void *ctx, size_t *ret_end, struct err *err)
{
	uint64_t number = 0;
	size_t off = WAL_BLOCK;
	struct wal_group g;

	while ((end == 0 || off < end) && wal_group_parse(img, off, &g) && g.seq == h->seq && g.salt == h->salt &&
	       g.number == number + 1) {
		if (wal_scan_group(img, off, &g, rev, fn, ctx, err) < 0)
			return -1;
		number++;
		off += WAL_BLOCK_UP(sizeof(g) + g.bytes);
	}
	*ret_end = off;
	if (end)
		return off == end ? 0
				  : wal_corrupt(img, off, "not a sound group, but the next segment counts on it", err);
	/* A later group was written only because the one missing here had been answered. */
	for (size_t at = off; at < img->n; at += WAL_BLOCK)
		if (wal_group_parse(img, at, &g) && g.seq == h->seq && g.salt == h->salt && g.number > number + 1)
			return wal_corrupt(img, off, "not a sound group, but later ones are", err);
	return 0;
}

struct wal_found {
	int slot;
	struct wal_head head;
	struct wal_image img;
	bool sound;
};

/* Bytes [from, to) of the file, into the image. */
static int wal_image_read(int fd, unsigned char *p, size_t from, size_t to, const struct wal_image *img,
			  struct err *err)
{
	while (from < to) {
		ssize_t r = pread(fd, p + from, to - from, (off_t)from);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return wal_corrupt(img, from, "cannot be read", err);
		from += (size_t)r;
	}
	return 0;
}

int wal_image_load(const struct wal *w, int slot, uint64_t known_seq, int *ret_fd, struct wal_image *ret,
		   struct err *err)
{
	char *path = wal_slot_path(w, slot);
	struct wal_head head;
	unsigned char *p;
	struct stat st;
	int fd;

	*ret = (struct wal_image){ .name = path };
	*ret_fd = fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "cannot open '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "cannot stat '%s'", path);
	if (st.st_size < 0 || (uint64_t)st.st_size > UINT64_C(1) << 30)
		return wal_corrupt(ret, 0, "larger than a segment can be", err);
	p = xmalloc((size_t)st.st_size + 1);
	ret->p = p;
	ret->n = (size_t)st.st_size;
	if (wal_image_read(fd, p, 0, MIN(ret->n, WAL_BLOCK), ret, err) < 0)
		return -1;
	if (wal_head_parse(ret, &head) && head.seq <= known_seq)
		return 0;
	return wal_image_read(fd, p, MIN(ret->n, WAL_BLOCK), ret->n, ret, err);
}

static int wal_load(struct wal *w, int slot, uint64_t applied_seq, struct wal_found *f, struct err *err)
{
	int r;

	*f = (struct wal_found){ .slot = slot };
	r = wal_image_load(w, slot, applied_seq, &w->slots[slot].fd, &f->img, err);
	f->sound = r == 0 && f->img.p && wal_head_parse(&f->img, &f->head);
	return r;
}

/* A head that was never written reads as zeros, and then at most the first group, never answered,
 * made it to the disk. Anything else with groups behind it has been damaged. */
static int wal_check_headless(const struct wal_found *f, uint64_t applied_seq, struct err *err)
{
	struct wal_group g;
	uint64_t unanswered = 1;

	for (size_t i = 0; i < MIN(WAL_BLOCK, f->img.n); i++)
		if (f->img.p[i])
			unanswered = 0;
	for (size_t at = WAL_BLOCK; at < f->img.n; at += WAL_BLOCK)
		if (wal_group_parse(&f->img, at, &g) && g.seq > applied_seq && g.number > unanswered)
			return wal_corrupt(&f->img, 0, "not a sound head, but groups follow", err);
	return 0;
}

static struct wal_found *wal_find(struct wal_found *all, uint64_t seq)
{
	for (int i = 0; i < WAL_SLOTS; i++)
		if (all[i].sound && all[i].head.seq == seq)
			return &all[i];
	return NULL;
}

static int wal_corrupt_seq(const struct wal_found *f, uint64_t seq, struct err *err)
{
	return damage_set(err, f->img.name, offsetof(struct wal_head, prev_seq),
			  "segment %" PRIu64 " of the log, which this one follows, is missing", seq);
}

/* Is the segment there that the note vouches for? What the database has of the log already is not needed. */
static int wal_check_note(const struct wal *w, const struct wal_found *all, uint64_t applied_seq, struct err *err)
{
	const struct wal_note *n = &w->note;
	const struct wal_found *f;

	if (n->seq <= applied_seq)
		return 0;
	if (n->slot >= WAL_SLOTS)
		return err_set(err, ERR_STORE_READ, "'%s/wal.note' names a slot that does not exist", w->dir);
	f = &all[n->slot];
	if (!f->img.p)
		return damage_file(err, f->img.name, "is missing: it has segment %" PRIu64 " of the log", n->seq);
	if (f->img.n < WAL_SEGMENT)
		return wal_corrupt(&f->img, f->img.n, "the file has been cut off here", err);
	if (!f->sound || f->head.seq < n->seq || (f->head.seq == n->seq && f->head.salt != n->salt))
		return damage_set(err, f->img.name, 0, "not the head of segment %" PRIu64 ", which must be here",
				  n->seq);
	return 0;
}

static int wal_replay_found(struct wal *w, struct wal_found *all, uint64_t applied_seq, uint64_t *rev,
			    void (*segment)(int slot, uint64_t seq, void *ctx), wal_record_fn *fn, void *ctx,
			    struct err *err)
{
	struct wal_found *chain[WAL_SLOTS], *f = NULL;
	int n = 0;

	if (wal_check_note(w, all, applied_seq, err) < 0)
		return -1;
	w->last_seq = MAX(applied_seq, w->note.seq);
	w->tail_seq = applied_seq;
	for (int i = 0; i < WAL_SLOTS; i++) {
		if (!all[i].sound) {
			if (all[i].img.p && wal_check_headless(&all[i], applied_seq, err) < 0)
				return -1;
			continue;
		}
		if (all[i].head.version != WAL_VERSION)
			return err_set(err, ERR_STORE_READ, "'%s' has format %u, this program knows %u",
				       all[i].img.name, all[i].head.version, WAL_VERSION);
		if (all[i].head.store_id != w->store_id)
			return damage_file(err, all[i].img.name, "belongs to another store");
		/* All its room was allocated before a segment's head was written. */
		if (all[i].head.seq > applied_seq && all[i].img.n < WAL_SEGMENT)
			return wal_corrupt(&all[i].img, all[i].img.n, "the file has been cut off here", err);
		w->slots[i].seq = all[i].head.seq;
		w->last_seq = MAX(w->last_seq, all[i].head.seq);
		if (!f || all[i].head.seq > f->head.seq)
			f = &all[i];
	}
	/* From the newest back to what the database has. */
	while (f && f->head.seq > applied_seq) {
		uint64_t prev = f->head.prev_seq;

		if (n == WAL_SLOTS || prev >= f->head.seq)
			return wal_corrupt(&f->img, 0, "the segments do not form a chain", err);
		chain[n++] = f;
		f = wal_find(all, prev);
		if (!f && prev > applied_seq)
			return wal_corrupt_seq(chain[n - 1], prev, err);
	}
	while (n-- > 0) {
		size_t end;

		f = chain[n];
		if (f->head.base_rev != *rev)
			return wal_corrupt(&f->img, 0, "the segment does not continue the history", err);
		segment(f->slot, f->head.seq, ctx);
		if (wal_scan(&f->img, &f->head, n ? (size_t)chain[n - 1]->head.prev_end : 0, rev, fn, ctx, &end, err) <
		    0)
			return -1;
		/* After a killed process the bytes may be in the page cache only. */
		if (wal_io.fdatasync(w->slots[f->slot].fd) < 0)
			return err_set_errno(err, errno, "cannot sync '%s'", f->img.name);
		w->slots[f->slot].busy = true;
		w->tail_seq = f->head.seq;
		w->tail_end = end;
	}
	return 0;
}

int wal_replay(struct wal *w, uint64_t applied_seq, uint64_t *rev, void (*segment)(int slot, uint64_t seq, void *ctx),
	       wal_record_fn *fn, void *ctx, struct err *err)
{
	struct wal_found all[WAL_SLOTS] = { 0 };
	int r = 0;

	for (int i = 0; i < WAL_SLOTS && r == 0; i++)
		r = wal_load(w, i, applied_seq, &all[i], err);
	if (r == 0)
		r = wal_replay_found(w, all, applied_seq, rev, segment, fn, ctx, err);
	for (int i = 0; i < WAL_SLOTS; i++) {
		free((char *)all[i].img.name);
		free((void *)all[i].img.p);
	}
	return r;
}
