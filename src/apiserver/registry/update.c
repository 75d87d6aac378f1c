/* PUT, and the second half of every change to an existing object. */
#include "apiserver/registry/registry.h"
#include "object/decode.h"

#include <stdlib.h>

static void copy_member(struct arena *a, struct val *to, const struct val *from, enum sym key)
{
	const struct val *v = val_member(from, key);

	/* The nodes of a published object are frozen: hooks change what they get in place. */
	if (v)
		val_set(a, to, key, val_clone_nodes(a, v));
	else
		val_del(to, key);
}

/* Changes of what is wanted, though not through the main endpoint. */
static bool sub_of_spec(struct sv sub)
{
	return sv_is(sub, "resize") || sv_is(sub, "ephemeralcontainers");
}

static int check_versions(struct write_op *op, struct err *err)
{
	const struct val *meta = val_member(op->doc, F_metadata);
	struct sv uid = val_get_str(meta, F_uid), rv = val_get_str(meta, F_resourceVersion);
	int64_t rev = 0;

	if (uid.n && !sv_eq(uid, obj_uid(op->old)))
		return err_wrong_uid(err, op->res, op->ns, op->name, uid, obj_uid(op->old));
	if (!rv.n)
		return 0;
	if (!sv_to_i64(rv, &rev) || rev < 0)
		return err_set(err, ERR_UNKNOWN, "strconv.ParseUint: parsing \"%.*s\": invalid syntax", SV_ARG(rv));
	if (rev && rev != obj_rev(op->old))
		return err_modified(err, op->res, op->name);
	return 0;
}

static const struct val *at_path(const struct val *v, struct sv path)
{
	struct sv part;

	while (v && sv_split(&path, '.', &part))
		v = val_member_sv(v, part);
	return v;
}

/* What metadata.generation counts. */
static bool desired_changed(const struct write_op *op, const struct val *old)
{
	const struct schema *s = op->res->schema;

	for (const char *const *f = op->strat->counted; f && *f; f++)
		if (!val_same(at_path(old, sv_from(*f)), at_path(op->doc, sv_from(*f))))
			return true;
	for (size_t i = 0; !op->strat->counted && i < s->n_fields; i++) {
		enum sym f = s->fields[i].sym;

		if (f != F_metadata && f != F_status && f != F_apiVersion && f != F_kind &&
		    !val_equal(val_member(old, f), val_member(op->doc, f)))
			return true;
	}
	return false;
}

/* Two lists of managedFields that differ in times at most. Both were written here: equal sets are equal texts. */
static bool same_owners(const struct val *x, const struct val *y)
{
	if (val_len(x) != val_len(y))
		return false;
	for (size_t i = 0; i < val_len(x); i++) {
		const struct val *a = val_at(x, i), *b = val_at(y, i);

		if (val_len(a) != val_len(b))
			return false;
		VAL_EACH_MEMBER(a, m) {
			const struct val *other = val_member_sv(b, m.key);
			bool raw = val_type(m.value) == VAL_RAW && val_type(other) == VAL_RAW;

			if (m.sym == F_time)
				continue;
			if (raw ? !sv_eq(val_raw(m.value), val_raw(other)) : !val_same(m.value, other))
				return false;
		}
	}
	return true;
}

bool update_is_none(struct write_op *op, const struct val *old)
{
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);
	const struct val *was = val_get(old, F_metadata, F_managedFields), *owners;
	const struct val *rv = val_get(old, F_metadata, F_resourceVersion);
	struct val renewed;

	if (rv)
		val_set(op->a, meta, F_resourceVersion, rv);
	write_complete(op);
	owners = val_member(meta, F_managedFields);
	if (!was || !owners || !same_owners(was, owners))
		return val_equal(old, op->doc);
	/* When somebody did what had no effect is no difference. */
	renewed = *owners;
	val_set(op->a, meta, F_managedFields, was);
	if (val_equal(old, op->doc))
		return true;
	val_set(op->a, meta, F_managedFields, &renewed);
	return false;
}

/* What clients may leave out, and what they may not take back; what they make up, validation refuses. */
static void keep_system_fields(struct write_op *op, struct val *meta, const struct val *old)
{
	static const enum sym always[] = { F_generation, F_namespace, F_uid };
	static const enum sym when_absent[] = { F_creationTimestamp, F_deletionGracePeriodSeconds };

	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		copy_member(op->a, meta, old, always[i]);
	for (size_t i = 0; i < ARRAY_LEN(when_absent); i++) {
		const struct val *v = val_member(meta, when_absent[i]);

		if (!v || v->type == VAL_NULL)
			copy_member(op->a, meta, old, when_absent[i]);
	}
	if (val_member(old, F_deletionTimestamp))
		copy_member(op->a, meta, old, F_deletionTimestamp);
}

void update_finish(struct write_op *op)
{
	const struct val *old = obj_root(op->old), *old_meta = val_member(old, F_metadata);
	struct err err = ERR_INIT;
	struct val *meta;

	if (check_versions(op, &err) < 0)
		goto failed;
	meta = val_ensure_map(op->a, op->doc, F_metadata);
	keep_system_fields(op, meta, old_meta);
	val_set_str(op->a, meta, F_name, obj_name(op->old));
	val_del(meta, F_selfLink);
	copy_member(op->a, meta, old_meta, F_resourceVersion);
	kept_restore(op->a, op->res, op->sub, old, op->doc);
	if (op->strat->narrow && op->sub.n)
		op->strat->narrow(op->a, op->sub, old, op->doc);
	if (write_managed(op, old, &err) < 0 || write_admit(op, true, ADMIT_UPDATE, &err) < 0)
		goto failed;
	if (op->strat->prepare_update)
		op->strat->prepare_update(op->q, old, op->doc);
	meta = val_ensure_map(op->a, op->doc, F_metadata);
	if (!op->strat->no_generation && (!op->sub.n || !op->res->has_status || sub_of_spec(op->sub)) &&
	    desired_changed(op, old))
		val_set_int(op->a, meta, F_generation, val_get_int(old_meta, 0, F_generation) + 1);
	if (write_validate(op, old, &err) < 0 || write_admit(op, false, ADMIT_UPDATE, &err) < 0)
		goto failed;
	if (update_is_none(op, old)) {
		write_finish(op, op->old, NULL);
		return;
	}
	/* The last finalizer went: what deletion began ends here. */
	if (obj_deleting(op->old) && object_finalized(op->res, op->doc) &&
	    val_get_int(old_meta, 0, F_deletionGracePeriodSeconds) == 0)
		op->tombstone = true;
	write_commit(op);
	return;
failed:
	write_fail(op, &err);
}

static int must_be_specified(struct write_op *op, struct err *err)
{
	err_set(err, ERR_INVALID,
		"%s%s%s \"%.*s\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for "
		"an update",
		op->res->kind, *op->res->group ? "." : "", op->res->group, SV_ARG(op->name));
	err_add_cause(err, "FieldValueInvalid", SV("metadata.resourceVersion"),
		      "Invalid value: 0x0: must be specified for an update");
	return err_set_object(err, sv_from(op->res->group), sv_from(op->res->kind), op->name);
}

static int produce_put(struct write_op *op, struct err *err)
{
	op->doc = op->ctx2;
	if (!val_get_str(op->doc, F_metadata, F_resourceVersion).n)
		op->ctx2 = val_clone_nodes(op->a, op->doc); /* for another attempt */
	op->code = op->old ? 200 : 201;
	if (!op->old) {
		if (!op->strat->create_on_update)
			return err_not_found(err, op->res, op->name);
		/* An object that was meant to be there in this version is gone. */
		if (val_get_str(op->doc, F_metadata, F_uid).n || val_get_str(op->doc, F_metadata, F_resourceVersion).n)
			return err_not_found(err, op->res, op->name);
		op->creating = true;
		return 0;
	}
	op->retry = !val_get_str(op->doc, F_metadata, F_resourceVersion).n;
	if (op->retry && !op->strat->unconditional_update)
		return must_be_specified(op, err);
	return 0;
}

int update_check_name(struct api_req *q, const struct val *doc, struct err *err)
{
	struct sv name = val_get_str(doc, F_metadata, F_name), ns = val_get_str(doc, F_metadata, F_namespace);

	if (!name.n)
		return err_set(err, ERR_BAD_REQUEST,
			       "the name of the object (%.*s based on URL) was undeterminable: name must be provided",
			       SV_ARG(q->name));
	if (!sv_eq(name, q->name))
		return err_set(err, ERR_BAD_REQUEST,
			       "the name of the object (%.*s) does not match the name on the URL (%.*s)", SV_ARG(name),
			       SV_ARG(q->name));
	if (q->res->namespaced && ns.n && !sv_eq(ns, q->ns))
		return err_set(err, ERR_BAD_REQUEST,
			       "the namespace of the provided object does not match the namespace sent on the request");
	return 0;
}

void registry_update(struct api_req *q)
{
	struct write_op *op = write_op_new(q, q->res, q->ns, q->name);
	struct err err = ERR_INIT;

	op->sub = q->subresource;
	if (api_options_parse(q, "UpdateOptions", &err) < 0)
		goto failed;
	op->doc = body_typed(q, q->res->schema, resource_gv(q->arena, q->res), sv_from(q->res->kind), &err);
	if (!op->doc)
		goto failed;
	if (q->trusted && !val_get_str(op->doc, F_metadata, F_name).n)
		val_set_str(q->arena, val_ensure_map(q->arena, op->doc, F_metadata), F_name, q->name);
	if (update_check_name(q, op->doc, &err) < 0)
		goto failed;
	/* "0" is any version, as none is. */
	if (val_is(val_get(op->doc, F_metadata, F_resourceVersion), "0"))
		val_del(val_get_mut(op->doc, F_metadata), F_resourceVersion);
	write_defaults(op);
	op->ctx2 = op->doc;
	op->must_exist = q->subresource.n != 0;
	op->produce = produce_put;
	write_run(op);
	return;
failed:
	api_req_fail(q, &err);
}

/* --- updates inside other requests --- */

struct update_cb {
	int (*change)(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err);
	void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx);
	void *ctx;
};

static int produce_change(struct write_op *op, struct err *err)
{
	struct update_cb *cb = op->ctx;

	op->doc = obj_edit(op->a, op->old);
	return cb->change(op->q, obj_root(op->old), op->doc, cb->ctx, err);
}

static void update_cb_done(struct write_op *op, struct obj *o, struct err *err)
{
	struct update_cb *cb = op->ctx;

	cb->done(op->q, o, err, cb->ctx);
}

void registry_update_async(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, const char *sub,
			   int (*change)(struct api_req *q, const struct val *old, struct val *doc, void *ctx,
					 struct err *err),
			   void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx), void *ctx)
{
	struct write_op *op;
	struct update_cb *cb = ARENA_NEW(q->arena, struct update_cb);

	*cb = (struct update_cb){ .change = change, .done = done, .ctx = ctx };
	registry_adopt(q, r, ns, name, VERB_UPDATE);
	op = write_op_new(q, r, ns, name);
	op->sub = sub ? sv_from(sub) : SV("");
	op->must_exist = op->retry = true;
	op->produce = produce_change;
	op->done = update_cb_done;
	op->ctx = cb;
	op->unowned = sv_is(op->sub, "binding");
	write_run(op);
}
