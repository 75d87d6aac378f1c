/* A list under a lock, and a semaphore that counts it. */
#include "apiserver/inbox.h"

#include <errno.h>

void inbox_init(struct inbox *in)
{
	pthread_mutex_init(&in->lock, NULL);
	in->n = in->awaited = in->quiet = 0;
	sem_init(&in->posts, 0, 0);
	list_init(&in->items);
}

void inbox_release(struct inbox *in)
{
	pthread_mutex_destroy(&in->lock);
	sem_destroy(&in->posts);
}

void inbox_gather(struct inbox *in, size_t n)
{
	pthread_mutex_lock(&in->lock);
	in->awaited = n > in->n ? n - in->n : 0;
	pthread_mutex_unlock(&in->lock);
}

/* One more is there: for how many the waiting thread is to hear of it. */
static size_t inbox_came(struct inbox *in)
{
	size_t wake = in->quiet + 1;

	in->n++;
	if (in->awaited && --in->awaited) {
		in->quiet++;
		return 0;
	}
	in->quiet = 0;
	return wake;
}

void inbox_post(struct inbox *in, struct api_req *q, req_fn *fn, void *ctx)
{
	size_t wake;

	q->run_fn = fn;
	q->run_ctx = ctx;
	pthread_mutex_lock(&in->lock);
	list_add_tail(&in->items, &q->run.link);
	wake = inbox_came(in);
	pthread_mutex_unlock(&in->lock);
	while (wake--)
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
	in->n--;
	pthread_mutex_unlock(&in->lock);
	q->run_fn(q, q->run_ctx);
}
