/* table-internal.h - shared by table.c and table_out.c, nobody else. */
#pragma once

#include "store/disk/crc32c.h"
#include "store/disk/table.h"

#define TABLE_MAGIC UINT64_C(0x314c42415652430a) /* "\nCRVABL1" */
#define TABLE_BLOCK_MAGIC UINT32_C(0x42565243)	 /* "CRVB" */
#define TABLE_REVS_MAGIC UINT32_C(0x52565243)	 /* "CRVR" */
#define TABLE_VERSION UINT32_C(2)
#define TABLE_VERSION_CRC \
	UINT32_C(1) /* its filter goes by keys' checksums, which whoever chooses keys can make equal */
#define TABLE_HEAD_BYTES ((size_t)4096)
#define TABLE_PAD(n) (((n) + 7) & ~(size_t)7)
#define TABLE_ENTRY_BYTES ((size_t)14) /* off, bytes, key_n; the key follows */
#define TABLE_REVS_ENTRY ((size_t)20)  /* first revision, off, bytes */
#define TABLE_PROBES 6

_Static_assert(sizeof(struct table_head) == 112 && sizeof(struct table_block) == 16 && sizeof(struct table_rev) == 16,
	       "no holes on disk");

static inline uint32_t table_head_crc(const struct table_head *h)
{
	struct table_head plain = *h;

	plain.crc = 0;
	return crc32c(0, &plain, sizeof(plain));
}

static inline uint32_t table_block_crc(uint64_t salt, uint64_t off, const struct table_block *b, const void *payload)
{
	struct table_block plain = *b;
	uint64_t place[2] = { salt, off };

	plain.crc = 0;
	return crc32c(crc32c(crc32c(0, place, sizeof(place)), &plain, sizeof(plain)), payload, b->bytes);
}

/* The i-th bit of the filter (of n bytes) that a key with this hash sets. */
static inline uint64_t table_filter_bit(uint32_t hash, int i, uint32_t n)
{
	uint64_t mixed = hash * UINT64_C(0x9e3779b97f4a7c15);

	mixed ^= mixed >> 29;
	mixed *= UINT64_C(0xbf58476d1ce4e5b9);
	return ((uint32_t)mixed + (uint64_t)i * (mixed >> 32 | 1)) % ((uint64_t)n * 8);
}
