/* What an aggregated server says that it has: any bytes become a list that is JSON and no longer than its bound allows,
 * or are refused with a reason; of its index of OpenAPI documents a hash is
 * taken that may stand in a URL. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(buf_release) struct buf hash = BUF_INIT;
	const struct val *list;

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
