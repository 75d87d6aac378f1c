/* What is to be attached to a node: the volumes of drivers behind the claims of its pods, but those whose driver says
 * that it attaches nothing. A pod counts while it is there and has not ended. */
#include "controllers/attach_detach-internal.h"

#include "base/buf.h"
#include "base/vec.h"
#include "controllers/podutil.h"
#include "net/digest.h"
#include "object/pod_refs.h"
#include "pod/volume_attach.h"
#include "pod/volume_match.h"

bool attach_shared(const struct obj *volume)
{
	const struct val *modes = obj_get(volume, F_spec, F_accessModes);

	VAL_EACH(modes, m)
		if (val_is(m, "ReadWriteMany") || val_is(m, "ReadOnlyMany"))
			return true;
	return val_len(modes) == 0;
}

const char *attach_unique(struct arena *a, const struct obj *volume)
{
	return volume_attach_unique(a, val_str(obj_get(volume, F_spec, F_csi, F_driver)),
				    val_str(obj_get(volume, F_spec, F_csi, F_volumeHandle)));
}

const char *attach_name(struct arena *a, const struct attach_want *w, struct sv node)
{
	return volume_attach_name(a, w->driver, w->handle, node, sha256_hex);
}

static void wanted_unsure(struct arena *a, const struct obj *pod, struct sv claim, struct attach_unsure **list)
{
	struct attach_unsure *u = ARENA_NEW(a, struct attach_unsure);

	u->ns = obj_ns(pod);
	u->claim = arena_sv(a, claim);
	u->next = *list;
	*list = u;
}

/* NULL: none of a driver's, or it cannot be said yet and is in *unsure. */
static struct obj *wanted_volume(struct attach_detach *c, struct arena *a, const struct obj *pod, const struct val *v,
				 struct attach_unsure **unsure)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv claim_name = pod_volume_claim(&b, obj_root(pod), v), name;
	struct obj *claim, *volume;

	if (!claim_name.n)
		return NULL;
	claim = informer_lookup(c->claims, obj_ns(pod), claim_name);
	if (!claim) {
		wanted_unsure(a, pod, claim_name, unsure);
		return NULL;
	}
	obj_link(a, claim);
	if (val_member(v, F_ephemeral) && claim_made_for_pod(claim, obj_root(pod), NULL) < 0)
		return NULL;
	name = val_str(obj_get(claim, F_spec, F_volumeName));
	volume = name.n ? informer_lookup(c->volumes, SV(""), name) : NULL;
	if (!volume) {
		wanted_unsure(a, pod, claim_name, unsure);
		return NULL;
	}
	obj_link(a, volume);
	return obj_get(volume, F_spec, F_csi) && volume_is_for(volume, claim) ? volume : NULL;
}

static bool wanted_attaches(struct attach_detach *c, struct sv driver)
{
	_cleanup_obj_ struct obj *o = informer_lookup(c->drivers, SV(""), driver);
	const struct val *required = o ? obj_get(o, F_spec, F_attachRequired) : NULL;

	return !required || val_bool(required);
}

struct attach_want *attach_wanted(struct attach_detach *c, struct arena *a, struct sv node, size_t *ret_n,
				  struct attach_unsure **ret_unsure)
{
	VEC(struct attach_want) list = VEC_INIT;
	struct strmap seen = STRMAP_INIT; /* unique name -> index + 1 */
	struct attach_want *out;
	size_t n;
	struct obj **pods = informer_by_index(c->pods, a, ATTACH_PODS_BY_NODE, node, &n);

	*ret_unsure = NULL;
	for (size_t i = 0; i < n; i++) {
		if (pod_is_terminal(pods[i]))
			continue;
		VAL_EACH(obj_get(pods[i], F_spec, F_volumes), v) {
			struct obj *volume = wanted_volume(c, a, pods[i], v, ret_unsure);
			struct attach_want w = { .volume = volume };
			struct attach_want *has;
			void **slot;

			if (!volume)
				continue;
			w.driver = val_str(obj_get(volume, F_spec, F_csi, F_driver));
			w.handle = val_str(obj_get(volume, F_spec, F_csi, F_volumeHandle));
			if (!wanted_attaches(c, w.driver))
				continue;
			w.unique = attach_unique(a, volume);
			slot = strmap_slot(&seen, sv_from(w.unique));
			if (!*slot) {
				w.name = attach_name(a, &w, node);
				w.pods = ARENA_ARRAY(a, struct obj *, n);
				vec_push(&list, w);
				*slot = (void *)(uintptr_t)list.n;
			}
			has = &list.p[(uintptr_t)*slot - 1];
			if (!has->n_pods || has->pods[has->n_pods - 1] != pods[i])
				has->pods[has->n_pods++] = pods[i];
		}
	}
	strmap_release(&seen);
	out = ARENA_ARRAY(a, struct attach_want, list.n);
	if (list.n)
		memcpy(out, list.p, list.n * sizeof(*out));
	*ret_n = list.n;
	vec_release(&list);
	return out;
}
