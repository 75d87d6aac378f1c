/* The index of what nodes reach by Ingresses: what each change adds, and that nothing stays behind. Its refusals as
 * answers of the server are in authz.matrix. */
#include "unit.h"

#include "apiserver/authz/node_ingress.h"
#include "base/arena.h"
#include "codec/json.h"
#include "costs.h"
#include "object/ingress_refs.h"

struct rig {
	struct node_ingress *g;
	struct arena a;
	int64_t rev;
};

/* A document with ' for ". */
static struct obj *object(struct rig *r, const char *text)
{
	char *json = arena_strdup(&r->a, text);
	struct val *root;

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	root = json_decode(&r->a, sv_from(json), NULL, NULL);
	assert_non_null(root);
	return obj_link(&r->a, obj_new(root, ++r->rev));
}

static struct obj *class(struct rig *r, const char *name, bool ours, bool is_default)
{
	return object(r, arena_printf(&r->a,
				      "{'metadata':{'name':'%s','annotations':{'ingressclass.kubernetes.io/"
				      "is-default-class':'%s'}},'spec':{'controller':'%s'}}",
				      name, is_default ? "true" : "false", ours ? INGRESS_CONTROLLER : "other"));
}

/* secrets: "'a','b'" */
static struct obj *ingress(struct rig *r, const char *name, const char *class, const char *secret)
{
	return object(r, arena_printf(&r->a,
				      "{'metadata':{'namespace':'ns','name':'%s'},'spec':{%s%s%s'tls':[{'secretName':"
				      "'%s'}]}}",
				      name, class ? "'ingressClassName':'" : "", class ? class : "", class ? "'," : "",
				      secret));
}

static struct obj *node(struct rig *r, const char *name, const char *role)
{
	return object(r, arena_printf(&r->a, "{'metadata':{'name':'%s','labels':{'%s':'%s'}}}", name,
				      role ? INGRESS_NODE_LABEL : "x", role ? role : "y"));
}

static void change(struct rig *r, const struct resource *res, struct obj *old, struct obj *now)
{
	node_ingress_observe(r->g, res, old, now);
}

static bool reaches(struct rig *r, const char *node, const char *secret)
{
	return node_ingress_reaches(r->g, sv_from(node), SV("ns"), sv_from(secret));
}

static struct rig rig_new(void)
{
	return (struct rig){ .g = node_ingress_new() };
}

static void rig_end(struct rig *r)
{
	node_ingress_free(r->g);
	arena_release(&r->a);
}

/* In whatever order they come, and go. */
static void test_orders(_unused_ void **state)
{
	const struct resource *const kinds[] = { RES(core_nodes), RES(networking_ingressclasses),
						 RES(networking_ingresses) };
	static const int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (size_t up = 0; up < ARRAY_LEN(orders); up++)
		for (size_t down = 0; down < ARRAY_LEN(orders); down++) {
			struct rig r = rig_new();
			struct obj *objects[] = { node(&r, "n", NULL), class(&r, "c", true, false),
						  ingress(&r, "i", "c", "s") };

			for (size_t i = 0; i < 3; i++) {
				assert_false(reaches(&r, "n", "s"));
				change(&r, kinds[orders[up][i]], NULL, objects[orders[up][i]]);
			}
			assert_true(reaches(&r, "n", "s"));
			assert_false(reaches(&r, "m", "s"));
			assert_false(reaches(&r, "", "s"));
			assert_false(reaches(&r, "n", "t"));
			assert_false(node_ingress_reaches(r.g, SV("n"), SV("other"), SV("s")));
			for (size_t i = 0; i < 3; i++) {
				change(&r, kinds[orders[down][i]], objects[orders[down][i]], NULL);
				assert_false(reaches(&r, "n", "s"));
			}
			assert_int_equal(node_ingress_size(r.g), 0);
			rig_end(&r);
		}
}

static void test_counts(_unused_ void **state)
{
	struct rig r = rig_new();
	struct obj *c = class(&r, "c", true, false), *d = class(&r, "d", true, false), *i = ingress(&r, "i", "c", "s"),
		   *k = ingress(&r, "k", "c", "s"), *l = ingress(&r, "l", "d", "s"), *i2 = ingress(&r, "i", "c", "t");

	change(&r, RES(core_nodes), NULL, node(&r, "n", NULL));
	change(&r, RES(networking_ingressclasses), NULL, c);
	change(&r, RES(networking_ingressclasses), NULL, d);
	change(&r, RES(networking_ingresses), NULL, i);
	change(&r, RES(networking_ingresses), NULL, k);
	change(&r, RES(networking_ingresses), NULL, l);
	change(&r, RES(networking_ingresses), k, NULL);
	assert_true(reaches(&r, "n", "s"));
	change(&r, RES(networking_ingresses), i, i2);
	assert_true(reaches(&r, "n", "s")); /* by the other class */
	assert_true(reaches(&r, "n", "t"));
	change(&r, RES(networking_ingressclasses), d, class(&r, "d", false, false));
	assert_false(reaches(&r, "n", "s"));
	change(&r, RES(networking_ingressclasses), NULL, d);
	assert_true(reaches(&r, "n", "s"));
	change(&r, RES(networking_ingresses), l, NULL);
	assert_false(reaches(&r, "n", "s"));
	rig_end(&r);
}

/* Who names no class means the default one, whichever that is now. */
static void test_default_class(_unused_ void **state)
{
	struct rig r = rig_new();
	struct obj *ours = class(&r, "a", true, true), *theirs = class(&r, "0", false, true);

	change(&r, RES(core_nodes), NULL, node(&r, "n", NULL));
	change(&r, RES(networking_ingresses), NULL, ingress(&r, "i", NULL, "s"));
	assert_false(reaches(&r, "n", "s"));
	change(&r, RES(networking_ingressclasses), NULL, ours);
	assert_true(reaches(&r, "n", "s"));
	change(&r, RES(networking_ingressclasses), NULL, theirs); /* as old, and before it by name */
	assert_false(reaches(&r, "n", "s"));
	change(&r, RES(networking_ingressclasses), theirs, NULL);
	assert_true(reaches(&r, "n", "s"));
	change(&r, RES(networking_ingressclasses), ours, class(&r, "a", true, false));
	assert_false(reaches(&r, "n", "s"));
	rig_end(&r);
}

static void test_roles(_unused_ void **state)
{
	struct rig r = rig_new();
	struct obj *plain = node(&r, "p", NULL), *chosen = node(&r, "c", "true"), *never = node(&r, "x", "false");

	change(&r, RES(networking_ingressclasses), NULL, class(&r, "c", true, false));
	change(&r, RES(networking_ingresses), NULL, ingress(&r, "i", "c", "s"));
	change(&r, RES(core_nodes), NULL, plain);
	change(&r, RES(core_nodes), NULL, never);
	assert_false(reaches(&r, "x", "s"));
	assert_true(reaches(&r, "p", "s"));
	change(&r, RES(core_nodes), NULL, chosen);
	assert_false(reaches(&r, "p", "s"));
	assert_true(reaches(&r, "c", "s"));
	change(&r, RES(core_nodes), chosen, node(&r, "c", "no"));
	assert_false(reaches(&r, "c", "s"));
	assert_true(reaches(&r, "p", "s"));
	change(&r, RES(core_nodes), plain, NULL);
	assert_false(reaches(&r, "p", "s"));
	rig_end(&r);
}

static void cost_flip(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct rig r = rig_new();
	struct obj *ours = class(&r, "c", true, false), *theirs = class(&r, "c", false, false);
	struct obj **all = ARENA_ARRAY(&r.a, struct obj *, n);

	for (size_t i = 0; i < n; i++)
		all[i] = ingress(&r, arena_printf(&r.a, "i%zu", i), "c", arena_printf(&r.a, "s%zu", i));
	cost_begin(c);
	for (size_t i = 0; i < n; i++)
		change(&r, RES(networking_ingresses), NULL, all[i]);
	change(&r, RES(networking_ingressclasses), NULL, ours);
	change(&r, RES(networking_ingressclasses), ours, theirs);
	for (size_t i = 0; i < n; i++)
		change(&r, RES(networking_ingresses), all[i], NULL);
	cost_end(c);
	rig_end(&r);
}

static void test_costs(_unused_ void **state)
{
	static const struct cost_row rows[] = { { "Ingresses of a class", cost_flip, NULL, 0 } };

	expect_linear(rows, ARRAY_LEN(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders), cmocka_unit_test(test_counts), cmocka_unit_test(test_default_class),
		cmocka_unit_test(test_roles),  cmocka_unit_test(test_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
