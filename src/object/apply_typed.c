/* apply_typed.c - which paths a document sets, and how two documents differ. */
#include "object/apply-internal.h"

#include "codec/json.h"

#include <stdlib.h>

static const struct val zero_null = { .type = VAL_NULL }, zero_map = { .type = VAL_MAP },
			zero_int = { .type = VAL_INT }, zero_str = { .type = VAL_STR, .s = "" },
			zero_bool = { .type = VAL_BOOL }, zero_quantity = { .type = VAL_STR, .n = 1, .s = "0" };

/* --- types --- */

struct ftype ftype_root(const struct schema *s)
{
	return (struct ftype){ .shape = s ? SHAPE_STRUCT : SHAPE_DEDUCED, .schema = s };
}

/* One value of f: the field itself, or an element when it is a list or map. */
static struct ftype typed_one(const struct field *f)
{
	/* What a field says of its values counts more than what their type says of itself. */
	bool atomic = f->elem_topology == TOPO_ATOMIC || (f->card == CARD_ONE && f->topology == TOPO_ATOMIC) ||
		      (f->kind == FIELD_STRUCT && f->type->atomic && f->elem_topology != TOPO_GRANULAR);

	if (f->card != CARD_ONE && f->inner_card != CARD_ONE)
		return (struct ftype){ .shape = SHAPE_LEAF };
	if (f->kind == FIELD_STRUCT && !atomic)
		return (struct ftype){ .shape = SHAPE_STRUCT, .schema = f->type };
	if (f->kind == FIELD_RAW && (f->topology == TOPO_GRANULAR || f->elem_topology == TOPO_GRANULAR))
		return (struct ftype){ .shape = SHAPE_DEDUCED };
	return (struct ftype){ .shape = SHAPE_LEAF };
}

static struct ftype of_field(const struct field *f)
{
	enum shape shape;

	if (f->card == CARD_ONE)
		return typed_one(f);
	if (f->card == CARD_MAP)
		shape = f->topology == TOPO_ATOMIC ? SHAPE_LEAF : SHAPE_MAP;
	else if (f->topology == TOPO_MAP && f->list_keys && f->kind == FIELD_STRUCT)
		shape = SHAPE_KEYED;
	else
		shape = f->topology == TOPO_SET ? SHAPE_SET : SHAPE_LEAF;
	return (struct ftype){ .shape = shape, .field = f };
}

static struct ftype type_of_member(struct ftype t, enum sym sym, struct sv key, bool *ret_declared)
{
	const struct field *f;

	*ret_declared = false;
	if (t.shape == SHAPE_MAP)
		return typed_one(t.field);
	f = t.shape == SHAPE_STRUCT ? schema_member(t.schema, sym, key) : NULL;
	*ret_declared = f != NULL;
	return f ? of_field(f) : (struct ftype){ .shape = SHAPE_DEDUCED };
}

struct ftype ftype_member(struct ftype t, enum sym sym, struct sv key)
{
	bool declared;

	return type_of_member(t, sym, key, &declared);
}

struct ftype ftype_edge(struct ftype t, struct sv text, bool *ret_declared)
{
	struct sv key = text.p[0] == 'f' ? sv_sub(text, 2, text.n) : SV("");

	*ret_declared = false;
	if (ftype_is_list(t))
		return ftype_item(t);
	if (t.shape == SHAPE_LEAF)
		return t;
	return type_of_member(t, t.shape == SHAPE_STRUCT ? sym_find(key) : SYM_NONE, key, ret_declared);
}

struct ftype ftype_item(struct ftype t)
{
	return typed_one(t.field);
}

bool ftype_is_container(struct ftype t, const struct val *v)
{
	switch (t.shape) {
	case SHAPE_LEAF:
		return false;
	case SHAPE_SET:
	case SHAPE_KEYED:
		return val_type(v) == VAL_LIST && v->n;
	default:
		return val_type(v) == VAL_MAP && v->n;
	}
}

/* --- parts --- */

/* What Go prints for a field that is not set; NULL when it prints nothing. */
static const struct val *zero_of(const struct field *f)
{
	if (f->flags & (FF_OMITEMPTY | FF_HIDDEN))
		return NULL;
	if (f->card != CARD_ONE || (f->flags & FF_POINTER))
		return &zero_null;
	switch (f->kind) {
	case FIELD_STRUCT:
		return &zero_map;
	case FIELD_BOOL:
		return &zero_bool;
	case FIELD_INT32:
	case FIELD_INT64:
	case FIELD_FLOAT64:
	case FIELD_INT_OR_STRING:
		return &zero_int;
	case FIELD_STRING:
		return &zero_str;
	case FIELD_QUANTITY:
		return &zero_quantity;
	default:
		return &zero_null;
	}
}

static int typed_by_name(const void *x, const void *y)
{
	return sv_cmp(sym_name(*(const enum sym *)x), sym_name(*(const enum sym *)y));
}

int fpart_keys_text(struct arena *a, const struct field *f, const struct val *item, bool strict, struct sv *ret,
		    struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	enum sym keys[16];
	size_t n = 0;

	if (item->type != VAL_MAP)
		return err_set(err, ERR_UNKNOWN, "associative list with keys may not have non-map elements");
	while (n < ARRAY_LEN(keys) && f->list_keys[n]) {
		keys[n] = f->list_keys[n];
		n++;
	}
	qsort(keys, n, sizeof(*keys), typed_by_name);
	buf_adds(&b, "k:{");
	for (size_t i = 0; i < n; i++) {
		const struct val *v = val_member(item, keys[i]);
		const struct field *kf = schema_field(f->type, keys[i]);

		if (i)
			buf_addc(&b, ',');
		json_encode_str(&b, sym_name(keys[i]));
		buf_addc(&b, ':');
		if (v && v->type != VAL_NULL) {
			json_encode(&b, v);
		} else if (kf && kf->json_default) {
			buf_adds(&b, kf->json_default);
		} else {
			/* A key without omitempty has its zero as default. */
			const struct val *zero = kf ? zero_of(kf) : NULL;

			if (strict && !zero)
				return err_set(err, ERR_UNKNOWN,
					       "associative list with keys has an element that omits key field "
					       "\"%.*s\" (and doesn't have default value)",
					       SV_ARG(sym_name(keys[i])));
			json_encode(&b, zero ? zero : &zero_null);
		}
	}
	buf_addc(&b, '}');
	*ret = arena_sv(a, buf_sv(&b));
	return 0;
}

static int part_cmp(const void *x, const void *y)
{
	const struct fpart *a = x, *b = y;
	int c = sv_cmp(a->text, b->text);

	return c ? c : a->index < b->index ? -1 : a->index > b->index;
}

void fparts_sort(struct fparts *ps)
{
	if (ps->n > 1)
		qsort(ps->p, ps->n, sizeof(*ps->p), part_cmp);
}

struct sv fpart_value_text(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "v:");
	json_encode(&b, v);
	return arena_sv(a, buf_sv(&b));
}

static void list_parts(struct arena *a, struct ftype t, const struct val *v, struct fparts *ret)
{
	ret->p = ARENA_ARRAY(a, struct fpart, val_len(v) + 1);
	VAL_EACH(v, it) {
		struct fpart *p = &ret->p[ret->n];

		if (t.shape == SHAPE_SET)
			p->text = fpart_value_text(a, it);
		else if (fpart_keys_text(a, t.field, it, false, &p->text, NULL) < 0)
			p->text = arena_svf(a, "i:%zu", ret->n);
		p->v = it;
		p->type = ftype_item(t);
		p->index = ret->n++;
	}
}

static void add_member(struct arena *a, struct fparts *ps, struct ftype t, enum sym sym, struct sv key,
		       const struct val *v)
{
	struct fpart *p = &ps->p[ps->n];

	*p = (struct fpart){ .text = fset_field_text(a, key), .v = v, .sym = sym, .key = key, .index = ps->n++ };
	p->type = type_of_member(t, sym, key, &p->declared);
}

void fparts_of(struct arena *a, struct ftype t, const struct val *v, bool zeros, struct fparts *ret)
{
	size_t fields = t.shape == SHAPE_STRUCT && zeros ? t.schema->n_fields : 0, n_zero = 0;

	*ret = (struct fparts){ 0 };
	if (ftype_is_list(t)) {
		list_parts(a, t, v, ret);
		return;
	}
	if (!v)
		return; /* nothing is printed of what is absent */
	/* Few of a large struct's fields are printed when unset: room for those, not for all. */
	for (size_t i = 0; i < fields; i++)
		n_zero += zero_of(&t.schema->fields[i]) != NULL;
	ret->p = ARENA_ARRAY(a, struct fpart, val_len(v) + n_zero + 1);
	VAL_EACH_MEMBER(v, m)
		add_member(a, ret, t, m.sym, m.key, m.value);
	for (size_t i = 0; i < fields; i++) {
		const struct field *f = &t.schema->fields[i];
		const struct val *zero = zero_of(f);

		if (zero && !val_member(v, f->sym))
			add_member(a, ret, t, f->sym, sym_name(f->sym), zero);
	}
}

/* --- the paths of a document --- */

static void fields_of(struct arena *a, struct ftype t, const struct val *v, struct fset *out)
{
	struct fparts ps;

	fparts_of(a, t, v, false, &ps);
	fset_reserve(a, out, ps.n);
	for (size_t i = 0; i < ps.n; i++) {
		struct fpart *p = &ps.p[i];
		bool empty = p->v->type == VAL_NULL || (p->v->type == VAL_MAP && p->v->n == 0);
		struct fset *sub = NULL;

		if (ftype_is_container(p->type, p->v)) {
			sub = fset_new(a);
			fields_of(a, p->type, p->v, sub);
		}
		/* Items of lists and members of maps exist by themselves; a declared struct member
		 * only through what it holds. Associative lists that are empty set nothing. */
		fset_add(a, out, p->text, empty || !p->declared || (!sub && !ftype_is_list(p->type)), sub);
	}
	fset_seal(a, out);
}

const struct fset *typed_fields(struct arena *a, struct ftype t, const struct val *v)
{
	struct fset *out = fset_new(a);

	if (ftype_is_container(t, v))
		fields_of(a, t, v, out);
	return out;
}

/* --- comparison --- */

enum { ADDED, REMOVED, MODIFIED, N_DIFF };

/* What happened at one place: to its own path, and below it. */
struct diff {
	bool self[N_DIFF];
	struct fset *sub[N_DIFF];
};

static void compare(struct arena *a, struct ftype t, const struct val *was, const struct val *now, struct diff *d);

static bool differs(const struct diff *d)
{
	for (int k = 0; k < N_DIFF; k++)
		if (d->self[k] || !fset_empty(d->sub[k]))
			return true;
	return false;
}

/* What was found at path element text becomes part of what is found around it. */
static void note(struct arena *a, struct diff *d, struct sv text, const struct diff *below)
{
	for (int k = 0; k < N_DIFF; k++) {
		if (!below->self[k] && fset_empty(below->sub[k]))
			continue;
		if (!d->sub[k])
			d->sub[k] = fset_new(a);
		fset_add(a, d->sub[k], text, below->self[k], below->sub[k]);
	}
}

/* compare() of two structs: field by field in order of text, which is the order of symbols. Says
 * the same as the general way below, for a fraction of its cost; false when that one is needed. */
static bool compare_structs(struct arena *a, const struct schema *s, const struct val *was, const struct val *now,
			    struct diff *d)
{
	const struct val **l, **r;

	if (!s->by_sym || s->late)
		return false;
	l = ARENA_ARRAY(a, const struct val *, 2 * (size_t)s->n_fields);
	r = l + s->n_fields;
	if (!schema_slots(s, was, l) || !schema_slots(s, now, r))
		return false;
	for (size_t k = 0; k < s->n_fields; k++) {
		size_t i = s->by_sym[k];
		const struct field *f = &s->fields[i];
		const struct val *zero, *lv, *rv;
		struct diff below;

		/* Most fields neither has, and nothing is printed for them. */
		if (!l[i] && !r[i] && ((f->flags & (FF_OMITEMPTY | FF_HIDDEN)) || (was && now)))
			continue;
		zero = l[i] && r[i] ? NULL : zero_of(f);
		lv = l[i] || !was ? l[i] : zero;
		rv = r[i] || !now ? r[i] : zero;
		if (lv == rv)
			continue;
		below = (struct diff){ 0 };
		compare(a, of_field(f), lv, rv, &below);
		if (differs(&below))
			note(a, d, fset_field_text(a, sym_name(f->sym)), &below);
	}
	return true;
}

static void compare_parts(struct arena *a, struct ftype t, const struct val *was, const struct val *now, struct diff *d)
{
	struct fparts l = { 0 }, r = { 0 };
	size_t i = 0, j = 0;

	fparts_of(a, t, was, true, &l);
	fparts_of(a, t, now, true, &r);
	fparts_sort(&l);
	fparts_sort(&r);
	while (i < l.n || j < r.n) {
		struct fpart *lp = i < l.n ? &l.p[i] : NULL, *rp = j < r.n ? &r.p[j] : NULL;
		int c = !rp ? -1 : !lp ? 1 : sv_cmp(lp->text, rp->text);
		const struct fpart *any = c <= 0 ? lp : rp;
		struct diff below = { 0 };

		compare(a, any->type, c <= 0 ? lp->v : NULL, c >= 0 ? rp->v : NULL, &below);
		note(a, d, any->text, &below);
		/* Step over repetitions: the first of equal items stands for all. */
		for (struct sv text = lp ? lp->text : SV(""); c <= 0 && i < l.n && sv_eq(l.p[i].text, text);)
			i++;
		for (struct sv text = rp ? rp->text : SV(""); c >= 0 && j < r.n && sv_eq(r.p[j].text, text);)
			j++;
	}
}

static void compare(struct arena *a, struct ftype t, const struct val *was, const struct val *now, struct diff *d)
{
	if (!ftype_is_container(t, was) && !ftype_is_container(t, now)) {
		/* Both may still hold what Go always prints, but then they are equal. */
		if (t.shape == SHAPE_STRUCT && val_type(was) == VAL_MAP && val_type(now) == VAL_MAP)
			return;
		d->self[ADDED] = !was;
		d->self[REMOVED] = !now;
		d->self[MODIFIED] = was && now && !val_equal(was, now);
		return;
	}
	/* Most of a document is what it was before the write. */
	if (was && now && val_equal(was, now))
		return;
	if (t.shape != SHAPE_STRUCT || !compare_structs(a, t.schema, was, now, d))
		compare_parts(a, t, was, now, d);
	d->self[ADDED] = !was;
	d->self[REMOVED] = !now;
}

struct comparison typed_compare(struct arena *a, struct ftype t, const struct val *was, const struct val *now)
{
	struct diff d = { 0 };

	compare(a, t, was, now, &d);
	return (struct comparison){ .added = d.sub[ADDED], .removed = d.sub[REMOVED], .modified = d.sub[MODIFIED] };
}
