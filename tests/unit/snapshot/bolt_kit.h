/* bolt_kit.h - a small bbolt file as an etcd has it, of pages of 512 bytes, for tests. */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "codec/pbwire.h"

#include <string.h>

#define KIT_PAGE 512

struct kit_row {
	const char *key, *value; /* value NULL: deleted */
	uint64_t rev, create;
};

static inline void kit_set(struct buf *b, size_t at, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b->p[at + i] = (char)(v >> 8 * i);
}

static inline void kit_page(struct buf *b, uint64_t number, unsigned flags, unsigned count)
{
	size_t at = (size_t)number * KIT_PAGE;

	kit_set(b, at, number, 8);
	kit_set(b, at + 8, flags, 2);
	kit_set(b, at + 10, count, 2);
}

static inline void kit_meta(struct buf *b, uint64_t number, uint64_t root, uint64_t pages, uint64_t txid)
{
	size_t at = (size_t)number * KIT_PAGE + 16;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	kit_page(b, number, 4, 0);
	kit_set(b, at, 0xed0cdaed, 4);
	kit_set(b, at + 4, 2, 4);
	kit_set(b, at + 8, KIT_PAGE, 4);
	kit_set(b, at + 16, root, 8);
	kit_set(b, at + 32, 2, 8);
	kit_set(b, at + 40, pages, 8);
	kit_set(b, at + 48, txid, 8);
	for (size_t i = 0; i < 56; i++)
		h = (h ^ (unsigned char)b->p[at + i]) * UINT64_C(0x100000001b3);
	kit_set(b, at + 56, h, 8);
}

/* Element i of a page with one more behind the last, its key and value from `data` on; where the next data goes. */
static inline size_t kit_element(struct buf *b, uint64_t number, unsigned i, bool leaf, unsigned flags, uint64_t child,
				 struct sv key, struct sv value, size_t data)
{
	size_t at = (size_t)number * KIT_PAGE + 16 + (size_t)i * 16, to = (size_t)number * KIT_PAGE + data;

	kit_set(b, at, leaf ? flags : to - at, 4);
	kit_set(b, at + 4, leaf ? to - at : key.n, 4);
	kit_set(b, at + 8, leaf ? key.n : child, leaf ? 4 : 8);
	if (leaf)
		kit_set(b, at + 12, value.n, 4);
	memcpy(b->p + to, key.p, key.n);
	if (value.n)
		memcpy(b->p + to + key.n, value.p, value.n);
	return data + key.n + value.n;
}

/* Bucket "key" of n rows, two a leaf, below a branch. */
static inline void kit_bolt(struct buf *b, const struct kit_row *rows, size_t n)
{
	size_t leaves = (n + 1) / 2, pages = 5 + leaves, data;
	char bucket[16] = { 4 };

	buf_clear(b);
	memset(buf_extend(b, pages * KIT_PAGE), 0, pages * KIT_PAGE);
	kit_page(b, 2, 16, 0);
	kit_page(b, 3, 2, 1);
	(void)kit_element(b, 3, 0, true, 1, 0, SV("key"), sv_make(bucket, sizeof(bucket)), 200);
	kit_page(b, 4, 1, (unsigned)leaves);
	data = 16 + leaves * 16;
	for (size_t l = 0; l < leaves; l++) {
		size_t at = 64;
		unsigned count = (unsigned)MIN(n - 2 * l, 2);

		kit_page(b, 5 + l, 2, count);
		for (unsigned i = 0; i < count; i++) {
			const struct kit_row *r = &rows[2 * l + i];
			_cleanup_(buf_release) struct buf v = BUF_INIT;
			char key[18] = { 0 };

			for (int k = 0; k < 8; k++)
				key[k] = (char)(r->rev >> 8 * (7 - k));
			key[8] = '_';
			key[17] = 't';
			pb_sv(&v, 1, sv_from(r->key));
			pb_u64(&v, 2, r->value ? r->create : 0);
			pb_u64(&v, 3, r->value ? r->rev : 0);
			pb_sv(&v, 5, sv_from(r->value ? r->value : ""));
			at = kit_element(b, 5 + l, i, true, 0, 0, sv_make(key, r->value ? 17 : 18), buf_sv(&v), at);
			if (i == 0)
				data = kit_element(b, 4, (unsigned)l, false, 0, 5 + l, sv_make(key, 17), SV(""), data);
		}
	}
	kit_meta(b, 0, 3, pages, 7);
	kit_meta(b, 1, 3, pages, 6);
}
