#include "docs.h"

#include "codec/doc_items.h"
#include "object/apply.h"
#include "object/patch.h"

#include <stdlib.h>

struct patch_case {
	const char *doc, *patch, *want; /* want NULL: does not apply (422) */
};

/* RFC 6902 appendix A (numbers beside), and what upstream's implementation adds. */
static const struct patch_case json_cases[] = {
	{ "{'foo':'bar'}", "[{'op':'add','path':'/baz','value':'qux'}]", "{'baz':'qux','foo':'bar'}" }, /* A.1 */
	{ "{'foo':['bar','baz']}", "[{'op':'add','path':'/foo/1','value':'qux'}]", "{'foo':['bar','qux','baz']}" },
	{ "{'baz':'qux','foo':'bar'}", "[{'op':'remove','path':'/baz'}]", "{'foo':'bar'}" },
	{ "{'foo':['bar','qux','baz']}", "[{'op':'remove','path':'/foo/1'}]", "{'foo':['bar','baz']}" },
	{ "{'baz':'qux','foo':'bar'}", "[{'op':'replace','path':'/baz','value':'boo'}]", "{'baz':'boo','foo':'bar'}" },
	{ "{'foo':{'bar':'baz','waldo':'fred'},'qux':{'corge':'grault'}}",
	  "[{'op':'move','from':'/foo/waldo','path':'/qux/thud'}]",
	  "{'foo':{'bar':'baz'},'qux':{'corge':'grault','thud':'fred'}}" }, /* A.6 */
	{ "{'foo':['all','grass','cows','eat']}", "[{'op':'move','from':'/foo/1','path':'/foo/3'}]",
	  "{'foo':['all','cows','eat','grass']}" },
	{ "{'baz':'qux','foo':['a',2,'c']}",
	  "[{'op':'test','path':'/baz','value':'qux'},{'op':'test','path':'/foo/1','value':2}]",
	  "{'baz':'qux','foo':['a',2,'c']}" },
	{ "{'baz':'qux'}", "[{'op':'test','path':'/baz','value':'bar'}]", NULL },
	{ "{'foo':'bar'}", "[{'op':'add','path':'/child','value':{'grandchild':{}}}]",
	  "{'foo':'bar','child':{'grandchild':{}}}" }, /* A.10 */
	{ "{'foo':'bar'}", "[{'op':'add','path':'/baz','value':'qux','xyz':123}]", "{'foo':'bar','baz':'qux'}" },
	{ "{'foo':'bar'}", "[{'op':'add','path':'/baz/bat','value':'qux'}]", NULL }, /* A.12 */
	{ "{'/':9,'~1':10}", "[{'op':'test','path':'/~01','value':10}]", "{'/':9,'~1':10}" },
	{ "{'/':9,'~1':10}", "[{'op':'test','path':'/~01','value':'10'}]", NULL },
	{ "{'foo':['bar']}", "[{'op':'add','path':'/foo/-','value':['abc','def']}]", "{'foo':['bar',['abc','def']]}" },
	/* beyond the appendix */
	{ "{'a':[1,2,3]}", "[{'op':'add','path':'/a/4','value':9}]", NULL },
	{ "{'a':[1,2,3]}", "[{'op':'add','path':'/a/01','value':9}]", "{'a':[1,9,2,3]}" },
	{ "{'a':[1,2,3]}", "[{'op':'replace','path':'/a/3','value':9}]", NULL },
	{ "{'a':[1,2,3]}", "[{'op':'test','path':'/a/3','value':null}]", "{'a':[1,2,3]}" },
	{ "{'a':[1,2,3]}", "[{'op':'remove','path':'/a/-1'}]", "{'a':[1,2]}" },
	{ "{'a':[1,2,3]}", "[{'op':'remove','path':'/a/-'}]", NULL },
	{ "{'a':1}", "[{'op':'remove','path':'/b'}]", NULL },
	{ "{'a':1}", "[{'op':'replace','path':'/b','value':1}]", "{'a':1,'b':1}" },
	{ "{'a':1}", "[{'op':'replace','path':'/b/c','value':1}]", NULL },
	{ "{'a':1}", "[{'op':'replace','path':'','value':{'b':2}}]", NULL },
	{ "{'a':1}", "[{'op':'add','path':'','value':{}}]", NULL },
	{ "{'a':1}", "[{'op':'remove','path':''}]", NULL },
	{ "{'a':1}", "[{'op':'test','path':'','value':{'a':1}}]", "{'a':1}" },
	{ "{'a':1}", "[{'op':'copy','from':'/b','path':'/c'}]", "{'a':1,'c':null}" },
	{ "{'a':1}", "[{'op':'copy','from':'/b/c','path':'/c'}]", NULL },
	{ "{'a':[1]}", "[{'op':'copy','from':'/a/1','path':'/c'}]", NULL },
	{ "{'a':1}", "[{'op':'copy','from':'','path':'/c'}]", NULL },
	{ "{'a':1}", "[{'op':'move','from':'/b','path':'/c'}]", NULL },
	{ "{'a':1}", "[{'op':'move','from':'/a','path':'/a'}]", "{'a':1}" },
	{ "{'a':1}", "[{'op':'add','path':'/b'}]", "{'a':1,'b':null}" },
	{ "{'a':1}", "[{'op':'add','value':1}]", NULL },
	{ "{'a~b':1}", "[{'op':'remove','path':'/a~b'}]", "{}" },
	{ "{'a':1}", "[null]", NULL },
	{ "{'a':1}", "null", "{'a':1}" },
	{ "{'a':1}", "[{'op':'test','path':'/b','value':null}]", "{'a':1}" },
	{ "{'a':{'b':1}}", "[{'op':'copy','from':'/a','path':'/a/c'},{'op':'add','path':'/a/b','value':2}]",
	  "{'a':{'b':2,'c':{'b':1}}}" },
	{ "{'a':{'b':1}}", "[{'op':'move','from':'/a','path':'/a/c'}]", NULL },
	{ "{'a':{'b':1}}", "[{'op':'frob','path':'/a'}]", NULL },
	{ "{'a':{'b':1}}", "[{'path':'/a'}]", NULL },
	{ "{'a':1}", "[{'op':'add','path':'a','value':1}]", NULL },
	{ "{'b':{}}", "[{'op':'add','path':'b/a','value':1}]", "{'a':1,'b':{}}" },
	{ "{'metadata':{'labels':{'a/b':'x'}}}", "[{'op':'remove','path':'/metadata/labels/a~1b'}]",
	  "{'metadata':{'labels':{}}}" },
	{ "{'metadata':{}}",
	  "[{'op':'add','path':'/metadata/labels','value':{}},"
	  "{'op':'add','path':'/metadata/labels/x','value':'y'}]",
	  "{'metadata':{'labels':{'x':'y'}}}" },
	{ "{'':1}", "[{'op':'replace','path':'/','value':2}]", "{'':2}" },
};

static void test_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(json_cases); i++) {
		const struct patch_case *c = &json_cases[i];
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct val *before = doc(&a, c->doc);
		struct val *got = patch_json(&a, before, doc(&a, c->patch), &err);

		assert_doc(&a, before, c->doc); /* never changed */
		if (c->want) {
			if (!got)
				fail_msg("%s: %s", c->patch, err_msg(&err));
			assert_doc(&a, got, c->want);
			continue;
		}
		if (got)
			fail_msg("%s: applied, gave %s", c->patch, json(&a, got));
		assert_int_equal(err_code(&err), 422);
		assert_string_equal(err_msg(&err), "the server rejected our request due to an error in our request");
	}
}

static void test_json_malformed(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *ops = val_new_list(&a);

	(void)state;
	assert_null(patch_json(&a, doc(&a, "{}"), doc(&a, "{'op':'add'}"), &err));
	assert_int_equal(err_code(&err), 400);
	err_release(&err);
	assert_null(patch_json(&a, doc(&a, "{}"), doc(&a, "['add']"), &err));
	assert_int_equal(err_code(&err), 400);
	err_release(&err);
	for (int i = 0; i <= JSON_PATCH_MAX_OPS; i++)
		val_push(&a, ops, doc(&a, "{'op':'add','path':'/a','value':1}"));
	assert_null(patch_json(&a, doc(&a, "{}"), ops, &err));
	assert_int_equal(err_code(&err), 413);
	assert_string_equal(
	    err_msg(&err),
	    "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001");
}

/* Doubling the document with every operation ends early instead of eating the memory. */
static void test_json_bomb(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *ops = val_new_list(&a);

	(void)state;
	/* every copy of x goes into x */
	for (int i = 0; i < 60; i++) {
		struct val *op = doc(&a, "{'op':'copy','from':'/x'}");

		val_set_sv(&a, op, SV("path"), val_new_strf(&a, "/x/k%d", i));
		val_push(&a, ops, op);
	}
	assert_null(patch_json(&a, doc(&a, "{'x':{'y':[1,2,3]}}"), ops, &err));
	assert_int_equal(err_code(&err), 422);
}

/* What is copied counts as long as it is: a few strings would write gigabytes. Moving copies nothing. */
static void test_json_long_bomb(void **state)
{
	static const char *const ops[] = { "{'op':'copy','from':'/x/0','path':'/x/-'}",
					   "{'op':'move','from':'/x/0','path':'/x/-'}" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char text[100001];
	const struct val *x;

	(void)state;
	memset(text, 'w', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	x = doc(&a, arena_printf(&a, "{'x':['%s']}", text));
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		for (int n = 20; n <= 40; n += 20) {
			_cleanup_(err_release) struct err err = ERR_INIT;
			struct val *list = val_new_list(&a);

			for (int k = 0; k < n; k++)
				val_push(&a, list, doc(&a, ops[i]));
			if (i == 0 && n == 40) {
				assert_null(patch_json(&a, x, list, &err));
				assert_int_equal(err_code(&err), 422);
			} else {
				assert_non_null(patch_json(&a, x, list, &err));
			}
		}
	}
}

#define PATCH_OPS 2500

/* PATCH_OPS times an operation on one map or list of n, which stands at /x. */
static struct val *patched_large(struct arena *a, size_t n, const char *op, const char *path, struct err *err)
{
	struct val *d = val_new_map(a), *ops = val_new_list(a), *o = doc(a, op);
	struct val *x = strstr(path, "%d") ? val_new_map(a) : val_new_list(a);

	for (size_t i = 0; i < n; i++) {
		if (val_type(x) == VAL_MAP)
			val_append_sv(a, x, arena_svf(a, "k%zu", i), val_new_int(a, 1));
		else
			val_push(a, x, val_new_int(a, 1));
	}
	val_set_sv(a, d, SV("x"), x);
	for (int i = 0; i < PATCH_OPS; i++) {
		struct sv at = sv_from(path);
		ssize_t number = sv_find_sv(at, SV("%d"));

		if (number >= 0)
			at = arena_svf(a, "%.*s%d", (int)number, path, i);
		val_set_sv(a, o, SV("path"), val_new_str_ref(a, at));
		val_push(a, ops, val_clone(a, o));
	}
	return patch_json(a, d, ops, err);
}

/* Many operations on one large map find their members; what they shift in a large list costs the product, which is
 * counted. */
static void test_json_product(void **state)
{
	static const struct {
		const char *op, *path;
		bool refused;
	} rows[] = {
		{ "{'op':'add','value':1}", "/x/z%d", false },
		{ "{'op':'replace','value':2}", "/x/k%d", false },
		{ "{'op':'remove'}", "/x/k%d", false },
		{ "{'op':'test','value':1}", "/x/k%d", false },
		{ "{'op':'copy','from':'/x/k1'}", "/x/y%d", false },
		{ "{'op':'replace','value':1}", "/x/0", false },
		{ "{'op':'add','value':1}", "/x/0", true },
		{ "{'op':'remove'}", "/x/0", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (rows[i].refused || strchr(rows[i].path, 'k') || strchr(rows[i].path, 'z'))
			assert_non_null(patched_large(&a, 3000 + PATCH_OPS, rows[i].op, rows[i].path, &err));
		if (!rows[i].refused) {
			assert_non_null(patched_large(&a, 60000, rows[i].op, rows[i].path, &err));
			continue;
		}
		assert_null(patched_large(&a, 60000, rows[i].op, rows[i].path, &err));
		assert_int_equal(err_code(&err), 413);
	}
}

/* Large maps by turns are searched anew each time: that is counted, too. */
static void test_json_turns(void **state)
{
	(void)state;
	for (size_t members = 300; members <= 30000; members *= 100) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct val *d = doc(&a, "{'x':{},'y':{}}"), *ops = val_new_list(&a), one = { .type = VAL_INT };

		for (int side = 0; side < 2; side++)
			for (size_t i = 0; i < members; i++)
				val_append_sv(&a, val_member_sv_mut(d, side ? SV("x") : SV("y")),
					      arena_svf(&a, "k%zu", i), &one);
		for (int i = 0; i < PATCH_OPS; i++)
			val_push(&a, ops,
				 doc(&a, i % 2 ? "{'op':'add','path':'/x/k1','value':1}"
					       : "{'op':'add','path':'/y/k1','value':1}"));
		if (members == 300) {
			assert_non_null(patch_json(&a, d, ops, &err));
			continue;
		}
		assert_null(patch_json(&a, d, ops, &err));
		assert_int_equal(err_code(&err), 413);
	}
}

static unsigned next_random(uint32_t *seed, unsigned below)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 8) % below;
}

/* A path to something in a document of two large maps, one below the other, and what lies around them. */
static const char *random_place(struct arena *a, uint32_t *seed)
{
	static const char *const where[] = { "", "/big", "/big/inner", "/list/0", "/big/k1/list", "/other" };
	unsigned w = next_random(seed, ARRAY_LEN(where)), k = next_random(seed, 40);

	if (w == 3 || w == 4)
		return arena_printf(a, "%s/%u", where[w], next_random(seed, 3));
	return next_random(seed, 12) ? arena_printf(a, "%s/k%u", where[w], k) : where[w];
}

/* However the large maps are found, many operations in one patch do what they do one by one. */
static void test_json_one_by_one(void **state)
{
	static const char *const kinds[] = { "add", "add", "replace", "remove", "remove", "move", "copy", "test" };

	(void)state;
	for (uint32_t seed = 1; seed <= 25; seed++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct val *d = doc(&a, "{'big':{'inner':{},'k1':{'list':[1,{'k1':2}]}},'list':[{'k2':1}],'other':{}}");
		struct val *ops = val_new_list(&a), *together;
		const struct val *apart = d;
		uint32_t chance = seed;

		for (size_t i = 2; i < 60; i++) {
			val_set_sv(&a, val_member_sv_mut(d, SV("big")), arena_svf(&a, "k%zu", i), doc(&a, "1"));
			val_set_sv(&a, val_member_sv_mut(val_member_sv_mut(d, SV("big")), SV("inner")),
				   arena_svf(&a, "k%zu", i), doc(&a, "[{}]"));
		}
		/* Each operation is one that applies where those before it left the document. */
		for (size_t i = 0; i < 60; i++) {
			struct val *op = val_new_map(&a), *alone = val_new_list(&a), *after;
			const char *kind = kinds[next_random(&chance, ARRAY_LEN(kinds))];

			val_set_str_sv(&a, op, SV("op"), sv_from(kind));
			val_set_str_sv(&a, op, SV("path"), sv_from(random_place(&a, &chance)));
			val_set_str_sv(&a, op, SV("from"), sv_from(random_place(&a, &chance)));
			val_set_sv(&a, op, SV("value"),
				   doc(&a, next_random(&chance, 3) ? "{'k3':{'a':[]},'k4':7}" : "null"));
			val_push(&a, alone, op);
			after = patch_json(&a, apart, alone, NULL);
			if (!after)
				continue;
			apart = after;
			val_push(&a, ops, op);
		}
		together = patch_json(&a, d, ops, NULL);
		assert_non_null(together);
		assert_string_equal(json(&a, together), json(&a, apart));
	}
}

/* RFC 7386 appendix A, those with an object on both sides, and the ones that only a pure
 * function can have. */
static const struct patch_case merge_cases[] = {
	{ "{'a':'b'}", "{'a':'c'}", "{'a':'c'}" },
	{ "{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}" },
	{ "{'a':'b'}", "{'a':null}", "{}" },
	{ "{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}" },
	{ "{'a':['b']}", "{'a':'c'}", "{'a':'c'}" },
	{ "{'a':'c'}", "{'a':['b']}", "{'a':['b']}" },
	{ "{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}" },
	{ "{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}" },
	{ "['a','b']", "['c','d']", "['c','d']" },
	{ "['a','b']", "{'a':'b'}", "{'a':'b'}" },
	{ "{'e':null}", "{'a':1}", "{'e':null,'a':1}" },
	{ "[1,2]", "{'a':'b','c':null}", "{'a':'b'}" },
	{ "{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}" },
	{ "{'metadata':{'labels':{'a':'1','b':'2'}}}", "{'metadata':{'labels':{'a':null,'c':'3'}}}",
	  "{'metadata':{'labels':{'b':'2','c':'3'}}}" },
};

static void test_merge(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(merge_cases); i++) {
		const struct patch_case *c = &merge_cases[i];
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct val *got = patch_merge(&a, doc(&a, c->doc), doc(&a, c->patch), &err);

		assert_non_null(got);
		assert_doc(&a, got, c->want);
	}
}

static void test_merge_malformed(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_null(patch_merge(&a, doc(&a, "{'a':1}"), doc(&a, "[1]"), &err));
	assert_int_equal(err_code(&err), 400);
}

static const struct {
	const char *what;
	struct patch_case c;
} strategic_cases[] = {
	{ "lists merge by key",
	  { "{'spec':{'containers':[{'name':'a','image':'x'},{'name':'b','image':'y'}]}}",
	    "{'spec':{'containers':[{'name':'b','image':'z'}]}}",
	    "{'spec':{'containers':[{'name':'a','image':'x'},{'name':'b','image':'z'}]}}" } },
	{ "new items go in front of those the patch does not name",
	  { "{'spec':{'containers':[{'name':'a'}]}}", "{'spec':{'containers':[{'name':'b'}]}}",
	    "{'spec':{'containers':[{'name':'b'},{'name':'a'}]}}" } },
	{ "nested merge keys",
	  { "{'spec':{'containers':[{'name':'a','env':[{'name':'X','value':'1'},{'name':'Y','value':'2'}]}]}}",
	    "{'spec':{'containers':[{'name':'a','env':[{'name':'Y','value':'3'}]}]}}",
	    "{'spec':{'containers':[{'name':'a','env':[{'name':'X','value':'1'},{'name':'Y','value':'3'}]}]}}" } },
	{ "delete directive",
	  { "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
	    "{'spec':{'containers':[{'name':'a','$patch':'delete'}]}}", "{'spec':{'containers':[{'name':'b'}]}}" } },
	{ "replace directive in a list",
	  { "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
	    "{'spec':{'containers':[{'name':'c'},{'$patch':'replace'}]}}", "{'spec':{'containers':[{'name':'c'}]}}" } },
	{ "replace directive in a map",
	  { "{'metadata':{'labels':{'a':'1','b':'2'}}}", "{'metadata':{'labels':{'c':'3','$patch':'replace'}}}",
	    "{'metadata':{'labels':{'c':'3'}}}" } },
	{ "delete directive in a map",
	  { "{'spec':{'securityContext':{'runAsUser':1},'x':1}}", "{'spec':{'securityContext':{'$patch':'delete'}}}",
	    "{'spec':{'securityContext':{},'x':1}}" } },
	{ "null deletes",
	  { "{'spec':{'nodeName':'n','hostname':'h'}}", "{'spec':{'nodeName':null}}", "{'spec':{'hostname':'h'}}" } },
	{ "atomic lists are replaced",
	  { "{'spec':{'tolerations':[{'key':'a'}]}}", "{'spec':{'tolerations':[{'key':'b'}]}}",
	    "{'spec':{'tolerations':[{'key':'b'}]}}" } },
	{ "lists of scalars merge as sets",
	  { "{'metadata':{'finalizers':['a/a','b/b']}}", "{'metadata':{'finalizers':['c/c','b/b']}}",
	    "{'metadata':{'finalizers':['c/c','a/a','b/b']}}" } },
	{ "delete from a primitive list",
	  { "{'metadata':{'finalizers':['a/a','b/b']}}", "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a/a']}}",
	    "{'metadata':{'finalizers':['b/b']}}" } },
	{ "setElementOrder orders what is there",
	  { "{'spec':{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}}",
	    "{'spec':{'$setElementOrder/containers':[{'name':'c'},{'name':'a'},{'name':'b'}],"
	    "'containers':[{'name':'a','image':'x'}]}}",
	    "{'spec':{'containers':[{'name':'c'},{'name':'a','image':'x'},{'name':'b'}]}}" } },
	{ "setElementOrder without the list",
	  { "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
	    "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'a'}]}}",
	    "{'spec':{'containers':[{'name':'b'},{'name':'a'}]}}" } },
	{ "setElementOrder of scalars with deletion",
	  { "{'metadata':{'finalizers':['a/a','b/b','s/s']}}",
	    "{'metadata':{'$setElementOrder/finalizers':['b/b','c/c'],'$deleteFromPrimitiveList/finalizers':['a/a'],"
	    "'finalizers':['c/c']}}",
	    "{'metadata':{'finalizers':['b/b','c/c','s/s']}}" } },
	{ "setElementOrder must agree with the list",
	  { "{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
	    "{'spec':{'$setElementOrder/"
	    "containers':[{'name':'a'},{'name':'b'}],'containers':[{'name':'b'},{'name':'a'}]}}",
	    NULL } },
	{ "retainKeys drops what is not listed",
	  { "{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
	    "{'spec':{'volumes':[{'name':'v','$retainKeys':['name','hostPath'],'hostPath':{'path':'/x'}}]}}",
	    "{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}" } },
	{ "retainKeys must list what the patch sets",
	  { "{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
	    "{'spec':{'volumes':[{'name':'v','$retainKeys':['name'],'hostPath':{'path':'/x'}}]}}", NULL } },
	{ "items need the merge key",
	  { "{'spec':{'containers':[{'name':'a'}]}}", "{'spec':{'containers':[{'image':'x'}]}}", NULL } },
	{ "unknown directive", { "{'spec':{'containers':[]}}", "{'spec':{'$patch':'frob'}}", NULL } },
	{ "an order is that of a list",
	  { "{'metadata':{'labels':{'a':'1'}}}", "{'metadata':{'$setElementOrder/labels':['a']}}", NULL } },
	{ "nothing is deleted from what is no list",
	  { "{'metadata':{'labels':{'a':'1'}}}", "{'metadata':{'$deleteFromPrimitiveList/labels':'x'}}",
	    "{'metadata':{'labels':{'a':'1'}}}" } },
	{ "directives never end up in new parts",
	  { "{}", "{'spec':{'$setElementOrder/containers':[{'name':'a'}],'containers':[{'name':'a','image':null}]}}",
	    "{'spec':{'containers':[{'name':'a'}]}}" } },
	{ "labels merge",
	  { "{'metadata':{'labels':{'a':'1'}}}", "{'metadata':{'labels':{'b':'2'}}}",
	    "{'metadata':{'labels':{'a':'1','b':'2'}}}" } },
	{ "conditions merge by type",
	  { "{'status':{'conditions':[{'type':'Ready','status':'False'},{'type':'Initialized','status':'True'}]}}",
	    "{'status':{'conditions':[{'type':'Ready','status':'True'}]}}",
	    "{'status':{'conditions':[{'type':'Ready','status':'True'},{'type':'Initialized','status':'True'}]}}" } },
};

static void test_strategic(void **state)
{
	const struct schema *pod = schema_find(SV("core/v1.Pod"));

	(void)state;
	assert_non_null(pod);
	for (size_t i = 0; i < ARRAY_LEN(strategic_cases); i++) {
		const struct patch_case *c = &strategic_cases[i].c;
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct val *before = doc(&a, c->doc);
		struct val *got = patch_strategic(&a, pod, before, doc(&a, c->patch), &err);

		assert_doc(&a, before, c->doc);
		if (!c->want) {
			if (got)
				fail_msg("%s: gave %s", strategic_cases[i].what, json(&a, got));
			/* Only what $retainKeys says wrong is the client's fault in upstream's eyes. */
			assert_int_equal(err_code(&err), strstr(strategic_cases[i].what, "retainKeys") ? 400 : 500);
			continue;
		}
		if (!got)
			fail_msg("%s: %s", strategic_cases[i].what, err_msg(&err));
		if (!val_equal(got, doc(&a, c->want)))
			fail_msg("%s:\ngot  %s\nwant %s", strategic_cases[i].what, json(&a, got), c->want);
	}
}

/* Elements of a merged list are of one kind, in the object and in the patch; the message shows both. */
static void test_strategic_elements(void **state)
{
	static const struct {
		const char *doc, *patch, *want;
	} rows[] = {
		{ "{'spec':{'containers':[{'name':'a','image':'i'}]}}", "{'spec':{'containers':['x']}}",
		  "list element types are not identical: [[map[image:i name:a]] [x]]" },
		{ "{'spec':{'containers':[]}}", "{'spec':{'containers':[{'name':'a'},7]}}",
		  "list element types are not identical: [[] [map[name:a] 7]]" },
		{ "{'metadata':{'finalizers':['a/b']}}", "{'metadata':{'finalizers':['c/d',true]}}",
		  "list element types are not identical: [[a/b] [c/d true]]" },
		{ "{'metadata':{'finalizers':[]}}", "{'metadata':{'finalizers':[['c/d']]}}",
		  "lists of lists are not supported" },
	};
	const struct schema *pod = schema_find(SV("core/v1.Pod"));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_null(patch_strategic(&a, pod, doc(&a, rows[i].doc), doc(&a, rows[i].patch), &err));
		assert_string_equal(err_msg(&err), rows[i].want);
		assert_int_equal(err_code(&err), 500);
	}
}

/* Each element that names the same one merges all of it anew, which is counted. */
static void test_strategic_product(void **state)
{
	const struct schema *pod = schema_find(SV("core/v1.Pod"));

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		const struct val *before = doc(&a, "{'spec':{'containers':[{'name':'c'}]}}");
		bool env = i % 2;
		int members = i < 2 ? 40 : 4000;

		buf_printf(&b, "{'spec':{'containers':[{'name':'c',%s", env ? "'env':[" : "");
		for (int k = 0; k < members; k++)
			buf_printf(&b, env ? "%s{'name':'e%d','value':'v'}" : "%s'k%d':1", k ? "," : "", k);
		buf_adds(&b, env ? "]}" : "}");
		for (int k = 0; k < 2000; k++)
			buf_printf(&b, ",{'name':'c',%s}", env ? "'env':[{'name':'e1','value':'w'}]" : "'image':'i'");
		buf_adds(&b, "]}}");
		if (members == 40) {
			assert_non_null(patch_strategic(&a, pod, before, doc(&a, buf_cstr(&b)), &err));
			continue;
		}
		assert_null(patch_strategic(&a, pod, before, doc(&a, buf_cstr(&b)), &err));
		assert_int_equal(err_code(&err), 413);
	}
}

/* Two documents that are large enough make one that is too large, by whatever patch. */
static void test_too_many_values(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err[4] = { 0 };
	struct val *both[2], *add = doc(&a, "{'op':'add','path':'/data'}"), *ops = val_new_list(&a);
	const struct apply_opts o = { .manager = SV("m"), .api_version = SV("v1"), .force = true };
	const struct schema *s = schema_find(SV("core/v1.ConfigMap"));

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct val *data, one = { .type = VAL_STR, .s = "" };

		both[i] = doc(&a, "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'x'}}");
		data = val_set_map(&a, both[i], i ? F_binaryData : F_data);
		for (size_t k = 0; k < DOC_VALUES_MAX * 2 / 3; k++)
			val_append_sv(&a, data, arena_svf(&a, "k%zu", k), &one);
	}
	val_set_str(&a, add, F_path, SV("/binaryData"));
	val_set(&a, add, F_value, val_get(both[1], F_binaryData));
	val_push(&a, ops, add);
	assert_null(patch_merge(&a, both[0], both[1], &err[0]));
	assert_null(patch_strategic(&a, s, both[0], both[1], &err[1]));
	assert_null(patch_json(&a, both[0], ops, &err[2]));
	assert_null(managed_apply(&a, s, both[0], both[1], &o, &err[3]));
	for (size_t i = 0; i < ARRAY_LEN(err); i++) {
		assert_int_equal(err_code(&err[i]), 413);
		assert_non_null(strstr(err_msg(&err[i]), "more than 100000 values"));
		err_release(&err[i]);
	}
	/* And what makes it smaller is taken. */
	add = doc(&a, "{'data':null}");
	val_set(&a, both[0], F_binaryData, val_get(both[1], F_binaryData));
	assert_non_null(patch_merge(&a, both[0], add, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_malformed),
		cmocka_unit_test(test_json_bomb),
		cmocka_unit_test(test_json_long_bomb),
		cmocka_unit_test(test_json_product),
		cmocka_unit_test(test_json_turns),
		cmocka_unit_test(test_json_one_by_one),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_merge_malformed),
		cmocka_unit_test(test_strategic),
		cmocka_unit_test(test_strategic_elements),
		cmocka_unit_test(test_strategic_product),
		cmocka_unit_test(test_too_many_values),
	};

	return cmocka_run_group_tests_name("patch", tests, NULL, NULL);
}
