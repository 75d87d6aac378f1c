#include "snapshot/seal.h"

#include "net/digest.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#define SEAL_FORM 1
#define SALT_BYTES 16
#define CHECK_BYTES 16
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define KEY_BYTES 32
#define LOG_N 15
#define LOG_N_MAX 18 /* a file decides no more than 256 MiB and a second */
#define SCRYPT_R 8

struct seal_head {
	uint32_t form, log_n;
	unsigned char salt[SALT_BYTES], check[CHECK_BYTES], nonce[NONCE_BYTES];
};
_Static_assert(sizeof(struct seal_head) == 8 + SALT_BYTES + CHECK_BYTES + NONCE_BYTES, "no holes in a file");

struct seal_key {
	unsigned char key[KEY_BYTES], check[CHECK_BYTES];
};

static int seal_derive(struct sv secret, const unsigned char salt[SALT_BYTES], uint32_t log_n, struct seal_key *ret,
		       struct err *err)
{
	uint64_t n = UINT64_C(1) << log_n;

	if (EVP_PBE_scrypt(secret.p, secret.n, salt, SALT_BYTES, n, SCRYPT_R, 1, n * SCRYPT_R * 128 + (1 << 20),
			   (unsigned char *)ret, sizeof(*ret)) == 1)
		return 0;
	return err_set(err, ERR_INTERNAL, "no key can be made of the token: OpenSSL's scrypt fails");
}

static void ctx_free(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

static void wipe(struct buf *b)
{
	if (b->p)
		OPENSSL_cleanse(b->p, b->cap);
	buf_release(b);
}

static void seal_word(struct buf *b, size_t n)
{
	uint32_t word = htole32((uint32_t)n);

	buf_add(b, &word, sizeof(word));
}

int seal_files(struct env *env, struct sv secret, struct sv bound, const struct archive_file *f, size_t n,
	       struct buf *out, struct err *err)
{
	_cleanup_(ctx_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	_cleanup_(wipe) struct buf plain = BUF_INIT;
	struct seal_head h = { .form = htole32(SEAL_FORM), .log_n = htole32(LOG_N) };
	struct seal_key key;
	unsigned char *to;
	int got = 0, last = 0;
	bool good;

	plain.limit = ARCHIVE_FILES_BYTES;
	for (size_t i = 0; i < n; i++) {
		seal_word(&plain, f[i].name.n);
		seal_word(&plain, f[i].data.n);
		buf_addsv(&plain, f[i].name);
		buf_addsv(&plain, f[i].data);
	}
	if (plain.overflow || n > ARCHIVE_FILES_MAX)
		return err_set(err, ERR_TOO_LARGE, "keys and certificates are more than %zu MiB",
			       ARCHIVE_FILES_BYTES >> 20);
	env_random(env, h.salt, sizeof(h.salt));
	env_random(env, h.nonce, sizeof(h.nonce));
	if (seal_derive(secret, h.salt, LOG_N, &key, err) < 0)
		return -1;
	memcpy(h.check, key.check, sizeof(h.check));
	buf_add(out, &h, sizeof(h));
	to = (unsigned char *)buf_extend(out, plain.n + TAG_BYTES);
	good = c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key.key, h.nonce) == 1 &&
	       EVP_EncryptUpdate(c, NULL, &got, (const unsigned char *)bound.p, (int)bound.n) == 1 &&
	       EVP_EncryptUpdate(c, to, &got, (const unsigned char *)plain.p, (int)plain.n) == 1 &&
	       EVP_EncryptFinal_ex(c, to + got, &last) == 1 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, to + plain.n) == 1;
	OPENSSL_cleanse(&key, sizeof(key));
	return good ? 0 : err_set(err, ERR_INTERNAL, "keys cannot be encrypted: OpenSSL's AES-256-GCM fails");
}

/* A path that leads nowhere but below. */
static bool seal_name_good(struct sv name)
{
	struct sv part;

	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] > '~')
			return false;
	if (!name.n || name.n > 255)
		return false;
	while (sv_split(&name, '/', &part))
		if (!part.n || part.p[0] == '.')
			return false;
	return true;
}

static int seal_parse(struct arena *a, struct sv plain, struct archive_file **ret, size_t *ret_n, struct err *err)
{
	struct archive_file *f = ARENA_ARRAY(a, struct archive_file, ARCHIVE_FILES_MAX);
	uint32_t words[2];
	size_t n = 0;

	while (plain.n) {
		size_t name_n, data_n;

		if (plain.n < sizeof(words) || n == ARCHIVE_FILES_MAX)
			break;
		memcpy(words, plain.p, sizeof(words));
		plain = sv_sub(plain, sizeof(words), plain.n);
		name_n = le32toh(words[0]);
		data_n = le32toh(words[1]);
		if (name_n > plain.n || data_n > plain.n - name_n || !seal_name_good(sv_sub(plain, 0, name_n)))
			break;
		f[n++] = (struct archive_file){ arena_sv(a, sv_sub(plain, 0, name_n)),
						arena_sv(a, sv_sub(plain, name_n, data_n)) };
		plain = sv_sub(plain, name_n + data_n, plain.n);
	}
	if (plain.n)
		return err_set(err, ERR_INVALID, "what is sealed in it are no files");
	*ret = f;
	*ret_n = n;
	return 0;
}

int seal_open(struct arena *a, struct sv secret, struct sv bound, struct sv sealed, struct archive_file **ret,
	      size_t *ret_n, struct err *err)
{
	_cleanup_(ctx_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	_cleanup_(wipe) struct buf plain = BUF_INIT;
	const unsigned char *text = (const unsigned char *)sealed.p + sizeof(struct seal_head);
	unsigned char tag[TAG_BYTES], *to;
	struct seal_head h;
	struct seal_key key;
	int got = 0, last = 0, n;
	bool good;

	if (sealed.n < sizeof(h) + TAG_BYTES || sealed.n > ARCHIVE_FILES_BYTES + sizeof(h) + TAG_BYTES)
		return err_set(err, ERR_INVALID, "its sealed part is none");
	memcpy(&h, sealed.p, sizeof(h));
	if (le32toh(h.form) != SEAL_FORM || le32toh(h.log_n) < 1 || le32toh(h.log_n) > LOG_N_MAX)
		return err_set(err, ERR_INVALID, "its keys are sealed in a way that this program does not know");
	if (seal_derive(secret, h.salt, le32toh(h.log_n), &key, err) < 0)
		return -1;
	if (!secret_equal(sv_make((const char *)key.check, CHECK_BYTES), sv_make((const char *)h.check, CHECK_BYTES))) {
		OPENSSL_cleanse(&key, sizeof(key));
		return err_set(err, ERR_UNAUTHORIZED,
			       "its keys are sealed with another token: --token takes the cluster's as it was then");
	}
	n = (int)(sealed.n - sizeof(h) - TAG_BYTES);
	memcpy(tag, text + n, sizeof(tag));
	to = (unsigned char *)buf_extend(&plain, (size_t)n);
	good = c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key.key, h.nonce) == 1 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
	       EVP_DecryptUpdate(c, NULL, &got, (const unsigned char *)bound.p, (int)bound.n) == 1 &&
	       EVP_DecryptUpdate(c, to, &got, text, n) == 1 && EVP_DecryptFinal_ex(c, to + got, &last) == 1;
	OPENSSL_cleanse(&key, sizeof(key));
	if (!good)
		return err_set(err, ERR_INVALID,
			       "it was changed by somebody who does not have the token: nothing in it can be trusted");
	return seal_parse(a, buf_sv(&plain), ret, ret_n, err);
}
