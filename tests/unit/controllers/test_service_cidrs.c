/* ServiceCIDRs and IPAddresses on the real API server with its controllers: where Services get addresses from, who has
 * which, when a range may go. */
#include "real.h"

#include "apiserver/registry/kinds/kinds.h"
#include "controllers/podutil.h"
#include "object/condition.h"

#define MERGE "application/merge-patch+json"
#define NETWORKING "/apis/networking.k8s.io/v1"
#define CIDRS NETWORKING "/servicecidrs"
#define IPS NETWORKING "/ipaddresses"
#define SERVICES "/api/v1/namespaces/default/services"
#define FINALIZER "networking.k8s.io/service-cidr-finalizer"

static const char *service(struct rig *r, const char *name, const char *more)
{
	return arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{%s\"ports\":[{\"port\":80}]}}", name,
			    more);
}

static void make_cidr(struct rig *r, const char *name, const char *cidrs)
{
	expect(r, 201, "POST", CIDRS,
	       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"cidrs\":[%s]}}", name, cidrs));
}

static const struct val *ready_of(struct rig *r, const char *name)
{
	const struct val *o = expect(r, 200, "GET", arena_printf(&r->arena, CIDRS "/%s", name), NULL);
	const struct val *cond = condition_find(val_get(o, F_status, F_conditions), "Ready");

	assert_non_null(cond);
	assert_val(val_at(val_get(o, F_metadata, F_finalizers), 0), FINALIZER);
	return cond;
}

static void refused(struct rig *r, const char *name, const char *ip, const char *part)
{
	expect_status(r, 422, "Invalid", part,
		      &(struct ask){ .method = "POST",
				     .path = SERVICES,
				     .body = service(r, name, arena_printf(&r->arena, "\"clusterIP\":\"%s\",", ip)) });
}

static void test_cidr_default(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *o;

	cluster_run(&k, 2);
	o = ready_of(r, "kubernetes");
	assert_val(val_get(o, F_status), "True");
	assert_val(val_get(o, F_message), "Kubernetes Service CIDR is ready");
	o = expect(r, 200, "GET", CIDRS "/kubernetes", NULL);
	assert_val(val_at(val_get(o, F_spec, F_cidrs), 0), "10.43.0.0/16");
	/* The address of the API server's own Service, and that of any other. */
	o = expect(r, 200, "GET", IPS "/10.43.0.1", NULL);
	assert_val(val_get(o, F_spec, F_parentRef, F_resource), "services");
	assert_val(val_get(o, F_spec, F_parentRef, F_name), "kubernetes");
	assert_val(val_get(o, F_spec, F_parentRef, F_namespace), "default");
	assert_sv(label_of(o, "ipaddress.kubernetes.io/managed-by"), "ipallocator.k8s.io");
	assert_sv(label_of(o, "ipaddress.kubernetes.io/ip-family"), "IPv4");
	assert_true(val_get_str(o, F_metadata, F_uid).n > 0);
	expect(r, 201, "POST", SERVICES, service(r, "web", "\"clusterIP\":\"10.43.7.9\","));
	o = expect(r, 200, "GET", IPS "/10.43.7.9", NULL);
	assert_val(val_get(o, F_spec, F_parentRef, F_name), "web");
	o = expect(r, 200, "GET", IPS "?labelSelector=ipaddress.kubernetes.io/managed-by%3Dipallocator.k8s.io", NULL);
	assert_true(val_len(val_get(o, F_items)) >= 2);
	expect(r, 200, "DELETE", SERVICES "/web", NULL);
	expect(r, 404, "GET", IPS "/10.43.7.9", NULL);
	/* Nothing goes on. */
	int64_t rev = obj_rev(obj_link(&r->arena, obj_new(expect(r, 200, "GET", CIDRS "/kubernetes", NULL), 0)));

	cluster_run(&k, 30);
	assert_int_equal(obj_rev(obj_link(&r->arena, obj_new(expect(r, 200, "GET", CIDRS "/kubernetes", NULL), 0))),
			 rev);
	/* It stays while the API server's own address is in it. */
	expect(r, 200, "DELETE", CIDRS "/kubernetes", NULL);
	cluster_run(&k, 60);
	assert_val(val_get(ready_of(r, "kubernetes"), F_reason), "Terminating");
	cluster_finish(&k);
}

/* A full range, another one, which cannot go while it is used. */
static void test_cidr_second(void **state)
{
	struct rig *first = *state;
	struct cluster k;
	struct rig *r;
	const struct val *o;
	size_t made = 0;

	rig_range(first, "10.43.0.0/28");
	k = cluster_start(state);
	r = k.rig;
	cluster_run(&k, 2);
	refused(r, "early", "10.99.0.5",
		"failed to allocate IP 10.99.0.5: the provided network does not match the current range");
	refused(r, "early", "10.43.0.15",
		"the provided IP (10.43.0.15) is not in the valid range. The range of valid IPs "
		"is 10.43.0.0/28");
	for (int i = 0; i < 20; i++) {
		struct answer *a = api(r, "POST", SERVICES, .body = service(r, arena_printf(&r->arena, "s%d", i), ""));

		made += a->code == 201;
		answer_free(a);
	}
	assert_int_equal(made, 13);
	make_cidr(r, "more", "\"10.99.0.0/28\"");
	cluster_run(&k, 2);
	assert_val(val_get(ready_of(r, "more"), F_status), "True");
	o = expect(r, 201, "POST", SERVICES, service(r, "over", ""));
	assert_true(sv_starts(val_get_str(o, F_spec, F_clusterIP), SV("10.99.0.")));
	/* Deleted, it gives nothing any more, and waits for what it has given. */
	expect(r, 200, "DELETE", CIDRS "/more", NULL);
	expect(r, 500, "POST", SERVICES, service(r, "late", ""));
	cluster_run(&k, 60);
	o = ready_of(r, "more");
	assert_val(val_get(o, F_status), "False");
	assert_val(val_get(o, F_reason), "Terminating");
	assert_true(
	    sv_starts(val_get_str(o, F_message), SV("There are still IPAddresses referencing the ServiceCIDR")));
	expect(r, 200, "DELETE", SERVICES "/over", NULL);
	cluster_run(&k, 3);
	expect(r, 404, "GET", CIDRS "/more", NULL);
	/* Just deleted and unused: it goes when everybody has heard of it. */
	make_cidr(r, "more", "\"10.99.0.0/28\"");
	cluster_run(&k, 2);
	expect(r, 200, "DELETE", CIDRS "/more", NULL);
	cluster_run(&k, 7);
	expect(r, 200, "GET", CIDRS "/more", NULL);
	cluster_run(&k, 5);
	expect(r, 404, "GET", CIDRS "/more", NULL);
	cluster_finish(&k);
}

/* Ranges may overlap; what another one has, too, is in nobody's way. */
static void test_cidr_overlap(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	make_cidr(r, "small", "\"10.99.0.0/28\"");
	cluster_run(&k, 2);
	expect(r, 201, "POST", SERVICES, service(r, "web", "\"clusterIP\":\"10.99.0.5\","));
	expect(r, 200, "DELETE", CIDRS "/small", NULL);
	cluster_run(&k, 20);
	assert_val(val_get(ready_of(r, "small"), F_status), "False");
	make_cidr(r, "large", "\"10.99.0.0/24\"");
	cluster_run(&k, 3);
	expect(r, 404, "GET", CIDRS "/small", NULL);
	refused(r, "again", "10.99.0.5", "provided IP is already allocated");
	/* A family that the cluster has not is not given; who says that one is not ready is corrected. */
	make_cidr(r, "six", "\"fd99::/112\"");
	cluster_run(&k, 2);
	refused(r, "six", "fd99::5", "IPv6 is not configured on this cluster");
	expect_type(
	    r, 200, "PATCH", CIDRS "/large/status", MERGE,
	    "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\"X\",\"message\":"
	    "\"\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}");
	cluster_run(&k, 2); /* the controller says that it is */
	expect(r, 201, "POST", SERVICES, service(r, "awake", "\"clusterIP\":\"10.99.0.6\","));
	cluster_finish(&k);
}

/* IPAddresses that somebody else makes, takes away or changes. */
static void test_cidr_addresses(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *o;

	cluster_run(&k, 2);
	expect(r, 201, "POST", IPS,
	       "{\"metadata\":{\"name\":\"10.43.7.7\"},\"spec\":{\"parentRef\":{\"group\":\"example.com\",\"resource\":"
	       "\"gateways\",\"name\":\"edge\",\"namespace\":\"default\"}}}");
	refused(r, "web", "10.43.7.7", "provided IP is already allocated");
	expect_status(r, 409, "AlreadyExists", "",
		      &(struct ask){ .method = "POST",
				     .path = IPS,
				     .body = "{\"metadata\":{\"name\":\"10.43.0.1\"},\"spec\":{\"parentRef\":{"
					     "\"resource\":\"services\",\"name\":\"x\",\"namespace\":\"default\"}}}" });
	expect_status(r, 422, "Invalid", "must be a valid IP address in canonical form",
		      &(struct ask){ .method = "POST",
				     .path = IPS,
				     .body = "{\"metadata\":{\"name\":\"fd00:0::1\"},\"spec\":{\"parentRef\":{"
					     "\"resource\":\"services\",\"name\":\"x\",\"namespace\":\"default\"}}}" });
	expect(r, 200, "DELETE", IPS "/10.43.7.7", NULL);
	expect(r, 201, "POST", SERVICES, service(r, "web", "\"clusterIP\":\"10.43.7.7\","));
	/* Taken away from its Service it is still taken, and comes back. */
	expect(r, 200, "DELETE", IPS "/10.43.7.7", NULL);
	refused(r, "other", "10.43.7.7", "provided IP is already allocated");
	cluster_run(&k, 65);
	o = expect(r, 200, "GET", IPS "/10.43.7.7", NULL);
	assert_val(val_get(o, F_spec, F_parentRef, F_name), "web");
	/* Changed, it is made anew; of nobody, it goes. */
	expect_type(r, 200, "PATCH", IPS "/10.43.7.7", MERGE,
		    "{\"metadata\":{\"labels\":{\"ipaddress.kubernetes.io/managed-by\":\"me\"}}}");
	expect(r, 201, "POST", IPS,
	       "{\"metadata\":{\"name\":\"10.43.7.8\",\"labels\":{\"ipaddress.kubernetes.io/managed-by\":"
	       "\"ipallocator.k8s.io\"}},\"spec\":{\"parentRef\":{\"resource\":\"services\",\"name\":\"gone\","
	       "\"namespace\":\"default\"}}}");
	cluster_run(&k, 190);
	o = expect(r, 200, "GET", IPS "/10.43.7.7", NULL);
	assert_sv(label_of(o, "ipaddress.kubernetes.io/managed-by"), "ipallocator.k8s.io");
	expect(r, 404, "GET", IPS "/10.43.7.8", NULL);
	expect(r, 200, "DELETE", SERVICES "/web", NULL);
	expect(r, 404, "GET", IPS "/10.43.7.7", NULL);
	cluster_finish(&k);
}

/* The object counts, whatever a flag says later; whoever looks at it is told. */
static void test_cidr_other_flag(void **state)
{
	struct rig *r = *state;
	const struct val *o;
	struct cluster k;

	rig_range(r, "10.43.0.0/24");
	r->service_cidr = "10.77.0.0/24";
	rig_restart(r);
	k = cluster_start(state);
	cluster_run(&k, 3);
	o = expect(r, 201, "POST", SERVICES, service(r, "web", ""));
	assert_true(sv_starts(val_get_str(o, F_spec, F_clusterIP), SV("10.43.0.")));
	o = expect(r, 200, "GET", "/api/v1/events?fieldSelector=reason%3DKubernetesDefaultServiceCIDRInconsistent",
		   NULL);
	assert_int_equal(val_len(val_get(o, F_items)), 1);
	cluster_finish(&k);
}

/* A second family joins the default range; a flag that says something else is told. */
static void test_cidr_dual(void **state)
{
	struct rig *r = *state;
	const struct val *o;
	struct cluster k;

	r->service_cidr = "10.43.0.0/16,fd43::/112";
	rig_restart(r);
	o = expect(r, 200, "GET", CIDRS "/kubernetes", NULL);
	assert_val(val_at(val_get(o, F_spec, F_cidrs), 1), "fd43::/112");
	o = expect(r, 201, "POST", SERVICES,
		   service(r, "two",
			   "\"ipFamilyPolicy\":\"RequireDualStack\",\"clusterIP\":\"10.43.3.3\",\"clusterIPs\":[\"10."
			   "43.3.3\",\"fd43::33\"],"));
	o = expect(r, 200, "GET", IPS "/fd43::33", NULL);
	assert_sv(label_of(o, "ipaddress.kubernetes.io/ip-family"), "IPv6");
	expect_type(r, 200, "PATCH", SERVICES "/two", MERGE, "{\"spec\":{\"ipFamilyPolicy\":\"SingleStack\"}}");
	expect(r, 404, "GET", IPS "/fd43::33", NULL);
	expect(r, 200, "GET", IPS "/10.43.3.3", NULL);
	/* A client that knows the old field alone takes nothing away. */
	expect_type(r, 200, "PATCH", SERVICES "/two", MERGE,
		    "{\"spec\":{\"ipFamilyPolicy\":\"RequireDualStack\",\"clusterIPs\":null,\"ipFamilies\":null}}");
	k = cluster_start(state);
	cluster_run(&k, 2);
	o = expect(r, 200, "GET", SERVICES "/two", NULL);
	assert_int_equal(val_len(val_get(o, F_spec, F_clusterIPs)), 2);
	expect_type(r, 200, "PATCH", SERVICES "/two", MERGE, "{\"spec\":{\"clusterIPs\":null}}");
	o = expect(r, 200, "GET", SERVICES "/two", NULL);
	assert_int_equal(val_len(val_get(o, F_spec, F_clusterIPs)), 2);
	cluster_finish(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cidr_default, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_cidr_second, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_cidr_overlap, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_cidr_addresses, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_cidr_other_flag, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_cidr_dual, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("service_cidrs", tests, NULL, NULL);
}
