/* zpages.h - /statusz and /flagz as upstream's components serve them: text for people, and config.k8s.io objects.
 *
 * Whoever serves HTTP gives the Accept header and gets an answer: text/plain (also for no header and any type), or with
 * `application/json;v=v1beta1;g=config.k8s.io;as=Statusz` (v1alpha1, YAML and CBOR as well) an object. Anything else
 * is 406. Where the gates ComponentStatusz and ComponentFlagz are off there is no such page (zpage_on()).
 *
 * Pure; any thread.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

enum zpage { ZPAGE_STATUS, ZPAGE_FLAGS };

/* A flag as it is now; the value as upstream prints it: lists are [a,b]. */
struct zpage_flag {
	const char *name;
	const char *value;
	bool secret; /* told as CLASSIFIED */
};

struct zpage_about {
	const char *component; /* "kube-apiserver" */
	int64_t start_ns;      /* wall clock: of the process */
	int64_t now_ns;
	const char *const *paths; /* NULL-terminated, in order; or NULL */
	const struct zpage_flag *flags;
	size_t n_flags;
};

/* The page of this path; false: it is none, or is switched off. */
bool zpage_on(struct sv path, enum zpage *ret);
/* The HTTP status; b is what to answer (a Status for 406), *ret_type its type. */
int zpage_make(enum zpage which, const struct zpage_about *z, struct sv accept, struct buf *b, const char **ret_type);
