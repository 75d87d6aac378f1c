/* Archives: what is refused, by which words, and that nothing of a file is believed. */
#include "archive_kit.h"

#include "base/arena.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void refused(struct sv bytes, struct sv secret, enum err_reason reason, const char *words)
{
	struct err err = ERR_INIT;
	struct kit_seen seen;

	assert_int_equal(kit_read(bytes, 0, secret, &seen, &err), -1);
	if (!strstr(err_msg(&err), words))
		fail_msg("'%s' does not say '%s'", err_msg(&err), words);
	assert_int_equal(err.reason, reason);
	err_release(&err);
}

static void test_foreign(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	refused(SV(""), SV_NULL, ERR_INVALID, "it is empty");
	refused(SV("something else, and long enough"), SV_NULL, ERR_INVALID, "no snapshot of Caravel");
	refused(SV("SQLite format 3\0and so on"), SV_NULL, ERR_INVALID, "caravel import");
	refused(SV("CARAVELSNAPSHOT\r\n"), SV_NULL, ERR_INVALID, "as if it were text");
	kit_archive(&b, 1, 10, true);
	b.p[16] = 2;
	refused(buf_sv(&b), SV_NULL, ERR_INVALID, "version 2 of the format");
}

/* Cut anywhere: a part, never less than that and never taken for whole. */
static void test_half(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	kit_archive(&b, 20, 50, true);
	for (size_t n = 16; n < b.n; n++)
		refused(sv_make(b.p, n), SV_NULL, ERR_INVALID, "a part of a snapshot");
	buf_addc(&b, 'x');
	refused(buf_sv(&b), SV_NULL, ERR_INVALID, "behind its end");
}

static void test_flipped(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	kit_archive(&b, 20, 50, true);
	for (size_t i = 0; i < b.n; i++) {
		struct err err = ERR_INIT;
		struct kit_seen seen;

		b.p[i] ^= 0x10;
		assert_int_equal(kit_read(buf_sv(&b), 0, SV_NULL, &seen, &err), -1);
		assert_int_equal(err.reason, ERR_INVALID);
		err_release(&err);
		b.p[i] ^= 0x10;
	}
}

static void test_token(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct kit_seen seen;

	kit_archive(&b, 3, 50, false);
	refused(buf_sv(&b), SV("abcdef.0123456789abcdee"), ERR_UNAUTHORIZED, "another token");
	refused(buf_sv(&b), SV(""), ERR_UNAUTHORIZED, "another token");
	assert_int_equal(kit_read(buf_sv(&b), 0, SV_NULL, &seen, NULL), 0);
	assert_int_equal(seen.files, 0);
	assert_true(seen.sealed);
	assert_int_equal(kit_read(buf_sv(&b), 1, KIT_SECRET, &seen, NULL), 0);
	assert_int_equal(seen.files, 2);
	/* Nothing of them can be read in the file. */
	assert_true(sv_find_sv(buf_sv(&b), SV("certificate")) < 0);
	assert_true(sv_find_sv(buf_sv(&b), SV("node-token")) < 0);
}

/* Two archives of one cluster: the records of one with the keys of the other, all checksums right. */
static void test_exchanged(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf a = BUF_INIT, b = BUF_INIT, mixed = BUF_INIT;
	const size_t sealed_n = 16 + 64 + 16 + 16 + 27 + 12; /* chunk, seal, tag, words, names, contents */

	kit_archive(&a, 3, 50, false);
	kit_archive(&b, 4, 50, false);
	buf_addsv(&mixed, sv_sub(buf_sv(&b), 0, b.n - ARCHIVE_END_BYTES - sealed_n));
	buf_addsv(&mixed, sv_sub(buf_sv(&a), a.n - ARCHIVE_END_BYTES - sealed_n, sealed_n));
	refused(buf_sv(&mixed), KIT_SECRET, ERR_INVALID, "changed by somebody who does not have the word");
}

/* By somebody who has the token: names lead nowhere but below. */
static void test_names(_unused_ void **state)
{
	static const char *const bad[] = { "",	     "../x", "/etc/passwd", "pki/../../x", "pki//x",
					   "pki/.x", "a\nb", "pki/",	    "pki/..",	   "." };
	const struct archive_head h = { .version = SV("1"), .kubernetes = SV("1"), .rev = 5 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct archive_out *o = archive_out_new(&h, kit_put, &b, NULL);
		const struct archive_file f = { sv_from(bad[i]), SV("x") };
		struct archive_total total;

		assert_int_equal(archive_out_seal(o, &thread_env, KIT_SECRET, &f, 1, NULL), 0);
		assert_int_equal(archive_out_end(o, &total, NULL), 0);
		archive_out_free(o);
		refused(buf_sv(&b), KIT_SECRET, ERR_INVALID, "no files");
	}
}

static void test_large(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct kit_seen seen;

	kit_archive(&b, 5, STORE_VALUE_MAX, true);
	assert_int_equal(kit_read(buf_sv(&b), 4097, SV_NULL, &seen, NULL), 0);
	assert_int_equal(seen.records, 5);
	assert_false(seen.sealed);
	buf_clear(&b);
	kit_archive(&b, 0, 0, true);
	assert_int_equal(kit_read(buf_sv(&b), 0, SV_NULL, &seen, NULL), 0);
	assert_int_equal(seen.heads, 1);
}

static void test_order(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct archive_head h = { .version = SV("1"), .kubernetes = SV("1"), .rev = 5 };
	struct archive_out *o = archive_out_new(&h, kit_put, &b, NULL);
	struct store_kv kv = { .key = SV("b"), .value = SV("v"), .create_rev = 2, .mod_rev = 2 };
	struct err why = ERR_INIT, err = ERR_INIT;

	assert_int_equal(archive_out_add(o, &kv, NULL), 0);
	assert_int_equal(archive_out_add(o, &kv, NULL), -1);
	kv.key = SV("a");
	assert_int_equal(archive_out_add(o, &kv, NULL), -1);
	err_set(&why, ERR_STORE_READ, "no key");
	kv = (struct store_kv){ .key = SV("c"), .create_rev = 2, .mod_rev = 3, .why = &why };
	assert_int_equal(archive_out_add(o, &kv, &err), -1);
	assert_non_null(strstr(err_msg(&err), "'c' cannot be read"));
	err_release(&why);
	err_release(&err);
	archive_out_free(o);
}

static void test_peek(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char path[] = "/tmp/archive-XXXXXX";
	int fd = mkstemp(path);
	struct archive_head h;
	struct archive_total total;

	kit_archive(&b, 9, 50, false);
	assert_int_equal(write(fd, b.p, b.n), b.n);
	(void)lseek(fd, 0, SEEK_SET);
	assert_int_equal(archive_peek(&a, fd, &h, &total, NULL), 0);
	assert_int_equal(h.rev, 1000);
	assert_sv(h.kubernetes, "v1.37.0");
	assert_int_equal(total.records, 9);
	assert_int_equal(ftruncate(fd, (off_t)b.n - 1), 0);
	(void)lseek(fd, 0, SEEK_SET);
	assert_int_equal(archive_peek(&a, fd, &h, &total, NULL), -1);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign), cmocka_unit_test(test_half),	  cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_token),	cmocka_unit_test(test_exchanged), cmocka_unit_test(test_names),
		cmocka_unit_test(test_large),	cmocka_unit_test(test_order),	  cmocka_unit_test(test_peek),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
