/* An audit policy of any form is read or refused; what is read answers for every request. */
#include "apiserver/audit/audit-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct audit_policy *p = audit_policy_parse(&a, sv_make((const char *)data, size), &err);
	struct sv groups[] = { SV("g") };
	struct user_info u = { .name = SV("u"), .groups = groups, .n_groups = 1 };
	struct api_req q = { .arena = &a,
			     .resource_request = true,
			     .verb = VERB_GET,
			     .plural = SV("pods"),
			     .ns = SV("default"),
			     .name = SV("x"),
			     .subresource = SV("log") };

	BUG_ON(!p != (err.reason != ERR_NONE));
	for (int i = 0; p && i < 4; i++) {
		struct audit_verdict v = audit_policy_ask(p, &q, i & 1 ? &u : NULL);

		BUG_ON(v.level >= _LEVEL_MAX);
		q.resource_request = i < 1;
		q.path = SV("/healthz");
		q.method = SV("GET");
	}
	return 0;
}
