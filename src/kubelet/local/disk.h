/* disk.h - a block device of an admin's (a PersistentVolume of `local`) as a directory of pods.
 *
 *	<root>/plugins/kubernetes.io/local-volume/mounts/PV                  its file system, mounted once
 *	<root>/pods/UID/volumes/kubernetes.io~local-volume/PV   bound from there, for each pod
 *
 * The places and words are upstream's. A device that is blank gets a file system; one that holds anything never does:
 * what blkid finds, a table of partitions as well, or that it cannot be read. The mount table says what is mounted and
 * who has it, nothing is remembered: an agent that was killed anywhere goes on from there.
 *
 * Who works on a device holds a lock (flock) on it: two pods that begin do not format it twice, and it is not unmounted
 * between being mounted and being bound. Blocking, as long as a file system is being made; for worker tasks.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* What of this only a real machine has; the seam for tests. Programs: names in PATH, or paths. */
struct disk_machine {
	const char *blkid, *fsck, *mount;
	const char *mkfs; /* "mkfs.", to which the type is added */
	bool (*is_device)(int fd);
	bool (*mounted)(const char *at);
	bool (*read_only)(const char *at);
	bool (*used)(const char *at, const char *below); /* does it stand below that directory, too? */
	int (*bind)(const char *from, const char *to, bool read_only, struct err *err);
	int (*unmount)(const char *at, struct err *err);
	const char *(*source)(struct arena *a, const char *at); /* of what is mounted there */
};
extern const struct disk_machine disk_machine_real;

struct disk_wish {
	const char *device;  /* absolute */
	const char *fs_type; /* NULL, "": ext4 */
	const char *options; /* of the PersistentVolume, "a,b"; NULL: none */
	bool read_only;	     /* the pod's */
	const char *at, *to; /* where it is mounted, and bound for the pod */
	/* No other pod has it, and this one may write: before it is bound, so that what is bound is ready. */
	int (*first)(const char *at, void *ctx, struct err *err);
	void *ctx;
};

/* 0: it stands at w->to. 1: somebody is at work on it, ask again. */
int disk_give(const struct disk_machine *m, const struct disk_wish *w, const char *pods, struct err *err);
/* Those mounted below `mounts` that none of the pods has any more are unmounted. 0; 1: somebody is at work on one. */
int disks_sweep(const struct disk_machine *m, const char *mounts, const char *pods, struct err *err);
