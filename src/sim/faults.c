#include "sim/faults.h"
#include "base/list.h"

#include <stdlib.h>

struct faulty {
	struct client c;
	struct client *inner;
	struct faults *f;
	bool cut;
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
	bool delivering, closed, ended;
};

static struct faulty *faulty(struct client *c)
{
	return CONTAINER_OF(c, struct faulty, c);
}

static bool chance(struct faults *f, unsigned of_10000)
{
	return of_10000 && env_random_below(f->env, 10000) < of_10000;
}

/* Before a call: does it get through? */
static int outgoing(struct faulty *c, struct err *err)
{
	if (c->cut)
		return err_set(err, ERR_UNAVAILABLE, "simulated: no route to the server");
	if (!chance(c->f, c->f->fail))
		return 0;
	c->f->failed++;
	return err_set(err, ERR_UNAVAILABLE, "simulated: connection refused");
}

/* After a write that succeeded: does its answer come back? */
static int faulty_answer(struct faulty *c, const struct resource *r, bool created, struct obj **ret, struct err *err)
{
	if (!chance(c->f, c->f->lose))
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

	return outgoing(x, err) < 0 ? -1 : x->inner->ops->get(x->inner, r, ns, name, ret, err);
}

static int faulty_list(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		       struct obj_list *ret, struct err *err)
{
	struct faulty *x = faulty(c);

	return outgoing(x, err) < 0 ? -1 : x->inner->ops->list(x->inner, r, ns, o, ret, err);
}

static int faulty_create(struct client *c, const struct resource *r, struct sv ns, struct sv name,
			 const struct val *doc, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct faulty *x = faulty(c);
	bool main_resource = !o || !o->subresource;

	if (outgoing(x, err) < 0 || x->inner->ops->create(x->inner, r, ns, name, doc, o, ret, err) < 0)
		return -1;
	return faulty_answer(x, r, main_resource, ret, err);
}

static int faulty_update(struct client *c, const struct resource *r, struct sv ns, struct sv name,
			 const struct val *doc, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct faulty *x = faulty(c);

	if (outgoing(x, err) < 0 || x->inner->ops->update(x->inner, r, ns, name, doc, o, ret, err) < 0)
		return -1;
	return faulty_answer(x, r, false, ret, err);
}

static int faulty_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
			const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct faulty *x = faulty(c);

	if (outgoing(x, err) < 0 || x->inner->ops->patch(x->inner, r, ns, name, t, patch, o, ret, err) < 0)
		return -1;
	return faulty_answer(x, r, false, ret, err);
}

static int faulty_del(struct client *c, const struct resource *r, struct sv ns, struct sv name,
		      const struct client_delete_opts *o, struct err *err)
{
	struct faulty *x = faulty(c);

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

	if (!w->timer && !list_empty(&w->queue))
		w->timer = env_after(env, w->owner->c.class,
				     LIST_ENTRY(w->queue.next, struct late, link)->due_ns - env_mono_ns(env),
				     faulty_deliver, w);
}

static void faulty_hold(struct faulty_watch *w, enum watch_type t, struct obj *o, enum err_reason why)
{
	struct faults *f = w->owner->f;
	struct late *l;
	int64_t delay = 0;

	if (w->ended)
		return;
	/* Mostly a little late, now and then very. */
	if (f->delay_max_ns) {
		delay = (int64_t)env_random_below(f->env, (uint64_t)f->delay_max_ns / 20 + 1);
		if (chance(f, 200))
			delay = (int64_t)env_random_below(f->env, (uint64_t)f->delay_max_ns);
	}
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
	if (w->closed)
		faulty_watch_free(w);
	else
		set_timer(w);
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

	if (outgoing(x, err) < 0)
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
	if (!w->delivering)
		faulty_watch_free(w);
}

static void faulty_free(struct client *c)
{
	client_free(faulty(c)->inner);
	free(faulty(c));
}

static const struct client_ops ops = {
	.get = faulty_get,
	.list = faulty_list,
	.create = faulty_create,
	.update = faulty_update,
	.patch = faulty_patch,
	.del = faulty_del,
	.watch = faulty_watch,
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
	return &x->c;
}

void faults_cut(struct client *c, bool cut)
{
	faulty(c)->cut = cut;
}
