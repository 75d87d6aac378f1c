#include "net/sealed.h"

#include "net/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#define MAGIC "caravel sealed 1\n"
#define MAGIC_N (sizeof(MAGIC) - 1)
#define SALT_N 16
#define NONCE_N 12
#define TAG_N 16
#define CHECK_N 16
#define COSTS_AT MAGIC_N
#define SALT_AT (COSTS_AT + 3)
#define CHECK_AT (SALT_AT + SALT_N)
#define NONCE_AT (CHECK_AT + CHECK_N)
#define TEXT_AT (NONCE_AT + NONCE_N)
/* 32 MiB: what guesses cost a machine that is made for them. */
#define LOG_N 15
#define BLOCKS 8
#define PARALLEL 1
/* Of what others sealed. */
#define LOG_N_MIN 10
#define LOG_N_MAX 17
#define BLOCKS_MAX 16
#define PARALLEL_MAX 4
#define MEMORY_MAX ((uint64_t)320 << 20) /* OpenSSL counts some more than 128 * N * r */

struct sealed_key {
	unsigned char key[32], check[CHECK_N];
};

static void sealed_ctx_free(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

static int sealed_key(struct sv word, const unsigned char *head, struct sealed_key *ret, struct err *err)
{
	const unsigned char *costs = head + COSTS_AT;

	if (EVP_PBE_scrypt(word.n ? word.p : "", word.n, head + SALT_AT, SALT_N, UINT64_C(1) << costs[0], costs[1],
			   costs[2], MEMORY_MAX, (unsigned char *)ret, sizeof(*ret)) == 1)
		return 0;
	return err_set(err, ERR_INTERNAL, "no key can be made of the token: is there memory?");
}

static bool sealed_aad(int (*update)(EVP_CIPHER_CTX *c, unsigned char *out, int *n, const unsigned char *in, int in_n),
		       EVP_CIPHER_CTX *c, const unsigned char *head, struct sv what)
{
	int n;

	return what.n <= SEALED_TEXT_MAX && update(c, NULL, &n, head, (int)TEXT_AT) == 1 &&
	       update(c, NULL, &n, (const unsigned char *)what.p, (int)what.n) == 1;
}

int sealed_make(struct env *env, struct sv word, struct sv what, struct sv text, struct buf *b, struct err *err)
{
	_cleanup_(sealed_ctx_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	unsigned char head[TEXT_AT], tag[TAG_N];
	struct sealed_key key;
	int n = 0, last = 0;
	size_t was = b->n;
	bool good;

	if (text.n > SEALED_TEXT_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %zu bytes cannot be sealed", SEALED_TEXT_MAX);
	memcpy(head, MAGIC, MAGIC_N);
	head[COSTS_AT] = LOG_N;
	head[COSTS_AT + 1] = BLOCKS;
	head[COSTS_AT + 2] = PARALLEL;
	env_random(env, head + SALT_AT, SALT_N);
	env_random(env, head + NONCE_AT, NONCE_N);
	if (sealed_key(word, head, &key, err) < 0)
		return -1;
	memcpy(head + CHECK_AT, key.check, CHECK_N);
	buf_add(b, head, sizeof(head));
	buf_reserve(b, text.n + TAG_N + EVP_MAX_BLOCK_LENGTH);
	good =
	    c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key.key, head + NONCE_AT) == 1 &&
	    sealed_aad(EVP_EncryptUpdate, c, head, what) &&
	    EVP_EncryptUpdate(c, (unsigned char *)b->p + b->n, &n, (const unsigned char *)text.p, (int)text.n) == 1 &&
	    EVP_EncryptFinal_ex(c, (unsigned char *)b->p + b->n + n, &last) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_N, tag) == 1;
	OPENSSL_cleanse(&key, sizeof(key));
	if (!good) {
		b->n = was;
		return err_set(err, ERR_INTERNAL, "it cannot be encrypted");
	}
	b->n += (size_t)n + (size_t)last;
	buf_add(b, tag, TAG_N);
	return 0;
}

static int sealed_check(struct sv sealed, struct err *err)
{
	const unsigned char *costs = (const unsigned char *)sealed.p + COSTS_AT;

	if (!sv_starts(sealed, SV("caravel sealed ")))
		return err_set(err, ERR_INVALID, "it is nothing that was sealed");
	if (!sv_starts(sealed, SV(MAGIC)))
		return err_set(err, ERR_INVALID, "it was sealed by a later version");
	if (sealed.n < TEXT_AT + TAG_N || sealed.n > TEXT_AT + TAG_N + SEALED_TEXT_MAX)
		return err_set(err, ERR_INVALID, "it is damaged: of %zu bytes", sealed.n);
	if (costs[0] < LOG_N_MIN || costs[0] > LOG_N_MAX || !costs[1] || costs[1] > BLOCKS_MAX || !costs[2] ||
	    costs[2] > PARALLEL_MAX)
		return err_set(err, ERR_INVALID, "it is damaged, or costs more to open than it may");
	return 0;
}

int sealed_open(struct sv word, struct sv what, struct sv sealed, struct buf *b, struct err *err)
{
	_cleanup_(sealed_ctx_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	const unsigned char *head = (const unsigned char *)sealed.p;
	unsigned char tag[TAG_N];
	struct sealed_key key;
	int n = 0, last = 0;
	size_t text_n;
	bool good;

	if (sealed_check(sealed, err) < 0 || sealed_key(word, head, &key, err) < 0)
		return -1;
	if (!secret_equal(sv_make((const char *)key.check, CHECK_N), sv_make((const char *)head + CHECK_AT, CHECK_N))) {
		OPENSSL_cleanse(&key, sizeof(key));
		return err_set(err, ERR_UNAUTHORIZED, "it was sealed with another word");
	}
	text_n = sealed.n - TEXT_AT - TAG_N;
	memcpy(tag, head + TEXT_AT + text_n, TAG_N);
	buf_reserve(b, text_n + EVP_MAX_BLOCK_LENGTH);
	good = c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key.key, head + NONCE_AT) == 1 &&
	       sealed_aad(EVP_DecryptUpdate, c, head, what) &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_N, tag) == 1 &&
	       EVP_DecryptUpdate(c, (unsigned char *)b->p + b->n, &n, head + TEXT_AT, (int)text_n) == 1 &&
	       EVP_DecryptFinal_ex(c, (unsigned char *)b->p + b->n + n, &last) == 1;
	OPENSSL_cleanse(&key, sizeof(key));
	if (!good)
		return err_set(err, ERR_INVALID, "it was changed by somebody who does not have the word");
	b->n += (size_t)n + (size_t)last;
	return 0;
}
