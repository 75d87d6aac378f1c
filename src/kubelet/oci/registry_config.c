/* registries.yaml: mirrors of registries, and how to ask which host. */
#include "base/b64.h"
#include "base/file.h"
#include "codec/yaml.h"
#include "kubelet/oci/registry.h"
#include "kubelet/oci/registry_challenge.h"
#include "re/re.h"

#include <errno.h>
#include <stdlib.h>

#define CONFIG_MAX ((size_t)1 << 20)
#define ENDPOINTS_MAX 64
#define REPOSITORY_MAX 1024

struct registry_config {
	struct arena a;
	const struct val *doc; /* NULL: none */
};

static const struct val *registry_config_at(const struct val *v, const char *key)
{
	return val_member_sv(v, sv_from(key));
}

static int registry_config_check_mirror(struct sv name, const struct val *m, struct err *err)
{
	const struct val *list = registry_config_at(m, "endpoint");

	if (val_len(list) > ENDPOINTS_MAX)
		return err_set(err, ERR_INVALID, "mirror '%.*s' has more than %d endpoints", SV_ARG(name),
			       ENDPOINTS_MAX);
	VAL_EACH(list, e)
		if (!registry_origin(val_str(e)).n)
			return err_set(err, ERR_INVALID,
				       "an endpoint of mirror '%.*s' is no URL of http or https (without a user): "
				       "'%.*s'",
				       SV_ARG(name), SV_ARG(val_str(e)));
	VAL_EACH_MEMBER(registry_config_at(m, "rewrite"), r) {
		_cleanup_(re_unrefp) struct re *re = NULL;

		if (re_cached(r.key, &re, err) < 0)
			return err_wrap(err, "a rewrite of mirror '%.*s'", SV_ARG(name));
	}
	return 0;
}

static int registry_config_load(struct registry_config *c, const char *path, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv text;

	if (!path)
		return 0;
	if (file_read(&c->a, path, CONFIG_MAX, &text, &why) < 0) {
		if (why.errnum == ENOENT)
			return 0;
		return err_move(err, &why);
	}
	c->doc = yaml_decode_opts(&c->a, text, &(struct yaml_opts){ .alone = true }, err);
	if (!c->doc)
		return -1;
	VAL_EACH_MEMBER(registry_config_at(c->doc, "mirrors"), m)
		if (registry_config_check_mirror(m.key, m.value, err) < 0)
			return -1;
	return 0;
}

struct registry_config *registry_config_read(const char *path, struct err *err)
{
	struct registry_config *c = xcalloc(1, sizeof(*c));

	if (registry_config_load(c, path, err) == 0)
		return c;
	(void)err_wrap(err, "'%s'", path);
	return registry_config_free(c);
}

struct registry_config *registry_config_free(struct registry_config *c)
{
	if (c)
		arena_release(&c->a);
	free(c);
	return NULL;
}

/* --- endpoints --- */

static struct sv registry_either(const struct val *v, const char *one, const char *other)
{
	struct sv s = val_str(registry_config_at(v, one));

	return s.n ? s : val_str(registry_config_at(v, other));
}

/* Of a pod's secrets, or the file's: whoever sets `auth` means "user:password" in base64. */
static void registry_take_auth(struct arena *a, const struct val *auth, struct registry_endpoint *e)
{
	struct sv both = val_str(registry_config_at(auth, "auth"));
	ssize_t colon;

	e->username = arena_sv(a, val_str(registry_config_at(auth, "username")));
	e->password = arena_sv(a, val_str(registry_config_at(auth, "password")));
	e->identity_token = arena_sv(
	    a, registry_either(auth, "identityToken",
			       registry_config_at(auth, "identity_token") ? "identity_token" : "identitytoken"));
	e->registry_token = arena_sv(a, registry_either(auth, "registryToken", "registrytoken"));
	if (e->username.n || !both.n || !b64_decode(a, both, &both) || (colon = sv_find(both, ':')) < 0)
		return;
	e->username = sv_sub(both, 0, (size_t)colon);
	e->password = sv_sub(both, (size_t)colon + 1, both.n);
}

static const char *registry_path(struct arena *a, const struct val *tls, const char *key)
{
	struct sv s = val_str(registry_config_at(tls, key));

	return s.n ? arena_cstr(a, s) : NULL;
}

static void registry_dress(const struct registry_config *c, struct arena *a, struct sv host,
			   struct registry_endpoint *e)
{
	const struct val *config = val_member_sv(registry_config_at(c->doc, "configs"), host);
	const struct val *tls = registry_config_at(config, "tls");

	e->ca_file = registry_path(a, tls, "ca_file");
	e->cert_file = registry_path(a, tls, "cert_file");
	e->key_file = registry_path(a, tls, "key_file");
	e->insecure_skip_verify = val_bool(registry_config_at(tls, "insecure_skip_verify"));
	registry_take_auth(a, registry_config_at(config, "auth"), e);
}

/* The first pattern that matches, its match replaced; "$1" to "$9" are its groups. */
static struct sv registry_rewrite(struct arena *a, const struct val *rules, struct sv repository)
{
	VAL_EACH_MEMBER(rules, r) {
		_cleanup_(re_unrefp) struct re *re = NULL;
		_cleanup_(buf_release) struct buf b = { .limit = REPOSITORY_MAX };
		struct sv found[RE_GROUPS_MAX + 1] = { 0 }, to = val_str(r.value);

		if (re_cached(r.key, &re, NULL) < 0 || !re_find(re, repository, 0, found, ARRAY_LEN(found)))
			continue;
		buf_addsv(&b, sv_make(repository.p, (size_t)(found[0].p - repository.p)));
		for (size_t i = 0; i < to.n; i++) {
			if (to.p[i] != '$' || i + 1 >= to.n || to.p[i + 1] < '1' || to.p[i + 1] > '9') {
				buf_addc(&b, to.p[i]);
				continue;
			}
			i++;
			buf_addsv(&b, found[to.p[i] - '0']);
		}
		buf_addsv(&b, sv_sub(repository, (size_t)(found[0].p - repository.p) + found[0].n, repository.n));
		return b.overflow ? repository : arena_sv(a, buf_sv(&b));
	}
	return repository;
}

/* "/v2" where the URL has no path of its own. */
static const char *registry_base(struct arena *a, struct sv url)
{
	while (url.n && url.p[url.n - 1] == '/')
		url = sv_sub(url, 0, url.n - 1);
	return url.n > registry_origin(url).n ? arena_cstr(a, url) : arena_printf(a, "%.*s/v2", SV_ARG(url));
}

static bool registry_is_this_machine(struct sv registry)
{
	ssize_t colon = sv_find(registry, ':');
	struct sv host = colon > 0 ? sv_sub(registry, 0, (size_t)colon) : registry;

	return sv_is(host, "localhost") || sv_starts(host, SV("127.")) || sv_starts(registry, SV("[::1]"));
}

size_t registry_endpoints(const struct registry_config *c, struct arena *a, const struct image_ref *r,
			  const struct val *auth, struct registry_endpoint **ret)
{
	const struct val *mirrors = registry_config_at(c->doc, "mirrors"), *m = val_member_sv(mirrors, r->registry),
			 *list;
	struct sv host = sv_is(r->registry, "docker.io") ? SV("registry-1.docker.io") : r->registry;
	struct registry_endpoint *e;
	size_t n = 0;

	m = m ? m : registry_config_at(mirrors, "*");
	list = registry_config_at(m, "endpoint");
	*ret = ARENA_ARRAY(a, struct registry_endpoint, val_len(list) + 2);
	VAL_EACH(list, url) {
		struct sv origin = registry_origin(val_str(url));

		e = &(*ret)[n++];
		registry_dress(c, a, sv_sub(origin, (size_t)sv_find_sv(origin, SV("//")) + 2, origin.n), e);
		e->url = registry_base(a, val_str(url));
		e->repository = registry_rewrite(a, registry_config_at(m, "rewrite"), r->repository);
		e->ns = r->registry;
	}
	for (int http = 0; http <= registry_is_this_machine(r->registry); http++) {
		e = &(*ret)[n++];
		registry_dress(c, a, r->registry, e);
		e->url = arena_printf(a, "%s://%.*s/v2", http ? "http" : "https", SV_ARG(host));
		e->repository = r->repository;
		if (val_len(auth))
			registry_take_auth(a, auth, e);
	}
	return n;
}
