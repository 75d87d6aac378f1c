/* An event as text: audit.k8s.io/v1 in JSON, members in the order that upstream writes them, or one line of words. */
#include "apiserver/audit/audit-internal.h"
#include "base/go_quote.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>

#define AGENT_MAX 1024
#define IPS_MAX 16

static void event_str(struct buf *b, const char *name, struct sv s)
{
	if (!s.n)
		return;
	buf_printf(b, "%s\"%s\":", b->n && b->p[b->n - 1] != '{' ? "," : "", name);
	json_encode_str(b, s);
}

static void event_strs(struct buf *b, const struct sv *s, size_t n)
{
	buf_addc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(b, ',');
		json_encode_str(b, s[i]);
	}
	buf_addc(b, ']');
}

static int extra_order(const void *x, const void *y)
{
	return sv_cmp(((const struct extra_info *)x)->key, ((const struct extra_info *)y)->key);
}

static void add_user(struct api_req *q, struct buf *b, const char *name, const struct user_info *u)
{
	buf_printf(b, ",\"%s\":{", name);
	event_str(b, "username", u->name);
	event_str(b, "uid", u->uid);
	if (u->n_groups) {
		buf_printf(b, "%s\"groups\":", b->p[b->n - 1] == '{' ? "" : ",");
		event_strs(b, u->groups, u->n_groups);
	}
	if (u->n_extra) {
		struct extra_info *sorted = ARENA_ARRAY(q->arena, struct extra_info, u->n_extra);

		memcpy(sorted, u->extra, u->n_extra * sizeof(*sorted));
		qsort(sorted, u->n_extra, sizeof(*sorted), extra_order);
		buf_printf(b, "%s\"extra\":{", b->p[b->n - 1] == '{' ? "" : ",");
		for (size_t i = 0; i < u->n_extra; i++) {
			if (i)
				buf_addc(b, ',');
			json_encode_str(b, sorted[i].key);
			buf_addc(b, ':');
			event_strs(b, sorted[i].values, sorted[i].n_values);
		}
		buf_addc(b, '}');
	}
	buf_addc(b, '}');
}

/* What proxies before us say, in their order, then who holds the connection. */
static size_t source_ips(struct api_req *q, struct sv *ips)
{
	struct sv rest, one, peer = q->http && q->http->peer ? q->http->peer->address : SV("127.0.0.1:0");
	size_t n = 0;
	ssize_t end = -1;

	if (q->http) {
		rest = http_header_get(q->http, "x-forwarded-for");
		while (rest.n && n < IPS_MAX && sv_split(&rest, ',', &one))
			if (sv_trim(one).n)
				ips[n++] = sv_trim(one);
		one = sv_trim(http_header_get(q->http, "x-real-ip"));
		if (one.n && (!n || !sv_eq(one, ips[n - 1])))
			ips[n++] = one;
	}
	for (size_t i = 0; i < peer.n; i++)
		if (peer.p[i] == ':')
			end = (ssize_t)i;
	if (end > 0)
		peer = sv_sub(peer, 0, (size_t)end);
	if (peer.n > 2 && peer.p[0] == '[')
		peer = sv_sub(peer, 1, peer.n - 2);
	if (peer.n && (!n || !sv_eq(peer, ips[n - 1])))
		ips[n++] = peer;
	return n;
}

static void add_object_ref(const struct audit_event *e, struct buf *b)
{
	buf_adds(b, ",\"objectRef\":{");
	event_str(b, "resource", e->plural);
	event_str(b, "namespace", e->ns);
	event_str(b, "name", e->of.n ? e->of : e->name);
	event_str(b, "uid", e->uid);
	event_str(b, "apiGroup", e->group);
	event_str(b, "apiVersion", e->version);
	event_str(b, "resourceVersion", e->rev);
	event_str(b, "subresource", e->subresource);
	buf_addc(b, '}');
}

static int note_order(const void *x, const void *y)
{
	return sv_cmp(((const struct api_param *)x)->name, ((const struct api_param *)y)->name);
}

/* The first of a key counts. */
static void add_annotations(struct api_req *q, const struct audit_event *e, struct buf *b)
{
	size_t n = q->notes ? q->notes->n : 0;
	struct api_param *sorted = ARENA_ARRAY(q->arena, struct api_param, n + 1);
	bool any = false;

	for (size_t i = 0; i < n; i++)
		sorted[i] = q->notes->at[i];
	if (e->cut)
		sorted[n++] = (struct api_param){ SV("audit.k8s.io/truncated"), SV("true") };
	qsort(sorted, n, sizeof(*sorted), note_order);
	for (size_t i = 0; i < n; i++) {
		if (i && sv_eq(sorted[i].name, sorted[i - 1].name))
			continue;
		buf_adds(b, any ? "," : ",\"annotations\":{");
		any = true;
		json_encode_str(b, sorted[i].name);
		buf_addc(b, ':');
		json_encode_str(b, sorted[i].value);
	}
	if (any)
		buf_addc(b, '}');
}

static struct sv event_agent(struct api_req *q)
{
	if (q->user_agent.n <= AGENT_MAX)
		return q->user_agent;
	return arena_svf(q->arena, "%.*s...TRUNCATED", AGENT_MAX, q->user_agent.p);
}

static struct sv event_uri(struct api_req *q)
{
	return q->http && q->http->target.n ? q->http->target : api_req_url(q);
}

void audit_event_fill(struct api_req *q, struct audit_event *e)
{
	struct arena *a = q->arena;

	e->ips = ARENA_ARRAY(a, struct sv, IPS_MAX + 2);
	e->n_ips = source_ips(q, e->ips);
	for (size_t i = 0; i < e->n_ips; i++)
		e->ips[i] = arena_sv(a, e->ips[i]);
	e->uri = arena_sv(a, event_uri(q));
	e->agent = arena_sv(a, event_agent(q));
	e->verb = arena_sv(a, request_verb(q));
	e->plural = arena_sv(a, q->plural);
	e->group = arena_sv(a, q->group);
	e->version = arena_sv(a, q->version);
	e->ns = arena_sv(a, q->ns);
	e->of = arena_sv(a, q->name);
	e->subresource = arena_sv(a, q->subresource);
}

void audit_event_json(struct api_req *q, const struct audit_event *e, enum audit_stage stage, struct buf *b)
{
	char now[TIME_TEXT_MAX], then[TIME_TEXT_MAX];

	buf_printf(b, "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"%s\"",
		   audit_level_name(e->verdict.level));
	event_str(b, "auditID", e->id);
	buf_printf(b, ",\"stage\":\"%s\"", audit_stage_name(stage));
	event_str(b, "requestURI", e->uri);
	event_str(b, "verb", e->verb);
	add_user(q, b, "user", &e->user);
	if (e->has_as)
		add_user(q, b, "impersonatedUser", &e->as);
	if (e->constraint.n) {
		buf_adds(b, ",\"authenticationMetadata\":{");
		event_str(b, "impersonationConstraint", e->constraint);
		buf_addc(b, '}');
	}
	if (e->n_ips) {
		buf_adds(b, ",\"sourceIPs\":");
		event_strs(b, e->ips, e->n_ips);
	}
	event_str(b, "userAgent", e->agent);
	if (q->resource_request)
		add_object_ref(e, b);
	if (stage != STAGE_RECEIVED) {
		if (e->status.n)
			buf_printf(b, ",\"responseStatus\":%.*s", SV_ARG(e->status));
		else
			buf_printf(b, ",\"responseStatus\":{\"metadata\":{},\"code\":%d}", e->code);
	}
	if (e->request.n && !e->cut && stage != STAGE_RECEIVED) {
		buf_adds(b, ",\"requestObject\":");
		buf_addsv(b, e->request);
	}
	if (e->response.n && !e->cut && stage != STAGE_RECEIVED) {
		buf_adds(b, ",\"responseObject\":");
		buf_addsv(b, e->response);
	}
	(void)time_format(e->received_ns, true, then);
	(void)time_format(env_now_ns(q->server->env), true, now);
	buf_printf(b, ",\"requestReceivedTimestamp\":\"%s\",\"stageTimestamp\":\"%s\"", then,
		   stage == STAGE_RECEIVED ? then : now);
	add_annotations(q, e, b);
	buf_adds(b, "}\n");
}

static void quoted_groups(struct buf *b, const struct user_info *u, const char *none)
{
	if (!u || !u->n_groups)
		go_quote(b, sv_from(none));
	for (size_t i = 0; u && i < u->n_groups; i++) {
		if (i)
			buf_addc(b, ',');
		go_quote(b, u->groups[i]);
	}
}

static void event_quoted(struct buf *b, const char *name, struct sv s, const char *none)
{
	buf_printf(b, " %s=", name);
	go_quote(b, s.n ? s : sv_from(none));
}

void audit_event_legacy(struct api_req *q, const struct audit_event *e, enum audit_stage stage, struct buf *b)
{
	char then[TIME_TEXT_MAX];

	(void)time_format(e->received_ns, true, then);
	buf_printf(b, "%s AUDIT:", then);
	event_quoted(b, "id", e->id, "");
	event_quoted(b, "stage", sv_from(audit_stage_name(stage)), "");
	event_quoted(b, "ip", e->n_ips ? e->ips[0] : SV(""), "<unknown>");
	event_quoted(b, "method", e->verb, "");
	event_quoted(b, "user", e->user.name, "<none>");
	buf_adds(b, " groups=");
	quoted_groups(b, &e->user, "<none>");
	event_quoted(b, "as", e->has_as ? e->as.name : SV(""), "<self>");
	buf_adds(b, " asgroups=");
	quoted_groups(b, e->has_as ? &e->as : NULL, "<lookup>");
	event_quoted(b, "user-agent", e->agent, "");
	event_quoted(b, "namespace", q->resource_request ? e->ns : SV(""), "<none>");
	event_quoted(b, "uri", e->uri, "");
	if (stage == STAGE_RECEIVED)
		buf_adds(b, " response=\"<deferred>\"\n");
	else
		buf_printf(b, " response=\"%d\"\n", e->code);
}
