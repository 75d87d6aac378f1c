/* image_size.h - how much of a disk an image archive will take, before any of it is taken.
 *
 * The archive (docker save or OCI layout; plain, gzip or zstd) is read through, its layers are unpacked in a stream and
 * counted, and nothing is written. A layer of two megabytes can hold gigabytes of zeros: counting ends at the
 * first file that is beyond a limit, so it takes no longer than what is allowed.
 */
#pragma once

#include "base/err.h"

struct image_limits {
	uint64_t max_bytes, max_files; /* UINT64_MAX: no limit */
};

struct image_size {
	uint64_t packed;   /* bytes of the layers as they are kept */
	uint64_t unpacked; /* and of the files in them, whole blocks of 4096 */
	uint64_t files;
	int members; /* of the archive itself */
};

/* ERR_TOO_LARGE beyond a limit; ERR_INVALID when it is no archive. */
int image_measure(const char *path, const struct image_limits *l, struct image_size *ret, struct err *err);
/* Whether size fits into the file system of dir and leaves a twentieth of it free; ERR_TOO_LARGE says what there is. */
int image_fits(const struct image_size *size, const char *dir, struct err *err);
