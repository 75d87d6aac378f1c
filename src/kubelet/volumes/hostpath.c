/* A path of the machine, mounted as it is; its type is checked, and made where the type says so. */
#include "kubelet/fsutil.h"
#include "kubelet/volumes/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int hostpath_check(const char *path, struct sv type, struct err *err)
{
	struct stat st;
	bool there = stat(path, &st) == 0;

	if (!type.n)
		return 0;
	if (sv_is(type, "DirectoryOrCreate")) {
		if (!there)
			return fs_mkdir_p(path, 0755, err);
		type = SV("Directory");
	} else if (sv_is(type, "FileOrCreate")) {
		if (!there) {
			_cleanup_close_ int fd =
			    open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);

			return fd < 0 ? err_set_errno(err, errno, "creating '%s'", path) : 0;
		}
		type = SV("File");
	}
	if (!there || (sv_is(type, "Directory") && !S_ISDIR(st.st_mode)) ||
	    (sv_is(type, "File") && !S_ISREG(st.st_mode)) || (sv_is(type, "Socket") && !S_ISSOCK(st.st_mode)) ||
	    (sv_is(type, "CharDevice") && !S_ISCHR(st.st_mode)) || (sv_is(type, "BlockDevice") && !S_ISBLK(st.st_mode)))
		return err_set(err, ERR_INVALID, "hostPath type check failed: %s is not a %s", path,
			       sv_is(type, "Directory")	   ? "directory"
			       : sv_is(type, "Socket")	   ? "socket file"
			       : sv_is(type, "CharDevice") ? "character device"
			       : sv_is(type, "File")	   ? "file"
							   : "block device");
	return 0;
}

int hostpath_setup(struct volume *v, struct err *err)
{
	return hostpath_check(arena_cstr(v->a, val_get_str(v->source, F_path)), val_get_str(v->source, F_type), err);
}
