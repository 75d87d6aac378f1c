/* A driver's volumes on a node, from wanted to gone: what the driver is asked, in which order, with what, and what
 * happens when the agent, the driver or the pod goes in between. The node has its own rights alone. */
#include "csi.h"

#include "base/b64.h"
#include "kubelet/csi/csi-internal.h"
#include "kubelet/volume_metrics.h"
#include "net/digest.h"
#include "kubelet/volume_group.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/fsuid.h>

#define NODE "/api/v1/nodes/n1"
#define PODS "/api/v1/namespaces/default/pods"
#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define DRIVERS "/apis/storage.k8s.io/v1/csidrivers"
#define UNIQUE "kubernetes.io/csi/test.csi.io^vol-1"

struct world {
	struct rig *rig;
	struct client *client, *admin;
	struct csi *csi;
	struct metric_set *counted;
	char dir[32];
	char *socket;
	struct obj *pod, *claim, *source;
	struct buf kicked, events;
	int in_use;
	bool pod_gone;
};

/* --- the agent --- */

static bool pod_known(void *ctx, struct sv uid)
{
	struct world *w = ctx;

	return !w->pod_gone && w->pod && sv_eq(uid, obj_uid(w->pod));
}

static void kick(void *ctx, struct sv uid)
{
	buf_printf(&((struct world *)ctx)->kicked, "%.*s ", SV_ARG(uid));
}

static void in_use_changed(void *ctx)
{
	((struct world *)ctx)->in_use++;
}

static void event(void *ctx, struct sv uid, const char *type, const char *reason, const char *text)
{
	(void)uid;
	buf_printf(&((struct world *)ctx)->events, "%s %s %s\n", type, reason, text);
}

static void start(struct world *w)
{
	w->csi = csi_new(&(struct csi_opts){ .env = w->rig->env,
					     .client = w->client,
					     .node_name = "n1",
					     .root_dir = w->dir,
					     .ask = driver_ask,
					     .counted = w->counted,
					     .pod_known = pod_known,
					     .kick = kick,
					     .in_use_changed = in_use_changed,
					     .event = event,
					     .mounted = driver_mounted,
					     .ctx = w });
	rig_run(w->rig, 6 * NS_PER_SEC);
}

static void killed(struct world *w)
{
	w->csi = csi_free(w->csi);
}

static struct obj *got(struct world *w, const struct resource *res, const char *name)
{
	struct obj *o = NULL;
	struct err err = ERR_INIT;

	if (client_get(w->admin, res, res == RES(core_persistentvolumes) ? SV("") : SV("default"), sv_from(name), &o,
		       &err) < 0)
		fail_msg("%s", err_msg(&err));
	return o;
}

static void pod_is(struct world *w, const char *name, const char *volumes, const char *security)
{
	expect(w->rig, 201, "POST", PODS,
	       arena_printf(
		   &w->rig->arena,
		   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":"
		   "\"n1\",\"securityContext\":%s,\"containers\":[{\"name\":\"c\",\"image\":\"x\"}],\"volumes\":[%s]}}",
		   name, security, volumes));
	obj_unref(w->pod);
	w->pod = got(w, RES(core_pods), name);
}

#define CLAIM_VOLUME "{\"name\":\"data\",\"persistentVolumeClaim\":{\"claimName\":\"c1\"}}"

static void claim_is(struct world *w, const char *csi_more, const char *more)
{
	expect(w->rig, 201, "POST", "/api/v1/persistentvolumes",
	       arena_printf(
		   &w->rig->arena,
		   "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"pv-1\"},\"spec\":{"
		   "\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":"
		   "\"x\",\"claimRef\":{\"namespace\":\"default\",\"name\":\"c1\"},\"mountOptions\":[\"noatime\"]%s,"
		   "\"csi\":{\"driver\":\"test.csi.io\",\"volumeHandle\":\"vol-1\",\"volumeAttributes\":{\"share\":"
		   "\"a\"}%s}}}",
		   more, csi_more));
	expect(w->rig, 201, "POST", CLAIMS,
	       arena_printf(
		   &w->rig->arena,
		   "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"c1\"},\"spec\":{"
		   "\"accessModes\":[\"ReadWriteOnce\"],\"storageClassName\":\"x\",\"volumeName\":\"pv-1\"%s,"
		   "\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}",
		   more));
	w->claim = got(w, RES(core_persistentvolumeclaims), "c1");
	w->source = got(w, RES(core_persistentvolumes), "pv-1");
}

static int begin(void **state)
{
	static const char *const nodes[] = { "system:nodes", NULL }, *const masters[] = { "system:masters", NULL };
	struct world *w = xcalloc(1, sizeof(*w));

	if (rig_setup_with_keys(state))
		return -1;
	w->rig = *state;
	*state = w;
	strcpy(w->dir, "/tmp/caravel-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->socket = xasprintf("%s/plugins_registry/test-reg.sock", w->dir);
	driver = (struct driver){ .name = "test.csi.io",
				  .type = "CSIPlugin",
				  .version = "1.0.0",
				  .endpoint = "/run/test.sock",
				  .node_id = "node-7",
				  .can = CSI_CAN_STAGE };
	expect(w->rig, 201, "POST", "/api/v1/nodes",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}");
	expect(w->rig, 201, "POST", "/api/v1/namespaces/default/serviceaccounts",
	       "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"}}");
	w->client = apiserver_client(w->rig->server, "kubelet", "system:node:n1", nodes);
	w->admin = apiserver_client(w->rig->server, "admin", "admin", masters);
	w->counted = metric_set_new(volume_families, _VM_MAX);
	start(w);
	socket_make(w->socket);
	rig_run(w->rig, 6 * NS_PER_SEC);
	assert_int_equal(driver.registered, 1);
	buf_clear(&driver.calls);
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;

	killed(w);
	metric_set_free(w->counted);
	client_free(w->client);
	client_free(w->admin);
	obj_unref(w->pod);
	obj_unref(w->claim);
	obj_unref(w->source);
	buf_release(&w->kicked);
	buf_release(&w->events);
	driver_forget();
	(void)tree_remove(w->dir, NULL);
	free(w->socket);
	*state = w->rig;
	free(w);
	return rig_teardown(state);
}

/* --- what is asked --- */

static int want(struct world *w, struct csi_place *ret, struct err *err)
{
	struct csi_want want = { .pod = w->pod,
				 .volume = val_at(obj_get(w->pod, F_spec, F_volumes), 0),
				 .claim = w->claim,
				 .source = w->source };

	return csi_want(w->csi, &w->rig->arena, &want, ret, err);
}

static struct csi_place ready(struct world *w)
{
	struct csi_place place = { NULL, false };
	struct err err = ERR_INIT;

	(void)want(w, &place, NULL);
	rig_run(w->rig, 4 * NS_PER_SEC);
	if (want(w, &place, &err) != 0)
		fail_msg("it is not there: %s; asked: %s", err_msg(&err), buf_cstr(&driver.calls));
	return place;
}

static void fails(struct world *w, const char *why)
{
	struct csi_place place;
	struct err err = ERR_INIT;

	(void)want(w, &place, NULL);
	rig_run(w->rig, 4 * NS_PER_SEC);
	assert_int_equal(want(w, &place, &err), -1);
	if (!strstr(err_msg(&err), why))
		fail_msg("\"%s\" instead of \"%s\"", err_msg(&err), why);
	err_release(&err);
}

static void calls_were(const char *calls)
{
	assert_string_equal(buf_cstr(&driver.calls), calls);
	buf_clear(&driver.calls);
}

static void driver_object(struct world *w, const char *spec)
{
	expect(w->rig, 201, "POST", DRIVERS,
	       arena_printf(&w->rig->arena,
			    "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"CSIDriver\",\"metadata\":{\"name\":"
			    "\"test.csi.io\"},\"spec\":%s}",
			    spec));
}

static void drop(struct world *w)
{
	w->pod_gone = true;
	(void)csi_drop_pod(w->csi, obj_uid(w->pod));
	rig_run(w->rig, 2 * NS_PER_SEC);
}

static bool there(struct world *w, const char *path)
{
	return access(arena_printf(&w->rig->arena, "%s/%s", w->dir, path), F_OK) == 0;
}

static const char *stage_dir(struct world *w)
{
	char hex[SHA256_HEX];

	sha256_hex(SV("vol-1"), hex);
	return arena_printf(&w->rig->arena, "plugins/kubernetes.io/csi/test.csi.io/%s", hex);
}

static const char *pod_volume(struct world *w)
{
	return arena_printf(&w->rig->arena, "pods/%.*s/volumes/kubernetes.io~csi/pv-1", SV_ARG(obj_uid(w->pod)));
}

/* --- refusals --- */

static void test_driver_unknown(void **state)
{
	struct world *w = *state;
	struct csi_place place;
	struct err err = ERR_INIT;

	claim_is(w, "", "");
	pod_is(w, "p", "{\"name\":\"own\",\"csi\":{\"driver\":\"other.csi.io\"}}", "{}");
	obj_unref(w->claim);
	obj_unref(w->source);
	w->claim = w->source = NULL;
	assert_int_equal(want(w, &place, &err), -1);
	assert_string_equal(err_msg(&err),
			    "kubernetes.io/csi: driver name other.csi.io not found in the list of registered "
			    "CSI drivers");
	err_release(&err);
	assert_false(csi_drop_pod(w->csi, obj_uid(w->pod)));
}

/* A pod's word alone makes no driver mount what it says. */
static void test_inline_refused(void **state)
{
	struct world *w = *state;

	pod_is(w, "p", "{\"name\":\"own\",\"csi\":{\"driver\":\"test.csi.io\"}}", "{}");
	fails(w, "MountVolume.SetUp failed for volume \"own\" : volume mode \"Ephemeral\" not supported by driver "
		 "test.csi.io (no CSIDriver object)");
	calls_were("");
}

static void test_inline_of_persistent(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	pod_is(w, "p", "{\"name\":\"own\",\"csi\":{\"driver\":\"test.csi.io\"}}", "{}");
	fails(w, "volume mode \"Ephemeral\" not supported by driver test.csi.io (only supports [\"Persistent\"])");
	calls_were("");
}

static void test_persistent_of_inline(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false,\"volumeLifecycleModes\":[\"Ephemeral\"]}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	fails(w,
	      "MountVolume.MountDevice failed for volume \"pv-1\" : volume mode \"Persistent\" not supported by driver "
	      "test.csi.io (only supports [\"Ephemeral\"])");
}

/* Without its secret nothing is staged. */
static void test_secret_missing(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, ",\"nodeStageSecretRef\":{\"name\":\"s\",\"namespace\":\"default\"}", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	fails(w, "fetching nodeStageSecretRef default/s failed");
	calls_were("");
	expect(w->rig, 201, "POST", "/api/v1/namespaces/default/secrets",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\"},\"stringData\":{\"key\":"
	       "\"open\"}}");
	rig_run(w->rig, 130 * NS_PER_SEC);
	(void)ready(w);
	assert_sv(driver_map(buf_sv(&driver.stage), 5, "key"), "open");
}

/* --- there and back --- */

static void test_attached_first(void **state)
{
	struct world *w = *state;
	struct csi_place place;
	struct arena *a = &w->rig->arena;
	struct err err = ERR_INIT;
	const char *name;
	char hex[SHA256_HEX];

	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	assert_int_equal(want(w, &place, NULL), 1);
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_int_equal(want(w, &place, NULL), 1);
	calls_were("");
	/* What it waits for is said after two minutes, and it waits on. */
	rig_run(w->rig, 100 * NS_PER_SEC);
	assert_int_equal(want(w, &place, &err), 1);
	for (int i = 0; i < 200 && want(w, &place, &err) == 1; i++)
		rig_run(w->rig, 200 * NS_PER_MS);
	assert_string_equal(err_msg(&err),
			    "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data], "
			    "failed to process volumes=[]: context deadline exceeded");
	err_release(&err);
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_int_equal(want(w, &place, &err), 1);
	/* It stands in the Node first. */
	assert_true(w->in_use > 0);
	assert_val(val_at(csi_in_use(w->csi, a), 0), UNIQUE);
	sha256_hex(SV("vol-1test.csi.ion1"), hex);
	name = arena_printf(a, "csi-%s", hex);
	expect(
	    w->rig, 201, "POST", "/apis/storage.k8s.io/v1/volumeattachments",
	    arena_printf(a,
			 "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"VolumeAttachment\",\"metadata\":{\"name\":"
			 "\"%s\"},\"spec\":{\"attacher\":\"test.csi.io\",\"nodeName\":\"n1\",\"source\":{"
			 "\"persistentVolumeName\":\"pv-1\"}}}",
			 name));
	expect_type(w->rig, 200, "PATCH", arena_printf(a, "/apis/storage.k8s.io/v1/volumeattachments/%s/status", name),
		    "application/merge-patch+json",
		    "{\"status\":{\"attached\":true,\"attachmentMetadata\":{\"device\":\"/dev/x\"}}}");
	/* Attached for a Node that does not say that it uses it could be taken away this moment. */
	expect_type(w->rig, 200, "PATCH", NODE "/status", "application/merge-patch+json",
		    "{\"status\":{\"volumesAttached\":[{\"name\":\"" UNIQUE "\",\"devicePath\":\"\"}]}}");
	rig_run(w->rig, 10 * NS_PER_SEC);
	calls_were("");
	expect_type(w->rig, 200, "PATCH", NODE "/status", "application/merge-patch+json",
		    "{\"status\":{\"volumesInUse\":[\"" UNIQUE "\"]}}");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_int_equal(want(w, &place, NULL), 0);
	calls_were("NodeStageVolume NodePublishVolume ");
	assert_sv(driver_map(buf_sv(&driver.stage), 2, "device"), "/dev/x");
	assert_sv(driver_map(buf_sv(&driver.publish), 2, "device"), "/dev/x");
	drop(w);
	calls_were("NodeUnpublishVolume NodeUnstageVolume ");
	assert_null(csi_in_use(w->csi, a));
}

/* The attacher says that the node is full: how many it takes is asked at once, and a pod does not wait for ever. */
static void test_node_full(void **state)
{
	struct world *w = *state;
	struct csi_place place;
	struct arena *a = &w->rig->arena;
	struct err err = ERR_INIT;
	const struct val *node;
	const char *path;
	char hex[SHA256_HEX];

	driver_object(w, "{\"nodeAllocatableUpdatePeriodSeconds\":3600}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	sha256_hex(SV("vol-1test.csi.ion1"), hex);
	expect(
	    w->rig, 201, "POST", "/apis/storage.k8s.io/v1/volumeattachments",
	    arena_printf(a,
			 "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"VolumeAttachment\",\"metadata\":{\"name\":"
			 "\"csi-%s\"},\"spec\":{\"attacher\":\"test.csi.io\",\"nodeName\":\"n1\",\"source\":{"
			 "\"persistentVolumeName\":\"pv-1\"}}}",
			 hex));
	path = arena_printf(a, "/apis/storage.k8s.io/v1/volumeattachments/csi-%s/status", hex);
	expect_type(
	    w->rig, 200, "PATCH", path, "application/merge-patch+json",
	    "{\"status\":{\"attached\":false,\"attachError\":{\"message\":\"no slot is free\",\"errorCode\":13}}}");
	expect_type(w->rig, 200, "PATCH", NODE "/status", "application/merge-patch+json",
		    "{\"status\":{\"volumesInUse\":[\"" UNIQUE "\"],\"volumesAttached\":[{\"name\":\"" UNIQUE
		    "\",\"devicePath\":\"\"}]}}");
	driver.max_volumes = 3;
	(void)want(w, &place, NULL);
	rig_run(w->rig, 300 * NS_PER_SEC); /* another error: it is tried again, as long as it takes */
	assert_int_equal(want(w, &place, &err), -1);
	assert_null(err.reason_text);
	assert_non_null(strstr(err_msg(&err), "no slot is free"));
	err_release(&err);
	calls_were("");
	expect_type(w->rig, 200, "PATCH", path, "application/merge-patch+json",
		    "{\"status\":{\"attachError\":{\"errorCode\":8}}}");
	rig_run(w->rig, 125 * NS_PER_SEC);
	assert_non_null(strstr(buf_cstr(&driver.calls), "NodeGetInfo "));
	node = expect(w->rig, 200, "GET", "/apis/storage.k8s.io/v1/csinodes/n1", NULL);
	assert_int_equal(val_get_int(val_at(val_get(node, F_spec, F_drivers), 0), 0, F_allocatable, F_count), 3);
	assert_int_equal(want(w, &place, &err), -1);
	assert_non_null(err.reason_text);
	assert_string_equal(err.reason_text, CSI_NODE_FULL);
	err_release(&err);
}

static void test_there_and_back(void **state)
{
	struct world *w = *state;
	struct csi_place place;
	const char *stage;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, ",\"fsType\":\"ext4\"", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	place = ready(w);
	assert_string_equal(place.path, arena_printf(&w->rig->arena, "%s/%s/mount", w->dir, pod_volume(w)));
	calls_were("NodeStageVolume NodePublishVolume ");
	assert_null(csi_in_use(w->csi, &w->rig->arena)); /* nothing to be detached */
	stage = arena_printf(&w->rig->arena, "%s/%s/globalmount", w->dir, stage_dir(w));
	assert_sv(pb_get_sv(buf_sv(&driver.stage), 1), "vol-1");
	assert_sv(pb_get_sv(buf_sv(&driver.stage), 3), stage);
	assert_sv(driver_map(buf_sv(&driver.stage), 6, "share"), "a");
	assert_sv(pb_get_sv(pb_get_sv(pb_get_sv(buf_sv(&driver.stage), 4), 2), 1), "ext4");
	assert_sv(pb_get_sv(pb_get_sv(pb_get_sv(buf_sv(&driver.stage), 4), 2), 2), "noatime");
	assert_sv(pb_get_sv(buf_sv(&driver.publish), 3), stage);
	assert_sv(pb_get_sv(buf_sv(&driver.publish), 4), place.path);
	assert_true(there(w, arena_printf(&w->rig->arena, "%s/vol_data.json", stage_dir(w))));
	assert_true(there(w, arena_printf(&w->rig->arena, "%s/vol_data.json", pod_volume(w))));
	assert_true(w->kicked.n > 0);
	buf_clear(&w->kicked);
	/* Nothing is asked again. */
	rig_run(w->rig, 600 * NS_PER_SEC);
	calls_were("");
	assert_true(csi_drop_pod(w->csi, obj_uid(w->pod)));
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_false(csi_drop_pod(w->csi, obj_uid(w->pod)));
	assert_true(w->kicked.n > 0);
	calls_were("NodeUnpublishVolume NodeUnstageVolume ");
	assert_false(there(w, stage_dir(w)));
	assert_false(there(w, pod_volume(w)));
}

/* Two pods of one volume: it is staged once, and until the last one goes. */
static void test_two_pods(void **state)
{
	struct world *w = *state;
	_cleanup_obj_ struct obj *first = NULL;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	first = obj_ref(w->pod);
	pod_is(w, "q", CLAIM_VOLUME, "{}");
	(void)ready(w);
	calls_were("NodeStageVolume NodePublishVolume NodePublishVolume ");
	assert_true(csi_drop_pod(w->csi, obj_uid(first)));
	rig_run(w->rig, 2 * NS_PER_SEC);
	calls_were("NodeUnpublishVolume ");
	drop(w);
	calls_were("NodeUnpublishVolume NodeUnstageVolume ");
}

static void test_no_staging(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	driver.can = 0;
	assert_int_equal(unlink(w->socket), 0);
	rig_run(w->rig, 6 * NS_PER_SEC);
	socket_make(w->socket);
	rig_run(w->rig, 6 * NS_PER_SEC);
	buf_clear(&driver.calls);
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	assert_sv(pb_get_sv(buf_sv(&driver.publish), 3), "");
	drop(w);
	calls_were("NodePublishVolume NodeUnpublishVolume ");
}

/* --- failures --- */

static void test_publish_fails(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	driver.fails = CSI_NODE_PUBLISH;
	fails(w, "MountVolume.SetUp failed for volume \"pv-1\" : rpc error: code = Unavailable desc = not now");
	/* Not known whether something is mounted: it is taken away all the same. */
	buf_clear(&driver.calls);
	drop(w);
	calls_were("NodeUnpublishVolume NodeUnstageVolume ");
	assert_false(there(w, pod_volume(w)));
}

static void test_stage_fails_then_not(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	driver.fails = CSI_NODE_STAGE;
	fails(w, "MountVolume.MountDevice failed for volume \"pv-1\" : rpc error");
	rig_run(w->rig, 600 * NS_PER_SEC);
	assert_true(driver.calls.n < 20 * strlen("NodeStageVolume "));
	driver.fails = NULL;
	rig_run(w->rig, 130 * NS_PER_SEC);
	(void)ready(w);
}

static void test_unpublish_fails(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	driver.fails = CSI_NODE_UNPUBLISH;
	drop(w);
	assert_true(csi_drop_pod(w->csi, obj_uid(w->pod)));
	assert_true(there(w, pod_volume(w)));
	driver.fails = NULL;
	rig_run(w->rig, 130 * NS_PER_SEC);
	assert_false(csi_drop_pod(w->csi, obj_uid(w->pod)));
	assert_false(there(w, stage_dir(w)));
}

/* The mount table has the last word, and what somebody has put there is not deleted. */
static void test_still_mounted(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	driver.keeps = true;
	drop(w);
	assert_true(csi_drop_pod(w->csi, obj_uid(w->pod)));
	assert_true(there(w, arena_printf(&w->rig->arena, "%s/mount", pod_volume(w))));
	driver.keeps = false;
	strmap_release(&driver.mounted);
	driver.mounted = STRMAP_INIT;
	assert_int_equal(
	    file_write(arena_printf(&w->rig->arena, "%s/%s/mount/data", w->dir, pod_volume(w)), SV("x"), 0600, NULL),
	    0);
	rig_run(w->rig, 130 * NS_PER_SEC);
	assert_true(csi_drop_pod(w->csi, obj_uid(w->pod)));
	assert_true(there(w, arena_printf(&w->rig->arena, "%s/mount/data", pod_volume(w))));
}

/* --- the agent goes and comes --- */

static void test_killed_in_between(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	driver.fails = CSI_NODE_PUBLISH;
	fails(w, "not now");
	killed(w);
	driver.fails = NULL;
	buf_clear(&driver.calls);
	start(w);
	/* The pod is here: it is waited for what it wants. */
	calls_were("GetInfo NodeGetInfo NodeGetCapabilities NotifyRegistrationStatus ");
	assert_val(val_at(csi_in_use(w->csi, &w->rig->arena), 0), UNIQUE);
	(void)ready(w);
	calls_were("NodeStageVolume NodePublishVolume ");
}

static void test_pod_gone_meanwhile(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	killed(w);
	w->pod_gone = true;
	buf_clear(&driver.calls);
	start(w);
	rig_run(w->rig, 10 * NS_PER_SEC);
	calls_were(
	    "GetInfo NodeGetInfo NodeGetCapabilities NotifyRegistrationStatus NodeUnpublishVolume NodeUnstageVolume ");
	assert_false(there(w, stage_dir(w)));
	assert_false(there(w, pod_volume(w)));
	assert_int_equal(driver.mounted.n, 0);
}

/* Staged only, and nobody wants it. */
static void test_staged_left(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	driver.fails = CSI_NODE_UNSTAGE;
	drop(w);
	killed(w);
	driver.fails = NULL;
	buf_clear(&driver.calls);
	start(w);
	rig_run(w->rig, 10 * NS_PER_SEC);
	calls_were("GetInfo NodeGetInfo NodeGetCapabilities NotifyRegistrationStatus NodeUnstageVolume ");
	assert_false(there(w, stage_dir(w)));
}

/* What an agent wrote that is no data of ours is left alone. */
static void test_bad_data(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = { "", "[]", "{\"driverName\":\"../x\",\"volumeHandle\":\"h\"}",
					   "{\"driverName\":\"test.csi.io\"}",
					   "{\"driverName\":7,\"volumeHandle\":\"h\"}" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *dir =
		    arena_printf(&w->rig->arena, "%s/plugins/kubernetes.io/csi/test.csi.io/%zu", w->dir, i);

		assert_int_equal(dir_make(dir, 0750, NULL), 0);
		assert_int_equal(
		    file_write(arena_printf(&w->rig->arena, "%s/vol_data.json", dir), sv_from(bad[i]), 0600, NULL), 0);
	}
	killed(w);
	start(w);
	assert_null(csi_in_use(w->csi, &w->rig->arena));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_true(there(
		    w, arena_printf(&w->rig->arena, "plugins/kubernetes.io/csi/test.csi.io/%zu/vol_data.json", i)));
}

/* A driver that has gone holds what it mounted, and nothing that is not mounted any more. */
static void test_driver_gone(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	assert_int_equal(unlink(w->socket), 0);
	rig_run(w->rig, 6 * NS_PER_SEC);
	drop(w);
	assert_true(csi_drop_pod(w->csi, obj_uid(w->pod)));
	strmap_release(&driver.mounted); /* a reboot */
	driver.mounted = STRMAP_INIT;
	rig_run(w->rig, 130 * NS_PER_SEC);
	assert_false(csi_drop_pod(w->csi, obj_uid(w->pod)));
	assert_false(there(w, stage_dir(w)));
}

/* --- what a driver is told --- */

static void test_inline(void **state)
{
	struct world *w = *state;
	struct sv said;

	driver_object(w, "{\"podInfoOnMount\":true,\"volumeLifecycleModes\":[\"Ephemeral\"]}");
	expect(w->rig, 201, "POST", "/api/v1/namespaces/default/secrets",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\"},\"stringData\":{\"key\":"
	       "\"open\"}}");
	pod_is(w, "p",
	       "{\"name\":\"own\",\"csi\":{\"driver\":\"test.csi.io\",\"readOnly\":true,\"fsType\":\"xfs\","
	       "\"volumeAttributes\":{\"k\":\"v\"},\"nodePublishSecretRef\":{\"name\":\"s\"}}}",
	       "{}");
	(void)ready(w);
	calls_were("NodePublishVolume "); /* neither attached nor staged */
	said = buf_sv(&driver.publish);
	assert_true(sv_starts(pb_get_sv(said, 1), SV("csi-")));
	assert_sv(driver_map(said, 8, "k"), "v");
	assert_sv(driver_map(said, 7, "key"), "open");
	assert_sv(pb_get_sv(pb_get_sv(pb_get_sv(said, 5), 2), 1), "xfs");
	assert_int_equal(pb_get_u64(said, 6), 1);
	assert_sv(driver_map(said, 8, "csi.storage.k8s.io/pod.name"), "p");
	assert_sv(driver_map(said, 8, "csi.storage.k8s.io/pod.namespace"), "default");
	assert_true(sv_eq(driver_map(said, 8, "csi.storage.k8s.io/pod.uid"), obj_uid(w->pod)));
	assert_sv(driver_map(said, 8, "csi.storage.k8s.io/serviceAccount.name"), "default");
	assert_sv(driver_map(said, 8, "csi.storage.k8s.io/ephemeral"), "true");
	drop(w);
	calls_were("NodeUnpublishVolume ");
}

static void test_no_pod_info(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	assert_null(driver_map(buf_sv(&driver.publish), 8, "csi.storage.k8s.io/pod.name").p);
	assert_null(driver_map(buf_sv(&driver.publish), 8, "csi.storage.k8s.io/serviceAccount.tokens").p);
}

static void test_tokens(void **state)
{
	struct world *w = *state;
	const struct val *tokens;

	driver_object(
	    w, "{\"attachRequired\":false,\"requiresRepublish\":true,\"tokenRequests\":[{\"audience\":\"vault\"}]}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	tokens =
	    json_decode(&w->rig->arena,
			driver_map(buf_sv(&driver.publish), 8, "csi.storage.k8s.io/serviceAccount.tokens"), NULL, NULL);
	assert_true(val_str(val_member_sv(val_member_sv(tokens, SV("vault")), SV("token"))).n > 0);
	/* And anew, before it is too old. */
	buf_clear(&driver.calls);
	rig_run(w->rig, 200 * NS_PER_SEC);
	assert_non_null(strstr(buf_cstr(&driver.calls), "NodePublishVolume NodePublishVolume "));
}

static void test_tokens_as_secrets(void **state)
{
	struct world *w = *state;

	driver_object(
	    w, "{\"attachRequired\":false,\"serviceAccountTokenInSecrets\":true,\"tokenRequests\":[{\"audience\":"
	       "\"\"}]}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	assert_null(driver_map(buf_sv(&driver.publish), 8, "csi.storage.k8s.io/serviceAccount.tokens").p);
	assert_non_null(driver_map(buf_sv(&driver.publish), 7, "csi.storage.k8s.io/serviceAccount.tokens").p);
}

/* --- whose group its files are --- */

static mode_t mode_with(struct world *w, const char *policy, const char *fs_type)
{
	struct csi_place place;
	struct stat st;

	driver_object(w, arena_printf(&w->rig->arena, "{\"attachRequired\":false,\"fsGroupPolicy\":\"%s\"}", policy));
	claim_is(w, *fs_type ? arena_printf(&w->rig->arena, ",\"fsType\":\"%s\"", fs_type) : "", "");
	pod_is(w, "p", CLAIM_VOLUME, arena_printf(&w->rig->arena, "{\"fsGroup\":%u}", (unsigned)getgid()));
	place = ready(w);
	assert_int_equal(stat(place.path, &st), 0);
	return st.st_mode & 07777;
}

static void test_group_none(void **state)
{
	assert_int_equal(mode_with(*state, "None", "ext4"), 0750);
}

static void test_group_without_type(void **state)
{
	assert_int_equal(mode_with(*state, "ReadWriteOnceWithFSType", ""), 0750);
}

static void test_group_with_type(void **state)
{
	assert_int_equal(mode_with(*state, "ReadWriteOnceWithFSType", "ext4"), 02770);
}

static void test_group_file(void **state)
{
	assert_int_equal(mode_with(*state, "File", ""), 02770);
}

static void again(struct world *w)
{
	assert_int_equal(unlink(w->socket), 0);
	rig_run(w->rig, 6 * NS_PER_SEC);
	socket_make(w->socket);
	rig_run(w->rig, 6 * NS_PER_SEC);
	buf_clear(&driver.calls);
}

static void test_group_is_the_drivers(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *gid = xasprintf("%u", (unsigned)getgid());

	driver.can = CSI_CAN_STAGE | CSI_CAN_GROUP;
	again(w);
	assert_int_equal(mode_with(w, "File", ""), 0750);
	assert_sv(pb_get_sv(pb_get_sv(pb_get_sv(buf_sv(&driver.publish), 5), 2), 3), gid);
}

static void file_put(const char *dir, const char *name, mode_t mode)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	close(fd);
}

/* Whoever owns the files may not give them to any group: what can be done is, and the pod starts. */
static void test_group_is_refused(void **state)
{
	struct world *w = *state;
	struct csi_run_use u = { .pod = obj_new(json_decode(&w->rig->arena, SV("{}"), NULL, NULL), 0) };
	_cleanup_free_ char *dir = xasprintf("%s/group", w->dir), *file = xasprintf("%s/f", dir);
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct stat st;
	int rc;

	assert_int_equal(mkdir(dir, 0700), 0);
	file_put(dir, "f", 0600);
	assert_int_equal(chmod(w->dir, 0711), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(dir, 65534, 65534), 0);
		assert_int_equal(chown(file, 65534, 65534), 0);
	}
	(void)setfsuid(geteuid() ? geteuid() : 65534);
	rc = volume_group_set(obj_root(u.pod), dir, (int64_t)getgid() + 4321, &err);
	(void)setfsuid(geteuid());
	assert_int_equal(rc, 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	obj_unref(u.pod);
}

struct busy {
	const char *dir;
	_Atomic bool stop;
};

static void *busy_run(void *ctx)
{
	struct busy *b = ctx;

	for (unsigned i = 0; !b->stop; i++) {
		_cleanup_free_ char *name = xasprintf("f%u", i % 16), *path = xasprintf("%s/%s", b->dir, name);

		file_put(b->dir, name, 0600);
		(void)unlink(path);
	}
	return NULL;
}

/* A program of another pod makes and removes files meanwhile. */
static void test_group_of_a_busy_volume(void **state)
{
	struct world *w = *state;
	struct csi_run_use u = { .pod = obj_new(json_decode(&w->rig->arena, SV("{}"), NULL, NULL), 0) };
	_cleanup_free_ char *dir = xasprintf("%s/group", w->dir);
	struct busy b = { .dir = dir };
	pthread_t thread;
	int failed = 0;

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(pthread_create(&thread, NULL, busy_run, &b), 0);
	for (int i = 0; i < 3000; i++)
		failed += volume_group_set(obj_root(u.pod), dir, getgid(), NULL) < 0;
	b.stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(failed, 0);
	obj_unref(u.pod);
}

/* --- devices, fullness, growth --- */

static void test_block(void **state)
{
	struct world *w = *state;
	struct csi_place place;
	const char *top = "plugins/kubernetes.io/csi/volumeDevices";

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", ",\"volumeMode\":\"Block\"");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	place = ready(w);
	assert_true(place.block);
	assert_string_equal(
	    place.path, arena_printf(&w->rig->arena, "%s/%s/publish/pv-1/%.*s", w->dir, top, SV_ARG(obj_uid(w->pod))));
	assert_sv(pb_get_sv(buf_sv(&driver.stage), 3), arena_printf(&w->rig->arena, "%s/%s/staging/pv-1", w->dir, top));
	assert_true(there(w, arena_printf(&w->rig->arena, "%s/pv-1/data/vol_data.json", top)));
	killed(w);
	buf_clear(&driver.calls);
	w->pod_gone = true;
	start(w);
	rig_run(w->rig, 10 * NS_PER_SEC);
	calls_were(
	    "GetInfo NodeGetInfo NodeGetCapabilities NotifyRegistrationStatus NodeUnpublishVolume NodeUnstageVolume ");
	assert_false(there(w, arena_printf(&w->rig->arena, "%s/pv-1", top)));
}

static void test_fullness(void **state)
{
	struct world *w = *state;
	struct csi_stats s;

	driver.can = CSI_CAN_STAGE | CSI_CAN_STATS | CSI_CAN_CONDITION;
	again(w);
	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_true(csi_fullness(w->csi, obj_uid(w->pod), SV("pv-1"), &s));
	assert_int_equal(s.bytes.total, 100);
	assert_int_equal(s.bytes.used, 40);
	assert_false(csi_fullness(w->csi, obj_uid(w->pod), SV("pv-2"), &s));
	assert_int_equal(w->events.n, 0);
	driver.abnormal = true;
	rig_run(w->rig, 300 * NS_PER_SEC);
	assert_string_equal(buf_cstr(&w->events), "Warning VolumeConditionAbnormal Volume data: it smokes\n");
}

static void test_grows(void **state)
{
	struct world *w = *state;
	const struct val *claim;

	driver.can = CSI_CAN_STAGE | CSI_CAN_EXPAND;
	again(w);
	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	expect_type(w->rig, 200, "PATCH", CLAIMS "/c1/status", "application/merge-patch+json",
		    "{\"status\":{\"phase\":\"Bound\",\"capacity\":{\"storage\":\"1Gi\"}}}");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	(void)ready(w);
	rig_run(w->rig, 300 * NS_PER_SEC);
	assert_int_equal(driver.grown, 0);
	expect_type(w->rig, 200, "PATCH", "/api/v1/persistentvolumes/pv-1", "application/merge-patch+json",
		    "{\"spec\":{\"capacity\":{\"storage\":\"2Gi\"}}}");
	expect_type(w->rig, 200, "PATCH", CLAIMS "/c1/status", "application/merge-patch+json",
		    "{\"status\":{\"conditions\":[{\"type\":\"FileSystemResizePending\",\"status\":\"True\"}]}}");
	rig_run(w->rig, 130 * NS_PER_SEC);
	assert_int_equal(driver.grown, INT64_C(2) << 30);
	claim = expect(w->rig, 200, "GET", CLAIMS "/c1", NULL);
	assert_val(val_get(claim, F_status, F_capacity, F_storage), "2Gi");
	assert_int_equal(val_len(val_get(claim, F_status, F_conditions)), 0);
	assert_string_equal(buf_cstr(&w->events),
			    "Normal FileSystemResizeSuccessful MountVolume.NodeExpandVolume succeeded "
			    "for volume \"pv-1\"\n");
}

static uint64_t counted(struct world *w, enum volume_metric m, const char *a, const char *b, const char *c,
			const char *d)
{
	const struct sv values[] = { sv_from(a), sv_from(b), sv_from(c), sv_from(d) };

	return metric_count(w->counted, &volume_families[m], values);
}

/* Under upstream's names: what was done to volumes, and what the driver was asked. */
static void test_counted(void **state)
{
	struct world *w = *state;

	driver_object(w, "{\"attachRequired\":false}");
	claim_is(w, "", "");
	pod_is(w, "p", CLAIM_VOLUME, "{}");
	driver.fails = CSI_NODE_PUBLISH;
	fails(w, "not now");
	driver.fails = NULL;
	rig_run(w->rig, 30 * NS_PER_SEC);
	(void)ready(w);
	drop(w);
	assert_int_equal(counted(w, VM_OPERATION, "false", "volume_mount", "success", "kubernetes.io/csi:test.csi.io"),
			 1);
	assert_true(
	    counted(w, VM_OPERATION, "false", "volume_mount", "fail-unknown", "kubernetes.io/csi:test.csi.io") >= 1);
	assert_int_equal(
	    counted(w, VM_OPERATION, "false", "volume_unmount", "success", "kubernetes.io/csi:test.csi.io"), 1);
	assert_int_equal(counted(w, VM_CSI_CALL, "test.csi.io", "OK", CSI_NODE_PUBLISH, "false"), 1);
	assert_true(counted(w, VM_CSI_CALL, "test.csi.io", "Unavailable", CSI_NODE_PUBLISH, "false") >= 1);
	assert_int_equal(counted(w, VM_CSI_CALL, "test.csi.io", "OK", CSI_NODE_INFO, "false"), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(test_driver_unknown),
		T(test_inline_refused),
		T(test_inline_of_persistent),
		T(test_persistent_of_inline),
		T(test_secret_missing),
		T(test_attached_first),
		T(test_node_full),
		T(test_there_and_back),
		T(test_two_pods),
		T(test_no_staging),
		T(test_publish_fails),
		T(test_stage_fails_then_not),
		T(test_unpublish_fails),
		T(test_still_mounted),
		T(test_killed_in_between),
		T(test_pod_gone_meanwhile),
		T(test_staged_left),
		T(test_bad_data),
		T(test_driver_gone),
		T(test_inline),
		T(test_no_pod_info),
		T(test_tokens),
		T(test_tokens_as_secrets),
		T(test_group_none),
		T(test_group_without_type),
		T(test_group_with_type),
		T(test_group_file),
		T(test_group_is_the_drivers),
		T(test_group_is_refused),
		T(test_group_of_a_busy_volume),
		T(test_block),
		T(test_fullness),
		T(test_grows),
		T(test_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
