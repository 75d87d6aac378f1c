/* Files that are not what was written: of every kind of file every kind of byte is flipped, and files are cut, emptied,
 * removed, exchanged. What comes of it is always one of two: the whole data, or a refusal that names file, place and
 * cure. Never a crash, never a hang, never wrong data. */
#include "dir_kit.h"

#include "store/disk/check.h"
#include "store/disk/table.h"

#define KEYS 160

static struct store *open_disk(const char *dir, struct err *err)
{
	return store_disk_open(&thread_env, dir, (size_t)256 << 20, err);
}

static const struct backend backend = { "disk", true, open_disk, false, NULL };

/* A database of several tables, with history, tombstones and large values, and some of it only in the log. */
struct world {
	struct kit kit;
	dir_files files;
	char *now, *then; /* what ranges report: now, at the compaction */
	int64_t rev;
};

static size_t make_value(char *value, int n)
{
	size_t len = n % 37 == 0 ? 40000 : (size_t)(20 + n % 300);

	for (size_t i = 0; i < len; i++)
		value[i] = (char)('a' + (i + (size_t)n) % 26);
	return len;
}

static void world_write(struct store *s, int from, int to)
{
	char *value = xmalloc(40000), key[32];

	for (int n = from; n < to; n++) {
		snprintf(key, sizeof(key), "/r/%03d", n * 7 % KEYS);
		if (n % 11 == 0)
			del(s, key, STORE_ANY_REV);
		else
			assert_true(put_n(s, sv_from(key), sv_make(value, make_value(value, n)), STORE_ANY_REV) > 0);
	}
	free(value);
}

static int world_setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->kit.backend = &backend;
	kit_mkdir(w->kit.dir);
	w->kit.s = kit_open(&w->kit);
	for (int i = 0; i < 4; i++) {
		world_write(w->kit.s, i * 100, i * 100 + 100);
		kit_reopen(&w->kit); /* each close makes a table */
	}
	assert_int_equal(store_compact(w->kit.s, 200, NULL), 0);
	kit_reopen(&w->kit);
	world_write(w->kit.s, 400, 420);
	w->rev = now_rev(w->kit.s);
	w->now = list_n(w->kit.s, SV("/r/"), SV("/r0"), 0, 0);
	w->then = list_n(w->kit.s, SV("/r/"), SV("/r0"), 200, 0);
	dir_load_alive(w->kit.dir, &w->files); /* as after kill -9 */
	store_close(w->kit.s);
	*state = w;
	return 0;
}

static int world_teardown(void **state)
{
	struct world *w = *state;

	kit_rmdir(w->kit.dir);
	dir_release(&w->files);
	free(w->now);
	free(w->then);
	free(w);
	return 0;
}

/* In the words: the file, where in it, what to do. */
static void assert_words(const struct err *err, const char *file)
{
	const char *msg = err_msg(err);

	assert_int_equal(err->reason, ERR_STORE_READ);
	if ((file && !strstr(msg, file)) || !strstr(msg, "caravel store repair") ||
	    !(strstr(msg, "at offset") || strstr(msg, "is missing") || strstr(msg, "belongs to another store") ||
	      strstr(msg, "another file of this store")))
		fail_msg("these words are not enough for '%s': %s", file ? file : "?", msg);
}

static void read_or_words(struct store *s, int64_t rev, const char *want)
{
	struct buf b = BUF_INIT;
	struct err err = ERR_INIT;

	if (store_range(s, SV("/r/"), SV("/r0"), rev, 0, kit_list_one, &b, NULL, &err) < 0) {
		assert_words(&err, NULL);
		err_release(&err);
	} else {
		assert_string_equal(buf_cstr(&b), want);
	}
	buf_release(&b);
}

enum came { WHOLE, REFUSED };

/* Opens the directory as it is. file: what a refusal may name, NULL: whatever. */
static enum came look(const struct world *w, const char *file)
{
	struct err err = ERR_INIT;
	struct store *s = open_disk(w->kit.dir, &err);

	if (!s) {
		assert_words(&err, file);
		err_release(&err);
		return REFUSED;
	}
	assert_int_equal(now_rev(s), w->rev);
	read_or_words(s, 0, w->now);
	read_or_words(s, 200, w->then);
	for (int n = 0; n < KEYS; n += 13) {
		struct store_write wr = { .value = SV("new"), .expect_rev = STORE_ANY_REV };
		char key[32];

		snprintf(key, sizeof(key), "/r/%03d", n);
		wr.key = sv_from(key);
		if (store_commit_wait(s, &wr, NULL, &err) < 0) {
			assert_words(&err, NULL);
			err_release(&err);
		}
	}
	store_close(s);
	return WHOLE;
}

static char *damaged_path(const struct world *w, const char *name)
{
	return xasprintf("%s/%s", w->kit.dir, name);
}

/* With n of the file's bytes, of which the one at `at` is changed. */
static enum came with_bytes(const struct world *w, const struct dir_file *f, size_t n, size_t at, unsigned char flip)
{
	_cleanup_free_ char *path = damaged_path(w, f->name);
	char *copy = xmemdup(f->bytes.p, f->bytes.n + 1);

	if (at < n)
		copy[at] = (char)(copy[at] ^ flip);
	dir_store(w->kit.dir, &w->files);
	file_store(path, copy, n);
	free(copy);
	return look(w, f->name);
}

static bool is_log(const char *name)
{
	return strncmp(name, "wal.", 4) == 0 && strcmp(name, "wal.note") != 0;
}

/* Bytes near what has a meaning, and others far from it. */
static void test_flips(void **state)
{
	struct world *w = *state;
	int refused = 0, cases = 0;

	assert_int_equal(look(w, NULL), WHOLE);
	for (size_t i = 0; i < w->files.n; i++) {
		const struct dir_file *f = &w->files.p[i];
		/* Of a log behind its last group nothing counts, and its last group cannot be told from a torn one. */
		size_t n = is_log(f->name) ? MIN(f->bytes.n, (size_t)8 * 4096) : f->bytes.n;

		for (size_t at = 0; at < n; at += 1 + at / 8 + (at > 4096 ? 997 : 0)) {
			enum came c = with_bytes(w, f, f->bytes.n, at, (unsigned char)(1 << at % 8));

			refused += c == REFUSED;
			cases++;
		}
	}
	assert_true(cases > 300 && refused > 50);
}

/* Every byte class of a table must be noticed by somebody who reads all of it: none goes unseen. */
static void test_table_bytes(void **state)
{
	struct world *w = *state;
	const struct dir_file *f = NULL;
	struct table_head h;
	char *copy;

	for (size_t i = 0; i < w->files.n; i++)
		if (strncmp(w->files.p[i].name, "t.", 2) == 0)
			f = &w->files.p[i];
	assert_non_null(f);
	memcpy(&h, f->bytes.p, sizeof(h));
	dir_store(w->kit.dir, &w->files);
	copy = xmemdup(f->bytes.p, f->bytes.n);
	for (size_t at = 0; at < f->bytes.n; at += at < 200 || at > h.area_at ? 1 : 211) {
		_cleanup_free_ char *path = damaged_path(w, f->name);
		struct err err = ERR_INIT;
		struct table *t;
		int r = -1;

		if (at >= sizeof(h) && at < 4096)
			continue; /* zeros behind the head: nobody reads them */
		copy[at] = (char)(copy[at] ^ 1 << at % 8);
		file_store(path, copy, f->bytes.n);
		copy[at] = (char)(copy[at] ^ 1 << at % 8);
		t = table_open(w->kit.dir, h.number, h.store_id, NULL, &err);
		if (t) {
			struct table_iter it = { .t = t };
			struct table_hold hold = { 0 };
			struct wal_record rec;
			struct sv k, v;

			r = table_iter_seek(&it, SV_NULL, &err);
			while (r > 0)
				r = table_iter_next(&it, &err);
			for (uint64_t rev = h.first_rev; r >= 0 && rev <= h.last_rev; rev++)
				r = table_find_rev(t, rev, 0, &hold, &rec, &k, &v, &err);
			table_hold_release(&hold);
			table_iter_release(&it);
		}
		if (r >= 0)
			fail_msg("byte %zu of '%s' went unseen", at, f->name);
		assert_words(&err, f->name);
		err_release(&err);
	}
	free(copy);
}

static void test_cut(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < w->files.n; i++) {
		const struct dir_file *f = &w->files.p[i];
		const size_t n[] = { 0,
				     1,
				     100,
				     4095,
				     4096,
				     4097,
				     8192,
				     f->bytes.n / 2,
				     f->bytes.n / 2 & ~(size_t)4095,
				     f->bytes.n - 1 };

		for (size_t k = 0; k < ARRAY_LEN(n); k++) {
			enum came c;

			if (n[k] >= f->bytes.n)
				continue;
			c = with_bytes(w, f, n[k], SIZE_MAX, 0);
			/* Of the two notes the older may be all that is left; anything else is missed. */
			if (c != REFUSED && strcmp(f->name, "wal.note") != 0)
				fail_msg("'%s' cut to %zu of %zu bytes was not missed", f->name, n[k], f->bytes.n);
		}
	}
}

static void test_gone_or_zero(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < w->files.n; i++) {
		const struct dir_file *f = &w->files.p[i];
		_cleanup_free_ char *path = damaged_path(w, f->name), *zeros = xcalloc(1, f->bytes.n);

		dir_store(w->kit.dir, &w->files);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(look(w, f->name), REFUSED);
		dir_store(w->kit.dir, &w->files);
		file_store(path, zeros, f->bytes.n);
		assert_int_equal(look(w, f->name), REFUSED);
	}
}

static void test_exchanged(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < w->files.n; i++)
		for (size_t k = i + 1; k < w->files.n; k++) {
			_cleanup_free_ char *a = damaged_path(w, w->files.p[i].name);
			_cleanup_free_ char *b = damaged_path(w, w->files.p[k].name);
			_cleanup_free_ char *tmp = damaged_path(w, "tmp");

			dir_store(w->kit.dir, &w->files);
			assert_int_equal(rename(a, tmp), 0);
			assert_int_equal(rename(b, a), 0);
			assert_int_equal(rename(tmp, b), 0);
			assert_int_equal(look(w, NULL), REFUSED);
		}
}

/* Each file from another store that has been written to just alike. */
static void test_of_another(void **state)
{
	struct world *w = *state, *other;

	assert_int_equal(world_setup((void **)&other), 0);
	for (size_t i = 0; i < w->files.n; i++) {
		const struct dir_file *f = &w->files.p[i];
		_cleanup_free_ char *path = damaged_path(w, f->name);
		const struct buf *b = dir_bytes(&other->files, f->name);

		dir_store(w->kit.dir, &w->files);
		file_store(path, b->p, b->n);
		assert_int_equal(look(w, strcmp(f->name, "manifest") ? f->name : NULL), REFUSED);
	}
	assert_int_equal(world_teardown((void **)&other), 0);
}

/* --- check and repair --- */

static void hear(const char *line, void *ctx)
{
	buf_printf(ctx, "%s\n", line);
}

struct repaired {
	struct buf said;
	char *list; /* what is there now */
};

/* Checks, repairs, opens, and looks at what came of it. */
static void repair(const struct world *w, int want_check, struct repaired *ret)
{
	struct kit k = { .backend = &backend };
	struct err err = ERR_INIT;
	char *kept = NULL;
	int r;

	*ret = (struct repaired){ .said = BUF_INIT };
	r = store_check(w->kit.dir, hear, &ret->said, &err);
	if (r != want_check)
		fail_msg("check: %d, %s\n%s", r, err_msg(&err), buf_cstr(&ret->said));
	buf_clear(&ret->said);
	if (store_repair(&thread_env, w->kit.dir, &kept, hear, &ret->said, &err) < 0)
		fail_msg("repair: %s", err_msg(&err));
	assert_int_equal(access(kept, F_OK), 0);
	kit_rmdir(kept);
	free(kept);
	assert_int_equal(store_check(w->kit.dir, hear, &ret->said, &err), 0);
	memcpy(k.dir, w->kit.dir, sizeof(k.dir));
	k.s = kit_open(&k);
	assert_true(now_rev(k.s) > w->rev + 1000); /* never back, also not to what was lost */
	ret->list = list_n(k.s, SV("/r/"), SV("/r0"), 0, 0);
	assert_true(put(k.s, "/r/new", "x", 0) > 0);
	store_close(k.s);
}

static void repaired_release(struct repaired *r)
{
	buf_release(&r->said);
	free(r->list);
}

static void test_repair_whole(void **state)
{
	struct world *w = *state;
	struct repaired r;

	dir_store(w->kit.dir, &w->files);
	repair(w, 0, &r);
	assert_string_equal(r.list, w->now);
	repaired_release(&r);
}

/* Without any one file: said, and the rest is kept. Nothing of data is in manifest and note. */
static void test_repair_without(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < w->files.n; i++) {
		const struct dir_file *f = &w->files.p[i];
		_cleanup_free_ char *path = damaged_path(w, f->name);
		struct repaired r;

		dir_store(w->kit.dir, &w->files);
		assert_int_equal(unlink(path), 0);
		repair(w, 1, &r);
		assert_non_null(strstr(buf_cstr(&r.said), f->name));
		if (!strcmp(f->name, "manifest") || !strcmp(f->name, "wal.note"))
			assert_string_equal(r.list, w->now);
		else
			assert_true(strlen(r.list) > strlen(w->now) / 4);
		repaired_release(&r);
	}
}

/* With one block unreadable: what is lost is named by its keys. */
static void test_repair_block(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < w->files.n; i++) {
		const struct dir_file *f = &w->files.p[i];
		_cleanup_free_ char *path = damaged_path(w, f->name);
		struct repaired r;
		char *copy;

		if (strncmp(f->name, "t.", 2) != 0)
			continue;
		copy = xmemdup(f->bytes.p, f->bytes.n);
		copy[4096 + 100] ^= 1;
		dir_store(w->kit.dir, &w->files);
		file_store(path, copy, f->bytes.n);
		free(copy);
		repair(w, 1, &r);
		assert_non_null(strstr(buf_cstr(&r.said), "is corrupted at offset 4096"));
		assert_non_null(strstr(buf_cstr(&r.said), "lost with it: versions of keys from '/r/"));
		assert_true(strlen(r.list) > strlen(w->now) / 4);
		repaired_release(&r);
	}
}

/* Not while somebody uses it. */
static void test_check_in_use(void **state)
{
	struct world *w = *state;
	struct buf said = BUF_INIT;
	struct err err = ERR_INIT;
	struct store *s;

	dir_store(w->kit.dir, &w->files);
	s = open_disk(w->kit.dir, &err);
	assert_non_null(s);
	assert_int_equal(store_check(w->kit.dir, hear, &said, &err), -1);
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	err_release(&err);
	store_close(s);
	buf_release(&said);
}

/* --- the format before tables --- */

static void old_store(const char *dir, const char *p, size_t n)
{
	_cleanup_free_ char *path = xasprintf("%s/data.mdb", dir);

	kit_rmdir(dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	file_store(path, p, n);
}

struct old {
	char dir[64];
	struct buf db, list;
};

static int old_setup(void **state)
{
	struct old *o = xcalloc(1, sizeof(*o));
	_cleanup_free_ char *db = xasprintf("%s/data.mdb", getenv("FORMAT1"));
	_cleanup_free_ char *list = xasprintf("%s/list.txt", getenv("FORMAT1"));

	kit_mkdir(o->dir);
	file_load(db, &o->db);
	file_load(list, &o->list);
	*state = o;
	return 0;
}

static int old_teardown(void **state)
{
	struct old *o = *state;

	kit_rmdir(o->dir);
	buf_release(&o->db);
	buf_release(&o->list);
	free(o);
	return 0;
}

static void test_old_format(void **state)
{
	struct old *o = *state;
	struct kit k = { .backend = &backend };
	struct store_stats st;

	old_store(o->dir, o->db.p, o->db.n);
	memcpy(k.dir, o->dir, sizeof(k.dir));
	k.s = kit_open(&k);
	for (int i = 0; i < 2; i++) {
		char *list = list_n(k.s, SV("/"), SV("0"), 0, 0);

		assert_string_equal(list, buf_cstr(&o->list));
		free(list);
		kit_reopen(&k);
	}
	store_stats(k.s, &st);
	assert_int_equal(st.compact_rev, 125);
	assert_int_equal(st.rev, 132);
	assert_int_equal(put(k.s, "/z", "x", 0), 133);
	store_close(k.s);
}

/* 1: refused, with words; 0: all of it is there. */
static int old_look(const struct old *o, size_t n, const char *what, size_t at)
{
	struct err err = ERR_INIT;
	struct store *s;
	char *list;

	old_store(o->dir, o->db.p, n);
	s = open_disk(o->dir, &err);
	if (!s) {
		assert_words(&err, "data.mdb");
		err_release(&err);
		return 1;
	}
	list = list_n(s, SV("/"), SV("0"), 0, 0);
	if (strcmp(list, buf_cstr((struct buf *)&o->list)) != 0)
		fail_msg("data.mdb, %s %zu, changed the data unseen", what, at);
	free(list);
	store_close(s);
	return 0;
}

/* Its pages have no checksums: what is damaged there shows in a version's, or in what is missing in the count. */
static void test_old_damaged(void **state)
{
	struct old *o = *state;
	int refused = 0, cases = 0;

	for (size_t at = 0; at < o->db.n; at += at < 200 ? 3 : 1 + at % 4096 / 4 + (at % 4096 > 64 ? 61 : 0)) {
		o->db.p[at] = (char)(o->db.p[at] ^ 1 << at % 8);
		refused += old_look(o, o->db.n, "flipped at", at);
		o->db.p[at] = (char)(o->db.p[at] ^ 1 << at % 8);
		cases++;
	}
	assert_true(cases > 300 && refused > 30);
	refused = 0;
	for (size_t n = 0; n < o->db.n; n += 4096)
		refused += old_look(o, n, "cut to", n);
	assert_true(refused > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_flips, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_table_bytes, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_cut, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_gone_or_zero, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_exchanged, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_of_another, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_repair_whole, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_repair_without, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_repair_block, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_check_in_use, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_old_format, old_setup, old_teardown),
		cmocka_unit_test_setup_teardown(test_old_damaged, old_setup, old_teardown),
	};

	/* Thousands of stores: where syncing costs nothing, if there is such a place. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
