/* Objects of which some fields are kept, and objects without their JSON. */
#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"
#include "object/keep.h"
#include "object/obj.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct val *parsed(struct arena *a, const char *text)
{
	struct err err = ERR_INIT;
	char *json = arena_strdup(a, text);
	struct val *v;

	for (char *p = json; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	v = json_decode(a, sv_from(json), NULL, &err);
	if (!v)
		fail_msg("%s", err_msg(&err));
	return v;
}

static const char *text_of(const struct val *v)
{
	static struct buf b;

	buf_clear(&b);
	json_encode(&b, v);
	for (size_t i = 0; i < b.n; i++)
		b.p[i] = b.p[i] == '"' ? '\'' : b.p[i];
	return buf_cstr(&b);
}

#define SLICE                                                                                                        \
	"{'kind':'EndpointSlice','metadata':{'name':'s','namespace':'d','uid':'u','resourceVersion':'7',"            \
	"'labels':{'kubernetes.io/service-name':'s','app':'x'},'managedFields':[{'manager':'m'}]},'addressType':"    \
	"'IPv4','endpoints':[{'addresses':['10.0.0.1'],'conditions':{'ready':true},'zone':'z','hints':{'forZones':[" \
	"{'name':'z'}]}},7,{'addresses':[],'conditions':{'ready':true}},null],'ports':[{'port':80,'name':''}]}"

static void test_keeps_what_is_named(_unused_ void **state)
{
	static const char *const some[] = { "endpoints conditions", "metadata labels kubernetes.io/service-name",
					    "ports port", "nothing here", NULL },
				 *const more[] = { "endpoints hints", "endpoints", NULL },
				 *const part[] = { "endpoints hints forZones", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *v = parsed(&a, SLICE);
	struct keep *k = keep_new();

	assert_string_equal(text_of(keep_copy(&a, k, v)), "{'metadata':{'name':'s','namespace':'d','uid':'u',"
							  "'resourceVersion':'7'}}");
	keep_add(k, some);
	assert_string_equal(text_of(keep_copy(&a, k, v)),
			    "{'metadata':{'name':'s','namespace':'d','uid':'u','resourceVersion':'7','labels':"
			    "{'kubernetes.io/service-name':'s'}},'endpoints':[{'conditions':{'ready':true}},7,"
			    "{'conditions':{'ready':true}},null],'ports':[{'port':80}]}");
	assert_true(keep_has(k, some));
	assert_false(keep_has(k, more));
	assert_false(keep_has(k, part));
	keep_add(k, more);
	assert_true(keep_has(k, more));
	assert_true(keep_has(k, part));
	assert_string_equal(text_of(val_get(keep_copy(&a, k, v), F_endpoints)), text_of(val_get(v, F_endpoints)));
	keep_unref(keep_ref(k));
	keep_unref(k);
	assert_null(keep_unref(NULL));
}

/* Does reading so of v end the process? */
static bool stopped(const struct val *v, const enum sym *path, const char *last)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		(void)close(STDERR_FILENO);
		v = val_path(v, path);
		_exit(last && val_member_sv(v, sv_from(last)) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#define PATH(...)                     \
	(const enum sym[])            \
	{                             \
		__VA_ARGS__, SYM_NONE \
	}

/* Whoever reads what is not named is told so where tests run, whether this object has it or not. */
static void test_reads_of_what_is_not_kept(_unused_ void **state)
{
	static const char *const some[] = { "endpoints conditions", "metadata labels kubernetes.io/service-name",
					    "addressType",	    "ports port",
					    "ports name",	    NULL };
	const struct {
		const enum sym *path;
		const char *last;
		bool stopped;
	} rows[] = {
		{ PATH(F_addressType), NULL, false },
		{ PATH(F_metadata, F_uid), NULL, false },
		{ PATH(F_metadata, F_deletionTimestamp), NULL, false }, /* named, and not there */
		{ PATH(F_metadata, F_labels), "kubernetes.io/service-name", false },
		{ PATH(F_metadata, F_labels), "app", true },
		{ PATH(F_metadata, F_labels), "nobody's", true },
		{ PATH(F_metadata, F_annotations), NULL, true },
		{ PATH(F_metadata, F_managedFields), NULL, true },
		{ PATH(F_status), NULL, true },
		{ PATH(F_status, F_phase), NULL, true },
	};

	for (int how = 0; how < 4; how++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct keep *k = keep_new();
		_cleanup_obj_ struct obj *o = NULL;
		const struct val *v = parsed(&a, SLICE);

		if (how) {
			keep_add(k, some);
			v = keep_copy(&a, k, v);
			o = obj_new_lean(v);
			v = how > 1 ? obj_root(o) : v;
			v = how > 2 ? val_clone(&a, v) : v;
		}
		keep_unref(k);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
#ifdef CARAVEL_KEPT_CHECKED
			assert_int_equal(stopped(v, rows[i].path, rows[i].last), how && rows[i].stopped);
#else
			assert_false(stopped(v, rows[i].path, rows[i].last));
#endif
		VAL_EACH(val_get(v, F_ports), p) {
			assert_false(stopped(p, PATH(F_port), NULL));
#ifdef CARAVEL_KEPT_CHECKED
			assert_int_equal(stopped(p, PATH(F_protocol), NULL), how > 0);
#endif
		}
		/* Below what is kept whole all is there. */
		assert_false(stopped(val_at(val_get(v, F_endpoints), 0), PATH(F_conditions, F_serving), NULL));
	}
}

static void test_lean_reads_the_same(_unused_ void **state)
{
	static const char *const texts[] = {
		SLICE,
		"{}",
		"{'metadata':{'name':'n','resourceVersion':'12345678901'},'a':[[1,2],[1,2],[1,[2]],{},{},[]],"
		"'b':[{'s':'x\\\\ny','f':1.5,'n':null,'t':true},{'s':'x\\\\ny','f':1.5,'n':null,'t':false},"
		"{'s':'','f':1.5},{'f':1.5,'s':''}],'labels':{'a.b/c':'d'}}",
		"{'l':[{'m':{'k':'v','w':[1]}},{'m':{'k':'v','w':[1]}},{'m':{'w':[1],'k':'v'}},{'m':{'k':'v'}}]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const struct val *v = parsed(&a, texts[i]);
		_cleanup_obj_ struct obj *whole = obj_new(v, 0), *lean = obj_new_lean(v);

		assert_string_equal(text_of(obj_root(lean)), text_of(v));
		assert_int_equal(obj_rev(lean), obj_rev(whole));
		assert_int_equal(obj_json(lean).n, 0);
		assert_true(sv_eq(obj_name(lean), obj_name(whole)));
		assert_true(obj_same_version(lean, whole));
		assert_true(obj_bytes(lean) <= obj_bytes(whole));
		/* Changing a copy leaves what is shared alone. */
		val_set_cstr(&a, obj_edit(&a, lean), F_kind, "Other");
		assert_string_equal(text_of(obj_root(lean)), text_of(v));
	}
}

/* The hundredth endpoint like ninety-nine others costs its address. */
static void test_lean_has_repetitions_once(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t bytes[2];

	for (unsigned n = 0; n < 2; n++) {
		struct obj *o;

		buf_clear(&b);
		buf_adds(&b, "{'endpoints':[");
		for (unsigned i = 0; i < 100 + n; i++)
			buf_printf(&b,
				   "%s{'addresses':['10.0.0.%03u'],'conditions':{'ready':true,'serving':true,"
				   "'terminating':false},'nodeName':'one'}",
				   i ? "," : "", i);
		buf_adds(&b, "]}");
		o = obj_new_lean(parsed(&a, buf_cstr(&b)));
		bytes[n] = obj_bytes(o);
		obj_unref(o);
	}
	/* A node in the list, three members and a header, a list of one and its string. */
	assert_int_equal(bytes[1] - bytes[0], 16 + (8 + 3 * 16) + (8 + 16) + strlen("10.0.0.100"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps_what_is_named),
		cmocka_unit_test(test_reads_of_what_is_not_kept),
		cmocka_unit_test(test_lean_reads_the_same),
		cmocka_unit_test(test_lean_has_repetitions_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
