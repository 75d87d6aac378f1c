/* Growing, as upstream's resizer and kubelet do it together, with their words:
 *
 *	claim: allocatedResources, ControllerResizeInProgress, condition Resizing
 *	files as large as that ─▶ volume: capacity ─▶ claim: capacity, and nothing of the first line
 *
 * Where the file system cannot follow its device while it is mounted, the claim says FileSystemResizePending. The next
 * mount does it: the node agent makes that one before a pod is given a volume that no other has.
 *
 * Each step looks whether it was done. */
#include "client/client.h"
#include "kubelet/local_path-internal.h"
#include "object/condition.h"
#include "object/quantity.h"

#define STATUS_PERIOD_NS (10 * NS_PER_SEC) /* between looks whether what was pending is done */

enum grow_stage { GROW_BEGUN, GROW_PENDING, GROW_DONE };

static int grow_say(struct local_path *l, struct obj *claim, enum grow_stage stage, struct obj **ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = obj_edit(&a, claim), *st = val_ensure_map(&a, doc, F_status), *stages;
	struct sv want = val_str(obj_get(claim, F_spec, F_resources, F_requests, F_storage));
	int64_t now = env_now_ns(l->env);

	val_set_str(&a, val_ensure_map(&a, st, F_allocatedResources), F_storage, want);
	stages = val_ensure_map(&a, st, F_allocatedResourceStatuses);
	if (stage == GROW_DONE) {
		val_set_str(&a, val_ensure_map(&a, st, F_capacity), F_storage, want);
		val_del(stages, F_storage);
		if (!val_len(stages))
			val_del(st, F_allocatedResourceStatuses);
		condition_remove(st, "Resizing");
		condition_remove(st, "FileSystemResizePending");
	} else if (stage == GROW_PENDING) {
		val_set_cstr(&a, stages, F_storage, "NodeResizePending");
		condition_remove(st, "Resizing");
		condition_set(&a, st,
			      &(struct condition){ .type = "FileSystemResizePending",
						   .status = "True",
						   .reason = "",
						   .message = SV("Waiting for user to (re-)start a pod to finish file "
								 "system resize of volume on node.") },
			      now);
	} else if (!condition_is(val_member(st, F_conditions), "FileSystemResizePending", "True")) {
		val_set_cstr(&a, stages, F_storage, "ControllerResizeInProgress");
		condition_set(&a, st, &(struct condition){ .type = "Resizing", .status = "True", .reason = "" }, now);
	}
	if (val_equal(st, obj_get(claim, F_status))) {
		*ret = obj_ref(claim);
		return 0;
	}
	return client_update_status(l->client, RES(core_persistentvolumeclaims), doc, ret, err);
}

/* The volume is as large as the claim asks for, or larger. */
static int grow_volume(struct local_path *l, struct obj *volume, const struct obj *claim, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc;

	if (volume_capacity_bytes(volume) >= claim_request_bytes(claim))
		return 0;
	doc = obj_edit(&a, volume);
	val_set_str(&a, val_ensure_map(&a, val_ensure_map(&a, doc, F_spec), F_capacity), F_storage,
		    val_str(obj_get(claim, F_spec, F_resources, F_requests, F_storage)));
	return client_update(l->client, RES(core_persistentvolumes), doc, NULL, NULL, err);
}

static int grow_files(struct local_path *l, struct obj *claim, const char *name, struct err *err)
{
	if (local_volume_grow(&l->store, name, claim_request_bytes(claim), err) == 0)
		return 0;
	/* The controller's half is done; what is left comes with the next mount. */
	if (err->reason != ERR_FORBIDDEN)
		local_path_claim_event(l, claim, "Warning", "VolumeResizeFailed",
				       "resize volume \"%.*s\" by resizer \"" LOCAL_PATH_PROVISIONER "\" failed: %s",
				       SV_ARG(val_str(obj_get(claim, F_spec, F_volumeName))), err_msg(err));
	return -1;
}

int local_path_grow(struct local_path *l, struct obj *claim, struct reconcile_result *ret, struct err *err)
{
	struct sv has = val_str(obj_get(claim, F_status, F_capacity, F_storage));
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *volume = NULL, *begun = NULL, *done = NULL;
	const char *name;

	if (!val_is(obj_get(claim, F_status, F_phase), "Bound") || !has.n ||
	    quantity_cmp(val_str(obj_get(claim, F_spec, F_resources, F_requests, F_storage)), has) <= 0)
		return 0;
	volume = informer_lookup(l->volumes, SV(""), val_str(obj_get(claim, F_spec, F_volumeName)));
	name = volume && volume_is_for(volume, claim) ? local_path_name(l, &a, volume) : NULL;
	if (!name)
		return 0;
	if (!condition_find(obj_get(claim, F_status, F_conditions), "Resizing") &&
	    !condition_find(obj_get(claim, F_status, F_conditions), "FileSystemResizePending"))
		local_path_claim_event(l, claim, "Normal", "Resizing", "External resizer is resizing volume %.*s",
				       SV_ARG(obj_name(volume)));
	if (grow_say(l, claim, GROW_BEGUN, &begun, err) < 0)
		return -1;
	if (grow_files(l, begun, name, &why) < 0) {
		if (why.reason != ERR_FORBIDDEN)
			return err_move(err, &why);
		ret->after_ns = STATUS_PERIOD_NS;
		if (!condition_find(obj_get(claim, F_status, F_conditions), "FileSystemResizePending"))
			local_path_claim_event(
			    l, claim, "Normal", "FileSystemResizeRequired",
			    "Require file system resize of volume on node: %s. It grows when no pod uses it, as "
			    "the next one starts: end all pods of the claim, and then start one",
			    err_msg(&why));
		return grow_say(l, begun, GROW_PENDING, &done, err);
	}
	if (grow_volume(l, volume, begun, err) < 0 || grow_say(l, begun, GROW_DONE, &done, err) < 0)
		return -1;
	local_path_claim_event(l, claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded");
	return 0;
}
