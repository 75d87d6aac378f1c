/* How a resource is stored: in whose form, and an object out of its text. */
#include "apiserver/watchcache-internal.h"
#include "apiserver/registry/strategy.h"
#include "codec/json.h"

bool resource_stored(const struct resource *r)
{
	return r->schema && (r->verbs & (1u << VERB_LIST)) && (r->verbs & (1u << VERB_WATCH));
}

const struct resource *resource_storage(const struct resource *r)
{
	const struct strategy *st = strategy_for(r);

	return st->stored_as ? st->stored_as : r;
}

/* A stored value as an object; NULL when it cannot be read. */
struct obj *stored_text(struct sv value, int64_t rev)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *root = json_decode(&a, value, &(struct json_opts){ .borrow_text = true }, NULL);

	return root && val_get_str(root, F_metadata, F_name).n ? obj_new(root, rev) : NULL;
}

struct obj *stored_view(const struct resource *res, const struct obj *o)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *root = strategy_for(res)->from_stored(&a, obj_root(o));

	return root ? obj_new(root, obj_rev(o)) : NULL;
}

struct obj *stored_parse(const struct resource *r, struct sv value, int64_t rev)
{
	struct obj *stored = stored_text(value, rev), *o;

	if (!stored || resource_storage(r) == r)
		return stored;
	o = stored_view(r, stored);
	obj_unref(stored);
	return o;
}
