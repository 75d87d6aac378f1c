/* The kinds are made here of their names alone: no schema is needed to read what a server has judged already, and a
 * server in the same process knows its own by their names (apiserver/local.c). */
#include "gateway/feed.h"

#include "client/informer.h"
#include "gateway/crds.h"
#include "object/api_kind.h"

#include <pthread.h>
#include <stdlib.h>

#define LOOK_FIRST_NS NS_PER_SEC
#define LOOK_MAX_NS (15 * NS_PER_SEC)

#define VERSIONS_MAX 2

static const struct feed_kind {
	const char *plural;
	bool namespaced;
	const char *versions[VERSIONS_MAX + 1]; /* the newest first; NULL behind the last */
} feed_kinds[_GW_KIND_MAX] = {
	[GW_CLASSES] = { "gatewayclasses", false, { "v1", "v1beta1" } },
	[GW_GATEWAYS] = { "gateways", true, { "v1", "v1beta1" } },
	[GW_HTTPROUTES] = { "httproutes", true, { "v1", "v1beta1" } },
	[GW_GRPCROUTES] = { "grpcroutes", true, { "v1" } },
	[GW_TLSROUTES] = { "tlsroutes", true, { "v1", "v1alpha2" } },
	[GW_GRANTS] = { "referencegrants", true, { "v1", "v1beta1" } },
};

struct gw_feed {
	struct env *env;
	struct client *client;
	struct informer_factory *factory;
	void (*changed)(void *ctx);
	void *ctx;
	int64_t look_ns, pause_ns; /* when to look for kinds again */

	struct api_kind *kinds[_GW_KIND_MAX][VERSIONS_MAX]; /* those that were asked for; as long as we live */
	struct informer *next[_GW_KIND_MAX];		    /* in a version that is served, instead of: */
	int next_at[_GW_KIND_MAX];
	pthread_mutex_t lock;			  /* of: */
	struct informer *informers[_GW_KIND_MAX]; /* NULL: nobody serves the kind, as far as we know */
	int at[_GW_KIND_MAX];			  /* its version */
};

static void feed_on_object(_unused_ struct obj *o, void *ctx)
{
	struct gw_feed *f = ctx;

	f->changed(f->ctx);
}

/* What is said of them is our own word, and no news. */
static void feed_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_spec), obj_get(neu, F_spec)) || obj_deleting(old) != obj_deleting(neu) ||
	    !sv_eq(obj_uid(old), obj_uid(neu)))
		feed_on_object(neu, ctx);
}

struct gw_feed *gw_feed_new(struct env *env, struct client *c, void (*changed)(void *ctx), void *ctx)
{
	struct gw_feed *f = xcalloc(1, sizeof(*f));

	f->env = env;
	f->client = c;
	f->changed = changed;
	f->ctx = ctx;
	pthread_mutex_init(&f->lock, NULL);
	f->factory = informer_factory_new(c);
	informer_factory_start(f->factory);
	return f;
}

struct gw_feed *gw_feed_free(struct gw_feed *f)
{
	if (!f)
		return NULL;
	informer_factory_free(f->factory);
	for (int k = 0; k < _GW_KIND_MAX; k++)
		for (int v = 0; v < VERSIONS_MAX; v++)
			api_kind_unref(f->kinds[k][v]);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

static void feed_on_unserved(void *ctx)
{
	feed_on_object(NULL, ctx);
}

/* --- kinds and their versions --- */

static const struct resource *feed_resource(struct gw_feed *f, enum gw_kind kind, int at)
{
	const struct feed_kind *k = &feed_kinds[kind];
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (!f->kinds[kind][at])
		f->kinds[kind][at] = api_kind_new(&(struct api_kind_def){ .group = GW_GROUP,
									  .version = k->versions[at],
									  .plural = k->plural,
									  .kind = gw_kind_names[kind],
									  .namespaced = k->namespaced,
									  .status = true,
									  .custom = true },
						  &err);
	return f->kinds[kind][at] ? api_kind_resource(f->kinds[kind][at]) : NULL;
}

/* Of what look() alone changes, so it needs no lock to read it. */
static struct informer *feed_informer(struct gw_feed *f, enum gw_kind kind)
{
	return f->informers[kind];
}

static struct informer *feed_informer_new(struct gw_feed *f, const struct resource *r)
{
	static const struct informer_handler all = { feed_on_object, feed_on_update, feed_on_object };
	struct informer *i = informer_get(f->factory, r, NULL, NULL, NULL);

	informer_add_handler(i, &all, f);
	informer_on_unserved(i, feed_on_unserved, f);
	return i;
}

static void feed_set(struct gw_feed *f, enum gw_kind kind, struct informer *i, int at)
{
	pthread_mutex_lock(&f->lock);
	f->informers[kind] = i;
	f->at[kind] = at;
	pthread_mutex_unlock(&f->lock);
}

/* The first version but that one (-1: any) that is served; -1: none; -2: not known. Whether a kind is there is asked
 * for a name that no object has: the informer reads what there is. */
static int feed_find(struct gw_feed *f, enum gw_kind kind, int but)
{
	static const struct client_list_opts none = { .field_selector = "metadata.name=-" };

	for (int at = 0; feed_kinds[kind].versions[at]; at++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_(obj_list_release) struct obj_list list = { .n = 0 };
		const struct resource *r = at == but ? NULL : feed_resource(f, kind, at);

		if (at == but)
			continue;
		if (!r)
			return -2;
		if (client_list(f->client, r, SV(""), &none, &list, &err) == 0)
			return at;
		if (err.reason != ERR_NOT_FOUND)
			return -2;
	}
	return -1;
}

/* A kind that nobody serves, as far as we know. False: not known. */
static bool feed_look_for(struct gw_feed *f, enum gw_kind kind)
{
	int at = feed_find(f, kind, -1);

	if (at >= 0)
		feed_set(f, kind, feed_informer_new(f, feed_resource(f, kind, at)), at);
	return at != -2;
}

/* A kind whose version is served no more: it stays as it was last seen, until another version has been read. It may
 * well come back, as while a server starts. */
static void feed_look_beside(struct gw_feed *f, enum gw_kind kind)
{
	int at = feed_find(f, kind, f->at[kind]);

	if (at < 0)
		return;
	f->next[kind] = feed_informer_new(f, feed_resource(f, kind, at));
	f->next_at[kind] = at;
}

/* What was found beside takes the other's place, or was in vain. */
static void feed_next(struct gw_feed *f, enum gw_kind kind)
{
	struct informer *next = f->next[kind], *old = f->informers[kind];

	if (!informer_unserved(old)) {
		f->next[kind] = NULL;
		informer_end(f->factory, next);
	} else if (informer_synced(next)) {
		f->next[kind] = NULL;
		feed_set(f, kind, next, f->next_at[kind]);
		informer_end(f->factory, old);
	} else if (informer_unserved(next)) {
		f->next[kind] = NULL;
		informer_end(f->factory, next);
	}
}

/* Found, and gone before it was read: it is as if it had never been there, and nobody waits for it. */
static void feed_forget_unread(struct gw_feed *f, enum gw_kind kind)
{
	struct informer *i = f->informers[kind];

	if (!i || f->next[kind] || informer_synced(i) || !informer_unserved(i))
		return;
	feed_set(f, kind, NULL, 0);
	informer_end(f->factory, i);
}

bool gw_feed_look(struct gw_feed *f, int64_t *ret_after_ns)
{
	int64_t now = env_mono_ns(f->env);
	bool known = true, all = true, turning = false, look = !f->look_ns || now >= f->look_ns;

	for (int k = 0; k < _GW_KIND_MAX; k++) {
		enum gw_kind kind = (enum gw_kind)k;
		struct informer *i;

		feed_forget_unread(f, kind);
		i = feed_informer(f, kind);
		if (f->next[k])
			feed_next(f, kind);
		else if (!i && look)
			known &= feed_look_for(f, kind);
		else if (i && look && informer_unserved(i))
			feed_look_beside(f, kind);
		i = feed_informer(f, kind);
		turning |= f->next[k] != NULL;
		all &= i && !informer_unserved(i);
		known &= !i || informer_synced(i);
	}
	if (look) {
		f->pause_ns = f->pause_ns ? MIN(2 * f->pause_ns, LOOK_MAX_NS) : LOOK_FIRST_NS;
		f->look_ns = known ? now + f->pause_ns : 0;
	}
	*ret_after_ns = !known	  ? 10 * NS_PER_MS
			: turning ? 100 * NS_PER_MS
			: all	  ? 0
				  : MAX(f->look_ns - now, NS_PER_MS);
	return known;
}

/* --- what there is --- */

void gw_feed_objects(struct gw_feed *f, struct arena *a, struct gw_source *ret)
{
	*ret = (struct gw_source){ .ctx = NULL };
	pthread_mutex_lock(&f->lock);
	for (int k = 0; k < _GW_KIND_MAX; k++)
		if (f->informers[k])
			ret->objects[k] = informer_list(f->informers[k], a, SV(""), &ret->n[k]);
	pthread_mutex_unlock(&f->lock);
}

bool gw_feed_has(struct gw_feed *f, enum gw_kind kind)
{
	bool has;

	pthread_mutex_lock(&f->lock);
	has = f->informers[kind] && informer_count(f->informers[kind]);
	pthread_mutex_unlock(&f->lock);
	return has;
}

const struct resource *gw_feed_resource(struct gw_feed *f, enum gw_kind kind)
{
	const struct resource *r;

	pthread_mutex_lock(&f->lock);
	r = f->informers[kind] ? api_kind_resource(f->kinds[kind][f->at[kind]]) : NULL;
	pthread_mutex_unlock(&f->lock);
	return r;
}
