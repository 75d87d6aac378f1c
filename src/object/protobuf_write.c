/* Documents to protobuf, field by field in the order of their numbers. */
#include "base/b64.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "codec/pbwire.h"
#include "object/protobuf-internal.h"

#include <stdlib.h>

#define SLOTS ((size_t)512) /* of a few messages in each other; deeper ones allocate */

struct writer {
	struct buf *b;
	const struct val **slots;
	size_t used;
};

static void write_message(struct writer *w, const struct schema *s, const struct val *v);

/* --- leaves --- */

static void write_varint(struct buf *b, uint32_t number, uint64_t v)
{
	pb_tag(b, number, PB_VARINT);
	pb_varint(b, v);
}

static void write_double(struct buf *b, uint32_t number, double v)
{
	char bytes[8];
	uint64_t u;

	memcpy(&u, &v, sizeof(u));
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(u >> (8 * i));
	pb_tag(b, number, PB_FIXED64);
	buf_add(b, bytes, sizeof(bytes));
}

static void write_bytes(struct buf *b, uint32_t number, const struct val *v)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv bytes = SV("");

	if (val_str(v).n)
		(void)b64_decode(&a, val_str(v), &bytes);
	pb_sv_elem(b, number, bytes);
}

/* The zero time is an empty message. */
static void write_time(struct buf *b, uint32_t number, const struct val *v, bool micro)
{
	size_t m = pb_open(b, number);
	unsigned ns;
	int64_t sec;

	if (val_str(v).n && time_parse_sec(val_str(v), &sec, &ns) && (sec != TIME_SEC_MIN || (micro && ns >= 1000))) {
		write_varint(b, 1, (uint64_t)sec);
		write_varint(b, 2, micro ? ns - ns % 1000 : 0);
	}
	pb_close(b, m);
}

static void write_duration(struct buf *b, uint32_t number, const struct val *v)
{
	size_t m = pb_open(b, number);
	int64_t ns = 0;

	if (!duration_parse(val_str(v), &ns))
		ns = 0;
	write_varint(b, 1, (uint64_t)ns);
	pb_close(b, m);
}

static void write_quantity(struct buf *b, uint32_t number, const struct val *v)
{
	size_t m = pb_open(b, number);

	pb_sv_elem(b, 1, val_str(v).n ? val_str(v) : SV("0"));
	pb_close(b, m);
}

static void write_int_or_string(struct buf *b, uint32_t number, const struct val *v)
{
	size_t m = pb_open(b, number);

	write_varint(b, 1, val_type(v) == VAL_STR);
	write_varint(b, 2, (uint64_t)(int64_t)(int32_t)val_int_or(v, 0));
	pb_sv_elem(b, 3, val_str(v));
	pb_close(b, m);
}

/* --- what is any JSON --- */

static void write_json(struct buf *b, uint32_t number, const struct val *v)
{
	size_t m = pb_open(b, number);

	json_encode(b, v);
	pb_close(b, m);
}

static void write_nested(struct writer *w, uint32_t number, const struct schema *s, const struct val *v)
{
	size_t m = pb_open(w->b, number);

	write_message(w, s, v);
	pb_close(w->b, m);
}

static void write_raw(struct writer *w, const struct field *f, const struct val *v)
{
	enum raw_form form = protobuf_raw_form(f);
	bool schema = val_type(v) == VAL_MAP;

	switch (form) {
	case RAW_JSON:
		if (val_type(v) != VAL_NULL)
			write_json(w->b, 1, v);
		return;
	case RAW_SCHEMA_OR_BOOL:
		write_varint(w->b, 1, schema || val_bool(v));
		break;
	case RAW_SCHEMA_OR_LIST:
	case RAW_SCHEMA_OR_STRINGS:
		break;
	}
	if (schema)
		write_nested(w, form == RAW_SCHEMA_OR_BOOL ? 2 : 1, protobuf_json_schema(f), v);
	VAL_EACH(v, one) {
		if (form == RAW_SCHEMA_OR_LIST)
			write_nested(w, 2, protobuf_json_schema(f), one);
		else if (form == RAW_SCHEMA_OR_STRINGS)
			pb_sv_elem(w->b, 2, val_str(one));
	}
}

/* --- fields --- */

static void write_value(struct writer *w, uint32_t number, const struct field *f, const struct val *v)
{
	size_t m;

	switch ((enum field_kind)f->kind) {
	case FIELD_BOOL:
		write_varint(w->b, number, val_bool(v));
		return;
	case FIELD_INT32:
		write_varint(w->b, number, (uint64_t)(int64_t)(int32_t)val_int_or(v, 0));
		return;
	case FIELD_INT64:
		write_varint(w->b, number, (uint64_t)val_int_or(v, 0));
		return;
	case FIELD_FLOAT64:
		write_double(w->b, number, val_num(v));
		return;
	case FIELD_STRING:
		pb_sv_elem(w->b, number, val_str(v));
		return;
	case FIELD_BYTES:
		write_bytes(w->b, number, v);
		return;
	case FIELD_TIME:
	case FIELD_MICROTIME:
		write_time(w->b, number, v, f->kind == FIELD_MICROTIME);
		return;
	case FIELD_DURATION:
		write_duration(w->b, number, v);
		return;
	case FIELD_QUANTITY:
		write_quantity(w->b, number, v);
		return;
	case FIELD_INT_OR_STRING:
		write_int_or_string(w->b, number, v);
		return;
	case FIELD_RAW:
		m = pb_open(w->b, number);
		write_raw(w, f, v);
		pb_close(w->b, m);
		return;
	case FIELD_STRUCT:
		write_nested(w, number, f->type, v);
		return;
	case _FIELD_KIND_MAX:
		return;
	}
}

static void write_entry(struct writer *w, const struct field *f, struct sv key, const struct val *v)
{
	size_t m = pb_open(w->b, f->number), list;

	pb_sv_elem(w->b, 1, key);
	if (f->inner_card == CARD_LIST) {
		list = pb_open(w->b, 2);
		VAL_EACH(v, one)
			write_value(w, 1, f, one);
		pb_close(w->b, list);
	} else if (f->kind != FIELD_BYTES || val_type(v) != VAL_NULL) {
		write_value(w, 2, f, v);
	}
	pb_close(w->b, m);
}

/* By key. Documents have them so, but for those that somebody built. */
static void write_map(struct writer *w, const struct field *f, const struct val *v)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv last = SV("");
	bool ordered = true;
	struct val_iter *all;
	size_t n = 0;

	VAL_EACH_MEMBER(v, m) {
		ordered = ordered && sv_cmp(last, m.key) <= 0;
		last = m.key;
	}
	if (ordered) {
		VAL_EACH_MEMBER(v, m)
			write_entry(w, f, m.key, m.value);
		return;
	}
	all = ARENA_ARRAY(&a, struct val_iter, val_len(v));
	VAL_EACH_MEMBER(v, m)
		all[n++] = m;
	qsort(all, n, sizeof(*all), val_iter_order);
	for (size_t i = 0; i < n; i++)
		write_entry(w, f, all[i].key, all[i].value);
}

static void write_list(struct writer *w, const struct field *f, const struct val *v)
{
	size_t m = 0;
	bool boxed = f->flags & FF_BOXED && val_type(v) == VAL_LIST;

	if (boxed)
		m = pb_open(w->b, f->number);
	VAL_EACH(v, one)
		write_value(w, boxed ? 1 : f->number, f, one);
	if (boxed)
		pb_close(w->b, m);
}

static void write_field(struct writer *w, const struct field *f, const struct val *v)
{
	if (f->card == CARD_MAP)
		write_map(w, f, v);
	else if (f->card == CARD_LIST)
		write_list(w, f, v);
	else if (val_type(v) != VAL_NULL || !(f->flags & FF_POINTER || f->kind == FIELD_BYTES))
		write_value(w, f->number, f, v);
}

/* From the i-th by number those that are in the message via; of those that are deeper in it, their message. Returns
 * where the next is that is not. */
static size_t write_fields(struct writer *w, const struct schema *s, const struct val *const *slots, size_t i,
			   uint16_t via)
{
	while (i < s->n_by_number) {
		const struct field *f = &s->fields[s->by_number[i]];
		uint16_t in = !via ? f->via & 0xff : f->via >> 8;
		size_t m;

		if (via && (via > 0xff ? f->via != via : (f->via & 0xff) != via))
			break;
		if (f->via == via) {
			write_field(w, f, slots ? slots[s->by_number[i]] : NULL);
			i++;
			continue;
		}
		m = pb_open(w->b, in);
		i = write_fields(w, s, slots, i, protobuf_via_in(via, in));
		pb_close(w->b, m);
	}
	return i;
}

static void write_message(struct writer *w, const struct schema *s, const struct val *v)
{
	_cleanup_(arena_release) struct arena deep = ARENA_INIT;
	bool own = false;
	const struct val **slots = NULL;

	if (val_len(v)) {
		if (w->used + s->n_fields > SLOTS) {
			own = true;
			slots = ARENA_ARRAY(&deep, const struct val *, s->n_fields);
		} else {
			slots = w->slots + w->used;
			memset(slots, 0, s->n_fields * sizeof(const struct val *));
			w->used += s->n_fields;
		}
		(void)schema_slots(s, val_type(v) == VAL_MAP ? v : NULL, slots);
	}
	(void)write_fields(w, s, slots, 0, 0);
	if (slots && !own)
		w->used -= s->n_fields;
}

void protobuf_write(struct buf *b, const struct schema *s, const struct val *v)
{
	const struct val *slots[SLOTS];
	struct writer w = { .b = b, .slots = slots };

	write_message(&w, s, v);
}

void protobuf_envelope(struct buf *b, struct sv api_version, struct sv kind, size_t n)
{
	size_t m;

	buf_add(b, "k8s", 4);
	m = pb_open(b, 1);
	pb_sv_elem(b, 1, api_version);
	pb_sv_elem(b, 2, kind);
	pb_close(b, m);
	pb_tag(b, 2, PB_BYTES);
	pb_varint(b, n);
}
