/* What this server serves: /api, /apis, the lists below them, and all of it in one document
 * (aggregated discovery, KEP-3352) for clients whose Accept asks for that. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"
#include "codec/json.h"
#include "object/feature.h"

#include <stdio.h>

static void group_members(const struct api_group *g, struct buf *b)
{
	const struct api_version *v = g->versions;

	buf_printf(b, "\"name\":\"%s\",\"versions\":[", g->name);
	for (size_t i = 0; i < g->n; i++)
		buf_printf(b, "%s{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", i ? "," : "", g->name, v[i].version,
			   v[i].version);
	buf_printf(b, "],\"preferredVersion\":{\"groupVersion\":\"%s/%s\",\"version\":\"%s\"}", g->name, v[0].version,
		   v[0].version);
}

/* All groups but core, which has a place of its own; in the set's order. */
static void each_group(const struct api_set *api, void (*fn)(const struct api_group *g, struct buf *b), struct buf *b)
{
	bool first = true;

	for (size_t i = 0; i < api->n_groups; i++) {
		if (!*api->groups[i].name)
			continue;
		if (!first)
			buf_addc(b, ',');
		first = false;
		fn(&api->groups[i], b);
	}
}

static void group_entry(const struct api_group *g, struct buf *b)
{
	buf_addc(b, '{');
	group_members(g, b);
	buf_addc(b, '}');
}

static void make_groups(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	(void)s;
	(void)key;
	buf_adds(b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
	each_group(api, group_entry, b);
	buf_adds(b, "]}\n");
}

static void make_legacy(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	(void)api;
	(void)key;
	buf_printf(b,
		   "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[{\"clientCIDR\":"
		   "\"0.0.0.0/0\",\"serverAddress\":\"%s:%d\"}]}\n",
		   s->o.advertise_address ? s->o.advertise_address : "127.0.0.1", s->o.advertise_port);
}

/* Verbs in alphabetical order, as upstream lists them; of custom kinds (late) in the one it has for those. */
static void add_verbs(struct buf *b, unsigned bits, bool late)
{
	static const enum verb by_name[] = { VERB_CREATE, VERB_DELETE, VERB_DELETECOLLECTION, VERB_GET,
					     VERB_LIST,	  VERB_PATCH,  VERB_UPDATE,	      VERB_WATCH };
	static const enum verb customs[] = { VERB_DELETE, VERB_DELETECOLLECTION, VERB_GET,    VERB_LIST,
					     VERB_PATCH,  VERB_CREATE,		 VERB_UPDATE, VERB_WATCH };
	const enum verb *order = late ? customs : by_name;
	bool first = true;

	buf_addc(b, '[');
	for (size_t i = 0; i < ARRAY_LEN(by_name); i++) {
		if (!(bits & (1u << order[i])))
			continue;
		buf_printf(b, "%s\"%s\"", first ? "" : ",", verb_name(order[i]));
		first = false;
	}
	buf_addc(b, ']');
}

static void add_strings(struct buf *b, const char *name, const char *const *list)
{
	if (!list || !*list)
		return;
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; list[i]; i++)
		buf_printf(b, "%s\"%s\"", i ? "," : "", list[i]);
	buf_addc(b, ']');
}

static void list_resource(struct buf *b, const struct resource *r)
{
	buf_printf(b,
		   "{\"name\":\"%s\",\"singularName\":\"%s\",\"namespaced\":%s,\"kind\":\"%s\",\"verbs\":", r->plural,
		   r->singular ? r->singular : "", r->namespaced ? "true" : "false", r->kind);
	add_verbs(b, r->verbs, resource_late(r));
	add_strings(b, "shortNames", r->short_names);
	add_strings(b, "categories", r->categories);
	if (r->storage_version_hash && *r->storage_version_hash && feature_on(FG_StorageVersionHash))
		buf_printf(b, ",\"storageVersionHash\":\"%s\"", r->storage_version_hash);
	buf_addc(b, '}');
	for (size_t k = 0; k < r->n_subresources; k++) {
		const struct subresource *sub = &r->subresources[k];

		buf_printf(b, ",{\"name\":\"%s/%s\",\"singularName\":\"\",\"namespaced\":%s", r->plural, sub->name,
			   r->namespaced ? "true" : "false");
		if (strcmp(sub->group, r->group) != 0 || strcmp(sub->version, r->version) != 0)
			buf_printf(b, ",\"group\":\"%s\",\"version\":\"%s\"", sub->group, sub->version);
		buf_printf(b, ",\"kind\":\"%s\",\"verbs\":", sub->kind);
		add_verbs(b, sub->verbs, resource_late(r));
		buf_addc(b, '}');
	}
}

/* key: "list:apps/v1" or "list:v1". */
static void make_list(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	struct sv gv = sv_from(key + 5), g, v;
	const struct api_version *served;

	(void)s;
	(void)api_version_split(gv, &g, &v);
	served = api_served(api, g, v);
	buf_printf(b, "{\"kind\":\"APIResourceList\",%s\"groupVersion\":\"%.*s\",\"resources\":[",
		   g.n ? "\"apiVersion\":\"v1\"," : "", SV_ARG(gv));
	for (size_t i = 0; served && i < served->n; i++) {
		if (i)
			buf_addc(b, ',');
		list_resource(b, served->resources[i]);
	}
	buf_adds(b, "]}\n");
}

static void make_group(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	const struct api_group *g = api_group_of(api, sv_from(key + 6));

	(void)s;
	buf_adds(b, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
	if (g)
		group_members(g, b);
	buf_adds(b, "}\n");
}

/* --- aggregated --- */

static void response_kind(struct buf *b, const char *group, const char *version, const char *kind)
{
	buf_printf(b, ",\"responseKind\":{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"}", group, version, kind);
}

static void aggregated_resource(struct buf *b, const struct resource *r)
{
	buf_printf(b, "{\"resource\":\"%s\"", r->plural);
	response_kind(b, r->group, r->version, r->kind);
	buf_printf(b,
		   ",\"scope\":\"%s\",\"singularResource\":\"%s\",\"verbs\":", r->namespaced ? "Namespaced" : "Cluster",
		   r->singular ? r->singular : "");
	add_verbs(b, r->verbs, resource_late(r));
	add_strings(b, "shortNames", r->short_names);
	add_strings(b, "categories", r->categories);
	for (size_t k = 0; k < r->n_subresources; k++) {
		const struct subresource *sub = &r->subresources[k];

		buf_printf(b, "%s{\"subresource\":\"%s\"", k ? "," : ",\"subresources\":[", sub->name);
		response_kind(b, sub->group, sub->version, sub->kind);
		buf_adds(b, ",\"verbs\":");
		add_verbs(b, sub->verbs, resource_late(r));
		buf_addc(b, '}');
	}
	buf_adds(b, r->n_subresources ? "]}" : "}");
}

void discovery_version(struct buf *b, const struct api_version *v)
{
	buf_printf(b, "{\"version\":\"%s\",\"resources\":[", v->version);
	for (size_t k = 0; k < v->n; k++) {
		if (k)
			buf_addc(b, ',');
		aggregated_resource(b, v->resources[k]);
	}
	buf_adds(b, "],\"freshness\":\"Current\"}");
}

static void aggregated_group(const struct api_group *g, struct buf *b)
{
	buf_adds(b, "{\"metadata\":{");
	if (*g->name)
		buf_printf(b, "\"name\":\"%s\"", g->name);
	buf_adds(b, "},\"versions\":[");
	for (size_t i = 0; i < g->n; i++) {
		if (i)
			buf_addc(b, ',');
		discovery_version(b, &g->versions[i]);
	}
	buf_adds(b, "]}");
}

static void make_aggregated(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	(void)s;
	buf_adds(b, "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/"
		    "v2\",\"metadata\":{},\"items\":[");
	if (strcmp(key, "aggregated:/api") == 0)
		aggregated_group(api_group_of(api, SV("")), b);
	else
		each_group(api, aggregated_group, b);
	buf_adds(b, "]}\n");
}

/* The encoding of that type; NULL: there is none. */
static const struct media *document_media(const struct api_req *q, struct sv type)
{
	const struct media *m;

	if (sv_is(type, "*/*"))
		return &media_json;
	for (size_t i = 0; (m = media_at(q->server, i)); i++)
		if (media_named(m, type))
			return m;
	return NULL;
}

bool discovery_aggregated(struct api_req *q)
{
	struct sv rest = q->accept, one, params;

	while (sv_split(&rest, ',', &one)) {
		const struct media *m = document_media(q, media_type(sv_trim(one), &params));

		if (!m)
			continue;
		if (!media_param(params, "as").n)
			return false; /* plain documents were preferred */
		if (sv_is(media_param(params, "as"), "APIGroupDiscoveryList") &&
		    sv_is(media_param(params, "v"), "v2") && sv_is(media_param(params, "g"), "apidiscovery.k8s.io")) {
			q->media = m;
			return true;
		}
	}
	return false;
}

bool discovery_serve(struct api_req *q)
{
	struct sv path = q->path, g = SV(""), v = SV_NULL;
	const struct document *d;

	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	if (sv_is(path, "/api") || sv_is(path, "/apis")) {
		if (discovery_aggregated(q)) {
			d = document_get(q, sv_is(path, "/api") ? "aggregated:/api" : "aggregated:/apis",
					 make_aggregated);
			document_answer(q, d, DISCOVERY_AGGREGATED, false);
		} else {
			d = sv_is(path, "/api") ? document_get(q, "api", make_legacy)
						: document_get(q, "apis", make_groups);
			document_answer(q, d, "application/json", false);
		}
		return true;
	}
	if (sv_starts(path, SV("/api/"))) {
		v = sv_sub(path, 5, path.n);
	} else if (sv_starts(path, SV("/apis/"))) {
		ssize_t slash;

		g = sv_sub(path, 6, path.n);
		slash = sv_find(g, '/');
		if (slash >= 0) {
			v = sv_sub(g, (size_t)slash + 1, g.n);
			g = sv_sub(g, 0, (size_t)slash);
		}
	} else {
		return false;
	}
	if (sv_find(v, '/') >= 0)
		return false;
	if (!v.p) {
		if (!g.n || !api_group_of(q->api, g))
			return false;
		document_answer(q, document_get(q, arena_printf(q->arena, "group:%.*s", SV_ARG(g)), make_group),
				"application/json", false);
		return true;
	}
	if (!api_served(q->api, g, v))
		return false;
	document_answer(
	    q,
	    document_get(q, arena_printf(q->arena, "list:%.*s%s%.*s", SV_ARG(g), g.n ? "/" : "", SV_ARG(v)), make_list),
	    "application/json", false);
	return true;
}
