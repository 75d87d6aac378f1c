/* archive_kit.h - archives in memory, for tests. */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "snapshot/archive.h"
#include "store/store.h"
#include "thread_env.h"

#include <stdio.h>

#define KIT_SECRET SV("abcdef.0123456789abcdef")

static inline int kit_put(const void *p, size_t n, void *ctx, _unused_ struct err *err)
{
	buf_add(ctx, p, n);
	return 0;
}

struct kit_source {
	struct sv left;
	size_t most; /* bytes at a time; 0: all */
};

static inline ssize_t kit_get(void *p, size_t n, void *ctx, _unused_ struct err *err)
{
	struct kit_source *s = ctx;

	n = MIN(n, s->left.n);
	if (s->most)
		n = MIN(n, s->most);
	memcpy(p, s->left.p, n);
	s->left = sv_sub(s->left, n, s->left.n);
	return (ssize_t)n;
}

/* n records of value_n bytes that do not compress, sealed files unless `open`; of which version of Kubernetes. */
static inline void kit_archive_of(struct buf *b, size_t n, size_t value_n, bool open, struct sv kubernetes)
{
	static const struct archive_file files[] = { { { "pki/ca.crt", 10 }, { "certificate", 11 } },
						     { { "server/node-token", 17 }, { "t", 1 } } };
	const struct archive_head h = { .cluster = open ? SV("")
							: SV("0123456789abcdef0123456789abcdef0123456789abcdef"
							     "0123456789abcdef"),
					.version = SV("1.0"),
					.kubernetes = kubernetes,
					.rev = 1000,
					.time_ns = INT64_C(1790000000000000000) };
	_cleanup_(archive_out_freep) struct archive_out *o = NULL;
	_cleanup_free_ char *value = xmalloc(value_n + 1);
	struct archive_total total;
	uint32_t rng = 7;

	o = archive_out_new(&h, kit_put, b, NULL);
	assert_non_null(o);
	for (size_t i = 0; i < n; i++) {
		char key[32];
		struct store_kv kv = { .create_rev = (int64_t)i + 2, .mod_rev = (int64_t)i + 2 };

		for (size_t k = 0; k < value_n; k++)
			value[k] = (char)((rng = rng * 1664525 + 1013904223) >> 24);
		kv.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "/registry/k/%06zu", i));
		kv.value = sv_make(value, value_n);
		assert_int_equal(archive_out_add(o, &kv, NULL), 0);
	}
	if (!open)
		assert_int_equal(archive_out_seal(o, &thread_env, KIT_SECRET, files, ARRAY_LEN(files), NULL), 0);
	assert_int_equal(archive_out_end(o, &total, NULL), 0);
	assert_int_equal(total.records, n);
}

static inline void kit_archive(struct buf *b, size_t n, size_t value_n, bool open)
{
	kit_archive_of(b, n, value_n, open, SV("v1.37.0"));
}

/* What a reader was told. */
struct kit_seen {
	size_t heads, records, files;
	struct archive_total total;
	bool sealed;
};

static inline int kit_head(_unused_ const struct archive_head *h, void *ctx, _unused_ struct err *err)
{
	((struct kit_seen *)ctx)->heads++;
	return 0;
}

static inline int kit_record(_unused_ const struct store_kv *kv, void *ctx, _unused_ struct err *err)
{
	((struct kit_seen *)ctx)->records++;
	return 0;
}

static inline int kit_files(_unused_ const struct archive_file *f, size_t n, void *ctx, _unused_ struct err *err)
{
	((struct kit_seen *)ctx)->files += n;
	return 0;
}

static inline int kit_read(struct sv bytes, size_t most, struct sv secret, struct kit_seen *seen, struct err *err)
{
	static const struct archive_cb cb = { kit_head, kit_record, kit_files };
	struct kit_source s = { bytes, most };

	*seen = (struct kit_seen){ 0 };
	return archive_read(kit_get, &s, secret, &cb, seen, &seen->total, &seen->sealed, err);
}
