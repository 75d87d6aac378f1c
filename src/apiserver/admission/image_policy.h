/* image_policy.h - ImagePolicyWebhook: a program outside says of each pod whether its images may run.
 *
 *	imagePolicy:
 *	  kubeConfigFile: PATH	who is asked, and as whom
 *	  allowTTL, denyTTL	for how many seconds its answers count: 0: 300 and 30; -1: not at all
 *	  retryBackoff		in milliseconds; checked, and otherwise webhook/ask.h's
 *	  defaultAllow		what counts when nobody answers
 *
 * It is asked with an ImageReview (imagepolicy.k8s.io/v1alpha1) of all images of a pod that is made or changed, of its
 * ephemeral containers where those are, with the pod's annotations of *.image-policy.k8s.io. A request waits without a
 * thread. Answers are bounded, and so are those that are remembered.
 *
 * Threads: any, once made.
 */
#pragma once

#include "base/err.h"
#include "codec/doc.h"

struct image_policy; /* opaque */

/* config as above; paths of it begin in dir. NULL: what is wrong with it. */
struct image_policy *image_policy_new(const struct val *config, const char *dir, struct err *err);
struct image_policy *image_policy_free(struct image_policy *p); /* NULL is fine */
