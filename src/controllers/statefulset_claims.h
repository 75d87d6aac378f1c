/* statefulset_claims.h - the volume claims of a StatefulSet's pods: made before the pod, named after it, kept when it
 * goes, unless spec.persistentVolumeClaimRetentionPolicy says otherwise (KEP-1847).
 *
 * Nothing here deletes a claim: who is to take it along is written as its owner, and the garbage collector does
 * the rest. The owner is the set (whenDeleted: Delete), or the pod once it is to go for good (whenScaled: Delete).
 */
#pragma once

#include "base/arena.h"
#include "client/client.h"
#include "client/events.h"
#include "client/informer.h"

struct set_claims {
	struct arena *a;
	struct client *client;
	struct recorder *recorder;
	struct informer *claims;
	struct obj *set;
};

/* Makes those that are missing, with an event of the set for each. 1: one is still going, the pod has to wait. */
int claims_make(const struct set_claims *c, struct sv pod, struct err *err);
/* Owners as the retention policy asks for; condemned: the pod goes because the set shrinks. */
int claims_keep(const struct set_claims *c, const struct obj *pod, bool condemned, struct err *err);
/* The pod's volumes: of its claims, in place of volumes of the same name in the template. */
struct val *claims_volumes(const struct set_claims *c, const struct val *was, struct sv pod);
