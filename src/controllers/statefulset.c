/* statefulset: pods that keep their names, and with them their volumes and DNS names.
 *
 * Pods are numbered, so nothing done twice can make one too many: a stale cache ends in "already exists"
 * and another look. With OrderedReady each step waits for all pods before it to be available: they
 * come from the lowest number up, go from the highest down, and a rolling update (statefulset_update.c) replaces
 * them from the highest down but for the first spec.updateStrategy.rollingUpdate.partition. Parallel waits for nothing
 * when scaling.
 *
 * How many are wanted is whatever a user wrote: nothing here is made or gone through for each of them, but for each pod
 * there is and for BURST that are not. */
#include "controllers/controllers-internal.h"
#include "controllers/podutil.h"
#include "controllers/podwatch.h"
#include "controllers/statefulset-internal.h"
#include "controllers/status.h"

#include <stdlib.h>

#define BURST 250 /* pods made in one run */

struct statefulset {
	struct controller_ctx *ctx;
	struct informer *sets, *pods, *claims;
	struct workq *q;
	struct podwatch watch;
	struct revisions revisions;
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
			sts_wait(r, NS_PER_SEC);
			return 1;
		}
		if (pod && claims_keep(&r->claims, pod, false, err) < 0)
			return -1;
		if (!pod && sts_create(r, i, err) < 0)
			return -1;
		if (pod && (pod_is_terminal(pod) ? sts_remove(r, pod, err) : sts_repair(r, pod, err)) < 0)
			return -1;
		if (r->ordered && !sts_available(r, pod))
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

/* In order, the highest pod goes only when it is available or the only one left that is not: whoever shrinks a set that
 * is ill finds out before its members are gone. pods: highest first. */
static bool halted(struct srun *r, struct obj **pods, size_t n)
{
	if (obj_deleting(pods[0]) || sts_available(r, pods[0]))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!sts_available(r, pods[i]))
			return true;
	return false;
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
	if (r->ordered && n && halted(r, extra, n))
		return 1;
	for (size_t i = 0; i < n; i++) {
		if (sts_remove(r, extra[i], err) < 0)
			return -1;
		if (r->ordered)
			break;
	}
	return n > 0;
}

static int write_status(struct srun *r, struct err *err)
{
	struct val *doc = obj_edit(r->a, r->set), *st = val_ensure_map(r->a, doc, F_status);
	int64_t n = 0, ready = 0, avail = 0, updated = 0, current = 0;

	for (size_t i = 0; i < r->pods.n; i++) {
		struct obj *p = r->pods.p[i];

		n++;
		ready += val_is(obj_get(p, F_status, F_phase), "Running") && pod_is_ready(p);
		avail += sts_available(r, p);
		updated += !obj_deleting(p) && sts_runs(r, p, r->update);
		current += !obj_deleting(p) && sts_runs(r, p, r->current);
	}
	if (!val_is(obj_get(r->set, F_spec, F_updateStrategy, F_type), "OnDelete") && updated == r->replicas &&
	    ready == r->replicas && n == r->replicas) {
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
	if (client_update_status(r->ctx->client, RES(apps_statefulsets), doc, NULL, err) < 0)
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
	struct srun r = { .ctx = c->ctx, .revisions = c->revisions.informer, .a = &a };
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
	r.claims = (struct set_claims){ &a, c->ctx->client, c->ctx->recorder, c->claims, set };
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
