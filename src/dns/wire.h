/* wire.h - messages of the DNS: the one file that reads them (with ldns), and writes them.
 *
 * A query is judged first by what can be seen in its twelve bytes of header, then read as a whole; a response of an
 * upstream server is read as a whole and kept as it came, with the places of its records. Neither has a reader of its
 * own beside this.
 *
 * A message is written front to back into a buffer of a given size; what does not fit sets TC and is left out, whole
 * records at a time. Names are compressed against the question's.
 */
#pragma once

#include "base/err.h"
#include "dns/name.h"

#define DNS_HEADER 12
#define DNS_UDP_MAX 1232 /* what we send and say that we take: fits every path without fragments */
#define DNS_UDP_PLAIN 512

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_HINFO = 13,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_OPT = 41,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_ANY = 255,
};
const char *dns_type_text(uint16_t type, char tmp[12]); /* "AAAA", "TYPE65" */

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16,
};

/* To be called once before all else: loads the library. */
int dns_wire_need(struct err *err);

/* --- what is asked --- */

struct dns_query {
	uint16_t id, type;
	uint16_t udp_max;		    /* bytes that the client takes in a datagram */
	bool rd, cd, ad, edns, want_dnssec; /* DO */
	bool tcp;
	bool has_question;	     /* name and type mean something */
	struct dns_name name, lower; /* as asked, and lower */
};

enum dns_read {
	DNS_READ_DROP,	 /* no query: not even an answer that says so */
	DNS_READ_REFUSE, /* answered with *ret_rcode alone */
	DNS_READ_OK,
};
enum dns_read dns_query_read(struct sv bytes, bool tcp, struct dns_query *ret, enum dns_rcode *ret_rcode);

/* --- writing --- */

enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

struct dns_out {
	uint8_t *p;
	size_t n, max; /* max leaves room for what dns_out_end() adds */
	const struct dns_query *q;
	uint16_t counts[3];
	enum dns_rcode rcode;
	bool truncated, aa;
};

/* Of the query's limit and room the smaller one counts. room is at least DNS_UDP_PLAIN. */
void dns_out_begin(struct dns_out *o, const struct dns_query *q, uint8_t *p, size_t room);
/* Records come in the order of the sections. Returns false, and says so in the answer unless in DNS_ADDITIONAL, when it
 * does not fit: then nothing else of that section shall follow. */
bool dns_out_record(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint16_t type, uint32_t ttl,
		    struct sv rdata);
/* A record whose data ends with a name: before is what comes before it (SRV), after what follows (SOA). */
bool dns_out_named(struct dns_out *o, enum dns_section s, const struct dns_name *owner, uint16_t type, uint32_t ttl,
		   struct sv before, const struct dns_name *name, struct sv after);
size_t dns_out_end(struct dns_out *o); /* the bytes of the message */

/* --- what an upstream server says --- */

struct dns_msg; /* one response, immutable; counted references, of one thread */

/* A query for it: at most DNS_UDP_PLAIN bytes; returns how many. */
size_t dns_ask_write(uint8_t *p, uint16_t id, const struct dns_name *name, uint16_t type, bool cd, bool want_dnssec,
		     bool edns);

/* NULL: it is no response to this question (another id, another question, or bytes that are no message). *ret_tc: it
 * is one that did not fit. */
struct dns_msg *dns_msg_read(struct sv bytes, uint16_t id, const struct dns_name *name, uint16_t type, bool *ret_tc);
struct dns_msg *dns_msg_ref(struct dns_msg *m);
struct dns_msg *dns_msg_unref(struct dns_msg *m); /* NULL is fine; returns NULL */
size_t dns_msg_bytes(const struct dns_msg *m);	  /* what it costs */
enum dns_rcode dns_msg_rcode(const struct dns_msg *m);
/* Seconds for which it may be kept (RFC 2308 for those that say no): 0: not at all. */
uint32_t dns_msg_life(const struct dns_msg *m);
bool dns_msg_negative(const struct dns_msg *m); /* NXDOMAIN, or no record of the kind */

/* The answer to q with what m says, aged by age_s seconds, no record living longer than ttl_max. */
size_t dns_msg_write(const struct dns_msg *m, const struct dns_query *q, uint32_t age_s, uint32_t ttl_max, uint8_t *p,
		     size_t room);
/* What m answers, added to an answer that began with names of ours (CNAME) and led to m's name. */
void dns_out_msg(struct dns_out *o, const struct dns_msg *m, uint32_t age_s, uint32_t ttl_max);
