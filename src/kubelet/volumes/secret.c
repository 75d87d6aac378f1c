/* A volume of a Secret's keys, in memory. */
#include "kubelet/volumes/volumes.h"

int secret_setup(struct volume *v, struct err *err)
{
	struct file_list l = { 0 };

	if (config_files(v, &l, true, val_get_str(v->source, F_secretName), val_member(v->source, F_items),
			 val_get_bool(v->source, F_optional), val_get_int(v->source, 0644, F_defaultMode), err) < 0)
		return -1;
	if (volume_in_memory(v, err) < 0)
		return -1;
	return volume_write(v, &l, err);
}
