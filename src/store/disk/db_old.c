/* Format 1 kept its tables in an LMDB file. This reads such a file, page by page and without believing any of it, and
 * makes tables of what it says.
 *
 * The pages have no checksums, but each version in them has one, the number of versions is in the tree's root and the
 * number of live keys in the meta row: together they tell a whole database from a damaged one. */
#include "store/disk/db-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LM_MAGIC UINT32_C(0xbeefc0de)
#define LM_HEAD ((size_t)16)
#define LM_BRANCH 1
#define LM_LEAF 2
#define LM_OVERFLOW 4
#define LM_BIG 1 /* node: the value is in overflow pages */
#define LM_SUB 2 /* node: the value is another tree's root */
#define LM_NO_PAGE UINT64_MAX
#define LM_DEPTH 32
#define BATCH_BYTES ((size_t)64 << 20)

struct lm_tree {
	uint32_t pad;
	uint16_t flags, depth;
	uint64_t branches, leaves, overflows, entries, root;
};

struct lm_meta {
	uint32_t magic, version;
	uint64_t address, map_size;
	struct lm_tree free, main;
	uint64_t last_page, txn;
};

struct lm {
	int fd;
	char *path; /* owned */
	uint32_t page;
	uint64_t pages; /* in the file */
	db_old_damage_fn *skip;
	void *ctx;
};

typedef int lm_row_fn(struct sv key, uint16_t flags, struct sv value, uint64_t page, void *ctx, struct err *err);

static int lm_damage(const struct lm *l, uint64_t page, struct err *err, const char *what)
{
	return damage_set(err, l->path, page * l->page, "%s", what);
}

static int lm_read(const struct lm *l, uint64_t page, void *p, size_t n, struct err *err)
{
	size_t got = 0;

	if (page >= l->pages || n > (l->pages - page) * l->page)
		return lm_damage(l, MIN(page, l->pages), err, "the file ends before a page that is in use");
	while (got < n) {
		ssize_t r = pread(l->fd, (char *)p + got, n - got, (off_t)(page * l->page + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return lm_damage(l, page, err, "cannot read");
		got += (size_t)r;
	}
	return 0;
}

static uint16_t lm_u16(const unsigned char *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

/* Node i of a page: its head, key and what follows; false when it does not lie in the page. */
static bool lm_node(const struct lm *l, const unsigned char *p, size_t i, const unsigned char **ret, struct sv *key)
{
	size_t at = lm_u16(p + LM_HEAD + 2 * i), key_n;

	if (at < LM_HEAD || at > l->page - 8)
		return false;
	*ret = p + at;
	key_n = lm_u16(*ret + 6);
	if (key_n > l->page - at - 8)
		return false;
	*key = sv_make((const char *)*ret + 8, key_n);
	return true;
}

static size_t lm_nodes(const struct lm *l, const unsigned char *p)
{
	size_t lower = lm_u16(p + 12);

	return lower < LM_HEAD || lower > l->page ? 0 : (lower - LM_HEAD) / 2;
}

static int lm_leaf(const struct lm *l, uint64_t page, const unsigned char *p, lm_row_fn *fn, void *ctx, struct err *err)
{
	for (size_t i = 0; i < lm_nodes(l, p); i++) {
		_cleanup_free_ char *big = NULL;
		const unsigned char *node;
		struct sv key, value;
		size_t n;

		if (!lm_node(l, p, i, &node, &key))
			return lm_damage(l, page, err, "an entry lies outside of its page");
		n = (size_t)(lm_u16(node) | (uint32_t)lm_u16(node + 2) << 16);
		value = sv_make(key.p + key.n, n);
		if (lm_u16(node + 4) & LM_BIG) {
			uint64_t over;
			uint32_t count;

			if ((const unsigned char *)value.p + 8 > p + l->page || n > (size_t)64 << 20)
				return lm_damage(l, page, err, "an entry lies outside of its page");
			memcpy(&over, value.p, 8);
			big = xmalloc(LM_HEAD + n);
			if (lm_read(l, over, big, LM_HEAD + n, err) < 0)
				return -1;
			memcpy(&count, big + 12, 4);
			if (!(lm_u16((unsigned char *)big + 10) & LM_OVERFLOW) || memcmp(big, &over, 8) != 0 ||
			    LM_HEAD + n > (uint64_t)count * l->page)
				return lm_damage(l, over, err, "not the page that an entry points to");
			value.p = big + LM_HEAD;
		} else if (n > (size_t)(p + l->page - (const unsigned char *)value.p)) {
			return lm_damage(l, page, err, "an entry lies outside of its page");
		}
		if (fn(key, lm_u16(node + 4), value, page, ctx, err) < 0)
			return -1;
	}
	return 0;
}

/* What cannot be read of the tree is an error, or told and left out. */
static int lm_failed(const struct lm *l, struct err *err)
{
	if (!l->skip || (err->reason != ERR_STORE_READ))
		return -1;
	l->skip(err, l->ctx);
	err_release(err);
	return 0;
}

static int lm_walk(const struct lm *l, const struct lm_tree *t, lm_row_fn *fn, void *ctx, struct err *err)
{
	struct {
		unsigned char *p;
		uint64_t page;
		size_t at;
	} stack[LM_DEPTH] = { 0 };
	uint64_t steps = 0;
	int depth = 0, r = 0;

	if (t->root == LM_NO_PAGE)
		return 0;
	stack[0].p = xmalloc(l->page);
	stack[0].page = t->root;
	r = lm_read(l, t->root, stack[0].p, l->page, err);
	if (r < 0) {
		r = lm_failed(l, err);
		depth = -1;
	}
	while (r == 0 && depth >= 0) {
		unsigned char *p = stack[depth].p;
		uint16_t flags = lm_u16(p + 10) & (LM_BRANCH | LM_LEAF | LM_OVERFLOW);
		const unsigned char *node;
		struct sv key;
		uint64_t page = stack[depth].page;

		/* A page of the tree is come to once; more is a circle. */
		if (steps++ > 2 * l->pages + 2 || memcmp(p, &page, 8) != 0 ||
		    (flags != LM_BRANCH && flags != LM_LEAF)) {
			r = lm_damage(l, page, err, "not a page of the tree that points to it");
		} else if (flags == LM_LEAF) {
			r = lm_leaf(l, page, p, fn, ctx, err);
			stack[depth].at = SIZE_MAX;
		}
		if (r < 0 && lm_failed(l, err) == 0) {
			r = 0;
			stack[depth].at = SIZE_MAX;
			if (steps > 2 * l->pages + 2)
				break;
		}
		if (r < 0)
			break;
		if (stack[depth].at >= lm_nodes(l, p)) {
			free(TAKE(stack[depth].p));
			depth--;
			continue;
		}
		if (!lm_node(l, p, stack[depth].at++, &node, &key)) {
			r = lm_damage(l, page, err, "an entry lies outside of its page");
		} else if (depth + 1 == LM_DEPTH) {
			r = lm_damage(l, page, err, "the tree is deeper than any can be");
		} else {
			depth++;
			stack[depth].page = (uint64_t)lm_u16(node) | (uint64_t)lm_u16(node + 2) << 16 |
					    (uint64_t)lm_u16(node + 4) << 32;
			stack[depth].at = 0;
			stack[depth].p = xmalloc(l->page);
			r = lm_read(l, stack[depth].page, stack[depth].p, l->page, err);
			if (r < 0) {
				free(TAKE(stack[depth].p));
				depth--;
			}
		}
		if (r < 0)
			r = lm_failed(l, err);
	}
	for (int i = 0; i < LM_DEPTH; i++)
		free(stack[i].p);
	return r;
}

static int lm_open(struct lm *l, const char *dir, struct lm_tree *ret_main, struct err *err)
{
	unsigned char page[2][256];
	struct lm_meta meta[2];
	struct stat st;
	int best = -1, sound = 0;

	l->path = xasprintf("%s/data.mdb", dir);
	l->fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return err_set_errno(err, errno, "cannot open '%s'", l->path);
	for (int i = 0; i < 2; i++) {
		/* The second one's place is known from the first, or is that of every machine so far. */
		off_t at = i ? best >= 0 ? (off_t)meta[0].free.pad : 4096 : 0;

		memset(page[i], 0, sizeof(page[i]));
		(void)!pread(l->fd, page[i], sizeof(page[i]), at);
		memcpy(&meta[i], page[i] + LM_HEAD, sizeof(meta[i]));
		if (meta[i].magic != LM_MAGIC || meta[i].version != 1 || meta[i].free.pad < 512 ||
		    meta[i].free.pad > 65536 || (meta[i].free.pad & (meta[i].free.pad - 1)) != 0)
			continue;
		sound++;
		if (best < 0 || meta[i].txn > meta[best].txn)
			best = i;
	}
	/* The transactions take turns: anything but two neighbours means that the newer head is lost. */
	if (!l->skip && best >= 0 &&
	    (sound < 2 || meta[best].txn - meta[1 - best].txn > 1 || (meta[best].txn & 1) != (uint64_t)best ||
	     meta[0].free.pad != meta[1].free.pad))
		return damage_set(err, l->path, best ? 0 : 4096, "the two heads do not go together");
	if (best < 0)
		return damage_set(err, l->path, 0, "neither of the two heads is one");
	l->page = meta[best].free.pad;
	l->pages = (uint64_t)st.st_size / l->page;
	*ret_main = meta[best].main;
	return 0;
}

static void lm_close(struct lm *l)
{
	close_fdp(&l->fd);
	free(l->path);
}

/* --- what is in it --- */

struct lm_root {
	const struct lm *l;
	struct lm_tree log, meta;
	bool has_log, has_meta;
};

static int lm_root_row(struct sv key, uint16_t flags, struct sv value, _unused_ uint64_t page, void *ctx,
		       _unused_ struct err *err)
{
	struct lm_root *r = ctx;

	if (!(flags & LM_SUB) || value.n != sizeof(struct lm_tree))
		return 0;
	if (sv_is(key, "log")) {
		memcpy(&r->log, value.p, sizeof(r->log));
		r->has_log = true;
	} else if (sv_is(key, "meta")) {
		memcpy(&r->meta, value.p, sizeof(r->meta));
		r->has_meta = true;
	}
	return 0;
}

struct lm_meta_row {
	struct db_old_meta *to;
	bool found;
};

static int lm_meta_fn(struct sv key, _unused_ uint16_t flags, struct sv value, _unused_ uint64_t page, void *ctx,
		      _unused_ struct err *err)
{
	struct lm_meta_row *m = ctx;

	if (sv_is(key, "meta") && value.n == sizeof(*m->to)) {
		memcpy(m->to, value.p, sizeof(*m->to));
		m->found = true;
	}
	return 0;
}

struct lm_log {
	const struct lm *l;
	wal_record_fn *fn;
	void *ctx;
	uint64_t rows, last;
	const struct db_old_meta *meta;
};

static int lm_log_fn(struct sv key, _unused_ uint16_t flags, struct sv value, uint64_t page, void *ctx, struct err *err)
{
	struct lm_log *g = ctx;
	struct wal_record h;
	struct sv k, v;
	uint64_t be;

	if (key.n != 8 || wal_record_parse(value.p, value.n, &h, &k, &v) < 0)
		return lm_damage(g->l, page, err, "a version fails its checksum");
	memcpy(&be, key.p, 8);
	if (__builtin_bswap64(be) != h.rev || h.rev <= g->last || (g->meta->rev && h.rev > g->meta->rev))
		return lm_damage(g->l, page, err, "a version is in another's place");
	g->last = h.rev;
	g->rows++;
	return g->fn(&h, k, v, g->ctx, err);
}

bool db_old_exists(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/data.mdb", dir);

	return access(path, F_OK) == 0;
}

void db_old_remove(const char *dir)
{
	static const char *const names[] = { "data.mdb", "lock.mdb" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, names[i]);

		(void)unlink(path);
	}
}

int db_old_read(const char *dir, struct db_old_meta *ret, wal_record_fn *fn, db_old_damage_fn *skip, void *ctx,
		struct err *err)
{
	struct lm l = { .fd = -1, .skip = skip, .ctx = ctx };
	struct lm_tree main;
	struct lm_root root = { .l = &l };
	struct lm_meta_row meta = { ret, false };
	struct lm_log log = { .l = &l, .fn = fn, .ctx = ctx, .meta = ret };
	int r;

	*ret = (struct db_old_meta){ 0 };
	r = lm_open(&l, dir, &main, err);
	if (r == 0)
		r = lm_walk(&l, &main, lm_root_row, &root, err);
	if (r == 0 && main.root == LM_NO_PAGE) {
		lm_close(&l); /* made, and never used */
		return 0;
	}
	if (r == 0 && root.has_meta)
		r = lm_walk(&l, &root.meta, lm_meta_fn, &meta, err);
	if (r == 0 && (!root.has_log || !meta.found || ret->format != 1)) {
		r = damage_set(err, l.path, main.root * l.page, "the database's own row is not what it must be");
		r = lm_failed(&l, err);
	}
	if (r == 0 && root.has_log)
		r = lm_walk(&l, &root.log, lm_log_fn, &log, err);
	if (r == 0 && log.rows != root.log.entries) {
		r = damage_set(err, l.path, root.log.root * l.page,
			       "%" PRIu64 " versions can be reached, there must be %" PRIu64, log.rows,
			       root.log.entries);
		r = lm_failed(&l, err);
	}
	lm_close(&l);
	return r;
}

/* --- making tables of it --- */

struct convert {
	struct db *d;
	struct db_old_meta old;
	struct db_meta meta;
	db_parts parts;
	VEC(struct rec *) batch;
	size_t bytes;
	uint64_t first_rev;
};

static int convert_flush(struct convert *c, struct err *err)
{
	struct table_head h = { .store_id = c->old.store_id,
				.wal_seq = c->old.wal_seq,
				.hist_rev = c->old.compact_rev };
	struct db_part p = { 0 };
	struct table_out o;
	int r;

	if (!c->batch.n)
		return 0;
	p.age = h.number = c->meta.next_number++;
	h.salt = env_random_u64(c->d->env);
	h.first_rev = c->first_rev;
	h.last_rev = vec_last(&c->batch)->head.rev;
	c->first_rev = h.last_rev + 1;
	qsort(c->batch.p, c->batch.n, sizeof(c->batch.p[0]), rec_order);
	r = table_out_begin(&o, c->d->dir, &h, err);
	for (size_t i = 0; i < c->batch.n; i++) {
		struct rec *rec = c->batch.p[i];

		if (r == 0)
			r = table_out_add(&o, &rec->head, sizeof(rec->head) + rec->head.key_n + rec->head.value_n, err);
		rec_free(rec);
	}
	vec_clear(&c->batch);
	c->bytes = 0;
	if (r < 0) {
		table_out_abort(&o);
		return -1;
	}
	p.t = table_out_open(&o, c->d->dir, err);
	if (!p.t)
		return -1;
	vec_push(&c->parts, p);
	return 0;
}

static int convert_row(const struct wal_record *h, struct sv key, struct sv value, void *ctx, struct err *err)
{
	struct convert *c = ctx;
	struct rec *r = rec_new(key, value, h->flags & WAL_TOMBSTONE);

	r->head = *h;
	vec_push(&c->batch, r);
	c->bytes += rec_disk_bytes(r);
	return c->bytes >= BATCH_BYTES ? convert_flush(c, err) : 0;
}

/* Counts what is live. */
static int convert_count(struct convert *c, struct db_set *s, struct err *err)
{
	_cleanup_(buf_release) struct buf last = BUF_INIT;
	const struct table_iter *it;
	struct db_cursor cur;
	int r = db_cursor_open(&cur, s, SV_NULL, SV_NULL, err);

	if (r < 0)
		return -1;
	while (r == 0 && (it = db_cursor_at(&cur))) {
		if (!sv_eq(buf_sv(&last), it->key)) {
			buf_clear(&last);
			buf_addsv(&last, it->key);
			if (!(it->h.flags & WAL_TOMBSTONE)) {
				c->meta.live++;
				c->meta.live_bytes += (it->raw_n + 7) & ~(size_t)7;
			}
		}
		r = db_cursor_next(&cur, err);
	}
	db_cursor_release(&cur);
	if (r == 0 && c->meta.live != c->old.live) {
		_cleanup_free_ char *path = xasprintf("%s/data.mdb", c->d->dir);

		return damage_set(err, path, 0, "%" PRIu64 " keys can be reached, there must be %" PRIu64, c->meta.live,
				  c->old.live);
	}
	return r;
}

int db_convert(struct db *d, db_first_fn *first, void *ctx, struct db_meta *ret, struct err *err)
{
	struct convert c = { .d = d, .meta = { .format = DB_FORMAT, .next_number = 1 } };
	struct db_set *s = NULL;
	int r = db_old_read(d->dir, &c.old, convert_row, NULL, &c, err);

	if (r == 0 && !c.old.format) /* a crash while it was made */
		c.old = (struct db_old_meta){ .store_id = env_random_u64(d->env), .rev = 1 };
	if (r == 0)
		r = convert_flush(&c, err);
	for (size_t i = 0; i < c.batch.n; i++)
		rec_free(c.batch.p[i]);
	vec_release(&c.batch);
	c.meta.store_id = d->store_id = c.old.store_id;
	c.meta.rev = c.old.rev;
	c.meta.wal_seq = c.old.wal_seq;
	c.meta.compact_rev = c.old.compact_rev;
	if (r == 0) {
		s = db_set_make(c.parts.p, c.parts.n);
		r = convert_count(&c, s, err);
	}
	if (r == 0)
		r = first(&c.meta, ctx, err);
	d->next_number = c.meta.next_number;
	if (r == 0)
		r = db_commit(d, &c.parts, NULL, &c.meta, &d->set, err);
	for (size_t i = 0; i < c.parts.n; i++)
		table_unref(c.parts.p[i].t);
	vec_release(&c.parts);
	db_set_unref(s);
	*ret = c.meta;
	return r;
}
