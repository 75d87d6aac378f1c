/* --feature-gates before the first newline, --runtime-config behind it: what is refused changes nothing, and what is
 * locked stays. */
#include "object/feature.h"
#include "object/served.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv rest = sv_make((const char *)data, size), gates = SV("");

	features_reset();
	served_reset();
	(void)sv_split(&rest, '\n', &gates);
	if (features_set(gates, NULL) < 0)
		BUG_ON(feature_on(FG_GenericWorkload) || !feature_on(FG_WatchList));
	for (int f = FG_NONE + 1; f < FG_COUNT; f++)
		BUG_ON(feature_all[f].locked && feature_on((enum feature)f) != feature_all[f].on);
	if (served_set(rest, NULL) < 0)
		BUG_ON(!resource_served(RES(core_pods)));
	for (size_t i = 0; i < resource_count; i++)
		BUG_ON(resource_served(&resource_all[i]) && !feature_on((enum feature)resource_all[i].gate));
	return 0;
}
