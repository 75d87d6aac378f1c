/* What making, growing and taking away share. */
#include "kubelet/local_path-internal.h"
#include "object/annotation.h"

#include <stdarg.h>

void local_path_claim_event(struct local_path *l, const struct obj *claim, const char *type, const char *reason,
			    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	recorder_event_v(l->recorder, RES(core_persistentvolumeclaims), obj_root(claim), type, reason, fmt, ap);
	va_end(ap);
}

/* The path is exactly what provisioning makes. */
const char *local_path_name(struct local_path *l, struct arena *a, const struct obj *volume)
{
	struct sv path = val_str(obj_get(volume, F_spec, F_hostPath, F_path)), dir = sv_from(l->dir), base;

	if (!sv_is(local_path_node(obj_root(volume)), l->node) || !sv_starts(path, dir) || path.n <= dir.n ||
	    path.p[dir.n] != '/')
		return NULL;
	base = sv_sub(path, dir.n + 1, path.n);
	return sv_starts(base, obj_name(volume)) && sv_starts(base, SV("pvc-")) && local_name_ok(base)
		   ? arena_cstr(a, base)
		   : NULL;
}
