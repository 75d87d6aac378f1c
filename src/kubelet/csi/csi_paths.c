/* Where upstream's agents have a volume, and what it is called: drivers and other agents know these. */
#include "kubelet/csi/csi-internal.h"

#include "net/digest.h"
#include "pod/volume_attach.h"

#define PLUGIN_DIR "plugins/kubernetes.io/csi"

char *csi_stage_dir(struct csi *c, struct arena *a, const struct csi_volume *v)
{
	if (v->block)
		return arena_printf(a, "%s/" PLUGIN_DIR "/volumeDevices/%s/data", c->root_dir, v->spec_name);
	return arena_printf(a, "%s/" PLUGIN_DIR "/%s/%s", c->root_dir, v->driver, v->sha);
}

char *csi_stage_path(struct csi *c, struct arena *a, const struct csi_volume *v)
{
	if (v->block)
		return arena_printf(a, "%s/" PLUGIN_DIR "/volumeDevices/staging/%s", c->root_dir, v->spec_name);
	return arena_printf(a, "%s/globalmount", csi_stage_dir(c, a, v));
}

char *csi_pod_volume_dir(struct csi *c, struct arena *a, struct sv uid, const char *spec_name)
{
	return arena_printf(a, "%s/pods/%.*s/volumes/kubernetes.io~csi/%s", c->root_dir, SV_ARG(uid), spec_name);
}

char *csi_publish_path(struct csi *c, struct arena *a, const struct csi_volume *v, struct sv uid, const char *spec_name)
{
	if (v->block)
		return arena_printf(a, "%s/" PLUGIN_DIR "/volumeDevices/publish/%s/%.*s", c->root_dir, v->spec_name,
				    SV_ARG(uid));
	return arena_printf(a, "%s/mount", csi_pod_volume_dir(c, a, uid, spec_name));
}

char *csi_attachment_name(struct csi *c, struct arena *a, const char *driver, const char *handle)
{
	return volume_attach_name(a, sv_from(driver), sv_from(handle), sv_from(c->node_name), sha256_hex);
}
