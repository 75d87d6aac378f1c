#include "base/file.h"
#include "base/log.h"
#include "kubelet/local_path-internal.h"
#include "object/annotation.h"
#include "object/default_class.h"

#include <stdlib.h>

/* As external provisioners call theirs: while it is there, the volume's directory may be. */
/* The keys of no object. */
#define KEY_MEND "mend"	  /* what a start finds is to be put in order */
#define KEY_CLASS "class" /* the class is to be made */
#define FILE_NAME_MAX 200 /* of a volume's name on the disk; the uid in it makes it one of its kind */

/* --- the class --- */

static int make_class(struct local_path *l, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc = val_new_map(&a), *meta = val_new_map(&a);

	val_set_cstr(&a, doc, F_apiVersion, "storage.k8s.io/v1");
	val_set_cstr(&a, doc, F_kind, "StorageClass");
	val_set_cstr(&a, meta, F_name, LOCAL_PATH_CLASS);
	val_set(&a, doc, F_metadata, meta);
	annotation_set(&a, doc, ANN_DEFAULT_STORAGE_CLASS, SV("true"));
	val_set_cstr(&a, doc, F_provisioner, LOCAL_PATH_PROVISIONER);
	val_set_cstr(&a, doc, F_reclaimPolicy, "Delete");
	val_set(&a, doc, F_allowVolumeExpansion, val_new_bool(&a, true));
	val_set_cstr(&a, doc, F_volumeBindingMode, "WaitForFirstConsumer");
	if (client_create(l->client, RES(storage_storageclasses), SV(""), doc, NULL, NULL, &why) == 0 ||
	    why.reason == ERR_ALREADY_EXISTS) /* as it is: its admin may have changed it */
		return 0;
	return err_move(err, &why);
}

/* --- making a volume --- */

static struct val *node_affinity(struct arena *a, const char *node)
{
	struct val *selector = val_new_map(a), *affinity = val_new_map(a), *term = val_new_map(a), *e = val_new_map(a);

	val_set_cstr(a, e, F_key, "kubernetes.io/hostname");
	val_set_cstr(a, e, F_operator, "In");
	val_push(a, val_set_list(a, e, F_values), val_new_str(a, sv_from(node)));
	val_push(a, val_set_list(a, term, F_matchExpressions), e);
	val_push(a, val_set_list(a, selector, F_nodeSelectorTerms), term);
	val_set(a, affinity, F_required, selector);
	return affinity;
}

/* What a class asks for. */
struct local_params {
	enum local_limit limit;
	bool archive;
};

static int local_path_params(const struct obj *class, struct local_params *ret, struct err *err)
{
	*ret = (struct local_params){ LOCAL_AUTO, false };
	VAL_EACH_MEMBER(obj_get(class, F_parameters), m) {
		struct sv v = val_str(m.value);
		int i = 0;

		if (sv_is(m.key, PARAM_ARCHIVE) && (sv_is(v, "true") || sv_is(v, "false"))) {
			ret->archive = sv_is(v, "true");
			continue;
		}
		if (sv_is(m.key, PARAM_ENFORCEMENT)) {
			while (i < _LOCAL_LIMIT_MAX && !sv_is(v, local_limit_names[i]))
				i++;
			ret->limit = (enum local_limit)i;
			if (i < _LOCAL_LIMIT_MAX)
				continue;
		} else if (!sv_is(m.key, PARAM_ARCHIVE)) {
			continue; /* of other provisioners of local paths, whose classes are brought here */
		}
		return err_set(err, ERR_INVALID, "parameter %.*s of the class is \"%.*s\": it can be %s", SV_ARG(m.key),
			       SV_ARG(v),
			       sv_is(m.key, PARAM_ARCHIVE) ? "true or false" : "auto, projectQuota, image or none");
	}
	return 0;
}

static struct val *volume_for(struct local_path *l, struct arena *a, const struct obj *claim, const struct obj *class,
			      struct sv name, const char *path)
{
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *spec = val_new_map(a), *src;
	const struct val *mode = obj_get(claim, F_spec, F_volumeMode), *options = obj_get(class, F_mountOptions);

	val_set_cstr(a, doc, F_apiVersion, "v1");
	val_set_cstr(a, doc, F_kind, "PersistentVolume");
	val_set_str(a, meta, F_name, name);
	val_push(a, val_set_list(a, meta, F_finalizers), val_new_str(a, SV(PROVISIONER_FINALIZER)));
	val_set(a, doc, F_metadata, meta);
	annotation_set(a, doc, ANN_PROVISIONED_BY, SV(LOCAL_PATH_PROVISIONER));
	val_set(a, val_set_map(a, spec, F_capacity), F_storage,
		obj_get(claim, F_spec, F_resources, F_requests, F_storage));
	val_set(a, spec, F_accessModes, val_clone(a, obj_get(claim, F_spec, F_accessModes)));
	if (mode)
		val_set(a, spec, F_volumeMode, mode);
	if (val_len(options))
		val_set(a, spec, F_mountOptions, val_clone(a, options));
	val_set_str(a, spec, F_persistentVolumeReclaimPolicy, val_str(obj_get(class, F_reclaimPolicy)));
	val_set_str(a, spec, F_storageClassName, obj_name(class));
	val_set(a, spec, F_claimRef, claim_reference(a, claim));
	val_set(a, spec, F_nodeAffinity, node_affinity(a, l->node));
	src = val_set_map(a, spec, F_hostPath);
	val_set_cstr(a, src, F_path, path);
	/* Made before the object is, and never anew when it is lost: that would be an empty one. */
	val_set_cstr(a, src, F_type, val_is(mode, "Block") ? "" : "Directory");
	val_set(a, doc, F_spec, spec);
	return doc;
}

/* What a volume of one node cannot be; NULL: nothing of that was asked for. */
static const char *cannot(const struct obj *claim)
{
	if (obj_get(claim, F_spec, F_selector))
		return "claim Selector is not supported";
	VAL_EACH(obj_get(claim, F_spec, F_accessModes), m)
		if (!val_is(m, "ReadWriteOnce") && !val_is(m, "ReadWriteOncePod"))
			return "a directory of one node only supports access modes ReadWriteOnce and ReadWriteOncePod";
	return NULL;
}

static void provision_failed(struct local_path *l, const struct obj *claim, const struct obj *class, const char *why)
{
	local_path_claim_event(l, claim, "Warning", "ProvisioningFailed",
			       "failed to provision volume with StorageClass \"%.*s\": %s", SV_ARG(obj_name(class)),
			       why);
}

static int provision_files(struct local_path *l, const struct obj *claim, const char *file,
			   const struct local_source *from, struct local_params *p, struct err *why, struct err *err)
{
	struct local_want w = { .name = file,
				.bytes = claim_request_bytes(claim),
				.block = sv_is(volume_mode_of(claim), "Block"),
				.limit = p->limit };

	if (!from->volume && !from->snapshot)
		return local_volume_make(&l->store, &w, &p->limit, why, err);
	return local_volume_fill(&l->store, from, &w, &p->limit, why, err);
}

static int provision(struct local_path *l, struct arena *a, struct obj *claim, struct obj *class, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT, lacks = ERR_INIT;
	struct sv name = arena_svf(a, "pvc-%.*s", SV_ARG(obj_uid(claim)));
	struct sv file = arena_svf(a, "%.*s_%.*s_%.*s", SV_ARG(name), SV_ARG(obj_ns(claim)), SV_ARG(obj_name(claim)));
	const char *path = arena_printf(a, "%s/%.*s", l->dir, (int)MIN(file.n, FILE_NAME_MAX), file.p);
	const char *no = cannot(claim);
	struct local_source from;
	int elsewhere;
	bool block = val_is(obj_get(claim, F_spec, F_volumeMode), "Block");
	struct local_params p;
	struct val *doc;

	if (!no && local_path_params(class, &p, &why) < 0)
		no = err_msg(&why);
	if (no) {
		provision_failed(l, claim, class, no);
		return 0;
	}
	elsewhere = local_path_source(l, a, claim, &from, err);
	if (elsewhere == 1)
		return 0;
	if (elsewhere < 0 || provision_files(l, claim, path + strlen(l->dir) + 1, &from, &p, &lacks, err) < 0) {
		provision_failed(l, claim, class, err_msg(err));
		return -1;
	}
	doc = volume_for(l, a, claim, class, name, path);
	if (!block)
		annotation_set(a, doc, ANN_ENFORCEMENT, sv_from(local_limit_names[p.limit]));
	if (p.archive)
		annotation_set(a, doc, ANN_ARCHIVE, SV("true"));
	if (client_create(l->client, RES(core_persistentvolumes), SV(""), doc, NULL, NULL, &why) < 0)
		return why.reason == ERR_ALREADY_EXISTS ? 0 : err_move(err, &why);
	if (lacks.reason)
		local_path_claim_event(l, claim, "Warning", "SizeNotEnforced",
				       "the size of volume %.*s is held by nothing: %s", SV_ARG(name), err_msg(&lacks));
	local_path_claim_event(l, claim, "Normal", "ProvisioningSucceeded", "Successfully provisioned volume %.*s%s%s",
			       SV_ARG(name),
			       block ? "" : ", enforcement of its size: ", block ? "" : local_limit_names[p.limit]);
	return 0;
}

struct orphan_search {
	struct sv uid;
	bool found;
};

static int orphan_look(struct obj *claim, void *ctx)
{
	struct orphan_search *s = ctx;

	s->found = sv_eq(obj_uid(claim), s->uid);
	return s->found;
}

/* Files that were made for a claim which went before it had its volume. What holds data is kept whatever the API says:
 * a volume that was deleted with policy Retain is its admin's. */
static void drop_orphan(struct local_path *l, const char *name)
{
	struct sv volume = sv_from(name);
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *there = NULL;
	struct orphan_search s = { SV_NULL, false };
	ssize_t end = sv_find(volume, '_');

	if (!sv_starts(volume, SV("pvc-")) || end < 0)
		return;
	volume = sv_sub(volume, 0, (size_t)end);
	s.uid = sv_sub(volume, strlen("pvc-"), volume.n);
	informer_each(l->claims, SV(""), orphan_look, &s);
	/* The API itself is asked: a cache that is behind must not decide this. */
	if (s.found || client_get(l->client, RES(core_persistentvolumes), SV(""), volume, &there, &why) == 0 ||
	    why.reason != ERR_NOT_FOUND)
		return;
	err_release(&why);
	if (local_volume_drop_empty(&l->store, name, &why) == 1)
		log_info("local-path", "files of a claim that is gone were removed", "name", "%s", name);
	else
		log_info("local-path", "a volume that the API does not have is kept, as there is something in it",
			 "name", "%s", name);
}

static void drop_orphans(struct local_path *l)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *const *names;
	size_t n = local_store_names(&l->store, &a, &names);

	for (size_t i = 0; i < n; i++)
		drop_orphan(l, names[i]);
}

/* A volume whose image cannot be mounted says so when its pod starts; here it only is known sooner. */
static void local_path_mend(struct local_path *l)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (local_store_mend(&l->store, &err) < 0)
		log_warn("local-path", "a volume cannot be mounted", "why", "%s", err_msg(&err));
	drop_orphans(l);
}

static int reconcile_claim(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct local_path *l = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *claim = NULL, *class = NULL;
	struct sv ns, name;

	if (sv_is(key, KEY_MEND))
		local_path_mend(l);
	if (sv_is(key, KEY_CLASS))
		return make_class(l, err);
	workq_key_split(key, &ns, &name);
	claim = ns.n ? informer_lookup(l->claims, ns, name) : NULL;
	if (!claim || obj_deleting(claim))
		return 0;
	if (volsnap_source_of(claim).n)
		local_path_snap_begin(l);
	if (val_str(obj_get(claim, F_spec, F_volumeName)).n)
		return local_path_grow(l, claim, ret, err);
	if (!sv_is(annotation_of(obj_root(claim), ANN_PROVISIONER), LOCAL_PATH_PROVISIONER) ||
	    !sv_is(annotation_of(obj_root(claim), ANN_SELECTED_NODE), l->node))
		return 0;
	name = storage_class_name(claim);
	class = informer_lookup(l->classes, SV(""), name);
	/* The binder saw it: our cache is behind, and no event of a class brings us back. */
	if (!class)
		return err_set(err, ERR_UNAVAILABLE, "storageclass '%.*s' of claim '%.*s' is not there yet",
			       SV_ARG(name), SV_ARG(key));
	return provision(l, &a, claim, class, err);
}

/* --- taking one away --- */

static int drop_finalizer(struct local_path *l, struct arena *a, struct obj *volume, struct err *err)
{
	struct val *doc = obj_edit(a, volume);
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (!obj_set_finalizer(a, doc, PROVISIONER_FINALIZER, false) ||
	    client_update(l->client, RES(core_persistentvolumes), doc, NULL, NULL, &why) == 0 ||
	    why.reason == ERR_NOT_FOUND)
		return 0;
	return err_move(err, &why);
}

static int local_path_drop(struct local_path *l, struct obj *volume, const char *name, struct err *err)
{
	bool keep = sv_is(annotation_of(obj_root(volume), ANN_ARCHIVE), "true");

	if ((keep ? local_volume_archive(&l->store, name, err) : local_volume_remove(&l->store, name, err)) == 0)
		return 0;
	recorder_event(l->recorder, RES(core_persistentvolumes), obj_root(volume), "Warning", "VolumeFailedDelete",
		       "%s", err_msg(err));
	return -1;
}

static int reconcile_volume(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct local_path *l = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *volume = informer_lookup(l->volumes, SV(""), key);
	bool released = val_is(obj_get(volume, F_status, F_phase), "Released");
	const char *name;

	(void)ret;
	if (volume && local_path_name(l, &a, volume))
		local_path_snap_begin(l); /* a snapshot may be taken of it */
	/* Bound or about to be: somebody uses it, also when it is being deleted. */
	if (!volume || !(released || (obj_deleting(volume) && !val_is(obj_get(volume, F_status, F_phase), "Bound"))))
		return 0;
	name = local_path_name(l, &a, volume);
	if (!name)
		return 0;
	if (val_is(obj_get(volume, F_spec, F_persistentVolumeReclaimPolicy), "Delete")) {
		if (local_path_drop(l, volume, name, err) < 0)
			return -1;
		if (!obj_deleting(volume)) {
			if (client_delete(l->client, RES(core_persistentvolumes), SV(""), key, NULL, &why) < 0 &&
			    why.reason != ERR_NOT_FOUND)
				return err_move(err, &why);
			return 0; /* its deletion brings us back */
		}
	}
	return obj_deleting(volume) ? drop_finalizer(l, &a, volume, err) : 0;
}

/* --- life --- */

static void claim_set(struct obj *o, void *ctx)
{
	workq_add_obj(((struct local_path *)ctx)->claim_q, obj_ns(o), obj_name(o));
}

static void local_path_claim_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	claim_set(now, ctx);
}

static void volume_set(struct obj *o, void *ctx)
{
	workq_add(((struct local_path *)ctx)->volume_q, obj_name(o));
}

static void local_path_volume_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	volume_set(now, ctx);
}

static bool local_path_ready(void *ctx)
{
	return informer_factory_synced(((struct local_path *)ctx)->informers);
}

struct local_path *local_path_start(const struct local_path_opts *o, struct err *err)
{
	static const struct informer_handler claims = { claim_set, local_path_claim_updated, NULL };
	static const struct informer_handler volumes = { volume_set, local_path_volume_updated, NULL };
	struct local_path *l;

	if (dir_make(o->dir, 0711, err) < 0) /* containers' users walk through, and do not look around */
		return NULL;
	l = xcalloc(1, sizeof(*l));
	l->env = o->env;
	l->client = o->client;
	l->node = xstrdup(o->node_name);
	l->dir = xstrdup(o->dir);
	l->store = (struct local_store){ l->dir, o->machine ? o->machine : &local_machine_real };
	l->recorder = recorder_new(o->client, LOCAL_PATH_PROVISIONER, o->node_name);
	l->informers = informer_factory_new(o->client);
	l->claims = informer_get(l->informers, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	l->volumes = informer_get(l->informers, RES(core_persistentvolumes), NULL, NULL, NULL);
	l->classes = informer_get(l->informers, RES(storage_storageclasses), NULL, NULL, NULL);
	l->claim_q = workq_new(o->env, &(struct workq_opts){ .name = "local-path-claims",
							     .class = ENV_SLOW,
							     .workers = 1,
							     .reconcile = reconcile_claim,
							     .ctx = l,
							     .ready = local_path_ready });
	l->volume_q = workq_new(o->env, &(struct workq_opts){ .name = "local-path-volumes",
							      .class = ENV_SLOW,
							      .workers = 1,
							      .reconcile = reconcile_volume,
							      .ctx = l,
							      .ready = local_path_ready });
	local_path_snap_new(l);
	informer_add_handler(l->claims, &claims, l);
	informer_add_handler(l->volumes, &volumes, l);
	workq_add(l->claim_q, SV(KEY_MEND));
	workq_add(l->claim_q, SV(KEY_CLASS));
	informer_factory_start(l->informers);
	return l;
}

struct local_path *local_path_stop(struct local_path *l)
{
	if (!l)
		return NULL;
	informer_factory_stop(l->informers);
	volsnap_watch_stop(l->snaps);
	workq_free(l->claim_q);
	workq_free(l->volume_q);
	local_path_snap_free(l);
	informer_factory_free(l->informers);
	recorder_free(l->recorder);
	free(l->node);
	free(l->dir);
	free(l);
	return NULL;
}
