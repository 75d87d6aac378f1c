/* daemonset: one pod on every node that its template fits.
 *
 * Each pod is made for one node, by a required node affinity on the node's name; the scheduler
 * binds it. One run: for every node, is there a pod where one should be, and none where not?
 * Surplus goes first; only when nothing is surplus or missing does a rolling update replace pods
 * of an older template: at most maxUnavailable are deleted before their successors come, or, with maxSurge,
 * that many get a successor beside them and go when it is available. Pods that ended are deleted after a pause
 * that doubles from 1 s to 15 min a node, so that a node that refuses them is not asked all the time. */
#include "controllers/backoff.h"
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/podwatch.h"
#include "controllers/revision.h"
#include "controllers/status.h"
#include "controllers/template.h"
#include "pod/node_match.h"

#include <stdlib.h>

#define BURST 250
#define PAUSE_NS NS_PER_SEC
#define PAUSE_MAX_NS (900 * NS_PER_SEC)

struct daemonset {
	struct controller_ctx *ctx;
	struct informer *sets, *pods, *nodes;
	struct workq *q;
	struct expectations *expect;
	struct podwatch watch;
	struct pod_control pods_ctl;
	struct revisions revisions;
	struct backoff *pauses; /* of pods that failed, by "uid/node" */
};

/* A node that wants the pod, and the running ones there; NULL: none. */
struct spot {
	struct obj *node, *old, *neu;
};

struct drun {
	struct daemonset *c;
	struct arena *a;
	struct sv key, hash;
	struct obj *ds;
	struct objs pods;
	struct val *tolerations; /* the template's and those every daemon has */
	struct sv node_name;	 /* the template's own, or "" */
	struct node_want nodes;
	struct obj **missing, **surplus; /* nodes without, pods too many */
	size_t n_missing, n_surplus, failed;
	bool may_act;
	int64_t pause_ns; /* until a pod that ended may go; 0: none waits */
	/* For the status and the update. */
	int64_t desired, current, misscheduled, ready, available, updated;
	struct spot *spots;
	size_t n_spots;
	int64_t min_ready;
	bool surge;
	int64_t wait_ns;
};

/* Daemons stay through what makes other pods leave. */
static struct val *daemon_tolerations(struct arena *a, const struct val *spec)
{
	static const struct {
		const char *key, *effect;
	} own[] = {
		{ "node.kubernetes.io/not-ready", "NoExecute" },
		{ "node.kubernetes.io/unreachable", "NoExecute" },
		{ "node.kubernetes.io/disk-pressure", "NoSchedule" },
		{ "node.kubernetes.io/memory-pressure", "NoSchedule" },
		{ "node.kubernetes.io/pid-pressure", "NoSchedule" },
		{ "node.kubernetes.io/unschedulable", "NoSchedule" },
		{ "node.kubernetes.io/network-unavailable", "NoSchedule" },
	};
	struct val *list = val_new_list(a);

	VAL_EACH(val_member(spec, F_tolerations), t)
		val_push(a, list, t);
	for (size_t i = 0; i < ARRAY_LEN(own) - !val_get_bool(spec, F_hostNetwork); i++) {
		struct val *t = val_push(a, list, val_new_map(a));

		val_set_cstr(a, t, F_key, own[i].key);
		val_set_cstr(a, t, F_operator, "Exists");
		val_set_cstr(a, t, F_effect, own[i].effect);
	}
	return list;
}

/* The node a pod runs on or is made for. */
static struct sv node_of(const struct obj *pod)
{
	struct sv bound = val_str(obj_get(pod, F_spec, F_nodeName));
	const struct val *terms = obj_get(pod, F_spec, F_affinity, F_nodeAffinity,
					  F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms);

	if (bound.n)
		return bound;
	VAL_EACH(terms, t)
		VAL_EACH(val_member(t, F_matchFields), f)
			if (val_is(val_member(f, F_key), "metadata.name"))
				return val_str(val_at(val_member(f, F_values), 0));
	return SV("");
}

static struct val *pod_for(struct drun *r, const struct obj *node)
{
	struct arena *a = r->a;
	struct val *pod =
	    pod_from_template(a, RES(apps_daemonsets), obj_root(r->ds), obj_get(r->ds, F_spec, F_template));
	struct val *meta = val_ensure_map(a, pod, F_metadata), *spec, *affinity, *terms, *term, *fields, *field,
		   *values;
	struct val *required;

	val_set_str_sv(a, val_ensure_map(a, meta, F_labels), SV(LABEL_REVISION), r->hash);
	field = val_new_map(a);
	val_set_cstr(a, field, F_key, "metadata.name");
	val_set_cstr(a, field, F_operator, "In");
	values = val_set_list(a, field, F_values);
	val_push(a, values, val_new_str(a, obj_name(node)));
	fields = val_new_list(a);
	val_push(a, fields, field);
	term = val_new_map(a);
	val_set(a, term, F_matchFields, fields);
	terms = val_new_list(a);
	val_push(a, terms, term);
	required = val_new_map(a);
	val_set(a, required, F_nodeSelectorTerms, terms);
	spec = val_ensure_map(a, pod, F_spec);
	affinity = val_ensure_map(a, spec, F_affinity);
	val_set(a, val_ensure_map(a, affinity, F_nodeAffinity), F_requiredDuringSchedulingIgnoredDuringExecution,
		required);
	val_set(a, spec, F_tolerations, r->tolerations);
	return pod;
}

static int ds_by_age(const void *x, const void *y)
{
	const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
	bool ra = pod_is_ready(a), rb = pod_is_ready(b);
	int64_t ta = 0, tb = 0;

	if (ra != rb)
		return ra ? -1 : 1;
	time_get(obj_get(a, F_metadata, F_creationTimestamp), &ta);
	time_get(obj_get(b, F_metadata, F_creationTimestamp), &tb);
	if (ta != tb)
		return ta < tb ? -1 : 1;
	return sv_cmp(obj_name(a), obj_name(b));
}

static bool ds_available(struct drun *r, const struct obj *pod)
{
	return pod_is_available(pod, r->min_ready, env_now_ns(r->c->ctx->env), &r->wait_ns);
}

static bool is_new(const struct drun *r, const struct obj *pod)
{
	return sv_eq(label_of(obj_root(pod), LABEL_REVISION), r->hash);
}

/* --- pods that ended --- */

static void remove_ended(struct drun *r, const struct obj *node, struct obj *pod)
{
	bool failed = val_is(obj_get(pod, F_status, F_phase), "Failed");
	struct sv key = arena_svf(r->a, "%.*s/%.*s", SV_ARG(obj_uid(r->ds)), SV_ARG(obj_name(node)));
	int64_t left = failed && r->may_act ? backoff_left(r->c->pauses, key) : 0;

	if (left) {
		if (r->pause_ns == 0 || left < r->pause_ns)
			r->pause_ns = left;
		return;
	}
	r->surplus[r->n_surplus++] = pod;
	if (r->may_act)
		recorder_event(r->c->ctx->recorder, RES(apps_daemonsets), obj_root(r->ds),
			       failed ? "Warning" : "Normal", failed ? "FailedDaemonPod" : "SucceededDaemonPod",
			       "Found %s daemon pod %.*s/%.*s on node %.*s, will try to %s it",
			       failed ? "failed" : "succeeded", SV_ARG(obj_ns(pod)), SV_ARG(obj_name(pod)),
			       SV_ARG(obj_name(node)), failed ? "kill" : "delete");
}

/* --- nodes --- */

/* Of several running pods all but one go, best first in here; while surging, one of either template may stay:
 * the old one until the new one is available, unless it is not even ready. */
static void keep_one(struct drun *r, struct spot *spot, struct obj **here, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct obj **place = is_new(r, here[i]) ? &spot->neu : &spot->old;

		if (!*place && (i == 0 || r->surge))
			*place = here[i];
		else
			r->surplus[r->n_surplus++] = here[i];
	}
	if (spot->old && spot->neu && (!pod_is_ready(spot->old) || ds_available(r, spot->neu))) {
		r->surplus[r->n_surplus++] = spot->old;
		spot->old = NULL;
	}
}

static void count_pod(struct drun *r, const struct obj *pod)
{
	r->current++;
	r->ready += pod_is_ready(pod);
	r->available += ds_available(r, pod);
	r->updated += is_new(r, pod);
}

static void look_at_node(struct drun *r, struct obj *node, struct obj **pods, size_t n_pods)
{
	bool selected = (!r->node_name.n || sv_eq(r->node_name, obj_name(node))) &&
			node_want_matches(&r->nodes, obj_labels(node), obj_name(node));
	bool fits = selected && tolerates_node(r->tolerations, node, "NoExecute");
	bool wanted = fits && tolerates_node(r->tolerations, node, "NoSchedule");
	struct obj **here = ARENA_ARRAY(r->a, struct obj *, n_pods);
	struct spot spot = { .node = node };
	size_t n = 0;
	bool occupied = false; /* wait until it is gone before making the next */

	for (size_t i = 0; i < n_pods; i++) {
		if (obj_deleting(pods[i])) {
			occupied = true;
		} else if (!pod_is_terminal(pods[i])) {
			here[n++] = pods[i];
		} else {
			remove_ended(r, node, pods[i]);
			occupied = true;
		}
	}
	r->desired += wanted;
	if (n > 1)
		qsort(here, n, sizeof(struct obj *), ds_by_age);
	if (wanted && n == 0 && !occupied)
		r->missing[r->n_missing++] = node;
	if (wanted && n)
		count_pod(r, here[0]);
	if (!wanted)
		r->misscheduled += n > 0;
	if (fits) {
		keep_one(r, &spot, here, n);
		if (wanted)
			r->spots[r->n_spots++] = spot;
		return;
	}
	/* Where a pod may not be made any more it may still stay, unless NoExecute says otherwise. */
	for (size_t i = 0; i < n; i++)
		r->surplus[r->n_surplus++] = here[i];
}

/* --- doing it --- */

static int ds_create_one(void *ctx, size_t i, struct err *err)
{
	struct drun *r = ctx;

	if (pod_control_create(&r->c->pods_ctl, pod_for(r, r->missing[i]), r->ds, err) == 0)
		return 0;
	creation_observed(r->c->expect, r->key);
	r->failed++;
	return -1;
}

static int ds_delete_pods(struct drun *r, struct obj **pods, size_t n, struct err *err)
{
	struct sv *uids = ARENA_ARRAY(r->a, struct sv, n);
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		uids[i] = obj_uid(pods[i]);
	expect_deletions(r->c->expect, r->key, uids, n);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (pod_control_delete(&r->c->pods_ctl, pods[i], r->ds, &why) == 0)
			continue;
		deletion_observed(r->c->expect, r->key, uids[i]);
		if (why.reason != ERR_NOT_FOUND && rc == 0)
			rc = err_move(err, &why);
	}
	return rc;
}

static int ds_create_pods(struct drun *r, struct err *err)
{
	size_t n = MIN(r->n_missing, BURST), made;
	_cleanup_(err_release) struct err why = ERR_INIT;

	expect_creations(r->c->expect, r->key, (int64_t)n);
	made = pod_slow_start(n, ds_create_one, r, &why);
	for (size_t i = made + r->failed; i < n; i++)
		creation_observed(r->c->expect, r->key);
	if (made == n || err_namespace_terminating(&why))
		return 0;
	return err_move(err, &why);
}

/* Old pods that may go: those not available cost nothing, of the others as many as the budget has left. */
static int replace_pods(struct drun *r, int64_t most, struct err *err)
{
	struct obj **go = ARENA_ARRAY(r->a, struct obj *, r->n_spots);
	int64_t left = most - (r->desired - r->available);
	size_t n = 0;

	for (size_t i = 0; i < r->n_spots && n < BURST; i++)
		if (r->spots[i].old && !ds_available(r, r->spots[i].old))
			go[n++] = r->spots[i].old;
	for (size_t i = 0; i < r->n_spots && n < BURST && left > 0; i++)
		if (r->spots[i].old && ds_available(r, r->spots[i].old)) {
			go[n++] = r->spots[i].old;
			left--;
		}
	return n ? ds_delete_pods(r, go, n, err) : 0;
}

/* Successors beside old pods: at once where the old one is not available, elsewhere up to most at a time. */
static int surge_pods(struct drun *r, int64_t most, struct err *err)
{
	for (size_t i = 0; i < r->n_spots; i++)
		most -= r->spots[i].old && r->spots[i].neu;
	for (size_t i = 0; i < r->n_spots; i++) {
		const struct spot *s = &r->spots[i];

		if (!s->old || s->neu)
			continue;
		if (ds_available(r, s->old) && most-- <= 0)
			continue;
		r->missing[r->n_missing++] = s->node;
	}
	return r->n_missing ? ds_create_pods(r, err) : 0;
}

static int update_pods(struct drun *r, struct err *err)
{
	const struct val *rolling = obj_get(r->ds, F_spec, F_updateStrategy, F_rollingUpdate);
	int64_t unavailable = 1, surge = 0;

	if (!val_is(obj_get(r->ds, F_spec, F_updateStrategy, F_type), "RollingUpdate"))
		return 0;
	(void)int_or_percent(val_member(rolling, F_maxUnavailable), r->desired, true, &unavailable);
	(void)int_or_percent(val_member(rolling, F_maxSurge), r->desired, true, &surge);
	if (surge > 0)
		return surge_pods(r, surge, err);
	return replace_pods(r, MAX(unavailable, 1), err);
}

static int ds_manage(struct drun *r, struct err *err)
{
	if (r->n_surplus)
		return ds_delete_pods(r, r->surplus, MIN(r->n_surplus, BURST), err);
	return r->n_missing ? ds_create_pods(r, err) : update_pods(r, err);
}

static int ds_write_status(struct drun *r, struct err *err)
{
	struct val *doc = obj_edit(r->a, r->ds), *st = val_ensure_map(r->a, doc, F_status);

	status_int(r->a, st, F_currentNumberScheduled, r->current);
	status_int(r->a, st, F_numberMisscheduled, r->misscheduled);
	status_int(r->a, st, F_desiredNumberScheduled, r->desired);
	status_int(r->a, st, F_numberReady, r->ready);
	status_int(r->a, st, F_observedGeneration, val_int_or(obj_get(r->ds, F_metadata, F_generation), 0));
	status_int(r->a, st, F_updatedNumberScheduled, r->updated);
	status_int(r->a, st, F_numberAvailable, r->available);
	status_int(r->a, st, F_numberUnavailable, r->desired - r->available);
	if (val_equal(st, obj_get(r->ds, F_status)))
		return 0;
	if (client_update_status(r->c->ctx->client, RES(apps_daemonsets), doc, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

static int by_node(const void *x, const void *y)
{
	const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
	int c = sv_cmp(node_of(a), node_of(b));

	return c ? c : sv_cmp(obj_name(a), obj_name(b));
}

/* The first of the pods, which are sorted by node, that is on the node or after it. */
static size_t first_on(const struct drun *r, struct sv node)
{
	size_t lo = 0, hi = r->pods.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sv_cmp(node_of(r->pods.p[mid]), node) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void ds_look(struct drun *r)
{
	const struct val *spec = obj_get(r->ds, F_spec, F_template, F_spec);
	size_t n;
	struct obj **nodes = informer_list(r->c->nodes, r->a, SV(""), &n);
	int64_t surge = 0;

	r->missing = ARENA_ARRAY(r->a, struct obj *, n);
	r->surplus = ARENA_ARRAY(r->a, struct obj *, r->pods.n);
	r->spots = ARENA_ARRAY(r->a, struct spot, n);
	r->tolerations = daemon_tolerations(r->a, spec);
	r->node_name = val_get_str(spec, F_nodeName);
	node_want_parse(r->a, spec, &r->nodes);
	r->min_ready = val_int_or(obj_get(r->ds, F_spec, F_minReadySeconds), 0);
	(void)int_or_percent(obj_get(r->ds, F_spec, F_updateStrategy, F_rollingUpdate, F_maxSurge), 1, true, &surge);
	r->surge = surge > 0;
	if (r->pods.n > 1)
		qsort(r->pods.p, r->pods.n, sizeof(struct obj *), by_node);
	for (size_t i = 0; i < n; i++) {
		size_t from = first_on(r, obj_name(nodes[i])), to = from;

		while (to < r->pods.n && sv_eq(node_of(r->pods.p[to]), obj_name(nodes[i])))
			to++;
		look_at_node(r, nodes[i], r->pods.p + from, to - from);
	}
	for (size_t i = 0; i < r->pods.n; i++) {
		struct obj *pod = r->pods.p[i];
		_cleanup_obj_ struct obj *node = informer_lookup(r->c->nodes, SV(""), node_of(pod));

		/* Made for a node that went before it was bound; bound ones are pod gc's. */
		if (!node && !obj_deleting(pod) && !val_str(obj_get(pod, F_spec, F_nodeName)).n)
			r->surplus[r->n_surplus++] = pod;
	}
}

static int ds_sync(struct drun *r, struct err *err)
{
	_cleanup_(err_release) struct err failure = ERR_INIT;

	ds_look(r);
	if (r->may_act)
		(void)ds_manage(r, &failure);
	if (ds_write_status(r, err) < 0)
		return -1;
	if (failure.reason != ERR_NONE)
		return err_move(err, &failure);
	if (obj_deleting(r->ds))
		return 0;
	return revision_prune(r->a, &r->c->revisions, r->ds, r->hash, r->hash, r->pods.p, r->pods.n, err);
}

static int ds_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct daemonset *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *ds = NULL;
	struct drun r = { .c = c, .a = &a, .key = key };
	struct claim claim = { .client = c->ctx->client,
			       .owner_res = RES(apps_daemonsets),
			       .child_res = RES(core_pods),
			       .children = c->pods };
	struct revision_id rev;
	struct sv ns, name;

	workq_key_split(key, &ns, &name);
	ds = informer_lookup(c->sets, ns, name);
	if (!ds) {
		expectations_forget(c->expect, key);
		return 0;
	}
	r.ds = ds;
	r.may_act = expectations_satisfied(c->expect, key) && !obj_deleting(ds);
	claim.owner = ds;
	claim.selector = selector_from_label_selector(&a, obj_get(ds, F_spec, F_selector), err);
	if (!claim.selector || claim_children(&a, &claim, &r.pods, err) < 0)
		return -1;
	rev = revision_of(&a, ds, obj_get(ds, F_spec, F_template), 0);
	if (!obj_deleting(ds) && revision_sync(&a, &c->revisions, ds, claim.selector, &rev, err) < 0)
		return -1;
	r.hash = rev.hash;
	if (ds_sync(&r, err) < 0)
		return -1;
	ret->after_ns = r.wait_ns;
	if (r.pause_ns && (!ret->after_ns || r.pause_ns < ret->after_ns))
		ret->after_ns = r.pause_ns;
	return 0;
}

/* A node that came, went or changed what it takes concerns every DaemonSet. */
static void node_changed(struct obj *node, void *ctx)
{
	struct daemonset *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **sets = informer_list(c->sets, &a, SV(""), &n);

	(void)node;
	for (size_t i = 0; i < n; i++)
		workq_add_obj(c->q, obj_ns(sets[i]), obj_name(sets[i]));
}

static void ds_node_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_labels(old), obj_labels(neu)) ||
	    !val_equal(obj_get(old, F_spec, F_taints), obj_get(neu, F_spec, F_taints)))
		node_changed(neu, ctx);
}

static bool ds_ready(void *ctx)
{
	struct daemonset *c = ctx;

	return informer_synced(c->sets) && informer_synced(c->pods) && informer_synced(c->nodes) &&
	       informer_synced(c->revisions.informer);
}

static void *ds_start(struct controller_ctx *ctx)
{
	struct daemonset *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->sets = informer_get(ctx->informers, RES(apps_daemonsets), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->revisions =
	    (struct revisions){ ctx->client,
				informer_get(ctx->informers, RES(apps_controllerrevisions), NULL, NULL, NULL),
				RES(apps_daemonsets), LABEL_REVISION };
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	informer_add_index(c->revisions.informer, INDEX_CONTROLLER, index_controller);
	c->expect = expectations_new(ctx->env);
	c->pauses = backoff_new(ctx->env, PAUSE_NS, PAUSE_MAX_NS);
	c->pods_ctl = (struct pod_control){ ctx->client, ctx->recorder, RES(apps_daemonsets) };
	c->q = workq_new(
	    ctx->env,
	    &(struct workq_opts){
		.name = "daemonset-controller", .workers = 2, .reconcile = ds_reconcile, .ctx = c, .ready = ds_ready });
	c->watch = (struct podwatch){ RES(apps_daemonsets), c->sets, c->pods, c->q, c->expect };
	podwatch_start(&c->watch);
	informer_add_handler(c->nodes, &(struct informer_handler){ node_changed, ds_node_updated, node_changed }, c);
	return c;
}

static void ds_stop(void *controller)
{
	struct daemonset *c = controller;

	workq_free(c->q);
	expectations_free(c->expect);
	backoff_free(c->pauses);
	free(c);
}

const struct controller_ops daemonset_controller = { "daemonset-controller", "daemon-set-controller", ds_start,
						     ds_stop };
