/* Volumes that a node makes: of its own directories, for claims that were placed on it, and nothing else. */
#include "harness.h"

#include "object/obj.h"

#define PV "/api/v1/persistentvolumes"
#define PVC "/api/v1/namespaces/default/persistentvolumeclaims"
#define CLASS "/apis/storage.k8s.io/v1/storageclasses"

static struct sv nodes[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } };

static int as_node(struct rig *r, const char *node, const char *method, const char *path, const char *body,
		   const char *type, const char *words)
{
	struct answer *a = api_ask(r, &(struct ask){ .method = method,
						     .path = path,
						     .body = body,
						     .type = type,
						     .user = arena_printf(&r->arena, "system:node:%s", node),
						     .groups = nodes,
						     .n_groups = 2 });
	int code = a->code;

	if (words)
		assert_non_null(strstr(arena_cstr(&r->arena, val_get_str(api_json(a), F_message)), words));
	answer_free(a);
	return code;
}

/* A claim, placed on n1 unless said otherwise; its uid. */
static const char *claim(struct rig *r, const char *name, const char *annotations)
{
	const struct val *o = expect(
	    r, 201, "POST", PVC,
	    arena_printf(
		&r->arena,
		"{\"metadata\":{\"name\":\"%s\",\"annotations\":{%s}},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],"
		"\"storageClassName\":\"local-path\",\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}",
		name, annotations));

	return arena_cstr(&r->arena, val_get_str(o, F_metadata, F_uid));
}

#define PLACED(node)                                     \
	"\"volume.kubernetes.io/selected-node\":\"" node \
	"\",\"volume.kubernetes.io/storage-provisioner\":\"caravel.io/local-path\""

static const char *volume(struct rig *r, const char *name, const char *host, const char *claim_name, const char *uid,
			  const char *by)
{
	return arena_printf(
	    &r->arena,
	    "{\"metadata\":{\"name\":\"%s\",\"annotations\":{\"pv.kubernetes.io/provisioned-by\":\"%s\"}},"
	    "\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],"
	    "\"storageClassName\":\"local-path\",\"hostPath\":{\"path\":\"/v\"},\"claimRef\":{\"kind\":"
	    "\"PersistentVolumeClaim\",\"namespace\":\"default\",\"name\":\"%s\",\"uid\":\"%s\"},"
	    "\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":"
	    "\"kubernetes.io/hostname\",\"operator\":\"In\",\"values\":[%s]}]}]}}}}",
	    name, by, claim_name, uid, host);
}

#define OURS "caravel.io/local-path"

static void test_made(void **state)
{
	struct rig *r = *state;
	const char *mine = claim(r, "mine", PLACED("n1")), *theirs = claim(r, "theirs", PLACED("n2")),
		   *nobodys =
		       claim(r, "nobodys", "\"volume.kubernetes.io/storage-provisioner\":\"caravel.io/local-path\"");
	const char *words = "can only create volumes on itself";

	/* Somebody else's claim, one that is not placed, one that is not there, or another than it says. */
	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n1\"", "theirs", theirs, OURS), NULL, words),
			 403);
	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n1\"", "nobodys", nobodys, OURS), NULL, words),
			 403);
	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n1\"", "gone", mine, OURS), NULL, words), 403);
	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n1\"", "mine", theirs, OURS), NULL, words),
			 403);
	/* On another node, or on more than itself; another provisioner's. */
	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n2\"", "mine", mine, OURS), NULL, words), 403);
	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n1\",\"n2\"", "mine", mine, OURS), NULL, words),
			 403);
	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n1\"", "mine", mine, "x.io/y"), NULL, words),
			 403);
	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n1\"", "mine", mine, OURS), NULL, NULL), 201);
}

static int resized(struct rig *r, const char *node, const char *uid, const char *size)
{
	const char *text = volume(r, "a", "\"n1\"", "mine", uid, OURS), *at = strstr(text, "\"1Gi\"");

	assert_non_null(at);
	return as_node(r, node, "PUT", PV "/a",
		       arena_printf(&r->arena, "%.*s\"%s\"%s", (int)(at - text), text, size, at + 5), NULL, NULL);
}

static void test_changed(void **state)
{
	struct rig *r = *state;
	const char *uid = claim(r, "mine", PLACED("n1"));

	assert_int_equal(as_node(r, "n1", "POST", PV, volume(r, "a", "\"n1\"", "mine", uid, OURS), NULL, NULL), 201);
	assert_int_equal(as_node(r, "n2", "DELETE", PV "/a", NULL, NULL, "can only change volumes that it has made"),
			 403);
	assert_int_equal(
	    as_node(r, "n1", "PUT", PV "/a", volume(r, "a", "\"n1\",\"n2\"", "mine", uid, OURS), NULL, NULL), 403);
	assert_int_equal(as_node(r, "n1", "PUT", PV "/a",
				 arena_printf(&r->arena, "%s", volume(r, "a", "\"n1\"", "mine", "other", OURS)), NULL,
				 "cannot change what its volumes are"),
			 403);
	assert_int_equal(
	    as_node(r, "n1", "PUT", PV "/a/status", volume(r, "a", "\"n1\"", "mine", uid, OURS), NULL, NULL), 403);
	assert_int_equal(as_node(r, "n1", "PUT", PV "/a", volume(r, "a", "\"n1\"", "mine", uid, OURS), NULL, NULL),
			 200);
	/* It grows, for who made it; it does not shrink, and changes nothing else with it. */
	assert_int_equal(resized(r, "n2", uid, "2Gi"), 403);
	assert_int_equal(resized(r, "n1", "other", "2Gi"), 403);
	assert_int_equal(resized(r, "n1", uid, "1Mi"), 403);
	assert_int_equal(resized(r, "n1", uid, "2Gi"), 200);
	assert_int_equal(resized(r, "n1", uid, "1Gi"), 403);
	/* An admin's volume is none of its. */
	expect(r, 201, "POST", PV,
	       "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":["
	       "\"ReadWriteOnce\"],"
	       "\"hostPath\":{\"path\":\"/b\"}}}");
	assert_int_equal(as_node(r, "n1", "DELETE", PV "/b", NULL, NULL, "can only change volumes that it has made"),
			 403);
	assert_int_equal(as_node(r, "n1", "DELETE", PV "/a", NULL, NULL, NULL), 200);
}

static void test_class(void **state)
{
	struct rig *r = *state;
	const char *words = "can only create the class \"local-path\"";

	assert_int_equal(as_node(r, "n1", "POST", CLASS,
				 "{\"metadata\":{\"name\":\"x\"},\"provisioner\":\"caravel.io/local-path\"}", NULL,
				 words),
			 403);
	assert_int_equal(as_node(r, "n1", "POST", CLASS,
				 "{\"metadata\":{\"name\":\"local-path\"},\"provisioner\":\"x.io/y\"}", NULL, words),
			 403);
	assert_int_equal(as_node(r, "n1", "POST", CLASS,
				 "{\"metadata\":{\"name\":\"local-path\"},\"provisioner\":\"caravel.io/local-path\"}",
				 NULL, NULL),
			 201);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_changed, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_class, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("apiserver/node_volumes", tests, NULL, NULL);
}
