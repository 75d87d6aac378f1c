/* informer-internal.h - the inside of an informer, and how its factory makes and ends it: for informer*.c only. */
#pragma once

#include "base/retry.h"
#include "base/vec.h"
#include "client/index.h"
#include "client/informer.h"

#include <pthread.h>

enum notice_kind { NOTICE_CHANGE, NOTICE_HANDLER, NOTICE_SYNCED, NOTICE_UNSERVED };

struct notice {
	enum notice_kind kind;
	struct obj *old, *neu; /* references; either may be NULL */
	size_t handler;	       /* NOTICE_HANDLER: whom to tell about neu */
};

struct handler {
	struct informer_handler ops;
	void *ctx;
};

struct informer {
	struct client *client;
	struct env *env;
	const struct resource *res;
	char *ns, *labels, *fields;
	struct keep *keep; /* a reference; NULL: objects are whole */

	pthread_mutex_t lock;
	pthread_cond_t quiet; /* busy turned 0 */
	struct index index;
	VEC(struct handler) handlers;
	VEC(struct notice) notices;
	int64_t rev;
	unsigned generation; /* of full lists */
	bool started, listed, synced, stopping;
	bool draining;
	bool unserved;
	void (*on_unserved)(void *ctx);
	void *on_unserved_ctx;
	int busy; /* tasks of ours running now */
	struct client_watch *watch;
	struct env_timer *retry;
	struct retry failed; /* lists and watches, since something came */
	unsigned refs;
};

/* With one reference. keep_take: NULL is all. */
struct informer *informer_new(struct client *c, const struct resource *r, const char *ns, const char *labels,
			      const char *fields, struct keep *keep_take);
/* Is it of these objects? NULL is as "". */
bool informer_is(const struct informer *i, const struct resource *r, const char *ns, const char *labels,
		 const char *fields);
void informer_start(struct informer *i); /* once; more is nothing */
void informer_stop(struct informer *i);	 /* waits for what runs; no handler is called after */
void informer_unref(struct informer *i);
