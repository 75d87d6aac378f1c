/* What tests do to the runtime; see fake_runtime.h. */
#include "kubelet/fake_runtime-internal.h"

#include <stdlib.h>

static struct fake_container *fake_running(struct fake *f, struct sv uid, struct sv name)
{
	for (struct fake_sandbox *s = strmap_get(&f->pods, uid); s; s = s->next)
		for (struct fake_container *c = s->containers; c; c = c->next)
			if (c->c.state == RT_RUNNING && sv_eq(c->c.name, name))
				return c;
	return NULL;
}

bool runtime_fake_exit(struct runtime *r, struct sv pod_uid, struct sv name, int exit_code, const char *reason)
{
	struct fake *f = fake_of(r);
	struct fake_container *c;

	pthread_mutex_lock(&f->lock);
	c = fake_running(f, pod_uid, name);
	if (c)
		fake_end_container(f, c, exit_code, reason);
	pthread_mutex_unlock(&f->lock);
	return c;
}

bool runtime_fake_lose(struct runtime *r, struct sv pod_uid, struct sv name)
{
	struct fake *f = fake_of(r);
	struct fake_container *c;

	pthread_mutex_lock(&f->lock);
	c = fake_running(f, pod_uid, name);
	if (c)
		fake_lose_record(c);
	pthread_mutex_unlock(&f->lock);
	return c;
}

bool runtime_fake_kill_sandbox(struct runtime *r, struct sv pod_uid)
{
	struct fake *f = fake_of(r);
	struct fake_sandbox *s;

	pthread_mutex_lock(&f->lock);
	s = strmap_get(&f->pods, pod_uid);
	if (s) {
		for (struct fake_container *c = s->containers; c; c = c->next)
			fake_end_container(f, c, 137, "Error");
		s->s.ready = false;
	}
	pthread_mutex_unlock(&f->lock);
	return s;
}

void runtime_fake_strict_images(struct runtime *r, bool strict)
{
	fake_of(r)->strict = strict;
}

void runtime_fake_add_image(struct runtime *r, const char *name)
{
	struct fake *f = fake_of(r);

	pthread_mutex_lock(&f->lock);
	fake_put_image(f, sv_from(name));
	pthread_mutex_unlock(&f->lock);
}

void runtime_fake_exec_result(struct runtime *r, int code, const char *out)
{
	struct fake *f = fake_of(r);

	pthread_mutex_lock(&f->lock);
	f->exec_code = code;
	free(f->exec_out);
	f->exec_out = xstrdup(out);
	pthread_mutex_unlock(&f->lock);
}

void runtime_fake_network(struct runtime *r, bool ready)
{
	struct fake *f = fake_of(r);

	pthread_mutex_lock(&f->lock);
	f->no_network = !ready;
	pthread_mutex_unlock(&f->lock);
}

void runtime_fake_cut_starts(struct runtime *r, int n, enum rt_state leaves)
{
	struct fake *f = fake_of(r);

	pthread_mutex_lock(&f->lock);
	f->cut_starts = n;
	f->cut_leaves = leaves;
	pthread_mutex_unlock(&f->lock);
}

void runtime_fake_hang(struct runtime *r, bool hangs)
{
	struct fake *f = fake_of(r);

	pthread_mutex_lock(&f->lock);
	f->hangs = hangs;
	pthread_mutex_unlock(&f->lock);
}

void runtime_fake_private_image(struct runtime *r, const char *name, const char *password)
{
	struct fake *f = fake_of(r);

	pthread_mutex_lock(&f->lock);
	free(strmap_set(&f->passwords, sv_from(name), xstrdup(password)));
	pthread_mutex_unlock(&f->lock);
}

void runtime_fake_fail(struct runtime *r, const char *op, int n)
{
	struct fake *f = fake_of(r);

	pthread_mutex_lock(&f->lock);
	strmap_set(&f->failures, sv_from(op), (void *)(intptr_t)n);
	pthread_mutex_unlock(&f->lock);
}

void runtime_fake_ignore_term(struct runtime *r, bool ignore)
{
	fake_of(r)->ignore_term = ignore;
}

void runtime_fake_on_create(struct runtime *r, runtime_fake_made_fn *fn, void *ctx)
{
	fake_of(r)->made = fn;
	fake_of(r)->made_ctx = ctx;
}

void runtime_fake_on_sandbox(struct runtime *r, runtime_fake_sandbox_fn *fn, void *ctx)
{
	fake_of(r)->made_sandbox = fn;
	fake_of(r)->made_sandbox_ctx = ctx;
}

void runtime_fake_features(struct runtime *r, const struct rt_features *f)
{
	struct fake *fake = fake_of(r);

	pthread_mutex_lock(&fake->lock);
	fake->features = *f;
	pthread_mutex_unlock(&fake->lock);
}

size_t runtime_fake_calls(struct runtime *r, const char *op)
{
	struct fake *f = fake_of(r);
	size_t n;

	pthread_mutex_lock(&f->lock);
	n = (size_t)(uintptr_t)strmap_get(&f->calls, sv_from(op));
	pthread_mutex_unlock(&f->lock);
	return n;
}
