/* Old and new side by side (upstream's CorrelatedObject). */
#include "object/structural/correlate.h"

#include "base/buf.h"
#include "codec/json.h"

/* The keys of an element as one text. False: one is missing, or no scalar. */
static bool element_key(const struct snode *n, const struct val *element, struct buf *b)
{
	buf_clear(b);
	if (val_type(element) != VAL_MAP)
		return false;
	VAL_EACH(n->map_key, k) {
		const struct val *v = val_member_sv(element, val_str(k));

		if (!v || v->type == VAL_NULL || v->type == VAL_LIST || v->type == VAL_MAP)
			return false;
		json_encode(b, v);
		buf_addc(b, '\n'); /* never in JSON of a scalar */
	}
	return b->n > 0;
}

struct old_children old_children_of(const struct snode *n, const struct val *old)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct old_children c = { .n = n, .old = old };

	c.maps = val_type(old) == VAL_MAP;
	c.lists = val_type(old) == VAL_LIST && n->list == SL_MAP;
	if (c.maps)
		c.members = val_index_of(old);
	if (c.lists) {
		VAL_EACH(old, e)
			if (element_key(n, e, &key))
				strmap_set(&c.by_key, buf_sv(&key), (void *)(uintptr_t)e);
	}
	return c;
}

void old_children_release(struct old_children *c)
{
	if (c->maps)
		val_index_release(&c->members);
	strmap_release(&c->by_key);
}

const struct val *old_member(const struct old_children *c, struct sv name, const struct snode *of)
{
	return c->maps && of ? val_index_get(&c->members, name) : NULL;
}

const struct val *old_element(const struct old_children *c, const struct val *element)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;

	if (!c->lists || !element_key(c->n, element, &key))
		return NULL;
	return strmap_get(&c->by_key, buf_sv(&key));
}

static bool old_members_equal(const struct old_children *c, const struct val *now, size_t *steps)
{
	if (val_len(now) != val_len(c->old))
		return false;
	VAL_EACH_MEMBER(now, m) {
		const struct snode *of = snode_member(c->n, m.key);
		const struct val *old = old_member(c, m.key, of);

		if (!old || !correlated_equal(of, m.value, old, steps))
			return false;
	}
	return true;
}

static bool old_elements_equal(const struct old_children *c, const struct val *now, size_t *steps)
{
	if (val_len(now) != val_len(c->old))
		return false;
	VAL_EACH(now, e) {
		const struct val *old = old_element(c, e);

		if (!old || !c->n->items || !correlated_equal(c->n->items, e, old, steps))
			return false;
	}
	return true;
}

static size_t values_of(const struct val *v)
{
	size_t sum = 1;

	VAL_EACH(v, e)
		sum += values_of(e);
	VAL_EACH_MEMBER(v, m)
		sum += values_of(m.value);
	return sum;
}

bool correlated_equal(const struct snode *n, const struct val *now, const struct val *old, size_t *steps)
{
	struct old_children c;
	bool equal;

	++*steps;
	if (val_type(now) != val_type(old) || (val_type(now) != VAL_MAP && val_type(now) != VAL_LIST))
		return val_equal(now, old);
	if (val_type(now) == VAL_LIST && n->list != SL_MAP) {
		*steps += values_of(now);
		return val_equal(now, old);
	}
	c = old_children_of(n, old);
	equal = c.maps ? old_members_equal(&c, now, steps) : old_elements_equal(&c, now, steps);
	old_children_release(&c);
	return equal;
}
