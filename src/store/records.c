#include "store/records.h"

#include <endian.h>

struct record_head {
	uint32_t key_n, value_n;
	uint64_t create_rev, mod_rev;
};
_Static_assert(sizeof(struct record_head) == STORE_RECORD_HEAD, "no holes in a file");

int store_record_add(struct buf *b, const struct store_kv *kv, struct err *err)
{
	struct record_head h = { .key_n = htole32((uint32_t)kv->key.n),
				 .value_n = htole32((uint32_t)kv->value.n),
				 .create_rev = htole64((uint64_t)kv->create_rev),
				 .mod_rev = htole64((uint64_t)kv->mod_rev) };

	if (kv->why)
		return err_set(err, ERR_STORE_READ, "the value of '%.*s' cannot be read: %s", SV_ARG(kv->key),
			       err_msg(kv->why));
	if (!kv->key.n || kv->key.n > STORE_KEY_MAX || kv->value.n > STORE_VALUE_MAX)
		return err_set(err, ERR_TOO_LARGE, "'%.*s' is larger than a store takes: %zu bytes", SV_ARG(kv->key),
			       kv->value.n);
	buf_add(b, &h, sizeof(h));
	buf_addsv(b, kv->key);
	buf_addsv(b, kv->value);
	return 0;
}

ssize_t store_record_parse(const void *p, size_t n, struct store_kv *ret)
{
	const char *at = p;
	struct record_head h;
	size_t key_n, value_n;
	uint64_t create_rev, mod_rev;

	if (n < sizeof(h))
		return 0;
	memcpy(&h, p, sizeof(h));
	key_n = le32toh(h.key_n);
	value_n = le32toh(h.value_n);
	create_rev = le64toh(h.create_rev);
	mod_rev = le64toh(h.mod_rev);
	if (!key_n || key_n > STORE_KEY_MAX || value_n > STORE_VALUE_MAX || !create_rev || create_rev > mod_rev ||
	    mod_rev > (uint64_t)INT64_MAX / 2)
		return -1;
	if (n - sizeof(h) < key_n + value_n)
		return 0;
	*ret = (struct store_kv){ .key = sv_make(at + sizeof(h), key_n),
				  .value = sv_make(at + sizeof(h) + key_n, value_n),
				  .create_rev = (int64_t)create_rev,
				  .mod_rev = (int64_t)mod_rev };
	return (ssize_t)(sizeof(h) + key_n + value_n);
}
