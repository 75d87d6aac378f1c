/* wal-internal.h - shared by wal.c and wal_scan.c, nobody else. */
#pragma once

#include "store/disk/crc32c.h"
#include "store/disk/wal.h"

#define WAL_HEAD_MAGIC UINT64_C(0x314c41575652430a) /* "\nCRVWAL1" */
#define WAL_GROUP_MAGIC UINT32_C(0x47565243)	    /* "CRVG" */
#define WAL_VERSION UINT32_C(1)
#define WAL_BLOCK_UP(n) (((n) + WAL_BLOCK - 1) & ~(WAL_BLOCK - 1))

#define TAKE_FD(fd)               \
	({                        \
		int take_ = (fd); \
		(fd) = -1;        \
		take_;            \
	})

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the log's structs are written as they lie in memory");
_Static_assert(sizeof(struct wal_record) == 40 && sizeof(struct wal_group) == 64 && sizeof(struct wal_head) == 64,
	       "no holes on disk");

static inline uint32_t wal_salt_crc(uint64_t salt)
{
	return crc32c(0, &salt, sizeof(salt));
}

/* The group's own part of its checksum; the payload follows. */
static inline uint32_t wal_group_head_crc(const struct wal_group *g, uint32_t seed)
{
	struct wal_group plain = *g;

	plain.crc = 0;
	return crc32c(seed, &plain, sizeof(plain));
}

/* Is there a sound group at off, of whatever segment? */
bool wal_group_parse(const struct wal_image *img, size_t off, struct wal_group *ret);
/* A whole slot's bytes, or only its head block when that is a segment up to known_seq, of which nobody needs more; n is
 * the file's size either way. p stays NULL when there is no such file. p and name are the caller's to free. */
int wal_image_load(const struct wal *w, int slot, uint64_t known_seq, int *ret_fd, struct wal_image *ret,
		   struct err *err);
/* Writes the next note, synced. */
int wal_note_write(struct wal *w, uint64_t seq, uint64_t salt, int slot, struct err *err);
int wal_write_all(int fd, struct iovec *iov, int n, off_t off); /* pwritev(2) until all is written */
char *wal_slot_path(const struct wal *w, int slot);		/* caller frees */
