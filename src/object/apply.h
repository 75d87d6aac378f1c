/* apply.h - field ownership: metadata.managedFields and server-side apply (KEP-555).
 *
 * A field set is a trie of path elements (f:name, k:{keys}, v:value, i:index) as in
 * structured-merge-diff; fieldsV1 is its JSON form. All functions work on typed documents
 * and return new ones in the arena.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/schema.h"

#define MANAGER_MAX 128	       /* bytes of a field manager's name */
#define MANAGED_UPDATES_MAX 10 /* entries of operation Update kept apart; older ones are merged */

struct apply_opts {
	struct sv manager;
	struct sv subresource; /* "" or "status" */
	struct sv api_version; /* of the request */
	int64_t now_ns;
	bool force;
	/* Field paths (dotted, top level or "metadata.labels") that this endpoint resets: never owned here. */
	const char *const *reset_fields; /* NULL-terminated, or NULL */
	/* How to see the object as other managers' versions do. NULL: there is the request's version and no other. */
	const struct apply_versions *versions;
};

/* An object in some version. */
struct apply_version {
	const struct schema *schema;
	const struct val *doc;
	const char *const *reset_fields; /* in that version */
};
#define APPLY_NO_VERSION 1 /* the kind has no such version: what a manager owns in it is nobody's any more */
struct apply_versions {
	/* doc, which is in any version (its apiVersion says which; or empty), in api_version. 0; -1: it cannot be;
	 * APPLY_NO_VERSION. Anything else: not yet. Then managed_update() and managed_apply() return NULL, with no
	 * error and having changed nothing, and ask for the same in the same order when they are called again. */
	int (*as)(void *ctx, const struct val *doc, struct sv api_version, struct apply_version *ret, struct err *err);
	void *ctx;
};

/* Records in neu's metadata.managedFields who changed what between old (NULL on create) and
 * neu by a create, update or classic patch. Returns neu (changed in place); NULL when another version of it that a
 * manager wrote cannot be had. */
struct val *managed_update(struct arena *a, const struct schema *s, const struct val *old, struct val *neu,
			   const struct apply_opts *o, struct err *err);

/* config is the request's document as parsed, not decoded to a type: decoding fills in zero
 * values that the client did not write and must not own. The caller decodes the result.
 *
 * Applies the configuration to live (NULL: create). Fields of the manager's previous apply
 * that are gone from config and owned by nobody else are removed. Conflicts with other
 * managers give 409 with a cause per field ("conflict with \"kubectl\" using apps/v1: .spec.replicas"),
 * unless forced. NULL on failure. */
struct val *managed_apply(struct arena *a, const struct schema *s, const struct val *live, const struct val *config,
			  const struct apply_opts *o, struct err *err);

/* Whether a list of managedFields can be read; one that cannot counts as none. */
bool managed_valid(struct arena *a, const struct val *managed_fields);

/* managed_apply()'s own, for what is applied in another way: fails with 500 and upstream's words where config has
 * what its type does not declare or values of another form, at any depth. */
int apply_check(struct arena *a, const struct schema *s, const struct val *config, struct err *err);

/* What a mutating admission policy applies: config merged into live, without owners; nothing atomic may be replaced.
 * Shares nodes with both. NULL with upstream's words. */
const struct val *apply_mutation(struct arena *a, const struct schema *s, const struct val *live,
				 const struct val *config, struct err *err);
