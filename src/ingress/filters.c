#include "ingress/filters.h"

#include "ingress/check.h"
#include "ingress/filters_gate.h"

#define VALUE(of, what) "%%[str(" of "." what "),map_str(values.map)]"
#define TRACKED_MAX "20k" /* clients' addresses of one section with limits */

static void out_value(struct ing_filters_out *o, const char *what, struct sv text)
{
	o->values++;
	if (o->value)
		o->value(o->ctx, o->name, what, text);
}

void ing_filters_nets(struct buf *b, const char *acl, const struct ing_nets *nets)
{
	for (size_t i = 0; i < nets->n; i++) {
		if (i % 16 == 0)
			buf_printf(b, "%s  acl %s src", i ? "\n" : "", acl);
		buf_printf(b, " %s", ip_net_text(nets->p[i]).s);
	}
	if (nets->n)
		buf_addc(b, '\n');
}

/* crypt(3)'s hashes are users of HAProxy's, others values. */
static void out_auth(struct ing_filters_out *o, const struct ing_filters *t)
{
	struct buf *b = o->text;
	bool apr1 = false;

	for (size_t i = 0; i < t->n_users; i++) {
		const struct ing_user *u = &t->users[i];
		_cleanup_free_ char *what = NULL;

		if (!ing_hash_is_apr1(u->hash) || !ing_filters_may(o, ING_PLACE_USER, u->name))
			continue;
		apr1 = true;
		what = xasprintf("user.%.*s", SV_ARG(u->name));
		out_value(o, what, u->hash);
	}
	o->apr1 |= apr1;
	if (apr1)
		buf_printf(b,
			   "  http-request set-var(txn.au) http_auth_user\n"
			   "  http-request set-var(txn.ap) http_auth_pass\n"
			   "  http-request set-var(txn.ak) str(%.*s.user.),concat(,txn.au)\n"
			   "  http-request set-var(txn.ah) var(txn.ak),map_str(values.map)\n"
			   "  http-request set-var(txn.ok) lua.apr1 if { var(txn.ah) -m found }\n",
			   SV_ARG(o->name));
	buf_printf(b,
		   "  http-request return status 401 hdr WWW-Authenticate 'Basic realm=\"" VALUE(
		       "%.*s", "realm") "\"' unless { http_auth(%.*s) }%s\n",
		   SV_ARG(o->name), SV_ARG(o->name), apr1 ? " || { var(txn.ok) -m str 1 }" : "");
	out_value(o, "realm", t->realm);
}

static void out_access(struct ing_filters_out *o, const struct ing_filters *t)
{
	struct buf *b = o->text;
	if (t->refused)
		buf_adds(b, "  http-request deny deny_status 503\n");
	ing_filters_nets(b, "denied", &t->deny);
	if (t->deny.n)
		buf_adds(b, "  http-request deny deny_status 403 if denied\n");
	ing_filters_nets(b, "allowed", &t->allow);
	if (t->allow.n)
		buf_adds(b, "  http-request deny deny_status 403 unless allowed\n");
	if (t->ssl_redirect && o->https_port) {
		buf_adds(b, "  http-request redirect location https://%[var(txn.host)]");
		if (o->https_port != 443)
			buf_printf(b, ":%d", o->https_port);
		buf_adds(b, "%[var(txn.url)] code 308 unless { var(txn.proto) -m str https }\n");
	}
	if (t->rps || t->rpm || t->connections) {
		buf_printf(b,
			   "  stick-table type ipv6 size " TRACKED_MAX
			   " expire 2m store conn_cur,http_req_rate(%ds),gpc0_rate(60s)\n",
			   MAX(t->burst, 1));
		buf_adds(b, "  http-request track-sc0 src\n");
	}
	if (t->rps)
		buf_printf(b, "  http-request deny deny_status 503 if { sc_http_req_rate(0) gt %d }\n",
			   t->rps * MAX(t->burst, 1));
	if (t->rpm)
		buf_printf(b,
			   "  http-request sc-inc-gpc0(0)\n"
			   "  http-request deny deny_status 503 if { sc_gpc0_rate(0) gt %d }\n",
			   t->rpm);
	if (t->connections)
		buf_printf(b, "  http-request deny deny_status 503 if { sc_conn_cur(0) gt %d }\n", t->connections);
	if (t->auth && !t->refused)
		out_auth(o, t);
}

static void out_cors_header(struct ing_filters_out *o, const char *what, const char *header, struct sv value,
			    bool preflight)
{
	struct buf *b = o->text;
	if (!value.n)
		return;
	buf_printf(b,
		   preflight ? " hdr %s '" VALUE("%.*s", "%s") "'"
			     : "  http-response set-header %s '" VALUE("%.*s", "%s") "'\n",
		   header, SV_ARG(o->name), what);
	if (!preflight)
		out_value(o, what, value);
}

static void out_cors(struct ing_filters_out *o, const struct ing_filters *t)
{
	struct buf *b = o->text;
	static const char origin[] = "Access-Control-Allow-Origin", credentials[] = "Access-Control-Allow-Credentials";

	for (int preflight = 1; preflight >= 0; preflight--) {
		if (preflight)
			buf_adds(b, "  http-request return status 204");
		out_cors_header(o, "origin", origin, t->cors_origin, preflight);
		out_cors_header(o, "methods", "Access-Control-Allow-Methods", t->cors_methods, preflight);
		out_cors_header(o, "headers", "Access-Control-Allow-Headers", t->cors_headers, preflight);
		out_cors_header(o, "expose", "Access-Control-Expose-Headers", t->cors_expose, preflight);
		if (t->cors_credentials)
			buf_printf(b, preflight ? " hdr %s true" : "  http-response set-header %s true\n", credentials);
		if (preflight)
			buf_printf(b, " hdr Access-Control-Max-Age %d if METH_OPTIONS { req.hdr(Origin) -m found }\n",
				   t->cors_age_s);
	}
}

static void out_request(struct ing_filters_out *o, const struct ing_filters *t)
{
	struct buf *b = o->text;
	if (t->redirect.n) {
		buf_printf(b, "  http-request redirect location " VALUE("%.*s", "redirect") " code %d\n",
			   SV_ARG(o->name), t->redirect_code);
		out_value(o, "redirect", t->redirect);
	}
	if (t->app_root.n) {
		buf_printf(b,
			   "  http-request redirect location " VALUE(
			       "%.*s", "root") " code 302 if { var(txn.path) -m str / }\n",
			   SV_ARG(o->name));
		out_value(o, "root", t->app_root);
	}
	/* Of a body whose length nobody tells, nobody knows whether it is too long. */
	if (t->body_max)
		buf_printf(b,
			   "  http-request return status 411 content-type text/plain string 'length required' "
			   "if { req.hdr(Transfer-Encoding) -m found }\n"
			   "  http-request deny deny_status 413 if { req.body_size gt %" PRIu64 " }\n",
			   t->body_max);
	if (t->rewrite) {
		buf_adds(b, "  http-request set-path ");
		if (t->rewrite_to.n) {
			buf_printf(b, VALUE("%.*s", "path"), SV_ARG(o->name));
			out_value(o, "path", t->rewrite_to);
		}
		if (t->rewrite_cut != SIZE_MAX)
			buf_printf(b, "%%[var(txn.path),bytes(%zu)]", t->rewrite_cut);
		buf_addc(b, '\n');
		if (!t->rewrite_to.n)
			buf_printf(b, "  http-request set-path / if { var(txn.path),bytes(%zu) -m len 0 }\n",
				   t->rewrite_cut);
	}
	if (t->vhost.n) {
		buf_printf(b, "  http-request set-header Host " VALUE("%.*s", "host") "\n", SV_ARG(o->name));
		out_value(o, "host", t->vhost);
	}
	if (t->prefix.n) {
		buf_printf(b, "  http-request set-header X-Forwarded-Prefix " VALUE("%.*s", "prefix") "\n",
			   SV_ARG(o->name));
		out_value(o, "prefix", t->prefix);
	}
}

void ing_filters_render(struct ing_filters_out *o, const struct ing_filters *t)
{
	struct buf *b = o->text;

	if (t->auth && !t->refused) {
		buf_printf(b, "userlist %.*s\n", SV_ARG(o->name));
		for (size_t i = 0; i < t->n_users; i++)
			if (!ing_hash_is_apr1(t->users[i].hash) &&
			    ing_filters_may(o, ING_PLACE_USER, t->users[i].name) &&
			    ing_filters_may(o, ING_PLACE_HASH, t->users[i].hash))
				buf_printf(b, "  user %.*s password '%.*s'\n", SV_ARG(t->users[i].name),
					   SV_ARG(t->users[i].hash));
	}
	buf_printf(b, "backend %.*s\n", SV_ARG(o->name));
	if (t->tcp)
		buf_adds(b, "  mode tcp\n");
	buf_printf(b, "  balance %s\n", t->least_conn ? "leastconn" : "roundrobin");
	buf_printf(b, "  timeout connect %ds\n  timeout tunnel %ds\n", t->connect_s, t->tunnel_s);
	if (t->gate && t->gate->server_ms)
		buf_printf(b, "  timeout server %" PRId64 "ms\n", t->gate->server_ms);
	else
		buf_printf(b, "  timeout server %ds\n", t->server_s);
	if (t->sticky && ing_filters_may(o, ING_PLACE_NAME, t->cookie)) {
		buf_printf(b, "  dynamic-cookie-key caravel\n  cookie %.*s insert indirect nocache httponly dynamic",
			   SV_ARG(t->cookie));
		if (t->cookie_s)
			buf_printf(b, " attr Max-Age=%d", t->cookie_s);
		buf_addc(b, '\n');
	}
	if (t->cors) /* before passwords are asked for */
		out_cors(o, t);
	out_access(o, t);
	if (t->gate)
		ing_filters_gate_render(o, t);
	out_request(o, t);
}
