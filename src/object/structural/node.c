/* Looking into a compiled schema. */
#include "object/structural/node.h"

ssize_t snode_find(const struct snode *n, struct sv name)
{
	size_t from = 0, to = n->n_props;

	while (from < to) {
		size_t at = from + (to - from) / 2;
		int c = sv_cmp(name, n->props[at].name);

		if (c == 0)
			return (ssize_t)at;
		if (c < 0)
			to = at;
		else
			from = at + 1;
	}
	return -1;
}

const struct snode *snode_property(const struct snode *n, struct sv name)
{
	ssize_t i = n ? snode_find(n, name) : -1;

	return i < 0 ? NULL : n->props[i].node;
}

const struct snode *snode_member(const struct snode *n, struct sv name)
{
	const struct snode *p = snode_property(n, name);

	return p || !n ? p : n->additional;
}

void sprop_set_init(struct sprop_set *s, const struct snode *n)
{
	size_t words = (n->n_props + 63) / 64;

	s->bits = s->few;
	if (words > ARRAY_LEN(s->few))
		s->bits = xcalloc(words, sizeof(*s->bits));
	else
		memset(s->few, 0, sizeof(s->few));
}
