/* Warning headers for pods that are accepted but probably not meant: what kubectl prints after "Warning:".
 *
 * Said once, to the client that wrote the thing: not to controllers, and not when an update left the pod
 * as it was. */
#include "apiserver/registry/kinds/kinds.h"
#include "base/strmap.h"
#include "object/quantity.h"

static const struct {
	const char *old_label, *since, *label;
} deprecated_labels[] = {
	{ "beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch" },
	{ "beta.kubernetes.io/os", "v1.14", "kubernetes.io/os" },
	{ "failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region" },
	{ "failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone" },
	{ "beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type" },
};

/* Volumes that are not made any more. */
static const struct {
	enum sym source;
	const char *why;
} dead_volumes[] = {
	{ F_gitRepo, "deprecated in v1.11, and disabled by default in v1.33+" },
	{ F_photonPersistentDisk, "deprecated in v1.11, non-functional in v1.16+" },
	{ F_scaleIO, "deprecated in v1.16, non-functional in v1.22+" },
	{ F_flocker, "deprecated in v1.22, non-functional in v1.25+" },
	{ F_storageos, "deprecated in v1.22, non-functional in v1.25+" },
	{ F_quobyte, "deprecated in v1.22, non-functional in v1.25+" },
	{ F_glusterfs, "deprecated in v1.25, non-functional in v1.26+" },
	{ F_cephfs, "deprecated in v1.28, non-functional in v1.31+" },
	{ F_rbd, "deprecated in v1.28, non-functional in v1.31+" },
};

static void warn_at(struct api_req *q, const struct fpath *at, const char *text)
{
	api_req_warn(q, "%.*s: %s", SV_ARG(fpath_str(q->arena, at)), text);
}

static void old_label(struct api_req *q, struct sv key, const struct fpath *at, bool is_key)
{
	for (size_t i = 0; i < ARRAY_LEN(deprecated_labels); i++) {
		if (!sv_is(key, deprecated_labels[i].old_label))
			continue;
		api_req_warn(q, "%.*s: %s%sdeprecated since %s; use \"%s\" instead", SV_ARG(fpath_str(q->arena, at)),
			     is_key ? deprecated_labels[i].old_label : "", is_key ? " is " : "",
			     deprecated_labels[i].since, deprecated_labels[i].label);
	}
}

static void node_terms(struct api_req *q, const struct val *term, const struct fpath *at)
{
	struct fpath list_at = FPATH(at, F_matchExpressions);
	size_t i = 0;

	VAL_EACH(val_member(term, F_matchExpressions), e) {
		struct fpath item = FPATH_AT(&list_at, i++), key_at = FPATH(&item, F_key);

		old_label(q, val_get_str(e, F_key), &key_at, true);
	}
}

static void pod_warnings_pod_term(struct api_req *q, const struct val *term, const struct fpath *at)
{
	struct fpath sel_at = FPATH(at, F_labelSelector), key_at = FPATH(at, F_topologyKey);

	if (!val_member(term, F_labelSelector))
		warn_at(q, &sel_at, "a null labelSelector results in matching no pod");
	old_label(q, val_get_str(term, F_topologyKey), &key_at, true);
}

static void placement(struct api_req *q, const struct val *spec, const struct fpath *at)
{
	static const enum sym pods[] = { F_podAffinity, F_podAntiAffinity };
	static const enum sym must = F_requiredDuringSchedulingIgnoredDuringExecution,
			      may = F_preferredDuringSchedulingIgnoredDuringExecution;
	struct fpath sel_at = FPATH(at, F_nodeSelector), aff_at = FPATH(at, F_affinity),
		     node_at = FPATH(&aff_at, F_nodeAffinity), must_at = FPATH(&node_at, must),
		     terms_at = FPATH(&must_at, F_nodeSelectorTerms), may_at = FPATH(&node_at, may),
		     spread_at = FPATH(at, F_topologySpreadConstraints);
	const struct val *aff = val_member(spec, F_affinity);
	size_t i = 0;

	VAL_EACH_MEMBER(val_member(spec, F_nodeSelector), m) {
		struct fpath here = FPATH_KEY(&sel_at, m.key);

		old_label(q, m.key, &here, false);
	}
	VAL_EACH(val_get(aff, F_nodeAffinity, F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms),
		 t) {
		struct fpath item = FPATH_AT(&terms_at, i++);

		node_terms(q, t, &item);
	}
	i = 0;
	VAL_EACH(val_get(aff, F_nodeAffinity, F_preferredDuringSchedulingIgnoredDuringExecution), t) {
		struct fpath item = FPATH_AT(&may_at, i++), pref_at = FPATH(&item, F_preference);

		node_terms(q, val_member(t, F_preference), &pref_at);
	}
	for (size_t k = 0; aff && k < ARRAY_LEN(pods); k++) {
		struct fpath here = FPATH(&aff_at, pods[k]), req_at = FPATH(&here, must), pref_at = FPATH(&here, may);

		i = 0;
		VAL_EACH(val_get(aff, pods[k], F_requiredDuringSchedulingIgnoredDuringExecution), t) {
			struct fpath item = FPATH_AT(&req_at, i++);

			pod_warnings_pod_term(q, t, &item);
		}
		i = 0;
		VAL_EACH(val_get(aff, pods[k], F_preferredDuringSchedulingIgnoredDuringExecution), t) {
			struct fpath item = FPATH_AT(&pref_at, i++), term_at = FPATH(&item, F_podAffinityTerm);

			pod_warnings_pod_term(q, val_member(t, F_podAffinityTerm), &term_at);
		}
	}
	i = 0;
	VAL_EACH(val_member(spec, F_topologySpreadConstraints), t) {
		struct fpath item = FPATH_AT(&spread_at, i++);

		pod_warnings_pod_term(q, t, &item);
	}
}

/* A list of things with a name, or the like, of which only one counts. */
static void once(struct api_req *q, const struct val *list, const struct fpath *at, enum sym name, const char *what)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	VAL_EACH(list, e) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, name);
		struct sv s = val_get_str(e, name), path;

		if (s.n && !strmap_set(&seen, s, q))
			continue;
		path = fpath_str(q->arena, &name_at);
		api_req_warn(q, "%.*s: %s %s \"%.*s\"", SV_ARG(path), s.n ? "duplicate" : "invalid empty", what,
			     SV_ARG(s));
	}
}

void warn_of_dead_volume(struct api_req *q, const struct val *volume, const struct fpath *at)
{
	for (size_t k = 0; k < ARRAY_LEN(dead_volumes); k++) {
		struct fpath here = FPATH(at, dead_volumes[k].source);

		if (dead_volumes[k].source == F_storageos) /* as upstream spells it here */
			here = FPATH_NAME(at, SV("storageOS"));
		if (val_member(volume, dead_volumes[k].source))
			warn_at(q, &here, dead_volumes[k].why);
	}
}

static void volumes(struct api_req *q, const struct val *spec, const struct fpath *at)
{
	struct fpath list_at = FPATH(at, F_volumes);
	size_t i = 0;

	VAL_EACH(val_member(spec, F_volumes), v) {
		struct fpath item = FPATH_AT(&list_at, i++);

		warn_of_dead_volume(q, v, &item);
	}
}

/* --- containers --- */

static void env(struct api_req *q, const struct val *c, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_env);
	size_t i = 0;

	if (val_len(val_member(c, F_env)) < 2)
		return;
	VAL_EACH(val_member(c, F_env), e) {
		struct fpath item = FPATH_AT(&at, i++);
		struct sv name = val_get_str(e, F_name), value = val_get_str(e, F_value), path;
		struct sv before = arena_svf(q->arena, "$(%.*s)", SV_ARG(name));

		/* A value that builds on the one before is meant. */
		if (!strmap_set(&seen, name, q) ||
		    (!val_member(e, F_valueFrom) && !sv_eq(value, before) && sv_find_sv(value, before) >= 0))
			continue;
		path = fpath_str(q->arena, &item);
		api_req_warn(q, "%.*s: hides previous definition of \"%.*s\", which may be dropped when using apply",
			     SV_ARG(path), SV_ARG(name));
	}
}

/* A port seen before, and how many with the same number and protocol stand behind it. */
struct seen_port {
	const struct val *port;
	struct sv path;
	const struct seen_port *before;
	unsigned n;
};
#define SEEN_PORTS_MAX 8 /* so many are compared with: enough to see that something is wrong */

/* What is wrong with two ports of one number and protocol; NULL: they are apart on the host. */
static const char *clash(const struct val *x, const struct val *y)
{
	struct sv ip = val_get_str(x, F_hostIP), other_ip = val_get_str(y, F_hostIP);
	int64_t host = val_get_int(x, 0, F_hostPort), other = val_get_int(y, 0, F_hostPort);

	if (host == other && sv_eq(ip, other_ip))
		return "duplicate";
	if (!host || !other)
		return "overlapping";
	return host == other && !ip.n != !other_ip.n ? "dangerously ambiguous" : NULL;
}

static void port_numbers(struct api_req *q, const struct val *p, struct sv path, struct strmap *seen)
{
	struct sv id = arena_svf(q->arena, "%" PRId64 "/%.*s", val_get_int(p, 0, F_containerPort),
				 SV_ARG(val_get_str(p, F_protocol)));
	const struct seen_port *before = strmap_get(seen, id);
	struct seen_port *here;

	if (val_get_str(p, F_hostIP).n && !val_get_int(p, 0, F_hostPort))
		api_req_warn(q,
			     "%.*s: hostIP set without hostPort: {Name:%.*s HostPort:0 ContainerPort:%" PRId64
			     " Protocol:%.*s HostIP:%.*s}",
			     SV_ARG(path), SV_ARG(val_get_str(p, F_name)), val_get_int(p, 0, F_containerPort),
			     SV_ARG(val_get_str(p, F_protocol)), SV_ARG(val_get_str(p, F_hostIP)));
	for (const struct seen_port *o = before; o; o = o->before)
		if (clash(p, o->port))
			api_req_warn(q, "%.*s: %s port definition with %.*s", SV_ARG(path), clash(p, o->port),
				     SV_ARG(o->path));
	if (before && before->n >= SEEN_PORTS_MAX)
		return;
	here = ARENA_NEW(q->arena, struct seen_port);
	*here = (struct seen_port){ .port = p, .path = path, .before = before, .n = before ? before->n + 1 : 1 };
	strmap_set(seen, id, here);
}

static void pod_warnings_ports(struct api_req *q, const struct val *c, const struct fpath *up, struct strmap *seen,
			       struct strmap *names)
{
	struct fpath at = FPATH(up, F_ports);
	size_t i = 0;

	VAL_EACH(val_member(c, F_ports), p) {
		struct fpath item = FPATH_AT(&at, i++);
		struct sv path = fpath_str(q->arena, &item), name = val_get_str(p, F_name), first;
		const char *before;

		port_numbers(q, p, path, seen);
		before = name.n ? strmap_get(names, name) : NULL;
		first = before ? sv_from(before) : SV_NULL;
		if (before)
			api_req_warn(
			    q,
			    "%.*s: duplicate port name \"%.*s\" with %.*s, services and probes that select ports by "
			    "name will use %.*s",
			    SV_ARG(path), SV_ARG(name), SV_ARG(first), SV_ARG(first));
		else if (name.n)
			strmap_set(names, name, arena_cstr(q->arena, path));
	}
}

static void fractions(struct api_req *q, const struct val *c, const struct fpath *up)
{
	static const enum sym lists[] = { F_limits, F_requests };
	struct fpath res_at = FPATH(up, F_resources);

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct fpath list_at = FPATH(&res_at, lists[k]);

		VAL_EACH_MEMBER(val_get(c, F_resources, lists[k]), m) {
			struct fpath here = FPATH_KEY(&list_at, m.key);
			struct sv path;
			int64_t milli;

			if ((!sv_is(m.key, "memory") && !sv_is(m.key, "ephemeral-storage")) ||
			    !quantity_milli(val_str(m.value), &milli) || milli % 1000 == 0)
				continue;
			path = fpath_str(q->arena, &here);
			api_req_warn(q, "%.*s: fractional byte value \"%.*s\" is invalid, must be an integer",
				     SV_ARG(path), SV_ARG(val_str(m.value)));
		}
	}
}

/* What no kubelet of ours does yet, nor declares. */
static void restart_all(struct api_req *q, const struct val *c, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_restartPolicyRules);
	size_t i = 0;

	VAL_EACH(val_member(c, F_restartPolicyRules), r) {
		struct fpath item = FPATH_AT(&at, i++), here = FPATH(&item, F_action);

		if (!val_is(val_member(r, F_action), "RestartAllContainers"))
			continue;
		warn_at(q, &here,
			"RestartAllContainers needs a node that declares RestartAllContainersOnContainerExits, which "
			"those of Caravel do "
			"not");
		return;
	}
}

static void containers(struct api_req *q, const struct val *spec, const struct fpath *at)
{
	static const enum sym lists[] = { F_initContainers, F_containers };
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT, seen = STRMAP_INIT;

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct fpath list_at = FPATH(at, lists[k]);
		size_t i = 0;

		VAL_EACH(val_member(spec, lists[k]), c) {
			struct fpath item = FPATH_AT(&list_at, i++);

			env(q, c, &item);
			pod_warnings_ports(q, c, &item, &seen, &names);
			fractions(q, c, &item);
			restart_all(q, c, &item);
		}
	}
}

/* --- the pod, where it stands in a kind --- */

/* Annotations that became fields: without the field they do nothing. at is the metadata's parent, NULL for a pod. */
static void annotations(struct api_req *q, const struct val *meta, const struct val *spec, const struct fpath *at)
{
	struct fpath meta_at = FPATH(at, F_metadata), ann_at = FPATH(&meta_at, F_annotations);
	static const struct {
		const char *key;
		enum sym field; /* of the security context: says it too */
		bool prefix;	/* a container's name follows */
		bool templates;
		const char *why;
	} all[] = {
		{ "scheduler.alpha.kubernetes.io/critical-pod", SYM_NONE, false, false,
		  "non-functional in v1.16+; use the \"priorityClassName\" field instead" },
		{ "seccomp.security.alpha.kubernetes.io/pod", F_seccompProfile, false, false,
		  "non-functional in v1.27+; use the \"seccompProfile\" field instead" },
		{ "container.seccomp.security.alpha.kubernetes.io/", F_seccompProfile, true, false,
		  "non-functional in v1.27+; use the \"seccompProfile\" field instead" },
		{ "container.apparmor.security.beta.kubernetes.io/", F_appArmorProfile, true, true,
		  "deprecated since v1.30; use the \"appArmorProfile\" field instead" },
	};

	_cleanup_(strmap_release) struct strmap containers = STRMAP_INIT;

	VAL_EACH(val_len(val_member(meta, F_annotations)) ? val_member(spec, F_containers) : NULL, c)
		strmap_set(&containers, val_get_str(c, F_name), (void *)c);
	VAL_EACH_MEMBER(val_member(meta, F_annotations), m) {
		struct fpath here = FPATH_KEY(&ann_at, m.key);

		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			struct sv key = sv_from(all[i].key);
			const struct val *sc = val_member(spec, F_securityContext);

			if (all[i].prefix ? !sv_starts(m.key, key) : !sv_eq(m.key, key))
				continue;
			if (all[i].prefix && strmap_has(&containers, sv_sub(m.key, key.n, m.key.n)))
				sc = val_member(strmap_get(&containers, sv_sub(m.key, key.n, m.key.n)),
						F_securityContext);
			if ((!all[i].templates || at) && !(all[i].field && val_member(sc, all[i].field)))
				warn_at(q, &here, all[i].why);
		}
	}
}

static void pod_spec(struct api_req *q, const struct val *spec, const struct fpath *at)
{
	struct fpath alias_at = FPATH(at, F_hostAliases), pull_at = FPATH(at, F_imagePullSecrets),
		     grace_at = FPATH(at, F_terminationGracePeriodSeconds);

	placement(q, spec, at);
	once(q, val_member(spec, F_hostAliases), &alias_at, F_ip, "ip");
	warn_of_pod_addresses(q, spec, at);
	once(q, val_member(spec, F_imagePullSecrets), &pull_at, F_name, "name");
	volumes(q, spec, at);
	containers(q, spec, at);
	if (val_get_int(spec, 0, F_terminationGracePeriodSeconds) < 0)
		warn_at(q, &grace_at, "must be >= 0; negative values are invalid and will be treated as 1");
}

static void name_of_pods(struct api_req *q, const struct val *doc)
{
	struct sv name = val_get_str(doc, F_metadata, F_name);
	const char *msg = name.n ? fmt_dns_label(name) : NULL;

	if (msg)
		api_req_warn(
		    q,
		    "metadata.name: this is used in %s, which can result in surprising behavior; a DNS label is "
		    "recommended: [%s]",
		    q->res->id == R_core_pods ? "the Pod's hostname" : "Pod names and hostnames", msg);
}

void warn_of_pod(struct api_req *q, const struct val *doc, const struct val *old)
{
	struct fpath spec_at = FPATH_ROOT(F_spec), tmpl_at = FPATH(&spec_at, F_template), at = FPATH(&tmpl_at, F_spec);
	struct fpath job_at = FPATH(&spec_at, F_jobTemplate), job_spec_at = FPATH(&job_at, F_spec);
	const struct fpath *parent = &tmpl_at;
	const struct val *now, *was;

	if (q->trusted)
		return;
	now = val_get(doc, F_spec, F_template);
	was = val_get(old, F_spec, F_template);
	if (q->res->id == R_core_pods) {
		at = spec_at;
		parent = NULL;
		now = doc;
		was = old;
	} else if (q->res->id == R_core_podtemplates) {
		tmpl_at = FPATH_ROOT(F_template);
		now = val_get(doc, F_template);
		was = val_get(old, F_template);
	} else if (q->res->id == R_batch_cronjobs) {
		tmpl_at = FPATH(&job_spec_at, F_template);
		now = val_get(doc, F_spec, F_jobTemplate, F_spec, F_template);
		was = val_get(old, F_spec, F_jobTemplate, F_spec, F_template);
	}
	/* The name of a DaemonSet or a CronJob is not one a pod's host has. */
	if (!old && q->res->id != R_core_podtemplates && q->res->id != R_batch_cronjobs &&
	    q->res->id != R_apps_daemonsets)
		name_of_pods(q, doc);
	if (val_member(now, F_spec) && !(was && val_equal(val_member(now, F_spec), val_member(was, F_spec))))
		pod_spec(q, val_member(now, F_spec), &at);
	if (!was || !val_same(val_get(now, F_metadata, F_annotations), val_get(was, F_metadata, F_annotations)))
		annotations(q, val_member(now, F_metadata), val_member(now, F_spec), parent);
}
