#include "kubelet/oci/oci_paths.h"

#include "kubelet/containerd.h"

#include <stdio.h>

void oci_paths_init(struct oci_paths *p, struct arena *a, const char *data_dir)
{
	char run[40];

	containerd_run_dir(data_dir, run); /* one for whatever the runtime is: an agent has one */
	p->data = arena_printf(a, "%s/oci", data_dir);
	p->run = arena_printf(a, "%s/oci", run);
}

void oci_id_new(struct env *e, char ret[OCI_ID_LEN + 1])
{
	unsigned char bytes[OCI_ID_LEN / 2];

	env_random(e, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

bool oci_id_ok(struct sv id)
{
	for (size_t i = 0; i < id.n; i++)
		if (hex_value(id.p[i]) < 0 || (id.p[i] >= 'A' && id.p[i] <= 'F'))
			return false;
	return id.n == OCI_ID_LEN;
}

static const char *oci_below(struct arena *a, const char *dir, struct sv id, const char *name)
{
	BUG_ON(!oci_id_ok(id));
	return arena_printf(a, "%s/%.*s%s%s", dir, SV_ARG(id), *name ? "/" : "", name);
}

const char *oci_pod_path(const struct oci_paths *p, struct arena *a, struct sv sid, const char *name)
{
	return oci_below(a, arena_printf(a, "%s/pods", p->data), sid, name);
}

const char *oci_container_path(const struct oci_paths *p, struct arena *a, struct sv sid, struct sv cid,
			       const char *name)
{
	return oci_below(a, oci_pod_path(p, a, sid, ""), cid, name);
}

const char *oci_run_path(const struct oci_paths *p, struct arena *a, struct sv sid, const char *name)
{
	return oci_below(a, p->run, sid, name);
}
