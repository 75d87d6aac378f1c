#include "client/informer_lazy.h"

void informer_lazy_init(struct informer_lazy *l)
{
	pthread_mutex_init(&l->lock, NULL);
	l->factory = NULL;
	l->informer = NULL;
}

struct informer *informer_lazy_get(struct informer_lazy *l, struct client *c, const struct resource *r,
				   const char *field_selector, const struct informer_handler *h, void *ctx)
{
	pthread_mutex_lock(&l->lock);
	if (!l->factory) {
		l->factory = informer_factory_new(c);
		l->informer = informer_get(l->factory, r, NULL, NULL, field_selector);
		informer_add_handler(l->informer, h, ctx);
		informer_factory_start(l->factory);
	}
	pthread_mutex_unlock(&l->lock);
	return l->informer;
}

void informer_lazy_release(struct informer_lazy *l)
{
	if (l->factory)
		informer_factory_free(l->factory);
	pthread_mutex_destroy(&l->lock);
}
