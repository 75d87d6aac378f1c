/* Writes that are one, and a process that ends in the middle of writing them: all are there, or none. */
#include "dir_kit.h"

#include "store/disk/table.h"

#define ALSO 12
#define STEP 128 /* of bytes of the log between two cuts */

static struct store *open_disk(const char *dir)
{
	struct err err = ERR_INIT;
	struct store *s = store_disk_open(&thread_env, dir, (size_t)1 << 30, &err);

	if (!s)
		fail_msg("%s", err_msg(&err));
	return s;
}

static int count_one(const struct store_kv *kv, void *ctx)
{
	(void)kv;
	++*(int *)ctx;
	return 0;
}

static int count(struct store *s, const char *from, const char *to)
{
	int n = 0;

	assert_int_equal(store_range(s, sv_from(from), sv_from(to), 0, 0, count_one, &n, NULL, NULL), 0);
	return n;
}

static void claim(struct store *s)
{
	struct store_write also[ALSO], own = { .key = SV("own"), .value = SV("1") };
	char keys[ALSO][16], value[600];

	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i < ALSO; i++) {
		snprintf(keys[i], sizeof(keys[i]), "claim%02zu", i);
		also[i] = (struct store_write){ .key = sv_from(keys[i]), .value = sv_make(value, sizeof(value)) };
	}
	own.also = also;
	own.n_also = ALSO;
	assert_int_equal(store_commit_wait(s, &own, NULL, NULL), 1);
}

/* The log is written up to somewhere, and no further: what was on the disk before follows. */
static void test_cut(void **state)
{
	char dir[64], to[64], path[96];
	struct buf before = BUF_INIT, after = BUF_INIT, cut = BUF_INIT;
	dir_files files = VEC_INIT;
	struct store *s;
	size_t from = 0, end, tried = 0, whole = 0;

	(void)state;
	kit_mkdir(dir);
	s = open_disk(dir);
	assert_int_equal(put(s, "base", "1", 0), 2);
	snprintf(path, sizeof(path), "%s/wal.0", dir);
	file_load(path, &before);
	claim(s);
	file_load(path, &after);
	dir_load(dir, &files); /* as a kill would leave it */
	store_close(s);
	kit_rmdir(dir);

	buf_reserve(&before, after.n - before.n + 1);
	memset(before.p + before.n, 0, after.n - before.n);
	while (from < after.n && before.p[from] == after.p[from])
		from++;
	for (end = after.n; end > from && before.p[end - 1] == after.p[end - 1];)
		end--;
	assert_true(end - from > ALSO * (size_t)600);
	for (size_t at = from; at < end + STEP; at += STEP, tried++) {
		int claims, owns;

		cut.n = 0;
		buf_add(&cut, after.p, MIN(at, end));
		buf_add(&cut, before.p + MIN(at, end), after.n - MIN(at, end));
		kit_mkdir(to);
		dir_store(to, &files);
		snprintf(path, sizeof(path), "%s/wal.0", to);
		file_store(path, cut.p, cut.n);
		s = open_disk(to);
		claims = count(s, "claim", "claim~");
		owns = count(s, "own", "own~");
		assert_int_equal(count(s, "base", "base~"), 1);
		assert_int_equal(claims, owns * ALSO);
		assert_int_equal(now_rev(s), owns ? 2 + ALSO + 1 : 2);
		whole += owns == 1;
		if (!owns)
			claim(s); /* all of it is free */
		store_close(s);
		kit_rmdir(to);
	}
	assert_true(tried > 50);
	assert_true(whole >= 1 && whole < 10);
	dir_release(&files);
	buf_release(&before);
	buf_release(&after);
	buf_release(&cut);
}

/* --- guards cost a look each --- */

#define GUARDED 100

static atomic_int reads; /* of tables */
static atomic_int answers;

static ssize_t counted_pread(int fd, void *p, size_t n, off_t off)
{
	atomic_fetch_add(&reads, 1);
	return pread(fd, p, n, off);
}

static void guarded_done(const struct store_result *r, void *ctx)
{
	(void)ctx;
	assert_int_equal(r->outcome, STORE_OK);
	atomic_fetch_add(&answers, 1);
}

/* What writes go by lies in tables since long. Each look for it reads a block; neither is one read for each write of a
 * group, nor to tell nobody what a guard found. */
static void test_guards_read_once(void **state)
{
	struct store_write guards[2] = { { .key = SV("namespace"), .guard = true },
					 { .key = SV("type"), .guard = true } };
	char dir[64], key[GUARDED][16], value[40000];
	struct store *s;

	(void)state;
	kit_mkdir(dir);
	s = open_disk(dir);
	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i < ARRAY_LEN(guards); i++) /* of a block each */
		guards[i].expect_rev = put_n(s, guards[i].key, sv_make(value, sizeof(value)), 0);
	store_close(s);
	s = open_disk(dir);
	assert_int_equal(dir_tables(dir), 1);
	table_io.pread = counted_pread;
	store_gather(s, true);
	for (size_t i = 0; i < GUARDED; i++) {
		struct store_write w = { .value = SV("1"), .also = guards, .n_also = ARRAY_LEN(guards) };

		snprintf(key[i], sizeof(key[i]), "own%02zu", i);
		w.key = sv_from(key[i]);
		store_commit(s, &w, guarded_done, NULL);
	}
	store_gather(s, false);
	while (atomic_load(&answers) < GUARDED)
		nap();
	/* A group reads each once; they may be made in a few groups. */
	assert_in_range(atomic_load(&reads), 2, 8);
	store_close(s);
	table_io.pread = pread;
	kit_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_guards_read_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
