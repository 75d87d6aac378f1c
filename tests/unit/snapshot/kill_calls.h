/* kill_calls.h - a process that is killed at its nth call that changes files: before it, as if it had come in between.
 * The linker puts these in the place of the C library's (kill_wraps in meson.build). */
#pragma once

#include "base/base.h"

#include <signal.h>
#include <sys/uio.h>

static long kill_left = -1; /* calls until then; -1: never */

static inline void kill_count(void)
{
	if (kill_left >= 0 && kill_left-- == 0)
		raise(SIGKILL);
}

#define KILL_WRAP(type, name, params, args) \
	type __real_##name params;          \
	type __wrap_##name params;          \
	type __wrap_##name params           \
	{                                   \
		kill_count();               \
		return __real_##name args;  \
	}

KILL_WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
KILL_WRAP(ssize_t, pwrite64, (int fd, const void *p, size_t n, off_t off), (fd, p, n, off))
KILL_WRAP(ssize_t, pwritev64, (int fd, const struct iovec *iov, int n, off_t off), (fd, iov, n, off))
KILL_WRAP(int, fsync, (int fd), (fd))
KILL_WRAP(int, fdatasync, (int fd), (fd))
KILL_WRAP(int, rename, (const char *from, const char *to), (from, to))
KILL_WRAP(int, unlink, (const char *path), (path))
KILL_WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
KILL_WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
KILL_WRAP(int, ftruncate64, (int fd, off_t n), (fd, n))
KILL_WRAP(int, fallocate64, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
KILL_WRAP(int, posix_fallocate64, (int fd, off_t at, off_t n), (fd, at, n))
