/* A question that somebody waits for. */
#include "store/etcd/etcd-internal.h"

struct asking {
	struct link_req req;
	struct es *es;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	int64_t timeout_ns;
	struct buf *answer;
	struct err *err;
	int rc;
	bool done;
};

static void asking_done(struct link_req *r, const struct grpc_end *e, struct sv answer)
{
	struct asking *a = CONTAINER_OF(r, struct asking, req);

	pthread_mutex_lock(&a->mu);
	if (e->code == GRPC_OK)
		buf_addsv(a->answer, answer);
	else
		a->rc = etcd_fault(e, a->err);
	a->done = true;
	pthread_cond_signal(&a->cond); /* under the lock: a is the waiter's stack */
	pthread_mutex_unlock(&a->mu);
}

static void asking_begin(void *ctx)
{
	struct asking *a = ctx;

	a->req.until_ns = es_in(a->es, a->timeout_ns);
	link_request(a->es->link, &a->req);
}

int es_ask(struct es *es, const char *method, struct buf *request, int64_t timeout_ns, struct buf *ret_answer,
	   struct err *err)
{
	struct asking a = { .req = { .method = method, .request = *request, .done = asking_done },
			    .es = es,
			    .mu = PTHREAD_MUTEX_INITIALIZER,
			    .cond = PTHREAD_COND_INITIALIZER,
			    .timeout_ns = timeout_ns,
			    .answer = ret_answer,
			    .err = err };

	*request = BUF_INIT;
	buf_clear(ret_answer);
	ev_loop_post(es->loop, asking_begin, &a);
	pthread_mutex_lock(&a.mu);
	while (!a.done)
		pthread_cond_wait(&a.cond, &a.mu);
	pthread_mutex_unlock(&a.mu);
	pthread_cond_destroy(&a.cond);
	pthread_mutex_destroy(&a.mu);
	buf_release(&a.req.request);
	return a.rc;
}
