/* What the kinds of volumes share: directories, memory, and files that change as one. */
#include "kubelet/beneath.h"
#include "kubelet/fsutil.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/volumes/volumes.h"

#include <errno.h>
#include <sys/mount.h>

int volume_file_add(struct volume *v, struct file_list *l, struct sv path, struct sv content, mode_t mode,
		    struct err *err)
{
	if (content.n > VOLUME_FILES_MAX - l->bytes)
		return err_set(
		    err, ERR_TOO_LARGE,
		    "its files are more than %zu MiB together, the most that a volume of this kind may hold: "
		    "name each key once, or move some into a volume of their own",
		    VOLUME_FILES_MAX / (1024 * 1024));
	l->bytes += content.n;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct atomic_file *p = ARENA_ARRAY(v->a, struct atomic_file, cap);

		if (l->n)
			memcpy(p, l->p, l->n * sizeof(*p));
		l->p = p;
		l->cap = cap;
	}
	l->p[l->n++] = (struct atomic_file){ path, content, mode };
	return 0;
}

/* Of several with one path the last one stays. */
static size_t volume_last_wins(struct file_list *l)
{
	struct strmap seen = STRMAP_INIT; /* path -> its place in the list, and one */
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		void **slot = strmap_slot(&seen, l->p[i].path);

		if (!*slot)
			*slot = (void *)(uintptr_t)++n;
		l->p[(uintptr_t)*slot - 1] = l->p[i];
	}
	strmap_release(&seen);
	return n;
}

int volume_dir(struct volume *v, struct err *err)
{
	return beneath_dir_make(v->k->root_dir, v->dir, 0755, err);
}

int volume_mount_memory(struct volume *v, const char *options, struct err *err)
{
	_cleanup_close_ int fd = volume_dir(v, err);

	if (fd < 0)
		return -1;
	if (!fs_is_mountpoint(v->dir) &&
	    mount("tmpfs", arena_printf(v->a, "/proc/self/fd/%d", fd), "tmpfs", 0, options) < 0)
		return err_set_errno(err, errno, "mounting memory at '%s'", v->dir);
	return 0;
}

int volume_in_memory(struct volume *v, struct err *err)
{
	return volume_mount_memory(v, "mode=0755", err);
}

int volume_write(struct volume *v, const struct file_list *l, struct err *err)
{
	_cleanup_close_ int dir = volume_dir(v, err);
	struct file_list files = *l;

	if (dir < 0)
		return -1;
	files.n = volume_last_wins(&files);
	/* The group must be able to read what is given to it. */
	for (size_t i = 0; i < files.n && v->fs_group >= 0; i++)
		files.p[i].mode |= 0440;
	return atomic_write(dir, files.p, files.n, v->fs_group, env_now_ns(v->k->env), NULL, err) < 0
		   ? err_wrap(err, "in '%s'", v->dir)
		   : 0;
}
