/* power_disk.h - a disk that knows what a lost power supply would leave of a store's directory. Only for tests.
 *
 * The calls that change files are wrapped by the linker (power_wraps in meson.build). From a chosen one on all of them
 * fail without doing anything, which is a killed process seen from the disk, or one of them fails. What a lost power
 * supply leaves is worked out from the syncs: of a file what had been written before its last one, of the directory
 * the names at its last one; the kernel may have written more, of names also a part, so those are tried, too.
 *
 * Threads: the wraps may be called from any; arm, image and forget while no store is open.
 */
#pragma once

#include "dir_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/uio.h>

struct file {
	ino_t ino;
	int held; /* open, so that nobody else gets its number: on the disk it is there as long as a name of it may be
		   */
	struct buf durable;
	VEC(struct {
		off_t at;
		size_t n;
	})
	dirty;
};
struct name {
	char name[32];
	ino_t ino;
};
typedef VEC(struct name) disk_name_list;

/* Changes of a directory that were not synced may be on disk, each by itself: none, all, or some. */
enum disk_names {
	NAMES_SYNCED,
	NAMES_NOW,
	NAMES_RENAMED, /* of what was not synced only the manifest's new file */
	NAMES_REMOVED, /* of what was not synced only the removals */
};

/* FAIL_LATE: the call does its work and says EIO; and after the two calls that it takes to make up for it, DIE.
 * DIE_NAMED, DIE_REMOVED: DIE from the first call after a rename, or a removal. */
enum fault { NONE, SHORT, DIE, DIE_NAMED, DIE_REMOVED, FAIL_EIO, FAIL_ENOSPC, FAIL_LATE };

static struct {
	pthread_mutex_t mu;
	bool armed, named, removed,
	    late; /* named: a rename has been done, removed: a removal; late: FAIL_LATE has happened, to a sync */
	enum fault fault;
	long calls, at;
	struct stat dir;
	VEC(struct file) files;
	disk_name_list names;		 /* durable */
	VEC(ino_t) dirs;		 /* directories that were synced, this one and others */
	VEC(ino_t) unsynced;		 /* directories in which names have changed since */
	bool exchanged, exchanged_early; /* two directories; while any name or content was not on disk */
	VEC(int) spoiled; /* descriptors that a sync failed on: a later success of theirs means nothing */
	bool reused;	  /* one of them was used again */
} disk = { .mu = PTHREAD_MUTEX_INITIALIZER };

int __real_open64(const char *path, int flags, mode_t mode);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t off);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int n, off_t off);
int __real_rename(const char *from, const char *to);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __real_link(const char *from, const char *to);
int __real_mkdir(const char *path, mode_t mode);
int __real_unlink(const char *path);
int __real_unlinkat(int fd, const char *path, int flags);
int __real_ftruncate64(int fd, off_t n);
int __real_fallocate64(int fd, int mode, off_t at, off_t n);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t off);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off);
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_link(const char *from, const char *to);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __wrap_ftruncate64(int fd, off_t n);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t n);
int __wrap_posix_fallocate64(int fd, off_t at, off_t n);

static struct file *disk_file(int fd)
{
	struct file fresh = { .durable = BUF_INIT };
	struct stat st;
	char path[64];

	assert_int_equal(fstat(fd, &st), 0);
	for (size_t i = 0; i < disk.files.n; i++)
		if (disk.files.p[i].ino == st.st_ino)
			return &disk.files.p[i];
	fresh.ino = st.st_ino;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* not its duplicate, which would hold its lock, too */
	fresh.held = __real_open64(path, O_PATH | O_CLOEXEC, 0);
	assert_true(fresh.held >= 0);
	vec_push(&disk.files, fresh);
	return &vec_last(&disk.files);
}

/* 0: go on; otherwise the call fails like that. */
static enum fault disk_gate(void)
{
	if (!disk.armed)
		return NONE;
	disk.calls++;
	if ((disk.fault == DIE && disk.calls >= disk.at) || (disk.fault == DIE_NAMED && disk.named) ||
	    (disk.fault == DIE_REMOVED && disk.removed) || (disk.fault == FAIL_LATE && disk.calls > disk.at + 2))
		return DIE;
	return disk.fault > DIE_REMOVED && disk.calls == disk.at ? disk.fault : NONE;
}

static int disk_errno(enum fault f)
{
	return f == FAIL_ENOSPC ? ENOSPC : EIO;
}

/* Wraps one call: under the lock, through the gate. */
#define DISK_CALL(type, real, after)                 \
	({                                           \
		type r_ = -1;                        \
		enum fault f_;                       \
		int e_;                              \
                                                     \
		pthread_mutex_lock(&disk.mu);        \
		f_ = disk_gate();                    \
		if (f_ == NONE) {                    \
			r_ = (real);                 \
			e_ = errno;                  \
			if (disk.armed && r_ >= 0) { \
				after;               \
			}                            \
		} else {                             \
			e_ = disk_errno(f_);         \
		}                                    \
		pthread_mutex_unlock(&disk.mu);      \
		errno = e_;                          \
		r_;                                  \
	})

/* A name in path's directory has changed. */
static void disk_renamed(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[256];
	struct stat st;

	assert_non_null(slash);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	assert_int_equal(stat(dir, &st), 0);
	vec_push(&disk.unsynced, st.st_ino);
}

static bool file_is_lock(const struct file *f)
{
	char path[64], is[256] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->held);
	return readlink(path, is, sizeof(is) - 1) > 0 && strstr(is, "/lock");
}

static _unused_ bool disk_all_synced(void)
{
	bool all = disk.unsynced.n == 0;

	for (size_t i = 0; i < disk.files.n; i++)
		all = all && (disk.files.p[i].dirty.n == 0 || file_is_lock(&disk.files.p[i]));
	return all;
}

static void disk_exchanged(const char *from, const char *to)
{
	disk.exchanged = true;
	disk.exchanged_early = disk.exchanged_early || !disk_all_synced();
	disk_renamed(from);
	disk_renamed(to);
}

static void disk_use(int fd)
{
	for (size_t i = 0; i < disk.spoiled.n; i++)
		disk.reused = disk.reused || disk.spoiled.p[i] == fd;
}

static void disk_wrote(int fd, off_t at, size_t n)
{
	struct file *f = disk_file(fd);

	disk_use(fd);

	vec_push(&f->dirty, ((typeof(*f->dirty.p)){ at, n }));
}

static void disk_resize(struct buf *b, size_t n)
{
	size_t had = b->n;

	if (n > had)
		memset(buf_extend(b, n - had), 0, n - had);
	b->n = n;
}

static void disk_synced(int fd)
{
	char path[64];
	struct stat st;
	struct file *f;
	int in;

	assert_int_equal(fstat(fd, &st), 0);
	if (S_ISDIR(st.st_mode)) {
		DIR *d;

		vec_push(&disk.dirs, st.st_ino);
		for (size_t i = disk.unsynced.n; i-- > 0;)
			if (disk.unsynced.p[i] == st.st_ino)
				vec_remove_swap(&disk.unsynced, i);
		if (st.st_ino != disk.dir.st_ino || st.st_dev != disk.dir.st_dev)
			return;
		d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		assert_non_null(d);
		vec_clear(&disk.names);
		for (struct dirent *e; (e = readdir(d));) {
			struct name n = { .ino = e->d_ino };

			if (e->d_name[0] == '.')
				continue;
			snprintf(n.name, sizeof(n.name), "%.31s", e->d_name);
			vec_push(&disk.names, n);
		}
		closedir(d);
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* it may be open for writing only */
	in = __real_open64(path, O_RDONLY | O_CLOEXEC, 0);
	assert_true(in >= 0);
	f = disk_file(fd);
	disk_resize(&f->durable, (size_t)st.st_size);
	for (size_t i = 0; i < f->dirty.n; i++) {
		size_t at = (size_t)f->dirty.p[i].at, n = f->dirty.p[i].n;

		if (at < f->durable.n)
			(void)!pread(in, f->durable.p + at, MIN(n, f->durable.n - at), (off_t)at);
	}
	vec_clear(&f->dirty);
	__real_close(in);
}

/* Nothing is really synced: what would be on disk is known here. After a sync that failed the kernel takes the pages
 * for clean: no later one writes them. */
static int disk_sync(int fd)
{
	enum fault f;
	int r = -1;

	pthread_mutex_lock(&disk.mu);
	f = disk_gate();
	if (f == NONE || f == FAIL_LATE) {
		r = f == NONE ? 0 : -1;
		disk.late = disk.late || f == FAIL_LATE;
		if (disk.armed) {
			disk_use(fd);
			disk_synced(fd);
		}
	} else if (f != DIE) {
		vec_clear(&disk_file(fd)->dirty);
	}
	if (r < 0 && f != DIE)
		vec_push(&disk.spoiled, fd);
	pthread_mutex_unlock(&disk.mu);
	errno = disk_errno(f);
	return r;
}

int __wrap_close(int fd)
{
	pthread_mutex_lock(&disk.mu);
	for (size_t i = disk.spoiled.n; i-- > 0;)
		if (disk.spoiled.p[i] == fd)
			vec_remove_swap(&disk.spoiled, i);
	pthread_mutex_unlock(&disk.mu);
	return __real_close(fd);
}

int __wrap_fdatasync(int fd)
{
	return disk_sync(fd);
}

int __wrap_fsync(int fd)
{
	return disk_sync(fd);
}

int __wrap_open64(const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_list ap;

		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (!(flags & (O_CREAT | O_TRUNC)))
		return __real_open64(path, flags, mode);
	return DISK_CALL(int, __real_open64(path, flags, mode), {
		(void)disk_file(r_);
		if (!strstr(path, "/lock"))
			disk_renamed(path);
	});
}

ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t off)
{
	if (disk.fault == SHORT)
		n = MAX((size_t)1, n / 2);
	return DISK_CALL(ssize_t, __real_pwrite64(fd, p, n, off), disk_wrote(fd, off, (size_t)r_));
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off)
{
	/* Half of it: whoever asked has to ask for the rest. */
	if (disk.fault == SHORT)
		n = MAX(1, n / 2);
	return DISK_CALL(ssize_t, __real_pwritev64(fd, iov, n, off), disk_wrote(fd, off, (size_t)r_));
}

int __wrap_rename(const char *from, const char *to)
{
	return DISK_CALL(int, __real_rename(from, to), {
		disk.named = true;
		disk_renamed(from);
		disk_renamed(to);
	});
}

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	return DISK_CALL(int, __real_renameat2(a, from, b, to, flags), disk_exchanged(from, to));
}

int __wrap_link(const char *from, const char *to)
{
	return DISK_CALL(int, __real_link(from, to), disk_renamed(to));
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	return DISK_CALL(int, __real_mkdir(path, mode), disk_renamed(path));
}

int __wrap_unlink(const char *path)
{
	return DISK_CALL(int, __real_unlink(path), disk.removed = true);
}

int __wrap_unlinkat(int fd, const char *path, int flags)
{
	return DISK_CALL(int, __real_unlinkat(fd, path, flags), );
}

int __wrap_ftruncate64(int fd, off_t n)
{
	return DISK_CALL(int, __real_ftruncate64(fd, n), );
}

int __wrap_fallocate64(int fd, int mode, off_t at, off_t n)
{
	/* The reserve's room is not what this is about. A hole may be on disk at once. */
	return DISK_CALL(int, mode &FALLOC_FL_PUNCH_HOLE ? __real_fallocate64(fd, mode, at, n) : 0, {
		struct buf *b = &disk_file(fd)->durable;

		if (mode & FALLOC_FL_PUNCH_HOLE && (size_t)at < b->n)
			memset(b->p + at, 0, MIN((size_t)n, b->n - (size_t)at));
	});
}

int __wrap_posix_fallocate64(int fd, off_t at, off_t n)
{
	int r = DISK_CALL(int, __real_ftruncate64(fd, at + n), );

	return r < 0 ? errno : r;
}

static _unused_ void disk_arm(const char *dir, enum fault fault, long at)
{
	disk.fault = fault;
	disk.calls = 0;
	disk.named = disk.removed = disk.late = disk.exchanged = disk.exchanged_early = false;
	disk.at = at;
	if (dir)
		assert_int_equal(stat(dir, &disk.dir), 0);
	disk.armed = true;
}

/* Has a removal been done? While a store is open. */
static _unused_ bool disk_removed(void)
{
	bool removed;

	pthread_mutex_lock(&disk.mu);
	removed = disk.removed;
	pthread_mutex_unlock(&disk.mu);
	return removed;
}

static _unused_ void disk_forget(void)
{
	for (size_t i = 0; i < disk.files.n; i++) {
		buf_release(&disk.files.p[i].durable);
		vec_release(&disk.files.p[i].dirty);
		__real_close(disk.files.p[i].held);
	}
	vec_release(&disk.files);
	vec_release(&disk.names);
	vec_release(&disk.dirs);
	vec_release(&disk.unsynced);
	assert_false(disk.reused);
	assert_int_equal(disk.spoiled.n, 0);
	vec_release(&disk.spoiled);
}

/* A segment is mostly zeros, which need not be written. */
static void image_store(const char *path, const char *p, size_t n)
{
	static const char zeros[4096];
	size_t used = n;

	while (used >= sizeof(zeros) && memcmp(p + used - sizeof(zeros), zeros, sizeof(zeros)) == 0)
		used -= sizeof(zeros);
	file_store(path, used ? p : "", used);
	assert_int_equal(truncate(path, (off_t)n), 0);
}

static const struct {
	enum disk_names names;
	bool contents_now;
	const char *words;
} disk_images[] = {
	{ NAMES_SYNCED, false, "synced names, synced contents" },
	{ NAMES_SYNCED, true, "synced names, new contents" },
	{ NAMES_NOW, false, "new names, synced contents" },
	{ NAMES_NOW, true, "new names, new contents" },
	{ NAMES_RENAMED, false, "of names only the renaming" },
	{ NAMES_REMOVED, false, "of names only the removals" },
};

static bool name_is_there(DIR *d, const char *name, ino_t *ret_ino)
{
	rewinddir(d);
	for (struct dirent *e; (e = readdir(d));)
		if (strncmp(e->d_name, name, 31) == 0) {
			*ret_ino = e->d_ino;
			return true;
		}
	return false;
}

static bool name_is_synced(const char *name)
{
	for (size_t i = 0; i < disk.names.n; i++)
		if (strcmp(disk.names.p[i].name, name) == 0)
			return true;
	return false;
}

static void names_on_disk(DIR *d, enum disk_names which, disk_name_list *ret)
{
	for (size_t i = 0; which != NAMES_NOW && i < disk.names.n; i++) {
		struct name n = disk.names.p[i];
		ino_t now = 0;
		bool there = name_is_there(d, n.name, &now);

		if (which == NAMES_REMOVED && !there)
			continue;
		if (which == NAMES_RENAMED && there && strcmp(n.name, "manifest") == 0)
			n.ino = now;
		vec_push(ret, n);
	}
	rewinddir(d);
	for (struct dirent *e; (e = readdir(d));) {
		struct name n = { .ino = e->d_ino };

		snprintf(n.name, sizeof(n.name), "%.31s", e->d_name);
		if (which == NAMES_NOW
			? n.name[0] != '.'
			: which == NAMES_RENAMED && !strcmp(n.name, "manifest") && !name_is_synced(n.name))
			vec_push(ret, n);
	}
}

/* What a power cut leaves, as a directory: one of disk_images[]. */
static _unused_ void disk_image(const char *dir, const char *to, size_t which)
{
	bool contents_now = disk_images[which].contents_now;
	disk_name_list names = VEC_INIT;
	struct dirent *e;
	DIR *d = opendir(dir);
	char path[512];

	assert_non_null(d);
	kit_rmdir(to);
	assert_int_equal(mkdir(to, 0700), 0);
	names_on_disk(d, disk_images[which].names, &names);
	for (size_t i = 0; i < names.n; i++) {
		struct buf now = BUF_INIT;
		const struct buf *b = &now;

		if (!strncmp(names.p[i].name, "reserve", 7) || !strcmp(names.p[i].name, "lock"))
			continue;
		for (size_t k = 0; k < disk.files.n; k++)
			if (disk.files.p[k].ino == names.p[i].ino)
				b = &disk.files.p[k].durable;
		rewinddir(d);
		while (contents_now && (e = readdir(d)))
			if (e->d_ino == names.p[i].ino) {
				snprintf(path, sizeof(path), "%s/%.31s", dir, e->d_name);
				file_load(path, &now);
				b = &now;
			}
		snprintf(path, sizeof(path), "%s/%s", to, names.p[i].name);
		image_store(path, b->p, b->n);
		buf_release(&now);
	}
	closedir(d);
	vec_release(&names);
}
