/* informer-internal.h - an informer as its factory makes and ends it, for informer.c and informer_factory.c only. */
#pragma once

#include "client/informer.h"

/* With one reference. keep_take: NULL is all. */
struct informer *informer_new(struct client *c, const struct resource *r, const char *ns, const char *labels,
			      const char *fields, struct keep *keep_take);
/* Is it of these objects? NULL is as "". */
bool informer_is(const struct informer *i, const struct resource *r, const char *ns, const char *labels,
		 const char *fields);
void informer_start(struct informer *i); /* once; more is nothing */
void informer_stop(struct informer *i);	 /* waits for what runs; no handler is called after */
void informer_unref(struct informer *i);
