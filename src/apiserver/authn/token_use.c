#include "apiserver/authn/token_use.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/registry/strategy.h"
#include "base/strmap.h"
#include "base/timefmt.h"
#include "object/legacy_token.h"

#include <stdlib.h>

#define UNDER_WAY_MAX 64

struct token_use {
	pthread_mutex_t lock;
	struct strmap under_way; /* uids of Secrets; no values that matter */
};

/* One write, with a request of its own. */
struct token_note {
	struct arena arena;
	struct api_req req;
	struct sv ns, name, uid, today;
};

struct token_use *token_use_new(void)
{
	struct token_use *u = xcalloc(1, sizeof(*u));

	pthread_mutex_init(&u->lock, NULL);
	return u;
}

struct token_use *token_use_free(struct token_use *u)
{
	if (!u)
		return NULL;
	strmap_release(&u->under_way);
	pthread_mutex_destroy(&u->lock);
	free(u);
	return NULL;
}

static bool use_begin(struct token_use *u, struct sv uid)
{
	bool mine;

	pthread_mutex_lock(&u->lock);
	mine = u->under_way.n < UNDER_WAY_MAX && !strmap_has(&u->under_way, uid);
	if (mine)
		strmap_set(&u->under_way, uid, u);
	pthread_mutex_unlock(&u->lock);
	return mine;
}

static int use_change(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	const struct token_note *n = ctx;

	(void)err;
	if (!sv_eq(val_get_str(old, F_metadata, F_uid), n->uid))
		return 1; /* another one by now */
	val_set_str_sv(q->arena, val_ensure_map(q->arena, val_ensure_map(q->arena, doc, F_metadata), F_labels),
		       SV(LEGACY_TOKEN_LAST_USED), n->today);
	return 0;
}

static void use_done(struct api_req *q, struct obj *o, struct err *err, void *ctx)
{
	struct token_use *u = q->server->authz->uses;
	struct token_note *n = ctx;
	struct arena arena = n->arena;

	(void)o;
	if (err)
		err_release(err);
	pthread_mutex_lock(&u->lock);
	strmap_del(&u->under_way, n->uid);
	pthread_mutex_unlock(&u->lock);
	arena_release(&arena);
	free(n);
}

static void use_write(struct api_req *q, void *ctx)
{
	struct token_note *n = ctx;

	registry_update_async(q, RES(core_secrets), n->ns, n->name, NULL, use_change, use_done, n);
}

void token_use_note(struct apiserver *s, const struct obj *secret)
{
	static struct sv masters = { "system:masters", sizeof("system:masters") - 1 };
	int64_t now = env_now_ns(s->env);
	char today[DATE_TEXT_MAX], tomorrow[DATE_TEXT_MAX];
	struct sv used = val_str(val_member_sv(obj_labels(secret), SV(LEGACY_TOKEN_LAST_USED)));
	struct token_note *n;

	/* Another server's clock may be ahead: then the day is written already. */
	if (sv_eq(used, date_format(now, today)) || sv_eq(used, date_format(now + 86400 * NS_PER_SEC, tomorrow)) ||
	    !use_begin(s->authz->uses, obj_uid(secret)))
		return;
	n = xcalloc(1, sizeof(*n));
	n->uid = arena_sv(&n->arena, obj_uid(secret));
	n->today = arena_sv(&n->arena, sv_from(today));
	n->req = (struct api_req){
		.server = s,
		.arena = &n->arena,
		.trusted = true,
		.user = { .name = SV("system:apiserver"), .groups = &masters, .n_groups = 1 },
		.user_agent = SV("kube-apiserver"),
	};
	n->ns = arena_sv(&n->arena, obj_ns(secret));
	n->name = arena_sv(&n->arena, obj_name(secret));
	req_go(&n->req, use_write, n); /* it is a loop that asks */
}
