/* What several libraries need: paying for memory, positions in text, values as text. */
#include "object/cel/lib-internal.h"

#include "base/double.h"
#include "base/timefmt.h"
#include "base/utf8.h"

#include <stdio.h>

#define LIB_FREE_BYTES 256
#define LIB_BYTES_A_UNIT 10 /* of text, as everywhere */

int lib_pay(struct cel_call *c, uint64_t made, uint64_t paid)
{
	uint64_t covered = cel_add_sat(LIB_FREE_BYTES, cel_mul_sat(paid, LIB_BYTES_A_UNIT));

	/* Documents are smaller, and lengths are kept in 32 bits. */
	if (made > UINT32_MAX / 4)
		return cel_charge(c, UINT64_MAX) < 0 ? -1 : cel_fail(c, "result is too large");
	return made > covered ? cel_charge(c, made - covered) : 0;
}

size_t lib_rune_offset(struct sv s, size_t i)
{
	size_t at = 0;

	for (; i > 0 && at < s.n; i--) {
		at++;
		while (at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80)
			at++;
	}
	return at;
}

ssize_t lib_find(struct sv s, struct sv needle, size_t from)
{
	const char *at;

	if (from > s.n || needle.n > s.n - from)
		return -1;
	if (needle.n == 0)
		return (ssize_t)from;
	at = memmem(s.p + from, s.n - from, needle.p, needle.n);
	return at ? at - s.p : -1;
}

struct cel_value lib_strings(struct arena *a, const struct sv *s, size_t n)
{
	struct cel_value *items = ARENA_ARRAY(a, struct cel_value, n), list;

	for (size_t i = 0; i < n; i++)
		items[i] = cel_string(s[i]);
	list = cel_list(items, n);
	list.type = &cel_t_list_string;
	return list;
}

static void lib_fraction(struct buf *b, uint32_t ns)
{
	char text[16];
	size_t n = 9;

	if (ns == 0)
		return;
	(void)snprintf(text, sizeof(text), "%09u", ns);
	while (n > 0 && text[n - 1] == '0')
		n--;
	buf_addc(b, '.');
	buf_add(b, text, n);
}

static void lib_timestamp(struct buf *b, const struct cel_value *v)
{
	char tmp[TIME_TEXT_MAX];
	struct sv s = time_format_sec(v->i, 0, false, tmp);

	buf_add(b, s.p, s.n ? s.n - 1 : 0); /* without the Z */
	lib_fraction(b, v->n);
	buf_addc(b, 'Z');
}

static void lib_duration(struct buf *b, int64_t ns)
{
	uint64_t all = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;

	buf_printf(b, "%s%" PRIu64, ns < 0 ? "-" : "", all / (uint64_t)NS_PER_SEC);
	lib_fraction(b, (uint32_t)(all % (uint64_t)NS_PER_SEC));
	buf_addc(b, 's');
}

bool lib_text(struct arena *a, const struct cel_value *v, struct buf *b)
{
	(void)a;
	switch (v->kind) {
	case CEL_BOOL:
		buf_adds(b, v->b ? "true" : "false");
		return true;
	case CEL_INT:
		buf_addi64(b, v->i);
		return true;
	case CEL_UINT:
		buf_addu64(b, v->u);
		return true;
	case CEL_DOUBLE:
		double_g(b, v->d);
		return true;
	case CEL_BYTES:
		if (!utf8_valid(cel_text(v)))
			return false;
		buf_addsv(b, cel_text(v));
		return true;
	case CEL_STRING:
		buf_addsv(b, cel_text(v));
		return true;
	case CEL_TIMESTAMP:
		lib_timestamp(b, v);
		return true;
	case CEL_DURATION:
		lib_duration(b, v->i);
		return true;
	case CEL_TYPE:
		buf_addsv(b, v->named->name.n ? v->named->name : SV(""));
		return true;
	default:
		return false;
	}
}

void lib_est_text(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = cel_range_factor(args[0].size, 0.1);
	ret->size = args[0].size;
	ret->has_size = true;
}

void lib_est_read(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = cel_range_factor(args[0].size, 0.1);
}
