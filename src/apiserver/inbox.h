/* inbox.h - a thread that waits for requests of its own lends itself to them: what goes on with one runs there.
 *
 * So nothing of a request from this process runs on the store's thread, and none takes a thread of the pool while
 * another one does nothing but wait for it.
 *
 * Threads: inbox_post() from any; the others on the waiting thread. Each post is taken by one inbox_run(): whoever has
 * run as many as were posted may release the inbox.
 */
#pragma once

#include "apiserver/api_req.h"

#include <pthread.h>
#include <semaphore.h>

struct inbox {
	pthread_mutex_t lock;
	struct list items;
	/* A semaphore and no condition: the one who waits wakes up to nothing locked, and its going on is no third
	 * system call (a mutex taken back by pthread_cond_wait() is always unlocked through the kernel). */
	sem_t posts;
	size_t n;	       /* items */
	size_t awaited, quiet; /* inbox_gather(): posts that are to come, and those that came and woke nobody yet */
};

void inbox_init(struct inbox *in);
void inbox_release(struct inbox *in);
/* fn(q, ctx) will run; q has no other post, nor anything on the pool, until then. */
void inbox_post(struct inbox *in, struct api_req *q, req_fn *fn, void *ctx);
/* n requests are under way or posted, and none of those on its way needs another's post to be run: whoever waits is
 * woken when the last of them is there, and not for each. By the waiting thread, once for these n. */
void inbox_gather(struct inbox *in, size_t n);
/* Runs the next, waiting for it. */
void inbox_run(struct inbox *in);
