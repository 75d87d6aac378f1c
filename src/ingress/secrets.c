#include "ingress/secrets.h"

#include "base/buf.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "client/informer.h"

#include <stdlib.h>

#define WATCHED_MAX 256	      /* each a connection */
#define WATCHED_HERE_MAX 4096 /* and where they are none */
#define ASKED_MAX 64	      /* again, in a run */
#define NEW_MAX 256	      /* and for the first time: each is waited for, and others' changes with it */
#define AGAIN_NS NS_PER_SEC   /* to the run for those behind them */
#define ASK_NS (15 * NS_PER_SEC)
#define PATIENCE_NS (2 * NS_PER_SEC)

/* One that is named. */
struct named {
	struct informer *watch; /* NULL: it is asked for */
	struct obj *known;	/* what it answered; a reference */
	int64_t since_ns, asked_ns;
	bool answered; /* it was asked for, and somebody said something */
	bool wanted;   /* in this run */
};

struct ing_secrets {
	struct env *env;
	struct client *client;
	struct informer_factory *factory;
	void (*changed)(void *ctx);
	void *ctx;
	struct strmap all; /* "ns/name" -> struct named * */
	int64_t round_ns;  /* since when each is asked for once, before the next round begins */
	size_t watched;
	size_t asked, asked_new; /* in this run: again, and for the first time */
	bool left;		 /* in this run: some of them were not */
	bool unanswered;	 /* in this run: the others would wait as long */
	bool behind;		 /* in this run: some have not had their turn of the round */
};

static void secrets_on_object(_unused_ struct obj *o, void *ctx)
{
	struct ing_secrets *s = ctx;

	s->changed(s->ctx);
}

static void secrets_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (obj_rev(old) != obj_rev(neu)) /* not told anew after a re-list */
		secrets_on_object(neu, ctx);
}

static void secrets_watch(struct ing_secrets *s, struct named *n, struct sv ns, struct sv name)
{
	static const struct informer_handler handler = { secrets_on_object, secrets_on_update, secrets_on_object };
	_cleanup_free_ char *space = xstrndup(ns.p, ns.n), *fields = xasprintf("metadata.name=%.*s", SV_ARG(name));

	n->watch = informer_get(s->factory, RES(core_secrets), space, NULL, fields);
	informer_add_handler(n->watch, &handler, s);
	s->watched++;
}

/* What was known stays when nobody answers. */
static void secrets_ask(struct ing_secrets *s, struct named *n, struct sv ns, struct sv name)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj *o = NULL;
	int rc = client_get(s->client, RES(core_secrets), ns, name, &o, &err);

	n->asked_ns = env_mono_ns(s->env);
	if (rc < 0 && err.reason != ERR_NOT_FOUND && err.reason != ERR_FORBIDDEN) {
		s->unanswered = true;
		return;
	}
	n->answered = true;
	obj_unref(n->known);
	n->known = o;
}

struct obj *ing_secrets_get(struct ing_secrets *s, struct arena *a, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	void **slot = strmap_slot(&s->all, obj_path(&b, ns, name));
	struct named *n = *slot;
	struct obj *o;

	if (!n) {
		*slot = n = xcalloc(1, sizeof(*n));
		n->since_ns = env_mono_ns(s->env);
		n->asked_ns = INT64_MIN;
		if (s->watched < (s->client->here ? WATCHED_HERE_MAX : WATCHED_MAX))
			secrets_watch(s, n, ns, name);
	}
	n->wanted = true;
	if (n->watch) {
		o = informer_lookup(n->watch, ns, name);
		return o ? obj_link(a, o) : NULL;
	}
	if (n->asked_ns < s->round_ns) {
		bool later = !s->unanswered && (n->answered ? s->asked++ >= ASKED_MAX : s->asked_new++ >= NEW_MAX);

		s->left |= later;
		if (later || s->unanswered)
			s->behind = true;
		else
			secrets_ask(s, n, ns, name);
	}
	return n->known ? obj_link(a, obj_ref(n->known)) : NULL;
}

void ing_secrets_begin(struct ing_secrets *s)
{
	int64_t now = env_mono_ns(s->env);

	/* A run goes through them in the same order each time: without rounds those at its end would never come. */
	if (!s->behind && now - s->round_ns >= ASK_NS)
		s->round_ns = now;
	s->unanswered = s->left = s->behind = false;
	s->asked = s->asked_new = 0;
	STRMAP_EACH(&s->all, e)
		((struct named *)e->value)->wanted = false;
}

static void secrets_let_go(struct ing_secrets *s, struct named *n)
{
	if (n->watch) {
		informer_end(s->factory, n->watch);
		s->watched--;
	}
	obj_unref(n->known);
	free(n);
}

bool ing_secrets_end(struct ing_secrets *s, int64_t *ret_after_ns)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t now = env_mono_ns(s->env);
	VEC(struct sv) gone = VEC_INIT;
	bool waits = false;

	*ret_after_ns = 0;
	STRMAP_EACH(&s->all, e) {
		const struct named *n = e->value;

		if (!n->wanted) {
			vec_push(&gone, arena_sv(&a, sv_make(e->key, e->key_n)));
			continue;
		}
		if (!n->watch)
			*ret_after_ns = s->left	    ? AGAIN_NS
					: s->behind ? ASK_NS
						    : MAX(s->round_ns + ASK_NS - now, AGAIN_NS);
		waits |= now - n->since_ns < PATIENCE_NS && !(n->watch ? informer_synced(n->watch) : n->answered);
	}
	for (size_t i = 0; i < gone.n; i++)
		secrets_let_go(s, strmap_del(&s->all, gone.p[i]));
	vec_release(&gone);
	return waits;
}

struct ing_secrets *ing_secrets_new(struct env *env, struct client *c, void (*changed)(void *ctx), void *ctx)
{
	struct ing_secrets *s = xcalloc(1, sizeof(*s));

	s->env = env;
	s->client = c;
	s->changed = changed;
	s->ctx = ctx;
	s->round_ns = env_mono_ns(env);
	s->factory = informer_factory_new(c);
	informer_factory_start(s->factory);
	return s;
}

struct ing_secrets *ing_secrets_free(struct ing_secrets *s)
{
	if (!s)
		return NULL;
	informer_factory_free(s->factory); /* with its watches */
	STRMAP_EACH(&s->all, e) {
		struct named *n = e->value;

		obj_unref(n->known);
		free(n);
	}
	strmap_release(&s->all);
	free(s);
	return NULL;
}
