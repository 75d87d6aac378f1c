/* DenyServiceExternalIPs: no Service takes another external address, which might be anybody's; it may keep what it has,
 * or give it back. */
#include "apiserver/admission/plugins.h"
#include "base/strmap.h"

static int external_ips_validate(const struct admission *a, struct err *err)
{
	struct strmap had = STRMAP_INIT;
	bool fresh = false;

	if (a->res != RES(core_services) || a->subresource.n || (a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE))
		return 0;
	VAL_EACH(val_get(a->old, F_spec, F_externalIPs), ip)
		(void)strmap_set(&had, val_str(ip), &had);
	VAL_EACH(val_get(a->doc, F_spec, F_externalIPs), ip)
		fresh = fresh || !strmap_has(&had, val_str(ip));
	strmap_release(&had);
	return fresh ? admission_forbid(a, err, "Use of external IPs is denied by admission control") : 0;
}

const struct admission_plugin admission_external_ips = { .name = "DenyServiceExternalIPs",
							 .validate = external_ips_validate };
