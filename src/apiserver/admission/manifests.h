/* manifests.h - configurations of admission out of files: webhooks and policies that no request can take away.
 *
 *	AdmissionConfiguration ─▶ a plugin's staticManifestsDir ─▶ *.yaml, *.yml, *.json ─▶ objects, checked
 *
 * They are in force from the first request on, are asked before those of the API, and unlike those also about the
 * configuration of admission itself. Each of the four plugins has a folder of its own, which holds only its kinds
 * (of admissionregistration.k8s.io/v1, alone, several a file, or in a List). Names end in MANIFESTS_SUFFIX, which
 * the API refuses (manifests_name_rule()), and are there once. They stand for themselves: a webhook has a URL, a
 * policy takes no parameters, a binding is of a policy of the folder.
 *
 * What is wrong with a folder keeps the server from starting. Every minute it is looked at again (watched_file.h).
 *
 * The behaviour is upstream's (v1.37, gate ManifestBasedAdmissionControlConfig). MANIFESTS_BYTES_MAX is ours, in
 * all files of a folder.
 *
 * Threads: manifests_get() any; manifests_reload() one at a time.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "object/obj.h"

#include <stdatomic.h>

#define MANIFESTS_SUFFIX ".static.k8s.io"
#define MANIFESTS_BYTES_MAX ((size_t)8 << 20)

enum manifests_of {
	MANIFESTS_VALIDATING_HOOKS,
	MANIFESTS_MUTATING_HOOKS,
	MANIFESTS_VALIDATING,
	MANIFESTS_MUTATING,
	_MANIFESTS_MAX
};

/* The objects of one folder, immutable. */
struct manifest_set {
	atomic_int refs;
	struct arena arena;
	struct obj **main, **bindings; /* configurations of webhooks or policies, by name; bindings of policies */
	size_t n_main, n_bindings;
};

struct manifests;

/* NULL: *err says which file is wrong and why. dir is copied. */
struct manifests *manifests_new(enum manifests_of of, const char *dir, struct err *err);
struct manifests *manifests_free(struct manifests *m);
/* True: they are others now. */
bool manifests_reload(struct manifests *m);
/* A reference; NULL when m is. */
struct manifest_set *manifests_get(struct manifests *m);
struct manifest_set *manifest_set_unref(struct manifest_set *s); /* NULL is fine */

struct field_errs;
/* A strategy's rule (registry/strategy.h) of the kinds that files may have: those of the API are not called so. */
void manifests_name_rule(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub);
