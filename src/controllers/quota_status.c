#include "controllers/quota_status.h"

#include "codec/val_index.h"
#include "object/quantity.h"

static struct val_index used_index(const struct obj *quota)
{
	return val_index_of(obj_get(quota, F_status, F_used));
}

/* What the server has charged from one version to a later one. */
static struct sv charged_since(struct arena *a, const struct val_index *from, const struct val_index *to,
			       struct sv name)
{
	const struct val *was = val_index_get(from, name), *is = val_index_get(to, name);

	return was && is ? quantity_sub(a, val_str(is), val_str(was)) : SV("0");
}

bool quota_opened(const struct quota_list *counted, const struct obj *quota)
{
	_cleanup_(val_index_release) struct val_index used = used_index(quota);

	for (size_t i = 0; i < counted->n; i++)
		if (!val_index_get(&used, counted->p[i].name))
			return false;
	return true;
}

struct val *quota_status_open(struct arena *a, const struct quota_list *counted, const struct obj *onto)
{
	_cleanup_(val_index_release) struct val_index had = used_index(onto);
	const struct val *old = obj_get(onto, F_status);
	struct val *st = old ? val_clone(a, old) : val_new_map(a);
	struct val *used = old && val_member(old, F_used) ? val_clone(a, val_member(old, F_used)) : val_new_map(a);

	for (size_t i = 0; i < counted->n; i++)
		if (!val_index_get(&had, counted->p[i].name))
			val_set_str_sv(a, used, counted->p[i].name, quantity_canonical(a, counted->p[i].amount));
	val_set(a, st, F_used, used);
	return st;
}

struct val *quota_status(struct arena *a, const struct quota_list *counted, const struct obj *at,
			 const struct obj *then, const struct obj *onto)
{
	_cleanup_(val_index_release) struct val_index at_index = used_index(at);
	_cleanup_(val_index_release) struct val_index then_index = used_index(then);
	_cleanup_(val_index_release) struct val_index onto_index = used_index(onto);
	const struct val *hard = obj_get(onto, F_spec, F_hard);
	struct val *st = val_new_map(a), *used = val_set_map(a, st, F_used);

	VAL_EACH_MEMBER(hard, m) {
		struct sv amount = quota_list_get(counted, m.key), more;
		const struct val *kept = val_index_get(&onto_index, m.key);

		if (amount.p) {
			more = charged_since(a, &at_index, &then_index, m.key);
			if (quantity_sign(more) > 0)
				amount = quota_sum(a, amount, more);
			amount = quota_sum(a, amount, charged_since(a, &then_index, &onto_index, m.key));
			val_set_str_sv(a, used, m.key, quantity_canonical(a, amount));
		} else if (kept) { /* what nothing here counts keeps the amount that somebody wrote */
			val_set_sv(a, used, m.key, kept);
		}
	}
	if (hard)
		val_set(a, st, F_hard, hard);
	return val_equal(val_get(st, F_hard), obj_get(onto, F_status, F_hard)) &&
		       val_equal(val_get(st, F_used), obj_get(onto, F_status, F_used))
		   ? NULL
		   : st;
}

bool quota_in_force(const struct obj *quota)
{
	return val_equal(obj_get(quota, F_spec, F_hard), obj_get(quota, F_status, F_hard));
}
