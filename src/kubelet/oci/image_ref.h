/* image_ref.h - names of images, as Docker and the kubelet read them (distribution/reference).
 *
 *	nginx                            docker.io/library/nginx:latest
 *	example.com:5000/a/b:1           example.com:5000/a/b:1
 *	example.com/a@sha256:<64 hex>    by digest; a tag beside it is kept and not looked at
 *
 * What has a dot or a colon before its first slash, or is "localhost", is a registry's name.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct image_ref {
	struct sv registry;   /* "docker.io" */
	struct sv repository; /* "library/nginx" */
	struct sv tag;	      /* "latest"; "" when there is only a digest */
	struct sv digest;     /* "sha256:…" or "" */
};

/* The grammar is image_normalize()'s (pod/image_name.h), and so are its errors: ERR_BAD_REQUEST "couldn't parse image
 * name …". At most 4 KiB. Everything in a. */
int image_ref_parse(struct arena *a, struct sv text, struct image_ref *ret, struct err *err);
/* "registry/repository:tag", without a digest; "" when there is no tag. */
struct sv image_ref_tagged(struct arena *a, const struct image_ref *r);
/* "registry/repository@digest" */
struct sv image_ref_by_digest(struct arena *a, const struct image_ref *r, struct sv digest);
/* "registry/repository", with the tag and the digest that there are: what errors of pulls name. */
struct sv image_ref_text(struct arena *a, const struct image_ref *r);
/* "sha256:" and 64 lower-case hex digits, the one kind of digest that is kept; the digits (a view into s), else "". */
struct sv image_digest_hex(struct sv s);
