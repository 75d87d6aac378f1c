/* What a registry says it wants, and where it sends: an origin holds no path, user or blank. */
#include "kubelet/oci/registry_challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct registry_challenge c = { 0 };
	struct sv text = sv_make((const char *)data, size), o;

	registry_challenge_parse(&a, text, &c);
	BUG_ON(c.realm.n > size || c.service.n > size || (c.realm.n && !c.bearer));
	o = registry_origin(text);
	BUG_ON(o.n && (sv_find(o, '@') >= 0 || sv_find(sv_sub(o, 8, o.n), '/') >= 0 || sv_find(o, ' ') >= 0));
	BUG_ON(registry_may_follow(SV("https://a"), text) && !sv_starts(text, SV("https://")));
	(void)registry_address_is_local(text);
	return 0;
}
