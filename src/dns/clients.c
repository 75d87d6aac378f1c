/* Ranges of addresses, sorted, none within another. */
#include "dns/clients.h"

#include "base/vec.h"

struct dns_clients {
	VEC(struct ip_net) nets;
};

static int clients_order(const void *x, const void *y)
{
	const struct ip_net *a = x, *b = y;
	int d = ip_cmp(a->addr, b->addr);

	return d ? d : (int)a->bits - (int)b->bits;
}

struct dns_clients *dns_clients_new(const struct ip_net *nets, size_t n)
{
	struct dns_clients *c = xcalloc(1, sizeof(*c));
	struct ip_net loopback;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		vec_push(&c->nets, nets[i]);
	(void)ip_net_parse(SV("127.0.0.0/8"), &loopback);
	vec_push(&c->nets, loopback);
	(void)ip_net_parse(SV("::1/128"), &loopback);
	vec_push(&c->nets, loopback);
	qsort(c->nets.p, c->nets.n, sizeof(*c->nets.p), clients_order);
	/* A wider one comes before those within it. */
	for (size_t i = 0; i < c->nets.n; i++)
		if (kept == 0 || !ip_net_covers(c->nets.p[kept - 1], c->nets.p[i]))
			c->nets.p[kept++] = c->nets.p[i];
	c->nets.n = kept;
	return c;
}

struct dns_clients *dns_clients_free(struct dns_clients *c)
{
	if (c) {
		vec_release(&c->nets);
		free(c);
	}
	return NULL;
}

bool dns_clients_has(const struct dns_clients *c, struct ip_addr a)
{
	size_t lo = 0, hi = c ? c->nets.n : 0;

	if (!c)
		return ip_is_loopback(a);
	/* The last one that does not begin behind a. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (ip_cmp(c->nets.p[mid].addr, a) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 && ip_net_has(c->nets.p[lo - 1], a);
}
