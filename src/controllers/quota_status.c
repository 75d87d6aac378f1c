#include "controllers/quota_status.h"

#include "codec/val_index.h"
#include "object/quantity.h"

struct charged_status {
	struct val_index hard, used;
};

static struct charged_status charged_index(const struct obj *quota)
{
	return (struct charged_status){ val_index_of(obj_get(quota, F_status, F_hard)),
					val_index_of(obj_get(quota, F_status, F_used)) };
}

static void charged_release(struct charged_status *s)
{
	val_index_release(&s->hard);
	val_index_release(&s->used);
}

/* What the server has charged from one version to a later one. */
static struct sv charged_since(struct arena *a, const struct charged_status *from, const struct charged_status *to,
			       struct sv name)
{
	const struct val *was = val_index_get(&from->used, name), *is = val_index_get(&to->used, name);

	return was && is && val_index_get(&from->hard, name) ? quantity_sub(a, val_str(is), val_str(was)) : SV("0");
}

struct val *quota_status(struct arena *a, const struct quota_list *counted, const struct obj *at,
			 const struct obj *then, const struct obj *onto)
{
	_cleanup_(charged_release) struct charged_status at_index = charged_index(at), then_index = charged_index(then),
							 onto_index = charged_index(onto);
	const struct val *hard = obj_get(onto, F_spec, F_hard);
	struct val *st = val_new_map(a), *used = val_set_map(a, st, F_used);

	VAL_EACH_MEMBER(hard, m) {
		struct sv amount = quota_list_get(counted, m.key), more;
		const struct val *kept = val_index_get(&onto_index.used, m.key);

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
