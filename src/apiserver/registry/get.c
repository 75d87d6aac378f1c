/* GET of one object: the shortest way through the server. */
#include "apiserver/late_kind.h"
#include "apiserver/registry/at.h"
#include "apiserver/registry/registry.h"
#include "apiserver/versions.h"

struct reading {
	struct obj *o; /* the arena drops the reference */
	void (*then)(struct api_req *q, struct obj *o);
	struct views v;
};

static void reading_drop(void *p)
{
	struct reading *r = p;

	obj_unref(r->o);
}

static void reading_seen(struct api_req *q, struct views *v, struct err *err, void *ctx)
{
	struct reading *r = ctx;

	(void)v;
	if (err)
		api_req_fail(q, err);
	else
		r->then(q, r->o);
}

void registry_read(struct api_req *q, struct obj *o_take, void (*then)(struct api_req *q, struct obj *o))
{
	struct reading *r;

	if (!views_needed(q->res)) {
		then(q, o_take);
		obj_unref(o_take);
		return;
	}
	r = ARENA_NEW(q->arena, struct reading);
	r->o = o_take;
	r->then = then;
	arena_defer(q->arena, reading_drop, r);
	views_init(&r->v, q, q->res, &r->o, 1);
	views_then(&r->v, reading_seen, r);
}

static void get_answer(struct api_req *q, struct obj *o)
{
	answer_object(q, 200, o);
}

/* As it was at rev. */
static void get_past(struct api_req *q, int64_t rev)
{
	struct err err = ERR_INIT;
	struct obj *o;

	if (at_object(q, rev, &o, &err) < 0 || (!o && err_not_found(&err, q->res, q->name) < 0))
		api_req_fail(q, &err);
	else
		registry_read(q, o, get_answer);
}

void registry_get(struct api_req *q)
{
	struct err err = ERR_INIT;
	struct sv text;
	int64_t rev;
	struct obj *o;

	if (at_given(q)) {
		if (at_read(q, &rev, &err) < 0)
			api_req_fail(q, &err);
		else
			get_past(q, rev);
		return;
	}
	if (q->n_params && api_req_param(q, "resourceVersion", &text)) {
		if (!list_rev_parse(text, &rev)) {
			err_bad_rev(&err, text);
			api_req_fail(q, &err);
			return;
		}
		if (rev > wc_rev(q->server->wc)) {
			wait_for_rev(q, rev, registry_get, api_req_fail);
			return;
		}
	}
	o = wc_get(q->server->wc, q->res, q->ns, q->name);
	if (!o && !q->trusted && late_kind_of(q->res) && atomic_load(&late_kind_of(q->res)->terminating)) {
		answer_page_not_found(q); /* as in a moment, when the kind has gone, too */
		return;
	}
	if (!o && wc_unseen(q->server->wc, q->res, q->ns, q->name) && api_req_kind_anew(q)) {
		registry_get(q);
		return;
	}
	if (!o) {
		set_aside_error(q->server, q->res, q->ns, q->name, &err);
		api_req_fail(q, &err);
		return;
	}
	registry_read(q, o, get_answer);
}
