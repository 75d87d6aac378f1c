/* store-internal.h - rules that every backend applies alike. Only for files under src/store/. */
#pragma once

#include "store/store.h"

#define STORE_FIRST_REV INT64_C(1) /* of a store without any write */

/* Half-open [from, to); an empty `to` means the single key `from`. */
static inline bool store_in_range(struct sv key, struct sv from, struct sv to)
{
	if (to.n == 0)
		return sv_eq(key, from);
	return sv_cmp(key, from) >= 0 && sv_cmp(key, to) < 0;
}

/* May a write be queued at all, but for those beside it? */
static inline int store_write_check_one(const struct store_write *w, struct err *err)
{
	if (w->key.n == 0 || w->key.n > STORE_KEY_MAX)
		return err_set(err, ERR_BAD_REQUEST, "a key has 1 to %zu bytes, this one has %zu", STORE_KEY_MAX,
			       w->key.n);
	if (!w->tombstone && w->value.n > STORE_VALUE_MAX)
		return err_set(err, ERR_TOO_LARGE, "a value has at most %zu bytes, that of '%.*s' has %zu",
			       STORE_VALUE_MAX, SV_ARG(w->key), w->value.n);
	if (w->lease)
		return err_set(err, ERR_BAD_REQUEST, "this store has no leases, '%.*s' cannot have one",
			       SV_ARG(w->key));
	if (w->ttl_s < 0 || w->ttl_s > STORE_TTL_MAX)
		return err_set(err, ERR_BAD_REQUEST, "'%.*s' cannot stay for %" PRId64 " seconds, at most %" PRId64,
			       SV_ARG(w->key), w->ttl_s, STORE_TTL_MAX);
	if (w->expect_rev < STORE_ANY_REV)
		return err_set(err, ERR_BAD_REQUEST, "revision %" PRId64 " cannot be expected of '%.*s'", w->expect_rev,
			       SV_ARG(w->key));
	return 0;
}

static inline int store_write_check(const struct store_write *w, struct err *err)
{
	size_t bytes = 0;

	if (store_write_check_one(w, err) < 0)
		return -1;
	if (w->guard)
		return err_set(err, ERR_BAD_REQUEST, "a write that writes nothing stands beside another");
	for (size_t i = 0; i < w->n_also && i < STORE_ALSO_MAX; i++) {
		if (w->also[i].n_also)
			return err_set(err, ERR_BAD_REQUEST, "a write beside another has none beside itself");
		if (store_write_check_one(&w->also[i], err) < 0)
			return -1;
		if (w->also[i].ttl_s)
			return err_set(err, ERR_BAD_REQUEST, "'%.*s' is written beside another, it cannot go by itself",
				       SV_ARG(w->also[i].key));
		if (w->also[i].guard && (w->also[i].tombstone || w->also[i].value.n || w->also[i].expect_rev < 0))
			return err_set(err, ERR_BAD_REQUEST, "of '%.*s' a revision is expected, and nothing is written",
				       SV_ARG(w->also[i].key));
		bytes += w->also[i].key.n + (w->also[i].tombstone ? 0 : w->also[i].value.n);
	}
	if (w->n_also > STORE_ALSO_MAX || bytes > STORE_ALSO_BYTES)
		return err_set(err, ERR_TOO_LARGE, "at most %zu writes of %zu bytes go with another", STORE_ALSO_MAX,
			       STORE_ALSO_BYTES);
	return 0;
}

/* A write beside another that has nothing to delete: it is passed over. */
static inline bool store_write_is_void(int64_t expect_rev, bool tombstone, int64_t cur_rev)
{
	return tombstone && expect_rev == STORE_ANY_REV && cur_rev == 0;
}

/* A write beside another for which nothing is to be done: one that has nothing to delete, or a guard that holds. */
static inline bool store_write_is_idle(int64_t expect_rev, bool tombstone, bool guard, int64_t cur_rev)
{
	return guard ? expect_rev == cur_rev : store_write_is_void(expect_rev, tombstone, cur_rev);
}

/* Does the expectation hold when the key is live at cur_rev (0: there is no live version)? */
static inline bool store_write_applies(int64_t expect_rev, bool tombstone, int64_t cur_rev)
{
	if (tombstone && cur_rev == 0)
		return false;
	return expect_rev == STORE_ANY_REV || expect_rev == cur_rev;
}

static inline int store_check_read_rev(int64_t rev, int64_t now, int64_t compact_rev, struct err *err)
{
	if (rev > now || rev < 0)
		return err_set(err, ERR_BAD_REQUEST, "revision %" PRId64 " is not there yet, the store is at %" PRId64,
			       rev, now);
	if (rev < compact_rev)
		return err_set(err, ERR_EXPIRED, "revision %" PRId64 " has been compacted, the oldest is %" PRId64, rev,
			       compact_rev);
	return 0;
}

static inline int store_check_watch_rev(int64_t since, int64_t compact_rev, struct err *err)
{
	if (since < 0)
		return err_set(err, ERR_BAD_REQUEST, "cannot watch from revision %" PRId64, since);
	if (since < compact_rev)
		return err_set(err, ERR_EXPIRED,
			       "changes after revision %" PRId64 " have been compacted, the oldest is %" PRId64, since,
			       compact_rev);
	return 0;
}
