/* Volumes of drivers attached to nodes and taken away again: what is refused, what waits, and what is forced. */
#include "real.h"

#include "net/digest.h"
#include "object/condition.h"

#include <stdio.h>

#define PVS "/api/v1/persistentvolumes"
#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define PODS "/api/v1/namespaces/default/pods"
#define ATTACHMENTS "/apis/storage.k8s.io/v1/volumeattachments"
#define UNIQUE "kubernetes.io/csi/d.io^h-v"
#define MERGE "application/merge-patch+json"

static const struct val *get(struct rig *r, const char *path)
{
	return expect(r, 200, "GET", path, NULL);
}

static void node_ready(struct rig *r, const char *name, const char *status)
{
	expect_type(
	    r, 200, "PATCH", arena_printf(&r->arena, "/api/v1/nodes/%s/status", name), MERGE,
	    arena_printf(&r->arena, "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}", status));
}

static void node_uses(struct rig *r, const char *name, const char *in_use)
{
	expect_type(r, 200, "PATCH", arena_printf(&r->arena, "/api/v1/nodes/%s/status", name), MERGE,
		    arena_printf(&r->arena, "{\"status\":{\"volumesInUse\":%s}}", in_use));
}

static struct cluster begin(void **state)
{
	struct cluster k = cluster_start(state);

	expect(k.rig, 201, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n2\"}}");
	node_ready(k.rig, "n1", "True");
	node_ready(k.rig, "n2", "True");
	return k;
}

/* A volume v of driver d.io, bound to the claim c. */
static void volume(struct cluster *k, const char *mode)
{
	struct rig *r = k->rig;

	expect(
	    r, 201, "POST", PVS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"v\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":"
			 "[\"%s\"],\"storageClassName\":\"s\",\"csi\":{\"driver\":\"d.io\",\"volumeHandle\":\"h-v\"}}}",
			 mode));
	expect(
	    r, 201, "POST", CLAIMS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"accessModes\":[\"%s\"],\"storageClassName\":\"s\","
			 "\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}",
			 mode));
	cluster_run(k, 2);
	assert_val(val_get(get(r, CLAIMS "/c"), F_status, F_phase), "Bound");
}

static void pod_of(struct cluster *k, const char *name, const char *node, const char *claim)
{
	struct rig *r = k->rig;

	expect(
	    r, 201, "POST", PODS,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":\"%s\",\"tolerations\":[{\"operator\":"
			 "\"Exists\"}],\"containers\":[{\"name\":\"c\",\"image\":\"a\"}],\"volumes\":[{\"name\":\"d\","
			 "\"persistentVolumeClaim\":{\"claimName\":\"%s\"}}]}}",
			 name, node, claim));
	cluster_run(k, 2);
}

static void pod(struct cluster *k, const char *name, const char *node)
{
	pod_of(k, name, node, "c");
}

static void pod_gone(struct cluster *k, const char *name)
{
	expect_type(k->rig, 200, "DELETE", arena_printf(&k->rig->arena, PODS "/%s?gracePeriodSeconds=0", name),
		    "application/json", NULL);
	cluster_run(k, 2);
}

static const char *name_for(struct rig *r, const char *node)
{
	char hex[SHA256_HEX];

	sha256_hex(arena_svf(&r->arena, "h-vd.io%s", node), hex);
	return arena_printf(&r->arena, "csi-%s", hex);
}

static bool attached_to(struct cluster *k, const char *node)
{
	struct answer *a = api(k->rig, "GET", arena_printf(&k->rig->arena, ATTACHMENTS "/%s", name_for(k->rig, node)));
	bool there = a->code == 200;

	answer_free(a);
	return there;
}

/* The driver's attacher has done it. */
static void fulfil(struct cluster *k, const char *node)
{
	struct rig *r = k->rig;

	expect_type(r, 200, "PATCH", arena_printf(&r->arena, ATTACHMENTS "/%s/status", name_for(r, node)), MERGE,
		    "{\"status\":{\"attached\":true}}");
	cluster_run(k, 2);
}

static const struct val *volumes_attached(struct cluster *k, const char *node)
{
	return val_get(get(k->rig, arena_printf(&k->rig->arena, "/api/v1/nodes/%s", node)), F_status,
		       F_volumesAttached);
}

static int events(struct rig *r, const char *name, const char *reason, struct sv *ret)
{
	int n = 0;

	VAL_EACH(val_get(get(r, "/api/v1/events"), F_items), e)
		if (val_is(val_get(e, F_involvedObject, F_name), name) && val_is(val_get(e, F_reason), reason)) {
			*ret = val_get_str(e, F_message);
			n++;
		}
	return n;
}

/* --- refusals --- */

static void second_node(void **state, const char *mode, bool shared)
{
	struct cluster k = begin(state);
	struct sv said = SV_NULL;

	volume(&k, mode);
	pod(&k, "p", "n1");
	fulfil(&k, "n1");
	pod(&k, "q", "n2");
	cluster_run(&k, 60);
	assert_int_equal(attached_to(&k, "n2"), shared);
	if (!shared) {
		assert_int_equal(events(k.rig, "q", "FailedAttachVolume", &said), 1);
		assert_sv(said, "Multi-Attach error for volume \"v\" Volume is already used by pod(s) p");
		/* It moves when the first one lets go. */
		pod_gone(&k, "p");
		assert_false(attached_to(&k, "n1"));
		assert_true(attached_to(&k, "n2"));
	}
	cluster_finish(&k);
}

static void test_once(void **state)
{
	second_node(state, "ReadWriteOnce", false);
}

static void test_once_a_pod(void **state)
{
	second_node(state, "ReadWriteOncePod", false);
}

static void test_many(void **state)
{
	second_node(state, "ReadWriteMany", true);
}

static void test_many_read(void **state)
{
	second_node(state, "ReadOnlyMany", true);
}

/* How often it was said of the pod. */
static int64_t times_said(struct rig *r, const char *name, const char *reason)
{
	int64_t n = 0;

	VAL_EACH(val_get(get(r, "/api/v1/events"), F_items), e)
		if (val_is(val_get(e, F_involvedObject, F_name), name) && val_is(val_get(e, F_reason), reason))
			n += val_int_or(val_get(e, F_count), 1);
	return n;
}

/* Other volumes come, and leave their nodes: whoever waits for this one is not told again. */
static void test_others_wake_nobody(void **state)
{
	struct cluster k = begin(state);
	struct rig *r = k.rig;

	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	fulfil(&k, "n1");
	pod(&k, "q", "n2");
	assert_int_equal(times_said(r, "q", "FailedAttachVolume"), 1);
	for (int i = 0; i < 3; i++) {
		expect(r, 201, "POST", PVS,
		       arena_printf(&r->arena,
				    "{\"metadata\":{\"name\":\"w%d\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},"
				    "\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":\"t\",\"csi\":{"
				    "\"driver\":\"d.io\",\"volumeHandle\":\"h-w%d\"}}}",
				    i, i));
		/* Nobody wants it: it goes again. */
		expect(r, 201, "POST", ATTACHMENTS,
		       arena_printf(&r->arena,
				    "{\"metadata\":{\"name\":\"w%d\"},\"spec\":{\"attacher\":\"d.io\",\"nodeName\":"
				    "\"n1\",\"source\":{\"persistentVolumeName\":\"w%d\"}}}",
				    i, i));
		cluster_run(&k, 5);
		expect(r, 404, "GET", arena_printf(&r->arena, ATTACHMENTS "/w%d", i), NULL);
	}
	assert_int_equal(times_said(r, "q", "FailedAttachVolume"), 1);
	/* Another pod that waits at the same node is told when there was none for a while. */
	pod_gone(&k, "q");
	pod(&k, "q2", "n2");
	assert_int_equal(times_said(r, "q2", "FailedAttachVolume"), 1);
	pod_gone(&k, "p");
	assert_true(attached_to(&k, "n2"));
	cluster_finish(&k);
}

/* It was attached a moment ago: it moves at once all the same. */
static void test_moves_early(void **state)
{
	struct cluster k = begin(state);

	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	fulfil(&k, "n1");
	pod_gone(&k, "p");
	assert_false(attached_to(&k, "n1"));
	pod(&k, "q", "n2");
	assert_true(attached_to(&k, "n2"));
	cluster_finish(&k);
}

/* Both come at once: one has it. */
static void test_both_at_once(void **state)
{
	struct cluster k = begin(state);
	const char *body =
	    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":\"%s\",\"containers\":[{\"name\":\"c\","
	    "\"image\":\"a\"}],\"volumes\":[{\"name\":\"d\",\"persistentVolumeClaim\":{\"claimName\":\"c\"}}]}}";

	volume(&k, "ReadWriteOnce");
	for (int i = 1; i <= 2; i++) {
		char text[400], name[3] = { 'p', (char)('0' + i), 0 }, node[3] = { 'n', (char)('0' + i), 0 };

		(void)snprintf(text, sizeof(text), body, name, node);
		expect(k.rig, 201, "POST", PODS, text);
	}
	cluster_run(&k, 10);
	assert_int_equal(attached_to(&k, "n1") + attached_to(&k, "n2"), 1);
	cluster_finish(&k);
}

static void test_not_required(void **state)
{
	struct cluster k = begin(state);

	expect(k.rig, 201, "POST", "/apis/storage.k8s.io/v1/csidrivers",
	       "{\"metadata\":{\"name\":\"d.io\"},\"spec\":{\"attachRequired\":false}}");
	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	cluster_run(&k, 30);
	assert_false(attached_to(&k, "n1"));
	cluster_finish(&k);
}

/* --- there and back --- */

static void test_there_and_back(void **state)
{
	struct cluster k = begin(state);
	struct sv said = SV_NULL;
	const struct val *o;

	volume(&k, "ReadWriteOnce");
	cluster_run(&k, 5);
	assert_false(attached_to(&k, "n1")); /* a claim alone attaches nothing */
	pod(&k, "p", "n1");
	o = get(k.rig, arena_printf(&k.rig->arena, ATTACHMENTS "/%s", name_for(k.rig, "n1")));
	assert_val(val_get(o, F_spec, F_attacher), "d.io");
	assert_val(val_get(o, F_spec, F_nodeName), "n1");
	assert_val(val_get(o, F_spec, F_source, F_persistentVolumeName), "v");
	assert_int_equal(val_len(volumes_attached(&k, "n1")), 0); /* wanted is not attached */
	fulfil(&k, "n1");
	assert_val(val_get(val_at(volumes_attached(&k, "n1"), 0), F_name), UNIQUE);
	assert_int_equal(events(k.rig, "p", "SuccessfulAttachVolume", &said), 1);
	assert_sv(said, "AttachVolume.Attach succeeded for volume \"v\" ");
	node_uses(k.rig, "n1", "[\"" UNIQUE "\"]");
	pod_gone(&k, "p");
	cluster_run(&k, 60);
	/* The node has it mounted still. */
	assert_true(attached_to(&k, "n1"));
	assert_int_equal(val_len(volumes_attached(&k, "n1")), 1);
	node_uses(k.rig, "n1", "null");
	cluster_run(&k, 2);
	assert_false(attached_to(&k, "n1"));
	assert_int_equal(val_len(volumes_attached(&k, "n1")), 0);
	cluster_finish(&k);
}

/* Another pod of the node names a claim that is not there: what others want is told and taken away all the same. */
static void test_claim_of_nobody(void **state)
{
	struct cluster k = begin(state);

	volume(&k, "ReadWriteOnce");
	pod_of(&k, "pin", "n1", "nothere");
	pod(&k, "p", "n1");
	fulfil(&k, "n1");
	assert_val(val_get(val_at(volumes_attached(&k, "n1"), 0), F_name), UNIQUE);
	pod_gone(&k, "p");
	assert_false(attached_to(&k, "n1"));
	assert_int_equal(val_len(volumes_attached(&k, "n1")), 0);
	cluster_finish(&k);
}

/* The claim is gone, by whoever took its finalizers away, and the volume names it: it stays for the pod that has it. */
static void test_claim_gone(void **state)
{
	struct cluster k = begin(state);

	k.beat = true;
	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	fulfil(&k, "n1");
	expect(k.rig, 200, "DELETE", CLAIMS "/c", NULL);
	expect_type(k.rig, 200, "PATCH", CLAIMS "/c", MERGE, "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 30);
	expect(k.rig, 404, "GET", CLAIMS "/c", NULL);
	assert_true(attached_to(&k, "n1"));
	assert_int_equal(val_len(volumes_attached(&k, "n1")), 1);
	pod_gone(&k, "p");
	cluster_run(&k, 10);
	assert_false(attached_to(&k, "n1"));
	cluster_finish(&k);
}

/* One that is detached by its driver is not the next pod's: it waits until it is gone, and then there is a new one. */
static void test_comes_back_while_it_goes(void **state)
{
	struct cluster k = begin(state);
	struct rig *r = k.rig;
	const char *path;

	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	path = arena_printf(&r->arena, ATTACHMENTS "/%s", name_for(r, "n1"));
	expect_type(r, 200, "PATCH", path, MERGE, "{\"metadata\":{\"finalizers\":[\"external-attacher/d-io\"]}}");
	fulfil(&k, "n1");
	pod_gone(&k, "p");
	assert_val(val_at(val_get(get(r, path), F_metadata, F_finalizers), 0), "external-attacher/d-io");
	pod(&k, "q", "n1");
	cluster_run(&k, 5);
	assert_int_equal(val_len(volumes_attached(&k, "n1")), 0);
	expect_type(r, 200, "PATCH", path, MERGE, "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 2);
	assert_true(attached_to(&k, "n1"));
	assert_null(val_get(get(r, path), F_metadata, F_deletionTimestamp));
	cluster_finish(&k);
}

/* The node uses the volume, and nobody wants it any more. */
static struct cluster lost(void **state, const char *node)
{
	struct cluster k = begin(state);

	volume(&k, "ReadWriteOnce");
	pod(&k, "p", node);
	fulfil(&k, node);
	node_uses(k.rig, node, "[\"" UNIQUE "\"]");
	pod_gone(&k, "p");
	return k;
}

/* Its object is gone, by whoever took the finalizers away: what the node has mounted stays attached all the same. */
static void test_volume_gone(void **state)
{
	struct cluster k = lost(state, "n1");

	k.beat = true;
	expect_type(k.rig, 200, "PATCH", PVS "/v", MERGE, "{\"metadata\":{\"finalizers\":null}}");
	expect(k.rig, 200, "DELETE", PVS "/v", NULL);
	expect_type(k.rig, 200, "PATCH", PVS "/v", MERGE, "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 30);
	expect(k.rig, 404, "GET", PVS "/v", NULL);
	assert_true(attached_to(&k, "n1"));
	node_uses(k.rig, "n1", "null");
	cluster_run(&k, 2);
	assert_false(attached_to(&k, "n1"));
	cluster_finish(&k);
}

static void test_ended(void **state)
{
	struct cluster k = begin(state);

	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	fulfil(&k, "n1");
	expect_type(k.rig, 200, "PATCH", PODS "/p/status", MERGE, "{\"status\":{\"phase\":\"Succeeded\"}}");
	cluster_run(&k, 2);
	assert_false(attached_to(&k, "n1"));
	cluster_finish(&k);
}

static void test_driver_fails(void **state)
{
	struct cluster k = begin(state);
	struct sv said = SV_NULL;

	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	expect_type(k.rig, 200, "PATCH", arena_printf(&k.rig->arena, ATTACHMENTS "/%s/status", name_for(k.rig, "n1")),
		    MERGE, "{\"status\":{\"attached\":false,\"attachError\":{\"message\":\"no such disk\"}}}");
	cluster_run(&k, 2);
	assert_int_equal(events(k.rig, "p", "FailedAttachVolume", &said), 1);
	assert_sv(said, "AttachVolume.Attach failed for volume \"v\" : no such disk");
	assert_int_equal(val_len(volumes_attached(&k, "n1")), 0);
	cluster_finish(&k);
}

/* The driver's attacher does not run: said after two minutes, and again, and not before. */
static void test_nobody_attaches(void **state)
{
	struct cluster k = begin(state);
	struct sv said = SV_NULL;

	k.beat = true;
	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	cluster_run(&k, 100);
	assert_int_equal(events(k.rig, "p", "FailedAttachVolume", &said), 0);
	cluster_run(&k, 60);
	assert_int_equal(events(k.rig, "p", "FailedAttachVolume", &said), 1);
	assert_sv(
	    said,
	    "AttachVolume.Attach failed for volume \"v\" : timed out waiting for external-attacher of d.io CSI driver "
	    "to attach volume h-v");
	fulfil(&k, "n1");
	assert_int_equal(val_len(volumes_attached(&k, "n1")), 1);
	cluster_finish(&k);
}

/* The server is another one now: nothing was remembered, and nothing is done twice. */
static void test_started_anew(void **state)
{
	struct cluster k = begin(state);

	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n1");
	fulfil(&k, "n1");
	node_uses(k.rig, "n1", "[\"" UNIQUE "\"]");
	cluster_finish(&k);
	k = cluster_start_again(state);
	cluster_run(&k, 5);
	assert_true(attached_to(&k, "n1"));
	pod_gone(&k, "p");
	node_uses(k.rig, "n1", "null");
	cluster_run(&k, 2);
	assert_false(attached_to(&k, "n1"));
	cluster_finish(&k);
}

/* --- nodes that are lost --- */

static void test_forced(void **state)
{
	struct cluster k = lost(state, "n2");

	node_ready(k.rig, "n2", "False");
	cluster_run(&k, 340);
	assert_true(attached_to(&k, "n2"));
	cluster_run(&k, 40);
	assert_false(attached_to(&k, "n2"));
	cluster_finish(&k);
}

/* One that answers is believed, however long it takes. */
static void test_healthy_is_not_forced(void **state)
{
	struct cluster k = lost(state, "n1");

	k.beat = true;
	cluster_run(&k, 600);
	assert_true(attached_to(&k, "n1"));
	cluster_finish(&k);
}

static void forced_detaches_are(struct cluster *k, const char *text)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	controllers_metrics(k->c, &b);
	assert_non_null(strstr(buf_cstr(&b), text));
}

static void test_out_of_service(void **state)
{
	struct cluster k = lost(state, "n2");

	cluster_run(&k, 10);
	assert_true(attached_to(&k, "n2"));
	expect_type(k.rig, 200, "PATCH", "/api/v1/nodes/n2", MERGE,
		    "{\"spec\":{\"taints\":[{\"key\":\"node.kubernetes.io/out-of-service\",\"value\":\"nodeshutdown\","
		    "\"effect\":\"NoExecute\"}]}}");
	cluster_run(&k, 2);
	assert_false(attached_to(&k, "n2"));
	forced_detaches_are(
	    &k, "attach_detach_controller_attachdetach_controller_forced_detaches{reason=\"out-of-service\"} 1\n");
	cluster_finish(&k);
}

/* Its pods go, too, which no node agent ends any more; those of a node that is ready are its own. */
static void test_pods_out_of_service(void **state)
{
	struct cluster k = begin(state);
	struct answer *a;

	volume(&k, "ReadWriteOnce");
	pod(&k, "p", "n2");
	expect_type(k.rig, 200, "PATCH", PODS "/p", MERGE, "{\"metadata\":{\"finalizers\":[\"test/x\"]}}");
	expect(k.rig, 200, "DELETE", PODS "/p", NULL);
	expect_type(k.rig, 200, "PATCH", "/api/v1/nodes/n2", MERGE,
		    "{\"spec\":{\"taints\":[{\"key\":\"node.kubernetes.io/out-of-service\",\"value\":\"nodeshutdown\","
		    "\"effect\":\"NoExecute\"}]}}");
	node_ready(k.rig, "n2", "False");
	cluster_run(&k, 45);
	assert_val(val_get(get(k.rig, PODS "/p"), F_status, F_phase), "Failed");
	expect_type(k.rig, 200, "PATCH", PODS "/p", MERGE, "{\"metadata\":{\"finalizers\":null}}");
	cluster_run(&k, 25);
	a = api(k.rig, "GET", PODS "/p");
	assert_int_equal(a->code, 404);
	answer_free(a);
	cluster_finish(&k);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	static const struct CMUnitTest tests[] = { T(test_once),
						   T(test_once_a_pod),
						   T(test_many),
						   T(test_many_read),
						   T(test_others_wake_nobody),
						   T(test_moves_early),
						   T(test_both_at_once),
						   T(test_not_required),
						   T(test_there_and_back),
						   T(test_comes_back_while_it_goes),
						   T(test_claim_of_nobody),
						   T(test_claim_gone),
						   T(test_ended),
						   T(test_volume_gone),
						   T(test_driver_fails),
						   T(test_nobody_attaches),
						   T(test_started_anew),
						   T(test_forced),
						   T(test_healthy_is_not_forced),
						   T(test_out_of_service),
						   T(test_pods_out_of_service) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
