/* Image archives that are more than they seem: counted and refused, and nothing is unpacked. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "kubelet/image_size.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>

#define MIB ((uint64_t)1 << 20)

static char dir[] = "/tmp/caravel-image-size-XXXXXX";

static int setup(void **state)
{
	(void)state;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return tree_remove(dir, NULL);
}

static la_ssize_t to_buf(struct archive *ar, void *ctx, const void *p, size_t n)
{
	(void)ar;
	buf_add(ctx, p, n);
	return (la_ssize_t)n;
}

static struct archive *begin(struct buf *b, bool gzip)
{
	struct archive *ar = archive_write_new();

	archive_write_set_format_pax_restricted(ar);
	if (gzip) {
		archive_write_add_filter_gzip(ar);
		archive_write_set_filter_option(ar, "gzip", "compression-level", "1");
	}
	assert_int_equal(archive_write_open(ar, b, NULL, to_buf, NULL), ARCHIVE_OK);
	return ar;
}

/* content NULL: zeros. */
static void add(struct archive *ar, const char *name, const char *content, size_t n)
{
	static const char zeros[1 << 20];
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)n);
	assert_int_equal(archive_write_header(ar, e), ARCHIVE_OK);
	for (size_t at = 0; at < n;) {
		size_t k = content ? n : MIN(n - at, sizeof(zeros));

		assert_int_equal(archive_write_data(ar, content ? content : zeros, k), k);
		at += k;
	}
	archive_entry_free(e);
}

static void end(struct archive *ar)
{
	assert_int_equal(archive_write_close(ar), ARCHIVE_OK);
	archive_write_free(ar);
}

/* docker save of one layer with n_files files of `bytes` zeros. */
static void image(struct buf *out, bool gzip_layer, bool gzip, int n_files, size_t bytes)
{
	_cleanup_(buf_release) struct buf layer = BUF_INIT;
	struct archive *ar = begin(&layer, gzip_layer);
	char name[16];

	for (int i = 0; i < n_files; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		add(ar, name, NULL, bytes);
	}
	end(ar);
	ar = begin(out, gzip);
	add(ar, "manifest.json", "[{\"Layers\":[\"layer.tar\"]}]", 26);
	add(ar, "layer.tar", layer.p, layer.n);
	end(ar);
}

static int measure(struct sv bytes, uint64_t max_bytes, uint64_t max_files, struct image_size *ret, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/a.tar", dir);

	assert_int_equal(file_write(path, bytes, 0600, NULL), 0);
	return image_measure(path, &(struct image_limits){ max_bytes, max_files }, ret, err);
}

static void expect_refused(struct sv bytes, uint64_t max_bytes, uint64_t max_files, enum err_reason reason,
			   const char *part)
{
	struct image_size size;
	struct err err = ERR_INIT;

	if (measure(bytes, max_bytes, max_files, &size, &err) == 0)
		fail_msg("%zu bytes: taken for %d members, %d files", bytes.n, size.members, (int)size.files);
	assert_int_equal(err.reason, reason);
	if (!strstr(err_msg(&err), part))
		fail_msg("'%s' is not in '%s'", part, err_msg(&err));
	err_release(&err);
}

static void test_counts(void **state)
{
	(void)state;
	for (int form = 0; form < 4; form++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct image_size size;

		image(&b, form & 1, form & 2, 3, 5000);
		assert_int_equal(measure(buf_sv(&b), 3 * 8192, 3, &size, NULL), 0); /* just within both */
		assert_int_equal(size.files, 3);
		assert_int_equal(size.unpacked, 3 * 8192);
		assert_true(size.packed >= 4096 && size.packed < 100000);
		expect_refused(buf_sv(&b), 3 * 8192 - 1, 3, ERR_TOO_LARGE, "--max-size");
		expect_refused(buf_sv(&b), UINT64_MAX, 2, ERR_TOO_LARGE, "more than 2 files");
	}
}

static void test_bombs(void **state)
{
	_cleanup_(buf_release) struct buf layer = BUF_INIT, whole = BUF_INIT;

	(void)state;
	image(&layer, true, false, 1, 64 * MIB);
	assert_true(layer.n < MIB);
	expect_refused(buf_sv(&layer), 32 * MIB, 100, ERR_TOO_LARGE, "it unpacks to more than 32 MiB");
	image(&whole, false, true, 1, 64 * MIB);
	assert_true(whole.n < MIB);
	expect_refused(buf_sv(&whole), 32 * MIB, 100, ERR_TOO_LARGE, "it unpacks to more than 32 MiB");
}

static void test_no_archives(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	image(&b, true, true, 100, 1000);
	expect_refused(SV("this is no archive, and no image either"), UINT64_MAX, UINT64_MAX, ERR_INVALID,
		       "it is no image archive");
	expect_refused(sv_sub(buf_sv(&b), 0, 600), UINT64_MAX, UINT64_MAX, ERR_INVALID, "it is no image archive");
	assert_int_equal(image_measure("/nonexistent", &(struct image_limits){ 1, 1 }, &(struct image_size){ 0 }, NULL),
			 -1);
}

static void test_fits(void **state)
{
	struct image_size size = { .packed = 1, .unpacked = 4096, .files = 1 };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(image_fits(&size, "/dev/shm", NULL), 0);
	size.unpacked = UINT64_MAX - 1;
	assert_int_equal(image_fits(&size, "/dev/shm", &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	assert_non_null(strstr(err_msg(&err), "--force"));
	err_release(&err);
	assert_int_equal(image_fits(&size, "/nonexistent", NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bombs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_archives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fits, setup, teardown),
	};

	return cmocka_run_group_tests_name("kubelet/image_size", tests, NULL, NULL);
}
