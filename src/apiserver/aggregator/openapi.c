/* Where another server's OpenAPI document is: its index is asked each time its discovery has answered. The hash that is
 * in there lets clients keep the document as long as it stays what it is; who has no index has no document, either. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "codec/json.h"

#include <stdlib.h>

#define HASH_MAX 128

/* As upstream's, of which all digests are: nothing else goes into a URL of ours. */
static bool openapi_hash_fine(struct sv hash)
{
	for (size_t i = 0; i < hash.n; i++)
		if (!((hash.p[i] >= '0' && hash.p[i] <= '9') || (hash.p[i] >= 'a' && hash.p[i] <= 'z') ||
		      (hash.p[i] >= 'A' && hash.p[i] <= 'Z')))
			return false;
	return hash.n > 0 && hash.n <= HASH_MAX;
}

bool agg_openapi_hash(struct sv index, struct sv group, struct sv version, struct buf *ret)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *doc = json_decode(&a, index, &(struct json_opts){ .borrow_text = true }, NULL);
	struct sv key = arena_svf(&a, "apis/%.*s/%.*s", SV_ARG(group), SV_ARG(version));
	const struct val *entry = val_member_sv(val_member(doc, F_paths), key);
	struct sv url = val_str(val_member_sv(entry, SV("serverRelativeURL")));
	ssize_t at = sv_find_sv(url, SV("?hash="));

	buf_clear(ret);
	if (!url.n)
		return false;
	url = at < 0 ? SV("") : sv_sub(url, (size_t)at + 6, url.n);
	if (openapi_hash_fine(url))
		buf_addsv(ret, url);
	return true;
}

struct openapi_question {
	struct aggregator *g;
	struct agg_service *e;
};

static void agg_openapi_answered(struct webhook_answer *answer, void *ctx)
{
	struct openapi_question *k = ctx;
	struct aggregator *g = k->g;
	struct agg_service *e = k->e;
	_cleanup_(buf_release) struct buf hash = BUF_INIT;
	bool there = answer->err.reason == ERR_NONE &&
		     agg_openapi_hash(buf_sv(&answer->body), sv_from(e->group), sv_from(e->version), &hash);

	webhook_answer_free(answer);
	pthread_mutex_lock(&g->lock);
	if (there != e->openapi || !sv_eq(buf_sv(&hash), buf_sv(&e->openapi_hash))) {
		struct buf was = e->openapi_hash;

		e->openapi = there;
		e->openapi_hash = hash;
		hash = was;
		agg_docs_drop(g);
	}
	pthread_mutex_unlock(&g->lock);
	agg_service_unref(e);
	free(k);
}

void agg_openapi_ask(struct aggregator *g, struct agg_service *e)
{
	struct openapi_question *k = xcalloc(1, sizeof(*k));

	k->g = g;
	k->e = agg_service_ref(e);
	webhook_call_unref(webhook_call(g->s, &(struct webhook_call_opts){
						  .target = e->target,
						  .body = SV(""),
						  .get = "/openapi/v3",
						  .headers = agg_own_headers,
						  .n_headers = AGG_OWN_HEADERS,
						  .timeout_ns = AGG_TIMEOUT_NS,
						  .answer_max = AGG_LIST_MAX,
						  .done = agg_openapi_answered,
						  .ctx = k,
					      }));
}
