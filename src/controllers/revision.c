/* See revision.h. A revision is named by its template's hash and found again by its data: a rollback only gives it
 * the next number. When the name is taken by something else, the owner's status.collisionCount goes up, and
 * the next run's hash is another one. The data is a patch, the way `kubectl rollout undo` applies it; clients compare
 * its text with what they encode themselves, so its members are sorted as Go sorts a map's. */
#include "controllers/revision.h"
#include "base/strmap.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "controllers/template.h"

#include <stdlib.h>

static int64_t revision_number(const struct obj *rev)
{
	return val_int_or(obj_get(rev, F_revision), 0);
}

/* Earlier versions labelled the revisions of StatefulSets as those of DaemonSets. */
static struct sv revision_hash(const struct revisions *r, const struct obj *rev)
{
	struct sv hash = label_of(obj_root(rev), r->label);

	return hash.n ? hash : label_of(obj_root(rev), LABEL_REVISION);
}

static struct val *revision_data(struct arena *a, struct obj *owner)
{
	struct val *data = val_new_map(a), *spec = val_set_map(a, data, F_spec);
	struct val *copy = val_clone(a, obj_get(owner, F_spec, F_template));

	val_set_str_sv(a, copy, SV("$patch"), SV("replace"));
	val_set(a, spec, F_template, copy);
	return val_sorted(a, data);
}

static struct val *new_revision(struct arena *a, const struct revisions *r, struct obj *owner,
				const struct revision_id *id, struct val *data, int64_t n)
{
	const struct val *tmpl = obj_get(owner, F_spec, F_template);
	const struct val *notes = obj_get(owner, F_metadata, F_annotations);
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *refs = val_new_list(a), *labels;

	labels = val_type(val_get(tmpl, F_metadata, F_labels)) == VAL_MAP
		     ? val_clone(a, val_get(tmpl, F_metadata, F_labels))
		     : val_new_map(a);
	val_set_str_sv(a, labels, sv_from(r->label), id->hash);
	val_set_cstr(a, doc, F_apiVersion, "apps/v1");
	val_set_cstr(a, doc, F_kind, "ControllerRevision");
	val_set_str(a, meta, F_name, id->name);
	val_set_str(a, meta, F_namespace, obj_ns(owner));
	val_set(a, meta, F_labels, labels);
	if (val_len(notes)) /* kubernetes.io/change-cause is what `kubectl rollout history` shows */
		val_set(a, meta, F_annotations, val_clone(a, notes));
	val_push(a, refs, owner_ref(a, r->owner_res, obj_root(owner), true, true));
	val_set(a, meta, F_ownerReferences, refs);
	val_set(a, doc, F_metadata, meta);
	val_set(a, doc, F_data, data);
	val_set_int(a, doc, F_revision, n);
	return doc;
}

/* The name is taken: by our own revision that the cache has not shown yet (0), or by another (-1). */
static int revision_name_taken(struct arena *a, const struct revisions *r, struct obj *owner, struct sv name,
			       const struct val *data, struct err *err)
{
	_cleanup_obj_ struct obj *there = NULL;
	const struct val *ref;
	struct val *doc, *st;

	if (client_get(r->client, RES(apps_controllerrevisions), obj_ns(owner), name, &there, err) < 0)
		return -1;
	ref = obj_controller_ref(there);
	if (ref && sv_eq(val_get_str(ref, F_uid), obj_uid(owner)) && val_equal(obj_get(there, F_data), data))
		return 0;
	doc = obj_edit(a, owner);
	st = val_ensure_map(a, doc, F_status);
	val_set_int(a, st, F_collisionCount, val_get_int(st, 0, F_collisionCount) + 1);
	if (client_update_status(r->client, r->owner_res, doc, NULL, err) < 0)
		return -1;
	return err_set(err, ERR_CONFLICT, "controller revision name '%.*s' is taken", SV_ARG(name));
}

struct revision_id revision_of(struct arena *a, struct obj *owner, const struct val *tmpl, int64_t collisions)
{
	struct revision_id id = { .hash = template_hash(a, tmpl, collisions) };

	id.name = arena_svf(a, "%.*s-%.*s", SV_ARG(obj_name(owner)), SV_ARG(id.hash));
	return id;
}

int revision_sync(struct arena *a, const struct revisions *r, struct obj *owner, const struct selector *selector,
		  struct revision_id *ret, struct err *err)
{
	int64_t collisions = val_int_or(obj_get(owner, F_status, F_collisionCount), 0), top = 0;
	struct claim claim = { .client = r->client,
			       .owner_res = r->owner_res,
			       .child_res = RES(apps_controllerrevisions),
			       .owner = owner,
			       .selector = selector,
			       .children = r->informer };
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc, *data = revision_data(a, owner);
	struct obj *mine = NULL;
	struct objs all;

	*ret = revision_of(a, owner, obj_get(owner, F_spec, F_template), collisions);
	if (claim_children(a, &claim, &all, err) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++) {
		top = MAX(top, revision_number(all.p[i]));
		if (val_equal(obj_get(all.p[i], F_data), data) &&
		    (!mine || revision_number(all.p[i]) > revision_number(mine)))
			mine = all.p[i];
	}
	if (mine) {
		ret->name = arena_sv(a, obj_name(mine));
		ret->hash = arena_sv(a, revision_hash(r, mine));
		if (revision_number(mine) == top)
			return 0;
		doc = obj_edit(a, mine);
		val_set_int(a, doc, F_revision, top + 1);
		return client_update(r->client, RES(apps_controllerrevisions), doc, NULL, NULL, err);
	}
	doc = new_revision(a, r, owner, ret, data, top + 1);
	if (client_create(r->client, RES(apps_controllerrevisions), obj_ns(owner), doc, NULL, NULL, &why) == 0)
		return 0;
	return why.reason == ERR_ALREADY_EXISTS ? revision_name_taken(a, r, owner, ret->name, data, err)
						: err_move(err, &why);
}

static int revision_by_number(const void *x, const void *y)
{
	int64_t a = revision_number(*(struct obj *const *)x), b = revision_number(*(struct obj *const *)y);

	return (a > b) - (a < b);
}

int revision_prune(struct arena *a, const struct revisions *r, struct obj *owner, struct sv update, struct sv current,
		   struct obj *const *pods, size_t n_pods, struct err *err)
{
	int64_t limit = val_int_or(obj_get(owner, F_spec, F_revisionHistoryLimit), 10);
	_cleanup_(strmap_release) struct strmap used = STRMAP_INIT; /* names or hashes, as pods have them */
	size_t n, kept = 0;
	struct obj **all = informer_by_index(r->informer, a, INDEX_CONTROLLER, obj_uid(owner), &n);

	strmap_set(&used, update, owner);
	strmap_set(&used, current, owner);
	for (size_t k = 0; k < n_pods; k++)
		strmap_set(&used, label_of(obj_root(pods[k]), LABEL_REVISION), owner);
	for (size_t i = 0; i < n; i++) {
		if (!strmap_has(&used, obj_name(all[i])) && !strmap_has(&used, revision_hash(r, all[i]))) {
			struct obj *swap = all[kept]; /* the array keeps its members: it owns them */

			all[kept++] = all[i];
			all[i] = swap;
		}
	}
	if (kept > 1)
		qsort(all, kept, sizeof(struct obj *), revision_by_number);
	for (size_t i = 0; (int64_t)i < (int64_t)kept - limit; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (client_delete(r->client, RES(apps_controllerrevisions), obj_ns(owner), obj_name(all[i]), NULL,
				  &why) < 0 &&
		    why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
	}
	return 0;
}
