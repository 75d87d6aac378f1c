/* Claims on the real API server: those of generic ephemeral volumes, what they say of their use and of their growing.
 */
#include "real.h"

#include "controllers/podutil.h"
#include "object/condition.h"

#define PVS "/api/v1/persistentvolumes"
#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define PODS "/api/v1/namespaces/default/pods"
#define CLASSES "/apis/storage.k8s.io/v1/storageclasses"
#define MERGE "application/merge-patch+json"

static const struct val *get(struct rig *r, const char *path)
{
	return expect(r, 200, "GET", path, NULL);
}

static void drop(struct rig *r, const char *path)
{
	expect(r, 200, "DELETE", path, NULL);
}

static bool there(struct rig *r, const char *path)
{
	struct answer *a = api(r, "GET", path);
	bool found = a->code == 200;

	answer_free(a);
	return found;
}

static void claim(struct rig *r, const char *name, const char *more)
{
	expect(r, 201, "POST", CLAIMS,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],"
			    "\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}%s}}",
			    name, more));
}

static void volume(struct rig *r, const char *name, const char *class)
{
	expect(r, 201, "POST", PVS,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},"
			    "\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":\"%s\",\"hostPath\":{\"path\":"
			    "\"/x\"}}}",
			    name, class));
}

/* A pod whose volume `d` is what source says; where: members of spec that begin with a comma, or "". */
static void pod(struct rig *r, const char *name, const char *source, const char *where)
{
	expect(
	    r, 201, "POST", PODS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}],"
			 "\"volumes\":[{\"name\":\"d\",%s}]%s}}",
			 name, source, where));
}

#define GATED ",\"schedulingGates\":[{\"name\":\"g\"}]"
#define TEMPLATE                                                                                                       \
	"\"ephemeral\":{\"volumeClaimTemplate\":{\"metadata\":{\"labels\":{\"l\":\"1\"},\"annotations\":{\"a\":\"2\"}" \
	"},"                                                                                                           \
	"\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":\"m\",\"resources\":{\"requests\":{"       \
	"\"storage\":\"1Gi\"}}}}}"

/* The message of the object's newest event of that reason; SV_NULL: there is none. */
static struct sv said(struct rig *r, const char *name, const char *reason)
{
	struct sv text = SV_NULL;

	VAL_EACH(val_get(get(r, "/api/v1/events"), F_items), e)
		if (val_is(val_get(e, F_involvedObject, F_name), name) && val_is(val_get(e, F_reason), reason))
			text = val_get_str(e, F_message);
	return text;
}

/* What has the name and is not the pod's stays what it is, and the pod does without; when it is gone, it gets its own.
 */
static void test_ephemeral_is_not_anybodys(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *c;

	claim(r, "p-d", ",\"storageClassName\":\"m\"");
	pod(r, "p", TEMPLATE, GATED);
	cluster_run(&k, 2);
	c = get(r, CLAIMS "/p-d");
	assert_null(val_get(c, F_metadata, F_ownerReferences));
	assert_sv(said(r, "p", "FailedBinding"),
		  "ephemeral volume d: PVC default/p-d was not created for pod default/p (pod is not owner)");
	drop(r, CLAIMS "/p-d");
	cluster_run(&k, 5);
	c = get(r, CLAIMS "/p-d");
	assert_val(val_get(val_at(val_get(c, F_metadata, F_ownerReferences), 0), F_name), "p");
	/* Nor is that of an earlier pod of the same name. */
	expect_type(r, 200, "PATCH", CLAIMS "/p-d", MERGE,
		    "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\","
		    "\"uid\":\"earlier\",\"controller\":true}]}}");
	cluster_run(&k, 5);
	c = get(r, CLAIMS "/p-d"); /* the earlier one's went with it, and this is a new one */
	assert_true(val_equal(val_get(val_at(val_get(c, F_metadata, F_ownerReferences), 0), F_uid),
			      val_get(get(r, PODS "/p"), F_metadata, F_uid)));
	cluster_finish(&k);
}

static void test_ephemeral(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *c, *ref;

	pod(r, "p", TEMPLATE, GATED);
	cluster_run(&k, 2);
	c = get(r, CLAIMS "/p-d");
	ref = val_at(val_get(c, F_metadata, F_ownerReferences), 0);
	assert_val(val_get(ref, F_kind), "Pod");
	assert_true(val_get_bool(ref, F_controller));
	assert_true(val_get_bool(ref, F_blockOwnerDeletion));
	assert_val(val_member_sv(val_get(c, F_metadata, F_labels), SV("l")), "1");
	assert_sv(annotation_of(c, "a"), "2");
	assert_val(val_get(c, F_spec, F_storageClassName), "m");
	volume(r, "v", "m");
	cluster_run(&k, 2);
	assert_val(val_get(get(r, CLAIMS "/p-d"), F_status, F_phase), "Bound");
	/* It goes with its pod. */
	drop(r, PODS "/p");
	cluster_run(&k, 5);
	assert_false(there(r, CLAIMS "/p-d"));
	cluster_finish(&k);
}

static void assert_unused(struct rig *r, const char *path, const char *status, const char *reason)
{
	const struct val *c = condition_find(val_get(get(r, path), F_status, F_conditions), "Unused");

	assert_non_null(c);
	assert_val(val_member(c, F_status), status);
	assert_val(val_member(c, F_reason), reason);
}

static void test_unused(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	claim(r, "c", ",\"storageClassName\":\"m\"");
	cluster_run(&k, 2);
	assert_null(val_get(get(r, CLAIMS "/c"), F_status, F_conditions)); /* only of those that are bound */
	volume(r, "v", "m");
	cluster_run(&k, 2);
	assert_unused(r, CLAIMS "/c", "True", "NoPodsUsingPVC");
	/* One that waits for a node uses it, one that has ended does not. */
	pod(r, "p", "\"persistentVolumeClaim\":{\"claimName\":\"c\"}", GATED);
	cluster_run(&k, 2);
	assert_unused(r, CLAIMS "/c", "False", "PodUsingPVC");
	drop(r, PODS "/p");
	cluster_run(&k, 2);
	assert_unused(r, CLAIMS "/c", "True", "NoPodsUsingPVC");
	pod(r, "q", "\"persistentVolumeClaim\":{\"claimName\":\"c\"}", ",\"nodeName\":\"n1\"");
	cluster_run(&k, 2);
	assert_unused(r, CLAIMS "/c", "False", "PodUsingPVC");
	expect_type(r, 200, "PATCH", PODS "/q/status", MERGE, "{\"status\":{\"phase\":\"Succeeded\"}}");
	cluster_run(&k, 2);
	assert_unused(r, CLAIMS "/c", "True", "NoPodsUsingPVC");
	cluster_finish(&k);
}

/* Who makes a volume larger says so of the claim, and nobody before. */
static void test_growing_is_its_provisioners(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", CLASSES,
	       "{\"metadata\":{\"name\":\"m\"},\"provisioner\":\"x.io/p\",\"allowVolumeExpansion\":true}");
	volume(r, "v", "m");
	claim(r, "c", ",\"storageClassName\":\"m\"");
	cluster_run(&k, 2);
	expect_type(r, 200, "PATCH", CLAIMS "/c", MERGE,
		    "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}");
	cluster_run(&k, 2);
	assert_sv(said(r, "c", "ExternalExpanding"), "waiting for an external controller to expand this PVC");
	expect_type(r, 200, "PATCH", PVS "/v", MERGE, "{\"spec\":{\"capacity\":{\"storage\":\"2Gi\"}}}");
	cluster_run(&k, 2);
	assert_val(val_get(get(r, CLAIMS "/c"), F_status, F_capacity, F_storage), "1Gi");
	cluster_finish(&k);
}

/* Only what is bound grows, and where its class says that it may; nothing shrinks. */
static void test_growing_is_refused(void **state)
{
	static const char two[] = "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}";
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", CLASSES, "{\"metadata\":{\"name\":\"fixed\"},\"provisioner\":\"x.io/p\"}");
	claim(r, "c", ",\"storageClassName\":\"fixed\"");
	cluster_run(&k, 2);
	expect_type(r, 422, "PATCH", CLAIMS "/c", MERGE, two);
	volume(r, "v", "fixed");
	cluster_run(&k, 2);
	assert_val(val_get(get(r, CLAIMS "/c"), F_status, F_phase), "Bound");
	expect_type(r, 403, "PATCH", CLAIMS "/c", MERGE, two);
	expect_type(r, 200, "PATCH", CLASSES "/fixed", MERGE, "{\"allowVolumeExpansion\":true}");
	cluster_run(&k, 1);
	expect_type(r, 200, "PATCH", CLAIMS "/c", MERGE, two);
	expect_type(r, 422, "PATCH", CLAIMS "/c", MERGE,
		    "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"1Mi\"}}}}");
	cluster_finish(&k);
}

/* A claim with attributes gets a volume that has them, and says so. */
static void test_attributes_class(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *c;

	expect(r, 201, "POST", "/apis/storage.k8s.io/v1/volumeattributesclasses",
	       "{\"metadata\":{\"name\":\"gold\"},\"driverName\":\"x.io\",\"parameters\":{\"iops\":\"9\"}}");
	volume(r, "plain", "m");
	expect(r, 201, "POST", PVS,
	       "{\"metadata\":{\"name\":\"gold\"},\"spec\":{\"capacity\":{\"storage\":\"5Gi\"},\"accessModes\":["
	       "\"ReadWriteOnce\"],\"storageClassName\":\"m\",\"volumeAttributesClassName\":\"gold\",\"csi\":{"
	       "\"driver\":\"x.io\",\"volumeHandle\":\"1\"}}}");
	cluster_run(&k, 1);
	claim(r, "c", ",\"storageClassName\":\"m\",\"volumeAttributesClassName\":\"gold\"");
	cluster_run(&k, 2);
	c = get(r, CLAIMS "/c");
	assert_val(val_get(c, F_spec, F_volumeName), "gold");
	assert_val(val_get(c, F_status, F_currentVolumeAttributesClassName), "gold");
	cluster_finish(&k);
}

static void test_who_is_waited_for(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", CLASSES,
	       "{\"metadata\":{\"name\":\"m\"},\"provisioner\":\"x.io/"
	       "p\",\"volumeBindingMode\":\"WaitForFirstConsumer\"}");
	pod(r, "e", TEMPLATE, GATED);
	pod(r, "p", "\"persistentVolumeClaim\":{\"claimName\":\"c\"}", GATED);
	pod(r, "q", "\"persistentVolumeClaim\":{\"claimName\":\"c\"}", GATED);
	cluster_run(&k, 1);
	claim(r, "c", ",\"storageClassName\":\"m\"");
	cluster_run(&k, 2);
	assert_sv(said(r, "e-d", "WaitForPodScheduled"), "waiting for pod e to be scheduled");
	assert_true(sv_is(said(r, "c", "WaitForPodScheduled"), "waiting for pods p,q to be scheduled") ||
		    sv_is(said(r, "c", "WaitForPodScheduled"), "waiting for pods q,p to be scheduled"));
	cluster_finish(&k);
}

/* Of several default classes the newest is it, and a claim that was there before it gets it. */
static void test_newest_default(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	claim(r, "before", "");
	claim(r, "none", ",\"storageClassName\":\"\"");
	cluster_run(&k, 2);
	assert_null(val_get(get(r, CLAIMS "/before"), F_spec, F_storageClassName));
	expect(r, 201, "POST", CLASSES,
	       "{\"metadata\":{\"name\":\"old\",\"annotations\":{\"storageclass.kubernetes.io/"
	       "is-default-class\":\"true\"}},"
	       "\"provisioner\":\"x.io/p\"}");
	cluster_run(&k, 2);
	assert_val(val_get(get(r, CLAIMS "/before"), F_spec, F_storageClassName), "old");
	expect(r, 201, "POST", CLASSES,
	       "{\"metadata\":{\"name\":\"young\",\"annotations\":{\"storageclass.kubernetes.io/"
	       "is-default-class\":\"true\"}},"
	       "\"provisioner\":\"x.io/p\"}");
	cluster_run(&k, 2);
	claim(r, "after", "");
	assert_val(val_get(get(r, CLAIMS "/after"), F_spec, F_storageClassName), "young");
	/* "" is a choice. */
	assert_val(val_get(get(r, CLAIMS "/none"), F_spec, F_storageClassName), "");
	cluster_finish(&k);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_ephemeral_is_not_anybodys), T(test_ephemeral),	     T(test_unused),
		T(test_growing_is_refused),	   T(test_attributes_class), T(test_growing_is_its_provisioners),
		T(test_who_is_waited_for),	   T(test_newest_default),
	};

	return cmocka_run_group_tests_name("controllers/claims", tests, NULL, NULL);
}
