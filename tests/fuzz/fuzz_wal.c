/* The log's parser: a record, and a segment made of whatever comes, sealed with the right
 * checksums so that the search gets behind them. */
#include "store/disk/crc32c.h"
#include "store/disk/wal-internal.h"

#include <stdlib.h>

static int seen(const struct wal_record *r, struct sv key, struct sv value, void *ctx, struct err *err)
{
	uint64_t *last = ctx;

	(void)err;
	BUG_ON(r->rev != *last + 1 || key.n == 0 || (key.n != r->key_n) || value.n != r->value_n);
	/* Touch all of it: a sanitizer sees a view that is too long. */
	BUG_ON(crc32c(crc32c(0, key.p, key.n), value.p, value.n) == 1 && r->flags == 12345);
	*last = r->rev;
	return 0;
}

/* Makes the checksums of what looks like records in p[0, n) right. Returns how many. */
static uint32_t seal_records(unsigned char *p, size_t n)
{
	uint32_t count = 0;
	size_t at = 0;

	while (n - at >= sizeof(struct wal_record)) {
		struct wal_record r;
		size_t data;

		memcpy(&r, p + at, sizeof(r));
		data = (size_t)r.key_n + r.value_n;
		if (data > n - at - sizeof(r))
			break;
		wal_record_seal(&r, crc32c(0, p + at + sizeof(r), data));
		memcpy(p + at, &r, sizeof(r));
		count++;
		at = MIN(n, at + ((sizeof(r) + data + 7) & ~(size_t)7));
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wal_head h = { .magic = WAL_HEAD_MAGIC, .seq = 1, .salt = 2, .version = WAL_VERSION };
	struct wal_group g = { .magic = WAL_GROUP_MAGIC, .seq = 1, .salt = 2, .number = 1, .first_rev = 2 };
	size_t n = WAL_BLOCK + WAL_BLOCK_UP(sizeof(g) + size), end;
	unsigned char *image;
	struct wal_image img = { .name = "fuzz", .p = data, .n = size };
	struct wal_record r;
	struct sv key, value;
	uint64_t rev = 1, last = 1;
	struct wal_head got;
	struct err err = ERR_INIT;

	if (size > 1 << 20)
		return 0;
	/* As it is. */
	if (wal_record_parse(data, size, &r, &key, &value) >= 0)
		BUG_ON(key.n == 0);
	if (wal_head_parse(&img, &got))
		(void)wal_scan(&img, &got, 0, &rev, seen, &last, &end, &err);
	err_release(&err);

	/* As the payload of a sound group. */
	image = xcalloc(1, n);
	h.crc = crc32c(0, &h, sizeof(h));
	memcpy(image, &h, sizeof(h));
	if (size)
		memcpy(image + WAL_BLOCK + sizeof(g), data, size);
	g.count = seal_records(image + WAL_BLOCK + sizeof(g), size);
	g.bytes = (uint32_t)size;
	g.crc = crc32c(wal_group_head_crc(&g, wal_salt_crc(g.salt)), image + WAL_BLOCK + sizeof(g), size);
	memcpy(image + WAL_BLOCK, &g, sizeof(g));
	img = (struct wal_image){ .name = "fuzz", .p = image, .n = n };
	rev = last = 1;
	BUG_ON(!wal_head_parse(&img, &got));
	(void)wal_scan(&img, &got, 0, &rev, seen, &last, &end, &err);
	BUG_ON(rev != last && err.reason == ERR_NONE);
	err_release(&err);
	free(image);
	return 0;
}
