/* Lists of amounts by name. */
#include "quota/quota.h"

#include "object/quantity.h"

#include <stdlib.h>

void quota_list_release(struct quota_list *l)
{
	strmap_release(&l->at);
	free(l->p);
	*l = QUOTA_LIST_INIT;
}

static struct quota_item *quota_list_find(const struct quota_list *l, struct sv name)
{
	size_t at = (uintptr_t)strmap_get(&l->at, name);

	return at ? &l->p[at - 1] : NULL;
}

struct sv quota_list_get(const struct quota_list *l, struct sv name)
{
	const struct quota_item *i = quota_list_find(l, name);

	return i ? i->amount : SV_NULL;
}

void quota_list_set(struct quota_list *l, struct sv name, struct sv amount)
{
	struct quota_item *i = quota_list_find(l, name);

	if (!i) {
		if (l->n == l->cap) {
			l->cap = l->cap ? l->cap * 2 : 8;
			l->p = xrealloc(l->p, l->cap * sizeof(*l->p));
		}
		i = &l->p[l->n++];
		i->name = name;
		strmap_set(&l->at, name, (void *)(uintptr_t)l->n);
	}
	i->amount = amount;
}

struct sv quota_sum(struct arena *a, struct sv x, struct sv y)
{
	if (quantity_sign(y) == 0)
		return x.n ? x : y;
	return quantity_sign(x) == 0 ? y : quantity_add(a, x, y);
}

void quota_list_add(struct arena *a, struct quota_list *l, struct sv name, struct sv amount)
{
	quota_list_set(l, name, quota_sum(a, quota_list_get(l, name), amount));
}

void quota_list_raise(struct quota_list *l, struct sv name, struct sv amount)
{
	const struct quota_item *i = quota_list_find(l, name);

	if (!i || quantity_cmp(i->amount, amount) < 0)
		quota_list_set(l, name, amount);
}

static int quota_item_cmp(const void *x, const void *y)
{
	return sv_cmp(((const struct quota_item *)x)->name, ((const struct quota_item *)y)->name);
}

void quota_list_sort(struct quota_list *l)
{
	if (l->n)
		qsort(l->p, l->n, sizeof(*l->p), quota_item_cmp);
	for (size_t i = 0; i < l->n; i++)
		strmap_set(&l->at, l->p[i].name, (void *)(uintptr_t)(i + 1));
}

void quota_list_text(const struct quota_list *l, struct buf *to)
{
	for (size_t i = 0; i < l->n; i++)
		buf_printf(to, "%s%.*s=%.*s", i ? "," : "", SV_ARG(l->p[i].name), SV_ARG(l->p[i].amount));
}
