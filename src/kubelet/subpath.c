#include "kubelet/subpath.h"

#include "kubelet/fsutil.h"
#include "kubelet/kubelet-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Stays below dir whatever links and ".." say, and never passes a mount's magic links. */
static int open_below(int dir, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

int subpath_open(const char *root, struct sv sub, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_close_ int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct sv rest = sub, part;
	const char *so_far = "";
	struct stat st;
	int fd;

	if (dir < 0)
		return err_set_errno(err, errno, "opening volume '%s'", root);
	if (fstat(dir, &st) < 0)
		return err_set_errno(err, errno, "looking at volume '%s'", root);
	if (sub.n && sub.p[0] == '/')
		return err_set(err, ERR_INVALID, "subPath '%.*s' is absolute", SV_ARG(sub));
	while (sv_split(&rest, '/', &part)) {
		_cleanup_close_ int parent = -1;

		if (sv_is(part, ".."))
			return err_set(err, ERR_INVALID, "subPath '%.*s' contains '..'", SV_ARG(sub));
		if (!part.n || sv_is(part, "."))
			continue;
		parent = open_below(dir, *so_far ? so_far : ".", O_PATH | O_DIRECTORY);
		if (parent < 0)
			return err_set_errno(err, errno, "subPath '%.*s' leaves its volume or is no directory",
					     SV_ARG(sub));
		/* Made only when there is nothing of that name: mkdirat does not follow the last component. */
		if (mkdirat(parent, arena_cstr(&a, part), 0700) == 0) {
			/* Who may write to the volume may write there: chmod, as mkdir is subject to the umask. */
			if (fchmodat(parent, arena_cstr(&a, part), st.st_mode & 07777, 0) < 0)
				return err_set_errno(err, errno, "making subPath '%.*s'", SV_ARG(sub));
		} else if (errno != EEXIST && errno != EROFS) {
			return err_set_errno(err, errno, "making subPath '%.*s'", SV_ARG(sub));
		}
		so_far = arena_printf(&a, "%s%s%.*s", so_far, *so_far ? "/" : "", SV_ARG(part));
	}
	fd = open_below(dir, *so_far ? so_far : ".", O_PATH);
	return fd >= 0 ? fd : err_set_errno(err, errno, "subPath '%.*s' leaves its volume", SV_ARG(sub));
}

int subpath_bind(struct kubelet *k, struct arena *a, struct sv uid, struct sv volume, struct sv container, int index,
		 const char *volume_path, struct sv sub, const char **ret, struct err *err)
{
	const char *at =
	    arena_printf(a, "%s/volume-subpaths/%.*s/%.*s", pod_dir(k, a, uid), SV_ARG(volume), SV_ARG(container));
	const char *to = arena_printf(a, "%s/%d", at, index);
	_cleanup_close_ int fd = subpath_open(volume_path, sub, err);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "looking at subPath '%.*s'", SV_ARG(sub));
	if (fs_mkdir_p(at, 0750, err) < 0)
		return -1;
	umount2(to, MNT_DETACH | UMOUNT_NOFOLLOW); /* an earlier instance's */
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(to, 0750) < 0 && errno != EEXIST)
			return err_set_errno(err, errno, "making '%s'", to);
	} else {
		int f = open(to, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

		if (f < 0)
			return err_set_errno(err, errno, "making '%s'", to);
		close(f);
	}
	if (mount(arena_printf(a, "/proc/self/fd/%d", fd), to, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_set_errno(err, errno, "binding subPath '%.*s'", SV_ARG(sub));
	*ret = to;
	return 0;
}
