#include "pod/volume_attach.h"

#define PREFIX "kubernetes.io/csi/"

char *volume_attach_unique(struct arena *a, struct sv driver, struct sv handle)
{
	return arena_printf(a, PREFIX "%.*s^%.*s", SV_ARG(driver), SV_ARG(handle));
}

bool volume_attach_split(struct sv unique, struct sv *ret_driver, struct sv *ret_handle)
{
	ssize_t at = sv_find(unique, '^');

	/* No name of a driver has a "^"; a handle may. */
	if (!sv_starts(unique, SV(PREFIX)) || at < (ssize_t)SV(PREFIX).n)
		return false;
	*ret_driver = sv_sub(unique, SV(PREFIX).n, (size_t)at - SV(PREFIX).n);
	*ret_handle = sv_sub(unique, (size_t)at + 1, unique.n);
	return true;
}

char *volume_attach_name(struct arena *a, struct sv driver, struct sv handle, struct sv node,
			 void (*hex)(struct sv s, char ret[65]))
{
	char digest[65];

	hex(arena_svf(a, "%.*s%.*s%.*s", SV_ARG(handle), SV_ARG(driver), SV_ARG(node)), digest);
	return arena_printf(a, "csi-%s", digest);
}

bool volume_attach_listed(const struct val *list, const char *unique)
{
	VAL_EACH(list, v)
		if (val_is(v, unique) || val_is(val_member(v, F_name), unique))
			return true;
	return false;
}
