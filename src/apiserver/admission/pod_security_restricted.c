/* The checks of restricted: what a hardened pod does without, or says of itself. */
#include "apiserver/admission/pod_security.h"

static const char *ps_restrict_escalation(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names containers = { 0 };

	if (p->windows)
		return NULL;
	PS_EACH_CONTAINER(p, c)
	{
		const struct val *v = val_get(c, F_securityContext, F_allowPrivilegeEscalation);

		if (val_type(v) != VAL_BOOL || v->b)
			ps_add(p, &containers, val_get_str(c, F_name));
	}
	if (!containers.n)
		return NULL;
	ps_nouns(detail, "container", &containers);
	buf_adds(detail, " must set securityContext.allowPrivilegeEscalation=false");
	return "allowPrivilegeEscalation != false";
}

static const char *ps_restrict_capabilities(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names keeping = { 0 }, adding = { 0 }, added = { 0 };

	if (p->windows)
		return NULL;
	PS_EACH_CONTAINER(p, c)
	{
		const struct val *caps = val_get(c, F_securityContext, F_capabilities);
		size_t before = added.n;
		bool dropped = false;

		VAL_EACH(val_get(caps, F_drop), cap)
			dropped = dropped || val_is(cap, "ALL");
		VAL_EACH(val_get(caps, F_add), cap)
			if (!val_is(cap, "NET_BIND_SERVICE"))
				ps_add(p, &added, val_str(cap));
		if (!dropped)
			ps_add(p, &keeping, val_get_str(c, F_name));
		if (added.n > before)
			ps_add(p, &adding, val_get_str(c, F_name));
	}
	if (keeping.n) {
		ps_nouns(detail, "container", &keeping);
		buf_adds(detail, " must set securityContext.capabilities.drop=[\"ALL\"]");
	}
	if (adding.n) {
		ps_sort(&added);
		buf_adds(detail, keeping.n ? "; " : "");
		ps_nouns(detail, "container", &adding);
		buf_adds(detail, " must not include ");
		ps_quoted(detail, &added);
		buf_adds(detail, " in securityContext.capabilities.add");
	}
	return keeping.n || adding.n ? "unrestricted capabilities" : NULL;
}

static const char *ps_restrict_volumes(const struct ps_pod *p, struct buf *detail)
{
	static const char *const fine[] = { "configMap", "csi",	   "downwardAPI",	    "emptyDir",	 "ephemeral",
					    "image",	 "secret", "persistentVolumeClaim", "projected", NULL };
	struct ps_names volumes = { 0 }, types = { 0 };

	VAL_EACH(val_get(p->spec, F_volumes), v) {
		struct sv type = SV("unknown");
		bool ok = false;

		VAL_EACH_MEMBER(v, m) {
			if (val_type(m.value) != VAL_MAP)
				continue;
			ok = ok || ps_one_of(m.key, fine);
			type = m.key;
		}
		if (ok)
			continue;
		ps_add(p, &volumes, val_get_str(v, F_name));
		ps_add(p, &types, type);
	}
	if (!volumes.n)
		return NULL;
	ps_sort(&types);
	ps_nouns(detail, "volume", &volumes);
	buf_printf(detail, " %s restricted volume type%s ", volumes.n == 1 ? "uses" : "use", types.n == 1 ? "" : "s");
	ps_quoted(detail, &types);
	return "restricted volume types";
}

static const char *ps_restrict_non_root(const struct ps_pod *p, struct buf *detail)
{
	static const char reason[] = "runAsNonRoot != true";
	const struct val *own = val_get(p->spec, F_securityContext, F_runAsNonRoot);
	struct ps_names saying = { 0 }, silent = { 0 };
	bool pod = val_type(own) == VAL_BOOL && !own->b;

	if (p->own_users)
		return NULL;
	PS_EACH_CONTAINER(p, c)
	{
		const struct val *v = val_get(c, F_securityContext, F_runAsNonRoot);

		if (val_type(v) == VAL_BOOL && !v->b)
			ps_add(p, &saying, val_get_str(c, F_name));
		else if (val_type(v) != VAL_BOOL && !val_bool(own))
			ps_add(p, &silent, val_get_str(c, F_name));
	}
	if (ps_setters(detail, pod, &saying)) {
		buf_adds(detail, " must not set securityContext.runAsNonRoot=false");
		return reason;
	}
	if (!silent.n)
		return NULL;
	buf_adds(detail, "pod or ");
	ps_nouns(detail, "container", &silent);
	buf_adds(detail, " must set securityContext.runAsNonRoot=true");
	return reason;
}

static bool is_root(const struct val *context)
{
	const struct val *v = val_get(context, F_runAsUser);

	return val_type(v) == VAL_INT && v->i == 0;
}

static const char *ps_restrict_user(const struct ps_pod *p, struct buf *detail)
{
	struct ps_names containers = { 0 };

	if (p->own_users)
		return NULL;
	PS_EACH_CONTAINER(p, c)
	if (is_root(val_get(c, F_securityContext)))
		ps_add(p, &containers, val_get_str(c, F_name));
	if (!ps_setters(detail, is_root(val_get(p->spec, F_securityContext)), &containers))
		return NULL;
	buf_adds(detail, " must not set runAsUser=0");
	return "runAsUser=0";
}

static const char *ps_restrict_seccomp(const struct ps_pod *p, struct buf *detail)
{
	const struct val *own = val_get(p->spec, F_securityContext, F_seccompProfile);
	const char *why = ps_seccomp_baseline(p, detail);
	struct ps_names silent = { 0 };

	if (why || p->windows || ps_seccomp_fine(own))
		return why;
	PS_EACH_CONTAINER(p, c)
	if (!val_get(c, F_securityContext, F_seccompProfile))
		ps_add(p, &silent, val_get_str(c, F_name));
	if (!silent.n)
		return NULL;
	buf_adds(detail, "pod or ");
	ps_nouns(detail, "container", &silent);
	buf_adds(detail, " must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
	return "seccompProfile";
}

const struct ps_check ps_restricted[] = {
	{ "allowPrivilegeEscalation", 8, 0, -1, ps_restrict_escalation },
	{ "capabilities_restricted", 22, 0, -1, ps_restrict_capabilities },
	{ "procMount_restricted", 35, 0, -1, ps_proc_mount },
	{ "restrictedVolumes", 0, 0, -1, ps_restrict_volumes },
	{ "runAsNonRoot", 0, 0, -1, ps_restrict_non_root },
	{ "runAsUser", 23, 0, -1, ps_restrict_user },
	{ "seccompProfile_restricted", 19, 0, -1, ps_restrict_seccomp },
	{ NULL, 0, 0, -1, NULL },
};
