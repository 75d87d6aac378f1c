#include "kit.h"

#include "codec/pbwire.h"

static void test_round_trip(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char big[300];
	size_t m, n;
	struct sv s, inner;

	(void)state;
	memset(big, 'x', sizeof(big));
	pb_sv(&b, 1, SV("name"));
	pb_sv(&b, 2, SV("")); /* left out */
	pb_u64(&b, 3, 300);
	pb_i64(&b, 4, -1);
	pb_bool(&b, 5, true);
	pb_map_entry(&b, 6, SV("k"), SV("v"));
	m = pb_open(&b, 7); /* longer than one byte of length */
	n = pb_open(&b, 1);
	pb_sv(&b, 2, sv_make(big, sizeof(big)));
	pb_close(&b, n);
	pb_sv_elem(&b, 3, SV(""));
	pb_close(&b, m);
	s = buf_sv(&b);
	assert_true(pb_valid(s));
	assert_sv(pb_get_sv(s, 1), "name");
	assert_int_equal(pb_get_u64(s, 3), 300);
	assert_true((int64_t)pb_get_u64(s, 4) == -1);
	assert_int_equal(pb_get_u64(s, 5), 1);
	assert_sv(pb_get_sv(pb_get_sv(s, 6), 2), "v");
	inner = pb_get_sv(s, 7);
	assert_true(pb_valid(inner));
	assert_int_equal(pb_get_sv(pb_get_sv(inner, 1), 2).n, sizeof(big));
	/* Known bytes: {1: "name"} and {3: 300}. */
	assert_memory_equal(s.p, "\x0a\x04name\x18\xac\x02", 9);
}

static void test_malformed(void **state)
{
	static const struct sv bad[] = {
		SV("\x0a"),	    SV("\x0a\x05x"), SV("\x08"),
		SV("\x08\x80"),	    SV("\x0b"),	     SV("\x02\x00"),
		SV("\x0d\x01\x02"), SV("\x09\x01"),  SV("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	};

	(void)state;
	assert_true(pb_valid(SV("")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(pb_valid(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trip), cmocka_unit_test(test_malformed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
