/* The four writes of a binding, each of which may find that it was made before. */
#include "controllers/podutil.h"
#include "controllers/pv_binder-internal.h"
#include "controllers/status.h"

#include <stdarg.h>

bool pv_has_annotation(const struct obj *o, const char *name)
{
	return val_member_sv(obj_get(o, F_metadata, F_annotations), sv_from(name)) != NULL;
}

void pv_claim_event(struct pv_binder *b, const struct obj *claim, const char *type, const char *reason, const char *fmt,
		    ...)
{
	va_list ap;

	va_start(ap, fmt);
	recorder_event_v(b->ctx->recorder, RES(core_persistentvolumeclaims), obj_root(claim), type, reason, fmt, ap);
	va_end(ap);
}

static int pv_gone_is_fine(struct err *err, struct err *why)
{
	return why->reason == ERR_NOT_FOUND ? 0 : err_move(err, why);
}

int pv_claim_set_phase(struct pv_binder *b, struct obj *claim, const char *phase, const struct obj *volume,
		       struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc = obj_edit(&a, claim), *st = val_ensure_map(&a, doc, F_status);

	if (volume) {
		const struct val *class = obj_get(volume, F_spec, F_volumeAttributesClassName);

		val_set(&a, st, F_accessModes, val_clone(&a, obj_get(volume, F_spec, F_accessModes)));
		/* Of one that is bound already they are said by who makes it larger, or other: when that is done. */
		if (!val_is(val_member(st, F_phase), phase)) {
			val_set(&a, st, F_capacity, val_clone(&a, obj_get(volume, F_spec, F_capacity)));
			if (val_str(class).n)
				val_set_str(&a, st, F_currentVolumeAttributesClassName, val_str(class));
		}
	}
	val_set_cstr(&a, st, F_phase, phase);
	if (val_equal(st, obj_get(claim, F_status)) ||
	    client_update_status(b->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, &why) == 0)
		return 0;
	return pv_gone_is_fine(err, &why);
}

int pv_volume_set_phase(struct pv_binder *b, struct obj *volume, const char *phase, const char *message,
			struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc, *st;

	/* What others say in the status of one that stays in its phase is theirs. */
	if (val_is(obj_get(volume, F_status, F_phase), phase))
		return 0;
	doc = obj_edit(&a, volume);
	st = val_ensure_map(&a, doc, F_status);
	val_set_cstr(&a, st, F_phase, phase);
	val_del(st, F_message);
	if (message)
		val_set_cstr(&a, st, F_message, message);
	val_set_str(&a, st, F_lastPhaseTransitionTime, time_text(&a, env_now_ns(b->ctx->env)));
	if (client_update_status(b->ctx->client, RES(core_persistentvolumes), doc, NULL, &why) == 0)
		return 0;
	return pv_gone_is_fine(err, &why);
}

/* volume.spec.claimRef. Returns the volume as it is then. */
static struct obj *pv_refer_to_claim(struct pv_binder *b, struct obj *volume, struct obj *claim, struct err *err)
{
	const struct val *was = obj_get(volume, F_spec, F_claimRef);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc;
	struct obj *now;

	if (was && sv_eq(val_get_str(was, F_uid), obj_uid(claim)))
		return obj_ref(volume);
	doc = obj_edit(&a, volume);
	val_set(&a, val_ensure_map(&a, doc, F_spec), F_claimRef, claim_reference(&a, claim));
	if (!was) /* what a user reserved is the user's to take back */
		annotation_set(&a, doc, ANN_BOUND_BY_CONTROLLER, SV("yes"));
	return client_update(b->ctx->client, RES(core_persistentvolumes), doc, NULL, &now, err) < 0 ? NULL : now;
}

/* claim.spec.volumeName. Returns the claim as it is then. */
static struct obj *pv_refer_to_volume(struct pv_binder *b, struct obj *volume, struct obj *claim, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	bool named = sv_eq(val_str(obj_get(claim, F_spec, F_volumeName)), obj_name(volume));
	struct val *doc;
	struct obj *now;

	if (named && pv_has_annotation(claim, ANN_BIND_COMPLETED))
		return obj_ref(claim);
	doc = obj_edit(&a, claim);
	if (!named) {
		val_set_str(&a, val_ensure_map(&a, doc, F_spec), F_volumeName, obj_name(volume));
		annotation_set(&a, doc, ANN_BOUND_BY_CONTROLLER, SV("yes"));
	}
	annotation_set(&a, doc, ANN_BIND_COMPLETED, SV("yes"));
	return client_update(b->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, &now, err) < 0 ? NULL : now;
}

int pv_bind(struct pv_binder *b, struct obj *volume, struct obj *claim, struct err *err)
{
	_cleanup_obj_ struct obj *v = pv_refer_to_claim(b, volume, claim, err), *c = NULL;

	if (!v)
		return -1;
	pv_volume_seen(b, v, false); /* the next claim does not choose it, however late the event is */
	if (pv_volume_set_phase(b, v, "Bound", NULL, err) < 0)
		return -1;
	c = pv_refer_to_volume(b, v, claim, err);
	return c ? pv_claim_set_phase(b, c, "Bound", v, err) : -1;
}
