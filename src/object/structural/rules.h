/* rules.h - x-kubernetes-validations; only for the files of this folder.
 *
 * All rules of a schema are compiled at once, when the first object is validated by them; rules in allOf are about the
 * value that allOf is about, with its type. Lists and objects in allOf give rules of the same places.
 */
#pragma once

#include "object/cel/cel.h"
#include "object/structural/correlate.h"

struct rule {
	const struct val *src;
	struct cel_program *program; /* NULL: empty, or error says why not */
	struct cel_program *message; /* messageExpression; NULL: none, or it is not usable */
	struct sv error, message_error;
	struct sv path; /* fieldPath as paths are written; empty: none */
	bool optional_old, uses_old, message_uses_old;
};

/* Of one node. */
struct rule_set {
	const struct cel_type *type; /* NULL: values of it cannot be used in rules, which then are none */
	struct rule *rules;
	size_t n;
};

/* Of one schema, in an arena of its own. */
struct rules {
	struct arena arena;
	struct rule_set *sets; /* by snode.rules - 1 */
	size_t n;
};

/* Those of s, compiled now or before. */
const struct rules *rules_of(const struct structural *s);
void rules_free(struct rules *r); /* NULL is fine */

/* The type of a child in rules, of its parent's or by itself where the parent has none (t NULL) or cannot name it. */
const struct cel_type *rules_property_type(struct arena *a, const struct cel_type *t, struct sv name,
					   const struct snode *of);
const struct cel_type *rules_item_type(const struct cel_type *t);
const struct cel_type *rules_value_type(const struct cel_type *t);
/* The set of n's rules, if it has any. own: the type of its values. stored: the rule is in the store already. */
void rule_set_compile(struct arena *a, const struct snode *n, const struct cel_type *own, bool stored,
		      struct rule_set *ret);
void rule_set_release(struct rule_set *set); /* its programs */
struct sv rule_name(const struct val *rule); /* what errors call it: its message, or its text */

/* fieldPath of a rule on n ("['a.b'].c") as paths are written ("[a.b].c"); false: there is no such place. */
bool rule_path(struct arena *a, const struct snode *n, struct sv json_path, struct sv *ret);

/* All rules on one object, or on one value that stands at a path (else NULL). run may be NULL. */
void rules_check(const struct structural *s, struct field_errs *fe, const struct val *doc, const struct val *old,
		 const struct structural_run *run, const struct fpath *at);
