/* records.h - versions of keys as bytes: what leaves a store for a file or another machine.
 *
 *	u32 bytes of key, u32 of value, u64 create_rev, u64 mod_rev, key, value		little-endian
 *
 * Pure; any thread. The bytes may come from anybody.
 */
#pragma once

#include "base/buf.h"
#include "store/store.h"

#define STORE_RECORD_HEAD ((size_t)24)
#define STORE_RECORD_MAX (STORE_RECORD_HEAD + STORE_KEY_MAX + STORE_VALUE_MAX)

/* -1: its value cannot be read, or it is larger than what a store takes. */
int store_record_add(struct buf *b, const struct store_kv *kv, struct err *err);
/* Reads the one at p; views into it. The bytes it takes; 0: there are not enough of them; -1: no store has such a
 * version. */
ssize_t store_record_parse(const void *p, size_t n, struct store_kv *ret);
