/* From method and path to what is asked of which object, by upstream's rules:
 *
 *	/api/v1/namespaces/NS/pods/NAME/log	core, pods, NS, NAME, subresource log
 *	/apis/apps/v1/watch/deployments		legacy watch
 *	/api/v1/namespaces/NS/status		the Namespace itself: its subresources win over resources
 *
 * Everything else is a non-resource path. */
#include "apiserver/apiserver-internal.h"
#include "net/http.h"

#define PARTS_MAX 8

/* Splits into at most PARTS_MAX non-empty parts; the last one keeps the rest (proxy paths). */
static size_t split_path(struct sv path, struct sv parts[PARTS_MAX])
{
	size_t n = 0;

	while (path.n && n < PARTS_MAX) {
		while (path.n && path.p[0] == '/')
			path = sv_sub(path, 1, path.n);
		if (!path.n)
			break;
		if (n == PARTS_MAX - 1) {
			parts[n++] = path;
			break;
		}
		ssize_t at = sv_find(path, '/');

		parts[n] = at < 0 ? path : sv_sub(path, 0, (size_t)at);
		path = at < 0 ? SV_NULL : sv_sub(path, (size_t)at, path.n);
		n++;
	}
	return n;
}

static enum verb verb_of_method(struct sv method)
{
	if (sv_is(method, "GET") || sv_is(method, "HEAD"))
		return VERB_GET;
	if (sv_is(method, "POST"))
		return VERB_CREATE;
	if (sv_is(method, "PUT"))
		return VERB_UPDATE;
	if (sv_is(method, "PATCH"))
		return VERB_PATCH;
	if (sv_is(method, "DELETE"))
		return VERB_DELETE;
	return _VERB_MAX;
}

void request_info(struct api_req *q)
{
	struct sv parts[PARTS_MAX], *at = parts;
	size_t n = split_path(q->path, parts);
	bool legacy_watch = false;

	q->resource_request = false;
	if (n < 3)
		return;
	if (sv_is(at[0], "apis")) {
		if (n < 4)
			return;
		q->group = at[1];
		at += 2, n -= 2;
	} else if (sv_is(at[0], "api")) {
		q->group = SV("");
		at += 1, n -= 1;
	} else {
		return;
	}
	q->version = at[0];
	at++, n--;
	q->resource_request = true;
	q->verb = verb_of_method(q->method);
	if (sv_is(at[0], "watch") && n > 1) {
		legacy_watch = true;
		at++, n--;
	}
	if (sv_is(at[0], "namespaces") && n > 1) {
		q->ns = at[1];
		if (n > 2 && !sv_is(at[2], "status") && !sv_is(at[2], "finalize"))
			at += 2, n -= 2;
	}
	q->plural = at[0];
	if (n >= 2)
		q->name = at[1];
	if (n >= 3 && !legacy_watch)
		q->subresource = at[2];
	if (legacy_watch)
		q->verb = VERB_WATCH;
	else if (!q->name.n && q->verb == VERB_GET)
		q->verb = option_bool(q, "watch") ? VERB_WATCH : VERB_LIST;
	else if (!q->name.n && q->verb == VERB_DELETE)
		q->verb = VERB_DELETECOLLECTION;
	q->res = api_find(q->api, q->group, q->version, q->plural);
	if (q->res && q->subresource.n)
		q->sub = resource_subresource(q->res, q->subresource);
}

struct sv request_verb(const struct api_req *q)
{
	char *lower;

	if (q->resource_request)
		return sv_from(verb_name(q->verb));
	lower = arena_cstr(q->arena, q->method);
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	return sv_from(lower);
}

void api_req_query(struct api_req *q, struct sv query)
{
	struct sv rest = query, one;
	size_t max = 1;

	for (size_t i = 0; i < query.n; i++)
		max += query.p[i] == '&';
	if (!query.n)
		return;
	q->params = ARENA_ARRAY(q->arena, struct api_param, max);
	while (sv_split(&rest, '&', &one)) {
		ssize_t eq = sv_find(one, '=');
		struct api_param *p;

		if (!one.n)
			continue;
		p = &q->params[q->n_params++];
		p->name = http_percent_decode(q->arena, eq < 0 ? one : sv_sub(one, 0, (size_t)eq), true);
		p->value = eq < 0 ? SV("") : http_percent_decode(q->arena, sv_sub(one, (size_t)eq + 1, one.n), true);
	}
}
