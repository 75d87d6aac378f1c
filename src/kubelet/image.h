/* image.h - container images as files: making small ones, importing archives into containerd.
 *
 * Archives written here are `docker save` tars (manifest.json, config, one layer), which containerd, Docker and
 * skopeo read alike. Output is reproducible: no time stamps, fixed order.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct image_file {
	const char *path; /* in the image, without leading '/' */
	const char *link; /* symbolic link to this instead of content, or NULL */
	struct sv content;
	mode_t mode;
	bool dir;
};

struct image_spec {
	const char *name; /* fully qualified: "docker.io/caravel/demo:1" */
	const struct image_file *files;
	size_t n_files;
	const char *const *entrypoint, *const *cmd, *const *env; /* NULL-terminated, or NULL */
	const char *workdir, *user;				 /* NULL: "/", root */
	const int *ports;					 /* 0-terminated, or NULL */
};

#define PAUSE_IMAGE "caravel.local/pause:1"
#define DEMO_IMAGE "docker.io/caravel/demo:1"
int image_build_pause(struct arena *a, struct sv *ret_tar, struct err *err);
/* A web server (busybox httpd on 8080) from the static busybox of the host; "" path: /bin/busybox. */
int image_build_demo(struct arena *a, const char *busybox, struct sv *ret_tar, struct err *err);

/* Imports an archive file (docker save or OCI layout, also gzip or zstd) into containerd's CRI namespace,
 * unpacked and tagged as it says: for all platforms in it, or where contents of others are missing, as in what
 * `docker save` writes of an image for many, for this machine's. Runs containerd's own ctr. A failure leaves no image
 * of it behind. */
int image_import(const char *socket, const char *path, struct err *err);
int image_import_bytes(const char *socket, const char *tmp_dir, struct sv tar, struct err *err);
