#include "net/key.h"

#include "base/b64.h"
#include "base/pem.h"
#include "base/pem_key.h"
#include "net/digest.h"
#include "net/net-internal.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

DEFINE_CLEANUP(BIGNUM *, bn_freep, BN_free)

#define COORDINATE_BYTES 32 /* of P-256 */

static EVP_PKEY *read_key(struct sv pem, struct err *err)
{
	EVP_PKEY *key = cert_read_key(pem);

	if (!key)
		err_set(err, ERR_INTERNAL, "cannot read a private key: %s",
			pem_encrypted(pem) ? PEM_ENCRYPTED : "not PEM, or damaged");
	return key;
}

int key_new_ec(struct arena *a, struct sv *ret_key_pem, struct err *err)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!key || !bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return err_set(err, ERR_INTERNAL, "cannot make a P-256 key");
	*ret_key_pem = cert_bio_text(a, bio);
	return 0;
}

static int coordinate(struct arena *a, EVP_PKEY *key, const char *param, struct sv *ret, struct err *err)
{
	_cleanup_(bn_freep) BIGNUM *bn = NULL;
	unsigned char bytes[COORDINATE_BYTES];

	if (EVP_PKEY_get_bn_param(key, param, &bn) != 1 || BN_bn2binpad(bn, bytes, sizeof(bytes)) != COORDINATE_BYTES)
		return err_set(err, ERR_INTERNAL, "the service account key is not a P-256 key");
	*ret = b64url_encode(a, sv_make((const char *)bytes, sizeof(bytes)));
	return 0;
}

int key_public_jwk(struct arena *a, struct sv key_pem, struct sv *ret_x, struct sv *ret_y, struct sv *ret_kid,
		   struct err *err)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = read_key(key_pem, err);
	unsigned char digest[SHA256_DIGEST_LENGTH];
	unsigned char *der = NULL;
	int n;

	if (!key || coordinate(a, key, OSSL_PKEY_PARAM_EC_PUB_X, ret_x, err) < 0 ||
	    coordinate(a, key, OSSL_PKEY_PARAM_EC_PUB_Y, ret_y, err) < 0)
		return -1;
	n = i2d_PUBKEY(key, &der);
	if (n <= 0)
		return err_set(err, ERR_INTERNAL, "cannot encode a public key");
	SHA256(der, (size_t)n, digest);
	OPENSSL_free(der);
	*ret_kid = b64url_encode(a, sv_make((const char *)digest, sizeof(digest)));
	return 0;
}

/* The public key of a certificate, a request or a private key. */
static EVP_PKEY *key_of_any(struct sv pem)
{
	_cleanup_(bio_freep) BIO *bio = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	_cleanup_(x509_freep) X509 *cert = NULL;
	X509_REQ *req;
	EVP_PKEY *key;

	if (!bio)
		return NULL;
	cert = PEM_read_bio_X509(bio, NULL, pem_no_password, NULL);
	if (cert)
		return X509_get_pubkey(cert);
	(void)BIO_reset(bio);
	req = PEM_read_bio_X509_REQ(bio, NULL, pem_no_password, NULL);
	if (req) {
		key = X509_REQ_get_pubkey(req);
		X509_REQ_free(req);
		return key;
	}
	return pem_private_key(pem);
}

bool key_hash_of(EVP_PKEY *key, char ret[65])
{
	unsigned char *der = NULL;
	int n = key ? i2d_PUBKEY(key, &der) : -1;

	ERR_clear_error();
	if (n <= 0)
		return false;
	sha256_hex(sv_make((const char *)der, (size_t)n), ret);
	OPENSSL_free(der);
	return true;
}

int key_hash(struct sv pem, char ret[65], struct err *err)
{
	_cleanup_(pkey_freep) EVP_PKEY *key = key_of_any(pem);

	if (!key_hash_of(key, ret))
		return err_set(err, ERR_INVALID, "there is no certificate, request or private key in it");
	return 0;
}
