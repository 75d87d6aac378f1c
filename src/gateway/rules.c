/* Rules of routes: what of them can be served, and where they lead. */
#include "gateway/gateway-internal.h"

#include "gateway/texts.h"

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

enum gw_service gw_service_port(const struct obj *service, int64_t port)
{
	if (!service)
		return GW_SERVICE_MISSING;
	VAL_EACH(obj_get(service, F_spec, F_ports), p)
		if (val_get_int(p, 0, F_port) == port)
			return gw_app_protocol(val_get_str(p, F_appProtocol)) == GW_APP_OTHER ? GW_SERVICE_PROTOCOL
											      : GW_SERVICE_OK;
	return GW_SERVICE_NO_PORT;
}

/* --- what can be served --- */

#define MATCH_MAX 1000 /* of all names and values of a match: each byte may become three of a line of HAProxy's */

/* A path to put in another's place: what a URL has in its path, and no escape that is none. */
static bool gw_path_fine(struct sv s)
{
	return !s.n || (s.p[0] == '/' && gw_is_url(s));
}

static bool is_none_or(const struct val *v, const char *x, const char *y)
{
	return !v || val_is(v, x) || val_is(v, y);
}

#define BAD_NAME "names of headers are letters, digits, - and _, at most 64"
#define BAD_TEXT "a value is printable, without blanks at its ends, at most 1024 bytes"
#define BAD_PATH "a path begins with / and has what a URL may have in it"
#define BAD_HOST "a hostname is a DNS name without wildcard, its labels at most 63 bytes"
#define BAD_LIST "origins, methods and headers of CORS are without blanks and commas, at most 1024 bytes of each kind"
#define REGULAR "matches of type RegularExpression are not supported"
#define BAD_TYPE "matches of this type are not supported"

static const char *headers_unsupported(const struct val *modifier)
{
	static const enum sym lists[] = { F_set, F_add };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_member(modifier, lists[i]), h) {
			const char *why = gw_header_kept(val_get_str(h, F_name));

			if (why)
				return why;
			if (!gw_is_text(val_get_str(h, F_value)))
				return BAD_TEXT;
		}
	VAL_EACH(val_member(modifier, F_remove), h) {
		const char *why = gw_header_kept(val_str(h));

		if (why)
			return why;
	}
	return NULL;
}

/* Of URLRewrite and RequestRedirect. */
static const char *location_unsupported(const struct val *to)
{
	const struct val *path = val_get(to, F_path);
	struct sv host = val_get_str(to, F_hostname);

	if (host.n && (!gw_is_host(host) || host.p[0] == '*'))
		return BAD_HOST;
	if (!is_none_or(val_get(path, F_type), "ReplaceFullPath", "ReplacePrefixMatch"))
		return "paths of this type are not supported";
	return gw_path_fine(val_get_str(path, F_replaceFullPath)) &&
		       gw_path_fine(val_get_str(path, F_replacePrefixMatch))
		   ? NULL
		   : BAD_PATH;
}

static const char *redirect_unsupported(const struct val *r)
{
	static const int codes[] = { 301, 302, 303, 307, 308 };
	int64_t code = val_get_int(r, 302, F_statusCode);

	if (!is_none_or(val_get(r, F_scheme), "http", "https"))
		return "schemes of redirects are http and https";
	if (val_get(r, F_port) && !gw_port(val_get(r, F_port)))
		return "the port of a redirect is between 1 and 65535";
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (code == codes[i])
			return location_unsupported(r);
	return "codes of redirects are 301, 302, 303, 307 and 308";
}

/* Each list is one header of the answer, or one line of what is asked for an origin. */
static const char *cors_unsupported(const struct val *c)
{
	static const enum sym lists[] = { F_allowOrigins, F_allowMethods, F_allowHeaders, F_exposeHeaders };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		size_t size = 0;

		VAL_EACH(val_member(c, lists[i]), one) {
			struct sv s = val_str(one);

			size += s.n + 2;
			if (!gw_is_text(s) || sv_find(s, ' ') >= 0 || sv_find(s, ',') >= 0 || size > GW_TEXT_MAX + 2)
				return BAD_LIST;
		}
	}
	return NULL;
}

/* Each type that is served; a filter that is left out could be one that keeps somebody out. */
static const char *filter_unsupported(const struct val *f)
{
	static const struct {
		const char *type;
		enum sym field;
		const char *(*unsupported)(const struct val *v);
	} types[] = {
		{ "RequestHeaderModifier", F_requestHeaderModifier, headers_unsupported },
		{ "ResponseHeaderModifier", F_responseHeaderModifier, headers_unsupported },
		{ "RequestRedirect", F_requestRedirect, redirect_unsupported },
		{ "URLRewrite", F_urlRewrite, location_unsupported },
		{ "CORS", F_cors, cors_unsupported },
	};
	const struct val *type = val_get(f, F_type);

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (val_is(type, types[i].type))
			return types[i].unsupported(val_member(f, types[i].field));
	if (val_is(type, "RequestMirror"))
		return "filters of type RequestMirror are not supported: HAProxy sends a request to one backend";
	if (val_is(type, "ExtensionRef"))
		return "filters of type ExtensionRef are not supported";
	return "filters of this type are not supported";
}

static const char *filters_unsupported(const struct val *filters)
{
	const char *why = NULL;

	VAL_EACH(filters, f)
		why = why ? why : filter_unsupported(f);
	return why;
}

/* names: of headers; size: of what was met. */
static const char *pairs_unsupported(const struct val *list, bool names, size_t *size)
{
	VAL_EACH(list, m) {
		struct sv name = val_get_str(m, F_name), value = val_get_str(m, F_value);

		if (!is_none_or(val_get(m, F_type), "Exact", "Exact"))
			return val_is(val_get(m, F_type), "RegularExpression") ? REGULAR : BAD_TYPE;
		if (names && !gw_is_name(name))
			return BAD_NAME;
		if (!gw_is_text(name) || (value.n && !gw_is_text(value)))
			return BAD_TEXT;
		*size += name.n + value.n;
	}
	return NULL;
}

static const char *match_unsupported(enum gw_kind kind, const struct val *m)
{
	bool http = kind == GW_HTTPROUTES;
	const struct val *how = http ? val_get(m, F_path) : val_get(m, F_method);
	struct sv path = http ? val_get_str(how, F_value) : SV(""),
		  service = http ? SV("") : val_get_str(how, F_service),
		  method = http ? val_get_str(m, F_method) : val_get_str(how, F_method);
	size_t size = 0;
	const char *why;

	if (!is_none_or(val_get(how, F_type), "Exact", http ? "PathPrefix" : "Exact"))
		return val_is(val_get(how, F_type), "RegularExpression") ? REGULAR : BAD_TYPE;
	if (path.n && (!gw_is_text(path) || path.p[0] != '/'))
		return BAD_PATH;
	if (http && method.n && !gw_is_name(method))
		return "a method is letters, digits, - and _, at most 64";
	if (!http && service.n + method.n + 2 > GW_TEXT_MAX)
		return "service and method are at most 1022 bytes";
	if (!http && ((service.n && !gw_is_text(service)) || (method.n && !gw_is_text(method))))
		return BAD_TEXT;
	why = pairs_unsupported(val_get(m, F_headers), true, &size);
	why = why ? why : pairs_unsupported(val_get(m, F_queryParams), false, &size);
	return why || size <= MATCH_MAX ? why : "names and values of a match are at most 1000 bytes in all";
}

static bool match_prefix(struct arena *a, struct sv path, struct sv *ret)
{
	if (!gw_path(a, path, ret))
		return false;
	while (sv_ends(*ret, SV("/")))
		ret->n--;
	return true;
}

/* A call is a POST to /service/method. */
static bool match_call(struct arena *a, const struct val *call, bool *ret_exact, struct sv *ret)
{
	struct sv service = val_get_str(call, F_service), method = val_get_str(call, F_method);

	*ret_exact = service.n && method.n;
	if (!is_none_or(val_get(call, F_type), "Exact", "Exact"))
		return false;
	if (*ret_exact)
		return gw_path(a, arena_svf(a, "/%.*s/%.*s", SV_ARG(service), SV_ARG(method)), ret);
	return match_prefix(a, service.n ? arena_svf(a, "/%.*s", SV_ARG(service)) : SV("/"), ret);
}

bool gw_match_path(struct arena *a, enum gw_kind kind, const struct val *match, bool *ret_exact, struct sv *ret)
{
	const struct val *path = val_get(match, F_path);
	struct sv text = val_get_str(path, F_value);

	if (kind == GW_GRPCROUTES)
		return match_call(a, val_get(match, F_method), ret_exact, ret);
	text = text.n ? text : SV("/");
	*ret_exact = val_is(val_get(path, F_type), "Exact");
	if (*ret_exact)
		return gw_path(a, text, ret);
	return is_none_or(val_get(path, F_type), "PathPrefix", "PathPrefix") && match_prefix(a, text, ret);
}

const char *gw_rule_unsupported(enum gw_kind kind, const struct val *rule)
{
	const char *why = filters_unsupported(val_get(rule, F_filters));

	VAL_EACH(val_get(rule, F_backendRefs), b) {
		why = why ? why : filters_unsupported(val_get(b, F_filters));
		VAL_EACH(val_get(b, F_filters), f)
			if (!why && !val_is(val_get(f, F_type), "RequestHeaderModifier") &&
			    !val_is(val_get(f, F_type), "ResponseHeaderModifier"))
				why = "filters of a backendRef are header modifiers";
	}
	VAL_EACH(val_get(rule, F_matches), m)
		why = why ? why : match_unsupported(kind, m);
	return why;
}

/* --- where it leads --- */

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
		*ret_message =
		    arena_printf(a, "no ReferenceGrant of namespace %.*s permits the reference to Service %.*s",
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
		*ret_message =
		    arena_printf(a, "port %lld of Service %.*s/%.*s has an appProtocol that is not supported",
				 (long long)val_get_int(ref, 0, F_port), SV_ARG(ns), SV_ARG(name));
		return "UnsupportedProtocol";
	}
	return NULL;
}
