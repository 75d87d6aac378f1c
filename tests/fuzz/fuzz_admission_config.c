/* What an administrator says to plugins of admission: any YAML is taken or refused with a reason, and what is taken
 * holds. Plugins whose words name files are not here. */
#include "apiserver/admission/setup.h"
#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "PodSecurity", "EventRateLimit", "PodTolerationRestriction",
					     "PodNodeSelector", "ResourceQuota" };
	static const struct apiserver_opts opts = { .env = NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *doc = yaml_decode(&a, sv_make((const char *)data, size), NULL);

	for (size_t i = 0; doc && i < ARRAY_LEN(names); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct admission_set *s = admission_set_new(&opts, &err);
		int rc;

		BUG_ON(!s);
		rc = admission_set_configure(s, sv_from(names[i]), doc, "/nonexistent", &err);
		BUG_ON((rc < 0) != (err.reason != ERR_NONE) || (rc < 0 && !*err_msg(&err)));
		BUG_ON(s->pod_security.defaults.enforce.level > PS_RESTRICTED);
		BUG_ON(ps_exempt(&s->pod_security.namespaces, SV("")));
		admission_set_free(s);
	}
	return 0;
}
