/* cel_test.h - an environment for tables of expressions, and results as text. */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "object/cel/cel.h"

#include <stdio.h>

/* The variables of the tables: self, of a schema; any, of no type; n, an int; s, a string. */
enum { VAR_SELF, VAR_OLD, VAR_ANY, VAR_N, VAR_S, N_VARS };

static const char test_schema[] =
    "{type: object, properties: {"
    " name: {type: string, maxLength: 20}, port: {type: integer}, ratio: {type: number}, on: {type: boolean},"
    " opt: {type: string}, list: {type: array, maxItems: 10, items: {type: string, maxLength: 5}},"
    " nums: {type: array, items: {type: integer}},"
    " set: {type: array, x-kubernetes-list-type: set, items: {type: string}},"
    " eps: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [name], items: {type: object,"
    "  properties: {name: {type: string}, port: {type: integer}}}},"
    " labels: {type: object, additionalProperties: {type: string}},"
    " nested: {type: object, properties: {deep: {type: object, properties: {x: {type: integer}}}}},"
    " ios: {x-kubernetes-int-or-string: true}, when: {type: string, format: date-time}, took: {type: string, format: "
    "duration},"
    " raw: {type: string, format: byte}, 'a-b.c/d': {type: integer}, namespace: {type: string}, 'my__x': {type: "
    "string},"
    " keep: {type: object, x-kubernetes-preserve-unknown-fields: true},"
    " hidden: {x-kubernetes-preserve-unknown-fields: true}}}";

static const char test_self[] =
    "{\"name\":\"web\",\"port\":8080,\"ratio\":2,\"on\":true,\"list\":[\"a\",\"bc\",\"\xc3\xa9\"],\"nums\":[3,1,2],"
    "\"set\":[\"x\",\"y\"],\"eps\":[{\"name\":\"p\",\"port\":1},{\"name\":\"q\",\"port\":2}],"
    "\"labels\":{\"app\":\"web\",\"tier\":\"front\"},\"nested\":{\"deep\":{\"x\":7}},\"ios\":\"50%\","
    "\"when\":\"2026-02-03T04:05:06.789Z\",\"took\":\"1h30m\",\"raw\":\"aGk=\",\"a-b.c/d\":4,\"namespace\":\"ns\","
    "\"my__x\":\"u\",\"keep\":{\"z\":1}}";

static const char test_old[] = "{\"name\":\"web\",\"port\":80,\"set\":[\"y\",\"x\"],\"eps\":[{\"port\":2,\"name\":"
			       "\"q\"},{\"name\":\"p\",\"port\":1}],"
			       "\"list\":[\"bc\",\"a\"]}";

struct test_env {
	struct arena a;
	struct cel_var vars[N_VARS];
	struct cel_value values[N_VARS];
	struct cel_env env;
};

static inline const struct val *test_doc(struct arena *a, const char *yaml)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *v = yaml_decode(a, sv_from(yaml), &err);

	if (!v)
		fail_msg("%s", err_msg(&err));
	return v;
}

static inline void test_env_init(struct test_env *t)
{
	const struct cel_type *self;

	*t = (struct test_env){ 0 };
	self = cel_type_openapi(&t->a, test_doc(&t->a, test_schema), 0);
	assert_non_null(self);
	t->vars[VAR_SELF] = (struct cel_var){ SV("self"), self };
	t->vars[VAR_OLD] = (struct cel_var){ SV("oldSelf"), self };
	t->vars[VAR_ANY] = (struct cel_var){ SV("any"), &cel_t_dyn };
	t->vars[VAR_N] = (struct cel_var){ SV("n"), &cel_t_int };
	t->vars[VAR_S] = (struct cel_var){ SV("s"), &cel_t_string };
	t->values[VAR_SELF] = cel_from_doc(&t->a, test_doc(&t->a, test_self), self);
	t->values[VAR_OLD] = cel_from_doc(&t->a, test_doc(&t->a, test_old), self);
	t->values[VAR_ANY] = cel_from_doc(&t->a, test_doc(&t->a, test_self), NULL);
	t->values[VAR_N] = cel_int(5);
	t->values[VAR_S] = cel_string(SV("h\xc3\xa9llo"));
	t->env = (struct cel_env){ .release = CEL_V(1, 37), .vars = t->vars, .n_vars = N_VARS };
}

/* A result as JSON, or what it is. */
static inline struct sv test_text(struct arena *a, const struct cel_value *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *d;

	if (v->kind == CEL_TYPE)
		return arena_svf(a, "type %.*s", SV_ARG(v->named->name));
	if (v->kind == CEL_OPTIONAL && !v->items)
		return SV("none");
	if (v->kind == CEL_OPTIONAL)
		return arena_svf(a, "some %.*s", SV_ARG(test_text(a, v->items)));
	d = cel_to_doc(a, v);
	if (!d)
		return arena_svf(a, "<%.*s>", SV_ARG(cel_type_name_of(v)));
	json_encode(&b, d);
	if (v->kind == CEL_UINT)
		buf_addc(&b, 'u');
	return arena_sv(a, buf_sv(&b));
}

/* Compiles and runs: the result, "error: WORDS", or "refused: WORDS" of the first issue. *cost may be NULL. */
static inline struct sv test_run(struct test_env *t, const char *expr, uint64_t *cost)
{
	struct cel_issues issues = CEL_ISSUES(&t->a);
	_cleanup_(cel_program_unrefp) struct cel_program *p = cel_compile(&t->env, sv_from(expr), &issues);
	struct cel_run run = { .arena = &t->a, .vars = t->values, .limit = CEL_LIMIT_CALL };
	struct cel_value v;
	enum cel_outcome outcome;

	if (!p) {
		assert_true(issues.n > 0);
		return arena_svf(&t->a, "refused: %.*s", SV_ARG(issues.p[0].message));
	}
	outcome = cel_eval(p, &run, &v);
	if (cost)
		*cost = run.cost;
	return outcome == CEL_DONE ? test_text(&t->a, &v) : arena_svf(&t->a, "error: %.*s", SV_ARG(run.error));
}
