/* statefulset: pods that keep their names, and with them their volumes and DNS names.
 *
 * Pods are numbered, so nothing done twice can make one too many: a stale cache ends in "already exists"
 * and another look. With OrderedReady each step waits for all pods before it to be available: they
 * come from the lowest number up, go from the highest down, and a rolling update replaces them from the
 * highest down to spec.updateStrategy.rollingUpdate.partition. Parallel waits for nothing when scaling.
 *
 * How many are wanted is whatever a user wrote: nothing here is made or gone through for each of them, but for each pod
 * there is and for BURST that are not. */
#include "codec/json.h"
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/podwatch.h"
#include "controllers/revision.h"
#include "controllers/statefulset_claims.h"
#include "controllers/status.h"
#include "controllers/template.h"

#include <stdlib.h>

#define LABEL_POD_NAME "statefulset.kubernetes.io/pod-name"
#define LABEL_POD_INDEX "apps.kubernetes.io/pod-index"
#define LABEL_VALUE_MAX 63
#define BURST 250 /* pods made in one run */

struct statefulset {
	struct controller_ctx *ctx;
	struct informer *sets, *pods, *claims;
	struct workq *q;
	struct podwatch watch;
	struct pod_control pods_ctl;
	struct revisions revisions;
};

struct numbered {
	int64_t n; /* less the first */
	struct obj *pod;
};

struct srun {
	struct statefulset *c;
	struct arena *a;
	struct obj *set;
	struct objs pods;
	struct numbered *wanted; /* pods with a number that is wanted, by it */
	size_t n_wanted;
	int64_t first, replicas, min_ready, partition;
	struct sv update, current; /* names of revisions */
	bool ordered;
	int64_t wait_ns;
	struct set_claims claims;
};

static int64_t ordinal(const struct srun *r, const struct obj *pod)
{
	struct sv name = obj_name(pod), base = obj_name(r->set);
	int64_t n;

	if (!sv_starts(name, base) || name.n < base.n + 2 || name.p[base.n] != '-' ||
	    !sv_to_i64(sv_sub(name, base.n + 1, name.n), &n) || n < 0)
		return -1;
	return n;
}

static bool available(struct srun *r, const struct obj *pod)
{
	return pod && val_is(obj_get(pod, F_status, F_phase), "Running") && !obj_deleting(pod) &&
	       pod_is_available(pod, r->min_ready, env_now_ns(r->c->ctx->env), &r->wait_ns);
}

/* Does the pod run revision `name`? Pods of earlier versions carry the revision's hash, the name's end. */
static bool runs(const struct srun *r, const struct obj *pod, struct sv name)
{
	struct sv label = label_of(obj_root(pod), LABEL_REVISION);

	return sv_eq(label, name) || (label.n && sv_ends(name, label) && name.n == obj_name(r->set).n + 1 + label.n);
}

/* What a pod of revision `name` is labelled with: the name, which operators compare with the set's status; its
 * hash alone where the name is too long for a label. */
static struct sv revision_label(const struct srun *r, struct sv name)
{
	return name.n <= LABEL_VALUE_MAX ? name : sv_sub(name, obj_name(r->set).n + 1, name.n);
}

/* The template of an older revision, or the current one when that is not known any more. */
static const struct val *template_of(struct srun *r, struct sv name)
{
	_cleanup_obj_ struct obj *rev = NULL;
	const struct val *data, *tmpl;

	if (sv_eq(name, r->update))
		return obj_get(r->set, F_spec, F_template);
	rev = informer_lookup(r->c->revisions.informer, obj_ns(r->set), name);
	data = obj_get(rev, F_data);
	if (val_type(data) == VAL_RAW)
		data = json_decode(r->a, val_raw(data), NULL, NULL);
	tmpl = val_get(data, F_spec, F_template);
	if (val_type(tmpl) != VAL_MAP)
		return obj_get(r->set, F_spec, F_template);
	return val_clone(r->a, tmpl);
}

static int sts_create(struct srun *r, int64_t n, struct err *err)
{
	struct arena *a = r->a;
	struct sv name = arena_svf(a, "%.*s-%" PRId64, SV_ARG(obj_name(r->set)), n);
	/* Below the partition pods stay what they were before the update. */
	struct sv rev = n < r->partition && r->current.n ? r->current : r->update;
	struct val *pod = pod_from_template(a, RES(apps_statefulsets), obj_root(r->set), template_of(r, rev));
	struct val *meta = val_ensure_map(a, pod, F_metadata), *spec, *labels;
	_cleanup_(err_release) struct err why = ERR_INIT;
	int rc;

	val_del(meta, F_generateName);
	val_set_str(a, meta, F_name, name);
	labels = val_ensure_map(a, meta, F_labels);
	val_set_str_sv(a, labels, SV(LABEL_POD_NAME), name);
	val_set_str_sv(a, labels, SV(LABEL_POD_INDEX), arena_svf(a, "%" PRId64, n));
	val_set_str_sv(a, labels, SV(LABEL_REVISION), revision_label(r, rev));
	spec = val_ensure_map(a, pod, F_spec);
	val_set_str(a, spec, F_hostname, name);
	val_set_str(a, spec, F_subdomain, val_str(obj_get(r->set, F_spec, F_serviceName)));
	val_set(a, spec, F_volumes, claims_volumes(&r->claims, val_member(spec, F_volumes), name));
	rc = claims_make(&r->claims, name, err);
	if (rc > 0)
		r->wait_ns = NS_PER_SEC;
	if (rc)
		return rc < 0 ? -1 : 0;
	if (pod_control_create(&r->c->pods_ctl, pod, r->set, &why) == 0 || err_namespace_terminating(&why))
		return 0;
	if (why.reason == ERR_ALREADY_EXISTS)
		return err_set(err, ERR_CONFLICT, "pod '%.*s' is there already", SV_ARG(name));
	return err_move(err, &why);
}

static int remove_pod(struct srun *r, struct obj *pod, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (obj_deleting(pod))
		return 0;
	if (pod_control_delete(&r->c->pods_ctl, pod, r->set, &why) < 0 && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static int sts_by_number(const void *x, const void *y)
{
	int64_t a = ((const struct numbered *)x)->n, b = ((const struct numbered *)y)->n;

	return a < b ? -1 : a > b;
}

/* The pod of number n, less the first; NULL: none. */
static struct obj *pod_at(const struct srun *r, int64_t n)
{
	struct numbered key = { .n = n };
	const struct numbered *found =
	    r->n_wanted ? bsearch(&key, r->wanted, r->n_wanted, sizeof(key), sts_by_number) : NULL;

	return found ? found->pod : NULL;
}

/* Missing and ended pods. Returns 1 when later steps have to wait. */
static int sts_fill(struct srun *r, struct err *err)
{
	size_t made = 0;

	for (int64_t i = 0; i < r->replicas; i++) {
		struct obj *pod = pod_at(r, i);

		if (!pod && made++ == BURST) {
			r->wait_ns = r->wait_ns ? r->wait_ns : NS_PER_SEC;
			return 1;
		}
		if (pod && claims_keep(&r->claims, pod, false, err) < 0)
			return -1;
		if (!pod && sts_create(r, r->first + i, err) < 0)
			return -1;
		if (pod && pod_is_terminal(pod) && remove_pod(r, pod, err) < 0)
			return -1;
		if (r->ordered && !available(r, pod))
			return 1;
	}
	return 0;
}

static int by_ordinal_down(const void *x, const void *y)
{
	const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;

	if (obj_name(a).n != obj_name(b).n) /* longer is a larger number */
		return obj_name(a).n > obj_name(b).n ? -1 : 1;
	return sv_cmp(obj_name(b), obj_name(a));
}

/* Pods beyond the number wanted, highest first. Returns 1 when there were any. */
static int shrink(struct srun *r, struct err *err)
{
	struct obj **extra = ARENA_ARRAY(r->a, struct obj *, r->pods.n);
	size_t n = 0;

	for (size_t i = 0; i < r->pods.n; i++) {
		int64_t at = ordinal(r, r->pods.p[i]);

		if (at >= 0 && (at < r->first || at >= r->first + r->replicas))
			extra[n++] = r->pods.p[i];
	}
	if (n > 1)
		qsort(extra, n, sizeof(struct obj *), by_ordinal_down);
	for (size_t i = 0; i < n; i++)
		if (claims_keep(&r->claims, extra[i], true, err) < 0)
			return -1;
	for (size_t i = 0; i < n; i++) {
		if (remove_pod(r, extra[i], err) < 0)
			return -1;
		if (r->ordered)
			break;
	}
	return n > 0;
}

/* Old pods go from the highest down, at most maxUnavailable of those looked at missing or not available. */
static int sts_update(struct srun *r, struct err *err)
{
	int64_t most = 1, missing = 0;

	if (val_is(obj_get(r->set, F_spec, F_updateStrategy, F_type), "OnDelete"))
		return 0;
	(void)int_or_percent(obj_get(r->set, F_spec, F_updateStrategy, F_rollingUpdate, F_maxUnavailable), r->replicas,
			     true, &most);
	most = MAX(most, 1);
	for (int64_t i = r->replicas; i-- > 0 && r->first + i >= r->partition && missing < most;) {
		struct obj *pod = pod_at(r, i);
		bool old = pod && !runs(r, pod, r->update);

		if (old && remove_pod(r, pod, err) < 0)
			return -1;
		missing += old || !available(r, pod);
	}
	return 0;
}

static int write_status(struct srun *r, struct err *err)
{
	struct val *doc = obj_edit(r->a, r->set), *st = val_ensure_map(r->a, doc, F_status);
	int64_t n = 0, ready = 0, avail = 0, updated = 0, current = 0;

	for (size_t i = 0; i < r->pods.n; i++) {
		struct obj *p = r->pods.p[i];

		n++;
		ready += val_is(obj_get(p, F_status, F_phase), "Running") && pod_is_ready(p);
		avail += available(r, p);
		updated += !obj_deleting(p) && runs(r, p, r->update);
		current += !obj_deleting(p) && runs(r, p, r->current);
	}
	if (updated == r->replicas && ready == r->replicas && n == r->replicas) {
		r->current = r->update; /* the update is through */
		current = updated;
	}
	status_int(r->a, st, F_observedGeneration, val_int_or(obj_get(r->set, F_metadata, F_generation), 0));
	status_int(r->a, st, F_replicas, n);
	status_int(r->a, st, F_readyReplicas, ready);
	status_int(r->a, st, F_availableReplicas, avail);
	status_int(r->a, st, F_updatedReplicas, updated);
	status_int(r->a, st, F_currentReplicas, current);
	if (!sv_eq(val_get_str(st, F_updateRevision), r->update))
		val_set_str(r->a, st, F_updateRevision, r->update);
	if (!sv_eq(val_get_str(st, F_currentRevision), r->current))
		val_set_str(r->a, st, F_currentRevision, r->current);
	if (val_equal(st, obj_get(r->set, F_status)))
		return 0;
	if (client_update_status(r->c->ctx->client, RES(apps_statefulsets), doc, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

static int step(struct srun *r, struct err *err)
{
	int rc = sts_fill(r, err);

	if (rc == 0)
		rc = shrink(r, err);
	return rc == 0 ? sts_update(r, err) : rc;
}

static void sts_load(struct srun *r)
{
	const struct val *spec = obj_get(r->set, F_spec);
	struct sv was = val_str(obj_get(r->set, F_status, F_currentRevision));

	r->replicas = MAX(val_get_int(spec, 1, F_replicas), 0);
	r->first = MAX(val_get_int(spec, 0, F_ordinals, F_start), 0);
	r->min_ready = val_get_int(spec, 0, F_minReadySeconds);
	r->partition = val_get_int(spec, 0, F_updateStrategy, F_rollingUpdate, F_partition);
	r->ordered = !val_is(val_member(spec, F_podManagementPolicy), "Parallel");
	r->current = was.n ? was : r->update;
	r->wanted = ARENA_ARRAY(r->a, struct numbered, r->pods.n + 1);
	for (size_t i = 0; i < r->pods.n; i++) {
		int64_t n = ordinal(r, r->pods.p[i]) - r->first;

		if (n >= 0 && n < r->replicas)
			r->wanted[r->n_wanted++] = (struct numbered){ n, r->pods.p[i] };
	}
	qsort(r->wanted, r->n_wanted, sizeof(*r->wanted), sts_by_number);
}

static int reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct statefulset *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *set = NULL;
	_cleanup_(err_release) struct err failure = ERR_INIT;
	struct srun r = { .c = c, .a = &a };
	struct claim claim = { .client = c->ctx->client,
			       .owner_res = RES(apps_statefulsets),
			       .child_res = RES(core_pods),
			       .children = c->pods };
	struct revision_id rev;
	struct sv ns, name;

	workq_key_split(key, &ns, &name);
	set = informer_lookup(c->sets, ns, name);
	if (!set)
		return 0;
	r.set = set;
	r.claims = (struct set_claims){ &a, c->ctx->client, c->claims, set };
	claim.owner = set;
	claim.selector = selector_from_label_selector(&a, obj_get(set, F_spec, F_selector), err);
	if (!claim.selector || claim_children(&a, &claim, &r.pods, err) < 0)
		return -1;
	rev = revision_of(&a, set, obj_get(set, F_spec, F_template), 0);
	if (!obj_deleting(set) && revision_sync(&a, &c->revisions, set, claim.selector, &rev, err) < 0)
		return -1;
	r.update = rev.name;
	sts_load(&r);
	if (!obj_deleting(set) && step(&r, &failure) < 0 && failure.reason == ERR_NONE)
		return -1;
	if (write_status(&r, err) < 0)
		return -1;
	if (failure.reason != ERR_NONE)
		return err_move(err, &failure);
	ret->after_ns = r.wait_ns;
	return obj_deleting(set) ? 0
				 : revision_prune(&a, &c->revisions, set, r.update, r.current, r.pods.p, r.pods.n, err);
}

static bool sts_ready(void *ctx)
{
	struct statefulset *c = ctx;

	return informer_synced(c->sets) && informer_synced(c->pods) && informer_synced(c->claims) &&
	       informer_synced(c->revisions.informer);
}

static void *sts_start(struct controller_ctx *ctx)
{
	struct statefulset *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->sets = informer_get(ctx->informers, RES(apps_statefulsets), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->claims = informer_get(ctx->informers, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	c->revisions =
	    (struct revisions){ ctx->client,
				informer_get(ctx->informers, RES(apps_controllerrevisions), NULL, NULL, NULL),
				RES(apps_statefulsets), LABEL_REVISION_HASH };
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	informer_add_index(c->revisions.informer, INDEX_CONTROLLER, index_controller);
	c->pods_ctl = (struct pod_control){ ctx->client, ctx->recorder, RES(apps_statefulsets) };
	c->q = workq_new(
	    ctx->env,
	    &(struct workq_opts){
		.name = "statefulset-controller", .workers = 5, .reconcile = reconcile, .ctx = c, .ready = sts_ready });
	c->watch = (struct podwatch){ RES(apps_statefulsets), c->sets, c->pods, c->q, NULL };
	podwatch_start(&c->watch);
	return c;
}

static void sts_stop(void *controller)
{
	struct statefulset *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops statefulset_controller = { "statefulset-controller", "statefulset-controller", sts_start,
						       sts_stop };
