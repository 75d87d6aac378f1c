/* Private keys of PEM text: the same keys as by OpenSSL's own reader, and none where that finds none. */
#include "unit.h"

#include "base/buf.h"
#include "base/pem.h"
#include "base/pem_key.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

enum form { TRADITIONAL, PKCS8, LOCKED, LOCKED_HEADER };

static char *pem_of(EVP_PKEY *key, enum form form)
{
	BIO *b = BIO_new(BIO_s_mem());
	const EVP_CIPHER *locked = form >= LOCKED ? EVP_aes_128_cbc() : NULL;
	unsigned char *word = locked ? (unsigned char *)"password" : NULL;
	char *p, *ret;
	long n;

	if (form == TRADITIONAL || form == LOCKED_HEADER)
		assert_int_equal(PEM_write_bio_PrivateKey_traditional(b, key, locked, word, word ? 8 : 0, NULL, NULL),
				 1);
	else
		assert_int_equal(PEM_write_bio_PrivateKey(b, key, locked, word, word ? 8 : 0, NULL, NULL), 1);
	n = BIO_get_mem_data(b, &p);
	ret = xstrndup(p, (size_t)n);
	BIO_free(b);
	return ret;
}

static EVP_PKEY *of_openssl(struct sv pem)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, pem_no_password, NULL);

	BIO_free(b);
	ERR_clear_error();
	return key;
}

/* Both find the same, and a key if one is expected. */
static void check(struct sv pem, bool expected)
{
	EVP_PKEY *theirs = of_openssl(pem), *ours = pem_private_key(pem);

	assert_int_equal(theirs != NULL, expected);
	assert_int_equal(ours != NULL, expected);
	if (expected) {
		assert_int_equal(EVP_PKEY_eq(ours, theirs), 1);
		assert_int_equal(ERR_peek_error(), 0);
	}
	ERR_clear_error();
	EVP_PKEY_free(ours);
	EVP_PKEY_free(theirs);
}

static void each(void (*fn)(EVP_PKEY *key))
{
	EVP_PKEY *keys[] = { EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(2048) };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		assert_non_null(keys[i]);
		fn(keys[i]);
		EVP_PKEY_free(keys[i]);
	}
}

static void one_form(EVP_PKEY *key, enum form form)
{
	_cleanup_free_ char *pem = pem_of(key, form);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	check(sv_from(pem), form < LOCKED);
	buf_printf(&b, "words\n-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\n%s%s", pem, pem);
	check(buf_sv(&b), form < LOCKED);
	check(sv_sub(sv_from(pem), 0, strlen(pem) / 2), false);
}

static void all_forms(EVP_PKEY *key)
{
	for (enum form f = TRADITIONAL; f <= LOCKED_HEADER; f++)
		one_form(key, f);
}

static void test_forms(void **state)
{
	(void)state;
	each(all_forms);
}

static void test_other_algorithm(void **state)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	(void)state;
	one_form(key, PKCS8);
	EVP_PKEY_free(key);
}

/* A key below the label of another algorithm is one all the same. */
static void test_other_label(void **state)
{
	static const struct {
		enum form form;
		const char *is, *says;
		bool rsa;
	} rows[] = {
		{ TRADITIONAL, "RSA PRIVATE", "EC PRIVATE", true },
		{ TRADITIONAL, "EC PRIVATE", "RSA PRIVATE", false },
		{ PKCS8, " PRIVATE", " RSA PRIVATE", false },
		{ PKCS8, " PRIVATE", " EC PRIVATE", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		EVP_PKEY *key = rows[i].rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), *got;
		_cleanup_free_ char *pem = pem_of(key, rows[i].form);
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		size_t n = strlen(rows[i].is);

		for (const char *p = pem; *p;) {
			bool here = strncmp(p, rows[i].is, n) == 0;

			buf_addsv(&b, here ? sv_from(rows[i].says) : sv_make(p, 1));
			p += here ? n : 1;
		}
		got = pem_private_key(buf_sv(&b));
		assert_non_null(got);
		assert_int_equal(EVP_PKEY_eq(got, key), 1);
		EVP_PKEY_free(got);
		EVP_PKEY_free(key);
	}
}

/* The label lies, or what is below it is nothing: what OpenSSL says is said. */
static void test_wrong(void **state)
{
	static const char *const texts[] = {
		"",
		"no PEM at all",
		"-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n",
		"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
		"-----BEGIN RSA PRIVATE KEY-----\nMAMCAQE=\n-----END RSA PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----\n",
		"-----BEGIN XPRIVATE KEY-----\nMAMCAQE=\n-----END XPRIVATE KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\nMAMCAQE=\n-----END PUBLIC KEY-----\n",
		"-----BEGIN EC PRIVATE KEY-----\nnot base64\n-----END EC PRIVATE KEY-----\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		check(sv_from(texts[i]), false);
	assert_null(pem_private_key(sv_make("", (size_t)INT_MAX + 1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_other_algorithm),
		cmocka_unit_test(test_other_label),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
