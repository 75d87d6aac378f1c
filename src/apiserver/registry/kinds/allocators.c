/* Sets that follow the stored Services. The store's thread observes a Service before its write is answered, so what
 * was reserved for it is shown before it is let go. */
#include "apiserver/registry/kinds/service_claims.h"
#include "object/condition.h"

#include <stdlib.h>

static struct number number_make(enum number_kind kind, struct ip_addr ip)
{
	return (struct number){ kind, ip };
}

bool number_marked(const struct strmap *set, struct number n)
{
	return set->n && strmap_has(set, number_key(&n));
}

void number_mark(struct strmap *set, struct number n, bool on)
{
	if (on)
		*strmap_slot(set, number_key(&n)) = set;
	else if (set->n)
		strmap_del(set, number_key(&n));
}

/* --- what Services and IPAddresses show --- */

#define SEEN_NAMED ((uintptr_t)1)  /* an IPAddress is there; */
#define SEEN_OTHERS ((uintptr_t)2) /* and it is not ours: ours comes and goes with its Service */
#define SEEN_SHOWN ((uintptr_t)4)  /* so many times: the Services that show it */

static uintptr_t seen_of(const struct allocators *al, struct number n)
{
	return (uintptr_t)strmap_get(&al->seen, number_key(&n));
}

static void seen_set(struct allocators *al, struct number n, uintptr_t v)
{
	if (v)
		*strmap_slot(&al->seen, number_key(&n)) = (void *)v;
	else
		strmap_del(&al->seen, number_key(&n));
	number_mark(&al->foreign, n, false);
	if (n.kind == NUMBER_IP)
		number_mark(&al->nameless, n, v >= SEEN_SHOWN && !(v & SEEN_NAMED));
}

bool number_taken(const struct allocators *al, struct number n)
{
	return number_used(al, n) || number_marked(&al->held, n) || number_marked(&al->foreign, n);
}

bool number_used(const struct allocators *al, struct number n)
{
	return (seen_of(al, n) & ~SEEN_NAMED) || number_marked(&al->reserved, n);
}

void number_reserve(struct allocators *al, struct number n, bool on)
{
	number_mark(&al->reserved, n, on);
}

/* --- numbers --- */

bool number_of_ip(struct sv text, struct number *ret)
{
	*ret = number_make(NUMBER_IP, IP_NONE);
	return ip_parse(text, &ret->ip);
}

bool number_of_port(const struct allocators *al, int64_t port, struct number *ret)
{
	*ret = number_make(NUMBER_PORT, ip_v4((uint32_t)port));
	return port >= al->first_port && port - al->first_port < al->n_ports;
}

int64_t number_port(struct number n)
{
	return ip_low(n.ip);
}

struct sv number_text(struct arena *a, struct number n)
{
	char text[U64_TEXT_MAX];

	if (n.kind == NUMBER_IP)
		return arena_sv(a, sv_from(ip_text(n.ip).s));
	return arena_sv(a, u64_text((uint64_t)number_port(n), text));
}

int number_cmp(const struct number *a, const struct number *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return ip_cmp(a->ip, b->ip);
}

static int number_qsort(const void *x, const void *y)
{
	return number_cmp(x, y);
}

struct number *numbers_of(struct arena *a, const struct allocators *al, const struct val *svc, size_t *ret_n)
{
	const struct val *spec = val_get(svc, F_spec), *ips = val_get(spec, F_clusterIPs),
			 *ports = val_get(spec, F_ports);
	struct number *list = ARENA_ARRAY(a, struct number, val_len(ips) + val_len(ports) + 1);
	size_t n = 0, kept = 0;

	VAL_EACH(ips, ip)
		n += number_of_ip(val_str(ip), &list[n]);
	VAL_EACH(ports, p)
		n += number_of_port(al, val_get_int(p, 0, F_nodePort), &list[n]);
	n += number_of_port(al, val_get_int(spec, 0, F_healthCheckNodePort), &list[n]);
	if (n > 1)
		qsort(list, n, sizeof(*list), number_qsort);
	for (size_t i = 0; i < n; i++) /* one port may serve TCP and UDP */
		if (i == 0 || number_cmp(&list[i - 1], &list[i]) != 0)
			list[kept++] = list[i];
	*ret_n = kept;
	return list;
}

/* --- ranges --- */

const char *ip_family(struct ip_addr ip)
{
	return ip_is_v4(ip) ? "IPv4" : "IPv6";
}

const struct ip_net *range_of_family(const struct allocators *al, struct sv family)
{
	for (size_t i = 0; i < al->n_flags; i++)
		if (sv_is(family, ip_family(al->flags[i].addr)))
			return &al->flags[i];
	return NULL;
}

/* What can be given: neither the network's own address nor, of IPv4, the broadcast address. */
static uint64_t range_size(struct ip_net net)
{
	unsigned bits = 128U - net.bits;
	uint64_t all = bits > 62 ? UINT64_C(1) << 62 : UINT64_C(1) << bits, not_given = ip_is_v4(net.addr) ? 2 : 1;

	return all > not_given ? all - not_given : 0;
}

static bool range_gives(struct ip_net net, struct ip_addr ip)
{
	uint64_t at;

	return ip_offset(net.addr, ip, &at) && at >= 1 && at <= range_size(net);
}

static bool range_has_family(const struct service_range *r, struct ip_addr ip)
{
	for (size_t i = 0; r && i < r->n; i++)
		if (ip_is_v4(r->net[i].addr) == ip_is_v4(ip))
			return true;
	return false;
}

/* The ranges from which addresses are given, the default one first: the object, and the flags as long as that is not
 * there or lacks the family. fn: true ends the walk. */
static bool ranges_each(const struct allocators *al, bool (*fn)(struct ip_net net, void *ctx), void *ctx)
{
	const struct service_range *own = strmap_get(&al->ranges, SV(SERVICE_CIDR_DEFAULT));

	for (size_t i = 0; own && own->open && i < own->n; i++)
		if (fn(own->net[i], ctx))
			return true;
	for (size_t i = 0; i < al->n_flags; i++)
		if (!range_has_family(own, al->flags[i].addr) && fn(al->flags[i], ctx))
			return true;
	STRMAP_EACH(&al->ranges, e) {
		const struct service_range *r = e->value;

		for (size_t i = 0; r != own && r->open && i < r->n; i++)
			if (fn(r->net[i], ctx))
				return true;
	}
	return false;
}

struct range_search {
	const struct allocators *al;
	struct ip_addr ip;
	struct ip_net found;
	bool v6, has;
	uint64_t chance;
	struct number *ret;
};

static bool range_search_ip(struct ip_net net, void *ctx)
{
	struct range_search *f = ctx;

	if (!ip_net_has(net, f->ip))
		return false;
	f->found = net;
	f->has = true;
	return range_gives(net, f->ip);
}

bool number_in_range(const struct allocators *al, struct number n, struct sv *ret_bounds, struct arena *a)
{
	struct range_search f = { .al = al, .ip = n.ip };
	bool gives = range_of_family(al, sv_from(ip_family(n.ip))) && ranges_each(al, range_search_ip, &f);

	if (ret_bounds)
		*ret_bounds = f.has ? arena_svf(a, "%s", ip_net_text(f.found).s) : SV("");
	return gives;
}

bool number_has_range(struct allocators *al, struct number n)
{
	bool has = false;

	pthread_mutex_lock(&al->lock);
	for (size_t i = 0; i < al->n_flags; i++)
		has |= ip_net_has(al->flags[i], n.ip);
	STRMAP_EACH(&al->ranges, e) {
		const struct service_range *r = e->value;

		for (size_t i = 0; i < r->n; i++)
			has |= ip_net_has(r->net[i], n.ip);
	}
	pthread_mutex_unlock(&al->lock);
	return has;
}

/* One of the n numbers from base on that is free, looked for from a random place on. Of one more in a row than there
 * are taken ones, one is free. */
static bool number_search(const struct allocators *al, enum number_kind kind, struct ip_addr base, uint64_t n,
			  uint64_t chance, struct number *ret)
{
	uint64_t taken = al->seen.n + al->reserved.n + al->held.n + al->foreign.n, start = n ? chance % n : 0;

	for (uint64_t k = 0; k < n && k <= taken; k++) {
		*ret = number_make(kind, ip_add(base, start + k < n ? start + k : start + k - n));
		if (!number_taken(al, *ret))
			return true;
	}
	return false;
}

/* The lower part of a range is left to those who ask for an address (KEP-3070). */
static bool range_take(struct ip_net net, void *ctx)
{
	struct range_search *f = ctx;
	uint64_t n = range_size(net), lower = n > 16 ? MIN(MAX(n / 16, (uint64_t)16), (uint64_t)256) : 0;

	if (ip_is_v4(net.addr) != !f->v6)
		return false;
	if (lower >= n)
		lower = 0;
	return number_search(f->al, NUMBER_IP, ip_add(net.addr, 1 + lower), n - lower, f->chance, f->ret) ||
	       number_search(f->al, NUMBER_IP, ip_add(net.addr, 1), lower, f->chance, f->ret);
}

bool number_take_ip(struct allocators *al, bool v6, uint64_t chance, struct number *ret)
{
	struct range_search f = { .al = al, .v6 = v6, .chance = chance, .ret = ret };

	if (!ranges_each(al, range_take, &f))
		return false;
	number_reserve(al, *ret, true);
	return true;
}

bool number_take_port(struct allocators *al, uint64_t chance, struct number *ret)
{
	if (!number_search(al, NUMBER_PORT, ip_v4((uint32_t)al->first_port), (uint64_t)al->n_ports, chance, ret))
		return false;
	number_reserve(al, *ret, true);
	return true;
}

/* --- what is observed --- */

/* Two Services that have one number (written before there were claims, or by hand) are counted, so that the end of one
 * of them is not that of the other's. */
void service_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct allocators *al = allocators_of(s);
	size_t n_old, n_new;
	struct number *was = numbers_of(&a, al, old ? obj_root(old) : NULL, &n_old),
		      *is = numbers_of(&a, al, neu ? obj_root(neu) : NULL, &n_new);

	pthread_mutex_lock(&al->lock);
	for (size_t i = 0; i < n_old; i++)
		if (seen_of(al, was[i]) >= SEEN_SHOWN)
			seen_set(al, was[i], seen_of(al, was[i]) - SEEN_SHOWN);
	for (size_t i = 0; i < n_new; i++)
		seen_set(al, is[i], seen_of(al, is[i]) + SEEN_SHOWN);
	pthread_mutex_unlock(&al->lock);
}

static bool ipaddress_is_ours(const struct obj *o)
{
	return val_is(val_member_sv(obj_labels(o), SV(LABEL_IP_MANAGED)), IP_MANAGER);
}

void ipaddress_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	struct allocators *al = allocators_of(s);
	struct number n;
	uintptr_t v;

	if (!number_of_ip(obj_name(neu ? neu : old), &n))
		return;
	pthread_mutex_lock(&al->lock);
	v = seen_of(al, n) & ~(SEEN_NAMED | SEEN_OTHERS);
	if (neu)
		v |= SEEN_NAMED | (ipaddress_is_ours(neu) ? 0 : SEEN_OTHERS);
	seen_set(al, n, v);
	pthread_mutex_unlock(&al->lock);
}

void servicecidr_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	struct allocators *al = allocators_of(s);
	struct service_range *r = neu ? xcalloc(1, sizeof(*r)) : NULL;
	const struct val *ready = neu ? condition_find(obj_get(neu, F_status, F_conditions), "Ready") : NULL;

	if (neu) {
		/* Without a word it is: there may be no controllers. */
		r->open = !obj_deleting(neu) && (!ready || val_is(val_get(ready, F_status), "True"));
		VAL_EACH(obj_get(neu, F_spec, F_cidrs), c)
			r->n += r->n < ARRAY_LEN(r->net) && ip_net_parse(val_str(c), &r->net[r->n]);
	}
	pthread_mutex_lock(&al->lock);
	free(neu ? strmap_set(&al->ranges, obj_name(neu), r) : strmap_del(&al->ranges, obj_name(old)));
	pthread_mutex_unlock(&al->lock);
}

/* Which of them are what, nobody can tell: each is held as both. */
static void hold(struct allocators *al, const struct service_numbers *c)
{
	for (size_t i = 0; i < c->n; i++)
		for (int kind = 0; kind < _NUMBER_KIND_MAX; kind++)
			number_mark(&al->held, number_make((enum number_kind)kind, c->numbers[i]), true);
}

/* An address that is handed out twice breaks two Services, one that is held in vain nobody misses. */
void service_unread(struct apiserver *s, struct sv key, struct sv value, const struct obj *last)
{
	struct allocators *al = allocators_of(s);
	struct service_numbers *c = value.p ? service_numbers_read(value, last) : NULL, *was;

	pthread_mutex_lock(&al->lock);
	was = c ? strmap_set(&al->unread, key, c) : strmap_del(&al->unread, key);
	if (was || c) {
		strmap_release(&al->held);
		al->held = STRMAP_INIT;
		STRMAP_EACH(&al->unread, e)
			hold(al, e->value);
	}
	pthread_mutex_unlock(&al->lock);
	service_numbers_free(was);
}

bool number_shown_again(struct allocators *al, struct number n)
{
	bool again;

	pthread_mutex_lock(&al->lock);
	again = seen_of(al, n) >= 2 * SEEN_SHOWN;
	pthread_mutex_unlock(&al->lock);
	return again;
}

void number_foreign(struct allocators *al, struct number n)
{
	pthread_mutex_lock(&al->lock);
	number_mark(&al->foreign, n, true);
	pthread_mutex_unlock(&al->lock);
}

void allocators_forget_foreign(struct allocators *al)
{
	pthread_mutex_lock(&al->lock);
	strmap_release(&al->foreign);
	al->foreign = STRMAP_INIT;
	strmap_release_with(&al->stale, free);
	al->stale = STRMAP_INIT;
	pthread_mutex_unlock(&al->lock);
}

/* --- life --- */

/* "10.43.0.0/16", "fd43::/112", or one of each: the first is the family of Services that name none. */
static int flags_parse(struct allocators *al, const char *cidrs, struct err *err)
{
	struct sv rest = sv_from(cidrs), one;

	while (sv_split(&rest, ',', &one)) {
		struct ip_net net;
		unsigned bits;

		if (!ip_net_parse(sv_trim(one), &net) || al->n_flags == ARRAY_LEN(al->flags))
			return err_set(err, ERR_INVALID,
				       "service CIDR '%s' is not a range like 10.43.0.0/16 or one of each family",
				       cidrs);
		bits = 128U - net.bits;
		if (bits < 2 || bits > (ip_is_v4(net.addr) ? 24 : 64))
			return err_set(err, ERR_INVALID, "service CIDR '%.*s' is too %s", SV_ARG(one),
				       bits < 2 ? "narrow" : "wide");
		if (range_of_family(al, sv_from(ip_family(net.addr))))
			return err_set(err, ERR_INVALID, "service CIDR '%s' has two ranges of one family", cidrs);
		al->flags[al->n_flags++] = net;
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
	if (flags_parse(al, s->o.service_cidr, err) < 0)
		return -1;
	if (!sv_split(&range, '-', &head) || !sv_to_i64(head, &first) || !sv_to_i64(range, &last) || first < 1 ||
	    last > 65535 || first > last)
		return err_set(err, ERR_INVALID, "node port range '%s' is not a range like 30000-32767",
			       s->o.node_port_range);
	al->first_port = (int)first;
	al->n_ports = (int)(last - first + 1);
	return 0;
}

void allocators_free(struct apiserver *s)
{
	struct allocators *al = allocators_of(s);

	if (!al)
		return;
	strmap_release(&al->seen);
	strmap_release(&al->reserved);
	strmap_release(&al->held);
	strmap_release(&al->foreign);
	strmap_release(&al->mine);
	strmap_release(&al->nameless);
	strmap_release_with(&al->ranges, free);
	strmap_release_with(&al->stale, free);
	strmap_release_with(&al->unread, service_numbers_free);
	pthread_mutex_destroy(&al->lock);
	free(al);
	s->strategies = NULL;
}
