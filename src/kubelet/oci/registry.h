/* registry.h - images from registries: the OCI distribution protocol (v1.1), as Docker's registries speak it.
 *
 * Asks with libcurl: TLS, proxies of the environment (HTTP_PROXY, NO_PROXY), redirects (without our
 * Authorization to another host, never from https to http, nor to a link-local address that was not configured). A 401
 * with WWW-Authenticate: Bearer is answered by asking its realm for a token, Basic with the credentials. The realm must
 * be https, or the registry itself. Mirrors, rewrites, certificates and credentials of `registries.yaml` (the file of
 * k3s) come as a list of endpoints in order; the first that has the manifest is the one that the layers are asked of,
 * the next one where a blob fails.
 *
 * What a registry sends is bounded: a manifest by 4 MiB, a token by 64 KiB, a blob by the size its manifest says. A
 * blob whose digest is another is an error, whoever sent it. A connection that brings nothing for a minute is given up,
 * a blob that broke off goes on where it was (Range), five times. registry_blob_read() with n 0 says whether to go on.
 *
 * Blocking, tasks of the slow class. Any thread; a registry_call is of one.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"
#include "kubelet/oci/image_ref.h"

struct registry_endpoint {
	const char *url;			    /* "https://mirror.example:5000/v2", or http:// */
	const char *ca_file, *cert_file, *key_file; /* NULL: the system's */
	bool insecure_skip_verify;
	struct sv username, password, identity_token, registry_token; /* "" : none */
	struct sv repository;					      /* after its rewrites */
	struct sv ns; /* of a mirror: whose images are wanted of it ("?ns=docker.io"); "" : the registry itself */
};

struct registry_config; /* registries.yaml, read and checked */
/* path NULL, or not there: none, every registry is asked at https://NAME/v2 (docker.io: registry-1.docker.io; localhost
 * and 127.0.0.0/8 also by http). */
struct registry_config *registry_config_read(const char *path, struct err *err);
struct registry_config *registry_config_free(struct registry_config *c);
/* Whom to ask, in order. auth: the pod's credentials as the kubelet has them (object of username, password, auth,
 * identitytoken, registrytoken), for the registry itself only, never for a mirror. */
size_t registry_endpoints(const struct registry_config *c, struct arena *a, const struct image_ref *r,
			  const struct val *auth, struct registry_endpoint **ret);

struct registry_call; /* one pull: connections and tokens that are kept meanwhile */
/* stop_fd: when it can be read, whatever goes on ends with ERR_UNAVAILABLE (-1: none). */
struct registry_call *registry_begin(const struct registry_endpoint *e, size_t n, int stop_fd, struct err *err);
struct registry_call *registry_end(struct registry_call *c);
/* Waits for ms, or until the call is given up: -1. */
int registry_stopped(struct registry_call *c, int ms, struct err *err);

/* The manifest or index of a tag or digest. Errors are those the kubelet says of pulls: not found, unauthorized, the
 * registry's own words. *ret_digest is of the bytes themselves. */
int registry_manifest(struct registry_call *c, struct arena *a, struct sv tag_or_digest, struct sv *ret_bytes,
		      struct sv *ret_media_type, struct sv *ret_digest, struct err *err);
/* A blob as a stream, for layer_unpack() or to its end; size as the manifest says it (more is an error). */
struct registry_blob;
struct registry_blob *registry_blob_open(struct registry_call *c, struct sv digest, uint64_t size, struct err *err);
ssize_t registry_blob_read(void *blob, void *p, size_t n, struct err *err); /* a layer_read */
struct registry_blob *registry_blob_close(struct registry_blob *b);
