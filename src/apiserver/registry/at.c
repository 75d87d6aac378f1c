/* Reads of the past: what is asked for, and one object of it. list.c has the lists. */
#include "apiserver/registry/at.h"

#include "apiserver/history/history.h"
#include "apiserver/registry/registry.h"
#include "apiserver/storekey.h"
#include "base/board.h"
#include "base/quarantine.h"
#include "base/timefmt.h"

bool at_given(const struct api_req *q)
{
	struct sv v;

	return q->n_params && api_req_param(q, "at", &v);
}

static int at_wrong(struct err *err, const char *why)
{
	return err_set(err, ERR_BAD_REQUEST, "at: %s", why);
}

static bool at_own(const struct api_req *q)
{
	for (const struct sub_handler *h = strategy_for(q->res)->subs; q->subresource.n && h && h->name; h++)
		if (sv_is(q->subresource, h->name))
			return true;
	return false;
}

bool at_refused(struct api_req *q)
{
	struct err err = ERR_INIT;

	/* What is passed on to Pods, nodes and Services has parameters of its own. */
	if (!at_given(q) || !q->res || (q->subresource.n && !q->sub) || sv_is(q->subresource, "proxy"))
		return false;
	if (user_is_of_today(&q->user))
		(void)err_set(&err, ERR_FORBIDDEN, "at: nodes have no use for the past");
	else if (q->verb == VERB_WATCH)
		(void)at_wrong(&err, "a watch tells what comes; for what was, list, or watch from a resourceVersion");
	else if (q->verb != VERB_GET && q->verb != VERB_LIST)
		(void)at_wrong(&err, "the past can be read, not written");
	else if (!resource_stored(q->res) || at_own(q))
		(void)at_wrong(&err, "only what is stored has a past, and this is made when it is asked for");
	else
		return false;
	api_req_fail(q, &err);
	return true;
}

static int at_revision(struct api_req *q, int64_t rev, struct sv text, struct err *err)
{
	int64_t now = wc_rev(q->server->wc);
	struct store_stats st;

	if (rev == 0)
		return at_wrong(err, "revisions begin at 1");
	if (rev > now)
		return err_set(err, ERR_BAD_REQUEST, "at: revision %" PRId64 " is in the future, it is %" PRId64 " now",
			       rev, now);
	store_stats(q->server->store, &st);
	if (rev < st.compact_rev)
		return history_expired(q->server->history, arena_svf(q->arena, "at: revision %.*s", SV_ARG(text)), err);
	return 1;
}

static int at_time(struct api_req *q, struct sv text, int64_t *ret, struct err *err)
{
	int64_t sec, doubt;
	unsigned ns;

	if (!time_parse_sec(text, &sec, &ns))
		return err_set(err, ERR_BAD_REQUEST,
			       "at: Invalid value: \"%.*s\": it is a revision, or a time like 2026-11-28T10:00:00Z",
			       (int)MIN(text.n, (size_t)100), text.p);
	if (history_rev_at(q->server->history, sec, ret, &doubt, err) < 0)
		return err_wrap(err, "at");
	if (doubt)
		api_req_warn(q,
			     "no server saw when revisions %" PRId64 " to %" PRId64
			     " came: this is as of the one before them, at the latest",
			     *ret + 1, doubt);
	return 1;
}

int at_read(struct api_req *q, int64_t *ret_rev, struct err *err)
{
	static const char *const others[] = { "resourceVersion", "resourceVersionMatch" };
	struct sv text, v;

	*ret_rev = 0;
	if (!q->n_params || !api_req_param(q, "at", &text))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (api_req_param(q, others[i], &v) && v.n)
			return err_set(err, ERR_BAD_REQUEST, "at: it says which moment is meant, so that %s cannot",
				       others[i]);
	if (text.n && text.p[0] >= '0' && text.p[0] <= '9' && sv_to_i64(text, ret_rev))
		return at_revision(q, *ret_rev, text, err);
	return at_time(q, text, ret_rev, err);
}

int at_failed(struct api_req *q, int64_t rev, struct err *err)
{
	if (err->reason != ERR_EXPIRED)
		return -1;
	err_release(err);
	return history_expired(q->server->history, arena_svf(q->arena, "at: revision %" PRId64, rev), err);
}

/* It is none by what its kind is today. */
static int at_unreadable(const struct resource *res, struct sv name, int64_t rev, struct err *err)
{
	return err_set(err, ERR_INTERNAL,
		       "Internal error occurred: what %s \"%.*s\" was at revision %" PRId64
		       " cannot be read by what %s are today",
		       res->plural, SV_ARG(name), rev, res->plural);
}

/* --- one object --- */

struct at_one {
	const struct resource *res;
	struct sv name;
	int64_t rev;
	struct obj *o;
	struct err why;
};

static int at_found(const struct store_kv *kv, void *ctx)
{
	struct at_one *one = ctx;

	work_key(kv->key);
	if (kv->why)
		err_set(&one->why, ERR_INTERNAL, "Internal error occurred: unable to transform key \"%.*s\": %s",
			SV_ARG(kv->key), err_msg(kv->why));
	else if (!(one->o = stored_parse(one->res, kv->value, kv->mod_rev)))
		(void)at_unreadable(one->res, one->name, one->rev, &one->why);
	return 1;
}

/* From the store, a reference; *ret NULL: there was none. */
static int at_stored(struct api_req *q, const struct resource *res, struct sv ns, struct sv name, int64_t rev,
		     struct obj **ret, struct err *err)
{
	struct sv key = storekey(q->arena, res, ns, name);
	struct at_one one = { .res = res, .name = name, .rev = rev };

	*ret = NULL;
	if (quarantine_has(key))
		return set_aside_error(q->server, res, ns, name, err);
	if (store_range(q->server->store, key, SV(""), rev, 1, at_found, &one, NULL, err) < 0)
		return at_failed(q, rev, err);
	if (one.why.reason)
		return err_move(err, &one.why);
	*ret = one.o;
	return 0;
}

int at_namespace(struct api_req *q, int64_t rev, struct err *err)
{
	_cleanup_obj_ struct obj *now = NULL, *then = NULL;

	if (!q->res->namespaced || !q->ns.n)
		return 0;
	now = wc_get(q->server->wc, RES(core_namespaces), SV(""), q->ns);
	if (!now || obj_rev(now) <= rev)
		return 0;
	if (at_stored(q, RES(core_namespaces), SV(""), q->ns, rev, &then, err) < 0)
		return -1;
	if (!then || sv_eq(obj_uid(now), obj_uid(then)))
		return 0;
	return err_set(err, ERR_EXPIRED,
		       "at: namespace \"%.*s\" of revision %" PRId64
		       " was another one, which has been deleted; who may list all namespaces finds it there",
		       SV_ARG(q->ns), rev);
}

int at_object(struct api_req *q, int64_t rev, struct obj **ret, struct err *err)
{
	struct obj *now = wc_get(q->server->wc, q->res, q->ns, q->name);

	/* It has not changed since. Of what is hidden the cache has what was there before. */
	if (now && obj_rev(now) <= rev && !set_aside_hides(q->server, q->res, q->ns, q->name)) {
		*ret = now;
		return 0;
	}
	obj_unref(now);
	*ret = NULL;
	return at_namespace(q, rev, err) < 0 ? -1 : at_stored(q, q->res, q->ns, q->name, rev, ret, err);
}
