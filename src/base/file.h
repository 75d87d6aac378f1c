/* file.h - whole small files: keys, kubeconfigs, manifests.
 *
 * Writing is atomic: a temporary file beside the target, synced, renamed, directory synced;
 * a crash leaves the old file or the new one.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/tree.h" /* tree_remove(): who writes files in directories of his own removes them */

#include <sys/types.h>

/* Errors carry errno (err->errnum ENOENT for a missing file). At most max bytes. Of regular files only, /proc's among
 * them: what may never answer (a FIFO, a terminal) is refused in words. */
int file_read(struct arena *a, const char *path, size_t max, struct sv *ret, struct err *err);
/* The same also of pipes, /dev/stdin and what a shell's <(...) makes, which are read until their other end is closed:
 * once, at the start of a program that a person runs. */
int file_read_once(struct arena *a, const char *path, size_t max, struct sv *ret, struct err *err);
int file_write(const char *path, struct sv data, mode_t mode, struct err *err);

/* One of several files to write; everything borrowed. */
struct file_out {
	const char *path;
	struct sv data;
	mode_t mode;
};
/* The same for files of one directory, for hardly more than the price of one: all are on disk before the first gets its
 * name, and they get them in order. A failure may leave some new and the rest old. */
int file_write_several(const struct file_out *files, size_t n, struct err *err);
/* As file_write(), but not synced: for what the next start writes anew. A crash of the machine may lose it. */
int file_write_again(const char *path, struct sv data, mode_t mode, struct err *err);
/* Locks an open file exclusively without waiting for a holder that lives. One that is gone, by the process number in
 * the file's text, is just ending (a server killed together with its supervisor), and has 5 s for it. Returns 0, or -1
 * with errno (EWOULDBLOCK: held). */
int file_lock(int fd);
/* The first number in the text of an open file: who holds it, by convention; 0 when there is none. */
pid_t file_holder(int fd);
/* Is there such a program: a path, or a name that a shell would find by PATH (without one: where Debian has programs).
 */
bool file_is_program(const char *name);
/* With parents (mode 0755); fine when it exists. */
int dir_make(const char *path, mode_t mode, struct err *err);
