/* Canonical text is canonical and worth the same; sums compare as they should. Two quantities
 * are separated by a line end. */
#include "base/arena.h"
#include "object/quantity.h"

/* Canonical text stays. "437.5Ki" is 448000 bytes, which binary text says without a suffix: that is read as decimal
 * and becomes "448k", upstream too. */
static bool settles(struct arena *a, struct sv (*text)(struct arena *, struct sv), struct sv x, struct sv once)
{
	struct sv twice = text(a, once);

	if (sv_ends(x, SV("i")) && !sv_ends(once, SV("i")))
		return quantity_cmp(twice, once) == 0 && sv_eq(text(a, twice), twice);
	return sv_eq(twice, once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv rest = sv_make((const char *)data, size), x = SV_NULL, y = SV_NULL, text, sum;
	int64_t milli, value;

	sv_split(&rest, '\n', &x);
	sv_split(&rest, '\n', &y);
	text = quantity_text(&a, x);
	BUG_ON((text.p != NULL) != quantity_milli(x, &milli));
	BUG_ON((text.p != NULL) != quantity_value(x, &value));
	if (!text.p)
		return 0;
	BUG_ON(quantity_cmp(text, x) != 0 || !settles(&a, quantity_text, x, text));
	BUG_ON(!settles(&a, quantity_canonical, x, quantity_canonical(&a, x)));
	sum = quantity_add(&a, x, y);
	BUG_ON(!quantity_milli(sum, &milli));
	/* What is too long for a sum is the larger of the two; binary text is capped when it is read back. */
	if (!sv_eq(sum, x) && !sv_eq(sum, y) && !sv_ends(sum, SV("i")))
		BUG_ON(quantity_cmp(sum, x) != quantity_cmp(y, SV("0")) && quantity_cmp(y, SV("0")) != 0);
	return 0;
}
