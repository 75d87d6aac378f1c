/* The OpenAPI documents as wholes: which types and paths go into which. */
#include "object/openapi_write.h"
#include "base/version.h"
#include "object/served.h"

#include <stdlib.h>

static bool is_of(const struct resource *r, struct sv group, struct sv version)
{
	return sv_is(group, r->group) && sv_is(version, r->version);
}

/* Of the built-in ones. */
static bool openapi_serves(const struct resource *r, struct sv group, struct sv version)
{
	return is_of(r, group, version) && resource_served(r);
}

static void writer_init(struct openapi_writer *o, struct buf *b, bool v3)
{
	*o = (struct openapi_writer){ .w.b = b, .v3 = v3, .types = xcalloc(schema_count, sizeof(bool)) };
}

static void writer_release(struct openapi_writer *o)
{
	free(o->types);
}

/* What every resource's operations refer to beyond its own type. */
static void use_common(struct openapi_writer *o)
{
	static const char *const refs[] = { "meta/v1.DeleteOptions", "meta/v1.Status", "meta/v1.WatchEvent",
					    "meta/v1.ObjectMeta", "meta/v1.ListMeta" };

	for (size_t i = 0; i < ARRAY_LEN(refs); i++)
		openapi_use(o, schema_find(sv_from(refs[i])));
}

static void use_resource(struct openapi_writer *o, const struct resource *r)
{
	openapi_use(o, r->schema);
	openapi_use(o, openapi_list_schema(r));
	for (size_t i = 0; i < r->n_subresources; i++)
		openapi_use(o, r->subresources[i].schema);
}

static void add_info(struct openapi_writer *o)
{
	jw_key(&o->w, "info");
	jw_open(&o->w, '{');
	jw_raw(&o->w, "\"title\":\"Kubernetes\"");
	jw_str(&o->w, "version", VERSION_TEXT);
	jw_close(&o->w, '}');
}

bool openapi_v3(struct buf *b, struct sv group, struct sv version, const struct openapi_custom *custom, size_t n)
{
	_cleanup_(writer_release) struct openapi_writer o;
	bool any = false;

	writer_init(&o, b, true);
	use_common(&o);
	for (size_t i = 0; i < resource_count; i++) {
		if (openapi_serves(&resource_all[i], group, version)) {
			use_resource(&o, &resource_all[i]);
			any = true;
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (is_of(custom[i].resource, group, version)) {
			for (size_t k = 0; k < custom[i].resource->n_subresources; k++)
				openapi_use(&o, custom[i].resource->subresources[k].schema);
			any = true;
		}
	}
	if (!any)
		return false;

	jw_open(&o.w, '{');
	jw_raw(&o.w, "\"openapi\":\"3.0.0\"");
	add_info(&o);
	jw_key(&o.w, "paths");
	jw_open(&o.w, '{');
	for (size_t i = 0; i < resource_count; i++)
		if (openapi_serves(&resource_all[i], group, version))
			openapi_paths(&o, &resource_all[i]);
	for (size_t i = 0; i < n; i++)
		if (is_of(custom[i].resource, group, version))
			openapi_paths(&o, custom[i].resource);
	jw_close(&o.w, '}');
	jw_key(&o.w, "components");
	jw_open(&o.w, '{');
	jw_key(&o.w, "schemas");
	jw_open(&o.w, '{');
	openapi_definitions(&o);
	for (size_t i = 0; i < n; i++)
		if (is_of(custom[i].resource, group, version))
			openapi_custom_definitions(&o, &custom[i]);
	jw_close(&o.w, '}');
	jw_raw(&o.w, "\"securitySchemes\":{\"BearerToken\":{\"type\":\"apiKey\",\"description\":\"Bearer token\","
		     "\"name\":\"authorization\",\"in\":\"header\"}}");
	jw_close(&o.w, '}');
	jw_close(&o.w, '}');
	return true;
}

/* --- version 2, part by part --- */

#define PART_BYTES ((size_t)32 * 1024) /* parts are longer than this, but for the last */

struct v2_writer {
	struct openapi_writer o;
	struct buf b; /* members of a part, as far as they are */
	enum openapi_part part;
	openapi_part_fn *fn;
	void *ctx;
};

static void v2_flush(struct v2_writer *v)
{
	if (v->b.n)
		v->fn(v->part, buf_sv(&v->b), v->ctx);
	buf_clear(&v->b);
	v->o.w.comma = false;
}

static void v2_whole(struct openapi_writer *o)
{
	struct v2_writer *v = CONTAINER_OF(o, struct v2_writer, o);

	if (v->b.n >= PART_BYTES)
		v2_flush(v);
}

void openapi_v2_head(struct buf *b)
{
	struct openapi_writer o = { .w.b = b };

	jw_raw(&o.w, "\"swagger\":\"2.0\"");
	add_info(&o);
}

void openapi_v2_parts(const struct openapi_custom *custom, size_t n, openapi_part_fn *fn, void *ctx)
{
	struct v2_writer v = { .b = BUF_INIT, .part = OPENAPI_PATHS, .fn = fn, .ctx = ctx };

	writer_init(&v.o, &v.b, false);
	v.o.whole = v2_whole;
	use_common(&v.o);
	for (size_t i = 0; i < resource_count; i++)
		if (resource_served(&resource_all[i]))
			use_resource(&v.o, &resource_all[i]);
	for (size_t i = 0; i < resource_count; i++) {
		if (resource_served(&resource_all[i]))
			openapi_paths(&v.o, &resource_all[i]);
		v2_whole(&v.o);
	}
	for (size_t i = 0; i < n; i++) {
		openapi_paths(&v.o, custom[i].resource);
		v2_whole(&v.o);
	}
	v2_flush(&v);
	v.part = OPENAPI_DEFINITIONS;
	openapi_definitions(&v.o);
	for (size_t i = 0; i < n; i++) {
		openapi_custom_definitions(&v.o, &custom[i]);
		v2_whole(&v.o);
	}
	v2_flush(&v);
	buf_release(&v.b);
	writer_release(&v.o);
}

struct v2_json {
	struct buf *b;
	openapi_piece_fn *piece;
	enum openapi_part at;
	bool any;
};

static void v2_json_part(enum openapi_part part, struct sv members, void *ctx)
{
	struct v2_json *j = ctx;

	if (j->at != part)
		buf_adds(j->b, "},\"definitions\":{");
	else if (j->any)
		buf_addc(j->b, ',');
	j->at = part;
	j->any = true;
	buf_addsv(j->b, members);
	if (j->piece)
		j->piece(j->b);
}

void openapi_v2(struct buf *b, const struct openapi_custom *custom, size_t n, openapi_piece_fn *piece)
{
	struct v2_json j = { .b = b, .piece = piece, .at = OPENAPI_PATHS };

	buf_addc(b, '{');
	openapi_v2_head(b);
	buf_adds(b, ",\"paths\":{");
	openapi_v2_parts(custom, n, v2_json_part, &j);
	buf_adds(b, "}," OPENAPI_V2_TAIL "}");
}

/* --- the index --- */

static uint64_t openapi_mix(uint64_t h, uint64_t more)
{
	return (h ^ more) * UINT64_C(1099511628211);
}

/* The tables never change while one version of the program runs, so its version stands for them. */
uint64_t openapi_v3_hash(struct sv group, struct sv version, const struct openapi_custom *custom, size_t n)
{
	uint64_t h =
	    openapi_mix(openapi_mix(sv_hash(SV("openapi-v3 " CARAVEL_VERSION)), sv_hash(group)), sv_hash(version));
	bool any = false;

	for (size_t i = 0; i < resource_count && !any; i++)
		any = openapi_serves(&resource_all[i], group, version);
	for (size_t i = 0; i < n; i++) {
		if (is_of(custom[i].resource, group, version)) {
			h = openapi_mix(h, custom[i].hash);
			any = true;
		}
	}
	return !any ? 0 : h ? h : 1;
}

static void add_index_entry(struct jw *w, const char *group, const char *version, const struct openapi_custom *custom,
			    size_t n)
{
	_cleanup_(buf_release) struct buf path = BUF_INIT, url = BUF_INIT;

	buf_printf(&path, *group ? "apis/%s/%s" : "api%s/%s", group, version);
	buf_printf(&url, "/openapi/v3/%s?hash=%016" PRIX64, buf_cstr(&path),
		   openapi_v3_hash(sv_from(group), sv_from(version), custom, n));
	jw_keysv(w, buf_sv(&path));
	jw_open(w, '{');
	jw_key(w, "serverRelativeURL");
	jw_sv(w, buf_sv(&url));
	jw_close(w, '}');
}

void openapi_v3_index(struct buf *b, const struct openapi_custom *custom, size_t n)
{
	struct jw w = { .b = b };

	jw_open(&w, '{');
	jw_key(&w, "paths");
	jw_open(&w, '{');
	for (size_t i = 0; i < group_version_count; i++) {
		const struct group_version *g = &group_version_all[i];

		if (group_version_served(sv_from(g->group), sv_from(g->version)))
			add_index_entry(&w, g->group, g->version, custom, n);
	}
	for (size_t i = 0; i < n; i++) {
		const struct resource *r = custom[i].resource;
		bool seen = group_version_served(sv_from(r->group), sv_from(r->version));

		for (size_t k = 0; k < i; k++)
			seen |= is_of(custom[k].resource, sv_from(r->group), sv_from(r->version));
		if (!seen)
			add_index_entry(&w, r->group, r->version, custom, n);
	}
	jw_close(&w, '}');
	jw_close(&w, '}');
}
