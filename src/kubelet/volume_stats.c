#include "kubelet/volume_stats.h"

#include "base/strmap.h"
#include "kubelet/csi/csi.h"
#include "kubelet/kpod.h"
#include "kubelet/pod_table.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* In the order of stats_names. */
enum stat_kind { STAT_CAPACITY, STAT_AVAILABLE, STAT_USED, STAT_INODES, STAT_INODES_FREE, STAT_INODES_USED, _STAT_MAX };

static const struct {
	const char *metric, *help, *member;
} stats_names[_STAT_MAX] = {
	[STAT_CAPACITY] = { "capacity_bytes", "Capacity in bytes of the volume", "capacityBytes" },
	[STAT_AVAILABLE] = { "available_bytes", "Number of available bytes in the volume", "availableBytes" },
	[STAT_USED] = { "used_bytes", "Number of used bytes in the volume", "usedBytes" },
	[STAT_INODES] = { "inodes", "Maximum number of inodes in the volume", "inodes" },
	[STAT_INODES_FREE] = { "inodes_free", "Number of free inodes in the volume", "inodesFree" },
	[STAT_INODES_USED] = { "inodes_used", "Number of used inodes in the volume", "inodesUsed" },
};

struct volume_use {
	struct sv volume, claim;
	int64_t is[_STAT_MAX]; /* -1: it has none (block devices) */
};

/* As the driver said last: its file system is not asked, which may be one that hangs. */
static bool stats_outside(struct kpod *p, const struct kpod_claim *c, struct volume_use *ret)
{
	struct csi_stats s;

	if (!p->k->csi || !csi_fullness(p->k->csi, sv_from(p->uid), sv_from(c->outside), &s))
		return false;
	ret->is[STAT_CAPACITY] = s.bytes.total;
	ret->is[STAT_AVAILABLE] = c->block ? -1 : s.bytes.available;
	ret->is[STAT_USED] = c->block ? -1 : s.bytes.used;
	ret->is[STAT_INODES] = s.inodes.total;
	ret->is[STAT_INODES_FREE] = s.inodes.available;
	ret->is[STAT_INODES_USED] = s.inodes.used;
	return true;
}

static bool stats_of(struct kpod *p, const struct kpod_claim *c, struct volume_use *ret)
{
	struct statvfs fs;
	uint64_t bytes;

	memset(ret->is, -1, sizeof(ret->is));
	if (c->outside)
		return stats_outside(p, c, ret);
	if (c->block) {
		_cleanup_close_ int fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

		if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
			return false;
		ret->is[STAT_CAPACITY] = (int64_t)bytes;
		return true;
	}
	if (statvfs(c->path, &fs) < 0)
		return false;
	ret->is[STAT_CAPACITY] = (int64_t)(fs.f_blocks * fs.f_frsize);
	ret->is[STAT_AVAILABLE] = (int64_t)(fs.f_bavail * fs.f_frsize);
	ret->is[STAT_USED] = (int64_t)((fs.f_blocks - fs.f_bfree) * fs.f_frsize);
	ret->is[STAT_INODES] = (int64_t)fs.f_files;
	ret->is[STAT_INODES_FREE] = (int64_t)fs.f_ffree;
	ret->is[STAT_INODES_USED] = (int64_t)(fs.f_files - fs.f_ffree);
	return true;
}

/* The pod's claims and how full they are. */
static struct volume_use *stats_pod(struct arena *a, struct kpod *p, size_t *ret_n)
{
	struct kpod_claim *claims = kpod_claims(p, a, ret_n);
	struct volume_use *list = ARENA_ARRAY(a, struct volume_use, *ret_n);
	size_t n = 0;

	for (size_t i = 0; i < *ret_n; i++)
		if (stats_of(p, &claims[i], &list[n])) {
			list[n].volume = sv_from(claims[i].volume);
			list[n++].claim = sv_from(claims[i].claim);
		}
	*ret_n = n;
	return list;
}

void volume_stats_metrics(struct kubelet *k, struct buf *b)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct buf out[_STAT_MAX] = { 0 };
	struct strmap seen = STRMAP_INIT;
	size_t n_pods;
	struct kpod **pods = kubelet_pods(k, &a, &n_pods);

	for (size_t i = 0; i < n_pods; i++) {
		size_t n;
		struct volume_use *uses = stats_pod(&a, pods[i], &n);

		for (size_t j = 0; j < n; j++) {
			struct sv key = arena_svf(&a, "%s/%.*s", pods[i]->ns, SV_ARG(uses[j].claim));

			if (strmap_has(&seen, key))
				continue;
			strmap_set(&seen, key, pods[i]);
			for (int s = 0; s < _STAT_MAX; s++)
				if (uses[j].is[s] >= 0)
					buf_printf(&out[s],
						   "kubelet_volume_stats_%s{namespace=\"%s\",persistentvolumeclaim="
						   "\"%.*s\"} %" PRId64 "\n",
						   stats_names[s].metric, pods[i]->ns, SV_ARG(uses[j].claim),
						   uses[j].is[s]);
		}
		kpod_unref(pods[i]);
	}
	for (int s = 0; s < _STAT_MAX; s++) {
		if (out[s].n)
			buf_printf(
			    b, "# HELP kubelet_volume_stats_%s [ALPHA] %s\n# TYPE kubelet_volume_stats_%s gauge\n%s",
			    stats_names[s].metric, stats_names[s].help, stats_names[s].metric, buf_cstr(&out[s]));
		buf_release(&out[s]);
	}
	strmap_release(&seen);
}

struct val *volume_stats_summary(struct arena *a, struct kpod *p, struct sv now)
{
	size_t n;
	struct volume_use *uses = stats_pod(a, p, &n);
	struct val *list = n ? val_new_list(a) : NULL;

	for (size_t i = 0; i < n; i++) {
		struct val *v = val_new_map(a), *ref = val_new_map(a);

		val_set_str_sv(a, v, SV("time"), arena_sv(a, now));
		for (int s = 0; s < _STAT_MAX; s++)
			if (uses[i].is[s] >= 0)
				val_set_sv(a, v, sv_from(stats_names[s].member), val_new_int(a, uses[i].is[s]));
		val_set_str_sv(a, v, SV("name"), uses[i].volume);
		val_set_str_sv(a, ref, SV("name"), uses[i].claim);
		val_set_str_sv(a, ref, SV("namespace"), arena_sv(a, sv_from(p->ns)));
		val_set_sv(a, v, SV("pvcRef"), ref);
		val_push(a, list, v);
	}
	return list;
}
