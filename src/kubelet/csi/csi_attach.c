/* Is it attached to this node? The Node is read once for two questions: that its volumesInUse has the volume keeps the
 * controller from taking it away, and that its volumesAttached has it then is believed. */
#include "kubelet/csi/csi-internal.h"

#include "pod/volume_attach.h"

#include <stdlib.h>

#define WAIT_FIRST_NS (100 * NS_PER_MS)
#define WAIT_MAX_NS (2 * NS_PER_SEC)
#define WAIT_SAID_NS (123 * NS_PER_SEC) /* upstream's: then the pod's events say what it waits for */
#define CODE_EXHAUSTED 8		/* gRPC's, of VolumeAttachment.status.attachError */

static int attach_wait(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	const struct retry_policy policy = { .first_ns = WAIT_FIRST_NS, .max_ns = WAIT_MAX_NS };
	int64_t now = env_mono_ns(r->c->o.env);
	struct csi_volume *v = r->table;
	bool say;

	pthread_mutex_lock(&r->c->lock);
	r->ret->after_ns = retry_pause_ns(&policy, ++v->waits);
	say = v->waits_ns && now - v->waits_ns >= WAIT_SAID_NS;
	if (say || !v->waits_ns)
		v->waits_ns = now;
	pthread_mutex_unlock(&r->c->lock);
	if (!say)
		return 0;
	(void)err_set(
	    err, ERR_UNAVAILABLE,
	    "Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[%s], failed to process "
	    "volumes=[]: context deadline exceeded",
	    u->volume, u->volume);
	return -2;
}

/* As its attacher says. A node that is full, of a driver whose limits change, asks for them at once; a pod that has
 * waited long enough is not to wait for ever: whoever made it makes another one, for another node. */
static int attach_failed(struct csi_run *r, const struct val *error, struct err *err)
{
	int64_t now = env_mono_ns(r->c->o.env), since;
	struct csi_volume *v = r->table;

	(void)err_set(err, ERR_UNAVAILABLE, "%.*s", SV_ARG(val_get_str(error, F_message)));
	pthread_mutex_lock(&r->c->lock);
	since = v->waits_ns = v->waits_ns ? v->waits_ns : now;
	pthread_mutex_unlock(&r->c->lock);
	if (val_get_int(error, 0, F_errorCode) != CODE_EXHAUSTED ||
	    val_int_or(r->driver ? obj_get(r->driver, F_spec, F_nodeAllocatableUpdatePeriodSeconds) : NULL, 0) <= 0)
		return -1;
	csi_plugins_ask(r->c, sv_from(r->v->driver));
	if (now - since < WAIT_SAID_NS)
		return -1;
	free(err->reason_text);
	err->reason_text = xstrdup(CSI_NODE_FULL);
	return -1;
}

static void attach_note(struct csi_run *r, bool attachable)
{
	struct csi_volume *v = r->table;
	bool news;

	pthread_mutex_lock(&r->c->lock);
	news = v->attachable != attachable;
	v->attachable = r->attachable = attachable;
	pthread_mutex_unlock(&r->c->lock);
	if (news && r->c->o.in_use_changed)
		r->c->o.in_use_changed(r->c->o.ctx);
}

int csi_attached(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	struct csi_volume *v = r->table;
	const struct val *required = r->driver ? obj_get(r->driver, F_spec, F_attachRequired) : NULL, *error;
	const char *name = volume_attach_unique(r->a, sv_from(r->v->driver), sv_from(r->v->handle));
	struct obj *node, *attachment;
	struct err why = ERR_INIT;

	if (r->v->own || (required && !val_bool(required))) {
		attach_note(r, false);
		return 1;
	}
	attach_note(r, true);
	if (client_get(r->c->o.client, RES(core_nodes), SV(""), sv_from(r->c->node_name), &node, err) < 0)
		return -1;
	obj_link(r->a, node);
	if (!volume_attach_listed(obj_get(node, F_status, F_volumesInUse), name)) {
		if (r->c->o.in_use_changed) /* whoever was told may have looked before that */
			r->c->o.in_use_changed(r->c->o.ctx);
		return attach_wait(r, u, err);
	}
	if (!volume_attach_listed(obj_get(node, F_status, F_volumesAttached), name))
		return attach_wait(r, u, err);
	if (client_get(r->c->o.client, RES(storage_volumeattachments), SV(""),
		       sv_from(csi_attachment_name(r->c, r->a, r->v->driver, r->v->handle)), &attachment, &why) < 0) {
		if (why.reason != ERR_NOT_FOUND &&
		    why.reason != ERR_FORBIDDEN) /* as nodes are told of what is not there */
			return err_move(err, &why);
		err_release(&why);
		return attach_wait(r, u, err);
	}
	obj_link(r->a, attachment);
	error = obj_get(attachment, F_status, F_attachError);
	if (!val_bool(obj_get(attachment, F_status, F_attached)))
		return val_get(error, F_message) ? attach_failed(r, error, err) : attach_wait(r, u, err);
	r->attachment = obj_get(attachment, F_status, F_attachmentMetadata);
	pthread_mutex_lock(&r->c->lock);
	v->waits = 0;
	v->waits_ns = 0;
	pthread_mutex_unlock(&r->c->lock);
	return 1;
}
