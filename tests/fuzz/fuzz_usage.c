/* What a kubelet says of what it uses: any bytes are read or refused with a reason. */
#include "apiserver/node_usage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct node_usage *u = node_usage_parse(sv_make((const char *)data, n), &err);

	BUG_ON(!u && !*err_msg(&err));
	if (u)
		STRMAP_EACH(&u->pods, e)
			BUG_ON(!e->value || !e->key_n);
	node_usage_unref(u);
	return 0;
}
