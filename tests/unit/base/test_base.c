#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/vec.h"

#include <errno.h>
#include <stdlib.h>

static void test_sv(void **state)
{
	struct sv rest = SV("a,b,,c"), head;
	char tmp[U64_TEXT_MAX];
	int64_t v;

	(void)state;
	assert_true(sv_split(&rest, ',', &head));
	assert_sv(head, "a");
	assert_true(sv_split(&rest, ',', &head));
	assert_true(sv_split(&rest, ',', &head));
	assert_int_equal(head.n, 0);
	assert_true(sv_split(&rest, ',', &head));
	assert_sv(head, "c");
	assert_false(sv_split(&rest, ',', &head));
	assert_true(sv_to_i64(SV("-9223372036854775808"), &v));
	assert_true(v == INT64_MIN);
	assert_false(sv_to_i64(SV("9223372036854775808"), &v));
	assert_false(sv_to_i64(SV("-"), &v));
	assert_false(sv_to_i64(SV("1x"), &v));
	assert_sv(u64_text(0, tmp), "0");
	assert_sv(u64_text(10, tmp), "10");
	assert_sv(u64_text(UINT64_MAX, tmp), "18446744073709551615");
	assert_true(sv_is_true(SV("1")) && sv_is_true(SV("t")) && sv_is_true(SV("T")));
	assert_true(sv_is_true(SV("true")) && sv_is_true(SV("True")) && sv_is_true(SV("TRUE")));
	assert_false(sv_is_true(SV("")) || sv_is_true(SV("0")) || sv_is_true(SV("tRUE")) || sv_is_true(SV("yes")));
	assert_sv(sv_trim(SV(" \t x y \n")), "x y");
	assert_int_equal(sv_find_sv(SV("hello"), SV("lo")), 3);
}

static void test_buf_limit(void **state)
{
	_cleanup_(buf_release) struct buf b = { .limit = 5 };

	(void)state;
	buf_adds(&b, "abc");
	buf_adds(&b, "def");
	assert_true(b.overflow);
	assert_sv(buf_sv(&b), "abc");
	buf_clear(&b);
	buf_addi64(&b, -42);
	assert_sv(buf_sv(&b), "-42");
}

static void test_buf_printf(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, limited = { .limit = 4 };
	char *four;

	(void)state;
	for (int i = 0; i < 40; i++) { /* fits into the room at hand, or does not */
		size_t mark = b.n;

		buf_printf(&b, "%0*d", i, 7);
		assert_int_equal(b.n - mark, MAX(i, 1));
		assert_int_equal(b.p[b.n - 1], '7');
		assert_int_equal(b.p[b.n], '\0');
	}
	buf_clear(&b);
	four = buf_extend(&b, 4);
	memcpy(four, "four", 4);
	buf_printf(&b, "%s", "");
	assert_string_equal(buf_cstr(&b), "four");
	/* What the limit refuses leaves no trace. */
	buf_adds(&limited, "ab");
	buf_printf(&limited, "%d", 123);
	assert_true(limited.overflow);
	assert_null(buf_extend(&limited, 1));
	assert_string_equal(buf_cstr(&limited), "ab");
}

static int deferred;

static void count(void *p)
{
	deferred = deferred * 10 + *(int *)p;
}

static void test_arena(void **state)
{
	struct arena a = ARENA_INIT;
	struct sv none = SV_NULL;
	int one = 1, two = 2;

	(void)state;
	for (size_t i = 0; i < 2000; i++)
		memset(arena_alloc(&a, i), 0xaa, i);
	arena_defer(&a, count, &one);
	arena_defer(&a, count, &two);
	arena_reset(&a);
	assert_int_equal(deferred, 21);
	assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	assert_string_equal(arena_printf(&a, "a%sb%.*sc", "x", 2, "yyz"), "axbyyc");
	assert_string_equal(arena_printf(&a, "%s%.*s%.*s", "", SV_ARG(none), 9, "z"), "z");
	assert_string_equal(arena_printf(&a, "%.*s%%%s %.2s", 3, "abcd", "e", "fgh"), "abc%e fg");
	assert_string_equal(arena_printf(&a, "%s", ""), "");
	for (int i = 0; i < 10000; i++) { /* over the ends of blocks */
		char *text =
		    arena_printf(&a, "%s/%.*s", "0123456789", i % 40, "0123456789012345678901234567890123456789");

		assert_int_equal(strlen(text), 11 + i % 40);
	}
	arena_release(&a);
}

static void test_err(void **state)
{
	_cleanup_(err_release) struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&e, ERR_CONFLICT, "x %d", 1), -1);
	err_wrap(&e, "while %s", "y");
	assert_string_equal(err_msg(&e), "while y: x 1");
	assert_int_equal(err_code(&e), 409);
	assert_true(err_retryable(&e));
	for (int r = ERR_NONE + 1; r < ERR_UNKNOWN; r++) /* the last one has no name */
		assert_int_equal(err_reason_from(sv_from(err_reason_name((enum err_reason)r))), r);
}

/* A copy says all that the original says; nothing of it is the original's. */
static void test_err_copy(void **state)
{
	struct err from = ERR_INIT;
	_cleanup_(err_release) struct err to = ERR_INIT, none = ERR_INIT;

	(void)state;
	assert_int_equal(err_copy(&none, &from), -1);
	assert_int_equal(none.reason, ERR_NONE);
	err_set_errno(&from, ENOSPC, "writing");
	from.code = 507;
	from.retry_after_s = 3;
	err_add_cause(&from, "FieldValueInvalid", SV("spec.x"), "bad %d", 1);
	err_add_cause(&from, "Other", SV_NULL, "%s", "worse");
	err_set_object(&from, SV("apps"), SV("deployments"), SV("web"));
	from.uid = xstrdup("u1");
	err_copy(&to, &from);
	err_copy(NULL, &from);
	err_release(&from);
	assert_int_equal(to.reason, ERR_INTERNAL);
	assert_int_equal(to.errnum, ENOSPC);
	assert_int_equal(err_code(&to), 507);
	assert_int_equal(to.retry_after_s, 3);
	assert_string_equal(err_msg(&to), "writing: No space left on device");
	assert_int_equal(to.n_causes, 2);
	assert_string_equal(to.causes[0].field, "spec.x");
	assert_string_equal(to.causes[0].message, "bad 1");
	assert_null(to.causes[1].field);
	assert_string_equal(to.group, "apps");
	assert_string_equal(to.name, "web");
	assert_string_equal(to.uid, "u1");
}

struct item {
	int v;
	size_t at;
};

static bool item_less(const void *a, const void *b)
{
	return ((const struct item *)a)->v < ((const struct item *)b)->v;
}

static void test_heap(void **state)
{
	struct heap h;
	struct item items[64];
	int last = -1;

	(void)state;
	heap_init(&h, offsetof(struct item, at), item_less);
	for (int i = 0; i < 64; i++) {
		items[i].v = i * 37 % 64;
		heap_push(&h, &items[i]);
	}
	heap_remove(&h, &items[10]);
	items[20].v = 100;
	heap_fix(&h, &items[20]);
	for (int i = 0; i < 63; i++) {
		struct item *it = heap_pop(&h);

		assert_true(it->v > last);
		assert_true(it != &items[10]);
		last = it->v;
	}
	assert_int_equal(last, 100);
	assert_null(heap_pop(&h));
	heap_release(&h);
}

static void test_vec(void **state)
{
	VEC(int) v = VEC_INIT;

	(void)state;
	for (int i = 0; i < 10000; i++)
		vec_push(&v, i);
	while (v.n > 3) {
		vec_remove_swap(&v, 3);
		vec_tighten(&v);
	}
	assert_true(v.cap <= 64);
	for (int i = 0; i < 3; i++)
		assert_int_equal(v.p[i], i);
	for (int i = 3; i < 100; i++)
		vec_push(&v, i);
	vec_tighten(&v); /* what is in use stays */
	assert_true(v.cap >= 100);
	assert_int_equal(v.p[99], 99);
	vec_release(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sv),    cmocka_unit_test(test_buf_limit), cmocka_unit_test(test_buf_printf),
		cmocka_unit_test(test_arena), cmocka_unit_test(test_err),	cmocka_unit_test(test_err_copy),
		cmocka_unit_test(test_heap),  cmocka_unit_test(test_vec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
