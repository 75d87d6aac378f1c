/* local_volume-internal.h - a volume under work, for local_volume.c (one volume's life), local_fill.c (filled from
 * another one), local_copy.c (how that is copied), local_snapshot.c and local_store.c (all volumes of a store). */
#pragma once

#include "kubelet/local/local_volume.h"

#define IMAGES ".images"
#define UNFINISHED ".new-" /* no volume's name begins so */
#define SNAPSHOTS ".snapshots"
#define FILLING ".filling-" /* the same; volume NAME is not whole while .filling-NAME is there */
#define BYTES_MAX ((int64_t)1 << 60)

/* A volume under work: its place and, of one with an image, the image's file, locked. */
struct local_at {
	const struct local_store *s;
	const char *name;
	int dir, images; /* -1: there are no images */
	int file;	 /* the image, or the block device's contents; -1: neither */
	int lock;	 /* the same file, opened once more */
	bool there, block;
};

/* What is there of it; locked until released. Release it also after a failure. */
int local_look(struct local_at *v, const struct local_store *s, const char *name, struct err *err);
void local_at_release(struct local_at *v);
const char *local_path(const struct local_at *v, struct arena *a);

int local_images(struct local_at *v, struct err *err); /* opens the directory of images, made when it is missing */
/* Opens v->file, new and empty, in the directory `in` under a name that nobody mounts; then gives it its own. */
int local_begin_file(struct local_at *v, int in, const char *unfinished, struct err *err);
int local_finish_file(struct local_at *v, int in, const char *unfinished, struct err *err);
int local_grow_file(const struct local_at *v, int64_t bytes, struct err *err);
int64_t local_device_bytes(int64_t bytes); /* of the file of a block device */

int local_mount(const struct local_at *v, struct err *err);
int local_release(const struct local_at *v, struct err *err); /* out of every use: unmounted, detached */

/* What a volume's contents lie in. */
enum local_form { LOCAL_TREE, LOCAL_FILE_SYSTEM, LOCAL_DEVICE, _LOCAL_FORM_MAX };
/* What it is; LOCAL_TREE of one that is not there, too. */
enum local_form local_form_of(const struct local_at *v);
/* All that volume `from` holds now, into an empty file, or directory. It is of one moment: an image's writers wait
 * meanwhile, and a device on which they write on is refused; an image of which that would be too long is refused while
 * a pod has it. bytes: what the volume may hold; 0: it is not known. */
int local_copy_still(const struct local_store *s, const char *from, bool block, int to, struct err *err);
int local_copy_tree(const struct local_store *s, const char *from, int to, int64_t bytes, struct err *err);
/* A file that nobody writes. */
int local_copy_file(const struct local_store *s, int from, int to, struct err *err);

/* The snapshot, open: a file or a directory. -1: ERR_NOT_FOUND, or what else. */
int local_snapshot_open(const struct local_store *s, const char *name, enum local_form *ret, struct err *err);
/* After a start: what was not finished, or half removed. */
void local_snapshots_mend(int dir);
