/* transform-internal.h - shared by transform.c (what goes in, and ranges) and transform_out.c (what is told), nobody
 * else. */
#pragma once

#include "base/list.h"
#include "store/transform.h"

#include <pthread.h>

struct tx {
	struct store store;
	struct store_ops ops; /* has a sync, and keys that go, where the inner one has */
	struct store *inner;
	struct store_transform *t;
	pthread_mutex_t mu;
	pthread_cond_t changed, late; /* late: for the forwarder */
	/* Guarded by mu. */
	struct list watches, queue;
	size_t held, held_bytes;
	struct list inbox; /* writes at in(), in their order */
	size_t writes;	   /* not answered yet */
	bool delivering, forwarding;
	bool threaded, stopping; /* there is a forwarder; it shall end */
	pthread_t deliverer;
};

/* A write, or one beside it: those go where it goes. */
struct tx_op {
	struct list link; /* in the inbox */
	struct tx *x;
	struct tx_op *own;    /* the write that this one is beside; itself */
	struct tx_op **also;  /* of the write itself, owned */
	size_t n_also, waits; /* answers of in() that are due */
	bool ready;
	char *stored; /* owned, until the store below has it */
	size_t stored_n;
	struct err err;
	struct sv key, value; /* behind this; as written */
	int64_t expect_rev, lease, ttl_s;
	bool tombstone, for_deletion, guard;
	void *cookie;
	store_done_fn *done;
	void *ctx;
};

/* A watch: the inner one's ctx. */
struct tx_watch {
	struct list link;
	struct tx *x;
	struct store_watch *inner;
	struct store_watch_cb cb; /* the inner one's */
	const struct store_watch_cb *user;
	void *ctx;
	bool busy; /* told something from the queue just now */
};

#define TX(s) CONTAINER_OF(s, struct tx, store)

/* transform_out.c */
void tx_answer(struct tx_op *op, const struct store_result *r); /* frees op */
void tx_committed(const struct store_result *r, void *op);	/* of the store below */
int tx_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb, void *ctx,
	     struct store_watch **ret_watch, struct err *err);
void tx_unwatch(struct store *s, struct store_watch *watch);
void tx_sync(struct store *s, store_sync_fn *done, void *ctx);
