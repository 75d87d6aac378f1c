/* An archive is made: chunk by chunk, what was put goes into the digest. */
#include "snapshot/archive-internal.h"
#include "snapshot/seal.h"
#include "store/disk/crc32c.h"

#include <stdlib.h>

struct archive_out {
	archive_put_fn *put;
	void *ctx;
	EVP_MD_CTX *digest; /* of all that was put */
	struct buf raw, packed;
	struct archive_total total;
	char last[STORE_KEY_MAX]; /* key of the last record */
	size_t last_n;
	bool sealed;
};

static int out_put(struct archive_out *o, const void *p, size_t n, struct err *err)
{
	BUG_ON(EVP_DigestUpdate(o->digest, p, n) != 1);
	return o->put(p, n, o->ctx, err);
}

static int out_chunk(struct archive_out *o, uint32_t kind, struct sv bytes, size_t raw, struct err *err)
{
	struct chunk_head h = { .kind = htole32(kind),
				.bytes = htole32((uint32_t)bytes.n),
				.raw = htole32((uint32_t)raw) };

	h.crc = htole32(chunk_crc(&h, bytes.p));
	return out_put(o, &h, sizeof(h), err) < 0 ? -1 : out_put(o, bytes.p, bytes.n, err);
}

static int out_flush(struct archive_out *o, struct err *err)
{
	size_t raw = o->raw.n;

	if (!raw)
		return 0;
	buf_clear(&o->packed);
	if (archive_pack(buf_sv(&o->raw), &o->packed, err) < 0)
		return -1;
	buf_clear(&o->raw);
	o->total.bytes += raw;
	return out_chunk(o, CHUNK_DATA, buf_sv(&o->packed), raw, err);
}

static int out_head(struct archive_out *o, const struct archive_head *h, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, text = BUF_INIT;
	uint32_t word = htole32(ARCHIVE_VERSION);

	archive_head_text(&text, h);
	BUG_ON(text.n > HEAD_TEXT_MAX);
	buf_addsv(&b, SV(ARCHIVE_MAGIC));
	buf_add(&b, &word, sizeof(word));
	word = htole32((uint32_t)text.n);
	buf_add(&b, &word, sizeof(word));
	buf_addsv(&b, buf_sv(&text));
	word = htole32(crc32c(0, b.p, b.n));
	buf_add(&b, &word, sizeof(word));
	return out_put(o, b.p, b.n, err);
}

struct archive_out *archive_out_new(const struct archive_head *h, archive_put_fn *put, void *ctx, struct err *err)
{
	_cleanup_(archive_out_freep) struct archive_out *o = NULL;

	if (archive_pack_ready(err) < 0)
		return NULL;
	o = xcalloc(1, sizeof(*o));
	o->put = put;
	o->ctx = ctx;
	o->digest = EVP_MD_CTX_new();
	if (!o->digest || EVP_DigestInit_ex(o->digest, EVP_sha256(), NULL) != 1) {
		err_set(err, ERR_INTERNAL, "OpenSSL has no SHA-256");
		return NULL;
	}
	return out_head(o, h, err) < 0 ? NULL : TAKE(o);
}

int archive_out_add(struct archive_out *o, const struct store_kv *kv, struct err *err)
{
	if (o->sealed || sv_cmp(kv->key, sv_make(o->last, o->last_n)) <= 0)
		return err_set(err, ERR_INTERNAL, "'%.*s' comes out of order", SV_ARG(kv->key));
	if (store_record_add(&o->raw, kv, err) < 0)
		return -1;
	memcpy(o->last, kv->key.p, kv->key.n);
	o->last_n = kv->key.n;
	o->total.records++;
	return o->raw.n >= CHUNK_WANTED ? out_flush(o, err) : 0;
}

/* Of all that was put up to here. */
static void out_digest(const struct archive_out *o, unsigned char ret[DIGEST_BYTES])
{
	_cleanup_(digest_free) EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned n = 0;

	BUG_ON(!c || EVP_MD_CTX_copy_ex(c, o->digest) != 1 || EVP_DigestFinal_ex(c, ret, &n) != 1 || n != DIGEST_BYTES);
}

int archive_out_seal(struct archive_out *o, struct env *env, struct sv secret, const struct archive_file *f, size_t n,
		     struct err *err)
{
	unsigned char digest[DIGEST_BYTES];

	if (out_flush(o, err) < 0)
		return -1;
	out_digest(o, digest);
	buf_clear(&o->packed);
	if (seal_files(env, secret, sv_make((const char *)digest, sizeof(digest)), f, n, &o->packed, err) < 0)
		return -1;
	o->sealed = true;
	return out_chunk(o, CHUNK_SEALED, buf_sv(&o->packed), o->packed.n, err);
}

int archive_out_end(struct archive_out *o, struct archive_total *ret, struct err *err)
{
	struct end_chunk e;

	if (out_flush(o, err) < 0)
		return -1;
	e.records = htole64(o->total.records);
	e.bytes = htole64(o->total.bytes);
	out_digest(o, e.digest);
	*ret = o->total;
	return out_chunk(o, CHUNK_END, sv_make((const char *)&e, sizeof(e)), sizeof(e), err);
}

void archive_out_free(struct archive_out *o)
{
	if (!o)
		return;
	EVP_MD_CTX_free(o->digest);
	buf_release(&o->raw);
	buf_release(&o->packed);
	free(o);
}
