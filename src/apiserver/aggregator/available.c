/* Is a remote APIService available? In the order of upstream's controller, and in its words. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "object/condition.h"

#include <stdlib.h>

struct verdict {
	const char *status, *reason, *message; /* status NULL: not known yet */
};

/* --- Service and endpoints, as they are in memory --- */

struct slices {
	struct sv service, port_name;
	bool any, ready;
};

static int agg_slice(struct obj *o, void *ctx)
{
	struct slices *l = ctx;
	bool port = false, address = false;

	if (!sv_eq(val_str(val_member_sv(obj_get(o, F_metadata, F_labels), SV("kubernetes.io/service-name"))),
		   l->service))
		return 0;
	l->any = true;
	VAL_EACH(obj_get(o, F_ports), p)
		port = port || (sv_eq(val_get_str(p, F_name), l->port_name) && val_member(p, F_port));
	VAL_EACH(obj_get(o, F_endpoints), e) {
		const struct val *ready = val_get(e, F_conditions, F_ready);

		address = address || ((!ready || val_bool(ready)) && val_len(val_get(e, F_addresses)));
	}
	l->ready = port && address;
	return l->ready;
}

static struct verdict agg_verdict(const char *status, const char *reason, const char *message)
{
	return (struct verdict){ status, reason, message };
}

/* NULL status: it looks well from here. */
static struct verdict agg_service_verdict(struct aggregator *g, const struct agg_service *e, struct arena *a)
{
	struct sv ns = sv_from(e->svc_ns), name = sv_from(e->svc);
	_cleanup_obj_ struct obj *svc = wc_get(g->s->wc, RES(core_services), ns, name);
	struct slices l = { .service = name, .port_name = SV_NULL };

	if (!svc)
		return agg_verdict("False", "ServiceNotFound",
				   arena_printf(a, "service/%s in \"%s\" is not present", e->svc, e->svc_ns));
	if (!val_is(obj_get(svc, F_spec, F_type), "ClusterIP"))
		return agg_verdict(NULL, NULL, NULL);
	VAL_EACH(obj_get(svc, F_spec, F_ports), p)
		if (!l.port_name.p && val_get_int(p, -1, F_port) == e->port)
			l.port_name = val_get_str(p, F_name);
	if (!l.port_name.p)
		return agg_verdict(
		    "False", "ServicePortError",
		    arena_printf(a, "service/%s in \"%s\" is not listening on port %d", e->svc, e->svc_ns, e->port));
	wc_each(g->s->wc, RES(discovery_endpointslices), ns, agg_slice, &l);
	if (!l.any)
		return agg_verdict(
		    "False", "EndpointsNotFound",
		    arena_printf(a, "cannot find endpointslices for service/%s in \"%s\"", e->svc, e->svc_ns));
	if (!l.ready)
		return agg_verdict(
		    "False", "MissingEndpoints",
		    arena_printf(a, "endpointslices for service/%s in \"%s\" have no addresses with port name \"%.*s\"",
				 e->svc, e->svc_ns, SV_ARG(l.port_name)));
	return agg_verdict(NULL, NULL, NULL);
}

/* --- does it answer? --- */

struct question {
	struct aggregator *g;
	struct agg_service *e;
};

static void agg_answered(struct webhook_answer *answer, void *ctx)
{
	struct question *k = ctx;
	struct aggregator *g = k->g;
	struct agg_service *e = k->e;
	_cleanup_(buf_release) struct buf list = BUF_INIT;
	char *failure = NULL;
	bool changed = false, answers = answer->err.reason == ERR_NONE;

	if (answer->err.reason == ERR_NONE) {
		/* A list that is none is a list of nothing: what it answers requests with is not for us to judge. */
		if (agg_resources(buf_sv(&answer->body), sv_from(e->group), sv_from(e->version), &list, NULL) < 0) {
			buf_release(&list);
			list = (struct buf)BUF_INIT;
			buf_adds(&list, "[]");
		}
	} else if (answer->late) {
		failure = xasprintf("timed out waiting for %s/apis/%s/%s", webhook_target_url(e->target), e->group,
				    e->version);
	} else {
		failure = xasprintf("failing or missing response from %s/apis/%s/%s: %s", webhook_target_url(e->target),
				    e->group, e->version, err_msg(&answer->err));
	}
	webhook_answer_free(answer);
	pthread_mutex_lock(&g->lock);
	e->asking = false;
	e->asked = true;
	free(e->failure);
	e->failure = failure;
	e->failures = failure ? MIN(e->failures + 1, 6u) : 0;
	e->due_ns = env_mono_ns(g->s->env) +
		    (failure ? MIN((int64_t)NS_PER_SEC << (e->failures - 1), AGG_PERIOD_NS) : AGG_PERIOD_NS);
	if (!failure && !sv_eq(buf_sv(&list), buf_sv(&e->list))) {
		struct buf was = e->list;

		e->list = list;
		list = was;
		changed = true;
	}
	if (changed)
		agg_docs_drop(g);
	answers = answers && !g->stopping;
	if (!g->stopping)
		agg_wake_locked(g);
	pthread_mutex_unlock(&g->lock);
	if (answers) {
		agg_openapi_ask(g, e);
		agg_spec_ask(g, e);
	}
	agg_service_unref(e);
	free(k);
}

static void agg_ask(struct aggregator *g, struct agg_service *e)
{
	_cleanup_free_ char *path = xasprintf("/apis/%s/%s", e->group, e->version);
	struct question *k = xcalloc(1, sizeof(*k));

	k->g = g;
	k->e = agg_service_ref(e);
	webhook_call_unref(webhook_call(g->s, &(struct webhook_call_opts){
						  .target = e->target,
						  .body = SV(""),
						  .get = path,
						  .headers = agg_own_headers,
						  .n_headers = AGG_OWN_HEADERS,
						  .timeout_ns = AGG_TIMEOUT_NS,
						  .answer_max = AGG_LIST_MAX,
						  .done = agg_answered,
						  .ctx = k,
					      }));
}

static struct verdict agg_judge(struct aggregator *g, struct agg_service *e, struct arena *a)
{
	struct verdict v;
	bool ask;

	if (e->built_in)
		return agg_verdict("False", "BuiltIn",
				   arena_printf(a, "this server answers for %s%s%s itself", e->group,
						*e->group ? "/" : "", e->version));
	v = agg_service_verdict(g, e, a);
	pthread_mutex_lock(&g->lock);
	if (v.status) {
		e->due_ns = 0; /* once it is better it is asked at once */
		e->asked = false;
	}
	ask = !v.status && !e->asking && env_mono_ns(g->s->env) >= e->due_ns && !g->stopping;
	e->asking = e->asking || ask;
	if (!v.status && e->asked)
		v = e->failure ? agg_verdict("False", "FailedDiscoveryCheck", arena_strdup(a, e->failure))
			       : agg_verdict("True", "Passed", "all checks passed");
	pthread_mutex_unlock(&g->lock);
	if (ask)
		agg_ask(g, e);
	return v;
}

/* It turned unavailable, for that reason. */
static void agg_count(struct aggregator *g, struct agg_service *e, const char *reason)
{
	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < AGG_REASONS; i++)
		if (strcmp(agg_reasons[i], reason) == 0)
			e->unavailable[i]++;
	pthread_mutex_unlock(&g->lock);
}

void agg_look_at(struct aggregator *g, struct agg_service *e)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct verdict v = agg_judge(g, e, &a);
	_cleanup_obj_ struct obj *now = NULL;
	struct val *doc;

	if (!v.status)
		return;
	now = wc_get(g->s->wc, RES(apiregistration_apiservices), SV(""), sv_from(e->name));
	if (!now || !val_equal(obj_get(now, F_spec), obj_get(e->obj, F_spec)))
		return; /* of another by now, which is looked at, too */
	doc = obj_edit_status(&a, obj_root(now));
	if (!aggregator_condition(&a, doc, v.status, v.reason, v.message, env_now_ns(g->s->env)))
		return;
	if (strcmp(v.status, "False") == 0 && !condition_is(obj_get(now, F_status, F_conditions), "Available", "False"))
		agg_count(g, e, v.reason);
	if (client_update_status(g->client, RES(apiregistration_apiservices), doc, NULL, &why) < 0 &&
	    why.reason != ERR_CONFLICT && why.reason != ERR_NOT_FOUND)
		log_warn("apiserver", "the status of an APIService cannot be written", "name", "%s: %s", e->name,
			 err_msg(&why));
}
