/* layer_unpack.h - a layer's archive into a directory, as overlayfs wants it.
 *
 * The archive is a stranger's. Entries are put below dir by descriptor, never through a link (kubelet/beneath.h): a
 * name with
 * "..", an absolute one or one that goes through a link of the same layer ends in the place it would have with dir as
 * the root of the file system. Whiteouts (OCI image layer specification) become what overlayfs reads: `.wh.NAME` a
 * character device 0:0, `.wh..wh..opq` the attribute trusted.overlay.opaque. Kept: owners, modes with set-id bits,
 * times, links of both kinds, devices, FIFOs, attributes security.capability and user.*. Others are left out.
 * Compression (none, gzip, zstd) is found by libarchive.
 *
 * Bounds are the caller's: counting what is unpacked, in bytes (whole blocks of 4096) and entries, not what is packed.
 */
#pragma once

#include "base/err.h"
#include "kubelet/image_size.h"

/* Where the archive's bytes come from: at most n into p; 0 at the end, -1 with *err. With n 0 it only says whether to
 * go on (0 or -1): asked once a MiB of what is written, as little of an archive can unpack to much. */
typedef ssize_t layer_read(void *ctx, void *p, size_t n, struct err *err);

struct layer_sums {
	char packed[65];   /* SHA-256 of what was read, in hex: the blob's digest */
	char unpacked[65]; /* SHA-256 of the tar in it: the layer's diff id */
	uint64_t bytes, entries;
};

/* dir is open, empty, of ours alone; what it holds after a failure is the caller's to remove. below: the layers below
 * it, highest first: directories that the archive implies without naming them get owner and mode from there. Reads to
 * the end of the archive and of the stream, so that the sums are those of all of it. ERR_TOO_LARGE beyond a limit,
 * ERR_INVALID for what is no archive. Blocking, linear in the archive. An opaque root (LAYER_OPAQUE on dir itself) is
 * for whoever stacks the layers: overlayfs does not look at it there. */
#define LAYER_OPAQUE "trusted.overlay.opaque"
int layer_unpack(int dir, const int *below, size_t n_below, layer_read *read, void *ctx, const struct image_limits *l,
		 struct layer_sums *ret, struct err *err);
