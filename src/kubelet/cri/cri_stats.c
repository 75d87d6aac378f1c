/* What containers use, and what images take on the disk. */
#include "kubelet/cri/cri.h"

static struct sv label(struct sv message, uint32_t field, const char *key)
{
	PB_EACH(message, r, f)
		if (f.no == field && sv_is(pb_get_sv(f.bytes, 1), key))
			return pb_get_sv(f.bytes, 2);
	return SV("");
}

/* UInt64Value in a message. */
static uint64_t cri_stats_value_of(struct sv message, uint32_t field)
{
	return pb_get_u64(pb_get_sv(message, field), 1);
}

int cri_stats(struct runtime *r, struct arena *a, struct rt_stats **ret, size_t *ret_n, struct err *err)
{
	struct buf b = BUF_INIT;
	struct rt_stats *list;
	struct sv m;

	*ret_n = 0;
	if (cri_runtime_call(r, a, "ListContainerStats", &b, CRI_READ_TIMEOUT_NS, &m, err) < 0)
		return -1;
	list = ARENA_ARRAY(a, struct rt_stats, cri_count(m, 1) + 1);
	PB_EACH(m, rd, f) {
		struct sv attr = pb_get_sv(f.bytes, 1), cpu = pb_get_sv(f.bytes, 2), mem = pb_get_sv(f.bytes, 3);

		if (f.no != 1)
			continue;
		list[(*ret_n)++] = (struct rt_stats){
			.container_id = pb_get_sv(attr, 1),
			.name = pb_get_sv(pb_get_sv(attr, 2), 1),
			.pod_name = label(attr, 3, "io.kubernetes.pod.name"),
			.pod_ns = label(attr, 3, "io.kubernetes.pod.namespace"),
			.pod_uid = label(attr, 3, "io.kubernetes.pod.uid"),
			.cpu_usage_ns = cri_stats_value_of(cpu, 2),
			.memory_working_set_bytes = cri_stats_value_of(mem, 2),
			.memory_rss_bytes = cri_stats_value_of(mem, 5),
			.fs_used_bytes = cri_stats_value_of(pb_get_sv(f.bytes, 4), 3),
			.timestamp_ns = (int64_t)pb_get_u64(cpu, 1),
		};
	}
	*ret = list;
	return 0;
}

int cri_fs_usage(struct runtime *r, struct arena *a, uint64_t *ret_bytes, struct sv *ret_mountpoint, struct err *err)
{
	struct buf b = BUF_INIT;
	struct sv m, fs;

	if (cri_image_call(r, a, "ImageFsInfo", &b, CRI_READ_TIMEOUT_NS, &m, err) < 0)
		return -1;
	fs = pb_get_sv(m, 1);
	*ret_bytes = cri_stats_value_of(fs, 3);
	*ret_mountpoint = pb_get_sv(pb_get_sv(fs, 2), 1);
	return 0;
}
