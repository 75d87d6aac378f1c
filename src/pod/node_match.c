/* See node_match.h. */
#include "pod/node_match.h"

/* --- taints --- */

struct toleration toleration_parse(const struct val *t)
{
	struct sv op = val_get_str(t, F_operator);

	return (struct toleration){
		.key = val_get_str(t, F_key),
		.value = val_get_str(t, F_value),
		.effect = val_get_str(t, F_effect),
		.exists = sv_is(op, "Exists"),
		.known = !op.n || sv_is(op, "Equal") || sv_is(op, "Exists"),
	};
}

bool toleration_covers(const struct toleration *t, struct sv key, struct sv value, struct sv effect)
{
	if (!t->known || (t->effect.n && !sv_eq(t->effect, effect)))
		return false;
	if (t->key.n && !sv_eq(t->key, key))
		return false;
	return t->exists || (t->key.n && sv_eq(t->value, value));
}

bool tolerates_taint(const struct val *toleration, const struct val *taint)
{
	struct toleration t = toleration_parse(toleration);

	return toleration_covers(&t, val_get_str(taint, F_key), val_get_str(taint, F_value),
				 val_get_str(taint, F_effect));
}

bool tolerates_node(const struct val *tolerations, const struct obj *node, const char *effect)
{
	VAL_EACH(obj_get(node, F_spec, F_taints), taint) {
		bool covered = false;

		if (!val_is(val_member(taint, F_effect), effect))
			continue;
		VAL_EACH(tolerations, tol)
			covered |= tolerates_taint(tol, taint);
		if (!covered)
			return false;
	}
	return true;
}

/* --- selector and affinity --- */

static void node_req_parse(struct arena *a, struct node_req *r, const struct val *e, bool field)
{
	static const struct {
		const char *name;
		enum node_op op;
	} ops[] = { { "In", NODE_IN },	       { "NotIn", NODE_NOT_IN },
		    { "Exists", NODE_EXISTS }, { "DoesNotExist", NODE_NOT_EXISTS },
		    { "Gt", NODE_GT },	       { "Lt", NODE_LT } };
	const struct val *values = val_get(e, F_values);
	struct sv *copy = ARENA_ARRAY(a, struct sv, val_len(values));

	*r = (struct node_req){ .op = NODE_NEVER, .name = field, .key = val_get_str(e, F_key), .values = copy };
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (val_is(val_get(e, F_operator), ops[i].name))
			r->op = ops[i].op;
	VAL_EACH(values, v)
		copy[r->n++] = val_str(v);
	/* What cannot be understood matches no node: validation refuses it, so this is only a guard. */
	if ((r->op == NODE_GT || r->op == NODE_LT) && (r->n != 1 || !sv_to_i64(copy[0], &r->bound)))
		r->op = NODE_NEVER;
	if (field && !sv_is(r->key, "metadata.name"))
		r->op = NODE_NEVER;
}

static void node_term_parse(struct arena *a, struct node_term *t, const struct val *term)
{
	const struct val *expressions = val_get(term, F_matchExpressions), *fields = val_get(term, F_matchFields);
	struct node_req *reqs = ARENA_ARRAY(a, struct node_req, val_len(expressions) + val_len(fields));

	t->reqs = reqs;
	VAL_EACH(expressions, e)
		node_req_parse(a, &reqs[t->n++], e, false);
	VAL_EACH(fields, e)
		node_req_parse(a, &reqs[t->n++], e, true);
}

static void node_want_terms(struct arena *a, const struct val *required, struct node_want *w)
{
	const struct val *list = val_get(required, F_nodeSelectorTerms);
	struct node_term *terms = ARENA_ARRAY(a, struct node_term, val_len(list));

	w->has_terms = val_type(required) == VAL_MAP;
	VAL_EACH(list, t)
		node_term_parse(a, &terms[w->n_terms++], t);
	w->terms = terms;
	w->required |= w->has_terms;
	for (size_t i = 0; w->n_terms == 1 && i < terms[0].n; i++) {
		const struct node_req *r = &terms[0].reqs[i];

		if (r->name && r->op == NODE_IN && r->n == 1)
			w->only_node = r->values[0];
	}
}

static void node_want_required(struct arena *a, const struct val *spec, struct node_want *w)
{
	const struct val *selector = val_get(spec, F_nodeSelector);
	struct node_req *reqs = ARENA_ARRAY(a, struct node_req, val_len(selector));

	VAL_EACH_MEMBER(selector, m) {
		struct sv *value = ARENA_NEW(a, struct sv);

		*value = val_str(m.value);
		reqs[w->n_selector++] = (struct node_req){ .op = NODE_IN, .key = m.key, .values = value, .n = 1 };
	}
	w->selector = reqs;
	w->required = w->n_selector > 0;
	node_want_terms(a, val_get(spec, F_affinity, F_nodeAffinity, F_requiredDuringSchedulingIgnoredDuringExecution),
			w);
}

void node_want_parse_selector(struct arena *a, const struct val *node_selector, struct node_want *w)
{
	*w = (struct node_want){ .only_node = SV("") };
	node_want_terms(a, node_selector, w);
}

void node_want_parse(struct arena *a, const struct val *spec, struct node_want *w)
{
	const struct val *preferred =
	    val_get(spec, F_affinity, F_nodeAffinity, F_preferredDuringSchedulingIgnoredDuringExecution);
	struct node_term *terms = ARENA_ARRAY(a, struct node_term, val_len(preferred));

	*w = (struct node_want){ .only_node = SV("") };
	node_want_required(a, spec, w);
	VAL_EACH(preferred, p) {
		struct node_term *t = &terms[w->n_preferred];

		node_term_parse(a, t, val_get(p, F_preference));
		t->weight = (int32_t)MIN(val_get_int(p, 0, F_weight), 100);
		if (t->n && t->weight)
			w->n_preferred++;
	}
	w->preferred = terms;
}

static bool node_req_matches(const struct node_req *r, const struct val *labels, struct sv name)
{
	const struct val *label = r->name ? NULL : val_member_sv(labels, r->key);
	struct sv value = r->name ? name : val_str(label);
	bool has = r->name || label, in = false;
	int64_t number;

	switch (r->op) {
	case NODE_IN:
	case NODE_NOT_IN:
		for (size_t i = 0; has && i < r->n && !in; i++)
			in = sv_eq(value, r->values[i]);
		return in == (r->op == NODE_IN);
	case NODE_EXISTS:
		return has;
	case NODE_NOT_EXISTS:
		return !has;
	case NODE_GT:
	case NODE_LT:
		if (!has || !sv_to_i64(value, &number))
			return false;
		return r->op == NODE_GT ? number > r->bound : number < r->bound;
	case NODE_NEVER:
		break;
	}
	return false;
}

bool node_reqs_match(const struct node_req *r, size_t n, const struct val *labels, struct sv name)
{
	for (size_t i = 0; i < n; i++)
		if (!node_req_matches(&r[i], labels, name))
			return false;
	return true;
}

bool node_want_matches(const struct node_want *w, const struct val *labels, struct sv name)
{
	if (!w->required)
		return true;
	if (!node_reqs_match(w->selector, w->n_selector, labels, name))
		return false;
	for (size_t i = 0; i < w->n_terms; i++) {
		const struct node_term *t = &w->terms[i];

		if (t->n && node_reqs_match(t->reqs, t->n, labels, name))
			return true;
	}
	return !w->has_terms;
}
