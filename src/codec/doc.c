/* Reading and comparing documents. Building them is in doc_build.c.
 *
 * A lookup by symbol compares one integer a node: both nodes of a member with a string key
 * have symbol 0, so they never match and need not be told apart. */
#include "codec/doc.h"

#include "base/strmap.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/symbol.h"
#include "codec/val_index.h"

#include <stdlib.h>

const char *val_type_name(enum val_type t)
{
	static const char *const names[_VAL_TYPE_MAX] = {
		[VAL_NULL] = "null",	[VAL_BOOL] = "boolean", [VAL_INT] = "integer",
		[VAL_FLOAT] = "number", [VAL_STR] = "string",	[VAL_RAW] = "raw",
		[VAL_LIST] = "array",	[VAL_MAP] = "object",	[VAL_KEY] = "key",
	};

	return (unsigned)t < _VAL_TYPE_MAX ? names[t] : "unknown";
}

/* In releases nothing: a lookup is an eighth of what a write costs. */
#ifdef CARAVEL_KEPT_CHECKED
#define DOC_MISSED(v, key)                                 \
	do {                                               \
		if (val_kept(v))                           \
			val_kept_missed(val_kept(v), key); \
	} while (0)
#else
#define DOC_MISSED(v, key) ((void)0)
#endif

static const struct val *doc_member_by_text(const struct val *v, struct sv key)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct val *m = &v->items[i];

		if (m->type == VAL_KEY && m->n == key.n && (key.n == 0 || memcmp(m->s, key.p, key.n) == 0))
			return m + 1;
	}
	DOC_MISSED(v, key);
	return NULL;
}

/* A late symbol's member that is not there as its symbol. Apart from what finds the others, so that this costs them
 * nothing but the question. */
static __attribute__((noinline)) const struct val *member_late(const struct val *v, enum sym key)
{
	return val_type(v) == VAL_MAP ? doc_member_by_text(v, sym_name(key)) : NULL;
}

/* An eighth of what a write costs is spent here: four nodes a turn, and one exit. */
static inline const struct val *member(const struct val *v, enum sym key)
{
	const struct val *m, *end;

	if (!v || v->type != VAL_MAP || key == SYM_NONE)
		return NULL;
	m = v->items;
	end = m + v->n;
	for (; end - m >= 4; m += 4)
		if (m[0].sym == (uint32_t)key || m[1].sym == (uint32_t)key || m[2].sym == (uint32_t)key ||
		    m[3].sym == (uint32_t)key)
			break;
	while (m != end && m->sym != (uint32_t)key)
		m++;
	if (m != end)
		return m;
	DOC_MISSED(v, sym_name(key));
	return NULL;
}

const struct val *val_member(const struct val *v, enum sym key)
{
	const struct val *m = member(v, key);

	return m || !sym_late(key) ? m : member_late(v, key);
}

const struct val *val_member_sv(const struct val *v, struct sv key)
{
	enum sym sym;

	if (!v || v->type != VAL_MAP)
		return NULL;
	sym = sym_find(key);
	return sym != SYM_NONE ? val_member(v, sym) : doc_member_by_text(v, key);
}

static __attribute__((noinline)) const struct val *path_late(const struct val *v, const enum sym *path)
{
	while (v && *path != SYM_NONE)
		v = val_member(v, *path++);
	return v;
}

const struct val *val_path(const struct val *v, const enum sym *path)
{
	const struct val *m;

	for (; v && *path != SYM_NONE; v = m, path++) {
		m = member(v, *path);
		if (!m && sym_late(*path))
			return path_late(v, path);
	}
	return v;
}

double val_num(const struct val *v)
{
	if (val_type(v) == VAL_INT)
		return (double)v->i;
	return val_type(v) == VAL_FLOAT ? v->d : 0;
}

struct sv val_raw(const struct val *v)
{
	return val_type(v) == VAL_RAW ? sv_make(v->s, v->n) : sv_make("", 0);
}

size_t val_len(const struct val *v)
{
	size_t keys = 0;

	if (val_type(v) == VAL_LIST)
		return v->n;
	if (val_type(v) != VAL_MAP)
		return 0;
	for (size_t i = 0; i < v->n; i++)
		keys += v->items[i].type == VAL_KEY;
	return v->n - keys;
}

const struct val *val_at(const struct val *v, size_t i)
{
	return val_type(v) == VAL_LIST && i < v->n ? &v->items[i] : NULL;
}

struct val_iter val_iter(const struct val *map)
{
	struct val_iter it = { 0 };

	if (val_type(map) == VAL_MAP && map->n) {
		it.at = map->items;
		it.end = map->items + map->n;
	}
	return it;
}

int val_iter_order(const void *a, const void *b)
{
	const struct val_iter *x = a, *y = b;

	return sv_cmp(x->key, y->key);
}

bool val_iter_next(struct val_iter *it)
{
	if (it->at == it->end)
		return false;
	if (it->at->type == VAL_KEY) {
		it->sym = SYM_NONE;
		it->key = sv_make(it->at->s, it->at->n);
		it->at++;
	} else {
		it->sym = (enum sym)it->at->sym;
		it->key = sym_name(it->sym);
	}
	it->value = (struct val *)it->at;
	it->at++;
	return true;
}

#define DOC_VALUES_TEXT_(n) #n
#define DOC_VALUES_TEXT(n) DOC_VALUES_TEXT_(n)

const struct budget_limit doc_values_limit = {
	DOC_VALUES_MAX, ERR_TOO_LARGE,
	"Request entity too large: the object has more than " DOC_VALUES_TEXT(
	    DOC_VALUES_MAX) " values: make several objects of it, or keep what nobody reads one by one in one string"
};

/* Pays for what is below v, a list or map. */
static bool count_below(struct budget *b, const struct val *v)
{
	size_t values = v->n;

	for (const struct val *it = v->items, *end = it + v->n; it != end; it++) {
		if (it->type == VAL_KEY)
			values--;
		else if ((it->type == VAL_MAP || it->type == VAL_LIST) && it->n && it->sym != F_fieldsV1 &&
			 !count_below(b, it))
			return false;
	}
	return budget_take(b, values);
}

int val_count(struct budget *b, const struct val *v, struct err *err)
{
	bool more = (val_type(v) == VAL_MAP || val_type(v) == VAL_LIST) && v->n;

	return budget_take(b, 1) && (!more || count_below(b, v)) ? 0 : budget_refuse(b, err);
}

bool val_deeper_than(const struct val *v, unsigned depth)
{
	if (val_type(v) != VAL_LIST && val_type(v) != VAL_MAP)
		return false;
	if (depth == 0)
		return true;
	for (size_t i = 0; i < v->n; i++) {
		if (val_deeper_than(&v->items[i], depth - 1))
			return true;
	}
	return false;
}

/* --- equality --- */

/* One member of a map, for sorting: symbols before strings, strings by length and bytes. Late symbols are strings:
 * the other map may have them so. */
struct member {
	uint32_t sym; /* built in, or 0 */
	struct sv key;
	const struct val *value;
};

static int member_cmp(const void *pa, const void *pb)
{
	const struct member *a = pa, *b = pb;

	if (a->sym != b->sym)
		return a->sym < b->sym ? -1 : 1;
	if (a->key.n != b->key.n)
		return a->key.n < b->key.n ? -1 : 1;
	return a->sym || a->key.n == 0 ? 0 : memcmp(a->key.p, b->key.p, a->key.n);
}

static struct member *members_sorted(const struct val *map, size_t n)
{
	struct member *out = xcalloc(n, sizeof(*out));
	size_t at = 0;

	VAL_EACH_MEMBER(map, m) {
		out[at++] =
		    (struct member){ .sym = sym_late(m.sym) ? 0 : (uint32_t)m.sym, .key = m.key, .value = m.value };
	}
	qsort(out, n, sizeof(*out), member_cmp);
	return out;
}

/* Sorting keeps two large maps in different order from costing a client's square of time. */
static bool maps_equal_sorted(const struct val *a, const struct val *b, size_t n)
{
	struct member *ma = members_sorted(a, n), *mb = members_sorted(b, n);
	bool equal = true;

	for (size_t i = 0; equal && i < n; i++)
		equal = member_cmp(&ma[i], &mb[i]) == 0 && val_equal(ma[i].value, mb[i].value);
	free(ma);
	free(mb);
	return equal;
}

static bool same_key(const struct val *a, const struct val *b)
{
	if (a->sym || b->sym)
		return a->sym == b->sym;
	return a->type == VAL_KEY && b->type == VAL_KEY && a->n == b->n && (a->n == 0 || memcmp(a->s, b->s, a->n) == 0);
}

static bool has_late(const struct val *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (sym_late((enum sym)map->items[i].sym))
			return true;
	return false;
}

/* Whether a key of one may be there as text in the other. */
static bool may_differ_in_form(const struct val *a, const struct val *b)
{
	return sym_end() != SYM_MAX && (has_late(a) || has_late(b));
}

static bool maps_equal(const struct val *a, const struct val *b)
{
	size_t i = 0;

	if (a->n != b->n) { /* else a key takes the same number of nodes on both sides */
		return may_differ_in_form(a, b) && val_len(a) == val_len(b) && maps_equal_sorted(a, b, val_len(a));
	}
	/* Most maps that are equal are in the same order. */
	for (; i < a->n && same_key(&a->items[i], &b->items[i]); i++) {
		if (a->items[i].type == VAL_KEY)
			i++;
		if (!val_equal(&a->items[i], &b->items[i]))
			return false;
	}
	if (i == a->n)
		return true;
	if (a->n > 64 || may_differ_in_form(a, b)) {
		size_t n = val_len(a);

		return n == val_len(b) && maps_equal_sorted(a, b, n);
	}
	for (; i < a->n; i++) {
		const struct val *m = &a->items[i], *other = NULL;

		if (m->sym) {
			other = val_member(b, (enum sym)m->sym);
		} else {
			for (size_t j = 0; j < b->n && !other; j++) {
				if (b->items[j].type == VAL_KEY && same_key(m, &b->items[j]))
					other = &b->items[j + 1];
			}
			m = &a->items[++i];
		}
		if (!other || !val_equal(m, other))
			return false;
	}
	return true;
}

static bool raw_equal(const struct val *a, const struct val *b)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	struct json_opts opts = { .borrow_text = true };

	if (a->type == VAL_RAW && b->type == VAL_RAW && sv_eq(val_raw(a), val_raw(b)))
		return true;
	if (a->type == VAL_RAW)
		a = json_decode(&tmp, val_raw(a), &opts, NULL);
	if (b->type == VAL_RAW)
		b = json_decode(&tmp, val_raw(b), &opts, NULL);
	return a && b && val_equal(a, b);
}

/* Whole doubles are written as integers of the fewest digits, so from 2^53 on the integer that
 * is read back is another one with the same double: those count as equal. */
static bool int_is_float(int64_t i, double d)
{
	return (double)i == d;
}

bool val_equal(const struct val *a, const struct val *b)
{
	enum val_type ta = val_type(a), tb = val_type(b);

	if (!a || !b)
		return a == b;
	if (ta == VAL_RAW || tb == VAL_RAW)
		return raw_equal(a, b);
	if (ta != tb) {
		if (ta == VAL_INT && tb == VAL_FLOAT)
			return int_is_float(a->i, b->d);
		return ta == VAL_FLOAT && tb == VAL_INT && int_is_float(b->i, a->d);
	}
	switch (ta) {
	case VAL_NULL:
		return true;
	case VAL_BOOL:
		return a->b == b->b;
	case VAL_INT:
		return a->i == b->i;
	case VAL_FLOAT:
		return a->d == b->d;
	case VAL_STR:
		return a->n == b->n && (a->n == 0 || a->s == b->s || memcmp(a->s, b->s, a->n) == 0);
	case VAL_LIST:
		if (a->n != b->n)
			return false;
		if (a->items == b->items)
			return true;
		for (size_t i = 0; i < a->n; i++) {
			if (!val_equal(&a->items[i], &b->items[i]))
				return false;
		}
		return true;
	case VAL_MAP:
		return (a->n == b->n && a->items == b->items) || maps_equal(a, b);
	default:
		return false;
	}
}

static uint64_t hash_words(uint64_t x, uint64_t y)
{
	uint64_t both[] = { x, y };

	return strmap_hash(sv_make((const char *)both, sizeof(both)));
}

uint64_t val_hash(const struct val *v)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	struct json_opts opts = { .borrow_text = true };
	enum val_type t = val_type(v);
	uint64_t h = hash_words(t == VAL_INT ? VAL_FLOAT : t, val_len(v));
	double d;

	switch (t) {
	case VAL_RAW:
		v = json_decode(&tmp, val_raw(v), &opts, NULL);
		return v ? val_hash(v) : 0;
	case VAL_BOOL:
		return hash_words(h, v->b);
	case VAL_INT:
	case VAL_FLOAT:
		d = val_num(v) + 0.0; /* of the two zeros one */
		return hash_words(h, strmap_hash(sv_make((const char *)&d, sizeof(d))));
	case VAL_STR:
		return hash_words(h, strmap_hash(val_str(v)));
	case VAL_LIST:
		VAL_EACH(v, e)
			h = hash_words(h, val_hash(e));
		return h;
	case VAL_MAP: /* in whatever order */
		VAL_EACH_MEMBER(v, m)
			h += hash_words(strmap_hash(m.key), val_hash(m.value));
		return h;
	default:
		return h;
	}
}

/* The API leaves some empty members away and writes others out: both mean the same. */
static bool empty(const struct val *v)
{
	switch (val_type(v)) {
	case VAL_NULL:
		return true;
	case VAL_STR:
		return v->n == 0;
	case VAL_LIST:
	case VAL_MAP:
		return val_len(v) == 0;
	default:
		return false;
	}
}

bool val_same(const struct val *x, const struct val *y)
{
	if (val_type(x) == VAL_MAP && val_type(y) == VAL_MAP) {
		_cleanup_(val_index_release) struct val_index in_x = val_index_of(x), in_y = val_index_of(y);

		VAL_EACH_MEMBER(x, m)
			if (!val_same(m.value, val_index_get(&in_y, m.key)))
				return false;
		VAL_EACH_MEMBER(y, m)
			if (!empty(m.value) && !val_index_get(&in_x, m.key))
				return false;
		return true;
	}
	if (val_type(x) == VAL_LIST && val_type(y) == VAL_LIST) {
		if (val_len(x) != val_len(y))
			return false;
		for (size_t i = 0; i < val_len(x); i++)
			if (!val_same(val_at(x, i), val_at(y, i)))
				return false;
		return true;
	}
	return (empty(x) && empty(y)) || (x && y && val_equal(x, y));
}
