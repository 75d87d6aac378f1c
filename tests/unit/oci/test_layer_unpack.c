/* Layers that want out of their directory, hide what is below, or are more than they seem. As root: owners, devices and
 * overlayfs' marks are root's to give. */
#include "unit.h"

#include "base/buf.h"
#include "base/file.h"
#include "kubelet/oci/layer_unpack.h"
#include "net/digest.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static char top[] = "/tmp/caravel-layer-XXXXXX";
static int root = -1; /* top/root: what is unpacked into */
static const struct image_limits wide = { UINT64_C(1) << 30, 200000 };

struct entry {
	const char *name;
	mode_t type;	  /* 0: a file */
	const char *with; /* content, or where a link leads */
	int mode, uid;
	bool hard;
};

static int setup(void **state)
{
	_cleanup_free_ char *path = NULL;

	(void)state;
	strcpy(top + sizeof(top) - 7, "XXXXXX");
	assert_non_null(mkdtemp(top));
	path = xasprintf("%s/root", top);
	assert_int_equal(mkdir(path, 0755), 0);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	close(root);
	return tree_remove(top, NULL);
}

static la_ssize_t to_buf(struct archive *ar, void *ctx, const void *p, size_t n)
{
	(void)ar;
	buf_add(ctx, p, n);
	return (la_ssize_t)n;
}

static struct archive *begin(struct buf *b, int filter)
{
	struct archive *ar = archive_write_new();

	archive_write_set_format_pax_restricted(ar);
	archive_write_set_bytes_in_last_block(ar, 1);
	if (filter)
		assert_int_equal(archive_write_add_filter(ar, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_open(ar, b, NULL, to_buf, NULL), ARCHIVE_OK);
	return ar;
}

static void put(struct archive *ar, const struct entry *e)
{
	struct archive_entry *x = archive_entry_new();
	size_t n = !e->type && !e->hard && e->with ? strlen(e->with) : 0;

	archive_entry_copy_pathname(x, e->name);
	archive_entry_set_filetype(x, e->type ? e->type : AE_IFREG);
	archive_entry_set_perm(x, (mode_t)(e->mode ? e->mode : 0644));
	archive_entry_set_uid(x, e->uid);
	archive_entry_set_mtime(x, 1000, 0);
	archive_entry_set_size(x, (la_int64_t)n);
	if (e->hard)
		archive_entry_set_hardlink(x, e->with);
	else if (e->type == AE_IFLNK)
		archive_entry_set_symlink(x, e->with);
	assert_true(archive_write_header(ar, x) >= ARCHIVE_WARN); /* of names that are not ASCII */
	if (n)
		assert_int_equal(archive_write_data(ar, e->with, n), n);
	archive_entry_free(x);
}

static void end(struct archive *ar)
{
	assert_int_equal(archive_write_close(ar), ARCHIVE_OK);
	archive_write_free(ar);
}

static void pack(struct buf *b, int filter, const struct entry *e, size_t n)
{
	struct archive *ar = begin(b, filter);

	for (size_t i = 0; i < n; i++)
		put(ar, &e[i]);
	end(ar);
}

struct source {
	struct sv left;
	int asked, stop_at; /* 0: never */
};

static ssize_t source_read(void *ctx, void *p, size_t n, struct err *err)
{
	struct source *s = ctx;

	if (!n)
		return s->stop_at && ++s->asked >= s->stop_at ? err_set(err, ERR_UNAVAILABLE, "given up") : 0;
	n = MIN(n, s->left.n);
	memcpy(p, s->left.p, n);
	s->left = sv_sub(s->left, n, s->left.n);
	return (ssize_t)n;
}

static int unpack(struct sv bytes, const struct image_limits *l, struct layer_sums *ret, struct err *err)
{
	struct source s = { .left = bytes };

	return layer_unpack(root, NULL, 0, source_read, &s, l, ret, err);
}

static void unpack_entries(const struct entry *e, size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct layer_sums sums;

	pack(&b, 0, e, n);
	if (unpack(buf_sv(&b), &wide, &sums, &err) < 0)
		fail_msg("%s", err_msg(&err));
}

static void refuse_entries(const struct entry *e, size_t n, const char *part)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct layer_sums sums;

	pack(&b, 0, e, n);
	assert_int_equal(unpack(buf_sv(&b), &wide, &sums, &err), -1);
	if (!strstr(err_msg(&err), part))
		fail_msg("'%s' is not in '%s'", part, err_msg(&err));
}

#define UNPACK(...) unpack_entries((struct entry[]){ __VA_ARGS__ }, ARRAY_LEN(((struct entry[]){ __VA_ARGS__ })))
#define REFUSE(part, ...) \
	refuse_entries((struct entry[]){ __VA_ARGS__ }, ARRAY_LEN(((struct entry[]){ __VA_ARGS__ })), part)

static bool there(const char *name, struct stat *st)
{
	return fstatat(root, name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void expect_file(const char *name, const char *content)
{
	_cleanup_close_ int fd = openat(root, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[64] = "";

	if (fd < 0)
		fail_msg("'%s' is not there", name);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, content);
}

/* Only root is in top, and nothing of ours is where nobody wanted it. */
static void expect_inside(void)
{
	_cleanup_free_ char *bad = xasprintf("%s/out", top);

	assert_int_equal(access(bad, F_OK), -1);
	assert_int_equal(access("/caravel-out", F_OK), -1);
}

static void test_kinds(void **state)
{
	struct stat st, other;

	(void)state;
	UNPACK({ "./", AE_IFDIR, NULL, 0711, 0, false }, { "d/", AE_IFDIR, NULL, 01777, 5, false },
	       { "d/f", 0, "one", 04755, 7, false }, { "d/l", AE_IFLNK, "f", 0, 8, false },
	       { "d/h", 0, "d/f", 0, 0, true }, { "p", AE_IFIFO, NULL, 0600, 0, false },
	       { "\xc3\xa9", 0, "accent", 0, 0, false });
	expect_file("d/f", "one");
	expect_file("\xc3\xa9", "accent");
	assert_true(there("d/f", &st) && st.st_uid == 7 && (st.st_mode & 07777) == 04755 && st.st_mtime == 1000);
	assert_true(there("d/h", &other) && other.st_ino == st.st_ino);
	assert_true(there("d/l", &st) && S_ISLNK(st.st_mode) && st.st_uid == 8);
	assert_true(there("d", &st) && st.st_uid == 5 && (st.st_mode & 07777) == 01777 && st.st_mtime == 1000);
	assert_true(there("p", &st) && S_ISFIFO(st.st_mode));
	assert_true(there("", &st) || (fstat(root, &st) == 0 && (st.st_mode & 07777) == 0711));
}

static void test_ways_out(void **state)
{
	(void)state;
	UNPACK({ "../out", 0, "x", 0, 0, false }, { "../../../../caravel-out", 0, "x", 0, 0, false },
	       { "/abs", 0, "x", 0, 0, false }, { "a/../../b", 0, "x", 0, 0, false });
	expect_file("out", "x");
	expect_file("caravel-out", "x");
	expect_file("abs", "x");
	expect_file("b", "x");
	expect_inside();
}

static void test_links(void **state)
{
	struct stat st;

	(void)state;
	/* Absolute, relative, through each other, to what is not there yet, and one that is then a file. */
	UNPACK({ "abs", AE_IFLNK, "/", 0, 0, false }, { "up", AE_IFLNK, "../..", 0, 0, false },
	       { "two", AE_IFLNK, "up/abs", 0, 0, false }, { "abs/out", 0, "1", 0, 0, false },
	       { "up/out2", 0, "2", 0, 0, false }, { "two/out3", 0, "3", 0, 0, false },
	       { "later", AE_IFLNK, "../usr/lib", 0, 0, false }, { "later/x", 0, "4", 0, 0, false },
	       { "file", AE_IFLNK, "/etc/passwd", 0, 0, false }, { "file", 0, "mine", 0, 0, false });
	expect_file("out", "1");
	expect_file("out2", "2");
	expect_file("out3", "3");
	expect_file("usr/lib/x", "4");
	expect_file("file", "mine");
	assert_true(there("later", &st) && S_ISLNK(st.st_mode));
	expect_inside();
}

static void test_refused(void **state)
{
	_cleanup_free_ char *large = xmalloc(5000);

	(void)state;
	REFUSE("not in the layer", { "h", 0, "/passwd", 0, 0, true });
	REFUSE("No such file", { "l", AE_IFLNK, "/etc", 0, 0, false }, { "h", 0, "l/passwd", 0, 0, true });
	REFUSE("would be the root", { "a/..", 0, "x", 0, 0, false });
	REFUSE("Too many levels", { "a", AE_IFLNK, "b", 0, 0, false }, { "b", AE_IFLNK, "a", 0, 0, false },
	       { "a/x", 0, "x", 0, 0, false });
	REFUSE("Not a directory", { "f", 0, "x", 0, 0, false }, { "f/x", 0, "x", 0, 0, false });
	REFUSE("hides nothing", { "d/.wh.", 0, "", 0, 0, false });
	REFUSE("hides nothing", { ".wh...", 0, "", 0, 0, false });
	memset(large, 'a', 4999);
	for (int i = 100; i < 4999; i += 100)
		large[i] = '/';
	large[4999] = '\0';
	REFUSE("has more than", { large, 0, "x", 0, 0, false });
	large[200] = '\0';
	memset(large, 'b', 200);
	memset(large + 200, 'b', 100);
	large[300] = '\0';
	REFUSE("too long", { large, 0, "x", 0, 0, false });
	expect_inside();
}

static bool opaque(const char *name)
{
	_cleanup_close_ int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char v[4] = "";

	return fd >= 0 && fgetxattr(fd, LAYER_OPAQUE, v, sizeof(v)) == 1 && *v == 'y';
}

static bool hidden(const char *name)
{
	struct stat st;

	return there(name, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static void test_whiteouts(void **state)
{
	struct stat st;

	(void)state;
	UNPACK({ "d/.wh.gone", 0, "", 0, 0, false }, { "o/.wh..wh..opq", 0, "", 0, 0, false },
	       { "o/after", 0, "x", 0, 0, false }, { ".wh.kept", 0, "", 0, 0, false },
	       { "kept", 0, "new", 0, 0, false }, { "first", 0, "new", 0, 0, false },
	       { ".wh.first", 0, "", 0, 0, false }, { ".wh.dir", 0, "", 0, 0, false }, { "dir/x", 0, "x", 0, 0, false },
	       { "dir2/x", 0, "x", 0, 0, false }, { ".wh.dir2", 0, "", 0, 0, false },
	       { ".wh..wh.plnk", 0, "", 0, 0, false });
	assert_true(hidden("d/gone"));
	assert_true(opaque("o"));
	expect_file("o/after", "x");
	expect_file("kept", "new");
	expect_file("first", "new");
	/* A directory in the place of one below is not that one with something more. */
	assert_true(opaque("dir") && opaque("dir2"));
	expect_file("dir/x", "x");
	assert_false(there(".wh.plnk", &st) || there(".wh..wh.plnk", &st));
	assert_false(opaque("d"));
}

static void test_repeats(void **state)
{
	struct stat st;

	(void)state;
	UNPACK({ "a/deep/er/x", 0, "x", 0, 0, false }, { "a", 0, "file", 0, 0, false }, { "b", 0, "file", 0, 0, false },
	       { "b", AE_IFDIR, NULL, 0700, 0, false }, { "b/y", 0, "y", 0, 0, false },
	       { "b", AE_IFDIR, NULL, 0750, 0, false }, { "c", 0, "1", 0, 0, false }, { "c", 0, "c", 0, 0, true });
	expect_file("a", "file");
	expect_file("b/y", "y");
	expect_file("c", "1");
	assert_true(there("b", &st) && (st.st_mode & 07777) == 0750);
}

static void test_implied(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_free_ char *path = xasprintf("%s/below", top), *tmp = xasprintf("%s/below/tmp", top);
	struct entry e = { "tmp/x", 0, "x", 0, 0, false };
	struct source s;
	struct layer_sums sums;
	struct stat st;
	int below;

	(void)state;
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(mkdir(tmp, 0700), 0);
	assert_int_equal(chmod(tmp, 01777), 0);
	below = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pack(&b, 0, &e, 1);
	s = (struct source){ .left = buf_sv(&b) };
	assert_int_equal(layer_unpack(root, &below, 1, source_read, &s, &wide, &sums, NULL), 0);
	close(below);
	assert_true(there("tmp", &st) && (st.st_mode & 07777) == 01777);
	assert_int_equal(sums.entries, 2);
	assert_int_equal(sums.bytes, 4096);
}

static void test_sums(void **state)
{
	static const int filters[] = { 0, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD };
	struct entry e = { "f", 0, "content", 0, 0, false };
	_cleanup_(buf_release) struct buf plain = BUF_INIT;
	char want[SHA256_HEX], packed[SHA256_HEX];

	(void)state;
	pack(&plain, 0, &e, 1);
	sha256_hex(buf_sv(&plain), want);
	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct layer_sums sums;

		pack(&b, filters[i], &e, 1);
		if (i)
			buf_adds(&b, "trailing bytes are the blob's too");
		if (i == 2) /* zstd reads them as a broken frame */
			b.n -= 33;
		sha256_hex(buf_sv(&b), packed);
		assert_int_equal(unpack(buf_sv(&b), &wide, &sums, NULL), 0);
		assert_string_equal(sums.unpacked, want);
		assert_string_equal(sums.packed, packed);
	}
}

static void test_no_archives(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct entry e = { "f", 0, "content", 0, 0, false };
	struct layer_sums sums;

	(void)state;
	assert_int_equal(
	    unpack(SV("this is no archive, but it is long enough to be read as one ........"), &wide, &sums, &err), -1);
	assert_int_equal(err.reason, ERR_INVALID);
	pack(&b, ARCHIVE_FILTER_GZIP, &e, 1);
	assert_int_equal(unpack(sv_sub(buf_sv(&b), 0, b.n / 2), &wide, &sums, NULL), -1);
}

static void many(struct buf *b, int n, size_t zeros)
{
	static const char block[1 << 16];
	struct archive *ar = begin(b, ARCHIVE_FILTER_GZIP);
	char name[32];

	for (int i = 0; i < n; i++) {
		struct archive_entry *x = archive_entry_new();

		(void)snprintf(name, sizeof(name), "d%d/f%d", i % 100, i);
		archive_entry_copy_pathname(x, name);
		archive_entry_set_filetype(x, AE_IFREG);
		archive_entry_set_perm(x, 0644);
		archive_entry_set_size(x, (la_int64_t)zeros);
		assert_int_equal(archive_write_header(ar, x), ARCHIVE_OK);
		for (size_t at = 0; at < zeros; at += sizeof(block))
			assert_true(archive_write_data(ar, block, MIN(sizeof(block), zeros - at)) > 0);
		archive_entry_free(x);
	}
	end(ar);
}

static void test_bombs(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, files = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT, err2 = ERR_INIT;
	struct layer_sums sums;

	(void)state;
	many(&b, 1, (size_t)64 << 20);
	assert_int_equal(unpack(buf_sv(&b), &(struct image_limits){ 32 << 20, 10 }, &sums, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	many(&files, 2000, 0); /* in a hundred directories that are not named; d0 is there */
	assert_int_equal(unpack(buf_sv(&files), &(struct image_limits){ 32 << 20, 2099 }, &sums, NULL), 0);
	assert_int_equal(sums.entries, 2099);
	assert_int_equal(unpack(buf_sv(&files), &(struct image_limits){ 32 << 20, 1999 }, &sums, &err2), -1);
	assert_int_equal(err2.reason, ERR_TOO_LARGE);
}

static void test_given_up(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct layer_sums sums;
	struct source s;

	(void)state;
	many(&b, 1, (size_t)64 << 20); /* one read of the archive */
	s = (struct source){ .left = buf_sv(&b), .stop_at = 3 };
	assert_int_equal(layer_unpack(root, NULL, 0, source_read, &s, &wide, &sums, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	assert_int_equal(s.asked, 3);
}

/* A block of 512 bytes: a header of the ustar kind. */
static void put_header(struct buf *b, const char *name, char type, size_t size)
{
	char h[512] = { 0 };
	unsigned sum = 8 * ' ';

	(void)snprintf(h, 100, "%s", name);
	(void)snprintf(h + 100, 8, "%07o", 0644);
	(void)snprintf(h + 108, 8, "%07o", 0);
	(void)snprintf(h + 116, 8, "%07o", 0);
	(void)snprintf(h + 124, 12, "%011zo", size);
	(void)snprintf(h + 136, 12, "%011o", 1000);
	h[156] = type;
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += i >= 148 && i < 156 ? 0 : (unsigned char)h[i];
	(void)snprintf(h + 148, 8, "%06o", sum);
	buf_add(b, h, sizeof(h));
}

/* "LENGTH NAME=VALUE\n", where the length counts itself; all of them here have two digits. */
static void put_pax(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "%zu %s=%s\n", strlen(name) + strlen(value) + 5, name, value);
}

/* A sparse file that is said to have one byte, and has a map of 4 MiB. */
static void test_sparse(void **state)
{
	enum { LONG = 4 << 20 };
	_cleanup_(buf_release) struct buf b = BUF_INIT, pax = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	static char block[512];
	struct layer_sums sums;

	(void)state;
	put_pax(&pax, "GNU.sparse.size", "1");
	put_pax(&pax, "GNU.sparse.numblocks", "1");
	put_pax(&pax, "GNU.sparse.offset", "0");
	put_pax(&pax, "GNU.sparse.numbytes", "4194304");
	put_header(&b, "pax", 'x', pax.n);
	buf_addsv(&b, buf_sv(&pax));
	buf_add(&b, block, 512 - pax.n % 512);
	put_header(&b, "f", '0', LONG);
	for (int i = 0; i < LONG / 512 + 2; i++)
		buf_add(&b, block, sizeof(block));
	assert_int_equal(unpack(buf_sv(&b), &wide, &sums, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	assert_non_null(strstr(err_msg(&err), "'f' is longer than the 1 bytes"));
}

int main(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		ONE(test_kinds),     ONE(test_ways_out),    ONE(test_links),	ONE(test_refused),
		ONE(test_whiteouts), ONE(test_repeats),	    ONE(test_implied),	ONE(test_sums),
		ONE(test_bombs),     ONE(test_no_archives), ONE(test_given_up), ONE(test_sparse),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
