#include "kubelet/local/project_quota.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

static int quota_call(int dir, unsigned cmd, uint32_t id, void *arg)
{
	return (int)syscall(SYS_quotactl_fd, dir, QCMD(cmd, PRJQUOTA), id, arg);
}

/* The word stands for itself among options with commas between. */
static bool quota_option(const char *options, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = options; (at = strstr(at, word)); at += n)
		if ((at == options || at[-1] == ',' || at[-1] == ' ') &&
		    (at[n] == ',' || at[n] == '\n' || at[n] == '\0'))
			return true;
	return false;
}

/* The mount table knows: accounting without limits answers quotactl(2) just as well. */
bool project_quota_there(int dir)
{
	_cleanup_free_ char *line = NULL;
	struct if_dqblk q;
	struct statx st;
	size_t cap = 0;
	bool there = false;
	FILE *f;

	if (statx(dir, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID) ||
	    !(f = fopen("/proc/self/mountinfo", "re")))
		return false;
	while (!there && getline(&line, &cap, f) > 0) {
		const char *rest = strstr(line, " - ");

		there = strtoull(line, NULL, 10) == st.stx_mnt_id && rest && quota_option(rest, "prjquota");
	}
	fclose(f);
	return there && quota_call(dir, Q_GETQUOTA, 0, &q) == 0;
}

uint32_t project_of(int dir)
{
	struct fsxattr x;

	return ioctl(dir, FS_IOC_FSGETXATTR, &x) == 0 && (x.fsx_xflags & FS_XFLAG_PROJINHERIT) ? x.fsx_projid : 0;
}

bool project_used(int dir, uint32_t project)
{
	struct if_dqblk q = { 0 };

	if (quota_call(dir, Q_GETQUOTA, project, &q) < 0)
		return errno != ENOENT && errno != ESRCH;
	return q.dqb_curinodes || q.dqb_curspace || q.dqb_bhardlimit;
}

int project_set(int dir, uint32_t project, struct err *err)
{
	struct fsxattr x;

	if (ioctl(dir, FS_IOC_FSGETXATTR, &x) < 0)
		return err_set_errno(err, errno, "reading the project of a volume's directory");
	x.fsx_projid = project;
	x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	if (ioctl(dir, FS_IOC_FSSETXATTR, &x) < 0)
		return err_set_errno(err, errno, "giving a volume's directory its project");
	return 0;
}

int project_limit(int dir, uint32_t project, int64_t bytes, struct err *err)
{
	struct if_dqblk q = { .dqb_bhardlimit = (uint64_t)bytes / QIF_DQBLKSIZE + (bytes % QIF_DQBLKSIZE != 0),
			      .dqb_valid = QIF_BLIMITS };

	if (quota_call(dir, Q_SETQUOTA, project, &q) < 0)
		return err_set_errno(err, errno, "setting the limit of a volume's project");
	return 0;
}
