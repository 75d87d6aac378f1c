/* Requests for certificates, with OpenSSL. What is copied into a certificate goes as it was parsed, never as text that
 * OpenSSL would read again. */
#include "net/csr.h"
#include "base/pem.h"
#include "net/net-internal.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define RSA_BITS_MIN 1024
#define RSA_BITS_MAX 8192 /* what checking one costs grows with its square; Go reads no larger ones either */

DEFINE_CLEANUP(X509_REQ *, x509_req_freep, X509_REQ_free)

/* In the words of the API: a bit of the key usage (RFC 5280 4.2.1.3), or an extended one. */
static const struct {
	const char *name;
	int bit; /* of the BIT STRING; -1: extended is it */
	int extended;
} csr_usages[] = {
	{ "any", -1, NID_anyExtendedKeyUsage },
	{ "cert sign", 5, 0 },
	{ "client auth", -1, NID_client_auth },
	{ "code signing", -1, NID_code_sign },
	{ "content commitment", 1, 0 },
	{ "crl sign", 6, 0 },
	{ "data encipherment", 3, 0 },
	{ "decipher only", 8, 0 },
	{ "digital signature", 0, 0 },
	{ "email protection", -1, NID_email_protect },
	{ "encipher only", 7, 0 },
	{ "ipsec end system", -1, NID_ipsecEndSystem },
	{ "ipsec tunnel", -1, NID_ipsecTunnel },
	{ "ipsec user", -1, NID_ipsecUser },
	{ "key agreement", 4, 0 },
	{ "key encipherment", 2, 0 },
	{ "microsoft sgc", -1, NID_ms_sgc },
	{ "netscape sgc", -1, NID_ns_sgc },
	{ "ocsp signing", -1, NID_OCSP_sign },
	{ "s/mime", -1, NID_email_protect },
	{ "server auth", -1, NID_server_auth },
	{ "signing", 0, 0 },
	{ "timestamping", -1, NID_time_stamp },
};

static int csr_usage_find(struct sv usage)
{
	for (size_t i = 0; i < ARRAY_LEN(csr_usages); i++)
		if (sv_is(usage, csr_usages[i].name))
			return (int)i;
	return -1;
}

bool csr_usage_known(struct sv usage)
{
	return csr_usage_find(usage) >= 0;
}

/* --- reading --- */

static int csr_bad(struct err *err, const char *why)
{
	ERR_clear_error();
	return err_set(err, ERR_INVALID, "%s", why);
}

/* The request in the first PEM block. */
static X509_REQ *csr_block(struct sv pem, struct err *err)
{
	_cleanup_(bio_freep) BIO *b = pem.n <= CSR_PEM_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	_cleanup_(x509_req_freep) X509_REQ *r = NULL;
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	const unsigned char *at;
	bool is;
	long n;

	if (!b)
		return csr_bad(err, "the request is longer than 64 KiB"), NULL;
	is = PEM_read_bio(b, &name, &header, &der, &n) == 1 && strcmp(name, "CERTIFICATE REQUEST") == 0;
	if (!is)
		(void)csr_bad(err, "PEM block type must be CERTIFICATE REQUEST");
	at = der;
	if (is)
		r = d2i_X509_REQ(NULL, &at, n);
	if (is && !r)
		(void)csr_bad(err, "the PEM block holds no certificate request");
	if (r && at != der + n) {
		(void)csr_bad(err, "there is something behind the certificate request in its PEM block");
		X509_REQ_free(TAKE(r));
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	return TAKE(r);
}

/* One of the curves that everybody has; parameters of its own would be checked by nobody. */
static bool csr_known_curve(const EVP_PKEY *key)
{
	static const char *const curves[] = { "prime256v1", "secp384r1", "secp521r1", "secp224r1" };
	char name[32] = "", encoding[16] = "";

	if (EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1 ||
	    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof(encoding), NULL) != 1 ||
	    strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(curves); i++)
		if (strcmp(name, curves[i]) == 0)
			return true;
	return false;
}

static int csr_check_key(X509_REQ *r, struct err *err)
{
	EVP_PKEY *key = X509_REQ_get0_pubkey(r);
	int type = key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE, bits = key ? EVP_PKEY_get_bits(key) : 0, md = 0;

	if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC && type != EVP_PKEY_ED25519)
		return csr_bad(err, "its public key is none of RSA, ECDSA and Ed25519");
	if (type == EVP_PKEY_RSA && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX))
		return csr_bad(err, "its RSA key has less than 1024 bits or more than 8192");
	if (type == EVP_PKEY_EC && !csr_known_curve(key))
		return csr_bad(err, "its key is of no curve that is known by name: P-256, P-384, P-521 and P-224 are");
	if (OBJ_find_sigid_algs(X509_REQ_get_signature_nid(r), &md, NULL) != 1 || md == NID_md5 || md == NID_md4 ||
	    md == NID_md2)
		return csr_bad(err, "its signature is of an algorithm that is not secure, or not known");
	if (X509_REQ_verify(r, key) != 1)
		return csr_bad(err, "its signature does not verify: it is not by the key that it asks for");
	ERR_clear_error();
	return 0;
}

/* A string of the subject; SV_NULL: it is of no use as a name. */
static struct sv csr_entry(struct arena *a, const X509_NAME_ENTRY *e)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
	struct sv s = SV_NULL;

	if (n >= 0 && !memchr(utf8, 0, (size_t)n))
		s = arena_sv(a, sv_make((const char *)utf8, (size_t)n));
	OPENSSL_free(utf8);
	return s;
}

static int csr_subject(struct arena *a, X509_REQ *r, struct csr *ret, struct err *err)
{
	X509_NAME *name = X509_REQ_get_subject_name(r);
	int n = X509_NAME_entry_count(name);
	struct sv *orgs = ARENA_ARRAY(a, struct sv, (size_t)MAX(n, 0) + 1);

	for (int i = 0; i < n; i++) {
		X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
		struct sv s;

		if (nid != NID_commonName && nid != NID_organizationName)
			continue;
		s = csr_entry(a, e);
		if (!s.p)
			return csr_bad(err, "a name in its subject is no text");
		if (nid == NID_organizationName) {
			orgs[ret->n_organizations++] = s;
		} else {
			ret->common_name = s;
			ret->n_common_names++;
		}
	}
	ret->organizations = orgs;
	return 0;
}

/* Visible ASCII: what an IA5String of a DNS name, a mail address or a URI may hold. */
static bool csr_ia5(struct arena *a, const ASN1_IA5STRING *s, struct sv *list, size_t *n)
{
	struct sv text = sv_make((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));

	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~')
			return false;
	list[(*n)++] = arena_sv(a, text);
	return text.n > 0;
}

static bool csr_ip(struct arena *a, const ASN1_OCTET_STRING *s, struct sv *list, size_t *n)
{
	int len = ASN1_STRING_length(s);
	char text[INET6_ADDRSTRLEN];

	if ((len != 4 && len != 16) ||
	    !inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), text, sizeof(text)))
		return false;
	list[(*n)++] = arena_sv(a, sv_from(text));
	return true;
}

/* Its alternative names; NULL also when it has none. */
static GENERAL_NAMES *csr_alt_names(X509_REQ *r, bool *ret_bad)
{
	STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(r);
	int at = exts ? X509v3_get_ext_by_NID(exts, NID_subject_alt_name, -1) : -1;
	GENERAL_NAMES *names = at >= 0 ? X509V3_EXT_d2i(X509v3_get_ext(exts, at)) : NULL;

	*ret_bad = at >= 0 && (!names || X509v3_get_ext_by_NID(exts, NID_subject_alt_name, at) >= 0);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	return names;
}

static int csr_names(struct arena *a, X509_REQ *r, struct csr *ret, struct err *err)
{
	bool bad = false;
	_cleanup_(general_names_freep) GENERAL_NAMES *names = csr_alt_names(r, &bad);
	size_t n = names ? (size_t)sk_GENERAL_NAME_num(names) : 0;
	struct sv *dns = ARENA_ARRAY(a, struct sv, n + 1), *ips = ARENA_ARRAY(a, struct sv, n + 1),
		  *emails = ARENA_ARRAY(a, struct sv, n + 1), *uris = ARENA_ARRAY(a, struct sv, n + 1);

	if (bad)
		return csr_bad(err, "its alternative names cannot be read");
	for (size_t i = 0; i < n; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, (int)i);
		bool ok = true;

		if (g->type == GEN_DNS)
			ok = csr_ia5(a, g->d.dNSName, dns, &ret->n_dns_names);
		else if (g->type == GEN_EMAIL)
			ok = csr_ia5(a, g->d.rfc822Name, emails, &ret->n_emails);
		else if (g->type == GEN_URI)
			ok = csr_ia5(a, g->d.uniformResourceIdentifier, uris, &ret->n_uris);
		else if (g->type == GEN_IPADD)
			ok = csr_ip(a, g->d.iPAddress, ips, &ret->n_ips);
		if (!ok)
			return csr_bad(err, "one of its alternative names is no such name");
	}
	ret->dns_names = dns;
	ret->ips = ips;
	ret->emails = emails;
	ret->uris = uris;
	ERR_clear_error();
	return 0;
}

static X509_REQ *csr_read(struct arena *a, struct sv pem, struct csr *ret, struct err *err)
{
	_cleanup_(x509_req_freep) X509_REQ *r = csr_block(pem, err);

	*ret = (struct csr){ .common_name = SV("") };
	if (!r || csr_check_key(r, err) < 0 || csr_subject(a, r, ret, err) < 0 || csr_names(a, r, ret, err) < 0)
		return NULL;
	return TAKE(r);
}

int csr_parse(struct arena *a, struct sv pem, struct csr *ret, struct err *err)
{
	_cleanup_(x509_req_freep) X509_REQ *r = csr_read(a, pem, ret, err);

	return r ? 0 : -1;
}

/* --- signing --- */

static bool csr_add_usages(X509 *x, const struct csr_sign_opts *o)
{
	EXTENDED_KEY_USAGE *extended = EXTENDED_KEY_USAGE_new();
	ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
	bool ok = extended && bits, seen[ARRAY_LEN(csr_usages)] = { false };
	int n_bits = 0, n_extended = 0;

	for (size_t i = 0; ok && i < o->n_usages; i++) {
		int u = csr_usage_find(o->usages[i]);

		ok = u >= 0;
		if (!ok || seen[u])
			continue;
		seen[u] = true;
		if (csr_usages[u].bit >= 0) {
			ok = ASN1_BIT_STRING_set_bit(bits, csr_usages[u].bit, 1) == 1;
			n_bits++;
		} else {
			ok = sk_ASN1_OBJECT_push(extended, OBJ_nid2obj(csr_usages[u].extended)) > 0;
			n_extended++;
		}
	}
	if (ok && n_bits)
		ok = X509_add1_ext_i2d(x, NID_key_usage, bits, 1, X509V3_ADD_DEFAULT) == 1;
	if (ok && n_extended)
		ok = X509_add1_ext_i2d(x, NID_ext_key_usage, extended, 0, X509V3_ADD_DEFAULT) == 1;
	ASN1_BIT_STRING_free(bits);
	EXTENDED_KEY_USAGE_free(extended);
	return ok;
}

/* Those names that csr_parse() shows. */
static bool csr_copy_names(X509 *x, X509_REQ *r)
{
	bool bad = false, no_subject = X509_NAME_entry_count(X509_REQ_get_subject_name(r)) == 0;
	_cleanup_(general_names_freep) GENERAL_NAMES *names = csr_alt_names(r, &bad);

	for (int i = names ? sk_GENERAL_NAME_num(names) : 0; i-- > 0;) {
		int type = sk_GENERAL_NAME_value(names, i)->type;

		if (type != GEN_DNS && type != GEN_EMAIL && type != GEN_URI && type != GEN_IPADD)
			GENERAL_NAME_free(sk_GENERAL_NAME_delete(names, i));
	}
	if (!names || sk_GENERAL_NAME_num(names) == 0)
		return true;
	return X509_add1_ext_i2d(x, NID_subject_alt_name, names, no_subject, X509V3_ADD_DEFAULT) == 1;
}

static bool csr_fill(X509 *x, X509_REQ *r, X509 *ca, const struct csr_sign_opts *o, int64_t end_ns)
{
	return X509_set_version(x, X509_VERSION_3) == 1 && cert_set_serial(x) &&
	       X509_set_subject_name(x, X509_REQ_get_subject_name(r)) == 1 &&
	       X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1 &&
	       X509_set_pubkey(x, X509_REQ_get0_pubkey(r)) == 1 && cert_set_times(x, o->not_before_ns, end_ns) &&
	       cert_add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	       cert_add_ext(x, ca, NID_authority_key_identifier, "keyid") && csr_add_usages(x, o) &&
	       csr_copy_names(x, r);
}

int csr_sign(struct arena *a, struct sv csr_pem, const struct csr_sign_opts *o, struct sv *ret_cert, struct err *err)
{
	_cleanup_(x509_freep) X509 *ca = cert_read(o->ca_cert);
	_cleanup_(pkey_freep) EVP_PKEY *key = cert_read_key(o->ca_key);
	_cleanup_(x509_freep) X509 *x = X509_new();
	_cleanup_(bio_freep) BIO *out = BIO_new(BIO_s_mem());
	_cleanup_(x509_req_freep) X509_REQ *r = NULL;
	struct csr parsed;
	int64_t end;

	if (!ca || !key || !x || !out || cert_end(ca, &end) < 0)
		return tls_err(err, NULL, ERR_INTERNAL, "reading the signing CA");
	r = csr_read(a, csr_pem, &parsed, err);
	if (!r)
		return -1;
	end = MIN(end, o->not_after_ns);
	if (end <= o->not_before_ns)
		return err_set(err, ERR_EXPIRED, "the signing CA has expired");
	if (!csr_fill(x, r, ca, o, end) || X509_sign(x, key, EVP_sha256()) <= 0 || PEM_write_bio_X509(out, x) != 1)
		return tls_err(err, NULL, ERR_INTERNAL, "signing a certificate");
	*ret_cert = cert_bio_text(a, out);
	return 0;
}

/* --- making --- */

static bool csr_add_names(X509_REQ *r, const struct cert_opts *o)
{
	_cleanup_(general_names_freep) GENERAL_NAMES *names = cert_names(o->dns_names, o->ip_addrs);
	STACK_OF(X509_EXTENSION) *exts = NULL;
	bool ok = names != NULL;

	if (!ok || sk_GENERAL_NAME_num(names) == 0)
		return ok;
	ok = X509V3_add1_i2d(&exts, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
	     X509_REQ_add_extensions(r, exts) == 1;
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	return ok;
}

static bool csr_sign_own(X509_REQ *r, EVP_PKEY *key)
{
	/* Ed25519 has no digest of its own choosing. */
	return X509_REQ_sign(r, key, EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()) > 0;
}

int csr_make(struct arena *a, const struct cert_opts *o, struct sv key_pem, struct sv *ret_csr, struct sv *ret_key,
	     struct err *err)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = key_pem.n ? cert_read_key(key_pem) : EVP_EC_gen("P-256");
	_cleanup_(x509_req_freep) X509_REQ *r = X509_REQ_new();
	_cleanup_(bio_freep) BIO *out = BIO_new(BIO_s_mem());

	if (!key)
		return tls_err(err, NULL, ERR_INVALID, key_pem.n ? "reading the key" : "making a key");
	if (!r || !out || X509_REQ_set_version(r, X509_REQ_VERSION_1) != 1 ||
	    !cert_set_subject(X509_REQ_get_subject_name(r), o) || X509_REQ_set_pubkey(r, key) != 1 ||
	    !csr_add_names(r, o) || !csr_sign_own(r, key) || PEM_write_bio_X509_REQ(out, r) != 1)
		return tls_err(err, NULL, ERR_INVALID, "making a certificate request");
	*ret_csr = cert_bio_text(a, out);
	if (!key_pem.n)
		return cert_key_pem(a, key, ret_key, err);
	*ret_key = key_pem;
	return 0;
}

static EVP_PKEY *csr_new_key(struct sv type, bool *ret_known)
{
	static const struct {
		const char *name, *curve;
		unsigned bits; /* of RSA */
	} kinds[] = {
		{ "ECDSAP256", "P-256", 0 }, { "ECDSAP384", "P-384", 0 }, { "ECDSAP521", "P-521", 0 },
		{ "RSA3072", NULL, 3072 },   { "RSA4096", NULL, 4096 },	  { "ED25519", NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!sv_is(type, kinds[i].name))
			continue;
		*ret_known = true;
		if (kinds[i].curve)
			return EVP_EC_gen(kinds[i].curve);
		return kinds[i].bits ? EVP_RSA_gen(kinds[i].bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	}
	*ret_known = false;
	return NULL;
}

int csr_stub(struct arena *a, struct sv key_type, struct sv *ret_der, struct sv *ret_key, struct err *err)
{
	bool known;
	_cleanup_(pkey_freep) EVP_PKEY *key = csr_new_key(key_type, &known);
	_cleanup_(x509_req_freep) X509_REQ *r = X509_REQ_new();
	_cleanup_(bio_freep) BIO *out = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	int n = -1;

	if (!known)
		return err_set(err, ERR_INVALID, "unknown key type \"%.*s\"", SV_ARG(key_type));
	if (key && r && out && X509_REQ_set_version(r, X509_REQ_VERSION_1) == 1 && X509_REQ_set_pubkey(r, key) == 1 &&
	    csr_sign_own(r, key) && PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1)
		n = i2d_X509_REQ(r, &der);
	if (n <= 0)
		return tls_err(err, NULL, ERR_INTERNAL, "making a certificate request");
	*ret_der = arena_sv(a, sv_make((const char *)der, (size_t)n));
	OPENSSL_free(der);
	*ret_key = cert_bio_text(a, out);
	return 0;
}
