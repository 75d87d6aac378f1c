/* The in-process client: the same pipeline by a function call, on shared immutable objects.
 *
 * A call builds a struct api_req on its own arena, runs it and waits for what others answer (the store
 * from its thread); what is to be done then it does itself (inbox.h). Reads skip the sink and take references from the
 * watch cache. A watch reads its queue in tasks of the env, one at a time. */
#include "apiserver/apiserver-internal.h"
#include "net/http.h"
#include "apiserver/fence.h"
#include "apiserver/inbox.h"
#include "apiserver/late_kind.h"
#include "apiserver/registry/registry.h"
#include "apiserver/versions.h"
#include "codec/json.h"

#include <stdlib.h>

struct local_client {
	struct client c;
	struct apiserver *s;
	struct user_info user;
	struct sv agent;
	struct fence *fence; /* borrowed; NULL: it writes whoever leads */
	struct sv names[];   /* user.groups; behind them the texts of the identity */
};

struct call {
	struct api_req q;
	struct arena arena;
	struct inbox in;
	bool done;	    /* all of this on the caller's thread */
	struct obj *result; /* owned */
	struct buf *bytes;  /* where an answer goes that is no object; NULL: it is not wanted */
	int code;
	struct err err;
};

/* --- the sink --- */

static void local_sink_object(struct api_req *q, int code, struct obj *o, const struct val *doc)
{
	struct call *c = q->user_data;

	api_req_answered(q, code);
	c->result = o ? obj_ref(o) : obj_new(doc, 0);
	c->done = true;
}

static void local_sink_bytes(struct api_req *q, int code, const char *content_type, const struct http_chunk *chunks,
			     size_t n)
{
	struct call *c = q->user_data;

	(void)content_type;
	api_req_answered(q, code);
	for (size_t i = 0; i < n; i++) {
		if (c->bytes)
			buf_addsv(c->bytes, chunks[i].data);
		if (chunks[i].release)
			chunks[i].release(chunks[i].owner);
	}
	c->code = code;
	c->done = true;
}

static void local_sink_failure(struct api_req *q, const struct err *err)
{
	struct call *c = q->user_data;

	if (q->audit)
		audit_failure(q, err);
	api_req_answered(q, err_code(err));
	err_copy(&c->err, err);
	c->done = true;
}

static void local_sink_post(struct api_req *q, void (*fn)(struct api_req *q, void *ctx), void *ctx)
{
	struct call *c = q->user_data;

	inbox_post(&c->in, q, fn, ctx);
}

static const struct api_sink local_sink = {
	.object = local_sink_object, .bytes = local_sink_bytes, .failure = local_sink_failure, .post = local_sink_post
};

/* --- calls --- */

static void call_init(struct call *k, struct client *c, enum verb verb, const struct resource *r, struct sv ns,
		      struct sv name)
{
	static const char *const methods[_VERB_MAX] = {
		"GET", "GET", "GET", "POST", "PUT", "PATCH", "DELETE", "DELETE"
	};
	struct local_client *lc = (struct local_client *)c;

	*k = (struct call){ 0 };
	inbox_init(&k->in);
	k->q = (struct api_req){
		.server = lc->s,
		.arena = &k->arena,
		.sink = &local_sink,
		.verb = verb,
		.resource_request = true,
		.res = r,
		.group = sv_from(r->group),
		.version = sv_from(r->version),
		.plural = sv_from(r->plural),
		.ns = r->namespaced ? ns : SV(""),
		.name = name,
		.subresource = SV(""),
		.method = sv_from(methods[verb]),
		.trusted = true,
		.user = lc->user,
		.user_agent = lc->agent,
		.user_data = k,
	};
	if (lc->fence) {
		k->q.fence_key = sv_from(lc->fence->key);
		k->q.fence_rev = atomic_load(&lc->fence->rev);
	}
}

static void call_end(struct call *k)
{
	inbox_release(&k->in);
	arena_release(&k->arena);
}

/* A kind that the caller made itself, knowing its name alone (object/api_kind.h), stands for what this server has now
 * by that name; the request keeps that. */
static int call_kind(struct call *k, struct err *err)
{
	struct api_req *q = &k->q;

	if (!resource_late(q->res) || late_kind_of(q->res))
		return 0;
	api_req_take_kinds(q);
	q->res = api_find_late(q->api, q->group, q->version, q->plural);
	return q->res ? 0 : err_set(err, ERR_NOT_FOUND, "the server could not find the requested resource");
}

/* A read's, which has no other step. */
static void resumed(struct api_req *q, void *ctx)
{
	(void)q;
	(void)ctx;
}

static int call_authorize(struct call *k, struct err *err)
{
	int rc;

	while ((rc = pipeline_authorize(&k->q, err)) == REQ_LATER) {
		if (!req_park(&k->q, resumed, NULL))
			inbox_run(&k->in);
		if (req_woken(&k->q, err) < 0)
			return -1;
	}
	return rc;
}

/* The objects become what k's version shows of them. */
static int call_views(struct call *k, struct obj **objs, size_t n, struct err *err)
{
	struct views v;
	int rc;

	if (!views_needed(k->q.res))
		return 0;
	views_init(&v, &k->q, k->q.res, objs, n);
	while ((rc = views_make(&v, err)) > 0) {
		if (rc != REQ_LATER)
			continue;
		if (!req_park(&k->q, resumed, NULL))
			inbox_run(&k->in);
		if (req_woken(&k->q, err) < 0) {
			rc = -1;
			break;
		}
	}
	views_release(&v);
	return rc;
}

static int call_wait(struct call *k, struct obj **ret, struct err *err)
{
	int rc = 0;

	while (!k->done)
		inbox_run(&k->in);
	if (k->err.reason != ERR_NONE)
		rc = err_move(err, &k->err);
	else if (ret)
		*ret = TAKE(k->result);
	obj_unref(k->result);
	call_end(k);
	return rc;
}

static void set_sub(struct call *k, const char *sub)
{
	if (!sub)
		return;
	k->q.subresource = sv_from(sub);
	k->q.sub = resource_subresource(k->q.res, k->q.subresource);
}

static int write_call(struct call *k, const struct val *doc, const struct client_write_opts *o, struct obj **ret,
		      struct err *err)
{
	if (call_kind(k, err) < 0) {
		call_end(k);
		return -1;
	}
	k->q.body_doc = doc;
	k->q.field_validation = SV("Ignore");
	k->q.options_ok = true;
	if (o) {
		set_sub(k, o->subresource);
		k->q.field_manager = sv_from(o->field_manager);
		k->q.force = o->force;
		k->q.dry_run = o->dry_run;
	}
	api_serve(&k->q);
	return call_wait(k, ret, err);
}

static int local_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
		     struct err *err)
{
	struct call k;
	struct obj *o;
	int rc;

	call_init(&k, c, VERB_GET, r, ns, name);
	rc = call_kind(&k, err);
	if (rc == 0)
		rc = call_authorize(&k, err);
	if (rc == 0) {
		r = k.q.res;
		o = wc_get(k.q.server->wc, r, k.q.ns, name);
		if (!o)
			rc = set_aside_error(k.q.server, r, k.q.ns, name, err);
		else
			rc = call_views(&k, &o, 1, err);
		if (rc == 0 && ret)
			*ret = TAKE(o);
		obj_unref(o);
	}
	call_end(&k);
	return rc;
}

static int make_selection(struct arena *a, const struct resource *r, const struct client_list_opts *o,
			  const struct selection **ret, struct err *err)
{
	/* Copied: a selector may keep views of its text, and a watch outlives the call. */
	struct selection_words w = { 0 };

	if (o && o->label_selector)
		w.labels = arena_sv(a, sv_from(o->label_selector));
	if (o && o->field_selector)
		w.fields = arena_sv(a, sv_from(o->field_selector));
	return selection_make(a, r, &w, ret, err);
}

static int authorize_list(struct call *k, const struct client_list_opts *o, struct err *err)
{
	struct api_param p = { .name = SV("fieldSelector") };

	if (o && o->field_selector) {
		p.value = sv_from(o->field_selector);
		k->q.params = &p;
		k->q.n_params = 1;
	}
	return call_authorize(k, err);
}

static int local_list(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		      struct obj_list *ret, struct err *err)
{
	const struct selection *sel;
	struct call k;
	struct wc_list l;
	int rc = -1;

	call_init(&k, c, VERB_LIST, r, ns, SV_NULL);
	if (call_kind(&k, err) == 0 && authorize_list(&k, o, err) == 0 &&
	    make_selection(&k.arena, k.q.res, o, &sel, err) == 0) {
		r = k.q.res;
		if (o && o->resource_version > wc_rev(k.q.server->wc)) {
			err_too_large_rev(err, o->resource_version, wc_rev(k.q.server->wc));
		} else if (resource_late(r) && !wc_serves(k.q.server->wc, r)) {
			(void)err_set(err, ERR_NOT_FOUND, "the server could not find the requested resource");
		} else {
			rc = wc_list(k.q.server->wc, r, k.q.ns, sel, SV_NULL, 0, 0, &k.arena, &l)
				 ? set_aside_blocked(k.q.server, r, k.q.ns, err)
				 : wc_changed_error(r, err);
			if (rc == 0)
				rc = call_views(&k, l.objs, l.n, err);
			if (rc < 0) {
				wc_list_unref(&l);
				call_end(&k);
				return rc;
			}
			ret->items = l.n ? xmemdup(l.objs, l.n * sizeof(*l.objs)) : NULL;
			ret->n = l.n;
			ret->rev = l.rev;
			ret->missing = set_aside_count(k.q.server, r, k.q.ns);
		}
	}
	call_end(&k);
	return rc;
}

/* What others answer is a stranger's: the document that it is, or why it is none. */
static int doc_of_bytes(const struct call *k, struct arena *a, const struct val **ret, struct err *err)
{
	struct sv body = arena_sv(a, buf_sv(k->bytes));

	if (k->code < 200 || k->code > 299)
		return err_set(err, k->code == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "%.*s",
			       SV_ARG(sv_trim(sv_sub(body, 0, 500))));
	*ret = json_decode(a, body, NULL, err);
	return *ret ? 0 : -1;
}

static int local_get_doc(struct client *c, struct arena *a, const char *target, const struct val **ret, struct err *err)
{
	struct local_client *lc = (struct local_client *)c;
	_cleanup_(buf_release) struct buf bytes = BUF_INIT;
	struct sv path = sv_from(target);
	ssize_t query = sv_find(path, '?');
	struct call k = { .bytes = &bytes };
	int rc = 0;

	inbox_init(&k.in);
	k.q = (struct api_req){
		.server = lc->s,
		.arena = &k.arena,
		.sink = &local_sink,
		.method = SV("GET"),
		.trusted = true,
		.user = lc->user,
		.user_agent = lc->agent,
		.user_data = &k,
	};
	if (query >= 0)
		k.q.query = sv_sub(path, (size_t)query + 1, path.n);
	api_req_query(&k.q, k.q.query);
	k.q.path = http_percent_decode(&k.arena, query < 0 ? path : sv_sub(path, 0, (size_t)query), false);
	api_serve(&k.q);
	while (!k.done)
		inbox_run(&k.in);
	if (k.err.reason != ERR_NONE)
		rc = err_move(err, &k.err);
	else if (k.result)
		*ret = val_clone(a, obj_root(k.result));
	else
		rc = doc_of_bytes(&k, a, ret, err);
	obj_unref(k.result);
	call_end(&k);
	return rc;
}

static int local_create(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
			const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct call k;

	call_init(&k, c, VERB_CREATE, r, ns, name);
	return write_call(&k, doc, o, ret, err);
}

static int local_update(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
			const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct call k;

	call_init(&k, c, VERB_UPDATE, r, ns, name);
	return write_call(&k, doc, o, ret, err);
}

static int local_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		       const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	static const char *const media[] = {
		[PATCH_JSON] = "application/json-patch+json",
		[PATCH_MERGE] = "application/merge-patch+json",
		[PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
		[PATCH_APPLY] = "application/apply-patch+yaml",
	};
	struct call k;

	call_init(&k, c, VERB_PATCH, r, ns, name);
	k.q.content_type = sv_from(media[t]);
	return write_call(&k, patch, o, ret, err);
}

static int local_del(struct client *c, const struct resource *r, struct sv ns, struct sv name,
		     const struct client_delete_opts *o, struct err *err)
{
	struct call k;
	struct val *doc, *pre;

	call_init(&k, c, VERB_DELETE, r, ns, name);
	doc = val_new_map(&k.arena);
	if (o) {
		pre = val_new_map(&k.arena);
		if (o->propagation)
			val_set_cstr(&k.arena, doc, F_propagationPolicy, o->propagation);
		if (o->grace_seconds >= 0)
			val_set_int(&k.arena, doc, F_gracePeriodSeconds, o->grace_seconds);
		if (o->precondition_uid.n)
			val_set_str(&k.arena, pre, F_uid, o->precondition_uid);
		if (o->precondition_rev)
			val_set_strf(&k.arena, pre, F_resourceVersion, "%" PRId64, o->precondition_rev);
		if (val_len(pre))
			val_set(&k.arena, doc, F_preconditions, pre);
	}
	k.q.body_doc = doc;
	if (call_kind(&k, err) < 0) {
		call_end(&k);
		return -1;
	}
	api_serve(&k.q);
	return call_wait(&k, NULL, err);
}

/* --- watches --- */

struct client_watch {
	struct client *c;
	struct wc_watch *w;
	struct arena arena;
	struct client_watch_cb cb;
	void *ctx;
	const struct resource *res;
	atomic_int refs; /* the owner's, and one of every task on its way */
	atomic_bool closed;
	/* Held while callbacks run; who runs them may close the watch from inside. */
	pthread_mutex_t running;
	_Atomic pthread_t runner;
	atomic_bool in_callback;
	bool ended;
};

static void watch_unref(struct client_watch *cw)
{
	if (atomic_fetch_sub(&cw->refs, 1) != 1)
		return;
	cw->w = wc_watch_close(cw->w);
	arena_release(&cw->arena);
	pthread_mutex_destroy(&cw->running);
	resource_unref(cw->res);
	free(cw);
}

static struct obj *bookmark_object(const struct wc_event *e)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_map(&a), *meta = val_new_map(&a);

	if (e->initial_end)
		val_set_str_sv(&a, val_set_map(&a, meta, F_annotations), SV("k8s.io/initial-events-end"), SV("true"));
	val_set(&a, doc, F_metadata, meta);
	return obj_new(doc, e->rev);
}

/* Where conversions wait, who watches from inside gets objects in the version of their text: a thread that works for
 * all of its class waits for nobody, and who watches all kinds looks at metadata. */
static int watch_view(struct client_watch *cw, struct obj **o, struct err *why)
{
	struct views v;
	int rc = 0;

	if (!views_needed(cw->res) || versions_of(cw->res)->waits)
		return 0;
	views_init(&v, NULL, cw->res, o, 1);
	rc = views_make(&v, why);
	views_release(&v);
	return rc;
}

/* Events before others of the class have their turn, those first whom these were for. */
#define WATCH_TURN 1024

static void watch_task(void *ctx)
{
	struct client_watch *cw = ctx;
	struct err why = ERR_INIT;
	struct wc_event e;
	int rc, n = 0;

	pthread_mutex_lock(&cw->running);
	atomic_store(&cw->runner, pthread_self());
	atomic_store(&cw->in_callback, true);
	while (n++ < WATCH_TURN && !atomic_load(&cw->closed) && !cw->ended &&
	       (rc = wc_watch_next(cw->w, &e, &why)) != 0) {
		if (rc > 0 && e.o && watch_view(cw, &e.o, &why) < 0)
			rc = -1;
		if (rc < 0) {
			obj_unref(e.o);
			cw->ended = true;
			cw->cb.end(&why, cw->ctx);
			err_release(&why);
			break;
		}
		if (!e.o)
			e.o = bookmark_object(&e);
		cw->cb.event(e.type, e.o, cw->ctx);
		obj_unref(e.o);
	}
	atomic_store(&cw->in_callback, false);
	pthread_mutex_unlock(&cw->running);
	if (n > WATCH_TURN) { /* nobody wakes it before it has seen that nothing is left */
		env_post_next(cw->c->env, cw->c->class, watch_task, cw);
		return;
	}
	watch_unref(cw);
}

static void watch_wake(void *ctx)
{
	struct client_watch *cw = ctx;

	atomic_fetch_add(&cw->refs, 1);
	env_post(cw->c->env, cw->c->class, watch_task, cw);
}

static int local_watch(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		       const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err)
{
	struct local_client *lc = (struct local_client *)c;
	struct client_watch *cw = xcalloc(1, sizeof(*cw));
	struct wc_watch_opts wo = { .res = r, .ns = ns, .bookmarks = true, .wake = watch_wake, .ctx = cw };
	struct call k;
	int rc;

	cw->c = c;
	cw->cb = *cb;
	cw->ctx = ctx;
	atomic_init(&cw->refs, 1);
	pthread_mutex_init(&cw->running, NULL);
	call_init(&k, c, VERB_WATCH, r, ns, SV_NULL);
	rc = call_kind(&k, err);
	if (rc == 0) {
		wo.res = r = k.q.res;
		wo.recent = user_is_of_today(&k.q.user);
		rc = authorize_list(&k, o, err);
	}
	cw->res = resource_ref(r);
	call_end(&k);
	if (rc == 0)
		rc = make_selection(&cw->arena, r, o, &wo.sel, err);
	if (rc == 0) {
		wo.since = o && o->resource_version > 0 ? o->resource_version : WATCH_FROM_NOW;
		wo.initial = wo.since == WATCH_FROM_NOW;
		rc = wc_watch_open(lc->s->wc, &wo, &cw->w, err);
	}
	if (rc < 0) {
		watch_unref(cw);
		return -1;
	}
	*ret = cw;
	watch_wake(cw); /* what is there already */
	return 0;
}

static void local_unwatch(struct client *c, struct client_watch *cw)
{
	(void)c;
	if (!cw)
		return;
	atomic_store(&cw->closed, true);
	if (!atomic_load(&cw->in_callback) || !pthread_equal(atomic_load(&cw->runner), pthread_self())) {
		/* A callback under way ends first; none starts after. */
		pthread_mutex_lock(&cw->running);
		cw->w = wc_watch_close(cw->w);
		pthread_mutex_unlock(&cw->running);
	}
	watch_unref(cw);
}

static void local_free(struct client *c)
{
	struct local_client *lc = (struct local_client *)c;

	free(lc);
}

static const struct client_ops local_ops = {
	.get = local_get,
	.list = local_list,
	.create = local_create,
	.update = local_update,
	.patch = local_patch,
	.del = local_del,
	.watch = local_watch,
	.get_doc = local_get_doc,
	.unwatch = local_unwatch,
	.free = local_free,
};

/* text at *at, which goes on behind it. */
static struct sv client_text(char **at, const char *text)
{
	struct sv s = sv_make(*at, strlen(text));

	memcpy(*at, text, s.n + 1);
	*at += s.n + 1;
	return s;
}

/* In one piece: each controller has one, and the pages of an arena each would be most of what they take. */
struct client *apiserver_client(struct apiserver *s, const char *name, const char *user, const char *const *groups)
{
	size_t n = 0, bytes = strlen(name) + strlen(user) + 2;
	struct local_client *lc;
	char *at;

	while (groups && groups[n])
		bytes += strlen(groups[n++]) + 1;
	lc = xcalloc(1, sizeof(*lc) + (n + 1) * sizeof(lc->names[0]) + bytes);
	at = (char *)&lc->names[n + 1];
	lc->s = s;
	lc->c.ops = &local_ops;
	lc->c.env = s->env;
	lc->c.here = true;
	lc->agent = client_text(&at, name);
	lc->c.name = lc->agent.p;
	lc->user.name = client_text(&at, user);
	lc->user.groups = lc->names;
	for (size_t i = 0; i < n; i++)
		lc->names[i] = client_text(&at, groups[i]);
	lc->names[n] = SV("system:authenticated");
	lc->user.n_groups = n + 1;
	return &lc->c;
}

void fence_client(struct client *c, struct fence *f)
{
	((struct local_client *)c)->fence = f;
}

struct client *apiserver_client_account(struct apiserver *s, const char *name, const char *account)
{
	static const char *const groups[] = { "system:serviceaccounts", "system:serviceaccounts:kube-system", NULL };
	_cleanup_free_ char *user = xasprintf("system:serviceaccount:kube-system:%s", account);

	return apiserver_client(s, name, user, groups);
}
