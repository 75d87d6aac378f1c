/* fielderr.c - field paths, field errors and the 422 Status they add up to. */
#include "object/validate.h"

#include "base/buf.h"
#include "base/strmap.h"
#include "codec/json.h"

#include <stdarg.h>
#include <stdlib.h>

/* Same order as enum field_err_type: the cause's reason and the start of its message. */
static const struct {
	const char *cause, *text;
} types[] = {
	[FE_REQUIRED] = { "FieldValueRequired", "Required value" },
	[FE_INVALID] = { "FieldValueInvalid", "Invalid value" },
	[FE_NOT_SUPPORTED] = { "FieldValueNotSupported", "Unsupported value" },
	[FE_FORBIDDEN] = { "FieldValueForbidden", "Forbidden" },
	[FE_DUPLICATE] = { "FieldValueDuplicate", "Duplicate value" },
	[FE_NOT_FOUND] = { "FieldValueNotFound", "Not found" },
	[FE_TOO_LONG] = { "FieldValueTooLong", "Too long" },
	[FE_TOO_MANY] = { "FieldValueTooMany", "Too many" },
	[FE_TYPE_INVALID] = { "FieldValueTypeInvalid", "Invalid value" },
	[FE_INTERNAL] = { "InternalError", "Internal error" },
};

/* What one answer says of all that is wrong, and what is kept of it before. A rule that names a whole list says it once
 * an element, and a path may be as long as a client's key: without a bound a client would buy the square of its body,
 * in memory. */
#define SAID_MAX_BYTES (4 * 1024 * 1024)

const struct val fe_null = { .type = VAL_NULL };

static void path_add(struct buf *b, const struct fpath *p)
{
	if (p->up)
		path_add(b, p->up);
	if (p->index >= 0) {
		buf_printf(b, "[%zd]", p->index);
	} else if (p->key.p && !p->plain) {
		buf_addc(b, '[');
		buf_addsv(b, p->key);
		buf_addc(b, ']');
	} else {
		struct sv name = p->plain ? p->key : sym_name(p->sym);

		if (b->n)
			buf_addc(b, '.');
		buf_addsv(b, name);
	}
}

struct sv fpath_str(struct arena *a, const struct fpath *p)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (p)
		path_add(&b, p);
	return arena_sv(a, buf_sv(&b));
}

void field_errs_init(struct field_errs *fe, struct arena *a)
{
	*fe = (struct field_errs){ .a = a };
}

/* Grows inside the arena: the doubled copies cost at most as much again as the list itself. */
static struct field_err *next_slot(struct field_errs *fe)
{
	if (fe->list.n == fe->list.cap) {
		size_t cap = fe->list.cap ? fe->list.cap * 2 : 8;
		struct field_err *p = ARENA_ARRAY(fe->a, struct field_err, cap);

		if (fe->list.n)
			memcpy(p, fe->list.p, fe->list.n * sizeof(*p));
		fe->list.p = p;
		fe->list.cap = cap;
	}
	return &fe->list.p[fe->list.n++];
}

void fe_add(struct field_errs *fe, enum field_err_type type, const struct fpath *at, const struct val *value,
	    const char *fmt, ...)
{
	struct field_err *e;
	va_list ap;

	if (fe->bytes > SAID_MAX_BYTES) {
		fe->unsaid++;
		return;
	}
	e = next_slot(fe);
	e->type = type;
	e->field = fpath_str(fe->a, at);
	e->value = value;
	e->detail = SV_NULL;
	if (fmt) {
		va_start(ap, fmt);
		e->detail = sv_from(arena_vprintf(fe->a, fmt, ap));
		va_end(ap);
	}
	fe->bytes += e->field.n + e->detail.n;
}

void fe_required(struct field_errs *fe, const struct fpath *at)
{
	fe_add(fe, FE_REQUIRED, at, NULL, NULL);
}

void fe_required_why(struct field_errs *fe, const struct fpath *at, const char *detail)
{
	fe_add(fe, FE_REQUIRED, at, NULL, "%s", detail);
}

void fe_format(struct field_errs *fe, const struct fpath *at, struct sv value, const char *msg)
{
	if (msg)
		fe_add(fe, FE_INVALID, at, val_new_str(fe->a, value), "%s", msg);
}

void fe_check_as(struct field_errs *fe, const struct fpath *at, struct sv value, struct sv judged,
		 const char *(*fmt)(struct sv))
{
	const char *list[FMT_MSGS_MAX];
	size_t n = fmt_all(fmt, judged, list);

	for (size_t i = 0; i < n; i++)
		fe_format(fe, at, value, list[i]);
}

void fe_check(struct field_errs *fe, const struct fpath *at, struct sv value, const char *(*fmt)(struct sv))
{
	fe_check_as(fe, at, value, value, fmt);
}

void fe_invalid(struct field_errs *fe, const struct fpath *at, const struct val *value, const char *detail)
{
	fe_add(fe, FE_INVALID, at, value ? value : &fe_null, "%s", detail);
}

void fe_forbidden(struct field_errs *fe, const struct fpath *at, const char *detail)
{
	fe_add(fe, FE_FORBIDDEN, at, NULL, "%s", detail);
}

void fe_duplicate(struct field_errs *fe, const struct fpath *at, const struct val *value)
{
	fe_add(fe, FE_DUPLICATE, at, value, NULL);
}

void fe_not_found(struct field_errs *fe, const struct fpath *at, const struct val *value)
{
	fe_add(fe, FE_NOT_FOUND, at, value, NULL);
}

void fe_too_long(struct field_errs *fe, const struct fpath *at, size_t max_bytes)
{
	fe_add(fe, FE_TOO_LONG, at, NULL, "may not be more than %zu bytes", max_bytes);
}

void fe_too_many(struct field_errs *fe, const struct fpath *at, size_t n, size_t max)
{
	fe_add(fe, FE_TOO_MANY, at, val_new_int(fe->a, (int64_t)n), "must have at most %zu items", max);
}

void fe_immutable(struct field_errs *fe, const struct fpath *at, const struct val *now, const struct val *old)
{
	if (!now && !old)
		return;
	if (now && old && val_equal(now, old))
		return;
	fe_invalid(fe, at, now, "field is immutable");
}

/* Go's %q: printable UTF-8 stays, the rest is escaped. */
static void fe_add_quoted(struct buf *b, struct sv s)
{
	static const char named[] = "\a\b\t\n\v\f\r", letters[] = "abtnvfr";

	buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		const char *at = c ? strchr(named, c) : NULL;

		if (c == '"' || c == '\\') {
			buf_addc(b, '\\');
			buf_addc(b, (char)c);
		} else if (at) {
			buf_addc(b, '\\');
			buf_addc(b, letters[at - named]);
		} else if (c < 0x20 || c == 0x7f) {
			buf_printf(b, "\\x%02x", c);
		} else {
			buf_addc(b, (char)c);
		}
	}
	buf_addc(b, '"');
}

void fe_not_supported(struct field_errs *fe, const struct fpath *at, const struct val *value,
		      const char *const *supported)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; supported[i]; i++) {
		buf_adds(&b, i ? ", " : "supported values: ");
		fe_add_quoted(&b, sv_from(supported[i]));
	}
	fe_add(fe, FE_NOT_SUPPORTED, at, value ? value : &fe_null, "%s", buf_cstr(&b));
}

/* "Invalid value: "x": must be ..." */
static void fe_add_body(struct buf *b, const struct field_err *e)
{
	bool silent =
	    e->type == FE_REQUIRED || e->type == FE_FORBIDDEN || e->type == FE_TOO_LONG || e->type == FE_INTERNAL;

	buf_adds(b, types[e->type].text);
	if (!silent && e->value) {
		buf_adds(b, ": ");
		if (e->value->type == VAL_STR)
			fe_add_quoted(b, val_str(e->value));
		else if (e->value == &fe_null || e->value->type == VAL_NULL)
			buf_adds(b, "\"null\"");
		else
			json_encode(b, e->value);
	}
	if (e->detail.n) {
		buf_adds(b, ": ");
		buf_addsv(b, e->detail);
	}
}

void fe_again(struct field_errs *fe, const struct field_err *e)
{
	*next_slot(fe) = *e;
}

static struct sv place_of(struct arena *a, const struct field_err *e)
{
	return arena_svf(a, "%d %.*s", (int)e->type, SV_ARG(e->field));
}

void field_errs_merge(struct field_errs *fe, const struct field_errs *more)
{
	_cleanup_(strmap_release) struct strmap said = STRMAP_INIT;
	size_t kept = 0;

	if (!more->list.n)
		return;
	for (size_t i = 0; i < more->list.n; i++)
		strmap_set(&said, place_of(fe->a, &more->list.p[i]), fe);
	for (size_t i = 0; i < fe->list.n; i++)
		if (!strmap_get(&said, place_of(fe->a, &fe->list.p[i])))
			fe->list.p[kept++] = fe->list.p[i];
	fe->list.n = kept;
	for (size_t i = 0; i < more->list.n; i++)
		*next_slot(fe) = more->list.p[i];
	fe->bytes += more->bytes;
	fe->unsaid += more->unsaid;
}

int field_errs_to_err(struct field_errs *fe, const struct resource *r, struct sv name, struct err *err)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	_cleanup_(buf_release) struct buf all = BUF_INIT, one = BUF_INIT, quoted = BUF_INIT;
	size_t distinct = 0, rendered = 0, n = 0;

	if (fe->list.n == 0)
		return 0;
	for (; n < fe->list.n && rendered < SAID_MAX_BYTES; n++) {
		const struct field_err *e = &fe->list.p[n];

		buf_clear(&one);
		buf_addsv(&one, e->field);
		buf_adds(&one, ": ");
		fe_add_body(&one, e);
		rendered += one.n;
		if (strmap_set(&seen, buf_sv(&one), fe))
			continue; /* the message says a thing once; causes repeat it */
		if (distinct++)
			buf_adds(&all, ", ");
		buf_addsv(&all, buf_sv(&one));
	}
	if (n < fe->list.n + fe->unsaid)
		buf_printf(&all, ", and %zu more", fe->list.n + fe->unsaid - n);
	fe_add_quoted(&quoted, name);
	err_set(err, ERR_INVALID, "%s%s%s %s is invalid: %s%s%s", r->kind, *r->group ? "." : "", r->group,
		buf_cstr(&quoted), distinct > 1 ? "[" : "", buf_cstr(&all), distinct > 1 ? "]" : "");
	for (size_t i = 0; i < n; i++) {
		buf_clear(&one);
		fe_add_body(&one, &fe->list.p[i]);
		err_add_cause(err, types[fe->list.p[i].type].cause, fe->list.p[i].field, "%s", buf_cstr(&one));
	}
	err_set_object(err, sv_from(r->group), sv_from(r->kind), name);
	return -1;
}
