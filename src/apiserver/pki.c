#include "apiserver/pki-internal.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/pem.h"
#include "net/key.h"
#include "net/tls.h"

#include <errno.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)1 << 20)
#define RENEW_BEFORE_NS (90 * DAY_NS)
#define NEW_CA "and start with --accept-database to make a new cluster CA, which every kubeconfig and node needs then"

/* Reads DIR/name; 1 when it was there, 0 when not, -1 on failure. */
static int pki_load(struct pki *p, const char *dir, const char *name, struct sv *ret, struct err *err)
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

/* Whether a certificate is valid now and will be for a while. */
static bool lasts(struct pki *p, struct sv cert, int64_t *ret_end)
{
	int64_t from, now = env_now_ns(p->env);

	return cert_validity(cert, &from, ret_end, NULL) == 0 && from <= now && *ret_end - now > RENEW_BEFORE_NS;
}

static int load_ca(struct pki *p, const struct pki_opts *o, struct err *err)
{
	int cert = pki_load(p, o->dir, "ca.crt", &p->ca_cert, err);
	int key = cert < 0 ? -1 : pki_load(p, o->dir, "ca.key", &p->ca_key, err);
	struct cert_opts c = {
		.common_name = "caravel-ca",
		.ca = true,
		.not_after_ns = pki_clock_ns(p) + CA_LIFE_NS,
	};
	int64_t end;

	if (cert < 0 || key < 0)
		return -1;
	if (key && pem_encrypted(p->ca_key))
		return err_set(err, ERR_INTERNAL, "'%s/ca.key': " PEM_ENCRYPTED, o->dir);
	if (cert && key && !cert_is_of(p->ca_cert, p->ca_key, SV("")))
		return err_set(err, ERR_INTERNAL,
			       "'%s/ca.key' and '%s/ca.crt' are not the key and the certificate of one CA, or one is "
			       "damaged: put the right ones back, or remove both " NEW_CA,
			       o->dir, o->dir);
	if (cert && key && lasts(p, p->ca_cert, &end))
		return 0;
	if (cert && key) {
		if (cert_make(&p->arena, &c, SV(""), p->ca_key, &p->ca_cert, &p->ca_key, err) < 0)
			return err_wrap(err, "renewing the cluster CA");
		p->ca_renewed = true;
		save(p, o->dir, "ca.crt", p->ca_cert);
		return 0;
	}
	if (cert != key)
		return err_set(err, ERR_INTERNAL,
			       "'%s' holds only one of ca.crt and ca.key: put the other back, or remove both " NEW_CA,
			       o->dir);
	if (cert_make(&p->arena, &c, SV(""), SV(""), &p->ca_cert, &p->ca_key, err) < 0)
		return err_wrap(err, "making the cluster CA");
	p->unsaved_keys = true;
	/* The key first: a crash between the two leaves what the check above names. */
	save(p, o->dir, "ca.key", p->ca_key);
	save(p, o->dir, "ca.crt", p->ca_cert);
	return 0;
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

/* What is made again when it is of no use: then it does not matter how it is not. */
static int load_renewable(struct pki *p, const char *dir, const char *name, struct sv *ret, struct err *err)
{
	struct err why = ERR_INIT;
	int r = pki_load(p, dir, name, ret, &why);

	if (r >= 0)
		return r;
	if (why.reason != ERR_TOO_LARGE)
		return err_move(err, &why);
	err_release(&why);
	*ret = SV("");
	return 0;
}

static int load_server(struct pki *p, const struct pki_opts *o, struct err *err)
{
	struct sv names = names_text(&p->arena, o), made_for = SV("");
	int cert = load_renewable(p, o->dir, "server.crt", &p->server_cert, err);
	int key = cert < 0 ? -1 : load_renewable(p, o->dir, "server.key", &p->server_key, err);
	int was = key < 0 ? -1 : load_renewable(p, o->dir, "server.names", &made_for, err);
	bool whole;
	struct cert_opts c = {
		.common_name = "kube-apiserver",
		.dns_names = o->names,
		.ip_addrs = o->addrs,
		.server = true,
	};

	if (was < 0)
		return -1;
	whole = cert && key && cert_is_of(p->server_cert, p->server_key, p->ca_cert);
	if (whole && sv_eq(made_for, names) && lasts(p, p->server_cert, &p->server_end_ns))
		return 0;
	if (!whole && (cert || key || was))
		log_kv(LVL_WARN, "apiserver",
		       "the server certificate or its key was damaged, gone, or of another CA: both are made again",
		       "dir", o->dir, NULL);
	if (pki_leaf(p, &p->arena, &c, LEAF_LIFE_NS, &p->server_cert, &p->server_key, err) < 0)
		return err_wrap(err, "making the server certificate");
	p->server_end_ns = c.not_after_ns;
	/* The names last: without them both are made again. */
	save(p, o->dir, "server.crt", p->server_cert);
	save(p, o->dir, "server.key", p->server_key);
	save(p, o->dir, "server.names", names);
	return 0;
}

/* What p->sa_key signs can be checked, first of all by itself: a public key is none to sign with. */
static int sa_key_check(struct pki *p, struct err *err)
{
	struct sv token;

	p->sa_public = jws_keys_pem_all(p->sa_key, err);
	if (!p->sa_public || jws_sign(&p->arena, SV("{}"), p->sa_key, SV(""), &token, err) < 0)
		return -1;
	p->sa_kid = jws_keys_id(p->sa_public);
	p->sa_kid = arena_sv(&p->arena, p->sa_kid); /* the keys may be read again, with others */
	return 0;
}

static int load_sa_key(struct pki *p, const struct pki_opts *o, struct err *err)
{
	int rc = pki_load(p, o->dir, "sa.key", &p->sa_key, err);

	if (rc < 0)
		return -1;
	if (rc == 0) {
		if (key_new_ec(&p->arena, &p->sa_key, err) < 0)
			return -1;
		p->unsaved_keys = true;
		save(p, o->dir, "sa.key", p->sa_key);
	}
	if (o->sa_signing_file)
		return 0;
	if (sa_key_check(p, err) < 0)
		return err_wrap(err, "'%s/sa.key' (put the right one back, or remove it to have a new one made)",
				o->dir ? o->dir : "");
	return 0;
}

static int sa_file(struct pki *p, const char *flag, const char *path, struct sv *ret, struct err *err)
{
	_cleanup_(jws_keys_freep) struct jws_keys *keys = NULL;

	if (file_read(&p->arena, path, FILE_MAX, ret, err) < 0 || !(keys = jws_keys_pem_all(*ret, err)))
		return err_wrap(err, "--%s '%s'", flag, path);
	if (jws_keys_algs(keys) & ~(unsigned)PKI_TOKEN_ALGS)
		return err_set(err, ERR_INVALID, "--%s '%s': Ed25519 keys are none for tokens of service accounts",
			       flag, path);
	return 0;
}

/* Those that the administrator has keys for: signed by one of his, and checked by more. */
static int load_sa_files(struct pki *p, const struct pki_opts *o, struct err *err)
{
	_cleanup_(buf_release) struct buf all = BUF_INIT;
	struct sv pem;

	if (o->sa_signing_file &&
	    (sa_file(p, "service-account-signing-key-file", o->sa_signing_file, &p->sa_key, err) < 0 ||
	     sa_key_check(p, err) < 0))
		return err_wrap(err, "--service-account-signing-key-file");
	if (!o->sa_key_files || !*o->sa_key_files)
		return 0;
	pki_bundle(&all, p->sa_key, SV(""));
	for (const char *const *f = o->sa_key_files; *f; f++) {
		if (sa_file(p, "service-account-key-file", *f, &pem, err) < 0)
			return -1;
		pki_bundle(&all, SV("\n"), pem);
	}
	jws_keys_free(p->sa_public);
	p->sa_public = jws_keys_pem_all(buf_sv(&all), err);
	return p->sa_public ? 0 : err_wrap(err, "--service-account-key-file");
}

/* Nobody but the ConfigMap, which says what is used, has it: it is made anew when it is of no use. */
static int load_front_proxy(struct pki *p, const struct pki_opts *o, struct err *err)
{
	int cert = load_renewable(p, o->dir, "front-proxy-ca.crt", &p->front_ca, err);
	int key = cert < 0 ? -1 : load_renewable(p, o->dir, "front-proxy-ca.key", &p->front_key, err);
	struct cert_opts c = {
		.common_name = "caravel-front-proxy-ca",
		.ca = true,
		.not_after_ns = pki_clock_ns(p) + CA_LIFE_NS,
	};
	int64_t end;

	if (key < 0)
		return -1;
	if (cert && key && cert_is_of(p->front_ca, p->front_key, SV("")) && lasts(p, p->front_ca, &end))
		return 0;
	if (cert_make(&p->arena, &c, SV(""), SV(""), &p->front_ca, &p->front_key, err) < 0)
		return err_wrap(err, "making the front proxy's CA");
	save(p, o->dir, "front-proxy-ca.key", p->front_key);
	save(p, o->dir, "front-proxy-ca.crt", p->front_ca);
	return 0;
}

/* It signs who may read and write all there is, so it is no other CA of the cluster's. Renewed for the same key, as the
 * cluster's own. */
static int load_etcd(struct pki *p, const struct pki_opts *o, struct err *err)
{
	int cert = pki_load(p, o->dir, "etcd-ca.crt", &p->etcd_ca, err);
	int key = cert < 0 ? -1 : pki_load(p, o->dir, "etcd-ca.key", &p->etcd_key, err);
	struct cert_opts c = {
		.common_name = "caravel-etcd-ca",
		.ca = true,
		.not_after_ns = pki_clock_ns(p) + CA_LIFE_NS,
	};
	int64_t end;

	if (key < 0)
		return -1;
	if (cert && key && !cert_is_of(p->etcd_ca, p->etcd_key, SV("")))
		return err_set(
		    err, ERR_INTERNAL,
		    "'%s/etcd-ca.key' and '%s/etcd-ca.crt' are not the key and the certificate of one CA: put "
		    "the right ones back",
		    o->dir, o->dir);
	if (cert && key && lasts(p, p->etcd_ca, &end))
		return 0;
	if (cert && !key)
		return err_set(err, ERR_INTERNAL, "'%s/etcd-ca.key' is gone: put it back", o->dir);
	if (cert_make(&p->arena, &c, SV(""), key ? p->etcd_key : SV(""), &p->etcd_ca, &p->etcd_key, err) < 0)
		return err_wrap(err, "making the CA of etcd");
	save(p, o->dir, "etcd-ca.key", p->etcd_key);
	save(p, o->dir, "etcd-ca.crt", p->etcd_ca);
	return 0;
}

static const char *const *pki_copy_list(struct arena *a, const char *const *list)
{
	const char **copy;
	size_t n = 0;

	while (list && list[n])
		n++;
	copy = ARENA_ARRAY(a, const char *, n + 1);
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a, list[i]);
	return copy;
}

/* A full disk must not keep a server from starting: what the next one makes again as well need not be on it. */
static int pki_save_all(struct pki *p, struct err *err)
{
	struct err why = ERR_INIT;

	if (file_write_several(p->unsaved.p, p->unsaved.n, &why) == 0)
		return 0;
	if (p->unsaved_keys || !err_no_room(&why))
		return err_move(err, &why);
	log_warn("apiserver", "certificates are made, and the next start makes them again", "error", "%s",
		 err_msg(&why));
	err_release(&why);
	return 0;
}

struct pki *pki_open(const struct pki_opts *o, struct err *err)
{
	struct pki *p = xcalloc(1, sizeof(*p));

	p->env = o->env;
	p->dir = o->dir ? arena_strdup(&p->arena, o->dir) : NULL;
	p->only_13 = o->only_13;
	p->suites = o->suites;
	p->names = pki_copy_list(&p->arena, o->names);
	p->addrs = pki_copy_list(&p->arena, o->addrs);
	pthread_mutex_init(&p->lock, NULL);
	if ((o->dir && !o->looks_only && dir_make(o->dir, 0700, err) < 0) || load_ca(p, o, err) < 0 ||
	    (!o->looks_only && load_server(p, o, err) < 0) || load_sa_key(p, o, err) < 0 ||
	    load_sa_files(p, o, err) < 0 || load_front_proxy(p, o, err) < 0 || (o->etcd && load_etcd(p, o, err) < 0) ||
	    (!o->looks_only && pki_save_all(p, err) < 0))
		return pki_close(p);
	vec_release(&p->unsaved);
	return p;
}

/* Files are written before anybody sees the new certificate. What cannot be written now is made again at the next
 * start: it is used all the same. Loops take p->lock, so what takes a disk's time is done beside it. */
int pki_renew(struct pki *p, struct err *err)
{
	const struct pki_opts o = { .dir = p->dir, .names = p->names, .addrs = p->addrs };
	struct pki made = { .env = p->env, .ca_cert = p->ca_cert, .ca_key = p->ca_key };
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	made.server_end_ns = p->server_end_ns;
	pthread_mutex_unlock(&p->lock);
	if (made.server_end_ns - env_now_ns(p->env) > RENEW_BEFORE_NS)
		return 0;
	rc = load_server(&made, &o, err) < 0 ? -1 : 1;
	(void)file_write_several(made.unsaved.p, made.unsaved.n, NULL);
	vec_release(&made.unsaved);
	if (rc > 0) {
		pthread_mutex_lock(&p->lock);
		p->server_cert = arena_sv(&p->arena, made.server_cert);
		p->server_key = arena_sv(&p->arena, made.server_key);
		p->server_end_ns = made.server_end_ns;
		rc = pki_load_tls(p, err) < 0 ? -1 : 1;
		pthread_mutex_unlock(&p->lock);
	}
	arena_release(&made.arena);
	return rc;
}

struct pki *pki_close(struct pki *p)
{
	if (p) {
		tls_ctx_unref(p->tls);
		tls_ctx_unref(p->kubelet_tls);
		tls_ctx_unref(p->any_tls);
		buf_release(&p->more_cas);
		buf_release(&p->proxy_cas);
		pki_drop_named(&p->named_arena, p->named, p->n_named);
		buf_release(&p->shown);
		buf_release(&p->shown_key);
		jws_keys_free(p->sa_public);
		pthread_mutex_destroy(&p->lock);
		vec_release(&p->unsaved);
		arena_release(&p->arena);
	}
	free(p);
	return NULL;
}
