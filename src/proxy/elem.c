#include "proxy/elem.h"

#include <netinet/in.h>
#include <stdlib.h>

static uint64_t verdict_pack(struct verdict v)
{
	return (uint64_t)v.kind << 56 | (uint64_t)v.masq << 48 | (uint64_t)v.inside << 40 | v.count;
}

struct verdict verdict_unpack(uint64_t val)
{
	return (struct verdict){ .kind = (enum verdict_kind)(val >> 56),
				 .masq = (enum masq_mode)(val >> 48 & 0xff),
				 .inside = val >> 40 & 1,
				 .count = (uint32_t)val };
}

bool elem_has_verdict(const struct elem *e)
{
	return elem_table(e) <= ELEM_REFUSED_NODEPORTS;
}

bool elem_has_endpoint(const struct elem *e)
{
	return elem_table(e) >= ELEM_ENDPOINTS && elem_table(e) < ELEM_CLUSTER_IPS;
}

enum elem_table elem_proto_table(enum elem_table first, uint8_t proto)
{
	return first + (proto == IPPROTO_TCP ? 0 : proto == IPPROTO_UDP ? 1 : 2);
}

#define CMP(a, b) (((a) > (b)) - ((a) < (b)))

int elem_cmp_key(const struct elem *a, const struct elem *b)
{
	int c;

	if (a->table != b->table)
		return CMP(a->table, b->table);
	c = ip_cmp(a->addr, b->addr);
	if (c)
		return c;
	if (a->port != b->port)
		return CMP(a->port, b->port);
	if (a->proto != b->proto)
		return CMP(a->proto, b->proto);
	if (elem_table(a) == ELEM_SOURCE_RANGES)
		return ip_cmp(a->other, b->other);
	return CMP(a->idx, b->idx);
}

bool elem_same_value(const struct elem *a, const struct elem *b)
{
	return a->val == b->val && ip_eq(a->other, b->other);
}

static int cmp_key(const void *a, const void *b)
{
	return elem_cmp_key(a, b);
}

void elems_sort(struct elems *e)
{
	size_t n = 0;

	if (e->v.n)
		qsort(e->v.p, e->v.n, sizeof(*e->v.p), cmp_key);
	for (size_t i = 0; i < e->v.n; i++) {
		if (n == 0 || elem_cmp_key(&e->v.p[n - 1], &e->v.p[i]) != 0)
			e->v.p[n++] = e->v.p[i];
	}
	e->v.n = n;
}

/* First element not below key. */
static size_t lower_bound(const struct elems *e, const struct elem *key)
{
	size_t lo = 0, hi = e->v.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (elem_cmp_key(&e->v.p[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool elem_lists_endpoint(const struct endpoints *e, const struct endpoint *ep)
{
	size_t lo = 0, hi = e->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = endpoint_cmp(&e->p[mid], ep);

		if (c == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static int elem_cmp_endpoint(const void *a, const void *b)
{
	return endpoint_cmp(a, b);
}

static void add_endpoints(struct elems *out, struct elem proto, const struct endpoints *eps, const struct elems *old)
{
	/* A slot with port 0 is free: no endpoint has that. */
	struct endpoint *slot = xcalloc(eps->n + 1, sizeof(*slot)), *kept = xcalloc(eps->n + 1, sizeof(*kept));
	size_t n_kept = 0, hole = 0;

	for (size_t i = lower_bound(old, &proto); i < old->v.n; i++) {
		const struct elem *o = &old->v.p[i];
		struct endpoint was = elem_endpoint(o);

		if (o->table != proto.table || !ip_eq(o->addr, proto.addr) || o->port != proto.port ||
		    o->proto != proto.proto || o->idx - proto.idx >= eps->n)
			break;
		if (elem_lists_endpoint(eps, &was)) {
			slot[o->idx - proto.idx] = was;
			kept[n_kept++] = was;
		}
	}
	if (n_kept)
		qsort(kept, n_kept, sizeof(*kept), elem_cmp_endpoint);
	for (size_t i = 0; i < eps->n; i++) {
		if (n_kept && bsearch(&eps->p[i], kept, n_kept, sizeof(*kept), elem_cmp_endpoint))
			continue;
		while (slot[hole].port)
			hole++;
		slot[hole] = eps->p[i];
	}
	for (size_t i = 0; i < eps->n; i++) {
		struct elem e = proto;

		e.idx += (uint32_t)i;
		e.other = slot[i].addr;
		e.val = slot[i].port;
		vec_push(&out->v, e);
	}
	free(slot);
	free(kept);
}

/* The way one kind of client takes: a verdict, and the endpoints it picks from. */
static void add_way(struct elems *out, struct elem e, const struct frontend *f, bool inside, const struct elems *old)
{
	const struct endpoints *eps = inside ? &f->inside : &f->outer;
	bool node = ip_is_none(f->key.addr), v6 = frontend_v6(&f->key);
	enum elem_table t;
	struct verdict v = { .kind = f->affinity_s ? VERDICT_AFFINITY : VERDICT_PICK,
			     .masq = inside ? MASQ_OUTSIDE : f->masq,
			     .inside = inside,
			     .count = f->affinity_s ? 0 : (uint32_t)eps->n };

	if (inside)
		t = node ? ELEM_INSIDE_NODEPORTS : ELEM_INSIDE_IPS;
	else if (f->own_address)
		t = ELEM_OWN_IPS;
	else
		t = !node ? ELEM_SERVICE_IPS : f->host_port ? ELEM_HOSTPORTS : ELEM_NODEPORTS;
	e.table = elem_table_of(t, v6);
	e.val = verdict_pack(v);
	vec_push(&out->v, e);
	if (f->affinity_s)
		return; /* its chain names the endpoints */
	e.table = elem_table_of(elem_proto_table(node ? ELEM_NODEPORT_ENDPOINTS : ELEM_ENDPOINTS, e.proto), v6);
	e.idx = inside ? ELEM_INSIDE_BASE : 0;
	e.val = 0;
	add_endpoints(out, e, eps, old);
}

static void add_hairpins(struct elems *out, const struct endpoints *eps)
{
	for (size_t i = 0; i < eps->n; i++) {
		struct elem e = { .addr = eps->p[i].addr };

		e.table = elem_table_of(ELEM_HAIRPINS, !ip_is_v4(e.addr));
		if (eps->p[i].local)
			vec_push(&out->v, e);
	}
}

void elems_add_frontend(struct elems *out, const struct frontend *f, const struct elems *old)
{
	struct elem e = { .addr = f->key.addr, .port = f->key.port, .proto = f->key.proto };
	bool node = ip_is_none(f->key.addr), v6 = frontend_v6(&f->key);

	if (f->outer.n) {
		add_way(out, e, f, false, old);
	} else {
		e.table = elem_table_of(node ? ELEM_REFUSED_NODEPORTS : ELEM_REFUSED_IPS, v6);
		e.val = verdict_pack((struct verdict){ .kind = f->drop ? VERDICT_DROP : VERDICT_REFUSE });
		vec_push(&out->v, e);
		e.val = 0;
	}
	if (f->split && f->inside.n)
		add_way(out, e, f, true, old);
	add_hairpins(out, &f->outer);
	add_hairpins(out, &f->inside);
	if (f->cluster_ip) {
		struct elem c = { .table = elem_table_of(ELEM_CLUSTER_IPS, v6), .addr = f->key.addr };

		vec_push(&out->v, c);
	}
	if (f->firewalled) {
		e.table = elem_table_of(ELEM_GUARDED_IPS, v6);
		vec_push(&out->v, e);
	}
	for (size_t i = 0; i < f->n_ranges; i++) {
		e.table = elem_table_of(ELEM_SOURCE_RANGES, v6);
		e.other = f->ranges[i].addr;
		e.val = ip_net_len(f->ranges[i]);
		vec_push(&out->v, e);
	}
}

bool elems_equal(const struct elems *a, const struct elems *b)
{
	if (a->v.n != b->v.n)
		return false;
	for (size_t i = 0; i < a->v.n; i++) {
		if (elem_cmp_key(&a->v.p[i], &b->v.p[i]) != 0 || !elem_same_value(&a->v.p[i], &b->v.p[i]))
			return false;
	}
	return true;
}

void elems_add_ranges(struct elems *e, enum elem_table t, const struct ip_net *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct elem r = { .table = elem_table_of(t, !ip_is_v4(p[i].addr)),
				  .addr = p[i].addr,
				  .val = ip_net_len(p[i]) };

		vec_push(&e->v, r);
	}
}
