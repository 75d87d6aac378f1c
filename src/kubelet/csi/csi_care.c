/* What is published is asked about once a minute: how full it is, whether it is well; it is published again where its
 * driver wants that, and grown when the claim's volume has. */
#include "kubelet/csi/csi-internal.h"

#include "base/log.h"
#include "object/condition.h"
#include "object/quantity.h"
#include "pod/volume_match.h"

static void care_event(struct csi_run *r, const struct csi_run_use *u, const char *type, const char *reason,
		       const char *text)
{
	if (r->c->o.event)
		r->c->o.event(r->c->o.ctx, u->uid, type, reason, text);
}

/* --- how full, how well --- */

static void care_keep(struct csi_run *r, const struct csi_run_use *of, const struct csi_stats *s, bool *ret_news)
{
	struct csi_use *u;

	pthread_mutex_lock(&r->c->lock);
	u = strmap_get(&r->table->uses, of->uid);
	*ret_news = u && u->abnormal != s->abnormal;
	if (u) {
		u->stats = *s;
		u->stats.message = SV("");
		u->has_stats = true;
		u->abnormal = s->abnormal;
	}
	pthread_mutex_unlock(&r->c->lock);
}

static int care_stats(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	const char *path = csi_publish_path(r->c, r->a, r->v, u->uid, u->spec_name);
	struct buf b = BUF_INIT;
	struct csi_stats s;
	struct sv m;
	bool news;

	csi_put_stats(&b, sv_from(r->v->handle), path, r->staged ? csi_stage_path(r->c, r->a, r->v) : NULL);
	if (csi_call(r->c, r->a, r->v->driver, r->endpoint, CSI_NODE_STATS, &b, CSI_TIMEOUT_NS, &m, err) < 0 ||
	    csi_get_stats(m, &s, err) < 0)
		return err_wrap(err, "NodeGetVolumeStats failed");
	if (!s.condition || !(r->can & CSI_CAN_CONDITION))
		s.abnormal = false;
	care_keep(r, u, &s, &news);
	if (news && s.abnormal)
		care_event(r, u, "Warning", "VolumeConditionAbnormal",
			   arena_printf(r->a, "Volume %s: %.*s", u->volume, SV_ARG(s.message)));
	return 0;
}

/* --- growing --- */

/* The claim as it is now: what the pod was given is from its start. */
static int care_claim(struct csi_run *r, const struct csi_run_use *u, struct obj **ret_claim, struct obj **ret_pv,
		      struct err *err)
{
	if (client_get(r->c->o.client, RES(core_persistentvolumeclaims), obj_ns(u->claim), obj_name(u->claim),
		       ret_claim, err) < 0)
		return -1;
	obj_link(r->a, *ret_claim);
	if (client_get(r->c->o.client, RES(core_persistentvolumes), SV(""), obj_name(u->source), ret_pv, err) < 0)
		return -1;
	obj_link(r->a, *ret_pv);
	return 0;
}

/* Its driver's controller has made it larger, and says that the node has to do the rest. */
static bool care_pending(const struct obj *claim, const struct obj *pv)
{
	int64_t has = 0;
	const struct val *conditions = obj_get(claim, F_status, F_conditions);
	const struct val *how = obj_get(claim, F_status, F_allocatedResourceStatuses, F_storage);

	(void)quantity_value(val_str(obj_get(claim, F_status, F_capacity, F_storage)), &has);
	return volume_capacity_bytes(pv) > has &&
	       (condition_is(conditions, "FileSystemResizePending", "True") || val_is(how, "NodeResizePending") ||
		val_is(how, "NodeResizeInProgress"));
}

static int care_grown(struct csi_run *r, struct obj *claim, struct obj *pv, struct err *err)
{
	struct val *doc = obj_edit(r->a, claim), *status = val_ensure_map(r->a, doc, F_status);

	val_set(r->a, val_ensure_map(r->a, status, F_capacity), F_storage, obj_get(pv, F_spec, F_capacity, F_storage));
	(void)condition_remove(status, "FileSystemResizePending");
	(void)condition_remove(status, "Resizing");
	(void)val_del(status, F_allocatedResourceStatuses);
	return client_update_status(r->c->o.client, RES(core_persistentvolumeclaims), doc, NULL, err);
}

static int care_grow(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	struct obj *claim, *pv;
	struct buf b = BUF_INIT;
	struct csi_mount m;

	if (care_claim(r, u, &claim, &pv, err) < 0)
		return -1;
	if (!care_pending(claim, pv))
		return 0;
	csi_fill(r, u, &m);
	m.target = csi_publish_path(r->c, r->a, r->v, u->uid, u->spec_name);
	m.staging = r->can & CSI_CAN_STAGE ? csi_stage_path(r->c, r->a, r->v) : NULL;
	m.bytes = volume_capacity_bytes(pv);
	if (csi_secrets(r, u, F_nodeExpandSecretRef, &m, err) < 0)
		return -1;
	csi_put_expand(&b, &m);
	if (csi_call(r->c, r->a, r->v->driver, r->endpoint, CSI_NODE_EXPAND, &b, CSI_TIMEOUT_NS, NULL, err) < 0) {
		care_event(r, u, "Warning", "VolumeResizeFailed",
			   arena_printf(r->a, "NodeExpandVolume.NodeExpandVolume failed for volume \"%s\" : %s",
					u->spec_name, err_msg(err)));
		return -1;
	}
	if (care_grown(r, claim, pv, err) < 0)
		return err_wrap(err, "writing the new size of claim '%.*s'", SV_ARG(obj_name(claim)));
	care_event(r, u, "Normal", "FileSystemResizeSuccessful",
		   arena_printf(r->a, "MountVolume.NodeExpandVolume succeeded for volume \"%s\"", u->spec_name));
	return 0;
}

/* --- all of it --- */

static void care_told(struct csi_run *r, struct err *err)
{
	if (err->reason)
		log_info(CSI_SYS, "a volume could not be looked after", "why", "%s: %s", r->v->handle, err_msg(err));
	err_release(err);
}

static void care_again(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	struct csi_use *now;

	if (csi_publish(r, u, err) < 0) { /* it goes on with what it has */
		care_event(
		    r, u, "Warning", "FailedMount",
		    arena_printf(r->a, "MountVolume.SetUp failed for volume \"%s\" : %s", u->spec_name, err_msg(err)));
		return;
	}
	pthread_mutex_lock(&r->c->lock);
	now = strmap_get(&r->table->uses, u->uid);
	if (now)
		now->published_ns = env_mono_ns(r->c->o.env);
	pthread_mutex_unlock(&r->c->lock);
}

void csi_care(struct csi_run *r, const struct csi_run_use *u)
{
	bool again = r->driver && val_bool(obj_get(r->driver, F_spec, F_requiresRepublish));
	struct err err = ERR_INIT;
	int64_t least = CSI_CARE_NS / 2; /* more than one pod, or news of another, are no reason to ask twice */

	if (!r->endpoint)
		return;
	if (again && env_mono_ns(r->c->o.env) - u->published_ns >= least)
		care_again(r, u, &err);
	care_told(r, &err);
	if (r->can & CSI_CAN_STATS)
		(void)care_stats(r, u, &err);
	care_told(r, &err);
	if ((r->can & CSI_CAN_EXPAND) && u->claim)
		(void)care_grow(r, u, &err);
	care_told(r, &err);
	if (again || (r->can & (CSI_CAN_STATS | CSI_CAN_EXPAND)))
		r->ret->after_ns = r->ret->after_ns ? MIN(r->ret->after_ns, CSI_CARE_NS) : CSI_CARE_NS;
}
