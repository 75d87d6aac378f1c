/* The checks of baseline: what is known to lead out of a container. */
#include "apiserver/admission/pod_security.h"
#include "base/go_quote.h"

#define APPARMOR "container.apparmor.security.beta.kubernetes.io/"
#define SECCOMP_POD "seccomp.security.alpha.kubernetes.io/pod"
#define SECCOMP_CONTAINER "container.seccomp.security.alpha.kubernetes.io/"

/* `KEY="VALUE"`. */
static struct sv annotation_text(const struct ps_pod *p, struct sv key, struct sv value)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_addsv(&b, key);
	buf_addc(&b, '=');
	go_quote(&b, value);
	return arena_sv(p->arena, buf_sv(&b));
}

static bool apparmor_fine(const struct ps_pod *p, const struct val *context, struct ps_names *values)
{
	const struct val *profile = val_get(context, F_appArmorProfile);
	struct sv type = val_get_str(profile, F_type);

	if (!profile || sv_is(type, "RuntimeDefault") || sv_is(type, "Localhost"))
		return true;
	ps_add(p, values, type);
	return false;
}

static const char *ps_base_apparmor(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names containers = { 0 }, values = { 0 }, notes = { 0 };
	bool pod = !apparmor_fine(p, val_get(p->spec, F_securityContext), &values);

	PS_EACH_CONTAINER(p, c)
	if (!apparmor_fine(p, val_get(c, F_securityContext), &values))
		ps_add(p, &containers, val_get_str(c, F_name));
	VAL_EACH_MEMBER(val_get(p->meta, F_annotations), m) {
		struct sv v = val_str(m.value);

		if (sv_starts(m.key, SV(APPARMOR)) && v.n && !sv_is(v, "runtime/default") &&
		    !sv_starts(v, SV("localhost/")))
			ps_add(p, &notes, annotation_text(p, m.key, v));
	}
	ps_sort(&values);
	ps_sort(&notes);
	if (!ps_setters(detail, pod, &containers) && !notes.n)
		return NULL;
	if (notes.n)
		buf_printf(detail, "%sannotation%s", detail->n ? " and " : "", notes.n == 1 ? "" : "s");
	for (size_t i = 0; i < notes.n; i++)
		ps_add(p, &values, notes.p[i]);
	buf_adds(detail, " must not set AppArmor profile type to ");
	ps_quoted(detail, &values);
	return values.n == 1 ? "forbidden AppArmor profile" : "forbidden AppArmor profiles";
}

static const char *ps_base_capabilities(const struct ps_pod *p, struct buf *detail)
{
	static const char *const usual[] = { "AUDIT_WRITE", "CHOWN",  "DAC_OVERRIDE",	  "FOWNER",  "FSETID",
					     "KILL",	    "MKNOD",  "NET_BIND_SERVICE", "SETFCAP", "SETGID",
					     "SETPCAP",	    "SETUID", "SYS_CHROOT",	  NULL };
	struct ps_names containers = { 0 }, added = { 0 };

	PS_EACH_CONTAINER(p, c)
	{
		size_t before = added.n;

		VAL_EACH(val_get(c, F_securityContext, F_capabilities, F_add), cap)
			if (!ps_one_of(val_str(cap), usual))
				ps_add(p, &added, val_str(cap));
		if (added.n > before)
			ps_add(p, &containers, val_get_str(c, F_name));
	}
	if (!containers.n)
		return NULL;
	ps_sort(&added);
	ps_nouns(detail, "container", &containers);
	buf_adds(detail, " must not include ");
	ps_quoted(detail, &added);
	buf_adds(detail, " in securityContext.capabilities.add");
	return "non-default capabilities";
}

static const char *ps_base_host_namespaces(const struct ps_pod *p, struct buf *detail)
{
	static const struct {
		enum sym field;
		const char *text;
	} all[] = { { F_hostNetwork, "hostNetwork=true" },
		    { F_hostPID, "hostPID=true" },
		    { F_hostIPC, "hostIPC=true" } };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (val_bool(val_member(p->spec, all[i].field)))
			buf_printf(detail, "%s%s", detail->n ? ", " : "", all[i].text);
	return detail->n ? "host namespaces" : NULL;
}

static const char *ps_base_host_paths(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names volumes = { 0 };

	VAL_EACH(val_get(p->spec, F_volumes), v)
		if (val_type(val_get(v, F_hostPath)) == VAL_MAP)
			ps_add(p, &volumes, val_get_str(v, F_name));
	if (!volumes.n)
		return NULL;
	ps_nouns(detail, "volume", &volumes);
	return "hostPath volumes";
}

static const char *ps_base_host_ports(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names containers = { 0 }, ports = { 0 };

	PS_EACH_CONTAINER(p, c)
	{
		size_t before = ports.n;

		VAL_EACH(val_get(c, F_ports), port)
			if (val_get_int(port, 0, F_hostPort))
				ps_add(p, &ports, arena_svf(p->arena, "%" PRId64, val_get_int(port, 0, F_hostPort)));
		if (ports.n > before)
			ps_add(p, &containers, val_get_str(c, F_name));
	}
	if (!containers.n)
		return NULL;
	ps_sort(&ports);
	ps_nouns(detail, "container", &containers);
	buf_printf(detail, " %s %s", containers.n == 1 ? "uses" : "use", ports.n == 1 ? "hostPort" : "hostPorts");
	for (size_t i = 0; i < ports.n; i++)
		buf_printf(detail, "%s%.*s", i ? ", " : " ", SV_ARG(ports.p[i]));
	return "hostPort";
}

static const char *ps_base_probe_hosts(const struct ps_pod *p, struct buf *detail)
{
	static const enum sym probes[][2] = { { F_livenessProbe, SYM_NONE },
					      { F_readinessProbe, SYM_NONE },
					      { F_startupProbe, SYM_NONE },
					      { F_lifecycle, F_postStart },
					      { F_lifecycle, F_preStop } };
	struct ps_names containers = { 0 }, hosts = { 0 };

	PS_EACH_CONTAINER(p, c)
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		const struct val *handler = val_member(c, probes[i][0]);
		struct sv host;

		if (probes[i][1])
			handler = val_member(handler, probes[i][1]);
		for (int k = 0; k < 2; k++) {
			host = val_str(val_member(val_member(handler, k ? F_tcpSocket : F_httpGet), F_host));
			if (!host.n)
				continue;
			ps_add(p, &hosts, host);
			ps_add(p, &containers, val_get_str(c, F_name));
		}
	}
	if (!containers.n)
		return NULL;
	ps_sort(&containers);
	ps_sort(&hosts);
	ps_nouns(detail, "container", &containers);
	buf_printf(detail, " %s probe or lifecycle host%s ", containers.n == 1 ? "uses" : "use",
		   hosts.n == 1 ? "" : "s");
	ps_quoted(detail, &hosts);
	return "probe or lifecycle host";
}

static const char *ps_base_privileged(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names containers = { 0 };

	PS_EACH_CONTAINER(p, c)
	if (val_get_bool(c, F_securityContext, F_privileged))
		ps_add(p, &containers, val_get_str(c, F_name));
	if (!containers.n)
		return NULL;
	ps_nouns(detail, "container", &containers);
	buf_adds(detail, " must not set securityContext.privileged=true");
	return "privileged";
}

const char *ps_proc_mount(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names containers = { 0 }, types = { 0 };

	if (p->own_users && p->level == PS_BASELINE)
		return NULL;
	PS_EACH_CONTAINER(p, c)
	{
		const struct val *type = val_get(c, F_securityContext, F_procMount);

		if (!type || val_type(type) == VAL_NULL || val_is(type, "Default"))
			continue;
		ps_add(p, &types, val_str(type));
		ps_add(p, &containers, val_get_str(c, F_name));
	}
	if (!containers.n)
		return NULL;
	ps_sort(&types);
	ps_nouns(detail, "container", &containers);
	buf_adds(detail, " must not set securityContext.procMount to ");
	ps_quoted(detail, &types);
	return "procMount";
}

struct selinux_seen {
	struct ps_names types;
	bool user, role;
};

static bool selinux_fine(const struct ps_pod *p, const struct val *context, struct selinux_seen *seen)
{
	static const char *const types[] = { "", "container_t", "container_init_t", "container_kvm_t", NULL };
	const struct val *o = val_get(context, F_seLinuxOptions);
	struct sv type = val_get_str(o, F_type);
	bool user = val_get_str(o, F_user).n, role = val_get_str(o, F_role).n;
	bool fine = ps_one_of(type, types) || (p->minor >= 31 && sv_is(type, "container_engine_t"));

	if (!fine)
		ps_add(p, &seen->types, type);
	seen->user = seen->user || user;
	seen->role = seen->role || role;
	return fine && !user && !role;
}

static const char *ps_base_selinux(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names containers = { 0 };
	struct selinux_seen seen = { .user = false };
	bool pod = !selinux_fine(p, val_get(p->spec, F_securityContext), &seen);
	const char *sep = "";

	PS_EACH_CONTAINER(p, c)
	if (!selinux_fine(p, val_get(c, F_securityContext), &seen))
		ps_add(p, &containers, val_get_str(c, F_name));
	if (!ps_setters(detail, pod, &containers))
		return NULL;
	buf_adds(detail, " set forbidden securityContext.seLinuxOptions: ");
	if (seen.types.n) {
		ps_sort(&seen.types);
		ps_nouns(detail, "type", &seen.types);
		sep = "; ";
	}
	if (seen.user) {
		buf_printf(detail, "%suser may not be set", sep);
		sep = "; ";
	}
	if (seen.role)
		buf_printf(detail, "%srole may not be set", sep);
	return "seLinuxOptions";
}

/* Until v1.18 annotations said it. */
static bool seccomp_note_bad(const struct ps_pod *p, struct sv key, struct ps_names *notes)
{
	const struct val *v = val_member_sv(val_get(p->meta, F_annotations), key);
	struct sv s = val_str(v);

	if (!v || sv_is(s, "runtime/default") || sv_is(s, "docker/default") || sv_starts(s, SV("localhost/")))
		return false;
	ps_add(p, notes, annotation_text(p, key, s));
	return true;
}

static const char *ps_base_seccomp_notes(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names notes = { 0 }, names = { 0 };

	(void)seccomp_note_bad(p, SV(SECCOMP_POD), &notes);
	/* By the annotations: each container would look through all of them. */
	PS_EACH_CONTAINER(p, c)
	ps_add(p, &names, val_get_str(c, F_name));
	ps_sort(&names);
	VAL_EACH_MEMBER(val_get(p->meta, F_annotations), m) {
		struct sv s = val_str(m.value), of;

		if (!sv_starts(m.key, SV(SECCOMP_CONTAINER)) || sv_is(s, "runtime/default") ||
		    sv_is(s, "docker/default") || sv_starts(s, SV("localhost/")))
			continue;
		of = sv_sub(m.key, sizeof(SECCOMP_CONTAINER) - 1, m.key.n);
		if (names.n && bsearch(&of, names.p, names.n, sizeof(of), sv_order))
			ps_add(p, &notes, annotation_text(p, m.key, s));
	}
	if (!notes.n)
		return NULL;
	ps_sort(&notes);
	buf_printf(detail, "forbidden annotation%s ", notes.n == 1 ? "" : "s");
	for (size_t i = 0; i < notes.n; i++)
		buf_printf(detail, "%s%.*s", i ? ", " : "", SV_ARG(notes.p[i]));
	return "seccompProfile";
}

bool ps_seccomp_fine(const struct val *profile)
{
	return val_is(val_get(profile, F_type), "RuntimeDefault") || val_is(val_get(profile, F_type), "Localhost");
}

const char *ps_seccomp_baseline(const struct ps_pod *p, struct buf *detail)
{
	const struct val *own = val_get(p->spec, F_securityContext, F_seccompProfile);
	struct ps_names containers = { 0 }, types = { 0 };
	bool pod = own && !ps_seccomp_fine(own);

	if (pod)
		ps_add(p, &types, val_get_str(own, F_type));
	PS_EACH_CONTAINER(p, c)
	{
		const struct val *profile = val_get(c, F_securityContext, F_seccompProfile);

		if (!profile || ps_seccomp_fine(profile))
			continue;
		ps_add(p, &types, val_get_str(profile, F_type));
		ps_add(p, &containers, val_get_str(c, F_name));
	}
	if (!ps_setters(detail, pod, &containers))
		return NULL;
	ps_sort(&types);
	buf_adds(detail, " must not set securityContext.seccompProfile.type to ");
	ps_quoted(detail, &types);
	return "seccompProfile";
}

static const char *ps_base_sysctls(const struct ps_pod *p, struct buf *detail)
{
	static const struct {
		int since;
		const char *name;
	} safe[] = {
		{ 0, "kernel.shm_rmid_forced" },
		{ 0, "net.ipv4.ip_local_port_range" },
		{ 0, "net.ipv4.ip_unprivileged_port_start" },
		{ 0, "net.ipv4.ping_group_range" },
		{ 0, "net.ipv4.tcp_syncookies" },
		{ 27, "net.ipv4.ip_local_reserved_ports" },
		{ 29, "net.ipv4.tcp_fin_timeout" },
		{ 29, "net.ipv4.tcp_keepalive_intvl" },
		{ 29, "net.ipv4.tcp_keepalive_probes" },
		{ 29, "net.ipv4.tcp_keepalive_time" },
		{ 32, "net.ipv4.tcp_rmem" },
		{ 32, "net.ipv4.tcp_wmem" },
		{ 37, "net.ipv4.tcp_notsent_lowat" },
		{ 37, "net.ipv4.tcp_slow_start_after_idle" },
	};

	VAL_EACH(val_get(p->spec, F_securityContext, F_sysctls), s) {
		struct sv name = val_get_str(s, F_name);
		bool fine = false;

		for (size_t i = 0; !fine && i < ARRAY_LEN(safe); i++)
			fine = p->minor >= safe[i].since && sv_is(name, safe[i].name);
		if (!fine)
			buf_printf(detail, "%s%.*s", detail->n ? ", " : "", SV_ARG(name));
	}
	return detail->n ? "forbidden sysctls" : NULL;
}

static const char *ps_base_host_process(const struct ps_pod *p, struct buf *detail)
{
	bool pod = val_get_bool(p->spec, F_securityContext, F_windowsOptions, F_hostProcess);
	struct ps_names containers = { 0 };

	PS_EACH_CONTAINER(p, c)
	if (val_get_bool(c, F_securityContext, F_windowsOptions, F_hostProcess))
		ps_add(p, &containers, val_get_str(c, F_name));
	if (!ps_setters(detail, pod, &containers))
		return NULL;
	buf_adds(detail, " must not set securityContext.windowsOptions.hostProcess=true");
	return "hostProcess";
}

const struct ps_check ps_baseline[] = {
	{ "appArmorProfile", 0, 0, -1, ps_base_apparmor },
	{ "capabilities_baseline", 0, 0, 22, ps_base_capabilities },
	{ "hostNamespaces", 0, 0, -1, ps_base_host_namespaces },
	{ "hostPathVolumes", 0, 0, 0, ps_base_host_paths },
	{ "hostPorts", 0, 0, -1, ps_base_host_ports },
	{ "hostProbesAndHostLifecycle", 34, 0, -1, ps_base_probe_hosts },
	{ "privileged", 0, 0, -1, ps_base_privileged },
	{ "procMount", 0, 0, 35, ps_proc_mount },
	{ "seLinuxOptions", 0, 0, -1, ps_base_selinux },
	{ "seccompProfile_baseline", 0, 18, 19, ps_base_seccomp_notes },
	{ "seccompProfile_baseline", 19, 0, 19, ps_seccomp_baseline },
	{ "sysctls", 0, 0, -1, ps_base_sysctls },
	{ "windowsHostProcess", 0, 0, -1, ps_base_host_process },
	{ NULL, 0, 0, -1, NULL },
};
