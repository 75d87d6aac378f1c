/* TLS contexts. A server context asks for client certificates when it has a CA for them, and
 * accepts any: whether one verified is recorded by OpenSSL (SSL_get_verify_result) and judged
 * by the authenticator, which can then answer 401 instead of breaking the connection. */
#include "net/net-internal.h"
#include "base/buf.h"
#include "base/pem.h"
#include "base/pem_key.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct tls_ctx {
	_Atomic int refs;
	SSL_CTX *ssl;
	bool insecure;
};

/* A second store of anchors hangs on the SSL_CTX, which connections keep longer than they keep us. */
static pthread_once_t tls_proxies_once = PTHREAD_ONCE_INIT;
static int tls_proxies_index;

static void tls_proxies_free(void *parent, void *store, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	X509_STORE_free(store);
}

static void tls_proxies_init(void)
{
	tls_proxies_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tls_proxies_free);
}

int tls_err(struct err *err, const SSL *ssl, enum err_reason reason, const char *what)
{
	unsigned long code = ERR_peek_error();
	long verify = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	const char *why = NULL;

	if (verify != X509_V_OK)
		why = X509_verify_cert_error_string(verify);
	else if (code)
		why = ERR_reason_error_string(code);
	ERR_clear_error();
	return err_set(err, reason, "%s: %s", what, why ? why : "TLS failed");
}

static BIO *tls_bio(struct sv pem)
{
	BUG_ON(pem.n > INT_MAX);
	return BIO_new_mem_buf(pem.p, (int)pem.n);
}

/* The end of a PEM file shows as an error; anything else is one. */
static bool tls_pem_ended(void)
{
	unsigned long e = ERR_peek_last_error();

	ERR_clear_error();
	return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static int tls_use_cert(SSL_CTX *ctx, struct sv cert_pem, struct sv key_pem, struct err *err)
{
	_cleanup_(bio_freep) BIO *cb = tls_bio(cert_pem);
	_cleanup_(x509_freep) X509 *leaf = PEM_read_bio_X509(cb, NULL, pem_no_password, NULL);
	_cleanup_(pkey_freep) EVP_PKEY *key = NULL;
	X509 *next;

	if (!leaf || SSL_CTX_use_certificate(ctx, leaf) != 1)
		return tls_err(err, NULL, ERR_INVALID, "reading the certificate");
	while ((next = PEM_read_bio_X509(cb, NULL, pem_no_password, NULL))) {
		if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
			X509_free(next);
			return tls_err(err, NULL, ERR_INVALID, "reading the certificate chain");
		}
	}
	if (!tls_pem_ended())
		return err_set(err, ERR_INVALID, "reading the certificate chain: malformed PEM");
	key = pem_private_key(key_pem);
	if (!key && pem_encrypted(key_pem)) {
		ERR_clear_error();
		return err_set(err, ERR_INVALID, "reading the private key: " PEM_ENCRYPTED);
	}
	if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return tls_err(err, NULL, ERR_INVALID, "reading the private key");
	return 0;
}

/* Adds every certificate of the bundle as a trust anchor to store; names: also into the list of CAs
 * that a server shows to clients. */
static int tls_trust(SSL_CTX *ctx, X509_STORE *store, struct sv pem, bool names, struct err *err)
{
	_cleanup_(bio_freep) BIO *b = tls_bio(pem);
	size_t n = 0;

	for (;; n++) {
		_cleanup_(x509_freep) X509 *x = PEM_read_bio_X509(b, NULL, pem_no_password, NULL);

		if (!x)
			break;
		if (X509_STORE_add_cert(store, x) != 1 || (names && SSL_CTX_add_client_CA(ctx, x) != 1))
			return tls_err(err, NULL, ERR_INVALID, "reading the CA bundle");
	}
	if (!tls_pem_ended())
		return err_set(err, ERR_INVALID, "reading the CA bundle: malformed PEM");
	if (n == 0)
		return err_set(err, ERR_INVALID, "reading the CA bundle: no certificate in it");
	/* A root need not be self-signed to be trusted, as in Go. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

static struct tls_ctx *tls_none(struct err *err)
{
	(void)tls_err(err, NULL, ERR_UNAVAILABLE, "this machine's OpenSSL does not offer TLS 1.2 and 1.3 as needed");
	return NULL;
}

/* What may fail here is the machine's OpenSSL configuration (a policy, a provider without an algorithm). */
static struct tls_ctx *tls_ctx_new(const SSL_METHOD *method, struct err *err)
{
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *c = xcalloc(1, sizeof(*c));

	c->refs = 1;
	c->ssl = SSL_CTX_new(method);
	if (!c->ssl || SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) != 1)
		return tls_none(err);
	/* An idle connection holds no record buffers. A write may be retried from another address.
	 * The chain we show is the one given, not one guessed from the trust anchors. */
	SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	/* No resumption: sessions would have to carry the client's identity along, and connections
	 * here live long. */
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(c->ssl, 0);
	/* What Go's defaults leave of TLS 1.2. */
	if (SSL_CTX_set_cipher_list(c->ssl, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
		return tls_none(err);
	/* AES-128 first where both sides have it: no weaker in practice, and faster. */
	if (SSL_CTX_set_ciphersuites(c->ssl,
				     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") != 1)
		return tls_none(err);
	return TAKE(c);
}

static int tls_verify_none(X509_STORE_CTX *x, void *arg)
{
	(void)arg;
	(void)X509_verify_cert(x); /* the outcome stays in x and becomes SSL_get_verify_result() */
	return 1;
}

static int tls_alpn_select(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
			   unsigned int inlen, void *arg)
{
	static const unsigned char ours[] = "\2h2\10http/1.1";

	(void)ssl;
	(void)arg;
	/* Nothing in common: go on without; the peer then gets HTTP/1.1 as one without ALPN does. */
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, outlen, ours, sizeof(ours) - 1, in, inlen) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

static int tls_trust_proxies(struct tls_ctx *c, struct sv pem, struct err *err)
{
	X509_STORE *proxies = X509_STORE_new();

	pthread_once(&tls_proxies_once, tls_proxies_init);
	if (!proxies || SSL_CTX_set_ex_data(c->ssl, tls_proxies_index, proxies) != 1) {
		X509_STORE_free(proxies);
		return tls_err(err, NULL, ERR_INTERNAL, "preparing TLS");
	}
	return tls_trust(c->ssl, proxies, pem, true, err);
}

static const char *const tls_suites_13[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
					     "TLS_CHACHA20_POLY1305_SHA256" };

static bool tls_suite_is_13(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(tls_suites_13); i++)
		if (strcmp(tls_suites_13[i], name) == 0)
			return true;
	return false;
}

/* OpenSSL's name of a suite of TLS 1.2; NULL: there is none. */
static const char *tls_suite_name(const char *standard)
{
	const char *name = OPENSSL_cipher_name(standard);

	return strcmp(name, "(NONE)") == 0 ? NULL : name;
}

static int tls_set_suites(SSL_CTX *ctx, const char *const *suites, struct err *err)
{
	_cleanup_(buf_release) struct buf list = BUF_INIT;

	for (; suites && *suites; suites++) {
		const char *name = tls_suite_is_13(*suites) ? NULL : tls_suite_name(*suites);

		if (name)
			buf_printf(&list, "%s%s", list.n ? ":" : "", name);
	}
	if (list.n && SSL_CTX_set_cipher_list(ctx, buf_cstr(&list)) != 1)
		return tls_err(err, NULL, ERR_INVALID, "choosing the cipher suites");
	return 0;
}

int tls_suites_check(const char *const *suites, struct err *err)
{
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *c = suites && *suites ? tls_ctx_new(TLS_server_method(), err) : NULL;

	if (suites && *suites && !c)
		return -1;
	for (const char *const *s = suites; s && *s; s++)
		if (!tls_suite_is_13(*s) && !tls_suite_name(*s))
			return err_set(err, ERR_INVALID, "Cipher suite %s not supported or doesn't exist", *s);
	return c ? tls_set_suites(c->ssl, suites, err) : 0;
}

struct tls_ctx *tls_server_ctx(const struct tls_server_opts *o, struct err *err)
{
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *c = tls_ctx_new(TLS_server_method(), err);

	if (!c || tls_use_cert(c->ssl, o->cert_pem, o->key_pem, err) < 0 || tls_set_suites(c->ssl, o->suites, err) < 0)
		return NULL;
	if (tls_names_set(c->ssl, o->named, o->n_named) < 0) {
		(void)tls_err(err, NULL, ERR_INVALID, "reading a certificate for other names and its key");
		return NULL;
	}
	if (o->only_13 && SSL_CTX_set_min_proto_version(c->ssl, TLS1_3_VERSION) != 1)
		return tls_none(err);
	SSL_CTX_set_options(c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_alpn_select_cb(c->ssl, tls_alpn_select, NULL);
	if (o->client_ca_pem.n) {
		if (tls_trust(c->ssl, SSL_CTX_get_cert_store(c->ssl), o->client_ca_pem, true, err) < 0)
			return NULL;
		if (o->proxy_ca_pem.n && tls_trust_proxies(c, o->proxy_ca_pem, err) < 0)
			return NULL;
		SSL_CTX_set_verify(
		    c->ssl, SSL_VERIFY_PEER | (o->require_client_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
		if (!o->require_client_cert)
			SSL_CTX_set_cert_verify_callback(c->ssl, tls_verify_none, NULL);
	}
	return TAKE(c);
}

static X509_STORE *tls_system; /* the system's trust anchors, once for all who trust them */

static atomic_bool tls_system_read;

static void tls_system_once(void)
{
	tls_system = X509_STORE_new();
	if (tls_system && X509_STORE_set_default_paths(tls_system) != 1) {
		X509_STORE_free(tls_system);
		tls_system = NULL;
	}
	atomic_store(&tls_system_read, true);
}

void tls_system_load(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, tls_system_once);
}

bool tls_system_loaded(void)
{
	return atomic_load(&tls_system_read);
}

static int tls_trust_system(SSL_CTX *ssl, struct err *err)
{
	tls_system_load();
	if (tls_system)
		SSL_CTX_set1_cert_store(ssl, tls_system);
	return tls_system ? 0 : err_set(err, ERR_INTERNAL, "the system's trust anchors cannot be loaded");
}

struct tls_ctx *tls_client_ctx(const struct tls_client_opts *o, struct err *err)
{
	_cleanup_(tls_ctx_unrefp) struct tls_ctx *c = tls_ctx_new(TLS_client_method(), err);

	if (!c)
		return NULL;
	c->insecure = o->insecure;
	if (o->cert_pem.n && tls_use_cert(c->ssl, o->cert_pem, o->key_pem, err) < 0)
		return NULL;
	if (o->insecure) {
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_NONE, NULL);
		return TAKE(c);
	}
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	if (o->ca_pem.n) {
		if (tls_trust(c->ssl, SSL_CTX_get_cert_store(c->ssl), o->ca_pem, false, err) < 0)
			return NULL;
	} else if (tls_trust_system(c->ssl, err) < 0) {
		return NULL;
	}
	return TAKE(c);
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
	if (c)
		atomic_fetch_add(&c->refs, 1);
	return c;
}

struct tls_ctx *tls_ctx_unref(struct tls_ctx *c)
{
	if (c && atomic_fetch_sub(&c->refs, 1) == 1) {
		SSL_CTX_free(c->ssl);
		free(c);
	}
	return NULL;
}

/* Apart from what the handshake found: a CA of clients says nothing about proxies, nor one of proxies about clients. */
bool tls_proxy_cert(SSL *ssl)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	X509_STORE *proxies;
	X509_STORE_CTX *v;
	bool good;

	pthread_once(&tls_proxies_once, tls_proxies_init);
	proxies = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tls_proxies_index);
	if (!proxies || !x)
		return false;
	v = X509_STORE_CTX_new();
	good = v && X509_STORE_CTX_init(v, proxies, x, SSL_get_peer_cert_chain(ssl)) == 1 &&
	       X509_STORE_CTX_set_purpose(v, X509_PURPOSE_SSL_CLIENT) == 1 && X509_verify_cert(v) == 1;
	X509_STORE_CTX_free(v);
	ERR_clear_error();
	return good;
}

ssize_t tls_ctx_chooses(const struct tls_ctx *c, const char *name)
{
	return tls_names_pair(c->ssl, name);
}

SSL_CTX *tls_ctx_ssl(const struct tls_ctx *c)
{
	return c->ssl;
}

/* OpenSSL looks for every name in the alternative names and, told so, in the subject: a peer_name beside another DNS
 * name would be an alternative to it, beside an address it is one more condition. */
int tls_client_prepare(SSL *ssl, const struct tls_ctx *c, const char *server_name, const char *peer_name,
		       struct sv alpn, struct err *err)
{
	unsigned char addr[16];
	bool ip = inet_pton(AF_INET, server_name, addr) == 1 || inet_pton(AF_INET6, server_name, addr) == 1;
	bool ok = true;

	BUG_ON(peer_name && !ip);
	SSL_set_connect_state(ssl);
	if (!ip) /* RFC 6066: addresses are not sent */
		ok = SSL_set_tlsext_host_name(ssl, server_name) == 1;
	if (ok && !c->insecure) {
		X509_VERIFY_PARAM *p = SSL_get0_param(ssl);

		X509_VERIFY_PARAM_set_hostflags(p, peer_name ? X509_CHECK_FLAG_ALWAYS_CHECK_SUBJECT |
								   X509_CHECK_FLAG_NO_WILDCARDS
							     : X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		ok = ip ? X509_VERIFY_PARAM_set1_ip_asc(p, server_name) == 1
			: X509_VERIFY_PARAM_set1_host(p, server_name, 0) == 1;
		ok = ok && (!peer_name || X509_VERIFY_PARAM_set1_host(p, peer_name, 0) == 1);
	}
	if (ok && alpn.n)
		ok = SSL_set_alpn_protos(ssl, (const unsigned char *)alpn.p, (unsigned int)alpn.n) == 0;
	return ok ? 0 : tls_err(err, NULL, ERR_INTERNAL, "preparing TLS");
}
