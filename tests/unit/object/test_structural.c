/* Custom objects by their schema: what is pruned, defaulted and refused, in upstream's words. Rows are JSON with ' for
 * ". */
#include "docs.h"

#include "object/api_kind.h"
#include "object/apply.h"
#include "object/structural.h"

#include <stdlib.h>

struct made {
	struct arena a;
	struct structural *s;
};

static struct made made_of(const char *schema)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct made m = { .a = ARENA_INIT };

	m.s = structural_new(&m.a, doc(&m.a, schema), &err);
	if (!m.s)
		fail_msg("%s: %s", schema, err_msg(&err));
	return m;
}

static void unmade(struct made *m)
{
	structural_release(m->s);
	arena_release(&m->a);
}

/* --- pruning --- */

static const struct {
	const char *schema, *in, *out, *said; /* said: paths of unknown members, in order */
} prunes[] = {
	{ "{'type':'object','properties':{'spec':{'type':'object','properties':{'a':{'type':'string'}}}}}",
	  "{'kind':'T','apiVersion':'g/v1','metadata':{'name':'x','foo':1},'spec':{'a':'1','b':2,'c':{}},'z':1}",
	  "{'kind':'T','apiVersion':'g/v1','metadata':{'name':'x'},'spec':{'a':'1'}}", "metadata.foo spec.b spec.c z" },
	{ "{'type':'object','properties':{'l':{'type':'array','items':{'type':'object','properties':{'a':{}}}}}}",
	  "{'l':[{'a':1},{'b':1},{'a':2,'b':{'c':1}}]}", "{'l':[{'a':1},{},{'a':2}]}", "l[1].b l[2].b" },
	{ "{'type':'object','properties':{'m':{'type':'object','additionalProperties':{'type':'object','properties':{'"
	  "a':"
	  "{}}}}}}",
	  "{'m':{'x':{'a':1,'b':2},'y':3}}", "{'m':{'x':{'a':1},'y':3}}", "m.x.b" },
	{ "{'type':'object','properties':{'p':{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties'"
	  ":"
	  "{'q':{'type':'object','properties':{'a':{}}}}}}}",
	  "{'p':{'any':{'x':[1,{}]},'q':{'a':1,'b':2}}}", "{'p':{'any':{'x':[1,{}]},'q':{'a':1}}}", "p.q.b" },
	{ "{'type':'object','x-kubernetes-preserve-unknown-fields':true}", "{'a':{'b':[{'c':1}]}}",
	  "{'a':{'b':[{'c':1}]}}", "" },
	{ "{'type':'object','properties':{'m':{'type':'object','additionalProperties':true}}}",
	  "{'m':{'x':{'y':1},'z':1}}", "{'m':{'x':{},'z':1}}", "m.x.y" },
	{ "{'type':'object','properties':{'e':{'type':'object','x-kubernetes-embedded-resource':true,'properties':{'"
	  "spec':{"
	  "}}}}}",
	  "{'e':{'kind':'K','apiVersion':'v1','metadata':{'name':'n','bad':1,'creationTimestamp':null},'spec':1,'x':1}"
	  "}",
	  "{'e':{'kind':'K','apiVersion':'v1','metadata':{'name':'n'},'spec':1}}", "e.x e.metadata.bad" },
	/* null where it may not be, and has no default */
	{ "{'type':'object','properties':{'a':{'type':'string'},'b':{'type':'string','nullable':true},'c':{'type':'"
	  "string',"
	  "'default':'x'},'l':{'type':'array','items':{'type':'object','properties':{'d':{'type':'string'}}}}}}",
	  "{'a':null,'b':null,'c':null,'l':[null,{'d':null}]}", "{'b':null,'c':null,'l':[null,{}]}", "" },
};

static const char *said(struct arena *a, const struct decode_report *r)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < r->strict.n; i++) {
		struct sv s = r->strict.p[i];
		ssize_t from = sv_find(s, '"');

		buf_printf(&b, "%s%.*s", i ? " " : "", (int)(s.n - (size_t)from - 2), s.p + from + 1);
	}
	return arena_strdup(a, buf_cstr(&b));
}

static void test_prunes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(prunes); i++) {
		struct made m = made_of(prunes[i].schema);
		struct val *v = doc(&m.a, prunes[i].in);
		struct decode_report r = { 0 };

		assert_int_equal(structural_decode(m.s, &m.a, v, &r, NULL), 0);
		assert_doc(&m.a, v, prunes[i].out);
		assert_string_equal(said(&m.a, &r), prunes[i].said);
		free(r.strict.p);
		/* once more changes nothing */
		assert_int_equal(structural_decode(m.s, &m.a, v, NULL, NULL), 0);
		assert_doc(&m.a, v, prunes[i].out);
		unmade(&m);
	}
}

static const struct {
	const char *schema, *in, *error, *stored; /* what becomes of it when it is read from the store */
} coerced[] = {
	{ "{'type':'object'}", "{'metadata':{'labels':{'a':1}}}", "json: cannot unmarshal", "{'metadata':{}}" },
	{ "{'type':'object'}", "{'metadata':{'labels':5,'name':'n'}}", "json: cannot unmarshal",
	  "{'metadata':{'name':'n'}}" },
	{ "{'type':'object','properties':{'e':{'type':'object','x-kubernetes-embedded-resource':true}}}",
	  "{'e':{'kind':5}}", "e.kind: Invalid value: 5: must be a string", "{'e':{}}" },
	{ "{'type':'object','properties':{'e':{'type':'array','items':{'type':'object','x-kubernetes-embedded-resource'"
	  ":true}"
	  "}}}",
	  "{'e':[{'kind':'K','metadata':{'name':1}}]}",
	  "e[0].metadata: Invalid value: {\"name\":1}: json: cannot unmarshal", "{'e':[{'kind':'K','metadata':{}}]}" },
};

static void test_coerces(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(coerced); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct made m = made_of(coerced[i].schema);
		struct val *v = doc(&m.a, coerced[i].in);

		assert_int_equal(structural_decode(m.s, &m.a, doc(&m.a, coerced[i].in), NULL, &err), -1);
		if (!sv_starts(sv_from(err_msg(&err)), sv_from(coerced[i].error)))
			fail_msg("%s: %s", coerced[i].in, err_msg(&err));
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
		structural_from_store(m.s, &m.a, v);
		assert_doc(&m.a, v, coerced[i].stored);
		unmade(&m);
	}
}

/* --- defaults --- */

static const struct {
	const char *schema, *in, *out;
} defaults[] = {
	{ "{'type':'object','properties':{'a':{'type':'integer','default':5},'b':{'type':'object','default':{},'"
	  "properties':"
	  "{'c':{'type':'string','default':'x'}}}}}",
	  "{}", "{'a':5,'b':{'c':'x'}}" },
	{ "{'type':'object','properties':{'a':{'type':'integer','default':5}}}", "{'a':0}", "{'a':0}" },
	{ "{'type':'object','properties':{'a':{'type':'integer','default':5}}}", "{'a':null}", "{'a':5}" },
	{ "{'type':'object','properties':{'a':{'type':'integer','nullable':true,'default':5}}}", "{'a':null}",
	  "{'a':null}" },
	{ "{'type':'object','properties':{'l':{'type':'array','items':{'type':'object','properties':{'p':{'type':'"
	  "integer',"
	  "'default':80}}}}}}",
	  "{'l':[{},{'p':1},{'p':null}]}", "{'l':[{'p':80},{'p':1},{'p':80}]}" },
	{ "{'type':'object','properties':{'l':{'type':'array','items':{'type':'integer','default':7}}}}",
	  "{'l':[1,null]}", "{'l':[1,7]}" },
	{ "{'type':'object','properties':{'m':{'type':'object','additionalProperties':{'type':'object','default':{'z':"
	  "1},"
	  "'properties':{'y':{'type':'boolean','default':true},'z':{'type':'integer'}}}}}}",
	  "{'m':{'a':{},'b':null}}", "{'m':{'a':{'y':true},'b':{'y':true,'z':1}}}" },
	/* what a default has and its schema does not is pruned as well */
	{ "{'type':'object','properties':{'a':{'type':'object','default':{'x':1,'y':2},'properties':{'x':{}}}}}", "{}",
	  "{'a':{'x':1}}" },
};

static void test_defaults(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		struct made m = made_of(defaults[i].schema);
		struct val *v = doc(&m.a, defaults[i].in);

		for (int again = 0; again < 2; again++) {
			assert_int_equal(structural_decode(m.s, &m.a, v, NULL, NULL), 0);
			assert_int_equal(structural_default(m.s, &m.a, v, NULL), 0);
			assert_doc(&m.a, v, defaults[i].out);
		}
		unmade(&m);
	}
}

static void test_defaults_are_bounded(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct made m = { .a = ARENA_INIT };
	struct val *v;

	(void)state;
	buf_adds(
	    &b, "{'type':'object','properties':{'l':{'type':'array','items':{'type':'object','properties':{'t':{'type':"
		"'string','default':'");
	for (size_t i = 0; i < 100000; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "'}}}}}}");
	m = made_of(buf_cstr(&b));
	buf_clear(&b);
	buf_adds(&b, "{'l':[{}");
	for (size_t i = 0; i < 10000; i++)
		buf_adds(&b, ",{}");
	buf_adds(&b, "]}");
	v = doc(&m.a, buf_cstr(&b));
	assert_int_equal(structural_default(m.s, &m.a, v, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	unmade(&m);
}

/* --- values --- */

static const char *wrong(struct arena *a, struct field_errs *fe)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	static const struct resource r = { .kind = "T", .group = "" };
	const char *msg, *body;

	if (field_errs_to_err(fe, &r, SV("x"), &err) == 0)
		return "";
	msg = err_msg(&err);
	body = strstr(msg, " is invalid: ");
	return arena_strdup(a, body ? body + strlen(" is invalid: ") : msg);
}

#define S(rest) "{'type':'object','properties':{'a':" rest "}}"

static const struct {
	const char *schema, *doc, *wrong; /* ' stands for " in wrong as well; "" : nothing */
} values[] = {
	/* types */
	{ S("{'type':'string'}"), "{'a':'x'}", "" },
	{ S("{'type':'string'}"), "{'a':1}",
	  "a: Invalid value: 'integer': a in body must be of type string: 'integer'" },
	{ S("{'type':'string'}"), "{'a':null}", "a: Invalid value: 'null': a in body must be of type string: 'null'" },
	{ S("{'type':'string','nullable':true}"), "{'a':null}", "" },
	{ S("{'type':'integer'}"), "{'a':1.0}", "" },
	{ S("{'type':'integer'}"), "{'a':1.5}",
	  "a: Invalid value: 'number': a in body must be of type integer: 'number'" },
	{ S("{'type':'number'}"), "{'a':3}", "" },
	{ S("{'type':'number','format':'double'}"), "{'a':'3'}",
	  "a: Invalid value: 'string': a in body must be of type number: 'string'" },
	{ S("{'type':'integer','format':'int32'}"), "{'a':1.5}",
	  "a: Invalid value: 'float64': a in body must be of type int32: 'float64'" },
	{ S("{'type':'integer','format':'int32'}"), "{'a':3000000000}", "" },
	{ S("{'type':'boolean'}"), "{'a':{}}",
	  "a: Invalid value: 'object': a in body must be of type boolean: 'object'" },
	{ S("{'type':'object'}"), "{'a':[]}", "a: Invalid value: 'array': a in body must be of type object: 'array'" },
	{ S("{'x-kubernetes-int-or-string':true}"), "{'a':5}", "" },
	{ S("{'x-kubernetes-int-or-string':true}"), "{'a':'5'}", "" },
	{ S("{'x-kubernetes-int-or-string':true}"), "{'a':true}",
	  "a: Invalid value: 'boolean': a in body must be of type integer,string: 'boolean'" },
	{ S("{'type':'array','items':{'type':'object'}}"), "{'a':[{},null]}",
	  "a[1]: Invalid value: 'null': a[1] in body must be of type object: 'null'" },
	{ S("{'x-kubernetes-preserve-unknown-fields':true}"), "{'a':[1,'x',{}]}", "" },
	/* enum */
	{ S("{'type':'string','enum':['x','y']}"), "{'a':'z'}",
	  "a: Unsupported value: 'z': supported values: 'x', 'y'" },
	{ S("{'type':'integer','enum':[1,2]}"), "{'a':3}", "a: Unsupported value: 3: supported values: '1', '2'" },
	{ S("{'type':'integer','enum':[1,2]}"), "{'a':2}", "" },
	{ S("{'type':'object','x-kubernetes-preserve-unknown-fields':true,'enum':[{'b':1,'c':2}]}"),
	  "{'a':{'c':2,'b':1}}", "" },
	/* numbers */
	{ S("{'type':'integer','minimum':1,'maximum':3}"), "{'a':0}",
	  "a: Invalid value: 0: a in body should be greater than or equal to 1" },
	{ S("{'type':'integer','minimum':1,'maximum':3}"), "{'a':4}",
	  "a: Invalid value: 4: a in body should be less than or equal to 3" },
	{ S("{'type':'integer','minimum':1,'exclusiveMinimum':true}"), "{'a':1}",
	  "a: Invalid value: 1: a in body should be greater than 1" },
	{ S("{'type':'number','maximum':0.5,'exclusiveMaximum':true}"), "{'a':0.5}",
	  "a: Invalid value: 0.5: a in body should be less than 0.5" },
	{ S("{'type':'number','maximum':0.00001}"), "{'a':0.5}",
	  "a: Invalid value: 0.5: a in body should be less than or equal to 1e-05" },
	{ S("{'type':'integer','multipleOf':3}"), "{'a':7}",
	  "a: Invalid value: 7: a in body should be a multiple of 3" },
	{ S("{'type':'number','multipleOf':0.1}"), "{'a':0.3}", "" },
	{ S("{'type':'number','multipleOf':0.01}"), "{'a':1.17}", "" },
	{ S("{'type':'number','multipleOf':0.01}"), "{'a':1.175}",
	  "a: Invalid value: 1.175: a in body should be a multiple of 0.01" },
	{ S("{'type':'number','multipleOf':0.5}"), "{'a':1}", "" },
	/* text */
	{ S("{'type':'string','minLength':2}"), "{'a':'x'}",
	  "a: Invalid value: 'x': a in body should be at least 2 chars long" },
	{ S("{'type':'string','maxLength':2}"), "{'a':'xyz'}", "a: Too long: may not be more than 2 bytes" },
	{ S("{'type':'string','maxLength':2}"), "{'a':'\xc3\xa4\xc3\xb6'}", "" },
	{ S("{'type':'string','pattern':'^[a-z]+$'}"), "{'a':'X'}",
	  "a: Invalid value: 'X': a in body should match '^[a-z]+$'" },
	{ S("{'type':'string','format':'ipv4'}"), "{'a':'x'}",
	  "a: Invalid value: 'x': a in body must be of type ipv4: 'x'" },
	{ S("{'type':'string','format':'date-time'}"), "{'a':'x'}",
	  "a: Invalid value: 'x': a in body must be of type date-time: 'x'" },
	{ S("{'type':'string','format':'no-such-one'}"), "{'a':'x'}", "" },
	{ S("{'type':'string','format':'date'}"), "{'a':[1]}", "" }, /* with a format upstream asks less */
	/* lists */
	{ S("{'type':'array','minItems':1,'items':{}}"), "{'a':[]}",
	  "a: Invalid value: 0: a in body should have at least 1 items" },
	{ S("{'type':'array','maxItems':1,'items':{}}"), "{'a':[1,2]}", "a: Too many: 2: must have at most 1 items" },
	{ S("{'type':'array','uniqueItems':true,'items':{}}"), "{'a':[{'b':1},{'b':1}]}",
	  "a: Invalid value: '': a in body shouldn't contain duplicates" },
	/* objects */
	{ S("{'type':'object','minProperties':1}"), "{'a':{}}",
	  "a: Invalid value: 0: a in body should have at least 1 properties" },
	{ S("{'type':'object','maxProperties':1}"), "{'a':{'b':1,'c':2}}",
	  "a: Too many: 2: must have at most 1 items" },
	{ S("{'type':'object','required':['b','c'],'properties':{'b':{}}}"), "{'a':{'b':null}}",
	  "a.c: Required value" },
	{ S("{'type':'object','additionalProperties':{'type':'integer'}}"), "{'a':{'x.y':'z'}}",
	  "a.x.y: Invalid value: 'string': a.x.y in body must be of type integer: 'string'" },
	{ "{'type':'object','required':['spec']}", "{}", "spec: Required value" },
	{ "{'type':'object','minProperties':9}", "{}",
	  "<nil>: Invalid value: 0:  in body should have at least 9 properties" },
	/* junctors */
	{ S("{'type':'object','anyOf':[{'required':['b']},{'required':['c']}]}"), "{'a':{'c':1}}", "" },
	{ S("{'type':'object','anyOf':[{'required':['b']},{'required':['c']}]}"), "{'a':{}}",
	  "[<nil>: Invalid value: '': 'a' must validate at least one schema (anyOf), a.b: Required value]" },
	{ S("{'type':'string','oneOf':[{'enum':['x']},{'enum':['x','y']}]}"), "{'a':'y'}", "" },
	{ S("{'type':'string','oneOf':[{'enum':['x']},{'enum':['x','y']}]}"), "{'a':'x'}",
	  "<nil>: Invalid value: '': 'a' must validate one and only one schema (oneOf). Found 2 valid alternatives" },
	{ S("{'type':'string','oneOf':[{'enum':['x']},{'enum':['y']}]}"), "{'a':'z'}",
	  "[<nil>: Invalid value: '': 'a' must validate one and only one schema (oneOf). Found none valid, a: "
	  "Unsupported "
	  "value: 'z': supported values: 'x']" },
	{ S("{'type':'string','allOf':[{'minLength':2},{'maxLength':3}]}"), "{'a':'x'}",
	  "[a: Invalid value: 'x': a in body should be at least 2 chars long, <nil>: Invalid value: '': 'a' must "
	  "validate all "
	  "the schemas (allOf)]" },
	{ S("{'type':'integer','allOf':[{'minimum':2},{'minimum':3}]}"), "{'a':1}",
	  "[a: Invalid value: 1: a in body should be greater than or equal to 2, a: Invalid value: 1: a in body should "
	  "be "
	  "greater than or equal to 3, <nil>: Invalid value: '': 'a' must validate all the schemas (allOf). None "
	  "validated]" },
	{ S("{'type':'string','not':{'enum':['x']}}"), "{'a':'x'}",
	  "<nil>: Invalid value: '': 'a' must not validate the schema (not)" },
	{ S("{'type':'string','not':{'enum':['x']}}"), "{'a':'y'}", "" },
	/* of alternatives the one that fits best is told: the second, which gets further */
	{ S("{'type':'object','anyOf':[{'required':['q']},{'properties':{'b':{'minimum':3},'c':{'enum':[1]}}}]}"),
	  "{'a':{'b':1,'c':1}}",
	  "[<nil>: Invalid value: '': 'a' must validate at least one schema (anyOf), a.b: Invalid value: 1: a.b in "
	  "body should "
	  "be greater than or equal to 3]" },
};

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct made m = made_of(values[i].schema);
		struct field_errs fe;
		const char *got;

		field_errs_init(&fe, &m.a);
		structural_validate(m.s, &fe, doc(&m.a, values[i].doc), NULL);
		got = wrong(&m.a, &fe);
		if (strcmp(got, unquote(&m.a, values[i].wrong)) != 0 &&
		    strcmp(got, values[i].wrong) != 0) { /* patterns have a ' of their own */
			_cleanup_(buf_release) struct buf b = BUF_INIT;

			for (const char *c = got; *c; c++)
				buf_addc(&b, *c == '"' ? '\'' : *c);
			if (strcmp(buf_cstr(&b), values[i].wrong) != 0)
				fail_msg("%s with %s\ngot  %s\nwant %s", values[i].schema, values[i].doc, got,
					 values[i].wrong);
		}
		unmade(&m);
	}
}

/* --- what did not change --- */

static const struct {
	const char *schema, *old, *now, *wrong;
} ratchets[] = {
	{ S("{'type':'string','maxLength':1}"), "{'a':'xyz'}", "{'a':'xyz'}", "" },
	{ S("{'type':'string','maxLength':1}"), "{'a':'xyz'}", "{'a':'xyy'}",
	  "a: Too long: may not be more than 1 byte" },
	{ S("{'type':'string','maxLength':1}"), "{}", "{'a':'xyy'}", "a: Too long: may not be more than 1 byte" },
	/* elements of a map by their keys, wherever they stand */
	{ S("{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':'object'"
	    ","
	    "'properties':{'k':{},'v':{'type':'integer','maximum':1}}}}"),
	  "{'a':[{'k':'x','v':5}]}", "{'a':[{'k':'y','v':1},{'k':'x','v':5}]}", "" },
	{ S("{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':'object'"
	    ","
	    "'properties':{'k':{},'v':{'type':'integer','maximum':1}}}}"),
	  "{'a':[{'k':'x','v':5}]}", "{'a':[{'k':'y','v':5}]}",
	  "a[0].v: Invalid value: 5: a[0].v in body should be less than or equal to 1" },
	/* an atomic list as a whole */
	{ S("{'type':'array','items':{'type':'integer','maximum':1}}"), "{'a':[5]}", "{'a':[5]}", "" },
	{ S("{'type':'array','items':{'type':'integer','maximum':1}}"), "{'a':[5]}", "{'a':[5,1]}",
	  "a[0]: Invalid value: 5: a[0] in body should be less than or equal to 1" },
	/* what an alternative says is about its whole value */
	{ S("{'type':'object','properties':{'b':{'type':'integer'}},'allOf':[{'properties':{'b':{'maximum':1}}}]}"),
	  "{'a':{'b':5}}", "{'a':{'b':5}}", "" },
	{ S("{'type':'object','properties':{'b':{'type':'integer'},'c':{}},'allOf':[{'properties':{'b':{'maximum':1}}}]"
	    "}"),
	  "{'a':{'b':5}}", "{'a':{'b':5,'c':1}}",
	  "[a.b: Invalid value: 5: a.b in body should be less than or equal to 1, <nil>: Invalid value: '': 'a' must "
	  "validate "
	  "all the schemas (allOf). None validated]" },
	/* a member that is still missing, in an object that is the same or is not */
	{ S("{'type':'object','required':['b'],'properties':{'b':{},'c':{}}}"), "{'a':{'c':1}}", "{'a':{'c':1}}", "" },
	{ S("{'type':'object','required':['b'],'properties':{'b':{},'c':{}}}"), "{'a':{'c':1}}", "{'a':{'c':2}}",
	  "a.b: Required value" },
	/* members that the schema does not know cannot be compared */
	{ S("{'type':'object','required':['b'],'x-kubernetes-preserve-unknown-fields':true}"), "{'a':{'c':1}}",
	  "{'a':{'c':1}}", "a.b: Required value" },
	/* sets and maps that had repeated elements may keep them */
	{ S("{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}"), "{'a':['x','x']}",
	  "{'a':['x','x','y','y']}", "" },
	{ S("{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}"), "{'a':['x']}",
	  "{'a':['x','x','x']}", "a[1]: Duplicate value: 'x'" },
};

static void same_words(struct arena *a, const char *got, const char *want, const char *what)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)a;
	for (const char *c = got; *c; c++)
		buf_addc(&b, *c == '"' ? '\'' : *c);
	if (strcmp(buf_cstr(&b), want) != 0)
		fail_msg("%s\ngot  %s\nwant %s", what, got, want);
}

static void test_ratchets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ratchets); i++) {
		struct made m = made_of(ratchets[i].schema);
		const struct val *old = doc(&m.a, ratchets[i].old), *now = doc(&m.a, ratchets[i].now);
		struct field_errs fe;

		field_errs_init(&fe, &m.a);
		structural_validate(m.s, &fe, now, old);
		structural_validate_rest(m.s, &fe, now, old, NULL);
		same_words(&m.a, wrong(&m.a, &fe), ratchets[i].wrong, ratchets[i].now);
		unmade(&m);
	}
}

/* --- lists and embedded resources --- */

static const struct {
	const char *schema, *doc, *wrong;
} rests[] = {
	{ S("{'type':'array','x-kubernetes-list-type':'set','items':{}}"), "{'a':['x','y',{'b':1},'x',{'b':1},'x']}",
	  "[a[3]: Duplicate value: 'x', a[4]: Duplicate value: {'b':1}]" },
	{ S("{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':'object'"
	    "}}"),
	  "{'a':[{'k':1},{'k':2},{'k':1,'v':1},{},{}]}",
	  "[a[2]: Duplicate value: {'k':1}, a[4]: Duplicate value: {}]" },
	{ S("{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k','l'],'items':{'type':'"
	    "object'}}"),
	  "{'a':[{'k':1,'l':1},{'k':1},{'l':1},{'k':1,'l':1}]}", "a[3]: Duplicate value: {'k':1,'l':1}" },
	{ S("{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':'object'"
	    "}}"),
	  "{'a':[{'k':1},5]}", "a[1]: Invalid value: 5: must be an object for an array of list-type map" },
	{ S("{'type':'object','additionalProperties':{'type':'array','x-kubernetes-list-type':'set','items':{}}}"),
	  "{'a':{'b':[1,1]}}", "a[b][1]: Duplicate value: 1" },
	{ S("{'type':'object','x-kubernetes-embedded-resource':true}"), "{'a':{}}",
	  "[a.apiVersion: Required value, a.kind: Required value]" },
	{ S("{'type':'object','x-kubernetes-embedded-resource':true}"),
	  "{'a':{'kind':'My_Kind','apiVersion':'a/b/c','metadata':{'name':'a/b','labels':{'/':'x'}}}}",
	  "[a.apiVersion: Invalid value: 'a/b/c': unexpected GroupVersion string: a/b/c, a.kind: Invalid value: "
	  "'My_Kind': may "
	  "have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric "
	  "characters or "
	  "'-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
	  "'abc-123', regex "
	  "used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?'), a.metadata.name: Invalid value: 'a/b': may not "
	  "contain '/', "
	  "a.metadata.labels: Invalid value: '/': prefix part must be non-empty, a.metadata.labels: Invalid value: "
	  "'/': name "
	  "part must be non-empty, a.metadata.labels: Invalid value: '/': name part must consist of alphanumeric "
	  "characters, "
	  "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
	  "'123-abc', "
	  "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')]" },
	{ S("{'type':'object','x-kubernetes-embedded-resource':true}"),
	  "{'a':{'kind':'K','apiVersion':'v1','metadata':{'namespace':'n'}}}", "" },
};

static void test_rests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rests); i++) {
		struct made m = made_of(rests[i].schema);
		struct field_errs fe;

		field_errs_init(&fe, &m.a);
		structural_validate_rest(m.s, &fe, doc(&m.a, rests[i].doc), NULL, NULL);
		same_words(&m.a, wrong(&m.a, &fe), rests[i].wrong, rests[i].doc);
		unmade(&m);
	}
}

/* --- what a definition may have as defaults --- */

static const struct {
	const char *schema, *wrong;
} own_defaults[] = {
	{ S("{'type':'string','default':'x'}"), "" },
	{ S("{'type':'string','default':5}"),
	  "s.properties[a].default: Invalid value: 'integer':  in body must be of type string: 'integer'" },
	{ S("{'type':'object','default':{'zz':1},'properties':{'b':{'type':'integer'}}}"),
	  "s.properties[a].default: Invalid value: {'zz':1}: must not have unknown fields" },
	{ S("{'type':'object','default':{'b':'x'},'properties':{'b':{'type':'integer'}}}"),
	  "s.properties[a].default.b: Invalid value: 'string': b in body must be of type integer: 'string'" },
	{ S("{'type':'array','items':{'type':'object','properties':{'b':{'type':'string','maxLength':1,'default':'xy'}}"
	    "}}"),
	  "s.properties[a].items.properties[b].default: Too long: may not be more than 1 byte" },
	{ S("{'type':'string','default':'z','anyOf':[{'enum':['x']}]}"),
	  "[s.properties[a].default: Invalid value: '': '' must validate at least one schema (anyOf), "
	  "s.properties[a].default: "
	  "Unsupported value: 'z': supported values: 'x']" },
};

static void test_own_defaults(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(own_defaults); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct fpath at = FPATH_NAME(NULL, SV("s"));
		struct field_errs fe;

		field_errs_init(&fe, &a);
		structural_check_defaults(&fe, doc(&a, own_defaults[i].schema), &at);
		same_words(&a, wrong(&a, &fe), own_defaults[i].wrong, own_defaults[i].schema);
	}
}

/* An alternative in an alternative and so on, for many values: it ends, and not with a yes. */
static void test_work_is_bounded(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct made m;
	struct field_errs fe;

	(void)state;
	buf_adds(&b, "{'type':'object','properties':{'a':{'type':'array','items':{'type':'integer','anyOf':[");
	for (size_t i = 0; i < 2000; i++)
		buf_printf(&b, "%s{'minimum':%zu}", i ? "," : "", i + 10);
	buf_adds(&b, "]}}}}");
	m = made_of(buf_cstr(&b));
	buf_clear(&b);
	buf_adds(&b, "{'a':[1");
	for (size_t i = 0; i < 20000; i++)
		buf_adds(&b, ",1");
	buf_adds(&b, "]}");
	field_errs_init(&fe, &m.a);
	structural_validate(m.s, &fe, doc(&m.a, buf_cstr(&b)), NULL);
	assert_int_equal(fe.list.n, 1);
	assert_true(sv_starts(fe.list.p[0].detail, SV("too much work")));
	unmade(&m);
}

/* --- who owns what --- */

static const struct {
	const char *schema, *first, *second, *merged, *refused; /* by two appliers; refused: instead of merged */
} applies[] = {
	/* beside unknown members, lists of known keys merge by them */
	{ S("{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'l':{'type':'array','x-"
	    "kubernetes-list-"
	    "type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':'object','properties':{'k':{'type':'string'"
	    "},'v':{"
	    "'type':'integer'}}}}}}"),
	  "{'l':[{'k':'x','v':1}],'any':{'p':1}}", "{'l':[{'k':'y','v':2}],'any':{'q':2}}",
	  "{'l':[{'k':'x','v':1},{'k':'y','v':2}],'any':{'p':1,'q':2}}", NULL },
	/* of an embedded resource, too, and its metadata is metadata */
	{ S("{'type':'object','x-kubernetes-embedded-resource':true,'x-kubernetes-preserve-unknown-fields':true}"),
	  "{'metadata':{'finalizers':['a/a']},'spec':{'p':1}}", "{'metadata':{'finalizers':['b/b']},'spec':{'q':1}}",
	  "{'metadata':{'finalizers':['a/a','b/b']},'spec':{'p':1,'q':1}}", NULL },
	{ S("{'type':'object','x-kubernetes-map-type':'atomic','x-kubernetes-preserve-unknown-fields':true}"),
	  "{'p':1}", "{'q':1}", NULL, "Apply failed with 1 conflict: conflict with \"one\": .a" },
	{ S("{'type':'object','properties':{'s':{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'"
	    "}},'t':{"
	    "'type':'array','items':{'type':'string'}}}}"),
	  "{'s':['x']}", "{'s':['y'],'t':['z']}", "{'s':['x','y'],'t':['z']}", NULL },
	{ S("{'type':'object','properties':{'s':{'type':'string'}}}"), "{'s':'x'}", "{'nope':1}", NULL,
	  "failed to create typed patch object (/n; g.example.com/v1, Kind=T): .a.nope: field not declared in schema" },
};

static struct val *applied(struct arena *a, const struct schema *s, const struct val *live, const char *value,
			   const char *manager, struct err *err)
{
	const struct val *config = doc(
	    a, arena_printf(a, "{'apiVersion':'g.example.com/v1','kind':'T','metadata':{'name':'n'},'a':%s}", value));
	struct apply_opts o = { .manager = sv_from(manager), .api_version = SV("g.example.com/v1") };
	const struct val *config_was = val_clone(a, config), *live_was = live ? val_clone(a, live) : NULL;
	struct val *v = managed_apply(a, s, live, config, &o, err);

	/* neither is written to: they are used again when somebody writes in between */
	assert_true(val_equal(config, config_was));
	assert_true(!live || val_equal(live, live_was));
	return v;
}

static void test_applies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(applies); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct api_kind_def def = { .group = "g.example.com",
					    .version = "v1",
					    .plural = "ts",
					    .kind = "T",
					    .custom = true,
					    .schema = doc(&a, applies[i].schema) };
		struct api_kind *k = api_kind_new(&def, &err);
		const struct schema *s = api_kind_resource(k)->schema;
		struct val *one = applied(&a, s, NULL, applies[i].first, "one", &err), *two;

		assert_non_null(one);
		two = applied(&a, s, one, applies[i].second, "two", &err);
		if (applies[i].refused)
			assert_string_equal(err_msg(&err), applies[i].refused);
		else if (!two)
			fail_msg("%s: %s", applies[i].second, err_msg(&err));
		else
			assert_doc(&a, val_member_sv(two, SV("a")), applies[i].merged);
		api_kind_unref(k);
	}
}

/* A pattern that goes over a long text as often as it is long. */
static void test_patterns_are_paid(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct made m = made_of("{'type':'object','properties':{'a':{'type':'string','pattern':'a.{900}b$'}}}");
	struct field_errs fe;

	(void)state;
	buf_adds(&b, "{'a':'");
	for (size_t i = 0; i < 1000000; i++)
		buf_addc(&b, 'a');
	buf_adds(&b, "'}");
	field_errs_init(&fe, &m.a);
	structural_validate(m.s, &fe, doc(&m.a, buf_cstr(&b)), NULL);
	assert_int_equal(fe.list.n, 1);
	assert_true(sv_starts(fe.list.p[0].detail, SV("too much work")));
	unmade(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prunes),		cmocka_unit_test(test_coerces),
		cmocka_unit_test(test_defaults),	cmocka_unit_test(test_defaults_are_bounded),
		cmocka_unit_test(test_values),		cmocka_unit_test(test_ratchets),
		cmocka_unit_test(test_rests),		cmocka_unit_test(test_own_defaults),
		cmocka_unit_test(test_work_is_bounded), cmocka_unit_test(test_patterns_are_paid),
		cmocka_unit_test(test_applies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
