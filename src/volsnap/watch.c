/* The kinds are made here of their names alone: no schema is needed to read what a server has judged already. */
#include "volsnap/watch.h"

#include "object/api_kind.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static const struct {
	const char *kind;
	bool namespaced, status;
} watch_kinds[_VOLSNAP_MAX] = {
	[VOLSNAP_CLASSES] = { "VolumeSnapshotClass", false, false },
	[VOLSNAP_CONTENTS] = { "VolumeSnapshotContent", false, true },
	[VOLSNAP_SNAPSHOTS] = { "VolumeSnapshot", true, true },
};

struct volsnap_watch {
	struct informer_factory *factory;
	unsigned which;
	pthread_mutex_t lock;		      /* of: */
	struct api_kind *kinds[_VOLSNAP_MAX]; /* NULL: nobody asked for it yet */
	struct informer *informers[_VOLSNAP_MAX];
	atomic_bool started; /* informers is set, and does not change */
};

struct volsnap_watch *volsnap_watch_new(struct client *c, unsigned which)
{
	struct volsnap_watch *w = xcalloc(1, sizeof(*w));

	w->factory = informer_factory_new(c);
	w->which = which;
	pthread_mutex_init(&w->lock, NULL);
	return w;
}

void volsnap_watch_stop(struct volsnap_watch *w)
{
	informer_factory_stop(w->factory);
}

struct volsnap_watch *volsnap_watch_free(struct volsnap_watch *w)
{
	if (!w)
		return NULL;
	informer_factory_free(w->factory);
	for (int k = 0; k < _VOLSNAP_MAX; k++)
		api_kind_unref(w->kinds[k]);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}

static const struct resource *watch_resource_locked(struct volsnap_watch *w, enum volsnap_kind kind)
{
	if (!w->kinds[kind])
		w->kinds[kind] = api_kind_new(&(struct api_kind_def){ .group = VOLSNAP_GROUP,
								      .version = "v1",
								      .plural = volsnap_plurals[kind],
								      .kind = watch_kinds[kind].kind,
								      .namespaced = watch_kinds[kind].namespaced,
								      .status = watch_kinds[kind].status,
								      .custom = true },
					      NULL);
	return w->kinds[kind] ? api_kind_resource(w->kinds[kind]) : NULL;
}

const struct resource *volsnap_resource(struct volsnap_watch *w, enum volsnap_kind kind)
{
	const struct resource *r;

	pthread_mutex_lock(&w->lock);
	r = watch_resource_locked(w, kind);
	pthread_mutex_unlock(&w->lock);
	return r;
}

bool volsnap_watch_for(struct volsnap_watch *w, enum volsnap_kind kind, const struct informer_handler *h, void *ctx)
{
	const struct resource *r = volsnap_resource(w, kind);

	if (!r)
		return false;
	informer_add_handler(informer_get(w->factory, r, NULL, NULL, NULL), h, ctx);
	informer_factory_start(w->factory);
	return true;
}

/* False: somebody did before, or there is no room for more names. */
static bool watch_make(struct volsnap_watch *w)
{
	bool all = !volsnap_watch_started(w);

	for (int k = 0; all && k < _VOLSNAP_MAX; k++)
		all = watch_resource_locked(w, (enum volsnap_kind)k) != NULL;
	for (int k = 0; all && k < _VOLSNAP_MAX; k++)
		if (w->which & 1U << k)
			w->informers[k] = informer_get(w->factory, api_kind_resource(w->kinds[k]), NULL, NULL, NULL);
	if (all)
		atomic_store(&w->started, true);
	return all;
}

void volsnap_watch_start(struct volsnap_watch *w, void (*made)(struct volsnap_watch *w, void *ctx), void *ctx)
{
	bool first;

	pthread_mutex_lock(&w->lock);
	first = watch_make(w);
	pthread_mutex_unlock(&w->lock);
	if (!first)
		return;
	if (made)
		made(w, ctx);
	informer_factory_start(w->factory);
}

bool volsnap_watch_started(struct volsnap_watch *w)
{
	return atomic_load(&w->started);
}

struct informer *volsnap_informer(struct volsnap_watch *w, enum volsnap_kind kind)
{
	return volsnap_watch_started(w) ? w->informers[kind] : NULL;
}

bool volsnap_watch_synced(struct volsnap_watch *w)
{
	bool all = volsnap_watch_started(w);

	for (int k = 0; all && k < _VOLSNAP_MAX; k++)
		all = !w->informers[k] || informer_synced(w->informers[k]);
	return all;
}
