/* pem_key.h - a private key of PEM text, without asking OpenSSL what it may be.
 *
 * PEM_read_bio_PrivateKey() makes a decoder for every algorithm and form that there is, each time: more work than
 * making a key. The label of a block says which one it is of.
 */
#pragma once

#include "base/base.h"

#include <openssl/evp.h>

/* Of the first block that is a private key: EC PRIVATE KEY, RSA PRIVATE KEY, PRIVATE KEY; others before it are passed
 * over. Never asks for a password (pem.h). NULL: there is none, or it cannot be read; OpenSSL's errors say more. */
EVP_PKEY *pem_private_key(struct sv pem);

/* The same of one block by its label, and where that lies by what is there. NULL also for a label that is none of
 * those. */
EVP_PKEY *pem_block_key(const char *label, const unsigned char *der, long n);
