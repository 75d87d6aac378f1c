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

static const struct feed_kind {
	const char *plural;
	bool namespaced;
	const char *versions[3]; /* the newest first; NULL behind the last */
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

	pthread_mutex_t lock; /* of: */
	struct api_kind *kinds[_GW_KIND_MAX];
	struct informer *informers[_GW_KIND_MAX]; /* NULL: nobody serves the kind, as far as we know */
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
		api_kind_unref(f->kinds[k]);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

static struct api_kind *feed_kind(enum gw_kind kind, const char *version)
{
	const struct feed_kind *k = &feed_kinds[kind];
	_cleanup_(err_release) struct err err = ERR_INIT;

	return api_kind_new(&(struct api_kind_def){ .group = GW_GROUP,
						    .version = version,
						    .plural = k->plural,
						    .kind = gw_kind_names[kind],
						    .namespaced = k->namespaced,
						    .status = true,
						    .custom = true },
			    &err);
}

static struct informer *feed_informer(struct gw_feed *f, enum gw_kind kind)
{
	struct informer *i;

	pthread_mutex_lock(&f->lock);
	i = f->informers[kind];
	pthread_mutex_unlock(&f->lock);
	return i;
}

/* False: not known whether somebody serves it. Whether a kind is there is asked for a name that no object has: the
 * informer reads what there is. */
static bool feed_find(struct gw_feed *f, enum gw_kind kind)
{
	static const struct client_list_opts none = { .field_selector = "metadata.name=-" };
	static const struct informer_handler all = { feed_on_object, feed_on_update, feed_on_object };

	for (const char *const *v = feed_kinds[kind].versions; *v; v++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_(obj_list_release) struct obj_list list = { .n = 0 };
		struct api_kind *k = feed_kind(kind, *v);
		struct informer *i;

		if (!k)
			return false;
		if (client_list(f->client, api_kind_resource(k), SV(""), &none, &list, &err) < 0) {
			api_kind_unref(k);
			if (err.reason != ERR_NOT_FOUND)
				return false;
			continue;
		}
		i = informer_get(f->factory, api_kind_resource(k), NULL, NULL, NULL);
		informer_add_handler(i, &all, f);
		pthread_mutex_lock(&f->lock);
		f->kinds[kind] = k;
		f->informers[kind] = i;
		pthread_mutex_unlock(&f->lock);
		break;
	}
	return true;
}

bool gw_feed_look(struct gw_feed *f, int64_t *ret_after_ns)
{
	int64_t now = env_mono_ns(f->env);
	bool known = true, all = true, look = !f->look_ns || now >= f->look_ns;

	for (int k = 0; k < _GW_KIND_MAX; k++) {
		struct informer *i = feed_informer(f, (enum gw_kind)k);

		if (!i && look) {
			known &= feed_find(f, (enum gw_kind)k);
			i = feed_informer(f, (enum gw_kind)k);
		}
		all &= i != NULL;
		known &= !i || informer_synced(i);
	}
	if (look) {
		f->pause_ns = f->pause_ns ? MIN(2 * f->pause_ns, LOOK_MAX_NS) : LOOK_FIRST_NS;
		f->look_ns = known ? now + f->pause_ns : 0;
	}
	*ret_after_ns = !known ? 10 * NS_PER_MS : all ? 0 : MAX(f->look_ns - now, NS_PER_MS);
	return known;
}

void gw_feed_objects(struct gw_feed *f, struct arena *a, struct gw_source *ret)
{
	*ret = (struct gw_source){ .ctx = NULL };
	for (int k = 0; k < _GW_KIND_MAX; k++) {
		struct informer *i = feed_informer(f, (enum gw_kind)k);

		if (i)
			ret->objects[k] = informer_list(i, a, SV(""), &ret->n[k]);
	}
}

bool gw_feed_has(struct gw_feed *f, enum gw_kind kind)
{
	struct informer *i = feed_informer(f, kind);

	return i && informer_count(i);
}

const struct resource *gw_feed_resource(struct gw_feed *f, enum gw_kind kind)
{
	const struct resource *r;

	pthread_mutex_lock(&f->lock);
	r = f->kinds[kind] ? api_kind_resource(f->kinds[kind]) : NULL;
	pthread_mutex_unlock(&f->lock);
	return r;
}
