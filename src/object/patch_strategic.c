/* patch_strategic.c - strategic merge patch: a merge patch that knows the schema's lists.
 *
 * Lists marked with patch strategy "merge" are merged: lists of objects by their merge key,
 * lists of scalars as sets. Everything else follows the merge patch rules. Directives in the
 * patch steer it:
 *
 *	$patch: replace | delete | merge	in a map (or, for lists, in an element)
 *	$retainKeys: [..]			members of the original not listed are dropped
 *	$deleteFromPrimitiveList/NAME: [..]	elements to take out of list NAME
 *	$setElementOrder/NAME: [..]		the order list NAME shall have
 *
 * The order of a merged list is: the elements of the patch in patch order, the others in the
 * order the server had, woven together by the server's order where both are in it.
 */
#include "object/patch.h"

#include "base/budget.h"
#include "base/buf.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/val_index.h"
#include "object/list_index.h"

#include <stdlib.h>

#define D_PATCH SV("$patch")
#define D_RETAIN SV("$retainKeys")
#define D_ORDER SV("$setElementOrder/")
#define D_DELETE SV("$deleteFromPrimitiveList/")

struct sm {
	struct arena *a;
	struct err *err;
	struct budget moved; /* nodes of what was merged so far */
};

/* What is merged is made anew, and a list may name one element of the original again and again: the largest object and
 * patch need half of this. */
static const struct budget_limit move_limit = {
	8 * 1024 * 1024, ERR_TOO_LARGE,
	"Request entity too large: the patch merges elements of its lists again and again: name each once"
};
#define LIST_ITEM_NODES 4 /* what an element of a list costs, in nodes of a map */

static const struct val *strategic_merge_map(struct sm *s, const struct schema *schema, const struct val *orig,
					     const struct val *patch);

static const struct val *strategic_bad(struct sm *s, const char *fmt, struct sv what)
{
	err_set(s->err, ERR_UNKNOWN, fmt, SV_ARG(what));
	return NULL;
}

static int spend(struct sm *s, size_t nodes)
{
	return budget_spend(&s->moved, nodes, s->err);
}

static const struct val *bad_type(struct sm *s, const struct val *map, const struct val *directive)
{
	err_set(s->err, ERR_UNKNOWN, "unknown patch type: %.*s in map: %.*s", SV_ARG(val_go_text(s->a, directive)),
		SV_ARG(val_go_text(s->a, map)));
	return NULL;
}

static bool is_directive(struct sv key)
{
	return key.n && key.p[0] == '$' &&
	       (sv_eq(key, D_PATCH) || sv_eq(key, D_RETAIN) || sv_starts(key, D_ORDER) || sv_starts(key, D_DELETE));
}

static const struct field *field_of(const struct schema *schema, struct sv name)
{
	return schema ? schema_field_named(schema, name) : NULL;
}

/* What a patch value becomes where there is nothing to merge with: nulls and directives go. */
static const struct val *clean(struct sm *s, const struct val *v)
{
	struct val *out;

	if (v->type == VAL_LIST) {
		out = val_new_list(s->a);
		VAL_EACH(v, it) {
			if (it->type == VAL_MAP && val_member_sv(it, D_PATCH))
				continue; /* a directive element, not data */
			val_push(s->a, out, clean(s, it));
		}
		return out;
	}
	if (v->type != VAL_MAP)
		return v;
	out = val_new_map(s->a);
	VAL_EACH_MEMBER(v, m)
		if (m.value->type != VAL_NULL && !is_directive(m.key))
			val_append_member(s->a, out, m.sym, m.key, clean(s, m.value));
	return out;
}

/* --- lists --- */

struct ordered {
	const struct val *item;
	ssize_t at;
	size_t seq;
};

static int by_place(const void *x, const void *y)
{
	const struct ordered *a = x, *b = y;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Sorts items by their place in `order` and weaves in the others, sorted by their place in
 * `server`: one of the others goes first only when the server had both and it was in front. */
static struct val *weave(struct sm *s, const struct val *items, const struct val *order, const struct val *server,
			 enum sym key)
{
	size_t n = val_len(items), np = 0, no = 0, i = 0, j = 0;
	struct ordered *mine = ARENA_ARRAY(s->a, struct ordered, n + 1);
	struct ordered *others = ARENA_ARRAY(s->a, struct ordered, n + 1);
	struct list_index in_order = list_index_of(s->a, order, key), in_server = list_index_of(s->a, server, key);
	struct val *out = val_new_list(s->a);

	VAL_EACH(items, it) {
		ssize_t at = list_index_find(&in_order, it);

		if (at >= 0)
			mine[np] = (struct ordered){ it, at, np }, np++;
		else
			others[no] = (struct ordered){ it, list_index_find(&in_server, it), no }, no++;
	}
	qsort(mine, np, sizeof(*mine), by_place);
	qsort(others, no, sizeof(*others), by_place);
	while (i < no || j < np) {
		bool other = j >= np;

		if (i < no && j < np) {
			ssize_t theirs = others[i].at, ours = list_index_find(&in_server, mine[j].item);

			other = theirs >= 0 && ours >= 0 && theirs < ours;
		}
		val_push(s->a, out, other ? others[i++].item : mine[j++].item);
	}
	return out;
}

static const struct val *merge_scalars(struct sm *s, const struct val *orig, const struct val *patch)
{
	struct val *all = val_new_list(s->a);
	struct list_index in_all = list_index_of(s->a, all, SYM_NONE);
	const struct val *both[] = { orig, patch };

	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		VAL_EACH(both[i], it)
			if (list_index_find(&in_all, it) < 0) {
				val_push(s->a, all, it);
				list_index_grown(&in_all);
			}
	return weave(s, all, patch, orig, SYM_NONE);
}

static const struct val *delete_scalars(struct sm *s, const struct val *orig, const struct val *gone)
{
	struct list_index in_gone = list_index_of(s->a, gone, SYM_NONE);
	struct val *out = val_new_list(s->a);

	VAL_EACH(orig, it)
		if (list_index_find(&in_gone, it) < 0)
			val_push(s->a, out, it);
	return out;
}

static const struct val *no_key(struct sm *s, const struct val *item, enum sym key)
{
	err_set(s->err, ERR_UNKNOWN, "map: %.*s does not contain declared merge key: %.*s",
		SV_ARG(val_go_text(s->a, item)), SV_ARG(sym_name(key)));
	return NULL;
}

static const struct val *merge_objects(struct sm *s, const struct field *f, const struct val *orig,
				       const struct val *patch)
{
	struct val *merged = val_new_list(s->a), *data = val_new_list(s->a), *gone = val_new_list(s->a);
	struct list_index in_gone, in_merged;
	bool replace = false;

	/* Directives first: they speak of the original, in whatever order they come. */
	VAL_EACH(patch, it) {
		const struct val *d = val_member_sv(it, D_PATCH);

		if (val_is(d, "merge"))
			return strategic_bad(s, "merging lists cannot yet be specified in the patch%.*s", SV(""));
		if (!d) {
			val_push(s->a, data, it);
		} else if (val_is(d, "delete")) {
			if (!val_member(it, f->merge_key))
				return no_key(s, it, f->merge_key);
			val_push(s->a, gone, it);
		} else if (val_is(d, "replace")) {
			replace = true;
		} else {
			return bad_type(s, it, d);
		}
	}
	if (replace)
		return clean(s, data);
	in_gone = list_index_of(s->a, gone, f->merge_key);
	VAL_EACH(orig, it)
		if (list_index_find(&in_gone, it) < 0)
			val_push(s->a, merged, it);
	in_merged = list_index_of(s->a, merged, f->merge_key);
	VAL_EACH(data, it) {
		const struct val *neu;
		ssize_t at;

		if (!val_member(it, f->merge_key))
			return no_key(s, it, f->merge_key);
		at = list_index_find(&in_merged, it);
		if (at < 0) {
			val_push(s->a, merged, clean(s, it));
			list_index_grown(&in_merged);
			continue;
		}
		neu = strategic_merge_map(s, f->type, val_at(merged, (size_t)at), it);
		if (!neu)
			return NULL;
		*val_at_mut(merged, (size_t)at) = *neu;
		val_at_mut(merged, (size_t)at)->sym = 0;
	}
	return weave(s, merged, data, orig, f->merge_key);
}

static bool all_alike(const struct val *list, unsigned type)
{
	VAL_EACH(list, it)
		if (it->type != type)
			return false;
	return true;
}

static struct sv list_text(struct sm *s, const struct val *list)
{
	return list ? val_go_text(s->a, list) : SV("[]");
}

static const struct val *strategic_merge_list(struct sm *s, const struct field *f, const struct val *orig,
					      const struct val *patch)
{
	const struct val *first;

	if (!f || f->card != CARD_LIST || !(f->flags & FF_PATCH_MERGE))
		return patch;
	if (val_len(orig) == 0 && val_len(patch) == 0)
		return orig;
	if (spend(s, (val_len(orig) + val_len(patch)) * LIST_ITEM_NODES) < 0)
		return NULL;
	first = val_len(orig) ? val_at(orig, 0) : val_at(patch, 0);
	if (first->type == VAL_LIST)
		return strategic_bad(s, "lists of lists are not supported%.*s", SV(""));
	if (!all_alike(orig, first->type) || !all_alike(patch, first->type)) {
		err_set(s->err, ERR_UNKNOWN, "list element types are not identical: [%.*s %.*s]",
			SV_ARG(list_text(s, orig)), SV_ARG(list_text(s, patch)));
		return NULL;
	}
	if (first->type != VAL_MAP)
		return merge_scalars(s, orig, patch);
	if (!f->merge_key)
		return strategic_bad(s, "cannot merge lists without merge key for %.*s", sym_name(f->sym));
	return merge_objects(s, f, orig, patch);
}

/* Elements of the patch (but for deletions) must follow the order that is asked for. */
static bool order_agrees(const struct val *patch, const struct val *order, enum sym key)
{
	size_t o = 0, n = val_len(order);

	VAL_EACH(patch, it) {
		const struct val *k = list_element_key(it, key);

		if (it->type == VAL_MAP && val_member_sv(it, D_PATCH))
			continue;
		while (o < n && !(k && list_element_key(val_at(order, o), key) &&
				  val_equal(k, list_element_key(val_at(order, o), key))))
			o++;
		if (o++ >= n)
			return false;
	}
	return true;
}

static const struct val *ordered_list(struct sm *s, const struct field *f, struct sv name, const struct val *orig,
				      const struct val *patch, const struct val *order)
{
	enum sym key = f ? f->merge_key : SYM_NONE;
	const struct val *merged = orig;

	if (order->type != VAL_LIST)
		return strategic_bad(s, "unable to cast $setElementOrder/%.*s to a list", name);
	if (patch && patch->type == VAL_LIST) {
		if (!order_agrees(patch, order, key)) {
			err_set(s->err, ERR_UNKNOWN,
				"The order in patch list:\n%.*s\n doesn't match $setElementOrder list:\n%.*s\n",
				SV_ARG(val_go_text(s->a, patch)), SV_ARG(val_go_text(s->a, order)));
			return NULL;
		}
		merged = orig ? strategic_merge_list(s, f, orig, patch) : clean(s, patch);
	}
	if (!merged || spend(s, (val_len(merged) + val_len(order)) * LIST_ITEM_NODES) < 0)
		return NULL;
	return weave(s, merged, order, orig, key);
}

/* --- maps --- */

/* A member's name as an element of the lists that name members. */
static struct val name_value(struct sv name)
{
	struct val v = val_make(VAL_STR, name.n);

	v.s = name.p;
	return v;
}

/* Copies orig's members to out, but for those that $retainKeys (NULL: it is not given) leaves out; the patch may set no
 * others. */
static int retain_keys(struct sm *s, struct val *out, const struct val *orig, const struct val *patch,
		       const struct val *keep)
{
	struct list_index kept = list_index_of(s->a, keep, SYM_NONE);

	if (keep && keep->type != VAL_LIST)
		return err_set(s->err, ERR_BAD_REQUEST, "invalid patch format of retainKeys");
	VAL_EACH_MEMBER(keep ? patch : NULL, m) {
		struct val name = name_value(m.key);

		if (!is_directive(m.key) && m.value->type != VAL_NULL && list_index_find(&kept, &name) < 0)
			return err_set(s->err, ERR_BAD_REQUEST, "invalid patch format of retainKeys");
	}
	VAL_EACH_MEMBER(orig, m) {
		struct val name = name_value(m.key);

		if (!keep || list_index_find(&kept, &name) >= 0)
			val_append_member(s->a, out, m.sym, m.key, m.value);
	}
	return 0;
}

static const struct val *merge_value(struct sm *s, const struct field *f, const struct val *orig,
				     const struct val *patch)
{
	if (!orig || orig->type != patch->type)
		return clean(s, patch);
	if (patch->type == VAL_MAP) {
		if (f && (f->flags & FF_PATCH_REPLACE))
			return clean(s, patch);
		/* Members of a map of structs have the element's schema; other maps have none. */
		return strategic_merge_map(s, f && f->kind == FIELD_STRUCT && f->card == CARD_ONE ? f->type : NULL,
					   orig, patch);
	}
	if (patch->type == VAL_LIST)
		return strategic_merge_list(s, f, orig, patch);
	return patch;
}

static const struct val *strategic_merge_map(struct sm *s, const struct schema *schema, const struct val *orig,
					     const struct val *patch)
{
	const struct val *directive = val_member_sv(patch, D_PATCH), *keep = val_member_sv(patch, D_RETAIN);
	_cleanup_(val_index_release) struct val_index said = { 0 }, merged = { 0 };
	struct val *out;

	if (directive) {
		if (val_is(directive, "replace"))
			return clean(s, patch);
		if (val_is(directive, "delete"))
			return val_new_map(s->a);
		return bad_type(s, patch, directive);
	}
	if (spend(s, (size_t)orig->n + patch->n) < 0)
		return NULL;
	out = val_new_map(s->a);
	if (retain_keys(s, out, orig, patch, keep) < 0)
		return NULL;
	said = val_index_of(patch);
	merged = val_index_changing(out);

	/* Deletions from scalar lists, then ordered lists, then the plain members: an ordered list
	 * takes its plain member along. */
	VAL_EACH_MEMBER(patch, m) {
		struct sv name;
		const struct val *from;

		if (!sv_starts(m.key, D_DELETE))
			continue;
		name = sv_sub(m.key, D_DELETE.n, m.key.n);
		from = val_index_get(&merged, name);
		if (val_type(from) != VAL_LIST)
			continue; /* nothing to take out of, and nobody looks at what */
		if (m.value->type != VAL_LIST)
			return strategic_bad(s, "unable to cast $deleteFromPrimitiveList/%.*s to a list", name);
		val_index_set(&merged, s->a, name, delete_scalars(s, from, m.value));
	}
	VAL_EACH_MEMBER(patch, m) {
		const struct val *was, *change, *neu;
		struct sv name;

		if (!sv_starts(m.key, D_ORDER))
			continue;
		name = sv_sub(m.key, D_ORDER.n, m.key.n);
		was = val_index_get(&merged, name);
		change = val_index_get(&said, name);
		if (val_type(was) == VAL_MAP) {
			err_set(s->err, ERR_UNKNOWN,
				"expected a []interface {}, but received a map[string]interface {}");
			return NULL;
		}
		if (val_type(was) != VAL_LIST)
			was = NULL;
		if (!was && val_type(change) != VAL_LIST)
			continue;
		if (val_type(change) == VAL_NULL && change)
			continue; /* deleted below */
		neu = ordered_list(s, field_of(schema, name), name, was, change, m.value);
		if (!neu)
			return NULL;
		val_index_set(&merged, s->a, name, neu);
	}
	VAL_EACH_MEMBER(patch, m) {
		_cleanup_(buf_release) struct buf order = BUF_INIT;
		const struct val *neu;

		if (is_directive(m.key))
			continue;
		if (m.value->type == VAL_NULL) {
			val_index_del(&merged, m.key);
			continue;
		}
		if (m.value->type == VAL_LIST) {
			buf_addsv(&order, D_ORDER);
			buf_addsv(&order, m.key);
			if (val_index_get(&said, buf_sv(&order)))
				continue; /* merged above */
		}
		neu = merge_value(s, field_of(schema, m.key), val_index_get(&merged, m.key), m.value);
		if (!neu)
			return NULL;
		val_index_set(&merged, s->a, m.key, neu);
	}
	return out;
}

struct val *patch_strategic(struct arena *a, const struct schema *schema, const struct val *doc,
			    const struct val *patch, struct err *err)
{
	struct sm s = { .a = a, .err = err, .moved = BUDGET(move_limit) };
	struct budget values = BUDGET(doc_values_limit);
	const struct val *merged;
	struct val *out;

	if (val_type(patch) != VAL_MAP) {
		err_set(err, ERR_BAD_REQUEST,
			"error decoding patch: json: cannot unmarshal %s into Go value of type map[string]interface {}",
			val_type_name(val_type(patch)));
		return NULL;
	}
	if (val_deeper_than(patch, PATCH_DEPTH_MAX)) {
		err_set(err, ERR_BAD_REQUEST, "error decoding patch: nested deeper than %d levels", PATCH_DEPTH_MAX);
		return NULL;
	}
	merged = strategic_merge_map(&s, schema, doc, patch);
	if (!merged)
		return NULL;
	out = val_new_null(a);
	*out = *merged;
	out->sym = 0;
	return val_count(&values, out, err) < 0 ? NULL : out;
}
