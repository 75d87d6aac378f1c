/* LIST: from the cache when it holds the revision asked for, else from the store's history.
 *
 *	resourceVersion   resourceVersionMatch   answered from
 *	unset             -                      now (the cache is never behind)
 *	0                 - or NotOlderThan      now
 *	N                 - or NotOlderThan      now, once now >= N
 *	N                 Exact                  revision N
 *	continue token    -                      the token's revision
 *	`at` instead      -                      that revision, or the one at that time (at.h)
 *
 * list_body.c answers. */
#include "base/board.h"
#include "base/quarantine.h"
#include "apiserver/held.h"
#include "apiserver/registry/at.h"
#include "apiserver/registry/continue.h"
#include "apiserver/registry/registry.h"
#include "apiserver/set_aside.h"
#include "apiserver/storekey.h"
#include "apiserver/versions.h"
#include "object/feature.h"

#include <stdlib.h>

#define EXPIRED_CONTINUE                                                                                            \
	"The provided continue parameter is too old to display a consistent list result. You can start a new list " \
	"without the continue parameter, or use the continue token in this response to retrieve the remainder of "  \
	"the results. Continuing with the provided token results in an inconsistent list - objects that were "      \
	"created, modified, or deleted between the time the first chunk was returned and now may show up in the list."

struct list_opts {
	struct sv match, cont;
	int64_t rev, limit;
	struct sv start; /* of the token: "ns/name" */
	int64_t exact;	 /* read at this revision; 0: now */
	int64_t at;	 /* asked for by `at`; 0: it was not */
	const struct selection *sel;
};

/* Adds what the kind of a read forbids about resourceVersionMatch: all of it, as upstream does. */
static void check_match(struct field_errs *fe, struct sv match, bool watch, bool initial, struct sv rev, struct sv cont)
{
	static const char *const of_lists[] = { "Exact", "NotOlderThan", "", NULL }, *const of_watches[] = {
		"NotOlderThan", NULL
	};
	struct fpath at = FPATH_NAME(NULL, SV("resourceVersionMatch"));
	bool newer = sv_is(match, "NotOlderThan"), exact = sv_is(match, "Exact");

	if (watch && !initial)
		fe_forbidden(fe, &at,
			     "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
	if (!watch && !rev.n)
		fe_forbidden(fe, &at, "resourceVersionMatch is forbidden unless resourceVersion is provided");
	if (!watch && cont.n)
		fe_forbidden(fe, &at, "resourceVersionMatch is forbidden when continue is provided");
	if (!newer && (watch || !exact))
		fe_not_supported(fe, &at, val_new_str(fe->a, match), watch ? of_watches : of_lists);
	if (watch && cont.n)
		fe_forbidden(fe, &at, "resourceVersionMatch is forbidden when continue is provided");
	if (!watch && exact && sv_is(rev, "0"))
		fe_forbidden(fe, &at, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
}

/* Numbers are read before anything is judged, whether they matter or not. */
static int list_number(struct api_req *q, const char *name, int64_t *ret, struct err *err)
{
	struct sv v;

	*ret = 0;
	return api_req_param(q, name, &v) && v.n && !sv_to_i64(v, ret) ? err_bad_number(err, v) : 0;
}

int list_options_check(struct api_req *q, bool watch, int64_t *ret_limit, int64_t *ret_seconds, struct err *err)
{
	static const struct resource options = { .group = "meta.k8s.io", .kind = "ListOptions" };
	struct sv v, match = SV_NULL, rev = SV_NULL, cont = SV_NULL;
	bool initial = api_req_param(q, "sendInitialEvents", &v);
	struct fpath at = FPATH_NAME(NULL, SV("resourceVersionMatch")),
		     initial_at = FPATH_NAME(NULL, SV("sendInitialEvents"));
	struct field_errs fe;

	if (list_number(q, "timeoutSeconds", ret_seconds, err) < 0 || list_number(q, "limit", ret_limit, err) < 0)
		return -1;
	field_errs_init(&fe, q->arena);
	(void)api_req_param(q, "resourceVersionMatch", &match);
	(void)api_req_param(q, "resourceVersion", &rev);
	(void)api_req_param(q, "continue", &cont);
	if (watch && initial && !sv_is(match, "NotOlderThan"))
		fe_forbidden(&fe, &at, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
	if (watch && initial && !feature_on(FG_WatchList))
		fe_forbidden(&fe, &initial_at,
			     "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled");
	if (match.n)
		check_match(&fe, match, watch, initial, rev, cont);
	if (!watch && initial)
		fe_forbidden(&fe, &initial_at, "sendInitialEvents is forbidden for list");
	return field_errs_to_err(&fe, &options, SV(""), err);
}

/* A token says which moment; else it is the revision, which a limit without a rule of its own means exactly. */
static int list_moment(struct api_req *q, struct list_opts *o, struct err *err)
{
	struct sv rev = SV_NULL;

	if (at_read(q, &o->at, err) < 0)
		return -1;
	(void)api_req_param(q, "resourceVersion", &rev);
	if (o->cont.n) {
		struct continue_at at;

		if (continue_read(q->arena, q->res, q->ns, o->cont, &at, err) < 0)
			return -1;
		if (rev.n && !sv_is(rev, "0"))
			return err_set(err, ERR_BAD_REQUEST,
				       "specifying resource version is not allowed when using continue");
		if (o->at && at.rev != o->at)
			return err_set(err, ERR_BAD_REQUEST,
				       "at: the continue token is of revision %" PRId64
				       ", and this is another: %" PRId64,
				       at.rev, o->at);
		o->exact = at.rev;
		o->start = at.start;
		return 0;
	}
	if (o->at) {
		o->exact = o->at;
		return 0;
	}
	if (!list_rev_parse(rev, &o->rev)) {
		(void)err_bad_rev(err, rev);
		return err_wrap(err, "invalid resource version");
	}
	if (sv_is(o->match, "Exact") || (o->limit && o->rev > 0 && !o->match.n))
		o->exact = o->rev;
	else if (rev.n && o->rev == 0)
		o->limit = 0; /* served whole from memory, as upstream's watch cache does */
	return 0;
}

static int list_parse_opts(struct api_req *q, struct list_opts *o, struct err *err)
{
	struct selection_words words = selection_words(q);
	int64_t seconds;

	if (list_options_check(q, false, &o->limit, &seconds, err) < 0)
		return -1;
	(void)api_req_param(q, "resourceVersionMatch", &o->match);
	(void)api_req_param(q, "continue", &o->cont);
	o->limit = MAX(o->limit, 0);
	if (list_moment(q, o, err) < 0 || selection_make(q->arena, q->res, &words, &o->sel, err) < 0)
		return -1;
	if (o->sel && o->sel->shards)
		q->shard = o->sel->shards->words;
	return 0;
}

/* --- reading the past --- */

/* What has not changed since is the cache's own object: both are in the order of keys. So a list of the past costs what
 * is different now. */
struct past {
	struct api_req *q;
	const struct list_opts *o;
	struct wc_list *out;
	size_t cap, bytes;
	struct wc_pick now;
	struct objpick_at at;
	struct obj *next;  /* of now, NULL: none is left */
	size_t key_prefix; /* bytes before a key's namespace */
	struct err why;	   /* something cannot be opened */
	struct aside_missing missing;
};

/* It is none by what its kind is today, or ended the server: left out as it is of a list of now, and said as there. A
 * list that is about one other name has nothing to say of it. */
static void past_leave_out(struct past *p, struct sv key)
{
	struct sv ns, name, pinned = p->o->sel ? p->o->sel->pinned_name : SV_NULL;

	storekey_split(p->q->res, sv_sub(key, p->key_prefix, key.n), &ns, &name);
	if (p->o->at && (!pinned.p || sv_eq(name, pinned)))
		set_aside_add_missing(&p->missing, key);
}

/* A reference on the object that kv is the text of, where it is still current. */
static struct obj *past_still(struct past *p, const struct store_kv *kv)
{
	struct sv ns, name;
	int c = -1;

	storekey_split(p->q->res, sv_sub(kv->key, p->key_prefix, kv->key.n), &ns, &name);
	while (p->next && (c = objtree_cmp(p->next, ns, name)) < 0)
		p->next = objpick_next(&p->now.objs, &p->at);
	return p->next && c == 0 && obj_rev(p->next) == kv->mod_rev ? obj_ref(p->next) : NULL;
}

static int past_one(const struct store_kv *kv, void *ctx)
{
	struct past *p = ctx;
	struct obj *o;
	bool still;
	bool full = p->o->limit && p->out->n == (size_t)p->o->limit;

	if (quarantine_has(kv->key)) {
		past_leave_out(p, kv->key);
		return 0;
	}
	if (kv->why) {
		err_set(&p->why, ERR_INTERNAL, "Internal error occurred: unable to transform key \"%.*s\": %s",
			SV_ARG(kv->key), err_msg(kv->why));
		return 1;
	}
	if (full && !p->o->sel) {
		p->out->more = true;
		p->out->remaining++;
		return 0;
	}
	work_key(kv->key);
	o = past_still(p, kv);
	still = o != NULL;
	if (!o)
		o = stored_parse(p->q->res, kv->value, kv->mod_rev);
	if (!o) {
		past_leave_out(p, kv->key);
		return 0;
	}
	if (full || !selection_matches(p->o->sel, o)) {
		p->out->more = selection_matches(p->o->sel, o);
		obj_unref(o);
		return p->out->more; /* as of what is in memory: when there is one more */
	}
	if (p->out->n == p->cap) {
		struct obj **more = arena_alloc(p->q->arena, (p->cap ? p->cap * 2 : 64) * sizeof(*more));

		if (p->out->n)
			memcpy(more, p->out->objs, p->out->n * sizeof(*more));
		p->out->objs = more;
		p->cap = p->cap ? p->cap * 2 : 64;
	}
	p->out->objs[p->out->n++] = o;
	p->bytes += still ? 0 : obj_bytes(o);
	return 0;
}

static int read_past(struct api_req *q, const struct list_opts *o, struct wc_pick *ret, struct err *err)
{
	struct wc_list found = { .remaining = 0, .rev = o->exact }, *out = &found;
	struct past p = { .q = q, .o = o, .out = out };
	struct sv from, to;
	int64_t rev;
	int rc;

	/* Of what it may list whole it may go on with the pages. */
	if (user_is_of_today(&q->user) && o->sel && o->sel->pinned_name.p)
		return err_set(err, ERR_EXPIRED, "a node is not told what had a name before");
	if (at_namespace(q, o->exact, err) < 0)
		return -1;
	from = storekey_first(q->arena, q->res, q->ns);
	to = storekey_behind(q->arena, from);
	if (o->start.n)
		from = storekey_at(q->arena, q->res, o->start);
	p.key_prefix = storekey_first(q->arena, q->res, SV("")).n;
	(void)wc_pick(q->server->wc, q->res, q->ns, NULL, SV_NULL, 0, 0, q->arena, &p.now);
	p.next = objpick_next(&p.now.objs, &p.at);
	rc = store_range(q->server->store, from, to, o->exact, 0, past_one, &p, &rev, err);
	wc_pick_release(&p.now);
	if (rc < 0 && o->at)
		(void)at_failed(q, o->at, err);
	if (p.why.reason)
		rc = err_move(err, &p.why);
	if (rc < 0) {
		buf_release(&p.missing.keys);
		wc_list_unref(out);
		return -1;
	}
	set_aside_warn_missing(q, &p.missing);
	/* Nobody else has the objects that are counted. */
	arena_defer(q->arena, held_give, held_take(q, p.bytes));
	*ret = (struct wc_pick){ .rev = rev, .more = out->more, .remaining = -1 };
	if (out->more && !o->sel)
		ret->remaining = out->remaining;
	objpick_of(&ret->objs, out->objs, out->n, q->arena);
	return 0;
}

/* --- answering --- */

static void answer_expired(struct api_req *q, const struct list_opts *o)
{
	struct err err = ERR_INIT;
	struct val *st;

	err_set(&err, ERR_EXPIRED, "%s", EXPIRED_CONTINUE);
	if (!q->http && !q->sink->stream_begin) {
		api_req_fail(q, &err);
		return;
	}
	st = status_failure(q->arena, &err);
	err_release(&err);
	val_set_str(q->arena, val_ensure_map(q->arena, st, F_metadata), F_continue,
		    continue_now(q->arena, q->res, q->ns, o->start));
	answer_doc(q, 410, st);
}

static void list_woken(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;

	(void)ctx;
	if (req_woken(q, &err) < 0)
		api_req_fail(q, &err);
	else
		registry_list(q);
}

/* May say REQ_LATER: nothing has been read then. */
static int list_past(struct api_req *q, const struct list_opts *o, struct wc_pick *out, struct err *err)
{
	const struct req_plugins *p = q->server->plugins;
	int rc = p && p->history ? p->history(q, err, p->ctx) : 0;

	return rc ? rc : read_past(q, o, out, err);
}

/* In the version that is asked for. Takes what is picked. then: read_past() has said what is missing. */
static void list_send(struct api_req *q, struct wc_pick *l, const struct selection *sel, bool then)
{
	struct sv cont = SV_NULL;

	if (l->more && l->objs.n) {
		struct obj *last = objpick_last(&l->objs);

		cont = continue_behind(
		    q->arena, q->res, q->ns, l->rev,
		    q->res->namespaced ? arena_svf(q->arena, "%.*s/%.*s", SV_ARG(obj_ns(last)), SV_ARG(obj_name(last)))
				       : obj_name(last));
	}
	if (!then)
		set_aside_warn(q, sel ? sel->pinned_name : SV_NULL);
	list_answer_pick(q, q->res, &l->objs, l->rev, cont, l->remaining);
}

/* A list on which there is still something to be done. */
struct selecting {
	struct wc_pick l;
	const struct selection *sel;
	struct obj **objs; /* of which views are made: references */
	size_t n;
	struct views views;
	bool then;
};

static void list_seen(struct api_req *q, struct views *v, struct err *err, void *ctx)
{
	struct selecting *s = ctx;

	(void)v;
	if (!err) {
		objpick_of(&s->l.objs, s->objs, s->n, q->arena);
		list_send(q, &s->l, s->sel, s->then);
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		obj_unref(s->objs[i]);
	api_req_fail(q, err);
}

static void list_done(struct api_req *q, struct wc_pick *l, const struct selection *sel, bool then)
{
	struct objpick_at at = { 0 };
	struct selecting *s;

	if (!views_needed(q->res)) {
		list_send(q, l, sel, then);
		return;
	}
	s = ARENA_NEW(q->arena, struct selecting);
	*s = (struct selecting){ .l = *l, .sel = sel, .then = then };
	s->objs = ARENA_ARRAY(q->arena, struct obj *, l->objs.n + 1);
	for (struct obj *o; (o = objpick_next(&l->objs, &at));)
		s->objs[s->n++] = obj_ref(o);
	objpick_release(&s->l.objs);
	views_init(&s->views, q, q->res, s->objs, s->n);
	views_then(&s->views, list_seen, s);
}

/* A piece, and back to the end of the user's queue: others have their turn between. */
static void list_select(struct api_req *q, void *ctx)
{
	struct selecting *s = ctx;
	struct err err = ERR_INIT;

	if (req_over(q, &err) < 0) {
		wc_pick_release(&s->l);
		api_req_fail(q, &err);
	} else if (wc_pick_select(&s->l)) {
		req_go(q, list_select, s);
	} else {
		list_done(q, &s->l, s->sel, false);
	}
}

/* l is from memory. */
static void list_memory(struct api_req *q, const struct list_opts *o, struct wc_pick *l)
{
	struct selecting *s;

	if (!wc_pick_select(l)) {
		list_done(q, l, o->sel, false);
		return;
	}
	s = ARENA_NEW(q->arena, struct selecting);
	*s = (struct selecting){ .l = *l, .sel = o->sel };
	list_select(q, s);
}

void registry_list(struct api_req *q)
{
	struct apiserver *s = q->server;
	struct list_opts o = { 0 };
	struct err err = ERR_INIT;
	struct wc_pick l;
	int rc;

	if (list_parse_opts(q, &o, &err) < 0)
		goto failed;
	if (MAX(o.rev, o.exact) >
	    wc_rev(s->wc)) { /* also a continue token's, as upstream's watch cache waits for that */
		wait_for_rev(q, MAX(o.rev, o.exact), registry_list, api_req_fail);
		return;
	}
	if (set_aside_blocked(s, q->res, q->ns, &err) < 0)
		goto failed;
	if (wc_pick(s->wc, q->res, q->ns, o.sel, o.start, (size_t)o.limit, o.exact, q->arena, &l)) {
		if (set_aside_blocked(s, q->res, q->ns, &err) < 0) { /* meanwhile: something may be missing from it */
			wc_pick_release(&l);
			goto failed;
		}
		list_memory(q, &o, &l);
		return;
	}
	/* The kind has been replaced by one that writes what this one cannot read. */
	if (!o.exact && api_req_kind_anew(q)) {
		registry_list(q);
		return;
	}
	rc = list_past(q, &o, &l, &err);
	if (rc == REQ_LATER) {
		if (req_park(q, list_woken, NULL))
			list_woken(q, NULL);
		return;
	}
	if (rc < 0) {
		if (err.reason == ERR_EXPIRED && o.at)
			goto failed;
		if (err.reason == ERR_EXPIRED && o.cont.n) {
			err_release(&err);
			answer_expired(q, &o);
			return;
		}
		if (err.reason == ERR_EXPIRED) {
			err_release(&err);
			err_set(&err, ERR_EXPIRED, "The resourceVersion for the provided list is too old.");
		}
		goto failed;
	}
	list_done(q, &l, o.sel, o.at != 0);
	return;
failed:
	api_req_fail(q, &err);
}
