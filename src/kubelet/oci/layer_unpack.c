/* Two readers of libarchive: the outer one undoes the compression, the inner one reads the tar in it. So both sums are
 * of what passes between them. Entries go to the disk here, not by libarchive, whose writer knows no root. */
#include "kubelet/oci/layer_unpack.h"

#include "base/lazylib.h"
#include "kubelet/oci/layer_place.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PIECE ((size_t)64 * 1024)
#define BLOCK 4096
#define ASK_EVERY ((uint64_t)1 << 20)

static typeof(archive_entry_filetype) *sym_archive_entry_filetype;
static typeof(archive_entry_gid) *sym_archive_entry_gid;
static typeof(archive_entry_hardlink) *sym_archive_entry_hardlink;
static typeof(archive_entry_mtime) *sym_archive_entry_mtime;
static typeof(archive_entry_mtime_nsec) *sym_archive_entry_mtime_nsec;
static typeof(archive_entry_pathname) *sym_archive_entry_pathname;
static typeof(archive_entry_perm) *sym_archive_entry_perm;
static typeof(archive_entry_rdev) *sym_archive_entry_rdev;
static typeof(archive_entry_size) *sym_archive_entry_size;
static typeof(archive_entry_symlink) *sym_archive_entry_symlink;
static typeof(archive_entry_uid) *sym_archive_entry_uid;
static typeof(archive_entry_xattr_next) *sym_archive_entry_xattr_next;
static typeof(archive_entry_xattr_reset) *sym_archive_entry_xattr_reset;
static typeof(archive_error_string) *sym_archive_error_string;
static typeof(archive_read_data) *sym_archive_read_data;
static typeof(archive_read_data_block) *sym_archive_read_data_block;
static typeof(archive_read_free) *sym_archive_read_free;
static typeof(archive_read_new) *sym_archive_read_new;
static typeof(archive_read_next_header) *sym_archive_read_next_header;
static typeof(archive_read_open) *sym_archive_read_open;
static typeof(archive_read_support_filter_gzip) *sym_archive_read_support_filter_gzip;
static typeof(archive_read_support_filter_zstd) *sym_archive_read_support_filter_zstd;
static typeof(archive_read_support_format_empty) *sym_archive_read_support_format_empty;
static typeof(archive_read_support_format_raw) *sym_archive_read_support_format_raw;
static typeof(archive_read_support_format_tar) *sym_archive_read_support_format_tar;
static typeof(archive_set_error) *sym_archive_set_error;

static const struct lazylib_sym layer_syms[] = {
	{ "archive_entry_filetype", &sym_archive_entry_filetype },
	{ "archive_entry_gid", &sym_archive_entry_gid },
	{ "archive_entry_hardlink", &sym_archive_entry_hardlink },
	{ "archive_entry_mtime", &sym_archive_entry_mtime },
	{ "archive_entry_mtime_nsec", &sym_archive_entry_mtime_nsec },
	{ "archive_entry_pathname", &sym_archive_entry_pathname },
	{ "archive_entry_perm", &sym_archive_entry_perm },
	{ "archive_entry_rdev", &sym_archive_entry_rdev },
	{ "archive_entry_size", &sym_archive_entry_size },
	{ "archive_entry_symlink", &sym_archive_entry_symlink },
	{ "archive_entry_uid", &sym_archive_entry_uid },
	{ "archive_entry_xattr_next", &sym_archive_entry_xattr_next },
	{ "archive_entry_xattr_reset", &sym_archive_entry_xattr_reset },
	{ "archive_error_string", &sym_archive_error_string },
	{ "archive_read_data", &sym_archive_read_data },
	{ "archive_read_data_block", &sym_archive_read_data_block },
	{ "archive_read_free", &sym_archive_read_free },
	{ "archive_read_new", &sym_archive_read_new },
	{ "archive_read_next_header", &sym_archive_read_next_header },
	{ "archive_read_open", &sym_archive_read_open },
	{ "archive_read_support_filter_gzip", &sym_archive_read_support_filter_gzip },
	{ "archive_read_support_filter_zstd", &sym_archive_read_support_filter_zstd },
	{ "archive_read_support_format_empty", &sym_archive_read_support_format_empty },
	{ "archive_read_support_format_raw", &sym_archive_read_support_format_raw },
	{ "archive_read_support_format_tar", &sym_archive_read_support_format_tar },
	{ "archive_set_error", &sym_archive_set_error },
};

static struct lazylib layer_lib = LAZYLIB("libarchive.so.13", layer_syms);

struct layer_job {
	struct layer_place place;
	layer_read *read;
	void *ctx;
	const struct image_limits *limits;
	struct archive *outer, *inner;
	EVP_MD_CTX *packed, *unpacked;
	uint64_t bytes, asked;
	struct err *err;
	bool failed; /* *err is set: what libarchive says of it is second hand */
	char piece[PIECE], plain[PIECE];
};

static la_ssize_t layer_packed(struct archive *ar, void *ctx, const void **ret)
{
	struct layer_job *j = ctx;
	ssize_t n = j->failed ? -1 : j->read(j->ctx, j->piece, PIECE, j->err);

	if (n < 0) {
		j->failed = true;
		sym_archive_set_error(ar, EIO, "reading it");
		return ARCHIVE_FATAL;
	}
	(void)EVP_DigestUpdate(j->packed, j->piece, (size_t)n);
	*ret = j->piece;
	return n;
}

static int layer_bad(struct layer_job *j, struct archive *ar)
{
	const char *why = sym_archive_error_string(ar);

	if (!j->failed)
		(void)err_set(j->err, ERR_INVALID, "it is no layer's archive: %s", why ? why : "unreadable");
	j->failed = true;
	return -1;
}

/* Whether to go on, once in a while. */
static int layer_asks(struct layer_job *j, uint64_t bytes)
{
	j->asked += bytes;
	if (j->asked < ASK_EVERY || j->failed)
		return j->failed ? -1 : 0;
	j->asked = 0;
	if (j->read(j->ctx, j->piece, 0, j->err) < 0) {
		j->failed = true;
		return -1;
	}
	return 0;
}

static la_ssize_t layer_plain(struct archive *ar, void *ctx, const void **ret)
{
	struct layer_job *j = ctx;
	la_ssize_t n = sym_archive_read_data(j->outer, j->plain, PIECE);

	if (n < 0)
		(void)layer_bad(j, j->outer);
	if (n < 0 || layer_asks(j, (uint64_t)n) < 0) {
		sym_archive_set_error(ar, EIO, "reading it");
		return ARCHIVE_FATAL;
	}
	(void)EVP_DigestUpdate(j->unpacked, j->plain, (size_t)n);
	*ret = j->plain;
	return n;
}

static int layer_count(struct layer_job *j, uint64_t bytes)
{
	if (j->place.made > j->limits->max_files)
		return err_set(j->err, ERR_TOO_LARGE, "it holds more than %" PRIu64 " files", j->limits->max_files);
	if (bytes > j->limits->max_bytes || (bytes + BLOCK - 1) / BLOCK * BLOCK > j->limits->max_bytes - j->bytes)
		return err_set(j->err, ERR_TOO_LARGE, "it unpacks to more than %" PRIu64 " MiB",
			       j->limits->max_bytes >> 20);
	j->bytes += (bytes + BLOCK - 1) / BLOCK * BLOCK;
	return 0;
}

/* --- one entry --- */

/* user.overlay.* would be read by an overlay that is mounted so. */
static bool layer_attr_kept(const char *name)
{
	struct sv s = sv_from(name);

	return sv_is(s, "security.capability") || (sv_starts(s, SV("user.")) && !sv_starts(s, SV("user.overlay.")));
}

static int layer_attrs(struct layer_job *j, struct archive_entry *e, int fd, const char *name)
{
	const char *key;
	const void *value;
	size_t n;

	(void)sym_archive_entry_xattr_reset(e);
	while (sym_archive_entry_xattr_next(e, &key, &value, &n) == ARCHIVE_OK)
		if (key && layer_attr_kept(key) && fsetxattr(fd, key, value, n, 0) < 0 && errno != ENOTSUP)
			return err_set_errno(j->err, errno, "giving '%s' its attribute '%s'", name, key);
	return 0;
}

/* Owner first, as a change of it takes set-id bits and capabilities away. fd -1: a link, or what cannot be opened. */
static int layer_dress(struct layer_job *j, struct archive_entry *e, int fd, int at, const char *name, bool link)
{
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT },
				 { sym_archive_entry_mtime(e), sym_archive_entry_mtime_nsec(e) } };
	uid_t uid = (uid_t)sym_archive_entry_uid(e);
	gid_t gid = (gid_t)sym_archive_entry_gid(e);
	mode_t mode = sym_archive_entry_perm(e) & 07777;

	if (fd >= 0 ? fchown(fd, uid, gid) < 0 : fchownat(at, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set_errno(j->err, errno, "giving '%s' its owner", name);
	/* Not a link: fchmodat() follows only what is one, and nobody else is here. */
	if (!link && (fd >= 0 ? fchmod(fd, mode) < 0 : fchmodat(at, name, mode, 0) < 0))
		return err_set_errno(j->err, errno, "giving '%s' its mode", name);
	if (fd >= 0 && layer_attrs(j, e, fd, name) < 0)
		return -1;
	if (fd >= 0 ? futimens(fd, t) < 0 : utimensat(at, name, t, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set_errno(j->err, errno, "giving '%s' its time", name);
	return 0;
}

/* Never more than was counted: what an archive says of an entry's size and what it brings are two things. */
static int layer_content(struct layer_job *j, int fd, const char *name, uint64_t size)
{
	const void *p;
	size_t n;
	la_int64_t at;
	int r;

	while ((r = sym_archive_read_data_block(j->inner, &p, &n, &at)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		if (n && (at < 0 || (uint64_t)at > size || n > size - (uint64_t)at))
			return err_set(j->err, ERR_TOO_LARGE,
				       "'%s' is longer than the %" PRIu64 " bytes it is said to be", name, size);
		while (n) {
			ssize_t w = pwrite(fd, p, n, at);

			if (w < 0 && errno == EINTR)
				continue;
			if (w < 0)
				return err_set_errno(j->err, errno, "writing '%s'", name);
			p = (const char *)p + w;
			n -= (size_t)w;
			at += w;
		}
	}
	return r == ARCHIVE_EOF ? 0 : layer_bad(j, j->inner);
}

static int layer_file(struct layer_job *j, struct archive_entry *e, int at, const char *name)
{
	int64_t size = MAX(sym_archive_entry_size(e), 0);
	_cleanup_close_ int fd = -1;

	if (layer_count(j, (uint64_t)size) < 0)
		return -1;
	fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(j->err, errno, "making '%s'", name);
	/* A file with holes has its length though it ends with one. */
	if (ftruncate(fd, size) < 0)
		return err_set_errno(j->err, errno, "making '%s'", name);
	return layer_content(j, fd, name, (uint64_t)size) < 0 ? -1 : layer_dress(j, e, fd, at, name, false);
}

static int layer_dir(struct layer_job *j, struct archive_entry *e, int at, const char *name)
{
	_cleanup_close_ int fd = layer_place_dir(&j->place, at, name, j->err);

	return fd < 0 || layer_count(j, 0) < 0 ? -1 : layer_dress(j, e, fd, at, name, false);
}

static int layer_special(struct layer_job *j, struct archive_entry *e, int at, const char *name)
{
	mode_t type = sym_archive_entry_filetype(e);

	if (mknodat(at, name, type | 0600, type == AE_IFIFO ? 0 : sym_archive_entry_rdev(e)) < 0)
		return err_set_errno(j->err, errno, "making '%s'", name);
	return layer_count(j, 0) < 0 ? -1 : layer_dress(j, e, -1, at, name, false);
}

static int layer_symlink(struct layer_job *j, struct archive_entry *e, int at, const char *name)
{
	const char *to = sym_archive_entry_symlink(e);

	if (!to || !*to)
		return err_set(j->err, ERR_INVALID, "link '%s' leads nowhere", name);
	if (symlinkat(to, at, name) < 0)
		return err_set_errno(j->err, errno, "making link '%s'", name);
	return layer_count(j, 0) < 0 ? -1 : layer_dress(j, e, -1, at, name, true);
}

/* Both ends are found the same way, so that a link never has an end outside. */
static int layer_hardlink(struct layer_job *j, const char *to, int at, const char *name)
{
	char last[NAME_MAX + 1];
	_cleanup_close_ int from = layer_place_above(&j->place, to, false, last, j->err);
	struct stat target, there;

	if (from < 0)
		return err_wrap(j->err, "'%s' is a link to '%s'", name, to);
	if (!*last || fstatat(from, last, &target, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(j->err, ERR_INVALID, "'%s' is a link to '%s', which is not in the layer", name, to);
	if (fstatat(at, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == target.st_ino)
		return 0;
	if (layer_place_clear(at, name, j->err) < 0)
		return -1;
	if (linkat(from, last, at, name, 0) < 0)
		return err_set_errno(j->err, errno, "linking '%s' to '%s'", name, to);
	j->place.made++;
	return layer_count(j, 0);
}

static int layer_entry_at(struct layer_job *j, struct archive_entry *e, int at, const char *name)
{
	const char *to = sym_archive_entry_hardlink(e);
	mode_t type = sym_archive_entry_filetype(e);

	if (to)
		return layer_hardlink(j, to, at, name);
	if (type == AE_IFDIR)
		return layer_dir(j, e, at, name);
	if (type != AE_IFREG && type != AE_IFLNK && type != AE_IFIFO && type != AE_IFCHR && type != AE_IFBLK)
		return 0;
	if (layer_place_clear(at, name, j->err) < 0)
		return -1;
	j->place.made++;
	return type == AE_IFREG	  ? layer_file(j, e, at, name)
	       : type == AE_IFLNK ? layer_symlink(j, e, at, name)
				  : layer_special(j, e, at, name);
}

static int layer_entry(struct layer_job *j, struct archive_entry *e)
{
	const char *path = sym_archive_entry_pathname(e);
	char name[NAME_MAX + 1];
	_cleanup_close_ int at = -1;
	struct stat st;
	int rc;

	if (!path)
		return err_set(j->err, ERR_INVALID, "it has an entry without a name");
	at = layer_place_above(&j->place, path, true, name, j->err);
	if (at < 0)
		return -1;
	if (!*name) /* the root itself */
		return sym_archive_entry_filetype(e) == AE_IFDIR
			   ? layer_dress(j, e, at, at, "/", false)
			   : err_set(j->err, ERR_INVALID, "its entry '%.200s' would be the root", path);
	/* What is made in a directory changes its time, which is the archive's to say. */
	if (fstat(at, &st) < 0)
		return err_set_errno(j->err, errno, "looking at the directory of '%s'", name);
	rc = sv_starts(sv_from(name), SV(LAYER_WHITEOUT)) ? layer_place_whiteout(&j->place, at, name, j->err)
							  : layer_entry_at(j, e, at, name);
	(void)futimens(at, (struct timespec[]){ { .tv_nsec = UTIME_OMIT }, st.st_mtim });
	return rc < 0 || layer_count(j, 0) < 0 ? -1 : 0;
}

/* --- all of them --- */

static int layer_entries(struct layer_job *j)
{
	struct archive_entry *e;
	int r;

	while ((r = sym_archive_read_next_header(j->inner, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN)
		if (layer_entry(j, e) < 0)
			return -1;
	return r == ARCHIVE_EOF && !j->failed ? 0 : layer_bad(j, j->inner);
}

/* What stands behind the end of the tar is part of both sums, and counts as what is unpacked: it may be endless. */
static int layer_rest(struct layer_job *j)
{
	uint64_t behind = 0;
	la_ssize_t n;

	while ((n = sym_archive_read_data(j->outer, j->plain, PIECE)) > 0) {
		behind += (uint64_t)n;
		if (behind > j->limits->max_bytes)
			return err_set(j->err, ERR_TOO_LARGE, "it unpacks to more than %" PRIu64 " MiB",
				       j->limits->max_bytes >> 20);
		(void)EVP_DigestUpdate(j->unpacked, j->plain, (size_t)n);
		if (layer_asks(j, (uint64_t)n) < 0)
			return -1;
	}
	if (n < 0)
		return layer_bad(j, j->outer);
	do {
		n = j->read(j->ctx, j->piece, PIECE, j->err);
		if (n > 0)
			(void)EVP_DigestUpdate(j->packed, j->piece, (size_t)n);
	} while (n > 0);
	return n < 0 ? -1 : 0;
}

static void layer_hex(EVP_MD_CTX *md, char ret[65])
{
	unsigned char sum[EVP_MAX_MD_SIZE];

	(void)EVP_DigestFinal_ex(md, sum, NULL);
	for (unsigned i = 0; i < 32; i++)
		(void)snprintf(ret + (size_t)2 * i, 3, "%02x", sum[i]);
}

static int layer_open(struct layer_job *j)
{
	struct archive_entry *e;
	int r;

	/* What containerd takes; other filters of libarchive would start programs. */
	(void)sym_archive_read_support_filter_gzip(j->outer);
	(void)sym_archive_read_support_filter_zstd(j->outer);
	(void)sym_archive_read_support_format_raw(j->outer);
	(void)sym_archive_read_support_format_empty(j->outer);
	(void)sym_archive_read_support_format_tar(j->inner);
	(void)sym_archive_read_support_format_empty(j->inner);
	if (sym_archive_read_open(j->outer, j, NULL, layer_packed, NULL) != ARCHIVE_OK)
		return layer_bad(j, j->outer);
	r = sym_archive_read_next_header(j->outer, &e);
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN && r != ARCHIVE_EOF)
		return layer_bad(j, j->outer);
	return sym_archive_read_open(j->inner, j, NULL, layer_plain, NULL) == ARCHIVE_OK ? 0 : layer_bad(j, j->inner);
}

int layer_unpack(int dir, const int *below, size_t n_below, layer_read *read, void *ctx, const struct image_limits *l,
		 struct layer_sums *ret, struct err *err)
{
	struct layer_job *j;
	int rc;

	if (lazylib_need(&layer_lib, err) < 0)
		return err_wrap(err, "unpacking images needs Debian's libarchive13");
	j = xcalloc(1, sizeof(*j));
	j->place = (struct layer_place){ .dir = dir, .below = below, .n_below = n_below };
	j->read = read;
	j->ctx = ctx;
	j->limits = l;
	j->err = err;
	j->outer = sym_archive_read_new();
	j->inner = sym_archive_read_new();
	j->packed = EVP_MD_CTX_new();
	j->unpacked = EVP_MD_CTX_new();
	if (!j->outer || !j->inner || !j->packed || !j->unpacked)
		out_of("memory");
	rc = EVP_DigestInit_ex(j->packed, EVP_sha256(), NULL) == 1 &&
		     EVP_DigestInit_ex(j->unpacked, EVP_sha256(), NULL) == 1
		 ? 0
		 : err_set(err, ERR_INTERNAL, "OpenSSL has no SHA-256");
	if (rc == 0 && (layer_open(j) < 0 || layer_entries(j) < 0 || layer_rest(j) < 0))
		rc = -1;
	if (rc == 0) {
		layer_hex(j->packed, ret->packed);
		layer_hex(j->unpacked, ret->unpacked);
		ret->bytes = j->bytes;
		ret->entries = j->place.made;
	}
	sym_archive_read_free(j->inner);
	sym_archive_read_free(j->outer);
	EVP_MD_CTX_free(j->packed);
	EVP_MD_CTX_free(j->unpacked);
	free(j);
	return rc;
}
