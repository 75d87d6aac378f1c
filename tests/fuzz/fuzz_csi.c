/* What a driver of volumes, or its registrar, can answer: each message as every kind of them. */
#include "kubelet/csi/csi_message.h"

#include <stdlib.h>

static void fuzz_inside(struct sv view, struct sv all)
{
	if (view.n && (view.p < all.p || view.p + view.n > all.p + all.n))
		abort(); /* views point into the message */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv m = sv_make((const char *)data, size);
	struct csi_plugin_info plugin;
	struct csi_node_info node;
	struct csi_stats stats;
	unsigned can;

	if (csi_get_plugin_info(m, &plugin, NULL) == 0) {
		fuzz_inside(plugin.name, m);
		for (size_t i = 0; i < plugin.n_versions; i++)
			fuzz_inside(plugin.versions[i], m);
	}
	if (csi_get_node_info(&a, m, &node, NULL) == 0 && val_len(node.topology) > CSI_TOPOLOGY_MAX)
		abort();
	if (csi_get_capabilities(m, &can, NULL) == 0 && can >= 1U << 6)
		abort();
	if (csi_get_stats(m, &stats, NULL) == 0)
		fuzz_inside(stats.message, m);
	if (csi_get_expanded(m) < 0)
		abort();
	return 0;
}
