/* volumes.h - claims, volumes, classes, and what drivers say of nodes, for the plugins about volumes; and the work that
 * a placed Pod leaves.
 *
 * The informers' news come in by volumes_set(). Ahead of the API the scheduler is only in this: a volume that it has
 * chosen for a claim is promised, so that the next Pod does not choose it too, until the API shows the choice or
 * it failed.
 *
 * Objects handed out are borrowed and live until the next change. Not thread-safe: the scheduler's lock protects it.
 */
#pragma once

#include "base/strmap.h"
#include "base/vec.h"
#include "object/obj.h"

struct volumes {
	struct strmap claims, volumes, classes; /* "ns/name", "name", "name" -> struct obj * */
	struct strmap promised;			/* volume's name -> "ns/name" of the claim (char *) */
	struct strmap nodes, drivers;		/* name -> CSINode, CSIDriver */
	struct strmap capacities;		/* "ns/name" -> CSIStorageCapacity */
	struct strmap attached;			/* node -> struct strmap: name -> VolumeAttachment */
};

/* A claim that a placed Pod waits for: with the volume it is to get, or NULL when one is to be made on the node. */
struct claim_work {
	struct obj *claim, *volume; /* references */
};
typedef VEC(struct claim_work) claim_works;

void volumes_release(struct volumes *v);
/* o is of one of these kinds; others are ignored. */
void volumes_set(struct volumes *v, struct obj *o, bool deleted);
struct obj *volumes_claim(const struct volumes *v, struct sv ns, struct sv name); /* NULL: there is none */
struct obj *volumes_volume(const struct volumes *v, struct sv name);
struct obj *volumes_class(const struct volumes *v, struct sv name);
/* How many volumes of the driver the node takes, as its CSINode says; -1: nobody says. */
int64_t volumes_limit(const struct volumes *v, struct sv node, struct sv driver);
/* Does any node say so? */
bool volumes_limited(const struct volumes *v, struct sv driver);
/* What is attached to the node, or is to be: name -> VolumeAttachment; NULL: nothing. */
const struct strmap *volumes_attached(const struct volumes *v, struct sv node);
/* Is the driver on the node, by its CSINode? */
bool volumes_installed(const struct volumes *v, struct sv node, struct sv driver);
/* Are its Pods to go nowhere else (CSIDriver.spec.preventPodSchedulingIfMissing)? */
bool volumes_must_be_installed(const struct volumes *v, struct sv driver);
/* Does the driver say how much room it has, and where (CSIDriver.spec.storageCapacity)? */
bool volumes_tells_capacity(const struct volumes *v, struct sv driver);
/* Promised to another claim than this one? */
bool volumes_taken(const struct volumes *v, const struct obj *volume, const struct obj *claim);
void volumes_promise(struct volumes *v, const struct claim_work *w, size_t n);
void volumes_unpromise(struct volumes *v, const struct claim_work *w, size_t n);
void claim_works_release(claim_works *w);
