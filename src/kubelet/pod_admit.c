#include "kubelet/kubelet-internal.h"

/* Pods this node does not take although they were bound to it. Refused once, when they come: the pod is Failed
 * and its owner makes another. */

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

const char *pod_refused(struct arena *a, const struct val *pod, const char **ret_message)
{
	VAL_EACH(val_get(pod, F_spec, F_securityContext, F_sysctls), s) {
		struct sv name = dotted(a, val_get_str(s, F_name));
		const char *problem = "not allowlisted";

		for (size_t i = 0; i < ARRAY_LEN(safe_sysctls); i++)
			if (sv_is(name, safe_sysctls[i]))
				problem = NULL;
		if (!problem && pod_host_network(pod) && sv_starts(name, SV("net.")))
			problem = "not allowed with host net enabled";
		if (!problem && val_get_bool(pod, F_spec, F_hostIPC) && sv_starts(name, SV("kernel.")))
			problem = "not allowed with host ipc enabled";
		if (!problem)
			continue;
		*ret_message = arena_printf(a, "forbidden sysctl: \"%.*s\" %s", SV_ARG(name), problem);
		return "SysctlForbidden";
	}
	return NULL;
}
