/* emptyDirs on disk have no limit of their own: those with a sizeLimit are measured now and then, by a task, and a
 * pod that went over it is evicted. In memory the limit is the file system's size. */
#include "kubelet/pod_evict.h"

#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "object/quantity.h"

#include <stdlib.h>

#define MEASURE_NS (10 * NS_PER_SEC)
#define MEASURE_MAX 2 /* at once: a tree may be as large as a container likes, and workers are few */

struct measure {
	struct kpod *p;
	struct obj *obj;
};

static int64_t limit_of(const struct val *volume)
{
	const struct val *source = val_member(volume, F_emptyDir);
	int64_t limit;

	if (val_is(val_member(source, F_medium), "Memory") ||
	    !quantity_value(val_get_str(source, F_sizeLimit), &limit) || limit <= 0)
		return 0;
	return limit;
}

static void measure_task(void *ctx)
{
	struct measure *m = ctx;
	struct kpod *p = m->p;

	if (ktask_enter(p->k)) {
		const struct val *pod = obj_root(m->obj);
		char *over = NULL;

		VAL_EACH(val_get(pod, F_spec, F_volumes), v) {
			int64_t limit = limit_of(v);

			if (!over && limit && p->k->host->emptydir_bytes(p->k, pod, val_get_str(v, F_name)) > limit)
				over = xasprintf("Usage of EmptyDir volume \"%.*s\" exceeds the limit \"%.*s\". ",
						 SV_ARG(val_get_str(v, F_name)),
						 SV_ARG(val_get_str(v, F_emptyDir, F_sizeLimit)));
		}
		p->k->measuring--;
		pthread_mutex_lock(&p->lock);
		p->measuring = false;
		free(p->over_limit);
		p->over_limit = over;
		pthread_mutex_unlock(&p->lock);
		if (over)
			kpod_kick(p);
		ktask_leave(p->k);
	}
	obj_unref(m->obj);
	kpod_unref(p);
	free(m);
}

const char *pod_over_limit(struct kpod *p, struct arena *a, const struct val *pod, int64_t *wake_ns)
{
	int64_t now = env_mono_ns(p->k->env);
	const char *over = NULL;
	bool limited = false, due;
	struct measure *m;

	VAL_EACH(val_get(pod, F_spec, F_volumes), v)
		limited |= limit_of(v) > 0;
	if (!limited || !p->k->host->emptydir_bytes)
		return NULL;
	pthread_mutex_lock(&p->lock);
	if (p->over_limit)
		over = arena_strdup(a, p->over_limit);
	due = !over && !p->measuring && now >= p->measure_at_ns;
	if (due && ++p->k->measuring > MEASURE_MAX) { /* the next ones after these */
		p->k->measuring--;
		p->measure_at_ns = now + NS_PER_SEC;
		due = false;
	} else if (due) {
		p->measuring = true;
		p->measure_at_ns = now + MEASURE_NS;
	}
	pthread_mutex_unlock(&p->lock);
	*wake_ns = MIN(*wake_ns, MAX(p->measure_at_ns - now, NS_PER_MS));
	if (!due)
		return over;
	m = xcalloc(1, sizeof(*m));
	m->p = kpod_ref(p);
	m->obj = obj_ref(kpod_obj(p, a));
	env_post(p->k->env, ENV_SLOW, measure_task, m);
	return NULL;
}
