/* Objects in another version than the cache has them: made once, and kept with the object. */
#include "apiserver/versions.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/watchcache.h"
#include "object/obj_view.h"

/* Kept with an object that was converted when its text was read. */
static const char was_stored_otherwise;

void version_note_stale(struct obj *o)
{
	(void)obj_keep_view(o, &was_stored_otherwise, NULL);
}

bool version_is_stale(const struct resource *r, struct obj *o)
{
	const struct versions *v = versions_of(r);
	struct obj *none;

	if (!v)
		return false;
	return v->waits ? !version_is(v->storage, obj_root(o)) : obj_view(o, &was_stored_otherwise, &none);
}

void views_init(struct views *v, struct api_req *q, const struct resource *r, struct obj **objs, size_t n)
{
	*v = (struct views){ .q = q, .res = r, .objs = objs, .n = n, .tmp = ARENA_INIT };
}

void views_release(struct views *v)
{
	arena_release(&v->tmp);
	v->busy = false;
}

/* Of an object as the cache has it. */
static const struct resource *views_form(const struct views *v, const struct obj *o)
{
	const struct versions *of = versions_of(v->res);

	return of->waits ? versions_form(of, obj_root(o)) : of->storage;
}

/* What there is of it already takes the place of objs[i]; false: it is to be made. */
static bool views_has(struct views *v, size_t i, const struct resource *form)
{
	struct obj *kept;

	if (form == v->res)
		return true;
	if (!obj_view(v->objs[i], v->res, &kept))
		return false;
	kept = obj_ref(kept);
	obj_unref(v->objs[i]);
	v->objs[i] = kept;
	return true;
}

/* The next that are in one form and to be converted; false: none are left. */
static bool views_next(struct views *v)
{
	const struct resource *from = NULL;
	const struct val **docs = NULL;
	size_t room = 0;

	v->n_which = 0;
	for (; v->at < v->n && v->n_which < VIEWS_BATCH; v->at++) {
		const struct resource *form = views_form(v, v->objs[v->at]);

		if (views_has(v, v->at, form))
			continue;
		if (from && form != from)
			break;
		if (!from) {
			from = form;
			room = MIN(VIEWS_BATCH, v->n - v->at);
			v->which = ARENA_ARRAY(&v->tmp, size_t, room);
			docs = ARENA_ARRAY(&v->tmp, const struct val *, room);
		}
		docs[v->n_which] = obj_root(v->objs[v->at]);
		v->which[v->n_which++] = v->at;
	}
	if (!v->n_which)
		return false;
	v->c = (struct conversion){ .q = v->q,
				    .a = &v->tmp,
				    .of = versions_of(v->res),
				    .from = from,
				    .to = v->res,
				    .docs = docs,
				    .n = v->n_which,
				    .out = ARENA_ARRAY(&v->tmp, struct val *, v->n_which) };
	return true;
}

static void views_exchange(struct views *v)
{
	for (size_t i = 0; i < v->n_which; i++) {
		struct obj **o = &v->objs[v->which[i]], *view = obj_new(v->c.out[i], obj_rev(*o));

		view = obj_ref(obj_keep_view(*o, v->res, view));
		obj_unref(*o);
		*o = view;
	}
}

int views_make(struct views *v, struct err *err)
{
	int rc;

	if (!v->busy) {
		if (!views_next(v))
			return 0;
		v->busy = true;
		if (v->q)
			v->q->has_result = false; /* what was there is for who waited before */
	}
	rc = conversion_run(&v->c, err);
	if (rc == REQ_LATER)
		return rc;
	if (rc == 0)
		views_exchange(v);
	views_release(v);
	return rc == 0 && v->at < v->n ? 1 : rc;
}

/* --- for a request --- */

struct views_going {
	struct views *v;
	views_fn *fn;
	void *ctx;
};

static void views_drop(void *p)
{
	views_release(p);
}

static void views_walk(struct views_going *g, int rc, struct err *err);

static void views_woken(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;
	int rc = req_woken(q, &err);

	views_walk(ctx, rc, &err);
}

static void views_go_on(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;
	int rc = req_over(q, &err);

	views_walk(ctx, rc, &err);
}

static void views_walk(struct views_going *g, int rc, struct err *err)
{
	struct api_req *q = g->v->q;

	while (rc == 0) {
		rc = views_make(g->v, err);
		if (rc == 0) {
			g->fn(q, g->v, NULL, g->ctx);
			return;
		}
		if (rc == 1) {
			req_go(q, views_go_on, g);
			return;
		}
		if (rc == REQ_LATER) {
			if (!req_park(q, views_woken, g))
				return;
			rc = req_woken(q, err);
		}
	}
	g->fn(q, g->v, err, g->ctx);
	err_release(err);
}

/* More is to be converted than a loop has time for. */
static bool views_large(const struct views *v)
{
	size_t bytes = 0;
	struct obj *kept;

	for (size_t i = 0; i < v->n && bytes <= VIEWS_LOOP_BYTES; i++)
		if (!obj_view(v->objs[i], v->res, &kept))
			bytes += obj_bytes(v->objs[i]);
	return bytes > VIEWS_LOOP_BYTES;
}

void views_then(struct views *v, views_fn *fn, void *ctx)
{
	struct api_req *q = v->q;
	struct err err = ERR_INIT;
	struct views_going *g;

	if (!views_needed(v->res)) {
		fn(q, v, NULL, ctx);
		return;
	}
	g = ARENA_NEW(q->arena, struct views_going);
	*g = (struct views_going){ v, fn, ctx };
	arena_defer(q->arena, views_drop, v);
	if (!q->pooled && q->sink->on_loop && views_large(v)) {
		q->pooled = true;
		(void)req_pool(q, views_go_on, g, true);
		return;
	}
	views_walk(g, 0, &err);
}
