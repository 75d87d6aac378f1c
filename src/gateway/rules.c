/* Rules of routes: what of them can be served, and where they lead. */
#include "gateway/gateway-internal.h"

enum gw_app gw_app_protocol(struct sv s)
{
	static const char *const plain[] = { "", "http", "kubernetes.io/ws", "kubernetes.io/http", "tcp" };

	if (sv_is(s, "kubernetes.io/h2c") || sv_is(s, "grpc") || sv_is(s, "kubernetes.io/grpc"))
		return GW_APP_H2C;
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (sv_is(s, plain[i]))
			return GW_APP_HTTP;
	return GW_APP_OTHER;
}

static const char *filter_unsupported(const struct val *filters)
{
	VAL_EACH(filters, f) {
		if (val_is(val_get(f, F_type), "RequestMirror"))
			return "filters of type RequestMirror are not supported";
		if (val_is(val_get(f, F_type), "ExtensionRef"))
			return "filters of type ExtensionRef are not supported";
	}
	return NULL;
}

static bool match_is_regular(const struct val *list)
{
	VAL_EACH(list, m)
		if (val_is(val_get(m, F_type), "RegularExpression"))
			return true;
	return false;
}

const char *gw_rule_unsupported(enum gw_kind kind, const struct val *rule)
{
	const char *why = filter_unsupported(val_get(rule, F_filters));

	VAL_EACH(val_get(rule, F_backendRefs), b) {
		why = why ? why : filter_unsupported(val_get(b, F_filters));
		VAL_EACH(val_get(b, F_filters), f)
			if (!why && !val_is(val_get(f, F_type), "RequestHeaderModifier") &&
			    !val_is(val_get(f, F_type), "ResponseHeaderModifier"))
				why = "filters of a backendRef are header modifiers";
	}
	VAL_EACH(val_get(rule, F_matches), m) {
		const struct val *how = kind == GW_HTTPROUTES ? val_get(m, F_path) : val_get(m, F_method);

		if (!why && val_is(val_get(how, F_type), "RegularExpression"))
			why = "matches of type RegularExpression are not supported";
		if (!why && (match_is_regular(val_get(m, F_headers)) || match_is_regular(val_get(m, F_queryParams))))
			why = "matches of type RegularExpression are not supported";
	}
	return why;
}

const char *gw_backend_refused(struct arena *a, const struct gw_source *s, const struct gw_grants *g,
			       const struct gw_route *r, const struct val *ref, const char **ret_message)
{
	struct sv ns = val_get_str(ref, F_namespace), name = val_get_str(ref, F_name);
	const struct val *kind = val_get(ref, F_kind);

	ns = ns.n ? ns : obj_ns(r->o);
	if (!gw_group_is(ref, "", "") || (kind && !val_is(kind, "Service"))) {
		*ret_message = "backends are Services";
		return "InvalidKind";
	}
	if (!sv_eq(ns, obj_ns(r->o)) && !gw_granted(g, gw_kind_names[r->kind], obj_ns(r->o), "Service", ns, name)) {
		*ret_message = arena_printf(a, "no ReferenceGrant of namespace %.*s permits the reference to Service %.*s",
					    SV_ARG(ns), SV_ARG(name));
		return "RefNotPermitted";
	}
	switch (s->service(s->ctx, ns, name, val_get_int(ref, 0, F_port))) {
	case GW_SERVICE_OK:
		return NULL;
	case GW_SERVICE_MISSING:
		*ret_message = arena_printf(a, "Service %.*s/%.*s not found", SV_ARG(ns), SV_ARG(name));
		return "BackendNotFound";
	case GW_SERVICE_NO_PORT:
		*ret_message = arena_printf(a, "Service %.*s/%.*s has no port %lld", SV_ARG(ns), SV_ARG(name),
					    (long long)val_get_int(ref, 0, F_port));
		return "BackendNotFound";
	case GW_SERVICE_PROTOCOL:
		*ret_message = arena_printf(a, "port %lld of Service %.*s/%.*s has an appProtocol that is not supported",
					    (long long)val_get_int(ref, 0, F_port), SV_ARG(ns), SV_ARG(name));
		return "UnsupportedProtocol";
	}
	return NULL;
}
