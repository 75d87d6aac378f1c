/* What a custom object costs by its schema: n and 10 n members, in the shapes that are worst. */
#include "costs.h"
#include "docs.h"

#include "object/structural/node.h"

#include <stdlib.h>

/* A schema and an object, each head, n elements with commas between, tail; %zu in an element is its number. ' is ". */
struct shape {
	const char *schema[3], *doc[3];
	bool changed; /* the old object is another one: without its last element */
};

static struct val *grown(struct arena *a, const char *const parts[3], size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, parts[0]);
	for (size_t i = 0; parts[1] && i < n; i++) {
		const char *sign = strstr(parts[1], "%zu");

		if (i)
			buf_addc(&b, ',');
		buf_add(&b, parts[1], sign ? (size_t)(sign - parts[1]) : strlen(parts[1]));
		if (sign)
			buf_printf(&b, "%zu%s", i, sign + 3);
	}
	buf_adds(&b, parts[2] ? parts[2] : "");
	return doc(a, buf_cstr(&b));
}

static void run_all(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	static const struct resource r = { .kind = "T", .group = "" };
	const struct shape *shape = arg;
	const struct val *schema = grown(&a, shape->schema, n);
	struct val *now = grown(&a, shape->doc, n), *old = grown(&a, shape->doc, shape->changed ? n - 1 : n);
	struct decode_report report = { 0 };
	struct structural *s;
	struct field_errs fe;

	cost_begin(c);
	s = structural_new(&a, schema, NULL);
	assert_non_null(s);
	assert_int_equal(structural_decode(s, &a, now, &report, NULL), 0);
	assert_int_equal(structural_default(s, &a, now, NULL), 0);
	structural_from_store(s, &a, old);
	field_errs_init(&fe, &a);
	structural_validate(s, &fe, now, old);
	structural_validate_rest(s, &fe, now, old, NULL);
	(void)field_errs_to_err(&fe, &r, SV("x"), &err);
	structural_release(s);
	cost_end(c);
	free(report.strict.p);
}

#define LIST(kind, items) "{'type':'object','properties':{'l':{'type':'array'," kind "'items':" items "}}}"
#define MAP_OF(keys) "'x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':" keys ","

static const struct shape
    unknown = { { "{'type':'object'}" }, { "{", "'k%zu':1", "}" }, false },
    wide = { { "{'type':'object','properties':{", "'k%zu':{'type':'integer','default':1}", "}}" },
	     { "{", "'k%zu':'x'", "}" },
	     true },
    required = { { "{'type':'object','required':[", "'k%zu'", "]}" }, { "{}" }, false },
    missing = { { "{'type':'object','properties':{",
		  "'k%zu':{'type':'object','default':{'x':1},"
		  "'properties':{'x':{'type':'integer'}}}",
		  "}}" },
		{ "{}" },
		false },
    map = { { "{'type':'object','properties':{'m':{'type':'object','additionalProperties':{'type':'string',"
	      "'maxLength':1}}}}" },
	    { "{'m':{", "'k%zu':'xx'", "}}" },
	    true },
    nulls = { { "{'type':'object','properties':{'m':{'type':'object','additionalProperties':{'type':'string'}}}}" },
	      { "{'m':{", "'k%zu':null", "}}" },
	      false },
    set = { { LIST("'x-kubernetes-list-type':'set',", "{'type':'string'}") }, { "{'l':[", "'k%zu'", "]}" }, true },
    equal = { { LIST("'x-kubernetes-list-type':'set',", "{'type':'string'}") }, { "{'l':[", "'k'", "]}" }, true },
    unique = { { LIST("'uniqueItems':true,", "{'type':'string'}") }, { "{'l':[", "'k%zu'", "]}" }, true },
    keyed = { { LIST(MAP_OF("['k']"), "{'type':'object','properties':{'k':{'type':'string'},'v':{'type':"
				      "'integer','maximum':0}}}") },
	      { "{'l':[", "{'k':'k%zu','v':1}", "]}" },
	      true },
    keys = { { LIST(MAP_OF("['k','v']"), "{'type':'object','properties':{'k':{'type':'string'},'v':{}}}") },
	     { "{'l':[", "{'k':'k','v':1}", "]}" },
	     true },
    atomic = { { LIST("", "{'type':'integer','maximum':0}") }, { "{'l':[", "%zu", "]}" }, true },
    any = { { LIST("", "{'type':'integer','anyOf':[{'minimum':100000},{'maximum':-5},{'enum':[1,2,3]}]}") },
	    { "{'l':[", "%zu", "]}" },
	    true },
    alternatives = { { "{'type':'object','properties':{'a':{'type':'string','oneOf':[", "{'enum':['k%zu']}", "]}}}" },
		     { "{'a':'z'}" },
		     false },
    embedded = { { LIST("", "{'type':'object','x-kubernetes-embedded-resource':true}") },
		 { "{'l':[", "{'kind':'K','apiVersion':'v1','metadata':{'name':'n','x%zu':1}}", "]}" },
		 true };

static const struct cost_row rows[] = {
	{ "unknown members", run_all, &unknown, 0 },
	{ "properties of a wrong type", run_all, &wide, 0 },
	{ "required members", run_all, &required, 0 },
	{ "defaults", run_all, &missing, 0 },
	{ "a map", run_all, &map, 0 },
	{ "nulls", run_all, &nulls, 0 },
	{ "a set", run_all, &set, 0 },
	{ "a set of equal elements", run_all, &equal, 0 },
	{ "unique items", run_all, &unique, 0 },
	{ "a list that is a map", run_all, &keyed, 0 },
	{ "a list that is a map of equal keys", run_all, &keys, 0 },
	{ "an atomic list", run_all, &atomic, 0 },
	{ "alternatives for each of many", run_all, &any, 0 },
	{ "many alternatives", run_all, &alternatives, 0 },
	{ "embedded resources", run_all, &embedded, 0 },
};

static void test_costs(void **state)
{
	(void)state;
	expect_linear(rows, ARRAY_LEN(rows));
}

/* A definition that describes much is made a tree by whoever brings it: no object's request pays for that. */
static void test_large_at_once(void **state)
{
	static const struct {
		size_t described;
		bool at_once;
	} rows_of[] = { { 100, false }, { 5000, true } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows_of); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct structural *s = structural_new(&a, grown(&a, wide.schema, rows_of[i].described), NULL);

		assert_non_null(s);
		assert_int_equal(atomic_load(&s->tree) != NULL, rows_of[i].at_once);
		structural_release(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_costs),
		cmocka_unit_test(test_large_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
