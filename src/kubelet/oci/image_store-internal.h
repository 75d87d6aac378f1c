/* image_store-internal.h - shared by image_store*.c; nobody else includes it. */
#pragma once

#include "base/strmap.h"
#include "kubelet/oci/image_config.h"
#include "kubelet/oci/image_store.h"

#include <pthread.h>

#define STORE_BLOBS "images/blobs/sha256"
#define STORE_LAYERS "images/layers"
#define STORE_REFS "images/refs"
#define STORE_NEW "images/new"

struct image_store {
	struct env *env;
	char *data;		 /* DATA/oci */
	pthread_rwlock_t files;	 /* pulls and holders read; who removes files writes, or leaves it to them */
	pthread_mutex_t lock;	 /* everything below */
	struct strmap under_way; /* chains of layers that are being unpacked */
	struct strmap held;	 /* ids of images -> how many containers have them */
};

/* An image as the files have it. */
struct stored_image {
	struct sv id; /* "sha256:…" of its configuration */
	struct image_manifest manifest;
	struct image_config config;
};

const char *store_path(const struct image_store *s, struct arena *a, const char *dir, struct sv name);
/* A blob by its digest; its bytes are checked against it. ERR_NOT_FOUND when it is not there. */
int store_blob_read(const struct image_store *s, struct arena *a, struct sv digest, struct sv *ret, struct err *err);
int store_blob_write(const struct image_store *s, struct arena *a, struct sv digest, struct sv bytes, struct err *err);
/* A name and what it means. Each image also has its id as a name, which nobody is shown: by it containers find it whose
 * image has no other any more. */
struct store_ref {
	struct sv name, manifest;
	bool is_id;
	struct stored_image image;
};
/* All that can be read, by name; *ret_bad: how many cannot. */
int store_refs(const struct image_store *s, struct arena *a, struct store_ref **ret, size_t *ret_n, size_t *ret_bad,
	       struct err *err);
struct sv store_ref_file(struct arena *a, struct sv name); /* the name of its file */
/* What a manifest's digest means. */
int store_image_read(const struct image_store *s, struct arena *a, struct sv manifest, struct stored_image *ret,
		     struct err *err);
/* The name's file: its text is the manifest's digest. */
int store_ref_write(const struct image_store *s, struct arena *a, struct sv name, struct sv digest, struct err *err);
/* Removes what no name and no holder reaches; nothing while something is pulled. */
void store_collect(struct image_store *s);
/* The directory layers/CHAIN. */
const char *store_layer(const struct image_store *s, struct arena *a, const char *chain, const char *name);
