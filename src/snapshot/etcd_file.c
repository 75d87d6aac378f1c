#include "snapshot/etcd_file.h"

#include "base/buf.h"
#include "base/vec.h"
#include "codec/pbwire.h"
#include "snapshot/bolt_write.h"
#include "snapshot/file_sum.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)
#define REVISION_BYTES 17
#define ASK_EACH 1024 /* records */

struct etcd_place {
	int64_t rev;
	uint64_t at; /* of its mvccpb.KeyValue in the file between */
	uint32_t n;
};

struct etcd_file {
	int fd, between;
	VEC(struct etcd_place) places;
	struct buf waits; /* to be written into the file between */
	uint64_t at;	  /* where */
};

struct etcd_file *etcd_file_new(int fd, int between)
{
	struct etcd_file *f = xcalloc(1, sizeof(*f));

	f->fd = fd;
	f->between = between;
	return f;
}

void etcd_file_free(struct etcd_file *f)
{
	if (!f)
		return;
	vec_release(&f->places);
	buf_release(&f->waits);
	free(f);
}

/* --- the file between --- */

static int between_flush(struct etcd_file *f, struct err *err)
{
	size_t done = 0;

	while (done < f->waits.n) {
		ssize_t r = pwrite(f->between, f->waits.p + done, f->waits.n - done, (off_t)(f->at + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set_errno(err, r ? errno : EIO, "cannot write what is between");
		done += (size_t)r;
	}
	f->at += done;
	buf_clear(&f->waits);
	return 0;
}

static int between_read(const struct etcd_file *f, const struct etcd_place *p, char *to, struct err *err)
{
	size_t done = 0;

	while (done < p->n) {
		ssize_t r = pread(f->between, to + done, p->n - done, (off_t)(p->at + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set_errno(err, r ? errno : EIO, "cannot read what is between");
		done += (size_t)r;
	}
	return 0;
}

int etcd_file_add(struct etcd_file *f, const struct store_kv *kv, struct err *err)
{
	size_t before = f->waits.n;

	if (kv->deleted || !kv->key.n || kv->key.n > STORE_KEY_MAX || kv->value.n > STORE_VALUE_MAX ||
	    kv->create_rev <= 0 || kv->create_rev > kv->mod_rev)
		return err_set(err, ERR_STORE_READ,
			       "'%.*s' has the revisions %" PRId64 " and %" PRId64 ", or too much of something",
			       SV_ARG(kv->key), kv->create_rev, kv->mod_rev);
	pb_sv(&f->waits, 1, kv->key);
	pb_i64(&f->waits, 2, kv->create_rev);
	pb_i64(&f->waits, 3, kv->mod_rev);
	pb_i64(&f->waits, 4, kv->create_rev == kv->mod_rev ? 1 : 2);
	pb_sv(&f->waits, 5, kv->value);
	vec_push(&f->places, ((struct etcd_place){
				 .rev = kv->mod_rev, .at = f->at + before, .n = (uint32_t)(f->waits.n - before) }));
	return f->waits.n >= PIECE ? between_flush(f, err) : 0;
}

/* --- the database --- */

static int etcd_place_order(const void *a, const void *b)
{
	const struct etcd_place *x = a, *y = b;

	if (x->rev != y->rev)
		return x->rev < y->rev ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

/* Revision and part of it, as they sort. */
static void revision_key(char key[REVISION_BYTES], int64_t rev, uint64_t part)
{
	uint64_t be = htobe64((uint64_t)rev);

	memcpy(key, &be, 8);
	key[8] = '_';
	be = htobe64(part);
	memcpy(key + 9, &be, 8);
}

static int file_keys(struct etcd_file *f, struct bolt_out *o, int (*goes_on)(struct err *err), struct err *err)
{
	_cleanup_(buf_release) struct buf value = BUF_INIT;
	uint64_t part = 0;

	for (size_t i = 0; i < f->places.n; i++) {
		const struct etcd_place *p = &f->places.p[i];
		char key[REVISION_BYTES];

		part = i && p[-1].rev == p->rev ? part + 1 : 0;
		if (i % ASK_EACH == 0 && goes_on && goes_on(err) < 0)
			return -1;
		buf_clear(&value);
		revision_key(key, p->rev, part);
		if (between_read(f, p, buf_extend(&value, p->n), err) < 0 ||
		    bolt_out_put(o, sv_make(key, sizeof(key)), buf_sv(&value), err) < 0)
			return -1;
	}
	return 0;
}

/* How far history was forgotten, by which it also knows how far it is. */
static int file_meta(struct bolt_out *o, int64_t rev, struct err *err)
{
	char value[REVISION_BYTES];

	revision_key(value, rev, 0);
	return bolt_out_put(o, SV("finishedCompactRev"), sv_make(value, sizeof(value)), err) < 0
		   ? -1
		   : bolt_out_put(o, SV("scheduledCompactRev"), sv_make(value, sizeof(value)), err);
}

static int file_buckets(struct etcd_file *f, struct bolt_out *o, int64_t rev, int (*goes_on)(struct err *err),
			struct err *err)
{
	static const char *const names[] = { "alarm", "auth",  "authRoles", "authUsers",       "cluster",
					     "key",   "lease", "members",   "members_removed", "meta" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (bolt_out_bucket(o, names[i], err) < 0)
			return -1;
		if (strcmp(names[i], "key") == 0 && file_keys(f, o, goes_on, err) < 0)
			return -1;
		if (strcmp(names[i], "meta") == 0 && file_meta(o, rev, err) < 0)
			return -1;
	}
	return 0;
}

int etcd_file_end(struct etcd_file *f, int64_t rev, int (*goes_on)(struct err *err), uint64_t *ret_keys,
		  struct err *err)
{
	_cleanup_(bolt_out_freep) struct bolt_out *o = bolt_out_new(f->fd);
	unsigned char sum[FILE_SUM_BYTES];
	uint64_t bytes;

	if (between_flush(f, err) < 0)
		return -1;
	if (f->places.n)
		qsort(f->places.p, f->places.n, sizeof(*f->places.p), etcd_place_order);
	if (rev <= 0 || (f->places.n && vec_last(&f->places).rev > rev))
		return err_set(err, ERR_INTERNAL, "the revision %" PRId64 " is before that of a record", rev);
	if (file_buckets(f, o, rev, goes_on, err) < 0 || bolt_out_end(o, &bytes, err) < 0 ||
	    file_sum(f->fd, 0, bytes, sum, err) < 0)
		return -1;
	if (pwrite(f->fd, sum, sizeof(sum), (off_t)bytes) != (ssize_t)sizeof(sum))
		return err_set_errno(err, errno ? errno : EIO, "cannot write it");
	*ret_keys = f->places.n;
	return 0;
}
