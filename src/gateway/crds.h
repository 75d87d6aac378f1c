/* crds.h - the kinds of Gateway API as CustomResourceDefinitions: api/gateway.json, spelled out.
 *
 * The standard channel's kinds that are served here, with their v1 and, where upstream still serves it, v1beta1.
 * Names, types, defaults and rules are upstream's, so that what upstream's definitions take these take, and no more.
 * A schema that stands at several places is written once there and used by its name.
 */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

#define GW_GROUP "gateway.networking.k8s.io"
#define GW_BUNDLE_VERSION "v1.5.0" /* of which upstream's bundle these are the fields */

extern const char gw_crds_json[]; /* generated */

/* A list of CustomResourceDefinitions, all in a. */
struct val *gw_crds(struct arena *a);
