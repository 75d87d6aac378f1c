/* services_unread.c - what a stored Service that cannot be read (set_aside.h) may have.
 *
 * Its traffic still goes where the proxies' rules send it, and it may be read again one day: its addresses and ports
 * are not another's meanwhile. Which they are cannot be known, so every run of digits and dots counts that is an
 * address or a port, and every run with colons that is an address. The caller's ranges leave few of them. */
#include "apiserver/registry/kinds/kinds.h"
#include "base/buf.h"
#include "base/vec.h"
#include "codec/json.h"

#include <stdlib.h>

struct numbers_found {
	VEC(struct ip_addr) numbers;
};

static bool is_number(char c, bool colons)
{
	return (c >= '0' && c <= '9') || c == '.' ||
	       (colons && (c == ':' || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')));
}

static void numbers_word(struct numbers_found *f, struct sv word, bool colons)
{
	struct ip_addr ip;
	int64_t port;

	if (!colons && sv_to_i64(word, &port) && port > 0 && port <= UINT16_MAX)
		vec_push(&f->numbers, ip_v4((uint32_t)port));
	else if (ip_parse(word, &ip) && ip_is_v4(ip) != colons)
		vec_push(&f->numbers, ip);
}

static void numbers_scan(struct numbers_found *f, struct sv text, bool colons)
{
	size_t from = 0;

	for (size_t i = 0; i <= text.n; i++) {
		if (i < text.n && is_number(text.p[i], colons))
			continue;
		if (i > from)
			numbers_word(f, sv_sub(text, from, i - from), colons);
		from = i + 1;
	}
}

struct service_numbers *service_numbers_read(struct sv value, const struct obj *last)
{
	struct numbers_found f = { VEC_INIT };
	struct service_numbers *c;

	numbers_scan(&f, value, false);
	numbers_scan(&f, value, true);
	if (last) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		json_encode(&b, obj_get(last, F_spec));
		numbers_scan(&f, buf_sv(&b), false);
		numbers_scan(&f, buf_sv(&b), true);
	}
	c = xmalloc(sizeof(*c) + f.numbers.n * sizeof(*c->numbers));
	c->n = f.numbers.n;
	if (c->n)
		memcpy(c->numbers, f.numbers.p, c->n * sizeof(*c->numbers));
	vec_release(&f.numbers);
	return c;
}

void service_numbers_free(void *c)
{
	free(c);
}
