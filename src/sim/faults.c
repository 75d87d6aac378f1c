#include "sim/faults.h"
#include "base/list.h"
#include "sim/env_sim.h"

#include <stdlib.h>

struct faulty {
	struct client c;
	struct client *inner;
	struct faults *f;
	struct list adrift;
	bool cut;
};

/* A write that its sender has given up, with all it needs. */
struct adrift {
	struct list link; /* of its client */
	struct faulty *owner;
	struct env_timer *timer;
	struct arena arena;
	const struct resource *res;
	struct sv ns, name;
	const struct val *doc; /* of a create, update or patch */
	enum patch_type type;
	int (*send)(struct adrift *w);
	struct client_write_opts o;
	struct client_delete_opts del;
};

/* Events wait in order; one timer is set for the first. */
struct late {
	struct list link;
	enum watch_type type;
	struct obj *obj; /* NULL: the end */
	enum err_reason why;
	int64_t due_ns;
};

struct faulty_watch {
	struct faulty *owner;
	struct client_watch *inner;
	struct client_watch_cb cb;
	void *ctx;
	struct list queue;
	struct env_timer *timer;
	int64_t last_due_ns, last_rev;
	bool closed, ended;
	bool delivering, awaited; /* whoever closes it waits, and frees it */
	const void *by;		  /* which task delivers */
};

static struct faulty *faulty(struct client *c)
{
	return CONTAINER_OF(c, struct faulty, c);
}

static bool chance(struct faults *f, unsigned of_10000)
{
	return of_10000 && env_random_below(f->env, 10000) < of_10000;
}

/* Mostly short, now and then as long as can be. */
static int64_t some_time(struct faults *f, int64_t max_ns)
{
	int64_t ns = 0;

	if (!max_ns)
		return 0;
	ns = (int64_t)env_random_below(f->env, (uint64_t)max_ns / 20 + 1);
	if (chance(f, 200))
		ns = (int64_t)env_random_below(f->env, (uint64_t)max_ns);
	return ns;
}

static void faulty_way(struct faulty *c)
{
	env_sim_wait(c->f->env, some_time(c->f, c->f->call_max_ns));
}

/* Does anything get through? */
static int faulty_reach(struct faulty *c, struct err *err)
{
	if (c->cut)
		return err_set(err, ERR_UNAVAILABLE, "simulated: no route to the server");
	if (!chance(c->f, c->f->fail))
		return 0;
	c->f->failed++;
	return err_set(err, ERR_UNAVAILABLE, "simulated: connection refused");
}

/* Before a call. */
static int outgoing(struct faulty *c, struct err *err)
{
	if (faulty_reach(c, err) < 0)
		return -1;
	faulty_way(c);
	return c->cut ? err_set(err, ERR_UNAVAILABLE, "simulated: no route to the server") : 0;
}

/* --- writes that arrive after their senders have given up --- */

static void adrift_free(struct adrift *w)
{
	list_del(&w->link);
	(void)env_timer_cancel(w->owner->f->env, w->timer);
	arena_release(&w->arena);
	free(w);
}

static void adrift_arrives(void *ctx)
{
	struct adrift *w = ctx;

	(void)w->send(w); /* whatever becomes of it, nobody hears */
	adrift_free(w);
}

/* Is this one given up? Then it is on its way alone, and err says that no answer came. */
static struct adrift *adrift_new(struct faulty *c, const struct resource *r, struct sv ns, struct sv name,
				 const struct val *doc, struct err *err)
{
	struct adrift *w;

	if (!chance(c->f, c->f->overtake))
		return NULL;
	c->f->overtaken++;
	w = xcalloc(1, sizeof(*w));
	w->owner = c;
	w->res = r;
	w->ns = arena_sv(&w->arena, ns);
	w->name = arena_sv(&w->arena, name);
	w->doc = doc ? val_clone(&w->arena, doc) : NULL;
	list_add_tail(&c->adrift, &w->link);
	w->timer = env_after(c->f->env, c->c.class, some_time(c->f, c->f->adrift_max_ns), adrift_arrives, w);
	err_set(err, ERR_TIMEOUT, "simulated: no answer came in time");
	return w;
}

static void adrift_write(struct adrift *w, const struct client_write_opts *o, int (*send)(struct adrift *w))
{
	w->send = send;
	if (!o)
		return;
	w->o = *o;
	w->o.subresource = o->subresource ? arena_strdup(&w->arena, o->subresource) : NULL;
	w->o.field_manager = o->field_manager ? arena_strdup(&w->arena, o->field_manager) : NULL;
}

static int adrift_create(struct adrift *w)
{
	struct client *c = w->owner->inner;

	return c->ops->create(c, w->res, w->ns, w->name, w->doc, &w->o, NULL, NULL);
}

static int adrift_update(struct adrift *w)
{
	struct client *c = w->owner->inner;

	return c->ops->update(c, w->res, w->ns, w->name, w->doc, &w->o, NULL, NULL);
}

static int adrift_patch(struct adrift *w)
{
	struct client *c = w->owner->inner;

	return c->ops->patch(c, w->res, w->ns, w->name, w->type, w->doc, &w->o, NULL, NULL);
}

static int adrift_del(struct adrift *w)
{
	struct client *c = w->owner->inner;

	return c->ops->del(c, w->res, w->ns, w->name, &w->del, NULL);
}

/* --- calls --- */

/* After a write that succeeded: does its answer come back? */
static int faulty_answer(struct faulty *c, const struct resource *r, bool created, struct obj **ret, struct err *err)
{
	faulty_way(c);
	if (!c->cut && !chance(c->f, c->f->lose))
		return 0;
	c->f->lost++;
	if (created && r->id == R_core_pods) {
		c->f->pod_creates_lost++;
		c->f->pod_create_lost_ns = env_mono_ns(c->f->env);
	}
	if (ret)
		*ret = obj_unref(*ret);
	return err_set(err, ERR_TIMEOUT, "simulated: the answer was lost");
}

static int faulty_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
		      struct err *err)
{
	struct faulty *x = faulty(c);

	if (outgoing(x, err) < 0 || x->inner->ops->get(x->inner, r, ns, name, ret, err) < 0)
		return -1;
	faulty_way(x); /* what comes back is as old */
	return 0;
}

static int faulty_get_doc(struct client *c, struct arena *a, const char *target, const struct val **ret,
			  struct err *err)
{
	struct faulty *x = faulty(c);

	if (outgoing(x, err) < 0 || x->inner->ops->get_doc(x->inner, a, target, ret, err) < 0)
		return -1;
	faulty_way(x);
	return 0;
}

static int faulty_list(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		       struct obj_list *ret, struct err *err)
{
	struct faulty *x = faulty(c);

	if (outgoing(x, err) < 0 || x->inner->ops->list(x->inner, r, ns, o, ret, err) < 0)
		return -1;
	faulty_way(x);
	return 0;
}

static int faulty_create(struct client *c, const struct resource *r, struct sv ns, struct sv name,
			 const struct val *doc, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct faulty *x = faulty(c);
	bool main_resource = !o || !o->subresource;
	struct adrift *w = adrift_new(x, r, ns, name, doc, err);

	if (w) {
		adrift_write(w, o, adrift_create);
		return -1;
	}
	if (outgoing(x, err) < 0 || x->inner->ops->create(x->inner, r, ns, name, doc, o, ret, err) < 0)
		return -1;
	return faulty_answer(x, r, main_resource, ret, err);
}

static int faulty_update(struct client *c, const struct resource *r, struct sv ns, struct sv name,
			 const struct val *doc, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct faulty *x = faulty(c);
	struct adrift *w = adrift_new(x, r, ns, name, doc, err);

	if (w) {
		adrift_write(w, o, adrift_update);
		return -1;
	}
	if (outgoing(x, err) < 0 || x->inner->ops->update(x->inner, r, ns, name, doc, o, ret, err) < 0)
		return -1;
	return faulty_answer(x, r, false, ret, err);
}

static int faulty_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
			const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct faulty *x = faulty(c);
	struct adrift *w = adrift_new(x, r, ns, name, patch, err);

	if (w) {
		w->type = t;
		adrift_write(w, o, adrift_patch);
		return -1;
	}
	if (outgoing(x, err) < 0 || x->inner->ops->patch(x->inner, r, ns, name, t, patch, o, ret, err) < 0)
		return -1;
	return faulty_answer(x, r, false, ret, err);
}

static int faulty_del(struct client *c, const struct resource *r, struct sv ns, struct sv name,
		      const struct client_delete_opts *o, struct err *err)
{
	struct faulty *x = faulty(c);
	struct adrift *w = adrift_new(x, r, ns, name, NULL, err);

	if (w) {
		w->del = o ? *o : CLIENT_DELETE_OPTS;
		w->del.propagation = w->del.propagation ? arena_strdup(&w->arena, w->del.propagation) : NULL;
		w->del.precondition_uid = arena_sv(&w->arena, w->del.precondition_uid);
		w->send = adrift_del;
		return -1;
	}
	if (outgoing(x, err) < 0 || x->inner->ops->del(x->inner, r, ns, name, o, err) < 0)
		return -1;
	return faulty_answer(x, r, false, NULL, err);
}

/* --- watches --- */

static void late_free(struct late *l)
{
	list_del(&l->link);
	obj_unref(l->obj);
	free(l);
}

static void faulty_watch_free(struct faulty_watch *w)
{
	LIST_EACH(&w->queue, it)
		late_free(LIST_ENTRY(it, struct late, link));
	free(w);
}

static void faulty_deliver(void *ctx);

static void set_timer(struct faulty_watch *w)
{
	struct env *env = w->owner->f->env;

	if (!w->timer && !w->delivering && !list_empty(&w->queue))
		w->timer = env_after(env, w->owner->c.class,
				     LIST_ENTRY(w->queue.next, struct late, link)->due_ns - env_mono_ns(env),
				     faulty_deliver, w);
}

static void faulty_hold(struct faulty_watch *w, enum watch_type t, struct obj *o, enum err_reason why)
{
	struct faults *f = w->owner->f;
	struct late *l;
	int64_t delay;

	if (w->ended)
		return;
	delay = some_time(f, f->delay_max_ns);
	l = xcalloc(1, sizeof(*l));
	l->type = t;
	l->obj = obj_ref(o);
	l->why = why;
	l->due_ns = w->last_due_ns = MAX(w->last_due_ns, env_mono_ns(f->env) + delay);
	list_add_tail(&w->queue, &l->link);
	if (!o)
		w->ended = true;
	set_timer(w);
}

static void faulty_deliver(void *ctx)
{
	struct faulty_watch *w = ctx;
	struct faults *f = w->owner->f;
	struct env *env = f->env;

	w->timer = env_timer_cancel(env, w->timer);
	w->delivering = true;
	w->by = env_sim_self(env);
	while (!w->closed && !list_empty(&w->queue)) {
		struct late *l = LIST_ENTRY(w->queue.next, struct late, link);

		if (l->due_ns > env_mono_ns(env))
			break;
		if (l->obj && !w->owner->cut) {
			if (l->type != WATCH_BOOKMARK && obj_rev(l->obj) <= w->last_rev && f->violation)
				f->violation(f->ctx, "a watch went back in revisions");
			w->last_rev = MAX(w->last_rev, obj_rev(l->obj));
			w->cb.event(l->type, l->obj, w->ctx);
			late_free(l);
			continue;
		}
		/* Cut off, the connection is gone and with it all that was on the way. */
		{
			_cleanup_(err_release) struct err err = ERR_INIT;
			enum err_reason why = l->obj ? ERR_UNAVAILABLE : l->why;

			w->ended = true;
			LIST_EACH(&w->queue, it)
				late_free(LIST_ENTRY(it, struct late, link));
			if (why != ERR_NONE)
				err_set(&err, why, "simulated: the connection broke");
			w->cb.end(&err, w->ctx);
		}
	}
	w->delivering = false;
	if (!w->closed)
		set_timer(w);
	else if (!w->awaited)
		faulty_watch_free(w);
}

static void faulty_on_event(enum watch_type t, struct obj *o, void *ctx)
{
	struct faulty_watch *w = ctx;
	struct faults *f = w->owner->f;

	faulty_hold(w, t, o, ERR_NONE);
	if (chance(f, f->break_watch)) {
		f->broken++;
		faulty_hold(w, t, NULL, ERR_UNAVAILABLE);
	}
}

static void faulty_on_end(const struct err *why, void *ctx)
{
	faulty_hold(ctx, WATCH_BOOKMARK, NULL, why ? why->reason : ERR_NONE);
}

static int faulty_watch(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
			const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err)
{
	static const struct client_watch_cb ours = { .event = faulty_on_event, .end = faulty_on_end };
	struct faulty *x = faulty(c);
	struct faulty_watch *w;

	/* To begin one waits for nothing: who calls may hold a lock that its events take (client.h). */
	if (faulty_reach(x, err) < 0)
		return -1;
	w = xcalloc(1, sizeof(*w));
	w->owner = x;
	w->cb = *cb;
	w->ctx = ctx;
	w->last_rev = o ? MAX(o->resource_version, 0) : 0;
	list_init(&w->queue);
	if (x->inner->ops->watch(x->inner, r, ns, o, &ours, w, &w->inner, err) < 0) {
		faulty_watch_free(w);
		return -1;
	}
	*ret = (struct client_watch *)(void *)w;
	return 0;
}

static void faulty_unwatch(struct client *c, struct client_watch *cw)
{
	struct faulty *x = faulty(c);
	struct faulty_watch *w = (struct faulty_watch *)(void *)cw;

	if (w->inner)
		x->inner->ops->unwatch(x->inner, w->inner);
	w->inner = NULL;
	w->timer = env_timer_cancel(x->f->env, w->timer);
	w->closed = true;
	if (!w->delivering) {
		faulty_watch_free(w);
		return;
	}
	/* Of another task: what is under way is waited for. */
	if (w->by != env_sim_self(x->f->env)) {
		w->awaited = true;
		while (w->delivering)
			env_sim_wait(x->f->env, NS_PER_MS);
		faulty_watch_free(w);
	}
}

static void faulty_free(struct client *c)
{
	struct faulty *x = faulty(c);

	LIST_EACH(&x->adrift, it)
		adrift_free(LIST_ENTRY(it, struct adrift, link));
	client_free(x->inner);
	free(x);
}

static const struct client_ops ops = {
	.get = faulty_get,
	.list = faulty_list,
	.create = faulty_create,
	.update = faulty_update,
	.patch = faulty_patch,
	.del = faulty_del,
	.watch = faulty_watch,
	.get_doc = faulty_get_doc,
	.unwatch = faulty_unwatch,
	.free = faulty_free,
};

struct client *faults_client(struct faults *f, struct client *inner_take)
{
	struct faulty *x = xcalloc(1, sizeof(*x));

	x->c = (struct client){
		.ops = &ops, .env = inner_take->env, .class = inner_take->class, .name = inner_take->name
	};
	x->inner = inner_take;
	x->f = f;
	list_init(&x->adrift);
	return &x->c;
}

void faults_cut(struct client *c, bool cut)
{
	faulty(c)->cut = cut;
}
