/* Kinds that come and go: their types, the snapshots that hold them, and who holds a snapshot when it is swapped. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"
#include "codec/symbol.h"
#include "object/api_set.h"
#include "object/served.h"
#include "object/apply.h"
#include "object/decode.h"
#include "object/fieldset.h"
#include "object/obj.h"
#include "object/patch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const char widget_schema[] =
    "{\"type\":\"object\",\"required\":[\"spec\"],\"properties\":{"
    "\"apiVersion\":{\"type\":\"string\"},\"kind\":{\"type\":\"string\"},\"metadata\":{\"type\":\"object\"},"
    "\"spec\":{\"type\":\"object\",\"properties\":{"
    "\"replicas\":{\"type\":\"integer\",\"default\":3},"
    "\"widgetColour\":{\"type\":\"string\",\"enum\":[\"red\",\"blue\"]},"
    "\"odd \\\"name\\\"\":{\"type\":\"string\"},"
    "\"widgetParts\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":["
    "\"partName\"],\"items\":{\"type\":\"object\",\"properties\":{\"partName\":{\"type\":\"string\"},"
    "\"partSize\":{\"x-kubernetes-int-or-string\":true}}}},"
    "\"widgetLimits\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"number\"}},"
    "\"widgetFree\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true},"
    "\"grid\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}}}},"
    "\"status\":{\"type\":\"object\",\"properties\":{\"widgetsMade\":{\"type\":\"integer\",\"format\":\"int32\"}}}}}";

static struct val *doc(struct arena *a, const char *json)
{
	struct val *v = json_decode(a, sv_from(json), NULL, NULL);

	assert_non_null(v);
	return v;
}

#define assert_doc(v, json)                                      \
	do {                                                     \
		_cleanup_(buf_release) struct buf b_ = BUF_INIT; \
		json_encode(&b_, (v));                           \
		assert_string_equal(buf_cstr(&b_), (json));      \
	} while (0)

static struct api_kind *kind(const char *group, const char *plural, const char *name, const char *schema)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct api_kind *k = api_kind_new(&(struct api_kind_def){ .group = group,
								  .version = "v1",
								  .plural = plural,
								  .kind = name,
								  .namespaced = true,
								  .status = true,
								  .schema = schema ? doc(&a, schema) : NULL },
					  NULL);

	assert_non_null(k);
	return k;
}

static const char body[] =
    "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\"},\"spec\":{\"grid\":[[1],[]],"
    "\"widgetFree\":{\"x\":{\"y\":[1]}},\"widgetLimits\":{\"a\":1.5},\"widgetParts\":[{\"partSize\":1,\"partName\":"
    "\"p\"}],\"widgetColour\":\"red\",\"odd \\\"name\\\"\":\"v\"},\"status\":{\"widgetsMade\":2}}";
static const char typed[] =
    "{\"kind\":\"Widget\",\"apiVersion\":\"example.com/v1\",\"metadata\":{\"name\":\"w\"},\"spec\":{\"replicas\":3,"
    "\"widgetColour\":\"red\",\"odd \\\"name\\\"\":\"v\",\"widgetParts\":[{\"partName\":\"p\",\"partSize\":1}],"
    "\"widgetLimits\":{\"a\":1.5},\"widgetFree\":{\"x\":{\"y\":[1]}},\"grid\":[[1],[]]},\"status\":{\"widgetsMade\":"
    "2}}";

/* One document, decoded before the names of the kind were symbols and after: all the engines say the same of both. */
static void test_types(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *before = doc(&a, body), *after, *forms[2];
	struct api_kind *k = kind("example.com", "widgets", "Widget", widget_schema);
	const struct resource *r = api_kind_resource(k);
	const struct field *f;

	(void)state;
	assert_string_equal(r->singular, "widget");
	assert_string_equal(r->list_kind, "WidgetList");
	assert_true(resource_late(r) && api_kind_of(r) == k);
	assert_null(api_kind_of(RES(core_pods)));
	f = schema_field_named(r->schema, SV("spec"));
	assert_true(f && f->kind == FIELD_STRUCT && f->flags & FF_REQUIRED);
	f = schema_field_named(f->type, SV("odd \"name\""));
	assert_true(f && sym_owned(f->sym));
	assert_null(schema_field_named(r->schema, SV("widgetColour")));

	after = doc(&a, body);
	assert_true(val_equal(before, after));
	forms[0] = before;
	forms[1] = after;
	for (int i = 0; i < 2; i++) {
		struct val *v = decode_typed(&a, r->schema, forms[i], NULL, NULL), *other;
		const struct val *patched;
		struct obj *o;

		assert_non_null(v);
		default_typed(&a, r->schema, v);
		order_typed(&a, r->schema, v);
		assert_doc(v, typed);
		o = obj_new(v, 0);
		assert_sv(obj_json(o), typed);
		assert_true(val_equal(obj_root(o), v));
		obj_unref(o);
		other = val_clone(&a, forms[1 - i]);
		order_typed(&a, r->schema, other);
		default_typed(&a, r->schema, other);
		order_typed(&a, r->schema, other);
		assert_doc(other, typed);
		patched =
		    patch_merge(&a, v, doc(&a, "{\"spec\":{\"widgetColour\":null,\"odd \\\"name\\\":\":\"n\"}}"), NULL);
		assert_non_null(patched);
		assert_null(val_member_sv(val_member(patched, F_spec), SV("widgetColour")));
	}
	assert_null(decode_typed(&a, r->schema, doc(&a, "{\"spec\":{\"widgetColour\":5}}"), NULL, NULL));
	api_kind_unref(k);
}

static void test_refused(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct api_kind_def d = { .group = "g", .version = "v1", .plural = "ps", .kind = "P" };
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	d.plural = "p/s";
	assert_null(api_kind_new(&d, &err));
	assert_string_equal(err_msg(&err), "plural 'p/s' of a kind is no name: letters, digits, '-' and '.'");
	d.plural = "ps";
	d.group = "";
	assert_null(api_kind_new(&d, NULL));
	d.group = "g";
	d.schema = doc(&a, "{\"properties\":{\"\":{}}}");
	assert_null(api_kind_new(&d, NULL));
	buf_adds(&b, "{\"properties\":{");
	for (int i = 0; i < 70000; i++)
		buf_printf(&b, "%s\"spec%d\":{}", i ? "," : "", i % 2 ? i : -i);
	buf_adds(&b, "}}");
	d.schema = doc(&a, buf_cstr(&b));
	assert_null(api_kind_new(&d, NULL));
}

static size_t n_served(void)
{
	size_t n = 0;

	for (size_t i = 0; i < resource_count; i++)
		n += resource_served(&resource_all[i]);
	return n;
}

static void test_built_in(void **state)
{
	const struct api_set *s = api_set_built_in();
	size_t n = 0;

	(void)state;
	assert_int_equal(s->n_resources, n_served());
	assert_int_equal(s->n_custom, 0);
	for (size_t i = 0; i < s->n_groups; i++) {
		const struct api_group *g = &s->groups[i];

		assert_ptr_equal(api_group_of(s, sv_from(g->name)), g);
		assert_true(i == 0 || g->priority <= g[-1].priority);
		for (size_t k = 0; k < g->n; k++) {
			n += g->versions[k].n;
			assert_true(g->versions[k].n > 0);
			assert_ptr_equal(api_served(NULL, sv_from(g->name), sv_from(g->versions[k].version)),
					 &g->versions[k]);
		}
	}
	assert_int_equal(n, n_served());
	assert_string_equal(s->groups[0].name, "");
	assert_null(api_group_of(s, SV("example.com")));
	assert_ptr_equal(api_find(s, SV("apps"), SV("v1"), SV("deployments")), RES(apps_deployments));
	api_set_unref(api_set_ref(s));
}

static void test_with(void **state)
{
	const struct api_set *none = api_set_built_in(), *one, *two, *back;
	struct api_kind *w = kind("example.com", "widgets", "Widget", widget_schema);
	struct api_kind *g = kind("apps", "gadgets", "Gadget", NULL), *twin = kind("example.com", "widgets", "X", NULL);
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	one = api_set_with(none, &w, 1, NULL);
	two = api_set_with(one, &g, 1, NULL);
	assert_null(api_set_with(two, &twin, 1, &err));
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	assert_ptr_equal(api_find(one, SV("example.com"), SV("v1"), SV("widgets")), api_kind_resource(w));
	assert_ptr_equal(api_find_kind(two, SV("example.com"), SV("v1"), SV("Widget")), api_kind_resource(w));
	assert_null(api_find(one, SV("apps"), SV("v1"), SV("gadgets")));
	assert_null(api_find(none, SV("example.com"), SV("v1"), SV("widgets")));
	assert_true(api_has(two, api_kind_resource(g)) && !api_has(one, api_kind_resource(g)));
	assert_int_equal(two->n_resources, n_served() + 2);
	assert_int_equal(two->n_groups, none->n_groups + 1);
	assert_int_equal(api_served(two, SV("apps"), SV("v1"))->n, api_served(none, SV("apps"), SV("v1"))->n + 1);
	assert_int_equal(api_group_of(two, SV("example.com"))->priority, 1000);

	openapi_v3_index(&b, two->custom, two->n_custom);
	assert_non_null(strstr(buf_cstr(&b), "apis/example.com/v1"));
	buf_clear(&b);
	assert_true(openapi_v3(&b, SV("example.com"), SV("v1"), two->custom, two->n_custom));
	assert_non_null(strstr(buf_cstr(&b), "widgetColour"));
	assert_non_null(strstr(buf_cstr(&b), "/widgets/{name}/status"));
	buf_clear(&b);
	openapi_v2(&b, two->custom, two->n_custom, NULL);
	assert_non_null(strstr(buf_cstr(&b), "gadgets"));

	back = api_set_without(two, &w, 1);
	assert_null(api_find(back, SV("example.com"), SV("v1"), SV("widgets")));
	assert_non_null(api_find(back, SV("apps"), SV("v1"), SV("gadgets")));
	assert_ptr_equal(api_set_without(back, &g, 1), none);
	api_set_unref(back);
	api_set_unref(one);
	api_kind_unref(w);
	assert_non_null(api_find(two, SV("example.com"), SV("v1"), SV("widgets"))); /* the set holds it */
	api_set_unref(two);
	api_kind_unref(g);
	api_kind_unref(twin);
}

/* --- threads --- */

enum { READERS = 4, SWAPS = 2000 };
static atomic_bool done;
static atomic_int states; /* of sets that are there */

static void state_free(void *p)
{
	atomic_fetch_sub(&states, 1);
	free(p);
}

static void *reader(void *arg)
{
	struct api_current *c = arg;
	const struct api_set *kept = NULL;
	size_t n = 0;

	while (!atomic_load(&done)) {
		const struct api_set *s = api_current_get(c);

		if (s->n_custom) {
			const struct resource *r = s->custom[0].resource;

			assert_ptr_equal(api_find(s, sv_from(r->group), sv_from(r->version), sv_from(r->plural)), r);
			assert_non_null(api_set_state(s));
			assert_non_null(schema_field_named(r->schema, SV("metadata")));
		}
		if (++n % 7 == 0) {
			api_set_unref(kept);
			kept = api_set_ref(s);
		}
		api_set_unref(s);
	}
	api_set_unref(kept);
	return NULL;
}

static void changed(const struct api_set *was, const struct api_set *now, void *ctx)
{
	assert_ptr_not_equal(was, now);
	*(const struct api_set **)ctx = now;
}

static void test_swaps(void **state)
{
	struct api_current *c = api_current_new();
	const struct api_set *told = NULL;
	struct api_listener l = { .changed = changed, .ctx = &told };
	struct api_kind *kinds[3];
	pthread_t t[READERS];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char plural[16];

		snprintf(plural, sizeof(plural), "things%zu", i);
		kinds[i] = kind("swap.example.com", plural, plural, widget_schema);
	}
	api_current_listen(c, &l);
	assert_null(told);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, c), 0);
	for (size_t i = 0; i < SWAPS; i++) {
		const struct api_set *was = api_current_get(c), *now;
		struct api_kind *k = kinds[i / 2 % ARRAY_LEN(kinds)];

		api_current_change(c);
		now = api_find_kind(was, SV("swap.example.com"), SV("v1"), sv_from(api_kind_resource(k)->kind))
			  ? api_set_without(was, &k, 1)
			  : api_set_with(was, &k, 1, NULL);
		assert_non_null(now);
		if (now != api_set_built_in()) {
			atomic_fetch_add(&states, 1);
			api_set_attach(now, xmalloc(16), state_free);
		}
		api_current_swap(c, now);
		api_current_done(c);
		assert_ptr_equal(told, now);
		api_set_unref(was);
	}
	atomic_store(&done, true);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	api_current_unlisten(c, &l);
	api_current_free(c);
	assert_int_equal(atomic_load(&states), 0);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		api_kind_unref(kinds[i]);
}

/* More references than the current one's word can count. */
static void test_many_taken(void **state)
{
	struct api_current *c = api_current_new();
	struct api_kind *k = kind("many.example.com", "things", "Thing", NULL);
	const struct api_set *s = api_set_with(api_set_built_in(), &k, 1, NULL);

	(void)state;
	atomic_fetch_add(&states, 1);
	api_set_attach(s, xmalloc(16), state_free);
	api_current_change(c);
	api_current_swap(c, s);
	for (size_t i = 0; i < 200000; i++)
		assert_ptr_equal(api_current_get(c), s);
	api_current_swap(c, api_set_built_in());
	api_current_done(c);
	assert_ptr_equal(api_current_get(c), api_set_built_in());
	for (size_t i = 0; i < 200000; i++) {
		assert_int_equal(atomic_load(&states), 1);
		api_set_unref(s);
	}
	assert_int_equal(atomic_load(&states), 0);
	api_current_free(c);
	api_kind_unref(k);
}

/* A thousand kinds, again and again: no memory and no symbols are left behind. */
static void test_thousand(void **state)
{
	uint32_t symbols = 0;

	(void)state;
	for (int round = 0; round < 3; round++) {
		struct api_kind *kinds[1000];
		const struct api_set *s;

		for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
			char plural[24], group[40];

			snprintf(plural, sizeof(plural), "k%zu", i);
			snprintf(group, sizeof(group), "g%zu.example.com", i % 100);
			kinds[i] = kind(group, plural, plural, widget_schema);
		}
		s = api_set_with(api_set_built_in(), kinds, ARRAY_LEN(kinds), NULL);
		assert_int_equal(s->n_resources, n_served() + 1000);
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
			assert_true(api_has(s, api_kind_resource(kinds[i])));
			api_kind_unref(kinds[i]);
		}
		api_set_unref(s);
		if (round == 0)
			symbols = sym_end();
		assert_int_equal(sym_end(), symbols);
	}
}

static struct api_kind_def version_def(const char *version)
{
	return (struct api_kind_def){ .group = "example.com", .version = version, .plural = "things", .kind = "Thing" };
}

/* Versions are parts of a kind: in upstream's order in their group, the unserved ones nowhere. */
static void test_versions(void **state)
{
	static const char *const made[] = { "foo10",	 "v1",	    "v11alpha2", "v10beta3", "v2",
					    "v12alpha1", "v3beta1", "v10",	 "foo1",     "v11beta2" },
				 *const order[] = { "v10",     "v2",	    "v1",	 "v11beta2", "v10beta3",
						    "v3beta1", "v12alpha1", "v11alpha2", "foo1",     "foo10" };
	struct api_kind_def d = version_def("v0");
	const struct api_group *g;
	const struct api_set *s;
	struct api_kind *k, *v;
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	d.unserved = true;
	k = api_kind_new(&d, &err);
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		d = version_def(made[i]);
		assert_non_null(api_kind_add_version(k, &d, &err));
	}
	d.kind = "Other";
	assert_null(api_kind_add_version(k, &d, &err));
	err_release(&err);
	s = api_set_with(api_set_built_in(), &k, 1, &err);
	assert_non_null(s);
	assert_int_equal(s->n_custom, ARRAY_LEN(made));
	g = api_group_of(s, SV("example.com"));
	assert_int_equal(g->n, ARRAY_LEN(order));
	for (size_t i = 0; i < g->n; i++)
		assert_string_equal(g->versions[i].version, order[i]);
	assert_null(api_find(s, SV("example.com"), SV("v0"), SV("things")));
	assert_true(api_has(s, api_kind_resource(k))); /* known of what is stored */
	assert_false(api_has(api_set_built_in(), api_kind_resource(k)));
	v = api_kind_next(k);
	assert_true(api_kind_first(api_kind_resource(v)));
	assert_false(api_kind_first(api_kind_resource(k)) || api_kind_first(api_kind_resource(api_kind_next(v))));
	/* Whoever holds one holds all. */
	v = api_kind_ref(v);
	api_set_unref(api_set_without(s, &k, 1));
	api_set_unref(s);
	api_kind_unref(k);
	assert_string_equal(api_kind_resource(k)->version, "v0");
	api_kind_unref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),	 cmocka_unit_test(test_refused),  cmocka_unit_test(test_built_in),
		cmocka_unit_test(test_with),	 cmocka_unit_test(test_swaps),	  cmocka_unit_test(test_many_taken),
		cmocka_unit_test(test_thousand), cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
