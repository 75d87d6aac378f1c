#include "snapshot/bolt.h"

#include "snapshot/bolt-internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* A page in memory. */
struct bolt_page {
	unsigned char *p; /* owned, or a view of an inline bucket's */
	size_t n;
	uint64_t at; /* in the file */
	unsigned flags, count;
};

static uint64_t bolt_u64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint32_t bolt_u32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static unsigned bolt_u16(const unsigned char *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static int bolt_damaged(const char *what, uint64_t at, struct err *err)
{
	return err_set(err, ERR_INVALID, "the database is damaged: %s at byte %" PRIu64, what, at);
}

static int bolt_pread(int fd, void *p, size_t n, uint64_t at, struct err *err)
{
	while (n) {
		ssize_t r = pread(fd, p, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_set_errno(err, errno, "cannot read it");
		if (!r)
			return bolt_damaged("it is shorter than it says", at, err);
		p = (char *)p + r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

uint64_t bolt_meta_checksum(const struct bolt_meta *m)
{
	const unsigned char *p = (const unsigned char *)m;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct bolt_meta, checksum); i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static bool meta_read(int fd, uint64_t at, struct bolt_meta *m)
{
	return bolt_pread(fd, m, sizeof(*m), at + HEAD_BYTES, NULL) == 0 && le32toh(m->magic) == BOLT_MAGIC &&
	       le32toh(m->version) == BOLT_VERSION && le64toh(m->checksum) == bolt_meta_checksum(m);
}

bool bolt_is(int fd)
{
	struct bolt_meta m;

	return bolt_pread(fd, &m, sizeof(m), HEAD_BYTES, NULL) == 0 && le32toh(m.magic) == BOLT_MAGIC;
}

int bolt_open(struct bolt *b, int fd, uint64_t size, struct err *err)
{
	/* Where the second meta page is only the first one says; when that is torn, one of these is it. */
	static const uint32_t sizes[] = { 4096, 8192, 16384, 32768, 65536, 512, 1024, 2048 };
	struct bolt_meta m, best = { 0 };
	bool found = meta_read(fd, 0, &best);

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		if ((!found || le32toh(best.page) == sizes[i]) && meta_read(fd, sizes[i], &m) &&
		    le32toh(m.page) == sizes[i] && (!found || le64toh(m.txid) > le64toh(best.txid))) {
			best = m;
			found = true;
		}
	if (!found)
		return err_set(err, ERR_INVALID, "it is no database of bbolt, or both of its first pages are damaged");
	*b = (struct bolt){ .fd = fd,
			    .size = size,
			    .page = le32toh(best.page),
			    .pages = le64toh(best.pages),
			    .root = le64toh(best.root),
			    .txid = le64toh(best.txid) };
	if (b->page < 512 || b->page > 65536 || (b->page & (b->page - 1)))
		return bolt_damaged("no size of a page", HEAD_BYTES, err);
	if (b->pages > size / b->page)
		return err_set(err, ERR_INVALID,
			       "it is a part of a database: %" PRIu64 " pages of %" PRIu32
			       " bytes should be there, and it "
			       "has %" PRIu64 " bytes",
			       b->pages, b->page, size);
	b->visits = b->pages;
	return 0;
}

static int page_load(struct bolt *b, uint64_t number, struct bolt_page *ret, struct err *err)
{
	unsigned char head[HEAD_BYTES];
	uint64_t at = number * b->page, more;

	if (number < 2 || number >= b->pages || !b->visits)
		return bolt_damaged("no page", number < b->pages ? at : 0, err);
	b->visits--;
	if (bolt_pread(b->fd, head, sizeof(head), at, err) < 0)
		return -1;
	more = bolt_u32(head + 12);
	if (bolt_u64(head) != number || more >= b->pages - number || more >= BOLT_PAGE_MAX / b->page)
		return bolt_damaged("another page", at, err);
	*ret = (struct bolt_page){
		.n = (size_t)(more + 1) * b->page, .at = at, .flags = bolt_u16(head + 8), .count = bolt_u16(head + 10)
	};
	ret->p = xmalloc(ret->n);
	if (bolt_pread(b->fd, ret->p, ret->n, at, err) == 0)
		return 0;
	free(TAKE(ret->p));
	return -1;
}

/* The ith element of a page that has so many; its key, and of a leaf its value. */
static int page_element(const struct bolt_page *p, unsigned i, struct sv *ret_key, struct sv *ret_value,
			uint64_t *ret_child, unsigned *ret_flags, struct err *err)
{
	size_t off = HEAD_BYTES + (size_t)i * ELEMENT_BYTES, pos, key_n, value_n = 0;
	const unsigned char *e = p->p + off;

	if (off + ELEMENT_BYTES > p->n)
		return bolt_damaged("more elements than a page has", p->at, err);
	if (p->flags & PAGE_LEAF) {
		*ret_flags = bolt_u32(e);
		pos = bolt_u32(e + 4);
		key_n = bolt_u32(e + 8);
		value_n = bolt_u32(e + 12);
	} else {
		pos = bolt_u32(e);
		key_n = bolt_u32(e + 4);
		*ret_child = bolt_u64(e + 8);
	}
	if (pos > p->n - off || key_n > p->n - off - pos || value_n > p->n - off - pos - key_n)
		return bolt_damaged("an element beyond its page", p->at + off, err);
	*ret_key = sv_make((const char *)e + pos, key_n);
	*ret_value = sv_make((const char *)e + pos + key_n, value_n);
	return 0;
}

/* What is done with each leaf. */
struct bolt_walk {
	struct bolt *b;
	int (*leaf)(struct bolt_walk *w, const struct bolt_page *p, struct err *err);
	struct sv bucket;
	bool found;
	bolt_each_fn *fn;
	void *ctx;
	int depth;
};

static int walk_page(struct bolt_walk *w, const struct bolt_page *p, struct err *err);

static int walk_number(struct bolt_walk *w, uint64_t number, struct err *err)
{
	struct bolt_page p;
	int r;

	if (w->depth == BOLT_DEPTH_MAX)
		return bolt_damaged("a tree too deep", 0, err);
	if (page_load(w->b, number, &p, err) < 0)
		return -1;
	w->depth++;
	r = walk_page(w, &p, err);
	w->depth--;
	free(p.p);
	return r;
}

static int walk_page(struct bolt_walk *w, const struct bolt_page *p, struct err *err)
{
	if (p->flags & PAGE_LEAF)
		return w->leaf(w, p, err);
	if (!(p->flags & PAGE_BRANCH))
		return bolt_damaged("a page of another kind", p->at, err);
	for (unsigned i = 0; i < p->count; i++) {
		struct sv key, value;
		uint64_t child = 0;
		unsigned flags;

		if (page_element(p, i, &key, &value, &child, &flags, err) < 0 || walk_number(w, child, err) < 0)
			return -1;
	}
	return 0;
}

static int leaf_keys(struct bolt_walk *w, const struct bolt_page *p, struct err *err)
{
	for (unsigned i = 0; i < p->count; i++) {
		struct sv key, value;
		uint64_t child = 0;
		unsigned flags = 0;

		if (page_element(p, i, &key, &value, &child, &flags, err) < 0)
			return -1;
		if (!(flags & ELEMENT_BUCKET) &&
		    w->fn(key, value, p->at + (uint64_t)((const unsigned char *)value.p - p->p), w->ctx, err) < 0)
			return -1;
	}
	return 0;
}

/* A bucket of few keys has its page right behind its head, in the value. */
static int walk_inline(struct bolt_walk *w, const struct bolt_page *in, struct sv value, struct err *err)
{
	struct bolt_page p = { .p = (unsigned char *)(uintptr_t)value.p + BUCKET_BYTES, .n = value.n - BUCKET_BYTES };
	/* Elsewhere in a page than at a multiple of eight. */
	if (p.n < HEAD_BYTES)
		return bolt_damaged("no page of a bucket", in->at, err);
	p.at = in->at + (uint64_t)(p.p - in->p);
	p.flags = bolt_u16(p.p + 8);
	p.count = bolt_u16(p.p + 10);
	if (!(p.flags & PAGE_LEAF))
		return bolt_damaged("no page of a bucket", p.at, err);
	return w->leaf(w, &p, err);
}

static int leaf_buckets(struct bolt_walk *w, const struct bolt_page *p, struct err *err)
{
	for (unsigned i = 0; i < p->count && !w->found; i++) {
		struct bolt_walk in = { .b = w->b, .leaf = leaf_keys, .fn = w->fn, .ctx = w->ctx };
		struct sv key, value;
		uint64_t child = 0;
		unsigned flags = 0;

		if (page_element(p, i, &key, &value, &child, &flags, err) < 0)
			return -1;
		if (!(flags & ELEMENT_BUCKET) || !sv_eq(key, w->bucket))
			continue;
		if (value.n < BUCKET_BYTES)
			return bolt_damaged("no bucket", p->at, err);
		w->found = true;
		child = bolt_u64((const unsigned char *)value.p);
		return child ? walk_number(&in, child, err) : walk_inline(&in, p, value, err);
	}
	return 0;
}

int bolt_each(struct bolt *b, struct sv bucket, bolt_each_fn *fn, void *ctx, struct err *err)
{
	struct bolt_walk w = { .b = b, .leaf = leaf_buckets, .bucket = bucket, .fn = fn, .ctx = ctx };

	b->visits = b->pages;
	if (walk_number(&w, b->root, err) < 0)
		return -1;
	return w.found;
}
