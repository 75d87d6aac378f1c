/* Two servers on one store: no address and no port is anybody's twice, none is lost, and each hears of the other's
 * writes. The second one hears of them late where that is said: it decides by what it knows, and the store by what is
 * there. */
#include "harness.h"
#include "late_store.h"

#include "apiserver/registry/kinds/kinds.h"
#include "base/log.h"
#include "base/strmap.h"

#include <errno.h>
#include <stdio.h>

#define SERVICES "/api/v1/namespaces/default/services"
#define CLAIMS "/caravel/claims/"
#define ADDRESSES "/registry/ipaddresses/"
#define SPOTS 13 /* of a /28: neither the first nor the last, nor the API server's own */

struct pair {
	struct rig *a, *b;
	struct late_store late;
};

static int pair_setup(void **state)
{
	struct pair *p = xcalloc(1, sizeof(*p));
	void *rig;

	assert_int_equal(rig_setup(&rig), 0);
	p->a = rig;
	p->a->node_port_range = "30000-30007";
	rig_range(p->a, "10.43.0.0/28");
	p->b = rig_beside(p->a, late_store_init(&p->late, p->a->store));
	*state = p;
	return 0;
}

static int pair_teardown(void **state)
{
	struct pair *p = *state;
	void *rig = p->a;

	rig_beside_free(p->b);
	late_store_release(&p->late);
	rig_teardown(&rig);
	free(p);
	return 0;
}

/* --- claims --- */

static int claims_one(const struct store_kv *kv, void *ctx)
{
	struct buf *b = ctx;
	const struct val *parent;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	bool address = sv_starts(kv->key, SV(ADDRESSES));

	parent = json_decode(&a, kv->value, NULL, NULL);
	parent = val_get(address ? val_get(parent, F_spec) : parent, F_parentRef);
	buf_printf(b, "%.*s=%.*s/%.*s ",
		   SV_ARG(sv_sub(kv->key, (address ? sizeof("/registry/") : sizeof(CLAIMS)) - 1, kv->key.n)),
		   SV_ARG(val_get_str(parent, F_namespace)), SV_ARG(val_get_str(parent, F_name)));
	return 0;
}

/* "ipaddresses/10.43.0.1=default/kubernetes ...", those of the API server's own excluded. */
static const char *claims(struct rig *r)
{
	static const char own[] = "ipaddresses/10.43.0.1=default/kubernetes ";
	struct buf b = BUF_INIT;
	const char *text;

	assert_int_equal(
	    store_range(r->store, SV(ADDRESSES), SV("/registry/ipaddresses0"), 0, 0, claims_one, &b, NULL, NULL), 0);
	assert_int_equal(store_range(r->store, SV(CLAIMS), SV("/caravel/claims0"), 0, 0, claims_one, &b, NULL, NULL),
			 0);
	assert_true(sv_starts(buf_sv(&b), sv_from(own)));
	text = arena_strdup(&r->arena, buf_cstr(&b) + sizeof(own) - 1);
	buf_release(&b);
	return text;
}

static void raw(struct rig *r, const char *key, const char *value)
{
	struct store_write w = { .key = sv_from(key),
				 .value = sv_from(value ? value : ""),
				 .expect_rev = STORE_ANY_REV,
				 .tombstone = !value };

	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	rig_run(r, NS_PER_MS);
}

#define CLAIM_OF(resource, ns, name)                                                                                   \
	"{\"parentRef\":{\"group\":\"\",\"resource\":\"" resource "\",\"namespace\":\"" ns "\",\"name\":\"" name "\"}" \
	"}"

#define MANAGED "\"ipaddress.kubernetes.io/managed-by\":\"ipallocator.k8s.io\""
#define ADDRESS_OF(ip, labels, resource, ns, name)                                                                     \
	"{\"kind\":\"IPAddress\",\"apiVersion\":\"networking.k8s.io/v1\",\"metadata\":{\"name\":\"" ip "\","           \
	"\"uid\":\"u\",\"labels\":{" labels "}},\"spec\":{\"parentRef\":{\"resource\":\"" resource "\",\"namespace\":" \
	"\"" ns "\",\"name\":\"" name "\"}}}"

static const char *service(struct rig *r, const char *name, const char *spec)
{
	return arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{%s%s%s}}", name,
			    strstr(spec, "ports") ? "" : "\"ports\":[{\"port\":80}]",
			    *spec && !strstr(spec, "ports") ? "," : "", spec);
}

static int create(struct rig *r, const char *name, const char *spec)
{
	struct answer *a = api(r, "POST", SERVICES, .body = service(r, name, spec));
	int code = a->code;

	if (code == 500) /* the one way to fail */
		assert_true(sv_find_sv(buf_sv(&a->body), SV("range is full")) >= 0);
	else
		assert_int_equal(code, 201);
	answer_free(a);
	return code;
}

/* What is stored is exactly claimed, each number by one. */
static void assert_consistent(struct rig *r, size_t services)
{
	_cleanup_(strmap_release) struct strmap had = STRMAP_INIT;
	const struct val *list = expect(r, 200, "GET", SERVICES, NULL);
	size_t n = 0;

	VAL_EACH(val_get(list, F_items), s) {
		struct sv name = val_get_str(s, F_metadata, F_name), ip = val_get_str(s, F_spec, F_clusterIP);

		if (sv_is(name, "kubernetes"))
			continue;
		n++;
		if (ip.n && !sv_is(ip, "None")) {
			assert_null(strmap_set(&had, ip, (void *)s));
			assert_non_null(strstr(claims(r), arena_printf(&r->arena, "ipaddresses/%.*s=default/%.*s ",
								       SV_ARG(ip), SV_ARG(name))));
		}
		VAL_EACH(val_get(s, F_spec, F_ports), p) {
			struct sv port = arena_svf(&r->arena, "%d", (int)val_get_int(p, 0, F_nodePort));

			if (sv_is(port, "0"))
				continue;
			assert_null(strmap_set(&had, port, (void *)s));
			assert_non_null(strstr(claims(r), arena_printf(&r->arena, "nodeports/%.*s=default/%.*s ",
								       SV_ARG(port), SV_ARG(name))));
		}
	}
	assert_int_equal(n, services);
	n = 0;
	for (const char *at = claims(r); (at = strchr(at, ' ')); at++)
		n++;
	assert_int_equal(n, had.n);
}

/* Both until nothing is left, the second one mostly behind. */
static void fill(struct pair *p, bool late)
{
	size_t made = 0, full = 0;

	p->late.hold = late;
	for (int i = 0; i < 40; i++) {
		struct rig *r = i % 3 ? p->a : p->b;
		int code = create(r, arena_printf(&r->arena, "s%02d", i), "");

		made += code == 201;
		full += code == 500;
	}
	assert_int_equal(made, SPOTS);
	assert_int_equal(full, 40 - SPOTS);
	assert_consistent(p->a, SPOTS);

	/* What one gives back the other may have: once it knows of it. */
	late_flush(&p->late);
	expect(p->a, 200, "DELETE", SERVICES "/s01", NULL);
	late_flush(&p->late);
	assert_int_equal(create(p->b, "again", ""), 201);
	assert_int_equal(create(p->a, "more", ""), 500);
	expect(p->b, 200, "DELETE", SERVICES "/again", NULL);
	assert_int_equal(create(p->a, "more", ""), 201);
	late_flush(&p->late);
	assert_consistent(p->b, SPOTS);
}

static void test_full(void **state)
{
	fill(*state, false);
}

static void test_full_late(void **state)
{
	fill(*state, true);
}

static void test_ports_late(void **state)
{
	struct pair *p = *state;
	static const char two[] =
	    "\"type\":\"NodePort\",\"ports\":[{\"name\":\"a\",\"port\":1},{\"name\":\"b\",\"port\":2}]";
	size_t made = 0;

	p->late.hold = true;
	for (int i = 0; i < 8; i++)
		made += create(i % 2 ? p->a : p->b, arena_printf(&p->a->arena, "s%02d", i), two) == 201;
	assert_int_equal(made, 4); /* eight ports */
	assert_consistent(p->a, 4);
}

/* Who asks for what another has taken meanwhile is told so in the usual words, and keeps nothing of the rest. */
static void test_asked_late(void **state)
{
	struct pair *p = *state;
	const char *before;

	p->late.hold = true;
	expect(p->a, 201, "POST", SERVICES,
	       service(p->a, "a",
		       "\"clusterIP\":\"10.43.0.9\",\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":"
		       "30003}]"));
	before = claims(p->a);
	assert_string_equal(before, "ipaddresses/10.43.0.9=default/a nodeports/30003=default/a ");
	expect_status(p->b, 422, "Invalid", "failed to allocate IP 10.43.0.9: provided IP is already allocated",
		      &(struct ask){ .method = "POST",
				     .path = SERVICES,
				     .body = service(p->b, "b", "\"clusterIP\":\"10.43.0.9\"") });
	expect_status(p->b, 422, "Invalid", "provided port is already allocated",
		      &(struct ask){ .method = "POST",
				     .path = SERVICES,
				     .body = service(p->b, "b",
						     "\"type\":\"NodePort\",\"ports\":[{\"port\":1,"
						     "\"nodePort\":30003}]") });
	assert_string_equal(claims(p->a), before);
	/* By an update, too: with and without a version, by patch and by PUT. */
	expect(p->b, 201, "POST", SERVICES, service(p->b, "b", "\"clusterIP\":\"10.43.0.10\""));
	p->late.hold = true;
	expect(p->a, 201, "POST", SERVICES,
	       service(p->a, "c", "\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":30004}]"));
	expect_status(
	    p->b, 422, "Invalid", "provided port is already allocated",
	    &(struct ask){ .method = "PATCH",
			   .path = SERVICES "/b",
			   .type = "application/merge-patch+json",
			   .body = "{\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80,\"nodePort\":30004}]}}" });
	/* Left to choose, it finds another. */
	expect_type(p->b, 200, "PATCH", SERVICES "/b", "application/merge-patch+json",
		    "{\"spec\":{\"type\":\"NodePort\"}}");
	assert_consistent(p->a, 3);
}

/* Claims come and go with what they are for. */
static void test_life(void **state)
{
	struct pair *p = *state;
	struct rig *r = p->a;
	const struct val *o;

	expect(r, 201, "POST", SERVICES,
	       service(r, "a",
		       "\"clusterIP\":\"10.43.0.5\",\"type\":\"LoadBalancer\",\"externalTrafficPolicy\":\"Local\","
		       "\"healthCheckNodePort\":30007,\"ports\":[{\"name\":\"t\",\"port\":1,\"nodePort\":30001},"
		       "{\"name\":\"u\",\"protocol\":\"UDP\",\"port\":1,\"nodePort\":30001}]"));
	assert_string_equal(claims(r),
			    "ipaddresses/10.43.0.5=default/a nodeports/30001=default/a nodeports/30007=default/a ");
	/* Neither its status nor its labels are of any concern to them. */
	expect_type(r, 200, "PATCH", SERVICES "/a/status", "application/merge-patch+json",
		    "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"192.0.2.1\"}]}}}");
	expect_type(r, 200, "PATCH", SERVICES "/a", "application/merge-patch+json",
		    "{\"metadata\":{\"labels\":{\"x\":\"y\"},\"finalizers\":[\"example.com/wait\"]}}");
	assert_string_equal(claims(r),
			    "ipaddresses/10.43.0.5=default/a nodeports/30001=default/a nodeports/30007=default/a ");
	/* What another type does not need is given up. */
	expect_type(r, 200, "PATCH", SERVICES "/a", "application/merge-patch+json",
		    "{\"spec\":{\"type\":\"ClusterIP\",\"externalTrafficPolicy\":null}}");
	assert_string_equal(claims(r), "ipaddresses/10.43.0.5=default/a ");
	/* Held by a finalizer it has them still. */
	expect(r, 200, "DELETE", SERVICES "/a", NULL);
	assert_string_equal(claims(r), "ipaddresses/10.43.0.5=default/a ");
	expect_type(r, 200, "PATCH", SERVICES "/a", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	assert_string_equal(claims(r), "");
	/* None without an address of its own; neither one that is only tried, nor one that is refused. */
	expect(r, 201, "POST", SERVICES, service(r, "headless", "\"clusterIP\":\"None\""));
	expect(r, 201, "POST", SERVICES,
	       service(r, "name", "\"type\":\"ExternalName\",\"externalName\":\"example.com\""));
	expect(r, 201, "POST", SERVICES "?dryRun=All", service(r, "dry", ""));
	expect(r, 409, "POST", SERVICES, service(r, "headless", ""));
	assert_string_equal(claims(r), "");
	/* A name that is made, PUT that creates, and all at once. */
	o = expect(r, 201, "POST", SERVICES,
		   "{\"metadata\":{\"generateName\":\"g-\"},\"spec\":{\"ports\":[{\"port\":1}]}}");
	assert_non_null(
	    strstr(claims(r), arena_printf(&r->arena, "=default/%.*s ", SV_ARG(val_get_str(o, F_metadata, F_name)))));
	expect(r, 201, "PUT", SERVICES "/put", service(r, "put", ""));
	assert_consistent(r, 4);
	expect(r, 200, "DELETE", SERVICES, NULL);
	rig_restart(r); /* with its own Service */
	assert_string_equal(claims(r), "");
}

/* A database from before there were claims, or one that an older version has written to since. */
static void test_migration(void **state)
{
	struct pair *p = *state;
	struct rig *r = p->a;

	for (int i = 0; i < 5; i++)
		create(r, arena_printf(&r->arena, "s%d", i), i % 2 ? "" : "\"type\":\"NodePort\"");
	assert_consistent(r, 5);
	for (struct sv rest = sv_from(claims(r)), one; sv_split(&rest, ' ', &one) && one.n;) {
		struct sv claim = sv_sub(one, 0, (size_t)sv_find(one, '='));

		raw(r,
		    arena_printf(&r->arena, "%s%.*s", sv_starts(claim, SV("i")) ? "/registry/" : CLAIMS, SV_ARG(claim)),
		    NULL);
	}
	assert_string_equal(claims(r), "");
	raw(r, CLAIMS "ipaddresses/10.43.0.14", CLAIM_OF("services", "default", "gone"));
	raw(r, CLAIMS "nodeports/30999", CLAIM_OF("services", "default", "s0"));
	raw(r, CLAIMS "ipaddresses/10.99.0.1", CLAIM_OF("gateways", "default", "edge"));
	raw(r, CLAIMS "others/x", "{}");
	rig_restart(r);
	assert_non_null(strstr(claims(r), "ipaddresses/10.99.0.1=default/edge "));
	assert_non_null(strstr(claims(r), "others/x=/ "));
	assert_null(strstr(claims(r), "gone"));
	assert_null(strstr(claims(r), "30999"));
	raw(r, CLAIMS "ipaddresses/10.99.0.1", NULL);
	raw(r, CLAIMS "others/x", NULL);
	assert_consistent(r, 5);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", "/api/v1/events", NULL), F_items)), 0);
	/* Nothing is left to do. */
	int64_t rev = rev_of(expect(r, 200, "GET", SERVICES, NULL));

	rig_restart(r);
	assert_int_equal(rev_of(expect(r, 200, "GET", SERVICES, NULL)), rev);
}

/* Many Services: in portions. */
static void test_migration_large(void **state)
{
	struct rig *r = *state;
	size_t n = 2300, there = 0;

	for (size_t i = 0; i < n; i++)
		raw(r, arena_printf(&r->arena, "/registry/services/specs/default/s%04zu", i),
		    arena_printf(
			&r->arena,
			"{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"s%04zu\",\"namespace\":"
			"\"default\",\"uid\":\"u%zu\"},\"spec\":{\"clusterIP\":\"10.43.%zu.%zu\",\"clusterIPs\":["
			"\"10.43.%zu.%zu\"]}}",
			i, i, 1 + i / 250, i % 250, 1 + i / 250, i % 250));
	for (size_t i = 0; i < n; i++) /* and as many that nobody has */
		raw(r, arena_printf(&r->arena, CLAIMS "ipaddresses/10.43.%zu.%zu", 100 + i / 250, i % 250),
		    CLAIM_OF("services", "other", "gone"));
	rig_restart(r);
	for (const char *c = claims(r); (c = strchr(c, ' ')); c++)
		there++;
	assert_int_equal(there, n);
	assert_null(strstr(claims(r), "gone"));
}

/* More than fit into one write: they are not taken at once, and what goes goes all the same. */
static void test_many(void **state)
{
	struct rig *r = *state;
	struct buf b = BUF_INIT;
	const char *ports;

	r->node_port_range = "20000-29999";
	rig_restart(r);
	for (int i = 0; i < 4200; i++)
		buf_printf(&b, "%s{\"name\":\"p%d\",\"port\":%d,\"nodePort\":%d}", i ? "," : "", i, i + 1, 20000 + i);
	ports = arena_strdup(&r->arena, buf_cstr(&b));
	buf_release(&b);
	expect_status(
	    r, 413, "RequestEntityTooLarge", "this takes 4201 numbers at once, at most 4095 can be",
	    &(struct ask){
		.method = "POST",
		.path = SERVICES,
		.body = service(r, "a", arena_printf(&r->arena, "\"type\":\"NodePort\",\"ports\":[%s]", ports)) });
	assert_string_equal(claims(r), "");
	/* An older version took as many as it liked. */
	raw(r, "/registry/services/specs/default/a",
	    arena_printf(&r->arena,
			 "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\",\"namespace\":"
			 "\"default\",\"uid\":\"u\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[%s]}}",
			 ports));
	rig_restart(r);
	assert_non_null(strstr(claims(r), "nodeports/20000=default/a "));
	assert_non_null(strstr(claims(r), "nodeports/24199=default/a "));
	expect(r, 200, "DELETE", SERVICES "/a", NULL);
	assert_null(strstr(claims(r), "nodeports/20000=default/a "));
	assert_non_null(strstr(claims(r), "nodeports/24199=default/a "));
	rig_run(r, 190 * NS_PER_SEC);
	assert_string_equal(claims(r), "");
}

/* A claim that is left over is in nobody's way. */
static void test_left_over(void **state)
{
	struct pair *p = *state;

	raw(p->a, ADDRESSES "10.43.0.9", ADDRESS_OF("10.43.0.9", MANAGED, "services", "default", "gone"));
	raw(p->a, CLAIMS "nodeports/30003", CLAIM_OF("services", "default", "gone"));
	expect(p->b, 201, "POST", SERVICES,
	       service(p->b, "b",
		       "\"clusterIP\":\"10.43.0.9\",\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":"
		       "30003}]"));
	assert_string_equal(claims(p->a), "ipaddresses/10.43.0.9=default/b nodeports/30003=default/b ");
	expect(p->a, 200, "DELETE", SERVICES "/b", NULL);
	assert_string_equal(claims(p->a), "");
	/* One of somebody whom this version does not know is. */
	raw(p->a, ADDRESSES "10.43.0.9", ADDRESS_OF("10.43.0.9", "", "gateways", "default", "edge"));
	expect_status(p->a, 422, "Invalid", "provided IP is already allocated",
		      &(struct ask){ .method = "POST",
				     .path = SERVICES,
				     .body = service(p->a, "a", "\"clusterIP\":\"10.43.0.9\"") });
	for (int i = 0; i < SPOTS - 1; i++)
		assert_int_equal(create(i % 2 ? p->a : p->b, arena_printf(&p->a->arena, "s%d", i), ""), 201);
	assert_int_equal(create(p->b, "last", ""), 500);
	raw(p->a, ADDRESSES "10.43.0.9", NULL);
	rig_run(p->a, 190 * NS_PER_SEC); /* what was learned of it is forgotten */
	assert_int_equal(create(p->b, "last", ""), 201);
}

static const char *event_messages(struct rig *r)
{
	const struct val *list = expect(r, 200, "GET", "/api/v1/namespaces/default/events", NULL);
	struct buf b = BUF_INIT;
	const char *text;

	VAL_EACH(val_get(list, F_items), e)
		buf_printf(&b, "%.*s %.*s: %.*s\n", SV_ARG(val_get_str(e, F_reason)),
			   SV_ARG(val_get_str(e, F_involvedObject, F_name)), SV_ARG(val_get_str(e, F_message)));
	text = arena_strdup(&r->arena, buf_cstr(&b));
	buf_release(&b);
	return text;
}

/* What is wrong while servers run is put right, and said. */
static void test_repair(void **state)
{
	struct pair *p = *state;
	struct rig *r = p->a;
	const char *said;

	expect(r, 201, "POST", SERVICES,
	       service(r, "a",
		       "\"clusterIP\":\"10.43.0.9\",\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":"
		       "30003}]"));
	raw(r, ADDRESSES "10.43.0.9", NULL);
	raw(r, CLAIMS "nodeports/30003", NULL);
	raw(r, ADDRESSES "10.43.0.5", ADDRESS_OF("10.43.0.5", MANAGED, "services", "default", "a"));
	/* Two that have one address, and an address that is in no range. */
	raw(r, "/registry/services/specs/default/b",
	    "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"b\",\"namespace\":\"default\","
	    "\"uid\":\"u\"},"
	    "\"spec\":{\"clusterIP\":\"10.43.0.9\",\"clusterIPs\":[\"10.43.0.9\"]}}");
	raw(r, "/registry/services/specs/default/c",
	    "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"c\",\"namespace\":\"default\","
	    "\"uid\":\"u\"},"
	    "\"spec\":{\"clusterIP\":\"10.9.0.9\",\"clusterIPs\":[\"10.9.0.9\"],\"type\":\"NodePort\",\"ports\":[{"
	    "\"port\":"
	    "1,\"nodePort\":40000}]}}");
	rig_run(r, 190 * NS_PER_SEC);
	assert_string_equal(claims(r), "ipaddresses/10.43.0.9=default/a nodeports/30003=default/a ");
	said = event_messages(r);
	assert_non_null(
	    strstr(said, "ClusterIPNotAllocated a: Cluster IP [IPv4]: 10.43.0.9 is not allocated; repairing"));
	assert_non_null(strstr(said, "PortNotAllocated a: Port 30003 is not allocated; repairing"));
	assert_non_null(strstr(said,
			       "ClusterIPAlreadyAllocated b: Cluster IP [IPv4]: 10.43.0.9 was assigned to multiple "
			       "services; please recreate service"));
	assert_non_null(strstr(said, "ClusterIPOutOfRange c: Cluster IP [IPv4]: 10.9.0.9 is not within any configured "
				     "Service CIDR; please recreate service"));
	assert_non_null(strstr(said, "PortOutOfRange c: Port 40000 is not within the port range 30000-30007; please "
				     "recreate service"));

	/* When one of the two goes, the address is the other's, whoever had the claim. */
	expect(r, 200, "DELETE", SERVICES "/a", NULL);
	for (int i = 0; i < 2; i++) {
		expect_status(p->b, 422, "Invalid", "provided IP is already allocated",
			      &(struct ask){ .method = "POST",
					     .path = SERVICES,
					     .body = service(p->b, "d", "\"clusterIP\":\"10.43.0.9\"") });
		rig_run(r, 190 * NS_PER_SEC);
		assert_string_equal(claims(r), "ipaddresses/10.43.0.9=default/b ");
	}
	expect(r, 200, "DELETE", SERVICES "/b", NULL);
	assert_string_equal(claims(r), "");
	expect(p->b, 201, "POST", SERVICES, service(p->b, "d", "\"clusterIP\":\"10.43.0.9\""));
}

/* A claim that is none of a Service's stays, and nobody is told again and again that it is repaired. */
static void test_repair_foreign(void **state)
{
	static const char *const foreign[] = { CLAIM_OF("gateways", "default", "edge"), "{}", "not even that", "" };
	struct pair *p = *state;

	assert_int_equal(create(p->a, "a", "\"clusterIP\":\"10.43.0.9\""), 201);
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
		int64_t rev;

		raw(p->a, CLAIMS "ipaddresses/10.43.0.9", foreign[i]);
		rev = rev_of(expect(p->a, 200, "GET", "/api/v1/services", NULL));
		assert_int_equal(service_claims_repair(p->a->server, false, NULL), 0);
		assert_int_equal(rev_of(expect(p->a, 200, "GET", "/api/v1/services", NULL)), rev);
	}
	rig_run(p->a, NS_PER_SEC);
	assert_string_equal(event_messages(p->a), "");
}

/* A server that is behind takes nothing from others, and has nothing to say. */
static void test_repair_late(void **state)
{
	struct pair *p = *state;

	for (int i = 0; i < 4; i++)
		assert_int_equal(create(p->a, arena_printf(&p->a->arena, "s%d", i), "\"type\":\"NodePort\""), 201);
	late_flush(&p->late);
	p->late.hold = true;
	for (int i = 0; i < 2; i++)
		expect(p->a, 200, "DELETE", arena_printf(&p->a->arena, SERVICES "/s%d", i), NULL);
	assert_int_equal(create(p->a, "late", "\"type\":\"NodePort\""), 201);
	assert_non_null(p->late.waiting.p);
	rig_run(p->a, 190 * NS_PER_SEC);
	assert_consistent(p->a, 3);
	assert_true(p->late.waiting.n > 0); /* it is still behind */
	assert_string_equal(event_messages(p->a), "");
	late_flush(&p->late);
	assert_consistent(p->b, 3);
}

static void said_of_claims(struct sv line, void *ctx)
{
	if (sv_find_sv(line, SV("claims of addresses")) >= 0)
		buf_printf(ctx, "%.*s\n", SV_ARG(line));
}

/* A full disk: what could not be written is not said to be there, and is made when there is room. */
static void test_repair_on_full(void **state)
{
	struct pair *p = *state;
	struct buf said = BUF_INIT;

	expect(p->a, 201, "POST", SERVICES, service(p->a, "a", "\"clusterIP\":\"10.43.0.9\""));
	raw(p->a, ADDRESSES "10.43.0.9", NULL);
	raw(p->a, CLAIMS "ipaddresses/10.43.0.5", CLAIM_OF("services", "default", "nobody"));
	p->late.full = true;
	log_set_sink(said_of_claims, &said);
	assert_int_equal(service_claims_repair(p->b->server, true, NULL), 0);
	log_set_sink(NULL, NULL);
	assert_string_equal(claims(p->a), "");
	assert_true(sv_find_sv(buf_sv(&said), SV("made_and_freed=\"0, 1\"")) >= 0);
	assert_true(sv_find_sv(buf_sv(&said), SV("could not all be written")) >= 0);
	p->late.full = false;
	assert_int_equal(service_claims_repair(p->b->server, true, NULL), 0);
	assert_string_equal(claims(p->a), "ipaddresses/10.43.0.9=default/a ");
	buf_release(&said);
}

/* --- a store that is not well --- */

/* A new start makes neither room nor a disk answer; but whoever writes goes elsewhere. */
static void test_health(void **state)
{
	static const struct {
		int sick, live, ready;
	} rows[] = { { 0, 200, 200 }, { ENOSPC, 200, 500 }, { ETIMEDOUT, 200, 500 }, { EIO, 500, 500 } };
	struct pair *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		p->late.sick = rows[i].sick;
		expect(p->b, rows[i].live, "GET", "/livez", NULL);
		expect(p->b, rows[i].ready, "GET", "/readyz", NULL);
	}
}

/* --- what else two servers share --- */

/* The second hears of what the first writes, in the same revision and the same words. */
static void test_watch(void **state)
{
	struct pair *p = *state;
	struct answer *w;
	const struct val *a, *b;

	w = api(p->b, "GET", "/api/v1/namespaces/default/configmaps?watch=1");
	expect(p->a, 201, "POST", "/api/v1/namespaces/default/configmaps",
	       "{\"metadata\":{\"name\":\"m\"},\"data\":{\"k\":\"1\"}}");
	expect_type(p->a, 200, "PATCH", "/api/v1/namespaces/default/configmaps/m", "application/merge-patch+json",
		    "{\"data\":{\"k\":\"2\"}}");
	expect(p->b, 200, "DELETE", "/api/v1/namespaces/default/configmaps/m", NULL);
	rig_run(p->a, NS_PER_MS);
	assert_val(val_get(stream_line(w, 0), F_type), "ADDED");
	assert_val(val_get(stream_line(w, 1), F_type), "MODIFIED");
	assert_val(val_get(stream_line(w, 2), F_type), "DELETED");
	answer_gone(w);

	expect(p->a, 201, "POST", "/api/v1/namespaces/default/configmaps", "{\"metadata\":{\"name\":\"n\"}}");
	a = expect(p->a, 200, "GET", "/api/v1/namespaces/default/configmaps/n", NULL);
	b = expect(p->b, 200, "GET", "/api/v1/namespaces/default/configmaps/n", NULL);
	assert_true(val_equal(a, b));
	assert_int_equal(rev_of(expect(p->a, 200, "GET", "/api/v1/configmaps", NULL)),
			 rev_of(expect(p->b, 200, "GET", "/api/v1/configmaps", NULL)));
}

/* A write that goes by what its server knows meets what is there. */
static void test_writes_late(void **state)
{
	struct pair *p = *state;
	const char *path = "/api/v1/namespaces/default/configmaps/m";
	const struct val *o;

	o = expect(p->a, 201, "POST", "/api/v1/namespaces/default/configmaps",
		   "{\"metadata\":{\"name\":\"m\"},\"data\":{\"k\":\"1\"}}");
	p->late.hold = true;
	expect_type(p->a, 200, "PATCH", path, "application/merge-patch+json", "{\"data\":{\"k\":\"2\"}}");
	/* With a version: 409. Without: what is there is changed. */
	expect_status(p->b, 409, "Conflict", "the object has been modified",
		      &(struct ask){ .method = "PUT",
				     .path = path,
				     .body = arena_printf(&p->b->arena,
							  "{\"metadata\":{\"name\":\"m\",\"resourceVersion\":\"%d\"}}",
							  (int)rev_of(o)) });
	o = expect_type(p->b, 200, "PATCH", path, "application/merge-patch+json", "{\"data\":{\"l\":\"3\"}}");
	assert_val(val_member_sv(val_get(o, F_data), SV("k")), "2");
	/* One that has gone, and one that has come. */
	p->late.hold = true;
	expect(p->a, 200, "DELETE", path, NULL);
	expect(p->b, 404, "DELETE", path, NULL);
	expect(p->a, 201, "POST", "/api/v1/namespaces/default/configmaps", "{\"metadata\":{\"name\":\"n\"}}");
	expect(p->b, 409, "POST", "/api/v1/namespaces/default/configmaps", "{\"metadata\":{\"name\":\"n\"}}");
}

/* What must exist comes back once, whoever is faster. */
static void test_kept(void **state)
{
	struct pair *p = *state;
	const struct val *list;
	size_t n = 0;

	p->late.hold = true;
	for (int i = 0; i < 3; i++) {
		expect(p->a, 200, "DELETE", SERVICES "/kubernetes", NULL);
		late_flush(&p->late);
		rig_run(p->a, 70 * NS_PER_SEC);
		late_flush(&p->late);
		list = expect(p->b, 200, "GET", SERVICES, NULL);
		n = val_len(val_get(list, F_items));
		assert_int_equal(n, 1);
		assert_string_equal(claims(p->a), "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_full, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_full_late, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_ports_late, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_asked_late, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_life, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_migration, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_migration_large, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_many, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_left_over, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_repair, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_repair_foreign, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_repair_late, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_repair_on_full, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_health, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_watch, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_writes_late, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(test_kept, pair_setup, pair_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
