/* Kinds that come while the controllers run: what is theirs is collected, and goes with its namespace. */
#include "real.h"

#include "object/api_set.h"

static struct api_kind *add(struct cluster *k, const char *plural, const char *name, bool namespaced)
{
	struct err err = ERR_INIT;
	struct api_kind *kind = api_kind_new(
	    &(struct api_kind_def){
		.group = "example.com", .version = "v1", .plural = plural, .kind = name, .namespaced = namespaced },
	    &err);

	if (!kind || apiserver_add_kinds(k->rig->server, &kind, 1, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return kind;
}

static void drop(struct cluster *k, struct api_kind *kind)
{
	apiserver_remove_kinds(k->rig->server, &kind, 1);
	api_kind_unref(kind);
}

#define IN_NS(plural) "/apis/example.com/v1/namespaces/default/" plural
#define MAPS "/api/v1/namespaces/default/configmaps"

static const char *owned(struct arena *a, const char *name, const char *api_version, const char *kind,
			 const struct val *owner)
{
	return arena_printf(
	    a,
	    "{\"metadata\":{\"name\":\"%s\",\"ownerReferences\":[{\"apiVersion\":\"%s\",\"kind\":\"%s\","
	    "\"name\":\"%.*s\",\"uid\":\"%.*s\"}]}}",
	    name, api_version, kind, SV_ARG(val_get_str(owner, F_metadata, F_name)),
	    SV_ARG(val_get_str(owner, F_metadata, F_uid)));
}

static void test_collected(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	struct api_kind *w = add(&k, "widgets", "Widget", true);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *widget, *map;

	/* A built-in object of an owner of a late kind, and the other way round. */
	widget = expect(r, 201, "POST", IN_NS("widgets"), "{\"metadata\":{\"name\":\"w\"},\"spec\":{\"any\":[1]}}");
	expect(r, 201, "POST", MAPS, owned(&a, "of-w", "example.com/v1", "Widget", widget));
	map = expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"}}");
	expect(r, 201, "POST", IN_NS("widgets"), owned(&a, "of-m", "v1", "ConfigMap", map));
	cluster_run(&k, 5);
	expect(r, 200, "GET", MAPS "/of-w", NULL);
	expect(r, 200, "GET", IN_NS("widgets") "/of-m", NULL);
	expect(r, 200, "DELETE", IN_NS("widgets") "/w", NULL);
	expect(r, 200, "DELETE", MAPS "/m", NULL);
	cluster_run(&k, 30);
	expect(r, 404, "GET", MAPS "/of-w", NULL);
	expect(r, 404, "GET", IN_NS("widgets") "/of-m", NULL);

	/* Of an owner whose kind is gone nothing is known: it may well be there. */
	widget = expect(r, 201, "POST", IN_NS("widgets"), "{\"metadata\":{\"name\":\"w2\"}}");
	expect(r, 201, "POST", MAPS, owned(&a, "of-w2", "example.com/v1", "Widget", widget));
	cluster_run(&k, 5);
	drop(&k, w);
	cluster_run(&k, 60);
	expect(r, 200, "GET", MAPS "/of-w2", NULL);
	w = add(&k, "widgets", "Widget", true);
	expect(r, 200, "DELETE", IN_NS("widgets") "/w2", NULL);
	cluster_run(&k, 30);
	expect(r, 404, "GET", MAPS "/of-w2", NULL);
	drop(&k, w);
	cluster_finish(&k);
}

/* A definition changes while an owner waits for what it owns of that kind: it goes on waiting, or lets all go. */
static void test_collected_while_swapped(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	struct api_kind *w = add(&k, "widgets", "Widget", true), *next;
	struct kind_come come = { 0 };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	const struct val *map;

	map = expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"}}");
	expect(r, 201, "POST", IN_NS("widgets"),
	       arena_printf(&a,
			    "{\"metadata\":{\"name\":\"w\",\"finalizers\":[\"example.com/wait\"],\"ownerReferences\":[{"
			    "\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"m\",\"uid\":\"%.*s\","
			    "\"blockOwnerDeletion\":true}]}}",
			    SV_ARG(val_get_str(map, F_metadata, F_uid))));
	cluster_run(&k, 5);
	expect(r, 200, "DELETE", MAPS "/m", "{\"propagationPolicy\":\"Foreground\"}");
	cluster_run(&k, 5);
	expect(r, 200, "GET", MAPS "/m", NULL);
	for (int i = 0; i < 3; i++) {
		next = api_kind_new(&(struct api_kind_def){ .group = "example.com",
							    .version = "v1",
							    .plural = "widgets",
							    .kind = "Widget",
							    .namespaced = true },
				    &err);
		come.kind = next;
		assert_int_equal(
		    apiserver_change_kinds(
			r->server, &(struct kind_change){ .gone = &w, .n_gone = 1, .come = &come, .n_come = 1 }, &err),
		    0);
		api_kind_unref(w);
		w = next;
		cluster_run(&k, 40);
		expect(r, 200, "GET", MAPS "/m", NULL);
	}
	expect_type(r, 200, "PATCH", IN_NS("widgets") "/w", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 30);
	expect(r, 404, "GET", MAPS "/m", NULL);
	drop(&k, w);
	cluster_finish(&k);
}

static void test_namespace(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	struct api_kind *w = add(&k, "widgets", "Widget", true), *g = add(&k, "gadgets", "Gadget", false);

	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}");
	expect(r, 201, "POST", "/apis/example.com/v1/namespaces/n/widgets", "{\"metadata\":{\"name\":\"w\"}}");
	expect(r, 201, "POST", "/apis/example.com/v1/gadgets", "{\"metadata\":{\"name\":\"g\"}}");
	cluster_run(&k, 2);
	expect(r, 200, "DELETE", "/api/v1/namespaces/n", NULL);
	cluster_run(&k, 60);
	expect(r, 404, "GET", "/api/v1/namespaces/n", NULL);
	expect(r, 404, "GET", "/apis/example.com/v1/namespaces/n/widgets/w", NULL);
	expect(r, 200, "GET", "/apis/example.com/v1/gadgets/g", NULL);
	drop(&k, w);
	/* The controllers go while one is served, and come while it is. */
	cluster_finish(&k);
	k = cluster_start_again(state);
	cluster_run(&k, 5);
	drop(&k, g);
	cluster_run(&k, 5);
	cluster_finish(&k);
}

/* A kind in two versions, of which the stored one is served or not: owners and dependents by either, each object once.
 */
static void versions(void **state, bool storage_served)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	struct api_kind_def d = { .group = "example.com",
				  .version = "v1",
				  .plural = "widgets",
				  .kind = "Widget",
				  .namespaced = true,
				  .unserved = !storage_served };
	struct api_kind *w = api_kind_new(&d, NULL);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *version = storage_served ? "v1" : "v2", *path, *ns;
	const struct val *widget;

	d.version = "v2";
	d.unserved = false;
	assert_non_null(api_kind_add_version(w, &d, NULL));
	assert_int_equal(apiserver_add_kinds(r->server, &w, 1, NULL), 0);
	path = arena_printf(&a, "/apis/example.com/%s/namespaces/default/widgets", version);
	ns = arena_printf(&a, "/apis/example.com/%s/namespaces/n/widgets", version);
	widget = expect(r, 201, "POST", "/apis/example.com/v2/namespaces/default/widgets",
			"{\"metadata\":{\"name\":\"w\"}}");
	expect(r, 201, "POST", path, owned(&a, "of-w", "example.com/v2", "Widget", widget));
	expect(r, 201, "POST", MAPS,
	       owned(&a, "m-of-w", arena_printf(&a, "example.com/%s", version), "Widget", widget));
	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}");
	expect(r, 201, "POST", ns, "{\"metadata\":{\"name\":\"w\"}}");
	cluster_run(&k, 5);
	expect(r, 200, "GET", MAPS "/m-of-w", NULL);
	expect(r, 200, "DELETE", arena_printf(&a, "%s/w", path), NULL);
	expect(r, 200, "DELETE", "/api/v1/namespaces/n", NULL);
	cluster_run(&k, 60);
	expect(r, 404, "GET", arena_printf(&a, "%s/of-w", path), NULL);
	expect(r, 404, "GET", MAPS "/m-of-w", NULL);
	expect(r, 404, "GET", "/api/v1/namespaces/n", NULL);
	drop(&k, w);
	cluster_run(&k, 5);
	cluster_finish(&k);
}

static void test_versions(void **state)
{
	versions(state, true);
}

static void test_versions_unserved(void **state)
{
	versions(state, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_collected, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_collected_while_swapped, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_namespace, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_versions, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_versions_unserved, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
