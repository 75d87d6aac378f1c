/* Keys of ConfigMaps and Secrets as files: for their own volumes and for projected ones. */
#include "base/b64.h"
#include "codec/val_index.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_env.h"
#include "kubelet/pod_source.h"
#include "kubelet/volumes/volumes.h"

static int config_files_add(struct volume *v, struct file_list *l, struct sv path, struct sv value, bool base64,
			    int64_t mode, struct err *err)
{
	if (base64 && !b64_decode(v->a, value, &value))
		return err_set(err, ERR_INTERNAL, "key %.*s is no base64", SV_ARG(path));
	return volume_file_add(v, l, path, value, (mode_t)(mode & 0777), err);
}

int config_files(struct volume *v, struct file_list *l, bool secret, struct sv name, const struct val *items,
		 bool optional, int64_t mode, struct err *err)
{
	_cleanup_(val_index_release) struct val_index in_data = { 0 }, in_binary = { 0 };
	const struct val *o = NULL, *data, *binary;
	struct err e = ERR_INIT;

	if (pod_get_config(v->k, v->a, val_get_str(v->pod, F_metadata, F_namespace), secret, name, &o, &e) < 0) {
		if (e.reason == ERR_NOT_FOUND && optional) {
			err_release(&e);
			return 0;
		}
		return err_move(err, &e);
	}
	data = val_member(o, F_data);
	binary = secret ? NULL : val_member(o, F_binaryData);
	if (!val_len(items)) {
		VAL_EACH_MEMBER(data, m)
			if (config_files_add(v, l, m.key, val_str(m.value), secret, mode, err) < 0)
				return -1;
		VAL_EACH_MEMBER(binary, m)
			if (config_files_add(v, l, m.key, val_str(m.value), true, mode, err) < 0)
				return -1;
		return 0;
	}
	in_data = val_index_of(data);
	in_binary = val_index_of(binary);
	VAL_EACH(items, it) {
		struct sv key = val_get_str(it, F_key);
		const struct val *value = val_index_get(&in_data, key);
		bool base64 = secret;

		if (!value) {
			value = val_index_get(&in_binary, key);
			base64 = true;
		}
		if (!value) {
			if (optional)
				continue;
			return err_set(err, ERR_NOT_FOUND, "references non-existent %s key: %.*s",
				       secret ? "secret" : "config", SV_ARG(key));
		}
		if (config_files_add(v, l, val_get_str(it, F_path), val_str(value), base64,
				     val_get_int(it, mode, F_mode), err) < 0)
			return -1;
	}
	return 0;
}
