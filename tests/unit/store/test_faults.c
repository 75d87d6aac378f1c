/* The embedded store on a disk that is full or failing. */
#include "unit.h"

#include "dir_kit.h"
#include "store/disk/crc32c.h"
#include "store/disk/table.h"
#include "store/disk/wal.h"

#include <errno.h>
#include <stdatomic.h>

static atomic_int fail_sync, fail_write;
static atomic_bool fail_tables;

static atomic_bool hang_sync, hangs;

static int faulty_fdatasync(int fd)
{
	while (atomic_load(&hang_sync)) {
		atomic_store(&hangs, true);
		nap();
	}
	if (atomic_load(&fail_sync) > 0) {
		atomic_fetch_sub(&fail_sync, 1);
		errno = EIO;
		return -1;
	}
	return fdatasync(fd);
}

/* Writes half of what was asked for, and then nothing more. */
static ssize_t faulty_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	if (atomic_load(&fail_write) == 0)
		return pwritev(fd, iov, n, off);
	if (atomic_fetch_sub(&fail_write, 1) == 2)
		return pwritev(fd, iov, n > 1 ? n / 2 : 1, off);
	errno = ENOSPC;
	return -1;
}

static ssize_t faulty_pwrite(int fd, const void *p, size_t n, off_t off)
{
	if (!atomic_load(&fail_tables))
		return pwrite(fd, p, n, off);
	errno = EIO;
	return -1;
}

static struct store *open_disk(const char *dir, struct err *err)
{
	return store_disk_open(&thread_env, dir, (size_t)256 << 20, err);
}

static const struct backend backend = { "disk", true, open_disk, false, NULL };

static int setup(void **state)
{
	return kit_setup(state, &backend);
}

/* What a crash right now would leave, as "a=… b=…", with the revision. */
static void assert_after_crash(const struct kit *k, int64_t rev, const char *text)
{
	struct kit copy = { .backend = k->backend };

	dir_files files = VEC_INIT;

	kit_mkdir(copy.dir);
	dir_load_alive(k->dir, &files);
	dir_store(copy.dir, &files);
	dir_release(&files);
	copy.s = kit_open(&copy);
	assert_int_equal(now_rev(copy.s), rev);
	assert_list(copy.s, "", "z", 0, 0, text);
	store_close(copy.s);
	kit_rmdir(copy.dir);
}

static void assert_failed(struct store *s, const char *key, const char *why)
{
	struct store_write w = { .key = sv_from(key), .value = SV("lost"), .expect_rev = STORE_ANY_REV };
	struct err err = ERR_INIT;

	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	assert_non_null(strstr(err_msg(&err), why));
	err_release(&err);
}

static void test_sync_fails(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct seen n;

	for (int first = 0; first < 2; first++) {
		/* In the first group of a segment, and in a later one. */
		if (first) {
			kit_reopen(k);
		} else {
			assert_int_equal(put(k->s, "a", "1", 0), 2);
		}
		seen_watch(&n, k->s, "", "z", now_rev(k->s));
		atomic_store(&fail_sync, 1);
		assert_failed(k->s, "b", "Input/output error");
		assert_false(store_healthy(k->s, &err));
		assert_int_equal(err.reason, ERR_UNAVAILABLE);
		assert_int_not_equal(err.errnum, ENOSPC);
		err_release(&err);
		if (!first) {
			assert_list(k->s, "", "z", 0, 0, "a=1@2/2 "); /* reads go on */
			assert_after_crash(k, 2, "a=1@2/2 ");
			assert_int_equal(put(k->s, "c", "1", 0), 3);
			assert_after_crash(k, 3, "a=1@2/2 c=1@3/3 ");
		} else {
			assert_after_crash(k, 3, "a=1@2/2 c=1@3/3 ");
			assert_int_equal(put(k->s, "d", "1", 0), 4);
			assert_after_crash(k, 4, "a=1@2/2 c=1@3/3 d=1@4/4 ");
		}
		assert_true(store_healthy(k->s, &err));
		seen_wait_progress(&n, now_rev(k->s));
		assert_int_equal(n.revs.n, 1); /* nobody heard of the lost one */
		seen_stop(&n, k->s);
	}
	kit_reopen(k);
	assert_list(k->s, "", "z", 0, 0, "a=1@2/2 c=1@3/3 d=1@4/4 ");
}

/* --- a disk that hangs --- */

static atomic_llong ahead_ns;
static struct env_ops ahead_ops;
static struct env ahead_env;

static int64_t ahead_mono(struct env *e)
{
	return thread_env_ops.mono_ns(e) + atomic_load(&ahead_ns);
}

static struct store *open_ahead(const char *dir, struct err *err)
{
	ahead_ops = thread_env_ops;
	ahead_ops.mono_ns = ahead_mono;
	ahead_env = (struct env){ .ops = &ahead_ops };
	return store_disk_open(&ahead_env, dir, (size_t)256 << 20, err);
}

static const struct backend ahead = { "disk", true, open_ahead, false, NULL };

static int setup_ahead(void **state)
{
	return kit_setup(state, &ahead);
}

static void test_sync_hangs(void **state)
{
	struct kit *k = *state;
	struct flight f = FLIGHT_INIT;
	struct err err = ERR_INIT;

	assert_int_equal(put(k->s, "a", "1", 0), 2);
	atomic_store(&hang_sync, true);
	flight_commit(&f, k->s, &(struct store_write){ .key = SV("b"), .value = SV("1") });
	while (!atomic_load(&hangs))
		nap();
	atomic_fetch_add(&ahead_ns, 1000 * NS_PER_SEC);
	assert_false(store_healthy(k->s, &err));
	assert_int_equal(err.errnum, ETIMEDOUT);
	assert_non_null(strstr(err_msg(&err), "the disk has not answered a write for 100"));
	err_release(&err);
	assert_list(k->s, "", "z", 0, 0, "a=1@2/2 ");
	atomic_store(&hang_sync, false);
	flight_wait(&f, 0);
	assert_int_equal(f.ok, 1);
	atomic_fetch_add(&ahead_ns, 1000 * NS_PER_SEC); /* with nothing to write it may rest for long */
	assert_int_equal(put(k->s, "a", "2", 2), 4);
	while (!store_healthy(k->s, NULL)) /* the round ends behind its answers */
		nap();
}

static void test_write_fails(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;

	assert_int_equal(put(k->s, "a", "1", 0), 2);
	for (int i = 0; i < 12; i++) { /* more often than there are segments */
		atomic_store(&fail_write, 2);
		assert_failed(k->s, "b", "o space left on device");
		atomic_store(&fail_write, 0);
		/* Asking is what makes it try again, without any write. */
		while (!store_healthy(k->s, &err)) {
			err_release(&err);
			nap();
		}
		if (i % 4 == 0)
			assert_int_equal(put(k->s, "a", "1", STORE_ANY_REV), 3 + i / 4);
	}
	assert_after_crash(k, 5, "a=1@2/5 ");
	kit_reopen(k);
	assert_list(k->s, "", "z", 0, 0, "a=1@2/5 ");
}

static void test_tables_fail(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	char *value = xcalloc(1, 100000), key[16];
	int written = 0;

	atomic_store(&fail_tables, true); /* the log can be written, the database cannot */
	for (;; written++) {
		struct store_write w = { .key = sv_make(key, (size_t)snprintf(key, sizeof(key), "k%04d", written)),
					 .value = sv_make(value, 100000) };

		assert_true(written < 1000);
		if (store_commit_wait(k->s, &w, NULL, &err) < 0)
			break;
	}
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	err_release(&err);
	assert_true(written > 50);
	assert_false(store_healthy(k->s, &err));
	err_release(&err);
	assert_failed(k->s, "more", "");
	assert_int_equal(now_rev(k->s), 1 + written);
	assert_list(k->s, "more", "", 0, 0, "");
	free(list_n(k->s, SV("k"), SV("l"), 0, 0)); /* reads go on */
	atomic_store(&fail_tables, false);
	while (!store_healthy(k->s, &err)) {
		err_release(&err);
		nap();
	}
	assert_int_equal(put(k->s, "more", "x", 0), 2 + written);
	kit_reopen(k);
	assert_int_equal(now_rev(k->s), 2 + written);
	for (int i = 0; i < written; i++) {
		char *list;

		snprintf(key, sizeof(key), "k%04d", i);
		list = list_n(k->s, sv_from(key), SV(""), 0, 0);
		assert_int_equal(list[6 + 100000], '@');
		free(list);
	}
	free(value);
}

static void test_map_full(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	char *value = xcalloc(1, 100000), key[16];
	int written = 0;

	store_close(k->s);
	k->s = store_disk_open(&thread_env, k->dir, (size_t)2 << 20, &err);
	assert_non_null(k->s);
	for (;; written++) {
		struct store_write w = { .key = sv_make(key, (size_t)snprintf(key, sizeof(key), "k%04d", written)),
					 .value = sv_make(value, 100000) };

		assert_true(written < 1000);
		if (store_commit_wait(k->s, &w, NULL, &err) < 0)
			break;
	}
	assert_non_null(strstr(err_msg(&err), "has reached its size limit"));
	err_release(&err);
	assert_false(store_healthy(k->s, &err));
	err_release(&err);
	assert_int_equal(store_compact(k->s, now_rev(k->s), &err), -1); /* nor does this wait for ever */
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	err_release(&err);
	kit_reopen(k); /* with a larger one */
	assert_int_equal(now_rev(k->s), 1 + written);
	assert_int_equal(put(k->s, "more", "x", 0), 2 + written);
	assert_true(store_healthy(k->s, &err));
	free(value);
}

/* What memory has garbled does not become a table: nobody would notice any more. */
static void test_garbled_in_memory(void **state)
{
	struct kit *k = *state;
	struct table_head h = { .store_id = 1, .number = 900, .first_rev = 1, .last_rev = 5 };
	char raw[sizeof(struct wal_record) + 2] = { 0 };
	struct wal_record r = { .rev = 5, .create_rev = 5, .key_n = 1, .value_n = 1 };
	struct err err = ERR_INIT;
	struct table_out o;

	assert_int_equal(table_out_begin(&o, k->dir, &h, NULL), 0);
	memcpy(raw + sizeof(r), "kv", 2);
	wal_record_seal(&r, crc32c(0, "kv", 2));
	memcpy(raw, &r, sizeof(r));
	assert_int_equal(table_out_add(&o, raw, sizeof(raw), NULL), 0);
	raw[sizeof(raw) - 1] ^= 1;
	assert_int_equal(table_out_add(&o, raw, sizeof(raw), &err), -1);
	assert_non_null(strstr(err_msg(&err), "check the machine's memory"));
	err_release(&err);
	table_out_abort(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sync_fails, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_sync_hangs, setup_ahead, kit_teardown),
		cmocka_unit_test_setup_teardown(test_write_fails, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_tables_fail, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_map_full, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_garbled_in_memory, setup, kit_teardown),
	};

	wal_io.fdatasync = faulty_fdatasync;
	wal_io.pwritev = faulty_pwritev;
	table_io.pwrite = faulty_pwrite;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
