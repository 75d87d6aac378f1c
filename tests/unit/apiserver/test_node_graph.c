/* The index of what nodes reach: what each change adds, and that nothing stays behind. Its refusals as answers of the
 * server are in authz.matrix. */
#include "unit.h"

#include "apiserver/authz/node_graph.h"
#include "base/arena.h"
#include "codec/json.h"

#include <stdio.h>

struct graph_rig {
	struct node_graph *g;
	struct arena a;
	int64_t rev;
};

static int setup(void **state)
{
	struct graph_rig *r = xcalloc(1, sizeof(*r));

	r->g = node_graph_new();
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct graph_rig *r = *state;

	node_graph_free(r->g);
	arena_release(&r->a);
	free(r);
	return 0;
}

static struct obj *object(struct graph_rig *r, const char *text)
{
	struct val *root = json_decode(&r->a, sv_from(text), NULL, NULL);

	assert_non_null(root);
	return obj_new(root, ++r->rev);
}

static struct obj *pod(struct graph_rig *r, const char *name, const char *node, const char *spec)
{
	return object(
	    r, arena_printf(&r->a,
			    "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\"},\"spec\":{\"nodeName\":\"%s\"%s%s}}",
			    name, node, spec ? "," : "", spec ? spec : ""));
}

static struct obj *volume(struct graph_rig *r, const char *name, const char *claim, const char *secret)
{
	return object(
	    r, arena_printf(
		   &r->a,
		   "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"claimRef\":{\"namespace\":\"ns\",\"name\":\"%s\"},"
		   "\"csi\":{\"nodeStageSecretRef\":{\"namespace\":\"store\",\"name\":\"%s\"}}}}",
		   name, claim, secret));
}

#define CLAIM(name) "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"" name "\"}}]"
#define SECRET(name) "\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"" name "\"}}]"

static void change(struct graph_rig *r, const struct resource *res, struct obj *old, struct obj *now)
{
	node_graph_observe(r->g, res, old, now);
}

static bool reaches(struct graph_rig *r, const char *node, enum node_graph_kind kind, const char *ns, const char *name)
{
	return node_graph_reaches(r->g, sv_from(node), kind, sv_from(ns), sv_from(name));
}

static void test_nothing_at_first(void **state)
{
	struct graph_rig *r = *state;

	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "s"));
	assert_false(reaches(r, "", NODE_GRAPH_SECRET, "", ""));
	assert_int_equal(node_graph_size(r->g), 0);
}

static void test_two_pods_one_secret(void **state)
{
	struct graph_rig *r = *state;
	_cleanup_obj_ struct obj *p1 = pod(r, "p1", "a", SECRET("s")), *p2 = pod(r, "p2", "a", SECRET("s")),
				 *p3 = pod(r, "p3", "b", SECRET("t"));

	change(r, RES(core_pods), NULL, p1);
	change(r, RES(core_pods), NULL, p2);
	change(r, RES(core_pods), NULL, p3);
	assert_false(reaches(r, "b", NODE_GRAPH_SECRET, "ns", "s"));
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "t"));
	assert_false(reaches(r, "a", NODE_GRAPH_CONFIGMAP, "ns", "s"));
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "other", "s"));
	assert_true(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "s"));
	change(r, RES(core_pods), p1, NULL);
	assert_true(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "s"));
	change(r, RES(core_pods), p2, NULL);
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "s"));
	change(r, RES(core_pods), p3, NULL);
	assert_int_equal(node_graph_size(r->g), 0);
}

/* A pod gets its node by binding, and new ways to name things by ephemeral containers. */
static void test_a_pod_changes(void **state)
{
	struct graph_rig *r = *state;
	_cleanup_obj_ struct obj *unbound = pod(r, "p", "", SECRET("s")), *bound = pod(r, "p", "a", SECRET("s")),
				 *more = pod(r, "p", "a",
					     SECRET("s") ",\"ephemeralContainers\":[{\"name\":\"e\",\"envFrom\":[{"
							 "\"secretRef\":{\"name\":\"e\"}}]}]");

	change(r, RES(core_pods), NULL, unbound);
	assert_false(reaches(r, "", NODE_GRAPH_SECRET, "ns", "s"));
	assert_int_equal(node_graph_size(r->g), 0);
	change(r, RES(core_pods), unbound, bound);
	assert_true(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "s"));
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "e"));
	change(r, RES(core_pods), bound, more);
	assert_true(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "e"));
	change(r, RES(core_pods), more, bound);
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "e"));
	change(r, RES(core_pods), bound, NULL);
	assert_int_equal(node_graph_size(r->g), 0);
}

/* A claim and its volume come in either order, on two nodes at once, and the volume may change hands. */
static void test_volumes_follow_claims(void **state)
{
	struct graph_rig *r = *state;
	_cleanup_obj_ struct obj *p1 = pod(r, "p1", "a", CLAIM("c")), *p2 = pod(r, "p2", "b", CLAIM("c")),
				 *v = volume(r, "v", "c", "s"), *moved = volume(r, "v", "d", "s"),
				 *other = volume(r, "w", "c", "t"), *rekeyed = volume(r, "v", "c", "u");

	change(r, RES(core_pods), NULL, p1);
	assert_true(reaches(r, "a", NODE_GRAPH_CLAIM, "ns", "c"));
	assert_false(reaches(r, "a", NODE_GRAPH_VOLUME, "", "v"));
	change(r, RES(core_persistentvolumes), NULL, v);
	change(r, RES(core_pods), NULL, p2);
	assert_true(reaches(r, "a", NODE_GRAPH_VOLUME, "", "v"));
	assert_true(reaches(r, "b", NODE_GRAPH_VOLUME, "", "v"));
	assert_true(reaches(r, "b", NODE_GRAPH_SECRET, "store", "s"));
	assert_false(reaches(r, "b", NODE_GRAPH_SECRET, "ns", "s"));
	change(r, RES(core_persistentvolumes), v, rekeyed);
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "store", "s"));
	assert_true(reaches(r, "a", NODE_GRAPH_SECRET, "store", "u"));
	change(r, RES(core_persistentvolumes), rekeyed, moved);
	assert_false(reaches(r, "a", NODE_GRAPH_VOLUME, "", "v"));
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "store", "u"));
	change(r, RES(core_persistentvolumes), NULL, other);
	assert_true(reaches(r, "b", NODE_GRAPH_SECRET, "store", "t"));
	change(r, RES(core_pods), p1, NULL);
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "store", "t"));
	assert_true(reaches(r, "b", NODE_GRAPH_SECRET, "store", "t"));
	change(r, RES(core_pods), p2, NULL);
	change(r, RES(core_persistentvolumes), moved, NULL);
	change(r, RES(core_persistentvolumes), other, NULL);
	assert_int_equal(node_graph_size(r->g), 0);
}

/* What a status changes most often touches nothing behind the claim: the same count before and after, and never
 * another answer in between. */
static void test_same_again(void **state)
{
	struct graph_rig *r = *state;
	_cleanup_obj_ struct obj *p = pod(r, "p", "a", CLAIM("c")), *same = pod(r, "p", "a", CLAIM("c")),
				 *v = volume(r, "v", "c", "s");
	size_t n;

	change(r, RES(core_pods), NULL, p);
	change(r, RES(core_persistentvolumes), NULL, v);
	n = node_graph_size(r->g);
	for (int i = 0; i < 100; i++) {
		change(r, RES(core_pods), i % 2 ? same : p, i % 2 ? p : same);
		assert_true(reaches(r, "a", NODE_GRAPH_SECRET, "store", "s"));
		assert_int_equal(node_graph_size(r->g), n);
	}
}

static void test_mirror_pods_give_nothing(void **state)
{
	struct graph_rig *r = *state;
	_cleanup_obj_ struct obj *p = object(
	    r, "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"m\",\"annotations\":{\"kubernetes.io/"
	       "config.mirror\":\"\"}},\"spec\":{\"nodeName\":\"a\",\"serviceAccountName\":\"boss\"," SECRET("s") "}}");

	change(r, RES(core_pods), NULL, p);
	assert_true(reaches(r, "a", NODE_GRAPH_POD, "ns", "m"));
	assert_false(reaches(r, "a", NODE_GRAPH_SECRET, "ns", "s"));
	assert_false(reaches(r, "a", NODE_GRAPH_SERVICE_ACCOUNT, "ns", "boss"));
	assert_int_equal(node_graph_size(r->g), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_nothing_at_first),      T(test_two_pods_one_secret), T(test_a_pod_changes),
		T(test_volumes_follow_claims), T(test_same_again),	    T(test_mirror_pods_give_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
