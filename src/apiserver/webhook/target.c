/* Whom a clientConfig names. */
#include "apiserver/webhook/webhook-internal.h"
#include "base/b64.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define HTTPS_PORT 443

static bool target_is_address(const char *host)
{
	unsigned char a[16];

	return strcmp(host, "localhost") == 0 || inet_pton(AF_INET, host, a) == 1 || inet_pton(AF_INET6, host, a) == 1;
}

/* "https://host[:port][/path]"; what else may be in a URL has been refused when the configuration was written. */
static int target_url(struct webhook_target *t, struct sv url, struct err *err)
{
	struct sv rest, host, port = SV_NULL;
	int64_t n = HTTPS_PORT;
	size_t end = 0;

	if (!sv_starts(url, SV("https://")))
		return err_set(err, ERR_BAD_REQUEST, "the URL \"%.*s\" is not one of https", SV_ARG(url));
	rest = sv_sub(url, 8, url.n);
	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#')
		end++;
	host = sv_sub(rest, 0, end);
	t->authority = xasprintf("%.*s", SV_ARG(host));
	rest = sv_sub(rest, end, rest.n);
	if (host.n && host.p[0] == '[') {
		ssize_t close = sv_find(host, ']');

		if (close < 0)
			return err_set(err, ERR_BAD_REQUEST, "the URL \"%.*s\" has no valid host", SV_ARG(url));
		port = sv_sub(host, (size_t)close + 1, host.n);
		host = sv_sub(host, 1, (size_t)close - 1);
	} else {
		ssize_t colon = sv_find(host, ':');

		if (colon >= 0) {
			port = sv_sub(host, (size_t)colon, host.n);
			host = sv_sub(host, 0, (size_t)colon);
		}
	}
	if (port.n > 1 && (port.p[0] != ':' || !sv_to_i64(sv_sub(port, 1, port.n), &n) || n < 1 || n > UINT16_MAX))
		return err_set(err, ERR_BAD_REQUEST, "the URL \"%.*s\" has no valid port", SV_ARG(url));
	if (!host.n || host.n > 253 || sv_find(host, '@') >= 0 || sv_find(rest, '?') >= 0 || sv_find(rest, '#') >= 0)
		return err_set(err, ERR_BAD_REQUEST, "the URL \"%.*s\" is none that can be called", SV_ARG(url));
	t->host = xasprintf("%.*s", SV_ARG(host));
	t->port = (int)n;
	t->path = rest.n ? xasprintf("%.*s", SV_ARG(rest)) : xstrdup("");
	t->url = xasprintf("%.*s", SV_ARG(url));
	t->given = target_is_address(t->host);
	return 0;
}

static int target_service(struct webhook_target *t, const struct val *svc, struct err *err)
{
	struct sv ns = val_get_str(svc, F_namespace), name = val_get_str(svc, F_name), path = val_get_str(svc, F_path);
	int64_t port = val_get_int(svc, HTTPS_PORT, F_port);

	if (!ns.n || !name.n || port < 1 || port > UINT16_MAX)
		return err_set(err, ERR_BAD_REQUEST,
			       "the service reference has no namespace, no name or no valid port");
	t->ns = xasprintf("%.*s", SV_ARG(ns));
	t->name = xasprintf("%.*s", SV_ARG(name));
	t->host = xasprintf("%s.%s.svc", t->name, t->ns);
	t->port = (int)port;
	t->authority = xasprintf("%s:%d", t->host, t->port);
	t->path = xasprintf("%s%.*s", path.n && path.p[0] == '/' ? "" : "/", SV_ARG(path));
	t->url = xasprintf("https://%s:%d%s", t->host, t->port, t->path);
	return 0;
}

struct webhook_target *webhook_target_new(const struct val *cc)
{
	struct webhook_target *t = xcalloc(1, sizeof(*t));
	struct sv url = val_get_str(cc, F_url), ca = val_get_str(cc, F_caBundle);
	const struct val *svc = val_get(cc, F_service);
	int rc;

	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	if (url.n)
		rc = target_url(t, url, &t->wrong);
	else if (val_type(svc) == VAL_MAP)
		rc = target_service(t, svc, &t->wrong);
	else
		rc = err_set(&t->wrong, ERR_BAD_REQUEST, "webhook configuration must have either service or URL");
	if (rc == 0 && ca.n) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv pem;

		if (b64_decode(&a, ca, &pem))
			t->ca_pem = sv_make(xmemdup(pem.p, pem.n), pem.n);
		else
			rc = err_set(&t->wrong, ERR_BAD_REQUEST, "the caBundle is no base64");
	}
	if (rc < 0 && !t->url)
		t->url = xasprintf("%.*s", SV_ARG(url));
	return t;
}

static struct sv target_copy(struct sv pem)
{
	return pem.n ? sv_make(xmemdup(pem.p, pem.n), pem.n) : SV_NULL;
}

struct webhook_target *webhook_target_service(struct sv ns, struct sv name, int port, struct sv ca_pem, bool unchecked,
					      struct sv cert_pem, struct sv key_pem)
{
	struct webhook_target *t = xcalloc(1, sizeof(*t));

	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	t->ns = xstrndup(ns.p, ns.n);
	t->name = xstrndup(name.p, name.n);
	t->host = xasprintf("%s.%s.svc", t->name, t->ns);
	t->port = port;
	t->authority = xasprintf("%s:%d", t->host, port);
	t->path = xstrdup("");
	t->url = xasprintf("https://%s", t->authority);
	t->ca_pem = target_copy(ca_pem);
	t->cert_pem = target_copy(cert_pem);
	t->key_pem = target_copy(key_pem);
	t->shown = true;
	t->unchecked = unchecked;
	return t;
}

struct webhook_target *webhook_target_own(struct sv name, webhook_where_fn *where)
{
	struct webhook_target *t = xcalloc(1, sizeof(*t));

	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	t->where = where;
	t->host = xstrndup(name.p, name.n);
	t->authority = xstrdup(t->host);
	t->path = xstrdup("");
	t->url = xasprintf("https://%s", t->host);
	t->shown = true;
	return t;
}

const char *webhook_target_authority(const struct webhook_target *t)
{
	return t->authority;
}

struct webhook_target *webhook_target_ref(struct webhook_target *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

struct webhook_target *webhook_target_unref(struct webhook_target *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return NULL;
	tls_ctx_unref(t->tls);
	pthread_mutex_destroy(&t->lock);
	err_release(&t->wrong);
	free((char *)(uintptr_t)t->ca_pem.p);
	free((char *)(uintptr_t)t->cert_pem.p);
	free((char *)(uintptr_t)t->key_pem.p);
	free(t->url);
	free(t->path);
	free(t->authority);
	free(t->host);
	free(t->ns);
	free(t->name);
	free(t);
	return NULL;
}

const char *webhook_target_url(const struct webhook_target *t)
{
	return t->url;
}

bool webhook_target_waits(const struct webhook_target *t)
{
	return !t->where && !t->ca_pem.n && !t->unchecked && !tls_system_loaded();
}

struct tls_ctx *webhook_target_tls(struct webhook_target *t, const struct webhook_credential *w, struct err *err)
{
	struct tls_client_opts o = {
		.ca_pem = t->ca_pem, .cert_pem = t->cert_pem, .key_pem = t->key_pem, .insecure = t->unchecked
	};
	struct tls_ctx *tls;

	if (w && w->cert_pem.n) {
		o.cert_pem = w->cert_pem;
		o.key_pem = w->key_pem;
	}
	pthread_mutex_lock(&t->lock);
	if (!t->tls)
		t->tls = tls_client_ctx(&o, err);
	tls = t->tls;
	pthread_mutex_unlock(&t->lock);
	return tls;
}
