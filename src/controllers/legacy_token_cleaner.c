/* legacy token cleaner: tokens of Secrets that nobody has used for a year are first refused, then deleted.
 *
 *	unused for a year ──▶ label kubernetes.io/legacy-token-invalid-since ──another year──▶ deleted
 *
 * The API server refuses a token whose Secret has that label (apiserver/authn/sa_token.c) and writes the day of each
 * use beside it; whoever still needs one takes the label off. Only what the cluster once made by itself is cleaned up:
 * such a Secret is listed by its account, one that somebody made is not. What a pod names is in use, whatever its label
 * says.
 *
 * Once a day all are looked at; nothing happens before uses have been noted for a year (the ConfigMap of the API server
 * says since when), as an unused one and one whose use nobody noted look the same. */
#include "base/strmap.h"
#include "base/timefmt.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/podutil.h"
#include "object/legacy_token.h"
#include "object/pod_refs.h"

#include <stdlib.h>

#define DAY_NS (86400 * NS_PER_SEC)
#define UNUSED_NS (365 * DAY_NS)

struct legacy_cleaner {
	struct controller_ctx *ctx;
	struct informer *accounts, *pods, *secrets;
	struct workq *q;
};

/* One look at everything. */
struct legacy_sweep {
	struct legacy_cleaner *c;
	int64_t before_ns; /* what was made or used since then stays */
	struct sv before;  /* that day */
	struct sv today;
	struct strmap named; /* "ns/name" of Secrets that pods name; no values that matter */
	struct sv ns;	     /* of the pod being looked at */
	struct err err;	     /* the first failure; the others are looked at all the same */
};

static int64_t legacy_period(const struct legacy_cleaner *c)
{
	return c->ctx->opts->legacy_token_ns ? c->ctx->opts->legacy_token_ns : UNUSED_NS;
}

static void legacy_pod_ref(enum pod_ref ref, struct sv name, void *ctx)
{
	struct legacy_sweep *w = ctx;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (ref != POD_REF_SECRET)
		return;
	buf_printf(&b, "%.*s/%.*s", SV_ARG(w->ns), SV_ARG(name));
	strmap_set(&w->named, buf_sv(&b), w);
}

static int legacy_pod(struct obj *pod, void *ctx)
{
	struct legacy_sweep *w = ctx;

	w->ns = obj_ns(pod);
	pod_refs_each(obj_root(pod), legacy_pod_ref, w);
	return 0;
}

static bool legacy_named(const struct legacy_sweep *w, const struct obj *secret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "%.*s/%.*s", SV_ARG(obj_ns(secret)), SV_ARG(obj_name(secret)));
	return strmap_has(&w->named, buf_sv(&b));
}

/* Made with its account, by the cluster. */
static bool legacy_generated(const struct legacy_cleaner *c, const struct obj *secret)
{
	struct sv uid = annotation_of(obj_root(secret), LEGACY_TOKEN_ACCOUNT_UID);
	_cleanup_obj_ struct obj *account =
	    informer_lookup(c->accounts, obj_ns(secret), annotation_of(obj_root(secret), LEGACY_TOKEN_ACCOUNT));

	return account && (!uid.n || sv_eq(uid, obj_uid(account))) &&
	       legacy_token_generated(obj_root(account), obj_name(secret));
}

/* Without a label it was not used since uses are noted; with one that is no day nobody knows. */
static bool legacy_unused(const struct legacy_sweep *w, const struct obj *secret)
{
	struct sv used = label_of(obj_root(secret), LEGACY_TOKEN_LAST_USED);
	bool labelled = val_member_sv(obj_labels(secret), SV(LEGACY_TOKEN_LAST_USED)) != NULL;
	int64_t made, t;

	if (!time_parse(val_str(obj_get(secret, F_metadata, F_creationTimestamp)), &made) || made >= w->before_ns)
		return false;
	return !labelled || (date_parse(used, &t) && sv_cmp(used, w->before) < 0);
}

static int legacy_mark(const struct legacy_sweep *w, const struct obj *secret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_map(&a), *meta = val_set_map(&a, doc, F_metadata);

	val_set_str(&a, meta, F_uid, obj_uid(secret));
	val_set_str_sv(&a, val_set_map(&a, meta, F_labels), SV(LEGACY_TOKEN_INVALID_SINCE), w->today);
	return client_patch(w->c->ctx->client, RES(core_secrets), obj_ns(secret), obj_name(secret), PATCH_MERGE, doc,
			    NULL, NULL, err);
}

/* Only as it was looked at: a use, or somebody who takes the mark off, makes another version. */
static int legacy_delete(const struct legacy_sweep *w, const struct obj *secret, struct err *err)
{
	struct client_delete_opts o = CLIENT_DELETE_OPTS;

	o.precondition_rev = obj_rev(secret);
	return client_delete(w->c->ctx->client, RES(core_secrets), obj_ns(secret), obj_name(secret), &o, err);
}

static void legacy_secret(struct legacy_sweep *w, const struct obj *secret)
{
	struct sv since = label_of(obj_root(secret), LEGACY_TOKEN_INVALID_SINCE);
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t t;
	int rc = 0;

	if (!val_is(obj_get(secret, F_type), LEGACY_TOKEN_TYPE) || obj_deleting(secret) || !legacy_unused(w, secret) ||
	    !legacy_generated(w->c, secret) || legacy_named(w, secret))
		return;
	if (!date_parse(since, &t))
		rc = legacy_mark(w, secret, &why);
	else if (sv_cmp(since, w->before) < 0)
		rc = legacy_delete(w, secret, &why);
	if (rc < 0 && why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT && w->err.reason == ERR_NONE)
		err_move(&w->err, &why);
}

/* The moment from which on the notes are complete: the end of the day they began on. INT64_MAX: nobody says so yet. */
static int legacy_tracked_since(struct legacy_cleaner *c, int64_t *ret_ns, struct err *err)
{
	_cleanup_obj_ struct obj *o = NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;

	*ret_ns = INT64_MAX;
	if (client_get(c->ctx->client, RES(core_configmaps), SV(LEGACY_TOKEN_TRACKING_NS), SV(LEGACY_TOKEN_TRACKING),
		       &o, &why) < 0)
		return why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	if (date_parse(val_str(val_member_sv(obj_get(o, F_data), SV(LEGACY_TOKEN_TRACKING_SINCE))), ret_ns))
		*ret_ns += DAY_NS;
	else
		*ret_ns = INT64_MAX;
	return 0;
}

static int legacy_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct legacy_cleaner *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t now = env_now_ns(c->ctx->env), since;
	struct legacy_sweep w = { .c = c, .before_ns = now - legacy_period(c) };
	char before[DATE_TEXT_MAX], today[DATE_TEXT_MAX];
	struct obj **secrets;
	size_t n;

	(void)key;
	ret->after_ns = DAY_NS;
	if (legacy_tracked_since(c, &since, err) < 0)
		return -1;
	if (w.before_ns < since)
		return 0;
	w.before = date_format(w.before_ns, before);
	w.today = date_format(now, today);
	informer_each(c->pods, SV(""), legacy_pod, &w);
	secrets = informer_list(c->secrets, &a, SV(""), &n);
	for (size_t i = 0; i < n; i++)
		legacy_secret(&w, secrets[i]);
	strmap_release(&w.named);
	return w.err.reason == ERR_NONE ? 0 : err_move(err, &w.err);
}

static bool legacy_ready(void *ctx)
{
	struct legacy_cleaner *c = ctx;

	return informer_synced(c->accounts) && informer_synced(c->pods) && informer_synced(c->secrets);
}

static void *legacy_start(struct controller_ctx *ctx)
{
	struct legacy_cleaner *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->accounts = informer_get(ctx->informers, RES(core_serviceaccounts), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->secrets = informer_get(ctx->informers, RES(core_secrets), NULL, NULL, "type=" LEGACY_TOKEN_TYPE);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "legacy-serviceaccount-token-cleaner-controller",
							 .workers = 1,
							 .reconcile = legacy_reconcile,
							 .ctx = c,
							 .ready = legacy_ready });
	workq_add(c->q, SV("all"));
	return c;
}

static void legacy_stop(void *controller)
{
	struct legacy_cleaner *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops legacy_token_cleaner_controller = { "legacy-serviceaccount-token-cleaner-controller",
								"legacy-service-account-token-cleaner", legacy_start,
								legacy_stop };
