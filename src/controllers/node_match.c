/* See node_match.h. */
#include "controllers/node_match.h"

bool tolerates_taint(const struct val *tol, const struct val *taint)
{
	struct sv effect = val_get_str(tol, F_effect), key = val_get_str(tol, F_key), op = val_get_str(tol, F_operator);

	if (effect.n && !sv_eq(effect, val_get_str(taint, F_effect)))
		return false;
	if (key.n && !sv_eq(key, val_get_str(taint, F_key)))
		return false;
	if (sv_is(op, "Exists"))
		return true;
	return (!op.n || sv_is(op, "Equal")) && key.n && sv_eq(val_get_str(tol, F_value), val_get_str(taint, F_value));
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

static bool requirement(const struct val *req, const struct val *v)
{
	struct sv op = val_get_str(req, F_operator), have = val_str(v);
	bool there = val_type(v) == VAL_STR, listed = false;
	int64_t x, y;

	VAL_EACH(val_member(req, F_values), want)
		listed |= there && sv_eq(val_str(want), have);
	if (sv_is(op, "In"))
		return listed;
	if (sv_is(op, "NotIn"))
		return !listed;
	if (sv_is(op, "Exists"))
		return there;
	if (sv_is(op, "DoesNotExist"))
		return !there;
	if (!there || !sv_to_i64(have, &x) || !sv_to_i64(val_str(val_at(val_member(req, F_values), 0)), &y))
		return false;
	return sv_is(op, "Gt") ? x > y : sv_is(op, "Lt") && x < y;
}

static bool term_matches(const struct val *term, const struct obj *node)
{
	if (!val_len(val_member(term, F_matchExpressions)) && !val_len(val_member(term, F_matchFields)))
		return false; /* an empty term selects nothing */
	VAL_EACH(val_member(term, F_matchExpressions), req)
		if (!requirement(req, val_member_sv(obj_labels(node), val_get_str(req, F_key))))
			return false;
	VAL_EACH(val_member(term, F_matchFields), req)
		if (!val_is(val_member(req, F_key), "metadata.name") ||
		    !requirement(req, obj_get(node, F_metadata, F_name)))
			return false;
	return true;
}

bool node_selected(const struct val *spec, const struct obj *node)
{
	struct sv name = val_get_str(spec, F_nodeName);
	const struct val *terms = val_get(spec, F_affinity, F_nodeAffinity,
					  F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms);

	if (name.n && !sv_eq(name, obj_name(node)))
		return false;
	VAL_EACH_MEMBER(val_member(spec, F_nodeSelector), m)
		if (!val_equal(val_member_sv(obj_labels(node), m.key), m.value))
			return false;
	if (val_type(terms) != VAL_LIST)
		return true;
	VAL_EACH(terms, t)
		if (term_matches(t, node))
			return true;
	return false;
}
