#include "net/cert_check.h"

#include "base/pem.h"
#include "base/strmap.h"
#include "net/cert_pem.h"
#include "net/net-internal.h"
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define CHECK_KINDS "unsupported key type; supported key types are Ed25519, ECDSA P256, P384, P521, RSA 3072, RSA 4096"

DEFINE_CLEANUP(X509_REQ *, check_req_freep, X509_REQ_free)

/* --- anchors --- */

struct anchors {
	cert_say_fn *say;
	void *ctx;
	struct strmap seen; /* DER to the index of its first entry + 1 */
	size_t i;	    /* of the block that comes next */
	bool bad;
};

static void anchors_say(struct anchors *a, size_t i, const char *what, const char *more)
{
	_cleanup_free_ char *text = xasprintf("entry %zu %s%.64s", i, what, more);

	a->bad = true;
	a->say(text, a->ctx);
}

/* One block. */
static void anchors_block(const char *name, const char *header, struct sv der, void *ctx)
{
	struct anchors *a = ctx;
	size_t i = a->i++;
	const unsigned char *at = (const unsigned char *)der.p;
	_cleanup_(x509_freep) X509 *x = NULL;

	if (strcmp(name, "CERTIFICATE") != 0) {
		anchors_say(a, i, "has bad block type: ", name);
	} else if (*header) {
		anchors_say(a, i, "has PEM block headers", "");
	} else if (!(x = d2i_X509(NULL, &at, (long)der.n)) || at != (const unsigned char *)der.p + der.n) {
		anchors_say(a, i, "does not parse as X.509", "");
	} else if (!(X509_get_extension_flags(x) & EXFLAG_CA)) {
		anchors_say(a, i, "does not have the CA bit set", "");
	} else if (!(X509_get_extension_flags(x) & EXFLAG_BCONS)) {
		anchors_say(a, i, "has invalid basic constraints", "");
	} else if (strmap_set(&a->seen, der, a) && !a->bad) {
		anchors_say(a, i, "is a duplicate trust anchor", "");
	}
}

void cert_anchors_check(struct sv pem, cert_say_fn *say, void *ctx)
{
	struct anchors a = { .say = say, .ctx = ctx, .seen = STRMAP_INIT };

	cert_pem_each(pem, anchors_block, &a);
	if (!a.bad && !a.seen.n)
		say("at least one trust anchor must be provided", ctx);
	strmap_release(&a.seen);
}

/* --- a pod's request --- */

static X509_REQ *check_request_read(struct sv der)
{
	const unsigned char *at = (const unsigned char *)der.p;
	_cleanup_(check_req_freep) X509_REQ *r =
	    der.n && der.n <= INT_MAX ? d2i_X509_REQ(NULL, &at, (long)der.n) : NULL;

	ERR_clear_error();
	return r && at == (const unsigned char *)der.p + der.n ? TAKE(r) : NULL;
}

static bool check_key_kind(EVP_PKEY *key)
{
	char curve[64] = "";
	size_t n = 0;

	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_ED25519:
		return true;
	case EVP_PKEY_RSA:
		return EVP_PKEY_get_bits(key) == 3072 || EVP_PKEY_get_bits(key) == 4096;
	case EVP_PKEY_EC:
		return EVP_PKEY_get_group_name(key, curve, sizeof(curve), &n) == 1 &&
		       (strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0 ||
			strcmp(curve, "secp521r1") == 0);
	default:
		return false;
	}
}

int cert_request_check(struct sv der, struct err *err)
{
	_cleanup_(check_req_freep) X509_REQ *r = check_request_read(der);
	EVP_PKEY *key = r ? X509_REQ_get0_pubkey(r) : NULL;
	bool known = key && check_key_kind(key); /* before anything is computed with it */
	bool good = known && X509_REQ_verify(r, key) == 1;

	ERR_clear_error();
	if (!key)
		return err_set(err, ERR_INVALID, "must be a PKCS#10 certificate request in DER");
	if (!known)
		return err_set(err, ERR_INVALID, CHECK_KINDS);
	if (!good)
		return err_set(err, ERR_INVALID, "the request is not signed by its own key");
	return 0;
}

static EVP_PKEY *check_key_read(struct sv der)
{
	const unsigned char *at = (const unsigned char *)der.p;
	EVP_PKEY *key = der.n && der.n <= INT_MAX ? d2i_PUBKEY(NULL, &at, (long)der.n) : NULL;

	ERR_clear_error();
	if (key && at == (const unsigned char *)der.p + der.n)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

int cert_possession_check(struct sv key_der, struct sv signature, struct sv text, struct err *err)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = check_key_read(key_der);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL;
	bool good = false;

	if (key && check_key_kind(key)) {
		bool plain = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;

		good = EVP_DigestVerifyInit(md, &ctx, plain ? NULL : EVP_sha256(), NULL, key) == 1;
		if (good && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
			good = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
			       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_AUTO) == 1;
		good = good && EVP_DigestVerify(md, (const unsigned char *)signature.p, signature.n,
						(const unsigned char *)text.p, text.n) == 1;
	}
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	if (!key)
		return err_set(err, ERR_INVALID, "must be a valid PKIX-serialized public key");
	if (!check_key_kind(key))
		return err_set(err, ERR_INVALID, CHECK_KINDS);
	if (!good)
		return err_set(err, ERR_INVALID, "could not verify proof-of-possession signature");
	return 0;
}

int cert_answer_check(struct sv chain_pem, struct sv request_der, struct sv key_der, int64_t *ret_from_ns,
		      int64_t *ret_to_ns, struct err *err)
{
	_cleanup_(check_req_freep) X509_REQ *r = check_request_read(request_der);
	_cleanup_(bio_freep) BIO *b = BIO_new_mem_buf(chain_pem.p, (int)MIN(chain_pem.n, (size_t)INT_MAX));
	_cleanup_(x509_freep) X509 *x = b ? PEM_read_bio_X509(b, NULL, pem_no_password, NULL) : NULL;
	_cleanup_(bio_freep) BIO *leaf = BIO_new(BIO_s_mem());
	_cleanup_(pkey_freep) EVP_PKEY *key = check_key_read(key_der);
	EVP_PKEY *has = x ? X509_get0_pubkey(x) : NULL, *wants = r ? X509_REQ_get0_pubkey(r) : key;
	bool same = has && wants && EVP_PKEY_eq(has, wants) == 1;
	char *text = NULL;
	long n;

	ERR_clear_error();
	if (!x)
		return err_set(err, ERR_INVALID, "leaf certificate does not parse as valid X.509");
	if (wants && !same)
		return err_set(err, ERR_INVALID, "leaf certificate was not issued to the requested public key");
	if (!leaf || PEM_write_bio_X509(leaf, x) != 1)
		return err_set(err, ERR_INTERNAL, "writing a certificate");
	n = BIO_get_mem_data(leaf, &text);
	return cert_validity(sv_make(text, (size_t)n), ret_from_ns, ret_to_ns, err);
}
