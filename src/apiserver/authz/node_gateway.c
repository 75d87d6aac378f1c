#include "apiserver/authz/node_gateway.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/watchcache.h"
#include "gateway/crds.h"
#include "gateway/gateway.h"

/* NULL: it is not served. */
static const struct resource *gateway_kind(const struct api_set *api, const char *plural)
{
	static const char *const versions[] = { "v1", "v1beta1" };
	const struct resource *r = NULL;

	for (size_t i = 0; !r && i < ARRAY_LEN(versions); i++)
		r = api_find_late(api, SV(GW_GROUP), sv_from(versions[i]), sv_from(plural));
	return r;
}

struct gateway_question {
	struct apiserver *s;
	struct sv ns, secret;
	bool found; /* one call at a time */
};

static void gateway_names(struct sv ns, struct sv name, void *ctx)
{
	struct gateway_question *q = ctx;

	q->found |= sv_eq(ns, q->ns) && sv_eq(name, q->secret);
}

static bool gateway_granted(struct gateway_question *q, struct arena *a, const struct resource *grants,
			    struct sv from_ns)
{
	struct gw_grants g;
	struct wc_list l;
	bool yes;

	if (sv_eq(from_ns, q->ns))
		return true;
	if (!grants)
		return false;
	(void)wc_list(q->s->wc, grants, q->ns, NULL, SV_NULL, 0, 0, a, &l);
	gw_grants_of(l.objs, l.n, &g);
	yes = gw_granted(&g, "Gateway", from_ns, "Secret", q->ns, q->secret);
	gw_grants_release(&g);
	wc_list_unref(&l);
	return yes;
}

static bool gateway_is_ours(struct gateway_question *q, const struct resource *classes, const struct obj *gateway)
{
	_cleanup_obj_ struct obj *class =
	    wc_get(q->s->wc, classes, SV(""), val_get_str(obj_root(gateway), F_spec, F_gatewayClassName));

	return class && gw_class_is_ours(obj_root(class));
}

bool node_gateway_reaches(struct apiserver *s, struct sv ns, struct sv secret)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct api_set *api = api_current_get(s->api);
	const struct resource *gateways = gateway_kind(api, "gateways"), *classes = gateway_kind(api, "gatewayclasses");
	struct gateway_question q = { .s = s, .ns = ns, .secret = secret };
	struct wc_list l = { .n = 0 };
	bool yes = false;

	if (gateways && classes)
		(void)wc_list(s->wc, gateways, SV(""), NULL, SV_NULL, 0, 0, &a, &l);
	for (size_t i = 0; !yes && i < l.n; i++) {
		q.found = false;
		gw_secrets_each(l.objs[i], gateway_names, &q);
		yes = q.found && gateway_is_ours(&q, classes, l.objs[i]) &&
		      gateway_granted(&q, &a, gateway_kind(api, "referencegrants"), obj_ns(l.objs[i]));
	}
	if (gateways && classes)
		wc_list_unref(&l);
	api_set_unref(api);
	return yes;
}
