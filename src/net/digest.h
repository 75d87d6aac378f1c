/* digest.h - what content is named by, and how secrets are compared. Pure; any thread. */
#pragma once

#include "base/base.h"

#define SHA256_HEX 65 /* with its NUL */
/* SHA-256 in lower-case hex: names of files, credentials and content. */
void sha256_hex(struct sv s, char ret[SHA256_HEX]);
#define SHA256_BYTES 32
void hmac_sha256(struct sv key, struct sv s, unsigned char ret[SHA256_BYTES]); /* RFC 2104 */
/* Constant-time equality, for secrets: an empty one is equal to nothing. */
bool secret_equal(struct sv a, struct sv b);
