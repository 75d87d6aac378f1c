/* validate_typed.c - the validation that is data: marks of the schema, walked over a document.
 *
 * What is checked, and what on purpose is not:
 *  - Required: where the schema says that empty is not enough (nonempty), and required
 *    pointers. OpenAPI's required list is not it: it names plain integers and strings whose
 *    zero value is fine (restartCount: 0), and upstream does not enforce it either.
 *  - Closed enums, except below status: what a newer node reports must be storable.
 *  - Formats, of the value or of each element.
 *  - Immutable fields, along structs; list items have no partner to compare with.
 */
#include "object/validate.h"

static void check_int(struct field_errs *fe, const struct field *f, const struct val *v, const struct fpath *at)
{
	if (v->type != VAL_INT)
		return;
	if (f->format == FMT_PORT && (v->i < 1 || v->i > 65535))
		fe_invalid(fe, at, v, "must be between 1 and 65535, inclusive");
	if (f->format == FMT_NONNEGATIVE && v->i < 0)
		fe_invalid(fe, at, v, "must be greater than or equal to 0");
	if (f->format == FMT_POSITIVE && v->i <= 0)
		fe_invalid(fe, at, v, "must be greater than 0");
}

static const char *text_of_ip(struct sv s)
{
	return fmt_ip(s) ? NULL : FMT_IP_MSG;
}

static const char *text_of_cidr(struct sv s)
{
	return fmt_cidr(s) ? NULL : FMT_CIDR_MSG;
}

static fmt_fn *text_format(enum field_format format)
{
	switch (format) {
	case FMT_DNS_LABEL:
		return fmt_dns_label;
	case FMT_DNS_SUBDOMAIN:
		return fmt_dns_subdomain;
	case FMT_DNS1035_LABEL:
		return fmt_dns1035_label;
	case FMT_QUALIFIED_NAME:
		return fmt_qualified_name;
	case FMT_LABEL_VALUE:
		return fmt_label_value;
	case FMT_PORT_NAME:
		return fmt_port_name;
	case FMT_IP:
		return text_of_ip;
	case FMT_CIDR:
		return text_of_cidr;
	default:
		return NULL;
	}
}

enum {
	WALK_ENUMS = 1 << 0,   /* closed ones are checked */
	WALK_ORDERED = 1 << 1, /* the document is in the order of its types' fields */
};

static void check_value(struct field_errs *fe, const struct field *f, const struct val *v, const struct val *old,
			const struct fpath *at, unsigned how);

static bool missing(const struct field *f, const struct val *v)
{
	if (!v || v->type == VAL_NULL)
		return (f->flags & FF_NONEMPTY) || ((f->flags & FF_REQUIRED) && (f->flags & FF_POINTER) &&
						    !(f->flags & FF_UNASKED) && f->card == CARD_ONE);
	return (f->flags & FF_NONEMPTY) && (v->type == VAL_STR || v->type == VAL_LIST || v->type == VAL_MAP) &&
	       v->n == 0;
}

/* v, or what Go has of a field that is not there. */
static const struct val *absent_value(struct field_errs *fe, const struct field *f, const struct val *v)
{
	return !v && f->kind == FIELD_STRING && f->card == CARD_ONE && !(f->flags & FF_POINTER)
		   ? val_new_str(fe->a, SV(""))
		   : v;
}

static void validate_typed_walk(struct field_errs *fe, const struct schema *s, const struct val *doc,
				const struct val *old, const struct fpath *at, unsigned how)
{
	struct in_order now = how & WALK_ORDERED ? in_order_known(s, doc) : in_order(fe->a, s, doc);
	struct in_order before = old ? in_order(fe->a, s, old) : in_order_known(s, NULL);
	unsigned of_absent = FF_NONEMPTY | FF_REQUIRED | (old ? FF_IMMUTABLE : 0u);

	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f;
		const struct val *v, *was;
		struct fpath here;

		if (!old && (i = in_order_skip(&now, i, of_absent, true)) == s->n_fields)
			break;
		f = &s->fields[i];
		v = in_order_next(&now, f);
		was = in_order_next(&before, f);
		if (!v && !(f->flags & of_absent))
			continue;
		here = FPATH(at, f->sym);
		/* TypeMeta is fixed by the request; managed fields are ours. */
		if ((s->root && (f->sym == F_apiVersion || f->sym == F_kind)) || f->sym == F_managedFields)
			continue;
		if (missing(f, v))
			fe_required(fe, &here);
		if (old && (f->flags & FF_IMMUTABLE))
			fe_immutable(fe, &here, absent_value(fe, f, v), was);
		if (v && !missing(f, v))
			check_value(fe, f, v, was, &here, s->root && f->sym == F_status ? how & ~WALK_ENUMS : how);
	}
}

static void validate_typed_check_one(struct field_errs *fe, const struct field *f, const struct val *v,
				     const struct val *old, const struct fpath *at, unsigned how)
{
	if (f->kind == FIELD_STRUCT) {
		if (v->type == VAL_MAP)
			validate_typed_walk(fe, f->type, v, old, at, how);
		return;
	}
	if (v->type == VAL_INT) {
		check_int(fe, f, v, at);
		return;
	}
	if (v->type != VAL_STR)
		return;
	if (how & WALK_ENUMS && (f->flags & FF_ENUM) && f->enum_values) {
		bool known = v->n == 0;

		for (size_t i = 0; !known && f->enum_values[i]; i++)
			known = val_is(v, f->enum_values[i]);
		if (!known)
			fe_not_supported(fe, at, v, f->enum_values);
	}
	if (v->n && text_format((enum field_format)f->format))
		fe_check(fe, at, val_str(v), text_format((enum field_format)f->format));
}

static void check_value(struct field_errs *fe, const struct field *f, const struct val *v, const struct val *old,
			const struct fpath *at, unsigned how)
{
	size_t i = 0;

	/* Scalars without a mark have nothing to check: most members, most maps and many lists end here. */
	if (f->kind != FIELD_STRUCT && f->format == FMT_NONE && !(f->flags & FF_ENUM))
		return;
	if (f->format == FMT_LABELS) {
		validate_labels(fe, v, at);
		return;
	}
	if (f->card == CARD_ONE) {
		validate_typed_check_one(fe, f, v, old, at, how);
		return;
	}
	if (f->card == CARD_LIST) {
		VAL_EACH(v, it) {
			struct fpath here = FPATH_AT(at, i++);

			validate_typed_check_one(fe, f, it, NULL, &here, how);
		}
		return;
	}
	VAL_EACH_MEMBER(v, m) {
		struct fpath here = FPATH_KEY(at, m.key);

		validate_typed_check_one(fe, f, m.value, NULL, &here, how);
	}
}

void validate_typed(struct field_errs *fe, const struct schema *s, const struct val *doc, const struct val *old,
		    const struct fpath *at)
{
	if (val_type(doc) == VAL_MAP)
		validate_typed_walk(fe, s, doc, old, at, WALK_ENUMS);
}

void validate_ordered(struct field_errs *fe, const struct schema *s, const struct val *doc, const struct val *old)
{
	if (val_type(doc) == VAL_MAP)
		validate_typed_walk(fe, s, doc, old, NULL, WALK_ENUMS | WALK_ORDERED);
}
