/* A list under a lock, and a semaphore that counts it. */
#include "apiserver/inbox.h"

#include <errno.h>

void inbox_init(struct inbox *in)
{
	pthread_mutex_init(&in->lock, NULL);
	sem_init(&in->posts, 0, 0);
	list_init(&in->items);
}

void inbox_release(struct inbox *in)
{
	pthread_mutex_destroy(&in->lock);
	sem_destroy(&in->posts);
}

void inbox_post(struct inbox *in, struct api_req *q, req_fn *fn, void *ctx)
{
	q->run_fn = fn;
	q->run_ctx = ctx;
	pthread_mutex_lock(&in->lock);
	list_add_tail(&in->items, &q->run.link);
	pthread_mutex_unlock(&in->lock);
	BUG_ON(sem_post(&in->posts) < 0);
}

void inbox_run(struct inbox *in)
{
	struct api_req *q;

	while (sem_wait(&in->posts) < 0)
		BUG_ON(errno != EINTR);
	pthread_mutex_lock(&in->lock);
	q = CONTAINER_OF(in->items.next, struct api_req, run.link);
	list_del(&q->run.link);
	pthread_mutex_unlock(&in->lock);
	q->run_fn(q, q->run_ctx);
}
