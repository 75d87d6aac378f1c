/* The kinds are made here of their names alone: no schema is needed to read what a server has judged already. */
#include "volsnap/watch.h"

#include "object/api_kind.h"

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
	struct api_kind *kinds[_VOLSNAP_MAX];
	struct informer *informers[_VOLSNAP_MAX];
	atomic_bool started; /* informers is set, and does not change */
};

struct volsnap_watch *volsnap_watch_new(struct client *c)
{
	struct volsnap_watch *w = xcalloc(1, sizeof(*w));

	w->factory = informer_factory_new(c);
	for (int k = 0; k < _VOLSNAP_MAX; k++)
		w->kinds[k] = api_kind_new(&(struct api_kind_def){ .group = VOLSNAP_GROUP,
								   .version = "v1",
								   .plural = volsnap_plurals[k],
								   .kind = watch_kinds[k].kind,
								   .namespaced = watch_kinds[k].namespaced,
								   .status = watch_kinds[k].status,
								   .custom = true },
					   NULL);
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
	free(w);
	return NULL;
}

const struct resource *volsnap_resource(struct volsnap_watch *w, enum volsnap_kind kind)
{
	return w->kinds[kind] ? api_kind_resource(w->kinds[kind]) : NULL;
}

void volsnap_watch_start(struct volsnap_watch *w, void (*made)(struct volsnap_watch *w, void *ctx), void *ctx)
{
	if (volsnap_watch_started(w))
		return;
	for (int k = 0; k < _VOLSNAP_MAX; k++) {
		const struct resource *r = volsnap_resource(w, (enum volsnap_kind)k);

		if (!r)
			return;
		w->informers[k] = informer_get(w->factory, r, NULL, NULL, NULL);
	}
	atomic_store(&w->started, true);
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
		all = informer_synced(w->informers[k]);
	return all;
}
