/* described.h - kinds of ours that are CustomResourceDefinitions, described as data: api/gateway.json, snapshots.json.
 *
 *	{"group": ..., "annotations": {...}, "shared": {NAME: schema, ...}, "kinds": [
 *		{"names": {...}, "scope": ..., "versions": ["v1", ...], "storage": "v1", "status": true,
 *		 "columns": [...], "annotations": {...}, "schema": {...}}]}
 *
 * A schema that stands at several places is written once, in "shared", and used as {"$use": NAME}; beside it members of
 * its own may stand. All versions of a kind have one schema. A kind's annotations stand instead of those of all.
 */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

/* A list of CustomResourceDefinitions, all in a. json: a constant of tools/gen_crds.py, which a test reads. */
struct val *described_crds(struct arena *a, const char *json);
