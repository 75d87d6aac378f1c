/* informer_lazy.h - an informer that the first who asks begins: what only some need costs the others nothing.
 *
 * Threads: any. No handler runs after informer_lazy_release().
 */
#pragma once

#include "client/informer.h"

#include <pthread.h>

struct informer_lazy {
	pthread_mutex_t lock;
	struct informer_factory *factory; /* NULL: nobody has asked yet */
	struct informer *informer;
};

void informer_lazy_init(struct informer_lazy *l);
/* Of all namespaces; with the same arguments each time. field_selector may be NULL. Lives until the release. */
struct informer *informer_lazy_get(struct informer_lazy *l, struct client *c, const struct resource *r,
				   const char *field_selector, const struct informer_handler *h, void *ctx);
void informer_lazy_release(struct informer_lazy *l);
