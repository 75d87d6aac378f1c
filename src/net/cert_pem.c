#include "net/cert_pem.h"

#include "net/net-internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

void cert_pem_each(struct sv pem, cert_block_fn *fn, void *ctx)
{
	_cleanup_(bio_freep) BIO *b = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT_MAX));
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	long n;

	while (pem.n && b) {
		if (PEM_read_bio(b, &name, &header, &der, &n) != 1) {
			bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

			ERR_clear_error();
			if (end)
				break;
			continue;
		}
		fn(name, header, sv_make((const char *)der, (size_t)n), ctx);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(der);
		name = header = NULL;
		der = NULL;
		ERR_clear_error();
	}
}

static void cert_pem_block(const char *name, const char *header, struct sv der, void *ctx)
{
	struct cert_pem *c = ctx;

	(void)name;
	(void)header;
	vec_push(&c->der, arena_sv(c->a, der));
}

void cert_pem_add(struct cert_pem *c, struct sv pem)
{
	cert_pem_each(pem, cert_pem_block, c);
}

void cert_pem_once(struct cert_pem *c)
{
	size_t n = 0;

	if (c->der.n)
		qsort(c->der.p, c->der.n, sizeof(*c->der.p), sv_order);
	for (size_t i = 0; i < c->der.n; i++)
		if (!n || !sv_eq(c->der.p[n - 1], c->der.p[i]))
			c->der.p[n++] = c->der.p[i];
	c->der.n = n;
}

struct sv cert_pem_text(const struct cert_pem *c)
{
	_cleanup_(bio_freep) BIO *out = BIO_new(BIO_s_mem());

	for (size_t i = 0; out && i < c->der.n; i++)
		(void)PEM_write_bio(out, PEM_STRING_X509, "", (const unsigned char *)c->der.p[i].p,
				    (long)c->der.p[i].n);
	ERR_clear_error();
	return out && c->der.n ? cert_bio_text(c->a, out) : SV("");
}

void cert_pem_release(struct cert_pem *c)
{
	vec_release(&c->der);
}
