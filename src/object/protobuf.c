#include "object/protobuf.h"
#include "base/b64.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/pbwire.h"
#include "codec/val_index.h"

#define DEPTH_MAX 200

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

/* metav1.Time and MicroTime: { seconds 1, nanos 2 }; the zero time is an empty message, null in JSON. */
static struct val *timestamp(struct decoder *d, struct sv m, bool micro)
{
	int64_t sec = (int64_t)pb_get_u64(m, 1), ns = (int32_t)pb_get_u64(m, 2);
	char text[TIME_TEXT_MAX];

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
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	duration_format(&b, (int64_t)pb_get_u64(m, 1));
	return val_new_str(d->a, buf_sv(&b));
}

static struct val *raw_json(struct decoder *d, const struct field *f, struct sv m)
{
	struct sv text = pb_get_sv(m, 1);

	if (text.n == 0)
		return val_new_null(d->a);
	return json_decode(d->a, text, &(struct json_opts){ .values = f->sym == F_fieldsV1 ? NULL : d->values },
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
		return string(d, pb_get_sv(p->bytes, 1));
	case FIELD_INT_OR_STRING:
		if (pb_get_u64(p->bytes, 1) == 1)
			return string(d, pb_get_sv(p->bytes, 3));
		return val_new_int(d->a, (int32_t)(uint32_t)pb_get_u64(p->bytes, 2));
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
	struct sv key = pb_get_sv(p->bytes, 1);
	struct pb_field value = { .wire = protobuf_wire_of((enum field_kind)f->kind) };

	if (p->wire != PB_BYTES || !utf8_valid(key))
		return protobuf_bad(d, "a map entry is malformed");
	(void)pb_find(p->bytes, 2, &value);
	if (f->inner_card == CARD_LIST) {
		v = val_new_list(d->a);
		PB_EACH(value.bytes, r, item) {
			struct val *x = item.no == 1 ? scalar(d, f, &item) : NULL;

			if (!x)
				return d->err && d->err->reason != ERR_NONE
					   ? -1
					   : protobuf_bad(d, "a map entry is malformed");
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

static const struct field *by_number(const struct schema *s, uint32_t number, uint32_t via)
{
	for (size_t i = 0; i < s->n_fields; i++)
		if (s->fields[i].number == number && s->fields[i].via == via)
			return &s->fields[i];
	return NULL;
}

static bool is_inlined(const struct schema *s, uint32_t number)
{
	for (size_t i = 0; i < s->n_fields; i++)
		if (s->fields[i].via == number)
			return true;
	return false;
}

/* Reads the fields of m into map. via: m is the message of an inlined struct of s with that number; 0: s itself. */
static int fields(struct decoder *d, const struct schema *s, struct sv m, uint32_t via, struct val *map)
{
	PB_EACH(m, r, p) {
		const struct field *f = by_number(s, p.no, via);
		struct val *v;

		if (!f) {
			if (!via && p.wire == PB_BYTES && is_inlined(s, p.no) && fields(d, s, p.bytes, p.no, map) < 0)
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

/* "apps/v1" and "Deployment" to their schema; options of every group are meta/v1's. */
static const struct schema *find_type(struct arena *a, struct sv api_version, struct sv kind)
{
	struct sv group, version;
	const struct schema *s;

	if (!api_version_split(api_version, &group, &version))
		return NULL;
	s = schema_find(
	    arena_svf(a, "%.*s/%.*s.%.*s", SV_ARG(group.n ? group : SV("core")), SV_ARG(version), SV_ARG(kind)));
	return s ? s : schema_find(arena_svf(a, "meta/v1.%.*s", SV_ARG(kind)));
}

struct val *protobuf_decode(struct arena *a, struct sv body, struct budget *values, struct err *err)
{
	struct sv unknown, type, api_version, kind;
	const struct schema *s;
	struct val *doc, *full;

	if (body.n < 4 || memcmp(body.p, "k8s\0", 4) != 0) {
		err_set(err, ERR_BAD_REQUEST,
			"provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
		return NULL;
	}
	unknown = sv_sub(body, 4, body.n);
	if (!pb_valid(unknown)) {
		err_set(err, ERR_BAD_REQUEST, "the protobuf envelope is cut off or malformed");
		return NULL;
	}
	type = pb_get_sv(unknown, 1);
	api_version = pb_get_sv(type, 1);
	kind = pb_get_sv(type, 2);
	s = kind.n < 256 && api_version.n < 256 && utf8_valid(kind) && utf8_valid(api_version)
		? find_type(a, api_version, kind)
		: NULL;
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
