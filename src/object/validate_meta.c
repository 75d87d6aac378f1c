/* validate_meta.c - metadata, labels and label selectors: the same rules for every kind. */
#include "object/api_kind.h"
#include "object/validate.h"

#include "base/buf.h"
#include "base/strmap.h"

#define ANNOTATIONS_MAX_BYTES (256 * 1024)
#define FIELD_MANAGER_MAX 128

void validate_labels(struct field_errs *fe, const struct val *labels, const struct fpath *at)
{
	VAL_EACH_MEMBER(labels, m) {
		fe_check(fe, at, m.key, fmt_qualified_name);
		fe_check(fe, at, val_str(m.value), fmt_label_value);
	}
}

void validate_annotations(struct field_errs *fe, const struct val *annotations, const struct fpath *at)
{
	size_t bytes = 0;

	VAL_EACH_MEMBER(annotations, m) {
		/* Upper case is tolerated in the prefix too, for old objects' sake. */
		char *lower = arena_cstr(fe->a, m.key);

		for (char *p = lower; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p - 'A' + 'a');
		fe_check_as(fe, at, m.key, sv_make(lower, m.key.n), fmt_qualified_name);
		bytes += m.key.n + val_str(m.value).n;
	}
	if (bytes > ANNOTATIONS_MAX_BYTES)
		fe_too_long(fe, at, ANNOTATIONS_MAX_BYTES);
}

void validate_selector_operator(struct field_errs *fe, const struct val *e, const struct fpath *at, bool any)
{
	const struct val *op = val_member(e, F_operator), *values = val_member(e, F_values);
	struct fpath op_at = FPATH(at, F_operator), values_at = FPATH(at, F_values);

	if (val_is(op, "In") || val_is(op, "NotIn")) {
		if (val_len(values) == 0)
			fe_required_why(fe, &values_at, "must be specified when `operator` is 'In' or 'NotIn'");
	} else if (val_is(op, "Exists") || val_is(op, "DoesNotExist")) {
		if (val_len(values))
			fe_forbidden(fe, &values_at,
				     "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	} else if (!any) {
		fe_format(fe, &op_at, val_str(op), "not a valid selector operator");
	}
}

void validate_label_requirement(struct field_errs *fe, const struct val *e, const struct fpath *at, bool any)
{
	struct fpath key_at = FPATH(at, F_key), values_at = FPATH(at, F_values);
	size_t i = 0;

	validate_selector_operator(fe, e, at, any);
	fe_check(fe, &key_at, val_get_str(e, F_key), fmt_qualified_name);
	VAL_EACH(val_member(e, F_values), v) {
		struct fpath value_at = FPATH_AT(&values_at, i++);

		fe_check(fe, &value_at, val_str(v), fmt_label_value);
	}
}

void validate_label_selector(struct field_errs *fe, const struct val *sel, const struct fpath *at)
{
	struct fpath labels = FPATH(at, F_matchLabels), exprs = FPATH(at, F_matchExpressions);
	size_t i = 0;

	validate_labels(fe, val_member(sel, F_matchLabels), &labels);
	VAL_EACH(val_member(sel, F_matchExpressions), e) {
		struct fpath item = FPATH_AT(&exprs, i++);

		validate_label_requirement(fe, e, &item, false);
	}
}

static void must_be_set(struct field_errs *fe, const struct fpath *up, const struct val *ref, enum sym name)
{
	struct fpath at = FPATH(up, name);

	if (val_str(val_member(ref, name)).n == 0)
		fe_add(fe, FE_INVALID, &at, val_new_str(fe->a, SV("")), "%.*s must not be empty",
		       SV_ARG(sym_name(name)));
}

static void owner_references(struct field_errs *fe, const struct val *refs, const struct fpath *at)
{
	struct sv controller = SV_NULL;

	VAL_EACH(refs, ref) {
		struct sv api_version = val_get_str(ref, F_apiVersion), group, version;
		struct fpath av_at = FPATH(at, F_apiVersion);

		if (!api_version_split(api_version, &group, &version) || version.n == 0) {
			fe_format(fe, &av_at, api_version, "version must not be empty");
			group = version = SV("");
		}
		must_be_set(fe, at, ref, F_kind);
		must_be_set(fe, at, ref, F_name);
		must_be_set(fe, at, ref, F_uid);
		/* Events come and go by the thousand: owning through one would delete things at random. */
		if (group.n == 0 && sv_is(version, "v1") && val_is(val_member(ref, F_kind), "Event"))
			fe_invalid(fe, at, ref, "/v1, Kind=Event is disallowed from being an owner");
		if (!val_get_bool(ref, F_controller))
			continue;
		if (controller.p)
			fe_add(fe, FE_INVALID, at, refs,
			       "Only one reference can have Controller set to true. Found \"true\" in references for "
			       "%.*s and %.*s",
			       SV_ARG(controller), SV_ARG(val_get_str(ref, F_name)));
		else
			controller = val_get_str(ref, F_name);
	}
}

static const char *standard_finalizer(struct sv s)
{
	if (fmt_qualified_name(s) || sv_find(s, '/') >= 0 || sv_is(s, "kubernetes") || sv_is(s, "orphan") ||
	    sv_is(s, "foregroundDeletion"))
		return NULL;
	return "name is neither a standard finalizer name nor is it fully qualified";
}

const char *fmt_finalizer(struct sv s)
{
	return fmt_qualified_name(s) ? fmt_qualified_name(s) : standard_finalizer(s);
}

/* Two rules upstream, at two places: how names look, and, of kinds that are not of apiextensions, which of
 * the short ones there are. */
static void validate_finalizers(struct field_errs *fe, const struct val *list, const struct fpath *at, bool any_short)
{
	bool orphan = false, foreground = false;
	size_t i = 0;

	VAL_EACH(list, f) {
		struct fpath item = FPATH_AT(at, i++);

		fe_check(fe, at, val_str(f), fmt_qualified_name);
		if (!any_short)
			fe_check(fe, &item, val_str(f), standard_finalizer);
		orphan |= val_is(f, "orphan");
		foreground |= val_is(f, "foregroundDeletion");
	}
	if (orphan && foreground)
		fe_invalid(fe, at, list, "finalizer orphan and foregroundDeletion cannot be both set");
}

static void managed_fields(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(list, e) {
		struct fpath item = FPATH_AT(at, i++), op_at = FPATH(&item, F_operation);
		struct fpath type_at = FPATH(&item, F_fieldsType), manager_at = FPATH(&item, F_manager);
		struct fpath sub_at = FPATH(&item, F_subresource);
		struct sv manager = val_get_str(e, F_manager), type = val_get_str(e, F_fieldsType);
		const struct val *op = val_member(e, F_operation);

		if (!val_is(op, "Apply") && !val_is(op, "Update"))
			fe_format(fe, &op_at, val_str(op), "must be `Apply` or `Update`");
		if (type.n && !sv_is(type, "FieldsV1"))
			fe_format(fe, &type_at, type, "must be `FieldsV1`");
		if (manager.n > FIELD_MANAGER_MAX)
			fe_too_long(fe, &manager_at, FIELD_MANAGER_MAX);
		if (val_get_str(e, F_subresource).n > 256)
			fe_too_long(fe, &sub_at, 256);
	}
}

/* A name as the prefix of a generated one, which may end in '-'. */
static struct sv as_prefix(struct arena *a, struct sv prefix)
{
	char *copy = arena_cstr(a, prefix);

	if (prefix.n > 1 && copy[prefix.n - 1] == '-')
		copy[prefix.n - 1] = 'a';
	return sv_make(copy, prefix.n);
}

static void no_new_finalizers(struct field_errs *fe, const struct val *now, const struct val *old,
			      const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap had = STRMAP_INIT;
	_cleanup_(buf_release) struct buf extra = BUF_INIT;

	VAL_EACH(old, f)
		strmap_set(&had, val_str(f), fe);
	VAL_EACH(now, f) {
		if (strmap_set(&had, val_str(f), fe))
			continue;
		buf_printf(&extra, "%s\"%.*s\"", extra.n ? ", " : "", SV_ARG(val_str(f)));
	}
	if (extra.n)
		fe_add(
		    fe, FE_FORBIDDEN, at, NULL,
		    "no new finalizers can be added if the object is being deleted, found new finalizers []string{%s}",
		    buf_cstr(&extra));
}

/* A time as Go prints it: "2030-01-01 00:00:00 +0000 UTC". Ours are in the one form that decoding leaves. */
static const struct val *go_time(struct arena *a, const struct val *v)
{
	struct sv s = val_str(v);
	ssize_t t = sv_find(s, 'T');

	if (t < 0 || !sv_ends(s, SV("Z")))
		return v;
	return val_new_raw(a,
			   arena_svf(a, "%.*s %.*s +0000 UTC", (int)t, s.p, (int)(s.n - (size_t)t - 2), s.p + t + 1));
}

static void meta_update(struct field_errs *fe, const struct val *meta, const struct val *old, const struct fpath *at)
{
	static const enum sym fixed[] = {
		F_name, F_namespace, F_uid, F_creationTimestamp, F_deletionTimestamp, F_deletionGracePeriodSeconds
	};
	struct fpath rv_at = FPATH(at, F_resourceVersion), gen_at = FPATH(at, F_generation);
	struct fpath fin_at = FPATH(at, F_finalizers);

	if (val_member(old, F_deletionTimestamp))
		no_new_finalizers(fe, val_member(meta, F_finalizers), val_member(old, F_finalizers), &fin_at);
	if (val_get_str(meta, F_resourceVersion).n == 0)
		fe_format(fe, &rv_at, SV(""), "must be specified for an update");
	if (val_get_int(meta, 0, F_generation) < val_get_int(old, 0, F_generation))
		fe_invalid(fe, &gen_at, val_new_int(fe->a, val_get_int(meta, 0, F_generation)),
			   "must not be decremented");
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		struct fpath f_at = FPATH(at, fixed[i]);

		const struct val *now = val_member(meta, fixed[i]), *was = val_member(old, fixed[i]);

		if (fixed[i] == F_creationTimestamp || fixed[i] == F_deletionTimestamp) {
			if (now && !(was && val_equal(now, was)))
				now = go_time(fe->a, now);
		}
		fe_immutable(fe, &f_at, now, was);
	}
}

/* name: what it is called; may be another than meta says. */
static void meta_rules(struct field_errs *fe, bool namespaced, bool any_short, const struct val *meta, struct sv name,
		       const char *(*name_check)(struct sv), const struct fpath *at)
{
	struct fpath gname_at = FPATH(at, F_generateName), name_at = FPATH(at, F_name);
	struct fpath ns_at = FPATH(at, F_namespace), gen_at = FPATH(at, F_generation);
	struct fpath labels_at = FPATH(at, F_labels), ann_at = FPATH(at, F_annotations);
	struct fpath refs_at = FPATH(at, F_ownerReferences), fin_at = FPATH(at, F_finalizers);
	struct fpath managed_at = FPATH(at, F_managedFields);
	struct sv gname = val_get_str(meta, F_generateName), ns = val_get_str(meta, F_namespace);
	int64_t generation = val_get_int(meta, 0, F_generation);

	if (gname.n && name_check)
		fe_check_as(fe, &gname_at, gname, as_prefix(fe->a, gname), name_check);
	if (name.n == 0)
		fe_required_why(fe, &name_at, "name or generateName is required");
	else if (name_check)
		fe_check(fe, &name_at, name, name_check);
	if (namespaced) {
		if (ns.n == 0)
			fe_required(fe, &ns_at);
		else
			fe_check(fe, &ns_at, ns, fmt_dns_label);
	} else if (ns.n) {
		fe_forbidden(fe, &ns_at, "not allowed on this type");
	}
	if (generation < 0)
		fe_invalid(fe, &gen_at, val_new_int(fe->a, generation), "must be greater than or equal to 0");
	validate_labels(fe, val_member(meta, F_labels), &labels_at);
	validate_annotations(fe, val_member(meta, F_annotations), &ann_at);
	owner_references(fe, val_member(meta, F_ownerReferences), &refs_at);
	validate_finalizers(fe, val_member(meta, F_finalizers), &fin_at, any_short);
	managed_fields(fe, val_member(meta, F_managedFields), &managed_at);
}

void validate_object_meta(struct field_errs *fe, const struct resource *r, const struct val *meta,
			  const struct val *old_meta, const char *(*name_check)(struct sv))
{
	struct fpath at = FPATH_ROOT(F_metadata);

	if (old_meta)
		meta_update(fe, meta, old_meta, &at);
	meta_rules(fe, r->namespaced, resource_late(r) || r == RES(apiextensions_customresourcedefinitions), meta,
		   val_get_str(meta, F_name), name_check, &at);
}

void validate_embedded_meta(struct field_errs *fe, const struct val *meta, const struct fpath *at)
{
	struct sv name = val_get_str(meta, F_name);

	meta_rules(fe, val_get_str(meta, F_namespace).n > 0, true, meta, name.n ? name : SV("unnamed"),
		   fmt_path_segment, at);
}
