/* What is told of objects, as JSON: themselves, Tables, their metadata alone (meta.k8s.io). In parts, so that lists and
 * watches make them while they are sent. What a row and the columns say is src/print/'s. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"
#include "codec/json.h"
#include "print/print.h"

/* Not printed: a Table has one for each row. */
static void form_head(struct buf *b, const char *kind, const char *version)
{
	buf_adds(b, "{\"kind\":\"");
	buf_adds(b, kind);
	buf_adds(b, "\",\"apiVersion\":\"");
	buf_adds(b, version);
	buf_adds(b, "\",\"metadata\":");
}

static void form_revision(struct buf *b, int64_t rev)
{
	buf_printf(b, "{\"resourceVersion\":\"%" PRId64 "\"", rev);
}

/* What a list's metadata says of the items to come, and of those that are somebody else's part. */
static void form_more(const struct api_req *q, struct buf *b, struct sv cont, int64_t remaining, bool custom)
{
	if (cont.n || custom) /* upstream's generic lists have it always */
		buf_printf(b, ",\"continue\":\"%.*s\"", SV_ARG(cont));
	if (cont.n && remaining >= 0)
		buf_printf(b, ",\"remainingItemCount\":%" PRId64, remaining);
	if (!q->shard.n)
		return;
	buf_adds(b, ",\"shardInfo\":{\"selector\":");
	json_encode_str(b, q->shard);
	buf_addc(b, '}');
}

/* --- objects --- */

static void form_list(const struct api_req *q, struct buf *b, const char *kind, const char *version, int64_t rev,
		      struct sv cont, int64_t remaining, bool custom)
{
	form_head(b, kind, version);
	form_revision(b, rev);
	form_more(q, b, cont, remaining, custom);
	buf_adds(b, "},\"items\":");
}

static void native_list(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, struct sv cont,
			int64_t remaining)
{
	char av[160];

	form_list(q, b, r->list_kind, resource_api_version(r, av, sizeof(av)), rev, cont, remaining,
		  r->schema && r->schema->custom);
}

static void form_bookmark(struct buf *b, const char *kind, const char *version, int64_t rev, bool initial_end)
{
	form_head(b, kind, version);
	form_revision(b, rev);
	if (initial_end)
		buf_adds(b, ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
	buf_adds(b, "}}");
}

static void native_bookmark(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, bool initial_end)
{
	char av[160];

	(void)q;
	form_bookmark(b, r->kind, resource_api_version(r, av, sizeof(av)), rev, initial_end);
}

/* --- metadata alone --- */

static void partial_list(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, struct sv cont,
			 int64_t remaining)
{
	(void)r;
	form_list(q, b, "PartialObjectMetadataList", q->form->version, rev, cont, remaining, false);
}

static void partial_item(struct api_req *q, struct buf *b, const struct resource *r, struct obj *o)
{
	(void)r;
	form_head(b, "PartialObjectMetadata", q->form->version);
	json_encode(b, val_member(obj_root(o), F_metadata));
	buf_addc(b, '}');
}

static void partial_object(struct api_req *q, struct buf *b, const struct resource *r, struct obj *o, int64_t rev,
			   bool first)
{
	(void)rev;
	(void)first;
	partial_item(q, b, r, o);
}

static void partial_bookmark(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, bool initial_end)
{
	(void)r;
	form_bookmark(b, "PartialObjectMetadata", q->form->version, rev, initial_end);
}

/* --- Tables --- */

static void table_item(struct api_req *q, struct buf *b, const struct resource *r, struct obj *o)
{
	struct sv include = SV("Metadata");

	(void)api_req_param(q, "includeObject", &include);
	buf_adds(b, "{\"cells\":");
	print_cells(b, r, obj_root(o), env_now_ns(q->server->env));
	buf_adds(b, ",\"object\":");
	if (sv_is(include, "Object"))
		buf_addsv(b, obj_json(o));
	else if (!sv_is(include, "None"))
		partial_item(q, b, r, o);
	else
		buf_adds(b, "null");
	buf_addc(b, '}');
}

static void table_head(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, struct sv cont,
		       int64_t remaining, bool with_columns)
{
	form_head(b, "Table", q->form->version);
	if (rev)
		form_revision(b, rev);
	else
		buf_addc(b, '{');
	form_more(q, b, cont, remaining, false);
	buf_adds(b, "},\"columnDefinitions\":");
	if (with_columns)
		print_columns(b, r);
	else
		buf_adds(b, "null");
	buf_adds(b, ",\"rows\":");
}

static void table_list(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, struct sv cont,
		       int64_t remaining)
{
	table_head(q, b, r, rev, cont, remaining, true);
}

/* A Table of one row; a stream says its columns once. */
static void table_object(struct api_req *q, struct buf *b, const struct resource *r, struct obj *o, int64_t rev,
			 bool first)
{
	table_head(q, b, r, rev, SV_NULL, -1, first);
	buf_addc(b, '[');
	table_item(q, b, r, o);
	buf_adds(b, "]}");
}

/* A Table carries its annotations on a row's object. */
static void table_bookmark(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, bool initial_end)
{
	table_head(q, b, r, rev, SV_NULL, -1, false);
	buf_adds(b, "[{\"cells\":[],\"object\":");
	form_head(b, "PartialObjectMetadata", q->form->version);
	form_revision(b, rev);
	if (initial_end)
		buf_adds(b, ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
	buf_adds(b, "}}}]}");
}

/* --- which there are --- */

const struct media_form media_native = { "", "", "", "", F_items, native_list, NULL, NULL, native_bookmark };

#define FORM_TABLE(v)                                                                                          \
	{                                                                                                      \
		"Table", "", v, "meta.k8s.io/" v, F_rows, table_list, table_item, table_object, table_bookmark \
	}
#define FORM_PARTIAL(v)                                                                                           \
	{                                                                                                         \
		"PartialObjectMetadata", "PartialObjectMetadataList", v, "meta.k8s.io/" v, F_items, partial_list, \
		    partial_item, partial_object, partial_bookmark                                                \
	}

static const struct media_form forms[] = { FORM_TABLE("v1"), FORM_TABLE("v1beta1"), FORM_PARTIAL("v1"),
					   FORM_PARTIAL("v1beta1") };

const struct media_form *media_form_find(struct sv as, struct sv g, struct sv v)
{
	if (!as.n)
		return &media_native;
	if (!sv_is(g, "meta.k8s.io"))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if ((sv_is(as, forms[i].as) || sv_is(as, forms[i].list_as)) && sv_is(v, forms[i].v))
			return &forms[i];
	return NULL;
}
