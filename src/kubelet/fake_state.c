/* What all calls of the in-memory runtime do: counting, failing as told, the ends of containers and the notices of
 * them. */
#include "kubelet/fake_runtime-internal.h"

#include <stdlib.h>

int fake_enter(struct fake *f, const char *op, struct err *err)
{
	void **n;

	pthread_mutex_lock(&f->lock);
	n = strmap_slot(&f->calls, sv_from(op));
	*n = (void *)((uintptr_t)*n + 1);
	if (f->hangs) {
		pthread_mutex_unlock(&f->lock);
		return err_set(err, ERR_TIMEOUT, "%s ran out of time", op);
	}
	n = strmap_slot(&f->failures, sv_from(op));
	if ((uintptr_t)*n == 0)
		return 0;
	*n = (void *)((uintptr_t)*n - 1);
	pthread_mutex_unlock(&f->lock);
	return err_set(err, ERR_UNAVAILABLE, "%s was told to fail", op);
}

void fake_leave(struct fake *f)
{
	pthread_mutex_unlock(&f->lock);
}

int fake_leave_missing(struct fake *f, const char *what, struct sv id, struct err *err)
{
	fake_leave(f);
	return err_set(err, ERR_NOT_FOUND, "no %s \"%.*s\"", what, SV_ARG(id));
}

/* --- notices, delivered later as a task so that the caller's locks do not matter --- */

struct notice {
	struct fake *f;
	char *uid, *id;
};

static void fake_deliver(void *ctx)
{
	struct notice *n = ctx;
	void (*fn)(const struct rt_event *ev, void *ctx);
	void *fn_ctx;

	pthread_mutex_lock(&n->f->lock);
	fn = n->f->notice;
	fn_ctx = n->f->notice_ctx;
	pthread_mutex_unlock(&n->f->lock);
	if (fn)
		fn(&(struct rt_event){ .pod_uid = sv_from(n->uid), .container_id = sv_from(n->id) }, fn_ctx);
	free(n->uid);
	free(n->id);
	free(n);
}

static void notify(struct fake *f, const struct fake_container *c) /* locked */
{
	struct notice *n;

	if (!f->notice)
		return;
	n = xcalloc(1, sizeof(*n));
	n->f = f;
	n->uid = xstrndup(c->sandbox->s.uid.p, c->sandbox->s.uid.n);
	n->id = xstrndup(c->c.id.p, c->c.id.n);
	env_post(f->env, ENV_NODE, fake_deliver, n);
}

/* --- ends --- */

void fake_end_container(struct fake *f, struct fake_container *c, int code, const char *reason) /* locked */
{
	if (c->c.state == RT_EXITED)
		return;
	c->c.state = RT_EXITED;
	c->c.exit_code = code;
	c->c.reason = arena_sv(&c->a, sv_from(reason));
	c->c.finished_ns = env_now_ns(f->env);
	notify(f, c);
}

void fake_lose_record(struct fake_container *c) /* locked */
{
	c->c.state = RT_UNKNOWN;
	c->c.created_ns = c->c.started_ns = 0;
}
