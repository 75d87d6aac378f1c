/* The server's keys and certificates, as its other parts and the command line ask for them. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/pki.h"
#include "apiserver/watched_file.h"
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

#define SNI_NAMES_MAX 64
#define CA_FILE_MAX ((size_t)1 << 20)
#define KEY_FILE_MAX ((size_t)1 << 20)

static int credentials_read_ca(struct arena *a, const char *flag, const char *path, struct sv *ret, struct err *err)
{
	if (path && (file_read(a, path, CA_FILE_MAX, ret, err) < 0 || cert_chain_check(*ret, err) < 0))
		return err_wrap(err, "--%s", flag);
	return 0;
}

static int credentials_read_key(struct arena *a, const char *flag, const char *path, struct sv *ret, struct err *err)
{
	return path && file_read(a, path, KEY_FILE_MAX, ret, err) < 0 ? err_wrap(err, "--%s", flag) : 0;
}

/* --- files that are looked at again --- */

/* The files of one watch (watched_file.h) as one text: each behind its length. What they say is in the PKI, so that
 * the value is only that there is one. */
static void *credentials_kept(void *value)
{
	return value;
}

static void *credentials_left(void *value)
{
	(void)value;
	return NULL;
}

static void credentials_put(struct buf *b, struct sv text)
{
	buf_printf(b, "%zu%c", text.n, 0);
	buf_addsv(b, text);
}

static struct sv credentials_take(struct sv *rest)
{
	struct sv size, text;
	uint64_t n;

	if (!sv_split(rest, '\0', &size) || !sv_to_u64(size, &n) || n > rest->n)
		return SV("");
	text = sv_sub(*rest, 0, (size_t)n);
	*rest = sv_sub(*rest, (size_t)n, rest->n);
	return text;
}

/* Whose certificates count. */
static int credentials_read_cas(void *ctx, struct arena *a, struct sv *ret, struct err *err)
{
	const struct apiserver *s = ctx;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv clients = SV(""), proxies = SV("");

	if (credentials_read_ca(a, "client-ca-file", s->o.client_ca_file, &clients, err) < 0 ||
	    credentials_read_ca(a, "requestheader-client-ca-file", s->o.front_proxies.ca_file, &proxies, err) < 0)
		return -1;
	credentials_put(&b, clients);
	credentials_put(&b, proxies);
	*ret = arena_sv(a, buf_sv(&b));
	return 0;
}

static void *credentials_trust(void *ctx, struct sv text, struct err *err)
{
	struct apiserver *s = ctx;
	struct sv clients = credentials_take(&text), proxies = credentials_take(&text);

	return pki_trust(s->pki, clients, proxies, err) < 0 ? NULL : s;
}

/* What is served with. */
static int credentials_read_shown(void *ctx, struct arena *a, struct sv *ret, struct err *err)
{
	const struct apiserver *s = ctx;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv cert = SV(""), key = SV("");

	if (credentials_read_ca(a, "tls-cert-file", s->o.tls_cert_file, &cert, err) < 0 ||
	    credentials_read_key(a, "tls-private-key-file", s->o.tls_key_file, &key, err) < 0)
		return -1;
	/* Of a pair that is being replaced one is the old one's. */
	if (!cert_is_of(cert, key, SV("")))
		return err_set(err, ERR_INVALID, "'%s' is not the key of the certificate in '%s', or is encrypted",
			       s->o.tls_key_file, s->o.tls_cert_file);
	credentials_put(&b, cert);
	credentials_put(&b, key);
	*ret = arena_sv(a, buf_sv(&b));
	explicit_bzero((void *)(uintptr_t)key.p, key.n);
	explicit_bzero(b.p, b.n);
	return 0;
}

static void *credentials_show(void *ctx, struct sv text, struct err *err)
{
	struct apiserver *s = ctx;
	struct sv cert = credentials_take(&text), key = credentials_take(&text);

	return pki_show(s->pki, cert, key, err) < 0 ? NULL : s;
}

/* What is shown to who asks for other names: CERT,KEY[:NAME,...] each. */
struct sni_spec {
	const char *cert_file, *key_file;
	struct sv names[SNI_NAMES_MAX];
	size_t n;
};

static int sni_parse(struct arena *a, const char *text, struct sni_spec *ret, struct err *err)
{
	struct sv rest = sv_from(text), pair, cert, key, one;

	*ret = (struct sni_spec){ 0 };
	(void)sv_split(&rest, ':', &pair);
	if (rest.p && !sv_trim(rest).n)
		return err_set(err, ERR_INVALID, "empty names list is not allowed");
	while (rest.p && sv_split(&rest, ',', &one)) {
		if (ret->n == SNI_NAMES_MAX)
			return err_set(err, ERR_INVALID, "more than %d names", SNI_NAMES_MAX);
		ret->names[ret->n++] = sv_trim(one);
	}
	key = pair;
	(void)sv_split(&key, ',', &cert);
	if (!key.p || sv_find(key, ',') >= 0 || !sv_trim(cert).n || !sv_trim(key).n)
		return err_set(err, ERR_INVALID, "expected comma separated certificate and key file paths");
	ret->cert_file = arena_cstr(a, sv_trim(cert));
	ret->key_file = arena_cstr(a, sv_trim(key));
	return 0;
}

int apiserver_check_sni(const char *const *list, struct err *err)
{
	for (; list && *list; list++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sni_spec spec;

		if (sni_parse(&a, *list, &spec, err) < 0)
			return err_wrap(err, "--tls-sni-cert-key '%s'", *list);
	}
	return 0;
}

static int credentials_read_named(void *ctx, struct arena *a, struct sv *ret, struct err *err)
{
	const struct apiserver *s = ctx;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int rc = 0;

	for (const char *const *l = s->o.tls_sni; *l && rc == 0; l++) {
		struct sv cert = SV(""), key = SV("");
		struct sni_spec spec;

		rc = sni_parse(a, *l, &spec, err) < 0 ? err_wrap(err, "--tls-sni-cert-key '%s'", *l) : 0;
		if (rc == 0 && (credentials_read_ca(a, "tls-sni-cert-key", spec.cert_file, &cert, err) < 0 ||
				credentials_read_key(a, "tls-sni-cert-key", spec.key_file, &key, err) < 0))
			rc = -1;
		if (rc == 0 && !cert_is_of(cert, key, SV("")))
			rc = err_set(
			    err, ERR_INVALID,
			    "--tls-sni-cert-key: '%s' is not the key of the certificate in '%s', or is encrypted",
			    spec.key_file, spec.cert_file);
		if (rc == 0) {
			credentials_put(&b, cert);
			credentials_put(&b, key);
		}
		if (key.n)
			explicit_bzero((void *)(uintptr_t)key.p, key.n);
	}
	if (rc == 0)
		*ret = arena_sv(a, buf_sv(&b));
	if (b.n)
		explicit_bzero(b.p, b.n);
	return rc;
}

static void *credentials_name(void *ctx, struct sv text, struct err *err)
{
	struct apiserver *s = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct tls_named *named;
	size_t n = 0;

	while (s->o.tls_sni[n])
		n++;
	named = ARENA_ARRAY(&a, struct tls_named, n + 1);
	for (size_t i = 0; i < n; i++) {
		struct sni_spec *spec = ARENA_NEW(&a, struct sni_spec);

		if (sni_parse(&a, s->o.tls_sni[i], spec, err) < 0)
			return NULL;
		named[i].cert_pem = credentials_take(&text);
		named[i].key_pem = credentials_take(&text);
		named[i].names = spec->names;
		named[i].n_names = spec->n;
	}
	return pki_name(s->pki, named, n, err) < 0 ? NULL : s;
}

/* Each kind is watched by itself: what is wrong with one keeps none of the others. */
static const struct credentials_file {
	const char *what;
	int (*read)(void *ctx, struct arena *a, struct sv *ret, struct err *err);
	void *(*make)(void *ctx, struct sv text, struct err *err);
} credentials_files[CREDENTIALS_FILES] = {
	{ "the CAs of clients and proxies", credentials_read_cas, credentials_trust },
	{ "the serving certificate", credentials_read_shown, credentials_show },
	{ "the certificates of other names", credentials_read_named, credentials_name },
};

static bool credentials_wanted(const struct apiserver *s, size_t i)
{
	return i == 0	? s->o.client_ca_file || s->o.front_proxies.ca_file
	       : i == 1 ? s->o.tls_cert_file != NULL
			: s->o.tls_sni && *s->o.tls_sni;
}

static int credentials_watch(struct apiserver *s, struct err *err)
{
	for (size_t i = 0; i < CREDENTIALS_FILES; i++) {
		const struct credentials_file *f = &credentials_files[i];

		if (!credentials_wanted(s, i))
			continue;
		s->credentials[i] = watched_file_new(&(struct watched_file_opts){ .area = "apiserver",
										  .what = f->what,
										  .read = f->read,
										  .make = f->make,
										  .ref = credentials_kept,
										  .unref = credentials_left,
										  .ctx = s },
						     err);
		if (!s->credentials[i])
			return -1;
	}
	return 0;
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
	if (!s->pki || credentials_watch(s, err) < 0 || credentials_kubelets(s, err) < 0)
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

/* Logged here and not below: nobody waits for the outcome. New connections are shown, and known by, what is new. */
void pki_keep(struct apiserver *s)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	int rc = s->pki ? pki_renew(s->pki, &err) : 0;
	bool changed = rc > 0;

	if (rc < 0)
		log_warn("apiserver", "the server certificate cannot be renewed", "error", "%s", err_msg(&err));
	if (rc > 0)
		log_kv(LVL_INFO, "apiserver", "renewed the server certificate", NULL);
	for (size_t i = 0; i < CREDENTIALS_FILES; i++)
		changed = watched_file_look(s->credentials[i]) > 0 || changed;
	if (changed && s->o.certs_renewed)
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
	for (size_t i = 0; i < CREDENTIALS_FILES; i++)
		s->credentials[i] = watched_file_free(s->credentials[i]);
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
