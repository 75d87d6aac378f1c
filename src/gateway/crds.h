/* crds.h - the kinds of Gateway API as CustomResourceDefinitions: api/gateway.json, spelled out (object/described.h).
 *
 * The standard channel's kinds that are served here, with their v1 and, where upstream still serves it, v1beta1.
 * Names, types, defaults and rules are upstream's, so that what upstream's definitions take these take, and no more.
 */
#pragma once

#include "object/described.h"

#define GW_GROUP "gateway.networking.k8s.io"

extern const char gw_crds_json[]; /* generated */
