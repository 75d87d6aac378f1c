/* conditions.c - conditions as most newer kinds have them (meta/v1.Condition). */
#include "apiserver/registry/validate/kinds-internal.h"

#define REASON_MAX 1024
#define MESSAGE_MAX ((size_t)32 * 1024)

static bool reason_shape(struct sv s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], upper = (char)(c & ~0x20);
		bool letter = upper >= 'A' && upper <= 'Z', inner = (c >= '0' && c <= '9') || c == '_';

		if (!letter && !(i && (inner || (i + 1 < s.n && (c == ',' || c == ':')))))
			return false;
	}
	return s.n > 0;
}

static void conditions_one(struct field_errs *fe, const struct val *c, const struct fpath *at)
{
	struct fpath type_at = FPATH(at, F_type), status_at = FPATH(at, F_status),
		     seen_at = FPATH(at, F_observedGeneration), time_at = FPATH(at, F_lastTransitionTime),
		     reason_at = FPATH(at, F_reason), message_at = FPATH(at, F_message);
	const struct val *seen = val_member(c, F_observedGeneration), *status = val_member(c, F_status);
	struct sv type = val_get_str(c, F_type), reason = val_get_str(c, F_reason);

	if (!type.n)
		fe_required_why(fe, &type_at, "must be set");
	else
		fe_check(fe, &type_at, type, fmt_qualified_name);
	CHECK_ONE_OF(fe, status ? status : val_new_str(fe->a, SV("")), &status_at, "False", "True", "Unknown");
	if (val_int_or(seen, 0) < 0)
		fe_invalid(fe, &seen_at, seen, "must be greater than or equal to zero");
	if (!val_get_str(c, F_lastTransitionTime).n)
		fe_required_why(fe, &time_at, "must be set");
	if (!reason.n)
		fe_required_why(fe, &reason_at, "must be set");
	else if (!reason_shape(reason))
		fe_format(fe, &reason_at, reason,
			  "a condition reason must start with alphabetic character, optionally followed by a string of "
			  "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. "
			  "'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex "
			  "used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')");
	if (reason.n > REASON_MAX)
		fe_too_long(fe, &reason_at, REASON_MAX);
	if (val_get_str(c, F_message).n > MESSAGE_MAX)
		fe_too_long(fe, &message_at, MESSAGE_MAX);
}

void validate_conditions(struct field_errs *fe, const struct val *list, const struct fpath *at, size_t max)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	if (max && val_len(list) > max)
		fe_too_many(fe, at, val_len(list), max);
	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), type_at = FPATH(&item, F_type);

		if (strmap_set(&seen, val_get_str(c, F_type), fe))
			fe_duplicate(fe, &type_at, val_new_str(fe->a, val_get_str(c, F_type)));
		conditions_one(fe, c, &item);
	}
}
