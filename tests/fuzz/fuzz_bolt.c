/* An etcd's database that somebody brings. The first byte says whether the checksum of the first page is made right. */
#include "base/base.h"
#include "snapshot/foreign.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int begin(int64_t rev, _unused_ void *ctx, _unused_ struct err *err)
{
	BUG_ON(rev <= 0);
	return 0;
}

static int record(const struct store_kv *kv, _unused_ void *ctx, _unused_ struct err *err)
{
	BUG_ON(!kv->key.n || kv->key.n > STORE_KEY_MAX || kv->value.n > STORE_VALUE_MAX ||
	       kv->create_rev > kv->mod_rev);
	return 0;
}

static void mend(unsigned char *meta)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (int i = 0; i < 56; i++)
		h = (h ^ meta[i]) * UINT64_C(0x100000001b3);
	for (int i = 0; i < 8; i++)
		meta[56 + i] = (unsigned char)(h >> 8 * i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct foreign_cb cb = { begin, record };
	static int fd = -1;
	_cleanup_free_ char *copy = NULL;
	struct foreign_found found;

	if (size < 100)
		return 0;
	if (fd < 0)
		fd = memfd_create("bolt", MFD_CLOEXEC);
	copy = xmemdup(data + 1, size - 1);
	if (data[0] & 1)
		mend((unsigned char *)copy + 16);
	BUG_ON(fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, copy, size - 1, 0) != (ssize_t)size - 1);
	(void)foreign_etcd(fd, SV("/registry"), &cb, NULL, &found, NULL);
	return 0;
}
