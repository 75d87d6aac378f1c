/* Records are collected with their keys, sorted, and packed into one block. A key is the labels before the Service's
 * own in reverse ("_tcp", "_http"), so that all below a name stand behind it: what has no records and is the beginning
 * of another key has names below it, and exists. */
#include "dns/zone.h"

#include "base/vec.h"
#include "codec/doc.h"
#include "dns/zone_entry.h"
#include "object/slice.h"

#include <stdio.h>
#include <stdlib.h>

/* Two labels are the most that we ever make. */
#define ZONE_KEY_MAX (2 * (DNS_LABEL_MAX + 1))
/* Of one Service: what 100 slices of 1000 endpoints bring, times some ports; more has no meaning in any message. */
#define ZONE_RECORDS_MAX 400000

struct zone_raw {
	struct sv key, data;
	uint16_t type;
};

struct zone_build {
	struct arena a;
	VEC(struct zone_raw) records;
	bool headless;
};

const char *const zone_service_paths[] = { "spec type",
					   "spec clusterIP",
					   "spec clusterIPs",
					   "spec externalName",
					   "spec publishNotReadyAddresses",
					   "spec ports name",
					   "spec ports protocol",
					   "spec ports port",
					   NULL };
const char *const zone_slice_paths[] = { "metadata labels " SLICE_SERVICE_LABEL,
					 "addressType",
					 "endpoints addresses",
					 "endpoints conditions",
					 "endpoints hostname",
					 "ports name",
					 "ports protocol",
					 "ports port",
					 NULL };

static void zone_add(struct zone_build *b, struct sv key, uint16_t type, struct sv data)
{
	if (b->records.n < ZONE_RECORDS_MAX)
		vec_push(&b->records, ((struct zone_raw){ key, data, type }));
}

/* The record of an address, without a key. False: it is none. */
static bool zone_address(struct zone_build *b, struct sv text, struct zone_raw *ret)
{
	uint8_t raw[16];
	size_t n = ip_bytes(text, raw);

	if (n)
		*ret = (struct zone_raw){ .type = n == 4 ? DNS_A : DNS_AAAA,
					  .data = arena_sv(&b->a, sv_make((const char *)raw, n)) };
	return n > 0;
}

static void zone_add_address(struct zone_build *b, struct sv text)
{
	struct zone_raw r;

	if (zone_address(b, text, &r))
		zone_add(b, SV(""), r.type, r.data);
}

static struct sv zone_lower_label(struct arena *a, const char *prefix, struct sv text)
{
	char *p;
	size_t n = strlen(prefix) + text.n;

	if (text.n == 0 || n > DNS_LABEL_MAX || sv_find(text, '.') >= 0)
		return SV_NULL;
	p = arena_alloc(a, n + 1);
	p[0] = (char)n;
	memcpy(p + 1, prefix, strlen(prefix));
	memcpy(p + 1 + strlen(prefix), text.p, text.n);
	for (size_t i = 1; i <= n; i++)
		p[i] = ascii_lower(p[i]);
	return sv_make(p, n + 1);
}

/* SRV of a port at the Service's name and at its own; host: the label of an endpoint, or "". */
static void zone_add_port(struct zone_build *b, const struct val *port, struct sv host)
{
	struct sv proto = val_get_str(port, F_protocol), name = val_get_str(port, F_name), l_proto, l_name, data;
	int64_t number = val_get_int(port, 0, F_port);
	char *p;

	if (!name.n || number <= 0 || number > UINT16_MAX)
		return;
	l_proto = zone_lower_label(&b->a, "_", proto.n ? proto : SV("TCP"));
	l_name = zone_lower_label(&b->a, "_", name);
	if (!l_proto.n || !l_name.n)
		return;
	p = arena_alloc(&b->a, 2 + host.n);
	p[0] = (char)(number >> 8);
	p[1] = (char)number;
	memcpy(p + 2, host.n ? host.p : "", host.n);
	data = sv_make(p, 2 + host.n);
	p = arena_alloc(&b->a, l_proto.n + l_name.n);
	memcpy(p, l_proto.p, l_proto.n);
	memcpy(p + l_proto.n, l_name.p, l_name.n);
	zone_add(b, sv_make(p, l_proto.n + l_name.n), DNS_SRV, data);
	zone_add(b, SV(""), DNS_SRV, data);
}

static struct sv zone_host(struct arena *a, const struct val *ep, struct sv address)
{
	struct sv host = val_get_str(ep, F_hostname);
	char *dashes;

	if (host.n)
		return zone_lower_label(a, "", host);
	dashes = arena_cstr(a, address);
	for (char *c = dashes; *c; c++)
		if (*c == '.' || *c == ':')
			*c = '-';
	return zone_lower_label(a, "", sv_from(dashes));
}

static bool zone_endpoint_counts(const struct val *ep, bool publish)
{
	return publish || endpoint_ready(ep);
}

static void zone_headless(struct zone_build *b, const struct obj *svc, struct obj *const *slices, size_t n)
{
	bool publish = val_bool(obj_get(svc, F_spec, F_publishNotReadyAddresses));

	for (size_t i = 0; i < n; i++) {
		if (val_is(obj_get(slices[i], F_addressType), "FQDN"))
			continue;
		VAL_EACH(obj_get(slices[i], F_endpoints), ep) {
			/* Of several addresses the first counts: they mean the same. */
			struct sv address = val_str(val_at(val_member(ep, F_addresses), 0)), host;
			struct zone_raw r;

			if (!zone_endpoint_counts(ep, publish) || !zone_address(b, address, &r))
				continue;
			host = zone_host(&b->a, ep, address);
			if (!host.n)
				continue;
			zone_add(b, SV(""), r.type, r.data);
			zone_add(b, host, r.type, r.data);
			VAL_EACH(obj_get(slices[i], F_ports), port)
				zone_add_port(b, port, host);
		}
	}
}

static void zone_external(struct zone_build *b, const struct obj *svc)
{
	struct sv text = val_str(obj_get(svc, F_spec, F_externalName));
	struct dns_name name;
	uint8_t raw[16];

	/* An address is no name. */
	if (ip_bytes(text, raw) || !dns_name_parse(text, &name))
		return;
	dns_name_lower(&name);
	zone_add(b, SV(""), DNS_CNAME, arena_sv(&b->a, sv_make((const char *)name.b, name.n)));
}

static void zone_service(struct zone_build *b, const struct obj *svc, struct obj *const *slices, size_t n)
{
	const struct val *ips = obj_get(svc, F_spec, F_clusterIPs);
	struct sv ip = val_str(obj_get(svc, F_spec, F_clusterIP));

	if (val_is(obj_get(svc, F_spec, F_type), "ExternalName")) {
		zone_external(b, svc);
		return;
	}
	b->headless = sv_is(ip, "None");
	if (b->headless) {
		zone_headless(b, svc, slices, n);
		return;
	}
	if (!val_len(ips))
		zone_add_address(b, ip);
	VAL_EACH(ips, one)
		zone_add_address(b, val_str(one));
	if (!b->records.n)
		return; /* it has no address yet */
	VAL_EACH(obj_get(svc, F_spec, F_ports), port)
		zone_add_port(b, port, SV(""));
}

static int zone_by_key(const void *x, const void *y)
{
	const struct zone_raw *a = x, *b = y;
	int d = sv_cmp(a->key, b->key);

	if (d == 0)
		d = (a->type > b->type) - (a->type < b->type);
	return d ? d : sv_cmp(a->data, b->data);
}

static void zone_sort(struct zone_build *b)
{
	size_t kept = 0;

	if (b->records.n > 1)
		qsort(b->records.p, b->records.n, sizeof(*b->records.p), zone_by_key);
	for (size_t i = 0; i < b->records.n; i++)
		if (kept == 0 || zone_by_key(&b->records.p[kept - 1], &b->records.p[i]) != 0)
			b->records.p[kept++] = b->records.p[i];
	b->records.n = kept;
}

static size_t zone_text(struct zone_entry *e, struct sv s)
{
	size_t at = e->n_texts;

	if (s.n)
		memcpy(e->texts + at, s.p, s.n);
	e->n_texts += s.n;
	return at;
}

static struct zone_entry *zone_pack(const struct zone_build *b, struct sv name)
{
	size_t texts = name.n, ptrs = 0;
	struct zone_entry *e;
	struct sv last = SV_NULL;
	uint32_t last_at = 0;

	for (size_t i = 0; i < b->records.n; i++) {
		texts += b->records.p[i].key.n + b->records.p[i].data.n;
		ptrs += b->records.p[i].type != DNS_SRV;
	}
	e = xcalloc(1, sizeof(*e) + ptrs * sizeof(struct zone_ptr) + b->records.n * sizeof(struct zone_packed) + texts);
	e->ptrs = (struct zone_ptr *)(e + 1);
	e->records = (struct zone_packed *)(e->ptrs + ptrs);
	e->texts = (char *)(e->records + b->records.n);
	e->headless = b->headless;
	e->name_n = (uint8_t)name.n;
	(void)zone_text(e, name);
	for (size_t i = 0; i < b->records.n; i++) {
		const struct zone_raw *r = &b->records.p[i];
		struct zone_packed *p = &e->records[e->n_records++];

		if (!sv_eq(last, r->key) || !last.p)
			last_at = (uint32_t)zone_text(e, r->key);
		last = r->key;
		p->key = last_at;
		p->key_n = (uint8_t)r->key.n;
		p->type = r->type;
		p->data = (uint32_t)zone_text(e, r->data);
		p->data_n = (uint16_t)r->data.n;
	}
	return e;
}

bool zone_key(struct sv ns, struct sv name, struct buf *to)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv l_name = zone_lower_label(&a, "", name), l_ns = zone_lower_label(&a, "", ns);

	buf_addsv(to, l_name);
	buf_addsv(to, l_ns);
	return l_name.n && l_ns.n;
}

struct zone_entry *zone_entry_new(const struct obj *svc, struct obj *const *slices, size_t n)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct zone_build b = { 0 };
	struct zone_entry *e = NULL;

	if (zone_key(obj_ns(svc), obj_name(svc), &key)) {
		zone_service(&b, svc, slices, n);
		zone_sort(&b);
		if (b.records.n)
			e = zone_pack(&b, buf_sv(&key));
	}
	vec_release(&b.records);
	arena_release(&b.a);
	return e;
}

struct zone_entry *zone_entry_free(struct zone_entry *e)
{
	free(e);
	return NULL;
}

bool zone_entry_same(const struct zone_entry *a, const struct zone_entry *b)
{
	if (!a || !b)
		return a == b;
	return a->headless == b->headless && a->n_records == b->n_records && a->n_texts == b->n_texts &&
	       memcmp(a->records, b->records, a->n_records * sizeof(*a->records)) == 0 &&
	       memcmp(a->texts, b->texts, a->n_texts) == 0;
}

struct sv zone_entry_key(const struct zone_entry *e)
{
	return sv_make(e->texts, e->name_n);
}

struct zone_record zone_entry_record(const struct zone_entry *e, size_t i)
{
	const struct zone_packed *p = &e->records[i];

	return (struct zone_record){ p->type, sv_make(e->texts + p->data, p->data_n) };
}

size_t zone_entry_skip(const struct zone_entry *e, size_t i, size_t end)
{
	uint16_t type = e->records[i].type;
	size_t from = i;

	/* Within one name, where types are in order. */
	while (from < end) {
		size_t mid = from + (end - from) / 2;

		if (e->records[mid].type <= type)
			from = mid + 1;
		else
			end = mid;
	}
	return from - i;
}

static struct sv zone_key_of(const struct zone_entry *e, size_t i)
{
	return sv_make(e->texts + e->records[i].key, e->records[i].key_n);
}

/* The first record whose key is not before key. */
static size_t zone_lower_bound(const struct zone_entry *e, struct sv key)
{
	size_t lo = 0, hi = e->n_records;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sv_cmp(zone_key_of(e, mid), key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The first one behind those with key, which begin at `from`. */
static size_t zone_upper_bound(const struct zone_entry *e, struct sv key, size_t from)
{
	size_t hi = e->n_records;

	while (from < hi) {
		size_t mid = from + (hi - from) / 2;

		if (sv_eq(zone_key_of(e, mid), key))
			from = mid + 1;
		else
			hi = mid;
	}
	return from;
}

ssize_t zone_entry_find(const struct zone_entry *e, struct sv labels, size_t *ret_first)
{
	char reverse[ZONE_KEY_MAX];
	size_t at = sizeof(reverse), first, end;
	struct sv rest = labels, label, key;

	if (labels.n > sizeof(reverse))
		return -1;
	while (dns_label_next(&rest, &label)) {
		at -= label.n + 1;
		reverse[at] = (char)label.n;
		memcpy(reverse + at + 1, label.p, label.n);
	}
	key = sv_make(reverse + at, sizeof(reverse) - at);
	*ret_first = first = zone_lower_bound(e, key);
	end = zone_upper_bound(e, key, first);
	if (end > first)
		return (ssize_t)(end - first);
	return first < e->n_records && sv_starts(zone_key_of(e, first), key) ? 0 : -1;
}

bool zone_entry_named(const struct zone_entry *e, size_t i, struct ip_addr *ret)
{
	const struct zone_packed *p = &e->records[i];
	const uint8_t *b = (const uint8_t *)e->texts + p->data;

	if ((p->key_n > 0) != e->headless || (p->type != DNS_A && p->type != DNS_AAAA))
		return false;
	*ret = p->type == DNS_A ? ip_v4((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3])
				: ip_v6(b);
	return true;
}
