/* Which group versions other servers answer, and the task that looks at them. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "net/http_kept.h"
#include "object/condition.h"

#include <stdlib.h>

#define LOOK_NS NS_PER_SEC

/* --- all of them --- */

static size_t agg_index(struct aggregator *g, struct sv name)
{
	size_t i = 0;

	while (i < g->list.n && !sv_is(name, g->list.p[i]->name))
		i++;
	return i;
}

/* That of a definition, which is there as long as that is served. */
static bool agg_is_kept(const struct obj *o)
{
	return val_is(val_member_sv(obj_get(o, F_metadata, F_labels), SV(AGG_MANAGED)), "true");
}

void aggregator_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	struct aggregator *g = s->aggregator;
	bool remote = now && val_type(obj_get(now, F_spec, F_service)) == VAL_MAP;
	struct agg_service *had = NULL, *next = NULL;
	bool gone;
	size_t at;

	pthread_mutex_lock(&g->lock);
	at = agg_index(g, obj_name(now ? now : old));
	if (at < g->list.n)
		had = g->list.p[at];
	if (remote && had && val_equal(obj_get(had->obj, F_spec), obj_get(now, F_spec))) {
		bool available = agg_service_says(now);

		if (available != had->available)
			agg_docs_drop(g);
		had->available = available;
		had = NULL;
	} else {
		if (remote) {
			next = agg_service_new(s, now);
			next->available = agg_service_says(now);
		}
		if (had && next && strcmp(had->group, next->group) == 0 && strcmp(had->version, next->version) == 0)
			next->spec = agg_spec_hold(had->spec); /* until it is asked */
		if (had)
			vec_remove(&g->list, at);
		if (next)
			vec_push(&g->list, next);
		if (had || (next && next->spec))
			agg_specs_changed(g);
		if (had || next)
			agg_docs_drop(g);
	}
	atomic_store(&g->n_remote, g->list.n);
	/* One that went may have taken a definition's place, or be that of one; one that stays is ours now. */
	gone = now ? had && !remote : had || agg_is_kept(old);
	g->locals = g->locals || gone;
	if (had || remote || gone)
		agg_wake_locked(g);
	pthread_mutex_unlock(&g->lock);
	agg_service_unref(had);
}

/* --- the task --- */

static void agg_tick(void *ctx)
{
	struct aggregator *g = ctx;

	pthread_mutex_lock(&g->lock);
	g->timer = env_timer_cancel(g->env, g->timer);
	agg_wake_locked(g);
	agg_let_go(g);
}

/* e as it is, led to its server under another certificate: who uses e has a reference, and goes on with that. */
static struct agg_service *agg_shown_anew(struct aggregator *g, struct agg_service *e)
{
	struct agg_service *next = agg_service_new(g->s, e->obj);

	next->available = e->available;
	next->openapi = e->openapi;
	next->left_alone_ns = e->left_alone_ns;
	next->spec = agg_spec_hold(e->spec);
	next->spec_hash = e->spec_hash;
	buf_addsv(&next->spec_tag, buf_sv(&e->spec_tag));
	buf_addsv(&next->list, buf_sv(&e->list));
	buf_addsv(&next->openapi_hash, buf_sv(&e->openapi_hash));
	memcpy(next->unavailable, e->unavailable, sizeof(next->unavailable));
	return next;
}

/* Certificates are renewed while servers run: files are read again with each round of questions, and what does not fit
 * together changes nothing. */
static void agg_follow_certificate(struct aggregator *g)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv cert, key;
	uint64_t now;

	if (!g->s->o.proxy_cert_file || env_mono_ns(g->env) < g->cert_due_ns)
		return;
	g->cert_due_ns = env_mono_ns(g->env) + AGG_PERIOD_NS;
	if (agg_front_proxy(g->s, &a, &cert, &key, &why) < 0) {
		log_warn("apiserver", "aggregated servers are shown the certificate there was", "error", "%s",
			 err_msg(&why));
		return;
	}
	now = sv_hash(cert) ^ sv_hash(key);
	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; g->cert_hash && g->cert_hash != now && i < g->list.n; i++) {
		struct agg_service *was = g->list.p[i];

		g->list.p[i] = agg_shown_anew(g, was);
		agg_service_unref(was);
	}
	g->cert_hash = now;
	pthread_mutex_unlock(&g->lock);
}

static void agg_look(struct aggregator *g)
{
	struct agg_service **all;
	size_t n;
	bool locals;

	agg_follow_certificate(g);
	pthread_mutex_lock(&g->lock);
	n = g->list.n;
	all = xcalloc(n + 1, sizeof(struct agg_service *));
	for (size_t i = 0; i < n; i++)
		all[i] = agg_service_ref(g->list.p[i]);
	locals = g->locals;
	g->locals = false;
	pthread_mutex_unlock(&g->lock);
	if (locals && agg_locals(g) < 0) {
		pthread_mutex_lock(&g->lock);
		g->locals = true;
		pthread_mutex_unlock(&g->lock);
	}
	for (size_t i = 0; i < n; i++) {
		agg_look_at(g, all[i]);
		agg_service_unref(all[i]);
	}
	free(all);
}

static void agg_run(void *ctx)
{
	struct aggregator *g = ctx;

	pthread_mutex_lock(&g->lock);
	g->looking = true;
	while (g->again && !g->stopping) {
		g->again = false;
		pthread_mutex_unlock(&g->lock);
		agg_look(g);
		pthread_mutex_lock(&g->lock);
	}
	if ((g->list.n || g->locals) && !g->timer && !g->stopping) {
		g->refs++;
		g->timer = env_after(g->env, ENV_CONTROL, LOOK_NS, agg_tick, g);
	}
	g->running = g->looking = false;
	pthread_cond_broadcast(&g->idle);
	agg_let_go(g);
}

/* --- life --- */

static void agg_kinds_changed(const struct api_set *was, const struct api_set *now, void *ctx)
{
	struct aggregator *g = ctx;

	(void)was;
	(void)now;
	pthread_mutex_lock(&g->lock);
	g->locals = true;
	agg_wake_locked(g);
	agg_specs_changed(g);
	pthread_mutex_unlock(&g->lock);
}

struct aggregator *aggregator_new(struct apiserver *s)
{
	struct aggregator *g = xcalloc(1, sizeof(*g));

	g->s = s;
	g->env = s->env;
	g->refs = 1;
	g->run = agg_run;
	g->kept = http_kept_new();
	list_init(&g->emptied_waiting);
	list_init(&g->emptied_done);
	agg_asked_init(g);
	pthread_mutex_init(&g->lock, NULL);
	pthread_mutex_init(&g->spec_making, NULL);
	pthread_cond_init(&g->idle, NULL);
	return g;
}

void aggregator_start(struct apiserver *s)
{
	static const char *const masters[] = { "system:masters", NULL };
	struct aggregator *g = s->aggregator;
	struct client *c = apiserver_client(s, "kube-apiserver", "system:apiserver", masters);

	pthread_mutex_lock(&g->lock);
	g->client = c;
	/* When the cache was filled there were no keys yet. */
	for (size_t i = 0; i < g->list.n; i++)
		agg_service_aim(s, g->list.p[i]);
	g->listener = (struct api_listener){ .changed = agg_kinds_changed, .ctx = g };
	g->listening = true;
	pthread_mutex_unlock(&g->lock);
	/* Those that were served when it ended and are not any more; mostly there are none. */
	g->locals = agg_locals(g) < 0;
	api_current_listen(s->api, &g->listener);
	pthread_mutex_lock(&g->lock);
	if (g->list.n || g->locals)
		agg_wake_locked(g);
	pthread_mutex_unlock(&g->lock);
}

void aggregator_stop(struct apiserver *s)
{
	struct aggregator *g = s->aggregator;

	if (!g)
		return;
	if (g->listening)
		api_current_unlisten(s->api, &g->listener);
	g->listening = false;
	pthread_mutex_lock(&g->lock);
	g->stopping = true;
	if (g->timer && env_timer_stop(s->env, g->timer))
		g->refs--;
	g->timer = NULL;
	while (g->looking)
		pthread_cond_wait(&g->idle, &g->lock);
	agg_asked_stop(g);
	agg_specs_stop(g);
	pthread_mutex_unlock(&g->lock);
}

void aggregator_rest(struct apiserver *s)
{
	if (s->aggregator)
		http_kept_close(s->aggregator->kept);
}

void aggregator_free(struct apiserver *s)
{
	struct aggregator *g = s->aggregator;

	if (!g)
		return;
	pthread_mutex_lock(&g->lock);
	agg_emptied_drop(g);
	agg_asked_drop(g);
	agg_docs_drop(g);
	agg_specs_drop(g);
	for (size_t i = 0; i < g->list.n; i++)
		agg_service_unref(g->list.p[i]);
	vec_release(&g->list);
	client_free(g->client);
	g->kept = http_kept_free(g->kept);
	s->aggregator = NULL;
	agg_let_go(g);
}
