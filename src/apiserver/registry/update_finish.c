/* The second half of every change to an object that is there: of PUT, patches and what other requests change. */
#include "apiserver/registry/registry.h"
#include "object/decode.h"

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

/* The members of a custom object that are its writer's: all but metadata, and the status where that has a door of its
 * own. */
static bool custom_changed(const struct resource *r, const struct val *x, const struct val *y)
{
	VAL_EACH_MEMBER(x, m) {
		if (m.sym == F_metadata || (r->has_status && m.sym == F_status))
			continue;
		if (!val_equal(m.value, val_member_sv(y, m.key)))
			return true;
	}
	return false;
}

/* What metadata.generation counts. */
static bool desired_changed(const struct write_op *op, const struct val *old)
{
	const struct schema *s = op->res->schema;

	if (s->custom)
		return custom_changed(op->res, old, op->doc) || custom_changed(op->res, op->doc, old);
	for (const char *const *f = op->strat->counted; f && *f; f++)
		if (!val_same(at_path(old, sv_from(*f)), at_path(op->doc, sv_from(*f))))
			return true;
	for (size_t i = 0; !op->strat->counted && i < s->n_fields; i++) {
		enum sym f = s->fields[i].sym;

		if (schema_own_field(&s->fields[i]) && !val_equal(val_member(old, f), val_member(op->doc, f)))
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
		keep_member(op->a, meta, old, always[i]);
	for (size_t i = 0; i < ARRAY_LEN(when_absent); i++) {
		const struct val *v = val_member(meta, when_absent[i]);

		if (!v || v->type == VAL_NULL)
			keep_member(op->a, meta, old, when_absent[i]);
	}
	if (val_member(old, F_deletionTimestamp))
		keep_member(op->a, meta, old, F_deletionTimestamp);
}

int update_begin(struct write_op *op, struct err *err)
{
	const struct val *old = obj_root(op->old), *old_meta = val_member(old, F_metadata);
	struct val *meta;

	if (check_versions(op, err) < 0)
		return -1;
	meta = val_ensure_map(op->a, op->doc, F_metadata);
	keep_system_fields(op, meta, old_meta);
	val_set_str(op->a, meta, F_name, obj_name(op->old));
	val_del(meta, F_selfLink);
	keep_member(op->a, meta, old_meta, F_resourceVersion);
	kept_restore(op->a, op->res, op->sub, old, op->doc);
	if (op->strat->narrow && op->sub.n)
		op->strat->narrow(op->a, op->sub, old, op->doc);
	return 0;
}

int update_prepare(struct write_op *op, struct err *err)
{
	const struct val *old = obj_root(op->old), *old_meta = val_member(old, F_metadata);
	struct val *meta;

	if (op->strat->prepare_update)
		op->strat->prepare_update(op->q, old, op->doc);
	meta = val_ensure_map(op->a, op->doc, F_metadata);
	if (!op->strat->no_generation && (!op->sub.n || !op->res->has_status || sub_of_spec(op->sub)) &&
	    desired_changed(op, old))
		val_set_int(op->a, meta, F_generation, val_get_int(old_meta, 0, F_generation) + 1);
	return write_validate(op, old, err);
}

int update_settle(struct write_op *op)
{
	const struct val *old = obj_root(op->old);

	if (update_is_none(op, old) && !write_versions_stale(op))
		return 1;
	/* The last finalizer went: what deletion began ends here. */
	if (obj_deleting(op->old) && object_finalized(op->res, op->doc) &&
	    val_get_int(old, 0, F_metadata, F_deletionGracePeriodSeconds) == 0)
		op->tombstone = true;
	return 0;
}
