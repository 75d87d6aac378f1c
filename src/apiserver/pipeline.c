/* From a request to whoever answers it. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/authn.h"
#include "apiserver/authz.h"
#include "apiserver/watchcache.h"
#include "apiserver/registry/registry.h"
#include "base/board.h"
#include "base/vec.h"
#include "object/protobuf.h"
#include "object/validate.h"

#include <stdlib.h>

void api_req_post(struct api_req *q, void (*fn)(struct api_req *q, void *ctx), void *ctx)
{
	if (q->sink && q->sink->post)
		q->sink->post(q, fn, ctx);
	else
		fn(q, ctx);
}

void api_req_header(struct api_req *q, struct sv name, struct sv value)
{
	struct http_header *more = arena_alloc(q->arena, (q->n_headers + 1) * sizeof(*more));

	if (q->n_headers)
		memcpy(more, q->headers, q->n_headers * sizeof(*more));
	more[q->n_headers++] = (struct http_header){ name, value };
	q->headers = more;
}

void api_req_fail(struct api_req *q, struct err *err)
{
	q->sink->failure(q, err);
	err_release(err);
}

void api_req_answered(struct api_req *q, int code)
{
	if (q->answered)
		return;
	q->answered = true;
	metrics_count(q, code);
	metrics_inflight(q->server, q, -1);
	flow_release(q);
}

void answer_doc(struct api_req *q, int code, const struct val *doc)
{
	q->sink->object(q, code, NULL, doc);
}

void answer_text(struct api_req *q, int code, const char *content_type, struct sv text)
{
	q->sink->bytes(q, code, content_type, &(struct http_chunk){ .data = text }, 1);
}

void answer_page_not_found(struct api_req *q)
{
	answer_text(q, 404, "text/plain; charset=utf-8", SV("404 page not found\n"));
}

/* What goes wrong before it is known who asks is told in plain text, with what a browser would read as markup escaped.
 */
static void answer_internal(struct api_req *q, const struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv text = arena_svf(q->arena, "\"%.*s\": %s", SV_ARG(q->http->target), err_msg(err));

	buf_adds(&b, "Internal Server Error: ");
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '&')
			buf_adds(&b, "&amp;");
		else if (text.p[i] == '<')
			buf_adds(&b, "&lt;");
		else if (text.p[i] == '>')
			buf_adds(&b, "&gt;");
		else
			buf_addc(&b, text.p[i]);
	}
	buf_addc(&b, '\n');
	answer_text(q, 500, "text/plain; charset=utf-8", arena_sv(q->arena, buf_sv(&b)));
}

/* --- authorization --- */

int pipeline_authorize(struct api_req *q, struct err *err)
{
	struct authz_attrs at = {
		.user = &q->user,
		.verb = request_verb(q),
		.resource_request = q->resource_request,
		.group = q->group,
		.version = q->version,
		.resource = q->plural,
		.subresource = q->subresource,
		.ns = q->ns,
		.name = q->name,
		.path = q->path,
	};
	bool one_or_many = q->verb == VERB_LIST || q->verb == VERB_WATCH;
	struct sv reason = SV(""), fields;
	struct err ignored = ERR_INIT; /* who may ask at all is told what is wrong with the selector */

	if (q->resource_request && (one_or_many || q->verb == VERB_DELETECOLLECTION) &&
	    api_req_param(q, "fieldSelector", &fields))
		at.fields = field_selector_parse(q->arena, fields, &ignored);
	err_release(&ignored);
	/* A list or watch of one name is a question about that name. */
	if (!q->name.n && one_or_many)
		at.name = authz_selected_name(at.fields);
	if (authz_allowed(q->server, q->arena, &at, &reason))
		return 0;
	return authz_forbidden(q->arena, &at, reason, err);
}

/* --- impersonation --- */

static int may_impersonate(struct api_req *q, struct sv group, struct sv resource, struct sv sub, struct sv ns,
			   struct sv name, struct err *err)
{
	struct authz_attrs at = {
		.user = &q->user,
		.verb = SV("impersonate"),
		.resource_request = true,
		.group = group,
		.version = SV("v1"),
		.resource = resource,
		.subresource = sub,
		.ns = ns,
		.name = name,
	};
	struct sv reason = SV("");

	if (authz_allowed(q->server, q->arena, &at, &reason))
		return 0;
	return authz_forbidden(q->arena, &at, reason, err);
}

static const struct sv auth_group = { "authentication.k8s.io", sizeof("authentication.k8s.io") - 1 };

static int add_extra(struct api_req *q, struct user_info *u, struct sv key, struct sv value, struct err *err)
{
	struct extra_info *e = NULL;
	struct sv *values;

	if (may_impersonate(q, auth_group, SV("userextras"), key, SV(""), value, err) < 0)
		return -1;
	for (size_t i = 0; i < u->n_extra; i++)
		if (sv_eq(u->extra[i].key, key))
			e = &u->extra[i];
	if (!e) {
		struct extra_info *more = ARENA_ARRAY(q->arena, struct extra_info, u->n_extra + 1);

		if (u->n_extra)
			memcpy(more, u->extra, u->n_extra * sizeof(*more));
		u->extra = more;
		e = &more[u->n_extra++];
		e->key = key;
	}
	values = ARENA_ARRAY(q->arena, struct sv, e->n_values + 1);
	if (e->n_values)
		memcpy(values, e->values, e->n_values * sizeof(*values));
	values[e->n_values++] = value;
	e->values = values;
	return 0;
}

/* "system:serviceaccount:NS:NAME". What cannot be an account is a user who only looks like one: who may be the accounts
 * of a namespace may not be him. */
static bool split_service_account(struct sv user, struct sv *ns, struct sv *name)
{
	static const struct sv prefix = { "system:serviceaccount:", sizeof("system:serviceaccount:") - 1 };

	if (!sv_starts(user, prefix))
		return false;
	*name = sv_sub(user, prefix.n, user.n);
	return sv_split(name, ':', ns) && !fmt_dns_label(*ns) && !fmt_dns_subdomain(*name);
}

static const struct sv user_header = { "impersonate-user", 16 }, group_header = { "impersonate-group", 17 },
		       uid_header = { "impersonate-uid", 15 }, extra_header = { "impersonate-extra-", 18 };

static struct sv extra_key(struct api_req *q, struct sv header)
{
	return http_percent_decode(q->arena, sv_sub(header, extra_header.n, header.n), false);
}

/* What is asked for without saying as whom, as upstream prints its list of it. Returns 0 when that is nothing. */
static int impersonates_nobody(struct api_req *q, struct err *err)
{
	static const char v1[] = "authentication.k8s.io/v1";
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < q->http->n_headers; i++) {
		const struct http_header *h = &q->http->headers[i];

		if (sv_eq(h->name, group_header))
			buf_printf(&b, " {Group  %.*s    }", SV_ARG(h->value));
		else if (sv_eq(h->name, uid_header) && h->value.n)
			buf_printf(&b, " {UID  %.*s  %s  }", SV_ARG(h->value), v1);
		else if (sv_starts(h->name, extra_header))
			buf_printf(&b, " {UserExtra  %.*s  %s  %.*s}", SV_ARG(h->value), v1,
				   SV_ARG(extra_key(q, h->name)));
	}
	if (!buf_sv(&b).n)
		return 0;
	return err_set(err, ERR_INTERNAL, "requested [%s] without impersonating a user", buf_cstr(&b) + 1);
}

static int impersonate(struct api_req *q, struct err *err)
{
	struct user_info u = { 0 };
	struct sv ns, name;
	size_t max = 0;
	bool account;

	if (!q->http)
		return 0;
	for (size_t i = 0; i < q->http->n_headers; i++)
		max += sv_starts(q->http->headers[i].name, SV("impersonate-"));
	if (!max)
		return 0;
	/* Of several the first: what a proxy in front of us set must not be replaced by what a client added. */
	u.name = http_header_get(q->http, user_header.p);
	u.uid = http_header_get(q->http, uid_header.p);
	if (!u.name.n)
		return impersonates_nobody(q, err);
	u.expires_ns = q->user.expires_ns;
	u.groups = ARENA_ARRAY(q->arena, struct sv, max + 4);
	account = split_service_account(u.name, &ns, &name);
	if (may_impersonate(q, SV(""), account ? SV("serviceaccounts") : SV("users"), SV(""), account ? ns : SV(""),
			    account ? name : u.name, err) < 0)
		return -1;
	for (size_t i = 0; i < q->http->n_headers; i++) {
		const struct http_header *h = &q->http->headers[i];

		if (!sv_eq(h->name, group_header))
			continue;
		u.groups[u.n_groups++] = h->value;
		if (may_impersonate(q, SV(""), SV("groups"), SV(""), SV(""), h->value, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < q->http->n_headers; i++) {
		const struct http_header *h = &q->http->headers[i];

		if (sv_starts(h->name, extra_header) && add_extra(q, &u, extra_key(q, h->name), h->value, err) < 0)
			return -1;
	}
	if (u.uid.n && may_impersonate(q, auth_group, SV("uids"), SV(""), SV(""), u.uid, err) < 0)
		return -1;
	if (account && !u.n_groups) {
		u.groups[u.n_groups++] = SV("system:serviceaccounts");
		u.groups[u.n_groups++] = arena_svf(q->arena, "system:serviceaccounts:%.*s", SV_ARG(ns));
	}
	if (sv_is(u.name, "system:anonymous") && !user_in_group(&u, SV("system:unauthenticated")))
		u.groups[u.n_groups++] = SV("system:unauthenticated");
	user_is_authenticated(&u);
	q->user = u;
	return 0;
}

/* --- routes --- */

static void answer_index(struct api_req *q)
{
	answer_text(
	    q, 200, "application/json",
	    SV("{\n  \"paths\": [\n    \"/.well-known/openid-configuration\",\n    \"/api\",\n    \"/api/v1\",\n    "
	       "\"/apis\",\n"
	       "    \"/healthz\",\n    \"/livez\",\n    \"/metrics\",\n    \"/openapi/v2\",\n    \"/openapi/v3\",\n"
	       "    \"/openid/v1/jwks\",\n    \"/readyz\",\n    \"/version\"\n  ]\n}"));
}

static void no_such_path(struct api_req *q)
{
	struct sv rest = q->path, group = SV("");
	struct err err = ERR_INIT;

	/* Below a group that is served somebody words a Status, elsewhere nobody. */
	if (sv_starts(rest, SV("/apis/"))) {
		rest = sv_sub(rest, 6, rest.n);
		(void)sv_split(&rest, '/', &group);
	} else if (!sv_starts(rest, SV("/api/"))) {
		group = SV("none");
	}
	if (!discovery_has_group(group)) {
		answer_page_not_found(q);
		return;
	}
	err_set(&err, ERR_NOT_FOUND, "the server could not find the requested resource");
	api_req_fail(q, &err);
}

static void route_path(struct api_req *q)
{
	struct err err = ERR_INIT;
	bool known = true;

	/* Health and the list of groups do not ask for the method. */
	if (!sv_is(q->method, "GET") && !sv_is(q->method, "HEAD") && !sv_is(q->path, "/apis") &&
	    !sv_is(q->path, "/healthz") && !sv_is(q->path, "/livez") && !sv_is(q->path, "/readyz")) {
		err_set(&err, ERR_METHOD_NOT_ALLOWED,
			"the server does not allow this method on the requested resource");
		api_req_fail(q, &err);
		return;
	}
	if (sv_is(q->path, "/") || !q->path.n)
		answer_index(q);
	else if (sv_is(q->path, "/version") || sv_is(q->path, "/version/"))
		version_serve(q);
	else if (sv_is(q->path, "/metrics"))
		metrics_serve(q);
	else if (sv_is(q->path, "/openid/v1/jwks") && q->server->pki)
		answer_text(q, 200, "application/jwk-set+json", sa_jwks(q->server, q->arena));
	else if (sv_is(q->path, "/.well-known/openid-configuration") && q->server->pki)
		answer_text(q, 200, "application/json", sa_openid_configuration(q->server, q->arena));
	else if (health_serve(q) || openapi_serve(q))
		known = true;
	else if (!discovery_aggregated(q) && sv_find_sv(q->accept, SV(PROTOBUF_MEDIA_TYPE)) < 0 &&
		 negotiate_accept(q, &err) < 0) /* who asks for protobuf understands JSON here */
		api_req_fail(q, &err);
	else
		known = discovery_serve(q);
	if (!known)
		no_such_path(q);
}

/* Path and user, but no query: that may hold what is nobody's business. */
int api_req_work(const struct api_req *q)
{
	return work_enter("request", q->method, q->path.n ? q->path : q->plural, q->user.name);
}

static void admitted(struct api_req *q)
{
	_cleanup_(work_leave) _unused_ int mark = api_req_work(q);
	struct err err = ERR_INIT;

	if (pipeline_authorize(q, &err) < 0) {
		api_req_fail(q, &err);
	} else if (!q->resource_request) {
		route_path(q);
	} else if (!wc_alive(q->server->wc, &err) || negotiate_accept(q, &err) < 0) {
		/* Not from memory that has stopped to follow the store. */
		api_req_fail(q, &err);
	} else {
		registry_serve(q);
	}
}

int pipeline_identify(struct api_req *q, struct err *err)
{
	_cleanup_(work_leave) _unused_ int mark = api_req_work(q);

	return authn_request(q, err) < 0 || impersonate(q, err) < 0 ? -1 : 0;
}

int pipeline_recheck(struct api_req *q, int64_t since_ns, int (*also)(struct api_req *q, struct err *err),
		     struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct api_req now = *q;

	now.arena = &a;
	now.authn_since_ns = since_ns;
	if (pipeline_identify(&now, err) < 0 || pipeline_authorize(&now, err) < 0)
		return -1;
	return also ? also(&now, err) : 0;
}

void api_serve(struct api_req *q)
{
	struct err err = ERR_INIT;

	q->start_ns = env_mono_ns(q->server->env);
	if (!q->res)
		request_info(q);
	metrics_inflight(q->server, q, 1);
	if (pipeline_identify(q, &err) < 0) {
		if (err.reason != ERR_INTERNAL || !q->http) {
			api_req_fail(q, &err);
		} else {
			answer_internal(q, &err);
			err_release(&err);
		}
		return;
	}
	flow_admit(q, admitted);
}
