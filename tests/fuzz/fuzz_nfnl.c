/* What claims to be the kernel's word on tables, sets and connections is read within its length: every attribute that
 * the readers of src/nft and src/proxy could ask for, two levels deep. */
#include "nft/nfnl.h"
#include "nlmsg.h"

#define TYPES 32

static void look(const struct nlattr *a)
{
	struct ip_addr ip;
	uint16_t port;
	uint32_t id;

	(void)nfnl_be16(a, &port);
	(void)nfnl_be32(a, &id);
	(void)nfnl_ip(a, NULL, &ip);
	(void)nfnl_ip(NULL, a, &ip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nlmsghdr *h = nlmsg_copy(data, size);

	if (!h)
		return 0;
	for (uint16_t t = 0; t < TYPES; t++) {
		const struct nlattr *a = nfnl_attr(h, t);

		look(a);
		for (uint16_t k = 0; k < TYPES; k++) {
			look(nfnl_attr_in(a, k));
			look(nfnl_attr_in(nfnl_attr_in(a, k), 1));
		}
	}
	free(h);
	return 0;
}
