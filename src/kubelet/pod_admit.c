/* Pods this node does not take although they were bound to it: by hand, by a second scheduler, by one that knew the
 * node as it was. Refused once, when they come: the pod is Failed and its owner makes another. The questions are the
 * scheduler's (pod/); order, reasons and words are those of upstream's node agent. */
#include "kubelet/pod_admit.h"

#include "base/log.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_isolation.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_table.h"
#include "pod/host_port.h"
#include "pod/node_features.h"
#include "pod/node_match.h"
#include "pod/pod_phase.h"

#define LOOK_AGAIN_NS (1 * NS_PER_SEC)

/* Kernel settings that belong to the pod's own namespaces and cannot harm its neighbours. */
static const char *const safe_sysctls[] = {
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem",
};

/* "net/ipv4/x" and "net.ipv4.x" are one name. */
static struct sv dotted(struct arena *a, struct sv name)
{
	char *s = arena_cstr(a, name);
	ssize_t slash = sv_find(name, '/'), dot = sv_find(name, '.');

	if (slash >= 0 && (dot < 0 || slash < dot))
		for (char *c = s; *c; c++)
			*c = *c == '/' ? '.' : *c == '.' ? '/' : *c;
	return sv_from(s);
}

static bool admission_refuse(struct admission *r, const char *reason, const char *message)
{
	r->reason = reason;
	r->message = message;
	return true;
}

static bool refused_sysctl(struct admission *r, const struct val *pod)
{
	VAL_EACH(val_get(pod, F_spec, F_securityContext, F_sysctls), s) {
		struct sv name = dotted(r->a, val_get_str(s, F_name));
		const char *problem = "not allowlisted";

		for (size_t i = 0; i < ARRAY_LEN(safe_sysctls); i++)
			if (sv_is(name, safe_sysctls[i]))
				problem = NULL;
		if (!problem && pod_host_network(pod) && sv_starts(name, SV("net.")))
			problem = "not allowed with host net enabled";
		if (!problem && val_get_bool(pod, F_spec, F_hostIPC) && sv_starts(name, SV("kernel.")))
			problem = "not allowed with host ipc enabled";
		if (problem)
			return admission_refuse(
			    r, "SysctlForbidden",
			    arena_printf(r->a, "forbidden sysctl: \"%.*s\" %s", SV_ARG(name), problem));
	}
	return false;
}

/* What no pod that goes away could give. */
static bool refused_kind(struct admission *r, const struct val *pod, const struct obj *node)
{
	const struct val *os = val_get(pod, F_spec, F_os, F_name);
	const struct val *label = val_member_sv(val_get(pod, F_metadata, F_labels), SV("kubernetes.io/os"));

	/* Upstream asks the pod's own label, not its nodeSelector. */
	if (label && !val_is(label, "linux"))
		return admission_refuse(r, "PodOSSelectorNodeLabelDoesNotMatch",
					"Failed to admit pod as the `kubernetes.io/os` label doesn't match node label");
	if (os && !val_is(os, "linux"))
		return admission_refuse(r, "PodOSNotSupported",
					"Failed to admit pod as the OS field doesn't match node OS");
	if (val_is(val_get(pod, F_spec, F_securityContext, F_supplementalGroupsPolicy), "Strict") &&
	    !val_bool(obj_get(node, F_status, F_features, F_supplementalGroupsPolicy)))
		return admission_refuse(r, "SupplementalGroupsPolicyNotSupported",
					"SupplementalGroupsPolicy=Strict is not supported in this node");
	return false;
}

/* --- room --- */

/* example.com/gpu, not hugepages-2Mi. */
static bool extended(struct sv name)
{
	return sv_find(name, '/') >= 0 && sv_find_sv(name, SV("kubernetes.io/")) < 0 &&
	       !sv_starts(name, SV("requests."));
}

static void lacks(struct admission *r, struct sv name, int64_t requested, int64_t used, int64_t capacity)
{
	if (requested <= capacity - used)
		return;
	res_list_add(&r->missing, name, requested - (capacity - used));
	if (!r->reason)
		admission_refuse(r, arena_printf(r->a, "OutOf%.*s", SV_ARG(name)),
				 arena_printf(r->a,
					      "Node didn't have enough resource: %.*s, requested: %" PRId64
					      ", used: %" PRId64 ", capacity: %" PRId64,
					      SV_ARG(name), requested, used, capacity));
}

static void check_room(struct admission *r, const struct val *pod, const struct obj *node,
		       const struct val *const *others, size_t n)
{
	static const struct sv first[] = { SV("cpu"), SV("memory"), SV("ephemeral-storage") };
	_cleanup_(res_list_release) struct res_list want = RES_LIST_INIT, used = RES_LIST_INIT;
	const struct val *room = obj_get(node, F_status, F_allocatable);

	pod_requests(val_member(pod, F_spec), RES_AS_WRITTEN, &want);
	for (size_t i = 0; i < n; i++)
		pod_requests(val_member(others[i], F_spec), RES_AS_WRITTEN, &used);
	lacks(r, SV("pods"), 1, (int64_t)n, res_amount(SV("pods"), val_member_sv(room, SV("pods"))));
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		if (res_list_get(&want, first[i]) > 0)
			lacks(r, first[i], res_list_get(&want, first[i]), res_list_get(&used, first[i]),
			      res_amount(first[i], val_member_sv(room, first[i])));
	for (size_t i = 0; i < want.n; i++) {
		struct sv name = want.p[i].name;
		const struct val *have = val_member_sv(room, name);
		bool told = false;

		for (size_t k = 0; k < ARRAY_LEN(first); k++)
			told |= sv_eq(name, first[k]);
		/* A resource that the whole cluster counts, not this node. */
		if (told || want.p[i].amount == 0 || (extended(name) && !have))
			continue;
		lacks(r, name, want.p[i].amount, res_list_get(&used, name), res_amount(name, have));
	}
}

/* --- place --- */

static void predicate(struct admission *r, const char *name, const char *why)
{
	r->placed_wrong = true;
	if (!r->reason)
		admission_refuse(r, name, arena_printf(r->a, "Predicate %s failed: %s", name, why));
}

static bool ports_clash(struct admission *r, const struct val *pod, const struct val *const *others, size_t n)
{
	_cleanup_(host_ports_release) struct host_ports taken = { 0 };
	struct host_port *mine, *theirs;
	size_t n_mine = host_ports_parse(r->a, val_member(pod, F_spec), &mine);

	for (size_t i = 0; i < n_mine; i++)
		host_ports_add(&taken, &mine[i]);
	for (size_t i = 0; n_mine && i < n; i++) {
		size_t n_theirs = host_ports_parse(r->a, val_member(others[i], F_spec), &theirs);

		for (size_t y = 0; y < n_theirs; y++)
			if (host_ports_taken(&taken, &theirs[y]))
				return true;
	}
	return false;
}

static void check_place(struct admission *r, const struct val *pod, const struct obj *node,
			const struct val *const *others, size_t n)
{
	const struct val *spec = val_member(pod, F_spec);
	struct node_want want;

	node_want_parse(r->a, spec, &want);
	if (!node_want_matches(&want, obj_labels(node), obj_name(node)))
		predicate(r, "NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
	if (!sv_eq(val_get_str(spec, F_nodeName), obj_name(node)))
		predicate(r, "NodeName", "node(s) didn't match the requested node name");
	if (ports_clash(r, pod, others, n))
		predicate(r, "NodePorts", "node(s) didn't have free ports for the requested pod ports");
	if (!tolerates_node(val_member(spec, F_tolerations), node, "NoExecute"))
		predicate(r, "TaintToleration", "node(s) had taints that the pod didn't tolerate");
}

/* What this agent does not do, it does not declare. */
static void check_features(struct admission *r, const struct val *pod, const struct obj *node)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	unsigned missing =
	    pod_features_needed(val_member(pod, F_spec)) & ~node_features_declared(obj_get(node, F_status));

	if (r->reason || !missing)
		return;
	node_features_text(missing, &b);
	admission_refuse(r, "PodFeatureUnsupported",
			 arena_printf(r->a, "Pod requires node features that are not available: %s", buf_cstr(&b)));
}

void admission_check(struct admission *r, const struct val *pod, const struct obj *node,
		     const struct val *const *others, size_t n)
{
	if (refused_sysctl(r, pod) || refused_kind(r, pod, node))
		return;
	check_room(r, pod, node, others, n);
	check_place(r, pod, node, others, n);
	if (!r->reason && r->no_apparmor && isolation_wants_apparmor(r->a, pod))
		admission_refuse(r, "AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host");
	check_features(r, pod, node);
}

void admission_release(struct admission *r)
{
	res_list_release(&r->missing);
}

/* --- one pod --- */

/* Has this pod a place here? Those that were taken, also by an agent before us, until they are through. One that was
 * deleted at once has none: who deletes so wants its successor now, and the API server knows it no more. */
static bool admission_counts(struct kpod *p, const struct val *pod)
{
	enum pod_taken taken = p->taken;
	bool vanished;

	pthread_mutex_lock(&p->lock);
	vanished = p->vanished;
	pthread_mutex_unlock(&p->lock);
	if (vanished)
		return false;
	switch (taken) {
	case TAKEN_YES:
		return true;
	case TAKEN_UNKNOWN:
		return !pod_phase_terminal(pod) && val_get(pod, F_status, F_startTime);
	default:
		return false;
	}
}

static size_t others_of(struct kpod *p, struct arena *a, struct kpod **pods, size_t n, struct kpod ***ret_pods,
			const struct val ***ret_docs)
{
	size_t n_others = 0;

	*ret_pods = ARENA_ARRAY(a, struct kpod *, n);
	*ret_docs = ARENA_ARRAY(a, const struct val *, n);
	for (size_t i = 0; i < n; i++) {
		const struct val *pod = pods[i] == p ? NULL : obj_root(kpod_obj(pods[i], a));

		if (!pod || !admission_counts(pods[i], pod))
			continue;
		(*ret_pods)[n_others] = pods[i];
		(*ret_docs)[n_others++] = pod;
	}
	return n_others;
}

/* Under k->admitting, so that of two pods that come at once the second sees the first. */
static bool admission_decide(struct admission *r, struct kpod *p, const struct val *pod, const struct obj *node)
{
	struct kubelet *k = p->k;
	const struct val **docs;
	struct kpod **pods, **others;
	size_t n, n_others;
	bool wait = false;

	pthread_mutex_lock(&k->admitting);
	pods = kubelet_pods(k, r->a, &n);
	n_others = others_of(p, r->a, pods, n, &others, &docs);
	admission_check(r, pod, node, docs, n_others);
	if (r->reason && r->missing.n && !r->placed_wrong)
		wait = preempt_for(r, pod, others, docs, n_others);
	if (!wait)
		pod_taken_set(p, r->reason ? TAKEN_NO : TAKEN_YES);
	pthread_mutex_unlock(&k->admitting);
	for (size_t i = 0; i < n; i++)
		kpod_unref(pods[i]);
	return !wait;
}

int pod_admit(struct kpod *p, struct admission *r, const struct val *pod, int64_t *wake_ns)
{
	struct kubelet *k = p->k;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj *node;

	/* What is not known yet may be running already. */
	if (!informer_synced(k->pods)) {
		*wake_ns = MIN(*wake_ns, LOOK_AGAIN_NS / 20);
		return 0;
	}
	r->no_apparmor = k->host->apparmor && !k->host->apparmor();
	/* Asked anew: labels and taints are others' to change. */
	if (client_get(k->client, RES(core_nodes), SV(""), sv_from(k->node_name), &node, &err) < 0) {
		log_warn(SYS, "a pod waits until this node can be read", "why", "%s/%s: %s", p->ns, p->name,
			 err_msg(&err));
		*wake_ns = MIN(*wake_ns, LOOK_AGAIN_NS);
		return 0;
	}
	obj_link(r->a, node);
	if (admission_decide(r, p, pod, node))
		return 1;
	*wake_ns = MIN(*wake_ns, LOOK_AGAIN_NS);
	return 0;
}
