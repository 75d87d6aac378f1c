/* Each function opens the store's directory and works below it by descriptor; what stands there is ours alone, but for
 * the contents of volumes, which are never walked into here except to be removed.
 *
 *	make, image:	file .new-NAME ─▶ file system in it ─▶ renamed NAME ─▶ mounted ─▶ opened up
 *	clone:		file .new-NAME ─▶ the source held still, copied, let go ─▶ as above
 *	remove:		unmounted ─▶ image gone ─▶ directory gone
 *
 * Killed after any of these, the next call sees how far it came: .new-NAME is begun anew, NAME without a mount is
 * mounted, and a directory whose image is gone is an empty one. */
#include "kubelet/local/local_volume-internal.h"

#include "base/tree.h"
#include "kubelet/beneath.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARCHIVED "archived-"
#define NAME_BYTES_MAX 240 /* with what is put before and behind it, of the 255 of a file name */
#define MIB ((int64_t)1 << 20)

const char *const local_limit_names[_LOCAL_LIMIT_MAX] = { "auto", "projectQuota", "image", "none" };

bool local_name_ok(struct sv name)
{
	if (!name.n || name.n > NAME_BYTES_MAX || name.p[0] == '.' || sv_starts(name, SV(ARCHIVED)))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]) && !strchr("-_.", name.p[i]))
			return false;
	return true;
}

static int64_t local_round_up(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

int64_t local_device_bytes(int64_t bytes)
{
	return local_round_up(bytes, 4096);
}

/* Small file systems have small blocks, since a journal has at least 1024. */
static int local_block_bytes(int64_t bytes)
{
	return bytes < 64 * MIB ? 1024 : 4096;
}

static int64_t local_journal_bytes(int64_t bytes)
{
	return bytes < 64 * MIB ? MIB : bytes < 1024 * MIB ? 4 * MIB : bytes < 16384 * MIB ? 16 * MIB : 64 * MIB;
}

/* Inodes and bitmaps, one part in 40, the journal, and what is kept for a larger table of groups. */
int64_t local_image_bytes(int64_t bytes)
{
	return local_round_up(bytes + bytes / 40 + local_journal_bytes(bytes) + 2 * MIB, 4096);
}

void local_at_release(struct local_at *v)
{
	close_fdp(&v->dir);
	close_fdp(&v->images);
	close_fdp(&v->file);
	close_fdp(&v->lock);
}

const char *local_path(const struct local_at *v, struct arena *a)
{
	return arena_printf(a, "%s/%s", v->s->dir, v->name);
}

/* Provisioner and node agent may come at once. Not on v->file: a loop device that is given that keeps it open, and with
 * it the lock, also when we are killed. Who waited may find that the name is another's, or nobody's. */
static int local_lock(struct local_at *v, int dir, const char *name, struct err *err)
{
	struct stat held, named;

	v->lock = beneath_open(dir, name, O_RDONLY);
	while (v->lock < 0 || flock(v->lock, LOCK_EX) < 0)
		if (v->lock < 0 || errno != EINTR)
			return err_set_errno(err, errno, "locking the file of volume '%s'", v->name);
	if (fstat(v->lock, &held) < 0 || fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    held.st_ino != named.st_ino)
		return err_set(err, ERR_UNAVAILABLE, "volume '%s' was taken away meanwhile", v->name);
	return 0;
}

/* What is there of it. */
int local_look(struct local_at *v, const struct local_store *s, const char *name, struct err *err)
{
	struct stat st;

	*v = (struct local_at){ .s = s, .name = name, .dir = -1, .images = -1, .file = -1, .lock = -1 };
	if (!local_name_ok(sv_from(name)))
		return err_set(err, ERR_INVALID, "'%s' cannot be the name of a volume", name);
	v->dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v->dir < 0)
		return err_set_errno(err, errno, "opening '%s'", s->dir);
	v->images = beneath_open(v->dir, IMAGES, O_RDONLY | O_DIRECTORY);
	v->there = fstatat(v->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (v->there && !S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "'%s/%s' is neither a directory nor a file", s->dir, name);
	v->block = v->there && S_ISREG(st.st_mode);
	if (v->block)
		v->file = beneath_open(v->dir, name, O_RDWR);
	else if (v->images >= 0)
		v->file = beneath_open(v->images, name, O_RDWR);
	if (v->file < 0 && (v->block || (v->images >= 0 && errno != ENOENT)))
		return err_set_errno(err, errno, "opening the file of volume '%s'", name);
	return v->file < 0 ? 0 : local_lock(v, v->block ? v->dir : v->images, name, err);
}

/* --- made ready --- */

int local_grow_file(const struct local_at *v, int64_t bytes, struct err *err)
{
	struct stat st;

	if (fstat(v->file, &st) < 0 || (st.st_size < bytes && ftruncate(v->file, bytes) < 0))
		return err_set_errno(err, errno, "making the file of volume '%s' %" PRId64 " bytes large", v->name,
				     bytes);
	return 0;
}

int local_mount(const struct local_at *v, struct err *err)
{
	const struct local_machine *m = v->s->machine;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *at = local_path(v, &a);

	if (!v->there && mkdirat(v->dir, v->name, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, errno, "making '%s'", at);
	return m->mounted(at) ? 0 : m->image_mount(v->file, at, err);
}

static int local_follow(const struct local_at *v, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return v->s->machine->image_follow(v->file, local_path(v, &a), err);
}

int local_volume_ready(const struct local_store *s, struct arena *a, const char *name, struct local_place *ret,
		       struct err *err)
{
	_cleanup_(local_at_release) struct local_at v;
	char device[LOOP_NAME_BYTES];

	if (local_look(&v, s, name, err) < 0)
		return -1;
	if (v.block) {
		if (s->machine->device(v.file, device, err) < 0)
			return -1;
		*ret = (struct local_place){ arena_strdup(a, device), true };
		return 0;
	}
	if (!v.there && v.file < 0)
		return err_set(err, ERR_NOT_FOUND,
			       "the directory '%s/%s' of the volume is gone: bring it back, or delete the claim",
			       s->dir, name);
	if (v.file >= 0 && local_mount(&v, err) < 0)
		return -1;
	/* Growing that was interrupted. What cannot grow is used as it is; who asked for it is told by its grow. */
	if (v.file >= 0)
		(void)local_follow(&v, NULL);
	*ret = (struct local_place){ local_path(&v, a), false };
	return 0;
}

/* --- made --- */

/* For whichever user its container is: mkdir(2) asks the umask. */
static int local_open_up(const struct local_at *v, struct err *err)
{
	_cleanup_close_ int fd = beneath_follow(v->dir, v->name, O_RDONLY | O_DIRECTORY);

	/* Databases refuse a directory that is not empty; fsck makes this one again when it needs it. */
	if (fd >= 0 && v->file >= 0 && unlinkat(fd, "lost+found", AT_REMOVEDIR) < 0 && errno != ENOENT &&
	    errno != ENOTEMPTY)
		return err_set_errno(err, errno, "tidying the new volume '%s'", v->name);
	if (fd < 0 || fchmod(fd, 0777) < 0)
		return err_set_errno(err, errno, "opening up '%s/%s'", v->s->dir, v->name);
	return 0;
}

static int local_make_block(struct local_at *v, int64_t bytes, struct err *err)
{
	if (v->there && !v->block)
		return err_set(err, ERR_ALREADY_EXISTS, "'%s/%s' is a directory already", v->s->dir, v->name);
	if (v->file < 0)
		v->file = openat(v->dir, v->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (v->file < 0)
		return err_set_errno(err, errno, "making '%s/%s'", v->s->dir, v->name);
	return local_grow_file(v, local_device_bytes(bytes), err);
}

/* The directory of images, made when it is missing. */
int local_images(struct local_at *v, struct err *err)
{
	if (v->images < 0 && mkdirat(v->dir, IMAGES, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, errno, "making '%s/" IMAGES "'", v->s->dir);
	if (v->images < 0)
		v->images = beneath_open(v->dir, IMAGES, O_RDONLY | O_DIRECTORY);
	return v->images < 0 ? err_set_errno(err, errno, "opening '%s/" IMAGES "'", v->s->dir) : 0;
}

/* Opens v->file, empty, in the directory `in`, under a name that nobody mounts until all of it is there. */
int local_begin_file(struct local_at *v, int in, const char *new, struct err *err)
{
	if (unlinkat(in, new, 0) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "removing an unfinished file of volume '%s'", v->name);
	v->file = openat(in, new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return v->file < 0 ? err_set_errno(err, errno, "making a file for volume '%s'", v->name)
			   : local_lock(v, in, new, err);
}

int local_finish_file(struct local_at *v, int in, const char *new, struct err *err)
{
	if (fsync(v->file) < 0 || renameat(in, new, in, v->name) < 0 || fsync(in) < 0)
		return err_set_errno(err, errno, "finishing the file of volume '%s'", v->name);
	return 0;
}

static int local_make_image(struct local_at *v, int64_t bytes, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *new = arena_printf(&a, UNFINISHED "%s", v->name);

	if (local_images(v, err) < 0)
		return -1;
	if (local_begin_file(v, v->images, new, err) < 0 || local_grow_file(v, local_image_bytes(bytes), err) < 0 ||
	    v->s->machine->image_format(arena_printf(&a, "%s/" IMAGES "/%s", v->s->dir, new), local_block_bytes(bytes),
					local_journal_bytes(bytes), err) < 0) {
		(void)unlinkat(v->images, new, 0);
		return -1;
	}
	return local_finish_file(v, v->images, new, err);
}

/* A number that nobody has: from the name, so that another try mostly comes to the same. Above those that admins give.
 */
static uint32_t local_free_project(const struct local_at *v)
{
	uint32_t at = 2166136261u;

	for (const char *p = v->name; *p; p++)
		at = (at ^ (unsigned char)*p) * 16777619u;
	for (int i = 0; i < 1000; i++, at++)
		if (!v->s->machine->project_used(v->dir, (at & 0x3fffffff) | 0x40000000))
			break;
	return (at & 0x3fffffff) | 0x40000000;
}

static int local_make_quota(const struct local_at *v, int64_t bytes, struct err *err)
{
	const struct local_machine *m = v->s->machine;
	_cleanup_close_ int fd = beneath_open(v->dir, v->name, O_RDONLY | O_DIRECTORY);
	uint32_t project;

	if (fd < 0)
		return err_set_errno(err, errno, "opening '%s/%s'", v->s->dir, v->name);
	project = m->project_of(fd);
	if (!project) {
		project = local_free_project(v);
		if (m->project_set(fd, project, err) < 0)
			return -1;
	}
	return m->project_limit(fd, project, bytes, err);
}

/* Who is to hold the size; LOCAL_AUTO with *err: what was asked for is not to be had here. */
static enum local_limit local_choose(const struct local_at *v, enum local_limit want, struct err *why, struct err *err)
{
	const struct local_machine *m = v->s->machine;

	if (v->file >= 0)
		return LOCAL_IMAGE; /* as it was begun */
	if ((want == LOCAL_AUTO || want == LOCAL_QUOTA) && m->quota_there(v->dir))
		return LOCAL_QUOTA;
	if (want == LOCAL_QUOTA) {
		err_set(
		    err, ERR_INVALID,
		    "the file system of '%s' has no project quotas: mount it with the option prjquota (ext4, XFS), or "
		    "use enforcement \"image\"",
		    v->s->dir);
		return LOCAL_AUTO;
	}
	if (want == LOCAL_AUTO)
		return m->image_possible(why) == 0 ? LOCAL_IMAGE : LOCAL_NONE;
	if (want == LOCAL_IMAGE && m->image_possible(err) < 0)
		return LOCAL_AUTO;
	return want;
}

int local_volume_make(const struct local_store *s, const struct local_want *w, enum local_limit *ret_limit,
		      struct err *why, struct err *err)
{
	_cleanup_(local_at_release) struct local_at v;

	if (w->bytes <= 0 || w->bytes > BYTES_MAX)
		return err_set(err, ERR_INVALID, "a volume of %" PRId64 " bytes cannot be made", w->bytes);
	if (local_look(&v, s, w->name, err) < 0)
		return -1;
	*ret_limit = LOCAL_IMAGE;
	if (w->block)
		return local_make_block(&v, w->bytes, err);
	if (v.block)
		return err_set(err, ERR_ALREADY_EXISTS, "'%s/%s' is a file already", s->dir, w->name);
	*ret_limit = local_choose(&v, w->limit, why, err);
	if (*ret_limit == LOCAL_AUTO)
		return -1;
	if (!v.there && mkdirat(v.dir, w->name, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, errno, "making the directory '%s/%s' for a claim", s->dir, w->name);
	v.there = true;
	if (*ret_limit == LOCAL_IMAGE && v.file < 0 && local_make_image(&v, w->bytes, err) < 0)
		return -1;
	if (*ret_limit == LOCAL_IMAGE && local_mount(&v, err) < 0)
		return -1;
	if (*ret_limit == LOCAL_QUOTA && local_make_quota(&v, w->bytes, err) < 0)
		return -1;
	return local_open_up(&v, err);
}

int local_volume_grow(const struct local_store *s, const char *name, int64_t bytes, struct err *err)
{
	_cleanup_(local_at_release) struct local_at v;
	_cleanup_close_ int fd = -1;
	char device[LOOP_NAME_BYTES];
	uint32_t project;

	if (bytes <= 0 || bytes > BYTES_MAX)
		return err_set(err, ERR_INVALID, "a volume cannot be made %" PRId64 " bytes large", bytes);
	if (local_look(&v, s, name, err) < 0)
		return -1;
	if (!v.there && v.file < 0)
		return err_set(err, ERR_NOT_FOUND, "the directory '%s/%s' of the volume is gone", s->dir, name);
	if (v.block)
		return local_grow_file(&v, local_device_bytes(bytes), err) < 0
			   ? -1
			   : s->machine->device(v.file, device, err);
	if (v.file >= 0)
		return local_grow_file(&v, local_image_bytes(bytes), err) < 0 || local_mount(&v, err) < 0
			   ? -1
			   : local_follow(&v, err);
	fd = beneath_open(v.dir, name, O_RDONLY | O_DIRECTORY);
	project = fd < 0 ? 0 : s->machine->project_of(fd);
	return project ? s->machine->project_limit(fd, project, bytes, err) : 0;
}

/* Killed after the unmounting, whoever makes it ready next mounts it, which is what makes it grow. Its place is not
 * handed out meanwhile, as that waits for the lock. */
int local_volume_catch_up(const struct local_store *s, const char *name, struct err *err)
{
	const struct local_machine *m = s->machine;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(local_at_release) struct local_at v;
	const char *at;

	if (local_look(&v, s, name, err) < 0)
		return -1;
	at = local_path(&v, &a);
	if (v.block || v.file < 0 || !m->mounted(at) || local_follow(&v, NULL) == 0)
		return 0;
	if (m->used(at))
		return err_set(err, ERR_CONFLICT, "'%s' is in use", at);
	return m->unmount_idle(at, err) < 0 ? -1 : local_mount(&v, err);
}

/* --- taken away --- */

/* Out of every use: unmounted, detached. */
int local_release(const struct local_at *v, struct err *err)
{
	const struct local_machine *m = v->s->machine;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *at = local_path(v, &a);

	if (v->block)
		return m->device_drop(v->file, err);
	if (v->file < 0)
		return 0;
	if (m->unmount(at, err) < 0)
		return -1;
	return m->mounted(at) ? err_set(err, ERR_CONFLICT, "'%s' is still mounted", at) : 0;
}

int local_volume_remove(const struct local_store *s, const char *name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(local_at_release) struct local_at v;
	_cleanup_close_ int fd = -1;
	uint32_t project = 0;

	if (local_look(&v, s, name, err) < 0 || local_release(&v, err) < 0)
		return -1;
	if (v.file >= 0 && unlinkat(v.block ? v.dir : v.images, name, 0) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "deleting the file of volume '%s'", name);
	if (!v.there || v.block)
		return 0;
	fd = beneath_open(v.dir, name, O_RDONLY | O_DIRECTORY);
	if (fd >= 0)
		project = s->machine->project_of(fd);
	if (tree_remove(local_path(&v, &a), err) < 0)
		return -1;
	/* The number is free again. Lost by a crash here, it stays a limit of nothing. */
	return project ? s->machine->project_limit(v.dir, project, 0, err) : 0;
}

int local_volume_archive(const struct local_store *s, const char *name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(local_at_release) struct local_at v;
	const char *kept = arena_printf(&a, ARCHIVED "%s", name);

	if (local_look(&v, s, name, err) < 0 || local_release(&v, err) < 0)
		return -1;
	if (!v.block && v.file >= 0 && renameat(v.images, name, v.images, kept) < 0)
		return err_set_errno(err, errno, "archiving the image of volume '%s'", name);
	if (!v.there)
		return 0;
	if (!v.block && unlinkat(v.dir, name, AT_REMOVEDIR) == 0)
		return 0; /* where the image was mounted, or there is nothing to keep */
	if (renameat(v.dir, name, v.dir, kept) < 0)
		return err_set_errno(err, errno, "archiving the volume '%s'", name);
	return 0;
}
