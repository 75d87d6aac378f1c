/* bolt-internal.h - what reader and writer of bbolt's files agree on. Nobody else includes it. */
#pragma once

#include "base/base.h"

#define BOLT_MAGIC UINT32_C(0xed0cdaed)
#define BOLT_VERSION 2
#define PAGE_BRANCH 1
#define PAGE_LEAF 2
#define PAGE_META 4
#define ELEMENT_BUCKET 1
#define HEAD_BYTES 16
#define ELEMENT_BYTES 16
#define BUCKET_BYTES 16

/* In the file's order of bytes: little-endian. */
struct bolt_meta {
	uint32_t magic, version, page, flags;
	uint64_t root, sequence, freelist, pages, txid, checksum;
};
_Static_assert(sizeof(struct bolt_meta) == 64, "no holes in a file");

/* FNV-1a, of the fields before it. */
uint64_t bolt_meta_checksum(const struct bolt_meta *m);
