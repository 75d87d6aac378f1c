/* gateway_kit.h - a cluster of Gateways and routes in JSON, and what they are told. */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "base/vec.h"
#include "codec/json.h"
#include "gateway/gateway.h"

struct rig {
	struct arena a;
	VEC(struct obj *) objects[_GW_KIND_MAX];
	struct gw_source s;
	struct gw_state st;
	size_t asked; /* for labels */
};

/* A list of documents with ' for ". */
static inline void rig_add(struct rig *r, const char *text)
{
	char *json = arena_strdup(&r->a, text);
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *v;

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	v = json_decode(&r->a, sv_from(json), NULL, &err);
	if (!v)
		fail_msg("%s: %s", json, err_msg(&err));
	for (int k = 0; k < _GW_KIND_MAX; k++)
		if (val_is(val_get(v, F_kind), gw_kind_names[k]))
			vec_push(&r->objects[k], obj_link(&r->a, obj_new(v, 1)));
}

static inline const struct val *rig_labels(void *ctx, struct sv ns)
{
	struct rig *r = ctx;
	struct val *labels = val_new_map(&r->a);

	r->asked++;
	val_set_str_sv(&r->a, labels, SV("name"), ns);
	return labels;
}

static inline enum gw_service rig_service(_unused_ void *ctx, _unused_ struct sv ns, struct sv name, int64_t port)
{
	return !sv_is(name, "a") ? GW_SERVICE_MISSING : port == 80 ? GW_SERVICE_OK : GW_SERVICE_NO_PORT;
}

static inline const char *rig_certificate(_unused_ void *ctx, _unused_ struct sv ns, struct sv name)
{
	return sv_is(name, "good") ? NULL : "is not there";
}

static inline void rig_make(struct rig *r)
{
	gw_state_release(&r->st);
	r->s.namespace_labels = rig_labels;
	r->s.service = rig_service;
	r->s.certificate = rig_certificate;
	r->s.ctx = r;
	for (int k = 0; k < _GW_KIND_MAX; k++) {
		r->s.objects[k] = r->objects[k].p;
		r->s.n[k] = r->objects[k].n;
	}
	gw_state_make(&r->a, &r->s, &r->st);
}

static inline void rig_end(struct rig *r)
{
	gw_state_release(&r->st);
	for (int k = 0; k < _GW_KIND_MAX; k++)
		vec_release(&r->objects[k]);
	arena_release(&r->a);
}

#define CLASS "{'kind':'GatewayClass','metadata':{'name':'ours'},'spec':{'controllerName':'" GW_CONTROLLER "'}}"
#define GATEWAY(name, at, listeners)                                                                        \
	"{'kind':'Gateway','metadata':{'namespace':'d','name':'" name "','creationTimestamp':'2026-01-0" at \
	"T00:00:00Z'},'spec':{'gatewayClassName':'ours','listeners':[" listeners "]}}"
#define HTTP(name, port, more) "{'name':'" name "','port':" port ",'protocol':'HTTP'" more "}"
#define ROUTE(ns, name, parent, more)                                                                           \
	"{'kind':'HTTPRoute','metadata':{'namespace':'" ns "','name':'" name "'},'spec':{'parentRefs':[" parent \
	"],'rules':[{'backendRefs':[{'name':'a','port':80}]}]" more "}}"

/* "True/Reason" */
static inline const char *told(struct rig *r, const struct gw_conditions *c, const char *type)
{
	const struct gw_condition *one = gw_condition(c, type);

	return one ? arena_printf(&r->a, "%s/%s", one->is ? "True" : "False", one->reason) : "";
}

static inline const struct gw_conditions *listener(struct rig *r, size_t gateway, size_t i)
{
	return &r->st.gateways[gateway].listeners[i].conditions;
}

static inline const char *parent(struct rig *r, const char *name, const char *type)
{
	for (size_t i = 0; i < r->st.n_routes; i++)
		if (sv_is(obj_name(r->st.routes[i].o), name))
			return told(r, &r->st.routes[i].parents[0].conditions, type);
	return "none";
}
