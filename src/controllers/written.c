/* See written.h. An entry goes as soon as it was seen, so the map holds only what is under way. */
#include "controllers/written.h"
#include "base/strmap.h"

#include <pthread.h>
#include <stdlib.h>

struct written {
	pthread_mutex_t lock;
	struct strmap revs; /* key -> the revision, as a pointer */
};

struct written *written_new(void)
{
	struct written *w = xcalloc(1, sizeof(*w));

	pthread_mutex_init(&w->lock, NULL);
	return w;
}

struct written *written_free(struct written *w)
{
	if (!w)
		return NULL;
	strmap_release(&w->revs);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}

void written_note(struct written *w, struct sv key, int64_t rev)
{
	void **slot;

	pthread_mutex_lock(&w->lock);
	slot = strmap_slot(&w->revs, key);
	if ((intptr_t)*slot < rev)
		*slot = (void *)(intptr_t)rev;
	pthread_mutex_unlock(&w->lock);
}

bool written_seen(struct written *w, struct sv key, struct informer *i)
{
	int64_t rev = informer_rev(i);
	bool seen;

	pthread_mutex_lock(&w->lock);
	seen = (intptr_t)strmap_get(&w->revs, key) <= rev;
	if (seen)
		(void)strmap_del(&w->revs, key);
	pthread_mutex_unlock(&w->lock);
	return seen;
}
