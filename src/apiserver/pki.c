#include "apiserver/pki.h"
#include "base/b64.h"
#include "base/buf.h"
#include "base/file.h"
#include "net/key.h"
#include "net/tls.h"

#include <errno.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)1 << 20)
#define DAY_NS (86400 * NS_PER_SEC)
#define CA_LIFE_NS (3650 * DAY_NS)
#define LEAF_LIFE_NS (365 * DAY_NS)
#define RENEW_BEFORE_NS (90 * DAY_NS)
#define BACKDATE_NS (3600 * NS_PER_SEC) /* other machines' clocks may be behind */

/* Reads DIR/name; 1 when it was there, 0 when not, -1 on failure. */
static int load(struct pki *p, const char *dir, const char *name, struct sv *ret, struct err *err)
{
	_cleanup_free_ char *path = NULL;
	struct err why = ERR_INIT;

	if (!dir)
		return 0;
	path = xasprintf("%s/%s", dir, name);
	if (file_read(&p->arena, path, FILE_MAX, ret, &why) == 0 && ret->n)
		return 1;
	if (why.reason == ERR_NONE || why.errnum == ENOENT) {
		err_release(&why);
		return 0;
	}
	return err_move(err, &why);
}

/* Notes what has been made, for pki_open() to write together. data lives in p->arena. */
static void save(struct pki *p, const char *dir, const char *name, struct sv data)
{
	if (dir)
		vec_push(&p->unsaved, ((struct file_out){ arena_printf(&p->arena, "%s/%s", dir, name), data, 0600 }));
}

static int64_t not_before(struct pki *p)
{
	return env_now_ns(p->env) - BACKDATE_NS;
}

static int load_ca(struct pki *p, const struct pki_opts *o, struct err *err)
{
	int cert = load(p, o->dir, "ca.crt", &p->ca_cert, err);
	int key = cert < 0 ? -1 : load(p, o->dir, "ca.key", &p->ca_key, err);
	struct cert_opts c = {
		.common_name = "caravel-ca",
		.ca = true,
		.not_before_ns = not_before(p),
		.not_after_ns = env_now_ns(p->env) + CA_LIFE_NS,
	};

	if (cert < 0 || key < 0)
		return -1;
	if (cert && key)
		return 0;
	if (cert != key)
		return err_set(err, ERR_INTERNAL,
			       "'%s' holds only one of ca.crt and ca.key: put the other back, or remove both to make a "
			       "new cluster CA",
			       o->dir);
	if (cert_make(&p->arena, &c, SV(""), SV(""), &p->ca_cert, &p->ca_key, err) < 0)
		return err_wrap(err, "making the cluster CA");
	/* The key first: a crash between the two leaves what the check above names. */
	save(p, o->dir, "ca.key", p->ca_key);
	save(p, o->dir, "ca.crt", p->ca_cert);
	return 0;
}

static int leaf(struct pki *p, struct arena *a, struct cert_opts *c, struct sv *ret_cert, struct sv *ret_key,
		struct err *err)
{
	c->not_before_ns = not_before(p);
	c->not_after_ns = env_now_ns(p->env) + LEAF_LIFE_NS;
	return cert_make(a, c, p->ca_cert, p->ca_key, ret_cert, ret_key, err);
}

/* The names a certificate was made for, kept beside it: cheaper to compare than to parse. */
static struct sv names_text(struct arena *a, const struct pki_opts *o)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (const char *const *n = o->names; n && *n; n++)
		buf_printf(&b, "DNS %s\n", *n);
	for (const char *const *n = o->addrs; n && *n; n++)
		buf_printf(&b, "IP %s\n", *n);
	return arena_sv(a, buf_sv(&b));
}

static int load_server(struct pki *p, const struct pki_opts *o, struct err *err)
{
	struct sv names = names_text(&p->arena, o), made_for = SV("");
	int cert = load(p, o->dir, "server.crt", &p->server_cert, err);
	int key = cert < 0 ? -1 : load(p, o->dir, "server.key", &p->server_key, err);
	int was = key < 0 ? -1 : load(p, o->dir, "server.names", &made_for, err);
	int64_t end;
	struct cert_opts c = {
		.common_name = "kube-apiserver",
		.dns_names = o->names,
		.ip_addrs = o->addrs,
		.server = true,
	};

	if (was < 0)
		return -1;
	if (cert && key && sv_eq(made_for, names) && cert_not_after(p->server_cert, &end, NULL) == 0 &&
	    end - env_now_ns(p->env) > RENEW_BEFORE_NS)
		return 0;
	if (leaf(p, &p->arena, &c, &p->server_cert, &p->server_key, err) < 0)
		return err_wrap(err, "making the server certificate");
	/* The names last: without them both are made again. */
	save(p, o->dir, "server.crt", p->server_cert);
	save(p, o->dir, "server.key", p->server_key);
	save(p, o->dir, "server.names", names);
	return 0;
}

static int load_sa_key(struct pki *p, const struct pki_opts *o, struct err *err)
{
	int rc = load(p, o->dir, "sa.key", &p->sa_key, err);

	if (rc < 0)
		return -1;
	if (rc == 0) {
		if (key_new_ec(&p->arena, &p->sa_key, err) < 0)
			return -1;
		save(p, o->dir, "sa.key", p->sa_key);
	}
	if (key_public_pem(&p->arena, p->sa_key, &p->sa_public, err) < 0)
		return -1;
	return key_public_jwk(&p->arena, p->sa_key, &p->sa_x, &p->sa_y, &p->sa_kid, err);
}

static int load_token(struct pki *p, const struct pki_opts *o, struct err *err)
{
	char secret[24];
	int rc = load(p, o->dir, "token", &p->token, err);

	if (rc < 0)
		return -1;
	if (rc)
		p->token = sv_trim(p->token);
	if (o->token) {
		if (rc && sv_is(p->token, o->token))
			return 0;
		p->token = arena_sv(&p->arena, sv_from(o->token));
		save(p, o->dir, "token", p->token);
		return 0;
	}
	if (rc)
		return 0;
	env_random(p->env, secret, sizeof(secret));
	p->token = b64url_encode(&p->arena, sv_make(secret, sizeof(secret)));
	save(p, o->dir, "token", p->token);
	return 0;
}

struct pki *pki_open(const struct pki_opts *o, struct err *err)
{
	struct pki *p = xcalloc(1, sizeof(*p));

	p->env = o->env;
	pthread_mutex_init(&p->lock, NULL);
	if ((o->dir && dir_make(o->dir, 0700, err) < 0) || load_ca(p, o, err) < 0 || load_server(p, o, err) < 0 ||
	    load_sa_key(p, o, err) < 0 || load_token(p, o, err) < 0 ||
	    file_write_several(p->unsaved.p, p->unsaved.n, err) < 0)
		return pki_close(p);
	vec_release(&p->unsaved);
	return p;
}

struct pki *pki_close(struct pki *p)
{
	if (p) {
		tls_ctx_unref(p->tls);
		tls_ctx_unref(p->kubelet_tls);
		pthread_mutex_destroy(&p->lock);
		vec_release(&p->unsaved);
		arena_release(&p->arena);
	}
	free(p);
	return NULL;
}

int pki_client_cert(struct pki *p, struct arena *a, const char *cn, const char *const *orgs, struct sv *ret_cert,
		    struct sv *ret_key, struct err *err)
{
	struct cert_opts c = { .common_name = cn, .organizations = orgs, .client = true };

	return leaf(p, a, &c, ret_cert, ret_key, err);
}

int pki_server_cert(struct pki *p, struct arena *a, const char *cn, const char *const *dns, const char *const *ips,
		    struct sv *ret_cert, struct sv *ret_key, struct err *err)
{
	struct cert_opts c = { .common_name = cn, .dns_names = dns, .ip_addrs = ips, .server = true };

	return leaf(p, a, &c, ret_cert, ret_key, err);
}

struct tls_ctx *pki_kubelet_tls(struct pki *p, struct err *err)
{
	static const char *const masters[] = { "system:masters", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct tls_client_opts o = { .ca_pem = p->ca_cert };
	struct tls_ctx *tls;

	pthread_mutex_lock(&p->lock);
	if (!p->kubelet_tls &&
	    pki_client_cert(p, &a, "kube-apiserver-kubelet-client", masters, &o.cert_pem, &o.key_pem, err) == 0)
		p->kubelet_tls = tls_client_ctx(&o, err);
	tls = p->kubelet_tls;
	pthread_mutex_unlock(&p->lock);
	return tls;
}

int pki_admin_kubeconfig(struct pki *p, struct arena *a, const char *server_url, struct sv *ret_yaml, struct err *err)
{
	static const char *const masters[] = { "system:masters", NULL };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv cert, key;

	if (pki_client_cert(p, a, "system:admin", masters, &cert, &key, err) < 0)
		return -1;
	buf_adds(&b, "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n    server: ");
	buf_adds(&b, server_url);
	buf_adds(&b, "\n    certificate-authority-data: ");
	b64_add(&b, p->ca_cert);
	buf_adds(&b, "\nusers:\n- name: default\n  user:\n    client-certificate-data: ");
	b64_add(&b, cert);
	buf_adds(&b, "\n    client-key-data: ");
	b64_add(&b, key);
	buf_adds(&b, "\ncontexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n"
		     "current-context: default\n");
	*ret_yaml = arena_sv(a, buf_sv(&b));
	return 0;
}
