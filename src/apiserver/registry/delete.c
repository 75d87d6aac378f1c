/* DELETE: at once, after a grace period, or when the last finalizer went.
 *
 *	exists ──grace > 0──▶ deletionTimestamp in the future ──the node agent deletes with grace 0──┐
 *	   └───────────────────────────────────────────────────────────────────────────────────────┤
 *	                            finalizers left: deletionTimestamp, grace 0, stays ◀──yes── ? ──no──▶ gone
 */
#include "apiserver/registry/registry.h"
#include "base/timefmt.h"
#include "codec/cbor.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "object/decode.h"
#include "object/feature.h"
#include "object/protobuf.h"

/* A negative period means "at once, but let the node do it". */
static int64_t grace_given(int64_t seconds)
{
	return seconds < 0 ? 1 : seconds;
}

static int from_document(const struct val *doc, struct delete_options *o, struct err *err)
{
	const struct val *pre = val_get(doc, F_preconditions), *orphan = val_get(doc, F_orphanDependents);
	const struct val *dry = val_get(doc, F_dryRun);

	if (val_type(val_get(doc, F_gracePeriodSeconds)) == VAL_INT)
		o->grace = grace_given(val_get_int(doc, 0, F_gracePeriodSeconds));
	if (val_get_str(doc, F_propagationPolicy).n)
		o->policy = val_get_str(doc, F_propagationPolicy);
	if (val_type(orphan) == VAL_BOOL)
		o->orphan = orphan->b;
	o->unsafe = val_get_bool(doc, F_ignoreStoreReadErrorWithClusterBreakingPotential);
	o->uid = val_get_str(pre, F_uid);
	o->rev = val_get_str(pre, F_resourceVersion);
	if (val_len(dry)) {
		if (val_len(dry) != 1 || !val_is(val_at(dry, 0), "All"))
			return err_options(err, "DeleteOptions", "dryRun", "FieldValueNotSupported",
					   "Unsupported value: []string{\"%.*s\"}: supported values: \"All\"",
					   SV_ARG(val_str(val_at(dry, 0))));
		o->dry_run = true;
	}
	return 0;
}

/* What cannot be read cannot be asked for anything either. */
static int check_unsafe(const struct delete_options *o, struct err *err)
{
	const char *other = o->dry_run		   ? "dryRun"
			    : o->policy.n	   ? "propagationPolicy"
			    : o->orphan >= 0	   ? "orphanDependents"
			    : o->grace >= 0	   ? "gracePeriodSeconds"
			    : o->uid.n || o->rev.n ? "preconditions"
						   : NULL;

	if (!other)
		return 0;
	return err_options(err, "DeleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential",
			   "FieldValueInvalid", "Invalid value: true: cannot be set together with .%s", other);
}

int delete_options_read(struct api_req *q, struct delete_options *o, struct err *err)
{
	struct sv params, type = media_type(q->content_type, &params), v;
	const struct val *doc = q->body_doc;

	*o = (struct delete_options){ .grace = -1, .orphan = -1 };
	if (!doc && sv_trim(q->body).n) {
		const struct schema *s = schema_find(SV("meta/v1.DeleteOptions"));
		bool protobuf = sv_is(type, PROTOBUF_MEDIA_TYPE), yaml = sv_is(type, "application/yaml"),
		     cbor = body_is_cbor(type);
		struct budget values = BUDGET(doc_values_limit);
		struct val *raw;

		if (type.n && !protobuf && !yaml && !cbor && !sv_is(type, "application/json") && !sv_is(type, "*/*"))
			return err_body_type(false, err);
		raw = protobuf ? protobuf_decode(q->arena, q->body, SV("v1"), SV("DeleteOptions"), &values, err)
		      : cbor   ? cbor_decode(q->arena, q->body, &values, err)
		      : yaml   ? yaml_decode_opts(q->arena, q->body, &(struct yaml_opts){ .values = &values }, err)
			       : json_decode(q->arena, q->body, &(struct json_opts){ .values = &values }, err);
		if (!raw)
			return protobuf || cbor || budget_over(&values)
				   ? -1
				   : err_wrap(err, "couldn't get version/kind; json parse error");
		if (val_type(raw) != VAL_MAP)
			return err_set(err, ERR_BAD_REQUEST, "the body is no DeleteOptions");
		if (val_get_str(raw, F_kind).n && !val_is(val_get(raw, F_kind), "DeleteOptions"))
			return err_set(err, ERR_BAD_REQUEST, "decoded object cannot be converted to DeleteOptions");
		doc = s ? decode_typed(q->arena, s, raw, NULL, err) : raw;
		if (!doc)
			return -1;
	}
	if (doc && from_document(doc, o, err) < 0)
		return -1;
	if (api_req_param(q, "gracePeriodSeconds", &v)) {
		if (!sv_to_i64(v, &o->grace) || o->grace > INT32_MAX)
			return err_bad_number(err, v);
		o->grace = grace_given(o->grace);
	}
	if (api_req_param(q, "propagationPolicy", &v))
		o->policy = v;
	if (api_req_param(q, "orphanDependents", &v))
		o->orphan = option_bool(q, "orphanDependents");
	if (api_req_param(q, "dryRun", &v)) {
		if (!sv_is(v, "All"))
			return err_options(err, "DeleteOptions", "dryRun", "FieldValueNotSupported",
					   "Unsupported value: []string{\"%.*s\"}: supported values: \"All\"",
					   SV_ARG(v));
		o->dry_run = true;
	}
	if (api_req_param(q, "ignoreStoreReadErrorWithClusterBreakingPotential", &v))
		o->unsafe = option_bool(q, "ignoreStoreReadErrorWithClusterBreakingPotential");
	if (o->dry_run)
		q->dry_run = true;
	o->unsafe = o->unsafe && feature_on(FG_AllowUnsafeMalformedObjectDeletion);
	if (o->unsafe && check_unsafe(o, err) < 0)
		return -1;
	if (o->policy.n && o->orphan >= 0)
		return err_options(
		    err, "DeleteOptions", "propagationPolicy", "FieldValueInvalid",
		    "Invalid value: \"%.*s\": orphanDependents and deletionPropagation cannot be both set",
		    SV_ARG(o->policy));
	if (o->policy.n && !sv_is(o->policy, "Background") && !sv_is(o->policy, "Foreground") &&
	    !sv_is(o->policy, "Orphan"))
		return err_options(
		    err, "DeleteOptions", "propagationPolicy", "FieldValueNotSupported",
		    "Unsupported value: \"%.*s\": supported values: \"Background\", \"Foreground\", \"Orphan\"",
		    SV_ARG(o->policy));
	return 0;
}

/* "Deployment.apps" as three strings */
#define KIND_ARG(r) (r)->kind, *(r)->group ? "." : "", (r)->group

int delete_preconditions(const struct resource *r, const struct obj *o, struct sv uid, struct sv rev, struct err *err)
{
	int64_t want;

	if (uid.n && !sv_eq(uid, obj_uid(o)))
		err_set(err, ERR_CONFLICT,
			"Operation cannot be fulfilled on %s%s%s \"%.*s\": the UID in the precondition (%.*s) does not "
			"match the UID in record (%.*s). The object might have been deleted and then recreated",
			KIND_ARG(r), SV_ARG(obj_name(o)), SV_ARG(uid), SV_ARG(obj_uid(o)));
	else if (rev.n && (!sv_to_i64(rev, &want) || want != obj_rev(o)))
		err_set(
		    err, ERR_CONFLICT,
		    "Operation cannot be fulfilled on %s%s%s \"%.*s\": the ResourceVersion in the precondition (%.*s) "
		    "does not match the ResourceVersion in record (%" PRId64 "). The object might have been modified",
		    KIND_ARG(r), SV_ARG(obj_name(o)), SV_ARG(rev), obj_rev(o));
	else
		return 0;
	return err_set_object(err, sv_from(r->group), sv_from(r->kind), obj_name(o));
}

/* Who looks after the dependents: the garbage collector does what these finalizers ask for. */
static void set_gc_finalizers(const struct write_op *op)
{
	const struct delete_options *o = op->del;
	struct sv policy = o->policy;

	if (!policy.n && o->orphan >= 0)
		policy = o->orphan ? SV("Orphan") : SV("Background");
	if (!policy.n && op->strat->default_propagation && !obj_deleting(op->old))
		policy = sv_from(op->strat->default_propagation);
	if (!policy.n)
		return;
	(void)obj_set_finalizer(op->a, op->doc, "orphan", sv_is(policy, "Orphan"));
	(void)obj_set_finalizer(op->a, op->doc, "foregroundDeletion", sv_is(policy, "Foreground"));
}

static void mark(struct write_op *op, int64_t at_ns, int64_t grace)
{
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);
	char text[TIME_TEXT_MAX];

	val_set_str(op->a, meta, F_deletionTimestamp, time_format(at_ns, false, text));
	val_set_int(op->a, meta, F_deletionGracePeriodSeconds, grace);
}

static void bump_generation(struct write_op *op)
{
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);
	int64_t g = val_get_int(meta, 0, F_generation);

	if (g > 0)
		val_set_int(op->a, meta, F_generation, g + 1);
}

static int produce_delete(struct write_op *op, struct err *err)
{
	op->doc = NULL;
	return delete_preconditions(op->res, op->old, op->del->uid, op->del->rev, err);
}

static int settle_delete(struct write_op *op, struct err *err)
{
	const struct delete_options *o = op->del;
	const struct val *old = obj_root(op->old);
	int64_t now = env_now_ns(op->q->server->env), grace = 0,
		was = val_get_int(old, -1, F_metadata, F_deletionGracePeriodSeconds);
	bool deleting = obj_deleting(op->old);

	(void)err;
	op->doc = obj_edit(op->a, op->old);
	if (op->strat->grace_period)
		grace = op->strat->grace_period(op->q, old, o->grace);
	set_gc_finalizers(op);
	if (deleting && was > 0) {
		int64_t at = now;

		if (grace >= was)
			grace = was; /* a shorter time counts, a longer one does not */
		if (time_parse(val_get_str(old, F_metadata, F_deletionTimestamp), &at) && grace > 0 && grace < was)
			mark(op, at - (was - grace) * NS_PER_SEC, grace);
	} else if (deleting) {
		grace = 0;
	} else if (grace > 0) {
		mark(op, now + grace * NS_PER_SEC, grace);
		bump_generation(op);
	}
	if (grace > 0)
		return val_equal(old, op->doc) ? 1 : 0;
	if (object_finalized(op->res, op->doc)) {
		op->tombstone = true;
		/* What goes gracefully is answered as it was marked in its last moment. */
		if (op->strat->grace_period)
			mark(op, now, 0);
		else
			op->doc = NULL;
		return 0;
	}
	if (!deleting || was > 0) {
		mark(op, now, 0);
		if (!deleting)
			bump_generation(op);
		if (op->strat->deletion_marked)
			op->strat->deletion_marked(op->a, op->doc);
	}
	return val_equal(old, op->doc) ? 1 : 0;
}

void delete_start(struct write_op *op, const struct delete_options *o)
{
	op->del = o;
	op->must_exist = op->retry = op->raw = true;
	op->produce = produce_delete;
	op->settle = settle_delete;
	write_run(op);
}

static void delete_done(struct write_op *op, struct obj *o, struct err *err)
{
	struct api_req *q = op->q;

	if (err) {
		api_req_fail(q, err);
	} else if (op->tombstone && !op->strat->returns_deleted) {
		answer_doc(q, 200, status_success(op->a, op->res, op->name, obj_uid(op->old)));
	} else {
		/* Still there although the dependents were to go in the background: accepted. */
		answer_object(q, !op->tombstone && op->del->orphan == 0 ? 202 : 200, o);
	}
}

void registry_delete(struct api_req *q)
{
	struct write_op *op = write_op_new(q, q->res, q->ns, q->name);
	struct delete_options *o = ARENA_NEW(q->arena, struct delete_options);
	struct err err = ERR_INIT;

	if (delete_options_read(q, o, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	if (o->unsafe || set_aside_deletable(q->server, q->res, q->ns, q->name)) {
		delete_unread(q, o);
		return;
	}
	op->done = delete_done;
	delete_start(op, o);
}
