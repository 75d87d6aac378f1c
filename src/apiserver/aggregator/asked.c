/* What controllers ask of other servers, and what kinds those have: for the garbage collector, whose graph has their
 * objects, too.
 *
 *	asked ─▶ call ─▶ done: told to who asks again ─▶ dropped
 *
 * Nobody waits: the call is made at once, or there is no answer at once, and its coming wakes who asked (waits.c).
 * What was said of an object is kept some seconds, or until it is written to, so that who needs several answers for one
 * decision comes to have them all, and for that decision alone; of anything else once.
 *
 * There are ASKED_MAX calls at a time, and ASKED_OTHERS_MAX more that are not of the many objects that have owners
 * there, so that lists and writes do not wait behind those. Answers are up to ASKED_ANSWERS_MAX, of ASKED_ANSWERS_BYTES
 * and the last one. Those that were told go first; one that was not makes no room for the next object's, or of more
 * askers than there is room for none would ever find its own. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "client/foreign.h"
#include "codec/json.h"

#include <stdlib.h>

#define ASKED_MAX ((size_t)64)
#define ASKED_OTHERS_MAX ((size_t)16)
#define ASKED_ANSWERS_MAX ((size_t)1000)
#define ASKED_ANSWERS_BYTES ((size_t)32 * 1024 * 1024)
#define ASKED_BYTES ((size_t)256 * 1024) /* of an object's metadata */
#define ASKED_WROTE_NS (60 * NS_PER_SEC) /* so long it is known what became of a write */
#define ASKED_KINDS_MAX 500
#define ASKED_AGAIN_NS (200 * NS_PER_MS) /* until who was woken has asked */

static const char asked_unable[] = "the server is currently unable to handle the request";

struct agg_asked {
	struct aggregator *g;
	char *key, *path, *account;
	struct agg_service *e;
	bool list, once, done, dropped; /* once: told to one */
	struct list at;			/* of the answers, when done */
	struct list waits;		/* who is told that it is; until then */
	int64_t done_ns;
	int status;
	struct buf body;
};

static void agg_asked_free(void *p)
{
	struct agg_asked *k = p;

	agg_waits_drop(&k->waits);
	agg_service_unref(k->e);
	buf_release(&k->body);
	free(k->key);
	free(k->path);
	free(k->account);
	free(k);
}

void agg_asked_init(struct aggregator *g)
{
	list_init(&g->asked_news);
	list_init(&g->asked_told);
	list_init(&g->hungry);
}

/* It is in no map any more. The lock is held. */
static void asked_end(struct agg_asked *k)
{
	if (!k->done) {
		k->dropped = true; /* it is its call's */
		if (k->g->stopping)
			agg_waits_drop(&k->waits);
		agg_waits_wake(&k->waits); /* they ask anew */
		return;
	}
	list_del(&k->at);
	k->g->n_answers--;
	k->g->answer_bytes -= k->body.n;
	agg_asked_free(k);
}

/* The lock is held. */
static void asked_forget(struct agg_asked *k)
{
	(void)strmap_del(&k->g->asked, sv_from(k->key));
	asked_end(k);
}

void agg_asked_drop(struct aggregator *g)
{
	agg_hungry_drop(g);
	STRMAP_EACH(&g->asked, e)
		asked_end(e->value);
	strmap_release(&g->asked);
}

static struct agg_asked *asked_first(const struct list *l)
{
	return list_empty(l) ? NULL : LIST_ENTRY(l->next, struct agg_asked, at);
}

/* What was said of an object that is written to is not so any more, whoever asked. The lock is held. */
static void asked_written(struct aggregator *g, const char *account, const char *path)
{
	VEC(struct agg_asked *) about = VEC_INIT;

	STRMAP_EACH(&g->asked, e) {
		struct agg_asked *k = e->value;

		if (!k->once && strcmp(k->account, account) == 0 && strcmp(k->path, path) == 0)
			vec_push(&about, k);
	}
	for (size_t i = 0; i < about.n; i++)
		asked_forget(about.p[i]);
	vec_release(&about);
}

/* Room for k's answer among the bytes, at the cost of the oldest. The lock is held. */
static void asked_fit(struct aggregator *g, const struct agg_asked *k)
{
	while (g->answer_bytes > ASKED_ANSWERS_BYTES) {
		struct agg_asked *old = asked_first(&g->asked_told);

		old = old ? old : asked_first(&g->asked_news);
		if (old == k)
			break;
		asked_forget(old);
	}
}

static bool asked_old(const struct agg_asked *k)
{
	int64_t age = env_mono_ns(k->g->env) - k->done_ns;

	return k->done && age >= (k->once && !k->list ? ASKED_WROTE_NS : FOREIGN_KEPT_NS);
}

/* Those at the front that are too old to be told. The lock is held. */
static void asked_expire(struct aggregator *g)
{
	struct agg_asked *old;

	while ((old = asked_first(&g->asked_told)) && asked_old(old))
		asked_forget(old);
	while ((old = asked_first(&g->asked_news)) && asked_old(old))
		asked_forget(old);
}

static void asked_go_on(void *ctx);

/* There is room for more. Some that are woken have no question any more: where few are on their way, two come for one,
 * where none is, as many as there is room for, and while none comes the next ones. The lock is held. */
static void asked_next(struct aggregator *g)
{
	agg_hungry_wake(g, !g->n_asking ? ASKED_MAX : g->n_asking < ASKED_MAX / 2 ? 2 : 1);
	if (g->n_asking || list_empty(&g->hungry) || g->hungry_timer || g->stopping)
		return;
	g->refs++;
	g->hungry_timer = env_after(g->env, ENV_REQUESTS, ASKED_AGAIN_NS, asked_go_on, g);
}

static void asked_go_on(void *ctx)
{
	struct aggregator *g = ctx;

	pthread_mutex_lock(&g->lock);
	g->hungry_timer = env_timer_cancel(g->env, g->hungry_timer);
	asked_expire(g);
	if (!g->n_asking && !g->stopping)
		asked_next(g);
	agg_let_go(g);
}

void agg_asked_stop(struct aggregator *g)
{
	if (g->hungry_timer && env_timer_stop(g->env, g->hungry_timer))
		g->refs--;
	g->hungry_timer = NULL;
}

/* On the network's thread. */
static void asked_answered(struct webhook_answer *answer, void *ctx)
{
	struct agg_asked *k = ctx;
	struct aggregator *g = k->g;

	pthread_mutex_lock(&g->lock);
	g->n_asking--;
	k->status = answer->status;
	if (answer->err.reason == ERR_NONE) {
		k->body = answer->body;
		answer->body = (struct buf)BUF_INIT;
	} else {
		buf_adds(&k->body, err_msg(&answer->err));
	}
	if (answer->late)
		agg_leave_alone(g, k->e);
	if (k->once && !k->list)
		asked_written(g, k->account, k->path);
	if (k->dropped) {
		agg_asked_free(k);
	} else {
		k->done = true;
		k->done_ns = env_mono_ns(g->env);
		list_add_tail(&g->asked_news, &k->at);
		g->n_answers++;
		g->answer_bytes += k->body.n;
		agg_waits_wake(&k->waits);
		asked_fit(g, k);
	}
	asked_next(g);
	agg_let_go(g);
	webhook_answer_free(answer);
}

/* May one more be asked? The lock is held. */
static bool asked_room(struct aggregator *g, bool object)
{
	if (g->n_asking >= ASKED_MAX + (object ? 0 : ASKED_OTHERS_MAX))
		return false;
	while (g->n_answers + g->n_asking >= ASKED_ANSWERS_MAX) {
		struct agg_asked *old = asked_first(&g->asked_told);

		if (!old && object)
			return false;
		asked_forget(old ? old : asked_first(&g->asked_news));
	}
	return true;
}

static bool asked_none(struct foreign_answer *ret, const char *why)
{
	ret->status = 0;
	buf_adds(&ret->body, why);
	return true;
}

/* NULL: it has steps that are no names. */
static char *asked_path(const struct foreign_question *q)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!agg_step_fine(sv_from(q->plural)) || (q->ns.n && !agg_step_fine(q->ns)) ||
	    (q->name.n && !agg_step_fine(q->name)) || (q->name.n && q->namespaced && !q->ns.n))
		return NULL;
	buf_printf(&b, "/apis/%s/%s/", q->group, q->version);
	if (q->namespaced && q->ns.n)
		buf_printf(&b, "namespaces/%.*s/", SV_ARG(q->ns));
	buf_printf(&b, "%s%s%.*s", q->plural, q->name.n ? "/" : "", SV_ARG(q->name));
	return xstrdup(buf_cstr(&b));
}

static void asked_call(struct agg_asked *k, const struct foreign_question *q, const char *path)
{
	static const char metadata[] = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
			  list[] = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
	_cleanup_free_ char *user = xasprintf("system:serviceaccount:kube-system:%s", q->account);
	const struct http_header headers[] = {
		{ SV("accept"), sv_from(k->list ? list : metadata) },
		{ SV("user-agent"), sv_from(q->account) },
		{ SV("x-remote-user"), sv_from(user) },
		{ SV("x-remote-group"), SV("system:serviceaccounts") },
		{ SV("x-remote-group"), SV("system:serviceaccounts:kube-system") },
		{ SV("x-remote-group"), SV("system:authenticated") },
		{ SV("content-type"), strcmp(q->method, "PATCH") == 0
					  ? SV("application/merge-patch+json")
					  : SV("application/json") }, /* where there is a body */
	};

	webhook_call_unref(webhook_call(k->g->s, &(struct webhook_call_opts){
						     .target = k->e->target,
						     .body = q->body,
						     .get = path,
						     .method = q->method,
						     .headers = headers,
						     .n_headers = ARRAY_LEN(headers) - !q->body.n,
						     .timeout_ns = AGG_TIMEOUT_NS,
						     .answer_max = k->list ? AGG_ITEMS_MAX : ASKED_BYTES,
						     .done = asked_answered,
						     .ctx = k,
						 }));
}

/* Who answers for it now; a reference, or NULL: nobody does. The lock is held. */
static struct agg_service *asked_whom(struct aggregator *g, const struct foreign_question *q)
{
	for (size_t i = 0; i < g->list.n; i++) {
		struct agg_service *e = g->list.p[i];

		if (!e->built_in && strcmp(e->group, q->group) == 0 && strcmp(e->version, q->version) == 0)
			return e->available && env_mono_ns(g->env) >= e->left_alone_ns ? agg_service_ref(e) : NULL;
	}
	return NULL;
}

/* k is told. The lock is held. */
static void asked_tell(struct agg_asked *k, struct foreign_answer *ret)
{
	struct aggregator *g = k->g;

	ret->status = k->status;
	if (k->once) {
		g->answer_bytes -= k->body.n;
		ret->body = k->body;
		k->body = (struct buf)BUF_INIT;
		asked_forget(k);
	} else {
		buf_addsv(&ret->body, buf_sv(&k->body));
		list_del(&k->at);
		list_add_tail(&g->asked_told, &k->at);
	}
	if (g->n_asking < ASKED_MAX)
		agg_hungry_wake(g, 1); /* that makes room, where answers took it */
}

bool apiserver_ask_foreign(void *ctx, const struct foreign_question *q, struct foreign_answer *ret)
{
	struct apiserver *s = ctx;
	struct aggregator *g = s->aggregator;
	_cleanup_free_ char *path = asked_path(q), *key = NULL;
	struct agg_service *e = NULL;
	struct agg_asked *k;
	bool told = false, object = q->name.n && strcmp(q->method, "GET") == 0;

	if (!path || !atomic_load(&g->n_remote))
		return asked_none(ret, path ? asked_unable : "it has no name that a path can have");
	key = xasprintf("%s %s %s %.*s %.*s", q->account, q->method, path, SV_ARG(q->of), SV_ARG(q->body));
	pthread_mutex_lock(&g->lock);
	asked_expire(g);
	k = strmap_get(&g->asked, sv_from(key));
	if (k && asked_old(k)) {
		asked_forget(k);
		k = NULL;
	}
	if (k && k->done) {
		asked_tell(k, ret);
		told = true;
	}
	if (k && !told && !g->stopping)
		agg_wait(&k->waits, &q->who);
	if (k || g->stopping || !asked_room(g, object)) {
		if (!k && !g->stopping)
			agg_hungry(g, &q->who);
		pthread_mutex_unlock(&g->lock);
		return told;
	}
	e = asked_whom(g, q);
	if (!e) {
		pthread_mutex_unlock(&g->lock);
		return asked_none(ret, asked_unable);
	}
	k = xcalloc(1, sizeof(*k));
	k->g = g;
	k->e = e;
	list_init(&k->waits);
	agg_wait(&k->waits, &q->who);
	k->key = TAKE(key);
	k->list = !q->name.n;
	k->once = !object;
	k->path = xstrdup(path);
	k->account = xstrdup(q->account);
	if (k->once && !k->list)
		asked_written(g, q->account, path);
	strmap_set(&g->asked, sv_from(k->key), k);
	g->n_asking++;
	g->refs++;
	pthread_mutex_unlock(&g->lock);
	asked_call(k, q, path);
	return false;
}

/* --- kinds --- */

static bool asked_verb(const struct val *r, const char *verb)
{
	VAL_EACH(val_get(r, F_verbs), v)
		if (val_is(v, verb))
			return true;
	return false;
}

struct asked_kinds {
	struct strmap seen; /* "plural.group" */
	void (*fn)(const struct foreign_kind *k, void *fn_ctx);
	void *fn_ctx;
};

static void asked_kinds_of(struct asked_kinds *l, const struct agg_service *e, struct sv list)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	VAL_EACH(json_decode(&a, list, NULL, NULL), r) {
		struct sv plural = val_get_str(r, F_resource), kind = val_get_str(r, F_responseKind, F_kind);
		struct foreign_kind k = { .group = e->group,
					  .version = e->version,
					  .namespaced = val_is(val_get(r, F_scope), "Namespaced"),
					  .gets = asked_verb(r, "get"),
					  .lists = asked_verb(r, "list"),
					  .watches = asked_verb(r, "watch"),
					  .deletes = asked_verb(r, "delete") };

		if (!agg_step_fine(plural) || !agg_step_fine(kind) || l->seen.n >= ASKED_KINDS_MAX ||
		    strmap_set(&l->seen, arena_svf(&a, "%.*s.%s", SV_ARG(plural), e->group), l))
			continue;
		k.plural = arena_cstr(&a, plural);
		k.kind = arena_cstr(&a, kind);
		l->fn(&k, l->fn_ctx);
	}
}

static int asked_order(const void *x, const void *y)
{
	const struct agg_service *a = *(struct agg_service *const *)x, *b = *(struct agg_service *const *)y;
	int c = strcmp(a->group, b->group);

	if (!c && a->version_priority != b->version_priority)
		return a->version_priority > b->version_priority ? -1 : 1;
	return c ? c : strcmp(a->version, b->version);
}

bool apiserver_kinds_foreign(void *ctx, void (*fn)(const struct foreign_kind *k, void *fn_ctx), void *fn_ctx)
{
	struct apiserver *s = ctx;
	struct aggregator *g = s->aggregator;
	struct asked_kinds l = { .fn = fn, .fn_ctx = fn_ctx };
	struct agg_service **all;
	bool whole = true;
	size_t n;

	if (!atomic_load(&g->n_remote))
		return true;
	pthread_mutex_lock(&g->lock);
	n = g->list.n;
	all = xcalloc(n + 1, sizeof(struct agg_service *));
	for (size_t i = 0; i < n; i++)
		all[i] = agg_service_ref(g->list.p[i]);
	pthread_mutex_unlock(&g->lock);
	qsort(all, n, sizeof(struct agg_service *), asked_order);
	for (size_t i = 0; i < n; i++) {
		struct buf list = BUF_INIT;

		pthread_mutex_lock(&g->lock);
		if (all[i]->available && all[i]->list.n)
			buf_addsv(&list, buf_sv(&all[i]->list));
		pthread_mutex_unlock(&g->lock);
		whole = whole && (list.n || all[i]->built_in);
		if (list.n && !all[i]->built_in)
			asked_kinds_of(&l, all[i], buf_sv(&list));
		buf_release(&list);
		agg_service_unref(all[i]);
	}
	free(all);
	strmap_release(&l.seen);
	return whole;
}
