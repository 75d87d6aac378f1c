/* Rules when a CustomResourceDefinition is written: do they compile, and what can they cost at most? */
#include "object/structural/rules.h"

#include <stdio.h>

#define MOST_EXPENSIVE 4
#define CARDINALITY_UNKNOWN UINT64_MAX

struct rule_cost {
	const char *path; /* in fe's arena */
	uint64_t cost;
};

struct checker {
	struct field_errs *fe;
	struct arena *a;      /* of types and issues */
	struct strmap *known; /* texts of rules that are stored already */
	bool same;	      /* the schema did not change: what one rule costs is not held against it again */
	uint64_t total;
	struct rule_cost most[MOST_EXPENSIVE + 1];
	size_t n_most;
};

/* A place in the schema. */
struct spot {
	const struct snode *n;
	const struct cel_type *type; /* NULL above all rules */
	const struct fpath *at;
	const struct fpath *unrelated; /* the list or map within which old values do not correlate; NULL: they do */
	uint64_t count;		       /* how often values of it may be in one object; CARDINALITY_UNKNOWN */
};

/* --- what needs no engine --- */

static bool has_line_break(struct sv s)
{
	return sv_find(s, '\n') >= 0 || sv_find(s, '\r') >= 0;
}

static void form_of_texts(struct checker *c, const struct val *rule, const struct fpath *at)
{
	struct fpath rule_at = FPATH(at, F_rule), message_at = FPATH(at, F_message);
	struct fpath expression_at = FPATH(at, F_messageExpression);
	struct sv text = sv_trim(val_get_str(rule, F_rule)), given = val_get_str(rule, F_message);
	struct sv message = sv_trim(given), expression = val_get_str(rule, F_messageExpression);

	if (!text.n)
		fe_required_why(c->fe, &rule_at, "rule is not specified");
	else if (given.n && !message.n)
		fe_format(c->fe, &message_at, given, "message must be non-empty if specified");
	else if (has_line_break(message))
		fe_format(c->fe, &message_at, given, "message must not contain line breaks");
	else if (has_line_break(text) && !message.n)
		fe_required_why(c->fe, &message_at, "message must be specified if rule contains line breaks");
	if (expression.n && !sv_trim(expression).n)
		fe_required_why(c->fe, &expression_at, "messageExpression must be non-empty if specified");
}

static void form_of_rule(struct checker *c, const struct snode *n, const struct val *rule, const struct fpath *at)
{
	static const char *const reasons[] = { "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid",
					       "FieldValueRequired", NULL };
	struct fpath reason_at = FPATH(at, F_reason), path_at = FPATH(at, F_fieldPath);
	const struct val *reason = val_member(rule, F_reason);
	struct sv path = val_get_str(rule, F_fieldPath), as_path;
	bool known = !reason || reason->type == VAL_NULL;

	form_of_texts(c, rule, at);
	for (size_t i = 0; reasons[i]; i++)
		known |= val_is(reason, reasons[i]);
	if (!known)
		fe_not_supported(c->fe, &reason_at, reason, reasons);
	if (!path.n)
		return;
	if (!sv_trim(path).n)
		fe_format(c->fe, &path_at, path, "fieldPath must be non-empty if specified");
	if (has_line_break(path))
		fe_format(c->fe, &path_at, path, "fieldPath must not contain line breaks");
	if (!rule_path(c->fe->a, n, path, &as_path))
		fe_format(c->fe, &path_at, path, "fieldPath must be a valid path");
}

/* --- costs --- */

static uint64_t rule_times(uint64_t cost, uint64_t count)
{
	uint64_t product;

	return __builtin_mul_overflow(cost, count, &product) ? UINT64_MAX : product;
}

/* How often a value of the type fits into the largest request. */
static uint64_t most_of(const struct cel_type *t)
{
	return (uint64_t)(3 * 1024 * 1024) / (t->min_serialized + 1);
}

static void cost_refuse(struct checker *c, const struct fpath *at, const char *what, uint64_t cost, uint64_t limit)
{
	double factor = (double)cost / (double)limit;
	char text[64];

	if (factor > 100)
		snprintf(text, sizeof(text), "more than 100x");
	else
		snprintf(text, sizeof(text), factor < 1.5 ? "%fx" : "%.1fx", factor);
	fe_add(c->fe, FE_FORBIDDEN, at, NULL,
	       "%s exceeds budget by factor of %s (try simplifying the rule, or adding maxItems, maxProperties, and "
	       "maxLength where arrays, maps, and strings are declared)",
	       what, text);
}

static void cost_observe(struct checker *c, const struct fpath *at, uint64_t cost)
{
	size_t i = c->n_most;

	if (__builtin_add_overflow(c->total, cost, &c->total))
		c->total = UINT64_MAX;
	if (cost < CEL_ESTIMATE_TOTAL / 100)
		return;
	for (; i && c->most[i - 1].cost < cost; i--)
		c->most[i] = c->most[i - 1];
	c->most[i] = (struct rule_cost){ arena_cstr(c->fe->a, fpath_str(c->fe->a, at)), cost };
	c->n_most = MIN(c->n_most + 1, (size_t)MOST_EXPENSIVE);
}

static void rule_cost_of(struct checker *c, const struct fpath *at, const char *what, uint64_t cost)
{
	if (!c->same && cost > CEL_ESTIMATE_RULE)
		cost_refuse(c, at, what, cost, CEL_ESTIMATE_RULE);
	cost_observe(c, at, cost);
}

/* --- programs --- */

static void check_message(struct checker *c, const struct spot *s, const struct rule *r, const struct fpath *at)
{
	struct fpath here = FPATH(at, F_messageExpression);

	if (r->message_error.p)
		fe_add(c->fe, FE_INVALID, &here, r->src, "%.*s", SV_ARG(r->message_error));
	else if (r->message)
		rule_cost_of(c, &here, "estimated messageExpression cost",
			     rule_times(cel_program_cost(r->message).max,
					s->count == CARDINALITY_UNKNOWN ? most_of(s->type) : s->count));
}

static void check_rule(struct checker *c, const struct spot *s, const struct rule *r, const struct fpath *at)
{
	struct fpath here = FPATH(at, F_rule), optional_at = FPATH(at, F_optionalOldSelf);
	uint64_t count = s->count == CARDINALITY_UNKNOWN ? most_of(s->type) : s->count;

	rule_cost_of(c, &here, "estimated rule cost",
		     r->program ? rule_times(cel_program_cost(r->program).max, count) : 0);
	if (r->error.p)
		fe_add(c->fe, FE_INVALID, &here, r->src, "%.*s", SV_ARG(r->error));
	check_message(c, s, r, at);
	if (r->uses_old && s->unrelated)
		fe_add(c->fe, FE_INVALID, &here, val_member(r->src, F_rule),
		       "oldSelf cannot be used on the uncorrelatable portion of the schema within %.*s",
		       SV_ARG(fpath_str(c->fe->a, s->unrelated)));
	else if (!r->uses_old && val_member(r->src, F_optionalOldSelf))
		fe_invalid(c->fe, &optional_at, val_member(r->src, F_optionalOldSelf),
			   "may not be set if oldSelf is not used in rule");
}

static bool all_known(const struct checker *c, const struct val *rules)
{
	VAL_EACH(rules, r)
		if (!strmap_has(c->known, val_get_str(r, F_rule)))
			return false;
	return true;
}

static void check_programs(struct checker *c, const struct spot *s, const struct fpath *at)
{
	const struct val *rules = val_member(s->n->src, F_x_kubernetes_validations);
	struct rule_set set = { 0 };

	if (!s->type)
		return;
	rule_set_compile(c->a, s->n, s->type, all_known(c, rules), &set);
	for (size_t i = 0; i < set.n; i++) {
		struct fpath rule_at = FPATH_AT(at, i);

		check_rule(c, s, &set.rules[i], &rule_at);
	}
	rule_set_release(&set);
}

/* --- the walk --- */

/* How many children of a value there may be for each one of it. */
static uint64_t spot_count_below(const struct spot *s)
{
	const struct sbounds *b = s->n->bounds;
	unsigned bound = s->n->type == ST_ARRAY					  ? SB_MAX_ITEMS
			 : s->n->type == ST_OBJECT && s->n->flags & SN_ADDITIONAL ? SB_MAX_PROPERTIES
										  : 0;
	int64_t most;

	if (!bound || s->count == CARDINALITY_UNKNOWN)
		return s->count;
	if (!b || !(b->flags & bound))
		return CARDINALITY_UNKNOWN;
	most = bound == SB_MAX_ITEMS ? b->max_items : b->max_properties;
	return MIN(rule_times(s->count, (uint64_t)MAX(most, 0)), CARDINALITY_UNKNOWN - 1);
}

static void check_spot(struct checker *c, const struct spot *s, bool root);

static void check_properties(struct checker *c, const struct spot *s)
{
	struct fpath properties_at = FPATH(s->at, F_properties);

	VAL_EACH_MEMBER(val_member(s->n->src, F_properties), p) {
		struct fpath at = FPATH_KEY(&properties_at, p.key);
		const struct snode *of = snode_property(s->n, p.key);
		struct spot below = { .n = of,
				      .type = rules_property_type(c->a, s->type, p.key, of),
				      .at = &at,
				      .unrelated = s->unrelated,
				      .count = spot_count_below(s) };

		check_spot(c, &below, false);
	}
}

/* Errors are in upstream's order: what is below first, then the value's own rules. */
static void check_spot(struct checker *c, const struct spot *s, bool root)
{
	struct fpath more_at = FPATH(s->at, F_additionalProperties), items_at = FPATH(s->at, F_items);
	struct fpath rules_at = FPATH(s->at, F_x_kubernetes_validations);
	const struct val *rules = val_member(s->n->src, F_x_kubernetes_validations);
	struct spot own = *s, below;
	size_t before = c->fe->list.n, i = 0;

	if (!(s->n->flags & SN_RULES))
		return;
	if (!own.type && val_len(rules))
		own.type = cel_type_openapi(c->a, s->n->src, root || s->n->flags & SN_EMBEDDED ? CEL_OAS_ROOT : 0);
	below = own;
	below.count = spot_count_below(&own);
	below.n = own.n->additional;
	below.at = &more_at;
	below.type = rules_value_type(own.type);
	if (below.n)
		check_spot(c, &below, false);
	check_properties(c, &own);
	below.n = own.n->items;
	below.at = &items_at;
	below.type = rules_item_type(own.type);
	if (own.n->list != SL_MAP && !below.unrelated)
		below.unrelated = own.at;
	if (below.n)
		check_spot(c, &below, false);
	VAL_EACH(rules, r) {
		struct fpath at = FPATH_AT(&rules_at, i++);

		form_of_rule(c, own.n, r, &at);
	}
	if (c->fe->list.n == before)
		check_programs(c, &own, &rules_at);
}

static void gather_known(struct strmap *known, const struct val *schema)
{
	VAL_EACH(val_member(schema, F_x_kubernetes_validations), r)
		strmap_set(known, val_get_str(r, F_rule), known);
	VAL_EACH_MEMBER(val_member(schema, F_properties), p)
		gather_known(known, p.value);
	if (val_type(val_member(schema, F_items)) == VAL_MAP)
		gather_known(known, val_member(schema, F_items));
	if (val_type(val_member(schema, F_additionalProperties)) == VAL_MAP)
		gather_known(known, val_member(schema, F_additionalProperties));
}

void structural_check_rules(struct field_errs *fe, const struct val *openapi, const struct val *old,
			    const struct fpath *at)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(strmap_release) struct strmap known = STRMAP_INIT;
	_cleanup_(structural_releasep) struct structural *s = structural_new(&a, openapi, NULL);
	struct checker c = { .fe = fe, .a = &a, .known = &known, .same = old && val_equal(openapi, old) };
	struct spot root = { .n = s ? structural_tree(s)->root : NULL, .at = at, .count = 1 };

	if (!s || !(root.n->flags & SN_RULES))
		return;
	if (old)
		gather_known(&known, old);
	check_spot(&c, &root, true);
	if (c.total <= CEL_ESTIMATE_TOTAL)
		return;
	for (size_t i = 0; i < c.n_most; i++) {
		struct fpath where = FPATH_NAME(NULL, sv_from(c.most[i].path));

		fe_forbidden(
		    fe, &where,
		    "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema");
	}
	cost_refuse(&c, at, "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema", c.total,
		    CEL_ESTIMATE_TOTAL);
}
