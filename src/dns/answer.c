/* A name is looked at from its end: which zone, which part of it, which Service. What is led elsewhere is written as a
 * CNAME, and the walk begins anew with the other name, a few times at most. */
#include "dns/answer.h"

#include "dns/clients.h"

#define CHAIN_MAX 8
#define SRV_TARGETS_MAX 16 /* whose addresses come along */

struct answering {
	const struct dns_view *v;
	const struct dns_query *q;
	struct dns_out o;
	struct dns_name name;  /* what is looked for now: the question's, or where a CNAME led. Lower */
	struct dns_name other; /* where the walk goes on */
};

enum outcome {
	OUT_DONE,    /* there are records */
	OUT_NODATA,  /* there is the name */
	OUT_NONE,    /* there is no such name */
	OUT_GO_ON,   /* a->other has it */
	OUT_FOREIGN, /* none of ours */
};

/* The name to write as an owner: in the case it was asked in, as long as it is the question's. */
static const struct dns_name *answer_owner(const struct answering *a)
{
	return dns_name_eq(&a->name, &a->q->lower) ? &a->q->name : &a->name;
}

static bool answer_wants(const struct answering *a, uint16_t type)
{
	return a->q->type == type;
}

/* RFC 8482: who asks for everything gets little. */
static enum outcome answer_any(struct answering *a)
{
	(void)dns_out_record(&a->o, DNS_ANSWER, answer_owner(a), DNS_HINFO, a->v->cfg->ttl, SV("\7RFC8482\0"));
	return OUT_DONE;
}

static struct sv answer_address_bytes(const struct ip_addr *a)
{
	return ip_is_v4(*a) ? sv_make((const char *)a->b + 12, 4) : sv_make((const char *)a->b, 16);
}

/* The address, if its family was asked for. */
static bool answer_address(struct answering *a, struct ip_addr addr, uint32_t ttl)
{
	if (!answer_wants(a, ip_is_v4(addr) ? DNS_A : DNS_AAAA))
		return false;
	(void)dns_out_record(&a->o, DNS_ANSWER, answer_owner(a), a->q->type, ttl, answer_address_bytes(&addr));
	return true;
}

/* --- Services --- */

/* LABELS.NAME.NS.svc.DOMAIN */
static bool answer_full_name(const struct answering *a, const struct zone_entry *e, struct sv labels,
			     struct dns_name *ret)
{
	struct dns_name tail;

	(void)dns_name_join(SV("\3svc"), &a->v->cfg->domain, &tail);
	return dns_name_join(zone_entry_key(e), &tail, &tail) && dns_name_join(labels, &tail, ret);
}

static void answer_srv_address(struct answering *a, const struct zone_entry *e, struct sv host)
{
	struct dns_name name;
	size_t first;
	ssize_t n = zone_entry_find(e, host, &first);

	if (n <= 0 || !answer_full_name(a, e, host, &name))
		return;
	for (size_t i = first; i < first + (size_t)n; i++) {
		struct zone_record r = zone_entry_record(e, i);

		if ((r.type == DNS_A || r.type == DNS_AAAA) &&
		    !dns_out_record(&a->o, DNS_ADDITIONAL, &name, r.type, a->v->cfg->ttl, r.data))
			return;
	}
}

/* The i-th of n records when one begins with another each time: the query's id is as good as any chance. */
static size_t answer_turn(const struct answering *a, size_t i, size_t n)
{
	return (i + a->q->id) % n;
}

static enum outcome answer_srv(struct answering *a, const struct zone_entry *e, size_t first, size_t n)
{
	struct sv hosts[SRV_TARGETS_MAX];
	size_t n_hosts = 0;
	bool fits = true;

	for (size_t i = 0; i < n && fits; i++) {
		struct zone_record r = zone_entry_record(e, first + answer_turn(a, i, n));
		struct sv host = sv_sub(r.data, 2, r.data.n);
		char before[6] = { 0, 0, 0, 100 }; /* priority 0, weight 100 */
		struct dns_name target;

		memcpy(before + 4, r.data.p, 2);
		if (!answer_full_name(a, e, host, &target))
			continue;
		fits = dns_out_named(&a->o, DNS_ANSWER, answer_owner(a), DNS_SRV, a->v->cfg->ttl, sv_make(before, 6),
				     &target, SV(""));
		for (size_t k = 0; k < n_hosts && host.p; k++)
			if (sv_eq(hosts[k], host))
				host = SV_NULL;
		if (fits && host.p && n_hosts < ARRAY_LEN(hosts))
			hosts[n_hosts++] = host;
	}
	for (size_t k = 0; k < n_hosts && fits; k++)
		answer_srv_address(a, e, hosts[k]);
	return OUT_DONE;
}

/* Those of `first` to `first` + n that are of the type asked for: they stand together. */
static enum outcome answer_records(struct answering *a, const struct zone_entry *e, size_t first, size_t n)
{
	size_t from = first, end = first + n;

	if (n == 0)
		return OUT_NODATA;
	if (zone_entry_record(e, first).type == DNS_CNAME) {
		struct zone_record r = zone_entry_record(e, first);

		a->other.n = (uint8_t)r.data.n;
		memcpy(a->other.b, r.data.p, r.data.n);
		return OUT_GO_ON;
	}
	if (answer_wants(a, DNS_ANY))
		return answer_any(a);
	while (from < end && zone_entry_record(e, from).type < a->q->type)
		from += zone_entry_skip(e, from, end);
	n = from < end && zone_entry_record(e, from).type == a->q->type ? zone_entry_skip(e, from, end) : 0;
	if (n == 0)
		return OUT_NODATA;
	if (a->q->type == DNS_SRV)
		return answer_srv(a, e, from, n);
	for (size_t i = 0; i < n; i++)
		if (!dns_out_record(&a->o, DNS_ANSWER, answer_owner(a), a->q->type, a->v->cfg->ttl,
				    zone_entry_record(e, from + answer_turn(a, i, n)).data))
			break;
	return OUT_DONE;
}

/* The last labels of *labels, cut off it: from the end, up to `want`. Returns how many. */
static size_t answer_cut(struct sv *labels, struct sv *ret, size_t want)
{
	uint8_t at[128];
	struct sv rest = *labels, label;
	size_t n = 0, cut;

	while (n < ARRAY_LEN(at) && rest.n) {
		at[n++] = (uint8_t)(rest.p - labels->p);
		(void)dns_label_next(&rest, &label);
	}
	want = MIN(want, n);
	cut = want ? at[n - want] : labels->n;
	*ret = sv_sub(*labels, cut, labels->n);
	*labels = sv_sub(*labels, 0, cut);
	return want;
}

static enum outcome answer_service(struct answering *a, struct sv labels)
{
	const struct zone_entry *e;
	struct sv key;
	size_t first, have = answer_cut(&labels, &key, 2);
	ssize_t n;

	if (have == 0)
		return OUT_NODATA; /* svc.DOMAIN */
	if (have == 1)
		return zone_table_has_namespace(a->v->zone, key) ? OUT_NODATA : OUT_NONE;
	e = zone_table_get(a->v->zone, key);
	n = e ? zone_entry_find(e, labels, &first) : -1;
	return n < 0 ? OUT_NONE : answer_records(a, e, first, (size_t)n);
}

/* --- Pods --- */

/* "10-42-0-5", "fd00--5" */
static bool answer_dashed(struct sv label, struct ip_addr *ret)
{
	char text[DNS_LABEL_MAX];
	size_t dashes = 0;
	bool v4 = true;

	for (size_t i = 0; i < label.n; i++) {
		dashes += label.p[i] == '-';
		v4 &= label.p[i] == '-' || (label.p[i] >= '0' && label.p[i] <= '9');
	}
	v4 &= dashes == 3;
	for (size_t i = 0; i < label.n; i++)
		text[i] = (char)(label.p[i] != '-' ? label.p[i] : v4 ? '.' : ':');
	return ip_parse(sv_make(text, label.n), ret);
}

static enum outcome answer_pod(struct answering *a, struct sv labels)
{
	struct sv ns, host;
	struct ip_addr addr;

	if (answer_cut(&labels, &ns, 1) == 0)
		return OUT_NODATA;
	if (labels.n == 0)
		return OUT_NODATA; /* of any namespace: which there are is not known here */
	if (!dns_label_next(&labels, &host) || labels.n || !a->v->cfg->pods || !answer_dashed(host, &addr) ||
	    !dns_clients_has(a->v->cfg->pods, addr) || ip_is_loopback(addr))
		return OUT_NONE;
	if (answer_wants(a, DNS_ANY))
		return answer_any(a);
	return answer_address(a, addr, a->v->cfg->ttl) ? OUT_DONE : OUT_NODATA;
}

/* --- the zone itself --- */

static void answer_ns_name(const struct answering *a, struct dns_name *ret)
{
	(void)dns_name_join(SV("\2ns\3dns"), &a->v->cfg->domain, ret);
}

static void answer_soa(struct answering *a, enum dns_section s, const struct dns_name *zone)
{
	const struct dns_view *v = a->v;
	uint32_t numbers[5] = { v->serial, 7200, 1800, 86400, v->cfg->ttl };
	char data[2 * DNS_NAME_MAX + 20];
	struct dns_name ns, mail;
	size_t n;

	answer_ns_name(a, &ns);
	(void)dns_name_join(SV("\12hostmaster"), &v->cfg->domain, &mail);
	memcpy(data, ns.b, ns.n);
	n = ns.n;
	memcpy(data + n, mail.b, mail.n);
	n += mail.n;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		for (int shift = 24; shift >= 0; shift -= 8)
			data[n++] = (char)(numbers[i] >> shift);
	(void)dns_out_record(&a->o, s, zone, DNS_SOA, v->cfg->ttl, sv_make(data, n));
}

static enum outcome answer_apex(struct answering *a)
{
	struct dns_name ns;

	if (answer_wants(a, DNS_ANY))
		return answer_any(a);
	if (answer_wants(a, DNS_SOA)) {
		answer_soa(a, DNS_ANSWER, answer_owner(a));
		return OUT_DONE;
	}
	if (!answer_wants(a, DNS_NS))
		return OUT_NODATA;
	answer_ns_name(a, &ns);
	(void)dns_out_named(&a->o, DNS_ANSWER, answer_owner(a), DNS_NS, a->v->cfg->ttl, SV(""), &ns, SV(""));
	return OUT_DONE;
}

static enum outcome answer_ns_address(struct answering *a)
{
	enum outcome out = OUT_NODATA;

	for (size_t i = 0; i < a->v->cfg->n_service; i++)
		if (answer_address(a, a->v->cfg->service[i], a->v->cfg->ttl))
			out = OUT_DONE;
	return out;
}

static enum outcome answer_zone(struct answering *a, struct sv labels)
{
	struct sv whole = labels, last;

	if (labels.n == 0)
		return answer_apex(a);
	(void)answer_cut(&labels, &last, 1);
	if (sv_is(last, "\3svc"))
		return answer_service(a, labels);
	if (sv_is(last, "\3pod"))
		return answer_pod(a, labels);
	if (sv_is(whole, "\13dns-version")) {
		if (answer_wants(a, DNS_ANY))
			return answer_any(a);
		if (!answer_wants(a, DNS_TXT))
			return OUT_NODATA;
		(void)dns_out_record(&a->o, DNS_ANSWER, answer_owner(a), DNS_TXT, a->v->cfg->ttl, SV("\0051.1.0"));
		return OUT_DONE;
	}
	if (sv_is(whole, "\3dns"))
		return OUT_NODATA;
	return sv_is(whole, "\2ns\3dns") ? answer_ns_address(a) : OUT_NONE;
}

/* --- names of addresses --- */

static void answer_ptr(const struct zone_entry *e, struct sv labels, void *ctx)
{
	struct answering *a = ctx;
	struct dns_name name;

	if (!a->o.truncated && answer_full_name(a, e, labels, &name))
		(void)dns_out_named(&a->o, DNS_ANSWER, answer_owner(a), DNS_PTR, a->v->cfg->ttl, SV(""), &name, SV(""));
}

/* The zone that a reverse name of a cluster range is of: the shortest name whose addresses are all within. */
static bool answer_reverse_zone(const struct answering *a, struct ip_net net, struct dns_name *ret)
{
	for (size_t i = 0; i < a->v->cfg->n_ranges; i++) {
		const struct ip_net *range = &a->v->cfg->ranges[i];
		unsigned step = ip_is_v4(range->addr) ? 8 : 4, labels, have;
		size_t at = 0;

		if (!ip_net_covers(*range, net))
			continue;
		labels = ip_net_len(*range) / step + (ip_net_len(*range) % step != 0);
		have = ip_net_len(net) / step;
		for (; have > labels; have--)
			at += 1u + a->name.b[at];
		ret->n = (uint8_t)(a->name.n - at);
		memcpy(ret->b, a->name.b + at, ret->n);
		return true;
	}
	return false;
}

/* *ret_zone: whose SOA says that there is nothing. */
static enum outcome answer_reverse(struct answering *a, struct ip_net net, struct dns_name *ret_zone)
{
	bool whole = net.bits == 128, ours = answer_reverse_zone(a, net, ret_zone);

	if (whole && answer_wants(a, DNS_PTR) && zone_table_names(a->v->zone, net.addr, answer_ptr, a))
		return OUT_DONE;
	if (!ours)
		return OUT_FOREIGN;
	if (whole)
		return zone_table_names(a->v->zone, net.addr, NULL, NULL) ? OUT_NODATA : OUT_NONE;
	return OUT_NODATA; /* there may be names below; to look for them is not worth it */
}

static enum outcome answer_host(struct answering *a, const struct dns_host_addrs *h)
{
	enum outcome out = OUT_NODATA;

	for (size_t i = 0; i < h->list.n; i++)
		if (answer_address(a, h->list.p[i], a->v->cfg->hosts.ttl))
			out = OUT_DONE;
	return out;
}

static enum outcome answer_host_name(struct answering *a, struct ip_net net)
{
	const struct dns_name *name = net.bits == 128 ? dns_config_host_name(a->v->cfg, net.addr) : NULL;

	if (!name || !answer_wants(a, DNS_PTR))
		return OUT_FOREIGN;
	(void)dns_out_named(&a->o, DNS_ANSWER, answer_owner(a), DNS_PTR, a->v->cfg->hosts.ttl, SV(""), name, SV(""));
	return OUT_DONE;
}

/* --- the walk --- */

static enum outcome answer_step(struct answering *a, bool first, struct dns_name *ret_zone)
{
	const struct dns_config *cfg = a->v->cfg;
	const struct dns_host_addrs *host;
	enum outcome out;
	struct ip_net net;
	size_t before;

	if (first && dns_config_rewrite(cfg, &a->name, &a->other))
		return OUT_GO_ON;
	host = dns_config_host_addrs(cfg, &a->name);
	ret_zone->n = 0;
	if (host)
		return answer_host(a, host);
	*ret_zone = cfg->domain;
	if (dns_name_within(&a->name, &cfg->domain, &before))
		return answer_zone(a, sv_make((const char *)a->name.b, before));
	if (!dns_name_reversed(&a->name, &net))
		return OUT_FOREIGN;
	out = answer_reverse(a, net, ret_zone);
	return out == OUT_DONE ? out : answer_host_name(a, net) == OUT_DONE ? OUT_DONE : out;
}

/* Writes what is ours. OUT_FOREIGN: a->name is not. */
static enum outcome answer_walk(struct answering *a)
{
	struct dns_name zone = { 0 }; /* none: hosts say nothing of others */
	enum outcome out = OUT_NONE;

	a->name = a->q->lower;
	for (int i = 0; i < CHAIN_MAX; i++) {
		out = answer_step(a, i == 0, &zone);
		if (out != OUT_GO_ON)
			break;
		if (!dns_out_named(&a->o, DNS_ANSWER, answer_owner(a), DNS_CNAME, a->v->cfg->ttl, SV(""), &a->other,
				   SV("")))
			return OUT_DONE;
		if (answer_wants(a, DNS_CNAME))
			return OUT_DONE;
		a->name = a->other;
	}
	if (out == OUT_GO_ON)
		a->o.rcode = DNS_SERVFAIL; /* they lead in a circle */
	if (out == OUT_NONE)
		a->o.rcode = DNS_NXDOMAIN;
	if ((out == OUT_NONE || out == OUT_NODATA) && zone.n)
		answer_soa(a, DNS_AUTHORITY, &zone);
	return out;
}

static void answer_begin(struct answering *a, const struct dns_view *v, const struct dns_query *q, uint8_t *p,
			 size_t room)
{
	a->v = v;
	a->q = q;
	dns_out_begin(&a->o, q, p, room);
	a->o.aa = true;
}

enum dns_next dns_answer(const struct dns_view *v, const struct dns_query *q, uint8_t *p, size_t room, size_t *ret_n,
			 struct dns_name *ret_target)
{
	struct answering a;

	answer_begin(&a, v, q, p, room);
	if (answer_walk(&a) == OUT_FOREIGN) {
		*ret_target = a.name;
		return DNS_ELSEWHERE;
	}
	*ret_n = dns_out_end(&a.o);
	return DNS_ANSWERED;
}

size_t dns_answer_rest(const struct dns_view *v, const struct dns_query *q, const struct dns_msg *m, uint32_t age_s,
		       uint32_t ttl_max, uint8_t *p, size_t room)
{
	struct answering a;

	answer_begin(&a, v, q, p, room);
	if (answer_walk(&a) == OUT_FOREIGN) {
		a.o.aa = false;
		if (m)
			dns_out_msg(&a.o, m, age_s, ttl_max);
		else
			a.o.rcode = DNS_SERVFAIL;
	}
	return dns_out_end(&a.o);
}

size_t dns_answer_code(const struct dns_query *q, enum dns_rcode rcode, uint8_t *p, size_t room)
{
	struct dns_out o;

	dns_out_begin(&o, q, p, room);
	o.rcode = rcode;
	return dns_out_end(&o);
}
