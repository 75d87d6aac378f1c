/* The copy is made with one descriptor: nobody else changes it, so ".." leads back. Which names are one file is kept in
 * the copy itself while it is made: a directory of names by inode (LINKS), each a link to the first. Links reach no
 * other file system, so that it has to be there; its name gives way to one of the volume's. */
#include "kubelet/local/local_tree.h"

#include "base/base.h"
#include "base/tree.h"
#include "kubelet/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COPY_BYTES ((size_t)1 << 20)
#define LINKS ".caravel-links-%u" /* of the copy's root; gone when it is whole */
#define LINKS_MAX 40
#define SPARE_BYTES ((int64_t)64 << 20)	 /* so often the disk is asked */
#define MORE_BYTES ((int64_t)16 << 20)	 /* than there were: always fine */
#define MORE_ENTRIES ((int64_t)64 << 10) /* the same */
#define XATTR_MAX ((size_t)64 << 10)

/* --- what a copy may take --- */

static int budget_full(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE,
		       "the disk is nearly full: a copy leaves a tenth of it free; remove snapshots, and bound them by "
		       "a ResourceQuota of count/volumesnapshots.snapshot.storage.k8s.io");
}

static int budget_take(struct local_budget *b, int to, int64_t bytes, struct err *err)
{
	b->bytes -= bytes;
	b->unasked -= bytes;
	if (b->bytes < 0)
		return err_set(err, ERR_UNAVAILABLE,
			       "so much is written while the volume is copied that the copy would be larger than the "
			       "volume: it is tried again");
	if (b->unasked > 0 || !b->spare)
		return 0;
	b->unasked = SPARE_BYTES;
	return b->spare(to) < SPARE_BYTES ? budget_full(err) : 0;
}

/* Names cost, too. */
static int budget_entry(struct local_budget *b, int to, struct err *err)
{
	if (--b->entries < 0)
		b->bytes = 0;
	return budget_take(b, to, b->entries < 0, err);
}

/* What is there, and an eighth; files with several names in parts. */
static int budget_of(int from, int64_t bytes, struct local_budget *ret, struct err *err)
{
	int root = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t held = 0, entries = 0;
	enum tree_step step;
	struct tree_walk w;
	struct tree_at f;

	if (root < 0)
		return err_set_errno(err, errno, "opening a volume");
	if (tree_walk_begin(&w, root, false, err) < 0)
		return -1;
	while ((step = tree_walk_next(&w, &f, err)) != TREE_END && step != TREE_FAILED) {
		if (step != TREE_FILE && step != TREE_ENTER)
			continue;
		entries++;
		held += S_ISREG(f.st.st_mode) ? (int64_t)f.st.st_blocks * 512 / MAX((int64_t)f.st.st_nlink, 1) : 0;
	}
	tree_walk_release(&w);
	if (step == TREE_FAILED)
		return -1;
	held = MAX(held, bytes);
	ret->bytes = held + held / 8 + MORE_BYTES;
	ret->entries = entries + entries / 8 + MORE_ENTRIES;
	return 0;
}

/* --- the bytes of a file --- */

/* Of a file that may change its mind about where its holes are: what is read is what is written, at the same place. */
int local_copy_bytes(int from, int to, struct local_budget *b, struct err *err)
{
	_cleanup_free_ char *buf = NULL;
	off_t at = 0, end;
	struct stat st;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return err_set_errno(err, errno, "copying a volume");
	buf = xmalloc(COPY_BYTES);
	while (at < st.st_size && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		end = lseek(from, at, SEEK_HOLE);
		if (end < 0 || end > st.st_size)
			end = st.st_size;
		while (at < end) {
			ssize_t n = pread(from, buf, (size_t)MIN((off_t)COPY_BYTES, end - at), at);

			if (n == 0)
				return 0; /* it was made shorter meanwhile */
			if (n > 0 && budget_take(b, to, n, err) < 0)
				return -1;
			if (n < 0 || pwrite(to, buf, (size_t)n, at) != n)
				return err_set_errno(err, errno ? errno : ENOSPC, "copying a volume");
			at += n;
		}
	}
	return at >= 0 || errno == ENXIO
		   ? 0
		   : err_set_errno(err, errno, "copying a volume"); /* ENXIO: only a hole is left */
}

/* --- what a file is beside its contents --- */

/* What the copy's file system does not take, as a label of another security module, is left out. */
static int copy_attributes(int from, int to, struct err *err)
{
	_cleanup_free_ char *names = xmalloc(XATTR_MAX), *value = xmalloc(XATTR_MAX);
	ssize_t n = flistxattr(from, names, XATTR_MAX);

	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1) {
		ssize_t len = fgetxattr(from, names + i, value, XATTR_MAX);

		if (len < 0 || fsetxattr(to, names + i, value, (size_t)len, 0) == 0)
			continue;
		if (errno != EOPNOTSUPP && errno != EPERM && errno != EINVAL)
			return err_set_errno(err, errno, "copying the attribute %s", names + i);
	}
	return 0;
}

/* The owner first: that takes bits of the mode away, and capabilities. */
static int copy_state(int from, int to, const struct stat *st, struct err *err)
{
	const struct timespec times[] = { st->st_atim, st->st_mtim };

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return err_set_errno(err, errno, "copying owner and mode");
	if (copy_attributes(from, to, err) < 0)
		return -1;
	return futimens(to, times) < 0 ? err_set_errno(err, errno, "copying times") : 0;
}

/* --- names that are one file --- */

struct tree_copy {
	int root, links, at; /* of the copy: its root, LINKS or -1, the directory that is being filled */
	size_t depth;	     /* of at; 0: the root, by whatever descriptor */
	unsigned no;	     /* of LINKS */
	struct local_budget budget;
};

static const char *links_name(unsigned no, char ret[LINKS_MAX])
{
	(void)snprintf(ret, LINKS_MAX, LINKS, no);
	return ret;
}

static int links_begin(struct tree_copy *c, struct err *err)
{
	char name[LINKS_MAX];

	while (mkdirat(c->root, links_name(c->no, name), 0700) < 0) {
		if (errno != EEXIST)
			return err_set_errno(err, errno, "making a directory for links");
		c->no++; /* the volume's */
	}
	c->links = beneath_open(c->root, name, O_RDONLY | O_DIRECTORY);
	return c->links < 0 ? err_set_errno(err, errno, "opening the directory for links") : 0;
}

/* The volume has that name itself. Numbers only grow, so that this is linear in its names. */
static int links_give_way(struct tree_copy *c, const char *name, struct err *err)
{
	char now[LINKS_MAX], next[LINKS_MAX];

	if (c->links < 0 || c->depth || strcmp(name, links_name(c->no, now)) != 0)
		return 0;
	do
		links_name(++c->no, next);
	while (renameat2(c->root, now, c->root, next, RENAME_NOREPLACE) < 0 && errno == EEXIST);
	return faccessat(c->root, now, F_OK, AT_SYMLINK_NOFOLLOW) == 0
		   ? err_set(err, ERR_UNAVAILABLE, "the directory for links cannot be renamed")
		   : 0;
}

static int links_end(struct tree_copy *c, struct err *err)
{
	char name[LINKS_MAX];

	if (c->links < 0)
		return 0;
	close(c->links);
	c->links = -1;
	return tree_remove_some(c->root, links_name(c->no, name), SIZE_MAX, err);
}

static void link_name(const struct stat *st, char ret[40])
{
	(void)snprintf(ret, 40, "%" PRIx64 "-%" PRIx64, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
}

/* 1: it is there, as another name of what was copied before. */
static int copy_again(struct tree_copy *c, const struct stat *st, const char *name, struct err *err)
{
	char known[40];

	if (st->st_nlink < 2 || c->links < 0)
		return 0;
	link_name(st, known);
	if (linkat(c->links, known, c->at, name, 0) == 0)
		return 1;
	return errno == ENOENT || errno == EMLINK ? 0 : err_set_errno(err, errno, "linking '%s'", name);
}

static int copy_known(struct tree_copy *c, const struct stat *st, const char *name, struct err *err)
{
	char known[40];

	if (st->st_nlink < 2)
		return 0;
	link_name(st, known);
	if (c->links < 0 && links_begin(c, err) < 0)
		return -1;
	return linkat(c->at, name, c->links, known, 0) == 0 || errno == EEXIST || errno == EMLINK
		   ? 0
		   : err_set_errno(err, errno, "linking '%s'", name);
}

/* --- the entries --- */

static int copy_regular(struct tree_copy *c, const struct tree_at *f, struct err *err)
{
	/* What it is by now: opening it waits for nobody, and what is read is what was opened. */
	_cleanup_close_ int from = beneath_open(f->dir, f->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW), to = -1;
	struct stat st;
	int rc;

	if (from < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO
			   ? 0
			   : err_set_errno(err, errno, "opening '%s'", f->name);
	if (fstat(from, &st) < 0)
		return err_set_errno(err, errno, "looking at '%s'", f->name);
	if (!S_ISREG(st.st_mode))
		return 0; /* exchanged */
	rc = copy_again(c, &st, f->name, err);
	if (rc)
		return MIN(rc, 0);
	to = openat(c->at, f->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return err_set_errno(err, errno, "making '%s'", f->name);
	if (local_copy_bytes(from, to, &c->budget, err) < 0 || copy_state(from, to, &st, err) < 0)
		return -1;
	return copy_known(c, &st, f->name, err);
}

static int copy_link(struct tree_copy *c, const struct tree_at *f, struct err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(f->dir, f->name, target, sizeof(target) - 1);

	if (n < 0)
		return errno == ENOENT || errno == EINVAL ? 0 : err_set_errno(err, errno, "reading '%s'", f->name);
	target[n] = '\0';
	return symlinkat(target, c->at, f->name) < 0 ? err_set_errno(err, errno, "making '%s'", f->name) : 0;
}

/* FIFOs, devices and links: they are not opened. */
static int copy_special(struct tree_copy *c, const struct tree_at *f, struct err *err)
{
	const struct timespec times[] = { f->st.st_atim, f->st.st_mtim };
	int rc = copy_again(c, &f->st, f->name, err);

	if (rc)
		return MIN(rc, 0);
	if (S_ISLNK(f->st.st_mode)) {
		if (copy_link(c, f, err) < 0)
			return -1;
	} else if (mknodat(c->at, f->name, f->st.st_mode & (S_IFMT | 0777), f->st.st_rdev) < 0) {
		return err_set_errno(err, errno, "making '%s'", f->name);
	}
	if (fchownat(c->at, f->name, f->st.st_uid, f->st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISLNK(f->st.st_mode) && fchmodat(c->at, f->name, f->st.st_mode & 07777, 0) < 0) ||
	    utimensat(c->at, f->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "copying owner and mode of '%s'", f->name);
	return copy_known(c, &f->st, f->name, err);
}

/* Into it; its state comes when it is left, so that it can be filled. */
static int copy_enter(struct tree_copy *c, const char *name, struct err *err)
{
	int next;

	if (mkdirat(c->at, name, 0700) < 0)
		return err_set_errno(err, errno, "making the directory '%s'", name);
	next = beneath_open(c->at, name, O_RDONLY | O_DIRECTORY);
	if (next < 0)
		return err_set_errno(err, errno, "opening the directory '%s'", name);
	if (c->at != c->root)
		close(c->at);
	c->at = next;
	c->depth++;
	return 0;
}

static int copy_leave(struct tree_copy *c, const struct tree_at *f, struct err *err)
{
	_cleanup_close_ int from = beneath_open(f->dir, f->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	struct stat st;
	int up;

	if (from >= 0 && fstat(from, &st) == 0 && copy_state(from, c->at, &st, err) < 0)
		return -1;
	up = openat(c->at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (up < 0)
		return err_set_errno(err, errno, "going back from '%s'", f->name);
	close(c->at);
	c->at = up;
	c->depth--;
	return 0;
}

static int copy_step(struct tree_copy *c, enum tree_step step, const struct tree_at *f, struct err *err)
{
	if ((step == TREE_ENTER || step == TREE_FILE || step == TREE_MOUNT) &&
	    (links_give_way(c, f->name, err) < 0 || budget_entry(&c->budget, c->root, err) < 0))
		return -1;
	switch (step) {
	case TREE_ENTER:
		return copy_enter(c, f->name, err);
	case TREE_LEAVE:
		return copy_leave(c, f, err);
	case TREE_MOUNT: /* where it is mounted, and nothing of what is */
		return mkdirat(c->at, f->name, f->st.st_mode & 07777) < 0
			   ? err_set_errno(err, errno, "making the directory '%s'", f->name)
			   : 0;
	case TREE_LOST:
		return err_set(err, ERR_UNAVAILABLE, "directories of the volume are being moved");
	case TREE_FILE:
		return S_ISREG(f->st.st_mode)	 ? copy_regular(c, f, err)
		       : S_ISSOCK(f->st.st_mode) ? 0
						 : copy_special(c, f, err);
	case TREE_END:
	case TREE_FAILED:
		break;
	}
	return -1;
}

static int copy_all(struct tree_copy *c, int from_take, struct err *err)
{
	struct tree_walk w;
	struct tree_at f;
	enum tree_step step;
	int rc = 0;

	if (tree_walk_begin(&w, from_take, false, err) < 0)
		return -1;
	while (rc == 0 && (step = tree_walk_next(&w, &f, err)) != TREE_END)
		rc = copy_step(c, step, &f, err);
	tree_walk_release(&w);
	return rc;
}

int local_tree_copy(int from, int to, int64_t bytes, int64_t (*spare)(int fd), struct err *err)
{
	struct tree_copy c = { .root = to, .links = -1, .at = to, .budget.spare = spare };
	struct stat st;
	int walk, rc;

	if (budget_of(from, bytes, &c.budget, err) < 0)
		return -1;
	walk = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (walk < 0 || fstat(from, &st) < 0) {
		close_fdp(&walk);
		return err_set_errno(err, errno, "opening a volume");
	}
	rc = copy_all(&c, walk, err);
	if (c.at != c.root)
		close(c.at);
	if (rc == 0)
		rc = links_end(&c, err);
	close_fdp(&c.links);
	return rc == 0 ? copy_state(from, to, &st, err) : -1;
}
