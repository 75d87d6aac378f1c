#include "apiserver/bootstrap/join_token.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/pki.h"
#include "apiserver/watchcache.h"
#include "base/file.h"
#include "client/bootstrap_token.h"
#include "net/digest.h"

#include <unistd.h>

struct found {
	struct arena *a;
	struct join_token token;
	int64_t now_ns;
};

static int find_made(struct obj *o, void *ctx)
{
	struct found *f = ctx;
	struct sv id, secret;
	struct join_token t;

	if (!val_is(obj_get(o, F_type), BOOTSTRAP_TOKEN_TYPE) || obj_deleting(o) ||
	    !val_member_sv(obj_get(o, F_metadata, F_labels), SV(JOIN_TOKEN_LABEL)) ||
	    bootstrap_token_end(o) <= f->now_ns)
		return 0;
	id = bootstrap_token_field(f->a, o, "token-id");
	secret = bootstrap_token_field(f->a, o, "token-secret");
	if (join_token_parse(arena_svf(f->a, "%.*s.%.*s", SV_ARG(id), SV_ARG(secret)), &t, NULL) < 0)
		return 0;
	f->token = t;
	return 1;
}

/* What --token says. */
static int given(struct apiserver *s, struct arena *a, struct found *f, struct err *err)
{
	_cleanup_obj_ struct obj *have = NULL;
	struct join_token t;

	if (join_token_parse(sv_from(s->o.join_token), &t, err) < 0 ||
	    (t.ca_hash.n && join_token_check_ca(&t, s->pki->ca_cert, err) < 0))
		return err_wrap(err, "--token");
	f->token = t;
	if (s->o.join_token_known)
		return 0;
	have = wc_get(s->wc, RES(core_secrets), SV(BOOTSTRAP_TOKEN_NS),
		      arena_svf(a, BOOTSTRAP_TOKEN_PREFIX "%.*s", SV_ARG(t.id)));
	if (have && !secret_equal(bootstrap_token_field(a, have, "token-secret"), t.secret))
		return err_set(err, ERR_INVALID,
			       "--token: the cluster has a token '%.*s' with another secret: delete the "
			       "Secret " BOOTSTRAP_TOKEN_PREFIX "%.*s in kube-system, or choose another id",
			       SV_ARG(t.id), SV_ARG(t.id));
	return 0;
}

struct val *join_token_secret(struct apiserver *s, struct arena *a, struct sv *ret_text, struct err *err)
{
	struct found f = { .a = a, .now_ns = env_now_ns(s->env) };

	/* One that the cluster has goes before that of servers: who reads the file gives it to nodes. */
	if (!s->o.join_token || s->o.join_token_known)
		wc_each(s->wc, RES(core_secrets), SV(BOOTSTRAP_TOKEN_NS), find_made, &f);
	if (s->o.join_token && !f.token.id.n && given(s, a, &f, err) < 0)
		return NULL;
	if (!f.token.id.n)
		bootstrap_token_random(s->env, a, &f.token);
	*ret_text = join_token_format(a, s->pki->ca_cert, f.token.id, f.token.secret);
	if (s->o.join_token && s->o.join_token_known)
		return NULL;
	return bootstrap_token_doc(a, &(struct bootstrap_token_opts){ .token = f.token,
								      .description = JOIN_TOKEN_DESCRIPTION,
								      .groups = JOIN_TOKEN_GROUP,
								      .authentication = true,
								      .signing = true,
								      .end_ns = INT64_MAX,
								      .join = true });
}

int join_token_write(struct arena *a, const char *data_dir, struct sv text, struct err *err)
{
	const char *dir = arena_printf(a, "%s/server", data_dir), *path = arena_printf(a, "%s/node-token", dir);
	struct sv have;

	text = arena_svf(a, "%.*s\n", SV_ARG(text));
	if (dir_make(dir, 0700, err) < 0)
		return -1;
	/* A second name, for runbooks that read k3s's. Who has something there keeps it. */
	(void)!symlink("node-token", arena_printf(a, "%s/agent-token", dir));
	if (file_read(a, path, 4096, &have, NULL) == 0 && sv_eq(have, text))
		return 0;
	return file_write_again(path, text, 0600, err); /* the Secret is the token; the next start writes it anew */
}
