/* apply_mutation.c - what a mutating admission policy applies: a configuration merged into an object, with no owners.
 */
#include "object/apply-internal.h"

#include "base/buf.h"

struct place {
	const struct place *up;
	struct sv name; /* p NULL: the item index */
	size_t index;
};

struct atomics {
	struct buf text;
	size_t n;
};

#define ATOMICS_TEXT_MAX ((size_t)4 * 1024) /* of the message; no more are named */

static void place_write(struct buf *b, const struct place *at)
{
	if (!at)
		return;
	place_write(b, at->up);
	if (at->name.p)
		buf_printf(b, ".%.*s", SV_ARG(at->name));
	else
		buf_printf(b, "[%zu]", at->index);
}

static void atomics_find(struct atomics *found, struct ftype t, const struct val *v, const struct place *at)
{
	struct place below = { .up = at };

	if ((v->type != VAL_MAP && v->type != VAL_LIST) || found->text.n > ATOMICS_TEXT_MAX)
		return;
	if (t.shape == SHAPE_LEAF) {
		if (found->n++)
			buf_adds(&found->text, ", ");
		place_write(&found->text, at);
		return;
	}
	if (v->type == VAL_MAP && !ftype_is_list(t)) {
		VAL_EACH_MEMBER(v, m) {
			below.name = m.key;
			atomics_find(found, ftype_member(t, m.sym, m.key), m.value, &below);
		}
	} else if (v->type == VAL_LIST && ftype_is_list(t)) {
		VAL_EACH(v, item) {
			atomics_find(found, ftype_item(t), item, &below);
			below.index++;
		}
	}
}

const struct val *apply_mutation(struct arena *a, const struct schema *s, const struct val *live,
				 const struct val *config, struct err *err)
{
	struct atomics found = { .text = BUF_INIT };
	struct ftype t = ftype_root(s);

	if (typed_check(a, s, config, err) < 0) {
		err_wrap(err, "failed to convert patch object to typed object");
		return NULL;
	}
	atomics_find(&found, t, config, NULL);
	if (found.n)
		err_set(err, ERR_INVALID,
			"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: %s",
			buf_cstr(&found.text));
	buf_release(&found.text);
	return found.n ? NULL : typed_merge(a, t, live, config);
}
