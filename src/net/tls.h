/* tls.h - TLS contexts for servers and clients, and the certificates Caravel makes (OpenSSL 3).
 *
 * TLS 1.2 and 1.3 only. Contexts are reference-counted, may be used from any thread, and can
 * be replaced while connections live (rotation).
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/vec.h"

struct tls_ctx; /* opaque, refcounted */
/* Another certificate, for who asks for one of these names: as they are, or "*.example.com" for one label more; none:
 * for those that the certificate says of itself. An address is asked for by whoever names nothing and comes to it. */
struct tls_named {
	struct sv cert_pem, key_pem; /* chain, leaf first */
	const struct sv *names;
	size_t n_names;
};
struct tls_server_opts {
	struct sv cert_pem, key_pem; /* chain, leaf first */
	struct sv client_ca_pem;     /* "": client certificates are not asked for */
	bool require_client_cert;    /* else requested, optional; an unverifiable one still connects, unverified */
	/* Who may say for whom it asks is known by certificates of these, and of no others (struct http_peer). "":
	 * nobody. It takes a client_ca_pem, too. */
	struct sv proxy_ca_pem;
	bool only_13;		       /* no TLS 1.2 */
	const char *const *suites;     /* of TLS 1.2, which tls_suites_check() has taken, NULL-terminated; NULL: ours */
	const struct tls_named *named; /* the order of precedence is in tls_names.c */
	size_t n_named;
};
/* Suites of TLS 1.2, by their names in the registry of TLS ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"); those of TLS 1.3
 * are known and change nothing, as they are all on. -1 with upstream's words for one that is not to be had. */
int tls_suites_check(const char *const *suites, struct err *err);
struct tls_client_opts {
	struct sv ca_pem;	     /* trust anchors; "": the system's, or insecure */
	struct sv cert_pem, key_pem; /* "" : none */
	bool insecure;		     /* skip verification (kubectl --insecure-skip-tls-verify) */
};
struct tls_ctx *tls_server_ctx(const struct tls_server_opts *o, struct err *err);
/* Which of a server's named certificates it shows to who asks for name; -1: its own. */
ssize_t tls_ctx_chooses(const struct tls_ctx *c, const char *name);
struct tls_ctx *tls_client_ctx(const struct tls_client_opts *o, struct err *err);
/* The system's trust anchors, a hundred certificates and more, are read once a process, by the first who trusts them.
 * Who may not take that long, a loop, has it done elsewhere first. */
void tls_system_load(void);
bool tls_system_loaded(void);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
struct tls_ctx *tls_ctx_unref(struct tls_ctx *c);
DEFINE_CLEANUP(struct tls_ctx *, tls_ctx_unrefp, tls_ctx_unref)

/* --- making certificates --- */

/* 2026-01-01: a clock that says less has not been set. */
#define CLOCK_FLOOR_NS (INT64_C(1767225600) * NS_PER_SEC)

struct cert_opts {
	const char *common_name;
	const char *const *organizations;		/* NULL-terminated, or NULL */
	const char *const *dns_names, *const *ip_addrs; /* NULL-terminated, or NULL */
	int64_t not_before_ns, not_after_ns;		/* wall clock */
	bool ca, server, client;			/* basic constraints; extended key usages */
};
/* A new P-256 key and a certificate for it, signed by ca_cert/ca_key (both "" : self-signed). With a ca_key alone: a
 * new self-signed certificate for that key, under which what it signed before is still good. All PEM, arena-owned. */
int cert_make(struct arena *a, const struct cert_opts *o, struct sv ca_cert, struct sv ca_key, struct sv *ret_cert,
	      struct sv *ret_key, struct err *err);
/* When all of a PEM chain is valid, ns, both inclusive. */
int cert_validity(struct sv cert_pem, int64_t *ret_from_ns, int64_t *ret_to_ns, struct err *err);
/* Whether a key is that of a certificate ("": not asked), and the certificate signed with ca_cert's ("": by anybody).
 * Of a chain the first counts. What cannot be read is neither. */
bool cert_is_of(struct sv cert_pem, struct sv key_pem, struct sv ca_cert_pem);
/* Whether a client that asks for name (a DNS name, or an address as text) takes this certificate for it. */
bool cert_names_it(struct sv cert_pem, struct sv name);
/* The DNS names that the first certificate is for, at most max of them, as they stand in it; in a. */
size_t cert_dns_names(struct arena *a, struct sv cert_pem, size_t max, struct sv **ret);
/* Whether pem is one or more blocks CERTIFICATE without headers, and no other block; text between them is fine. -1 with
 * ERR_INVALID and what is wrong. */
int cert_chain_check(struct sv pem, struct err *err);
int key_new_rsa(struct arena *a, int bits, struct sv *ret_key_pem, struct err *err);
