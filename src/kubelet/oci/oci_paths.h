/* oci_paths.h - where the embedded runtime has what, and how its things are named.
 *
 * The layout is drawn in docs/design/2026-12-01-a-runtime-of-our-own.md. Ids are 64 hex digits, as other runtimes' are
 * (tools cut them to 12); they come from the environment's chance.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"

#define OCI_ID_LEN 64

struct oci_paths {
	const char *data; /* DATA/oci */
	const char *run;  /* /run/caravel-<hash>/oci */
};

void oci_paths_init(struct oci_paths *p, struct arena *a, const char *data_dir);
void oci_id_new(struct env *e, char ret[OCI_ID_LEN + 1]);
/* True for 64 lower-case hex digits: an id that comes from outside is a path's part only then. */
bool oci_id_ok(struct sv id);

/* "" name: the directory itself. All in a. */
const char *oci_pod_path(const struct oci_paths *p, struct arena *a, struct sv sid, const char *name);
const char *oci_container_path(const struct oci_paths *p, struct arena *a, struct sv sid, struct sv cid,
			       const char *name);
const char *oci_run_path(const struct oci_paths *p, struct arena *a, struct sv sid, const char *name);
