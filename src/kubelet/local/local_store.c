/* All volumes below a directory: after a start, before a cleanup, and those that nobody knows. */
#include "base/vec.h"
#include "kubelet/beneath.h"
#include "kubelet/local/local_volume-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Names in a directory of ours that are volumes' (taken). unfinished: others that are not to be there are deleted. */
static size_t local_names(struct arena *a, int dir_take, bool unfinished, const char *const **ret)
{
	VEC(const char *) names = VEC_INIT;
	DIR *d = fdopendir(dir_take);
	const char **list;
	size_t n;

	*ret = NULL;
	if (!d) {
		close(dir_take);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (unfinished && sv_starts(sv_from(e->d_name), SV(UNFINISHED)))
			(void)unlinkat(dir_take, e->d_name, 0);
		else if (local_name_ok(sv_from(e->d_name)))
			vec_push(&names, arena_strdup(a, e->d_name));
	closedir(d);
	list = ARENA_ARRAY(a, const char *, names.n);
	for (size_t i = 0; i < names.n; i++)
		list[i] = names.p[i];
	*ret = list;
	n = names.n;
	vec_release(&names);
	return n;
}

/* Volumes that were being filled: of these nobody knows yet. */
static void local_filling_mend(const struct local_store *s, struct arena *a)
{
	int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	VEC(const char *) names = VEC_INIT;
	DIR *d = dir < 0 ? NULL : fdopendir(dir);

	for (struct dirent *e; d && (e = readdir(d));)
		if (sv_starts(sv_from(e->d_name), SV(FILLING)))
			vec_push(&names, arena_strdup(a, e->d_name));
	for (size_t i = 0; i < names.n; i++)
		if (local_volume_remove(s, names.p[i] + strlen(FILLING), NULL) == 0)
			(void)unlinkat(dir, names.p[i], 0);
	vec_release(&names);
	if (d)
		closedir(d);
	else
		close_fdp(&dir);
}

int local_store_mend(const struct local_store *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_close_ int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int images = dir < 0 ? -1 : beneath_open(dir, IMAGES, O_RDONLY | O_DIRECTORY);
	struct err first = ERR_INIT;
	const char *const *names;
	struct local_place at;
	size_t n;

	if (dir >= 0)
		(void)local_names(&a, beneath_open(dir, ".", O_RDONLY | O_DIRECTORY), true, &names);
	local_filling_mend(s, &a);
	local_snapshots_mend(dir);
	if (images < 0)
		return dir >= 0 ? 0 : err_set_errno(err, errno, "opening '%s'", s->dir);
	n = local_names(&a, images, true, &names);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		/* Whoever was killed while it copied held it still. */
		s->machine->thaw(arena_printf(&a, "%s/%s", s->dir, names[i]));
		if (local_volume_ready(s, &a, names[i], &at, &why) < 0 && first.reason == ERR_NONE)
			(void)err_move(&first, &why);
	}
	return first.reason == ERR_NONE ? 0 : err_move(err, &first);
}

size_t local_store_names(const struct local_store *s, struct arena *a, const char *const **ret)
{
	return local_names(a, open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), false, ret);
}

static bool local_is_empty(const struct local_at *v)
{
	DIR *d = NULL;
	bool empty = true;
	int fd = beneath_follow(v->dir, v->name, O_RDONLY | O_DIRECTORY);

	if (fd >= 0 && !(d = fdopendir(fd)))
		close(fd);
	if (!d)
		return false;
	for (struct dirent *e; empty && (e = readdir(d));)
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, "lost+found");
	closedir(d);
	return empty;
}

int local_volume_drop_empty(const struct local_store *s, const char *name, struct err *err)
{
	_cleanup_(local_at_release) struct local_at v;

	if (local_look(&v, s, name, err) < 0)
		return -1;
	if (v.block || !v.there)
		return 0;
	if (v.file >= 0) {
		if (local_mount(&v, err) < 0)
			return -1;
		if (!local_is_empty(&v))
			return 0;
		if (local_release(&v, err) < 0)
			return -1;
		if (unlinkat(v.images, name, 0) < 0)
			return err_set_errno(err, errno, "deleting the image of volume '%s'", name);
	}
	/* The kernel refuses where something lies in it, or is mounted on it. */
	return unlinkat(v.dir, name, AT_REMOVEDIR) == 0;
}

int local_store_release(const struct local_store *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err first = ERR_INIT;
	const char *const *names;
	size_t n;

	if (dir < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "opening '%s'", s->dir);
	n = local_names(&a, dir, false, &names);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		_cleanup_(local_at_release) struct local_at v;

		if ((local_look(&v, s, names[i], &why) < 0 || local_release(&v, &why) < 0) && first.reason == ERR_NONE)
			(void)err_move(&first, &why);
	}
	return first.reason == ERR_NONE ? 0 : err_move(err, &first);
}
