/* The ReplicaSets of a deployment: one per template that is remembered, told apart by a hash of
 * the template, numbered by revision in an annotation. `kubectl rollout undo` copies an old one's
 * template back; the set found equal to it then becomes the new one and gets a new number. */
#include "base/buf.h"
#include "controllers/deployment-internal.h"
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "controllers/template.h"

#include <stdlib.h>

#define HISTORY_TEXT_MAX 2000

void dset_load(struct drun *r, struct dset *s, struct obj *o)
{
	const struct val *st = obj_get(o, F_status);

	(void)r;
	s->o = o;
	s->wanted = val_int_or(obj_get(o, F_spec, F_replicas), 1);
	s->actual = val_get_int(st, 0, F_replicas);
	s->ready = val_get_int(st, 0, F_readyReplicas);
	s->available = val_get_int(st, 0, F_availableReplicas);
	s->terminating = val_get_int(st, 0, F_terminatingReplicas);
	s->created_ns = 0;
	(void)time_get(obj_get(o, F_metadata, F_creationTimestamp), &s->created_ns);
}

struct dset *dsets_find_new(struct drun *r)
{
	/* Several may match after a change of hashing: the oldest is it. */
	for (size_t i = 0; i < r->n_sets; i++)
		if (template_equal(r->a, obj_get(r->sets[i]->o, F_spec, F_template), obj_get(r->d, F_spec, F_template)))
			return r->sets[i];
	return NULL;
}

static int64_t dset_revision_of(const struct val *doc)
{
	int64_t n;

	return sv_to_i64(annotation_of(doc, ANN_REVISION), &n) ? n : 0;
}

static bool annotate(struct arena *a, struct val *doc, const char *name, struct sv value)
{
	const struct val *anns = val_get(doc, F_metadata, F_annotations);
	const struct val *was = val_member_sv(anns, sv_from(name));

	if (val_type(was) == VAL_STR && sv_eq(val_str(was), value))
		return false;
	annotation_set(a, doc, name, value);
	return true;
}

static bool not_copied(struct sv name)
{
	static const char *const mine[] = { "kubectl.kubernetes.io/last-applied-configuration",
					    ANN_REVISION,
					    ANN_REVISION_HISTORY,
					    ANN_DESIRED,
					    ANN_MAX,
					    "deprecated.deployment.rollback.to" };

	for (size_t i = 0; i < ARRAY_LEN(mine); i++)
		if (sv_is(name, mine[i]))
			return true;
	return false;
}

static bool size_annotations(struct drun *r, struct val *doc)
{
	bool changed = annotate(r->a, doc, ANN_DESIRED, arena_svf(r->a, "%" PRId64, r->replicas));

	changed |= annotate(r->a, doc, ANN_MAX, arena_svf(r->a, "%" PRId64, r->replicas + deployment_surge(r)));
	return changed;
}

/* Keeps the numbers a set had before, newest last, within a bound. */
static void remember_revision(struct arena *a, struct val *doc, struct sv old)
{
	struct sv history = annotation_of(doc, ANN_REVISION_HISTORY);

	if (!old.n)
		return;
	while (history.n && history.n + old.n + 1 > HISTORY_TEXT_MAX) {
		ssize_t at = sv_find(history, ',');

		history = at < 0 ? SV("") : sv_sub(history, (size_t)at + 1, history.n);
	}
	annotate(a, doc, ANN_REVISION_HISTORY,
		 history.n ? arena_svf(a, "%.*s,%.*s", SV_ARG(history), SV_ARG(old)) : arena_sv(a, old));
}

/* The set's annotations: a copy of the deployment's, and the revision. */
static bool new_set_annotations(struct drun *r, struct val *doc, int64_t revision, bool exists)
{
	bool changed = false;
	struct sv old = annotation_of(doc, ANN_REVISION);

	VAL_EACH_MEMBER(obj_get(r->d, F_metadata, F_annotations), m)
		if (!not_copied(m.key))
			changed |= annotate(r->a, doc, arena_cstr(r->a, m.key), val_str(m.value));
	if (dset_revision_of(doc) < revision) {
		if (exists)
			remember_revision(r->a, doc, old);
		annotate(r->a, doc, ANN_REVISION, arena_svf(r->a, "%" PRId64, revision));
		changed = true;
	}
	if (!exists)
		changed |= size_annotations(r, doc);
	return changed;
}

static int update_set(struct drun *r, struct dset *s, struct val *doc, struct err *err)
{
	struct obj *after;

	if (client_update(r->c->ctx->client, RES(apps_replicasets), doc, NULL, &after, err) < 0)
		return -1;
	dset_load(r, s, obj_link(r->a, after));
	return 0;
}

static int update_existing(struct drun *r, int64_t revision, struct err *err)
{
	struct val *doc = obj_edit(r->a, r->neu->o);
	struct val *st = val_ensure_map(r->a, r->doc, F_status);
	bool dirty = false, changed = new_set_annotations(r, doc, revision, true);

	if (val_get_int(doc, 0, F_spec, F_minReadySeconds) != r->min_ready) {
		val_set_int(r->a, val_ensure_map(r->a, doc, F_spec), F_minReadySeconds, r->min_ready);
		changed = true;
	}
	if (changed && update_set(r, r->neu, doc, err) < 0)
		return -1;
	dirty = annotate(r->a, r->doc, ANN_REVISION, annotation_of(obj_root(r->neu->o), ANN_REVISION));
	if (r->deadline_s >= 0 && !condition_find(val_member(st, F_conditions), "Progressing")) {
		deployment_progressing(r, st, "True", "FoundNewReplicaSet",
				       arena_svf(r->a, "Found new replica set \"%.*s\"", SV_ARG(obj_name(r->neu->o))));
		dirty = true;
	}
	return dirty ? deployment_write_status(r, err) : 0;
}

static struct val *with_hash(struct arena *a, const struct val *labels, struct sv hash)
{
	struct val *copy = val_type(labels) == VAL_MAP ? val_clone(a, labels) : val_new_map(a);

	val_set_str_sv(a, copy, SV(LABEL_TEMPLATE_HASH), hash);
	return copy;
}

static struct val *new_set(struct drun *r, int64_t revision, int64_t collisions)
{
	struct arena *a = r->a;
	const struct val *dspec = obj_get(r->d, F_spec);
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *spec = val_new_map(a), *refs = val_new_list(a);
	struct val *tmpl = val_clone(a, val_member(dspec, F_template)),
		   *sel = val_clone(a, val_member(dspec, F_selector));
	struct sv hash = template_hash(a, tmpl, collisions);
	struct val *labels = with_hash(a, val_get(tmpl, F_metadata, F_labels), hash);

	val_set(a, val_ensure_map(a, tmpl, F_metadata), F_labels, labels);
	val_set(a, sel, F_matchLabels, with_hash(a, val_member(sel, F_matchLabels), hash));
	val_set_cstr(a, doc, F_apiVersion, "apps/v1");
	val_set_cstr(a, doc, F_kind, "ReplicaSet");
	val_set_strf(a, meta, F_name, "%.*s-%.*s", SV_ARG(obj_name(r->d)), SV_ARG(hash));
	val_set_str(a, meta, F_namespace, obj_ns(r->d));
	val_set(a, meta, F_labels, val_clone(a, labels));
	val_push(a, refs, owner_ref(a, RES(apps_deployments), obj_root(r->d), true, true));
	val_set(a, meta, F_ownerReferences, refs);
	val_set(a, doc, F_metadata, meta);
	val_set_int(a, spec, F_replicas, dset_new_size(r, 0));
	if (r->min_ready)
		val_set_int(a, spec, F_minReadySeconds, r->min_ready);
	val_set(a, spec, F_selector, sel);
	val_set(a, spec, F_template, tmpl);
	val_set(a, doc, F_spec, spec);
	new_set_annotations(r, doc, revision, false);
	return doc;
}

/* The name is taken. By our own set that the informer has not shown yet: use it. By another: count a
 * collision, which changes the hash, and have the run repeated. */
static int dset_name_taken(struct drun *r, const struct val *doc, struct obj **ret, struct err *err)
{
	struct val *st = val_ensure_map(r->a, r->doc, F_status);
	_cleanup_obj_ struct obj *there = NULL;
	const struct val *ref;

	if (client_get(r->c->ctx->client, RES(apps_replicasets), obj_ns(r->d), val_get_str(doc, F_metadata, F_name),
		       &there, err) < 0)
		return -1;
	ref = obj_controller_ref(there);
	if (ref && sv_eq(val_str(val_member(ref, F_uid)), obj_uid(r->d)) &&
	    template_equal(r->a, obj_get(there, F_spec, F_template), obj_get(r->d, F_spec, F_template))) {
		*ret = TAKE(there);
		return 0;
	}
	val_set_int(r->a, st, F_collisionCount, val_get_int(st, 0, F_collisionCount) + 1);
	if (deployment_write_status(r, err) < 0)
		return -1;
	return err_set(err, ERR_CONFLICT, "replica set name '%.*s' is taken", SV_ARG(obj_name(there)));
}

static int create_failed(struct drun *r, const struct val *doc, struct err *why, struct err *err)
{
	struct val *st = val_ensure_map(r->a, r->doc, F_status);
	struct sv msg = arena_svf(r->a, "Failed to create new replica set \"%.*s\": %s",
				  SV_ARG(val_get_str(doc, F_metadata, F_name)), err_msg(why));

	if (r->deadline_s >= 0 && deployment_progressing(r, st, "False", "ReplicaSetCreateError", msg))
		(void)deployment_write_status(r, NULL);
	recorder_event(r->c->ctx->recorder, RES(apps_deployments), obj_root(r->d), "Warning", "ReplicaSetCreateError",
		       "%.*s", SV_ARG(msg));
	return err_move(err, why);
}

static int create_new(struct drun *r, int64_t revision, struct err *err)
{
	struct val *st = val_ensure_map(r->a, r->doc, F_status);
	struct val *doc = new_set(r, revision, val_get_int(st, 0, F_collisionCount));
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct obj *made = NULL;
	bool existed = false, dirty;

	if (client_create(r->c->ctx->client, RES(apps_replicasets), obj_ns(r->d), doc, NULL, &made, &why) < 0) {
		if (err_namespace_terminating(&why))
			return 0;
		if (why.reason != ERR_ALREADY_EXISTS)
			return create_failed(r, doc, &why, err);
		if (dset_name_taken(r, doc, &made, err) < 0)
			return -1;
		existed = true;
	}
	r->neu = ARENA_NEW(r->a, struct dset);
	dset_load(r, r->neu, obj_link(r->a, made));
	r->sets[r->n_sets++] = r->neu;
	if (!existed && r->neu->wanted > 0)
		recorder_event(r->c->ctx->recorder, RES(apps_deployments), obj_root(r->d), "Normal",
			       "ScalingReplicaSet", "Scaled up replica set %.*s from 0 to %" PRId64,
			       SV_ARG(obj_name(made)), r->neu->wanted);
	dirty = annotate(r->a, r->doc, ANN_REVISION, annotation_of(obj_root(made), ANN_REVISION));
	if (!existed && r->deadline_s >= 0)
		dirty |=
		    deployment_progressing(r, st, "True", "NewReplicaSetCreated",
					   arena_svf(r->a, "Created new replica set \"%.*s\"", SV_ARG(obj_name(made))));
	return dirty ? deployment_write_status(r, err) : 0;
}

int dsets_sync_revision(struct drun *r, bool create, struct err *err)
{
	int64_t top = 0;

	for (size_t i = 0; i < r->n_sets; i++)
		if (dset_is_old(r, r->sets[i]))
			top = MAX(top, dset_revision_of(obj_root(r->sets[i]->o)));
	if (r->neu)
		return update_existing(r, top + 1, err);
	return create ? create_new(r, top + 1, err) : 0;
}

int dset_annotate_size(struct drun *r, struct dset *s, int64_t to, struct err *err)
{
	struct val *doc = obj_edit(r->a, s->o);
	int64_t from = s->wanted;
	bool resized = from != to, changed = size_annotations(r, doc);

	if (!resized && !changed)
		return 0;
	val_set_int(r->a, val_ensure_map(r->a, doc, F_spec), F_replicas, to);
	if (update_set(r, s, doc, err) < 0)
		return -1;
	if (resized)
		recorder_event(r->c->ctx->recorder, RES(apps_deployments), obj_root(r->d), "Normal",
			       "ScalingReplicaSet", "Scaled %s replica set %.*s from %" PRId64 " to %" PRId64,
			       to > from ? "up" : "down", SV_ARG(obj_name(s->o)), from, to);
	return resized;
}

int dset_scale(struct drun *r, struct dset *s, int64_t to, struct err *err)
{
	return s->wanted == to ? 0 : dset_annotate_size(r, s, to, err);
}

static int by_revision(const void *x, const void *y)
{
	const struct dset *a = *(struct dset *const *)x, *b = *(struct dset *const *)y;
	int64_t ra = dset_revision_of(obj_root(a->o)), rb = dset_revision_of(obj_root(b->o));

	if (ra != rb)
		return ra < rb ? -1 : 1;
	return sv_cmp(obj_name(a->o), obj_name(b->o));
}

int dsets_cleanup(struct drun *r, struct err *err)
{
	struct dset **old = ARENA_ARRAY(r->a, struct dset *, r->n_sets);
	size_t n = 0;

	if (r->history < 0)
		return 0;
	for (size_t i = 0; i < r->n_sets; i++)
		if (dset_is_old(r, r->sets[i]) && !obj_deleting(r->sets[i]->o))
			old[n++] = r->sets[i];
	if (n > 1)
		qsort(old, n, sizeof(struct dset *), by_revision);
	for (size_t i = 0; (int64_t)i < (int64_t)n - r->history; i++) {
		struct obj *o = old[i]->o;
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (old[i]->actual || old[i]->wanted ||
		    val_int_or(obj_get(o, F_metadata, F_generation), 0) >
			val_int_or(obj_get(o, F_status, F_observedGeneration), 0))
			continue;
		if (client_delete(r->c->ctx->client, RES(apps_replicasets), obj_ns(o), obj_name(o), NULL, &why) < 0 &&
		    why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
	}
	return 0;
}
