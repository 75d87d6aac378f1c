/* field_refs.c - what a variable or a file may show of its pod: fields and resources. */
#include "apiserver/registry/validate/kinds-internal.h"

static bool ref_subscript(struct sv path, const char *field, struct sv *ret_key)
{
	struct sv head = sv_from(field);

	if (!sv_starts(path, head) || !sv_starts(sv_sub(path, head.n, path.n), SV("['")) || !sv_ends(path, SV("']")) ||
	    path.n < head.n + 4)
		return false;
	*ret_key = sv_sub(path, head.n + 2, path.n - head.n - 4);
	return true;
}

void validate_field_ref(struct field_errs *fe, const struct val *ref, const struct fpath *at, bool in_volume)
{
	static const char *const both[] = { "metadata.name", "metadata.namespace", "metadata.uid" };
	static const char *const env[] = { "spec.nodeName", "spec.serviceAccountName",
					   "status.hostIP", "status.hostIPs",
					   "status.podIP",  "status.podIPs" };
	static const char *const volume[] = { "metadata.labels", "metadata.annotations" };
	struct fpath path_at = FPATH(at, F_fieldPath);
	struct sv path = val_get_str(ref, F_fieldPath), key;
	bool known = false;

	if (path.n == 0)
		return; /* required by the schema */
	if (ref_subscript(path, "metadata.labels", &key) || ref_subscript(path, "metadata.annotations", &key)) {
		/* Labels as they are, annotations whatever their case. */
		fe_check(fe, at, sv_starts(path, SV("metadata.annotations")) ? lower_case(fe->a, key) : key,
			 fmt_qualified_name);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		known |= sv_is(path, both[i]);
	for (size_t i = 0; !in_volume && i < ARRAY_LEN(env); i++)
		known |= sv_is(path, env[i]);
	for (size_t i = 0; in_volume && i < ARRAY_LEN(volume); i++)
		known |= sv_is(path, volume[i]);
	if (!known)
		fe_add(fe, FE_INVALID, &path_at, val_member(ref, F_fieldPath),
		       "error converting fieldPath: field label not supported: %.*s", SV_ARG(path));
}

/* What a resource is shown in: a unit, no other number. */
static void ref_divisor(struct field_errs *fe, const struct val *ref, const struct fpath *up)
{
	static const char *const cpu[] = { "1m", "1", NULL };
	static const char *const bytes[] = { "1",   "1k",  "1M",  "1G",	 "1T",	"1P",  "1E",
					     "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL };
	const struct val *v = val_member(ref, F_divisor);
	bool is_cpu = sv_ends(val_get_str(ref, F_resource), SV(".cpu"));
	struct fpath at = FPATH(up, F_divisor);

	if (!v || val_is(v, "0"))
		return;
	for (const char *const *unit = is_cpu ? cpu : bytes; *unit; unit++)
		if (val_is(v, *unit))
			return;
	fe_invalid(
	    fe, &at, v,
	    is_cpu ? "only divisor's values 1m and 1 are supported with the cpu resource"
		   : "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with "
		     "this resource");
}

void validate_resource_ref(struct field_errs *fe, const struct val *ref, const struct fpath *at, bool in_volume)
{
	static const char *const known[] = { "limits.cpu",
					     "limits.ephemeral-storage",
					     "limits.memory",
					     "requests.cpu",
					     "requests.ephemeral-storage",
					     "requests.memory",
					     NULL };
	struct fpath res_at = FPATH(at, F_resource);
	struct sv res = val_get_str(ref, F_resource);

	if (in_volume && !val_get_str(ref, F_containerName).n)
		check_required(fe, ref, at, F_containerName);
	else if (res.n == 0)
		fe_required(fe, &res_at);
	else if (!sv_starts(res, SV("limits.hugepages-")) && !sv_starts(res, SV("requests.hugepages-")))
		check_one_of(fe, val_member(ref, F_resource), &res_at, known);
	ref_divisor(fe, ref, at);
}
