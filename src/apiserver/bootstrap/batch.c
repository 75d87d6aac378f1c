/* Writes that are under way together: each goes through the pipeline as any other request, and all are waited for. */
#include "apiserver/bootstrap/bootstrap-internal.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"

#include <stdlib.h>

static void batch_post(struct api_req *q, void (*fn)(struct api_req *q, void *ctx), void *ctx)
{
	struct batch *b = q->user_data;

	inbox_post(&b->in, q, fn, ctx);
}

static const struct api_sink batch_sink = { .post = batch_post };

static bool bootstrap_is_there(struct api_req *q, const struct write *w, const struct err *err)
{
	_cleanup_obj_ struct obj *o = NULL;

	if (w->wanted || err->reason == ERR_ALREADY_EXISTS)
		return !w->wanted;
	o = wc_get(q->server->wc, q->res, q->ns, q->name);
	return o && !obj_deleting(o);
}

static void bootstrap_written(struct api_req *q, struct obj *o, struct err *err, void *ctx)
{
	struct write *w = ctx;
	struct batch *b = w->batch;

	(void)o;
	/* Another server on the same store may have been faster, and then the address that a Service asks for is taken,
	 * too: what counts is that it is there. */
	if (err && !bootstrap_is_there(q, w, err) && b->err.reason == ERR_NONE)
		err_move(&b->err, err);
	else if (err)
		err_release(err);
	b->pending--;
}

static struct write *bootstrap_begin(struct batch *b)
{
	static struct sv masters = { "system:masters", sizeof("system:masters") - 1 };
	struct write *w = xcalloc(1, sizeof(*w));

	w->batch = b;
	w->next = b->writes;
	b->writes = w;
	w->req = (struct api_req){
		.server = b->server,
		.arena = &w->arena,
		.sink = &batch_sink,
		.user_data = b,
		.trusted = true,
		.user = { .name = SV("system:apiserver"), .groups = &masters, .n_groups = 1 },
		.user_agent = SV("kube-apiserver"),
	};
	b->pending++;
	return w;
}

void bootstrap_create(struct batch *b, const struct resource *r, struct sv ns, struct val *doc)
{
	struct write *w;

	/* It is there, whatever it says. */
	if (set_aside_rev(b->server, r, ns, val_get_str(doc, F_metadata, F_name)))
		return;
	w = bootstrap_begin(b);
	registry_create_async(&w->req, r, ns, doc, bootstrap_written, w);
}

void bootstrap_update(struct batch *b, const struct resource *r, struct sv ns, struct sv name,
		      int (*change)(struct api_req *q, const struct val *old, struct val *doc, void *ctx,
				    struct err *err),
		      const struct val *wanted)
{
	struct write *w = bootstrap_begin(b);

	w->wanted = wanted;
	registry_update_async(&w->req, r, ns, name, NULL, change, bootstrap_written, w);
}

/* Is one of them not with the store? It may wait for the end of another (for its turn at a quota, say), which ends
 * here. */
static bool bootstrap_one_waits(const struct batch *b)
{
	for (const struct write *w = b->writes; w; w = w->next)
		if (w->req.wait)
			return true;
	return false;
}

void bootstrap_wait(struct batch *b)
{
	if (!bootstrap_one_waits(b)) /* the store answers each by itself */
		inbox_gather(&b->in, (size_t)b->pending);
	while (b->pending > 0)
		inbox_run(&b->in);
}

void bootstrap_batch_init(struct batch *b, struct apiserver *s)
{
	*b = (struct batch){ .server = s };
	inbox_init(&b->in);
}

/* 0, or -1 with the first failure. */
int bootstrap_batch_end(struct batch *b, struct err *err)
{
	int rc = b->err.reason == ERR_NONE ? 0 : -1;

	if (rc < 0) {
		err_move(err, &b->err);
		err_wrap(err, "writing the objects a cluster starts with");
	}
	while (b->writes) {
		struct write *w = b->writes;

		b->writes = w->next;
		arena_release(&w->arena);
		free(w);
	}
	arena_release(&b->arena);
	inbox_release(&b->in);
	return rc;
}
