/* image_config.h - what registries and archives say of an image: indexes, manifests and configurations, those of OCI
 * and of Docker (schema 2), which differ in their media types alone. Pure; what is returned points into the document.
 *
 * Documents are strangers': at most IMAGE_DOCUMENT_MAX bytes, IMAGE_LAYERS_MAX layers, digests of SHA-256 only. One
 * that is an index and a manifest at once is refused, as is one that says to be another kind than it came as: a tag
 * would mean two images, one for each reader.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

#define IMAGE_DOCUMENT_MAX ((size_t)4 << 20)
#define IMAGE_LAYERS_MAX 128
#define IMAGE_INDEX_DEPTH 4 /* indexes in indexes */

/* What "Accept" of a manifest's request says. */
#define IMAGE_ACCEPT                                                                                               \
	"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list." \
	"v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"

struct image_blob {
	struct sv digest; /* "sha256:…", checked */
	uint64_t size;
};

struct image_manifest {
	bool index; /* of `chosen`; else all the others are set */
	struct image_blob chosen;
	struct image_blob config;
	struct image_blob *layers; /* lowest first */
	size_t n_layers;
};

/* media_type "": as the document says itself. Of an index the entry for this machine (linux, its architecture, the
 * nearest variant that it runs) is chosen; ERR_NOT_FOUND "no match for platform in manifest" when there is none. */
int image_manifest_parse(struct arena *a, struct sv bytes, struct sv media_type, struct image_manifest *ret,
			 struct err *err);

struct image_config {
	struct val *config;  /* never NULL: Env, Cmd, Entrypoint, … */
	struct sv *diff_ids; /* of the layers unpacked, lowest first, checked */
	size_t n_layers;
};

/* n_layers: as many as the manifest has; more or fewer diff ids are an error. An image for another system or
 * architecture is none for this machine (ERR_NOT_FOUND). */
int image_config_parse(struct arena *a, struct sv bytes, size_t n_layers, struct image_config *ret, struct err *err);
/* config.User as CRI has it: the number before a colon, or -1 and the name. */
void image_config_user(const struct image_config *c, int64_t *ret_uid, struct sv *ret_name);
/* The chain of a layer with the diff id `diff` on one with the chain `below` ("" : on none): hex digits of both. */
void image_chain(struct sv below_hex, struct sv diff_hex, char ret[65]);
