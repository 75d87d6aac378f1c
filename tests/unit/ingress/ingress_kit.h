/* ingress_kit.h - a cluster in one JSON text, and what becomes of it. */
#pragma once

#include "unit.h"

#include "base/vec.h"
#include "codec/json.h"
#include "ingress/backend.h"
#include "ingress/from_ingress.h"
#include "ingress/render.h"
#include "object/keep.h"
#include "object/obj.h"

#include <stdio.h>

struct kit {
	struct arena a;
	VEC(struct obj *) ingresses, classes, services, slices, secrets;
	struct ingress_classes which;
	struct buf said; /* "name: message" lines */
	struct ing_model m;
};

static inline void kit_release(struct kit *k)
{
	vec_release(&k->ingresses);
	vec_release(&k->classes);
	vec_release(&k->services);
	vec_release(&k->slices);
	vec_release(&k->secrets);
	ingress_classes_release(&k->which);
	buf_release(&k->said);
	arena_release(&k->a);
}

/* What an informer of a transport of its own has of it. */
static inline struct obj *kit_kept(struct kit *k, struct obj *o, const char *const *paths)
{
	struct keep *keep = keep_new();
	struct obj *ret;

	keep_add(keep, paths);
	ret = obj_link(&k->a, obj_new_lean(keep_copy(&k->a, keep, obj_root(o))));
	keep_unref(keep);
	return ret;
}

/* A document with ' for ". Services and slices are kept ones. */
static inline void kit_add(struct kit *k, const char *json)
{
	char *text = arena_strdup(&k->a, json);
	struct err err = ERR_INIT;
	struct val *v;
	struct obj *o;
	struct sv kind;

	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	v = json_decode(&k->a, sv_from(text), NULL, &err);
	if (!v)
		fail_msg("%s: %s", text, err_msg(&err));
	o = obj_link(&k->a, obj_new(v, 1));
	kind = val_str(obj_get(o, F_kind));
	if (sv_is(kind, "Ingress"))
		vec_push(&k->ingresses, o);
	else if (sv_is(kind, "IngressClass"))
		vec_push(&k->classes, o);
	else if (sv_is(kind, "Service"))
		vec_push(&k->services, kit_kept(k, o, ing_service_paths));
	else if (sv_is(kind, "EndpointSlice"))
		vec_push(&k->slices, kit_kept(k, o, ing_slice_paths));
	else
		vec_push(&k->secrets, o);
}

static inline struct obj *kit_find(struct obj **list, size_t n, struct sv ns, struct sv name)
{
	for (size_t i = 0; i < n; i++)
		if (sv_eq(obj_ns(list[i]), ns) && sv_eq(obj_name(list[i]), name))
			return list[i];
	return NULL;
}

static inline struct obj *kit_service(void *ctx, struct sv ns, struct sv name)
{
	struct kit *k = ctx;

	return kit_find(k->services.p, k->services.n, ns, name);
}

static inline struct obj *kit_secret(void *ctx, struct sv ns, struct sv name)
{
	struct kit *k = ctx;

	return kit_find(k->secrets.p, k->secrets.n, ns, name);
}

static inline struct obj **kit_slices(void *ctx, struct arena *a, struct sv ns, struct sv service, size_t *ret_n)
{
	struct kit *k = ctx;
	struct obj **list = ARENA_ARRAY(a, struct obj *, k->slices.n);

	*ret_n = 0;
	for (size_t i = 0; i < k->slices.n; i++)
		if (sv_eq(obj_ns(k->slices.p[i]), ns) &&
		    sv_eq(val_str(val_member_sv(obj_labels(k->slices.p[i]), SV("kubernetes.io/service-name"))),
			  service))
			list[(*ret_n)++] = k->slices.p[i];
	return list;
}

static inline void kit_say(void *ctx, const struct obj *ingress, const char *reason, const char *message)
{
	struct kit *k = ctx;

	(void)reason;
	buf_printf(&k->said, "%.*s: %s\n", SV_ARG(obj_name(ingress)), message);
}

static inline void kit_uses(void *ctx, struct sv ns, struct sv name)
{
	(void)ctx, (void)ns, (void)name;
}

static inline struct ing_source kit_source(struct kit *k)
{
	ingress_classes_release(&k->which);
	ingress_classes_of(k->classes.p, k->classes.n, &k->which);
	return (struct ing_source){ .ingresses = k->ingresses.p,
				    .n_ingresses = k->ingresses.n,
				    .classes = &k->which,
				    .service = kit_service,
				    .secret = kit_secret,
				    .slices = kit_slices,
				    .say = kit_say,
				    .uses = kit_uses,
				    .ctx = k };
}

static inline struct ing_source kit_source_at(struct kit *k, int http, int https)
{
	struct ing_source s = kit_source(k);

	s.ports[0] = http;
	s.ports[1] = https;
	return s;
}

static inline void kit_model(struct kit *k)
{
	struct ing_source s = kit_source(k);

	buf_clear(&k->said);
	ing_from_ingresses(&k->a, &s, &k->m);
}

#define KIT_CLASS                                                             \
	"{'kind':'IngressClass','metadata':{'name':'caravel','annotations':{" \
	"'ingressclass.kubernetes.io/is-default-class':'true'}},'spec':{'controller':'" INGRESS_CONTROLLER "'}}"
#define KIT_SERVICE(name)                                                                                              \
	"{'kind':'Service','metadata':{'namespace':'d','name':'" name "'},'spec':{'ports':[{'name':'web','port':80}]}" \
	"}"
#define KIT_ENDPOINT(ip, conditions) "{'addresses':['" ip "'],'conditions':{" conditions "}}"
#define KIT_SLICE(service, name, endpoints)                                 \
	"{'kind':'EndpointSlice','metadata':{'namespace':'d','name':'" name \
	"','labels':{'kubernetes.io/service-name':'" service                \
	"'}},'addressType':'IPv4','ports':[{'name':'web','port':8080}],"    \
	"'endpoints':[" endpoints "]}"
#define KIT_PATH(path, type, service) \
	"{'path':'" path "','pathType':'" type "','backend':{'service':{'name':'" service "','port':{'number':80}}}}"
#define KIT_RULE(host, paths) "{'host':'" host "','http':{'paths':[" paths "]}}"
/* age: a digit, 1 is the oldest */
#define KIT_INGRESS(name, age, annotations, rules)                                                                    \
	"{'kind':'Ingress','metadata':{'namespace':'d','name':'" name "','uid':'" name                                \
	"','creationTimestamp':'2026-01-0" age "T00:00:00Z','annotations':{" annotations "}},'spec':{'rules':[" rules \
	"]}}"
#define KIT_N "nginx.ingress.kubernetes.io/"
