/* Rolling update of a Deployment while nodes fail, lose their network and messages go astray.
 *
 *	boot ─▶ version 1 everywhere ─▶ faults on, image changed ─▶ ... chaos ... ─▶ faults off ─▶ converged?
 *
 * Checked at every change of a Pod, on what is stored (not on what some component believes):
 *	- ready Pods never fewer than replicas - maxUnavailable; Pods of a node that failed are
 *	  excused for as long as detecting it, evicting and replacing them may take;
 *	- the sizes of all ReplicaSets never sum up to more than replicas + maxSurge;
 *	- a ReplicaSet never has more Pods (terminating ones aside) than its size asked for a moment
 *	  ago; one more for each creation whose answer was lost: it cannot know better;
 *	- a Pod's node never changes once it is set;
 * and at the end that every Pod is a ready one of the new version on a live node. That revisions
 * of a watch only grow is checked by faults.c on every watch. */
#include "base/strmap.h"
#include "base/vec.h"
#include "codec/json.h"
#include "sim/cluster.h"
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#define PODS "/registry/pods/default/"
#define SETS "/registry/replicasets/default/"
#define TOLERATION_S 60
/* 50 s until a node counts as lost, the toleration, and time to schedule, start and become ready. */
#define EXCUSE_NS ((50 + 5 + TOLERATION_S + 120) * NS_PER_SEC)
#define EXCUSE_AFTER_RETURN_NS (90 * NS_PER_SEC)
#define LOST_CREATE_NS (60 * NS_PER_SEC)
#define SET_SETTLES_NS (30 * NS_PER_SEC) /* for a ReplicaSet to follow its size */
#define CHAOS_NS (300 * NS_PER_SEC)
#define CHAOS_STEP_NS (3 * NS_PER_SEC)
#define STAY_DEAD 2 /* nodes that never come back */

struct set_size {
	int64_t since_ns;
	int n;
};

struct set_state {
	VEC(struct set_size) sizes; /* all it ever had, oldest first */
	int wanted;		    /* its Pods, without terminating ones */
};

struct pod_state {
	struct set_state *set;
	int node;
	bool ready, wanted;
	char *image, *node_name;
};

struct node_state {
	int lost; /* wanted Pods it had when it failed */
	int64_t excused_until_ns, back_ns;
	bool failed, stays;
};

struct rollout {
	struct cluster *c;
	int replicas, min_ready, max_size;
	struct strmap pods; /* name -> struct pod_state * */
	struct strmap sets; /* uid -> struct set_state * */
	int ready, wanted;
	struct node_state *nodes;
	bool checking, chaos;
	int64_t chaos_end_ns;
	struct env_timer *timer;
	struct scenario_result *result;
	int fewest_ready, most_wanted, power_cuts, net_cuts;
};

static void violation(struct rollout *r, const char *what)
{
	if (r->result->violations++ == 0)
		snprintf(r->result->first_violation, sizeof(r->result->first_violation), "%.200s at %.3f s", what,
			 (double)env_mono_ns(r->c->env) / 1e9);
	event_log_note(r->c->log, "VIOLATION %s", what);
}

static void on_violation(void *ctx, const char *what)
{
	violation(ctx, what);
}

/* --- the invariants --- */

static int excused(const struct rollout *r)
{
	int64_t now = env_mono_ns(r->c->env);
	int n = 0;

	for (int i = 0; i < r->c->n_nodes; i++)
		if (r->nodes[i].excused_until_ns > now)
			n += r->nodes[i].lost;
	return n;
}

/* The largest size since then; the one that held at that moment counts. */
static int recent_most(const struct set_state *set, int64_t since_ns)
{
	int most = 0;

	for (size_t i = set->sizes.n; i-- > 0;) {
		most = MAX(most, set->sizes.p[i].n);
		if (set->sizes.p[i].since_ns <= since_ns)
			break;
	}
	return most;
}

static void check(struct rollout *r)
{
	const struct faults *f = &r->c->faults;
	int slack = 0, size = 0;
	char text[128];

	if (!r->checking)
		return;
	r->fewest_ready = MIN(r->fewest_ready, r->ready);
	r->most_wanted = MAX(r->most_wanted, r->wanted);
	if (r->ready < r->min_ready - excused(r)) {
		snprintf(text, sizeof(text), "%d Pods ready, must be %d less %d excused", r->ready, r->min_ready,
			 excused(r));
		violation(r, text);
	}
	if (f->pod_create_lost_ns && env_mono_ns(r->c->env) - f->pod_create_lost_ns < LOST_CREATE_NS)
		slack = (int)f->pod_creates_lost;
	STRMAP_EACH(&r->sets, e) {
		const struct set_state *set = e->value;
		int most = recent_most(set, env_mono_ns(r->c->env) - SET_SETTLES_NS);

		size += vec_last(&set->sizes).n;
		if (set->wanted <= most + slack)
			continue;
		snprintf(text, sizeof(text), "a ReplicaSet has %d Pods, asked for %d (and %d unanswered)", set->wanted,
			 most, slack);
		violation(r, text);
	}
	if (size > r->max_size) {
		snprintf(text, sizeof(text), "ReplicaSets sum up to %d, at most %d", size, r->max_size);
		violation(r, text);
	}
}

static void scenario_count(struct rollout *r, const struct pod_state *p, int sign)
{
	r->wanted += p->wanted ? sign : 0;
	if (p->set)
		p->set->wanted += p->wanted ? sign : 0;
	r->ready += p->ready && p->wanted ? sign : 0;
}

static void pod_free(void *v)
{
	struct pod_state *p = v;

	free(p->image);
	free(p->node_name);
	free(p);
}

static struct set_state *scenario_set_of(struct rollout *r, struct sv uid)
{
	void **slot = strmap_slot(&r->sets, uid);

	if (!*slot) {
		struct set_state *set = xcalloc(1, sizeof(*set));

		vec_push(&set->sizes, ((struct set_size){ 0, 0 }));
		*slot = set;
	}
	return *slot;
}

static void scenario_set_free(void *v)
{
	struct set_state *set = v;

	vec_release(&set->sizes);
	free(set);
}

static void on_set_change(struct rollout *r, const struct store_change *ch)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *doc = json_decode(&a, ch->kv.deleted ? ch->prev->value : ch->kv.value, NULL, NULL);
	struct set_state *set = scenario_set_of(r, val_get_str(doc, F_metadata, F_uid));
	int n = ch->kv.deleted ? 0 : (int)val_get_int(doc, 0, F_spec, F_replicas);

	if (n != vec_last(&set->sizes).n)
		vec_push(&set->sizes, ((struct set_size){ env_mono_ns(r->c->env), n }));
	check(r);
}

static void read_pod(struct rollout *r, struct pod_state *p, const struct val *doc)
{
	struct sv node = val_get_str(doc, F_spec, F_nodeName);
	const struct val *phase = val_get(doc, F_status, F_phase);

	if (p->node_name && !sv_is(node, p->node_name))
		violation(r, "a Pod moved from one node to another");
	if (!p->node_name && node.n)
		p->node_name = xstrndup(node.p, node.n);
	p->node = node.n ? cluster_node_index(r->c, node) : -1;
	p->wanted =
	    !val_get(doc, F_metadata, F_deletionTimestamp) && !val_is(phase, "Failed") && !val_is(phase, "Succeeded");
	VAL_EACH(val_get(doc, F_metadata, F_ownerReferences), owner)
		if (val_get_bool(owner, F_controller))
			p->set = scenario_set_of(r, val_get_str(owner, F_uid));
	p->ready = false;
	VAL_EACH(val_get(doc, F_status, F_conditions), cond)
		if (val_is(val_get(cond, F_type), "Ready"))
			p->ready = val_is(val_get(cond, F_status), "True");
	free(p->image);
	{
		struct sv image = val_get_str(val_at(val_get(doc, F_spec, F_containers), 0), F_image);

		p->image = xstrndup(image.p, image.n);
	}
}

static void scenario_on_change(const struct store_change *ch, void *ctx)
{
	struct rollout *r = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pod_state *p;
	const struct val *doc;
	struct sv name;

	if (sv_starts(ch->kv.key, SV(SETS)))
		on_set_change(r, ch);
	if (!sv_starts(ch->kv.key, SV(PODS)))
		return;
	name = sv_sub(ch->kv.key, sizeof(PODS) - 1, ch->kv.key.n);
	p = strmap_get(&r->pods, name);
	if (p)
		scenario_count(r, p, -1);
	if (ch->kv.deleted || !ch->prev) {
		/* Gone, or a new one of that name. */
		strmap_del(&r->pods, name);
		if (p)
			pod_free(p);
		p = NULL;
	}
	if (!ch->kv.deleted) {
		doc = json_decode(&a, ch->kv.value, NULL, NULL);
		if (!p) {
			p = xcalloc(1, sizeof(*p));
			strmap_set(&r->pods, name, p);
		}
		read_pod(r, p, doc);
		scenario_count(r, p, 1);
	}
	check(r);
}

/* --- chaos --- */

static void node_fails(struct rollout *r, int i)
{
	struct node_state *n = &r->nodes[i];

	n->failed = true;
	n->lost = 0;
	STRMAP_EACH(&r->pods, e) {
		const struct pod_state *p = e->value;

		n->lost += p->node == i && p->wanted;
	}
	n->excused_until_ns = env_mono_ns(r->c->env) + EXCUSE_NS;
}

static void node_returns(struct rollout *r, int i)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct node_state *n = &r->nodes[i];

	n->failed = false;
	n->excused_until_ns = MAX(n->excused_until_ns, env_mono_ns(r->c->env) + EXCUSE_AFTER_RETURN_NS);
	cluster_node_cut(r->c, i, false);
	if (cluster_node_on(r->c, i, &err) < 0)
		violation(r, err_msg(&err));
}

static int n_failed(const struct rollout *r)
{
	int n = 0;

	for (int i = 0; i < r->c->n_nodes; i++)
		n += r->nodes[i].failed;
	return n;
}

/* Every few seconds: somebody may come back, somebody may fail; never more than one in twenty. */
static void chaos(void *ctx)
{
	struct rollout *r = ctx;
	struct env *env = r->c->env;
	int64_t now = env_mono_ns(env);

	r->timer = env_timer_cancel(env, r->timer);
	check(r); /* excuses end without an event */
	for (int i = 0; i < r->c->n_nodes; i++)
		if (r->nodes[i].failed && !r->nodes[i].stays && r->nodes[i].back_ns <= now)
			node_returns(r, i);
	if (r->chaos && now < r->chaos_end_ns && n_failed(r) < MAX(r->c->n_nodes / 20, 1) &&
	    env_random_below(env, 3) == 0) {
		int i = (int)env_random_below(env, (uint64_t)r->c->n_nodes);
		/* Some are back before anybody noticed, some long after. */
		int64_t away = (int64_t)(1 + env_random_below(env, env_random_below(env, 2) ? 30 : 200)) * NS_PER_SEC;

		if (!r->nodes[i].failed) {
			node_fails(r, i);
			r->nodes[i].back_ns = now + away;
			if (env_random_below(env, 3)) {
				r->power_cuts++;
				cluster_node_off(r->c, i);
			} else {
				r->net_cuts++;
				cluster_node_cut(r->c, i, true);
			}
		}
	}
	r->timer = env_after(env, ENV_CONTROL, CHAOS_STEP_NS, chaos, r);
}

static void chaos_begins(struct rollout *r)
{
	struct faults *f = &r->c->faults;

	f->fail = 100;
	f->lose = 50;
	f->break_watch = 5;
	f->delay_max_ns = 2 * NS_PER_SEC;
	r->chaos = true;
	r->chaos_end_ns = env_mono_ns(r->c->env) + CHAOS_NS;
	for (int i = 0; i < STAY_DEAD && i < r->c->n_nodes / 10; i++) {
		int k = (int)env_random_below(r->c->env, (uint64_t)r->c->n_nodes);

		if (r->nodes[k].failed)
			continue;
		r->nodes[k].stays = true;
		node_fails(r, k);
		r->power_cuts++;
		cluster_node_off(r->c, k);
	}
	r->timer = env_after(r->c->env, ENV_CONTROL, CHAOS_STEP_NS, chaos, r);
}

/* Nodes that stay dead are removed, as a cloud's node controller does: only then is it known that
 * their Pods do not run any more. */
static int chaos_ends(struct rollout *r, struct err *err)
{
	struct faults *f = &r->c->faults;

	r->chaos = false;
	f->fail = f->lose = f->break_watch = 0;
	f->delay_max_ns = 0;
	for (int i = 0; i < r->c->n_nodes; i++) {
		if (r->nodes[i].stays) {
			if (client_delete(r->c->client, RES(core_nodes), SV(""), sv_from(r->c->nodes[i].name), NULL,
					  err) < 0)
				return -1;
		} else if (r->nodes[i].failed) {
			node_returns(r, i);
		}
	}
	return 0;
}

/* --- the story --- */

static int ready_nodes(struct rollout *r)
{
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	int n = 0;

	if (client_list(r->c->client, RES(core_nodes), SV(""), NULL, &l, NULL) < 0)
		return 0;
	for (size_t i = 0; i < l.n; i++) {
		bool ok = val_len(obj_get(l.items[i], F_spec, F_taints)) == 0;

		VAL_EACH(obj_get(l.items[i], F_status, F_conditions), cond)
			if (val_is(val_get(cond, F_type), "Ready") && !val_is(val_get(cond, F_status), "True"))
				ok = false;
		n += ok;
	}
	return n;
}

static bool wait_for(struct rollout *r, int64_t limit_ns, bool (*done)(struct rollout *r))
{
	int64_t until = env_mono_ns(r->c->env) + limit_ns;

	while (!done(r)) {
		if (env_mono_ns(r->c->env) >= until)
			return false;
		cluster_run(r->c, NS_PER_SEC);
	}
	return true;
}

static bool booted(struct rollout *r)
{
	_cleanup_obj_ struct obj *sa = NULL;

	return ready_nodes(r) == r->c->n_nodes &&
	       client_get(r->c->client, RES(core_serviceaccounts), SV("default"), SV("default"), &sa, NULL) == 0;
}

static bool deployed(struct rollout *r)
{
	_cleanup_obj_ struct obj *o = NULL;
	const struct val *st;

	if (client_get(r->c->client, RES(apps_deployments), SV("default"), SV("web"), &o, NULL) < 0)
		return false;
	st = obj_get(o, F_status);
	return val_get_int(st, 0, F_observedGeneration) == val_int_or(obj_get(o, F_metadata, F_generation), -1) &&
	       val_get_int(st, 0, F_updatedReplicas) == r->replicas && val_get_int(st, 0, F_replicas) == r->replicas &&
	       val_get_int(st, 0, F_availableReplicas) == r->replicas;
}

static bool converged(struct rollout *r)
{
	size_t good = 0;

	if (!deployed(r))
		return false;
	STRMAP_EACH(&r->pods, e) {
		const struct pod_state *p = e->value;

		good += p->ready && p->wanted && p->node >= 0 && cluster_node_alive(r->c, p->node) &&
			strcmp(p->image, "web:2") == 0;
	}
	return good == (size_t)r->replicas && r->pods.n == good;
}

static int create_deployment(struct rollout *r, struct err *err)
{
	_cleanup_free_ char *text = xasprintf(
	    "{\"apiVersion\":\"apps/"
	    "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%d,"
	    "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"strategy\":{\"rollingUpdate\":{\"maxSurge\":\"10%%\","
	    "\"maxUnavailable\":\"10%%\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{"
	    "\"terminationGracePeriodSeconds\":5,\"tolerations\":[{\"key\":\"node.kubernetes.io/"
	    "not-ready\",\"operator\":"
	    "\"Exists\",\"effect\":\"NoExecute\",\"tolerationSeconds\":%d},{\"key\":\"node.kubernetes.io/unreachable\","
	    "\"operator\":\"Exists\",\"effect\":\"NoExecute\",\"tolerationSeconds\":%d}],\"containers\":[{\"name\":"
	    "\"web\","
	    "\"image\":\"web:1\",\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}},"
	    "\"readinessProbe\":{"
	    "\"exec\":{\"command\":[\"true\"]},\"initialDelaySeconds\":2,\"periodSeconds\":5}}]}}}}",
	    r->replicas, TOLERATION_S, TOLERATION_S);

	return cluster_create(r->c, RES(apps_deployments), "default", text, err);
}

static int change_image(struct rollout *r, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *patch = json_decode(
	    &a, SV("{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":\"web:2\"}]}}}}"),
	    NULL, NULL);

	return client_patch(r->c->client, RES(apps_deployments), SV("default"), SV("web"), PATCH_STRATEGIC, patch, NULL,
			    NULL, err);
}

static int play(struct rollout *r, struct err *err)
{
	if (!wait_for(r, 120 * NS_PER_SEC, booted)) {
		violation(r, "the nodes did not become ready");
		return 0;
	}
	if (create_deployment(r, err) < 0)
		return -1;
	if (!wait_for(r, 600 * NS_PER_SEC, deployed)) {
		violation(r, "the first version did not become available");
		return 0;
	}
	r->fewest_ready = r->most_wanted = r->replicas;
	r->checking = true;
	chaos_begins(r);
	if (change_image(r, err) < 0)
		return -1;
	cluster_run(r->c, CHAOS_NS);
	if (chaos_ends(r, err) < 0)
		return -1;
	if (!wait_for(r, 1800 * NS_PER_SEC, converged))
		violation(r, "the cluster did not converge");
	r->checking = false;
	return 0;
}

static int scenario_run(const struct scenario_opts *o, struct scenario_result *ret, struct err *err)
{
	struct rollout r = { .replicas = o->pods, .result = ret };
	int rc;

	*ret = (struct scenario_result){ 0 };
	r.min_ready = r.replicas - r.replicas / 10;
	r.max_size = r.replicas + (r.replicas + 9) / 10;
	r.c = cluster_new(&(struct cluster_opts){ .seed = o->seed, .nodes = o->nodes, .log = o->log }, err);
	if (!r.c)
		return -1;
	r.nodes = xcalloc((size_t)r.c->n_nodes, sizeof(*r.nodes));
	r.c->faults.violation = on_violation;
	r.c->faults.ctx = &r;
	event_log_observe(r.c->log, scenario_on_change, &r);
	rc = play(&r, err);
	r.timer = env_timer_cancel(r.c->env, r.timer);
	ret->hash = event_log_hash(r.c->log);
	ret->changes = event_log_changes(r.c->log);
	ret->virtual_ns = env_mono_ns(r.c->env);
	ret->faults =
	    r.c->faults.failed + r.c->faults.lost + r.c->faults.broken + (unsigned)r.power_cuts + (unsigned)r.net_cuts;
	snprintf(ret->summary, sizeof(ret->summary),
		 "%d to %d Pods ready and up to %d wanted; %d power and %d network failures, %" PRIu64
		 " calls refused, %" PRIu64 " answers lost, %" PRIu64 " watches broken",
		 r.fewest_ready, r.replicas, r.most_wanted, r.power_cuts, r.net_cuts, r.c->faults.failed,
		 r.c->faults.lost, r.c->faults.broken);
	r.checking = false;
	r.c->faults.violation = NULL;
	r.c = cluster_free(r.c);
	strmap_release_with(&r.pods, pod_free);
	strmap_release_with(&r.sets, scenario_set_free);
	free(r.nodes);
	return rc;
}

const struct scenario scenario_rollout = {
	.name = "rollout",
	.doc = "rolling update of a Deployment while nodes fail and messages are delayed or lost",
	.nodes = 100,
	.pods = 500,
	.run = scenario_run,
};
