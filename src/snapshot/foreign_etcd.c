/* An etcd's database: its bucket "key" has each version of each key under its revision, 8 bytes, '_', 8 bytes, and a
 * 't' behind that where the key was deleted; the value is an mvccpb.KeyValue. Its bucket "meta" has the revision that
 * was compacted, in the same form: where all since was a deletion it is the newest that is left. */
#include "base/arena.h"
#include "base/vec.h"
#include "codec/pbwire.h"
#include "snapshot/bolt.h"
#include "snapshot/file_sum.h"
#include "snapshot/foreign.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define REVISION_BYTES 17

struct etcd_version {
	struct sv key; /* in the arena */
	int64_t create_rev, mod_rev;
	uint64_t at;	 /* of its value in the file */
	uint32_t n, sub; /* bytes of it; which of the revision's writes */
	bool deleted;
};

struct etcd_read {
	struct arena a;
	VEC(struct etcd_version) versions;
	struct foreign_found *found;
	struct sv prefix;
};

static uint64_t etcd_u64(const char *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

/* Key 1, create_revision 2, value 5; views. The last revision is the key's in the bucket. */
static bool etcd_parse(struct sv value, struct store_kv *ret)
{
	*ret = (struct store_kv){ .value = SV("") };
	PB_EACH(value, r, f) {
		if (f.no == 1 && f.wire == PB_BYTES)
			ret->key = f.bytes;
		else if (f.no == 2 && f.wire == PB_VARINT)
			ret->create_rev = (int64_t)f.u;
		else if (f.no == 5 && f.wire == PB_BYTES)
			ret->value = f.bytes;
	}
	return pb_valid(value) && ret->key.n;
}

static int etcd_version(struct sv key, struct sv value, uint64_t at, void *ctx, struct err *err)
{
	struct etcd_read *f = ctx;
	struct etcd_version v;
	struct store_kv kv;

	if ((key.n != REVISION_BYTES && key.n != REVISION_BYTES + 1) || key.p[8] != '_' || !etcd_parse(value, &kv))
		return err_set(err, ERR_INVALID,
			       "its bucket 'key' has something that is no version of a key, at byte %" PRIu64, at);
	v = (struct etcd_version){ .create_rev = kv.create_rev,
				   .mod_rev = (int64_t)(etcd_u64(key.p) & INT64_MAX),
				   .sub = (uint32_t)etcd_u64(key.p + 9),
				   .deleted = key.n > REVISION_BYTES };
	f->found->rev = MAX(f->found->rev, v.mod_rev);
	v.key = foreign_key(&f->a, kv.key, f->prefix);
	if (!v.key.p) {
		if (!v.deleted)
			foreign_pass(kv.key, f->found);
		return 0;
	}
	v.n = (uint32_t)kv.value.n;
	v.at = kv.value.n ? at + (uint64_t)(kv.value.p - value.p) : 0;
	vec_push(&f->versions, v);
	return 0;
}

static int etcd_meta(struct sv key, struct sv value, uint64_t at _unused_, void *ctx, struct err *err _unused_)
{
	struct etcd_read *f = ctx;

	if (sv_is(key, "finishedCompactRev") && value.n >= 8)
		f->found->rev = MAX(f->found->rev, (int64_t)(etcd_u64(value.p) & INT64_MAX));
	return 0;
}

static int etcd_order(const void *a, const void *b)
{
	const struct etcd_version *x = a, *y = b;
	int c = sv_cmp(x->key, y->key);

	if (c)
		return c;
	if (x->mod_rev != y->mod_rev)
		return x->mod_rev < y->mod_rev ? -1 : 1;
	return x->sub < y->sub ? -1 : x->sub > y->sub;
}

static int etcd_value(int fd, const struct etcd_version *v, char *to, struct err *err)
{
	size_t got = 0;

	while (got < v->n) {
		ssize_t r = pread(fd, to + got, v->n - got, (off_t)(v->at + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set_errno(err, r ? errno : EIO, "cannot read it");
		got += (size_t)r;
	}
	return 0;
}

/* Of each key the newest, unless that says that it is deleted. */
static int etcd_tell(struct etcd_read *f, int fd, const struct foreign_cb *cb, void *ctx, struct err *err)
{
	_cleanup_free_ char *value = xmalloc(STORE_VALUE_MAX);

	if (f->versions.n)
		qsort(f->versions.p, f->versions.n, sizeof(f->versions.p[0]), etcd_order);
	for (size_t i = 0; i < f->versions.n; i++) {
		const struct etcd_version *v = &f->versions.p[i];
		struct store_kv kv = { .key = v->key, .create_rev = v->create_rev, .mod_rev = v->mod_rev };

		if (v->deleted || (i + 1 < f->versions.n && sv_eq(v->key, f->versions.p[i + 1].key)))
			continue;
		kv.value = sv_make(value, v->n);
		if (v->n > STORE_VALUE_MAX || v->create_rev <= 0 || v->create_rev > v->mod_rev) {
			foreign_pass(v->key, f->found);
			continue;
		}
		if (etcd_value(fd, v, value, err) < 0)
			return -1;
		if (foreign_wanted(&kv, f->found) && cb->record(&kv, ctx, err) < 0)
			return -1;
	}
	return 0;
}

/* A snapshot ends with the digest of all before it, and its pages are multiples of 512 bytes. */
static int etcd_check(int fd, uint64_t *size, struct foreign_found *found, struct err *err)
{
	unsigned char digest[FILE_SUM_BYTES], said[FILE_SUM_BYTES];
	uint64_t end;

	found->unchecked = *size % 512 != FILE_SUM_BYTES;
	if (found->unchecked)
		return 0;
	end = *size - FILE_SUM_BYTES;
	if (file_sum(fd, 0, end, digest, err) < 0)
		return -1;
	if (pread(fd, said, sizeof(said), (off_t)end) != (ssize_t)sizeof(said))
		return err_set_errno(err, errno, "cannot read it");
	if (memcmp(said, digest, sizeof(said)) != 0)
		return err_set(err, ERR_INVALID, "it is damaged: the checksum at its end is another one's");
	*size = end;
	return 0;
}

int foreign_etcd(int fd, struct sv prefix, const struct foreign_cb *cb, void *ctx, struct foreign_found *ret,
		 struct err *err)
{
	struct etcd_read f = { .a = ARENA_INIT, .found = ret, .prefix = prefix };
	struct stat st;
	struct bolt b;
	uint64_t size;
	int r;

	*ret = (struct foreign_found){ 0 };
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "cannot read it");
	size = (uint64_t)st.st_size;
	if (etcd_check(fd, &size, ret, err) < 0 || bolt_open(&b, fd, size, err) < 0)
		return -1;
	r = bolt_each(&b, SV("key"), etcd_version, &f, err);
	if (r == 0 || (r > 0 && ret->rev <= 0))
		r = err_set(err, ERR_INVALID, "it is a database of bbolt, and none of an etcd: it has no keys");
	if (r > 0)
		r = bolt_each(&b, SV("meta"), etcd_meta, &f, err);
	if (r >= 0)
		r = cb->begin(ret->rev, ctx, err);
	if (r == 0)
		r = etcd_tell(&f, fd, cb, ctx, err);
	vec_release(&f.versions);
	arena_release(&f.a);
	return r;
}
