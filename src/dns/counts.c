#include "dns/counts.h"

#define SERVER "server=\"dns://:53\""
#define ZONE SERVER ",zone=\".\",view=\"\""

static const char *const count_types[_DNS_COUNT_TYPE_MAX] = {
	[DNS_COUNT_A] = "A",	 [DNS_COUNT_AAAA] = "AAAA",   [DNS_COUNT_SRV] = "SRV",
	[DNS_COUNT_PTR] = "PTR", [DNS_COUNT_OTHER] = "other",
};

/* All that a header can say, as upstream servers may say any: a series of each, for two of one name spoil the page. */
static const char *const count_codes[DNS_COUNT_CODES] = {
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",	 "REFUSED", "YXDOMAIN", "YXRRSET",
	"NXRRSET", "NOTAUTH", "NOTZONE",  "RCODE11",  "RCODE12", "RCODE13", "RCODE14",	"RCODE15",
};

static void count_up(_Atomic uint64_t *n)
{
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static uint64_t count_of(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

static enum dns_count_type count_type(uint16_t type)
{
	switch (type) {
	case DNS_A:
		return DNS_COUNT_A;
	case DNS_AAAA:
		return DNS_COUNT_AAAA;
	case DNS_SRV:
		return DNS_COUNT_SRV;
	case DNS_PTR:
		return DNS_COUNT_PTR;
	default:
		return DNS_COUNT_OTHER;
	}
}

void dns_count_request(struct dns_counts *c, bool tcp, bool v6, uint16_t type)
{
	count_up(&c->requests[tcp][v6][count_type(type)]);
}

void dns_count_response(struct dns_counts *c, const uint8_t *message, size_t n)
{
	if (n > 3)
		count_up(&c->responses[message[3] & (DNS_COUNT_CODES - 1)]);
}

void dns_count_forward(struct dns_counts *c, const struct dns_forward_stats *s)
{
	atomic_store_explicit(&c->asked, s->asked, memory_order_relaxed);
	atomic_store_explicit(&c->hits, s->hits, memory_order_relaxed);
	atomic_store_explicit(&c->stale, s->stale, memory_order_relaxed);
	atomic_store_explicit(&c->failed, s->failed, memory_order_relaxed);
	atomic_store_explicit(&c->refused, s->refused, memory_order_relaxed);
	atomic_store_explicit(&c->cached, s->cached, memory_order_relaxed);
}

static void counts_one(struct buf *b, const char *type, const char *name, const char *labels, const char *help,
		       uint64_t n)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s{" SERVER "%s} %" PRIu64 "\n", name, help, name, type, name,
		   labels, n);
}

void dns_counts_write(const struct dns_counts *c, struct buf *b)
{
	uint64_t asked = count_of(&c->asked), hits = count_of(&c->hits);

	buf_adds(b, "# HELP coredns_dns_requests_total Questions to the name server.\n"
		    "# TYPE coredns_dns_requests_total counter\n");
	for (int tcp = 0; tcp < 2; tcp++)
		for (int v6 = 0; v6 < 2; v6++)
			for (int t = 0; t < _DNS_COUNT_TYPE_MAX; t++) {
				uint64_t n = count_of(&c->requests[tcp][v6][t]);

				if (n)
					buf_printf(b,
						   "coredns_dns_requests_total{" ZONE
						   ",proto=\"%s\",family=\"%d\",type=\"%s\"} %" PRIu64 "\n",
						   tcp ? "tcp" : "udp", v6 + 1, count_types[t], n);
			}
	buf_adds(b, "# HELP coredns_dns_responses_total Answers of the name server by their code.\n"
		    "# TYPE coredns_dns_responses_total counter\n");
	for (size_t i = 0; i < DNS_COUNT_CODES; i++) {
		uint64_t n = count_of(&c->responses[i]);

		if (n)
			buf_printf(b, "coredns_dns_responses_total{" ZONE ",rcode=\"%s\",plugin=\"\"} %" PRIu64 "\n",
				   count_codes[i], n);
	}
	counts_one(b, "counter", "coredns_cache_requests_total", ",zones=\".\",view=\"\"",
		   "Questions for names that are not the cluster's.", asked);
	counts_one(b, "counter", "coredns_cache_hits_total", ",type=\"success\",zones=\".\",view=\"\"",
		   "Those that were answered from the cache.", hits);
	counts_one(b, "counter", "coredns_cache_misses_total", ",zones=\".\",view=\"\"", "Those that were not.",
		   asked - MIN(hits, asked));
	counts_one(b, "counter", "coredns_cache_served_stale_total", ",zones=\".\",view=\"\"",
		   "Those that got an old answer, as no upstream server gave one.", count_of(&c->stale));
	counts_one(b, "gauge", "coredns_cache_entries", ",type=\"success\",zones=\".\",view=\"\"",
		   "Answers in the cache.", count_of(&c->cached));
	counts_one(b, "counter", "coredns_forward_max_concurrent_rejects_total", "",
		   "Questions refused as too many were waiting for upstream servers.", count_of(&c->refused));
	counts_one(b, "counter", "caravel_dns_forward_failures_total", "",
		   "Questions that no upstream server answered.", count_of(&c->failed));
}
