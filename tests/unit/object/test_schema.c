#include "unit.h"

#include "object/schema.h"
#include "object/served.h"

#include <stdlib.h>

static void test_every_symbol_is_found(void **state)
{
	(void)state;
	for (unsigned s = 1; s < SYM_MAX; s++) {
		struct sv name = sym_name((enum sym)s);

		assert_true(name.n > 0);
		assert_int_equal(name.p[name.n], '\0');
		assert_int_equal(sym_find(name), s);
	}
	assert_int_equal(sym_find(SV("")), SYM_NONE);
	assert_int_equal(sym_find(SV("no such name")), SYM_NONE);
	assert_int_equal(sym_name(SYM_MAX).n, 0);
	assert_sv(sym_name(F_x_kubernetes_list_type), "x-kubernetes-list-type");
	assert_sv(sym_name(F__ref), "$ref");
}

static void check_field(const struct schema *s, const struct field *f)
{
	assert_true(f->sym != SYM_NONE && f->sym < SYM_MAX);
	assert_ptr_equal(schema_field(s, f->sym), f);
	assert_true(f->kind < _FIELD_KIND_MAX);
	assert_int_equal(f->kind == FIELD_STRUCT || f->kind == FIELD_RAW, f->type != NULL);
	if (f->type)
		assert_ptr_equal(schema_find(sv_from(f->type->ref)), f->type);
	assert_int_equal(f->topology == TOPO_MAP, f->list_keys != NULL);
	for (const enum sym *k = f->list_keys; k && *k; k++)
		assert_non_null(schema_field(f->type, *k));
	if (f->merge_key)
		assert_non_null(schema_field(f->type, f->merge_key));
	if (f->flags & FF_ENUM)
		assert_non_null(f->enum_values);
	for (const struct field *g = s->fields; g < f; g++) {
		assert_true(g->sym != f->sym);
		assert_true(f->number == 0 || g->number != f->number || g->via != f->via);
	}
}

static void test_every_type(void **state)
{
	size_t n = 0;

	(void)state;
	for (; schema_all[n]; n++) {
		const struct schema *s = schema_all[n];

		assert_ptr_equal(schema_find(sv_from(s->ref)), s);
		assert_int_equal(s->root, schema_field(s, F_apiVersion) && s->n_fields && s->fields[0].sym == F_kind &&
					      s->fields[1].sym == F_apiVersion && s->fields[0].number == 0);
		for (size_t i = 0; i < s->n_fields; i++)
			check_field(s, &s->fields[i]);
	}
	assert_int_equal(n, schema_count);
	assert_null(schema_find(SV("core/v1.Nothing")));
	assert_null(schema_field(schema_find(SV("core/v1.Pod")), F_replicas));
}

static void test_every_resource(void **state)
{
	(void)state;
	assert_int_equal(resource_count, R_COUNT);
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		assert_int_equal(r->id, i);
		assert_ptr_equal(resource_find(sv_from(r->group), sv_from(r->version), sv_from(r->plural)),
				 resource_served(r) ? r : NULL);
		assert_ptr_equal(resource_find_kind(sv_from(r->group), sv_from(r->version), sv_from(r->kind)),
				 resource_served(r) ? r : NULL);
		assert_true(r->schema->root);
		assert_true(r->verbs != 0);
		assert_int_equal(r->has_status, resource_subresource(r, SV("status")) != NULL);
		/* What is stored has a hash in discovery, and nothing else has. */
		assert_int_equal((r->verbs & 1 << VERB_WATCH) != 0, *r->storage_version_hash != '\0');
		for (size_t j = 0; j < r->n_subresources; j++)
			assert_ptr_equal(resource_subresource(r, sv_from(r->subresources[j].name)),
					 &r->subresources[j]);
	}
	assert_string_equal(RES(apps_deployments)->kind, "Deployment");
	assert_string_equal(resource_subresource(RES(apps_deployments), SV("scale"))->schema->ref,
			    "autoscaling/v1.Scale");
	assert_null(resource_subresource(RES(core_pods), SV("log"))->schema);
	assert_null(resource_find(SV("apps"), SV("v1"), SV("pods")));
	assert_string_equal(group_version_all[0].group, "");
	for (size_t i = 1; i < group_version_count; i++)
		assert_true(group_version_all[i - 1].group_priority >= group_version_all[i].group_priority);
}

/* Follows ".a.b[0].c" from s to the last field; NULL when a step is no field. A step into a map is its key. */
static const struct field *follow(const struct schema *s, struct sv path)
{
	const struct field *f = NULL;
	struct sv step;

	sv_split(&path, '.', &step);
	assert_int_equal(step.n, 0);
	while (sv_split(&path, '.', &step)) {
		ssize_t bracket = sv_find(step, '[');

		if (f && f->card == CARD_MAP)
			return path.p ? NULL : f;
		if (!s)
			return NULL;
		f = schema_field(s, sym_find(bracket < 0 ? step : sv_sub(step, 0, (size_t)bracket)));
		if (!f || (bracket >= 0 && f->card != CARD_LIST) || (bracket < 0 && path.p && f->card == CARD_LIST))
			return NULL;
		s = f->type;
	}
	return f;
}

static void test_columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		for (size_t k = 0; k < r->n_columns; k++) {
			struct sv path = sv_from(r->columns[k].path), rest;
			ssize_t open = sv_find(path, '(');

			if (!path.p)
				continue;
			if (open >= 0) {
				rest = sv_sub(path, (size_t)open + 1, path.n - (size_t)open - 2);
				sv_split(&rest, ',', &path);
			}
			if (!follow(r->schema, path))
				fail_msg("%s: column %s: no field %.*s", r->plural, r->columns[k].name, SV_ARG(path));
		}
	}
}

static void test_versions(void **state)
{
	struct sv group, version;
	char text[64];

	(void)state;
	assert_true(api_version_split(SV("v1"), &group, &version));
	assert_sv(group, "");
	assert_sv(version, "v1");
	assert_true(api_version_split(SV("apps/v1"), &group, &version));
	assert_sv(group, "apps");
	assert_sv(version, "v1");
	assert_false(api_version_split(SV(""), &group, &version));
	assert_false(api_version_split(SV("/v1"), &group, &version));
	assert_false(api_version_split(SV("a/"), &group, &version));
	assert_false(api_version_split(SV("a/b/c"), &group, &version));
	assert_string_equal(resource_api_version(RES(core_pods), text, sizeof(text)), "v1");
	assert_string_equal(resource_api_version(RES(rbac_roles), text, sizeof(text)), "rbac.authorization.k8s.io/v1");
	for (int v = 0; v < _VERB_MAX; v++)
		assert_true(*verb_name((enum verb)v) != '\0');
	assert_string_equal(verb_name(VERB_DELETECOLLECTION), "deletecollection");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_symbol_is_found),
		cmocka_unit_test(test_every_type),
		cmocka_unit_test(test_every_resource),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
