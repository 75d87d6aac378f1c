/* Work of the kubelet's server that blocks, off its loop. */
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/server.h"

#include <stdlib.h>

struct server_task {
	struct http_req *r;
	struct kubelet *k;
	void (*fn)(struct http_req *r, struct kubelet *k);
};

static void server_task_unref(struct http_req *r, void *ctx)
{
	(void)ctx;
	http_req_unref(r);
}

static void server_task_run(void *ctx)
{
	struct server_task *t = ctx;

	t->fn(t->r, t->k);
	http_req_post(t->r, server_task_unref, NULL); /* before leaving: the loop lives as long as tasks do */
	ktask_leave(t->k);
	kubelet_unref(t->k);
	free(t);
}

bool server_task(struct http_req *r, struct kserver *s, void *user, void (*fn)(struct http_req *r, struct kubelet *k))
{
	struct server_task *t;

	/* Entered here rather than when its turn comes: kubelet_free() waits for it then, with the loop that its
	 * request belongs to still there. */
	if (!ktask_enter(s->k)) {
		http_respond_text(r, 503, "text/plain; charset=utf-8", SV("the kubelet is stopping"));
		return false;
	}
	r->user = user;
	t = xcalloc(1, sizeof(*t));
	t->r = http_req_ref(r);
	t->k = kubelet_ref(s->k);
	t->fn = fn;
	env_post(s->k->env, ENV_NODE, server_task_run, t);
	return true;
}
