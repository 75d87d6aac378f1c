/* From a Pod to what the runtime is told: sandbox and container configurations. */
#include "kubelet/pod_start.h"

#include "base/file.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "kubelet/beneath.h"
#include "kubelet/cgroups.h"
#include "kubelet/etchosts.h"
#include "kubelet/hooks.h"
#include "kubelet/image_volumes.h"
#include "kubelet/instance.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_actual.h"
#include "kubelet/pod_dns.h"
#include "kubelet/pod_env.h"
#include "kubelet/pod_isolation.h"
#include "kubelet/pod_paths.h"
#include "kubelet/pod_resize.h"
#include "kubelet/pod_spec.h"
#include "kubelet/runtime_class.h"
#include "kubelet/subpath.h"
#include "kubelet/volumes/claim.h"
#include "kubelet/volumes/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- sandbox --- */

static struct rt_label *pod_start_copy_map(struct arena *a, const struct val *map, size_t extra, size_t *ret_n)
{
	struct rt_label *l = ARENA_ARRAY(a, struct rt_label, val_len(map) + extra);

	*ret_n = 0;
	VAL_EACH_MEMBER(map, m)
		l[(*ret_n)++] = (struct rt_label){ m.key, val_str(m.value) };
	return l;
}

static const struct sv *strings(struct arena *a, const struct val *list, size_t *ret_n)
{
	struct sv *s = ARENA_ARRAY(a, struct sv, val_len(list) + 1);

	*ret_n = 0;
	VAL_EACH(list, v)
		s[(*ret_n)++] = val_str(v);
	return s;
}

static void set_dns(struct kpod *p, struct arena *a, const struct val *pod, struct rt_sandbox_config *c,
		    struct resolv_conf *d)
{
	const struct pod_dns_cluster cluster = {
		.servers = p->k->cluster_dns,
		.domain = p->k->cluster_domain,
		.host_file = p->k->files ? resolv_conf_host_file(a, p->k->resolv_conf, NULL) : NULL,
	};

	pod_dns_form(a, pod, sv_from(p->ns), &cluster, d);
	c->dns_servers = d->servers;
	c->n_dns_servers = d->n_servers;
	c->dns_searches = d->searches;
	c->n_dns_searches = d->n_searches;
	c->dns_options = d->options;
	c->n_dns_options = d->n_options;
}

static struct sv words(struct arena *a, const struct sv *list, size_t n)
{
	struct sv all = SV("");

	for (size_t i = 0; i < n; i++)
		all = arena_svf(a, "%.*s%s%.*s", SV_ARG(all), i ? " " : "", SV_ARG(list[i]));
	return all;
}

static void say_dns_cut(struct kpod *p, struct arena *a, const struct resolv_conf *d)
{
	if (d->servers_cut)
		kpod_event(
		    p, NULL, "Warning", "DNSConfigForming",
		    "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver "
		    "line is: %.*s",
		    SV_ARG(words(a, d->servers, d->n_servers)));
	if (d->searches_cut)
		kpod_event(p, NULL, "Warning", "DNSConfigForming",
			   "Search Line limits were exceeded, some search paths have been omitted, the applied search "
			   "line is: %.*s",
			   SV_ARG(words(a, d->searches, d->n_searches)));
}

static struct sv seccomp_profile(struct kpod *p, struct arena *a, const struct val *profile)
{
	struct sv type = val_get_str(profile, F_type);

	if (sv_is(type, "RuntimeDefault") || sv_is(type, "Unconfined"))
		return type;
	if (sv_is(type, "Localhost"))
		return arena_svf(a, "localhost/%s/seccomp/%.*s", p->k->root_dir,
				 SV_ARG(val_get_str(profile, F_localhostProfile)));
	return SV("");
}

static struct rt_selinux selinux_options(const struct val *o)
{
	return (struct rt_selinux){ val_get_str(o, F_user), val_get_str(o, F_role), val_get_str(o, F_type),
				    val_get_str(o, F_level) };
}

static bool any_privileged(const struct val *pod)
{
	VAL_EACH(val_get(pod, F_spec, F_containers), c)
		if (val_get_bool(c, F_securityContext, F_privileged))
			return true;
	VAL_EACH(val_get(pod, F_spec, F_initContainers), c)
		if (val_get_bool(c, F_securityContext, F_privileged))
			return true;
	return false;
}

/* For the network plugins of somebody else's runtime; with ours host ports are the proxy's. */
static void set_ports(struct arena *a, const struct val *pod, struct rt_sandbox_config *c)
{
	static const enum sym lists[] = { F_containers, F_initContainers };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_get(pod, F_spec, lists[i]), ct)
			n += val_len(val_member(ct, F_ports));
	c->ports = ARENA_ARRAY(a, struct rt_port, n + 1);
	if (pod_host_network(pod))
		return;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_get(pod, F_spec, lists[i]), ct) {
			if (lists[i] == F_initContainers && !val_is(val_member(ct, F_restartPolicy), "Always"))
				continue;
			VAL_EACH(val_member(ct, F_ports), p)
				if (val_get_int(p, 0, F_hostPort) > 0)
					c->ports[c->n_ports++] = (struct rt_port){
						.protocol = val_get_str(p, F_protocol),
						.host_ip = val_get_str(p, F_hostIP),
						.container_port = (int)val_get_int(p, 0, F_containerPort),
						.host_port = (int)val_get_int(p, 0, F_hostPort),
					};
		}
}

static struct sv pod_start_host_name(struct kpod *p, struct arena *a, const struct val *pod)
{
	struct sv own = val_get_str(pod, F_spec, F_hostname), name = own.n ? own : sv_from(p->name);
	struct sv sub = val_get_str(pod, F_spec, F_subdomain), exact = val_get_str(pod, F_spec, F_hostnameOverride);

	if (exact.n && !pod_host_network(pod))
		return exact;
	if (pod_host_network(pod))
		return SV(""); /* the machine's own: setting one needs a UTS namespace, which such a pod has not */
	name = sv_sub(name, 0, 63);
	while (name.n && (name.p[name.n - 1] == '-' || name.p[name.n - 1] == '.'))
		name.n--;
	if (sub.n && val_get_bool(pod, F_spec, F_setHostnameAsFQDN))
		return arena_svf(a, "%.*s.%.*s.%s.svc.%s", SV_ARG(name), SV_ARG(sub), p->ns, p->k->cluster_domain);
	return name;
}

/* c points into dns. */
static void sandbox_config(struct kpod *p, struct arena *a, const struct val *pod, uint32_t attempt,
			   struct rt_sandbox_config *c, struct resolv_conf *dns)
{
	const struct val *spec = val_member(pod, F_spec), *sec = val_member(spec, F_securityContext);
	struct rt_label *l, *sysctls;
	size_t n;

	*c = (struct rt_sandbox_config){
		.name = sv_from(p->name),
		.ns = sv_from(p->ns),
		.uid = sv_from(p->uid),
		.hostname = pod_start_host_name(p, a, pod),
		.log_dir = sv_from(pod_log_dir(p->k, a, pod)),
		.cgroup_parent = sv_from(cgroup_pod_path(a, p->k->cgroup_root, pod_qos(pod), sv_from(p->uid))),
		.attempt = attempt,
		.host_network = pod_host_network(pod),
		.host_pid = val_get_bool(spec, F_hostPID),
		.host_ipc = val_get_bool(spec, F_hostIPC),
		.share_pid = val_get_bool(spec, F_shareProcessNamespace),
		.privileged = any_privileged(pod),
		.run_as_user = val_get_int(sec, -1, F_runAsUser),
		.run_as_group = val_get_int(sec, -1, F_runAsGroup),
		.strict_groups = val_is(val_member(sec, F_supplementalGroupsPolicy), "Strict"),
		.seccomp = SV("RuntimeDefault"),
		.selinux = selinux_options(val_member(sec, F_seLinuxOptions)),
	};
	if (c->run_as_group >= 0 && c->run_as_user < 0)
		c->run_as_group = -1; /* CRI wants a user beside a group */
	l = pod_start_copy_map(a, val_get(pod, F_metadata, F_labels), 3, &n);
	l[n++] = (struct rt_label){ SV("io.kubernetes.pod.name"), c->name };
	l[n++] = (struct rt_label){ SV("io.kubernetes.pod.namespace"), c->ns };
	l[n++] = (struct rt_label){ SV("io.kubernetes.pod.uid"), c->uid };
	c->labels = l;
	c->n_labels = n;
	l = pod_start_copy_map(a, val_get(pod, F_metadata, F_annotations), 2, &n);
	l[n++] = (struct rt_label){ SV("kubernetes.io/config.source"), SV("api") };
	c->annotations = l;
	c->n_annotations = n;
	sysctls = ARENA_ARRAY(a, struct rt_label, val_len(val_member(sec, F_sysctls)) + 1);
	VAL_EACH(val_member(sec, F_sysctls), s)
		sysctls[c->n_sysctls++] = (struct rt_label){ val_get_str(s, F_name), val_get_str(s, F_value) };
	c->sysctls = sysctls;
	pod_room(pod, c);
	set_dns(p, a, pod, c, dns);
	set_ports(a, pod, c);
}

int pod_sandbox_start(struct kpod *p, struct arena *a, const struct val *pod, const struct pod_actual *x,
		      struct err *err)
{
	struct resolv_conf *dns = ARENA_NEW(a, struct resolv_conf);
	struct rt_sandbox_config c;
	struct sv id;

	if (isolation_sandbox(pod, err) < 0 || (p->k->files && pod_dns_ready(a, pod, p->k->resolv_conf, err) < 0))
		return -1;
	sandbox_config(p, a, pod, x->n_sandboxes ? x->sandboxes[0].attempt + 1 : 0, &c, dns);
	if (runtime_class_handler(p->k->classes, a, val_get_str(pod, F_spec, F_runtimeClassName), &c.handler, err) < 0)
		return -1;
	if (c.hostname.n > HOST_NAME_MAX_BYTES)
		return err_set(
		    err, ERR_INVALID,
		    "failed to construct FQDN from Pod hostname and cluster domain, FQDN %.*s is too long (%d "
		    "characters is the max, %zu characters requested)",
		    SV_ARG(c.hostname), HOST_NAME_MAX_BYTES, c.hostname.n);
	if (p->k->rt->ops->run_sandbox(p->k->rt, a, &c, &id, err) < 0)
		return -1;
	say_dns_cut(p, a, dns);
	return 0;
}

/* --- container --- */

static const struct val *pod_start_security(const struct val *pod, const struct val *spec, enum sym field)
{
	const struct val *own = val_get(spec, F_securityContext, field);

	return own ? own : val_get(pod, F_spec, F_securityContext, field);
}

/* runAsNonRoot: refuses root, given or of the image. */
static int check_user(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec,
		      struct rt_container_config *c, struct err *err)
{
	struct rt_image *img = NULL;

	if (!val_bool(pod_start_security(pod, spec, F_runAsNonRoot)))
		return 0;
	if (c->run_as_user == 0)
		return err_set(err, ERR_INVALID,
			       "container's runAsUser breaks non-root policy (pod: \"%s_%s(%s)\", container: %.*s)",
			       p->name, p->ns, p->uid, SV_ARG(c->name));
	if (c->run_as_user > 0)
		return 0;
	if (p->k->rt->ops->image_status(p->k->rt, a, c->image, &img, err) < 0)
		return -1;
	if (img && img->username.n)
		return err_set(
		    err, ERR_INVALID,
		    "container has runAsNonRoot and image has non-numeric user (%.*s), cannot verify user is "
		    "non-root (pod: \"%s_%s(%s)\", container: %.*s)",
		    SV_ARG(img->username), p->name, p->ns, p->uid, SV_ARG(c->name));
	if (!img || img->uid <= 0)
		return err_set(
		    err, ERR_INVALID,
		    "container has runAsNonRoot and image will run as root (pod: \"%s_%s(%s)\", container: %.*s)",
		    p->name, p->ns, p->uid, SV_ARG(c->name));
	return 0;
}

static void set_security(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec,
			 struct rt_container_config *c)
{
	static const struct sv masked[] = { SV("/proc/asound"),
					    SV("/proc/acpi"),
					    SV("/proc/kcore"),
					    SV("/proc/keys"),
					    SV("/proc/latency_stats"),
					    SV("/proc/timer_list"),
					    SV("/proc/timer_stats"),
					    SV("/proc/sched_debug"),
					    SV("/proc/scsi"),
					    SV("/sys/firmware"),
					    SV("/sys/devices/virtual/powercap") };
	static const struct sv readonly[] = { SV("/proc/bus"), SV("/proc/fs"), SV("/proc/irq"), SV("/proc/sys"),
					      SV("/proc/sysrq-trigger") };
	const struct val *own = val_member(spec, F_securityContext), *pod_sec = val_get(pod, F_spec, F_securityContext);
	const struct val *groups = val_member(pod_sec, F_supplementalGroups), *fs = val_member(pod_sec, F_fsGroup);
	const struct val *escalate = val_member(own, F_allowPrivilegeEscalation);
	int64_t *g = ARENA_ARRAY(a, int64_t, val_len(groups) + 1);

	c->privileged = val_get_bool(own, F_privileged);
	c->readonly_rootfs = val_get_bool(own, F_readOnlyRootFilesystem);
	c->no_new_privs = escalate && !val_bool(escalate);
	c->run_as_user = val_int_or(pod_start_security(pod, spec, F_runAsUser), -1);
	c->run_as_group = val_int_or(pod_start_security(pod, spec, F_runAsGroup), -1);
	VAL_EACH(groups, v)
		g[c->n_supplemental_groups++] = val_int_or(v, 0);
	if (fs)
		g[c->n_supplemental_groups++] = val_int_or(fs, 0);
	c->supplemental_groups = g;
	c->strict_groups = val_is(val_member(pod_sec, F_supplementalGroupsPolicy), "Strict");
	c->add_caps = strings(a, val_get(own, F_capabilities, F_add), &c->n_add_caps);
	c->drop_caps = strings(a, val_get(own, F_capabilities, F_drop), &c->n_drop_caps);
	c->seccomp =
	    c->privileged ? SV("Unconfined") : seccomp_profile(p, a, pod_start_security(pod, spec, F_seccompProfile));
	if (!c->seccomp.n)
		c->seccomp = SV("Unconfined"); /* the kubelet's default without --seccomp-default */
	c->apparmor = c->privileged ? SV("") : isolation_apparmor(a, pod, spec);
	c->selinux = selinux_options(pod_start_security(pod, spec, F_seLinuxOptions));
	if (!c->privileged && !val_is(val_member(own, F_procMount), "Unmasked")) {
		c->masked_paths = masked;
		c->n_masked_paths = ARRAY_LEN(masked);
		c->readonly_paths = readonly;
		c->n_readonly_paths = ARRAY_LEN(readonly);
	}
	c->host_network = pod_host_network(pod);
	c->host_pid = val_get_bool(pod, F_spec, F_hostPID);
	c->host_ipc = val_get_bool(pod, F_spec, F_hostIPC);
	c->pid_mode = val_get_bool(pod, F_spec, F_shareProcessNamespace) ? 0 : 1;
}

struct needed_env {
	struct env_list *env;
	struct sv missing;
};

static bool needed_lookup(struct sv name, struct sv *ret, void *ctx)
{
	struct needed_env *n = ctx;

	if (env_var_lookup(name, ret, n->env) && ret->n)
		return true;
	n->missing = name;
	return false;
}

/* A variable without a value would mount another directory than was meant: an error. */
static int expand_sub_path(struct arena *a, struct sv expr, struct env_list *env, struct sv *ret, struct err *err)
{
	struct needed_env n = { .env = env };

	if (env_var_expand(a, expr, &env->expanded, needed_lookup, &n, ret, err) < 0)
		return -1;
	if (n.missing.n)
		return err_set(err, ERR_INVALID, "missing value for %.*s", SV_ARG(n.missing));
	return 0;
}

static int set_mounts(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec,
		      struct env_list *env, int restart_count, bool rro, struct rt_container_config *c, struct err *err)
{
	const struct val *mounts = val_member(spec, F_volumeMounts);
	struct rt_mount *m = ARENA_ARRAY(a, struct rt_mount, val_len(mounts) + 2);
	struct sv term = val_get_str(spec, F_terminationMessagePath);
	bool hosts = false;

	c->mounts = m;
	VAL_EACH(mounts, vm) {
		const struct val *v = pod_volume(pod, val_get_str(vm, F_name));
		struct sv name = val_get_str(vm, F_name), sub = val_get_str(vm, F_subPath);
		const struct val *prop = val_member(vm, F_mountPropagation);
		struct sv sub_expr = val_get_str(vm, F_subPathExpr);
		const char *host;
		bool ro = false;

		hosts |= sv_is(val_get_str(vm, F_mountPath), "/etc/hosts");
		if (sub_expr.n && expand_sub_path(a, sub_expr, env, &sub, err) < 0)
			return -1;
		if (v && volume_is_image(v)) {
			if (image_volume_mount(p, a, v, sub, &m[c->n_mounts], err) < 0)
				return -1;
			m[c->n_mounts++].container_path = val_get_str(vm, F_mountPath);
			continue;
		}
		if (!p->k->files)
			continue;
		if (volume_path(p->k, a, pod, name, &host, &ro, err) < 0)
			return -1;
		if (sub.n &&
		    subpath_bind(p->k, a, sv_from(p->uid), name, c->name, (int)c->n_mounts, host, sub, &host, err) < 0)
			return err_wrap(err, "failed to prepare subPath for volumeMount \"%.*s\" of container \"%.*s\"",
					SV_ARG(name), SV_ARG(c->name));
		m[c->n_mounts++] = (struct rt_mount){
			.container_path = val_get_str(vm, F_mountPath),
			.host_path = sv_from(host),
			.readonly = ro || val_get_bool(vm, F_readOnly),
			.recursive_readonly = rro && isolation_asks_rro(vm),
			.propagation = val_is(prop, "Bidirectional")	 ? 2
				       : val_is(prop, "HostToContainer") ? 1
									 : 0,
		};
	}
	if (!p->k->files)
		return 0;
	if (!hosts) {
		const char *path = arena_printf(a, "%s/etc-hosts", pod_dir(p->k, a, sv_from(p->uid)));

		if (etchosts_write(p, a, pod, path, err) < 0)
			return -1;
		m[c->n_mounts++] = (struct rt_mount){ .container_path = SV("/etc/hosts"), .host_path = sv_from(path) };
	}
	if (term.n) {
		const char *path = termination_log_path(p->k, a, sv_from(p->uid), c->name, restart_count);
		char *dir = arena_strdup(a, path);
		_cleanup_close_ int fd = -1;

		*strrchr(dir, '/') = '\0';
		fd = beneath_dir_make(p->k->root_dir, dir, 0755, err);
		if (fd < 0 || beneath_put(fd, strrchr(path, '/') + 1, SV(""), 0666, -1, err) < 0)
			return -1;
		m[c->n_mounts++] = (struct rt_mount){ .container_path = term, .host_path = sv_from(path) };
	}
	return 0;
}

static struct rt_label *container_labels(struct kpod *p, struct arena *a, struct sv name)
{
	struct rt_label *l = ARENA_ARRAY(a, struct rt_label, 4);

	l[0] = (struct rt_label){ SV("io.kubernetes.container.name"), name };
	l[1] = (struct rt_label){ SV("io.kubernetes.pod.name"), sv_from(p->name) };
	l[2] = (struct rt_label){ SV("io.kubernetes.pod.namespace"), sv_from(p->ns) };
	l[3] = (struct rt_label){ SV("io.kubernetes.pod.uid"), sv_from(p->uid) };
	return l;
}

static void set_annotations(struct arena *a, const struct val *pod, const struct val *spec, int restart_count, bool rro,
			    struct rt_container_config *c)
{
	struct rt_label *l = ARENA_ARRAY(a, struct rt_label, 8);
	const struct val *ports = val_member(spec, F_ports);
	size_t n = 0;

	l[n++] =
	    (struct rt_label){ SV("io.kubernetes.container.hash"), arena_svf(a, "%" PRIx64, container_hash(spec)) };
	l[n++] = (struct rt_label){ SV("io.kubernetes.container.restartCount"), arena_svf(a, "%d", restart_count) };
	l[n++] = (struct rt_label){ SV("io.kubernetes.container.terminationMessagePath"),
				    val_get_str(spec, F_terminationMessagePath) };
	l[n++] = (struct rt_label){ SV("io.kubernetes.container.terminationMessagePolicy"),
				    val_get_str(spec, F_terminationMessagePolicy) };
	l[n++] = (struct rt_label){ SV("io.kubernetes.pod.terminationGracePeriod"),
				    arena_svf(a, "%" PRId64,
					      val_get_int(pod, 30, F_spec, F_terminationGracePeriodSeconds)) };
	if (val_len(ports)) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		json_encode(&b, ports);
		l[n++] = (struct rt_label){ SV("io.kubernetes.container.ports"), arena_sv(a, buf_sv(&b)) };
	}
	if (rro)
		l[n++] = (struct rt_label){ SV(RRO_ANNOTATION), SV("true") };
	c->annotations = l;
	c->n_annotations = n;
}

/* Of an instance that the runtime has no more: what never ran is no restart. */
static int old_restart_count(const struct val *pod, struct sv name)
{
	const struct val *s = pod_container_status(pod, name);

	/* Without an ID the status has counted the loss already. */
	return (int)MIN(val_get_int(s, 0, F_restartCount) + status_tells_run(s, status_container_id(s)), INT_MAX - 1);
}

/* Only where a container asks: the runtime is, about the way in which the pod is run. */
static int can_rro(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec, bool *ret,
		   struct err *err)
{
	struct rt_handler how = { 0 };
	bool asks = false;

	VAL_EACH(val_member(spec, F_volumeMounts), m)
		asks |= isolation_asks_rro(m);
	if (asks && runtime_class_look(p->k->classes, a, val_get_str(pod, F_spec, F_runtimeClassName), &how, err) < 0)
		return -1;
	*ret = how.recursive_read_only;
	return 0;
}

static int pod_start_fill(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec, int count,
			  struct sv ref, struct rt_container_config *c, struct err *err)
{
	struct env_list *env = ARENA_NEW(a, struct env_list);
	struct sv *cmd, *args;
	bool rro = false;

	*c = (struct rt_container_config){
		.name = val_get_str(spec, F_name),
		.image = val_get_str(spec, F_image),
		.image_ref = ref,
		.working_dir = val_get_str(spec, F_workingDir),
		.log_path = arena_svf(a, "%.*s/%d.log", SV_ARG(val_get_str(spec, F_name)), count),
		.attempt = (uint32_t)count,
		.stdin = val_get_bool(spec, F_stdin),
		.stdin_once = val_get_bool(spec, F_stdinOnce),
		.tty = val_get_bool(spec, F_tty),
	};
	if (can_rro(p, a, pod, spec, &rro, err) < 0 || isolation_container(spec, rro, err) < 0 ||
	    pod_env(p, a, pod, spec, env, err) < 0)
		return -1;
	c->envs = env->p;
	c->n_envs = env->n;
	cmd = (struct sv *)strings(a, val_member(spec, F_command), &c->n_command);
	args = (struct sv *)strings(a, val_member(spec, F_args), &c->n_args);
	for (size_t i = 0; i < c->n_command; i++)
		if (env_var_expand(a, cmd[i], &env->expanded, env_var_lookup, env, &cmd[i], err) < 0)
			return -1;
	for (size_t i = 0; i < c->n_args; i++)
		if (env_var_expand(a, args[i], &env->expanded, env_var_lookup, env, &args[i], err) < 0)
			return -1;
	c->command = cmd;
	c->args = args;
	c->labels = container_labels(p, a, c->name);
	c->n_labels = 4;
	set_annotations(a, pod, spec, count, rro, c);
	set_security(p, a, pod, spec, c);
	container_resources(pod, spec, c);
	if (check_user(p, a, pod, spec, c, err) < 0)
		return -1;
	if (claim_devices(p->k, a, pod, spec, c, err) < 0)
		return -1;
	return set_mounts(p, a, pod, spec, env, count, rro, c, err);
}

/* The runtime opens the log by name: nothing that would hang it there may stand in its place. */
static int prepare_log_dir(struct kpod *p, const char *path, struct err *err)
{
	_cleanup_close_ int fd = beneath_dir_make(p->k->log_dir, path, 0755, err);

	if (fd >= 0)
		beneath_clear_log_dir(fd);
	return fd < 0 ? -1 : 0;
}

int pod_container_start(struct kpod *p, struct arena *a, const struct val *pod, const struct val *told,
			const struct val *spec, const struct pod_actual *x, struct sv image_ref, struct err *err)
{
	struct sv name = val_get_str(spec, F_name), id, target;
	const struct rt_container *look_at;
	struct kcont *kc = kpod_cont(p, name);
	const struct rt_container *last = pod_actual_find(x, name, 0);
	const struct val *hook = val_get(spec, F_lifecycle, F_postStart);
	int count = last ? rt_restart_count(last) + 1 : old_restart_count(told, name);
	struct rt_container_config c;
	struct rt_sandbox_config sc;
	int rc;

	if (pod_start_fill(p, a, pod, spec, count, image_ref, &c, err) < 0) {
		kcont_wait(p, kc, "CreateContainerConfigError", "%s", err_msg(err));
		return -1;
	}
	target = val_get_str(spec, F_targetContainerName);
	if (target.n && (look_at = pod_actual_find(x, target, 0)) && look_at->state == RT_RUNNING) {
		c.pid_mode = 3; /* kubectl debug --target: sees that container's processes */
		c.pid_target = look_at->id;
	}
	sandbox_config(p, a, pod, x->sandbox->attempt, &sc, ARENA_NEW(a, struct resolv_conf));
	if (p->k->files && prepare_log_dir(p, arena_printf(a, "%.*s/%.*s", SV_ARG(sc.log_dir), SV_ARG(name)), err) < 0)
		return -1;
	if (p->k->rt->ops->create_container(p->k->rt, a, x->sandbox->id, &c, &sc, &id, err) < 0) {
		kcont_wait(p, kc, "CreateContainerError", "%s", err_msg(err));
		return -1;
	}
	kcont_reset(p, kc, id);
	kpod_event(p, spec, "Normal", "Created", "Container created");
	rc = p->k->rt->ops->start_container(p->k->rt, id, err);
	kc->unanswered = rc < 0 && (err->reason == ERR_UNAVAILABLE || err->reason == ERR_TIMEOUT);
	if (rc < 0) {
		kcont_wait(p, kc, "RunContainerError", "%s", err_msg(err));
		return -1;
	}
	kcont_wait(p, kc, NULL, NULL);
	container_resources_given(pod, spec, kc);
	kpod_event(p, spec, "Normal", "Started", "Container started");
	if (hook)
		hook_start(p, kc, spec, hook, false, NEVER_NS);
	return 0;
}
