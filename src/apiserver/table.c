/* Objects as Tables and as their metadata alone: meta.k8s.io/v1, in parts, so that lists and watches make them while
 * they are sent. What a row and the columns say is src/print/'s. */
#include "apiserver/apiserver-internal.h"
#include "codec/json.h"
#include "print/print.h"

void partial_encode(struct api_req *q, struct buf *b, const struct val *root)
{
	buf_printf(b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"%s\",\"metadata\":", meta_version(q));
	json_encode(b, val_member(root, F_metadata));
	buf_addc(b, '}');
}

void table_row(struct api_req *q, struct buf *b, const struct resource *r, struct obj *o)
{
	struct sv include = SV("Metadata");

	(void)api_req_param(q, "includeObject", &include);
	buf_adds(b, "{\"cells\":");
	print_cells(b, r, obj_root(o), env_now_ns(q->server->env));
	buf_adds(b, ",\"object\":");
	if (sv_is(include, "Object"))
		buf_addsv(b, obj_json(o));
	else if (!sv_is(include, "None"))
		partial_encode(q, b, obj_root(o));
	else
		buf_adds(b, "null");
	buf_addc(b, '}');
}

void list_more(struct buf *b, struct sv cont, int64_t remaining)
{
	if (!cont.n)
		return;
	buf_printf(b, ",\"continue\":\"%.*s\"", SV_ARG(cont));
	if (remaining >= 0)
		buf_printf(b, ",\"remainingItemCount\":%" PRId64, remaining);
}

const char *meta_version(const struct api_req *q)
{
	return q->as_beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1";
}

void table_head(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, struct sv cont,
		int64_t remaining, bool with_columns)
{
	buf_printf(b, "{\"kind\":\"Table\",\"apiVersion\":\"%s\",\"metadata\":{", meta_version(q));
	if (rev)
		buf_printf(b, "\"resourceVersion\":\"%" PRId64 "\"", rev);
	list_more(b, cont, remaining);
	buf_adds(b, "},\"columnDefinitions\":");
	if (with_columns)
		print_columns(b, r);
	else
		buf_adds(b, "null");
	buf_adds(b, ",\"rows\":[");
}

void table_encode(struct api_req *q, struct buf *b, const struct resource *r, struct obj *const *objs, size_t n,
		  int64_t rev, struct sv cont, int64_t remaining, bool with_columns)
{
	table_head(q, b, r, rev, cont, remaining, with_columns);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(b, ',');
		table_row(q, b, r, objs[i]);
	}
	buf_adds(b, TABLE_TAIL);
}
