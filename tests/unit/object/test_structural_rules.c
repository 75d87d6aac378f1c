/* Rules of custom kinds: what they refuse and in which words, when they are not asked, and which of them a definition
 * may not have. Rows are JSON with ' for "; rules have no strings in them but where \\u0027 stands for '. */
#include "docs.h"

#include "object/structural.h"

#include <pthread.h>
#include <stdlib.h>

static const char *wrong(struct arena *a, struct field_errs *fe)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	static const struct resource r = { .kind = "T", .group = "" };
	const char *body;

	if (field_errs_to_err(fe, &r, SV("x"), &err) == 0)
		return "";
	body = strstr(err_msg(&err), " is invalid: ") + strlen(" is invalid: ");
	for (; *body; body++)
		buf_addc(&b, *body == '"' ? '\'' : *body);
	return arena_strdup(a, buf_cstr(&b));
}

#define SPEC(properties, rules)                                                            \
	"{'type':'object','properties':{'spec':{'type':'object','properties':{" properties \
	"},'x-kubernetes-validations':[" rules "]}}}"
#define AB "'a':{'type':'integer'},'b':{'type':'integer'},'s':{'type':'string'}"
#define LIST(kind)                                                                            \
	"'l':{'type':'array'," kind                                                           \
	"'items':{'type':'object','properties':{'k':{'type':'string'},'v':{'type':'integer'," \
	"'x-kubernetes-validations':[{'rule':'self == oldSelf','message':'fixed'}]}}}}"
#define KEYED "'x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],"

static const struct {
	const char *schema, *old, *now, *wrong; /* old NULL: it is created */
} runs[] = {
	{ SPEC(AB, "{'rule':'self.a <= self.b'}"), NULL, "{'spec':{'a':1,'b':2}}", "" },
	{ SPEC(AB, "{'rule':'self.a <= self.b'}"), NULL, "{'spec':{'a':3,'b':2}}",
	  "spec: Invalid value: 'object': failed rule: self.a <= self.b" },
	{ SPEC(AB, "{'rule':'self.a <= self.b','message':' a above b '}"), NULL, "{'spec':{'a':3,'b':2}}",
	  "spec: Invalid value: 'object': a above b" },
	{ SPEC(AB, "{'rule':'self.a <= self.b','message':'no','messageExpression':'string(self.a) + self.s'}"), NULL,
	  "{'spec':{'a':3,'b':2,'s':' it is'}}", "spec: Invalid value: 'object': 3 it is" },
	/* an expression that fails, or says nothing: the message */
	{ SPEC(AB, "{'rule':'self.a <= self.b','message':'no','messageExpression':'self.s'}"), NULL,
	  "{'spec':{'a':3,'b':2}}", "spec: Invalid value: 'object': no" },
	{ SPEC(AB, "{'rule':'self.a <= self.b','message':'no','messageExpression':'self.s'}"), NULL,
	  "{'spec':{'a':3,'b':2,'s':' '}}", "spec: Invalid value: 'object': no" },
	{ SPEC(AB, "{'rule':'self.a <= self.b','message':'m','reason':'FieldValueForbidden','fieldPath':'.a'}"), NULL,
	  "{'spec':{'a':3,'b':2}}", "spec.a: Forbidden: m" },
	{ SPEC(AB, "{'rule':'self.a <= self.b','message':'m','reason':'FieldValueRequired'}"), NULL,
	  "{'spec':{'a':3,'b':2}}", "spec: Required value: m" },
	{ SPEC(AB, "{'rule':'self.a <= self.b','message':'m','reason':'FieldValueDuplicate'}"), NULL,
	  "{'spec':{'a':3,'b':2}}", "spec: Duplicate value: 'object'" },
	{ SPEC(AB, "{'rule':'self.a <= self.b'}"), NULL, "{'spec':{'b':2}}",
	  "spec: Invalid value: 'object': no such key: a evaluating rule: self.a <= self.b" },
	{ SPEC(AB, "{'rule':'self.a / self.b > 0','message':'m'}"), NULL, "{'spec':{'a':1,'b':0}}",
	  "spec: Invalid value: 'object': division by zero evaluating rule: m" },
	{ "{'type':'object','x-kubernetes-validations':[{'rule':'self.metadata.name == self.kind','message':'m'}]}",
	  NULL, "{'kind':'T','apiVersion':'v1','metadata':{'name':'x'}}", "<nil>: Invalid value: 'object': m" },
	/* what is wrong by itself may make no sense to rules */
	{ SPEC(AB, "{'rule':'self.a <= self.b'}"), NULL, "{'spec':{'a':'x','b':2}}",
	  "[spec.a: Invalid value: 'string': spec.a in body must be of type integer: 'string', <nil>: Invalid value: "
	  "'null': "
	  "some validation rules were not checked because the object was invalid; correct the existing errors to "
	  "complete "
	  "validation]" },
	/* changes */
	{ SPEC(AB, "{'rule':'self.a == oldSelf.a','message':'fixed'}"), NULL, "{'spec':{'a':1}}", "" },
	{ SPEC(AB, "{'rule':'self.a == oldSelf.a','message':'fixed'}"), "{'spec':{'a':1}}", "{'spec':{'a':2}}",
	  "spec: Invalid value: 'object': fixed" },
	{ SPEC(AB, "{'rule':'self.a == oldSelf.a','message':'fixed'}"), "{}", "{'spec':{'a':2}}", "" },
	{ SPEC(AB, "{'rule':'oldSelf.hasValue()','optionalOldSelf':true,'message':'must have been'}"), NULL,
	  "{'spec':{'a':2}}", "spec: Invalid value: 'object': must have been" },
	{ SPEC(AB, "{'rule':'oldSelf.hasValue()','optionalOldSelf':true,'message':'must have been'}"), "{'spec':{}}",
	  "{'spec':{'a':2}}", "" },
	/* elements of lists that are maps are what they were by their keys */
	{ SPEC(LIST(KEYED), ""), "{'spec':{'l':[{'k':'x','v':1},{'k':'y','v':2}]}}",
	  "{'spec':{'l':[{'k':'y','v':2},{'k':'x','v':3},{'k':'z','v':9}]}}",
	  "spec.l[1].v: Invalid value: 'integer': fixed" },
	{ SPEC(LIST(""), ""), "{'spec':{'l':[{'k':'x','v':1}]}}", "{'spec':{'l':[{'k':'x','v':3}]}}", "" },
	/* what did not change passes, unless the rule is about change */
	{ SPEC(AB, "{'rule':'self.a < 1'}"), "{'spec':{'a':3}}", "{'spec':{'a':3}}", "" },
	{ SPEC(AB, "{'rule':'self.a < 1'}"), "{'spec':{'a':3}}", "{'spec':{'a':3,'b':1}}",
	  "spec: Invalid value: 'object': failed rule: self.a < 1" },
	{ SPEC("'a':{'type':'integer','x-kubernetes-validations':[{'rule':'self < 1'}]},'b':{}", ""),
	  "{'spec':{'a':3}}", "{'spec':{'a':3,'b':1}}", "" },
	{ SPEC(AB, "{'rule':'self.a != oldSelf.a','message':'must change'}"), "{'spec':{'a':3}}", "{'spec':{'a':3}}",
	  "spec: Invalid value: 'object': must change" },
	{ SPEC("'n':{'type':'string','nullable':true}", "{'rule':'!has(self.n) || size(self.n) > 1'}"), NULL,
	  "{'spec':{'n':null}}", "" },
	/* maps, nulls, alternatives that all must hold */
	{ "{'type':'object','properties':{'m':{'type':'object','additionalProperties':{'type':'string','x-kubernetes-"
	  "validations'"
	  ":[{'rule':'size(self) > 1','message':'short'}]}}}}",
	  NULL, "{'m':{'p':'x','q':'yy'}}", "m[p]: Invalid value: 'string': short" },
	{ "{'type':'object','properties':{'m':{'type':'string','nullable':true,'x-kubernetes-validations':[{'rule':'"
	  "size(self) > "
	  "1'}]}}}",
	  NULL, "{'m':null}", "" },
	{ "{'type':'object','properties':{'m':{'type':'object','properties':{'p':{'type':'integer'}},'allOf':[{'"
	  "properties':{'p':{"
	  "'x-kubernetes-validations':[{'rule':'self > 5','message':'small'}]}}}]}}}",
	  NULL, "{'m':{'p':3}}", "m.p: Invalid value: 'integer': small" },
};

static void test_runs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct structural *s = structural_new(&a, doc(&a, runs[i].schema), NULL);
		const struct val *now = doc(&a, runs[i].now), *old = runs[i].old ? doc(&a, runs[i].old) : NULL;
		struct field_errs fe;

		assert_non_null(s);
		for (int again = 0; again < 2; again++) {
			field_errs_init(&fe, &a);
			structural_validate(s, &fe, now, old);
			structural_validate_rest(s, &fe, now, old, NULL);
			if (strcmp(wrong(&a, &fe), runs[i].wrong) != 0)
				fail_msg("%s with %s\ngot  %s\nwant %s", runs[i].schema, runs[i].now, wrong(&a, &fe),
					 runs[i].wrong);
		}
		structural_release(s);
	}
}

/* --- what rules may cost --- */

static const char *many(struct arena *a, size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "{'l':[0");
	for (size_t i = 1; i < n; i++)
		buf_printf(&b, ",%zu", i);
	buf_adds(&b, "]}");
	return arena_strdup(a, buf_cstr(&b));
}

static void costs(const char *rule, size_t n, size_t errors, const char *said)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *schema =
	    arena_printf(&a,
			 "{'type':'object','properties':{'l':{'type':'array','items':{'type':'integer'},"
			 "'x-kubernetes-validations':[%s]}}}",
			 rule);
	struct structural *s = structural_new(&a, doc(&a, schema), NULL);
	struct field_errs fe;

	field_errs_init(&fe, &a);
	structural_validate_rest(s, &fe, doc(&a, many(&a, n)), NULL, NULL);
	assert_int_equal(fe.list.n, errors);
	if (!strstr(wrong(&a, &fe), said))
		fail_msg("%s", wrong(&a, &fe));
	structural_release(s);
}

static void test_costs_end(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	costs("{'rule':'self.all(x, self.all(y, x >= 0 && y >= 0))','message':'m'},{'rule':'false'}", 2000, 1,
	      "no further validation rules will be run due to call cost exceeds limit for rule: m");
	for (size_t i = 0; i < 40; i++)
		buf_printf(&b, "%s{'rule':'self.all(x, self.all(y, x >= 0 || y >= %zu))','message':'m'}", i ? "," : "",
			   i);
	costs(buf_cstr(&b), 300, 1,
	      "l: Invalid value: 'array': validation failed due to running out of cost budget, no further validation "
	      "rules will "
	      "be run");
}

static bool at_once(void *ctx)
{
	(void)ctx;
	return true;
}

static void test_stops(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct structural *s =
	    structural_new(&a,
			   doc(&a, "{'type':'object','properties':{'l':{'type':'array','items':{'type':'integer'"
				   "},'x-kubernetes-validations':[{'rule':'self.all(x, x >= 0)'}]}}}"),
			   NULL);
	struct structural_run run = { .stopped = at_once };
	struct field_errs fe;

	(void)state;
	field_errs_init(&fe, &a);
	structural_validate_rest(s, &fe, doc(&a, many(&a, 5000)), NULL, &run);
	assert_int_equal(fe.list.n, 1);
	assert_non_null(strstr(wrong(&a, &fe), "operation interrupted"));
	structural_release(s);
}

/* The tree and the rules of a schema are made by who asks first, and that may be many. */
#define ASKERS 4

struct asker {
	pthread_t thread;
	const struct structural *s;
	pthread_barrier_t *begin;
	size_t errors;
};

static void *ask(void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct asker *k = ctx;
	struct val *now = doc(&a, "{'spec':{'a':3,'b':2,'more':1}}");
	struct field_errs fe;

	field_errs_init(&fe, &a);
	(void)pthread_barrier_wait(k->begin);
	structural_from_store(k->s, &a, now);
	structural_validate(k->s, &fe, now, NULL);
	structural_validate_rest(k->s, &fe, now, NULL, NULL);
	k->errors = fe.list.n + 10 * (val_member_sv(val_member(now, F_spec), SV("more")) != NULL);
	return NULL;
}

static void test_many_ask_first(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct structural *s = structural_new(&a, doc(&a, SPEC(AB, "{'rule':'self.a <= self.b'}")), NULL);
		struct asker askers[ASKERS];
		pthread_barrier_t begin;

		assert_int_equal(pthread_barrier_init(&begin, NULL, ASKERS), 0);
		for (size_t k = 0; k < ASKERS; k++) {
			askers[k] = (struct asker){ .s = s, .begin = &begin };
			assert_int_equal(pthread_create(&askers[k].thread, NULL, ask, &askers[k]), 0);
		}
		for (size_t k = 0; k < ASKERS; k++) {
			assert_int_equal(pthread_join(askers[k].thread, NULL), 0);
			assert_int_equal(askers[k].errors, 1);
		}
		pthread_barrier_destroy(&begin);
		structural_release(s);
	}
}

/* --- what a definition may not have --- */

#define P "s.properties[spec]"
#define R P ".x-kubernetes-validations[0]"
#define DEAR                                                                                                           \
	"(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings " \
	"are declared)"

static const struct {
	const char *schema, *wrong; /* with a * at its end: begins so */
} refusals[] = {
	{ SPEC(AB, "{'rule':'self.a > 1'}"), "" },
	{ SPEC(AB, "{'rule':' '}"), R ".rule: Required value: rule is not specified" },
	{ SPEC(AB, "{'rule':'true','message':' '}"),
	  R ".message: Invalid value: ' ': message must be non-empty if specified" },
	{ SPEC(AB, "{'rule':'true','message':'a\\nb'}"),
	  R ".message: Invalid value: 'a\\nb': message must not contain line breaks" },
	{ SPEC(AB, "{'rule':'true\\n'}"), "" },
	{ SPEC(AB, "{'rule':'true &&\\ntrue'}"),
	  R ".message: Required value: message must be specified if rule contains line breaks" },
	{ SPEC(AB, "{'rule':'true','messageExpression':' '}"),
	  R ".messageExpression: Required value: messageExpression must be non-empty if specified" },
	{ SPEC(AB, "{'rule':'true','reason':'Bogus'}"),
	  R ".reason: Unsupported value: 'Bogus': supported values: 'FieldValueDuplicate', 'FieldValueForbidden', "
	    "'FieldValueInvalid', 'FieldValueRequired'" },
	{ SPEC(AB, "{'rule':'true','fieldPath':'.nope'}"),
	  R ".fieldPath: Invalid value: '.nope': fieldPath must be a valid path" },
	{ SPEC(AB, "{'rule':'true','fieldPath':'a'}"),
	  R ".fieldPath: Invalid value: 'a': fieldPath must be a valid path" },
	{ SPEC(AB, "{'rule':'true','fieldPath':'.a'}"), "" },
	{ SPEC("'m':{'type':'object','additionalProperties':{'type':'string'}}",
	       "{'rule':'true','fieldPath':'.m[\\u0027x.y\\u0027]'}"),
	  "" },
	{ SPEC(AB, "{'rule':'self.a'}"),
	  R ".rule: Invalid value: {'rule':'self.a'}: cel expression must evaluate to a bool" },
	{ SPEC(AB, "{'rule':'self.nope'}"), R ".rule: Invalid value: {'rule':'self.nope'}: compilation failed: ERROR: "
					      "<input>:1:5: undefined field 'nope'\n | "
					      "self.nope\n | ....^" },
	{ SPEC(AB, "{'rule':'true','messageExpression':'5'}"),
	  R ".messageExpression: Invalid value: {'rule':'true','messageExpression':'5'}: messageExpression must "
	    "evaluate to a "
	    "string" },
	{ SPEC(AB, "{'rule':'true','optionalOldSelf':true}"),
	  R ".optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule" },
	{ SPEC(
	      "'l':{'type':'array','maxItems':5,'items':{'type':'integer','x-kubernetes-validations':[{'rule':'self == "
	      "oldSelf'}]}}",
	      ""),
	  P ".properties[l].items.x-kubernetes-validations[0].rule: Invalid value: 'self == oldSelf': oldSelf cannot "
	    "be used on "
	    "the uncorrelatable portion of the schema within " P ".properties[l]" },
	{ SPEC("'l':{'type':'array','items':{'type':'string'}}",
	       "{'rule':'self.l.all(x, self.l.all(y, x.contains(y)))'}"),
	  "[" R ".rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x " DEAR ", " R
	  ".rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 "
	  "schema, s: "
	  "Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by "
	  "factor of "
	  "more than 100x " DEAR "]" },
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct fpath at = FPATH_NAME(NULL, SV("s"));
		struct field_errs fe;

		field_errs_init(&fe, &a);
		structural_check_rules(&fe, doc(&a, refusals[i].schema), NULL, &at);
		if (strcmp(wrong(&a, &fe), refusals[i].wrong) != 0)
			fail_msg("%s\ngot  %s\nwant %s", refusals[i].schema, wrong(&a, &fe), refusals[i].wrong);
	}
}

/* What one rule costs is not held against a schema that stays as it is; what all cost is. */
static void test_old_rules_stay(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *schema =
	    doc(&a, SPEC("'l':{'type':'array','maxItems':1500,'items':{'type':'string','maxLength':20}}",
			 "{'rule':'self.l.all(x, self.l.exists(y, x == y))'}"));
	struct fpath at = FPATH_NAME(NULL, SV("s"));
	struct field_errs fe;

	(void)state;
	field_errs_init(&fe, &a);
	structural_check_rules(&fe, schema, NULL, &at);
	assert_int_equal(fe.list.n, 1);
	field_errs_init(&fe, &a);
	structural_check_rules(&fe, schema, schema, &at);
	assert_int_equal(fe.list.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),	 cmocka_unit_test(test_costs_end),
		cmocka_unit_test(test_stops),	 cmocka_unit_test(test_many_ask_first),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_old_rules_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
