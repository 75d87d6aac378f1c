/* Keys and certificates, made with OpenSSL. */
#include "net/net-internal.h"
#include "base/pem.h"
#include "base/pem_key.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <time.h>

X509 *cert_read(struct sv pem)
{
	_cleanup_(bio_freep) BIO *b = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;

	return b ? PEM_read_bio_X509(b, NULL, pem_no_password, NULL) : NULL;
}

EVP_PKEY *cert_read_key(struct sv pem)
{
	return pem_private_key(pem);
}

struct sv cert_bio_text(struct arena *a, BIO *b)
{
	char *p = NULL;
	long n = BIO_get_mem_data(b, &p);

	return arena_sv(a, sv_make(p, n > 0 ? (size_t)n : 0));
}

int cert_key_pem(struct arena *a, EVP_PKEY *key, struct sv *ret, struct err *err)
{
	_cleanup_(bio_freep) BIO *b = BIO_new(BIO_s_mem());

	/* The traditional form ("EC PRIVATE KEY", "RSA PRIVATE KEY") is what Kubernetes' tools write. */
	if (!b || PEM_write_bio_PrivateKey_traditional(b, key, NULL, NULL, 0, NULL, NULL) != 1)
		return tls_err(err, NULL, ERR_INTERNAL, "encoding the key");
	*ret = cert_bio_text(a, b);
	return 0;
}

bool cert_add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	int r;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!e)
		return false;
	r = X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	return r == 1;
}

/* Subject alternative names are built by hand: in OpenSSL's text form a name could smuggle
 * another one behind a comma. */
GENERAL_NAMES *cert_names(const char *const *dns, const char *const *ips)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();
	bool ok = all != NULL;

	for (; ok && dns && *dns; dns++) {
		GENERAL_NAME *g = GENERAL_NAME_new();
		ASN1_IA5STRING *s = ASN1_IA5STRING_new();

		ok = g && s && ASN1_STRING_set(s, *dns, -1) == 1;
		if (ok) {
			GENERAL_NAME_set0_value(g, GEN_DNS, s);
			ok = sk_GENERAL_NAME_push(all, g) > 0;
		} else {
			ASN1_IA5STRING_free(s);
			GENERAL_NAME_free(g);
		}
	}
	for (; ok && ips && *ips; ips++) {
		GENERAL_NAME *g = GENERAL_NAME_new();
		ASN1_OCTET_STRING *s = a2i_IPADDRESS(*ips);

		ok = g && s;
		if (ok) {
			GENERAL_NAME_set0_value(g, GEN_IPADD, s);
			ok = sk_GENERAL_NAME_push(all, g) > 0;
		} else {
			ASN1_OCTET_STRING_free(s);
			GENERAL_NAME_free(g);
		}
	}
	if (ok)
		return all;
	GENERAL_NAMES_free(all);
	return NULL;
}

static bool cert_add_names(X509 *x, const char *const *dns, const char *const *ips)
{
	_cleanup_(general_names_freep) GENERAL_NAMES *all = cert_names(dns, ips);

	return all && (sk_GENERAL_NAME_num(all) == 0 ||
		       X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) == 1);
}

bool cert_set_subject(X509_NAME *n, const struct cert_opts *o)
{
	/* V_ASN1_, not MBSTRING_: no 64-character bound on names, which node names overrun. */
	for (const char *const *g = o->organizations; g && *g; g++) {
		/* set 0: one relative name each, so that several O entries stay apart */
		if (X509_NAME_add_entry_by_NID(n, NID_organizationName, V_ASN1_UTF8STRING, (const unsigned char *)*g,
					       -1, -1, 0) != 1)
			return false;
	}
	return X509_NAME_add_entry_by_NID(n, NID_commonName, V_ASN1_UTF8STRING, (const unsigned char *)o->common_name,
					  -1, -1, 0) == 1;
}

bool cert_set_times(X509 *x, int64_t not_before_ns, int64_t not_after_ns)
{
	time_t from = (time_t)(not_before_ns / NS_PER_SEC), to = (time_t)(not_after_ns / NS_PER_SEC);

	return ASN1_TIME_set(X509_getm_notBefore(x), from) && ASN1_TIME_set(X509_getm_notAfter(x), to);
}

bool cert_set_serial(X509 *x)
{
	unsigned char raw[16];
	BIGNUM *bn;
	bool ok;

	if (RAND_bytes(raw, sizeof(raw)) != 1)
		return false;
	raw[0] = (unsigned char)((raw[0] & 0x7f) | 0x40); /* positive, never zero, of constant length */
	bn = BN_bin2bn(raw, sizeof(raw), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
	BN_free(bn);
	return ok;
}

#define P256_POINT 65 /* bytes: 4, x, y */

/* OpenSSL encodes the key, and decodes that again. Of the keys that are made here it is known how they are encoded. */
static bool cert_set_key(X509 *x, EVP_PKEY *key)
{
	unsigned char *point;
	char curve[16];
	size_t n;

	if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) != 1 ||
	    strcmp(curve, SN_X9_62_prime256v1) != 0)
		return X509_set_pubkey(x, key) == 1;
	point = OPENSSL_malloc(P256_POINT);
	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, P256_POINT, &n) == 1 &&
	    n == P256_POINT &&
	    X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(x), OBJ_nid2obj(NID_X9_62_id_ecPublicKey), V_ASN1_OBJECT,
				   OBJ_nid2obj(NID_X9_62_prime256v1), point, P256_POINT) == 1)
		return true; /* point is the certificate's */
	OPENSSL_free(point);
	ERR_clear_error();
	return X509_set_pubkey(x, key) == 1;
}

static bool cert_fill(X509 *x, X509 *issuer, EVP_PKEY *key, const struct cert_opts *o)
{
	const char *eku = o->server && o->client ? "serverAuth,clientAuth" : o->server ? "serverAuth" : "clientAuth";

	if (X509_set_version(x, X509_VERSION_3) != 1 || !cert_set_serial(x) ||
	    !cert_set_subject(X509_get_subject_name(x), o) || !cert_set_times(x, o->not_before_ns, o->not_after_ns) ||
	    !cert_set_key(x, key) || X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1)
		return false;
	if (!cert_add_ext(x, issuer, NID_basic_constraints, o->ca ? "critical,CA:TRUE" : "critical,CA:FALSE") ||
	    !cert_add_ext(x, issuer, NID_key_usage,
			  o->ca ? "critical,digitalSignature,keyEncipherment,keyCertSign"
				: "critical,digitalSignature,keyEncipherment") ||
	    !cert_add_ext(x, issuer, NID_subject_key_identifier, "hash"))
		return false;
	if (issuer != x && !cert_add_ext(x, issuer, NID_authority_key_identifier, "keyid"))
		return false;
	if ((o->server || o->client) && !cert_add_ext(x, issuer, NID_ext_key_usage, eku))
		return false;
	return cert_add_names(x, o->dns_names, o->ip_addrs);
}

int cert_make(struct arena *a, const struct cert_opts *o, struct sv ca_cert, struct sv ca_key, struct sv *ret_cert,
	      struct sv *ret_key, struct err *err)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = NULL, *signer = NULL;
	_cleanup_(x509_freep) X509 *x = X509_new(), *issuer = NULL;
	_cleanup_(bio_freep) BIO *out = BIO_new(BIO_s_mem());

	if (!ca_cert.n && ca_key.n) {
		key = cert_read_key(ca_key);
		if (!key)
			return tls_err(err, NULL, ERR_INVALID, "reading the CA's key");
	} else {
		key = EVP_EC_gen("P-256");
	}
	if (!key || !x || !out)
		return tls_err(err, NULL, ERR_INTERNAL, "making a key");
	if (ca_cert.n) {
		issuer = cert_read(ca_cert);
		signer = cert_read_key(ca_key);
		if (!issuer || !signer)
			return tls_err(err, NULL, ERR_INVALID, "reading the signing CA");
	}
	if (!cert_fill(x, issuer ? issuer : x, key, o) || X509_sign(x, signer ? signer : key, EVP_sha256()) <= 0 ||
	    PEM_write_bio_X509(out, x) != 1) {
		(void)tls_err(err, NULL, ERR_INVALID, "making a certificate");
		return err_wrap(err, "'%s'", o->common_name);
	}
	*ret_cert = cert_bio_text(a, out);
	return cert_key_pem(a, key, ret_key, err);
}

/* RFC 5280's "no well-defined expiration" lies beyond what ns can say. */
static bool asn1_ns(const ASN1_TIME *t, int64_t *ret)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	if (__builtin_mul_overflow((int64_t)timegm(&tm), NS_PER_SEC, ret))
		*ret = tm.tm_year > 70 ? INT64_MAX - 1 : INT64_MIN + 1;
	return true;
}

int cert_end(const X509 *x, int64_t *ret_ns)
{
	return asn1_ns(X509_get0_notAfter(x), ret_ns) ? 0 : -1;
}

int cert_validity(struct sv cert_pem, int64_t *ret_from_ns, int64_t *ret_to_ns, struct err *err)
{
	_cleanup_(bio_freep) BIO *b = BIO_new_mem_buf(cert_pem.p, (int)MIN(cert_pem.n, (size_t)INT_MAX));
	int64_t first = INT64_MIN, last = INT64_MAX;

	for (;;) {
		_cleanup_(x509_freep) X509 *x = PEM_read_bio_X509(b, NULL, pem_no_password, NULL);
		int64_t from, to;

		if (!x)
			break;
		if (!asn1_ns(X509_get0_notBefore(x), &from) || !asn1_ns(X509_get0_notAfter(x), &to))
			return tls_err(err, NULL, ERR_INVALID, "reading the certificate's time");
		first = MAX(first, from);
		last = MIN(last, to);
	}
	if (last == INT64_MAX)
		return tls_err(err, NULL, ERR_INVALID, "reading the certificate");
	(void)tls_err(NULL, NULL, ERR_NONE, ""); /* the end of the file */
	*ret_from_ns = first;
	*ret_to_ns = last;
	return 0;
}

bool cert_is_of(struct sv cert_pem, struct sv key_pem, struct sv ca_cert_pem)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = cert_read_key(key_pem);
	_cleanup_(x509_freep) X509 *x = cert_read(cert_pem), *ca = ca_cert_pem.n ? cert_read(ca_cert_pem) : NULL;
	bool is = x && (!key_pem.n || (key && X509_check_private_key(x, key) == 1)) &&
		  (!ca_cert_pem.n || (ca && X509_verify(x, X509_get0_pubkey(ca)) == 1));

	(void)tls_err(NULL, NULL, ERR_NONE, ""); /* of whatever it is not */
	return is;
}

bool cert_names_it(struct sv cert_pem, struct sv name)
{
	_cleanup_(x509_freep) X509 *x = cert_pem.n ? cert_read(cert_pem) : NULL;
	_cleanup_free_ char *text = xstrndup(name.p, name.n);
	bool is = x && (X509_check_ip_asc(x, text, 0) == 1 ||
			X509_check_host(x, text, name.n, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1);

	(void)tls_err(NULL, NULL, ERR_NONE, "");
	return is;
}

size_t cert_dns_names(struct arena *a, struct sv cert_pem, size_t max, struct sv **ret)
{
	_cleanup_(x509_freep) X509 *x = cert_read(cert_pem);
	_cleanup_(general_names_freep) GENERAL_NAMES *names =
	    x ? X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL) : NULL;
	size_t there = names ? (size_t)sk_GENERAL_NAME_num(names) : 0, n = 0;

	*ret = ARENA_ARRAY(a, struct sv, MIN(there, max));
	for (size_t i = 0; i < there && n < max; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, (int)i);

		if (g->type == GEN_DNS)
			(*ret)[n++] = arena_sv(a, sv_make((const char *)ASN1_STRING_get0_data(g->d.dNSName),
							  (size_t)ASN1_STRING_length(g->d.dNSName)));
	}
	(void)tls_err(NULL, NULL, ERR_NONE, "");
	return n;
}

/* One block: 1, 0 behind the last. */
static int cert_chain_block(BIO *b, struct err *err)
{
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	_cleanup_(x509_freep) X509 *x = NULL;
	const unsigned char *at;
	int rc = 1;
	long n;

	if (PEM_read_bio(b, &name, &header, &der, &n) != 1) {
		bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

		ERR_clear_error();
		return end ? 0 : err_set(err, ERR_INVALID, "a PEM block is damaged");
	}
	at = der;
	if (strcmp(name, "CERTIFICATE") != 0)
		rc = err_set(err, ERR_INVALID, "only CERTIFICATE PEM blocks are allowed, found \"%s\"", name);
	else if (*header)
		rc = err_set(err, ERR_INVALID, "no PEM block headers are permitted");
	else if (!(x = d2i_X509(NULL, &at, n)) || at != der + n)
		rc = err_set(err, ERR_INVALID, "a CERTIFICATE PEM block holds no certificate");
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	ERR_clear_error();
	return rc;
}

int cert_chain_check(struct sv pem, struct err *err)
{
	_cleanup_(bio_freep) BIO *b = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT_MAX));
	size_t blocks = 0;
	int rc;

	while ((rc = cert_chain_block(b, err)) > 0)
		blocks++;
	if (rc == 0 && blocks == 0)
		return err_set(err, ERR_INVALID, "must contain at least one CERTIFICATE PEM block");
	return rc;
}

int key_new_rsa(struct arena *a, int bits, struct sv *ret_key_pem, struct err *err)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = EVP_RSA_gen((size_t)bits);

	if (!key)
		return tls_err(err, NULL, ERR_INTERNAL, "making an RSA key");
	return cert_key_pem(a, key, ret_key_pem, err);
}
