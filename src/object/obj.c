/* An object is one block of memory:
 *
 *	struct obj | arrays of nodes, parents before children | escaped strings | JSON text
 *
 * obj_new() measures the tree, encodes it behind the room for the rest, and then walks tree
 * and text side by side: a string whose text needed no escape is the bytes between its quotes;
 * the others are copied into the pool, for which the text makes room when it came out longer than
 * measured. Arrays are marked frozen (codec/doc_items.h). */
#include "object/obj-internal.h"

#include "base/buf.h"
#include "codec/doc_items.h"
#include "codec/json.h"

#include <stdlib.h>

/* --- measuring --- */

struct size {
	size_t nodes; /* bytes of arrays, headers included */
	size_t text;  /* if nothing is escaped */
	bool inexact; /* it may be another number: a float is in it */
};

static size_t int_digits(int64_t i)
{
	uint64_t v = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
	size_t n = i < 0 ? 2 : 1;

	for (; v >= 10; v /= 10)
		n++;
	return n;
}

static void obj_measure(struct size *sz, const struct val *v)
{
	switch ((enum val_type)v->type) {
	case VAL_LIST:
	case VAL_MAP:
		if (v->n)
			sz->nodes += sizeof(struct val_items) + v->n * sizeof(struct val);
		for (size_t i = 0; i < v->n; i++)
			obj_measure(sz, &v->items[i]);
		sz->text += v->n ? v->n + 1 : 2; /* a comma behind each but the last; keys have colons */
		break;
	case VAL_STR:
	case VAL_KEY:
		sz->text += v->n + 2;
		break;
	case VAL_RAW:
		sz->text += v->n;
		break;
	case VAL_INT:
		sz->text += int_digits(v->i);
		break;
	case VAL_BOOL:
		sz->text += v->b ? 4 : 5;
		break;
	case VAL_FLOAT:
		sz->text += 8;
		sz->inexact = true;
		break;
	default:
		sz->text += 4;
		break;
	}
	if (v->sym)
		sz->text += sym_name((enum sym)v->sym).n + 3;
}

/* Bytes of strings that the text escapes. */
static size_t obj_pool(const struct val *v)
{
	size_t n = 0;

	if (v->type == VAL_STR || v->type == VAL_KEY)
		return json_str_plain(sv_make(v->s, v->n)) ? 0 : v->n;
	if (v->type == VAL_LIST || v->type == VAL_MAP)
		for (size_t i = 0; i < v->n; i++)
			n += obj_pool(&v->items[i]);
	return n;
}

/* --- laying out --- */

struct layout {
	char *nodes; /* next free byte of each area */
	char *pool;
	const char *text; /* the token that comes next */
};

/* The string at l->text, which reads s. */
static const char *place_str(struct layout *l, const char *s, size_t n)
{
	const char *p = l->text + 1;
	char *copy;

	/* Escaped text cannot pass: it differs from s at the first backslash or is longer. */
	if (p[n] == '"' && (n == 0 || memcmp(p, s, n) == 0)) {
		l->text = p + n + 1;
		return p;
	}
	for (; *p != '"'; p++)
		p += *p == '\\';
	l->text = p + 1;
	copy = l->pool;
	memcpy(copy, s, n);
	l->pool += n;
	return copy;
}

static void obj_place(struct layout *l, struct val *to, const struct val *from)
{
	struct val_items *it;

	*to = *from;
	switch ((enum val_type)from->type) {
	case VAL_STR:
		to->s = place_str(l, from->s, from->n);
		return;
	case VAL_RAW:
		to->s = l->text;
		l->text += from->n;
		return;
	case VAL_LIST:
	case VAL_MAP:
		break;
	default: /* a number or a word ends where structure begins */
		l->text += strcspn(l->text, ",]}");
		return;
	}
	l->text++; /* bracket */
	to->items = NULL;
	if (from->n) {
		it = (struct val_items *)(void *)l->nodes;
		l->nodes += sizeof(*it) + from->n * sizeof(struct val);
		it->cap = from->n;
		it->frozen = 1;
		it->kept = 0; /* who encodes an object hands it out */
		to->items = it->v;
	}
	for (size_t i = 0; i < from->n; i++) {
		if (i)
			l->text++; /* comma */
		if (from->items[i].type == VAL_KEY) {
			to->items[i] = from->items[i];
			to->items[i].s = place_str(l, from->items[i].s, from->items[i].n);
			l->text++; /* colon */
			i++;
		} else if (from->type == VAL_MAP) {
			l->text += sym_name((enum sym)from->items[i].sym).n + 3;
		}
		obj_place(l, &to->items[i], &from->items[i]);
	}
	l->text++;
}

/* A copy of root's top with metadata.resourceVersion set, in upstream's place: behind the
 * identity fields. Everything below metadata's own members stays shared with root. */
static struct val with_rev(struct arena *a, const struct val *root, int64_t rev)
{
	static const enum sym before[] = { F_name, F_generateName, F_namespace, F_selfLink, F_uid };
	const struct val *old = val_member(root, F_metadata);
	struct val top = val_make(VAL_MAP, 0), meta = val_make(VAL_MAP, 0), *rv;
	char text[U64_TEXT_MAX];
	size_t at = 0;

	rv = val_new_str(a, u64_text((uint64_t)rev, text));
	rv->sym = F_resourceVersion;
	if (val_type(old) == VAL_MAP && old->n) {
		const struct val *same = val_member(old, F_resourceVersion);
		size_t tail;

		meta.items = val_items_new(a, old->n + 1);
		if (same) {
			memcpy(meta.items, old->items, old->n * sizeof(meta));
			meta.items[same - old->items] = *rv;
			meta.n = old->n;
		} else {
			for (size_t i = 0; i < ARRAY_LEN(before); i++) {
				const struct val *m = val_member(old, before[i]);

				if (m)
					at = MAX(at, (size_t)(m - old->items) + 1);
			}
			tail = old->n - at;
			if (at)
				memcpy(meta.items, old->items, at * sizeof(meta));
			meta.items[at] = *rv;
			if (tail)
				memcpy(meta.items + at + 1, old->items + at, tail * sizeof(meta));
			meta.n = (old->n + 1u) & VAL_N_MAX;
		}
	} else {
		val_set(a, &meta, F_resourceVersion, rv);
	}
	if (root->n) {
		top.items = val_items_new(a, root->n + 1);
		memcpy(top.items, root->items, root->n * sizeof(top));
		top.n = root->n;
	}
	val_set(a, &top, F_metadata, &meta);
	return top;
}

struct obj *obj_new(const struct val *root, int64_t rev)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	struct size sz = { 0 };
	struct buf b = BUF_INIT;
	struct layout l;
	struct val top;
	struct obj *o;
	size_t text_at, pool = 0;

	BUG_ON(!root);
	top = *root;
	top.sym = 0;
	if (rev != 0 && root->type == VAL_MAP)
		top = with_rev(&tmp, root, rev);

	obj_measure(&sz, &top);
	text_at = sizeof(*o) + sz.nodes;
	buf_reserve(&b, text_at + sz.text);
	b.n = text_at;
	json_encode(&b, &top);
	/* An escape is longer than what it stands for: a text of the length that it has without any has none. */
	if (sz.inexact || b.n != text_at + sz.text)
		pool = obj_pool(&top);
	if (pool) {
		size_t n = b.n - text_at;

		(void)buf_extend(&b, pool);
		memmove(b.p + text_at + pool, b.p + text_at, n);
		text_at += pool;
	}
	BUG_ON(b.n >= UINT32_MAX);

	/* Trimmed to what is used; the NUL behind the text stays and ends every scan. */
	o = xrealloc(b.p, b.n + 1);
	atomic_init(&o->refs, 1);
	atomic_init(&o->views, NULL);
	o->json_at = (uint32_t)text_at;
	o->bytes = (uint32_t)b.n + 1;
	atomic_init(&o->message_bytes, 0);
	l = (struct layout){
		.nodes = (char *)(o + 1),
		.pool = (char *)(o + 1) + sz.nodes,
		.text = (char *)o + text_at,
	};
	obj_place(&l, &o->root, &top);
	BUG_ON(l.text != (char *)o + b.n || l.pool != (char *)o + text_at);
	o->meta = val_member(&o->root, F_metadata);
	o->rev = rev;
	if (rev == 0 && !sv_to_i64(val_get_str(o->meta, F_resourceVersion), &o->rev))
		o->rev = 0;
	return o;
}

bool obj_set_rev(struct obj *o, int64_t rev)
{
	const struct val *v = val_member(o->meta, F_resourceVersion);
	char tmp[U64_TEXT_MAX];
	struct sv text = u64_text((uint64_t)rev, tmp);

	if (val_type(v) != VAL_STR || text.n != v->n)
		return false;
	memcpy((char *)v->s, text.p, v->n); /* digits need no escape: v->s is in the text */
	o->rev = rev;
	return true;
}

/* --- references --- */

struct obj *obj_ref(struct obj *o)
{
	if (o)
		atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

_Atomic size_t obj_view_total;

static void obj_views_release(struct view *list)
{
	while (list) {
		struct view *v = list;

		list = v->next;
		atomic_fetch_sub_explicit(&obj_view_total, view_size(v), memory_order_relaxed);
		obj_unref(v->o); /* which has none itself: no deeper */
		free(v);
	}
}

struct obj *obj_unref(struct obj *o)
{
	/* Release: our reads happen before the free; acquire: the one who frees sees all of them. */
	if (o && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1) {
		obj_views_release(atomic_load_explicit(&o->views, memory_order_relaxed));
		free(o);
	}
	return NULL;
}

static void obj_drop(void *p)
{
	obj_unref(p);
}

struct obj *obj_link(struct arena *a, struct obj *o_take)
{
	if (o_take)
		arena_defer(a, obj_drop, o_take);
	return o_take;
}

struct val *obj_edit(struct arena *a, struct obj *o)
{
	obj_link(a, obj_ref(o));
	return val_clone_nodes(a, obj_root(o));
}

struct val *obj_edit_status(struct arena *a, const struct val *root)
{
	struct val *doc = val_new_map(a);

	VAL_EACH_MEMBER(root, m)
		val_set(a, doc, m.sym,
			m.sym == F_metadata || m.sym == F_status ? val_clone_nodes(a, m.value) : m.value);
	return doc;
}

struct val *obj_reference(struct arena *a, const char *kind, const struct obj *o)
{
	struct val *ref = val_new_map(a);

	val_set_cstr(a, ref, F_kind, kind);
	if (obj_ns(o).n)
		val_set_str(a, ref, F_namespace, obj_ns(o));
	val_set_str(a, ref, F_name, obj_name(o));
	val_set_str(a, ref, F_uid, obj_uid(o));
	return ref;
}

/* --- reading --- */

const struct val *obj_root(const struct obj *o)
{
	return o ? &o->root : NULL;
}

struct sv obj_json(const struct obj *o)
{
	return o ? sv_make((const char *)o + o->json_at, o->bytes - 1 - o->json_at) : SV("");
}

struct sv obj_json_stored(struct arena *a, const struct obj *o)
{
	const struct val *v = val_member(o->meta, F_resourceVersion);
	struct sv text = obj_json(o);
	const char *from, *to;
	char *copy;
	size_t head;

	if (val_type(v) != VAL_STR)
		return arena_sv(a, text);
	/* "resourceVersion":"7" and the comma that parts it from its neighbour. */
	from = v->s - sizeof("\"resourceVersion\":");
	to = v->s + v->n + 1;
	if (from[-1] == ',')
		from--;
	else if (*to == ',')
		to++;
	head = (size_t)(from - text.p);
	copy = arena_alloc(a, text.n);
	memcpy(copy, text.p, head);
	memcpy(copy + head, to, (size_t)(text.p + text.n - to));
	return sv_make(copy, text.n - (size_t)(to - from));
}

int64_t obj_rev(const struct obj *o)
{
	return o ? o->rev : 0;
}

size_t obj_bytes(const struct obj *o)
{
	return o ? o->bytes : 0;
}

size_t obj_message_bytes(const struct obj *o)
{
	return atomic_load_explicit(&o->message_bytes, memory_order_relaxed);
}

void obj_note_message_bytes(const struct obj *o, size_t n)
{
	/* Whoever notes it notes the same. */
	if (n <= UINT32_MAX)
		atomic_store_explicit(&((struct obj *)(uintptr_t)o)->message_bytes, (uint32_t)n, memory_order_relaxed);
}

static const struct val *obj_meta(const struct obj *o)
{
	return o ? o->meta : NULL;
}

struct sv obj_name(const struct obj *o)
{
	return val_str(val_member(obj_meta(o), F_name));
}

struct sv obj_ns(const struct obj *o)
{
	return val_str(val_member(obj_meta(o), F_namespace));
}

struct sv obj_uid(const struct obj *o)
{
	return val_str(val_member(obj_meta(o), F_uid));
}

const struct val *obj_labels(const struct obj *o)
{
	return val_member(obj_meta(o), F_labels);
}

bool obj_has_finalizer(const struct obj *o, const char *name)
{
	VAL_EACH(val_member(obj_meta(o), F_finalizers), f)
		if (val_is(f, name))
			return true;
	return false;
}

bool obj_set_finalizer(struct arena *a, struct val *doc, const char *name, bool on)
{
	struct val *meta = val_ensure_map(a, doc, F_metadata), *list = val_member_mut(meta, F_finalizers);
	bool changed = false;

	for (size_t i = val_len(list); i-- > 0;) {
		if (!val_is(val_at(list, i), name))
			continue;
		if (on)
			return false;
		val_list_remove(list, i);
		changed = true;
	}
	if (on)
		val_push(a, val_ensure_list(a, meta, F_finalizers), val_new_str(a, sv_from(name)));
	else if (list && !val_len(list))
		val_del(meta, F_finalizers);
	return on || changed;
}

bool obj_deleting(const struct obj *o)
{
	return val_type(val_member(obj_meta(o), F_deletionTimestamp)) == VAL_STR;
}

const struct val *obj_controller_ref(const struct obj *o)
{
	VAL_EACH(val_member(obj_meta(o), F_ownerReferences), ref) {
		if (val_bool(val_member(ref, F_controller)))
			return ref;
	}
	return NULL;
}

bool obj_same_version(const struct obj *a, const struct obj *b)
{
	if (!a || !b)
		return a == b;
	return a == b || (sv_eq(obj_uid(a), obj_uid(b)) &&
			  sv_eq(val_get_str(a->meta, F_resourceVersion), val_get_str(b->meta, F_resourceVersion)));
}

struct sv obj_path(struct buf *b, struct sv ns, struct sv name)
{
	buf_clear(b);
	buf_addsv(b, ns);
	buf_addc(b, '/');
	buf_addsv(b, name);
	return buf_sv(b);
}
