/* local_machine.h - what of local volumes only a real machine has: quotas, mounts, loop devices.
 *
 * The seam for tests, which have files but none of these. Each function says what it finds or does what is missing; all
 * may be repeated. dir, file: descriptors. at: the absolute path of the volume's directory. Blocking; for worker tasks.
 */
#pragma once

#include "base/err.h"
#include "kubelet/local/loop_device.h"

struct local_machine {
	bool (*quota_there)(int dir);
	uint32_t (*project_of)(int dir);
	bool (*project_used)(int dir, uint32_t project);
	int (*project_set)(int dir, uint32_t project, struct err *err);
	int (*project_limit)(int dir, uint32_t project, int64_t bytes, struct err *err);

	/* Can it make and mount images? -1 says what to install. */
	int (*image_possible)(struct err *err);
	int (*image_format)(const char *path, int block_bytes, int64_t journal_bytes, struct err *err);
	bool (*mounted)(const char *at);
	int (*image_mount)(int file, const char *at, struct err *err);
	/* Device and file system become as large as the file, while they are in use. */
	int (*image_follow)(int file, const char *at, struct err *err);
	/* Is it mounted somewhere else, too, as in a container? */
	bool (*used)(const char *at);
	/* What was written is in the file, and nothing more comes until thawed. at NULL: of a block device only the
	 * former, as nobody can keep its programs from writing. */
	int (*freeze)(int file, const char *at, struct err *err);
	void (*thaw)(const char *at);			 /* fine when it is not frozen */
	int (*unmount)(const char *at, struct err *err); /* and what is mounted below */
	/* Only when nobody has anything of it open: it is out of use then, wherever it was. ERR_CONFLICT: somebody has.
	 */
	int (*unmount_idle)(const char *at, struct err *err);

	/* What the file system of fd has left beside the tenth that copies leave free. NULL: as much as one likes. */
	int64_t (*spare)(int fd);

	int (*device)(int file, char ret[LOOP_NAME_BYTES], struct err *err); /* attached, as large as the file */
	int (*device_drop)(int file, struct err *err);
};

extern const struct local_machine local_machine_real;
