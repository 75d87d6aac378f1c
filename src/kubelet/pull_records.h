/* pull_records.h - who has shown that he may have which image.
 *
 * An image that is on the node was pulled for somebody. With the policy IfNotPresent (or Never) a pod gets it only when
 * it was pulled without credentials, or with credentials that the pod has, too; else its own must be tried at the
 * registry. Images that nobody pulled (imported, or there before us) are everybody's: upstream's policy
 * NeverVerifyPreloadedImages.
 *
 *	<dir>/pulling/<sha256 of image>	a pull began; what it brought is not taken for preloaded should we be killed
 *	<dir>/pulled/<sha256 of ref>	JSON: the image's names, and for each of them the digests of credentials
 *
 * Both are synced: they hold over a power failure. Threads: any. Blocking.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "kubelet/runtime.h"
#include "net/digest.h"

#define PULL_CREDS_MAX 16	  /* of one pod for one image */
#define PULL_DIGESTS_MAX 100	  /* remembered of one image; the oldest go */
#define PULL_RECORDS_PRUNE_AT 256 /* more: those of images that are gone are dropped */

#define PULL_RECORDS_DIR "image_manager" /* below the kubelet's root */

struct pull_records;

/* dir NULL: nothing is kept. What cannot be read there is passed over, and said in the log. */
struct pull_records *pull_records_new(struct env *env, const char *dir);
struct pull_records *pull_records_free(struct pull_records *r);

/* May one with these credentials have the image (its normalised name, and its id on the node) without a pull? */
bool pull_records_allow(struct pull_records *r, struct sv image, struct sv ref, const char (*digests)[SHA256_HEX],
			size_t n);
/* Before a pull, and after it: ref "" when it failed, digest NULL when it needed no credentials. */
int pull_records_begin(struct pull_records *r, struct sv image, struct err *err);
int pull_records_end(struct pull_records *r, struct sv image, struct sv ref, const char *digest, struct err *err);
/* Is it time to prune; and: forgets what is not among these, unless it was written within the hour. */
bool pull_records_many(struct pull_records *r);
void pull_records_prune(struct pull_records *r, const struct rt_image *present, size_t n);
