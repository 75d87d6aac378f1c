/* Pods: computed defaults, QoS, binding, and how long deletion waits. */
#include "apiserver/authz.h"
#include "apiserver/admission/admission.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/registry/validate/validate_kinds.h"
#include "base/timefmt.h"
#include "codec/doc_items.h"
#include "codec/val_index.h"
#include "object/feature.h"
#include "pod/image_name.h"
#include "pod/pod_phase.h"
#include "pod/pod_resources.h"

/* --- defaults --- */

/* "repo:latest", or neither tag nor digest: pulled every time. A name that cannot be read says nothing of tags. */
static bool pulled_always(struct arena *a, struct sv image)
{
	struct sv full;

	return image_normalize(a, image, &full, NULL) == 0 && image_is_latest(full);
}

/* What is limited but not requested is requested up to its limit. */
static void requests_from_limits(struct arena *a, struct val *container)
{
	struct val *resources = val_get_mut(container, F_resources);
	const struct val *limits = val_get(resources, F_limits);
	struct val *requests;

	if (val_len(limits) == 0)
		return;
	requests = val_ensure_map(a, resources, F_requests);
	val_add_missing(a, requests, limits);
}

/* Of the pod as a whole: what it does not request is what its containers request together, else its own limit. */
static void default_pod_level(struct arena *a, struct val *spec)
{
	_cleanup_(res_list_release) struct res_list sum = RES_LIST_INIT;
	struct val *resources = val_get_mut(spec, F_resources), *requests, *limits;

	if (!pod_level_set(spec))
		return;
	requests = val_ensure_map(a, resources, F_requests);
	pod_requests(spec, RES_CONTAINERS_ONLY, &sum);
	for (size_t i = 0; i < sum.n; i++)
		if (pod_level_resource(sum.p[i].name) && !sv_starts(sum.p[i].name, SV("hugepages-")) &&
		    !val_member_sv(requests, sum.p[i].name))
			val_set_str_sv(a, requests, sum.p[i].name, res_text(a, sum.p[i].name, sum.p[i].amount));
	limits = val_new_map(a);
	VAL_EACH_MEMBER(val_member(resources, F_limits), m)
		if (pod_level_resource(m.key))
			val_append_sv(a, limits, m.key, m.value);
	val_add_missing(a, requests, limits);
}

/* What a pod gets and a template does not: there it would hide what was asked for. */
static void default_of_pods(struct arena *a, struct val *c, bool host_network)
{
	struct val *ports = val_get_mut(c, F_ports);

	requests_from_limits(a, c);
	for (size_t i = 0; host_network && i < val_len(ports); i++) {
		struct val *p = val_at_mut(ports, i);

		if (val_get_int(p, 0, F_hostPort) == 0 && val_get(p, F_containerPort))
			val_set_int(a, p, F_hostPort, val_get_int(p, 0, F_containerPort));
	}
}

static void default_container(struct arena *a, struct val *c)
{
	if (val_get_str(c, F_imagePullPolicy).n == 0)
		val_set_cstr(a, c, F_imagePullPolicy,
			     pulled_always(a, val_get_str(c, F_image)) ? "Always" : "IfNotPresent");
}

static void default_volume(struct arena *a, struct val *v)
{
	if (val_len(v) == 1 && val_get(v, F_name))
		val_set_map(a, v, F_emptyDir);
}

static void default_pod_spec(struct arena *a, struct val *spec, bool pod)
{
	static const enum sym lists[] = { F_initContainers, F_containers, F_ephemeralContainers };
	bool host_network = val_get_bool(spec, F_hostNetwork);
	struct val *list;

	if (val_type(spec) != VAL_MAP)
		return;
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		list = val_member_mut(spec, lists[k]);
		for (size_t i = 0; i < val_len(list); i++) {
			default_container(a, val_at_mut(list, i));
			if (pod)
				default_of_pods(a, val_at_mut(list, i), host_network);
		}
	}
	list = val_member_mut(spec, F_volumes);
	for (size_t i = 0; i < val_len(list); i++)
		default_volume(a, val_at_mut(list, i));
	/* Two names of one field: the old one is kept readable. */
	if (val_get_str(spec, F_serviceAccountName).n)
		val_set_str(a, spec, F_serviceAccount, val_get_str(spec, F_serviceAccountName));
	else if (val_get_str(spec, F_serviceAccount).n)
		val_set_str(a, spec, F_serviceAccountName, val_get_str(spec, F_serviceAccount));
}

void default_pod_template(struct arena *a, struct val *workload_spec)
{
	default_pod_spec(a, val_get_mut(workload_spec, F_template, F_spec), false);
	pod_drop_old_annotations(val_get_mut(workload_spec, F_template));
}

static void pod_defaults(struct api_req *q, struct val *doc)
{
	struct val *spec = val_get_mut(doc, F_spec);

	pod_drop_old_annotations(doc);
	if (val_get(doc, F_status))
		pod_one_address(q->arena, val_get_mut(doc, F_status));
	default_pod_spec(q->arena, spec, true);
	default_pod_level(q->arena, spec);
	if (spec && !val_get(spec, F_enableServiceLinks))
		val_set_bool(q->arena, spec, F_enableServiceLinks, true);
}

/* --- creation and change --- */

/* Held back by its author (KEP-3521): said from the first moment, before a scheduler looks. */
static void say_gated(struct arena *a, struct val *status)
{
	struct val *c = val_push(a, val_set_list(a, status, F_conditions), val_new_map(a));

	val_set_cstr(a, c, F_type, "PodScheduled");
	val_set_cstr(a, c, F_status, "False");
	val_set_cstr(a, c, F_reason, "SchedulingGated");
	val_set_cstr(a, c, F_message, "Scheduling is blocked due to non-empty scheduling gates");
	val_set(a, c, F_lastProbeTime, val_new_null(a));
	val_set(a, c, F_lastTransitionTime, val_new_null(a));
}

static void pod_prepare_create(struct api_req *q, struct val *doc)
{
	struct val *status;

	if (val_get_int(doc, 0, F_spec, F_terminationGracePeriodSeconds) < 0)
		val_set_int(q->arena, val_get_mut(doc, F_spec), F_terminationGracePeriodSeconds, 1);
	val_del(doc, F_status);
	status = val_set_map(q->arena, doc, F_status);
	val_set_cstr(q->arena, status, F_phase, "Pending");
	val_set_cstr(q->arena, status, F_qosClass, qos_name(pod_qos_class(val_get(doc, F_spec))));
	if (val_len(val_get(doc, F_spec, F_schedulingGates)))
		say_gated(q->arena, status);
	pod_convert_new(q, doc);
}

static void pod_prepare_update(struct api_req *q, const struct val *old, struct val *doc)
{
	/* The class never changes (validation says so); a kubelet that leaves it out means the old one. */
	const struct val *was = val_get(old, F_status, F_qosClass);
	struct val *status = val_get_mut(doc, F_status);

	if (was && status && !val_get_str(status, F_qosClass).n)
		val_set(q->arena, status, F_qosClass, was);
}

static bool same_names(const struct val *x, const struct val *y)
{
	if (val_len(x) != val_len(y))
		return false;
	for (size_t i = 0; i < val_len(x); i++)
		if (!sv_eq(val_get_str(val_at(x, i), F_name), val_get_str(val_at(y, i), F_name)))
			return false;
	return true;
}

static void take_member(struct arena *a, struct val *to, const struct val *from, enum sym key)
{
	if (val_member(from, key))
		val_set(a, to, key, val_member(from, key));
	else
		val_del(to, key);
}

/* pods/resize is about resources and nothing else, pods/ephemeralcontainers about those: who may do only that
 * must not be able to change an image with it. */
static void pod_narrow(struct arena *a, struct sv sub, const struct val *old, struct val *doc)
{
	static const enum sym lists[] = { F_containers, F_initContainers };
	const struct val *now = val_member(doc, F_spec), *was = val_member(old, F_spec);
	struct val *spec;

	if (!sv_is(sub, "resize") && !sv_is(sub, "ephemeralcontainers"))
		return;
	spec = val_clone_nodes(a, was);
	if (sv_is(sub, "ephemeralcontainers")) {
		take_member(a, spec, now, F_ephemeralContainers);
		val_set(a, doc, F_spec, spec);
		return;
	}
	take_member(a, spec, now, F_resources);
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		const struct val *to = val_member(now, lists[k]);
		struct val *list = val_member_mut(spec, lists[k]);

		if (!same_names(to, val_member(was, lists[k])))
			return; /* validation says why */
		for (size_t i = 0; i < val_len(list); i++) {
			take_member(a, val_at_mut(list, i), val_at(to, i), F_resources);
			take_member(a, val_at_mut(list, i), val_at(to, i), F_resizePolicy);
		}
	}
	val_set(a, doc, F_spec, spec);
}

/* Only a kubelet can wait for containers: without one, or after the end, there is nothing to
 * wait for. */
static int64_t pod_grace(struct api_req *q, const struct val *pod, int64_t grace)
{
	(void)q;
	if (grace < 0)
		grace = val_get_int(pod, 30, F_spec, F_terminationGracePeriodSeconds);
	if (val_get_str(pod, F_spec, F_nodeName).n == 0 || pod_phase_terminal(pod))
		return 0;
	return grace < 0 ? 1 : grace; /* a negative period in the spec, too */
}

static bool pod_field(const struct val *pod, struct sv label, struct sv *ret)
{
	if (sv_is(label, "spec.host")) {
		*ret = val_get_str(pod, F_spec, F_nodeName);
		return true;
	}
	if (sv_is(label, "spec.hostNetwork")) {
		*ret = val_get_bool(pod, F_spec, F_hostNetwork) ? SV("true") : SV("false");
		return true;
	}
	if (sv_is(label, "status.podIP")) {
		const struct val *first = val_at(val_get(pod, F_status, F_podIPs), 0);

		*ret = first ? val_get_str(first, F_ip) : val_get_str(pod, F_status, F_podIP);
		return true;
	}
	if (sv_is(label, "status.podIPs")) {
		*ret = SV("");
		return true;
	}
	return false;
}

static void pod_observe(struct apiserver *s, struct obj *old, struct obj *now)
{
	authz_observe_use(s, RES(core_pods), old, now);
}

/* --- binding --- */

/* About the subresource, not the pod. */
#define cannot_bind(err, name, fmt, ...)                                                                            \
	(err_set((err), ERR_CONFLICT, "Operation cannot be fulfilled on pods/binding \"%.*s\": " fmt, SV_ARG(name), \
		 ##__VA_ARGS__),                                                                                    \
	 err_set_object((err), SV(""), SV("pods/binding"), (name)))

static int bind_change(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	const struct val *binding = ctx, *annotations = val_get(binding, F_metadata, F_annotations);
	const struct val *labels = val_get(binding, F_metadata, F_labels);
	struct sv node = val_get_str(binding, F_target, F_name), uid = val_get_str(binding, F_metadata, F_uid);
	struct sv name = val_get_str(old, F_metadata, F_name), have = val_get_str(old, F_spec, F_nodeName);
	struct val *status, *conditions, *c;
	char now[TIME_TEXT_MAX];

	if (uid.n && !sv_eq(uid, val_get_str(old, F_metadata, F_uid)))
		return err_wrong_uid(err, RES(core_pods), q->ns, name, uid, val_get_str(old, F_metadata, F_uid));
	if (val_get(old, F_metadata, F_deletionTimestamp))
		return cannot_bind(err, name, "pod %.*s is being deleted, cannot be assigned to a host", SV_ARG(name));
	if (have.n)
		return cannot_bind(err, name, "pod %.*s is already assigned to node \"%.*s\"", SV_ARG(name),
				   SV_ARG(have));
	if (val_len(val_get(old, F_spec, F_schedulingGates)))
		return cannot_bind(err, name, "pod %.*s has non-empty .spec.schedulingGates", SV_ARG(name));
	val_set_str(q->arena, val_ensure_map(q->arena, doc, F_spec), F_nodeName, node);
	/* Those of the node's place (PodTopologyLabels); what the pod says itself stays. */
	if (val_len(labels) && feature_on(FG_PodTopologyLabelsAdmission))
		val_add_missing(q->arena, val_ensure_map(q->arena, val_get_mut(doc, F_metadata), F_labels), labels);
	if (val_len(annotations))
		val_put_all(q->arena, val_ensure_map(q->arena, val_get_mut(doc, F_metadata), F_annotations),
			    annotations);

	status = val_ensure_map(q->arena, doc, F_status);
	conditions = val_ensure_list(q->arena, status, F_conditions);
	for (size_t i = 0; i < val_len(conditions); i++)
		if (val_is(val_get(val_at(conditions, i), F_type), "PodScheduled")) {
			val_list_remove(conditions, i);
			break;
		}
	c = val_new_map(q->arena);
	val_set_cstr(q->arena, c, F_type, "PodScheduled");
	val_set_cstr(q->arena, c, F_status, "True");
	val_set(q->arena, c, F_lastProbeTime, val_new_null(q->arena));
	val_set_str(q->arena, c, F_lastTransitionTime, time_format(env_now_ns(q->server->env), false, now));
	val_push(q->arena, conditions, c);
	return 0;
}

static void bind_done(struct api_req *q, struct obj *o, struct err *err, void *ctx)
{
	(void)o;
	(void)ctx;
	if (err)
		api_req_fail(q, err);
	else
		answer_created(q);
}

static void pods_bind(struct api_req *q, struct val *binding)
{
	struct sv name = q->name.n ? q->name : val_get_str(binding, F_metadata, F_name);
	struct err err = ERR_INIT;
	const struct val *kind = val_get(binding, F_target, F_kind);

	if (q->name.n && !sv_eq(q->name, val_get_str(binding, F_metadata, F_name)) && !q->trusted)
		err_set(&err, ERR_BAD_REQUEST, "name in URL does not match name in Binding object");
	else if (val_str(kind).n && !val_is(kind, "Node"))
		err_set(&err, ERR_UNKNOWN,
			"target.kind: Unsupported value: \"%.*s\": supported values: \"Node\", \"<empty>\"",
			SV_ARG(val_str(kind)));
	else if (val_get_str(binding, F_target, F_name).n == 0)
		err_set(&err, ERR_UNKNOWN, "target.name: Required value");
	if (err.reason != ERR_NONE) {
		api_req_fail(q, &err);
		return;
	}
	registry_update_async(q, RES(core_pods), q->ns, name, "binding", bind_change, bind_done, binding);
}

static void pod_binding(struct api_req *q)
{
	struct val *binding = sub_body(q);

	if (binding)
		admission_create_sub(q, binding, pods_bind);
}

/* The old way: POST to namespaces/NS/bindings, the pod named by metadata.name. */
static int binding_create(struct api_req *q, struct val *doc, struct err *err)
{
	(void)err;
	admission_create_sub(q, doc, pods_bind);
	return 0;
}

const struct strategy binding_strategy = {
	.res = RES(core_bindings),
	.virtual_create = binding_create,
};

static const struct sub_handler pod_subs[] = {
	{ "attach", pod_attach, .streams = true, .connects = true },
	{ "binding", pod_binding, .streams = false },
	{ "eviction", pod_eviction, .streams = false },
	{ "exec", pod_exec, .streams = true, .connects = true },
	{ "log", pod_log, .streams = true },
	{ "portforward", pod_portforward, .streams = true, .connects = true },
	{ "proxy", pod_proxy, .streams = true, .connects = true, .any_method = true },
	{ NULL, NULL, .streams = false },
};

static const char *const status_metadata[] = { "status", "metadata", NULL };
static const struct kept_on pod_kept[] = {
	/* Old kubelets sent no owners; they must not take them away. */
	{ "status", (const char *const[]){ "spec", "metadata.deletionTimestamp", "metadata.ownerReferences", NULL } },
	{ "ephemeralcontainers", status_metadata },
	{ "resize", status_metadata },
	/* Nothing there comes from the client: binding sets spec.nodeName and a condition together. */
	{ "binding", (const char *const[]){ NULL } },
	{ NULL, NULL },
};

const struct strategy pod_strategy = {
	.res = RES(core_pods),
	.returns_deleted = true,
	.kept = pod_kept,
	.unconditional_update = true,
	.set_defaults = pod_defaults,
	.prepare_create = pod_prepare_create,
	.prepare_update = pod_prepare_update,
	.narrow = pod_narrow,
	.grace_period = pod_grace,
	.subs = pod_subs,
	.field_label = pod_field,
	.warn = warn_of_pod,
	.observe = pod_observe,
};

static void template_defaults(struct api_req *q, struct val *doc)
{
	default_pod_template(q->arena, doc);
}

const struct strategy podtemplate_strategy = {
	.res = RES(core_podtemplates),
	.returns_deleted = true,
	.unconditional_update = true,
	.set_defaults = template_defaults,
	.warn = warn_of_pod,
};
