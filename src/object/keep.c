#include "object/keep.h"

#include "base/buf.h"
#include "base/vec.h"
#include "codec/doc_items.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Paths that begin alike share nodes. */
struct keep_node {
	enum sym sym;
	char *name;	  /* of what is no symbol; or NULL */
	bool all;	  /* whatever is below */
	size_t first_kid; /* in keep.nodes; 0: none, which the root is of nobody */
	size_t next;
	uint32_t kept; /* the names of the kids (codec/doc_items.h); 0: all is below */
};

struct keep {
	atomic_uint refs;
	VEC(struct keep_node) nodes; /* [0]: the whole */
};

struct keep *keep_new(void)
{
	static const char *const identity[] = { "metadata name",
						"metadata namespace",
						"metadata uid",
						"metadata resourceVersion",
						"metadata deletionTimestamp",
						NULL };
	struct keep *k = xcalloc(1, sizeof(*k));

	atomic_init(&k->refs, 1);
	vec_push(&k->nodes, (struct keep_node){ 0 });
	keep_add(k, identity);
	return k;
}

static bool keep_is(const struct keep_node *n, enum sym sym, struct sv key)
{
	return n->name ? sv_is(key, n->name) : n->sym == sym && sym;
}

/* 0: none. */
static size_t keep_kid(const struct keep *k, size_t at, enum sym sym, struct sv key)
{
	size_t kid = k->nodes.p[at].first_kid;

	while (kid && !keep_is(&k->nodes.p[kid], sym, key))
		kid = k->nodes.p[kid].next;
	return kid;
}

static size_t keep_kid_made(struct keep *k, size_t at, struct sv name)
{
	enum sym sym = sym_find(name);
	size_t kid = keep_kid(k, at, sym, name);
	struct keep_node n = { .sym = sym, .next = k->nodes.p[at].first_kid };

	if (kid)
		return kid;
	n.name = sym ? NULL : xstrndup(name.p, name.n);
	vec_push(&k->nodes, n);
	k->nodes.p[at].first_kid = k->nodes.n - 1;
	return k->nodes.n - 1;
}

/* What a map that it trims says of itself. */
static uint32_t keep_names(const struct keep *k, const struct keep_node *n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (n->all)
		return 0;
	for (size_t kid = n->first_kid; kid; kid = k->nodes.p[kid].next) {
		const struct keep_node *m = &k->nodes.p[kid];

		buf_addc(&b, '\n');
		buf_addsv(&b, m->name ? sv_from(m->name) : sym_name(m->sym));
	}
	buf_addc(&b, '\n');
	return val_kept_names(buf_sv(&b));
}

void keep_add(struct keep *k, const char *const *paths)
{
	for (; *paths; paths++) {
		struct sv rest = sv_from(*paths), name;
		size_t at = 0;

		while (sv_split(&rest, ' ', &name))
			at = keep_kid_made(k, at, name);
		k->nodes.p[at].all = true;
	}
	for (size_t i = 0; i < k->nodes.n; i++)
		k->nodes.p[i].kept = keep_names(k, &k->nodes.p[i]);
}

static bool keep_has_path(const struct keep *k, struct sv path)
{
	struct sv name;
	size_t at = 0;

	while (sv_split(&path, ' ', &name)) {
		if (k->nodes.p[at].all)
			return true;
		at = keep_kid(k, at, sym_find(name), name);
		if (!at)
			return false;
	}
	return k->nodes.p[at].all;
}

bool keep_has(const struct keep *k, const char *const *paths)
{
	for (; *paths; paths++)
		if (!keep_has_path(k, sv_from(*paths)))
			return false;
	return true;
}

struct keep *keep_ref(struct keep *k)
{
	if (k)
		atomic_fetch_add(&k->refs, 1);
	return k;
}

struct keep *keep_unref(struct keep *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
		return NULL;
	for (size_t i = 0; i < k->nodes.n; i++)
		free(k->nodes.p[i].name);
	vec_release(&k->nodes);
	free(k);
	return NULL;
}

/* Recursion: no deeper than the longest path, and two levels for a list in a list. */
static struct val keep_below(struct arena *a, const struct keep *k, size_t at, const struct val *v)
{
	struct val out = *v;

	if (k->nodes.p[at].all || (v->type != VAL_MAP && v->type != VAL_LIST))
		return out;
	out.items = NULL;
	out.n = 0;
	VAL_EACH(v, item) {
		struct val one = item->type == VAL_LIST ? *item : keep_below(a, k, at, item);

		(void)val_push(a, &out, &one);
	}
	VAL_EACH_MEMBER(v, m) {
		size_t kid = keep_kid(k, at, m.sym, m.key);
		struct val one;

		if (!kid)
			continue;
		one = keep_below(a, k, kid, m.value);
		if (m.sym)
			(void)val_set(a, &out, m.sym, &one);
		else
			(void)val_set_sv(a, &out, m.key, &one);
	}
	if (v->type == VAL_MAP)
		val_kept_mark(&out, k->nodes.p[at].kept);
	return out;
}

struct val *keep_copy(struct arena *a, const struct keep *k, const struct val *doc)
{
	struct val *out = val_new_map(a);

	*out = keep_below(a, k, 0, doc);
	return out;
}
