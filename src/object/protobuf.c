#include "base/b64.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/pbwire.h"
#include "codec/val_index.h"
#include "object/protobuf-internal.h"

#define DEPTH_MAX 240 /* messages: twice as many levels of a document */

struct decoder {
	struct arena *a;
	struct err *err;
	struct budget *values;
	int depth;
};

/* A map may say a key twice, in two entries; the last counts. */
static void map_keys_once(struct decoder *d, const struct schema *s, struct val *map)
{
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f = &s->fields[i];
		const struct val *said = f->card == CARD_MAP ? val_member(map, f->sym) : NULL;
		_cleanup_(val_index_release) struct val_index once = { 0 };
		struct val *out;

		if (val_len(said) < 2)
			continue;
		out = val_new_map(d->a);
		once = val_index_changing(out);
		VAL_EACH_MEMBER(said, m)
			val_index_set(&once, d->a, m.key, m.value);
		val_set(d->a, map, f->sym, out);
	}
}

static struct val *protobuf_message(struct decoder *d, const struct schema *s, struct sv m);

static int protobuf_bad(struct decoder *d, const char *what)
{
	return err_set(d->err, ERR_BAD_REQUEST, "the protobuf body cannot be read: %s", what);
}

/* --- leaves --- */

static struct val *string(struct decoder *d, struct sv s)
{
	char *repaired;

	if (utf8_valid(s))
		return val_new_str(d->a, s);
	repaired = arena_alloc(d->a, 3 * s.n);
	return val_new_str_ref(d->a, sv_make(repaired, utf8_repair(s, repaired)));
}

/* The message of a leaf: up to three fields, of which the last said counts, as of any. False: malformed. */
#define LEAF_FIELDS 3
struct leaf {
	struct pb_field f[LEAF_FIELDS + 1]; /* by number; zero: absent */
};

/* wires: of fields 1, 2, ... */
static bool leaf_read(struct decoder *d, struct sv m, const enum pb_wire *wires, size_t n, struct leaf *ret)
{
	struct pb_reader r = pb_reader(m);
	struct pb_field f;

	*ret = (struct leaf){ 0 };
	while (pb_next(&r, &f)) {
		if (f.no > n)
			continue;
		if (f.wire != wires[f.no - 1]) {
			protobuf_bad(d, "a field has the wrong wire type");
			return false;
		}
		ret->f[f.no] = f;
	}
	if (r.bad)
		protobuf_bad(d, "a message is cut off or malformed");
	return !r.bad;
}

/* metav1.Time and MicroTime: { seconds 1, nanos 2 }; the zero time is an empty message, null in JSON. */
static struct val *timestamp(struct decoder *d, struct sv m, bool micro)
{
	static const enum pb_wire wires[] = { PB_VARINT, PB_VARINT };
	char text[TIME_TEXT_MAX];
	int64_t sec, ns;
	struct leaf l;

	if (!leaf_read(d, m, wires, ARRAY_LEN(wires), &l))
		return NULL;
	sec = (int64_t)l.f[1].u;
	ns = (int32_t)l.f[2].u;
	if (m.n == 0 || sec == TIME_SEC_MIN)
		return val_new_null(d->a);
	if (sec < TIME_SEC_MIN || sec > TIME_SEC_MAX || ns < 0 || ns >= NS_PER_SEC) {
		protobuf_bad(d, "a time is out of range");
		return NULL;
	}
	return val_new_str(d->a, time_format_sec(sec, (unsigned)ns, micro, text));
}

static struct val *duration(struct decoder *d, struct sv m)
{
	static const enum pb_wire wires[] = { PB_VARINT };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct leaf l;

	if (!leaf_read(d, m, wires, ARRAY_LEN(wires), &l))
		return NULL;
	duration_format(&b, (int64_t)l.f[1].u);
	return val_new_str(d->a, buf_sv(&b));
}

static struct val *amount(struct decoder *d, struct sv m)
{
	static const enum pb_wire wires[] = { PB_BYTES };
	struct leaf l;

	return leaf_read(d, m, wires, ARRAY_LEN(wires), &l) ? string(d, l.f[1].bytes) : NULL;
}

static struct val *int_or_string(struct decoder *d, struct sv m)
{
	static const enum pb_wire wires[] = { PB_VARINT, PB_VARINT, PB_BYTES };
	struct leaf l;

	if (!leaf_read(d, m, wires, ARRAY_LEN(wires), &l))
		return NULL;
	return l.f[1].u == 1 ? string(d, l.f[3].bytes) : val_new_int(d->a, (int32_t)(uint32_t)l.f[2].u);
}

enum raw_form protobuf_raw_form(const struct field *f)
{
	static const struct {
		const char *ref;
		enum raw_form form;
	} forms[] = {
		{ "apiextensions.k8s.io/v1.JSONSchemaPropsOrArray", RAW_SCHEMA_OR_LIST },
		{ "apiextensions.k8s.io/v1.JSONSchemaPropsOrBool", RAW_SCHEMA_OR_BOOL },
		{ "apiextensions.k8s.io/v1.JSONSchemaPropsOrStringArray", RAW_SCHEMA_OR_STRINGS },
	};

	for (size_t i = 0; f->type && i < ARRAY_LEN(forms); i++)
		if (strcmp(f->type->ref, forms[i].ref) == 0)
			return forms[i].form;
	return RAW_JSON;
}

const struct schema *protobuf_json_schema(const struct field *f)
{
	(void)f;
	return schema_find(SV("apiextensions.k8s.io/v1.JSONSchemaProps"));
}

/* What is a schema, or something else. */
static struct val *raw_schema(struct decoder *d, const struct field *f, enum raw_form form, struct sv m)
{
	uint32_t schema = form == RAW_SCHEMA_OR_BOOL ? 2 : 1;
	struct val *list = val_new_list(d->a), *v;
	struct pb_field p;

	if (!pb_valid(m)) {
		protobuf_bad(d, "a message is cut off or malformed");
		return NULL;
	}
	if (pb_find(m, schema, &p) && p.wire == PB_BYTES)
		return protobuf_message(d, protobuf_json_schema(f), p.bytes);
	if (form == RAW_SCHEMA_OR_BOOL)
		return val_new_bool(d->a, pb_get_u64(m, 1) != 0);
	PB_EACH(m, r, one) {
		if (one.no != 2 || one.wire != PB_BYTES)
			continue;
		v = form == RAW_SCHEMA_OR_LIST ? protobuf_message(d, protobuf_json_schema(f), one.bytes)
					       : string(d, one.bytes);
		if (!v || budget_spend(d->values, 1, d->err) < 0)
			return NULL;
		val_push(d->a, list, v);
	}
	return val_len(list) ? list : val_new_null(d->a);
}

static struct val *raw_json(struct decoder *d, const struct field *f, struct sv m)
{
	enum raw_form form = protobuf_raw_form(f);
	static const enum pb_wire wires[] = { PB_BYTES };
	struct sv text;
	struct leaf l;

	if (form != RAW_JSON)
		return raw_schema(d, f, form, m);
	if (!leaf_read(d, m, wires, ARRAY_LEN(wires), &l))
		return NULL;
	text = l.f[1].bytes;

	if (text.n == 0)
		return val_new_null(d->a);
	/* A message is a map, and perhaps in a list: with what is in it the document has no more levels than JSON's
	 * may. */
	return json_decode(d->a, text,
			   &(struct json_opts){ .values = f->sym == F_fieldsV1 ? NULL : d->values,
						.max_depth = JSON_DEPTH_MAX - 2 * d->depth - 2 },
			   d->err);
}

static double fixed_double(uint64_t u)
{
	double v;

	memcpy(&v, &u, sizeof(v));
	return v;
}

static enum pb_wire protobuf_wire_of(enum field_kind k)
{
	switch (k) {
	case FIELD_BOOL:
	case FIELD_INT32:
	case FIELD_INT64:
		return PB_VARINT;
	case FIELD_FLOAT64:
		return PB_FIXED64;
	default:
		return PB_BYTES;
	}
}

static struct val *scalar(struct decoder *d, const struct field *f, const struct pb_field *p)
{
	if (budget_spend(d->values, 1, d->err) < 0)
		return NULL;
	if (p->wire != protobuf_wire_of((enum field_kind)f->kind)) {
		protobuf_bad(d, "a field has the wrong wire type");
		return NULL;
	}
	switch ((enum field_kind)f->kind) {
	case FIELD_BOOL:
		return val_new_bool(d->a, p->u != 0);
	case FIELD_INT32:
		return val_new_int(d->a, (int32_t)(uint32_t)p->u);
	case FIELD_INT64:
		return val_new_int(d->a, (int64_t)p->u);
	case FIELD_FLOAT64:
		return val_new_float(d->a, fixed_double(p->u));
	case FIELD_STRING:
		return string(d, p->bytes);
	case FIELD_BYTES:
		return val_new_str_ref(d->a, b64_encode(d->a, p->bytes));
	case FIELD_TIME:
		return timestamp(d, p->bytes, false);
	case FIELD_MICROTIME:
		return timestamp(d, p->bytes, true);
	case FIELD_DURATION:
		return duration(d, p->bytes);
	case FIELD_QUANTITY:
		return amount(d, p->bytes);
	case FIELD_INT_OR_STRING:
		return int_or_string(d, p->bytes);
	case FIELD_RAW:
		return raw_json(d, f, p->bytes);
	case FIELD_STRUCT:
		return protobuf_message(d, f->type, p->bytes);
	case _FIELD_KIND_MAX:
		break;
	}
	protobuf_bad(d, "a field has no known form");
	return NULL;
}

/* --- lists, maps, messages --- */

static int list_item(struct decoder *d, const struct field *f, const struct pb_field *p, struct val *map)
{
	struct val *list = val_ensure_list(d->a, map, f->sym), *v;
	enum pb_wire wire = protobuf_wire_of((enum field_kind)f->kind);

	if (f->flags & FF_BOXED) {
		if (p->wire != PB_BYTES || !pb_valid(p->bytes))
			return protobuf_bad(d, "a list in a message of its own is malformed");
		PB_EACH(p->bytes, r, item) {
			v = item.no == 1 ? scalar(d, f, &item) : NULL;
			if (!v && item.no == 1)
				return -1;
			if (v)
				val_push(d->a, list, v);
		}
		return 0;
	}
	/* Numbers may come packed: one run of bytes for many. */
	if (wire == PB_VARINT && p->wire == PB_BYTES) {
		struct pb_reader r = pb_reader(p->bytes);

		while (r.at < r.end && !r.bad) {
			struct pb_field one = { .wire = PB_VARINT };
			int shift = 0;

			do {
				if (r.at == r.end || shift > 63)
					return protobuf_bad(d, "a packed number is cut off");
				one.u |= (uint64_t)(*r.at & 0x7f) << shift;
				shift += 7;
			} while (*r.at++ & 0x80);
			v = scalar(d, f, &one);
			if (!v)
				return -1;
			val_push(d->a, list, v);
		}
		return 0;
	}
	v = scalar(d, f, p);
	if (!v)
		return -1;
	val_push(d->a, list, v);
	return 0;
}

/* A map entry is a message { key 1, value 2 }; a map of lists has values { items 1 }. */
static int map_entry(struct decoder *d, const struct field *f, const struct pb_field *p, struct val *map)
{
	struct val *m = val_ensure_map(d->a, map, f->sym), *v;
	const enum pb_wire wire = protobuf_wire_of((enum field_kind)f->kind), wires[] = { PB_BYTES, wire };
	struct leaf l;
	struct pb_field value;
	struct sv key;

	if (p->wire != PB_BYTES)
		return protobuf_bad(d, "a map entry is malformed");
	if (!leaf_read(d, p->bytes, wires, ARRAY_LEN(wires), &l))
		return -1;
	key = l.f[1].bytes;
	value = l.f[2].no ? l.f[2] : (struct pb_field){ .wire = wire };
	if (!utf8_valid(key))
		return protobuf_bad(d, "a map entry is malformed");
	if (f->inner_card == CARD_LIST) {
		v = val_new_list(d->a);
		if (!pb_valid(value.bytes))
			return protobuf_bad(d, "a map entry is malformed");
		PB_EACH(value.bytes, r, item) {
			struct val *x = item.no == 1 ? scalar(d, f, &item) : NULL;

			if (!x && item.no == 1)
				return -1;
			if (x)
				val_push(d->a, v, x);
		}
	} else {
		v = scalar(d, f, &value);
	}
	if (!v)
		return -1;
	val_append_sv(d->a, m, arena_sv(d->a, key), v); /* once for all: map_keys_once() */
	return 0;
}

/* The numbers on the way to a field, the outermost first, as one number: as they are ordered in by_number. */
static uint64_t wire_path(uint32_t number, uint16_t via)
{
	return !via	     ? (uint64_t)number << 32
	       : via <= 0xff ? (uint64_t)via << 32 | (uint64_t)number << 16
			     : (uint64_t)(via & 0xff) << 32 | (uint64_t)(via >> 8) << 16 | number;
}

/* The index in by_number of the first field that is not before that path. */
static size_t wire_at(const struct schema *s, uint64_t path)
{
	size_t lo = 0, hi = s->n_by_number;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct field *f = &s->fields[s->by_number[mid]];

		if (wire_path(f->number, f->via) < path)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* What has that number in the message via of s: a field; or none, but an inlined struct (ret_via is its own). */
static const struct field *by_number(const struct schema *s, uint32_t number, uint16_t via, uint16_t *ret_via)
{
	const struct field *f;
	size_t i;

	*ret_via = 0;
	if (number > UINT16_MAX)
		return NULL;
	i = wire_at(s, wire_path(number, via));
	if (i == s->n_by_number)
		return NULL;
	f = &s->fields[s->by_number[i]];
	if (f->number == number && f->via == via)
		return f;
	if (number <= 0xff && via <= 0xff) {
		uint16_t in = protobuf_via_in(via, number);

		if (f->via == in || (in <= 0xff && (f->via & 0xff) == in))
			*ret_via = in;
	}
	return NULL;
}

/* Upstream's clients write zeros, too, where JSON has nothing. */
static bool is_left_out(const struct field *f, const struct val *v)
{
	if (f->flags & FF_POINTER || !(f->flags & FF_OMITEMPTY))
		return false;
	switch (val_type(v)) {
	case VAL_BOOL:
		return !v->b;
	case VAL_INT:
		return v->i == 0;
	case VAL_STR:
		return v->n == 0;
	default:
		return false;
	}
}

/* Reads the fields of m into map. via: m is the message of an inlined struct of s with that number; 0: s itself. */
static int fields(struct decoder *d, const struct schema *s, struct sv m, uint16_t via, struct val *map)
{
	PB_EACH(m, r, p) {
		uint16_t in;
		const struct field *f = by_number(s, p.no, via, &in);
		struct val *v;

		if (!f) {
			if (in && p.wire != PB_BYTES)
				return protobuf_bad(d, "a field has the wrong wire type");
			if (in && fields(d, s, p.bytes, in, map) < 0)
				return -1;
			continue; /* unknown: from a newer client */
		}
		if (f->card == CARD_LIST) {
			if (list_item(d, f, &p, map) < 0)
				return -1;
			continue;
		}
		if (f->card == CARD_MAP) {
			if (map_entry(d, f, &p, map) < 0)
				return -1;
			continue;
		}
		v = scalar(d, f, &p);
		if (!v)
			return -1;
		if (is_left_out(f, v))
			(void)val_del(map, f->sym);
		else
			val_set(d->a, map, f->sym, v);
	}
	return pb_valid(m) ? 0 : protobuf_bad(d, "a message is cut off or malformed");
}

static struct val *protobuf_message(struct decoder *d, const struct schema *s, struct sv m)
{
	struct val *map = val_new_map(d->a);
	int rc;

	if (!s || d->depth >= DEPTH_MAX) {
		protobuf_bad(d, s ? "it is nested too deeply" : "a field has a form that only JSON can carry");
		return NULL;
	}
	d->depth++;
	rc = fields(d, s, m, 0, map);
	d->depth--;
	if (rc == 0)
		map_keys_once(d, s, map);
	return rc < 0 ? NULL : map;
}

static struct val *protobuf_decode_message(struct arena *a, const struct schema *s, struct sv m, struct budget *values,
					   struct err *err)
{
	struct decoder d = { .a = a, .err = err, .values = values };

	return protobuf_message(&d, s, m);
}

const struct schema *protobuf_type(struct sv api_version, struct sv kind)
{
	_cleanup_(buf_release) struct buf ref = BUF_INIT;
	struct sv group, version;
	const struct schema *s;

	if (!api_version_split(api_version, &group, &version))
		return NULL;
	buf_addsv(&ref, group.n ? group : SV("core"));
	buf_addc(&ref, '/');
	buf_addsv(&ref, version);
	buf_addc(&ref, '.');
	buf_addsv(&ref, kind);
	s = schema_find(buf_sv(&ref));
	if (!s) {
		buf_clear(&ref);
		buf_adds(&ref, "meta/v1.");
		buf_addsv(&ref, kind);
		s = schema_find(buf_sv(&ref));
	}
	return protobuf_has(s) ? s : NULL;
}

/* What an envelope says, over what is given: its type, if there is one. */
static const struct schema *envelope_type(struct sv unknown, struct sv *api_version, struct sv *kind)
{
	struct sv type = pb_get_sv(unknown, 1);

	if (pb_get_sv(type, 1).n)
		*api_version = pb_get_sv(type, 1);
	if (pb_get_sv(type, 2).n)
		*kind = pb_get_sv(type, 2);
	if (kind->n >= 256 || api_version->n >= 256 || !utf8_valid(*kind) || !utf8_valid(*api_version))
		return NULL;
	return protobuf_type(*api_version, *kind);
}

#define MAGIC ((size_t)4) /* "k8s\0" */

static bool is_enveloped(struct sv body)
{
	return body.n >= MAGIC && memcmp(body.p, "k8s\0", MAGIC) == 0;
}

bool protobuf_names(struct sv body, struct sv *api_version, struct sv *kind)
{
	struct sv unknown = sv_sub(body, MAGIC, body.n);

	return is_enveloped(body) && pb_valid(unknown) && envelope_type(unknown, api_version, kind);
}

struct val *protobuf_decode(struct arena *a, struct sv body, struct sv api_version, struct sv kind,
			    struct budget *values, struct err *err)
{
	struct sv unknown;
	const struct schema *s;
	struct val *doc, *full;

	if (!is_enveloped(body)) {
		err_set(err, ERR_BAD_REQUEST,
			"provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
		return NULL;
	}
	unknown = sv_sub(body, MAGIC, body.n);
	if (!pb_valid(unknown)) {
		err_set(err, ERR_BAD_REQUEST, "the protobuf envelope is cut off or malformed");
		return NULL;
	}
	s = envelope_type(unknown, &api_version, &kind);
	if (!s) {
		if (!utf8_valid(kind) || !utf8_valid(api_version))
			kind = api_version = SV("");
		err_set(err, ERR_BAD_REQUEST, "no kind \"%.*s\" is registered for version \"%.*s\"",
			(int)MIN(kind.n, (size_t)256), kind.p ? kind.p : "", (int)MIN(api_version.n, (size_t)256),
			api_version.p ? api_version.p : "");
		return NULL;
	}
	doc = protobuf_decode_message(a, s, pb_get_sv(unknown, 2), values, err);
	if (!doc)
		return NULL;
	full = val_new_map(a);
	val_set_str(a, full, F_kind, kind);
	val_set_str(a, full, F_apiVersion, api_version);
	VAL_EACH_MEMBER(doc, m)
		if (m.sym != F_kind && m.sym != F_apiVersion)
			val_set_sv(a, full, m.key, m.value);
	return full;
}
