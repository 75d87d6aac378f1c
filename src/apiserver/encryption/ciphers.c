/* The ciphers, each a pair of functions. AES is OpenSSL's; XSalsa20-Poly1305, which it lacks, libsodium's, which is
 * loaded by the first configuration that names secretbox. */
#include "apiserver/encryption/encryption-internal.h"
#include "base/lazylib.h"

#include <openssl/evp.h>

#define GCM_NONCE 12
#define GCM_TAG 16
#define CBC_IV 16
#define BOX_NONCE 24
#define BOX_TAG 16

/* libsodium's ABI; two functions are not worth its headers at every build. */
typedef int secretbox_fn(unsigned char *out, const unsigned char *in, unsigned long long n, const unsigned char *nonce,
			 const unsigned char *key);
static secretbox_fn *sym_seal, *sym_open;
static const struct lazylib_sym sodium_syms[] = { { "crypto_secretbox_easy", &sym_seal },
						  { "crypto_secretbox_open_easy", &sym_open } };
static struct lazylib sodium = LAZYLIB("libsodium.so.23", sodium_syms);

int enc_usable(enum cipher c, struct err *err)
{
	return c == CIPHER_SECRETBOX ? lazylib_need(&sodium, err) : 0;
}

static void aes_ctx_free(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

static const EVP_CIPHER *aes_of(const struct enc_key *k)
{
	if (k->cipher == CIPHER_AESGCM)
		return k->n == 16 ? EVP_aes_128_gcm() : k->n == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
	return k->n == 16 ? EVP_aes_128_cbc() : k->n == 24 ? EVP_aes_192_cbc() : EVP_aes_256_cbc();
}

static unsigned char *seal_room(struct buf *b, size_t n)
{
	buf_reserve(b, n);
	return (unsigned char *)b->p + b->n;
}

/* Nonce, text, and of GCM the tag. A value is far below what an int holds (STORE_VALUE_MAX). */
static int aes_seal(struct env *env, const struct enc_key *k, struct sv aad, struct sv plain, struct buf *b)
{
	_cleanup_(aes_ctx_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	bool gcm = k->cipher == CIPHER_AESGCM;
	size_t nonce_n = gcm ? GCM_NONCE : CBC_IV;
	unsigned char *at = seal_room(b, nonce_n + plain.n + CBC_IV + GCM_TAG);
	int n = 0, last = 0;

	env_random(env, at, nonce_n);
	if (!c || EVP_EncryptInit_ex(c, aes_of(k), NULL, k->bytes, at) != 1 ||
	    (gcm && EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) != 1) ||
	    EVP_EncryptUpdate(c, at + nonce_n, &n, (const unsigned char *)plain.p, (int)plain.n) != 1 ||
	    EVP_EncryptFinal_ex(c, at + nonce_n + n, &last) != 1)
		return -1;
	n += last;
	if (gcm && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, GCM_TAG, at + nonce_n + n) != 1)
		return -1;
	b->n += nonce_n + (size_t)n + (gcm ? GCM_TAG : 0);
	return 0;
}

static int aes_open(const struct enc_key *k, struct sv aad, struct sv sealed, struct buf *b)
{
	_cleanup_(aes_ctx_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	bool gcm = k->cipher == CIPHER_AESGCM;
	size_t nonce_n = gcm ? GCM_NONCE : CBC_IV, tag_n = gcm ? GCM_TAG : 0, text_n;
	const unsigned char *p = (const unsigned char *)sealed.p;
	unsigned char tag[GCM_TAG], *at;
	int n = 0, last = 0;

	if (!c || sealed.n < nonce_n + tag_n)
		return -1;
	text_n = sealed.n - nonce_n - tag_n;
	if (!gcm && (!text_n || text_n % CBC_IV))
		return -1;
	at = seal_room(b, text_n + CBC_IV);
	if (gcm)
		memcpy(tag, p + nonce_n + text_n, GCM_TAG);
	if (EVP_DecryptInit_ex(c, aes_of(k), NULL, k->bytes, p) != 1 ||
	    (gcm && (EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, GCM_TAG, tag) != 1 ||
		     EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) != 1)) ||
	    EVP_DecryptUpdate(c, at, &n, p + nonce_n, (int)text_n) != 1 || EVP_DecryptFinal_ex(c, at + n, &last) != 1)
		return -1;
	b->n += (size_t)n + (size_t)last;
	return 0;
}

static int box_seal(struct env *env, const struct enc_key *k, struct sv plain, struct buf *b)
{
	unsigned char *at = seal_room(b, BOX_NONCE + BOX_TAG + plain.n);

	env_random(env, at, BOX_NONCE);
	if (sym_seal(at + BOX_NONCE, (const unsigned char *)plain.p, plain.n, at, k->bytes) != 0)
		return -1;
	b->n += BOX_NONCE + BOX_TAG + plain.n;
	return 0;
}

static int box_open(const struct enc_key *k, struct sv sealed, struct buf *b)
{
	const unsigned char *p = (const unsigned char *)sealed.p;
	unsigned char *at;

	if (sealed.n < BOX_NONCE + BOX_TAG)
		return -1;
	at = seal_room(b, sealed.n);
	if (sym_open(at, p + BOX_NONCE, sealed.n - BOX_NONCE, p, k->bytes) != 0)
		return -1;
	b->n += sealed.n - BOX_NONCE - BOX_TAG;
	return 0;
}

int enc_seal(struct env *env, const struct enc_key *k, struct sv aad, struct sv plain, struct buf *b, struct err *err)
{
	int rc = 0;

	if (aad.n > INT_MAX || plain.n > INT_MAX / 2)
		return err_set(err, ERR_TOO_LARGE, "unable to encrypt: the value is too large");
	buf_adds(b, k->prefix);
	if (k->cipher == CIPHER_IDENTITY)
		buf_addsv(b, plain);
	else
		rc = k->cipher == CIPHER_SECRETBOX ? box_seal(env, k, plain, b) : aes_seal(env, k, aad, plain, b);
	return rc < 0 ? err_set(err, ERR_INTERNAL, "unable to encrypt with %s", k->prefix) : 0;
}

int enc_open(const struct enc_key *k, struct sv aad, struct sv sealed, struct buf *b, struct err *err)
{
	int rc = 0;

	if (aad.n > INT_MAX || sealed.n > INT_MAX / 2)
		return err_set(err, ERR_INTERNAL, "the stored data is too large");
	if (k->cipher == CIPHER_IDENTITY)
		buf_addsv(b, sealed);
	else
		rc = k->cipher == CIPHER_SECRETBOX ? box_open(k, sealed, b) : aes_open(k, aad, sealed, b);
	return rc < 0 ? err_set(err, ERR_INTERNAL,
				"the stored data does not match the key "
				"the key of %s",
				k->prefix)
		      : 0;
}
