/* See gc_far.h. One round after the other, by one key of one queue, whose run goes on where it was when an answer is
 * not there yet. */
#include "controllers/gc_far.h"

#include "client/workq.h"
#include "codec/json.h"
#include "object/api_kind.h"

#include <stdlib.h>

#define FAR_PERIOD_NS (30 * NS_PER_SEC)
#define FAR_KEY SV("kinds") /* of the one there is */
#define FAR_UID_MAX ((size_t)128)
#define FAR_VALUES_MAX ((size_t)400 * 1000) /* of a list */

struct far_kind {
	struct api_kind *kind;
	bool watched;	     /* its objects are in the graph; */
	bool listed;	     /* all of them, once */
	bool seen;	     /* in this round */
	struct strmap known; /* uids of those in the graph */
};

struct gc_far {
	struct controller_ctx *ctx;
	pthread_mutex_t *lock; /* of what follows */
	struct gc_graph *graph;
	VEC(struct far_kind *) kinds; /* the round alone changes it */
	bool whole, learned;	      /* all kinds are known; they have been asked for */
	int64_t since_ns;
	/* The round's. */
	bool running, fresh;
	size_t at;
	struct foreign_waker waker;
	struct workq *q;
};

static const char far_mark[] = "of another server";

bool gc_far_is(const struct resource *r)
{
	return resource_late(r) && api_kind_state(api_kind_of(r)) == far_mark;
}

static void far_mark_free(void *state)
{
	(void)state;
}

static const struct resource *far_res(const struct far_kind *k)
{
	return api_kind_resource(k->kind);
}

static void far_kind_free(struct far_kind *k)
{
	strmap_release(&k->known);
	api_kind_unref(k->kind);
	free(k);
}

/* --- kinds --- */

static bool far_same(const struct far_kind *k, const struct foreign_kind *o)
{
	const struct resource *r = far_res(k);

	return !strcmp(r->group, o->group) && !strcmp(r->version, o->version) && !strcmp(r->plural, o->plural) &&
	       !strcmp(r->kind, o->kind) && r->namespaced == o->namespaced;
}

static void far_kind_seen(const struct foreign_kind *o, void *ctx)
{
	struct gc_far *f = ctx;
	bool watched = o->lists && o->watches && o->deletes;
	struct far_kind *k;
	struct api_kind *kind;

	if (!o->gets && !watched)
		return;
	for (size_t i = 0; i < f->kinds.n; i++) {
		if (far_same(f->kinds.p[i], o)) {
			f->kinds.p[i]->seen = true;
			return;
		}
	}
	kind = api_kind_new(&(struct api_kind_def){ .group = o->group,
						    .version = o->version,
						    .plural = o->plural,
						    .kind = o->kind,
						    .namespaced = o->namespaced },
			    NULL);
	if (!kind)
		return;
	api_kind_attach(kind, (void *)(uintptr_t)far_mark, far_mark_free);
	k = xcalloc(1, sizeof(*k));
	*k = (struct far_kind){ .kind = kind, .watched = watched, .seen = true };
	f->fresh = true;
	pthread_mutex_lock(f->lock);
	vec_push(&f->kinds, k);
	pthread_mutex_unlock(f->lock);
}

/* What nobody has any more goes, unless it is of a server that cannot say. */
static void far_learn(struct gc_far *f)
{
	const struct controllers_opts *o = f->ctx->opts;
	bool whole;

	for (size_t i = 0; i < f->kinds.n; i++)
		f->kinds.p[i]->seen = false;
	f->fresh = false;
	whole = o->kinds_foreign(o->foreign_ctx, far_kind_seen, f);
	pthread_mutex_lock(f->lock);
	for (size_t i = 0; whole && i < f->kinds.n;) {
		struct far_kind *k = f->kinds.p[i];

		if (k->seen) {
			i++;
			continue;
		}
		gc_graph_forget(f->graph, far_res(k));
		vec_remove(&f->kinds, i);
		far_kind_free(k);
	}
	f->whole = whole;
	f->learned = true;
	if (f->fresh) {
		f->since_ns = env_mono_ns(f->ctx->env);
		gc_graph_look_again(f->graph);
	}
	pthread_mutex_unlock(f->lock);
}

const struct resource *gc_far_kind(struct gc_far *f, struct sv group, struct sv kind)
{
	const struct resource *found = NULL;

	if (!f)
		return NULL;
	pthread_mutex_lock(f->lock);
	for (size_t i = 0; i < f->kinds.n && !found; i++) {
		const struct resource *r = far_res(f->kinds.p[i]);

		if (sv_is(group, r->group) && sv_is(kind, r->kind))
			found = resource_ref(r);
	}
	pthread_mutex_unlock(f->lock);
	return found;
}

bool gc_far_synced(const struct gc_far *f)
{
	bool yes = !f || (f->learned && f->whole);

	for (size_t i = 0; f && yes && i < f->kinds.n; i++)
		yes = !f->kinds.p[i]->watched || f->kinds.p[i]->listed;
	return yes;
}

int64_t gc_far_since(const struct gc_far *f)
{
	return f ? f->since_ns : 0;
}

/* --- asking --- */

static bool far_ask(struct gc_far *f, const struct resource *r, const char *method, struct sv ns, struct sv name,
		    struct sv body, struct sv of, const struct foreign_wake *who, struct foreign_answer *ret)
{
	const struct controllers_opts *o = f->ctx->opts;

	return o->ask_foreign(o->foreign_ctx,
			      &(struct foreign_question){ .account = "generic-garbage-collector",
							  .method = method,
							  .group = r->group,
							  .version = r->version,
							  .plural = r->plural,
							  .namespaced = r->namespaced,
							  .ns = ns,
							  .name = name,
							  .body = body,
							  .of = of,
							  .who = *who },
			      ret);
}

static int far_refused(const struct resource *r, struct sv name, const struct foreign_answer *ans, struct err *err)
{
	enum err_reason reason = ans->status == 404   ? ERR_NOT_FOUND
				 : ans->status == 409 ? ERR_CONFLICT
						      : ERR_UNAVAILABLE;

	return err_set(err, reason, "%s.%s \"%.*s\": %.*s", r->plural, r->group, SV_ARG(name),
		       SV_ARG(sv_sub(buf_sv(&ans->body), 0, 300)));
}

static bool far_fine(const struct foreign_answer *ans)
{
	return ans->status >= 200 && ans->status <= 299;
}

/* The metadata alone, under the kind's name. */
static struct obj *far_object(struct arena *a, const struct resource *r, const struct val *item)
{
	const struct val *meta = val_member(item, F_metadata);
	struct val *doc = val_new_map(a);
	struct sv uid = val_get_str(meta, F_uid), ns = val_get_str(meta, F_namespace);

	if (!uid.n || uid.n > FAR_UID_MAX || !val_get_str(meta, F_name).n || r->namespaced != (ns.n > 0))
		return NULL;
	val_set_strf(a, doc, F_apiVersion, "%s/%s", r->group, r->version);
	val_set_cstr(a, doc, F_kind, r->kind);
	val_set(a, doc, F_metadata, meta);
	return obj_new(doc, 0);
}

static const struct val *far_document(struct arena *a, struct sv text)
{
	static const struct budget_limit limit = { FAR_VALUES_MAX, ERR_TOO_LARGE, "it has too many values" };
	struct budget values = BUDGET(limit);

	return json_decode(a, text, &(struct json_opts){ .borrow_text = true, .values = &values }, NULL);
}

int gc_far_get(struct gc_far *f, const struct resource *r, struct sv ns, struct sv name, struct sv of,
	       const struct foreign_wake *who, struct obj **ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct foreign_answer ans = { 0 };
	int rc = 0;

	if (!far_ask(f, r, "GET", ns, name, SV(""), of, who, &ans))
		return 1;
	if (!far_fine(&ans)) {
		rc = far_refused(r, name, &ans, err);
	} else {
		*ret = far_object(&a, r, far_document(&a, buf_sv(&ans.body)));
		if (!*ret)
			rc = err_set(err, ERR_UNAVAILABLE, "%s.%s \"%.*s\": the answer is no object of that kind",
				     r->plural, r->group, SV_ARG(name));
	}
	buf_release(&ans.body);
	return rc;
}

int gc_far_write(struct gc_far *f, const struct resource *r, const char *method, struct sv ns, struct sv name,
		 const struct val *body, const struct foreign_wake *who, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct foreign_answer ans = { 0 };
	int rc;

	json_encode(&text, body);
	if (!far_ask(f, r, method, ns, name, buf_sv(&text), SV(""), who, &ans))
		return 1;
	rc = far_fine(&ans) ? 0 : far_refused(r, name, &ans, err);
	buf_release(&ans.body);
	return rc;
}

/* --- lists --- */

/* An object of a list; those in the graph are noted in now. */
static void far_put(struct gc_far *f, struct far_kind *k, const struct val *item, struct strmap *now)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o = NULL;
	const struct val *meta = val_member(item, F_metadata);
	struct sv uid = val_get_str(meta, F_uid);
	struct gc_node *n;
	bool wanted;

	pthread_mutex_lock(f->lock);
	n = gc_graph_find(f->graph, uid);
	wanted = n ? !n->res || n->res == far_res(k)
		   : val_len(val_member(meta, F_ownerReferences)) || val_member(meta, F_deletionTimestamp);
	pthread_mutex_unlock(f->lock);
	o = wanted ? far_object(&a, far_res(k), item) : NULL;
	if (!o)
		return;
	pthread_mutex_lock(f->lock);
	n = gc_graph_find(f->graph, uid);
	if (!n || !n->res || n->res == far_res(k)) {
		gc_graph_put(f->graph, far_res(k), o);
		n = gc_graph_find(f->graph, uid);
		if (n && n->res == far_res(k))
			strmap_set(now, uid, k);
	}
	pthread_mutex_unlock(f->lock);
}

static void far_listed(struct gc_far *f, struct far_kind *k, const struct val *items)
{
	struct strmap now = STRMAP_INIT, was = k->known;

	VAL_EACH(items, item)
		far_put(f, k, item, &now);
	pthread_mutex_lock(f->lock);
	STRMAP_EACH(&was, e) {
		struct sv uid = sv_make(e->key, e->key_n);
		const struct gc_node *n = gc_graph_find(f->graph, uid);

		if (!strmap_has(&now, uid) && n && n->res == far_res(k))
			gc_graph_del(f->graph, uid);
	}
	k->known = now;
	k->listed = true;
	pthread_mutex_unlock(f->lock);
	strmap_release(&was);
}

/* False: not yet. What cannot be listed stays what it was. */
static bool far_list(struct gc_far *f, struct far_kind *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct foreign_answer ans = { 0 };
	const struct val *items;

	if (!far_ask(f, far_res(k), "GET", SV(""), SV(""), SV(""), SV(""), &(struct foreign_wake){ &f->waker, FAR_KEY },
		     &ans))
		return false;
	items = far_fine(&ans) ? val_get(far_document(&a, buf_sv(&ans.body)), F_items) : NULL;
	if (val_type(items) == VAL_LIST)
		far_listed(f, k, items);
	buf_release(&ans.body);
	return true;
}

static int far_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct gc_far *f = ctx;

	(void)key;
	(void)err;
	if (!f->running) {
		far_learn(f);
		f->running = true;
		f->at = 0;
	}
	for (; f->at < f->kinds.n; f->at++) {
		if (f->kinds.p[f->at]->watched && !far_list(f, f->kinds.p[f->at])) {
			ret->after_ns = FOREIGN_ANYWAY_NS; /* it is woken */
			return 0;
		}
	}
	f->running = false;
	/* One that was not there may be there any moment. */
	ret->after_ns = f->whole ? FAR_PERIOD_NS : FAR_PERIOD_NS / 10;
	return 0;
}

/* --- life --- */

static void far_wake(void *ctx, struct sv key)
{
	workq_wake(((struct gc_far *)ctx)->q, key);
}

struct gc_far *gc_far_new(struct controller_ctx *ctx, pthread_mutex_t *lock, struct gc_graph *graph)
{
	struct gc_far *f;

	if (!ctx->opts->kinds_foreign)
		return NULL;
	f = xcalloc(1, sizeof(*f));
	f->ctx = ctx;
	f->lock = lock;
	f->graph = graph;
	f->since_ns = env_mono_ns(ctx->env);
	f->waker = (struct foreign_waker){ .wake = far_wake, .ctx = f };
	return f;
}

void gc_far_start(struct gc_far *f)
{
	if (!f)
		return;
	f->q = workq_new(f->ctx->env,
			 &(struct workq_opts){
			     .name = "garbage-collector-foreign", .workers = 1, .reconcile = far_reconcile, .ctx = f });
	workq_add(f->q, FAR_KEY);
}

void gc_far_stop(struct gc_far *f)
{
	if (!f)
		return;
	foreign_forget(f->ctx->opts->forget_foreign, f->ctx->opts->foreign_ctx, &f->waker);
	f->q = workq_free(f->q);
}

struct gc_far *gc_far_free(struct gc_far *f)
{
	if (!f)
		return NULL;
	while (f->kinds.n)
		far_kind_free(vec_pop(&f->kinds));
	vec_release(&f->kinds);
	free(f);
	return NULL;
}
