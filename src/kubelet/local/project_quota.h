/* project_quota.h - limits of directories, held by the file system (ext4 and XFS mounted with prjquota).
 *
 * A directory has a project, a number that all below it inherits, and the project a limit. Project 0 is everybody's,
 * and has none. dir is a descriptor of the directory, or of anything in its file system. Blocking.
 */
#pragma once

#include "base/err.h"

/* Is it mounted so that limits hold? */
bool project_quota_there(int dir);
uint32_t project_of(int dir); /* 0: it has none */
/* Does anything belong to the project, or has it a limit? */
bool project_used(int dir, uint32_t project);
/* What is made below the directory from now on belongs to the project. */
int project_set(int dir, uint32_t project, struct err *err);
/* Its limit in bytes, rounded up to KiB; 0: none. */
int project_limit(int dir, uint32_t project, int64_t bytes, struct err *err);
