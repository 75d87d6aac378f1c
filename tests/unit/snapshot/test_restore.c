/* A restore is the old or the new, wherever it is killed; and it refuses before it touches. */
#include "archive_kit.h"
#include "kill_calls.h"

#include "base/file.h"
#include "snapshot/restore.h"
#include "store/disk/dirlock.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OLD_KEYS 3
#define NEW_KEYS 7

static int dir_rm(const char *path, _unused_ const struct stat *st, _unused_ int flag, _unused_ struct FTW *ftw)
{
	return remove(path);
}

static void dir_remove(const char *dir)
{
	nftw(dir, dir_rm, 16, FTW_DEPTH | FTW_PHYS);
}

static void dir_new(char dir[64])
{
	snprintf(dir, 64, "%s/restore-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(dir));
}

static void put_file(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name), *parent = xstrdup(path);

	*strrchr(parent, '/') = '\0';
	assert_int_equal(dir_make(parent, 0700, NULL), 0);
	assert_int_equal(file_write(path, sv_from(text), 0600, NULL), 0);
}

static bool file_is(const char *dir, const char *name, const char *text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv got;

	return file_read(&a, arena_printf(&a, "%s/%s", dir, name), 4096, &got, NULL) == 0 && sv_is(got, text);
}

static bool file_there(const char *dir, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	return access(path, F_OK) == 0;
}

/* A cluster that has lived: three keys, its own CA, and something that the new one does not have. */
static void old_cluster(const char *dir)
{
	_cleanup_free_ char *db = xasprintf("%s/db", dir);
	struct store *s = store_disk_open(&thread_env, db, (size_t)1 << 30, NULL);

	assert_non_null(s);
	for (int i = 0; i < OLD_KEYS; i++) {
		char key[32];
		struct store_write w = { .value = SV("old"), .expect_rev = STORE_ANY_REV };

		w.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "/registry/old/%d", i));
		assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	}
	store_close(s);
	put_file(dir, "pki/ca.crt", "old ca");
	put_file(dir, "pki/server.crt", "of this machine");
	put_file(dir, "server/node-token", "old token");
	put_file(dir, "cidrs", "old ranges");
	put_file(dir, "db/cluster", "old ca");
}

static int count(_unused_ const struct store_kv *kv, void *ctx)
{
	++*(size_t *)ctx;
	return 0;
}

static size_t store_keys(const char *dir, int64_t *ret_rev)
{
	_cleanup_free_ char *db = xasprintf("%s/db", dir);
	struct err err = ERR_INIT;
	struct store *s = store_disk_open(&thread_env, db, (size_t)1 << 30, &err);
	size_t n = 0;

	if (!s)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(store_range(s, SV("/"), SV("0"), 0, 0, count, &n, ret_rev, NULL), 0);
	store_close(s);
	return n;
}

/* 0: the old, 1: the new; anything else ends the test. */
static int which(const char *dir)
{
	int64_t rev;
	size_t n = store_keys(dir, &rev);

	if (file_is(dir, "pki/ca.crt", "old ca")) {
		assert_int_equal(n, OLD_KEYS);
		assert_int_equal(rev, OLD_KEYS + 1);
		assert_true(file_is(dir, "server/node-token", "old token"));
		assert_true(file_is(dir, "cidrs", "old ranges"));
		assert_true(file_is(dir, "pki/server.crt", "of this machine"));
		assert_true(file_is(dir, "db/cluster", "old ca"));
		return 0;
	}
	assert_true(file_is(dir, "pki/ca.crt", "certificate"));
	assert_true(file_is(dir, "db/cluster", "certificate"));
	assert_true(file_is(dir, "server/node-token", "t"));
	assert_false(file_there(dir, "cidrs"));
	assert_false(file_there(dir, "pki/server.crt"));
	assert_int_equal(n, NEW_KEYS);
	assert_true(rev >= 1000000 && rev % 1000000 == 0);
	return 1;
}

struct killer {
	int left;
};

static void killer_step(_unused_ const char *what, void *ctx)
{
	struct killer *k = ctx;

	if (k->left-- == 0)
		raise(SIGKILL);
}

static int restore_all(const char *dir, struct sv bytes, struct sv secret, struct err *err)
{
	const struct restore_opts o = { .env = &thread_env, .data_dir = dir };
	struct kit_source s = { bytes, 0 };
	struct restore *r = restore_new(&o, err);
	struct restore_done done;
	int rc = r ? restore_archive(r, kit_get, &s, secret, false, &done, err) : -1;

	restore_free(r);
	return rc;
}

/* The same without an archive, whose key takes its time. */
static int restore_parts(const char *dir, struct killer *k)
{
	static const struct archive_file files[] = { { { "pki/ca.crt", 10 }, { "certificate", 11 } },
						     { { "server/node-token", 17 }, { "t", 1 } } };
	const struct sv gone[] = { SV("/caravel/keys/cluster"), SV("/registry/masterleases/192.0.2.1") };
	const struct restore_opts o = {
		.env = &thread_env, .data_dir = dir, .step = k ? killer_step : NULL, .step_ctx = k
	};
	struct restore *r = restore_new(&o, NULL);
	struct restore_done done;
	int rc = r ? restore_begin(r, 1000, 0, NULL) : -1;

	/* Of servers that are gone. */
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(gone); i++)
		rc = restore_add(
		    r, &(struct store_kv){ .key = gone[i], .value = SV("x"), .create_rev = 2, .mod_rev = 2 }, NULL);
	for (int i = 0; rc == 0 && i < NEW_KEYS; i++) {
		char key[32];
		struct store_kv kv = { .value = SV("new"), .create_rev = i + 2, .mod_rev = i + 2 };

		kv.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "/registry/new/%d", i));
		rc = restore_add(r, &kv, NULL);
	}
	if (rc == 0)
		rc = restore_files(r, files, ARRAY_LEN(files), NULL);
	if (rc == 0)
		rc = restore_commit(r, &done, NULL);
	restore_free(r);
	return rc;
}

/* Killed at its nth step; false: it ended before. */
static bool restore_killed(const char *dir, int n)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct killer k = { n };

		_exit(restore_parts(dir, &k) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return true;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return false;
}

/* At every step: the old before the journal is there, the new behind it, and a second restore works either way. */
static void test_killed(_unused_ void **state)
{
	int was = 0, old = 0, new = 0;
	bool more = true;

	for (int n = 0; more; n++) {
		char dir[64];
		int now;

		dir_new(dir);
		old_cluster(dir);
		more = restore_killed(dir, n);
		/* As a server's start does. */
		assert_true(restore_finish(dir, NULL) >= 0);
		now = which(dir);
		assert_true(now >= was);
		was = now;
		old += !now;
		new += now;
		assert_false(restore_killed(dir, 1000));
		assert_int_equal(which(dir), 1);
		assert_false(file_there(dir, "restore.new"));
		assert_false(file_there(dir, "restore.journal"));
		dir_remove(dir);
	}
	assert_true(old > 10);
	assert_true(new > 5);
}

/* The same at every call that writes, syncs or names anything, those of the new database among them. */
static void test_killed_at_calls(_unused_ void **state)
{
	int was = 0, old = 0, new = 0;
	bool more = true;

	for (int n = 0; more; n++) {
		char dir[64];
		int status, now;
		pid_t pid;

		dir_new(dir);
		old_cluster(dir);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			kill_left = n;
			_exit(restore_parts(dir, NULL) < 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		more = WIFSIGNALED(status);
		assert_true(more || status == 0);
		assert_true(restore_finish(dir, NULL) >= 0);
		now = which(dir);
		assert_true(now >= was);
		was = now;
		old += !now;
		new += now;
		dir_remove(dir);
	}
	assert_true(old > 30);
	assert_true(new > 8);
}

/* Killed again while it is finished, as often as there is something to do. */
static void test_killed_twice(_unused_ void **state)
{
	char dir[64];
	int n = 0;

	dir_new(dir);
	old_cluster(dir);
	/* Up to where the journal is. */
	for (; !file_there(dir, "restore.journal"); n++)
		assert_true(restore_killed(dir, n));
	for (int i = 0; file_there(dir, "restore.journal"); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct killer k = { 1 };
			const struct restore_opts o = {
				.env = &thread_env, .data_dir = dir, .step = killer_step, .step_ctx = &k
			};
			struct restore *r = restore_new(&o, NULL); /* finishes first */

			_exit(!r);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(i < 20);
	}
	assert_int_equal(which(dir), 1);
	dir_remove(dir);
}

static void refused(const char *dir, struct sv bytes, struct sv secret, const char *words)
{
	struct err err = ERR_INIT;

	assert_int_equal(restore_all(dir, bytes, secret, &err), -1);
	if (!strstr(err_msg(&err), words))
		fail_msg("'%s' does not say '%s'", err_msg(&err), words);
	err_release(&err);
	assert_false(file_there(dir, "restore.new"));
	assert_false(file_there(dir, "restore.journal"));
}

static void test_refused(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char dir[64];
	_cleanup_free_ char *db = NULL;
	int lock;

	kit_archive(&b, NEW_KEYS, 100, false);
	dir_new(dir);
	old_cluster(dir);
	refused(dir, buf_sv(&b), SV("abcdef.another"), "another token");
	refused(dir, buf_sv(&b), SV_NULL, "--without-keys");
	refused(dir, sv_make(b.p, b.n - 1), KIT_SECRET, "a part of a snapshot");
	b.p[b.n / 2] ^= 1;
	refused(dir, buf_sv(&b), KIT_SECRET, "damaged");
	b.p[b.n / 2] ^= 1;
	db = xasprintf("%s/db", dir);
	lock = dirlock_take(db, NULL);
	assert_true(lock >= 0);
	refused(dir, buf_sv(&b), KIT_SECRET, "stop the server first");
	close(lock);
	lock = dirlock_server(dir, NULL, NULL); /* one whose objects are elsewhere */
	assert_true(lock >= 0);
	refused(dir, buf_sv(&b), KIT_SECRET, "stop the server first: data directory");
	close(lock);
	assert_int_equal(which(dir), 0);
	{
		_cleanup_(buf_release) struct buf newer = BUF_INIT, unknown = BUF_INIT, open = BUF_INIT;
		static const struct archive_file f = { { "agent/x", 7 }, { "x", 1 } };
		const struct archive_head h = { .version = SV("1"), .kubernetes = SV("v1.37.0"), .rev = 5 };
		struct archive_out *o = archive_out_new(&h, kit_put, &unknown, NULL);
		struct archive_total total;

		/* Cut out of it is what only the token's owner can make. */
		kit_archive(&open, NEW_KEYS, 100, true);
		refused(dir, buf_sv(&open), KIT_SECRET, "nobody changed it on its way: --without-keys");
		refused(dir, buf_sv(&open), SV_NULL, "nobody changed it on its way: --without-keys");
		kit_archive_of(&newer, 1, 1, false, SV("v1.38.2"));
		refused(dir, buf_sv(&newer), KIT_SECRET, "it is of Kubernetes v1.38.2");
		assert_int_equal(archive_out_seal(o, &thread_env, KIT_SECRET, &f, 1, NULL), 0);
		assert_int_equal(archive_out_end(o, &total, NULL), 0);
		archive_out_free(o);
		refused(dir, buf_sv(&unknown), KIT_SECRET, "a file 'agent/x', which this program does not know");
	}
	assert_int_equal(which(dir), 0);
	dir_remove(db);
	refused(dir, buf_sv(&b), KIT_SECRET, "its objects in an etcd");
	dir_remove(dir);
}

/* An earlier restore is behind its moment and cannot be finished: the next one refuses, and leaves it what it needs. */
static void test_refused_behind_the_moment(_unused_ void **state)
{
	static const char *const journals[] = { "caravel restore 1\ntime 1\nreplace pki\n",
						"caravel restore 2\ntime 1\n", "caravel restore 1\nwhat db\n" };
	const char *const words[] = { "cannot rename", "a newer version", "is damaged" };
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	kit_archive(&b, NEW_KEYS, 100, false);
	for (size_t i = 0; i < ARRAY_LEN(journals); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		char dir[64];

		dir_new(dir);
		old_cluster(dir);
		put_file(dir, "restore.new/pki/ca.crt", "certificate");
		put_file(dir, "pki.before-restore-1/full", ""); /* no directory can take its name */
		put_file(dir, "restore.journal", journals[i]);
		assert_int_equal(restore_all(dir, buf_sv(&b), KIT_SECRET, &err), -1);
		if (!strstr(err_msg(&err), words[i]))
			fail_msg("'%s' does not say '%s'", err_msg(&err), words[i]);
		assert_true(file_is(dir, "restore.new/pki/ca.crt", "certificate"));
		assert_true(file_is(dir, "restore.journal", journals[i]));
		assert_int_equal(which(dir), 0);
		dir_remove(dir);
	}
}

/* A fresh directory has nothing to keep; a failure leaves nothing in it that a start would trip over. */
static void test_fresh(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char dir[64];

	kit_archive(&b, NEW_KEYS, 100, false);
	dir_new(dir);
	refused(dir, sv_make(b.p, b.n - 1), KIT_SECRET, "a part of a snapshot");
	assert_false(file_there(dir, "db"));
	assert_int_equal(restore_all(dir, buf_sv(&b), KIT_SECRET, NULL), 0);
	assert_int_equal(which(dir), 1);
	dir_remove(dir);
}

static void test_rev(_unused_ void **state)
{
	const int64_t s = NS_PER_SEC;

	assert_int_equal(restore_rev(1, 0, 100 * s, 100 * s), 2000000);
	assert_int_equal(restore_rev(1000000, 0, 0, 100 * s), 2000000);
	assert_int_equal(restore_rev(1, 5000000, 100 * s, 100 * s), 6000000);
	/* An hour later a cluster may have gone on by 360,000, a month later by 259,200,000; clients of an older
	 * time are hardly left. */
	assert_int_equal(restore_rev(1, 0, 100 * s, 3700 * s), 2000000);
	assert_int_equal(restore_rev(900000, 0, 100 * s, 3700 * s), 3000000);
	assert_int_equal(restore_rev(1, 0, 100 * s, 86500 * s), 10000000);
	assert_int_equal(restore_rev(1, 0, 100 * s, (30 * 86400 + 100) * s), 261000000);
	assert_int_equal(restore_rev(1, 0, 100 * s, 365 * 86400 * s), 261000000);
	/* A clock that is behind takes nothing away. */
	assert_int_equal(restore_rev(1, 0, 3700 * s, 100 * s), 2000000);
	assert_true(restore_rev(INT64_MAX / 4, 0, 1, INT64_MAX) > 0);
}

static void still_locked(_unused_ const char *what, void *ctx)
{
	pid_t holder = 0;

	assert_int_equal(dirlock_server(ctx, &holder, NULL), -1);
	assert_int_equal(holder, getpid());
}

/* The lock that keeps servers away is not among what a restore exchanges, as the directory of their tokens is. */
static void test_locked_to_the_end(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char dir[64];
	const struct restore_opts o = { .env = &thread_env, .data_dir = dir, .step = still_locked, .step_ctx = dir };
	struct kit_source s;
	struct restore_done done;
	struct restore *r;
	int lock;

	kit_archive(&b, NEW_KEYS, 100, false);
	s = (struct kit_source){ buf_sv(&b), 0 };
	dir_new(dir);
	old_cluster(dir);
	r = restore_new(&o, NULL);
	assert_non_null(r);
	assert_int_equal(restore_archive(r, kit_get, &s, KIT_SECRET, false, &done, NULL), 0);
	still_locked("", dir);
	restore_free(r);
	lock = dirlock_server(dir, NULL, NULL);
	assert_true(lock >= 0);
	close(lock);
	dir_remove(dir);
}

static void test_journal_damaged(_unused_ void **state)
{
	static const char *const texts[] = { "",
					     "something",
					     "caravel restore 1\ntime x\n",
					     "caravel restore 1\ntime 1\nreplace ../x\n",
					     "caravel restore 1\ntime 1\nreplace .x\n",
					     "caravel restore 1\nwhat db\n" };
	char dir[64];

	dir_new(dir);
	put_file(dir, "restore.lock", "");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		put_file(dir, "restore.journal", texts[i]);
		assert_int_equal(restore_finish(dir, NULL), -1);
	}
	dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_killed_at_calls),
		cmocka_unit_test(test_killed_twice),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_behind_the_moment),
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_rev),
		cmocka_unit_test(test_locked_to_the_end),
		cmocka_unit_test(test_journal_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
