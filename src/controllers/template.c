/* See template.h. */
#include "controllers/template.h"
#include "base/buf.h"
#include "codec/json.h"
#include "controllers/owner.h"

#include <stdio.h>

static void template_copy_member(struct arena *a, struct val *to, const struct val *from, enum sym key)
{
	const struct val *v = val_member(from, key);

	if (val_len(v))
		val_set(a, to, key, val_clone(a, v));
}

struct val *pod_from_template(struct arena *a, const struct resource *owner_res, const struct val *owner,
			      const struct val *tmpl)
{
	struct val *pod = val_new_map(a), *meta = val_new_map(a), *refs = val_new_list(a);
	const struct val *tmeta = val_member(tmpl, F_metadata);

	val_set_cstr(a, pod, F_apiVersion, "v1");
	val_set_cstr(a, pod, F_kind, "Pod");
	val_set_strf(a, meta, F_generateName, "%.*s-", SV_ARG(val_get_str(owner, F_metadata, F_name)));
	val_set_str(a, meta, F_namespace, val_get_str(owner, F_metadata, F_namespace));
	template_copy_member(a, meta, tmeta, F_labels);
	template_copy_member(a, meta, tmeta, F_annotations);
	template_copy_member(a, meta, tmeta, F_finalizers);
	val_push(a, refs, owner_ref(a, owner_res, owner, true, true));
	val_set(a, meta, F_ownerReferences, refs);
	val_set(a, pod, F_metadata, meta);
	val_set(a, pod, F_spec, val_clone(a, val_member(tmpl, F_spec)));
	return pod;
}

/* Letters that spell no words by accident. */
static const char safe[] = "bcdfghjklmnpqrstvwxz2456789";

struct sv template_hash(struct arena *a, const struct val *tmpl, int64_t collisions)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	uint32_t h = UINT32_C(2166136261);
	char digits[16];
	int n;

	json_encode(&b, tmpl);
	if (collisions)
		buf_addi64(&b, collisions);
	for (size_t i = 0; i < b.n; i++)
		h = (h ^ (uint8_t)b.p[i]) * UINT32_C(16777619);
	n = snprintf(digits, sizeof(digits), "%" PRIu32, h);
	for (int i = 0; i < n; i++)
		digits[i] = safe[(size_t)digits[i] % (sizeof(safe) - 1)];
	return arena_sv(a, sv_make(digits, (size_t)n));
}

static struct val *without_hash(struct arena *a, const struct val *tmpl)
{
	struct val *copy = val_clone_nodes(a, tmpl), *labels = val_get_mut(copy, F_metadata, F_labels);

	if (labels)
		val_del_sv(labels, SV(LABEL_TEMPLATE_HASH));
	return copy;
}

bool template_equal(struct arena *a, const struct val *x, const struct val *y)
{
	return val_equal(without_hash(a, x), without_hash(a, y));
}

bool err_namespace_terminating(const struct err *err)
{
	return err_has_cause(err, "NamespaceTerminating");
}

int pod_control_create(struct pod_control *pc, struct val *pod, struct obj *owner, struct err *err)
{
	_cleanup_obj_ struct obj *made = NULL;

	if (client_create(pc->client, RES(core_pods), obj_ns(owner), pod, NULL, &made, err) < 0) {
		if (!err_namespace_terminating(err))
			recorder_event(pc->recorder, pc->owner_res, obj_root(owner), "Warning", "FailedCreate",
				       "Error creating: %s", err_msg(err));
		return -1;
	}
	recorder_event(pc->recorder, pc->owner_res, obj_root(owner), "Normal", "SuccessfulCreate", "Created pod: %.*s",
		       SV_ARG(obj_name(made)));
	return 0;
}

int pod_control_delete(struct pod_control *pc, struct obj *pod, struct obj *owner, struct err *err)
{
	struct client_delete_opts o = CLIENT_DELETE_OPTS;

	/* Of this very pod: a namesake (StatefulSet) made meanwhile is not ours to delete. */
	o.precondition_uid = obj_uid(pod);
	if (client_delete(pc->client, RES(core_pods), obj_ns(pod), obj_name(pod), &o, err) < 0) {
		if (err->reason != ERR_NOT_FOUND)
			recorder_event(pc->recorder, pc->owner_res, obj_root(owner), "Warning", "FailedDelete",
				       "Error deleting: %s", err_msg(err));
		return -1;
	}
	recorder_event(pc->recorder, pc->owner_res, obj_root(owner), "Normal", "SuccessfulDelete", "Deleted pod: %.*s",
		       SV_ARG(obj_name(pod)));
	return 0;
}

size_t pod_slow_start(size_t n, int (*make)(void *ctx, size_t i, struct err *err), void *ctx, struct err *err)
{
	size_t done = 0, good = 0, batch = 1;
	bool failed = false;

	while (done < n && !failed) {
		size_t end = MIN(n, done + batch);

		for (; done < end; done++) {
			_cleanup_(err_release) struct err why = ERR_INIT;

			if (make(ctx, done, &why) == 0) {
				good++;
			} else {
				if (!failed)
					(void)err_move(err, &why);
				failed = true;
			}
		}
		batch *= 2;
	}
	return good;
}
