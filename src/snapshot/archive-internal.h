/* archive-internal.h - what writer and reader of archives agree on. Nobody else includes it. */
#pragma once

#include "base/buf.h"
#include "snapshot/archive.h"
#include "store/records.h"

#include <endian.h>
#include <openssl/evp.h>

#define MAGIC_N (sizeof(ARCHIVE_MAGIC) - 1)
#define HEAD_TEXT_MAX ((size_t)4096)
#define DIGEST_BYTES 32

#define CHUNK_DATA ((uint32_t)'d')
#define CHUNK_SEALED ((uint32_t)'s')
#define CHUNK_END ((uint32_t)'e')
#define CHUNK_WANTED ((size_t)1 << 20)			      /* a chunk is put when it has so much */
#define CHUNK_RAW_MAX (CHUNK_WANTED + STORE_RECORD_MAX)	      /* and one record brought it there */
#define CHUNK_BYTES_MAX (CHUNK_RAW_MAX + CHUNK_RAW_MAX / 128) /* zstd's bound of that is less */

struct chunk_head {
	uint32_t kind, bytes, raw, crc;
};

struct end_chunk {
	uint64_t records, bytes;
	unsigned char digest[DIGEST_BYTES];
};
_Static_assert(sizeof(struct chunk_head) + sizeof(struct end_chunk) == ARCHIVE_END_BYTES, "no holes in a file");

/* The checksum of a chunk, whose head is as it is in the file. */
uint32_t chunk_crc(const struct chunk_head *h, const void *p);

/* archive_zstd.c: appends to out. */
int archive_pack(struct sv raw, struct buf *out, struct err *err);
/* To exactly raw_n bytes; false: it is something else. Needs archive_pack_ready(). */
bool archive_unpack(struct sv packed, size_t raw_n, char *to);
int archive_pack_ready(struct err *err);

/* archive_head.c */
void archive_head_text(struct buf *b, const struct archive_head *h);
/* Views of text. False: it lacks what it must have. */
bool archive_head_parse(struct sv text, struct archive_head *ret);

static inline void digest_free(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}
