/* Claims and volumes on the real API server: binding, what becomes of one without the other, protection. */
#include "real.h"

#include "controllers/podutil.h"

#include <stdio.h>

#define PVS "/api/v1/persistentvolumes"
#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define PODS "/api/v1/namespaces/default/pods"

static const struct val *get(struct rig *r, const char *dir, const char *name)
{
	return expect(r, 200, "GET", arena_printf(&r->arena, "%s/%s", dir, name), NULL);
}

static void drop(struct rig *r, const char *dir, const char *name)
{
	expect(r, 200, "DELETE", arena_printf(&r->arena, "%s/%s", dir, name), NULL);
}

static bool there(struct rig *r, const char *dir, const char *name)
{
	struct answer *a = api(r, "GET", arena_printf(&r->arena, "%s/%s", dir, name));
	bool found = a->code == 200;

	answer_free(a);
	return found;
}

/* more: members of spec that begin with a comma, or "". */
static void volume(struct rig *r, const char *name, const char *size, const char *more)
{
	expect(
	    r, 201, "POST", PVS,
	    arena_printf(
		&r->arena,
		"{\"metadata\":{\"name\":\"%s\",\"labels\":{\"v\":\"%s\"}},\"spec\":{\"capacity\":{\"storage\":\"%s\"},"
		"\"accessModes\":[\"ReadWriteOnce\"],\"hostPath\":{\"path\":\"/x\"}%s}}",
		name, name, size, more));
}

static void claim(struct rig *r, const char *name, const char *size, const char *more)
{
	expect(
	    r, 201, "POST", CLAIMS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
			 "\"requests\":{\"storage\":\"%s\"}}%s}}",
			 name, size, more));
}

static void pod_with(struct rig *r, const char *name, const char *pvc, const char *more)
{
	expect(
	    r, 201, "POST", PODS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}],"
			 "\"volumes\":[{\"name\":\"d\",\"persistentVolumeClaim\":{\"claimName\":\"%s\"}}]%s}}",
			 name, pvc, more));
}

static void assert_phase(struct rig *r, const char *dir, const char *name, const char *phase)
{
	assert_val(val_get(get(r, dir, name), F_status, F_phase), phase);
}

static void assert_bound(struct rig *r, const char *pvc, const char *pv)
{
	const struct val *c = get(r, CLAIMS, pvc), *v = get(r, PVS, pv);

	assert_val(val_get(c, F_status, F_phase), "Bound");
	assert_val(val_get(c, F_spec, F_volumeName), pv);
	assert_sv(annotation_of(c, "pv.kubernetes.io/bind-completed"), "yes");
	assert_true(val_equal(val_get(c, F_status, F_capacity), val_get(v, F_spec, F_capacity)));
	assert_true(val_equal(val_get(c, F_status, F_accessModes), val_get(v, F_spec, F_accessModes)));
	assert_val(val_get(v, F_status, F_phase), "Bound");
	assert_true(val_equal(val_get(v, F_spec, F_claimRef, F_uid), val_get(c, F_metadata, F_uid)));
	assert_val(val_get(v, F_spec, F_claimRef, F_name), pvc);
}

static size_t events(struct rig *r, const char *name, const char *reason)
{
	size_t n = 0;

	VAL_EACH(val_get(expect(r, 200, "GET", "/api/v1/events", NULL), F_items), e)
		n += val_is(val_get(e, F_involvedObject, F_name), name) && val_is(val_get(e, F_reason), reason);
	return n;
}

/* Also when the smallest can do more than is asked for. */
static void test_smallest_of_all_modes(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	volume(r, "large", "20Gi", ",\"storageClassName\":\"m\"");
	volume(r, "right", "5Gi", ",\"storageClassName\":\"m\"");
	expect_type(r, 200, "PATCH", PVS "/right", "application/merge-patch+json",
		    "{\"spec\":{\"accessModes\":[\"ReadWriteOnce\",\"ReadOnlyMany\"]}}");
	cluster_run(&k, 2);
	claim(r, "c", "2Gi", ",\"storageClassName\":\"m\"");
	cluster_run(&k, 2);
	assert_bound(r, "c", "right");
	cluster_finish(&k);
}

/* What does not fit is not taken, of what fits the smallest. */
static void test_smallest_that_fits(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	volume(r, "small", "1Gi", ",\"storageClassName\":\"m\"");
	volume(r, "other-class", "5Gi", ",\"storageClassName\":\"n\"");
	volume(r, "block", "5Gi", ",\"storageClassName\":\"m\",\"volumeMode\":\"Block\"");
	volume(r, "reserved", "5Gi",
	       ",\"storageClassName\":\"m\",\"claimRef\":{\"namespace\":\"default\",\"name\":\"later\"}");
	claim(r, "c", "2Gi", ",\"storageClassName\":\"m\"");
	cluster_run(&k, 2);
	assert_phase(r, CLAIMS, "c", "Pending");
	assert_phase(r, PVS, "small", "Available");
	assert_phase(r, PVS, "reserved", "Available");
	assert_true(events(r, "c", "ProvisioningFailed") == 1); /* there is no class "m" */
	volume(r, "large", "20Gi", ",\"storageClassName\":\"m\"");
	volume(r, "right", "5Gi", ",\"storageClassName\":\"m\"");
	cluster_run(&k, 2);
	assert_bound(r, "c",
		     there(r, PVS, "right") && val_is(val_get(get(r, PVS, "right"), F_status, F_phase), "Bound")
			 ? "right"
			 : "large");
	/* Several at once each get their own. */
	claim(r, "d", "3Gi", ",\"storageClassName\":\"m\"");
	claim(r, "e", "100Mi", ",\"storageClassName\":\"m\"");
	claim(r, "later", "1Gi", ",\"storageClassName\":\"m\"");
	cluster_run(&k, 2);
	assert_bound(r, "e", "small");
	assert_bound(r, "later", "reserved");
	assert_phase(r, CLAIMS, "d", "Bound");
	cluster_finish(&k);
}

/* Many of both, the volumes last: everybody gets one that fits, each is looked at by the one it is offered to, and what
 * nobody can use does not go round. An offer that its claim does not take is another's. */
static void test_many(void **state)
{
	enum { MANY = 60 };
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	size_t bound = 0, pending = 0;

	for (int i = 0; i < MANY; i++)
		claim(r, arena_printf(&r->arena, "c%d", i), i % 2 ? "1Gi" : "2Gi",
		      i % 3 ? ",\"storageClassName\":\"m\""
			    : ",\"storageClassName\":\"m\",\"selector\":{\"matchLabels\":{\"v\":\"none\"}}");
	cluster_run(&k, 1);
	for (int i = 0; i < MANY; i++)
		volume(r, arena_printf(&r->arena, "v%d", i), i % 2 ? "1Gi" : "2Gi", ",\"storageClassName\":\"m\"");
	volume(r, "none", "5Gi", ",\"storageClassName\":\"m\"");
	cluster_run(&k, 4);
	VAL_EACH(val_get(expect(r, 200, "GET", CLAIMS, NULL), F_items), c) {
		bound += val_is(val_get(c, F_status, F_phase), "Bound");
		pending += val_is(val_get(c, F_status, F_phase), "Pending");
	}
	assert_int_equal(bound, MANY - MANY / 3 + 1); /* of those that want "none", one */
	assert_int_equal(pending, MANY / 3 - 1);
	/* A claim that waited said so once: it is not woken by what is not for it. */
	assert_true(events(r, "c1", "ProvisioningFailed") <= 1);
	cluster_finish(&k);
}

static void test_by_name_and_label(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	volume(r, "a", "1Gi", "");
	volume(r, "b", "1Gi", "");
	claim(r, "picky", "1Gi", ",\"storageClassName\":\"\",\"selector\":{\"matchLabels\":{\"v\":\"b\"}}");
	claim(r, "named", "2Gi", ",\"storageClassName\":\"\",\"volumeName\":\"a\"");
	cluster_run(&k, 2);
	assert_bound(r, "picky", "b");
	/* A name is not enough: it must fit, too. */
	assert_phase(r, CLAIMS, "named", "Pending");
	assert_int_equal(events(r, "named", "VolumeMismatch"), 1);
	claim(r, "named2", "1Gi", ",\"storageClassName\":\"\",\"volumeName\":\"a\"");
	claim(r, "named3", "1Gi", ",\"storageClassName\":\"\",\"volumeName\":\"b\"");
	claim(r, "early", "1Gi", ",\"storageClassName\":\"\",\"volumeName\":\"c\"");
	cluster_run(&k, 2);
	assert_bound(r, "named2", "a");
	assert_phase(r, CLAIMS, "named3", "Pending");
	assert_int_equal(events(r, "named3", "FailedBinding"), 1);
	assert_phase(r, CLAIMS, "early", "Pending");
	volume(r, "c", "1Gi", "");
	cluster_run(&k, 2);
	assert_bound(r, "early", "c");
	cluster_finish(&k);
}

static void test_what_becomes_of_the_other(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	volume(r, "kept", "1Gi", ",\"persistentVolumeReclaimPolicy\":\"Retain\"");
	volume(r, "nobodys", "1Gi", ",\"persistentVolumeReclaimPolicy\":\"Delete\"");
	claim(r, "c", "1Gi", ",\"storageClassName\":\"\",\"volumeName\":\"kept\"");
	claim(r, "d", "1Gi", ",\"storageClassName\":\"\",\"volumeName\":\"nobodys\"");
	cluster_run(&k, 2);
	assert_bound(r, "c", "kept");
	assert_bound(r, "d", "nobodys");
	drop(r, CLAIMS, "c");
	drop(r, CLAIMS, "d");
	cluster_run(&k, 2);
	assert_false(there(r, CLAIMS, "c"));
	assert_phase(r, PVS, "kept", "Released");
	assert_phase(r, PVS, "nobodys", "Failed");
	assert_int_equal(events(r, "nobodys", "VolumeFailedDelete"), 1);
	/* Released is for good: a namesake of its claim is another claim. */
	claim(r, "c", "1Gi", ",\"storageClassName\":\"\"");
	cluster_run(&k, 2);
	assert_phase(r, CLAIMS, "c", "Pending");
	assert_phase(r, PVS, "kept", "Released");
	/* An admin frees it. */
	expect_type(r, 200, "PATCH", PVS "/kept", "application/merge-patch+json", "{\"spec\":{\"claimRef\":null}}");
	cluster_run(&k, 2);
	assert_bound(r, "c", "kept");
	/* And takes it away under a claim, which is lost then. */
	drop(r, PVS, "kept");
	cluster_run(&k, 2);
	assert_true(there(r, PVS, "kept")); /* protected while it is bound */
	expect_type(r, 200, "PATCH", PVS "/kept", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 2);
	assert_false(there(r, PVS, "kept"));
	assert_phase(r, CLAIMS, "c", "Lost");
	assert_int_equal(events(r, "c", "ClaimLost"), 1);
	cluster_finish(&k);
}

/* Binding stopped after each of its four writes goes on from there. */
static void test_half_bound(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	struct sv uid;

	cluster_finish(&k); /* nobody acts */
	volume(r, "v1", "1Gi", "");
	volume(r, "v2", "1Gi", "");
	claim(r, "c1", "1Gi", ",\"storageClassName\":\"\"");
	claim(r, "c2", "1Gi", ",\"storageClassName\":\"\",\"volumeName\":\"v2\"");
	uid = val_get_str(get(r, CLAIMS, "c1"), F_metadata, F_uid);
	expect_type(
	    r, 200, "PATCH", PVS "/v1", "application/merge-patch+json",
	    arena_printf(
		&r->arena,
		"{\"metadata\":{\"annotations\":{\"pv.kubernetes.io/bound-by-controller\":\"yes\"}},\"spec\":{"
		"\"claimRef\":{\"kind\":\"PersistentVolumeClaim\",\"namespace\":\"default\",\"name\":\"c1\",\"uid\":"
		"\"%.*s\"}}}",
		SV_ARG(uid)));
	uid = val_get_str(get(r, CLAIMS, "c2"), F_metadata, F_uid);
	expect_type(
	    r, 200, "PATCH", PVS "/v2", "application/merge-patch+json",
	    arena_printf(
		&r->arena,
		"{\"spec\":{\"claimRef\":{\"kind\":\"PersistentVolumeClaim\",\"namespace\":\"default\",\"name\":\"c2\","
		"\"uid\":\"%.*s\"}}}",
		SV_ARG(uid)));
	k = cluster_start_again(state);
	cluster_run(&k, 2);
	assert_bound(r, "c1", "v1");
	assert_bound(r, "c2", "v2");
	cluster_finish(&k);
}

/* A class decides when a claim binds, and who is asked to make its volume. */
static void test_classes(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", "/apis/storage.k8s.io/v1/storageclasses",
	       "{\"metadata\":{\"name\":\"wait\"},\"provisioner\":\"x.io/"
	       "p\",\"volumeBindingMode\":\"WaitForFirstConsumer\"}");
	expect(r, 201, "POST", "/apis/storage.k8s.io/v1/storageclasses",
	       "{\"metadata\":{\"name\":\"now\"},\"provisioner\":\"x.io/p\"}");
	volume(r, "v", "1Gi", ",\"storageClassName\":\"wait\"");
	claim(r, "w", "1Gi", ",\"storageClassName\":\"wait\"");
	claim(r, "n", "1Gi", ",\"storageClassName\":\"now\"");
	claim(r, "none", "1Gi", "");
	expect(r, 201, "POST", "/apis/storage.k8s.io/v1/storageclasses",
	       "{\"metadata\":{\"name\":\"here\"},\"provisioner\":\"caravel.io/local-path\"}");
	claim(r, "h", "1Gi", ",\"storageClassName\":\"here\"");
	cluster_run(&k, 2);
	assert_phase(r, CLAIMS, "h", "Pending");
	assert_int_equal(events(r, "h", "ProvisioningFailed"), 1);
	assert_phase(r, CLAIMS, "w", "Pending");
	assert_int_equal(events(r, "w", "WaitForFirstConsumer"), 1);
	assert_sv(annotation_of(get(r, CLAIMS, "w"), "volume.kubernetes.io/storage-provisioner"), "");
	assert_sv(annotation_of(get(r, CLAIMS, "n"), "volume.kubernetes.io/storage-provisioner"), "x.io/p");
	assert_int_equal(events(r, "n", "ExternalProvisioning"), 1);
	assert_int_equal(events(r, "none", "FailedBinding"), 1);
	/* The scheduler found a node for its pod. */
	expect_type(r, 200, "PATCH", CLAIMS "/w", "application/merge-patch+json",
		    "{\"metadata\":{\"annotations\":{\"volume.kubernetes.io/selected-node\":\"n1\"}}}");
	cluster_run(&k, 2);
	assert_bound(r, "w", "v");
	/* A class that becomes the default is one for claims that named none. */
	expect_type(r, 200, "PATCH", "/apis/storage.k8s.io/v1/storageclasses/now", "application/merge-patch+json",
		    "{\"metadata\":{\"annotations\":{\"storageclass.kubernetes.io/is-default-class\":\"true\"}}}");
	cluster_run(&k, 2);
	assert_val(val_get(get(r, CLAIMS, "none"), F_spec, F_storageClassName), "now");
	/* Its provisioner made one, reserved for the claim. */
	volume(r, "made", "1Gi",
	       ",\"storageClassName\":\"now\",\"persistentVolumeReclaimPolicy\":\"Delete\",\"claimRef\":{\"namespace\":"
	       "\"default\",\"name\":\"n\"}");
	cluster_run(&k, 2);
	assert_bound(r, "n", "made");
	cluster_finish(&k);
}

static void test_protection(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *c;

	volume(r, "v", "1Gi", "");
	claim(r, "c", "1Gi", ",\"storageClassName\":\"\"");
	cluster_run(&k, 2);
	c = get(r, CLAIMS, "c");
	assert_val(val_at(val_get(c, F_metadata, F_finalizers), 0), "kubernetes.io/pvc-protection");
	assert_val(val_at(val_get(get(r, PVS, "v"), F_metadata, F_finalizers), 0), "kubernetes.io/pv-protection");
	pod_with(r, "p", "c", ",\"nodeName\":\"n1\"");
	pod_with(r, "waits", "c", ",\"schedulingGates\":[{\"name\":\"g\"}]");
	cluster_run(&k, 2);
	drop(r, CLAIMS, "c");
	cluster_run(&k, 5);
	assert_true(there(r, CLAIMS, "c"));
	/* Its node is done with the pod; one without a node does not count. */
	drop(r, PODS, "p");
	cluster_run(&k, 5);
	assert_false(there(r, CLAIMS, "c"));
	assert_true(there(r, PODS, "waits"));
	assert_phase(r, PVS, "v", "Released");
	drop(r, PVS, "v");
	cluster_run(&k, 2);
	assert_false(there(r, PVS, "v"));
	/* What is older than its protection gets it. */
	claim(r, "old", "1Gi", ",\"storageClassName\":\"\"");
	expect_type(r, 200, "PATCH", CLAIMS "/old", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 2);
	assert_val(val_at(val_get(get(r, CLAIMS, "old"), F_metadata, F_finalizers), 0), "kubernetes.io/pvc-protection");
	cluster_finish(&k);
}

/* A directory of a node that is no more is nobody's to delete: its volume goes all the same, and that is said. */
static void test_node_of_a_volume_is_gone(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	static const char *const nodes[] = { "here", "gone" };

	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		expect(r, 201, "POST", "/api/v1/nodes",
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"}}", nodes[i]));
		expect(
		    r, 201, "POST", PVS,
		    arena_printf(
			&r->arena,
			"{\"metadata\":{\"name\":\"%s\",\"annotations\":{\"pv.kubernetes.io/provisioned-by\":"
			"\"caravel.io/local-path\"},\"finalizers\":[\"external-provisioner.volume.kubernetes.io/"
			"finalizer\"]},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":["
			"\"ReadWriteOnce\"],\"persistentVolumeReclaimPolicy\":\"Delete\",\"claimRef\":{\"namespace\":"
			"\"default\",\"name\":\"c-%s\"},\"hostPath\":{\"path\":\"/x/%s\"},\"nodeAffinity\":{"
			"\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"kubernetes.io/"
			"hostname\",\"operator\":\"In\",\"values\":[\"%s\"]}]}]}}}}",
			nodes[i], nodes[i], nodes[i], nodes[i]));
		claim(r, arena_printf(&r->arena, "c-%s", nodes[i]), "1Gi", ",\"storageClassName\":\"\"");
	}
	cluster_run(&k, 2);
	assert_bound(r, "c-gone", "gone");
	drop(r, CLAIMS, "c-here");
	drop(r, CLAIMS, "c-gone");
	cluster_run(&k, 3);
	assert_phase(r, PVS, "here", "Released");
	assert_phase(r, PVS, "gone", "Released");
	drop(r, "/api/v1/nodes", "gone");
	cluster_run(&k, 3);
	assert_phase(r, PVS, "here", "Released");
	assert_false(there(r, PVS, "gone"));
	assert_int_equal(events(r, "gone", "VolumeFailedDelete"), 1);
	cluster_finish(&k);
}

#define RECYCLER "/api/v1/namespaces/default/pods/recycler-for-v"

static struct cluster released(void **state)
{
	struct cluster k = cluster_start(state);

	k.hold = true;
	volume(k.rig, "v", "3Gi", ",\"persistentVolumeReclaimPolicy\":\"Recycle\"");
	claim(k.rig, "c", "1Gi", ",\"storageClassName\":\"\"");
	cluster_run(&k, 2);
	assert_bound(k.rig, "c", "v");
	drop(k.rig, CLAIMS, "c");
	cluster_run(&k, 3);
	return k;
}

/* A pod empties it, by a name of its own, and others may have it then. */
static void test_recycled(void **state)
{
	struct cluster k = released(state);
	struct rig *r = k.rig;
	const struct val *p = expect(r, 200, "GET", RECYCLER, NULL), *c = val_at(val_get(p, F_spec, F_containers), 0);

	assert_phase(r, PVS, "v", "Released");
	assert_val(val_get(val_at(val_get(p, F_spec, F_volumes), 0), F_hostPath, F_path), "/x");
	assert_int_equal(val_get_int(p, 0, F_spec, F_activeDeadlineSeconds), 90);
	assert_val(val_get(val_at(val_get(c, F_volumeMounts), 0), F_mountPath), "/scrub");
	/* Another claim waits for as long as that lasts. */
	claim(r, "next", "1Gi", ",\"storageClassName\":\"\"");
	cluster_run(&k, 3);
	assert_phase(r, CLAIMS, "next", "Pending");
	expect_type(r, 200, "PATCH", RECYCLER "/status", "application/merge-patch+json",
		    "{\"status\":{\"phase\":\"Succeeded\"}}");
	cluster_run(&k, 5);
	assert_int_equal(events(r, "v", "VolumeRecycled"), 1);
	assert_false(there(r, PODS, "recycler-for-v"));
	assert_bound(r, "next", "v");
	cluster_finish(&k);
}

/* A claim that went without its finalizer leaves a pod that writes on: nobody else gets the volume before that ends. */
static void test_recycled_when_unused(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	k.hold = true;
	volume(r, "v", "3Gi", ",\"persistentVolumeReclaimPolicy\":\"Recycle\"");
	claim(r, "c", "1Gi", ",\"storageClassName\":\"\"");
	pod_with(r, "user", "c", "");
	cluster_run(&k, 2);
	assert_bound(r, "c", "v");
	drop(r, CLAIMS, "c");
	expect_type(r, 200, "PATCH", CLAIMS "/c", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 20);
	assert_false(there(r, CLAIMS, "c"));
	assert_phase(r, PVS, "v", "Released");
	assert_false(there(r, PODS, "recycler-for-v"));
	assert_true(events(r, "v", "VolumeFailedRecycle") > 0);
	expect_type(r, 200, "PATCH", PODS "/user/status", "application/merge-patch+json",
		    "{\"status\":{\"phase\":\"Succeeded\"}}");
	cluster_run(&k, 20);
	assert_true(there(r, PODS, "recycler-for-v"));
	cluster_finish(&k);
}

/* A quota that leaves no room for the pod: tried with longer and longer pauses, told of, and given up in the end. An
 * admin who makes room in time needs to do nothing else. */
static void recycler_is_refused(void **state, bool room)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	k.hold = true;
	expect(r, 201, "POST", "/api/v1/namespaces/default/resourcequotas",
	       "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"pods\":\"0\"}}}");
	volume(r, "v", "3Gi", ",\"persistentVolumeReclaimPolicy\":\"Recycle\"");
	claim(r, "c", "1Gi", ",\"storageClassName\":\"\"");
	cluster_run(&k, 2);
	assert_bound(r, "c", "v");
	drop(r, CLAIMS, "c");
	cluster_run(&k, 30);
	assert_phase(r, PVS, "v", "Released");
	assert_true(events(r, "v", "VolumeFailedRecycle") > 0);
	assert_false(there(r, PODS, "recycler-for-v"));
	if (room)
		drop(r, "/api/v1/namespaces/default/resourcequotas", "q");
	cluster_run(&k, 60);
	assert_phase(r, PVS, "v", "Released");
	assert_int_equal(there(r, PODS, "recycler-for-v"), room);
	if (!room) {
		cluster_run(&k, 300);
		assert_phase(r, PVS, "v", "Failed");
		assert_true(sv_starts(val_get_str(get(r, PVS, "v"), F_status, F_message),
				      SV("Recycle failed: unexpected error creating recycler pod:  ")));
	}
	cluster_finish(&k);
}

static void test_recycler_refused(void **state)
{
	recycler_is_refused(state, false);
}

static void test_recycler_refused_for_a_while(void **state)
{
	recycler_is_refused(state, true);
}

static void test_recycle_fails(void **state)
{
	struct cluster k = released(state);
	struct rig *r = k.rig;

	expect_type(r, 200, "PATCH", RECYCLER "/status", "application/merge-patch+json",
		    "{\"status\":{\"phase\":\"Failed\",\"message\":\"too slow\"}}");
	cluster_run(&k, 5);
	assert_phase(r, PVS, "v", "Failed");
	assert_val(val_get(get(r, PVS, "v"), F_status, F_message), "Recycle failed: too slow");
	assert_int_equal(events(r, "v", "VolumeFailedRecycle"), 1);
	assert_false(there(r, PODS, "recycler-for-v"));
	cluster_finish(&k);
}

/* A pod of that name that is another's says nothing of the volume. */
static void test_recycler_of_another(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	k.hold = true;
	volume(r, "v", "1Gi", ",\"persistentVolumeReclaimPolicy\":\"Recycle\"");
	expect(r, 201, "POST", PODS,
	       arena_printf(
		   &r->arena,
		   "{\"metadata\":{\"name\":\"recycler-for-v\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":"
		   "\"PersistentVolume\",\"name\":\"v\",\"uid\":\"%.*s\"}]},\"spec\":{\"containers\":[{\"name\":\"c\","
		   "\"image\":\"a\"}]}}",
		   SV_ARG(val_get_str(get(r, PVS, "v"), F_metadata, F_uid))));
	expect_type(r, 200, "PATCH", RECYCLER "/status", "application/merge-patch+json",
		    "{\"status\":{\"phase\":\"Succeeded\"}}");
	claim(r, "c", "1Gi", ",\"storageClassName\":\"\"");
	cluster_run(&k, 2);
	drop(r, CLAIMS, "c");
	cluster_run(&k, 5);
	assert_phase(r, PVS, "v", "Released");
	assert_val(val_get(val_at(val_get(expect(r, 200, "GET", RECYCLER, NULL), F_spec, F_containers), 0), F_name),
		   "pv-recycler");
	cluster_finish(&k);
}

#define ATTRIBUTES "/apis/storage.k8s.io/v1/volumeattributesclasses"

static void volume_of_driver(struct rig *r, const char *name, const char *attributes)
{
	expect(r, 201, "POST", PVS,
	       arena_printf(
		   &r->arena,
		   "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":["
		   "\"ReadWriteOnce\"],\"volumeAttributesClassName\":\"%s\",\"csi\":{\"driver\":\"x.io\","
		   "\"volumeHandle\":\"1\"}}}",
		   name, attributes));
}

static void attributes(struct rig *r, const char *name)
{
	expect(r, 201, "POST", ATTRIBUTES,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"driverName\":\"x.io\",\"parameters\":{\"a\":\"b\"}}",
			    name));
}

/* A class of attributes stays for as long as a claim or a volume has it, asks for it, or is on its way there. */
static void test_attributes_protection(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	attributes(r, "free");
	attributes(r, "silver");
	attributes(r, "gold");
	assert_val(val_at(val_get(get(r, ATTRIBUTES, "free"), F_metadata, F_finalizers), 0),
		   "kubernetes.io/vac-protection");
	volume_of_driver(r, "v", "silver");
	claim(r, "c", "1Gi", ",\"storageClassName\":\"\",\"volumeAttributesClassName\":\"silver\"");
	cluster_run(&k, 2);
	/* Bound, it may ask for others. */
	expect_type(r, 200, "PATCH", CLAIMS "/c", "application/merge-patch+json",
		    "{\"spec\":{\"volumeAttributesClassName\":\"gold\"}}");
	cluster_run(&k, 2);
	drop(r, ATTRIBUTES, "free");
	drop(r, ATTRIBUTES, "silver");
	drop(r, ATTRIBUTES, "gold");
	cluster_run(&k, 3);
	assert_false(there(r, ATTRIBUTES, "free"));
	assert_true(there(r, ATTRIBUTES, "silver") && there(r, ATTRIBUTES, "gold"));
	/* Its driver's resizer has changed the volume: it has the one, and no more the other. */
	expect_type(r, 200, "PATCH", CLAIMS "/c/status", "application/merge-patch+json",
		    "{\"status\":{\"currentVolumeAttributesClassName\":\"gold\"}}");
	expect_type(r, 200, "PATCH", PVS "/v", "application/merge-patch+json",
		    "{\"spec\":{\"volumeAttributesClassName\":\"gold\"}}");
	cluster_run(&k, 3);
	assert_false(there(r, ATTRIBUTES, "silver"));
	assert_true(there(r, ATTRIBUTES, "gold"));
	/* On its way back to where nobody asks for it: a change that was begun. */
	attributes(r, "silver");
	expect_type(r, 200, "PATCH", CLAIMS "/c/status", "application/merge-patch+json",
		    "{\"status\":{\"modifyVolumeStatus\":{\"targetVolumeAttributesClassName\":\"silver\",\"status\":"
		    "\"Pending\"}}}");
	drop(r, ATTRIBUTES, "silver");
	cluster_run(&k, 3);
	assert_true(there(r, ATTRIBUTES, "silver"));
	drop(r, CLAIMS, "c");
	cluster_run(&k, 3);
	assert_false(there(r, ATTRIBUTES, "silver"));
	assert_true(there(r, ATTRIBUTES, "gold")); /* the volume's */
	drop(r, PVS, "v");
	cluster_run(&k, 3);
	assert_false(there(r, ATTRIBUTES, "gold"));
	/* What is older than its protection gets it. */
	attributes(r, "old");
	expect_type(r, 200, "PATCH", ATTRIBUTES "/old", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 2);
	assert_val(val_at(val_get(get(r, ATTRIBUTES, "old"), F_metadata, F_finalizers), 0),
		   "kubernetes.io/vac-protection");
	cluster_finish(&k);
}

/* When it may be changed, and to what. */
static void test_attributes_changed(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	claim(r, "unbound", "1Gi", ",\"storageClassName\":\"\",\"volumeAttributesClassName\":\"silver\"");
	expect_type(r, 422, "PATCH", CLAIMS "/unbound", "application/merge-patch+json",
		    "{\"spec\":{\"volumeAttributesClassName\":\"gold\"}}");
	volume_of_driver(r, "v", "silver");
	cluster_run(&k, 3);
	assert_phase(r, CLAIMS, "unbound", "Bound");
	assert_val(val_get(get(r, CLAIMS, "unbound"), F_status, F_currentVolumeAttributesClassName), "silver");
	expect_type(r, 200, "PATCH", CLAIMS "/unbound", "application/merge-patch+json",
		    "{\"spec\":{\"volumeAttributesClassName\":\"gold\"}}");
	expect_type(r, 422, "PATCH", CLAIMS "/unbound", "application/merge-patch+json",
		    "{\"spec\":{\"volumeAttributesClassName\":null}}");
	expect_type(r, 422, "PATCH", CLAIMS "/unbound", "application/merge-patch+json",
		    "{\"spec\":{\"volumeAttributesClassName\":\"\"}}");
	cluster_finish(&k);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_smallest_that_fits),
		T(test_smallest_of_all_modes),
		T(test_many),
		T(test_by_name_and_label),
		T(test_what_becomes_of_the_other),
		T(test_half_bound),
		T(test_classes),
		T(test_protection),
		T(test_node_of_a_volume_is_gone),
		T(test_recycled),
		T(test_recycled_when_unused),
		T(test_recycle_fails),
		T(test_recycler_refused),
		T(test_recycler_refused_for_a_while),
		T(test_recycler_of_another),
		T(test_attributes_protection),
		T(test_attributes_changed),
	};

	return cmocka_run_group_tests_name("controllers/volumes", tests, NULL, NULL);
}
