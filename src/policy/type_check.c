/* A policy against the types of its kinds. Variables are compiled once a kind, so that a check costs the text of the
 * policy times the kinds. */
#include "policy/type_check.h"

#include "base/buf.h"
#include "base/vec.h"
#include "object/structural.h"
#include "policy/policy_compile.h"

#include <stdlib.h>

/* --- kinds --- */

static int tcheck_order(const void *a, const void *b)
{
	const struct resource *x = *(const struct resource *const *)a, *y = *(const struct resource *const *)b;
	int order = strcmp(x->group, y->group);

	if (!order)
		order = strcmp(x->version, y->version);
	return order ? order : strcmp(x->kind, y->kind);
}

/* False: one of them has a "*", which names nothing in full, or there is none. */
static bool tcheck_names(struct strmap *set, const struct val *list)
{
	VAL_EACH(list, v) {
		if (sv_find(val_str(v), '*') >= 0)
			return false;
		(void)strmap_set(set, val_str(v), set);
	}
	return set->n;
}

static void tcheck_resources(struct strmap *set, const struct val *list)
{
	VAL_EACH(list, v)
		if (sv_find(val_str(v), '*') < 0 && sv_find(val_str(v), '/') < 0)
			(void)strmap_set(set, val_str(v), set);
}

typedef VEC(const struct resource *) tcheck_kinds;

static void tcheck_rule(const struct api_set *api, const struct val *rule, tcheck_kinds *ret)
{
	_cleanup_(strmap_release) struct strmap groups = STRMAP_INIT;
	_cleanup_(strmap_release) struct strmap versions = STRMAP_INIT;
	_cleanup_(strmap_release) struct strmap plurals = STRMAP_INIT;
	bool any_group;

	tcheck_resources(&plurals, val_get(rule, F_resources));
	if (!tcheck_names(&groups, val_get(rule, F_apiGroups)) ||
	    !tcheck_names(&versions, val_get(rule, F_apiVersions)) || !plurals.n)
		return;
	/* To upstream's mapper no group is any group: v1 events are those of both. */
	any_group = strmap_has(&groups, SV(""));
	API_EACH(api, r)
		if (strmap_has(&plurals, sv_from(r->plural)) && strmap_has(&versions, sv_from(r->version)) &&
		    (any_group || strmap_has(&groups, sv_from(r->group))))
			vec_push(ret, r);
	if (ret->n > 1)
		qsort(ret->p, ret->n, sizeof(*ret->p), tcheck_order);
}

size_t policy_kinds(struct arena *a, const struct api_set *api, const struct val *spec,
		    const struct resource *const **ret)
{
	const struct resource **all = ARENA_ARRAY(a, const struct resource *, POLICY_CHECK_KINDS_MAX);
	size_t n = 0, same = 0;
	bool full = false;

	VAL_EACH(val_get(spec, F_matchConstraints, F_resourceRules), rule) {
		tcheck_kinds of = VEC_INIT;

		tcheck_rule(api, rule, &of);
		for (size_t i = 0; i < MIN(of.n, POLICY_CHECK_KINDS_RULE) && n < POLICY_CHECK_KINDS_MAX; i++) {
			for (same = 0; same < n && all[same] != of.p[i];)
				same++;
			if (same == n)
				all[n++] = of.p[i];
		}
		full = of.n >= POLICY_CHECK_KINDS_RULE || n == POLICY_CHECK_KINDS_MAX;
		vec_release(&of);
		if (full)
			break;
	}
	if (n > 1)
		qsort(all, n, sizeof(*all), tcheck_order);
	*ret = all;
	return n;
}

/* --- types --- */

static const struct cel_type *tcheck_type(struct arena *a, const struct resource *r)
{
	if (!r)
		return NULL;
	if (!resource_late(r))
		return cel_type_schema(a, r->schema);
	return r->schema->custom ? structural_type(a, r->schema->custom, arena_sv(a, sv_from(r->kind))) : NULL;
}

static const struct cel_type *tcheck_params(struct arena *a, const struct api_set *api, const struct val *spec)
{
	const struct val *kind = val_get(spec, F_paramKind);
	struct sv group, version;

	if (val_type(kind) != VAL_MAP || !api_version_split(val_get_str(kind, F_apiVersion), &group, &version))
		return NULL;
	return tcheck_type(a, api_find_kind(api, group, version, val_get_str(kind, F_kind)));
}

/* --- the check --- */

struct check {
	struct arena *arena; /* of the result */
	struct arena scratch;
	const struct val *spec;
	struct sv *found; /* in arena; of each expression and message: what is wrong with it, a line a kind */
	size_t bytes;
};

static void tcheck_text(struct check *c, struct policy_compiler *by, const struct resource *r, struct sv text,
			struct sv *found)
{
	struct cel_program *p;
	struct sv why;

	if (c->bytes >= POLICY_CHECK_BYTES_MAX)
		return;
	p = policy_compile_check(by, text, &why);
	if (!p) {
		struct sv line = arena_svf(c->arena, "%.*s%s%s/%s, Kind=%s: %.*s\n", SV_ARG(*found),
					   found->n ? "\n" : "", r->group, r->version, r->kind, SV_ARG(why));

		c->bytes += line.n - found->n;
		*found = line;
	}
	cel_program_unref(p);
}

static void tcheck_kind(struct check *c, const struct resource *r, const struct cel_type *object,
			const struct cel_type *params)
{
	struct policy_compiler by;
	size_t i = 0;

	policy_compiler_init(&by, &c->scratch, c->spec, false);
	policy_compiler_types(&by, object, params);
	VAL_EACH(val_get(c->spec, F_variables), v) {
		struct sv why;
		struct cel_program *p = policy_compile_check(&by, val_get_str(v, F_expression), &why);

		policy_compiler_add(&by, val_get_str(v, F_name), p);
		cel_program_unref(p);
	}
	VAL_EACH(val_get(c->spec, F_validations), v) {
		tcheck_text(c, &by, r, val_get_str(v, F_expression), &c->found[i++]);
		if (val_get_str(v, F_messageExpression).n)
			tcheck_text(c, &by, r, val_get_str(v, F_messageExpression), &c->found[i]);
		i++;
	}
	policy_compiler_release(&by);
}

struct val *policy_type_check(struct arena *a, const struct api_set *api, const struct val *spec)
{
	struct check c = { .arena = a, .scratch = ARENA_INIT, .spec = spec };
	struct val *list = val_new_list(a);
	const struct resource *const *kinds;
	size_t n = policy_kinds(a, api, spec, &kinds), n_rules = val_len(val_get(spec, F_validations));

	c.found = ARENA_ARRAY(a, struct sv, 2 * n_rules + 1);
	for (size_t i = 0; i < n; i++) {
		const struct cel_type *object = tcheck_type(&c.scratch, kinds[i]);

		if (object)
			tcheck_kind(&c, kinds[i], object, tcheck_params(&c.scratch, api, spec));
		arena_reset(&c.scratch);
	}
	for (size_t i = 0; i < 2 * n_rules; i++) {
		struct val *w;

		if (!c.found[i].n)
			continue;
		w = val_push(a, list, val_new_map(a));
		val_set_str(
		    a, w, F_fieldRef,
		    arena_svf(a, "spec.validations[%zu].%s", i / 2, i % 2 ? "messageExpression" : "expression"));
		val_set_str(a, w, F_warning, c.found[i]);
	}
	arena_release(&c.scratch);
	return list;
}
