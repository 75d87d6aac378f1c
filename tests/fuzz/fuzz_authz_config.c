/* AuthorizationConfigurations from anywhere are read, or refused with a reason that says where. What is read has
 * somebody to ask, and each webhook of it says what it does when it fails. */
#include "apiserver/authz/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv text = sv_make((const char *)data, size);
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(authz_chain_unrefp) struct authz_chain *c = NULL;

	/* The kubeconfigs that it names are files: none is opened here. */
	if (sv_find_sv(text, SV("ubeConfigFile:")) >= 0 || sv_find_sv(text, SV("ubeConfigFile\"")) >= 0)
		return 0;
	c = authz_chain_parse(text, &err);
	BUG_ON(!c != (err.reason != ERR_NONE));
	BUG_ON(!c && !*err_msg(&err));
	if (!c)
		return 0;
	BUG_ON(!c->n);
	for (size_t i = 0; i < c->n; i++) {
		const struct authz_link *l = &c->links[i];

		BUG_ON(l->mode >= _AUTHZ_MODE_MAX || (l->mode == AUTHZ_WEBHOOK) != (l->hook != NULL));
		for (size_t k = 0; l->hook && k < l->hook->n_conditions; k++)
			BUG_ON(!l->hook->conditions[k].program);
	}
	return 0;
}
