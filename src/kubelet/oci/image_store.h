/* image_store.h - images on the disk, by name and by digest.
 *
 *	ref ──▶ manifest ──▶ configuration ──▶ layers (by their chain: a layer on what is below it)
 *
 * An image's id is the digest of its configuration, as of Docker and CRI. Layers are shared; a layer lives as long as
 * an image or a container needs it. There is no index: what exists is what the directories say, read once at start.
 *
 * Crash rules: a blob, a layer and a ref are each made aside and renamed; a ref comes last and goes first. At start
 * new/ is emptied; what nothing reaches is removed after the next pull or removal, so images are held again before
 * either. Names of what cannot be read stop that: nobody knows what they need.
 *
 * Threads: any. Two pulls of one layer unpack it once: the second waits for the first (and takes over when that
 * fails). Files are removed while nobody pulls; the last pull does what was left meanwhile.
 */
#pragma once

#include "base/env.h"
#include "kubelet/oci/image_ref.h"
#include "kubelet/oci/oci_paths.h"
#include "kubelet/oci/registry.h"
#include "kubelet/runtime.h"

struct image_store;

struct image_store *image_store_open(struct env *e, const struct oci_paths *p, struct err *err);
struct image_store *image_store_close(struct image_store *s); /* nobody is in it */

/* As runtime_ops has them: name, name@digest, id or a beginning of an id of at least 12 digits. */
int image_store_status(struct image_store *s, struct arena *a, struct sv image, struct rt_image **ret, struct err *err);
int image_store_list(struct image_store *s, struct arena *a, struct rt_image **ret, size_t *ret_n, struct err *err);
/* Names go at once, layers when no container has them. Fine when there is none. */
int image_store_remove(struct image_store *s, struct sv image, struct err *err);
int image_store_pull(struct image_store *s, struct arena *a, struct sv image, const struct registry_config *rc,
		     const struct val *auth, int stop_fd, struct sv *ret_ref, struct err *err);
int image_store_usage(struct image_store *s, uint64_t *ret_bytes, struct err *err);

/* What a container is made of; everything in a. The layers stay until image_store_drop(), also over a restart: the
 * container's record names the image's id, and image_store_hold() is called again for each record at start. */
struct image_use {
	struct sv id;	    /* of the image */
	struct val *config; /* the "config" member: Env, Cmd, Entrypoint, WorkingDir, User, StopSignal, Volumes */
	const char *const *layers; /* directories, lowest first */
	size_t n_layers;
};
int image_store_hold(struct image_store *s, struct arena *a, struct sv image, struct image_use *ret, struct err *err);
void image_store_drop(struct image_store *s, struct sv id);
