/* loop_device.h - files as block devices.
 *
 * Which file a device has is asked of the device each time, by file system and inode, never by name. Blocking; for
 * worker tasks. Errors carry errno.
 */
#pragma once

#include "base/err.h"

#define LOOP_NAME_BYTES 24 /* "/dev/loop1048575" */

/* The device that has the file: 1 with its name, 0: none has. */
int loop_find(int file, char ret[LOOP_NAME_BYTES]);
/* One for the file, which is open for writing. autoclear: it is free again when nobody has it open or mounted; until
 * then *ret_fd (own) holds it. ret_fd may be NULL when it is not autoclear. */
int loop_attach(int file, bool autoclear, char ret[LOOP_NAME_BYTES], int *ret_fd, struct err *err);
/* The device becomes as large as its file. */
int loop_follow_size(const char *device, struct err *err);
/* Free again, as soon as nobody has it open. Fine when it is. */
int loop_detach(const char *device, struct err *err);
