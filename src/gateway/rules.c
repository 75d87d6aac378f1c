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

#define TEXT_MAX 1024  /* of one text */
#define MATCH_MAX 1000 /* of all names and values of a match: each byte may become three of a line of HAProxy's */
#define NAME_MAX_BYTES 64

static bool text_fine(struct sv s)
{
	if (!s.n || s.n > TEXT_MAX || s.p[0] == ' ' || s.p[s.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

static bool name_fine(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= 'A' && s.p[i] <= 'Z') &&
		    !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return s.n && s.n <= NAME_MAX_BYTES;
}

/* A path to put in another's place: what a URL has in its path, and no escape that is none. */
static bool gw_path_fine(struct sv s)
{
	if (!s.n)
		return true;
	if (!text_fine(s) || s.p[0] != '/')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (strchr(" \"'<>\\^`{|}", s.p[i]) ||
		    (s.p[i] == '%' && (i + 2 >= s.n || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)))
			return false;
	return true;
}

#define BAD_NAME "names of headers are letters, digits, - and _, at most 64"
#define BAD_TEXT "a value is printable, without blanks at its ends, at most 1024 bytes"
#define BAD_PATH "a path begins with / and has what a URL may have in it"

static const char *headers_unsupported(const struct val *modifier)
{
	static const enum sym lists[] = { F_set, F_add };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_member(modifier, lists[i]), h) {
			if (!name_fine(val_get_str(h, F_name)))
				return BAD_NAME;
			if (!text_fine(val_get_str(h, F_value)))
				return BAD_TEXT;
		}
	VAL_EACH(val_member(modifier, F_remove), h)
		if (!name_fine(val_str(h)))
			return BAD_NAME;
	return NULL;
}

static const char *filter_unsupported(const struct val *f)
{
	static const enum sym paths[] = { F_urlRewrite, F_requestRedirect };
	const char *why = headers_unsupported(val_get(f, F_requestHeaderModifier));

	if (val_is(val_get(f, F_type), "RequestMirror"))
		return "filters of type RequestMirror are not supported";
	if (val_is(val_get(f, F_type), "ExtensionRef"))
		return "filters of type ExtensionRef are not supported";
	why = why ? why : headers_unsupported(val_get(f, F_responseHeaderModifier));
	for (size_t i = 0; !why && i < ARRAY_LEN(paths); i++) {
		const struct val *path = val_get(f, paths[i], F_path);

		if (!gw_path_fine(val_get_str(path, F_replaceFullPath)) ||
		    !gw_path_fine(val_get_str(path, F_replacePrefixMatch)))
			why = BAD_PATH;
	}
	return why;
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

		if (val_is(val_get(m, F_type), "RegularExpression"))
			return "matches of type RegularExpression are not supported";
		if (names && !name_fine(name))
			return BAD_NAME;
		if (!text_fine(name) || (value.n && !text_fine(value)))
			return BAD_TEXT;
		*size += name.n + value.n;
	}
	return NULL;
}

static const char *match_unsupported(enum gw_kind kind, const struct val *m)
{
	const struct val *how = kind == GW_HTTPROUTES ? val_get(m, F_path) : val_get(m, F_method);
	struct sv path = kind == GW_HTTPROUTES ? val_get_str(how, F_value) : SV("");
	size_t size = 0;
	const char *why;

	if (val_is(val_get(how, F_type), "RegularExpression"))
		return "matches of type RegularExpression are not supported";
	if (path.n && (!text_fine(path) || path.p[0] != '/'))
		return BAD_PATH;
	if (kind == GW_GRPCROUTES && val_get_str(how, F_service).n + val_get_str(how, F_method).n + 2 > TEXT_MAX)
		return "service and method are at most 1022 bytes";
	why = pairs_unsupported(val_get(m, F_headers), true, &size);
	why = why ? why : pairs_unsupported(val_get(m, F_queryParams), false, &size);
	return why || size <= MATCH_MAX ? why : "names and values of a match are at most 1000 bytes in all";
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
