/* Bitmaps that follow the stored Services. The store's thread observes a Service before its write is answered, so what
 * was reserved for it is shown before it is let go. */
#include "apiserver/registry/kinds/allocators.h"

#include <stdlib.h>

static size_t bitmap_words(const struct bitmap *b)
{
	return b->n / 64 + 1;
}

static void bitmap_init(struct bitmap *b, uint32_t n)
{
	b->n = n;
	b->shown = xcalloc(4 * bitmap_words(b), sizeof(*b->shown)); /* all four in one piece */
	b->reserved = b->shown + bitmap_words(b);
	b->held = b->reserved + bitmap_words(b);
	b->foreign = b->held + bitmap_words(b);
}

static void bitmap_clear(const struct bitmap *b, uint64_t *words)
{
	memset(words, 0, bitmap_words(b) * sizeof(*words));
}

bool number_marked(const uint64_t *words, struct number n)
{
	return words[n.at / 64] >> (n.at % 64) & 1;
}

void number_mark(uint64_t *words, struct number n, bool on)
{
	uint64_t mask = UINT64_C(1) << (n.at % 64);

	if (on)
		words[n.at / 64] |= mask;
	else
		words[n.at / 64] &= ~mask;
}

bool number_taken(const struct allocators *al, struct number n)
{
	const struct bitmap *b = &al->of[n.kind];

	return number_marked(b->shown, n) || number_marked(b->reserved, n) || number_marked(b->held, n) ||
	       number_marked(b->foreign, n);
}

static bool take_between(struct allocators *al, enum number_kind kind, uint32_t from, uint32_t end, uint64_t chance,
			 struct number *ret)
{
	uint32_t room = end > from ? end - from : 0;

	for (uint32_t k = 0; k < room; k++) {
		struct number i = { kind, from + (uint32_t)((chance + k) % room) };

		if (number_taken(al, i))
			continue;
		number_mark(al->of[kind].reserved, i, true);
		*ret = i;
		return true;
	}
	return false;
}

bool number_take(struct allocators *al, enum number_kind kind, uint64_t chance, struct number *ret)
{
	return take_between(al, kind, 0, al->of[kind].n, chance, ret);
}

bool number_take_ip(struct allocators *al, const struct ip_range *r, uint64_t chance, struct number *ret)
{
	uint32_t low = MIN(MAX(r->n / 16, (uint32_t)16), (uint32_t)256), end = r->first + r->n;

	return (low < r->n && take_between(al, NUMBER_IP, r->first + low, end, chance, ret)) ||
	       take_between(al, NUMBER_IP, r->first, end, 0, ret);
}

/* --- numbers --- */

const char *ip_family(struct ip_addr ip)
{
	return ip_is_v4(ip) ? "IPv4" : "IPv6";
}

const struct ip_range *range_of_family(const struct allocators *al, struct sv family)
{
	for (size_t i = 0; i < al->n_ranges; i++)
		if (sv_is(family, ip_family(al->ranges[i].net.addr)))
			return &al->ranges[i];
	return NULL;
}

bool number_of_address(const struct allocators *al, struct ip_addr ip, struct number *ret)
{
	for (size_t i = 0; i < al->n_ranges; i++) {
		const struct ip_range *r = &al->ranges[i];
		uint64_t at;

		if (!ip_offset(r->net.addr, ip, &at) || at >= r->n)
			continue;
		*ret = (struct number){ NUMBER_IP, r->first + (uint32_t)at };
		return true;
	}
	return false;
}

bool number_of_ip(const struct allocators *al, struct sv text, struct number *ret)
{
	struct ip_addr ip;

	return ip_parse(text, &ip) && number_of_address(al, ip, ret);
}

bool number_of_port(const struct allocators *al, int64_t port, struct number *ret)
{
	if (port < al->first_port || port - al->first_port >= al->of[NUMBER_PORT].n)
		return false;
	*ret = (struct number){ NUMBER_PORT, (uint32_t)(port - al->first_port) };
	return true;
}

struct sv number_text(struct arena *a, const struct allocators *al, struct number n)
{
	char text[U64_TEXT_MAX];

	if (n.kind == NUMBER_IP) {
		const struct ip_range *r = &al->ranges[al->n_ranges - 1];

		if (n.at < r->first)
			r = &al->ranges[0];
		return arena_sv(a, sv_from(ip_text(ip_add(r->net.addr, n.at - r->first)).s));
	}
	return arena_sv(a, u64_text((uint64_t)al->first_port + n.at, text));
}

static int number_cmp(const void *x, const void *y)
{
	const struct number *a = x, *b = y;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

struct number *numbers_of(struct arena *a, const struct allocators *al, const struct val *svc, size_t *ret_n)
{
	const struct val *spec = val_get(svc, F_spec), *ips = val_get(spec, F_clusterIPs),
			 *ports = val_get(spec, F_ports);
	struct number *list = ARENA_ARRAY(a, struct number, val_len(ips) + val_len(ports) + 1);
	size_t n = 0, kept = 0;

	VAL_EACH(ips, ip)
		n += number_of_ip(al, val_str(ip), &list[n]);
	VAL_EACH(ports, p)
		n += number_of_port(al, val_get_int(p, 0, F_nodePort), &list[n]);
	n += number_of_port(al, val_get_int(spec, 0, F_healthCheckNodePort), &list[n]);
	if (n > 1)
		qsort(list, n, sizeof(*list), number_cmp);
	for (size_t i = 0; i < n; i++) /* one port may serve TCP and UDP */
		if (i == 0 || number_cmp(&list[i - 1], &list[i]) != 0)
			list[kept++] = list[i];
	*ret_n = kept;
	return list;
}

/* --- what Services show --- */

static struct sv again_key(const struct number *n)
{
	return sv_make((const char *)n, sizeof(*n));
}

/* Lock held. Two Services that have one number (written before there were claims, or by hand) are counted, so that the
 * end of one of them is not that of the other's. */
static void show(struct allocators *al, struct number n, bool on)
{
	struct bitmap *b = &al->of[n.kind];
	size_t *more = strmap_get(&al->again, again_key(&n));

	number_mark(b->foreign, n, false);
	if (on && number_marked(b->shown, n)) {
		if (!more)
			strmap_set(&al->again, again_key(&n), more = xcalloc(1, sizeof(*more)));
		++*more;
	} else if (!on && more) {
		if (--*more == 0)
			free(strmap_del(&al->again, again_key(&n)));
	} else {
		number_mark(b->shown, n, on);
	}
}

void service_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct allocators *al = allocators_of(s);
	size_t n_old, n_new;
	struct number *was = numbers_of(&a, al, old ? obj_root(old) : NULL, &n_old),
		      *is = numbers_of(&a, al, neu ? obj_root(neu) : NULL, &n_new);

	pthread_mutex_lock(&al->lock);
	for (size_t i = 0; i < n_old; i++)
		show(al, was[i], false);
	for (size_t i = 0; i < n_new; i++)
		show(al, is[i], true);
	pthread_mutex_unlock(&al->lock);
}

static void hold(struct allocators *al, const struct service_numbers *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct number n;

		if (number_of_address(al, c->numbers[i], &n))
			number_mark(al->of[NUMBER_IP].held, n, true);
		/* A port stands as the address of its number (services_unread.c). */
		if (ip_is_v4(c->numbers[i]) && number_of_port(al, ip_low(c->numbers[i]), &n))
			number_mark(al->of[NUMBER_PORT].held, n, true);
	}
}

/* An address that is handed out twice breaks two Services, one that is held in vain nobody misses. */
void service_unread(struct apiserver *s, struct sv key, struct sv value, const struct obj *last)
{
	struct allocators *al = allocators_of(s);
	struct service_numbers *c = value.p ? service_numbers_read(value, last) : NULL, *was;

	pthread_mutex_lock(&al->lock);
	was = c ? strmap_set(&al->unread, key, c) : strmap_del(&al->unread, key);
	if (was || c) {
		struct bitmap *ips = &al->of[NUMBER_IP], *ports = &al->of[NUMBER_PORT];

		bitmap_clear(ips, ips->held);
		bitmap_clear(ports, ports->held);
		STRMAP_EACH(&al->unread, e) {
			hold(al, e->value);
		}
	}
	pthread_mutex_unlock(&al->lock);
	service_numbers_free(was);
}

bool number_shown_again(struct allocators *al, struct number n)
{
	bool again;

	pthread_mutex_lock(&al->lock);
	again = strmap_get(&al->again, again_key(&n));
	pthread_mutex_unlock(&al->lock);
	return again;
}

void number_foreign(struct allocators *al, struct number n)
{
	pthread_mutex_lock(&al->lock);
	number_mark(al->of[n.kind].foreign, n, true);
	pthread_mutex_unlock(&al->lock);
}

void allocators_forget_foreign(struct allocators *al)
{
	pthread_mutex_lock(&al->lock);
	for (size_t i = 0; i < _NUMBER_KIND_MAX; i++)
		bitmap_clear(&al->of[i], al->of[i].foreign);
	strmap_release_with(&al->stale, free);
	al->stale = STRMAP_INIT;
	pthread_mutex_unlock(&al->lock);
}

/* --- life --- */

/* "10.43.0.0/16", "fd43::/112", or one of each: the first is the family of Services that name none. */
static int ranges_start(struct allocators *al, const char *cidrs, struct err *err)
{
	struct sv rest = sv_from(cidrs), one;
	struct bitmap *ips = &al->of[NUMBER_IP];
	uint32_t total = 0;

	while (sv_split(&rest, ',', &one)) {
		struct ip_range r = { .first = total };
		unsigned bits;

		if (!ip_net_parse(sv_trim(one), &r.net) || al->n_ranges == IP_RANGES_MAX)
			return err_set(err, ERR_INVALID,
				       "service CIDR '%s' is not a range like 10.43.0.0/16 or one of each family",
				       cidrs);
		bits = 128U - r.net.bits;
		if (bits < 2 || bits > (ip_is_v4(r.net.addr) ? 24 : 64))
			return err_set(err, ERR_INVALID, "service CIDR '%.*s' is too %s", SV_ARG(one),
				       bits < 2 ? "narrow" : "wide");
		if (range_of_family(al, sv_from(ip_family(r.net.addr))))
			return err_set(err, ERR_INVALID, "service CIDR '%s' has two ranges of one family", cidrs);
		r.n = bits < 20 ? (uint32_t)1 << bits : IPS_MAX;
		total += r.n;
		al->ranges[al->n_ranges++] = r;
	}
	bitmap_init(ips, total);
	for (size_t i = 0; i < al->n_ranges; i++) {
		const struct ip_range *r = &al->ranges[i];

		/* Neither the network's own address nor the broadcast address, which IPv6 does not have. */
		number_mark(ips->reserved, (struct number){ NUMBER_IP, r->first }, true);
		if (ip_is_v4(r->net.addr))
			number_mark(ips->reserved, (struct number){ NUMBER_IP, r->first + r->n - 1 }, true);
	}
	return 0;
}

int allocators_start(struct apiserver *s, struct err *err)
{
	struct allocators *al = xcalloc(1, sizeof(*al));
	struct sv head, range = sv_from(s->o.node_port_range);
	int64_t first, last;

	s->strategies = al;
	pthread_mutex_init(&al->lock, NULL);
	if (ranges_start(al, s->o.service_cidr, err) < 0)
		return -1;

	if (!sv_split(&range, '-', &head) || !sv_to_i64(head, &first) || !sv_to_i64(range, &last) || first < 1 ||
	    last > 65535 || first > last)
		return err_set(err, ERR_INVALID, "node port range '%s' is not a range like 30000-32767",
			       s->o.node_port_range);
	al->first_port = (int)first;
	bitmap_init(&al->of[NUMBER_PORT], (uint32_t)(last - first + 1));
	al->mine = xcalloc(bitmap_words(&al->of[NUMBER_PORT]), sizeof(*al->mine));
	return 0;
}

void allocators_free(struct apiserver *s)
{
	struct allocators *al = allocators_of(s);

	if (!al)
		return;
	for (size_t i = 0; i < _NUMBER_KIND_MAX; i++)
		free(al->of[i].shown);
	free(al->mine);
	strmap_release_with(&al->again, free);
	strmap_release_with(&al->stale, free);
	strmap_release_with(&al->unread, service_numbers_free);
	pthread_mutex_destroy(&al->lock);
	free(al);
	s->strategies = NULL;
}
