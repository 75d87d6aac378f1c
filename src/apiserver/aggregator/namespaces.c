/* A namespace that goes, emptied of what other servers keep in it: a task for each, as their answers take as long as
 * they like. Its outcome waits for who asked, who asks again; what nobody fetches is dropped.
 *
 * In each group version that is there, of each kind that has objects in namespaces which can be listed and deleted:
 * what is there is listed, deleted as a collection where that can be done, else one by one, and listed again. Of a
 * version that does not answer it is known what it had: only when that could have left something in the namespace it is
 * told. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "codec/json.h"

#include <stdlib.h>

#define OUTCOME_NS (5 * 60 * NS_PER_SEC) /* so long one is kept */
#define ITEMS_MAX 500			 /* of a list; the rest in the next round */

enum emptied_state { EMPTIED_RUNS, EMPTIED_DONE };

struct agg_emptied {
	struct agg_emptied *next;
	struct aggregator *g;
	char *ns;
	enum emptied_state state;
	int64_t done_ns; /* monotonic */
	struct foreign_left left;
};

/* --- one question, waited for --- */

struct agg_wait {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct webhook_answer *answer;
};

static void agg_wait_done(struct webhook_answer *answer, void *ctx)
{
	struct agg_wait *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->answer = answer;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static struct webhook_answer *agg_wait_for(struct aggregator *g, struct agg_service *e, const char *method,
					   const char *path)
{
	struct agg_wait w = { .answer = NULL };
	struct webhook_answer *answer;

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.cond, NULL);
	webhook_call_unref(webhook_call(g->s, &(struct webhook_call_opts){
						  .target = e->target,
						  .body = SV(""),
						  .get = path,
						  .method = method,
						  .headers = agg_own_headers,
						  .n_headers = AGG_OWN_HEADERS,
						  .timeout_ns = AGG_TIMEOUT_NS,
						  .answer_max = AGG_ITEMS_MAX,
						  .done = agg_wait_done,
						  .ctx = &w,
					      }));
	pthread_mutex_lock(&w.lock);
	while (!w.answer) /* it comes: every call has a deadline */
		pthread_cond_wait(&w.cond, &w.lock);
	answer = w.answer;
	pthread_mutex_unlock(&w.lock);
	pthread_cond_destroy(&w.cond);
	pthread_mutex_destroy(&w.lock);
	return answer;
}

/* --- one kind --- */

/* What strangers call something, as a step of a path of ours. */
static bool path_fine(struct sv name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= 'A' && name.p[i] <= 'Z') ||
		      (name.p[i] >= '0' && name.p[i] <= '9') || (name.p[i] && strchr("-._:~", name.p[i]))))
			return false;
	return name.n > 0 && name.n <= 253 && !sv_is(name, ".") && !sv_is(name, "..");
}

struct emptying {
	struct aggregator *g;
	struct agg_service *e;
	struct foreign_left *left;
	struct arena *a;
	const char *path, *name; /* of the collection; "things.far.example.io" */
};

static void emptying_failed(struct emptying *k, const struct err *err)
{
	if (!k->left->failures++)
		buf_adds(&k->left->failure, err_msg(err));
}

/* Its items; NULL: said. What there is not, is empty. */
static const struct val *emptying_list(struct emptying *k)
{
	struct webhook_answer *answer =
	    agg_wait_for(k->g, k->e, "GET", arena_printf(k->a, "%s?limit=%d", k->path, ITEMS_MAX));
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct val *doc = NULL;

	if (answer->status == 404)
		doc = val_new_map(k->a);
	else if (answer->err.reason != ERR_NONE)
		err_copy(&why, &answer->err);
	else
		doc = json_decode(k->a, arena_sv(k->a, buf_sv(&answer->body)), NULL, &why);
	webhook_answer_free(answer);
	if (!doc)
		emptying_failed(k, &why);
	return doc;
}

static bool emptying_delete(struct emptying *k, const char *path)
{
	struct webhook_answer *answer =
	    agg_wait_for(k->g, k->e, "DELETE", arena_printf(k->a, "%s?propagationPolicy=Background", path));
	bool ok = answer->err.reason == ERR_NONE || answer->status == 404 || answer->status == 409;

	if (!ok && answer->status != 405)
		emptying_failed(k, &answer->err);
	webhook_answer_free(answer);
	return ok;
}

static void emptying_each(struct emptying *k, const struct val *items)
{
	VAL_EACH(items, o) {
		struct sv name = val_get_str(o, F_metadata, F_name);

		if (path_fine(name) && !val_get(o, F_metadata, F_deletionTimestamp))
			(void)emptying_delete(k, arena_printf(k->a, "%s/%.*s", k->path, SV_ARG(name)));
	}
}

static void emptying_remains(struct emptying *k, const struct val *items)
{
	struct foreign_left *l = k->left;

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

static void emptying_kind(struct emptying *k, bool collection)
{
	const struct val *list = emptying_list(k);

	if (!val_len(val_get(list, F_items)))
		return;
	if (!collection || !emptying_delete(k, k->path))
		emptying_each(k, val_get(list, F_items));
	list = emptying_list(k);
	emptying_remains(k, val_get(list, F_items));
}

/* --- all of them --- */

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

static void emptying_unknown(struct foreign_left *l, const struct agg_service *e, bool stale)
{
	buf_printf(&l->undiscovered, "%s%s/%s: ", l->undiscovered.n ? ", " : "", e->group, e->version);
	if (stale)
		buf_printf(&l->undiscovered, "stale GroupVersion discovery: %s/%s", e->group, e->version);
	else
		buf_adds(&l->undiscovered, "the server is currently unable to handle the request");
	l->n_undiscovered++;
}

/* seen: "resource.group" of what another version has shown already. */
static void emptying_version(struct aggregator *g, struct agg_service *e, struct sv ns, struct strmap *seen,
			     struct foreign_left *left)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *list;
	struct sv known;
	bool available;

	pthread_mutex_lock(&g->lock);
	available = e->available;
	known = arena_sv(&a, buf_sv(&e->list));
	pthread_mutex_unlock(&g->lock);
	if (!known.n) {
		emptying_unknown(left, e, false);
		return;
	}
	list = json_decode(&a, known, NULL, NULL);
	VAL_EACH(list, r) {
		struct sv plural = val_get_str(r, F_resource);
		struct emptying k = { .g = g, .e = e, .left = left, .a = &a };

		if (!kind_deletable(r) || !path_fine(plural))
			continue;
		if (!available) {
			emptying_unknown(left, e, true);
			return;
		}
		k.name = arena_printf(&a, "%.*s.%s", SV_ARG(plural), e->group);
		k.path = arena_printf(&a, "/apis/%s/%s/namespaces/%.*s/%.*s", e->group, e->version, SV_ARG(ns),
				      SV_ARG(plural));
		if (!strmap_set(seen, sv_from(k.name), seen))
			emptying_kind(&k, verbs_have(r, "deletecollection"));
	}
}

static void emptied_free(struct agg_emptied *k)
{
	foreign_left_release(&k->left);
	free(k->ns);
	free(k);
}

/* The server ends: nobody asks any more. The lock is held. */
static void emptied_give_up(struct agg_emptied *k)
{
	struct agg_emptied **at = &k->g->emptied;

	while (*at && *at != k)
		at = &(*at)->next;
	if (*at)
		*at = k->next;
	emptied_free(k);
}

static void emptied_run(void *ctx)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct agg_emptied *k = ctx;
	struct aggregator *g = k->g;
	struct agg_service **all;
	size_t n;

	pthread_mutex_lock(&g->lock);
	if (g->stopping) {
		emptied_give_up(k);
		agg_let_go(g);
		return;
	}
	g->emptying++;
	n = g->list.n;
	all = xcalloc(n + 1, sizeof(struct agg_service *));
	for (size_t i = 0; i < n; i++)
		all[i] = agg_service_ref(g->list.p[i]);
	pthread_mutex_unlock(&g->lock);
	for (size_t i = 0; i < n; i++) {
		if (!all[i]->built_in)
			emptying_version(g, all[i], sv_from(k->ns), &seen, &k->left);
		agg_service_unref(all[i]);
	}
	free(all);
	pthread_mutex_lock(&g->lock);
	k->state = EMPTIED_DONE;
	k->done_ns = env_mono_ns(g->env);
	if (g->stopping)
		emptied_give_up(k);
	g->emptying--;
	pthread_cond_broadcast(&g->idle);
	agg_let_go(g);
}

/* Where the one for ns stands; on the way those that nobody fetched are dropped. The lock is held. */
static struct agg_emptied **emptied_of(struct aggregator *g, struct sv ns)
{
	struct agg_emptied **at = &g->emptied, **found = NULL;

	while (*at) {
		struct agg_emptied *k = *at;

		if (sv_is(ns, k->ns)) {
			found = at;
		} else if (k->state == EMPTIED_DONE && k->done_ns + OUTCOME_NS < env_mono_ns(g->env)) {
			*at = k->next;
			emptied_free(k);
			continue;
		}
		at = &k->next;
	}
	return found ? found : at;
}

bool apiserver_empty_foreign(void *ctx, struct sv ns, struct foreign_left *ret)
{
	struct apiserver *s = ctx;
	struct aggregator *g = s->aggregator;
	struct agg_emptied *k, **at;
	bool done = false;

	if (!atomic_load(&g->n_remote))
		return true;
	pthread_mutex_lock(&g->lock);
	at = emptied_of(g, ns);
	k = *at;
	if (k && k->state == EMPTIED_DONE) {
		*at = k->next;
		*ret = k->left;
		k->left = (struct foreign_left){ 0 };
		emptied_free(k);
		done = true;
	} else if (!k && !g->stopping) {
		k = xcalloc(1, sizeof(*k));
		k->g = g;
		k->ns = xstrndup(ns.p, ns.n);
		*at = k;
		g->refs++;
		env_post(g->env, ENV_SLOW, emptied_run, k);
	}
	pthread_mutex_unlock(&g->lock);
	return done;
}

void agg_emptied_drop(struct aggregator *g)
{
	struct agg_emptied *next;

	for (struct agg_emptied *k = g->emptied; k; k = next) {
		next = k->next;
		if (k->state == EMPTIED_DONE) /* the others are their tasks' */
			emptied_free(k);
	}
	g->emptied = NULL;
	while (g->emptying)
		pthread_cond_wait(&g->idle, &g->lock);
}
