/* net-internal.h - what files of src/net share and nobody else includes. */
#pragma once

#include "net/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

DEFINE_CLEANUP(BIO *, bio_freep, BIO_free)
DEFINE_CLEANUP(X509 *, x509_freep, X509_free)
DEFINE_CLEANUP(EVP_PKEY *, pkey_freep, EVP_PKEY_free)
DEFINE_CLEANUP(GENERAL_NAMES *, general_names_freep, GENERAL_NAMES_free)

/* The OpenSSL context behind c; borrowed, immutable. SSL objects made from it hold their own
 * reference. */
SSL_CTX *tls_ctx_ssl(const struct tls_ctx *c);
/* tls_names.c: ctx shows other certificates to who asks for their names. Texts are copied. -1: OpenSSL's errors say why
 * not. */
int tls_names_set(SSL_CTX *ctx, const struct tls_named *named, size_t count);
ssize_t tls_names_pair(SSL_CTX *ctx, const char *name); /* as tls_ctx_chooses() */
/* On a server's connection: whether the peer's certificate is one of a front proxy. */
bool tls_proxy_cert(SSL *ssl);

/* Prepares a client's SSL: server name indication, and the name or address its certificate
 * must carry (not when the context is insecure); peer_name, unless NULL: what its subject must be, too. alpn is in wire
 * format ("\2h2\10http/1.1" with lengths as bytes), "" for none. */
int tls_client_prepare(SSL *ssl, const struct tls_ctx *c, const char *server_name, const char *peer_name,
		       struct sv alpn, struct err *err);

/* --- of certificates and requests for them (cert.c, csr.c) --- */

/* Of the first such block of a PEM text; NULL, and OpenSSL's errors are queued: there is none. */
X509 *cert_read(struct sv pem);
EVP_PKEY *cert_read_key(struct sv pem);
struct sv cert_bio_text(struct arena *a, BIO *b);
int cert_key_pem(struct arena *a, EVP_PKEY *key, struct sv *ret, struct err *err);
/* The subject of o, into an empty name. */
bool cert_set_subject(X509_NAME *n, const struct cert_opts *o);
/* Alternative names; NULL when one is no such name. */
GENERAL_NAMES *cert_names(const char *const *dns, const char *const *ips);
bool cert_set_serial(X509 *x); /* a random one */
bool cert_set_times(X509 *x, int64_t not_before_ns, int64_t not_after_ns);
/* An extension in OpenSSL's text form: constants only, never what anybody else wrote. */
bool cert_add_ext(X509 *x, X509 *issuer, int nid, const char *value);

/* When a certificate ends (its notAfter), wall clock. */
bool key_hash_of(EVP_PKEY *key, char ret[65]); /* as key_hash() (key.h); NULL has none */
int cert_end(const X509 *x, int64_t *ret_ns);

/* Turns OpenSSL's error queue into err (and empties it). Returns -1. Knows why a verification
 * failed when ssl is given. */
int tls_err(struct err *err, const SSL *ssl, enum err_reason reason, const char *what);
