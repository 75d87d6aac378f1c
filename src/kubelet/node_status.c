/* The Node object and its Lease. The status is computed every period, but written only when it changed, or every
 * five minutes; the Lease says "alive" in between, at a fraction of the cost. */
#include "kubelet/node_status.h"

#include "base/log.h"
#include "base/retry.h"
#include "base/timefmt.h"
#include "base/version.h"
#include "kubelet/csi/csi.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/machine.h"
#include "kubelet/pod_table.h"
#include "kubelet/runtime_down.h"
#include "kubelet/status.h"
#include "object/condition.h"
#include "pod/node_features.h"

#include <stdatomic.h>
#include <stdlib.h>

#define REPORT_NS (300 * NS_PER_SEC)
#define IMAGES_MAX 50
/* What pods may count on here. The rest of upstream's is not done. */
#define FEATURES_HERE (NODE_POD_LEVEL_RESIZE | NODE_INIT_RESIZE)
#define PLEG_NS (180 * NS_PER_SEC) /* upstream's */

struct node_status {
	struct kubelet *k;
	struct obj *node; /* as last read or written; owned */
	struct obj *lease;
	int64_t reported_ns;	 /* mono */
	_Atomic bool registered; /* the lease's task asks */
	bool ready, runtime_down;
	unsigned tries;
	_Atomic bool doubtful; /* what the API has may not be what we wrote last: the lease's task says so */
	/* When the API last heard of us: the Node's registration, and from then on the lease's task's own. */
	int64_t renewed_ns;	 /* mono */
	int64_t renewed_wall_ns; /* wall */
	bool leased;		 /* the lease was renewed once */
	/* Under k->lock. */
	bool looked, network;
	char *network_why; /* why not */
};

static void set_cond(struct arena *a, struct val *list, const struct val *old_status, const char *type, bool ok,
		     const char *reason, const char *message, int64_t now)
{
	struct val *c = val_new_map(a);
	const struct val *old = condition_find(val_member(old_status, F_conditions), type);
	const char *status = ok ? "True" : "False";
	char text[TIME_TEXT_MAX];

	val_set_cstr(a, c, F_type, type);
	val_set_cstr(a, c, F_status, status);
	val_set_str(a, c, F_lastHeartbeatTime, time_format(now, false, text));
	if (old && val_is(val_member(old, F_status), status))
		val_set(a, c, F_lastTransitionTime, val_member(old, F_lastTransitionTime));
	else
		val_set_str(a, c, F_lastTransitionTime, time_format(now, false, text));
	val_set_cstr(a, c, F_reason, reason);
	val_set_cstr(a, c, F_message, message);
	val_push(a, list, c);
}

static int bigger(const void *x, const void *y)
{
	uint64_t a = ((const struct rt_image *)x)->size_bytes, b = ((const struct rt_image *)y)->size_bytes;

	return a < b ? 1 : a > b ? -1 : 0;
}

static void set_images(struct kubelet *k, struct arena *a, struct val *st)
{
	struct val *list = val_new_list(a);
	struct rt_image *img;
	size_t n;

	if (k->rt->ops->list_images(k->rt, a, &img, &n, NULL) < 0)
		return;
	qsort(img, n, sizeof(*img), bigger);
	for (size_t i = 0; i < n && i < IMAGES_MAX; i++) {
		struct val *m = val_new_map(a), *names = val_new_list(a);

		for (size_t j = 0; j < img[i].n_digests; j++)
			val_push(a, names, val_new_str(a, img[i].digests[j]));
		for (size_t j = 0; j < img[i].n_tags; j++)
			val_push(a, names, val_new_str(a, img[i].tags[j]));
		val_set(a, m, F_names, names);
		val_set_int(a, m, F_sizeBytes, (int64_t)img[i].size_bytes);
		val_push(a, list, m);
	}
	val_set(a, st, F_images, list);
}

/* What pods may ask of the runtime. What it does not tell of is left out, as with upstream's. */
static void set_features(struct arena *a, const struct rt_features *f, struct val *st)
{
	struct val *list = f->n_handlers ? val_set_list(a, st, F_runtimeHandlers) : NULL;

	for (size_t i = 0; i < f->n_handlers; i++) {
		const struct rt_handler *h = &f->handlers[i];
		struct val *m = val_push(a, list, val_new_map(a)), *can = val_set_map(a, m, F_features);

		val_set_str(a, m, F_name, h->name);
		val_set_bool(a, can, F_recursiveReadOnlyMounts, h->recursive_read_only);
		val_set_bool(a, can, F_userNamespaces, h->user_namespaces);
	}
	if (f->told)
		val_set_bool(a, val_set_map(a, st, F_features), F_supplementalGroupsPolicy, f->strict_groups);
}

static void keep_features(struct arena *a, const struct val *old, struct val *st)
{
	static const enum sym fields[] = { F_runtimeHandlers, F_features };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (val_member(old, fields[i]))
			val_set(a, st, fields[i], val_member(old, fields[i]));
}

/* What the runtime says, into st and info. -1 when it does not answer. After a question that got no answer in time no
 * other is asked: each would take its time, and that the node is not ready must be said within ten seconds. */
static int ask_runtime(struct kubelet *k, struct arena *a, struct val *st, struct val *info, struct rt_status *ret,
		       struct err *err)
{
	struct rt_version version;

	if (k->rt->ops->version(k->rt, a, &version, err) == 0)
		val_set_strf(a, info, F_containerRuntimeVersion, "%.*s://%.*s", SV_ARG(version.name),
			     SV_ARG(version.version));
	else if (err->reason == ERR_TIMEOUT)
		return -1;
	err_release(err);
	if (k->rt->ops->status(k->rt, a, ret, err) < 0)
		return -1;
	set_features(a, &ret->features, st);
	set_images(k, a, st);
	return 0;
}

static void push_address(struct arena *a, struct val *list, const char *type, const char *address)
{
	struct val *m = val_new_map(a);

	val_set_cstr(a, m, F_type, type);
	val_set_cstr(a, m, F_address, address);
	val_push(a, list, m);
}

bool node_network_ready(struct kubelet *k, struct arena *a, struct sv *ret_why)
{
	bool ok;

	pthread_mutex_lock(&k->lock);
	ok = k->node && k->node->network;
	*ret_why = k->node && k->node->network_why ? arena_sv(a, sv_from(k->node->network_why)) : SV("");
	pthread_mutex_unlock(&k->lock);
	return ok;
}

/* Pods waiting for the network, or to be told that it is not there, go on. */
static void note_network(struct node_status *n, bool ok, struct sv why)
{
	struct kubelet *k = n->k;
	bool news;

	pthread_mutex_lock(&k->lock);
	news = !n->looked || n->network != ok;
	n->looked = true;
	n->network = ok;
	free(n->network_why);
	n->network_why = ok ? NULL : xasprintf("container runtime network not ready: %.*s", SV_ARG(why));
	pthread_mutex_unlock(&k->lock);
	if (news)
		kubelet_kick_all(k);
}

/* Once when it goes and once when it comes: the Node's Ready condition says it all the time. */
static void note_runtime(struct node_status *n, bool answers, struct sv why)
{
	if (answers == !n->runtime_down)
		return;
	n->runtime_down = !answers;
	if (answers)
		log_info(SYS, "the container runtime answers again", "node", "%s", n->k->node_name);
	else
		log_warn(
		    SYS,
		    "the container runtime does not answer, pods wait: start it, or check --container-runtime-endpoint",
		    "why", "%.*s", SV_ARG(why));
}

static struct val *compute(struct node_status *n, struct arena *a, const struct val *old, bool *ret_ready)
{
	struct kubelet *k = n->k;
	struct val *st = val_new_map(a), *addresses = val_new_list(a), *conditions = val_new_list(a), *info, *ep,
		   *in_use;
	struct rt_status rt = { 0 };
	struct sv why = SV(""), ips, ip;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t now = env_now_ns(k->env), unseen = env_mono_ns(k->env) - k->relisted_ns;
	const char *not_ready = NULL;
	bool down = runtime_down_why(k, a, &not_ready);

	k->host->machine_info(k, a, st);
	info = val_ensure_map(a, st, F_nodeInfo);
	if (down)
		why = sv_from(not_ready);
	else if (ask_runtime(k, a, st, info, &rt, &err) < 0)
		why = arena_sv(a, sv_from(err_msg(&err)));
	else
		why = rt.why;
	if (down || err.reason) /* it is still the one that it was */
		keep_features(a, old, st);
	val_set_cstr(a, info, F_kubeletVersion, VERSION_TEXT);
	val_set_cstr(a, info, F_kubeProxyVersion, "");
	node_features_write(a, FEATURES_HERE, st);
	ips = sv_from(k->node_ips);
	while (sv_split(&ips, ' ', &ip))
		push_address(a, addresses, "InternalIP", arena_cstr(a, ip));
	push_address(a, addresses, "Hostname", k->node_name);
	val_set(a, st, F_addresses, addresses);
	ep = val_new_map(a);
	val_set_int(a, ep, F_Port, k->port > 0 ? k->port : 10250);
	val_set(a, val_set_map(a, st, F_daemonEndpoints), F_kubeletEndpoint, ep);
	if (!down) /* else it was said by who found that */
		note_runtime(n, rt.runtime, why);
	if (!down && !rt.runtime)
		not_ready = arena_printf(a, "container runtime is down: %.*s", SV_ARG(why));
	else if (!down && !rt.network)
		not_ready = arena_printf(a, "container runtime network not ready: %.*s", SV_ARG(why));
	if (unseen >= PLEG_NS) { /* in whole minutes: it is not written anew all the time */
		const char *pleg = arena_printf(
		    a, "PLEG is not healthy: pleg was last seen active %" PRId64 "m0s ago; threshold is 3m0s",
		    unseen / (60 * NS_PER_SEC));

		not_ready = not_ready ? arena_printf(a, "[%s, %s]", not_ready, pleg) : pleg;
	}
	*ret_ready = !not_ready;
	note_network(n, rt.runtime && rt.network, why);
	set_cond(a, conditions, old, "MemoryPressure", false, "KubeletHasSufficientMemory",
		 "kubelet has sufficient memory available", now);
	set_cond(a, conditions, old, "DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure",
		 now);
	set_cond(a, conditions, old, "PIDPressure", false, "KubeletHasSufficientPID",
		 "kubelet has sufficient PID available", now);
	if (*ret_ready)
		set_cond(a, conditions, old, "Ready", true, "KubeletReady", "kubelet is posting ready status", now);
	else
		set_cond(a, conditions, old, "Ready", false, "KubeletNotReady", not_ready, now);
	val_set(a, st, F_conditions, conditions);
	in_use = k->csi ? csi_in_use(k->csi, a) : NULL;
	if (in_use)
		val_set(a, st, F_volumesInUse, in_use);
	return st;
}

/* Conditions that are not what they were, as events that `kubectl describe node` shows. */
static void tell_changes(struct node_status *n, const struct val *was, const struct val *now)
{
	static const struct {
		const char *type, *yes, *no;
	} words[] = { { "MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory" },
		      { "DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure" },
		      { "PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID" },
		      { "Ready", "NodeReady", "NodeNotReady" } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		const struct val *old = condition_find(val_member(was, F_conditions), words[i].type);
		const struct val *neu = condition_find(val_member(now, F_conditions), words[i].type);
		const char *word = val_is(val_member(neu, F_status), "True") ? words[i].yes : words[i].no;

		if (!sv_eq(val_get_str(old, F_status), val_get_str(neu, F_status)))
			recorder_event(n->k->recorder, RES(core_nodes), obj_root(n->node), "Normal", word,
				       "Node %s status is now: %s", n->k->node_name, word);
	}
}

/* --- registration --- */

/* "key=value" */
static void add_pairs(struct arena *a, struct val *map, char **pairs)
{
	for (; *pairs; pairs++) {
		struct sv kv = sv_from(*pairs);
		ssize_t eq = sv_find(kv, '=');

		if (eq > 0)
			val_set_str_sv(a, map, sv_sub(kv, 0, (size_t)eq), sv_sub(kv, (size_t)eq + 1, kv.n));
		else if (kv.n)
			val_set_str_sv(a, map, kv, SV(""));
	}
}

static bool lacks_pairs(const struct val *have, const struct val *want)
{
	VAL_EACH_MEMBER(want, m)
		if (!sv_eq(val_str(val_member_sv(have, m.key)), val_str(m.value)))
			return true;
	return false;
}

static struct val *node_status_labels(struct kubelet *k, struct arena *a, const struct val *status)
{
	struct val *l = val_new_map(a);
	struct sv arch = val_get_str(status, F_nodeInfo, F_architecture);

	if (!arch.n)
		arch = SV("amd64");
	val_set_str_sv(a, l, SV("beta.kubernetes.io/arch"), arch);
	val_set_str_sv(a, l, SV("beta.kubernetes.io/os"), SV("linux"));
	val_set_str_sv(a, l, SV("kubernetes.io/arch"), arch);
	val_set_str_sv(a, l, SV("kubernetes.io/hostname"), sv_from(k->node_name));
	val_set_str_sv(a, l, SV("kubernetes.io/os"), SV("linux"));
	add_pairs(a, l, k->node_labels);
	return l;
}

bool node_taint_parse(struct sv text, struct sv *ret_key, struct sv *ret_value, struct sv *ret_effect)
{
	static const char *const effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute" };
	ssize_t colon = sv_find(text, ':'), eq;

	if (colon <= 0)
		return false;
	*ret_key = sv_sub(text, 0, (size_t)colon);
	*ret_value = SV("");
	*ret_effect = sv_sub(text, (size_t)colon + 1, text.n);
	eq = sv_find(*ret_key, '=');
	if (eq >= 0) {
		*ret_value = sv_sub(*ret_key, (size_t)eq + 1, text.n);
		*ret_key = sv_sub(*ret_key, 0, (size_t)eq);
	}
	for (size_t i = 0; i < ARRAY_LEN(effects); i++)
		if (ret_key->n && sv_is(*ret_effect, effects[i]))
			return true;
	return false;
}

/* Taints are of a Node's first registration: later they are the admin's and the controllers'. */
static void set_taints(struct kubelet *k, struct arena *a, struct val *spec)
{
	struct val *list = k->node_taints[0] ? val_set_list(a, spec, F_taints) : NULL;
	struct sv key, value, effect;

	for (size_t i = 0; k->node_taints[i]; i++) {
		struct val *t;

		if (!node_taint_parse(sv_from(k->node_taints[i]), &key, &value, &effect))
			continue;
		t = val_push(a, list, val_new_map(a));
		val_set_str(a, t, F_key, key);
		if (value.n)
			val_set_str(a, t, F_value, value);
		val_set_str(a, t, F_effect, effect);
	}
}

static void node_status_keep(struct obj **slot, struct obj *o_take)
{
	obj_unref(*slot);
	*slot = o_take;
}

/* The lease's task reads it, too. */
static void keep_node(struct node_status *n, struct obj *o_take)
{
	struct obj *old;

	pthread_mutex_lock(&n->k->lock);
	old = n->node;
	n->node = o_take;
	pthread_mutex_unlock(&n->k->lock);
	obj_unref(old);
}

/* 1: it is new, 0: it was there. */
static int register_node(struct node_status *n, struct arena *a, const struct val *status, struct err *err)
{
	struct kubelet *k = n->k;
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *want = node_status_labels(k, a, status);
	struct val *notes = val_new_map(a);
	struct obj *o = NULL;
	struct err e = ERR_INIT;

	add_pairs(a, notes, k->node_annotations);
	if (client_get(k->client, RES(core_nodes), SV(""), sv_from(k->node_name), &o, &e) == 0) {
		keep_node(n, o);
		if (!lacks_pairs(obj_labels(o), want) && !lacks_pairs(obj_get(o, F_metadata, F_annotations), notes))
			return 0;
		val_set(a, meta, F_labels, want);
		if (val_len(notes))
			val_set(a, meta, F_annotations, notes);
		val_set(a, doc, F_metadata, meta);
		o = NULL;
		if (client_patch(k->client, RES(core_nodes), SV(""), sv_from(k->node_name), PATCH_MERGE, doc, NULL, &o,
				 err) < 0)
			return -1;
		keep_node(n, o);
		return 0;
	}
	if (e.reason != ERR_NOT_FOUND)
		return err_move(err, &e);
	err_release(&e);
	val_set_str(a, meta, F_name, sv_from(k->node_name));
	val_set(a, meta, F_labels, want);
	if (val_len(notes))
		val_set(a, meta, F_annotations, notes);
	val_set_cstr(a, doc, F_apiVersion, "v1");
	val_set_cstr(a, doc, F_kind, "Node");
	val_set(a, doc, F_metadata, meta);
	set_taints(k, a, val_set_map(a, doc, F_spec));
	val_set(a, doc, F_status, status);
	if (client_create(k->client, RES(core_nodes), SV(""), doc, NULL, &o, err) < 0)
		return -1;
	keep_node(n, o);
	return 1;
}

/* --- status --- */

/* The same apart from heartbeats. */
static bool same_status(const struct val *x, const struct val *y)
{
	static const enum sym fields[] = { F_capacity,	      F_allocatable, F_addresses,	 F_daemonEndpoints,
					   F_nodeInfo,	      F_images,	     F_declaredFeatures, F_volumesInUse,
					   F_runtimeHandlers, F_features };
	const struct val *cx = val_member(x, F_conditions);

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (!val_same(val_member(x, fields[i]), val_member(y, fields[i])))
			return false;
	VAL_EACH(cx, c) {
		const struct val *d = NULL;

		VAL_EACH(val_member(y, F_conditions), o)
			if (sv_eq(val_get_str(o, F_type), val_get_str(c, F_type)))
				d = o;
		if (!sv_eq(val_get_str(c, F_status), val_get_str(d, F_status)) ||
		    !sv_eq(val_get_str(c, F_reason), val_get_str(d, F_reason)) ||
		    !sv_eq(val_get_str(c, F_message), val_get_str(d, F_message)))
			return false;
	}
	return true;
}

/* The patch that makes it so. Lists are merged by their keys, and that of addresses is their type, of which there may
 * be two: they are replaced as a whole. */
static struct val *node_status_patch(struct arena *a, const struct val *st)
{
	static const enum sym come_and_go[] = { F_declaredFeatures, F_volumesInUse, F_runtimeHandlers, F_features };
	struct val *doc = val_new_map(a), *status = val_clone(a, st), *replace = val_new_map(a), *list;

	list = val_set_list(a, status, F_addresses);
	val_set_sv(a, replace, SV("$patch"), val_new_str(a, SV("replace")));
	val_push(a, list, replace);
	VAL_EACH(val_member(st, F_addresses), one)
		val_push(a, list, one);
	for (size_t i = 0; i < ARRAY_LEN(come_and_go); i++)
		if (!val_member(st, come_and_go[i]))
			val_set(a, status, come_and_go[i], val_new_null(a));
	val_set(a, doc, F_status, status);
	return doc;
}

static void lease_heard(struct node_status *n)
{
	n->renewed_ns = env_mono_ns(n->k->env);
	n->renewed_wall_ns = env_now_ns(n->k->env);
}

static int node_status_report(struct node_status *n, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kubelet *k = n->k;
	struct val *st = compute(n, &a, n->node ? val_member(obj_root(n->node), F_status) : NULL, &n->ready), *doc;
	const struct client_write_opts opts = { .subresource = "status" };
	int64_t now = env_mono_ns(k->env);
	struct obj *o = NULL;
	struct err e = ERR_INIT;

	if (!n->registered) {
		bool first = !n->node; /* from then on the lease's task counts */
		int fresh = register_node(n, &a, st, err);

		if (fresh < 0)
			return err_wrap(err, "registering node '%s'", k->node_name);
		if (first)
			lease_heard(n); /* by this: the first Lease, too, may be a long time coming */
		n->registered = true;
		if (k->csi)
			csi_node_registered(k->csi);
		recorder_event(k->recorder, RES(core_nodes), obj_root(n->node), "Normal", "Starting",
			       "Starting kubelet.");
		if (fresh)
			tell_changes(n, NULL, st);
		log_info(SYS, "node registered", "node", "%s, address %s", k->node_name, k->node_ips);
		st = compute(n, &a, val_member(obj_root(n->node), F_status), &n->ready);
	}
	if (!atomic_exchange(&n->doubtful, false) && n->reported_ns && now - n->reported_ns < REPORT_NS &&
	    same_status(st, val_member(obj_root(n->node), F_status)))
		return 0;
	doc = node_status_patch(&a, st);
	if (client_patch(k->client, RES(core_nodes), SV(""), sv_from(k->node_name), PATCH_STRATEGIC, doc, &opts, &o,
			 &e) < 0) {
		if (e.reason == ERR_NOT_FOUND) /* deleted under us: make it anew */
			n->registered = false;
		atomic_store(&n->doubtful, true);
		err_wrap(&e, "writing the status of node '%s'", k->node_name);
		return err_move(err, &e);
	}
	tell_changes(n, val_member(obj_root(n->node), F_status), st);
	keep_node(n, o);
	n->reported_ns = now;
	return 0;
}

/* The next try is never later than the period. */
static int64_t node_status_again(struct node_status *n, int64_t first_ns, int64_t period_ns)
{
	const struct retry_policy policy = { .first_ns = first_ns, .max_ns = MIN(64 * first_ns, period_ns) };

	return retry_pause_ns(&policy, ++n->tries);
}

static void report_fired(void *ctx)
{
	struct kubelet *k = ctx;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t next;

	if (!kubelet_fired(k, &k->status_timer))
		return;
	next = k->status_period_ns;
	if (node_status_report(k->node, &err) < 0) {
		log_warn(SYS, "node status not written", "why", "%s", err_msg(&err));
		next = node_status_again(k->node, 100 * NS_PER_MS, next);
	} else if (!k->node->ready) { /* a runtime that starts is ready within the second */
		next = node_status_again(k->node, 50 * NS_PER_MS, next);
	} else {
		k->node->tries = 0;
	}
	kubelet_rearm(k, &k->status_timer, ENV_NODE, next, report_fired);
	kubelet_fired_end(k);
}

void node_status_hurry(struct kubelet *k)
{
	pthread_mutex_lock(&k->lock);
	kubelet_hurry(k, &k->status_timer, ENV_NODE, 0, report_fired);
	pthread_mutex_unlock(&k->lock);
}

void node_status_event(struct kubelet *k, const char *type, const char *reason, const char *fmt, ...)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = NULL;
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = arena_vprintf(&a, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&k->lock);
	node = k->node && k->node->node ? obj_ref(k->node->node) : NULL;
	pthread_mutex_unlock(&k->lock);
	if (node)
		recorder_event(k->recorder, RES(core_nodes), obj_root(node), type, reason, "%s", text);
}

int kubelet_say_down(struct env *env, struct client *client, struct recorder *r, const char *node_name, const char *why,
		     struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct client_write_opts opts = { .subresource = "status" };
	struct val *doc = val_new_map(&a), *conditions = val_new_list(&a);
	struct obj *node, *now = NULL;

	if (client_get(client, RES(core_nodes), SV(""), sv_from(node_name), &node, err) < 0)
		return -1;
	obj_link(&a, node);
	set_cond(&a, conditions, val_member(obj_root(node), F_status), "Ready", false, "KubeletNotReady",
		 arena_printf(&a, "container runtime is down: %s", why), env_now_ns(env));
	val_set(&a, val_set_map(&a, doc, F_status), F_conditions, conditions);
	if (client_patch(client, RES(core_nodes), SV(""), sv_from(node_name), PATCH_STRATEGIC, doc, &opts, &now, err) <
	    0)
		return -1;
	obj_unref(now);
	recorder_event(r, RES(core_nodes), obj_root(node), "Warning", "ContainerRuntimeDown",
		       "The container runtime does not answer: %s", why);
	return 0;
}

/* --- lease --- */

/* Says that this node lives, not that its runtime does: nothing here waits for more than the API, and it is no task of
 * the node's class, which a runtime that hangs can fill. */

static int renew(struct node_status *n, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kubelet *k = n->k;
	struct sv ns = SV("kube-node-lease"), name = sv_from(k->node_name);
	struct val *doc, *spec;
	char now[TIME_TEXT_MAX];
	_cleanup_obj_ struct obj *node = NULL;
	struct obj *o = NULL;
	struct err e = ERR_INIT;

	time_format(env_now_ns(k->env), true, now);
	if (!n->lease && client_get(k->client, RES(coordination_leases), ns, name, &o, &e) == 0)
		node_status_keep(&n->lease, o);
	err_release(&e);
	if (n->lease) {
		doc = obj_edit(&a, n->lease);
		spec = val_clone(&a, val_member(doc, F_spec));
		val_set_cstr(&a, spec, F_renewTime, now);
		val_set(&a, doc, F_spec, spec);
		o = NULL;
		if (client_update(k->client, RES(coordination_leases), doc, NULL, &o, err) < 0) {
			node_status_keep(&n->lease, NULL); /* changed or gone: read it next time */
			return -1;
		}
		node_status_keep(&n->lease, o);
		return 0;
	}
	doc = val_new_map(&a);
	spec = val_new_map(&a);
	val_set_cstr(&a, spec, F_holderIdentity, k->node_name);
	val_set_int(&a, spec, F_leaseDurationSeconds, 40);
	val_set_cstr(&a, spec, F_renewTime, now);
	val_set_cstr(&a, doc, F_apiVersion, "coordination.k8s.io/v1");
	val_set_cstr(&a, doc, F_kind, "Lease");
	struct val *meta = val_new_map(&a);
	val_set_str(&a, meta, F_name, name);
	val_set_str(&a, meta, F_namespace, ns);
	pthread_mutex_lock(&k->lock);
	node = n->node ? obj_ref(n->node) : NULL;
	pthread_mutex_unlock(&k->lock);
	if (node) {
		struct val *ref = obj_reference(&a, "Node", node), *refs = val_new_list(&a);

		val_set_cstr(&a, ref, F_apiVersion, "v1");
		val_push(&a, refs, ref);
		val_set(&a, meta, F_ownerReferences, refs);
	}
	val_set(&a, doc, F_metadata, meta);
	val_set(&a, doc, F_spec, spec);
	if (client_create(k->client, RES(coordination_leases), ns, doc, NULL, &o, err) < 0)
		return -1;
	node_status_keep(&n->lease, o);
	return 0;
}

/* Who has not heard of us for a while has said that this node is lost, or has deleted it, and its lease with it. The
 * status is written again then, though nothing of it has changed. */
static void lease_renewed(struct node_status *n, bool anew)
{
	struct kubelet *k = n->k;
	/* The one stands still while a machine sleeps, the other one jumps. */
	int64_t silent_ns = MAX(env_mono_ns(k->env) - n->renewed_ns, env_now_ns(k->env) - n->renewed_wall_ns);

	if (anew || silent_ns > 2 * k->lease_period_ns) {
		atomic_store(&n->doubtful, true);
		node_status_hurry(k);
	}
	lease_heard(n);
	n->leased = true;
}

static void lease_fired(void *ctx)
{
	struct kubelet *k = ctx;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t next;
	bool had;

	if (!kubelet_fired(k, &k->lease_timer))
		return;
	next = k->lease_period_ns;
	/* The namespace may not be there yet in a cluster's first second. */
	had = !k->node->leased || k->node->lease != NULL;
	if (k->node->registered && renew(k->node, &err) < 0) {
		log_debug(SYS, "lease not renewed", "why", "%s", err_msg(&err));
		next = MIN(next, NS_PER_SEC);
	} else if (!k->node->registered) {
		next = NS_PER_SEC / 2;
	} else {
		lease_renewed(k->node, !had);
	}
	kubelet_rearm(k, &k->lease_timer, ENV_CONTROL, next, lease_fired);
	kubelet_fired_end(k);
}

struct node_status *node_status_new(struct kubelet *k, struct err *err)
{
	struct node_status *n = xcalloc(1, sizeof(*n));

	(void)err;
	n->k = k;
	k->node = n; /* the timers' tasks may run before we return */
	kubelet_rearm(k, &k->status_timer, ENV_NODE, 0, report_fired);
	kubelet_rearm(k, &k->lease_timer, ENV_CONTROL, NS_PER_SEC / 4, lease_fired);
	return n;
}

struct node_status *node_status_free(struct node_status *n)
{
	if (!n)
		return NULL;
	obj_unref(n->node);
	obj_unref(n->lease);
	free(n->network_why);
	free(n);
	return NULL;
}
