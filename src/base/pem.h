/* pem.h - what everybody who reads PEM asks for: that nothing is asked on the terminal.
 *
 * OpenSSL asks the terminal for the password of an encrypted key (or certificate: any PEM may be) unless its
 * reader is given a callback. A server has nobody to ask: pem_no_password() is what all pass, and pem_encrypted() lets
 * them say what is wrong in words.
 */
#pragma once

#include "base/base.h"

static inline int pem_no_password(char *buf, int size, int writing, void *ctx)
{
	(void)buf, (void)size, (void)writing, (void)ctx;
	return -1;
}

/* Either form: PKCS#8's own label, or the older header below any label. */
static inline bool pem_encrypted(struct sv pem)
{
	return sv_find_sv(pem, SV("-----BEGIN ENCRYPTED ")) >= 0 ||
	       sv_find_sv(pem, SV("\nProc-Type: 4,ENCRYPTED")) >= 0;
}
#define PEM_ENCRYPTED "it is encrypted, and there is nobody to ask for the password: decrypt it (openssl pkey)"
