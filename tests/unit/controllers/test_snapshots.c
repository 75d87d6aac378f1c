/* VolumeSnapshots on the real API server, with a driver's side made of requests: what its csi-snapshotter would say. */
#include "real.h"

#include "object/annotation.h"
#include "volsnap/volsnap.h"

#define PVS "/api/v1/persistentvolumes"
#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define SNAPS "/apis/" VOLSNAP_GROUP "/v1/namespaces/default/volumesnapshots"
#define CONTENTS "/apis/" VOLSNAP_GROUP "/v1/volumesnapshotcontents"
#define CLASSES "/apis/" VOLSNAP_GROUP "/v1/volumesnapshotclasses"
#define STORAGE "/apis/storage.k8s.io/v1/storageclasses"
#define MERGE "application/merge-patch+json"

static const char *at(struct rig *r, const char *dir, const char *name)
{
	return arena_printf(&r->arena, "%s/%s", dir, name);
}

static const struct val *get(struct rig *r, const char *dir, const char *name)
{
	return expect(r, 200, "GET", at(r, dir, name), NULL);
}

static bool there(struct rig *r, const char *dir, const char *name)
{
	struct answer *a = api(r, "GET", at(r, dir, name));
	bool found = a->code == 200;

	answer_free(a);
	return found;
}

static bool has_finalizer(const struct val *o, const char *name)
{
	VAL_EACH(val_get(o, F_metadata, F_finalizers), f)
		if (val_is(f, name))
			return true;
	return false;
}

static size_t events(struct rig *r, const char *name, const char *reason)
{
	size_t n = 0;

	VAL_EACH(val_get(expect(r, 200, "GET", "/api/v1/events", NULL), F_items), e)
		n += val_is(val_get(e, F_involvedObject, F_name), name) && val_is(val_get(e, F_reason), reason);
	return n;
}

static void storage_class(struct rig *r, const char *name, const char *driver)
{
	expect(r, 201, "POST", STORAGE,
	       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"provisioner\":\"%s\"}", name, driver));
}

static void class(struct rig *r, const char *name, const char *driver, const char *policy, bool standard,
		  const char *more)
{
	expect(r, 201, "POST", CLASSES,
	       arena_printf(&r->arena,
			    "{\"apiVersion\":\"" VOLSNAP_GROUP "/v1\",\"kind\":\"VolumeSnapshotClass\",\"metadata\":{"
			    "\"name\":\"%s\",\"annotations\":{\"" ANN_VOLSNAP_DEFAULT "\":\"%s\"}},\"driver\":\"%s\","
			    "\"deletionPolicy\":\"%s\"%s}",
			    name, standard ? "true" : "false", driver, policy, more));
}

/* A claim of the class "csi" and its volume, bound to each other. */
static void claim_bound_to(struct rig *r, const char *name, const char *source)
{
	expect(r, 201, "POST", CLAIMS,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"storageClassName\":\"csi\",\"accessModes\":["
			    "\"ReadWriteOnce\"],\"volumeName\":\"pv-%s\",\"resources\":{\"requests\":{\"storage\":"
			    "\"1Gi\"}}}}",
			    name, name));
	expect(r, 201, "POST", PVS,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"pv-%s\"},\"spec\":{\"storageClassName\":\"csi\",\"capacity\":{"
			    "\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],%s}}",
			    name, source));
}

#define CSI(handle) "\"csi\":{\"driver\":\"csi.example.com\",\"volumeHandle\":\"" handle "\"}"

static void snap(struct rig *r, int code, const char *name, const char *spec)
{
	expect(r, code, "POST", SNAPS,
	       arena_printf(&r->arena,
			    "{\"apiVersion\":\"" VOLSNAP_GROUP
			    "/v1\",\"kind\":\"VolumeSnapshot\",\"metadata\":{\"name\":"
			    "\"%s\"},\"spec\":{%s}}",
			    name, spec));
}
#define OF_CLAIM(name) "\"source\":{\"persistentVolumeClaimName\":\"" name "\"}"
#define OF_CONTENT(name) "\"source\":{\"volumeSnapshotContentName\":\"" name "\"}"

static void content(struct rig *r, int code, const char *name, const char *spec)
{
	expect(
	    r, code, "POST", CONTENTS,
	    arena_printf(&r->arena,
			 "{\"apiVersion\":\"" VOLSNAP_GROUP "/v1\",\"kind\":\"VolumeSnapshotContent\",\"metadata\":{"
			 "\"name\":\"%s\"},\"spec\":{\"driver\":\"csi.example.com\",\"deletionPolicy\":\"Delete\",%s}}",
			 name, spec));
}
#define HANDLE "\"source\":{\"snapshotHandle\":\"h\"}"
#define FOR(name) "\"volumeSnapshotRef\":{\"namespace\":\"default\",\"name\":\"" name "\"}"

static const char *content_of(struct rig *r, const char *snapshot)
{
	struct sv uid = val_get_str(get(r, SNAPS, snapshot), F_metadata, F_uid);

	return arena_printf(&r->arena, "snapcontent-%.*s", SV_ARG(uid));
}

static void driver_says(struct rig *r, const char *content, const char *status)
{
	expect_type(r, 200, "PATCH", arena_printf(&r->arena, CONTENTS "/%s/status", content), MERGE,
		    arena_printf(&r->arena, "{\"status\":{%s}}", status));
}

static void driver_takes(struct rig *r, const char *content)
{
	driver_says(r, content,
		    "\"snapshotHandle\":\"h\",\"creationTime\":1700000000000000000,\"readyToUse\":true,\"restoreSize\":"
		    "1073741824");
}

/* What the driver's side does when the data are gone, or let go. */
static void driver_lets_go(struct rig *r, const char *content)
{
	expect_type(r, 200, "PATCH", at(r, CONTENTS, content), MERGE, "{\"metadata\":{\"finalizers\":null}}");
}

static void says(struct rig *r, const char *snapshot, const char *message)
{
	assert_val(val_get(get(r, SNAPS, snapshot), F_status, F_error, F_message), message);
}

static struct cluster start(void **state)
{
	struct cluster k;

	cluster_snapshots = true;
	k = cluster_start(state);
	cluster_snapshots = false;
	return k;
}

/* With what a driver brings: its class, and with that the kinds. */
static struct cluster start_with_driver(void **state)
{
	struct cluster k = start(state);

	storage_class(k.rig, "csi", "csi.example.com");
	cluster_run(&k, 5);
	class(k.rig, "snap", "csi.example.com", "Delete", true, "");
	claim_bound_to(k.rig, "data", CSI("vol-1"));
	cluster_run(&k, 3);
	return k;
}

/* --- kinds --- */

/* They are there at once. Nobody who has nothing to take a snapshot of pays for more. */
static void test_kinds_come_first(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;

	storage_class(r, "local", "kubernetes.io/no-provisioner");
	storage_class(r, "local-path", "caravel.io/local-path");
	cluster_run(&k, 30);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CRDS, NULL), F_items)), _VOLSNAP_MAX);
	assert_false(there(r, CLASSES, "local-path"));
	expect(r, 201, "POST", CLAIMS,
	       "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
	       "\"requests\":{\"storage\":\"1Gi\"}}}}");
	cluster_run(&k, 10);
	assert_val(val_get(get(r, CLASSES, "local-path"), F_driver), "caravel.io/local-path");
	assert_sv(annotation_of(get(r, CLASSES, "local-path"), ANN_VOLSNAP_DEFAULT), "true");
	cluster_finish(&k);
}

/* What somebody brings of another cluster is bound before there is any claim, and so is a snapshot that comes first. */
static void test_nothing_but_a_snapshot(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;

	cluster_run(&k, 5);
	content(r, 201, "c", HANDLE "," FOR("s"));
	cluster_run(&k, 5);
	snap(r, 201, "s", OF_CONTENT("c"));
	cluster_run(&k, 10);
	driver_takes(r, "c");
	cluster_run(&k, 3);
	assert_true(val_get_bool(get(r, SNAPS, "s"), F_status, F_readyToUse));
	assert_true(has_finalizer(get(r, CONTENTS, "c"), VOLSNAP_CONTENT_BOUND));
	cluster_finish(&k);
}

/* One that was there before these controllers. */
static void test_a_snapshot_from_before(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;

	cluster_run(&k, 5);
	cluster_finish(&k);
	content(r, 201, "c", HANDLE "," FOR("s"));
	snap(r, 201, "s", OF_CONTENT("c"));
	cluster_snapshots = true;
	k = cluster_start_again(state);
	cluster_snapshots = false;
	cluster_run(&k, 10);
	driver_takes(r, "c");
	cluster_run(&k, 3);
	assert_true(val_get_bool(get(r, SNAPS, "s"), F_status, F_readyToUse));
	cluster_finish(&k);
}

/* A claim may be there before any node is, which brings the class of local-path. */
static void test_class_when_there_are_volumes(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", CLAIMS,
	       "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
	       "\"requests\":{\"storage\":\"1Gi\"}}}}");
	cluster_run(&k, 10);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CRDS, NULL), F_items)), _VOLSNAP_MAX);
	assert_false(there(r, CLASSES, "local-path"));
	storage_class(r, "local-path", "caravel.io/local-path");
	cluster_run(&k, 10);
	assert_val(val_get(get(r, CLASSES, "local-path"), F_driver), "caravel.io/local-path");
	cluster_finish(&k);
}

static void test_kinds_not_wanted(void **state)
{
	struct cluster k = cluster_start(state);

	storage_class(k.rig, "csi", "csi.example.com");
	cluster_run(&k, 30);
	assert_int_equal(val_len(val_get(expect(k.rig, 200, "GET", CRDS, NULL), F_items)), 0);
	cluster_finish(&k);
}

/* As upstream's definitions refuse them. */
static void test_refused(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;

	snap(r, 422, "x", "\"source\":{}");
	snap(r, 422, "x", "\"source\":{\"persistentVolumeClaimName\":\"c\",\"volumeSnapshotContentName\":\"d\"}");
	snap(r, 422, "x", OF_CLAIM("c") ",\"volumeSnapshotClassName\":\"\"");
	content(r, 422, "x", "\"source\":{}," FOR("s"));
	content(r, 422, "x", "\"source\":{\"volumeHandle\":\"v\",\"snapshotHandle\":\"h\"}," FOR("s"));
	content(r, 422, "x", HANDLE ",\"volumeSnapshotRef\":{\"name\":\"s\"}");
	content(r, 422, "x", HANDLE);
	content(r, 201, "c", HANDLE ",\"sourceVolumeMode\":\"Block\"," FOR("nobody"));
	expect_type(r, 422, "PATCH", CONTENTS "/c", MERGE, "{\"spec\":{\"sourceVolumeMode\":\"Filesystem\"}}");
	expect_type(r, 422, "PATCH", CONTENTS "/c", MERGE, "{\"spec\":{\"sourceVolumeMode\":null}}");
	expect_type(r, 422, "PATCH", CONTENTS "/c", MERGE, "{\"spec\":{\"source\":{\"snapshotHandle\":\"other\"}}}");
	cluster_finish(&k);
}

/* --- of a claim --- */

static void test_taken(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;
	const struct val *s, *c;

	snap(r, 201, "s", OF_CLAIM("data"));
	cluster_run(&k, 3);
	s = get(r, SNAPS, "s");
	assert_val(val_get(s, F_spec, F_volumeSnapshotClassName), "snap");
	assert_val(val_get(s, F_status, F_boundVolumeSnapshotContentName), content_of(r, "s"));
	assert_false(val_get_bool(s, F_status, F_readyToUse));
	assert_true(has_finalizer(s, VOLSNAP_AS_SOURCE) && has_finalizer(s, VOLSNAP_BOUND));
	assert_true(has_finalizer(get(r, CLAIMS, "data"), VOLSNAP_CLAIM_AS_SOURCE));
	c = get(r, CONTENTS, content_of(r, "s"));
	assert_val(val_get(c, F_spec, F_source, F_volumeHandle), "vol-1");
	assert_val(val_get(c, F_spec, F_driver), "csi.example.com");
	assert_val(val_get(c, F_spec, F_deletionPolicy), "Delete");
	assert_val(val_get(c, F_spec, F_volumeSnapshotClassName), "snap");
	assert_val(val_get(c, F_spec, F_sourceVolumeMode), "Filesystem");
	assert_val(val_get(c, F_spec, F_volumeSnapshotRef, F_kind), "VolumeSnapshot");
	assert_true(val_equal(val_get(c, F_spec, F_volumeSnapshotRef, F_uid), val_get(s, F_metadata, F_uid)));
	assert_true(has_finalizer(c, VOLSNAP_CONTENT_BOUND));
	assert_int_equal(events(r, "s", "CreatingSnapshot"), 1);

	driver_says(r, content_of(r, "s"), "\"error\":{\"message\":\"no room\"}");
	cluster_run(&k, 2);
	says(r, "s", "no room");
	driver_takes(r, content_of(r, "s"));
	cluster_run(&k, 3);
	s = get(r, SNAPS, "s");
	assert_true(val_get_bool(s, F_status, F_readyToUse));
	assert_val(val_get(s, F_status, F_restoreSize), "1Gi");
	assert_val(val_get(s, F_status, F_creationTime), "2023-11-14T22:13:20Z");
	assert_null(val_get(s, F_status, F_error));
	assert_false(has_finalizer(get(r, CLAIMS, "data"), VOLSNAP_CLAIM_AS_SOURCE));
	assert_int_equal(events(r, "s", "SnapshotReady"), 1);
	cluster_finish(&k);
}

/* What cannot be taken says why, and is taken when that is mended. */
static void test_taken_later(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", CLAIMS,
	       "{\"metadata\":{\"name\":\"waits\"},\"spec\":{\"storageClassName\":\"csi\",\"accessModes\":["
	       "\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"9Gi\"}}}}");
	claim_bound_to(r, "plain", "\"hostPath\":{\"path\":\"/x\"}");
	snap(r, 201, "no-claim", OF_CLAIM("nobody") ",\"volumeSnapshotClassName\":\"snap\"");
	snap(r, 201, "unbound", OF_CLAIM("waits"));
	snap(r, 201, "plain", OF_CLAIM("plain"));
	snap(r, 201, "no-class", OF_CLAIM("data") ",\"volumeSnapshotClassName\":\"later\"");
	cluster_run(&k, 3);
	says(
	    r, "no-claim",
	    "Failed to create snapshot content with error snapshot controller failed to update no-claim on API server: "
	    "cannot get claim from snapshot");
	says(r, "unbound",
	     "Failed to create snapshot content with error failed to get input parameters to create snapshot unbound: "
	     "\"the PVC waits is not yet bound to a PV, will not attempt to take a snapshot\"");
	says(r, "plain",
	     "Failed to create snapshot content with error failed to get input parameters to create snapshot plain: "
	     "\"cannot find CSI PersistentVolumeSource for volume pv-plain\"");
	says(r, "no-class",
	     "Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io \"later\" not found");
	assert_int_equal(events(r, "unbound", "SnapshotContentCreationFailed"), 1);
	assert_int_equal(events(r, "no-class", "GetSnapshotClassFailed"), 1);
	class(r, "later", "other.example.com", "Delete", false, "");
	claim_bound_to(r, "nobody", CSI("vol-2"));
	cluster_run(&k, 5);
	assert_true(there(r, CONTENTS, content_of(r, "no-claim")));
	assert_false(there(r, CONTENTS, content_of(r, "no-class"))); /* another driver's class */
	cluster_finish(&k);
}

static void test_default_class(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;

	class(r, "second", "csi.example.com", "Retain", true, "");
	class(r, "other", "other.example.com", "Retain", true, "");
	snap(r, 201, "s", OF_CLAIM("data"));
	cluster_run(&k, 3);
	says(r, "s", "Failed to set default snapshot class with error 2 default snapshot classes were found");
	expect(r, 200, "DELETE", CLASSES "/snap", NULL);
	expect(r, 200, "DELETE", CLASSES "/second", NULL);
	snap(r, 201, "t", OF_CLAIM("data"));
	cluster_run(&k, 30);
	says(r, "t", "Failed to set default snapshot class with error cannot find default snapshot class");
	class(r, "third", "csi.example.com", "Retain", true, "");
	cluster_run(&k, 10);
	assert_val(val_get(get(r, CONTENTS, content_of(r, "s")), F_spec, F_volumeSnapshotClassName), "third");
	assert_val(val_get(get(r, CONTENTS, content_of(r, "t")), F_spec, F_deletionPolicy), "Retain");
	cluster_finish(&k);
}

/* The Secret with which the driver deletes it. */
static void test_secrets(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;
	const struct val *c;

#define SECRET(name, ns)                                                          \
	",\"parameters\":{\"csi.storage.k8s.io/snapshotter-secret-name\":\"" name \
	"\",\"csi.storage.k8s.io/snapshotter-secret-namespace\":\"" ns "\"}"
	class(r, "secret", "csi.example.com", "Delete", false,
	      SECRET("of-${volumesnapshot.name}", "${volumesnapshot.namespace}"));
	class(r, "half", "csi.example.com", "Delete", false,
	      ",\"parameters\":{\"csi.storage.k8s.io/snapshotter-secret-name\":\"x\"}");
	class(r, "wrong", "csi.example.com", "Delete", false, SECRET("x", "${volumesnapshot.name}"));
	snap(r, 201, "s", OF_CLAIM("data") ",\"volumeSnapshotClassName\":\"secret\"");
	snap(r, 201, "half", OF_CLAIM("data") ",\"volumeSnapshotClassName\":\"half\"");
	snap(r, 201, "wrong", OF_CLAIM("data") ",\"volumeSnapshotClassName\":\"wrong\"");
	cluster_run(&k, 3);
	c = get(r, CONTENTS, content_of(r, "s"));
	assert_sv(annotation_of(c, ANN_VOLSNAP_SECRET_NAME), "of-s");
	assert_sv(annotation_of(c, ANN_VOLSNAP_SECRET_NS), "default");
	assert_false(there(r, CONTENTS, content_of(r, "half")));
	assert_false(there(r, CONTENTS, content_of(r, "wrong"))); /* its user would choose the namespace */
	cluster_finish(&k);
}

/* --- of what is there --- */

static void test_existing(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;
	const struct val *s, *c;

	content(r, 201, "others", HANDLE "," FOR("somebody"));
	content(r, 201, "dynamic", "\"source\":{\"volumeHandle\":\"v\"}," FOR("wrong-kind"));
	snap(r, 201, "thief", OF_CONTENT("others"));
	snap(r, 201, "wrong-kind", OF_CONTENT("dynamic"));
	snap(r, 201, "s", OF_CONTENT("c") ",\"volumeSnapshotClassName\":\"snap\"");
	cluster_run(&k, 3);
	says(r, "thief", "VolumeSnapshotContent [others] is bound to a different snapshot");
	says(r, "wrong-kind", "VolumeSnapshotContent is dynamically provisioned while expecting a pre-provisioned one");
	says(r, "s", "VolumeSnapshotContent is missing");
	assert_null(val_get(get(r, SNAPS, "thief"), F_status, F_boundVolumeSnapshotContentName));
	assert_null(val_get(get(r, CONTENTS, "others"), F_spec, F_volumeSnapshotRef, F_uid));
	content(r, 201, "c", HANDLE "," FOR("s"));
	cluster_run(&k, 3);
	driver_takes(r, "c");
	cluster_run(&k, 3);
	s = get(r, SNAPS, "s");
	c = get(r, CONTENTS, "c");
	assert_true(val_get_bool(s, F_status, F_readyToUse));
	assert_null(val_get(s, F_status, F_error));
	assert_true(has_finalizer(s, VOLSNAP_BOUND));
	assert_true(has_finalizer(c, VOLSNAP_CONTENT_BOUND));
	assert_val(val_get(c, F_spec, F_volumeSnapshotClassName), "snap");
	assert_true(val_equal(val_get(c, F_spec, F_volumeSnapshotRef, F_uid), val_get(s, F_metadata, F_uid)));
	/* Another of that name is another. */
	expect_type(r, 200, "PATCH", CONTENTS "/c", MERGE, "{\"spec\":{\"deletionPolicy\":\"Retain\"}}");
	expect(r, 200, "DELETE", SNAPS "/s", NULL);
	cluster_run(&k, 3);
	assert_false(there(r, SNAPS, "s"));
	snap(r, 201, "s", OF_CONTENT("c"));
	cluster_run(&k, 3);
	says(r, "s", "VolumeSnapshotContent [c] is bound to a different snapshot");
	cluster_finish(&k);
}

/* --- deletion --- */

static void test_deleted(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;
	const char *name;
	const struct val *c;

	snap(r, 201, "s", OF_CLAIM("data"));
	cluster_run(&k, 3);
	name = content_of(r, "s");
	driver_takes(r, name);
	cluster_run(&k, 2);
	expect(r, 200, "DELETE", SNAPS "/s", NULL);
	cluster_run(&k, 3);
	c = get(r, CONTENTS, name);
	assert_sv(annotation_of(c, ANN_VOLSNAP_BEING_DELETED), "yes");
	assert_non_null(val_get(c, F_metadata, F_deletionTimestamp));
	assert_true(has_finalizer(c, VOLSNAP_CONTENT_BOUND));
	assert_true(there(r, SNAPS, "s")); /* until the data are gone */
	driver_lets_go(r, name);
	cluster_run(&k, 3);
	assert_false(there(r, CONTENTS, name));
	assert_false(there(r, SNAPS, "s"));
	cluster_finish(&k);
}

static void test_retained(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;
	const char *name;

	class(r, "keep", "csi.example.com", "Retain", false, "");
	snap(r, 201, "s", OF_CLAIM("data") ",\"volumeSnapshotClassName\":\"keep\"");
	cluster_run(&k, 3);
	name = content_of(r, "s");
	driver_takes(r, name);
	cluster_run(&k, 2);
	assert_false(has_finalizer(get(r, SNAPS, "s"), VOLSNAP_BOUND));
	expect(r, 200, "DELETE", SNAPS "/s", NULL);
	cluster_run(&k, 3);
	assert_false(there(r, SNAPS, "s"));
	assert_null(val_get(get(r, CONTENTS, name), F_metadata, F_deletionTimestamp));
	/* A content alone, whose snapshot is not there, stays: it may be a copy of another cluster's. */
	cluster_run(&k, 30);
	assert_true(there(r, CONTENTS, name));
	cluster_finish(&k);
}

/* One that is not ready holds its claim; deleted before it is, the claim is free, and the content goes. */
static void test_deleted_unready(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;
	const char *name;

	snap(r, 201, "s", OF_CLAIM("data"));
	snap(r, 201, "t", OF_CLAIM("data"));
	cluster_run(&k, 3);
	name = content_of(r, "s");
	expect(r, 200, "DELETE", SNAPS "/s", NULL);
	cluster_run(&k, 3);
	driver_lets_go(r, name);
	cluster_run(&k, 3);
	assert_false(there(r, SNAPS, "s"));
	assert_true(has_finalizer(get(r, CLAIMS, "data"), VOLSNAP_CLAIM_AS_SOURCE)); /* the other one's */
	name = content_of(r, "t");
	expect(r, 200, "DELETE", SNAPS "/t", NULL);
	cluster_run(&k, 3);
	assert_false(has_finalizer(get(r, CLAIMS, "data"), VOLSNAP_CLAIM_AS_SOURCE));
	driver_lets_go(r, name);
	cluster_run(&k, 3);
	assert_false(there(r, SNAPS, "t"));
	cluster_finish(&k);
}

static void test_deleted_while_restored(void **state)
{
	struct cluster k = start_with_driver(state);
	struct rig *r = k.rig;
	const char *name;

	snap(r, 201, "s", OF_CLAIM("data"));
	cluster_run(&k, 3);
	name = content_of(r, "s");
	driver_takes(r, name);
	cluster_run(&k, 2);
	expect(
	    r, 201, "POST", CLAIMS,
	    "{\"metadata\":{\"name\":\"restored\"},\"spec\":{\"storageClassName\":\"csi\",\"accessModes\":["
	    "\"ReadWriteOnce\"],\"dataSource\":{\"apiGroup\":\"snapshot.storage.k8s.io\",\"kind\":\"VolumeSnapshot\","
	    "\"name\":\"s\"},\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}");
	cluster_run(&k, 2);
	expect(r, 200, "DELETE", SNAPS "/s", NULL);
	cluster_run(&k, 3);
	assert_null(val_get(get(r, CONTENTS, name), F_metadata, F_deletionTimestamp));
	assert_int_equal(events(r, "s", "SnapshotDeletePending") > 0, 1);
	expect(r, 200, "DELETE", CLAIMS "/restored", NULL);
	cluster_run(&k, 5);
	assert_non_null(val_get(get(r, CONTENTS, name), F_metadata, F_deletionTimestamp));
	driver_lets_go(r, name);
	cluster_run(&k, 3);
	assert_false(there(r, SNAPS, "s"));
	cluster_finish(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kinds_come_first, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_but_a_snapshot, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_a_snapshot_from_before, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_class_when_there_are_volumes, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_kinds_not_wanted, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_taken, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_taken_later, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_default_class, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_secrets, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_existing, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_deleted, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_retained, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_deleted_unready, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_deleted_while_restored, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
