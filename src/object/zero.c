/* zero.c - what Go's encoder writes although nobody set it. */
#include "object/decode.h"

#include "codec/doc_items.h"

struct val *zero_value(struct arena *a, const struct field *f)
{
	struct val *v;

	switch ((enum field_kind)f->kind) {
	case FIELD_BOOL:
		return val_new_bool(a, false);
	case FIELD_INT32:
	case FIELD_INT64:
	case FIELD_FLOAT64:
	case FIELD_INT_OR_STRING:
		return val_new_int(a, 0);
	case FIELD_STRING:
		return val_new_str_ref(a, SV(""));
	case FIELD_DURATION:
		return val_new_str_ref(a, SV("0s"));
	case FIELD_QUANTITY:
		return val_new_str_ref(a, SV("0"));
	case FIELD_STRUCT:
		v = val_new_map(a);
		(void)zero_typed(a, f->type, v);
		return v;
	default: /* times, bytes, raw */
		return val_new_null(a);
	}
}

/* Does fn to every struct that v, a value of f, is or has. Did any say yes? */
static bool each_struct(struct arena *a, const struct field *f, struct val *v,
			bool (*fn)(struct arena *a, const struct schema *s, struct val *doc))
{
	bool any = false;

	if (f->card == CARD_ONE)
		return fn(a, f->type, v);
	if (f->card == CARD_LIST) {
		for (size_t k = 0, n = val_len(v); k < n; k++)
			any |= fn(a, f->type, val_at_mut(v, k));
	} else {
		VAL_EACH_MEMBER(v, m)
			any |= fn(a, f->type, m.value);
	}
	return any;
}

typedef bool zero_fn(struct arena *a, const struct schema *s, struct val *doc);

/* it: the members of doc; below does the same in structs. */
static bool zero_members(struct arena *a, const struct schema *s, struct val *doc, struct in_order it, zero_fn *below)
{
	bool added = false;

	if (s->custom || val_type(doc) != VAL_MAP)
		return false;
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f;
		struct val *v;

		i = in_order_skip(&it, i, FF_OMITEMPTY | FF_HIDDEN, false);
		if (i == s->n_fields)
			break;
		f = &s->fields[i];
		v = (struct val *)in_order_next(&it, f);
		if (v) {
			if (f->kind == FIELD_STRUCT)
				added |= each_struct(a, f, v, below);
		} else if (!(f->flags & (FF_OMITEMPTY | FF_HIDDEN)) && !val_member(doc, f->sym)) {
			bool null = f->card != CARD_ONE || f->flags & FF_POINTER;

			val_append(a, doc, f->sym, null ? val_new_null(a) : zero_value(a, f));
			added = true;
		}
	}
	if (it.ordered && it.at < it.n) /* there are some out of order, whatever was said */
		added |= zero_typed(a, s, doc);
	return added;
}

bool zero_typed(struct arena *a, const struct schema *s, struct val *doc)
{
	return zero_members(a, s, doc, in_order(a, s, doc), zero_typed);
}

bool zero_ordered(struct arena *a, const struct schema *s, struct val *doc)
{
	return zero_members(a, s, doc, in_order_known(s, doc), zero_ordered);
}

static bool empties_gone(struct arena *a, const struct schema *s, struct val *doc)
{
	struct in_order it;
	bool any = false;

	if (s->custom || val_type(doc) != VAL_MAP)
		return false;
	it = in_order(a, s, doc);
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f = &s->fields[i];
		struct val *v = (struct val *)in_order_next(&it, f);

		if (!v)
			continue;
		if (f->card != CARD_ONE && v->type != VAL_NULL && !val_len(v) && !(f->flags & FF_OMITEMPTY)) {
			v->type = VAL_NULL;
			any = true;
		} else if (f->kind == FIELD_STRUCT) {
			any |= each_struct(a, f, v, empties_gone);
		}
	}
	return any;
}

void empty_to_null(struct arena *a, const struct schema *s, struct val *doc)
{
	(void)empties_gone(a, s, doc);
}
