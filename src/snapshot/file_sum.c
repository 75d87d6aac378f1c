#include "snapshot/file_sum.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)

static void sum_free(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

int file_sum(int fd, uint64_t from, uint64_t n, unsigned char ret[FILE_SUM_BYTES], struct err *err)
{
	_cleanup_(sum_free) EVP_MD_CTX *md = EVP_MD_CTX_new();
	_cleanup_free_ char *piece = xmalloc(PIECE);
	uint64_t at = 0;

	if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		return err_set(err, ERR_INTERNAL, "OpenSSL has no SHA-256");
	while (at < n) {
		ssize_t r = pread(fd, piece, MIN(PIECE, n - at), (off_t)(from + at));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set_errno(err, r ? errno : EIO, "cannot read it");
		(void)EVP_DigestUpdate(md, piece, (size_t)r);
		at += (uint64_t)r;
	}
	return EVP_DigestFinal_ex(md, ret, NULL) == 1 ? 0 : err_set(err, ERR_INTERNAL, "OpenSSL has no SHA-256");
}
