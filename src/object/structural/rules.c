/* Rules in CEL, run: a walk like that of values, along the nodes that have rules below. */
#include "object/structural/rules.h"

#include "base/buf.h"

/* A value and what it was, as upstream's ratcheting sees it. Up: the nearest one above that correlates. */
struct rule_at {
	const struct snode *n;
	const struct val *now, *old; /* old NULL: it does not correlate */
	const struct rule_at *up;
	signed char *equal; /* 0: not compared yet, 1: equal, -1: not */
};

struct rule_walk {
	struct arena scratch; /* of one node's evaluations */
	struct field_errs *fe;
	const struct rules *rules;
	const struct structural_run *run;
	uint64_t budget;
	size_t steps;
	bool ended; /* no further rules are run */
};

static void walk_rules(struct rule_walk *w, const struct snode *by, const struct rule_at *here, const struct val *v,
		       const struct val *old, const struct fpath *at);

/* --- one rule --- */

static bool rule_equal(struct rule_walk *w, const struct rule_at *here)
{
	if (!here || !here->old)
		return false;
	if (!*here->equal)
		*here->equal = correlated_equal(here->n, here->now, here->old, &w->steps) ? 1 : -1;
	return *here->equal > 0;
}

static const struct val *rule_type_word(struct rule_walk *w, const struct rule_at *here)
{
	return val_new_str(w->fe->a, val_get_str(here->n->src, F_type));
}

/* The words of a run that was too long, or of no result. True: go on with other rules. */
static bool rule_broken(struct rule_walk *w, const struct rule *r, const struct rule_at *here,
			const struct cel_run *run, enum cel_outcome got, const struct fpath *at)
{
	struct sv name = rule_name(r->src);
	const struct val *type = rule_type_word(w, here);

	if (got == CEL_TOO_COSTLY) {
		fe_add(w->fe, FE_INVALID, snode_path(at), type,
		       "'%.*s': no further validation rules will be run due to call cost exceeds limit for rule: %.*s",
		       SV_ARG(run->error), SV_ARG(name));
		return false;
	}
	if (got == CEL_FAILED && sv_starts(run->error, SV("no such overload")))
		fe_add(w->fe, FE_INVALID, snode_path(at), type,
		       "'%.*s': call arguments did not match a supported operator, function or macro signature for "
		       "rule: %.*s",
		       SV_ARG(run->error), SV_ARG(name));
	else
		fe_add(w->fe, FE_INVALID, snode_path(at), type, "%.*s evaluating rule: %.*s",
		       SV_ARG(got == CEL_INTERRUPTED ? SV("operation interrupted") : run->error), SV_ARG(name));
	return got == CEL_FAILED;
}

#define RULE_MESSAGE_MAX 5120

/* What messageExpression says, or nothing that can be used. False: it was too costly, which is said. */
static bool rule_says(struct rule_walk *w, const struct rule *r, const struct rule_at *here,
		      const struct cel_value *vars, const struct fpath *at, struct sv *ret)
{
	struct cel_run run = { .arena = &w->scratch, .vars = vars, .limit = CEL_LIMIT_CALL };
	const struct val *type = rule_type_word(w, here);
	enum cel_outcome got;
	struct cel_value out;
	struct sv text;

	got = cel_eval(r->message, &run, &out);
	if (run.cost > w->budget || got == CEL_TOO_COSTLY) {
		fe_add(w->fe, FE_INVALID, snode_path(at), type,
		       run.cost > w->budget
			   ? "messageExpression evaluation failed due to running out of cost budget, no "
			     "further validation rules will be run"
			   : "no further validation rules will be run due to call cost exceeds limit for "
			     "messageExpression: \"%.*s\"",
		       SV_ARG(val_get_str(r->src, F_messageExpression)));
		return false;
	}
	w->budget -= run.cost;
	if (got != CEL_DONE || out.kind != CEL_STRING)
		return true;
	text = sv_trim(cel_text(&out));
	if (text.n && text.n <= RULE_MESSAGE_MAX && sv_find(text, '\n') < 0)
		*ret = arena_sv(w->fe->a, text);
	return true;
}

static void rule_refuse(struct rule_walk *w, const struct rule *r, const struct rule_at *here, const struct fpath *at,
			struct sv detail)
{
	const struct val *reason = val_member(r->src, F_reason), *type = rule_type_word(w, here);

	if (val_is(reason, "FieldValueForbidden"))
		fe_add(w->fe, FE_FORBIDDEN, snode_path(at), NULL, "%.*s", SV_ARG(detail));
	else if (val_is(reason, "FieldValueRequired"))
		fe_add(w->fe, FE_REQUIRED, snode_path(at), NULL, "%.*s", SV_ARG(detail));
	else if (val_is(reason, "FieldValueDuplicate"))
		fe_duplicate(w->fe, snode_path(at), type);
	else
		fe_add(w->fe, FE_INVALID, snode_path(at), type, "%.*s", SV_ARG(detail));
}

/* It evaluated to false. What did not change is not held against it, unless the rule is about the change. */
static bool rule_fails(struct rule_walk *w, const struct rule *r, const struct rule_at *here, bool ratchets,
		       const struct cel_value *vars, bool has_old, const struct fpath *at)
{
	struct fpath below = FPATH_NAME(at, r->path);
	const struct fpath *where = r->path.n ? &below : at;
	struct sv detail = SV_NULL, message = val_get_str(r->src, F_message);

	if (ratchets && !r->uses_old)
		return true;
	if (r->message && (has_old || r->optional_old || !r->message_uses_old) &&
	    !rule_says(w, r, here, vars, where, &detail))
		return false;
	if (!detail.p)
		detail =
		    message.n ? sv_trim(message) : arena_svf(w->fe->a, "failed rule: %.*s", SV_ARG(rule_name(r->src)));
	rule_refuse(w, r, here, where, detail);
	return true;
}

/* False: no further rules are run. */
static bool rule_run(struct rule_walk *w, const struct rule *r, const struct rule_at *here, bool ratchets,
		     struct cel_value self, struct cel_value old, bool has_old, const struct fpath *at)
{
	struct cel_value vars[] = { self, old }, out;
	struct cel_run run = { .arena = &w->scratch,
			       .vars = vars,
			       .limit = CEL_LIMIT_CALL,
			       .interrupted = w->run ? w->run->stopped : NULL,
			       .interrupted_ctx = w->run ? w->run->ctx : NULL };
	enum cel_outcome got;

	if (r->error.p) {
		fe_add(w->fe, FE_INVALID, snode_path(at), rule_type_word(w, here), "rule compile error: %.*s",
		       SV_ARG(r->error));
		return true;
	}
	if (!r->program || (r->uses_old && !has_old && !r->optional_old))
		return true;
	if (r->optional_old)
		vars[1] = has_old ? cel_some(&w->scratch, old) : cel_none();
	got = cel_eval(r->program, &run, &out);
	if (run.cost > w->budget) {
		fe_add(w->fe, FE_INVALID, snode_path(at), rule_type_word(w, here),
		       "validation failed due to running out of cost budget, no further validation rules will be run");
		return false;
	}
	w->budget -= run.cost;
	if (got != CEL_DONE)
		return rule_broken(w, r, here, &run, got, at);
	if (out.kind == CEL_BOOL && out.b)
		return true;
	return rule_fails(w, r, here, ratchets, vars, has_old, at);
}

/* The rules of one node on one value. own: whether what they are about correlates itself; else only what is above. */
static void node_rules(struct rule_walk *w, const struct snode *by, const struct rule_at *here, bool own,
		       const struct val *v, const struct val *old, const struct fpath *at)
{
	const struct rule_set *set = &w->rules->sets[by->rules - 1];
	bool has_old = old && old->type != VAL_NULL, ratchets;
	struct cel_value self, was;

	if (!set->type || !set->n)
		return;
	if (!w->budget) {
		fe_add(w->fe, FE_INVALID, snode_path(at), rule_type_word(w, here),
		       "validation failed due to running out of cost budget, no further validation rules will be run");
		w->ended = true;
		return;
	}
	self = cel_from_doc(&w->scratch, v, set->type);
	was = has_old ? cel_from_doc(&w->scratch, old, set->type) : cel_null();
	ratchets = own && here->old ? rule_equal(w, here) : rule_equal(w, here->up);
	for (size_t i = 0; i < set->n && !w->ended; i++)
		w->ended = !rule_run(w, &set->rules[i], here, ratchets, self, was, has_old, at);
	arena_reset(&w->scratch);
}

/* --- the walk --- */

static void child_rules(struct rule_walk *w, const struct snode *by, const struct snode *like,
			const struct rule_at *parent, const struct val *v, const struct val *old, bool correlates,
			const struct fpath *at)
{
	signed char equal = 0;
	struct rule_at here = { .n = like,
				.now = v,
				.old = correlates ? old : NULL,
				.up = parent->old ? parent : parent->up,
				.equal = &equal };

	if (by && like && by->flags & SN_RULES && !w->ended)
		walk_rules(w, by, &here, v, old, at);
}

static void member_rules(struct rule_walk *w, const struct snode *by, const struct rule_at *here, const struct val *v,
			 const struct val *old, const struct fpath *at)
{
	struct old_children was = old_children_of(here->n, old);

	VAL_EACH_MEMBER(v, m) {
		const struct snode *property = snode_property(by, m.key), *of = property ? property : by->additional;
		const struct snode *like = snode_member(here->n, m.key);
		struct fpath named = FPATH_NAME(at, m.key), keyed = FPATH_KEY(at, m.key);
		bool hidden = !at && (m.sym == F_kind || m.sym == F_apiVersion);

		child_rules(w, of, like, here, m.value, old_member(&was, m.key, like), here->old && !hidden,
			    property ? &named : &keyed);
	}
	old_children_release(&was);
}

static void element_rules(struct rule_walk *w, const struct snode *by, const struct rule_at *here, const struct val *v,
			  const struct val *old, const struct fpath *at)
{
	struct old_children was;
	size_t i = 0;

	if (!by->items)
		return;
	was = old_children_of(here->n, old);
	VAL_EACH(v, e) {
		struct fpath item_at = FPATH_AT(at, i++);

		child_rules(w, by->items, here->n->items, here, e, old_element(&was, e), here->old != NULL, &item_at);
	}
	old_children_release(&was);
}

/* Upstream's order: the value's own rules, those in allOf, then those of what is in it. */
static void walk_rules(struct rule_walk *w, const struct snode *by, const struct rule_at *here, const struct val *v,
		       const struct val *old, const struct fpath *at)
{
	if (v->type == VAL_NULL)
		return;
	if (by->rules)
		node_rules(w, by, here, true, v, old, at);
	for (size_t i = 0; by->bounds && i < by->bounds->all.n && !w->ended; i++) {
		const struct snode *all = by->bounds->all.of[i];
		struct rule_at alone = *here;

		alone.old = NULL; /* errors of allOf pass only with all of what is above */
		if (all->flags & SN_RULES)
			walk_rules(w, all, &alone, v, old, at);
	}
	if (w->ended)
		return;
	if (v->type == VAL_MAP)
		member_rules(w, by, here, v, old, at);
	else if (v->type == VAL_LIST)
		element_rules(w, by, here, v, old, at);
}

void rules_check(const struct structural *s, struct field_errs *fe, const struct val *doc, const struct val *old,
		 const struct structural_run *run, const struct fpath *at)
{
	struct rule_walk w = { .fe = fe, .rules = rules_of(s), .run = run, .budget = CEL_BUDGET_OBJECT };
	const struct snode *root = structural_tree(s)->root;
	signed char equal = 0;
	struct rule_at here = { .n = root, .now = doc, .old = old, .equal = &equal };

	walk_rules(&w, root, &here, doc, old, at);
	arena_release(&w.scratch);
}
