/* What holds for all nodes of the cluster. */
#include "cli/agent.h"

bool facts_disabled(const struct cluster_facts *f, const char *addon)
{
	for (const char *const *s = f->disable.list.p; s && *s; s++)
		if (strcmp(*s, addon) == 0)
			return true;
	return false;
}
