/* See service_pods.h. */
#include "controllers/service_pods.h"
#include "controllers/podutil.h"
#include "controllers/selecting.h"
#include "object/selector.h"

#define LABEL_HEADLESS "service.kubernetes.io/headless"

bool service_headless(const struct obj *svc)
{
	return val_is(obj_get(svc, F_spec, F_clusterIP), "None");
}

bool service_has_selector(const struct obj *svc)
{
	return val_len(obj_get(svc, F_spec, F_selector)) > 0;
}

struct val *service_labels(struct arena *a, const struct obj *svc)
{
	struct val *labels = val_type(obj_labels(svc)) == VAL_MAP ? val_clone(a, obj_labels(svc)) : val_new_map(a);

	val_del_sv(labels, SV(LABEL_HEADLESS));
	if (service_headless(svc))
		val_set_str_sv(a, labels, SV(LABEL_HEADLESS), SV(""));
	return labels;
}

struct sv pod_hostname(const struct obj *pod, const struct obj *svc)
{
	struct sv host = val_str(obj_get(pod, F_spec, F_hostname));

	return sv_eq(val_str(obj_get(pod, F_spec, F_subdomain)), obj_name(svc)) ? host : SV("");
}

static bool named_port(const struct val *containers, struct sv name, struct sv protocol, bool sidecars, int64_t *ret)
{
	VAL_EACH(containers, c) {
		if (sidecars && !val_is(val_member(c, F_restartPolicy), "Always"))
			continue;
		VAL_EACH(val_member(c, F_ports), p) {
			struct sv proto = val_get_str(p, F_protocol);

			if (sv_eq(val_get_str(p, F_name), name) && sv_eq(proto.n ? proto : SV("TCP"), protocol)) {
				*ret = val_get_int(p, 0, F_containerPort);
				return true;
			}
		}
	}
	return false;
}

bool service_port_on_pod(const struct val *port, const struct obj *pod, int64_t *ret)
{
	const struct val *target = val_member(port, F_targetPort);
	struct sv proto = val_get_str(port, F_protocol);

	if (!proto.n)
		proto = SV("TCP");
	if (val_type(target) == VAL_STR)
		return named_port(obj_get(pod, F_spec, F_containers), val_str(target), proto, false, ret) ||
		       named_port(obj_get(pod, F_spec, F_initContainers), val_str(target), proto, true, ret);
	*ret = val_int_or(target, 0);
	if (*ret == 0)
		*ret = val_get_int(port, 0, F_port);
	return true;
}

struct obj **service_pods(struct service_watch *w, struct arena *a, const struct obj *svc, size_t *ret_n)
{
	const struct selector *sel = selector_from_map(a, obj_get(svc, F_spec, F_selector));
	size_t n, kept = 0;
	struct obj **pods = informer_list(w->pods, a, obj_ns(svc), &n), **out = ARENA_ARRAY(a, struct obj *, n);

	for (size_t i = 0; i < n; i++)
		if (!pod_is_terminal(pods[i]) && address_counts(val_str(obj_get(pods[i], F_status, F_podIP))) &&
		    selector_matches(sel, obj_labels(pods[i])))
			out[kept++] = pods[i];
	*ret_n = kept;
	return out;
}

/* --- events --- */

static void service_changed(struct obj *svc, void *ctx)
{
	struct service_watch *w = ctx;

	workq_add_obj(w->q, obj_ns(svc), obj_name(svc));
}

static void service_pods_service_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	service_changed(neu, ctx);
}

static void queue_services(struct service_watch *w, const struct obj *pod)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **svcs;

	if (!val_len(obj_labels(pod)))
		return;
	svcs = selecting(w->services, &a, obj_ns(pod), obj_labels(pod), &n);
	for (size_t i = 0; i < n; i++)
		if (selector_matches(selector_from_map(&a, obj_get(svcs[i], F_spec, F_selector)), obj_labels(pod)))
			service_changed(svcs[i], w);
}

static void service_pods_pod_changed(struct obj *pod, void *ctx)
{
	queue_services(ctx, pod);
}

static bool shows(const struct obj *x, const struct obj *y)
{
	return pod_is_ready(x) != pod_is_ready(y) || obj_deleting(x) != obj_deleting(y) ||
	       pod_is_terminal(x) != pod_is_terminal(y) || !sv_eq(obj_uid(x), obj_uid(y)) ||
	       !val_equal(obj_labels(x), obj_labels(y)) ||
	       !val_equal(obj_get(x, F_status, F_podIP), obj_get(y, F_status, F_podIP)) ||
	       !val_equal(obj_get(x, F_status, F_podIPs), obj_get(y, F_status, F_podIPs)) ||
	       !val_equal(obj_get(x, F_spec, F_nodeName), obj_get(y, F_spec, F_nodeName)) ||
	       !val_equal(obj_get(x, F_spec, F_hostname), obj_get(y, F_spec, F_hostname));
}

static void service_pods_pod_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!shows(old, neu))
		return;
	queue_services(ctx, neu);
	if (!val_equal(obj_labels(old), obj_labels(neu)))
		queue_services(ctx, old);
}

void service_watch_start(struct service_watch *w)
{
	informer_add_index(w->services, INDEX_SELECTING, index_selecting_map);
	informer_add_handler(
	    w->services, &(struct informer_handler){ service_changed, service_pods_service_updated, service_changed },
	    w);
	informer_add_handler(
	    w->pods,
	    &(struct informer_handler){ service_pods_pod_changed, service_pods_pod_updated, service_pods_pod_changed },
	    w);
}
