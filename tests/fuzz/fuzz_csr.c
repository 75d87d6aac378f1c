/* A request for a certificate, and what is signed of it; or a chain of certificates. */
#include "net/csr.h"

#include <stdlib.h>

static struct arena forever;
static struct sv ca_cert, ca_key;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv pem = sv_make((const char *)data, size), usage = SV("client auth"), cert;
	struct cert_opts ca = { .common_name = "ca", .ca = true, .not_after_ns = CLOCK_FLOOR_NS * 2 };
	struct csr_sign_opts o = {
		.not_before_ns = 0, .not_after_ns = CLOCK_FLOOR_NS, .usages = &usage, .n_usages = 1
	};
	struct csr c;

	if (!ca_cert.n && cert_make(&forever, &ca, SV(""), SV(""), &ca_cert, &ca_key, NULL) < 0)
		abort();
	o.ca_cert = ca_cert;
	o.ca_key = ca_key;
	(void)cert_chain_check(pem, NULL);
	/* What can be read can be signed, and nothing else. */
	if ((csr_parse(&a, pem, &c, NULL) == 0) != (csr_sign(&a, pem, &o, &cert, NULL) == 0))
		abort();
	return 0;
}
