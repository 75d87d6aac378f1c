/* A request for a certificate, and what is signed of it; or a chain of certificates. */
#include "base/b64.h"
#include "net/csr.h"

#include <stdlib.h>

static struct arena forever;
static struct sv ca_cert, ca_key;

static void csr_both(struct sv pem)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv usage = SV("client auth"), cert;
	struct csr_sign_opts o = { .ca_cert = ca_cert,
				   .ca_key = ca_key,
				   .not_before_ns = 0,
				   .not_after_ns = CLOCK_FLOOR_NS,
				   .usages = &usage,
				   .n_usages = 1 };
	struct csr c;

	(void)cert_chain_check(pem, NULL);
	/* What can be read can be signed, and nothing else. */
	if ((csr_parse(&a, pem, &c, NULL) == 0) != (csr_sign(&a, pem, &o, &cert, NULL) == 0))
		abort();
}

/* DER in a block of that kind. */
static struct sv csr_block_of(struct arena *a, const char *kind, struct sv der)
{
	struct sv text = b64_encode(a, der), out = arena_svf(a, "-----BEGIN %s-----\n", kind);

	for (size_t at = 0; at < text.n; at += 64)
		out = arena_svf(a, "%.*s%.*s\n", SV_ARG(out), SV_ARG(sv_sub(text, at, 64)));
	return arena_svf(a, "%.*s-----END %s-----\n", SV_ARG(out), kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct cert_opts ca = { .common_name = "ca", .ca = true, .not_after_ns = CLOCK_FLOOR_NS * 2 };
	struct sv text = sv_make((const char *)data, size);

	if (!ca_cert.n && cert_make(&forever, &ca, SV(""), SV(""), &ca_cert, &ca_key, NULL) < 0)
		abort();
	csr_both(text);
	if (size > 8192)
		return 0;
	csr_both(csr_block_of(&a, "CERTIFICATE REQUEST", text));
	(void)cert_chain_check(csr_block_of(&a, "CERTIFICATE", text), NULL);
	return 0;
}
