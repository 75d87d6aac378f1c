/* counts.h - how many questions and answers of which kinds, under CoreDNS' names: what dashboards know.
 *
 * One place of questions, "." on all addresses: the labels server and zone are constant. What leads to an upstream
 * server is not told apart by server, and the time of an answer is not measured: most take less than reading a clock
 * does.
 *
 * Threads: counted by the loop's thread, written by any.
 */
#pragma once

#include "base/buf.h"
#include "dns/forward.h"

#include <stdatomic.h>

enum dns_count_type { DNS_COUNT_A, DNS_COUNT_AAAA, DNS_COUNT_SRV, DNS_COUNT_PTR, DNS_COUNT_OTHER, _DNS_COUNT_TYPE_MAX };

#define DNS_COUNT_CODES 16 /* four bits of the header */

struct dns_counts {
	_Atomic uint64_t requests[2][2][_DNS_COUNT_TYPE_MAX]; /* [tcp][v6][type] */
	_Atomic uint64_t responses[DNS_COUNT_CODES];	      /* by the code in the header */
	/* struct dns_forward_stats, as of the last question */
	_Atomic uint64_t asked, hits, stale, failed, refused, cached;
};

void dns_count_request(struct dns_counts *c, bool tcp, bool v6, uint16_t type);
void dns_count_response(struct dns_counts *c, const uint8_t *message, size_t n);
void dns_count_forward(struct dns_counts *c, const struct dns_forward_stats *s);

/* Text for Prometheus. */
void dns_counts_write(const struct dns_counts *c, struct buf *b);
