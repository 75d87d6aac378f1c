/* Building and changing documents. See doc_items.h for how arrays grow and what frozen means. */
#include "codec/doc.h"

#include "codec/doc_items.h"
#include "codec/symbol.h"

#include <stdarg.h>
#include <stdlib.h>

static struct val *val_new(struct arena *a, struct val v)
{
	struct val *p = arena_alloc(a, sizeof(*p));

	*p = v;
	return p;
}

static struct val str_val(struct arena *a, struct sv s)
{
	struct val v = val_make(VAL_STR, s.n);

	BUG_ON(s.n > VAL_N_MAX);
	v.s = arena_strndup(a, s.p, s.n);
	return v;
}

static struct val str_valv(struct arena *a, const char *fmt, va_list ap)
{
	struct val v = val_make(VAL_STR, 0);
	size_t n;

	v.s = arena_vprintf(a, fmt, ap);
	n = strlen(v.s);
	BUG_ON(n > VAL_N_MAX);
	v.n = (uint32_t)n & VAL_N_MAX;
	return v;
}

struct val *val_new_map(struct arena *a)
{
	return val_new(a, val_make(VAL_MAP, 0));
}

struct val *val_new_list(struct arena *a)
{
	return val_new(a, val_make(VAL_LIST, 0));
}

struct val *val_new_str(struct arena *a, struct sv s)
{
	return val_new(a, str_val(a, s));
}

struct val *val_new_str_ref(struct arena *a, struct sv s)
{
	struct val v = val_make(VAL_STR, s.n);

	BUG_ON(s.n > VAL_N_MAX);
	v.s = s.p ? s.p : "";
	return val_new(a, v);
}

struct val *val_new_strf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	struct val v;

	va_start(ap, fmt);
	v = str_valv(a, fmt, ap);
	va_end(ap);
	return val_new(a, v);
}

struct val *val_new_int(struct arena *a, int64_t i)
{
	struct val v = val_make(VAL_INT, 0);

	v.i = i;
	return val_new(a, v);
}

struct val *val_new_float(struct arena *a, double d)
{
	struct val v = val_make(VAL_FLOAT, 0);

	v.d = d;
	return val_new(a, v);
}

struct val *val_new_bool(struct arena *a, bool b)
{
	struct val v = val_make(VAL_BOOL, 0);

	v.b = b;
	return val_new(a, v);
}

struct val *val_new_null(struct arena *a)
{
	return val_new(a, val_make(VAL_NULL, 0));
}

struct val *val_new_raw(struct arena *a, struct sv json)
{
	struct val v = str_val(a, json);

	v.type = VAL_RAW;
	return val_new(a, v);
}

/* --- growing --- */

/* Makes room for more nodes behind the last of v, in an array that v may write to. */
static void val_room(struct arena *a, struct val *v, size_t more)
{
	struct val_items *it = val_items_of(v);
	size_t need = (size_t)v->n + more;
	struct val *bigger;

	BUG_ON(need > VAL_N_MAX);
	if (it && !it->frozen && need <= it->cap)
		return;
	bigger = val_items_new(a, MIN(MAX(MAX(need, 4), (size_t)v->n * 2), VAL_N_MAX));
	if (v->n)
		memcpy(bigger, v->items, v->n * sizeof(*bigger));
	v->items = bigger;
}

static struct val val_copy_or_null(const struct val *v)
{
	return v ? *v : val_make(VAL_NULL, 0);
}

struct val *val_set(struct arena *a, struct val *map, enum sym key, const struct val *v)
{
	struct val copy = val_copy_or_null(v);
	struct val *m;

	BUG_ON(!map || map->type != VAL_MAP || key == SYM_NONE);
	if (sym_late(key))
		return val_set_sv(a, map, sym_name(key), v);
	copy.sym = (uint32_t)key;
	if (val_frozen(map))
		val_room(a, map, 1);
	m = (struct val *)val_member(map, key);
	if (!m) {
		val_room(a, map, 1);
		m = &map->items[map->n];
		map->n = (map->n + 1u) & VAL_N_MAX;
	}
	*m = copy;
	return m;
}

struct val *val_set_sv(struct arena *a, struct val *map, struct sv key, const struct val *v)
{
	struct val copy = val_copy_or_null(v);
	enum sym sym = sym_find(key);
	struct val *m;

	if (sym != SYM_NONE && !sym_late(sym))
		return val_set(a, map, sym, v);
	BUG_ON(!map || map->type != VAL_MAP);
	copy.sym = (uint32_t)sym;
	if (val_frozen(map))
		val_room(a, map, 2);
	m = (struct val *)val_member_sv(map, key);
	if (m) {
		copy.sym = m->sym; /* what is there as text stays so */
		*m = copy;
		return m;
	}
	val_room(a, map, 2);
	m = &map->items[map->n];
	if (sym == SYM_NONE) {
		*m = str_val(a, key);
		m->type = VAL_KEY;
		m++;
	}
	*m = copy;
	map->n = (uint32_t)(m + 1 - map->items) & VAL_N_MAX;
	return m;
}

struct val *val_append(struct arena *a, struct val *map, enum sym key, const struct val *v)
{
	struct val *m;

	if (sym_owned(key)) {
		val_append_sv(a, map, arena_sv(a, sym_name(key)), v);
		return &map->items[map->n - 1];
	}
	val_room(a, map, 1);
	m = &map->items[map->n];
	map->n = (map->n + 1u) & VAL_N_MAX;
	*m = val_copy_or_null(v);
	m->sym = (uint32_t)key;
	return m;
}

void val_append_sv(struct arena *a, struct val *map, struct sv key, const struct val *v)
{
	struct val copy = val_copy_or_null(v), *m;

	copy.sym = (uint32_t)sym_find(key);
	val_room(a, map, 2);
	m = &map->items[map->n];
	if (copy.sym == SYM_NONE) {
		*m = val_make(VAL_KEY, key.n);
		m->s = key.p;
		m++;
	}
	*m = copy;
	map->n = (uint32_t)(m + 1 - map->items) & VAL_N_MAX;
}

struct val *val_push(struct arena *a, struct val *list, const struct val *v)
{
	struct val copy = val_copy_or_null(v);
	struct val *m;

	BUG_ON(!list || list->type != VAL_LIST);
	copy.sym = 0;
	val_room(a, list, 1);
	m = &list->items[list->n];
	list->n = (list->n + 1u) & VAL_N_MAX;
	*m = copy;
	return m;
}

void val_set_str(struct arena *a, struct val *map, enum sym key, struct sv s)
{
	struct val v = str_val(a, s);

	val_set(a, map, key, &v);
}

void val_set_cstr(struct arena *a, struct val *map, enum sym key, const char *s)
{
	val_set_str(a, map, key, sv_from(s));
}

void val_set_strf(struct arena *a, struct val *map, enum sym key, const char *fmt, ...)
{
	va_list ap;
	struct val v;

	va_start(ap, fmt);
	v = str_valv(a, fmt, ap);
	va_end(ap);
	val_set(a, map, key, &v);
}

void val_set_int(struct arena *a, struct val *map, enum sym key, int64_t i)
{
	struct val v = val_make(VAL_INT, 0);

	v.i = i;
	val_set(a, map, key, &v);
}

void val_set_bool(struct arena *a, struct val *map, enum sym key, bool b)
{
	struct val v = val_make(VAL_BOOL, 0);

	v.b = b;
	val_set(a, map, key, &v);
}

struct val *val_set_map(struct arena *a, struct val *map, enum sym key)
{
	struct val v = val_make(VAL_MAP, 0);

	return val_set(a, map, key, &v);
}

struct val *val_set_list(struct arena *a, struct val *map, enum sym key)
{
	struct val v = val_make(VAL_LIST, 0);

	return val_set(a, map, key, &v);
}

void val_set_str_sv(struct arena *a, struct val *map, struct sv key, struct sv s)
{
	struct val v = str_val(a, s);

	val_set_sv(a, map, key, &v);
}

static struct val *val_ensure(struct arena *a, struct val *map, enum sym key, enum val_type type)
{
	struct val *m;

	BUG_ON(!map || map->type != VAL_MAP);
	if (val_frozen(map))
		val_room(a, map, 1);
	m = (struct val *)val_member(map, key);
	if (m && m->type == (unsigned)type)
		return m;

	struct val v = val_make(type, 0);

	return val_set(a, map, key, &v);
}

struct val *val_ensure_map(struct arena *a, struct val *map, enum sym key)
{
	return val_ensure(a, map, key, VAL_MAP);
}

struct val *val_ensure_list(struct arena *a, struct val *map, enum sym key)
{
	return val_ensure(a, map, key, VAL_LIST);
}

/* --- removing --- */

static void nodes_drop(struct val *v, size_t from, size_t count)
{
	BUG_ON(val_frozen(v));
	memmove(v->items + from, v->items + from + count, (v->n - from - count) * sizeof(*v->items));
	v->n = (v->n - (uint32_t)count) & VAL_N_MAX;
}

static bool member_drop(struct val *map, const struct val *m)
{
	if (!m)
		return false;
	if (m->sym)
		nodes_drop(map, (size_t)(m - map->items), 1);
	else
		nodes_drop(map, (size_t)(m - map->items) - 1, 2);
	return true;
}

bool val_del(struct val *map, enum sym key)
{
	return member_drop(map, val_member(map, key));
}

bool val_del_sv(struct val *map, struct sv key)
{
	return member_drop(map, val_member_sv(map, key));
}

void val_del_if(struct val *map, bool (*drop)(const struct val_iter *m, void *ctx), void *ctx)
{
	struct val *v = map->items;
	uint32_t kept = 0, all = val_type(map) == VAL_MAP ? map->n : 0;

	BUG_ON(all && val_frozen(map));
	for (uint32_t i = 0, n; i < all; i += n) {
		struct val_iter m = { .value = &v[i + (v[i].type == VAL_KEY)] };

		n = (uint32_t)(m.value - &v[i]) + 1;
		m.sym = (enum sym)(n == 1 ? v[i].sym : SYM_NONE);
		m.key = n == 1 ? sym_name(m.sym) : sv_make(v[i].s, v[i].n);
		if (drop(&m, ctx))
			continue;
		memmove(&v[kept], &v[i], n * sizeof(*v));
		kept += n;
	}
	if (all)
		map->n = kept & VAL_N_MAX;
}

void val_list_remove(struct val *list, size_t i)
{
	BUG_ON(val_type(list) != VAL_LIST || i >= list->n);
	nodes_drop(list, i, 1);
}

void val_list_insert(struct arena *a, struct val *list, size_t i, const struct val *v)
{
	struct val copy = val_copy_or_null(v);

	BUG_ON(val_type(list) != VAL_LIST || i > list->n);
	copy.sym = 0;
	val_room(a, list, 1);
	memmove(list->items + i + 1, list->items + i, (list->n - i) * sizeof(*list->items));
	list->items[i] = copy;
	list->n = (list->n + 1u) & VAL_N_MAX;
}

/* --- lookups to change --- */

/* m, found among the children of v: a frozen array must not be changed through it. */
static struct val *mut(const struct val *v, const struct val *m)
{
	BUG_ON(m && val_frozen(v));
	return (struct val *)m;
}

struct val *val_member_mut(struct val *v, enum sym key)
{
	return mut(v, val_member(v, key));
}

struct val *val_member_sv_mut(struct val *v, struct sv key)
{
	return mut(v, val_member_sv(v, key));
}

struct val *val_path_mut(struct val *v, const enum sym *path)
{
	while (v && *path != SYM_NONE)
		v = val_member_mut(v, *path++);
	return v;
}

struct val *val_at_mut(struct val *v, size_t i)
{
	return mut(v, val_at(v, i));
}

/* --- copies --- */

static void clone_into(struct arena *a, struct val *to, const struct val *from, bool strings)
{
	*to = *from;
	switch ((enum val_type)from->type) {
	case VAL_STR:
	case VAL_RAW:
	case VAL_KEY:
		if (strings)
			to->s = arena_strndup(a, from->s, from->n);
		break;
	case VAL_LIST:
	case VAL_MAP:
		to->items = NULL;
		if (!from->n)
			break;
		to->items = val_items_new(a, from->n);
		val_items_of(to)->kept = val_kept(from) & VAL_KEPT_MAX;
		for (size_t i = 0; i < from->n; i++)
			clone_into(a, &to->items[i], &from->items[i], strings);
		break;
	default:
		break;
	}
}

void val_thaw(struct arena *a, struct val *v)
{
	struct val own;

	if (!v || (v->type != VAL_LIST && v->type != VAL_MAP) || !v->n)
		return;
	if (val_frozen(v)) {
		clone_into(a, &own, v, false);
		v->items = own.items;
		return;
	}
	for (size_t i = 0; i < v->n; i++)
		val_thaw(a, &v->items[i]);
}

static struct val *val_clone_any(struct arena *a, const struct val *v, bool strings)
{
	struct val *to;

	if (!v)
		return NULL;
	to = arena_alloc(a, sizeof(*to));
	clone_into(a, to, v, strings);
	to->sym = 0;
	return to;
}

struct val *val_clone(struct arena *a, const struct val *v)
{
	return val_clone_any(a, v, true);
}

struct val *val_clone_nodes(struct arena *a, const struct val *v)
{
	return val_clone_any(a, v, false);
}

static void sorted_into(struct arena *a, struct val *to, const struct val *from);

static void sorted_map(struct arena *a, struct val *to, const struct val *from, size_t n)
{
	struct val_iter *members = ARENA_ARRAY(a, struct val_iter, n);
	size_t at = 0;

	VAL_EACH_MEMBER(from, m)
		members[at++] = m;
	qsort(members, n, sizeof(*members), val_iter_order);
	for (size_t i = 0; i < n; i++) {
		struct val value;

		sorted_into(a, &value, members[i].value);
		if (members[i].sym)
			val_append(a, to, members[i].sym, &value);
		else
			val_append_sv(a, to, members[i].key, &value);
	}
}

static void sorted_into(struct arena *a, struct val *to, const struct val *from)
{
	size_t n = val_len(from);

	*to = *from;
	if (n == 0)
		return;
	if (from->type == VAL_LIST) {
		to->items = val_items_new(a, n);
		for (size_t i = 0; i < n; i++)
			sorted_into(a, &to->items[i], &from->items[i]);
	} else {
		*to = val_make(VAL_MAP, 0);
		sorted_map(a, to, from, n);
	}
}

struct val *val_sorted(struct arena *a, const struct val *v)
{
	struct val *to;

	if (!v)
		return NULL;
	to = arena_alloc(a, sizeof(*to));
	sorted_into(a, to, v);
	to->sym = 0;
	return to;
}
