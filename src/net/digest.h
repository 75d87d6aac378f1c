/* digest.h - what content is named by, and how secrets are compared. Pure; any thread. */
#pragma once

#include "base/base.h"

#define SHA256_HEX 65 /* with its NUL */
/* SHA-256 in lower-case hex: names of files, credentials and content. */
void sha256_hex(struct sv s, char ret[SHA256_HEX]);
/* Constant-time equality, for secrets: an empty one is equal to nothing. */
bool secret_equal(struct sv a, struct sv b);
