/* EndpointSlices and Endpoints. */
#include "world.h"

#include "base/costs.h"
#include "controllers/podutil.h"
#include "controllers/selecting.h"
#include "controllers/topology_hints.h"
#include "object/condition.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const both[] = { "endpointslice-controller", "endpoints-controller", NULL };
static const struct resource *const slice_res = RES(discovery_endpointslices), *const ep_res = RES(core_endpoints);

static void make(struct world *w, const struct resource *r, const char *json)
{
	obj_unref(fake_api_create(w->api, r, r->namespaced ? "default" : "", json));
}

static void make_pod(struct world *w, const char *name, const char *more_spec)
{
	_cleanup_free_ char *json = xasprintf(
	    "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"nodeName\":\"node-0\",%s"
	    "\"containers\":[{\"name\":\"c\",\"image\":\"a\",\"ports\":[{\"name\":\"http\",\"containerPort\":8080}]}]}"
	    "}",
	    name, more_spec);

	make(w, RES(core_pods), json);
}

static void make_node(struct world *w)
{
	make(w, RES(core_nodes),
	     "{\"metadata\":{\"name\":\"node-0\",\"labels\":{\"topology.kubernetes.io/zone\":\"z1\"}}}");
}

#define SERVICE(more)                                                                                                 \
	"{\"metadata\":{\"name\":\"web\",\"labels\":{\"team\":\"x\"}},\"spec\":{\"selector\":{\"app\":\"web\"}," more \
	"\"ports\":[{\"name\":\"http\",\"port\":80,\"targetPort\":\"http\",\"protocol\":\"TCP\"}]}}"

static struct obj **slices(struct world *w, struct arena *a, size_t *ret_n)
{
	struct obj_list l = { 0 };
	struct obj **v;

	assert_int_equal(client_list(fake_api_client(w->api), slice_res, SV("default"), NULL, &l, NULL), 0);
	v = ARENA_ARRAY(a, struct obj *, l.n);
	for (size_t i = 0; i < l.n; i++)
		v[i] = obj_link(a, obj_ref(l.items[i]));
	*ret_n = l.n;
	obj_list_release(&l);
	return v;
}

/* Since when a slice has waited to be written: as old as what came or changed in it; "" when something went. */
static struct sv triggered(const struct obj *slice)
{
	return val_str(val_member_sv(obj_get(slice, F_metadata, F_annotations),
				     SV("endpoints.kubernetes.io/last-change-trigger-time")));
}

static struct sv ready_since(struct world *w, struct arena *a, const char *pod)
{
	struct obj *o = obj_link(a, fake_api_get(w->api, RES(core_pods), "default", pod));

	return val_get_str(condition_find(obj_get(o, F_status, F_conditions), "Ready"), F_lastTransitionTime);
}

static void test_slice(void **state)
{
	struct world *w = world_new(1, both);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *eps = NULL;
	const struct val *ep, *port;
	struct obj **v;
	size_t n;

	(void)state;
	make_node(w);
	make(w, RES(core_services), SERVICE(""));
	world_run(w, NS_PER_SEC);
	v = slices(w, &a, &n);
	assert_int_equal(n, 1); /* the empty one */
	assert_true(
	    sv_eq(triggered(v[0]), val_str(obj_get(v[0], F_metadata, F_creationTimestamp)))); /* with its Service */
	make_pod(w, "p1", "");
	world_run(w, 200 * NS_PER_MS);
	assert_int_equal(val_len(obj_get(slices(w, &a, &n)[0], F_endpoints)), 0); /* no address yet */
	world_run(w, 5 * NS_PER_SEC);
	v = slices(w, &a, &n);
	assert_int_equal(n, 1);
	assert_true(triggered(v[0]).n && sv_eq(triggered(v[0]), ready_since(w, &a, "p1")));
	assert_sv(label_of(obj_root(v[0]), "kubernetes.io/service-name"), "web");
	assert_sv(label_of(obj_root(v[0]), "endpointslice.kubernetes.io/managed-by"),
		  "endpointslice-controller.k8s.io");
	assert_sv(label_of(obj_root(v[0]), "team"), "x");
	assert_sv(val_str(val_member(obj_controller_ref(v[0]), F_kind)), "Service");
	ep = val_at(obj_get(v[0], F_endpoints), 0);
	port = val_at(obj_get(v[0], F_ports), 0);
	assert_true(val_get_bool(ep, F_conditions, F_ready));
	assert_true(val_get_bool(ep, F_conditions, F_serving));
	assert_false(val_get_bool(ep, F_conditions, F_terminating));
	assert_sv(val_get_str(ep, F_zone), "z1");
	assert_sv(val_get_str(ep, F_nodeName), "node-0");
	assert_sv(val_get_str(ep, F_targetRef, F_name), "p1");
	assert_int_equal(val_get_int(port, 0, F_port), 8080);

	eps = fake_api_get(w->api, ep_res, "default", "web");
	assert_int_equal(val_len(val_member(val_at(obj_get(eps, F_subsets), 0), F_addresses)), 1);
	assert_int_equal(val_get_int(val_at(val_member(val_at(obj_get(eps, F_subsets), 0), F_ports), 0), 0, F_port),
			 8080);

	/* Going: no longer ready, still serving, told as terminating; gone from Endpoints. */
	w->no_kubelet = true;
	fake_api_delete(w->api, RES(core_pods), "default", "p1", NULL);
	world_run(w, NS_PER_SEC);
	ep = val_at(obj_get(slices(w, &a, &n)[0], F_endpoints), 0);
	assert_false(val_get_bool(ep, F_conditions, F_ready));
	assert_true(val_get_bool(ep, F_conditions, F_serving));
	assert_true(val_get_bool(ep, F_conditions, F_terminating));
	obj_unref(eps);
	eps = fake_api_get(w->api, ep_res, "default", "web");
	assert_int_equal(val_len(obj_get(eps, F_subsets)), 0);

	/* Its readiness goes on being told; when it has ended it is left out, though the object stays. */
	fake_api_patch(w->api, RES(core_pods), "default", "p1", "status",
		       "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
	world_run(w, NS_PER_SEC);
	ep = val_at(obj_get(slices(w, &a, &n)[0], F_endpoints), 0);
	assert_false(val_get_bool(ep, F_conditions, F_ready));
	assert_false(val_get_bool(ep, F_conditions, F_serving));
	assert_true(val_get_bool(ep, F_conditions, F_terminating));
	fake_api_patch(w->api, RES(core_pods), "default", "p1", "status", "{\"status\":{\"phase\":\"Failed\"}}");
	world_run(w, NS_PER_SEC);
	assert_int_equal(val_len(obj_get(slices(w, &a, &n)[0], F_endpoints)), 0);
	assert_int_equal(triggered(slices(w, &a, &n)[0]).n, 0);

	(void)fake_api_writes(w->api);
	world_run(w, 30 * NS_PER_SEC);
	assert_int_equal(fake_api_writes(w->api), 0);
	fake_api_delete(w->api, RES(core_services), "default", "web", NULL);
	world_run(w, NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, ep_res, "default"), 0);
	world_free(w);
}

static const struct val *first_hints(struct world *w, struct arena *a)
{
	size_t n;
	struct obj **v = slices(w, a, &n);

	return val_member(val_at(obj_get(v[0], F_endpoints), 0), F_hints);
}

/* A node that says loopback of its pod costs that pod its place, and no other. */
static void test_no_address_of_an_endpoint(void **state)
{
	static const char *const bad[] = { "127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1" };
	struct world *w = world_new(1, both);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *eps = NULL;
	const struct val *list;
	size_t n;

	(void)state;
	make_node(w);
	make(w, RES(core_services), SERVICE(""));
	make_pod(w, "p1", "");
	make_pod(w, "p2", "");
	world_run(w, 10 * NS_PER_SEC);
	assert_int_equal(val_len(obj_get(slices(w, &a, &n)[0], F_endpoints)), 2);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		fake_api_patch(
		    w->api, RES(core_pods), "default", "p1", "status",
		    arena_printf(&a, "{\"status\":{\"podIP\":\"%s\",\"podIPs\":[{\"ip\":\"%s\"}]}}", bad[i], bad[i]));
		world_run(w, 2 * NS_PER_SEC);
		list = obj_get(slices(w, &a, &n)[0], F_endpoints);
		assert_int_equal(val_len(list), 1);
		assert_sv(val_get_str(val_at(list, 0), F_targetRef, F_name), "p2");
	}
	eps = fake_api_get(w->api, ep_res, "default", "web");
	assert_int_equal(val_len(val_member(val_at(obj_get(eps, F_subsets), 0), F_addresses)), 1);
	world_free(w);
}

/* trafficDistribution: of ready endpoints only, and with the zone as the fallback of the node. */
static void test_hints(void **state)
{
	struct world *w = world_new(1, both);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *h;

	(void)state;
	make_node(w);
	make(w, RES(core_services), SERVICE("\"trafficDistribution\":\"PreferSameZone\","));
	make_pod(w, "p1", "");
	world_run(w, 5 * NS_PER_SEC);
	w->no_kubelet = true;
	h = first_hints(w, &a);
	assert_sv(val_get_str(val_at(val_get(h, F_forZones), 0), F_name), "z1");
	assert_null(val_get(h, F_forNodes));
	fake_api_patch(w->api, RES(core_services), "default", "web", "",
		       "{\"spec\":{\"trafficDistribution\":\"PreferSameNode\"}}");
	world_run(w, NS_PER_SEC);
	h = first_hints(w, &a);
	assert_sv(val_get_str(val_at(val_get(h, F_forZones), 0), F_name), "z1");
	assert_sv(val_get_str(val_at(val_get(h, F_forNodes), 0), F_name), "node-0");
	/* Its node moves. */
	fake_api_patch(w->api, RES(core_nodes), "", "node-0", "",
		       "{\"metadata\":{\"labels\":{\"topology.kubernetes.io/zone\":\"z2\"}}}");
	world_run(w, NS_PER_SEC);
	assert_sv(val_get_str(val_at(val_get(first_hints(w, &a), F_forZones), 0), F_name), "z2");
	fake_api_patch(w->api, RES(core_services), "default", "web", "",
		       "{\"spec\":{\"trafficDistribution\":\"PreferClose\"}}");
	world_run(w, NS_PER_SEC);
	assert_null(val_get(first_hints(w, &a), F_forNodes));
	assert_non_null(val_get(first_hints(w, &a), F_forZones));
	fake_api_patch(w->api, RES(core_pods), "default", "p1", "status",
		       "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
	world_run(w, NS_PER_SEC);
	assert_null(first_hints(w, &a));
	fake_api_patch(w->api, RES(core_services), "default", "web", "", "{\"spec\":{\"trafficDistribution\":null}}");
	fake_api_patch(w->api, RES(core_pods), "default", "p1", "status",
		       "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}");
	world_run(w, NS_PER_SEC);
	assert_null(first_hints(w, &a));
	world_free(w);
}

/* Which zones endpoints of these zones ("aab") are for, with processors 'a': cpu[0] ...; "-": no hints. A capital
 * letter is an endpoint away from home. */
static const char *assigned(const char *zones, const int *cpu, size_t n_zones)
{
	static struct arena a;
	struct topology t = { .known = true, .n = n_zones };
	size_t n = strlen(zones);
	struct val **eps = ARENA_ARRAY(&a, struct val *, n + 1);
	char *out = arena_alloc(&a, n + 1);

	for (size_t i = 0; i < n_zones; i++)
		t.zones[i] = (struct topology_zone){ sv_make(&"abcdefgh"[i], 1), cpu[i] };
	for (size_t i = 0; i < n; i++) {
		eps[i] = val_new_map(&a);
		if (zones[i] != '.')
			val_set_str(&a, eps[i], F_zone, sv_make(&zones[i], 1));
	}
	if (!topology_hints(&a, &t, eps, n)) {
		for (size_t i = 0; i < n; i++)
			assert_null(val_get(eps[i], F_hints));
		return "-";
	}
	for (size_t i = 0; i < n; i++) {
		struct sv z = val_get_str(val_at(val_get(eps[i], F_hints, F_forZones), 0), F_name);

		assert_int_equal(z.n, 1);
		out[i] = (char)(z.p[0] == zones[i] ? z.p[0] : z.p[0] - 'a' + 'A');
	}
	out[n] = '\0';
	return out;
}

/* KEP-2433, by what it must give: shares like processors, at most a fifth too much, few away from home. */
static void test_topology(void **state)
{
	static const int even[] = { 2000, 2000, 2000 }, odd[] = { 3000, 1000 };

	(void)state;
	assert_string_equal(assigned("abc", even, 3), "abc");
	assert_string_equal(assigned("aabbcc", even, 3), "aabbcc");
	/* Two of five are too few for nobody: 5/3 each, at least 2 would be six. */
	assert_string_equal(assigned("aabbc", even, 3), "-");
	assert_string_equal(assigned("aaaabb", even, 3), "aaCCbb");
	assert_string_equal(assigned("aaab", odd, 2), "aaab");
	assert_string_equal(assigned("abbb", odd, 2), "abAA");
	/* A zone without ready nodes. */
	assert_string_equal(assigned("aacc", odd, 2), "aaAB");
	/* One zone, too few endpoints, an endpoint without a zone. */
	assert_string_equal(assigned("aaa", even, 1), "-");
	assert_string_equal(assigned("ab", even, 3), "-");
	assert_string_equal(assigned("abc.", even, 3), "-");
	for (unsigned seed = 1; seed < 400; seed++) {
		char zones[40];
		int cpu[4];
		unsigned x = seed * 2654435761U, n = 4 + seed % 30, for_zone[4] = { 0 }, total = 0;
		const char *got;

		for (unsigned i = 0; i < n; i++, x = x * 1103515245U + 12345U)
			zones[i] = (char)('a' + (x >> 16) % 4);
		zones[n] = '\0';
		for (int i = 0; i < 4; i++, x = x * 1103515245U + 12345U)
			total += (unsigned)(cpu[i] = 1000 + (int)((x >> 16) % 4) * 1000);
		got = assigned(zones, cpu, 4);
		for (unsigned i = 0; got[0] != '-' && i < n; i++)
			for_zone[(got[i] | 0x20) - 'a']++;
		for (int i = 0; got[0] != '-' && i < 4; i++)
			if ((double)for_zone[i] * 1.2 + 1e-9 < (double)n * cpu[i] / total)
				fail_msg("seed %u: %s became %s", seed, zones, got);
	}
}

static void test_topology_annotation(void **state)
{
	struct world *w = world_new(1, both);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *h;

	(void)state;
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *name = xasprintf("node-%d", i);
		_cleanup_free_ char *json =
		    xasprintf("{\"metadata\":{\"name\":\"%s\",\"labels\":{\"topology.kubernetes.io/zone\":\"z%d\"}}}",
			      name, i + 1);

		make(w, RES(core_nodes), json);
		fake_api_patch(
		    w->api, RES(core_nodes), "", name, "status",
		    "{\"status\":{\"allocatable\":{\"cpu\":\"2\"},\"conditions\":[{\"type\":\"Ready\",\"status\":"
		    "\"True\"}]}}");
	}
	make(w, RES(core_services),
	     "{\"metadata\":{\"name\":\"web\",\"annotations\":{\"service.kubernetes.io/"
	     "topology-mode\":\"Auto\"}},\"spec\":"
	     "{\"selector\":{\"app\":\"web\"},\"ports\":[{\"name\":\"http\",\"port\":80,\"targetPort\":\"http\"}]}}");
	make_pod(w, "p1", "");
	make_pod(w, "p2", "");
	world_run(w, 5 * NS_PER_SEC);
	w->no_kubelet = true;
	h = first_hints(w, &a);
	assert_non_null(val_get(h, F_forZones));
	assert_null(val_get(h, F_forNodes));
	/* The other zone's node is no longer ready: then there is one zone, and nothing to share. */
	fake_api_patch(w->api, RES(core_nodes), "", "node-1", "status",
		       "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
	world_run(w, NS_PER_SEC);
	assert_null(first_hints(w, &a));
	world_free(w);
}

static void test_many(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct world *w = world_new(seed, both);
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct obj **v;
		size_t n, total = 0, full = 0;

		fake_api_set_lag(w->api, seed > 2 ? 400 * NS_PER_MS : 0);
		make_node(w);
		make(w, RES(core_services), SERVICE(""));
		for (int i = 0; i < 250; i++) {
			_cleanup_free_ char *name = xasprintf("p%d", i);

			make_pod(w, name, "");
			if (i % 50 == 0)
				world_run(w, NS_PER_SEC);
		}
		world_run(w, 20 * NS_PER_SEC);
		v = slices(w, &a, &n);
		for (size_t i = 0; i < n; i++) {
			size_t len = val_len(obj_get(v[i], F_endpoints));

			assert_true(len <= 100);
			total += len;
			full += len > 0;
		}
		assert_int_equal(total, 250);
		assert_true(full >= 3 && full <= 5);
		/* One pod going touches one slice. */
		(void)fake_api_writes(w->api);
		fake_api_kill(w->api, "default", "p7");
		world_run(w, 5 * NS_PER_SEC);
		assert_int_equal(fake_api_writes(w->api), 3); /* the pod, a slice, the Endpoints */
		world_free(w);
	}
}

static void test_headless(void **state)
{
	struct world *w = world_new(3, both);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *eps = NULL;
	struct obj **v;
	size_t n;

	(void)state;
	w->start_ns = -1; /* never ready */
	make_node(w);
	make(w, RES(core_services), SERVICE("\"clusterIP\":\"None\",\"publishNotReadyAddresses\":true,"));
	make(w, RES(core_services), "{\"metadata\":{\"name\":\"manual\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
	make_pod(w, "p1", "\"hostname\":\"h1\",\"subdomain\":\"web\",");
	fake_api_patch(w->api, RES(core_pods), "default", "p1", "status",
		       "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.42.0.9\"}}");
	world_run(w, 2 * NS_PER_SEC);
	v = slices(w, &a, &n);
	assert_int_equal(n, 1); /* none for the service without a selector */
	assert_true(val_type(val_member_sv(obj_labels(v[0]), SV("service.kubernetes.io/headless"))) == VAL_STR);
	assert_sv(val_str(val_member(val_at(obj_get(v[0], F_endpoints), 0), F_hostname)), "h1");
	assert_true(val_get_bool(val_at(obj_get(v[0], F_endpoints), 0), F_conditions, F_ready));
	eps = fake_api_get(w->api, ep_res, "default", "web");
	assert_int_equal(val_len(val_member(val_at(obj_get(eps, F_subsets), 0), F_addresses)), 1);
	assert_int_equal(fake_api_count(w->api, ep_res, "default"), 1);

	/* Published to its end: ready in both, whatever it says itself. */
	w->no_kubelet = true;
	fake_api_delete(w->api, RES(core_pods), "default", "p1", NULL);
	world_run(w, NS_PER_SEC);
	v = slices(w, &a, &n);
	assert_true(val_get_bool(val_at(obj_get(v[0], F_endpoints), 0), F_conditions, F_ready));
	assert_false(val_get_bool(val_at(obj_get(v[0], F_endpoints), 0), F_conditions, F_serving));
	assert_true(val_get_bool(val_at(obj_get(v[0], F_endpoints), 0), F_conditions, F_terminating));
	obj_unref(eps);
	eps = fake_api_get(w->api, ep_res, "default", "web");
	assert_int_equal(val_len(val_member(val_at(obj_get(eps, F_subsets), 0), F_addresses)), 1);
	world_free(w);
}

/* Endpoints written by hand for a Service without a selector reach readers of slices, and follow. */
static void test_mirror(void **state)
{
	static const char *const all[] = { "endpointslice-controller", "endpoints-controller",
					   "endpointslice-mirroring-controller", NULL };
	struct world *w = world_new(4, all);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv name;
	struct obj **v;
	size_t n;

	(void)state;
	make(w, ep_res,
	     "{\"metadata\":{\"name\":\"manual\",\"labels\":{\"team\":\"x\"},\"annotations\":{\"note\":\"y\"}},"
	     "\"subsets\":[{\"addresses\":[{\"ip\":\"192.0.2.9\"},{\"ip\":\"2001:db8::1\"}],"
	     "\"notReadyAddresses\":[{\"ip\":\"192.0.2.10\"}],\"ports\":[{\"name\":\"p\",\"port\":7777}]}]}");
	world_run(w, 2 * NS_PER_SEC);
	slices(w, &a, &n);
	assert_int_equal(n, 0); /* no Service yet */
	make(w, RES(core_services), "{\"metadata\":{\"name\":\"manual\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
	world_run(w, 2 * NS_PER_SEC);
	v = slices(w, &a, &n);
	assert_int_equal(n, 2); /* a family each */
	if (!val_is(obj_get(v[0], F_addressType), "IPv4")) {
		struct obj *t = v[0];

		v[0] = v[1];
		v[1] = t;
	}
	assert_sv(val_str(obj_get(v[1], F_addressType)), "IPv6");
	assert_int_equal(val_len(obj_get(v[0], F_endpoints)), 2);
	assert_true(val_get_bool(val_at(obj_get(v[0], F_endpoints), 0), F_conditions, F_ready));
	assert_false(val_get_bool(val_at(obj_get(v[0], F_endpoints), 1), F_conditions, F_ready));
	assert_sv(val_get_str(val_at(obj_get(v[0], F_ports), 0), F_name), "p");
	assert_sv(label_of(obj_root(v[0]), "kubernetes.io/service-name"), "manual");
	assert_sv(label_of(obj_root(v[0]), "endpointslice.kubernetes.io/managed-by"),
		  "endpointslicemirroring-controller.k8s.io");
	assert_sv(label_of(obj_root(v[0]), "team"), "x");
	assert_sv(val_str(val_member_sv(obj_get(v[0], F_metadata, F_annotations), SV("note"))), "y");
	assert_sv(val_str(val_member(obj_controller_ref(v[0]), F_kind)), "Endpoints");

	/* a change of an address is a change of the same slice; a family that is gone goes */
	name = obj_name(v[0]);
	fake_api_patch(
	    w->api, ep_res, "default", "manual", NULL,
	    "{\"subsets\":[{\"addresses\":[{\"ip\":\"192.0.2.11\"}],\"ports\":[{\"name\":\"p\",\"port\":7777}]}]}");
	world_run(w, 2 * NS_PER_SEC);
	v = slices(w, &a, &n);
	assert_int_equal(n, 1);
	assert_true(sv_eq(obj_name(v[0]), name));
	assert_sv(val_str(val_at(val_member(val_at(obj_get(v[0], F_endpoints), 0), F_addresses), 0)), "192.0.2.11");
	(void)fake_api_writes(w->api);
	world_run(w, 10 * NS_PER_SEC);
	assert_int_equal(fake_api_writes(w->api), 0);

	/* asked not to */
	fake_api_patch(w->api, ep_res, "default", "manual", NULL,
		       "{\"metadata\":{\"labels\":{\"endpointslice.kubernetes.io/skip-mirror\":\"true\"}}}");
	world_run(w, 2 * NS_PER_SEC);
	slices(w, &a, &n);
	assert_int_equal(n, 0);

	/* with their Service they go, too; those that never had one stay */
	make(w, ep_res, "{\"metadata\":{\"name\":\"notes\"}}");
	world_run(w, NS_PER_SEC);
	fake_api_delete(w->api, RES(core_services), "default", "manual", NULL);
	world_run(w, 2 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, ep_res, "default"), 1);
	world_free(w);
}

/* A pod that changes asks the services that may select it, however many others its namespace has. */
static uint64_t steps_of_a_change(size_t others)
{
#ifdef CARAVEL_COUNT_COSTS
	struct world *w = world_new(1, both);
	uint64_t before;

	make_node(w);
	make(w, RES(core_services), SERVICE(""));
	for (size_t i = 0; i < others; i++) {
		_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"name\":\"other-%zu\"},\"spec\":{\"selector\":{"
						      "\"app\":\"other-%zu\"},\"ports\":[{\"port\":80}]}}",
						      i, i);

		make(w, RES(core_services), json);
	}
	make_pod(w, "p1", "");
	world_run(w, 20 * NS_PER_SEC);
	w->no_kubelet = true;
	before = costs;
	fake_api_patch(w->api, RES(core_pods), "default", "p1", "status",
		       "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
	world_run(w, NS_PER_SEC);
	before = costs - before;
	world_free(w);
	return before;
#else
	(void)others;
	return 1;
#endif
}

static void test_growth(void **state)
{
	uint64_t few = steps_of_a_change(10), many = steps_of_a_change(200);

	(void)state;
	assert_true(few > 0);
	if (many > few + few / 10)
		fail_msg("%" PRIu64 " steps with 10 other services, %" PRIu64 " with 200", few, many);
}

/* What it takes to find the services of a pod that each of its labels finds one for. */
static size_t room_to_find(size_t labels)
{
	static const char *const none[] = { NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT, found = ARENA_INIT;
	struct world *w = world_new(2, none);
	struct informer_factory *f = informer_factory_new(fake_api_client(w->api));
	struct informer *services = informer_get(f, RES(core_services), NULL, NULL, NULL);
	struct val *has = val_new_map(&a);
	size_t n;

	informer_add_index(services, INDEX_SELECTING, index_selecting_map);
	informer_factory_start(f);
	make(w, RES(core_services), "{\"metadata\":{\"name\":\"all\"},\"spec\":{\"selector\":{}}}");
	for (size_t i = 0; i < labels; i++) {
		_cleanup_free_ char *json =
		    xasprintf("{\"metadata\":{\"name\":\"s-%zu\"},\"spec\":{\"selector\":{\"l%zu\":\"v\"}}}", i, i);

		make(w, RES(core_services), json);
		val_set_str_sv(&a, has, arena_svf(&a, "l%zu", i), SV("v"));
	}
	world_run(w, NS_PER_SEC);
	(void)selecting(services, &found, SV("default"), has, &n);
	assert_int_equal(n, labels);
	(void)selecting(services, &found, SV("another"), has, &n);
	assert_int_equal(n, 0);
	n = found.bytes;
	arena_reset(&found); /* lets go of what was found */
	informer_factory_free(f);
	world_free(w);
	return n;
}

static void test_many_labels(void **state)
{
	size_t few = room_to_find(100), many = room_to_find(400);

	(void)state;
	if (many > 6 * few)
		fail_msg("%zu bytes for 100 labels, %zu for 400", few, many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slice),
		cmocka_unit_test(test_no_address_of_an_endpoint),
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_topology_annotation),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_headless),
		cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_many_labels),
	};

	return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}
