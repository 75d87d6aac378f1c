/* See selecting.h. Keys are "namespace/label=value", and "namespace/" for those that every pod finds. */
#include "controllers/selecting.h"

static struct sv selecting_key(struct arena *a, struct sv ns, struct sv label, struct sv value)
{
	return label.n ? arena_svf(a, "%.*s/%.*s=%.*s", SV_ARG(ns), SV_ARG(label), SV_ARG(value))
		       : arena_svf(a, "%.*s/", SV_ARG(ns));
}

/* The longest value says most: names of one application rather than "true" or "Helm". */
static void selecting_add(struct index_keys *ret, const struct obj *o, const struct val *demanded)
{
	struct sv label = SV_NULL, value = SV_NULL;

	VAL_EACH_MEMBER(demanded, m)
		if (!label.n || val_str(m.value).n > value.n) {
			label = m.key;
			value = val_str(m.value);
		}
	index_keys_add(ret, selecting_key(&ret->arena, obj_ns(o), label, value));
}

void index_selecting_map(const struct obj *o, struct index_keys *ret)
{
	const struct val *selector = obj_get(o, F_spec, F_selector);

	if (val_len(selector)) /* an empty one selects nothing */
		selecting_add(ret, o, selector);
}

void index_selecting_labels(const struct obj *o, struct index_keys *ret)
{
	selecting_add(ret, o, obj_get(o, F_spec, F_selector, F_matchLabels));
}

/* Objects of several lists, in one that grows. */
struct selecting_found {
	struct obj **p;
	size_t n, cap;
};

static void selecting_append(struct arena *a, struct selecting_found *f, struct obj **more, size_t n)
{
	if (f->n + n > f->cap) {
		struct obj **was = f->p;

		f->cap = MAX(f->n + n, f->cap * 2);
		f->p = ARENA_ARRAY(a, struct obj *, f->cap);
		if (f->n)
			memcpy(f->p, was, f->n * sizeof(struct obj *));
	}
	if (n)
		memcpy(f->p + f->n, more, n * sizeof(struct obj *));
	f->n += n;
}

struct obj **selecting(struct informer *i, struct arena *a, struct sv ns, const struct val *labels, size_t *ret_n)
{
	struct selecting_found all = { 0 };
	struct obj **found;
	size_t n;

	*ret_n = 0;
	if (!informer_has_keys(i, INDEX_SELECTING)) /* nothing selects anything: a question for every pod there is */
		return NULL;
	found = informer_by_index(i, a, INDEX_SELECTING, selecting_key(a, ns, SV_NULL, SV_NULL), &n);
	selecting_append(a, &all, found, n);
	/* An object has one key, and a pod each label once: nothing is found twice. */
	VAL_EACH_MEMBER(labels, m) {
		found = informer_by_index(i, a, INDEX_SELECTING, selecting_key(a, ns, m.key, val_str(m.value)), &n);
		selecting_append(a, &all, found, n);
	}
	*ret_n = all.n;
	return all.p;
}
