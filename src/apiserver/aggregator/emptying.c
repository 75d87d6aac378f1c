/* What is asked of other servers to empty one namespace, and what comes of the answers.
 *
 * In each group version that is there, of each kind that has objects in namespaces which can be listed and deleted:
 * what is there is listed, deleted as a collection where that can be done, else one by one, and listed again. Of a
 * version that does not answer it is known what it had: only when that could have left something in the namespace it is
 * told. */
#include "apiserver/aggregator/namespaces-internal.h"
#include "codec/json.h"

#include <stdlib.h>

#define ITEMS_MAX 500 /* of a list; the rest in the next round */

void emptied_free(struct agg_emptied *k)
{
	agg_waits_drop(&k->waits);
	foreign_left_release(&k->left);
	webhook_answer_free(k->answer);
	for (size_t i = 0; i < k->n; i++)
		agg_service_unref(k->all[i]);
	free(k->all);
	strmap_release(&k->seen);
	arena_release(&k->of_version);
	arena_release(&k->of_kind);
	free(k->ns);
	free(k);
}

static void emptied_failed(struct agg_emptied *k, const char *why)
{
	if (!k->left.failures++)
		buf_adds(&k->left.failure, why);
}

/* --- questions --- */

static bool verbs_have(const struct val *r, const char *verb)
{
	VAL_EACH(val_get(r, F_verbs), v)
		if (val_is(v, verb))
			return true;
	return false;
}

/* Something of it may be left in a namespace. */
static bool kind_deletable(const struct val *r)
{
	return val_is(val_get(r, F_scope), "Namespaced") && verbs_have(r, "list") &&
	       (verbs_have(r, "delete") || verbs_have(r, "deletecollection"));
}

static void emptied_unknown(struct agg_emptied *k, bool stale)
{
	struct foreign_left *l = &k->left;
	const struct agg_service *e = k->e;

	buf_printf(&l->undiscovered, "%s%s/%s: ", l->undiscovered.n ? ", " : "", e->group, e->version);
	if (stale)
		buf_printf(&l->undiscovered, "stale GroupVersion discovery: %s/%s", e->group, e->version);
	else
		buf_adds(&l->undiscovered, "the server is currently unable to handle the request");
	l->n_undiscovered++;
}

/* The next version of which it is known what it has. False: there is none. */
static bool emptied_version(struct agg_emptied *k)
{
	while (k->i < k->n) {
		struct sv known;

		k->e = k->all[(k->from + k->i++) % k->n];
		if (k->e->built_in)
			continue;
		arena_release(&k->of_version);
		pthread_mutex_lock(&k->g->lock);
		k->available = k->e->available;
		known = arena_sv(&k->of_version, buf_sv(&k->e->list));
		pthread_mutex_unlock(&k->g->lock);
		if (!known.n) {
			emptied_unknown(k, false);
			continue;
		}
		k->kinds = json_decode(&k->of_version, known, NULL, NULL);
		k->n_kinds = val_len(k->kinds);
		k->kinds_from = k->anywhere && k->n_kinds ? env_random_below(k->g->env, k->n_kinds) : 0;
		k->kind = 0;
		k->next = NEXT_KIND;
		return true;
	}
	return false;
}

static void emptied_kind(struct agg_emptied *k)
{
	k->next = NEXT_VERSION;
	while (k->kind < k->n_kinds) {
		const struct val *r = val_at(k->kinds, (k->kinds_from + k->kind++) % k->n_kinds);
		struct sv plural = val_get_str(r, F_resource);

		if (!kind_deletable(r) || !agg_step_fine(plural))
			continue;
		if (!k->available) {
			emptied_unknown(k, true);
			return;
		}
		k->name = arena_printf(&k->of_version, "%.*s.%s", SV_ARG(plural), k->e->group);
		if (strmap_set(&k->seen, sv_from(k->name), k))
			continue;
		k->path = arena_printf(&k->of_version, "/apis/%s/%s/namespaces/%s/%.*s", k->e->group, k->e->version,
				       k->ns, SV_ARG(plural));
		k->collection = verbs_have(r, "deletecollection");
		k->next = NEXT_LIST;
		return;
	}
}

/* The next object that is not going yet; NULL: none. */
static const char *emptied_object(struct agg_emptied *k, struct arena *a)
{
	while (k->item < val_len(k->items)) {
		const struct val *o = val_at(k->items, k->item++);
		struct sv name = val_get_str(o, F_metadata, F_name);

		if (agg_step_fine(name) && !val_get(o, F_metadata, F_deletionTimestamp))
			return arena_printf(a, "%s/%.*s", k->path, SV_ARG(name));
	}
	return NULL;
}

/* --- answers --- */

/* e did not answer in its time: nobody asks its server for a while. */
static void emptied_leave_alone(struct agg_emptied *k)
{
	pthread_mutex_lock(&k->g->lock);
	agg_leave_alone(k->g, k->e);
	for (size_t i = 0; i < k->n; i++) /* one may have been written anew meanwhile */
		if (agg_same_server(k->all[i], k->e))
			k->all[i]->left_alone_ns = k->e->left_alone_ns;
	pthread_mutex_unlock(&k->g->lock);
}

/* Of a list; NULL: said, or there is no such. */
static const struct val *emptied_items(struct agg_emptied *k, const struct webhook_answer *answer)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct val *doc;

	arena_release(&k->of_kind);
	if (answer->status == 404)
		return NULL;
	if (answer->err.reason != ERR_NONE) {
		emptied_failed(k, err_msg(&answer->err));
		return NULL;
	}
	doc = json_decode(&k->of_kind, arena_sv(&k->of_kind, buf_sv(&answer->body)), NULL, &why);
	if (!doc)
		emptied_failed(k, err_msg(&why));
	return val_get(doc, F_items);
}

static void emptied_remains(struct agg_emptied *k, const struct val *items)
{
	struct foreign_left *l = &k->left;

	if (!val_len(items))
		return;
	l->remaining += val_len(items);
	buf_printf(&l->kinds, "%s%s has %zu resource instances", l->kinds.n ? ", " : "", k->name, val_len(items));
	VAL_EACH(items, o)
		VAL_EACH(val_get(o, F_metadata, F_finalizers), f) {
			void **slot = strmap_slot(&l->finalizers, val_str(f));

			*slot = (void *)((uintptr_t)*slot + 1);
		}
}

static bool emptied_deleted(struct agg_emptied *k, const struct webhook_answer *answer)
{
	if (answer->err.reason == ERR_NONE || answer->status == 404 || answer->status == 409)
		return true;
	if (answer->status != 405)
		emptied_failed(k, err_msg(&answer->err));
	return false;
}

static void emptied_heard(struct agg_emptied *k, const struct webhook_answer *answer)
{
	if (answer->status == 0) { /* no further question about this kind; after a wait, none to this server */
		emptied_failed(k, err_msg(&answer->err));
		if (answer->late)
			emptied_leave_alone(k);
		k->next = answer->late ? NEXT_VERSION : NEXT_KIND;
		return;
	}
	switch (k->next) {
	case NEXT_LIST:
		k->items = emptied_items(k, answer);
		k->item = 0;
		k->next = !val_len(k->items) ? NEXT_KIND : k->collection ? NEXT_DELETE_ALL : NEXT_DELETE_EACH;
		break;
	case NEXT_DELETE_ALL:
		k->next = emptied_deleted(k, answer) ? NEXT_REMAINS : NEXT_DELETE_EACH;
		break;
	case NEXT_DELETE_EACH:
		(void)emptied_deleted(k, answer);
		break;
	case NEXT_REMAINS:
		emptied_remains(k, emptied_items(k, answer));
		k->next = NEXT_KIND;
		break;
	case NEXT_VERSION:
	case NEXT_KIND:
		break;
	}
}

/* --- one namespace --- */

/* On the network's thread. */
static void emptied_answered(struct webhook_answer *answer, void *ctx)
{
	struct agg_emptied *k = ctx;

	k->answer = answer;
	env_post(k->g->env, ENV_CONTROL, k->run, k);
}

/* k may be another thread's when it comes back. */
static void emptied_ask(struct agg_emptied *k, const char *method, const char *path)
{
	webhook_call_unref(webhook_call(k->g->s, &(struct webhook_call_opts){
						     .target = k->e->target,
						     .body = SV(""),
						     .get = path,
						     .method = method,
						     .headers = agg_own_headers,
						     .n_headers = AGG_OWN_HEADERS,
						     .timeout_ns = AGG_TIMEOUT_NS,
						     .answer_max = AGG_ITEMS_MAX,
						     .done = emptied_answered,
						     .ctx = k,
						 }));
}

/* What is asked next, and how; NULL: nothing more. */
static const char *emptied_question(struct agg_emptied *k, struct arena *a, const char **ret_method)
{
	const char *path;

	*ret_method = "DELETE";
	for (;;)
		switch (k->next) {
		case NEXT_VERSION:
			if (!emptied_version(k))
				return NULL;
			break;
		case NEXT_KIND:
			emptied_kind(k);
			break;
		case NEXT_DELETE_ALL:
			return arena_printf(a, "%s?propagationPolicy=Background", k->path);
		case NEXT_DELETE_EACH:
			path = emptied_object(k, a);
			if (path)
				return arena_printf(a, "%s?propagationPolicy=Background", path);
			k->next = NEXT_REMAINS;
			break;
		case NEXT_LIST:
		case NEXT_REMAINS:
			*ret_method = "GET";
			return arena_printf(a, "%s?limit=%d", k->path, ITEMS_MAX);
		}
}

static bool emptied_left_alone(struct agg_emptied *k, int64_t now)
{
	bool yes;

	pthread_mutex_lock(&k->g->lock);
	yes = now < k->e->left_alone_ns;
	pthread_mutex_unlock(&k->g->lock);
	return yes;
}

/* Its time is up. Those that come soon begin anywhere, so that what comes last is not left out each time. */
static void emptied_too_long(struct agg_emptied *k, int64_t now)
{
	emptied_failed(k, "the server was unable to return a response in the time allotted, but may still be "
			  "processing the request");
	pthread_mutex_lock(&k->g->lock);
	k->g->emptied_anywhere_ns = now + OUTCOME_NS;
	pthread_mutex_unlock(&k->g->lock);
}

/* True: something is asked, and k is its answer's. */
bool emptied_go_on(struct agg_emptied *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t now = env_mono_ns(k->g->env);
	const char *path, *method;

	if (k->answer) {
		emptied_heard(k, k->answer);
		k->answer = webhook_answer_free(k->answer);
	}
	while ((path = emptied_question(k, &a, &method))) {
		if (now >= k->deadline_ns) {
			emptied_too_long(k, now);
			return false;
		}
		if (!emptied_left_alone(k, now)) {
			emptied_ask(k, method, path);
			return true;
		}
		emptied_failed(k, "the server is currently unable to handle the request");
		k->next = NEXT_VERSION;
	}
	return false;
}

void emptied_prepare(struct agg_emptied *k)
{
	struct aggregator *g = k->g;
	int64_t now = env_mono_ns(g->env);

	k->n = g->list.n;
	k->all = xcalloc(k->n + 1, sizeof(struct agg_service *));
	for (size_t i = 0; i < k->n; i++)
		k->all[i] = agg_service_ref(g->list.p[i]);
	k->anywhere = now < g->emptied_anywhere_ns;
	k->from = k->anywhere && k->n ? env_random_below(g->env, k->n) : 0;
	k->deadline_ns = now + EMPTIED_NS;
}
