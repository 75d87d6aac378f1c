/* The Service kube-dns and its slices. */
#include "world.h"

#include "controllers/podutil.h"

static const char *const only[] = { "cluster-dns-controller", NULL };

static struct world *cluster(const char *dns)
{
	return world_new_opts(
	    1, only, &(struct controllers_opts){ .cluster_dns = dns, .service_cidr = "10.43.0.0/16,fd43::/108" });
}

static void make_node(struct world *w, const char *name, const char *ip, const char *port, bool ready)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"metadata\":{\"name\":\"%s\",\"annotations\":{%s%s%s}},\"status\":{\"addresses\":[{\"type\":"
		      "\"Hostname\",\"address\":\"x\"},{\"type\":\"InternalIP\",\"address\":\"%s\"}],"
		      "\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}",
		      name, port ? "\"caravel.io/dns-port\":\"" : "", port ? port : "", port ? "\"" : "", ip,
		      ready ? "True" : "Unknown");

	obj_unref(fake_api_create(w->api, RES(core_nodes), "", json));
}

static struct obj *kube_dns(struct world *w)
{
	struct obj *o = NULL;

	(void)client_get(fake_api_client(w->api), RES(core_services), SV("kube-system"), SV("kube-dns"), &o, NULL);
	return o;
}

/* "NAME PORT: NODE/ADDRESS+ ...\n" of all slices; + is ready. */
static const char *slices(struct world *w)
{
	static struct buf b;
	struct obj_list l = { 0 };

	buf_clear(&b);
	buf_adds(&b, "");
	assert_int_equal(
	    client_list(fake_api_client(w->api), RES(discovery_endpointslices), SV("kube-system"), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++) {
		const struct obj *o = l.items[i];

		buf_printf(&b, "%s%.*s %" PRId64 ":", i ? "\n" : "", SV_ARG(obj_name(o)),
			   val_get_int(val_at(obj_get(o, F_ports), 0), 0, F_port));
		VAL_EACH(obj_get(o, F_endpoints), e) {
			struct sv hint = val_get_str(val_at(val_get(e, F_hints, F_forNodes), 0), F_name);

			assert_true(sv_eq(hint, val_get_str(e, F_nodeName)));
			buf_printf(&b, " %.*s/%.*s%s", SV_ARG(hint),
				   SV_ARG(val_str(val_at(val_member(e, F_addresses), 0))),
				   val_get_bool(val_get(e, F_conditions), F_ready) ? "+" : "");
		}
	}
	obj_list_release(&l);
	return buf_cstr(&b);
}

static void test_service(void **state)
{
	struct world *w = cluster("10.43.0.10");
	_cleanup_obj_ struct obj *svc = NULL;
	const struct val *ports;

	(void)state;
	world_run(w, NS_PER_SEC);
	svc = kube_dns(w);
	assert_non_null(svc);
	assert_sv(val_str(obj_get(svc, F_spec, F_clusterIP)), "10.43.0.10");
	assert_sv(val_str(obj_get(svc, F_spec, F_trafficDistribution)), "PreferSameNode");
	assert_sv(label_of(obj_root(svc), "k8s-app"), "kube-dns");
	assert_sv(label_of(obj_root(svc), "kubernetes.io/name"), "CoreDNS");
	ports = obj_get(svc, F_spec, F_ports);
	assert_sv(val_get_str(val_at(ports, 0), F_name), "dns");
	assert_sv(val_get_str(val_at(ports, 0), F_protocol), "UDP");
	assert_sv(val_get_str(val_at(ports, 1), F_name), "dns-tcp");
	assert_sv(val_get_str(val_at(ports, 1), F_protocol), "TCP");
	world_free(w);
}

/* Each of the flag's addresses that a Service can have. */
static void test_addresses(void **state)
{
	struct world *w = cluster("10.43.0.10,fd43::a");
	_cleanup_obj_ struct obj *both = NULL, *none = NULL;

	(void)state;
	world_run(w, NS_PER_SEC);
	both = kube_dns(w);
	assert_int_equal(val_len(obj_get(both, F_spec, F_clusterIPs)), 2);
	assert_sv(val_str(obj_get(both, F_spec, F_ipFamilyPolicy)), "RequireDualStack");
	world_free(w);
	w = cluster("169.254.20.10");
	world_run(w, NS_PER_SEC);
	none = kube_dns(w);
	assert_non_null(none);
	assert_null(obj_get(none, F_spec, F_clusterIP));
	world_free(w);
}

static void make_v4_service(struct world *w, const char *more)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"metadata\":{\"name\":\"kube-dns\"},\"spec\":{\"clusterIP\":\"10.43.0.10\","
		      "\"ipFamilies\":[\"IPv4\"]%s}}",
		      more);

	obj_unref(fake_api_create(w->api, RES(core_services), "kube-system", json));
}

static void test_slices(void **state)
{
	struct world *w = cluster("10.43.0.10");
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = NULL;
	struct val *doc;

	(void)state;
	make_v4_service(w, ""); /* without a selector: whoever made it, it gets our slices */
	world_run(w, NS_PER_SEC);
	assert_string_equal(slices(w), "");
	make_node(w, "b", "10.0.0.2", "10053", true);
	make_node(w, "a", "10.0.0.1", "10053", true);
	make_node(w, "silent", "10.0.0.3", NULL, true);
	world_run(w, NS_PER_SEC);
	assert_string_equal(slices(w), "kube-dns-ipv4-10053-0 10053: a/10.0.0.1+ b/10.0.0.2+");
	/* Another port is another slice; one that is not ready is none as long as there are better ones. */
	make_node(w, "c", "10.0.0.4", "10054", false);
	world_run(w, NS_PER_SEC);
	assert_string_equal(slices(w), "kube-dns-ipv4-10053-0 10053: a/10.0.0.1+ b/10.0.0.2+\n"
				       "kube-dns-ipv4-10054-0 10054: c/10.0.0.4");
	/* What somebody changed is put back; what a node no longer says, goes. */
	assert_int_equal(client_delete(fake_api_client(w->api), RES(discovery_endpointslices), SV("kube-system"),
				       SV("kube-dns-ipv4-10053-0"), NULL, NULL),
			 0);
	assert_int_equal(client_delete(fake_api_client(w->api), RES(core_nodes), SV(""), SV("b"), NULL, NULL), 0);
	assert_int_equal(client_get(fake_api_client(w->api), RES(core_nodes), SV(""), SV("a"), &node, NULL), 0);
	doc = obj_edit(&a, node);
	val_del(val_ensure_map(&a, doc, F_metadata), F_annotations);
	assert_int_equal(client_update(fake_api_client(w->api), RES(core_nodes), doc, NULL, NULL, NULL), 0);
	world_run(w, 2 * NS_PER_SEC);
	/* None is ready any more: then all are. */
	assert_string_equal(slices(w), "kube-dns-ipv4-10054-0 10054: c/10.0.0.4+");
	world_free(w);
}

/* Somebody's own name server keeps its Service as it is. */
static void test_foreign(void **state)
{
	struct world *w = cluster("10.43.0.10");
	_cleanup_obj_ struct obj *before = NULL, *after = NULL;

	(void)state;
	make_v4_service(w, ",\"selector\":{\"k8s-app\":\"coredns\"}");
	before = kube_dns(w);
	make_node(w, "a", "10.0.0.1", "10053", true);
	world_run(w, 2 * NS_PER_SEC);
	assert_string_equal(slices(w), "");
	after = kube_dns(w);
	assert_int_equal(obj_rev(before), obj_rev(after));
	world_free(w);
}

/* A port that is none, and one that was meant for something else. */
static void test_odd_annotations(void **state)
{
	static const char *const bad[] = { "", "0", "65536", "-1", "x", "10053 " };
	struct world *w = cluster("10.43.0.10");

	(void)state;
	make_v4_service(w, "");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char name[2] = { (char)('a' + i), 0 };

		make_node(w, name, "10.0.0.1", bad[i], true);
	}
	make_node(w, "l", "127.0.0.1", "10053", true);	  /* nobody reaches that */
	make_node(w, "l2", "169.254.1.1", "10053", true); /* and the API would refuse the slice */
	make_node(w, "l3", "0.0.0.0", "10053", true);
	make_node(w, "l4", "224.0.0.5", "10053", true);
	world_run(w, 2 * NS_PER_SEC);
	assert_string_equal(slices(w), "");
	world_free(w);
}

/* Switched off: what we made goes, what others made stays. */
static void test_off(void **state)
{
	struct world *w = cluster(NULL);
	_cleanup_obj_ struct obj *svc = NULL;

	(void)state;
	make_node(w, "a", "10.0.0.1", "10053", true);
	obj_unref(fake_api_create(w->api, RES(core_services), "kube-system",
				  "{\"metadata\":{\"name\":\"kube-dns\",\"annotations\":{\"caravel.io/managed-by\":"
				  "\"cluster-dns.caravel.io\"}},\"spec\":{\"ipFamilies\":[\"IPv4\"]}}"));
	world_run(w, 2 * NS_PER_SEC);
	assert_null(kube_dns(w));
	make_v4_service(w, "");
	world_run(w, 2 * NS_PER_SEC);
	svc = kube_dns(w);
	assert_non_null(svc);
	assert_string_equal(slices(w), "");
	world_free(w);
}

/* The flag has another value than at an earlier start: pods ask that one. */
static void test_another_address(void **state)
{
	struct world *w = cluster("10.43.0.20");
	_cleanup_obj_ struct obj *svc = NULL;

	(void)state;
	obj_unref(fake_api_create(w->api, RES(core_services), "kube-system",
				  "{\"metadata\":{\"name\":\"kube-dns\",\"annotations\":{\"caravel.io/managed-by\":"
				  "\"cluster-dns.caravel.io\"}},\"spec\":{\"clusterIP\":\"10.43.0.10\"}}"));
	world_run(w, 2 * NS_PER_SEC);
	svc = kube_dns(w);
	assert_non_null(svc);
	assert_sv(val_str(obj_get(svc, F_spec, F_clusterIP)), "10.43.0.20");
	world_free(w);
}

/* At rest nothing is written, however often it looks. */
static void test_idle(void **state)
{
	struct world *w = cluster("10.43.0.10");
	_cleanup_obj_ struct obj *before = NULL, *after = NULL;

	(void)state;
	make_v4_service(w, "");
	make_node(w, "a", "10.0.0.1", "10053", true);
	world_run(w, 2 * NS_PER_SEC);
	(void)client_get(fake_api_client(w->api), RES(discovery_endpointslices), SV("kube-system"),
			 SV("kube-dns-ipv4-10053-0"), &before, NULL);
	make_node(w, "other", "10.0.0.9", NULL, true);
	world_run(w, 60 * NS_PER_SEC);
	(void)client_get(fake_api_client(w->api), RES(discovery_endpointslices), SV("kube-system"),
			 SV("kube-dns-ipv4-10053-0"), &after, NULL);
	assert_int_equal(obj_rev(before), obj_rev(after));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service), cmocka_unit_test(test_addresses),	cmocka_unit_test(test_slices),
		cmocka_unit_test(test_foreign), cmocka_unit_test(test_odd_annotations), cmocka_unit_test(test_off),
		cmocka_unit_test(test_idle),	cmocka_unit_test(test_another_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
