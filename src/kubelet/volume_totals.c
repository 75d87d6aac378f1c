#include "kubelet/volume_totals.h"

#include "base/strmap.h"
#include "kubelet/kpod.h"
#include "kubelet/pod_table.h"
#include "kubelet/volume_metrics.h"
#include "kubelet/volumes/volumes.h"

struct total {
	int64_t wanted, there;
};

/* Which of a claim's it is shows where it was found. */
static const char *total_plugin(struct kpod *p, struct arena *a, const struct val *v)
{
	const char *own = volume_plugin(a, v), *ret = "kubernetes.io/host-path";

	if (own)
		return own;
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->claims.n; i++) {
		const struct kpod_claim *c = &p->claims.p[i];

		if (!sv_is(val_get_str(v, F_name), c->volume))
			continue;
		ret = c->outside && *c->outside		    ? "kubernetes.io/csi"
		      : strstr(c->path, "/" NFS_PLUGIN "/") ? "kubernetes.io/nfs"
							    : ret;
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

static void total_pod(struct strmap *totals, struct arena *a, struct kpod *p)
{
	if (atomic_load(&p->torn_down))
		return;
	VAL_EACH(obj_get(kpod_obj(p, a), F_spec, F_volumes), v) {
		void **slot = strmap_slot(totals, sv_from(total_plugin(p, a, v)));
		struct total *t = *slot;

		if (!t)
			*slot = t = ARENA_NEW(a, struct total);
		t->wanted++;
		t->there += atomic_load(&p->volumes_ready);
	}
}

static void total_write(struct buf *b, struct sv plugin, const char *state, int64_t n)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;

	metric_label(&labels, "plugin_name", plugin);
	metric_label(&labels, "state", sv_from(state));
	metric_sample(b, &volume_families[VM_TOTAL], buf_cstr(&labels), (double)n);
}

static void totals_write(struct kubelet *k, struct buf *b)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct strmap totals = STRMAP_INIT;
	size_t n;
	struct kpod **pods = kubelet_pods(k, &a, &n);

	for (size_t i = 0; i < n; i++) {
		total_pod(&totals, &a, pods[i]);
		kpod_unref(pods[i]);
	}
	if (totals.n)
		metric_head(b, &volume_families[VM_TOTAL]);
	STRMAP_EACH(&totals, e) {
		const struct total *t = e->value;

		total_write(b, sv_make(e->key, e->key_n), "actual_state_of_world", t->there);
		total_write(b, sv_make(e->key, e->key_n), "desired_state_of_world", t->wanted);
	}
	strmap_release(&totals);
}

void volume_metrics_write(struct kubelet *k, struct buf *b)
{
	metric_set_write(k->counted, b);
	totals_write(k, b);
}
