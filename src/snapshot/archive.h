/* archive.h - a snapshot as a file: written and read as a stream, bounded and checked throughout.
 *
 *	head	"CARAVELSNAPSHOT\n", u32 version, u32 bytes of text, text, u32 CRC-32C of all this
 *	chunk	u32 kind, u32 bytes, u32 bytes before compression, u32 CRC-32C of these and of the bytes; then they
 *	  'd'	a zstd frame of whole records (store/records.h), their keys ascending over the whole archive
 *	  's'	keys and certificates, sealed (seal.h); at most one, behind the records
 *	  'e'	u64 records, u64 bytes of chunks before compression, SHA-256 of all before this chunk; nothing comes
 *		behind it
 *
 * All numbers are little-endian. The text is lines "name value", of which those that nobody knows are passed over:
 *
 *	cluster HEX	SHA-256 of the CA's PEM, as in tokens; not there: keys are not known
 *	revision N	of the store, at which all records were read
 *	time RFC3339	when
 *	version V	of the program, kubernetes V of the API
 *
 * Reading believes nothing: each length is compared with a bound before memory is taken for it, each chunk with its
 * checksum before it is looked at, and what a reader was told counts only when archive_read() has returned 0: until
 * then the archive may turn out to be half of one. Errors say what is wrong and at which byte; whose file it is adds
 * the caller. zstd is loaded when it is needed (base/lazylib.h).
 *
 * Threads: none of its own; one at a time.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "store/store.h"

#define ARCHIVE_VERSION 1
#define ARCHIVE_MAGIC "CARAVELSNAPSHOT\n"
#define ARCHIVE_END_BYTES ((size_t)16 + 16 + 32) /* how long the last chunk is, so that who can seek finds it */
#define ARCHIVE_FILES_MAX ((size_t)64)
#define ARCHIVE_FILES_BYTES ((size_t)4 << 20) /* of names and contents of the sealed files, together */

struct archive_head {
	struct sv cluster, version, kubernetes;
	int64_t rev, time_ns;
};

struct archive_total {
	uint64_t records, bytes;
};

/* One of the sealed files: name is a path without "..", below the data directory. */
struct archive_file {
	struct sv name, data;
};

/* --- writing --- */

struct archive_out; /* opaque */
typedef int archive_put_fn(const void *p, size_t n, void *ctx, struct err *err);

/* Gives the head to put, and all that follows in later calls. NULL with *err. */
struct archive_out *archive_out_new(const struct archive_head *h, archive_put_fn *put, void *ctx, struct err *err);
/* The next record, whose key is behind the last one's. */
int archive_out_add(struct archive_out *o, const struct store_kv *kv, struct err *err);
/* Behind all records: the files, sealed with the token's secret. */
int archive_out_seal(struct archive_out *o, struct env *env, struct sv secret, const struct archive_file *f, size_t n,
		     struct err *err);
/* What makes it whole. */
int archive_out_end(struct archive_out *o, struct archive_total *ret, struct err *err);
void archive_out_free(struct archive_out *o); /* NULL is fine */
DEFINE_CLEANUP(struct archive_out *, archive_out_freep, archive_out_free)

/* --- reading --- */

/* Up to n bytes into p; 0 at the end, -1 with *err. */
typedef ssize_t archive_get_fn(void *p, size_t n, void *ctx, struct err *err);

/* What a reader is told, in this order; each may be NULL. -1 with *err ends the reading. Views until they return. */
struct archive_cb {
	int (*head)(const struct archive_head *h, void *ctx, struct err *err);
	int (*record)(const struct store_kv *kv, void *ctx, struct err *err);
	/* The sealed files, once, when there are any and a secret was given. */
	int (*files)(const struct archive_file *f, size_t n, void *ctx, struct err *err);
};

/* Reads to the end. secret: of the token; SV_NULL: sealed files stay sealed. *ret_sealed (may be NULL): there are some.
 * ERR_INVALID: it is no archive, one of another version, half of one, or damaged; ERR_UNAUTHORIZED: the secret is not
 * the one it was sealed with. */
int archive_read(archive_get_fn *get, void *get_ctx, struct sv secret, const struct archive_cb *cb, void *ctx,
		 struct archive_total *ret, bool *ret_sealed, struct err *err);
/* Only head and end, without anything between: for listings. The texts are in a. */
int archive_peek(struct arena *a, int fd, struct archive_head *ret, struct archive_total *ret_total, struct err *err);
