/* image_name.h - names of images: the grammar of distribution's references, and what is left out in them. Pure. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* "nginx" -> "docker.io/library/nginx:latest"; "a/b:1" -> "docker.io/a/b:1". ERR_BAD_REQUEST with the kubelet's
 * words, "couldn't parse image name". */
int image_normalize(struct arena *a, struct sv name, struct sv *ret, struct err *err);
bool image_is_latest(struct sv normalized); /* tag latest and no digest: pulled Always by default */
