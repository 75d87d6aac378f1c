/* Matching of label selectors.
 *
 * Nearly all have a requirement or two, which look for their labels. How many one has is a client's to say, and a list
 * matches it with every object, a watch with every change: thousands of requirements are therefore put together by key
 * beforehand, and the labels look for their rules. */
#include "object/selector-internal.h"

#include <stdlib.h>

#define FEW_REQUIREMENTS 8
#define FEW_VALUES 8

/* All requirements of one key. */
struct key_rule {
	struct sv key;
	bool present, absent, any; /* a label is wanted; none is; whatever its value */
	struct sv *in, *out;	   /* sorted: it must be one of (unless any), it must be none of */
	size_t n_in, n_out;
	bool has_above, has_below; /* it is an integer over, or under: */
	int64_t above, below;
};

static bool values_have(const struct sv *values, size_t n, struct sv value)
{
	if (n > FEW_VALUES)
		return bsearch(&value, values, n, sizeof(value), sv_order) != NULL;
	for (size_t i = 0; i < n; i++) {
		if (sv_eq(values[i], value))
			return true;
	}
	return false;
}

/* --- a few --- */

static const struct val *selector_label_of(const struct requirement *r, const struct val *labels)
{
	if (r->sym != SYM_NONE)
		return val_member(labels, r->sym);
	return val_member_sv(labels, r->key);
}

/* label: the value of the requirement's key, or NULL. */
static bool requirement_matches(const struct requirement *r, const struct val *label)
{
	int64_t number;

	switch (r->op) {
	case OP_IN:
	case OP_EQUALS:
	case OP_DOUBLE_EQUALS:
		return label && values_have(r->values, r->n, val_str(label));
	case OP_NOT_IN:
	case OP_NOT_EQUALS:
		return !label || !values_have(r->values, r->n, val_str(label));
	case OP_EXISTS:
		return label != NULL;
	case OP_NOT_EXISTS:
		return label == NULL;
	case OP_GT:
	case OP_LT:
		if (!label || !sv_to_i64(val_str(label), &number))
			return false;
		return r->op == OP_GT ? number > r->bound : number < r->bound;
	}
	return false;
}

/* --- many --- */

/* The values that both have, out of the longer by those of the shorter: so all of them together cost what they say. */
static void rule_in(struct key_rule *k, const struct requirement *r)
{
	struct sv *in = r->values;
	size_t n = 0;

	if (!k->any) {
		const struct sv *few = k->n_in < r->n ? k->in : r->values, *many = k->n_in < r->n ? r->values : k->in;
		size_t n_few = MIN(k->n_in, r->n), n_many = MAX(k->n_in, r->n);

		in = k->n_in < r->n ? k->in : r->values;
		for (size_t i = 0; i < n_few; i++)
			if (values_have(many, n_many, few[i]))
				in[n++] = few[i];
	}
	k->n_in = k->any ? r->n : n;
	k->in = in;
	k->any = false;
	k->present = true;
}

static void rule_add(struct key_rule *k, const struct requirement *r)
{
	switch (r->op) {
	case OP_IN:
	case OP_EQUALS:
	case OP_DOUBLE_EQUALS:
		rule_in(k, r);
		break;
	case OP_NOT_IN:
	case OP_NOT_EQUALS:
		memcpy(k->out + k->n_out, r->values, r->n * sizeof(*r->values));
		k->n_out += r->n;
		break;
	case OP_EXISTS:
		k->present = true;
		break;
	case OP_NOT_EXISTS:
		k->absent = true;
		break;
	case OP_GT:
		k->above = MAX(k->above, r->bound);
		k->has_above = k->present = true;
		break;
	case OP_LT:
		k->below = MIN(k->below, r->bound);
		k->has_below = k->present = true;
		break;
	}
}

/* From reqs[from] on those of one key; the place behind them. */
static size_t rule_make(struct arena *a, struct key_rule *k, struct requirement *reqs, size_t from, size_t n)
{
	size_t end = from, out = 0;

	*k = (struct key_rule){ .key = reqs[from].key, .any = true, .above = INT64_MIN, .below = INT64_MAX };
	for (; end < n && sv_eq(reqs[end].key, k->key); end++)
		if (reqs[end].op == OP_NOT_IN || reqs[end].op == OP_NOT_EQUALS)
			out += reqs[end].n;
	k->out = ARENA_ARRAY(a, struct sv, out);
	for (size_t i = from; i < end; i++) {
		struct requirement r = reqs[i];

		/* The requirement keeps its own values, which name it to people. */
		if (r.op == OP_IN || r.op == OP_EQUALS || r.op == OP_DOUBLE_EQUALS) {
			r.values = ARENA_ARRAY(a, struct sv, r.n);
			memcpy(r.values, reqs[i].values, r.n * sizeof(*r.values));
		}
		rule_add(k, &r);
	}
	if (out)
		qsort(k->out, out, sizeof(*k->out), sv_order);
	return end;
}

void selector_ready(struct arena *a, struct selector *s)
{
	if (s->nothing || s->n <= FEW_REQUIREMENTS)
		return;
	s->rules = ARENA_ARRAY(a, struct key_rule, s->n);
	for (size_t i = 0; i < s->n;) {
		struct key_rule *k = &s->rules[s->n_rules++];

		i = rule_make(a, k, s->reqs, i, s->n);
		s->n_present += k->present;
		if (k->present && (k->absent || (!k->any && !k->n_in)))
			s->nothing = true;
	}
}

static int rule_cmp(const void *key, const void *rule)
{
	return sv_order(key, &((const struct key_rule *)rule)->key);
}

static bool rule_matches(const struct key_rule *k, struct sv value)
{
	int64_t number;

	if (k->absent || (!k->any && !values_have(k->in, k->n_in, value)) || values_have(k->out, k->n_out, value))
		return false;
	if (!k->has_above && !k->has_below)
		return true;
	return sv_to_i64(value, &number) && (!k->has_above || number > k->above) &&
	       (!k->has_below || number < k->below);
}

static bool rules_match(const struct selector *s, const struct val *labels)
{
	size_t present = 0;

	VAL_EACH_MEMBER(labels, m) {
		const struct key_rule *k = bsearch(&m.key, s->rules, s->n_rules, sizeof(*s->rules), rule_cmp);

		if (k && !rule_matches(k, val_str(m.value)))
			return false;
		present += k && k->present;
	}
	return present == s->n_present;
}

bool selector_matches(const struct selector *s, const struct val *labels)
{
	if (!s)
		return true;
	if (s->nothing)
		return false;
	if (s->rules)
		return rules_match(s, labels);
	for (size_t i = 0; i < s->n; i++)
		if (!requirement_matches(&s->reqs[i], selector_label_of(&s->reqs[i], labels)))
			return false;
	return true;
}
