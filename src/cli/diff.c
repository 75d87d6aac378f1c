/* `caravel diff`: what is different between two moments of the cluster, by ?at= of its lists.
 *
 * A moment is asked for once, by the first list; what the server says that its revision is, all others are asked for.
 * So all of it is of one moment. One object that is named is read by its name at both.
 *
 * What the server cannot read and leaves out of a list (apiserver/set_aside.h) is said, and ends in status 2; it is not
 * told as created or deleted. */
#include "apiserver/set_aside.h"
#include "base/log.h"
#include "base/percent.h"
#include "base/timefmt.h"
#include "cli/admin.h"
#include "cli/agent.h"
#include "cli/diff_kinds.h"
#include "client/https.h"
#include "print/changes.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE 500

struct diff {
	struct admin adm;
	struct arena arena;
	struct string_list at, words;
	const char *ns;
	bool secrets;
	const char *moments[2]; /* of `at`; NULL: now */
	diff_kinds kinds;
	struct sv name; /* "": all */
	size_t told;
	bool failed;
	bool lacks[2];	     /* the list of that moment, of the kind that is told: some are missing */
	VEC(struct sv) said; /* warnings */
};

static void diff_release(struct diff *d)
{
	string_list_release(&d->at);
	string_list_release(&d->words);
	vec_release(&d->kinds);
	vec_release(&d->said);
	admin_release(&d->adm);
	arena_release(&d->arena);
}

/* "10m" is ten minutes ago, as the clock is here; all else the server judges. */
static const char *diff_moment(struct diff *d, const char *text)
{
	char out[TIME_TEXT_MAX];
	int64_t ago;

	if (strspn(text, "0123456789") == strlen(text) || !duration_parse(sv_from(text), &ago))
		return text;
	return arena_cstr(&d->arena, time_format(env_now_ns(d->adm.env) - ago, false, out));
}

static int diff_words(struct diff *d, struct err *err)
{
	const char *const *at = d->at.list.p, *const *w = d->words.list.p;
	const char *kind = NULL, *slash;

	if (!at || !at[0] || (at[1] && at[2]))
		return err_set(err, ERR_INVALID,
			       "--at says a moment, once or twice: a time like 2026-11-28T10:00:00Z, a revision, or "
			       "how long ago, like 10m; without the second it is now");
	if (w && w[0] && w[1] && w[2])
		return err_set(err, ERR_INVALID, "unexpected argument '%s'; 'caravel help diff' says what it takes",
			       w[2]);
	if (w && w[0]) {
		kind = w[0];
		d->name = sv_from(w[1] ? w[1] : "");
		slash = strchr(kind, '/');
		if (slash && !w[1]) {
			d->name = sv_from(slash + 1);
			kind = arena_svf(&d->arena, "%.*s", (int)(slash - kind), kind).p;
		}
	}
	if (admin_connect(&d->adm, &d->arena, "caravel-diff", err) < 0)
		return -1;
	d->moments[0] = diff_moment(d, at[0]);
	d->moments[1] = at[1] ? diff_moment(d, at[1]) : NULL;
	if (diff_kinds_find(d->adm.client, &d->arena, kind, &d->kinds, err) < 0)
		return -1;
	if (d->name.n && d->kinds.p[0].namespaced && !d->ns)
		d->ns = d->adm.k.ns ? d->adm.k.ns : "default";
	return 0;
}

/* --- lists --- */

typedef VEC(const struct val *) items;

static int item_cmp(const void *x, const void *y)
{
	const struct val *const *a = x, *const *b = y;
	int c = sv_cmp(val_get_str(*a, F_metadata, F_namespace), val_get_str(*b, F_metadata, F_namespace));

	return c ? c : sv_cmp(val_get_str(*a, F_metadata, F_name), val_get_str(*b, F_metadata, F_name));
}

/* "BASE/namespaces/NS/PLURAL" */
static void diff_path(const struct diff_kind *k, struct sv ns, struct buf *b)
{
	buf_adds(b, k->base);
	if (k->namespaced && ns.n) {
		buf_adds(b, "/namespaces/");
		percent_encode(b, ns, PERCENT_UNRESERVED);
	}
	buf_printf(b, "/%.*s", SV_ARG(k->plural));
}

struct diff_asked {
	struct diff *d;
	const struct diff_kind *k;
	int which;
};

static void diff_warned(struct sv text, void *ctx)
{
	struct diff_asked *q = ctx;
	struct diff *d = q->d;

	if (sv_find_sv(text, SV(SET_ASIDE_MISSING)) < 0)
		return;
	d->failed = d->lacks[q->which] = true;
	for (size_t i = 0; i < d->said.n; i++) /* at the other moment, or by another page */
		if (sv_eq(d->said.p[i], text))
			return;
	vec_push(&d->said, arena_sv(&d->arena, text));
	(void)cli_fail("%.*s: %.*s", SV_ARG(q->k->plural), SV_ARG(text));
}

/* *ret NULL: it was not there. */
static int diff_one(struct diff *d, struct arena *a, const struct diff_kind *k, int which, struct sv ns, struct sv name,
		    const struct val **ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct err why = ERR_INIT;
	struct val *o = NULL;

	*ret = NULL;
	diff_path(k, ns, &b);
	buf_addc(&b, '/');
	percent_encode(&b, name, PERCENT_UNRESERVED);
	if (d->moments[which]) {
		buf_adds(&b, "?at=");
		percent_encode(&b, sv_from(d->moments[which]), PERCENT_UNRESERVED);
	}
	if (client_https_document(d->adm.client, a, buf_cstr(&b), &o, &why) < 0 && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	err_release(&why);
	*ret = o;
	return 0;
}

static int diff_page(struct diff *d, struct arena *a, const struct diff_kind *k, int which, struct sv *cont, items *ret,
		     struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct diff_asked asked = { .d = d, .k = k, .which = which };
	const char **moment = &d->moments[which];
	struct val *list;
	int64_t rev;

	diff_path(k, sv_from(d->ns ? d->ns : ""), &b);
	buf_printf(&b, "?limit=%d", PAGE);
	if (cont->n) {
		buf_adds(&b, "&continue=");
		percent_encode(&b, *cont, PERCENT_UNRESERVED);
	}
	if (*moment) {
		buf_adds(&b, "&at=");
		percent_encode(&b, sv_from(*moment), PERCENT_UNRESERVED);
	}
	if (client_https_document_warned(d->adm.client, a, buf_cstr(&b), diff_warned, &asked, &list, err) < 0)
		return -1;
	VAL_EACH(val_member(list, F_items), o)
		vec_push(ret, o);
	*cont = val_get_str(list, F_metadata, F_continue);
	if (sv_to_i64(val_get_str(list, F_metadata, F_resourceVersion), &rev) && rev > 0)
		*moment = arena_printf(&d->arena, "%" PRId64, rev);
	return 0;
}

static int diff_list(struct diff *d, struct arena *a, const struct diff_kind *k, int which, items *ret, struct err *err)
{
	struct sv cont = SV("");
	const struct val *o;

	if (d->name.n) {
		if (diff_one(d, a, k, which, sv_from(d->ns ? d->ns : ""), d->name, &o, err) < 0)
			return -1;
		if (o)
			vec_push(ret, o);
		return 0;
	}
	d->lacks[which] = false;
	do {
		if (diff_page(d, a, k, which, &cont, ret, err) < 0)
			return -1;
	} while (cont.n);
	if (ret->n)
		qsort(ret->p, ret->n, sizeof(ret->p[0]), item_cmp);
	return 0;
}

/* --- told --- */

static void diff_tell(struct diff *d, struct arena *a, const struct diff_kind *k, const struct val *x,
		      const struct val *y)
{
	const struct val *o = y ? y : x, *shown_x = x, *shown_y = y;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv ns = val_get_str(o, F_metadata, F_namespace);
	bool secret = !k->group.n && sv_is(k->plural, "secrets") && !d->secrets;

	if (x && y &&
	    sv_eq(val_get_str(x, F_metadata, F_resourceVersion), val_get_str(y, F_metadata, F_resourceVersion)))
		return;
	if (!changes_any(x, y))
		return;
	if (secret) {
		shown_x = x ? changes_hide(a, x, y, " (before)") : NULL;
		shown_y = y ? changes_hide(a, y, x, " (after)") : NULL;
	}
	buf_printf(&b, "%s%c %.*s%s%.*s %.*s%s%.*s (%s)\n", d->told ? "\n" : "",
		   x && y ? '~'
		   : y	  ? '+'
			  : '-',
		   SV_ARG(k->kind), k->group.n ? "." : "", SV_ARG(k->group), SV_ARG(ns), ns.n ? "/" : "",
		   SV_ARG(val_get_str(o, F_metadata, F_name)),
		   !x	? "created"
		   : !y ? "deleted"
		   : sv_eq(val_get_str(x, F_metadata, F_uid), val_get_str(y, F_metadata, F_uid))
		       ? "changed"
		       : "deleted and created again");
	changes_print(&b, a, shown_x, shown_y);
	(void)fwrite(b.p, 1, b.n, stdout);
	d->told++;
}

/* It is in one list. Where the other one lacks some it may be one of them, of which nothing is known. */
static bool diff_is_alone(struct diff *d, struct arena *a, const struct diff_kind *k, const struct val *o, int other)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct val *there;

	return !d->lacks[other] || (diff_one(d, a, k, other, val_get_str(o, F_metadata, F_namespace),
					     val_get_str(o, F_metadata, F_name), &there, &why) == 0 &&
				    !there);
}

static void diff_merge(struct diff *d, struct arena *a, const struct diff_kind *k, const items *x, const items *y)
{
	size_t i = 0, j = 0;

	while (i < x->n || j < y->n) {
		int c = i == x->n ? 1 : j == y->n ? -1 : item_cmp(&x->p[i], &y->p[j]);

		if (c == 0 || diff_is_alone(d, a, k, c < 0 ? x->p[i] : y->p[j], c < 0))
			diff_tell(d, a, k, c <= 0 ? x->p[i] : NULL, c >= 0 ? y->p[j] : NULL);
		i += c <= 0;
		j += c >= 0;
	}
}

static int diff_kind(struct diff *d, const struct diff_kind *k, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	items x = VEC_INIT, y = VEC_INIT;
	int rc = diff_list(d, &a, k, 0, &x, err);

	if (rc == 0)
		rc = diff_list(d, &a, k, 1, &y, err);
	if (rc == 0)
		diff_merge(d, &a, k, &x, &y);
	vec_release(&x);
	vec_release(&y);
	return rc;
}

/* Of one that was not named: what has no past is no part of it, and one that he may not see is said. */
static int diff_passes(struct diff *d, const struct diff_kind *k, struct err *err)
{
	if (d->kinds.n == 1 || err->reason == ERR_EXPIRED)
		return -1;
	if (err->reason != ERR_BAD_REQUEST && err->reason != ERR_NOT_FOUND) {
		(void)cli_fail("%.*s: %s", SV_ARG(k->plural), err_msg(err));
		d->failed = true;
	}
	err_release(err);
	return 0;
}

/* Which revisions are meant, and whether there is a past so old, before many kinds are asked. */
static int diff_settle(struct diff *d, struct err *err)
{
	static const struct diff_kind namespaces = { .plural = { "namespaces", 10 }, .base = "/api/v1" };
	struct err why = ERR_INIT;
	int rc = 0;

	for (int i = 0; i < 2 && rc == 0; i++) {
		struct sv cont = SV("");
		items none = VEC_INIT;

		rc = diff_page(d, &d->arena, &namespaces, i, &cont, &none, &why);
		vec_release(&none);
	}
	if (rc < 0 && why.reason != ERR_FORBIDDEN)
		return err_move(err, &why);
	err_release(&why); /* the first that he may see does */
	return 0;
}

static int diff_run(struct diff *d, struct err *err)
{
	if (diff_words(d, err) < 0 || (d->kinds.n > 1 && diff_settle(d, err) < 0))
		return -1;
	for (size_t i = 0; i < d->kinds.n; i++) {
		const struct diff_kind *k = &d->kinds.p[i];

		if (d->ns && !k->namespaced && d->kinds.n > 1)
			continue;
		if (diff_kind(d, k, err) < 0 && diff_passes(d, k, err) < 0)
			return -1;
	}
	return 0;
}

int cmd_diff(int argc, char **argv)
{
	_cleanup_(diff_release) struct diff d = { .ns = NULL };
	const struct option table[] = {
		{ "at", 0, OPT_LIST, &d.at, "MOMENT",
		  "from when, and again: to when (now); a time, a revision, or how long ago" },
		{ "namespace", 'n', OPT_STRING, &d.ns, "NS", "only in it (all; with a NAME that of the kubeconfig)" },
		{ "show-secrets", 0, OPT_BOOL, &d.secrets, NULL, "show what Secrets hold" },
		ADMIN_WHERE(d.adm),
	};
	struct err err = ERR_INIT;
	int rc = cli_options_parse(&d.arena, table, ARRAY_LEN(table), argc, argv, NULL, &d.words, &err);

	if (rc > 0)
		return 0;
	if (rc < 0 || diff_run(&d, &err) < 0) {
		(void)cli_fail_err(&err);
		return 2;
	}
	return d.failed ? 2 : d.told > 0;
}
