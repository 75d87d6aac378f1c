/* What is too large, too deep or takes too long ends with words, and soon. */
#include "cel_test.h"

#include <pthread.h>

static struct sv repeat(struct arena *a, const char *before, const char *part, size_t n, const char *after)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, before);
	for (size_t i = 0; i < n; i++)
		buf_adds(&b, part);
	buf_adds(&b, after);
	return arena_sv(a, buf_sv(&b));
}

static void refused(struct test_env *t, struct sv text, const char *words)
{
	struct cel_issues issues = CEL_ISSUES(&t->a);
	struct cel_program *p = cel_compile(&t->env, text, &issues);

	assert_null(p);
	assert_true(issues.n > 0);
	if (!sv_starts(issues.p[0].message, sv_from(words)))
		fail_msg("%.*s", SV_ARG(issues.p[0].message));
}

static void test_too_deep(void **state)
{
	struct test_env t;
	struct sv open;

	(void)state;
	test_env_init(&t);
	open = repeat(&t.a, "", "(", 300, "1");
	refused(&t, repeat(&t.a, open.p, ")", 300, ""), "expression recursion limit exceeded: 250");
	refused(&t, repeat(&t.a, "1", "+1", 300, ""), "expression recursion limit exceeded: 250");
	refused(&t, repeat(&t.a, "any", ".a", 300, ""), "expression recursion limit exceeded: 250");
	refused(&t, repeat(&t.a, "any", "[0]", 300, ""), "expression recursion limit exceeded: 250");
	refused(&t, repeat(&t.a, "", "[", 5000, ""), "expression recursion limit exceeded: 250");
	refused(&t, repeat(&t.a, "", "true ? 1 : ", 300, "1"), "expression recursion limit exceeded: 250");
	refused(&t, repeat(&t.a, "[1]", ".map(x, x)", 260, ""), "expression recursion limit exceeded: 250");
	refused(&t, repeat(&t.a, "", " ", CEL_TEXT_MAX, "1"),
		"expression code point size exceeds limit: size: 102401, limit 102400");
	refused(&t, SV("'\xff'"), "expression is not valid UTF-8");
	arena_release(&t.a);
}

/* The stack of a worker thread; instrumented code takes several times as much. */
#ifdef __SANITIZE_ADDRESS__
#define STACK_BYTES ((size_t)4096 * 1024)
#else
#define STACK_BYTES ((size_t)512 * 1024)
#endif

static void *run_deep(void *ctx)
{
	static const char *const nest[][3] = { { "(", "1", ")" },	    { "!(", "true", ")" },
					       { "[", "n", "]" },	    { "{1: ", "n", "}" },
					       { "dyn(", "n", ")" },	    { "(n > 1 ? ", "n", " : n)" },
					       { "[n].map(x, ", "x", ")" }, { "[1][", "0", "] - 1" } };
	struct test_env *t = ctx;

	for (size_t i = 0; i < ARRAY_LEN(nest); i++)
		for (size_t n = 10; n <= 250; n += 10) {
			struct sv open = repeat(&t->a, "", nest[i][0], n, nest[i][1]);

			test_run(t, repeat(&t->a, open.p, nest[i][2], n, "").p, NULL);
		}
	return NULL;
}

static void test_stack(void **state)
{
	struct test_env t;
	pthread_attr_t attr;
	pthread_t thread;

	(void)state;
	test_env_init(&t);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, STACK_BYTES), 0);
	assert_int_equal(pthread_create(&thread, &attr, run_deep, &t), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
	arena_release(&t.a);
}

/* A macro that repeats what it stands on must not double the work with each of itself. */
static void test_doubling(void **state)
{
	struct test_env t;

	(void)state;
	test_env_init(&t);
	refused(&t, repeat(&t.a, "optional.of(1)", ".optMap(x, x)", 40, ""), "expression node limit exceeded: 100000");
	/* types that share their parts are walked as trees */
	assert_sv(test_run(&t, repeat(&t.a, "[[1]]", ".map(x, {x: x})", 20, ".size()").p, NULL), "1");
	arena_release(&t.a);
}

static void test_long_logic(void **state)
{
	struct test_env t;

	(void)state;
	test_env_init(&t);
	assert_sv(test_run(&t, repeat(&t.a, "true", " && true", 2000, "").p, NULL), "true");
	assert_sv(test_run(&t, repeat(&t.a, "false", " || n == 5", 2000, "").p, NULL), "true");
	arena_release(&t.a);
}

static void test_cost_limit(void **state)
{
	struct test_env t;
	struct cel_issues issues;
	_cleanup_(cel_program_unrefp) struct cel_program *p = NULL;
	struct cel_run run;
	struct cel_value v;
	uint64_t budget = 30;

	(void)state;
	test_env_init(&t);
	issues = CEL_ISSUES(&t.a);
	p = cel_compile(&t.env, SV("[1, 2, 3].all(x, x > 0)"), &issues);
	assert_non_null(p);
	run = (struct cel_run){ .arena = &t.a, .vars = t.values, .limit = 16, .budget = &budget };
	assert_int_equal(cel_eval(p, &run, &v), CEL_DONE);
	assert_int_equal(budget, 14);
	run.limit = 15;
	assert_int_equal(cel_eval(p, &run, &v), CEL_TOO_COSTLY); /* what is left is 14 */
	assert_sv(run.error,
		  "validation failed due to running out of cost budget, no further validation rules will be run");
	assert_int_equal(budget, 0);
	run.budget = NULL;
	assert_int_equal(cel_eval(p, &run, &v), CEL_TOO_COSTLY);
	assert_sv(run.error, "operation cancelled: actual cost limit exceeded");
	arena_release(&t.a);
}

static bool say_stop(void *ctx)
{
	++*(int *)ctx;
	return true;
}

static void test_interrupted(void **state)
{
	struct test_env t;
	struct cel_issues issues;
	_cleanup_(cel_program_unrefp) struct cel_program *p = NULL;
	struct cel_run run;
	struct cel_value v;
	int asked = 0;

	(void)state;
	test_env_init(&t);
	issues = CEL_ISSUES(&t.a);
	p = cel_compile(&t.env, SV("lists.range(1000).all(x, x >= 0)"), &issues);
	assert_non_null(p);
	run = (struct cel_run){ .arena = &t.a, .vars = t.values, .interrupted = say_stop, .interrupted_ctx = &asked };
	assert_int_equal(cel_eval(p, &run, &v), CEL_INTERRUPTED);
	assert_int_equal(asked, 1);
	arena_release(&t.a);
}

/* Upstream counts little for comparing what is large within: the work has a bound of its own. */
static void test_hidden_work(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct test_env t;

	(void)state;
	test_env_init(&t);
	buf_adds(&b, "{\"l\":[[0");
	for (int i = 1; i < 50000; i++)
		buf_printf(&b, ",%d", i);
	buf_adds(&b, "]],\"r\":[0");
	for (int i = 1; i < 20000; i++)
		buf_printf(&b, ",%d", i);
	buf_adds(&b, "]}");
	t.values[VAR_ANY] = cel_from_doc(&t.a, test_doc(&t.a, buf_cstr(&b)), NULL);
	assert_sv(test_run(&t, "any.l == any.l", NULL), "true");
	assert_sv(test_run(&t, "any.r.all(x, any.l == any.l)", NULL),
		  "error: operation cancelled: actual cost limit exceeded");
	/* lists are joined for nothing, and so they are */
	assert_sv(test_run(&t, "any.r.all(x, (any.r + any.r).size() > 1)", NULL), "true");
	arena_release(&t.a);
}

/* A loop that looks up each key of a large map is linear. */
static void test_large_map(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct test_env t;

	(void)state;
	test_env_init(&t);
	buf_adds(&b, "{\"k0\":0");
	for (int i = 1; i < 50000; i++)
		buf_printf(&b, ",\"k%d\":%d", i, i);
	buf_adds(&b, "}");
	t.values[VAR_ANY] = cel_from_doc(&t.a, test_doc(&t.a, buf_cstr(&b)), NULL);
	assert_sv(test_run(&t, "any.all(k, any[k] >= 0)", NULL), "true");
	assert_sv(test_run(&t, "any == any", NULL), "true");
	arena_release(&t.a);
}

static void test_strings_grow(void **state)
{
	struct test_env t;

	(void)state;
	test_env_init(&t);
	t.values[VAR_S] = cel_string(repeat(&t.a, "", "0123456789abcdef", 65536, ""));
	assert_sv(test_run(&t, "lists.range(1000).map(i, s + s).size() > 0", NULL),
		  "error: operation cancelled: actual cost limit exceeded");
	arena_release(&t.a);
}

/* Programs keep nothing of what they were made with. */
static void test_program_alone(void **state)
{
	_cleanup_(arena_release) struct arena run_arena = ARENA_INIT;
	struct test_env t;
	struct cel_issues issues;
	_cleanup_(cel_program_unrefp) struct cel_program *p = NULL, *second = NULL;
	struct cel_value in[N_VARS] = { [VAR_N] = cel_int(2) }, v;
	struct cel_run run = { .arena = &run_arena, .vars = in };
	char text[] = "{'a': ['x', 'y'], 'b': ['z']}.transformMap(k, v, v + [string(n)])";

	(void)state;
	test_env_init(&t);
	issues = CEL_ISSUES(&t.a);
	p = cel_compile(&t.env, sv_from(text), &issues);
	assert_non_null(p);
	arena_release(&t.a);
	memset(text, 'X', sizeof(text));
	memset(&t, 0, sizeof(t));
	assert_sv(cel_program_type(p), "map(string, list(string))");
	assert_int_equal(cel_program_kind(p), CEL_MAP);
	assert_int_equal(cel_program_result(p)->params[1]->params[0]->kind, CEL_STRING);
	assert_true(cel_program_uses(p, VAR_N));
	assert_false(cel_program_uses(p, VAR_SELF));
	assert_int_equal(cel_eval(p, &run, &v), CEL_DONE);
	assert_sv(test_text(&run_arena, &v), "{\"a\":[\"x\",\"y\",\"2\"],\"b\":[\"z\",\"2\"]}");
	second = cel_program_ref(p);
	assert_ptr_equal(second, p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_deep),     cmocka_unit_test(test_stack),
		cmocka_unit_test(test_doubling),     cmocka_unit_test(test_long_logic),
		cmocka_unit_test(test_cost_limit),   cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_hidden_work),  cmocka_unit_test(test_large_map),
		cmocka_unit_test(test_strings_grow), cmocka_unit_test(test_program_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
