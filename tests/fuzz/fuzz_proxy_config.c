/* A KubeProxyConfiguration from anywhere is read or refused; what is read and checked is usable. */
#include "base/ip.h"
#include "proxy/proxy_config.h"

static void on_note(const char *what, void *ctx)
{
	(void)ctx;
	BUG_ON(!what || !*what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct proxy_config c;

	proxy_config_defaults(&c);
	if (proxy_config_read(&a, &c, sv_make((const char *)data, size), on_note, NULL, &err) == 0 &&
	    proxy_config_check(&a, &c, on_note, NULL, &err) == 0) {
		struct ip_net net;

		BUG_ON(c.rules[0].masquerade_bit < 0 || c.rules[0].masquerade_bit > 31 || c.udp_ns < 0);
		for (size_t i = 0; i < c.nodeport_addresses.n; i++)
			BUG_ON(strcmp(c.nodeport_addresses.p[i], "primary") != 0 &&
			       !ip_net_parse(sv_from(c.nodeport_addresses.p[i]), &net));
	}
	proxy_config_release(&c);
	return 0;
}
