/* The way back: values as documents. */
#include "object/cel/value_internal.h"

#include "base/b64.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <math.h>
#include <stdio.h>

static struct val *doc_of(struct arena *a, const struct cel_value *v, int depth);

struct sv cel_duration_text(struct arena *a, int64_t ns)
{
	uint64_t abs = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t rest = abs % 1000000000;
	char *text = arena_printf(a, "%s%" PRIu64 ".%09" PRIu64, ns < 0 ? "-" : "", abs / 1000000000, rest);
	size_t n = strlen(text);

	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	return arena_svf(a, "%.*ss", (int)n, text);
}

struct sv cel_timestamp_text(struct arena *a, const struct cel_value *v)
{
	char tmp[TIME_TEXT_MAX];
	struct sv s = time_format_sec(v->i, 0, false, tmp);
	char *frac;
	size_t len;

	if (v->n == 0)
		return arena_sv(a, s);
	frac = arena_printf(a, "%09" PRIu32, v->n);
	for (len = 9; frac[len - 1] == '0';)
		len--;
	return arena_svf(a, "%.*s.%.*sZ", (int)s.n - 1, s.p, (int)len, frac);
}

static bool doc_key(struct arena *a, const struct cel_value *key, struct sv *ret)
{
	switch (key->kind) {
	case CEL_STRING:
		*ret = cel_text(key);
		return true;
	case CEL_INT:
		*ret = arena_svf(a, "%" PRId64, key->i);
		return true;
	case CEL_UINT:
		*ret = arena_svf(a, "%" PRIu64, key->u);
		return true;
	case CEL_BOOL:
		*ret = key->b ? SV("true") : SV("false");
		return true;
	default:
		return false;
	}
}

static struct val *doc_list(struct arena *a, const struct cel_value *v, int depth)
{
	struct val *list = val_new_list(a);

	for (size_t i = 0; i < v->n; i++) {
		struct cel_value e = cel_at(a, v, i);
		struct val *d = doc_of(a, &e, depth);

		if (!d)
			return NULL;
		val_push(a, list, d);
	}
	return list;
}

static struct val *doc_map(struct arena *a, const struct cel_value *v, int depth)
{
	struct val *map = val_new_map(a);
	struct val_index x = val_index_changing(map);

	for (uint32_t i = 0; i < v->map->n; i++) {
		const struct cel_entry *e = &v->map->entries[i];
		struct val *d = doc_of(a, &e->value, depth);
		struct sv key;

		if (!d || !doc_key(a, &e->key, &key)) {
			map = NULL;
			break;
		}
		val_index_set(&x, a, key, d);
	}
	val_index_release(&x);
	return map;
}

static struct val *doc_of(struct arena *a, const struct cel_value *v, int depth)
{
	if (depth == 0)
		return NULL;
	switch (v->kind) {
	case CEL_NULL:
		return val_new_null(a);
	case CEL_BOOL:
		return val_new_bool(a, v->b);
	case CEL_INT:
		return val_new_int(a, v->i);
	case CEL_UINT:
		return v->u <= INT64_MAX ? val_new_int(a, (int64_t)v->u) : val_new_float(a, (double)v->u);
	case CEL_DOUBLE:
		return isfinite(v->d) ? val_new_float(a, v->d) : NULL;
	case CEL_STRING:
		return val_new_str(a, cel_text(v));
	case CEL_BYTES:
		return val_new_str_ref(a, b64_encode(a, cel_text(v)));
	case CEL_TIMESTAMP:
		return val_new_str_ref(a, cel_timestamp_text(a, v));
	case CEL_DURATION:
		return val_new_str_ref(a, cel_duration_text(a, v->i));
	case CEL_OPTIONAL:
		return v->items ? doc_of(a, v->items, depth - 1) : NULL;
	case CEL_LIST:
		return v->flags & CEL_V_DOC ? val_clone(a, v->doc) : doc_list(a, v, depth - 1);
	case CEL_MAP:
	case CEL_OBJECT:
		if (v->flags & CEL_V_LAZY)
			return NULL;
		return v->flags & CEL_V_DOC ? val_clone(a, v->doc) : doc_map(a, v, depth - 1);
	default:
		return NULL;
	}
}

struct val *cel_to_doc(struct arena *a, const struct cel_value *v)
{
	struct val *d = doc_of(a, v, JSON_DEPTH_MAX);

	return d && !val_deeper_than(d, JSON_DEPTH_MAX) ? d : NULL;
}
