/* A claim of the class local-path, from its Pod to its directory and back: API server, controllers, scheduler and the
 * provisioners of two nodes, each with the rights it has in life. */
#include "local_world.h"

#include "object/condition.h"

#include <errno.h>
#include <fcntl.h>

static void test_there_and_back(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;
	const struct val *p, *v;
	const char *dir;
	struct stat st;
	int fd;

	/* It is the default class. */
	claim(r, "c", ",\"accessModes\":[\"ReadWriteOnce\"]");
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(volumes(r), 0); /* nobody uses it yet */
	pod(r, "p", "c", "n2");
	rig_run(r, 20 * NS_PER_SEC);
	p = expect(r, 200, "GET", PODS "/p", NULL);
	assert_val(val_get(p, F_spec, F_nodeName), "n2");
	dir = directory(r, "c");
	assert_non_null(dir);
	assert_true(sv_starts(sv_from(dir), sv_from(arena_printf(&r->arena, "%s/n2/pvc-", w.dir))));
	assert_true(sv_ends(sv_from(dir), SV("_default_c")));
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777); /* whoever the container runs as */
	assert_int_equal(stat(arena_printf(&r->arena, "%s/n2", w.dir), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	v = val_at(val_get(expect(r, 200, "GET", PVS, NULL), F_items), 0);
	assert_val(val_get(v, F_spec, F_storageClassName), LOCAL_PATH_CLASS);
	assert_val(val_get(v, F_spec, F_persistentVolumeReclaimPolicy), "Delete");

	fd = open(arena_printf(&r->arena, "%s/data", dir), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	/* Its data stay as long as the claim does. */
	gone(r, PODS "/p?gracePeriodSeconds=0");
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(stat(dir, &st), 0);
	gone(r, CLAIMS "/c");
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(stat(dir, &st), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(volumes(r), 0);
	end(&w);
}

/* A second provisioner run, a restart in the middle, volumes that are deleted first, and kept ones. */
static void test_restarts_and_policies(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;
	const char *dir, *kept;
	struct stat st;

	claim(r, "c", ",\"accessModes\":[\"ReadWriteOncePod\"]");
	claim(r, "kept", ",\"accessModes\":[\"ReadWriteOnce\"]");
	w.nodes[0] = local_path_stop(w.nodes[0]);
	pod(r, "p", "c", "n1");
	pod(r, "q", "kept", "n1");
	rig_run(r, 20 * NS_PER_SEC);
	assert_null(directory(r, "c")); /* the other node's does not make it */
	w.nodes[0] = provisioner(&w, "n1");
	rig_run(r, 20 * NS_PER_SEC);
	dir = directory(r, "c");
	kept = directory(r, "kept");
	assert_non_null(dir);
	assert_non_null(kept);
	VAL_EACH(val_get(expect(r, 200, "GET", PVS, NULL), F_items), v) {
		const char *path = arena_printf(&r->arena, PVS "/%.*s", SV_ARG(val_get_str(v, F_metadata, F_name)));

		if (val_is(val_get(v, F_spec, F_claimRef, F_name), "kept"))
			expect_type(r, 200, "PATCH", path, "application/merge-patch+json",
				    "{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}");
		else
			gone(r, path); /* before its claim: it waits for it, and its directory is not forgotten */
	}
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(stat(dir, &st), 0);
	gone(r, PODS "/p?gracePeriodSeconds=0");
	gone(r, PODS "/q?gracePeriodSeconds=0");
	gone(r, CLAIMS "/c");
	gone(r, CLAIMS "/kept");
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(stat(dir, &st), -1);
	assert_int_equal(stat(kept, &st), 0);
	assert_int_equal(volumes(r), 1);
	/* Kept means that its admin takes it away, and the files later. */
	VAL_EACH(val_get(expect(r, 200, "GET", PVS, NULL), F_items), v)
		gone(r, arena_printf(&r->arena, PVS "/%.*s", SV_ARG(val_get_str(v, F_metadata, F_name))));
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(volumes(r), 0);
	assert_int_equal(rmdir(kept), 0);
	end(&w);
}

static size_t events(struct rig *r, const char *reason)
{
	size_t n = 0;

	VAL_EACH(val_get(expect(r, 200, "GET", "/api/v1/events", NULL), F_items), e)
		n += val_is(val_get(e, F_reason), reason);
	return n;
}

/* What a directory of one node cannot be is refused by name; what is not ours is never removed. */
static void test_refusals(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;
	const char *victim = arena_printf(&r->arena, "%s/n1/victim", w.dir);
	const char *const paths[] = {
		arena_printf(&r->arena, "%s/n1/victim", w.dir),
		arena_printf(&r->arena, "%s/n1", w.dir),
		arena_printf(&r->arena, "%s", w.dir),
	};
	struct stat st;

	claim(r, "shared", ",\"accessModes\":[\"ReadWriteMany\"]");
	claim(r, "clone",
	      ",\"accessModes\":[\"ReadWriteOnce\"],\"dataSource\":{\"kind\":\"PersistentVolumeClaim\",\"name\":"
	      "\"shared\"}");
	claim(r, "picky", ",\"accessModes\":[\"ReadWriteOnce\"],\"selector\":{\"matchLabels\":{\"a\":\"b\"}}");
	pod(r, "p", "shared", "n1");
	pod(r, "q", "clone", "n1");
	pod(r, "s", "picky", "n1");
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(volumes(r), 0);
	assert_true(events(r, "ProvisioningFailed") >= 3);

	assert_int_equal(mkdir(victim, 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		expect(r, 201, "POST", PVS,
		       arena_printf(&r->arena,
				    "{\"metadata\":{\"name\":\"pvc-%zu\",\"annotations\":{\"pv.kubernetes.io/"
				    "provisioned-by\":\"%s\"}},"
				    "\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],"
				    "\"persistentVolumeReclaimPolicy\":\"Delete\",\"claimRef\":{\"namespace\":"
				    "\"default\",\"name\":\"x\",\"uid\":"
				    "\"gone\"},\"hostPath\":{\"path\":\"%s\"},\"nodeAffinity\":{\"required\":{"
				    "\"nodeSelectorTerms\":[{"
				    "\"matchExpressions\":[{\"key\":\"kubernetes.io/"
				    "hostname\",\"operator\":\"In\",\"values\":[\"n1\"]}]}]}}}}",
				    i, LOCAL_PATH_PROVISIONER, paths[i]));
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(stat(victim, &st), 0);
	assert_int_equal(volumes(r), ARRAY_LEN(paths));
	assert_int_equal(rmdir(victim), 0);
	end(&w);
}

static void class(struct rig *r, const char *name, const char *parameters)
{
	expect(r, 201, "POST", "/apis/storage.k8s.io/v1/storageclasses",
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"provisioner\":\"%s\",\"volumeBindingMode\":"
			    "\"WaitForFirstConsumer\",\"allowVolumeExpansion\":true,\"parameters\":{%s}}",
			    name, LOCAL_PATH_PROVISIONER, parameters));
}

/* The newest message of that reason about the object. */
static struct sv said(struct rig *r, const char *name, const char *reason)
{
	struct sv text = SV_NULL;

	VAL_EACH(val_get(expect(r, 200, "GET", "/api/v1/events", NULL), F_items), e)
		if (val_is(val_get(e, F_involvedObject, F_name), name) && val_is(val_get(e, F_reason), reason))
			text = val_get_str(e, F_message);
	return text;
}

static bool says(struct rig *r, const char *name, const char *reason, const char *part)
{
	struct sv text = said(r, name, reason);

	return strstr(arena_cstr(&r->arena, text), part) != NULL;
}

/* What a class asks for and is not to be had makes no volume, and says what could be asked for. */
static void test_parameters(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;

	class(r, "odd", "\"enforcement\":\"perhaps\"");
	class(r, "strict", "\"enforcement\":\"projectQuota\"");
	class(r, "free", "\"enforcement\":\"none\",\"archiveOnDelete\":\"true\",\"nodePath\":\"/x\"");
	claim(r, "a", ",\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":\"odd\"");
	claim(r, "b", ",\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":\"strict\"");
	pod(r, "pa", "a", "n1");
	pod(r, "pb", "b", "n1");
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(volumes(r), 0);
	assert_true(
	    says(r, "a", "ProvisioningFailed",
		 "parameter enforcement of the class is \"perhaps\": it can be auto, projectQuota, image or none"));
	assert_true(says(r, "b", "ProvisioningFailed", "mount it with the option prjquota"));
	gone(r, PODS "/pa?gracePeriodSeconds=0");
	gone(r, PODS "/pb?gracePeriodSeconds=0");
	gone(r, CLAIMS "/a");
	gone(r, CLAIMS "/b");
	/* The default class says that nobody holds the size; one that asks for that does not. */
	claim(r, "c", ",\"accessModes\":[\"ReadWriteOnce\"]");
	claim(r, "d", ",\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":\"free\"");
	pod(r, "pc", "c", "n1");
	pod(r, "pd", "d", "n1");
	rig_run(r, 20 * NS_PER_SEC);
	assert_non_null(directory(r, "c"));
	assert_true(says(r, "c", "SizeNotEnforced", "there is no mkfs.ext4"));
	assert_true(says(r, "c", "ProvisioningSucceeded", "enforcement of its size: none"));
	assert_sv(said(r, "d", "SizeNotEnforced"), "");
	{
		const char *dir = directory(r, "d"), *base = strrchr(dir, '/') + 1;
		const char *kept = arena_printf(&r->arena, "%s/n1/archived-%s", w.dir, base);
		struct stat st;
		int fd = open(arena_printf(&r->arena, "%s/data", dir), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		close(fd);
		gone(r, PODS "/pc?gracePeriodSeconds=0");
		gone(r, PODS "/pd?gracePeriodSeconds=0");
		gone(r, CLAIMS "/c");
		gone(r, CLAIMS "/d");
		rig_run(r, 10 * NS_PER_SEC);
		assert_int_equal(volumes(r), 0);
		assert_int_equal(stat(dir, &st), -1);
		assert_int_equal(unlink(arena_printf(&r->arena, "%s/data", kept)), 0);
		assert_int_equal(rmdir(kept), 0);
	}
	end(&w);
}

#define GI ((int64_t)1 << 30)

static void grow(struct rig *r, const char *name, const char *size)
{
	expect_type(r, 200, "PATCH", arena_printf(&r->arena, CLAIMS "/%s", name), "application/merge-patch+json",
		    arena_printf(&r->arena, "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"%s\"}}}}", size));
	rig_run(r, 10 * NS_PER_SEC);
}

static const struct val *status(struct rig *r, const char *name)
{
	return val_get(expect(r, 200, "GET", arena_printf(&r->arena, CLAIMS "/%s", name), NULL), F_status);
}

/* Grown by its node while it is used; or said to be pending; or left alone while the node is away. */
static void test_growing(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;
	const struct val *st;

	has_quota = true;
	claim(r, "c", ",\"accessModes\":[\"ReadWriteOnce\"]");
	pod(r, "p", "c", "n1");
	rig_run(r, 20 * NS_PER_SEC);
	assert_non_null(directory(r, "c"));
	assert_int_equal(limit, GI);
	assert_true(says(r, "c", "ProvisioningSucceeded", "projectQuota"));
	grow(r, "c", "2Gi");
	assert_int_equal(limit, 2 * GI);
	st = status(r, "c");
	assert_val(val_get(st, F_capacity, F_storage), "2Gi");
	assert_val(val_get(st, F_allocatedResources, F_storage), "2Gi");
	assert_null(val_get(st, F_allocatedResourceStatuses));
	assert_null(condition_find(val_get(st, F_conditions), "Resizing"));
	assert_val(
	    val_get(val_at(val_get(expect(r, 200, "GET", PVS, NULL), F_items), 0), F_spec, F_capacity, F_storage),
	    "2Gi");
	assert_sv(said(r, "c", "VolumeResizeSuccessful"), "Resize volume succeeded");

	cannot_grow = true;
	grow(r, "c", "3Gi");
	st = status(r, "c");
	assert_val(val_get(st, F_capacity, F_storage), "2Gi");
	assert_val(val_get(st, F_allocatedResourceStatuses, F_storage), "NodeResizePending");
	assert_true(condition_is(val_get(st, F_conditions), "FileSystemResizePending", "True"));
	cannot_grow = false;
	w.nodes[0] = local_path_stop(w.nodes[0]);
	grow(r, "c", "4Gi");
	assert_val(val_get(status(r, "c"), F_capacity, F_storage), "2Gi");
	w.nodes[0] = provisioner(&w, "n1");
	rig_run(r, 10 * NS_PER_SEC);
	st = status(r, "c");
	assert_val(val_get(st, F_capacity, F_storage), "4Gi");
	assert_null(condition_find(val_get(st, F_conditions), "FileSystemResizePending"));
	assert_null(val_get(st, F_allocatedResourceStatuses));
	assert_int_equal(limit, 4 * GI);
	gone(r, PODS "/p?gracePeriodSeconds=0");
	gone(r, CLAIMS "/c");
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(limit, 0);
	end(&w);
}

static void test_block(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;
	const struct val *v;
	struct stat st;
	const char *path;

	claim(r, "c", ",\"accessModes\":[\"ReadWriteOnce\"],\"volumeMode\":\"Block\"");
	pod(r, "p", "c", "n1");
	rig_run(r, 20 * NS_PER_SEC);
	path = directory(r, "c");
	assert_non_null(path);
	v = val_at(val_get(expect(r, 200, "GET", PVS, NULL), F_items), 0);
	assert_val(val_get(v, F_spec, F_volumeMode), "Block");
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_size, GI);
	gone(r, PODS "/p?gracePeriodSeconds=0");
	gone(r, CLAIMS "/c");
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(stat(path, &st), -1);
	end(&w);
}

/* A node that goes before it has made the volume: the pod is placed anew, and gets one elsewhere. */
static void test_node_lost(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;

	for (int i = 0; i < 2; i++)
		w.nodes[i] = local_path_stop(w.nodes[i]);
	claim(r, "c", ",\"accessModes\":[\"ReadWriteOnce\"]");
	expect_type(r, 200, "PATCH", "/api/v1/nodes/n1", "application/merge-patch+json",
		    "{\"spec\":{\"unschedulable\":true}}");
	expect(r, 201, "POST", PODS,
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}],"
	       "\"volumes\":[{\"name\":\"d\",\"persistentVolumeClaim\":{\"claimName\":\"c\"}}]}}");
	rig_run(r, 10 * NS_PER_SEC);
	assert_sv(annotation_of(expect(r, 200, "GET", CLAIMS "/c", NULL), ANN_SELECTED_NODE), "n2");
	expect_type(r, 200, "PATCH", "/api/v1/nodes/n1", "application/merge-patch+json",
		    "{\"spec\":{\"unschedulable\":null}}");
	gone(r, "/api/v1/nodes/n2");
	w.nodes[0] = provisioner(&w, "n1");
	rig_run(r, 60 * NS_PER_SEC);
	assert_true(says(r, "c", "ProvisioningFailed", "is gone: another one is chosen"));
	assert_val(val_get(expect(r, 200, "GET", PODS "/p", NULL), F_spec, F_nodeName), "n1");
	assert_non_null(directory(r, "c"));
	gone(r, PODS "/p?gracePeriodSeconds=0");
	gone(r, CLAIMS "/c");
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(volumes(r), 0);
	end(&w);
}

/* A start removes what was made for a claim that is gone, when it is empty and nothing else. */
static void test_orphans(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;
	const char *empty = arena_printf(&r->arena, "%s/n1/pvc-a_default_a", w.dir),
		   *full = arena_printf(&r->arena, "%s/n1/pvc-b_default_b", w.dir), *used;
	struct stat st;

	claim(r, "c", ",\"accessModes\":[\"ReadWriteOnce\"]");
	pod(r, "p", "c", "n1");
	rig_run(r, 20 * NS_PER_SEC);
	used = directory(r, "c");
	w.nodes[0] = local_path_stop(w.nodes[0]);
	assert_int_equal(mkdir(empty, 0700), 0);
	assert_int_equal(mkdir(full, 0700), 0);
	assert_int_equal(mkdir(arena_printf(&r->arena, "%s/data", full), 0700), 0);
	w.nodes[0] = provisioner(&w, "n1");
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(stat(empty, &st), -1);
	assert_int_equal(stat(used, &st), 0);
	assert_int_equal(rmdir(arena_printf(&r->arena, "%s/data", full)), 0);
	assert_int_equal(rmdir(full), 0);
	gone(r, PODS "/p?gracePeriodSeconds=0");
	gone(r, CLAIMS "/c");
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(volumes(r), 0);
	end(&w);
}

static void clone(struct rig *r, const char *name, const char *from, const char *size)
{
	expect(
	    r, 201, "POST", CLAIMS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],"
			 "\"volumeMode\":\"Block\",\"resources\":{\"requests\":{\"storage\":\"%s\"}},\"dataSource\":{"
			 "\"kind\":\"PersistentVolumeClaim\",\"name\":\"%s\"}}}",
			 name, size, from));
}

/* Where its source is, and as large as it asks to be; refused when it is smaller; later, when there is no source yet.
 */
static void test_clone(void **state)
{
	struct world w = begin(state);
	struct rig *r = w.k.rig;
	const char *source, *copy;
	char text[5] = "";
	struct stat st;
	int fd;

	claim(r, "c", ",\"accessModes\":[\"ReadWriteOnce\"],\"volumeMode\":\"Block\"");
	pod(r, "p", "c", "n2");
	rig_run(r, 20 * NS_PER_SEC);
	source = directory(r, "c");
	fd = open(source, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "data", 4, 1 << 20), 4);
	close(fd);

	clone(r, "small", "c", "1Mi");
	clone(r, "early", "later", "1Gi");
	clone(r, "copy", "c", "2Gi");
	expect(r, 201, "POST", CLAIMS,
	       "{\"metadata\":{\"name\":\"snap\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
	       "\"requests\":{\"storage\":\"1Gi\"}},\"dataSource\":{\"apiGroup\":\"snapshot.storage.k8s.io\",\"kind\":"
	       "\"VolumeSnapshot\",\"name\":\"s\"}}}");
	pod(r, "ps", "small", "n2");
	pod(r, "pe", "early", "n1");
	pod(r, "pn", "snap", "n1");
	/* Of a pod that may go anywhere the node is the source's. */
	expect(r, 201, "POST", PODS,
	       "{\"metadata\":{\"name\":\"pc\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}],"
	       "\"volumes\":[{\"name\":\"d\",\"persistentVolumeClaim\":{\"claimName\":\"copy\"}}]}}");
	rig_run(r, 20 * NS_PER_SEC);
	assert_true(says(r, "small", "ProvisioningFailed", "must be greater than or equal in size"));
	assert_true(says(r, "early", "ProvisioningFailed", "the PVC DataSource later is not there"));
	assert_true(says(r, "snap", "ProvisioningFailed", "error getting snapshot s from api server"));
	assert_val(val_get(expect(r, 200, "GET", PODS "/pc", NULL), F_spec, F_nodeName), "n2");
	copy = directory(r, "copy");
	assert_non_null(copy);
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_size, 2 * GI);
	fd = open(copy, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, text, 4, 1 << 20), 4);
	close(fd);
	assert_string_equal(text, "data");
	for (const char *const *n = (const char *const[]){ "p", "ps", "pe", "pn", "pc", NULL }; *n; n++)
		gone(r, arena_printf(&r->arena, PODS "/%s?gracePeriodSeconds=0", *n));
	for (const char *const *n = (const char *const[]){ "c", "small", "early", "snap", "copy", NULL }; *n; n++)
		gone(r, arena_printf(&r->arena, CLAIMS "/%s", *n));
	rig_run(r, 20 * NS_PER_SEC);
	assert_int_equal(volumes(r), 0);
	end(&w);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_there_and_back), T(test_restarts_and_policies),
					    T(test_refusals),	    T(test_parameters),
					    T(test_growing),	    T(test_block),
					    T(test_clone),	    T(test_orphans),
					    T(test_node_lost) };

	return cmocka_run_group_tests_name("kubelet/local_path", tests, NULL, NULL);
}
