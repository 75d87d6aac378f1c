#include "kubelet/local/loop_device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTACH_TRIES 16 /* others take free devices, too */

static int loop_open(const char *device, int flags)
{
	return open(device, flags | O_CLOEXEC | O_NONBLOCK);
}

static bool loop_has(const char *device, const struct stat *file)
{
	struct loop_info64 info;
	_cleanup_close_ int fd = loop_open(device, O_RDONLY);

	return fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_device == file->st_dev &&
	       info.lo_inode == file->st_ino;
}

int loop_find(int file, char ret[LOOP_NAME_BYTES])
{
	struct stat st;
	DIR *d;
	int found = 0;

	if (fstat(file, &st) < 0 || !(d = opendir("/sys/block")))
		return 0;
	for (struct dirent *e; !found && (e = readdir(d));) {
		unsigned n;
		char used[64];

		if (sscanf(e->d_name, "loop%u", &n) != 1 || n > 1048575)
			continue;
		(void)snprintf(used, sizeof(used), "/sys/block/loop%u/loop", n);
		(void)snprintf(ret, LOOP_NAME_BYTES, "/dev/loop%u", n);
		found = access(used, F_OK) == 0 && loop_has(ret, &st);
	}
	closedir(d);
	return found;
}

int loop_attach(int file, bool autoclear, char ret[LOOP_NAME_BYTES], int *ret_fd, struct err *err)
{
	/* Not cached twice where the file system of the file can do that; the kernel looks. */
	struct loop_config c = { .fd = (uint32_t)file,
				 .info = { .lo_flags =
					       LO_FLAGS_DIRECT_IO | (autoclear ? (uint32_t)LO_FLAGS_AUTOCLEAR : 0) } };
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return err_set_errno(err, errno, "opening '/dev/loop-control'");
	for (int i = 0; i < ATTACH_TRIES; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE), fd;

		if (n < 0)
			return err_set_errno(err, errno, "looking for a free loop device");
		(void)snprintf(ret, LOOP_NAME_BYTES, "/dev/loop%d", n);
		fd = loop_open(ret, O_RDWR);
		if (fd < 0)
			return err_set_errno(err, errno, "opening '%s'", ret);
		if (ioctl(fd, LOOP_CONFIGURE, &c) == 0) {
			if (ret_fd)
				*ret_fd = fd;
			else
				close(fd);
			return 0;
		}
		close(fd);
		if (errno != EBUSY)
			return err_set_errno(err, errno, "giving '%s' its file", ret);
	}
	return err_set(err, ERR_UNAVAILABLE, "every free loop device was taken by somebody else");
}

int loop_follow_size(const char *device, struct err *err)
{
	_cleanup_close_ int fd = loop_open(device, O_RDWR);

	if (fd < 0 || ioctl(fd, LOOP_SET_CAPACITY, 0) < 0)
		return err_set_errno(err, errno, "making '%s' as large as its file", device);
	return 0;
}

int loop_detach(const char *device, struct err *err)
{
	_cleanup_close_ int fd = loop_open(device, O_RDONLY);

	if (fd < 0 || (ioctl(fd, LOOP_CLR_FD, 0) < 0 && errno != ENXIO))
		return err_set_errno(err, errno, "freeing '%s'", device);
	return 0;
}
