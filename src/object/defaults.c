/* Declared defaults. A struct that the client left out and that Go holds by value is in the
 * decoded document already (`"strategy":{}`), so walking what is there reaches every place. */
#include "object/decode.h"

#include "codec/doc_items.h"
#include "codec/json.h"

/* Not given: absent or null; a zero value too, where Go could not tell it from that. */
static bool is_unset(const struct field *f, const struct val *v)
{
	switch (val_type(v)) {
	case VAL_NULL:
		return true;
	case VAL_BOOL:
		return !(f->flags & FF_POINTER) && !v->b;
	case VAL_INT:
		return !(f->flags & FF_POINTER) && v->i == 0;
	case VAL_STR:
		return !(f->flags & FF_POINTER) && v->n == 0;
	case VAL_LIST:
	case VAL_MAP:
		return f->card != CARD_ONE && v->n == 0;
	default:
		return false;
	}
}

/* was: what is there, or NULL. */
static struct val *set_default(struct arena *a, const struct field *f, struct val *map, const struct val *was)
{
	struct sv text = sv_from(f->json_default);
	const struct val *v;
	int64_t i;

	if (sv_to_i64(text, &i))
		v = val_new_int(a, i);
	else if (text.n >= 2 && text.p[0] == '"' && sv_find(text, '\\') < 0)
		v = val_new_str_ref(a, sv_sub(text, 1, text.n - 2));
	else
		v = json_decode(a, text, NULL, NULL);
	BUG_ON(!v); /* the schema's compiler checked it */
	return was ? val_set(a, map, f->sym, v) : val_append(a, map, f->sym, v);
}

void default_members(struct arena *a, const struct schema *s, struct val *doc)
{
	struct in_order it;

	if (s->custom || !s->defaults || val_type(doc) != VAL_MAP)
		return;
	it = in_order(a, s, doc);
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f = &s->fields[i];
		struct val *v = (struct val *)in_order_next(&it, f);

		if (f->json_default && is_unset(f, v))
			v = set_default(a, f, doc, v);
		if (f->kind != FIELD_STRUCT || !v)
			continue;
		if (f->card == CARD_ONE) {
			default_members(a, f->type, v);
		} else if (f->card == CARD_LIST) {
			for (size_t k = 0, n = val_len(v); k < n; k++)
				default_members(a, f->type, val_at_mut(v, k));
		} else {
			VAL_EACH_MEMBER(v, m)
				default_members(a, f->type, m.value);
		}
	}
}

void default_typed(struct arena *a, const struct schema *s, struct val *doc)
{
	default_members(a, s, doc);
	order_typed(a, s, doc);
}
