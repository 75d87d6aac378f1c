/* Values: made and read.
 *
 * A document's strings of the formats date, date-time, duration and byte become what rules compute with when they are
 * read, as do numbers: the schema's type says which kind, the document only what is written.
 */
#include "object/cel/value_internal.h"

#include "base/b64.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <math.h>

struct cel_value cel_some(struct arena *a, struct cel_value v)
{
	struct cel_value *box = arena_alloc(a, sizeof(*box));

	*box = v;
	return (struct cel_value){ .kind = CEL_OPTIONAL, .items = box };
}

/* --- documents --- */

static struct cel_value value_bytes(struct arena *a, struct sv text)
{
	struct sv bytes;

	return b64_decode(a, text, &bytes) ? cel_bytes(bytes) : cel_string(text);
}

static struct cel_value value_text(struct arena *a, struct sv s, const struct cel_type *t)
{
	int64_t sec;
	unsigned ns = 0;

	if (t && t->kind == CEL_TIMESTAMP) {
		if (time_parse_sec(s, &sec, &ns))
			return cel_timestamp(sec, ns);
		if (date_parse(s, &sec)) /* nanoseconds: whole days */
			return cel_timestamp(sec / NS_PER_SEC, 0);
	} else if (t && t->kind == CEL_DURATION) {
		if (duration_parse(s, &sec))
			return cel_duration(sec);
	} else if (t && t->kind == CEL_BYTES) {
		return value_bytes(a, s);
	}
	return cel_string(s);
}

struct cel_value cel_from_doc(struct arena *a, const struct val *doc, const struct cel_type *type)
{
	const struct cel_type *t = type && type->kind != CEL_DYN ? type : NULL;

	if (t && t->kind == CEL_OPTIONAL)
		return doc ? cel_some(a, cel_from_doc(a, doc, t->params[0])) : cel_none();
	switch (val_type(doc)) {
	case VAL_BOOL:
		return cel_bool(doc->b);
	case VAL_INT:
		if (t && t->kind == CEL_DOUBLE)
			return cel_double((double)doc->i);
		if (t && t->kind == CEL_UINT && doc->i >= 0)
			return cel_uint((uint64_t)doc->i);
		return cel_int(doc->i);
	case VAL_FLOAT:
		if (t && t->kind == CEL_INT && doc->d == trunc(doc->d) && fabs(doc->d) < 9.2e18)
			return cel_int((int64_t)doc->d);
		return cel_double(doc->d);
	case VAL_STR:
		return value_text(a, val_str(doc), t);
	case VAL_LIST:
		return (struct cel_value){ .kind = CEL_LIST,
					   .flags = CEL_V_DOC,
					   .n = (uint32_t)val_len(doc),
					   .type = t && t->kind == CEL_LIST ? t : NULL,
					   .doc = doc };
	case VAL_MAP:
		if (t && t->kind == CEL_OBJECT)
			return (struct cel_value){ .kind = CEL_OBJECT, .flags = CEL_V_DOC, .type = t, .doc = doc };
		return (struct cel_value){
			.kind = CEL_MAP, .flags = CEL_V_DOC, .type = t && t->kind == CEL_MAP ? t : NULL, .doc = doc
		};
	case VAL_RAW: {
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct val *v = json_decode(a, val_raw(doc), NULL, &err);

		return v && val_type(v) != VAL_RAW ? cel_from_doc(a, v, type) : cel_null();
	}
	default:
		return cel_null();
	}
}

size_t cel_count(const struct cel_value *v)
{
	if (v->kind == CEL_LIST)
		return v->n;
	if (v->kind != CEL_MAP && v->kind != CEL_OBJECT)
		return 0;
	if (v->flags & CEL_V_DOC)
		return val_len(v->doc);
	return v->flags & CEL_V_LAZY ? 0 : v->map->n;
}

struct cel_value cel_at(struct arena *a, const struct cel_value *list, size_t i)
{
	while (list->flags & CEL_V_JOINED) { /* as deep as expressions are */
		const struct cel_value *left = &list->items[0];

		if (i < left->n) {
			list = left;
		} else {
			i -= left->n;
			list = &list->items[1];
		}
	}
	if (list->flags & CEL_V_DOC)
		return cel_from_doc(a, val_at(list->doc, i), cel_elem_type(list));
	return list->items[i];
}

struct cel_value cel_join(struct arena *a, struct cel_value x, struct cel_value y)
{
	struct cel_value *two = arena_alloc(a, 2 * sizeof(*two)), list;

	if (!x.n || !y.n)
		return x.n ? x : y;
	two[0] = x;
	two[1] = y;
	list = cel_list(two, (size_t)x.n + y.n);
	list.flags = CEL_V_JOINED;
	return list;
}

size_t cel_runes(struct sv s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

uint64_t cel_size(const struct cel_value *v)
{
	switch (v->kind) {
	case CEL_STRING:
		return cel_runes(cel_text(v));
	case CEL_BYTES:
		return v->n;
	case CEL_LIST:
	case CEL_MAP:
		return cel_count(v);
	case CEL_OBJECT: /* a document's is a map of Kubernetes', which has a size */
		return v->flags & CEL_V_DOC ? cel_count(v) : 1;
	default:
		return 1;
	}
}

struct sv cel_type_name_of(const struct cel_value *v)
{
	switch (v->kind) {
	case CEL_NULL:
		return cel_t_null.name;
	case CEL_BOOL:
		return cel_t_bool.name;
	case CEL_INT:
		return cel_t_int.name;
	case CEL_UINT:
		return cel_t_uint.name;
	case CEL_DOUBLE:
		return cel_t_double.name;
	case CEL_STRING:
		return cel_t_string.name;
	case CEL_BYTES:
		return cel_t_bytes.name;
	case CEL_LIST:
		return SV("list");
	case CEL_MAP:
		return SV("map");
	case CEL_OBJECT:
		return v->type && !(v->flags & CEL_V_DOC) ? v->type->name : SV("object");
	case CEL_TIMESTAMP:
		return cel_t_timestamp.name;
	case CEL_DURATION:
		return cel_t_duration.name;
	case CEL_OPTIONAL:
		return SV("optional_type");
	case CEL_TYPE:
		return SV("type");
	default:
		return v->type ? v->type->name : SV("dyn");
	}
}
