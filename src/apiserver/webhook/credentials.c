/* Users of kubeconfigs by whom they are for. */
#include "apiserver/webhook/credentials.h"
#include "apiserver/config_reader.h"
#include "base/b64.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strmap.h"

#include <stdlib.h>

#define CONFIG_MAX ((size_t)1 << 20)
#define USERS_MAX 1000

struct webhook_credentials {
	struct arena arena;
	struct strmap by_name; /* struct webhook_credential, in the arena */
};

struct webhook_credentials *webhook_credentials_new(void)
{
	return xcalloc(1, sizeof(struct webhook_credentials));
}

struct webhook_credentials *webhook_credentials_free(struct webhook_credentials *c)
{
	if (!c)
		return NULL;
	strmap_release(&c->by_name);
	arena_release(&c->arena);
	free(c);
	return NULL;
}

/* "" stays "", what is relative starts at dir. */
static const char *credentials_path(struct arena *a, const char *dir, struct sv path)
{
	if (path.n && path.p[0] == '/')
		return arena_cstr(a, path);
	return arena_printf(a, "%s/%.*s", dir, SV_ARG(path));
}

static const char *credentials_dir(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? arena_strndup(a, path, MAX((size_t)(slash - path), (size_t)1)) : ".";
}

/* user.NAME-data, or the file that user.NAME is. */
static int credentials_text(struct arena *a, const struct val *user, const char *name, const char *dir, struct sv *ret,
			    struct err *err)
{
	const struct val *data = val_member_sv(user, arena_svf(a, "%s-data", name));
	const struct val *file = val_member_sv(user, sv_from(name));

	*ret = SV("");
	if (val_str(data).n)
		return b64_decode(a, val_str(data), ret) ? 0 : err_set(err, ERR_INVALID, "%s-data is no base64", name);
	if (!val_str(file).n)
		return 0;
	if (!dir)
		return err_set(err, ERR_INVALID, "%s: no files may be named here", name);
	return file_read(a, credentials_path(a, dir, val_str(file)), CONFIG_MAX, ret, err);
}

static bool credentials_clean(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] == 0x7f)
			return false;
	return true;
}

static int credentials_authorization(struct arena *a, const struct val *user, const char *dir, struct sv *ret,
				     struct err *err)
{
	struct sv token = val_str(val_member_sv(user, SV("token")));
	struct sv file = val_str(val_member_sv(user, SV("tokenFile")));
	struct sv name = val_str(val_member_sv(user, SV("username")));
	struct sv password = val_str(val_member_sv(user, SV("password")));

	if (!token.n && file.n) {
		if (!dir)
			return err_set(err, ERR_INVALID, "tokenFile: no files may be named here");
		if (file_read(a, credentials_path(a, dir, file), CONFIG_MAX, &token, err) < 0)
			return -1;
		token = sv_trim(token);
	}
	if (token.n)
		*ret = arena_svf(a, "Bearer %.*s", SV_ARG(token));
	else if (name.n)
		*ret = arena_svf(a, "Basic %.*s",
				 SV_ARG(b64_encode(a, arena_svf(a, "%.*s:%.*s", SV_ARG(name), SV_ARG(password)))));
	return credentials_clean(*ret) ? 0 : err_set(err, ERR_INVALID, "a token has no line breaks");
}

static int credentials_user(struct webhook_credentials *c, const struct val *entry, const char *dir, struct err *err)
{
	struct webhook_credential *w = ARENA_NEW(&c->arena, struct webhook_credential);
	const struct val *user = val_member_sv(entry, SV("user"));

	w->name = arena_sv(&c->arena, val_get_str(entry, F_name));
	w->authorization = SV("");
	if (!w->name.n)
		return err_set(err, ERR_INVALID, "a user has no name");
	if (val_member_sv(user, SV("exec")) || val_member_sv(user, SV("auth-provider")))
		return err_set(err, ERR_INVALID, "users[%.*s]: programs are not run for credentials of webhooks",
			       SV_ARG(w->name));
	if (credentials_text(&c->arena, user, "client-certificate", dir, &w->cert_pem, err) < 0 ||
	    credentials_text(&c->arena, user, "client-key", dir, &w->key_pem, err) < 0 ||
	    credentials_authorization(&c->arena, user, dir, &w->authorization, err) < 0)
		return err_wrap(err, "users[%.*s]", SV_ARG(w->name));
	if (!w->cert_pem.n != !w->key_pem.n)
		return err_set(err, ERR_INVALID, "users[%.*s]: a client certificate and its key come together",
			       SV_ARG(w->name));
	(void)strmap_set(&c->by_name, w->name, w);
	return 0;
}

int webhook_credentials_add(struct webhook_credentials *c, const struct val *kubeconfig, const char *dir,
			    struct err *err)
{
	const struct val *users = val_member_sv(kubeconfig, SV("users"));

	if (val_len(users) > USERS_MAX)
		return err_set(err, ERR_INVALID, "there are more than %d users", USERS_MAX);
	VAL_EACH(users, u)
		if (credentials_user(c, u, dir, err) < 0)
			return -1;
	return 0;
}

int webhook_credentials_read(struct webhook_credentials *c, const char *path, struct err *err)
{
	const struct val *doc = conf_file(&c->arena, path, "Config", err);

	if (!doc)
		return -1;
	if (webhook_credentials_add(c, doc, credentials_dir(&c->arena, path), err) < 0)
		return err_wrap(err, "'%s'", path);
	return 0;
}

static const struct webhook_credential *credentials_named(const struct webhook_credentials *c, struct sv target)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct webhook_credential *w = strmap_get(&c->by_name, target);
	ssize_t dot;

	while (!w && (dot = sv_find(target, '.')) >= 0) {
		target = sv_sub(target, (size_t)dot + 1, target.n);
		w = strmap_get(&c->by_name, arena_svf(&a, "*.%.*s", SV_ARG(target)));
	}
	return w;
}

const struct webhook_credential *webhook_credentials_for(const struct webhook_credentials *c, struct sv host, int port)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct webhook_credential *w;

	if (!c)
		return NULL;
	w = credentials_named(c, arena_svf(&a, "%.*s:%d", SV_ARG(host), port));
	if (!w && port == 443)
		w = credentials_named(c, host);
	return w ? w : strmap_get(&c->by_name, SV("*"));
}

const struct webhook_credential *webhook_credentials_named(const struct webhook_credentials *c, struct sv name)
{
	return strmap_get(&c->by_name, name);
}
