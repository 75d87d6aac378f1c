/* Groups whose kinds are data for controllers, drivers and the API itself: flags only. */
#include "apiserver/registry/kinds/kinds.h"

/* Their status endpoints leave metadata alone. */
static const struct kept_on status_alone[] = {
	{ "status", (const char *const[]){ "spec", "metadata", NULL } },
	{ NULL, NULL },
};

const struct strategy apiservice_strategy = {
	.res = RES(apiregistration_apiservices),
	.no_generation = true,
	.kept = status_alone,
};
