/* VolumeBinding: which nodes the claims of a Pod allow, and what they are told. */
#include "kit.h"

#include "pod/volume_match.h"

static void put(struct kit *k, struct obj *o)
{
	volumes_set(&k->cache.volumes, o, false);
	obj_unref(o);
}

static void class(struct kit *k, const char *name, const char *more)
{
	put(k, kit_obj("{'kind':'StorageClass','metadata':{'name':'%s'},%s}", name, more));
}

#define WAIT "'volumeBindingMode':'WaitForFirstConsumer'"

/* A claim of class `of`; volume not "": bound to it. */
static void claim(struct kit *k, const char *name, const char *of, const char *volume, const char *notes)
{
	put(k, kit_obj("{'kind':'PersistentVolumeClaim','metadata':{'name':'%s','namespace':'default','uid':'c-%s',"
		       "'annotations':{%s%s}},'spec':{'accessModes':['ReadWriteOnce'],'storageClassName':'%s','"
		       "volumeName':'%s',"
		       "'resources':{'requests':{'storage':'1Gi'}}}}",
		       name, name, volume[0] ? "'pv.kubernetes.io/bind-completed':'yes'" : "", notes, of, volume));
}

static void volume(struct kit *k, const char *name, const char *of, const char *size, const char *node)
{
	char nodes[256] = "";

	if (node[0])
		snprintf(nodes, sizeof(nodes),
			 ",'nodeAffinity':{'required':{'nodeSelectorTerms':[{'matchExpressions':[{'key':"
			 "'kubernetes.io/hostname','operator':'In','values':['%s']}]}]}}",
			 node);
	put(k, kit_obj("{'kind':'PersistentVolume','metadata':{'name':'%s'},'spec':{'accessModes':['ReadWriteOnce'],"
		       "'storageClassName':'%s','capacity':{'storage':'%s'}%s},'status':{'phase':'Available'}}",
		       name, of, size, nodes));
}

static struct pod_info *pod(struct kit *k, const char *node, const char *name, const char *c1, const char *c2)
{
	char spec[512];

	snprintf(
	    spec, sizeof(spec),
	    "'containers':[{'name':'c'}],'volumes':[{'name':'a','persistentVolumeClaim':{'claimName':'%s'}}%s%s%s]", c1,
	    c2[0] ? ",{'name':'b','persistentVolumeClaim':{'claimName':'" : "", c2, c2[0] ? "'}}" : "");
	return kit_pod(k, node, name, "", spec);
}

static void test_refused_everywhere(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	class(k, "now", "'provisioner':'x'");
	claim(k, "now", "now", "", "");
	claim(k, "named", "now", "", "");
	put(k, kit_obj("{'kind':'PersistentVolumeClaim','metadata':{'name':'goes','namespace':'default','"
		       "deletionTimestamp':'x'}}"));
	put(k, kit_obj("{'kind':'PersistentVolumeClaim','metadata':{'name':'lost','namespace':'default'},'spec':{'"
		       "volumeName':'v'},"
		       "'status':{'phase':'Lost'}}"));
	kit_refused(k, pod(k, NULL, "a", "nosuch", ""),
		    "0/2 nodes are available: persistentvolumeclaim \"nosuch\" not found.");
	kit_refused(k, pod(k, NULL, "b", "now", ""),
		    "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
	kit_refused(k, pod(k, NULL, "c", "goes", ""),
		    "0/2 nodes are available: persistentvolumeclaim \"goes\" is being deleted.");
	kit_refused(
	    k, pod(k, NULL, "d", "lost", ""),
	    "0/2 nodes are available: persistentvolumeclaim \"lost\" bound to non-existent persistentvolume \"v\".");
	/* Preemption does not help, and its words do not repeat ours. */
	{
		struct preemption pre;

		assert_false(preemption_find(&k->cs, &pre));
		assert_sv(pre.message,
			  "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.");
	}
}

static void test_bound(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	volume(k, "v1", "", "1Gi", "n1");
	volume(k, "v2", "", "1Gi", "n2");
	volume(k, "any", "", "1Gi", "");
	claim(k, "c1", "", "v1", "");
	claim(k, "c2", "", "v2", "");
	claim(k, "c3", "", "any", "");
	claim(k, "c4", "", "nosuch", "");
	assert_string_equal(kit_find(k, pod(k, NULL, "a", "c1", "")), "n1");
	assert_string_equal(kit_find(k, pod(k, NULL, "b", "c2", "c3")), "n2");
	kit_refused(k, pod(k, NULL, "c", "c1", "c2"),
		    "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.");
	kit_refused(
	    k, pod(k, NULL, "d", "c4", ""),
	    "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).");
}

static void assert_work(struct kit *k, const char *node, const char *v1, const char *v2)
{
	claim_works w = VEC_INIT;

	volume_binding_work(&k->cs, cache_node(&k->cache, sv_from(node)), &w);
	assert_int_equal(w.n, (v1 != NULL) + (v2 != NULL));
	for (size_t i = 0; i < w.n; i++) {
		const char *want = i ? v2 : v1;

		if (want[0])
			assert_sv(obj_name(w.p[i].volume), want);
		else
			assert_null(w.p[i].volume);
	}
	volumes_promise(&k->cache.volumes, w.p, w.n);
	claim_works_release(&w);
}

/* Claims that wait for their Pod: volumes of one node, each for one claim, and none that is promised. */
static void test_waiting_for_volumes(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	class(k, "local", "'provisioner':'kubernetes.io/no-provisioner'," WAIT);
	volume(k, "big", "local", "9Gi", "n2");
	volume(k, "small", "local", "2Gi", "n2");
	volume(k, "alone", "local", "1Gi", "n1");
	volume(k, "tiny", "local", "1Mi", "n1");
	claim(k, "c1", "local", "", "");
	claim(k, "c2", "local", "", "");
	claim(k, "c3", "local", "", "");
	assert_string_equal(kit_find(k, pod(k, NULL, "a", "c1", "c2")), "n2");
	assert_work(k, "n2", "small", "big");
	assert_string_equal(kit_find(k, pod(k, NULL, "b", "c3", "")), "n1");
	assert_work(k, "n1", "alone", NULL);
	/* All promised now, but for those whose promise it is. */
	kit_refused(k, pod(k, NULL, "c", "c1", "c3"),
		    "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.");
	assert_string_equal(kit_find(k, pod(k, NULL, "d", "c1", "")), "n2");
	/* The API shows that "small" is somebody's: the promise is over, and it is not free. */
	put(k, kit_obj("{'kind':'PersistentVolume','metadata':{'name':'small'},'spec':{'accessModes':['ReadWriteOnce'],"
		       "'storageClassName':'local','capacity':{'storage':'2Gi'},'claimRef':{'name':'x','namespace':'y',"
		       "'uid':'z'}},"
		       "'status':{'phase':'Available'}}"));
	assert_int_equal(k->cache.volumes.promised.n, 2);
}

static void test_provisioned(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "'zone':'a'");
	kit_node(k, "n2", "'zone':'b'");
	class(k, "made", "'provisioner':'x.io/p'," WAIT);
	class(k, "zoned",
	      "'provisioner':'x.io/p'," WAIT
	      ",'allowedTopologies':[{'matchLabelExpressions':[{'key':'zone','values':['c','b']}]}]");
	claim(k, "c1", "made", "", "'volume.kubernetes.io/selected-node':'n2'");
	claim(k, "c2", "zoned", "", "");
	claim(k, "c3", "made", "", "'volume.kubernetes.io/selected-node':'n1'");
	assert_string_equal(kit_find(k, pod(k, NULL, "a", "c1", "")), "n2");
	assert_work(k, "n2", "", NULL);
	assert_string_equal(kit_find(k, pod(k, NULL, "b", "c2", "")), "n2");
	kit_refused(k, pod(k, NULL, "c", "c2", "c3"),
		    "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.");
}

static void test_one_pod_at_a_time(void **state)
{
	struct kit *k = *state;
	struct pod_info *holder;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	volume(k, "v", "", "1Gi", "");
	put(k, kit_obj("{'kind':'PersistentVolumeClaim','metadata':{'name':'only','namespace':'default','annotations':{"
		       "'pv.kubernetes.io/"
		       "bind-completed':'yes'}},'spec':{'accessModes':['ReadWriteOncePod'],'volumeName':'v'}}"));
	holder = pod(k, "n1", "holder", "only", "");
	kit_refused(k, pod(k, NULL, "b", "only", ""),
		    "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and "
		    "ReadWriteOncePod access mode.");
	kit_remove(k, holder);
	assert_true(*kit_find(k, pod(k, NULL, "c", "only", "")) != '\0');
}

/* Whoever is more important takes it from who has it, wherever that is. */
static void test_one_pod_at_a_time_gives_way(void **state)
{
	static const char spec[] = "'priority':%d,'containers':[{'name':'c'}],'volumes':[{'name':'a',"
				   "'persistentVolumeClaim':{'claimName':'only'}}]";
	struct kit *k = *state;
	struct preemption pre;
	char text[256];

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	volume(k, "v", "", "1Gi", "");
	put(k, kit_obj("{'kind':'PersistentVolumeClaim','metadata':{'name':'only','namespace':'default','annotations':{"
		       "'pv.kubernetes.io/bind-completed':'yes'}},'spec':{'accessModes':['ReadWriteOncePod'],"
		       "'volumeName':'v'}}"));
	snprintf(text, sizeof(text), spec, 5);
	kit_pod(k, "n2", "holder", "", text);
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "same", "", text)), "");
	assert_false(preemption_find(&k->cs, &pre));
	snprintf(text, sizeof(text), spec, 9);
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "more", "", text)), "");
	assert_true(preemption_find(&k->cs, &pre));
	assert_string_equal(pre.node->name, "n2");
	assert_int_equal(pre.n, 1);
	assert_sv(obj_name(pre.victims[0]->obj), "holder");
}

/* The claim of an ephemeral volume is made for its Pod; what only has the name of one is nobody's of its. */
static void test_ephemeral(void **state)
{
	static const char spec[] = "'containers':[{'name':'c'}],'volumes':[{'name':'d','ephemeral':{}}]";
	struct kit *k = *state;
	struct pod_info *p;

	kit_node(k, "n1", "");
	class(k, "made", "'provisioner':'x.io/p'," WAIT);
	p = kit_pod(k, NULL, "p", "", spec);
	kit_refused(k, p,
		    "0/1 nodes are available: waiting for ephemeral volume controller to create the "
		    "persistentvolumeclaim \"p-d\".");
	claim(k, "p-d", "made", "", "");
	kit_refused(k, p,
		    "0/1 nodes are available: PVC default/p-d was not created for pod default/p (pod is not owner).");
	put(k, kit_obj(
		   "{'kind':'PersistentVolumeClaim','metadata':{'name':'p-d','namespace':'default','ownerReferences':[{"
		   "'kind':'Pod','name':'p','uid':'u-p','controller':true}]},'spec':{'accessModes':['ReadWriteOnce'],"
		   "'storageClassName':'made'}}"));
	assert_string_equal(kit_find(k, p), "n1");
	assert_work(k, "n1", "", NULL);
}

/* A clone of local-path is made where its source is. */
static void test_clone(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	class(k, "ours", "'provisioner':'" LOCAL_PATH_PROVISIONER "'," WAIT);
	volume(k, "v", "ours", "1Gi", "n2");
	claim(k, "source", "ours", "v", "");
	put(k,
	    kit_obj(
		"{'kind':'PersistentVolumeClaim','metadata':{'name':'copy','namespace':'default'},'spec':{"
		"'accessModes':['ReadWriteOnce'],'storageClassName':'ours','resources':{'requests':{'storage':'9Gi'}},"
		"'dataSource':{'kind':'PersistentVolumeClaim','name':'source'}}}"));
	assert_string_equal(kit_find(k, pod(k, NULL, "a", "copy", "")), "n2");
	assert_work(k, "n2", "", NULL);
}

/* One that comes from a snapshot goes where that is, once it is known; and another driver's wherever it likes. */
static void test_restored(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	class(k, "ours", "'provisioner':'" LOCAL_PATH_PROVISIONER "'," WAIT);
	put(k, kit_obj("{'kind':'PersistentVolumeClaim','metadata':{'name':'copy','namespace':'default','annotations':{"
		       "'local-path.caravel.io/source-node':'n2'}},'spec':{'accessModes':['ReadWriteOnce'],"
		       "'storageClassName':'ours','resources':{'requests':{'storage':'9Gi'}},'dataSource':{'apiGroup':"
		       "'snapshot.storage.k8s.io','kind':'VolumeSnapshot','name':'s'}}}"));
	assert_string_equal(kit_find(k, pod(k, NULL, "a", "copy", "")), "n2");
	assert_work(k, "n2", "", NULL);
}

/* --- what drivers say of nodes --- */

static void driver_volume(struct kit *k, const char *name, const char *driver)
{
	char claim_name[32];

	put(k, kit_obj("{'kind':'PersistentVolume','metadata':{'name':'%s'},'spec':{'accessModes':['ReadWriteOnce'],"
		       "'capacity':{'storage':'1Gi'},'csi':{'driver':'%s','volumeHandle':'h-%s'}}}",
		       name, driver, name));
	snprintf(claim_name, sizeof(claim_name), "c-%s", name);
	claim(k, claim_name, "", name, "");
}

static void csi_node(struct kit *k, const char *name, const char *driver, const char *allocatable)
{
	put(k, kit_obj("{'kind':'CSINode','metadata':{'name':'%s'},'spec':{'drivers':[{'name':'%s','nodeID':'x'%s}]}}",
		       name, driver, allocatable));
}

static void test_limits(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "");
	for (int i = 1; i <= 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "v%d", i);
		driver_volume(k, name, "d.io");
	}
	driver_volume(k, "o1", "other.io");
	pod(k, "n1", "has", "c-v1", "c-v2");
	pod(k, "n1", "too", "c-v1", ""); /* the same counts once */
	/* Nobody says how many. */
	assert_string_equal(kit_find(k, pod(k, NULL, "a", "c-v3", "c-v4")), "n1");
	csi_node(k, "n1", "d.io", "");
	assert_string_equal(kit_find(k, pod(k, NULL, "b", "c-v3", "c-v4")), "n1");
	csi_node(k, "n1", "d.io", ",'allocatable':{'count':3}");
	kit_refused(k, pod(k, NULL, "c", "c-v3", "c-v4"),
		    "0/1 nodes are available: 1 node(s) exceed max volume count.");
	assert_string_equal(kit_find(k, pod(k, NULL, "d", "c-v3", "")), "n1");
	/* What is there already is no more, and others' are not counted. */
	csi_node(k, "n1", "d.io", ",'allocatable':{'count':0}");
	assert_string_equal(kit_find(k, pod(k, NULL, "e", "c-v1", "c-v2")), "n1");
	assert_string_equal(kit_find(k, pod(k, NULL, "f", "c-o1", "")), "n1");
	kit_refused(k, pod(k, NULL, "g", "c-v3", ""), "0/1 nodes are available: 1 node(s) exceed max volume count.");
	kit_node(k, "n2", "");
	assert_string_equal(kit_find(k, pod(k, NULL, "h", "c-v3", "")), "n2");
}

static void attachment(struct kit *k, const char *volume, const char *driver, const char *node, bool gone)
{
	struct obj *o = kit_obj("{'kind':'VolumeAttachment','metadata':{'name':'csi-%s-%s'},'spec':{'attacher':'%s',"
				"'nodeName':'%s','source':{'persistentVolumeName':'%s'}}}",
				volume, node, driver, node, volume);

	volumes_set(&k->cache.volumes, o, gone);
	obj_unref(o);
}

/* What is attached still counts, also when its Pod has gone; once, when it has not. */
static void test_limits_of_what_is_attached(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "");
	for (int i = 1; i <= 3; i++)
		driver_volume(k, arena_printf(&k->arena, "v%d", i), "d.io");
	csi_node(k, "n1", "d.io", ",'allocatable':{'count':2}");
	pod(k, "n1", "has", "c-v1", "");
	attachment(k, "v1", "d.io", "n1", false); /* the same as the Pod's */
	assert_string_equal(kit_find(k, pod(k, NULL, "a", "c-v3", "")), "n1");
	attachment(k, "v2", "d.io", "n1", false);
	kit_refused(k, pod(k, NULL, "b", "c-v3", ""), "0/1 nodes are available: 1 node(s) exceed max volume count.");
	assert_string_equal(kit_find(k, pod(k, NULL, "c", "c-v2", "")), "n1"); /* it is there already */
	/* Another driver's, another node's, or one of which nobody knows what it is, is none. */
	attachment(k, "v2", "d.io", "n1", true);
	attachment(k, "v2", "d.io", "n2", false);
	attachment(k, "nothing", "d.io", "n1", false);
	attachment(k, "v3", "other.io", "n1", false);
	assert_string_equal(kit_find(k, pod(k, NULL, "d", "c-v3", "")), "n1");
	/* The driver says something else. */
	csi_node(k, "n1", "d.io", ",'allocatable':{'count':1}");
	kit_refused(k, pod(k, NULL, "e", "c-v3", ""), "0/1 nodes are available: 1 node(s) exceed max volume count.");
}

static void test_limits_of_what_is_made(void **state)
{
	struct kit *k = *state;

	kit_node(k, "n1", "");
	class(k, "made", "'provisioner':'d.io'," WAIT);
	claim(k, "one", "made", "", "");
	claim(k, "two", "made", "", "");
	csi_node(k, "n1", "d.io", ",'allocatable':{'count':1}");
	kit_refused(k, pod(k, NULL, "a", "one", "two"), "0/1 nodes are available: 1 node(s) exceed max volume count.");
	assert_string_equal(kit_find(k, pod(k, NULL, "b", "one", "")), "n1");
}

/* A driver that has to be there, where it has not come yet. */
static void test_driver_missing(void **state)
{
	struct kit *k = *state;
	struct pod_info *p;

	kit_node(k, "n1", "");
	driver_volume(k, "v1", "d.io");
	p = pod(k, NULL, "a", "c-v1", "");
	assert_string_equal(kit_find(k, p), "n1");
	put(k,
	    kit_obj("{'kind':'CSIDriver','metadata':{'name':'d.io'},'spec':{'preventPodSchedulingIfMissing':true}}"));
	kit_refused(k, p, "0/1 nodes are available: 1 d.io CSI driver is not installed on the node.");
	csi_node(k, "n1", "other.io", "");
	kit_refused(k, p, "0/1 nodes are available: 1 d.io CSI driver is not installed on the node.");
	csi_node(k, "n1", "d.io", "");
	assert_string_equal(kit_find(k, p), "n1");
}

static void capacity(struct kit *k, const char *name, const char *of, const char *node, const char *sizes)
{
	put(k, kit_obj("{'kind':'CSIStorageCapacity','metadata':{'name':'%s','namespace':'x'},'storageClassName':'%s',"
		       "'nodeTopology':{'matchLabels':{'kubernetes.io/hostname':'%s'}},%s}",
		       name, of, node, sizes));
}

static void test_capacity(void **state)
{
	static const char full[] = "0/2 nodes are available: 2 node(s) did not have enough free storage.";
	struct kit *k = *state;
	struct pod_info *p;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	class(k, "made", "'provisioner':'d.io'," WAIT);
	claim(k, "c", "made", "", "");
	p = pod(k, NULL, "a", "c", "");
	assert_string_not_equal(kit_find(k, p), ""); /* nobody tells */
	put(k, kit_obj("{'kind':'CSIDriver','metadata':{'name':'d.io'},'spec':{'storageCapacity':true}}"));
	kit_refused(k, p, full);
	capacity(k, "s1", "made", "n1", "'capacity':'500Mi'");
	capacity(k, "s2", "other", "n2", "'capacity':'5Gi'");
	kit_refused(k, p, full);
	/* However much there is, one volume may have no more than that. */
	capacity(k, "s3", "made", "n2", "'capacity':'5Gi','maximumVolumeSize':'1Mi'");
	kit_refused(k, p, full);
	capacity(k, "s3", "made", "n2", "'capacity':'5Gi','maximumVolumeSize':'2Gi'");
	assert_string_equal(kit_find(k, p), "n2");
	put(k, kit_obj("{'kind':'CSIDriver','metadata':{'name':'d.io'},'spec':{'storageCapacity':false}}"));
	assert_string_not_equal(kit_find(k, p), "");
}

/* What VolumeBinding says of a node for the Pod. */
static int64_t score(struct kit *k, struct pod_info *p, const char *node)
{
	const struct plugin *pl = plugin_table[PLUGIN_VOLUME_BINDING];

	assert_string_not_equal(kit_find(k, p), "");
	if (pl->prescore(&k->cs, NULL, 0) == SCHED_SKIP)
		return -1;
	return pl->score(&k->cs, cache_node(&k->cache, sv_from(node)));
}

/* Where more is free; a class's claims share it, and classes count alike. */
static void test_capacity_prefers(void **state)
{
	struct kit *k = *state;
	struct pod_info *p;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	class(k, "made", "'provisioner':'d.io'," WAIT);
	class(k, "more", "'provisioner':'d.io'," WAIT);
	claim(k, "c", "made", "", "");
	claim(k, "d", "made", "", "");
	claim(k, "e", "more", "", "");
	p = pod(k, NULL, "a", "c", "");
	assert_int_equal(score(k, p, "n1"), 0); /* nobody tells */
	put(k, kit_obj("{'kind':'CSIDriver','metadata':{'name':'d.io'},'spec':{'storageCapacity':true}}"));
	capacity(k, "s1", "made", "n1", "'capacity':'4Gi'");
	capacity(k, "s2", "made", "n2", "'capacity':'10Gi'");
	assert_int_equal(score(k, p, "n1"), 75);
	assert_int_equal(score(k, p, "n2"), 90);
	p = pod(k, NULL, "b", "c", "d");
	assert_int_equal(score(k, p, "n1"), 50);
	assert_int_equal(score(k, p, "n2"), 80);
	assert_string_equal(kit_find(k, p), "n2");
	capacity(k, "s3", "more", "n1", "'capacity':'100Gi'");
	capacity(k, "s4", "more", "n2", "'capacity':'1Gi'");
	p = pod(k, NULL, "c", "c", "e");
	assert_int_equal(score(k, p, "n1"), 87); /* of 75 and 99 */
	assert_int_equal(score(k, p, "n2"), 45);
	assert_string_equal(kit_find(k, p), "n1");
	/* One volume may have as much as that, and how much there is in all nobody says. */
	capacity(k, "s1", "made", "n1", "'maximumVolumeSize':'4Gi'");
	p = pod(k, NULL, "d", "c", "");
	assert_int_equal(score(k, p, "n1"), 0);
	put(k, kit_obj("{'kind':'PersistentVolume','metadata':{'name':'v'},'spec':{'accessModes':['ReadWriteOnce'],"
		       "'storageClassName':'x','capacity':{'storage':'1Gi'}}}"));
	claim(k, "bound", "x", "v", "");
	assert_int_equal(score(k, pod(k, NULL, "e", "bound", ""), "n1"), -1);
}

/* The volumes that are there are used as full as can be told: the one that fits best. */
static void test_volumes_prefer(void **state)
{
	struct kit *k = *state;
	struct pod_info *p;

	kit_node(k, "n1", "");
	kit_node(k, "n2", "");
	class(k, "local", "'provisioner':'kubernetes.io/no-provisioner'," WAIT);
	claim(k, "c", "local", "", "");
	volume(k, "v1", "local", "2Gi", "n1");
	volume(k, "v2", "local", "4Gi", "n2");
	p = pod(k, NULL, "a", "c", "");
	assert_int_equal(score(k, p, "n1"), 50);
	assert_int_equal(score(k, p, "n2"), 75);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KIT_TEST(test_clone),
		KIT_TEST(test_restored),
		KIT_TEST(test_refused_everywhere),
		KIT_TEST(test_bound),
		KIT_TEST(test_waiting_for_volumes),
		KIT_TEST(test_provisioned),
		KIT_TEST(test_one_pod_at_a_time),
		KIT_TEST(test_one_pod_at_a_time_gives_way),
		KIT_TEST(test_ephemeral),
		KIT_TEST(test_driver_missing),
		KIT_TEST(test_limits),
		KIT_TEST(test_limits_of_what_is_attached),
		KIT_TEST(test_limits_of_what_is_made),
		KIT_TEST(test_capacity),
		KIT_TEST(test_capacity_prefers),
		KIT_TEST(test_volumes_prefer),
	};

	return cmocka_run_group_tests_name("scheduler/volumes", tests, NULL, NULL);
}
