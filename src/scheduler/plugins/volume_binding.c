/* VolumeBinding: a Pod goes where its claims can be used.
 *
 *	claim	bound			the volume's nodes
 *		binds at once, unbound	no node: it must be bound first
 *		waits for its Pod	nodes for which a volume that fits is free, or can be made, where there is room
 *
 * When the node is found, claims that wait are told: they get the volumes chosen here, or the node to make theirs on
 * (volume_binding_work()). Of nodes that can do, those are preferred whose room is used least: by the volumes that the
 * claims get, or, where all are made, of what drivers say that they have. Also here: a claim of access mode
 * ReadWriteOncePod has one Pod at a time, wherever that is, and a Pod of higher priority takes it by preemption. */
#include "scheduler/plugins/plugins.h"

#include "base/buf.h"
#include "object/annotation.h"
#include "object/pod_refs.h"
#include "object/quantity.h"
#include "pod/volume_match.h"

#include <stdlib.h>

struct candidate {
	struct obj *volume;
	struct node_want nodes;
};

struct pod_claim {
	struct obj *claim, *class;
	bool bound, exclusive;	      /* ReadWriteOncePod */
	struct candidate *candidates; /* of a bound one its volume; else those that fit, best first */
	size_t n;
	/* Its provisioner tells where it has room: these are places with enough of it. */
	bool tells;
	struct claim_room {
		const struct selector *where;
		int64_t bytes; /* in all */
	} * room;
	size_t n_room;
	/* A clone of local-path: its volume is made where its source is. */
	bool clone;
	struct node_want source;
	struct sv source_node; /* the same of one that comes from a snapshot; "": wherever it likes */
};

struct pod_claims {
	struct pod_claim *p;
	size_t n;
	int holders; /* Pods on nodes that have one of the exclusive ones, as often as they do */
};

static enum sched_outcome volume_binding_no_node(struct cycle_state *cs, const char *why)
{
	cs->no_node_because = sv_from(why);
	memset(cs->outcome, SCHED_UNRESOLVABLE, cs->cache->slots.n);
	return SCHED_UNRESOLVABLE;
}

/* --- prefilter --- */

static bool exclusive(const struct obj *claim)
{
	VAL_EACH(obj_get(claim, F_spec, F_accessModes), m)
		if (val_is(m, "ReadWriteOncePod"))
			return true;
	return false;
}

static bool volume_binding_mounts(const struct obj *pod, const struct obj *claim)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!sv_eq(obj_ns(pod), obj_ns(claim)))
		return false;
	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		if (sv_eq(pod_volume_claim(&b, obj_root(pod), v), obj_name(claim)))
			return true;
	return false;
}

static int volume_binding_holders(struct cycle_state *cs, const struct obj *claim)
{
	int holders = 0;
	size_t n;
	struct node_info **nodes = cache_order(cs->cache, &n);

	for (size_t i = 0; i < n; i++)
		LIST_EACH(&nodes[i]->pods, it)
			holders += volume_binding_mounts(LIST_ENTRY(it, struct pod_info, on_node)->obj, claim);
	return holders;
}

static int by_rank(const void *x, const void *y, void *claim)
{
	return volume_rank_cmp(((const struct candidate *)x)->volume, ((const struct candidate *)y)->volume, claim);
}

/* The volumes that an unbound claim could have, wherever they are. */
static void find_candidates(struct cycle_state *cs, struct pod_claim *c)
{
	struct volumes *vs = &cs->cache->volumes;
	const struct selector *selector = claim_selector(cs->arena, c->claim);

	c->candidates = ARENA_ARRAY(cs->arena, struct candidate, vs->volumes.n);
	STRMAP_EACH(&vs->volumes, e) {
		struct obj *v = e->value;

		if (!volume_can_serve(v, c->claim, selector) || volumes_taken(vs, v, c->claim))
			continue;
		c->candidates[c->n].volume = v;
		volume_nodes(cs->arena, v, &c->candidates[c->n++].nodes);
	}
	if (c->n > 1)
		qsort_r(c->candidates, c->n, sizeof(*c->candidates), by_rank, c->claim);
}

/* The provisioner of local-path copies on one machine; others bring their data to wherever they are wanted. */
static void find_source(struct cycle_state *cs, struct pod_claim *c)
{
	struct volumes *vs = &cs->cache->volumes;
	const struct val *from = obj_get(c->claim, F_spec, F_dataSourceRef);
	struct obj *source, *volume;

	if (!from)
		from = obj_get(c->claim, F_spec, F_dataSource);
	if (!val_is(obj_get(c->class, F_provisioner), LOCAL_PATH_PROVISIONER))
		return;
	if (val_is(val_get(from, F_kind), "VolumeSnapshot"))
		c->source_node = annotation_of(obj_root(c->claim), ANN_SOURCE_NODE);
	if (!val_is(val_get(from, F_kind), "PersistentVolumeClaim"))
		return;
	source = volumes_claim(vs, obj_ns(c->claim), val_get_str(from, F_name));
	volume = source ? volumes_volume(vs, val_str(obj_get(source, F_spec, F_volumeName))) : NULL;
	if (!volume)
		return; /* its provisioner says so */
	c->clone = true;
	volume_nodes(cs->arena, volume, &c->source);
}

static bool room_enough(const struct obj *capacity, int64_t bytes)
{
	struct sv most = val_str(obj_get(capacity, F_maximumVolumeSize));
	int64_t has;

	return quantity_value(most.n ? most : val_str(obj_get(capacity, F_capacity)), &has) && has >= bytes;
}

/* Where a volume of this size can be made, as its driver says in CSIStorageCapacity objects. */
static void find_room(struct cycle_state *cs, struct pod_claim *c)
{
	struct volumes *vs = &cs->cache->volumes;
	int64_t bytes = claim_request_bytes(c->claim);

	c->tells = bytes > 0 && volumes_tells_capacity(vs, val_str(obj_get(c->class, F_provisioner)));
	if (!c->tells)
		return;
	c->room = ARENA_ARRAY(cs->arena, struct claim_room, vs->capacities.n);
	STRMAP_EACH(&vs->capacities, e) {
		const struct val *where = obj_get(e->value, F_nodeTopology);
		const struct selector *s;

		if (!where || !sv_eq(val_str(obj_get(e->value, F_storageClassName)), obj_name(c->class)) ||
		    !room_enough(e->value, bytes))
			continue;
		s = selector_from_label_selector(cs->arena, where, NULL);
		if (!s)
			continue;
		c->room[c->n_room].where = s;
		if (!quantity_value(val_str(obj_get(e->value, F_capacity)), &c->room[c->n_room].bytes))
			c->room[c->n_room].bytes = 0;
		c->n_room++;
	}
}

static const struct claim_room *room_on(const struct pod_claim *c, const struct node_info *n)
{
	for (size_t i = 0; i < c->n_room; i++)
		if (selector_matches(c->room[i].where, n->labels))
			return &c->room[i];
	return NULL;
}

static bool has_room(const struct pod_claim *c, const struct node_info *n)
{
	return !c->tells || room_on(c, n);
}

static enum sched_outcome look_at_claim(struct cycle_state *cs, struct pod_claim *c, struct sv name, bool ephemeral)
{
	struct volumes *vs = &cs->cache->volumes;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct obj *volume;

	c->claim = volumes_claim(vs, obj_ns(cs->pod->obj), name);
	if (!c->claim && ephemeral)
		return volume_binding_no_node(
		    cs, arena_printf(cs->arena,
				     "waiting for ephemeral volume controller to create the persistentvolumeclaim "
				     "\"%.*s\"",
				     SV_ARG(name)));
	if (!c->claim)
		return volume_binding_no_node(
		    cs, arena_printf(cs->arena, "persistentvolumeclaim \"%.*s\" not found", SV_ARG(name)));
	if (val_is(obj_get(c->claim, F_status, F_phase), "Lost"))
		return volume_binding_no_node(
		    cs, arena_printf(cs->arena,
				     "persistentvolumeclaim \"%.*s\" bound to non-existent persistentvolume "
				     "\"%.*s\"",
				     SV_ARG(name), SV_ARG(val_str(obj_get(c->claim, F_spec, F_volumeName)))));
	if (obj_deleting(c->claim))
		return volume_binding_no_node(
		    cs, arena_printf(cs->arena, "persistentvolumeclaim \"%.*s\" is being deleted", SV_ARG(name)));
	if (ephemeral && claim_made_for_pod(c->claim, obj_root(cs->pod->obj), &why) < 0)
		return volume_binding_no_node(cs, arena_strdup(cs->arena, err_msg(&why)));
	c->exclusive = exclusive(c->claim);
	c->bound = claim_bound(c->claim);
	if (c->bound) {
		volume = volumes_volume(vs, val_str(obj_get(c->claim, F_spec, F_volumeName)));
		c->candidates = ARENA_NEW(cs->arena, struct candidate);
		c->candidates->volume = volume;
		if (volume)
			volume_nodes(cs->arena, volume, &c->candidates->nodes);
		return SCHED_OK;
	}
	c->class = volumes_class(vs, storage_class_name(c->claim));
	if (val_str(obj_get(c->claim, F_spec, F_volumeName)).n ||
	    !val_is(obj_get(c->class, F_volumeBindingMode), "WaitForFirstConsumer"))
		return volume_binding_no_node(cs, "pod has unbound immediate PersistentVolumeClaims");
	find_candidates(cs, c);
	find_source(cs, c);
	find_room(cs, c);
	return SCHED_OK;
}

static enum sched_outcome volume_binding_prefilter(struct cycle_state *cs)
{
	const struct val *volumes = obj_get(cs->pod->obj, F_spec, F_volumes);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct pod_claims *all = NULL;

	VAL_EACH(volumes, v) {
		struct sv name = arena_sv(cs->arena, pod_volume_claim(&b, obj_root(cs->pod->obj), v));
		enum sched_outcome r;

		if (!name.n)
			continue;
		if (!all) {
			all = ARENA_NEW(cs->arena, struct pod_claims);
			all->p = ARENA_ARRAY(cs->arena, struct pod_claim, val_len(volumes));
		}
		r = look_at_claim(cs, &all->p[all->n++], name, val_member(v, F_ephemeral) != NULL);
		if (r != SCHED_OK)
			return r;
		if (all->p[all->n - 1].exclusive)
			all->holders += volume_binding_holders(cs, all->p[all->n - 1].claim);
	}
	cs->data[PLUGIN_VOLUME_BINDING] = all;
	return all ? SCHED_OK : SCHED_SKIP;
}

/* --- filter --- */

/* StorageClass.allowedTopologies: one term whose every requirement the node's labels meet. */
static bool topology_allowed(const struct obj *class, const struct val *labels)
{
	const struct val *terms = obj_get(class, F_allowedTopologies);

	VAL_EACH(terms, t) {
		bool all = true;

		VAL_EACH(val_get(t, F_matchLabelExpressions), e) {
			bool has = false;

			VAL_EACH(val_get(e, F_values), v)
				has |= sv_eq(val_str(v), val_str(val_member_sv(labels, val_get_str(e, F_key))));
			all &= has;
		}
		if (all)
			return true;
	}
	return val_len(terms) == 0;
}

/* Can its volume be made for this node? Not elsewhere than where that was begun. */
static bool can_provision(const struct pod_claim *c, const struct node_info *n)
{
	struct sv who = val_str(obj_get(c->class, F_provisioner));
	struct sv node = annotation_of(obj_root(c->claim), ANN_SELECTED_NODE);

	return who.n && !sv_is(who, NO_PROVISIONER) && (!node.n || sv_is(node, n->name)) &&
	       (!c->clone || node_want_matches(&c->source, n->labels, sv_from(n->name))) &&
	       (!c->source_node.n || sv_is(c->source_node, n->name)) && topology_allowed(c->class, n->labels);
}

/* The best candidate on the node that no earlier claim of the Pod takes; NULL: none. */
static struct obj *volume_binding_pick(const struct pod_claims *all, const struct pod_claim *c,
				       const struct node_info *n, struct obj *const *chosen)
{
	for (size_t i = 0; i < c->n; i++) {
		struct obj *v = c->candidates[i].volume;
		bool free = true;

		for (size_t k = 0; k < (size_t)(c - all->p) && free; k++)
			free = chosen[k] != v;
		if (free && node_want_matches(&c->candidates[i].nodes, n->labels, sv_from(n->name)))
			return v;
	}
	return NULL;
}

#define CLAIMS_MAX 128 /* of one Pod that wait for a node; more than a node mounts */

static enum sched_outcome volume_binding_filter(struct cycle_state *cs, const struct node_info *n)
{
	const struct pod_claims *all = cs->data[PLUGIN_VOLUME_BINDING];
	bool elsewhere = false, missing = false, gone = false, full = false;
	struct obj *chosen[CLAIMS_MAX] = { 0 };

	/* Wherever they are: it may go where they are taken away. */
	if (all->holders > 0) {
		cycle_why(
		    cs, "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode");
		return SCHED_UNSCHEDULABLE;
	}
	for (size_t i = 0; i < all->n; i++) {
		const struct pod_claim *c = &all->p[i];

		if (c->bound && !c->candidates->volume) {
			gone = true;
		} else if (c->bound) {
			elsewhere |= !node_want_matches(&c->candidates->nodes, n->labels, sv_from(n->name));
		} else if (i >= CLAIMS_MAX) {
			missing = true;
		} else {
			chosen[i] = volume_binding_pick(all, c, n, chosen);
			missing |= !chosen[i] && !can_provision(c, n);
			full |= !chosen[i] && can_provision(c, n) && !has_room(c, n);
		}
	}
	if (gone)
		cycle_why(cs, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
	if (elsewhere)
		cycle_why(cs, "node(s) didn't match PersistentVolume's node affinity");
	if (missing)
		cycle_why(cs, "node(s) didn't find available persistent volumes to bind");
	if (full)
		cycle_why(cs, "node(s) did not have enough free storage");
	return gone || elsewhere || missing || full ? SCHED_UNRESOLVABLE : SCHED_OK;
}

/* --- score --- */

struct class_use {
	struct sv class;
	int64_t asked, has;
};

static void class_use_add(struct class_use *list, size_t *n, struct sv class, int64_t asked, int64_t has, bool sum)
{
	struct class_use *u = list;

	while (u < list + *n && !sv_eq(u->class, class))
		u++;
	if (u == list + *n) {
		*u = (struct class_use){ .class = class };
		(*n)++;
	}
	/* Several claims share what a driver has; each volume is one more. */
	if (__builtin_add_overflow(u->asked, asked, &u->asked))
		u->asked = INT64_MAX;
	if (!sum)
		u->has = has;
	else if (__builtin_add_overflow(u->has, has, &u->has))
		u->has = INT64_MAX;
}

/* Of the classes' shares that are left free their mean, rounded: upstream's shape where none is configured. */
static int64_t class_use_score(const struct class_use *list, size_t n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		if (list[i].has > 0 && list[i].asked <= list[i].has)
			sum += NODE_SCORE_MAX - (int64_t)((__int128)list[i].asked * NODE_SCORE_MAX / list[i].has);
	return n ? (2 * sum + (int64_t)n) / (2 * (int64_t)n) : 0;
}

static enum sched_outcome volume_binding_prescore(struct cycle_state *cs, struct node_info *const *nodes, size_t n)
{
	const struct pod_claims *all = cs->data[PLUGIN_VOLUME_BINDING];

	(void)nodes;
	(void)n;
	for (size_t i = 0; all && i < all->n; i++)
		if (!all->p[i].bound)
			return SCHED_OK;
	return SCHED_SKIP;
}

static int64_t volume_binding_score(struct cycle_state *cs, const struct node_info *n)
{
	const struct pod_claims *all = cs->data[PLUGIN_VOLUME_BINDING];
	struct obj *chosen[CLAIMS_MAX] = { 0 };
	struct class_use found[CLAIMS_MAX], made[CLAIMS_MAX];
	size_t n_found = 0, n_made = 0;

	for (size_t i = 0; i < all->n && i < CLAIMS_MAX; i++) {
		const struct pod_claim *c = &all->p[i];
		const struct claim_room *room;

		if (c->bound)
			continue;
		chosen[i] = volume_binding_pick(all, c, n, chosen);
		if (chosen[i])
			class_use_add(found, &n_found, val_str(obj_get(chosen[i], F_spec, F_storageClassName)),
				      claim_request_bytes(c->claim), volume_capacity_bytes(chosen[i]), true);
		else if ((room = room_on(c, n)))
			class_use_add(made, &n_made, obj_name(c->class), claim_request_bytes(c->claim), room->bytes,
				      false);
	}
	return n_found ? class_use_score(found, n_found) : class_use_score(made, n_made);
}

static void volume_binding_pod_moved(struct cycle_state *cs, const struct pod_info *other, const struct node_info *n,
				     int delta)
{
	struct pod_claims *all = cs->data[PLUGIN_VOLUME_BINDING];

	(void)n;
	for (size_t i = 0; all && i < all->n; i++)
		if (all->p[i].exclusive && volume_binding_mounts(other->obj, all->p[i].claim))
			all->holders += delta;
}

void volume_binding_work(struct cycle_state *cs, const struct node_info *n, claim_works *ret)
{
	const struct pod_claims *all = cs->data[PLUGIN_VOLUME_BINDING];
	struct obj *chosen[CLAIMS_MAX] = { 0 };

	for (size_t i = 0; all && i < all->n && i < CLAIMS_MAX; i++) {
		const struct pod_claim *c = &all->p[i];
		struct claim_work w = { .claim = c->claim };

		if (c->bound)
			continue;
		chosen[i] = w.volume = volume_binding_pick(all, c, n, chosen);
		obj_ref(w.claim);
		obj_ref(w.volume);
		vec_push(ret, w);
	}
}

static bool share_claim(const struct obj *pod, const struct obj *other)
{
	if (!sv_eq(obj_ns(pod), obj_ns(other)))
		return false;
	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		VAL_EACH(obj_get(other, F_spec, F_volumes), w) {
			struct sv name = val_get_str(v, F_persistentVolumeClaim, F_claimName);

			if (name.n && sv_eq(name, val_get_str(w, F_persistentVolumeClaim, F_claimName)))
				return true;
		}
	return false;
}

static bool volume_binding_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	(void)c;
	if (change->what & EV_CLAIM)
		return volume_binding_mounts(p->obj, change->claim);
	if (change->what & EV_POD_DELETE) /* it may have been the one of a ReadWriteOncePod claim */
		return share_claim(p->obj, change->pod->obj);
	return true;
}

const struct plugin plugin_volume_binding = {
	.name = "VolumeBinding",
	.events = EV_CLAIM | EV_VOLUME | EV_NODE_ADD | EV_NODE_LABELS | EV_POD_DELETE,
	.hint = volume_binding_hint,
	.prefilter = volume_binding_prefilter,
	.filter = volume_binding_filter,
	.pod_moved = volume_binding_pod_moved,
	.weight = 1,
	.prescore = volume_binding_prescore,
	.score = volume_binding_score,
};
