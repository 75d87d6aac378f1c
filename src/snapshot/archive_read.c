/* An archive is read: chunk by chunk, nothing believed before it was compared. */
#include "snapshot/archive-internal.h"
#include "snapshot/seal.h"
#include "store/disk/crc32c.h"

#include <errno.h>
#include <unistd.h>

struct archive_in {
	archive_get_fn *get;
	void *get_ctx;
	EVP_MD_CTX *digest;
	uint64_t at; /* bytes read */
	struct buf bytes, raw;
	struct archive_total total;
	char last[STORE_KEY_MAX];
	size_t last_n;
	bool sealed;
	struct sv secret;
	const struct archive_cb *cb;
	void *ctx;
};

static int in_damaged(uint64_t at, const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "it is damaged: %s at byte %" PRIu64, what, at);
}

/* Up to n bytes; fewer only at the end. */
static ssize_t in_some(struct archive_in *in, void *p, size_t n, struct err *err)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = in->get((char *)p + got, n - got, in->get_ctx, err);

		if (r < 0)
			return -1;
		if (!r)
			break;
		got += (size_t)r;
	}
	in->at += got;
	return (ssize_t)got;
}

static int in_all(struct archive_in *in, void *p, size_t n, struct err *err)
{
	ssize_t got = in_some(in, p, n, err);

	if (got < 0)
		return -1;
	if ((size_t)got < n)
		return err_set(err, ERR_INVALID,
			       "it is a part of a snapshot: it ends at byte %" PRIu64 ", behind %" PRIu64 " records",
			       in->at, in->total.records);
	return 0;
}

/* What people take for a snapshot. */
static int in_foreign(struct sv got, struct err *err)
{
	if (sv_starts(got, SV("SQLite format 3")))
		return err_set(err, ERR_INVALID,
			       "it is a database of SQLite and no snapshot: 'caravel import' takes one of k3s");
	if (got.n == MAGIC_N && sv_eq(sv_sub(got, 0, 15), SV("CARAVELSNAPSHOT")))
		return err_set(err, ERR_INVALID, "it was changed on its way, as if it were text");
	if (!got.n)
		return err_set(err, ERR_INVALID, "it is empty");
	return err_set(err, ERR_INVALID, "it is no snapshot of Caravel ('caravel import' takes those of etcd)");
}

static int in_head(struct archive_in *in, struct buf *text, struct archive_head *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	uint32_t words[2], crc;
	ssize_t got;

	buf_extend(&b, MAGIC_N);
	got = in_some(in, b.p, MAGIC_N, err);
	if (got < 0)
		return -1;
	if (!sv_eq(sv_make(b.p, (size_t)got), SV(ARCHIVE_MAGIC)))
		return in_foreign(sv_make(b.p, (size_t)got), err);
	if (in_all(in, words, sizeof(words), err) < 0)
		return -1;
	if (le32toh(words[0]) != ARCHIVE_VERSION)
		return err_set(err, ERR_INVALID,
			       "it is of version %" PRIu32
			       " of the format, and this program knows %d: take a newer one",
			       le32toh(words[0]), ARCHIVE_VERSION);
	if (le32toh(words[1]) > HEAD_TEXT_MAX)
		return in_damaged(MAGIC_N, "no length of a head", err);
	buf_add(&b, words, sizeof(words));
	if (in_all(in, buf_extend(&b, le32toh(words[1])), le32toh(words[1]), err) < 0 ||
	    in_all(in, &crc, sizeof(crc), err) < 0)
		return -1;
	if (le32toh(crc) != crc32c(0, b.p, b.n))
		return in_damaged(0, "another checksum", err);
	if (in->digest)
		BUG_ON(EVP_DigestUpdate(in->digest, b.p, b.n) != 1 ||
		       EVP_DigestUpdate(in->digest, &crc, sizeof(crc)) != 1);
	buf_addsv(text, sv_sub(buf_sv(&b), MAGIC_N + sizeof(words), b.n));
	if (!archive_head_parse(buf_sv(text), ret))
		return in_damaged(0, "no head", err);
	return 0;
}

static int in_records(struct archive_in *in, uint64_t at, struct err *err)
{
	size_t from = 0;

	while (from < in->raw.n) {
		struct store_kv kv;
		ssize_t n = store_record_parse(in->raw.p + from, in->raw.n - from, &kv);

		if (n <= 0)
			return in_damaged(at, "no record of a store", err);
		if (sv_cmp(kv.key, sv_make(in->last, in->last_n)) <= 0)
			return in_damaged(at, "records out of order", err);
		memcpy(in->last, kv.key.p, kv.key.n);
		in->last_n = kv.key.n;
		in->total.records++;
		if (in->cb->record && in->cb->record(&kv, in->ctx, err) < 0)
			return -1;
		from += (size_t)n;
	}
	return 0;
}

static int in_data(struct archive_in *in, const struct chunk_head *h, uint64_t at, struct err *err)
{
	size_t raw = le32toh(h->raw);

	if (in->sealed)
		return in_damaged(at, "records behind the keys", err);
	buf_clear(&in->raw);
	if (!raw || raw > CHUNK_RAW_MAX)
		return in_damaged(at, "no length of a chunk", err);
	if (!archive_unpack(buf_sv(&in->bytes), raw, buf_extend(&in->raw, raw)))
		return in_damaged(at, "no data of zstd", err);
	in->total.bytes += raw;
	return in_records(in, at, err);
}

static void in_digest(const struct archive_in *in, unsigned char ret[DIGEST_BYTES])
{
	_cleanup_(digest_free) EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned n = 0;

	BUG_ON(!c || EVP_MD_CTX_copy_ex(c, in->digest) != 1 || EVP_DigestFinal_ex(c, ret, &n) != 1 ||
	       n != DIGEST_BYTES);
}

static int in_sealed(struct archive_in *in, uint64_t at, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	unsigned char digest[DIGEST_BYTES];
	struct archive_file *f = NULL;
	size_t n = 0;

	if (in->sealed)
		return in_damaged(at, "keys for the second time", err);
	in->sealed = true;
	if (!in->secret.p)
		return 0;
	in_digest(in, digest);
	if (seal_open(&a, in->secret, sv_make((const char *)digest, sizeof(digest)), buf_sv(&in->bytes), &f, &n, err) <
	    0)
		return -1;
	return in->cb->files ? in->cb->files(f, n, in->ctx, err) : 0;
}

static int in_end(struct archive_in *in, uint64_t at, struct err *err)
{
	unsigned char digest[DIGEST_BYTES], more;
	struct end_chunk e;
	ssize_t got;

	if (in->bytes.n != sizeof(e))
		return in_damaged(at, "no end", err);
	memcpy(&e, in->bytes.p, sizeof(e));
	in_digest(in, digest);
	if (memcmp(e.digest, digest, sizeof(digest)) != 0)
		return in_damaged(at, "another checksum of the whole", err);
	if (le64toh(e.records) != in->total.records || le64toh(e.bytes) != in->total.bytes)
		return in_damaged(at, "another number of records", err);
	got = in_some(in, &more, 1, err);
	return got > 0 ? in_damaged(in->at - 1, "something behind its end", err) : (int)got;
}

/* 1: that was the last. */
static int in_chunk(struct archive_in *in, struct err *err)
{
	uint64_t at = in->at;
	struct chunk_head h;
	size_t n;
	int rc;

	if (in_all(in, &h, sizeof(h), err) < 0)
		return -1;
	n = le32toh(h.bytes);
	if (n > CHUNK_BYTES_MAX)
		return in_damaged(at, "no length of a chunk", err);
	buf_clear(&in->bytes);
	if (in_all(in, buf_extend(&in->bytes, n), n, err) < 0)
		return -1;
	if (le32toh(h.crc) != chunk_crc(&h, in->bytes.p))
		return in_damaged(at, "another checksum", err);
	switch (le32toh(h.kind)) {
	case CHUNK_DATA:
		rc = in_data(in, &h, at, err);
		break;
	case CHUNK_SEALED:
		rc = in_sealed(in, at, err);
		break;
	case CHUNK_END:
		return in_end(in, at, err) < 0 ? -1 : 1;
	default:
		return in_damaged(at, "a chunk of an unknown kind", err);
	}
	if (rc == 0)
		BUG_ON(EVP_DigestUpdate(in->digest, &h, sizeof(h)) != 1 ||
		       EVP_DigestUpdate(in->digest, in->bytes.p, in->bytes.n) != 1);
	return rc;
}

int archive_read(archive_get_fn *get, void *get_ctx, struct sv secret, const struct archive_cb *cb, void *ctx,
		 struct archive_total *ret, bool *ret_sealed, struct err *err)
{
	_cleanup_(digest_free) EVP_MD_CTX *digest = EVP_MD_CTX_new();
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct archive_in in = {
		.get = get, .get_ctx = get_ctx, .digest = digest, .secret = secret, .cb = cb, .ctx = ctx
	};
	struct archive_head head;
	int rc = -1;

	if (!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
		err_set(err, ERR_INTERNAL, "OpenSSL has no SHA-256");
	else if (archive_pack_ready(err) == 0)
		rc = in_head(&in, &text, &head, err);
	if (rc == 0 && cb->head)
		rc = cb->head(&head, ctx, err);
	while (rc == 0)
		rc = in_chunk(&in, err);
	buf_release(&in.bytes);
	buf_release(&in.raw);
	if (rc < 0)
		return -1;
	if (ret)
		*ret = in.total;
	if (ret_sealed)
		*ret_sealed = in.sealed;
	return 0;
}

static ssize_t peek_get(void *p, size_t n, void *ctx, struct err *err)
{
	ssize_t got;

	do
		got = read(*(int *)ctx, p, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? err_set_errno(err, errno, "cannot read it") : got;
}

int archive_peek(struct arena *a, int fd, struct archive_head *ret, struct archive_total *ret_total, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct archive_in in = { .get = peek_get, .get_ctx = &fd };
	struct {
		struct chunk_head h;
		struct end_chunk e;
	} last;
	off_t size;

	if (in_head(&in, &text, ret, err) < 0)
		return -1;
	ret->cluster = arena_sv(a, ret->cluster);
	ret->version = arena_sv(a, ret->version);
	ret->kubernetes = arena_sv(a, ret->kubernetes);
	size = lseek(fd, 0, SEEK_END);
	if (size < 0)
		return err_set_errno(err, errno, "cannot read its end");
	if (size - (off_t)sizeof(last) < (off_t)in.at ||
	    pread(fd, &last, sizeof(last), size - (off_t)sizeof(last)) != (ssize_t)sizeof(last) ||
	    le32toh(last.h.kind) != CHUNK_END || le32toh(last.h.bytes) != sizeof(last.e) ||
	    le32toh(last.h.crc) != chunk_crc(&last.h, &last.e))
		return err_set(err, ERR_INVALID, "it is a part of a snapshot: it has no end");
	*ret_total = (struct archive_total){ le64toh(last.e.records), le64toh(last.e.bytes) };
	return 0;
}
