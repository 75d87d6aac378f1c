/* local_volume-internal.h - a volume under work, for local_volume.c (one volume's life), local_copy.c (clones) and
 * local_store.c (all volumes of a store). */
#pragma once

#include "kubelet/local/local_volume.h"

#define IMAGES ".images"
#define UNFINISHED ".new-" /* no volume's name begins so */
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
