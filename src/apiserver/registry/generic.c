/* Which verb of which resource or subresource: the last fork of the pipeline. */
#include "apiserver/media.h"
#include "apiserver/registry/at.h"
#include "apiserver/registry/registry.h"

#define LIST_SMALL 1000			   /* objects to select from that take no time worth a hop */
#define LIST_SMALL_BYTES ((size_t)8 << 20) /* of them, as they are in memory, to be looked into: milliseconds */
#define SELECTOR_SMALL ((size_t)1024)
#define ITEM_VERBS (1u << VERB_GET | 1u << VERB_UPDATE | 1u << VERB_PATCH | 1u << VERB_DELETE)

static void not_allowed(struct api_req *q)
{
	struct err err = ERR_INIT;

	err_set(&err, ERR_METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource");
	api_req_fail(q, &err);
}

static void unknown(struct api_req *q)
{
	struct err err = ERR_INIT;

	/* Nobody there who could word a Status. */
	if (!q->trusted && !api_group_of(api_set_built_in(), q->group) && (!q->res || !q->subresource.n)) {
		answer_page_not_found(q);
		return;
	}
	if (q->res && q->res->schema && q->res->schema->custom) {
		err_not_found(&err, q->res, q->name);
		api_req_fail(q, &err);
		return;
	}
	err_set(&err, ERR_NOT_FOUND, "the server could not find the requested resource");
	api_req_fail(q, &err);
}

/* Subresources that are the object itself, seen through another door. */
static void serve_self(struct api_req *q)
{
	switch (q->verb) {
	case VERB_GET:
		registry_get(q);
		return;
	case VERB_UPDATE:
		registry_update(q);
		return;
	case VERB_PATCH:
		registry_patch(q);
		return;
	default:
		not_allowed(q);
	}
}

static const struct sub_handler *own_handler(const struct api_req *q)
{
	for (const struct sub_handler *h = strategy_for(q->res)->subs; q->subresource.n && h && h->name; h++)
		if (sv_is(q->subresource, h->name))
			return h;
	return NULL;
}

/* Is its method one that the resource or subresource may have at all? */
static bool method_known(const struct api_req *q)
{
	const struct sub_handler *h = own_handler(q);

	if (h && h->any_method && (sv_is(q->method, "HEAD") || sv_is(q->method, "OPTIONS")))
		return true;
	return q->verb < _VERB_MAX && !sv_is(q->method, "HEAD");
}

static void serve_subresource(struct api_req *q)
{
	const struct sub_handler *own = own_handler(q);

	if (!q->sub) {
		unknown(q);
		return;
	}
	/* What is no verb, as OPTIONS, is asked for here only where method_known(). */
	if (q->verb < _VERB_MAX && !(q->sub->verbs & (1u << q->verb))) {
		not_allowed(q);
		return;
	}
	if (own && own->connects) {
		admission_connect(q, own->serve);
		return;
	}
	if (own) {
		own->serve(q);
		return;
	}
	if (sv_is(q->subresource, "scale") && q->sub->schema)
		registry_scale(q);
	else if (q->sub->schema == q->res->schema)
		serve_self(q);
	else
		unknown(q);
}

/* Kinds that are still served, with a word. */
static void warn_deprecated(struct api_req *q)
{
	if (q->trusted)
		return;
	if (strategy_for(q->res)->deprecated)
		api_req_warn(q, "%s", strategy_for(q->res)->deprecated);
}

/* Nothing of the objects is looked at: what they are is written by reference, however large it is. */
static bool list_refers(struct api_req *q)
{
	static const char *const looks[] = { "labelSelector", "fieldSelector" };
	struct sv v;

	for (size_t i = 0; i < ARRAY_LEN(looks); i++)
		if (api_req_param(q, looks[i], &v) && v.n)
			return false;
	return !media_makes(q);
}

static bool list_is_small(struct api_req *q)
{
	struct watchcache *wc = q->server->wc;

	return wc_count(wc, q->res) <= LIST_SMALL && (list_refers(q) || wc_bytes(wc, q->res) <= LIST_SMALL_BYTES);
}

bool registry_is_small(struct api_req *q)
{
	static const char *const past[] = { "continue", "resourceVersionMatch" };
	const struct sub_handler *own;
	struct sv rev, text;

	if (!q->res)
		return true;
	if (q->verb == VERB_GET && !q->subresource.n)
		return !at_given(q);
	own = own_handler(q);
	if (own)
		return own->streams;
	if (at_given(q))
		return false;
	if (q->verb != VERB_LIST)
		return q->verb == VERB_GET || q->verb == VERB_WATCH || q->verb >= _VERB_MAX;
	/* Reading them takes longer than the objects do. */
	if ((api_req_param(q, "labelSelector", &text) && text.n > SELECTOR_SMALL) ||
	    (api_req_param(q, "fieldSelector", &text) && text.n > SELECTOR_SMALL))
		return false;
	/* Perhaps from the disk. */
	for (size_t i = 0; i < ARRAY_LEN(past); i++)
		if (api_req_param(q, past[i], &rev))
			return false;
	if (api_req_param(q, "resourceVersion", &rev) && rev.n && !sv_is(rev, "0"))
		return false;
	return !resource_stored(q->res) || list_is_small(q);
}

void registry_serve(struct api_req *q)
{
	if (!q->res) {
		unknown(q);
		return;
	}
	/* In no namespace, or in one, where it cannot be: nobody knows such a path of a custom kind. */
	if (q->res->schema && q->res->schema->custom && !q->trusted &&
	    (q->res->namespaced ? !q->ns.n && q->verb != VERB_LIST && q->verb != VERB_WATCH : q->ns.n > 0)) {
		answer_page_not_found(q);
		return;
	}
	if (at_refused(q))
		return;
	warn_deprecated(q);
	if (!method_known(q)) {
		not_allowed(q);
		return;
	}
	if (q->subresource.n) {
		serve_subresource(q);
		return;
	}
	if (q->name.n && !(q->res->verbs & ITEM_VERBS)) {
		unknown(q); /* no objects, no names */
		return;
	}
	if (!(q->res->verbs & (1u << q->verb)) || (q->verb == VERB_CREATE && q->name.n) ||
	    ((q->verb == VERB_UPDATE || q->verb == VERB_PATCH) && !q->name.n)) {
		not_allowed(q);
		return;
	}
	if (!resource_stored(q->res) && q->verb != VERB_CREATE) {
		/* Served without being stored: its strategy answers, or nobody. */
		if (strategy_for(q->res)->virtual_read)
			strategy_for(q->res)->virtual_read(q);
		else
			unknown(q);
		return;
	}
	/* Across all namespaces there is listing and watching, nothing else. */
	if (q->verb != VERB_LIST && q->verb != VERB_WATCH && q->res->namespaced && !q->ns.n && !q->trusted) {
		not_allowed(q);
		return;
	}
	switch (q->verb) {
	case VERB_GET:
		registry_get(q);
		return;
	case VERB_LIST:
		registry_list(q);
		return;
	case VERB_WATCH:
		registry_watch(q);
		return;
	case VERB_CREATE:
		registry_create(q);
		return;
	case VERB_UPDATE:
		registry_update(q);
		return;
	case VERB_PATCH:
		registry_patch(q);
		return;
	case VERB_DELETE:
		registry_delete(q);
		return;
	case VERB_DELETECOLLECTION:
		registry_deletecollection(q);
		return;
	default:
		not_allowed(q);
	}
}
