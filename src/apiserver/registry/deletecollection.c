/* DELETE on a collection: every object that matches, one answer.
 *
 * The deletions of a portion run side by side, each with a request and an arena of its own, because they are answered
 * while later ones still start here. The next portion waits at the end of its user's queue, so that a collection of a
 * hundred thousand neither holds a thread nor makes as many requests at once. */
#include "apiserver/registry/registry.h"
#include "apiserver/versions.h"

#include <stdlib.h>

#define PORTION ((size_t)500)

struct collection {
	struct api_req *q;
	struct delete_options o;
	struct wc_list list;
	size_t next;	    /* of the list: the first that no portion had */
	atomic_size_t left; /* of the portion */
	pthread_mutex_t lock;
	struct err first; /* failure */
	struct views views;
};

struct one {
	struct api_req q;
	struct arena arena;
	struct collection *in;
};

static void drop_mutex(void *p)
{
	pthread_mutex_destroy(p);
}

static void drop_list(void *p)
{
	wc_list_unref(p);
}

static void answer_seen(struct api_req *q, struct views *v, struct err *err, void *ctx)
{
	struct collection *c = ctx;

	(void)v;
	if (err) {
		api_req_fail(q, err);
		return;
	}
	list_answer(q, q->res, c->list.objs, c->list.n, c->list.rev, SV_NULL, -1);
	c->list.n = 0; /* their references went along */
}

static void answer(struct api_req *q, void *ctx)
{
	struct collection *c = ctx;

	if (c->first.reason != ERR_NONE) {
		api_req_fail(q, &c->first);
		return;
	}
	views_init(&c->views, q, q->res, c->list.objs, c->list.n);
	views_then(&c->views, answer_seen, c);
}

static void portion(struct api_req *q, void *ctx);

static void finished(struct collection *c)
{
	if (atomic_fetch_sub(&c->left, 1) != 1)
		return;
	if (c->next < c->list.n)
		req_go(c->q, portion, c);
	else
		api_req_post(c->q, answer, c);
}

static void one_done(struct write_op *op, struct obj *obj, struct err *err)
{
	struct one *o = op->ctx;
	struct collection *c = o->in;

	(void)obj;
	/* Gone already is what was wanted. */
	if (err && err->reason != ERR_NOT_FOUND) {
		pthread_mutex_lock(&c->lock);
		if (c->first.reason == ERR_NONE)
			err_move(&c->first, err);
		pthread_mutex_unlock(&c->lock);
	}
	/* The op goes with the arena: nobody touches it after its done(). */
	arena_release(&o->arena);
	free(o);
	finished(c);
}

static void portion(struct api_req *q, void *ctx)
{
	struct collection *c = ctx;
	size_t end = c->next + MIN(PORTION, c->list.n - c->next);
	struct err err = ERR_INIT;

	if (req_over(q, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	atomic_store(&c->left, end - c->next + 1);
	for (; c->next < end; c->next++) {
		const struct obj *doomed = c->list.objs[c->next];
		struct one *o = xcalloc(1, sizeof(*o));
		struct write_op *op;

		o->in = c;
		o->q = *q;
		o->q.arena = &o->arena;
		o->q.flow = NULL;
		o->q.audit = NULL; /* one request, one event */
		op = write_op_new(&o->q, q->res, obj_ns(doomed), obj_name(doomed));
		op->done = one_done;
		op->ctx = o;
		delete_start(op, &c->o);
	}
	finished(c);
}

void registry_deletecollection(struct api_req *q)
{
	struct collection *c = ARENA_NEW(q->arena, struct collection);
	const struct selection *sel;
	struct selection_words words = selection_words(q);
	int64_t limit, seconds;
	struct err err = ERR_INIT;

	if (delete_options_read(q, &c->o, &err) < 0 || list_options_check(q, false, &limit, &seconds, &err) < 0 ||
	    selection_make(q->arena, q->res, &words, &sel, &err) < 0 ||
	    set_aside_blocked(q->server, q->res, q->ns, &err) < 0)
		goto failed;
	if (c->o.unsafe) {
		err_options(&err, "DeleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential",
			    "FieldValueInvalid",
			    "Invalid value: true: is not allowed with DELETECOLLECTION, try again after removing the "
			    "option");
		goto failed;
	}
	/* The kind has been replaced by one that writes what this one cannot read. */
	if (!wc_list(q->server->wc, q->res, q->ns, sel, SV_NULL, (size_t)MAX(limit, 0), 0, q->arena, &c->list)) {
		if (api_req_kind_anew(q)) {
			registry_deletecollection(q);
			return;
		}
		wc_changed_error(q->res, &err);
		goto failed;
	}
	if (sel && sel->shards)
		q->shard = sel->shards->words;
	set_aside_warn(q, SV_NULL);
	c->q = q;
	pthread_mutex_init(&c->lock, NULL);
	arena_defer(q->arena, drop_mutex, &c->lock);
	arena_defer(q->arena, drop_list, &c->list);
	atomic_init(&c->left, 0);
	req_has_parts(q);
	portion(q, c);
	return;
failed:
	api_req_fail(q, &err);
}
