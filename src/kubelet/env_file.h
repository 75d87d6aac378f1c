/* env_file.h - files of variables that containers leave for each other (env[].valueFrom.fileKeyRef).
 *
 * A strict part of what a POSIX shell reads: NAME='value', one after the other, values in single quotes and over
 * several lines if they like, comments behind '#'. Messages tell the line.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define ENV_FILE_MAX (128 << 10) /* bytes, as long as one variable may be; a container writes it */
#define ENV_FILE_KEY_MAX 128

/* *ret: the value of key, a view into text; false with 0: the file does not set it. */
int env_file_find(struct sv text, struct sv key, bool *ret_found, struct sv *ret, struct err *err);
/* The file at path below the volume at root: links are followed, never out of the volume; only what is a file is
 * read. ERR_NOT_FOUND when there is none. */
int env_file_read(const char *root, const char *path, struct buf *ret, struct err *err);
