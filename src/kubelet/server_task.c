/* Work of the kubelet's server that blocks, off its loop, and its answers. */
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/server.h"

#include <stdlib.h>

struct answer {
	int status;
	const char *type;
	struct buf text;
};

static void answer_now(struct http_req *r, void *ctx)
{
	struct answer *a = ctx;

	if (!http_req_gone(r))
		http_respond_text(r, a->status, a->type, buf_sv(&a->text));
	buf_release(&a->text);
	free(a);
}

void server_answer(struct http_req *r, int status, const char *type, struct sv text)
{
	struct answer *a = xcalloc(1, sizeof(*a));

	a->status = status;
	a->type = type;
	buf_addsv(&a->text, text);
	http_req_post(r, answer_now, a);
}

struct server_task {
	struct http_req *r;
	struct kubelet *k;
	void (*fn)(struct http_req *r, struct kubelet *k);
	struct env_timer *timer; /* under k->lock; NULL: it waits for none */
};

static void server_task_unref(struct http_req *r, void *ctx)
{
	(void)ctx;
	http_req_unref(r);
}

static void server_task_run(void *ctx)
{
	struct server_task *t = ctx;

	pthread_mutex_lock(&t->k->lock);
	t->timer = env_timer_cancel(t->k->env, t->timer); /* it has fired: the handle is let go of */
	pthread_mutex_unlock(&t->k->lock);
	t->fn(t->r, t->k);
	http_req_post(t->r, server_task_unref, NULL); /* before leaving: the loop lives as long as tasks do */
	ktask_leave(t->k);
	kubelet_unref(t->k);
	free(t);
}

/* Entered here rather than when its turn comes: kubelet_free() waits for it then, with the loop that its request
 * belongs to still there. NULL: the kubelet is stopping. */
static struct server_task *server_task_new(struct http_req *r, struct kubelet *k,
					   void (*fn)(struct http_req *r, struct kubelet *k))
{
	struct server_task *t;

	if (!ktask_enter(k))
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->r = http_req_ref(r);
	t->k = kubelet_ref(k);
	t->fn = fn;
	return t;
}

bool server_task(struct http_req *r, struct kserver *s, void *user, void (*fn)(struct http_req *r, struct kubelet *k))
{
	struct server_task *t = server_task_new(r, s->k, fn);

	if (!t) {
		http_respond_text(r, 503, "text/plain; charset=utf-8", SV("the kubelet is stopping"));
		return false;
	}
	r->user = user;
	env_post(s->k->env, ENV_NODE, server_task_run, t);
	return true;
}

void server_task_later(struct http_req *r, struct kubelet *k, int64_t delay_ns,
		       void (*fn)(struct http_req *r, struct kubelet *k))
{
	struct server_task *t = server_task_new(r, k, fn);

	if (!t) {
		server_answer(r, 503, "text/plain; charset=utf-8", SV("the kubelet is stopping"));
		return;
	}
	pthread_mutex_lock(&k->lock); /* else it could fire before the handle is there */
	t->timer = env_after(k->env, ENV_NODE, delay_ns, server_task_run, t);
	pthread_mutex_unlock(&k->lock);
}
