#include "net/digest.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

_Static_assert(SHA256_HEX == 2 * SHA256_DIGEST_LENGTH + 1, "two digits a byte, and NUL");

bool secret_equal(struct sv a, struct sv b)
{
	return a.n > 0 && a.n == b.n && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}

void sha256_hex(struct sv s, char ret[SHA256_HEX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char d[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)s.p, s.n, d);
	for (size_t i = 0; i < sizeof(d); i++) {
		ret[2 * i] = digits[d[i] >> 4];
		ret[2 * i + 1] = digits[d[i] & 15];
	}
	ret[2 * sizeof(d)] = '\0';
}

void hmac_sha256(struct sv key, struct sv s, unsigned char ret[SHA256_BYTES])
{
	unsigned n = 0;

	/* Nothing else lets it fail. */
	if (!HMAC(EVP_sha256(), key.p ? key.p : "", (int)MIN(key.n, (size_t)INT_MAX), (const unsigned char *)s.p, s.n,
		  ret, &n))
		out_of("memory");
}
