/* See world.h. */
#include "world.h"

#include "base/timefmt.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdlib.h>

#define STEP_NS (100 * NS_PER_MS)
#define NAMES_MAX 64

/* controllers_opts.disable is the opposite of a list of what to run. */
static const char **all_but(const char *const *only)
{
	const char **d = xcalloc(NAMES_MAX, sizeof(*d));
	size_t n = 0;

	for (const struct controller_ops *const *t = controller_table; *t; t++) {
		bool wanted = false;

		for (const char *const *o = only; *o; o++)
			wanted |= strcmp(*o, (*t)->name) == 0;
		if (!wanted)
			d[n++] = (*t)->name;
	}
	return d;
}

static bool synced(void *ctx)
{
	return controllers_synced(((struct world *)ctx)->c);
}

static void world_start(struct world *w, const char *const *only, const struct controllers_opts *opts)
{
	struct controllers_opts o = opts ? *opts : (struct controllers_opts){ 0 };
	const char **off = all_but(only);

	o.env = w->env;
	o.client = fake_api_client(w->api);
	if (!o.cluster_cidr)
		o.cluster_cidr = "10.42.0.0/16";
	o.disable = off;
	w->c = controllers_new(&o);
	free(off);
}

struct world *world_new_opts(uint64_t seed, const char *const *only, const struct controllers_opts *opts)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->env = env_sim_new(seed, INT64_C(1767225600) * NS_PER_SEC, true);
	w->api = fake_api_new(w->env);
	w->start_ns = NS_PER_SEC;
	world_start(w, only, opts);
	assert_true(env_sim_run_until(w->env, 10 * NS_PER_SEC, synced, w));
	return w;
}

struct world *world_new(uint64_t seed, const char *const *only)
{
	return world_new_opts(seed, only, NULL);
}

void world_restart_opts(struct world *w, const char *const *only, const struct controllers_opts *o)
{
	controllers_free(w->c);
	world_start(w, only, o);
}

void world_restart(struct world *w, const char *const *only)
{
	world_restart_opts(w, only, NULL);
}

void world_free(struct world *w)
{
	controllers_free(w->c);
	env_sim_run(w->env, 700 * NS_PER_SEC); /* late tasks drop their references */
	fake_api_free(w->api);
	env_sim_free(w->env);
	free(w);
}

/* The one that a pod of a DaemonSet asks for; to any other it does not matter. */
static struct sv node_for(const struct obj *pod)
{
	const struct val *terms = obj_get(pod, F_spec, F_affinity, F_nodeAffinity,
					  F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms);
	const struct val *field = val_at(val_get(val_at(terms, 0), F_matchFields), 0);

	return field ? val_str(val_at(val_get(field, F_values), 0)) : SV("node-0");
}

static void start_pod(struct world *w, struct obj *pod)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *doc = obj_edit(&a, pod), *st;
	struct client *c = fake_api_client(w->api);
	struct obj *bound = NULL;
	int64_t now = env_now_ns(w->env);

	if (!val_str(obj_get(pod, F_spec, F_nodeName)).n) {
		val_set_str(&a, val_ensure_map(&a, doc, F_spec), F_nodeName, node_for(pod));
		assert_int_equal(client_update(c, RES(core_pods), doc, NULL, &bound, &err), 0);
		doc = obj_edit(&a, obj_link(&a, bound));
	}
	st = val_ensure_map(&a, doc, F_status);
	val_set_cstr(&a, st, F_phase, "Running");
	val_set_strf(&a, st, F_podIP, "10.42.0.%d", (int)(obj_rev(pod) % 250) + 1);
	condition_set(&a, st, &(struct condition){ .type = "Ready", .status = "True", .reason = "" }, now);
	assert_int_equal(client_update_status(c, RES(core_pods), doc, NULL, &err), 0);
}

static bool broken(struct world *w, struct obj *pod)
{
	if (!w->broken_image)
		return false;
	VAL_EACH(obj_get(pod, F_spec, F_containers), c)
		if (val_is(val_member(c, F_image), w->broken_image))
			return true;
	return false;
}

static void kubelets(struct world *w)
{
	struct client *c = fake_api_client(w->api);
	struct obj_list l = { 0 };

	if (w->no_kubelet)
		return;
	assert_int_equal(client_list(c, RES(core_pods), SV(""), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++) {
		struct obj *pod = l.items[i];
		int64_t made = 0;

		if (obj_deleting(pod)) {
			if (!val_len(obj_get(pod, F_metadata, F_finalizers))) {
				_cleanup_free_ char *ns = xstrndup(obj_ns(pod).p, obj_ns(pod).n);
				_cleanup_free_ char *name = xstrndup(obj_name(pod).p, obj_name(pod).n);

				fake_api_kill(w->api, ns, name);
			}
			continue;
		}
		if (pod_is_terminal(pod) || pod_is_ready(pod) || w->start_ns < 0 || broken(w, pod))
			continue;
		time_get(obj_get(pod, F_metadata, F_creationTimestamp), &made);
		if (env_now_ns(w->env) - made >= w->start_ns)
			start_pod(w, pod);
	}
	obj_list_release(&l);
}

static void step(struct world *w)
{
	env_sim_run(w->env, STEP_NS);
	if (w->check)
		w->check(w);
	kubelets(w);
	if (w->check)
		w->check(w);
}

void world_run(struct world *w, int64_t ns)
{
	for (int64_t t = 0; t < ns; t += STEP_NS)
		step(w);
}

void world_until(struct world *w, int64_t limit_ns, bool (*cond)(struct world *w))
{
	for (int64_t t = 0; t < limit_ns && !cond(w); t += STEP_NS)
		step(w);
	assert_true(cond(w));
}

size_t world_pods(struct world *w, const char *ns, bool ready_only)
{
	struct obj_list l = { 0 };
	size_t n = 0;

	assert_int_equal(client_list(fake_api_client(w->api), RES(core_pods), sv_from(ns), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++)
		n += !obj_deleting(l.items[i]) && (!ready_only || pod_is_ready(l.items[i]));
	obj_list_release(&l);
	return n;
}

int64_t world_int(struct world *w, const struct resource *r, const char *ns, const char *name, enum sym a, enum sym b)
{
	_cleanup_obj_ struct obj *o = fake_api_get(w->api, r, ns, name);

	return o ? val_int_or(obj_get(o, a, b), 0) : -1;
}

struct sv world_event(struct world *w, struct arena *a, const char *reason)
{
	struct obj_list l = { 0 };
	struct sv msg = SV("");

	assert_int_equal(client_list(fake_api_client(w->api), RES(core_events), SV(""), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n && !msg.n; i++)
		if (val_is(obj_get(l.items[i], F_reason), reason))
			msg = arena_sv(a, val_str(obj_get(l.items[i], F_message)));
	obj_list_release(&l);
	return msg;
}
