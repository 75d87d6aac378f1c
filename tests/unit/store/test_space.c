/* Room: what is deleted comes back, merges may be left at any step, and a disk that is full takes deletions until there
 * is room for data again. */
#include "dir_kit.h"

#include "store/disk/db.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#define VALUE 4000

static struct store *open_disk(const char *dir, struct err *err)
{
	return store_disk_open(&thread_env, dir, (size_t)1 << 30, err);
}

static const struct backend backend = { "disk", true, open_disk, false, NULL };
static atomic_int writes_left = -1; /* to tables; then none succeeds. -1: no limit */

static ssize_t counted_pwrite(int fd, const void *p, size_t n, off_t off)
{
	int left = atomic_load(&writes_left);

	if (left == 0) {
		errno = EIO;
		return -1;
	}
	if (left > 0)
		atomic_fetch_sub(&writes_left, 1);
	return pwrite(fd, p, n, off);
}

static atomic_int reads; /* of tables */

static ssize_t counted_pread(int fd, void *p, size_t n, off_t off)
{
	atomic_fetch_add(&reads, 1);
	return pread(fd, p, n, off);
}

static int setup(void **state)
{
	return kit_setup(state, &backend);
}

/* Writes keys [from, to) and waits for the last. Returns how many were taken. */
static size_t fill(struct store *s, int from, int to, bool tombstone)
{
	struct flight f = FLIGHT_INIT;
	char key[32], value[VALUE];

	for (int i = from; i < to; i++) {
		struct store_write w = { .expect_rev = STORE_ANY_REV, .tombstone = tombstone };

		w.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "/r/%06d", i));
		memset(value, 'a' + i % 26, sizeof(value));
		w.value = sv_make(value, sizeof(value));
		flight_commit(&f, s, &w);
	}
	flight_wait(&f, 0);
	return f.ok;
}

static int count_one(_unused_ const struct store_kv *kv, void *ctx)
{
	assert_int_equal(kv->value.n, VALUE);
	assert_int_equal(kv->value.p[VALUE - 1], 'a' + key_number(kv->key) % 26);
	(*(int *)ctx)++;
	return 0;
}

static int count(struct store *s)
{
	int n = 0;

	assert_int_equal(store_range(s, SV("/r/"), SV("/r0"), 0, 0, count_one, &n, NULL, NULL), 0);
	return n;
}

static uint64_t bytes(struct store *s)
{
	struct store_stats st;

	store_stats(s, &st);
	return st.bytes;
}

static void test_room_comes_back(void **state)
{
	struct kit *k = *state;
	uint64_t full;

	assert_int_equal(fill(k->s, 0, 20000, false), 20000);
	full = bytes(k->s);
	assert_true(full > (uint64_t)20000 * VALUE);
	assert_int_equal(fill(k->s, 100, 20000, true), 19900);
	assert_int_equal(store_compact(k->s, now_rev(k->s), NULL), 0);
	/* What is left is the log, the reserve and little more. */
	while (bytes(k->s) > (uint64_t)36 << 20)
		nap();
	assert_int_equal(count(k->s), 100);
	kit_reopen(k);
	assert_int_equal(count(k->s), 100);
	assert_int_equal(now_rev(k->s), 1 + 20000 + 19900);
}

/* Many small generations do not become many tables. */
static void test_few_tables(void **state)
{
	struct kit *k = *state;

	for (int i = 0; i < 40; i++) {
		assert_int_equal(fill(k->s, i, i + 1, false), 1);
		kit_reopen(k);
	}
	while (dir_tables(k->dir) > 8)
		nap();
	assert_int_equal(count(k->s), 40);
}

static int first_of_all(_unused_ const struct db_meta *meta, _unused_ void *ctx, _unused_ struct err *err)
{
	return 0;
}

/* Another table, of one key. */
static void late_apply(struct db *d, struct db_meta *meta)
{
	struct gen *g = gen_new(0, meta->wal_seq + 1, (int64_t)meta->rev, meta->live + 1, 0);
	struct rec *r = rec_new(SV("/r/a"), SV("value"), false);
	struct db_set *set = NULL, *old;

	r->head.rev = r->head.create_rev = meta->rev + 1;
	wal_record_seal(&r->head, r->data_crc);
	gen_add(g, r);
	meta->rev = (uint64_t)gen_last_rev(g);
	meta->wal_seq = g->seq;
	meta->live = g->live;
	assert_int_equal(db_apply(d, g, meta, &set, NULL), 0);
	db_set_swap(d, set, &old);
	db_set_unref(old);
	gen_free(g);
}

/* While writes press, more tables stand side by side before they are merged; but not any number. */
static void test_merge_late(_unused_ void **state)
{
	struct db_meta meta;
	struct db_set *set, *old;
	char dir[64];
	struct db d;
	size_t most = 0;

	kit_mkdir(dir);
	assert_int_equal(db_open(&d, &thread_env, dir, 1 << 30, first_of_all, NULL, &meta, NULL), 0);
	for (int i = 0; i < 7; i++)
		late_apply(&d, &meta);
	assert_false(db_wants_merge(&d, &meta, DB_MERGE));
	late_apply(&d, &meta);
	assert_true(db_wants_merge(&d, &meta, DB_MERGE));
	assert_int_equal(db_merge_step(&d, &meta, DB_MERGE, &set, NULL), 1);
	db_set_swap(&d, set, &old);
	db_set_unref(old);
	for (int i = 0; i < 100; i++) {
		late_apply(&d, &meta);
		most = MAX(most, d.set->n);
		while (db_wants_merge(&d, &meta, DB_MERGE_LATE)) {
			int r = db_merge_step(&d, &meta, DB_MERGE_LATE, &set, NULL);

			assert_true(r >= 0);
			if (!r)
				continue;
			db_set_swap(&d, set, &old);
			db_set_unref(old);
		}
	}
	assert_in_range(most, 17, 40);
	db_close(&d);
	kit_rmdir(dir);
}

/* A burst of writes leaves few tables as well, though nothing else happens after it. */
static void test_few_after_burst(void **state)
{
	struct kit *k = *state;

	assert_int_equal(fill(k->s, 0, 12000, false), 12000);
	while (dir_tables(k->dir) > 8)
		nap();
	assert_int_equal(count(k->s), 12000);
}

/* Each old version of one key is found by itself, not behind all that are newer. */
static void test_old_versions(void **state)
{
	enum { VERSIONS = 1000 };
	struct kit *k = *state;
	struct seen n;

	for (int i = 0; i < VERSIONS; i++)
		assert_int_equal(fill(k->s, 7, 8, false), 1);
	kit_reopen(k);
	while (dir_tables(k->dir) == 0)
		nap();
	kit_reopen(k); /* now it is read from there */
	atomic_store(&reads, 0);
	seen_watch(&n, k->s, "/r/", "/r0", 1);
	seen_wait_progress(&n, VERSIONS + 1);
	assert_int_equal(n.revs.n, VERSIONS);
	assert_in_range(atomic_load(&reads), VERSIONS / 100, VERSIONS * 8);
	seen_stop(&n, k->s);
}

/* A merge that stops after any number of writes leaves a database that is whole, also after a crash there. */
static void test_merge_left(void **state)
{
	struct kit *k = *state;

	assert_int_equal(fill(k->s, 0, 3000, false), 3000);
	assert_int_equal(fill(k->s, 0, 2500, true), 2500);
	kit_reopen(k);
	for (int n = 0; n < 12; n++) {
		struct kit copy = { .backend = k->backend };
		dir_files files = VEC_INIT;

		atomic_store(&writes_left, n);
		(void)store_compact(k->s, now_rev(k->s) - 12 + n, NULL);
		for (int i = 0; i < 50 * n && atomic_load(&writes_left) > 0; i++)
			nap();
		k->s = store_close(k->s);
		dir_load(k->dir, &files);
		atomic_store(&writes_left, -1);
		kit_mkdir(copy.dir);
		dir_store(copy.dir, &files);
		dir_release(&files);
		copy.s = kit_open(&copy);
		assert_int_equal(count(copy.s), 500);
		assert_int_equal(now_rev(copy.s), 5501);
		store_close(copy.s);
		kit_rmdir(copy.dir);
		k->s = kit_open(k);
		assert_int_equal(count(k->s), 500);
	}
}

/* A file system of its own, of that size; false: not allowed here. */
static bool small_disk(const char *dir, const char *size)
{
	_cleanup_free_ char *opts = xasprintf("size=%s", size);

	return mount("store-test", dir, "tmpfs", 0, opts) == 0;
}

/* Takes all the room there is. */
static void hog(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/hog", dir);
	FILE *f = fopen(path, "w");
	static const char block[4096];

	assert_non_null(f);
	setvbuf(f, NULL, _IONBF, 0);
	while (fwrite(block, 1, sizeof(block), f) == sizeof(block))
		;
	fclose(f);
}

static void unhog(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/hog", dir);

	assert_int_equal(unlink(path), 0);
}

static void assert_no_room(struct store *s, const char *key)
{
	struct store_write w = { .key = sv_from(key), .value = SV("x"), .expect_rev = STORE_ANY_REV };
	struct err err = ERR_INIT;

	assert_int_equal(store_commit_wait(s, &w, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	assert_true(err.retry_after_s > 0);
	assert_non_null(strstr(err_msg(&err), "o space left on device"));
	err_release(&err);
}

/* An update of key that is a step towards its deletion: what came of it. */
static int step(struct store *s, const char *key, size_t bytes)
{
	_cleanup_free_ char *value = xcalloc(1, bytes);
	struct store_write w = {
		.key = sv_from(key), .value = sv_make(value, bytes), .expect_rev = STORE_ANY_REV, .for_deletion = true
	};
	struct err err = ERR_INIT;
	int r = store_commit_wait(s, &w, NULL, &err);

	assert_true(r >= 0 || err.reason == ERR_UNAVAILABLE);
	err_release(&err);
	return r;
}

static void wait_healthy(struct store *s)
{
	struct err err = ERR_INIT;

	while (!store_healthy(s, &err)) {
		err_release(&err);
		nap();
	}
}

static void test_full_disk(void **state)
{
	struct kit k = { .backend = &backend };
	struct err err = ERR_INIT;
	size_t taken = 0, got;
	int at = 0, grown;

	(void)state;
	kit_mkdir(k.dir);
	if (!small_disk(k.dir, "64m")) {
		kit_rmdir(k.dir);
		print_message("# skip: a small file system needs the right to mount\n");
		skip();
	}
	/* Somebody else's files. */
	k.s = kit_open(&k);
	assert_int_equal(fill(k.s, 0, 1000, false), 1000);
	hog(k.dir);
	do {
		got = fill(k.s, 1000 + at, 1000 + at + 100, false);
		taken += got;
		at += 100;
	} while (got == 100);
	assert_no_room(k.s, "/x");
	assert_false(store_healthy(k.s, &err));
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	assert_int_equal(err.errnum, ENOSPC);
	err_release(&err);
	assert_int_equal(count(k.s), 1000 + (int)taken); /* reads go on */
	/* Deletions, too, and what they need first: but no new keys, and nothing much larger. */
	assert_int_equal(step(k.s, "/r/000000", VALUE + 1000), 1);
	assert_int_equal(step(k.s, "/r/000000", VALUE), 1);
	assert_int_equal(step(k.s, "/r/000001", 100000), -1);
	assert_int_equal(step(k.s, "/x", 1), -1);
	/* Nor do many that grow a little take what is left for deletions. */
	for (grown = 0; grown < 299; grown++) {
		char key[32];

		snprintf(key, sizeof(key), "/r/%06d", grown + 1);
		if (step(k.s, key, VALUE + 15000) < 0)
			break;
		assert_int_equal(step(k.s, key, VALUE + 15000), 1);
	}
	assert_in_range(grown, 100, 250);
	assert_no_room(k.s, "/r/000001");
	for (at = 0; at < 300; at++)
		assert_int_equal(fill(k.s, at, at + 1, true), 1);
	assert_int_equal(count(k.s), 700 + (int)taken);
	/* A start on a full disk serves what there is. */
	kit_reopen(&k);
	assert_int_equal(count(k.s), 700 + (int)taken);
	unhog(k.dir);
	wait_healthy(k.s);
	assert_true(put(k.s, "/x", "x", STORE_ANY_REV) > 0);
	kit_reopen(&k);
	assert_int_equal(count(k.s), 700 + (int)taken);
	store_close(k.s);
	assert_int_equal(umount(k.dir), 0);
	kit_rmdir(k.dir);
}

/* --- a disk that the store's own data fills --- */

struct own {
	size_t value; /* of each key */
	int keys;     /* taken */
	int gone;     /* the first of them, deleted again */
};

/* Writes or deletes keys [from, to); returns how many were taken. */
static int own_write(struct store *s, const struct own *o, int from, int to, bool tombstone)
{
	struct flight f = FLIGHT_INIT;
	char key[32], *value = xmalloc(o->value);

	for (int i = from; i < to; i++) {
		struct store_write w = { .expect_rev = STORE_ANY_REV, .tombstone = tombstone };

		w.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "/r/%08d", i));
		memset(value, 'a' + i % 26, o->value);
		w.value = sv_make(value, o->value);
		flight_commit(&f, s, &w);
	}
	flight_wait(&f, 0);
	free(value);
	assert_true(!tombstone || f.failed == 0); /* a deletion is answered, the first as well */
	return (int)f.ok;
}

/* Until something is refused. Room may come back within one flight, and then its later writes are taken: all of it is
 * taken back. */
static void own_fill(struct store *s, struct own *o)
{
	int step = (int)(200000 / o->value) + 1, got;

	do {
		got = own_write(s, o, o->keys, o->keys + step, false);
		if (got < step)
			(void)own_write(s, o, o->keys, o->keys + step, true);
		else
			o->keys += got;
	} while (got == step);
}

struct own_seen {
	const struct own *o;
	int at;
};

static int own_one(const struct store_kv *kv, void *ctx)
{
	struct own_seen *n = ctx;

	assert_int_equal(key_number(kv->key), n->at);
	assert_int_equal(kv->value.n, n->o->value);
	assert_int_equal(kv->value.p[0], 'a' + n->at % 26);
	assert_int_equal(kv->value.p[kv->value.n - 1], 'a' + n->at % 26);
	n->at++;
	return 0;
}

static void own_verify(struct store *s, const struct own *o)
{
	struct own_seen n = { o, o->gone };

	assert_int_equal(store_range(s, SV("/r/"), SV("/r0"), 0, 0, own_one, &n, NULL, NULL), 0);
	assert_int_equal(n.at, o->keys);
}

/* A reader that stops at its first key until it is let go. */
struct slow_reader {
	struct store *s;
	struct own_seen n;
	pthread_t thread;
	atomic_bool began, go;
};

static int slow_one(const struct store_kv *kv, void *ctx)
{
	struct slow_reader *r = ctx;

	atomic_store(&r->began, true);
	while (!atomic_load(&r->go))
		nap();
	return own_one(kv, &r->n);
}

static void *slow_main(void *ctx)
{
	struct slow_reader *r = ctx;

	assert_int_equal(store_range(r->s, SV("/r/"), SV("/r0"), 0, 0, slow_one, r, NULL, NULL), 0);
	return NULL;
}

static void slow_begin(struct slow_reader *r, struct store *s, const struct own *o)
{
	*r = (struct slow_reader){ .s = s, .n = { o, o->gone } };
	assert_int_equal(pthread_create(&r->thread, NULL, slow_main, r), 0);
	while (!atomic_load(&r->began))
		nap();
}

static void slow_end(struct slow_reader *r)
{
	atomic_store(&r->go, true);
	pthread_join(r->thread, NULL);
	assert_int_equal(r->n.at, r->n.o->keys);
}

/* Full, read, emptied, and full again. How much fits depends on how much the log had taken when a table found no room,
 * and merging makes room by itself: so nothing is said of the moment after the first refusal. */
static void own_data(const char *size, size_t value, bool reader)
{
	struct kit k = { .backend = &backend };
	int fitted = 0;

	kit_mkdir(k.dir);
	if (!small_disk(k.dir, size)) {
		kit_rmdir(k.dir);
		print_message("# skip: a small file system needs the right to mount\n");
		skip();
	}
	k.s = kit_open(&k);
	for (int round = 0; round < 3; round++) {
		struct own o = { .value = value }, then;
		struct slow_reader slow;
		int step = (int)(100000 / value) + 1;

		own_fill(k.s, &o);
		/* What the round before left comes back while it is waited for. */
		while (o.keys < fitted / 3) {
			nap();
			own_fill(k.s, &o);
		}
		fitted = MAX(fitted, o.keys);
		own_verify(k.s, &o);
		if (round == 1) { /* a start on it serves what there is */
			kit_reopen(&k);
			own_verify(k.s, &o);
		}
		then = o;
		if (reader)
			slow_begin(&slow, k.s, &then);
		while (o.gone < o.keys) {
			int n = MIN(step, o.keys - o.gone);

			assert_int_equal(own_write(k.s, &o, o.gone, o.gone + n, true), n);
			o.gone += n;
		}
		own_verify(k.s, &o);
		if (reader)
			slow_end(&slow);
		wait_healthy(k.s);
		assert_true(put(k.s, "/x", "x", STORE_ANY_REV) > 0);
	}
	store_close(k.s);
	assert_int_equal(umount(k.dir), 0);
	kit_rmdir(k.dir);
}

static void test_own_data(_unused_ void **state)
{
	own_data("64m", VALUE, false);
}

static void test_own_data_less(_unused_ void **state)
{
	own_data("40m", VALUE, false);
}

static void test_own_data_small(_unused_ void **state)
{
	own_data("56m", 100, false);
}

static void test_own_data_large(_unused_ void **state)
{
	own_data("64m", 900000, false);
}

static void test_own_data_read(_unused_ void **state)
{
	own_data("64m", VALUE, true);
}

/* Nobody can make a file there any more, though there is room for data. */
static int hog_files(const char *dir)
{
	char path[96];
	int n = 0;

	do
		snprintf(path, sizeof(path), "%s/hog.%d", dir, n++);
	while (mknod(path, S_IFREG | 0600, 0) == 0);
	assert_int_equal(errno, ENOSPC);
	return n - 1;
}

static void unhog_files(const char *dir, int n)
{
	char path[96];

	while (n--) {
		snprintf(path, sizeof(path), "%s/hog.%d", dir, n);
		assert_int_equal(unlink(path), 0);
	}
}

/* First with the file that could not be made, then with what is to be done. */
static void assert_says_no_files(struct store *s)
{
	bool said = false;

	while (!said) {
		struct err err = ERR_INIT;

		assert_false(store_healthy(s, &err));
		said = strstr(err_msg(&err), "no more files (inodes): only deletions are accepted");
		assert_true(said || strstr(err_msg(&err), "No space left on device") ||
			    strstr(err_msg(&err), "the disk is full"));
		err_release(&err);
		nap();
	}
}

/* A disk without room for more files takes all deletions, one by one or many at once, also after a start, and says
 * what it has no room for. */
static void no_files(size_t value, int step)
{
	struct kit k = { .backend = &backend };

	kit_mkdir(k.dir);
	if (!small_disk(k.dir, "160m,nr_inodes=60")) {
		kit_rmdir(k.dir);
		print_message("# skip: a small file system needs the right to mount\n");
		skip();
	}
	k.s = kit_open(&k);
	for (int round = 0; round < 2; round++) {
		struct own o = { .value = value };
		int hogged = hog_files(k.dir), before = 0;

		own_fill(k.s, &o);
		assert_no_room(k.s, "/x");
		assert_says_no_files(k.s);
		own_verify(k.s, &o);
		while (o.gone < o.keys) {
			int n = MIN(step, o.keys - o.gone);

			assert_int_equal(own_write(k.s, &o, o.gone, o.gone + n, true), n);
			o.gone += n;
			if (before < o.keys / 2 && o.gone >= o.keys / 2)
				kit_reopen(&k);
			before = o.gone;
		}
		own_verify(k.s, &o);
		unhog_files(k.dir, hogged);
		wait_healthy(k.s);
		assert_true(put(k.s, "/x", "x", STORE_ANY_REV) > 0);
	}
	store_close(k.s);
	assert_int_equal(umount(k.dir), 0);
	kit_rmdir(k.dir);
}

static void test_no_files(_unused_ void **state)
{
	no_files(VALUE, 1);
}

static void test_no_files_small(_unused_ void **state)
{
	no_files(20, 300);
}

static void test_no_files_large(_unused_ void **state)
{
	no_files(900000, 1);
}

/* A first start without room says so. */
static void test_full_from_the_start(void **state)
{
	struct err err = ERR_INIT;
	struct store *s;
	char dir[64];

	(void)state;
	kit_mkdir(dir);
	if (!small_disk(dir, "64k")) {
		kit_rmdir(dir);
		print_message("# skip: a small file system needs the right to mount\n");
		skip();
	}
	hog(dir);
	s = open_disk(dir, &err);
	assert_null(s);
	assert_non_null(strstr(err_msg(&err), "No space left on device"));
	err_release(&err);
	unhog(dir);
	/* With room for the database, but not for its log. */
	s = open_disk(dir, &err);
	assert_non_null(s);
	assert_no_room(s, "/x");
	assert_false(store_healthy(s, &err));
	err_release(&err);
	store_close(s);
	assert_int_equal(umount(dir), 0);
	kit_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_room_comes_back, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_few_tables, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_old_versions, setup, kit_teardown),
		cmocka_unit_test_setup_teardown(test_merge_left, setup, kit_teardown),
		cmocka_unit_test(test_merge_late),
		cmocka_unit_test_setup_teardown(test_few_after_burst, setup, kit_teardown),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_own_data),
		cmocka_unit_test(test_own_data_less),
		cmocka_unit_test(test_own_data_small),
		cmocka_unit_test(test_own_data_large),
		cmocka_unit_test(test_own_data_read),
		cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_no_files_small),
		cmocka_unit_test(test_no_files_large),
		cmocka_unit_test(test_full_from_the_start),
	};

	table_io.pwrite = counted_pwrite;
	table_io.pread = counted_pread;
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
