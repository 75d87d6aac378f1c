/* One remote APIService, as it was written; and the wish for a look. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "base/b64.h"
#include "base/log.h"
#include "object/condition.h"

#include <stdlib.h>

const struct http_header agg_own_headers[AGG_OWN_HEADERS] = { { SV("accept"), SV("application/json") },
							      { SV("user-agent"), SV("kube-apiserver") },
							      { SV("x-remote-user"), SV("system:kube-aggregator") },
							      { SV("x-remote-group"), SV("system:masters") } };

struct agg_service *agg_service_ref(struct agg_service *e)
{
	atomic_fetch_add(&e->refs, 1);
	return e;
}

struct agg_service *agg_service_unref(struct agg_service *e)
{
	if (!e || atomic_fetch_sub(&e->refs, 1) != 1)
		return NULL;
	webhook_target_unref(e->target);
	obj_unref(e->obj);
	buf_release(&e->list);
	buf_release(&e->openapi_hash);
	agg_spec_unref(e->spec);
	buf_release(&e->spec_tag);
	free(e->failure);
	free(e->name);
	free(e->group);
	free(e->version);
	free(e->svc_ns);
	free(e->svc);
	free(e);
	return NULL;
}

static char *agg_copy(struct sv s)
{
	return xstrndup(s.p ? s.p : "", s.n);
}

bool agg_service_says(const struct obj *o)
{
	return condition_is(obj_get(o, F_status, F_conditions), "Available", "True");
}

void agg_service_aim(struct apiserver *s, struct agg_service *e)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct val *spec = obj_get(e->obj, F_spec);
	struct sv ca = SV(""), cert = SV(""), key = SV("");

	(void)b64_decode(&a, val_get_str(spec, F_caBundle), &ca);
	if (agg_front_proxy(s, &a, &cert, &key, &why) < 0)
		log_warn("apiserver", "there is no certificate to show to aggregated servers", "error", "%s",
			 err_msg(&why));
	webhook_target_unref(e->target);
	e->target = webhook_target_service(sv_from(e->svc_ns), sv_from(e->svc), e->port, ca,
					   val_get_bool(spec, F_insecureSkipTLSVerify), cert, key);
}

bool aggregator_yields(const char *group)
{
	return strcmp(group, "metrics.k8s.io") == 0;
}

struct agg_service *agg_service_new(struct apiserver *s, struct obj *o)
{
	struct agg_service *e = xcalloc(1, sizeof(*e));
	const struct val *spec = obj_get(o, F_spec), *svc = val_member(spec, F_service);

	atomic_init(&e->refs, 1);
	e->obj = obj_ref(o);
	e->name = agg_copy(obj_name(o));
	e->group = agg_copy(val_get_str(spec, F_group));
	e->version = agg_copy(val_get_str(spec, F_version));
	e->svc_ns = agg_copy(val_get_str(svc, F_namespace));
	e->svc = agg_copy(val_get_str(svc, F_name));
	e->port = (int)val_get_int(svc, 443, F_port);
	e->group_priority = (int)val_get_int(spec, 0, F_groupPriorityMinimum);
	e->version_priority = (int)val_get_int(spec, 0, F_versionPriority);
	e->built_in = !aggregator_yields(e->group) &&
		      api_served(api_set_built_in(), sv_from(e->group), sv_from(e->version)) != NULL;
	agg_service_aim(s, e);
	return e;
}

void agg_let_go(struct aggregator *g)
{
	bool last = --g->refs == 0;

	pthread_mutex_unlock(&g->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&g->lock);
	pthread_mutex_destroy(&g->spec_making);
	pthread_cond_destroy(&g->idle);
	free(g);
}

void agg_wake_locked(struct aggregator *g)
{
	g->again = true;
	if (g->running || g->stopping || !g->client)
		return;
	g->running = true;
	g->refs++;
	env_post(g->env, ENV_CONTROL, g->run, g);
}

struct agg_service *agg_find(struct aggregator *g, struct sv group, struct sv version, bool *ret_available)
{
	struct agg_service *found = NULL;

	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < g->list.n && !found; i++) {
		struct agg_service *e = g->list.p[i];

		if (sv_is(group, e->group) && sv_is(version, e->version) && !e->built_in) {
			found = agg_service_ref(e);
			*ret_available = e->available;
		}
	}
	pthread_mutex_unlock(&g->lock);
	return found;
}

bool agg_step_fine(struct sv name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= 'A' && name.p[i] <= 'Z') ||
		      (name.p[i] >= '0' && name.p[i] <= '9') || (name.p[i] && strchr("-._:~", name.p[i]))))
			return false;
	return name.n > 0 && name.n <= 253 && !sv_is(name, ".") && !sv_is(name, "..");
}

bool agg_same_server(const struct agg_service *a, const struct agg_service *b)
{
	return a->port == b->port && strcmp(a->svc, b->svc) == 0 && strcmp(a->svc_ns, b->svc_ns) == 0;
}

void agg_leave_alone(struct aggregator *g, struct agg_service *e)
{
	e->left_alone_ns = env_mono_ns(g->env) + AGG_PERIOD_NS;
	for (size_t i = 0; i < g->list.n; i++)
		if (agg_same_server(g->list.p[i], e))
			g->list.p[i]->left_alone_ns = e->left_alone_ns;
}
