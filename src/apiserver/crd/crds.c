/* Which definitions are served, and the pass that makes it so.
 *
 * Dirty definitions are names in the order they changed. A pass takes all of them: one look at every definition says
 * which names are taken, each dirty one is settled in turn, all kinds that come or go do so in one change, and then
 * every status that is not yet what it ought to be is written. Whoever loses a name is looked at again in every pass:
 * there are hardly any. */
#include "apiserver/crd/crd.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/late_kind.h"
#include "apiserver/webhook/conversion.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "base/strmap.h"
#include "base/vec.h"

#include <stdlib.h>

#define AGAIN_NS (NS_PER_SEC / 5) /* a write failed, or instances are on their way out */
#define AGAIN_MAX_NS (5 * NS_PER_SEC)

/* One that is served. */
struct served {
	struct api_kind *kind;
	struct obj *crd;		    /* it was made of this */
	struct val *names;		    /* and has these, in arena */
	struct webhook_conversion *webhook; /* that converts its versions; NULL: they differ in their names */
	struct kind_conversion how;
	struct arena arena;
};

struct crds {
	struct apiserver *s;
	struct client *client;
	pthread_mutex_t lock; /* of all below; the pass alone changes `served` */
	pthread_cond_t idle;
	VEC(char *) dirty;
	VEC(char *) later; /* dirty when the timer is due */
	struct strmap is_dirty;
	struct strmap served; /* name -> struct served */
	struct env_timer *timer;
	unsigned failures; /* in a row */
	unsigned busy;	   /* tasks and timers that are on their way or run */
	bool running, stopping;
};

/* A definition in a pass. */
struct looked {
	char *name;
	struct obj *crd; /* NULL: it is gone */
	struct served *was, *next;
	struct val *doc;	/* with the status it ought to have; NULL: it has that */
	struct api_kind *ended; /* was, of a definition that is gone */
	bool drop;
};

struct pass {
	struct crds *c;
	struct arena arena;
	struct crd_names *names;
	VEC(struct looked) list;
	VEC(char *) losers; /* that have not got all their names */
	struct err damage;  /* the first kind whose objects cannot be read as they are in the store */
};

static void crds_run(void *ctx);

static struct served *served_free(struct served *e)
{
	if (!e)
		return NULL;
	api_kind_unref(e->kind);
	webhook_conversion_unref(e->webhook);
	obj_unref(e->crd);
	arena_release(&e->arena);
	free(e);
	return NULL;
}

static void webhook_keep(void *ctx)
{
	(void)webhook_conversion_ref(ctx);
}

static void webhook_let_go(void *ctx)
{
	(void)webhook_conversion_unref(ctx);
}

/* --- what is dirty; the lock is held --- */

static void crds_wake(struct crds *c)
{
	if (c->running || c->stopping)
		return;
	c->running = true;
	c->busy++;
	env_post(c->s->env, ENV_CONTROL, crds_run, c);
}

static void crds_mark(struct crds *c, struct sv name)
{
	void **slot = strmap_slot(&c->is_dirty, name);

	if (*slot)
		return;
	*slot = c;
	vec_push(&c->dirty, xstrndup(name.p, name.n));
}

static void crds_again(void *ctx)
{
	struct crds *c = ctx;

	pthread_mutex_lock(&c->lock);
	c->timer = env_timer_cancel(c->s->env, c->timer);
	for (size_t i = 0; i < c->later.n; i++) {
		crds_mark(c, sv_from(c->later.p[i]));
		free(c->later.p[i]);
	}
	c->later.n = 0;
	if (c->dirty.n)
		crds_wake(c);
	c->busy--;
	pthread_cond_broadcast(&c->idle);
	pthread_mutex_unlock(&c->lock);
}

/* name once more, in a while. */
static void crds_retry(struct crds *c, const char *name, bool failed)
{
	int64_t delay = AGAIN_NS;

	pthread_mutex_lock(&c->lock);
	c->failures = failed ? MIN(c->failures + 1, 10u) : 0;
	for (unsigned i = 1; i < c->failures; i++)
		delay = MIN(delay * 2, AGAIN_MAX_NS);
	vec_push(&c->later, xstrdup(name));
	if (!c->timer && !c->stopping) {
		c->busy++;
		c->timer = env_after(c->s->env, ENV_CONTROL, delay, crds_again, c);
	}
	pthread_mutex_unlock(&c->lock);
}

/* Nothing new of a kind whose definition goes: once its instances have been told to go that is so until it has gone,
 * also when its finalizer is taken and others keep it. The lock is held. */
static void crds_terminate(struct served *e, const struct obj *crd)
{
	bool going = obj_deleting(crd) || crd_condition_is(obj_root(crd), "Terminating", "True");

	for (struct api_kind *k = e->kind; k; k = api_kind_next(k))
		atomic_store(&((struct late_kind *)api_kind_state(k))->terminating, going);
}

void crds_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	struct crds *c = s->crds;
	struct sv name = obj_name(now ? now : old);
	struct served *e;

	pthread_mutex_lock(&c->lock);
	e = strmap_get(&c->served, name);
	if (e && now)
		crds_terminate(e, now);
	crds_mark(c, name);
	crds_wake(c);
	pthread_mutex_unlock(&c->lock);
}

/* --- a pass --- */

static int pass_look(struct obj *o, void *ctx)
{
	struct pass *p = ctx;
	const struct val *crd = obj_root(o);

	crd_names_add(p->names, crd);
	if (crd_condition_is(crd, "NamesAccepted", "False"))
		vec_push(&p->losers, xstrndup(obj_name(o).p, obj_name(o).n));
	return 0;
}

/* What a kind keeps of its definition as long as it lives. A definition whose status is about to be written will be
 * there in another version, and this one is not shared: it is kept without its text. */
static struct obj *pass_holder(struct obj *crd, bool stays)
{
	return stays ? obj_ref(crd) : obj_new_lean(obj_root(crd));
}

static struct served *pass_serve(struct pass *p, struct obj *crd_take, const struct val *names)
{
	struct served *e = xcalloc(1, sizeof(*e));
	_cleanup_(err_release) struct err why = ERR_INIT;

	e->crd = crd_take;
	arena_small(&e->arena);
	e->names = val_clone(&e->arena, names);
	e->kind = crd_kind_new(e->crd, e->names, &why);
	if (val_is(val_get(obj_root(e->crd), F_spec, F_conversion, F_strategy), "Webhook")) {
		e->webhook = webhook_conversion_new(val_get(obj_root(e->crd), F_spec, F_conversion));
		e->how = (struct kind_conversion){ .convert = webhook_convert,
						   .ctx = e->webhook,
						   .ref = webhook_keep,
						   .unref = webhook_let_go,
						   .waits = true };
	}
	if (e->kind)
		return e;
	log_warn("apiserver", "a CustomResourceDefinition cannot be served", "name", "%.*s: %s",
		 SV_ARG(obj_name(e->crd)), err_msg(&why));
	(void)p;
	return served_free(e);
}

static void pass_settle(struct pass *p, struct looked *l)
{
	struct crds *c = p->c;
	const struct val *names = NULL, *crd;
	bool serve = false;

	l->was = strmap_get(&c->served, sv_from(l->name));
	if (!l->crd) {
		l->drop = l->was != NULL;
		l->ended = l->was ? api_kind_ref(l->was->kind) : NULL;
		return;
	}
	crd = obj_root(l->crd);
	crd_names_built_in(p->names, crd);
	l->doc = crd_settle(&p->arena, p->names, crd, env_now_ns(c->s->env), &serve, &names);
	if (!serve) {
		l->drop = l->was != NULL;
		return;
	}
	if (l->was && sv_eq(obj_uid(l->was->crd), obj_uid(l->crd)) && val_same(l->was->names, names) &&
	    val_equal(val_member(obj_root(l->was->crd), F_spec), val_member(crd, F_spec)))
		return;
	l->next = pass_serve(p, pass_holder(l->crd, !l->doc), names);
	l->drop = l->was && l->next;
}

/* One of that name was there before, and something of it is left perhaps. */
static void pass_sweep(struct apiserver *s, const struct kind_come *come)
{
	_cleanup_free_ char *name = xstrndup(obj_name(come->definition).p, obj_name(come->definition).n);
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (crd_sweep(s, name, api_kind_resource(come->kind), &why) < 0)
		log_warn("apiserver", "what is left of a former CustomResourceDefinition cannot be deleted", "name",
			 "%s: %s", name, err_msg(&why));
}

/* The kinds of all in list that come or go, in one change. */
static int pass_change(struct pass *p, struct looked *list, size_t n, struct err *err)
{
	struct api_kind **gone = xcalloc(n + 1, sizeof(struct api_kind *));
	struct kind_come *come = xcalloc(n + 1, sizeof(*come));
	struct kind_change change = { .gone = gone, .come = come };
	int rc;

	for (size_t i = 0; i < n; i++) {
		bool first = list[i].next && !crd_condition_is(obj_root(list[i].crd), "Established", "True");

		if (list[i].drop)
			gone[change.n_gone++] = list[i].was->kind;
		if (list[i].next)
			come[change.n_come++] =
			    (struct kind_come){ .kind = list[i].next->kind,
						.how = list[i].next->webhook ? &list[i].next->how : NULL,
						.definition = list[i].crd,
						.own = first ? pass_sweep : NULL };
	}
	rc = apiserver_change_kinds(p->c->s, &change, err);
	free(come);
	free(gone);
	return rc;
}

static void pass_enter(struct pass *p, struct looked *l)
{
	struct crds *c = p->c;

	pthread_mutex_lock(&c->lock);
	if (l->drop)
		(void)strmap_del(&c->served, sv_from(l->name));
	if (l->next) {
		strmap_set(&c->served, sv_from(l->name), l->next);
		crds_terminate(l->next, l->crd);
	}
	pthread_mutex_unlock(&c->lock);
	if (l->drop)
		served_free(l->was);
	if (l->drop || l->next)
		l->was = TAKE(l->next);
}

static void pass_swap(struct pass *p)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (pass_change(p, p->list.p, p->list.n, &why) == 0) {
		for (size_t i = 0; i < p->list.n; i++)
			pass_enter(p, &p->list.p[i]);
		return;
	}
	/* One of them: each by itself, so that the others are served. What has been started once is made anew. */
	for (size_t i = 0; i < p->list.n; i++) {
		struct looked *l = &p->list.p[i];
		_cleanup_(err_release) struct err one = ERR_INIT;

		if (l->next) {
			struct served *again = pass_serve(p, obj_ref(l->next->crd), l->next->names);

			served_free(l->next);
			l->next = again;
			l->drop = l->drop && again;
		}
		if (pass_change(p, l, 1, &one) == 0) {
			pass_enter(p, l);
			continue;
		}
		log_warn("apiserver", "a CustomResourceDefinition cannot be served", "name", "%s: %s", l->name,
			 err_msg(&one));
		l->next = served_free(l->next);
		if (one.reason == ERR_STORE_READ && !p->damage.reason)
			err_move(&p->damage, &one);
		else
			crds_retry(p->c, l->name, true);
	}
}

static void pass_write(struct pass *p, struct looked *l)
{
	struct crds *c = p->c;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *said = NULL;
	const struct val *meta;
	bool kept = false;
	int rc;

	if (l->ended && crd_sweep(c->s, l->name, api_kind_resource(l->ended), &why) < 0)
		log_warn("apiserver", "what is left of a CustomResourceDefinition cannot be deleted", "name", "%s: %s",
			 l->name, err_msg(&why));
	if (!l->crd)
		return;
	/* Established is not said of what could not be served. */
	if (l->doc &&
	    (l->was || !crd_condition_is(l->doc, "Established", "True") ||
	     crd_condition_is(obj_root(l->crd), "Established", "True")) &&
	    client_update_status(c->client, RES(apiextensions_customresourcedefinitions), l->doc, &said, &why) < 0) {
		if (why.reason != ERR_CONFLICT && why.reason != ERR_NOT_FOUND)
			log_warn("apiserver", "the status of a CustomResourceDefinition cannot be written", "name",
				 "%s: %s", l->name, err_msg(&why));
		if (why.reason != ERR_NOT_FOUND)
			crds_retry(c, l->name, why.reason != ERR_CONFLICT);
		return;
	}
	meta = obj_get(l->crd, F_metadata);
	VAL_EACH(val_member(meta, F_finalizers), f)
		kept = kept || val_is(f, CRD_FINALIZER);
	if (!obj_deleting(l->crd) || !kept)
		return;
	rc = crd_drain(c->s, c->client, said ? said : l->crd, l->was ? l->was->kind : NULL, &why);
	if (rc < 0 && why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT)
		log_warn("apiserver", "the instances of a CustomResourceDefinition cannot be deleted", "name", "%s: %s",
			 l->name, err_msg(&why));
	if (rc > 0 || (rc < 0 && why.reason != ERR_NOT_FOUND))
		crds_retry(c, l->name, rc < 0 && why.reason != ERR_CONFLICT);
}

static void pass_take(struct pass *p)
{
	struct crds *c = p->c;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < p->losers.n; i++)
		crds_mark(c, sv_from(p->losers.p[i]));
	for (size_t i = 0; i < c->dirty.n; i++) {
		struct looked l = { .name = c->dirty.p[i] };

		(void)strmap_del(&c->is_dirty, sv_from(l.name));
		vec_push(&p->list, l);
	}
	c->dirty.n = 0;
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < p->list.n; i++)
		p->list.p[i].crd =
		    wc_get(c->s->wc, RES(apiextensions_customresourcedefinitions), SV(""), sv_from(p->list.p[i].name));
}

static void pass_release(struct pass *p)
{
	for (size_t i = 0; i < p->list.n; i++) {
		obj_unref(p->list.p[i].crd);
		api_kind_unref(p->list.p[i].ended);
		free(p->list.p[i].name);
	}
	vec_release(&p->list);
	for (size_t i = 0; i < p->losers.n; i++)
		free(p->losers.p[i]);
	vec_release(&p->losers);
	crd_names_free(p->names);
	err_release(&p->damage);
	arena_release(&p->arena);
}

static void pass_serve_all(struct pass *p)
{
	struct crds *c = p->c;

	p->names = crd_names_new();
	wc_each(c->s->wc, RES(apiextensions_customresourcedefinitions), SV(""), pass_look, p);
	pass_take(p);
	for (size_t i = 0; i < p->list.n; i++)
		pass_settle(p, &p->list.p[i]);
	pass_swap(p);
}

static void crds_run(void *ctx)
{
	struct crds *c = ctx;
	bool more = true;

	while (more) {
		struct pass p = { .c = c, .list = VEC_INIT, .losers = VEC_INIT };

		pass_serve_all(&p);
		for (size_t i = 0; i < p.list.n; i++)
			pass_write(&p, &p.list.p[i]);
		pass_release(&p);
		pthread_mutex_lock(&c->lock);
		more = c->dirty.n && !c->stopping;
		if (!more) {
			c->running = false;
			c->busy--;
			pthread_cond_broadcast(&c->idle);
		}
		pthread_mutex_unlock(&c->lock);
	}
}

/* --- life --- */

struct crds *crds_new(struct apiserver *s)
{
	struct crds *c = xcalloc(1, sizeof(*c));

	c->s = s;
	c->running = true; /* until crds_start(): no task begins a pass */
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->idle, NULL);
	return c;
}

int crds_start(struct apiserver *s, struct err *err)
{
	static const char *const masters[] = { "system:masters", NULL };
	struct crds *c = s->crds;
	struct pass p = { .c = c, .list = VEC_INIT, .losers = VEC_INIT };

	c->client = apiserver_client(s, "kube-apiserver", "system:apiserver", masters);
	pass_serve_all(&p);
	if (p.damage.reason) {
		err_move(err, &p.damage);
		pass_release(&p);
		return -1;
	}
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < p.list.n; i++) {
		struct looked *l = &p.list.p[i];

		if (l->doc || (l->crd && obj_deleting(l->crd)))
			crds_mark(c, sv_from(l->name));
	}
	c->running = false;
	if (c->dirty.n)
		crds_wake(c);
	pthread_mutex_unlock(&c->lock);
	pass_release(&p);
	return 0;
}

void crds_stop(struct apiserver *s)
{
	struct crds *c = s->crds;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	if (c->timer && env_timer_stop(s->env, c->timer))
		c->busy--;
	c->timer = NULL;
	while (c->busy)
		pthread_cond_wait(&c->idle, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void crds_free(struct apiserver *s)
{
	struct crds *c = s->crds;

	if (!c)
		return;
	STRMAP_EACH(&c->served, e)
		served_free(e->value);
	strmap_release(&c->served);
	strmap_release(&c->is_dirty);
	for (size_t i = 0; i < c->dirty.n; i++)
		free(c->dirty.p[i]);
	vec_release(&c->dirty);
	for (size_t i = 0; i < c->later.n; i++)
		free(c->later.p[i]);
	vec_release(&c->later);
	client_free(c->client);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->idle);
	free(c);
	s->crds = NULL;
}
