/* Manifests, indexes and configurations, by the first byte: what is taken has only digests that are safe as names. */
#include "kubelet/oci/image_config.h"
#include "kubelet/oci/image_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = sv_make((const char *)data + (size > 0), size - (size > 0)), name;
	struct image_manifest m;
	struct image_config c;
	int64_t uid;

	if (size && data[0] == 'c') {
		if (image_config_parse(&a, text, size % 3, &c, NULL) < 0)
			return 0;
		BUG_ON(!c.config || c.n_layers != size % 3);
		for (size_t i = 0; i < c.n_layers; i++)
			BUG_ON(!image_digest_hex(c.diff_ids[i]).n);
		image_config_user(&c, &uid, &name);
		BUG_ON(uid < -1 || (uid >= 0 && name.n));
		return 0;
	}
	if (image_manifest_parse(&a, text, SV(""), &m, NULL) < 0)
		return 0;
	BUG_ON(!image_digest_hex(m.index ? m.chosen.digest : m.config.digest).n || m.n_layers > IMAGE_LAYERS_MAX);
	for (size_t i = 0; i < m.n_layers; i++)
		BUG_ON(!image_digest_hex(m.layers[i].digest).n);
	return 0;
}
