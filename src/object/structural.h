/* structural.h - the schema of a custom kind, compiled, and what it does to objects.
 *
 * Custom objects are not typed documents (decode.h): a member of a wrong type is no error of decoding, it is found by
 * validation (422), and what stands in an object but not in its schema is pruned. One struct structural is made of
 * one version's openAPIV3Schema and answers for all of that:
 *
 *	body ──structural_decode()──▶ structural_default() ──▶ admission ──▶ structural_validate()
 *	stored ──structural_from_store()──▶ published
 *
 * Memory. A compiled schema is a tree of small nodes over the document it was made of, which it borrows: names,
 * defaults, enums and rules stay where they are. It is made when the first object is read or written, as most kinds
 * of a cluster never have one; rules are compiled when the first object is validated. Both are immutable and are held
 * until structural_release().
 *
 * Threads. All functions but structural_release() may be called by any thread at any time.
 *
 * Costs. Everything is linear in the object, but for the junctors (allOf, anyOf, oneOf, not): they look at a value
 * once for each of their schemas, which is paid for (STRUCTURAL_STEPS_MAX). Rules are paid for by upstream's budget.
 *
 * Behaviour and words are apiextensions-apiserver's (pkg/apiserver/schema, pkg/apiserver/validation) and those of its
 * validator, kube-openapi (pkg/validation/validate).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/decode.h"
#include "object/validate.h"

struct structural; /* opaque */

/* Of an openAPIV3Schema that the CustomResourceDefinition's validation let through (it is not checked again: what has
 * no meaning here means nothing). a and openapi outlive it. NULL: ERR_BAD_REQUEST, it is too large. openapi NULL:
 * an object of any members. */
struct structural *structural_new(struct arena *a, const struct val *openapi, struct err *err);
void structural_release(struct structural *s); /* what it holds outside of its arena; NULL is fine */

/* --- what comes from a client ---
 *
 * Everything that makes an object of text is followed by structural_decode() and then structural_default(): bodies of
 * create and update, the results of patches and applies, of mutating webhooks and of conversions.
 */

/* In place: prunes what the schema does not have, nulls where they may not be and have no default, and coerces
 * metadata, the object's own and that of embedded resources. Objects of a list are each decoded on its own.
 * report: gets "unknown field \"spec.foo\"" and, before them, what the parser knows of repeated ones; NULL: nobody
 * asks. -1: metadata of a wrong type, ERR_BAD_REQUEST in upstream's words. */
int structural_decode(const struct structural *s, struct arena *a, struct val *doc, struct decode_report *report,
		      struct err *err);
/* In place; texts of the schema are borrowed by doc. -1: so many defaults came that the object is too large
 * (ERR_TOO_LARGE). */
int structural_default(const struct structural *s, struct arena *a, struct val *doc, struct err *err);

/* In place, all that is done to what comes out of the store (or out of a conversion to this version): as above, but
 * metadata of a wrong type is dropped, and nothing is refused. */
void structural_from_store(const struct structural *s, struct arena *a, struct val *doc);

/* --- validation --- */

struct structural_run {
	/* Asked now and then: the request has no time left. Rules end with an error then. NULL: never. */
	bool (*stopped)(void *ctx);
	void *ctx;
};

/* What the schema says of values: types, bounds, formats, junctors. Paths begin at the object: "spec.replicas". old is
 * the stored object of an update, NULL on create; what is wrong in both and did not change passes. First of all, as
 * upstream: then come the rules of scale that are the kind's, then structural_validate_rest(). */
void structural_validate(const struct structural *s, struct field_errs *fe, const struct val *doc,
			 const struct val *old);
/* Metadata of embedded resources, uniqueness in lists that are sets or maps, and the rules
 * (x-kubernetes-validations), which are not asked when fe has an error that may confuse them. run may be NULL. */
void structural_validate_rest(const struct structural *s, struct field_errs *fe, const struct val *doc,
			      const struct val *old, const struct structural_run *run);

/* Has it rules at all? And compiles them, which else the first object does: true: just now, by this call. */
bool structural_has_rules(const struct structural *s);
bool structural_compile_rules(const struct structural *s);
/* --- for those who check expressions against it --- */

struct cel_type;
/* The type of its objects, under this name. NULL: expressions can do nothing with them. Borrows from s. */
const struct cel_type *structural_type(struct arena *a, const struct structural *s, struct sv name);

/* --- for the validation of CustomResourceDefinitions --- */

/* The rules of a schema: those that do not compile, cost too much by estimate, or have messages, reasons or paths that
 * cannot be. at: the path of openapi. old: the schema before an update (its rules are taken as they are), or NULL. */
void structural_check_rules(struct field_errs *fe, const struct val *openapi, const struct val *old,
			    const struct fpath *at);
/* The defaults in a schema: pruned they are what they were, and valid by the schema where they stand. */
void structural_check_defaults(struct field_errs *fe, const struct val *openapi, const struct fpath *at);
