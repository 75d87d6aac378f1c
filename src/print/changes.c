#include "print/changes.h"

#include "base/strmap.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "object/fieldset.h"

#include <stdlib.h>

#define OWNERS_MAX 256
#define WHO_AT 40 /* the column of # */

/* Who owns what below the place at hand. */
struct owner {
	struct sv name;
	const struct fset *at; /* NULL: nothing */
	bool all;	       /* of the place itself and all below */
};

struct owners {
	struct owner *p;
	size_t n;
};

struct changes {
	struct buf *b;
	struct arena *a;
};

/* The place in both states. */
struct place {
	const struct val *v;
	struct owners who;
};

/* --- who --- */

static struct owners changes_owners(struct arena *a, const struct val *o)
{
	const struct val *fields = val_get(o, F_metadata, F_managedFields);
	struct owners w = { .p = ARENA_ARRAY(a, struct owner, MIN(val_len(fields), (size_t)OWNERS_MAX) + 1) };

	VAL_EACH(fields, m) {
		const struct fset *s = fset_from_json(a, val_member(m, F_fieldsV1), NULL);

		if (s && w.n < OWNERS_MAX)
			w.p[w.n++] = (struct owner){ .name = val_str(val_member(m, F_manager)), .at = s };
	}
	return w;
}

static struct owners owners_at(struct arena *a, const struct owners *w, struct sv edge)
{
	struct owners ret = { .p = ARENA_ARRAY(a, struct owner, w->n + 1) };

	for (size_t i = 0; i < w->n; i++) {
		const struct owner *o = &w->p[i];
		const struct fset_edge *e = o->at ? fset_find(o->at, edge) : NULL;

		if (o->all || e)
			ret.p[ret.n++] = (struct owner){ o->name, e ? e->sub : NULL, o->all || (e && !e->sub) };
	}
	return ret;
}

static struct owners owners_member(struct arena *a, const struct owners *w, struct sv key)
{
	return w->n ? owners_at(a, w, fset_field_text(a, key)) : (struct owners){ 0 };
}

/* The item as the sets call it: by the keys that their other items are called by. */
static struct sv item_edge(struct arena *a, const struct fset *s, const struct val *item)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *keys = NULL;
	struct val *own = val_new_map(a);

	for (size_t i = 0; i < s->n && !keys; i++)
		if (sv_starts(s->edges[i].text, SV("k:")))
			keys = json_decode(a, sv_sub(s->edges[i].text, 2, s->edges[i].text.n), NULL, NULL);
	if (!keys) {
		buf_adds(&b, "v:");
		json_encode(&b, item);
		return arena_sv(a, buf_sv(&b));
	}
	VAL_EACH_MEMBER(keys, k)
		if (val_member_sv(item, k.key))
			val_set_sv(a, own, k.key, val_member_sv(item, k.key));
	buf_adds(&b, "k:");
	json_encode(&b, own);
	return arena_sv(a, buf_sv(&b));
}

static struct owners owners_item(struct arena *a, const struct owners *w, const struct val *item)
{
	struct owners ret = { .p = ARENA_ARRAY(a, struct owner, w->n + 1) };

	for (size_t i = 0; i < w->n; i++) {
		struct owners one = { (struct owner *)&w->p[i], 1 }, got;

		got = w->p[i].at ? owners_at(a, &one, item_edge(a, w->p[i].at, item)) : owners_at(a, &one, SV(""));
		if (got.n)
			ret.p[ret.n++] = got.p[0];
	}
	return ret;
}

static void add_who(struct buf *b, size_t column, const struct owners *w)
{
	struct sv last = SV_NULL;

	for (size_t i = 0; i < w->n; i++) {
		if (sv_eq(w->p[i].name, last))
			continue;
		if (last.p) {
			buf_adds(b, ", ");
		} else {
			buf_printf(b, "%*s", (int)(column < WHO_AT ? WHO_AT - column : 1), "");
			buf_adds(b, "# ");
		}
		last = w->p[i].name;
		/* It is a client's text, and goes to a terminal. */
		for (size_t k = 0; k < MIN(last.n, (size_t)128); k++)
			buf_addc(b, (unsigned char)last.p[k] < ' ' || last.p[k] == 0x7f ? '?' : last.p[k]);
	}
}

/* --- lines --- */

static void changes_line(struct changes *c, char sign, unsigned depth, struct sv text, const struct owners *who)
{
	size_t start = c->b->n;

	buf_addc(c->b, sign);
	buf_printf(c->b, " %*s", (int)(2 * depth), "");
	buf_addsv(c->b, text);
	if (who)
		add_who(c->b, c->b->n - start, who);
	buf_addc(c->b, '\n');
}

/* A whole value below its head ("key:" or "-"), as a document of that alone is written. */
static void add_value(struct changes *c, char sign, unsigned depth, struct sv key, bool item, const struct place *p)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *doc = item ? val_new_list(c->a) : val_new_map(c->a);
	const struct owners *who = &p->who;
	struct sv rest, line;

	if (item)
		val_push(c->a, doc, p->v);
	else
		val_set_sv(c->a, doc, key, p->v);
	yaml_encode(&b, doc);
	rest = buf_sv(&b);
	while (sv_split(&rest, '\n', &line) && (line.n || rest.p)) {
		changes_line(c, sign, depth, line, who);
		who = NULL;
	}
}

/* What leads to a difference is written when there is one below. */
struct head {
	const struct head *up;
	struct sv text;
	unsigned depth;
	bool said;
};

static void say_heads(struct changes *c, const struct head *h)
{
	if (!h || h->said)
		return;
	say_heads(c, h->up);
	changes_line(c, ' ', h->depth, h->text, NULL);
	((struct head *)(uintptr_t)h)->said = true;
}

static void changes_compare(struct changes *c, struct head *up, unsigned depth, struct sv key, bool item,
			    const struct place *x, const struct place *y);

/* --- maps --- */

static bool passed_over(const struct head *up, struct sv key)
{
	return up && !up->up && sv_is(up->text, "metadata:") &&
	       (sv_is(key, "managedFields") || sv_is(key, "resourceVersion"));
}

static struct place member_of(struct arena *a, const struct place *p, const struct val *v, struct sv key)
{
	return (struct place){ v, v ? owners_member(a, &p->who, key) : (struct owners){ 0 } };
}

static void compare_maps(struct changes *c, struct head *up, unsigned depth, const struct place *x,
			 const struct place *y)
{
	VAL_EACH_MEMBER(x->v, m) {
		const struct val *other = val_member_sv(y->v, m.key);
		struct place px, py;

		if (passed_over(up, m.key) || (other && val_equal(m.value, other)))
			continue;
		px = member_of(c->a, x, m.value, m.key);
		py = member_of(c->a, y, other, m.key);
		changes_compare(c, up, depth, m.key, false, &px, &py);
	}
	VAL_EACH_MEMBER(y->v, m) {
		struct place px = { 0 }, py;

		if (passed_over(up, m.key) || val_member_sv(x->v, m.key))
			continue;
		py = member_of(c->a, y, m.value, m.key);
		changes_compare(c, up, depth, m.key, false, &px, &py);
	}
}

/* --- lists --- */

/* By key, the items; false: not all have it, or not once. */
static bool items_by(const struct val *list, const char *key, struct strmap *ret)
{
	VAL_EACH(list, item) {
		const struct val *v = val_member_sv(item, sv_from(key));

		if (val_type(v) != VAL_STR || strmap_get(ret, val_str(v)))
			return false;
		(void)strmap_set(ret, val_str(v), (void *)(uintptr_t)item);
	}
	return true;
}

static const char *const item_keys[] = { "name", "type", "uid", "mountPath", "devicePath", "key", "ip", "host" };

/* What both lists' items are the same by; NULL: their place. */
static const char *list_key(const struct val *x, const struct val *y, struct strmap *mx, struct strmap *my)
{
	for (size_t i = 0; i < ARRAY_LEN(item_keys); i++) {
		if (items_by(x, item_keys[i], mx) && items_by(y, item_keys[i], my))
			return item_keys[i];
		strmap_release(mx);
		strmap_release(my);
	}
	return NULL;
}

static void compare_item(struct changes *c, struct head *up, unsigned depth, const struct place *x,
			 const struct val *ix, const struct place *y, const struct val *iy, const char *key)
{
	struct place px = { ix, { 0 } }, py = { iy, { 0 } };

	if (ix && iy && val_equal(ix, iy))
		return;
	if (ix)
		px.who = owners_item(c->a, &x->who, ix);
	if (iy)
		py.who = owners_item(c->a, &y->who, iy);
	changes_compare(c, up, depth, key ? sv_from(key) : SV(""), true, &px, &py);
}

static void compare_lists(struct changes *c, struct head *up, unsigned depth, const struct place *x,
			  const struct place *y)
{
	struct strmap mx = STRMAP_INIT, my = STRMAP_INIT;
	const char *key = list_key(x->v, y->v, &mx, &my);
	size_t n = MAX(val_len(x->v), val_len(y->v));

	if (!key) {
		for (size_t i = 0; i < n; i++)
			compare_item(c, up, depth, x, val_at(x->v, i), y, val_at(y->v, i), NULL);
		return;
	}
	VAL_EACH(x->v, item)
		compare_item(c, up, depth, x, item, y, strmap_get(&my, val_str(val_member_sv(item, sv_from(key)))),
			     key);
	VAL_EACH(y->v, item)
		if (!strmap_get(&mx, val_str(val_member_sv(item, sv_from(key)))))
			compare_item(c, up, depth, x, NULL, y, item, key);
	strmap_release(&mx);
	strmap_release(&my);
}

/* --- both --- */

static struct sv head_text(struct changes *c, struct sv key, bool item, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *doc = val_new_map(c->a);

	if (!item) {
		val_set_sv(c->a, doc, key, val_new_null(c->a));
		yaml_encode(&b, doc);
		return arena_svf(c->a, "%.*s:", (int)(b.n - strlen(": null\n")), b.p);
	}
	if (!key.n)
		return SV("-");
	val_set_sv(c->a, doc, key, val_member_sv(v, key));
	yaml_encode(&b, doc);
	return arena_svf(c->a, "- %.*s", (int)(b.n - 1), b.p);
}

/* key: of a member, or what an item is the same by. One of the two may be missing. */
static void changes_compare(struct changes *c, struct head *up, unsigned depth, struct sv key, bool item,
			    const struct place *x, const struct place *y)
{
	struct head h = { .up = up, .depth = depth };
	bool maps = val_type(x->v) == VAL_MAP && val_type(y->v) == VAL_MAP && x->v && y->v;
	bool lists = val_type(x->v) == VAL_LIST && val_type(y->v) == VAL_LIST && x->v && y->v;

	if (maps || lists) {
		h.text = head_text(c, key, item, y->v);
		if (maps)
			compare_maps(c, &h, depth + 1, x, y);
		else
			compare_lists(c, &h, depth + (item ? 1U : 0U), x, y);
		return;
	}
	say_heads(c, up);
	if (x->v)
		add_value(c, '-', depth, key, item, &(struct place){ x->v, y->v ? (struct owners){ 0 } : x->who });
	if (y->v)
		add_value(c, '+', depth, key, item, y);
}

/* What is only told of an object of which there is nothing else to tell. */
static struct val *without_record(struct arena *a, const struct val *o)
{
	struct val *copy = val_clone_nodes(a, o), *meta = val_get_mut(copy, F_metadata);

	if (meta) {
		val_del(meta, F_managedFields);
		val_del(meta, F_resourceVersion);
	}
	return copy;
}

static void changes_all(struct changes *c, char sign, const struct val *o)
{
	struct place p = { o, changes_owners(c->a, o) };

	VAL_EACH_MEMBER(without_record(c->a, o), m) {
		struct place at = member_of(c->a, &p, m.value, m.key);

		add_value(c, sign, 0, m.key, false, &at);
	}
}

void changes_print(struct buf *b, struct arena *a, const struct val *before, const struct val *after)
{
	struct changes c = { b, a };
	struct place x = { before, { 0 } }, y = { after, { 0 } };

	if (!before || !after) {
		changes_all(&c, before ? '-' : '+', before ? before : after);
		return;
	}
	x.who = changes_owners(a, before);
	y.who = changes_owners(a, after);
	compare_maps(&c, NULL, 0, &x, &y);
}

bool changes_any(const struct val *before, const struct val *after)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	if (!before || !after)
		return before || after;
	return !val_equal(without_record(&a, before), without_record(&a, after));
}

/* --- what is not told --- */

static void hide_map(struct arena *a, struct val *map, const struct val *other, const char *word)
{
	VAL_EACH_MEMBER(val_clone_nodes(a, map), m) {
		const struct val *was = val_member_sv(other, m.key);

		val_set_sv(a, map, m.key, val_new_strf(a, "***%s", !was || val_equal(was, m.value) ? "" : word));
	}
}

struct val *changes_hide(struct arena *a, const struct val *o, const struct val *other, const char *word)
{
	static const char applied[] = "kubectl.kubernetes.io/last-applied-configuration";
	struct val *copy = val_clone(a, o), *notes = val_get_mut(copy, F_metadata, F_annotations);
	static const enum sym held[] = { F_data, F_stringData };

	for (size_t i = 0; i < ARRAY_LEN(held); i++)
		if (val_type(val_member(copy, held[i])) == VAL_MAP)
			hide_map(a, val_member_mut(copy, held[i]), val_member(other, held[i]), word);
	if (val_member_sv(notes, sv_from(applied)))
		val_set_sv(a, notes, sv_from(applied), val_new_str_ref(a, SV("***")));
	return copy;
}
