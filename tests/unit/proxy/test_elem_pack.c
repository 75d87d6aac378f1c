/* Whatever elements there are come back, and the usual ones take little. */
#include "unit.h"

#include "proxy/elem_pack.h"

#include <stdlib.h>

static uint32_t seed = 7;

static uint32_t any(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static struct ip_addr any_addr(void)
{
	struct ip_addr a = IP_NONE;

	switch (any(4)) {
	case 0:
		return ip_v4(0x0a2a0000 + any(4));
	case 1:
		return ip_v4(0);
	case 2:
		for (size_t i = 0; i < sizeof(a.b); i++)
			a.b[i] = (uint8_t)any(256);
		return a;
	default:
		return IP_NONE;
	}
}

static struct elem any_elem(void)
{
	static const uint64_t vals[] = { 0, 8080, UINT64_MAX, 1 };

	return (struct elem){ .addr = any_addr(),
			      .other = any_addr(),
			      .idx = any(3) ? any(3) : ELEM_INSIDE_BASE + any(2),
			      .port = (uint16_t)any(3),
			      .proto = (uint8_t)any(3),
			      .table = (uint8_t)any(2 * _ELEM_TABLE_MAX),
			      .val = vals[any(4)] };
}

static bool same(const struct elem *a, const struct elem *b)
{
	return elem_cmp_key(a, b) == 0 && elem_same_value(a, b) && a->idx == b->idx && ip_eq(a->other, b->other);
}

static void test_comes_back(_unused_ void **state)
{
	for (unsigned round = 0; round < 2000; round++) {
		struct elems in = { VEC_INIT }, out = { VEC_INIT };
		struct elem_pack p;
		unsigned n = any(12);

		for (unsigned i = 0; i < n; i++)
			vec_push(&in.v, any_elem());
		if (any(2))
			elems_sort(&in);
		elem_pack(&p, &in);
		elem_unpack(&out, &p);
		assert_int_equal(out.v.n, in.v.n);
		for (size_t i = 0; i < in.v.n; i++)
			assert_true(same(&in.v.p[i], &out.v.p[i]));
		elem_pack_release(&p);
		vec_release(&in.v);
		vec_release(&out.v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_comes_back) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
