#include "kubelet/shares.h"

#include <stdlib.h>

struct share_owner {
	int each[_SHARE_MAX], hung[_SHARE_MAX], n;
};

bool shares_free(const struct shares *s, enum share_kind kind, struct sv owner, bool hung)
{
	const struct share_bounds *b = &s->bounds[kind];
	const struct share_owner *o = strmap_get(&s->owners, owner);

	if (s->all[kind] >= b->all || (o && o->each[kind] >= b->each))
		return false;
	return !hung || (s->hung[kind] < b->hung_all && (!o || o->hung[kind] < b->hung_each));
}

static void share_count(struct shares *s, struct share_owner *o, enum share_kind kind, bool hung, int by)
{
	s->all[kind] += by;
	s->hung[kind] += hung ? by : 0;
	o->each[kind] += by;
	o->hung[kind] += hung ? by : 0;
	o->n += by;
}

bool shares_enter(struct shares *s, enum share_kind kind, struct sv owner, bool hung)
{
	void **slot;

	if (!shares_free(s, kind, owner, hung))
		return false;
	slot = strmap_slot(&s->owners, owner);
	if (!*slot)
		*slot = xcalloc(1, sizeof(struct share_owner));
	share_count(s, *slot, kind, hung, 1);
	return true;
}

void shares_leave(struct shares *s, enum share_kind kind, struct sv owner, bool hung)
{
	struct share_owner *o = strmap_get(&s->owners, owner);

	BUG_ON(!o || !o->each[kind]);
	share_count(s, o, kind, hung, -1);
	if (!o->n)
		free(strmap_del(&s->owners, owner));
}

void shares_release(struct shares *s)
{
	strmap_release_with(&s->owners, free);
}
