/* pod_security.c - what a pod asks of the kernel: profiles, sysctls, user namespaces, and what each OS has not. */
#include "apiserver/registry/validate/kinds-internal.h"

#define SYSCTL_MAX 253

/* seccompProfile and appArmorProfile, of a pod or a container: a file is named for type Localhost, and only then. */
static void profile(struct field_errs *fe, const struct val *sc, const struct fpath *up, enum sym name,
		    const char *what)
{
	const struct val *p = val_member(sc, name), *file = val_member(p, F_localhostProfile);
	struct fpath at = FPATH(up, name), file_at = FPATH(&at, F_localhostProfile), type_at = FPATH(&at, F_type);

	if (!p)
		return;
	if (!val_get_str(p, F_type).n)
		fe_add(fe, FE_REQUIRED, &type_at, NULL, "type is required when %.*s is set", SV_ARG(sym_name(name)));
	if (!val_is(val_member(p, F_type), "Localhost")) {
		if (file)
			fe_add(fe, FE_INVALID, &file_at, file, "can only be set when %s type is Localhost", what);
	} else if (!val_str(file).n) {
		fe_add(fe, FE_REQUIRED, &file_at, NULL, "must be set when %s type is Localhost", what);
	} else if (name == F_seccompProfile) {
		check_rel_path(fe, file, &file_at);
	} else if (sv_trim(val_str(file)).n != val_str(file).n) {
		fe_invalid(fe, &file_at, file, "must not be padded with whitespace");
	}
}

void validate_security_profiles(struct field_errs *fe, const struct val *sc, const struct fpath *at)
{
	profile(fe, sc, at, F_seccompProfile, "seccomp");
	profile(fe, sc, at, F_appArmorProfile, "AppArmor");
}

/* Parts of letters, digits, - and _ with dots or slashes between. */
static bool sysctl_name_ok(struct sv s)
{
	bool edge = true; /* here a letter or digit has to be */

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (alnum)
			edge = false;
		else if (edge)
			return false;
		else if (c == '.' || c == '/')
			edge = s.p[i - 1] != '-' && s.p[i - 1] != '_';
		else if (c != '-' && c != '_')
			return false;
		if ((c == '.' || c == '/') && !edge)
			return false;
	}
	return s.n && s.n <= SYSCTL_MAX && !edge && s.p[s.n - 1] != '-' && s.p[s.n - 1] != '_';
}

void validate_sysctl(struct field_errs *fe, const struct val *spec, const struct val *name, const struct fpath *at)
{
	static const char *const ipc[] = { "kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue." };
	struct sv s = val_str(name);

	if (!sysctl_name_ok(s))
		fe_add(fe, FE_INVALID, at, name,
		       "must have at most %d characters and match regex "
		       "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
		       SYSCTL_MAX);
	if (sv_starts(s, SV("net.")) && val_get_bool(spec, F_hostNetwork))
		fe_invalid(fe, at, name, "may not be specified when 'hostNetwork' is true");
	for (size_t i = 0; i < ARRAY_LEN(ipc); i++)
		if (sv_starts(s, sv_from(ipc[i])) && val_get_bool(spec, F_hostIPC))
			fe_invalid(fe, at, name, "may not be specified when 'hostIPC' is true");
}

/* --- operating systems --- */

static void forbid_members(struct field_errs *fe, const struct val *v, const struct fpath *at, const enum sym *names)
{
	for (; *names; names++) {
		struct fpath here = FPATH(at, *names);

		if (val_member(v, *names))
			fe_forbidden(fe, &here, "cannot be set for a windows pod");
	}
}

static void containers_of_os(struct field_errs *fe, const struct val *spec, const struct fpath *up, bool windows)
{
	static const enum sym lists[] = { F_initContainers, F_containers };
	static const enum sym never[] = { F_seLinuxOptions,
					  F_seccompProfile,
					  F_appArmorProfile,
					  F_capabilities,
					  F_readOnlyRootFilesystem,
					  F_privileged,
					  F_allowPrivilegeEscalation,
					  F_procMount,
					  F_runAsUser,
					  F_runAsGroup,
					  SYM_NONE };

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct fpath list_at = FPATH(up, lists[k]);
		size_t i = 0;

		VAL_EACH(val_member(spec, lists[k]), c) {
			struct fpath item = FPATH_AT(&list_at, i++), sc_at = FPATH(&item, F_securityContext),
				     win_at = FPATH(&sc_at, F_windowsOptions);
			const struct val *sc = val_member(c, F_securityContext);

			if (windows)
				forbid_members(fe, sc, &sc_at, never);
			else if (val_member(sc, F_windowsOptions))
				fe_forbidden(fe, &win_at, "windows options cannot be set for a linux pod");
		}
	}
}

static void os_rules(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	static const enum sym never_spec[] = { F_hostUsers, F_hostPID, F_hostIPC, F_shareProcessNamespace, SYM_NONE };
	static const enum sym never[] = { F_seLinuxOptions,	 F_seccompProfile,
					  F_appArmorProfile,	 F_fsGroup,
					  F_fsGroupChangePolicy, F_sysctls,
					  F_runAsUser,		 F_runAsGroup,
					  F_supplementalGroups,	 F_supplementalGroupsPolicy,
					  F_seLinuxChangePolicy, SYM_NONE };
	const struct val *os = val_get(spec, F_os, F_name), *sc = val_member(spec, F_securityContext);
	struct fpath os_at = FPATH(at, F_os), name_at = FPATH(&os_at, F_name), sc_at = FPATH(at, F_securityContext),
		     win_at = FPATH(&sc_at, F_windowsOptions);

	if (!val_str(os).n) {
		fe_required_why(fe, &name_at, "cannot be empty");
		return;
	}
	CHECK_ONE_OF(fe, os, &os_at, "linux", "windows");
	if (val_is(os, "windows")) {
		forbid_members(fe, spec, at, never_spec);
		forbid_members(fe, sc, &sc_at, never);
	} else if (val_member(sc, F_windowsOptions)) {
		fe_forbidden(fe, &win_at, "windows options cannot be set for a linux pod");
	}
	containers_of_os(fe, spec, at, val_is(os, "windows"));
}

/* --- processes of the host, on Windows --- */

static const struct val *host_process(const struct val *sc)
{
	return val_get(sc, F_windowsOptions, F_hostProcess);
}

static void host_process_containers(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	static const enum sym lists[] = { F_initContainers, F_containers, F_ephemeralContainers };
	const struct val *of_pod = host_process(val_member(spec, F_securityContext));
	size_t n = 0, on_host = 0;

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct fpath list_at = FPATH(at, lists[k]);
		size_t i = 0;

		VAL_EACH(val_member(spec, lists[k]), c) {
			const struct val *own = host_process(val_member(c, F_securityContext));
			struct fpath item = FPATH_AT(&list_at, i++), sc_at = FPATH(&item, F_securityContext),
				     win_at = FPATH(&sc_at, F_windowsOptions), here = FPATH(&win_at, F_hostProcess);

			n++;
			on_host += val_bool(own ? own : of_pod);
			if (of_pod && own && val_bool(own) != val_bool(of_pod))
				fe_add(fe, FE_INVALID, &here, own,
				       "pod hostProcess value must be identical if both are specified, was %s",
				       val_bool(of_pod) ? "true" : "false");
		}
	}
	if (!on_host)
		return;
	if (on_host < n)
		fe_add(fe, FE_INVALID, at, val_new_str(fe->a, SV("")),
		       "If pod contains any hostProcess containers then all containers must be HostProcess containers");
	if (!val_get_bool(spec, F_hostNetwork)) {
		struct fpath net_at = FPATH(at, F_hostNetwork);

		fe_add(fe, FE_INVALID, &net_at, val_new_bool(fe->a, false),
		       "hostNetwork must be true if pod contains any hostProcess containers");
	}
}

/* --- the pod --- */

void validate_pod_security(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	static const enum sym host[] = { F_hostPID, F_hostIPC, F_hostNetwork };
	const struct val *sc = val_member(spec, F_securityContext), *users = val_member(spec, F_hostUsers);
	struct fpath sc_at = FPATH(at, F_securityContext), se_at = FPATH(&sc_at, F_seLinuxChangePolicy);

	validate_security_profiles(fe, sc, &sc_at);
	CHECK_ONE_OF(fe, val_member(sc, F_seLinuxChangePolicy), &se_at, "MountOption", "Recursive");
	/* A user namespace of its own goes with no other namespace of the host. */
	for (size_t i = 0; users && !val_bool(users) && i < ARRAY_LEN(host); i++) {
		struct fpath here = FPATH(at, host[i]);

		if (val_get_bool(spec, host[i]))
			fe_forbidden(fe, &here, "when `hostUsers` is false");
	}
	host_process_containers(fe, spec, at);
	if (val_member(spec, F_os))
		os_rules(fe, spec, at);
}
