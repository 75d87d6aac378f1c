/* A factory has one informer for all who ask for the same objects, and says of each resource what is held of them: what
 * several have said together. The latter is settled when the first informer of a resource is there. */
#include "client/informer-internal.h"

#include "object/api_kind.h"

#include <pthread.h>
#include <stdlib.h>

struct factory_keep {
	const struct resource *res; /* a reference */
	struct keep *keep;
	bool closed; /* somebody has an informer: what is held is settled */
};

struct informer_factory {
	struct client *client;
	pthread_mutex_t lock;
	VEC(struct informer *) informers;
	VEC(struct factory_keep) keeps;
	bool started, stopped;
};

struct informer_factory *informer_factory_new(struct client *c)
{
	struct informer_factory *f = xcalloc(1, sizeof(*f));

	f->client = c;
	pthread_mutex_init(&f->lock, NULL);
	return f;
}

static struct factory_keep *factory_keep_of(struct informer_factory *f, const struct resource *r)
{
	for (size_t k = 0; k < f->keeps.n; k++)
		if (f->keeps.p[k].res == r)
			return &f->keeps.p[k];
	return NULL;
}

void informer_factory_keep(struct informer_factory *f, const struct resource *r, const char *const *paths)
{
	struct factory_keep *k;

	pthread_mutex_lock(&f->lock);
	k = factory_keep_of(f, r);
	if (!k) {
		vec_push(&f->keeps, ((struct factory_keep){ .res = resource_ref(r), .keep = keep_new() }));
		k = &f->keeps.p[f->keeps.n - 1];
	}
	BUG_ON(k->closed && !keep_has(k->keep, paths));
	if (!k->closed)
		keep_add(k->keep, paths);
	pthread_mutex_unlock(&f->lock);
}

static struct keep *factory_keep_close(struct informer_factory *f, const struct resource *r)
{
	struct factory_keep *k = factory_keep_of(f, r);

	if (k)
		k->closed = true;
	return k ? keep_ref(k->keep) : NULL;
}

struct informer *informer_get(struct informer_factory *f, const struct resource *r, const char *ns,
			      const char *label_selector, const char *field_selector)
{
	struct informer *i = NULL;

	pthread_mutex_lock(&f->lock);
	for (size_t k = 0; k < f->informers.n && !i; k++)
		if (informer_is(f->informers.p[k], r, ns, label_selector, field_selector))
			i = f->informers.p[k];
	if (!i) {
		i = informer_new(f->client, r, ns, label_selector, field_selector, factory_keep_close(f, r));
		vec_push(&f->informers, i);
		if (f->started && !f->stopped)
			informer_start(i);
	}
	pthread_mutex_unlock(&f->lock);
	return i;
}

void informer_factory_start(struct informer_factory *f)
{
	pthread_mutex_lock(&f->lock);
	f->started = true;
	for (size_t k = 0; k < f->informers.n && !f->stopped; k++)
		informer_start(f->informers.p[k]);
	pthread_mutex_unlock(&f->lock);
}

bool informer_factory_synced(struct informer_factory *f)
{
	bool synced = true;

	pthread_mutex_lock(&f->lock);
	for (size_t k = 0; k < f->informers.n && synced; k++)
		synced = informer_synced(f->informers.p[k]);
	pthread_mutex_unlock(&f->lock);
	return synced;
}

void informer_end(struct informer_factory *f, struct informer *i)
{
	bool stopped;

	pthread_mutex_lock(&f->lock);
	stopped = f->stopped;
	for (size_t k = 0; k < f->informers.n && !stopped; k++) {
		if (f->informers.p[k] == i) {
			f->informers.p[k] = f->informers.p[--f->informers.n];
			break;
		}
	}
	pthread_mutex_unlock(&f->lock);
	if (stopped)
		return; /* whoever stops all has it in hand */
	informer_stop(i);
	informer_unref(i);
}

bool informer_factory_stopped(struct informer_factory *f)
{
	bool stopped;

	pthread_mutex_lock(&f->lock);
	stopped = f->stopped;
	pthread_mutex_unlock(&f->lock);
	return stopped;
}

void informer_factory_stop(struct informer_factory *f)
{
	VEC(struct informer *) all = VEC_INIT;

	/* Each waits for its handlers, which may ask for more of us: not under the lock. From here on none is freed. */
	pthread_mutex_lock(&f->lock);
	f->stopped = true;
	for (size_t k = 0; k < f->informers.n; k++)
		vec_push(&all, f->informers.p[k]);
	pthread_mutex_unlock(&f->lock);
	for (size_t k = 0; k < all.n; k++)
		informer_stop(all.p[k]);
	vec_release(&all);
}

struct informer_factory *informer_factory_free(struct informer_factory *f)
{
	if (!f)
		return NULL;
	informer_factory_stop(f);
	for (size_t k = 0; k < f->informers.n; k++)
		informer_unref(f->informers.p[k]);
	vec_release(&f->informers);
	for (size_t k = 0; k < f->keeps.n; k++) {
		resource_unref(f->keeps.p[k].res);
		keep_unref(f->keeps.p[k].keep);
	}
	vec_release(&f->keeps);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}
