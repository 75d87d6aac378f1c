/* A snapshot, which may come from anywhere. The first byte says whether checksums are made right, so that the search
 * gets behind them. */
#include "base/buf.h"
#include "snapshot/archive-internal.h"
#include "store/disk/crc32c.h"

#define SEALED_COST_AT 17

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
	const char *p;
	size_t n;
};

static ssize_t source_get(void *p, size_t n, void *ctx, _unused_ struct err *err)
{
	struct source *s = ctx;

	n = MIN(n, s->n);
	memcpy(p, s->p, n);
	s->p += n;
	s->n -= n;
	return (ssize_t)n;
}

static int record(const struct store_kv *kv, _unused_ void *ctx, _unused_ struct err *err)
{
	BUG_ON(!kv->key.n || kv->key.n > STORE_KEY_MAX || kv->value.n > STORE_VALUE_MAX);
	return 0;
}

/* Where the chunks begin; 0: there are none. */
static size_t mend_head(char *p, size_t n)
{
	uint32_t text_n, crc;
	size_t at = MAGIC_N + 8;

	if (n < at + 4)
		return 0;
	memcpy(&text_n, p + MAGIC_N + 4, sizeof(text_n));
	if (le32toh(text_n) > n - at - 4)
		return 0;
	at += le32toh(text_n);
	crc = htole32(crc32c(0, p, at));
	memcpy(p + at, &crc, sizeof(crc));
	return at + 4;
}

static void mend(char *p, size_t n)
{
	size_t at = mend_head(p, n);
	struct chunk_head h;

	while (at && n - at >= sizeof(h)) {
		unsigned got;

		memcpy(&h, p + at, sizeof(h));
		if (le32toh(h.bytes) > n - at - sizeof(h))
			break;
		if (le32toh(h.kind) == CHUNK_END && le32toh(h.bytes) == sizeof(struct end_chunk))
			BUG_ON(EVP_Digest(p, at, (unsigned char *)p + at + sizeof(h) + 16, &got, EVP_sha256(), NULL) !=
			       1);
		/* Scrypt would be most of the time: the least that is taken (net/sealed.c). */
		if (le32toh(h.kind) == CHUNK_SEALED && le32toh(h.bytes) > SEALED_COST_AT)
			p[at + sizeof(h) + SEALED_COST_AT] = 10;
		h.crc = htole32(chunk_crc(&h, p + at + sizeof(h)));
		memcpy(p + at, &h, sizeof(h));
		at += sizeof(h) + le32toh(h.bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct archive_cb cb = { .record = record };
	_cleanup_free_ char *copy = NULL;
	struct source s;

	if (!size)
		return 0;
	copy = xmemdup(data, size);
	s = (struct source){ copy + 1, size - 1 };
	if (data[0] & 1)
		mend(copy + 1, size - 1);
	(void)archive_read(source_get, &s, (data[0] & 3) == 3 ? SV("abcdef.0123456789abcdef") : SV_NULL, &cb, NULL,
			   NULL, NULL, NULL);
	return 0;
}
