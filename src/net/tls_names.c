/* Which certificate a server shows to whom: by the name that a client asks for (server name indication, RFC 6066).
 *
 *	a name as it is   before one with a wildcard
 *	said with a pair  before what a certificate says of itself
 *	an earlier pair   before a later one
 *
 * A wildcard stands for the first label, whole. Who asks for nothing, as clients do that were given an address, asks
 * for the address that they came to; only what was said with a pair can be one, as upstream has it. Who asks for what
 * no pair has is shown the context's own certificate. */
#include "net/net-internal.h"
#include "base/ip.h"
#include "base/pem.h"
#include "base/pem_key.h"
#include "base/vec.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

struct tls_pair {
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

struct tls_pair_name {
	char *name; /* lower case */
	size_t pair;
};

/* Hangs on the SSL_CTX, which connections keep longer than they keep struct tls_ctx. */
struct tls_names {
	VEC(struct tls_pair) pairs;
	VEC(struct tls_pair_name) names; /* the first that fits counts */
};

static pthread_once_t tls_names_once = PTHREAD_ONCE_INIT;
static int tls_names_index;

static void tls_names_free(struct tls_names *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->pairs.n; i++) {
		X509_free(n->pairs.p[i].leaf);
		sk_X509_pop_free(n->pairs.p[i].chain, X509_free);
		EVP_PKEY_free(n->pairs.p[i].key);
	}
	for (size_t i = 0; i < n->names.n; i++)
		free(n->names.p[i].name);
	vec_release(&n->pairs);
	vec_release(&n->names);
	free(n);
}

static void tls_names_gone(void *parent, void *names, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	tls_names_free(names);
}

static void tls_names_init(void)
{
	tls_names_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tls_names_gone);
}

/* --- making --- */

static void tls_names_add(struct tls_names *n, size_t pair, const char *name, size_t length)
{
	char *lower = xstrndup(name, length);

	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	vec_push(&n->names, ((struct tls_pair_name){ lower, pair }));
}

/* What a certificate says of itself: its common name where that is a name of a host, and its alternative names. */
static void tls_names_of(struct tls_names *n, size_t pair)
{
	X509 *leaf = n->pairs.p[pair].leaf;
	struct ip_addr address;
	char cn[256];
	int length = X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, cn, sizeof(cn));
	_cleanup_(general_names_freep) GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

	if (length > 0 && (size_t)length < sizeof(cn) && !strpbrk(cn, " :@/") && !ip_parse(sv_from(cn), &address))
		tls_names_add(n, pair, cn, (size_t)length);
	for (int i = 0; all && i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);

		if (g->type == GEN_DNS)
			tls_names_add(n, pair, (const char *)ASN1_STRING_get0_data(g->d.dNSName),
				      (size_t)ASN1_STRING_length(g->d.dNSName));
	}
}

static int tls_pair_read(struct tls_pair *p, const struct tls_named *from)
{
	_cleanup_(bio_freep) BIO *b = BIO_new_mem_buf(from->cert_pem.p, (int)MIN(from->cert_pem.n, (size_t)INT_MAX));
	X509 *next;

	p->leaf = PEM_read_bio_X509(b, NULL, pem_no_password, NULL);
	p->chain = sk_X509_new_null();
	p->key = pem_private_key(from->key_pem);
	while (p->leaf && p->chain && (next = PEM_read_bio_X509(b, NULL, pem_no_password, NULL)))
		if (sk_X509_push(p->chain, next) <= 0)
			X509_free(next);
	if (!p->leaf || !p->chain || !p->key || X509_check_private_key(p->leaf, p->key) != 1)
		return -1;
	ERR_clear_error();
	return 0;
}

/* --- choosing --- */

static ssize_t tls_names_find(const struct tls_names *n, const char *name)
{
	for (size_t i = 0; i < n->names.n; i++)
		if (strcmp(n->names.p[i].name, name) == 0)
			return (ssize_t)n->names.p[i].pair;
	return -1;
}

static ssize_t tls_names_choose(const struct tls_names *n, const char *asked)
{
	char name[256], *dot;
	size_t length = strlen(asked);
	ssize_t pair;

	if (!length || length >= sizeof(name))
		return -1;
	for (size_t i = 0; i <= length; i++)
		name[i] = asked[i] >= 'A' && asked[i] <= 'Z' ? (char)(asked[i] | 0x20) : asked[i];
	if (name[length - 1] == '.')
		name[length - 1] = '\0';
	pair = tls_names_find(n, name);
	if (pair >= 0)
		return pair;
	dot = strchr(name, '.');
	if (dot == name)
		return -1;
	if (!dot)
		return tls_names_find(n, "*");
	*--dot = '*';
	return tls_names_find(n, dot);
}

ssize_t tls_names_pair(SSL_CTX *ctx, const char *name)
{
	const struct tls_names *n;

	pthread_once(&tls_names_once, tls_names_init);
	n = SSL_CTX_get_ex_data(ctx, tls_names_index);
	return n ? tls_names_choose(n, name) : -1;
}

/* The pair for the address of this machine that the connection leads to. */
static ssize_t tls_names_here(const struct tls_names *n, SSL *ssl)
{
	struct sockaddr_storage here;
	socklen_t size = sizeof(here);
	int fd = (int)BIO_get_fd(SSL_get_rbio(ssl), NULL);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&here, &size) < 0)
		return -1;
	return tls_names_find(n, ip_text(ip_of_sockaddr((const struct sockaddr *)&here)).s);
}

/* 1: go on. */
static int tls_names_show(SSL *ssl, void *arg)
{
	const struct tls_names *n = arg;
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	ssize_t i = asked ? tls_names_choose(n, asked) : tls_names_here(n, ssl);
	const struct tls_pair *p;

	if (i < 0)
		return 1;
	p = &n->pairs.p[i];
	SSL_certs_clear(ssl); /* a key of another type would be beside this one, and might be taken */
	return SSL_use_cert_and_key(ssl, p->leaf, p->key, p->chain, 1) == 1;
}

int tls_names_set(SSL_CTX *ctx, const struct tls_named *named, size_t count)
{
	struct tls_names *n;
	int rc = 0;

	if (!count)
		return 0;
	pthread_once(&tls_names_once, tls_names_init);
	n = xcalloc(1, sizeof(*n));
	for (size_t i = 0; i < count && rc == 0; i++) {
		vec_push(&n->pairs, ((struct tls_pair){ 0 }));
		rc = tls_pair_read(&vec_last(&n->pairs), &named[i]);
		for (size_t k = 0; k < named[i].n_names && rc == 0; k++)
			tls_names_add(n, i, named[i].names[k].p, named[i].names[k].n);
	}
	/* Behind all that was said. */
	for (size_t i = 0; i < count && rc == 0; i++)
		if (!named[i].n_names)
			tls_names_of(n, i);
	if (rc == 0 && SSL_CTX_set_ex_data(ctx, tls_names_index, n) != 1)
		rc = -1;
	if (rc < 0) {
		tls_names_free(n);
		return -1;
	}
	SSL_CTX_set_cert_cb(ctx, tls_names_show, n);
	return 0;
}
