/* Pages are written in the order of their numbers, so the file is written from front to back, in large pieces. */
#include "snapshot/bolt_write.h"

#include "base/buf.h"
#include "base/vec.h"
#include "snapshot/bolt-internal.h"
#include "snapshot/bolt.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)
#define LEVELS_MAX 16 /* a branch has seven pages below it at least, but for the last one of a level: 7^15 pages */
_Static_assert(LEVELS_MAX < BOLT_DEPTH_MAX, "the reader goes as deep");

struct out_element {
	size_t key_n, value_n;
	uint64_t child; /* of a branch */
};

/* The page at hand of a level; leaves are level 0. */
struct out_level {
	VEC(struct out_element) e;
	struct buf data; /* their keys and values */
	bool written;	 /* an earlier page */
};

struct out_bucket {
	char name[64];
	uint64_t root;
};

struct bolt_out {
	int fd;
	uint64_t at;	     /* where in the file what waits belongs */
	struct buf waits;    /* to be written */
	uint64_t next;	     /* page */
	unsigned leaf_flags; /* of elements in leaves */
	struct out_level levels[LEVELS_MAX];
	struct out_bucket buckets[BOLT_OUT_BUCKETS_MAX];
	size_t n_buckets;
	struct buf last; /* key of the bucket */
};

/* --- bytes --- */

static int bolt_pwrite(int fd, const char *p, size_t n, uint64_t at, struct err *err)
{
	while (n) {
		ssize_t r = pwrite(fd, p, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set_errno(err, r ? errno : EIO, "cannot write it");
		p += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

static int bolt_out_flush(struct bolt_out *o, struct err *err)
{
	if (bolt_pwrite(o->fd, o->waits.p, o->waits.n, o->at, err) < 0)
		return -1;
	o->at += o->waits.n;
	buf_clear(&o->waits);
	return 0;
}

static void bolt_put_u16(struct buf *b, unsigned v)
{
	uint16_t le = htole16((uint16_t)v);

	buf_add(b, &le, sizeof(le));
}

static void bolt_put_u32(struct buf *b, size_t v)
{
	uint32_t le = htole32((uint32_t)v);

	buf_add(b, &le, sizeof(le));
}

static void bolt_put_u64(struct buf *b, uint64_t v)
{
	uint64_t le = htole64(v);

	buf_add(b, &le, sizeof(le));
}

static void bolt_put_head(struct buf *b, uint64_t number, unsigned flags, unsigned count, uint64_t more)
{
	bolt_put_u64(b, number);
	bolt_put_u16(b, flags);
	bolt_put_u16(b, count);
	bolt_put_u32(b, (size_t)more);
}

/* --- pages --- */

static size_t level_bytes(const struct out_level *l)
{
	return HEAD_BYTES + l->e.n * ELEMENT_BYTES + l->data.n;
}

/* The first n elements of a level become a page; its number. */
static int level_write(struct bolt_out *o, size_t level, size_t n, uint64_t *ret_number, struct err *err)
{
	struct out_level *l = &o->levels[level];
	size_t bytes = HEAD_BYTES + n * ELEMENT_BYTES, from = bytes, pages, data = 0;

	for (size_t i = 0; i < n; i++)
		data += l->e.p[i].key_n + l->e.p[i].value_n;
	bytes += data;
	pages = (bytes + BOLT_OUT_PAGE - 1) / BOLT_OUT_PAGE;
	*ret_number = o->next;
	o->next += MAX(pages, (size_t)1);
	bolt_put_head(&o->waits, *ret_number, level ? PAGE_BRANCH : PAGE_LEAF, (unsigned)n, pages - 1);
	for (size_t i = 0; i < n; i++) {
		const struct out_element *e = &l->e.p[i];
		size_t here = HEAD_BYTES + i * ELEMENT_BYTES;

		if (level == 0)
			bolt_put_u32(&o->waits, o->leaf_flags);
		bolt_put_u32(&o->waits, from - here);
		bolt_put_u32(&o->waits, e->key_n);
		if (level == 0)
			bolt_put_u32(&o->waits, e->value_n);
		else
			bolt_put_u64(&o->waits, e->child);
		from += e->key_n + e->value_n;
	}
	buf_add(&o->waits, l->data.p, data);
	memset(buf_extend(&o->waits, pages * BOLT_OUT_PAGE - bytes), 0, pages * BOLT_OUT_PAGE - bytes);
	return o->waits.n >= PIECE ? bolt_out_flush(o, err) : 0;
}

static int level_add(struct bolt_out *o, size_t level, struct sv key, struct sv value, uint64_t child, struct err *err);

/* The page at hand is written, but for `keep` elements at its end, and is in the level above. */
static int level_full(struct bolt_out *o, size_t level, size_t keep, struct err *err)
{
	struct out_level *l = &o->levels[level];
	size_t n = l->e.n - keep, data = 0;
	uint64_t number;

	if (level_write(o, level, n, &number, err) < 0 ||
	    level_add(o, level + 1, sv_make(l->data.p, l->e.p[0].key_n), SV(""), number, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		data += l->e.p[i].key_n + l->e.p[i].value_n;
	buf_drop_front(&l->data, data);
	memmove(l->e.p, l->e.p + n, keep * sizeof(*l->e.p));
	l->e.n = keep;
	l->written = true;
	return 0;
}

static int level_add(struct bolt_out *o, size_t level, struct sv key, struct sv value, uint64_t child, struct err *err)
{
	struct out_level *l = &o->levels[level];
	size_t keep = level ? 1 : 0; /* so that the next branch has two pages below it, whatever comes */

	if (level == LEVELS_MAX)
		return err_set(err, ERR_INTERNAL, "a tree too deep");
	if (l->e.n > 2 * keep && level_bytes(l) + ELEMENT_BYTES + key.n + value.n > BOLT_OUT_PAGE &&
	    level_full(o, level, keep, err) < 0)
		return -1;
	vec_push(&l->e, ((struct out_element){ key.n, value.n, child }));
	buf_addsv(&l->data, key);
	buf_addsv(&l->data, value);
	return 0;
}

/* What is at hand is written, up to the page that is above all. */
static int tree_end(struct bolt_out *o, uint64_t *ret_root, struct err *err)
{
	size_t top = 0;

	while (o->levels[top].written) {
		if (level_full(o, top, 0, err) < 0)
			return -1;
		top++;
	}
	if (level_write(o, top, o->levels[top].e.n, ret_root, err) < 0)
		return -1;
	for (size_t i = 0; i <= top; i++) {
		o->levels[i].e.n = 0;
		buf_clear(&o->levels[i].data);
		o->levels[i].written = false;
	}
	buf_clear(&o->last);
	return 0;
}

/* --- what callers see --- */

struct bolt_out *bolt_out_new(int fd)
{
	struct bolt_out *o = xcalloc(1, sizeof(*o));

	o->fd = fd;
	o->next = 2;
	o->at = (uint64_t)o->next * BOLT_OUT_PAGE;
	return o;
}

static int bucket_end(struct bolt_out *o, struct err *err)
{
	return o->n_buckets ? tree_end(o, &o->buckets[o->n_buckets - 1].root, err) : 0;
}

int bolt_out_bucket(struct bolt_out *o, const char *name, struct err *err)
{
	struct out_bucket *b = &o->buckets[o->n_buckets];

	if (o->n_buckets == BOLT_OUT_BUCKETS_MAX || strlen(name) >= sizeof(b->name) ||
	    (o->n_buckets && strcmp(b[-1].name, name) >= 0))
		return err_set(err, ERR_INTERNAL, "bucket '%s' comes out of order, or is one too many", name);
	if (bucket_end(o, err) < 0)
		return -1;
	memcpy(b->name, name, strlen(name) + 1);
	o->n_buckets++;
	return 0;
}

int bolt_out_put(struct bolt_out *o, struct sv key, struct sv value, struct err *err)
{
	if (!o->n_buckets || !key.n || key.n > BOLT_OUT_KEY_MAX || value.n > BOLT_OUT_VALUE_MAX ||
	    sv_cmp(buf_sv(&o->last), key) >= 0)
		return err_set(err, ERR_INTERNAL, "a key of %zu bytes comes out of order, or has too much (%zu bytes)",
			       key.n, value.n);
	buf_clear(&o->last);
	buf_addsv(&o->last, key);
	return level_add(o, 0, key, value, 0, err);
}

/* The two first pages, and the second one counts. */
static int bolt_out_metas(struct bolt_out *o, uint64_t root, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (uint64_t i = 0; i < 2; i++) {
		struct bolt_meta m = { .magic = htole32(BOLT_MAGIC),
				       .version = htole32(BOLT_VERSION),
				       .page = htole32(BOLT_OUT_PAGE),
				       .root = htole64(root),
				       .freelist = htole64(UINT64_MAX), /* there is none */
				       .pages = htole64(o->next),
				       .txid = htole64(i) };

		m.checksum = htole64(bolt_meta_checksum(&m));
		bolt_put_head(&b, i, PAGE_META, 0, 0);
		buf_add(&b, &m, sizeof(m));
		memset(buf_extend(&b, BOLT_OUT_PAGE - HEAD_BYTES - sizeof(m)), 0,
		       BOLT_OUT_PAGE - HEAD_BYTES - sizeof(m));
	}
	return bolt_pwrite(o->fd, b.p, b.n, 0, err);
}

int bolt_out_end(struct bolt_out *o, uint64_t *ret_bytes, struct err *err)
{
	uint64_t root;

	if (bucket_end(o, err) < 0)
		return -1;
	o->leaf_flags = ELEMENT_BUCKET;
	for (size_t i = 0; i < o->n_buckets; i++) {
		uint64_t head[BUCKET_BYTES / 8] = { htole64(o->buckets[i].root) };

		if (level_add(o, 0, sv_from(o->buckets[i].name), sv_make((const char *)head, sizeof(head)), 0, err) < 0)
			return -1;
	}
	if (tree_end(o, &root, err) < 0 || bolt_out_flush(o, err) < 0 || bolt_out_metas(o, root, err) < 0)
		return -1;
	*ret_bytes = o->at;
	return 0;
}

void bolt_out_free(struct bolt_out *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < LEVELS_MAX; i++) {
		vec_release(&o->levels[i].e);
		buf_release(&o->levels[i].data);
	}
	buf_release(&o->waits);
	buf_release(&o->last);
	free(o);
}
