/* From a request to whoever answers it. */
#include "apiserver/aggregator/aggregator.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/audit/audit.h"
#include "apiserver/authn.h"
#include "apiserver/ending.h"
#include "apiserver/flow/flow.h"
#include "apiserver/held.h"
#include "apiserver/metrics.h"
#include "apiserver/servers.h"
#include "apiserver/stored_pages.h"
#include "apiserver/watchcache.h"
#include "apiserver/registry/registry.h"
#include "base/board.h"

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
	if (!api_group_of(api_set_built_in(), group)) {
		answer_page_not_found(q);
		return;
	}
	err_set(&err, ERR_NOT_FOUND, "the server could not find the requested resource");
	api_req_fail(q, &err);
}

/* What others check tokens with; neither is there where the issuer's URL leads nobody here. */
static bool issuer_serve(struct api_req *q)
{
	bool keys = sv_is(q->path, "/openid/v1/jwks");
	struct sv doc;

	if (!q->server->pki || (!keys && !sv_is(q->path, "/.well-known/openid-configuration")))
		return false;
	doc = sa_openid_configuration(q->server, q->arena);
	if (!doc.n)
		return false;
	/* As long as others may keep them, for a key that is new must get around before the first token of it. */
	api_req_header(q, SV("cache-control"),
		       arena_svf(q->arena, "public, max-age=%" PRId64, sa_jwks_age_s(q->server)));
	answer_text(q, 200, keys ? "application/jwk-set+json" : "application/json",
		    keys ? sa_jwks(q->server, q->arena) : doc);
	return true;
}

static void route_path(struct api_req *q)
{
	struct err err = ERR_INIT;
	bool known = true;

	if (servers_serve(q))
		return;

	/* Health and the list of groups do not ask for the method. */
	if (!sv_is(q->method, "GET") && !sv_is(q->method, "HEAD") && !sv_is(q->path, "/apis") &&
	    !sv_is(q->path, "/healthz") && !sv_is(q->path, "/livez") && !sv_is(q->path, "/readyz") &&
	    !sv_is(q->path, "/debug/flags/v")) {
		err_set(&err, ERR_METHOD_NOT_ALLOWED,
			"the server does not allow this method on the requested resource");
		api_req_fail(q, &err);
		return;
	}
	if (sv_is(q->path, "/") || !q->path.n)
		answer_index(q);
	else if (sv_is(q->path, "/version") || sv_is(q->path, "/version/"))
		version_serve(q);
	else if (sv_is(q->path, "/cacerts") && q->server->pki)
		answer_text(q, 200, "text/plain", apiserver_ca_pem(q->server));
	else if (sv_is(q->path, "/metrics"))
		metrics_serve(q);
	else if (sv_is(q->path, "/metrics/slis"))
		slis_serve(q);
	else if (sv_is(q->path, "/metrics/resources") && q->server->o.resource_metrics)
		resource_metrics_serve(q);
	else if (issuer_serve(q))
		known = true;
	else if (health_serve(q) || operator_serve(q) || flow_debug_serve(q) || openapi_serve(q) || debug_serve(q) ||
		 node_tunnel_serve(q) || stored_pages_serve(q))
		known = true;
	else if (!discovery_aggregated(q) && negotiate_accept(q, &err) < 0)
		api_req_fail(q, &err);
	else
		known = aggregator_discovery(q) || discovery_serve(q);
	if (!known)
		no_such_path(q);
}

/* --- the steps before --- */

static const struct {
	int (*fn)(struct api_req *q, struct err *err);
	enum req_step behind;
} steps[] = {
	{ pipeline_identify, STEP_RECEIVED }, /* not told: it is one with the next */
	{ pipeline_impersonate, STEP_AUTHENTICATED },
	{ flow_admit, STEP_ADMITTED },
	{ registry_fresh, STEP_RECEIVED }, /* nor this */
	{ pipeline_authorize, STEP_AUTHORIZED },
};

#define IDENTIFIED 2 /* as many of them until it is known who asks */

static void pooled_serve(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;

	(void)ctx;
	if (req_over(q, &err) < 0 || held_room(q, &err) < 0)
		api_req_fail(q, &err);
	else if (q->resource_request)
		registry_serve(q);
	else
		route_path(q);
}

static void to_pool(struct api_req *q)
{
	struct err err = ERR_INIT;

	q->pooled = true;
	if (req_pool(q, pooled_serve, NULL, false))
		return;
	(void)err_too_many(&err);
	api_req_fail(q, &err);
}

/* Documents of megabytes, or as long as there are kinds; and what waits for a store. */
static bool is_large(const struct api_req *q)
{
	return sv_starts(q->path, SV("/openapi/")) || sv_starts(q->path, SV("/metrics")) ||
	       sv_is(q->path, STORED_PAGES_PATH) || servers_path(q->path);
}

static void serve(struct api_req *q)
{
	struct err err = ERR_INIT;

	if (aggregator_serve(q))
		return;
	if (request_is_long(q))
		request_lasts(q);
	if (!q->resource_request) {
		if (q->sink->on_loop && is_large(q))
			to_pool(q);
		else
			route_path(q);
	} else if (!wc_alive(q->server->wc, &err) || negotiate_accept(q, &err) < 0 || held_room(q, &err) < 0) {
		/* Not from memory that has stopped to follow the store. */
		api_req_fail(q, &err);
	} else if (!q->sink->on_loop || registry_is_small(q)) {
		registry_serve(q);
	} else {
		to_pool(q);
	}
}

static void refuse(struct api_req *q, struct err *err)
{
	if (q->server->audit && q->at == 0 && err->reason == ERR_UNAUTHORIZED)
		audit_unknown(q);
	if (q->at >= IDENTIFIED || err->reason != ERR_INTERNAL || !q->http) {
		api_req_fail(q, err);
		return;
	}
	answer_internal(q, err);
	err_release(err);
}

static void pipeline_walk(struct api_req *q);

static void pipeline_woken(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;

	(void)ctx;
	if (req_woken(q, &err) < 0)
		refuse(q, &err);
	else
		pipeline_walk(q);
}

static void pipeline_passed(struct api_req *q, enum req_step behind)
{
	if (behind != STEP_RECEIVED)
		req_passed(q, behind);
	else
		req_forget(q);
}

/* What the audit notes behind the first two steps: who came, and as whom. */
static int audit_step(struct api_req *q, size_t at, struct err *err)
{
	if (at == 0)
		return audit_received(q, err);
	if (at == 1 && q->audit)
		audit_impersonated(q);
	return 0;
}

/* Those before the step `end`. */
static int walk_steps(struct api_req *q, size_t end, struct err *err)
{
	while (q->at < end) {
		/* Who waits for the audit of a step has that step behind him. */
		int rc = q->audit && audit_waits(q) ? 0 : steps[q->at].fn(q, err);

		if (rc == 0 && q->server->audit)
			rc = audit_step(q, q->at, err);
		if (rc == 0) {
			pipeline_passed(q, steps[q->at++].behind);
			continue;
		}
		if (rc == REQ_LATER && !req_park(q, pipeline_woken, NULL))
			return REQ_LATER;
		if (rc < 0 || req_woken(q, err) < 0)
			return -1;
	}
	return 0;
}

/* What is done from when it is known for whom. */
static int walk_for_user(struct api_req *q, struct err *err)
{
	_cleanup_(work_leave) _unused_ int mark = api_req_work(q);
	int rc = walk_steps(q, ARRAY_LEN(steps), err);

	if (rc == 0)
		serve(q);
	return rc;
}

static void pipeline_walk(struct api_req *q)
{
	struct err err = ERR_INIT;
	int rc = walk_steps(q, IDENTIFIED + 1, &err);

	if (rc == 0)
		rc = walk_for_user(q, &err);
	if (rc < 0)
		refuse(q, &err);
}

void api_serve(struct api_req *q)
{
	struct err err = ERR_INIT;

	q->served = q;
	q->start_ns = env_mono_ns(q->server->env);
	work_tick(q->start_ns, req_step_name(STEP_RECEIVED));
	api_req_take_kinds(q);
	if (!q->res)
		request_info(q);
	else if (!api_has(q->api, q->res) && !api_req_kind_anew(q))
		q->res = NULL; /* gone since whoever asks from inside looked for it */
	q->timed = q->server->observer || req_mutating(q);
	q->step_ns[STEP_RECEIVED] = q->start_ns;
	if (q->server->observer)
		req_passed(q, STEP_RECEIVED);
	metrics_inflight(q->server, q, 1);
	if (ending_refuses(q, &err) < 0 || req_check_timeout(q, &err) < 0)
		api_req_fail(q, &err);
	else
		pipeline_walk(q);
}
