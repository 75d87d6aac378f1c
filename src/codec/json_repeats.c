/* Members of a JSON map that repeat: told by their path, then the last counts, or (`merge`) holds what all of them
 * hold, as Go decodes into a struct. */
#include "codec/json_decode-internal.h"
#include "codec/symbol.h"

#include <stdlib.h>

/* Says that the member at key of the innermost open map repeats, by its dotted path. */
static void tell_repeat(struct json_decoder *d, const struct val *key)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (d->told_enough || !d->opts || !d->opts->duplicate)
		return;
	for (size_t i = 0; i < d->depth; i++) {
		const struct json_frame *f = &d->frames[i];
		struct sv name;

		if (i + 1 < d->depth && !f->map) {
			buf_printf(&b, "[%u]", d->frames[i + 1].start - f->start);
			continue;
		}
		if (i + 1 == d->depth)
			name = key->sym ? sym_name((enum sym)key->sym) : sv_make(key->s, key->n);
		else if (d->frames[i + 1].sym)
			name = sym_name((enum sym)d->frames[i + 1].sym);
		else
			name = sv_make(d->nodes[d->frames[i + 1].start - 1].s, d->nodes[d->frames[i + 1].start - 1].n);
		if (b.n)
			buf_addc(&b, '.');
		buf_addsv(&b, name);
	}
	d->told_enough = !d->opts->duplicate(buf_sv(&b), d->opts->ctx);
}

static int json_key_cmp(const struct val *a, const struct val *b)
{
	if (a->sym != b->sym)
		return a->sym < b->sym ? -1 : 1;
	if (a->sym)
		return 0;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return a->n ? memcmp(a->s, b->s, a->n) : 0;
}

static int key_ref_cmp(const void *pa, const void *pb)
{
	const struct val *a = *(const struct val *const *)pa, *b = *(const struct val *const *)pb;
	int c = json_key_cmp(a, b);

	return c ? c : (a > b) - (a < b);
}

static inline bool is_key(const struct val *v)
{
	return v->sym != 0 || v->type == VAL_KEY;
}

static void drop_member(struct val *key)
{
	key->n = key->type == VAL_KEY ? 2 : 1;
	key->type = VAL_NULL;
	key->sym = UINT32_MAX;
}

static struct val *value_of(struct val *key)
{
	return key->type == VAL_KEY ? key + 1 : key;
}

static bool any_repeat(const struct val *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; is_key(&v[i]) && j < n; j++)
			if (is_key(&v[j]) && json_key_cmp(&v[i], &v[j]) == 0)
				return true;
	return false;
}

/* What merging may move: each node once for every level at which its map's name repeats, so what is deep could buy the
 * square of its text. As many as the largest body holds, twice. */
const struct budget_limit json_merge_limit = { 2 * 1024 * 1024, ERR_BAD_REQUEST,
					       "too much in maps that repeat at many levels: write each once" };

static void merge_row(struct json_decoder *d, struct val *const *row, size_t n);

/* Maps: the last gets the members of all. Each node is moved once a level: a row of any length costs what it holds. */
static void merge_maps(struct json_decoder *d, struct val *const *row, size_t n)
{
	struct val *last = row[n - 1], *all;
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += row[i]->n;
	if (!budget_take(&d->merged, total))
		return; /* close_container() fails */
	all = val_items_new(d->a, total ? total : 1);
	total = 0;
	for (size_t i = 0; i < n; i++) {
		if (row[i]->n)
			memcpy(all + total, row[i]->items, row[i]->n * sizeof(*all));
		total += row[i]->n;
	}
	last->items = all;
	last->n = json_settle(d, all, total, false) & VAL_N_MAX;
}

/* Lists: the last, each element of it decoded over those that stood at its place; null over an element changes nothing.
 * Place by place, of the lists that are that long: what they hold is looked at once. */
static void merge_lists(struct json_decoder *d, struct val *const *row, size_t n)
{
	struct val *last = row[n - 1], **live = xmalloc(2 * n * sizeof(struct val *)), **column = live + n;

	memcpy(live, row, n * sizeof(*live));
	for (size_t k = 0; k < last->n && n > 1 && !budget_over(&d->merged); k++) {
		size_t stay = 0, m = 0;

		for (size_t i = 0; i < n; i++) {
			if (k >= live[i]->n)
				continue;
			live[stay++] = live[i];
			if (live[i]->items[k].type != VAL_NULL)
				column[m++] = &live[i]->items[k];
		}
		n = stay;
		(void)budget_take(&d->merged, n);
		if (m > 1)
			merge_row(d, column, m);
		if (m && column[m - 1] != &last->items[k])
			last->items[k] = *column[m - 1];
	}
	free(live);
}

/* The values of n members of one name, in order: when the last is a map or a list it gets what the values of that type
 * right before it hold. */
static void merge_row(struct json_decoder *d, struct val *const *row, size_t n)
{
	uint32_t type = row[n - 1]->type;
	size_t first = n;

	if (type != VAL_MAP && type != VAL_LIST)
		return;
	while (first > 0 && row[first - 1]->type == type)
		first--;
	if (n - first < 2)
		return;
	if (type == VAL_MAP)
		merge_maps(d, row + first, n - first);
	else
		merge_lists(d, row + first, n - first);
}

/* Whether members of v[0..n) repeat; marks every repeated one but the last as to drop (VAL_NULL
 * with symbol UINT32_MAX in its first node). Sorted when large: a client must not buy a square. */
static bool mark_duplicates(struct json_decoder *d, struct val *v, size_t n, bool tell)
{
	bool found = false, merge = d->opts && d->opts->merge;

	if (n <= 64 && merge && !any_repeat(v, n))
		return false;
	if (n <= 64 && !merge) {
		for (size_t i = 0; i < n; i++) {
			if (!is_key(&v[i]))
				continue;
			for (size_t j = i + 1; j < n; j++) {
				if (!is_key(&v[j]) || json_key_cmp(&v[i], &v[j]) != 0)
					continue;
				found = true;
				if (tell)
					tell_repeat(d, &v[j]);
				drop_member(&v[i]);
				break;
			}
		}
		return found;
	}

	struct val **keys = xmalloc(2 * n * sizeof(struct val *)), **values = keys + n;
	size_t n_keys = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_key(&v[i]))
			keys[n_keys++] = &v[i];
	}
	qsort(keys, n_keys, sizeof(struct val *), key_ref_cmp);
	for (size_t i = 0; i < n_keys; i++)
		values[i] = value_of(keys[i]);
	for (size_t i = 0, row = 0; i < n_keys; i++) {
		if (i + 1 < n_keys && json_key_cmp(keys[i], keys[i + 1]) == 0) {
			found = true;
			if (tell)
				tell_repeat(d, keys[i + 1]);
			continue;
		}
		if (merge && i > row)
			merge_row(d, values + row, i + 1 - row);
		for (; row < i; row++)
			drop_member(keys[row]);
		row = i + 1;
	}
	free(keys);
	return found;
}

static size_t drop_marked(struct val *v, size_t n)
{
	size_t w = 0;

	for (size_t i = 0; i < n;) {
		if (v[i].sym == UINT32_MAX)
			i += v[i].n;
		else
			v[w++] = v[i++];
	}
	return w;
}

size_t json_settle(struct json_decoder *d, struct val *v, size_t n, bool tell)
{
	return n > 1 && mark_duplicates(d, v, n, tell) ? drop_marked(v, n) : n;
}
