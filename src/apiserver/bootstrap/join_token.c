#include "apiserver/bootstrap/join_token.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/pki.h"
#include "apiserver/watchcache.h"
#include "base/b64.h"
#include "base/file.h"
#include "client/bootstrap_token.h"
#include "net/digest.h"

#define LABEL "caravel/join-token" /* on the Secret of the token in the file */
#define GROUP "system:bootstrappers:caravel:default-node-token"

struct found {
	struct arena *a;
	struct sv id, secret;
	int64_t now_ns;
};

static int find_made(struct obj *o, void *ctx)
{
	struct found *f = ctx;
	struct sv id, secret;
	struct join_token t;

	if (!val_is(obj_get(o, F_type), BOOTSTRAP_TOKEN_TYPE) || obj_deleting(o) ||
	    !val_member_sv(obj_get(o, F_metadata, F_labels), SV(LABEL)) || bootstrap_token_end(o) <= f->now_ns)
		return 0;
	id = bootstrap_token_field(f->a, o, "token-id");
	secret = bootstrap_token_field(f->a, o, "token-secret");
	if (join_token_parse(arena_svf(f->a, "%.*s.%.*s", SV_ARG(id), SV_ARG(secret)), &t, NULL) < 0)
		return 0;
	f->id = t.id;
	f->secret = t.secret;
	return 1;
}

/* n characters of a-z and 0-9, each as likely as the others. */
static struct sv random_text(struct apiserver *s, struct arena *a, size_t n)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	char *out = arena_alloc(a, n);

	for (size_t i = 0; i < n; i++)
		out[i] = alphabet[env_random_below(s->env, sizeof(alphabet) - 1)];
	return sv_make(out, n);
}

static void join_token_put(struct arena *a, struct val *data, const char *key, struct sv value)
{
	val_set_str_sv(a, data, sv_from(key), b64_encode(a, value));
}

static struct val *secret_doc(struct arena *a, struct sv id, struct sv secret)
{
	struct val *doc = val_new_map(a), *meta = val_set_map(a, doc, F_metadata), *data;

	val_set_cstr(a, doc, F_kind, "Secret");
	val_set_cstr(a, doc, F_apiVersion, "v1");
	val_set_str(a, meta, F_name, arena_svf(a, BOOTSTRAP_TOKEN_PREFIX "%.*s", SV_ARG(id)));
	val_set_cstr(a, meta, F_namespace, BOOTSTRAP_TOKEN_NS);
	val_set_str_sv(a, val_set_map(a, meta, F_labels), SV(LABEL), SV("true"));
	val_set_cstr(a, doc, F_type, BOOTSTRAP_TOKEN_TYPE);
	data = val_set_map(a, doc, F_data);
	join_token_put(a, data, "description", SV("machines join with this token; it is kept in server/node-token"));
	join_token_put(a, data, "token-id", id);
	join_token_put(a, data, "token-secret", secret);
	join_token_put(a, data, "usage-bootstrap-authentication", SV("true"));
	join_token_put(a, data, "usage-bootstrap-signing", SV("true"));
	join_token_put(a, data, "auth-extra-groups", SV(GROUP));
	return doc;
}

/* What --token says. */
static int given(struct apiserver *s, struct arena *a, struct found *f, struct err *err)
{
	_cleanup_obj_ struct obj *have = NULL;
	struct join_token t;

	if (join_token_parse(sv_from(s->o.join_token), &t, err) < 0 ||
	    (t.ca_hash.n && join_token_check_ca(&t, s->pki->ca_cert, err) < 0))
		return err_wrap(err, "--token");
	f->id = t.id;
	f->secret = t.secret;
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

	if (s->o.join_token) {
		if (given(s, a, &f, err) < 0)
			return NULL;
	} else {
		wc_each(s->wc, RES(core_secrets), SV(BOOTSTRAP_TOKEN_NS), find_made, &f);
	}
	if (!f.id.n) {
		f.id = random_text(s, a, 6);
		f.secret = random_text(s, a, 16);
	}
	*ret_text = join_token_format(a, s->pki->ca_cert, f.id, f.secret);
	return secret_doc(a, f.id, f.secret);
}

int join_token_write(struct apiserver *s, struct arena *a, struct sv text, struct err *err)
{
	const char *dir, *path;
	struct sv have;

	if (!s->o.data_dir)
		return 0;
	dir = arena_printf(a, "%s/server", s->o.data_dir);
	path = arena_printf(a, "%s/node-token", dir);
	text = arena_svf(a, "%.*s\n", SV_ARG(text));
	if (file_read(a, path, 4096, &have, NULL) == 0 && sv_eq(have, text))
		return 0;
	if (dir_make(dir, 0700, err) < 0)
		return -1;
	return file_write_again(path, text, 0600, err); /* the Secret is the token; the next start writes it anew */
}
