/* Keys are where upstream has them: group and resource beside the key of an object there, as its own test of storage
 * paths lists them (test/integration/etcd/data.go, v1.37). */
#include "harness.h"

#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/storekey.h"
#include "apiserver/watchcache.h"
#include "store/layout.h"

static const struct {
	const char *group, *plural, *key;
} upstream[] = {
	{ "", "configmaps", "/registry/configmaps/ns/x" },
	{ "", "endpoints", "/registry/services/endpoints/ns/x" },
	{ "", "events", "/registry/events/ns/x" },
	{ "", "limitranges", "/registry/limitranges/ns/x" },
	{ "", "namespaces", "/registry/namespaces/x" },
	{ "", "nodes", "/registry/minions/x" },
	{ "", "persistentvolumeclaims", "/registry/persistentvolumeclaims/ns/x" },
	{ "", "persistentvolumes", "/registry/persistentvolumes/x" },
	{ "", "pods", "/registry/pods/ns/x" },
	{ "", "podtemplates", "/registry/podtemplates/ns/x" },
	{ "", "replicationcontrollers", "/registry/controllers/ns/x" },
	{ "", "resourcequotas", "/registry/resourcequotas/ns/x" },
	{ "", "secrets", "/registry/secrets/ns/x" },
	{ "", "serviceaccounts", "/registry/serviceaccounts/ns/x" },
	{ "", "services", "/registry/services/specs/ns/x" },
	{ "certificates.k8s.io", "clustertrustbundles", "/registry/clustertrustbundles/x" },
	{ "certificates.k8s.io", "podcertificaterequests", "/registry/podcertificaterequests/ns/x" },
	{ "admissionregistration.k8s.io", "mutatingadmissionpolicies", "/registry/mutatingadmissionpolicies/x" },
	{ "admissionregistration.k8s.io", "mutatingadmissionpolicybindings",
	  "/registry/mutatingadmissionpolicybindings/x" },
	{ "admissionregistration.k8s.io", "mutatingwebhookconfigurations",
	  "/registry/mutatingwebhookconfigurations/x" },
	{ "admissionregistration.k8s.io", "validatingadmissionpolicies", "/registry/validatingadmissionpolicies/x" },
	{ "admissionregistration.k8s.io", "validatingadmissionpolicybindings",
	  "/registry/validatingadmissionpolicybindings/x" },
	{ "admissionregistration.k8s.io", "validatingwebhookconfigurations",
	  "/registry/validatingwebhookconfigurations/x" },
	{ "scheduling.k8s.io", "podgroups", "/registry/podgroups/ns/x" },
	{ "scheduling.k8s.io", "workloads", "/registry/workloads/ns/x" },
	{ "scheduling.k8s.io", "compositepodgroups", "/registry/compositepodgroups/ns/x" },
	{ "coordination.k8s.io", "leasecandidates", "/registry/leasecandidates/ns/x" },
	{ "node.k8s.io", "runtimeclasses", "/registry/runtimeclasses/x" },
	{ "resource.k8s.io", "deviceclasses", "/registry/deviceclasses/x" },
	{ "resource.k8s.io", "devicetaintrules", "/registry/devicetaintrules/x" },
	{ "resource.k8s.io", "resourceclaims", "/registry/resourceclaims/ns/x" },
	{ "resource.k8s.io", "resourceclaimtemplates", "/registry/resourceclaimtemplates/ns/x" },
	{ "resource.k8s.io", "resourceslices", "/registry/resourceslices/x" },
	{ "resource.k8s.io", "resourcepoolstatusrequests", "/registry/resourcepoolstatusrequests/x" },
	{ "flowcontrol.apiserver.k8s.io", "flowschemas", "/registry/flowschemas/x" },
	{ "flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "/registry/prioritylevelconfigurations/x" },
	{ "internal.apiserver.k8s.io", "storageversions", "/registry/storageversions/x" },
	{ "storagemigration.k8s.io", "storageversionmigrations", "/registry/storageversionmigrations/x" },
	{ "lifecycle.k8s.io", "evictionrequests", "/registry/evictionrequests/ns/x" },
	{ "lifecycle.k8s.io", "evictions", "/registry/evictions/ns/x" },
	{ "apiextensions.k8s.io", "customresourcedefinitions",
	  "/registry/apiextensions.k8s.io/customresourcedefinitions/x" },
	{ "apiregistration.k8s.io", "apiservices", "/registry/apiregistration.k8s.io/apiservices/x" },
	{ "apps", "controllerrevisions", "/registry/controllerrevisions/ns/x" },
	{ "apps", "daemonsets", "/registry/daemonsets/ns/x" },
	{ "apps", "deployments", "/registry/deployments/ns/x" },
	{ "apps", "replicasets", "/registry/replicasets/ns/x" },
	{ "apps", "statefulsets", "/registry/statefulsets/ns/x" },
	{ "autoscaling", "horizontalpodautoscalers", "/registry/horizontalpodautoscalers/ns/x" },
	{ "batch", "cronjobs", "/registry/cronjobs/ns/x" },
	{ "batch", "jobs", "/registry/jobs/ns/x" },
	{ "certificates.k8s.io", "certificatesigningrequests", "/registry/certificatesigningrequests/x" },
	{ "coordination.k8s.io", "leases", "/registry/leases/ns/x" },
	{ "discovery.k8s.io", "endpointslices", "/registry/endpointslices/ns/x" },
	{ "events.k8s.io", "events", "/registry/events/ns/x" },
	{ "networking.k8s.io", "ingressclasses", "/registry/ingressclasses/x" },
	{ "networking.k8s.io", "ingresses", "/registry/ingress/ns/x" },
	{ "networking.k8s.io", "ipaddresses", "/registry/ipaddresses/x" },
	{ "networking.k8s.io", "networkpolicies", "/registry/networkpolicies/ns/x" },
	{ "networking.k8s.io", "servicecidrs", "/registry/servicecidrs/x" },
	{ "policy", "poddisruptionbudgets", "/registry/poddisruptionbudgets/ns/x" },
	{ "rbac.authorization.k8s.io", "clusterrolebindings", "/registry/clusterrolebindings/x" },
	{ "rbac.authorization.k8s.io", "clusterroles", "/registry/clusterroles/x" },
	{ "rbac.authorization.k8s.io", "rolebindings", "/registry/rolebindings/ns/x" },
	{ "rbac.authorization.k8s.io", "roles", "/registry/roles/ns/x" },
	{ "scheduling.k8s.io", "priorityclasses", "/registry/priorityclasses/x" },
	{ "storage.k8s.io", "csidrivers", "/registry/csidrivers/x" },
	{ "storage.k8s.io", "csinodes", "/registry/csinodes/x" },
	{ "storage.k8s.io", "csistoragecapacities", "/registry/csistoragecapacities/ns/x" },
	{ "storage.k8s.io", "storageclasses", "/registry/storageclasses/x" },
	{ "storage.k8s.io", "volumeattachments", "/registry/volumeattachments/x" },
	{ "storage.k8s.io", "volumeattributesclasses", "/registry/volumeattributesclasses/x" },
};

static const char *upstream_key(const struct resource *r)
{
	for (size_t i = 0; i < ARRAY_LEN(upstream); i++)
		if (!strcmp(upstream[i].group, r->group) && !strcmp(upstream[i].plural, r->plural))
			return upstream[i].key;
	fail_msg("where does upstream keep %s of '%s'?", r->plural, r->group);
	return NULL;
}

static const struct resource *owner_of(struct sv key)
{
	const struct resource *found = NULL;

	for (size_t parts = 1; parts <= STOREKEY_PATH_PARTS; parts++) {
		struct sv path = storekey_path(key, parts);

		for (size_t i = 0; i < resource_count; i++)
			if (path.p && resource_stored(&resource_all[i]) &&
			    resource_storage(&resource_all[i]) == &resource_all[i] &&
			    sv_is(path, resource_all[i].store_path)) {
				assert_null(found);
				found = &resource_all[i];
			}
	}
	return found;
}

/* Every stored kind: its key is upstream's, says whose it is, and comes apart into what it was made of. */
static void test_upstream(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];
		struct sv key, first, ns, name;

		if (!resource_stored(r))
			continue;
		key = storekey(&a, r, SV("ns"), SV("x"));
		assert_string_equal(arena_cstr(&a, key), upstream_key(r));
		assert_ptr_equal(owner_of(key), resource_storage(r));
		first = storekey_first(&a, r, SV(""));
		assert_true(sv_starts(key, first) && sv_cmp(key, storekey_behind(&a, first)) < 0);
		storekey_split(r, sv_sub(key, first.n, key.n), &ns, &name);
		assert_true(sv_is(ns, r->namespaced ? "ns" : "") && sv_is(name, "x"));
		assert_true(sv_eq(key, storekey_at(&a, r, sv_sub(key, first.n, key.n))));
	}
}

/* What comes at run time has its group in the path, as custom resources have. */
static void test_custom(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct resource r = *RES(core_pods);
	struct sv key;

	(void)state;
	r.group = "example.com";
	r.plural = "widgets";
	r.store_path = "example.com/widgets";
	key = storekey(&a, &r, SV("ns"), SV("x"));
	assert_string_equal(arena_cstr(&a, key), "/registry/example.com/widgets/ns/x");
	assert_true(sv_is(storekey_path(key, 2), r.store_path));
	assert_null(owner_of(key));
}

/* Nothing is taken for a path that is not one. */
static void test_path(void **state)
{
	static const struct {
		const char *key, *one, *two;
	} rows[] = {
		{ "/registry/pods/ns/x", "pods", "pods/ns" },
		{ "/registry/namespaces/x", "namespaces", NULL },
		{ "/registry/pods", NULL, NULL },
		{ "/registry/", NULL, NULL },
		{ "/registry//x", "", NULL },
		{ "/registry", NULL, NULL },
		{ "/elsewhere/pods/x", NULL, NULL },
		{ "", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sv one = storekey_path(sv_from(rows[i].key), 1), two = storekey_path(sv_from(rows[i].key), 2);

		assert_true(rows[i].one ? one.p && sv_is(one, rows[i].one) : !one.p);
		assert_true(rows[i].two ? two.p && sv_is(two, rows[i].two) : !two.p);
		assert_null(storekey_path(sv_from(rows[i].key), 9).p);
		assert_null(storekey_path(sv_from(rows[i].key), 0).p);
	}
}

/* A database that a newer program has laid out otherwise is left alone, with words; ours is as upstream's: without a
 * mark. */
static void test_newer(void **state)
{
	struct rig *r = *state;
	struct store_write w = { .key = SV(STORE_LAYOUT_KEY), .value = SV("2") };
	struct apiserver_opts o = { .env = r->env, .insecure_in_memory = true };
	struct err err = ERR_INIT;
	struct store_stats before, after;

	o.store = store_mem_new(r->env);
	assert_int_equal(store_commit_wait(o.store, &w, NULL, NULL), 1);
	store_stats(o.store, &before);
	assert_null(apiserver_new(&o, &err));
	assert_non_null(strstr(err_msg(&err), "layout 2, this program knows 1: use the version"));
	err_release(&err);
	store_stats(o.store, &after);
	assert_int_equal(before.rev, after.rev);
	store_close(o.store);
	store_stats(r->store, &before);
	assert_int_equal(store_layout_bring(r->store, STOREKEY_LAYOUT, NULL, 0, NULL), 0);
	store_stats(r->store, &after);
	assert_int_equal(before.rev, after.rev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstream),
		cmocka_unit_test(test_custom),
		cmocka_unit_test(test_path),
		cmocka_unit_test_setup_teardown(test_newer, rig_setup, rig_teardown),
	};

	strategies_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
