/* ReferenceGrants: what of one namespace may be named from another. */
#include "gateway/gateway-internal.h"

#include "base/buf.h"

/* "Gateway ns Secret ns name", or without the name for all. */
static void grant_key(struct buf *b, struct sv from_kind, struct sv from_ns, struct sv to_kind, struct sv to_ns,
		      struct sv to_name)
{
	buf_clear(b);
	buf_printf(b, "%.*s %.*s %.*s %.*s %.*s", SV_ARG(from_kind), SV_ARG(from_ns), SV_ARG(to_kind), SV_ARG(to_ns),
		   SV_ARG(to_name));
}

void gw_grants_of(struct obj *const *grants, size_t n, struct gw_grants *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	*ret = (struct gw_grants){ .pairs = STRMAP_INIT };
	for (size_t i = 0; i < n; i++) {
		VAL_EACH(obj_get(grants[i], F_spec, F_from), from) {
			if (!val_is(val_get(from, F_group), GW_GROUP))
				continue;
			VAL_EACH(obj_get(grants[i], F_spec, F_to), to) {
				if (val_get_str(to, F_group).n)
					continue;
				grant_key(&b, val_get_str(from, F_kind), val_get_str(from, F_namespace),
					  val_get_str(to, F_kind), obj_ns(grants[i]), val_get_str(to, F_name));
				strmap_set(&ret->pairs, buf_sv(&b), ret);
			}
		}
	}
}

void gw_grants_release(struct gw_grants *g)
{
	strmap_release(&g->pairs);
}

bool gw_granted(const struct gw_grants *g, const char *from_kind, struct sv from_ns, const char *to_kind,
		struct sv to_ns, struct sv to_name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	grant_key(&b, sv_from(from_kind), from_ns, sv_from(to_kind), to_ns, to_name);
	if (strmap_has(&g->pairs, buf_sv(&b)))
		return true;
	grant_key(&b, sv_from(from_kind), from_ns, sv_from(to_kind), to_ns, SV(""));
	return strmap_has(&g->pairs, buf_sv(&b));
}

void gw_secrets_each(const struct obj *gateway, void (*fn)(struct sv ns, struct sv name, void *ctx), void *ctx)
{
	VAL_EACH(obj_get(gateway, F_spec, F_listeners), l) {
		if (val_is(val_get(l, F_tls, F_mode), "Passthrough"))
			continue;
		VAL_EACH(val_get(l, F_tls, F_certificateRefs), ref) {
			struct sv ns = val_get_str(ref, F_namespace), name = val_get_str(ref, F_name);

			ns = ns.n ? ns : obj_ns(gateway);
			if (val_get_str(ref, F_group).n ||
			    (val_get(ref, F_kind) && !val_is(val_get(ref, F_kind), "Secret")))
				continue;
			if (name.n)
				fn(ns, name, ctx);
		}
	}
}
