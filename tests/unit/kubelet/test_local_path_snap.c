/* Snapshots of local-path: taken on the node that has the volume, and claims made of them there; who else may say
 * something of them. */
#include "local_world.h"

#include "base/file.h"
#include "base/tree.h"
#include "volsnap/volsnap.h"

#define GI ((int64_t)1 << 30)
#define SNAPS "/apis/" VOLSNAP_GROUP "/v1/namespaces/default/volumesnapshots"
#define CONTENTS "/apis/" VOLSNAP_GROUP "/v1/volumesnapshotcontents"
#define CLASSES "/apis/" VOLSNAP_GROUP "/v1/volumesnapshotclasses"
#define MERGE "application/merge-patch+json"

static struct world start(void **state)
{
	struct world w;

	cluster_snapshots = true;
	w = begin(state);
	cluster_snapshots = false;
	return w;
}

static void finish(struct world *w)
{
	for (int i = 1; i <= 2; i++)
		assert_int_equal(tree_remove(arena_printf(&w->k.rig->arena, "%s/n%d", w->dir, i), NULL), 0);
	end(w);
}

static const struct val *get(struct rig *r, const char *dir, const char *name)
{
	return expect(r, 200, "GET", arena_printf(&r->arena, "%s/%s", dir, name), NULL);
}

static bool there(struct rig *r, const char *dir, const char *name)
{
	struct answer *a = api(r, "GET", arena_printf(&r->arena, "%s/%s", dir, name));
	bool found = a->code == 200;

	answer_free(a);
	return found;
}

static void snap(struct rig *r, const char *name, const char *source)
{
	expect(r, 201, "POST", SNAPS,
	       arena_printf(&r->arena,
			    "{\"apiVersion\":\"" VOLSNAP_GROUP
			    "/v1\",\"kind\":\"VolumeSnapshot\",\"metadata\":{\"name\":"
			    "\"%s\"},\"spec\":{\"source\":{%s}}}",
			    name, source));
}
#define OF(claim) "\"persistentVolumeClaimName\":\"" claim "\""

static void restore(struct rig *r, const char *name, const char *from, const char *size, const char *more)
{
	expect(
	    r, 201, "POST", CLAIMS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
			 "\"requests\":{\"storage\":\"%s\"}},\"dataSource\":{\"apiGroup\":\"" VOLSNAP_GROUP
			 "\",\"kind\":\"VolumeSnapshot\",\"name\":\"%s\"}%s}}",
			 name, size, from, more));
}

/* A pod that may go anywhere. */
static void free_pod(struct rig *r, const char *name, const char *pvc)
{
	expect(
	    r, 201, "POST", PODS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}],"
			 "\"volumes\":[{\"name\":\"d\",\"persistentVolumeClaim\":{\"claimName\":\"%s\"}}]}}",
			 name, pvc));
}

static bool says(struct rig *r, const char *name, const char *reason, const char *words)
{
	VAL_EACH(val_get(expect(r, 200, "GET", "/api/v1/events", NULL), F_items), e)
		if (val_is(val_get(e, F_involvedObject, F_name), name) && val_is(val_get(e, F_reason), reason) &&
		    strstr(arena_cstr(&r->arena, val_get_str(e, F_message)), words))
			return true;
	return false;
}

static const char *content_of(struct rig *r, const char *snapshot)
{
	return arena_cstr(&r->arena, val_get_str(get(r, SNAPS, snapshot), F_status, F_boundVolumeSnapshotContentName));
}

/* On n2, with the text in it. */
static const char *volume_with(struct rig *r, const char *claim_name, const char *text)
{
	const char *dir;

	claim(r, claim_name, ",\"accessModes\":[\"ReadWriteOnce\"]");
	pod(r, arena_printf(&r->arena, "p-%s", claim_name), claim_name, "n2");
	rig_run(r, 6 * NS_PER_SEC);
	dir = directory(r, claim_name);
	assert_non_null(dir);
	assert_int_equal(file_write_again(arena_printf(&r->arena, "%s/data", dir), sv_from(text), 0600, NULL), 0);
	return dir;
}

static const char *data_of(struct rig *r, const char *pvc)
{
	const char *dir = directory(r, pvc);
	struct sv text;

	return dir && file_read(&r->arena, arena_printf(&r->arena, "%s/data", dir), 100, &text, NULL) >= 0
		   ? arena_cstr(&r->arena, text)
		   : NULL;
}

static void test_refused(void **state)
{
	struct world w = start(state);
	struct rig *r = w.k.rig;

	volume_with(r, "c", "text");
	snap(r, "s", OF("c"));
	snap(r, "never", "\"volumeSnapshotContentName\":\"nobodys\"");
	rig_run(r, 10 * NS_PER_SEC);
	assert_true(val_get_bool(get(r, SNAPS, "s"), F_status, F_readyToUse));
	restore(r, "small", "s", "1Mi", "");
	restore(r, "mode", "s", "1Gi", ",\"volumeMode\":\"Block\"");
	restore(r, "unbound", "never", "1Gi", "");
	restore(r, "nothing", "nobody", "1Gi", "");
	for (const char *const *n = (const char *const[]){ "small", "mode", "unbound", "nothing", NULL }; *n; n++)
		free_pod(r, arena_printf(&r->arena, "p-%s", *n), *n);
	rig_run(r, 30 * NS_PER_SEC);
	assert_true(says(r, "small", "ProvisioningFailed",
			 "requested volume size 1048576 is less than the size 1073741824 for the source snapshot s"));
	assert_true(says(r, "mode", "ProvisioningFailed", "modifies the mode of the source volume"));
	assert_true(says(r, "unbound", "ProvisioningFailed", "snapshot never not bound"));
	assert_true(says(r, "nothing", "ProvisioningFailed", "error getting snapshot nobody from api server"));
	assert_int_equal(volumes(r), 1);
	finish(&w);
}

/* Taken on n2, where the volume is; a claim of it is made there wherever its pod was going to be. */
static void test_taken_and_restored(void **state)
{
	struct world w = start(state);
	struct rig *r = w.k.rig;
	const struct val *c;
	const char *dir = volume_with(r, "c", "then"), *content;
	struct stat st;

	restore(r, "early", "s", "2Gi", ""); /* before there is a snapshot: placed on any node */
	free_pod(r, "p-early", "early");
	rig_run(r, 4 * NS_PER_SEC);
	assert_null(directory(r, "early"));
	snap(r, "s", OF("c"));
	rig_run(r, 5 * NS_PER_SEC);
	content = content_of(r, "s");
	c = get(r, CONTENTS, content);
	assert_val(val_get(c, F_spec, F_driver), LOCAL_PATH_PROVISIONER);
	assert_true(sv_is(volsnap_node(c), "n2"));
	assert_true(sv_starts(val_get_str(c, F_status, F_snapshotHandle), SV("n2/snapshot-")));
	assert_true(val_get_int(c, 0, F_status, F_creationTime) > 0);
	assert_val(val_get(get(r, SNAPS, "s"), F_status, F_restoreSize), "1Gi");
	assert_int_equal(file_write_again(arena_printf(&r->arena, "%s/data", dir), SV("now"), 0600, NULL), 0);
	rig_run(r, 10 * NS_PER_SEC);
	assert_string_equal(data_of(r, "early"), "then");
	assert_val(val_get(get(r, PODS, "p-early"), F_spec, F_nodeName), "n2");
	restore(r, "late", "s", "1Gi", "");
	free_pod(r, "p-late", "late");
	rig_run(r, 8 * NS_PER_SEC);
	assert_string_equal(data_of(r, "late"), "then");
	/* Without the volume that it was taken of. */
	gone(r, PODS "/p-c?gracePeriodSeconds=0");
	gone(r, CLAIMS "/c");
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(stat(dir, &st), -1);
	gone(r, SNAPS "/s");
	rig_run(r, 10 * NS_PER_SEC);
	assert_false(there(r, SNAPS, "s") || there(r, CONTENTS, content));
	assert_int_equal(stat(arena_printf(&r->arena, "%s/n2/.snapshots/snapshot-%s.tree", w.dir, content + 12), &st),
			 -1);
	finish(&w);
}

/* One that is kept is found again by its handle. */
static void test_retained_and_found(void **state)
{
	struct world w = start(state);
	struct rig *r = w.k.rig;
	const char *content, *handle;

	volume_with(r, "c", "text");
	expect_type(r, 200, "PATCH", CLASSES "/local-path", MERGE, "{\"deletionPolicy\":\"Retain\"}");
	rig_run(r, NS_PER_SEC);
	snap(r, "s", OF("c"));
	rig_run(r, 10 * NS_PER_SEC);
	content = content_of(r, "s");
	handle = arena_cstr(&r->arena, val_get_str(get(r, CONTENTS, content), F_status, F_snapshotHandle));
	gone(r, SNAPS "/s");
	rig_run(r, 5 * NS_PER_SEC);
	gone(r, arena_printf(&r->arena, CONTENTS "/%s", content));
	rig_run(r, 5 * NS_PER_SEC);
	assert_false(there(r, CONTENTS, content));
	for (const char *const *n = (const char *const[]){ "found", "lost", NULL }; *n; n++) {
		snap(r, *n, arena_printf(&r->arena, "\"volumeSnapshotContentName\":\"%s\"", *n));
		expect(r, 201, "POST", CONTENTS,
		       arena_printf(&r->arena,
				    "{\"apiVersion\":\"" VOLSNAP_GROUP
				    "/v1\",\"kind\":\"VolumeSnapshotContent\",\"metadata\":{\"name\":\"%s\"},\"spec\":{"
				    "\"driver\":\"" LOCAL_PATH_PROVISIONER
				    "\",\"deletionPolicy\":\"Delete\",\"source\":{\"snapshotHandle\":\"%s\"},"
				    "\"volumeSnapshotRef\":{\"namespace\":\"default\",\"name\":\"%s\"}}}",
				    *n, strcmp(*n, "found") == 0 ? handle : "n2/../../etc", *n));
	}
	rig_run(r, 10 * NS_PER_SEC);
	assert_true(val_get_bool(get(r, SNAPS, "found"), F_status, F_readyToUse));
	assert_false(val_get_bool(get(r, SNAPS, "lost"), F_status, F_readyToUse));
	restore(r, "again", "found", "1Gi", "");
	free_pod(r, "p-again", "again");
	rig_run(r, 20 * NS_PER_SEC);
	assert_string_equal(data_of(r, "again"), "text");
	finish(&w);
}

/* --- what a node may say --- */

static struct sv nodes[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } };

static int as_node(struct rig *r, const char *node, const char *method, const char *path, const char *body)
{
	struct answer *a = api_ask(r, &(struct ask){ .method = method,
						     .path = path,
						     .body = body,
						     .user = arena_printf(&r->arena, "system:node:%s", node),
						     .groups = nodes,
						     .n_groups = 2 });
	int code = a->code;

	answer_free(a);
	return code;
}

static int node_puts(struct rig *r, const char *node, const char *content, const char *sub, const char *patch)
{
	const struct val *doc = get(r, CONTENTS, content), *with;
	struct val *now = val_clone(&r->arena, doc);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	with = json_decode(&r->arena, sv_from(patch), NULL, NULL);
	VAL_EACH_MEMBER(with, part)
		VAL_EACH_MEMBER(part.value, m)
			val_set_sv(&r->arena, val_member_sv_mut(now, part.key), m.key, m.value);
	json_encode(&b, now);
	return as_node(r, node, "PUT", arena_printf(&r->arena, CONTENTS "/%s%s", content, sub), buf_cstr(&b));
}

static void test_nodes(void **state)
{
	struct world w = start(state);
	struct rig *r = w.k.rig;
	const char *content, *path;

	volume_with(r, "c", "text");
	snap(r, "s", OF("c"));
	rig_run(r, 10 * NS_PER_SEC);
	content = content_of(r, "s");
	path = arena_printf(&r->arena, CONTENTS "/%s", content);
	assert_int_equal(as_node(r, "n2", "DELETE", path, NULL), 403);
	assert_int_equal(as_node(r, "n2", "POST", CONTENTS, "{}"), 403);
	assert_int_equal(as_node(r, "n2", "DELETE", SNAPS "/s", NULL), 403);
	assert_int_equal(node_puts(r, "n1", content, "/status", "{\"status\":{\"readyToUse\":false}}"), 403);
	assert_int_equal(node_puts(r, "n1", content, "", "{\"metadata\":{\"finalizers\":[]}}"), 403);
	assert_int_equal(node_puts(r, "n2", content, "", "{\"metadata\":{\"finalizers\":[]}}"),
			 403); /* it is to stay */
	assert_int_equal(
	    node_puts(r, "n2", content, "", "{\"metadata\":{\"labels\":{\"" LABEL_VOLSNAP_NODE "\":\"n1\"}}}"), 403);
	assert_int_equal(node_puts(r, "n2", content, "", "{\"spec\":{\"deletionPolicy\":\"Retain\"}}"), 403);
	assert_int_equal(node_puts(r, "n2", content, "", "{\"metadata\":{\"annotations\":{\"a\":\"b\"}}}"), 403);
	assert_int_equal(node_puts(r, "n2", content, "/status", "{\"status\":{\"restoreSize\":5}}"), 200);
	/* Its provisioner is away: the node itself lets go of what goes. */
	w.nodes[1] = local_path_stop(w.nodes[1]);
	gone(r, SNAPS "/s");
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(node_puts(r, "n1", content, "", "{\"metadata\":{\"finalizers\":[]}}"), 403);
	assert_int_equal(node_puts(r, "n2", content, "", "{\"metadata\":{\"finalizers\":[]}}"), 200);
	rig_run(r, 5 * NS_PER_SEC);
	assert_false(there(r, SNAPS, "s"));
	finish(&w);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_refused), T(test_taken_and_restored), T(test_retained_and_found),
					    T(test_nodes) };

	return cmocka_run_group_tests_name("kubelet/local_path_snap", tests, NULL, NULL);
}
