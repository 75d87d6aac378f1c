#include "base/pem_key.h"

#include "base/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>

static bool pem_is_key(const char *label)
{
	static const char end[] = "PRIVATE KEY";
	size_t n = strlen(label);

	return n >= sizeof(end) - 1 && strcmp(label + n - (sizeof(end) - 1), end) == 0;
}

/* What the label says. */
static EVP_PKEY *pem_labelled_key(int type, const unsigned char *der, long n)
{
	EVP_PKEY *key;

	(void)ERR_set_mark();
	key = d2i_PrivateKey(type, NULL, &der, n);
	(void)ERR_pop_to_mark();
	return key;
}

EVP_PKEY *pem_block_key(const char *label, const unsigned char *der, long n)
{
	bool ec = strcmp(label, "EC PRIVATE KEY") == 0, rsa = strcmp(label, "RSA PRIVATE KEY") == 0;
	EVP_PKEY *key = ec || rsa ? pem_labelled_key(ec ? EVP_PKEY_EC : EVP_PKEY_RSA, der, n) : NULL;

	if (key || (!ec && !rsa && strcmp(label, "PRIVATE KEY") != 0))
		return key;
	/* Labels lie: upstream looks at what is below them, too. */
	return d2i_AutoPrivateKey(NULL, &der, n);
}

EVP_PKEY *pem_private_key(struct sv pem)
{
	BIO *bio = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	unsigned char *der;
	char *label, *header;
	EVP_PKEY *key = NULL;
	bool found = false;
	long n;

	while (bio && !found && PEM_read_bio(bio, &label, &header, &der, &n) == 1) {
		found = pem_is_key(label);
		/* The older header says that the block is encrypted. */
		if (found && !*header) {
			(void)ERR_set_mark();
			key = pem_block_key(label, der, n);
			(void)ERR_pop_to_mark();
		}
		OPENSSL_free(label);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)n);
	}
	/* Of any other form OpenSSL says what there is to say. */
	if (bio && found && !key && BIO_reset(bio) == 1)
		key = PEM_read_bio_PrivateKey(bio, NULL, pem_no_password, NULL);
	BIO_free(bio);
	return key;
}
