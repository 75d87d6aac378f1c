/* A VolumeSnapshot of a claim gets its content: by which class, of which volume, for whom. Who takes it is the driver's
 * side, which watches contents. */
#include "base/buf.h"
#include "base/go_quote.h"
#include "controllers/snapshot-internal.h"
#include "object/annotation.h"
#include "object/validate.h"
#include "pod/volume_match.h"

/* --- the class --- */

/* Who makes the claim's volumes. */
static int provisioner_of(struct snapshots *c, const struct obj *snapshot, struct arena *a, struct sv *ret,
			  struct err *err)
{
	struct sv name = val_str(obj_get(snapshot, F_spec, F_source, F_persistentVolumeClaimName)), class;
	_cleanup_obj_ struct obj *claim = snapshot_claim(c, snapshot), *volume = NULL, *o = NULL;

	if (!claim)
		return err_set(err, ERR_NOT_FOUND,
			       "failed to retrieve PVC %.*s from the lister: "
			       "\"persistentvolumeclaim \\\"%.*s\\\" not found\"",
			       SV_ARG(name), SV_ARG(name));
	class = storage_class_name(claim);
	if (!class.n) {
		volume = informer_lookup(c->volumes, SV(""), val_str(obj_get(claim, F_spec, F_volumeName)));
		class = volume ? storage_class_name(volume) : SV("");
	}
	if (!class.n)
		return err_set(
		    err, ERR_INVALID,
		    "cannot figure out the snapshot class automatically, please specify one in snapshot spec");
	o = informer_lookup(c->storage_classes, SV(""), class);
	if (!o)
		return err_set(err, ERR_NOT_FOUND, "storageclasses.storage.k8s.io \"%.*s\" not found", SV_ARG(class));
	*ret = arena_sv(a, val_str(obj_get(o, F_provisioner)));
	return 0;
}

struct default_search {
	struct sv driver, name; /* name in the arena */
	struct arena *a;
	int n;
};

static int look_for_default(struct obj *class, void *ctx)
{
	struct default_search *s = ctx;

	if (sv_is(annotation_of(obj_root(class), ANN_VOLSNAP_DEFAULT), "true") &&
	    sv_eq(val_str(obj_get(class, F_driver)), s->driver)) {
		s->name = arena_sv(s->a, obj_name(class));
		s->n++;
	}
	return 0;
}

static int snapshot_default_class(struct snapshots *c, struct obj *snapshot, struct arena *a, struct sv *ret,
				  struct err *err)
{
	struct default_search s = { .a = a };

	if (provisioner_of(c, snapshot, a, &s.driver, err) < 0)
		return -1;
	informer_each(snapshots_known(c, VOLSNAP_CLASSES), SV(""), look_for_default, &s);
	if (s.n == 0)
		return err_set(err, ERR_NOT_FOUND, "cannot find default snapshot class");
	if (s.n > 1)
		return err_set(err, ERR_INVALID, "%d default snapshot classes were found", s.n);
	*ret = s.name;
	return 0;
}

int snapshot_choose_class(struct snapshots *c, struct obj *snapshot, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv name = val_str(obj_get(snapshot, F_spec, F_volumeSnapshotClassName));
	_cleanup_obj_ struct obj *class = NULL;
	struct val *doc;

	if (name.n) {
		class = informer_lookup(snapshots_known(c, VOLSNAP_CLASSES), SV(""), name);
		if (class)
			return 0;
		(void)snapshot_fail(c, snapshot, false, "GetSnapshotClassFailed", NULL,
				    "Failed to get snapshot class with error volumesnapshotclass."
				    "snapshot.storage.k8s.io \"%.*s\" not found",
				    SV_ARG(name));
		return err_set(err, ERR_NOT_FOUND, "there is no snapshot class '%.*s'", SV_ARG(name));
	}
	if (snapshot_default_class(c, snapshot, &a, &name, &why) < 0) {
		(void)snapshot_fail(c, snapshot, false, "SetDefaultSnapshotClassFailed", NULL,
				    "Failed to set default snapshot class with error %s", err_msg(&why));
		return err_move(err, &why);
	}
	doc = obj_edit(&a, snapshot);
	val_set_str(&a, val_ensure_map(&a, doc, F_spec), F_volumeSnapshotClassName, name);
	return snapshot_write(c, VOLSNAP_SNAPSHOTS, doc, err) < 0 ? -1 : 1;
}

/* --- with which Secret the driver deletes it --- */

struct secret_text {
	struct arena *a;
	struct sv content;
	const struct obj *snapshot;
};

/* A template of the class: ${volumesnapshotcontent.name}, ${volumesnapshot.namespace} and, in names, whose value the
 * snapshot's user may choose, ${volumesnapshot.name}. */
static int secret_spell(const struct secret_text *t, struct sv template, bool name, struct sv *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < template.n;) {
		struct sv rest = sv_sub(template, i, template.n), word;
		ssize_t end = sv_starts(rest, SV("${")) ? sv_find(rest, '}') : -1;

		if (end < 0) {
			buf_add(&b, rest.p, 1);
			i++;
			continue;
		}
		word = sv_sub(rest, 2, (size_t)end - 2);
		if (sv_is(word, "volumesnapshotcontent.name"))
			buf_addsv(&b, t->content);
		else if (sv_is(word, "volumesnapshot.namespace"))
			buf_addsv(&b, obj_ns(t->snapshot));
		else if (name && sv_is(word, "volumesnapshot.name"))
			buf_addsv(&b, obj_name(t->snapshot));
		else
			return err_set(err, ERR_INVALID, "error resolving value \"%.*s\": invalid tokens: [\"%.*s\"]",
				       SV_ARG(template), SV_ARG(word));
		i += (size_t)end + 1;
	}
	*ret = arena_sv(t->a, buf_sv(&b));
	if (name ? fmt_dns_subdomain(*ret) != NULL : fmt_dns_label(*ret) != NULL)
		return err_set(err, ERR_INVALID, "\"%.*s\" is not a valid %s name", SV_ARG(*ret),
			       name ? "secret" : "namespace");
	return 0;
}

static int put_secret(const struct secret_text *t, const struct obj *class, struct val *doc, struct err *err)
{
	const struct val *params = obj_get(class, F_parameters);
	const struct val *name = val_member_sv(params, SV("csi.storage.k8s.io/snapshotter-secret-name"));
	const struct val *ns = val_member_sv(params, SV("csi.storage.k8s.io/snapshotter-secret-namespace"));
	struct sv name_is, ns_is;

	if (!name && !ns)
		return 0;
	if (!name || !ns)
		return err_set(err, ERR_INVALID,
			       "failed to get name and namespace template from params: either name and namespace for "
			       "Snapshotter secrets specified, Both must be specified");
	if (!val_str(name).n || !val_str(ns).n)
		return err_set(err, ERR_INVALID,
			       "failed to get name and namespace template from params: Snapshotter secrets specified "
			       "in parameters but value of either namespace or name is empty");
	if (secret_spell(t, val_str(ns), false, &ns_is, err) < 0 ||
	    secret_spell(t, val_str(name), true, &name_is, err) < 0)
		return -1;
	annotation_set(t->a, doc, ANN_VOLSNAP_SECRET_NAME, name_is);
	annotation_set(t->a, doc, ANN_VOLSNAP_SECRET_NS, ns_is);
	return 0;
}

/* --- of which volume --- */

/* What of it the driver is told: its own name of the volume. */
static int volume_to_take(struct snapshots *c, const struct obj *claim, const struct obj *class, struct obj **ret,
			  struct sv *ret_handle, struct err *err)
{
	struct sv name = val_str(obj_get(claim, F_spec, F_volumeName)), driver;

	if (!val_is(obj_get(claim, F_status, F_phase), "Bound"))
		return err_set(err, ERR_UNAVAILABLE,
			       "the PVC %.*s is not yet bound to a PV, will not attempt to take a snapshot",
			       SV_ARG(obj_name(claim)));
	*ret = informer_lookup(c->volumes, SV(""), name);
	if (!*ret)
		return err_set(err, ERR_NOT_FOUND,
			       "failed to retrieve PV %.*s from the API server: \"persistentvolumes \\\"%.*s\\\" not "
			       "found\"",
			       SV_ARG(name), SV_ARG(name));
	if (!volume_is_for(*ret, claim))
		return err_set(err, ERR_INVALID, "claim in dataSource not bound or invalid");
	driver = val_str(obj_get(*ret, F_spec, F_csi, F_driver));
	*ret_handle = val_str(obj_get(*ret, F_spec, F_csi, F_volumeHandle));
	if (local_path_node(obj_root(*ret)).n) {
		driver = SV(LOCAL_PATH_PROVISIONER);
		*ret_handle = name;
	}
	if (!driver.n)
		return err_set(err, ERR_INVALID, "cannot find CSI PersistentVolumeSource for volume %.*s",
			       SV_ARG(name));
	if (!sv_eq(driver, val_str(obj_get(class, F_driver))))
		return err_set(err, ERR_INVALID,
			       "the volume %.*s is of the driver %.*s, and the snapshot class %.*s of %.*s: name a "
			       "class of that driver",
			       SV_ARG(name), SV_ARG(driver), SV_ARG(obj_name(class)),
			       SV_ARG(val_str(obj_get(class, F_driver))));
	return 0;
}

/* --- the content --- */

static struct val *content_for(struct arena *a, struct obj *snapshot, const struct obj *class, const struct obj *volume,
			       struct sv handle, struct sv name)
{
	struct sv node = local_path_node(obj_root(volume));
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *spec = val_new_map(a), *ref;

	val_set_cstr(a, doc, F_apiVersion, VOLSNAP_GROUP "/v1");
	val_set_cstr(a, doc, F_kind, "VolumeSnapshotContent");
	val_set_str(a, meta, F_name, name);
	if (node.n)
		val_set_str_sv(a, val_set_map(a, meta, F_labels), SV(LABEL_VOLSNAP_NODE), node);
	val_set(a, doc, F_metadata, meta);
	ref = obj_reference(a, "VolumeSnapshot", snapshot);
	val_set_cstr(a, ref, F_apiVersion, VOLSNAP_GROUP "/v1");
	val_set_str(a, ref, F_resourceVersion, val_str(obj_get(snapshot, F_metadata, F_resourceVersion)));
	val_set(a, spec, F_volumeSnapshotRef, ref);
	val_set_str(a, val_set_map(a, spec, F_source), F_volumeHandle, handle);
	val_set_str(a, spec, F_volumeSnapshotClassName, obj_name(class));
	val_set_str(a, spec, F_deletionPolicy, val_str(obj_get(class, F_deletionPolicy)));
	val_set_str(a, spec, F_driver, val_str(obj_get(class, F_driver)));
	val_set_str(a, spec, F_sourceVolumeMode, volume_mode_of(volume));
	val_set(a, doc, F_spec, spec);
	return doc;
}

/* Which content, or why not. */
static int content_input(struct snapshots *c, struct arena *a, struct obj *snapshot, const struct obj *claim,
			 struct val **ret, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_(buf_release) struct buf quoted = BUF_INIT;
	struct secret_text t = { a, volsnap_content_name(a, snapshot), snapshot };
	struct obj *class = informer_lookup(snapshots_known(c, VOLSNAP_CLASSES), SV(""),
					    val_str(obj_get(snapshot, F_spec, F_volumeSnapshotClassName)));
	struct obj *volume = NULL;
	struct sv handle = SV_NULL;

	if (!class)
		return err_set(err, ERR_UNAVAILABLE, "the snapshot class was taken away meanwhile");
	obj_link(a, class);
	if (volume_to_take(c, claim, class, &volume, &handle, &why) == 0) {
		*ret = content_for(a, snapshot, class, volume, handle, t.content);
		(void)put_secret(&t, class, *ret, &why);
	}
	if (volume)
		obj_link(a, volume);
	if (why.reason == ERR_NONE)
		return 0;
	go_quote(&quoted, sv_from(err_msg(&why)));
	return err_set(err, why.reason, "failed to get input parameters to create snapshot %.*s: %s",
		       SV_ARG(obj_name(snapshot)), buf_cstr(&quoted));
}

static int content_create(struct snapshots *c, struct obj *snapshot, const struct val *doc, struct obj **ret,
			  struct err *err)
{
	const struct resource *r = volsnap_resource(c->watch, VOLSNAP_CONTENTS);
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (client_create(c->ctx->client, r, SV(""), doc, NULL, ret, &why) == 0) {
		snapshot_event(c, snapshot, "Normal", "CreatingSnapshot",
			       "Waiting for a snapshot %.*s/%.*s to be created by the CSI driver.",
			       SV_ARG(obj_ns(snapshot)), SV_ARG(obj_name(snapshot)));
		return 0;
	}
	*ret = NULL;
	if (why.reason == ERR_ALREADY_EXISTS)
		return 0; /* our cache is behind: its event goes on */
	snapshot_event(c, snapshot, "Warning", "CreateSnapshotContentFailed",
		       "Error creating volume snapshot content object for snapshot %.*s/%.*s: %s.",
		       SV_ARG(obj_ns(snapshot)), SV_ARG(obj_name(snapshot)), err_msg(&why));
	return err_set(err, why.reason, UPDATE_FAILED, SV_ARG(obj_name(snapshot)), err_msg(&why));
}

int snapshot_take(struct snapshots *c, struct obj *snapshot, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *claim = snapshot_claim(c, snapshot), *content = NULL;
	struct val *doc;

	if (snapshot_hold_claim(c, claim, snapshot, &why) < 0 ||
	    content_input(c, &a, snapshot, claim, &doc, &why) < 0 ||
	    content_create(c, snapshot, doc, &content, &why) < 0) {
		if (why.reason != ERR_CONFLICT || !claim || obj_deleting(claim))
			(void)snapshot_fail(c, snapshot, true, "SnapshotContentCreationFailed", NULL,
					    "Failed to create snapshot content with error %s", err_msg(&why));
		return err_move(err, &why);
	}
	return content ? snapshot_follow(c, snapshot, content, err) : 0;
}
