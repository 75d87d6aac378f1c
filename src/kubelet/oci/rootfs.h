/* rootfs.h - layers and a container's own directory, mounted as one overlay.
 *
 * Blocking. The mount table is the truth: mounting what is mounted is fine, as is unmounting what is not.
 */
#pragma once

#include "base/err.h"

/* layers lowest first, at most 128; upper and work are made. Long lists go by descriptors (fsconfig lowerdir+), or by
 * short names relative to the layers' directory where the kernel is older: mount(2) takes one page. */
int rootfs_mount(const char *const *layers, size_t n, const char *upper, const char *work, const char *at,
		 struct err *err);
/* Read-only, without upper: an image volume. */
int rootfs_mount_readonly(const char *const *layers, size_t n, const char *at, struct err *err);
int rootfs_unmount(const char *at, struct err *err);
