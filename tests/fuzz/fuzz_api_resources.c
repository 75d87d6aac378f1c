/* What an aggregated server says that it has: any bytes become a list that is JSON and no longer than its bound allows,
 * or are refused with a reason; of its index of OpenAPI documents a hash is
 * taken that may stand in a URL; and its own document becomes a part of ours, twice, or is refused. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/aggregator/spec.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void as_document(struct sv text)
{
	static const char own[] =
	    "{\"swagger\":\"2.0\",\"paths\":{\"/api/\":{}},\"definitions\":{\"a\":{\"type\":\"object\"}}}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf cut = BUF_INIT, out = BUF_INIT;
	_cleanup_(agg_spec_merged_release) struct spec_merged m = { 0 };
	struct sv both[2];
	const struct val *doc;

	if (agg_spec_cut(text, SV("g.example.io"), SV("v1"), &cut, &err) < 0) {
		BUG_ON(!*err_msg(&err));
		return;
	}
	if (!cut.n)
		return;
	both[0] = both[1] = buf_sv(&cut);
	agg_specs_merge(sv_from(own), both, 2, &m);
	agg_specs_join(sv_from(own), &m, &out);
	doc = json_decode(&a, buf_sv(&out), NULL, &err);
	BUG_ON(!doc || val_len(val_member(doc, F_paths)) < 2);
	BUG_ON(!val_member_sv(val_member_sv(doc, SV("definitions")), SV("a")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(buf_release) struct buf hash = BUF_INIT;
	const struct val *list;

	as_document(sv_make((const char *)data, n));
	(void)agg_openapi_hash(sv_make((const char *)data, n), SV("g.example.io"), SV("v1"), &hash);
	for (size_t i = 0; i < hash.n; i++)
		BUG_ON(!strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", hash.p[i]));
	if (agg_resources(sv_make((const char *)data, n), SV("g.example.io"), SV("v1"), &b, &err) < 0) {
		BUG_ON(!*err_msg(&err) || b.n);
		return 0;
	}
	BUG_ON(b.n > 8 * n + 2 + AGG_RESOURCES_MAX * 300);
	list = json_decode(&a, buf_sv(&b), NULL, &err);
	BUG_ON(!list || val_type(list) != VAL_LIST);
	VAL_EACH(list, r)
		BUG_ON(!val_get_str(r, F_resource).n || val_type(val_get(r, F_verbs)) != VAL_LIST);
	return 0;
}
