/* Services of both address families: which they get, and how one comes to a second. */
#include "harness.h"

#define NS "/api/v1/namespaces/default"
#define MERGE "application/merge-patch+json"

static struct rig *dual_rig(void **state, const char *cidrs)
{
	struct rig *r = *state;

	r->service_cidr = cidrs;
	rig_restart(r);
	return r;
}

#define DUAL_SPEC(more) "\"spec\":{" more "\"ports\":[{\"port\":80}]}"
#define DUAL(name, more) "{\"metadata\":{\"name\":\"" name "\"}," DUAL_SPEC(more) "}"

/* "SingleStack IPv4=10.43.0.9 IPv6=..." */
static const char *stacks(struct rig *r, const struct val *svc)
{
	const struct val *spec = val_get(svc, F_spec), *families = val_get(spec, F_ipFamilies);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t i = 0;

	buf_addsv(&b, val_get_str(spec, F_ipFamilyPolicy));
	VAL_EACH(families, f) {
		struct sv ip = val_str(val_at(val_get(spec, F_clusterIPs), i++)), shown = ip;

		if (sv_starts(ip, SV("10.43.")))
			shown = SV("10.43.");
		else if (sv_starts(ip, SV("fd43::")))
			shown = SV("fd43::");
		buf_printf(&b, " %.*s=%.*s", SV_ARG(val_str(f)), SV_ARG(shown));
	}
	return arena_cstr(&r->arena, buf_sv(&b));
}

static void test_dual_stack(void **state)
{
	struct rig *r = dual_rig(state, "10.43.0.0/16,fd43::/112");
	const struct val *s, *again;

	s = expect(r, 201, "POST", NS "/services", DUAL("a", ""));
	assert_string_equal(stacks(r, s), "SingleStack IPv4=10.43.");
	/* Up and down again: the first address stays, the second comes and goes. */
	s = expect_type(r, 200, "PATCH", NS "/services/a", MERGE,
			"{\"spec\":{\"ipFamilyPolicy\":\"PreferDualStack\"}}");
	assert_string_equal(stacks(r, s), "PreferDualStack IPv4=10.43. IPv6=fd43::");
	again = expect_type(r, 200, "PATCH", NS "/services/a", MERGE, "{\"spec\":{\"selector\":{\"x\":\"y\"}}}");
	assert_true(val_equal(val_get(s, F_spec, F_clusterIPs), val_get(again, F_spec, F_clusterIPs)));
	expect_status(r, 422, "Invalid", "must be 'SingleStack' to release the secondary cluster IP",
		      &(struct ask){ .method = "PATCH",
				     .path = NS "/services/a",
				     .body = arena_printf(&r->arena, "{\"spec\":{\"clusterIPs\":[\"%.*s\"]}}",
							  SV_ARG(val_get_str(s, F_spec, F_clusterIP))),
				     .type = MERGE });
	again =
	    expect_type(r, 200, "PATCH", NS "/services/a", MERGE, "{\"spec\":{\"ipFamilyPolicy\":\"SingleStack\"}}");
	assert_string_equal(stacks(r, again), "SingleStack IPv4=10.43.");
	/* What was given back is free again. */
	again = expect(r, 201, "POST", NS "/services",
		       arena_printf(&r->arena, DUAL("b", "\"clusterIP\":\"%.*s\","),
				    SV_ARG(val_str(val_at(val_get(s, F_spec, F_clusterIPs), 1)))));
	assert_string_equal(stacks(r, again), "SingleStack IPv6=fd43::");
	expect_status(
	    r, 422, "Invalid", "provided IP is already allocated",
	    &(struct ask){ .method = "POST",
			   .path = NS "/services",
			   .body = arena_printf(&r->arena, DUAL("c", "\"clusterIP\":\"%.*s\","),
						SV_ARG(val_str(val_at(val_get(s, F_spec, F_clusterIPs), 1)))) });

	s = expect(r, 201, "POST", NS "/services",
		   DUAL("d", "\"ipFamilyPolicy\":\"RequireDualStack\",\"ipFamilies\":[\"IPv6\"],"));
	assert_string_equal(stacks(r, s), "RequireDualStack IPv6=fd43:: IPv4=10.43.");
	s = expect(r, 201, "POST", NS "/services",
		   DUAL("e", "\"ipFamilyPolicy\":\"PreferDualStack\",\"clusterIP\":\"fd43::77\",\"clusterIPs\":[\"fd43:"
			     ":77\",\"10.43.7.7\"],"));
	assert_string_equal(stacks(r, s), "PreferDualStack IPv6=fd43:: IPv4=10.43.");
	assert_val(val_get(s, F_spec, F_clusterIP), "fd43::77");
	s = expect(
	    r, 201, "POST", NS "/services",
	    DUAL("f", "\"clusterIP\":\"None\",\"selector\":{\"a\":\"b\"},\"ipFamilyPolicy\":\"PreferDualStack\","));
	assert_string_equal(stacks(r, s), "PreferDualStack IPv4=None IPv6=");
	s = expect(r, 201, "POST", NS "/services", DUAL("g", "\"clusterIP\":\"None\","));
	assert_string_equal(stacks(r, s), "RequireDualStack IPv4=None IPv6=");
	expect_status(
	    r, 422, "Invalid", "must be RequireDualStack or PreferDualStack when multiple IP families are specified",
	    &(struct ask){
		.method = "POST", .path = NS "/services", .body = DUAL("h", "\"ipFamilies\":[\"IPv6\",\"IPv4\"],") });
	expect_status(
	    r, 422, "Invalid", "the provided network does not match the current range",
	    &(struct ask){ .method = "POST", .path = NS "/services", .body = DUAL("h", "\"clusterIP\":\"fd99::1\",") });
	/* From ExternalName to addresses of both. */
	expect(r, 201, "POST", NS "/services",
	       "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"a.b\"}}");
	s = expect_type(r, 200, "PATCH", NS "/services/x", MERGE,
			"{\"spec\":{\"type\":\"ClusterIP\",\"externalName\":null,\"ports\":[{\"port\":80}],"
			"\"ipFamilyPolicy\":\"RequireDualStack\"}}");
	assert_string_equal(stacks(r, s), "RequireDualStack IPv4=10.43. IPv6=fd43::");
}

static void test_ipv6_only(void **state)
{
	struct rig *r = dual_rig(state, "fd43::/108");
	const struct val *s;

	s = expect(r, 201, "POST", NS "/services", DUAL("a", "\"ipFamilyPolicy\":\"PreferDualStack\","));
	assert_string_equal(stacks(r, s), "PreferDualStack IPv6=fd43::");
	expect_status(r, 422, "Invalid",
		      "spec.clusterIPs[0]: Invalid value: [\"10.43.0.9\"]: IPv4 is not configured on "
		      "this cluster",
		      &(struct ask){ .method = "POST",
				     .path = NS "/services",
				     .body = DUAL("b", "\"clusterIP\":\"10.43.0.9\",") });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dual_stack, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_ipv6_only, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("families", tests, NULL, NULL);
}
