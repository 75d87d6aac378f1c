/* beneath.h - files in places that containers, or who mounts their directories, can change.
 *
 * A log directory, a volume or a termination message is written by strangers: what is a file now may be a link, a
 * FIFO or a device a moment later. So everything here goes by descriptor (openat2): it stays below the directory it
 * starts at, passes no link, never waits in open(2), and reads nothing but regular files, and of them no more than was
 * asked for. What was opened is what is looked at and changed (fstat, fchmod), never its name a second time.
 *
 * root is a directory of ours that nobody else can exchange; links on the way to it are fine. path is one below root,
 * or relative to it. Blocking; for worker tasks. Errors carry errno (ELOOP for links, EXDEV for a way out).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <sys/stat.h>

/* An open directory (O_RDONLY). make: missing ones are made, with that mode less the umask. */
int beneath_dir(const char *root, const char *path, struct err *err);
int beneath_dir_make(const char *root, const char *path, mode_t mode, struct err *err);
/* The same below a descriptor; path "" or ".": that directory. */
int beneath_make(int dir, const char *path, mode_t mode, struct err *err);

/* A regular file for reading; ret may be NULL. ERR_INVALID when it is something else. */
int beneath_regular(int dir, const char *path, struct stat *ret, struct err *err);
/* All of it when it has at most max bytes, else ERR_TOO_LARGE. */
int beneath_read(struct arena *a, const char *root, const char *path, size_t max, struct sv *ret, struct err *err);
/* Its last max bytes. */
int beneath_tail(struct arena *a, const char *root, const char *path, size_t max, struct sv *ret, struct err *err);
int beneath_read_fd(struct arena *a, int fd, size_t max, struct sv *ret, struct err *err);

/* Through a temporary name and a rename, not synced: what the agent writes it makes again after a crash. gid -1: left.
 */
int beneath_write(const char *root, const char *path, struct sv content, mode_t mode, struct err *err);
int beneath_put(int dir, const char *name, struct sv content, mode_t mode, int64_t gid, struct err *err);

/* The raw openat2(2): -1 with errno. Links that stay below dir are followed. */
int beneath_follow(int dir, const char *path, int flags);
/* Links mean what they would with dir as the root of the file system, so that none leads out. */
int beneath_in_root(int dir, const char *path, int flags);
/* No links at all. */
int beneath_open(int dir, const char *path, int flags);

/* Makes what hangs whoever opens it for writing (a FIFO, a device, a link out of here) vanish from where a log file
 * <n>.log is expected, in the directories of containers, log_dir/<pod>/<container>/. What is a directory gets another
 * name. Returns how many there were. For before a runtime is started, which opens them all. */
int beneath_clear_logs(const char *log_dir);
/* The same for one container's directory. */
int beneath_clear_log_dir(int dir);
