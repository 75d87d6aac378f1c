/* type_check.h - what a ValidatingAdmissionPolicy gets wrong about the types that it is for.
 *
 *	spec.matchConstraints ─▶ kinds ─▶ each validation, with object and oldObject of it ─▶ expressionWarnings
 *
 * A stored policy compiles with objects of any type. Here validations and their messages are compiled once more for
 * each kind that the rules name in full (without "*" and subresources), with the types of its fields, and params with
 * those of its kind. Nothing is refused for it: warnings are for the one who wrote the policy. Match conditions and
 * audit annotations are not checked. What an expression gives is not, either, as upstream.
 *
 * Of each rule ten kinds are checked at most, by group, version and kind, and a rule that has so many is the last one
 * (upstream's bound). POLICY_CHECK_KINDS_MAX is ours and for all rules together: each kind costs as much as the whole
 * policy. Warnings end at POLICY_CHECK_BYTES_MAX, so that a status stays small.
 *
 * Words and order are upstream's (the type checker of apiserver's validating policies). Any thread; the result is in
 * the arena, and borrows from nothing else.
 */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"
#include "object/api_set.h"

#define POLICY_CHECK_KINDS_RULE ((size_t)10)
#define POLICY_CHECK_KINDS_MAX ((size_t)64)
#define POLICY_CHECK_BYTES_MAX ((size_t)256 * 1024)

/* The kinds that matchConstraints of this spec name in full; *ret is in the arena. */
size_t policy_kinds(struct arena *a, const struct api_set *api, const struct val *spec,
		    const struct resource *const **ret);

/* status.typeChecking.expressionWarnings: a list of { fieldRef, warning }, which may be empty. */
struct val *policy_type_check(struct arena *a, const struct api_set *api, const struct val *spec);
