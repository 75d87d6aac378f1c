/* answer.h - what is answered to a query: a pure function of the query, the cluster's names and the configuration.
 *
 * Cluster names never lead to an upstream server, nor do reverse names of the cluster's ranges. A name that a rule of
 * ours leads elsewhere (an ExternalName, a rewrite) is answered with a CNAME and what the other name has, so that a
 * stub resolver, which follows none, gets its address: where the other name is the cluster's own here, else by the
 * caller, who asks for it and then calls dns_answer_rest().
 */
#pragma once

#include "dns/config.h"
#include "dns/wire.h"
#include "dns/zone.h"

struct dns_view {
	const struct zone_table *zone;
	const struct dns_config *cfg;
	uint32_t serial; /* of the zone: grows with its changes */
};

enum dns_next {
	DNS_ANSWERED,  /* *ret_n bytes */
	DNS_ELSEWHERE, /* *ret_target is not ours: its answer is missing */
};

/* room is at least DNS_UDP_PLAIN, for TCP FRAMED_MAX. */
enum dns_next dns_answer(const struct dns_view *v, const struct dns_query *q, uint8_t *p, size_t room, size_t *ret_n,
			 struct dns_name *ret_target);
/* The answer where dns_answer() said DNS_ELSEWHERE, now that m says what target has (NULL: nobody does, SERVFAIL). */
size_t dns_answer_rest(const struct dns_view *v, const struct dns_query *q, const struct dns_msg *m, uint32_t age_s,
		       uint32_t ttl_max, uint8_t *p, size_t room);
/* An answer of a result code alone. */
size_t dns_answer_code(const struct dns_query *q, enum dns_rcode rcode, uint8_t *p, size_t room);
