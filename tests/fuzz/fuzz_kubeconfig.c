/* A kubeconfig from anywhere is read or refused with its name in front; what is read is usable. */
#include "client/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct kubeconfig k;

	if (kubeconfig_parse(&a, sv_make((const char *)data, size), "f", NULL, NULL, &k, &err) < 0) {
		BUG_ON(err.reason != ERR_BAD_REQUEST || !sv_starts(sv_from(err_msg(&err)), SV("'f': ")));
		return 0;
	}
	BUG_ON(!k.server || !*k.server || !k.context || (k.token && k.token_file) || (k.cert_pem.n && !k.key_pem.n));
	BUG_ON(k.insecure && k.ca_pem.n);
	return 0;
}
