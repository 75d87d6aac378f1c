#include "ingress/gate_rule.h"

#include "base/buf.h"
#include "gateway/texts.h"
#include "ingress/check.h"

#define SERVER_S 60
#define CONNECT_S 2
#define TUNNEL_S 3600

/* --- matches --- */

static struct sv gate_lower(struct arena *a, struct sv s)
{
	char *to = arena_alloc(a, s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		to[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 'a' - 'A') : s.p[i];
	to[s.n] = '\0';
	return sv_make(to, s.n);
}

static bool gate_headers(struct arena *a, const struct val *list, bool names, struct ing_headers *ret)
{
	ret->p = ARENA_ARRAY(a, struct ing_header, val_len(list));
	VAL_EACH(list, h) {
		struct ing_header *to = &ret->p[ret->n];
		bool again = false;

		*to = (struct ing_header){ val_get_str(h, F_name), val_get_str(h, F_value) };
		if ((names && !ing_is_token(to->name)) || !ing_is_value(to->name) ||
		    (to->value.n && !ing_is_value(to->value)))
			return false;
		if (names) /* what counts is the first of a name, in upper or lower case */
			to->name = gate_lower(a, to->name);
		for (size_t i = 0; i < ret->n && !again; i++)
			again = sv_eq(ret->p[i].name, to->name);
		ret->n += !again;
	}
	return true;
}

bool ing_gate_match(struct arena *a, const struct ing_gate_rule *r, const struct val *match, struct ing_gate *ret)
{
	const struct val *call = val_get(match, F_method);
	struct sv method = val_get_str(call, F_method);
	bool exact;

	if (!gw_match_path(a, r->kind, match, &exact, &ret->path))
		return false;
	ret->path_kind = exact ? ING_PATH_EXACT : ING_PATH_PREFIX;
	if (!gate_headers(a, val_get(match, F_headers), true, &ret->headers))
		return false;
	if (r->kind == GW_GRPCROUTES) /* of any service: only where a path ends says which method */
		return exact || !method.n || ing_path(a, arena_svf(a, "/%.*s", SV_ARG(method)), &ret->tail);
	ret->method = val_get_str(match, F_method);
	return (!ret->method.n || ing_is_token(ret->method)) &&
	       gate_headers(a, val_get(match, F_queryParams), false, &ret->queries);
}

/* --- filters --- */

int64_t ing_gate_duration_ms(struct sv s)
{
	int64_t total = s.n ? 0 : -1;

	while (s.n) {
		size_t digits = 0;
		int64_t n, unit;

		while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
			digits++;
		if (!digits || digits > 5 || !sv_to_i64(sv_sub(s, 0, digits), &n))
			return -1;
		s = sv_sub(s, digits, s.n);
		if (sv_starts(s, SV("ms"))) {
			unit = 1;
			s = sv_sub(s, 2, s.n);
		} else if (s.n) {
			unit = s.p[0] == 'h' ? 3600000 : s.p[0] == 'm' ? 60000 : s.p[0] == 's' ? 1000 : 0;
			s = sv_sub(s, 1, s.n);
		} else {
			return -1;
		}
		if (!unit)
			return -1;
		total = MIN(total + n * unit, ING_GATE_DURATION_MAX_MS);
	}
	return total;
}

int64_t ing_gate_server_ms(const struct val *rule)
{
	const struct val *t = val_get(rule, F_timeouts);
	int64_t whole = ing_gate_duration_ms(val_get_str(t, F_request)),
		one = ing_gate_duration_ms(val_get_str(t, F_backendRequest));

	if (whole > 0 && one > 0)
		return MIN(whole, one);
	if (whole > 0 || one > 0)
		return MAX(whole, one);
	return whole == 0 || one == 0 ? ING_GATE_DURATION_MAX_MS : 0;
}

static void gate_headers_change(struct arena *a, const struct val *m, struct ing_headers *set, struct ing_headers *add)
{
	size_t n = val_len(val_get(m, F_set)) + val_len(val_get(m, F_remove)), n_add = val_len(val_get(m, F_add));
	struct ing_header *s = ARENA_ARRAY(a, struct ing_header, set->n + n),
			  *d = ARENA_ARRAY(a, struct ing_header, add->n + n_add);

	if (set->n)
		memcpy(s, set->p, set->n * sizeof(*s));
	if (add->n)
		memcpy(d, add->p, add->n * sizeof(*d));
	set->p = s;
	add->p = d;
	VAL_EACH(val_get(m, F_set), h)
		if (!gw_header_kept(val_get_str(h, F_name)) && ing_is_value(val_get_str(h, F_value)))
			s[set->n++] = (struct ing_header){ val_get_str(h, F_name), val_get_str(h, F_value) };
	VAL_EACH(val_get(m, F_remove), h)
		if (!gw_header_kept(val_str(h)))
			s[set->n++] = (struct ing_header){ val_str(h), SV("") };
	VAL_EACH(val_get(m, F_add), h)
		if (!gw_header_kept(val_get_str(h, F_name)) && ing_is_value(val_get_str(h, F_value)))
			d[add->n++] = (struct ing_header){ val_get_str(h, F_name), val_get_str(h, F_value) };
}

/* Of URLRewrite and RequestRedirect. */
static bool gate_path_change(const struct val *path, const struct ing_gate *g, struct sv *ret, size_t *ret_cut)
{
	bool full = val_is(val_get(path, F_type), "ReplaceFullPath");
	struct sv to = val_get_str(path, full ? F_replaceFullPath : F_replacePrefixMatch);

	if (!path || (to.n && !ing_is_url(to)))
		return false;
	*ret_cut = full ? SIZE_MAX : g->path.n;
	if (!full)
		while (sv_ends(to, SV("/")))
			to.n--;
	*ret = full && !to.n ? SV("/") : to;
	return true;
}

static void gate_redirect(const struct val *r, const struct ing_gate *g, struct ing_gate_filters *f)
{
	struct sv scheme = val_get_str(r, F_scheme);

	f->redirect = true;
	f->scheme = sv_is(scheme, "http") || sv_is(scheme, "https") ? scheme : SV("");
	f->host = ing_is_host(val_get_str(r, F_hostname)) ? val_get_str(r, F_hostname) : SV("");
	f->port = (int)val_get_int(r, 0, F_port);
	f->code = (int)val_get_int(r, 302, F_statusCode);
	f->has_path = gate_path_change(val_get(r, F_path), g, &f->path, &f->path_cut);
}

static void gate_rewrite(const struct val *r, const struct ing_gate *g, struct ing_filters *t)
{
	t->rewrite = gate_path_change(val_get(r, F_path), g, &t->rewrite_to, &t->rewrite_cut);
	if (ing_is_host(val_get_str(r, F_hostname)))
		t->vhost = val_get_str(r, F_hostname);
}

/* *ret_any: "*" is one of them. */
static struct sv gate_list(struct arena *a, const struct val *list, const char *between, bool *ret_any)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(list, one) {
		if (!ing_is_value(val_str(one)) || b.n + val_str(one).n > ING_VALUE_MAX)
			continue;
		*ret_any |= val_is(one, "*");
		buf_printf(&b, "%s%.*s", b.n ? between : "", SV_ARG(val_str(one)));
	}
	return arena_sv(a, buf_sv(&b));
}

static void gate_cors(struct arena *a, const struct val *c, struct ing_gate_filters *f)
{
	bool any = false;

	f->cors = true;
	f->cors_credentials = val_bool(val_get(c, F_allowCredentials));
	f->cors_origins = gate_list(a, val_get(c, F_allowOrigins), " ", &any);
	f->cors_methods = gate_list(a, val_get(c, F_allowMethods), ", ", &f->cors_any_method);
	f->cors_headers = gate_list(a, val_get(c, F_allowHeaders), ", ", &f->cors_any_header);
	f->cors_expose = gate_list(a, val_get(c, F_exposeHeaders), ", ", &any);
	f->cors_age_s = (int)MIN(val_get_int(c, 5, F_maxAge), INT32_MAX);
}

static void gate_filters_add(struct arena *a, const struct val *filters, const struct ing_gate *g,
			     struct ing_filters *t, struct ing_gate_filters *f)
{
	VAL_EACH(filters, x) {
		const struct val *type = val_get(x, F_type);

		if (val_is(type, "RequestHeaderModifier"))
			gate_headers_change(a, val_get(x, F_requestHeaderModifier), &f->request_set, &f->request_add);
		else if (val_is(type, "ResponseHeaderModifier"))
			gate_headers_change(a, val_get(x, F_responseHeaderModifier), &f->response_set,
					    &f->response_add);
		else if (val_is(type, "RequestRedirect"))
			gate_redirect(val_get(x, F_requestRedirect), g, f);
		else if (val_is(type, "URLRewrite"))
			gate_rewrite(val_get(x, F_urlRewrite), g, t);
		else if (val_is(type, "CORS"))
			gate_cors(a, val_get(x, F_cors), f);
	}
}

const struct ing_filters *ing_gate_filters(struct arena *a, const struct ing_gate_rule *r, const struct ing_gate *g,
					   struct ing_gate_at at, const struct val *backend, enum gw_app app,
					   bool broken)
{
	struct ing_filters *t = ARENA_NEW(a, struct ing_filters);
	struct ing_gate_filters *f = ARENA_NEW(a, struct ing_gate_filters);

	t->gate = f;
	t->connect_s = CONNECT_S;
	t->server_s = SERVER_S;
	t->tunnel_s = TUNNEL_S;
	t->protocol = r->kind == GW_GRPCROUTES || app == GW_APP_H2C ? ING_H2C : ING_HTTP;
	f->server_ms = ing_gate_server_ms(r->rule);
	if (f->server_ms)
		t->server_s = (int)((f->server_ms + 999) / 1000);
	gate_filters_add(a, val_get(r->rule, F_filters), g, t, f);
	gate_filters_add(a, val_get(backend, F_filters), g, t, f);
	if (broken && !f->redirect)
		f->status = 500;
	f->id = arena_svf(a, "%s %.*s/%.*s %zu %zu %zu", gw_kind_names[r->kind], SV_ARG(obj_ns(r->from)),
			  SV_ARG(obj_name(r->from)), r->number, at.match, at.backend);
	return t;
}

bool ing_gate_redirects(const struct val *rule)
{
	VAL_EACH(val_get(rule, F_filters), f)
		if (val_is(val_get(f, F_type), "RequestRedirect"))
			return true;
	return false;
}

bool ing_gate_by_match(const struct val *rule)
{
	VAL_EACH(val_get(rule, F_filters), f)
		if (val_get(f, F_urlRewrite, F_path, F_replacePrefixMatch) ||
		    val_get(f, F_requestRedirect, F_path, F_replacePrefixMatch))
			return true;
	return false;
}
