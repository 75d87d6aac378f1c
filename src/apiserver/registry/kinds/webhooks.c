/* Configurations of admission webhooks: the server hears when they change. Their rules are in registry/validate. */
#include "apiserver/admission/manifests.h"
#include "apiserver/registry/kinds/kinds.h"

static void mutating_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	(void)old;
	(void)neu;
	admission_webhooks_changed(s, true);
}

static void validating_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	(void)old;
	(void)neu;
	admission_webhooks_changed(s, false);
}

const struct strategy mutatingwebhookconfiguration_strategy = {
	.res = RES(admissionregistration_mutatingwebhookconfigurations),
	.validate = manifests_name_rule,
	.observe = mutating_observe,
};

const struct strategy validatingwebhookconfiguration_strategy = {
	.res = RES(admissionregistration_validatingwebhookconfigurations),
	.validate = manifests_name_rule,
	.observe = validating_observe,
};
