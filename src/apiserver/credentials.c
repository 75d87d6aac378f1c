/* The server's keys and certificates, as its other parts and the command line ask for them. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/pki.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "base/vec.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_address(const char *s)
{
	struct in6_addr any;

	return inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1;
}

const char *apiserver_first_service_ip(struct apiserver *s, struct arena *a)
{
	struct sv rest = sv_from(s->o.service_cidr), first;
	struct ip_net net = { IP_NONE, 0 };

	sv_split(&rest, ',', &first);
	(void)ip_net_parse(sv_trim(first), &net); /* allocators_start() has looked at it */
	return arena_strdup(a, ip_text(ip_add(net.addr, 1)).s);
}

/* --- whose certificates count besides --- */

#define CA_FILE_MAX ((size_t)1 << 20)

static int credentials_read_ca(struct arena *a, const char *flag, const char *path, struct sv *ret, struct err *err)
{
	if (path && (file_read(a, path, CA_FILE_MAX, ret, err) < 0 || cert_chain_check(*ret, err) < 0))
		return err_wrap(err, "--%s", flag);
	return 0;
}

/* Whose certificates count, by the files, as they are now. 1: something else than before. */
static int credentials_trust(struct apiserver *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv clients = SV(""), proxies = SV("");

	if (!s->o.client_ca_file && !s->o.front_proxies.ca_file)
		return 0;
	if (credentials_read_ca(&a, "client-ca-file", s->o.client_ca_file, &clients, err) < 0 ||
	    credentials_read_ca(&a, "requestheader-client-ca-file", s->o.front_proxies.ca_file, &proxies, err) < 0)
		return -1;
	return pki_trust(s->pki, clients, proxies, err);
}

#define KEY_FILE_MAX ((size_t)1 << 20)

static int credentials_read_key(struct arena *a, const char *flag, const char *path, struct sv *ret, struct err *err)
{
	return path && file_read(a, path, KEY_FILE_MAX, ret, err) < 0 ? err_wrap(err, "--%s", flag) : 0;
}

/* What is served with, by the files, as they are now. 1: something else than before. */
static int credentials_show(struct apiserver *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv cert = SV(""), key = SV("");
	int rc;

	if (!s->o.tls_cert_file)
		return 0;
	if (credentials_read_ca(&a, "tls-cert-file", s->o.tls_cert_file, &cert, err) < 0 ||
	    credentials_read_key(&a, "tls-private-key-file", s->o.tls_key_file, &key, err) < 0)
		return -1;
	/* Of a pair that is being replaced one is the old one's. */
	if (!cert_is_of(cert, key, SV("")))
		return err_set(err, ERR_INVALID, "'%s' is not the key of the certificate in '%s', or is encrypted",
			       s->o.tls_key_file, s->o.tls_cert_file);
	rc = pki_show(s->pki, cert, key, err);
	explicit_bzero((void *)key.p, key.n);
	return rc;
}

/* A pair that is read once; "": no files. */
static int credentials_pair(struct arena *a, const char *cert_flag, const char *cert_file, const char *key_flag,
			    const char *key_file, struct sv *ret_cert, struct sv *ret_key, struct err *err)
{
	if (credentials_read_ca(a, cert_flag, cert_file, ret_cert, err) < 0 ||
	    credentials_read_key(a, key_flag, key_file, ret_key, err) < 0)
		return -1;
	if (ret_cert->n && !cert_is_of(*ret_cert, *ret_key, SV("")))
		return err_set(err, ERR_INVALID, "'%s' is not the key of the certificate in '%s', or is encrypted",
			       key_file, cert_file);
	return 0;
}

static int credentials_kubelets(struct apiserver *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct apiserver_kubelets *k = &s->o.kubelets;
	struct sv ca = SV(""), cert = SV(""), key = SV("");

	if (credentials_read_ca(&a, "kubelet-certificate-authority", k->ca_file, &ca, err) < 0 ||
	    credentials_pair(&a, "kubelet-client-certificate", k->cert_file, "kubelet-client-key", k->key_file, &cert,
			     &key, err) < 0)
		return -1;
	pki_kubelets(s->pki, ca, cert, key);
	return 0;
}

static int credentials_load(struct apiserver *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	VEC(const char *) names = VEC_INIT, addrs = VEC_INIT;
	char host[256] = "localhost";

	(void)gethostname(host, sizeof(host) - 1);
	vec_push(&names, "kubernetes");
	vec_push(&names, "kubernetes.default");
	vec_push(&names, "kubernetes.default.svc");
	vec_push(&names, arena_printf(&a, "kubernetes.default.svc.%s", s->o.cluster_domain));
	vec_push(&names, "localhost");
	vec_push(&names, host);
	vec_push(&addrs, "127.0.0.1");
	vec_push(&addrs, "::1");
	vec_push(&addrs, apiserver_first_service_ip(s, &a));
	if (s->o.advertise_address)
		vec_push(&addrs, s->o.advertise_address);
	for (const char *const *san = s->o.tls_sans; san && *san; san++) {
		if (is_address(*san))
			vec_push(&addrs, *san);
		else
			vec_push(&names, *san);
	}
	vec_push(&names, NULL);
	vec_push(&addrs, NULL);
	s->pki = pki_open(
	    &(struct pki_opts){
		.env = s->env,
		.dir = s->o.data_dir ? arena_printf(&a, "%s/pki", s->o.data_dir) : NULL,
		.names = names.p,
		.addrs = addrs.p,
		.only_13 = s->o.tls_only_13,
		.suites = s->o.tls_suites,
		.sa_signing_file = s->o.accounts.signing_key_file,
		.sa_key_files = s->o.accounts.key_files,
	    },
	    err);
	vec_release(&names);
	vec_release(&addrs);
	if (!s->pki || credentials_trust(s, err) < 0 || credentials_show(s, err) < 0 ||
	    credentials_kubelets(s, err) < 0)
		return -1;
	return s->pki->tls ? 0 : pki_load_tls(s->pki, err);
}

static void loading(void *ctx)
{
	struct apiserver *s = ctx;
	struct err err = ERR_INIT;

	(void)credentials_load(s, &err);
	pthread_mutex_lock(&s->lock);
	s->pki_err = err;
	s->pki_loading = false;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void pki_begin(struct apiserver *s)
{
	s->pki_loading = true;
	if (env_thread(s->env, "pki", loading, s) < 0)
		loading(s);
}

int pki_wait(struct apiserver *s, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	while (s->pki_loading)
		pthread_cond_wait(&s->cond, &s->lock);
	if (s->pki_err.reason != ERR_NONE)
		rc = err_move(err, &s->pki_err);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* Logged here and not below: nobody waits for the outcome. */
void pki_keep(struct apiserver *s)
{
	_cleanup_(err_release) struct err err = ERR_INIT, why = ERR_INIT;
	int rc = s->pki ? pki_renew(s->pki, &err) : 0;
	int trust = s->pki ? credentials_trust(s, &why) : 0;
	int shown = s->pki && trust >= 0 ? credentials_show(s, &why) : 0;

	if (rc < 0)
		log_warn("apiserver", "the server certificate cannot be renewed", "error", "%s", err_msg(&err));
	if ((trust < 0 || shown < 0) && !s->ca_told)
		log_warn("apiserver", "a file of certificates is wrong: those before count on", "error", "%s",
			 err_msg(&why));
	s->ca_told = trust < 0 || shown < 0;
	if (rc > 0)
		log_kv(LVL_INFO, "apiserver", "renewed the server certificate", NULL);
	if (trust > 0)
		log_kv(LVL_INFO, "apiserver", "the CAs of clients have changed: new connections know the new ones",
		       NULL);
	if (shown > 0)
		log_kv(LVL_INFO, "apiserver",
		       "the serving certificate has changed: new connections are shown the new one", NULL);
	if ((rc > 0 || trust > 0 || shown > 0) && s->o.certs_renewed)
		s->o.certs_renewed(s->o.certs_ctx, s->pki->tls);
}

void apiserver_check_clock(struct apiserver *s)
{
	char text[TIME_TEXT_MAX];
	int64_t now = env_now_ns(s->env);

	if (now < CLOCK_FLOOR_NS)
		log_warn("apiserver",
			 "the clock of this machine has not been set: tokens and time stamps will be wrong", "clock",
			 "%.*s", SV_ARG(time_format(now, false, text)));
	if (s->pki && s->pki->ca_renewed)
		log_warn(
		    "apiserver",
		    "the cluster CA was expired or not valid yet and has a new certificate: kubeconfigs other than "
		    "the one written at the start need it",
		    "clock", "%.*s", SV_ARG(time_format(now, false, text)));
}

void pki_free(struct apiserver *s)
{
	(void)pki_wait(s, NULL);
	s->pki = pki_close(s->pki);
}

struct tls_ctx *apiserver_tls(struct apiserver *s)
{
	return s->pki ? s->pki->tls : NULL;
}

struct sv apiserver_ca_pem(struct apiserver *s)
{
	return s->pki ? s->pki->ca_cert : SV("");
}

struct sv apiserver_ca_key_pem(struct apiserver *s)
{
	return s->pki ? s->pki->ca_key : SV("");
}

struct sv apiserver_cert_pem(struct apiserver *s)
{
	return s->pki ? s->pki->server_cert : SV("");
}

struct sv apiserver_token_key_pem(struct apiserver *s)
{
	/* Where a program signs, nobody would take what this key has signed. */
	return s->pki && !s->o.accounts.signing_endpoint ? s->pki->sa_key : SV("");
}

int apiserver_admin_kubeconfig(struct apiserver *s, struct arena *a, const char *server_url, struct sv *ret_yaml,
			       struct err *err)
{
	return pki_admin_kubeconfig(s->pki, a, server_url, ret_yaml, err);
}

int apiserver_issue_client_cert(struct apiserver *s, struct arena *a, const char *cn, const char *const *orgs,
				struct sv *ret_cert, struct sv *ret_key, struct err *err)
{
	return pki_client_cert(s->pki, a, cn, orgs, ret_cert, ret_key, err);
}

int apiserver_issue_server_cert(struct apiserver *s, struct arena *a, const char *cn, const char *const *dns,
				const char *const *ips, struct sv *ret_cert, struct sv *ret_key, struct err *err)
{
	return pki_server_cert(s->pki, a, cn, dns, ips, ret_cert, ret_key, err);
}
