/* What several servers on one store need: who reads or writes here sees what was answered elsewhere before.
 *
 * The store is asked for its newest revision, by one question for all who wait, and says when the cache has been told
 * up to there (store_sync()). Writes wait as well where they look at what is there (an object that is not found, a
 * version that is not the one named): only what they write themselves the store compares.
 *
 * Behaviour: KEP-2340, consistent reads from the cache. */
#include "apiserver/registry/registry.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/steps.h"

#include <stdlib.h>

struct freshness {
	struct req_ticket *ticket;
};

static void fresh_drop(void *ctx)
{
	struct err *err = ctx;

	err_release(err);
	free(err);
}

/* On the store's thread. The result is what went wrong, or NULL. */
static void fresh_synced(int64_t rev, const struct err *err, void *ctx)
{
	struct freshness *f = ctx;
	struct err *why = NULL;

	(void)rev;
	if (err) {
		why = xcalloc(1, sizeof(*why));
		err_copy(why, err);
	}
	(void)req_resume(f->ticket, why, why ? fresh_drop : NULL);
	free(f);
}

/* Whether an object is there already only the store says. What else is looked at is its namespace; and for Pods the
 * account they run as, and more. */
static bool fresh_create(const struct api_req *q)
{
	struct obj *ns;
	bool known;

	if (q->subresource.n || !q->res || q->res == RES(core_pods))
		return false;
	if (!q->res->namespaced)
		return true;
	ns = wc_get(q->server->wc, RES(core_namespaces), SV(""), q->ns);
	known = ns != NULL;
	obj_unref(ns);
	return known;
}

/* A read that is content with a revision, or with any; a write for which it is of no consequence. */
static bool fresh_enough(const struct api_req *q)
{
	static const char *const said[] = { "resourceVersion", "continue" };
	struct sv v;

	if (q->verb == VERB_CREATE)
		return fresh_create(q);
	if (q->verb != VERB_GET && q->verb != VERB_LIST && q->verb != VERB_WATCH)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		if (api_req_param(q, said[i], &v) && v.n)
			return true;
	return false;
}

int registry_fresh(struct api_req *q, struct err *err)
{
	struct freshness *f;
	void *result;

	if (req_result(q, &result)) {
		if (!result)
			return 0;
		err_copy(err, result);
		return -1;
	}
	if (!store_shared(q->server->store) || !q->resource_request || fresh_enough(q))
		return 0;
	f = xcalloc(1, sizeof(*f));
	f->ticket = req_suspend(q, "the store to say what is new", NULL, NULL);
	store_sync(q->server->store, fresh_synced, f);
	return REQ_LATER;
}
