/* Leader election in virtual time, against the real API server on the mem store.
 *
 * Each candidate lives on an env of its own, laid over the simulator's: it can be paused, when
 * its tasks and timers pile up (a stopped machine), and its calls can be made to fail. A watch
 * of the Lease is the referee: what the API says about who holds it when. */
#include "unit.h"

#include "apiserver/apiserver.h"
#include "apiserver/fence.h"
#include "base/timefmt.h"
#include "base/vec.h"
#include "client/leader.h"
#include "sim/env_sim.h"
#include "store/store.h"

#include <stdlib.h>

#define START_NS (INT64_C(1767225600) * NS_PER_SEC)
#define SEC NS_PER_SEC

/* --- an env that can be paused --- */

struct machine {
	struct env env;
	struct env *sim;
	bool paused;
	int64_t asleep_ns;	/* its clock stood still for so long */
	VEC(struct box *) late; /* due while paused */
};

/* A task or timer of a machine. */
struct box {
	struct machine *m;
	env_fn *fn;
	void *ctx;
	struct env_timer *timer; /* of the simulator; NULL for a task */
	bool started, late;
};

static void box_run(void *ctx)
{
	struct box *b = ctx;
	env_fn *fn = b->fn;
	void *fn_ctx = b->ctx;

	if (b->m->paused) {
		b->late = true;
		vec_push(&b->m->late, b);
		return;
	}
	b->started = true;
	if (!b->timer)
		free(b);
	fn(fn_ctx);
}

static int64_t machine_now(struct env *e)
{
	return env_now_ns(((struct machine *)e)->sim);
}

static int64_t machine_mono(struct env *e)
{
	return env_mono_ns(((struct machine *)e)->sim) - ((struct machine *)e)->asleep_ns;
}

static void machine_random(struct env *e, void *p, size_t n)
{
	env_random(((struct machine *)e)->sim, p, n);
}

static struct box *box_new(struct env *e, env_fn *fn, void *ctx)
{
	struct box *b = xcalloc(1, sizeof(*b));

	b->m = (struct machine *)e;
	b->fn = fn;
	b->ctx = ctx;
	return b;
}

static void machine_post(struct env *e, enum env_class class, env_fn *fn, void *ctx)
{
	env_post(((struct machine *)e)->sim, class, box_run, box_new(e, fn, ctx));
}

static struct env_timer *machine_after(struct env *e, enum env_class class, int64_t delay_ns, env_fn *fn, void *ctx)
{
	struct box *b = box_new(e, fn, ctx);

	b->timer = env_after(b->m->sim, class, delay_ns, box_run, b);
	return (struct env_timer *)b;
}

static bool machine_cancel(struct env *e, struct env_timer *t)
{
	struct box *b = (struct box *)t;
	struct machine *m = (struct machine *)e;
	bool never = !b->started;

	(void)env_timer_stop(m->sim, b->timer);
	for (size_t i = 0; b->late && i < m->late.n; i++) {
		if (m->late.p[i] == b) {
			vec_remove(&m->late, i);
			break;
		}
	}
	free(b);
	return never;
}

static const struct env_ops machine_ops = {
	.now_ns = machine_now,
	.mono_ns = machine_mono,
	.random = machine_random,
	.post = machine_post,
	.after = machine_after,
	.timer_cancel = machine_cancel,
};

static void machine_resume(struct machine *m)
{
	m->paused = false;
	while (m->late.n) {
		struct box *b = m->late.p[0];

		vec_remove(&m->late, 0);
		b->late = false;
		/* A timer's box is run by whoever cancels or not: by its own run. */
		box_run(b);
	}
}

/* --- a candidate --- */

struct candidate {
	struct machine m;
	struct client c; /* over the API server's, on the machine's env */
	struct client *api;
	struct apiserver *server;
	bool cut_off; /* calls fail */
	int writes;
	struct obj *last_write; /* the document it last sent with an update */
	struct client_watch *w;
	const struct client_watch_cb *cb;
	void *l_ctx;
	bool deaf; /* news do not come */
	struct fence fence;
	bool fences, no_fence; /* it takes one; that fails */
	struct leader *l;
	bool working;
	int64_t working_since;
	int started, stopped;
	bool leaving;
	bool holder_at_stop; /* the API still named it when stopped() ran */
};

static struct candidate *of(struct client *c)
{
	return CONTAINER_OF(c, struct candidate, c);
}

static int refuse(struct candidate *k, struct err *err)
{
	return k->cut_off ? err_set(err, ERR_UNAVAILABLE, "cut off") : 0;
}

static int cand_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
		    struct err *err)
{
	return refuse(of(c), err) < 0 ? -1 : client_get(of(c)->api, r, ns, name, ret, err);
}

static int cand_create(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
		       const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	(void)name;
	of(c)->writes++;
	return refuse(of(c), err) < 0 ? -1 : client_create(of(c)->api, r, ns, doc, o, ret, err);
}

static int cand_update(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
		       const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	(void)ns;
	(void)name;
	of(c)->writes++;
	if (refuse(of(c), err) < 0)
		return -1;
	obj_unref(of(c)->last_write);
	of(c)->last_write = obj_new(doc, 0);
	return client_update(of(c)->api, r, doc, o, ret, err);
}

/* News come as tasks of the machine, so that a stopped one hears them later. */
struct news {
	struct candidate *k;
	enum watch_type t;
	struct obj *o;
};

static void news_come(void *ctx)
{
	struct news *n = ctx;

	if (n->k->w)
		n->k->cb->event(n->t, n->o, n->k->l_ctx);
	obj_unref(n->o);
	free(n);
}

static void cand_event(enum watch_type t, struct obj *o, void *ctx)
{
	struct candidate *k = ctx;
	struct news *n;

	if (k->cut_off || k->deaf)
		return;
	n = xcalloc(1, sizeof(*n));
	*n = (struct news){ k, t, obj_ref(o) };
	env_post(&k->m.env, ENV_CONTROL, news_come, n);
}

static void cand_end(const struct err *why, void *ctx)
{
	(void)why;
	(void)ctx;
}

static int cand_watch(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		      const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err)
{
	static const struct client_watch_cb own = { .event = cand_event, .end = cand_end };
	struct candidate *k = of(c);

	if (refuse(k, err) < 0)
		return -1;
	k->cb = cb;
	k->l_ctx = ctx;
	if (client_watch(k->api, r, ns, o, &own, k, &k->w, err) < 0)
		return -1;
	*ret = k->w;
	return 0;
}

static void cand_unwatch(struct client *c, struct client_watch *w)
{
	struct candidate *k = of(c);

	client_unwatch(k->api, w);
	k->w = NULL;
}

static const struct client_ops cand_ops = {
	.get = cand_get, .create = cand_create, .update = cand_update, .watch = cand_watch, .unwatch = cand_unwatch
};

/* --- the rig --- */

struct holding {
	int64_t at_ns, duration_ns;
	char holder[16];
};

struct rig {
	struct env *sim;
	struct store *store;
	struct apiserver *server;
	struct client *admin;
	struct client_watch *w;
	VEC(struct holding) history;
	struct candidate a, b;
};

static void on_event(enum watch_type t, struct obj *o, void *ctx)
{
	struct rig *r = ctx;
	const struct val *spec = obj_get(o, F_spec);
	struct holding h = { .at_ns = env_mono_ns(r->sim),
			     .duration_ns = val_get_int(spec, 0, F_leaseDurationSeconds) * SEC };
	struct sv holder = val_get_str(spec, F_holderIdentity);

	if (t == WATCH_BOOKMARK || t == WATCH_DELETED)
		return;
	memcpy(h.holder, holder.p, MIN(holder.n, sizeof(h.holder) - 1));
	/* FENCE: a holder follows another only when that one gave the lease up or let it run out. */
	if (r->history.n) {
		const struct holding *was = &vec_last(&r->history);

		if (*was->holder && *h.holder && strcmp(was->holder, h.holder) != 0)
			assert_true(h.at_ns >= was->at_ns + was->duration_ns);
	}
	vec_push(&r->history, h);
}

static void on_end(const struct err *why, void *ctx)
{
	(void)why;
	(void)ctx;
}

static const char *holder(struct rig *r)
{
	return r->history.n ? vec_last(&r->history).holder : "";
}

static void on_started(void *ctx)
{
	struct candidate *k = ctx;

	assert_false(k->working);
	k->working = true;
	k->working_since = env_mono_ns(k->m.sim);
	k->started++;
}

static void on_stopped(void *ctx)
{
	struct candidate *k = ctx;
	struct obj *o = NULL;

	assert_true(k->working);
	k->working = false;
	k->stopped++;
	assert_true(k->leaving || !leader_holds(k->l)); /* who leaves has it until that is over */
	if (client_get(k->api, RES(coordination_leases), SV("kube-system"), SV("job"), &o, NULL) == 0)
		k->holder_at_stop = val_is(obj_get(o, F_spec, F_holderIdentity), k->c.name);
	obj_unref(o);
}

static int on_fence(void *ctx, const struct obj *lease)
{
	struct candidate *k = ctx;

	assert_false(k->working);
	if (k->no_fence)
		return -1;
	return fence_take(k->server, &k->fence, lease, NULL);
}

static void stand(struct rig *r, struct candidate *k, const char *identity)
{
	const struct leader_opts o = { .ns = "kube-system",
				       .name = "job",
				       .identity = identity,
				       .started = on_started,
				       .stopped = on_stopped,
				       .fence = k->fences ? on_fence : NULL,
				       .ctx = k };

	k->m.env.ops = &machine_ops;
	k->m.sim = r->sim;
	k->api = r->admin;
	k->server = r->server;
	k->c = (struct client){ .ops = &cand_ops, .env = &k->m.env, .name = identity };
	k->leaving = false;
	k->l = leader_new(&k->c, &o);
}

static void leave(struct candidate *k)
{
	k->leaving = true;
	k->l = leader_free(k->l);
	obj_unref(k->last_write);
	k->last_write = NULL;
}

/* Virtual time in steps, looking at every step whether two believe to hold the lease. */
static void run(struct rig *r, int64_t ns)
{
	for (int64_t left = ns; left > 0; left -= 100 * NS_PER_MS) {
		(void)env_sim_run(r->sim, 100 * NS_PER_MS);
		assert_false(r->a.l && r->b.l && leader_holds(r->a.l) && leader_holds(r->b.l));
	}
}

static int setup(void **state)
{
	static const char *const masters[] = { "system:masters", NULL };
	static const struct client_watch_cb cb = { .event = on_event, .end = on_end };
	const struct client_list_opts only = { .field_selector = "metadata.name=job" };
	struct rig *r = xcalloc(1, sizeof(*r));
	struct err err = ERR_INIT;

	r->sim = env_sim_new(11, START_NS, true);
	r->store = store_mem_new(r->sim);
	r->server = apiserver_new(
	    &(struct apiserver_opts){
		.env = r->sim, .store = r->store, .insecure_in_memory = true, .anonymous_auth = true },
	    &err);
	assert_non_null(r->server);
	r->admin = apiserver_client(r->server, "unit", "unit", masters);
	assert_int_equal(
	    client_watch(r->admin, RES(coordination_leases), SV("kube-system"), &only, &cb, r, &r->w, &err), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	leave(&r->a);
	leave(&r->b);
	client_unwatch(r->admin, r->w);
	client_free(r->admin);
	apiserver_free(r->server);
	store_close(r->store);
	(void)env_sim_run(r->sim, 0);
	(void)env_sim_free(r->sim);
	vec_release(&r->a.m.late);
	vec_release(&r->b.m.late);
	vec_release(&r->history);
	free(r);
	return 0;
}

/* --- tests --- */

static void one_of_two_works(void **state)
{
	struct rig *r = *state;
	int64_t renewals;

	stand(r, &r->a, "a");
	run(r, SEC);
	stand(r, &r->b, "b");
	run(r, 120 * SEC);
	assert_true(r->a.working && leader_holds(r->a.l));
	assert_false(r->b.working || leader_holds(r->b.l));
	assert_int_equal(r->a.started, 1);
	assert_int_equal(r->b.writes, 0);
	assert_string_equal(holder(r), "a");
	/* Renewed every two seconds. */
	renewals = (int64_t)r->history.n;
	assert_in_range(renewals, 58, 62);
}

static void lease_looks_as_client_go_writes_it(void **state)
{
	struct rig *r = *state;
	struct obj *o = NULL;
	const struct val *spec;
	int64_t acquired, renewed;

	stand(r, &r->a, "a");
	run(r, 10 * SEC);
	assert_int_equal(client_get(r->admin, RES(coordination_leases), SV("kube-system"), SV("job"), &o, NULL), 0);
	spec = obj_get(o, F_spec);
	assert_sv(val_get_str(spec, F_holderIdentity), "a");
	assert_int_equal(val_get_int(spec, 0, F_leaseDurationSeconds), 15);
	assert_int_equal(val_get_int(spec, -1, F_leaseTransitions), 0);
	assert_true(time_parse(val_get_str(spec, F_acquireTime), &acquired));
	assert_true(time_parse(val_get_str(spec, F_renewTime), &renewed));
	assert_true(acquired >= START_NS && acquired < START_NS + SEC);
	assert_true(renewed > START_NS + 7 * SEC && renewed <= START_NS + 10 * SEC);
	obj_unref(o);
}

static void leaving_hands_over_at_once(void **state)
{
	struct rig *r = *state;
	struct obj *o = NULL;

	stand(r, &r->a, "a");
	run(r, SEC);
	stand(r, &r->b, "b");
	run(r, 30 * SEC);
	assert_true(r->a.working);
	leave(&r->a);
	assert_int_equal(r->a.stopped, 1);
	/* The work had ended before the lease was given up. */
	assert_true(r->a.holder_at_stop);
	run(r, 200 * NS_PER_MS); /* the news of it, not a retry, nor a lease's duration */
	assert_true(r->b.working && leader_holds(r->b.l));
	assert_int_equal(client_get(r->admin, RES(coordination_leases), SV("kube-system"), SV("job"), &o, NULL), 0);
	assert_int_equal(val_get_int(obj_root(o), 0, F_spec, F_leaseTransitions), 1);
	obj_unref(o);
}

/* A candidate that hears nothing looks as often as one ever did. */
static void leaving_is_seen_without_news(void **state)
{
	struct rig *r = *state;

	stand(r, &r->a, "a");
	run(r, SEC);
	r->b.cut_off = true; /* it has no watch */
	stand(r, &r->b, "b");
	run(r, 30 * SEC);
	r->b.deaf = true;
	r->b.cut_off = false;
	run(r, 30 * SEC);
	leave(&r->a);
	run(r, 16 * SEC);
	assert_true(r->b.working);
}

/* Of a holder that has died the next one knows when it renewed last, and is there when that has run out. */
static void lost_leader_is_followed_when_its_lease_ends(void **state)
{
	struct rig *r = *state;
	int64_t renewed;

	stand(r, &r->a, "a");
	run(r, SEC);
	stand(r, &r->b, "b");
	for (int i = 0; i < 20; i++) {
		struct candidate *was = r->a.working ? &r->a : &r->b, *next = r->a.working ? &r->b : &r->a;

		run(r, 40 * SEC + i * 137 * NS_PER_MS);
		assert_true(was->working);
		was->cut_off = true;
		renewed = vec_last(&r->history).at_ns;
		run(r, 15 * SEC);
		assert_true(next->working);
		assert_true(next->working_since <= renewed + 15 * SEC + 100 * NS_PER_MS);
		was->cut_off = false;
	}
}

/* News that do not come make nobody take what was renewed meanwhile. */
static void late_news_take_nothing(void **state)
{
	struct rig *r = *state;

	stand(r, &r->a, "a");
	run(r, SEC);
	stand(r, &r->b, "b");
	run(r, 5 * SEC);
	r->b.deaf = true;
	run(r, 120 * SEC);
	assert_true(r->a.working);
	assert_int_equal(r->a.stopped, 0);
	assert_int_equal(r->b.writes, 0);
}

static void cut_off_holder_stops_before_another_starts(void **state)
{
	struct rig *r = *state;
	int64_t since;

	stand(r, &r->a, "a");
	run(r, SEC);
	stand(r, &r->b, "b");
	run(r, 20 * SEC);
	assert_true(r->a.working);
	r->a.cut_off = true;
	since = env_mono_ns(r->sim);
	while (r->a.working) {
		run(r, 100 * NS_PER_MS);
		assert_false(r->b.working);
		assert_true(env_mono_ns(r->sim) - since <= 10 * SEC + 100 * NS_PER_MS);
	}
	assert_true(env_mono_ns(r->sim) - since >= 8 * SEC);
	run(r, 12 * SEC);
	assert_true(r->b.working);
	/* It stands again when it is back, and waits. */
	r->a.cut_off = false;
	run(r, 60 * SEC);
	assert_true(r->b.working && !r->a.working);
	leave(&r->b);
	run(r, 5 * SEC);
	assert_true(r->a.working);
	assert_int_equal(r->a.started, 2);
}

static void paused_holder_never_shares_the_lease(void **state)
{
	struct rig *r = *state;
	struct obj *stale;
	struct err err = ERR_INIT;

	stand(r, &r->a, "a");
	run(r, SEC);
	stand(r, &r->b, "b");
	run(r, 20 * SEC);
	assert_true(r->a.working);

	/* It sleeps in the belief that it leads; run() checks that leader_holds() knows better. */
	r->a.m.paused = true;
	stale = obj_ref(r->a.last_write);
	run(r, 40 * SEC);
	assert_true(r->a.working && !leader_holds(r->a.l));
	assert_true(r->b.working && leader_holds(r->b.l));
	assert_string_equal(holder(r), "b");

	/* What it sent before it slept, delivered now, is refused. */
	assert_int_equal(client_update(r->admin, RES(coordination_leases), obj_root(stale), NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_CONFLICT);
	err_release(&err);
	obj_unref(stale);

	/* Awake, it finds out before anything else of its own could run. */
	machine_resume(&r->a.m);
	run(r, 200 * NS_PER_MS);
	assert_false(r->a.working);
	assert_int_equal(r->a.stopped, 1);
	run(r, 60 * SEC);
	assert_string_equal(holder(r), "b");
	assert_true(r->b.working);
	assert_int_equal(r->b.stopped, 0);
}

static void short_pause_keeps_the_lease(void **state)
{
	struct rig *r = *state;

	stand(r, &r->a, "a");
	run(r, SEC);
	stand(r, &r->b, "b");
	run(r, 10 * SEC);
	r->a.m.paused = true;
	run(r, 7 * SEC);
	machine_resume(&r->a.m);
	run(r, 60 * SEC);
	assert_int_equal(r->a.started, 1);
	assert_int_equal(r->a.stopped, 0);
	assert_int_equal(r->b.started, 0);
}

/* Another hand takes the lease over: seen at the next renewal, not at the deadline. */
static void stolen_lease_is_noticed(void **state)
{
	struct rig *r = *state;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *o = NULL;
	struct val *doc;
	char now[TIME_TEXT_MAX];

	stand(r, &r->a, "a");
	run(r, 10 * SEC);
	assert_int_equal(client_get(r->admin, RES(coordination_leases), SV("kube-system"), SV("job"), &o, NULL), 0);
	doc = obj_edit(&a, o);
	time_format(env_now_ns(r->sim), true, now);
	val_set_cstr(&a, val_get_mut(doc, F_spec), F_holderIdentity, "");
	assert_int_equal(client_update(r->admin, RES(coordination_leases), doc, NULL, NULL, NULL), 0);
	obj_unref(o);
	assert_int_equal(client_get(r->admin, RES(coordination_leases), SV("kube-system"), SV("job"), &o, NULL), 0);
	doc = obj_edit(&a, o);
	val_set_cstr(&a, val_get_mut(doc, F_spec), F_holderIdentity, "thief");
	val_set_cstr(&a, val_get_mut(doc, F_spec), F_renewTime, now);
	assert_int_equal(client_update(r->admin, RES(coordination_leases), doc, NULL, NULL, NULL), 0);
	obj_unref(o);
	run(r, 2200 * NS_PER_MS);
	assert_false(r->a.working);
	/* The thief never renews. */
	run(r, 22 * SEC);
	assert_true(r->a.working);
	assert_int_equal(r->a.started, 2);
}

static void deleted_lease_is_made_again(void **state)
{
	struct rig *r = *state;

	stand(r, &r->a, "a");
	run(r, 10 * SEC);
	assert_int_equal(client_delete(r->admin, RES(coordination_leases), SV("kube-system"), SV("job"), NULL, NULL),
			 0);
	run(r, 10 * SEC);
	assert_true(r->a.working && leader_holds(r->a.l));
	assert_int_equal(r->a.started, 1);
	assert_int_equal(r->a.stopped, 0);
	assert_string_equal(holder(r), "a");
}

static bool holds(void *ctx)
{
	return leader_holds(*(struct leader **)ctx);
}

static void refused(int rc, struct err *err)
{
	assert_int_equal(rc, -1);
	assert_int_equal(err->reason, ERR_UNAVAILABLE);
	assert_non_null(strstr(err_msg(err), "leads no more"));
	err_release(err);
}

/* client.h, may_write: whatever it would write, and it may read. */
static void former_leader_writes_nothing(void **state)
{
	const struct resource *maps = RES(core_configmaps);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rig *r = *state;
	static const char *const masters[] = { "system:masters", NULL };
	struct client *c = apiserver_client(r->server, "work", "work", masters);
	struct val *doc = val_new_map(&a), *meta = val_set_map(&a, doc, F_metadata);
	struct err err = ERR_INIT;
	struct obj *o = NULL;

	val_set_cstr(&a, doc, F_apiVersion, "v1");
	val_set_cstr(&a, doc, F_kind, "ConfigMap");
	val_set_cstr(&a, meta, F_name, "m");
	val_set_cstr(&a, meta, F_namespace, "default");
	stand(r, &r->a, "a");
	run(r, 5 * SEC);
	c->may_write_ctx = &r->a.l;
	c->may_write = holds;
	assert_int_equal(client_create(c, maps, SV("default"), doc, NULL, NULL, &err), 0);
	r->a.cut_off = true;
	run(r, 11 * SEC);
	refused(client_create(c, maps, SV("default"), doc, NULL, NULL, &err), &err);
	refused(client_create_sub(c, maps, SV("default"), SV("m"), "x", doc, NULL, &err), &err);
	refused(client_update(c, maps, doc, NULL, NULL, &err), &err);
	refused(client_update_status(c, maps, doc, NULL, &err), &err);
	refused(client_patch(c, maps, SV("default"), SV("m"), PATCH_MERGE, doc, NULL, NULL, &err), &err);
	refused(client_delete(c, maps, SV("default"), SV("m"), NULL, &err), &err);
	assert_int_equal(client_get(c, maps, SV("default"), SV("m"), &o, NULL), 0);
	obj_unref(o);
	r->a.cut_off = false;
	run(r, 10 * SEC);
	assert_int_equal(client_delete(c, maps, SV("default"), SV("m"), NULL, &err), 0);
	client_free(c);
}

static int write_map(struct client *c, const char *name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_map(&a), *meta = val_set_map(&a, doc, F_metadata);

	val_set_cstr(&a, doc, F_apiVersion, "v1");
	val_set_cstr(&a, doc, F_kind, "ConfigMap");
	val_set_cstr(&a, meta, F_name, name);
	val_set_cstr(&a, meta, F_namespace, "default");
	return client_create(c, RES(core_configmaps), SV("default"), doc, NULL, NULL, err);
}

/* A machine whose clock stood still believes for some seconds that it leads: the store knows better. */
static void leader_that_slept_is_fenced(void **state)
{
	static const char *const masters[] = { "system:masters", NULL };
	const struct resource *maps = RES(core_configmaps);
	struct rig *r = *state;
	struct client *ca = apiserver_client(r->server, "work", "unit", masters);
	struct client *cb = apiserver_client(r->server, "work", "unit", masters);
	struct val *doc;
	_cleanup_(arena_release) struct arena arena = ARENA_INIT;
	struct err err = ERR_INIT;
	struct obj *o = NULL;

	r->a.fences = r->b.fences = true;
	fence_init(&r->a.fence, "kube-system", "job");
	fence_init(&r->b.fence, "kube-system", "job");
	fence_client(ca, &r->a.fence);
	fence_client(cb, &r->b.fence);
	stand(r, &r->a, "a");
	run(r, SEC);
	stand(r, &r->b, "b");
	run(r, 20 * SEC);
	assert_int_equal(write_map(ca, "of-a", &err), 0);
	r->a.m.paused = true;
	r->a.m.asleep_ns = 480 * SEC;
	r->a.cut_off = true; /* and its connection is not there yet, when it wakes up */
	(void)env_sim_run(r->sim, 480 * SEC);
	assert_true(r->b.working);
	machine_resume(&r->a.m);
	assert_true(leader_holds(r->a.l)); /* as far as it knows */
	refused(write_map(ca, "twice", &err), &err);
	assert_int_equal(client_get(ca, maps, SV("default"), SV("of-a"), &o, NULL), 0);
	doc = obj_edit(&arena, o);
	val_set_bool(&arena, doc, F_immutable, true);
	refused(client_update(ca, maps, doc, NULL, NULL, &err), &err);
	refused(client_delete(ca, maps, SV("default"), SV("of-a"), NULL, &err), &err);
	obj_unref(o);
	assert_int_equal(write_map(cb, "of-b", &err), 0);
	r->a.cut_off = false;
	(void)env_sim_run(r->sim, 5 * SEC);
	assert_false(r->a.working);
	assert_int_equal(write_map(cb, "of-b-too", &err), 0);
	/* It leads once more, and writes again. */
	leave(&r->b);
	run(r, 5 * SEC);
	assert_true(r->a.working);
	assert_int_equal(write_map(ca, "of-a-again", &err), 0);
	refused(write_map(cb, "late", &err), &err);
	client_free(ca);
	client_free(cb);
}

/* Won, then asleep before the fence: by then the lease is another's, and the fence stays his. */
static void fence_goes_with_the_lease(void **state)
{
	struct rig *r = *state;
	struct obj *won = NULL;
	struct err err = ERR_INIT;
	int64_t rev;

	r->a.fences = true;
	r->a.no_fence = true;
	fence_init(&r->a.fence, "kube-system", "job");
	stand(r, &r->a, "a");
	run(r, 7 * SEC);
	assert_false(r->a.working || leader_holds(r->a.l)); /* it has the lease alone */
	assert_string_equal(holder(r), "a");
	assert_in_range(r->a.writes, 2, 8);
	assert_int_equal(client_get(r->admin, RES(coordination_leases), SV("kube-system"), SV("job"), &won, NULL), 0);
	r->a.no_fence = false;
	run(r, 5 * SEC);
	assert_true(r->a.working);
	rev = atomic_load(&r->a.fence.rev);
	assert_true(rev > 0);
	assert_int_equal(fence_take(r->server, &r->a.fence, won, &err), -1);
	assert_int_equal(err.reason, ERR_CONFLICT);
	assert_int_equal(atomic_load(&r->a.fence.rev), rev);
	err_release(&err);
	obj_unref(won);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_of_two_works, setup, teardown),
		cmocka_unit_test_setup_teardown(lease_looks_as_client_go_writes_it, setup, teardown),
		cmocka_unit_test_setup_teardown(leaving_hands_over_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(leaving_is_seen_without_news, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_leader_is_followed_when_its_lease_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(late_news_take_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(leader_that_slept_is_fenced, setup, teardown),
		cmocka_unit_test_setup_teardown(fence_goes_with_the_lease, setup, teardown),
		cmocka_unit_test_setup_teardown(cut_off_holder_stops_before_another_starts, setup, teardown),
		cmocka_unit_test_setup_teardown(paused_holder_never_shares_the_lease, setup, teardown),
		cmocka_unit_test_setup_teardown(short_pause_keeps_the_lease, setup, teardown),
		cmocka_unit_test_setup_teardown(stolen_lease_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(deleted_lease_is_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(former_leader_writes_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("leader", tests, NULL, NULL);
}
