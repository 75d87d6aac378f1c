/* A layer's archive, unpacked: into a directory of its own, beside which nothing appears. As anybody: what only root
 * may give fails in words. */
#include "base/file.h"
#include "kubelet/oci/layer_unpack.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t fuzz_read(void *ctx, void *p, size_t n, struct err *err)
{
	struct sv *left = ctx;

	(void)err;
	n = MIN(n, left->n);
	if (n)
		memcpy(p, left->p, n);
	*left = sv_sub(*left, n, left->n);
	return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char top[] = "/tmp/caravel-fuzz-layer-XXXXXX";
	const struct image_limits l = { 1 << 20, 200 };
	struct sv left = sv_make((const char *)data, size);
	struct layer_sums sums;
	struct stat st;
	int at, dir;

	if (!mkdtemp(top) || (at = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		abort();
	BUG_ON(mkdirat(at, "root", 0700) < 0);
	dir = openat(at, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (layer_unpack(dir, NULL, 0, fuzz_read, &left, &l, &sums, NULL) == 0)
		BUG_ON(left.n || sums.bytes > l.max_bytes || sums.entries > l.max_files);
	close(dir);
	BUG_ON(fstat(at, &st) < 0 || st.st_nlink > 3); /* of ours: one directory */
	close(at);
	BUG_ON(tree_remove(top, NULL) < 0);
	return 0;
}
