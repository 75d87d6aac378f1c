/* snapshot-controller: VolumeSnapshots and their contents bound to each other, protected, and taken away together, as
 * upstream's external-snapshotter does on the server's side. Whose data they are: a CSI driver's with its
 * csi-snapshotter, or local-path's on the node that has it (kubelet/local_path_snap.c). Both watch contents.
 *
 * The kinds are made at the start, so that one manifest may hold a claim and a snapshot of it. Nobody pays for more who
 * has nothing to take a snapshot of: all are watched from when there is a claim, a volume, a StorageClass of another
 * driver, or a snapshot, which may be of a content that somebody brought; until then snapshots alone.
 *
 * Keys: "NAMESPACE/NAME" of a snapshot, "NAME" of a content, "@NAMESPACE/NAME" of a claim that is to be filled from a
 * snapshot, and KEY_BEGIN. */
#include "controllers/install.h"
#include "controllers/snapshot-internal.h"
#include "object/annotation.h"
#include "object/described.h"
#include "pod/volume_match.h"

#include <stdlib.h>

#define KEY_BEGIN "!begin"
#define KEY_CLAIM "@" /* no namespace begins so */

/* --- what is watched --- */

static void snapshots_by_claim(const struct obj *o, struct index_keys *ret)
{
	struct sv claim = val_str(obj_get(o, F_spec, F_source, F_persistentVolumeClaimName));

	if (claim.n)
		index_keys_add_ref(ret, obj_ns(o), claim);
}

static void claims_by_snapshot(const struct obj *o, struct index_keys *ret)
{
	struct sv snapshot = volsnap_source_of(o);

	if (snapshot.n)
		index_keys_add_ref(ret, obj_ns(o), snapshot);
}

static void snapshots_on_snapshot(struct obj *o, void *ctx)
{
	workq_add_obj(((struct snapshots *)ctx)->q, obj_ns(o), obj_name(o));
}

static void snapshots_want_placed(struct snapshots *c, const struct obj *claim)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	workq_add(c->q, arena_svf(&a, KEY_CLAIM "%.*s/%.*s", SV_ARG(obj_ns(claim)), SV_ARG(obj_name(claim))));
}

/* Claims wait for it to be ready. */
static void snapshots_on_snapshot_update(struct obj *old, struct obj *now, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct snapshots *c = ctx;
	struct obj **claims;
	size_t n = 0;

	if (obj_rev(old) == obj_rev(now))
		return;
	snapshots_on_snapshot(now, ctx);
	if (volsnap_ready(old) || !volsnap_ready(now))
		return;
	claims = informer_by_ref(c->claims, &a, CLAIMS_BY_SNAPSHOT, obj_ns(now), obj_name(now), &n);
	for (size_t i = 0; i < n; i++)
		snapshots_want_placed(c, claims[i]);
}

static void snapshots_on_content(struct obj *o, void *ctx)
{
	struct snapshots *c = ctx;
	const struct val *ref = obj_get(o, F_spec, F_volumeSnapshotRef);
	struct sv ns = val_get_str(ref, F_namespace), name = val_get_str(ref, F_name);

	workq_add_obj(c->q, SV(""), obj_name(o));
	if (ns.n && name.n)
		workq_add_obj(c->q, ns, name);
}

static void snapshots_on_content_update(struct obj *old, struct obj *now, void *ctx)
{
	if (obj_rev(old) != obj_rev(now))
		snapshots_on_content(now, ctx);
}

static int snapshots_again(struct obj *o, void *ctx)
{
	if (!volsnap_ready(o))
		snapshots_on_snapshot(o, ctx);
	return 0;
}

/* Snapshots may wait for it. */
static void snapshots_on_class(_unused_ struct obj *o, void *ctx)
{
	struct snapshots *c = ctx;

	informer_each(snapshots_known(c, VOLSNAP_SNAPSHOTS), SV(""), snapshots_again, c);
}

static void snapshots_made(struct volsnap_watch *w, void *ctx)
{
	static const struct informer_handler classes = { snapshots_on_class, NULL, NULL };
	static const struct informer_handler contents = { snapshots_on_content, snapshots_on_content_update,
							  snapshots_on_content };
	static const struct informer_handler all = { snapshots_on_snapshot, snapshots_on_snapshot_update,
						     snapshots_on_snapshot };
	struct snapshots *c = ctx;

	informer_add_index(c->claims, CLAIMS_BY_SNAPSHOT, claims_by_snapshot);
	informer_add_index(volsnap_informer(w, VOLSNAP_SNAPSHOTS), SNAPSHOTS_BY_CLAIM, snapshots_by_claim);
	informer_add_handler(volsnap_informer(w, VOLSNAP_CLASSES), &classes, c);
	informer_add_handler(volsnap_informer(w, VOLSNAP_CONTENTS), &contents, c);
	informer_add_handler(volsnap_informer(w, VOLSNAP_SNAPSHOTS), &all, c);
}

/* --- from when --- */

static int snapshots_look_for_driver(struct obj *class, void *ctx)
{
	bool *found = ctx;

	*found = !val_is(obj_get(class, F_provisioner), LOCAL_PATH_PROVISIONER) &&
		 !val_is(obj_get(class, F_provisioner), NO_PROVISIONER);
	return *found;
}

static bool snapshots_wanted(struct snapshots *c)
{
	bool driver = false;

	if (atomic_load(&c->wanted) || informer_count(c->claims) || informer_count(c->volumes))
		return true;
	informer_each(c->storage_classes, SV(""), snapshots_look_for_driver, &driver);
	return driver;
}

static int snapshots_look_for_local(struct obj *class, void *ctx)
{
	*(bool *)ctx |= val_is(obj_get(class, F_provisioner), LOCAL_PATH_PROVISIONER);
	return 0;
}

/* For volumes of local-path, where there may be any. 0: there may not, yet: the class of these is made by the first
 * node. */
static int snapshots_make_class(struct snapshots *c, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_map(&a);
	bool local = false;

	informer_each(c->storage_classes, SV(""), snapshots_look_for_local, &local);
	if (!local)
		return 0;
	val_set_cstr(&a, doc, F_apiVersion, VOLSNAP_GROUP "/v1");
	val_set_cstr(&a, doc, F_kind, "VolumeSnapshotClass");
	val_set_cstr(&a, val_set_map(&a, doc, F_metadata), F_name, LOCAL_PATH_CLASS);
	annotation_set(&a, doc, ANN_VOLSNAP_DEFAULT, SV("true"));
	val_set_cstr(&a, doc, F_driver, LOCAL_PATH_PROVISIONER);
	val_set_cstr(&a, doc, F_deletionPolicy, "Delete");
	return install_object(c->ctx->client, volsnap_resource(c->watch, VOLSNAP_CLASSES), doc, err) < 0 ? -1 : 1;
}

/* Before all are watched, which tells of it once more. */
static void snapshots_on_first(_unused_ struct obj *o, void *ctx)
{
	struct snapshots *c = ctx;

	if (!atomic_exchange(&c->wanted, true))
		workq_add(c->q, SV(KEY_BEGIN));
}

static int snapshots_begin(struct snapshots *c, struct reconcile_result *ret, struct err *err)
{
	static const struct informer_handler first = { snapshots_on_first, NULL, NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int made;

	if (c->class_made)
		return 0;
	if (!volsnap_resource(c->watch, VOLSNAP_SNAPSHOTS))
		return 0; /* no room for more names in this process */
	if (!c->kinds_made) {
		if (install_kinds(c->ctx->client, described_crds(&a, volsnap_crds_json), err) < 0)
			return -1;
		c->kinds_made = true;
		(void)volsnap_watch_for(c->watch, VOLSNAP_SNAPSHOTS, &first, c);
	}
	if (!snapshots_wanted(c))
		return 0;
	volsnap_watch_start(c->watch, snapshots_made, c);
	if (!volsnap_watch_synced(c->watch)) {
		ret->after_ns = NS_PER_SEC; /* not served yet */
		return 0;
	}
	made = snapshots_make_class(c, err);
	if (made > 0)
		c->class_made = true;
	return MIN(made, 0);
}

static void snapshots_want(_unused_ struct obj *o, void *ctx)
{
	struct snapshots *c = ctx;

	if (!volsnap_watch_started(c->watch))
		workq_add(c->q, SV(KEY_BEGIN));
}

static void snapshots_on_storage_class(_unused_ struct obj *o, void *ctx)
{
	struct snapshots *c = ctx;

	if (!c->class_made)
		workq_add(c->q, SV(KEY_BEGIN));
}

/* --- claims: what snapshots wait for --- */

static void snapshots_on_claim(struct obj *claim, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct snapshots *c = ctx;
	struct informer *known = snapshots_known(c, VOLSNAP_SNAPSHOTS);
	struct sv source = volsnap_source_of(claim);
	struct obj **of;
	size_t n = 0;

	if (!known) {
		snapshots_want(claim, c);
		return;
	}
	if (source.n) {
		workq_add_obj(c->q, obj_ns(claim), source);
		snapshots_want_placed(c, claim);
	}
	of = informer_count(known) ? informer_by_ref(known, &a, SNAPSHOTS_BY_CLAIM, obj_ns(claim), obj_name(claim), &n)
				   : NULL;
	for (size_t i = 0; i < n; i++)
		(void)snapshots_again(of[i], c);
}

static void snapshots_on_claim_update(struct obj *old, struct obj *now, void *ctx)
{
	if (!val_equal(obj_get(old, F_status, F_phase), obj_get(now, F_status, F_phase)) ||
	    !sv_eq(annotation_of(obj_root(old), ANN_SELECTED_NODE), annotation_of(obj_root(now), ANN_SELECTED_NODE)) ||
	    obj_deleting(old) != obj_deleting(now))
		snapshots_on_claim(now, ctx);
}

/* --- runs --- */

static int snapshots_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct snapshots *c = ctx;
	_cleanup_obj_ struct obj *o = NULL;
	struct sv ns, name;

	if (sv_is(key, KEY_BEGIN))
		return snapshots_begin(c, ret, err);
	if (!volsnap_watch_synced(c->watch)) {
		ret->after_ns = NS_PER_SEC;
		return 0;
	}
	workq_key_split(key, &ns, &name);
	if (sv_starts(key, SV(KEY_CLAIM)))
		return snapshot_place(c, sv_sub(ns, strlen(KEY_CLAIM), ns.n), name, err);
	o = informer_lookup(snapshots_known(c, ns.n ? VOLSNAP_SNAPSHOTS : VOLSNAP_CONTENTS), ns, name);
	if (!o)
		return 0;
	if (!ns.n)
		return snapshot_content_sync(c, o, err);
	if (snapshot_release_claim(c, o, false, err) < 0)
		return -1;
	return obj_deleting(o) ? snapshot_go(c, o, err) : snapshot_sync(c, o, err);
}

static bool snapshots_ready(void *ctx)
{
	struct snapshots *c = ctx;

	return informer_synced(c->claims) && informer_synced(c->volumes) && informer_synced(c->storage_classes);
}

static void *snapshots_start(struct controller_ctx *ctx)
{
	static const struct informer_handler claims = { snapshots_on_claim, snapshots_on_claim_update,
							snapshots_on_claim };
	static const struct informer_handler others = { snapshots_want, NULL, NULL };
	static const struct informer_handler storage_classes = { snapshots_on_storage_class, NULL, NULL };
	struct snapshots *c;

	if (ctx->opts->no_snapshots)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->ctx = ctx;
	c->watch = volsnap_watch_new(ctx->client, VOLSNAP_ALL);
	c->claims = informer_get(ctx->informers, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	c->volumes = informer_get(ctx->informers, RES(core_persistentvolumes), NULL, NULL, NULL);
	c->storage_classes = informer_get(ctx->informers, RES(storage_storageclasses), NULL, NULL, NULL);
	/* Asks whether these are there as soon as it is made. */
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "snapshot-controller",
							 .retry_max_ns = 5 * 60 * NS_PER_SEC,
							 .reconcile = snapshots_reconcile,
							 .ctx = c,
							 .ready = snapshots_ready });
	informer_add_handler(c->claims, &claims, c);
	informer_add_handler(c->volumes, &others, c);
	informer_add_handler(c->storage_classes, &storage_classes, c);
	workq_add(c->q, SV(KEY_BEGIN));
	return c;
}

/* Handlers of the watch queue keys, and runs look into it: first no handler runs, then no run. */
static void snapshots_stop(void *controller)
{
	struct snapshots *c = controller;

	if (!c)
		return;
	volsnap_watch_stop(c->watch);
	workq_free(c->q);
	volsnap_watch_free(c->watch);
	free(c);
}

const struct controller_ops snapshot_controller = { "snapshot-controller", "snapshot-controller", snapshots_start,
						    snapshots_stop };
