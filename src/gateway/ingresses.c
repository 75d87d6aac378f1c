/* Hosts that Ingresses name: where both are served, one that an older Ingress has is no younger route's. */
#include "gateway/gateway-internal.h"

#include "gateway/texts.h"
#include "object/age.h"
#include "object/annotation.h"

static void ingresses_host(struct gw_ingresses *to, struct obj *ingress, struct sv host)
{
	void **slot;

	if (!gw_is_host(host))
		return;
	slot = strmap_slot(&to->hosts, host);
	if (!*slot || obj_age_cmp(ingress, *slot) < 0)
		*slot = ingress;
}

void gw_ingresses_of(struct obj *const *ingresses, size_t n, const struct ingress_classes *classes,
		     struct gw_ingresses *ret)
{
	*ret = (struct gw_ingresses){ .hosts = STRMAP_INIT };
	for (size_t i = 0; i < n; i++) {
		struct obj *o = ingresses[i];

		/* A canary is another's beside it. */
		if (!ingress_is_ours(classes, obj_root(o)) || obj_deleting(o) ||
		    sv_is(annotation_of(obj_root(o), "nginx.ingress.kubernetes.io/canary"), "true"))
			continue;
		VAL_EACH(obj_get(o, F_spec, F_rules), rule)
			if (val_len(val_get(rule, F_http, F_paths)))
				ingresses_host(ret, o, val_get_str(rule, F_host));
		VAL_EACH(obj_get(o, F_spec, F_tls), t)
			VAL_EACH(val_get(t, F_hosts), h)
				ingresses_host(ret, o, val_str(h));
	}
}

void gw_ingresses_release(struct gw_ingresses *i)
{
	strmap_release(&i->hosts);
}

bool gw_ingresses_at(const struct gw_ingresses *i, uint16_t port)
{
	return port && (port == i->ports[0] || port == i->ports[1]);
}

const struct obj *gw_ingress_before(const struct gw_ingresses *i, const struct gw_listener *l, struct sv host)
{
	const struct obj *ingress = i && gw_ingresses_at(i, l->port) ? strmap_get(&i->hosts, host) : NULL;

	if (ingress && sv_eq(host, l->host) && obj_age_cmp(l->first->gateway->o, ingress) < 0)
		return NULL;
	return ingress;
}
