/* One context of a kubeconfig. Values are looked up by path and errors made where they are found,
 * so that each can say which key of which entry it is about. */
#include "client/kubeconfig.h"

#include "base/b64.h"
#include "base/file.h"
#include "codec/yaml.h"

#include <stdlib.h>

#define PEM_FILE_MAX ((size_t)1 << 20)

struct reader {
	struct arena *a;
	const char *label, *dir;
	struct err *err;
	/* The entry being read, for errors: "users[admin].user". */
	const char *list, *inner;
	struct sv name;
	const struct val *at;
};

static int kubeconfig_fail(struct reader *r, const char *key, const char *what)
{
	if (!r->list)
		return err_set(r->err, ERR_BAD_REQUEST, "'%s': %s: %s", r->label, key, what);
	return err_set(r->err, ERR_BAD_REQUEST, "'%s': %s[%.*s].%s.%s: %s", r->label, r->list, SV_ARG(r->name),
		       r->inner, key, what);
}

/* A string member; "" when absent. */
static int kubeconfig_text(struct reader *r, const char *key, struct sv *ret)
{
	const struct val *v = val_member_sv(r->at, sv_from(key));

	*ret = SV("");
	if (!v || v->type == VAL_NULL)
		return 0;
	if (v->type != VAL_STR)
		return kubeconfig_fail(r, key, "must be a string");
	if (memchr(v->s, '\0', v->n))
		return kubeconfig_fail(r, key, "has a NUL byte");
	*ret = val_str(v);
	return 0;
}

static int cstr(struct reader *r, const char *key, const char **ret)
{
	struct sv s;

	if (kubeconfig_text(r, key, &s) < 0)
		return -1;
	*ret = s.n ? arena_cstr(r->a, s) : NULL;
	return 0;
}

static int kubeconfig_flag(struct reader *r, const char *key, bool *ret)
{
	const struct val *v = val_member_sv(r->at, sv_from(key));

	if (v && v->type != VAL_NULL && v->type != VAL_BOOL)
		return kubeconfig_fail(r, key, "must be true or false");
	*ret = val_bool(v);
	return 0;
}

static const char *kubeconfig_full_path(struct reader *r, struct sv path)
{
	if (path.p[0] == '/')
		return arena_cstr(r->a, path);
	return arena_printf(r->a, "%s/%.*s", r->dir, SV_ARG(path));
}

/* "KEY-data" in base64, or else the file that "KEY" names. */
static int data_or_file(struct reader *r, const char *key, struct sv *ret)
{
	const char *data_key = arena_printf(r->a, "%s-data", key);
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv data, path;

	*ret = SV("");
	if (kubeconfig_text(r, data_key, &data) < 0 || kubeconfig_text(r, key, &path) < 0)
		return -1;
	if (data.n) {
		if (!b64_decode(r->a, data, ret))
			return kubeconfig_fail(r, data_key, "is not base64");
		return 0;
	}
	if (!path.n)
		return 0;
	if (!r->dir)
		return kubeconfig_fail(r, key, "files are not read here");
	if (file_read(r->a, kubeconfig_full_path(r, path), PEM_FILE_MAX, ret, &why) < 0)
		return kubeconfig_fail(r, key, err_msg(&why));
	if (!ret->n)
		return kubeconfig_fail(r, key, "the file is empty");
	return 0;
}

static int kubeconfig_refuse(struct reader *r, const char *key, const char *what)
{
	const struct val *v = val_member_sv(r->at, sv_from(key));

	if (!v || v->type == VAL_NULL || (v->type == VAL_STR && !v->n))
		return 0;
	return kubeconfig_fail(r, key, what);
}

/* Enters `inner` of the list's entry of that name. */
static int enter(struct reader *r, const struct val *root, const char *list, const char *inner, struct sv name)
{
	const struct val *entries = val_member_sv(root, sv_from(list));

	r->list = NULL;
	if (entries && entries->type != VAL_NULL && entries->type != VAL_LIST)
		return kubeconfig_fail(r, list, "must be a list");
	VAL_EACH(entries, e) {
		if (!sv_eq(val_str(val_member_sv(e, SV("name"))), name))
			continue;
		r->list = list;
		r->inner = inner;
		r->name = name;
		r->at = val_member_sv(e, sv_from(inner));
		if (r->at && r->at->type != VAL_NULL && r->at->type != VAL_MAP)
			return err_set(r->err, ERR_BAD_REQUEST, "'%s': %s[%.*s].%s: must be an object", r->label, list,
				       SV_ARG(name), inner);
		return 0;
	}
	return err_set(r->err, ERR_BAD_REQUEST, "'%s': %s: there is none named '%.*s'", r->label, list, SV_ARG(name));
}

static int read_cluster(struct reader *r, struct kubeconfig *k)
{
	if (kubeconfig_refuse(r, "proxy-url", "proxies are not supported") < 0 || cstr(r, "server", &k->server) < 0 ||
	    cstr(r, "tls-server-name", &k->server_name) < 0 ||
	    data_or_file(r, "certificate-authority", &k->ca_pem) < 0 ||
	    kubeconfig_flag(r, "insecure-skip-tls-verify", &k->insecure) < 0)
		return -1;
	if (!k->server)
		return kubeconfig_fail(r, "server", "is missing");
	if (k->insecure && k->ca_pem.n)
		return kubeconfig_fail(r, "insecure-skip-tls-verify",
				       "may not be set together with a certificate authority");
	return 0;
}

static int read_groups(struct reader *r, struct kubeconfig *k)
{
	const struct val *v = val_member_sv(r->at, SV("as-groups"));
	const char **groups;
	size_t n = 0;

	if (!v || v->type == VAL_NULL)
		return 0;
	if (v->type != VAL_LIST)
		return kubeconfig_fail(r, "as-groups", "must be a list");
	groups = ARENA_ARRAY(r->a, const char *, val_len(v) + 1);
	VAL_EACH(v, g) {
		if (g->type != VAL_STR || memchr(g->s, '\0', g->n))
			return kubeconfig_fail(r, "as-groups", "must be a list of strings");
		groups[n++] = arena_cstr(r->a, val_str(g));
	}
	k->impersonate_groups = groups;
	return 0;
}

static int read_user(struct reader *r, struct kubeconfig *k)
{
	struct sv token_file;

	if (kubeconfig_refuse(r, "exec", "credential plugins are not supported") < 0 ||
	    kubeconfig_refuse(r, "auth-provider", "auth providers are not supported") < 0 ||
	    kubeconfig_refuse(r, "username", "basic authentication is not supported") < 0 ||
	    kubeconfig_refuse(r, "password", "basic authentication is not supported") < 0 ||
	    data_or_file(r, "client-certificate", &k->cert_pem) < 0 || data_or_file(r, "client-key", &k->key_pem) < 0 ||
	    cstr(r, "token", &k->token) < 0 || kubeconfig_text(r, "tokenFile", &token_file) < 0 ||
	    cstr(r, "as", &k->impersonate_user) < 0 || read_groups(r, k) < 0)
		return -1;
	if (k->cert_pem.n && !k->key_pem.n)
		return kubeconfig_fail(r, "client-key", "is missing beside the client certificate");
	if (k->key_pem.n && !k->cert_pem.n)
		return kubeconfig_fail(r, "client-certificate", "is missing beside the client key");
	if (k->impersonate_groups && !k->impersonate_user)
		return kubeconfig_fail(r, "as", "is missing beside as-groups");
	if (token_file.n && !k->token) {
		if (!r->dir)
			return kubeconfig_fail(r, "tokenFile", "files are not read here");
		k->token_file = kubeconfig_full_path(r, token_file);
	}
	return 0;
}

int kubeconfig_parse(struct arena *a, struct sv data, const char *label, const char *dir, const char *context,
		     struct kubeconfig *ret, struct err *err)
{
	struct reader r = { .a = a, .label = label, .dir = dir, .err = err };
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv cluster, user, name;
	const struct val *root;

	*ret = (struct kubeconfig){ 0 };
	if (data.n > KUBECONFIG_MAX)
		return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", label, KUBECONFIG_MAX);
	root = yaml_decode_opts(a, data, &(struct yaml_opts){ .alone = true }, &why);
	if (!root)
		return err_set(err, ERR_BAD_REQUEST, "'%s': %s", label, err_msg(&why));
	if (root->type != VAL_MAP)
		return err_set(err, ERR_BAD_REQUEST, "'%s': not a kubeconfig", label);
	r.at = root;
	name = sv_from(context);
	if (!context && kubeconfig_text(&r, "current-context", &name) < 0)
		return -1;
	if (!name.n)
		return kubeconfig_fail(&r, "current-context", "is not set");
	ret->context = arena_cstr(a, name);
	if (enter(&r, root, "contexts", "context", name) < 0 || kubeconfig_text(&r, "cluster", &cluster) < 0 ||
	    kubeconfig_text(&r, "user", &user) < 0 || cstr(&r, "namespace", &ret->ns) < 0)
		return -1;
	if (!cluster.n)
		return kubeconfig_fail(&r, "cluster", "is missing");
	if (enter(&r, root, "clusters", "cluster", cluster) < 0 || read_cluster(&r, ret) < 0)
		return -1;
	/* A context without a user is one without credentials. */
	if (user.n && (enter(&r, root, "users", "user", user) < 0 || read_user(&r, ret) < 0))
		return -1;
	return 0;
}

int kubeconfig_load(struct arena *a, const char *path, const char *context, struct kubeconfig *ret, struct err *err)
{
	const char *slash = strrchr(path, '/'), *dir = ".";
	struct sv data;

	if (file_read_once(a, path, KUBECONFIG_MAX, &data, err) < 0)
		return -1;
	if (slash)
		dir = slash == path ? "/" : arena_strndup(a, path, (size_t)(slash - path));
	return kubeconfig_parse(a, data, path, dir, context, ret, err);
}
