/* An archive whose members may be archives: two levels, read at once by two readers of libarchive, of which the inner
 * gets what the outer unpacks. */
#include "kubelet/image_size.h"

#include "base/lazylib.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#define PIECE ((size_t)64 * 1024)
#define BLOCK 4096
#define DOCUMENT_MAX ((uint64_t)4 << 20) /* bytes of a manifest or configuration */
#define MEMBERS_MAX 10000
#define FREE_PART 20 /* one of so many parts of the disk stays free */

static typeof(archive_entry_size) *sym_archive_entry_size;
static typeof(archive_error_string) *sym_archive_error_string;
static typeof(archive_read_data) *sym_archive_read_data;
static typeof(archive_read_free) *sym_archive_read_free;
static typeof(archive_read_new) *sym_archive_read_new;
static typeof(archive_read_next_header) *sym_archive_read_next_header;
static typeof(archive_read_open) *sym_archive_read_open;
static typeof(archive_read_open_filename) *sym_archive_read_open_filename;
static typeof(archive_read_support_filter_gzip) *sym_archive_read_support_filter_gzip;
static typeof(archive_read_support_filter_zstd) *sym_archive_read_support_filter_zstd;
static typeof(archive_read_support_format_tar) *sym_archive_read_support_format_tar;

static const struct lazylib_sym read_syms[] = {
	{ "archive_entry_size", &sym_archive_entry_size },
	{ "archive_error_string", &sym_archive_error_string },
	{ "archive_read_data", &sym_archive_read_data },
	{ "archive_read_free", &sym_archive_read_free },
	{ "archive_read_new", &sym_archive_read_new },
	{ "archive_read_next_header", &sym_archive_read_next_header },
	{ "archive_read_open", &sym_archive_read_open },
	{ "archive_read_open_filename", &sym_archive_read_open_filename },
	{ "archive_read_support_filter_gzip", &sym_archive_read_support_filter_gzip },
	{ "archive_read_support_filter_zstd", &sym_archive_read_support_filter_zstd },
	{ "archive_read_support_format_tar", &sym_archive_read_support_format_tar },
};

static struct lazylib read_lib = LAZYLIB("libarchive.so.13", read_syms);

struct member {
	struct archive *outer;
	char piece[PIECE];
};

static la_ssize_t image_size_read_member(struct archive *inner, void *ctx, const void **ret)
{
	struct member *m = ctx;

	(void)inner;
	*ret = m->piece;
	return sym_archive_read_data(m->outer, m->piece, PIECE);
}

/* What containerd takes; other filters of libarchive would start programs. */
static struct archive *reader(void)
{
	struct archive *ar = sym_archive_read_new();

	(void)sym_archive_read_support_filter_gzip(ar);
	(void)sym_archive_read_support_filter_zstd(ar);
	(void)sym_archive_read_support_format_tar(ar);
	return ar;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static int image_size_count(struct archive_entry *e, const struct image_limits *l, struct image_size *s,
			    struct err *err)
{
	int64_t n = sym_archive_entry_size(e);
	uint64_t bytes = n > 0 ? (uint64_t)n : 0;

	s->files++;
	s->unpacked = sum(s->unpacked, sum(bytes, BLOCK - 1) / BLOCK * BLOCK);
	if (s->files > l->max_files)
		return err_set(err, ERR_TOO_LARGE, "it holds more than %" PRIu64 " files; --max-files allows more",
			       l->max_files);
	if (s->unpacked > l->max_bytes)
		return err_set(err, ERR_TOO_LARGE,
			       "it unpacks to more than %" PRIu64 " MiB; --max-size allows more, 'caravel help image "
			       "import' says how",
			       l->max_bytes >> 20);
	return 0;
}

static int bad_archive(struct archive *ar, struct err *err)
{
	const char *why = sym_archive_error_string(ar);

	return err_set(err, ERR_INVALID, "it is no image archive: %s", why ? why : "unreadable");
}

/* The next entry: 1; the end: 0; -1. */
static int image_size_next(struct archive *ar, struct archive_entry **ret)
{
	int r = sym_archive_read_next_header(ar, ret);

	return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 1 : r == ARCHIVE_EOF ? 0 : -1;
}

/* A member of the outer archive: a layer, or a document, which counts for nothing here. What only looks like a document
 * must not be a layer that others can read on. */
static int measure_member(struct member *m, uint64_t bytes, const struct image_limits *l, struct image_size *s,
			  struct err *err)
{
	struct archive *inner = reader();
	struct archive_entry *e;
	uint64_t before = s->files;
	int rc = 0, r = -1;

	if (sym_archive_read_open(inner, m, NULL, image_size_read_member, NULL) == ARCHIVE_OK)
		while (rc == 0 && (r = image_size_next(inner, &e)) > 0)
			rc = image_size_count(e, l, s, err);
	if (rc == 0 && r < 0 && (s->files > before || bytes > DOCUMENT_MAX))
		rc = bad_archive(inner, err);
	sym_archive_read_free(inner);
	return rc;
}

static int measure(struct member *m, const struct image_limits *l, struct image_size *ret, struct err *err)
{
	const struct image_limits packed = { .max_bytes = l->max_bytes, .max_files = UINT64_MAX };
	struct archive_entry *e;
	int r;

	while ((r = image_size_next(m->outer, &e)) > 0) {
		/* The archive itself may be a bomb, as a whole. */
		struct image_size outer = { .unpacked = ret->packed };
		int64_t bytes = sym_archive_entry_size(e);

		if (image_size_count(e, &packed, &outer, err) < 0 || ++ret->members > MEMBERS_MAX)
			return ret->members > MEMBERS_MAX
				   ? err_set(err, ERR_TOO_LARGE, "it has more than %d members", MEMBERS_MAX)
				   : -1;
		ret->packed = outer.unpacked;
		if (measure_member(m, (uint64_t)MAX(bytes, 0), l, ret, err) < 0)
			return -1;
	}
	return r == 0 ? 0 : bad_archive(m->outer, err);
}

int image_measure(const char *path, const struct image_limits *l, struct image_size *ret, struct err *err)
{
	struct member *m;
	int rc;

	*ret = (struct image_size){ 0 };
	if (lazylib_need(&read_lib, err) < 0)
		return -1;
	m = xcalloc(1, sizeof(*m));
	m->outer = reader();
	if (sym_archive_read_open_filename(m->outer, path, PIECE) == ARCHIVE_OK)
		rc = measure(m, l, ret, err);
	else
		rc = bad_archive(m->outer, err);
	sym_archive_read_free(m->outer);
	free(m);
	return rc;
}

int image_fits(const struct image_size *size, const char *dir, struct err *err)
{
	uint64_t need = sum(size->packed, size->unpacked), have, keep;
	struct statvfs fs;

	if (statvfs(dir, &fs) < 0)
		return err_set_errno(err, errno, "looking at the free space of '%s'", dir);
	have = (uint64_t)fs.f_bavail * fs.f_frsize;
	keep = (uint64_t)fs.f_blocks * fs.f_frsize / FREE_PART;
	if (sum(need, keep) > have)
		return err_set(err, ERR_TOO_LARGE,
			       "it takes %" PRIu64 " MiB, and of the %" PRIu64 " MiB free below '%s' %" PRIu64
			       " MiB are to stay so: free some, or import with --force",
			       need >> 20, have >> 20, dir, keep >> 20);
	if (fs.f_files && size->files > fs.f_favail)
		return err_set(err, ERR_TOO_LARGE, "it holds %" PRIu64 " files, and '%s' has room for %" PRIu64,
			       size->files, dir, (uint64_t)fs.f_favail);
	return 0;
}
