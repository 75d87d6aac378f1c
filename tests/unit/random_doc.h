/* random_doc.h - documents of a type as they may be, whatever the rules of its kind say of them: for properties that
 * hold of all. Any member may be missing, lists and maps are short, and what is required is not empty. */
#pragma once

#include "base/timefmt.h"
#include "object/decode.h"
#include "unicode.h"

struct random_doc {
	struct arena *a;
	uint64_t rng;
	const enum sym *always; /* these are never missing; ends with SYM_NONE; or NULL */
};

static inline struct val *random_doc_of(struct random_doc *g, const struct schema *s, int depth);

static inline uint32_t random_doc_n(struct random_doc *g, uint32_t n)
{
	return unicode_random(&g->rng) % n;
}

static inline struct val *random_doc_text(struct random_doc *g)
{
	char text[24] = "x";

	return val_new_str(g->a, sv_make(text, 1 + unicode_text(&g->rng, text + 1, sizeof(text) - 1)));
}

static inline struct val *random_doc_value(struct random_doc *g, const struct field *f, int depth)
{
	static const char *const quantities[] = { "1", "100m", "5Gi", "2k" };
	char time[TIME_TEXT_MAX];
	struct val *v;

	switch (f->kind) {
	case FIELD_BOOL:
		return val_new_bool(g->a, true);
	case FIELD_INT32:
	case FIELD_INT64:
	case FIELD_INT_OR_STRING:
		return val_new_int(g->a, 1 + random_doc_n(g, 1000));
	case FIELD_FLOAT64:
		return val_new_float(g->a, 0.5 + random_doc_n(g, 1000));
	case FIELD_BYTES:
		return val_new_str(g->a, SV("YWJj"));
	case FIELD_TIME:
	case FIELD_MICROTIME:
		return val_new_str(g->a, time_format((int64_t)random_doc_n(g, 1u << 30) * NS_PER_SEC,
						     f->kind == FIELD_MICROTIME, time));
	case FIELD_DURATION:
		return val_new_str(g->a, SV("1m0s"));
	case FIELD_QUANTITY:
		return val_new_str(g->a, sv_from(quantities[random_doc_n(g, ARRAY_LEN(quantities))]));
	case FIELD_RAW:
		v = val_new_map(g->a);
		val_set_sv(g->a, v, SV("some"), random_doc_text(g));
		return v;
	case FIELD_STRUCT:
		return random_doc_of(g, f->type, depth + 1);
	default:
		return random_doc_text(g);
	}
}

static inline struct val *random_doc_list(struct random_doc *g, const struct field *f, int depth)
{
	struct val *list = val_new_list(g->a);

	for (uint32_t n = 1 + random_doc_n(g, 3); n > 0; n--)
		val_push(g->a, list, random_doc_value(g, f, depth));
	return list;
}

static inline struct val *random_doc_field(struct random_doc *g, const struct field *f, int depth)
{
	struct val *map;

	if (f->card == CARD_ONE)
		return random_doc_value(g, f, depth);
	if (f->card == CARD_LIST)
		return random_doc_list(g, f, depth);
	map = val_new_map(g->a);
	for (uint32_t n = 1 + random_doc_n(g, 3); n > 0; n--)
		val_set_sv(g->a, map, val_str(random_doc_text(g)),
			   f->inner_card == CARD_LIST ? random_doc_list(g, f, depth) : random_doc_value(g, f, depth));
	return map;
}

static inline struct val *random_doc_of(struct random_doc *g, const struct schema *s, int depth)
{
	struct val *map = val_new_map(g->a);

	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f = &s->fields[i];
		bool must = f->flags & FF_REQUIRED;

		for (const enum sym *w = g->always; w && *w; w++)
			must = must || *w == f->sym;
		if (must ? depth < 12 : random_doc_n(g, 3) && depth < 9)
			val_set(g->a, map, f->sym, random_doc_field(g, f, depth));
	}
	return map;
}
