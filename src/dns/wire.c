/* Reading is one record after the other with ldns, which knows what each type's data is made of and where names in it
 * may be compressed. Nothing of it stays: a response is kept as its own bytes, with the place of each record, so that
 * an answer made of it is a copy with other times to live. */
#include "dns/wire.h"

#include "base/lazylib.h"
#include "base/vec.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>

#define OPT_BYTES 11
#define FLAG_QR 0x8000u
#define FLAG_AA 0x0400u
#define FLAG_TC 0x0200u
#define FLAG_RD 0x0100u
#define FLAG_RA 0x0080u
#define FLAG_AD 0x0020u
#define FLAG_CD 0x0010u
#define OPT_DO 0x8000u

static typeof(ldns_wire2rr) *sym_wire2rr;
static typeof(ldns_wire2dname) *sym_wire2dname;
static typeof(ldns_rr_free) *sym_rr_free;
static typeof(ldns_rdf_deep_free) *sym_rdf_deep_free;
static typeof(ldns_rr_owner) *sym_rr_owner;
static typeof(ldns_rr_get_type) *sym_rr_get_type;
static typeof(ldns_rr_get_class) *sym_rr_get_class;
static typeof(ldns_rr_ttl) *sym_rr_ttl;
static typeof(ldns_rr_rd_count) *sym_rr_rd_count;
static typeof(ldns_rr_rdf) *sym_rr_rdf;
static typeof(ldns_rdf_data) *sym_rdf_data;
static typeof(ldns_rdf_size) *sym_rdf_size;
static const struct lazylib_sym wire_syms[] = {
	{ "ldns_wire2rr", &sym_wire2rr },	    { "ldns_wire2dname", &sym_wire2dname },
	{ "ldns_rr_free", &sym_rr_free },	    { "ldns_rdf_deep_free", &sym_rdf_deep_free },
	{ "ldns_rr_owner", &sym_rr_owner },	    { "ldns_rr_get_type", &sym_rr_get_type },
	{ "ldns_rr_get_class", &sym_rr_get_class }, { "ldns_rr_ttl", &sym_rr_ttl },
	{ "ldns_rr_rd_count", &sym_rr_rd_count },   { "ldns_rr_rdf", &sym_rr_rdf },
	{ "ldns_rdf_data", &sym_rdf_data },	    { "ldns_rdf_size", &sym_rdf_size },
};
static struct lazylib wire_lib = LAZYLIB("libldns.so.3", wire_syms);

int dns_wire_need(struct err *err)
{
	return lazylib_need(&wire_lib, err);
}

const char *dns_type_text(uint16_t type, char tmp[12])
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_NS:
		return "NS";
	case DNS_CNAME:
		return "CNAME";
	case DNS_SOA:
		return "SOA";
	case DNS_PTR:
		return "PTR";
	case DNS_HINFO:
		return "HINFO";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	case DNS_SRV:
		return "SRV";
	case DNS_ANY:
		return "ANY";
	default:
		(void)snprintf(tmp, 12, "TYPE%u", type);
		return tmp;
	}
}

static uint16_t wire_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t wire_u32(const uint8_t *p)
{
	return (uint32_t)wire_u16(p) << 16 | wire_u16(p + 2);
}

static void wire_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void wire_put32(uint8_t *p, uint32_t v)
{
	wire_put16(p, (uint16_t)(v >> 16));
	wire_put16(p + 2, (uint16_t)v);
}

static void wire_freep(ldns_rr **rr)
{
	if (*rr)
		sym_rr_free(*rr);
}

static ldns_rr *wire_record(struct sv bytes, size_t *at, ldns_pkt_section section)
{
	ldns_rr *rr = NULL;

	return sym_wire2rr(&rr, (const uint8_t *)bytes.p, bytes.n, at, section) == LDNS_STATUS_OK ? rr : NULL;
}

static bool wire_name(const ldns_rdf *d, struct dns_name *ret)
{
	size_t n = d ? sym_rdf_size(d) : 0;

	if (n == 0 || n > DNS_NAME_MAX)
		return false;
	memcpy(ret->b, sym_rdf_data(d), n);
	ret->n = (uint8_t)n;
	return true;
}

/* The question, which nothing may compress: there is nothing before it. */
static bool wire_question(struct sv bytes, size_t *at, struct dns_name *ret, uint16_t *ret_type, uint16_t *ret_class)
{
	_cleanup_(wire_freep) ldns_rr *rr = wire_record(bytes, at, LDNS_SECTION_QUESTION);

	if (!rr || !wire_name(sym_rr_owner(rr), ret) || *at != DNS_HEADER + ret->n + 4u)
		return false;
	*ret_type = (uint16_t)sym_rr_get_type(rr);
	*ret_class = (uint16_t)sym_rr_get_class(rr);
	return true;
}

/* --- what is asked --- */

static enum dns_read wire_refuse(enum dns_rcode why, enum dns_rcode *ret)
{
	*ret = why;
	return DNS_READ_REFUSE;
}

/* EDNS, or something else behind the question. False: there is something wrong with it. */
static bool query_additional(struct sv bytes, size_t *at, struct dns_query *q, unsigned *ret_version)
{
	_cleanup_(wire_freep) ldns_rr *rr = wire_record(bytes, at, LDNS_SECTION_ADDITIONAL);
	uint32_t ttl;

	if (!rr)
		return false;
	if (sym_rr_get_type(rr) != LDNS_RR_TYPE_OPT)
		return true;
	if (q->edns || sym_rdf_size(sym_rr_owner(rr)) != 1)
		return false;
	ttl = sym_rr_ttl(rr);
	q->edns = true;
	q->udp_max = (uint16_t)MAX((unsigned)sym_rr_get_class(rr), DNS_UDP_PLAIN);
	q->want_dnssec = ttl & OPT_DO;
	*ret_version = ttl >> 16 & 255;
	return true;
}

enum dns_read dns_query_read(struct sv bytes, bool tcp, struct dns_query *ret, enum dns_rcode *ret_rcode)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	size_t at = DNS_HEADER;
	unsigned version = 0;
	uint16_t flags, class;

	if (bytes.n < DNS_HEADER)
		return DNS_READ_DROP;
	flags = wire_u16(p + 2);
	if (flags & FLAG_QR)
		return DNS_READ_DROP; /* two servers could answer each other for ever */
	*ret = (struct dns_query){ .id = wire_u16(p),
				   .udp_max = DNS_UDP_PLAIN,
				   .rd = flags & FLAG_RD,
				   .cd = flags & FLAG_CD,
				   .ad = flags & FLAG_AD,
				   .tcp = tcp };
	if (flags >> 11 & 15)
		return wire_refuse(DNS_NOTIMP, ret_rcode);
	/* EDNS and a signature are all that may come behind a question. */
	if (wire_u16(p + 4) != 1 || wire_u16(p + 6) || wire_u16(p + 8) || wire_u16(p + 10) > 2 ||
	    !wire_question(bytes, &at, &ret->name, &ret->type, &class))
		return wire_refuse(DNS_FORMERR, ret_rcode);
	ret->lower = ret->name;
	dns_name_lower(&ret->lower);
	ret->has_question = true;
	for (unsigned i = wire_u16(p + 10); i > 0; i--)
		if (!query_additional(bytes, &at, ret, &version))
			return wire_refuse(DNS_FORMERR, ret_rcode);
	if (at != bytes.n)
		return wire_refuse(DNS_FORMERR, ret_rcode);
	if (version)
		return wire_refuse(DNS_BADVERS, ret_rcode);
	if (class != LDNS_RR_CLASS_IN || ret->type == DNS_AXFR || ret->type == DNS_IXFR)
		return wire_refuse(DNS_REFUSED, ret_rcode);
	if (ret->type == 0 || ret->type == DNS_OPT || (ret->type >= 249 && ret->type < DNS_ANY))
		return wire_refuse(DNS_NOTIMP, ret_rcode);
	return DNS_READ_OK;
}

/* --- writing --- */

static size_t wire_limit(const struct dns_query *q, size_t room)
{
	return q->tcp ? room : MIN(room, MIN(q->udp_max, DNS_UDP_MAX));
}

/* Header and question; returns how many bytes. What is only known at the end is filled in then. */
static size_t wire_begin(const struct dns_query *q, uint8_t *p)
{
	memset(p, 0, DNS_HEADER);
	wire_put16(p, q->id);
	if (!q->has_question)
		return DNS_HEADER;
	wire_put16(p + 4, 1);
	memcpy(p + DNS_HEADER, q->name.b, q->name.n);
	wire_put16(p + DNS_HEADER + q->name.n, q->type);
	wire_put16(p + DNS_HEADER + q->name.n + 2, LDNS_RR_CLASS_IN);
	return DNS_HEADER + q->name.n + 4u;
}

/* Flags, counts and OPT; p has room for that. Returns the bytes of all. */
static size_t wire_end(const struct dns_query *q, uint8_t *p, size_t n, const uint16_t counts[3], enum dns_rcode rcode,
		       unsigned more_flags)
{
	wire_put16(p + 2, (uint16_t)(FLAG_QR | FLAG_RA | (q->rd ? FLAG_RD : 0) | (q->cd ? FLAG_CD : 0) | more_flags |
				     ((unsigned)rcode & 15)));
	wire_put16(p + 6, counts[DNS_ANSWER]);
	wire_put16(p + 8, counts[DNS_AUTHORITY]);
	wire_put16(p + 10, (uint16_t)(counts[DNS_ADDITIONAL] + q->edns));
	if (!q->edns)
		return n;
	p[n] = 0;
	wire_put16(p + n + 1, DNS_OPT);
	wire_put16(p + n + 3, DNS_UDP_MAX);
	wire_put32(p + n + 5, (uint32_t)rcode >> 4 << 24 | (q->want_dnssec ? OPT_DO : 0));
	wire_put16(p + n + 9, 0);
	return n + OPT_BYTES;
}

void dns_out_begin(struct dns_out *o, const struct dns_query *q, uint8_t *p, size_t room)
{
	*o = (struct dns_out){ .p = p, .q = q, .max = wire_limit(q, room) - (q->edns ? OPT_BYTES : 0) };
	o->n = wire_begin(q, p);
}

/* The name, its end by reference to the question's where they end alike. The buffer has room for all of it. */
static size_t out_name(const struct dns_out *o, uint8_t *to, const struct dns_name *name, bool compress)
{
	const struct dns_name *have = &o->q->name;
	size_t at = 0;

	for (; compress && name->b[at]; at += 1u + name->b[at]) {
		size_t left = (size_t)name->n - at;
		size_t from = (size_t)have->n - left;
		size_t step = 0;

		if (left > have->n)
			continue;
		while (step < from)
			step += 1u + have->b[step];
		if (step != from)
			continue;
		if (!sv_ieq(sv_make((const char *)name->b + at, left), sv_make((const char *)have->b + from, left)))
			continue;
		memcpy(to, name->b, at);
		wire_put16(to + at, (uint16_t)(0xc000u | (DNS_HEADER + from)));
		return at + 2;
	}
	memcpy(to, name->b, name->n);
	return name->n;
}

bool dns_out_named(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint16_t type, uint32_t ttl,
		   struct sv before, const struct dns_name *name, struct sv after)
{
	uint8_t head[2 * DNS_NAME_MAX + 10];
	size_t n = out_name(o, head, owner, true), fixed, name_n = 0, data;

	wire_put16(head + n, type);
	wire_put16(head + n + 2, LDNS_RR_CLASS_IN);
	wire_put32(head + n + 4, ttl);
	fixed = n + 10;
	/* Names in SRV are never compressed (RFC 2782). */
	if (name)
		name_n = out_name(o, head + fixed, name, type != DNS_SRV);
	data = before.n + name_n + after.n;
	if (data > UINT16_MAX || o->n + fixed + data > o->max) {
		o->truncated |= s != DNS_ADDITIONAL;
		return false;
	}
	wire_put16(head + n + 8, (uint16_t)data);
	memcpy(o->p + o->n, head, fixed);
	o->n += fixed;
	if (before.n)
		memcpy(o->p + o->n, before.p, before.n);
	memcpy(o->p + o->n + before.n, head + fixed, name_n);
	if (after.n)
		memcpy(o->p + o->n + before.n + name_n, after.p, after.n);
	o->n += data;
	o->counts[s]++;
	return true;
}

bool dns_out_record(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint16_t type, uint32_t ttl,
		    struct sv rdata)
{
	return dns_out_named(o, s, owner, type, ttl, rdata, NULL, SV(""));
}

size_t dns_out_end(struct dns_out *o)
{
	return wire_end(o->q, o->p, o->n, o->counts, o->rcode, (o->truncated ? FLAG_TC : 0) | (o->aa ? FLAG_AA : 0));
}

/* --- what an upstream server says --- */

struct msg_record {
	uint16_t at, ttl_at, end;
	uint8_t section;
};

struct dns_msg {
	int refs;
	enum dns_rcode rcode;
	bool ad, negative;
	uint32_t life_s;
	uint16_t counts[3];
	size_t n, n_records;
	struct msg_record *records; /* both behind this */
	uint8_t *bytes;
};

size_t dns_ask_write(uint8_t *p, uint16_t id, const struct dns_name *name, uint16_t type, bool cd, bool want_dnssec,
		     bool edns)
{
	const struct dns_query q = {
		.id = id, .type = type, .name = *name, .edns = edns, .want_dnssec = want_dnssec, .has_question = true
	};
	static const uint16_t none[3];
	size_t n = wire_end(&q, p, wire_begin(&q, p), none, DNS_NOERROR, 0);

	wire_put16(p + 2, (uint16_t)(FLAG_RD | (cd ? FLAG_CD : 0)));
	return n;
}

/* What is learnt while the records go by. */
struct msg_reader {
	struct sv bytes;
	size_t at;
	VEC(struct msg_record) records;
	uint16_t wanted[3], counts[3], type, flags;
	uint32_t answer_ttl, soa_ttl;
	bool has_type, has_soa, after_opt;
	unsigned extended;
};

/* Where the record at r->at ends, by its own word; *ret_owner_end: its owner. 0: nowhere in here. */
static size_t msg_record_end(const struct msg_reader *r, size_t *ret_owner_end)
{
	const uint8_t *p = (const uint8_t *)r->bytes.p;
	ldns_rdf *owner = NULL;
	size_t at = r->at, end;

	if (sym_wire2dname(&owner, p, r->bytes.n, &at) != LDNS_STATUS_OK)
		return 0;
	sym_rdf_deep_free(owner);
	*ret_owner_end = at;
	if (at + 10 > r->bytes.n)
		return 0;
	end = at + 10 + wire_u16(p + at + 8);
	return end <= r->bytes.n ? end : 0;
}

static bool msg_record(struct msg_reader *r, enum dns_section s)
{
	static const ldns_pkt_section sections[] = { LDNS_SECTION_ANSWER, LDNS_SECTION_AUTHORITY,
						     LDNS_SECTION_ADDITIONAL };
	size_t begin = r->at, owner_end = 0, end = msg_record_end(r, &owner_end);
	/* No further than its end: what a name refers to comes before it, or is not there once the rest is cut off.
	 * And all of it: ldns goes on behind what it understood of the data. */
	_cleanup_(wire_freep) ldns_rr *rr = end ? wire_record(sv_sub(r->bytes, 0, end), &r->at, sections[s]) : NULL;
	const uint8_t *p = (const uint8_t *)r->bytes.p;
	uint32_t ttl;
	uint16_t type;

	if (!rr || r->at != end)
		return false;
	type = (uint16_t)sym_rr_get_type(rr);
	ttl = sym_rr_ttl(rr) > INT32_MAX ? 0 : sym_rr_ttl(rr); /* RFC 2181, 8 */
	if (s == DNS_ADDITIONAL && type == DNS_OPT) {
		/* What comes behind it would be elsewhere without it, and references to it wrong. */
		r->after_opt = true;
		r->extended = sym_rr_ttl(rr) >> 24;
		return true;
	}
	if (r->after_opt)
		return true;
	if (s == DNS_ANSWER) {
		r->answer_ttl = MIN(r->answer_ttl, ttl);
		r->has_type |= type == r->type || r->type == DNS_ANY;
	} else if (s == DNS_AUTHORITY && type == DNS_SOA && r->at - begin >= 4) {
		r->soa_ttl = MIN(ttl, wire_u32(p + r->at - 4));
		r->has_soa = true;
	}
	r->counts[s]++;
	vec_push(&r->records, ((struct msg_record){ .at = (uint16_t)begin,
						    .ttl_at = (uint16_t)(owner_end + 4),
						    .end = (uint16_t)r->at,
						    .section = (uint8_t)s }));
	return true;
}

static bool msg_records(struct msg_reader *r)
{
	for (enum dns_section s = DNS_ANSWER; s <= DNS_ADDITIONAL; s++)
		for (unsigned n = r->wanted[s]; n > 0; n--)
			if (!msg_record(r, s))
				return false;
	return true;
}

static struct dns_msg *msg_keep(const struct msg_reader *r, size_t begin)
{
	size_t n = r->records.n ? vec_last(&r->records).end : begin, records = r->records.n * sizeof(*r->records.p);
	const uint8_t *p = (const uint8_t *)r->bytes.p;
	struct dns_msg *m = xmalloc(sizeof(*m) + records + n);

	*m = (struct dns_msg){ .refs = 1,
			       .rcode = (enum dns_rcode)(r->extended << 4 | (r->flags & 15u)),
			       .ad = r->flags & FLAG_AD,
			       .n = n,
			       .n_records = r->records.n,
			       .records = (struct msg_record *)(m + 1) };
	m->bytes = (uint8_t *)m->records + records;
	if (records)
		memcpy(m->records, r->records.p, records);
	memcpy(m->bytes, p, n);
	memcpy(m->counts, r->counts, sizeof(m->counts));
	m->negative = m->rcode == DNS_NXDOMAIN || (m->rcode == DNS_NOERROR && !r->has_type);
	if (m->rcode == DNS_NOERROR || m->rcode == DNS_NXDOMAIN)
		m->life_s = !m->negative ? r->answer_ttl : r->has_soa ? MIN(r->soa_ttl, r->answer_ttl) : 0;
	return m;
}

struct dns_msg *dns_msg_read(struct sv bytes, uint16_t id, const struct dns_name *name, uint16_t type, bool *ret_tc)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	struct msg_reader r = { .bytes = bytes, .at = DNS_HEADER, .type = type, .answer_ttl = INT32_MAX };
	_cleanup_free_ char *copy = NULL;
	struct dns_name asked;
	uint16_t asked_type, class;
	struct dns_msg *m = NULL;
	size_t begin;

	*ret_tc = false;
	if (bytes.n < DNS_HEADER || bytes.n > UINT16_MAX || wire_u16(p) != id)
		return NULL;
	r.flags = wire_u16(p + 2);
	if (!(r.flags & FLAG_QR) || (r.flags >> 11 & 15) || wire_u16(p + 4) != 1 ||
	    !wire_question(bytes, &r.at, &asked, &asked_type, &class) || class != LDNS_RR_CLASS_IN ||
	    asked_type != type || !dns_name_ieq(&asked, name))
		return NULL;
	*ret_tc = r.flags & FLAG_TC;
	if (*ret_tc)
		return NULL; /* one that was cut may end anywhere: it says no more than that */
	for (enum dns_section s = DNS_ANSWER; s <= DNS_ADDITIONAL; s++)
		r.wanted[s] = wire_u16(p + 6 + 2 * (size_t)s);
	/* A name that goes on in the header would be another one with each header: there is no name in this one. */
	copy = xmemdup(bytes.p, bytes.n);
	memset(copy, 0xff, DNS_HEADER);
	r.bytes.p = copy;
	begin = r.at;
	if (msg_records(&r))
		m = msg_keep(&r, begin);
	vec_release(&r.records);
	return m;
}

struct dns_msg *dns_msg_ref(struct dns_msg *m)
{
	m->refs++;
	return m;
}

struct dns_msg *dns_msg_unref(struct dns_msg *m)
{
	if (m && --m->refs == 0)
		free(m);
	return NULL;
}

size_t dns_msg_bytes(const struct dns_msg *m)
{
	return sizeof(*m) + m->n_records * sizeof(*m->records) + m->n;
}

enum dns_rcode dns_msg_rcode(const struct dns_msg *m)
{
	return m->rcode;
}

uint32_t dns_msg_life(const struct dns_msg *m)
{
	return m->life_s;
}

bool dns_msg_negative(const struct dns_msg *m)
{
	return m->negative;
}

static uint32_t msg_ttl(uint32_t ttl, uint32_t age_s, uint32_t ttl_max)
{
	ttl = ttl > INT32_MAX ? 0 : MIN(ttl, ttl_max);
	return ttl > age_s ? ttl - age_s : 0;
}

/* What of an upstream's codes goes on to a client: there is no room for more without EDNS, and no meaning. */
static enum dns_rcode msg_code(const struct dns_msg *m)
{
	return m->rcode <= DNS_REFUSED ? m->rcode : DNS_SERVFAIL;
}

size_t dns_msg_write(const struct dns_msg *m, const struct dns_query *q, uint32_t age_s, uint32_t ttl_max, uint8_t *p,
		     size_t room)
{
	size_t max = wire_limit(q, room) - (q->edns ? OPT_BYTES : 0), n = wire_begin(q, p), i;
	uint16_t counts[3] = { 0 };
	unsigned flags = m->ad && (q->ad || q->want_dnssec) ? FLAG_AD : 0;

	/* The same question, of the same length: references within the records stay right. */
	for (i = 0; i < m->n_records && m->records[i].end <= max; i++) {
		const struct msg_record *r = &m->records[i];

		memcpy(p + r->at, m->bytes + r->at, (size_t)r->end - r->at);
		wire_put32(p + r->ttl_at, msg_ttl(wire_u32(p + r->ttl_at), age_s, ttl_max));
		counts[r->section]++;
		n = r->end;
	}
	if (i < m->n_records && m->records[i].section != DNS_ADDITIONAL)
		flags |= FLAG_TC;
	return wire_end(q, p, n, counts, msg_code(m), flags);
}

/* One record of m, with its names in full, added to o. False: no more fits. */
static bool out_msg_record(struct dns_out *o, const struct dns_msg *m, const struct msg_record *r, uint32_t ttl)
{
	size_t at = r->at;
	_cleanup_(wire_freep) ldns_rr *rr =
	    wire_record(sv_make((const char *)m->bytes, m->n), &at, LDNS_SECTION_ANSWER);
	_cleanup_(buf_release) struct buf data = BUF_INIT;
	struct dns_name owner;

	if (!rr || !wire_name(sym_rr_owner(rr), &owner))
		return true; /* it was read before */
	for (size_t i = 0; i < sym_rr_rd_count(rr); i++)
		buf_add(&data, sym_rdf_data(sym_rr_rdf(rr, i)), sym_rdf_size(sym_rr_rdf(rr, i)));
	return dns_out_record(o, (enum dns_section)r->section, &owner, (uint16_t)sym_rr_get_type(rr), ttl,
			      buf_sv(&data));
}

void dns_out_msg(struct dns_out *o, const struct dns_msg *m, uint32_t age_s, uint32_t ttl_max)
{
	o->rcode = msg_code(m);
	for (size_t i = 0; i < m->n_records; i++) {
		const struct msg_record *r = &m->records[i];

		if (r->section == DNS_ADDITIONAL ||
		    !out_msg_record(o, m, r, msg_ttl(wire_u32(m->bytes + r->ttl_at), age_s, ttl_max)))
			return;
	}
}
