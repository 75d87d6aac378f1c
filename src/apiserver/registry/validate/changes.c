/* Which fields of what must stay as it is were changed: for those who read that something was. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "codec/doc_items.h"
#include "codec/val_index.h"

#define SHOWN_MAX 5

struct changes {
	struct arena *a;
	struct buf text;
	int n;
};

static void changes_walk(struct changes *c, const struct fpath *at, const struct val *was, const struct val *now);

static struct fpath changes_member(const struct fpath *at, enum sym sym, struct sv key)
{
	return sym == SYM_NONE ? FPATH_KEY(at, key) : FPATH(at, sym);
}

static void changes_map(struct changes *c, const struct fpath *at, const struct val *was, const struct val *now)
{
	_cleanup_(val_index_release) struct val_index in_was = val_index_of(was), in_now = val_index_of(now);

	VAL_EACH_MEMBER(was, m) {
		struct fpath here = changes_member(at, m.sym, m.key);

		changes_walk(c, &here, m.value, val_index_get(&in_now, m.key));
	}
	VAL_EACH_MEMBER(now, m) {
		struct fpath here = changes_member(at, m.sym, m.key);

		if (!val_index_get(&in_was, m.key))
			changes_walk(c, &here, NULL, m.value);
	}
}

static void changes_list(struct changes *c, const struct fpath *at, const struct val *was, const struct val *now)
{
	for (size_t i = 0; i < MAX(val_len(was), val_len(now)) && c->n <= SHOWN_MAX; i++) {
		struct fpath here = FPATH_AT(at, i);

		changes_walk(c, &here, i < val_len(was) ? val_at(was, i) : NULL,
			     i < val_len(now) ? val_at(now, i) : NULL);
	}
}

/* Leaves are compared once; one more than are shown ends it. */
static void changes_walk(struct changes *c, const struct fpath *at, const struct val *was, const struct val *now)
{
	enum val_type t = was ? was->type : VAL_NULL;
	struct sv path;

	if (c->n > SHOWN_MAX)
		return;
	if (was && now && t == now->type && t == VAL_MAP) {
		changes_map(c, at, was, now);
	} else if (was && now && t == now->type && t == VAL_LIST) {
		changes_list(c, at, was, now);
	} else if (!val_equal(was, now)) {
		path = fpath_str(c->a, at);
		if (c->n++ < SHOWN_MAX)
			buf_printf(&c->text, "%s%.*s", c->n > 1 ? ", " : "", SV_ARG(path));
		else
			buf_adds(&c->text, " and more");
	}
}

struct sv changed_fields(struct arena *a, const struct fpath *at, const struct val *was, const struct val *now)
{
	struct changes c = { .a = a };
	struct sv out;

	changes_walk(&c, at, was, now);
	out = arena_sv(a, buf_sv(&c.text));
	buf_release(&c.text);
	return out;
}
