/* A user's Corefile: whatever it says, it ends, and complains within bounds. */
#include "dns/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dns_config *c = dns_config_new(SV("cluster.local"));
	_cleanup_(buf_release) struct buf said = BUF_INIT;
	struct dns_name name, to;

	dns_config_corefile(c, sv_make((const char *)data, n), NULL, &said);
	dns_config_override(c, sv_make((const char *)data, n), NULL, &said);
	if (said.n > 8192)
		abort();
	if (dns_name_parse(sv_make((const char *)data, n < 40 ? n : 40), &name)) {
		(void)dns_config_forward(c, &name);
		(void)dns_config_rewrite(c, &name, &to);
		(void)dns_config_host_addrs(c, &name);
	}
	dns_config_free(c);
	return 0;
}
