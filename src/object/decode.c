/* Typed decoding walks the schema and the raw document together and builds the canonical one.
 *
 * The rules are those of Go's encoding/json in the variant the API machinery uses (names
 * compare by case), followed by the encoder: a member left out by `omitempty` is not in the
 * result, every other field is, with its zero value when the client said nothing. So encoding
 * the result gives the bytes upstream would answer: `"status":{}`, `"rules":null`.
 *
 * A step (struct at) names where the walk is, for messages; steps live on the C stack. Type
 * errors name the innermost Go struct and the field names from the root, without indices.
 * Unknown fields are only noticed here; strict.c says which. */
#include "object/decode.h"
#include "object/feature.h"

#include <stdio.h>

#include "base/b64.h"
#include "base/buf.h"
#include "base/timefmt.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "object/quantity.h"

#define DEPTH_MAX 500  /* nesting of types that a document may have; JSONSchemaProps is the deepest in use */
#define ROOM_SPARE 4   /* members of a struct that always are written, and defaults to come */
#define SLOTS_SMALL 64 /* fields of a type for which the stack has room */

struct at {
	const struct at *up;
	const struct schema *in; /* of a field step: the type it is a field of */
	const struct field *field;
	unsigned depth;
};

struct decoder {
	struct arena *a;
	bool unknown; /* a field that the schema does not have was seen */
	bool keep_empty, has_empty;
	bool converter; /* decode_report's */
	struct err *err;
};

static struct val *decode_struct(struct decoder *d, const struct schema *s, const struct val *raw, const struct at *at);

/* --- messages --- */

/* "DeploymentSpec" of "apps/v1.DeploymentSpec"; its package is the version, "v1". */
static struct sv type_name(const struct schema *s)
{
	const char *dot = strrchr(s->ref, '.');

	return sv_from(dot ? dot + 1 : s->ref);
}

static struct sv type_package(const struct schema *s)
{
	const char *dot = strrchr(s->ref, '.'), *slash = strrchr(s->ref, '/'), *from = slash ? slash + 1 : s->ref;

	return dot && dot > from ? sv_make(from, (size_t)(dot - from)) : SV("");
}

static void add_field_path(struct buf *b, const struct at *at)
{
	if (!at)
		return;
	add_field_path(b, at->up);
	if (!at->field)
		return;
	if (b->n)
		buf_addc(b, '.');
	buf_addsv(b, sym_name(at->field->sym));
}

/* What the Go decoder calls the value it did not want. */
static void add_value_word(struct buf *b, const struct val *v, bool number_text)
{
	switch (val_type(v)) {
	case VAL_BOOL:
		buf_adds(b, "bool");
		break;
	case VAL_INT:
	case VAL_FLOAT:
		buf_adds(b, "number");
		if (number_text) {
			buf_addc(b, ' ');
			json_encode(b, v);
		}
		break;
	case VAL_STR:
		buf_adds(b, "string");
		break;
	case VAL_LIST:
		buf_adds(b, "array");
		break;
	default:
		buf_adds(b, "object");
		break;
	}
}

/* How the Go decoder calls the type of one value of f. */
static void add_value_type(struct buf *b, const struct field *f)
{
	static const char *const names[_FIELD_KIND_MAX] = {
		[FIELD_BOOL] = "bool",	     [FIELD_INT32] = "int32",	      [FIELD_INT64] = "int64",
		[FIELD_FLOAT64] = "float64", [FIELD_STRING] = "string",	      [FIELD_BYTES] = "[]uint8",
		[FIELD_TIME] = "string",     [FIELD_MICROTIME] = "string",    [FIELD_DURATION] = "string",
		[FIELD_QUANTITY] = "string", [FIELD_INT_OR_STRING] = "int32", [FIELD_RAW] = "object",
	};

	if (f->kind == FIELD_STRUCT) {
		buf_addsv(b, type_package(f->type));
		buf_addc(b, '.');
		buf_addsv(b, type_name(f->type));
	} else {
		buf_adds(b, names[f->kind]);
	}
}

enum level { WHOLE, INNER, ELEMENT }; /* of a field: all of it, one value of a map of lists, one value */

/* The kinds of Go's reflect package. */
static const char *value_kind(const struct val *v)
{
	static const char *const kinds[] = { [VAL_BOOL] = "bool",  [VAL_INT] = "int64",	 [VAL_FLOAT] = "float64",
					     [VAL_STR] = "string", [VAL_LIST] = "slice", [VAL_MAP] = "map" };
	enum val_type type = val_type(v);

	return type < ARRAY_LEN(kinds) && kinds[type] ? kinds[type] : "map";
}

/* What upstream's converter says of a value of another form than f's. */
static struct val *cannot_restore(struct decoder *d, const struct field *f, enum level level, const struct val *v)
{
	_cleanup_(buf_release) struct buf type = BUF_INIT, word = BUF_INIT;
	const char *kind = value_kind(v);
	bool number = val_type(v) == VAL_INT || val_type(v) == VAL_FLOAT;

	add_value_type(&type, f);
	if (level != ELEMENT) {
		err_set(d->err, ERR_BAD_REQUEST, "cannot restore %s from %s",
			level == WHOLE && f->card == CARD_MAP ? "map" : "slice", kind);
		return NULL;
	}
	switch ((enum field_kind)f->kind) {
	case FIELD_STRUCT:
		err_set(d->err, ERR_BAD_REQUEST, "cannot restore struct from: %s", kind);
		return NULL;
	case FIELD_BYTES:
		err_set(d->err, ERR_BAD_REQUEST, "cannot restore slice from %s", kind);
		return NULL;
	case FIELD_BOOL:
	case FIELD_INT32:
	case FIELD_INT64:
	case FIELD_FLOAT64:
	case FIELD_STRING:
		/* What Go can convert, if at a loss, and what not even that. */
		if (f->kind == FIELD_STRING ? val_type(v) == VAL_INT : number && f->kind != FIELD_BOOL)
			err_set(d->err, ERR_BAD_REQUEST, "cannot convert %s to %s", kind, buf_cstr(&type));
		else
			err_set(d->err, ERR_BAD_REQUEST, "unrecognized type: %s", buf_cstr(&type));
		return NULL;
	default: /* these read their JSON themselves */
		add_value_word(&word, v, false);
		err_set(d->err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type %s", buf_cstr(&word),
			buf_cstr(&type));
		return NULL;
	}
}

static struct val *type_error(struct decoder *d, const struct at *at, enum level level, const struct val *v,
			      bool number_text)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct at *where = at;
	const struct field *f;

	while (where && !where->field)
		where = where->up;
	if (where && d->converter)
		return cannot_restore(d, where->field, level, v);
	buf_adds(&b, "json: cannot unmarshal ");
	add_value_word(&b, v, number_text);
	if (!where) {
		err_set(d->err, ERR_BAD_REQUEST, "%s into Go value", buf_cstr(&b));
		return NULL;
	}
	f = where->field;
	buf_printf(&b, " into Go struct field %.*s.", SV_ARG(type_name(where->in)));
	{
		_cleanup_(buf_release) struct buf path = BUF_INIT;

		add_field_path(&path, where);
		buf_addsv(&b, buf_sv(&path));
	}
	buf_adds(&b, " of type ");
	if (level == WHOLE && f->card != CARD_ONE)
		buf_adds(&b, f->card == CARD_LIST ? "[]" : "map[string]");
	if (level != ELEMENT && f->inner_card == CARD_LIST)
		buf_adds(&b, "[]");
	add_value_type(&b, f);
	err_set(d->err, ERR_BAD_REQUEST, "%s", buf_cstr(&b));
	return NULL;
}

/* --- one value --- */

static struct val *decode_int(struct decoder *d, const struct field *f, const struct val *v, const struct at *at)
{
	bool in_range = val_type(v) == VAL_INT;

	if (val_type(v) != VAL_INT && val_type(v) != VAL_FLOAT)
		return type_error(d, at, ELEMENT, v, false);
	if (in_range && f->kind != FIELD_INT64)
		in_range = v->i >= INT32_MIN && v->i <= INT32_MAX;
	return in_range ? val_new_int(d->a, v->i) : type_error(d, at, ELEMENT, v, true);
}

static struct val *decode_time(struct decoder *d, const struct field *f, const struct val *v, const struct at *at)
{
	_cleanup_(buf_release) struct buf why = BUF_INIT;
	struct sv s = val_str(v);
	char out[TIME_TEXT_MAX];
	int64_t sec;
	unsigned ns;

	if (val_type(v) != VAL_STR)
		return type_error(d, at, ELEMENT, v, false);
	if (!time_parse_why(s, f->kind == FIELD_MICROTIME, &sec, &ns, &why)) {
		err_set(d->err, ERR_BAD_REQUEST, "%s", buf_cstr(&why));
		return NULL;
	}
	if (sec == TIME_SEC_MIN && !ns) /* Go's zero time is no time */
		return val_new_null(d->a);
	return val_new_str(d->a, time_format_sec(sec, ns, f->kind == FIELD_MICROTIME, out));
}

static struct val *decode_duration(struct decoder *d, const struct val *v, const struct at *at)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv s = val_str(v);
	int64_t ns;

	if (val_type(v) != VAL_STR)
		return type_error(d, at, ELEMENT, v, false);
	if (!duration_parse(s, &ns)) {
		duration_why(&b, s);
		err_set(d->err, ERR_BAD_REQUEST, "%s", buf_cstr(&b));
		return NULL;
	}
	duration_format(&b, ns);
	return val_new_str(d->a, buf_sv(&b));
}

/* Amounts of a resource list (a map) are rounded up to thousandths, others stand as exact as they are. */
static struct val *decode_quantity(struct decoder *d, const struct field *f, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv text = val_str(v), canonical = SV_NULL;

	if (val_type(v) == VAL_INT || val_type(v) == VAL_FLOAT) {
		json_encode(&b, v);
		text = buf_sv(&b);
	}
	if (text.n)
		canonical =
		    f->card == CARD_MAP ? quantity_canonical(d->a, sv_trim(text)) : quantity_text(d->a, sv_trim(text));
	if (!canonical.p) {
		err_set(d->err, ERR_BAD_REQUEST, "%s", quantity_why(sv_trim(text)));
		return NULL;
	}
	return val_new_str(d->a, canonical);
}

static struct val *decode_bytes(struct decoder *d, const struct val *v, const struct at *at)
{
	struct sv s = val_str(v);
	ssize_t bad;
	char *out;
	size_t n = 0;

	if (val_type(v) != VAL_STR)
		return type_error(d, at, ELEMENT, v, false);
	bad = b64_check(s);
	if (bad >= 0) {
		err_set(d->err, ERR_BAD_REQUEST, "%sillegal base64 data at input byte %zd",
			d->converter ? "error decoding from json: " : "", bad);
		return NULL;
	}
	if (sv_find(s, '\n') < 0 && sv_find(s, '\r') < 0)
		return val_new_str_ref(d->a, s);
	out = arena_alloc(d->a, s.n);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\n' && s.p[i] != '\r')
			out[n++] = s.p[i];
	return val_new_str_ref(d->a, sv_make(out, n));
}

static struct val *decode_raw(struct decoder *d, const struct field *f, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *copy;

	if (f->sym == F_fieldsV1 && val_type(v) != VAL_RAW) {
		json_encode(&b, v);
		return val_new_raw(d->a, buf_sv(&b));
	}
	copy = ARENA_NEW(d->a, struct val);
	*copy = *v;
	copy->sym = SYM_NONE;
	return copy;
}

/* One value of f, never null. NULL on failure. */
static struct val *decode_value(struct decoder *d, const struct field *f, const struct val *v, const struct at *at)
{
	switch ((enum field_kind)f->kind) {
	case FIELD_BOOL:
		return val_type(v) == VAL_BOOL ? val_new_bool(d->a, v->b) : type_error(d, at, ELEMENT, v, false);
	case FIELD_STRING:
		return val_type(v) == VAL_STR ? val_new_str_ref(d->a, val_str(v))
					      : type_error(d, at, ELEMENT, v, false);
	case FIELD_INT32:
	case FIELD_INT64:
		return decode_int(d, f, v, at);
	case FIELD_INT_OR_STRING:
		return val_type(v) == VAL_STR ? val_new_str_ref(d->a, val_str(v)) : decode_int(d, f, v, at);
	case FIELD_FLOAT64:
		if (val_type(v) == VAL_INT)
			return val_new_int(d->a, v->i);
		return val_type(v) == VAL_FLOAT ? val_new_float(d->a, v->d) : type_error(d, at, ELEMENT, v, false);
	case FIELD_BYTES:
		return decode_bytes(d, v, at);
	case FIELD_TIME:
	case FIELD_MICROTIME:
		return decode_time(d, f, v, at);
	case FIELD_DURATION:
		return decode_duration(d, v, at);
	case FIELD_QUANTITY:
		return decode_quantity(d, f, v);
	case FIELD_RAW:
		return decode_raw(d, f, v);
	case FIELD_STRUCT:
	default:
		if (val_type(v) != VAL_MAP)
			return type_error(d, at, ELEMENT, v, false);
		return decode_struct(d, f->type, v, at);
	}
}

/* --- lists and maps --- */

static struct val *decode_element(struct decoder *d, const struct field *f, const struct val *v, const struct at *at)
{
	return val_type(v) == VAL_NULL ? zero_value(d->a, f) : decode_value(d, f, v, at);
}

static struct val *decode_list(struct decoder *d, const struct field *f, const struct val *raw, const struct at *at,
			       enum level level)
{
	struct at step = { .up = at, .depth = at->depth };
	struct val *list;

	if (val_type(raw) != VAL_LIST)
		return type_error(d, at, level, raw, false);
	list = val_new_list(d->a);
	VAL_EACH(raw, v) {
		struct val *out = decode_element(d, f, v, &step);

		if (!out)
			return NULL;
		val_push(d->a, list, out);
	}
	return list;
}

static struct val *decode_map(struct decoder *d, const struct field *f, const struct val *raw, const struct at *at)
{
	struct at step = { .up = at, .depth = at->depth };
	struct val *map;

	if (val_type(raw) != VAL_MAP)
		return type_error(d, at, WHOLE, raw, false);
	map = val_new_map(d->a);
	VAL_EACH_MEMBER(raw, m) {
		struct val *out;

		if (f->inner_card == CARD_LIST)
			out = val_type(m.value) == VAL_NULL ? val_new_null(d->a)
							    : decode_list(d, f, m.value, &step, INNER);
		else
			out = decode_element(d, f, m.value, &step);
		if (!out)
			return NULL;
		val_append_member(d->a, map, m.sym, m.key, out); /* raw has each key once */
	}
	return map;
}

/* --- structs --- */

static bool is_zero(const struct field *f, const struct val *v)
{
	switch (val_type(v)) {
	case VAL_NULL:
		return true;
	case VAL_BOOL:
		return !v->b;
	case VAL_INT:
		return v->i == 0 && f->kind != FIELD_INT_OR_STRING;
	case VAL_FLOAT:
		return v->d == 0;
	case VAL_STR:
		return v->n == 0 && f->kind != FIELD_INT_OR_STRING;
	case VAL_LIST:
	case VAL_MAP:
		return f->card != CARD_ONE && v->n == 0;
	default:
		return false;
	}
}

/* The member for f, or NULL with *ret_ok set when it is to be left out. */
static struct val *decode_field(struct decoder *d, const struct field *f, const struct val *raw, const struct at *at,
				bool *ret_ok)
{
	bool zero_is_null = (f->flags & FF_POINTER) || f->card != CARD_ONE;
	struct val *v;

	*ret_ok = true;
	if (val_type(raw) != VAL_NULL) {
		v = f->card == CARD_ONE	   ? decode_value(d, f, raw, at)
		    : f->card == CARD_LIST ? decode_list(d, f, raw, at, WHOLE)
					   : decode_map(d, f, raw, at);
		if (!v) {
			*ret_ok = false;
			return NULL;
		}
		if (f->flags & FF_POINTER && val_type(v) != VAL_NULL)
			return v;
		if (!is_zero(f, v))
			return v;
		if (d->keep_empty && f->card != CARD_ONE && !(f->flags & FF_OMITEMPTY)) {
			d->has_empty = true;
			return v;
		}
		if (!zero_is_null && !(f->flags & FF_OMITEMPTY))
			return v;
	}
	if (f->flags & FF_OMITEMPTY)
		return NULL;
	v = zero_is_null ? val_new_null(d->a) : zero_value(d->a, f);
	*ret_ok = v != NULL;
	return v;
}

static struct val *decode_struct(struct decoder *d, const struct schema *s, const struct val *raw, const struct at *at)
{
	const struct val *small[SLOTS_SMALL] = { 0 }, **slots = small;
	struct at step = { .up = at, .in = s, .depth = at ? at->depth + 1 : 0 };
	struct val *map;

	if (step.depth > DEPTH_MAX) {
		err_set(d->err, ERR_BAD_REQUEST, "exceeded max depth");
		return NULL;
	}
	if (s->n_fields > SLOTS_SMALL)
		slots = ARENA_ARRAY(d->a, const struct val *, s->n_fields);
	VAL_EACH_MEMBER(raw, m) {
		const struct field *f = schema_member(s, m.sym, m.key);

		if (f && !(f->flags & FF_HIDDEN))
			slots[f - s->fields] = m.value;
		else
			d->unknown = true;
	}
	map = val_new_map(d->a);
	if (val_len(raw))
		map->items = val_items_new(d->a, val_len(raw) + ROOM_SPARE);
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f = &s->fields[i];
		struct val *v;
		bool ok;

		if (!slots[i] && f->flags & FF_OMITEMPTY)
			continue;
		if (f->flags & FF_HIDDEN)
			continue;
		step.field = f;
		v = decode_field(d, f, slots[i], &step, &ok);
		if (!ok)
			return NULL;
		if (v && field_on(f))
			val_append(d->a, map, f->sym, v);
	}
	return map;
}

struct val *decode_plain(struct arena *a, const struct schema *s, const struct val *raw, struct decode_report *report,
			 struct err *err)
{
	_cleanup_(err_release) struct err inner = ERR_INIT;
	struct decoder d = {
		.a = a, .err = &inner, .keep_empty = report != NULL, .converter = report && report->converter
	};
	struct sv name = type_name(s), version = type_package(s);
	struct val *v = NULL;

	if (val_type(raw) == VAL_MAP || val_type(raw) == VAL_NULL) {
		v = decode_struct(&d, s, raw, NULL);
	} else {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		add_value_word(&b, raw, false);
		err_set(&inner, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type %.*s.%.*s",
			buf_cstr(&b), SV_ARG(version), SV_ARG(name));
	}
	if (report)
		report->has_empty = d.has_empty;
	if (v && report && (d.unknown || report->n_repeated))
		strict_report(a, s, raw, report);
	if (v)
		return v;
	if (s->root && !(report && report->bare))
		err_set(err, ERR_BAD_REQUEST, "%.*s in version \"%.*s\" cannot be handled as a %.*s: %s", SV_ARG(name),
			SV_ARG(version), SV_ARG(name), err_msg(&inner));
	else
		err_move(err, &inner);
	return NULL;
}

static void order_values(struct arena *a, const struct field *f, struct val *v)
{
	if (f->kind != FIELD_STRUCT)
		return;
	if (f->card == CARD_ONE) {
		order_typed(a, f->type, v);
	} else if (f->card == CARD_LIST) {
		for (size_t k = 0, n = val_len(v); k < n; k++)
			order_typed(a, f->type, val_at_mut(v, k));
	} else {
		VAL_EACH_MEMBER(v, e)
			order_typed(a, f->type, e.value);
	}
}

static void reorder(struct arena *a, const struct schema *s, struct val *doc)
{
	const struct val *small[SLOTS_SMALL] = { 0 }, **slots = small;
	struct val *map = val_new_map(a);
	bool all;

	if (s->n_fields > SLOTS_SMALL)
		slots = ARENA_ARRAY(a, const struct val *, s->n_fields);
	all = schema_slots(s, doc, slots);
	map->items = val_items_new(a, doc->n);
	for (size_t i = 0; i < s->n_fields; i++)
		if (slots[i])
			order_values(a, &s->fields[i], val_append(a, map, s->fields[i].sym, slots[i]));
	/* What the type does not know comes behind. */
	if (!all)
		VAL_EACH_MEMBER(doc, m)
			if (!schema_member(s, m.sym, m.key))
				val_append_member(a, map, m.sym, m.key, m.value);
	map->sym = doc->sym;
	*doc = *map;
}

/* What every object has comes first, as upstream's encoder has it; the rest stays as its writer ordered it. */
static void order_custom(struct arena *a, const struct schema *s, struct val *doc)
{
	static const enum sym first[] = { F_apiVersion, F_kind, F_metadata };
	struct val *map = val_new_map(a), *meta = val_member_mut(doc, F_metadata);
	bool ordered = true;

	if (val_type(meta) == VAL_MAP)
		order_typed(a, schema_field(s, F_metadata)->type, meta);
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		ordered = ordered && i < doc->n && doc->items[i].sym == (uint32_t)first[i];
	if (ordered)
		return;
	map->items = val_items_new(a, doc->n);
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		if (val_member(doc, first[i]))
			val_append(a, map, first[i], val_member(doc, first[i]));
	VAL_EACH_MEMBER(doc, m)
		if (m.sym != F_apiVersion && m.sym != F_kind && m.sym != F_metadata)
			val_append_member(a, map, m.sym, m.key, m.value);
	map->sym = doc->sym;
	*doc = *map;
}

void order_typed(struct arena *a, const struct schema *s, struct val *doc)
{
	uint32_t at = 0;

	if (val_type(doc) != VAL_MAP)
		return;
	if (s->custom) {
		order_custom(a, s, doc);
		return;
	}
	/* Nearly always in order: fields and members side by side, nothing is searched for. */
	for (size_t i = 0; at < doc->n && i < s->n_fields; i++)
		if (doc->items[at].sym == (uint32_t)s->fields[i].sym)
			order_values(a, &s->fields[i], &doc->items[at++]);
	if (at < doc->n)
		reorder(a, s, doc);
}
