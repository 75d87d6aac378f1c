/* The APIServices of what is served here. Those of built-in groups are made at the start (bootstrap/), those of
 * definitions follow the kinds that are served; what carries our label and is served no more goes. One that somebody
 * wrote himself, without the label, stays as it is. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "object/condition.h"

/* As upstream has them for definitions. */
#define LATE_GROUP 1000
#define LATE_VERSION 100

struct val *aggregator_local(struct arena *a, const char *group, const char *version, int group_priority,
			     int version_priority, const char *managed)
{
	struct val *doc = val_new_map(a), *meta, *spec;

	val_set_cstr(a, doc, F_kind, "APIService");
	val_set_cstr(a, doc, F_apiVersion, "apiregistration.k8s.io/v1");
	meta = val_new_map(a);
	val_set_strf(a, meta, F_name, "%s.%s", version, group);
	val_set_str_sv(a, val_set_map(a, meta, F_labels), SV(AGG_MANAGED), sv_from(managed));
	val_set(a, doc, F_metadata, meta);
	spec = val_set_map(a, doc, F_spec);
	if (*group)
		val_set_cstr(a, spec, F_group, group);
	val_set_cstr(a, spec, F_version, version);
	val_set_int(a, spec, F_groupPriorityMinimum, group_priority);
	val_set_int(a, spec, F_versionPriority, version_priority);
	return doc;
}

struct stale {
	const struct api_set *api;
	struct arena *arena;
	VEC(const char *) names;
	VEC(const char *) unsaid; /* that are here now, and whose status does not say so yet */
};

static int locals_stale(struct obj *o, void *ctx)
{
	struct stale *l = ctx;
	const struct val *spec = obj_get(o, F_spec);
	struct sv how = val_str(val_member_sv(obj_get(o, F_metadata, F_labels), SV(AGG_MANAGED)));
	const struct val *said = condition_find(obj_get(o, F_status, F_conditions), "Available");

	if (val_type(val_member(spec, F_service)) != VAL_MAP && !val_is(val_member(said, F_reason), "Local"))
		vec_push(&l->unsaid, arena_cstr(l->arena, obj_name(o)));
	if ((sv_is(how, "onstart") || sv_is(how, "true")) && val_type(val_member(spec, F_service)) != VAL_MAP &&
	    !api_served(l->api, val_get_str(spec, F_group), val_get_str(spec, F_version)))
		vec_push(&l->names, arena_cstr(l->arena, obj_name(o)));
	return 0;
}

/* One that was another server's once. */
static int locals_say(struct aggregator *g, const char *name, struct arena *a)
{
	_cleanup_obj_ struct obj *o = wc_get(g->s->wc, RES(apiregistration_apiservices), SV(""), sv_from(name));
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc;

	if (!o || val_get(obj_root(o), F_spec, F_service))
		return 0;
	doc = obj_edit_status(a, obj_root(o));
	(void)aggregator_condition(a, doc, "True", "Local", "Local APIServices are always available",
				   env_now_ns(g->env));
	return client_update_status(g->client, RES(apiregistration_apiservices), doc, NULL, &why) < 0 &&
		       why.reason != ERR_NOT_FOUND
		   ? -1
		   : 0;
}

static int locals_add(struct aggregator *g, const struct api_version *v, struct arena *a)
{
	struct sv name = arena_svf(a, "%s.%s", v->version, v->group);
	_cleanup_obj_ struct obj *have = wc_get(g->s->wc, RES(apiregistration_apiservices), SV(""), name);
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (have || api_served(api_set_built_in(), sv_from(v->group), sv_from(v->version)))
		return 0;
	if (client_create(g->client, RES(apiregistration_apiservices), SV(""),
			  aggregator_local(a, v->group, v->version, LATE_GROUP, LATE_VERSION, "true"), NULL, NULL,
			  &why) == 0 ||
	    why.reason == ERR_ALREADY_EXISTS)
		return 0;
	log_warn("apiserver", "an APIService cannot be made", "name", "%.*s: %s", SV_ARG(name), err_msg(&why));
	return -1;
}

int agg_locals(struct aggregator *g)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct api_set *api = api_current_get(g->s->api);
	struct stale l = { .api = api, .arena = &a, .names = VEC_INIT, .unsaid = VEC_INIT };
	int rc = 0;

	for (size_t i = 0; i < api->n_groups && api->n_custom; i++)
		for (size_t k = 0; k < api->groups[i].n; k++)
			if (locals_add(g, &api->groups[i].versions[k], &a) < 0)
				rc = -1;
	wc_each(g->s->wc, RES(apiregistration_apiservices), SV(""), locals_stale, &l);
	for (size_t i = 0; i < l.names.n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (client_delete(g->client, RES(apiregistration_apiservices), SV(""), sv_from(l.names.p[i]), NULL,
				  &why) < 0 &&
		    why.reason != ERR_NOT_FOUND)
			rc = -1;
	}
	for (size_t i = 0; i < l.unsaid.n; i++)
		if (locals_say(g, l.unsaid.p[i], &a) < 0)
			rc = -1;
	vec_release(&l.names);
	vec_release(&l.unsaid);
	api_set_unref(api);
	return rc;
}
