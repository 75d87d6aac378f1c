/* A pod and its containers, as the agent remembers them. */
#include "kubelet/kpod.h"

#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_cert.h"
#include "kubelet/pod_spec.h"

#include <stdlib.h>

const struct retry_policy kcont_retry = { .first_ns = 10 * NS_PER_SEC,
					  .max_ns = 300 * NS_PER_SEC,
					  .forget_ns = 600 * NS_PER_SEC };

struct kpod *kpod_ref(struct kpod *p)
{
	p->refs++;
	return p;
}

/* It has no probers any more: each holds a reference to its pod. */
static void kcont_free(struct kcont *c)
{
	free(c->name);
	free(c->id);
	free(c->hook_message);
	free(c->wait_reason);
	free(c->wait_message);
	free(c->pull_error);
	free(c->resize_message);
	free(c);
}

static void kpod_claim_release(struct kpod_claim *c)
{
	free(c->volume);
	free(c->claim);
	free(c->path);
	free(c->outside);
}

void kpod_claim_seen(struct kpod *p, struct sv volume, struct sv claim, const char *path, bool block, struct sv outside)
{
	struct kpod_claim now = { xstrndup(volume.p, volume.n), xstrndup(claim.p, claim.n), xstrdup(path),
				  outside.n ? xstrndup(outside.p, outside.n) : NULL, block };
	size_t i = 0;

	pthread_mutex_lock(&p->lock);
	while (i < p->claims.n && strcmp(p->claims.p[i].volume, now.volume) != 0)
		i++;
	if (i < p->claims.n) {
		kpod_claim_release(&p->claims.p[i]);
		p->claims.p[i] = now;
	} else {
		vec_push(&p->claims, now);
	}
	pthread_mutex_unlock(&p->lock);
}

struct kpod_claim *kpod_claims(struct kpod *p, struct arena *a, size_t *ret_n)
{
	struct kpod_claim *list;

	pthread_mutex_lock(&p->lock);
	*ret_n = p->claims.n;
	list = ARENA_ARRAY(a, struct kpod_claim, p->claims.n);
	for (size_t i = 0; i < p->claims.n; i++)
		list[i] =
		    (struct kpod_claim){ arena_strdup(a, p->claims.p[i].volume), arena_strdup(a, p->claims.p[i].claim),
					 arena_strdup(a, p->claims.p[i].path),
					 p->claims.p[i].outside ? arena_strdup(a, p->claims.p[i].outside) : NULL,
					 p->claims.p[i].block };
	pthread_mutex_unlock(&p->lock);
	return list;
}

static void token_free(void *p)
{
	struct pod_token *t = p;

	free(t->token);
	free(t);
}

void kpod_unref(struct kpod *p)
{
	if (!p || --p->refs)
		return;
	for (size_t i = 0; i < p->conts.n; i++)
		kcont_free(p->conts.p[i]);
	vec_release(&p->conts);
	strmap_release_with(&p->tokens, token_free);
	strmap_release_with(&p->certs, pod_cert_free);
	for (size_t i = 0; i < p->claims.n; i++)
		kpod_claim_release(&p->claims.p[i]);
	vec_release(&p->claims);
	for (size_t i = 0; i < p->handed.n; i++)
		free(p->handed.p[i]);
	vec_release(&p->handed);
	obj_unref(p->obj);
	obj_unref(p->sent);
	free(p->forced_reason);
	free(p->forced_message);
	free(p->over_limit);
	free(p->noticed);
	free(p->ips);
	free(p->ips_of);
	free(p->ready_of);
	free(p->uid);
	free(p->ns);
	free(p->name);
	pthread_mutex_destroy(&p->lock);
	kubelet_unref(p->k);
	free(p);
}

void kpod_kick(struct kpod *p)
{
	pthread_mutex_lock(&p->k->lock);
	if (!p->k->stopping && p->k->q)
		workq_add(p->k->q, sv_from(p->uid));
	pthread_mutex_unlock(&p->k->lock);
}

void kpod_refresh(struct kpod *p)
{
	pthread_mutex_lock(&p->lock);
	p->refresh = true;
	pthread_mutex_unlock(&p->lock);
	kpod_kick(p);
}

struct obj *kpod_obj(struct kpod *p, struct arena *a)
{
	struct obj *o;

	pthread_mutex_lock(&p->lock);
	o = obj_ref(p->obj);
	pthread_mutex_unlock(&p->lock);
	return obj_link(a, o);
}

struct kcont *kpod_cont(struct kpod *p, struct sv name)
{
	struct kcont *c;

	for (size_t i = 0; i < p->conts.n; i++)
		if (sv_is(name, p->conts.p[i]->name))
			return p->conts.p[i];
	c = xcalloc(1, sizeof(*c));
	c->name = xstrndup(name.p, name.n);
	c->kill_at_ns = NEVER_NS;
	pthread_mutex_lock(&p->lock);
	vec_push(&p->conts, c);
	pthread_mutex_unlock(&p->lock);
	return c;
}

void kcont_wait(struct kpod *p, struct kcont *c, const char *reason, const char *fmt, ...)
{
	char *message = NULL;
	va_list ap;

	if (fmt) {
		struct buf b = BUF_INIT;

		va_start(ap, fmt);
		buf_vprintf(&b, fmt, ap);
		va_end(ap);
		message = buf_detach(&b);
	}
	pthread_mutex_lock(&p->lock);
	free(c->wait_reason);
	free(c->wait_message);
	c->wait_reason = reason ? xstrdup(reason) : NULL;
	c->wait_message = message;
	pthread_mutex_unlock(&p->lock);
}

void kpod_event(struct kpod *p, const struct val *container, const char *type, const char *reason, const char *fmt, ...)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *o = kpod_obj(p, &a);
	const char *text, *path = NULL;
	va_list ap;
	const struct val *spec;
	bool init, extra;

	va_start(ap, fmt);
	text = arena_vprintf(&a, fmt, ap);
	va_end(ap);
	spec = container ? pod_container(obj_root(o), val_get_str(container, F_name), &init) : NULL;
	extra = spec && container_is_ephemeral(obj_root(o), spec);
	if (spec)
		path = arena_printf(&a, "spec.%s{%.*s}",
				    init    ? "initContainers"
				    : extra ? "ephemeralContainers"
					    : "containers",
				    SV_ARG(val_get_str(container, F_name)));
	if (path)
		recorder_event_at(p->k->recorder, RES(core_pods), obj_root(o), path, type, reason, "%s", text);
	else
		recorder_event(p->k->recorder, RES(core_pods), obj_root(o), type, reason, "%s", text);
}
