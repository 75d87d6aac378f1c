/* Fields of the pod and resources of its containers as files, for a volume and for a projected source. */
#include "kubelet/pod_env.h"
#include "kubelet/pod_source.h"
#include "kubelet/volumes/volumes.h"

int downward_files(struct volume *v, struct file_list *l, const struct val *items, int64_t mode, struct err *err)
{
	struct field_ref_node n;

	pod_field_node(v->p, v->a, v->pod, &n);
	VAL_EACH(items, it) {
		const struct val *field = val_member(it, F_fieldRef), *res = val_member(it, F_resourceFieldRef);
		struct sv text = SV("");

		if (field ? field_ref_text(v->a, v->pod, &n, val_get_str(field, F_fieldPath), &text, err) < 0
			  : resource_ref_text(v->a, v->pod, NULL, &n, res, &text, err) < 0)
			return -1;
		if (volume_file_add(v, l, val_get_str(it, F_path), text, (mode_t)(val_get_int(it, mode, F_mode) & 0777),
				    err) < 0)
			return -1;
	}
	return 0;
}

int downward_setup(struct volume *v, struct err *err)
{
	struct file_list l = { 0 };

	if (downward_files(v, &l, val_member(v->source, F_items), val_get_int(v->source, 0644, F_defaultMode), err) < 0)
		return -1;
	if (volume_in_memory(v, err) < 0)
		return -1;
	return volume_write(v, &l, err);
}
