/* What Pods request and may use, a sample for each resource of each: upstream's page /metrics/resources. Pods that have
 * ended are not known here any more. */
#include "pod/pod_resources.h"
#include "scheduler/scheduler-internal.h"

#include <stdlib.h>

// clang-format off: a metric each
const struct metric_family sched_resource_families[2] = {
	{ "kube_pod_resource_limit", "What Pods may use, by resource; the sum of their containers' where all say.",
	  .type = METRIC_GAUGE, .stability = METRIC_STABLE,
	  .labels = { "namespace", "node", "pod", "priority", "resource", "scheduler", "unit" } },
	{ "kube_pod_resource_request", "What Pods request, by resource.", .type = METRIC_GAUGE,
	  .stability = METRIC_STABLE,
	  .labels = { "namespace", "node", "pod", "priority", "resource", "scheduler", "unit" } },
};
// clang-format on

static const char *resource_unit(struct sv name)
{
	if (sv_is(name, "cpu"))
		return "cores";
	if (sv_is(name, "memory") || sv_is(name, "storage") || sv_is(name, "ephemeral-storage") ||
	    sv_starts(name, SV("hugepages-")))
		return "bytes";
	return "integer";
}

static void resource_samples(struct buf *b, const struct metric_family *f, const struct obj *o,
			     const struct res_list *list)
{
	const struct val *spec = obj_get(o, F_spec), *priority = val_member(spec, F_priority);
	_cleanup_free_ char *level = priority ? xasprintf("%" PRId64, val_int_or(priority, 0)) : xstrdup("");

	for (size_t i = 0; i < list->n; i++) {
		_cleanup_(buf_release) struct buf l = BUF_INIT;
		struct sv name = list->p[i].name;

		metric_label(&l, "namespace", obj_ns(o));
		metric_label(&l, "node", val_get_str(spec, F_nodeName));
		metric_label(&l, "pod", obj_name(o));
		metric_label(&l, "priority", sv_from(level));
		metric_label(&l, "resource", name);
		metric_label(&l, "scheduler", val_get_str(spec, F_schedulerName));
		metric_label(&l, "unit", sv_from(resource_unit(name)));
		metric_sample(b, f, buf_cstr(&l),
			      sv_is(name, "cpu") ? (double)list->p[i].amount / 1000 : (double)list->p[i].amount);
	}
}

/* References, so that nobody waits while they are told. */
static struct obj **resource_pods(struct scheduler *s, size_t *ret_n)
{
	struct obj **pods;
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	pods = xcalloc(s->pods.n + 1, sizeof(struct obj *));
	STRMAP_EACH(&s->pods, e)
		pods[n++] = obj_ref(((struct pod_info *)e->value)->obj);
	pthread_mutex_unlock(&s->lock);
	*ret_n = n;
	return pods;
}

void scheduler_resource_metrics(struct scheduler *s, struct buf *b)
{
	size_t n;
	struct obj **pods = resource_pods(s, &n);

	for (int k = 0; k < 2; k++) {
		metric_head(b, &sched_resource_families[k]);
		for (size_t i = 0; i < n; i++) {
			struct res_list list = RES_LIST_INIT;

			if (k == 0)
				pod_limits(obj_get(pods[i], F_spec), RES_AS_WRITTEN, &list);
			else
				pod_requests(obj_get(pods[i], F_spec), RES_AS_WRITTEN, &list);
			resource_samples(b, &sched_resource_families[k], pods[i], &list);
			res_list_release(&list);
		}
	}
	for (size_t i = 0; i < n; i++)
		obj_unref(pods[i]);
	free(pods);
}
