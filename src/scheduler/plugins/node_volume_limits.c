/* NodeVolumeLimits: a node takes so many volumes of a driver as its CSINode says, and none where the driver has to be
 * there and is not.
 *
 * A volume counts once on a node, however many Pods use it; also one that is attached and no Pod's, as of a Pod that
 * has just gone. What is on a node is counted when it is asked about, from the Pods and the VolumeAttachments there:
 * only Pods with volumes of drivers that have a limit cost that. Equal hashes are one volume; the table for them is
 * made once a cycle. */
#include "scheduler/plugins/plugins.h"

#include "base/buf.h"
#include "object/pod_refs.h"
#include "pod/volume_match.h"

#define TABLE 4096u	       /* slots: a power of two */
#define TABLE_FULL (TABLE / 2) /* more different volumes than any node mounts: it has no room then */

struct limits {
	struct limits_own {
		struct sv driver;
		uint64_t volume;
		const char *missing; /* the reason where the driver is not there; NULL: that is no reason */
	} * own;		     /* of the Pod */
	size_t n;
	/* The volumes met in this round, by hash: a slot of an earlier round is free. */
	struct {
		uint64_t volume;
		uint32_t round;
	} * table;
	uint32_t round, used;
};

static uint64_t limits_hash(struct sv driver, struct sv handle)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;

	buf_printf(&key, "%.*s^%.*s", SV_ARG(driver), SV_ARG(handle));
	return strmap_hash(buf_sv(&key));
}

/* The driver and the volume behind a Pod's volume; false: it is of none, or nobody knows yet. */
static bool limits_volume(const struct volumes *vs, const struct obj *pod, const struct val *v, struct sv *ret_driver,
			  uint64_t *ret_volume)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, key = BUF_INIT;
	struct sv name = pod_volume_claim(&b, obj_root(pod), v);
	struct obj *claim = name.n ? volumes_claim(vs, obj_ns(pod), name) : NULL, *volume, *class;

	if (!claim)
		return false;
	volume = volumes_volume(vs, val_str(obj_get(claim, F_spec, F_volumeName)));
	if (volume) {
		*ret_driver = val_str(obj_get(volume, F_spec, F_csi, F_driver));
		*ret_volume = limits_hash(*ret_driver, val_str(obj_get(volume, F_spec, F_csi, F_volumeHandle)));
	} else { /* one that is to be made */
		class = volumes_class(vs, storage_class_name(claim));
		*ret_driver = class ? val_str(obj_get(class, F_provisioner)) : SV("");
		buf_printf(&key, "%.*s %.*s/%.*s", SV_ARG(*ret_driver), SV_ARG(obj_ns(pod)), SV_ARG(name));
		*ret_volume = strmap_hash(buf_sv(&key));
	}
	return ret_driver->n > 0;
}

static enum sched_outcome limits_prefilter(struct cycle_state *cs)
{
	const struct volumes *vs = &cs->cache->volumes;
	const struct val *list = obj_get(cs->pod->obj, F_spec, F_volumes);
	struct limits *l = NULL;

	if (!vs->nodes.n && !vs->drivers.n)
		return SCHED_SKIP;
	VAL_EACH(list, v) {
		struct limits_own own = { 0 };
		bool must;

		if (!limits_volume(vs, cs->pod->obj, v, &own.driver, &own.volume))
			continue;
		must = volumes_must_be_installed(vs, own.driver);
		if (!must && !volumes_limited(vs, own.driver))
			continue;
		if (must)
			own.missing =
			    arena_printf(cs->arena, "%.*s CSI driver is not installed on the node", SV_ARG(own.driver));
		if (!l) {
			l = ARENA_NEW(cs->arena, struct limits);
			l->own = ARENA_ARRAY(cs->arena, struct limits_own, val_len(list));
			l->table = arena_zalloc_array(cs->arena, TABLE, sizeof(*l->table));
		}
		l->own[l->n++] = own;
	}
	cs->data[PLUGIN_NODE_VOLUME_LIMITS] = l;
	return l ? SCHED_OK : SCHED_SKIP;
}

/* True: it was not there before. */
static bool limits_add(struct limits *l, uint64_t volume)
{
	uint32_t at = (uint32_t)volume & (TABLE - 1);

	while (l->table[at].round == l->round) {
		if (l->table[at].volume == volume)
			return false;
		at = (at + 1) & (TABLE - 1);
	}
	if (l->used < TABLE_FULL) {
		l->table[at].volume = volume;
		l->table[at].round = l->round;
	}
	l->used++;
	return true;
}

/* Those that no Pod met before has. One whose volume is gone is nothing that could be told from others. */
static int64_t limits_count_attached(struct limits *l, const struct volumes *vs, const struct node_info *n,
				     struct sv driver)
{
	const struct strmap *on = volumes_attached(vs, sv_from(n->name));
	int64_t count = 0;

	if (!on)
		return 0;
	STRMAP_EACH(on, e) {
		const struct obj *volume =
		    volumes_volume(vs, val_str(obj_get(e->value, F_spec, F_source, F_persistentVolumeName)));
		struct sv handle = volume ? val_str(obj_get(volume, F_spec, F_csi, F_volumeHandle)) : SV("");

		if (handle.n && sv_eq(val_str(obj_get(e->value, F_spec, F_attacher)), driver))
			count += limits_add(l, limits_hash(driver, handle));
	}
	return count;
}

/* Volumes of the driver on the node. */
static int64_t limits_count(struct limits *l, const struct volumes *vs, const struct node_info *n, struct sv driver)
{
	int64_t count = 0;

	l->round++;
	l->used = 0;
	LIST_EACH(&n->pods, it) {
		const struct obj *pod = LIST_ENTRY(it, struct pod_info, on_node)->obj;

		VAL_EACH(obj_get(pod, F_spec, F_volumes), v) {
			struct sv of;
			uint64_t volume;

			if (limits_volume(vs, pod, v, &of, &volume) && sv_eq(of, driver))
				count += limits_add(l, volume);
		}
	}
	return count + limits_count_attached(l, vs, n, driver);
}

static enum sched_outcome limits_filter(struct cycle_state *cs, const struct node_info *n)
{
	const struct volumes *vs = &cs->cache->volumes;
	struct limits *l = cs->data[PLUGIN_NODE_VOLUME_LIMITS];

	for (size_t i = 0; i < l->n; i++) {
		int64_t limit = volumes_limit(vs, sv_from(n->name), l->own[i].driver), count;
		bool before = false, more = false;

		if (l->own[i].missing && !volumes_installed(vs, sv_from(n->name), l->own[i].driver)) {
			cycle_why(cs, l->own[i].missing);
			return SCHED_UNRESOLVABLE;
		}

		for (size_t k = 0; k < i; k++) /* a Pod has few volumes; each driver once */
			before |= sv_eq(l->own[k].driver, l->own[i].driver);
		if (before || limit < 0)
			continue;
		count = limits_count(l, vs, n, l->own[i].driver);
		for (size_t k = i; k < l->n; k++)
			if (sv_eq(l->own[k].driver, l->own[i].driver) && limits_add(l, l->own[k].volume)) {
				count++;
				more = true;
			}
		if (more && (count > limit || l->used >= TABLE_FULL)) {
			cycle_why(cs, "node(s) exceed max volume count");
			return SCHED_UNSCHEDULABLE;
		}
	}
	return SCHED_OK;
}

const struct plugin plugin_node_volume_limits = {
	.name = "NodeVolumeLimits",
	.events = EV_NODE_ADD | EV_POD_DELETE | EV_VOLUME | EV_CLAIM,
	.prefilter = limits_prefilter,
	.filter = limits_filter,
};
