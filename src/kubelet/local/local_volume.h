/* local_volume.h - volumes that are directories, or block devices, below one directory of this machine.
 *
 * See README.md for what lies where. A volume is known by its name: letters, digits, '-', '_', '.'; what else a name
 * could be is refused. Every call may be repeated, and may come after one that was killed at any point. Sizes are in
 * bytes. Blocking; for worker tasks, of any thread: calls about one volume wait for each other.
 */
#pragma once

#include "base/arena.h"
#include "kubelet/local/local_machine.h"

struct local_store {
	const char *dir;		     /* absolute, made by its owner, closed to others but for walking through */
	const struct local_machine *machine; /* &local_machine_real, or a test's */
};

/* Who holds the size. */
enum local_limit {
	LOCAL_AUTO, /* the first of the next two that this machine can do */
	LOCAL_QUOTA,
	LOCAL_IMAGE,
	LOCAL_NONE,
	_LOCAL_LIMIT_MAX
};
/* As the parameter `enforcement` of a class and the annotation of a volume have it: "auto", "projectQuota"... */
extern const char *const local_limit_names[_LOCAL_LIMIT_MAX];

struct local_want {
	const char *name;
	int64_t bytes;
	bool block; /* a block device of that size; limit is not looked at */
	enum local_limit limit;
};

/* Makes it, or goes on making it. *ret_limit: who holds the size of what is there then, never LOCAL_AUTO. why: set when
 * that is nobody although AUTO was asked for: what this machine lacks. */
int local_volume_make(const struct local_store *s, const struct local_want *w, enum local_limit *ret_limit,
		      struct err *why, struct err *err);

/* The same, holding what volume `from` holds now, or what a snapshot holds (local_snapshot.h): an image makes one with
 * an image, a block device a block device, a directory one of any limit. Writers of an image wait meanwhile: for a
 * moment where the file system can share blocks (reflink), else for as long as copying takes, of an image of at most
 * 1 GiB while a pod has it; one that no pod has is of any size, and its next pod waits. Writers of a block device never
 * wait: where they write on while it is read, again and again, that is refused (ERR_UNAVAILABLE). A directory is copied
 * file by file. Nothing is handed out before it is whole. */
struct local_source {
	const char *volume, *snapshot; /* one of these */
};
int local_volume_fill(const struct local_store *s, const struct local_source *from, const struct local_want *w,
		      enum local_limit *ret_limit, struct err *why, struct err *err);

struct local_place {
	const char *path; /* of the directory, or of the device */
	bool block;
};
/* Brings it to where a container can have it: mounted, attached, as large as it was made. ERR_NOT_FOUND: it is not
 * there. */
int local_volume_ready(const struct local_store *s, struct arena *a, const char *name, struct local_place *ret,
		       struct err *err);
/* At least that large from now on, while it is in use. Never smaller. */
int local_volume_grow(const struct local_store *s, const char *name, int64_t bytes, struct err *err);
/* What could not grow while it was mounted does now, when nobody has it mounted: out of use, checked, grown, mounted.
 * Only while nobody was handed it who may mount it at any time. Fine when there is nothing to do; ERR_CONFLICT: it is
 * in use. */
int local_volume_catch_up(const struct local_store *s, const char *name, struct err *err);
/* Gone, with its data; or out of use and kept as "archived-NAME". Nobody may use it. Fine when it is not there. */
int local_volume_remove(const struct local_store *s, const char *name, struct err *err);
int local_volume_archive(const struct local_store *s, const char *name, struct err *err);

/* After a start: images that were not finished go, the others are mounted. The first failure, after all were tried. */
int local_store_mend(const struct local_store *s, struct err *err);

/* The names of the volumes that are there. */
size_t local_store_names(const struct local_store *s, struct arena *a, const char *const **ret);
/* One that nobody knows goes when nothing was ever put into it: 1; else it stays: 0. Block devices always stay. */
int local_volume_drop_empty(const struct local_store *s, const char *name, struct err *err);

/* Nothing of it is mounted or attached any more; all stays on the disk. The first failure, after all were tried. */
int local_store_release(const struct local_store *s, struct err *err);

bool local_name_ok(struct sv name);
/* How large the image's file is, so that its file system has room for that much. */
int64_t local_image_bytes(int64_t bytes);
