/* The server's life: parts made and started in order, a minute's tick, and the end in reverse. */
#include "apiserver/node_tunnel.h"
#include "apiserver/node_usage.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/admission/admission.h"
#include "apiserver/admission/resource_quota.h"
#include "apiserver/admission/setup.h"
#include "apiserver/aggregator/aggregator.h"
#include "apiserver/bootstrap/masters.h"
#include "apiserver/browser.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/crd/crd.h"
#include "apiserver/flow/flow.h"
#include "apiserver/history/history.h"
#include "apiserver/held.h"
#include "apiserver/recent.h"
#include "apiserver/inflight.h"
#include "apiserver/metrics.h"
#include "apiserver/registry/commit.h"
#include "apiserver/set_aside.h"
#include "apiserver/storekey.h"
#include "apiserver/webhook/webhook.h"
#include "base/log.h"
#include "store/layout.h"
#include "apiserver/registry/kinds/kinds.h"

#include <stdlib.h>

#define AGED_TRIM ((size_t)1 << 20)
#define TICK_NS (60 * NS_PER_SEC)
#define CLAIMS_TICKS 3 /* as upstream */

static void tick(void *ctx);
static bool reload_files(struct apiserver *s);

static void apiserver_arm(struct apiserver *s)
{
	s->tick_timer = env_after(s->env, ENV_CONTROL, TICK_NS, tick, s);
	s->tick_armed = true;
}

/* Every minute: bookmarks keep idle watches resumable, old changes and events go, what must exist does; history
 * that is not to be kept is given back. */
static void tick(void *ctx)
{
	struct apiserver *s = ctx;
	bool claims;

	pthread_mutex_lock(&s->lock);
	env_timer_cancel(s->env, s->tick_timer);
	s->tick_timer = NULL;
	claims = ++s->tick % CLAIMS_TICKS == 0;
	pthread_mutex_unlock(&s->lock);
	if (!atomic_load(&s->stopping)) {
		wc_bookmarks(s->wc);
		wc_sweep(s->wc);
		if (wc_age(s->wc) > AGED_TRIM)
			arena_trim(); /* the remains of a burst, holes in the heap by now */
		event_ttl_sweep(s);
		if (!reload_files(s)) /* which does that when it knows of the CAs */
			bootstrap_keep(s);
		wc_read_again(s->wc);
		flow_keep(s);
		if (claims || service_claims_wrong(s))
			(void)service_claims_repair(s, false, NULL); /* the same */
		history_tick(s->history);
	}
	pthread_mutex_lock(&s->lock);
	s->tick_armed = false;
	if (!atomic_load(&s->stopping))
		apiserver_arm(s);
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

/* --- files that are looked at each minute --- */

static void look_tokens(struct apiserver *s)
{
	token_store_reload(s->authz->static_tokens);
}

static void look_jwt(struct apiserver *s)
{
	jwt_reload(s->authz->jwt);
}

static void look_authz(struct apiserver *s)
{
	authz_chains_reload(s->authz->chains);
}

static const struct {
	const char *what; /* for the log */
	void (*look)(struct apiserver *s);
} files[] = {
	{ "certificates and CAs", pki_keep },
	{ "what a cluster starts with", bootstrap_keep }, /* tells of the CAs */
	{ "--authentication-config", look_jwt },
	{ "--token-auth-file", look_tokens },
	{ "--admission-control-config-file", admission_reload },
	{ "--authorization-config", look_authz },
};

/* A file may be on a mount that does not answer any more: then this thread hangs, and all else goes on. */
static void reload_run(void *ctx)
{
	struct apiserver *s = ctx;

	for (size_t i = 0; i < ARRAY_LEN(files) && !atomic_load(&s->stopping); i++) {
		pthread_mutex_lock(&s->lock);
		s->reloading = files[i].what;
		s->reloading_since_ns = env_mono_ns(s->env);
		pthread_mutex_unlock(&s->lock);
		files[i].look(s);
	}
	pthread_mutex_lock(&s->lock);
	s->reload_armed = s->reload_told = false;
	s->reloading = NULL;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

/* One at a time; who has not ended since the minute before is told of, once. */
static bool reload_files(struct apiserver *s)
{
	const char *hung = NULL;
	int64_t since = 0;
	bool go;

	pthread_mutex_lock(&s->lock);
	go = !s->reload_armed && !atomic_load(&s->stopping);
	if (go) {
		s->reload_armed = true;
	} else if (s->reload_armed && !s->reload_told) {
		hung = s->reloading;
		s->reload_told = hung != NULL;
		since = s->reloading_since_ns;
	}
	pthread_mutex_unlock(&s->lock);
	if (go)
		env_post(s->env, ENV_SLOW, reload_run, s);
	else if (hung)
		log_warn("apiserver",
			 "files do not answer: no configuration file is looked at again until they do; is a mount "
			 "hanging?",
			 "files", "%s, for %" PRId64 " s", hung, (env_mono_ns(s->env) - since) / NS_PER_SEC);
	return go;
}

struct apiserver *apiserver_new(const struct apiserver_opts *o, struct err *err)
{
	struct apiserver *s = xcalloc(1, sizeof(*s));

	s->o = *o;
	s->env = o->env;
	s->store = o->store;
	if (!s->o.service_cidr)
		s->o.service_cidr = "10.43.0.0/16";
	if (!s->o.cluster_cidr)
		s->o.cluster_cidr = "10.42.0.0/16";
	if (!s->o.node_port_range)
		s->o.node_port_range = "30000-32767";
	if (!s->o.cluster_domain)
		s->o.cluster_domain = "cluster.local";
	if (!s->o.advertise_port)
		s->o.advertise_port = 6443;
	if (!s->o.no_priority_and_fairness && !s->o.max_requests_inflight && !s->o.max_mutating_inflight) {
		s->o.max_requests_inflight = 400;
		s->o.max_mutating_inflight = 200;
	}
	if (!s->o.request_timeout_ns)
		s->o.request_timeout_ns = 60 * NS_PER_SEC;
	if (s->o.min_watch_s <= 0)
		s->o.min_watch_s = 1800;
	if (!s->o.event_ttl_ns)
		s->o.event_ttl_ns = 3600 * NS_PER_SEC;
	if (!s->o.slow_request_ns)
		s->o.slow_request_ns = NS_PER_SEC;
	s->start_mono_ns = env_mono_ns(s->env);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	list_init(&s->commits.list);
	strategies_start();
	s->metrics = metrics_new();
	s->requests = request_cells_new();
	s->counted = metric_set_new(api_metrics, AM_HEALTH);
	s->slis = metric_set_new(API_METRIC(HEALTH), 2);
	s->inflight = inflight_new();
	s->slow = slow_log_new();
	s->held = held_new();
	s->recent = recent_new();
	s->tunnels = node_tunnels_new(s);
	s->webhooks = webhooks_new(s);
	s->usages = node_usages_new(s);
	s->quota_turns = quota_turns_new();
	s->hook_sets = hook_sets_new();
	s->policy_sets = policy_sets_new();
	s->api = api_current_new();
	s->built_in = api_set_built_in();
	s->docs = documents_new();
	s->waits = req_waits_new(s);
	s->runs = run_queue_new(s->env);
	s->flow = flow_new(s);
	s->aside = set_aside_new();
	s->history = history_new(s);
	s->crds = crds_new(s);
	s->aggregator = aggregator_new(s);
	s->pasts = wc_pasts_new(s);
	s->wc = watchcache_new(s);
	s->masters = masters_new(s);
	standing_start(s);
	if (!o->insecure_in_memory)
		pki_begin(s);
	s->admission = admission_set_new(o, err);
	if (s->admission)
		s->admission->create = registry_create_async;
	if (!s->admission || browser_new(o->cors, o->hsts, &s->browser, err) < 0 || aggregator_check(s, err) < 0 ||
	    audit_new(s, &s->o.audit, &s->audit, err) < 0 ||
	    webhooks_configure(s->webhooks, s->admission->hook_kubeconfigs, err) < 0 || authz_start(s, err) < 0 ||
	    allocators_start(s, err) < 0 || store_layout_bring(s->store, STOREKEY_LAYOUT, NULL, 0, err) < 0 ||
	    watchcache_start(s->wc, err) < 0 || service_claims_repair(s, true, err) < 0 || bootstrap_run(s, err) < 0)
		return apiserver_free(s);
	flow_start(s);
	if (crds_start(s, err) < 0)
		return apiserver_free(s);
	aggregator_start(s);
	masters_start(s->masters);
	pthread_mutex_lock(&s->lock);
	apiserver_arm(s);
	pthread_mutex_unlock(&s->lock);
	arena_trim(); /* what only the start needed */
	atomic_store(&s->ready, true);
	return s;
}

bool apiserver_ready(struct apiserver *s)
{
	return atomic_load(&s->ready) && !atomic_load(&s->stopping);
}

void apiserver_leave(struct apiserver *s)
{
	masters_leave(s->masters);
}

void apiserver_shutdown(struct apiserver *s)
{
	apiserver_leave(s);
	if (atomic_exchange(&s->stopping, true))
		return;
	masters_stop(s->masters);
	node_tunnels_close(s->tunnels);
	req_waits_stop(s->waits);
	pthread_mutex_lock(&s->lock);
	if (s->tick_timer && env_timer_stop(s->env, s->tick_timer))
		s->tick_armed = false;
	s->tick_timer = NULL;
	if (s->bootstrap_timer && env_timer_stop(s->env, s->bootstrap_timer))
		s->bootstrap_armed = false;
	s->bootstrap_timer = NULL;
	while (s->tick_armed || s->bootstrap_armed || s->reload_armed || s->commits.n)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
	flow_stop(s);
	crds_stop(s);
	aggregator_stop(s);
	service_repair_stop(s);
	standing_stop(s);
	history_stop(s->history);
	watchcache_stop(s->wc);
}

void apiserver_rest(struct apiserver *s)
{
	run_queue_stop(s->runs);
	aggregator_rest(s);
	audit_stop(s->audit);
	webhooks_stop(s->webhooks); /* nobody waits for one any more */
	pthread_mutex_lock(&s->lock);
	while (s->commits.n)
		pthread_cond_wait(&s->cond, &s->lock);
	pthread_mutex_unlock(&s->lock);
	commits_stop(s);
}

struct apiserver *apiserver_free(struct apiserver *s)
{
	if (!s)
		return NULL;
	apiserver_shutdown(s);
	apiserver_rest(s); /* a run that ended in there may have begun a write */
	s->runs = run_queue_free(s->runs);
	s->masters = masters_free(s->masters);
	crds_free(s);
	aggregator_free(s);
	authz_free(s);
	pki_free(s);
	s->wc = watchcache_free(s->wc);
	wc_pasts_free(s->pasts);
	standing_free(s);
	s->aside = set_aside_free(s->aside);
	s->history = history_free(s->history);
	allocators_free(s);
	s->flow = flow_free(s->flow);
	s->waits = req_waits_free(s->waits);
	s->docs = documents_free(s->docs);
	s->slow = slow_log_free(s->slow);
	s->recent = recent_free(s->recent);
	s->held = held_free(s->held);
	s->tunnels = node_tunnels_free(s->tunnels);
	s->webhooks = webhooks_free(s->webhooks);
	s->usages = node_usages_free(s->usages);
	s->hook_sets = hook_sets_free(s->hook_sets);
	s->quota_turns = quota_turns_free(s->quota_turns);
	s->admission = admission_set_free(s->admission);
	s->policy_sets = policy_sets_free(s->policy_sets);
	hook_counts_free(atomic_load(&s->hook_counts));
	s->inflight = inflight_free(s->inflight);
	s->api = api_current_free(s->api);
	s->browser = browser_free(s->browser);
	s->metrics = metrics_free(s->metrics);
	s->requests = request_cells_free(s->requests);
	s->counted = metric_set_free(s->counted);
	s->slis = metric_set_free(s->slis);
	admission_cells_free(atomic_load(&s->admission_cells));
	s->audit = audit_free(s->audit);
	err_release(&s->bootstrap_why);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->cond);
	free(s);
	return NULL;
}
